/* Allocations that fail, in a process that dies of it [reliability F18].
 *
 * The sweep runs a workload once. At every allocation that is this job's it
 * forks: in the child this one fails, and the child must say one line and
 * abort. Its memory at that moment, disk included, lives on in a fork of its
 * own, which starts anew on the disk and judges. The parent goes on, to the
 * next allocation. So each of the N costs two forks and no second run.
 *
 * malloc, calloc and realloc are taken over by the linker; only
 * src/base/alloc.c calls them. What the disk in memory allocates for itself
 * does not count: it is the kernel's. */

#ifndef TESTS_SWEEP_ALLOCS_H
#define TESTS_SWEEP_ALLOCS_H

#include "tests/sweep/sweep.h"

struct sim_vfs;

struct allocs {
    uint64_t job; /* of n_jobs, this one */
    uint64_t n_jobs;
    /* Start on the disk as it was when the process died. */
    void (*judge)(void *ctx, struct sweep_counts *counts);
    void *ctx;
    struct sweep_counts counts;
    uint64_t n; /* allocations so far */
};

/* Count from now on, or no more. Only one at a time. */
void allocs_arm(struct allocs *a);
void allocs_disarm(void);

/* Whether what runs now is the program; while armed, only that counts. */
void allocs_watch(bool in_program);

/* What `v` allocates while it does what it is called for does not count. */
void allocs_spare(struct sim_vfs *v);

#endif /* TESTS_SWEEP_ALLOCS_H */
