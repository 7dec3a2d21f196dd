/* The Raft paper, section by section: each test states one of its sentences.
 *
 * Method: single nodes, messages and ticks; names and scenarios of etcd-io/raft
 * raft_paper_test.go. Where that one sends a MsgApp with entries of a later
 * term than its own, which the core refuses, the message is of that term here.
 */

#include "tests/lib/raft_fixture.h"

#include <string.h>

#define TIMEOUT 10

/* --- 5.1 --- */

static void update_term_from_message(enum raft_role role)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    switch (role) {
    case RAFT_FOLLOWER:
        raft_become_follower(&n->r, 1, 2);
        break;
    case RAFT_CANDIDATE:
    case RAFT_PRE_CANDIDATE:
        raft_become_candidate(&n->r);
        break;
    case RAFT_LEADER:
        node_become_leader(n);
        break;
    }
    node_step(n, MSG(APP, 2, 1, .term = 2));
    assert_role(n, RAFT_FOLLOWER, 2);
    node_free(n);
}

static void test_follower_update_term_from_message(void **state)
{
    (void)state;
    update_term_from_message(RAFT_FOLLOWER);
}

static void test_candidate_update_term_from_message(void **state)
{
    (void)state;
    update_term_from_message(RAFT_CANDIDATE);
}

static void test_leader_update_term_from_message(void **state)
{
    (void)state;
    update_term_from_message(RAFT_LEADER);
}

static bool fake_step_called;

static int fake_step(struct raft *r, const struct raft_message *m)
{
    (void)r;
    (void)m;
    fake_step_called = true;
    return 0;
}

static void test_reject_stale_term_message(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 2});

    (void)state;
    n->r.step = fake_step;
    fake_step_called = false;
    node_step(n, MSG(APP, 2, 1, .term = n->r.term - 1));
    assert_false(fake_step_called);
    node_free(n);
}

/* --- 5.2 --- */

static void test_start_as_follower(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    assert_role(n, RAFT_FOLLOWER, 0);
    node_free(n);
}

static void test_leader_bcast_beat(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < 10; i++) {
        struct raft_entry *e = test_entry(0, 0);

        assert_true(raft_append_entry(&n->r, &e, 1));
        raft_entry_unref(e);
    }
    drop_messages(&n->r);
    n->r.tick(&n->r);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_HEARTBEAT);
        assert_int_equal(q.items[i].from, 1);
        assert_int_equal(q.items[i].to, i + 2);
        assert_int_equal(q.items[i].term, 1);
        assert_int_equal(q.items[i].commit, 0);
    }
    message_queue_release(&q);
    node_free(n);
}

static void nonleader_start_election(enum raft_role role)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .election = TIMEOUT);
    struct message_queue q;

    if (role == RAFT_FOLLOWER) {
        raft_become_follower(&n->r, 1, 2);
    } else {
        raft_become_candidate(&n->r);
    }
    for (int i = 1; i < 2 * TIMEOUT; i++) {
        n->r.tick(&n->r);
    }
    advance_messages_after_append(&n->r);
    assert_role(n, RAFT_CANDIDATE, 2);
    assert_int_equal(tracker_tally_votes(&n->r.trk).granted, 1);
    assert_int_equal(n->r.vote, 1);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_VOTE);
        assert_int_equal(q.items[i].to, i + 2);
        assert_int_equal(q.items[i].term, 2);
        assert_int_equal(q.items[i].index, 0);
        assert_int_equal(q.items[i].log_term, 0);
    }
    message_queue_release(&q);
    node_free(n);
}

static void test_follower_start_election(void **state)
{
    (void)state;
    nonleader_start_election(RAFT_FOLLOWER);
}

static void test_candidate_start_new_election(void **state)
{
    (void)state;
    nonleader_start_election(RAFT_CANDIDATE);
}

static void test_leader_election_in_one_round_rpc(void **state)
{
    const struct {
        size_t size;
        const char *votes; /* of node 2, 3, ...: + - or nothing */
        enum raft_role role;
    } cases[] = {
        {1, "", RAFT_LEADER},       {3, "++", RAFT_LEADER},
        {3, "+", RAFT_LEADER},      {5, "++++", RAFT_LEADER},
        {5, "+++", RAFT_LEADER},    {5, "++", RAFT_LEADER},
        {3, "--", RAFT_FOLLOWER},   {5, "----", RAFT_FOLLOWER},
        {5, "+---", RAFT_FOLLOWER}, {3, "", RAFT_CANDIDATE},
        {5, "+", RAFT_CANDIDATE},   {5, "--", RAFT_CANDIDATE},
        {5, "", RAFT_CANDIDATE},
    };
    uint64_t ids[] = {1, 2, 3, 4, 5};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = {ids, cases[i].size});

        node_step(n, MSG(HUP, 1, 1));
        advance_messages_after_append(&n->r);
        for (size_t j = 0; cases[i].votes[j] != '\0'; j++) {
            node_step(n, MSG(VOTE_RESP, j + 2, 1, .term = n->r.term,
                             .reject = cases[i].votes[j] == '-'));
        }
        assert_role(n, cases[i].role, 1);
        node_free(n);
    }
}

