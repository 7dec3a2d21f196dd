/* Goal: names, the list of a directory, the making of a segment and reading
 * through a window. Method: tables, and a disk in memory that refuses. */

#include "wal/segment.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/log.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"

#define FIRST  "0000000000000000-0000000000000000.wal"
#define SECOND "0000000000000001-000000000000000a.wal"
#define FOURTH "0000000000000003-0000000000000020.wal"

/* --- names --- */

static const struct {
    const char *text;
    bool ok;
    struct segment_name name;
} NAMES[] = {
    {FIRST, true, {0, 0}},
    {SECOND, true, {1, 10}},
    {"ffffffffffffffff-fedcba9876543210.wal",
     true,
     {UINT64_MAX, UINT64_C(0xfedcba9876543210)}},
    {"", false, {0, 0}},
    {"foo.wal", false, {0, 0}},
    {"0.tmp", false, {0, 0}},
    {FIRST ".broken", false, {0, 0}},
    {"0000000000000001-000000000000000A.wal", false, {0, 0}},
    {"0000000000000001_000000000000000a.wal", false, {0, 0}},
    {"0000000000000001-000000000000000a.waL", false, {0, 0}},
    {"000000000000001-0000000000000000a.wal", false, {0, 0}},
    {"000000000000000g-000000000000000a.wal", false, {0, 0}},
    {"-000000000000001-000000000000000a.wal", false, {0, 0}},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        struct segment_name name;
        char text[SEGMENT_NAME_BYTES];
        bool ok = segment_name_parse(NAMES[i].text, &name);

        assert_int_equal(ok, NAMES[i].ok);
        if (ok) {
            assert_int_equal(name.seq, NAMES[i].name.seq);
            assert_int_equal(name.index, NAMES[i].name.index);
            segment_name_format(name, text);
            assert_string_equal(text, NAMES[i].text);
        }
    }
}

/* --- lists --- */

static const struct {
    const char *what;
    const char *names[5];
    int rc;
    size_t n;
    size_t n_warnings;
} LISTS[] = {
    {"none", {"0.tmp", "x"}, ERR_WAL_NOT_FOUND, 0, 0},
    {"only another name", {"foo.wal"}, ERR_WAL_NOT_FOUND, 0, 1},
    {"one", {FIRST}, 0, 1, 0},
    {"two and strays",
     {SECOND, FIRST, "foo.wal", "0.tmp", FIRST ".broken"},
     0,
     2,
     1},
    {"released", {SECOND}, 0, 1, 0},
    {"gap", {FIRST, SECOND, FOURTH}, ERR_DAMAGED, 0, 0},
    {"gap behind the first", {FIRST, FOURTH}, ERR_DAMAGED, 0, 0},
    {"twice",
     {SECOND, "0000000000000001-000000000000000b.wal"},
     ERR_DAMAGED,
     0,
     0},
    {"first with an index",
     {"0000000000000000-0000000000000001.wal"},
     ERR_DAMAGED,
     0,
     0},
    {"later without one",
     {"0000000000000001-0000000000000000.wal"},
     ERR_DAMAGED,
     0,
     0},
};

static void count_line(void *ctx, enum log_level level, const char *line)
{
    size_t *n = ctx;

    assert_int_equal(level, LOG_WARN);
    assert_non_null(strstr(line, "foo.wal"));
    (*n)++;
}

static void test_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
        struct sim_vfs *v = sim_vfs_new();
        struct segment_list l;
        struct errmsg em;
        size_t warnings = 0;
        struct logger lg = {LOG_INFO, count_line, &warnings};
        int rc;

        for (size_t k = 0; k < 5 && LISTS[i].names[k] != NULL; k++) {
            char *path = vfs_join("d", LISTS[i].names[k]);

            sim_vfs_put(v, path, (struct bytes){0});
            xfree(path);
        }
        rc = segment_list_read(sim_vfs_base(v), "d", &lg, &l, &em);
        assert_int_equal(rc, LISTS[i].rc);
        assert_int_equal(warnings, LISTS[i].n_warnings);
        if (rc == 0) {
            assert_int_equal(l.len, LISTS[i].n);
        }
        segment_list_release(&l);
        sim_vfs_free(v);
    }
}

static void test_list_drops_the_first(void **state)
{
    struct segment_list l = {0};

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        segment_list_push(&l, (struct segment_name){i, i});
    }
    segment_list_drop_first(&l);
    segment_list_drop_first(&l);
    assert_int_equal(l.len, 18);
    assert_int_equal(l.items[0].seq, 2);
    assert_int_equal(l.items[17].seq, 19);
    segment_list_release(&l);
}

