/* All orders of events of a small scope. scope.h says which.
 *
 * Breadth first: the states of one depth are kept as the events that lead
 * there. A worker does those again from a copy of the first state, keeps a copy
 * of what it gets, and tries every event that may come next. Digests of states
 * are in one table that all workers share; so each state is gone on with once,
 * and at its least depth. */

#include "tests/sim/scope.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/arena.h"

/* --- moves --- */

enum move_kind {
    MOVE_END, /* of a path */
    MOVE_DELIVER,
    MOVE_TURN,
    MOVE_DISK,
    MOVE_TICK,
    MOVE_SILENCE,
    MOVE_PUT,
    MOVE_GET,
    MOVE_CRASH,
    MOVE_CRASH_KEEP,
    MOVE_RESTART,
    MOVE_CUT,
    MOVE_HEAL,
};

/* kind << 4 | node, or 4 * (from - 1) + to for a link. */
#define MOVE(kind, arg) ((uint8_t)((unsigned)(kind) << 4 | (unsigned)(arg)))
#define MOVES_MAX       64

static enum move_kind kind_of(uint8_t move)
{
    return move >> 4;
}

static uint32_t from_of(uint8_t move)
{
    return (move & 15U) / 4 + 1;
}

static uint32_t to_of(uint8_t move)
{
    return (move & 15U) % 4;
}

static const struct raft *raft_of(const struct machine *m)
{
    return &m->n.node->raw->raft;
}

/* The first event of a node, n_events if there is none. */
static size_t find_event(const struct sim *s, enum event_kind kind,
                         uint32_t who)
{
    size_t i = 0;

    while (i < s->n_events &&
           (s->heap[i].kind != kind || s->heap[i].who != who ||
            sim_event_is_void(s, &s->heap[i]))) {
        i++;
    }
    return i;
}

/* The message that was sent first of those on a link. */
static size_t find_packet(const struct sim *s, uint64_t from, uint64_t to)
{
    size_t first = s->n_events;

    for (size_t i = 0; i < s->n_events; i++) {
        const struct event *e = &s->heap[i];

        if (e->kind == EVENT_DELIVER && e->packet->from == from &&
            e->packet->to == to &&
            (first == s->n_events || e->seq < s->heap[first].seq)) {
            first = i;
        }
    }
    return first;
}

static bool is_under_way(const struct sim *s, uint64_t from,
                         enum raft_message_type type)
{
    for (size_t i = 0; i < s->n_events; i++) {
        const struct event *e = &s->heap[i];

        if (e->kind == EVENT_DELIVER && e->packet->from == from &&
            e->packet->type == type) {
            return true;
        }
    }
    return false;
}

static bool is_cut_off(const struct sim *s, uint64_t id)
{
    return s->cut[id][id % SCOPE_NODES + 1] &&
           s->cut[id][(id + 1) % SCOPE_NODES + 1];
}

static bool can_tick(const struct sim *s, const struct machine *m)
{
    switch (raft_of(m)->role) {
    case RAFT_LEADER:
        return !is_under_way(s, m->n.id, RAFT_MSG_HEARTBEAT);
    case RAFT_CANDIDATE:
        return !is_under_way(s, m->n.id, RAFT_MSG_VOTE);
    case RAFT_PRE_CANDIDATE:
        return !is_under_way(s, m->n.id, RAFT_MSG_PRE_VOTE);
    case RAFT_FOLLOWER:
        return true;
    }
    UNREACHABLE();
}

static bool can_be_silent(const struct sim *s, const struct machine *m)
{
    const struct raft *r = raft_of(m);

    if (r->role == RAFT_LEADER) {
        return is_cut_off(s, m->n.id);
    }
    return r->role == RAFT_FOLLOWER && r->lead != RAFT_NONE &&
           r->election_elapsed < r->election_timeout;
}

static bool is_committed_lost(const struct sim *s, uint64_t id)
{
    /* A crash loses the commit index that no sync has followed yet. */
    return sim_vfs_unsynced(s->machines[id].n.disk, NULL) > 0;
}