static void test_follower_vote(void **state)
{
    const struct {
        uint64_t vote;
        uint64_t from;
        bool reject;
    } cases[] = {
        {RAFT_NONE, 2, false}, {RAFT_NONE, 3, false}, {2, 2, false},
        {3, 3, false},         {2, 3, true},          {3, 2, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3),
                              .hs = {.term = 1, .vote = cases[i].vote});
        struct message_queue *q = &n->r.msgs_after_append;

        node_step(n, MSG(VOTE, cases[i].from, 1, .term = 1));
        /* It waits for the vote to be durable (PF-1). */
        assert_int_equal(n->r.msgs.len, 0);
        assert_int_equal(q->len, 1);
        assert_int_equal(q->items[0].type, RAFT_MSG_VOTE_RESP);
        assert_int_equal(q->items[0].to, cases[i].from);
        assert_int_equal(q->items[0].term, 1);
        assert_int_equal(q->items[0].reject, cases[i].reject);
        node_free(n);
    }
}

static void test_candidate_fallback(void **state)
{
    (void)state;
    for (uint64_t term = 1; term <= 2; term++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3));

        node_step(n, MSG(HUP, 1, 1));
        advance_messages_after_append(&n->r);
        assert_role(n, RAFT_CANDIDATE, 1);
        node_step(n, MSG(APP, 2, 1, .term = term));
        assert_role(n, RAFT_FOLLOWER, term);
        node_free(n);
    }
}

static void timeout_randomized(enum raft_role role)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .election = TIMEOUT);
    bool seen[2 * TIMEOUT + 1] = {false};

    for (int round = 0; round < 50 * TIMEOUT; round++) {
        int time = 0;

        if (role == RAFT_FOLLOWER) {
            raft_become_follower(&n->r, n->r.term + 1, 2);
        } else {
            raft_become_candidate(&n->r);
        }
        drop_messages(&n->r);
        while (n->r.msgs.len == 0) {
            n->r.tick(&n->r);
            time++;
        }
        assert_in_range(time, TIMEOUT, 2 * TIMEOUT - 1);
        seen[time] = true;
    }
    for (int t = TIMEOUT; t < 2 * TIMEOUT; t++) {
        assert_true(seen[t]);
    }
    node_free(n);
}

static void test_follower_election_timeout_randomized(void **state)
{
    (void)state;
    timeout_randomized(RAFT_FOLLOWER);
}

static void test_candidate_election_timeout_randomized(void **state)
{
    (void)state;
    timeout_randomized(RAFT_CANDIDATE);
}

static void timeouts_nonconflict(enum raft_role role)
{
    struct node *nodes[5];
    int conflicts = 0;

    for (size_t i = 0; i < 5; i++) {
        nodes[i] = NODE(.id = i + 1, .voters = IDS(1, 2, 3, 4, 5),
                        .election = TIMEOUT);
    }
    for (int round = 0; round < 1000; round++) {
        int timed_out = 0;

        for (size_t i = 0; i < 5; i++) {
            struct raft *r = &nodes[i]->r;

            if (role == RAFT_FOLLOWER) {
                raft_become_follower(r, r->term + 1, RAFT_NONE);
            } else {
                raft_become_candidate(r);
            }
            drop_messages(r);
        }
        while (timed_out == 0) {
            for (size_t i = 0; i < 5; i++) {
                nodes[i]->r.tick(&nodes[i]->r);
                timed_out += drop_messages(&nodes[i]->r) > 0;
            }
        }
        conflicts += timed_out > 1;
    }
    assert_true(conflicts <= 300);
    for (size_t i = 0; i < 5; i++) {
        node_free(nodes[i]);
    }
}

static void test_followers_election_timeout_nonconflict(void **state)
{
    (void)state;
    timeouts_nonconflict(RAFT_FOLLOWER);
}

static void test_candidates_election_timeout_nonconflict(void **state)
{
    (void)state;
    timeouts_nonconflict(RAFT_CANDIDATE);
}

/* --- 5.3 --- */

