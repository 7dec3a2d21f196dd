/* The file seam's real form: the only file that opens, writes or syncs.
 *
 * An interrupted call is repeated and a short read or write is continued, so
 * that a caller sees all or an error. Nothing is retried after an error, least
 * of all a sync: the kernel marks pages clean when it fails to write them, and
 * the next sync would succeed without the data [reliability 3.2].
 *
 * A log and a bulk file are written past the system's cache, by a second
 * descriptor (O_DIRECT). A sync then has nothing left to write but what the
 * disk itself holds back, and no page is taken for what nobody reads again. The
 * disk takes whole blocks from aligned memory, so a write goes through a buffer
 * that has the rest of its first and its last block from the file. That costs
 * an appended file no read: the first block is still in the buffer, and the
 * last one is behind all that was ever written, where there are zeros. Where
 * the file then ends in half a block, the file is cut to its length. Reads,
 * locks, sizes and syncs are the first descriptor's; the kernel keeps the two
 * coherent.
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

/* What direct writes consist of. Disks with larger ones refuse them. */
#define BLOCK_BYTES ((size_t)4096)
/* The buffer of direct writes: of this size, and doubled as a write needs it. A
 * larger one is done in pieces. */
#define DIRECT_BYTES_MIN (64 * KiB)
#define DIRECT_BYTES_MAX (1 * MiB)
static_assert(DIRECT_BYTES_MIN % BLOCK_BYTES == 0, "whole blocks");
static_assert(DIRECT_BYTES_MAX % BLOCK_BYTES == 0, "whole blocks");

/* What a bulk file may have in the cache, if it has to go there, that is on its
 * way to the disk. */
#define BULK_BYTES (256 * KiB)

/* How a file is written past the cache. */
struct direct {
    int fd;           /* -1: it is not */
    bool has_worked;  /* a write has succeeded */
    bool is_measured; /* the next two are known */
    uint64_t size;    /* of the file */
    uint64_t used;    /* it is zeros from here on: a whole number of blocks */

    uint8_t *memory;
    uint8_t *blocks; /* `cap` bytes of it, aligned */
    size_t cap;
    uint64_t at; /* the first `len` of them are what the file has here */
    size_t len;
};

struct posix_file {
    struct vfs_file base;
    int fd;
    bool is_bulk;
    uint64_t on_disk; /* bulk: what is before it need not be waited for */
    uint64_t written; /* bulk: up to here */
    struct direct direct;
};

static struct posix_file *posix_file_of(struct vfs_file *f)
{
    return container_of(f, struct posix_file, base);
}

static int fd_of(struct vfs_file *f)
{
    return posix_file_of(f)->fd;
}

