/* Creation of a WAL.
 *
 * Counterpart: etcd server/storage/wal Create. */

#include "wal/create.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "wal/wal.h"

static const struct segment_name FIRST = {0, 0};

struct dir_content {
    bool has_wal;
    bool has_other; /* neither a WAL's nor left over from creating one */
};

static void look_at_name(void *arg, const char *name)
{
    struct dir_content *c = arg;

    if (segment_name_ends_in(name, SEGMENT_SUFFIX)) {
        c->has_wal = true;
    } else if (!segment_name_ends_in(name, SEGMENT_TMP_SUFFIX) &&
               strcmp(name, WAL_LOCK_NAME) != 0) {
        c->has_other = true;
    }
}

bool wal_exists(struct vfs *fs, const char *dir)
{
    struct dir_content c = {0};
    int rc = vfs_list(fs, dir, look_at_name, &c);

    /* A directory that cannot be read may hold a WAL: opening it will say
     * what is wrong; creating one over it would be a disaster. */
    return rc < 0 ? rc != -ENOENT : c.has_wal;
}

static int remove_leftover(struct vfs *fs, const char *dir, const char *name,
                           struct errmsg *em)
{
    char *path = vfs_join(dir, name);
    int rc = vfs_unlink(fs, path);

    if (rc < 0) {
        errmsg_set(em, rc, "remove %s", path);
    }
    xfree(path);
    return rc;
}

/* Under the lock: nothing but left-overs may be there; remove them. */
static int clean_dir(struct vfs *fs, const char *dir, struct errmsg *em)
{
    struct vfs_names names;
    struct dir_content c = {0};
    int rc = vfs_list_sorted(fs, dir, &names);

    if (rc < 0) {
        return errmsg_set(em, rc, "list %s", dir);
    }
    for (size_t i = 0; i < names.n; i++) {
        look_at_name(&c, names.names[i]);
    }
    if (c.has_wal || c.has_other) {
        rc = errmsg_set(em, -EEXIST, "create a WAL in %s", dir);
    }
    for (size_t i = 0; rc == 0 && i < names.n; i++) {
        if (segment_name_ends_in(names.names[i], SEGMENT_TMP_SUFFIX)) {
            rc = remove_leftover(fs, dir, names.names[i], em);
        }
    }
    vfs_names_release(&names);
    return rc;
}

/* The first segment: its first three records are those of every raftexample
 * [formats-wal 4], the marker behind them is ours. */
static int make_first(const struct wal_options *opts, uint64_t segment_bytes,
                      struct recovery *out, struct errmsg *em)
{
    static const struct walpb_snapshot nothing = {0};
    size_t n = walpb_snapshot_size(&nothing);
    struct buf head;
    int rc;

    buf_init(&head, BUF_UNLIMITED);
    record_append_crc(&head, &out->chain);
    record_append(&head, WALPB_METADATA, (struct bytes){0}, &out->chain);
    walpb_snapshot_encode(&nothing, record_begin(&head, n));
    record_end(&head, WALPB_SNAPSHOT, n, &out->chain);
    record_append_marker(&head, &out->chain);
    rc = segment_create(opts->fs, opts->dir, FIRST, segment_bytes,
                        buf_bytes(&head), &out->tail, em);
    out->tail_offset = head.len;
    out->tail_size = max_u64(segment_bytes, head.len);
    buf_release(&head);
    return rc;
}

static int create_locked(const struct wal_options *opts, uint64_t segment_bytes,
                         struct recovery *out, struct errmsg *em)
{
    int rc = clean_dir(opts->fs, opts->dir, em);

    if (rc < 0) {
        return rc;
    }
    rc = make_first(opts, segment_bytes, out, em);
    if (rc == 0) {
        rc = vfs_sync_parent(opts->fs, opts->dir, em);
    }
    if (rc < 0) {
        /* Best effort: the failure that is reported is the first one. */
        char *path = segment_path(opts->dir, FIRST);

        vfs_unlink(opts->fs, path);
        xfree(path);
    }
    return rc;
}

/* Best effort. Whose directory it is decides: what another process holds, or
 * had made before us, is not ours to remove. */
static void undo(const struct wal_options *opts, struct recovery *out,
                 bool made_dir, int rc)
{
    char *lock = vfs_join(opts->dir, WAL_LOCK_NAME);

    if (rc != -EEXIST && rc != ERR_LOCKED && (made_dir || out->lock != NULL)) {
        vfs_unlink(opts->fs, lock);
    }
    if (rc != ERR_LOCKED && made_dir) {
        vfs_rmdir(opts->fs, opts->dir);
    }
    recovery_release(out);
    xfree(lock);
}

int create_run(const struct wal_options *opts, uint64_t segment_bytes,
               struct recovery *out, struct errmsg *em)
{
    int rc = vfs_mkdir(opts->fs, opts->dir);
    bool made_dir = rc == 0;

    *out = (struct recovery){0};
    if (rc < 0 && rc != -EEXIST) {
        return errmsg_set(em, rc, "make directory %s", opts->dir);
    }
    rc = recovery_lock(opts, &out->lock, em);
    if (rc == 0) {
        rc = create_locked(opts, segment_bytes, out, em);
    }
    if (rc < 0) {
        undo(opts, out, made_dir, rc);
        return rc;
    }
    replay_init(&out->replay, FIRST.index);
    segment_list_push(&out->segments, FIRST);
    return 0;
}
