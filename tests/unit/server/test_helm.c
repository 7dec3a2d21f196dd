/* Goal: jobs are done one after the other between the turns of a loop, and one
 * that hangs does not stop the loop. Method: real loops and threads; a job that
 * hangs waits for what only the loop can do, so no test depends on time. */

#include "src/server/helm.h"

#include "tests/lib/cmocka.h"

struct rig {
    uv_loop_t loop;
    struct helm helm;
    uv_timer_t timer;
    uv_sem_t answer; /* what a hanging job waits for */
    int n_wanted;    /* jobs that the turn asks for still */
    bool hang;       /* those jobs hang */
    bool from_timer; /* they are asked for in a callback of the loop */
    bool busy;       /* one is asked for, and not done */
    int n_worked;
    int n_done;
    int n_turns;
    uv_thread_t worker; /* who did the last one */
    uv_thread_t done_by;
    uv_thread_t callers; /* who called helm_run */
};

static void work(void *arg)
{
    struct rig *r = arg;

    assert_true(r->busy);
    r->worker = uv_thread_self();
    if (r->hang) {
        uv_sem_wait(&r->answer);
    }
    r->n_worked++;
}

static void done(void *arg)
{
    struct rig *r = arg;

    r->n_done++;
    assert_int_equal(r->n_done, r->n_worked);
    r->done_by = uv_thread_self();
    r->busy = false;
}

static void ask(struct rig *r)
{
    if (!r->busy && r->n_wanted > 0) {
        r->n_wanted--;
        r->busy = true;
        helm_do(&r->helm, (struct helm_job){work, done, r});
    }
}

static void turn(void *ctx)
{
    struct rig *r = ctx;

    r->n_turns++;
    if (!r->from_timer) {
        ask(r);
    }
}

/* The loop lives until all is done. */
static void on_timer(uv_timer_t *t)
{
    struct rig *r = t->data;

    if (r->from_timer) {
        ask(r);
    }
    if (r->hang && r->busy) {
        uv_sem_post(&r->answer);
    }
    if (r->n_wanted > 0 || r->busy) {
        (void)uv_timer_start(t, on_timer, 1, 0);
    } else {
        uv_close((uv_handle_t *)t, NULL);
    }
}

static void run(struct rig *r)
{
    assert_int_equal(uv_loop_init(&r->loop), 0);
    assert_int_equal(uv_sem_init(&r->answer, 0), 0);
    assert_int_equal(uv_timer_init(&r->loop, &r->timer), 0);
    r->timer.data = r;
    r->callers = uv_thread_self();
    assert_int_equal(uv_timer_start(&r->timer, on_timer, 0, 0), 0);
    helm_init(&r->helm, &r->loop);
    helm_run(&r->helm, turn, r);
    helm_release(&r->helm);
    assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    uv_sem_destroy(&r->answer);
}

static bool same(uv_thread_t a, uv_thread_t b)
{
    return uv_thread_equal(&a, &b) != 0;
}

static void test_without_jobs_the_loop_runs_to_its_end(void **state)
{
    struct rig r = {0};

    (void)state;
    run(&r);
    assert_int_equal(r.n_done, 0);
    assert_true(r.n_turns > 0);
}

static void test_jobs_are_done_at_the_helm(void **state)
{
    struct rig r = {.n_wanted = 1000};

    (void)state;
    run(&r);
    assert_int_equal(r.n_done, 1000);
    assert_false(same(r.worker, r.callers));
}

static void test_a_callback_may_ask(void **state)
{
    struct rig r = {.n_wanted = 20, .from_timer = true};

    (void)state;
    run(&r);
    assert_int_equal(r.n_done, 20);
}

static void test_a_job_that_hangs_does_not_stop_the_loop(void **state)
{
    struct rig r = {.n_wanted = 1, .hang = true};

    (void)state;
    run(&r);
    assert_int_equal(r.n_done, 1);
    /* The other thread had the loop, so it was told there. */
    assert_false(same(r.worker, r.done_by));
    assert_false(same(r.worker, r.callers));
    assert_false(same(r.done_by, r.callers));
    assert_false(helm_is_quick(&r.helm));
}

static void test_the_helm_changes_hands_again_and_again(void **state)
{
    struct rig r = {.n_wanted = 5, .hang = true};

    (void)state;
    run(&r);
    assert_int_equal(r.n_done, 5);
}

static void test_whether_the_disk_is_quick_is_what_it_did_last(void **state)
{
    struct helm h = {0};

    (void)state;
    assert_true(helm_is_quick(&h));
    helm_note(&h, HELM_PATIENCE_NS + 1);
    assert_false(helm_is_quick(&h));
    helm_note(&h, HELM_PATIENCE_NS);
    assert_true(helm_is_quick(&h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_jobs_the_loop_runs_to_its_end),
        cmocka_unit_test(test_jobs_are_done_at_the_helm),
        cmocka_unit_test(test_a_callback_may_ask),
        cmocka_unit_test(test_a_job_that_hangs_does_not_stop_the_loop),
        cmocka_unit_test(test_the_helm_changes_hands_again_and_again),
        cmocka_unit_test(test_whether_the_disk_is_quick_is_what_it_did_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
