/* What goes wrong, and what is mended again.
 *
 * A run has a few kinds of faults, drawn once (a swarm): many runs with few
 * kinds find what all kinds at once would hide. */

#include <errno.h>

#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/world.h"

/* --- the draw --- */

static bool coin(struct sim *s)
{
    return choose(&s->choices, SITE_SWARM, 2) == 1;
}

static uint32_t between(struct sim *s, uint32_t from, uint32_t to)
{
    return choose_between(&s->choices, SITE_SWARM, from, to);
}

void faults_draw(struct sim *s)
{
    static const uint32_t founders[] = {3, 3, 3, 5, 3, 4, 2, 1, 7, 6};
    static const uint32_t values[] = {0, 16, 16, 64, 200, 1000, 8000, 65536};
    struct swarm *w = &s->swarm;

    *w = (struct swarm){
        .n_founders = founders[between(s, 0, ARRAY_LEN(founders) - 1)],
        .loss_percent = coin(s) ? between(s, 0, 30) : 0,
        .duplicate_percent = coin(s) ? between(s, 0, 50) : 0,
        .delay_min_us = coin(s) ? between(s, 0, 30000) : 0,
        .delay_mean_us = coin(s) ? between(s, 1000, 100000) : 1000,
        .late_percent = coin(s) ? between(s, 0, 5) : 0,
        .disk_us = coin(s) ? between(s, 0, 20000) : 1000,
        .fault_mean_us = between(s, 200, 4000) * 1000,
        .crashes = coin(s),
        .torn_percent = coin(s) ? between(s, 80, 100) : 0,
        .cuts = coin(s),
        .one_way_cuts = coin(s),
        .clogs = coin(s),
        .pauses = coin(s),
        .failing_syncs = coin(s),
        .full_disks = coin(s),
        .damage = coin(s),
        .member_changes = coin(s),
        .learners = coin(s),
        .transfers = coin(s),
        .reports = coin(s),
        .clock_rates = coin(s),
        .snapshot_count = between(s, 5, 50),
        .catchup_entries = between(s, 0, 20),
        .segment_bytes = between(s, 4, 64) * 1024,
        .message_bytes = coin(s) ? between(s, 1, 2000) : 0,
        .inflight_max = coin(s) ? between(s, 1, 4) : 0,
        .uncommitted_bytes = coin(s) ? between(s, 1, 4000) : 0,
        .n_clients = between(s, 2, SIM_CLIENTS_MAX),
        .async_percent = coin(s) ? between(s, 50, 95) : 15,
        .bursts = coin(s),
        .local_percent = coin(s) ? between(s, 5, 50) : 0,
        .n_keys = between(s, 3, 10),
        .value_bytes_max = values[between(s, 0, 7)],
        .empty_values = coin(s),
        .think_us =
            (coin(s) ? between(s, 1, 200) : between(s, 200, 4000)) * 1000,
    };
    w->file_us = coin(s) ? between(s, 0, 500000) : w->disk_us;
    w->founding_learners =
        w->learners ? between(s, 0, w->n_founders > 2 ? 2 : 0) : 0;
    for (uint64_t id = 1; id <= SIM_NODES_MAX && w->clock_rates; id++) {
        s->machines[id].tick_us = SIM_TICK * between(s, 50, 200) / 100;
    }
}

/* --- strokes --- */

static struct machine *any_up(struct sim *s)
{
    uint32_t at = choose(&s->choices, SITE_VICTIM, SIM_NODES_MAX);

    for (uint32_t i = 0; i < SIM_NODES_MAX; i++) {
        struct machine *m = &s->machines[1 + (at + i) % SIM_NODES_MAX];

        if (machine_is_up(m)) {
            return m;
        }
    }
    return NULL;
}

struct machine *sim_leader(struct sim *s)
{
    struct machine *found = NULL;
    uint64_t term = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct machine *m = &s->machines[id];

