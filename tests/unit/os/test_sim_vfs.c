/* Goal: the disk in memory keeps, loses and refuses exactly what it is told
 * to: every crash test rests on it. Method: small files, each kind of crash,
 * each kind of fault. */

#include "tests/lib/sim_vfs.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"

static struct vfs_file *open_file(struct sim_vfs *v, const char *path)
{
    struct vfs_file *f;

    assert_int_equal(
        vfs_open(sim_vfs_base(v), path, VFS_READ | VFS_WRITE | VFS_CREATE, &f),
        0);
    return f;
}

static void write_all(struct vfs_file *f, char c, size_t len, uint64_t off)
{
    char *p = xmalloc(len);

    memset(p, c, len);
    assert_int_equal(vfs_pwrite(f, p, len, off), 0);
    xfree(p);
}

/* The first byte of each sector of "f", 0 as '.'. */
static void shape(const struct sim_vfs *v, char *out)
{
    size_t len;
    uint8_t *p = sim_vfs_get(v, "f", &len);

    for (size_t i = 0; i < len; i += SIM_SECTOR_BYTES) {
        *out++ = p[i] == 0 ? '.' : (char)p[i];
    }
    *out = '\0';
    xfree(p);
}

/* "f" is aaaa on disk; bbb is written over sectors 1-3, and c behind. */
static struct sim_vfs *half_written(struct vfs_file **f)
{
    struct sim_vfs *v = sim_vfs_new();

    *f = open_file(v, "f");
    write_all(*f, 'a', 4 * SIM_SECTOR_BYTES, 0);
    assert_int_equal(vfs_datasync(*f), 0);
    assert_int_equal(vfs_sync_dir(sim_vfs_base(v), "."), 0);
    write_all(*f, 'b', 3 * SIM_SECTOR_BYTES, SIM_SECTOR_BYTES);
    write_all(*f, 'c', SIM_SECTOR_BYTES, 4 * SIM_SECTOR_BYTES);
    return v;
}

static const struct {
    struct sim_crash crash;
    const char *shape;
} CRASHES[] = {
    {{.data = SIM_KEEP_NONE}, "aaaa"},
    {{.data = SIM_KEEP_ALL}, "abbbc"},
    {{.data = SIM_KEEP_FIRST, .data_n = 0}, "aaaa."},
    {{.data = SIM_KEEP_FIRST, .data_n = 2}, "abba."},
    {{.data = SIM_KEEP_FIRST, .data_n = 4}, "abbbc"},
    {{.data = SIM_KEEP_ONLY, .data_n = 1}, "aaba."},
    {{.data = SIM_KEEP_ONLY, .data_n = 3}, "aaaac"},
};

static void test_crash_keeps_what_it_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CRASHES); i++) {
        struct vfs_file *f;
        struct sim_vfs *v = half_written(&f);
        char s[16];

        assert_int_equal(sim_vfs_unsynced(v, NULL), 4);
        sim_vfs_crash_as(v, &CRASHES[i].crash);
        shape(v, s);
        assert_string_equal(s, CRASHES[i].shape);
        assert_int_equal(sim_vfs_unsynced(v, NULL), 0);
        vfs_close(f);
        sim_vfs_free(v);
    }
}

static void test_random_crashes_cover_all(void **state)
{
    unsigned seen = 0;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < 200; i++) {
        struct vfs_file *f;
        struct sim_vfs *v = half_written(&f);
        char s[16];
        unsigned set = 0;

        sim_vfs_crash(v, SIM_CRASH_SECTORS, &rng);
        shape(v, s);
        assert_int_equal(s[0], 'a');
        for (int k = 1; k < 4; k++) {
            assert_true(s[k] == 'a' || s[k] == 'b');
            set |= s[k] == 'b' ? 1u << k : 0;
        }
        seen |= 1u << set;
        vfs_close(f);
        sim_vfs_free(v);
    }
    assert_int_equal(seen, 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 |
                               1 << 10 | 1 << 12 | 1 << 14);
}

