/* See allocs.h. */

#include "tests/sweep/allocs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/sim_vfs.h"

#define STDERR_MAX 4096
#define ALONE_MAX  30 /* seconds, in which a child is done with everything */

/* What the forks of one allocation leave behind, in memory that they share. */
struct outcome {
    struct sweep_counts counts;
    bool judged;
};

static struct allocs *armed; /* NULL: nothing counts */
static bool in_program;
static bool is_short; /* in the child whose allocation failed */
static struct outcome *outcome;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

/* --- in the child --- */

/* The dying process, at its last moment; then abort() goes on. */
static void on_abort(int signal_number)
{
    struct allocs *a = armed;
    pid_t pid;

    (void)signal_number;
    pid = fork();
    if (pid == 0) {
        armed = NULL;
        is_short = false;
        (void)signal(SIGABRT, SIG_DFL);
        (void)alarm(ALONE_MAX);
        a->judge(a->ctx, &outcome->counts);
        outcome->judged = true;
        (void)fflush(stdout);
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
}

static void become_short_of_memory(int stderr_fd)
{
    (void)signal(SIGABRT, on_abort);
    (void)alarm(ALONE_MAX);
    if (dup2(stderr_fd, STDERR_FILENO) < 0) {
        _exit(2);
    }
    is_short = true;
}

/* --- in the parent --- */

/* One line, which says what the matter is. */
static bool is_one_line(int fd)
{
    static const char begin[] = "out of memory: ";
    char text[STDERR_MAX];
    ssize_t n = pread(fd, text, sizeof(text), 0);

    return n > (ssize_t)sizeof(begin) && text[n - 1] == '\n' &&
           memchr(text, '\n', (size_t)n) == text + n - 1 &&
           memcmp(text, begin, sizeof(begin) - 1) == 0;
}

static void take_outcome(struct allocs *a, int status, int stderr_fd)
{
    const char *wrong = NULL;

    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
        wrong = "the process did not abort";
    } else if (!is_one_line(stderr_fd)) {
        wrong = "it did not say one line about its memory";
    } else if (!outcome->judged) {
        wrong = "the start after it failed";
    }
    for (int v = 0; v < SWEEP_VERDICTS; v++) {
        a->counts.n[v] += outcome->counts.n[v];
    }
    if (wrong != NULL) {
        a->counts.n[SWEEP_LOST]++;
        printf("allocation %llu: %s\n", (unsigned long long)a->n, wrong);
    }
    (void)fflush(stdout);
}

/* Fail this allocation, in a fork of the process; `true` there. */
static bool strike(struct allocs *a)
{
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    int status;
    pid_t pid;

    ASSERT(fd >= 0);
    *outcome = (struct outcome){0};
    pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        become_short_of_memory(fd);
        return true;
    }
    ASSERT(waitpid(pid, &status, 0) == pid);
    take_outcome(a, status, fd);
    (void)close(fd);
    return false;
}

static bool fails(void)
{
    struct allocs *a = armed;
    uint64_t n;

    if (a == NULL || !in_program || is_short) {
        return false;
    }
    n = a->n++;
    return n % a->n_jobs == a->job && strike(a);
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

void allocs_arm(struct allocs *a)
{
    ASSERT(armed == NULL && a->n_jobs > 0);
    if (outcome == NULL) {
        outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT(outcome != MAP_FAILED);
    }
    (void)fflush(NULL); /* or every fork would print it */
    armed = a;
}

void allocs_disarm(void)
{
    allocs_watch(false);
    armed = NULL;
}

void allocs_watch(bool in)
{
    if (is_short) {
        _exit(3); /* it got by without its memory, which it must not */
    }
    in_program = in;
}

/* --- the disk --- */

static const struct vfs_ops *disk_ops;
static const struct vfs_file_ops *file_ops;
static const struct vfs_file_ops spared_file_ops;

/* An operation of the disk, during which nothing counts. */
#define SPARED(type, name, of, params, ...)                                    \
    static type spared_##name params                                           \
    {                                                                          \
        bool was = in_program;                                                 \
        type rc;                                                               \
                                                                               \
        in_program = false;                                                    \
        rc = (of)->name(__VA_ARGS__);                                          \
        in_program = was;                                                      \
        return rc;                                                             \
    }

SPARED(int, stat, disk_ops,
       (struct vfs * fs, const char *path, enum vfs_kind *kind), fs, path, kind)
SPARED(int, rename, disk_ops,
       (struct vfs * fs, const char *from, const char *to), fs, from, to)
SPARED(int, unlink, disk_ops, (struct vfs * fs, const char *path), fs, path)
SPARED(int, mkdir, disk_ops, (struct vfs * fs, const char *path), fs, path)
SPARED(int, rmdir, disk_ops, (struct vfs * fs, const char *path), fs, path)
SPARED(int, sync_dir, disk_ops, (struct vfs * fs, const char *path), fs, path)
SPARED(int, close, file_ops, (struct vfs_file * f), f)
SPARED(int64_t, pread, file_ops,
       (struct vfs_file * f, void *p, size_t len, uint64_t off), f, p, len, off)
SPARED(int, pwritev, file_ops,
       (struct vfs_file * f, const struct iovec *iov, size_t n, uint64_t off),
       f, iov, n, off)
SPARED(int, datasync, file_ops, (struct vfs_file * f), f)
SPARED(int, truncate, file_ops, (struct vfs_file * f, uint64_t len), f, len)
SPARED(int, allocate, file_ops, (struct vfs_file * f, uint64_t len), f, len)
SPARED(int64_t, size, file_ops, (struct vfs_file * f), f)
SPARED(int, lock, file_ops, (struct vfs_file * f), f)

static int spared_open(struct vfs *fs, const char *path, int flags,
                       struct vfs_file **out)
{
    bool was = in_program;
    int rc;

    in_program = false;
    rc = disk_ops->open(fs, path, flags, out);
    in_program = was;
    if (rc == 0) {
        file_ops = (*out)->ops;
        (*out)->ops = &spared_file_ops;
    }
    return rc;
}

/* The names are given to the program, which allocates for them. */
struct listing {
    vfs_list_cb *cb;
    void *arg;
    bool was;
};

static void on_name(void *arg, const char *name)
{
    struct listing *l = arg;

    in_program = l->was;
    l->cb(l->arg, name);
    in_program = false;
}

static int spared_list(struct vfs *fs, const char *path, vfs_list_cb *cb,
                       void *arg)
{
    struct listing l = {cb, arg, in_program};
    int rc;

    in_program = false;
    rc = disk_ops->list(fs, path, on_name, &l);
    in_program = l.was;
    return rc;
}

static const struct vfs_file_ops spared_file_ops = {
    .close = spared_close,
    .pread = spared_pread,
    .pwritev = spared_pwritev,
    .datasync = spared_datasync,
    .truncate = spared_truncate,
    .allocate = spared_allocate,
    .size = spared_size,
    .lock = spared_lock,
};

static const struct vfs_ops spared_ops = {
    .open = spared_open,
    .stat = spared_stat,
    .rename = spared_rename,
    .unlink = spared_unlink,
    .mkdir = spared_mkdir,
    .rmdir = spared_rmdir,
    .sync_dir = spared_sync_dir,
    .list = spared_list,
};

void allocs_spare(struct sim_vfs *v)
{
    struct vfs *fs = sim_vfs_base(v);

    if (fs->ops != &spared_ops) {
        disk_ops = fs->ops;
        fs->ops = &spared_ops;
    }
}
