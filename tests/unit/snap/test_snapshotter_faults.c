/* Goal: whatever call fails and wherever the power is cut, the snapshot that
 * was there is there, and a new one is there whole or not at all. Method: the
 * k-th call of open and save fails, for every k, on the disk in memory, which
 * then keeps every part of what was not synced. */

#include <errno.h>

#include "snap/snapshotter.h"
#include "src/base/alloc.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"

#define DIR_NAME "data/snap"

static struct raft_snapshot *make_snapshot(uint64_t index)
{
    struct raft_snapshot *snap = raft_snapshot_new();

    snap->term = 1;
    snap->index = index;
    snap->len = 3000; /* several sectors */
    snap->data = xmalloc(snap->len);
    memset(snap->data, (int)('a' + index), snap->len);
    id_list_push(&snap->conf_state.voters, 1);
    return snap;
}

static int save(struct sim_vfs *v, uint64_t index)
{
    struct raft_snapshot *snap = make_snapshot(index);
    struct snapshotter s;

    snapshotter_init(&s, sim_vfs_base(v), DIR_NAME, NULL);
    int rc = snapshotter_open(&s, NULL);
    if (rc == 0) {
        rc = snapshotter_save(&s, snap, NULL);
    }
    snapshotter_release(&s);
    raft_snapshot_unref(snap);
    return rc;
}

/* What loading says; a snapshot that loads is the one that was saved. */
static int load(struct sim_vfs *v, uint64_t index)
{
    struct snapshotter s;
    struct raft_snapshot *back;
    struct raft_snapshot *want;

    snapshotter_init(&s, sim_vfs_base(v), DIR_NAME, NULL);
    int rc = snapshotter_load(&s, 1, index, &back, NULL);
    if (rc == 0) {
        want = make_snapshot(index);
        assert_int_equal(back->len, want->len);
        assert_memory_equal(back->data, want->data, want->len);
        raft_snapshot_unref(want);
        raft_snapshot_unref(back);
    }
    snapshotter_release(&s);
    return rc;
}

static void reopen(struct sim_vfs *v)
{
    struct snapshotter s;
    struct vfs_names names;

    snapshotter_init(&s, sim_vfs_base(v), DIR_NAME, NULL);
    assert_int_equal(snapshotter_open(&s, NULL), 0);
    snapshotter_release(&s);
    sim_vfs_names(v, DIR_NAME, &names);
    for (size_t i = 0; i < names.n; i++) {
        assert_null(strstr(names.names[i], ".tmp"));
        assert_null(strstr(names.names[i], ".broken"));
    }
    vfs_names_release(&names);
}

/* A disk that has snapshot 1, or only the directory above. */
static struct sim_vfs *new_disk(bool with_first)
{
    struct sim_vfs *v = sim_vfs_new();

    sim_vfs_put(v, "data/other", (struct bytes){(const uint8_t *)"x", 1});
    if (with_first) {
        assert_int_equal(save(v, 1), 0);
        sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
        assert_int_equal(load(v, 1), 0);
    }
    return v;
}

/* After the power came back: the promises. */
static void check_after_crash(struct sim_vfs *v, bool had_first, bool saved)
{
    reopen(v);
    if (had_first) {
        assert_int_equal(load(v, 1), 0);
    }
    int rc = load(v, 2);
    if (saved) {
        assert_int_equal(rc, 0);
    } else {
        assert_true(rc == 0 || rc == ERR_NO_SNAPSHOT);
    }
    /* And life goes on. */
    assert_int_equal(save(v, 3), 0);
    assert_int_equal(load(v, 3), 0);
    reopen(v);
}

/* Every part of what was not synced may have arrived. */
static void crash_in_every_way(struct sim_vfs *v, bool had_first, bool saved)
{
    uint64_t names;
    uint64_t sectors = sim_vfs_unsynced(v, &names);

    for (uint64_t d = 0; d <= 2 * sectors; d++) {
        for (uint64_t n = 0; n <= 2 * names; n++) {
            struct sim_vfs *copy = sim_vfs_clone(v);
            struct sim_crash crash = {
                .data = d <= sectors ? SIM_KEEP_FIRST : SIM_KEEP_ONLY,
                .data_n = d <= sectors ? d : d - sectors - 1,
                .names = n <= names ? SIM_KEEP_FIRST : SIM_KEEP_ONLY,
                .names_n = n <= names ? n : n - names - 1,
            };

            sim_vfs_crash_as(copy, &crash);
            check_after_crash(copy, had_first, saved);
            sim_vfs_free(copy);
        }
    }
}

