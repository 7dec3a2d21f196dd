/* What a user of the core relies on from one call to the next.
 *
 * Goal: the cases of etcd-io/raft's node_test.go that are about the core and
 * not about its goroutines: what reaches it, in what order entries come out,
 * how a node comes back. Method: one rawnode over memory storage, with the
 * role's step function replaced by a recorder where the question is what gets
 * through. */

#include "tests/lib/rawnode_fixture.h"

#include <string.h>

/* --- what gets through --- */

static struct message_queue recorded;

static int record_step(struct raft *r, const struct raft_message *m)
{
    (void)r;
    message_queue_push_copy(&recorded, m);
    return 0;
}

/* A follower of 2 at term 1 whose role's messages are recorded. */
static void recorder_init(struct rawnode_env *env)
{
    rawnode_env_init(env, &(struct node_spec){.voters = IDS(1, 2)});
    assert_int_equal(rawnode_env_step(env, MSG(HEARTBEAT, 2, 1, .term = 1)), 0);
    rawnode_env_drain(env);
    env->rn->raft.step = record_step;
}

static void recorder_release(struct rawnode_env *env)
{
    message_queue_release(&recorded);
    rawnode_env_release(env);
}

/* Every type once: local ones are refused, votes are answered for any role, all
 * else is the role's business. */
static void test_node_step(void **state)
{
    (void)state;
    for (uint64_t type = 0; type < RAFT_MSG_TYPES; type++) {
        bool vote = type == RAFT_MSG_VOTE || type == RAFT_MSG_PRE_VOTE;
        bool local = raft_message_is_local(type);
        struct rawnode_env env;
        struct raft_message m = {.type = type, .from = 2, .to = 1, .term = 1};

        recorder_init(&env);
        if (type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX) {
            m = with_data(m, "x");
            m.term = 0;
        }
        assert_int_equal(rawnode_env_step(&env, m),
                         local ? ERR_STEP_LOCAL_MSG : 0);
        assert_int_equal(recorded.len, local || vote ? 0 : 1);
        assert_int_equal(env.rn->raft.msgs_after_append.len, vote ? 1 : 0);
        recorder_release(&env);
    }
}

static void test_node_propose(void **state)
{
    struct rawnode_env env;
    const struct raft_message *m;

    (void)state;
    recorder_init(&env);
    assert_int_equal(rawnode_env_propose(&env, "somedata"), 0);
    assert_int_equal(recorded.len, 1);
    m = &recorded.items[0];
    assert_int_equal(m->type, RAFT_MSG_PROP);
    assert_int_equal(m->from, 1);
    assert_int_equal(m->term, 0);
    assert_int_equal(m->entries.len, 1);
    assert_int_equal(m->entries.items[0]->type, RAFT_ENTRY_NORMAL);
    assert_int_equal(m->entries.items[0]->len, 8);
    assert_memory_equal(m->entries.items[0]->data, "somedata", 8);
    recorder_release(&env);
}

static void test_node_propose_config(void **state)
{
    const struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE, .node_id = 3};
    struct conf_change_single one = {CONF_CHANGE_ADD_LEARNER_NODE, 4};
    const struct conf_change_v2 v2 = {.changes = &one, .n_changes = 1};
    struct rawnode_env env;
    struct conf_change got = {0};
    struct conf_change_v2 got2 = {0};
    const struct raft_message *m;

    (void)state;
    recorder_init(&env);
    assert_int_equal(rawnode_propose_conf_change(env.rn, &cc), 0);
    assert_int_equal(rawnode_propose_conf_change_v2(env.rn, &v2), 0);
    assert_int_equal(recorded.len, 2);
    m = &recorded.items[0];
    assert_int_equal(m->type, RAFT_MSG_PROP);
    assert_int_equal(m->entries.len, 1);
    assert_int_equal(m->entries.items[0]->type, RAFT_ENTRY_CONF_CHANGE);
    assert_int_equal(
        conf_change_decode(raft_entry_data(m->entries.items[0]), &got), 0);
    assert_int_equal(got.type, CONF_CHANGE_ADD_NODE);
    assert_int_equal(got.node_id, 3);
    m = &recorded.items[1];
    assert_int_equal(m->entries.items[0]->type, RAFT_ENTRY_CONF_CHANGE_V2);
    assert_int_equal(
        conf_change_v2_decode(raft_entry_data(m->entries.items[0]), &got2), 0);
    assert_int_equal(got2.n_changes, 1);
    assert_int_equal(got2.changes[0].node_id, 4);
    conf_change_v2_release(&got2);
    recorder_release(&env);
}

