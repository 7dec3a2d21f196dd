/* The clock of the load generator and the raw loops, and what they measured
 * with it: every single time is kept, so that a quantile is exact. */

#ifndef TESTS_BENCH_TIMES_H
#define TESTS_BENCH_TIMES_H

#include "src/base/common.h"

struct times {
    uint64_t *ns;
    size_t n;
    size_t cap;
};

/* Nanoseconds since some moment before the program began. */
uint64_t now_ns(void);

/* Remember one time, in nanoseconds. */
void times_add(struct times *t, uint64_t ns);

void times_release(struct times *t);

/* Print {"count": ..., "seconds": ..., "errors": ..., "p50": ..., "p99": ...,
 * "p999": ..., "max": ...} and a newline to stdout: quantiles in microseconds,
 * 0 where there are none. Sorts `t`. */
void times_print(struct times *t, uint64_t count, uint64_t took_ns,
                 uint64_t errors);

/* The end of a run that cannot go on: the line and the reason to stderr, then
 * status 1. */
NORETURN void give_up(const char *what, int err);

#endif /* TESTS_BENCH_TIMES_H */
