/* Construction, roles, ticks, queues and elections, rule by rule.
 *
 * Goal: the rules of raft-core sections 3 to 9 that no case of the reference's
 * suite shows by itself; each test names its rule. Method: single nodes whose
 * fields and messages are looked at. */

#include "tests/lib/raft_fixture.h"

/* The only message that waits or is ready to leave; the caller releases it. */
static struct raft_message take_only(struct message_queue *q)
{
    struct message_queue all = {0};
    struct raft_message m;

    message_queue_swap(&all, q);
    assert_int_equal(all.len, 1);
    m = all.items[0];
    all.items[0] = (struct raft_message){0};
    message_queue_release(&all);
    return m;
}

/* --- configuration and construction --- */

/* CFG-1: with everything wrong, the first error of the list is reported, then
 * the next. */
static void test_config_is_checked_in_order(void **state)
{
    struct memory_storage ms;
    const struct raft_config good = spec_config(&(struct node_spec){0}, &ms);
    struct raft_config cfg = {
        .max_inflight_bytes = 1,
        .max_size_per_msg = 2,
        .read_only_option = READ_ONLY_LEASE_BASED,
        .lg = good.lg,
    };
    struct raft r = {0};
    struct raft_config *c = &cfg;

    (void)state;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text, "cannot use none as id");
    c->id = RAFT_LOCAL_APPLY_THREAD;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text, "cannot use local target as id");
    c->id = 1;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text,
                        "heartbeat tick must be greater than 0");
    c->heartbeat_ticks = 1;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text,
                        "election tick must be greater than heartbeat tick");
    c->election_ticks = 2;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text, "storage cannot be nil");
    c->storage = good.storage;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text,
                        "max inflight messages must be greater than 0");
    c->max_inflight_msgs = 1;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text,
                        "max inflight bytes must be >= max message size");
    c->max_inflight_bytes = 2;
    assert_fatal(&raft_trap, raft_init(&r, c));
    assert_string_equal(raft_trap.text, "CheckQuorum must be enabled when "
                                        "ReadOnlyOption is ReadOnlyLeaseBased");
}

/* CFG-1: what is 0 takes its default. */
static void test_config_defaults(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .max_size_per_msg = 77);

    (void)state;
    assert_int_equal(n->r.log.max_applying_ents_size, 77);
    assert_int_equal(n->r.max_uncommitted_size, RAFT_NO_LIMIT);
    node_free(n);
    n = NODE(.voters = IDS(1), .max_size_per_msg = 77,
             .max_committed_size_per_ready = 5,
             .max_uncommitted_entries_size = 6);
    assert_int_equal(n->r.log.max_applying_ents_size, 5);
    assert_int_equal(n->r.max_uncommitted_size, 6);
    node_free(n);
}

/* CFG-2: pre-votes alone give no lease. */
static void test_pre_vote_does_not_imply_a_lease(void **state)
{
    (void)state;
    for (int check_quorum = 0; check_quorum < 2; check_quorum++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3), .pre_vote = true,
                              .check_quorum = check_quorum, .hs = {.term = 1});

        node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
        drop_messages(&n->r);
        node_step(n, MSG(VOTE, 3, 1, .term = 2));
        assert_role(n, RAFT_FOLLOWER, check_quorum ? 1 : 2);
        assert_int_equal(drop_messages(&n->r), check_quorum ? 0 : 1);
        node_free(n);
    }
}

static int failing_state(struct raft_storage *s, struct hard_state *hs,
                         struct conf_state *cs)
{
    (void)s;
    (void)hs;
    (void)cs;
    return ERR_UNAVAILABLE;
}

static void assert_no_start(const struct node_spec *spec,
                            const struct raft_storage_ops *ops)
{
    struct memory_storage ms;
    struct raft_config cfg = spec_config(spec, &ms);
    struct raft r;

    storage_fill(&ms, spec);
    if (ops != NULL) {
        ms.base.ops = ops;
    }
    assert_fatal(&raft_trap, raft_init(&r, &cfg));
    raft_release(&r);
    memory_storage_release(&ms);
}

