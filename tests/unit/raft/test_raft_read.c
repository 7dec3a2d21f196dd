/* ReadIndex: reads that are linearizable without a log entry.
 *
 * Goal: raft-core section 21 [Thesis 6.4]. Method: networks that answer reads
 * from every node, and a leader whose heartbeats are answered by hand; names
 * and scenarios of etcd-io/raft raft_test.go, plus A5 and the trace RI-12. */

#include "tests/lib/raft_fixture.h"

#include <stdio.h>
#include <string.h>

#include "src/base/bounds.h"

/* Exactly one answer waits at `n`; take it. */
static void take_read(struct node *n, uint64_t index, const char *ctx)
{
    const struct read_state *rs = n->r.read_states;

    assert_int_equal(n->r.n_read_states, 1);
    assert_int_equal(rs[0].index, index);
    assert_int_equal(rs[0].ctx_len, strlen(ctx));
    assert_memory_equal(rs[0].ctx, ctx, strlen(ctx));
    n->r.n_read_states = 0;
}

static void network_read(struct network *nt, uint64_t id, const char *ctx)
{
    network_send(nt, with_data(MSG(READ_INDEX, id, id), ctx));
}

static void read_only_option(enum read_only_option option)
{
    struct network nt;
    uint64_t index = 1;

    network_init_spec(
        &nt,
        &(struct node_spec){.read_only_option = option,
                            .check_quorum = option == READ_ONLY_LEASE_BASED},
        3);
    network_hup(&nt, 1);
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    for (uint64_t round = 0; round < 6; round++) {
        uint64_t id = round % 3 + 1;
        char ctx[16];

        for (int i = 0; i < 10; i++) {
            network_propose(&nt, 1, "x");
        }
        index += 10;
        (void)snprintf(ctx, sizeof ctx, "ctx%d", (int)round);
        network_read(&nt, id, ctx);
        take_read(nt.nodes[id], index, ctx);
    }
    network_release(&nt);
}

static void test_read_only_option_safe(void **state)
{
    (void)state;
    read_only_option(READ_ONLY_SAFE);
}

static void test_read_only_option_lease(void **state)
{
    (void)state;
    read_only_option(READ_ONLY_LEASE_BASED);
}

static void test_read_only_with_learner(void **state)
{
    struct node *n1 = NODE(.id = 1, .voters = IDS(1), .learners = IDS(2));
    struct node *n2 = NODE(.id = 2, .voters = IDS(1), .learners = IDS(2));
    struct network nt;
    uint64_t index = 1;

    (void)state;
    NETWORK(&nt, n1, n2);
    network_hup(&nt, 1);
    for (uint64_t round = 0; round < 4; round++) {
        uint64_t id = round % 2 + 1;

        for (int i = 0; i < 10; i++) {
            network_propose(&nt, 1, "x");
        }
        index += 10;
        next_ents(n1, NULL);
        network_read(&nt, id, "ctx");
        take_read(nt.nodes[id], index, "ctx");
    }
    network_release(&nt);
}

/* PF-36: what was committed is not known before the first commit of the term.
 */
static void test_read_only_for_new_leader(void **state)
{
    const struct {
        uint64_t committed;
        uint64_t applied;
        uint64_t compact;
    } nodes[] = {{1, 1, 0}, {2, 2, 2}, {2, 2, 2}};
    struct node *peers[3];
    struct network nt;
    struct node *lead;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        peers[i] = NODE(.id = i + 1, .voters = IDS(1, 2, 3), .log = TERMS(1, 1),
                        .hs = {.term = 1, .commit = nodes[i].committed},
                        .applied = nodes[i].applied);
        if (nodes[i].compact != 0) {
            assert_int_equal(
                memory_storage_compact(&peers[i]->ms, nodes[i].compact), 0);
        }
    }
    network_init(&nt, peers, 3);
    /* Appends do not arrive: elected, but nothing is committed in the term. */
    network_ignore(&nt, RAFT_MSG_APP);
    network_hup(&nt, 1);
    lead = nt.nodes[1];
    assert_int_equal(lead->r.role, RAFT_LEADER);
    network_read(&nt, 1, "ctx");
    assert_int_equal(lead->r.n_read_states, 0);

    network_recover(&nt);
    for (int i = 0; i < lead->r.heartbeat_timeout; i++) {
        lead->r.tick(&lead->r);
    }
    network_propose(&nt, 1, "x");
    assert_int_equal(lead->r.log.committed, 4);
    assert_int_equal(raft_log_zero_term_on_out_of_bounds(&lead->r.log, 4),
                     lead->r.term);
    take_read(lead, 4, "ctx");
    network_read(&nt, 1, "ctx2");
    take_read(lead, 4, "ctx2");
    network_release(&nt);
}

