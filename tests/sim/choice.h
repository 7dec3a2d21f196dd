/* The one stream that all chance of a run comes from.
 *
 * Every choice is a number below `n`, at a site that says what it is for. The
 * numbers come from a seed or from a file of an earlier run, and are recorded
 * either way: seed, replay and shrinker are one mechanism [reliability 7].
 *
 * 0 is always the harmless choice: no fault, the shortest delay. So a shrinker
 * simplifies a run by writing zeros, and a stream that has ended goes on with
 * them. */

#ifndef TESTS_SIM_CHOICE_H
#define TESTS_SIM_CHOICE_H

#include "src/base/common.h"
#include "src/base/err.h"
#include "src/base/rng.h"

#define SITE_MAP(X)                                                            \
    X(SWARM) /* which faults this run has at all */                            \
    X(NODE)  /* what a node draws for itself */                                \
    X(LOSS)  /* of a message */                                                \
    X(DELAY)                                                                   \
    X(TURN)   /* when a loop turn follows its input */                         \
    X(DISK)   /* how long a write takes */                                     \
    X(CLIENT) /* what a client does next */                                    \
    X(FAULT)  /* which fault comes, and when */                                \
    X(VICTIM)                                                                  \
    X(CRASH) /* what a power cut leaves */                                     \
    X(HEAL)

enum site {
#define X(name) SITE_##name,
    SITE_MAP(X)
#undef X
};

struct choices {
    struct rng rng;
    bool replays;     /* the values are given; else they come from rng */
    uint32_t *values; /* so far; when replaying, also those to come */
    uint8_t *sites;
    size_t n;
    size_t pos;
    size_t cap;
};

void choices_seed(struct choices *c, uint64_t seed);

/* Replay `n` values; copied. What lies behind them is 0. */
void choices_replay(struct choices *c, const uint32_t *values, size_t n);
void choices_release(struct choices *c);

/* In [0, n), n > 0. A replayed value is taken modulo n. */
uint32_t choose(struct choices *c, enum site site, uint32_t n);

/* True in `percent` of 100; 0 is false. */
bool choose_percent(struct choices *c, enum site site, uint32_t percent);

/* In [from, to]; the choice 0 is `from`. */
uint32_t choose_between(struct choices *c, enum site site, uint32_t from,
                        uint32_t to);

/* A seed for the program under test. */
uint64_t choose_seed(struct choices *c);

/* What was chosen, one "site value" a line; and back. -errno, ERR_MALFORMED. */
MUST_CHECK int choices_save(const struct choices *c, const char *path);
MUST_CHECK int choices_load(struct choices *c, const char *path);

#endif /* TESTS_SIM_CHOICE_H */
