/* The machine as a whole: roles, ticks, leases, pre-vote migration, progress of
 * the members as the leader drives it, and what it does with nonsense.
 *
 * Method: single nodes whose fields are set and looked at, and networks in
 * which some links are cut; names and scenarios of etcd-io/raft raft_test.go.
 */

#include "tests/lib/raft_fixture.h"

/* Tick until the election timeout, made the shortest, is over. */
static void tick_past_timeout(struct node *n)
{
    n->r.randomized_election_timeout = n->r.election_timeout;
    for (int i = 0; i < n->r.election_timeout; i++) {
        n->r.tick(&n->r);
    }
    advance_messages_after_append(&n->r);
}

/* --- construction --- */

static void test_config_validation(void **state)
{
    struct memory_storage ms;
    struct raft r = {0};
    const struct raft_config good = spec_config(&(struct node_spec){0}, &ms);
    struct raft_config bad[10];
    const char *texts[] = {
        "cannot use none as id",
        "cannot use local target as id",
        "cannot use local target as id",
        "heartbeat tick must be greater than 0",
        "election tick must be greater than heartbeat tick",
        "storage cannot be nil",
        "max inflight messages must be greater than 0",
        "max inflight bytes must be >= max message size",
        "CheckQuorum must be enabled when ReadOnlyOption is "
        "ReadOnlyLeaseBased",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bad[i] = good;
    }
    bad[0].id = RAFT_NONE;
    bad[1].id = RAFT_LOCAL_APPEND_THREAD;
    bad[2].id = RAFT_LOCAL_APPLY_THREAD;
    bad[3].heartbeat_ticks = 0;
    bad[4].election_ticks = bad[4].heartbeat_ticks;
    bad[5].storage = NULL;
    bad[6].max_inflight_msgs = 0;
    bad[7].max_size_per_msg = 100;
    bad[7].max_inflight_bytes = 99;
    bad[8].read_only_option = READ_ONLY_LEASE_BASED;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_fatal(&raft_trap, raft_init(&r, &bad[i]));
        assert_string_equal(raft_trap.text, texts[i]);
    }
}

static void test_stored_commit_outside_log_is_fatal(void **state)
{
    struct node_spec spec = {.voters = IDS(1), .log = TERMS(1, 1)};
    const uint64_t commits[] = {3, 1000};
    struct memory_storage ms;
    struct raft_config cfg = spec_config(&spec, &ms);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(commits); i++) {
        struct raft r;

        spec.hs = (struct hard_state){.term = 1, .commit = commits[i]};
        storage_fill(&ms, &spec);
        assert_fatal(&raft_trap, raft_init(&r, &cfg));
        raft_release(&r);
        memory_storage_release(&ms);
    }
}

/* PF-20: the reference would be fatal at the first committed entry. */
static void test_apply_budget_of_zero_hands_out_single_entries(void **state)
{
    struct node_spec spec = {
        .voters = IDS(1), .log = TERMS(1, 1), .hs = {.term = 1, .commit = 2}};
    struct memory_storage ms;
    struct raft_config cfg = spec_config(&spec, &ms);
    struct raft_entries out = {0};
    struct raft r;

    (void)state;
    cfg.max_size_per_msg = 0;
    storage_fill(&ms, &spec);
    raft_init(&r, &cfg);
    raft_log_next_committed_ents(&r.log, true, &out);
    assert_int_equal(out.len, 1);
    raft_entries_release(&out);
    raft_release(&r);
    memory_storage_release(&ms);
}

static void test_applied_is_taken_from_config(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .log = TERMS(1, 1, 1),
                          .hs = {.term = 1, .commit = 3}, .applied = 2);
    struct raft_entries out = {0};

    (void)state;
    raft_log_next_committed_ents(&n->r.log, true, &out);
    assert_int_equal(out.len, 1);
    assert_int_equal(out.items[0]->index, 3);
    raft_entries_release(&out);
    node_free(n);
}

/* --- roles --- */

static void step_to(struct node *n, enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        raft_become_follower(&n->r, n->r.term, RAFT_NONE);
        return;
    case RAFT_CANDIDATE:
        raft_become_candidate(&n->r);
        return;
    case RAFT_PRE_CANDIDATE:
        raft_become_pre_candidate(&n->r);
        return;
    case RAFT_LEADER:
        raft_become_leader(&n->r);
        return;
    }
}

