/* The k-th allocation [reliability F18, L3]: the program aborts with one line,
 * and a start on the disk that it leaves finds all that was acknowledged. Three
 * workloads: that of machine.h, of the storage alone; the starts after that was
 * cut off at any of its calls, which have something to mend; and a cluster of
 * whole nodes, all in one process, so that they die together. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "src/server/raftnode.h"
#include "src/server/storage.h"
#include "tests/lib/sim_cluster.h"
#include "tests/sweep/allocs.h"
#include "tests/sweep/machine.h"

#define RANDOM_CUTS 3

static const uint64_t SEGMENTS[] = MACHINE_SEGMENTS;

/* --- the storage --- */

static void judge_storage(void *ctx, struct sweep_counts *counts)
{
    struct machine *m = ctx;
    struct rng rng;

    rng_seed(&rng, sim_vfs_calls(m->model.v, SIM_CALLS_ALL) + 1);
    machine_cut(m, NULL, counts);
    machine_cut(m, &(struct sim_crash){.data = SIM_KEEP_NONE}, counts);
    machine_cut(m, &(struct sim_crash){.names = SIM_KEEP_ALL}, counts);
    for (int i = 0; i < RANDOM_CUTS; i++) {
        machine_cut(
            m, &(struct sim_crash){SIM_KEEP_SOME, 0, SIM_KEEP_SOME, 0, &rng},
            counts);
    }
}

static struct allocs allocs_of(const struct sweep_job *j)
{
    return (struct allocs){.job = j->job, .n_jobs = j->n_jobs};
}

static void tell(const struct allocs *a, const char *what,
                 sweep_report_cb *report, void *ctx)
{
    char name[80];

    (void)snprintf(name, sizeof(name), "%6" PRIu64 " allocations: %.40s", a->n,
                   what);
    report(ctx, name, &a->counts);
}

static void sweep_storage(const struct sweep_job *j, uint64_t segment_bytes,
                          sweep_report_cb *report, void *ctx)
{
    struct machine m = {.segment_bytes = segment_bytes, .watch = allocs_watch};
    struct allocs a = allocs_of(j);
    char what[40];

    a.judge = judge_storage;
    a.ctx = &m;
    rig_init(&m.model, segment_bytes);
    allocs_spare(m.model.v);
    allocs_arm(&a);
    ASSERT(machine_work(&m) == 0);
    ASSERT(storage_close(m.st, NULL) == 0);
    allocs_disarm();
    rig_release(&m.model);
    (void)snprintf(what, sizeof(what), "segments of %" PRIu64, segment_bytes);
    tell(&a, what, report, ctx);
}

/* --- starts --- */

static void start_short_of_memory(struct machine *m, struct allocs *a)
{
    struct raftnode_recovered found;
    struct storage *st;
    struct errmsg em;

    allocs_spare(m->model.v);
    m->watch = allocs_watch;
    allocs_arm(a);
    if (machine_open(m, m->model.v, &st, &found, &em) == 0) {
        raftnode_recovered_release(&found);
        ASSERT(storage_close(st, NULL) == 0);
    } else {
        a->counts.n[SWEEP_LOST]++;
        printf("refused: %s\n", em.text);
    }
    allocs_disarm();
}

/* The workload is cut off at its call number `call`, with its tail torn.
 * Whether it has so many. */
static bool sweep_start(uint64_t segment_bytes, uint64_t call, struct allocs *a)
{
    struct machine m = {.segment_bytes = segment_bytes};
    struct rng rng;
    bool struck = machine_run(&m, (struct sim_fault){.ops = SIM_CALLS_ALL,
                                                     .after = call,
                                                     .rc = -EIO,
                                                     .forever = true,
                                                     .half = true});

    if (struck) {
        rng_seed(&rng, call + 1);
        sim_vfs_crash_as(m.model.v, &(struct sim_crash){SIM_KEEP_SOME, 0,
                                                        SIM_KEEP_ALL, 0, &rng});
        a->judge = judge_storage;
        a->ctx = &m;
        start_short_of_memory(&m, a);
    }
    rig_release(&m.model);
    return struck;
}

static void sweep_starts(const struct sweep_job *j, uint64_t segment_bytes,
                         sweep_report_cb *report, void *ctx)
{
    struct allocs a = allocs_of(j);
    char what[40];

    for (uint64_t call = 0; sweep_start(segment_bytes, call, &a); call++) {
    }
    (void)snprintf(what, sizeof(what), "starts, segments of %" PRIu64,
                   segment_bytes);
    tell(&a, what, report, ctx);
}

/* --- whole nodes --- */

#define KEYS 40

struct cluster {
    struct sim_cluster c;
    bool is_member[SIM_NODES_MAX + 1]; /* was started, ever */
    bool joined[SIM_NODES_MAX + 1];
    uint64_t n_puts; /* that were acknowledged: keys 0.. */
};

