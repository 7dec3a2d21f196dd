/* Goal: the store keeps what it is given, byte for byte, and equal states give
 * equal snapshots. Method: a model of 64 keys beside it, and tables of small
 * stories about members. */

#include "src/kv/kvstore.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/base/rng.h"
#include "src/kv/image.h"
#include "tests/lib/cmocka.h"

static struct bytes str_bytes(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void set(struct kvstore *s, const char *key, const char *value)
{
    kvstore_set(s, str_bytes(key), str_bytes(value));
}

static void assert_value(const struct kvstore *s, const char *key,
                         const char *want)
{
    struct bytes got;

    if (want == NULL) {
        assert_false(kvstore_get(s, str_bytes(key), &got));
        return;
    }
    assert_true(kvstore_get(s, str_bytes(key), &got));
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.data, want, got.len);
}

static void assert_snapshot(const struct kvstore *s, const char *want)
{
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_int_equal(kvstore_snapshot(s, &b), 0);
    assert_string_equal(buf_cstr(&b), want);
    buf_release(&b);
}

/* --- the map --- */

static void test_set_and_get(void **state)
{
    struct kvstore *s = kvstore_new(1);

    (void)state;
    assert_value(s, "/a", NULL);
    set(s, "/a", "1");
    set(s, "/a/", "2");
    set(s, "", "empty key");
    set(s, "/empty", "");
    assert_value(s, "/a", "1");
    assert_value(s, "/a/", "2");
    assert_value(s, "", "empty key");
    assert_value(s, "/empty", "");
    assert_value(s, "/A", NULL);
    assert_int_equal(kvstore_len(s), 4);
    set(s, "/a", "");
    assert_value(s, "/a", "");
    assert_int_equal(kvstore_len(s), 4);
    kvstore_free(s);
}

static void test_free_null(void **state)
{
    (void)state;
    kvstore_free(NULL);
}

/* Values of all lengths replace each other in place and not in place. */
static void test_replace_values_of_all_lengths(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct rng rng;
    uint8_t value[64][600];
    size_t len[64] = {0};
    bool present[64] = {false};

    (void)state;
    rng_seed(&rng, 1);
    for (size_t step = 0; step < 20000; step++) {
        size_t k = (size_t)rng_below(&rng, 64);
        uint8_t key[2] = {'/', (uint8_t)(k * 4)};

        len[k] = (size_t)rng_below(&rng, rng_below(&rng, 2) != 0 ? 600 : 20);
        present[k] = true;
        memset(value[k], (int)rng_below(&rng, 256), len[k]);
        kvstore_set(s, (struct bytes){key, 2},
                    (struct bytes){value[k], len[k]});
        size_t other = (size_t)rng_below(&rng, 64);
        key[1] = (uint8_t)(other * 4);
        struct bytes got;
        assert_int_equal(kvstore_get(s, (struct bytes){key, 2}, &got),
                         present[other]);
        if (present[other]) {
            assert_int_equal(got.len, len[other]);
            assert_memory_equal(got.data, value[other], got.len);
        }
    }
    kvstore_free(s);
}

/* --- values that are not copied --- */

/* What such a value lies in; like a log's entry it is changed by nobody. */
struct lender {
    size_t n_lent; /* and not given back */
};

struct lent {
    struct lender *lender;
    uint8_t data[];
};

static void give_back(void *owner)
{
    struct lent *l = owner;

    assert_true(l->lender->n_lent > 0);
    l->lender->n_lent--;
    memset(l->data, 0xdd, KV_APART_MIN); /* who still looks will see */
    xfree(l);
}

/* A store that has been given `value`, of KV_APART_MIN bytes or more. */
static void lend(struct lender *lender, struct kvstore *s, struct bytes key,
                 struct bytes value)
{
    struct lent *l = xmalloc(sizeof(*l) + value.len);

    l->lender = lender;
    lender->n_lent++;
    memcpy(l->data, value.data, value.len);
    kvstore_take(s, key, (struct bytes){l->data, value.len}, l, give_back);
}

static void lend_filled(struct lender *lender, struct kvstore *s,
                        const char *key, uint8_t with, size_t len)
{
    uint8_t *data = xmalloc(len);

    memset(data, with, len);
    lend(lender, s, str_bytes(key), (struct bytes){data, len});
    xfree(data);
}

