/* Goal: what is appended and synced comes back, in the format of the original,
 * and what recovery must refuse is refused. Method: named cases on a disk in
 * memory, each beside a model of what the log holds (tests/lib/wal_rig.h). */

#include "wal/wal.h"

#include <errno.h>

#include "proto/walpb.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/log.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/death.h"
#include "tests/lib/hex.h"
#include "tests/lib/wal_rig.h"

#define SMALL 4096

/* --- creating --- */

static void test_create_writes_the_head_of_the_original(void **state)
{
    /* The first 56 bytes of every raftexample's log [formats-wal 4]. */
    static const char head[] = "0400000000000084 0804100000000000"
                               "0400000000000084 0801100000000000"
                               "0e00000000000082 080510a0b39b8f08"
                               "1a040800 1000 0000";
    struct wal_rig r;
    size_t want_len;
    size_t len;
    uint8_t *want = hex_decode(head, &want_len);
    uint8_t *got;

    (void)state;
    rig_must_create(&r, SMALL);
    got = sim_vfs_get(r.v, "wal/0000000000000000-0000000000000000.wal", &len);
    assert_int_equal(len, SMALL);
    assert_int_equal(want_len, 56);
    assert_memory_equal(got, want, want_len);
    xfree(got);
    xfree(want);
    rig_release(&r);
}

static void test_create_refuses_a_wal_that_exists(void **state)
{
    struct wal_rig r;
    struct wal *other;
    struct errmsg em;
    uint32_t before;

    (void)state;
    rig_must_create(&r, SMALL);
    assert_int_equal(wal_create(&r.o, &other, &em), ERR_LOCKED);
    assert_int_equal(rig_close(&r), 0);
    before = sim_vfs_hash(r.v, "wal");
    assert_int_equal(wal_create(&r.o, &other, &em), -EEXIST);
    assert_int_equal(sim_vfs_hash(r.v, "wal"), before);
    rig_release(&r);
}

static void test_only_temporary_files_are_no_wal(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_init(&r, SMALL);
    assert_false(wal_exists(r.o.fs, "wal"));
    sim_vfs_put(r.v, "wal/0.tmp", (struct bytes){(const uint8_t *)"x", 1});
    assert_false(wal_exists(r.o.fs, "wal"));
    assert_int_equal(rig_create(&r), 0);
    assert_true(wal_exists(r.o.fs, "wal"));
    assert_int_equal(sim_vfs_size(r.v, "wal/0.tmp"), -1);
    rig_must_save(&r, 1, 1, 1, 0);
    rig_must_reopen(&r);
    rig_release(&r);
}

static void test_create_spares_a_foreign_directory(void **state)
{
    struct wal_rig r;
    uint32_t before;

    (void)state;
    rig_init(&r, SMALL);
    sim_vfs_put(r.v, "wal/thesis.txt", (struct bytes){(const uint8_t *)"x", 1});
    sim_vfs_put(r.v, "wal/lock", (struct bytes){0});
    before = sim_vfs_hash(r.v, "wal");
    assert_int_equal(rig_create(&r), -EEXIST);
    assert_int_equal(sim_vfs_hash(r.v, "wal"), before);
    rig_release(&r);
}

static void test_failed_creation_leaves_nothing(void **state)
{
    int rc = -1;

    (void)state;
    for (uint64_t k = 1; rc < 0; k++) {
        struct wal_rig r;
        struct vfs_names names;

        rig_init(&r, SMALL);
        sim_vfs_fail_once(r.v, k, -ENOSPC);
        rc = rig_create(&r);
        if (rc < 0) {
            assert_int_equal(rc, -ENOSPC);
            assert_true(strlen(r.em.text) > 0);
            sim_vfs_names(r.v, ".", &names);
            assert_int_equal(names.n, 0);
            vfs_names_release(&names);
            assert_int_equal(rig_create(&r), 0); /* with space again */
        } else {
            assert_true(k > 10);
        }
        rig_release(&r);
    }
}

