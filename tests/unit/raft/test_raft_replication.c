/* Replication and commit: what is sent, what is accepted, what counts.
 *
 * Goal: raft-core sections 10, 11 and 16. Method: whole networks for the
 * outcome, single nodes with messages written by hand for each rule; names and
 * scenarios of etcd-io/raft raft_test.go. */

#include "tests/lib/raft_fixture.h"

#include <string.h>

/* --- whole groups --- */

/* The payloads of the committed entries, without empty ones, in order. */
static void assert_committed(struct node *n, uint64_t committed,
                             const char *const *data, size_t n_data)
{
    struct raft_entries v = {0};
    size_t seen = 0;

    assert_int_equal(n->r.log.committed, committed);
    next_ents(n, &v);
    for (size_t i = 0; i < v.len; i++) {
        if (v.items[i]->len == 0) {
            continue;
        }
        assert_true(seen < n_data);
        assert_int_equal(v.items[i]->len, strlen(data[seen]));
        assert_memory_equal(v.items[i]->data, data[seen], v.items[i]->len);
        seen++;
    }
    assert_int_equal(seen, n_data);
    raft_entries_release(&v);
}

static void test_log_replication(void **state)
{
    static const char *const data[] = {"somedata", "somedata2"};
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_propose(&nt, 1, data[0]);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_committed(nt.nodes[i], 2, data, 1);
    }
    network_release(&nt);

    /* The same with a change of the leader in between. */
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_propose(&nt, 1, data[0]);
    network_hup(&nt, 2);
    network_propose(&nt, 2, data[1]);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_committed(nt.nodes[i], 4, data, 2);
    }
    network_release(&nt);
}

static void test_learner_log_replication(void **state)
{
    struct node *n1 = NODE(.id = 1, .voters = IDS(1), .learners = IDS(2));
    struct node *n2 = NODE(.id = 2, .voters = IDS(1), .learners = IDS(2));
    struct network nt;
    uint64_t committed;

    (void)state;
    NETWORK(&nt, n1, n2);
    network_hup(&nt, 1);
    network_beat(&nt, 1);
    assert_int_equal(n1->r.role, RAFT_LEADER);
    assert_true(n2->r.is_learner || pr_of(n2, 2)->is_learner);
    committed = n1->r.log.committed + 1;
    network_propose(&nt, 1, "somedata");
    assert_int_equal(n1->r.log.committed, committed);
    assert_int_equal(n2->r.log.committed, committed);
    assert_int_equal(pr_of(n1, 2)->match, committed);
    network_release(&nt);
}

static void test_single_node_commit(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL);
    network_hup(&nt, 1);
    network_propose(&nt, 1, "some data");
    network_propose(&nt, 1, "some data");
    assert_int_equal(nt.nodes[1]->r.log.committed, 3);
    network_release(&nt);
}

/* [Raft figure 8]: what an earlier term left on a majority is not committed by
 * counting. */
static void test_cannot_commit_without_new_term_entry(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_cut(&nt, 1, 3);
    network_cut(&nt, 1, 4);
    network_cut(&nt, 1, 5);
    network_propose(&nt, 1, "some data");
    network_propose(&nt, 1, "some data");
    assert_int_equal(nt.nodes[1]->r.log.committed, 1);

    network_recover(&nt);
    network_ignore(&nt, RAFT_MSG_APP);
    network_hup(&nt, 2);
    assert_int_equal(nt.nodes[2]->r.log.committed, 1);

    network_recover(&nt);
    network_beat(&nt, 2);
    network_propose(&nt, 2, "some data");
    assert_int_equal(nt.nodes[2]->r.log.committed, 5);
    network_release(&nt);
}

static void test_commit_without_new_term_entry(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_cut(&nt, 1, 3);
    network_cut(&nt, 1, 4);
    network_cut(&nt, 1, 5);
    network_propose(&nt, 1, "some data");
    network_propose(&nt, 1, "some data");
    assert_int_equal(nt.nodes[1]->r.log.committed, 1);
    network_recover(&nt);
    /* The empty entry of the new leader commits the rest with it. */
    network_hup(&nt, 2);
    assert_int_equal(nt.nodes[1]->r.log.committed, 4);
    network_release(&nt);
}