static void test_leader_start_replication(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    struct message_queue q;
    uint64_t last;

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    last = raft_log_last_index(&n->r.log);
    node_propose(n, "some data");
    assert_int_equal(raft_log_last_index(&n->r.log), last + 1);
    assert_int_equal(n->r.log.committed, last);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct raft_message *m = &q.items[i];

        assert_int_equal(m->type, RAFT_MSG_APP);
        assert_int_equal(m->to, i + 2);
        assert_int_equal(m->index, last);
        assert_int_equal(m->log_term, 1);
        assert_int_equal(m->commit, last);
        assert_int_equal(m->entries.len, 1);
        assert_int_equal(m->entries.items[0]->index, last + 1);
        assert_int_equal(m->entries.items[0]->term, 1);
        assert_memory_equal(m->entries.items[0]->data, "some data", 9);
    }
    assert_int_equal(unstable_len(&n->r.log.unstable), 1);
    message_queue_release(&q);
    node_free(n);
}

static void test_leader_commit_entry(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    struct raft_entries ents = {0};
    struct message_queue q;
    uint64_t last;

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    last = raft_log_last_index(&n->r.log);
    node_propose(n, "some data");
    q = read_messages(&n->r);
    for (size_t i = 0; i < q.len; i++) {
        node_step(n, accept_and_reply(&q.items[i]));
    }
    message_queue_release(&q);
    assert_int_equal(n->r.log.committed, last + 1);
    raft_log_next_committed_ents(&n->r.log, true, &ents);
    assert_int_equal(ents.len, 1);
    assert_int_equal(ents.items[0]->index, last + 1);
    raft_entries_release(&ents);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    for (size_t i = 0; i < q.len; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_APP);
        assert_int_equal(q.items[i].to, i + 2);
        assert_int_equal(q.items[i].commit, last + 1);
    }
    message_queue_release(&q);
    node_free(n);
}

static void test_leader_acknowledge_commit(void **state)
{
    const struct {
        size_t size;
        const char *acceptors; /* '+' at the place of node 2, 3, ... */
        bool want;
    } cases[] = {
        {1, "", true},   {3, "", false},   {3, "+", true},
        {3, "++", true}, {5, "", false},   {5, "+", false},
        {5, "++", true}, {5, "+++", true}, {5, "++++", true},
    };
    uint64_t ids[] = {1, 2, 3, 4, 5};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = {ids, cases[i].size});
        struct message_queue q;
        uint64_t last;

        node_become_leader(n);
        commit_noop_entry(n);
        last = raft_log_last_index(&n->r.log);
        node_propose(n, "some data");
        q = read_messages(&n->r);
        for (size_t j = 0; j < q.len; j++) {
            if (q.items[j].to < strlen(cases[i].acceptors) + 2) {
                node_step(n, accept_and_reply(&q.items[j]));
            }
        }
        message_queue_release(&q);
        assert_int_equal(n->r.log.committed > last, cases[i].want);
        node_free(n);
    }
}

static void test_leader_commit_preceding_entries(void **state)
{
    const struct id_list logs[] = {{NULL, 0}, TERMS(2), TERMS(1, 2), TERMS(1)};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
        struct node *n =
            NODE(.voters = IDS(1, 2, 3), .log = logs[i], .hs = {.term = 2});
        struct raft_entries ents = {0};
        struct message_queue q;

        node_become_leader(n);
        node_propose(n, "some data");
        q = read_messages(&n->r);
        for (size_t j = 0; j < q.len; j++) {
            node_step(n, accept_and_reply(&q.items[j]));
        }
        message_queue_release(&q);
        drop_messages(&n->r);
        /* The probes carried only the first; the rest follows. */
        for (uint64_t id = 2; id <= 3; id++) {
            node_step(n, MSG(APP_RESP, id, 1, .term = 3,
                             .index = raft_log_last_index(&n->r.log)));
        }
        raft_log_next_committed_ents(&n->r.log, true, &ents);
        assert_int_equal(ents.len, logs[i].n + 2);
        for (size_t j = 0; j < ents.len; j++) {
            assert_int_equal(ents.items[j]->index, j + 1);
            assert_int_equal(ents.items[j]->term,
                             j < logs[i].n ? logs[i].ids[j] : 3);
        }
        raft_entries_release(&ents);
        node_free(n);
    }
}

