/* Functions that have a better sibling here: using one is a compile error.
 *
 * Memory comes from alloc.h, numbers are parsed with their bounds checked,
 * chance comes from rng.h and time comes in as ticks. */

#ifndef SRC_BASE_BANNED_H
#define SRC_BASE_BANNED_H

/* The system headers that declare them must come first, or their own
 * declarations would be hit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* clang with _FORTIFY_SOURCE has these as macros, and warns if a macro is
 * poisoned. */
#undef sprintf
#undef vsprintf

/* `random` is missing on purpose: uv.h lists its request types by that name. */
#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat gets
#pragma GCC poison atoi atol atoll rand srand srandom drand48

#endif /* SRC_BASE_BANNED_H */
