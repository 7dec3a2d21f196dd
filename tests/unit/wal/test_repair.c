/* Goal: the decision between torn and damaged, rule by rule, and the cut.
 * Method: a segment of known records on a disk in memory, one spoilt place for
 * each case, and the verdict that reliability.md 3.3 asks for. */

#include "wal/repair.h"

#include <errno.h>
#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_vfs.h"
#include "wal/record.h"

#define NAME "0000000000000000-0000000000000000.wal"
#define PATH "d/" NAME
#define SIZE 8192
#define MANY 16

/* A segment: records and where each of them starts. */
struct segment {
    struct buf b;
    struct record_chain chain;
    uint64_t at[MANY];
    size_t n;
};

static void begin(struct segment *s)
{
    *s = (struct segment){0};
    buf_init(&s->b, BUF_UNLIMITED);
}

static void add_marker(struct segment *s)
{
    s->at[s->n++] = s->b.len;
    record_append_marker(&s->b, &s->chain);
}

static void add_entry(struct segment *s, size_t len)
{
    uint8_t *p = xmalloc(len);

    memset(p, 'a' + (int)(s->n % 26), len);
    s->at[s->n++] = s->b.len;
    record_append(&s->b, WALPB_ENTRY, (struct bytes){p, len}, &s->chain);
    xfree(p);
}

static void add_state(struct segment *s)
{
    static const uint8_t state[] = {0x08, 0x01, 0x10, 0x00, 0x18, 0x01};

    s->at[s->n++] = s->b.len;
    record_append(&s->b, WALPB_STATE, (struct bytes){state, sizeof(state)},
                  &s->chain);
}

/* marker, 3 entries, marker, 3 entries: at[4] is the last group's marker. */
static void two_groups(struct segment *s)
{
    begin(s);
    for (int g = 0; g < 2; g++) {
        add_marker(s);
        add_entry(s, 50);
        add_entry(s, 700);
        add_entry(s, 50);
    }
}

static void closed(struct segment *s)
{
    two_groups(s);
    add_marker(s);
}

/* As Go writes: no markers. */
static void go_log(struct segment *s)
{
    begin(s);
    s->at[s->n++] = 0;
    record_append_crc(&s->b, &s->chain);
    for (int i = 0; i < 5; i++) {
        add_entry(s, 300);
    }
}

/* A Go node has gone on behind a group of ours: at[4] is its first record. */
static void continued(struct segment *s)
{
    begin(s);
    add_marker(s);
    add_entry(s, 300);
    add_entry(s, 300);
    add_state(s);
    for (int i = 0; i < 4; i++) {
        add_entry(s, 600);
        add_state(s);
    }
}

/* The same behind our clean shutdown. */
static void continued_closed(struct segment *s)
{
    begin(s);
    add_marker(s);
    for (int i = 0; i < 3; i++) {
        add_entry(s, 600);
        add_state(s);
    }
}

/* The largest group of ours: what was not synced, a snapshot's marker, one run
 * of entries with its state. */
static void whole_group(struct segment *s)
{
    two_groups(s);
    s->n = 0;
    s->at[s->n++] = s->b.len;
    record_append_marker(&s->b, &s->chain);
    add_state(s);
    s->at[s->n++] = s->b.len;
    record_append(&s->b, WALPB_SNAPSHOT,
                  (struct bytes){(const uint8_t *)"\x08\x01\x10\x01", 4},
                  &s->chain);
    add_entry(s, 600);
    add_entry(s, 600);
    add_entry(s, 600);
    add_state(s);
}

/* A client's value looks like a marker. */
static void fake_marker(struct segment *s)
{
    struct buf inner;
    struct record_chain chain = {0x12345678, 0};

    begin(s);
    add_marker(s);
    buf_init(&inner, BUF_UNLIMITED);
    record_append_marker(&inner, &chain);
    /* In one of the eight it starts at a multiple of 8. */
    for (int i = 0; i < 8; i++) {
        struct buf value;

        buf_init(&value, BUF_UNLIMITED);
        assert_int_equal(buf_append(&value, "01234567", (size_t)i), 0);
        assert_int_equal(buf_append(&value, inner.data, inner.len), 0);
        assert_int_equal(buf_append(&value, "and more of it", 14), 0);
        s->at[s->n++] = s->b.len;
        record_append(&s->b, WALPB_ENTRY, buf_bytes(&value), &s->chain);
        buf_release(&value);
    }
    buf_release(&inner);
}

/* The length of the entry's data never ends: what is left of it says nothing
 * about the length of the frame. */