static void test_follower_commit_entry(void **state)
{
    const struct {
        const char *data[2];
        uint64_t commit;
    } cases[] = {
        {{"some data", NULL}, 1},
        {{"some data", "some data2"}, 2},
        {{"some data2", "some data"}, 2},
        {{"some data", "some data2"}, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3));
        struct raft_message m =
            MSG(APP, 2, 1, .term = 1, .commit = cases[i].commit);
        struct raft_entries ents = {0};

        raft_become_follower(&n->r, 1, 2);
        for (size_t j = 0; j < 2 && cases[i].data[j] != NULL; j++) {
            m = with_data(m, cases[i].data[j]);
            m.entries.items[j]->term = 1;
            m.entries.items[j]->index = j + 1;
        }
        node_step(n, m);
        assert_int_equal(n->r.log.committed, cases[i].commit);
        raft_log_next_committed_ents(&n->r.log, true, &ents);
        assert_int_equal(ents.len, cases[i].commit);
        for (size_t j = 0; j < ents.len; j++) {
            assert_memory_equal(ents.items[j]->data, cases[i].data[j],
                                strlen(cases[i].data[j]));
        }
        raft_entries_release(&ents);
        node_free(n);
    }
}

static void test_follower_check_msg_app(void **state)
{
    const struct {
        struct entry_id prev;
        uint64_t index;
        bool reject;
        uint64_t hint;
        uint64_t hint_term;
    } cases[] = {
        {{0, 0}, 1, false, 0, 0}, /* below the commit index */
        {{1, 1}, 1, false, 0, 0}, {{2, 2}, 2, false, 0, 0},
        {{1, 2}, 2, true, 1, 1}, /* another term */
        {{3, 3}, 3, true, 2, 2}, /* missing */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3), .log = TERMS(1, 2),
                              .hs = {.term = 2, .commit = 1});
        struct message_queue q;

        raft_become_follower(&n->r, 2, 2);
        node_step(n, MSG(APP, 2, 1, .term = 3, .log_term = cases[i].prev.term,
                         .index = cases[i].prev.index));
        q = read_messages(&n->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].type, RAFT_MSG_APP_RESP);
        assert_int_equal(q.items[0].index, cases[i].index);
        assert_int_equal(q.items[0].reject, cases[i].reject);
        assert_int_equal(q.items[0].reject_hint, cases[i].hint);
        assert_int_equal(q.items[0].log_term, cases[i].hint_term);
        message_queue_release(&q);
        node_free(n);
    }
}

static void test_follower_append_entries(void **state)
{
    const struct {
        struct entry_id prev;
        struct at ents[AT_MAX];
        struct id_list log;
        uint64_t unstable; /* how many of them at the end */
    } cases[] = {
        {{2, 2}, {{3, 3}}, TERMS(1, 2, 3), 1},
        {{1, 1}, {{2, 3}, {3, 4}}, TERMS(1, 3, 4), 2},
        {{0, 0}, {{1, 1}}, TERMS(1, 2), 0},
        {{0, 0}, {{1, 3}}, TERMS(3), 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n =
            NODE(.voters = IDS(1, 2, 3), .log = TERMS(1, 2), .hs = {.term = 2});

        raft_become_follower(&n->r, 2, 2);
        node_step(n, with_entries(MSG(APP, 2, 1, .term = 4,
                                      .log_term = cases[i].prev.term,
                                      .index = cases[i].prev.index),
                                  cases[i].ents));
        assert_log_terms(&n->r, cases[i].log);
        assert_int_equal(unstable_len(&n->r.log.unstable), cases[i].unstable);
        node_free(n);
    }
}

/* [Raft figure 7] */
static void test_leader_sync_follower_log(void **state)
{
    const struct id_list lead = TERMS(1, 1, 1, 4, 4, 5, 5, 6, 6, 6);
    const struct id_list followers[] = {
        TERMS(1, 1, 1, 4, 4, 5, 5, 6, 6),
        TERMS(1, 1, 1, 4),
        TERMS(1, 1, 1, 4, 4),
        TERMS(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
        TERMS(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
        TERMS(1, 1, 1, 4, 4, 4, 4),
        TERMS(1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(followers); i++) {
        struct node *n1 = NODE(.id = 1, .voters = IDS(1, 2, 3), .log = lead,
                               .hs = {.term = 8, .commit = lead.n});
        struct node *n2 = NODE(.id = 2, .voters = IDS(1, 2, 3),
                               .log = followers[i], .hs = {.term = 7});
        struct network nt;

        /* The third is silent, but for a vote. */
        NETWORK(&nt, n1, n2, BLACK_HOLE);
        network_hup(&nt, 1);
        network_send(&nt, MSG(VOTE_RESP, 3, 1, .term = 9));
        network_send(&nt, with_data(MSG(PROP, 1, 1), NULL));
        assert_int_equal(n1->r.role, RAFT_LEADER);
        assert_log_terms(&n2->r, TERMS(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 9, 9));
        assert_log_terms(&n1->r, TERMS(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 9, 9));
        network_release(&nt);
    }
}

/* --- 5.4.1 --- */

static void test_vote_request(void **state)
{
    const struct {
        struct at ents[AT_MAX];
        uint64_t term; /* of the campaign */
    } cases[] = {
        {{{1, 1}}, 2},
        {{{1, 1}, {2, 2}}, 3},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3));
        struct message_queue q;
        uint64_t last = i + 1;

        node_step(n, with_entries(MSG(APP, 2, 1, .term = cases[i].term - 1),
                                  cases[i].ents));
        drop_messages(&n->r);
        for (int t = 1; t < 2 * n->r.election_timeout; t++) {
            raft_tick_election(&n->r);
        }
        q = read_messages(&n->r);
        assert_int_equal(q.len, 2);
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(q.items[j].type, RAFT_MSG_VOTE);
            assert_int_equal(q.items[j].to, j + 2);
            assert_int_equal(q.items[j].term, cases[i].term);
            assert_int_equal(q.items[j].index, last);
            assert_int_equal(q.items[j].log_term, last);
        }
        message_queue_release(&q);
        node_free(n);
    }
}

static void test_voter(void **state)
{
    const struct {
        struct id_list log;
        struct entry_id last; /* of the candidate */
        bool reject;
    } cases[] = {
        {TERMS(1), {1, 1}, false},   {TERMS(1), {1, 2}, false},
        {TERMS(1, 1), {1, 1}, true}, {TERMS(1), {2, 1}, false},
        {TERMS(1), {2, 2}, false},   {TERMS(1, 1), {2, 1}, false},
        {TERMS(2), {1, 1}, true},    {TERMS(2), {1, 2}, true},
        {TERMS(2, 2), {1, 1}, true}, {TERMS(1, 1), {1, 1}, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2), .log = cases[i].log);
        struct message_queue q;

        node_step(n, MSG(VOTE, 2, 1, .term = 3, .log_term = cases[i].last.term,
                         .index = cases[i].last.index));
        q = read_messages(&n->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].type, RAFT_MSG_VOTE_RESP);
        assert_int_equal(q.items[0].reject, cases[i].reject);
        message_queue_release(&q);
        node_free(n);
    }
}

