/* Goal: the real files behave as the seam says: modes, flags, whole reads and
 * writes, locks that a second descriptor and a second process see. Method: a
 * temporary directory, removed at the end. */

#include "src/os/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
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

static void test_descriptors_are_not_inherited(void **state)
{
    char *path = in_dir("cloexec");
    struct vfs_file *f = open_new(path);
    int n = 0;

    (void)state;
    for (int fd = 3; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);

        n += flags >= 0 && (flags & FD_CLOEXEC) != 0 ? 1 : 0;
    }
    assert_true(n >= 1);
    vfs_close(f);
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

/* More than 8 MiB, in a new file at `path`; each piece is synced. */
static void write_pieces(const char *path, int flags)
{
    uint8_t *piece = xmalloc(PIECE_BYTES);
    struct vfs_file *f;

    assert_int_equal(
        vfs_open(vfs_posix(), path, VFS_WRITE | VFS_CREATE | flags, &f), 0);
    for (size_t i = 0; i < PIECES; i++) {
        memset(piece, (int)i, PIECE_BYTES);
        assert_int_equal(vfs_pwrite(f, piece, PIECE_BYTES, i * PIECE_BYTES), 0);
        assert_int_equal(vfs_datasync(f), 0);
    }
    assert_int_equal(vfs_close(f), 0);
    xfree(piece);
}

static bool cache_takes_advice(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = posix_fadvise(fd, 0, 4 * MiB, POSIX_FADV_DONTNEED);

    close(fd);
    return rc == 0 && cached_pages(path, 4 * MiB) == 0;
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

/* A log is there to the last byte, but not in the cache. */
static void test_log_leaves_the_cache(void **state)
{
    char *plain = in_dir("plain");
    char *path = in_dir("log");

    (void)state;
    write_pieces(path, VFS_LOG);
    write_pieces(plain, 0);
    if (cache_takes_advice(plain)) {
        assert_in_range(cached_pages(path, 4 * MiB), 0, 4 * MiB / 4096 / 4);
    }
    expect_pieces(path);
    xfree(plain);
    xfree(path);
}

static void test_bulk_is_all_there(void **state)
{
    char *path = in_dir("bulk");

    (void)state;
    write_pieces(path, VFS_BULK);
    expect_pieces(path);
    xfree(path);
}

/* A limit on the file's size makes the kernel write a part and then refuse. */
static void test_write_that_does_not_fit(void **state)
{
    char *path = in_dir("limit");
    pid_t pid = fork();
    int status;

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        struct vfs_file *f = open_new(path);
        uint8_t zeros[4096] = {0};
        struct iovec iov[] = {{zeros, sizeof(zeros)}, {zeros, sizeof(zeros)}};
        bool ok;

        ok = signal(SIGXFSZ, SIG_IGN) != SIG_ERR &&
             setrlimit(RLIMIT_FSIZE, &(struct rlimit){5000, 5000}) == 0 &&
             vfs_pwritev(f, iov, 2, 0) == -EFBIG && vfs_size(f) == 5000;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
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
        cmocka_unit_test(test_log_leaves_the_cache),
        cmocka_unit_test(test_bulk_is_all_there),
        cmocka_unit_test(test_write_that_does_not_fit),
        cmocka_unit_test(test_truncate_and_allocate),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_close_of_nothing),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