static size_t moves_of_node(const struct scope *sc, uint32_t id, uint8_t *out)
{
    const struct sim *s = &sc->sim;
    const struct machine *m = &s->machines[id];
    size_t n = 0;

    if (!machine_is_up(m)) {
        out[n++] = MOVE(MOVE_RESTART, id);
        return n;
    }
    if (m->has_turn) {
        out[n++] = MOVE(MOVE_TURN, id);
    }
    if (m->n.held.done != NULL) {
        out[n++] = MOVE(MOVE_DISK, id);
    }
    if (can_tick(s, m)) {
        out[n++] = MOVE(MOVE_TICK, id);
    }
    if (can_be_silent(s, m)) {
        out[n++] = MOVE(MOVE_SILENCE, id);
    }
    if (sc->n_puts < SCOPE_PUTS) {
        out[n++] = MOVE(MOVE_PUT, id);
    }
    if (sc->n_gets == 0) {
        out[n++] = MOVE(MOVE_GET, id);
    }
    if (sc->n_crashes == 0) {
        out[n++] = MOVE(MOVE_CRASH, id);
        if (is_committed_lost(s, id)) {
            out[n++] = MOVE(MOVE_CRASH_KEEP, id);
        }
    }
    return n;
}

/* Whether the node has a part in it. */
static bool concerns(uint8_t move, uint32_t node)
{
    return to_of(move) == node ||
           (kind_of(move) == MOVE_DELIVER && from_of(move) == node);
}

/* As long as nothing has told the followers apart, what may happen to the last
 * one is what may happen to the one before it. */
static size_t drop_symmetric(uint8_t *all, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (!concerns(all[i], SCOPE_NODES)) {
            all[kept++] = all[i];
        }
    }
    return kept;
}

static size_t moves(const struct scope *sc, uint8_t out[MOVES_MAX])
{
    const struct sim *s = &sc->sim;
    bool is_cut = false;
    size_t n = 0;

    for (uint32_t from = 1; from <= SCOPE_NODES; from++) {
        for (uint32_t to = 1; to <= SCOPE_NODES; to++) {
            is_cut = is_cut || s->cut[from][to];
            if (find_packet(s, from, to) < s->n_events) {
                out[n++] = MOVE(MOVE_DELIVER, 4 * (from - 1) + to);
            }
        }
        n += moves_of_node(sc, from, out + n);
        if (sc->n_cuts == 0) {
            out[n++] = MOVE(MOVE_CUT, from);
        }
    }
    if (is_cut) {
        out[n++] = MOVE(MOVE_HEAL, 0);
    }
    ASSERT(n <= MOVES_MAX);
    return sc->is_symmetric ? drop_symmetric(out, n) : n;
}

/* --- making them --- */

/* The last tick of a timeout: those before it would do nothing. Which timeout a
 * node has drawn is out of the scope. */
static void end_timeout(struct sim *s, struct machine *m)
{
    struct raft *r = &m->n.node->raw->raft;

    r->election_elapsed = r->role == RAFT_LEADER
                              ? r->election_timeout - 1
                              : r->randomized_election_timeout - 1;
    sim_do(s, find_event(s, EVENT_TICK, (uint32_t)m->n.id));
}

static void tick(struct sim *s, struct machine *m)
{
    if (raft_of(m)->role == RAFT_LEADER) {
        m->n.node->raw->raft.election_elapsed = 0;
        sim_do(s, find_event(s, EVENT_TICK, (uint32_t)m->n.id));
    } else {
        end_timeout(s, m);
    }
}

static void silence(struct sim *s, struct machine *m)
{
    struct raft *r = &m->n.node->raw->raft;

    if (r->role == RAFT_FOLLOWER) {
        r->election_elapsed = r->election_timeout;
        r->randomized_election_timeout = 2 * r->election_timeout - 1;
    }
    while (r->role == RAFT_LEADER) { /* it may have heard of others lately */
        end_timeout(s, m);
    }
}

static void ask(struct scope *sc, uint32_t client, uint32_t node)
{
    for (uint32_t i = 0; i < SCOPE_CLIENTS; i++) {
        struct client_state c = client_state(&sc->sim, i);

        if (c.node != 0 && c.req == NULL && c.rc != SIM_UNANSWERED) {
            sc->answered_before[client] |= 1U << i;
        }
    }
    client_ask(&sc->sim, client, &sc->sim.machines[node],
               client != SCOPE_READER);
}