/* What NEW-1 cannot build on is fatal. */
static void test_storage_that_does_not_fit_is_fatal(void **state)
{
    const struct node_spec fine = {.voters = IDS(1)};
    struct memory_storage ms;
    struct raft_storage_ops ops;

    (void)state;
    assert_no_start(&(struct node_spec){.voters = IDS(1),
                                        .log_first = 6,
                                        .hs = {.term = 1, .commit = 4}},
                    NULL);
    assert_no_start(&(struct node_spec){.learners = IDS(2)}, NULL);
    assert_no_start(&(struct node_spec){.voters = IDS(1, 1)}, NULL);
    assert_no_start(&(struct node_spec){.voters = IDS(1), .applied = 7}, NULL);
    storage_fill(&ms, &fine);
    ops = *ms.base.ops;
    memory_storage_release(&ms);
    ops.initial_state = failing_state;
    assert_no_start(&fine, &ops);
}

/* NEW-2, NEW-7: whoever joins knows nobody, does not campaign, and follows who
 * comes; its members come from the log or a snapshot. */
static void test_joiner_follows_whoever_contacts_it(void **state)
{
    struct node *n = NODE(.id = 4);
    struct raft_snapshot *s = member_snapshot(9, 3, IDS(1, 2, 3, 4), NO_IDS);
    struct raft_message m;

    (void)state;
    assert_role(n, RAFT_FOLLOWER, 0);
    assert_voters(n, NO_IDS);
    for (int i = 0; i < 50; i++) {
        n->r.tick(&n->r);
    }
    assert_role(n, RAFT_FOLLOWER, 0);
    node_step(n, MSG(HEARTBEAT, 2, 4, .term = 3));
    assert_role(n, RAFT_FOLLOWER, 3);
    assert_int_equal(n->r.lead, 2);
    m = take_only(&n->r.msgs);
    assert_int_equal(m.type, RAFT_MSG_HEARTBEAT_RESP);
    raft_message_release(&m);
    node_step(n, with_snapshot(MSG(SNAP, 2, 4, .term = 3), s));
    raft_snapshot_unref(s);
    assert_voters(n, IDS(1, 2, 3, 4));
    assert_int_equal(raft_log_last_index(&n->r.log), 9);
    drop_messages(&n->r);
    node_free(n);
}

/* --- roles --- */

/* ROLE-1 */
static void test_reset_of_a_leader(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .learners = IDS(3),
                          .log = TERMS(1, 1), .hs = {.term = 1});

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 2, .index = 3));
    node_propose(n, "x");
    n->r.heartbeat_elapsed = 1;
    n->r.election_elapsed = 5;
    node_uncheck(n); /* a role without its reset's caller */
    raft_reset(&n->r, n->r.term);
    assert_int_equal(n->r.vote, 1); /* of this term, so it stays */
    assert_int_equal(n->r.lead, RAFT_NONE);
    assert_int_equal(n->r.election_elapsed, 0);
    assert_int_equal(n->r.heartbeat_elapsed, 0);
    assert_int_equal(n->r.pending_conf_index, 0);
    assert_int_equal(n->r.uncommitted_size, 0);
    assert_int_equal(tracker_tally_votes(&n->r.trk).granted, 0);
    for (uint64_t id = 1; id <= 3; id++) {
        const struct progress *pr = pr_of(n, id);

        assert_int_equal(pr->state, PROGRESS_PROBE);
        assert_int_equal(pr->match, id == 1 ? 4 : 0);
        assert_int_equal(pr->next, 5);
        assert_false(pr->msg_app_flow_paused);
        assert_false(pr->recent_active);
        assert_int_equal(pr->sent_commit, 0);
        assert_int_equal(pr->inflights.count, 0);
        assert_int_equal(pr->inflights.size, 256); /* TR-1 */
        assert_int_equal(pr->is_learner, id == 3);
    }
    raft_reset(&n->r, n->r.term + 1);
    assert_int_equal(n->r.vote, RAFT_NONE);
    drop_messages(&n->r);
    node_free(n);
}

