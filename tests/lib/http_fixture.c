/* A loop, a net and raw sockets in one process. */

#include "tests/lib/http_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"

/* Turns until a condition is given up: each waits up to a millisecond. */
#define TURNS_MAX 60000

static void on_line(void *ctx, enum log_level level, const char *line)
{
    struct http_fixture *f = ctx;

    (void)buf_printf(&f->log, "%s %s\n", log_level_name(level), line);
}

void http_fixture_init(struct http_fixture *f)
{
    *f = (struct http_fixture){
        .lg = {.level = LOG_DEBUG, .sink = on_line, .ctx = f},
    };
    /* As the server does: libuv's writes raise it. */
    (void)signal(SIGPIPE, SIG_IGN);
    buf_init(&f->log, BUF_UNLIMITED);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->net = http_net_new(&f->loop, &f->lg);
}

void http_fixture_release(struct http_fixture *f)
{
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    http_net_free(f->net);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    buf_release(&f->log);
}

void http_fixture_turn(struct http_fixture *f)
{
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    http_net_flush(f->net);
}

void http_fixture_turns(struct http_fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        http_fixture_turn(f);
    }
}

void http_fixture_until(struct http_fixture *f, bool (*done)(void *ctx),
                        void *ctx)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        http_fixture_turn(f);
        if (done(ctx)) {
            return;
        }
        if (i > 20) {
            (void)poll(NULL, 0, 1);
        }
    }
    fail_msg("a condition never came");
}

static bool is_set(void *ctx)
{
    return *(const bool *)ctx;
}

void http_fixture_until_set(struct http_fixture *f, const bool *flag)
{
    bool *mutable_flag = (bool *)(uintptr_t)flag;

    http_fixture_until(f, is_set, mutable_flag);
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
}

int raw_dial(uint16_t port)
{
    struct sockaddr_in sin = loopback(port);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

int raw_listen(uint16_t *port)
{
    struct sockaddr_in sin = loopback(0);
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    *port = ntohs(sin.sin_port);
    return fd;
}

int raw_accept(struct http_fixture *f, int listener)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        struct pollfd p = {.fd = listener, .events = POLLIN};

        http_fixture_turn(f);
        if (poll(&p, 1, 1) == 1) {
            return accept(listener, NULL, NULL);
        }
    }
    fail_msg("no connection came");
    return -1;
}

void raw_send(struct http_fixture *f, int fd, struct bytes data)
{
    size_t done = 0;

    for (int i = 0; i < TURNS_MAX && done < data.len; i++) {
        ssize_t n = send(fd, data.data + done, data.len - done,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN) {
            return; /* closed: the answer tells why */
        }
        done += n > 0 ? (size_t)n : 0;
        http_fixture_turn(f);
    }
    http_fixture_turns(f, 2);
}

void raw_send_str(struct http_fixture *f, int fd, const char *text)
{
    raw_send(f, fd, (struct bytes){(const uint8_t *)text, strlen(text)});
}

/* 1: bytes, 0: closed, -1: reset, -2: nothing yet. */
static int read_some(int fd, struct buf *got)
{
    uint8_t chunk[65536];
    ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n < 0) {
        return errno == EAGAIN ? -2 : -1;
    }
    (void)buf_append(got, chunk, (size_t)n);
    return n > 0;
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    (void)poll(&p, 1, 1);
}

bool raw_read_all(struct http_fixture *f, int fd, struct buf *got)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        http_fixture_turn(f);
        int rc = read_some(fd, got);
        if (rc == 0 || rc == -1) {
            return rc == 0;
        }
        if (rc == -2 && i > 20) {
            wait_readable(fd);
        }
    }
    fail_msg("the connection was never closed");
    return false;
}

void raw_read_answers(struct http_fixture *f, int fd, struct buf *got, size_t n)
{
    static struct raw_answer answers[1024];

    assert_true(n <= ARRAY_LEN(answers));
    for (int i = 0; i < TURNS_MAX; i++) {
        if (raw_parse(buf_bytes(got), answers, n) == n) {
            return;
        }
        http_fixture_turn(f);
        int rc = read_some(fd, got);
        assert_true(rc == 1 || rc == -2);
        if (rc == -2 && i > 20) {
            wait_readable(fd);
        }
    }
    fail_msg("the answers never came");
}

void raw_read_until(struct http_fixture *f, int fd, struct buf *got,
                    const char *text)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        if (got->len > 0 &&
            memmem(got->data, got->len, text, strlen(text)) != NULL) {
            return;
        }
        http_fixture_turn(f);
        int rc = read_some(fd, got);
        assert_true(rc == 1 || rc == -2);
        if (rc == -2 && i > 20) {
            wait_readable(fd);
        }
    }
    fail_msg("\"%s\" never came", text);
}

const char *raw_field(const struct raw_answer *a, const char *name)
{
    static char value[256];
    size_t name_len = strlen(name);
    const char *p = (const char *)a->head.data;
    const char *end = p + a->head.len;

    while (p < end) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);

        assert_non_null(eol);
        if ((size_t)(eol - p) > name_len && p[name_len] == ':' &&
            strncasecmp(p, name, name_len) == 0) {
            const char *v = p + name_len + 1;

            v += *v == ' ' ? 1 : 0;
            (void)snprintf(value, sizeof(value), "%.*s", (int)(eol - v), v);
            return value;
        }
        p = eol + 2;
    }
    return NULL;
}

size_t raw_parse(struct bytes got, struct raw_answer *out, size_t max)
{
    size_t n = 0;
    size_t at = 0;

    while (n < max && at < got.len) {
        const uint8_t *p = got.data + at;
        const uint8_t *end = memmem(p, got.len - at, "\r\n\r\n", 4);
        struct raw_answer *a = &out[n];

        if (end == NULL) {
            break;
        }
        assert_memory_equal(p, "HTTP/1.1 ", 9);
        *a = (struct raw_answer){
            .status = (int)strtol((const char *)p + 9, NULL, 10),
            .head = {p, (size_t)(end - p) + 2},
        };
        at += a->head.len + 2;
        const char *length = raw_field(a, "Content-Length");
        if (length != NULL) {
            a->body = (struct bytes){got.data + at,
                                     (size_t)strtoull(length, NULL, 10)};
            if (a->body.len > got.len - at) {
                break;
            }
            at += a->body.len;
        }
        n++;
    }
    return n;
}

void raw_statuses(struct bytes got, char *out, size_t size)
{
    struct raw_answer answers[300];
    size_t n = raw_parse(got, answers, ARRAY_LEN(answers));
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < n && len < size; i++) {
        len += (size_t)snprintf(out + len, size - len, "%s%d", i > 0 ? " " : "",
                                answers[i].status);
    }
}
