/* The machine as a whole: roles, progress of the members as the leader drives
 * it, ForgetLeader, and what the core does with nonsense.
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
        ("CheckQuorum must be enabled when ReadOnlyOption is "
         "ReadOnlyLeaseBased"),
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

/* [raft-core ROLE-1] */
static void test_role_change_restarts_the_election_timer(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_tick(n, 7);
    assert_int_equal(n->r.election_elapsed, 7);
    raft_become_candidate(&n->r);
    assert_int_equal(n->r.election_elapsed, 0);
    node_tick(n, 4);
    raft_become_leader(&n->r);
    assert_int_equal(n->r.election_elapsed, 0);
    node_tick(n, 4);
    raft_become_follower(&n->r, 2, 2);
    assert_int_equal(n->r.election_elapsed, 0);
    assert_int_equal(n->r.lead, 2);
    node_free(n);
}

/* [raft-core ROLE-1, TICK-2]: the first heartbeat of a leadership is due one
 * heartbeat timeout after it began. */
static void test_heartbeats_keep_their_distance(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .heartbeat = 3);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_tick(n, 2);
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_HEARTBEAT), 0);
    node_tick(n, 1);
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_HEARTBEAT), 2);
    node_tick(n, 2);
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_HEARTBEAT), 0);

    /* Two ticks of the old leadership do not count in the new one. */
    raft_become_follower(&n->r, 2, RAFT_NONE);
    node_become_leader(n);
    drop_messages(&n->r);
    node_tick(n, 2);
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_HEARTBEAT), 0);
    node_tick(n, 1);
    assert_int_equal(drop_messages_of(&n->r, RAFT_MSG_HEARTBEAT), 2);
    node_free(n);
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

static struct raft_message applied(struct node *n, uint64_t index)
{
    struct raft_message m = {.type = RAFT_MSG_STORAGE_APPLY_RESP,
                             .from = RAFT_LOCAL_APPLY_THREAD,
                             .to = n->r.id};

    assert_int_equal(
        raft_log_slice(&n->r.log, index, index + 1, RAFT_NO_LIMIT, &m.entries),
        0);
    return m;
}

/* What is added per proposal is taken off when it is applied, and no more. */
static void test_uncommitted_size_is_that_of_payloads(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_become_leader(n);
    node_step(n, with_blob(MSG(PROP, 1, 1), 100));
    node_step(n, with_blob(MSG(PROP, 1, 1), 100));
    assert_int_equal(n->r.uncommitted_size, 200);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 3));
    assert_int_equal(n->r.log.committed, 3);
    node_step(n, applied(n, 1));
    assert_int_equal(n->r.uncommitted_size, 200);
    node_step(n, applied(n, 2));
    assert_int_equal(n->r.uncommitted_size, 100);
    node_step(n, applied(n, 3));
    assert_int_equal(n->r.uncommitted_size, 0);
    node_free(n);
}

static void test_role_change_forgets_what_only_a_leader_has(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    node_propose(n, "x");
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    node_step(n, MSG(TRANSFER_LEADER, 2, 1));
    assert_int_equal(n->r.uncommitted_size, 1);
    assert_int_equal(n->r.pending_reads.len, 1); /* PF-22: not kept here */
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 2));
    assert_int_equal(n->r.uncommitted_size, 0);
    assert_int_equal(n->r.pending_reads.len, 0);
    assert_int_equal(n->r.lead_transferee, RAFT_NONE);
    drop_messages(&n->r);
    node_free(n);
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

/* [raft-core FL-1] */
static void test_forget_leader_leaves_the_timer(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
    node_tick(n, 5);
    node_step(n, MSG(FORGET_LEADER, 1, 1));
    assert_int_equal(n->r.lead, RAFT_NONE);
    assert_int_equal(n->r.election_elapsed, 5);
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

/* One line in an election timeout, however often a peer errs. */
static void test_warnings_about_peers_are_limited(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .election = 5);

    (void)state;
    assert_true(raft_may_warn(&n->r));
    for (int i = 0; i < n->r.election_timeout; i++) {
        assert_false(raft_may_warn(&n->r));
        n->r.tick(&n->r);
    }
    assert_true(raft_may_warn(&n->r));
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
        cmocka_unit_test(test_role_change_restarts_the_election_timer),
        cmocka_unit_test(test_heartbeats_keep_their_distance),
        cmocka_unit_test(test_progress_leader),
        cmocka_unit_test(test_progress_resume_by_heartbeat_resp),
        cmocka_unit_test(test_progress_paused),
        cmocka_unit_test(test_send_append_for_progress_probe),
        cmocka_unit_test(test_send_append_for_progress_replicate),
        cmocka_unit_test(test_send_append_for_progress_snapshot),
        cmocka_unit_test(test_uncommitted_entry_limit),
        cmocka_unit_test(test_uncommitted_size_is_that_of_payloads),
        cmocka_unit_test(test_forget_leader),
        cmocka_unit_test(test_forget_leader_leaves_the_timer),
        cmocka_unit_test(test_vote_request_without_term_is_dropped),
        cmocka_unit_test(test_leader_ignores_responses_of_itself),
        cmocka_unit_test(test_short_heartbeat_context_is_ignored),
        cmocka_unit_test(test_undecodable_conf_change_is_refused),
        cmocka_unit_test(test_empty_proposal_at_the_leader_is_fatal),
        cmocka_unit_test(test_send_rules),
        cmocka_unit_test(test_become_pre_candidate_keeps_timers),
        cmocka_unit_test(test_role_change_forgets_what_only_a_leader_has),
        cmocka_unit_test(test_warnings_about_peers_are_limited),
    };

    return cmocka_run_group_tests_name("raft", tests, NULL, NULL);
}