static void endless_length(struct segment *s)
{
    /* 104 bytes, type, crc, and the tag of the data. */
    static const uint8_t head[] = "\x68\0\0\0\0\0\0\0"
                                  "\x08\x02\x10\x01\x1a";
    uint8_t rest[104 - 5];

    two_groups(s);
    s->at[s->n++] = s->b.len;
    memset(rest, 0xff, sizeof(rest));
    assert_int_equal(buf_append(&s->b, head, 8 + 5), 0);
    assert_int_equal(buf_append(&s->b, rest, sizeof(rest)), 0);
}

enum spoil {
    NOTHING,
    FLIP,      /* a byte of the data */
    FLIP_LEN,  /* of the length field, so that it is longer */
    HUGE_LEN,  /* beyond the end of the file */
    ZERO_LEN,  /* the length field is zero */
    ZERO_PART, /* a sector inside the frame */
    STOPPED,   /* everything from the middle of the frame on is zero */
    GONE,      /* everything from the frame on is zero */
    CUT,       /* the file ends in the middle of the frame */
    CUT_CLEAN, /* the file ends before the frame */
};

static const struct {
    const char *name;
    void (*make)(struct segment *s);
    size_t bad; /* the record that is spoilt: judged at its start */
    enum spoil spoil;
    enum repair_group group;
    enum repair_verdict verdict;
    uint64_t records;
} CASES[] = {
    {"R0 zeros follow", two_groups, 8, NOTHING, REPAIR_GROUP_OPEN, REPAIR_CLEAN,
     0},
    {"R0 last record never arrived", two_groups, 7, GONE, REPAIR_GROUP_OPEN,
     REPAIR_CLEAN, 0},
    {"R0 end of the file", two_groups, 8, CUT_CLEAN, REPAIR_GROUP_OPEN,
     REPAIR_CLEAN, 0},
    {"R0 file cut before a record", two_groups, 6, CUT_CLEAN, REPAIR_GROUP_OPEN,
     REPAIR_CLEAN, 0},
    {"R2 flip in an older group", two_groups, 1, FLIP, REPAIR_GROUP_OPEN,
     REPAIR_DAMAGED, 0},
    {"R2 hole in an older group", two_groups, 2, ZERO_PART, REPAIR_GROUP_OPEN,
     REPAIR_DAMAGED, 0},
    {"R2 zero length in an older group", two_groups, 3, ZERO_LEN,
     REPAIR_GROUP_OPEN, REPAIR_DAMAGED, 0},
    {"R2 huge length in an older group", two_groups, 3, HUGE_LEN,
     REPAIR_GROUP_OPEN, REPAIR_DAMAGED, 0},
    {"R3 the group's own marker", two_groups, 4, ZERO_LEN, REPAIR_GROUP_OPEN,
     REPAIR_TORN, 4},
    {"R2 closing marker", closed, 6, ZERO_PART, REPAIR_GROUP_OPEN,
     REPAIR_DAMAGED, 0},
    {"R2 closing marker, last record", closed, 7, ZERO_LEN, REPAIR_GROUP_OPEN,
     REPAIR_DAMAGED, 0},
    {"R2 a value that looks like a marker", fake_marker, 1, ZERO_LEN,
     REPAIR_GROUP_OPEN, REPAIR_TORN, 8},
    {"R2 Go, two records behind", go_log, 2, ZERO_PART, REPAIR_GROUP_UNKNOWN,
     REPAIR_DAMAGED, 0},
    {"R2 Go, zero length", go_log, 3, ZERO_LEN, REPAIR_GROUP_UNKNOWN,
     REPAIR_DAMAGED, 0},
    {"R2 Go, one record behind", go_log, 4, ZERO_PART, REPAIR_GROUP_UNKNOWN,
     REPAIR_TORN, 2},
    {"R2 ours, two records behind", go_log, 2, ZERO_PART, REPAIR_GROUP_OPEN,
     REPAIR_TORN, 4},
    {"R2 Go behind ours, our entry", continued, 1, ZERO_LEN, REPAIR_GROUP_OPEN,
     REPAIR_DAMAGED, 0},
    {"R2 Go behind ours, our last entry", continued, 2, ZERO_PART,
     REPAIR_GROUP_ENTRIES, REPAIR_DAMAGED, 0},
    {"R2 Go behind ours, its first entry", continued, 4, ZERO_PART,
     REPAIR_GROUP_STATE, REPAIR_DAMAGED, 0},
    {"R2 Go behind ours, further on", continued, 6, ZERO_LEN,
     REPAIR_GROUP_FOREIGN, REPAIR_DAMAGED, 0},
    {"R3 Go behind ours, its last entry", continued, 10, ZERO_PART,
     REPAIR_GROUP_FOREIGN, REPAIR_TORN, 2},
    {"R2 Go behind our shutdown", continued_closed, 1, ZERO_PART,
     REPAIR_GROUP_OPEN, REPAIR_DAMAGED, 0},
    {"R3 first sector of our largest group", whole_group, 1, ZERO_LEN,
     REPAIR_GROUP_OPEN, REPAIR_TORN, 6},
    {"R3 first entry of our largest group", whole_group, 3, ZERO_PART,
     REPAIR_GROUP_OPEN, REPAIR_TORN, 4},
    {"R3 zero length", two_groups, 5, ZERO_LEN, REPAIR_GROUP_OPEN, REPAIR_TORN,
     3},
    {"R3 zero sector", two_groups, 6, ZERO_PART, REPAIR_GROUP_OPEN, REPAIR_TORN,
     2},
    {"R3 past the end", two_groups, 7, HUGE_LEN, REPAIR_GROUP_OPEN, REPAIR_TORN,
     1},
    {"R3 file cut", two_groups, 6, CUT, REPAIR_GROUP_OPEN, REPAIR_TORN, 1},
    {"R3 write that stopped", two_groups, 7, STOPPED, REPAIR_GROUP_OPEN,
     REPAIR_TORN, 1},
    {"R3 write that stopped in a large record", two_groups, 6, STOPPED,
     REPAIR_GROUP_OPEN, REPAIR_TORN, 1},
    {"R4 flip", two_groups, 5, FLIP, REPAIR_GROUP_OPEN, REPAIR_DAMAGED, 0},
    {"R4 flip in the last record", two_groups, 7, FLIP, REPAIR_GROUP_OPEN,
     REPAIR_DAMAGED, 0},
    {"R4 write that stopped in what was no frame", endless_length, 8, STOPPED,
     REPAIR_GROUP_OPEN, REPAIR_DAMAGED, 0},
    {"R4 length of the last record", two_groups, 7, FLIP_LEN, REPAIR_GROUP_OPEN,
     REPAIR_DAMAGED, 0},
};

