/* Every single fault at rest. wal_sweep.h has the contract. */

#include "tests/lib/wal_sweep.h"

#include <inttypes.h>
#include <stdio.h>

#include "src/base/alloc.h"
#include "wal/record.h"
#include "wal/repair.h"

/* --- the verdict --- */

/* Whether a fault in these bytes may look like a torn write. */
static bool may_repair(const struct wal_sweep *s, size_t file, uint64_t off,
                       uint64_t len)
{
    uint64_t sector = s->group - s->group % SECTOR_BYTES;

    return file == s->n_files - 1 && off + len > sector;
}

/* Of a log without a model: nothing that was committed is another. */
static bool agrees(const struct wal_state *all, const struct wal_state *found)
{
    uint64_t from = max_u64(all->snap.index, found->snap.index);

    if (found->hs.commit > all->hs.commit || found->hs.term > all->hs.term) {
        return false;
    }
    for (uint64_t i = from + 1; i <= found->hs.commit; i++) {
        const struct raft_entry *a = all->log.items[i - all->snap.index - 1];
        const struct raft_entry *b =
            found->log.items[i - found->snap.index - 1];

        if (a->term != b->term || a->len != b->len ||
            memcmp(a->data, b->data, a->len) != 0) {
            return false;
        }
    }
    return true;
}

static bool is_earlier(const struct wal_sweep *s, const struct wal_state *found)
{
    return s->foreign ? agrees(&s->base.now, found)
                      : rig_allows(&s->base, found);
}

/* What was repaired is whole: it reads the same again. */
static bool reads_again(const struct wal_sweep *s, struct sim_vfs *v,
                        const struct wal_state *found)
{
    struct wal_state again = {0};
    struct errmsg em;
    bool same = rig_look(&s->base, v, &again, &em) == 0 &&
                wal_state_equal(found, &again);

    wal_state_release(&again);
    return same;
}

static enum sweep_verdict judge(const struct wal_sweep *s, struct sim_vfs *v,
                                bool repair_ok)
{
    uint32_t before = sim_vfs_hash(v, "wal");
    struct wal_state found = {0};
    enum sweep_verdict verdict = SWEEP_LOST;
    struct errmsg em;

    if (rig_look(&s->base, v, &found, &em) < 0) {
        return sim_vfs_hash(v, "wal") == before ? SWEEP_REFUSED : SWEEP_LOST;
    }
    if (wal_state_equal(&found, &s->base.now)) {
        verdict = SWEEP_SAME;
    } else if (repair_ok && is_earlier(s, &found) &&
               reads_again(s, v, &found)) {
        verdict = SWEEP_REPAIRED;
    }
    wal_state_release(&found);
    return verdict;
}

/* --- one fault --- */

/* A copy of the disk for the next fault, or NULL if another job does it. */
static struct sim_vfs *next_fault(struct wal_sweep *s)
{
    return s->n_faults++ % s->n_jobs == s->job ? sim_vfs_clone(s->base.v)
                                               : NULL;
}

static void start_damaged(struct wal_sweep *s, struct sim_vfs *v,
                          bool repair_ok, const char *what, uint64_t at)
{
    enum sweep_verdict verdict = judge(s, v, repair_ok);

    if (verdict == SWEEP_LOST) {
        printf("silent loss: %s at %" PRIu64 "\n", what, at);
        sim_vfs_dump(v, stdout);
    }
    s->counts.n[verdict]++;
    sim_vfs_free(v);
}

/* A file being swept. */
struct target {
    size_t number;
    char *path;
    uint8_t *content;
    size_t size;
    size_t used; /* behind it are zeros */
};

static void damage(struct wal_sweep *s, const struct target *f, uint64_t off,
                   struct bytes bytes, const char *what)
{
    struct sim_vfs *v;

    if (memcmp(f->content + off, bytes.data, bytes.len) == 0) {
        return; /* no fault */
    }
    v = next_fault(s);
    if (v != NULL) {
        sim_vfs_set(v, f->path, off, bytes);
        start_damaged(s, v, may_repair(s, f->number, off, bytes.len), what,
                      off);
    }
}

static void damage_zero(struct wal_sweep *s, const struct target *f,
                        uint64_t off, size_t len)
{
    static const uint8_t zeros[SECTOR_BYTES];

    ASSERT(len <= sizeof(zeros));
    len = (size_t)min_u64(len, f->size - off);
    damage(s, f, off, (struct bytes){zeros, len}, "zeros");
}

static void damage_byte(struct wal_sweep *s, const struct target *f,
                        uint64_t off)
{
    for (int bit = 0; bit < 8; bit++) {
        uint8_t c = (uint8_t)(f->content[off] ^ 1 << bit);

        damage(s, f, off, (struct bytes){&c, 1}, "flipped bit");
    }
    damage(s, f, off, (struct bytes){(const uint8_t *)"\xff", 1}, "ff");
    damage_zero(s, f, off, 1);
    damage_zero(s, f, off, 8);
    damage_zero(s, f, off, 16);
}

