/* Configuration changes through the door: proposed, committed, applied, left.
 *
 * Goal: raft-core 19.5 to 19.8 as an application sees them. Method: a group of
 * one whose Readys are worked off; names and scenarios of etcd-io/raft
 * rawnode_test.go and node_test.go. */

#include "tests/lib/rawnode_fixture.h"

#include <string.h>

static void propose_v1(struct rawnode_env *env, enum conf_change_type type,
                       uint64_t id)
{
    struct conf_change cc = {.type = type, .node_id = id};

    assert_int_equal(rawnode_propose_conf_change(env->rn, &cc), 0);
}

/* Work off Readys until a configuration change was applied; *cs is the result,
 * owned by the caller. Returns the index of the change. */
static uint64_t drain_to_conf_change(struct rawnode_env *env,
                                     struct conf_state *cs)
{
    uint64_t index = 0;

    while (index == 0) {
        struct raft_ready rd;

        assert_true(rawnode_has_ready(env->rn));
        rawnode_env_ready(env, &rd);
        for (size_t i = 0; i < rd.n_committed_entries; i++) {
            const struct raft_entry *e = rd.committed_entries[i];

            if (e->type != RAFT_ENTRY_NORMAL) {
                index = e->index;
                rawnode_env_apply(env, e, cs);
            }
        }
        rawnode_advance(env->rn);
    }
    return index;
}

struct expected {
    struct id_list voters;
    struct id_list learners;
    struct id_list outgoing;
    struct id_list learners_next;
    bool auto_leave;
};

static void assert_conf_state(const struct conf_state *cs,
                              const struct expected *want)
{
    assert_ids(&cs->voters, want->voters);
    assert_ids(&cs->learners, want->learners);
    assert_ids(&cs->voters_outgoing, want->outgoing);
    assert_ids(&cs->learners_next, want->learners_next);
    assert_int_equal(cs->auto_leave, want->auto_leave);
}

/* The last stored entry says exactly what was proposed. */
static void assert_last_stored(struct rawnode_env *env, uint64_t index,
                               uint64_t type, const struct buf *data)
{
    struct raft_entries v = {0};

    assert_int_equal(memory_storage_last_index(&env->ms), index);
    assert_int_equal(env->ms.base.ops->entries(&env->ms.base, index, index + 1,
                                               RAFT_NO_LIMIT, &v),
                     0);
    assert_int_equal(v.len, 1);
    assert_int_equal(v.items[0]->type, type);
    assert_int_equal(v.items[0]->len, data->len);
    assert_memory_equal(v.items[0]->data, data->data, data->len);
    raft_entries_release(&v);
}

/* Leave the joint configuration, by the automatic entry or by hand. */
static void leave_joint(struct rawnode_env *env, bool automatic,
                        const struct expected *want)
{
    struct conf_change_v2 manual = {.context = {(const uint8_t *)"manual", 6}};
    struct conf_change_v2 seen = {0};
    struct conf_state cs = {0};
    struct raft_ready rd;

    if (!automatic) {
        assert_int_equal(rawnode_propose_conf_change_v2(env->rn, &manual), 0);
    }
    rawnode_env_ready(env, &rd);
    assert_int_equal(rd.n_entries, 1);
    assert_int_equal(rd.entries[0]->type, RAFT_ENTRY_CONF_CHANGE_V2);
    assert_int_equal(rd.entries[0]->has_data, !automatic);
    assert_int_equal(
        conf_change_v2_decode(raft_entry_data(rd.entries[0]), &seen), 0);
    assert_int_equal(seen.n_changes, 0);
    assert_int_equal(seen.context.len, automatic ? 0 : 6);
    /* Applied by hand: with {2} incoming it cannot be committed here. */
    rawnode_apply_conf_change_v2(env->rn, &seen, &cs);
    conf_change_v2_release(&seen);
    assert_conf_state(&cs, want);
    conf_state_release(&cs);
    rawnode_advance(env->rn);
}

