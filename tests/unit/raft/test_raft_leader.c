/* A leader and the answers of one follower: acknowledgements, rejections,
 * heartbeats, and what they make it send.
 *
 * Goal: raft-core 10.4, 10.5 and 16. Method: single leaders whose messages are
 * looked at one by one; names and scenarios of etcd-io/raft raft_test.go. */

#include "tests/lib/raft_fixture.h"

static void test_handle_heartbeat_resp(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log = TERMS(1, 2, 3),
                          .hs = {.term = 3}, .election = 5);
    struct message_queue q;
    struct raft_message ack;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    raft_log_commit_to(&n->r.log, raft_log_last_index(&n->r.log));

    /* Behind: every answer brings it another append. */
    for (int i = 0; i < 2; i++) {
        node_step(n, MSG(HEARTBEAT_RESP, 2, 1));
        q = read_messages(&n->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].type, RAFT_MSG_APP);
        ack = MSG(APP_RESP, 2, 1,
                  .index = q.items[0].index + q.items[0].entries.len);
        message_queue_release(&q);
    }
    node_step(n, ack);
    drop_messages(&n->r);
    /* Caught up: no more. */
    node_step(n, MSG(HEARTBEAT_RESP, 2, 1));
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

static void test_msg_app_resp_wait_reset(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .election = 5);
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    next_ents(n, NULL);
    raft_bcast_append(&n->r);
    drop_messages(&n->r);

    /* 2 acks the first entry, which commits it. */
    node_step(n, MSG(APP_RESP, 2, 1, .index = 1));
    assert_int_equal(n->r.log.committed, 1);
    drop_messages(&n->r);

    /* A new proposal goes to 2 only: 3 is still being probed. */
    node_step(n, with_data(MSG(PROP, 1, 1), ""));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_APP);
    assert_int_equal(q.items[0].to, 2);
    assert_int_equal(q.items[0].entries.len, 1);
    assert_int_equal(q.items[0].entries.items[0]->index, 2);
    message_queue_release(&q);

    /* Now 3 acks, and gets the entry. */
    node_step(n, MSG(APP_RESP, 3, 1, .index = 1));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_APP);
    assert_int_equal(q.items[0].to, 3);
    assert_int_equal(q.items[0].entries.len, 1);
    assert_int_equal(q.items[0].entries.items[0]->index, 2);
    message_queue_release(&q);
    node_free(n);
}

static void test_leader_app_resp(void **state)
{
    const struct {
        const char *name;
        uint64_t index;
        bool reject;
        uint64_t match;
        uint64_t next;
        size_t n_msgs;
        uint64_t prev;
        uint64_t commit;
    } cases[] = {
        {"stale rejection", 3, true, 0, 3, 0, 0, 0},
        {"rejection", 2, true, 0, 2, 1, 1, 0},
        {"acceptance commits", 2, false, 2, 4, 2, 2, 2},
        {"acknowledges nothing while probing", 0, false, 0, 4, 1, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3), .log = TERMS(1, 1));
        struct message_queue q;

        print_message("  %s\n", cases[i].name);
        node_become_leader(n);
        drop_messages(&n->r);
        node_step(n, MSG(APP_RESP, 2, 1, .index = cases[i].index, .term = 1,
                         .reject = cases[i].reject,
                         .reject_hint = cases[i].index));
        assert_int_equal(pr_of(n, 2)->match, cases[i].match);
        assert_int_equal(pr_of(n, 2)->next, cases[i].next);
        q = read_messages(&n->r);
        assert_int_equal(q.len, cases[i].n_msgs);
        for (size_t j = 0; j < q.len; j++) {
            assert_int_equal(q.items[j].index, cases[i].prev);
            assert_int_equal(q.items[j].commit, cases[i].commit);
        }
        message_queue_release(&q);
        node_free(n);
    }
}