static void test_list_of_no_directory(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct segment_list l;
    struct errmsg em;

    (void)state;
    assert_int_equal(segment_list_read(sim_vfs_base(v), "d", NULL, &l, &em),
                     -ENOENT);
    sim_vfs_free(v);
}

/* --- making --- */

static const struct bytes HEAD = {(const uint8_t *)"head....", 8};

static int create(struct sim_vfs *v, struct vfs_file **f, struct errmsg *em)
{
    return segment_create(sim_vfs_base(v), "d", (struct segment_name){1, 10},
                          4096, HEAD, f, em);
}

static struct sim_vfs *disk_with_leftover(void)
{
    struct sim_vfs *v = sim_vfs_new();

    sim_vfs_put(v, "d/0.tmp",
                (struct bytes){(const uint8_t *)"left over from before", 21});
    return v;
}

static void test_create(void **state)
{
    struct sim_vfs *v = disk_with_leftover();
    struct vfs_file *f;
    struct vfs_file *g;
    struct errmsg em;
    uint8_t *p;
    size_t len;

    (void)state;
    assert_int_equal(create(v, &f, &em), 0);
    assert_int_equal(vfs_open(sim_vfs_base(v), "d/" SECOND, VFS_WRITE, &g), 0);
    assert_int_equal(vfs_lock(g), ERR_LOCKED);
    vfs_close(g);
    vfs_close(f);
    /* All of it is durable. */
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL);
    p = sim_vfs_get(v, "d/" SECOND, &len);
    assert_int_equal(len, 4096);
    assert_memory_equal(p, HEAD.data, HEAD.len);
    for (size_t i = HEAD.len; i < len; i++) {
        assert_int_equal(p[i], 0);
    }
    assert_int_equal(sim_vfs_size(v, "d/0.tmp"), -1);
    xfree(p);
    sim_vfs_free(v);
}

static void test_create_fails_at_each_call(void **state)
{
    int rc = -1;

    (void)state;
    for (uint64_t k = 1; rc < 0; k++) {
        struct sim_vfs *v = disk_with_leftover();
        struct vfs_file *f = NULL;
        struct errmsg em;

        sim_vfs_fail_once(v, k, -ENOSPC);
        rc = create(v, &f, &em);
        if (rc < 0) {
            assert_int_equal(rc, -ENOSPC);
            assert_non_null(strstr(em.text, "d"));
            /* Only the failed sync of the directory comes after the rename. */
            if (sim_vfs_calls(v, SIM_CALL_SYNC_DIR) == 0) {
                assert_int_equal(sim_vfs_size(v, "d/" SECOND), -1);
            }
        } else {
            assert_true(k > 6);
            vfs_close(f);
        }
        sim_vfs_free(v);
    }
}

/* --- reading --- */

static uint8_t *pattern(size_t n)
{
    uint8_t *p = xmalloc(n);

    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return p;
}

static void test_reader_views(void **state)
{
    size_t n = 3 * MiB + 77;
    uint8_t *p = pattern(n);
    struct sim_vfs *v = sim_vfs_new();
    struct segment_reader r;
    struct vfs_file *f;
    struct rng rng;

    (void)state;
    sim_vfs_put(v, "f", (struct bytes){p, n});
    assert_int_equal(vfs_open(sim_vfs_base(v), "f", VFS_READ, &f), 0);
    assert_int_equal(segment_reader_init(&r, f), 0);
    assert_int_equal(r.size, n);
    rng_seed(&rng, 3);
    for (int i = 0; i < 300; i++) {
        uint64_t off = rng_below(&rng, n + 1);
        size_t want = (size_t)rng_below(&rng, i % 10 == 0 ? 2 * MiB : 4000);
        struct bytes view;

        assert_int_equal(segment_reader_view(&r, off, want, &view), 0);
        assert_true(view.len >= min_u64(want, n - off));
        assert_memory_equal(view.data, p + off, view.len);
    }
    segment_reader_release(&r);
    vfs_close(f);
    sim_vfs_free(v);
    xfree(p);
}

/* Read from front to back, nothing is read twice. */
static void test_reader_reads_once(void **state)
{
    size_t n = 4 * MiB;
    uint8_t *p = pattern(n);
    struct sim_vfs *v = sim_vfs_new();
    struct segment_reader r;
    struct vfs_file *f;
    uint64_t calls;

    (void)state;
    sim_vfs_put(v, "f", (struct bytes){p, n});
    assert_int_equal(vfs_open(sim_vfs_base(v), "f", VFS_READ, &f), 0);
    assert_int_equal(segment_reader_init(&r, f), 0);
    calls = sim_vfs_calls(v, SIM_CALL_READ);
    for (uint64_t off = 0; off < n; off += 1000) {
        struct bytes view;

        assert_int_equal(segment_reader_view(&r, off, 1000, &view), 0);
    }
    assert_in_range(sim_vfs_calls(v, SIM_CALL_READ) - calls, 4, 6);
    segment_reader_release(&r);
    vfs_close(f);
    sim_vfs_free(v);
    xfree(p);
}