static void assert_forbidden(struct node *n, enum raft_role to)
{
    assert_fatal(&raft_trap, step_to(n, to));
}

static void test_state_transition(void **state)
{
    const struct {
        enum raft_role from;
        enum raft_role to;
        bool allowed;
        uint64_t term;
        uint64_t lead;
    } cases[] = {
        {RAFT_FOLLOWER, RAFT_FOLLOWER, true, 1, 0},
        {RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, true, 0, 0},
        {RAFT_FOLLOWER, RAFT_CANDIDATE, true, 1, 0},
        {RAFT_FOLLOWER, RAFT_LEADER, false, 0, 0},
        {RAFT_PRE_CANDIDATE, RAFT_FOLLOWER, true, 0, 0},
        {RAFT_PRE_CANDIDATE, RAFT_PRE_CANDIDATE, true, 0, 0},
        {RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, true, 1, 0},
        {RAFT_PRE_CANDIDATE, RAFT_LEADER, true, 0, 1},
        {RAFT_CANDIDATE, RAFT_FOLLOWER, true, 0, 0},
        {RAFT_CANDIDATE, RAFT_PRE_CANDIDATE, true, 0, 0},
        {RAFT_CANDIDATE, RAFT_CANDIDATE, true, 1, 0},
        {RAFT_CANDIDATE, RAFT_LEADER, true, 0, 1},
        {RAFT_LEADER, RAFT_FOLLOWER, true, 1, 0},
        {RAFT_LEADER, RAFT_PRE_CANDIDATE, false, 0, 0},
        {RAFT_LEADER, RAFT_CANDIDATE, false, 1, 0},
        {RAFT_LEADER, RAFT_LEADER, true, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1));

        n->r.role = cases[i].from;
        if (!cases[i].allowed) {
            assert_forbidden(n, cases[i].to);
            node_free(n);
            continue;
        }
        if (cases[i].to == RAFT_FOLLOWER) {
            raft_become_follower(&n->r, cases[i].term, cases[i].lead);
        } else {
            step_to(n, cases[i].to);
        }
        assert_role(n, cases[i].to, cases[i].term);
        assert_int_equal(n->r.lead, cases[i].lead);
        node_free(n);
    }
}

static void test_all_server_stepdown(void **state)
{
    const struct {
        enum raft_role role;
        uint64_t last;
    } cases[] = {
        {RAFT_FOLLOWER, 0},
        {RAFT_PRE_CANDIDATE, 0},
        {RAFT_CANDIDATE, 0},
        {RAFT_LEADER, 1},
    };
    const enum raft_message_type types[] = {RAFT_MSG_VOTE, RAFT_MSG_APP};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3));

        if (cases[i].role == RAFT_LEADER) {
            raft_become_candidate(&n->r);
        }
        step_to(n, cases[i].role);
        drop_messages(&n->r);
        for (size_t j = 0; j < ARRAY_LEN(types); j++) {
            node_step(n, (struct raft_message){.type = types[j],
                                               .from = 2,
                                               .to = 1,
                                               .term = 3,
                                               .log_term = 3 * (j == 0)});
            assert_role(n, RAFT_FOLLOWER, 3);
            assert_int_equal(raft_log_last_index(&n->r.log), cases[i].last);
            assert_int_equal(n->r.lead, types[j] == RAFT_MSG_VOTE ? 0 : 2);
        }
        node_free(n);
    }
}

/* --- the leader's view of its members --- */

static void test_progress_leader(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .election = 5);
    struct message_queue acks = {0};

    (void)state;
    node_become_leader(n);
    progress_become_replicate(pr_of(n, 2));
    for (int i = 0; i < 5; i++) {
        node_propose(n, "foo");
    }
    assert_int_equal(pr_of(n, 1)->match, 0); /* nothing durable yet */
    assert_int_equal(unstable_len(&n->r.log.unstable), 6);
    message_queue_swap(&acks, &n->r.msgs_after_append);
    assert_int_equal(acks.len, 6);
    for (size_t i = 0; i < acks.len; i++) {
        assert_int_equal(acks.items[i].to, 1);
        assert_int_equal(raft_step(&n->r, &acks.items[i]), 0);
    }
    assert_int_equal(pr_of(n, 1)->match, 6);
    assert_int_equal(pr_of(n, 1)->next, 7);
    message_queue_release(&acks);
    node_free(n);
}

