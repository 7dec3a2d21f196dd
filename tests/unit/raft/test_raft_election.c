/* Elections: who wins, who steps back, who never campaigns.
 *
 * Goal: the rules of raft-core section 9, with and without pre-votes. Method:
 * whole networks for the outcome, single nodes for what a message does; names
 * and scenarios of etcd-io/raft raft_test.go, plus A3, A6, A7 of raft-tests. */

#include "tests/lib/raft_fixture.h"

/* --- networks --- */

static struct node *fresh(bool pre_vote)
{
    return NODE(.pre_vote = pre_vote);
}

/* A node with this log, at the term of its last entry. */
static struct node *logged(bool pre_vote, struct id_list terms)
{
    struct node *n = NODE(.pre_vote = pre_vote, .log = terms);

    raft_reset(&n->r, terms.ids[terms.n - 1]);
    return n;
}

/* A node that voted for `vote` in `term` and has no log. */
static struct node *voted(bool pre_vote, uint64_t vote, uint64_t term)
{
    return NODE(.pre_vote = pre_vote, .hs = {.term = term, .vote = vote});
}

static void leader_election(bool pre)
{
    enum raft_role asking = pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
    uint64_t asking_term = pre ? 0 : 1;
    struct {
        const char *name;
        size_t n;
        struct node *peers[5];
        enum raft_role role;
        uint64_t term;
    } cases[] = {
        {"3 up", 3, {fresh(pre), fresh(pre), fresh(pre)}, RAFT_LEADER, 1},
        {"2 of 3", 3, {fresh(pre), fresh(pre), BLACK_HOLE}, RAFT_LEADER, 1},
        {"1 of 3",
         3,
         {fresh(pre), BLACK_HOLE, BLACK_HOLE},
         asking,
         asking_term},
        {"2 of 4",
         4,
         {fresh(pre), BLACK_HOLE, BLACK_HOLE, fresh(pre)},
         asking,
         asking_term},
        {"3 of 5",
         5,
         {fresh(pre), BLACK_HOLE, BLACK_HOLE, fresh(pre), fresh(pre)},
         RAFT_LEADER,
         1},
        {"three longer logs",
         5,
         {fresh(pre), logged(pre, TERMS(1)), logged(pre, TERMS(1)),
          logged(pre, TERMS(1, 1)), fresh(pre)},
         RAFT_FOLLOWER,
         1},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct network nt;

        print_message("  %s\n", cases[i].name);
        network_init(&nt, cases[i].peers, cases[i].n);
        network_hup(&nt, 1);
        assert_role(nt.nodes[1], cases[i].role, cases[i].term);
        network_release(&nt);
    }
}

static void test_leader_election(void **state)
{
    (void)state;
    leader_election(false);
}

static void test_leader_election_pre_vote(void **state)
{
    (void)state;
    leader_election(true);
}

static void leader_cycle(bool pre)
{
    struct network nt;

    NETWORK(&nt, fresh(pre), fresh(pre), fresh(pre));
    for (uint64_t id = 1; id <= 3; id++) {
        network_hup(&nt, id);
        for (uint64_t i = 1; i <= 3; i++) {
            assert_int_equal(nt.nodes[i]->r.role,
                             i == id ? RAFT_LEADER : RAFT_FOLLOWER);
        }
    }
    network_release(&nt);
}

static void test_leader_cycle(void **state)
{
    (void)state;
    leader_cycle(false);
}

static void test_leader_cycle_pre_vote(void **state)
{
    (void)state;
    leader_cycle(true);
}

/* Node 1 won an election before and has an entry of term 1; 3 has one of term
 * 2, for which 4 and 5 voted. 1 must learn of term 2 first, then overwrites it.
 */
static void leader_election_overwrite_newer_logs(bool pre)
{
    struct network nt;

    NETWORK(&nt, logged(pre, TERMS(1)), logged(pre, TERMS(1)),
            logged(pre, TERMS(2)), voted(pre, 3, 2), voted(pre, 3, 2));
    network_hup(&nt, 1);
    assert_role(nt.nodes[1], RAFT_FOLLOWER, 2);
    network_hup(&nt, 1);
    assert_role(nt.nodes[1], RAFT_LEADER, 3);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_log_terms(&nt.nodes[i]->r, TERMS(1, 3));
    }
    network_release(&nt);
}

