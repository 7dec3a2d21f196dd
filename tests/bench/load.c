/* Load from prepared requests, for what wrk cannot do: redis's protocol, a
 * number of requests instead of a time, and a steady pace at which a pause of
 * the server is seen by every request that it keeps waiting.
 *
 *   load --resp | --http          what is spoken (the answers are parsed)
 *        --port N                 on 127.0.0.1
 *        --conns N --depth N      connections; requests in one batch
 *        --secs S | --count N     how long, or how many requests
 *        --rate R                 requests a second; without: as many as it can
 *        --trace FILE             write when each batch was due, and its time
 *        BATCHES                  the prepared batches, sent in turn
 *
 * BATCHES is a file of batches, each a length (4 bytes, little-endian) and as
 * many bytes, in which stand `depth` requests. A connection sends one, reads
 * its `depth` answers and takes the next. A batch's time runs from when it was
 * sent, or with --rate from when it was due, to its last answer: waiting for a
 * free connection counts. An answer that is an error (RESP: -, HTTP: 400 and
 * above) is counted as one. SIGTERM ends the run early.
 *
 * The trace has two native uint64_t for each batch, in nanoseconds: when it was
 * due, by CLOCK_REALTIME, and its time. One line of JSON (times.h) is printed.
 *
 * Counterpart: wrk, redis-benchmark. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/bench/times.h"

#define IN_BYTES   65536
#define CONNS_MAX  4096
#define EVENTS_MAX 256

/* Nothing comes for so long: the server hangs, the run has failed. */
#define SILENCE_NS 30000000000U

struct conn {
    int fd;
    bool polls_out; /* the batch did not fit into the socket */
    const uint8_t *out;
    size_t out_len;
    uint32_t pending; /* answers of the batch that are still to come */
    uint64_t due;     /* when the batch was sent, or should have been */
    uint64_t skip;    /* bytes of a body that are still to come */
    size_t in_len;
    char in[IN_BYTES];
};

struct load {
    bool is_resp;
    uint16_t port;
    uint32_t n_conns;
    uint32_t depth;
    uint64_t run_ns; /* 0: until `count` */
    uint64_t count;  /* requests; UINT64_MAX: until `run_ns` */
    double rate;     /* 0: as fast as answers come */
    FILE *trace;

    const uint8_t *batches; /* the mapped file, and where the next one is */
    size_t batches_len;
    size_t next;

    int epoll;
    struct conn *conns;
    struct conn **idle;
    uint32_t n_idle;
    uint64_t started;
    uint64_t to_real; /* what CLOCK_REALTIME is ahead of now_ns() */
    uint64_t n_sent;
    uint64_t n_done;
    uint64_t n_errors;
    struct times times;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static int must(int rc, const char *what)
{
    if (rc < 0) {
        give_up(what, errno);
    }
    return rc;
}

/* --- sending --- */

/* Give `c` the next batch of the file; after the last comes the first. */
static void take_batch(struct load *l, struct conn *c)
{
    uint32_t len;

    if (l->next == l->batches_len) {
        l->next = 0;
    }
    memcpy(&len, l->batches + l->next, sizeof(len));
    c->out = l->batches + l->next + sizeof(len);
    c->out_len = len;
    l->next += sizeof(len) + len;
    if (l->next > l->batches_len) {
        give_up("the batches' file", EINVAL);
    }
}

static void poll_out(struct load *l, struct conn *c, bool on)
{
    struct epoll_event ev = {.events = EPOLLIN | (on ? EPOLLOUT : 0U),
                             .data.ptr = c};

    if (c->polls_out != on) {
        must(epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev), "epoll_ctl");
        c->polls_out = on;
    }
}

static void send_more(struct load *l, struct conn *c)
{
    while (c->out_len > 0) {
        ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        must((int)n, "send");
        c->out += n;
        c->out_len -= (size_t)n;
    }
    poll_out(l, c, c->out_len > 0);
}

/* When the next batch should be sent: at once, or by the pace. */
static uint64_t next_due(const struct load *l, uint64_t now)
{
    if (l->rate == 0) {
        return now;
    }
    return l->started + (uint64_t)((double)l->n_sent / l->rate * 1e9);
}

static bool may_send(const struct load *l, uint64_t now)
{
    return !stopped && l->n_sent < l->count &&
           (l->run_ns == 0 || now - l->started < l->run_ns);
}

