/* Goal: a Progress moves between its states, and moves match, next and
 * sent_commit, as raft-core PG-1 to PG-12 say.
 * Method: the tables of the reference's progress_test.go, and cases for faults
 * that it does not notice (raft-tests.md 10.2). */

#include "tests/lib/cmocka.h"
#include "tests/lib/fatal.h"

#include "src/base/buf.h"
#include "src/raft/progress.h"

static struct fatal_trap trap;

static const struct inflight_limits window = {.msgs = 256, .bytes = 0};

static void set_up(struct progress *pr, enum progress_state state,
                   uint64_t match, uint64_t next)
{
    progress_init(pr, 1, next, window, &trap.lg);
    pr->match = match;
    pr->state = state;
}

static void assert_at(const struct progress *pr, enum progress_state state,
                      uint64_t match, uint64_t next)
{
    progress_check(pr);
    assert_int_equal(pr->state, state);
    assert_int_equal(pr->match, match);
    assert_int_equal(pr->next, next);
}

static void test_progress_string(void **state)
{
    struct inflight_limits one = {.msgs = 1, .bytes = 0};
    struct progress pr;
    struct buf out;

    (void)state;
    buf_init(&out, BUF_UNLIMITED);
    progress_init(&pr, 1, 2, one, &trap.lg);
    inflights_add(&pr.inflights, 123, 1);
    pr.match = 1;
    pr.state = PROGRESS_SNAPSHOT;
    pr.pending_snapshot = 123;
    pr.msg_app_flow_paused = true;
    pr.is_learner = true;
    progress_string(&pr, &out);
    assert_string_equal(buf_cstr(&out),
                        "StateSnapshot match=1 next=2 learner paused "
                        "pendingSnap=123 inactive inflight=1[full]");
    buf_reset(&out);
    progress_reset(&pr, 7, window);
    pr.recent_active = true;
    pr.is_learner = false;
    progress_string(&pr, &out);
    assert_string_equal(buf_cstr(&out), "StateProbe match=0 next=7");
    buf_release(&out);
    progress_release(&pr);
}

static void test_progress_is_paused(void **state)
{
    static const struct {
        enum progress_state s;
        bool flag;
        bool want;
    } cases[] = {
        {PROGRESS_PROBE, false, false},     {PROGRESS_PROBE, true, true},
        {PROGRESS_REPLICATE, false, false}, {PROGRESS_REPLICATE, true, true},
        {PROGRESS_SNAPSHOT, false, true},   {PROGRESS_SNAPSHOT, true, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct progress pr;

        set_up(&pr, cases[i].s, 0, 1);
        pr.msg_app_flow_paused = cases[i].flag;
        assert_int_equal(progress_is_paused(&pr), cases[i].want);
        progress_release(&pr);
    }
}

static void test_progress_resume(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_PROBE, 0, 2);
    pr.msg_app_flow_paused = true;
    assert_true(progress_maybe_decr_to(&pr, (struct progress_rejection){1, 1}));
    assert_false(pr.msg_app_flow_paused);
    pr.msg_app_flow_paused = true;
    assert_true(progress_maybe_update(&pr, 2));
    assert_false(pr.msg_app_flow_paused);
    progress_release(&pr);
}

static void test_progress_become_probe(void **state)
{
    static const struct {
        enum progress_state s;
        uint64_t next;
        uint64_t pending;
        uint64_t want_next;
    } cases[] = {
        {PROGRESS_REPLICATE, 5, 0, 2},
        {PROGRESS_SNAPSHOT, 11, 10, 11}, /* snapshot finished */
        {PROGRESS_SNAPSHOT, 5, 0, 2},    /* snapshot failed */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct progress pr;

        set_up(&pr, cases[i].s, 1, cases[i].next);
        pr.pending_snapshot = cases[i].pending;
        pr.msg_app_flow_paused = true;
        progress_become_probe(&pr);
        assert_at(&pr, PROGRESS_PROBE, 1, cases[i].want_next);
        assert_false(pr.msg_app_flow_paused);
        progress_release(&pr);
    }
}

static void test_progress_become_replicate(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_PROBE, 1, 5);
    progress_become_replicate(&pr);
    assert_at(&pr, PROGRESS_REPLICATE, 1, 2);
    progress_release(&pr);
}