static void test_raw_node_propose_and_conf_change(void **state)
{
    const enum conf_change_type add = CONF_CHANGE_ADD_NODE;
    const enum conf_change_type learn = CONF_CHANGE_ADD_LEARNER_NODE;
    const struct {
        const char *name;
        bool v1;
        enum conf_change_transition transition;
        struct conf_change_single changes[3];
        size_t n;
        struct expected joint; /* or the only configuration */
        bool leaves;
        struct expected left;
    } cases[] = {
        {"v1",
         true,
         0,
         {{add, 2}},
         1,
         {.voters = IDS(1, 2)},
         false,
         {.auto_leave = false}},
        {"simple",
         false,
         CONF_CHANGE_TRANSITION_AUTO,
         {{add, 2}},
         1,
         {.voters = IDS(1, 2)},
         false,
         {.auto_leave = false}},
        {"simple learner",
         false,
         CONF_CHANGE_TRANSITION_AUTO,
         {{learn, 2}},
         1,
         {.voters = IDS(1), .learners = IDS(2)},
         false,
         {.auto_leave = false}},
        {"explicit",
         false,
         CONF_CHANGE_TRANSITION_JOINT_EXPLICIT,
         {{learn, 2}},
         1,
         {.voters = IDS(1), .outgoing = IDS(1), .learners = IDS(2)},
         true,
         {.voters = IDS(1), .learners = IDS(2)}},
        {"implicit",
         false,
         CONF_CHANGE_TRANSITION_JOINT_IMPLICIT,
         {{learn, 2}},
         1,
         {.voters = IDS(1),
          .outgoing = IDS(1),
          .learners = IDS(2),
          .auto_leave = true},
         true,
         {.voters = IDS(1), .learners = IDS(2)}},
        {"several, auto",
         false,
         CONF_CHANGE_TRANSITION_AUTO,
         {{add, 2}, {learn, 1}, {learn, 3}},
         3,
         {.voters = IDS(2),
          .outgoing = IDS(1),
          .learners = IDS(3),
          .learners_next = IDS(1),
          .auto_leave = true},
         true,
         {.voters = IDS(2), .learners = IDS(1, 3)}},
        {"several, explicit",
         false,
         CONF_CHANGE_TRANSITION_JOINT_EXPLICIT,
         {{add, 2}, {learn, 1}, {learn, 3}},
         3,
         {.voters = IDS(2),
          .outgoing = IDS(1),
          .learners = IDS(3),
          .learners_next = IDS(1)},
         true,
         {.voters = IDS(2), .learners = IDS(1, 3)}},
        {"several, implicit",
         false,
         CONF_CHANGE_TRANSITION_JOINT_IMPLICIT,
         {{add, 2}, {learn, 1}, {learn, 3}},
         3,
         {.voters = IDS(2),
          .outgoing = IDS(1),
          .learners = IDS(3),
          .learners_next = IDS(1),
          .auto_leave = true},
         true,
         {.voters = IDS(2), .learners = IDS(1, 3)}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct conf_change_single changes[3];
        struct conf_change_v2 v2 = {.transition = cases[i].transition,
                                    .changes = changes,
                                    .n_changes = cases[i].n};
        struct conf_change v1 = {.type = cases[i].changes[0].type,
                                 .node_id = cases[i].changes[0].node_id};
        struct rawnode_env env;
        struct conf_state cs = {0};
        struct buf data;
        uint64_t index;

        print_message("  %s\n", cases[i].name);
        memcpy(changes, cases[i].changes, sizeof changes);
        buf_init(&data, BUF_UNLIMITED);
        rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
        rawnode_env_lead(&env);
        assert_int_equal(rawnode_env_propose(&env, "somedata"), 0);
        assert_false(rawnode_conf_change_pending(env.rn));
        if (cases[i].v1) {
            assert_int_equal(rawnode_propose_conf_change(env.rn, &v1), 0);
            assert_true(conf_change_encode(&v1, &data) >= 0);
        } else {
            assert_int_equal(rawnode_propose_conf_change_v2(env.rn, &v2), 0);
            assert_true(conf_change_v2_encode(&v2, &data) >= 0);
        }
        assert_true(rawnode_conf_change_pending(env.rn));
        index = drain_to_conf_change(&env, &cs);
        assert_conf_state(&cs, &cases[i].joint);
        conf_state_release(&cs);
        assert_last_stored(&env, index,
                           cases[i].v1 ? RAFT_ENTRY_CONF_CHANGE
                                       : RAFT_ENTRY_CONF_CHANGE_V2,
                           &data);
        assert_int_equal(env.rn->raft.pending_conf_index,
                         index + (cases[i].joint.auto_leave ? 1 : 0));
        assert_int_equal(rawnode_conf_change_pending(env.rn),
                         cases[i].joint.auto_leave);
        if (cases[i].leaves) {
            leave_joint(&env, cases[i].joint.auto_leave, &cases[i].left);
        }
        buf_release(&data);
        rawnode_env_release(&env);
    }
}

static void test_raw_node_joint_auto_leave(void **state)
{
    struct conf_change_single one = {CONF_CHANGE_ADD_LEARNER_NODE, 2};
    struct conf_change_v2 cc = {.transition =
                                    CONF_CHANGE_TRANSITION_JOINT_IMPLICIT,
                                .changes = &one,
                                .n_changes = 1};
    struct rawnode_env env;
    struct raft_ready rd;
    bool applied = false;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    assert_int_equal(rawnode_propose_conf_change_v2(env.rn, &cc), 0);
    while (!applied) {
        rawnode_env_ready(&env, &rd);
        for (size_t i = 0; i < rd.n_committed_entries; i++) {
            if (rd.committed_entries[i]->type == RAFT_ENTRY_CONF_CHANGE_V2) {
                struct conf_state cs = {0};

                /* Somebody else leads for a moment. */
                raft_become_follower(&env.rn->raft, env.rn->raft.term + 1,
                                     RAFT_NONE);
                rawnode_env_apply(&env, rd.committed_entries[i], &cs);
                assert_true(cs.auto_leave);
                conf_state_release(&cs);
                applied = true;
            }
        }
        rawnode_advance(env.rn);
    }
    /* Not leading, it proposes nothing. */
    assert_int_equal(env.rn->raft.pending_conf_index, 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_entries, 0);
    rawnode_advance(env.rn);

    /* Leading again, and with all applied, it leaves. */
    assert_int_equal(rawnode_campaign(env.rn), 0);
    rawnode_env_drain(&env);
    assert_int_equal(env.rn->raft.role, RAFT_LEADER);
    {
        struct conf_state cs;

        rawnode_conf_state(env.rn, &cs);
        assert_int_equal(cs.voters_outgoing.n, 0);
        assert_false(cs.auto_leave);
        assert_ids(&cs.learners, IDS(2));
        conf_state_release(&cs);
    }
    rawnode_env_release(&env);
}

static void test_raw_node_propose_add_duplicate_node(void **state)
{
    const uint64_t ids[] = {1, 1, 2};
    struct rawnode_env env;
    uint64_t index[3];

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    for (size_t i = 0; i < 3; i++) {
        struct conf_state cs = {0};

        propose_v1(&env, CONF_CHANGE_ADD_NODE, ids[i]);
        index[i] = drain_to_conf_change(&env, &cs);
        assert_int_equal(cs.voters.n, i < 2 ? 1 : 2);
        conf_state_release(&cs);
    }
    assert_int_equal(index[1], index[0] + 1);
    assert_int_equal(index[2], index[1] + 1);
    assert_int_equal(memory_storage_last_index(&env.ms), index[2]);
    rawnode_env_release(&env);
}

static void test_node_propose_add_learner_node(void **state)
{
    struct rawnode_env env;
    struct conf_state cs = {0};

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    propose_v1(&env, CONF_CHANGE_ADD_LEARNER_NODE, 2);
    drain_to_conf_change(&env, &cs);
    assert_ids(&cs.voters, IDS(1));
    assert_ids(&cs.learners, IDS(2));
    conf_state_release(&cs);
    rawnode_env_release(&env);
}

/* A change cancelled by the application: the id zeroed. */
static void test_cancelled_change(void **state)
{
    struct rawnode_env env;
    struct conf_change cc = {.type = CONF_CHANGE_REMOVE_NODE};
    struct conf_state cs = {0};

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2)});
    rawnode_apply_conf_change(env.rn, &cc, &cs);
    assert_ids(&cs.voters, IDS(1, 2));
    conf_state_release(&cs);
    rawnode_env_release(&env);
}