/* ROLE-2: answers to reads, both queues, the log and the own kind stay. */
static void test_reset_leaves_what_is_under_way(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .log = TERMS(1, 1),
                          .hs = {.term = 1, .commit = 2});

    (void)state;
    node_become_leader(n);
    advance_messages_after_append(&n->r);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    node_propose(n, "x");
    raft_send(&n->r, RAFT_MSG_HEARTBEAT, 2);
    assert_int_equal(n->r.n_read_states, 1);
    assert_int_equal(n->r.msgs_after_append.len, 1);
    assert_int_equal(n->r.msgs.len, 1);
    raft_become_follower(&n->r, n->r.term + 1, 2);
    assert_int_equal(n->r.n_read_states, 1);
    assert_int_equal(n->r.msgs_after_append.len, 1);
    assert_int_equal(n->r.msgs.len, 1);
    assert_int_equal(raft_log_last_index(&n->r.log), 4);
    assert_int_equal(n->r.log.committed, 3);
    assert_false(n->r.is_learner);
    drop_messages(&n->r);
    node_free(n);
}

/* ROLE-4: of any other role comes a follower of the leader it is told; a new
 * term has no vote, in the same term it stays. */
static void test_new_follower(void **state)
{
    (void)state;
    for (int leads = 0; leads < 2; leads++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3));

        raft_become_candidate(&n->r);
        if (leads) {
            raft_become_leader(&n->r);
        }
        n->r.election_elapsed = 4;
        raft_become_follower(&n->r, 1, 3);
        assert_role(n, RAFT_FOLLOWER, 1);
        assert_int_equal(n->r.lead, 3);
        assert_int_equal(n->r.vote, 1);
        assert_int_equal(n->r.election_elapsed, 0);
        assert_true(n->r.step == raft_step_follower);
        assert_true(n->r.tick == raft_tick_election);
        raft_become_follower(&n->r, 5, 2);
        assert_role(n, RAFT_FOLLOWER, 5);
        assert_int_equal(n->r.lead, 2);
        assert_int_equal(n->r.vote, RAFT_NONE);
        drop_messages(&n->r);
        node_free(n);
    }
}

/* ROLE-6: nothing is promised yet, so nothing but votes and leader changes. */
static void test_pre_candidate_keeps_what_it_knows(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .pre_vote = true,
                          .hs = {.term = 3, .vote = 2});
    int timeout = n->r.randomized_election_timeout;

    (void)state;
    pr_of(n, 2)->match = 0;
    pr_of(n, 2)->recent_active = true;
    (void)raft_poll(&n->r, 2, true);
    raft_become_pre_candidate(&n->r);
    assert_int_equal(n->r.randomized_election_timeout, timeout);
    assert_true(pr_of(n, 2)->recent_active);
    assert_int_equal(n->r.vote, 2);
    assert_int_equal(tracker_tally_votes(&n->r.trk).granted, 0);
    node_free(n);
}

/* ROLE-7, PF-28 */
static void test_new_leader(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .log = TERMS(1, 1), .hs = {.term = 1});
    struct raft_entries ents = {0};

    (void)state;
    node_become_leader(n);
    assert_int_equal(n->r.lead, 1);
    assert_int_equal(pr_of(n, 1)->state, PROGRESS_REPLICATE);
    assert_true(pr_of(n, 1)->recent_active);
    assert_int_equal(n->r.pending_conf_index, 2);
    raft_log_next_unstable_ents(&n->r.log, &ents);
    assert_entries(ents.items, ents.len, ATS({3, 2}));
    assert_int_equal(ents.items[0]->type, RAFT_ENTRY_NORMAL);
    assert_false(ents.items[0]->has_data);
    assert_int_equal(n->r.uncommitted_size, 0);
    assert_int_equal(n->r.msgs.len, 0); /* to broadcast is the caller's */
    raft_entries_release(&ents);
    drop_messages(&n->r);
    node_free(n);
}

/* --- ticks --- */

/* TICK-2, TICK-3: heartbeats by their own period; the fixed election timeout,
 * not the random one, ends a transfer and checks the quorum. */
