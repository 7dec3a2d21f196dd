/* Goal: whatever call fails, and whatever a power cut leaves of what was not
 * synced, all that was acknowledged comes back and nothing else [reliability
 * L3, I15]. Method: a fixed workload on a disk in memory; for each k its k-th
 * call fails, once or for ever; then the power is cut in many ways, each on a
 * copy of the disk, and the log is opened again beside a model. */

#include "wal/wal.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/log.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/wal_rig.h"

#define SEGMENT 2048
/* By the workload. */
#define SEGMENTS_RELEASED 6

#define TRY(call)                                                              \
    do {                                                                       \
        int try_rc = (call);                                                   \
        if (try_rc < 0) {                                                      \
            return try_rc;                                                     \
        }                                                                      \
    } while (0)

/* --- the workload --- */

static int save_and_sync(struct wal_rig *r, uint64_t term, uint64_t first,
                         size_t n, size_t size, uint64_t commit)
{
    TRY(rig_save(r, term, first, n, size, commit));
    return rig_sync(r);
}

static int close_and_open(struct wal_rig *r)
{
    bool allowed;

    TRY(rig_close(r));
    TRY(rig_reopen(r, &allowed));
    assert_true(allowed);
    return 0;
}

static int first_half(struct wal_rig *r)
{
    TRY(rig_create(r));
    TRY(save_and_sync(r, 1, 1, 3, 9, 3));
    for (uint64_t i = 4; i < 14; i++) {
        TRY(save_and_sync(r, 1, i, 1 + i % 3, 60 * i, i - 1));
    }
    TRY(rig_save_state(r, (struct hard_state){1, 0, 12}));
    TRY(save_and_sync(r, 2, 13, 2, 30, 12)); /* overwrites */
    TRY(rig_save_state(r, (struct hard_state){3, 2, 12}));
    TRY(rig_sync(r));
    TRY(save_and_sync(r, 3, 15, 3, 600, 14));
    TRY(rig_save(r, 3, 18, 1, 1400, 16)); /* closing syncs it */
    return close_and_open(r);
}

static int second_half(struct wal_rig *r)
{
    TRY(save_and_sync(r, 3, 19, 1, 1, 18));
    TRY(rig_snapshot(r, 10));
    TRY(rig_sync(r));
    TRY(rig_release_to(r, 10));
    /* Two saves in one group, the second with a new term. */
    TRY(rig_save(r, 3, 20, 1, 700, 19));
    TRY(rig_save(r, 4, 21, 1, 700, 19));
    TRY(rig_sync(r));
    TRY(save_and_sync(r, 5, 20, 3, 40, 19));
    /* The leader's snapshot, then its log. */
    TRY(rig_restore(r, 40, 5));
    TRY(rig_sync(r));
    TRY(rig_save_state(r, (struct hard_state){6, 0, 40}));
    TRY(rig_sync(r));
    for (uint64_t i = 41; i < 46; i++) {
        TRY(save_and_sync(r, 6, i, 1, 500, i - 1));
    }
    TRY(rig_release_to(r, 40));
    return rig_close(r);
}

static int workload(struct wal_rig *r)
{
    TRY(first_half(r));
    return second_half(r);
}

/* --- after the fault --- */

struct counts {
    uint64_t faults;
    uint64_t passed_over; /* of the faults: the log goes on */
    uint64_t crashes;
    uint64_t repaired;
};

static bool is_empty(const struct wal_state *s)
{
    return hard_state_is_empty(&s->hs) && s->snap.index == 0 && s->log.len == 0;
}

/* Open what is there: it must be what the model allows. */
static void must_reopen(struct wal_rig *r, struct counts *c)
{
    bool allowed;
    int rc;

    if (!wal_exists(r->o.fs, r->o.dir)) {
        assert_true(is_empty(&r->synced));
        rc = rig_create(r);
        allowed = true;
    } else {
        rc = rig_reopen(r, &allowed);
        c->repaired += r->torn_bytes > 0 ? 1 : 0;
    }
    if (rc < 0 || !allowed) {
        print_message("%s\n", rc < 0 ? r->em.text : "another state");
        sim_vfs_dump(r->v, stdout);
    }
    assert_int_equal(rc, 0);
    assert_true(allowed);
}

