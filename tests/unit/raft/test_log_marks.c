/* Goal: committed, applying, applied and the unstable marks move as raft-core
 * 13.2 and 13.3 say, under a budget of bytes to be applied.
 * Method: the tables of the reference's log_test.go. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"
#include "tests/lib/fatal.h"

#include "src/raft/log.h"
#include "src/raft/memory_storage.h"

static struct fatal_trap trap;
static struct memory_storage ms;
static struct raft_log l;

static struct entry_id eid(uint64_t index, uint64_t term)
{
    return (struct entry_id){.term = term, .index = index};
}

static void store(const struct at ids[AT_MAX])
{
    struct raft_entries v = {0};

    test_entries(&v, ids);
    memory_storage_append(&ms, v.items, v.len);
    raft_entries_release(&v);
}

static void append(const struct at ids[AT_MAX])
{
    struct raft_entries v = {0};

    test_entries(&v, ids);
    raft_log_append(&l, v.items, v.len);
    raft_entries_release(&v);
}

static void set_up(uint64_t budget)
{
    memory_storage_init(&ms, &trap.lg);
    raft_log_init(&l, &ms.base, budget, &trap.lg);
}

/* Stored: a snapshot at 3@1 and the entry 4@1. In the log 4@1 5@1 6@1, of which
 * 4@1 is acknowledged. Committed: 5. */
static void set_up_committed(uint64_t budget)
{
    struct raft_snapshot *s = test_snapshot(3, 1);

    memory_storage_init(&ms, &trap.lg);
    assert_int_equal(memory_storage_apply_snapshot(&ms, s), 0);
    raft_snapshot_unref(s);
    store((struct at[AT_MAX]){{4, 1}});
    raft_log_init(&l, &ms.base, budget, &trap.lg);
    append((struct at[AT_MAX]){{4, 1}, {5, 1}, {6, 1}});
    raft_log_stable_to(&l, eid(4, 1));
    assert_true(raft_log_maybe_commit(&l, eid(5, 1)));
}

static void tear_down(void)
{
    raft_log_check(&l);
    raft_log_release(&l);
    memory_storage_release(&ms);
}

/* --- committing --- */

static void assert_commit_to(uint64_t to, uint64_t want)
{
    set_up(UINT64_MAX);
    append((struct at[AT_MAX]){{1, 1}, {2, 2}, {3, 3}});
    raft_log_commit_to(&l, 2);
    raft_log_commit_to(&l, to);
    assert_int_equal(l.committed, want);
    tear_down();
}

static void test_commit_to(void **state)
{
    (void)state;
    assert_commit_to(3, 3);
    assert_commit_to(1, 2); /* never decreases */
    set_up(UINT64_MAX);
    append((struct at[AT_MAX]){{1, 1}, {2, 2}, {3, 3}});
    assert_fatal(&trap, raft_log_commit_to(&l, 4));
    assert_int_equal(l.committed, 0);
    tear_down();
}

static void test_maybe_commit_needs_own_term(void **state)
{
    (void)state;
    set_up(UINT64_MAX);
    append((struct at[AT_MAX]){{1, 1}, {2, 2}});
    assert_false(raft_log_maybe_commit(&l, eid(2, 0)));
    assert_false(raft_log_maybe_commit(&l, eid(1, 2)));
    assert_false(raft_log_maybe_commit(&l, eid(3, 2)));
    assert_false(raft_log_maybe_commit(&l, eid(UINT64_MAX, 2)));
    assert_true(raft_log_maybe_commit(&l, eid(2, 2)));
    assert_false(raft_log_maybe_commit(&l, eid(2, 2)));
    assert_int_equal(l.committed, 2);
    tear_down();
}

/* --- handing out to be made stable --- */

static void test_next_unstable_ents(void **state)
{
    static const struct at ents[AT_MAX] = {{1, 1}, {2, 2}};
    struct raft_entries v = {0};

    (void)state;
    /* All stable: nothing to hand out. */
    memory_storage_init(&ms, &trap.lg);
    store(ents);
    raft_log_init(&l, &ms.base, UINT64_MAX, &trap.lg);
    assert_false(raft_log_has_next_unstable_ents(&l));
    raft_log_next_unstable_ents(&l, &v);
    assert_int_equal(v.len, 0);
    tear_down();

    set_up(UINT64_MAX);
    append(ents);
    assert_true(raft_log_has_next_unstable_ents(&l));
    raft_log_next_unstable_ents(&l, &v);
    assert_entries(v.items, v.len, ents);
    raft_log_accept_unstable(&l);
    assert_false(raft_log_has_next_unstable_ents(&l));
    assert_true(raft_log_has_next_or_in_progress_unstable_ents(&l));
    raft_log_stable_to(&l, eid(2, 2));
    assert_int_equal(l.unstable.offset, 3);
    assert_false(raft_log_has_next_or_in_progress_unstable_ents(&l));
    raft_entries_release(&v);
    tear_down();
}

