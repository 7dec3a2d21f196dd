/* Goal: the store keeps what it is given, byte for byte, and equal states give
 * equal snapshots. Method: a model of 64 keys beside it, and tables of small
 * stories about members. */

#include "src/kv/kvstore.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/base/rng.h"
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
        cmocka_unit_test(test_snapshot_sorts_by_bytes),
        cmocka_unit_test(test_snapshot_of_nothing_is_an_object),
        cmocka_unit_test(test_snapshot_reports_full_buffer),
        cmocka_unit_test(test_restore_replaces_everything),
        cmocka_unit_test(test_restore_error_changes_nothing),
        cmocka_unit_test(test_restore_then_snapshot_is_identity),
        cmocka_unit_test(test_members_are_sorted_by_id),
        cmocka_unit_test(test_member_url),
        cmocka_unit_test(test_removed_ids_are_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