/* The log lives: what is appended now survives the worst power cut. */
static void must_go_on(struct wal_rig *r, struct counts *c)
{
    uint64_t last = wal_state_last(&r->now);
    uint64_t term = r->now.hs.term + 1;

    rig_crash(r, &(struct sim_crash){0}); /* what was read is durable */
    must_reopen(r, c);
    assert_int_equal(wal_state_last(&r->now), last);
    assert_int_equal(rig_save(r, term, last + 1, 1, 33, last), 0);
    assert_int_equal(rig_sync(r), 0);
    rig_crash(r, &(struct sim_crash){0});
    must_reopen(r, c);
    assert_int_equal(wal_state_last(&r->now), last + 1);
    assert_int_equal(r->now.hs.term, term);
}

static void crash_one_way(const struct wal_rig *from,
                          const struct sim_crash *crash, struct counts *c)
{
    struct wal_rig r;

    rig_fork(&r, from);
    sim_vfs_crash_as(r.v, crash);
    must_reopen(&r, c);
    must_go_on(&r, c);
    rig_release(&r);
    c->crashes++;
}

/* The process dies, the machine does not. */
static void kill_only(const struct wal_rig *from, struct counts *c)
{
    struct wal_rig r;

    rig_fork(&r, from);
    must_reopen(&r, c);
    must_go_on(&r, c);
    rig_release(&r);
    c->crashes++;
}

static void crash_all_ways(const struct wal_rig *r, struct rng *rng,
                           struct counts *c)
{
    uint64_t n = min_u64(sim_vfs_unsynced(r->v, NULL), 6);

    for (enum sim_keep data = SIM_KEEP_NONE; data <= SIM_KEEP_SOME; data++) {
        for (enum sim_keep names = SIM_KEEP_NONE; names <= SIM_KEEP_SOME;
             names++) {
            crash_one_way(r, &(struct sim_crash){data, 0, names, 0, rng}, c);
        }
    }
    for (uint64_t i = 0; i < n; i++) {
        crash_one_way(
            r, &(struct sim_crash){SIM_KEEP_FIRST, i, SIM_KEEP_ALL, 0, NULL},
            c);
        crash_one_way(
            r, &(struct sim_crash){SIM_KEEP_ONLY, i, SIM_KEEP_ALL, 0, NULL}, c);
        crash_one_way(
            r, &(struct sim_crash){SIM_KEEP_SOME, 0, SIM_KEEP_SOME, 0, rng}, c);
    }
    kill_only(r, c);
}

/* A failed WAL stays failed, and closing it writes nothing. */
static void must_be_broken(struct wal_rig *r, int rc)
{
    uint64_t changes = sim_vfs_calls(r->v, SIM_CALLS_CHANGE);

    if (r->w != NULL) {
        sim_vfs_heal(r->v);
        assert_int_equal(wal_sync(r->w, NULL), rc);
        assert_int_equal(wal_close(r->w, NULL), 0);
        r->w = NULL;
        assert_int_equal(sim_vfs_calls(r->v, SIM_CALLS_CHANGE), changes);
    }
}

static const struct sim_fault FAULTS[] = {
    {.ops = SIM_CALLS_ALL, .rc = -EIO},
    {.ops = SIM_CALLS_ALL, .rc = -ENOSPC, .forever = true, .half = true},
};

/* A call that fails breaks the log, unless it would only have given back space
 * of what is deleted already. */
static void sweep(size_t fault, struct counts *c)
{
    struct rng rng;
    bool has_failed = true;

    rng_seed(&rng, 1 + fault);
    for (uint64_t k = 0; has_failed; k++) {
        struct sim_fault f = FAULTS[fault];
        struct wal_rig r;
        int rc;

        f.after = k;
        rig_init(&r, SEGMENT);
        sim_vfs_fail(r.v, f);
        rc = workload(&r);
        has_failed = sim_vfs_has_failed(r.v);
        if (rc < 0) {
            assert_int_equal(rc, f.rc);
            must_be_broken(&r, rc);
        } else {
            c->passed_over += has_failed ? 1 : 0;
        }
        if (has_failed) {
            sim_vfs_heal(r.v);
            crash_all_ways(&r, &rng, c);
            c->faults++;
        }
        rig_release(&r);
    }
}

