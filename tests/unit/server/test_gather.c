/* Goal: requests of clients that are answered together go together again, and
 * none waits where waiting does not pay. Method: the turns of an event loop, at
 * times and with clients that the test makes up. */

#include "src/server/gather.h"

#include "tests/lib/cmocka.h"

#define QUICK_NS (GATHER_PATIENCE_NS / 4)

/* What raftnode would count. */
struct fixture {
    struct gather g;
    struct request_load load;
    uint64_t now_ns;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){.now_ns = 1};
}

/* A turn: `come` requests are there, and the first `answered` of those under
 * way are answered. True: what waited was sent. */
static bool turn_without_look(struct fixture *f, size_t come, size_t answered,
                              enum gather_next *next)
{
    size_t waited = f->load.waiting + come;
    bool holds;

    f->load.waiting = waited;
    holds = gather_begin(&f->g, f->load, f->now_ns);
    assert_true(answered <= f->load.under_way);
    f->load.under_way -= answered;
    if (!holds) {
        f->load.under_way += waited;
        f->load.waiting = 0;
    }
    *next = gather_end(&f->g, f->load, f->now_ns);
    return !holds && waited > 0;
}

static bool turn(struct fixture *f, size_t come, size_t answered,
                 enum gather_next *next)
{
    gather_look(&f->g);
    return turn_without_look(f, come, answered, next);
}

static void expect_sent(struct fixture *f, size_t come, size_t answered)
{
    enum gather_next next;

    assert_true(turn(f, come, answered, &next));
    assert_int_equal(next, GATHER_NOTHING);
}

static void expect_held(struct fixture *f, size_t come, size_t answered,
                        enum gather_next expected)
{
    enum gather_next next;

    assert_false(turn(f, come, answered, &next));
    assert_int_equal(next, expected);
}

static void test_nothing_waits_for_nothing(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_held(&f, 0, 0, GATHER_NOTHING);
    expect_sent(&f, 1, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 0, 1, GATHER_NOTHING);
    expect_sent(&f, 1, 0);
    f.now_ns += QUICK_NS;
    expect_sent(&f, 1, 1); /* answered, and there is the next one */
}

static void test_a_late_one_waits_for_the_clients_of_a_batch(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 58, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 6, 0, GATHER_LATER);
    f.now_ns += QUICK_NS;
    expect_held(&f, 0, 58, GATHER_NOW);
    expect_held(&f, 30, 0, GATHER_NOW);
    expect_held(&f, 20, 0, GATHER_NOW);
    expect_sent(&f, 4, 0); /* hardly more than before: all 60 */
    assert_int_equal(f.load.under_way, 60);
}

/* The answers of the batch found nobody waiting. */
static void test_the_first_to_ask_again_waits_for_the_others(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 64, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 0, 64, GATHER_NOTHING);
    expect_held(&f, 1, 0, GATHER_NOW);
    expect_held(&f, 40, 0, GATHER_NOW);
    expect_sent(&f, 23, 0); /* all of them */
}

static void test_looks_end(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 10000, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 0, 10000, GATHER_NOTHING);
    for (size_t i = 0, n = 1; i < GATHER_LOOKS; i++, n *= 2) {
        expect_held(&f, n, 0, GATHER_NOW);
    }
    expect_sent(&f, 1000, 0);
}

/* A loop that would look again and again has a whole processor. */
static void test_looks_end_where_nobody_comes(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 64, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 1, 0, GATHER_LATER);
    expect_held(&f, 0, 64, GATHER_NOW);
    expect_sent(&f, 0, 0);
}

static void test_a_few_are_not_waited_for(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, GATHER_MIN - 1, 0);
    f.now_ns += QUICK_NS;
    expect_sent(&f, 1, 0);
    f.now_ns += QUICK_NS; /* now there are enough */
    expect_held(&f, 1, 0, GATHER_LATER);
}

static void test_many_do_not_wait_for_a_few(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, GATHER_MIN, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 2 * GATHER_MIN - 1, 0, GATHER_LATER);
    expect_sent(&f, 1, 0);
}

