/* Goal: no single fault at rest loses anything silently [reliability L2].
 * Method: small logs of each kind; every position of every file gets every
 * kind of fault, one at a time, on a copy of the disk. The verdict must be
 * *same* (the log reads as undamaged), *refused* (and not a byte changed), or,
 * only where a torn write may look like that, *repaired*. The counts are
 * printed. */

#include "wal/wal.h"

#include "src/base/alloc.h"
#include "src/base/log.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/wal_rig.h"
#include "wal/record.h"
#include "wal/repair.h"

/* --- logs --- */

static void save(struct wal_rig *r, uint64_t term, uint64_t first, size_t n,
                 size_t size, uint64_t commit)
{
    assert_int_equal(rig_save(r, term, first, n, size, commit), 0);
}

static void sync_group(struct wal_rig *r)
{
    assert_int_equal(rig_sync(r), 0);
}

static void fill_empty(struct wal_rig *r)
{
    (void)r;
}

static void fill_three(struct wal_rig *r)
{
    save(r, 1, 1, 3, 12, 0);
    sync_group(r);
}

/* Groups of one to four small entries. */
static void fill_groups(struct wal_rig *r)
{
    uint64_t i = 1;

    for (size_t n = 1; n <= 4; n++) {
        save(r, 1, i, n, 10 * n, i - 1);
        i += n;
        sync_group(r);
    }
}

static void fill_large(struct wal_rig *r)
{
    save(r, 1, 1, 1, 1500, 0);
    sync_group(r);
    save(r, 1, 2, 2, 700, 1);
    sync_group(r);
}

/* Terms, overwritten tails, a snapshot over them. */
static void fill_terms(struct wal_rig *r)
{
    save(r, 1, 1, 6, 10, 2);
    sync_group(r);
    save(r, 2, 4, 2, 10, 4);
    sync_group(r);
    assert_int_equal(rig_snapshot(r, 4), 0);
    sync_group(r);
    save(r, 4, 5, 2, 10, 4);
    sync_group(r);
    assert_int_equal(rig_restore(r, 20, 4), 0);
    assert_int_equal(rig_save_state(r, (struct hard_state){5, 3, 20}), 0);
    sync_group(r);
    save(r, 5, 21, 1, 10, 20);
    sync_group(r);
}

/* Several segments. */
static void fill_segments(struct wal_rig *r)
{
    for (uint64_t i = 1; i <= 12; i++) {
        save(r, 1, i, 1, 150, i - 1);
        sync_group(r);
    }
}

/* The same with the first of them released. */
static void fill_released(struct wal_rig *r)
{
    fill_segments(r);
    assert_int_equal(rig_snapshot(r, 9), 0);
    sync_group(r);
    assert_int_equal(rig_release_to(r, 8), 0);
}

static const struct corpus {
    const char *name;
    void (*fill)(struct wal_rig *r);
    uint64_t segment_bytes;
    bool closed; /* cleanly; else the process was killed */
} CORPORA[] = {
    {"empty", fill_empty, 1024, false},
    {"three", fill_three, 1024, false},
    {"three, closed", fill_three, 1024, true},
    {"groups", fill_groups, 1536, false},
    {"groups, closed", fill_groups, 1536, true},
    {"large", fill_large, 4096, false},
    {"large, closed", fill_large, 4096, true},
    {"terms", fill_terms, 2048, false},
    {"terms, closed", fill_terms, 2048, true},
    {"segments", fill_segments, 1024, false},
    {"released, closed", fill_released, 1024, true},
};

/* --- verdicts --- */

enum verdict {
    SAME,
    REPAIRED,
    REFUSED,
    N_VERDICTS,
};

struct sweep {
    struct wal_rig base; /* closed, or killed */
    uint64_t group;      /* where the last group of the last file starts */
    size_t n_files;
    uint64_t counts[N_VERDICTS];
};

/* Whether a fault in these bytes may look like a torn write. */
static bool may_repair(const struct sweep *s, size_t file, uint64_t off,
                       uint64_t len)
{
    uint64_t sector = s->group - s->group % SECTOR_BYTES;

    return file == s->n_files - 1 && off + len > sector;
}

static void open_damaged(struct sweep *s, struct wal_rig *r, bool repair_ok,
                         const char *what, uint64_t off)
{
    uint32_t before;
    bool allowed;
    enum verdict v;
    int rc;

    sim_vfs_put(r->v, "wal/lock", (struct bytes){0});
    before = sim_vfs_hash(r->v, "wal");
    rc = rig_reopen(r, &allowed);
    if (rc < 0) {
        v = REFUSED;
        assert_int_equal(sim_vfs_hash(r->v, "wal"), before);
    } else {
        v = allowed ? SAME : REPAIRED;
    }
    if (v == REPAIRED && !repair_ok) {
        print_message("silent loss: %s at offset %" PRIu64 "\n", what, off);
        sim_vfs_dump(r->v, stdout);
        fail();
    }
    s->counts[v]++;
}