static void test_leader_election_overwrite_newer_logs(void **state)
{
    (void)state;
    leader_election_overwrite_newer_logs(false);
}

static void test_leader_election_overwrite_newer_logs_pre_vote(void **state)
{
    (void)state;
    leader_election_overwrite_newer_logs(true);
}

static void test_single_node_candidate(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, fresh(false));
    network_hup(&nt, 1);
    assert_role(nt.nodes[1], RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_single_node_pre_candidate(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, fresh(true));
    network_hup(&nt, 1);
    assert_role(nt.nodes[1], RAFT_LEADER, 1);
    network_release(&nt);
}

static void test_dueling_candidates(void **state)
{
    struct network nt;
    uint64_t last[] = {1, 1, 0};

    (void)state;
    NETWORK(&nt, fresh(false), fresh(false), fresh(false));
    network_cut(&nt, 1, 3);
    network_hup(&nt, 1);
    network_hup(&nt, 3);
    assert_role(nt.nodes[1], RAFT_LEADER, 1);
    assert_role(nt.nodes[3], RAFT_CANDIDATE, 1);
    network_recover(&nt);
    /* 3 disturbs the leader with a higher term, and loses for its log. */
    network_hup(&nt, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_role(nt.nodes[i], RAFT_FOLLOWER, 2);
        assert_int_equal(raft_log_last_index(&nt.nodes[i]->r.log), last[i - 1]);
    }
    network_release(&nt);
}

static void test_dueling_pre_candidates(void **state)
{
    struct network nt;
    uint64_t last[] = {1, 1, 0};

    (void)state;
    NETWORK(&nt, fresh(true), fresh(true), fresh(true));
    network_cut(&nt, 1, 3);
    network_hup(&nt, 1);
    network_hup(&nt, 3);
    assert_role(nt.nodes[1], RAFT_LEADER, 1);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_FOLLOWER);
    network_recover(&nt);
    network_hup(&nt, 3);
    assert_role(nt.nodes[1], RAFT_LEADER, 1);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 1);
    assert_role(nt.nodes[3], RAFT_FOLLOWER, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(raft_log_last_index(&nt.nodes[i]->r.log), last[i - 1]);
    }
    network_release(&nt);
}

static void test_candidate_concede(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NULL, NULL, NULL);
    network_isolate(&nt, 1);
    network_hup(&nt, 1);
    network_hup(&nt, 3);
    assert_int_equal(nt.nodes[1]->r.role, RAFT_CANDIDATE);
    network_recover(&nt);
    network_beat(&nt, 3);
    network_propose(&nt, 3, "force follower");
    network_beat(&nt, 3);
    assert_role(nt.nodes[1], RAFT_FOLLOWER, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_log_terms(&nt.nodes[i]->r, TERMS(1, 1));
        assert_int_equal(nt.nodes[i]->r.log.committed, 2);
        assert_same_log(&nt.nodes[i]->r, &nt.nodes[1]->r);
    }
    network_release(&nt);
}

static void candidate_reset_term(enum raft_message_type type)
{
    struct network nt;
    struct raft *b;

    NETWORK(&nt, NULL, NULL, NULL);
    network_hup(&nt, 1);
    network_isolate(&nt, 3);
    network_hup(&nt, 2);
    network_hup(&nt, 1);
    assert_role(nt.nodes[1], RAFT_LEADER, 3);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 3);

    /* Three times out in isolation. */
    b = &nt.nodes[3]->r;
    b->randomized_election_timeout = b->election_timeout;
    for (int i = 0; i < b->randomized_election_timeout; i++) {
        raft_tick_election(b);
    }
    advance_messages_after_append(b);
    drop_messages(b);
    assert_role(nt.nodes[3], RAFT_CANDIDATE, 2);

    network_recover(&nt);
    network_send(&nt, (struct raft_message){
                          .type = type, .from = 1, .to = 3, .term = 3});
    assert_role(nt.nodes[3], RAFT_FOLLOWER, 3);
    network_release(&nt);
}

