/* The file seam: everything the program does to files goes through here.
 *
 * src/os holds the operating system's real form of a seam. vfs_posix.c is the
 * only file that opens, writes or syncs; the tests put a disk in memory behind
 * the same interface that loses, tears and refuses on demand.
 *
 * Every call returns 0 or a count, or -errno. Reads and writes are complete or
 * fail: EINTR is repeated, a short write is continued, by the implementation.
 * Nothing is retried after an error.
 *
 * Counterpart: sqlite's os.h. */

#ifndef SRC_OS_VFS_H
#define SRC_OS_VFS_H

#include <sys/uio.h>

#include "src/base/common.h"
#include "src/base/err.h"

struct vfs_ops;
struct vfs_file_ops;

/* A file system; embedded first in its implementation. */
struct vfs {
    const struct vfs_ops *ops;
};

/* An open file; embedded first in its implementation. */
struct vfs_file {
    const struct vfs_file_ops *ops;
};

enum vfs_open_flags {
    VFS_READ = 1 << 0,
    VFS_WRITE = 1 << 1,
    VFS_CREATE = 1 << 2, /* mode 0600 if it is new */
    VFS_EXCL = 1 << 3,   /* with VFS_CREATE: -EEXIST if it is there */
    VFS_TRUNC = 1 << 4,
    VFS_LOG = 1 << 5,  /* appended to, and hardly read again: where the system
                        * can, it is written past its cache. Any write will
                        * do; but before one that ends inside a block of what
                        * is there already, that block has to be read */
    VFS_BULK = 1 << 6, /* the same, with much at once, and a sync behind all of
                        * it: where it has to go through the cache, the disk
                        * gets it bit by bit, or syncs of other files would
                        * have to wait for all of it */
};

/* Called once per name, in no order, without "." and ".."; `name` is borrowed
 * for the call. */
typedef void vfs_list_cb(void *arg, const char *name);

enum vfs_kind {
    VFS_FILE,
    VFS_DIR,
    VFS_OTHER,
};

struct vfs_ops {
    int (*open)(struct vfs *fs, const char *path, int flags,
                struct vfs_file **out);
    int (*stat)(struct vfs *fs, const char *path, enum vfs_kind *kind);
    int (*rename)(struct vfs *fs, const char *from, const char *to);
    int (*unlink)(struct vfs *fs, const char *path);
    int (*mkdir)(struct vfs *fs, const char *path);
    int (*rmdir)(struct vfs *fs, const char *path);
    int (*sync_dir)(struct vfs *fs, const char *path);
    int (*list)(struct vfs *fs, const char *path, vfs_list_cb *cb, void *arg);
};

struct vfs_file_ops {
    int (*close)(struct vfs_file *f);
    int64_t (*pread)(struct vfs_file *f, void *p, size_t len, uint64_t off);
    int (*pwritev)(struct vfs_file *f, const struct iovec *iov, size_t n_iov,
                   uint64_t off);
    int (*datasync)(struct vfs_file *f);
    int (*truncate)(struct vfs_file *f, uint64_t len);
    int (*allocate)(struct vfs_file *f, uint64_t len);
    int64_t (*size)(struct vfs_file *f);
    int (*lock)(struct vfs_file *f);
};

/* Open `path`; *out is owned by the caller: vfs_close. */
MUST_CHECK static inline int vfs_open(struct vfs *fs, const char *path,
                                      int flags, struct vfs_file **out)
{
    return fs->ops->open(fs, path, flags, out);
}

/* -ENOENT if there is nothing of that name. */
MUST_CHECK static inline int vfs_stat(struct vfs *fs, const char *path,
                                      enum vfs_kind *kind)
{
    return fs->ops->stat(fs, path, kind);
}

/* Atomic; durable only after vfs_sync_dir of the directory. */
MUST_CHECK static inline int vfs_rename(struct vfs *fs, const char *from,
                                        const char *to)
{
    return fs->ops->rename(fs, from, to);
}

static inline int vfs_unlink(struct vfs *fs, const char *path)
{
    return fs->ops->unlink(fs, path);
}

/* Mode 0700. */
MUST_CHECK static inline int vfs_mkdir(struct vfs *fs, const char *path)
{
    return fs->ops->mkdir(fs, path);
}

/* The directory must be empty. */
static inline int vfs_rmdir(struct vfs *fs, const char *path)
{
    return fs->ops->rmdir(fs, path);
}