static void test_bcast_beat(void **state)
{
    const uint64_t offset = 1000;
    struct node *n;
    struct message_queue q;

    (void)state;
    n = NODE(.voters = IDS(1, 2, 3), .log_first = offset + 1, .log_term0 = 1,
             .hs = {.term = 1, .commit = offset});
    node_become_leader(n);
    for (int i = 0; i < 10; i++) {
        struct raft_entry *e = test_entry(0, 0);

        assert_true(raft_append_entry(&n->r, &e, 1));
        raft_entry_unref(e);
    }
    advance_messages_after_append(&n->r);
    /* 2 is slow, 3 is up to date. */
    pr_of(n, 2)->match = 5;
    pr_of(n, 2)->next = 6;
    pr_of(n, 3)->match = raft_log_last_index(&n->r.log);
    pr_of(n, 3)->next = raft_log_last_index(&n->r.log) + 1;
    node_step(n, MSG(BEAT, 1, 1));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    for (size_t i = 0; i < q.len; i++) {
        const struct raft_message *m = &q.items[i];

        assert_int_equal(m->type, RAFT_MSG_HEARTBEAT);
        assert_int_equal(m->to, i + 2);
        assert_int_equal(m->index, 0);
        assert_int_equal(m->log_term, 0);
        assert_int_equal(m->entries.len, 0);
        assert_int_equal(m->commit,
                         min_u64(n->r.log.committed, pr_of(n, m->to)->match));
    }
    message_queue_release(&q);
    node_free(n);
}

static void test_recv_msg_beat(void **state)
{
    (void)state;
    for (int role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        struct node *n =
            NODE(.voters = IDS(1, 2, 3), .log = TERMS(0, 1), .hs = {.term = 1});
        struct message_queue q;

        if (role == RAFT_CANDIDATE) {
            raft_become_candidate(&n->r);
        } else if (role == RAFT_LEADER) {
            node_become_leader(n);
        }
        drop_messages(&n->r);
        node_step(n, MSG(BEAT, 1, 1));
        q = read_messages(&n->r);
        assert_int_equal(q.len, role == RAFT_LEADER ? 2 : 0);
        for (size_t i = 0; i < q.len; i++) {
            assert_int_equal(q.items[i].type, RAFT_MSG_HEARTBEAT);
        }
        message_queue_release(&q);
        node_free(n);
    }
}

static void test_leader_increase_next(void **state)
{
    const struct {
        enum progress_state state;
        uint64_t next;
        uint64_t want;
    } cases[] = {
        {PROGRESS_REPLICATE, 2, 6}, /* three entries, the empty, the proposal */
        {PROGRESS_PROBE, 2, 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n =
            NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1), .hs = {.term = 1});

        node_become_leader(n);
        pr_of(n, 2)->state = cases[i].state;
        pr_of(n, 2)->next = cases[i].next;
        node_propose(n, "somedata");
        assert_int_equal(pr_of(n, 2)->next, cases[i].want);
        node_free(n);
    }
}

static void test_recv_msg_unreachable(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1), .hs = {.term = 1});

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    pr_of(n, 2)->match = 3;
    progress_become_replicate(pr_of(n, 2));
    pr_of(n, 2)->next = 6;
    node_step(n, MSG(UNREACHABLE, 2, 1));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_PROBE);
    assert_int_equal(pr_of(n, 2)->next, 4);
    node_free(n);
}

