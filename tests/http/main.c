/* The table of hostile HTTP over real sockets [reliability 11].
 *
 *   check_http client|peer PORT
 *
 * Each case of tests/lib/http_cases is sent to a daemon on this machine at
 * once, and again in two writes for every position of the cut. The answers'
 * status codes must come in order, and the connection must be kept or closed
 * as the table says. The daemon runs with --max-value-size 64B.
 *
 * Where the table has 200, the daemon answers as its routes do: 204, 301, 404
 * and 405 are as good. The peer port has no route for these requests, so it may
 * say that and close before it has read their body. Limits of bodies are the
 * client port's alone. Whether the two writes arrive as two reads is up to the
 * kernel: the tests of the parser cut for certain, these see that nothing in
 * between differs. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/buf.h"
#include "tests/lib/http_cases.h"

#define WAIT_MS 20000
/* Of a long input, cuts so far from either end, and some between. */
#define ENDS   160
#define STRIDE 509

static int dial(uint16_t port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0) {
        perror("check_http: connect");
        exit(2);
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* What the other end closed early need not be sent. */
static void send_all(int fd, struct bytes data)
{
    size_t done = 0;

    while (done < data.len) {
        ssize_t n = send(fd, data.data + done, data.len - done, MSG_NOSIGNAL);

        if (n < 0) {
            return;
        }
        done += (size_t)n;
    }
}

/* --- answers --- */

static int status_of(const char *head)
{
    return strncmp(head, "HTTP/1.", 7) == 0 ? (int)strtol(head + 9, NULL, 10)
                                            : -1;
}

/* Bytes of the answer that starts at `text`, or 0 if it is not whole yet. */
static size_t answer_size(const char *text, size_t len)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *field;
    size_t size;

    if (end == NULL) {
        return 0;
    }
    size = (size_t)(end - text) + 4;
    field = strcasestr(text, "\r\ncontent-length:");
    if (field != NULL && field < end && status_of(text) != 204) {
        size += strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
    }
    return size <= len ? size : 0;
}

/* The status codes of all whole answers, as the table writes them. */
static void print_answers(struct buf *got, struct buf *out)
{
    const char *at = buf_cstr(got);
    size_t left = got->len;
    size_t size;

    buf_reset(out);
    while (left > 0 && (size = answer_size(at, left)) > 0) {
        (void)buf_printf(out, "%s%d", out->len == 0 ? "" : " ", status_of(at));
        at += size;
        left -= size;
    }
    if (left > 0) {
        (void)buf_append_str(out, " ...");
    }
}

static bool is_success(const char *code)
{
    return strcmp(code, "200") == 0 || strcmp(code, "204") == 0 ||
           strcmp(code, "301") == 0 || strcmp(code, "404") == 0 ||
           strcmp(code, "405") == 0;
}

/* "200 400" against what came, code by code. */
static bool answers_match(const char *want, const char *got)
{
    while (*want != '\0' || *got != '\0') {
        char a[8] = "";
        char b[8] = "";
        int an = 0;
        int bn = 0;

        (void)sscanf(want, "%7s%n", a, &an);
        (void)sscanf(got, "%7s%n", b, &bn);
        if (strcmp(a, b) != 0 && !(strcmp(a, "200") == 0 && is_success(b))) {
            return false;
        }
        want += an;
        got += bn;
    }
    return true;
}

/* Whether the last answer says that there is no such thing here. */
static bool ends_without_route(const char *got)
{
    size_t len = strlen(got);

    return len >= 3 && strcmp(got + len - 3, "404") == 0;
}

static size_t n_codes(const char *codes)
{
    size_t n = *codes != '\0';

    for (; *codes != '\0'; codes++) {
        n += *codes == ' ';
    }
    return n;
}

/* Read until all answers are there and, unless the connection is to be kept,
 * it is closed. Whether it was closed. */
static bool receive(int fd, const struct http_case *hc, struct buf *got,
                    struct buf *answers)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char chunk[4096];
        ssize_t n;

        print_answers(got, answers);
        if (hc->open && n_codes(buf_cstr(answers)) >= n_codes(hc->answers)) {
            return poll(&p, 1, 0) == 1 && recv(fd, chunk, 1, MSG_PEEK) <= 0;
        }
        if (poll(&p, 1, WAIT_MS) != 1) {
            return false;
        }
        n = recv(fd, chunk, sizeof(chunk), 0);
        if (n <= 0) {
            print_answers(got, answers);
            return true;
        }
        (void)buf_append(got, chunk, (size_t)n);
    }
}

/* --- cases --- */

struct target {
    uint16_t port;
    bool is_peer;
};

static bool run_cut(const struct http_case *hc, const struct target *to,
                    size_t cut)
{
    struct buf got;
    struct buf answers;
    int fd = dial(to->port);
    bool closed;
    bool ok;

    buf_init(&got, BUF_UNLIMITED);
    buf_init(&answers, BUF_UNLIMITED);
    send_all(fd, (struct bytes){hc->in.data, cut});
    send_all(fd, (struct bytes){hc->in.data + cut, hc->in.len - cut});
    closed = receive(fd, hc, &got, &answers);
    ok = (answers_match(hc->answers, buf_cstr(&answers)) &&
          closed == !hc->open) ||
         (to->is_peer && closed && ends_without_route(buf_cstr(&answers)));
    if (!ok) {
        printf("  %s, cut at %zu of %zu: want \"%s\" and %s, got \"%s\" and "
               "%s\n",
               hc->name, cut, hc->in.len, hc->answers,
               hc->open ? "open" : "closed", buf_cstr(&answers),
               closed ? "closed" : "open");
    }
    buf_release(&got);
    buf_release(&answers);
    (void)close(fd);
    return ok;
}

static bool run_case(const struct http_case *hc, const struct target *to,
                     size_t *n)
{
    size_t len = hc->in.len;

    *n += 1;
    if (!run_cut(hc, to, 0)) {
        return false;
    }
    if (hc->answers[0] == '\0') {
        return true; /* it waits for its deadline: once is enough */
    }
    for (size_t cut = 1; cut < len;) {
        *n += 1;
        if (!run_cut(hc, to, cut)) {
            return false;
        }
        cut += len > 4 * ENDS && cut > ENDS && cut + ENDS < len ? STRIDE : 1;
    }
    return true;
}

int main(int argc, char **argv)
{
    size_t n_cases;
    size_t n_sent = 0;
    size_t passed = 0;
    size_t failed = 0;
    const struct http_case *all = http_cases(&n_cases);
    unsigned long port = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    struct target to;

    if (port == 0 || port > UINT16_MAX) {
        (void)fputs("usage: check_http client|peer PORT\n", stderr);
        return 2;
    }
    to = (struct target){(uint16_t)port, strcmp(argv[1], "peer") == 0};
    for (size_t i = 0; i < n_cases; i++) {
        if (all[i].by_listener && to.is_peer) {
            continue;
        }
        if (run_case(&all[i], &to, &n_sent)) {
            passed++;
        } else {
            failed++;
        }
    }
    printf("%s port: %zu cases in %zu connections\n", argv[1], passed + failed,
           n_sent);
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