static void cut_off(struct sim *s, uint64_t id)
{
    for (uint64_t other = 1; other <= SCOPE_NODES; other++) {
        s->cut[id][other] = s->cut[other][id] = other != id;
    }
}

static void crash(struct scope *sc, uint32_t node, enum crash_rule rule)
{
    sc->n_crashes++;
    machine_crash(&sc->sim, &sc->sim.machines[node], rule);
    sim_schedule(&sc->sim, EVENT_RESTART, node, 0);
}

/* While a write is under way a turn does nothing, and behind it another one
 * follows. */
static void skip_idle_turns(struct sim *s)
{
    for (uint32_t id = 1; id <= SCOPE_NODES; id++) {
        struct machine *m = &s->machines[id];

        if (machine_is_up(m) && m->has_turn && m->n.held.done != NULL) {
            sim_forget(s, find_event(s, EVENT_TURN, id));
            m->has_turn = false;
        }
    }
}

/* What is lost is lost at once, and void events are gone. */
static void sweep_events(struct sim *s)
{
    for (size_t i = 0; i < s->n_events;) {
        const struct event *e = &s->heap[i];
        bool is_lost = e->kind == EVENT_DELIVER
                           ? s->cut[e->packet->from][e->packet->to] ||
                                 !machine_is_up(&s->machines[e->packet->to])
                           : sim_event_is_void(s, e);

        if (is_lost) {
            sim_forget(s, i);
        } else {
            i++;
        }
    }
}

/* What the digest cannot see (scope.h). */
static void note_reads(struct scope *sc)
{
    for (uint32_t id = 1; id <= SCOPE_NODES; id++) {
        const struct machine *m = &sc->sim.machines[id];
        const struct read_only *ro;

        if (!machine_is_up(m)) {
            continue;
        }
        ro = &raft_of(m)->read_only;
        if (read_only_pending(ro) > 0) {
            sc->read_index = ro->queue[ro->len - 1].index;
        }
    }
}

/* The node that has something to do now. */
static uint32_t make_move(struct scope *sc, uint8_t move)
{
    struct sim *s = &sc->sim;
    uint32_t node = to_of(move);
    struct machine *m = &s->machines[node];

    switch (kind_of(move)) {
    case MOVE_END:
        break;
    case MOVE_DELIVER:
        sim_do(s, find_packet(s, from_of(move), node));
        break;
    case MOVE_TURN:
        sim_do(s, find_event(s, EVENT_TURN, node));
        break;
    case MOVE_DISK:
        sim_do(s, find_event(s, EVENT_WRITE, node));
        break;
    case MOVE_TICK:
        tick(s, m);
        break;
    case MOVE_SILENCE:
        silence(s, m);
        break;
    case MOVE_PUT:
        ask(sc, sc->n_puts++, node);
        break;
    case MOVE_GET:
        sc->n_gets++;
        ask(sc, SCOPE_READER, node);
        break;
    case MOVE_CRASH:
        crash(sc, node, CRASH_DROP);
        break;
    case MOVE_CRASH_KEEP:
        crash(sc, node, CRASH_KEEP);
        break;
    case MOVE_RESTART:
        sim_do(s, find_event(s, EVENT_RESTART, node));
        break;
    case MOVE_CUT:
        sc->n_cuts++;
        cut_off(s, node);
        return 0;
    case MOVE_HEAL:
        faults_heal_cuts(s);
        return 0;
    }
    return node;
}

static void judge(struct sim *s)
{
    struct linear_report verdict;

    linear_judge(s->history, LINEAR_STEPS_MAX, &verdict);
    if (verdict.verdict != LINEAR_OK) {
        checker_fail(s->checker, "I22", "the history is not linearizable");
    }
}

static void do_move(struct scope *sc, uint8_t move, bool joined)
{
    struct sim *s = &sc->sim;
    uint64_t answers = s->n_puts + s->n_gets;
    uint32_t node = make_move(sc, move);
    size_t turn = find_event(s, EVENT_TURN, node);

    if (joined && turn < s->n_events) {
        sim_do(s, turn);
    }
    sweep_events(s);
    skip_idle_turns(s);
    note_reads(sc);
    sc->is_symmetric = sc->is_symmetric && !concerns(move, 2);
    if (s->n_puts + s->n_gets != answers) {
        judge(s);
    }
}