/* raft-core section 11: one probe per term at most. */
static void test_fast_log_rejection(void **state)
{
    const struct {
        struct id_list leader;
        struct id_list follower;
        uint64_t follower_compact;
        struct entry_id hint; /* of the rejection */
        struct entry_id next; /* prev of the next append */
    } cases[] = {
        {TERMS(1, 2, 2, 4, 4, 4, 4),
         TERMS(1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3),
         0,
         {3, 7},
         {2, 3}},
        {TERMS(1, 2, 2, 3, 4, 4, 4, 5),
         TERMS(1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3),
         0,
         {3, 8},
         {3, 4}},
        {TERMS(1, 1, 1, 1), TERMS(1, 2, 2, 4), 0, {1, 1}, {1, 1}},
        {TERMS(1, 1, 1, 1, 1, 1), TERMS(1, 2, 2, 4), 0, {1, 1}, {1, 1}},
        {TERMS(1, 1, 1, 4, 5), TERMS(1, 1, 1, 4), 0, {4, 4}, {4, 4}},
        {TERMS(2, 5, 5, 5, 5, 5, 5, 5, 5),
         TERMS(2, 4, 4, 4, 4, 4),
         0,
         {4, 6},
         {2, 1}},
        {TERMS(2, 2, 2, 2, 2),
         TERMS(2, 4, 4, 4, 4, 4, 4, 4),
         0,
         {2, 1},
         {2, 1}},
        {TERMS(1, 1, 3), TERMS(1, 1, 3, 3, 3), 5, {0, 3}, {1, 2}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct id_list ll = cases[i].leader;
        struct id_list fl = cases[i].follower;
        struct node *n1 =
            NODE(.id = 1, .voters = IDS(1, 2, 3), .log = ll,
                 .hs = {.term = ll.ids[ll.n - 1] - 1, .commit = ll.n});
        struct node *n2 =
            NODE(.id = 2, .voters = IDS(1, 2, 3), .log = fl,
                 .hs = {.term = ll.ids[ll.n - 1], .vote = 1, .commit = 0});
        struct message_queue q;
        struct message_queue resp;

        node_uncheck(n1); /* its log is of a later term than its own */
        node_uncheck(n2);
        if (cases[i].follower_compact != 0) {
            assert_int_equal(
                memory_storage_compact(&n2->ms, cases[i].follower_compact), 0);
            node_uncheck(n2); /* committed < first */
        }
        node_become_leader(n1);
        drop_messages(&n1->r);
        node_step(n1, MSG(HEARTBEAT_RESP, 2, 1));
        q = read_messages(&n1->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].type, RAFT_MSG_APP);

        (void)raft_step(&n2->r, &q.items[0]);
        message_queue_release(&q);
        resp = read_messages(&n2->r);
        assert_int_equal(resp.len, 1);
        assert_int_equal(resp.items[0].type, RAFT_MSG_APP_RESP);
        assert_true(resp.items[0].reject);
        assert_int_equal(resp.items[0].reject_hint, cases[i].hint.index);
        assert_int_equal(resp.items[0].log_term, cases[i].hint.term);

        (void)raft_step(&n1->r, &resp.items[0]);
        message_queue_release(&resp);
        q = read_messages(&n1->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].index, cases[i].next.index);
        assert_int_equal(q.items[0].log_term, cases[i].next.term);
        message_queue_release(&q);
        node_free(n1);
        node_free(n2);
    }
}

static void test_log_replication_with_reordered_message(void **state)
{
    struct node *n1 = NODE(.id = 1, .voters = IDS(1, 2));
    struct node *n2 = NODE(.id = 2, .voters = IDS(1, 2));
    struct message_queue first;
    struct message_queue second;
    struct message_queue q;
    struct message_queue late;

    (void)state;
    node_become_leader(n1);
    drop_messages(&n1->r);
    progress_become_replicate(pr_of(n1, 2));
    raft_become_follower(&n2->r, 1, 1);

    /* Two appends, the second arrives first. */
    node_propose(n1, "somedata");
    first = read_messages(&n1->r);
    node_propose(n1, "somedata");
    second = read_messages(&n1->r);
    assert_int_equal(first.len, 1);
    assert_int_equal(second.len, 1);
    (void)raft_step(&n2->r, &second.items[0]);
    late = read_messages(&n2->r);
    assert_int_equal(late.len, 1);
    assert_true(late.items[0].reject);
    assert_int_equal(late.items[0].reject_hint, 0);
    assert_int_equal(late.items[0].index, 2);

    (void)raft_step(&n2->r, &first.items[0]);
    q = read_messages(&n2->r);
    assert_int_equal(q.len, 1);
    assert_false(q.items[0].reject);
    assert_int_equal(q.items[0].index, 2);
    (void)raft_step(&n1->r, &q.items[0]);
    message_queue_release(&q);
    assert_int_equal(pr_of(n1, 2)->match, 2);
    drop_messages(&n1->r);

    /* The link breaks, then the rejection arrives after all: the member is
     * being probed, so what follows its match is sent again. */
    node_step(n1, MSG(UNREACHABLE, 2, 1));
    assert_int_equal(pr_of(n1, 2)->state, PROGRESS_PROBE);
    (void)raft_step(&n1->r, &late.items[0]);
    q = read_messages(&n1->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_APP);
    assert_int_equal(q.items[0].index, pr_of(n1, 2)->match);
    message_queue_release(&q);
    message_queue_release(&first);
    message_queue_release(&second);
    message_queue_release(&late);
    node_free(n1);
    node_free(n2);
}

