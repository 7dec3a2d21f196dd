/* Flow control of appends: the window of messages and bytes to one follower.
 *
 * Goal: raft-core 10.3 and 12.2 as a leader lives them. Method: a leader of two
 * whose follower is put into StateReplicate and answers when the test says so;
 * names and scenarios of etcd-io/raft raft_flow_control_test.go. */

#include "tests/lib/raft_fixture.h"

#define WINDOW 256

static struct node *replicating_leader(void)
{
    struct node *n = NODE(.voters = IDS(1, 2), .election = 5);

    node_become_leader(n);
    drop_messages(&n->r);
    progress_become_replicate(pr_of(n, 2));
    return n;
}

static void fill_window(struct node *n)
{
    for (size_t i = 0; i < WINDOW; i++) {
        node_propose(n, "somedata");
        drop_messages(&n->r);
    }
}

static void test_msg_app_flow_control_full(void **state)
{
    struct node *n = replicating_leader();

    (void)state;
    for (size_t i = 0; i < WINDOW; i++) {
        assert_false(progress_is_paused(pr_of(n, 2)));
        node_propose(n, "somedata");
        assert_int_equal(drop_messages(&n->r), 1);
    }
    assert_true(progress_is_paused(pr_of(n, 2)));
    for (size_t i = 0; i < 10; i++) {
        node_propose(n, "somedata");
        assert_int_equal(drop_messages(&n->r), 0);
    }
    node_free(n);
}

static void test_msg_app_flow_control_move_forward(void **state)
{
    struct node *n = replicating_leader();

    (void)state;
    fill_window(n);
    /* 1 is the empty entry, sent before the window was counted. */
    for (uint64_t ack = 2; ack < WINDOW; ack++) {
        node_step(n, MSG(APP_RESP, 2, 1, .index = ack));
        drop_messages(&n->r);
        node_propose(n, "somedata");
        assert_int_equal(drop_messages(&n->r), 1);
        assert_true(progress_is_paused(pr_of(n, 2)));
        /* Older acknowledgements free nothing. */
        for (uint64_t old = 0; old < ack; old++) {
            node_step(n, MSG(APP_RESP, 2, 1, .index = old));
            assert_true(progress_is_paused(pr_of(n, 2)));
        }
    }
    node_free(n);
}

/* PF-11: one empty append per heartbeat answer, so that a follower which lost
 * the whole window can say so. */
static void test_msg_app_flow_control_recv_heartbeat(void **state)
{
    struct node *n = replicating_leader();

    (void)state;
    fill_window(n);
    for (int round = 1; round < 5; round++) {
        /* Several answers in a row: each brings one. */
        for (int i = 0; i < round; i++) {
            struct message_queue q;

            assert_true(progress_is_paused(pr_of(n, 2)));
            node_step(n, MSG(HEARTBEAT_RESP, 2, 1));
            q = read_messages(&n->r);
            assert_int_equal(q.len, 1);
            assert_int_equal(q.items[0].type, RAFT_MSG_APP);
            assert_int_equal(q.items[0].entries.len, 0);
            message_queue_release(&q);
        }
        for (int i = 0; i < 10; i++) {
            assert_true(progress_is_paused(pr_of(n, 2)));
            node_propose(n, "somedata");
            assert_int_equal(drop_messages(&n->r), 0);
        }
    }
    node_free(n);
}

/* Acknowledge up to `index` and return how many entries each append carries. */
static uint64_t ack(struct node *n, uint64_t index, const size_t *want,
                    size_t n_want)
{
    struct message_queue q;
    uint64_t last = index;

    node_step(n, MSG(APP_RESP, 2, 1, .index = index));
    q = read_messages(&n->r);
    assert_int_equal(q.len, n_want);
    for (size_t i = 0; i < q.len; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_APP);
        assert_int_equal(q.items[i].entries.len, want[i]);
        last = q.items[i].index + q.items[i].entries.len;
    }
    message_queue_release(&q);
    return last;
}

static void test_progress_flow_control(void **state)
{
    static const size_t rounds[][3] = {{2, 2, 2}, {2, 1, 1}, {1, 1},
                                       {1, 1},    {1, 2, 2}, {2}};
    static const size_t counts[] = {3, 3, 2, 2, 3, 1};
    struct node *n =
        NODE(.voters = IDS(1, 2), .election = 5, .max_inflight_msgs = 3,
             .max_size_per_msg = 2048, .max_inflight_bytes = 9000);
    struct message_queue q;
    uint64_t last;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    progress_become_probe(pr_of(n, 2));
    for (int i = 0; i < 22; i++) {
        size_t len = i >= 10 && i < 16 ? 5000 : 1000;

        node_step(n, with_blob(MSG(PROP, 1, 1), len));
    }
    /* Probing: one append, the empty entry and the first large one. */
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].entries.len, 2);
    assert_int_equal(q.items[0].entries.items[0]->len, 0);
    assert_int_equal(q.items[0].entries.items[1]->len, 1000);
    last = q.items[0].index + 2;
    message_queue_release(&q);
    for (size_t i = 0; i < ARRAY_LEN(rounds); i++) {
        last = ack(n, last, rounds[i], counts[i]);
    }
    /* All arrived: only the commit index is left to tell. */
    assert_int_equal(ack(n, last, (const size_t[]){0}, 1), last);
    node_free(n);
}

/* MaxSizePerMsg 0 means one entry per message. */
static void test_one_entry_per_message(void **state)
{
    struct node *n = replicating_leader();
    struct message_queue q;
    struct raft_message m = MSG(PROP, 1, 1);

    (void)state;
    n->r.max_msg_size = 0;
    for (int i = 0; i < 3; i++) {
        m = with_data(m, "x");
    }
    node_step(n, m);
    node_step(n, MSG(APP_RESP, 2, 1, .index = 1));
    q = read_messages(&n->r);
    for (size_t i = 0; i < q.len; i++) {
        assert_true(q.items[i].entries.len <= 1);
    }
    assert_true(q.len >= 3);
    message_queue_release(&q);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msg_app_flow_control_full),
        cmocka_unit_test(test_msg_app_flow_control_move_forward),
        cmocka_unit_test(test_msg_app_flow_control_recv_heartbeat),
        cmocka_unit_test(test_progress_flow_control),
        cmocka_unit_test(test_one_entry_per_message),
    };

    return cmocka_run_group_tests_name("raft_flow_control", tests, NULL, NULL);
}
