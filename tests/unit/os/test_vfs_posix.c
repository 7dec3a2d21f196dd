/* Goal: the real files behave as the seam says: modes, flags, whole reads and
 * writes, locks that a second descriptor and a second process see; and a log,
 * which is written past the cache, is at each step what any other file would
 * be. Method: a temporary directory, removed at the end; a log and a plain
 * file to which the same is done. */

#include "src/os/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

static char DIR_PATH[64];

static char *in_dir(const char *name)
{
    return vfs_join(DIR_PATH, name);
}

static int make_dir(void **state)
{
    const char *base = getenv("TMPDIR");

    (void)state;
    assert_in_range(snprintf(DIR_PATH, sizeof(DIR_PATH), "%s/vfs-XXXXXX",
                             base != NULL && strlen(base) < 40 ? base : "/tmp"),
                    1, sizeof(DIR_PATH) - 1);
    return mkdtemp(DIR_PATH) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    struct vfs *fs = vfs_posix();
    struct vfs_names names;

    (void)state;
    if (vfs_list_sorted(fs, DIR_PATH, &names) < 0) {
        return -1;
    }
    for (size_t i = 0; i < names.n; i++) {
        char *path = in_dir(names.names[i]);

        if (vfs_unlink(fs, path) < 0) {
            vfs_rmdir(fs, path);
        }
        xfree(path);
    }
    vfs_names_release(&names);
    return vfs_rmdir(fs, DIR_PATH);
}

static struct vfs_file *open_new(const char *path)
{
    struct vfs_file *f;

    assert_int_equal(vfs_open(vfs_posix(), path,
                              VFS_READ | VFS_WRITE | VFS_CREATE | VFS_TRUNC,
                              &f),
                     0);
    return f;
}

