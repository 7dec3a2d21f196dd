/* Goal: a snapshot file is refused or understood, and what was understood is
 * saved as the same. Method: the input is the content of a file; with its
 * first byte odd it is only what the wrapper's checksum is over, so that the
 * fuzzer need not guess it. If it is accepted, it is saved on a disk in memory
 * and loaded again. */

#include "proto/snappb.h"
#include "snap/snapshotter.h"
#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "tests/fuzz/lib/fuzz.h"
#include "tests/lib/sim_vfs.h"

static uint8_t *encode(const struct raft_snapshot *s, size_t *len)
{
    uint8_t *p;

    *len = raft_snapshot_size(s);
    p = xmalloc(*len);
    ASSERT(raft_snapshot_encode(s, p) == p + *len);
    return p;
}

static void check_equal(const struct raft_snapshot *a,
                        const struct raft_snapshot *b)
{
    size_t a_len;
    size_t b_len;
    uint8_t *pa = encode(a, &a_len);
    uint8_t *pb = encode(b, &b_len);

    ASSERT(fuzz_equal((struct bytes){pa, a_len}, (struct bytes){pb, b_len}));
    xfree(pa);
    xfree(pb);
}

static void save_and_load(const struct raft_snapshot *s)
{
    struct sim_vfs *v = sim_vfs_new();
    struct snapshotter sn;
    struct raft_snapshot *again;
    struct errmsg em;

    snapshotter_init(&sn, sim_vfs_base(v), "snap", NULL);
    ASSERT(snapshotter_open(&sn, &em) == 0);
    ASSERT(snapshotter_save(&sn, s, &em) == 0);
    ASSERT(snapshotter_load(&sn, s->term, s->index, &again, &em) == 0);
    check_equal(s, again);
    raft_snapshot_unref(again);
    snapshotter_release(&sn);
    sim_vfs_free(v);
}

/* The term and index in the file, as its name would have them. */
static bool says(struct bytes file, uint64_t *term, uint64_t *index)
{
    struct snappb_snapshot wrapper;
    struct raft_snapshot *s;

    if (snappb_decode(file, &wrapper) < 0 ||
        raft_snapshot_decode(wrapper.data, &s) < 0) {
        return false;
    }
    *term = s->term;
    *index = s->index;
    raft_snapshot_unref(s);
    return true;
}

static void try_file(struct bytes file)
{
    uint64_t term = 1;
    uint64_t index = 1;
    struct raft_snapshot *s;
    const char *why = NULL;

    if (says(file, &term, &index)) {
        /* Under any other name it is not that file. */
        ASSERT(snapshot_file_check(file, term, index + 1, &s, &why) ==
               ERR_DAMAGED);
    }
    if (snapshot_file_check(file, term, index, &s, &why) < 0) {
        ASSERT(why != NULL);
        return;
    }
    ASSERT(s->term == term && s->index == index);
    fuzz_use((struct bytes){s->data, s->len});
    if (!raft_snapshot_is_empty(s)) {
        save_and_load(s);
    }
    raft_snapshot_unref(s);
}

static void try_content(struct bytes content)
{
    uint32_t crc = crc32c(0, content.data, content.len);
    size_t head = snappb_head_size(crc, content.len);
    uint8_t *file = xmalloc(head + content.len);

    ASSERT(snappb_head_encode(file, crc, content.len) == file + head);
    if (content.len > 0) {
        memcpy(file + head, content.data, content.len);
    }
    try_file((struct bytes){file, head + content.len});
    xfree(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};

    if (fuzz_byte(&in) % 2 == 1) {
        try_content((struct bytes){in.p, in.left});
    } else {
        try_file((struct bytes){in.p, in.left});
    }
    return 0;
}