static void test_candidate_reset_term_msg_heartbeat(void **state)
{
    (void)state;
    candidate_reset_term(RAFT_MSG_HEARTBEAT);
}

static void test_candidate_reset_term_msg_app(void **state)
{
    (void)state;
    candidate_reset_term(RAFT_MSG_APP);
}

/* --- granting votes --- */

static void become(struct node *n, enum raft_role role, uint64_t term)
{
    switch (role) {
    case RAFT_FOLLOWER:
        raft_become_follower(&n->r, term, 3);
        return;
    case RAFT_PRE_CANDIDATE:
        raft_become_pre_candidate(&n->r);
        return;
    case RAFT_CANDIDATE:
        raft_become_candidate(&n->r);
        return;
    case RAFT_LEADER:
        node_become_leader(n);
        return;
    }
}

static void vote_from_any_state(enum raft_message_type type,
                                enum raft_message_type resp)
{
    for (int role = RAFT_FOLLOWER; role <= RAFT_PRE_CANDIDATE; role++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 1});
        uint64_t term;
        uint64_t new_term;
        struct message_queue q;

        become(n, (enum raft_role)role, 1);
        drop_messages(&n->r);
        term = n->r.term;
        new_term = term + 1;
        node_step(n, (struct raft_message){.type = type,
                                           .from = 2,
                                           .to = 1,
                                           .term = new_term,
                                           .log_term = new_term,
                                           .index = 42});
        q = read_messages(&n->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].type, resp);
        assert_int_equal(q.items[0].term, new_term);
        assert_false(q.items[0].reject);
        message_queue_release(&q);
        if (type == RAFT_MSG_VOTE) {
            assert_role(n, RAFT_FOLLOWER, new_term);
            assert_int_equal(n->r.vote, 2);
        } else {
            /* Nothing has changed [raft-core EL-10]. */
            assert_role(n, (enum raft_role)role, term);
            assert_true(n->r.vote == RAFT_NONE || n->r.vote == 1);
        }
        node_free(n);
    }
}

static void test_vote_from_any_state(void **state)
{
    (void)state;
    vote_from_any_state(RAFT_MSG_VOTE, RAFT_MSG_VOTE_RESP);
}

static void test_pre_vote_from_any_state(void **state)
{
    (void)state;
    vote_from_any_state(RAFT_MSG_PRE_VOTE, RAFT_MSG_PRE_VOTE_RESP);
}

static void recv_vote(enum raft_message_type type)
{
    const struct {
        enum raft_role role;
        uint64_t index;
        uint64_t log_term;
        uint64_t vote_for;
        bool reject;
    } cases[] = {
        {RAFT_FOLLOWER, 0, 0, 0, true},  {RAFT_FOLLOWER, 0, 1, 0, true},
        {RAFT_FOLLOWER, 0, 2, 0, true},  {RAFT_FOLLOWER, 0, 3, 0, false},
        {RAFT_FOLLOWER, 1, 0, 0, true},  {RAFT_FOLLOWER, 1, 1, 0, true},
        {RAFT_FOLLOWER, 1, 2, 0, true},  {RAFT_FOLLOWER, 1, 3, 0, false},
        {RAFT_FOLLOWER, 2, 0, 0, true},  {RAFT_FOLLOWER, 2, 1, 0, true},
        {RAFT_FOLLOWER, 2, 2, 0, false}, {RAFT_FOLLOWER, 2, 3, 0, false},
        {RAFT_FOLLOWER, 3, 0, 0, true},  {RAFT_FOLLOWER, 3, 1, 0, true},
        {RAFT_FOLLOWER, 3, 2, 0, false}, {RAFT_FOLLOWER, 3, 3, 0, false},
        {RAFT_FOLLOWER, 3, 2, 2, false}, {RAFT_FOLLOWER, 3, 2, 1, true},
        {RAFT_LEADER, 3, 3, 1, true},    {RAFT_PRE_CANDIDATE, 3, 3, 1, true},
        {RAFT_CANDIDATE, 3, 3, 1, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1), .log = TERMS(2, 2));
        struct message_queue q;
        /* A candidate never asks at a term below its log's. */
        uint64_t term = max_u64(2, cases[i].log_term);

        node_uncheck(n); /* roles are set by force */
        n->r.role = cases[i].role;
        n->r.vote = cases[i].vote_for;
        n->r.term = term;
        switch (cases[i].role) {
        case RAFT_FOLLOWER:
            n->r.step = raft_step_follower;
            break;
        case RAFT_LEADER:
            n->r.step = raft_step_leader;
            break;
        case RAFT_CANDIDATE:
        case RAFT_PRE_CANDIDATE:
            n->r.step = raft_step_candidate;
            break;
        }
        node_step(n, (struct raft_message){.type = type,
                                           .from = 2,
                                           .to = 1,
                                           .term = term,
                                           .index = cases[i].index,
                                           .log_term = cases[i].log_term});
        q = read_messages(&n->r);
        assert_int_equal(q.len, 1);
        assert_int_equal(q.items[0].type, type == RAFT_MSG_VOTE
                                              ? RAFT_MSG_VOTE_RESP
                                              : RAFT_MSG_PRE_VOTE_RESP);
        assert_int_equal(q.items[0].reject, cases[i].reject);
        message_queue_release(&q);
        node_free(n);
    }
}

