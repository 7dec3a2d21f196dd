/* Seedable random numbers: the only chance in the program.
 *
 * xoshiro256** seeded by splitmix64 (Blackman and Vigna, public domain). Not
 * for secrets. The seed comes from the OS once at start, or from a test. */

#ifndef SRC_BASE_RNG_H
#define SRC_BASE_RNG_H

#include "src/base/common.h"

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);

uint64_t rng_next(struct rng *r);

/* Uniform in [0, n); n must not be 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

#endif /* SRC_BASE_RNG_H */