        if (machine_is_up(m) && m->n.node->term > term &&
            raftnode_is_leader(m->n.node)) {
            found = m;
            term = m->n.node->term;
        }
    }
    return found;
}

void fault_note(struct sim *s, const struct machine *m, const char *what,
                uint64_t x)
{
    s->n_faults++;
    sim_trace(s, TRACE_FAULT, m == NULL ? 0 : (uint32_t)m->n.id, 0, what, x, 0);
}

/* The power fails in the middle of what the disk does for it in one lane, if it
 * does something there. */
static void fail_within(struct sim *s, struct machine *m, bool is_file)
{
    struct sim_fault power = {
        .ops = SIM_CALLS_ALL,
        .after = choose(&s->choices, SITE_CRASH, 12),
        .rc = -EIO,
        .forever = true,
        .half = true,
    };

    sim_vfs_fail(m->n.disk, power);
    if (is_file) {
        (void)sim_node_file(&m->n);
    } else {
        (void)sim_node_write(&m->n);
        if (!sim_vfs_has_failed(m->n.disk)) {
            checker_written(s->checker, &m->n, m->n.written.rc);
        }
    }
    sim_vfs_heal(m->n.disk);
}

static void crash(struct sim *s, struct machine *m)
{
    enum crash_rule rule = choose(&s->choices, SITE_CRASH, CRASH_TORN);

    if (choose_percent(&s->choices, SITE_CRASH, s->swarm.torn_percent)) {
        rule = CRASH_TORN + choose(&s->choices, SITE_CRASH, 2);
    }
    if (m->n.held.done != NULL && choose(&s->choices, SITE_CRASH, 2) == 1) {
        fail_within(s, m, false);
    } else if (m->n.held_file.done != NULL &&
               choose(&s->choices, SITE_CRASH, 2) == 1) {
        fail_within(s, m, true);
    }
    machine_crash(s, m, rule);
    sim_schedule(s, EVENT_RESTART, (uint32_t)m->n.id,
                 choose_between(&s->choices, SITE_HEAL, 1, 8000) * SIM_MS);
}

static void crash_all(struct sim *s)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (machine_is_up(&s->machines[id])) {
            crash(s, &s->machines[id]);
        }
    }
}

static void damage(struct sim *s, struct machine *m)
{
    crash(s, m);
    damage_strike(s, m);
}

static void stop(struct sim *s, struct machine *m)
{
    machine_stop(s, m);
    sim_schedule(s, EVENT_RESTART, (uint32_t)m->n.id,
                 choose_between(&s->choices, SITE_HEAL, 1, 3000) * SIM_MS);
}

static void cut_off(struct sim *s, const struct machine *m, bool out, bool in)
{
    for (uint64_t other = 1; other <= SIM_NODES_MAX; other++) {
        s->cut[m->n.id][other] = s->cut[m->n.id][other] || out;
        s->cut[other][m->n.id] = s->cut[other][m->n.id] || in;
    }
}

static void split(struct sim *s)
{
    uint32_t sides = choose(&s->choices, SITE_VICTIM, 1 << SIM_NODES_MAX);

    for (uint64_t a = 1; a <= SIM_NODES_MAX; a++) {
        for (uint64_t b = 1; b <= SIM_NODES_MAX; b++) {
            s->cut[a][b] = ((sides >> (a - 1)) & 1) != ((sides >> (b - 1)) & 1);
        }
    }
}

/* Everyone sees its two neighbours only: there is a majority that no single
 * node sees [Jepsen's majority ring]. */
static void ring(struct sim *s)
{
    uint64_t n = s->swarm.n_founders;

    for (uint64_t a = 1; a <= SIM_NODES_MAX; a++) {
        for (uint64_t b = 1; b <= SIM_NODES_MAX; b++) {
            uint64_t apart = a > b ? a - b : b - a;

            s->cut[a][b] = apart > 1 && apart != n - 1;
        }
    }
}

