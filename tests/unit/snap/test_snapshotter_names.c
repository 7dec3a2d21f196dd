/* Goal: only names of our own making are read as snapshots, and where renaming,
 * removing or closing a file fails the snapshotter says so and nothing else
 * happens. Method: a table of names; a disk in memory that refuses one kind of
 * call. */

#include "snap/snapshotter.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/log.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"

#define NAME(index) "snap/0000000000000001-000000000000000" index ".snap"

static const struct {
    const char *what;
    const char *name;
    bool ours;
    uint64_t term;
    uint64_t index;
} NAMES[] = {
    {"plain", "0000000000000002-000000000000001f.snap", true, 2, 0x1f},
    {"largest", "ffffffffffffffff-ffffffffffffffff.snap", true, UINT64_MAX,
     UINT64_MAX},
    {"zero", "0000000000000000-0000000000000000.snap", true, 0, 0},
    {"empty", "", false, 0, 0},
    {"suffix alone", ".snap", false, 0, 0},
    {"upper case", "000000000000000A-0000000000000001.snap", false, 0, 0},
    {"before the digits", "000000000000000/-0000000000000001.snap", false, 0,
     0},
    {"behind the digits", "000000000000000:-0000000000000001.snap", false, 0,
     0},
    {"before the letters", "000000000000000`-0000000000000001.snap", false, 0,
     0},
    {"behind the letters", "000000000000000g-0000000000000001.snap", false, 0,
     0},
    {"index that is no number", "0000000000000001-000000000000000g.snap", false,
     0, 0},
    {"no dash", "0000000000000001_0000000000000001.snap", false, 0, 0},
    {"shorter", "000000000000001-0000000000000001.snap", false, 0, 0},
    {"longer", "0000000000000001-0000000000000001.snap2", false, 0, 0},
    {"broken", "0000000000000001-0000000000000001.snap.broken", false, 0, 0},
    {"other suffix", "0000000000000001-0000000000000001.snab", false, 0, 0},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        uint64_t term = 77;
        uint64_t index = 77;
        bool ours = snapshot_name_parse(NAMES[i].name, &term, &index);

        if (ours != NAMES[i].ours) {
            print_message("%s\n", NAMES[i].what);
        }
        assert_int_equal(ours, NAMES[i].ours);
        assert_int_equal(term, ours ? NAMES[i].term : 77);
        assert_int_equal(index, ours ? NAMES[i].index : 77);
    }
}

/* --- a disk that refuses --- */

struct fixture {
    struct sim_vfs *v;
    struct snapshotter s;
    struct logger lg;
    enum log_level level; /* of the last line above INFO */
    char line[512];
};

static void sink(void *ctx, enum log_level level, const char *line)
{
    struct fixture *f = ctx;

    if (level > LOG_INFO) {
        f->level = level;
        (void)snprintf(f->line, sizeof(f->line), "%s", line);
    }
}

static void init(struct fixture *f)
{
    *f = (struct fixture){.v = sim_vfs_new()};
    f->lg = (struct logger){LOG_DEBUG, sink, f};
    snapshotter_init(&f->s, sim_vfs_base(f->v), "snap", &f->lg);
    assert_int_equal(snapshotter_open(&f->s, NULL), 0);
}

static void release(struct fixture *f)
{
    snapshotter_release(&f->s);
    sim_vfs_free(f->v);
}

static void put(struct fixture *f, const char *path)
{
    sim_vfs_put(f->v, path, (struct bytes){(const uint8_t *)"x", 1});
}

static void refuse(struct fixture *f, uint32_t call, uint64_t after)
{
    sim_vfs_fail(f->v,
                 (struct sim_fault){.ops = call, .after = after, .rc = -EPERM});
}

static void test_temporary_file_that_cannot_be_removed(void **state)
{
    static const char first[] =
        "snap/0000000000000001-0000000000000005.snap.tmp";
    static const char second[] =
        "snap/0000000000000001-0000000000000006.snap.tmp";
    struct fixture f;
    struct errmsg em;

    (void)state;
    init(&f);
    put(&f, first);
    put(&f, second);
    refuse(&f, SIM_CALL_UNLINK, 0);
    assert_int_equal(snapshotter_open(&f.s, &em), -EPERM);
    assert_non_null(strstr(em.text, first));
    assert_int_equal(sim_vfs_size(f.v, second), 1); /* not tried any more */
    assert_int_equal(snapshotter_open(&f.s, &em), 0);
    assert_int_equal(sim_vfs_size(f.v, first), -1);
    assert_int_equal(sim_vfs_size(f.v, second), -1);
    release(&f);
}

