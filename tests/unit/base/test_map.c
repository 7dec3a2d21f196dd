/* Goal: the map finds what is in it and nothing else, through growth and
 * removal. Method: a few named cases, then random operations next to an array
 * indexed by key as the model, with a full iteration now and then. */

#include "src/base/map.h"

#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

struct item {
    char key[16];
    size_t key_len;
    int value;
};

static struct bytes item_key(const void *p)
{
    const struct item *it = p;
    const void *key = it->key;

    return (struct bytes){key, it->key_len};
}

static struct bytes bytes_of(const char *s)
{
    const void *data = s;

    return (struct bytes){data, strlen(s)};
}

static struct item item_of(const char *key, int value)
{
    struct item it = {.key_len = strlen(key), .value = value};

    memcpy(it.key, key, it.key_len);
    return it;
}

static void test_empty(void **state)
{
    (void)state;
    struct map m;
    size_t pos = 0;
    map_init(&m, item_key, 1);

    assert_null(map_find(&m, bytes_of("a")));
    assert_null(map_take(&m, bytes_of("a")));
    assert_null(map_next(&m, &pos));
    map_release(&m);
    map_release(&m);
}

static void test_put_find_take(void **state)
{
    (void)state;
    struct item a = item_of("a", 1);
    struct item again = item_of("a", 2);
    struct map m;
    map_init(&m, item_key, 1);

    assert_null(map_put(&m, &a));
    assert_ptr_equal(map_find(&m, bytes_of("a")), &a);
    assert_ptr_equal(map_put(&m, &again), &a);
    assert_int_equal(m.len, 1);
    assert_ptr_equal(map_take(&m, bytes_of("a")), &again);
    assert_int_equal(m.len, 0);
    assert_null(map_find(&m, bytes_of("a")));
    map_release(&m);
}

static void test_keys_are_bytes(void **state)
{
    (void)state;
    /* Keys that a comparison of strings would take for the same. */
    struct item items[] = {item_of("", 0), item_of("x", 1), item_of("x", 2),
                           item_of("x", 3)};
    struct map m;

    items[2].key_len = 2;
    items[3].key_len = 9;
    map_init(&m, item_key, 1);
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        assert_null(map_put(&m, &items[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        assert_ptr_equal(map_find(&m, item_key(&items[i])), &items[i]);
    }
    assert_ptr_equal(map_find(&m, (struct bytes){0}), &items[0]);
    map_release(&m);
}

/* The low bits choose the slot, so they must differ for keys that are alike. */
static void test_hash_spreads_similar_keys(void **state)
{
    (void)state;
    unsigned used[256] = {0};

    for (int i = 0; i < 4096; i++) {
        char key[24];
        (void)snprintf(key, sizeof(key), "/user/%010d", i);
        used[map_hash(bytes_of(key), 0) & 255]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(used); i++) {
        assert_in_range(used[i], 1, 48); /* 16 on average */
    }
}

/* Keys that share a run of slots under one seed do not under another: chosen
 * without the seed, they are no better than any other keys. */
static void test_seed_scatters_chosen_keys(void **state)
{
    (void)state;
    unsigned used[256] = {0};
    unsigned n_chosen = 0;

    for (int i = 0; n_chosen < 512; i++) {
        char key[24];
        (void)snprintf(key, sizeof(key), "/user/%010d", i);
        if ((map_hash(bytes_of(key), 1) & 255) == 7) {
            n_chosen++;
            used[map_hash(bytes_of(key), 2) & 255]++;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(used); i++) {
        assert_in_range(used[i], 0, 16); /* 2 on average */
    }
}

#define N_KEYS 300

static void check_all(const struct map *m, const bool *present,
                      struct item *items)
{
    size_t n_present = 0;
    size_t n_seen = 0;
    size_t pos = 0;

    for (size_t i = 0; i < N_KEYS; i++) {
        struct item *want = present[i] ? &items[i] : NULL;

        assert_ptr_equal(map_find(m, item_key(&items[i])), want);
        n_present += present[i];
    }
    for (struct item *it; (it = map_next(m, &pos)) != NULL; n_seen++) {
        assert_true(present[it->value]);
    }
    assert_int_equal(n_seen, n_present);
    assert_int_equal(m->len, n_present);
}

static void test_random_operations(void **state)
{
    (void)state;
    static struct item items[N_KEYS];
    bool present[N_KEYS] = {0};
    struct rng r;
    struct map m;

    rng_seed(&r, 2);
    map_init(&m, item_key, 1);
    for (int i = 0; i < N_KEYS; i++) {
        (void)snprintf(items[i].key, sizeof(items[i].key), "k%d", i);
        items[i].key_len = strlen(items[i].key);
        items[i].value = i;
    }
    for (int step = 0; step < 20000; step++) {
        /* Grow, then shrink: both directions see long runs of slots. */
        uint64_t puts_of_ten = step % 2000 < 1000 ? 8 : 2;
        size_t i = rng_below(&r, N_KEYS);
        struct item *before = present[i] ? &items[i] : NULL;

        if (rng_below(&r, 10) < puts_of_ten) {
            assert_ptr_equal(map_put(&m, &items[i]), before);
            present[i] = true;
        } else {
            assert_ptr_equal(map_take(&m, item_key(&items[i])), before);
            present[i] = false;
        }
        if (step % 100 == 0) {
            check_all(&m, present, items);
        }
    }
    check_all(&m, present, items);
    map_release(&m);
}

/* Emptied a few at a time, with others taken out by key in between: every item
 * comes once, and what is left is found all the while. */
static void test_drain(void **state)
{
    static struct item items[N_KEYS];
    struct rng r;

    (void)state;
    rng_seed(&r, 5);
    for (size_t n = 0; n <= N_KEYS; n += 1 + n / 4) {
        bool present[N_KEYS] = {0};
        struct item *it;
        struct map m;
        size_t pos = 0;

        map_init(&m, item_key, n);
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(items[i].key, sizeof(items[i].key), "k%zu", i);
            items[i].key_len = strlen(items[i].key);
            items[i].value = (int)i;
            present[i] = true;
            assert_null(map_put(&m, &items[i]));
        }
        while ((it = map_drain(&m, &pos)) != NULL) {
            size_t other = n == 0 ? 0 : rng_below(&r, n);

            assert_true(present[it->value]);
            present[it->value] = false;
            if (rng_below(&r, 3) == 0) {
                assert_ptr_equal(map_take(&m, item_key(&items[other])),
                                 present[other] ? &items[other] : NULL);
                present[other] = false;
            }
            check_all(&m, present, items);
        }
        assert_int_equal(m.len, 0);
        assert_null(map_drain(&m, &pos));
        map_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_put_find_take),
        cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_hash_spreads_similar_keys),
        cmocka_unit_test(test_seed_scatters_chosen_keys),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