static void cut(struct sim *s, struct machine *m)
{
    switch (choose(&s->choices, SITE_FAULT, s->swarm.one_way_cuts ? 5 : 3)) {
    case 0:
        fault_note(s, m, "cut off", 0);
        cut_off(s, m, true, true);
        break;
    case 1:
        fault_note(s, NULL, "split", 0);
        split(s);
        break;
    case 2:
        fault_note(s, NULL, "ring", 0);
        ring(s);
        break;
    case 3:
        fault_note(s, m, "cannot send", 0);
        cut_off(s, m, true, false);
        break;
    default:
        fault_note(s, m, "cannot receive", 0);
        cut_off(s, m, false, true);
        break;
    }
    sim_schedule(s, EVENT_HEAL_CUTS, 0,
                 choose_between(&s->choices, SITE_HEAL, 100, 10000) * SIM_MS);
}

/* An old leader comes back, with entries that nobody else has, at the moment
 * at which the new one goes. Clients who do not know go on to ask it. */
static void swap(struct sim *s, struct machine *m)
{
    struct machine *l = sim_leader(s);

    m = l == NULL ? m : l;
    fault_note(s, m, "cut off, all others heal", 0);
    memset(s->cut, 0, sizeof(s->cut));
    cut_off(s, m, true, true);
    s->favourite = (uint32_t)m->n.id;
    sim_schedule(
        s, EVENT_HEAL_CUTS, 0,
        choose_between(&s->choices, SITE_HEAL, 1000,
                       choose(&s->choices, SITE_HEAL, 2) == 0 ? 4000 : 20000) *
            SIM_MS);
}

/* Nothing gets through, and then all of it at once: one way between two, or all
 * that one sends. */
static void clog_link(struct sim *s, struct machine *m)
{
    uint64_t length = choose_between(&s->choices, SITE_HEAL, 10, 5000) * SIM_MS;
    uint64_t only = choose(&s->choices, SITE_VICTIM, SIM_NODES_MAX + 1);

    fault_note(s, m, "link clogged", only);
    for (uint64_t to = 1; to <= SIM_NODES_MAX; to++) {
        uint64_t *until = &s->clogged_until[m->n.id][to];

        if (only == 0 || only == to) {
            *until = max_u64(*until, s->now + length);
        }
    }
}

static void pause(struct sim *s, struct machine *m)
{
    uint64_t length = choose_between(&s->choices, SITE_HEAL, 10, 5000) * SIM_MS;

    fault_note(s, m, "paused", length);
    m->paused_until = max_u64(m->paused_until, s->now + length);
}

static void heal_later(struct sim *s, const struct machine *m)
{
    sim_schedule(s, EVENT_HEAL_DISK, (uint32_t)m->n.id,
                 choose_between(&s->choices, SITE_HEAL, 100, 5000) * SIM_MS);
}

static void fail_disk(struct sim *s, struct machine *m)
{
    struct sim_fault fault = {
        .ops = choose(&s->choices, SITE_FAULT, 2) == 0 ? SIM_CALL_SYNC
                                                       : SIM_CALLS_CHANGE,
        .after = choose(&s->choices, SITE_FAULT, 8),
        .rc = -EIO,
        .forever = choose(&s->choices, SITE_FAULT, 2) == 1,
        .half = true,
    };

    fault_note(s, m, "disk fails after", fault.after);
    m->disk_faulty = true;
    sim_vfs_fail(m->n.disk, fault);
    heal_later(s, m);
}

static void fill_disk(struct sim *s, struct machine *m)
{
    fault_note(s, m, "disk is full", 0);
    m->disk_faulty = true;
    sim_vfs_set_capacity(m->n.disk, choose(&s->choices, SITE_FAULT, 64) * 1024);
    heal_later(s, m);
}

void fault_at_leaving(struct sim *s)
{
    if (!s->is_calm && s->swarm.crashes &&
        choose(&s->choices, SITE_FAULT, 2) == 1) {
        crash_all(s);
    }
}