static void test_recv_msg_vote(void **state)
{
    (void)state;
    recv_vote(RAFT_MSG_VOTE);
}

static void test_recv_msg_pre_vote(void **state)
{
    (void)state;
    recv_vote(RAFT_MSG_PRE_VOTE);
}

/* A3: in the term of a known leader no vote is given, even a free one. */
static void test_no_vote_while_leader_known(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 2});
    struct message_queue q;

    (void)state;
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 2));
    drop_messages(&n->r);
    assert_int_equal(n->r.lead, 2);
    assert_int_equal(n->r.vote, RAFT_NONE);
    node_step(n, MSG(VOTE, 3, 1, .term = 2, .index = 5, .log_term = 2));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_VOTE_RESP);
    assert_true(q.items[0].reject);
    assert_int_equal(q.items[0].term, 2);
    message_queue_release(&q);
    node_free(n);
}

/* Rejecting answers carry the own term, so that the candidate learns it. */
static void test_lower_term_pre_vote_is_rejected(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 5});
    struct message_queue q;

    (void)state;
    node_step(n, MSG(PRE_VOTE, 2, 1, .term = 3, .index = 9, .log_term = 3));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_PRE_VOTE_RESP);
    assert_int_equal(q.items[0].term, 5);
    assert_true(q.items[0].reject);
    message_queue_release(&q);
    /* A vote request gets no answer. */
    node_step(n, MSG(VOTE, 2, 1, .term = 3, .index = 9, .log_term = 3));
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* Who voted waits a full timeout before it campaigns itself. */
static void test_granted_vote_resets_the_timer(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 1});

    (void)state;
    n->r.election_elapsed = 7;
    node_step(n, MSG(VOTE, 2, 1, .term = 1));
    assert_int_equal(n->r.election_elapsed, 0);
    /* A refused one does not keep it from campaigning. */
    n->r.election_elapsed = 7;
    node_step(n, MSG(VOTE, 3, 1, .term = 1));
    assert_int_equal(n->r.election_elapsed, 7);
    drop_messages(&n->r);
    node_free(n);
}

/* --- counting votes --- */

/* A6: the first answer of a member stands. */
static void test_first_vote_sticks(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    drop_messages(&n->r);
    assert_role(n, RAFT_CANDIDATE, 1);
    node_step(n, MSG(VOTE_RESP, 2, 1, .term = 1, .reject = true));
    node_step(n, MSG(VOTE_RESP, 2, 1, .term = 1));
    assert_role(n, RAFT_CANDIDATE, 1);
    node_free(n);
}

/* A7: a joint configuration needs both majorities. */
static void test_joint_vote_needs_both_halves(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .voters_outgoing = IDS(1, 4, 5));

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    assert_int_equal(drop_messages(&n->r), 4);
    node_step(n, MSG(VOTE_RESP, 2, 1, .term = 1));
    assert_role(n, RAFT_CANDIDATE, 1);
    node_step(n, MSG(VOTE_RESP, 3, 1, .term = 1));
    assert_role(n, RAFT_CANDIDATE, 1);
    node_step(n, MSG(VOTE_RESP, 4, 1, .term = 1));
    assert_role(n, RAFT_LEADER, 1);
    node_free(n);
}