/* --- errors --- */

static void check_failed_call(bool with_first, uint64_t k, int rc, bool forever,
                              bool half)
{
    struct sim_vfs *v = new_disk(with_first);

    sim_vfs_fail(v, (struct sim_fault){.ops = SIM_CALLS_ALL,
                                       .after = k - 1,
                                       .rc = rc,
                                       .forever = forever,
                                       .half = half});
    int result = save(v, 2);
    if (!sim_vfs_has_failed(v)) {
        assert_int_equal(result, 0);
    } else if (result != 0) {
        assert_int_equal(result, rc);
    }
    sim_vfs_heal(v);
    if (with_first) {
        assert_int_equal(load(v, 1), 0);
    }
    /* Of what one failure left nothing is in the way. */
    if (result != 0 && !forever) {
        struct vfs_names names;

        sim_vfs_names(v, DIR_NAME, &names);
        for (size_t i = 0; i < names.n; i++) {
            assert_null(strstr(names.names[i], ".tmp"));
        }
        vfs_names_release(&names);
    }
    assert_int_equal(save(v, 2), 0);
    assert_int_equal(load(v, 2), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_int_equal(load(v, 2), 0);
    sim_vfs_free(v);
}

/* The calls that open and save make. */
static uint64_t count_calls(bool with_first)
{
    struct sim_vfs *v = new_disk(with_first);
    uint64_t before = sim_vfs_calls(v, SIM_CALLS_ALL);

    assert_int_equal(save(v, 2), 0);
    uint64_t n = sim_vfs_calls(v, SIM_CALLS_ALL) - before;
    sim_vfs_free(v);
    assert_true(n >= 7);
    return n;
}

static void test_every_call_may_fail(void **state)
{
    static const int errors[] = {-EIO, -ENOSPC, -EMFILE};

    (void)state;
    for (int first = 0; first < 2; first++) {
        uint64_t n = count_calls(first != 0);

        for (uint64_t k = 1; k <= n + 1; k++) {
            for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
                check_failed_call(first != 0, k, errors[e], false, false);
                check_failed_call(first != 0, k, errors[e], true, false);
                check_failed_call(first != 0, k, errors[e], false, true);
            }
        }
    }
}

