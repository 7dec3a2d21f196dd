/* Tests of what must abort: broken invariants and exhausted memory. */

#ifndef TESTS_LIB_DEATH_H
#define TESTS_LIB_DEATH_H

#include "src/base/common.h"

/* Run `fn(ctx)` in a child process with its stderr closed. True if it ended by
 * SIGABRT. */
bool test_aborts(void (*fn)(void *ctx), void *ctx);

#endif /* TESTS_LIB_DEATH_H */