static void test_modes(void **state)
{
    char *file = in_dir("mode");
    char *dir = in_dir("mode.d");
    struct stat st;
    mode_t old = umask(0);

    (void)state;
    vfs_close(open_new(file));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(vfs_mkdir(vfs_posix(), dir), 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    umask(old);
    xfree(file);
    xfree(dir);
}

static void test_open_flags(void **state)
{
    struct vfs *fs = vfs_posix();
    char *path = in_dir("flags");
    struct vfs_file *f;

    (void)state;
    assert_int_equal(vfs_open(fs, path, VFS_READ, &f), -ENOENT);
    assert_int_equal(vfs_open(fs, path, VFS_WRITE | VFS_CREATE | VFS_EXCL, &f),
                     0);
    assert_int_equal(vfs_pwrite(f, "abc", 3, 0), 0);
    vfs_close(f);
    assert_int_equal(vfs_open(fs, path, VFS_WRITE | VFS_CREATE | VFS_EXCL, &f),
                     -EEXIST);
    assert_int_equal(vfs_open(fs, path, VFS_WRITE | VFS_CREATE, &f), 0);
    assert_int_equal(vfs_size(f), 3);
    vfs_close(f);
    assert_int_equal(vfs_open(fs, path, VFS_WRITE | VFS_TRUNC, &f), 0);
    assert_int_equal(vfs_size(f), 0);
    vfs_close(f);
    xfree(path);
}

/* Of those that are open, so many have the flags. */
static int count_descriptors(int flags)
{
    int n = 0;

    for (int fd = 3; fd < 64; fd++) {
        int has = fcntl(fd, F_GETFD);

        n += has >= 0 && (has & flags) == flags ? 1 : 0;
    }
    return n;
}

static struct vfs_file *open_log(const char *path)
{
    struct vfs_file *f;

    assert_int_equal(vfs_open(vfs_posix(), path,
                              VFS_READ | VFS_WRITE | VFS_CREATE | VFS_LOG, &f),
                     0);
    return f;
}

static void test_descriptors_are_not_inherited(void **state)
{
    char *path = in_dir("cloexec");
    int all = count_descriptors(0);
    int n = count_descriptors(FD_CLOEXEC);
    struct vfs_file *f = open_new(path);
    struct vfs_file *log = open_log(path);
    int added = count_descriptors(0) - all;

    (void)state;
    assert_in_range(added, 2, 3); /* a log may have two */
    assert_int_equal(count_descriptors(FD_CLOEXEC), n + added);
    vfs_close(log);
    vfs_close(f);
    assert_int_equal(count_descriptors(0), all);
    xfree(path);
}

static void test_read_and_write(void **state)
{
    char *path = in_dir("rw");
    struct vfs_file *f = open_new(path);
    struct iovec iov[] = {
        {(void *)(uintptr_t) "one ", 4},
        {NULL, 0},
        {(void *)(uintptr_t) "two ", 4},
        {(void *)(uintptr_t) "three", 5},
    };
    char got[32];

    (void)state;
    assert_int_equal(vfs_pwritev(f, iov, ARRAY_LEN(iov), 100), 0);
    assert_int_equal(vfs_pwritev(f, iov, 0, 500), 0);
    assert_int_equal(vfs_pwrite(f, "", 0, 500), 0);
    assert_int_equal(vfs_size(f), 113);
    assert_int_equal(vfs_pread(f, got, sizeof(got), 98), 15);
    assert_memory_equal(got, "\0\0one two three", 15);
    assert_int_equal(vfs_pread(f, got, sizeof(got), 113), 0);
    assert_int_equal(vfs_pread(f, got, sizeof(got), 5000), 0);
    assert_int_equal(vfs_datasync(f), 0);
    vfs_close(f);
    xfree(path);
}

/* More pieces than one system call takes. */
static void test_many_pieces(void **state)
{
    char *path = in_dir("many");
    struct vfs_file *f = open_new(path);
    struct iovec iov[3000];
    uint8_t byte[256];
    uint8_t *got = xmalloc(ARRAY_LEN(iov));

    (void)state;
    for (size_t i = 0; i < sizeof(byte); i++) {
        byte[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(iov); i++) {
        iov[i] = (struct iovec){&byte[i * 7 % 256], 1};
    }
    assert_int_equal(vfs_pwritev(f, iov, ARRAY_LEN(iov), 0), 0);
    assert_int_equal(vfs_pread(f, got, ARRAY_LEN(iov), 0), ARRAY_LEN(iov));
    for (size_t i = 0; i < ARRAY_LEN(iov); i++) {
        assert_int_equal(got[i], i * 7 % 256);
    }
    vfs_close(f);
    xfree(got);
    xfree(path);
}

/* Of the first `len` bytes, so many pages are in the system's cache. */
static size_t cached_pages(const char *path, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *in = xcalloc(len / page, 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    size_t n = 0;

    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mincore(map, len, in), 0);
    for (size_t i = 0; i < len / page; i++) {
        n += in[i] & 1;
    }
    munmap(map, len);
    close(fd);
    xfree(in);
    return n;
}

#define PIECES      ((size_t)84)
#define PIECE_BYTES ((size_t)100000)

static struct vfs_file *create(const char *path, int flags)
{
    struct vfs_file *f;

    assert_int_equal(
        vfs_open(vfs_posix(), path, VFS_WRITE | VFS_CREATE | flags, &f), 0);
    return f;
}

/* More than 8 MiB into a new file, which is closed; each piece is synced. */
static void write_pieces(struct vfs_file *f)
{
    uint8_t *piece = xmalloc(PIECE_BYTES);

    for (size_t i = 0; i < PIECES; i++) {
        memset(piece, (int)i, PIECE_BYTES);
        assert_int_equal(vfs_pwrite(f, piece, PIECE_BYTES, i * PIECE_BYTES), 0);
        assert_int_equal(vfs_datasync(f), 0);
    }
    assert_int_equal(vfs_close(f), 0);
    xfree(piece);
}

/* Whether the disk under the directory can be written to past the cache: some
 * file systems refuse, and some only seem to do it. */
static bool can_pass_the_cache(void)
{
    char *path = in_dir("probe");
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    uint8_t *memory = xcalloc(3, 4096);
    uint8_t *block = memory + 4096 - (uintptr_t)memory % 4096;
    bool can = fd >= 0 && pwrite(fd, block, 4096, 0) == 4096 &&
               cached_pages(path, 4096) == 0;

    if (fd >= 0) {
        close(fd);
    }
    xfree(memory);
    xfree(path);
    return can;
}

/* What write_pieces wrote is there. */
static void expect_pieces(const char *path)
{
    struct vfs_file *f;
    uint8_t byte;

    assert_int_equal(vfs_open(vfs_posix(), path, VFS_READ, &f), 0);
    assert_int_equal(vfs_size(f), PIECES * PIECE_BYTES);
    for (size_t off = 0; off < PIECES * PIECE_BYTES; off += PIECE_BYTES / 2) {
        assert_int_equal(vfs_pread(f, &byte, 1, off), 1);
        assert_int_equal(byte, off / PIECE_BYTES);
    }
    vfs_close(f);
}

static void test_log_is_all_there(void **state)
{
    char *path = in_dir("log");

    (void)state;
    write_pieces(create(path, VFS_LOG));
    expect_pieces(path);
    xfree(path);
}

static void test_logs_and_bulk_pass_the_cache(void **state)
{
    char *path = in_dir("past");

    (void)state;
    if (!can_pass_the_cache()) {
        print_message("skipped: %s cannot be written past the cache\n",
                      DIR_PATH);
        xfree(path);
        skip();
    }
    write_pieces(create(path, VFS_LOG));
    assert_int_equal(cached_pages(path, 8 * MiB), 0);
    write_pieces(create(path, VFS_BULK | VFS_TRUNC));
    assert_int_equal(cached_pages(path, 8 * MiB), 0);
    xfree(path);
}

static void test_bulk_is_all_there(void **state)
{
    char *path = in_dir("bulk");

    (void)state;
    write_pieces(create(path, VFS_BULK));
    expect_pieces(path);
    xfree(path);
}

/* --- a log beside a file to which the same is done --- */

#define TWIN_BYTES_MAX (3 * MiB)

struct twins {
    char *log_path;
    char *plain_path;
    struct vfs_file *log;
    struct vfs_file *plain;
    struct rng rng;
    uint64_t end; /* of the last write */
    uint8_t *data;
    uint8_t *got[2];
};

static void twins_init(struct twins *t, const char *name, uint64_t seed)
{
    char *plain = xasprintf("%s.plain", name);

    *t = (struct twins){.log_path = in_dir(name), .plain_path = in_dir(plain)};
    t->log = open_log(t->log_path);
    t->plain = open_new(t->plain_path);
    t->data = xmalloc(TWIN_BYTES_MAX);
    t->got[0] = xmalloc(TWIN_BYTES_MAX);
    t->got[1] = xmalloc(TWIN_BYTES_MAX);
    rng_seed(&t->rng, seed);
    xfree(plain);
}

static void twins_release(struct twins *t)
{
    assert_int_equal(vfs_close(t->log), 0);
    assert_int_equal(vfs_close(t->plain), 0);
    vfs_unlink(vfs_posix(), t->log_path);
    vfs_unlink(vfs_posix(), t->plain_path);
    xfree(t->log_path);
    xfree(t->plain_path);
    xfree(t->data);
    xfree(t->got[0]);
    xfree(t->got[1]);
}

/* Byte for byte, and in length. */
static void twins_compare(struct twins *t)
{
    int64_t size = vfs_size(t->plain);

    assert_in_range(size, 0, TWIN_BYTES_MAX);
    assert_int_equal(vfs_size(t->log), size);
    assert_int_equal(vfs_pread(t->plain, t->got[0], TWIN_BYTES_MAX, 0), size);
    assert_int_equal(vfs_pread(t->log, t->got[1], TWIN_BYTES_MAX, 0), size);
    /* A failed assert_memory_equal would print every byte. */
    assert_int_equal(memcmp(t->got[0], t->got[1], (size_t)size), 0);
}

/* In up to four pieces, of which some are empty. The last `zeros` bytes are
 * zero. */
static void twins_write(struct twins *t, uint64_t off, size_t len, size_t zeros)
{
    struct iovec iov[4];
    size_t done = 0;

    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t v = rng_next(&t->rng);

        memcpy(t->data + i, &v, (size_t)min_u64(sizeof(v), len - i));
    }
    memset(t->data + len - zeros, 0, zeros);
    for (size_t i = 0; i < ARRAY_LEN(iov); i++) {
        size_t part = (size_t)rng_below(&t->rng, len - done + 1);

        part = i == ARRAY_LEN(iov) - 1 ? len - done : part;
        iov[i] = (struct iovec){part > 0 ? t->data + done : NULL, part};
        done += part;
    }
    assert_int_equal(vfs_pwritev(t->plain, iov, ARRAY_LEN(iov), off), 0);
    assert_int_equal(vfs_pwritev(t->log, iov, ARRAY_LEN(iov), off), 0);
    t->end = off + len;
    twins_compare(t);
}

static void twins_truncate(struct twins *t, uint64_t len)
{
    assert_int_equal(vfs_truncate(t->plain, len), 0);
    assert_int_equal(vfs_truncate(t->log, len), 0);
    twins_compare(t);
}

static void twins_allocate(struct twins *t, uint64_t len)
{
    assert_int_equal(vfs_allocate(t->plain, len), 0);
    assert_int_equal(vfs_allocate(t->log, len), 0);
    twins_compare(t);
}

static void twins_reopen(struct twins *t)
{
    assert_int_equal(vfs_close(t->log), 0);
    t->log = open_log(t->log_path);
    twins_compare(t);
}

static void test_log_appended_to_in_small_pieces(void **state)
{
    static const size_t lens[] = {1,    7,    500,  4088, 8,    4096, 1,
                                  4095, 4097, 4095, 12,   8192, 3};
    struct twins t;

    (void)state;
    twins_init(&t, "small", 1);
    for (size_t i = 0; i < 10 * ARRAY_LEN(lens); i++) {
        twins_write(&t, t.end, lens[i % ARRAY_LEN(lens)], 0);
    }
    twins_release(&t);
}

/* As the log does: the space is reserved, small groups have zeros behind them,
 * the next one begins where these do, and at the end what is left is cut. */
static void test_log_in_reserved_space(void **state)
{
    struct twins t;
    uint64_t off = 0;

    (void)state;
    twins_init(&t, "reserved", 2);
    twins_allocate(&t, 1000000);
    for (size_t i = 0; i < 100; i++) {
        size_t len = 8 * (size_t)(1 + rng_below(&t.rng, 900));
        size_t zeros = i % 8 == 0 ? 128 * KiB : 0;

        twins_write(&t, off, len + zeros, zeros);
        off += len;
    }
    twins_truncate(&t, off);
    twins_write(&t, off, 100, 0);
    twins_release(&t);
}

static void test_log_written_across_its_end(void **state)
{
    struct twins t;

    (void)state;
    twins_init(&t, "end", 3);
    twins_allocate(&t, 10001);
    twins_write(&t, 9000, 100, 0);   /* in the last block */
    twins_write(&t, 9990, 11, 0);    /* up to the end */
    twins_write(&t, 9995, 7, 0);     /* over it by one */
    twins_write(&t, 12288, 0, 0);    /* nothing */
    twins_write(&t, 20000, 5, 0);    /* behind it, with a gap */
    twins_write(&t, 12287, 4098, 0); /* in the gap */
    twins_release(&t);
}

static void test_log_write_larger_than_the_buffer(void **state)
{
    struct twins t;

    (void)state;
    twins_init(&t, "large", 4);
    twins_write(&t, 0, 100, 0);
    twins_write(&t, 100, 2 * MiB + 12345, 0);
    twins_write(&t, t.end, 70000, 0);
    twins_write(&t, 3, 1 * MiB, 0);
    twins_write(&t, 4096, 1 * MiB, 0);
    twins_release(&t);
}

static long blocks_read(void)
{
    struct rusage used;

    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return used.ru_inblock;
}

/* `n` groups at `off`, behind which there are zeros now and then; where they
 * end. */
static uint64_t append_groups(struct vfs_file *f, uint64_t off, size_t n)
{
    static const uint8_t zeros[128 * KiB];
    uint8_t bytes[1000];

    memset(bytes, 7, sizeof(bytes));
    for (size_t i = 0; i < n; i++) {
        struct iovec iov[] = {
            {bytes, sizeof(bytes)},
            {(void *)(uintptr_t)zeros, i % 50 == 0 ? sizeof(zeros) : 0},
        };

        assert_int_equal(vfs_pwritev(f, iov, ARRAY_LEN(iov), off), 0);
        off += sizeof(bytes);
    }
    return off;
}

/* The blocks that this process reads for appending 100 groups, the least of
 * some times: that of the log it would read each time, a page of the program
 * itself, which counts too, at most once. */
static long blocks_read_for_groups(struct vfs_file *f, uint64_t *off)
{
    long least = LONG_MAX;

    for (int i = 0; i < 5; i++) {
        long before = blocks_read();
        long n;

        *off = append_groups(f, *off, 100);
        n = blocks_read() - before;
        least = n < least ? n : least;
    }
    return least;
}

/* To fill a block up, its beginning is needed, which is not in the cache. When
 * the log is opened again it is read, but once. */
static void test_log_appended_to_is_not_read(void **state)
{
    char *path = in_dir("unread");
    struct vfs_file *f = open_log(path);
    uint64_t off = 0;

    (void)state;
    assert_int_equal(vfs_allocate(f, 2000000), 0);
    assert_int_equal(blocks_read_for_groups(f, &off), 0);
    vfs_close(f);

    f = open_log(path);
    off = append_groups(f, off, 1);
    assert_int_equal(blocks_read_for_groups(f, &off), 0);
    assert_int_equal(off, 1001000);
    assert_int_equal(vfs_size(f), 2000000);
    vfs_close(f);
    xfree(path);
}

/* The last group of a log is written again when it is opened. */
static void test_log_rewritten_keeps_what_is_behind(void **state)
{
    struct twins t;

    (void)state;
    twins_init(&t, "again", 5);
    twins_write(&t, 0, 300001, 0);
    twins_reopen(&t);
    twins_write(&t, 4100, 100, 0);
    twins_write(&t, 4200, 70000, 0);
    twins_write(&t, 1, 1, 0);
    twins_release(&t);
}

static void test_log_opened_again_inside_a_block(void **state)
{
    struct twins t;

    (void)state;
    twins_init(&t, "reopened", 6);
    for (size_t i = 0; i < 20; i++) {
        twins_write(&t, t.end, 1000 * i + 1, 0);
        if (i % 3 == 0) {
            twins_allocate(&t, t.end + 200000);
        }
        twins_reopen(&t);
    }
    twins_release(&t);
}

static uint64_t random_offset(struct twins *t, uint64_t max)
{
    uint64_t size = (uint64_t)vfs_size(t->plain);

    switch (rng_below(&t->rng, 4)) {
    case 0: /* near the end of the file */
        size += rng_below(&t->rng, 9000);
        return min_u64(max, size > 5000 ? size - 5000 : 0);
    case 1:
        return rng_below(&t->rng, max + 1);
    default:
        return min_u64(max, t->end);
    }
}

static void random_step(struct twins *t)
{
    static const size_t kinds[] = {100, 5000, 5000, 70000, 1300000};
    size_t kind = kinds[rng_below(&t->rng, ARRAY_LEN(kinds))];
    size_t len = (size_t)rng_below(&t->rng, kind);
    uint64_t off = random_offset(t, TWIN_BYTES_MAX - len);

    if (rng_below(&t->rng, 4) == 0) {
        off -= off % 4096;
        len -= len % 4096;
    }
    switch (rng_below(&t->rng, 16)) {
    case 0:
        twins_truncate(t, off);
        break;
    case 1:
        twins_allocate(t, off + 1);
        break;
    case 2:
        twins_reopen(t);
        break;
    case 3:
        assert_int_equal(vfs_datasync(t->log), 0);
        break;
    default:
        twins_write(t, off, len,
                    rng_below(&t->rng, 2) == 0 ? rng_below(&t->rng, len + 1)
                                               : 0);
        break;
    }
}

static void test_log_is_as_any_file(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 106; seed++) {
        struct twins t;

        print_message("seed %" PRIu64 "\n", seed);
        twins_init(&t, "random", seed);
        for (size_t i = 0; i < 100; i++) {
            random_step(&t);
        }
        twins_release(&t);
    }
}