/* PF-43: known, and as in the reference. */
static void test_impossible_change_is_fatal_when_applied(void **state)
{
    struct rawnode_env env;
    struct conf_change_v2 cc = {.transition =
                                    CONF_CHANGE_TRANSITION_JOINT_IMPLICIT};
    struct conf_state cs = {0};

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1),
                                               .voters_outgoing = IDS(1, 2)});
    /* Without changes, it passes for one that leaves the configuration. */
    raft_become_candidate(&env.rn->raft);
    raft_become_leader(&env.rn->raft);
    env.rn->raft.pending_conf_index = 0;
    assert_int_equal(rawnode_propose_conf_change_v2(env.rn, &cc), 0);
    assert_int_equal(env.rn->raft.pending_conf_index, 2);
    assert_fatal(&raft_trap, rawnode_apply_conf_change_v2(env.rn, &cc, &cs));
    assert_non_null(strstr(raft_trap.text, "config is already joint"));
    rawnode_env_release(&env);
}

/* Who leads without a vote leaves the next change to the next leader. */
static void test_leader_without_a_vote_makes_no_change(void **state)
{
    struct conf_change add = {.type = CONF_CHANGE_ADD_NODE, .node_id = 2};
    struct conf_change demote = {.type = CONF_CHANGE_ADD_LEARNER_NODE,
                                 .node_id = 1};
    struct rawnode_env env;
    struct conf_state cs = {0};

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    rawnode_apply_conf_change(env.rn, &add, &cs);
    conf_state_release(&cs);
    assert_false(rawnode_conf_change_pending(env.rn));
    rawnode_apply_conf_change(env.rn, &demote, &cs);
    conf_state_release(&cs);
    assert_true(rawnode_conf_change_pending(env.rn));
    rawnode_env_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader_without_a_vote_makes_no_change),
        cmocka_unit_test(test_raw_node_propose_and_conf_change),
        cmocka_unit_test(test_raw_node_joint_auto_leave),
        cmocka_unit_test(test_raw_node_propose_add_duplicate_node),
        cmocka_unit_test(test_node_propose_add_learner_node),
        cmocka_unit_test(test_cancelled_change),
        cmocka_unit_test(test_impossible_change_is_fatal_when_applied),
    };

    return cmocka_run_group_tests_name("rawnode_conf", tests, NULL, NULL);
}