/* Whatever is due now, as far as there are connections without a batch. */
static void send_due(struct load *l, uint64_t now)
{
    while (l->n_idle > 0 && may_send(l, now) && next_due(l, now) <= now) {
        struct conn *c = l->idle[--l->n_idle];
        c->due = next_due(l, now);
        c->pending = l->depth;
        l->n_sent += l->depth;
        take_batch(l, c);
        send_more(l, c);
    }
}

/* --- answers --- */

static size_t line_len(const char *p, size_t len)
{
    const char *lf = memchr(p, '\n', len);

    return lf == NULL ? 0 : (size_t)(lf - p) + 1;
}

/* The first line of one answer at `p`, and the body that follows it; 0 if there
 * is no whole line yet. */
static size_t resp_head(const char *p, size_t len, uint64_t *body, bool *bad)
{
    size_t n = line_len(p, len);

    *body = 0;
    if (n > 0 && *p == '$' && p[1] != '-') {
        *body = strtoul(p + 1, NULL, 10) + 2;
    }
    *bad = *p == '-' || (*p == '$' && p[1] == '-');
    return n;
}

/* The same for the header of an HTTP answer. */
static size_t http_head(const char *p, size_t len, uint64_t *body, bool *bad)
{
    static const char field[] = "content-length:";
    size_t at = 0;

    *body = 0;
    *bad = len > 9 && p[9] >= '4';
    for (;;) {
        size_t n = line_len(p + at, len - at);
        if (n == 0) {
            return 0;
        }
        if (n >= sizeof(field) &&
            strncasecmp(p + at, field, sizeof(field) - 1) == 0) {
            *body = strtoul(p + at + sizeof(field) - 1, NULL, 10);
        }
        at += n;
        if (n == 2) {
            return at;
        }
    }
}

static void finish_batch(struct load *l, struct conn *c)
{
    uint64_t now = now_ns();

    times_add(&l->times, now - c->due);
    if (l->trace != NULL) {
        uint64_t line[2] = {c->due + l->to_real, now - c->due};
        if (fwrite(line, sizeof(line), 1, l->trace) != 1) {
            give_up("trace", errno);
        }
    }
    l->idle[l->n_idle++] = c;
    send_due(l, now);
}

static void take_answers(struct load *l, struct conn *c)
{
    size_t at = 0;

    for (;;) {
        size_t body = min_u64(c->skip, c->in_len - at);
        c->skip -= body;
        at += body;
        if (c->skip > 0 || at == c->in_len) {
            break;
        }
        if (c->pending == 0) {
            give_up("an answer that nobody asked for", EPROTO);
        }
        bool bad;
        size_t n = (l->is_resp ? resp_head : http_head)(
            c->in + at, c->in_len - at, &c->skip, &bad);
        if (n == 0) {
            break;
        }
        at += n;
        l->n_errors += bad;
        l->n_done++;
        c->pending--;
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    if (c->in_len == sizeof(c->in)) {
        give_up("the head of an answer", EMSGSIZE);
    }
    if (c->pending == 0 && c->skip == 0) {
        finish_batch(l, c);
    }
}

static void read_more(struct load *l, struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n == 0) {
        give_up("the server closed", ECONNRESET);
    }
    must((int)n, "recv");
    c->in_len += (size_t)n;
    /* What comes unasked must not finish a batch a second time. */
    if (c->pending == 0 && c->skip == 0) {
        give_up("an answer that nobody asked for", EPROTO);
    }
    take_answers(l, c);
}

/* --- the run --- */

static void open_conn(struct load *l, struct conn *c)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(l->port)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    must(connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)), "connect");
    must(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)),
         "nodelay");
    must(fcntl(c->fd, F_SETFL, O_NONBLOCK), "nonblock");
    must(epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev), "epoll_ctl");
    l->idle[l->n_idle++] = c;
}

/* How long nothing can happen but an answer. */
static uint64_t wait_ns(const struct load *l, uint64_t now)
{
    if (l->n_idle == l->n_conns && !may_send(l, now)) {
        return 0;
    }
    if (l->rate == 0 || l->n_idle == 0 || !may_send(l, now)) {
        return SILENCE_NS;
    }
    uint64_t due = next_due(l, now);
    return due <= now ? 0 : due - now;
}