/* Take the message to itself out of msgs_after_append, for later. */
static struct raft_message take_self_message(struct node *n)
{
    struct message_queue *q = &n->r.msgs_after_append;
    struct raft_message m;

    assert_int_equal(q->len, 1);
    m = q->items[0];
    assert_int_equal(m.to, n->r.id);
    assert_int_equal(m.entries.len, 0);
    message_queue_reset(q);
    return m;
}

static void self_vote_after_lost_election(bool pre)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .pre_vote = pre);
    struct raft_message own;

    node_step(n, MSG(HUP, 1, 1));
    own = take_self_message(n);
    /* Another won: our own vote comes too late. */
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = pre ? 0 : 1));
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_step(n, own);
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    assert_int_equal(tracker_tally_votes(&n->r.trk).granted, 0);
    node_free(n);
}

static void test_candidate_self_vote_after_lost_election(void **state)
{
    (void)state;
    self_vote_after_lost_election(false);
}

static void test_candidate_self_vote_after_lost_election_pre_vote(void **state)
{
    (void)state;
    self_vote_after_lost_election(true);
}

static void
test_candidate_delivers_pre_candidate_self_vote_after_becoming_candidate(
    void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .pre_vote = true);
    struct raft_message pre;
    struct raft_message own;

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    assert_role(n, RAFT_PRE_CANDIDATE, 0);
    pre = take_self_message(n);
    node_step(n, MSG(PRE_VOTE_RESP, 2, 1, .term = 1));
    node_step(n, MSG(PRE_VOTE_RESP, 3, 1, .term = 1));
    assert_role(n, RAFT_CANDIDATE, 1);
    own = take_self_message(n);
    node_step(n, pre);
    assert_role(n, RAFT_CANDIDATE, 1);
    assert_int_equal(tracker_tally_votes(&n->r.trk).granted, 0);
    node_step(n, MSG(VOTE_RESP, 2, 1, .term = 1));
    assert_role(n, RAFT_CANDIDATE, 1);
    node_step(n, own);
    assert_role(n, RAFT_LEADER, 1);
    node_free(n);
}

static void test_leader_msg_app_self_ack_after_term_change(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    struct raft_message ack;

    (void)state;
    raft_become_candidate(&n->r);
    raft_become_leader(&n->r);
    node_propose(n, "somedata");
    assert_int_equal(n->r.msgs_after_append.len, 2);
    ack = n->r.msgs_after_append.items[1];
    message_queue_reset(&n->r.msgs_after_append);
    assert_int_equal(ack.type, RAFT_MSG_APP_RESP);
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 2));
    assert_role(n, RAFT_FOLLOWER, 2);
    node_step(n, ack);
    assert_role(n, RAFT_FOLLOWER, 2);
    node_free(n);
}

/* --- who campaigns --- */

static void campaign_while_leader(bool pre)
{
    struct node *n =
        NODE(.id = 1, .voters = IDS(1), .pre_vote = pre, .election = 5);
    uint64_t term;

    node_step(n, MSG(HUP, 1, 1));
    advance_messages_after_append(&n->r);
    assert_int_equal(n->r.role, RAFT_LEADER);
    term = n->r.term;
    node_step(n, MSG(HUP, 1, 1));
    advance_messages_after_append(&n->r);
    assert_role(n, RAFT_LEADER, term);
    node_free(n);
}

static void test_campaign_while_leader(void **state)
{
    (void)state;
    campaign_while_leader(false);
}

static void test_pre_campaign_while_leader(void **state)
{
    (void)state;
    campaign_while_leader(true);
}

static void test_promotable(void **state)
{
    const struct {
        struct id_list voters;
        bool want;
    } cases[] = {
        {IDS(1), true},
        {IDS(1, 2, 3), true},
        {{NULL, 0}, false},
        {IDS(2, 3), false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = cases[i].voters, .election = 5);

        assert_int_equal(raft_promotable(&n->r), cases[i].want);
        node_free(n);
    }
}