static void test_progress_resume_by_heartbeat_resp(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .election = 5);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    pr_of(n, 2)->msg_app_flow_paused = true;
    node_step(n, MSG(BEAT, 1, 1));
    assert_true(pr_of(n, 2)->msg_app_flow_paused);
    progress_become_replicate(pr_of(n, 2));
    assert_false(pr_of(n, 2)->msg_app_flow_paused);
    pr_of(n, 2)->msg_app_flow_paused = true;
    node_step(n, MSG(HEARTBEAT_RESP, 2, 1));
    assert_false(pr_of(n, 2)->msg_app_flow_paused);
    node_free(n);
}

static void test_progress_paused(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .election = 5);

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < 3; i++) {
        node_propose(n, "somedata");
    }
    assert_int_equal(drop_messages(&n->r), 1);
    node_free(n);
}

static void test_send_append_for_progress_probe(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    progress_become_probe(pr_of(n, 2));
    for (int i = 0; i < 3; i++) {
        struct raft_entry *e = test_entry_sized(0, 0, 8);

        if (i == 0) {
            /* One append, then none before an answer. */
            assert_true(raft_append_entry(&n->r, &e, 1));
            raft_send_append(&n->r, 2);
            assert_int_equal(drop_messages(&n->r), 1);
        }
        assert_true(pr_of(n, 2)->msg_app_flow_paused);
        for (int j = 0; j < 10; j++) {
            struct raft_entry *more = test_entry_sized(0, 0, 8);

            assert_true(raft_append_entry(&n->r, &more, 1));
            raft_send_append(&n->r, 2);
            raft_entry_unref(more);
        }
        assert_int_equal(drop_messages(&n->r), 0);
        /* A heartbeat does not help, only its answer does. */
        for (int j = 0; j < n->r.heartbeat_timeout; j++) {
            node_step(n, MSG(BEAT, 1, 1));
        }
        assert_true(pr_of(n, 2)->msg_app_flow_paused);
        assert_int_equal(drop_messages(&n->r), 1);
        node_step(n, MSG(HEARTBEAT_RESP, 2, 1));
        assert_int_equal(drop_messages(&n->r), 1);
        assert_true(pr_of(n, 2)->msg_app_flow_paused);
        raft_entry_unref(e);
    }
    node_free(n);
}

static void test_send_append_for_progress_replicate(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    progress_become_replicate(pr_of(n, 2));
    for (int i = 0; i < 10; i++) {
        struct raft_entry *e = test_entry_sized(0, 0, 8);

        assert_true(raft_append_entry(&n->r, &e, 1));
        raft_send_append(&n->r, 2);
        assert_int_equal(drop_messages(&n->r), 1);
        raft_entry_unref(e);
    }
    node_free(n);
}

static void test_send_append_for_progress_snapshot(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    progress_become_snapshot(pr_of(n, 2), 10);
    for (int i = 0; i < 10; i++) {
        struct raft_entry *e = test_entry_sized(0, 0, 8);

        assert_true(raft_append_entry(&n->r, &e, 1));
        raft_send_append(&n->r, 2);
        assert_int_equal(drop_messages(&n->r), 0);
        raft_entry_unref(e);
    }
    node_free(n);
}