static void test_progress_become_snapshot(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_PROBE, 1, 5);
    progress_become_snapshot(&pr, 10);
    assert_at(&pr, PROGRESS_SNAPSHOT, 1, 11);
    assert_int_equal(pr.pending_snapshot, 10);
    assert_int_equal(pr.sent_commit, 10);
    progress_release(&pr);
}

static void test_progress_update(void **state)
{
    static const struct {
        uint64_t update;
        uint64_t want_match;
        uint64_t want_next;
        bool want;
    } cases[] = {
        {2, 3, 5, false}, {3, 3, 5, false}, {4, 4, 5, true}, {5, 5, 6, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct progress pr;

        set_up(&pr, PROGRESS_PROBE, 3, 5);
        assert_int_equal(progress_maybe_update(&pr, cases[i].update),
                         cases[i].want);
        assert_at(&pr, PROGRESS_PROBE, cases[i].want_match, cases[i].want_next);
        progress_release(&pr);
    }
}

/* What is in flight behind the acknowledged entry stays so [PG-8]. */
static void test_progress_update_keeps_next(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_REPLICATE, 3, 9);
    assert_true(progress_maybe_update(&pr, 5));
    assert_at(&pr, PROGRESS_REPLICATE, 5, 9);
    progress_release(&pr);
}

static void test_progress_maybe_decr(void **state)
{
    static const struct {
        enum progress_state s;
        uint64_t match;
        uint64_t next;
        struct progress_rejection r;
        bool want;
        uint64_t want_next;
    } cases[] = {
        /* Replicating: a rejection at or below match is stale. */
        {PROGRESS_REPLICATE, 5, 10, {5, 5}, false, 10},
        {PROGRESS_REPLICATE, 5, 10, {4, 4}, false, 10},
        {PROGRESS_REPLICATE, 5, 10, {9, 9}, true, 6},
        /* Probing: only a rejection of next - 1 counts. */
        {PROGRESS_PROBE, 0, 10, {5, 5}, false, 10},
        {PROGRESS_PROBE, 0, 10, {9, 9}, true, 9},
        {PROGRESS_PROBE, 0, 2, {1, 1}, true, 1},
        {PROGRESS_PROBE, 0, 1, {0, 0}, true, 1},
        {PROGRESS_PROBE, 0, 10, {9, 2}, true, 3},
        {PROGRESS_PROBE, 0, 10, {9, 0}, true, 1},
        /* next stays above match, whatever the hint is [PF-16]. */
        {PROGRESS_PROBE, 4, 10, {9, 1}, true, 5},
        {PROGRESS_PROBE, 4, 10, {9, UINT64_MAX}, true, 5},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct progress pr;

        set_up(&pr, cases[i].s, cases[i].match, cases[i].next);
        assert_int_equal(progress_maybe_decr_to(&pr, cases[i].r),
                         cases[i].want);
        assert_at(&pr, cases[i].s, cases[i].match, cases[i].want_next);
        progress_release(&pr);
    }
}

/* What was sent beyond next is not sent any more. */
static void test_progress_decr_lowers_sent_commit(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_PROBE, 0, 10);
    pr.sent_commit = 8;
    assert_true(progress_maybe_decr_to(&pr, (struct progress_rejection){9, 2}));
    assert_int_equal(pr.sent_commit, 2);
    pr.state = PROGRESS_REPLICATE;
    pr.match = 1;
    assert_true(progress_maybe_decr_to(&pr, (struct progress_rejection){2, 2}));
    assert_int_equal(pr.sent_commit, 1);
    pr.sent_commit = 9;
    progress_become_probe(&pr);
    assert_int_equal(pr.sent_commit, 1);
    progress_release(&pr);
}

/* An empty probe does not pause, one with entries does [PG-7]. */
static void test_progress_sent_entries_probe(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_PROBE, 3, 5);
    progress_sent_entries(&pr, 0, 0);
    assert_false(progress_is_paused(&pr));
    progress_sent_entries(&pr, 2, 20);
    assert_true(progress_is_paused(&pr));
    assert_at(&pr, PROGRESS_PROBE, 3, 5);
    progress_release(&pr);
}