/* --- the first state --- */

static bool settle_one(struct scope *sc)
{
    uint8_t all[MOVES_MAX];
    size_t n = moves(sc, all);

    for (size_t i = 0; i < n; i++) {
        enum move_kind kind = kind_of(all[i]);

        if (kind == MOVE_DELIVER || kind == MOVE_TURN || kind == MOVE_DISK) {
            do_move(sc, all[i], false);
            return true;
        }
    }
    return false;
}

static void settle(struct scope *sc)
{
    while (settle_one(sc)) {
    }
}

static void on_violation(void *ctx, const char *invariant, const char *text);

static struct scope *begin(enum scope_start start)
{
    struct scope *sc = xcalloc(1, sizeof(*sc));
    struct sim *s = &sc->sim;
    const struct machine *first = &s->machines[1];

    choices_replay(&s->choices, NULL, 0);
    sim_init(s, on_violation, s, NULL);
    s->swarm = (struct swarm){
        .n_founders = SCOPE_NODES,
        .snapshot_count = UINT32_MAX,
        .segment_bytes = 65536,
        .n_keys = 1,
    };
    clients_init(s);
    for (uint64_t id = 1; id <= SCOPE_NODES; id++) {
        machine_start(s, &s->machines[id]);
    }
    settle(sc);
    do_move(sc, MOVE(MOVE_TICK, 1), false);
    while (raft_of(first)->role != RAFT_LEADER) {
        ASSERT(settle_one(sc));
    }
    if (start == SCOPE_SETTLED) {
        settle(sc);
        do_move(sc, MOVE(MOVE_TICK, 1), false);
        settle(sc);
        sc->is_symmetric = true;
    }
    return sc;
}

/* --- all of them --- */

struct path {
    uint8_t moves[SCOPE_DEPTH_MAX + 1];
};

/* What the workers share. */
struct shared {
    uint64_t next;     /* of the level: who takes it does it */
    uint64_t n_states; /* in the table */
    uint64_t n_moves;  /* tried */
    bool is_late;      /* out of time, or of room */
};

struct search {
    const struct scope_options *o;
    struct scope *sc; /* in the arena */
    struct arena_copy root;
    struct arena_copy here;
    struct shared *shared;
    uint64_t *table; /* of digests; 0: free */
    size_t table_len;
    struct path *level; /* the states to go on with */
    size_t n_level;
    double until;
};

/* Where this process is: for on_violation, and for whoever finds it dead. */
static struct path at_start;
static struct path *where = &at_start;
static enum scope_start where_from;
static bool where_joined;

/* How to get there again. */
static void print_path(const struct path *p)
{
    printf("again:   sim --exhaustive %zu%s%s --events ",
           strlen((const char *)p->moves),
           where_from == SCOPE_SETTLED ? " --settled" : "",
           where_joined ? " --joined" : "");
    for (const uint8_t *m = p->moves; *m != 0; m++) {
        printf("%02x", *m);
    }
    printf("\n");
}

static void on_violation(void *ctx, const char *invariant, const char *text)
{
    struct sim *s = ctx;

    printf("\n");
    trace_print(&s->trace, stdout);
    printf("\nVIOLATION of %s: %s\n", invariant, text);
    print_path(where);
    (void)fflush(stdout);
    _exit(1);
}

static void *map_shared(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        (void)fprintf(stderr, "no memory for %zu bytes of states\n", bytes);
        exit(2);
    }
    return p;
}

