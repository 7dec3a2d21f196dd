/* Goal: a start of which a read fails stops with a line that says where, and
 * the next one, on a disk that reads again, finds what it would have found.
 * Method: a last segment of several MiB, of which no buffer holds all, whole or
 * spoilt in the ways for which recovery looks at it more than once; for each k
 * its k-th read fails. */

#include "wal/wal.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/wal_rig.h"
#include "wal/record.h"
#include "wal/repair.h"

#define SEGMENT     (16 * MiB)
#define ENTRY_BYTES ((size_t)1200 * KiB) /* more than a buffer */
#define N_ENTRIES   3
/* A frame with a HardState of three small numbers. */
#define STATE_BYTES 24

enum spoil {
    WHOLE,
    NO_LENGTH,   /* the first entry's length field is zero */
    ZERO_SECTOR, /* inside the second entry */
    FLIPPED,     /* a byte of the second entry */
    NO_STATE,    /* the hard state that covers the entries is missing */
};

static const struct {
    const char *name;
    enum spoil how;
    int rc;        /* of a start without a failing read */
    uint64_t last; /* index that it finds */
    uint64_t reads_min;
} CASES[] = {
    {"whole", WHOLE, 0, 3 + N_ENTRIES, 5},
    {"torn from the first entry on", NO_LENGTH, 0, 3, 15},
    {"torn inside the second entry", ZERO_SECTOR, 0, 3, 15},
    {"damaged", FLIPPED, ERR_DAMAGED, 0, 10},
    {"without its hard state", NO_STATE, 0, 3, 10},
};

static uint64_t tail_offset(const struct wal_rig *r)
{
    struct wal_stats s;

    wal_get_stats(r->w, &s);
    return s.tail_offset;
}

/* Three small entries, and a last group of large ones, of a new term. */
static void make(struct wal_rig *r, enum spoil how)
{
    uint64_t first;
    uint64_t end;
    char *path;

    rig_init(r, SEGMENT);
    assert_int_equal(rig_create(r), 0);
    assert_int_equal(rig_save(r, 1, 1, 3, 20, 3), 0);
    assert_int_equal(rig_sync(r), 0);
    first = tail_offset(r) + RECORD_MARKER_BYTES;
    assert_int_equal(rig_save(r, 2, 4, N_ENTRIES, ENTRY_BYTES, 3), 0);
    assert_int_equal(rig_sync(r), 0);
    end = tail_offset(r);
    path = rig_last_segment(r);
    rig_crash(r, &(struct sim_crash){0});

    switch (how) {
    case WHOLE:
        break;
    case NO_LENGTH:
        sim_vfs_zero(r->v, path, first, RECORD_LENGTH_BYTES);
        break;
    case ZERO_SECTOR:
        sim_vfs_zero(r->v, path,
                     (first + ENTRY_BYTES * 3 / 2) / SECTOR_BYTES *
                         SECTOR_BYTES,
                     SECTOR_BYTES);
        break;
    case FLIPPED:
        sim_vfs_flip(r->v, path, first + ENTRY_BYTES * 3 / 2, 0x10);
        break;
    case NO_STATE:
        sim_vfs_zero(r->v, path, end - STATE_BYTES, STATE_BYTES);
        break;
    }
    xfree(path);
}

/* Whether there was a k-th read to fail. */
static bool fail_read(const struct wal_rig *from, size_t i, uint64_t k)
{
    struct wal_rig r;
    int rc;

    rig_fork(&r, from);
    sim_vfs_fail(r.v, (struct sim_fault){.ops = SIM_CALL_READ | SIM_CALL_SIZE,
                                         .after = k,
                                         .rc = -EIO});
    rc = rig_open(&r);
    if (!sim_vfs_has_failed(r.v)) {
        assert_int_equal(rc, CASES[i].rc);
        rig_release(&r);
        return false;
    }
    assert_int_equal(rc, -EIO);
    assert_non_null(strstr(r.em.text, "0000000000000000.wal"));
    assert_int_equal(sim_vfs_handles(r.v), 0);

    sim_vfs_heal(r.v);
    assert_int_equal(rig_open(&r), CASES[i].rc);
    if (CASES[i].rc == 0) {
        assert_int_equal(wal_state_last(&r.now), CASES[i].last);
        assert_int_equal(r.now.hs.commit, 3);
    }
    rig_release(&r);
    return true;
}

static void test_each_read_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct wal_rig from;
        uint64_t k = 0;

        make(&from, CASES[i].how);
        while (fail_read(&from, i, k)) {
            k++;
        }
        if (k < CASES[i].reads_min) {
            print_message("%s: %u reads only\n", CASES[i].name, (unsigned)k);
        }
        assert_true(k >= CASES[i].reads_min);
        rig_release(&from);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_read_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
