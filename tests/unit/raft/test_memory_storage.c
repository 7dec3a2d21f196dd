/* Goal: the stable log in memory keeps raft-core MS-1 to MS-8.
 * Method: the tables of the reference's storage_test.go, on a storage that was
 * compacted to 3@3 and holds 4@4 and 5@5. */

#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"
#include "tests/lib/fatal.h"

#include "src/raft/entry_queue.h"
#include "src/raft/memory_storage.h"

static struct fatal_trap trap;
static struct memory_storage ms;

/* Not a local: append() may leave by a fatal condition. */
static struct raft_entries scratch;

static void append(const struct at ids[AT_MAX])
{
    raft_entries_reset(&scratch);
    test_entries(&scratch, ids);
    memory_storage_append(&ms, scratch.items, scratch.len);
}

/* A stored log that begins after a snapshot position. */
static void set_up_at(uint64_t index, uint64_t term,
                      const struct at ids[AT_MAX])
{
    struct raft_snapshot *s = test_snapshot(index, term);

    memory_storage_init(&ms, &trap.lg);
    assert_int_equal(memory_storage_apply_snapshot(&ms, s), 0);
    raft_snapshot_unref(s);
    append(ids);
}

static void set_up(void)
{
    set_up_at(3, 3, (struct at[AT_MAX]){{4, 4}, {5, 5}});
}

static void tear_down(void)
{
    memory_storage_release(&ms);
    raft_entries_release(&scratch);
}

static void test_storage_term(void **state)
{
    static const struct {
        uint64_t index;
        int rc;
    } cases[] = {
        {2, ERR_COMPACTED}, {3, 0}, {4, 0}, {5, 0}, {6, ERR_UNAVAILABLE},
    };

    (void)state;
    set_up();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t term = 0;

        assert_int_equal(ms.base.ops->term(&ms.base, cases[i].index, &term),
                         cases[i].rc);
        assert_int_equal(term, cases[i].rc == 0 ? cases[i].index : 0);
    }
    tear_down();
}

static void test_storage_entries(void **state)
{
    static const struct {
        uint64_t lo;
        uint64_t hi;
        uint64_t max; /* in entries and half entries: see below */
        int rc;
        struct at want[AT_MAX];
    } cases[] = {
        {2, 6, UINT64_MAX, ERR_COMPACTED, {{0, 0}}},
        {3, 4, UINT64_MAX, ERR_COMPACTED, {{0, 0}}},
        {4, 5, UINT64_MAX, 0, {{4, 4}}},
        {4, 6, UINT64_MAX, 0, {{4, 4}, {5, 5}}},
        {4, 7, UINT64_MAX, 0, {{4, 4}, {5, 5}, {6, 6}}},
        /* The first entry even if the limit is zero. */
        {4, 7, 0, 0, {{4, 4}}},
        {4, 7, 4, 0, {{4, 4}, {5, 5}}},
        {4, 7, 5, 0, {{4, 4}, {5, 5}}},
        {4, 7, 6, 0, {{4, 4}, {5, 5}, {6, 6}}},
    };
    struct raft_entry *one = test_entry(4, 4);
    uint64_t half = raft_entry_size(one) / 2;

    (void)state;
    assert_int_equal(raft_entry_size(one), 2 * half);
    set_up();
    append((struct at[AT_MAX]){{6, 6}});
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_entries v = {0};
        uint64_t max =
            cases[i].max == UINT64_MAX ? UINT64_MAX : cases[i].max * half;

        assert_int_equal(
            ms.base.ops->entries(&ms.base, cases[i].lo, cases[i].hi, max, &v),
            cases[i].rc);
        assert_entries(v.items, v.len, cases[i].want);
        raft_entries_release(&v);
    }
    raft_entry_unref(one);
    tear_down();
}

static void test_storage_entries_out_of_range(void **state)
{
    struct raft_entries v = {0};
    int rc;

    (void)state;
    set_up();
    assert_fatal(&trap, rc = ms.base.ops->entries(&ms.base, 4, 7, 0, &v));
    tear_down();
    memory_storage_init(&ms, &trap.lg);
    rc = ms.base.ops->entries(&ms.base, 1, 1, 0, &v);
    assert_int_equal(rc, ERR_UNAVAILABLE);
    tear_down();
}

static void test_storage_last_index(void **state)
{
    uint64_t index;

    (void)state;
    set_up();
    assert_int_equal(ms.base.ops->last_index(&ms.base, &index), 0);
    assert_int_equal(index, 5);
    append((struct at[AT_MAX]){{6, 5}});
    assert_int_equal(ms.base.ops->last_index(&ms.base, &index), 0);
    assert_int_equal(index, 6);
    tear_down();
}

