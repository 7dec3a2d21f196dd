/* Goal: whoever only looks at a log sees all of it, as far as it goes, whoever
 * has it, and changes nothing. Method: logs on a disk in memory, whole, damaged
 * and incomplete; what the watch is told is counted, and beside it stands what
 * a recovery would find. */

#include "wal/recover.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/wal_rig.h"

#define SMALL 2048

/* What was seen. */
struct seen {
    size_t n_segments;
    uint64_t bytes;
    size_t n_records;
    size_t n_entries;
    size_t crcs[RECOVERY_CRC_TAKEN + 1];
    uint64_t off;         /* of the last record */
    uint64_t first_entry; /* where the first entry stands */
};

static void on_segment(void *ctx, struct segment_name name, uint64_t size)
{
    struct seen *s = ctx;

    (void)name;
    s->n_segments++;
    s->bytes += size;
    s->off = 0;
}

static void on_record(void *ctx, uint64_t off, const struct record *rec,
                      enum recovery_crc crc)
{
    struct seen *s = ctx;

    assert_true(off == 0 || off > s->off);
    s->off = off;
    s->n_records++;
    s->n_entries += rec->pb.type == WALPB_ENTRY ? 1 : 0;
    s->crcs[crc]++;
    if (rec->pb.type == WALPB_ENTRY && s->first_entry == 0) {
        s->first_entry = off;
    }
}

/* Look at the rig's directory. The caller releases *rec. */
static int look(struct wal_rig *r, struct seen *s, struct recovery *rec)
{
    struct recovery_watch watch = {s, on_segment, on_record};
    uint32_t before = sim_vfs_hash(r->v, ".");
    int rc;

    *s = (struct seen){0};
    rc = recovery_inspect(&r->o, &watch, rec, &r->em);
    assert_int_equal(sim_vfs_hash(r->v, "."), before);
    assert_null(rec->lock);
    assert_true(rc == 0 || r->em.text[0] != '\0');
    return rc;
}

static void fill(struct wal_rig *r, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        assert_int_equal(rig_save(r, 1, i, 1, 200, i - 1), 0);
        assert_int_equal(rig_sync(r), 0);
    }
}

/* Entries 1 to 30 over several segments; still open. */
static void make(struct wal_rig *r)
{
    rig_init(r, SMALL);
    assert_int_equal(rig_create(r), 0);
    fill(r, 1, 30);
    assert_true(rig_segments(r) > 3);
}

static uint64_t last_index(const struct recovery *rec)
{
    return replay_last_index(&rec->replay);
}

static void test_while_another_has_it(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;

    (void)state;
    make(&r); /* its locks are held */
    assert_int_equal(look(&r, &s, &rec), 0);
    assert_int_equal(s.n_segments, rig_segments(&r));
    assert_int_equal(s.n_entries, 30);
    assert_int_equal(s.crcs[RECOVERY_CRC_OK], s.n_records);
    assert_int_equal(last_index(&rec), 30);
    assert_int_equal(rec.replay.hs.commit, 29);
    recovery_release(&rec);
    fill(&r, 31, 31); /* its owner goes on */
    rig_release(&r);
}

static void test_without_a_watch(void **state)
{
    struct wal_rig r;
    struct recovery rec;

    (void)state;
    make(&r);
    assert_int_equal(recovery_inspect(&r.o, NULL, &rec, &r.em), 0);
    assert_int_equal(last_index(&rec), 30);
    recovery_release(&rec);
    rig_release(&r);
}

static void test_nothing_there(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;

    (void)state;
    rig_init(&r, SMALL);
    assert_int_equal(look(&r, &s, &rec), -ENOENT);
    recovery_release(&rec);
    sim_vfs_put(r.v, "wal/lock", (struct bytes){0});
    assert_int_equal(look(&r, &s, &rec), ERR_WAL_NOT_FOUND);
    assert_int_equal(s.n_segments, 0);
    recovery_release(&rec);
    rig_release(&r);
}

static void test_missing_segment_ends_it(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;
    char *path;

    (void)state;
    make(&r);
    path = rig_segment(&r, 2);
    sim_vfs_remove(r.v, path);
    assert_int_equal(look(&r, &s, &rec), ERR_DAMAGED);
    assert_non_null(strstr(r.em.text, "is missing"));
    assert_int_equal(s.n_segments, 2);
    assert_in_range(last_index(&rec), s.n_entries, s.n_entries);
    assert_in_range(last_index(&rec), 5, 20);
    recovery_release(&rec);
    xfree(path);
    rig_release(&r);
}

/* Behind a gap no segment is the last: an entry that waits for its hard state
 * there is dropped like one at the end. */
