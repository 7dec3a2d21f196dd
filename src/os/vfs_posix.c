/* The file seam's real form: the only file that opens, writes or syncs.
 *
 * An interrupted call is repeated and a short read or write is continued, so
 * that a caller sees all or an error. Nothing is retried after an error, least
 * of all a sync: the kernel marks pages clean when it fails to write them, and
 * the next sync would succeed without the data [reliability 3.2].
 *
 * Counterpart: etcd client/pkg/fileutil (lock_linux.go, preallocate_unix.go,
 * sync_linux.go), for the kinds of locks and of allocation. */

#include "src/os/vfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"

/* Files hold votes and clients' values: nobody else reads them. */
#define FILE_MODE 0600
#define DIR_MODE  0700

/* A log leaves the cache in pieces of this size. The next one then gets their
 * pages, which are warm: in a virtual machine a page that was free for some
 * seconds may be gone, and writing to it takes longer than the disk does. The
 * newest piece stays; its pages may still be on the kernel's list of new ones,
 * from which it would have to call them in from all processors. */
#define DROP_BYTES (1 * MiB)

/* What a bulk file may have in the cache that is on its way to the disk. */
#define BULK_BYTES (256 * KiB)

struct posix_file {
    struct vfs_file base;
    int fd;
    bool is_log;
    bool is_bulk;
    uint64_t on_disk; /* bulk: what is before it need not be waited for */
    uint64_t dropped; /* a log: what is before it has left the cache */
    uint64_t next;    /* the next piece ends here */
    uint64_t written; /* up to here */
};

static struct posix_file *posix_file_of(struct vfs_file *f)
{
    return container_of(f, struct posix_file, base);
}

static int fd_of(struct vfs_file *f)
{
    return posix_file_of(f)->fd;
}

static int posix_close(struct vfs_file *f)
{
    struct posix_file *pf = posix_file_of(f);
    /* On Linux the descriptor is gone whatever close says, EINTR included;
     * closing again could hit another file. */
    int rc = close(pf->fd) < 0 && errno != EINTR ? -errno : 0;

    xfree(pf);
    return rc;
}

static int64_t posix_pread(struct vfs_file *f, void *p, size_t len,
                           uint64_t off)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd_of(f), (uint8_t *)p + done, len - done,
                          (off_t)(off + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    return (int64_t)done;
}

/* One call for as much as the kernel takes. `skip` bytes of iov[0] are written
 * already. */
static ssize_t write_some(int fd, const struct iovec *iov, size_t n_iov,
                          size_t skip, uint64_t off)
{
    if (skip > 0) {
        return pwrite(fd, (const uint8_t *)iov->iov_base + skip,
                      iov->iov_len - skip, (off_t)off);
    }
    return pwritev(fd, iov, n_iov > IOV_MAX ? IOV_MAX : (int)n_iov, (off_t)off);
}

