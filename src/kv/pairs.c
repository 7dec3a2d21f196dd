/* Keys and values. pairs.h has the states.
 *
 * A pair is one item of the slab, key and value behind each other, rounded up
 * to a size class: a key that is written again and again with values of about
 * the same length keeps its memory and costs one copy. A large value lies apart
 * from its pair, which has behind its key where: the log's entry that brought
 * it may go on to be that place, and then it is not copied at all. */

#include "src/kv/pairs.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "src/kv/image.h"
#include "src/kv/kvstore.h"

/* Pairs that a set melts: the overlay goes away however much is set. */
#define MELT_PER_SET 4

/* A view hands its content out in pieces of about this size, and says that time
 * has passed after about as many pairs as take as long. */
#define PIECE_BYTES (32 * KiB)
#define PIECE_PAIRS ((size_t)4096)

struct pair {
    uint32_t key_len;
    uint32_t value_len;
    uint8_t bytes[]; /* as many as `room` says */
};

static_assert(PAYLOAD_SIZE_MAX < UINT32_MAX,
              "the lengths of a key and a value have 32 bits");

/* Where a value lies that is not in its pair, and whose that is. */
struct apart {
    const uint8_t *data;
    void *owner;
    kv_drop *drop;
};

static bool is_apart(size_t value_len)
{
    return value_len >= KV_APART_MIN;
}

/* Behind the key, not aligned. */
static struct apart apart_of(const struct pair *p)
{
    struct apart a;

    memcpy(&a, p->bytes + p->key_len, sizeof(a));
    return a;
}

static struct bytes pair_key(const void *item)
{
    const struct pair *p = item;

    return (struct bytes){p->bytes, p->key_len};
}

static struct bytes pair_value(const struct pair *p)
{
    return (struct bytes){is_apart(p->value_len) ? apart_of(p).data
                                                 : p->bytes + p->key_len,
                          p->value_len};
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

/* Of a pair's bytes. */
static size_t room(size_t key_len, size_t value_len)
{
    return size_class(key_len +
                      (is_apart(value_len) ? sizeof(struct apart) : value_len));
}

static size_t pair_size(size_t key_len, size_t value_len)
{
    return sizeof(struct pair) + room(key_len, value_len);
}

/* A value on its way into a map. */
struct value {
    struct bytes bytes;
    void *owner; /* of a large one */
    kv_drop *drop;
};

static void put_value(struct pairs *p, struct pair *pair, struct value v)
{
    pair->value_len = (uint32_t)v.bytes.len;
    if (is_apart(v.bytes.len)) {
        struct apart a = {v.bytes.data, v.owner, v.drop};

        memcpy(pair->bytes + pair->key_len, &a, sizeof(a));
        p->n_apart++;
    } else {
        copy_bytes(pair->bytes + pair->key_len, v.bytes);
    }
}

static void drop_value(struct pairs *p, struct pair *pair)
{
    if (is_apart(pair->value_len)) {
        struct apart a = apart_of(pair);

        ASSERT(p->n_apart > 0);
        p->n_apart--;
        a.drop(a.owner);
    }
}

/* Put the value in place of the one that `pair` has, if it takes as much room.
 */
static bool replace_value(struct pairs *p, struct pair *pair, struct value v)
{
    if (room(pair->key_len, pair->value_len) !=
        room(pair->key_len, v.bytes.len)) {
        return false;
    }
    drop_value(p, pair);
    put_value(p, pair, v);
    return true;
}

static void free_pair(struct pairs *p, struct pair *pair)
{
    if (pair != NULL) {
        drop_value(p, pair);
        slab_free(&p->slab, pair, pair_size(pair->key_len, pair->value_len));
    }
}

/* map[key] = value; whether the key is new to this map. */
static bool set_in(struct pairs *p, struct map *map, struct bytes key,
                   struct value v)
{
    struct pair *pair = map_find(map, key);
    bool is_new = pair == NULL;

