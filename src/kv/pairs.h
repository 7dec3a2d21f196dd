/* Keys and their values, and a view of them that another thread may read.
 *
 * A view is taken in no time: the map as it is becomes the base, which nobody
 * changes while the view is there, and what is set from then on goes to a map
 * laid over it. Once the view is given back the overlay melts into the base, a
 * few pairs at a time, so that whoever shares the thread never waits for it.
 *
 *   PLAIN    -> FROZEN   pairs_freeze
 *   FROZEN   -> MELTING  pairs_thaw; PLAIN if nothing was set meanwhile
 *   MELTING  -> PLAIN    pairs_melt, or sets: each melts a little
 *
 * What a pair costs: key and value in steps of 16 bytes (an eighth of their
 * length from 256 bytes on), a header of 8 bytes, and 16 bytes for each of 4/3
 * to 8/3 slots of the map. A key of 9 bytes with a value of 100: 136 bytes and
 * 21 to 43. A value of KV_APART_MIN or more lies apart, for 24 bytes and what
 * its owner has beside it: 100, if that is a log's entry. */

#ifndef SRC_KV_PAIRS_H
#define SRC_KV_PAIRS_H

#include "src/base/map.h"
#include "src/kv/kvstore.h"
#include "src/kv/slab.h"

enum pairs_state {
    PAIRS_PLAIN,   /* the overlay is empty */
    PAIRS_FROZEN,  /* a view reads the base */
    PAIRS_MELTING, /* the overlay only shrinks */
};

struct pairs {
    enum pairs_state state;
    struct slab slab;   /* what both maps' pairs lie in */
    struct map base;    /* of struct pair, owned */
    struct map overlay; /* the same; what it has counts */
    size_t len;         /* keys in either */
    size_t n_apart;     /* values in either that lie apart */
    size_t melted;      /* map_drain's position in the overlay */
};

void pairs_init(struct pairs *p, uint64_t seed);
void pairs_release(struct pairs *p); /* no view may be there */

/* Copies both. */
void pairs_set(struct pairs *p, struct bytes key, struct bytes value);

/* As kvstore_take. */
void pairs_take(struct pairs *p, struct bytes key, struct bytes value,
                void *owner, kv_drop *drop);

/* *value is borrowed until the next change. */
bool pairs_get(const struct pairs *p, struct bytes key, struct bytes *value);

/* In state PLAIN only. Owned by the caller: pairs_thaw. */
struct kv_view *pairs_freeze(struct pairs *p);
void pairs_thaw(struct pairs *p, struct kv_view *view);

/* Move up to `n` pairs from the overlay to the base. */
void pairs_melt(struct pairs *p, size_t n);

/* A view of what is there now, without freezing it: for the moment only. Free
 * with pairs_drop_view. */
struct kv_view *pairs_look(const struct pairs *p);
void pairs_drop_view(struct kv_view *view);

#endif /* SRC_KV_PAIRS_H */
