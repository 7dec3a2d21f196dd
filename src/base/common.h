/* What every file may use: assertions, a few helpers of the language.
 *
 * src/base is the bottom layer: small leaves that know libc and nothing else.
 * No file of it opens, sends, sleeps or asks the time. */

#ifndef SRC_BASE_COMMON_H
#define SRC_BASE_COMMON_H

#include "src/base/banned.h"
#include "src/base/types.h"

/* Print where and what to stderr and abort. Only ASSERT and UNREACHABLE call
 * it; nothing below src/server ends the process in any other way. */
NORETURN void assert_fail(const char *file, int line, const char *what);

/* A broken invariant stops the node, in release builds too: a wrong node must
 * not vote. Never on data from outside, never with side effects. */
#define ASSERT(cond) ((cond) ? (void)0 : assert_fail(__FILE__, __LINE__, #cond))

#define UNREACHABLE() assert_fail(__FILE__, __LINE__, "unreachable")

#define container_of(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif /* SRC_BASE_COMMON_H */