static void assert_filled(const struct kvstore *s, const char *key,
                          uint8_t with, size_t len)
{
    struct bytes got;

    assert_true(kvstore_get(s, str_bytes(key), &got));
    assert_int_equal(got.len, len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(got.data[i], with);
    }
}

static void test_taken_value_lies_where_it_is(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct lender lender = {0};
    struct bytes got;
    struct lent *l = xmalloc(sizeof(*l) + KV_APART_MIN);

    (void)state;
    l->lender = &lender;
    lender.n_lent++;
    memset(l->data, 1, KV_APART_MIN);
    kvstore_take(s, str_bytes("/a"), (struct bytes){l->data, KV_APART_MIN}, l,
                 give_back);
    assert_true(kvstore_get(s, str_bytes("/a"), &got));
    assert_ptr_equal(got.data, l->data);
    kvstore_free(s);
    assert_int_equal(lender.n_lent, 0);
}

/* Small and large, copied and taken: all replace each other. */
static void test_taken_value_is_given_back_once(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct lender lender = {0};
    struct errmsg em = {{0}};

    (void)state;
    lend_filled(&lender, s, "/a", 1, KV_APART_MIN);
    lend_filled(&lender, s, "/b", 2, KV_APART_MIN + 5);
    assert_int_equal(lender.n_lent, 2);
    lend_filled(&lender, s, "/a", 3, 2 * KV_APART_MIN);
    assert_int_equal(lender.n_lent, 2);
    assert_filled(s, "/a", 3, 2 * KV_APART_MIN);
    set(s, "/a", "small");
    assert_int_equal(lender.n_lent, 1);
    assert_value(s, "/a", "small");
    lend_filled(&lender, s, "/a", 4, KV_APART_MIN);
    assert_int_equal(lender.n_lent, 2);
    assert_filled(s, "/a", 4, KV_APART_MIN);
    assert_filled(s, "/b", 2, KV_APART_MIN + 5);
    assert_int_equal(kvstore_len(s), 2);
    assert_int_equal(kvstore_restore(s, str_bytes("{\"/c\":\"1\"}"), &em), 0);
    assert_int_equal(lender.n_lent, 0);
    lend_filled(&lender, s, "/a", 5, KV_APART_MIN);
    kvstore_free(s);
    assert_int_equal(lender.n_lent, 0);
}

/* --- snapshots --- */

static void test_snapshot_sorts_by_bytes(void **state)
{
    static const char *const keys[] = {"/b",        "/ab", "/a",    "",
                                       "/\xc3\xa9", "/B",  "/a\x01"};
    static const char want[] =
        "{\"\":\"v\",\"/B\":\"v\",\"/a\":\"v\",\"/a\\u0001\":\"v\","
        "\"/ab\":\"v\",\"/b\":\"v\",\"/\xc3\xa9\":\"v\"}";

    (void)state;
    for (size_t first = 0; first < ARRAY_LEN(keys); first++) {
        struct kvstore *s = kvstore_new(1);

        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            set(s, keys[(first + i) % ARRAY_LEN(keys)], "v");
        }
        assert_snapshot(s, want);
        kvstore_free(s);
    }
}

static void test_snapshot_of_nothing_is_an_object(void **state)
{
    struct kvstore *s = kvstore_new(1);

    (void)state;
    assert_snapshot(s, "{}");
    kvstore_free(s);
}

static void test_snapshot_reports_full_buffer(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct buf b;

    (void)state;
    set(s, "/a", "1");
    set(s, "/b", "2");
    for (size_t limit = 0; limit < 19; limit++) {
        buf_init(&b, limit);
        assert_int_equal(kvstore_snapshot(s, &b), ERR_TOO_LARGE);
        buf_release(&b);
    }
    kvstore_free(s);
}

static void test_restore_replaces_everything(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct errmsg em;

    (void)state;
    set(s, "/old", "1");
    set(s, "/a", "old");
    kvstore_set_member(s, 1, "http://a:1");
    kvstore_remove_member(s, 2);
    assert_int_equal(
        kvstore_restore(s, str_bytes("{\"/a\":\"x\",\"/b\":null}"), &em), 0);
    assert_value(s, "/old", NULL);
    assert_value(s, "/a", "x");
    assert_value(s, "/b", "");
    assert_int_equal(kvstore_n_members(s), 0);
    assert_false(kvstore_was_removed(s, 2));
    assert_snapshot(s, "{\"/a\":\"x\",\"/b\":\"\"}");
    kvstore_free(s);
}

