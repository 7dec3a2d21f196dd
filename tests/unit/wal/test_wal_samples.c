/* Goal: logs that the Go program wrote are read as it reads them, and those
 * that are damaged are mended or refused by our rules, which are stricter
 * where it cuts what was synced. Method: the sample directories of the format
 * specification, where they are there, on a disk in memory. */

#include "wal/wal.h"

#include <stdio.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/jsonl.h"
#include "tests/lib/wal_rig.h"

#define SAMPLE_MAX (80 * MiB)

/* --- sample files --- */

/* What `gzip -dc` makes of the file; free with xfree. */
static uint8_t *unpack(const char *path, size_t *len)
{
    char *command = xasprintf("gzip -dc '%s'", path);
    FILE *p = popen(command, "r");
    uint8_t *data = NULL;
    size_t cap = 0;
    size_t n;

    assert_non_null(p);
    *len = 0;
    do {
        if (*len == cap) {
            cap = grow_cap(cap, cap + 65536);
            data = xrealloc_array(data, cap, 1);
        }
        n = fread(data + *len, 1, cap - *len, p);
        *len += n;
    } while (n > 0);
    assert_int_equal(pclose(p), 0);
    xfree(command);
    return data;
}

/* Put the files of a real directory into "wal". */
static void load(struct sim_vfs *v, const char *dir)
{
    struct vfs_names names;

    assert_int_equal(vfs_list_sorted(vfs_posix(), dir, &names), 0);
    for (size_t i = 0; i < names.n; i++) {
        char *from = vfs_join(dir, names.names[i]);
        char *to = vfs_join("wal", names.names[i]);
        size_t n = strlen(to);
        uint8_t *data;
        size_t len;

        if (n > 3 && strcmp(to + n - 3, ".gz") == 0) {
            to[n - 3] = '\0';
            data = unpack(from, &len);
        } else {
            assert_int_equal(
                vfs_read_file(vfs_posix(), from, SAMPLE_MAX, &data, &len, NULL),
                0);
        }
        while (len > 0 && data[len - 1] == 0 && len > MiB) {
            len--; /* reserved space: keep the memory for the used part */
        }
        sim_vfs_put(v, to, (struct bytes){data, len});
        xfree(data);
        xfree(from);
        xfree(to);
    }
    vfs_names_release(&names);
}

/* The directory of samples, or NULL after a line that says so. */
static char *samples(const char *relative)
{
    char *path = shared_path(relative);

    if (!vfs_exists(vfs_posix(), path)) {
        print_message("skipped: no %s\n", path);
        xfree(path);
        return NULL;
    }
    return path;
}

/* --- whole data directories --- */

struct expected {
    const char *name;
    int rc;
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t last;
    uint64_t snap;    /* the newest usable marker */
    bool mended;      /* by cutting a torn tail */
    const char *says; /* if refused, a part of the reason */
};

static void check(const struct expected *e, const char *dir,
                  uint64_t segment_bytes)
{
    struct wal_rig r;
    uint32_t before;
    bool same;

    print_message("  %s\n", e->name);
    rig_init(&r, segment_bytes);
    load(r.v, dir);
    sim_vfs_put(r.v, "wal/lock", (struct bytes){0});
    before = sim_vfs_hash(r.v, "wal");
    assert_int_equal(rig_open(&r), e->rc);
    if (e->rc < 0) {
        assert_non_null(strstr(r.em.text, e->says));
        assert_non_null(strstr(r.em.text, "DELETE"));
        assert_int_equal(sim_vfs_hash(r.v, "wal"), before);
        rig_release(&r);
        return;
    }
    assert_int_equal(r.now.hs.term, e->term);
    assert_int_equal(r.now.hs.vote, e->vote);
    assert_int_equal(r.now.hs.commit, e->commit);
    assert_int_equal(wal_state_last(&r.now), e->last);
    assert_int_equal(r.now.snap.index, e->snap);
    assert_int_equal(r.torn_bytes > 0, e->mended);

    /* And it can be gone on with. */
    assert_int_equal(rig_save(&r, e->term + 1, e->last + 1, 2, 50, e->last), 0);
    assert_int_equal(rig_close(&r), 0);
    assert_int_equal(rig_reopen(&r, &same), 0);
    assert_true(same);
    rig_release(&r);
}