/* A file that cannot be written to past the cache is written as any other. */
static void test_log_where_direct_writes_are_refused(void **state)
{
    struct vfs_file *f;

    (void)state;
    if (open("/dev/full", O_WRONLY | O_DIRECT | O_CLOEXEC) >= 0 ||
        errno != EINVAL) {
        skip();
    }
    assert_int_equal(
        vfs_open(vfs_posix(), "/dev/full", VFS_WRITE | VFS_LOG, &f), 0);
    assert_int_equal(vfs_pwrite(f, "abc", 3, 0), -ENOSPC);
    assert_int_equal(vfs_close(f), 0);
}

/* --- limits --- */

static bool set_limit(rlim_t bytes)
{
    return setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, RLIM_INFINITY}) == 0;
}

/* A limit on the file's size makes the kernel write a part and then refuse.
 * Without it the file can be written to again, and behind that part there is
 * nothing of the rest. */
static bool stops_at(struct vfs_file *f, rlim_t limit)
{
    uint8_t bytes[4096];
    struct iovec iov[] = {{bytes, sizeof(bytes)}, {bytes, sizeof(bytes)}};
    uint8_t got[2 * sizeof(bytes)];

    memset(bytes, 7, sizeof(bytes));
    if (!set_limit(limit) || vfs_pwritev(f, iov, 2, 0) != -EFBIG ||
        vfs_size(f) != (int64_t)limit || !set_limit(RLIM_INFINITY) ||
        vfs_pwrite(f, "abc", 3, limit + 5) != 0 ||
        vfs_size(f) != (int64_t)limit + 8 ||
        vfs_pread(f, got, sizeof(got), 0) != (int64_t)limit + 8) {
        return false;
    }
    for (size_t i = 0; i < limit; i++) {
        if (got[i] != 7) {
            return false;
        }
    }
    return memcmp(got + limit, "\0\0\0\0\0abc", 8) == 0;
}

