/* Goal: reads are confirmed by positions, in order, by a quorum of voters, and
 * by nothing else [raft-core 21.2].
 * Method: a leader 1 of the voters 1, 2, 3; requests and echoes in the orders
 * that matter. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"

#include "src/raft/read_only.h"

static struct read_only ro;
static struct joint_config voters;

static int set_up(void **state)
{
    (void)state;
    read_only_init(&ro, READ_ONLY_SAFE);
    for (uint64_t id = 1; id <= 3; id++) {
        id_set_add(&voters.incoming, id);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    read_only_release(&ro);
    id_set_release(&voters.incoming);
    id_set_release(&voters.outgoing);
    return 0;
}

static void ask(uint64_t from, uint64_t index)
{
    struct raft_entry *e = test_entry(0, 0);

    read_only_add_request(&ro, 1, (struct read_request){from, index, e});
    raft_entry_unref(e);
}

static bool echo(uint64_t id, uint64_t position)
{
    uint8_t ctx[8] = {(uint8_t)position, (uint8_t)(position >> 8)};

    return read_only_recv_ack(&ro, id, (struct bytes){ctx, sizeof ctx});
}

static void assert_pop(uint64_t from, uint64_t index)
{
    struct read_request req;

    read_only_pop(&ro, &req);
    assert_int_equal(req.from, from);
    assert_int_equal(req.index, index);
    assert_int_equal(req.entry->refs, 1);
    raft_entry_unref(req.entry);
}

static void assert_context(const uint8_t want[8])
{
    uint8_t ctx[READ_ONLY_CONTEXT_SIZE];
    struct bytes b = read_only_heartbeat_context(&ro, ctx);

    if (want == NULL) {
        assert_null(b.data);
        return;
    }
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, want, 8);
}

/* The trace of raft-core RI-12. */
static void test_one_echo_confirms_all_before(void **state)
{
    (void)state;
    assert_context(NULL);
    ask(0, 4);
    assert_context((uint8_t[8]){1});
    ask(3, 5);
    assert_context((uint8_t[8]){2});
    assert_int_equal(read_only_advance(&ro, &voters), 0);
    assert_true(echo(2, 2));
    assert_int_equal(read_only_advance(&ro, &voters), 2);
    assert_pop(0, 4);
    assert_int_equal(read_only_advance(&ro, &voters), 1);
    assert_pop(3, 5);
    assert_int_equal(read_only_advance(&ro, &voters), 0);
    assert_context(NULL);
    ask(0, 9);
    assert_context((uint8_t[8]){3});
}

static void test_echo_of_an_older_position(void **state)
{
    (void)state;
    ask(0, 4);
    ask(0, 5);
    assert_true(echo(2, 1));
    assert_int_equal(read_only_advance(&ro, &voters), 1);
    assert_pop(0, 4);
    assert_true(echo(2, 2));
    assert_true(echo(2, 1)); /* late: nothing is taken back */
    assert_int_equal(read_only_advance(&ro, &voters), 1);
    assert_pop(0, 5);
}

/* Learners and former members echo, too. */
static void test_only_voters_count(void **state)
{
    (void)state;
    ask(0, 4);
    assert_true(echo(7, 1));
    assert_true(echo(8, 1));
    assert_int_equal(read_only_advance(&ro, &voters), 0);
}

static void test_both_halves_are_needed(void **state)
{
    (void)state;
    id_set_add(&voters.outgoing, 1);
    id_set_add(&voters.outgoing, 4);
    ask(0, 4);
    assert_true(echo(2, 1));
    assert_int_equal(read_only_advance(&ro, &voters), 0);
    assert_true(echo(4, 1));
    assert_int_equal(read_only_advance(&ro, &voters), 1);
}

/* A context that is no position of ours confirms nothing, now or later. */
static void test_bad_contexts_are_refused(void **state)
{
    static const uint8_t eight[8] = {1};

    (void)state;
    ask(0, 4);
    assert_false(echo(2, 2)); /* not given out yet */
    assert_false(read_only_recv_ack(&ro, 2, (struct bytes){eight, 7}));
    assert_false(read_only_recv_ack(&ro, 2, (struct bytes){eight, 0}));
    assert_false(read_only_recv_ack(&ro, 2, (struct bytes){NULL, 0}));
    assert_int_equal(read_only_advance(&ro, &voters), 0);
    ask(0, 5);
    assert_int_equal(read_only_advance(&ro, &voters), 0);
}

static void test_reset_starts_again(void **state)
{
    (void)state;
    ask(0, 4);
    ask(0, 5);
    assert_true(echo(2, 2));
    assert_pop(0, 4);
    read_only_reset(&ro);
    assert_int_equal(read_only_pending(&ro), 0);
    assert_int_equal(ro.option, READ_ONLY_SAFE);
    ask(0, 6);
    assert_context((uint8_t[8]){1});
    assert_int_equal(read_only_advance(&ro, &voters), 0);
}

/* Many requests in flight: order and positions hold while the queue moves. */
static void test_long_queue(void **state)
{
    uint64_t asked = 0;
    uint64_t answered = 0;

    (void)state;
    while (answered < 600) {
        for (int i = 0; i < 3 && asked < 600; i++) {
            ask(0, ++asked);
        }
        assert_int_equal(read_only_last_position(&ro), asked);
        assert_true(echo(3, answered + 1 + (asked - answered) / 2));
        for (size_t n = read_only_advance(&ro, &voters); n > 0; n--) {
            assert_pop(0, ++answered);
        }
        if (asked == 600) {
            assert_true(echo(3, 600));
        }
    }
    assert_int_equal(ro.confirmed, 600);
}

/* Few of many are answered: those that wait stay where they are. */
static void test_front_of_a_long_queue(void **state)
{
    uint64_t answered = 0;

    (void)state;
    for (uint64_t i = 1; i <= 200; i++) {
        ask(0, i);
    }
    assert_true(echo(2, 60));
    assert_int_equal(read_only_advance(&ro, &voters), 60);
    while (answered < 60) {
        assert_pop(0, ++answered);
    }
    assert_int_equal(read_only_pending(&ro), 140);
    assert_int_equal(read_only_last_position(&ro), 200);
    assert_true(echo(3, 200));
    assert_int_equal(read_only_advance(&ro, &voters), 140);
    while (answered < 200) {
        assert_pop(0, ++answered);
    }
    assert_int_equal(read_only_pending(&ro), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_echo_confirms_all_before),
        TEST(test_echo_of_an_older_position),
        TEST(test_only_voters_count),
        TEST(test_both_halves_are_needed),
        TEST(test_bad_contexts_are_refused),
        TEST(test_reset_starts_again),
        TEST(test_long_queue),
        TEST(test_front_of_a_long_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
