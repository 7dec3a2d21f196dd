/* The replicated map: hash map of pairs, sorted only when it is written out.
 *
 * A pair is one allocation, key and value behind each other, rounded up to a
 * size class: a key that is written again and again with values of about the
 * same length keeps its memory and costs one copy.
 *
 * Counterpart: etcd contrib/raftexample kvstore.go. */

#include "src/kv/kvstore.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/base/map.h"
#include "src/kv/image.h"

struct pair {
    size_t key_len;
    size_t value_len;
    size_t cap; /* bytes of `bytes`, a size class */
    uint8_t bytes[];
};

struct member {
    uint64_t id;
    char *url; /* owned; NULL: not known */
};

struct kvstore {
    struct map pairs; /* of struct pair, owned */

    /* Ascending ids; no id is in both. */
    struct member *members;
    size_t n_members;
    size_t members_cap;
    uint64_t *removed;
    size_t n_removed;
    size_t removed_cap;
};

/* --- pairs --- */

static struct bytes pair_key(const void *item)
{
    const struct pair *p = item;

    return (struct bytes){p->bytes, p->key_len};
}

static struct bytes pair_value(const struct pair *p)
{
    return (struct bytes){p->bytes + p->key_len, p->value_len};
}

/* Steps of 16 bytes, later of an eighth of the size. */
static size_t size_class(size_t n)
{
    size_t step = 16;

    while (step < n / 8) {
        step *= 2;
    }
    return (n + step - 1) / step * step;
}

/* memcpy for runs that may be empty, and then need no address. */
static void copy_bytes(uint8_t *to, struct bytes from)
{
    if (from.len > 0) {
        memcpy(to, from.data, from.len);
    }
}

static void pairs_set(struct map *pairs, struct bytes key, struct bytes value)
{
    size_t cap = size_class(key.len + value.len);
    struct pair *p = map_find(pairs, key);

    if (p != NULL && p->cap == cap) {
        copy_bytes(p->bytes + p->key_len, value);
        p->value_len = value.len;
        return;
    }
    p = xmalloc(sizeof(*p) + cap);
    p->key_len = key.len;
    p->value_len = value.len;
    p->cap = cap;
    copy_bytes(p->bytes, key);
    copy_bytes(p->bytes + key.len, value);
    xfree(map_put(pairs, p));
}

static void pairs_release(struct map *pairs)
{
    size_t pos = 0;
    struct pair *p;

    while ((p = map_next(pairs, &pos)) != NULL) {
        xfree(p);
    }
    map_release(pairs);
}

/* --- life cycle --- */

struct kvstore *kvstore_new(uint64_t seed)
{
    struct kvstore *s = xcalloc(1, sizeof(*s));

    map_init(&s->pairs, pair_key, seed);
    return s;
}

static void forget_members(struct kvstore *s)
{
    for (size_t i = 0; i < s->n_members; i++) {
        xfree(s->members[i].url);
    }
    s->n_members = 0;
    s->n_removed = 0;
}

void kvstore_free(struct kvstore *s)
{
    if (s == NULL) {
        return;
    }
    forget_members(s);
    xfree(s->members);
    xfree(s->removed);
    pairs_release(&s->pairs);
    xfree(s);
}

/* --- the map --- */

void kvstore_set(struct kvstore *s, struct bytes key, struct bytes value)
{
    pairs_set(&s->pairs, key, value);
}

bool kvstore_get(const struct kvstore *s, struct bytes key, struct bytes *value)
{
    const struct pair *p = map_find(&s->pairs, key);

    if (p == NULL) {
        return false;
    }
    *value = pair_value(p);
    return true;
}

size_t kvstore_len(const struct kvstore *s)
{
    return s->pairs.len;
}

/* --- members --- */

/* The position of `id`, or where it would be put in. */
static size_t member_pos(const struct kvstore *s, uint64_t id)
{
    size_t i = 0;

    while (i < s->n_members && s->members[i].id < id) {
        i++;
    }
    return i;
}

static struct member *find_member(const struct kvstore *s, uint64_t id)
{
    size_t i = member_pos(s, id);

    return i < s->n_members && s->members[i].id == id ? &s->members[i] : NULL;
}

static size_t removed_pos(const struct kvstore *s, uint64_t id)
{
    size_t i = 0;

    while (i < s->n_removed && s->removed[i] < id) {
        i++;
    }
    return i;
}

bool kvstore_was_removed(const struct kvstore *s, uint64_t id)
{
    size_t i = removed_pos(s, id);

    return i < s->n_removed && s->removed[i] == id;
}