static void test_sync_makes_it_stay(void **state)
{
    struct vfs_file *f;
    struct sim_vfs *v = half_written(&f);
    char s[16];

    (void)state;
    assert_int_equal(vfs_datasync(f), 0);
    assert_int_equal(sim_vfs_unsynced(v, NULL), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    shape(v, s);
    assert_string_equal(s, "abbbc");
    vfs_close(f);
    sim_vfs_free(v);
}

/* After a failed sync the pages are clean and not on the disk. */
static void test_failed_sync_is_not_repaired_by_another(void **state)
{
    struct vfs_file *f;
    struct sim_vfs *v = half_written(&f);
    char s[16];

    (void)state;
    sim_vfs_fail(v, (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    assert_int_equal(vfs_datasync(f), -EIO);
    assert_int_equal(vfs_datasync(f), 0);
    shape(v, s);
    assert_string_equal(s, "abbbc"); /* still seen */
    write_all(f, 'd', SIM_SECTOR_BYTES, 2 * SIM_SECTOR_BYTES);
    assert_int_equal(vfs_datasync(f), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    shape(v, s);
    assert_string_equal(s, "aada.");
    vfs_close(f);
    sim_vfs_free(v);
}

static void test_lying_disk(void **state)
{
    struct vfs_file *f;
    struct sim_vfs *v = half_written(&f);
    char s[16];

    (void)state;
    sim_vfs_set_lying(v, true);
    assert_int_equal(vfs_datasync(f), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    shape(v, s);
    assert_string_equal(s, "aaaa");
    vfs_close(f);
    sim_vfs_free(v);
}

static void test_truncation_is_lost_or_kept(void **state)
{
    for (int keep = 0; keep < 2; keep++) {
        struct vfs_file *f;
        struct sim_vfs *v = half_written(&f);
        char s[16];

        (void)state;
        assert_int_equal(vfs_datasync(f), 0);
        assert_int_equal(vfs_truncate(f, 2 * SIM_SECTOR_BYTES), 0);
        assert_int_equal(vfs_allocate(f, 4 * SIM_SECTOR_BYTES), 0);
        shape(v, s);
        assert_string_equal(s, "ab..");
        sim_vfs_crash(v, keep ? SIM_CRASH_KEEP : SIM_CRASH_DROP, NULL);
        shape(v, s);
        assert_string_equal(s, keep ? "ab.." : "abbbc");
        vfs_close(f);
        sim_vfs_free(v);
    }
}

/* --- names --- */

static void test_names_need_a_sync_of_the_directory(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs *fs = sim_vfs_base(v);
    struct vfs_file *f;
    uint64_t names;

    (void)state;
    assert_int_equal(vfs_mkdir(fs, "d"), 0);
    assert_int_equal(vfs_sync_dir(fs, "."), 0);
    f = open_file(v, "d/a");
    write_all(f, 'x', 10, 0);
    assert_int_equal(vfs_datasync(f), 0);
    vfs_close(f);
    (void)sim_vfs_unsynced(v, &names);
    assert_int_equal(names, 1);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_int_equal(sim_vfs_size(v, "d/a"), -1);
    vfs_close(open_file(v, "d/a"));
    assert_int_equal(vfs_sync_dir(fs, "d"), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_int_equal(sim_vfs_size(v, "d/a"), 0);
    sim_vfs_free(v);
}

/* A rename arrives whole or not at all, also without the creation before. */
static void test_rename_is_atomic(void **state)
{
    for (uint64_t keep = 0; keep < 8; keep++) {
        struct sim_vfs *v = sim_vfs_new();
        struct vfs *fs = sim_vfs_base(v);
        struct vfs_file *f;
        bool a;
        bool b;

        (void)state;
        sim_vfs_put(v, "b", (struct bytes){(const uint8_t *)"old", 3});
        f = open_file(v, "a");
        write_all(f, 'n', 4, 0);
        assert_int_equal(vfs_datasync(f), 0);
        vfs_close(f);
        assert_int_equal(vfs_rename(fs, "a", "b"), 0);
        sim_vfs_crash_as(v,
                         &(struct sim_crash){.data = SIM_KEEP_ALL,
                                             .names = keep < 3 ? SIM_KEEP_FIRST
                                                               : SIM_KEEP_ONLY,
                                             .names_n = keep % 3});
        a = sim_vfs_size(v, "a") == 4;
        b = sim_vfs_size(v, "b") == 4;
        assert_false(a && b);
        assert_true(b || sim_vfs_size(v, "b") == 3);
        sim_vfs_free(v);
    }
}

static void test_unlink_may_be_undone(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs *fs = sim_vfs_base(v);

    (void)state;
    sim_vfs_put(v, "d/f", (struct bytes){(const uint8_t *)"x", 1});
    assert_int_equal(vfs_unlink(fs, "d/f"), 0);
    assert_int_equal(vfs_rmdir(fs, "d"), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_int_equal(sim_vfs_size(v, "d/f"), 1);
    assert_int_equal(vfs_unlink(fs, "d/f"), 0);
    assert_int_equal(vfs_sync_dir(fs, "d"), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_int_equal(sim_vfs_size(v, "d/f"), -1);
    sim_vfs_free(v);
}

static void test_errors_of_names(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs *fs = sim_vfs_base(v);
    struct vfs_file *f;
    struct vfs_names names;
    enum vfs_kind kind;

    (void)state;
    sim_vfs_put(v, "d/f", (struct bytes){0});
    assert_int_equal(vfs_open(fs, "x/f", VFS_WRITE | VFS_CREATE, &f), -ENOENT);
    assert_int_equal(vfs_open(fs, "d/g", VFS_READ, &f), -ENOENT);
    assert_int_equal(vfs_open(fs, "d", VFS_READ, &f), -EISDIR);
    assert_int_equal(vfs_open(fs, "d/f", VFS_WRITE | VFS_CREATE | VFS_EXCL, &f),
                     -EEXIST);
    assert_int_equal(vfs_mkdir(fs, "d"), -EEXIST);
    assert_int_equal(vfs_mkdir(fs, "x/y"), -ENOENT);
    assert_int_equal(vfs_rmdir(fs, "d"), -ENOTEMPTY);
    assert_int_equal(vfs_rmdir(fs, "d/f"), -ENOTDIR);
    assert_int_equal(vfs_rmdir(fs, "x"), -ENOENT);
    assert_int_equal(vfs_unlink(fs, "d"), -EISDIR);
    assert_int_equal(vfs_unlink(fs, "x"), -ENOENT);
    assert_int_equal(vfs_rename(fs, "x", "y"), -ENOENT);
    assert_int_equal(vfs_rename(fs, "d/f", "d"), -ENOTEMPTY);
    assert_int_equal(vfs_sync_dir(fs, "d/f"), -ENOENT);
    assert_int_equal(vfs_list_sorted(fs, "x", &names), -ENOENT);
    assert_int_equal(vfs_stat(fs, "x", &kind), -ENOENT);
    assert_int_equal(vfs_stat(fs, "./d//f", &kind), 0);
    assert_int_equal(kind, VFS_FILE);
    assert_int_equal(vfs_stat(fs, "/d", &kind), 0);
    assert_int_equal(kind, VFS_DIR);
    sim_vfs_free(v);
}

/* --- faults --- */

static void test_kth_call_fails_once(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs_file *f = open_file(v, "f");

    (void)state;
    sim_vfs_fail_once(v, 2, -EIO);
    write_all(f, 'x', 4, 0);
    assert_false(sim_vfs_has_failed(v));
    assert_int_equal(vfs_pwrite(f, "yyyy", 4, 0), -EIO);
    assert_true(sim_vfs_has_failed(v));
    assert_int_equal(vfs_pwrite(f, "zzzz", 4, 0), 0);
    sim_vfs_fail_from(v, 1, -ENOSPC);
    assert_int_equal(vfs_datasync(f), -ENOSPC);
    assert_int_equal(vfs_size(f), -ENOSPC);
    sim_vfs_heal(v);
    assert_int_equal(vfs_size(f), 4);
    vfs_close(f);
    sim_vfs_free(v);
}

static void test_half_a_write(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs_file *f = open_file(v, "f");
    struct iovec iov[] = {{(void *)(uintptr_t) "ab", 2},
                          {(void *)(uintptr_t) "cdef", 4}};
    uint8_t *p;
    size_t len;

    (void)state;
    sim_vfs_fail(v, (struct sim_fault){
                        .ops = SIM_CALL_WRITE, .rc = -ENOSPC, .half = true});
    assert_int_equal(vfs_pwritev(f, iov, 2, 0), -ENOSPC);
    p = sim_vfs_get(v, "f", &len);
    assert_int_equal(len, 3);
    assert_memory_equal(p, "abc", 3);
    xfree(p);
    vfs_close(f);
    sim_vfs_free(v);
}

static void test_capacity(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs_file *f = open_file(v, "f");

    (void)state;
    sim_vfs_set_capacity(v, 1000);
    assert_int_equal(vfs_allocate(f, 1001), -ENOSPC);
    assert_int_equal(vfs_allocate(f, 900), 0);
    write_all(f, 'x', 900, 0); /* inside what is reserved */
    write_all(f, 'x', 50, 880);
    assert_int_equal(vfs_pwrite(f,
                                "0123456789012345678901234567890123456789"
                                "0123456789012345678901234567890123456789",
                                80, 930),
                     -ENOSPC);
    assert_int_equal(vfs_size(f), 1000); /* as much as fits */
    vfs_close(f);
    sim_vfs_free(v);
}

static void test_handles_die(void **state)
{
    struct vfs_file *f;
    struct sim_vfs *v = half_written(&f);
    struct vfs_file *g;
    char c;

    (void)state;
    assert_int_equal(vfs_lock(f), 0);
    g = open_file(v, "f");
    assert_int_equal(vfs_lock(g), ERR_LOCKED);
    vfs_close(g);
    sim_vfs_power_off(v);
    assert_int_equal(vfs_open(sim_vfs_base(v), "f", VFS_READ, &g), -EIO);
    sim_vfs_crash(v, SIM_CRASH_KEEP, NULL);
    assert_int_equal(vfs_pwrite(f, "x", 1, 0), -EIO);
    assert_int_equal(vfs_pread(f, &c, 1, 0), -EIO);
    assert_int_equal(vfs_datasync(f), -EIO);
    g = open_file(v, "f");
    assert_int_equal(vfs_lock(g), 0);
    vfs_close(f); /* a dead owner takes no lock away */
    f = open_file(v, "f");
    assert_int_equal(vfs_lock(f), ERR_LOCKED);
    vfs_close(f);
    vfs_close(g);
    sim_vfs_free(v);
}

static void test_kill_keeps_the_cache(void **state)
{
    struct vfs_file *f;
    struct sim_vfs *v = half_written(&f);
    char s[16];

    (void)state;
    sim_vfs_kill(v);
    assert_int_equal(vfs_datasync(f), -EIO);
    shape(v, s);
    assert_string_equal(s, "abbbc");
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    shape(v, s);
    assert_string_equal(s, "aaaa");
    vfs_close(f);
    sim_vfs_free(v);
}

/* --- copies and meddling --- */

static void test_clone_is_apart(void **state)
{
    struct vfs_file *f;
    struct sim_vfs *v = half_written(&f);
    struct sim_vfs *copy;
    char s[16];

    (void)state;
    sim_vfs_put(v, "x/y/z", (struct bytes){(const uint8_t *)"z", 1});
    assert_int_equal(vfs_unlink(sim_vfs_base(v), "x/y/z"), 0);
    copy = sim_vfs_clone(v);
    assert_int_equal(sim_vfs_hash(copy, "."), sim_vfs_hash(v, "."));
    assert_int_equal(sim_vfs_unsynced(copy, NULL), 4);
    sim_vfs_crash(copy, SIM_CRASH_DROP, NULL);
    shape(copy, s);
    assert_string_equal(s, "aaaa");
    assert_int_equal(sim_vfs_size(copy, "x/y/z"), 1);
    shape(v, s);
    assert_string_equal(s, "abbbc");
    assert_int_equal(sim_vfs_size(v, "x/y/z"), -1);
    vfs_close(f);
    sim_vfs_free(copy);
    sim_vfs_free(v);
}

/* A file that only a handle keeps is not copied, and harms nothing. */
static void test_clone_with_an_unlinked_file(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct sim_vfs *copy;
    struct vfs_file *f = open_file(v, "f");

    (void)state;
    assert_int_equal(vfs_unlink(sim_vfs_base(v), "f"), 0);
    assert_int_equal(vfs_sync_dir(sim_vfs_base(v), "."), 0);
    sim_vfs_put(v, "g", (struct bytes){(const uint8_t *)"g", 1});
    copy = sim_vfs_clone(v);
    assert_int_equal(sim_vfs_size(copy, "g"), 1);
    sim_vfs_free(copy);
    vfs_close(f);
    sim_vfs_free(v);
}

static void test_damage_at_rest(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    uint32_t before;
    uint8_t *p;
    size_t len;

    (void)state;
    sim_vfs_put(v, "d/f", (struct bytes){(const uint8_t *)"hello", 5});
    before = sim_vfs_hash(v, "d");
    sim_vfs_flip(v, "d/f", 0, 0x20);
    sim_vfs_zero(v, "d/f", 3, 1);
    assert_int_not_equal(sim_vfs_hash(v, "d"), before);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL); /* it is on the disk */
    p = sim_vfs_get(v, "d/f", &len);
    assert_memory_equal(p, "Hel\0o", 5);
    xfree(p);
    sim_vfs_put(v, "d/f", (struct bytes){(const uint8_t *)"hello", 5});
    assert_int_equal(sim_vfs_hash(v, "d"), before);
    sim_vfs_cut(v, "d/f", 2);
    assert_int_equal(sim_vfs_size(v, "d/f"), 2);
    sim_vfs_move(v, "d/f", "d/g");
    assert_int_equal(sim_vfs_size(v, "d/f"), -1);
    sim_vfs_remove(v, "d/g");
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_int_equal(sim_vfs_size(v, "d/g"), -1);
    assert_null(sim_vfs_get(v, "d/g", &len));
    sim_vfs_free(v);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_keeps_what_it_should),
        cmocka_unit_test(test_random_crashes_cover_all),
        cmocka_unit_test(test_sync_makes_it_stay),
        cmocka_unit_test(test_failed_sync_is_not_repaired_by_another),
        cmocka_unit_test(test_lying_disk),
        cmocka_unit_test(test_truncation_is_lost_or_kept),
        cmocka_unit_test(test_names_need_a_sync_of_the_directory),
        cmocka_unit_test(test_rename_is_atomic),
        cmocka_unit_test(test_unlink_may_be_undone),
        cmocka_unit_test(test_errors_of_names),
        cmocka_unit_test(test_kth_call_fails_once),
        cmocka_unit_test(test_half_a_write),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_handles_die),
        cmocka_unit_test(test_kill_keeps_the_cache),
        cmocka_unit_test(test_clone_is_apart),
        cmocka_unit_test(test_clone_with_an_unlinked_file),
        cmocka_unit_test(test_damage_at_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
