/* Goal: the log answers, matches, appends and slices over the border of its
 * stable and unstable part as raft-core 13.1, 13.2 and 13.4 say.
 * Method: the tables of the reference's log_test.go, and for slices and scans
 * every range against the plain list of entries. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"
#include "tests/lib/fatal.h"

#include "src/raft/log.h"
#include "src/raft/memory_storage.h"

static struct fatal_trap trap;
static struct memory_storage ms;
static struct raft_log l;

/* Not a local: append() may leave by a fatal condition. */
static struct raft_entries scratch;

static struct entry_id eid(uint64_t index, uint64_t term)
{
    return (struct entry_id){.term = term, .index = index};
}

static void log_open(void)
{
    raft_log_init(&l, &ms.base, UINT64_MAX, &trap.lg);
}

/* A log whose stable part holds `stored` and whose unstable part `tail`. */
static void set_up(const struct at stored[AT_MAX], const struct at tail[AT_MAX])
{
    struct raft_entries v = {0};

    memory_storage_init(&ms, &trap.lg);
    if (stored != NULL) {
        test_entries(&v, stored);
        memory_storage_append(&ms, v.items, v.len);
        raft_entries_reset(&v);
    }
    log_open();
    if (tail != NULL) {
        test_entries(&v, tail);
        raft_log_append(&l, v.items, v.len);
    }
    raft_entries_release(&v);
}

/* A log that starts after a stored snapshot at index@term. */
static void set_up_snapshot(uint64_t index, uint64_t term)
{
    struct raft_snapshot *s = test_snapshot(index, term);

    memory_storage_init(&ms, &trap.lg);
    assert_int_equal(memory_storage_apply_snapshot(&ms, s), 0);
    raft_snapshot_unref(s);
}

static void tear_down(void)
{
    raft_log_check(&l);
    raft_log_release(&l);
    memory_storage_release(&ms);
    raft_entries_release(&scratch);
}

static void append(const struct at ids[AT_MAX])
{
    raft_entries_reset(&scratch);
    test_entries(&scratch, ids);
    raft_log_append(&l, scratch.items, scratch.len);
}

/* Append lo@lo ... to the stable part, to the log. */
static void store_range(uint64_t lo, uint64_t hi)
{
    struct raft_entries v = {0};

    test_entries_range(&v, lo, hi);
    memory_storage_append(&ms, v.items, v.len);
    raft_entries_release(&v);
}

static void append_range(uint64_t lo, uint64_t hi)
{
    struct raft_entries v = {0};

    test_entries_range(&v, lo, hi);
    raft_log_append(&l, v.items, v.len);
    raft_entries_release(&v);
}

/* --- matching --- */

static void test_find_conflict(void **state)
{
    static const struct {
        struct at ents[AT_MAX];
        uint64_t want;
    } cases[] = {
        {{{0, 0}}, 0},
        {{{1, 1}, {2, 2}, {3, 3}}, 0},
        {{{2, 2}, {3, 3}}, 0},
        {{{3, 3}}, 0},
        {{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 4}}, 4},
        {{{2, 2}, {3, 3}, {4, 4}, {5, 5}}, 4},
        {{{3, 3}, {4, 4}, {5, 4}}, 4},
        {{{4, 4}, {5, 4}}, 4},
        {{{1, 4}, {2, 4}}, 1},
        {{{2, 1}, {3, 4}, {4, 4}}, 2},
        {{{3, 1}, {4, 2}, {5, 4}, {6, 4}}, 3},
    };

    (void)state;
    set_up(NULL, (struct at[AT_MAX]){{1, 1}, {2, 2}, {3, 3}});
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_entries v = {0};

        test_entries(&v, cases[i].ents);
        assert_int_equal(raft_log_find_conflict(&l, v.items, v.len),
                         cases[i].want);
        raft_entries_release(&v);
    }
    tear_down();
}

static void assert_find_conflict_by_term(const struct at *hints,
                                         const uint64_t *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct entry_id got = raft_log_find_conflict_by_term(
            &l, eid(hints[i].index, hints[i].term));

        assert_int_equal(got.index, want[i]);
        assert_int_equal(got.term,
                         raft_log_zero_term_on_out_of_bounds(&l, want[i]));
    }
}

