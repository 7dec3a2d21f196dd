/* The two phases of a run, and the verdict.
 *
 * Safety: faults until the steps are used up. Then liveness: a majority works
 * for good, and must do what a cluster is for (I25). Then the history of the
 * clients is judged (I22). */

#include <inttypes.h>

#include "src/base/buf.h"
#include "src/kv/kvstore.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/world.h"

/* 10 election timeouts of virtual time [reliability I25], and the time that
 * those need who sit out a failed start. */
#define CALM_US (10 * SIM_ELECTION_TICKS * SIM_TICK + SIM_S)

static bool all_is_well(const struct sim *s)
{
    const struct raftnode *first = NULL;
    uint64_t leader = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct machine *m = &s->machines[id];

        if (!machine_is_up(m) || !sim_is_member(s, id)) {
            continue;
        }
        if (raftnode_leader(m->n.node) == 0 ||
            (leader != 0 && leader != raftnode_leader(m->n.node)) ||
            (first != NULL && first->applied != m->n.node->applied)) {
            return false;
        }
        leader = raftnode_leader(m->n.node);
        first = m->n.node;
    }
    return clients_last_write_done(s);
}

/* Whether operators have made a voter of an id that was removed before, and
 * whose node has left: the one's proposal was on its way while the other's was
 * carried out. The README says not to; whether the others can do without that
 * voter is nobody's promise. */
static bool is_id_used_again(const struct sim *s)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (s->machines[id].is_used_again && sim_is_voter(s, id)) {
            return true;
        }
    }
    return false;
}

static void fail_liveness(struct sim *s)
{
    struct buf text;

    buf_init(&text, BUF_UNLIMITED);
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct machine *m = &s->machines[id];

        if (machine_is_up(m)) {
            const struct raft *r = &m->n.node->raw->raft;

            (void)buf_printf(&text,
                             "\n  node %d: %s of term %" PRIu64
                             ", leader %d, applied %" PRIu64
                             ", committed %" PRIu64 ", last %" PRIu64
                             ", members ",
                             (int)id, raft_role_name(r->role), r->term,
                             (int)r->lead, m->n.node->applied, r->log.committed,
                             raft_log_last_index(&r->log));
            tracker_config_string(&r->trk.config, &text);
        } else if (m->is_used) {
            (void)buf_printf(&text, "\n  node %d: %s", (int)id,
                             m->left      ? "left"
                             : m->is_gone ? "gone for good"
                                          : "down");
        }
    }
    checker_fail(s->checker, "I25", "no progress after the faults:%s",
                 buf_cstr(&text));
}

static void check_equal_maps(struct sim *s)
{
    struct buf maps[2];
    size_t n = 0;

    buf_init(&maps[0], BUF_UNLIMITED);
    buf_init(&maps[1], BUF_UNLIMITED);
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct buf *b = &maps[n > 0];

        if (!machine_is_up(&s->machines[id]) || !sim_is_member(s, id)) {
            continue;
        }
        buf_reset(b);
        ASSERT(kvstore_snapshot(raftnode_store(s->machines[id].n.node), b) ==
               0);
        if (n++ > 0 && (maps[0].len != b->len ||
                        memcmp(maps[0].data, b->data, b->len) != 0)) {
            checker_fail(s->checker, "I25",
                         "node %d has applied the same entries, and its map "
                         "is another",
                         (int)id);
        }
    }
    buf_release(&maps[0]);
    buf_release(&maps[1]);
}

static void judge(struct sim *s)
{
    struct linear_report verdict;

    linear_judge(s->history, LINEAR_STEPS_MAX, &verdict);
    if (verdict.verdict != LINEAR_OK) {
        checker_fail(
            s->checker, "I22", "%s: key %.*s, operation %zu of the history",
            verdict.verdict == LINEAR_VIOLATION
                ? "the history is not linearizable"
                : "the judge could not decide",
            (int)verdict.key.len, (const char *)verdict.key.data, verdict.op);
    }
}

void sim_run_all(struct sim *s, uint64_t steps)
{
    uint64_t end;

    faults_draw(s);
    clients_init(s);
    for (uint64_t id = 1; id <= s->swarm.n_founders; id++) {
        s->machines[id].is_member = s->machines[id].is_voter = true;
        machine_start(s, &s->machines[id]);
    }
    sim_schedule(s, EVENT_FAULT, 0, SIM_S);
    while (s->steps < steps) {
        sim_step(s);
    }
    faults_end(s);
    end = s->now + CALM_US;
    while (!all_is_well(s)) {
        if (s->now > end && is_id_used_again(s)) {
            s->is_id_used_again = true;
            break;
        }
        if (s->now > end) {
            fail_liveness(s);
        }
        sim_step(s);
        clients_begin_last_write(s);
    }
    if (!s->is_id_used_again) {
        check_equal_maps(s);
    }
    judge(s);
}
