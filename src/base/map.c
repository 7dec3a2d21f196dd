/* Hash map from byte strings to items that carry their own key.
 *
 * Linear probing, at most three quarters full. Taking an item out shifts the
 * run behind it back instead of leaving a tombstone, so that a map in steady
 * use never degrades and never needs to be rebuilt. */

#include "src/base/map.h"

#include "src/base/alloc.h"

#define MAP_SLOTS_MIN 16

void map_init(struct map *m, map_key_fn *key, uint64_t seed)
{
    *m = (struct map){.key = key, .seed = seed};
}

void map_release(struct map *m)
{
    xfree(m->slots);
    map_init(m, m->key, m->seed);
}

/* MurmurHash3's 64-bit finaliser (Austin Appleby, public domain): every bit of
 * the input reaches every bit of the output. */
static uint64_t mix64(uint64_t h)
{
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 33;
    return h;
}

uint32_t map_hash(struct bytes key, uint64_t seed)
{
    uint64_t h = mix64(seed ^ (key.len + UINT64_C(0x9e3779b97f4a7c15)));
    size_t done = 0;

    for (; key.len - done >= 8; done += 8) {
        uint64_t word;
        memcpy(&word, key.data + done, 8);
        h = mix64(h ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    if (done < key.len) {
        uint64_t word = 0;
        memcpy(&word, key.data + done, key.len - done);
        h = mix64(h ^ word);
    }
    return (uint32_t)h;
}

static bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The slot that holds `key`, or the free one where it belongs. */
static size_t map_probe(const struct map *m, struct bytes key, uint32_t hash)
{
    size_t mask = m->n_slots - 1;

    ASSERT(m->len < m->n_slots); /* or the search would not end */
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const struct map_slot *slot = &m->slots[i];

        if (slot->item == NULL ||
            (slot->hash == hash && bytes_equal(m->key(slot->item), key))) {
            return i;
        }
    }
}

static void map_grow(struct map *m)
{
    struct map_slot *old = m->slots;
    size_t n_old = m->n_slots;

    m->n_slots = n_old == 0 ? MAP_SLOTS_MIN : n_old * 2;
    m->slots = xcalloc(m->n_slots, sizeof(*m->slots));
    /* All keys differ, so only free slots are looked for. */
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].item == NULL) {
            continue;
        }
        size_t to = old[i].hash & (m->n_slots - 1);
        while (m->slots[to].item != NULL) {
            to = (to + 1) & (m->n_slots - 1);
        }
        m->slots[to] = old[i];
    }
    xfree(old);
}

void *map_find(const struct map *m, struct bytes key)
{
    if (m->len == 0) {
        return NULL;
    }
    return m->slots[map_probe(m, key, map_hash(key, m->seed))].item;
}

void *map_put(struct map *m, void *item)
{
    ASSERT(item != NULL);
    if (m->len + 1 > m->n_slots / 4 * 3) {
        map_grow(m);
    }
    struct bytes key = m->key(item);
    uint32_t hash = map_hash(key, m->seed);
    struct map_slot *slot = &m->slots[map_probe(m, key, hash)];
    void *before = slot->item;

    *slot = (struct map_slot){.item = item, .hash = hash};
    if (before == NULL) {
        m->len++;
    }
    return before;
}

/* Close the gap at `hole`: each item of the run behind it moves back if the
 * hole lies between its home slot and where it is now. */
static void map_close_gap(struct map *m, size_t hole)
{
    size_t mask = m->n_slots - 1;

    for (size_t i = (hole + 1) & mask; m->slots[i].item != NULL;
         i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
}

void *map_take(struct map *m, struct bytes key)
{
    if (m->len == 0) {
        return NULL;
    }
    size_t at = map_probe(m, key, map_hash(key, m->seed));
    void *item = m->slots[at].item;

    if (item != NULL) {
        map_close_gap(m, at);
        m->len--;
    }
    return item;
}

void *map_next(const struct map *m, size_t *pos)
{
    while (*pos < m->n_slots) {
        void *item = m->slots[(*pos)++].item;

        if (item != NULL) {
            return item;
        }
    }
    return NULL;
}

/* From the last slot down: what map_close_gap moves comes from behind the gap,
 * where nothing is left, or from before it, but only over the end of the slots.
 * So no slot that was passed is filled again. */
void *map_drain(struct map *m, size_t *pos)
{
    while (*pos < m->n_slots) {
        size_t at = m->n_slots - 1 - *pos;
        void *item = m->slots[at].item;

        if (item != NULL) {
            map_close_gap(m, at);
            m->len--;
            return item;
        }
        (*pos)++;
    }
    ASSERT(m->len == 0);
    return NULL;
}