static void test_uncommitted_entry_limit(void **state)
{
    /* 1024 proposals of 8 bytes fit. */
    struct node *n = NODE(.voters = IDS(1, 2, 3), .election = 5,
                          .max_uncommitted_entries_size = 1024 * 8);
    struct raft_entries proposed = {0};

    (void)state;
    node_become_leader(n);
    assert_int_equal(n->r.uncommitted_size, 0); /* the empty entry is free */
    progress_become_replicate(pr_of(n, 2));
    progress_become_replicate(pr_of(n, 3));
    for (int i = 0; i < 1024; i++) {
        node_propose(n, "testdata");
    }
    assert_int_equal(node_step_rc(n, with_data(MSG(PROP, 1, 1), "testdata")),
                     ERR_PROPOSAL_DROPPED);
    drop_messages(&n->r);
    raft_reduce_uncommitted_size(&n->r, 1024 * 8);
    assert_int_equal(n->r.uncommitted_size, 0);

    /* Nothing outstanding: a batch above the limit is accepted. */
    {
        struct raft_message m = MSG(PROP, 1, 1);

        for (int i = 0; i < 2 * 1024; i++) {
            m = with_data(m, "testdata");
        }
        assert_int_equal(node_step_rc(n, m), 0);
    }
    assert_int_equal(node_step_rc(n, with_data(MSG(PROP, 1, 1), "testdata")),
                     ERR_PROPOSAL_DROPPED);
    /* An empty entry always is. */
    assert_int_equal(node_step_rc(n, with_data(MSG(PROP, 1, 1), NULL)), 0);
    drop_messages(&n->r);
    raft_reduce_uncommitted_size(&n->r, 2 * 1024 * 8);
    assert_int_equal(n->r.uncommitted_size, 0);
    raft_entries_release(&proposed);
    node_free(n);
}

/* --- CheckQuorum and leases --- */

static void test_leader_stepdown_when_quorum_active(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .election = 5, .check_quorum = true);

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < n->r.election_timeout + 1; i++) {
        node_step(n, MSG(HEARTBEAT_RESP, 2, 1, .term = n->r.term));
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_LEADER);
    node_free(n);
}

static void test_leader_stepdown_when_quorum_lost(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .election = 5, .check_quorum = true);

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < n->r.election_timeout + 1; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

/* [raft-core EL-23]: with followers active at the start, two periods. */
static void test_check_quorum_tick_pattern(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .election = 3, .check_quorum = true);
    size_t rounds = 0;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    pr_of(n, 2)->recent_active = true;
    pr_of(n, 3)->recent_active = true;
    for (int tick = 1; tick <= 6; tick++) {
        n->r.tick(&n->r);
        rounds += drop_messages(&n->r) / 2;
        assert_int_equal(n->r.role, tick < 6 ? RAFT_LEADER : RAFT_FOLLOWER);
    }
    assert_int_equal(rounds, 5);
    node_free(n);
}

static struct network *check_quorum_net(struct network *nt, bool pre_vote)
{
    NETWORK(nt, NODE(.check_quorum = true, .pre_vote = pre_vote),
            NODE(.check_quorum = true, .pre_vote = pre_vote),
            NODE(.check_quorum = true, .pre_vote = pre_vote));
    return nt;
}

static void test_leader_superseding_with_check_quorum(void **state)
{
    struct network nt;
    struct node *b;

    (void)state;
    check_quorum_net(&nt, false);
    b = nt.nodes[2];
    b->r.randomized_election_timeout = b->r.election_timeout + 1;
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 1);
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_FOLLOWER);
    /* 2 heard of the leader just now: it lets nobody disturb. */
    network_hup(&nt, 3);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_CANDIDATE);
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 3);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_LEADER);
    network_release(&nt);
}

static void test_leader_election_with_check_quorum(void **state)
{
    struct network nt;
    struct node *a;
    struct node *b;

    (void)state;
    check_quorum_net(&nt, false);
    a = nt.nodes[1];
    b = nt.nodes[2];
    a->r.randomized_election_timeout = a->r.election_timeout + 1;
    b->r.randomized_election_timeout = b->r.election_timeout + 2;
    /* Nobody has heard of a leader: votes are given at once. */
    network_hup(&nt, 1);
    assert_int_equal(a->r.role, RAFT_LEADER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_FOLLOWER);
    /* becoming leader and follower drew new timeouts */
    a->r.randomized_election_timeout = a->r.election_timeout + 1;
    b->r.randomized_election_timeout = b->r.election_timeout + 2;
    for (int i = 0; i < a->r.election_timeout; i++) {
        a->r.tick(&a->r);
    }
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 3);
    assert_int_equal(a->r.role, RAFT_FOLLOWER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_LEADER);
    network_release(&nt);
}

