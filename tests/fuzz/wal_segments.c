/* Goal: any directory of segments is read or refused, a refused one is not
 * touched, and if it is read, then what was found and what is appended behind
 * it is there at the next start, also after a power cut. Method: the input is
 * one segment as it stands, or, with its first byte odd, what records a log of
 * several segments has, whose checksums are put in, so that the fuzzer gets
 * past them, and how one of its files is damaged then. */

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "tests/fuzz/lib/fuzz.h"
#include "tests/lib/wal_rig.h"
#include "wal/record.h"
#include "wal/segment.h"

#define SEGMENT_BYTES 2048
#define SEGMENTS_MAX  3
#define RECORDS_MAX   48

/* --- a directory out of the input --- */

/* The log being written. */
struct log {
    struct sim_vfs *v;
    struct fuzz_input *in;
    struct buf segment;
    struct record_chain chain;
    struct segment_name name;
    uint64_t index; /* of the last entry */
    uint64_t term;
};

static void put_file(struct log *l)
{
    char *path = segment_path("wal", l->name);

    sim_vfs_put(l->v, path, buf_bytes(&l->segment));
    xfree(path);
    buf_reset(&l->segment);
}

static void put_entry(struct log *l)
{
    uint8_t step = fuzz_byte(l->in);
    struct raft_entry *e = raft_entry_new(step >> 6, (struct bytes){0});
    uint8_t *p;

    /* Mostly the next one; back, for a leader's other entries; or a gap. */
    e->index = l->index + 1 + (step % 8 == 7 ? 1 : 0) - (step / 8) % 4;
    e->term = l->term;
    l->index = e->index;
    p = record_begin(&l->segment, raft_entry_size(e));
    (void)raft_entry_encode(e, p);
    record_end(&l->segment, WALPB_ENTRY, raft_entry_size(e), &l->chain);
    raft_entry_unref(e);
}

static void put_hard_state(struct log *l)
{
    struct hard_state hs = {l->term, fuzz_byte(l->in) % 4u,
                            fuzz_byte(l->in) % 32u};
    uint8_t *p = record_begin(&l->segment, hard_state_size(&hs));

    (void)hard_state_encode(&hs, p);
    record_end(&l->segment, WALPB_STATE, hard_state_size(&hs), &l->chain);
}

static void put_snapshot(struct log *l)
{
    uint64_t ids[] = {1, 2, 3};
    struct conf_state cs = {.voters = {ids, ARRAY_LEN(ids)}};
    uint8_t back = fuzz_byte(l->in);
    struct walpb_snapshot s = {l->index + 2 - back % 8, l->term - back / 128,
                               &cs};
    uint8_t *p = record_begin(&l->segment, walpb_snapshot_size(&s));

    (void)walpb_snapshot_encode(&s, p);
    record_end(&l->segment, WALPB_SNAPSHOT, walpb_snapshot_size(&s), &l->chain);
}

static void next_segment(struct log *l)
{
    put_file(l);
    l->name.seq++;
    l->name.index = l->index + 1;
    record_append_crc(&l->segment, &l->chain);
    record_append(&l->segment, WALPB_METADATA, (struct bytes){0}, &l->chain);
}

static void put_record(struct log *l)
{
    uint8_t kind = fuzz_byte(l->in);

    switch (kind % 8) {
    case 0:
        record_append_marker(&l->segment, &l->chain);
        return;
    case 1:
        l->term += kind >> 6;
        return;
    case 2:
        if (l->name.seq + 1 < SEGMENTS_MAX) {
            next_segment(l);
        }
        return;
    case 3:
        put_snapshot(l);
        return;
    case 4:
        put_hard_state(l);
        return;
    case 5: {
        struct bytes raw = fuzz_take(l->in, kind >> 3);

        record_append(&l->segment, WALPB_ENTRY + (kind >> 3) % 2, raw,
                      &l->chain);
        return;
    }
    default:
        put_entry(l);
        return;
    }
}

/* Cut the last segment, or turn bits of it. */
static void damage(struct log *l, uint64_t cut, uint64_t at, uint8_t mask)
{
    char *path = segment_path("wal", l->name);
    uint64_t size = (uint64_t)sim_vfs_size(l->v, path);

    if (cut > 0) {
        sim_vfs_cut(l->v, path, size - cut % size);
    }
    if (mask != 0 && at < size - (cut > 0 ? cut % size : 0)) {
        sim_vfs_flip(l->v, path, at, mask);
    }
    xfree(path);
}

static void put_log(struct sim_vfs *v, struct fuzz_input *in)
{
    struct log l = {.v = v, .in = in, .term = 1};
    uint64_t cut = fuzz_number(in, 2);
    uint64_t at = fuzz_number(in, 2);
    uint8_t mask = fuzz_byte(in);

    buf_init(&l.segment, BUF_UNLIMITED);
    record_append_crc(&l.segment, &l.chain);
    record_append(&l.segment, WALPB_METADATA, (struct bytes){0}, &l.chain);
    for (int i = 0; in->left > 0 && i < RECORDS_MAX; i++) {
        put_record(&l);
    }
    /* Space that was made and not written. */
    memset(buf_reserve(&l.segment, 64), 0, 64);
    buf_commit(&l.segment, 64);
    put_file(&l);
    damage(&l, cut, at, mask);
    buf_release(&l.segment);
}

/* --- what the WAL makes of it --- */

static void crash(struct wal_rig *r)
{
    rig_crash(r, &(struct sim_crash){0});
}

static void must_reopen(struct wal_rig *r)
{
    bool allowed;

    ASSERT(rig_reopen(r, &allowed) == 0);
    ASSERT(allowed);
}

/* A write of a node that has recovered to `now`. */
static void append(struct wal_rig *r)
{
    const struct wal_state *s = &r->now;
    uint64_t last = wal_state_last(s);
    uint64_t term = max_u64(s->hs.term, s->snap.term);

    if (term >= UINT64_MAX / 2 || last >= UINT64_MAX / 2) {
        return; /* no cluster gets there */
    }
    ASSERT(rig_save(r, term + 1, last + 1, 2, 10,
                    max_u64(s->hs.commit, s->snap.index)) == 0);
    ASSERT(rig_sync(r) == 0);
}

static void try_log(struct wal_rig *r)
{
    uint32_t before;

    sim_vfs_put(r->v, "wal/lock", (struct bytes){0});
    before = sim_vfs_hash(r->v, "wal");
    if (rig_open(r) < 0) {
        ASSERT(r->em.text[0] != '\0');
        ASSERT(sim_vfs_hash(r->v, "wal") == before);
        return;
    }
    for (size_t i = 0; i < r->now.log.len; i++) {
        const struct raft_entry *e = r->now.log.items[i];

        ASSERT(e->index == r->now.snap.index + 1 + i);
        fuzz_use(raft_entry_data(e));
    }
    crash(r);
    must_reopen(r);
    append(r);
    crash(r);
    must_reopen(r);
    ASSERT(rig_close(r) == 0);
    must_reopen(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct segment_name first = {0, 0};
    struct fuzz_input in = {data, len};
    struct wal_rig r;

    rig_init(&r, SEGMENT_BYTES);
    if (fuzz_byte(&in) % 2 == 1) {
        put_log(r.v, &in);
    } else {
        char *path = segment_path("wal", first);

        sim_vfs_put(r.v, path, (struct bytes){in.p, in.left});
        xfree(path);
    }
    try_log(&r);
    rig_release(&r);
    return 0;
}
