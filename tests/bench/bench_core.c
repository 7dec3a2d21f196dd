/* How fast the core is by itself: proposals through one node and through three
 * nodes joined by direct message passing, over memory storage, in one thread.
 *
 * A run is a fresh group and RUN_PROPOSALS proposals, the storage never
 * compacted: the shape of the reference's benchmarks, with a number of
 * proposals as theirs reach in a second. Runs are repeated for the time given,
 * and the median run counts. After BATCH proposals comes a turn, in which each
 * node works off one Ready: as in the reference, where a disk of 1 ms is slept
 * for, and 250 to 500 proposals gather meanwhile. What is committed comes with
 * later proposals there and here; nobody waits for it. Every case comes a
 * second time with a turn for each proposal: the worst case, which has no
 * counterpart there.
 *
 * malloc and its siblings are counted at the link (--wrap): over the second
 * half of a run, with what the growing log takes; and the most that any one
 * turn takes in steady state, in a run of its own where logs are compacted.
 *
 *   bench_core SECONDS [CASE]   one line per case, or for one, with the fields
 *                               of go test -bench
 *
 * Counterpart: etcd-io/raft node_bench_test.go, rafttest/node_bench_test.go.
 * Differs: no goroutines and no sleeps, which are most of the time there; a run
 * of three nodes ends when all of them have committed everything. */

#include <inttypes.h>
#include <time.h>

#include "src/raft/memory_storage.h"
#include "src/raft/rawnode.h"

#define RUN_PROPOSALS 400000
#define BATCH         256
#define NODES_MAX     3
#define RUNS_MAX      1000

/* Steady state: this many entries stay at a compaction, and it is reached
 * after as many proposals as are counted then. */
#define STEADY_LOG       2048
#define STEADY_PROPOSALS 65536

/* --- counted memory --- */

static struct {
    uint64_t calls;
    uint64_t bytes;
} taken;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    taken.calls++;
    taken.bytes += size;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    taken.calls++;
    taken.bytes += n * size;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    taken.calls++;
    taken.bytes += size;
    return __real_realloc(p, size);
}

/* --- a group --- */

struct group {
    size_t n;
    struct rawnode *nodes[NODES_MAX];
    struct memory_storage storages[NODES_MAX];
    uint64_t commits[NODES_MAX];
};

static void start_node(struct group *g, uint64_t id)
{
    struct memory_storage *ms = &g->storages[id - 1];
    struct raft_snapshot *members = raft_snapshot_new();

    /* A snapshot of index 0 only names the members. */
    for (uint64_t i = 1; i <= g->n; i++) {
        id_list_push(&members->conf_state.voters, i);
    }
    memory_storage_init(ms, NULL);
    int rc = memory_storage_apply_snapshot(ms, members);
    ASSERT(rc == 0);
    raft_snapshot_unref(members);

    g->nodes[id - 1] = rawnode_new(&(struct raft_config){
        .id = id,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .storage = &ms->base,
        .max_size_per_msg = 1024 * 1024,
        .max_inflight_msgs = 256,
        .max_uncommitted_entries_size = 1 << 30,
        .seed = id,
    });
}

/* One Ready of node `i`: store, deliver, advance. */
static void work(struct group *g, size_t i)
{
    struct raft_ready rd;

    rawnode_ready(g->nodes[i], &rd);
    if (rd.hard_state != NULL) {
        memory_storage_set_hard_state(&g->storages[i], rd.hard_state);
        g->commits[i] = rd.hard_state->commit;
    }
    memory_storage_append(&g->storages[i], rd.entries, rd.n_entries);
    for (size_t k = 0; k < rd.n_messages; k++) {
        const struct raft_message *m = &rd.messages[k];
        int rc = rawnode_step(g->nodes[m->to - 1], m);

        ASSERT(rc == 0);
    }
    rawnode_advance(g->nodes[i]);
}

/* Each node that has something to do works off one Ready. False if there was
 * none. */
static bool turn(struct group *g)
{
    bool busy = false;

    for (size_t i = 0; i < g->n; i++) {
        if (rawnode_has_ready(g->nodes[i])) {
            work(g, i);
            busy = true;
        }
    }
    return busy;
}

static void settle(struct group *g)
{
    while (turn(g)) {
    }
}

static void start(struct group *g, size_t n)
{
    *g = (struct group){.n = n};
    for (uint64_t id = 1; id <= n; id++) {
        start_node(g, id);
    }
    int rc = rawnode_campaign(g->nodes[0]);
    ASSERT(rc == 0);
    settle(g);
    ASSERT(g->commits[0] == 1);
}