static void test_old_messages(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_hup(&nt, 2);
    network_hup(&nt, 1);
    /* An append of the leader of term 2, who is gone. */
    network_send(&nt, with_entries(MSG(APP, 2, 1, .term = 2), ATS({3, 2})));
    network_propose(&nt, 1, "somedata");
    for (uint64_t i = 1; i <= 3; i++) {
        assert_log_terms(&nt.nodes[i]->r, TERMS(1, 2, 3, 3));
        assert_int_equal(nt.nodes[i]->r.log.committed, 4);
        assert_same_log(&nt.nodes[i]->r, &nt.nodes[1]->r);
    }
    network_release(&nt);
}

static void test_proposal(void **state)
{
    struct {
        const char *name;
        size_t n;
        struct node *peers[5];
        bool success;
    } cases[] = {
        {"3 up", 3, {NULL, NULL, NULL}, true},
        {"2 of 3", 3, {NULL, NULL, BLACK_HOLE}, true},
        {"1 of 3", 3, {NULL, BLACK_HOLE, BLACK_HOLE}, false},
        {"2 of 4", 4, {NULL, BLACK_HOLE, BLACK_HOLE, NULL}, false},
        {"3 of 5", 5, {NULL, BLACK_HOLE, BLACK_HOLE, NULL, NULL}, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct network nt;

        print_message("  %s\n", cases[i].name);
        network_init(&nt, cases[i].peers, cases[i].n);
        network_hup(&nt, 1);
        network_send(&nt, with_data(MSG(PROP, 1, 1), "somedata"));
        for (uint64_t id = 1; id <= cases[i].n; id++) {
            if (nt.nodes[id] == NULL) {
                continue;
            }
            assert_int_equal(raft_log_last_index(&nt.nodes[id]->r.log),
                             cases[i].success ? 2 : 0);
            assert_int_equal(nt.nodes[id]->r.log.committed,
                             cases[i].success ? 2 : 0);
        }
        assert_int_equal(nt.nodes[1]->r.term, 1);
        network_release(&nt);
    }
}

static void test_proposal_by_proxy(void **state)
{
    for (int silent = 0; silent < 2; silent++) {
        struct network nt;

        (void)state;
        NETWORK(&nt, NULL, NULL, silent ? BLACK_HOLE : NULL);
        network_hup(&nt, 1);
        network_propose(&nt, 2, "somedata");
        for (uint64_t i = 1; i <= 3; i++) {
            if (nt.nodes[i] != NULL) {
                assert_int_equal(nt.nodes[i]->r.log.committed, 2);
                assert_same_log(&nt.nodes[i]->r, &nt.nodes[1]->r);
            }
        }
        assert_int_equal(nt.nodes[1]->r.term, 1);
        network_release(&nt);
    }
}

/* --- commit --- */

static void test_commit(void **state)
{
    const struct {
        uint64_t match[4];
        size_t n;
        struct id_list log;
        uint64_t term;
        uint64_t want;
    } cases[] = {
        {{1}, 1, TERMS(1), 1, 1},
        {{1}, 1, TERMS(1), 2, 0},
        {{2}, 1, TERMS(1, 2), 2, 2},
        {{1}, 1, TERMS(2), 2, 1},
        {{2, 1, 1}, 3, TERMS(1, 2), 1, 1},
        {{2, 1, 1}, 3, TERMS(1, 1), 2, 0},
        {{2, 1, 2}, 3, TERMS(1, 2), 2, 2},
        {{2, 1, 2}, 3, TERMS(1, 1), 2, 0},
        {{2, 1, 1, 1}, 4, TERMS(1, 2), 1, 1},
        {{2, 1, 1, 1}, 4, TERMS(1, 1), 2, 0},
        {{2, 1, 1, 2}, 4, TERMS(1, 2), 1, 1},
        {{2, 1, 1, 2}, 4, TERMS(1, 1), 2, 0},
        {{2, 1, 2, 2}, 4, TERMS(1, 2), 2, 2},
        {{2, 1, 2, 2}, 4, TERMS(1, 1), 2, 0},
    };
    uint64_t ids[] = {1, 2, 3, 4};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n =
            NODE(.voters = {ids, cases[i].n}, .log = cases[i].log,
                 .hs = {.term = cases[i].term}, .election = 10, .heartbeat = 2);

        for (size_t j = 0; j < cases[i].n; j++) {
            pr_of(n, j + 1)->match = cases[i].match[j];
            pr_of(n, j + 1)->next = cases[i].match[j] + 1;
        }
        n->r.role = RAFT_LEADER;
        (void)raft_maybe_commit(&n->r);
        assert_int_equal(n->r.log.committed, cases[i].want);
        node_free(n);
    }
}