/* RI-12: the positions that travel, and one answer that confirms two reads. */
static void test_read_only_trace(void **state)
{
    static const uint8_t one[8] = {1};
    static const uint8_t two[8] = {2};
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    struct message_queue q;
    struct raft_message resp;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "first"));
    assert_int_equal(n->r.pending_reads.len, 1);
    assert_int_equal(drop_messages(&n->r), 0);

    /* The commit: heartbeats first, then the appends that tell it. */
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 4);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_HEARTBEAT);
        assert_int_equal(q.items[i].context_len, 8);
        assert_memory_equal(q.items[i].context, one, 8);
    }
    assert_int_equal(q.items[2].type, RAFT_MSG_APP);
    message_queue_release(&q);

    node_step(n, with_data(MSG(READ_INDEX, 3, 1), "second"));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    assert_memory_equal(q.items[0].context, two, 8);
    message_queue_release(&q);

    resp = MSG(HEARTBEAT_RESP, 2, 1, .term = 1);
    raft_message_set_context(&resp, (struct bytes){two, 8});
    node_step(n, resp);
    take_read(n, 1, "first");
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_READ_INDEX_RESP);
    assert_int_equal(q.items[0].to, 3);
    assert_int_equal(q.items[0].index, 1);
    assert_int_equal(q.items[0].entries.len, 1);
    assert_memory_equal(q.items[0].entries.items[0]->data, "second", 6);
    message_queue_release(&q);

    /* Nothing waits any more. */
    n->r.tick(&n->r);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    assert_false(q.items[0].has_context);
    message_queue_release(&q);
    node_free(n);
}

static void ask(struct node *n, const char *ctx)
{
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), ctx));
}

/* Member 2 answers the heartbeats up to the read at `position`. */
static void echo(struct node *n, uint8_t position)
{
    struct raft_message m = MSG(HEARTBEAT_RESP, 2, 1, .term = n->r.term);
    uint8_t ctx[READ_ONLY_CONTEXT_SIZE] = {position};

    raft_message_set_context(&m, (struct bytes){ctx, sizeof ctx});
    node_step(n, m);
}

static void assert_reads(struct node *n, size_t count, const char *const *ctx,
                         const uint64_t *index)
{
    assert_int_equal(n->r.n_read_states, count);
    for (size_t i = 0; i < count; i++) {
        const struct read_state *rs = &n->r.read_states[i];

        assert_int_equal(rs->index, index[i]);
        assert_int_equal(rs->ctx_len, strlen(ctx[i]));
        assert_memory_equal(rs->ctx, ctx[i], strlen(ctx[i]));
    }
    n->r.n_read_states = 0;
}

/* [raft-core RI-6, RI-9]: the index is that of the request's arrival. */
static void test_read_index_is_that_of_the_arrival(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    ask(n, "early");
    node_propose(n, "a");
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2));
    assert_int_equal(n->r.log.committed, 2);
    ask(n, "late");
    echo(n, 2);
    assert_reads(n, 2, (const char *[]){"early", "late"}, (uint64_t[]){1, 2});
    node_free(n);
}

static void test_raft_frees_read_only_mem(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct message_queue q;
    struct raft_message resp;

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    node_step(n, with_data(MSG(READ_INDEX, 2, 1), "ctx"));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_HEARTBEAT);
    assert_int_equal(read_only_pending(&n->r.read_only), 1);
    resp = MSG(HEARTBEAT_RESP, 2, 1);
    raft_message_set_context(&resp, raft_message_context(&q.items[0]));
    message_queue_release(&q);
    node_step(n, resp);
    assert_int_equal(read_only_pending(&n->r.read_only), 0);
    node_free(n);
}