static void test_leftover_that_cannot_be_removed(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_init(&r, SMALL);
    sim_vfs_put(r.v, "wal/0.tmp", (struct bytes){0});
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_UNLINK, .rc = -EPERM});
    assert_int_equal(rig_create(&r), -EPERM);
    assert_non_null(strstr(r.em.text, "remove wal/0.tmp"));
    assert_int_equal(sim_vfs_size(r.v, "wal/0.tmp"), 0); /* is there */
    assert_int_equal(rig_create(&r), 0);
    rig_release(&r);
}

/* What another process holds is not ours to tidy up, nor a directory that was
 * there before. */
static void test_failed_creation_leaves_what_others_made(void **state)
{
    struct wal_rig r;
    struct vfs_file *f;

    (void)state;
    rig_init(&r, SMALL);
    sim_vfs_put(r.v, "wal/lock", (struct bytes){0});
    assert_int_equal(vfs_open(r.o.fs, "wal/lock", VFS_READ | VFS_WRITE, &f), 0);
    assert_int_equal(vfs_lock(f), 0);
    assert_int_equal(rig_create(&r), ERR_LOCKED);
    vfs_close(f);
    assert_int_equal(sim_vfs_size(r.v, "wal/lock"), 0);
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_OPEN, .rc = -EACCES});
    assert_int_equal(rig_create(&r), -EACCES);
    assert_int_equal(sim_vfs_size(r.v, "wal/lock"), 0);
    sim_vfs_heal(r.v);
    assert_int_equal(rig_create(&r), 0);
    rig_release(&r);
}

static void test_open_without_a_wal(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_init(&r, SMALL);
    assert_int_equal(rig_open(&r), ERR_WAL_NOT_FOUND);
    assert_null(strstr(r.em.text, "DELETE"));
    rig_release(&r);
}

/* --- appending --- */

static void test_empty_reopens(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_reopen(&r);
    rig_must_reopen(&r);
    assert_int_equal(r.now.log.len, 0);
    assert_true(hard_state_is_empty(&r.now.hs));
    rig_release(&r);
}

static void test_append_and_reopen(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, 1 << 20);
    for (uint64_t i = 1; i <= 100; i++) {
        rig_must_save(&r, 1 + i / 40, i, 1, i - 1);
    }
    rig_must_reopen(&r);
    assert_int_equal(r.now.log.len, 100);
    rig_must_save(&r, 4, 101, 5, 103);
    rig_must_reopen(&r);
    assert_int_equal(r.now.log.len, 105);
    assert_int_equal(r.now.hs.commit, 103);
    rig_release(&r);
}

static void test_sizes_of_entries(void **state)
{
    /* The buffer of the largest is not kept, that of the one before it is given
     * back after a small group. */
    static const size_t sizes[] = {0,       1,   2,       5,    6,    7,
                                   100,     127, 128,     4096, 8191, 65536,
                                   1 << 20, 4,   9 << 20, 3};
    struct wal_rig r;
    uint64_t i = 0;

    (void)state;
    rig_must_create(&r, 3 << 20);
    for (; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(rig_save(&r, 1, i + 1, 1, sizes[i], i), 0);
        assert_int_equal(rig_sync(&r), 0);
    }
    rig_must_reopen(&r);
    assert_int_equal(r.now.log.len, ARRAY_LEN(sizes));
    rig_release(&r);
}

/* Frames larger than the window through which a segment is read. */
static void test_large_records_torn_and_damaged(void **state)
{
    static const uint64_t mega = 1 << 20;
    char *path;

    (void)state;
    for (uint64_t bad = 1; bad <= 4; bad++) {
        struct wal_rig r;
        bool allowed;

        rig_must_create(&r, 16 * mega);
        for (uint64_t i = 1; i <= 3; i++) {
            assert_int_equal(rig_save(&r, 1, i, 1, 3 * mega, 0), 0);
            assert_int_equal(rig_sync(&r), 0);
        }
        rig_crash(&r, &(struct sim_crash){0});
        path = rig_last_segment(&r);
        sim_vfs_zero(r.v, path, bad * 2 * mega + mega / 2, 4096);
        /* The holes are in the first, the second, and twice in the third. */
        assert_int_equal(rig_reopen(&r, &allowed), bad < 3 ? ERR_DAMAGED : 0);
        if (bad >= 3) {
            assert_int_equal(r.now.log.len, 2);
            assert_in_range(r.torn_bytes, 3 * mega, 3 * mega + 200);
        }
        xfree(path);
        rig_release(&r);
    }
}