static void test_restore_error_changes_nothing(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct errmsg em;

    (void)state;
    set(s, "/a", "1");
    kvstore_set_member(s, 1, "http://a:1");
    assert_int_equal(
        kvstore_restore(s, str_bytes("{\"/a\":\"2\",\"/b\":3}"), &em),
        ERR_MALFORMED);
    assert_value(s, "/a", "1");
    assert_int_equal(kvstore_len(s), 1);
    assert_string_equal(kvstore_member_url(s, 1), "http://a:1");
    kvstore_free(s);
}

/* Restore, then snapshot, is the identity, for bytes of every kind. */
static void test_restore_then_snapshot_is_identity(void **state)
{
    struct kvstore *a = kvstore_new(1);
    struct kvstore *b = kvstore_new(1);
    struct buf first;
    struct buf second;
    struct errmsg em;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (size_t i = 0; i < 500; i++) {
        uint8_t bytes[64];
        for (size_t k = 0; k < sizeof(bytes); k++) {
            bytes[k] = (uint8_t)rng_next(&rng);
        }
        kvstore_set(a, (struct bytes){bytes, 1 + i % 16},
                    (struct bytes){bytes + 16, i % 48});
    }
    buf_init(&first, BUF_UNLIMITED);
    buf_init(&second, BUF_UNLIMITED);
    assert_int_equal(kvstore_snapshot(a, &first), 0);
    assert_int_equal(kvstore_restore(b, buf_bytes(&first), &em), 0);
    assert_int_equal(kvstore_len(a), kvstore_len(b));
    assert_int_equal(kvstore_snapshot(b, &second), 0);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    buf_release(&first);
    buf_release(&second);
    kvstore_free(a);
    kvstore_free(b);
}

/* --- views --- */

static int append_piece(void *arg, struct bytes piece)
{
    return piece.len == 0 ? 0 : buf_append(arg, piece.data, piece.len);
}

/* The content of a view is as it was when the view was taken, twice. */
static void assert_view(struct kv_view *view, const struct buf *want)
{
    for (int i = 0; i < 2; i++) {
        struct buf b;

        buf_init(&b, BUF_UNLIMITED);
        assert_int_equal(kv_view_write(view, append_piece, &b), 0);
        assert_int_equal(b.len, want->len);
        assert_memory_equal(b.data, want->data, b.len);
        buf_release(&b);
    }
}

static void test_view_stays_as_it_was(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct kv_view *view;
    struct buf before;

    (void)state;
    set(s, "/a", "1");
    set(s, "/b", "2");
    buf_init(&before, BUF_UNLIMITED);
    assert_int_equal(kvstore_snapshot(s, &before), 0);
    view = kvstore_freeze(s);
    set(s, "/a", "9"); /* of the same length, else in place */
    set(s, "/c", "3");
    set(s, "/c", "4");
    assert_value(s, "/a", "9");
    assert_value(s, "/b", "2");
    assert_value(s, "/c", "4");
    assert_int_equal(kvstore_len(s), 3);
    assert_view(view, &before);
    assert_snapshot(s, "{\"/a\":\"9\",\"/b\":\"2\",\"/c\":\"4\"}");
    kvstore_thaw(s, view);
    assert_true(kvstore_is_melting(s));
    assert_snapshot(s, "{\"/a\":\"9\",\"/b\":\"2\",\"/c\":\"4\"}");
    kvstore_melt(s, 1);
    assert_true(kvstore_is_melting(s));
    assert_snapshot(s, "{\"/a\":\"9\",\"/b\":\"2\",\"/c\":\"4\"}");
    kvstore_melt(s, 1);
    assert_false(kvstore_is_melting(s));
    assert_snapshot(s, "{\"/a\":\"9\",\"/b\":\"2\",\"/c\":\"4\"}");
    assert_int_equal(kvstore_len(s), 3);
    buf_release(&before);
    kvstore_free(s);
}

