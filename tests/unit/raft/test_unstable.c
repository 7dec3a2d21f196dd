/* Goal: the unstable tail keeps and releases exactly what the rules UN-1 to
 * UN-9 of raft-core say.
 * Method: tables of states, one operation, the state afterwards; the invariants
 * are checked after each. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"
#include "tests/lib/fatal.h"

#include "src/raft/unstable.h"

static struct fatal_trap trap;

/* A state, as a row of a table has it. */
struct state {
    struct at ents[AT_MAX];
    uint64_t offset;
    uint64_t in_progress;
    struct at snap; /* index 0: none */
    bool snap_in_progress;
};

static void set_up(struct unstable *u, const struct state *s)
{
    struct raft_entries v = {0};

    unstable_init(u, s->offset, &trap.lg);
    u->offset_in_progress = s->in_progress;
    test_entries(&v, s->ents);
    entry_queue_append(&u->entries, v.items, v.len);
    raft_entries_release(&v);
    if (s->snap.index != 0) {
        u->snapshot = test_snapshot(s->snap.index, s->snap.term);
        u->snapshot_in_progress = s->snap_in_progress;
    }
}

static void assert_state(const struct unstable *u, const struct state *want)
{
    unstable_check(u);
    assert_int_equal(u->offset, want->offset);
    assert_int_equal(u->offset_in_progress, want->in_progress);
    assert_entries(entry_queue_items(&u->entries), unstable_len(u), want->ents);
}

static void test_unstable_maybe_first_index(void **state)
{
    static const struct {
        struct state s;
        bool ok;
        uint64_t want;
    } cases[] = {
        {{{{5, 1}}, 5, 5, {0, 0}, false}, false, 0},
        {{{{0, 0}}, 0, 0, {0, 0}, false}, false, 0},
        {{{{5, 1}}, 5, 5, {4, 1}, false}, true, 5},
        {{{{0, 0}}, 5, 5, {4, 1}, false}, true, 5},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct unstable u;
        uint64_t index = 0;

        set_up(&u, &cases[i].s);
        assert_int_equal(unstable_maybe_first_index(&u, &index), cases[i].ok);
        assert_int_equal(index, cases[i].want);
        unstable_release(&u);
    }
}

