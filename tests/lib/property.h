/* Properties: what must hold for every random case, not for a few chosen ones.
 *
 *     static void counts_agree(struct property *p)
 *     {
 *         uint64_t n = property_below(p, 10);
 *
 *         property_note(p, "n=%" PRIu64, n);
 *         PROPERTY_EQ(p, counted(n), n);
 *     }
 *     ...
 *     const struct CMUnitTest tests[] = {property_test(counts_agree)};
 *
 * Case i of a run from SEED draws everything from the seed SEED + i, so that
 * any case is run again, alone, by SEED=that CASES=1. A failing case is run a
 * second time with its notes shown: they stop at the first step that went
 * wrong. A crash names the seed, too.
 *
 * Environment:
 *   SEED   of the first case; 1 if unset, so that all runs are the same
 *   CASES  of each property; PROPERTY_CASES if unset */

#ifndef TESTS_LIB_PROPERTY_H
#define TESTS_LIB_PROPERTY_H

#include <inttypes.h>

#include "src/base/err.h"
#include "src/base/log.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

/* Sanitizers make a case 5 to 20 times slower; what they look for does not need
 * as many. */
#ifdef __has_feature
#define PROPERTY_HAS_FEATURE(x) __has_feature(x)
#else
#define PROPERTY_HAS_FEATURE(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || PROPERTY_HAS_FEATURE(address_sanitizer)
#define PROPERTY_SANITIZED 1
#define PROPERTY_CASES     5000
#else
#define PROPERTY_SANITIZED 0
#define PROPERTY_CASES     100000
#endif

/* The case in hand. */
struct property {
    struct rng rng;
    uint64_t seed;
    bool shown;       /* notes are printed */
    struct logger lg; /* for the code under test: a fatal line fails the case */
    jmp_buf env;      /* where a failure leaves to */
};

typedef void property_fn(struct property *p);

/* Name and function of a property, as the state of a cmocka test. */
struct property_def {
    const char *name;
    property_fn *fn;
};

/* The cmocka test that runs the property_def in *state. */
void property_run(void **state);

/* An element of an array of struct CMUnitTest. */
#define property_test(fn)                                                      \
    {                                                                          \
        "test_" #fn, property_run, NULL, NULL, &(struct property_def)          \
        {                                                                      \
#fn, fn                                                            \
        }                                                                      \
    }

/* --- what a case draws --- */

/* Uniform in [0, n), n > 0. */
static inline uint64_t property_below(struct property *p, uint64_t n)
{
    return rng_below(&p->rng, n);
}

/* Uniform in [lo, hi]. */
static inline uint64_t property_between(struct property *p, uint64_t lo,
                                        uint64_t hi)
{
    return lo + rng_below(&p->rng, hi - lo + 1);
}

static inline bool property_chance(struct property *p, unsigned percent)
{
    return rng_below(&p->rng, 100) < percent;
}

/* Any number, small ones and those near a power of two more often: where
 * encodings and comparisons change. */
uint64_t property_u64(struct property *p);

/* --- what a case says --- */

/* One line of the case's story: what is done next. Costs nothing unless it is
 * shown. */
#define property_note(p, ...)                                                  \
    ((p)->shown ? property_say((p), __VA_ARGS__) : (void)0)
void property_say(struct property *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The case has failed. What it holds is leaked. */
NORETURN void property_fail(struct property *p, const char *file, int line,
                            const char *fmt, ...) PRINTF_LIKE(4, 5);

#define PROPERTY_CHECK(p, cond)                                                \
    ((cond) ? (void)0                                                          \
            : property_fail((p), __FILE__, __LINE__, "not true: %s", #cond))

#define PROPERTY_EQ(p, got, want)                                              \
    property_eq((p), (got), (want), __FILE__, __LINE__, #got)

/* 0, not an error. */
#define PROPERTY_OK(p, rc) property_ok((p), (rc), __FILE__, __LINE__, #rc)

static inline void property_ok(struct property *p, int rc, const char *file,
                               int line, const char *what)
{
    if (rc != 0) {
        property_fail(p, file, line, "%s: %s", what, err_str(rc));
    }
}

static inline void property_eq(struct property *p, uint64_t got, uint64_t want,
                               const char *file, int line, const char *what)
{
    if (got != want) {
        property_fail(p, file, line, "%s is %" PRIu64 ", not %" PRIu64, what,
                      got, want);
    }
}

#endif /* TESTS_LIB_PROPERTY_H */