/* CC-3: no changes and no context need no payload to say so. */
static void test_empty_change_is_an_empty_v2(void **state)
{
    const struct conf_change_v2 nothing = {0};
    struct conf_change_v2 got = {0};
    struct rawnode_env env;
    const struct raft_entry *e;

    (void)state;
    recorder_init(&env);
    assert_int_equal(rawnode_propose_conf_change_v2(env.rn, &nothing), 0);
    e = recorded.items[0].entries.items[0];
    assert_int_equal(e->type, RAFT_ENTRY_CONF_CHANGE_V2);
    assert_int_equal(conf_change_v2_decode(raft_entry_data(e), &got), 0);
    assert_true(conf_change_v2_leave_joint(&got));
    conf_change_v2_release(&got);
    assert_int_equal(conf_change_v2_decode((struct bytes){NULL, 0}, &got), 0);
    assert_true(conf_change_v2_leave_joint(&got));
    conf_change_v2_release(&got);
    recorder_release(&env);
}

/* --- what comes out --- */

/* Work off all Readys; the committed entries go to `out`. */
static void collect(struct rawnode_env *env, struct raft_entries *out)
{
    while (rawnode_has_ready(env->rn)) {
        struct raft_ready rd;

        rawnode_env_ready(env, &rd);
        raft_entries_append(out, rd.committed_entries, rd.n_committed_entries);
        for (size_t i = 0; i < rd.n_committed_entries; i++) {
            if (rd.committed_entries[i]->type != RAFT_ENTRY_NORMAL) {
                struct conf_state cs = {0};

                rawnode_env_apply(env, rd.committed_entries[i], &cs);
                conf_state_release(&cs);
            }
        }
        rawnode_advance(env->rn);
    }
}

static void test_node_propose_add_duplicate_node(void **state)
{
    const uint64_t ids[] = {1, 1, 2};
    struct raft_entries all = {0};
    struct rawnode_env env;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    assert_int_equal(rawnode_campaign(env.rn), 0);
    collect(&env, &all);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        const struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE,
                                       .node_id = ids[i]};

        assert_int_equal(rawnode_propose_conf_change(env.rn, &cc), 0);
        collect(&env, &all);
    }
    assert_int_equal(all.len, 4); /* with the leader's empty one */
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        const struct raft_entry *e = all.items[i + 1];
        struct conf_change cc = {0};

        assert_int_equal(e->type, RAFT_ENTRY_CONF_CHANGE);
        assert_int_equal(conf_change_decode(raft_entry_data(e), &cc), 0);
        assert_int_equal(cc.node_id, ids[i]);
    }
    raft_entries_release(&all);
    rawnode_env_release(&env);
}

static void test_node_advance(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
    rawnode_env_lead(&env);
    assert_int_equal(rawnode_env_propose(&env, "foo"), 0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_entries, 1);
    assert_false(rawnode_has_ready(env.rn));
    rawnode_advance(env.rn);
    assert_true(rawnode_has_ready(env.rn)); /* it is committed now */
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.n_committed_entries, 1);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

/* A Ready names the soft state if and only if leader or role are others. */
static void test_soft_state_equal(void **state)
{
    struct rawnode_env env;
    struct raft_ready rd;

    (void)state;
    rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1, 2, 3)});
    assert_false(rawnode_has_ready(env.rn));
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1)),
                     0);
    rawnode_env_ready(&env, &rd);
    assert_non_null(rd.soft_state);
    assert_int_equal(rd.soft_state->lead, 2);
    assert_int_equal(rd.soft_state->role, RAFT_FOLLOWER);
    rawnode_advance(env.rn);
    /* The same leader, in the same role. */
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 2, 1, .term = 1)),
                     0);
    rawnode_env_ready(&env, &rd);
    assert_null(rd.soft_state);
    rawnode_advance(env.rn);
    /* Another leader: the term is new as well. */
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 3, 1, .term = 2)),
                     0);
    rawnode_env_ready(&env, &rd);
    assert_int_equal(rd.soft_state->lead, 3);
    rawnode_advance(env.rn);
    /* There and back between two Readys is no change. */
    assert_int_equal(rawnode_forget_leader(env.rn), 0);
    assert_true(rawnode_has_ready(env.rn));
    assert_int_equal(rawnode_env_step(&env, MSG(HEARTBEAT, 3, 1, .term = 2)),
                     0);
    rawnode_env_ready(&env, &rd);
    assert_null(rd.soft_state);
    rawnode_advance(env.rn);
    rawnode_env_release(&env);
}

/* --- coming back --- */

/* The process ends and starts again on what its storage holds. */
static void restart(struct rawnode_env *env, const struct node_spec *spec)
{
    struct memory_storage scratch;
    struct raft_config cfg = spec_config(spec, &scratch);

    rawnode_free(env->rn);
    cfg.storage = &env->ms.base;
    env->rn = rawnode_new(&cfg);
}

