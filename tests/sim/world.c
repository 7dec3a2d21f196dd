/* Machines, network, time. world.h says what a simulation is made of. */

#include "tests/sim/world.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"

/* --- events: a heap by time --- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->seq < b->seq;
}

static void push_event(struct sim *s, struct event e)
{
    size_t i = s->n_events++;

    if (s->n_events > s->events_cap) {
        s->events_cap = s->events_cap == 0 ? 256 : 2 * s->events_cap;
        s->heap = xrealloc_array(s->heap, s->events_cap, sizeof(*s->heap));
    }
    e.seq = s->next_seq++;
    while (i > 0 && is_before(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct event pop_event(struct sim *s)
{
    struct event first = s->heap[0];
    struct event last;
    size_t i = 0;

    ASSERT(s->n_events > 0);
    last = s->heap[--s->n_events];
    for (size_t child; (child = 2 * i + 1) < s->n_events; i = child) {
        if (child + 1 < s->n_events &&
            is_before(&s->heap[child + 1], &s->heap[child])) {
            child++;
        }
        if (!is_before(&s->heap[child], &last)) {
            break;
        }
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return first;
}

static uint64_t life_of(const struct sim *s, enum event_kind kind, uint32_t who)
{
    bool is_of_a_node = kind == EVENT_TICK || kind == EVENT_TURN ||
                        kind == EVENT_WRITE || kind == EVENT_FILE ||
                        kind == EVENT_RESTART;

    return is_of_a_node ? s->machines[who].life : 0;
}

void sim_schedule(struct sim *s, enum event_kind kind, uint32_t who,
                  uint64_t delay_us)
{
    push_event(s, (struct event){.time = s->now + delay_us,
                                 .kind = kind,
                                 .who = who,
                                 .life = life_of(s, kind, who)});
}

void sim_trace(struct sim *s, enum trace_kind kind, uint32_t a, uint32_t b,
               const char *what, uint64_t x, uint64_t y)
{
    trace_add(&s->trace, &(struct trace_line){s->now, kind, a, b, what, x, y});
}

/* --- network --- */

static uint64_t draw_delay(struct sim *s)
{
    const struct swarm *w = &s->swarm;
    uint32_t r;

    if (w->delay_mean_us == 0) {
        return w->delay_min_us;
    }
    if (!s->is_calm &&
        choose_percent(&s->choices, SITE_DELAY, w->late_percent)) {
        return choose_between(&s->choices, SITE_DELAY, 100, 5000) * SIM_MS;
    }
    /* Nearly exponential: half of them up to 0.7 means, a few of 5. */
    r = choose(&s->choices, SITE_DELAY, 1024);
    return w->delay_min_us + (uint64_t)w->delay_mean_us * r / 1024 +
           (r > 960 ? (uint64_t)w->delay_mean_us * (r - 960) / 16 : 0);
}

static void put_on_wire(struct sim *s, uint64_t from,
                        const struct raft_message *m)
{
    size_t len = raft_message_size(m);
    struct packet *p = xmalloc(sizeof(*p) + len);

    *p =
        (struct packet){.from = from, .to = m->to, .type = m->type, .len = len};
    ASSERT(raft_message_encode(m, p->data) == p->data + len);
    push_event(s, (struct event){.time = max_u64(s->now + draw_delay(s),
                                                 s->clogged_until[from][m->to]),
                                 .kind = EVENT_DELIVER,
                                 .who = (uint32_t)m->to,
                                 .packet = p});
}

static void on_send(void *ctx, struct sim_node *from,
                    const struct raft_message *m)
{
    struct sim *s = ctx;

    checker_send(s->checker, from, m);
    sim_trace(s, TRACE_SEND, (uint32_t)from->id, (uint32_t)m->to,
              raft_message_type_name(m->type), m->term, m->index);
    put_on_wire(s, from->id, m);
    /* A forwarded proposal is never sent again by a transport: twice in the
     * log, it would happen twice. Everything else may come twice. */
    if (!s->is_calm && m->type != RAFT_MSG_PROP &&
        choose_percent(&s->choices, SITE_LOSS, s->swarm.duplicate_percent)) {
        put_on_wire(s, from->id, m);
    }
}

/* The transport tells its node what became of a message, or it does not. One
 * that sleeps finds it when it wakes: it is only stepped here. */