static void test_free_stuck_candidate_with_check_quorum(void **state)
{
    struct network nt;
    struct node *a;
    struct node *b;
    struct node *c;

    (void)state;
    check_quorum_net(&nt, false);
    a = nt.nodes[1];
    b = nt.nodes[2];
    c = nt.nodes[3];
    b->r.randomized_election_timeout = b->r.election_timeout + 1;
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 1);
    network_isolate(&nt, 1);
    network_hup(&nt, 3);
    assert_role(b, RAFT_FOLLOWER, 1);
    assert_role(c, RAFT_CANDIDATE, b->r.term + 1);
    network_hup(&nt, 3);
    assert_role(b, RAFT_FOLLOWER, 1);
    assert_role(c, RAFT_CANDIDATE, b->r.term + 2);

    network_recover(&nt);
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = a->r.term));
    /* The stuck node deposed the leader: both are in one term again. */
    assert_int_equal(a->r.role, RAFT_FOLLOWER);
    assert_int_equal(c->r.term, a->r.term);
    network_hup(&nt, 3);
    assert_int_equal(c->r.role, RAFT_LEADER);
    network_release(&nt);
}

static void test_non_promotable_voter_with_check_quorum(void **state)
{
    struct node *a = NODE(.id = 1, .voters = IDS(1, 2), .check_quorum = true);
    struct node *b = NODE(.id = 2, .voters = IDS(1), .check_quorum = true);
    struct network nt;

    (void)state;
    NETWORK(&nt, a, b);
    b->r.randomized_election_timeout = b->r.election_timeout + 1;
    node_apply(b, CONF_CHANGE_REMOVE_NODE, 2);
    assert_false(raft_promotable(&b->r));
    for (int i = 0; i < b->r.election_timeout; i++) {
        b->r.tick(&b->r);
    }
    network_hup(&nt, 1);
    assert_int_equal(a->r.role, RAFT_LEADER);
    assert_int_equal(b->r.role, RAFT_FOLLOWER);
    assert_int_equal(b->r.lead, 1);
    network_release(&nt);
}

static void test_disruptive_follower(void **state)
{
    struct network nt;
    struct node *c;

    (void)state;
    check_quorum_net(&nt, false);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    c = nt.nodes[3];
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    /* 3 does not hear the leader in time. */
    c->r.randomized_election_timeout = c->r.election_timeout + 2;
    for (int i = 0; i < c->r.randomized_election_timeout; i++) {
        c->r.tick(&c->r);
    }
    advance_messages_after_append(&c->r);
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    assert_role(c, RAFT_CANDIDATE, 3);
    /* Its answer to the late heartbeat carries the higher term. */
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = 2));
    assert_role(nt.nodes[1], RAFT_FOLLOWER, 3);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    assert_role(c, RAFT_CANDIDATE, 3);
    network_release(&nt);
}

static void test_disruptive_follower_pre_vote(void **state)
{
    struct network nt;

    (void)state;
    check_quorum_net(&nt, false);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    network_isolate(&nt, 3);
    for (int i = 0; i < 3; i++) {
        network_propose(&nt, 1, "somedata");
    }
    for (uint64_t i = 1; i <= 3; i++) {
        nt.nodes[i]->r.pre_vote = true;
    }
    network_recover(&nt);
    network_hup(&nt, 3);
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    assert_role(nt.nodes[3], RAFT_PRE_CANDIDATE, 2);
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = 2));
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    network_release(&nt);
}

/* --- PreVote --- */

static void test_node_with_smaller_term_can_complete_election(void **state)
{
    struct network nt;

    (void)state;
    NETWORK(&nt, NODE(.pre_vote = true), NODE(.pre_vote = true),
            NODE(.pre_vote = true));
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_cut(&nt, 1, 3);
    network_cut(&nt, 2, 3);
    network_hup(&nt, 1);
    assert_role(nt.nodes[1], RAFT_LEADER, 2);
    assert_role(nt.nodes[2], RAFT_FOLLOWER, 2);
    network_hup(&nt, 3);
    assert_role(nt.nodes[3], RAFT_PRE_CANDIDATE, 1);
    network_hup(&nt, 2);
    assert_role(nt.nodes[1], RAFT_FOLLOWER, 3);
    assert_role(nt.nodes[2], RAFT_LEADER, 3);
    assert_role(nt.nodes[3], RAFT_PRE_CANDIDATE, 1);

    network_recover(&nt);
    network_cut(&nt, 2, 1);
    network_cut(&nt, 2, 3);
    network_hup(&nt, 3);
    network_hup(&nt, 1);
    assert_true(nt.nodes[1]->r.role == RAFT_LEADER ||
                nt.nodes[3]->r.role == RAFT_LEADER);
    network_release(&nt);
}

