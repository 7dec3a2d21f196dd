/* Write-ahead log: life cycle and appending.
 *
 *   wal_create ---------------------------------+
 *   wal_open --> READING -- wal_start ----------+-> APPENDING
 *                                               |       |
 *                     any failed write or sync -+-------+-> BROKEN
 *
 * One group at a time: records are encoded into one buffer, which wal_sync
 * writes and syncs as a whole. The buffer always begins with a marker, so on
 * disk each synced group does. Whenever two writes must not be mixed up by a
 * crash (what was read and the opening marker, the last group and the closing
 * one) there is a sync between them: a marker that survives a crash while
 * something before it does not is taken for damage [reliability 3.3 R2].
 *
 * Counterpart: etcd server/storage/wal wal.go.
 * Differs: writes whole groups; a failure is final. */

#include "wal/wal.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "src/base/log.h"
#include "wal/create.h"
#include "wal/recover.h"
#include "wal/repair.h"

/* A group's buffer is kept for the next one, but not if it is larger than the
 * first of these, or larger than the second and hardly used. */
#define GROUP_KEEP_BYTES  (8 * MiB)
#define GROUP_SMALL_BYTES (512 * KiB)
/* Groups shorter than this write zeros behind them, up to so many bytes, when
 * they reach blocks that were only reserved so far. */
#define ZEROS_BEHIND_MAX (32 * KiB)
#define ZEROS_BYTES      (128 * KiB)
/* A group that grows beyond this is synced without being asked: only a caller
 * that appends commit indexes for ever without a sync gets here. */
#define GROUP_BYTES_MAX (256 * MiB)

enum wal_mode {
    WAL_READING,
    WAL_APPENDING,
    WAL_BROKEN,
};

struct wal {
    enum wal_mode mode;
    struct vfs *fs;          /* borrowed */
    const struct logger *lg; /* borrowed */
    char *dir;
    uint64_t segment_bytes;

    /* In read mode all that was found; afterwards empty. */
    struct recovery found;

    struct vfs_file *lock;
    struct vfs_file *tail;        /* the last segment */
    struct segment_list segments; /* those on disk, the last is the tail */
    uint64_t tail_offset;         /* where the next group goes */
    uint64_t tail_size;           /* of the file, reserved space included */
    uint64_t tail_written;        /* so far its blocks have been written to */
    bool tail_is_marker;          /* nothing was written behind a marker */

    struct buf group; /* empty, or a marker and records */
    bool group_has_entries;
    struct record_chain chain; /* at the end of the group */
    struct hard_state state;   /* last one appended */
    uint64_t last_index;       /* last entry, or a snapshot ahead of it */

    int broken_rc;       /* of the first failure; every later call's result */
    struct errmsg error; /* its text */
    uint64_t syncs;
    uint64_t bytes_written;
};

void wal_contents_release(struct wal_contents *c)
{
    raft_entries_release(&c->entries);
    *c = (struct wal_contents){0};
}

/* --- life cycle --- */

static struct wal *wal_new(const struct wal_options *opts)
{
    struct wal *w = xcalloc(1, sizeof(*w));

    w->fs = opts->fs;
    w->lg = opts->lg;
    w->dir = xstrdup(opts->dir);
    w->segment_bytes = opts->segment_bytes > 0 ? opts->segment_bytes
                                               : WAL_SEGMENT_BYTES_DEFAULT;
    buf_init(&w->group, BUF_UNLIMITED);
    return w;
}

static void wal_free(struct wal *w)
{
    recovery_release(&w->found);
    vfs_close(w->tail);
    vfs_close(w->lock);
    segment_list_release(&w->segments);
    buf_release(&w->group);
    xfree(w->dir);
    xfree(w);
}

/* The end of every call that writes: a failure is kept and is final. */
static int finish(struct wal *w, int rc, struct errmsg *em)
{
    ASSERT(w->mode == WAL_APPENDING);
    if (rc < 0) {
        w->mode = WAL_BROKEN;
        w->broken_rc = rc;
        return errmsg_text(em, rc, "%s", w->error.text);
    }
    return 0;
}

