/* Goal: the same seed gives the same numbers everywhere, and rng_below is
 * uniform. Method: known values of splitmix64 and xoshiro256**, and coarse
 * counts over a fixed seed, so that the test cannot fail by chance. */

#include "src/base/rng.h"

#include "tests/lib/cmocka.h"
#include "tests/lib/death.h"

static void test_seeding_is_splitmix64(void **state)
{
    (void)state;
    /* The first outputs of splitmix64 for seed 1234567, as published. */
    static const uint64_t want[] = {
        UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423), UINT64_C(4593380528125082431)};
    struct rng r;

    rng_seed(&r, 1234567);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(r.s[i] == want[i]);
    }
}

static void test_xoshiro_known_values(void **state)
{
    (void)state;
    /* Outputs for the state 1, 2, 3, 4, as in the tests of rand_xoshiro. */
    static const uint64_t want[] = {UINT64_C(11520), 0, UINT64_C(1509978240),
                                    UINT64_C(1215971899390074240)};
    struct rng r = {.s = {1, 2, 3, 4}};

    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(rng_next(&r) == want[i]);
    }
}

static void test_below_is_in_range_and_uniform(void **state)
{
    (void)state;
    unsigned counts[10] = {0};
    struct rng r;

    rng_seed(&r, 4);
    for (int i = 0; i < 10000; i++) {
        uint64_t x = rng_below(&r, ARRAY_LEN(counts));

        assert_true(x < ARRAY_LEN(counts));
        counts[x]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        assert_in_range(counts[i], 850, 1150);
    }
}

static void test_below_edges(void **state)
{
    (void)state;
    struct rng r;

    rng_seed(&r, 5);
    for (int i = 0; i < 100; i++) {
        assert_true(rng_below(&r, 1) == 0);
        assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
        assert_true(rng_below(&r, (UINT64_C(1) << 63) + 1) <= UINT64_C(1)
                                                                  << 63);
    }
}

static void below_zero(void *ctx)
{
    struct rng r;

    (void)ctx;
    rng_seed(&r, 0);
    (void)rng_below(&r, 0);
}

static void test_below_zero_aborts(void **state)
{
    (void)state;
    assert_true(test_aborts(below_zero, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeding_is_splitmix64),
        cmocka_unit_test(test_xoshiro_known_values),
        cmocka_unit_test(test_below_is_in_range_and_uniform),
        cmocka_unit_test(test_below_edges),
        cmocka_unit_test(test_below_zero_aborts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
