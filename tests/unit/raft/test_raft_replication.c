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

/* Whatever the leader says keeps a follower quiet. */
static void test_leader_messages_reset_the_timer(void **state)
{
    const enum raft_message_type types[] = {RAFT_MSG_APP, RAFT_MSG_HEARTBEAT,
                                            RAFT_MSG_SNAP};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct node *n = NODE(.voters = IDS(1, 2), .hs = {.term = 1});

        n->r.election_elapsed = 7;
        node_step(n, (struct raft_message){
                         .type = types[i], .from = 2, .to = 1, .term = 1});
        assert_int_equal(n->r.election_elapsed, 0);
        assert_int_equal(n->r.lead, 2);
        drop_messages(&n->r);
        node_free(n);
    }
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
        cmocka_unit_test(test_leader_messages_reset_the_timer),
    };

    return cmocka_run_group_tests_name("raft_replication", tests, NULL, NULL);
}