static void key_of(uint64_t i, char out[32])
{
    (void)snprintf(out, 32, "key-%" PRIu64, i);
}

static void put_next(struct cluster *w)
{
    char key[32];

    key_of(w->n_puts, key);
    ASSERT(sim_put_now(&w->c, sim_elect(&w->c), key, key) == 0);
    w->n_puts++;
}

static void start_node(struct cluster *w, uint64_t id, bool join)
{
    struct errmsg em;

    w->is_member[id] = true;
    w->joined[id] = join;
    ASSERT(sim_start(&w->c, id, join, &em) == 0);
}

/* Three nodes from nothing; one that is cut off gets a snapshot; a fourth one
 * is added and gets one, too; one is stopped and started. */
static void work(struct cluster *w)
{
    for (uint64_t id = 1; id <= 3; id++) {
        start_node(w, id, false);
    }
    while (w->n_puts < KEYS / 4) {
        put_next(w);
    }
    uint64_t away = sim_elect(&w->c) == 3 ? 2 : 3;

    sim_isolate(&w->c, away, true);
    while (w->n_puts < KEYS / 2) {
        put_next(w);
    }
    sim_isolate(&w->c, away, false);
    ASSERT(sim_member_now(&w->c, sim_elect(&w->c), REQUEST_ADD_MEMBER, 4) == 0);
    start_node(w, 4, true);
    while (w->n_puts < KEYS * 3 / 4) {
        put_next(w);
    }
    sim_stop(&w->c, 1);
    start_node(w, 1, false);
    while (w->n_puts < KEYS) {
        put_next(w);
    }
}

/* All nodes again, on copies of their disks whose power was cut. */
static bool starts_again(const struct cluster *w, const struct sim_crash *crash,
                         struct sim_cluster *again)
{
    sim_cluster_init(again, &w->c.o);
    again->starts = w->c.starts;
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct errmsg em;

        if (!w->is_member[id]) {
            continue;
        }
        sim_vfs_free(again->nodes[id].disk);
        again->nodes[id].disk = sim_vfs_clone(w->c.nodes[id].disk);
        if (crash != NULL) {
            sim_vfs_crash_as(again->nodes[id].disk, crash);
        }
        if (sim_start(again, id, w->joined[id], &em) < 0) {
            printf("node %" PRIu64 ": %s\n", id, em.text);
            return false;
        }
    }
    return true;
}

static void judge_one_way(const struct cluster *w,
                          const struct sim_crash *crash,
                          struct sweep_counts *counts)
{
    struct sim_cluster again;
    uint64_t leader;
    char key[32];

    if (!starts_again(w, crash, &again)) {
        counts->n[SWEEP_LOST]++;
        return;
    }
    /* Before all of the founders were there, they need not be a majority. */
    leader = w->is_member[3] ? sim_elect(&again) : 0;
    if (w->is_member[3] && leader == 0) {
        printf("no leader again\n");
        counts->n[SWEEP_LOST]++;
        return;
    }
    /* A key that is missing ends the process, which the parent sees. */
    for (uint64_t i = 0; i < w->n_puts; i++) {
        key_of(i, key);
        sim_expect(&again, leader, key, key);
    }
    sim_cluster_release(&again);
    counts->n[SWEEP_SAME]++;
}

static void judge_cluster(void *ctx, struct sweep_counts *counts)
{
    const struct cluster *w = ctx;
    struct rng rng;

    rng_seed(&rng, w->n_puts + 1);
    judge_one_way(w, NULL, counts);
    judge_one_way(w, &(struct sim_crash){.data = SIM_KEEP_NONE}, counts);
    judge_one_way(w,
                  &(struct sim_crash){SIM_KEEP_SOME, 0, SIM_KEEP_SOME, 0, &rng},
                  counts);
}

static void sweep_cluster(const struct sweep_job *j, sweep_report_cb *report,
                          void *ctx)
{
    struct cluster w = {.n_puts = 0};
    struct allocs a = allocs_of(j);

    sim_cluster_init(&w.c, &(struct sim_options){.n = 3,
                                                 .seed = 1,
                                                 .snapshot_count = 7,
                                                 .catchup_entries = 2,
                                                 .segment_bytes = 2048});
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        allocs_spare(w.c.nodes[id].disk);
    }
    a.judge = judge_cluster;
    a.ctx = &w;
    allocs_arm(&a);
    allocs_watch(true);
    work(&w);
    allocs_disarm();
    sim_cluster_release(&w.c);
    tell(&a, "four nodes", report, ctx);
}

void sweep_memory(const struct sweep_job *j, sweep_report_cb *report, void *ctx)
{
    for (size_t s = 0; s < ARRAY_LEN(SEGMENTS); s++) {
        sweep_storage(j, SEGMENTS[s], report, ctx);
        if (!j->quick) {
            sweep_starts(j, SEGMENTS[s], report, ctx);
        }
    }
    sweep_cluster(j, report, ctx);
}