static void test_node_restart(void **state)
{
    const struct node_spec spec = {.voters = IDS(1)};
    struct raft_entries again = {0};
    struct rawnode_env env;
    struct raft_ready rd;
    struct hard_state hs;

    (void)state;
    rawnode_env_init(&env, &spec);
    rawnode_env_lead(&env);
    assert_int_equal(rawnode_env_propose(&env, "foo"), 0);
    rawnode_env_drain(&env);
    hs = env.ms.hard_state;
    assert_int_equal(hs.commit, 2);

    restart(&env, &spec);
    assert_int_equal(env.rn->raft.lead, RAFT_NONE); /* NEW-8 */
    assert_int_equal(env.rn->raft.role, RAFT_FOLLOWER);
    assert_int_equal(env.rn->raft.election_elapsed, 0);
    rawnode_env_ready(&env, &rd);
    assert_null(rd.hard_state);
    assert_null(rd.soft_state);
    assert_int_equal(rd.n_entries, 0);
    assert_false(rd.must_sync);
    raft_entries_append(&again, rd.committed_entries, rd.n_committed_entries);
    rawnode_advance(env.rn);
    assert_entries(again.items, again.len, ATS({1, 1}, {2, 1}));
    assert_false(rawnode_has_ready(env.rn));
    assert_true(hard_state_equal(&hs, &env.ms.hard_state));
    raft_entries_release(&again);
    rawnode_env_release(&env);
}

static void test_node_restart_from_snapshot(void **state)
{
    const struct node_spec spec = {.voters = IDS(1)};
    struct raft_entries again = {0};
    struct rawnode_env env;
    struct raft_snapshot *s =
        member_snapshot(2, 1, IDS(1), (struct id_list){NULL, 0});

    (void)state;
    rawnode_env_init(&env, &spec);
    rawnode_env_lead(&env);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rawnode_env_propose(&env, "foo"), 0);
        rawnode_env_drain(&env);
    }
    assert_int_equal(memory_storage_create_snapshot(&env.ms, s), 0);
    assert_int_equal(memory_storage_compact(&env.ms, 2), 0);

    /* What the snapshot holds is not handed out again. */
    restart(&env, &spec);
    assert_int_equal(env.rn->raft.log.applied, 2);
    collect(&env, &again);
    assert_entries(again.items, again.len, ATS({3, 1}));
    raft_entries_release(&again);
    raft_snapshot_unref(s);
    rawnode_env_release(&env);
}

/* Pages of what is committed never take the commit index back [PF-4]. */
static void test_node_commit_pagination_after_restart(void **state)
{
    const struct node_spec spec = {.voters = IDS(1),
                                   .max_committed_size_per_ready = 40};
    struct rawnode_env env;
    uint64_t next = 1;

    (void)state;
    rawnode_env_init(&env, &spec);
    rawnode_env_lead(&env);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(rawnode_env_propose(&env, "0123456789"), 0);
    }
    rawnode_env_drain(&env);
    assert_int_equal(env.ms.hard_state.commit, 11);
    restart(&env, &spec);
    assert_int_equal(rawnode_campaign(env.rn),
                     0); /* with pages still to come */
    while (rawnode_has_ready(env.rn)) {
        struct raft_ready rd;

        rawnode_env_ready(&env, &rd);
        assert_true(rd.hard_state == NULL || rd.hard_state->commit >= 11);
        for (size_t i = 0; i < rd.n_committed_entries; i++) {
            assert_int_equal(rd.committed_entries[i]->index, next++);
        }
        assert_true(raft_entries_size(rd.committed_entries,
                                      rd.n_committed_entries) <= 40);
        rawnode_advance(env.rn);
    }
    assert_int_equal(next, 13); /* and the new term's empty entry */
    rawnode_env_release(&env);
}

/* RN-7: the door knows no member that is removed, Advance does not ask it. */
static void test_own_ack_after_own_removal(void **state)
{
    const struct conf_change cc = {.type = CONF_CHANGE_REMOVE_NODE,
                                   .node_id = 1};

    (void)state;
    for (int async = 0; async < 2; async++) {
        struct conf_state cs = {0};
        struct rawnode_env env;
        struct raft_ready rd;

        rawnode_env_init(
            &env, &(struct node_spec){.voters = IDS(1, 2), .async = async});
        raft_become_candidate(&env.rn->raft);
        raft_become_leader(&env.rn->raft);
        rawnode_env_ready(&env, &rd);
        rawnode_apply_conf_change(env.rn, &cc, &cs);
        conf_state_release(&cs);
        if (async) {
            const struct raft_message *last = &rd.messages[rd.n_messages - 1];

            assert_int_equal(last->type, RAFT_MSG_STORAGE_APPEND);
            assert_int_equal(last->responses[0].type, RAFT_MSG_APP_RESP);
            assert_int_equal(rawnode_step(env.rn, &last->responses[0]),
                             ERR_STEP_PEER_NOT_FOUND);
        } else {
            rawnode_advance(env.rn);
        }
        assert_int_equal(env.rn->raft.log.committed, 0);
        rawnode_env_release(&env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_step),
        cmocka_unit_test(test_node_propose),
        cmocka_unit_test(test_node_propose_config),
        cmocka_unit_test(test_empty_change_is_an_empty_v2),
        cmocka_unit_test(test_node_propose_add_duplicate_node),
        cmocka_unit_test(test_node_advance),
        cmocka_unit_test(test_soft_state_equal),
        cmocka_unit_test(test_node_restart),
        cmocka_unit_test(test_node_restart_from_snapshot),
        cmocka_unit_test(test_node_commit_pagination_after_restart),
        cmocka_unit_test(test_own_ack_after_own_removal),
    };

    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
