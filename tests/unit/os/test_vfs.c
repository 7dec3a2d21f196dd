/* Goal: the helpers on top of the seam. Method: a disk in memory. */

#include "src/os/vfs.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"

static const struct {
    const char *path;
    const char *parent;
} PARENTS[] = {
    {"a", "."},         {"a/b", "a"}, {"a/b/c", "a/b"}, {"/a", "/"},
    {"/a/b", "/a"},     {"a/", "."},  {"a//b", "a"},    {"./a", "."},
    {"../a/b", "../a"}, {"/", "/"},   {"", "."},        {"a/b//", "a"},
};

static void test_parent(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(PARENTS); i++) {
        char *p = vfs_parent(PARENTS[i].path);

        assert_string_equal(p, PARENTS[i].parent);
        xfree(p);
    }
}

static void test_sync_parent(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs *fs = sim_vfs_base(v);
    struct errmsg em;

    (void)state;
    assert_int_equal(vfs_mkdir(fs, "d"), 0);
    sim_vfs_fail_once(v, 1, -EIO);
    assert_int_equal(vfs_sync_parent(fs, "d", &em), -EIO);
    assert_non_null(strstr(em.text, "sync directory .:"));
    assert_int_equal(vfs_sync_parent(fs, "d", &em), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    assert_true(vfs_exists(fs, "d"));
    sim_vfs_free(v);
}

static void test_join(void **state)
{
    char *p = vfs_join("a/b", "c");

    (void)state;
    assert_string_equal(p, "a/b/c");
    xfree(p);
}

static void test_read_file(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs *fs = sim_vfs_base(v);
    struct errmsg em;
    uint8_t *p;
    size_t len;

    (void)state;
    sim_vfs_put(v, "d/f", (struct bytes){(const uint8_t *)"hello", 5});
    assert_int_equal(vfs_read_file(fs, "d/f", 5, &p, &len, &em), 0);
    assert_int_equal(len, 5);
    assert_memory_equal(p, "hello", 5);
    xfree(p);
    assert_int_equal(vfs_read_file(fs, "d/f", 4, &p, &len, &em), ERR_TOO_LARGE);
    assert_non_null(strstr(em.text, "d/f"));
    assert_int_equal(vfs_read_file(fs, "d/g", 4, &p, &len, &em), -ENOENT);
    assert_non_null(strstr(em.text, "d/g"));
    for (uint64_t k = 1; k <= 3; k++) { /* open, size, read */
        sim_vfs_fail_once(v, k, -EIO);
        assert_int_equal(vfs_read_file(fs, "d/f", 5, &p, &len, &em), -EIO);
    }
    sim_vfs_free(v);
}

static void test_list_sorted(void **state)
{
    static const char *const names[] = {"b", "a", "0", "aa", "Z"};
    struct sim_vfs *v = sim_vfs_new();
    struct vfs_names got;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = vfs_join("d", names[i]);

        sim_vfs_put(v, path, (struct bytes){0});
        xfree(path);
    }
    assert_int_equal(vfs_list_sorted(sim_vfs_base(v), "d", &got), 0);
    assert_int_equal(got.n, 5);
    assert_string_equal(got.names[0], "0");
    assert_string_equal(got.names[1], "Z");
    assert_string_equal(got.names[4], "b");
    vfs_names_release(&got);
    assert_int_equal(got.n, 0);
    sim_vfs_free(v);
}

static void test_exists(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct vfs *fs = sim_vfs_base(v);

    (void)state;
    sim_vfs_put(v, "f", (struct bytes){0});
    assert_true(vfs_exists(fs, "f"));
    assert_false(vfs_exists(fs, "g"));
    sim_vfs_fail_once(v, 1, -EACCES);
    assert_true(vfs_exists(fs, "g")); /* who knows */
    sim_vfs_free(v);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parent),    cmocka_unit_test(test_join),
        cmocka_unit_test(test_read_file), cmocka_unit_test(test_list_sorted),
        cmocka_unit_test(test_exists),    cmocka_unit_test(test_sync_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