/* The start of every call that writes: 0, or the failure before it. */
static int check_mode(const struct wal *w, struct errmsg *em)
{
    ASSERT(w->mode != WAL_READING);
    if (w->mode == WAL_BROKEN) {
        return errmsg_text(em, w->broken_rc, "%s", w->error.text);
    }
    return 0;
}

static int fail(struct wal *w, int rc, const char *call)
{
    char name[SEGMENT_NAME_BYTES];

    segment_name_format(w->segments.items[w->segments.len - 1], name);
    return errmsg_set(&w->error, rc, "%s %s/%s at offset %" PRIu64, call,
                      w->dir, name, w->tail_offset);
}

static int sync_directory(struct wal *w, const char *path)
{
    int rc = vfs_sync_dir(w->fs, path);

    return rc < 0 ? errmsg_set(&w->error, rc, "sync directory %s", path) : 0;
}

/* --- groups --- */

static int sync_tail(struct wal *w)
{
    int rc = vfs_datasync(w->tail);

    w->syncs++;
    return rc < 0 ? fail(w, rc, "sync") : 0;
}

/* Every group begins with a marker. */
static void open_group(struct wal *w)
{
    if (w->group.len == 0) {
        record_append_marker(&w->group, &w->chain);
        w->group_has_entries = false;
    }
    ASSERT(w->group.len >= RECORD_MARKER_BYTES);
}

/* How many zeros go behind a group that ends at `end`. The first write to a
 * reserved block is also a change of the file's extents, which the sync has to
 * bring to the disk as well, at twice the time and more. So small groups, which
 * wait for little but their sync, make that change for many of them at once.
 * Readers see what they saw before: zeros. */
static size_t zeros_behind(const struct wal *w, uint64_t end)
{
    if (end <= w->tail_written || w->group.len > ZEROS_BEHIND_MAX ||
        end >= w->tail_size) {
        return 0;
    }
    return (size_t)min_u64(ZEROS_BYTES, w->tail_size - end);
}

/* The group to the file, in one write. */
static int write_group(struct wal *w)
{
    static const uint8_t zeros[ZEROS_BYTES];
    uint64_t end = w->tail_offset + w->group.len;
    size_t behind = zeros_behind(w, end);
    struct iovec iov[2] = {
        {.iov_base = w->group.data, .iov_len = w->group.len},
        {.iov_base = (void *)(uintptr_t)zeros, .iov_len = behind},
    };
    int rc = vfs_pwritev(w->tail, iov, behind > 0 ? 2 : 1, w->tail_offset);

    if (rc < 0) {
        return fail(w, rc, "write");
    }
    w->tail_written = max_u64(w->tail_written, end + behind);
    return 0;
}

/* One write, one sync. */
static int flush(struct wal *w)
{
    size_t n = w->group.len;
    int rc;

    ASSERT(n > 0);
    ASSERT(w->tail_offset % RECORD_ALIGN == 0);
    rc = write_group(w);
    if (rc < 0) {
        return rc;
    }
    rc = sync_tail(w);
    if (rc < 0) {
        return rc;
    }
    w->tail_is_marker = n == RECORD_MARKER_BYTES;
    w->tail_offset += n;
    w->tail_size = max_u64(w->tail_size, w->tail_offset);
    w->bytes_written += n;
    buf_reset(&w->group);
    if (w->group.cap > GROUP_KEEP_BYTES ||
        (w->group.cap > GROUP_SMALL_BYTES && n < w->group.cap / 16)) {
        buf_release(&w->group);
    }
    return 0;
}

static int write_marker(struct wal *w)
{
    ASSERT(w->group.len == 0);
    open_group(w);
    return flush(w);
}

static void append_state(struct wal *w, struct buf *b,
                         struct record_chain *chain)
{
    size_t n = hard_state_size(&w->state);
    uint8_t *p = record_begin(b, n);
    uint8_t *end = hard_state_encode(&w->state, p);