/* A leader of {1, 2, 3} whose log all members hold, with 2 in the window. */
static struct node *caught_up_leader(void)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 1));
    drop_messages(&n->r);
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_REPLICATE);
    return n;
}

/* PF-14: reported unreachable with nothing to send, it finds back. */
static void test_heartbeat_resp_recovers_from_probing(void **state)
{
    struct node *n = caught_up_leader();
    struct message_queue q;

    (void)state;
    node_step(n, MSG(UNREACHABLE, 2, 1));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_PROBE);
    node_step(n, MSG(HEARTBEAT_RESP, 2, 1, .term = 1));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_APP);
    assert_int_equal(q.items[0].entries.len, 0);
    node_step(n, accept_and_reply(&q.items[0]));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_REPLICATE);
    message_queue_release(&q);
    drop_messages(&n->r);
    node_free(n);
}

/* HB-5: a member whose commit index lags learns of it with its next answer. */
static void test_ack_brings_the_commit_index(void **state)
{
    struct node *n = caught_up_leader();
    struct message_queue q;

    (void)state;
    node_propose(n, "x");
    node_propose(n, "y");
    drop_messages(&n->r); /* both are sent, with commit 1 */
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 3));
    drop_messages(&n->r); /* committed, and lost on its way to 2 */
    assert_int_equal(n->r.log.committed, 3);
    progress_set_sent_commit(pr_of(n, 2), 1);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].commit, 3);
    assert_int_equal(q.items[0].entries.len, 0);
    message_queue_release(&q);
    /* It has been told now. */
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 3));
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* PF-44: nobody can acknowledge what does not exist. */
static void test_ack_beyond_the_log_is_dropped(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 77));
    assert_int_equal(pr_of(n, 2)->match, 0);
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* [raft-core ROLE-1]: its own log needs no acknowledgement of others; the entry
 * of the new term waits for the disk. */
static void test_new_leader_knows_its_own_log(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1), .hs = {.term = 1});

    (void)state;
    node_become_leader(n);
    assert_int_equal(pr_of(n, 1)->match, 3);
    assert_int_equal(pr_of(n, 2)->match, 0);
    drop_messages(&n->r);
    assert_int_equal(pr_of(n, 1)->match, 4);
    node_free(n);
}

/* [raft-core HB-2, PG-10]: a heartbeat takes back what counts as sent, as the
 * append that carried more may be lost. */
static void test_heartbeat_sets_the_sent_commit(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    node_propose(n, "a");
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2));
    assert_int_equal(n->r.log.committed, 2);
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 1));
    assert_int_equal(pr_of(n, 3)->sent_commit, 2);
    node_step(n, MSG(BEAT, 1, 1));
    assert_int_equal(pr_of(n, 2)->sent_commit, 2);
    assert_int_equal(pr_of(n, 3)->sent_commit, 1);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handle_heartbeat_resp),
        cmocka_unit_test(test_msg_app_resp_wait_reset),
        cmocka_unit_test(test_leader_app_resp),
        cmocka_unit_test(test_bcast_beat),
        cmocka_unit_test(test_recv_msg_beat),
        cmocka_unit_test(test_leader_increase_next),
        cmocka_unit_test(test_recv_msg_unreachable),
        cmocka_unit_test(test_fast_log_rejection),
        cmocka_unit_test(test_log_replication_with_reordered_message),
        cmocka_unit_test(test_heartbeat_resp_recovers_from_probing),
        cmocka_unit_test(test_ack_brings_the_commit_index),
        cmocka_unit_test(test_ack_beyond_the_log_is_dropped),
        cmocka_unit_test(test_new_leader_knows_its_own_log),
        cmocka_unit_test(test_heartbeat_sets_the_sent_commit),
    };

    return cmocka_run_group_tests_name("raft_leader", tests, NULL, NULL);
}
