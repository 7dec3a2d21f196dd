/* Goal: any gap is one tick, and input that waits comes before it. Method: the
 * turns of an event loop, at times that the test makes up. */

#include "src/server/ticker.h"

#include "tests/lib/cmocka.h"

#define PERIOD_MS 100
#define START_MS  5000

static struct ticker begin(void)
{
    struct ticker t;

    ticker_init(&t, START_MS, PERIOD_MS);
    return t;
}

/* A turn of the loop: whether it ticked. */
static bool turn(struct ticker *t, uint64_t look_ms, uint64_t take_ms)
{
    (void)ticker_look(t, look_ms);
    return ticker_take(t, take_ms);
}

static void test_nothing_is_due_before_the_period_is_over(void **state)
{
    struct ticker t = begin();

    (void)state;
    assert_int_equal(ticker_wait_ms(&t, START_MS), PERIOD_MS);
    assert_int_equal(ticker_wait_ms(&t, START_MS + 99), 1);
    assert_false(turn(&t, START_MS, START_MS));
    assert_false(turn(&t, START_MS + 99, START_MS + 99));
    assert_int_equal(ticker_wait_ms(&t, START_MS + 100), 0);
    assert_true(turn(&t, START_MS + 100, START_MS + 100));
}

static void test_one_tick_a_period(void **state)
{
    struct ticker t = begin();
    int n = 0;

    (void)state;
    for (uint64_t ms = 1; ms <= 1000; ms++) {
        n += turn(&t, START_MS + ms, START_MS + ms) ? 1 : 0;
    }
    assert_int_equal(n, 10);
}

static void test_a_gap_is_one_tick(void **state)
{
    static const uint64_t gaps_ms[] = {
        100, 101, 199, 200, 1000, 60000, 1000000000, UINT32_MAX, 12345, 250};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(gaps_ms); i++) {
        struct ticker t = begin();
        uint64_t now = START_MS + gaps_ms[i];

        assert_true(turn(&t, now, now));
        /* The turns after it, which come at once. */
        for (uint64_t ms = 0; ms < PERIOD_MS; ms++) {
            assert_false(turn(&t, now + ms, now + ms));
        }
        assert_true(turn(&t, now + PERIOD_MS, now + PERIOD_MS));
    }
}

/* The gap may lie between the two halves, too: reading took long. */
static void test_a_gap_inside_of_a_turn_is_one_tick(void **state)
{
    struct ticker t = begin();

    (void)state;
    assert_true(ticker_look(&t, START_MS + 100));
    assert_true(ticker_take(&t, START_MS + 5000));
    assert_false(turn(&t, START_MS + 5000, START_MS + 5099));
    assert_false(turn(&t, START_MS + 5099, START_MS + 5099));
    assert_true(turn(&t, START_MS + 5100, START_MS + 5100));
}

/* What became due while the input was waited for is taken a turn later, when
 * the input of the gap was read. */
static void test_input_comes_before_the_tick(void **state)
{
    struct ticker t = begin();

    (void)state;
    assert_false(ticker_look(&t, START_MS + 50));
    assert_false(ticker_take(&t, START_MS + 60000));
    assert_true(ticker_look(&t, START_MS + 60000));
    assert_true(ticker_take(&t, START_MS + 60000));
}

static void test_look_alone_takes_nothing(void **state)
{
    struct ticker t = begin();

    (void)state;
    for (uint64_t ms = 100; ms < 1000; ms += 100) {
        assert_true(ticker_look(&t, START_MS + ms));
        assert_int_equal(ticker_wait_ms(&t, START_MS + ms), 0);
    }
    assert_true(ticker_take(&t, START_MS + 1000));
    assert_false(ticker_take(&t, START_MS + 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_due_before_the_period_is_over),
        cmocka_unit_test(test_one_tick_a_period),
        cmocka_unit_test(test_a_gap_is_one_tick),
        cmocka_unit_test(test_a_gap_inside_of_a_turn_is_one_tick),
        cmocka_unit_test(test_input_comes_before_the_tick),
        cmocka_unit_test(test_look_alone_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