struct stroke {
    bool is_drawn;
    void (*strike)(struct sim *s, struct machine *m);
};

static void transfer(struct sim *s, struct machine *m)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        m = &s->machines[id];
        if (machine_is_up(m) && raftnode_is_leader(m->n.node)) {
            fault_note(s, m, "hands leadership over", 0);
            raftnode_transfer_leadership(m->n.node);
            machine_wake(s, m);
        }
    }
}

static void crash_one_or_all(struct sim *s, struct machine *m)
{
    if (choose(&s->choices, SITE_FAULT, 12) == 11) {
        crash_all(s);
    } else {
        crash(s, m);
    }
}

void fault_strike(struct sim *s)
{
    const struct swarm *w = &s->swarm;
    const struct stroke all[] = {
        {w->crashes, crash_one_or_all},
        {w->crashes, stop},
        {w->cuts, cut},
        {w->cuts, swap},
        {w->clogs, clog_link},
        {w->pauses, pause},
        {w->failing_syncs, fail_disk},
        {w->full_disks, fill_disk},
        {w->damage, damage},
        {w->member_changes, members_change},
        {w->learners, members_change_learner},
        {w->transfers, transfer},
    };
    struct stroke drawn[ARRAY_LEN(all)];
    uint32_t n = 0;
    struct machine *m;

    if (s->is_calm) {
        return;
    }
    sim_schedule(s, EVENT_FAULT, 0,
                 1 + choose(&s->choices, SITE_FAULT, 2 * w->fault_mean_us));
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].is_drawn) {
            drawn[n++] = all[i];
        }
    }
    members_found_learners(s);
    m = choose(&s->choices, SITE_VICTIM, 3) == 2 ? sim_leader(s) : any_up(s);
    if (n > 0 && m != NULL) {
        drawn[choose(&s->choices, SITE_FAULT, n)].strike(s, m);
    }
}

/* --- healing --- */

void faults_heal_cuts(struct sim *s)
{
    sim_trace(s, TRACE_HEAL, 0, 0, "cuts", 0, 0);
    s->favourite = 0;
    memset(s->cut, 0, sizeof(s->cut));
}

void faults_heal_disk(struct sim *s, struct machine *m)
{
    sim_trace(s, TRACE_HEAL, (uint32_t)m->n.id, 0, "disk", 0, 0);
    sim_vfs_heal(m->n.disk);
    sim_vfs_set_capacity(m->n.disk, UINT64_MAX);
    /* The node may not have met the fault yet, nor its log's next write. */
}

void faults_end(struct sim *s)
{
    size_t n = 0;
    size_t n_lost = 0;
    size_t spare;
    uint32_t at = choose(&s->choices, SITE_VICTIM, SIM_NODES_MAX);

    s->is_calm = true;
    faults_heal_cuts(s);
    memset(s->clogged_until, 0, sizeof(s->clogged_until));
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct machine *m = &s->machines[id];

        faults_heal_disk(s, m);
        m->paused_until = 0;
        m->tick_us = SIM_TICK;
        if (m->is_used && !m->left) {
            machine_start(s, m);
        }
    }
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (sim_is_voter(s, id)) {
            n++;
            n_lost += !machine_is_up(&s->machines[id]);
        }
    }
    spare = members_spare(s);
    for (uint32_t i = 0; i < SIM_NODES_MAX; i++) {
        struct machine *m = &s->machines[1 + (at + i) % SIM_NODES_MAX];

        if (machine_is_up(m) && sim_is_voter(s, m->n.id) && n_lost < spare &&
            choose(&s->choices, SITE_VICTIM, 2) == 1) {
            m->is_gone = true;
            n_lost++;
            machine_crash(s, m, CRASH_KILL);
        }
    }
    sim_trace(s, TRACE_PHASE, 0, 0, "calm, members that go on", n - n_lost, 0);
}