/* A duplicate of an old request and late answers of its round must not confirm
 * a later request at a leader that has been replaced (PF-37). */
static void test_read_only_duplicate_request(void **state)
{
    struct network nt;
    struct node *old;
    struct message_queue late;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    old = nt.nodes[1];
    network_propose(&nt, 1, "x");
    network_read(&nt, 1, "A");
    take_read(old, 2, "A");

    /* A again: its heartbeats are answered, the answers are delayed. */
    node_step(old, with_data(MSG(READ_INDEX, 1, 1), "A"));
    late = read_messages(&old->r);
    for (size_t i = 0; i < late.len; i++) {
        struct node *to = nt.nodes[late.items[i].to];

        assert_int_equal(late.items[i].type, RAFT_MSG_HEARTBEAT);
        (void)raft_step(&to->r, &late.items[i]);
    }
    message_queue_release(&late);
    late = read_messages(&nt.nodes[2]->r);
    assert_int_equal(late.len, 1);

    /* 2 takes over and commits; 1 does not hear of it. */
    network_isolate(&nt, 1);
    network_hup(&nt, 2);
    network_propose(&nt, 2, "y");
    assert_int_equal(nt.nodes[2]->r.role, RAFT_LEADER);
    assert_true(nt.nodes[2]->r.log.committed > old->r.log.committed);

    /* B, with the context of A, at the stale leader. */
    node_step(old, with_data(MSG(READ_INDEX, 1, 1), "A"));
    drop_messages(&old->r);
    node_step(old, MSG(HEARTBEAT_RESP, 3, 1, .term = 1));
    (void)raft_step(&old->r, &late.items[0]);
    message_queue_release(&late);
    /* The first duplicate is confirmed, it was asked in time; B is not. */
    assert_int_equal(old->r.n_read_states, 1);
    assert_int_equal(read_only_pending(&old->r.read_only), 1);
    network_release(&nt);
}

/* A5: positions start anew with every leadership. */
static void test_read_queue_is_cleared_on_role_change(void **state)
{
    static const uint8_t one[8] = {1};
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "old"));
    drop_messages(&n->r);
    assert_int_equal(read_only_pending(&n->r.read_only), 1);
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 2));
    drop_messages(&n->r);
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 3, .index = 2));
    drop_messages(&n->r);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "new"));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    assert_int_equal(q.items[0].context_len, 8);
    assert_memory_equal(q.items[0].context, one, 8);
    assert_int_equal(read_only_pending(&n->r.read_only), 1);
    message_queue_release(&q);
    node_free(n);
}

/* [raft-core RI-3, PF-36]: reads that waited for the first commit of the term
 * are taken up once, in their order. */
static void test_postponed_reads_are_taken_up_once_in_order(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    ask(n, "a");
    ask(n, "b");
    ask(n, "c");
    assert_int_equal(n->r.pending_reads.len, 3);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    assert_int_equal(read_only_pending(&n->r.read_only), 3);
    echo(n, 3);
    assert_reads(n, 3, (const char *[]){"a", "b", "c"}, (uint64_t[]){1, 1, 1});

    node_propose(n, "x");
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2));
    assert_int_equal(n->r.log.committed, 2);
    assert_int_equal(read_only_pending(&n->r.read_only), 0);
    assert_int_equal(n->r.pending_reads.len, 0);
    node_free(n);
}

/* PF-42, as we decide it: a group of one waits for its first commit as well. */
static void test_singleton_waits_for_its_first_commit(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .log = TERMS(1, 1, 1),
                          .hs = {.term = 1, .commit = 1});

    (void)state;
    node_become_leader(n);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    assert_int_equal(n->r.n_read_states, 0);
    advance_messages_after_append(&n->r);
    assert_int_equal(n->r.log.committed, 4);
    take_read(n, 4, "ctx");
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx2"));
    take_read(n, 4, "ctx2");
    node_free(n);
}