static void test_pre_vote_with_split_vote(void **state)
{
    struct network nt;
    struct message_queue both = {0};

    (void)state;
    NETWORK(&nt, NODE(.pre_vote = true), NODE(.pre_vote = true),
            NODE(.pre_vote = true));
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    /* The leader goes away; both others ask at the same time. */
    network_isolate(&nt, 1);
    *message_queue_push(&both) = MSG(HUP, 2, 2);
    *message_queue_push(&both) = MSG(HUP, 3, 3);
    network_send_all(&nt, &both);
    assert_role(nt.nodes[2], RAFT_CANDIDATE, 3);
    assert_role(nt.nodes[3], RAFT_CANDIDATE, 3);
    network_hup(&nt, 2);
    assert_role(nt.nodes[2], RAFT_LEADER, 4);
    assert_role(nt.nodes[3], RAFT_FOLLOWER, 4);
    network_release(&nt);
}

static void test_pre_vote_with_check_quorum(void **state)
{
    struct network nt;

    (void)state;
    check_quorum_net(&nt, true);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt.nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(&nt, 1);
    network_isolate(&nt, 1);
    assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
    assert_int_equal(nt.nodes[2]->r.role, RAFT_FOLLOWER);
    assert_int_equal(nt.nodes[3]->r.role, RAFT_FOLLOWER);
    /* 2 is within its lease and ignores 3; having lost the leader itself it
     * forgets it, and may be elected. */
    network_hup(&nt, 3);
    network_hup(&nt, 2);
    assert_true(nt.nodes[2]->r.role == RAFT_LEADER ||
                nt.nodes[3]->r.role == RAFT_FOLLOWER);
    network_release(&nt);
}

/* Three nodes switch to pre-votes one after the other; 3 is at term 4, with a
 * shorter log than the leader 1 of term 2. */
static void pre_vote_migration_cluster(struct network *nt)
{
    NETWORK(nt, NODE(.pre_vote = true), NODE(.pre_vote = true), NULL);
    for (uint64_t i = 1; i <= 3; i++) {
        raft_become_follower(&nt->nodes[i]->r, 1, RAFT_NONE);
    }
    network_hup(nt, 1);
    network_isolate(nt, 3);
    network_propose(nt, 1, "some data");
    network_hup(nt, 3);
    network_hup(nt, 3);
    assert_role(nt->nodes[1], RAFT_LEADER, 2);
    assert_role(nt->nodes[2], RAFT_FOLLOWER, 2);
    assert_role(nt->nodes[3], RAFT_CANDIDATE, 4);
    nt->nodes[3]->r.pre_vote = true;
    network_recover(nt);
}

static void test_pre_vote_migration_can_complete_election(void **state)
{
    struct network nt;

    (void)state;
    pre_vote_migration_cluster(&nt);
    network_isolate(&nt, 1);
    for (int i = 0; i < 2; i++) {
        network_hup(&nt, 3);
        network_hup(&nt, 2);
    }
    assert_true(nt.nodes[2]->r.role == RAFT_LEADER ||
                nt.nodes[3]->r.role == RAFT_LEADER);
    network_release(&nt);
}

static void test_pre_vote_migration_with_free_stuck_pre_candidate(void **state)
{
    struct network nt;

    (void)state;
    pre_vote_migration_cluster(&nt);
    for (int i = 0; i < 2; i++) {
        network_hup(&nt, 3);
        assert_int_equal(nt.nodes[1]->r.role, RAFT_LEADER);
        assert_int_equal(nt.nodes[2]->r.role, RAFT_FOLLOWER);
        assert_int_equal(nt.nodes[3]->r.role, RAFT_PRE_CANDIDATE);
    }
    network_send(&nt, MSG(HEARTBEAT, 1, 3, .term = nt.nodes[1]->r.term));
    assert_int_equal(nt.nodes[1]->r.role, RAFT_FOLLOWER);
    assert_int_equal(nt.nodes[3]->r.term, nt.nodes[1]->r.term);
    network_release(&nt);
}

