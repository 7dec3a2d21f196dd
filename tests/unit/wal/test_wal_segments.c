/* Goal: a log is cut into segments, their names say where they begin, and what
 * is released goes from the oldest on. Method: named cases on a disk in memory,
 * each beside a model of what the log holds (tests/lib/wal_rig.h). */

#include "wal/wal.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/wal_rig.h"

#define SMALL 4096

/* Smaller than its own head: the next one begins before there is a state. */
static void test_segments_of_one_byte(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, 1);
    rig_must_save(&r, 1, 1, 1, 0);
    assert_int_equal(rig_segments(&r), 2);
    rig_must_save(&r, 1, 2, 1, 1);
    assert_int_equal(rig_segments(&r), 3);
    rig_must_reopen(&r);
    assert_int_equal(wal_state_last(&r.now), 2);
    rig_release(&r);
}

static void test_default_segment_size(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, 0);
    assert_int_equal(
        sim_vfs_size(r.v, "wal/0000000000000000-0000000000000000.wal"),
        WAL_SEGMENT_BYTES_DEFAULT);
    rig_release(&r);
}

static void test_cut_into_segments(void **state)
{
    struct wal_rig r;
    struct wal_stats s;

    (void)state;
    rig_must_create(&r, SMALL);
    for (uint64_t i = 1; i <= 200; i++) {
        assert_int_equal(rig_save(&r, 1, i, 1, 100, i - 1), 0);
        assert_int_equal(rig_sync(&r), 0);
    }
    wal_get_stats(r.w, &s);
    assert_true(s.segments > 5);
    assert_int_equal(s.segments, rig_segments(&r));
    rig_must_reopen(&r);
    assert_int_equal(r.now.log.len, 200);
    rig_release(&r);
}

static void test_group_larger_than_a_segment(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    assert_int_equal(rig_save(&r, 1, 1, 3, 10000, 0), 0);
    assert_int_equal(rig_sync(&r), 0);
    rig_must_save(&r, 1, 4, 1, 3);
    assert_int_equal(rig_segments(&r), 2);
    rig_must_reopen(&r);
    rig_release(&r);
}

static void test_smaller_segments_after_a_restart(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, 64 * SMALL);
    assert_int_equal(rig_save(&r, 1, 1, 60, 100, 0), 0);
    assert_int_equal(rig_close(&r), 0);
    r.o.segment_bytes = SMALL;
    rig_must_reopen(&r);
    rig_must_save(&r, 1, 61, 1, 3);
    assert_int_equal(rig_segments(&r), 2); /* the first one was trimmed */
    rig_must_reopen(&r);
    rig_release(&r);
}

/* The end of a segment that is too long is cut off before the next is made. */
static void test_trimming_fails(void **state)
{
    static const uint32_t ops[] = {SIM_CALL_TRUNCATE, SIM_CALL_SYNC};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        struct wal_rig r;

        rig_must_create(&r, 64 * SMALL);
        assert_int_equal(rig_save(&r, 1, 1, 60, 100, 0), 0);
        assert_int_equal(rig_close(&r), 0);
        r.o.segment_bytes = SMALL;
        rig_must_reopen(&r);
        sim_vfs_fail(r.v, (struct sim_fault){.ops = ops[i], .rc = -EIO});
        assert_int_equal(rig_save(&r, 1, 61, 1, 10, 3), -EIO);
        assert_int_equal(rig_sync(&r), -EIO);
        rig_crash(&r, &(struct sim_crash){0});
        sim_vfs_heal(r.v);
        rig_must_reopen(&r);
        assert_int_equal(wal_state_last(&r.now), 60);
        rig_release(&r);
    }
}

static void fill_segments(struct wal_rig *r, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        assert_int_equal(rig_save(r, 1, i, 1, 200, i - 1), 0);
        assert_int_equal(rig_sync(r), 0);
    }
}

static void test_release_deletes_from_the_oldest(void **state)
{
    struct wal_rig r;
    struct wal_stats s;

    (void)state;
    rig_must_create(&r, SMALL);
    fill_segments(&r, 1, 100);
    assert_int_equal(rig_snapshot(&r, 60), 0);
    assert_int_equal(rig_sync(&r), 0);
    wal_get_stats(r.w, &s);
    assert_int_equal(rig_release_to(&r, 0), 0);
    assert_int_equal(rig_segments(&r), s.segments);
    assert_int_equal(rig_release_to(&r, 60), 0);
    assert_true(rig_segments(&r) < s.segments);
    assert_true(rig_segments(&r) > 1);
    rig_must_reopen(&r);
    assert_int_equal(r.now.snap.index, 60);
    assert_int_equal(r.now.log.len, 40);
    assert_int_equal(rig_release_to(&r, 1000), 0);
    assert_int_equal(rig_segments(&r), 1);
    rig_release(&r);
}

static void count(void *ctx)
{
    ++*(size_t *)ctx;
}

/* Bit by bit, or others' syncs wait for it; but never before the name is
 * durably gone: an empty segment would be one that is damaged. */