static void check_all(const char *relative, const struct expected *e, size_t n,
                      uint64_t segment_bytes)
{
    char *base = samples(relative);

    for (size_t i = 0; base != NULL && i < n; i++) {
        char *dir = vfs_join(base, e[i].name);

        check(&e[i], dir, segment_bytes);
        xfree(dir);
    }
    xfree(base);
}

/* Whole data directories: as the listings beside them say. */
static const struct expected DATA[] = {
    {"3.4.23-small-segments/raftexample-1", 0, 2, 1, 50, 51, 39, false, NULL},
    {"3.4.23-small-segments/raftexample-4", 0, 2, 0, 50, 51, 39, false, NULL},
    {"3.4.23-default-segment/raftexample-1", 0, 2, 3, 22, 23, 18, false, NULL},
    {"3.4.23-default-segment/raftexample-4", 0, 2, 0, 22, 23, 18, false, NULL},
    {"newest-small-segments/raftexample-1", 0, 2, 3, 50, 51, 39, false, NULL},
    {"newest-small-segments/raftexample-4", 0, 2, 0, 50, 51, 39, false, NULL},
    {"newest-default-segment/raftexample-1", 0, 2, 3, 22, 23, 18, false, NULL},
    {"newest-default-segment/raftexample-4", 0, 2, 0, 22, 23, 18, false, NULL},
};

static void test_data_directories(void **state)
{
    (void)state;
    check_all("spec/samples/data", DATA, ARRAY_LEN(DATA), 65536);
}

/* Single logs, intact and damaged. Where the Go program decides otherwise, the
 * comment says what it does after its repair. */
#define REFUSED ERR_DAMAGED, 0, 0, 0, 0, 0, false
static const struct expected CASES[] = {
    {"case01", 0, 1, 1, 2, 3, 0, false, NULL},
    {"case02", 0, 1, 1, 1, 3, 0, true, NULL},
    {"case03", 0, 1, 1, 1, 3, 0, true, NULL},
    {"case04", 0, 1, 1, 1, 3, 0, true, NULL},
    {"case05", 0, 1, 1, 1, 3, 0, false, NULL},
    {"case06", 0, 1, 1, 1, 3, 0, true, NULL},
    {"case07", 0, 1, 1, 1, 2, 0, true, NULL},
    {"case08", REFUSED, "record 7: all of its sectors"},
    {"case09", REFUSED, "record 7: all of its sectors"},
    {"case10", 0, 1, 1, 1, 2, 0, true, NULL},
    {"case11", 0, 1, 1, 1, 2, 0, true, NULL},
    /* Go cuts here, and loses what was synced behind. */
    {"case12", REFUSED, "synced later"},
    /* Go does not look at the padding. */
    {"case13", REFUSED, "record 7: all of its sectors"},
    {"case14", REFUSED, "record 9: all of its sectors"},
    {"case15", REFUSED, "a gap before the entry"},
    /* Go lets a committed entry be overwritten. */
    {"case16", REFUSED, "at or below the commit index"},
    /* Go compares metadata only with metadata that are not nil. */
    {"case17", REFUSED, "record 9: all of its sectors"},
    {"case18", 0, 1, 1, 2, 3, 0, false, NULL},
    {"case19", REFUSED, "record 9: all of its sectors"},
    {"case20", 0, 1, 1, 2, 3, 0, true, NULL},
    {"case21", 0, 1, 1, 2, 3, 0, true, NULL},
    {"case22", REFUSED, "record 9: all of its sectors"},
    {"case23", REFUSED, "cannot be decoded"},
    {"case24", 0, 1, 1, 2, 3, 0, true, NULL},
    /* Go takes segments without a head for empty ones. */
    {"case25", REFUSED, "head of the segment"},
    {"case26", REFUSED, "head of the segment"},
    {"case27", 0, 1, 1, 11, 12, 0, false, NULL},
    {"case28", REFUSED, "segment 0000000000000001 is missing"},
    {"case29", REFUSED, "begins behind index 4"},
    {"case30", REFUSED, "in a segment that was finished"},
    {"case31", REFUSED, "not continue the segment"},
    {"case32", 0, 1, 1, 11, 12, 0, false, NULL},
    {"case33", REFUSED, "not continue the segment"},
    {"case34", REFUSED, "not continue the segment"},
    {"case35", REFUSED, "segment 0000000000000003 is missing"},
};

static void test_wal_cases(void **state)
{
    (void)state;
    check_all("spec/samples/wal-cases", CASES, ARRAY_LEN(CASES), 8192);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_directories),
        cmocka_unit_test(test_wal_cases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