/* A sync that fails is not tried again: the save fails [reliability 3.2]. */
static void test_failed_sync_fails_the_save(void **state)
{
    struct sim_vfs *v = new_disk(true);
    uint64_t before;

    (void)state;
    sim_vfs_fail(v, (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    before = sim_vfs_calls(v, SIM_CALL_SYNC);
    assert_int_equal(save(v, 2), -EIO);
    assert_true(sim_vfs_calls(v, SIM_CALL_SYNC) == before + 1);
    assert_int_equal(load(v, 2), ERR_NO_SNAPSHOT);
    sim_vfs_free(v);
}

static void test_full_disk_leaves_no_file(void **state)
{
    struct sim_vfs *v = new_disk(true);
    uint32_t before = sim_vfs_hash(v, "");

    (void)state;
    sim_vfs_set_capacity(v, 4000);
    assert_int_equal(save(v, 2), -ENOSPC);
    assert_int_equal(sim_vfs_hash(v, ""), before);
    sim_vfs_set_capacity(v, UINT64_MAX);
    assert_int_equal(save(v, 2), 0);
    sim_vfs_free(v);
}

/* Reading: an error is returned, and is no reason to set the file aside. */
static void test_failed_read_sets_nothing_aside(void **state)
{
    struct sim_vfs *v = new_disk(true);
    uint32_t before = sim_vfs_hash(v, "");

    (void)state;
    for (uint64_t k = 1;; k++) {
        sim_vfs_fail_once(v, k, -EIO);
        int rc = load(v, 1);
        if (!sim_vfs_has_failed(v)) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_true(rc == 0 || rc == -EIO);
        assert_int_equal(sim_vfs_hash(v, ""), before);
    }
    sim_vfs_free(v);
}

/* --- power cuts --- */

static void test_power_cut_at_every_call(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        uint64_t n = count_calls(first != 0);

        for (uint64_t k = 1; k <= n + 1; k++) {
            struct sim_vfs *v = new_disk(first != 0);

            sim_vfs_fail_from(v, k, -EIO);
            bool saved = save(v, 2) == 0;
            crash_in_every_way(v, first != 0, saved);
            sim_vfs_free(v);
        }
    }
}

/* A write that stopped half way, and then the cut. */
static void test_power_cut_in_the_write(void **state)
{
    struct sim_vfs *v = new_disk(true);

    (void)state;
    sim_vfs_fail(v, (struct sim_fault){.ops = SIM_CALL_WRITE,
                                       .rc = -EIO,
                                       .forever = true,
                                       .half = true});
    assert_int_equal(save(v, 2), -EIO);
    crash_in_every_way(v, true, false);
    sim_vfs_free(v);
}

static void purge(struct sim_vfs *v)
{
    struct snapshotter s;

    snapshotter_init(&s, sim_vfs_base(v), DIR_NAME, NULL);
    snapshotter_purge(&s, 1, 0, (struct vfs_rest){0});
    snapshotter_release(&s);
}

/* Call k of a purge fails, maybe all behind it too, and the power is cut: what
 * was to go has its name and all its bytes, or no name. */
static bool cut_power_in_purge(uint64_t k, bool forever,
                               enum sim_crash_mode mode)
{
    struct sim_vfs *v = new_disk(true);
    struct rng rng;
    bool has_failed;
    int rc;

    rng_seed(&rng, k);
    sim_vfs_fail(v, (struct sim_fault){.ops = SIM_CALLS_ALL,
                                       .after = k,
                                       .rc = -EIO,
                                       .forever = forever});
    purge(v);
    has_failed = sim_vfs_has_failed(v);
    sim_vfs_crash(v, mode, &rng);
    rc = load(v, 1);
    assert_true(rc == 0 || rc == ERR_NO_SNAPSHOT);
    sim_vfs_free(v);
    return has_failed;
}

static void test_power_cut_in_a_purge(void **state)
{
    bool has_failed = true;

    (void)state;
    for (uint64_t k = 0; has_failed; k++) {
        for (int mode = SIM_CRASH_DROP; mode <= SIM_CRASH_SECTORS; mode++) {
            has_failed = cut_power_in_purge(k, true, (enum sim_crash_mode)mode);
            assert_int_equal(
                cut_power_in_purge(k, false, (enum sim_crash_mode)mode),
                has_failed);
        }
        assert_true(k < 100);
    }
}

/* Damage at rest is set aside once, and the one before it still loads. */
static void test_damaged_file_is_set_aside(void **state)
{
    static const char name[] = DIR_NAME "/0000000000000001-0000000000000002"
                                        ".snap";
    struct sim_vfs *v = new_disk(true);

    (void)state;
    assert_int_equal(save(v, 2), 0);
    sim_vfs_zero(v, name, 512, 512);
    assert_int_equal(load(v, 2), ERR_DAMAGED);
    assert_int_equal(load(v, 2), ERR_NO_SNAPSHOT);
    assert_int_equal(load(v, 1), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_int_equal(load(v, 2), ERR_NO_SNAPSHOT); /* durably so */
    sim_vfs_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_may_fail),
        cmocka_unit_test(test_failed_sync_fails_the_save),
        cmocka_unit_test(test_full_disk_leaves_no_file),
        cmocka_unit_test(test_failed_read_sets_nothing_aside),
        cmocka_unit_test(test_power_cut_at_every_call),
        cmocka_unit_test(test_power_cut_in_the_write),
        cmocka_unit_test(test_power_cut_in_a_purge),
        cmocka_unit_test(test_damaged_file_is_set_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