/* The change is committed with the old quorum, what follows with the new. */
static void test_commit_after_remove_node(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .election = 5);
    struct conf_change cc = {.type = CONF_CHANGE_REMOVE_NODE, .node_id = 2};
    struct raft_entries ents = {0};
    uint64_t cc_index;

    (void)state;
    node_become_leader(n);
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    next_ents(n, &ents);
    assert_int_equal(ents.len, 0);
    cc_index = raft_log_last_index(&n->r.log);
    node_propose(n, "hello");

    node_step(n, MSG(APP_RESP, 2, 1, .index = cc_index));
    next_ents(n, &ents);
    assert_int_equal(ents.len, 2);
    assert_int_equal(ents.items[0]->type, RAFT_ENTRY_NORMAL);
    assert_false(ents.items[0]->has_data);
    assert_int_equal(ents.items[1]->type, RAFT_ENTRY_CONF_CHANGE);
    raft_entries_reset(&ents);

    node_apply(n, CONF_CHANGE_REMOVE_NODE, 2);
    next_ents(n, &ents);
    assert_int_equal(ents.len, 1);
    assert_int_equal(ents.items[0]->type, RAFT_ENTRY_NORMAL);
    assert_memory_equal(ents.items[0]->data, "hello", 5);
    raft_entries_release(&ents);
    node_free(n);
}

/* --- follower --- */

static void test_handle_msg_app(void **state)
{
    const struct {
        uint64_t log_term;
        uint64_t index;
        uint64_t commit;
        struct at ents[AT_MAX];
        uint64_t last;
        uint64_t committed;
        bool reject;
    } cases[] = {
        /* prev does not match, or is missing */
        {3, 2, 3, {{0}}, 2, 0, true},
        {3, 3, 3, {{0}}, 2, 0, true},
        /* prev matches */
        {1, 1, 1, {{0}}, 2, 1, false},
        {0, 0, 1, {{1, 2}}, 1, 1, false},
        {2, 2, 3, {{3, 2}, {4, 2}}, 4, 3, false},
        {2, 2, 4, {{3, 2}}, 3, 3, false},
        {1, 1, 4, {{2, 2}}, 2, 2, false},
        /* commit at most what this message vouches for */
        {1, 1, 3, {{0}}, 2, 1, false},
        {1, 1, 3, {{2, 2}}, 2, 2, false},
        {2, 2, 3, {{0}}, 2, 2, false},
        {2, 2, 4, {{0}}, 2, 2, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1), .log = TERMS(1, 2));
        struct raft_message m;
        struct message_queue q;

        raft_become_follower(&n->r, 2, RAFT_NONE);
        m = with_entries(
            MSG(APP, 2, 1, .term = 3, .log_term = cases[i].log_term,
                .index = cases[i].index, .commit = cases[i].commit),
            cases[i].ents);
        raft_handle_append_entries(&n->r, &m);
        raft_message_release(&m);
        assert_int_equal(raft_log_last_index(&n->r.log), cases[i].last);
        assert_int_equal(n->r.log.committed, cases[i].committed);
        q = read_messages(&n->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].reject, cases[i].reject);
        message_queue_release(&q);
        node_free(n);
    }
}

/* An acknowledgement covers what was compared, not what else is in the log. */
static void test_append_resp_covers_the_message_only(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .log = TERMS(1, 1, 1), .hs = {.term = 1});
    struct message_queue q;

    (void)state;
    node_step(n,
              with_entries(MSG(APP, 2, 1, .term = 2, .index = 1, .log_term = 1),
                           ATS({2, 1})));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].index, 2);
    assert_int_equal(raft_log_last_index(&n->r.log), 3);
    message_queue_release(&q);
    node_free(n);
}

/* Below its commit index a follower answers with that, without comparing. */
static void test_append_below_commit(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .log = TERMS(1, 1, 1),
                          .hs = {.term = 1, .commit = 2});
    struct message_queue q;

    (void)state;
    node_step(n,
              with_entries(MSG(APP, 2, 1, .term = 3, .index = 1, .log_term = 2),
                           ATS({2, 3})));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].index, 2);
    assert_false(q.items[0].reject);
    assert_log_terms(&n->r, TERMS(1, 1, 1));
    message_queue_release(&q);
    node_free(n);
}