static void print_counts(const char *what, const struct counts *c)
{
    print_message("%s: %" PRIu64 " faults, %" PRIu64 " restarts, %" PRIu64
                  " tails mended\n",
                  what, c->faults, c->crashes, c->repaired);
}

static void test_each_call_fails_once(void **state)
{
    struct counts c = {0};

    (void)state;
    sweep(0, &c);
    assert_true(c.faults > 100);
    assert_true(c.repaired > 0);
    /* To open it, to ask for its size, to make it shorter. */
    assert_int_equal(c.passed_over, 3 * SEGMENTS_RELEASED);
    print_counts("once", &c);
}

static void test_each_call_fails_for_ever(void **state)
{
    struct counts c = {0};

    (void)state;
    sweep(1, &c);
    assert_true(c.faults > 100);
    assert_int_equal(c.passed_over, 0); /* the next call breaks it */
    print_counts("for ever", &c);
}

/* --- crashes while starting --- */

/* Several groups, and one whose sync failed. */
static void make_unsynced(struct wal_rig *r)
{
    rig_init(r, SEGMENT * 4);
    assert_int_equal(rig_create(r), 0);
    assert_int_equal(save_and_sync(r, 1, 1, 5, 50, 3), 0);
    assert_int_equal(rig_save(r, 1, 6, 5, 200, 4), 0);
    sim_vfs_fail(r->v, (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    assert_int_equal(rig_sync(r), -EIO);
}

/* The second of its three sectors never arrived. */
static void make_torn(struct wal_rig *r)
{
    make_unsynced(r);
    rig_crash(r, &(struct sim_crash){SIM_KEEP_ONLY, 2, SIM_KEEP_ALL, 0, NULL});
}

/* Only the process died: the next one reads what the disk does not have. */
static void make_killed(struct wal_rig *r)
{
    make_unsynced(r);
    sim_vfs_kill(r->v);
    (void)wal_close(r->w, NULL);
    r->w = NULL;
}

/* Start a copy of `from`, let call k fail, and cut the power in each way. */
static bool crash_while_starting(const struct wal_rig *from, uint64_t k,
                                 struct rng *rng, struct counts *c)
{
    struct wal_rig r;
    bool allowed;
    int rc;

    rig_fork(&r, from);
    sim_vfs_fail(
        r.v, (struct sim_fault){.ops = SIM_CALLS_ALL, .after = k, .rc = -EIO});
    rc = rig_reopen(&r, &allowed);
    assert_true(rc < 0 || allowed);
    sim_vfs_heal(r.v);
    crash_all_ways(&r, rng, c);
    rig_release(&r);
    return rc < 0;
}

/* The same, with one way of cutting the power, and *r left as it is then. */
static bool crash_at_random(struct wal_rig *r, const struct wal_rig *from,
                            uint64_t k, struct rng *rng)
{
    bool allowed;
    int rc;

    rig_fork(r, from);
    sim_vfs_fail(
        r->v, (struct sim_fault){.ops = SIM_CALLS_ALL, .after = k, .rc = -EIO});
    rc = rig_reopen(r, &allowed);
    sim_vfs_crash(r->v, (enum sim_crash_mode)rng_below(rng, 4), rng);
    (void)wal_close(r->w, NULL);
    r->w = NULL;
    return rc < 0;
}

static void each_call_fails(void (*make)(struct wal_rig *r), const char *what)
{
    struct counts c = {0};
    struct rng rng;
    struct wal_rig from;
    bool more = true;

    rng_seed(&rng, 7);
    make(&from);
    for (uint64_t k = 0; more; k++) {
        struct wal_rig once;
        bool more_again = true;

        more = crash_while_starting(&from, k, &rng, &c);
        (void)crash_at_random(&once, &from, k, &rng);
        for (uint64_t m = 0; more_again; m++) {
            struct wal_rig twice;

            more_again = crash_at_random(&twice, &once, m, &rng);
            must_reopen(&twice, &c);
            must_go_on(&twice, &c);
            rig_release(&twice);
            c.crashes++;
        }
        rig_release(&once);
        c.faults++;
    }
    rig_release(&from);
    assert_true(c.faults > 15);
    print_counts(what, &c);
}

static void test_each_call_of_mending_fails(void **state)
{
    (void)state;
    each_call_fails(make_torn, "mending");
}

static void test_each_call_after_a_kill_fails(void **state)
{
    (void)state;
    each_call_fails(make_killed, "after a kill");
}

/* --- power cuts without a fault before --- */

/* At each step of a long random run the power may go. */
static void test_random_power_cuts(void **state)
{
    struct rng rng;
    struct wal_rig r;
    struct counts c = {0};

    (void)state;
    rng_seed(&rng, 20261121);
    rig_init(&r, SEGMENT);
    assert_int_equal(rig_create(&r), 0);
    for (int i = 0; i < 3000; i++) {
        uint64_t last = wal_state_last(&r.now);
        uint64_t commit = r.now.hs.commit;
        uint64_t term = r.now.hs.term + (rng_below(&rng, 8) == 0 ? 1 : 0);
        uint64_t first = term > r.now.hs.term && last > commit
                             ? commit + 1 + rng_below(&rng, last - commit)
                             : last + 1;

        term = max_u64(term, 1);
        switch (rng_below(&rng, 16)) {
        case 0:
            sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_SYNC |
                                                        SIM_CALL_SYNC_DIR,
                                                 .after = rng_below(&rng, 2),
                                                 .rc = -EIO});
            (void)rig_save(&r, term, last + 1, 1 + rng_below(&rng, 9),
                           rng_below(&rng, 600), commit);
            (void)rig_sync(&r);
            sim_vfs_crash(r.v, (enum sim_crash_mode)rng_below(&rng, 4), &rng);
            (void)wal_close(r.w, NULL);
            r.w = NULL;
            must_reopen(&r, &c);
            c.crashes++;
            break;
        case 1:
            if (commit > r.now.snap.index) {
                assert_int_equal(rig_snapshot(&r, commit), 0);
                assert_int_equal(rig_sync(&r), 0);
                assert_int_equal(rig_release_to(&r, commit), 0);
            }
            break;
        case 2:
            assert_int_equal(rig_restore(&r, last + 5, term), 0);
            assert_int_equal(
                rig_save_state(&r, (struct hard_state){term, 0, last + 5}), 0);
            assert_int_equal(rig_sync(&r), 0);
            break;
        case 3:
            assert_int_equal(close_and_open(&r), 0);
            break;
        case 4:
        case 5:
        case 6:
            assert_int_equal(rig_sync(&r), 0);
            break;
        default:
            assert_int_equal(rig_save(&r, term, first, rng_below(&rng, 4),
                                      rng_below(&rng, 600),
                                      min_u64(first - 1, last)),
                             0);
            break;
        }
    }
    print_counts("random", &c);
    rig_release(&r);
}

/* A disk that says a sync is done and is not: the loss must be noticed, or the
 * log be empty; never a silent hole in it. */
static void test_lying_disk_is_noticed(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_init(&r, SEGMENT * 4);
    assert_int_equal(rig_create(&r), 0);
    assert_int_equal(save_and_sync(&r, 1, 1, 3, 100, 1), 0);
    sim_vfs_set_lying(r.v, true);
    for (uint64_t i = 4; i < 20; i++) {
        assert_int_equal(save_and_sync(&r, 1, i, 1, 60, i - 1), 0);
    }
    sim_vfs_set_lying(r.v, false);
    rig_crash(&r, &(struct sim_crash){SIM_KEEP_ONLY, 2, SIM_KEEP_ALL, 0, NULL});
    assert_int_equal(rig_open(&r), ERR_DAMAGED);
    rig_release(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails_once),
        cmocka_unit_test(test_each_call_fails_for_ever),
        cmocka_unit_test(test_each_call_of_mending_fails),
        cmocka_unit_test(test_each_call_after_a_kill_fails),
        cmocka_unit_test(test_random_power_cuts),
        cmocka_unit_test(test_lying_disk_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