/* Whole sectors that hold something, and one behind. */
static uint64_t sectors_end(const struct target *f)
{
    uint64_t end = (f->used + 2 * SECTOR_BYTES - 1) / SECTOR_BYTES;

    return min_u64(end * SECTOR_BYTES, f->size - f->size % SECTOR_BYTES);
}

static void damage_sectors(struct wal_sweep *s, const struct target *f)
{
    uint64_t end = sectors_end(f);

    for (uint64_t a = 0; a < end; a += SECTOR_BYTES) {
        damage_zero(s, f, a, SECTOR_BYTES);
        for (uint64_t b = 0; b < end; b += SECTOR_BYTES) {
            damage(s, f, a, (struct bytes){f->content + b, SECTOR_BYTES},
                   "another sector");
        }
    }
}

static void swap_sectors(struct wal_sweep *s, const struct target *f)
{
    uint64_t end = sectors_end(f);

    for (uint64_t a = 0; a < end; a += SECTOR_BYTES) {
        for (uint64_t b = a + SECTOR_BYTES; b < end; b += SECTOR_BYTES) {
            struct bytes at_a = {f->content + a, SECTOR_BYTES};
            struct bytes at_b = {f->content + b, SECTOR_BYTES};
            struct sim_vfs *v;

            if (memcmp(at_a.data, at_b.data, SECTOR_BYTES) == 0) {
                continue;
            }
            v = next_fault(s);
            if (v != NULL) {
                sim_vfs_set(v, f->path, a, at_b);
                sim_vfs_set(v, f->path, b, at_a);
                start_damaged(s, v, may_repair(s, f->number, b, SECTOR_BYTES),
                              "swapped sectors", a);
            }
        }
    }
}

static void cut_file(struct wal_sweep *s, const struct target *f)
{
    for (uint64_t len = 0; len < f->size; len++) {
        struct sim_vfs *v = next_fault(s);

        if (v != NULL) {
            sim_vfs_cut(v, f->path, len);
            start_damaged(s, v, f->number == s->n_files - 1, "cut", len);
        }
    }
}

static void sweep_file(struct wal_sweep *s, size_t number)
{
    struct target f = {.number = number, .path = rig_segment(&s->base, number)};

    f.content = sim_vfs_get(s->base.v, f.path, &f.size);
    f.used = f.size;
    while (f.used > 0 && f.content[f.used - 1] == 0) {
        f.used--;
    }
    /* A little beyond the end too: what stands there is no record. */
    for (uint64_t off = 0; off < min_u64(f.size, f.used + 32); off++) {
        damage_byte(s, &f, off);
    }
    damage_sectors(s, &f);
    swap_sectors(s, &f);
    cut_file(s, &f);
    xfree(f.content);
    xfree(f.path);
}

/* --- whole files --- */

/* Another node's log of the same shape. */
static void make_other(struct wal_rig *r, uint64_t segment_bytes)
{
    rig_init(r, segment_bytes);
    ASSERT(rig_create(r) == 0);
    ASSERT(rig_save(r, 7, 1, 1, 13, 1) == 0);
    ASSERT(rig_sync(r) == 0);
    for (uint64_t i = 2; rig_segments(r) < 8; i++) {
        ASSERT(rig_save(r, 7, i, 1, 150, i - 1) == 0);
        ASSERT(rig_sync(r) == 0);
    }
    ASSERT(rig_close(r) == 0);
}

static void take_from(struct wal_sweep *s, const struct wal_rig *other,
                      size_t file)
{
    struct sim_vfs *v = next_fault(s);
    char *path;
    size_t len;
    uint8_t *content;

    if (v == NULL || file >= rig_segments(other)) {
        sim_vfs_free(v);
        return;
    }
    path = rig_segment(other, file);
    content = sim_vfs_get(other->v, path, &len);
    xfree(path);
    path = rig_segment(&s->base, file);
    sim_vfs_put(v, path, (struct bytes){content, len});
    start_damaged(s, v, false, "another node's file", file);
    xfree(content);
    xfree(path);
}

/* The number at `at` in the name goes up by one. */
static void rename_file(struct wal_sweep *s, size_t file, size_t at)
{
    char *path = rig_segment(&s->base, file);
    char *to = xstrdup(path);
    char *digit = &to[strlen("wal/") + at];

    *digit = (char)(*digit == '9' ? 'a' : *digit + 1);
    if (sim_vfs_size(s->base.v, to) < 0) {
        struct sim_vfs *v = next_fault(s);

        if (v != NULL) {
            sim_vfs_move(v, path, to);
            start_damaged(s, v, false, "another name", at);
        }
    }
    xfree(path);
    xfree(to);
}

