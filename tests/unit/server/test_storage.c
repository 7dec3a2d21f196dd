/* Goal: what two directories say together is judged right: new, recovered, or
 * refused; and no write order leaves a state that cannot be opened again.
 * Method: a disk in memory, damaged by hand, and failed at every call. */

#include "src/server/storage.h"

#include <errno.h>
#include <inttypes.h>

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"

static int open_at(struct sim_vfs *disk, struct storage **st,
                   struct raftnode_recovered *found, struct errmsg *em)
{
    struct storage_options o = {
        .fs = sim_vfs_base(disk),
        .wal_dir = "wal",
        .snap_dir = "snap",
        .segment_bytes = 4096,
    };

    *em = (struct errmsg){{0}};
    return storage_open(&o, st, found, em);
}

static void must_open(struct sim_vfs *disk, struct storage **st,
                      struct raftnode_recovered *found)
{
    struct errmsg em;

    if (open_at(disk, st, found, &em) < 0) {
        fail_msg("%s", em.text);
    }
}

struct result {
    int rc;
    bool fatal;
    bool called;
};

static void on_done(void *arg, int rc, bool fatal, const struct errmsg *em)
{
    struct result *r = arg;

    (void)em;
    assert_false(r->called);
    *r = (struct result){rc, fatal, true};
}

static struct raft_entry *make_entry(uint64_t term, uint64_t index)
{
    struct raft_entry *e = raft_entry_new(
        RAFT_ENTRY_NORMAL, (struct bytes){(const uint8_t *)"data", 4});

    e->term = term;
    e->index = index;
    return e;
}

/* Entries lo..hi of term 1, with a HardState that commits them. */
static struct result write_entries(struct storage *st, uint64_t lo, uint64_t hi)
{
    struct raftnode_storage seam = storage_seam(st);
    struct raft_entries entries = {0};
    struct raftnode_write w = {.hard_state = {1, 1, hi}, .must_sync = true};
    struct result r = {0};

    for (uint64_t i = lo; i <= hi; i++) {
        raft_entries_take(&entries, make_entry(1, i));
    }
    w.entries = entries.items;
    w.n_entries = entries.len;
    seam.submit(seam.ctx, &w, on_done, &r);
    raft_entries_release(&entries);
    assert_true(r.called);
    return r;
}

static struct raft_snapshot *make_snapshot(uint64_t index)
{
    struct raft_snapshot *s = raft_snapshot_new();

    s->index = index;
    s->term = 1;
    id_list_push(&s->conf_state.voters, 1);
    return s;
}

static int write_content(void *ctx, int (*sink)(void *arg, struct bytes piece),
                         void *arg)
{
    (void)ctx;
    return sink(arg, (struct bytes){(const uint8_t *)"{}", 2});
}

static const struct snapshot_content content = {NULL, write_content};

/* The file, then its marker. */
static struct result save_snapshot(struct storage *st, uint64_t index)
{
    struct raftnode_storage seam = storage_seam(st);
    struct raft_snapshot *s = make_snapshot(index);
    struct result r = {0};

    seam.save_snapshot(seam.ctx, s, &content, on_done, &r);
    assert_true(r.called);
    if (r.rc == 0) {
        r = (struct result){0};
        seam.submit(seam.ctx, &(struct raftnode_write){.marker = s}, on_done,
                    &r);
        assert_true(r.called);
    }
    raft_snapshot_unref(s);
    return r;
}

static int compact(struct storage *st)
{
    struct raftnode_storage seam = storage_seam(st);
    struct result r = {0};

    seam.compact(seam.ctx, on_done, &r);
    assert_true(r.called);
    return r.rc;
}

static void close_storage(struct storage *st, struct raftnode_recovered *found)
{
    raftnode_recovered_release(found);
    assert_int_equal(storage_close(st, NULL), 0);
}