    ASSERT(end == p + n);
    record_end(b, WALPB_STATE, n, chain);
}

/* --- segments --- */

/* Make the next segment, which begins with `head`, and make it the tail. */
static int add_segment(struct wal *w, const struct buf *head)
{
    struct segment_name last = w->segments.items[w->segments.len - 1];
    struct segment_name name = {last.seq + 1, w->last_index + 1};
    struct vfs_file *file;
    int rc = segment_create(w->fs, w->dir, name, w->segment_bytes,
                            buf_bytes(head), &file, &w->error);

    w->syncs++;
    if (rc < 0) {
        return rc;
    }
    vfs_close(w->tail); /* synced, and no longer written to */
    w->tail = file;
    w->tail_offset = head->len;
    w->tail_size = max_u64(w->segment_bytes, head->len);
    w->tail_written = head->len;
    w->tail_is_marker = false;
    w->bytes_written += head->len;
    segment_list_push(&w->segments, name);
    log_info(w->lg, "%s: began segment %" PRIu64 " at index %" PRIu64, w->dir,
             name.seq, name.index);
    return 0;
}

/* A finished segment has no zeros at its end [formats-wal 8]. */
static int trim_tail(struct wal *w)
{
    int rc;

    if (w->tail_size == w->tail_offset) {
        return 0;
    }
    rc = vfs_truncate(w->tail, w->tail_offset);
    if (rc < 0) {
        return fail(w, rc, "truncate");
    }
    w->tail_size = w->tail_offset;
    return sync_tail(w);
}

/* Begin a new segment. No group may be open: all before it is synced. */
static int cut(struct wal *w)
{
    struct buf head;
    int rc = trim_tail(w);

    ASSERT(w->group.len == 0);
    if (rc < 0) {
        return rc;
    }
    buf_init(&head, BUF_UNLIMITED);
    record_append_marker(&head, &w->chain);
    record_append(&head, WALPB_METADATA, (struct bytes){0}, &w->chain);
    if (!hard_state_is_empty(&w->state)) {
        append_state(w, &head, &w->chain);
    }
    rc = add_segment(w, &head);
    buf_release(&head);
    return rc;
}

/* --- opening --- */

/* What was found, or made, is the state to append to. */
static void take_over(struct wal *w)
{
    struct recovery *f = &w->found;

    w->mode = WAL_APPENDING;
    w->lock = f->lock;
    w->tail = f->tail;
    w->segments = f->segments;
    w->tail_offset = f->tail_offset;
    w->tail_size = f->tail_size;
    w->tail_written = f->tail_offset;
    w->chain = f->chain;
    w->state = f->replay.hs;
    w->last_index = f->last_index;
    f->lock = NULL;
    f->tail = NULL;
    f->segments = (struct segment_list){0};
}

int wal_create(const struct wal_options *opts, struct wal **out,
               struct errmsg *em)
{
    struct wal *w = wal_new(opts);
    int rc = create_run(opts, w->segment_bytes, &w->found, em);

    if (rc < 0) {
        wal_free(w);
        return rc;
    }
    take_over(w);
    recovery_release(&w->found);
    w->tail_is_marker = true;
    *out = w;
    return 0;
}

int wal_open(const struct wal_options *opts, struct wal **out,
             struct errmsg *em)
{
    struct wal *w = wal_new(opts);
    int rc = recovery_run(opts, &w->found, em);

    if (rc < 0) {
        wal_free(w);
        return rc;
    }
    w->mode = WAL_READING;
    *out = w;
    return 0;
}

const struct wal_marker *wal_markers(const struct wal *w, size_t *n)
{
    ASSERT(w->mode == WAL_READING);
    return replay_usable(&w->found.replay, n);
}

bool wal_reaches_beginning(const struct wal *w)
{
    ASSERT(w->mode == WAL_READING);
    return w->found.replay.base.index == 0;
}

