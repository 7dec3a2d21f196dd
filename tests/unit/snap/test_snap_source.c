/* Goal: a snapshot file that is read piece by piece, and fails, changes or is
 * damaged meanwhile, is never handed out whole. Method: a file on a disk in
 * memory, and for each step of reading it the ways in which it goes wrong. */

#include <errno.h>

#include "proto/snappb.h"
#include "snap/snapshotter.h"
#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"

#define TERM  3
#define INDEX 7
#define PATH  "snap/0000000000000003-0000000000000007.snap"

struct fixture {
    struct sim_vfs *v;
    struct snapshotter s;
    struct errmsg em;
};

/* A disk with a sound file. */
static void init(struct fixture *f)
{
    struct raft_snapshot *snap = raft_snapshot_new();

    *f = (struct fixture){.v = sim_vfs_new()};
    snapshotter_init(&f->s, sim_vfs_base(f->v), "snap", NULL);
    assert_int_equal(snapshotter_open(&f->s, NULL), 0);
    snap->term = TERM;
    snap->index = INDEX;
    snap->data = xmemdup("{\"a\":\"1\"}", 9);
    snap->len = 9;
    id_list_push(&snap->conf_state.voters, 1);
    assert_int_equal(snapshotter_save(&f->s, snap, NULL), 0);
    raft_snapshot_unref(snap);
}

static void release(struct fixture *f)
{
    assert_int_equal(sim_vfs_handles(f->v), 0);
    snapshotter_release(&f->s);
    sim_vfs_free(f->v);
}

static int open_source(struct fixture *f, struct raft_snapshot_source **out)
{
    f->em = (struct errmsg){{0}};
    return snapshotter_open_source(&f->s, TERM, INDEX, out, &f->em);
}

static void refuse(struct fixture *f, uint32_t ops, int rc)
{
    sim_vfs_fail(f->v, (struct sim_fault){.ops = ops, .rc = rc});
}

static void test_each_call_of_opening_fails(void **state)
{
    static const struct {
        uint32_t ops;
        int rc;
        int want;
    } cases[] = {
        {SIM_CALL_OPEN, -EACCES, -EACCES},
        {SIM_CALL_OPEN, -ENOENT, ERR_NO_SNAPSHOT},
        {SIM_CALL_READ, -EIO, -EIO},
        {SIM_CALL_SIZE, -EIO, -EIO},
    };
    struct fixture f;
    struct raft_snapshot_source *source;

    (void)state;
    init(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        refuse(&f, cases[i].ops, cases[i].rc);
        assert_int_equal(open_source(&f, &source), cases[i].want);
        assert_non_null(strstr(f.em.text, PATH));
        assert_int_equal(sim_vfs_handles(f.v), 0);
    }
    release(&f);
}

/* The head promises what no file of ours is as long as. */
static void test_head_with_a_huge_length(void **state)
{
    static const uint64_t lengths[] = {UINT64_C(1) << 32, UINT64_MAX - 5,
                                       UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        uint8_t head[SNAPPB_HEAD_MAX] = {0};
        struct raft_snapshot_source *source;
        struct fixture f;

        init(&f);
        (void)snappb_head_encode(head, 1, (size_t)lengths[i]);
        sim_vfs_put(f.v, PATH, (struct bytes){head, sizeof(head)});
        assert_int_equal(open_source(&f, &source), ERR_DAMAGED);
        release(&f);
    }
}

static void test_reading_fails(void **state)
{
    struct fixture f;
    struct raft_snapshot_source *source;
    uint8_t piece[4];

    (void)state;
    init(&f);
    assert_int_equal(open_source(&f, &source), 0);
    refuse(&f, SIM_CALL_READ, -EIO);
    assert_int_equal(source->ops->read(source, piece, sizeof(piece), &f.em),
                     -EIO);
    assert_non_null(strstr(f.em.text, PATH));
    source->ops->close(source);
    release(&f);
}

static void test_file_that_becomes_shorter(void **state)
{
    struct fixture f;
    struct raft_snapshot_source *source;
    uint8_t all[256];

    (void)state;
    init(&f);
    assert_int_equal(open_source(&f, &source), 0);
    assert_in_range(source->size, 10, sizeof(all));
    sim_vfs_cut(f.v, PATH, (uint64_t)sim_vfs_size(f.v, PATH) - 1);
    assert_int_equal(source->ops->read(source, all, source->size, &f.em),
                     ERR_DAMAGED);
    source->ops->close(source);
    release(&f);
}

/* All of it at once, for who has no use for pieces. */
static void test_load(void **state)
{
    struct fixture f;
    struct raft_snapshot *from = raft_snapshot_new();
    struct raft_snapshot *to = NULL;

    (void)state;
    init(&f);
    assert_int_equal(open_source(&f, &from->source), 0);
    assert_int_equal(raft_snapshot_load(from, &to, &f.em), 0);
    assert_int_equal(to->index, INDEX);
    assert_int_equal(to->len, 9);
    raft_snapshot_unref(to);
    raft_snapshot_unref(from);

    from = raft_snapshot_new();
    assert_int_equal(open_source(&f, &from->source), 0);
    refuse(&f, SIM_CALL_READ, -EIO);
    assert_int_equal(raft_snapshot_load(from, &to, &f.em), -EIO);
    raft_snapshot_unref(from);
    release(&f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_of_opening_fails),
        cmocka_unit_test(test_head_with_a_huge_length),
        cmocka_unit_test(test_reading_fails),
        cmocka_unit_test(test_file_that_becomes_shorter),
        cmocka_unit_test(test_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