static void test_one_write_and_one_sync_for_a_group(void **state)
{
    struct wal_rig r;
    uint64_t writes;
    uint64_t syncs;

    (void)state;
    rig_must_create(&r, 1 << 20);
    assert_int_equal(rig_save(&r, 1, 1, 3, 50, 0), 0);
    assert_int_equal(rig_sync(&r), 0);
    writes = sim_vfs_calls(r.v, SIM_CALL_WRITE);
    syncs = sim_vfs_calls(r.v, SIM_CALL_SYNC);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(rig_save_state(&r, (struct hard_state){1, 0, i}), 0);
    }
    assert_int_equal(rig_save(&r, 1, 4, 3, 50, 3), 0);
    assert_int_equal(rig_save_state(&r, (struct hard_state){1, 0, 4}), 0);
    assert_int_equal(sim_vfs_calls(r.v, SIM_CALL_WRITE), writes);
    assert_int_equal(rig_sync(&r), 0);
    assert_int_equal(rig_sync(&r), 0); /* nothing to do */
    assert_int_equal(sim_vfs_calls(r.v, SIM_CALL_WRITE), writes + 1);
    assert_int_equal(sim_vfs_calls(r.v, SIM_CALL_SYNC), syncs + 1);
    rig_must_reopen(&r);
    rig_release(&r);
}

/* A group with two runs of entries would look like one that a Go node has
 * continued. */
static void test_entries_are_synced_before_more_come(void **state)
{
    struct wal_rig r;
    uint64_t syncs;

    (void)state;
    rig_must_create(&r, 1 << 20);
    syncs = sim_vfs_calls(r.v, SIM_CALL_SYNC);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(rig_save(&r, 1, 3 * i + 1, 3, 50, 0), 0);
        assert_int_equal(sim_vfs_calls(r.v, SIM_CALL_SYNC), syncs + i);
    }
    rig_crash(&r, &(struct sim_crash){0}); /* the last run was not synced */
    rig_must_reopen(&r);
    assert_int_equal(r.now.log.len, 27);
    rig_release(&r);
}

static void test_commit_index_waits_for_the_next_group(void **state)
{
    struct wal_rig r;
    uint64_t writes;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 3, 0);
    writes = sim_vfs_calls(r.v, SIM_CALL_WRITE);
    assert_int_equal(rig_save_state(&r, (struct hard_state){1, 0, 2}), 0);
    assert_int_equal(rig_save_state(&r, (struct hard_state){1, 0, 3}), 0);
    assert_int_equal(sim_vfs_calls(r.v, SIM_CALL_WRITE), writes);
    rig_must_save(&r, 1, 4, 1, 3);
    rig_crash(&r, &(struct sim_crash){0});
    rig_must_reopen(&r);
    assert_int_equal(r.now.hs.commit, 3);
    assert_int_equal(rig_save_state(&r, (struct hard_state){1, 0, 4}), 0);
    rig_must_reopen(&r); /* closing writes it too */
    assert_int_equal(r.now.hs.commit, 4);
    rig_release(&r);
}

static void test_empty_save_is_nothing(void **state)
{
    struct wal_rig r;
    struct wal_stats a;
    struct wal_stats b;

    (void)state;
    rig_must_create(&r, SMALL);
    wal_get_stats(r.w, &a);
    assert_int_equal(wal_save(r.w, &(struct hard_state){0}, NULL, 0, NULL), 0);
    assert_int_equal(wal_sync(r.w, NULL), 0);
    wal_get_stats(r.w, &b);
    assert_int_equal(a.tail_offset, b.tail_offset);
    assert_int_equal(a.syncs, b.syncs);
    rig_release(&r);
}