/* Bytes of one file replaced by `bytes`. */
static void damage(struct sweep *s, size_t file, uint64_t off,
                   struct bytes bytes, const char *what)
{
    struct wal_rig r;
    char *path;

    rig_fork(&r, &s->base);
    path = rig_segment(&r, file);
    sim_vfs_set(r.v, path, off, bytes);
    open_damaged(s, &r, may_repair(s, file, off, bytes.len), what, off);
    xfree(path);
    rig_release(&r);
}

static void damage_zero(struct sweep *s, size_t file, uint64_t off, size_t len,
                        uint64_t size)
{
    static const uint8_t zeros[SECTOR_BYTES];

    ASSERT(len <= sizeof(zeros));
    len = (size_t)min_u64(len, size - off);
    damage(s, file, off, (struct bytes){zeros, len}, "zeros");
}

static void damage_byte(struct sweep *s, size_t file, uint64_t off,
                        const uint8_t *content, uint64_t size)
{
    for (int bit = 0; bit < 8; bit++) {
        uint8_t c = (uint8_t)(content[off] ^ 1 << bit);

        damage(s, file, off, (struct bytes){&c, 1}, "flipped bit");
    }
    damage(s, file, off, (struct bytes){(const uint8_t *)"\xff", 1}, "ff");
    damage_zero(s, file, off, 1, size);
    damage_zero(s, file, off, 8, size);
    damage_zero(s, file, off, 16, size);
}

static void damage_sectors(struct sweep *s, size_t file, const uint8_t *content,
                           uint64_t size)
{
    for (uint64_t a = 0; a + SECTOR_BYTES <= size; a += SECTOR_BYTES) {
        damage_zero(s, file, a, SECTOR_BYTES, size);
        for (uint64_t b = 0; b + SECTOR_BYTES <= size; b += SECTOR_BYTES) {
            damage(s, file, a, (struct bytes){content + b, SECTOR_BYTES},
                   "another sector");
        }
    }
}

static void swap_sectors(struct sweep *s, size_t file, const uint8_t *content,
                         uint64_t size)
{
    for (uint64_t a = 0; a + SECTOR_BYTES <= size; a += SECTOR_BYTES) {
        for (uint64_t b = a + SECTOR_BYTES; b + SECTOR_BYTES <= size;
             b += SECTOR_BYTES) {
            struct wal_rig r;
            char *path;

            rig_fork(&r, &s->base);
            path = rig_segment(&r, file);
            sim_vfs_set(r.v, path, a,
                        (struct bytes){content + b, SECTOR_BYTES});
            sim_vfs_set(r.v, path, b,
                        (struct bytes){content + a, SECTOR_BYTES});
            open_damaged(s, &r, may_repair(s, file, b, SECTOR_BYTES),
                         "swapped sectors", a);
            xfree(path);
            rig_release(&r);
        }
    }
}

static void cut_file(struct sweep *s, size_t file, uint64_t size)
{
    for (uint64_t len = 0; len < size; len++) {
        struct wal_rig r;
        char *path;

        rig_fork(&r, &s->base);
        path = rig_segment(&r, file);
        sim_vfs_cut(r.v, path, len);
        open_damaged(s, &r, file == s->n_files - 1, "cut", len);
        xfree(path);
        rig_release(&r);
    }
}

static void sweep_file(struct sweep *s, size_t file)
{
    char *path = rig_segment(&s->base, file);
    size_t size;
    uint8_t *content = sim_vfs_get(s->base.v, path, &size);
    size_t used = size;

    while (used > 0 && content[used - 1] == 0) {
        used--;
    }
    /* A little beyond the end too: what stands there is no record. */
    for (uint64_t off = 0; off < min_u64(size, used + 32); off++) {
        damage_byte(s, file, off, content, size);
    }
    damage_sectors(s, file, content, size);
    swap_sectors(s, file, content, size);
    cut_file(s, file, size);
    xfree(content);
    xfree(path);
}

/* --- whole files --- */

/* Another node's log of the same shape. */
static void make_foreign(struct wal_rig *r, const struct corpus *c)
{
    rig_init(r, c->segment_bytes);
    assert_int_equal(rig_create(r), 0);
    save(r, 7, 1, 1, 13, 1);
    c->fill == fill_empty ? (void)0 : sync_group(r);
    for (uint64_t i = 2; rig_segments(r) < 6; i++) {
        save(r, 7, i, 1, 150, i - 1);
        sync_group(r);
    }
    assert_int_equal(rig_close(r), 0);
}