static void report(struct sim *s, const struct packet *p,
                   const struct raft_message *m, bool ok)
{
    struct machine *from = &s->machines[p->from];

    if (!machine_is_up(from)) {
        return;
    }
    if (m->type == RAFT_MSG_SNAP) {
        raftnode_report_snapshot(from->n.node, p->to, ok);
        machine_wake(s, from);
    } else if (!ok && (s->is_calm || s->swarm.reports)) {
        raftnode_report_unreachable(from->n.node, p->to);
        machine_wake(s, from);
    }
}

static bool is_lost(struct sim *s, const struct packet *p)
{
    const struct raftnode *to = s->machines[p->to].n.node;

    return to == NULL || s->cut[p->from][p->to] ||
           raftnode_was_removed(to, p->from) ||
           (!s->is_calm &&
            choose_percent(&s->choices, SITE_LOSS, s->swarm.loss_percent));
}

static void deliver(struct sim *s, struct packet *p)
{
    struct machine *to = &s->machines[p->to];
    struct raft_message m = {0};
    bool lost = is_lost(s, p);
    int rc;

    rc = raft_message_decode((struct bytes){p->data, p->len}, &m);
    ASSERT(rc == 0);
    sim_trace(s, lost ? TRACE_DROP : TRACE_DELIVER, (uint32_t)p->from,
              (uint32_t)p->to, raft_message_type_name(m.type), m.term, m.index);
    if (!lost) {
        sim_node_hear(&to->n, p->from);
        (void)raftnode_step(to->n.node, &m);
        s->n_snapshots += m.type == RAFT_MSG_SNAP;
        checker_heard(s->checker, &to->n, &m);
        checker_look(s->checker, &to->n);
        machine_wake(s, to);
    }
    report(s, p, &m, !lost);
    raft_message_release(&m);
    xfree(p);
}

/* --- disk --- */

static uint64_t draw_disk_time(struct sim *s, uint32_t most)
{
    return most == 0 ? 0 : choose(&s->choices, SITE_DISK, most);
}

static void on_submit(void *ctx, struct sim_node *n,
                      const struct raftnode_write *w)
{
    struct sim *s = ctx;

    checker_submit(s->checker, n, w);
    sim_schedule(s, EVENT_WRITE, (uint32_t)n->id,
                 draw_disk_time(s, s->swarm.disk_us));
}

static void on_file(void *ctx, struct sim_node *n)
{
    struct sim *s = ctx;

    sim_schedule(s, EVENT_FILE, (uint32_t)n->id,
                 draw_disk_time(s, s->swarm.file_us));
}

static void end_file(struct sim *s, struct machine *m)
{
    struct raft_snapshot *own = sim_node_file_content(&m->n);

    if (!sim_node_file(&m->n)) {
        return;
    }
    sim_trace(s, TRACE_WRITE, (uint32_t)m->n.id, 0,
              own != NULL ? "snapshot" : "deletion",
              (uint64_t)(uint32_t)m->n.filed.rc, 0);
    if (own != NULL) {
        checker_filed(s->checker, &m->n, own, m->n.filed.rc);
    }
    raft_snapshot_unref(own);
    sim_node_tell_filed(&m->n);
    machine_wake(s, m);
}

static void end_write(struct sim *s, struct machine *m)
{
    if (!sim_node_write(&m->n)) {
        return;
    }
    sim_trace(s, TRACE_WRITE, (uint32_t)m->n.id, 0, NULL,
              (uint64_t)(uint32_t)m->n.written.rc, 0);
    checker_written(s->checker, &m->n, m->n.written.rc);
    sim_node_tell(&m->n);
    machine_wake(s, m);
}

/* --- machines --- */

void machine_wake(struct sim *s, struct machine *m)
{
    if (!m->has_turn) {
        m->has_turn = true;
        sim_schedule(s, EVENT_TURN, (uint32_t)m->n.id,
                     choose(&s->choices, SITE_TURN, 500));
    }
}

static void retry_start(struct sim *s, struct machine *m)
{
    sim_schedule(s, EVENT_RESTART, (uint32_t)m->n.id, SIM_S);
}

static void close_machine(struct sim *s, struct machine *m)
{
    clients_forget(s, m);
    sim_node_close(&m->n);
    checker_closed(s->checker, &m->n);
    m->life++;
}

/* Queues so small that they are full all the time. */
static void shrink_queues(const struct swarm *w, struct machine *m)
{
    struct raft *r = &m->n.node->raw->raft;

    if (w->message_bytes > 0) {
        r->max_msg_size = w->message_bytes;
        r->log.max_applying_ents_size = w->message_bytes;
    }
    if (w->uncommitted_bytes > 0) {
        r->max_uncommitted_size = w->uncommitted_bytes;
    }
    if (w->inflight_max > 0) {
        r->trk.limits.msgs = w->inflight_max;
    }
}