static void test_ticks_of_a_leader(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .election = 10,
                          .heartbeat = 3, .check_quorum = true);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    n->r.randomized_election_timeout = 19;
    for (int tick = 1; tick <= 9; tick++) {
        n->r.tick(&n->r);
        assert_int_equal(drop_messages(&n->r), tick % 3 == 0 ? 2 : 0);
        assert_int_equal(n->r.election_elapsed, tick);
    }
    n->r.heartbeat_elapsed = 2; /* a beat is due as well: it is not sent */
    n->r.tick(&n->r);
    assert_role(n, RAFT_FOLLOWER, 1);
    assert_int_equal(drop_messages(&n->r), 0);
    node_free(n);
}

/* --- the two queues --- */

/* SND-3, EL-13: what answers for the log or a vote waits for durability, also
 * when it refuses; what does not may leave at once. */
static void test_answers_that_wait_for_durability(void **state)
{
    const struct {
        const char *name;
        struct raft_message m;
        enum raft_message_type answer;
        bool reject;
        bool waits;
    } cases[] = {
        {"append", MSG(APP, 2, 1, .term = 2, .index = 1, .log_term = 1),
         RAFT_MSG_APP_RESP, false, true},
        {"append refused", MSG(APP, 2, 1, .term = 2, .index = 9, .log_term = 2),
         RAFT_MSG_APP_RESP, true, true},
        {"vote", MSG(VOTE, 2, 1, .term = 2, .index = 9, .log_term = 1),
         RAFT_MSG_VOTE_RESP, false, true},
        {"vote refused", MSG(VOTE, 2, 1, .term = 2), RAFT_MSG_VOTE_RESP, true,
         true},
        {"pre-vote", MSG(PRE_VOTE, 2, 1, .term = 2, .index = 9, .log_term = 1),
         RAFT_MSG_PRE_VOTE_RESP, false, true},
        {"pre-vote refused", MSG(PRE_VOTE, 2, 1, .term = 2),
         RAFT_MSG_PRE_VOTE_RESP, true, true},
        {"heartbeat", MSG(HEARTBEAT, 2, 1, .term = 2), RAFT_MSG_HEARTBEAT_RESP,
         false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n =
            NODE(.voters = IDS(1, 2, 3), .log = TERMS(1), .hs = {.term = 1});
        struct raft_message got;

        print_message("  %s\n", cases[i].name);
        node_step(n, cases[i].m);
        got = take_only(cases[i].waits ? &n->r.msgs_after_append : &n->r.msgs);
        assert_int_equal(drop_messages(&n->r), 0);
        assert_int_equal(got.type, cases[i].answer);
        assert_int_equal(got.reject, cases[i].reject);
        assert_int_equal(got.from, 1); /* SND-1 */
        raft_message_release(&got);
        node_free(n);
    }
}

/* STP-7, SND-1, SND-2: what a follower passes on stays its sender's, and only
 * a transfer carries a term. */
static void test_forwarding_keeps_the_sender(void **state)
{
    const enum raft_message_type types[] = {RAFT_MSG_PROP, RAFT_MSG_READ_INDEX,
                                            RAFT_MSG_TRANSFER_LEADER};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3));
        struct raft_message m = {.type = types[i], .from = 3, .to = 1};

        node_step(n, MSG(HEARTBEAT, 2, 1, .term = 5));
        drop_messages(&n->r);
        node_step(n, with_data(m, "x"));
        m = take_only(&n->r.msgs);
        assert_int_equal(m.type, types[i]);
        assert_int_equal(m.from, 3);
        assert_int_equal(m.to, 2);
        assert_int_equal(m.term, types[i] == RAFT_MSG_TRANSFER_LEADER ? 5 : 0);
        raft_message_release(&m);
        node_free(n);
    }
}

/* STP-5: whatever comes in whatever role, only a proposal is ever refused. */
static void test_only_proposals_are_refused(void **state)
{
    (void)state;
    for (int role = RAFT_FOLLOWER; role <= RAFT_PRE_CANDIDATE; role++) {
        for (uint64_t type = 0; type < RAFT_MSG_TYPES; type++) {
            struct node *n = NODE(.voters = IDS(1, 2, 3), .hs = {.term = 1});
            struct raft_message m = {.type = type, .from = 2, .to = 1};
            int rc;

            if (role == RAFT_LEADER || role == RAFT_CANDIDATE) {
                raft_become_candidate(&n->r);
            }
            if (role == RAFT_LEADER) {
                raft_become_leader(&n->r);
            } else if (role == RAFT_PRE_CANDIDATE) {
                raft_become_pre_candidate(&n->r);
            }
            if (type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX) {
                m = with_data(m, "x");
            } else if (!raft_message_is_local(type)) {
                m.term = n->r.term;
            }
            rc = node_step_rc(n, m);
            assert_int_equal(rc, type == RAFT_MSG_PROP && role != RAFT_LEADER
                                     ? ERR_PROPOSAL_DROPPED
                                     : 0);
            drop_messages(&n->r);
            node_free(n);
        }
    }
}