static void test_empty_disk_is_a_new_node(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;

    (void)state;
    must_open(disk, &st, &found);
    assert_true(found.is_new);
    close_storage(st, &found);
    /* Created but never written to: still new. */
    must_open(disk, &st, &found);
    assert_true(found.is_new);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

static void test_entries_come_back(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;

    (void)state;
    must_open(disk, &st, &found);
    assert_int_equal(write_entries(st, 1, 10).rc, 0);
    close_storage(st, &found);
    must_open(disk, &st, &found);
    assert_false(found.is_new);
    assert_null(found.snapshot);
    assert_int_equal(found.entries.len, 10);
    assert_int_equal(found.hard_state.commit, 10);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

static void test_snapshot_replaces_the_entries_before_it(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;

    (void)state;
    must_open(disk, &st, &found);
    assert_int_equal(write_entries(st, 1, 10).rc, 0);
    assert_int_equal(save_snapshot(st, 7).rc, 0);
    close_storage(st, &found);
    must_open(disk, &st, &found);
    assert_non_null(found.snapshot);
    assert_int_equal(found.snapshot->index, 7);
    assert_int_equal(found.entries.len, 3);
    assert_int_equal(found.entries.items[0]->index, 8);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

static void test_snapshots_without_a_log_are_refused(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct vfs_names names;
    struct storage *st;
    struct errmsg em;
    uint32_t before;

    (void)state;
    must_open(disk, &st, &found);
    close_storage(st, &found);
    sim_vfs_names(disk, "wal", &names);
    for (size_t i = 0; i < names.n; i++) {
        char *path = vfs_join("wal", names.names[i]);

        sim_vfs_remove(disk, path);
        xfree(path);
    }
    vfs_names_release(&names);
    before = sim_vfs_hash(disk, "snap");
    assert_int_equal(open_at(disk, &st, &found, &em), ERR_DAMAGED);
    assert_non_null(strstr(em.text, "snap"));
    assert_non_null(strstr(em.text, "DELETE"));
    assert_int_equal(sim_vfs_hash(disk, "snap"), before);
    sim_vfs_free(disk);
}

static void damage_snapshot(struct sim_vfs *disk, uint64_t index)
{
    char path[80];

    (void)snprintf(path, sizeof(path),
                   "snap/0000000000000001-%016" PRIx64 ".snap", index);
    assert_true(sim_vfs_size(disk, path) > 0);
    sim_vfs_flip(disk, path, 12, 0xff);
}

static void test_damaged_snapshot_gives_way_to_the_older_one(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;

    (void)state;
    must_open(disk, &st, &found);
    assert_int_equal(write_entries(st, 1, 10).rc, 0);
    assert_int_equal(save_snapshot(st, 4).rc, 0);
    assert_int_equal(save_snapshot(st, 8).rc, 0);
    close_storage(st, &found);
    damage_snapshot(disk, 8);
    must_open(disk, &st, &found);
    assert_int_equal(found.snapshot->index, 4);
    assert_int_equal(found.entries.len, 6);
    close_storage(st, &found);
    /* And then to the log itself, which begins at the beginning. */
    damage_snapshot(disk, 4);
    must_open(disk, &st, &found);
    assert_null(found.snapshot);
    assert_int_equal(found.entries.len, 10);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

static void fill_and_compact(struct sim_vfs *disk)
{
    struct raftnode_recovered found;
    struct storage *st;

    must_open(disk, &st, &found);
    for (uint64_t i = 0; i < 30; i++) {
        assert_int_equal(write_entries(st, i * 20 + 1, i * 20 + 20).rc, 0);
        assert_int_equal(save_snapshot(st, i * 20 + 15).rc, 0);
        assert_int_equal(compact(st), 0);
    }
    close_storage(st, &found);
}

static size_t count_names(struct sim_vfs *disk, const char *dir,
                          const char *ending)
{
    struct vfs_names names;
    size_t n = 0;

    sim_vfs_names(disk, dir, &names);
    for (size_t i = 0; i < names.n; i++) {
        size_t len = strlen(names.names[i]);

        n += len > strlen(ending) &&
             strcmp(names.names[i] + len - strlen(ending), ending) == 0;
    }
    vfs_names_release(&names);
    return n;
}

static void test_compaction_keeps_two_snapshots_and_their_log(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;

    (void)state;
    fill_and_compact(disk);
    assert_int_equal(count_names(disk, "snap", ".snap"), 2);
    assert_true(count_names(disk, "wal", ".wal") <= 3);
    /* The older of the two is still good for a start. */
    damage_snapshot(disk, 595);
    must_open(disk, &st, &found);
    assert_int_equal(found.snapshot->index, 575);
    assert_int_equal(found.entries.len, 25);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

static void test_no_usable_snapshot_is_refused(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;
    struct errmsg em;

    (void)state;
    fill_and_compact(disk);
    damage_snapshot(disk, 595);
    damage_snapshot(disk, 575);
    assert_int_equal(open_at(disk, &st, &found, &em), ERR_DAMAGED);
    assert_non_null(strstr(em.text, "no snapshot"));
    sim_vfs_free(disk);
}

static void test_failing_snapshot_of_our_own_is_not_fatal(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;
    struct result r;

    (void)state;
    must_open(disk, &st, &found);
    assert_int_equal(write_entries(st, 1, 10).rc, 0);
    sim_vfs_fail(disk,
                 (struct sim_fault){.ops = SIM_CALL_WRITE, .rc = -ENOSPC});
    r = save_snapshot(st, 8);
    assert_int_equal(r.rc, -ENOSPC);
    assert_false(r.fatal);
    assert_int_equal(count_names(disk, "snap", ".snap"), 0);
    assert_int_equal(write_entries(st, 11, 12).rc, 0);
    assert_int_equal(save_snapshot(st, 8).rc, 0);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

static void test_failing_log_is_fatal_for_ever(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct storage *st;
    struct result r;

    (void)state;
    must_open(disk, &st, &found);
    assert_int_equal(write_entries(st, 1, 10).rc, 0);
    sim_vfs_fail(disk, (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
    r = write_entries(st, 11, 11);
    assert_int_equal(r.rc, -EIO);
    assert_true(r.fatal);
    sim_vfs_heal(disk);
    r = write_entries(st, 12, 12);
    assert_int_equal(r.rc, -EIO);
    assert_true(r.fatal);
    (void)storage_close(st, NULL);
    /* What was acknowledged is there on a healthy disk. */
    sim_vfs_crash(disk, SIM_CRASH_DROP, NULL);
    must_open(disk, &st, &found);
    assert_true(found.entries.len >= 10);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

/* A snapshot of the leader: file, marker and HardState, cut off by a power cut
 * at every call. Either the old state or the new one comes back. */
static void test_power_cut_at_every_call_of_a_received_snapshot(void **state)
{
    bool finished = false;

    (void)state;
    for (uint64_t k = 1; !finished; k++) {
        struct sim_vfs *disk = sim_vfs_new();
        struct raft_snapshot *snap = make_snapshot(50);
        struct raftnode_write w = {.snapshot = snap, .hard_state = {1, 1, 50}};
        struct raftnode_recovered found;
        struct raftnode_storage seam;
        struct result r = {0};
        struct storage *st;

        must_open(disk, &st, &found);
        assert_int_equal(write_entries(st, 1, 10).rc, 0);
        sim_vfs_fail_from(disk, k, -EIO);
        seam = storage_seam(st);
        seam.submit(seam.ctx, &w, on_done, &r);
        finished = r.rc == 0;
        sim_vfs_crash(disk, k % 2 == 0 ? SIM_CRASH_KEEP : SIM_CRASH_DROP, NULL);
        (void)storage_close(st, NULL);
        raft_snapshot_unref(snap);
        must_open(disk, &st, &found);
        if (found.snapshot == NULL) {
            assert_false(finished);
            assert_int_equal(found.entries.len, 10);
        } else {
            assert_int_equal(found.snapshot->index, 50);
            assert_int_equal(found.entries.len, 0);
        }
        close_storage(st, &found);
        sim_vfs_free(disk);
    }
}

/* Start on a copy of `from`, cut the power at call k, keep one change of names
 * of those that were not durable, and start again. False at the last call. */
static bool start_again(const struct sim_vfs *from, uint64_t k, uint64_t name)
{
    struct sim_vfs *disk = sim_vfs_clone(from);
    struct raftnode_recovered found;
    struct storage *st = NULL;
    struct errmsg em;
    bool struck;

    sim_vfs_fail_from(disk, k, -EIO);
    if (open_at(disk, &st, &found, &em) == 0) {
        raftnode_recovered_release(&found);
        sim_vfs_power_off(disk);
        (void)storage_close(st, NULL);
    }
    struck = sim_vfs_has_failed(disk);
    sim_vfs_crash_as(
        disk, &(struct sim_crash){SIM_KEEP_ALL, 0, SIM_KEEP_ONLY, name, NULL});
    must_open(disk, &st, &found);
    assert_true(found.is_new);
    close_storage(st, &found);
    sim_vfs_free(disk);
    return struck;
}

/* The first process dies while it makes the directories; the second goes on
 * with what it sees, and the power fails. The snapshot directory must not be
 * there without the log: that is a member which lost it. */
static void test_power_cut_after_a_death_at_the_first_start(void **state)
{
    bool struck = true;

    (void)state;
    for (uint64_t k = 1; struck; k++) {
        struct sim_vfs *disk = sim_vfs_new();
        struct raftnode_recovered found;
        struct storage *st;
        struct errmsg em;

        sim_vfs_fail_from(disk, k, -EIO);
        if (open_at(disk, &st, &found, &em) == 0) {
            close_storage(st, &found);
        }
        struck = sim_vfs_has_failed(disk);
        sim_vfs_kill(disk);
        for (uint64_t name = 0; name < 4; name++) {
            for (uint64_t k2 = 1; start_again(disk, k2, name); k2++) {
            }
        }
        sim_vfs_free(disk);
    }
}

static void test_second_process_is_locked_out(void **state)
{
    struct sim_vfs *disk = sim_vfs_new();
    struct raftnode_recovered found;
    struct raftnode_recovered other_found;
    struct storage *st;
    struct storage *other;
    struct errmsg em;

    (void)state;
    must_open(disk, &st, &found);
    assert_int_equal(open_at(disk, &other, &other_found, &em), ERR_LOCKED);
    assert_int_equal(write_entries(st, 1, 1).rc, 0);
    close_storage(st, &found);
    sim_vfs_free(disk);
}

/* A worker that does all at once. */
struct worker {
    int n_brief;
    int n_long;
};

static void run_now(void *ctx, bool brief, void (*work)(void *arg),
                    void (*done)(void *arg), void *arg)
{
    struct worker *w = ctx;

    w->n_brief += brief;
    w->n_long += !brief;
    work(arg);
    done(arg);
}

static struct raft_entry *make_long_entry(uint64_t index, size_t len)
{
    struct raft_entry *e = raft_entry_alloc(RAFT_ENTRY_NORMAL, len);

    memset(e->data, 'x', len);
    e->term = 1;
    e->index = index;
    return e;
}

/* What takes longer than its sync, and what others would wait for, is another
 * thread's. */
static void test_worker_is_told_what_is_brief(void **state)
{
    static const struct {
        const char *name;
        size_t len; /* of each of two entries */
        bool others_wait;
        bool brief;
    } cases[] = {
        {"small", 100, false, true},
        {"just so", 8 * 1024, false, true},
        {"large", 8 * 1024 + 1, false, false},
        {"others wait", 100, true, false},
    };
    struct sim_vfs *disk = sim_vfs_new();
    struct worker worker = {0};
    struct storage_options o = {
        .fs = sim_vfs_base(disk),
        .wal_dir = "wal",
        .snap_dir = "snap",
        .worker = {.ctx = &worker, .run = run_now},
    };
    struct raftnode_recovered found;
    struct storage *st;
    struct errmsg em;

    (void)state;
    assert_int_equal(storage_open(&o, &st, &found, &em), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raftnode_storage seam = storage_seam(st);
        struct raft_entries entries = {0};
        struct result r = {0};

        raft_entries_take(&entries, make_long_entry(2 * i + 1, cases[i].len));
        raft_entries_take(&entries, make_long_entry(2 * i + 2, cases[i].len));
        struct raftnode_write w = {
            .hard_state = {1, 1, 0},
            .entries = entries.items,
            .n_entries = entries.len,
            .must_sync = true,
            .others_wait = cases[i].others_wait,
        };
        worker = (struct worker){0};
        seam.submit(seam.ctx, &w, on_done, &r);
        assert_true(r.called);
        if (worker.n_brief != cases[i].brief ||
            worker.n_long == cases[i].brief) {
            fail_msg("%s", cases[i].name);
        }
        raft_entries_release(&entries);
    }
    close_storage(st, &found);
    sim_vfs_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_disk_is_a_new_node),
        cmocka_unit_test(test_entries_come_back),
        cmocka_unit_test(test_snapshot_replaces_the_entries_before_it),
        cmocka_unit_test(test_snapshots_without_a_log_are_refused),
        cmocka_unit_test(test_damaged_snapshot_gives_way_to_the_older_one),
        cmocka_unit_test(test_compaction_keeps_two_snapshots_and_their_log),
        cmocka_unit_test(test_no_usable_snapshot_is_refused),
        cmocka_unit_test(test_failing_snapshot_of_our_own_is_not_fatal),
        cmocka_unit_test(test_failing_log_is_fatal_for_ever),
        cmocka_unit_test(test_power_cut_at_every_call_of_a_received_snapshot),
        cmocka_unit_test(test_power_cut_after_a_death_at_the_first_start),
        cmocka_unit_test(test_second_process_is_locked_out),
        cmocka_unit_test(test_worker_is_told_what_is_brief),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