/* Replicating moves next, and pauses with the window, an empty append after a
 * full window included [PG-6]. */
static void test_progress_sent_entries_replicate(void **state)
{
    struct inflight_limits two = {.msgs = 2, .bytes = 0};
    struct progress pr;

    (void)state;
    progress_init(&pr, 1, 5, two, &trap.lg);
    pr.match = 4;
    progress_become_replicate(&pr);
    progress_sent_entries(&pr, 3, 30);
    assert_at(&pr, PROGRESS_REPLICATE, 4, 8);
    assert_false(progress_is_paused(&pr));
    progress_sent_entries(&pr, 1, 10);
    assert_true(progress_is_paused(&pr));
    pr.msg_app_flow_paused = false;
    progress_sent_entries(&pr, 0, 0);
    assert_true(progress_is_paused(&pr));
    assert_at(&pr, PROGRESS_REPLICATE, 4, 9);
    assert_int_equal(pr.inflights.bytes, 40);
    progress_release(&pr);
}

static void test_progress_sent_entries_snapshot_is_fatal(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_PROBE, 3, 5);
    progress_become_snapshot(&pr, 10);
    assert_fatal(&trap, progress_sent_entries(&pr, 1, 1));
    progress_release(&pr);
}

static void test_progress_can_bump_commit(void **state)
{
    static const struct {
        uint64_t sent;
        uint64_t commit;
        bool want;
    } cases[] = {
        {3, 3, false}, /* sent already */
        {3, 2, false},   {3, 4, true}, {8, 9, true},
        {9, 10, false}, /* the member has nothing beyond 9 to commit */
        {10, 11, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct progress pr;

        set_up(&pr, PROGRESS_REPLICATE, 5, 10);
        progress_set_sent_commit(&pr, cases[i].sent);
        assert_int_equal(progress_can_bump_commit(&pr, cases[i].commit),
                         cases[i].want);
        progress_release(&pr);
    }
}

/* The last message counts, also when it said less: the one before may be lost
 * [PG-10]. */
static void test_progress_sent_commit_is_overwritten(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_REPLICATE, 5, 10);
    progress_set_sent_commit(&pr, 8);
    progress_set_sent_commit(&pr, 5);
    assert_true(progress_can_bump_commit(&pr, 7));
    progress_release(&pr);
}

static void test_progress_reset(void **state)
{
    struct progress pr;

    (void)state;
    set_up(&pr, PROGRESS_PROBE, 5, 6);
    pr.is_learner = true;
    pr.recent_active = true;
    progress_become_replicate(&pr);
    progress_sent_entries(&pr, 3, 30);
    progress_set_sent_commit(&pr, 5);
    progress_reset(&pr, 12, (struct inflight_limits){1, 7});
    assert_at(&pr, PROGRESS_PROBE, 0, 12);
    assert_true(pr.is_learner);
    assert_false(pr.recent_active);
    assert_int_equal(pr.sent_commit, 0);
    assert_int_equal(pr.inflights.count, 0);
    assert_int_equal(pr.inflights.bytes, 0);
    assert_int_equal(pr.inflights.size, 1);
    assert_int_equal(pr.inflights.max_bytes, 7);
    progress_release(&pr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress_string),
        cmocka_unit_test(test_progress_is_paused),
        cmocka_unit_test(test_progress_resume),
        cmocka_unit_test(test_progress_become_probe),
        cmocka_unit_test(test_progress_become_replicate),
        cmocka_unit_test(test_progress_become_snapshot),
        cmocka_unit_test(test_progress_update),
        cmocka_unit_test(test_progress_update_keeps_next),
        cmocka_unit_test(test_progress_maybe_decr),
        cmocka_unit_test(test_progress_decr_lowers_sent_commit),
        cmocka_unit_test(test_progress_sent_entries_probe),
        cmocka_unit_test(test_progress_sent_entries_replicate),
        cmocka_unit_test(test_progress_sent_entries_snapshot_is_fatal),
        cmocka_unit_test(test_progress_can_bump_commit),
        cmocka_unit_test(test_progress_sent_commit_is_overwritten),
        cmocka_unit_test(test_progress_reset),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
