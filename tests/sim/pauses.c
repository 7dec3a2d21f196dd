/* One read, every pause. pauses.h says how. */

#include "tests/sim/pauses.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/arena.h"
#include "tests/sim/world.h"

#define NODES     3
#define TURNS_MAX 200 /* of a node; a read takes far fewer */
#define GIVE_UP   (30 * SIM_S)

/* How the leader goes. */
enum change {
    CHANGE_NONE, /* unless it is the one that sleeps */
    CHANGE_TRANSFER,
    CHANGE_CUT,
    CHANGE_CRASH,
    CHANGES,
};

enum client_number {
    CLIENT_WRITE_BEFORE,
    CLIENT_WRITE,
    CLIENT_READ,
    CLIENT_READ_ASLEEP, /* at the node that sleeps */
    CLIENT_READ_AGAIN,  /* where CLIENT_READ is */
};

struct scene {
    uint32_t reader;
    uint32_t sleeper;
    uint32_t turn; /* of the sleeper's, from 0 */
    enum change change;
    uint64_t length; /* of the pause */
};

struct play {
    struct sim sim;
    struct scene scene;
    uint64_t term; /* before the change */
    uint32_t turns;
    uint64_t wakes_at; /* 0: does not sleep yet */
};

static struct sim *sim_of(struct play *p)
{
    return &p->sim;
}

static void on_violation(void *ctx, const char *invariant, const char *text)
{
    struct play *p = ctx;
    const struct scene *sc = &p->scene;

    printf("\n");
    trace_print(&p->sim.trace, stdout);
    printf("\nVIOLATION of %s: %s\nread at node %u, pause of %" PRIu64
           " ms of node %u at its turn %u, change %d\n",
           invariant, text, sc->reader, sc->length / SIM_MS, sc->sleeper,
           sc->turn, (int)sc->change);
    (void)fflush(stdout);
    _exit(1);
}

/* Who leads a later term than `term`, or NULL. */
static struct machine *leader_after(struct sim *s, uint64_t term)
{
    for (uint64_t id = 1; id <= NODES; id++) {
        struct machine *m = &s->machines[id];

        if (machine_is_up(m) && m->n.node->term > term &&
            raftnode_is_leader(m->n.node)) {
            return m;
        }
    }
    return NULL;
}

/* Or its node has crashed. */
static bool is_answered(const struct sim *s, enum client_number c)
{
    struct client_state cs = client_state(s, c);

    return cs.node != 0 && cs.req == NULL;
}

static bool was_asked(const struct sim *s, enum client_number c)
{
    return client_state(s, c).node != 0;
}

static bool is_over_for(const struct sim *s, enum client_number c)
{
    return !was_asked(s, c) || is_answered(s, c);
}

/* Once. A node that is down is not asked. */
static void ask(struct sim *s, enum client_number c, uint32_t node)
{
    struct machine *m = &s->machines[node];

    if (machine_is_up(m) && !was_asked(s, c)) {
        client_ask(s, c, m, c <= CLIENT_WRITE);
    }
}

/* Three nodes, a leader whom all know, one write. */
static void begin(struct play *p)
{
    struct sim *s = sim_of(p);

    choices_seed(&s->choices, 1);
    sim_init(s, on_violation, p, NULL);
    s->swarm = (struct swarm){
        .n_founders = NODES,
        .delay_min_us = 1000,
        .disk_us = 1000,
        .snapshot_count = UINT32_MAX,
        .segment_bytes = 65536,
        .n_keys = 1,
    };
    clients_init(s);
    for (uint64_t id = 1; id <= NODES; id++) {
        machine_start(s, &s->machines[id]);
    }
    while (leader_after(s, 0) == NULL) {
        sim_step(s);
    }
    p->term = leader_after(s, 0)->n.node->term;
    ask(s, CLIENT_WRITE_BEFORE, (uint32_t)leader_after(s, 0)->n.id);
    while (!is_answered(s, CLIENT_WRITE_BEFORE)) {
        sim_step(s);
    }
    for (uint64_t end = s->now + SIM_S; s->now < end;) {
        sim_step(s); /* everybody has it */
    }
}

