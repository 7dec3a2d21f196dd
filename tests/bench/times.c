/* Exact quantiles of measured times. */

#include "tests/bench/times.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "src/base/alloc.h"

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void times_add(struct times *t, uint64_t ns)
{
    if (t->n == t->cap) {
        t->cap = grow_cap(t->cap, t->n + 1);
        t->ns = xrealloc_array(t->ns, t->cap, sizeof(*t->ns));
    }
    t->ns[t->n++] = ns;
}

void times_release(struct times *t)
{
    xfree(t->ns);
    *t = (struct times){0};
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The smallest time that `per_mille` of all do not exceed, in microseconds. */
static double quantile_us(const struct times *t, size_t per_mille)
{
    if (t->n == 0) {
        return 0;
    }
    size_t rank = (t->n * per_mille + 999) / 1000;
    return (double)t->ns[rank > 0 ? rank - 1 : 0] / 1000;
}

void times_print(struct times *t, uint64_t count, uint64_t took_ns,
                 uint64_t errors)
{
    if (t->n > 0) {
        qsort(t->ns, t->n, sizeof(*t->ns), compare);
    }
    printf("{\"count\": %" PRIu64 ", \"seconds\": %.6f, \"errors\": %" PRIu64
           ", \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}\n",
           count, (double)took_ns / 1e9, errors, quantile_us(t, 500),
           quantile_us(t, 990), quantile_us(t, 999), quantile_us(t, 1000));
}

void give_up(const char *what, int err)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", what, strerror(err));
    exit(1);
}