static void test_find_conflict_by_term(void **state)
{
    static const struct at hints[] = {{100, 2}, {5, 6}, {5, 5}, {5, 4}, {5, 2},
                                      {5, 1},   {1, 2}, {1, 1}, {0, 0}};
    static const uint64_t want[] = {100, 5, 5, 2, 2, 0, 1, 0, 0};
    static const struct at snap_hints[] = {{30, 3}, {14, 9}, {14, 4}, {14, 3},
                                           {14, 2}, {11, 5}, {10, 5}, {10, 3},
                                           {10, 2}, {9, 2},  {4, 2},  {0, 0}};
    static const uint64_t snap_want[] = {30, 14, 14, 12, 9, 11,
                                         10, 10, 9,  9,  4, 0};

    (void)state;
    set_up(NULL, (struct at[AT_MAX]){{1, 2}, {2, 2}, {3, 5}, {4, 5}, {5, 5}});
    assert_find_conflict_by_term(hints, want, ARRAY_LEN(want));
    tear_down();

    set_up_snapshot(10, 3);
    log_open();
    append((struct at[AT_MAX]){{11, 3}, {12, 3}, {13, 4}, {14, 4}, {15, 4}});
    assert_find_conflict_by_term(snap_hints, snap_want, ARRAY_LEN(snap_want));
    tear_down();
}

static void test_is_up_to_date(void **state)
{
    (void)state;
    set_up(NULL, (struct at[AT_MAX]){{1, 1}, {2, 2}, {3, 3}});
    for (uint64_t index = 2; index <= 4; index++) {
        assert_true(raft_log_is_up_to_date(&l, eid(index, 4)));
        assert_false(raft_log_is_up_to_date(&l, eid(index, 2)));
        assert_int_equal(raft_log_is_up_to_date(&l, eid(index, 3)), index >= 3);
    }
    tear_down();
}

/* --- appending --- */