static void set_removed(struct kvstore *s, uint64_t id)
{
    size_t i = removed_pos(s, id);

    if (s->n_removed == s->removed_cap) {
        s->removed_cap = grow_cap(s->removed_cap, s->n_removed + 1);
        s->removed = xrealloc_array(s->removed, s->removed_cap, sizeof(id));
    }
    memmove(s->removed + i + 1, s->removed + i,
            (s->n_removed - i) * sizeof(*s->removed));
    s->removed[i] = id;
    s->n_removed++;
}

static void clear_removed(struct kvstore *s, uint64_t id)
{
    size_t i = removed_pos(s, id);

    if (i < s->n_removed && s->removed[i] == id) {
        s->n_removed--;
        memmove(s->removed + i, s->removed + i + 1,
                (s->n_removed - i) * sizeof(*s->removed));
    }
}

void kvstore_set_member(struct kvstore *s, uint64_t id, const char *url)
{
    struct member *m = find_member(s, id);
    char *copy = xstrdup(url); /* `url` may be the one we hold */

    clear_removed(s, id);
    if (m != NULL) {
        xfree(m->url);
        m->url = copy;
        return;
    }
    if (s->n_members == s->members_cap) {
        s->members_cap = grow_cap(s->members_cap, s->n_members + 1);
        s->members = xrealloc_array(s->members, s->members_cap, sizeof(*m));
    }
    size_t i = member_pos(s, id);
    memmove(s->members + i + 1, s->members + i,
            (s->n_members - i) * sizeof(*m));
    s->members[i] = (struct member){id, copy};
    s->n_members++;
}

void kvstore_remove_member(struct kvstore *s, uint64_t id)
{
    struct member *m = find_member(s, id);

    if (m != NULL) {
        xfree(m->url);
        s->n_members--;
        memmove(m, m + 1, (size_t)(s->members + s->n_members - m) * sizeof(*m));
    }
    if (!kvstore_was_removed(s, id)) {
        set_removed(s, id);
    }
}

const char *kvstore_member_url(const struct kvstore *s, uint64_t id)
{
    const struct member *m = find_member(s, id);

    return m == NULL ? NULL : m->url;
}

bool kvstore_has_member(const struct kvstore *s, uint64_t id)
{
    return find_member(s, id) != NULL;
}

size_t kvstore_n_members(const struct kvstore *s)
{
    return s->n_members;
}

struct kv_member kvstore_member(const struct kvstore *s, size_t i)
{
    ASSERT(i < s->n_members);
    return (struct kv_member){s->members[i].id, s->members[i].url};
}

/* --- snapshots --- */

/* By the bytes of the keys, as Go sorts them. */
static int pair_compare(const void *a, const void *b)
{
    const struct pair *x = *(const struct pair *const *)a;
    const struct pair *y = *(const struct pair *const *)b;
    int order = memcmp(x->bytes, y->bytes,
                       x->key_len < y->key_len ? x->key_len : y->key_len);

    if (order != 0) {
        return order;
    }
    return x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

/* All pairs in order; the array is the caller's. */
static const struct pair **sorted_pairs(const struct kvstore *s)
{
    const struct pair **sorted = xcalloc(s->pairs.len + 1, sizeof(*sorted));
    const struct pair *p;
    size_t pos = 0;
    size_t n = 0;

    while ((p = map_next(&s->pairs, &pos)) != NULL) {
        sorted[n++] = p;
    }
    ASSERT(n == s->pairs.len);
    qsort(sorted, n, sizeof(*sorted), pair_compare);
    return sorted;
}

int kvstore_snapshot(const struct kvstore *s, struct buf *b)
{
    const struct pair **sorted = sorted_pairs(s);

    (void)buf_append_byte(b, '{');
    for (size_t i = 0; i < s->pairs.len && !b->failed; i++) {
        if (i > 0) {
            (void)buf_append_byte(b, ',');
        }
        (void)image_put_string(b, pair_key(sorted[i]));
        (void)buf_append_byte(b, ':');
        (void)image_put_string(b, pair_value(sorted[i]));
    }
    (void)buf_append_byte(b, '}');
    xfree(sorted);
    return b->failed ? ERR_TOO_LARGE : 0;
}

static void restore_pair(void *arg, struct bytes key, struct bytes value)
{
    struct map *pairs = arg;

    pairs_set(pairs, key, value);
}

int kvstore_restore(struct kvstore *s, struct bytes image, struct errmsg *em)
{
    struct map pairs;

    map_init(&pairs, pair_key, s->pairs.seed);
    int rc = image_decode(image, restore_pair, &pairs, em);
    if (rc < 0) {
        pairs_release(&pairs);
        return rc;
    }
    pairs_release(&s->pairs);
    s->pairs = pairs;
    forget_members(s);
    return 0;
}