static double seconds(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Whether the state is new. */
static bool insert(uint64_t *table, size_t len, uint64_t digest)
{
    uint64_t mine = digest == 0 ? 1 : digest;

    for (size_t i = mine % len;; i = (i + 1) % len) {
        uint64_t is = __atomic_load_n(&table[i], __ATOMIC_RELAXED);

        if (is == 0 &&
            __atomic_compare_exchange_n(&table[i], &is, mine, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return true;
        }
        if (is == mine) {
            return false;
        }
    }
}

/* Every event that may come after `p`; the new states go to `out`. */
static size_t expand(struct search *se, const struct path *p, uint32_t depth,
                     struct path *out)
{
    uint8_t all[MOVES_MAX];
    size_t n_new = 0;
    size_t n;

    arena_restore(&se->root);
    *where = *p;
    for (uint32_t i = 0; i < depth; i++) {
        do_move(se->sc, p->moves[i], se->o->joined);
    }
    arena_save(&se->here);
    n = moves(se->sc, all);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            arena_restore(&se->here);
        }
        where->moves[depth] = all[i];
        do_move(se->sc, all[i], se->o->joined);
        if (insert(se->table, se->table_len, scope_digest(se->sc))) {
            out[n_new++] = *where;
        }
    }
    (void)__atomic_fetch_add(&se->shared->n_moves, n, __ATOMIC_RELAXED);
    return n_new;
}

#define OUT_MAX ((size_t)1 << 27) /* new states of a level */
#define SLICE   16                /* states that a worker takes at a time */

static bool is_full(const struct search *se)
{
    return __atomic_load_n(&se->shared->n_states, __ATOMIC_RELAXED) >
           se->table_len / 4 * 3;
}

/* A worker: take states of this level until there are none; whatever is new is
 * written to `out`, up to `room`. */
static void work(struct search *se, uint32_t depth, struct path *out,
                 size_t room, uint64_t *n_out)
{
    struct shared *sh = se->shared;
    size_t n = 0;

    while (!__atomic_load_n(&sh->is_late, __ATOMIC_RELAXED)) {
        uint64_t at = __atomic_fetch_add(&sh->next, SLICE, __ATOMIC_RELAXED);
        size_t before = n;

        if (at >= se->n_level) {
            break;
        }
        for (size_t i = at; i < at + SLICE && i < se->n_level; i++) {
            n += expand(se, &se->level[i], depth, out + n);
        }
        (void)__atomic_fetch_add(&sh->n_states, n - before, __ATOMIC_RELAXED);
        if (n + SLICE * MOVES_MAX > room || is_full(se) ||
            (se->until > 0 && seconds() > se->until)) {
            __atomic_store_n(&sh->is_late, true, __ATOMIC_RELAXED);
        }
    }
    *n_out = n;
}

struct worker {
    pid_t pid;
    struct path where;
    uint64_t n_out;
};

