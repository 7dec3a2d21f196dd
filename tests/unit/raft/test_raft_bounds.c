/* Goal: what is bounded stays so, what comes from outside is not believed, and
 * a state that cannot be is left by the safe way. Method: one node and one
 * message each, with the value that lies just beyond the bound. */

#include <string.h>

#include "src/base/alloc.h"
#include "tests/lib/rawnode_fixture.h"

/* --- memory and counters --- */

static size_t kept_capacity(size_t n_entries)
{
    struct message_queue q = {0};
    struct raft_message *m = message_queue_push(&q);
    struct raft_entry *e = test_entry(1, 1);
    size_t cap;

    m->type = RAFT_MSG_APP;
    for (size_t i = 0; i < n_entries; i++) {
        raft_entries_push(&m->entries, e);
    }
    message_queue_reset(&q);
    assert_int_equal(e->refs, 1);
    cap = q.items[0].entries.cap;
    message_queue_release(&q);
    raft_entry_unref(e);
    return cap;
}

/* A queue in steady use does not allocate, and a burst is not paid for ever
 * after. */
static void test_queue_keeps_small_vectors_only(void **state)
{
    (void)state;
    assert_true(kept_capacity(100) >= 100);
    assert_int_equal(kept_capacity(5000), 0);
}

/* PR-6: a value larger than the whole limit goes in while nothing else is
 * outstanding, and only then. */
static void test_uncommitted_value_beyond_the_limit(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .max_uncommitted_entries_size = 10);

    (void)state;
    node_become_leader(n);
    assert_int_equal(node_step_rc(n, with_blob(MSG(PROP, 1, 1), 1)), 0);
    assert_int_equal(node_step_rc(n, with_blob(MSG(PROP, 1, 1), 11)),
                     ERR_PROPOSAL_DROPPED);
    assert_int_equal(node_step_rc(n, with_blob(MSG(PROP, 1, 1), 0)), 0);
    assert_int_equal(n->r.uncommitted_size, 1);
    raft_reduce_uncommitted_size(&n->r, 1);
    assert_int_equal(node_step_rc(n, with_blob(MSG(PROP, 1, 1), 11)), 0);
    node_free(n);
}

/* A learner never campaigns, so nothing resets its timer but a leader. */
static void test_election_timer_saturates(void **state)
{
    struct node *n = NODE(.voters = IDS(2), .learners = IDS(1));

    (void)state;
    n->r.election_elapsed = INT32_MAX - 1;
    for (int i = 0; i < 3; i++) {
        n->r.tick(&n->r);
    }
    assert_int_equal(n->r.election_elapsed, INT32_MAX);
    assert_role(n, RAFT_FOLLOWER, 0);
    node_free(n);
}

/* --- warnings --- */

static int warnings;

static void count_warning(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    if (level == LOG_WARN) {
        assert_non_null(strstr(line, "malformed MsgApp of 2"));
        warnings++;
    }
}

static void step_malformed_append(struct node *n)
{
    node_step(n,
              with_entries(MSG(APP, 2, 1, .term = 1, .index = 5), ATS({7, 1})));
    assert_int_equal(raft_log_last_index(&n->r.log), 0);
}

/* One line in an election timeout, however often a peer repeats itself; and a
 * line that nobody wants to read does not use up the allowance. */
static void test_warnings_about_a_peer_are_limited(void **state)
{
    struct logger lg = {LOG_WARN, count_warning, NULL};
    struct node *n = NODE(.voters = IDS(1, 2), .election = 10);

    (void)state;
    warnings = 0;
    n->r.lg = &lg;
    step_malformed_append(n);
    step_malformed_append(n);
    assert_int_equal(warnings, 1);
    for (int i = 0; i < 9; i++) {
        n->r.tick(&n->r);
    }
    step_malformed_append(n);
    assert_int_equal(warnings, 1);
    n->r.tick(&n->r);
    lg.level = LOG_ERROR;
    step_malformed_append(n);
    lg.level = LOG_WARN;
    step_malformed_append(n);
    assert_int_equal(warnings, 2);
    node_free(n);
}

/* --- what peers say --- */

static struct raft_message with_place(struct raft_message m, uint64_t index,
                                      uint64_t term)
{
    raft_entries_take(&m.entries, test_entry(index, term));
    return m;
}

/* PR-5: the leader numbers what is proposed, whatever number it brings. */
static void test_proposals_bring_no_numbers(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .hs = {.term = 4});

    (void)state;
    node_become_leader(n);
    node_step(n, with_place(MSG(PROP, 2, 1), 77, 0));
    node_step(n, with_place(MSG(PROP, 2, 1), 0, 9));
    node_step(n, with_place(MSG(PROP, 2, 1), 2, 5));
    assert_log_terms(&n->r, TERMS(5, 5, 5, 5));
    node_free(n);
}

/* EL-9: of all contexts only that of a transfer breaks a lease. */
static void test_context_like_a_transfer(void **state)
{
    static const struct {
        const char *context;
        uint64_t want_term;
    } cases[] = {{"CampaignTransfes", 1},
                 {"CampaignElection", 1},
                 {"CampaignTransfer!", 1},
                 {"CampaignTransfer", 2}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3), .check_quorum = true);

        node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1));
        drop_messages(&n->r);
        node_step(n,
                  with_context(MSG(VOTE, 3, 1, .term = 2), cases[i].context));
        assert_int_equal(n->r.term, cases[i].want_term);
        node_free(n);
    }
}