/* One line for the operator about what is to be mended in `path`. */
static void log_mending(const struct wal *w, const char *path, bool shorter)
{
    const struct recovery *f = &w->found;

    if (shorter && (f->torn || w->tail_size == w->tail_offset)) {
        /* No crash makes a file shorter, so entries may be missing that were
         * acknowledged. Other nodes have them; the leader will tell. */
        log_error(w->lg,
                  "%s is shorter than it was made: %" PRIu64 " of %" PRIu64
                  " bytes",
                  path, w->tail_size, w->segment_bytes);
    }
    if (f->torn) {
        log_at(w->lg, shorter ? LOG_ERROR : LOG_WARN,
               "%s: cut a torn group at offset %" PRIu64 ": %s; %" PRIu64
               " bytes, %" PRIu64 " records",
               path, w->tail_offset, f->why, f->torn_bytes, f->torn_records);
    }
}

/* Cut away what is torn, and reserve the segment's space again. */
static int mend(struct wal *w, struct segment_reader *r)
{
    bool shorter = w->tail_size < w->segment_bytes;
    struct segment_name name = w->segments.items[w->segments.len - 1];
    char *path = segment_path(w->dir, name);
    int rc;

    log_mending(w, path, shorter);
    xfree(path);
    if (w->found.torn) {
        rc = repair_cut(w->fs, w->dir, name, r, w->tail_offset,
                        w->segment_bytes, &w->error);
        w->tail_size = max_u64(w->tail_offset, w->segment_bytes);
        return rc;
    }
    if (shorter) {
        rc = vfs_allocate(w->tail, w->segment_bytes);
        w->tail_size = w->segment_bytes;
        return rc < 0 ? fail(w, rc, "allocate") : 0;
    }
    return 0;
}

/* The last group as read may live in the page cache only: the process that
 * wrote it died before its sync, or its sync failed, after which the kernel
 * calls the pages clean. Write it again, so that this sync counts. */
static int rewrite_group(struct wal *w, struct segment_reader *r)
{
    uint64_t off =
        w->found.has_marker ? w->found.marker_offset : w->tail_offset;

    while (off < w->tail_offset) {
        struct bytes v;
        int rc = segment_reader_view(r, off, 1, &v);

        if (rc < 0) {
            return fail(w, rc, "read");
        }
        v.len = (size_t)min_u64(v.len, w->tail_offset - off);
        rc = vfs_pwrite(w->tail, v.data, v.len, off);
        if (rc < 0) {
            return fail(w, rc, "write");
        }
        off += v.len;
    }
    return sync_tail(w);
}

static int make_durable(struct wal *w)
{
    struct segment_reader r;
    int rc = segment_reader_init(&r, w->tail);

    if (rc < 0) {
        return fail(w, rc, "read");
    }
    rc = mend(w, &r);
    if (rc == 0) {
        rc = rewrite_group(w, &r);
    }
    segment_reader_release(&r);
    if (rc < 0) {
        return rc;
    }
    rc = sync_directory(w, w->dir);
    return rc < 0 ? rc : vfs_sync_parent(w->fs, w->dir, &w->error);
}

/* The opening marker; and the hard state, if a snapshot marker says more than
 * the last one written. */
static int write_opening(struct wal *w)
{
    open_group(w);
    if (w->found.replay.raised) {
        append_state(w, &w->group, &w->chain);
    }
    return flush(w);
}

int wal_start(struct wal *w, struct wal_marker start, struct wal_contents *out,
              struct errmsg *em)
{
    int rc;

    ASSERT(w->mode == WAL_READING);
    rc = replay_take(&w->found.replay, start, out);
    if (rc == ERR_DAMAGED) {
        return errmsg_text(
            em, rc,
            "%s: the log begins behind index %" PRIu64
            " and no snapshot covers what was before; " WAL_ADVICE,
            w->dir, w->found.replay.base.index);
    }
    if (rc < 0) {
        return errmsg_set(em, rc,
                          "%s: start from the snapshot of index %" PRIu64
                          ", term %" PRIu64,
                          w->dir, start.index, start.term);
    }
    out->torn_bytes = w->found.torn_bytes;
    out->torn_records = w->found.torn_records;
    take_over(w);
    rc = make_durable(w);
    if (rc == 0) {
        rc = write_opening(w);
    }
    recovery_release(&w->found);
    if (rc < 0) {
        wal_contents_release(out);
    }
    return finish(w, rc, em);
}