void machine_start(struct sim *s, struct machine *m)
{
    struct sim_node_options o = {
        .join = m->joins,
        .n_cluster = m->joins ? SIM_NODES_MAX : s->swarm.n_founders,
        .election_ticks = SIM_ELECTION_TICKS,
        .snapshot_count = s->swarm.snapshot_count,
        .catchup_entries = s->swarm.catchup_entries,
        .request_timeout_ticks = 50,
        .seed = choose_seed(&s->choices),
        .id_base = ++s->starts << 24,
    };
    struct raftnode_recovered found;
    struct errmsg em = {{0}};
    uint32_t wal_before;
    int rc;

    if (machine_is_up(m) || m->is_gone) {
        return;
    }
    m->life++;
    m->is_used = true;
    m->has_turn = false;
    m->paused_until = 0;
    wal_before = m->is_damaged ? sim_vfs_hash(m->n.disk, "wal") : 0;
    rc = sim_node_open(&m->n, s->swarm.segment_bytes, &found, &em);
    sim_trace(s, TRACE_START, (uint32_t)m->n.id, 0, NULL,
              (uint64_t)(uint32_t)rc, 0);
    /* Not an error of the system: those come of a disk that fails or is full.
     */
    if (rc < -4095 && m->is_damaged) {
        damage_refused(s, m, wal_before);
        return;
    }
    if (rc < 0) {
        if (!m->disk_faulty || rc == ERR_DAMAGED) {
            checker_fail(s->checker, "I15", "node %d does not start: %s",
                         (int)m->n.id, em.text);
        }
        retry_start(s, m);
        return;
    }
    checker_recovered(s->checker, &m->n, &found);
    rc = sim_node_run(&m->n, &o, &found, &em);
    if (rc < 0) {
        checker_fail(s->checker, "I15", "node %d does not run: %s",
                     (int)m->n.id, em.text);
    }
    shrink_queues(&s->swarm, m);
    checker_look(s->checker, &m->n);
    sim_schedule(s, EVENT_TICK, (uint32_t)m->n.id, m->tick_us);
    machine_wake(s, m);
}

void machine_crash(struct sim *s, struct machine *m, enum crash_rule rule)
{
    static const char *const names[] = {"killed", "unsynced bytes lost",
                                        "unsynced bytes kept", "torn",
                                        "any sectors"};

    ASSERT(machine_is_up(m));
    sim_trace(s, TRACE_CRASH, (uint32_t)m->n.id, 0, names[rule], (uint64_t)rule,
              0);
    s->n_crashes++;
    clients_forget(s, m);
    if (rule == CRASH_KILL) {
        sim_vfs_kill(m->n.disk);
        sim_node_close(&m->n);
    } else {
        enum sim_crash_mode mode = SIM_CRASH_DROP + (rule - CRASH_DROP);

        sim_vfs_power_off(m->n.disk);
        sim_node_close(&m->n);
        rng_seed(&s->crash_rng, choose(&s->choices, SITE_CRASH, 1 << 20));
        sim_vfs_crash(m->n.disk, mode, &s->crash_rng);
    }
    checker_closed(s->checker, &m->n);
    m->life++;
}

void machine_stop(struct sim *s, struct machine *m)
{
    sim_trace(s, TRACE_STOP, (uint32_t)m->n.id, 0, "by its will", 0, 0);
    raftnode_stop(m->n.node);
    close_machine(s, m);
}

/* The daemon ends when its node says so: with status 0 once it was removed,
 * with 1 if its disk failed, and then somebody starts it again. */
static void end_if_over(struct sim *s, struct machine *m)
{
    const char *why = NULL;

    switch (raftnode_condition(m->n.node, &why)) {
    case RAFTNODE_RUNNING:
        return;
    case RAFTNODE_REMOVED:
        m->left = true;
        machine_stop(s, m);
        fault_at_leaving(s);
        return;
    case RAFTNODE_FAILED:
        if (!m->disk_faulty) {
            checker_fail(s->checker, "I15", "node %d stops: %s", (int)m->n.id,
                         why);
        }
        machine_stop(s, m);
        sim_schedule(s, EVENT_RESTART, (uint32_t)m->n.id,
                     choose_between(&s->choices, SITE_HEAL, 100, 3000) *
                         SIM_MS);
        return;
    }
}