static void test_stable_to(void **state)
{
    static const struct {
        struct at to;
        uint64_t want;
    } cases[] = {{{1, 1}, 2}, {{2, 2}, 3}, {{2, 1}, 1}, {{3, 1}, 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set_up(UINT64_MAX);
        append((struct at[AT_MAX]){{1, 1}, {2, 2}});
        raft_log_stable_to(&l, eid(cases[i].to.index, cases[i].to.term));
        assert_int_equal(l.unstable.offset, cases[i].want);
        tear_down();
    }
}

static void test_stable_to_with_snap(void **state)
{
    static const struct at news[2][AT_MAX] = {{{0, 0}}, {{6, 2}}};

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(news); k++) {
        for (uint64_t index = 4; index <= 6; index++) {
            for (uint64_t term = 2; term <= 3; term++) {
                struct raft_snapshot *s = test_snapshot(5, 2);
                bool moves = k == 1 && index == 6 && term == 2;

                memory_storage_init(&ms, &trap.lg);
                assert_int_equal(memory_storage_apply_snapshot(&ms, s), 0);
                raft_snapshot_unref(s);
                raft_log_init(&l, &ms.base, UINT64_MAX, &trap.lg);
                append(news[k]);
                raft_log_stable_to(&l, eid(index, term));
                assert_int_equal(l.unstable.offset, moves ? 7 : 6);
                tear_down();
            }
        }
    }
}

/* [raft-core UN-6]: the unstable snapshot lies well before the entries that are
 * left. An acknowledgement that names its index releases none of them. */
static void test_acknowledgement_at_the_snapshot_releases_nothing(void **state)
{
    struct raft_snapshot *s = test_snapshot(4, 1);

    (void)state;
    set_up(UINT64_MAX);
    raft_log_restore(&l, s);
    raft_snapshot_unref(s);
    append((struct at[AT_MAX]){{5, 1}, {6, 1}, {7, 1}});
    raft_log_accept_unstable(&l);
    raft_log_stable_to(&l, eid(6, 1));
    assert_int_equal(l.unstable.offset, 7);
    raft_log_stable_to(&l, eid(4, 1));
    assert_int_equal(l.unstable.offset, 7);
    assert_int_equal(unstable_len(&l.unstable), 1);
    /* The snapshot still covers what the storage lacks. */
    raft_log_stable_snap_to(&l, 4);
    raft_log_release(&l);
    memory_storage_release(&ms);
}

/* --- handing out to be applied --- */

struct next_committed_case {
    uint64_t applied;
    uint64_t applying;
    bool allow_unstable;
    bool paused;
    bool snap;
    struct at want[AT_MAX];
};

static const struct next_committed_case next_committed_cases[] = {
    {3, 3, true, false, false, {{4, 1}, {5, 1}}},
    {3, 4, true, false, false, {{5, 1}}},
    {3, 5, true, false, false, {{0, 0}}},
    {4, 4, true, false, false, {{5, 1}}},
    {4, 5, true, false, false, {{0, 0}}},
    {5, 5, true, false, false, {{0, 0}}},
    /* Unstable entries are not allowed. */
    {3, 3, false, false, false, {{4, 1}}},
    {3, 4, false, false, false, {{0, 0}}},
    {3, 5, false, false, false, {{0, 0}}},
    {4, 4, false, false, false, {{0, 0}}},
    {4, 5, false, false, false, {{0, 0}}},
    {5, 5, false, false, false, {{0, 0}}},
    /* Paused, and with a snapshot to be applied first. */
    {3, 3, true, true, false, {{0, 0}}},
    {3, 3, true, false, true, {{0, 0}}},
};

