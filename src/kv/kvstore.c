/* The replicated state: pairs (pairs.h) and members.
 *
 * Counterpart: etcd contrib/raftexample kvstore.go. */

#include "src/kv/kvstore.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/kv/image.h"
#include "src/kv/pairs.h"

struct member {
    uint64_t id;
    char *url; /* owned; NULL: not known */
};

struct kvstore {
    uint64_t seed;
    struct pairs pairs;

    /* Ascending ids; no id is in both. */
    struct member *members;
    size_t n_members;
    size_t members_cap;
    uint64_t *removed;
    size_t n_removed;
    size_t removed_cap;
};

/* --- life cycle --- */

struct kvstore *kvstore_new(uint64_t seed)
{
    struct kvstore *s = xcalloc(1, sizeof(*s));

    s->seed = seed;
    pairs_init(&s->pairs, seed);
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

void kvstore_take(struct kvstore *s, struct bytes key, struct bytes value,
                  void *owner, kv_drop *drop)
{
    pairs_take(&s->pairs, key, value, owner, drop);
}

bool kvstore_get(const struct kvstore *s, struct bytes key, struct bytes *value)
{
    return pairs_get(&s->pairs, key, value);
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

struct kv_view *kvstore_freeze(struct kvstore *s)
{
    return pairs_freeze(&s->pairs);
}

void kvstore_thaw(struct kvstore *s, struct kv_view *view)
{
    pairs_thaw(&s->pairs, view);
}

bool kvstore_is_melting(const struct kvstore *s)
{
    return s->pairs.state == PAIRS_MELTING;
}

void kvstore_melt(struct kvstore *s, size_t n)
{
    pairs_melt(&s->pairs, n);
}

static int append_piece(void *arg, struct bytes piece)
{
    return piece.len == 0 ? 0 : buf_append(arg, piece.data, piece.len);
}

int kvstore_snapshot(const struct kvstore *s, struct buf *b)
{
    struct kv_view *view = pairs_look(&s->pairs);
    int rc = kv_view_write(view, append_piece, b);

    pairs_drop_view(view);
    return rc;
}

static void restore_pair(void *arg, struct bytes key, struct bytes value)
{
    pairs_set(arg, key, value);
}

int kvstore_restore(struct kvstore *s, struct bytes image, struct errmsg *em)
{
    struct pairs pairs;

    ASSERT(s->pairs.state != PAIRS_FROZEN);
    pairs_init(&pairs, s->seed);
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