/* A removed leader that stays is not the group's only voter. */
static void test_removed_leader_asks_the_singleton(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    node_apply(n, CONF_CHANGE_REMOVE_NODE, 1);
    drop_messages(&n->r);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    assert_int_equal(n->r.n_read_states, 0);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_HEARTBEAT);
    message_queue_release(&q);
    node_free(n);
}

/* When a removal leaves a group of one, waiting reads are answered. */
static void test_reads_are_answered_when_the_quorum_shrinks(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    assert_int_equal(n->r.n_read_states, 0);
    node_apply(n, CONF_CHANGE_REMOVE_NODE, 2);
    take_read(n, 1, "ctx");
    drop_messages(&n->r);
    node_free(n);
}

static void test_read_without_leader_is_dropped(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    raft_become_candidate(&n->r);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    assert_int_equal(drop_messages(&n->r), 0);
    assert_int_equal(n->r.n_read_states, 0);
    node_free(n);
}

static void test_malformed_reads_are_dropped(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
    drop_messages(&n->r);
    node_step(n, MSG(READ_INDEX_RESP, 2, 1, .term = 1, .index = 7));
    node_step(n, with_blob(MSG(READ_INDEX_RESP, 2, 1, .term = 1), 65));
    /* Exactly one context comes with an answer [raft-core 7.4]. */
    node_step(n, with_data(with_data(MSG(READ_INDEX_RESP, 2, 1, .term = 1,
                                         .index = 7),
                                     "a"),
                           "b"));
    assert_int_equal(n->r.n_read_states, 0);
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(READ_INDEX, 2, 1));
    node_step(n, with_blob(MSG(READ_INDEX, 2, 1), 65));
    assert_int_equal(n->r.pending_reads.len, 0);
    node_free(n);
}

/* The longest context that is allowed, for the leader itself and passed on. */
static void test_longest_context_of_a_read(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
    node_step(
        n, with_blob(MSG(READ_INDEX_RESP, 2, 1, .term = 1), RAFT_CONTEXT_MAX));
    assert_int_equal(n->r.n_read_states, 1);
    assert_int_equal(n->r.read_states[0].ctx_len, RAFT_CONTEXT_MAX);
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, with_blob(MSG(READ_INDEX, 2, 1), RAFT_CONTEXT_MAX));
    assert_int_equal(n->r.pending_reads.len, 1);
    node_free(n);
}

/* Whoever asked asks again; the queue of a leader has a bound. */
static void test_number_of_waiting_reads_is_bounded(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_uncheck(n); /* for speed */
    for (size_t i = 0; i < PENDING_READS_MAX; i++) {
        node_step(n, with_data(MSG(READ_INDEX, 2, 1), "ctx"));
    }
    node_step(n, with_data(MSG(READ_INDEX, 2, 1), "one more"));
    assert_int_equal(n->r.pending_reads.len, PENDING_READS_MAX);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_only_option_safe),
        cmocka_unit_test(test_read_only_option_lease),
        cmocka_unit_test(test_read_only_with_learner),
        cmocka_unit_test(test_read_only_for_new_leader),
        cmocka_unit_test(test_read_only_trace),
        cmocka_unit_test(test_read_index_is_that_of_the_arrival),
        cmocka_unit_test(test_raft_frees_read_only_mem),
        cmocka_unit_test(test_read_only_duplicate_request),
        cmocka_unit_test(test_read_queue_is_cleared_on_role_change),
        cmocka_unit_test(test_postponed_reads_are_taken_up_once_in_order),
        cmocka_unit_test(test_singleton_waits_for_its_first_commit),
        cmocka_unit_test(test_removed_leader_asks_the_singleton),
        cmocka_unit_test(test_reads_are_answered_when_the_quorum_shrinks),
        cmocka_unit_test(test_read_without_leader_is_dropped),
        cmocka_unit_test(test_malformed_reads_are_dropped),
        cmocka_unit_test(test_longest_context_of_a_read),
        cmocka_unit_test(test_number_of_waiting_reads_is_bounded),
    };

    return cmocka_run_group_tests_name("raft_read", tests, NULL, NULL);
}
