/* A snapshot file, in pieces.
 *
 *   head    crc of all that follows, and its length (snappb)
 *   front   field 1 of raftpb.Snapshot and its length
 *   data    what the state machine says
 *   back    field 2, the metadata
 *
 * Length and CRC stand before what they are of. So the content is asked for
 * twice: to be measured, and to be written.
 *
 * Counterpart: etcd server/etcdserver/api/snap/snapshotter.go, which has the
 * whole file in memory. */

#include "snap/snap_file.h"

#include <errno.h>

#include "proto/snappb.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/crc32c.h"

/* Of what is made here; more could not be sent. */
#define CONTENT_MAX (PEER_MESSAGE_MAX - 1 * MiB)
/* Of what came in a message. */
#define DATA_MAX (SNAPSHOT_FILE_MAX - 1 * MiB)

/* --- measuring --- */

struct measure {
    size_t max;
    size_t len;
    uint32_t crc;
};

static int measure_piece(void *arg, struct bytes piece)
{
    struct measure *m = arg;

    if (piece.len > m->max - m->len) {
        return ERR_TOO_LARGE;
    }
    m->len += piece.len;
    m->crc = crc32c(m->crc, piece.data, piece.len);
    return 0;
}

/* All but the data: what stands before and behind it. */
struct frame {
    uint8_t head[SNAPPB_HEAD_MAX + RAFT_SNAPSHOT_FRONT_MAX];
    size_t head_len;
    uint8_t *back; /* owned; blanks that belong to the data are before it */
    size_t back_len;
};

/* White space behind the JSON document changes the CRC and nothing else. */
static uint32_t frame_crc(struct frame *f, const struct measure *data,
                          const struct raft_snapshot *snap, bool has_data,
                          size_t n_blanks)
{
    uint8_t front[RAFT_SNAPSHOT_FRONT_MAX];
    size_t front_len = 0;
    size_t len = data->len + n_blanks;
    uint32_t crc;

    if (has_data) {
        front_len = (size_t)(raft_snapshot_encode_front(len, front) - front);
    }
    f->back_len = n_blanks + raft_snapshot_back_size(snap);
    f->back = xrealloc_array(f->back, f->back_len, 1);
    memset(f->back, ' ', n_blanks);
    (void)raft_snapshot_encode_back(snap, f->back + n_blanks);

    crc = crc32c(0, front, front_len);
    crc = crc32c_combine(crc, data->crc, data->len);
    crc = crc32c(crc, f->back, f->back_len);
    size_t total = front_len + data->len + f->back_len;
    uint8_t *p = snappb_head_encode(f->head, crc, total);
    memcpy(p, front, front_len);
    f->head_len = (size_t)(p - f->head) + front_len;
    ASSERT(f->head_len <= sizeof(f->head));
    return crc;
}

/* A CRC of 0 means "no CRC" to every reader [formats-snapshot 3]. */
static void frame_init(struct frame *f, const struct measure *data,
                       const struct raft_snapshot *snap, bool has_data)
{
    size_t n_blanks = 0;

    *f = (struct frame){.back = NULL};
    while (frame_crc(f, data, snap, has_data, n_blanks) == 0) {
        n_blanks++;
    }
}

/* --- writing --- */

struct writer {
    struct vfs_file *file;
    const char *path;
    struct errmsg *em;
    uint64_t off;
    struct measure written; /* of the data */
};

static int sync_file(struct writer *w)
{
    int rc = vfs_datasync(w->file);

    return rc < 0 ? errmsg_set(w->em, rc, "sync %s", w->path) : 0;
}

static int write_bytes(struct writer *w, const void *p, size_t len)
{
    int rc = vfs_pwrite(w->file, p, len, w->off);

    if (rc < 0) {
        return errmsg_set(w->em, rc, "write %s", w->path);
    }
    w->off += len;
    return 0;
}

static int write_piece(void *arg, struct bytes piece)
{
    struct writer *w = arg;
    int rc = measure_piece(&w->written, piece);

    ASSERT(rc == 0);
    return piece.len == 0 ? 0 : write_bytes(w, piece.data, piece.len);
}

/* All of the space at once: so it is there, in few pieces, and no write has to
 * make the file longer. */
static int reserve(struct writer *w, uint64_t len)
{
    int rc = vfs_allocate(w->file, len);

    return rc < 0 ? errmsg_set(w->em, rc, "reserve %s", w->path) : 0;
}

static int write_all(struct writer *w, const struct frame *f,
                     const struct measure *data,
                     const struct snapshot_content *content)
{
    int rc = reserve(w, f->head_len + data->len + f->back_len);

    if (rc == 0) {
        rc = write_bytes(w, f->head, f->head_len);
    }
    if (rc == 0 && content != NULL) {
        rc = content->write(content->ctx, write_piece, w);
        /* Or the file would be no snapshot, and nobody would know. */
        ASSERT(rc < 0 ||
               (w->written.len == data->len && w->written.crc == data->crc));
    }
    if (rc == 0) {
        rc = write_bytes(w, f->back, f->back_len);
    }
    return rc == 0 ? sync_file(w) : rc;
}