/* Not durable by that. But if it fails, a sync would not tell of it again. */
static int write_out(struct posix_file *pf)
{
    uint64_t off = pf->on_disk;
    int rc;

    if (pf->written < off + BULK_BYTES) {
        return 0;
    }
    pf->on_disk = pf->written;
    do {
        rc =
            sync_file_range(pf->fd, (off_t)off, (off_t)(pf->written - off),
                            SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 && errno != ENOSYS ? -errno : 0;
}

static int posix_pwritev(struct vfs_file *f, const struct iovec *iov,
                         size_t n_iov, uint64_t off)
{
    struct posix_file *pf = posix_file_of(f);
    size_t skip = 0;

    for (;;) {
        while (n_iov > 0 && skip >= iov->iov_len) {
            skip -= iov->iov_len;
            iov++;
            n_iov--;
        }
        if (n_iov == 0) {
            ASSERT(skip == 0);
            pf->written = off;
            return pf->is_bulk ? write_out(pf) : 0;
        }
        ssize_t n = write_some(pf->fd, iov, n_iov, skip, off);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        off += (uint64_t)n;
        skip += (size_t)n;
    }
}

static void drop_from_cache(struct posix_file *pf)
{
    if (pf->written < pf->next + DROP_BYTES) {
        return;
    }
    if (pf->next > pf->dropped) {
        /* Advice: nothing depends on it. */
        (void)posix_fadvise(pf->fd, (off_t)pf->dropped,
                            (off_t)(pf->next - pf->dropped),
                            POSIX_FADV_DONTNEED);
    }
    pf->dropped = pf->next;
    pf->next = pf->written;
}

static int posix_datasync(struct vfs_file *f)
{
    struct posix_file *pf = posix_file_of(f);
    int rc;

    do {
        rc = fdatasync(pf->fd);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        return -errno;
    }
    if (pf->is_log) {
        drop_from_cache(pf);
    }
    return 0;
}

static int posix_truncate(struct vfs_file *f, uint64_t len)
{
    int rc;

    do {
        rc = ftruncate(fd_of(f), (off_t)len);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static int64_t posix_size(struct vfs_file *f)
{
    struct stat st;

    return fstat(fd_of(f), &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int posix_allocate(struct vfs_file *f, uint64_t len)
{
    int64_t size;
    int rc;

    do {
        rc = fallocate(fd_of(f), 0, 0, (off_t)len);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0) {
        return 0;
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS) {
        return -errno;
    }
    /* The file system cannot reserve: the length alone must do, as in etcd. */
    size = posix_size(f);
    if (size < 0) {
        return (int)size;
    }
    return (uint64_t)size >= len ? 0 : posix_truncate(f, len);
}

/* Open-file-description locks first: they are what a Go node on the same
 * directory takes, and flock does not see them [formats-wal 11]. */
static int posix_lock(struct vfs_file *f)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc;

    do {
        rc = fcntl(fd_of(f), F_OFD_SETLK, &fl);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0 && errno == EINVAL) {
        rc = flock(fd_of(f), LOCK_EX | LOCK_NB);
    }
    if (rc == 0) {
        return 0;
    }
    return errno == EAGAIN || errno == EACCES ? ERR_LOCKED : -errno;
}

static const struct vfs_file_ops posix_file_ops = {
    .close = posix_close,
    .pread = posix_pread,
    .pwritev = posix_pwritev,
    .datasync = posix_datasync,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .size = posix_size,
    .lock = posix_lock,
};

static int open_flags(int flags)
{
    int o = O_CLOEXEC | O_NOCTTY;

    ASSERT((flags & (VFS_READ | VFS_WRITE)) != 0);
    if ((flags & VFS_WRITE) != 0) {
        o |= (flags & VFS_READ) != 0 ? O_RDWR : O_WRONLY;
    } else {
        o |= O_RDONLY;
    }
    o |= (flags & VFS_CREATE) != 0 ? O_CREAT : 0;
    o |= (flags & VFS_EXCL) != 0 ? O_EXCL : 0;
    o |= (flags & VFS_TRUNC) != 0 ? O_TRUNC : 0;
    return o;
}

static int open_retrying(const char *path, int o)
{
    int fd;

    do {
        fd = open(path, o, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int posix_open(struct vfs *fs, const char *path, int flags,
                      struct vfs_file **out)
{
    struct posix_file *pf;
    int fd = open_retrying(path, open_flags(flags));

    ASSERT(fs == vfs_posix());
    if (fd < 0) {
        return fd;
    }
    pf = xmalloc(sizeof(*pf));
    *pf = (struct posix_file){.base.ops = &posix_file_ops,
                              .fd = fd,
                              .is_log = (flags & VFS_LOG) != 0,
                              .is_bulk = (flags & VFS_BULK) != 0};
    *out = &pf->base;
    return 0;
}

static int posix_stat(struct vfs *fs, const char *path, enum vfs_kind *kind)
{
    struct stat st;

    (void)fs;
    if (stat(path, &st) < 0) {
        return -errno;
    }
    *kind = S_ISREG(st.st_mode)   ? VFS_FILE
            : S_ISDIR(st.st_mode) ? VFS_DIR
                                  : VFS_OTHER;
    return 0;
}

static int posix_rename(struct vfs *fs, const char *from, const char *to)
{
    (void)fs;
    return rename(from, to) < 0 ? -errno : 0;
}

static int posix_unlink(struct vfs *fs, const char *path)
{
    (void)fs;
    return unlink(path) < 0 ? -errno : 0;
}

static int posix_mkdir(struct vfs *fs, const char *path)
{
    (void)fs;
    return mkdir(path, DIR_MODE) < 0 ? -errno : 0;
}

static int posix_rmdir(struct vfs *fs, const char *path)
{
    (void)fs;
    return rmdir(path) < 0 ? -errno : 0;
}

static int posix_sync_dir(struct vfs *fs, const char *path)
{
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    (void)fs;
    if (fd < 0) {
        return fd;
    }
    do {
        rc = fsync(fd);
    } while (rc < 0 && errno == EINTR);
    rc = rc < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int posix_list(struct vfs *fs, const char *path, vfs_list_cb *cb,
                      void *arg)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    int rc;

    (void)fs;
    if (dir == NULL) {
        return -errno;
    }
    for (;;) {
        errno = 0;
        e = readdir(dir);
        if (e == NULL) {
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            cb(arg, e->d_name);
        }
    }
    rc = -errno;
    closedir(dir);
    return rc;
}

static const struct vfs_ops posix_ops = {
    .open = posix_open,
    .stat = posix_stat,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .rmdir = posix_rmdir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
};

struct vfs *vfs_posix(void)
{
    static struct vfs fs = {&posix_ops};

    return &fs;
}