static void test_append(void **state)
{
    static const struct {
        struct at ents[AT_MAX];
        uint64_t last;
        struct at want[AT_MAX];
        uint64_t offset;
    } cases[] = {
        {{{0, 0}}, 2, {{1, 1}, {2, 2}}, 3},
        {{{3, 2}}, 3, {{1, 1}, {2, 2}, {3, 2}}, 3},
        {{{1, 2}}, 1, {{1, 2}}, 1},
        {{{2, 3}, {3, 3}}, 3, {{1, 1}, {2, 3}, {3, 3}}, 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_entries v = {0};
        struct raft_entries all = {0};

        set_up((struct at[AT_MAX]){{1, 1}, {2, 2}}, NULL);
        test_entries(&v, cases[i].ents);
        assert_int_equal(raft_log_append(&l, v.items, v.len), cases[i].last);
        assert_int_equal(raft_log_entries(&l, 1, UINT64_MAX, &all), 0);
        assert_entries(all.items, all.len, cases[i].want);
        assert_int_equal(l.unstable.offset, cases[i].offset);
        raft_entries_release(&v);
        raft_entries_release(&all);
        tear_down();
    }
}

static void test_append_below_committed_is_fatal(void **state)
{
    (void)state;
    set_up(NULL, (struct at[AT_MAX]){{1, 1}, {2, 2}, {3, 3}});
    raft_log_commit_to(&l, 2);
    assert_fatal(&trap, append((struct at[AT_MAX]){{2, 3}}));
    append((struct at[AT_MAX]){{3, 4}});
    tear_down();
}

/* One case of maybe_append, on the log 1@1 2@2 3@3 with commit 1. */
struct maybe_append_case {
    struct at prev;
    uint64_t leader_commit;
    struct at ents[AT_MAX];
    bool ok;
    uint64_t last_new;
    uint64_t want_commit;
    bool fatal;
};

static void run_maybe_append(const struct maybe_append_case *c)
{
    struct raft_entries v = {0};
    struct raft_entries got = {0};
    struct log_slice s = {.term = 9, .prev = eid(c->prev.index, c->prev.term)};
    uint64_t last_new = 0;

    set_up(NULL, (struct at[AT_MAX]){{1, 1}, {2, 2}, {3, 3}});
    raft_log_commit_to(&l, 1);
    test_entries(&v, c->ents);
    s.entries = v.items;
    s.n = v.len;
    assert_true(log_slice_is_valid(&s));
    if (c->fatal) {
        assert_fatal(
            &trap, raft_log_maybe_append(&l, &s, c->leader_commit, &last_new));
    } else {
        assert_int_equal(
            raft_log_maybe_append(&l, &s, c->leader_commit, &last_new), c->ok);
        assert_int_equal(last_new, c->last_new);
        assert_int_equal(l.committed, c->want_commit);
    }
    if (c->ok && s.n > 0) {
        assert_int_equal(raft_log_slice(&l, s.prev.index + 1,
                                        s.prev.index + s.n + 1, UINT64_MAX,
                                        &got),
                         0);
        assert_entries(got.items, got.len, c->ents);
    }
    raft_entries_release(&v);
    raft_entries_release(&got);
    tear_down();
}

static void test_log_maybe_append(void **state)
{
    static const struct maybe_append_case cases[] = {
        /* Not matched: term mismatch, out of bound. */
        {{3, 2}, 3, {{4, 4}}, false, 0, 1, false},
        {{4, 3}, 3, {{5, 4}}, false, 0, 1, false},
        /* Matched, nothing new: the commit is capped at the slice's end. */
        {{3, 3}, 3, {{0, 0}}, true, 3, 3, false},
        {{3, 3}, 4, {{0, 0}}, true, 3, 3, false},
        {{3, 3}, 2, {{0, 0}}, true, 3, 2, false},
        {{3, 3}, 0, {{0, 0}}, true, 3, 1, false},
        {{0, 0}, 3, {{0, 0}}, true, 0, 1, false},
        /* Matched, new entries. */
        {{3, 3}, 3, {{4, 4}}, true, 4, 3, false},
        {{3, 3}, 4, {{4, 4}}, true, 4, 4, false},
        {{3, 3}, 5, {{4, 4}}, true, 4, 4, false},
        {{3, 3}, 5, {{4, 4}, {5, 4}}, true, 5, 5, false},
        /* Matched with an entry in the middle: truncates. */
        {{2, 2}, 3, {{3, 4}}, true, 3, 3, false},
        {{1, 1}, 3, {{2, 4}}, true, 2, 2, false},
        {{0, 0}, 3, {{1, 4}}, false, 0, 0, true},
        {{1, 1}, 3, {{2, 4}, {3, 4}}, true, 3, 3, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        run_maybe_append(&cases[i]);
    }
}

/* A late, shorter append repeats what is there: nothing is truncated. */
static void test_maybe_append_stale_does_not_truncate(void **state)
{
    struct raft_entries v = {0};
    struct log_slice s = {.term = 3, .prev = eid(0, 0)};
    uint64_t last_new = 0;

    (void)state;
    set_up(NULL, (struct at[AT_MAX]){{1, 1}, {2, 2}, {3, 3}});
    test_entries(&v, (struct at[AT_MAX]){{1, 1}, {2, 2}});
    s.entries = v.items;
    s.n = v.len;
    assert_true(raft_log_maybe_append(&l, &s, 9, &last_new));
    assert_int_equal(last_new, 2);
    assert_int_equal(l.committed, 2);
    assert_int_equal(raft_log_last_index(&l), 3);
    raft_entries_release(&v);
    tear_down();
}

/* --- compaction and restore --- */

static void test_compaction_side_effects(void **state)
{
    struct raft_entries v = {0};

    (void)state;
    memory_storage_init(&ms, &trap.lg);
    store_range(1, 751);
    log_open();
    append_range(751, 1001);
    assert_true(raft_log_maybe_commit(&l, eid(1000, 1000)));
    raft_log_applied_to(&l, l.committed, 0);
    assert_int_equal(memory_storage_compact(&ms, 500), 0);

    assert_int_equal(raft_log_last_index(&l), 1000);
    for (uint64_t i = 500; i <= 1000; i++) {
        assert_int_equal(raft_log_zero_term_on_out_of_bounds(&l, i), i);
        assert_true(raft_log_match_term(&l, eid(i, i)));
    }
    raft_log_next_unstable_ents(&l, &v);
    assert_int_equal(v.len, 250);
    assert_int_equal(v.items[0]->index, 751);
    append_range(1001, 1002);
    assert_int_equal(raft_log_last_index(&l), 1001);
    raft_entries_reset(&v);
    assert_int_equal(raft_log_entries(&l, 1001, UINT64_MAX, &v), 0);
    assert_int_equal(v.len, 1);
    raft_entries_release(&v);
    tear_down();
}

static size_t count_all(void)
{
    struct raft_entries all = {0};
    size_t n;

    raft_log_all_entries(&l, &all);
    n = all.len;
    raft_entries_release(&all);
    return n;
}

static void test_compaction(void **state)
{
    static const uint64_t at[] = {300, 500, 800, 900};
    int rc;

    (void)state;
    memory_storage_init(&ms, &trap.lg);
    store_range(1, 1001);
    log_open();
    assert_true(raft_log_maybe_commit(&l, eid(1000, 1000)));
    raft_log_applied_to(&l, l.committed, 0);
    assert_fatal(&trap, rc = memory_storage_compact(&ms, 1001));
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        assert_int_equal(memory_storage_compact(&ms, at[i]), 0);
        assert_int_equal(count_all(), 1000 - at[i]);
    }
    rc = memory_storage_compact(&ms, 899);
    assert_int_equal(rc, ERR_COMPACTED);
    tear_down();
}

static void test_log_restore(void **state)
{
    (void)state;
    set_up_snapshot(1000, 1000);
    log_open();
    assert_int_equal(count_all(), 0);
    assert_int_equal(raft_log_first_index(&l), 1001);
    assert_int_equal(l.committed, 1000);
    assert_int_equal(l.unstable.offset, 1001);
    assert_int_equal(raft_log_zero_term_on_out_of_bounds(&l, 1000), 1000);
    tear_down();
}

/* --- terms and bounds --- */

static void assert_term(uint64_t index, int want_rc, uint64_t want)
{
    uint64_t term = 77;

    assert_int_equal(raft_log_term(&l, index, &term), want_rc);
    assert_int_equal(term, want);
}

static void test_term(void **state)
{
    struct raft_entries v = {0};

    (void)state;
    set_up_snapshot(100, 1);
    log_open();
    for (uint64_t i = 1; i < 100; i++) {
        raft_entries_take(&v, test_entry(100 + i, i));
    }
    raft_log_append(&l, v.items, v.len);
    assert_term(99, ERR_COMPACTED, 0);
    assert_term(100, 0, 1);
    assert_term(150, 0, 50);
    assert_term(199, 0, 99);
    assert_term(200, ERR_UNAVAILABLE, 0);
    raft_entries_release(&v);
    tear_down();
}

static void test_term_with_unstable_snapshot(void **state)
{
    struct raft_snapshot *s = test_snapshot(105, 1);

    (void)state;
    set_up_snapshot(100, 1);
    log_open();
    raft_log_restore(&l, s);
    raft_snapshot_unref(s);
    assert_term(100, ERR_COMPACTED, 0);
    assert_term(101, ERR_COMPACTED, 0);
    assert_term(104, ERR_COMPACTED, 0);
    assert_term(105, 0, 1);
    assert_term(106, ERR_UNAVAILABLE, 0);
    tear_down();
}

/* Entries 101..199 with the border of stable and unstable at 150. */
static void set_up_halves(void)
{
    set_up_snapshot(100, 100);
    store_range(101, 150);
    log_open();
    append_range(150, 201);
}

static int slice_count(uint64_t lo, uint64_t hi, uint64_t max, size_t *n)
{
    struct raft_entries v = {0};
    int rc = raft_log_slice(&l, lo, hi, max, &v);

    *n = v.len;
    raft_entries_release(&v);
    return rc;
}

static void test_is_out_of_bounds(void **state)
{
    static const uint64_t empty_at[] = {101, 151, 200, 201};
    size_t n;
    int rc;

    (void)state;
    set_up_halves();
    assert_int_equal(slice_count(99, 101, UINT64_MAX, &n), ERR_COMPACTED);
    assert_int_equal(slice_count(100, 101, UINT64_MAX, &n), ERR_COMPACTED);
    for (size_t i = 0; i < ARRAY_LEN(empty_at); i++) {
        assert_int_equal(slice_count(empty_at[i], empty_at[i], UINT64_MAX, &n),
                         0);
        assert_int_equal(n, 0);
    }
    assert_fatal(&trap, rc = slice_count(201, 202, UINT64_MAX, &n));
    assert_fatal(&trap, rc = slice_count(202, 202, UINT64_MAX, &n));
    assert_fatal(&trap, rc = slice_count(151, 150, UINT64_MAX, &n));
    (void)rc;
    tear_down();
}

/* --- slices and scans --- */

/* The range with this limit is the longest prefix that fits, as if the log were
 * the one list `all`, which begins at index 101. */
static void assert_slice(const struct raft_entries *all, uint64_t lo,
                         uint64_t hi, uint64_t max)
{
    size_t want = raft_entries_limit(all->items + (lo - 101), hi - lo, max);
    size_t n;

    assert_int_equal(slice_count(lo, hi, max, &n), 0);
    assert_int_equal(n, want);
}

static void test_slice(void **state)
{
    struct raft_entries all = {0};
    uint64_t e;

    (void)state;
    set_up_halves();
    test_entries_range(&all, 101, 201);
    e = raft_entry_size(all.items[0]);
    for (uint64_t lo = 101; lo <= 201; lo += 3) {
        /* Of the stable part alone, and one byte more. */
        uint64_t stored =
            lo < 150 ? raft_entries_size(all.items + (lo - 101), 150 - lo) : e;

        for (uint64_t hi = lo; hi <= 201; hi++) {
            assert_slice(&all, lo, hi, 0);
            assert_slice(&all, lo, hi, e - 1);
            assert_slice(&all, lo, hi, 3 * e);
            assert_slice(&all, lo, hi, stored);
            assert_slice(&all, lo, hi, stored + 1);
            assert_slice(&all, lo, hi, UINT64_MAX);
        }
    }
    raft_entries_release(&all);
    tear_down();
}

/* A stable entry that does not fit ends the slice, even if the unstable one
 * behind it would: there are no gaps. */
static void test_slice_has_no_gaps(void **state)
{
    struct raft_entry *big = test_entry_sized(2, 2, 1000);
    struct raft_entries v = {0};

    (void)state;
    memory_storage_init(&ms, &trap.lg);
    store_range(1, 2);
    memory_storage_append(&ms, &big, 1);
    raft_entry_unref(big);
    log_open();
    append_range(3, 4);
    assert_int_equal(raft_log_slice(&l, 1, 4, 100, &v), 0);
    assert_entries(v.items, v.len, (struct at[AT_MAX]){{1, 1}});
    raft_entries_release(&v);
    tear_down();
}

/* [raft-core LOG-18, LOG-4]: entries that the storage has yet, but that an
 * unstable snapshot has replaced, are gone. */
static void test_slice_before_an_unstable_snapshot(void **state)
{
    struct raft_snapshot *s = test_snapshot(5, 2);
    struct raft_entries out = {0};

    (void)state;
    set_up((struct at[AT_MAX]){{1, 1}, {2, 1}, {3, 1}}, NULL);
    raft_log_restore(&l, s);
    raft_snapshot_unref(s);
    assert_int_equal(raft_log_slice(&l, 1, 3, UINT64_MAX, &out), ERR_COMPACTED);
    assert_int_equal(raft_log_entries(&l, 2, UINT64_MAX, &out), ERR_COMPACTED);
    assert_int_equal(out.len, 0);
    raft_entries_release(&out);
    tear_down();
}

/* Slices are appended to what the caller has, and hold the right entries on
 * both sides of the border. */
static void test_slice_appends_to_vector(void **state)
{
    struct raft_entries v = {0};

    (void)state;
    set_up_halves();
    assert_int_equal(raft_log_slice(&l, 149, 152, UINT64_MAX, &v), 0);
    assert_int_equal(raft_log_slice(&l, 150, 151, UINT64_MAX, &v), 0);
    assert_entries(
        v.items, v.len,
        (struct at[AT_MAX]){{149, 149}, {150, 150}, {151, 151}, {150, 150}});
    assert_int_equal(raft_log_slice(&l, 90, 102, UINT64_MAX, &v),
                     ERR_COMPACTED);
    assert_int_equal(v.len, 4);
    raft_entries_release(&v);
    tear_down();
}

struct scan_state {
    uint64_t next;   /* the index that must come next */
    size_t page_max; /* entries that fit into a page */
    size_t pages;
    size_t full_pages; /* of page_max entries */
    size_t stop_after; /* pages; 0: never */
};

static int scan_cb(void *ctx, struct raft_entry *const *items, size_t n)
{
    struct scan_state *s = ctx;

    assert_true(n >= 1);
    assert_true(n <= s->page_max);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(items[i]->index, s->next++);
    }
    s->pages++;
    s->full_pages += n == s->page_max ? 1 : 0;
    return s->pages == s->stop_after ? ERR_STOPPED : 0;
}