static int open_retrying(const char *path, int o)
{
    int fd;

    do {
        fd = open(path, o, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static void direct_close(struct direct *d)
{
    if (d->fd >= 0) {
        close(d->fd); /* what this close has to tell, a sync has told */
    }
    xfree(d->memory);
    *d = (struct direct){.fd = -1};
}

static int posix_close(struct vfs_file *f)
{
    struct posix_file *pf = posix_file_of(f);
    /* On Linux the descriptor is gone whatever close says, EINTR included;
     * closing again could hit another file. */
    int rc = close(pf->fd) < 0 && errno != EINTR ? -errno : 0;

    direct_close(&pf->direct);
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

static int64_t posix_size(struct vfs_file *f)
{
    struct stat st;

    return fstat(fd_of(f), &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int set_length(int fd, uint64_t len)
{
    int rc;

    do {
        rc = ftruncate(fd, (off_t)len);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
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

/* Through the cache. */
static int write_all(int fd, const struct iovec *iov, size_t n_iov,
                     uint64_t off)
{
    size_t skip = 0;

    for (;;) {
        while (n_iov > 0 && skip >= iov->iov_len) {
            skip -= iov->iov_len;
            iov++;
            n_iov--;
        }
        if (n_iov == 0) {
            ASSERT(skip == 0);
            return 0;
        }
        ssize_t n = write_some(fd, iov, n_iov, skip, off);
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

static size_t iov_bytes(const struct iovec *iov, size_t n_iov)
{
    size_t len = 0;

    for (size_t i = 0; i < n_iov; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

/* --- past the cache --- */

static uint64_t blocks_up(uint64_t len)
{
    return (len + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

/* What a failed call has left in the file, nobody knows. */
static void direct_forget(struct direct *d)
{
    d->is_measured = false;
    d->len = 0;
}

/* The file is `len` bytes long now. */
static void direct_resized(struct direct *d, uint64_t len)
{
    if (len < d->size) {
        d->used = min_u64(d->used, blocks_up(len));
        d->len = 0;
    }
    d->size = len;
}

/* Room for `len` bytes. What is in the buffer is lost. */
static void direct_reserve(struct direct *d, size_t len)
{
    size_t cap = d->cap > 0 ? d->cap : DIRECT_BYTES_MIN;

    ASSERT(len <= DIRECT_BYTES_MAX);
    d->len = 0;
    while (cap < len) {
        cap *= 2;
    }
    if (cap > d->cap) {
        size_t skip;

        xfree(d->memory);
        d->memory = xmalloc(cap + BLOCK_BYTES);
        skip = BLOCK_BYTES - (uintptr_t)d->memory % BLOCK_BYTES;
        d->blocks = d->memory + skip;
        d->cap = cap;
    }
}

/* The length of `len` bytes of blocks without those of zeros at their end. */
static size_t used_blocks(const uint8_t *p, size_t len)
{
    while (len > 0) {
        const uint8_t *last = p + len - BLOCK_BYTES;

        /* Equal to themselves shifted by one: all as the first. */
        if (last[0] != 0 || memcmp(last, last + 1, BLOCK_BYTES - 1) != 0) {
            break;
        }
        len -= BLOCK_BYTES;
    }
    return len;
}

/* Find the size of a file that was there before, and, from behind, where its
 * zeros begin. The reserved space of a log was not written to: reading it takes
 * no disk. */
static int direct_measure(struct posix_file *pf)
{
    struct direct *d = &pf->direct;
    int64_t size = posix_size(&pf->base);
    size_t used = 0;

    if (size < 0) {
        return (int)size;
    }
    direct_reserve(d, DIRECT_BYTES_MIN);
    d->size = (uint64_t)size;
    d->used = blocks_up(d->size);
    while (d->used > 0 && used == 0) {
        uint64_t off = (d->used - 1) / DIRECT_BYTES_MIN * DIRECT_BYTES_MIN;
        size_t len = (size_t)(d->used - off);
        int64_t n = posix_pread(&pf->base, d->blocks, len, off);

        if (n < 0) {
            return (int)n;
        }
        memset(d->blocks + n, 0, len - (size_t)n);
        used = used_blocks(d->blocks, len);
        d->used = off + used;
    }
    d->is_measured = true;
    return 0;
}

/* The block of the file at `off`; zeros behind its end. */
static int direct_load(struct posix_file *pf, uint64_t off, uint8_t *out)
{
    struct direct *d = &pf->direct;
    int64_t n = 0;

    ASSERT(off % BLOCK_BYTES == 0);
    if (off >= d->at && off < d->at + d->len) {
        memcpy(out, d->blocks + (off - d->at), BLOCK_BYTES);
        return 0;
    }
    if (off < d->used) {
        n = posix_pread(&pf->base, out, BLOCK_BYTES, off);
        if (n < 0) {
            return (int)n;
        }
    }
    memset(out + n, 0, BLOCK_BYTES - (size_t)n);
    return 0;
}

/* What is to be written and not yet in the buffer. */
struct source {
    const struct iovec *iov;
    size_t skip; /* of iov[0] */
};

static void source_take(struct source *s, uint8_t *to, size_t n)
{
    while (n > 0) {
        size_t part = (size_t)min_u64(n, s->iov->iov_len - s->skip);

        if (part > 0) {
            memcpy(to, (const uint8_t *)s->iov->iov_base + s->skip, part);
        }
        to += part;
        n -= part;
        s->skip += part;
        if (s->skip == s->iov->iov_len) {
            s->iov++;
            s->skip = 0;
        }
    }
}

/* Into the buffer: the blocks in which the next `n` bytes of `from` come to be
 * at `off`. */
static int direct_fill(struct posix_file *pf, struct source *from, uint64_t off,
                       size_t n)
{
    struct direct *d = &pf->direct;
    size_t head = (size_t)(off % BLOCK_BYTES);
    size_t len = (size_t)blocks_up(head + n);
    uint64_t at = off - head;
    uint8_t first[BLOCK_BYTES];
    uint8_t last[BLOCK_BYTES];
    int rc = 0;

    /* Both at once: the second may be in the buffer as well. */
    if (head > 0) {
        rc = direct_load(pf, at, first);
    }
    if (rc == 0 && head + n < len) {
        rc = direct_load(pf, at + len - BLOCK_BYTES, last);
    }
    if (rc < 0) {
        return rc;
    }
    direct_reserve(d, len);
    if (head > 0) {
        memcpy(d->blocks, first, BLOCK_BYTES);
    }
    if (head + n < len) {
        memcpy(d->blocks + len - BLOCK_BYTES, last, BLOCK_BYTES);
    }
    source_take(from, d->blocks + head, n);
    d->at = at;
    d->len = len;
    return 0;
}

/* Write the buffer, of which the file is to have what comes before `end`. */
static int direct_put(struct posix_file *pf, uint64_t off, uint64_t end)
{
    struct direct *d = &pf->direct;
    uint64_t size = max_u64(d->size, end);
    uint64_t done;
    ssize_t n;
    int rc = 0;

    do {
        n = pwrite(d->fd, d->blocks, d->len, (off_t)d->at);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return n < 0 ? -errno : -EIO;
    }
    d->has_worked = true;
    done = d->at + (uint64_t)n;
    if (done < end) {
        /* At a limit of sizes, say. There may be no whole block that can be
         * written, so the rest is not for this descriptor. */
        uint64_t rest = max_u64(done, off);
        struct iovec iov = {d->blocks + (rest - d->at), (size_t)(end - rest)};

        rc = write_all(pf->fd, &iov, 1, rest);
    } else if (done > size) {
        rc = set_length(pf->fd, size);
    }
    if (rc < 0) {
        return rc;
    }
    d->size = size;
    d->used = max_u64(d->used, d->at + used_blocks(d->blocks, d->len));
    return 0;
}

/* If the first write is refused there is no direct descriptor any more, and
 * nothing has been written. */
static int direct_pwritev(struct posix_file *pf, const struct iovec *iov,
                          size_t n_iov, uint64_t off)
{
    struct direct *d = &pf->direct;
    struct source from = {.iov = iov};
    uint64_t end = off + iov_bytes(iov, n_iov);
    int rc = d->is_measured ? 0 : direct_measure(pf);

    while (rc == 0 && off < end) {
        size_t room = DIRECT_BYTES_MAX - (size_t)(off % BLOCK_BYTES);
        size_t n = (size_t)min_u64(room, end - off);

        rc = direct_fill(pf, &from, off, n);
        if (rc == 0) {
            rc = direct_put(pf, off, off + n);
        }
        off += n;
    }
    if (rc < 0) {
        direct_forget(d);
    }
    if (rc == -EINVAL && !d->has_worked) {
        direct_close(d);
    }
    return rc;
}

static void direct_open(struct posix_file *pf, const char *path)
{
    struct stat st;
    struct stat same;
    int fd = open_retrying(path, O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        return;
    }
    if (fstat(pf->fd, &st) < 0 || fstat(fd, &same) < 0 ||
        !S_ISREG(st.st_mode) || st.st_dev != same.st_dev ||
        st.st_ino != same.st_ino) {
        close(fd);
        return;
    }
    /* Of an empty file the size is known, and that nothing is used. */
    pf->direct = (struct direct){.fd = fd, .is_measured = st.st_size == 0};
}

static int posix_pwritev(struct vfs_file *f, const struct iovec *iov,
                         size_t n_iov, uint64_t off)
{
    struct posix_file *pf = posix_file_of(f);
    int rc;

    if (pf->direct.fd >= 0) {
        rc = direct_pwritev(pf, iov, n_iov, off);
        if (pf->direct.fd >= 0) {
            return rc;
        }
    }
    rc = write_all(pf->fd, iov, n_iov, off);
    if (rc == 0 && pf->is_bulk) {
        pf->written = off + iov_bytes(iov, n_iov);
        rc = write_out(pf);
    }
    return rc;
}

static int posix_datasync(struct vfs_file *f)
{
    int rc;

    do {
        rc = fdatasync(fd_of(f));
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static int posix_truncate(struct vfs_file *f, uint64_t len)
{
    struct posix_file *pf = posix_file_of(f);
    int rc = set_length(pf->fd, len);

    if (rc < 0) {
        direct_forget(&pf->direct);
        return rc;
    }
    direct_resized(&pf->direct, len);
    return 0;
}

static int posix_allocate(struct vfs_file *f, uint64_t len)
{
    struct direct *d = &posix_file_of(f)->direct;
    int64_t size;
    int rc;

    do {
        rc = fallocate(fd_of(f), 0, 0, (off_t)len);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0) {
        direct_resized(d, max_u64(d->size, len));
        return 0;
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS) {
        rc = -errno;
        direct_forget(d);
        return rc;
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

/* With one of these a file is written past the cache. */
#define DIRECT_FLAGS (VFS_LOG | VFS_BULK)

static int open_flags(int flags)
{
    int o = O_CLOEXEC | O_NOCTTY;

    ASSERT((flags & (VFS_READ | VFS_WRITE)) != 0);
    if ((flags & VFS_WRITE) != 0) {
        /* Blocks are read to be written. */
        o |= (flags & (VFS_READ | DIRECT_FLAGS)) != 0 ? O_RDWR : O_WRONLY;
    } else {
        o |= O_RDONLY;
    }
    o |= (flags & VFS_CREATE) != 0 ? O_CREAT : 0;
    o |= (flags & VFS_EXCL) != 0 ? O_EXCL : 0;
    o |= (flags & VFS_TRUNC) != 0 ? O_TRUNC : 0;
    return o;
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
                              .is_bulk = (flags & VFS_BULK) != 0,
                              .direct.fd = -1};
    if ((flags & VFS_WRITE) != 0 && (flags & DIRECT_FLAGS) != 0) {
        direct_open(pf, path);
    }
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