static void test_patience_ends(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 20, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 1, 0, GATHER_LATER);
    f.now_ns += GATHER_PATIENCE_NS - 1;
    expect_held(&f, 1, 0, GATHER_LATER);
    f.now_ns += 1;
    expect_sent(&f, 0, 0);
    /* The next to come has patience of its own. */
    expect_held(&f, 1, 0, GATHER_LATER);
    f.now_ns += GATHER_PATIENCE_NS - 1;
    expect_held(&f, 0, 0, GATHER_LATER);
}

/* A disk or a network that takes its time. */
static void test_slow_batches_are_not_waited_for(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 20, 0);
    f.now_ns += GATHER_PATIENCE_NS;
    expect_held(&f, 0, 20, GATHER_NOTHING);
    expect_held(&f, 10, 0, GATHER_NOW); /* looking costs nothing */
    expect_sent(&f, 0, 0);
    f.now_ns += QUICK_NS;
    expect_sent(&f, 1, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 0, 11, GATHER_NOTHING);
    /* That was quick again, for the last of them. */
    expect_held(&f, 5, 0, GATHER_NOW);
    expect_sent(&f, 0, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 1, 0, GATHER_LATER);
}

/* raftnode sends nothing, and asks reads again after an election. */
static void test_without_a_leader_nothing_is_looked_for(void **state)
{
    struct gather g = {0};
    struct request_load asked = {.waiting = 0, .under_way = 20};
    struct request_load again = {.waiting = 20, .under_way = 0};

    (void)state;
    gather_look(&g);
    assert_false(gather_begin(&g, again, 1));
    assert_int_equal(gather_end(&g, asked, 1), GATHER_NOTHING);
    gather_look(&g);
    assert_false(gather_begin(&g, asked, 2));
    assert_int_equal(gather_end(&g, again, 2), GATHER_NOTHING);
    for (uint64_t now_ns = 3; now_ns < 10; now_ns++) {
        gather_look(&g);
        assert_false(gather_begin(&g, again, now_ns));
        assert_int_equal(gather_end(&g, again, now_ns), GATHER_NOTHING);
    }
}

/* A batch is answered in parts: those who are not are waited for. */
static void test_answers_in_parts(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 40, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 3, 30, GATHER_LATER);
    expect_held(&f, 5, 0, GATHER_LATER);
    expect_held(&f, 0, 10, GATHER_NOW);
    expect_held(&f, 20, 0, GATHER_NOW);
    expect_sent(&f, 12, 0); /* as many as were answered */
}

/* The loop has such turns, behind timers and behind a write to the log: nobody
 * knows yet who else asks again. */
static void test_a_turn_without_a_look_decides_nothing(void **state)
{
    enum gather_next next;
    struct fixture f;

    (void)state;
    begin(&f);
    expect_sent(&f, 64, 0);
    f.now_ns += QUICK_NS;
    expect_held(&f, 1, 0, GATHER_LATER);
    expect_held(&f, 0, 64, GATHER_NOW);
    for (int i = 0; i < 2 * GATHER_LOOKS; i++) {
        assert_false(turn_without_look(&f, 0, 0, &next));
        assert_int_equal(next, GATHER_NOW);
    }
    expect_held(&f, 50, 0, GATHER_NOW);
    expect_sent(&f, 13, 0);
    assert_int_equal(f.load.under_way, 64);
    /* What comes behind those that were let go goes with them. */
    assert_true(turn_without_look(&f, 1, 0, &next));
    assert_int_equal(next, GATHER_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_waits_for_nothing),
        cmocka_unit_test(test_a_late_one_waits_for_the_clients_of_a_batch),
        cmocka_unit_test(test_the_first_to_ask_again_waits_for_the_others),
        cmocka_unit_test(test_looks_end),
        cmocka_unit_test(test_looks_end_where_nobody_comes),
        cmocka_unit_test(test_a_few_are_not_waited_for),
        cmocka_unit_test(test_many_do_not_wait_for_a_few),
        cmocka_unit_test(test_patience_ends),
        cmocka_unit_test(test_slow_batches_are_not_waited_for),
        cmocka_unit_test(test_without_a_leader_nothing_is_looked_for),
        cmocka_unit_test(test_answers_in_parts),
        cmocka_unit_test(test_a_turn_without_a_look_decides_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
