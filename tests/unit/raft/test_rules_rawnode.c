/* The door, rule by rule.
 *
 * Goal: the rules of raft-core sections 22 and 24 that no case of the
 * reference's suite shows by itself; each test names its rule. Method: a node
 * over memory storage whose Readys are looked at one by one. */

#include "tests/lib/rawnode_fixture.h"

/* --- Ready --- */

/* EL-18: of a pre-campaign nothing needs to survive. */
static void test_ready_of_a_pre_candidate(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3),
                                               .pre_vote = true,
                                               .hs = {.term = 3, .vote = 2}});
    assert_int_equal(rawnode_campaign(env.rn), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.soft_state->role, RAFT_PRE_CANDIDATE);
    assert_int_equal(rd.soft_state->lead, RAFT_NONE);
    assert_null(rd.hard_state);
    assert_false(rd.must_sync);
    assert_int_equal(rd.n_messages, 2);
    assert_int_equal(rd.messages[0].type, RAFT_MSG_PRE_VOTE);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

/* EL-3: who may not campaign is not told so. */
static void test_campaign_of_who_may_not(void **state)
{
    const struct node_spec specs[] = {
        {.id = 2, .voters = IDS(1), .learners = IDS(2)},
        {.id = 2, .voters = IDS(1)},
        {.id = 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        struct rawnode_env env;

        rawnode_env_init(&env, &specs[i]);
        assert_int_equal(rawnode_campaign(env.rn), 0);
        assert_false(rawnode_has_ready(env.rn));
        assert_int_equal(env.rn->raft.role, RAFT_FOLLOWER);
        rawnode_env_release(&env);
    }
}

/* RD-3: one reason at a time, and none after it was dealt with. */
static void test_reasons_for_a_ready(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3),
                                               .log = TERMS(1, 1),
                                               .hs = {.term = 1}});
    assert_false(rawnode_has_ready(env.rn));
    /* soft state, and an answer that may leave at once */
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1)),
                     0);
    assert_true(rawnode_has_ready(env.rn));
    rawnode_env_ready(&env, &rd);
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    /* an answer that waits */
    assert_int_equal(rawnode_env_step(&env, MSG(APP, 2, 1, .term = 1,
                                                .index = 2, .log_term = 1)),
                     0);
    assert_true(rawnode_has_ready(env.rn));
    rawnode_env_ready(&env, &rd);
    assert_null(rd.hard_state);
    assert_int_equal(rd.n_messages, 1);
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    /* a read's answer */
    assert_int_equal(
        rawnode_env_step(
            &env, with_data(MSG(READ_INDEX_RESP, 2, 1, .term = 1, .index = 2),
                            "ctx")),
        0);
    assert_true(rawnode_has_ready(env.rn));
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_read_states, 1);
    assert_int_equal(rd.n_messages, 0);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_env_release(&env);
}

/* RD-1, RD-8: what comes of the own answers goes into the next Ready, in the
 * order vote, entries, what is applied. */
static void test_order_of_the_steps_on_advance(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;
    const struct message_queue *steps;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1),
                                               .log = TERMS(1),
                                               .hs = {.term = 1, .commit = 1}});
    assert_int_equal(rawnode_campaign(env.rn), 0);
    rawnode_env_ready(&env, &rd);
    steps = &env.rn->steps_on_advance;
    assert_int_equal(steps->len, 2);
    assert_int_equal(steps->items[0].type, RAFT_MSG_VOTE_RESP);
    assert_int_equal(steps->items[1].type, RAFT_MSG_STORAGE_APPLY_RESP);
    rawnode_advance(env.rn);
    assert_int_equal(steps->len, 0);
    assert_int_equal(env.rn->raft.role, RAFT_LEADER);
    assert_int_equal(env.rn->raft.log.applied, 1);
    assert_int_equal(rawnode_env_propose(&env, "x"), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(steps->len, 3);
    assert_int_equal(steps->items[0].type, RAFT_MSG_APP_RESP);
    assert_int_equal(steps->items[0].index, 2);
    assert_int_equal(steps->items[1].type, RAFT_MSG_APP_RESP);
    assert_int_equal(steps->items[1].index, 3);
    assert_int_equal(steps->items[2].type, RAFT_MSG_STORAGE_APPEND_RESP);
    assert_int_equal(steps->items[2].index, 3);
    rawnode_advance(env.rn);
    assert_int_equal(env.rn->raft.log.committed, 3);
    rawnode_env_drain(&env);
    rawnode_env_release(&env);
}

static struct {
    const struct raft_log *log;
    uint64_t indexes[4];
    size_t n;
} stepped;