/* Of a log the first is refused before anything is written, as on a disk with
 * larger blocks; of the second a part is written. */
static void test_write_that_does_not_fit(void **state)
{
    static const struct {
        int flags;
        rlim_t limit;
    } cases[] = {
        {0, 5000},       {VFS_LOG, 5000},  {VFS_LOG, 5120},
        {VFS_LOG, 4096}, {VFS_BULK, 5000},
    };
    char *path = in_dir("limit");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
            struct vfs_file *f;

            _exit(signal(SIGXFSZ, SIG_IGN) != SIG_ERR &&
                          vfs_open(vfs_posix(), path,
                                   VFS_READ | VFS_WRITE | VFS_CREATE |
                                       VFS_TRUNC | cases[i].flags,
                                   &f) == 0 &&
                          stops_at(f, cases[i].limit)
                      ? 0
                      : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    xfree(path);
}

/* A bulk file whose direct descriptor was refused at once goes on without. */
static void test_bulk_through_the_cache(void **state)
{
    char *path = in_dir("refused");
    struct vfs_file *f = create(path, VFS_BULK);
    uint8_t bytes[8192] = {0};

    (void)state;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_true(set_limit(5000));
    assert_int_equal(vfs_pwrite(f, bytes, sizeof(bytes), 0), -EFBIG);
    assert_true(set_limit(RLIM_INFINITY));
    write_pieces(f);
    expect_pieces(path);
    if (can_pass_the_cache()) {
        assert_true(cached_pages(path, 8 * MiB) > 0);
    }
    xfree(path);
}

static void test_truncate_and_allocate(void **state)
{
    char *path = in_dir("size");
    struct vfs_file *f = open_new(path);
    char got[16];

    (void)state;
    assert_int_equal(vfs_pwrite(f, "0123456789", 10, 0), 0);
    assert_int_equal(vfs_truncate(f, 4), 0);
    assert_int_equal(vfs_truncate(f, 8), 0);
    assert_int_equal(vfs_pread(f, got, sizeof(got), 0), 8);
    assert_memory_equal(got, "0123\0\0\0\0", 8);
    assert_int_equal(vfs_allocate(f, 100000), 0);
    assert_int_equal(vfs_size(f), 100000);
    assert_int_equal(vfs_allocate(f, 50), 0); /* never shorter */
    assert_int_equal(vfs_size(f), 100000);
    assert_int_equal(vfs_pread(f, got, 4, 0), 4);
    assert_memory_equal(got, "0123", 4);
    vfs_close(f);
    xfree(path);
}

static bool is_locked_for_a_child(const char *path)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct vfs_file *f;

        _exit(vfs_open(vfs_posix(), path, VFS_READ | VFS_WRITE, &f) == 0 &&
                      vfs_lock(f) == ERR_LOCKED
                  ? 1
                  : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 1;
}

static void test_lock(void **state)
{
    struct vfs *fs = vfs_posix();
    char *path = in_dir("lock");
    char *moved = in_dir("lock.moved");
    struct vfs_file *f = open_new(path);
    struct vfs_file *g;

    (void)state;
    assert_int_equal(vfs_lock(f), 0);
    assert_int_equal(vfs_open(fs, path, VFS_READ | VFS_WRITE, &g), 0);
    assert_int_equal(vfs_lock(g), ERR_LOCKED);
    assert_true(is_locked_for_a_child(path));
    /* It belongs to the open file, whatever its name. */
    assert_int_equal(vfs_rename(fs, path, moved), 0);
    assert_true(is_locked_for_a_child(moved));
    vfs_close(f);
    assert_int_equal(vfs_lock(g), 0);
    vfs_close(g);
    assert_false(is_locked_for_a_child(moved));
    xfree(path);
    xfree(moved);
}

static void test_names(void **state)
{
    struct vfs *fs = vfs_posix();
    char *dir = in_dir("names.d");
    char *file = vfs_join(dir, "b");
    char *other = vfs_join(dir, "a");
    enum vfs_kind kind;
    struct vfs_names names;

    (void)state;
    assert_int_equal(vfs_stat(fs, dir, &kind), -ENOENT);
    assert_false(vfs_exists(fs, dir));
    assert_int_equal(vfs_mkdir(fs, dir), 0);
    assert_int_equal(vfs_mkdir(fs, dir), -EEXIST);
    assert_int_equal(vfs_stat(fs, dir, &kind), 0);
    assert_int_equal(kind, VFS_DIR);
    vfs_close(open_new(file));
    assert_int_equal(vfs_stat(fs, file, &kind), 0);
    assert_int_equal(kind, VFS_FILE);
    assert_int_equal(vfs_stat(fs, "/dev/null", &kind), 0);
    assert_int_equal(kind, VFS_OTHER);
    assert_int_equal(vfs_rename(fs, file, other), 0);
    vfs_close(open_new(file));
    assert_int_equal(vfs_sync_dir(fs, dir), 0);
    assert_int_equal(vfs_list_sorted(fs, dir, &names), 0);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.names[0], "a");
    assert_string_equal(names.names[1], "b");
    vfs_names_release(&names);
    assert_true(vfs_rmdir(fs, dir) < 0);
    assert_int_equal(vfs_unlink(fs, file), 0);
    assert_int_equal(vfs_unlink(fs, file), -ENOENT);
    assert_int_equal(vfs_unlink(fs, other), 0);
    assert_int_equal(vfs_rmdir(fs, dir), 0);
    assert_int_equal(vfs_sync_dir(fs, dir), -ENOENT);
    assert_int_equal(vfs_list_sorted(fs, dir, &names), -ENOENT);
    assert_int_equal(vfs_rename(fs, file, other), -ENOENT);
    assert_true(vfs_exists(fs, "/dev/null/x")); /* ENOTDIR is not "absent" */
    xfree(file);
    xfree(other);
    xfree(dir);
}

static void test_close_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(vfs_close(NULL), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_open_flags),
        cmocka_unit_test(test_descriptors_are_not_inherited),
        cmocka_unit_test(test_read_and_write),
        cmocka_unit_test(test_many_pieces),
        cmocka_unit_test(test_log_is_all_there),
        cmocka_unit_test(test_logs_and_bulk_pass_the_cache),
        cmocka_unit_test(test_bulk_is_all_there),
        cmocka_unit_test(test_log_appended_to_in_small_pieces),
        cmocka_unit_test(test_log_in_reserved_space),
        cmocka_unit_test(test_log_written_across_its_end),
        cmocka_unit_test(test_log_write_larger_than_the_buffer),
        cmocka_unit_test(test_log_appended_to_is_not_read),
        cmocka_unit_test(test_log_rewritten_keeps_what_is_behind),
        cmocka_unit_test(test_log_opened_again_inside_a_block),
        cmocka_unit_test(test_log_is_as_any_file),
        cmocka_unit_test(test_log_where_direct_writes_are_refused),
        cmocka_unit_test(test_write_that_does_not_fit),
        cmocka_unit_test(test_bulk_through_the_cache),
        cmocka_unit_test(test_truncate_and_allocate),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_close_of_nothing),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