/* Entries without a hard state are covered by the last one. */
static void test_entries_alone(void **state)
{
    struct wal_rig r;
    struct raft_entry *e = rig_entry(1, 4, 10);

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 3, 2);
    assert_int_equal(wal_save(r.w, &(struct hard_state){0}, &e, 1, NULL), 0);
    rig_note(&r, (struct rig_record){.kind = RIG_ENTRY, .entry = e});
    assert_int_equal(rig_sync(&r), 0);
    rig_must_reopen(&r);
    assert_int_equal(wal_state_last(&r.now), 4);
    assert_int_equal(r.now.hs.commit, 2);
    rig_release(&r);
}

static void test_overwritten_tail(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 10, 4);
    rig_must_save(&r, 2, 7, 2, 4);
    rig_must_reopen(&r);
    assert_int_equal(wal_state_last(&r.now), 8);
    assert_int_equal(r.now.log.items[5]->term, 1);
    assert_int_equal(r.now.log.items[6]->term, 2);
    rig_must_save(&r, 3, 5, 1, 4);
    rig_must_reopen(&r);
    assert_int_equal(wal_state_last(&r.now), 5);
    rig_release(&r);
}

static void save_out_of_order(void *ctx)
{
    (void)rig_save(ctx, 1, 7, 1, 10, 0);
}

static void save_below_commit(void *ctx)
{
    (void)rig_save(ctx, 2, 1, 1, 10, 1);
}

static void save_above_term(void *ctx)
{
    struct wal_rig *r = ctx;
    struct raft_entry *e = rig_entry(9, 4, 1);

    assert_int_equal(wal_save(r->w, &(struct hard_state){0}, &e, 1, NULL), 0);
}

static void test_what_recovery_refuses_is_not_written(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 3, 2);
    assert_true(test_aborts(save_out_of_order, &r));
    assert_true(test_aborts(save_below_commit, &r));
    assert_true(test_aborts(save_above_term, &r));
    rig_release(&r);
}

/* --- snapshots --- */

static void test_older_marker_can_be_chosen(void **state)
{
    struct wal_rig r;
    struct wal_contents c;
    const struct wal_marker *m;
    size_t n;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 30, 30);
    assert_int_equal(rig_snapshot(&r, 10), 0);
    assert_int_equal(rig_snapshot(&r, 20), 0);
    assert_int_equal(rig_close(&r), 0);
    assert_int_equal(wal_open(&r.o, &r.w, &r.em), 0);
    m = wal_markers(r.w, &n);
    assert_int_equal(n, 2);
    assert_int_equal(m[0].index, 10);
    assert_int_equal(m[1].index, 20);
    assert_int_equal(wal_start(r.w, m[0], &c, &r.em), 0);
    assert_int_equal(c.entries.len, 20);
    assert_int_equal(c.entries.items[0]->index, 11);
    wal_contents_release(&c);
    rig_release(&r);
}

static void test_marker_ahead_of_commit_is_not_usable(void **state)
{
    struct wal_rig r;
    size_t n;
    uint64_t id = 1;
    struct conf_state cs = {.voters = {&id, 1}};

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 10, 3);
    assert_int_equal(
        wal_save_snapshot(r.w, &(struct walpb_snapshot){5, 1, &cs}, NULL), 0);
    assert_int_equal(rig_close(&r), 0);
    assert_int_equal(wal_open(&r.o, &r.w, &r.em), 0);
    (void)wal_markers(r.w, &n);
    assert_int_equal(n, 0);
    rig_release(&r);
}

static void test_received_snapshot_replaces_the_log(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 5, 2);
    assert_int_equal(rig_restore(&r, 50, 3), 0);
    assert_int_equal(rig_sync(&r), 0);
    /* A crash before the hard state that goes with it. */
    rig_crash(&r, &(struct sim_crash){0});
    rig_must_reopen(&r);
    assert_int_equal(r.now.snap.index, 50);
    assert_int_equal(r.now.log.len, 0);
    assert_int_equal(r.now.hs.commit, 50);
    assert_int_equal(r.now.hs.term, 3);
    rig_must_save(&r, 3, 51, 4, 50);
    rig_must_reopen(&r);
    assert_int_equal(wal_state_last(&r.now), 54);
    rig_release(&r);
}

