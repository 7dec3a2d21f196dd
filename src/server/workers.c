/* The threads that storage works on: see workers.h.
 *
 * Counterpart: none; a goroutine of etcd's takes its processor from others as
 * any other does. */

#include "src/server/workers.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "src/base/log.h"

#define SNAPSHOT_NICE    5
#define SNAPSHOT_REST_NS 100000 /* after about as much work */

void workers_init(struct workers *w, uv_loop_t *loop, struct helm *helm,
                  const struct logger *lg)
{
    *w = (struct workers){.loop = loop, .helm = helm, .lg = lg};
}

static void queue(struct workers *w, uv_work_t *req, uv_work_cb work,
                  uv_after_work_cb done)
{
    int rc = uv_queue_work(w->loop, req, work, done);

    ASSERT(rc == 0); /* no memory would be the end anyway */
}

/* --- disk --- */

static void on_disk_work(uv_work_t *req)
{
    struct disk_work *d = container_of(req, struct disk_work, req);
    uint64_t began = uv_hrtime();

    d->job.work(d->job.arg);
    d->took_ns = uv_hrtime() - began;
}

static void on_disk_work_done(uv_work_t *req, int status)
{
    struct disk_work *d = container_of(req, struct disk_work, req);
    struct workers *w = container_of(d, struct workers, disk);

    ASSERT(status == 0); /* nobody cancels it */
    helm_note(w->helm, d->took_ns);
    d->job.done(d->job.arg);
}

/* Not at the helm while a snapshot's file is written: a sync that was quick may
 * have to wait for one of that file, and the loop with it. Lookups of names
 * never keep the other threads waiting: libuv gives them half at most. */
static void run_disk_work(void *ctx, bool brief, void (*work)(void *arg),
                          void (*done)(void *arg), void *arg)
{
    struct workers *w = ctx;
    struct helm_job job = {work, done, arg};

    if (brief && w->snapshot.job.work == NULL && helm_is_quick(w->helm)) {
        helm_do(w->helm, job);
        return;
    }
    w->disk.job = job;
    queue(w, &w->disk.req, on_disk_work, on_disk_work_done);
}

struct storage_worker workers_disk(struct workers *w)
{
    return (struct storage_worker){.ctx = w, .run = run_disk_work};
}

/* --- snapshot --- */

static bool must_hurry(const struct snapshot_work *sw)
{
    return atomic_load_explicit(&sw->hurry, memory_order_relaxed);
}

/* The loop, here and in other processes, must not notice that a snapshot is
 * made: the thread is a little less important, and rests half of the time, in
 * bits that are short for who waits for a processor. Not the least important of
 * all: while it has the file system's journal in hand the log's syncs wait for
 * it, and on a busy machine that took seconds. */
static void give_way(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), SNAPSHOT_NICE);
}

static void rest(void *ctx)
{
    const struct timespec a_bit = {.tv_nsec = SNAPSHOT_REST_NS};
    const struct workers *w = ctx;

    if (!must_hurry(&w->snapshot)) {
        (void)nanosleep(&a_bit, NULL);
    }
}

static void snapshot_thread(void *arg)
{
    struct snapshot_work *sw = arg;

    if (!must_hurry(sw)) {
        give_way();
    }
    sw->job.work(sw->job.arg);
}

/* On one of libuv's threads, which waits for the other one and tells the loop:
 * the loop spins until whoever calls it is done with calling, and would wait
 * for a thread that yields to it. */
static void on_snapshot_work(uv_work_t *req)
{
    struct snapshot_work *sw = container_of(req, struct snapshot_work, req);
    uv_thread_t thread;
    int rc;

    sw->create_rc = uv_thread_create(&thread, snapshot_thread, sw);
    if (sw->create_rc < 0) {
        sw->job.work(sw->job.arg);
        return;
    }
    rc = uv_thread_join(&thread);
    ASSERT(rc == 0);
}

static void on_snapshot_work_done(uv_work_t *req, int status)
{
    struct snapshot_work *sw = container_of(req, struct snapshot_work, req);
    struct workers *w = container_of(sw, struct workers, snapshot);
    struct helm_job job = sw->job;

    ASSERT(status == 0); /* nobody cancels it */
    if (sw->create_rc < 0) {
        log_warn(w->lg, "no thread for a snapshot, it took time of others: %s",
                 uv_strerror(sw->create_rc));
    }
    sw->job = (struct helm_job){0};
    job.done(job.arg);
}

static void run_snapshot_work(void *ctx, bool brief, void (*work)(void *arg),
                              void (*done)(void *arg), void *arg)
{
    struct workers *w = ctx;

    (void)brief;
    w->snapshot.job = (struct helm_job){work, done, arg};
    queue(w, &w->snapshot.req, on_snapshot_work, on_snapshot_work_done);
}

struct storage_worker workers_snapshot(struct workers *w)
{
    return (struct storage_worker){w, run_snapshot_work, rest};
}

void workers_hurry(struct workers *w, bool hurry)
{
    atomic_store_explicit(&w->snapshot.hurry, hurry, memory_order_relaxed);
}