static void test_handle_heartbeat(void **state)
{
    const struct {
        uint64_t commit;
        uint64_t want;
    } cases[] = {{3, 3}, {1, 2}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n =
            NODE(.voters = IDS(1, 2), .log = TERMS(1, 2, 3), .election = 5);
        struct raft_message m =
            MSG(HEARTBEAT, 2, 1, .term = 2, .commit = cases[i].commit);
        struct message_queue q;

        raft_become_follower(&n->r, 2, 2);
        raft_log_commit_to(&n->r.log, 2);
        raft_handle_heartbeat(&n->r, &m);
        assert_int_equal(n->r.log.committed, cases[i].want);
        q = read_messages(&n->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].type, RAFT_MSG_HEARTBEAT_RESP);
        message_queue_release(&q);
        node_free(n);
    }
}

/* PF-19: entries that were acknowledged are gone; the node must not go on. */
static void test_heartbeat_commit_beyond_log_is_fatal(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log = TERMS(1));
    struct raft_message m = MSG(HEARTBEAT, 2, 1, .term = 2, .commit = 5);

    (void)state;
    assert_fatal(&raft_trap, raft_step(&n->r, &m));
    node_free(n);
}

static void test_step_ignore_old_term_msg(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .hs = {.term = 2});

    (void)state;
    node_step(n, MSG(APP, 2, 1, .term = 1));
    assert_int_equal(n->r.lead, RAFT_NONE);
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* Answered if the node may be stuck at a higher term [raft-core EL-20]. */
static void test_lower_term_append_is_answered_with_check_quorum(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .hs = {.term = 5}, .check_quorum = true);
    struct message_queue q;

    (void)state;
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 3));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(q.items[0].term, 5);
    assert_int_equal(q.items[0].index, 0);
    message_queue_release(&q);
    node_free(n);
}

/* PF-44: a slice that no leader can have is dropped. */
static void test_malformed_append_is_dropped(void **state)
{
    const struct at bad[][AT_MAX] = {
        {{2, 1}},         /* does not follow prev 0 */
        {{1, 1}, {3, 1}}, /* a gap */
        {{1, 2}, {2, 1}}, /* terms fall */
        {{1, 9}},         /* of a term beyond the leader's */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3));

        node_step(n, with_entries(MSG(APP, 2, 1, .term = 3), bad[i]));
        assert_int_equal(drop_messages(&n->r), 0);
        assert_int_equal(raft_log_last_index(&n->r.log), 0);
        node_free(n);
    }
}

/* --- the leader and one follower --- */

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

        n1->unchecked = true; /* its log is of a later term than its own */
        n2->unchecked = true;
        if (cases[i].follower_compact != 0) {
            assert_int_equal(
                memory_storage_compact(&n2->ms, cases[i].follower_compact), 0);
            n2->unchecked = true; /* committed < first */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_replication),
        cmocka_unit_test(test_learner_log_replication),
        cmocka_unit_test(test_single_node_commit),
        cmocka_unit_test(test_cannot_commit_without_new_term_entry),
        cmocka_unit_test(test_commit_without_new_term_entry),
        cmocka_unit_test(test_old_messages),
        cmocka_unit_test(test_proposal),
        cmocka_unit_test(test_proposal_by_proxy),
        cmocka_unit_test(test_commit),
        cmocka_unit_test(test_commit_after_remove_node),
        cmocka_unit_test(test_handle_msg_app),
        cmocka_unit_test(test_append_resp_covers_the_message_only),
        cmocka_unit_test(test_append_below_commit),
        cmocka_unit_test(test_handle_heartbeat),
        cmocka_unit_test(test_heartbeat_commit_beyond_log_is_fatal),
        cmocka_unit_test(test_step_ignore_old_term_msg),
        cmocka_unit_test(test_lower_term_append_is_answered_with_check_quorum),
        cmocka_unit_test(test_malformed_append_is_dropped),
        cmocka_unit_test(test_handle_heartbeat_resp),
        cmocka_unit_test(test_msg_app_resp_wait_reset),
        cmocka_unit_test(test_leader_app_resp),
        cmocka_unit_test(test_bcast_beat),
        cmocka_unit_test(test_recv_msg_beat),
        cmocka_unit_test(test_leader_increase_next),
        cmocka_unit_test(test_recv_msg_unreachable),
        cmocka_unit_test(test_fast_log_rejection),
        cmocka_unit_test(test_log_replication_with_reordered_message),
        cmocka_unit_test(test_ack_beyond_the_log_is_dropped),
    };

    return cmocka_run_group_tests_name("raft_replication", tests, NULL, NULL);
}
