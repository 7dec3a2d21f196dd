/* See ready_rig.h. */

#include "tests/lib/ready_rig.h"

#include "src/raft/entry_queue.h"
#include "tests/lib/cmocka.h"

void ready_rig_init(struct ready_rig *rig, const struct ready_rig_options *o)
{
    struct raft_snapshot *snap = raft_snapshot_new();
    struct raft_config cfg = {
        .id = 1,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .storage = &rig->log.base,
        .max_size_per_msg = RAFT_NO_LIMIT,
        .max_uncommitted_entries_size = o->max_uncommitted_len,
        .max_inflight_msgs = 256,
        .seed = 1,
    };

    *rig = (struct ready_rig){0};
    memory_storage_init(&rig->log, NULL);
    snap->index = 1;
    snap->term = 1;
    for (uint64_t id = 1; id <= o->voters; id++) {
        id_list_push(&snap->conf_state.voters, id);
    }
    assert_int_equal(memory_storage_apply_snapshot(&rig->log, snap), 0);
    raft_snapshot_unref(snap);
    memory_storage_set_hard_state(&rig->log, &(struct hard_state){1, 0, 1});
    rig->raw = rawnode_new(&cfg);
}

void ready_rig_release(struct ready_rig *rig)
{
    rawnode_free(rig->raw);
    memory_storage_release(&rig->log);
    raft_entries_release(&rig->applied);
    for (size_t i = 0; i < rig->n_sent; i++) {
        raft_message_release(&rig->sent[i]);
    }
}

static void record(struct ready_rig *rig, const struct raft_ready *rd)
{
    raft_entries_append(&rig->applied, rd->committed_entries,
                        rd->n_committed_entries);
    for (size_t i = 0; i < rd->n_read_states; i++) {
        assert_true(rig->n_reads < READY_RIG_RECORDS_MAX);
        rig->reads[rig->n_reads++] = rd->read_states[i];
    }
    for (size_t i = 0; i < rd->n_messages; i++) {
        const struct raft_message *m = &rd->messages[i];

        if (m->type == RAFT_MSG_PROP || m->type == RAFT_MSG_READ_INDEX) {
            assert_true(rig->n_sent < READY_RIG_RECORDS_MAX);
            raft_message_copy(&rig->sent[rig->n_sent++], m);
        }
    }
}

static void apply_changes(struct ready_rig *rig, const struct raft_ready *rd)
{
    for (size_t i = 0; i < rd->n_committed_entries; i++) {
        const struct raft_entry *e = rd->committed_entries[i];
        struct conf_state cs = {0};
        struct conf_change cc;

        if (e->type == RAFT_ENTRY_CONF_CHANGE) {
            assert_int_equal(conf_change_decode(raft_entry_data(e), &cc), 0);
            rawnode_apply_conf_change(rig->raw, &cc, &cs);
            conf_state_release(&cs);
        }
    }
}

void ready_rig_process(struct ready_rig *rig)
{
    while (rawnode_has_ready(rig->raw)) {
        struct raft_ready rd;

        rawnode_ready(rig->raw, &rd);
        if (rd.hard_state != NULL) {
            memory_storage_set_hard_state(&rig->log, rd.hard_state);
        }
        memory_storage_append(&rig->log, rd.entries, rd.n_entries);
        record(rig, &rd);
        apply_changes(rig, &rd);
        rawnode_advance(rig->raw);
    }
}

void ready_rig_lead(struct ready_rig *rig)
{
    struct soft_state soft;

    assert_int_equal(rawnode_campaign(rig->raw), 0);
    ready_rig_process(rig);
    rawnode_basic_status(rig->raw, &soft, &(struct hard_state){0},
                         &(uint64_t){0});
    assert_int_equal(soft.role, RAFT_LEADER);
}

void ready_rig_follow(struct ready_rig *rig, uint64_t leader)
{
    struct raft_message m = {
        .type = RAFT_MSG_HEARTBEAT,
        .to = 1,
        .from = leader,
        .term = 1,
    };

    assert_int_equal(rawnode_step(rig->raw, &m), 0);
    ready_rig_process(rig);
}

bool ready_rig_log_has(const struct ready_rig *rig, struct bytes payload)
{
    for (size_t i = 0; i < entry_queue_len(rig->log.ents); i++) {
        const struct raft_entry *e = entry_queue_at(rig->log.ents, i);

        if (e->len == payload.len &&
            memcmp(e->data, payload.data, payload.len) == 0) {
            return true;
        }
    }
    return false;
}
