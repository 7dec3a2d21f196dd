/* Snapshot files: written whole under another name, checked in full when read.
 *
 * A file gets its final name only after its bytes are synced, and counts only
 * after the directory is. A crash at any point therefore leaves the old state
 * and at most one file ending in .tmp, which the next open removes.
 *
 * Counterpart: etcd server/etcdserver/api/snap/snapshotter.go. */

#include "snap/snapshotter.h"

#include <errno.h>

#include "proto/snappb.h"
#include "snap/snap_file.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/crc32c.h"
#include "src/base/log.h"

#define SNAP_SUFFIX ".snap"
#define TMP_SUFFIX  ".snap.tmp"
#define SNAP_DIGITS ((size_t)16) /* of term and of index */
/* TERM-INDEX and the longest suffix. */
#define SNAP_NAME_MAX (2 * SNAP_DIGITS + 1 + sizeof(TMP_SUFFIX))

/* Term and index, as a file's name says them. */
struct snap_id {
    uint64_t term;
    uint64_t index;
};

/* --- names --- */

static void format_name(char *out, struct snap_id id, const char *suffix)
{
    int n = snprintf(out, SNAP_NAME_MAX, "%016" PRIx64 "-%016" PRIx64 "%s",
                     id.term, id.index, suffix);

    ASSERT(n > 0);
    ASSERT((size_t)n < SNAP_NAME_MAX);
}

