/* Two threads take turns with the loop. helm.h says why.
 *
 * The happy path: the turn asks for a job; its thread sets `doing`, works,
 * clears it, calls `done`, and is back in the turn. The watch is asleep, or
 * looks and sees numbers that change.
 *
 * The other one: the watch sees the same number twice and sets HELM_TAKEN in
 * its place. Whoever wins this exchange has the helm. The loser, when its work
 * is over, leaves the job in `late` and wakes the loop for it.
 *
 *   doing    0 -> n        do_job, at the helm
 *            n -> 0        do_job: the job is done, the helm kept
 *            n -> TAKEN    look, on watch: the helm has changed hands
 *            TAKEN -> 0    on_late, at the helm: the job is over, too
 *
 * The watch goes to sleep when it has seen no job for a while. Each side first
 * says what it does, then looks at what the other one says, so that no job is
 * begun unseen by a watch that is just going to sleep. */

#include "src/server/helm.h"

#include <signal.h>

#define HELM_TAKEN UINT64_MAX

/* So many looks without a job, and the watch sleeps. */
#define QUIET_LOOKS 50

/* --- at the helm --- */

bool helm_is_quick(const struct helm *h)
{
    return h->took_ns <= HELM_PATIENCE_NS;
}

void helm_note(struct helm *h, uint64_t took_ns)
{
    h->took_ns = took_ns;
}

void helm_do(struct helm *h, struct helm_job job)
{
    ASSERT(h->job.work == NULL);
    ASSERT(atomic_load(&h->doing) == 0);
    h->job = job;
    if (h->in_loop) {
        uv_stop(h->loop); /* it is not to wait before the job is done */
    }
}

static void wake_watch(struct helm *h)
{
    uv_mutex_lock(&h->mutex);
    atomic_store(&h->watched, true);
    uv_cond_signal(&h->wake);
    uv_mutex_unlock(&h->mutex);
}

/* False if the helm was lost meanwhile. */
static bool do_job(struct helm *h)
{
    struct helm_job job = h->job;
    uint64_t number = ++h->n_jobs;
    uint64_t began = uv_hrtime();

    h->job = (struct helm_job){0};
    atomic_store(&h->doing, number);
    if (!atomic_load(&h->watched)) {
        wake_watch(h);
    }
    job.work(job.arg);
    if (atomic_compare_exchange_strong(&h->doing, &number, 0)) {
        helm_note(h, uv_hrtime() - began);
        job.done(job.arg);
        return true;
    }
    ASSERT(number == HELM_TAKEN);
    uv_mutex_lock(&h->mutex);
    h->late = job;
    uv_mutex_unlock(&h->mutex);
    (void)uv_async_send(&h->on_late);
    return false;
}

static void on_late(uv_async_t *async)
{
    struct helm *h = container_of(async, struct helm, on_late);
    struct helm_job job;

    uv_mutex_lock(&h->mutex);
    job = h->late;
    h->late = (struct helm_job){0};
    uv_mutex_unlock(&h->mutex);
    if (job.work == NULL) {
        return;
    }
    ASSERT(atomic_load(&h->doing) == HELM_TAKEN);
    atomic_store(&h->doing, 0);
    uv_unref((uv_handle_t *)async);
    helm_note(h, UINT64_MAX);
    job.done(job.arg);
}

static bool run_loop(struct helm *h)
{
    bool alive;

    h->in_loop = true;
    alive = uv_run(h->loop, UV_RUN_ONCE) != 0;
    h->in_loop = false;
    return alive;
}

/* Until the loop has ended, or the helm is lost. */
static void steer(struct helm *h)
{
    do {
        h->turn(h->ctx);
        while (h->job.work != NULL) {
            if (!do_job(h)) {
                return;
            }
            h->turn(h->ctx);
        }
    } while (run_loop(h) || h->job.work != NULL);
    uv_mutex_lock(&h->mutex);
    h->ended = true;
    uv_cond_signal(&h->wake);
    uv_mutex_unlock(&h->mutex);
}

/* --- on watch --- */

/* With the mutex, which is given up while it sleeps. */
static void sleep_until_jobs(struct helm *h)
{
    atomic_store(&h->watched, false);
    while (!h->ended && !atomic_load(&h->watched) &&
           atomic_load(&h->doing) == 0) {
        uv_cond_wait(&h->wake, &h->mutex);
    }
    atomic_store(&h->watched, true);
}

/* True: the helm is ours, for its job of the last look is not done. */
static bool look(struct helm *h, uint64_t *last)
{
    uint64_t doing = atomic_load(&h->doing);
    bool same = doing != 0 && doing != HELM_TAKEN && doing == *last;

    *last = doing;
    return same &&
           atomic_compare_exchange_strong(&h->doing, &doing, HELM_TAKEN);
}

/* With the mutex. False: the loop has ended. */
static bool watch(struct helm *h)
{
    uint64_t last = 0;
    int quiet = 0;

    while (!h->ended) {
        if (quiet == QUIET_LOOKS) {
            sleep_until_jobs(h);
            quiet = 0;
        }
        (void)uv_cond_timedwait(&h->wake, &h->mutex,
                                HELM_LOOK_MS * UINT64_C(1000000));
        if (look(h, &last)) {
            return true;
        }
        quiet = last == 0 ? quiet + 1 : 0;
    }
    return false;
}

static void begin_on_watch(void *arg)
{
    struct helm *h = arg;

    uv_mutex_lock(&h->mutex);
    while (watch(h)) {
        uv_mutex_unlock(&h->mutex);
        uv_ref((uv_handle_t *)&h->on_late);
        steer(h);
        uv_mutex_lock(&h->mutex);
    }
    uv_mutex_unlock(&h->mutex);
}

static void begin_at_helm(void *arg)
{
    steer(arg);
    begin_on_watch(arg);
}

/* --- life --- */

void helm_init(struct helm *h, uv_loop_t *loop)
{
    int rc;

    *h = (struct helm){.loop = loop};
    rc = uv_mutex_init(&h->mutex);
    ASSERT(rc == 0);
    rc = uv_cond_init(&h->wake);
    ASSERT(rc == 0);
    rc = uv_async_init(loop, &h->on_late, on_late);
    ASSERT(rc == 0);
    uv_unref((uv_handle_t *)&h->on_late);
}

/* New threads take over what signals are blocked: here all. */
void helm_run(struct helm *h, void (*turn)(void *ctx), void *ctx)
{
    sigset_t all;
    sigset_t before;
    int rc;

    h->turn = turn;
    h->ctx = ctx;
    (void)sigfillset(&all);
    rc = pthread_sigmask(SIG_SETMASK, &all, &before);
    ASSERT(rc == 0);
    rc = uv_thread_create(&h->threads[0], begin_at_helm, h);
    ASSERT(rc == 0);
    rc = uv_thread_create(&h->threads[1], begin_on_watch, h);
    ASSERT(rc == 0);
    rc = pthread_sigmask(SIG_SETMASK, &before, NULL);
    ASSERT(rc == 0);
    for (size_t i = 0; i < ARRAY_LEN(h->threads); i++) {
        rc = uv_thread_join(&h->threads[i]);
        ASSERT(rc == 0);
    }
}

void helm_release(struct helm *h)
{
    uv_close((uv_handle_t *)&h->on_late, NULL);
    uv_cond_destroy(&h->wake);
    uv_mutex_destroy(&h->mutex);
}
