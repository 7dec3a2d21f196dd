/* See rawnode_fixture.h. */

#include "tests/lib/rawnode_fixture.h"

#include <string.h>

void rawnode_env_init(struct rawnode_env *env, const struct node_spec *spec)
{
    struct raft_config cfg = spec_config(spec, &env->ms);

    storage_fill(&env->ms, spec);
    env->rn = rawnode_new(&cfg);
}

void rawnode_env_release(struct rawnode_env *env)
{
    rawnode_free(env->rn);
    memory_storage_release(&env->ms);
}

void rawnode_env_ready(struct rawnode_env *env, struct raft_ready *rd)
{
    rawnode_ready(env->rn, rd);
    raft_check(&env->rn->raft);
    if (rd->snapshot != NULL) {
        assert_int_equal(memory_storage_apply_snapshot(&env->ms, rd->snapshot),
                         0);
    }
    if (rd->hard_state != NULL) {
        memory_storage_set_hard_state(&env->ms, rd->hard_state);
    }
    memory_storage_append(&env->ms, rd->entries, rd->n_entries);
}

void rawnode_env_apply(struct rawnode_env *env, const struct raft_entry *e,
                       struct conf_state *cs)
{
    struct conf_change cc;
    struct conf_change_v2 cc2 = {0};

    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        assert_int_equal(conf_change_decode(raft_entry_data(e), &cc), 0);
        rawnode_apply_conf_change(env->rn, &cc, cs);
        return;
    }
    assert_int_equal(e->type, RAFT_ENTRY_CONF_CHANGE_V2);
    assert_int_equal(conf_change_v2_decode(raft_entry_data(e), &cc2), 0);
    rawnode_apply_conf_change_v2(env->rn, &cc2, cs);
    conf_change_v2_release(&cc2);
}

void rawnode_env_drain(struct rawnode_env *env)
{
    while (rawnode_has_ready(env->rn)) {
        struct raft_ready rd;

        rawnode_env_ready(env, &rd);
        for (size_t i = 0; i < rd.n_committed_entries; i++) {
            if (rd.committed_entries[i]->type != RAFT_ENTRY_NORMAL) {
                struct conf_state cs = {0};

                rawnode_env_apply(env, rd.committed_entries[i], &cs);
                conf_state_release(&cs);
            }
        }
        rawnode_advance(env->rn);
        raft_check(&env->rn->raft);
    }
}

void rawnode_env_lead(struct rawnode_env *env)
{
    assert_int_equal(rawnode_campaign(env->rn), 0);
    rawnode_env_drain(env);
    assert_int_equal(env->rn->raft.role, RAFT_LEADER);
}

int rawnode_env_propose(struct rawnode_env *env, const char *data)
{
    struct bytes b = {(const uint8_t *)data, strlen(data)};

    return rawnode_propose(env->rn, raft_entry_new(RAFT_ENTRY_NORMAL, b));
}

int rawnode_env_step(struct rawnode_env *env, struct raft_message m)
{
    int rc = rawnode_step(env->rn, &m);

    raft_message_release(&m);
    raft_check(&env->rn->raft);
    return rc;
}

void storage_thread_write(struct rawnode_env *env, const struct raft_message *m)
{
    struct hard_state hs = {m->term, m->vote, m->commit};

    if (m->type != RAFT_MSG_STORAGE_APPEND) {
        return;
    }
    if (m->snapshot != NULL) {
        assert_int_equal(memory_storage_apply_snapshot(&env->ms, m->snapshot),
                         0);
    }
    if (!hard_state_is_empty(&hs)) {
        memory_storage_set_hard_state(&env->ms, &hs);
    }
    memory_storage_append(&env->ms, m->entries.items, m->entries.len);
}

void storage_thread_respond(struct rawnode_env *env,
                            const struct raft_message *m)
{
    for (size_t i = 0; i < m->n_responses; i++) {
        if (m->responses[i].to == env->rn->raft.id) {
            assert_int_equal(rawnode_step(env->rn, &m->responses[i]), 0);
            raft_check(&env->rn->raft);
        }
    }
}