static void test_learner_election_timeout(void **state)
{
    struct node *n = NODE(.id = 2, .voters = IDS(1), .learners = IDS(2));

    (void)state;
    raft_become_follower(&n->r, 1, RAFT_NONE);
    n->r.randomized_election_timeout = n->r.election_timeout;
    for (int i = 0; i < n->r.election_timeout; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

static void test_learner_campaign(void **state)
{
    struct node *n1 = NODE(.id = 1, .voters = IDS(1));
    struct node *n2;
    struct network nt;

    (void)state;
    node_apply(n1, CONF_CHANGE_ADD_LEARNER_NODE, 2);
    n2 = NODE(.id = 2, .voters = IDS(1));
    node_apply(n2, CONF_CHANGE_ADD_LEARNER_NODE, 2);
    NETWORK(&nt, n1, n2);
    network_hup(&nt, 2);
    assert_true(n2->r.is_learner);
    assert_int_equal(n2->r.role, RAFT_FOLLOWER);
    network_hup(&nt, 1);
    assert_role(n1, RAFT_LEADER, 1);
    network_send(&nt, MSG(TIMEOUT_NOW, 1, 2));
    assert_int_equal(n2->r.role, RAFT_FOLLOWER);
    network_release(&nt);
}

static void test_learner_promotion(void **state)
{
    struct node *n1 = NODE(.id = 1, .voters = IDS(1), .learners = IDS(2));
    struct node *n2 = NODE(.id = 2, .voters = IDS(1), .learners = IDS(2));
    struct network nt;

    (void)state;
    raft_become_follower(&n1->r, 1, RAFT_NONE);
    raft_become_follower(&n2->r, 1, RAFT_NONE);
    NETWORK(&nt, n1, n2);
    assert_int_not_equal(n1->r.role, RAFT_LEADER);
    n1->r.randomized_election_timeout = n1->r.election_timeout;
    for (int i = 0; i < n1->r.election_timeout; i++) {
        n1->r.tick(&n1->r);
    }
    advance_messages_after_append(&n1->r);
    assert_int_equal(n1->r.role, RAFT_LEADER);
    assert_int_equal(n2->r.role, RAFT_FOLLOWER);
    network_beat(&nt, 1);

    node_apply(n1, CONF_CHANGE_ADD_NODE, 2);
    node_apply(n2, CONF_CHANGE_ADD_NODE, 2);
    assert_false(n2->r.is_learner);
    n2->r.randomized_election_timeout = n2->r.election_timeout;
    for (int i = 0; i < n2->r.election_timeout; i++) {
        n2->r.tick(&n2->r);
    }
    advance_messages_after_append(&n2->r);
    network_flush(&nt, 2);
    assert_int_equal(n1->r.role, RAFT_FOLLOWER);
    assert_int_equal(n2->r.role, RAFT_LEADER);
    network_release(&nt);
}

/* It may have been promoted without knowing it yet. */
static void test_learner_can_vote(void **state)
{
    struct node *n = NODE(.id = 2, .voters = IDS(1), .learners = IDS(2));
    struct message_queue q;

    (void)state;
    raft_become_follower(&n->r, 1, RAFT_NONE);
    node_step(n, MSG(VOTE, 1, 2, .term = 2, .log_term = 11, .index = 11));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_VOTE_RESP);
    assert_false(q.items[0].reject);
    message_queue_release(&q);
    node_free(n);
}

static void test_transfer_non_member(void **state)
{
    struct node *n = NODE(.voters = IDS(2, 3, 4), .election = 5);

    (void)state;
    node_step(n, MSG(TIMEOUT_NOW, 2, 1));
    node_step(n, MSG(VOTE_RESP, 2, 1));
    node_step(n, MSG(VOTE_RESP, 3, 1));
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

/* --- timeouts --- */

static void test_past_election_timeout(void **state)
{
    const struct {
        int elapsed;
        int percent; /* of draws, rounded to ten */
    } cases[] = {{5, 0}, {10, 10}, {13, 40}, {15, 60}, {18, 90}, {20, 100}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1));
        int hits = 0;

        n->r.election_elapsed = cases[i].elapsed;
        for (int j = 0; j < 10000; j++) {
            raft_reset(&n->r, n->r.term);
            n->r.election_elapsed = cases[i].elapsed;
            hits += raft_past_election_timeout(&n->r);
        }
        assert_int_equal((hits + 500) / 1000 * 10, cases[i].percent);
        node_free(n);
    }
}