/* --- ForgetLeader --- */

static void test_forget_leader(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 1},
                          .check_quorum = true, .pre_vote = true);

    (void)state;
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
    drop_messages(&n->r);
    /* In its lease it ignores the request of 3. */
    node_step(n, MSG(PRE_VOTE, 3, 1, .term = 2));
    assert_int_equal(drop_messages(&n->r), 0);
    node_step(n, MSG(FORGET_LEADER, 1, 1));
    assert_int_equal(n->r.lead, RAFT_NONE);
    assert_role(n, RAFT_FOLLOWER, 1);
    node_step(n, MSG(PRE_VOTE, 3, 1, .term = 2));
    assert_int_equal(drop_messages(&n->r), 1);
    /* The next message of the leader restores it. */
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
    assert_int_equal(n->r.lead, 2);
    node_free(n);

    /* Refused where others rely on the lease. */
    n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 1}, .check_quorum = true,
             .read_only_option = READ_ONLY_LEASE_BASED);
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
    node_step(n, MSG(FORGET_LEADER, 1, 1));
    assert_int_equal(n->r.lead, 2);
    node_free(n);

    /* Leaders and candidates do not care. */
    n = NODE(.voters = IDS(1, 2, 3));
    raft_become_candidate(&n->r);
    node_step(n, MSG(FORGET_LEADER, 1, 1));
    assert_role(n, RAFT_CANDIDATE, 1);
    raft_become_leader(&n->r);
    node_step(n, MSG(FORGET_LEADER, 1, 1));
    assert_int_equal(n->r.lead, 1);
    node_free(n);
}

/* --- nonsense [raft-core PF-44] --- */

static void test_vote_request_without_term_is_dropped(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_step(n, MSG(VOTE, 2, 1, .index = 5, .log_term = 5));
    node_step(n, MSG(PRE_VOTE, 2, 1, .index = 5, .log_term = 5));
    assert_int_equal(drop_messages(&n->r), 0);
    assert_int_equal(n->r.vote, RAFT_NONE);
    node_free(n);
}

static void test_leader_ignores_responses_of_itself(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(HEARTBEAT_RESP, 1, 1, .term = 1));
    node_step(n, MSG(APP_RESP, 1, 1, .term = 1, .index = 0, .reject = true));
    node_step(n, MSG(UNREACHABLE, 1, 1));
    node_step(n, MSG(SNAP_STATUS, 1, 1));
    assert_int_equal(drop_messages(&n->r), 0);
    assert_int_equal(pr_of(n, 1)->state, PROGRESS_REPLICATE);
    node_free(n);
}

static void test_short_heartbeat_context_is_ignored(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    drop_messages(&n->r);
    node_step(n, with_context(MSG(HEARTBEAT_RESP, 2, 1, .term = 1), "abc"));
    node_step(n, with_context(MSG(HEARTBEAT_RESP, 2, 1, .term = 1),
                              "\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
    assert_int_equal(n->r.n_read_states, 0);
    node_free(n);
}

static void test_undecodable_conf_change_is_refused(void **state)
{
    const uint64_t types[] = {RAFT_ENTRY_CONF_CHANGE,
                              RAFT_ENTRY_CONF_CHANGE_V2};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct node *n = NODE(.voters = IDS(1));
        struct raft_message m = MSG(PROP, 1, 1);
        uint64_t last;

        node_become_leader(n);
        last = raft_log_last_index(&n->r.log);
        raft_entries_take(
            &m.entries,
            raft_entry_new(types[i],
                           (struct bytes){(const uint8_t *)"\xff\xff", 2}));
        assert_int_equal(node_step_rc(n, m), ERR_PROPOSAL_DROPPED);
        assert_int_equal(raft_log_last_index(&n->r.log), last);
        node_free(n);
    }
}

static void test_empty_proposal_at_the_leader_is_fatal(void **state)
{
    struct node *n = NODE(.voters = IDS(1));
    struct raft_message m = MSG(PROP, 1, 1);

    (void)state;
    node_become_leader(n);
    assert_fatal(&raft_trap, raft_step(&n->r, &m));
    node_free(n);
}

static void test_send_rules(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    assert_fatal(&raft_trap, raft_send_vote_type(&n->r, RAFT_MSG_VOTE, 2, 0));
    assert_fatal(&raft_trap, raft_send(&n->r, RAFT_MSG_HEARTBEAT, 1));
    assert_int_equal(n->r.msgs.len, 0);
    node_free(n);
}

static void test_add_node_check_quorum(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .check_quorum = true);

    (void)state;
    node_become_leader(n);
    for (int i = 0; i < n->r.election_timeout - 1; i++) {
        n->r.tick(&n->r);
    }
    node_apply(n, CONF_CHANGE_ADD_NODE, 2);
    /* A new member counts as active, so that it does not depose us. */
    n->r.tick(&n->r);
    assert_int_equal(n->r.role, RAFT_LEADER);
    for (int i = 0; i < n->r.election_timeout; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.role, RAFT_FOLLOWER);
    node_free(n);
}