/* --- 5.4.2 --- */

static void test_leader_only_commits_log_from_current_term(void **state)
{
    const struct {
        uint64_t ack;
        uint64_t commit;
    } cases[] = {{1, 0}, {2, 0}, {3, 3}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n =
            NODE(.voters = IDS(1, 2), .log = TERMS(1, 2), .hs = {.term = 2});

        node_become_leader(n);
        drop_messages(&n->r);
        node_propose(n, "");
        node_step(
            n, MSG(APP_RESP, 2, 1, .term = n->r.term, .index = cases[i].ack));
        advance_messages_after_append(&n->r);
        assert_int_equal(n->r.log.committed, cases[i].commit);
        node_free(n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follower_update_term_from_message),
        cmocka_unit_test(test_candidate_update_term_from_message),
        cmocka_unit_test(test_leader_update_term_from_message),
        cmocka_unit_test(test_reject_stale_term_message),
        cmocka_unit_test(test_start_as_follower),
        cmocka_unit_test(test_leader_bcast_beat),
        cmocka_unit_test(test_follower_start_election),
        cmocka_unit_test(test_candidate_start_new_election),
        cmocka_unit_test(test_leader_election_in_one_round_rpc),
        cmocka_unit_test(test_follower_vote),
        cmocka_unit_test(test_candidate_fallback),
        cmocka_unit_test(test_follower_election_timeout_randomized),
        cmocka_unit_test(test_candidate_election_timeout_randomized),
        cmocka_unit_test(test_followers_election_timeout_nonconflict),
        cmocka_unit_test(test_candidates_election_timeout_nonconflict),
        cmocka_unit_test(test_leader_start_replication),
        cmocka_unit_test(test_leader_commit_entry),
        cmocka_unit_test(test_leader_acknowledge_commit),
        cmocka_unit_test(test_leader_commit_preceding_entries),
        cmocka_unit_test(test_follower_commit_entry),
        cmocka_unit_test(test_follower_check_msg_app),
        cmocka_unit_test(test_follower_append_entries),
        cmocka_unit_test(test_leader_sync_follower_log),
        cmocka_unit_test(test_vote_request),
        cmocka_unit_test(test_voter),
        cmocka_unit_test(test_leader_only_commits_log_from_current_term),
    };

    return cmocka_run_group_tests_name("raft_paper", tests, NULL, NULL);
}