static void test_scan(void **state)
{
    struct raft_entry *one = test_entry(101, 101);
    uint64_t e = raft_entry_size(one);
    uint64_t pages[] = {0, 1, e, e + 1, 10 * e, UINT64_MAX};
    size_t page_max[] = {1, 1, 1, 1, 10, 100};

    (void)state;
    set_up_halves();
    for (size_t k = 0; k < ARRAY_LEN(pages); k++) {
        for (uint64_t lo = 101; lo <= 201; lo += 7) {
            for (uint64_t hi = lo; hi <= 201; hi += 5) {
                struct scan_state s = {.next = lo, .page_max = page_max[k]};

                assert_int_equal(
                    raft_log_scan(&l, lo, hi, pages[k], &s, scan_cb), 0);
                assert_int_equal(s.next, hi);
            }
        }
    }
    raft_entry_unref(one);
    tear_down();
}

static void test_scan_stops_and_fills_pages(void **state)
{
    struct raft_entry *one = test_entry(149, 149);
    uint64_t e = raft_entry_size(one);
    struct scan_state stop = {.next = 140, .page_max = 2, .stop_after = 3};
    struct scan_state fill = {.next = 149, .page_max = 2};
    struct scan_state gone = {.next = 90, .page_max = 2};

    (void)state;
    set_up_halves();
    assert_int_equal(raft_log_scan(&l, 140, 160, 2 * e, &stop, scan_cb),
                     ERR_STOPPED);
    assert_int_equal(stop.pages, 3);
    /* A page that crosses the border of stable and unstable is full, too. */
    assert_int_equal(raft_log_scan(&l, 149, 153, 2 * e, &fill, scan_cb), 0);
    assert_int_equal(fill.full_pages, 2);
    assert_int_equal(raft_log_scan(&l, 90, 110, e, &gone, scan_cb),
                     ERR_COMPACTED);
    assert_int_equal(gone.pages, 0);
    raft_entry_unref(one);
    tear_down();
}