static void spoil(struct sim_vfs *v, const struct segment *s, size_t bad,
                  enum spoil how)
{
    uint64_t off = bad < s->n ? s->at[bad] : s->b.len;
    uint64_t end = bad + 1 < s->n ? s->at[bad + 1] : s->b.len;
    uint64_t middle = off + (end - off) / 2;

    switch (how) {
    case NOTHING:
        return;
    case FLIP:
        sim_vfs_flip(v, PATH, middle, 0x40);
        return;
    case FLIP_LEN:
        sim_vfs_flip(v, PATH, off, 0x80);
        return;
    case HUGE_LEN:
        sim_vfs_flip(v, PATH, off + 2, 0x02);
        return;
    case ZERO_LEN:
        sim_vfs_zero(v, PATH, off, RECORD_LENGTH_BYTES);
        return;
    case ZERO_PART:
        middle = (off / SECTOR_BYTES + 1) * SECTOR_BYTES;
        assert_true(middle < end);
        sim_vfs_zero(v, PATH, middle, min_u64(SECTOR_BYTES, end - middle));
        return;
    case STOPPED:
        sim_vfs_zero(v, PATH, middle, SIZE - middle);
        return;
    case GONE:
        sim_vfs_zero(v, PATH, off, SIZE - off);
        return;
    case CUT:
        sim_vfs_cut(v, PATH, middle);
        return;
    case CUT_CLEAN:
        sim_vfs_cut(v, PATH, off);
        return;
    }
}

static struct sim_vfs *disk_with(const struct segment *s)
{
    struct sim_vfs *v = sim_vfs_new();

    assert_true(s->b.len < SIZE);
    sim_vfs_put(v, PATH, buf_bytes(&s->b));
    sim_vfs_cut(v, PATH, SIZE);
    return v;
}

static void open_reader(struct sim_vfs *v, struct segment_reader *r,
                        struct vfs_file **f)
{
    assert_int_equal(vfs_open(sim_vfs_base(v), PATH, VFS_READ | VFS_WRITE, f),
                     0);
    assert_int_equal(segment_reader_init(r, *f), 0);
}

static void test_judge(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct segment s;
        struct sim_vfs *v;
        struct segment_reader r;
        struct vfs_file *f;
        struct repair_finding found;
        uint64_t off;

        CASES[i].make(&s);
        v = disk_with(&s);
        off = CASES[i].bad < s.n ? s.at[CASES[i].bad] : s.b.len;
        spoil(v, &s, CASES[i].bad, CASES[i].spoil);
        open_reader(v, &r, &f);
        assert_int_equal(repair_judge(&r, off, CASES[i].group, &found), 0);
        if (found.verdict != CASES[i].verdict ||
            found.records != CASES[i].records) {
            print_message("%s: verdict %d, %s, records %" PRIu64 "\n",
                          CASES[i].name, (int)found.verdict, found.why,
                          found.records);
        }
        assert_int_equal(found.verdict, CASES[i].verdict);
        assert_int_equal(found.records, CASES[i].records);
        assert_non_null(found.why);
        segment_reader_release(&r);
        vfs_close(f);
        sim_vfs_free(v);
        buf_release(&s.b);
    }
}

