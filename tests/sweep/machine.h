/* A node's storage (log and snapshot files) on a disk in memory, and a fixed
 * workload for it [reliability L3]: create, some sixty writes, cuts, snapshots
 * of its own and of the leader, a change of members, restarts. Beside it stands
 * the model, which says after any death what a start may find. */

#ifndef TESTS_SWEEP_MACHINE_H
#define TESTS_SWEEP_MACHINE_H

#include "tests/sweep/sweep.h"

struct raftnode_recovered;
struct storage;

/* A node's storage beside the model; only the model of the rig is used, whose
 * log is the whole one: what the node does not need any more is not forgotten.
 */
struct machine {
    struct wal_rig model;
    uint64_t segment_bytes;
    struct storage *st; /* NULL: closed */
    uint64_t term;
    struct hard_state written; /* the last one that was handed over */
    bool stop; /* the process dies at the first success behind the fault */
    /* Told when the program's code begins and ends to run, that is not the
     * model's; NULL: nobody asks. */
    void (*watch)(bool in_program);
};

/* Start on the disk `v`; errors as storage_open. */
int machine_open(struct machine *m, struct sim_vfs *v, struct storage **st,
                 struct raftnode_recovered *found, struct errmsg *em);

/* Of segments that a workload cuts often, now and then, and never. */
#define MACHINE_SEGMENTS                                                       \
    {                                                                          \
        2048, 8192, 65536                                                      \
    }

/* Do the workload up to its end, or to the first error, which is returned. */
int machine_work(struct machine *m);

/* Set the model up, do the workload with this fault, and let the process die
 * where that stopped; whether the fault struck. rig_release the model. */
bool machine_run(struct machine *m, struct sim_fault fault);

/* Start on the disk `v` as it is: what is found, judged. */
enum sweep_verdict machine_start(struct machine *m, struct sim_vfs *v);

/* Start on a copy of the model's disk whose power was cut, and once more on
 * what that start made durable: it must find the same. NULL: only the process
 * died. */
void machine_cut(struct machine *m, const struct sim_crash *crash,
                 struct sweep_counts *counts);

#endif /* TESTS_SWEEP_MACHINE_H */