/* A read answer with an empty context is one: it may be all there is to say. */
static void test_read_with_empty_context(void **state)
{
    struct node *n = NODE(.voters = IDS(1));

    (void)state;
    node_become_leader(n);
    next_ents(n, NULL);
    node_step(n, with_blob(MSG(READ_INDEX, 1, 1), 0));
    assert_int_equal(n->r.n_read_states, 1);
    assert_int_equal(n->r.read_states[0].index, 1);
    assert_int_equal(n->r.read_states[0].ctx_len, 0);
    node_free(n);
}

/* RI-9: with leases nobody waits for echoes, so a late one says nothing. */
static void test_echo_to_a_leader_with_lease(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .check_quorum = true,
                          .read_only_option = READ_ONLY_LEASE_BASED);

    (void)state;
    node_become_leader(n);
    commit_noop_entry(n);
    drop_messages(&n->r);
    node_step(n, with_context(MSG(HEARTBEAT_RESP, 2, 1, .term = n->r.term),
                              "12345678"));
    assert_int_equal(n->r.n_read_states, 0);
    assert_int_equal(n->r.quiet_ticks, 0); /* not even a warning */
    node_free(n);
}

/* --- snapshots --- */

/* SNAP-7: only a follower may take one over; who is none has come there by a
 * mistake, and starts again at a term of its own. */
static void test_restore_is_for_followers(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .hs = {.term = 3});
    struct raft_snapshot *s =
        member_snapshot(9, 3, IDS(1, 2), (struct id_list){0});

    (void)state;
    raft_become_candidate(&n->r);
    assert_false(raft_restore(&n->r, s));
    assert_role(n, RAFT_FOLLOWER, 5);
    assert_int_equal(n->r.lead, RAFT_NONE);
    assert_int_equal(raft_log_last_index(&n->r.log), 0);
    raft_snapshot_unref(s);
    node_free(n);
}

/* A list of members that names one twice is untidy, not wrong. */
static void test_restore_of_redundant_members(void **state)
{
    struct node *n = NODE(.voters = IDS(1));
    struct raft_snapshot *s =
        member_snapshot(9, 1, IDS(1, 2, 2), (struct id_list){0});

    (void)state;
    assert_true(raft_restore(&n->r, s));
    assert_voters(n, IDS(1, 2));
    raft_snapshot_unref(s);
    node_free(n);
}

/* --- what must not happen --- */

static void test_forward_to_itself(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct raft_message m = with_data(MSG(PROP, 2, 1), "x");

    (void)state;
    assert_fatal(&raft_trap, raft_forward(&n->r, &m, 1));
    assert_non_null(
        strstr(raft_trap.text, "1 would forward MsgProp to itself"));
    raft_message_release(&m);
    node_free(n);
}

/* PF-44: the node's own answers come back to it only where a thread writes; and
 * of its own messages only the answers. */
static void test_own_messages_come_back_with_async_only(void **state)
{
    static const struct {
        bool async;
        struct raft_message m;
        uint64_t want_term;
    } cases[] = {
        {false, {.type = RAFT_MSG_PRE_VOTE_RESP, .from = 1, .term = 7}, 1},
        {true, {.type = RAFT_MSG_HEARTBEAT, .from = 1, .term = 7}, 1},
        {true, {.type = RAFT_MSG_VOTE_RESP, .from = 1, .term = 7}, 7},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rawnode_env env;
        struct raft_status st;

        rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2),
                                                   .hs = {.term = 1},
                                                   .async = cases[i].async});
        assert_int_equal(rawnode_env_step(&env, cases[i].m), 0);
        rawnode_status(env.rn, &st);
        assert_int_equal(st.hard_state.term, cases[i].want_term);
        raft_status_release(&st);
        rawnode_env_release(&env);
    }
}

/* Only a leader knows of pending changes. */
static void test_no_pending_change_without_lead(void **state)
{
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    assert_false(rawnode_conf_change_pending(env.rn));
    assert_int_equal(rawnode_campaign(env.rn), 0);
    rawnode_env_drain(&env);
    assert_false(rawnode_conf_change_pending(env.rn));
    rawnode_env_release(&env);
    rawnode_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_keeps_small_vectors_only),
        cmocka_unit_test(test_uncommitted_value_beyond_the_limit),
        cmocka_unit_test(test_election_timer_saturates),
        cmocka_unit_test(test_warnings_about_a_peer_are_limited),
        cmocka_unit_test(test_proposals_bring_no_numbers),
        cmocka_unit_test(test_context_like_a_transfer),
        cmocka_unit_test(test_read_with_empty_context),
        cmocka_unit_test(test_echo_to_a_leader_with_lease),
        cmocka_unit_test(test_restore_is_for_followers),
        cmocka_unit_test(test_restore_of_redundant_members),
        cmocka_unit_test(test_forward_to_itself),
        cmocka_unit_test(test_own_messages_come_back_with_async_only),
        cmocka_unit_test(test_no_pending_change_without_lead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
