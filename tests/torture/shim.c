/* What a disk, a clock and a network do to a real process: a library that is
 * loaded before libc and stands between the daemon and some of its calls.
 *
 * The file named by TORTURE_CONTROL, mapped by the test and by the process,
 * says what to do; the test writes single numbers to it at any time. With no
 * such file everything is passed on.
 *
 * Only calls on regular files fail: those of sockets are the relay's business
 * (relay.py), to which connect() is led by the table of ports. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ROUTES_MAX 256

/* Shared with the test, which writes it as little-endian numbers of 32 bits
 * (faults.py, Control). */
struct control {
    int32_t sync_errno;    /* fdatasync and fsync fail with it; 0: they work */
    int32_t write_errno;   /* the same for writes */
    int32_t sync_delay_us; /* before each sync */
    int32_t short_writes;  /* so many writes end after half of their bytes */
    int32_t clock_percent; /* speed of the monotonic clock, set before start */
    int32_t wall_offset_s; /* added to the wall clock */
    int32_t n_syncs;       /* counted here, so that a test can see it */
    int32_t n_failed;
    struct {
        int32_t port; /* where the process wants to connect to, */
        int32_t to;   /* and where it gets; 0: end of the table */
    } routes[ROUTES_MAX];
};

static volatile struct control *control;
static struct timespec began; /* when the clock of this life was right */

static int (*real_connect)(int, const struct sockaddr *, socklen_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_fallocate)(int, int, off_t, off_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

static void map_control(void)
{
    const char *path = getenv("TORTURE_CONTROL");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0) {
        return;
    }
    void *p =
        mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    control = p != MAP_FAILED ? p : NULL;
}

/* A function pointer from dlsym, which ISO C does not let us cast. */
#define FIND(name)                                                             \
    do {                                                                       \
        void *found = dlsym(RTLD_NEXT, #name);                                 \
        memcpy(&real_##name, &found, sizeof(found));                           \
    } while (0)

/* Before any constructor of the program asks the time. */
__attribute__((constructor(101))) static void init(void)
{
    FIND(connect);
    FIND(fdatasync);
    FIND(fsync);
    FIND(fallocate);
    FIND(pwrite);
    FIND(pwritev);
    FIND(clock_gettime);
    real_clock_gettime(CLOCK_MONOTONIC, &began);
    map_control();
}

/* --- files --- */

static bool is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool fails(int32_t error)
{
    if (error == 0) {
        return false;
    }
    __atomic_add_fetch(&control->n_failed, 1, __ATOMIC_RELAXED);
    errno = error;
    return true;
}

static int sync_with(int (*sync)(int), int fd)
{
    if (control != NULL) {
        int32_t delay_us = control->sync_delay_us;
        struct timespec delay = {.tv_sec = delay_us / 1000000,
                                 .tv_nsec = delay_us % 1000000 * 1000L};
        if (delay_us > 0) {
            nanosleep(&delay, NULL);
        }
        __atomic_add_fetch(&control->n_syncs, 1, __ATOMIC_RELAXED);
        if (fails(control->sync_errno)) {
            return -1;
        }
    }
    return sync(fd);
}

int fdatasync(int fd)
{
    return sync_with(real_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_with(real_fsync, fd);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    return control != NULL && fails(control->write_errno)
               ? -1
               : real_fallocate(fd, mode, at, len);
}

/* Whether this write is to end early. */
static bool is_short(void)
{
    return control->short_writes > 0 &&
           __atomic_fetch_sub(&control->short_writes, 1, __ATOMIC_RELAXED) > 0;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (control != NULL && is_file(fd)) {
        if (fails(control->write_errno)) {
            return -1;
        }
        if (len > 1 && is_short()) {
            ssize_t n = real_pwrite(fd, data, len / 2, at);

            /* Past the cache, the disk may not take half of its block. */
            if (n >= 0 || errno != EINVAL) {
                return n;
            }
        }
    }
    return real_pwrite(fd, data, len, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    if (control != NULL && is_file(fd)) {
        if (fails(control->write_errno)) {
            return -1;
        }
        if (iov[0].iov_len > 1 && is_short()) {
            return real_pwrite(fd, iov[0].iov_base, iov[0].iov_len / 2, at);
        }
    }
    return real_pwritev(fd, iov, n, at);
}

/* --- the clock --- */

static int64_t as_ns(const struct timespec *t)
{
    return t->tv_sec * INT64_C(1000000000) + t->tv_nsec;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    int rc = real_clock_gettime(id, out);

    if (rc != 0 || control == NULL) {
        return rc;
    }
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        out->tv_sec += control->wall_offset_s;
    } else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE) {
        int32_t percent = control->clock_percent;
        int64_t gone = as_ns(out) - as_ns(&began);
        if (percent != 0 && percent != 100 && gone > 0) {
            int64_t ns = as_ns(&began) + gone / 100 * percent;
            out->tv_sec = ns / 1000000000;
            out->tv_nsec = ns % 1000000000;
        }
    }
    return 0;
}

/* --- the network --- */

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    struct sockaddr_in in;

    if (control == NULL || to->sa_family != AF_INET || len < sizeof(in)) {
        return real_connect(fd, to, len);
    }
    memcpy(&in, to, sizeof(in));
    for (int i = 0; i < ROUTES_MAX && control->routes[i].port != 0; i++) {
        if (control->routes[i].port == ntohs(in.sin_port)) {
            in.sin_port = htons((uint16_t)control->routes[i].to);
            break;
        }
    }
    return real_connect(fd, (const struct sockaddr *)&in, sizeof(in));
}