/* --- types --- */

static void test_entry_id(void **state)
{
    struct raft_entry *e = test_entry(5, 7);
    struct raft_entry *zero = test_entry(0, 0);

    (void)state;
    assert_true(entry_id_equal(entry_id_of(e), eid(5, 7)));
    assert_true(entry_id_equal(entry_id_of(zero), eid(0, 0)));
    assert_false(entry_id_equal(entry_id_of(e), eid(7, 5)));
    assert_false(entry_id_equal(entry_id_of(e), eid(6, 7)));
    raft_entry_unref(e);
    raft_entry_unref(zero);
}

static void test_log_slice(void **state)
{
    static const struct {
        uint64_t term;
        struct at prev;
        struct at ents[AT_MAX];
        bool valid;
        struct at last;
    } cases[] = {
        /* Empty. */
        {0, {0, 0}, {{0, 0}}, true, {0, 0}},
        {5, {0, 0}, {{0, 0}}, true, {0, 0}},
        {5, {100, 4}, {{0, 0}}, true, {100, 4}},
        {5, {100, 5}, {{0, 0}}, true, {100, 5}},
        {3, {100, 4}, {{0, 0}}, false, {0, 0}},
        {0, {1, 1}, {{0, 0}}, false, {0, 0}},
        /* One entry. */
        {1, {0, 0}, {{1, 1}}, true, {1, 1}},
        {5, {100, 4}, {{101, 4}}, true, {101, 4}},
        {5, {100, 4}, {{101, 5}}, true, {101, 5}},
        {5, {100, 4}, {{102, 4}}, false, {0, 0}},
        {5, {100, 4}, {{100, 4}}, false, {0, 0}},
        {5, {100, 4}, {{101, 3}}, false, {0, 0}},
        {5, {100, 4}, {{101, 6}}, false, {0, 0}},
        {0, {0, 0}, {{1, 1}}, false, {0, 0}},
        /* Several. */
        {5, {100, 4}, {{101, 4}, {102, 4}, {103, 5}}, true, {103, 5}},
        {5, {100, 1}, {{101, 1}, {102, 2}, {103, 3}}, true, {103, 3}},
        {5, {100, 1}, {{101, 1}, {103, 2}}, false, {0, 0}},
        {5, {100, 1}, {{101, 3}, {102, 2}}, false, {0, 0}},
        {5, {100, 1}, {{101, 3}, {102, 6}}, false, {0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_entries v = {0};
        struct log_slice s = {.term = cases[i].term};

        test_entries(&v, cases[i].ents);
        s.prev = eid(cases[i].prev.index, cases[i].prev.term);
        s.entries = v.items;
        s.n = v.len;
        assert_int_equal(log_slice_is_valid(&s), cases[i].valid);
        if (cases[i].valid) {
            struct entry_id last = log_slice_last_entry_id(&s);

            assert_int_equal(last.index, cases[i].last.index);
            assert_int_equal(last.term, cases[i].last.term);
            assert_int_equal(log_slice_last_index(&s), cases[i].last.index);
        }
        raft_entries_release(&v);
    }
}

static void test_limit_size(void **state)
{
    struct raft_entries v = {0};
    uint64_t e;

    (void)state;
    test_entries(&v, (struct at[AT_MAX]){{4, 4}, {5, 5}, {6, 6}});
    e = raft_entry_size(v.items[0]);
    assert_int_equal(raft_entries_limit(v.items, 3, UINT64_MAX), 3);
    assert_int_equal(raft_entries_limit(v.items, 3, 0), 1);
    assert_int_equal(raft_entries_limit(v.items, 3, 2 * e), 2);
    assert_int_equal(raft_entries_limit(v.items, 3, 2 * e + e / 2), 2);
    assert_int_equal(raft_entries_limit(v.items, 3, 3 * e - 1), 2);
    assert_int_equal(raft_entries_limit(v.items, 3, 3 * e), 3);
    assert_int_equal(raft_entries_limit(v.items, 0, 0), 0);
    raft_entries_release(&v);
}

static void test_payload_size_of_empty_entry(void **state)
{
    struct raft_entry *e = test_entry(1, 1);
    struct raft_entry *full = test_entry_sized(2, 1, 10);
    struct raft_entry *items[2] = {e, full};

    (void)state;
    assert_int_equal(raft_payloads_size(items, 1), 0);
    assert_int_equal(raft_payloads_size(items, 2), 10);
    raft_entry_unref(e);
    raft_entry_unref(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_conflict),
        cmocka_unit_test(test_find_conflict_by_term),
        cmocka_unit_test(test_is_up_to_date),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_append_below_committed_is_fatal),
        cmocka_unit_test(test_log_maybe_append),
        cmocka_unit_test(test_maybe_append_stale_does_not_truncate),
        cmocka_unit_test(test_compaction_side_effects),
        cmocka_unit_test(test_compaction),
        cmocka_unit_test(test_log_restore),
        cmocka_unit_test(test_term),
        cmocka_unit_test(test_term_with_unstable_snapshot),
        cmocka_unit_test(test_is_out_of_bounds),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_slice_has_no_gaps),
        cmocka_unit_test(test_slice_before_an_unstable_snapshot),
        cmocka_unit_test(test_slice_appends_to_vector),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_stops_and_fills_pages),
        cmocka_unit_test(test_entry_id),
        cmocka_unit_test(test_log_slice),
        cmocka_unit_test(test_limit_size),
        cmocka_unit_test(test_payload_size_of_empty_entry),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