/* Whether a worker ended well; else where it was is said. */
static bool has_ended_well(const struct worker *w)
{
    int status;

    if (waitpid(w->pid, &status, 0) < 0) {
        return false;
    }
    if (WIFSIGNALED(status)) {
        printf("ended by signal %d\n", WTERMSIG(status));
        print_path(&w->where);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* One level, by all workers. The new states become the level, if all of this
 * one were gone on with. */
static bool do_level(struct search *se, uint32_t depth)
{
    size_t jobs = se->o->jobs;
    size_t room = OUT_MAX / jobs;
    struct worker *workers = map_shared(jobs * sizeof(*workers));
    struct path *out = map_shared(jobs * room * sizeof(*out));
    struct path *next;
    bool ok = true;
    size_t n = 0;

    se->shared->next = 0;
    (void)fflush(stdout);
    for (size_t i = 0; i < jobs; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            where = &workers[i].where;
            work(se, depth, out + i * room, room, &workers[i].n_out);
            _exit(0);
        }
        workers[i].pid = pid; /* not by the child: it is shared */
    }
    for (size_t i = 0; i < jobs; i++) {
        ok = has_ended_well(&workers[i]) && ok;
    }
    for (size_t i = 0; i < jobs; i++) {
        n += workers[i].n_out;
    }
    next = map_shared((n + 1) * sizeof(*next));
    n = 0;
    for (size_t i = 0; i < jobs; i++) {
        memcpy(next + n, out + i * room, workers[i].n_out * sizeof(*next));
        n += workers[i].n_out;
    }
    (void)munmap(out, jobs * room * sizeof(*out));
    (void)munmap(workers, jobs * sizeof(*workers));
    (void)munmap(se->level, (se->n_level + 1) * sizeof(*se->level));
    se->level = next;
    se->n_level = n;
    return ok;
}

/* Room for what the next level may find: as many times as many as the last. */
static void grow_table(struct search *se, double growth)
{
    uint64_t need =
        se->shared->n_states + (uint64_t)(growth * 1.5 * (double)se->n_level);
    size_t len = (size_t)max_u64(2 * need, 1 << 16);
    uint64_t *table;

    if (len <= se->table_len) {
        return;
    }
    table = map_shared(len * sizeof(*table));
    for (size_t i = 0; i < se->table_len; i++) {
        if (se->table[i] != 0) {
            (void)insert(table, len, se->table[i]);
        }
    }
    if (se->table != NULL) {
        (void)munmap(se->table, se->table_len * sizeof(*table));
    }
    se->table = table;
    se->table_len = len;
}

static bool search_levels(struct search *se, const char *name)
{
    double begun = seconds();
    double growth = 20;
    uint32_t depth = 0;
    bool ok = true;

    while (ok && depth < se->o->depth && !se->shared->is_late) {
        size_t was = se->n_level;

        grow_table(se, growth);
        ok = do_level(se, depth);
        growth = 1 + (double)se->n_level / (double)was;
        if (!se->shared->is_late) {
            depth++;
        }
        printf("%s, depth %u: %" PRIu64 " states, %" PRIu64
               " events tried, %.1f s%s\n",
               name, depth, se->shared->n_states, se->shared->n_moves,
               seconds() - begun,
               se->shared->is_late ? "; the next one in part" : "");
    }
    return ok;
}

static bool search_from(const struct scope_options *o, enum scope_start start)
{
    static const char *const names[] = {
        [SCOPE_ELECTED] = "from an election",
        [SCOPE_SETTLED] = "from a settled leader",
    };
    struct search se = {.o = o, .n_level = 1};
    bool ok;

    se.shared = map_shared(sizeof(*se.shared));
    se.level = map_shared(2 * sizeof(*se.level));
    where_from = start;
    where_joined = o->joined;
    se.until = o->secs == 0 ? 0 : seconds() + (double)o->secs;
    arena_begin();
    se.sc = begin(start);
    arena_save(&se.root);
    ok = search_levels(&se, names[start]);
    arena_end();
    arena_copy_release(&se.root);
    arena_copy_release(&se.here);
    (void)munmap(se.table, se.table_len * sizeof(*se.table));
    (void)munmap(se.level, (se.n_level + 1) * sizeof(*se.level));
    (void)munmap(se.shared, sizeof(*se.shared));
    return ok;
}

/* --- one of them --- */

static bool parse_path(const char *text, struct path *p)
{
    size_t n = 0;

    *p = (struct path){{0}};
    for (; text[0] != '\0' && n < SCOPE_DEPTH_MAX; text += 2) {
        unsigned move;

        if (sscanf(text, "%2x", &move) != 1 || text[1] == '\0') {
            return false;
        }
        p->moves[n++] = (uint8_t)move;
    }
    return text[0] == '\0';
}

static bool is_possible(const struct scope *sc, uint8_t move)
{
    uint8_t all[MOVES_MAX];
    size_t n = moves(sc, all);

    return memchr(all, move, n) != NULL;
}

static int replay(const struct scope_options *o, enum scope_start start)
{
    struct path p;
    struct scope *sc;
    int rc = 0;

    if (!parse_path(o->replay, &p)) {
        (void)fprintf(stderr, "not a list of events: %s\n", o->replay);
        return 2;
    }
    where = &p;
    where_from = start;
    where_joined = o->joined;
    arena_begin();
    sc = begin(start);
    sc->sim.trace.out = stdout;
    for (const uint8_t *m = p.moves; *m != 0 && rc == 0; m++) {
        printf("-- %02x\n", *m);
        if (is_possible(sc, *m)) {
            do_move(sc, *m, o->joined);
        } else {
            printf("cannot happen here\n");
            rc = 2;
        }
    }
    arena_end();
    return rc;
}

int scope_run(const struct scope_options *o)
{
    size_t n_passed = 0;

    ASSERT(o->jobs > 0 && o->depth <= SCOPE_DEPTH_MAX);
    if (o->replay != NULL) {
        return replay(o, o->start);
    }
    n_passed += search_from(o, SCOPE_ELECTED);
    n_passed += search_from(o, SCOPE_SETTLED);
    printf("%zu passed, %zu failed\n", n_passed, 2 - n_passed);
    return n_passed == 2 ? 0 : 1;
}