static void turn(struct load *l)
{
    struct epoll_event evs[EVENTS_MAX];
    uint64_t ns = wait_ns(l, now_ns());
    struct timespec timeout = {.tv_sec = (time_t)(ns / 1000000000),
                               .tv_nsec = (long)(ns % 1000000000)};
    int n = epoll_pwait2(l->epoll, evs, EVENTS_MAX, &timeout, NULL);

    if (n < 0 && errno != EINTR) {
        give_up("epoll_pwait2", errno);
    }
    if (n == 0 && ns == SILENCE_NS) {
        give_up("waiting for answers", ETIMEDOUT);
    }
    for (int i = 0; i < n; i++) {
        struct conn *c = evs[i].data.ptr;
        if (evs[i].events & EPOLLOUT) {
            send_more(l, c);
        }
        if (evs[i].events & ~(uint32_t)EPOLLOUT) {
            read_more(l, c);
        }
    }
    send_due(l, now_ns());
}

static void run(struct load *l)
{
    struct timespec ts;

    l->epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    l->conns = xcalloc(l->n_conns, sizeof(*l->conns));
    l->idle = xcalloc(l->n_conns, sizeof(struct conn *));
    for (uint32_t i = 0; i < l->n_conns; i++) {
        open_conn(l, &l->conns[i]);
    }
    clock_gettime(CLOCK_REALTIME, &ts);
    l->started = now_ns();
    l->to_real =
        (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec - l->started;
    send_due(l, l->started);
    while (l->n_idle < l->n_conns || may_send(l, now_ns())) {
        turn(l);
    }
    times_print(&l->times, l->n_done, now_ns() - l->started, l->n_errors);
    if (l->trace != NULL && fclose(l->trace) != 0) {
        give_up("trace", errno);
    }
    for (uint32_t i = 0; i < l->n_conns; i++) {
        close(l->conns[i].fd);
    }
    times_release(&l->times);
    xfree(l->conns);
    xfree(l->idle);
}

static void map_batches(struct load *l, const char *path)
{
    struct stat st;
    int fd = must(open(path, O_RDONLY | O_CLOEXEC), path);

    must(fstat(fd, &st), path);
    l->batches_len = (size_t)st.st_size;
    l->batches = mmap(NULL, l->batches_len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (l->batches == MAP_FAILED) {
        give_up(path, errno);
    }
    close(fd);
}

static NORETURN void usage(void)
{
    fprintf(stderr,
            "usage: load --resp|--http --port N [--conns N] [--depth N]\n"
            "            --secs S|--count N [--rate R] [--trace FILE] "
            "BATCHES\n");
    exit(2);
}

static void set_option(struct load *l, int option, const char *value)
{
    switch (option) {
    case 'p':
        l->port = (uint16_t)strtoul(value, NULL, 10);
        break;
    case 'c':
        l->n_conns = (uint32_t)strtoul(value, NULL, 10);
        break;
    case 'd':
        l->depth = (uint32_t)strtoul(value, NULL, 10);
        break;
    case 's':
        l->run_ns = (uint64_t)(strtod(value, NULL) * 1e9);
        break;
    case 'n':
        l->count = strtoull(value, NULL, 10);
        break;
    case 'r':
        l->rate = strtod(value, NULL);
        break;
    case 't':
        l->trace = fopen(value, "wb");
        if (l->trace == NULL) {
            give_up(value, errno);
        }
        break;
    case 'R':
        l->is_resp = true;
        break;
    case 'H':
        break;
    default:
        usage();
    }
}

static void parse(struct load *l, int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"conns", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"secs", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'n'},
        {"rate", required_argument, NULL, 'r'},
        {"trace", required_argument, NULL, 't'},
        {"resp", no_argument, NULL, 'R'},
        {"http", no_argument, NULL, 'H'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        set_option(l, option, optarg);
    }
    if (optind != argc - 1 || l->port == 0 || l->n_conns == 0 ||
        l->n_conns > CONNS_MAX || l->depth == 0 ||
        (l->run_ns == 0 && l->count == UINT64_MAX)) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct load l = {.n_conns = 1, .depth = 1, .count = UINT64_MAX};
    struct sigaction sa = {.sa_handler = on_signal};

    parse(&l, argc, argv);
    map_batches(&l, argv[argc - 1]);
    sigaction(SIGTERM, &sa, NULL);
    run(&l);
    return 0;
}