static void test_received_snapshot_of_another_term(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 10, 2);
    assert_int_equal(rig_restore(&r, 5, 2), 0);
    assert_int_equal(rig_save_state(&r, (struct hard_state){2, 1, 5}), 0);
    assert_int_equal(rig_sync(&r), 0);
    rig_must_reopen(&r);
    assert_int_equal(wal_state_last(&r.now), 5); /* 6..10 are gone */
    rig_release(&r);
}

static void test_overwritten_below_a_snapshot(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 10, 2);
    rig_must_save(&r, 2, 6, 3, 8); /* 9 and 10 of term 1 are dead */
    assert_int_equal(rig_snapshot(&r, 8), 0);
    rig_must_reopen(&r);
    assert_int_equal(r.now.snap.index, 8);
    assert_int_equal(r.now.log.len, 0);
    rig_release(&r);
}

static void test_segment_is_named_after_a_received_snapshot(void **state)
{
    struct wal_rig r;
    char *last;

    (void)state;
    rig_must_create(&r, SMALL);
    assert_int_equal(rig_save(&r, 1, 1, 1, SMALL, 0), 0);
    assert_int_equal(rig_restore(&r, 0x50, 1), 0);
    assert_int_equal(rig_sync(&r), 0);
    rig_must_save(&r, 1, 0x51, 1, 0x50);
    last = rig_last_segment(&r);
    assert_string_equal(last, "wal/0000000000000001-0000000000000051.wal");
    xfree(last);
    rig_must_reopen(&r);
    rig_release(&r);
}

/* --- failures --- */

static void test_failure_is_final(void **state)
{
    static const struct {
        const char *name;
        uint32_t call;
        int rc;
    } cases[] = {
        {"write", SIM_CALL_WRITE, -EIO},
        {"sync", SIM_CALL_SYNC, -EIO},
        {"full", SIM_CALL_WRITE, -ENOSPC},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wal_rig r;
        struct errmsg first;
        uint64_t changes;

        rig_must_create(&r, SMALL);
        rig_must_save(&r, 1, 1, 1, 0);
        sim_vfs_fail(
            r.v, (struct sim_fault){.ops = cases[i].call, .rc = cases[i].rc});
        assert_int_equal(rig_save(&r, 1, 2, 1, 20, 1), 0);
        assert_int_equal(rig_sync(&r), cases[i].rc);
        first = r.em;
        assert_non_null(strstr(first.text, "0000000000000000.wal"));
        changes = sim_vfs_calls(r.v, SIM_CALLS_CHANGE);
        assert_int_equal(rig_sync(&r), cases[i].rc);
        assert_string_equal(r.em.text, first.text);
        assert_int_equal(rig_save(&r, 1, 3, 1, 20, 1), cases[i].rc);
        assert_int_equal(rig_release_to(&r, 3), cases[i].rc);
        assert_int_equal(wal_close(r.w, &r.em), 0);
        r.w = NULL;
        assert_int_equal(sim_vfs_calls(r.v, SIM_CALLS_CHANGE), changes);
        sim_vfs_heal(r.v);
        rig_must_reopen(&r);
        rig_release(&r);
    }
}

static void test_no_space_to_restore_a_cut_file(void **state)
{
    struct wal_rig r;
    char *path;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 3, 2);
    assert_int_equal(rig_close(&r), 0);
    path = rig_last_segment(&r);
    sim_vfs_cut(r.v, path, SMALL / 2); /* behind the last record */
    sim_vfs_fail(r.v,
                 (struct sim_fault){.ops = SIM_CALL_ALLOCATE, .rc = -ENOSPC});
    assert_int_equal(rig_open(&r), -ENOSPC);
    assert_non_null(strstr(r.em.text, "allocate"));
    sim_vfs_heal(r.v);
    rig_must_reopen(&r);
    assert_int_equal(wal_state_last(&r.now), 3);
    assert_int_equal(sim_vfs_size(r.v, path), SMALL);
    xfree(path);
    rig_release(&r);
}

static void test_no_marker_after_a_failure(void **state)
{
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, SMALL);
    rig_must_save(&r, 1, 1, 3, 3);
    assert_int_equal(rig_save(&r, 1, 4, 1, 20, 3), 0);
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    assert_int_equal(rig_sync(&r), -EIO);
    assert_int_equal(rig_snapshot(&r, 3), -EIO);
    rig_release(&r);
}