/* Entries are acknowledged one after the other, while they are unstable still:
 * storage comes behind. */
static int record_acks(struct raft *r, const struct raft_message *m)
{
    (void)r;
    assert_int_equal(m->type, RAFT_MSG_APP_RESP);
    assert_int_equal(unstable_len(&stepped.log->unstable), 2);
    assert_true(stepped.n < ARRAY_LEN(stepped.indexes));
    stepped.indexes[stepped.n++] = m->index;
    return 0;
}

/* RD-8: in the order in which they were promised, then storage. */
static void test_advance_steps_in_order(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    assert_int_equal(rawnode_env_propose(&env, "a"), 0);
    assert_int_equal(rawnode_env_propose(&env, "b"), 0);
    rawnode_env_ready(&env, &rd);
    stepped.log = &env.rn->raft.log;
    stepped.n = 0;
    env.rn->raft.step = record_acks;
    rawnode_advance(env.rn);
    assert_int_equal(stepped.n, 2);
    assert_int_equal(stepped.indexes[0], 2);
    assert_int_equal(stepped.indexes[1], 3);
    assert_int_equal(unstable_len(&env.rn->raft.log.unstable), 0);
    rawnode_env_release(&env);
}

/* RD-2, PF-3, PF-5: a sync is due when term or vote differ from those of the
 * Ready before, accepted or not yet worked off. */
static void test_sync_compares_with_the_last_ready(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3)});
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 2)),
                     0);
    rawnode_env_ready(&env, &rd);
    assert_true(rd.must_sync);
    /* In between comes the same again: nothing that is not written. */
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 2)),
                     0);
    rawnode_advance(env.rn);
    rawnode_env_ready(&env, &rd);
    assert_null(rd.hard_state);
    assert_false(rd.must_sync);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

/* PF-5: the Ready in hand is what the next one is compared with, though its
 * work is not done. */
static void test_hard_state_changes_while_a_ready_is_out(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3)});
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 2)),
                     0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 3, 1, .term = 3)),
                     0);
    rawnode_advance(env.rn);
    assert_true(rawnode_has_ready(env.rn));
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.hard_state->term, 3);
    assert_true(rd.must_sync);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

/* --- asynchronous storage writes --- */

static size_t count_type(const struct raft_ready *rd,
                         enum raft_message_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < rd->n_messages; i++) {
        n += rd->messages[i].type == type;
    }
    return n;
}

/* AS-2: nothing to write, nothing to say; a HardState comes as a whole. */
static void test_async_append_only_when_needed(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;
    const struct raft_message *m;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3),
                                               .log = TERMS(1, 1),
                                               .hs = {.term = 1, .vote = 2},
                                               .async = true});
    /* Only an answer that may leave at once. */
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1)),
                     0);
    rawnode_ready(env.rn, &rd);
    assert_int_equal(rd.n_messages, 1);
    assert_int_equal(rd.messages[0].type, RAFT_MSG_HEARTBEAT_RESP);
    /* Only a commit: all of the HardState, and nobody waits for it. */
    assert_int_equal(
        rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1, .commit = 1)),
        0);
    rawnode_ready(env.rn, &rd);
    assert_int_equal(rd.n_messages, 3);
    m = &rd.messages[1];
    assert_int_equal(m->type, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(m->term, 1);
    assert_int_equal(m->vote, 2);
    assert_int_equal(m->commit, 1);
    assert_int_equal(m->entries.len, 0);
    assert_int_equal(m->n_responses, 0);
    /* AS-7 */
    m = &rd.messages[2];
    assert_int_equal(m->type, RAFT_MSG_STORAGE_APPLY);
    assert_int_equal(m->to, RAFT_LOCAL_APPLY_THREAD);
    assert_int_equal(m->from, 1);
    assert_int_equal(m->term, 0);
    assert_int_equal(m->entries.len, 1);
    assert_int_equal(m->n_responses, 1);
    assert_int_equal(m->responses[0].type, RAFT_MSG_STORAGE_APPLY_RESP);
    assert_int_equal(m->responses[0].from, RAFT_LOCAL_APPLY_THREAD);
    assert_int_equal(m->responses[0].to, 1);
    assert_int_equal(m->responses[0].term, 0);
    assert_int_equal(m->responses[0].entries.len, 1);
    /* Only an answer that waits: no HardState in its message. */
    assert_int_equal(rawnode_env_step(&env, MSG(APP, 2, 1, .term = 1,
                                                .index = 2, .log_term = 1)),
                     0);
    rawnode_ready(env.rn, &rd);
    assert_int_equal(rd.n_messages, 1);
    m = &rd.messages[0];
    assert_int_equal(m->type, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(m->term, 0);
    assert_int_equal(m->vote, 0);
    assert_int_equal(m->commit, 0);
    assert_int_equal(m->n_responses, 1);
    assert_int_equal(m->responses[0].type, RAFT_MSG_APP_RESP);
    rawnode_env_release(&env);
}

/* AS-3, AS-6: what was promised, in order and to whomever, then the
 * acknowledgement of the write. */
static void test_async_responses_keep_their_order(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;
    const struct raft_message *m;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3),
                                               .hs = {.term = 1},
                                               .async = true});
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(
            rawnode_env_step(
                &env, with_entries(MSG(APP, 2, 1, .term = 1, .index = i - 1,
                                       .log_term = i > 1),
                                   ATS({i, 1}))),
            0);
    }
    assert_int_equal(rawnode_env_step(&env, MSG(VOTE, 3, 1, .term = 2)), 0);
    rawnode_ready(env.rn, &rd);
    m = &rd.messages[rd.n_messages - 1];
    assert_int_equal(m->type, RAFT_MSG_STORAGE_APPEND);
    assert_int_equal(m->n_responses, 5);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(m->responses[i].type, RAFT_MSG_APP_RESP);
        assert_int_equal(m->responses[i].to, 2);
        assert_int_equal(m->responses[i].index, i + 1);
    }
    assert_int_equal(m->responses[3].type, RAFT_MSG_VOTE_RESP);
    assert_int_equal(m->responses[3].to, 3);
    assert_int_equal(m->responses[4].type, RAFT_MSG_STORAGE_APPEND_RESP);
    assert_int_equal(m->responses[4].term, 2);
    assert_int_equal(m->responses[4].index, 3);
    assert_int_equal(m->responses[4].log_term, 1);
    rawnode_env_release(&env);
}