static void test_view_keeps_a_taken_value(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct lender lender = {0};
    struct kv_view *view;
    struct buf before;

    (void)state;
    buf_init(&before, BUF_UNLIMITED);
    lend_filled(&lender, s, "/a", 'x', KV_APART_MIN);
    assert_int_equal(kvstore_snapshot(s, &before), 0);
    view = kvstore_freeze(s);
    lend_filled(&lender, s, "/a", 'y', KV_APART_MIN);
    lend_filled(&lender, s, "/a", 'z', KV_APART_MIN);
    assert_int_equal(lender.n_lent, 2); /* x, and z over it */
    assert_view(view, &before);
    kvstore_thaw(s, view);
    kvstore_melt(s, 1);
    assert_int_equal(lender.n_lent, 1);
    assert_filled(s, "/a", 'z', KV_APART_MIN);
    buf_release(&before);
    kvstore_free(s);
    assert_int_equal(lender.n_lent, 0);
}

static void test_view_of_nothing_melts_at_once(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct buf empty;

    (void)state;
    buf_init(&empty, BUF_UNLIMITED);
    assert_int_equal(buf_append_str(&empty, "{}"), 0);
    for (int i = 0; i < 2; i++) {
        struct kv_view *view = kvstore_freeze(s);

        assert_view(view, &empty);
        kvstore_thaw(s, view);
        assert_false(kvstore_is_melting(s));
    }
    buf_release(&empty);
    kvstore_free(s);
}

/* Sets alone are enough for the overlay to go away. */
static void test_sets_melt(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct kv_view *view = kvstore_freeze(s);
    char key[16];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "/%d", i);
        set(s, key, "old");
    }
    kvstore_thaw(s, view);
    for (int i = 0; i < 1000 && kvstore_is_melting(s); i++) {
        (void)snprintf(key, sizeof(key), "/%d", 500 + i);
        set(s, key, "a longer value than before");
    }
    assert_false(kvstore_is_melting(s));
    assert_value(s, "/0", "old");
    assert_value(s, "/500", "a longer value than before");
    kvstore_free(s);
}

/* A restore replaces what still melts. */
static void test_restore_in_the_middle_of_melting(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct kv_view *view;
    struct errmsg em;

    (void)state;
    set(s, "/base", "1");
    view = kvstore_freeze(s);
    set(s, "/over", "2");
    kvstore_thaw(s, view);
    assert_int_equal(kvstore_restore(s, str_bytes("{\"/new\":\"3\"}"), &em), 0);
    assert_false(kvstore_is_melting(s));
    assert_snapshot(s, "{\"/new\":\"3\"}");
    kvstore_free(s);
}

static int refuse_piece(void *arg, struct bytes piece)
{
    size_t *left = arg;

    (void)piece;
    return (*left)-- == 0 ? -ENOSPC : 0;
}

/* Large content comes in several pieces, and any of them may be refused. */
static void test_view_stops_where_the_sink_does(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct kv_view *view;
    uint8_t *value = xcalloc(100, 1000);
    size_t n_pieces = 0;

    (void)state;
    for (uint8_t i = 0; i < 10; i++) {
        kvstore_set(s, (struct bytes){&i, 1}, (struct bytes){value, 100000});
    }
    view = kvstore_freeze(s);
    for (size_t left = n_pieces; kv_view_write(view, refuse_piece, &left) < 0;
         left = n_pieces) {
        assert_true(++n_pieces < 100);
    }
    assert_true(n_pieces > 2);
    kvstore_thaw(s, view);
    xfree(value);
    kvstore_free(s);
}

struct order {
    uint8_t last[32];
    size_t last_len;
    size_t n;
};

static void check_order(void *arg, struct bytes key, struct bytes value)
{
    struct order *o = arg;
    size_t shorter = key.len < o->last_len ? key.len : o->last_len;
    int by_bytes = memcmp(o->last, key.data, shorter);

    (void)value;
    assert_true(o->n == 0 || by_bytes < 0 ||
                (by_bytes == 0 && o->last_len < key.len));
    assert_true(key.len <= sizeof(o->last));
    memcpy(o->last, key.data, key.len);
    o->last_len = key.len;
    o->n++;
}