/* --- appending --- */

static void append_entry(struct wal *w, const struct raft_entry *e)
{
    size_t n = raft_entry_size(e);
    uint8_t *p = record_begin(&w->group, n);
    uint8_t *end = raft_entry_encode(e, p);

    ASSERT(end == p + n);
    record_end(&w->group, WALPB_ENTRY, n, &w->chain);
}

/* What recovery would refuse must not be written. */
static void check_save(const struct wal *w, const struct hard_state *hs,
                       struct raft_entry *const *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct raft_entry *e = entries[i];

        ASSERT(e->term > 0);
        ASSERT(e->term <= hs->term);
        ASSERT(e->index > w->state.commit);
        ASSERT(raft_entry_size(e) < WAL_RECORD_MAX - RECORD_MARKER_BYTES);
        if (i > 0) {
            ASSERT(e->index == entries[i - 1]->index + 1);
            ASSERT(e->term >= entries[i - 1]->term);
        } else {
            ASSERT(e->index <= w->last_index + 1);
        }
    }
    ASSERT(hs->term >= w->state.term);
    if (hs->term == w->state.term && w->state.vote != 0) {
        ASSERT(hs->vote == w->state.vote); /* one vote a term [Raft 5.2] */
    }
    ASSERT(hs->commit >= w->state.commit);
    ASSERT(hs->commit <= (n > 0 ? entries[n - 1]->index : w->last_index));
}

/* At once, so that what is there is not copied each time the group grows. */
static void make_room(struct wal *w, struct raft_entry *const *entries,
                      size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        bytes += record_room(raft_entry_size(entries[i]));
    }
    (void)buf_reserve(&w->group, bytes);
}

static void append_group(struct wal *w, const struct hard_state *hs,
                         struct raft_entry *const *entries, size_t n)
{
    open_group(w);
    make_room(w, entries, n);
    for (size_t i = 0; i < n; i++) {
        append_entry(w, entries[i]);
    }
    if (n > 0) {
        w->last_index = entries[n - 1]->index;
        w->group_has_entries = true;
    }
    if (!hard_state_is_empty(hs)) {
        w->state = *hs;
        append_state(w, &w->group, &w->chain);
    }
}

int wal_save(struct wal *w, const struct hard_state *hs,
             struct raft_entry *const *entries, size_t n, struct errmsg *em)
{
    int rc = check_mode(w, em);

    if (rc < 0 || (n == 0 && hard_state_is_empty(hs))) {
        return rc;
    }
    check_save(w, hard_state_is_empty(hs) ? &w->state : hs, entries, n);
    /* No group has two runs of entries: by that recovery knows where a Go node
     * has gone on (repair.h). Whoever syncs entries before the next ones, as
     * raft asks for, does not meet this. */
    if (n > 0 && w->group.len > 0 && w->group_has_entries) {
        rc = wal_sync(w, em);
        if (rc < 0) {
            return rc;
        }
    }
    if (w->group.len == 0 && w->tail_offset >= w->segment_bytes) {
        rc = cut(w);
        if (rc < 0) {
            return finish(w, rc, em);
        }
    }
    append_group(w, hs, entries, n);
    return w->group.len < GROUP_BYTES_MAX ? 0 : wal_sync(w, em);
}

int wal_save_snapshot(struct wal *w, const struct walpb_snapshot *s,
                      struct errmsg *em)
{
    size_t n = walpb_snapshot_size(s);
    uint8_t *p;
    uint8_t *end;
    int rc = check_mode(w, em);

    ASSERT(s->index > 0);
    ASSERT(s->term > 0);
    ASSERT(s->conf_state != NULL);
    if (rc < 0) {
        return rc;
    }
    open_group(w);
    p = record_begin(&w->group, n);
    end = walpb_snapshot_encode(s, p);
    ASSERT(end == p + n);
    record_end(&w->group, WALPB_SNAPSHOT, n, &w->chain);

