/* One loop, two threads: one at the helm, which runs the loop, one on watch.
 *
 * A sync of the log takes about as long as handing it to another thread and
 * hearing back from it takes; so the thread at the helm does it itself, and
 * twice as many small writes get through. But a disk may hang, and the loop
 * must not: clients are told when their time is over, a signal stops the node,
 * a leader falls silent [reliability F6]. If a job is not done after some
 * milliseconds, the thread on watch takes the helm and runs the loop on; the
 * other one, when its disk has answered, hands the result in and goes on watch.
 *
 *   helm      in the loop, or in a job
 *   watch     asleep while there are no jobs, else it looks every HELM_LOOK_MS
 *
 * What is here is called by the thread at the helm, but for helm_init, helm_run
 * and helm_release.
 *
 * Counterpart: Go's runtime, which takes the processor from a thread that is in
 * a system call for too long (proc.go, sysmon, retake). */

#ifndef SRC_SERVER_HELM_H
#define SRC_SERVER_HELM_H

#include <stdatomic.h>
#include <uv.h>

#include "src/base/common.h"

/* A job is left to its thread when two looks have found it. */
#define HELM_LOOK_MS 20

/* A disk that took longer last time is not waited for at the helm. */
#define HELM_PATIENCE_NS 1000000

struct helm_job {
    void (*work)(void *arg); /* NULL: there is no job */
    void (*done)(void *arg);
    void *arg;
};

struct helm {
    uv_loop_t *loop;         /* borrowed */
    void (*turn)(void *ctx); /* see helm_run */
    void *ctx;
    struct helm_job job; /* to be done when the loop's callbacks are over */
    bool in_loop;        /* in uv_run */
    uint64_t took_ns;    /* the last job */
    uint64_t n_jobs;
    uv_thread_t threads[2];

    /* The number of the job that the helm does; 0: none; HELM_TAKEN: one that
     * is out, and the helm is in other hands. */
    _Atomic uint64_t doing;
    atomic_bool watched; /* the watch looks; else it must be woken */

    uv_mutex_t mutex; /* for what follows */
    uv_cond_t wake;   /* of the watch */
    bool ended;
    struct helm_job late; /* a job that was out, and is done */
    uv_async_t on_late;   /* keeps the loop alive while a job is out */
};

/* `loop` is borrowed; it must be open until helm_release. */
void helm_init(struct helm *h, uv_loop_t *loop);

/* Run the loop until it has nothing left to do. `turn` is called whenever it is
 * about to wait, and may ask for a job. Returns to the thread that called,
 * which serves no callback: it is there for signals, which a thread that waits
 * for a disk would not get. */
void helm_run(struct helm *h, void (*turn)(void *ctx), void *ctx);

/* Whether a job would be done in about the time that another thread takes to
 * hear of it. */
bool helm_is_quick(const struct helm *h);

/* How long the disk took for a job that another thread did. */
void helm_note(struct helm *h, uint64_t took_ns);

/* Call work(arg) as soon as no callback of the loop runs, then done(arg): in
 * most cases before the loop has gone on, else from the loop. One at a time. */
void helm_do(struct helm *h, struct helm_job job);

/* Close the loop's handle. The loop runs once more after that. */
void helm_release(struct helm *h);

#endif /* SRC_SERVER_HELM_H */