static void test_release_gives_space_back_with_rests(void **state)
{
    struct wal_rig r;
    struct wal_released *released;
    size_t before;
    size_t rests = 0;

    (void)state;
    rig_must_create(&r, SMALL);
    fill_segments(&r, 1, 50);
    before = rig_segments(&r);
    assert_int_equal(wal_release_to(r.w, 40, &released, &r.em), 0);
    assert_int_equal(
        wal_released_delete(released, (struct vfs_rest){count, &rests}, &r.em),
        0);
    wal_release_end(r.w, released);
    assert_true(rests > 0);
    assert_int_equal(rests, before - rig_segments(&r));
    rig_release(&r);

    rig_must_create(&r, SMALL);
    fill_segments(&r, 1, 50);
    rests = 0;
    assert_int_equal(wal_release_to(r.w, 40, &released, &r.em), 0);
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_SYNC_DIR, .rc = -EIO});
    assert_int_equal(
        wal_released_delete(released, (struct vfs_rest){count, &rests}, &r.em),
        -EIO);
    wal_release_end(r.w, released);
    assert_int_equal(rests, 0);
    rig_release(&r);
}

/* The first failure stays the one that is told. */
static void test_release_fails_behind_another_failure(void **state)
{
    struct wal_rig r;
    struct wal_released *released;
    struct errmsg first;

    (void)state;
    rig_must_create(&r, SMALL);
    fill_segments(&r, 1, 50);
    assert_int_equal(wal_release_to(r.w, 40, &released, &r.em), 0);
    assert_int_equal(rig_save(&r, 1, 51, 1, 20, 50), 0);
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    assert_int_equal(rig_sync(&r), -EIO);
    first = r.em;
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_UNLINK, .rc = -EROFS});
    assert_int_equal(wal_released_delete(released, (struct vfs_rest){0}, &r.em),
                     -EROFS);
    wal_release_end(r.w, released);
    assert_int_equal(rig_sync(&r), -EIO);
    assert_string_equal(r.em.text, first.text);
    rig_release(&r);
}

static void test_released_log_does_not_reach_the_beginning(void **state)
{
    struct wal_rig r;
    struct wal_contents c;

    (void)state;
    rig_must_create(&r, SMALL);
    fill_segments(&r, 1, 100);
    assert_int_equal(rig_snapshot(&r, 60), 0);
    assert_int_equal(rig_close(&r), 0);
    assert_int_equal(wal_open(&r.o, &r.w, &r.em), 0);
    assert_true(wal_reaches_beginning(r.w));
    assert_int_equal(wal_start(r.w, (struct wal_marker){0}, &c, &r.em), 0);
    assert_int_equal(c.entries.len, 100);
    wal_contents_release(&c);
    assert_int_equal(rig_release_to(&r, 60), 0);
    assert_int_equal(rig_close(&r), 0);
    assert_int_equal(wal_open(&r.o, &r.w, &r.em), 0);
    assert_false(wal_reaches_beginning(r.w));
    assert_int_equal(wal_start(r.w, (struct wal_marker){0}, &c, &r.em),
                     ERR_DAMAGED);
    assert_int_equal(wal_start(r.w, (struct wal_marker){60, 2}, &c, &r.em),
                     ERR_SNAPSHOT_MISMATCH);
    assert_int_equal(wal_start(r.w, (struct wal_marker){60, 1}, &c, &r.em), 0);
    assert_int_equal(c.entries.len, 40);
    wal_contents_release(&c);
    rig_release(&r);
}

/* Entries whose hard state was torn away leave no trace in the next name. */
static void test_segment_is_named_after_what_was_kept(void **state)
{
    struct wal_rig r;
    char *last;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 3, 2);
    assert_int_equal(rig_save(&r, 2, 4, 5, 300, 3), 0);
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    assert_int_equal(rig_sync(&r), -EIO);
    rig_crash(&r, &(struct sim_crash){.data = SIM_KEEP_FIRST, .data_n = 3});
    r.o.segment_bytes = 64;
    rig_must_reopen(&r);
    assert_true(r.torn_bytes > 1000);
    assert_int_equal(wal_state_last(&r.now), 3);
    assert_int_equal(rig_save_state(&r, (struct hard_state){5, 0, 3}), 0);
    last = rig_last_segment(&r);
    assert_string_equal(last, "wal/0000000000000001-0000000000000004.wal");
    xfree(last);
    rig_must_reopen(&r);
    rig_release(&r);
}

static void test_stats(void **state)
{
    struct wal_rig r;
    struct wal_stats s;
    struct wal_stats read;

    (void)state;
    rig_must_create(&r, SMALL);
    fill_segments(&r, 1, 50);
    wal_get_stats(r.w, &s);
    assert_int_equal(s.first_seq, 0);
    assert_int_equal(s.last_seq, s.segments - 1);
    assert_true(s.syncs >= 50);
    assert_true(s.bytes_written > 50 * 200);
    /* Read, not started yet. */
    assert_int_equal(rig_close(&r), 0);
    assert_int_equal(wal_open(&r.o, &r.w, &r.em), 0);
    wal_get_stats(r.w, &read);
    assert_int_equal(read.segments, s.segments);
    assert_int_equal(read.last_seq, s.last_seq);
    assert_true(read.tail_offset > s.tail_offset); /* a marker more */
    assert_int_equal(read.syncs, 0);
    rig_release(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_of_one_byte),
        cmocka_unit_test(test_default_segment_size),
        cmocka_unit_test(test_cut_into_segments),
        cmocka_unit_test(test_group_larger_than_a_segment),
        cmocka_unit_test(test_smaller_segments_after_a_restart),
        cmocka_unit_test(test_trimming_fails),
        cmocka_unit_test(test_release_deletes_from_the_oldest),
        cmocka_unit_test(test_release_gives_space_back_with_rests),
        cmocka_unit_test(test_release_fails_behind_another_failure),
        cmocka_unit_test(test_released_log_does_not_reach_the_beginning),
        cmocka_unit_test(test_segment_is_named_after_what_was_kept),
        cmocka_unit_test(test_stats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