/* AS-8, AS-10, AS-7: several writes and applications are out at once; what is
 * applied counts whatever the term is by then, what comes too late does no
 * harm. */
static void test_async_answers_come_late(void **state)
{
    struct raft_message append = {0};
    struct raft_message apply = {0};
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3),
                                               .log = TERMS(1, 1),
                                               .hs = {.term = 1},
                                               .async = true});
    assert_int_equal(
        rawnode_env_step(&env,
                         with_entries(MSG(APP, 2, 1, .term = 1, .index = 2,
                                          .log_term = 1, .commit = 2),
                                      ATS({3, 1}))),
        0);
    rawnode_ready(env.rn, &rd);
    assert_int_equal(count_type(&rd, RAFT_MSG_STORAGE_APPEND), 1);
    assert_int_equal(count_type(&rd, RAFT_MSG_STORAGE_APPLY), 1);
    raft_message_copy(&append, &rd.messages[0]);
    raft_message_copy(&apply, &rd.messages[1]);
    assert_int_equal(apply.entries.len, 2);
    /* A second write while the first is out. */
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 3, 1, .term = 2)),
                     0);
    rawnode_ready(env.rn, &rd);
    assert_int_equal(count_type(&rd, RAFT_MSG_STORAGE_APPEND), 1);
    storage_thread_respond(&env, &apply);
    assert_int_equal(env.rn->raft.log.applied, 2);
    storage_thread_write(&env, &append);
    storage_thread_respond(&env, &append);
    assert_int_equal(unstable_len(&env.rn->raft.log.unstable), 1);
    storage_thread_respond(&env, &rd.messages[1]);
    assert_int_equal(unstable_len(&env.rn->raft.log.unstable), 0);
    storage_thread_respond(&env, &append);
    assert_int_equal(env.rn->raft.log.unstable.offset, 4);
    raft_message_release(&append);
    raft_message_release(&apply);
    rawnode_env_release(&env);
}

/* --- status --- */

/* TR-5, TR-7, ST-3: lists in order; auto_leave is the true one, as there is no
 * copy of the configuration that would lose it. */
static void test_conf_state_of_a_node(void **state)
{
    struct rawnode_env env;
    struct conf_state cs = {0};

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(3, 1, 2),
                                               .voters_outgoing = IDS(5, 1),
                                               .learners = IDS(9, 8),
                                               .auto_leave = true});
    rawnode_conf_state(env.rn, &cs);
    assert_ids(&cs.voters, IDS(1, 2, 3));
    assert_ids(&cs.voters_outgoing, IDS(1, 5));
    assert_ids(&cs.learners, IDS(8, 9));
    assert_int_equal(cs.learners_next.n, 0);
    assert_true(cs.auto_leave);
    conf_state_release(&cs);
    rawnode_env_release(&env);
}

