/* Hash map from byte strings to items that carry their own key.
 *
 * Open addressing over (hash, pointer) slots; the map owns the slots, never
 * the items. An item tells its key through the callback given at init, so the
 * key is stored once. Iteration order depends on the hash: whoever writes the
 * content out sorts first. The hash is keyed with a seed, so that a client who
 * does not know it cannot choose keys that all fall into one run of slots. */

#ifndef SRC_BASE_MAP_H
#define SRC_BASE_MAP_H

#include "src/base/common.h"

/* The key of `item`; borrowed, stable while the item is in a map. */
typedef struct bytes map_key_fn(const void *item);

struct map_slot {
    void *item; /* NULL: free */
    uint32_t hash;
};

struct map {
    struct map_slot *slots; /* NULL while empty from the start */
    size_t n_slots;         /* 0 or a power of two */
    size_t len;             /* items in the map */
    map_key_fn *key;
    uint64_t seed;
};

void map_init(struct map *m, map_key_fn *key, uint64_t seed);

/* Free the slots. The items are the caller's. */
void map_release(struct map *m);

/* The item with this key, or NULL. */
void *map_find(const struct map *m, struct bytes key);

/* Put `item` in under its own key. Returns the item that had the key before
 * (the caller frees it), or NULL. */
void *map_put(struct map *m, void *item);

/* Take the item with this key out and return it, or NULL. */
void *map_take(struct map *m, struct bytes key);

/* Iterate: *pos starts at 0; NULL at the end. The map must not change in
 * between. */
void *map_next(const struct map *m, size_t *pos);

/* Take some item out, or NULL: the map is empty. *pos is 0 at first. Each call
 * does a bounded amount of work on average, so that a large map can be emptied
 * a few items at a time; others may be taken out, or replaced, in between, but
 * none put in. */
void *map_drain(struct map *m, size_t *pos);

/* 32-bit hash of a byte string, as a map with this seed uses it. */
uint32_t map_hash(struct bytes key, uint64_t seed);

#endif /* SRC_BASE_MAP_H */