    /* As recovery does: what the snapshot holds is committed. */
    w->last_index = max_u64(w->last_index, s->index);
    w->state.commit = max_u64(w->state.commit, s->index);
    if (w->state.term < s->term) {
        w->state.term = s->term;
        w->state.vote = 0;
    }
    return 0;
}

int wal_sync(struct wal *w, struct errmsg *em)
{
    int rc = check_mode(w, em);

    if (rc < 0 || w->group.len == 0) {
        return rc;
    }
    return finish(w, flush(w), em);
}

/* --- releasing, closing --- */

struct wal_released {
    struct vfs *fs;  /* borrowed */
    const char *dir; /* borrowed from the WAL */
    struct segment_list segments;
    int rc; /* of deleting them */
    struct errmsg error;
};

int wal_release_to(struct wal *w, uint64_t index, struct wal_released **out,
                   struct errmsg *em)
{
    int rc = check_mode(w, em);
    struct wal_released *r;

    if (rc < 0) {
        return rc;
    }
    r = xcalloc(1, sizeof(*r));
    r->fs = w->fs;
    r->dir = w->dir;
    while (w->segments.len > 1 && w->segments.items[1].index <= index) {
        segment_list_push(&r->segments, w->segments.items[0]);
        segment_list_drop_first(&w->segments);
    }
    *out = r;
    return 0;
}

/* One sync each: a crash must not remove a later one alone, which would leave a
 * gap. */
static int remove_name(struct wal_released *r, const char *path)
{
    int rc = vfs_unlink(r->fs, path);

    if (rc < 0) {
        return errmsg_set(&r->error, rc, "remove %s", path);
    }
    rc = vfs_sync_dir(r->fs, r->dir);
    return rc < 0 ? errmsg_set(&r->error, rc, "sync directory %s", r->dir) : 0;
}

static int delete_segment(struct wal_released *r, struct segment_name name,
                          struct vfs_rest rest)
{
    char *path = segment_path(r->dir, name);
    struct vfs_file *file = NULL;
    bool is_open = vfs_open(r->fs, path, VFS_WRITE, &file) == 0;
    int rc = remove_name(r, path);

    if (rc == 0 && is_open) {
        vfs_give_back(file, rest);
    }
    vfs_close(file);
    xfree(path);
    return rc;
}

int wal_released_delete(struct wal_released *r, struct vfs_rest rest,
                        struct errmsg *em)
{
    for (size_t i = 0; r->rc == 0 && i < r->segments.len; i++) {
        r->rc = delete_segment(r, r->segments.items[i], rest);
    }
    return r->rc < 0 ? errmsg_text(em, r->rc, "%s", r->error.text) : 0;
}

void wal_release_end(struct wal *w, struct wal_released *r)
{
    if (r->rc < 0 && w->mode == WAL_APPENDING) {
        w->error = r->error;
        (void)finish(w, r->rc, NULL);
    }
    segment_list_release(&r->segments);
    xfree(r);
}

int wal_close(struct wal *w, struct errmsg *em)
{
    int rc = 0;

    if (w == NULL) {
        return 0;
    }
    if (w->mode == WAL_APPENDING) {
        rc = wal_sync(w, em);
        if (rc == 0 && !w->tail_is_marker) {
            rc = finish(w, write_marker(w), em);
        }
    }
    wal_free(w);
    return rc;
}

void wal_get_stats(const struct wal *w, struct wal_stats *out)
{
    const struct segment_list *l =
        w->mode == WAL_READING ? &w->found.segments : &w->segments;

    ASSERT(l->len > 0);
    *out = (struct wal_stats){
        .segments = l->len,
        .first_seq = l->items[0].seq,
        .last_seq = l->items[l->len - 1].seq,
        .tail_offset =
            w->mode == WAL_READING ? w->found.tail_offset : w->tail_offset,
        .syncs = w->syncs,
        .bytes_written = w->bytes_written,
    };
}