static void test_storage_first_index(void **state)
{
    uint64_t index;

    (void)state;
    set_up();
    assert_int_equal(ms.base.ops->first_index(&ms.base, &index), 0);
    assert_int_equal(index, 4);
    assert_int_equal(memory_storage_compact(&ms, 4), 0);
    assert_int_equal(ms.base.ops->first_index(&ms.base, &index), 0);
    assert_int_equal(index, 5);
    tear_down();
}

static void test_storage_compact(void **state)
{
    static const struct {
        uint64_t index;
        int rc;
        struct at want[AT_MAX]; /* with the dummy */
    } cases[] = {
        {2, ERR_COMPACTED, {{3, 3}, {4, 4}, {5, 5}}},
        {3, ERR_COMPACTED, {{3, 3}, {4, 4}, {5, 5}}},
        {4, 0, {{4, 4}, {5, 5}}},
        {5, 0, {{5, 5}}},
    };
    int rc;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set_up();
        assert_int_equal(memory_storage_compact(&ms, cases[i].index),
                         cases[i].rc);
        assert_entries(entry_queue_items(ms.ents), entry_queue_len(ms.ents),
                       cases[i].want);
        tear_down();
    }
    set_up();
    assert_fatal(&trap, rc = memory_storage_compact(&ms, 6));
    (void)rc;
    tear_down();
}

/* What was handed out before outlives the compaction, and the dummy keeps no
 * Data alive. */
static void test_storage_compact_keeps_what_is_shared(void **state)
{
    struct raft_entry *e = test_entry_sized(4, 4, 100);
    struct raft_entries v = {0};

    (void)state;
    set_up_at(3, 3, (struct at[AT_MAX]){{0, 0}});
    memory_storage_append(&ms, &e, 1);
    raft_entry_unref(e);
    assert_int_equal(ms.base.ops->entries(&ms.base, 4, 5, 0, &v), 0);
    assert_int_equal(memory_storage_compact(&ms, 4), 0);
    assert_int_equal(v.items[0]->refs, 1);
    assert_int_equal(v.items[0]->len, 100);
    assert_int_equal(entry_queue_at(ms.ents, 0)->len, 0);
    raft_entries_release(&v);
    tear_down();
}

static void test_storage_create_snapshot(void **state)
{
    (void)state;
    for (uint64_t index = 4; index <= 5; index++) {
        struct raft_snapshot *s = test_snapshot(index, index);
        struct raft_snapshot *got = NULL;
        struct hard_state hs;
        struct conf_state cs;

        id_list_push(&s->conf_state.voters, 1);
        id_list_push(&s->conf_state.voters, 2);
        set_up();
        assert_int_equal(memory_storage_create_snapshot(&ms, s), 0);
        assert_int_equal(ms.base.ops->snapshot(&ms.base, &got), 0);
        assert_ptr_equal(got, s);
        assert_int_equal(memory_storage_first_index(&ms), 4);
        assert_int_equal(memory_storage_create_snapshot(&ms, s),
                         ERR_SNAP_OUT_OF_DATE);
        assert_int_equal(ms.base.ops->initial_state(&ms.base, &hs, &cs), 0);
        assert_true(conf_state_equivalent(&cs, &s->conf_state));
        conf_state_release(&cs);
        raft_snapshot_unref(got);
        raft_snapshot_unref(s);
        tear_down();
    }
}

static void test_storage_create_snapshot_beyond_last(void **state)
{
    struct raft_snapshot *s = test_snapshot(6, 5);
    int rc;

    (void)state;
    set_up();
    assert_fatal(&trap, rc = memory_storage_create_snapshot(&ms, s));
    (void)rc;
    raft_snapshot_unref(s);
    tear_down();
}

