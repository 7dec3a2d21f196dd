/* What the machine itself costs, beneath any server: the floor under the other
 * figures.
 *
 *   floor disk FILE BYTES SECS      one pwrite of BYTES and one fdatasync,
 *                                   again and again, over blocks that are
 *                                   already written: no file system's journal
 *                                   takes part, so no durable write is cheaper
 *   floor append FILE BYTES SECS    the same at the end of a file that grows in
 *                                   a preallocated segment, as a log does
 *   floor loopback BYTES SECS       one message of BYTES to another process
 *                                   over TCP on 127.0.0.1 and back
 *
 * Prints one line of JSON (times.h). FILE is made and removed. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/bench/times.h"

/* Of the file that is written over, and of a segment that grows. */
#define SPAN_BYTES ((uint64_t)64000000)

static int must(int rc, const char *what)
{
    if (rc < 0) {
        give_up(what, errno);
    }
    return rc;
}

static void write_all_at(int fd, const void *p, size_t len, uint64_t off)
{
    ssize_t n = pwrite(fd, p, len, (off_t)off);

    if (n != (ssize_t)len) {
        give_up("pwrite", n < 0 ? errno : ENOSPC);
    }
}

/* A file of SPAN_BYTES, its blocks reserved and, if asked, written. */
static int new_span(const char *path, const char *bytes, size_t len,
                    bool written)
{
    int fd =
        must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), path);

    int rc = posix_fallocate(fd, 0, (off_t)SPAN_BYTES);
    if (rc != 0) {
        give_up("fallocate", rc);
    }
    for (uint64_t off = 0; written && off + len <= SPAN_BYTES; off += len) {
        write_all_at(fd, bytes, len, off);
    }
    must(fsync(fd), "fsync");
    return fd;
}

static void disk(const char *path, size_t len, uint64_t end, bool append)
{
    struct times t = {0};
    char *bytes = xcalloc(1, len);
    int fd = new_span(path, bytes, len, !append);
    uint64_t off = 0;
    uint64_t spent = 0;

    for (uint64_t now = now_ns(); spent < end;) {
        if (off + len > SPAN_BYTES) { /* not counted: making the next one */
            off = 0;
            if (append) {
                close(fd);
                fd = new_span(path, bytes, len, false);
                now = now_ns();
            }
        }
        write_all_at(fd, bytes, len, off);
        must(fdatasync(fd), "fdatasync");
        off += len;
        uint64_t done = now_ns();
        times_add(&t, done - now);
        spent += done - now;
        now = done;
    }
    times_print(&t, t.n, spent, 0);
    close(fd);
    unlink(path);
    xfree(bytes);
    times_release(&t);
}

static void send_all(int fd, const char *p, size_t len)
{
    for (size_t n = 0; n < len;) {
        ssize_t some = send(fd, p + n, len - n, MSG_NOSIGNAL);
        must((int)some, "send");
        n += (size_t)some;
    }
}

/* False if the other end has closed. */
static bool recv_all(int fd, char *p, size_t len)
{
    for (size_t n = 0; n < len;) {
        ssize_t some = recv(fd, p + n, len - n, 0);
        must((int)some, "recv");
        if (some == 0) {
            return false;
        }
        n += (size_t)some;
    }
    return true;
}

static void set_nodelay(int fd)
{
    int on = 1;

    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "nodelay");
}

/* The process at the other end. */
static NORETURN void echo(const struct sockaddr_in *to, char *bytes, size_t len)
{
    int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");

    must(connect(fd, (const struct sockaddr *)to, sizeof(*to)), "connect");
    set_nodelay(fd);
    while (recv_all(fd, bytes, len)) {
        send_all(fd, bytes, len);
    }
    _exit(0);
}

static void loopback(size_t len, uint64_t end)
{
    struct times t = {0};
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t size = sizeof(addr);
    char *bytes = xcalloc(1, len);
    uint64_t spent = 0;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    must(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), "bind");
    must(listen(listener, 1), "listen");
    must(getsockname(listener, (struct sockaddr *)&addr, &size), "getsockname");
    pid_t other = must(fork(), "fork");
    if (other == 0) {
        echo(&addr, bytes, len);
    }
    int fd = must(accept(listener, NULL, NULL), "accept");
    set_nodelay(fd);
    for (uint64_t now = now_ns(); spent < end;) {
        send_all(fd, bytes, len);
        if (!recv_all(fd, bytes, len)) {
            give_up("recv", ECONNRESET);
        }
        uint64_t done = now_ns();
        times_add(&t, done - now);
        spent += done - now;
        now = done;
    }
    close(fd);
    waitpid(other, NULL, 0);
    times_print(&t, t.n, spent, 0);
    xfree(bytes);
    times_release(&t);
}

int main(int argc, char **argv)
{
    bool append = argc > 1 && strcmp(argv[1], "append") == 0;

    if (argc == 5 && (append || strcmp(argv[1], "disk") == 0)) {
        disk(argv[2], strtoul(argv[3], NULL, 10),
             (uint64_t)(strtod(argv[4], NULL) * 1e9), append);
    } else if (argc == 4 && strcmp(argv[1], "loopback") == 0) {
        loopback(strtoul(argv[2], NULL, 10),
                 (uint64_t)(strtod(argv[3], NULL) * 1e9));
    } else {
        fprintf(stderr, "usage: floor disk|append FILE BYTES SECS\n"
                        "       floor loopback BYTES SECS\n");
        return 2;
    }
    return 0;
}