static void take_from(struct sweep *s, const struct wal_rig *other, size_t file)
{
    struct wal_rig r;
    char *path;
    size_t len;
    uint8_t *content;

    rig_fork(&r, &s->base);
    path = rig_segment(other, file);
    content = sim_vfs_get(other->v, path, &len);
    xfree(path);
    path = rig_segment(&r, file);
    sim_vfs_put(r.v, path, (struct bytes){content, len});
    open_damaged(s, &r, false, "another node's file", file);
    xfree(content);
    xfree(path);
    rig_release(&r);
}

/* The number at `at` in the name goes up by one. */
static void rename_file(struct sweep *s, size_t file, size_t at)
{
    struct wal_rig r;
    char *path;
    char *to;
    size_t len;
    uint8_t *content;

    rig_fork(&r, &s->base);
    path = rig_segment(&r, file);
    to = xstrdup(path);
    to[strlen("wal/") + at] =
        (char)(to[strlen("wal/") + at] == '9' ? 'a'
                                              : to[strlen("wal/") + at] + 1);
    if (sim_vfs_size(r.v, to) < 0) {
        content = sim_vfs_get(r.v, path, &len);
        sim_vfs_put(r.v, to, (struct bytes){content, len});
        sim_vfs_remove(r.v, path);
        xfree(content);
        open_damaged(s, &r, false, "another name", at);
    }
    xfree(path);
    xfree(to);
    rig_release(&r);
}

static void sweep_whole_files(struct sweep *s, const struct corpus *c)
{
    struct wal_rig foreign;

    make_foreign(&foreign, c);
    for (size_t file = 0; file < s->n_files; file++) {
        struct wal_rig r;
        char *path;

        /* Without its only file a directory has no WAL at all, which is for
         * the owner of both directories to notice. */
        rig_fork(&r, &s->base);
        path = rig_segment(&r, file);
        sim_vfs_remove(r.v, path);
        /* The last one is missed by what the leader says [F12]; what is gone
         * leaves no trace here. */
        open_damaged(s, &r, file == s->n_files - 1, "missing file", file);
        rig_release(&r);

        rig_fork(&r, &s->base);
        sim_vfs_zero(r.v, path, 0, (uint64_t)sim_vfs_size(r.v, path));
        open_damaged(s, &r, false, "zeroed file", file);
        rig_release(&r);
        xfree(path);

        rename_file(s, file, 15);
        if (s->n_files > 1) {
            take_from(s, &foreign, file);
            rename_file(s, file, 32);
        }
    }
    rig_release(&foreign);
}

/* --- the sweep --- */

static void make_base(struct sweep *s, const struct corpus *c)
{
    struct wal_stats before = {0};
    struct wal_stats after;
    struct wal_rig *r = &s->base;

    rig_init(r, c->segment_bytes);
    assert_int_equal(rig_create(r), 0);
    c->fill(r);
    /* The last group: one more save, or the closing marker. */
    wal_get_stats(r->w, &before);
    if (c->closed) {
        assert_int_equal(rig_close(r), 0);
        s->group = before.tail_offset;
    } else if (c->fill != fill_empty) {
        assert_int_equal(
            rig_save_state(r, (struct hard_state){r->now.hs.term + 1, 1,
                                                  r->now.hs.commit}),
            0);
        sync_group(r);
        wal_get_stats(r->w, &after);
        s->group = after.last_seq > before.last_seq ? 0 : before.tail_offset;
        rig_crash(r, &(struct sim_crash){0});
    } else {
        rig_crash(r, &(struct sim_crash){0});
        s->group = before.tail_offset - RECORD_MARKER_BYTES;
    }
    s->n_files = rig_segments(r);
}

static void test_single_faults(void **state)
{
    uint64_t total[N_VERDICTS] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CORPORA); i++) {
        struct sweep s = {0};

        make_base(&s, &CORPORA[i]);
        for (size_t file = 0; file < s.n_files; file++) {
            sweep_file(&s, file);
        }
        sweep_whole_files(&s, &CORPORA[i]);
        print_message("%-20s %zu files: %6" PRIu64 " same, %5" PRIu64
                      " repaired, %6" PRIu64 " refused, 0 silent losses\n",
                      CORPORA[i].name, s.n_files, s.counts[SAME],
                      s.counts[REPAIRED], s.counts[REFUSED]);
        for (int v = 0; v < N_VERDICTS; v++) {
            total[v] += s.counts[v];
        }
        rig_release(&s.base);
    }
    print_message("together: %" PRIu64 " same, %" PRIu64 " repaired, %" PRIu64
                  " refused\n",
                  total[SAME], total[REPAIRED], total[REFUSED]);
    assert_true(total[REFUSED] > total[REPAIRED]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