static void test_storage_append(void **state)
{
    static const struct {
        struct at ents[AT_MAX];
        struct at want[AT_MAX]; /* with the dummy */
    } cases[] = {
        {{{1, 1}, {2, 2}}, {{3, 3}, {4, 4}, {5, 5}}},
        {{{3, 3}, {4, 4}, {5, 5}}, {{3, 3}, {4, 4}, {5, 5}}},
        {{{3, 3}, {4, 6}, {5, 6}}, {{3, 3}, {4, 6}, {5, 6}}},
        {{{3, 3}, {4, 4}, {5, 5}, {6, 5}}, {{3, 3}, {4, 4}, {5, 5}, {6, 5}}},
        /* Cut off what is compacted, truncate, append. */
        {{{2, 3}, {3, 3}, {4, 5}}, {{3, 3}, {4, 5}}},
        {{{4, 5}}, {{3, 3}, {4, 5}}},
        {{{6, 5}}, {{3, 3}, {4, 4}, {5, 5}, {6, 5}}},
        {{{0, 0}}, {{3, 3}, {4, 4}, {5, 5}}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set_up();
        append(cases[i].ents);
        assert_entries(entry_queue_items(ms.ents), entry_queue_len(ms.ents),
                       cases[i].want);
        tear_down();
    }
    set_up();
    assert_fatal(&trap, append((struct at[AT_MAX]){{7, 5}}));
    tear_down();
}

static void test_storage_apply_snapshot(void **state)
{
    struct raft_snapshot *s4 = test_snapshot(4, 4);
    struct raft_snapshot *s3 = test_snapshot(3, 3);
    struct raft_snapshot *conf = test_snapshot(0, 0);

    (void)state;
    memory_storage_init(&ms, &trap.lg);
    /* A configuration alone, on a fresh storage. */
    id_list_push(&conf->conf_state.voters, 1);
    assert_int_equal(memory_storage_apply_snapshot(&ms, conf), 0);
    assert_int_equal(memory_storage_apply_snapshot(&ms, s4), 0);
    assert_int_equal(memory_storage_first_index(&ms), 5);
    assert_int_equal(memory_storage_last_index(&ms), 4);
    assert_int_equal(memory_storage_apply_snapshot(&ms, s3),
                     ERR_SNAP_OUT_OF_DATE);
    assert_int_equal(memory_storage_apply_snapshot(&ms, s4),
                     ERR_SNAP_OUT_OF_DATE);
    assert_ptr_equal(ms.snapshot, s4);
    tear_down();
    raft_snapshot_unref(s4);
    raft_snapshot_unref(s3);
    raft_snapshot_unref(conf);
}

/* What lies behind the snapshot goes as well, whatever it is [Raft 7]: it may
 * be of a leader that lost its place. */
static void test_storage_apply_snapshot_within_the_log(void **state)
{
    struct raft_snapshot *s4 = test_snapshot(4, 4);

    (void)state;
    set_up();
    assert_int_equal(memory_storage_apply_snapshot(&ms, s4), 0);
    assert_int_equal(memory_storage_first_index(&ms), 5);
    assert_int_equal(memory_storage_last_index(&ms), 4);
    tear_down();
    raft_snapshot_unref(s4);
}

static void test_storage_initial_state(void **state)
{
    struct hard_state hs = {7, 7, 7};
    struct hard_state saved = {.term = 3, .vote = 2, .commit = 1};
    struct conf_state cs;

    (void)state;
    memory_storage_init(&ms, &trap.lg);
    assert_int_equal(ms.base.ops->initial_state(&ms.base, &hs, &cs), 0);
    assert_true(hard_state_is_empty(&hs));
    assert_int_equal(cs.voters.n, 0);
    memory_storage_set_hard_state(&ms, &saved);
    assert_int_equal(ms.base.ops->initial_state(&ms.base, &hs, &cs), 0);
    assert_true(hard_state_equal(&hs, &saved));
    conf_state_release(&cs);
    tear_down();
}

/* A log that is appended to and compacted all the time stays right. */
static void test_storage_rolling(void **state)
{
    uint64_t term;

    (void)state;
    memory_storage_init(&ms, &trap.lg);
    for (uint64_t i = 1; i <= 500; i++) {
        append((struct at[AT_MAX]){{i, i / 10 + 1}});
        if (i % 3 == 0 && i > 40) {
            assert_int_equal(memory_storage_compact(&ms, i - 40), 0);
            assert_int_equal(memory_storage_first_index(&ms), i - 39);
        }
        assert_int_equal(memory_storage_last_index(&ms), i);
    }
    for (uint64_t i = 459; i <= 500; i++) {
        assert_int_equal(ms.base.ops->term(&ms.base, i, &term), 0);
        assert_int_equal(term, i / 10 + 1);
    }
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storage_term),
        cmocka_unit_test(test_storage_entries),
        cmocka_unit_test(test_storage_entries_out_of_range),
        cmocka_unit_test(test_storage_last_index),
        cmocka_unit_test(test_storage_first_index),
        cmocka_unit_test(test_storage_compact),
        cmocka_unit_test(test_storage_compact_keeps_what_is_shared),
        cmocka_unit_test(test_storage_create_snapshot),
        cmocka_unit_test(test_storage_create_snapshot_beyond_last),
        cmocka_unit_test(test_storage_append),
        cmocka_unit_test(test_storage_apply_snapshot),
        cmocka_unit_test(test_storage_apply_snapshot_within_the_log),
        cmocka_unit_test(test_storage_initial_state),
        cmocka_unit_test(test_storage_rolling),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