static void test_second_owner_is_locked_out(void **state)
{
    struct wal_rig r;
    struct wal *other;
    struct errmsg em;
    struct vfs_file *f;
    char *path;

    (void)state;
    rig_must_create(&r, SMALL);
    assert_int_equal(wal_open(&r.o, &other, &em), ERR_LOCKED);
    rig_must_save(&r, 1, 1, 1, 0);
    assert_int_equal(rig_close(&r), 0);
    /* As a Go node locks: the segment, no lock file. */
    path = rig_last_segment(&r);
    assert_int_equal(vfs_open(r.o.fs, path, VFS_READ | VFS_WRITE, &f), 0);
    assert_int_equal(vfs_lock(f), 0);
    assert_int_equal(wal_open(&r.o, &other, &em), ERR_LOCKED);
    assert_non_null(strstr(em.text, path));
    vfs_close(f);
    xfree(path);
    rig_must_reopen(&r);
    rig_release(&r);
}

/* The zeros that small groups write ahead are within the segment, and where the
 * next group goes. */
static void test_zeros_behind_a_group_change_nothing(void **state)
{
    static const size_t sizes[] = {20, 40000, 20, 30000, 20, 150000, 20, 20};
    const uint64_t segment = 256 * KiB;
    struct wal_rig r;

    (void)state;
    rig_must_create(&r, segment);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct wal_stats s;
        uint8_t *got;
        size_t len;

        assert_int_equal(rig_save(&r, 1, i + 1, 1, sizes[i], i), 0);
        assert_int_equal(rig_sync(&r), 0);
        wal_get_stats(r.w, &s);
        assert_int_equal(s.segments, 1);
        got =
            sim_vfs_get(r.v, "wal/0000000000000000-0000000000000000.wal", &len);
        assert_int_equal(len, segment);
        for (size_t at = s.tail_offset; at < len; at++) {
            assert_int_equal(got[at], 0);
        }
        xfree(got);
        if (i % 3 == 2) {
            rig_must_reopen(&r);
        }
    }
    rig_must_reopen(&r);
    rig_release(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_writes_the_head_of_the_original),
        cmocka_unit_test(test_create_refuses_a_wal_that_exists),
        cmocka_unit_test(test_only_temporary_files_are_no_wal),
        cmocka_unit_test(test_create_spares_a_foreign_directory),
        cmocka_unit_test(test_failed_creation_leaves_nothing),
        cmocka_unit_test(test_leftover_that_cannot_be_removed),
        cmocka_unit_test(test_failed_creation_leaves_what_others_made),
        cmocka_unit_test(test_open_without_a_wal),
        cmocka_unit_test(test_empty_reopens),
        cmocka_unit_test(test_append_and_reopen),
        cmocka_unit_test(test_sizes_of_entries),
        cmocka_unit_test(test_large_records_torn_and_damaged),
        cmocka_unit_test(test_one_write_and_one_sync_for_a_group),
        cmocka_unit_test(test_entries_are_synced_before_more_come),
        cmocka_unit_test(test_commit_index_waits_for_the_next_group),
        cmocka_unit_test(test_empty_save_is_nothing),
        cmocka_unit_test(test_entries_alone),
        cmocka_unit_test(test_overwritten_tail),
        cmocka_unit_test(test_what_recovery_refuses_is_not_written),
        cmocka_unit_test(test_older_marker_can_be_chosen),
        cmocka_unit_test(test_marker_ahead_of_commit_is_not_usable),
        cmocka_unit_test(test_received_snapshot_replaces_the_log),
        cmocka_unit_test(test_received_snapshot_of_another_term),
        cmocka_unit_test(test_overwritten_below_a_snapshot),
        cmocka_unit_test(test_segment_is_named_after_a_received_snapshot),
        cmocka_unit_test(test_failure_is_final),
        cmocka_unit_test(test_no_space_to_restore_a_cut_file),
        cmocka_unit_test(test_no_marker_after_a_failure),
        cmocka_unit_test(test_second_owner_is_locked_out),
        cmocka_unit_test(test_zeros_behind_a_group_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
