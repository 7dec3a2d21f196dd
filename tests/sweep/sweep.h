/* The sweeps: every damage to a file (files.c), every failing or last call
 * (calls.c), every allocation that fails (memory.c). Each is a list of corpora,
 * whose faults are shared out among the jobs; main.c adds the counts up. */

#ifndef TESTS_SWEEP_SWEEP_H
#define TESTS_SWEEP_SWEEP_H

#include "src/base/common.h"
#include "tests/lib/wal_sweep.h"

struct sweep_job {
    uint64_t job; /* of n_jobs, this one */
    uint64_t n_jobs;
    const char *samples; /* data directories of the Go program; or NULL */
    bool quick;          /* leave out what takes long */
};

/* The counts of one corpus, called once per job and corpus. */
typedef void sweep_report_cb(void *ctx, const char *name,
                             const struct sweep_counts *counts);

/* Damage to the files of a log, and to snapshot files. */
void sweep_logs(const struct sweep_job *j, sweep_report_cb *report, void *ctx);
void sweep_snapshots(const struct sweep_job *j, sweep_report_cb *report,
                     void *ctx);

/* The k-th call fails, and the power is cut then, in many ways: for every k, on
 * a node's storage. "Same" is a restart that finds all that was written,
 * "repaired" one that finds all that was acknowledged; a refusal counts as
 * lost. */
void sweep_calls(const struct sweep_job *j, sweep_report_cb *report, void *ctx);

/* The k-th allocation fails: the process aborts with one line, and the power
 * may be cut, too. For every k on a node's storage, on its start, and on whole
 * nodes. The verdicts are those of sweep_calls; a process that dies otherwise,
 * or not, counts as lost. */
void sweep_memory(const struct sweep_job *j, sweep_report_cb *report,
                  void *ctx);

#endif /* TESTS_SWEEP_SWEEP_H */