/* A length that the file has room for and no writer would have used: the rest
 * of the file is not read into memory for it. */
static void test_longer_than_any_record(void **state)
{
    struct segment s;
    struct sim_vfs *v;
    struct segment_reader r;
    struct vfs_file *f;
    struct repair_finding found;

    (void)state;
    two_groups(&s);
    v = disk_with(&s);
    sim_vfs_cut(v, PATH, WAL_RECORD_MAX + 64 * KiB);
    /* The fourth byte of the length: 128 MiB and the entry's own bytes. */
    sim_vfs_flip(v, PATH, s.at[5] + 3, 0x08);
    open_reader(v, &r, &f);
    assert_int_equal(repair_judge(&r, s.at[5], REPAIR_GROUP_OPEN, &found), 0);
    assert_int_equal(found.verdict, REPAIR_DAMAGED);
    assert_true(r.cap < 2 * MiB);
    segment_reader_release(&r);
    vfs_close(f);
    sim_vfs_free(v);
    buf_release(&s.b);
}

static void test_judge_passes_read_errors_on(void **state)
{
    struct segment s;
    struct sim_vfs *v;
    struct segment_reader r;
    struct vfs_file *f;
    struct repair_finding found;

    (void)state;
    two_groups(&s);
    v = disk_with(&s);
    open_reader(v, &r, &f);
    sim_vfs_fail_once(v, 1, -EIO);
    assert_int_equal(repair_judge(&r, s.at[5], REPAIR_GROUP_OPEN, &found),
                     -EIO);
    segment_reader_release(&r);
    vfs_close(f);
    sim_vfs_free(v);
    buf_release(&s.b);
}

static int cut(struct sim_vfs *v, const struct segment *s, struct errmsg *em)
{
    struct segment_reader r;
    struct vfs_file *f;
    int rc;

    open_reader(v, &r, &f);
    rc = repair_cut(sim_vfs_base(v), "d", (struct segment_name){0, 0}, &r,
                    s->at[6], SIZE, em);
    segment_reader_release(&r);
    vfs_close(f);
    return rc;
}

static void test_cut_keeps_a_copy(void **state)
{
    struct segment s;
    struct sim_vfs *v;
    struct errmsg em;
    uint8_t *before;
    uint8_t *p;
    size_t len;

    (void)state;
    two_groups(&s);
    v = disk_with(&s);
    before = sim_vfs_get(v, PATH, &len);
    assert_int_equal(cut(v, &s, &em), 0);
    sim_vfs_crash(v, SIM_CRASH_DROP, NULL); /* all of it was synced */
    p = sim_vfs_get(v, PATH ".broken", &len);
    assert_int_equal(len, SIZE);
    assert_memory_equal(p, before, len);
    xfree(p);
    p = sim_vfs_get(v, PATH, &len);
    assert_int_equal(len, SIZE);
    assert_memory_equal(p, before, s.at[6]);
    for (size_t i = (size_t)s.at[6]; i < len; i++) {
        assert_int_equal(p[i], 0);
    }
    xfree(p);
    xfree(before);
    sim_vfs_free(v);
    buf_release(&s.b);
}

/* Until the copy is durable, the segment is not touched. */
static void test_cut_fails_at_each_call(void **state)
{
    int rc = -1;
    struct segment s;

    (void)state;
    two_groups(&s);
    for (uint64_t k = 1; rc < 0; k++) {
        struct sim_vfs *v = disk_with(&s);
        struct errmsg em;
        uint8_t *p;
        size_t len;

        sim_vfs_fail(v, (struct sim_fault){.ops = SIM_CALLS_CHANGE,
                                           .after = k, /* opening is one */
                                           .rc = -ENOSPC});
        rc = cut(v, &s, &em);
        if (rc < 0) {
            assert_non_null(strstr(em.text, NAME) == NULL
                                ? strstr(em.text, "directory d")
                                : em.text);
        }
        if (sim_vfs_calls(v, SIM_CALL_SYNC_DIR) == 0) {
            p = sim_vfs_get(v, PATH, &len);
            assert_memory_equal(p, s.b.data, s.b.len);
            xfree(p);
        }
        sim_vfs_free(v);
    }
    buf_release(&s.b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_longer_than_any_record),
        cmocka_unit_test(test_judge_passes_read_errors_on),
        cmocka_unit_test(test_cut_keeps_a_copy),
        cmocka_unit_test(test_cut_fails_at_each_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
