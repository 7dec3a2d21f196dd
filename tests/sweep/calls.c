/* The k-th call [reliability L3]: a fixed workload on a node's storage (log and
 * snapshot files), of which one call fails, once or from then on, with every
 * error; then the power is cut, and of what was not synced the disk keeps
 * nothing, everything, each prefix, each single sector, or some of it, with and
 * without the names. The node must start, and have what was acknowledged, and
 * nothing that was not written. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "src/server/storage.h"
#include "tests/sweep/machine.h"

#define PREFIXES_MAX 24
#define RANDOM_CUTS  20

struct error {
    const char *name;
    int rc;
    bool half; /* a write leaves the first half of its bytes */
};

static const struct error ERRORS[] = {
    {"EIO", -EIO, false},       {"ENOSPC", -ENOSPC, false},
    {"EMFILE", -EMFILE, false}, {"short", -ENOSPC, true},
    {"EINTR", -EINTR, false},
};

static const uint64_t SEGMENTS[] = MACHINE_SEGMENTS;

static void cut_all_ways(struct machine *m, struct rng *rng,
                         struct sweep_counts *counts)
{
    uint64_t names;
    uint64_t n = sim_vfs_unsynced(m->model.v, &names);

    n = min_u64(n, PREFIXES_MAX);
    machine_cut(m, NULL, counts);
    for (enum sim_keep with = SIM_KEEP_NONE; with <= SIM_KEEP_ALL; with++) {
        struct sim_crash c = {.names = with, .rng = rng};

        for (c.data = SIM_KEEP_NONE; c.data <= SIM_KEEP_ALL; c.data++) {
            machine_cut(m, &c, counts);
        }
        for (c.data_n = 0; c.data_n < n; c.data_n++) {
            c.data = SIM_KEEP_FIRST;
            machine_cut(m, &c, counts);
            c.data = SIM_KEEP_ONLY;
            machine_cut(m, &c, counts);
        }
    }
    for (int i = 0; n + names > 1 && i < RANDOM_CUTS; i++) {
        machine_cut(
            m, &(struct sim_crash){SIM_KEEP_SOME, 0, SIM_KEEP_SOME, 0, rng},
            counts);
    }
}

/* The power fails during the start on `from`, at each of its calls, and the
 * one after that must find everything. */
static void cut_start(struct machine *m, const struct sim_vfs *from,
                      struct rng *rng, struct sweep_counts *counts)
{
    bool struck = true;

    for (uint64_t k = 1; struck; k++) {
        struct sim_vfs *v = sim_vfs_clone(from);
        struct raftnode_recovered found;
        struct storage *st;
        struct errmsg em;
        enum sweep_verdict verdict;

        sim_vfs_fail_from(v, k, -EIO);
        if (machine_open(m, v, &st, &found, &em) == 0) {
            raftnode_recovered_release(&found);
            sim_vfs_power_off(v);
            (void)storage_close(st, NULL);
        }
        struck = sim_vfs_has_failed(v);
        sim_vfs_crash(v, SIM_CRASH_SECTORS, rng);
        verdict = machine_start(m, v);
        counts->n[verdict]++;
        sim_vfs_free(v);
    }
}

/* The start after a power cut, and after the death of the process alone, whose
 * bytes are to be seen and not yet on the disk. */
static void cut_starts(struct machine *m, struct rng *rng,
                       struct sweep_counts *counts)
{
    struct sim_vfs *torn = sim_vfs_clone(m->model.v);

    sim_vfs_crash_as(
        torn, &(struct sim_crash){SIM_KEEP_SOME, 0, SIM_KEEP_SOME, 0, rng});
    cut_start(m, torn, rng, counts);
    cut_start(m, m->model.v, rng, counts);
    sim_vfs_free(torn);
}

/* One run of the workload with this fault; whether it struck. */
static bool run_with(uint64_t segment_bytes, struct sim_fault fault, bool stop,
                     struct sweep_counts *counts)
{
    struct machine m = {.segment_bytes = segment_bytes, .stop = stop};
    struct rng rng;
    bool struck = machine_run(&m, fault);

    rng_seed(&rng, fault.after + 1);
    if (struck) {
        cut_all_ways(&m, &rng, counts);
        if (fault.forever && fault.rc == -EIO) {
            cut_starts(&m, &rng, counts);
        }
    }
    rig_release(&m.model);
    return struck;
}

enum mode {
    ONCE,         /* and the workload goes on, if it can */
    ONCE_AND_DIE, /* with the first success behind it */
    FOR_EVER,
    MODES,
};

static void sweep_error(const struct sweep_job *j, uint64_t segment_bytes,
                        const struct error *error, enum mode mode,
                        sweep_report_cb *report, void *ctx)
{
    static const char *const modes[] = {"once", "once, then the process dies",
                                        "and so do all after it"};
    struct sim_fault f = {
        .ops = SIM_CALLS_ALL,
        .after = j->job,
        .rc = error->rc,
        .forever = mode == FOR_EVER,
        .half = error->half,
    };
    struct sweep_counts counts = {{0}};
    char name[80];

    while (run_with(segment_bytes, f, mode == ONCE_AND_DIE, &counts)) {
        f.after += j->n_jobs;
    }
    (void)snprintf(name, sizeof(name), "%5" PRIu64 ": %s, %s", segment_bytes,
                   error->name, modes[mode]);
    report(ctx, name, &counts);
}

void sweep_calls(const struct sweep_job *j, sweep_report_cb *report, void *ctx)
{
    for (size_t s = 0; s < ARRAY_LEN(SEGMENTS); s++) {
        for (size_t e = 0; e < ARRAY_LEN(ERRORS); e++) {
            for (enum mode mode = ONCE; mode < MODES; mode++) {
                sweep_error(j, SEGMENTS[s], &ERRORS[e], mode, report, ctx);
            }
        }
    }
}
