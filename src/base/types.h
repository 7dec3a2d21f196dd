/* What every header may use, those that are installed for others included: a
 * few attributes of functions, and a run of bytes.
 *
 * Kept apart from common.h, whose assertions and banned functions are the
 * business of this project alone. */

#ifndef SRC_BASE_TYPES_H
#define SRC_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define NORETURN               __attribute__((noreturn))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* A borrowed run of bytes. `data` NULL means absent, which is not the same as
 * present and empty wherever a format tells the two apart. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

#endif /* SRC_BASE_TYPES_H */