/* --- campaigns --- */

/* EL-4, EL-5, EL-7: who is asked what; and no vote counts before it is
 * durable, not even in a group of one. */
static void test_messages_of_a_campaign(void **state)
{
    const struct {
        enum campaign_type type;
        enum raft_message_type asks;
        enum raft_message_type own;
        enum raft_role role;
        uint64_t term; /* afterwards */
        const char *context;
    } cases[] = {
        {CAMPAIGN_PRE_ELECTION, RAFT_MSG_PRE_VOTE, RAFT_MSG_PRE_VOTE_RESP,
         RAFT_PRE_CANDIDATE, 4, NULL},
        {CAMPAIGN_ELECTION, RAFT_MSG_VOTE, RAFT_MSG_VOTE_RESP, RAFT_CANDIDATE,
         5, NULL},
        {CAMPAIGN_TRANSFER, RAFT_MSG_VOTE, RAFT_MSG_VOTE_RESP, RAFT_CANDIDATE,
         5, CAMPAIGN_TRANSFER_CONTEXT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n =
            NODE(.id = 2, .voters = IDS(3, 2), .voters_outgoing = IDS(2, 5, 1),
                 .learners = IDS(4), .log = TERMS(1, 4), .hs = {.term = 4});
        const uint64_t asked[] = {1, 3, 5};
        struct raft_message own;

        raft_campaign(&n->r, cases[i].type);
        assert_role(n, cases[i].role, cases[i].term);
        assert_int_equal(n->r.msgs.len, 3);
        for (size_t j = 0; j < 3; j++) {
            const struct raft_message *m = &n->r.msgs.items[j];

            assert_int_equal(m->type, cases[i].asks);
            assert_int_equal(m->to, asked[j]);
            assert_int_equal(m->term, 5);
            assert_int_equal(m->index, 2);
            assert_int_equal(m->log_term, 4);
            assert_int_equal(m->has_context, cases[i].context != NULL);
            if (m->has_context) {
                assert_int_equal(m->context_len, 16);
                assert_memory_equal(m->context, cases[i].context, 16);
            }
        }
        own = take_only(&n->r.msgs_after_append);
        assert_int_equal(own.type, cases[i].own);
        assert_int_equal(own.to, 2);
        assert_int_equal(own.from, 2);
        assert_int_equal(own.term, 5);
        assert_int_equal(own.index, 0);
        assert_false(own.reject);
        assert_int_equal(tracker_tally_votes(&n->r.trk).granted, 0);
        raft_message_release(&own);
        drop_messages(&n->r);
        node_free(n);
    }

    {
        struct node *n = NODE(.voters = IDS(1));

        node_step(n, MSG(HUP, 1, 1));
        assert_role(n, RAFT_CANDIDATE, 1);
        advance_messages_after_append(&n->r);
        assert_role(n, RAFT_LEADER, 1);
        node_free(n);
    }
}

/* An entry list of `n` normal entries and a change at the end, committed. */
static struct node *with_change_at(uint64_t index)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3),
                          .max_committed_size_per_ready = 1, .hs = {.term = 1});
    struct conf_change cc = {.type = CONF_CHANGE_UPDATE_NODE, .node_id = 2};
    struct raft_message change = with_conf_change(MSG(PROP, 1, 1), &cc);

    for (uint64_t i = 1; i <= index; i++) {
        struct raft_entry *e =
            i < index ? test_entry(i, 1)
                      : raft_entry_with(change.entries.items[0], 1, i);

        memory_storage_append(&n->ms, &e, 1);
        raft_entry_unref(e);
    }
    raft_message_release(&change);
    n->r.log.unstable.offset = index + 1;
    n->r.log.unstable.offset_in_progress = index + 1;
    raft_log_commit_to(&n->r.log, index);
    return n;
}