/* ST-1, ST-2, ST-4: copies, of every member in order, at the leader only. */
static void test_status_is_a_copy(void **state)
{
    const uint64_t ids[] = {1, 2, 3, 4};
    struct rawnode_env env;
    struct raft_status st;

    (void)state;
    rawnode_env_init(
        &env, &(struct node_spec){.voters = IDS(3, 1, 2), .learners = IDS(4)});
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1)),
                     0);
    rawnode_status(env.rn, &st);
    assert_int_equal(st.soft_state.lead, 2);
    assert_int_equal(st.n_progress, 0);
    raft_status_release(&st);

    raft_become_candidate(&env.rn->raft);
    raft_become_leader(&env.rn->raft);
    rawnode_transfer_leader(env.rn, 3);
    rawnode_status(env.rn, &st);
    assert_int_equal(st.id, 1);
    assert_int_equal(st.hard_state.term, 2);
    assert_int_equal(st.hard_state.vote, 1);
    assert_int_equal(st.lead_transferee, 3);
    assert_int_equal(st.applied, 0);
    assert_int_equal(st.n_progress, 4);
    for (size_t i = 0; i < st.n_progress; i++) {
        assert_int_equal(st.progress[i].id, ids[i]);
        assert_int_equal(st.progress[i].is_learner, ids[i] == 4);
    }
    tracker_progress(&env.rn->raft.trk, 2)->match = 1;
    assert_int_equal(st.progress[1].match, 0);
    env.rn->raft.trk.progress.items[1].match = 0;
    raft_status_release(&st);
    rawnode_env_release(&env);
}

struct visited {
    uint64_t ids[4];
    bool learner[4];
    size_t n;
};

static void visit(void *ctx, const struct raft_progress_status *pr)
{
    struct visited *v = ctx;

    assert_true(v->n < ARRAY_LEN(v->ids));
    v->ids[v->n] = pr->id;
    v->learner[v->n++] = pr->is_learner;
    assert_string_equal(pr->state, "StateProbe");
}

/* ST-4: every member in order, also where nobody leads. */
static void test_members_are_visited_in_any_role(void **state)
{
    struct visited v = {.n = 0};
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(
        &env, &(struct node_spec){.voters = IDS(3, 1), .learners = IDS(2)});
    rawnode_with_progress(env.rn, &v, visit);
    assert_int_equal(v.n, 3);
    for (size_t i = 0; i < v.n; i++) {
        assert_int_equal(v.ids[i], i + 1);
        assert_int_equal(v.learner[i], v.ids[i] == 2);
    }
    rawnode_env_release(&env);

    v.n = 0;
    rawnode_env_init(&env, &(struct node_spec){.id = 1});
    rawnode_with_progress(env.rn, &v, visit);
    assert_int_equal(v.n, 0);
    rawnode_env_release(&env);
}

/* --- ticks --- */

/* TICK-4: time passes, nothing comes of it; the next real tick makes up for
 * it. */
static void test_quiet_ticks_do_nothing_by_themselves(void **state)
{
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3)});
    for (int i = 0; i < 30; i++) {
        rawnode_tick_quiesced(env.rn);
    }
    assert_int_equal(env.rn->raft.election_elapsed, 30);
    assert_int_equal(env.rn->raft.role, RAFT_FOLLOWER);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_tick(env.rn);
    assert_int_equal(env.rn->raft.role, RAFT_CANDIDATE);
    rawnode_env_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_of_a_pre_candidate),
        cmocka_unit_test(test_campaign_of_who_may_not),
        cmocka_unit_test(test_reasons_for_a_ready),
        cmocka_unit_test(test_order_of_the_steps_on_advance),
        cmocka_unit_test(test_advance_steps_in_order),
        cmocka_unit_test(test_sync_compares_with_the_last_ready),
        cmocka_unit_test(test_hard_state_changes_while_a_ready_is_out),
        cmocka_unit_test(test_async_append_only_when_needed),
        cmocka_unit_test(test_async_responses_keep_their_order),
        cmocka_unit_test(test_async_answers_come_late),
        cmocka_unit_test(test_conf_state_of_a_node),
        cmocka_unit_test(test_status_is_a_copy),
        cmocka_unit_test(test_members_are_visited_in_any_role),
        cmocka_unit_test(test_quiet_ticks_do_nothing_by_themselves),
    };

    return cmocka_run_group_tests_name("rules_rawnode", tests, NULL, NULL);
}