static void test_become_pre_candidate_keeps_timers(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .pre_vote = true,
                          .hs = {.term = 3, .vote = 2});

    (void)state;
    n->r.election_elapsed = 7;
    n->r.lead = 2;
    raft_become_pre_candidate(&n->r);
    assert_int_equal(n->r.election_elapsed, 7);
    assert_int_equal(n->r.vote, 2);
    assert_int_equal(n->r.lead, RAFT_NONE);
    assert_role(n, RAFT_PRE_CANDIDATE, 3);
    tick_past_timeout(n);
    assert_role(n, RAFT_PRE_CANDIDATE, 3);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_validation),
        cmocka_unit_test(test_stored_commit_outside_log_is_fatal),
        cmocka_unit_test(test_apply_budget_of_zero_hands_out_single_entries),
        cmocka_unit_test(test_applied_is_taken_from_config),
        cmocka_unit_test(test_state_transition),
        cmocka_unit_test(test_all_server_stepdown),
        cmocka_unit_test(test_progress_leader),
        cmocka_unit_test(test_progress_resume_by_heartbeat_resp),
        cmocka_unit_test(test_progress_paused),
        cmocka_unit_test(test_send_append_for_progress_probe),
        cmocka_unit_test(test_send_append_for_progress_replicate),
        cmocka_unit_test(test_send_append_for_progress_snapshot),
        cmocka_unit_test(test_uncommitted_entry_limit),
        cmocka_unit_test(test_leader_stepdown_when_quorum_active),
        cmocka_unit_test(test_leader_stepdown_when_quorum_lost),
        cmocka_unit_test(test_check_quorum_tick_pattern),
        cmocka_unit_test(test_leader_superseding_with_check_quorum),
        cmocka_unit_test(test_leader_election_with_check_quorum),
        cmocka_unit_test(test_free_stuck_candidate_with_check_quorum),
        cmocka_unit_test(test_non_promotable_voter_with_check_quorum),
        cmocka_unit_test(test_disruptive_follower),
        cmocka_unit_test(test_disruptive_follower_pre_vote),
        cmocka_unit_test(test_node_with_smaller_term_can_complete_election),
        cmocka_unit_test(test_pre_vote_with_split_vote),
        cmocka_unit_test(test_pre_vote_with_check_quorum),
        cmocka_unit_test(test_pre_vote_migration_can_complete_election),
        cmocka_unit_test(test_pre_vote_migration_with_free_stuck_pre_candidate),
        cmocka_unit_test(test_forget_leader),
        cmocka_unit_test(test_vote_request_without_term_is_dropped),
        cmocka_unit_test(test_leader_ignores_responses_of_itself),
        cmocka_unit_test(test_short_heartbeat_context_is_ignored),
        cmocka_unit_test(test_undecodable_conf_change_is_refused),
        cmocka_unit_test(test_empty_proposal_at_the_leader_is_fatal),
        cmocka_unit_test(test_send_rules),
        cmocka_unit_test(test_add_node_check_quorum),
        cmocka_unit_test(test_become_pre_candidate_keeps_timers),
    };

    return cmocka_run_group_tests_name("raft", tests, NULL, NULL);
}