/* EL-2: the change is found on whatever page it stands; what cannot be read is
 * fatal. */
static void test_search_for_a_change_goes_by_pages(void **state)
{
    struct node *n = with_change_at(20);

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    assert_role(n, RAFT_FOLLOWER, 1);
    raft_log_applied_to(&n->r.log, 19, 0);
    node_step(n, MSG(HUP, 1, 1));
    assert_role(n, RAFT_FOLLOWER, 1);
    raft_log_applied_to(&n->r.log, 20, 0);
    node_step(n, MSG(HUP, 1, 1));
    assert_role(n, RAFT_CANDIDATE, 2);
    drop_messages(&n->r);
    node_free(n);

    n = with_change_at(20);
    assert_int_equal(memory_storage_compact(&n->ms, 5), 0);
    assert_fatal(&raft_trap, raft_hup(&n->r, CAMPAIGN_ELECTION));
    node_free(n);
}

/* --- votes given --- */

/* EL-11: a refusal carries the own term, whatever was asked for. */
static void test_refusal_carries_the_own_term(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .log = TERMS(1, 2), .hs = {.term = 2});
    struct raft_message m;

    (void)state;
    node_step(n, MSG(PRE_VOTE, 2, 1, .term = 7, .index = 9, .log_term = 1));
    m = take_only(&n->r.msgs_after_append);
    assert_true(m.reject);
    assert_int_equal(m.term, 2);
    raft_message_release(&m);
    /* A grant that of the request, EL-10. */
    node_step(n, MSG(PRE_VOTE, 2, 1, .term = 7, .index = 2, .log_term = 2));
    m = take_only(&n->r.msgs_after_append);
    assert_false(m.reject);
    assert_int_equal(m.term, 7);
    assert_role(n, RAFT_FOLLOWER, 2);
    raft_message_release(&m);
    node_free(n);
}

/* EL-12: who has left, or does not know yet that it belongs, votes as well. */
static void test_node_outside_its_configuration_votes(void **state)
{
    struct node *n = NODE(.id = 4, .voters = IDS(1, 2, 3), .hs = {.term = 1});
    struct raft_message m;

    (void)state;
    node_step(n, MSG(VOTE, 2, 4, .term = 2));
    m = take_only(&n->r.msgs_after_append);
    assert_false(m.reject);
    assert_int_equal(n->r.vote, 2);
    raft_message_release(&m);
    node_free(n);
}

/* --- votes counted --- */

/* EL-15, EL-17: of answers to a pre-vote, the future term is never taken over;
 * one of the own term counts, one of a higher ends the campaign, one of a lower
 * is dropped. */
static void test_refused_pre_votes(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .pre_vote = true, .hs = {.term = 4});

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    drop_messages(&n->r);
    assert_role(n, RAFT_PRE_CANDIDATE, 4);
    node_step(n, MSG(PRE_VOTE_RESP, 2, 1, .term = 3, .reject = true));
    node_step(n, MSG(PRE_VOTE_RESP, 3, 1, .term = 3, .reject = true));
    assert_role(n, RAFT_PRE_CANDIDATE, 4);
    node_step(n, MSG(PRE_VOTE_RESP, 2, 1, .term = 4, .reject = true));
    assert_role(n, RAFT_PRE_CANDIDATE, 4);
    node_step(n, MSG(PRE_VOTE_RESP, 3, 1, .term = 4, .reject = true));
    assert_role(n, RAFT_FOLLOWER, 4);

    node_step(n, MSG(HUP, 1, 1));
    drop_messages(&n->r);
    node_step(n, MSG(PRE_VOTE_RESP, 2, 1, .term = 9, .reject = true));
    assert_role(n, RAFT_FOLLOWER, 9);
    assert_int_equal(n->r.vote, RAFT_NONE);
    node_free(n);
}