static void test_tick_of_a_non_promotable_node_counts_on(void **state)
{
    struct node *n = NODE(.id = 1, .voters = IDS(2));

    (void)state;
    for (int i = 0; i < 100; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.election_elapsed, 100);
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    /* It campaigns on the tick after it was promoted [raft-core TICK-1]. */
    node_apply(n, CONF_CHANGE_ADD_NODE, 1);
    n->r.tick(&n->r);
    assert_int_equal(n->r.role, RAFT_CANDIDATE);
    node_free(n);
}

/* A campaign that is refused is tried again after another timeout. */
static void test_refused_campaign_restarts_the_timer(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE, .node_id = 2};
    struct raft_message m =
        with_conf_change(MSG(APP, 2, 1, .term = 1, .commit = 1), &cc);
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    m.entries.items[0]->term = 1;
    m.entries.items[0]->index = 1;
    node_step(n, m);
    drop_messages(&n->r);
    n->r.election_elapsed = n->r.randomized_election_timeout - 1;
    n->r.tick(&n->r);
    assert_role(n, RAFT_FOLLOWER, 1); /* the change is not applied yet */
    assert_int_equal(n->r.election_elapsed, 0);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader_election),
        cmocka_unit_test(test_leader_election_pre_vote),
        cmocka_unit_test(test_leader_cycle),
        cmocka_unit_test(test_leader_cycle_pre_vote),
        cmocka_unit_test(test_leader_election_overwrite_newer_logs),
        cmocka_unit_test(test_leader_election_overwrite_newer_logs_pre_vote),
        cmocka_unit_test(test_single_node_candidate),
        cmocka_unit_test(test_single_node_pre_candidate),
        cmocka_unit_test(test_dueling_candidates),
        cmocka_unit_test(test_dueling_pre_candidates),
        cmocka_unit_test(test_candidate_concede),
        cmocka_unit_test(test_candidate_reset_term_msg_heartbeat),
        cmocka_unit_test(test_candidate_reset_term_msg_app),
        cmocka_unit_test(test_vote_from_any_state),
        cmocka_unit_test(test_pre_vote_from_any_state),
        cmocka_unit_test(test_recv_msg_vote),
        cmocka_unit_test(test_recv_msg_pre_vote),
        cmocka_unit_test(test_no_vote_while_leader_known),
        cmocka_unit_test(test_lower_term_pre_vote_is_rejected),
        cmocka_unit_test(test_first_vote_sticks),
        cmocka_unit_test(test_joint_vote_needs_both_halves),
        cmocka_unit_test(test_candidate_self_vote_after_lost_election),
        cmocka_unit_test(test_candidate_self_vote_after_lost_election_pre_vote),
        cmocka_unit_test(
            test_candidate_delivers_pre_candidate_self_vote_after_becoming_candidate),
        cmocka_unit_test(test_leader_msg_app_self_ack_after_term_change),
        cmocka_unit_test(test_campaign_while_leader),
        cmocka_unit_test(test_pre_campaign_while_leader),
        cmocka_unit_test(test_promotable),
        cmocka_unit_test(test_learner_election_timeout),
        cmocka_unit_test(test_learner_campaign),
        cmocka_unit_test(test_learner_promotion),
        cmocka_unit_test(test_learner_can_vote),
        cmocka_unit_test(test_transfer_non_member),
        cmocka_unit_test(test_past_election_timeout),
        cmocka_unit_test(test_tick_of_a_non_promotable_node_counts_on),
        cmocka_unit_test(test_granted_vote_resets_the_timer),
        cmocka_unit_test(test_refused_campaign_restarts_the_timer),
    };

    return cmocka_run_group_tests_name("raft_election", tests, NULL, NULL);
}
