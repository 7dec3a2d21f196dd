/* What the map must be at each index, by sums: a model that applies what was
 * committed, and that any node's map and any snapshot can be compared with.
 *
 * A state is the sum of a number for each pair, so that one write changes it by
 * a subtraction and an addition, in whatever order the pairs are. */

#ifndef TESTS_SIM_STATE_H
#define TESTS_SIM_STATE_H

#include "src/base/map.h"
#include "src/kv/kvstore.h"

struct state {
    struct map keys;
    uint64_t sum;
};

void state_init(struct state *s);
void state_release(struct state *s);

/* A pair as the model remembers it. */
struct state_pair {
    uint32_t key; /* their checksums */
    uint32_t value;
};
struct state_pair state_pair(struct bytes key, struct bytes value);

/* map[key] = value. */
void state_set(struct state *s, struct state_pair p);

/* The sum of a snapshot's content. False if it cannot be read. */
bool state_of_image(struct bytes image, uint64_t *sum);

/* The sum of a node's map. */
uint64_t state_of_store(const struct kvstore *store);

#endif /* TESTS_SIM_STATE_H */