int snap_file_write(struct vfs *fs, const char *path,
                    const struct raft_snapshot *snap,
                    const struct snapshot_content *content, struct errmsg *em)
{
    struct measure data = {.max = snap->data != NULL ? DATA_MAX : CONTENT_MAX};
    struct writer w = {.path = path, .em = em, .written = {.max = data.max}};
    struct frame frame;
    int rc = 0;
    int closed;

    if (content != NULL) {
        rc = content->write(content->ctx, measure_piece, &data);
    }
    if (rc < 0) {
        return errmsg_set(em, rc, "snapshot of %zu bytes or more", data.len);
    }
    rc = vfs_open(fs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNC | VFS_BULK,
                  &w.file);
    if (rc < 0) {
        return errmsg_set(em, rc, "create %s", path);
    }
    frame_init(&frame, &data, snap, content != NULL);
    rc = write_all(&w, &frame, &data, content);
    xfree(frame.back);
    closed = vfs_close(w.file);
    /* Some file systems tell of a lost write only now. */
    if (rc == 0 && closed < 0) {
        rc = errmsg_set(em, closed, "close %s", path);
    }
    return rc;
}

/* --- reading --- */

struct file_source {
    struct raft_snapshot_source base;
    struct vfs_file *file;
    atomic_size_t *n_open; /* borrowed */
    char *path;            /* owned */
    uint64_t off;          /* in the file */
    size_t left;           /* of base.size */
    uint32_t crc;          /* so far */
    uint32_t want;         /* as the file says */
};

static int source_read(struct raft_snapshot_source *base, uint8_t *p,
                       size_t len, struct errmsg *em)
{
    struct file_source *s = container_of(base, struct file_source, base);
    int64_t n;

    ASSERT(len <= s->left);
    n = vfs_pread(s->file, p, len, s->off);
    if (n < 0) {
        return errmsg_set(em, (int)n, "read %s", s->path);
    }
    s->off += len;
    s->left -= len;
    s->crc = crc32c(s->crc, p, len);
    /* The last piece is not given away if what came before it is not what was
     * written: so nobody ever has the whole of a damaged file. */
    if ((size_t)n < len || (s->left == 0 && s->crc != s->want)) {
        return errmsg_set(em, ERR_DAMAGED, "%s", s->path);
    }
    return 0;
}

static void source_close(struct raft_snapshot_source *base)
{
    struct file_source *s = container_of(base, struct file_source, base);

    (void)vfs_close(s->file);
    (void)atomic_fetch_sub(s->n_open, 1);
    xfree(s->path);
    xfree(s);
}

static const struct raft_snapshot_source_ops SOURCE_OPS = {
    .read = source_read,
    .close = source_close,
};

/* Read the head, and compare the size it tells of with the file's. */
static int source_begin(struct file_source *s, struct errmsg *em)
{
    uint8_t head[SNAPPB_HEAD_MAX];
    uint64_t data_len = 0;
    int64_t n = vfs_pread(s->file, head, sizeof(head), 0);
    int64_t size = n < 0 ? n : vfs_size(s->file);
    int head_len;

    if (size < 0) {
        return errmsg_set(em, (int)size, "read %s", s->path);
    }
    head_len = snappb_head_decode((struct bytes){head, (size_t)n}, &s->want,
                                  &data_len);
    if (head_len < 0 || data_len > SNAPSHOT_FILE_MAX ||
        (uint64_t)size != (uint64_t)head_len + data_len) {
        return errmsg_set(em, ERR_DAMAGED, "%s", s->path);
    }
    s->off = (uint64_t)head_len;
    s->left = s->base.size = (size_t)data_len;
    return 0;
}

int snap_file_open(struct vfs *fs, const char *path, atomic_size_t *n_open,
                   struct raft_snapshot_source **out, struct errmsg *em)
{
    struct file_source *s;
    struct vfs_file *file;
    int rc;

    (void)atomic_fetch_add(n_open, 1);
    rc = vfs_open(fs, path, VFS_READ, &file);
    if (rc < 0) {
        (void)atomic_fetch_sub(n_open, 1);
        return errmsg_set(em, rc == -ENOENT ? ERR_NO_SNAPSHOT : rc, "open %s",
                          path);
    }
    s = xcalloc(1, sizeof(*s));
    *s = (struct file_source){.base = {.ops = &SOURCE_OPS},
                              .file = file,
                              .n_open = n_open,
                              .path = xstrdup(path)};
    rc = source_begin(s, em);
    if (rc < 0) {
        source_close(&s->base);
        return rc;
    }
    *out = &s->base;
    return 0;
}