static void test_maybe_last_index(void **state)
{
    static const struct {
        struct state s;
        bool ok;
        uint64_t want;
    } cases[] = {
        {{{{5, 1}}, 5, 5, {0, 0}, false}, true, 5},
        {{{{5, 1}}, 5, 5, {4, 1}, false}, true, 5},
        {{{{0, 0}}, 5, 5, {4, 1}, false}, true, 4},
        {{{{0, 0}}, 0, 0, {0, 0}, false}, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct unstable u;
        uint64_t index = 0;

        set_up(&u, &cases[i].s);
        assert_int_equal(unstable_maybe_last_index(&u, &index), cases[i].ok);
        assert_int_equal(index, cases[i].want);
        unstable_release(&u);
    }
}

static void test_unstable_maybe_term(void **state)
{
    static const struct {
        struct state s;
        uint64_t index;
        bool ok;
        uint64_t want;
    } cases[] = {
        {{{{5, 1}}, 5, 5, {0, 0}, false}, 5, true, 1},
        {{{{5, 1}}, 5, 5, {0, 0}, false}, 6, false, 0},
        {{{{5, 1}}, 5, 5, {0, 0}, false}, 4, false, 0},
        {{{{5, 1}}, 5, 5, {4, 1}, false}, 5, true, 1},
        {{{{5, 1}}, 5, 5, {4, 1}, false}, 6, false, 0},
        {{{{5, 1}}, 5, 5, {4, 1}, false}, 4, true, 1},
        {{{{5, 1}}, 5, 5, {4, 1}, false}, 3, false, 0},
        {{{{0, 0}}, 5, 5, {4, 1}, false}, 5, false, 0},
        {{{{0, 0}}, 5, 5, {4, 1}, false}, 4, true, 1},
        {{{{0, 0}}, 0, 0, {0, 0}, false}, 5, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct unstable u;
        uint64_t term = 0;

        set_up(&u, &cases[i].s);
        assert_int_equal(unstable_maybe_term(&u, cases[i].index, &term),
                         cases[i].ok);
        assert_int_equal(term, cases[i].want);
        unstable_release(&u);
    }
}

static void test_unstable_restore(void **state)
{
    static const struct state before = {{{5, 1}}, 5, 6, {4, 1}, true};
    static const struct state after = {{{0, 0}}, 7, 7, {6, 2}, false};
    struct raft_snapshot *s = test_snapshot(6, 2);
    struct unstable u;

    (void)state;
    set_up(&u, &before);
    unstable_restore(&u, s);
    assert_state(&u, &after);
    assert_ptr_equal(u.snapshot, s);
    assert_false(u.snapshot_in_progress);
    unstable_release(&u);
    assert_int_equal(s->refs, 1);
    raft_snapshot_unref(s);
}

static void test_unstable_next_entries(void **state)
{
    static const struct {
        uint64_t in_progress;
        struct at want[AT_MAX];
    } cases[] = {
        {5, {{5, 1}, {6, 1}}},
        {6, {{6, 1}}},
        {7, {{0, 0}}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct state s = {{{5, 1}, {6, 1}}, 5, 0, {0, 0}, false};
        struct raft_entry *const *items;
        struct unstable u;
        size_t n;

        s.in_progress = cases[i].in_progress;
        set_up(&u, &s);
        n = unstable_next_entries(&u, &items);
        assert_entries(items, n, cases[i].want);
        unstable_release(&u);
    }
}

static void test_unstable_next_snapshot(void **state)
{
    static const struct state none = {{{0, 0}}, 5, 5, {0, 0}, false};
    static const struct state waiting = {{{0, 0}}, 5, 5, {4, 1}, false};
    static const struct state written = {{{0, 0}}, 5, 5, {4, 1}, true};
    struct unstable u;

    (void)state;
    set_up(&u, &none);
    assert_null(unstable_next_snapshot(&u));
    unstable_release(&u);
    set_up(&u, &waiting);
    assert_ptr_equal(unstable_next_snapshot(&u), u.snapshot);
    unstable_release(&u);
    set_up(&u, &written);
    assert_null(unstable_next_snapshot(&u));
    unstable_release(&u);
}

static void test_unstable_accept_in_progress(void **state)
{
    static const struct {
        struct state s;
        uint64_t want;
        bool want_snap;
    } cases[] = {
        {{{{0, 0}}, 5, 5, {0, 0}, false}, 5, false},
        {{{{5, 1}}, 5, 5, {0, 0}, false}, 6, false},
        {{{{5, 1}, {6, 1}}, 5, 5, {0, 0}, false}, 7, false},
        {{{{5, 1}, {6, 1}}, 5, 6, {0, 0}, false}, 7, false},
        {{{{5, 1}, {6, 1}}, 5, 7, {0, 0}, false}, 7, false},
        {{{{0, 0}}, 5, 5, {4, 1}, false}, 5, true},
        {{{{5, 1}}, 5, 5, {4, 1}, false}, 6, true},
        {{{{5, 1}, {6, 1}}, 5, 5, {4, 1}, false}, 7, true},
        {{{{5, 1}, {6, 1}}, 5, 6, {4, 1}, false}, 7, true},
        {{{{5, 1}, {6, 1}}, 5, 7, {4, 1}, false}, 7, true},
        {{{{0, 0}}, 5, 5, {4, 1}, true}, 5, true},
        {{{{5, 1}}, 5, 5, {4, 1}, true}, 6, true},
        {{{{5, 1}, {6, 1}}, 5, 5, {4, 1}, true}, 7, true},
        {{{{5, 1}, {6, 1}}, 5, 6, {4, 1}, true}, 7, true},
        {{{{5, 1}, {6, 1}}, 5, 7, {4, 1}, true}, 7, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct unstable u;

        set_up(&u, &cases[i].s);
        unstable_accept_in_progress(&u);
        unstable_check(&u);
        assert_int_equal(u.offset_in_progress, cases[i].want);
        assert_int_equal(u.snapshot_in_progress, cases[i].want_snap);
        unstable_release(&u);
    }
}

static void test_unstable_stable_to(void **state)
{
    static const struct {
        struct state s;
        struct at to;
        struct state want;
    } cases[] = {
        {{{{0, 0}}, 0, 0, {0, 0}, false},
         {5, 1},
         {{{0, 0}}, 0, 0, {0, 0}, false}},
        {{{{5, 1}}, 5, 6, {0, 0}, false},
         {5, 1},
         {{{0, 0}}, 6, 6, {0, 0}, false}},
        {{{{5, 1}, {6, 1}}, 5, 6, {0, 0}, false},
         {5, 1},
         {{{6, 1}}, 6, 6, {0, 0}, false}},
        {{{{5, 1}, {6, 1}}, 5, 7, {0, 0}, false},
         {5, 1},
         {{{6, 1}}, 6, 7, {0, 0}, false}},
        {{{{6, 2}}, 6, 7, {0, 0}, false},
         {6, 1},
         {{{6, 2}}, 6, 7, {0, 0}, false}},
        {{{{5, 1}}, 5, 6, {0, 0}, false},
         {4, 1},
         {{{5, 1}}, 5, 6, {0, 0}, false}},
        {{{{5, 1}}, 5, 6, {0, 0}, false},
         {4, 2},
         {{{5, 1}}, 5, 6, {0, 0}, false}},
        /* Stable, though nobody was asked to write it. */
        {{{{5, 1}, {6, 1}}, 5, 5, {0, 0}, false},
         {5, 1},
         {{{6, 1}}, 6, 6, {0, 0}, false}},
        /* With a snapshot. */
        {{{{5, 1}}, 5, 6, {4, 1}, false},
         {5, 1},
         {{{0, 0}}, 6, 6, {4, 1}, false}},
        {{{{5, 1}, {6, 1}}, 5, 6, {4, 1}, false},
         {5, 1},
         {{{6, 1}}, 6, 6, {4, 1}, false}},
        {{{{5, 1}, {6, 1}}, 5, 7, {4, 1}, false},
         {5, 1},
         {{{6, 1}}, 6, 7, {4, 1}, false}},
        {{{{6, 2}}, 6, 7, {5, 1}, false},
         {6, 1},
         {{{6, 2}}, 6, 7, {5, 1}, false}},
        {{{{5, 1}}, 5, 6, {4, 1}, false},
         {4, 1},
         {{{5, 1}}, 5, 6, {4, 1}, false}},
        {{{{5, 2}}, 5, 6, {4, 2}, false},
         {4, 1},
         {{{5, 2}}, 5, 6, {4, 2}, false}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct unstable u;

        set_up(&u, &cases[i].s);
        unstable_stable_to(&u, (struct entry_id){.term = cases[i].to.term,
                                                 .index = cases[i].to.index});
        assert_state(&u, &cases[i].want);
        assert_int_equal(u.snapshot != NULL, cases[i].s.snap.index != 0);
        unstable_release(&u);
    }
}

static void test_unstable_stable_snap_to(void **state)
{
    static const struct state s = {{{5, 1}}, 5, 6, {4, 1}, true};
    struct unstable u;

    (void)state;
    set_up(&u, &s);
    unstable_stable_snap_to(&u, 3);
    unstable_stable_snap_to(&u, 5);
    assert_non_null(u.snapshot);
    assert_true(u.snapshot_in_progress);
    unstable_stable_snap_to(&u, 4);
    assert_null(u.snapshot);
    assert_state(&u, &s);
    unstable_stable_snap_to(&u, 4); /* said twice */
    assert_null(u.snapshot);
    assert_state(&u, &s);
    unstable_release(&u);
}

static void test_unstable_truncate_and_append(void **state)
{
    static const struct {
        struct state s;
        struct at append[AT_MAX];
        struct state want;
    } cases[] = {
        /* Append to the end. */
        {{{{5, 1}}, 5, 5, {0, 0}, false},
         {{6, 1}, {7, 1}},
         {{{5, 1}, {6, 1}, {7, 1}}, 5, 5, {0, 0}, false}},
        {{{{5, 1}}, 5, 6, {0, 0}, false},
         {{6, 1}, {7, 1}},
         {{{5, 1}, {6, 1}, {7, 1}}, 5, 6, {0, 0}, false}},
        /* Replace everything. */
        {{{{5, 1}}, 5, 5, {0, 0}, false},
         {{5, 2}, {6, 2}},
         {{{5, 2}, {6, 2}}, 5, 5, {0, 0}, false}},
        {{{{5, 1}}, 5, 5, {0, 0}, false},
         {{4, 2}, {5, 2}, {6, 2}},
         {{{4, 2}, {5, 2}, {6, 2}}, 4, 4, {0, 0}, false}},
        {{{{5, 1}}, 5, 6, {0, 0}, false},
         {{5, 2}, {6, 2}},
         {{{5, 2}, {6, 2}}, 5, 5, {0, 0}, false}},
        /* Truncate and append. */
        {{{{5, 1}, {6, 1}, {7, 1}}, 5, 5, {0, 0}, false},
         {{6, 2}},
         {{{5, 1}, {6, 2}}, 5, 5, {0, 0}, false}},
        {{{{5, 1}, {6, 1}, {7, 1}}, 5, 5, {0, 0}, false},
         {{7, 2}, {8, 2}},
         {{{5, 1}, {6, 1}, {7, 2}, {8, 2}}, 5, 5, {0, 0}, false}},
        {{{{5, 1}, {6, 1}, {7, 1}}, 5, 6, {0, 0}, false},
         {{6, 2}},
         {{{5, 1}, {6, 2}}, 5, 6, {0, 0}, false}},
        {{{{5, 1}, {6, 1}, {7, 1}}, 5, 7, {0, 0}, false},
         {{6, 2}},
         {{{5, 1}, {6, 2}}, 5, 6, {0, 0}, false}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_entries v = {0};
        struct unstable u;

        set_up(&u, &cases[i].s);
        test_entries(&v, cases[i].append);
        unstable_truncate_and_append(&u, v.items, v.len);
        assert_state(&u, &cases[i].want);
        raft_entries_release(&v);
        unstable_release(&u);
    }
}

static void test_unstable_slice_bounds_are_fatal(void **state)
{
    static const struct state s = {{{5, 1}, {6, 1}}, 5, 5, {0, 0}, false};
    struct unstable u;

    (void)state;
    set_up(&u, &s);
    assert_ptr_equal(unstable_slice(&u, 6, 7)[0],
                     entry_queue_at(&u.entries, 1));
    assert_null(unstable_slice(&u, 7, 7));
    assert_fatal(&trap, unstable_slice(&u, 4, 6));
    assert_fatal(&trap, unstable_slice(&u, 5, 8));
    assert_fatal(&trap, unstable_slice(&u, 6, 5));
    unstable_release(&u);
}

/* Entries leave from the front of a long queue in many small steps: what is
 * left is right at each, and nothing is lost or kept. */
static void test_stable_to_in_many_steps(void **state)
{
    struct raft_entries v = {0};
    struct unstable u;

    (void)state;
    unstable_init(&u, 1, &trap.lg);
    test_entries_range(&v, 1, 301);
    unstable_truncate_and_append(&u, v.items, v.len);
    for (uint64_t i = 3; i <= 300; i += 3) {
        unstable_stable_to(&u, (struct entry_id){i, i});
        unstable_check(&u);
        assert_int_equal(u.offset, i + 1);
        assert_int_equal(unstable_len(&u), 300 - i);
        assert_int_equal(v.items[i - 1]->refs, 1);
    }
    unstable_release(&u);
    raft_entries_release(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unstable_maybe_first_index),
        cmocka_unit_test(test_maybe_last_index),
        cmocka_unit_test(test_unstable_maybe_term),
        cmocka_unit_test(test_unstable_restore),
        cmocka_unit_test(test_unstable_next_entries),
        cmocka_unit_test(test_unstable_next_snapshot),
        cmocka_unit_test(test_unstable_accept_in_progress),
        cmocka_unit_test(test_unstable_stable_to),
        cmocka_unit_test(test_unstable_stable_snap_to),
        cmocka_unit_test(test_unstable_truncate_and_append),
        cmocka_unit_test(test_unstable_slice_bounds_are_fatal),
        cmocka_unit_test(test_stable_to_in_many_steps),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