static void change_leader(struct play *p)
{
    struct sim *s = sim_of(p);
    struct machine *leader = leader_after(s, p->term - 1);

    ASSERT(leader != NULL);
    switch (p->scene.change) {
    case CHANGE_NONE:
    case CHANGES:
        break;
    case CHANGE_TRANSFER:
        raftnode_transfer_leadership(leader->n.node);
        machine_wake(s, leader);
        break;
    case CHANGE_CUT:
        for (uint64_t id = 1; id <= NODES; id++) {
            s->cut[leader->n.id][id] = s->cut[id][leader->n.id] = true;
        }
        sim_schedule(s, EVENT_HEAL_CUTS, 0, p->scene.length + SIM_S);
        break;
    case CHANGE_CRASH:
        machine_crash(s, leader, CRASH_DROP);
        sim_schedule(s, EVENT_RESTART, (uint32_t)leader->n.id,
                     p->scene.length + SIM_S);
        break;
    }
}

/* The next event, unless it is the turn before which the node is stopped. */
static void step(struct play *p)
{
    struct sim *s = sim_of(p);
    const struct event *e = &s->heap[0];

    if (e->kind == EVENT_TURN && e->who == p->scene.sleeper &&
        p->wakes_at == 0 && !sim_event_is_void(s, e) &&
        p->turns++ == p->scene.turn) {
        p->wakes_at = s->now + p->scene.length;
        s->machines[p->scene.sleeper].paused_until = p->wakes_at;
        change_leader(p);
        return;
    }
    sim_step(s);
}

static void drive_clients(struct play *p)
{
    struct sim *s = sim_of(p);
    struct machine *leader;

    if (p->wakes_at == 0) {
        return;
    }
    leader = leader_after(s, p->term);
    if (leader != NULL && leader->paused_until <= s->now) {
        ask(s, CLIENT_WRITE, (uint32_t)leader->n.id);
    }
    if (is_answered(s, CLIENT_WRITE)) {
        ask(s, CLIENT_READ_ASLEEP, p->scene.sleeper);
        ask(s, CLIENT_READ_AGAIN, p->scene.reader);
    }
}

static bool is_over(const struct play *p)
{
    const struct sim *s = &p->sim;

    return p->wakes_at != 0 && s->now > p->wakes_at + 2 * SIM_S &&
           is_over_for(s, CLIENT_READ) && is_over_for(s, CLIENT_READ_ASLEEP) &&
           is_over_for(s, CLIENT_READ_AGAIN);
}

/* Whether there was such a turn while the read was under way. */
static bool perform(struct play *p, bool *changed)
{
    struct sim *s = sim_of(p);
    uint64_t end = s->now + GIVE_UP;
    struct linear_report verdict;

    ask(s, CLIENT_READ, p->scene.reader);
    while (s->now < end && !is_over(p)) {
        if (p->wakes_at == 0 && is_answered(s, CLIENT_READ)) {
            return false;
        }
        step(p);
        drive_clients(p);
    }
    *changed = leader_after(s, p->term) != NULL;
    linear_judge(s->history, LINEAR_STEPS_MAX, &verdict);
    if (verdict.verdict != LINEAR_OK) {
        checker_fail(s->checker, "I22", "the history is not linearizable");
    }
    return true;
}

int pauses_run(void)
{
    static const uint64_t lengths[] = {300 * SIM_MS, 5 * SIM_S};
    struct arena_copy first = {0};
    struct play *p;
    size_t n_scenes = 0;
    size_t n_changed = 0;

    arena_begin();
    p = xcalloc(1, sizeof(*p));
    begin(p);
    arena_save(&first);
    for (uint32_t i = 0; i < NODES * NODES * CHANGES * ARRAY_LEN(lengths);
         i++) {
        bool goes_on = true;

        for (uint32_t turn = 0; goes_on && turn < TURNS_MAX; turn++) {
            bool changed = false;

            arena_restore(&first);
            p->scene = (struct scene){
                .reader = 1 + i % NODES,
                .sleeper = 1 + i / NODES % NODES,
                .turn = turn,
                .change = i / NODES / NODES % CHANGES,
                .length = lengths[i / NODES / NODES / CHANGES],
            };
            goes_on = perform(p, &changed);
            n_scenes += goes_on;
            n_changed += goes_on && changed;
        }
    }
    arena_end();
    arena_copy_release(&first);
    printf("pauses at each turn of a read: %zu scenes, %zu of them with "
           "another leader\n",
           n_scenes, n_changed);
    return 0;
}