enum whole {
    FILE_MISSING,
    FILE_EMPTY,
    FILE_ZERO,
};

/* The last one is missed by what the leader says [F12]; what is gone leaves no
 * trace here. */
static void damage_whole(struct wal_sweep *s, size_t file, enum whole how)
{
    static const char *const names[] = {"missing file", "empty file",
                                        "zeroed file"};
    bool last = file == s->n_files - 1;
    struct sim_vfs *v = next_fault(s);
    char *path;

    if (v == NULL) {
        return;
    }
    path = rig_segment(&s->base, file);
    switch (how) {
    case FILE_MISSING:
        sim_vfs_remove(v, path);
        break;
    case FILE_EMPTY:
        sim_vfs_cut(v, path, 0);
        break;
    case FILE_ZERO:
        sim_vfs_zero(v, path, 0, (uint64_t)sim_vfs_size(v, path));
        break;
    }
    start_damaged(s, v, last && how != FILE_ZERO, names[how], file);
    xfree(path);
}

static void sweep_whole_files(struct wal_sweep *s)
{
    struct wal_rig other;

    make_other(&other, s->base.o.segment_bytes);
    for (size_t file = 0; file < s->n_files; file++) {
        /* Without its only file a directory has no WAL at all, which is for
         * the owner of both directories to notice. */
        damage_whole(s, file, FILE_MISSING);
        damage_whole(s, file, FILE_EMPTY);
        damage_whole(s, file, FILE_ZERO);
        rename_file(s, file, 15);
        if (s->n_files > 1) {
            take_from(s, &other, file);
            rename_file(s, file, 32);
        }
    }
    rig_release(&other);
}

/* --- the sweep --- */

/* The process is gone, and left it as it is. */
static void leave(struct wal_rig *r)
{
    rig_crash(r, &(struct sim_crash){0});
}

void wal_sweep_init(struct wal_sweep *s, const struct wal_corpus *c)
{
    struct wal_stats before = {0};
    struct wal_stats after;
    struct wal_rig *r = &s->base;

    *s = (struct wal_sweep){.n_jobs = 1};
    rig_init(r, c->segment_bytes);
    ASSERT(rig_create(r) == 0);
    if (c->fill != NULL) {
        c->fill(r);
    }
    /* The last group: one more save, or the closing marker. */
    wal_get_stats(r->w, &before);
    s->group = before.tail_offset;
    if (c->closed) {
        ASSERT(wal_close(r->w, &r->em) == 0);
        r->w = NULL;
    } else if (c->fill != NULL) {
        struct hard_state hs = {r->now.hs.term + 1, 1, r->now.hs.commit};

        ASSERT(rig_save_state(r, hs) == 0);
        ASSERT(wal_sync(r->w, &r->em) == 0);
        wal_get_stats(r->w, &after);
        s->group = after.last_seq > before.last_seq ? 0 : before.tail_offset;
        leave(r);
    } else {
        s->group = before.tail_offset - RECORD_MARKER_BYTES;
        leave(r);
    }
    sim_vfs_put(r->v, "wal/lock", (struct bytes){0});
    s->n_files = rig_segments(r);
}

/* Where the last two frames of the last file start. Without markers it takes
 * two whole frames behind damage to tell it from a torn tail [reliability 3.3].
 */
static uint64_t last_frames(const struct wal_rig *r)
{
    char *path = rig_last_segment(r);
    size_t len;
    uint8_t *content = sim_vfs_get(r->v, path, &len);
    uint64_t starts[2] = {0, 0};
    uint64_t at = 0;
    struct record rec;

    while (record_decode((struct bytes){content + at, len - at}, &rec) ==
           RECORD_OK) {
        starts[0] = starts[1];
        starts[1] = at;
        at += rec.size;
    }
    xfree(content);
    xfree(path);
    return starts[0];
}

void wal_sweep_init_foreign(struct wal_sweep *s, struct sim_vfs *v,
                            uint64_t segment_bytes)
{
    struct sim_vfs *copy;

    *s = (struct wal_sweep){.n_jobs = 1, .foreign = true};
    rig_init(&s->base, segment_bytes);
    sim_vfs_free(s->base.v);
    s->base.v = v;
    s->base.o.fs = sim_vfs_base(v);
    sim_vfs_put(v, "wal/lock", (struct bytes){0});
    copy = sim_vfs_clone(v);
    ASSERT(rig_look(&s->base, copy, &s->base.now, &s->base.em) == 0);
    sim_vfs_free(copy);
    s->n_files = rig_segments(&s->base);
    s->group = last_frames(&s->base);
}

void wal_sweep_release(struct wal_sweep *s)
{
    rig_release(&s->base);
}

void wal_sweep_run(struct wal_sweep *s)
{
    for (size_t file = 0; file < s->n_files; file++) {
        sweep_file(s, file);
    }
    sweep_whole_files(s);
}