static void turn(struct sim *s, struct machine *m)
{
    m->has_turn = false;
    raftnode_process(m->n.node);
    checker_look(s->checker, &m->n);
    members_look(s, m);
    if (!m->is_damaged) {
        checker_compacted(s->checker, &m->n);
    }
    end_if_over(s, m);
}

/* Streams are dialed all the time: who was removed is told so. */
static void dial_all(struct sim *s, struct machine *m)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (!s->cut[m->n.id][id] && !s->cut[id][m->n.id]) {
            sim_node_dial(&m->n, &s->machines[id].n);
        }
    }
}

static void tick(struct sim *s, struct machine *m)
{
    dial_all(s, m);
    raftnode_tick(m->n.node);
    checker_look(s->checker, &m->n);
    sim_schedule(s, EVENT_TICK, (uint32_t)m->n.id, m->tick_us);
    machine_wake(s, m);
}

/* --- time --- */

/* Void, or to be done when the machine goes on. */
static bool is_put_off(struct sim *s, struct event *e)
{
    struct machine *m;

    if (e->kind != EVENT_TICK && e->kind != EVENT_TURN &&
        e->kind != EVENT_WRITE && e->kind != EVENT_FILE &&
        e->kind != EVENT_DELIVER) {
        return false;
    }
    m = &s->machines[e->who];
    if (s->now >= m->paused_until || !machine_is_up(m)) {
        return false;
    }
    e->time = m->paused_until;
    push_event(s, *e);
    return true;
}

static void do_event(struct sim *s, struct event *e)
{
    switch (e->kind) {
    case EVENT_TICK:
        sim_trace(s, TRACE_TICK, e->who, 0, NULL, 0, 0);
        tick(s, &s->machines[e->who]);
        break;
    case EVENT_TURN:
        sim_trace(s, TRACE_TURN, e->who, 0, NULL, 0, 0);
        turn(s, &s->machines[e->who]);
        break;
    case EVENT_WRITE:
        end_write(s, &s->machines[e->who]);
        break;
    case EVENT_FILE:
        end_file(s, &s->machines[e->who]);
        break;
    case EVENT_DELIVER:
        deliver(s, e->packet);
        break;
    case EVENT_CLIENT:
        client_act(s, e->who);
        break;
    case EVENT_FAULT:
        fault_strike(s);
        break;
    case EVENT_RESTART:
        machine_start(s, &s->machines[e->who]);
        break;
    case EVENT_HEAL_CUTS:
        faults_heal_cuts(s);
        break;
    case EVENT_HEAL_DISK:
        faults_heal_disk(s, &s->machines[e->who]);
        break;
    case EVENT_REPLACE:
        damage_replace(s, &s->machines[e->who]);
        break;
    }
}

void sim_step(struct sim *s)
{
    struct event e = pop_event(s);

    ASSERT(e.time >= s->now);
    s->now = e.time;
    s->steps++;
    if (is_put_off(s, &e)) {
        return;
    }
    if (!sim_event_is_void(s, &e)) {
        do_event(s, &e);
    }
}

bool sim_event_is_void(const struct sim *s, const struct event *e)
{
    return e->life != life_of(s, e->kind, e->who);
}

static struct event take_event(struct sim *s, size_t at)
{
    struct event e = s->heap[at];

    ASSERT(at < s->n_events);
    s->heap[at] = s->heap[--s->n_events];
    return e;
}

void sim_do(struct sim *s, size_t at)
{
    struct event e = take_event(s, at);

    s->steps++;
    do_event(s, &e);
}

void sim_forget(struct sim *s, size_t at)
{
    xfree(take_event(s, at).packet);
}

/* --- life --- */

void sim_init(struct sim *s, checker_violation_cb *on_violation, void *ctx,
              FILE *trace)
{
    struct sim_node_hooks hooks = {
        .ctx = s, .send = on_send, .submit = on_submit, .file = on_file};

    s->checker = checker_new(on_violation, ctx);
    s->history = linear_new();
    trace_init(&s->trace, trace);
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        sim_node_init(&s->machines[id].n, id, &hooks);
        s->machines[id].n.held_writes = true;
        s->machines[id].tick_us = SIM_TICK;
    }
}

void sim_release(struct sim *s)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct machine *m = &s->machines[id];

        if (machine_is_up(m)) {
            raftnode_stop(m->n.node);
            close_machine(s, m);
        }
        sim_node_release(&m->n);
    }
    while (s->n_events > 0) {
        xfree(pop_event(s).packet);
    }
    clients_release(s);
    checker_free(s->checker);
    linear_free(s->history);
    choices_release(&s->choices);
    xfree(s->heap);
}