static void set_up_next_committed(const struct next_committed_case *c)
{
    set_up_committed(UINT64_MAX);
    raft_log_applied_to(&l, c->applied, 0);
    raft_log_accept_applying(&l, c->applying, 0, c->allow_unstable);
    l.applying_ents_paused = c->paused;
    if (c->snap) {
        /* Not by raft_log_restore: the marks are to stay as they are. */
        l.unstable.snapshot = test_snapshot(4, 1);
    }
}

static void test_has_next_committed_ents(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(next_committed_cases); i++) {
        const struct next_committed_case *c = &next_committed_cases[i];

        set_up_next_committed(c);
        assert_int_equal(
            raft_log_has_next_committed_ents(&l, c->allow_unstable),
            c->want[0].index != 0);
        tear_down();
    }
}

static void test_next_committed_ents(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(next_committed_cases); i++) {
        const struct next_committed_case *c = &next_committed_cases[i];
        struct raft_entries v = {0};

        set_up_next_committed(c);
        raft_log_next_committed_ents(&l, c->allow_unstable, &v);
        assert_entries(v.items, v.len, c->want);
        raft_entries_release(&v);
        tear_down();
    }
}

static void test_accept_applying(void **state)
{
    static const struct {
        uint64_t index;
        bool allow_unstable;
        uint64_t size;
        bool want_paused;
    } cases[] = {
        {3, true, 99, true},   {3, true, 100, true},  {3, true, 101, true},
        {4, true, 99, true},   {4, true, 100, true},  {4, true, 101, true},
        {5, true, 99, false},  {5, true, 100, true},  {5, true, 101, true},
        {3, false, 99, true},  {3, false, 100, true}, {3, false, 101, true},
        {4, false, 99, false}, {4, false, 100, true}, {4, false, 101, true},
        {5, false, 99, false}, {5, false, 100, true}, {5, false, 101, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set_up_committed(100);
        raft_log_applied_to(&l, 3, 0);
        raft_log_accept_applying(&l, cases[i].index, cases[i].size,
                                 cases[i].allow_unstable);
        assert_int_equal(l.applying_ents_paused, cases[i].want_paused);
        tear_down();
    }
}

/* What is handed out and not acknowledged counts: only the rest of the budget
 * is left for what is committed later [LOG-13]. */
static void test_budget_is_shared_by_what_is_outstanding(void **state)
{
    struct raft_entry *e = test_entry(1, 1);
    uint64_t size = raft_entry_size(e);
    struct raft_entries out = {0};

    (void)state;
    raft_entry_unref(e);
    set_up(3 * size);
    append((struct at[AT_MAX]){{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}});
    raft_log_commit_to(&l, 2);
    raft_log_accept_applying(&l, 2, 2 * size, true);
    assert_false(l.applying_ents_paused);
    raft_log_commit_to(&l, 5);
    raft_log_next_committed_ents(&l, true, &out);
    assert_entries(out.items, out.len, (struct at[AT_MAX]){{3, 1}});
    raft_entries_reset(&out);
    /* Acknowledged, they make room. */
    raft_log_applied_to(&l, 2, 2 * size);
    raft_log_next_committed_ents(&l, true, &out);
    assert_entries(out.items, out.len,
                   (struct at[AT_MAX]){{3, 1}, {4, 1}, {5, 1}});
    raft_entries_release(&out);
    tear_down();
}

/* [raft-core LOG-13, AS-9]: what is handed out next has to fit into what is
 * left of the budget. */
static void test_budget_counts_what_is_outstanding(void **state)
{
    struct raft_entries out = {0};

    (void)state;
    set_up(100);
    append((struct at[AT_MAX]){{1, 1}, {2, 1}, {3, 1}, {4, 1}});
    raft_log_commit_to(&l, 1);
    raft_log_accept_applying(&l, 1, 90, true);
    raft_log_commit_to(&l, 4);
    raft_log_next_committed_ents(&l, true, &out);
    assert_entries(out.items, out.len, (struct at[AT_MAX]){{2, 1}});
    raft_entries_reset(&out);
    raft_log_applied_to(&l, 1, 90);
    raft_log_next_committed_ents(&l, true, &out);
    assert_entries(out.items, out.len,
                   (struct at[AT_MAX]){{2, 1}, {3, 1}, {4, 1}});
    raft_entries_release(&out);
    tear_down();
}

static void test_applied_to(void **state)
{
    static const struct {
        uint64_t index;
        uint64_t size;
        uint64_t want_applying;
        uint64_t want_size;
        bool want_paused;
    } cases[] = {
        {4, 4, 5, 101, true},  {4, 5, 5, 100, true},  {4, 6, 5, 99, false},
        {5, 4, 5, 101, true},  {5, 5, 5, 100, true},  {5, 6, 5, 99, false},
        {4, 105, 5, 0, false}, {5, 106, 5, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set_up_committed(100);
        raft_log_applied_to(&l, 3, 0);
        raft_log_accept_applying(&l, 5, 105, false);
        raft_log_applied_to(&l, cases[i].index, cases[i].size);
        assert_int_equal(l.applied, cases[i].index);
        assert_int_equal(l.applying, cases[i].want_applying);
        assert_int_equal(l.applying_ents_size, cases[i].want_size);
        assert_int_equal(l.applying_ents_paused, cases[i].want_paused);
        tear_down();
    }
}

static void test_applied_to_out_of_range_is_fatal(void **state)
{
    (void)state;
    set_up_committed(100);
    raft_log_applied_to(&l, 4, 0);
    assert_fatal(&trap, raft_log_applied_to(&l, 3, 0));
    assert_fatal(&trap, raft_log_applied_to(&l, 6, 0));
    assert_fatal(&trap, raft_log_accept_applying(&l, 6, 0, true));
    tear_down();
}

/* A budget of 0 hands out one entry at a time and does not get stuck [PF-20].
 */
static void test_zero_budget_hands_out_single_entries(void **state)
{
    struct raft_entries v = {0};

    (void)state;
    set_up_committed(0);
    for (uint64_t index = 4; index <= 5; index++) {
        raft_entries_reset(&v);
        raft_log_next_committed_ents(&l, true, &v);
        assert_int_equal(v.len, 1);
        assert_int_equal(v.items[0]->index, index);
        raft_log_accept_applying(&l, index, raft_entry_size(v.items[0]), true);
        assert_false(raft_log_has_next_committed_ents(&l, true));
        raft_log_applied_to(&l, index, raft_entry_size(v.items[0]));
    }
    assert_false(raft_log_has_next_committed_ents(&l, true));
    raft_entries_release(&v);
    tear_down();
}

/* An unstable snapshot answers before the storage, and leaves when it is
 * acknowledged. */
static void test_snapshot_of_log(void **state)
{
    struct raft_snapshot *s = test_snapshot(9, 2);
    struct raft_snapshot *got = NULL;

    (void)state;
    set_up_committed(UINT64_MAX);
    assert_int_equal(raft_log_snapshot(&l, &got), 0);
    assert_int_equal(got->index, 3);
    raft_snapshot_unref(got);
    assert_false(raft_log_has_next_unstable_snapshot(&l));

    raft_log_restore(&l, s);
    raft_log_check(&l);
    assert_int_equal(l.committed, 9);
    assert_int_equal(raft_log_first_index(&l), 10);
    assert_int_equal(raft_log_last_index(&l), 9);
    assert_ptr_equal(raft_log_next_unstable_snapshot(&l), s);
    assert_int_equal(raft_log_snapshot(&l, &got), 0);
    assert_ptr_equal(got, s);
    raft_snapshot_unref(got);
    raft_log_accept_unstable(&l);
    assert_null(raft_log_next_unstable_snapshot(&l));
    assert_true(raft_log_has_next_or_in_progress_snapshot(&l));
    assert_int_equal(memory_storage_apply_snapshot(&ms, s), 0);
    raft_log_stable_snap_to(&l, 9);
    assert_false(raft_log_has_next_or_in_progress_snapshot(&l));
    raft_snapshot_unref(s);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_to),
        cmocka_unit_test(test_maybe_commit_needs_own_term),
        cmocka_unit_test(test_next_unstable_ents),
        cmocka_unit_test(test_stable_to),
        cmocka_unit_test(test_stable_to_with_snap),
        cmocka_unit_test(test_acknowledgement_at_the_snapshot_releases_nothing),
        cmocka_unit_test(test_has_next_committed_ents),
        cmocka_unit_test(test_next_committed_ents),
        cmocka_unit_test(test_accept_applying),
        cmocka_unit_test(test_budget_is_shared_by_what_is_outstanding),
        cmocka_unit_test(test_budget_counts_what_is_outstanding),
        cmocka_unit_test(test_applied_to),
        cmocka_unit_test(test_applied_to_out_of_range_is_fatal),
        cmocka_unit_test(test_zero_budget_hands_out_single_entries),
        cmocka_unit_test(test_snapshot_of_log),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