/* Make the names in the directory `path` durable. */
MUST_CHECK static inline int vfs_sync_dir(struct vfs *fs, const char *path)
{
    return fs->ops->sync_dir(fs, path);
}

MUST_CHECK static inline int vfs_list(struct vfs *fs, const char *path,
                                      vfs_list_cb *cb, void *arg)
{
    return fs->ops->list(fs, path, cb, arg);
}

/* Release the lock, close, free `f`. NULL is a no-op. Does not sync. */
static inline int vfs_close(struct vfs_file *f)
{
    return f == NULL ? 0 : f->ops->close(f);
}

/* Up to `len` bytes at `off`; fewer only at the end of the file. */
MUST_CHECK static inline int64_t vfs_pread(struct vfs_file *f, void *p,
                                           size_t len, uint64_t off)
{
    return f->ops->pread(f, p, len, off);
}

/* Write all of it at `off`, or fail; after a failure any part may be there. */
MUST_CHECK static inline int vfs_pwritev(struct vfs_file *f,
                                         const struct iovec *iov, size_t n_iov,
                                         uint64_t off)
{
    return f->ops->pwritev(f, iov, n_iov, off);
}

MUST_CHECK static inline int vfs_pwrite(struct vfs_file *f, const void *p,
                                        size_t len, uint64_t off)
{
    struct iovec iov = {(void *)(uintptr_t)p, len};

    return vfs_pwritev(f, &iov, 1, off);
}

/* Make content and size durable (fdatasync). A failure is final: never sync
 * the same file again [reliability 3.2]. */
MUST_CHECK static inline int vfs_datasync(struct vfs_file *f)
{
    return f->ops->datasync(f);
}

/* Make the file exactly `len` bytes long; a longer one ends in zeros. */
MUST_CHECK static inline int vfs_truncate(struct vfs_file *f, uint64_t len)
{
    return f->ops->truncate(f, len);
}

/* Reserve space and make the file at least `len` bytes long, zeros behind. */
MUST_CHECK static inline int vfs_allocate(struct vfs_file *f, uint64_t len)
{
    return f->ops->allocate(f, len);
}

MUST_CHECK static inline int64_t vfs_size(struct vfs_file *f)
{
    return f->ops->size(f);
}

/* Exclusive lock on the whole file without waiting; ERR_LOCKED if another
 * process has it. An open-file-description lock where the system has them, as
 * etcd takes it: it dies with the process and is not inherited. */
MUST_CHECK static inline int vfs_lock(struct vfs_file *f)
{
    return f->ops->lock(f);
}

/* --- helpers on top, implemented once in vfs.c --- */

/* The whole file into memory owned by the caller (xfree); ERR_TOO_LARGE over
 * `max` bytes. `em` gets path and reason. */
MUST_CHECK int vfs_read_file(struct vfs *fs, const char *path, size_t max,
                             uint8_t **data, size_t *len, struct errmsg *em);

/* True if something of that name is there; other errors count as present. */
bool vfs_exists(struct vfs *fs, const char *path);

/* "dir/name", owned by the caller. */
char *vfs_join(const char *dir, const char *name);

/* The directory that holds `path`: "a" for "a/b", "." for "b", "/" for "/b".
 * Owned by the caller. */
char *vfs_parent(const char *path);

/* Make the name `path` itself durable: sync the directory that holds it. */
MUST_CHECK int vfs_sync_parent(struct vfs *fs, const char *path,
                               struct errmsg *em);

/* What long work does now and then: let others go first. */
struct vfs_rest {
    void (*fn)(void *ctx); /* NULL: not needed */
    void *ctx;
};

/* Give back what a file takes on the disk that nobody reads any more, and whose
 * name is durably gone; closing it would do that too, but all at once, and
 * whoever syncs meanwhile would wait for it (ext4 that discards: 25 ms for 100
 * MB). What cannot be given back now the close does. */
void vfs_give_back(struct vfs_file *f, struct vfs_rest rest);

/* The names in `dir`, sorted by bytes; free with vfs_names_release. */
struct vfs_names {
    char **names;
    size_t n;
};
MUST_CHECK int vfs_list_sorted(struct vfs *fs, const char *dir,
                               struct vfs_names *out);
void vfs_names_release(struct vfs_names *names);

/* --- the real file system (vfs_posix.c) --- */

/* The one instance; static, stateless. */
struct vfs *vfs_posix(void);

#endif /* SRC_OS_VFS_H */