/* EL-14: of the two kinds of answers only the one of the role counts. */
static void test_only_matching_answers_count(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .pre_vote = true);

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    drop_messages(&n->r);
    n->r.term = 1; /* so that both kinds carry the current term */
    node_step(n, MSG(VOTE_RESP, 2, 1, .term = 1));
    node_step(n, MSG(VOTE_RESP, 3, 1, .term = 1));
    assert_role(n, RAFT_PRE_CANDIDATE, 1);
    raft_become_candidate(&n->r);
    node_step(n, MSG(PRE_VOTE_RESP, 2, 1, .term = 2));
    node_step(n, MSG(PRE_VOTE_RESP, 3, 1, .term = 2));
    assert_role(n, RAFT_CANDIDATE, 2);
    drop_messages(&n->r);
    node_free(n);
}

/* EL-19: a leader of the own term ends any campaign. */
static void test_campaign_ends_when_a_leader_is_heard(void **state)
{
    const enum raft_message_type types[] = {RAFT_MSG_APP, RAFT_MSG_HEARTBEAT,
                                            RAFT_MSG_SNAP};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        for (int pre = 0; pre < 2; pre++) {
            struct node *n = NODE(.voters = IDS(1, 2, 3), .pre_vote = pre,
                                  .hs = {.term = 2});
            uint64_t term = pre ? 2 : 3;

            node_step(n, MSG(HUP, 1, 1));
            drop_messages(&n->r);
            node_step(n,
                      (struct raft_message){
                          .type = types[i], .from = 2, .to = 1, .term = term});
            assert_role(n, RAFT_FOLLOWER, term);
            assert_int_equal(n->r.lead, 2);
            assert_int_equal(drop_messages(&n->r), 1);
            node_free(n);
        }
    }
}

/* --- the quorum --- */

/* EL-21, EL-22: every answer counts as a sign of life, a refusal too, until the
 * next check. */
static void test_signs_of_life(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .check_quorum = true);

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    assert_true(pr_of(n, 1)->recent_active);
    assert_false(pr_of(n, 2)->recent_active);
    assert_false(pr_of(n, 3)->recent_active);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1, .reject = true));
    assert_true(pr_of(n, 2)->recent_active);
    node_step(n, MSG(HEARTBEAT_RESP, 3, 1, .term = 1));
    assert_true(pr_of(n, 3)->recent_active);
    node_step(n, MSG(CHECK_QUORUM, 1, 1));
    assert_role(n, RAFT_LEADER, 1);
    assert_true(pr_of(n, 1)->recent_active);
    assert_false(pr_of(n, 2)->recent_active);
    assert_false(pr_of(n, 3)->recent_active);
    node_step(n, MSG(CHECK_QUORUM, 1, 1));
    assert_role(n, RAFT_FOLLOWER, 1);
    assert_int_equal(n->r.lead, RAFT_NONE);
    drop_messages(&n->r);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_is_checked_in_order),
        cmocka_unit_test(test_config_defaults),
        cmocka_unit_test(test_pre_vote_does_not_imply_a_lease),
        cmocka_unit_test(test_storage_that_does_not_fit_is_fatal),
        cmocka_unit_test(test_joiner_follows_whoever_contacts_it),
        cmocka_unit_test(test_reset_of_a_leader),
        cmocka_unit_test(test_reset_leaves_what_is_under_way),
        cmocka_unit_test(test_new_follower),
        cmocka_unit_test(test_pre_candidate_keeps_what_it_knows),
        cmocka_unit_test(test_new_leader),
        cmocka_unit_test(test_ticks_of_a_leader),
        cmocka_unit_test(test_answers_that_wait_for_durability),
        cmocka_unit_test(test_forwarding_keeps_the_sender),
        cmocka_unit_test(test_only_proposals_are_refused),
        cmocka_unit_test(test_messages_of_a_campaign),
        cmocka_unit_test(test_search_for_a_change_goes_by_pages),
        cmocka_unit_test(test_refusal_carries_the_own_term),
        cmocka_unit_test(test_node_outside_its_configuration_votes),
        cmocka_unit_test(test_refused_pre_votes),
        cmocka_unit_test(test_only_matching_answers_count),
        cmocka_unit_test(test_campaign_ends_when_a_leader_is_heard),
        cmocka_unit_test(test_signs_of_life),
    };

    return cmocka_run_group_tests_name("rules_roles", tests, NULL, NULL);
}