/* The damaged file stays where it is; that it is damaged is said all the same,
 * to the caller and to the operator. */
static void test_damaged_file_that_cannot_be_renamed(void **state)
{
    static const uint32_t calls[] = {SIM_CALL_RENAME, SIM_CALL_SYNC_DIR};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        struct fixture f;
        struct raft_snapshot *snap = NULL;
        struct errmsg em;

        init(&f);
        put(&f, NAME("5"));
        refuse(&f, calls[i], 0);
        assert_int_equal(snapshotter_load(&f.s, 1, 5, &snap, &em), ERR_DAMAGED);
        assert_null(snap);
        assert_int_equal(f.level, LOG_ERROR);
        assert_non_null(strstr(f.line, "is damaged"));
        assert_non_null(strstr(f.line, err_str(-EPERM)));
        assert_int_equal(sim_vfs_size(f.v, NAME("5")),
                         calls[i] == SIM_CALL_RENAME ? 1 : -1);
        release(&f);
    }
}

static void test_purge_goes_on_past_a_failure(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    put(&f, NAME("1"));
    put(&f, NAME("2"));
    put(&f, NAME("3"));
    refuse(&f, SIM_CALL_UNLINK, 0);
    snapshotter_purge(&f.s, 9, 1, (struct vfs_rest){0});
    assert_int_equal(f.level, LOG_WARN);
    assert_non_null(strstr(f.line, NAME("1")));
    assert_int_equal(sim_vfs_size(f.v, NAME("1")), 1);
    assert_int_equal(sim_vfs_size(f.v, NAME("2")), -1);
    assert_int_equal(sim_vfs_size(f.v, NAME("3")), 1);
    release(&f);
}

/* --- closing --- */

/* The operations of the disk with a close that closes and fails. */
static const struct vfs_ops *real_ops;
static const struct vfs_file_ops *real_file_ops;

static int close_badly(struct vfs_file *file)
{
    (void)real_file_ops->close(file);
    return -EIO;
}

static int open_to_close_badly(struct vfs *fs, const char *path, int flags,
                               struct vfs_file **out)
{
    static struct vfs_file_ops ops;
    int rc = real_ops->open(fs, path, flags, out);

    if (rc == 0) {
        real_file_ops = (*out)->ops;
        ops = *real_file_ops;
        ops.close = close_badly;
        (*out)->ops = &ops;
    }
    return rc;
}

/* Some file systems tell of a lost write only then. */
static void test_failing_close_fails_the_save(void **state)
{
    struct fixture f;
    struct vfs *fs;
    struct vfs_ops ops;
    struct raft_snapshot *snap = raft_snapshot_new();
    struct errmsg em;

    (void)state;
    init(&f);
    fs = sim_vfs_base(f.v);
    real_ops = fs->ops;
    ops = *real_ops;
    ops.open = open_to_close_badly;
    fs->ops = &ops;
    snap->term = 1;
    snap->index = 5;
    id_list_push(&snap->conf_state.voters, 1);
    assert_int_equal(snapshotter_save(&f.s, snap, &em), -EIO);
    assert_non_null(strstr(em.text, "close"));
    assert_int_equal(sim_vfs_size(f.v, NAME("5")), -1);
    assert_int_equal(sim_vfs_size(f.v, NAME("5") ".tmp"), -1);
    fs->ops = real_ops;
    assert_int_equal(snapshotter_save(&f.s, snap, &em), 0);
    raft_snapshot_unref(snap);
    release(&f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_temporary_file_that_cannot_be_removed),
        cmocka_unit_test(test_damaged_file_that_cannot_be_renamed),
        cmocka_unit_test(test_purge_goes_on_past_a_failure),
        cmocka_unit_test(test_failing_close_fails_the_save),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
