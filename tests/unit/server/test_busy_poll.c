/* Goal: the loop stays awake while input comes soon, and sleeps otherwise.
 * Method: looks and turns at times that the test makes up. */

#include "src/server/busy_poll.h"

#include "tests/lib/cmocka.h"

#define SOON_NS BUSY_POLL_NS
#define LATE_NS (BUSY_POLL_NS + 1)

struct fixture {
    struct busy_poll b;
    uint64_t inputs;
    uint64_t work;
    bool owed;
    uint64_t now_ns;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){.now_ns = 1000 * BUSY_POLL_NS};
}

static bool turn(struct fixture *f)
{
    return busy_poll_again(&f->b, f->work, f->owed, f->now_ns);
}

/* A look after so long, and its turn; `came`: it found input, whose work took
 * no time. True: the next look shall not wait. */
static bool look(struct fixture *f, uint64_t after_ns, bool came)
{
    f->now_ns += after_ns;
    f->inputs += came;
    f->work += came;
    busy_poll_looked(&f->b, f->inputs, f->now_ns);
    return turn(f);
}

static void test_sleeps_at_first(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_false(look(&f, 0, false));
    assert_false(look(&f, SOON_NS, false));
    assert_false(look(&f, 0, true)); /* nothing was ever waited for */
}

static void test_stays_awake_while_input_comes_soon(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    look(&f, LATE_NS, true);
    for (int i = 0; i < 3; i++) {
        assert_true(look(&f, SOON_NS, true));
    }
}

static void test_looks_again_until_its_time_is_over(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    look(&f, LATE_NS, true);
    assert_true(look(&f, SOON_NS, true));
    assert_true(look(&f, SOON_NS / 2, false));
    assert_true(look(&f, SOON_NS - SOON_NS / 2, false));
    assert_false(look(&f, 1, false));
    assert_false(look(&f, SOON_NS, false));
}

static void test_one_that_comes_late_ends_it(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    look(&f, LATE_NS, true);
    assert_true(look(&f, SOON_NS, true));
    assert_false(look(&f, LATE_NS, true));
    assert_true(look(&f, SOON_NS, true)); /* it was asleep, and pays again */
}

/* A sync at the helm, between two looks. */
static void test_work_is_not_waiting(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    look(&f, LATE_NS, true);
    assert_true(look(&f, SOON_NS, true));
    f.now_ns += 2 * LATE_NS;
    f.work++;
    assert_true(turn(&f));
    assert_true(look(&f, SOON_NS, true));
}

static void test_what_is_owed_is_waited_for_longer(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    f.owed = true;
    look(&f, LATE_NS, true);
    assert_true(look(&f, BUSY_POLL_OWED_NS, true));
    assert_true(look(&f, BUSY_POLL_OWED_NS, false));
    assert_false(look(&f, 1, false));
}

static void test_each_kind_of_wait_goes_by_its_own_last_one(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    look(&f, LATE_NS, true);
    assert_true(look(&f, SOON_NS, true));
    f.owed = true;
    assert_false(turn(&f)); /* none was owed before */
    f.owed = false;
    assert_true(turn(&f));
    f.owed = true;
    assert_false(turn(&f));
    assert_true(look(&f, SOON_NS, true));
    f.owed = false;
    assert_true(turn(&f));
    assert_false(look(&f, LATE_NS, true));
    f.owed = true;
    assert_true(turn(&f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sleeps_at_first),
        cmocka_unit_test(test_stays_awake_while_input_comes_soon),
        cmocka_unit_test(test_looks_again_until_its_time_is_over),
        cmocka_unit_test(test_one_that_comes_late_ends_it),
        cmocka_unit_test(test_work_is_not_waiting),
        cmocka_unit_test(test_what_is_owed_is_waited_for_longer),
        cmocka_unit_test(test_each_kind_of_wait_goes_by_its_own_last_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