/* More keys than are sorted at once, at and around the sizes of runs. */
static void test_views_of_many_keys_are_sorted(void **state)
{
    static const size_t sizes[] = {1023, 4095, 4096, 4097, 8193, 12289};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct kvstore *s = kvstore_new(i);
        struct order order = {.n = 0};
        struct kv_view *view;
        struct buf b;
        struct rng rng;

        rng_seed(&rng, i);
        while (kvstore_len(s) < sizes[i]) {
            char key[32];
            int n = snprintf(key, sizeof(key), "%s%x",
                             rng_below(&rng, 2) == 0 ? "/a/common/front/" : "/",
                             (unsigned)rng_below(&rng, 100000));

            kvstore_set(s, (struct bytes){(uint8_t *)key, (size_t)n},
                        (struct bytes){(uint8_t *)key, 1});
        }
        view = kvstore_freeze(s);
        buf_init(&b, BUF_UNLIMITED);
        assert_int_equal(kv_view_write(view, append_piece, &b), 0);
        assert_int_equal(kv_view_bytes(view), b.len);
        assert_int_equal(image_decode(buf_bytes(&b), check_order, &order, NULL),
                         0);
        assert_int_equal(order.n, sizes[i]);
        buf_release(&b);
        kvstore_thaw(s, view);
        kvstore_free(s);
    }
}

/* A view may be stopped at any time, and says so. */
static void test_stopped_view(void **state)
{
    struct kvstore *s = kvstore_new(1);
    struct kv_view *view;
    struct buf b;

    (void)state;
    set(s, "/a", "1");
    buf_init(&b, BUF_UNLIMITED);
    view = kvstore_freeze(s);
    kv_view_stop(view);
    assert_int_equal(kv_view_write(view, append_piece, &b), ERR_STOPPED);
    assert_int_equal(kv_view_write(view, append_piece, &b), ERR_STOPPED);
    kvstore_thaw(s, view);
    buf_release(&b);
    kvstore_free(s);
}

/* A model of 200 keys beside a store that is frozen, thawed and melted at
 * random, while views are compared with what they were taken of. */
static void test_freeze_and_thaw_at_random(void **state)
{
    enum {
        N_KEYS = 200
    };
    struct kvstore *s = kvstore_new(3);
    struct kvstore *model = kvstore_new(4); /* never frozen */
    struct lender lender = {0};
    struct kv_view *view = NULL;
    struct buf before;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11);
    buf_init(&before, BUF_UNLIMITED);
    for (size_t step = 0; step < 30000; step++) {
        uint8_t key[3] = {'/', (uint8_t)rng_below(&rng, N_KEYS), 0};
        struct bytes k = {key, 2 + key[1] % 2};
        uint8_t value[KV_APART_MIN + 2];
        struct bytes v = {value, (size_t)rng_below(&rng, 80)};
        struct bytes got;
        struct bytes want;

        switch (rng_below(&rng, 100)) {
        case 0:
            if (view == NULL && !kvstore_is_melting(s)) {
                buf_reset(&before);
                assert_int_equal(kvstore_snapshot(s, &before), 0);
                view = kvstore_freeze(s);
            }
            break;
        case 1:
            if (view != NULL) {
                assert_view(view, &before);
                kvstore_thaw(s, view);
                view = NULL;
            }
            break;
        case 2:
            kvstore_melt(s, (size_t)rng_below(&rng, 5));
            break;
        default:
            memset(value, (int)rng_below(&rng, 256), sizeof(value));
            if (rng_below(&rng, 200) == 0) { /* about where it gets large */
                v.len = KV_APART_MIN - 2 + (size_t)rng_below(&rng, 5);
            }
            if (v.len >= KV_APART_MIN && rng_below(&rng, 4) > 0) {
                lend(&lender, s, k, v);
            } else {
                kvstore_set(s, k, v);
            }
            kvstore_set(model, k, v);
            break;
        }
        key[1] = (uint8_t)rng_below(&rng, N_KEYS);
        k.len = 2 + key[1] % 2;
        assert_int_equal(kvstore_get(s, k, &got), kvstore_get(model, k, &want));
        if (kvstore_get(model, k, &want)) {
            assert_int_equal(got.len, want.len);
            assert_memory_equal(got.data, want.data, got.len);
        }
        assert_int_equal(kvstore_len(s), kvstore_len(model));
        if (step % 500 == 0) {
            struct buf mine;

            buf_init(&mine, BUF_UNLIMITED);
            assert_int_equal(kvstore_snapshot(s, &mine), 0);
            assert_snapshot(model, buf_cstr(&mine));
            buf_release(&mine);
        }
    }
    if (view != NULL) {
        kvstore_thaw(s, view);
    }
    buf_release(&before);
    kvstore_free(model);
    kvstore_free(s);
    assert_int_equal(lender.n_lent, 0);
}