static void test_gap_inside_a_group(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;
    char *path;

    (void)state;
    rig_init(&r, SMALL);
    assert_int_equal(rig_create(&r), 0);
    fill(&r, 1, 3);
    assert_int_equal(rig_save(&r, 2, 4, 2, 1000, 3), 0);
    assert_int_equal(rig_sync(&r), 0);
    assert_int_equal(rig_save(&r, 2, 6, 1, 10, 3), 0); /* the next segment */
    assert_int_equal(rig_sync(&r), 0);
    assert_int_equal(rig_segments(&r), 2);
    path = rig_segment(&r, 0);
    /* Term 2's hard state is cut off, and the chain to what follows with it. */
    sim_vfs_cut(r.v, path, (uint64_t)sim_vfs_size(r.v, path) - 24);
    assert_int_equal(look(&r, &s, &rec), ERR_DAMAGED);
    assert_int_equal(last_index(&rec), 3);
    assert_false(rec.replay.ahead);
    recovery_release(&rec);
    xfree(path);
    rig_release(&r);
}

static void test_damage_ends_it(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;
    char *path;

    (void)state;
    make(&r);
    path = rig_segment(&r, 1);
    sim_vfs_flip(r.v, path, (uint64_t)sim_vfs_size(r.v, path) / 2, 0x04);
    assert_int_equal(look(&r, &s, &rec), ERR_DAMAGED);
    assert_int_equal(s.n_segments, 2);
    assert_int_equal(s.crcs[RECOVERY_CRC_WRONG], 1);
    /* The record that does not fit is seen, but not believed. */
    assert_int_equal(last_index(&rec), s.n_entries - 1);
    recovery_release(&rec);
    xfree(path);
    rig_release(&r);
}

/* No checksum of the format covers a record's type; the marker behind it does,
 * and the watch is told there. */
static void test_changed_type(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;
    struct raft_entry *e = raft_entry_new(1, (struct bytes){0});
    char *path;

    (void)state;
    rig_init(&r, SMALL);
    assert_int_equal(rig_create(&r), 0);
    assert_int_equal(rig_save_state(&r, (struct hard_state){1, 1, 0}), 0);
    e->term = 1;
    e->index = 1; /* as a hard state it says term 1, vote 1, commit 1 */
    assert_int_equal(rig_save_entry(&r, e, 1), 0);
    assert_int_equal(rig_close(&r), 0);
    assert_int_equal(look(&r, &s, &rec), 0);
    recovery_release(&rec);
    path = rig_segment(&r, 0);
    sim_vfs_flip(r.v, path, s.first_entry + RECORD_LENGTH_BYTES + 1,
                 WALPB_ENTRY ^ WALPB_STATE);
    assert_int_equal(look(&r, &s, &rec), ERR_DAMAGED);
    assert_int_equal(s.crcs[RECOVERY_GROUP_WRONG], 1);
    recovery_release(&rec);
    xfree(path);
    rig_release(&r);
}

static void test_released_beginning(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;

    (void)state;
    make(&r);
    assert_int_equal(rig_snapshot(&r, 29), 0);
    assert_int_equal(rig_sync(&r), 0);
    assert_int_equal(rig_release_to(&r, 29), 0);
    assert_int_equal(look(&r, &s, &rec), 0);
    assert_int_equal(s.crcs[RECOVERY_CRC_TAKEN], 1);
    assert_int_equal(last_index(&rec), 30);
    assert_true(rec.replay.base.index > 0);
    recovery_release(&rec);
    rig_release(&r);
}

static void test_each_call_fails(void **state)
{
    struct wal_rig r;
    struct seen s;
    struct recovery rec;
    uint64_t handles;
    uint64_t k = 0;

    (void)state;
    make(&r);
    handles = sim_vfs_handles(r.v);
    for (int rc = -EIO; rc < 0; k++) {
        sim_vfs_fail(r.v, (struct sim_fault){
                              .ops = SIM_CALLS_ALL, .after = k, .rc = -EIO});
        rc = look(&r, &s, &rec);
        assert_int_equal(rc, sim_vfs_has_failed(r.v) ? -EIO : 0);
        assert_true(last_index(&rec) <= 30);
        recovery_release(&rec);
        assert_int_equal(sim_vfs_handles(r.v), handles);
    }
    assert_true(k > 3 * 3);
    sim_vfs_heal(r.v);
    rig_release(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_another_has_it),
        cmocka_unit_test(test_without_a_watch),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_missing_segment_ends_it),
        cmocka_unit_test(test_gap_inside_a_group),
        cmocka_unit_test(test_damage_ends_it),
        cmocka_unit_test(test_changed_type),
        cmocka_unit_test(test_released_beginning),
        cmocka_unit_test(test_each_call_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