    if (!is_new && replace_value(p, pair, v)) {
        return false;
    }
    ASSERT(key.len < UINT32_MAX && v.bytes.len < UINT32_MAX);
    pair = slab_alloc(&p->slab, pair_size(key.len, v.bytes.len));
    pair->key_len = (uint32_t)key.len;
    copy_bytes(pair->bytes, key);
    put_value(p, pair, v);
    free_pair(p, map_put(map, pair));
    return is_new;
}

/* Small pairs with their values go with the slab. */
static void release_map(struct pairs *p, struct map *map)
{
    size_t pos = 0;
    struct pair *pair;

    while ((p->slab.n_large > 0 || p->n_apart > 0) &&
           (pair = map_next(map, &pos)) != NULL) {
        free_pair(p, pair);
    }
    map_release(map);
}

/* --- the two maps --- */

void pairs_init(struct pairs *p, uint64_t seed)
{
    *p = (struct pairs){.state = PAIRS_PLAIN};
    slab_init(&p->slab);
    map_init(&p->base, pair_key, seed);
    map_init(&p->overlay, pair_key, seed);
}

void pairs_release(struct pairs *p)
{
    ASSERT(p->state != PAIRS_FROZEN);
    release_map(p, &p->base);
    release_map(p, &p->overlay);
    slab_release(&p->slab);
    p->state = PAIRS_PLAIN;
    p->len = 0;
}

static void set(struct pairs *p, struct bytes key, struct value v)
{
    bool is_new = true;

    switch (p->state) {
    case PAIRS_FROZEN:
        is_new =
            set_in(p, &p->overlay, key, v) && map_find(&p->base, key) == NULL;
        break;
    case PAIRS_MELTING:
        /* Nothing is put into a map that melts; what it has it may change. */
        if (map_find(&p->overlay, key) != NULL) {
            is_new = set_in(p, &p->overlay, key, v);
        } else {
            is_new = set_in(p, &p->base, key, v);
        }
        pairs_melt(p, MELT_PER_SET);
        break;
    case PAIRS_PLAIN:
        is_new = set_in(p, &p->base, key, v);
        break;
    }
    p->len += is_new;
}

void pairs_set(struct pairs *p, struct bytes key, struct bytes value)
{
    struct value v = {.bytes = value};

    if (is_apart(value.len)) {
        uint8_t *copy = xmalloc(value.len);

        memcpy(copy, value.data, value.len);
        v = (struct value){{copy, value.len}, copy, xfree};
    }
    set(p, key, v);
}

void pairs_take(struct pairs *p, struct bytes key, struct bytes value,
                void *owner, kv_drop *drop)
{
    ASSERT(is_apart(value.len));
    set(p, key, (struct value){value, owner, drop});
}

bool pairs_get(const struct pairs *p, struct bytes key, struct bytes *value)
{
    const struct pair *found = map_find(&p->overlay, key);

    if (found == NULL) {
        found = map_find(&p->base, key);
    }
    if (found == NULL) {
        return false;
    }
    *value = pair_value(found);
    return true;
}

void pairs_melt(struct pairs *p, size_t n)
{
    struct pair *pair;

    if (p->state != PAIRS_MELTING) {
        return;
    }
    for (; n > 0 && (pair = map_drain(&p->overlay, &p->melted)) != NULL; n--) {
        free_pair(p, map_put(&p->base, pair));
    }
    if (p->overlay.len == 0) {
        map_release(&p->overlay);
        p->state = PAIRS_PLAIN;
    }
}

/* --- views --- */

/* A pair and how its key begins: most comparisons look at no pair. */
struct place {
    uint64_t prefix; /* 8 bytes, the first is the highest; zeros behind */
    const struct pair *pair;
};

struct kv_view {
    const struct map *base;    /* what the overlay has not */
    const struct map *overlay; /* NULL: none */
    struct place *sorted;      /* NULL: not yet sorted. Owned */
    size_t len;
    size_t bytes; /* of the content, as last written */
    bool stopped; /* set by another thread: atomic */
};

static struct kv_view *new_view(const struct map *base,
                                const struct map *overlay, size_t len)
{
    struct kv_view *v = xcalloc(1, sizeof(*v));

    v->base = base;
    v->overlay = overlay;
    v->len = len;
    return v;
}

struct kv_view *pairs_freeze(struct pairs *p)
{
    ASSERT(p->state == PAIRS_PLAIN);
    p->state = PAIRS_FROZEN;
    return new_view(&p->base, NULL, p->len);
}

void pairs_thaw(struct pairs *p, struct kv_view *view)
{
    ASSERT(p->state == PAIRS_FROZEN);
    ASSERT(view->base == &p->base);
    pairs_drop_view(view);
    p->state = PAIRS_MELTING;
    p->melted = 0;
    pairs_melt(p, 0);
}

struct kv_view *pairs_look(const struct pairs *p)
{
    return new_view(&p->base, &p->overlay, p->len);
}

void pairs_drop_view(struct kv_view *view)
{
    xfree(view->sorted);
    xfree(view);
}

static uint64_t prefix_of(const struct pair *p)
{
    uint8_t first[8] = {0};
    uint64_t prefix = 0;

    copy_bytes(first, (struct bytes){p->bytes, p->key_len < sizeof(first)
                                                   ? p->key_len
                                                   : sizeof(first)});
    for (size_t i = 0; i < sizeof(first); i++) {
        prefix = prefix << 8 | first[i];
    }
    return prefix;
}

/* By the bytes of the keys, as Go sorts them. */
static int compare_places(const void *a, const void *b)
{
    const struct place *l = a;
    const struct place *r = b;
    const struct pair *x = l->pair;
    const struct pair *y = r->pair;

    if (l->prefix != r->prefix) {
        return l->prefix < r->prefix ? -1 : 1;
    }
    int order = memcmp(x->bytes, y->bytes,
                       x->key_len < y->key_len ? x->key_len : y->key_len);
    if (order != 0) {
        return order;
    }
    return x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

/* Where the content goes, and whether somebody wants no more of it. */
struct outlet {
    kv_view_sink *sink;
    void *arg;
};

static int give(const struct kv_view *v, const struct outlet *out,
                struct bytes piece)
{
    int rc = out->sink(out->arg, piece);

    return __atomic_load_n(&v->stopped, __ATOMIC_RELAXED) ? ERR_STOPPED : rc;
}

static int let_pass(const struct kv_view *v, const struct outlet *out)
{
    return give(v, out, (struct bytes){(const uint8_t *)"", 0});
}

static int collect(struct kv_view *v, size_t *n, const struct map *map,
                   const struct map *hidden_by, const struct outlet *out)
{
    const struct pair *p;
    size_t pos = 0;
    int rc = 0;

    while (rc == 0 && (p = map_next(map, &pos)) != NULL) {
        if (hidden_by == NULL || map_find(hidden_by, pair_key(p)) == NULL) {
            v->sorted[(*n)++] = (struct place){prefix_of(p), p};
            rc = *n % PIECE_PAIRS == 0 ? let_pass(v, out) : 0;
        }
    }
    return rc;
}

/* Two sorted runs [lo, mid) and [mid, hi) of `from` become one of `to`. */
static void merge_runs(struct place *to, const struct place *from, size_t lo,
                       size_t mid, size_t hi)
{
    size_t a = lo;
    size_t b = mid;

    for (size_t i = lo; i < hi; i++) {
        bool first =
            a < mid && (b == hi || compare_places(&from[a], &from[b]) <= 0);

        to[i] = first ? from[a++] : from[b++];
    }
}

/* One pass over all: runs of `len` become runs of twice as many. */
static int merge_pass(const struct kv_view *v, struct place *to,
                      const struct place *from, size_t len,
                      const struct outlet *out)
{
    size_t since = 0;
    int rc = 0;

    for (size_t lo = 0; lo < v->len && rc == 0; lo += 2 * len) {
        size_t mid = min_u64(lo + len, v->len);
        size_t hi = min_u64(lo + 2 * len, v->len);

        merge_runs(to, from, lo, mid, hi);
        since += hi - lo;
        if (since >= PIECE_PAIRS) {
            since = 0;
            rc = let_pass(v, out);
        }
    }
    return rc;
}

/* Not by qsort alone: it would not let anybody else come in between. */
static int sort(struct kv_view *v, const struct outlet *out)
{
    struct place *other = xrealloc_array(NULL, v->len + 1, sizeof(*other));
    size_t n = 0;
    int rc;

    v->sorted = xrealloc_array(NULL, v->len + 1, sizeof(*v->sorted));
    rc = collect(v, &n, v->base, v->overlay, out);
    if (rc == 0 && v->overlay != NULL) {
        rc = collect(v, &n, v->overlay, NULL, out);
    }
    ASSERT(rc < 0 || n == v->len);
    for (size_t lo = 0; lo < v->len && rc == 0; lo += PIECE_PAIRS) {
        qsort(v->sorted + lo, min_u64(PIECE_PAIRS, v->len - lo),
              sizeof(*v->sorted), compare_places);
        rc = let_pass(v, out);
    }
    for (size_t len = PIECE_PAIRS; len < v->len && rc == 0; len *= 2) {
        struct place *sorted = other;

        rc = merge_pass(v, sorted, v->sorted, len, out);
        other = v->sorted;
        v->sorted = sorted;
    }
    xfree(other);
    if (rc < 0) {
        xfree(v->sorted);
        v->sorted = NULL;
    }
    return rc;
}

size_t kv_view_bytes(const struct kv_view *view)
{
    return view->bytes;
}

void kv_view_stop(struct kv_view *view)
{
    __atomic_store_n(&view->stopped, true, __ATOMIC_RELAXED);
}

/* Hand on what was collected. */
static int give_piece(struct kv_view *v, struct buf *piece,
                      const struct outlet *out)
{
    int rc = give(v, out, buf_bytes(piece));

    v->bytes += piece->len;
    buf_reset(piece);
    return rc;
}

int kv_view_write(void *view, kv_view_sink *sink, void *arg)
{
    const struct outlet out = {sink, arg};
    struct kv_view *v = view;
    struct buf piece;
    int rc = v->sorted == NULL ? sort(v, &out) : 0;

    v->bytes = 0;
    buf_init(&piece, BUF_UNLIMITED);
    (void)buf_append_byte(&piece, '{');
    for (size_t i = 0; i < v->len && rc == 0; i++) {
        if (i > 0) {
            (void)buf_append_byte(&piece, ',');
        }
        (void)image_put_string(&piece, pair_key(v->sorted[i].pair));
        (void)buf_append_byte(&piece, ':');
        (void)image_put_string(&piece, pair_value(v->sorted[i].pair));
        if (piece.len >= PIECE_BYTES) {
            rc = give_piece(v, &piece, &out);
        }
    }
    if (rc == 0) {
        (void)buf_append_byte(&piece, '}');
        rc = give_piece(v, &piece, &out);
    }
    buf_release(&piece);
    return rc;
}