/* --- members --- */

static void test_members_are_sorted_by_id(void **state)
{
    static const uint64_t ids[] = {5, 1, UINT64_MAX, 3, 2};
    static const uint64_t want[] = {1, 2, 3, 5, UINT64_MAX};
    struct kvstore *s = kvstore_new(1);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        kvstore_set_member(s, ids[i], "http://x:1");
    }
    assert_int_equal(kvstore_n_members(s), ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(kvstore_member(s, i).id == want[i]);
        assert_true(kvstore_has_member(s, want[i]));
    }
    kvstore_free(s);
}

static void test_member_url(void **state)
{
    struct kvstore *s = kvstore_new(1);

    (void)state;
    assert_null(kvstore_member_url(s, 1));
    kvstore_set_member(s, 1, NULL);
    assert_true(kvstore_has_member(s, 1));
    assert_null(kvstore_member_url(s, 1));
    kvstore_set_member(s, 1, "http://a:1");
    assert_string_equal(kvstore_member_url(s, 1), "http://a:1");
    kvstore_set_member(s, 1, kvstore_member_url(s, 1)); /* its own */
    assert_string_equal(kvstore_member_url(s, 1), "http://a:1");
    kvstore_set_member(s, 1, "http://b:2");
    assert_string_equal(kvstore_member(s, 0).url, "http://b:2");
    assert_int_equal(kvstore_n_members(s), 1);
    kvstore_free(s);
}

static void test_removed_ids_are_remembered(void **state)
{
    struct kvstore *s = kvstore_new(1);

    (void)state;
    for (uint64_t id = 1; id <= 9; id++) {
        kvstore_set_member(s, id, "http://a:1");
    }
    kvstore_remove_member(s, 5);
    kvstore_remove_member(s, 1);
    kvstore_remove_member(s, 9);
    kvstore_remove_member(s, 5);  /* again */
    kvstore_remove_member(s, 77); /* never was one */
    assert_int_equal(kvstore_n_members(s), 6);
    assert_true(kvstore_was_removed(s, 1));
    assert_true(kvstore_was_removed(s, 5));
    assert_true(kvstore_was_removed(s, 9));
    assert_true(kvstore_was_removed(s, 77));
    assert_false(kvstore_was_removed(s, 2));
    assert_false(kvstore_has_member(s, 5));
    assert_null(kvstore_member_url(s, 5));
    kvstore_set_member(s, 5, "http://b:1");
    assert_false(kvstore_was_removed(s, 5));
    assert_true(kvstore_was_removed(s, 9));
    kvstore_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_get),
        cmocka_unit_test(test_free_null),
        cmocka_unit_test(test_replace_values_of_all_lengths),
        cmocka_unit_test(test_taken_value_lies_where_it_is),
        cmocka_unit_test(test_taken_value_is_given_back_once),
        cmocka_unit_test(test_snapshot_sorts_by_bytes),
        cmocka_unit_test(test_snapshot_of_nothing_is_an_object),
        cmocka_unit_test(test_snapshot_reports_full_buffer),
        cmocka_unit_test(test_restore_replaces_everything),
        cmocka_unit_test(test_restore_error_changes_nothing),
        cmocka_unit_test(test_restore_then_snapshot_is_identity),
        cmocka_unit_test(test_view_stays_as_it_was),
        cmocka_unit_test(test_view_keeps_a_taken_value),
        cmocka_unit_test(test_view_of_nothing_melts_at_once),
        cmocka_unit_test(test_sets_melt),
        cmocka_unit_test(test_restore_in_the_middle_of_melting),
        cmocka_unit_test(test_view_stops_where_the_sink_does),
        cmocka_unit_test(test_views_of_many_keys_are_sorted),
        cmocka_unit_test(test_stopped_view),
        cmocka_unit_test(test_freeze_and_thaw_at_random),
        cmocka_unit_test(test_members_are_sorted_by_id),
        cmocka_unit_test(test_member_url),
        cmocka_unit_test(test_removed_ids_are_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