static bool parse_hex(const char *s, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < SNAP_DIGITS; i++) {
        if (s[i] >= '0' && s[i] <= '9') {
            v = v << 4 | (uint64_t)(s[i] - '0');
        } else if (s[i] >= 'a' && s[i] <= 'f') {
            v = v << 4 | (uint64_t)(s[i] - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = v;
    return true;
}

/* Whether `name` is exactly what format_name makes with this suffix. */
static bool parse_name(const char *name, const char *suffix, struct snap_id *id)
{
    return strlen(name) == 2 * SNAP_DIGITS + 1 + strlen(suffix) &&
           parse_hex(name, &id->term) && name[SNAP_DIGITS] == '-' &&
           parse_hex(name + SNAP_DIGITS + 1, &id->index) &&
           strcmp(name + 2 * SNAP_DIGITS + 1, suffix) == 0;
}

bool snapshot_name_parse(const char *name, uint64_t *term, uint64_t *index)
{
    struct snap_id id;

    if (!parse_name(name, SNAP_SUFFIX, &id)) {
        return false;
    }
    *term = id.term;
    *index = id.index;
    return true;
}

/* The path of the file, owned by the caller. */
static char *snap_path(const struct snapshotter *s, struct snap_id id,
                       const char *suffix)
{
    char name[SNAP_NAME_MAX];

    format_name(name, id, suffix);
    return vfs_join(s->dir, name);
}

/* --- life cycle --- */

void snapshotter_init(struct snapshotter *s, struct vfs *fs, const char *dir,
                      const struct logger *lg)
{
    ASSERT(fs != NULL);
    ASSERT(dir != NULL);
    *s = (struct snapshotter){.fs = fs, .lg = lg, .dir = xstrdup(dir)};
}

void snapshotter_release(struct snapshotter *s)
{
    xfree(s->dir);
    s->dir = NULL;
}

/* Make s->dir if it is missing. */
static int make_dir(struct snapshotter *s, struct errmsg *em)
{
    enum vfs_kind kind;
    int rc = vfs_stat(s->fs, s->dir, &kind);

    if (rc == -ENOENT) {
        rc = vfs_mkdir(s->fs, s->dir);
        return rc < 0 ? errmsg_set(em, rc, "create directory %s", s->dir) : 0;
    }
    if (rc == 0 && kind != VFS_DIR) {
        rc = -ENOTDIR;
    }
    return rc < 0 ? errmsg_set(em, rc, "open directory %s", s->dir) : 0;
}

/* A snapshot in a directory that a crash takes away would be no snapshot
 * [reliability 3.1]. Done also for a directory that was there: whoever made it
 * may have ended before its name was durable. */
static int sync_parent(struct snapshotter *s, struct errmsg *em)
{
    char *parent = vfs_parent(s->dir);
    int rc = vfs_sync_dir(s->fs, parent);

    if (rc < 0) {
        errmsg_set(em, rc, "sync directory %s", parent);
    }
    xfree(parent);
    return rc;
}

/* Only names of our own making: the directory may hold foreign files. */
static int remove_temporary(struct snapshotter *s, struct errmsg *em)
{
    struct vfs_names names;
    int rc = vfs_list_sorted(s->fs, s->dir, &names);

    if (rc < 0) {
        return errmsg_set(em, rc, "list directory %s", s->dir);
    }
    for (size_t i = 0; i < names.n && rc == 0; i++) {
        struct snap_id id;

        if (!parse_name(names.names[i], TMP_SUFFIX, &id)) {
            continue;
        }
        char *path = snap_path(s, id, TMP_SUFFIX);
        rc = vfs_unlink(s->fs, path);
        if (rc < 0) {
            errmsg_set(em, rc, "remove %s", path);
        } else {
            log_info(s->lg, "removed unfinished snapshot file %s", path);
        }
        xfree(path);
    }
    vfs_names_release(&names);
    return rc;
}

int snapshotter_open(struct snapshotter *s, struct errmsg *em)
{
    int rc = make_dir(s, em);

    if (rc == 0) {
        rc = sync_parent(s, em);
    }
    if (rc == 0) {
        rc = remove_temporary(s, em);
    }
    return rc;
}

/* --- saving --- */

/* Under the temporary name, then under its own. */
static int save(struct snapshotter *s, const struct raft_snapshot *snap,
                const struct snapshot_content *content, struct errmsg *em)
{
    struct snap_id id = {snap->term, snap->index};
    char *tmp = snap_path(s, id, TMP_SUFFIX);
    char *path = snap_path(s, id, SNAP_SUFFIX);
    int rc;

    ASSERT(!raft_snapshot_is_empty(snap));
    rc = snap_file_write(s->fs, tmp, snap, content, em);
    if (rc < 0) {
        goto err_unlink;
    }
    rc = vfs_rename(s->fs, tmp, path);
    if (rc < 0) {
        errmsg_set(em, rc, "rename %s to %s", tmp, path);
        goto err_unlink;
    }
    /* If this fails the file has its name and may keep it or not; it has no
     * marker in the WAL, so nobody will ask for it. */
    rc = vfs_sync_dir(s->fs, s->dir);
    if (rc < 0) {
        errmsg_set(em, rc, "sync directory %s", s->dir);
    }
    goto out;

err_unlink:
    ASSERT(rc < 0);
    (void)vfs_unlink(s->fs, tmp); /* what is left, the next open removes */
out:
    xfree(path);
    xfree(tmp);
    return rc;
}

static int write_data(void *ctx, int (*sink)(void *arg, struct bytes piece),
                      void *arg)
{
    const struct raft_snapshot *snap = ctx;

    return sink(arg, (struct bytes){snap->data, snap->len});
}

int snapshotter_save(struct snapshotter *s, const struct raft_snapshot *snap,
                     struct errmsg *em)
{
    const struct snapshot_content content = {(void *)(uintptr_t)snap,
                                             write_data};

    return save(s, snap, snap->data == NULL ? NULL : &content, em);
}

int snapshotter_save_content(struct snapshotter *s,
                             const struct raft_snapshot *snap,
                             const struct snapshot_content *content,
                             struct errmsg *em)
{
    ASSERT(snap->data == NULL);
    return save(s, snap, content, em);
}

/* --- loading --- */

int snapshot_file_check(struct bytes file, uint64_t term, uint64_t index,
                        struct raft_snapshot **out, const char **why)
{
    struct snappb_snapshot outer;
    struct raft_snapshot *snap;

    *why = "the file is empty";
    if (file.len == 0) {
        return ERR_DAMAGED;
    }
    *why = "the outer message does not parse";
    if (snappb_decode(file, &outer) < 0) {
        return ERR_DAMAGED;
    }
    *why = "there is no data or no crc";
    if (outer.data.len == 0 || outer.crc == 0) {
        return ERR_DAMAGED;
    }
    *why = "crc mismatch";
    if (crc32c(0, outer.data.data, outer.data.len) != outer.crc) {
        return ERR_DAMAGED;
    }
    *why = "the snapshot does not parse";
    if (raft_snapshot_decode(outer.data, &snap) < 0) {
        return ERR_DAMAGED;
    }
    *why = "the content is of another term or index than the name";
    if (snap->term != term || snap->index != index) {
        raft_snapshot_unref(snap);
        return ERR_DAMAGED;
    }
    *out = snap;
    return 0;
}

/* Out of the way, but kept for whoever wants to look at it. */
static void set_aside(struct snapshotter *s, const char *path, const char *why)
{
    char *broken = xasprintf("%s.broken", path);
    int rc = vfs_rename(s->fs, path, broken);

    if (rc == 0) {
        rc = vfs_sync_dir(s->fs, s->dir);
    }
    if (rc < 0) {
        log_error(s->lg, "snapshot file %s is damaged (%s), renaming it: %s",
                  path, why, err_str(rc));
    } else {
        log_error(s->lg, "snapshot file %s is damaged (%s), renamed to %s",
                  path, why, broken);
    }
    xfree(broken);
}

int snapshotter_load(struct snapshotter *s, uint64_t term, uint64_t index,
                     struct raft_snapshot **out, struct errmsg *em)
{
    struct snap_id id = {term, index};
    char *path = snap_path(s, id, SNAP_SUFFIX);
    const char *why;
    uint8_t *data = NULL;
    size_t len = 0;
    int rc = vfs_read_file(s->fs, path, SNAPSHOT_FILE_MAX, &data, &len, em);

    if (rc == -ENOENT) {
        rc = errmsg_set(em, ERR_NO_SNAPSHOT, "%s", path);
    } else if (rc == 0) {
        rc = snapshot_file_check((struct bytes){data, len}, term, index, out,
                                 &why);
        if (rc < 0) {
            errmsg_set(em, rc, "%s: %s", path, why);
            set_aside(s, path, why);
        }
        xfree(data);
    }
    xfree(path);
    ASSERT(rc < 0 || (*out)->index == index);
    return rc;
}

int snapshotter_open_source(struct snapshotter *s, uint64_t term,
                            uint64_t index, struct raft_snapshot_source **out,
                            struct errmsg *em)
{
    char *path = snap_path(s, (struct snap_id){term, index}, SNAP_SUFFIX);
    int rc = snap_file_open(s->fs, path, &s->n_sources, out, em);

    xfree(path);
    return rc;
}

/* --- purging --- */

/* The ids of all files at or below `index`, ascending; the caller frees the
 * array. `names` is sorted, and equal widths sort as numbers do. */
static struct snap_id *purgeable(const struct vfs_names *names, uint64_t index,
                                 size_t *n)
{
    struct snap_id *ids = xcalloc(names->n + 1, sizeof(*ids));

    *n = 0;
    for (size_t i = 0; i < names->n; i++) {
        struct snap_id id;

        if (parse_name(names->names[i], SNAP_SUFFIX, &id) &&
            id.index <= index) {
            ids[(*n)++] = id;
        }
    }
    ASSERT(*n <= names->n);
    return ids;
}

/* Who opens the file after its name is gone does not find it; so if nobody
 * reads one then, nobody reads this one. Else its space goes when it is closed.
 */
static int purge(struct snapshotter *s, const char *path, struct vfs_rest rest)
{
    struct vfs_file *file = NULL;
    bool is_open = vfs_open(s->fs, path, VFS_WRITE, &file) == 0;
    int rc = vfs_unlink(s->fs, path);

    if (rc == 0 && is_open && atomic_load(&s->n_sources) == 0 &&
        vfs_sync_dir(s->fs, s->dir) == 0) {
        vfs_give_back(file, rest);
    }
    vfs_close(file);
    return rc;
}

void snapshotter_purge(struct snapshotter *s, uint64_t index, size_t keep,
                       struct vfs_rest rest)
{
    struct vfs_names names;
    int rc = vfs_list_sorted(s->fs, s->dir, &names);

    if (rc < 0) {
        log_warn(s->lg, "purge snapshots: list directory %s: %s", s->dir,
                 err_str(rc));
        return;
    }
    size_t n;
    struct snap_id *ids = purgeable(&names, index, &n);
    for (size_t i = 0; i + keep < n; i++) {
        char *path = snap_path(s, ids[i], SNAP_SUFFIX);

        rc = purge(s, path, rest);
        if (rc < 0) {
            log_warn(s->lg, "purge snapshots: remove %s: %s", path,
                     err_str(rc));
        } else {
            log_info(s->lg, "purged snapshot file %s", path);
        }
        xfree(path);
    }
    xfree(ids);
    vfs_names_release(&names);
}