static const struct {
    const char *name;
    uint64_t size;
    uint64_t last; /* offset of a byte that is not zero; UINT64_MAX: none */
    uint64_t from;
    uint64_t used;
} USED[] = {
    {"empty", 0, UINT64_MAX, 0, 0},
    {"zeros", 5000, UINT64_MAX, 0, 0},
    {"zeros from the middle", 5000, UINT64_MAX, 1000, 1000},
    {"at the end", 5000, 5000, 5000, 5000},
    {"first byte", 5000, 0, 0, 1},
    {"last byte", 5000, 4999, 0, 5000},
    {"before the start", 5000, 10, 11, 11},
    {"at the start", 5000, 10, 10, 11},
    {"behind a window", 3 * MiB, 2 * MiB + 5, 7, 2 * MiB + 6},
    {"last of a window", 3 * MiB, MiB - 1, 0, MiB},
};

static void test_reader_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(USED); i++) {
        struct sim_vfs *v = sim_vfs_new();
        struct segment_reader r;
        struct vfs_file *f;
        uint64_t used;

        sim_vfs_put(v, "f", (struct bytes){0});
        sim_vfs_cut(v, "f", USED[i].size);
        if (USED[i].last < USED[i].size) {
            sim_vfs_set(v, "f", USED[i].last,
                        (struct bytes){(const uint8_t *)"x", 1});
        }
        assert_int_equal(vfs_open(sim_vfs_base(v), "f", VFS_READ, &f), 0);
        assert_int_equal(segment_reader_init(&r, f), 0);
        assert_int_equal(segment_reader_used(&r, USED[i].from, &used), 0);
        assert_int_equal(used, USED[i].used);
        segment_reader_release(&r);
        vfs_close(f);
        sim_vfs_free(v);
    }
}

static void test_reader_passes_errors_on(void **state)
{
    struct sim_vfs *v = sim_vfs_new();
    struct segment_reader r;
    struct vfs_file *f;
    struct bytes view;
    uint64_t used;

    (void)state;
    sim_vfs_put(v, "f", (struct bytes){(const uint8_t *)"x", 1});
    assert_int_equal(vfs_open(sim_vfs_base(v), "f", VFS_READ, &f), 0);
    sim_vfs_fail_once(v, 1, -EIO);
    assert_int_equal(segment_reader_init(&r, f), -EIO);
    assert_int_equal(segment_reader_init(&r, f), 0);
    sim_vfs_fail_once(v, 1, -EIO);
    assert_int_equal(segment_reader_view(&r, 0, 1, &view), -EIO);
    sim_vfs_fail_once(v, 1, -EIO);
    assert_int_equal(segment_reader_used(&r, 0, &used), -EIO);
    segment_reader_release(&r);
    vfs_close(f);
    sim_vfs_free(v);
}

/* The lock keeps others of our kind away, not a shell. */
static void test_reader_of_a_file_that_shrinks(void **state)
{
    uint8_t *p = pattern(3 * MiB);
    struct sim_vfs *v = sim_vfs_new();
    struct segment_reader r;
    struct vfs_file *f;
    struct bytes view;

    (void)state;
    sim_vfs_put(v, "f", (struct bytes){p, 3 * MiB});
    assert_int_equal(vfs_open(sim_vfs_base(v), "f", VFS_READ, &f), 0);
    assert_int_equal(segment_reader_init(&r, f), 0);
    sim_vfs_cut(v, "f", 2 * MiB + 1);
    assert_int_equal(segment_reader_view(&r, 2 * MiB, 1, &view), 0);
    assert_int_equal(segment_reader_view(&r, 2 * MiB, 2, &view), -EIO);
    segment_reader_release(&r);
    vfs_close(f);
    sim_vfs_free(v);
    xfree(p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_list_drops_the_first),
        cmocka_unit_test(test_list_of_no_directory),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_create_fails_at_each_call),
        cmocka_unit_test(test_reader_views),
        cmocka_unit_test(test_reader_reads_once),
        cmocka_unit_test(test_reader_used),
        cmocka_unit_test(test_reader_passes_errors_on),
        cmocka_unit_test(test_reader_of_a_file_that_shrinks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