static void stop(struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        rawnode_free(g->nodes[i]);
        memory_storage_release(&g->storages[i]);
    }
}

/* --- cases --- */

struct bench {
    const char *name;
    size_t n_nodes;
    size_t batch; /* proposals for one Ready */
    const char *payload;
};

/* What one run of a case took, for each proposal. */
struct result {
    double ns;
    double bytes;
    double allocs;
};

static void propose(struct group *g, const struct bench *b)
{
    struct bytes data = {(const uint8_t *)b->payload, strlen(b->payload)};

    for (size_t i = 0; i < b->batch; i++) {
        int rc = rawnode_propose(g->nodes[0],
                                 raft_entry_new(RAFT_ENTRY_NORMAL, data));

        ASSERT(rc == 0);
    }
    turn(g);
}

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct result run(const struct bench *b)
{
    size_t rounds = RUN_PROPOSALS / b->batch;
    size_t half = rounds / 2;
    uint64_t calls = 0;
    uint64_t bytes = 0;
    struct result r = {0};
    struct group g;

    start(&g, b->n_nodes);
    double begin = now_ns();
    for (size_t i = 0; i < rounds; i++) {
        if (i == half) {
            calls = taken.calls;
            bytes = taken.bytes;
        }
        propose(&g, b);
    }
    settle(&g);
    r.ns = (now_ns() - begin) / (double)(rounds * b->batch);
    double counted = (double)((rounds - half) * b->batch);
    r.allocs = (double)(taken.calls - calls) / counted;
    r.bytes = (double)(taken.bytes - bytes) / counted;
    for (size_t i = 0; i < g.n; i++) {
        ASSERT(g.commits[i] == rounds * b->batch + 1);
    }
    stop(&g);
    return r;
}

/* What the application does now and then to keep its log short; not counted. */
static void compact(struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct memory_storage *ms = &g->storages[i];
        uint64_t last = memory_storage_last_index(ms);
        uint64_t keep = STEADY_LOG;
        int rc = 0;

        if (last - memory_storage_first_index(ms) > 2 * keep) {
            rc = memory_storage_compact(ms, last - keep);
        }
        ASSERT(rc == 0);
    }
}

/* The most allocations for one turn of a group in steady state. */
static uint64_t most_allocations(const struct bench *b)
{
    uint64_t most = 0;
    struct group g;

    start(&g, b->n_nodes);
    for (size_t i = 0; i < 2 * STEADY_PROPOSALS / b->batch; i++) {
        uint64_t before = taken.calls;

        propose(&g, b);
        if (i >= STEADY_PROPOSALS / b->batch) {
            most = max_u64(most, taken.calls - before);
        }
        compact(&g);
    }
    stop(&g);
    return most;
}

static int by_ns(const void *a, const void *b)
{
    double x = ((const struct result *)a)->ns;
    double y = ((const struct result *)b)->ns;

    return (x > y) - (x < y);
}

static void measure(const struct bench *b, double seconds)
{
    static struct result runs[RUNS_MAX];
    double end = now_ns() + seconds * 1e9;
    size_t n = 0;

    do {
        runs[n++] = run(b);
    } while (n < RUNS_MAX && now_ns() < end);
    qsort(runs, n, sizeof(*runs), by_ns);

    const struct result *r = &runs[n / 2];
    printf("%-21s %3zu runs %7.1f ns/op %7.1f best %5.0f B/op "
           "%6.3f allocs/op, at most %" PRIu64 " for %zu\n",
           b->name, n, r->ns, runs[0].ns, r->bytes, r->allocs,
           most_allocations(b), b->batch);
}

int main(int argc, char **argv)
{
    static const struct bench benches[] = {
        {"OneNode", 1, BATCH, "foo"},
        {"OneNode/single", 1, 1, "foo"},
        {"Proposal3Nodes", 3, BATCH, "somedata"},
        {"Proposal3Nodes/single", 3, 1, "somedata"},
    };
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1.0;
    const char *name = argc > 2 ? argv[2] : NULL;

    for (size_t i = 0; i < ARRAY_LEN(benches); i++) {
        if (name == NULL) {
            measure(&benches[i], seconds / ARRAY_LEN(benches));
        } else if (strcmp(name, benches[i].name) == 0) {
            measure(&benches[i], seconds);
        }
    }
    return 0;
}
