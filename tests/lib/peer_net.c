/* Several transports in one process, over loopback and a real loop. */

#include "tests/lib/peer_net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/lib/entries.h"
#include "tests/lib/http_fixture.h"
#include "transport/peer.h"
#include "transport/transport_internal.h"

#define TICK_MS 5

/* --- the handler of a node --- */

static int process(void *ctx, const struct raft_message *m)
{
    struct peer_node *n = ctx;

    assert_false(n->sending);
    assert_false(n->closing);
    n->got = xrealloc_array(n->got, n->n_got + 1, sizeof(*n->got));
    n->got[n->n_got] = (struct raft_message){0};
    raft_message_copy(&n->got[n->n_got++], m);
    if (n->remove_sender_at == n->n_got) {
        transport_remove_peer(n->t, m->from);
    }
    return n->process_rc;
}

static void on_stopped(void *ctx)
{
    struct peer_node *n = ctx;

    n->t = NULL;
    n->closing = false;
}

static void begin_stop(struct peer_node *n)
{
    n->closing = true;
    transport_close(n->t, on_stopped, n);
}

static void report_unreachable(void *ctx, uint64_t id)
{
    struct peer_node *n = ctx;

    assert_false(n->sending);
    assert_false(n->closing);
    assert_true(id != 0 && id != n->id);
    n->unreachable++;
    if (n->close_on_report) {
        begin_stop(n);
    }
}

static void report_snapshot(void *ctx, uint64_t id, bool ok)
{
    struct peer_node *n = ctx;

    assert_false(n->sending);
    assert_false(n->closing);
    assert_true(id != 0 && id != n->id);
    if (ok) {
        n->snapshots_ok++;
    } else {
        n->snapshots_failed++;
    }
}

static bool is_id_removed(void *ctx, uint64_t id)
{
    const struct peer_node *n = ctx;

    return id != 0 && id == n->removed_id;
}

static void self_removed(void *ctx, uint64_t told_by)
{
    struct peer_node *n = ctx;

    assert_false(n->closing);
    n->removed_by = told_by;
}

static void self_unknown(void *ctx, uint64_t told_by)
{
    struct peer_node *n = ctx;

    assert_false(n->closing);
    n->unknown_to = told_by;
}

static const char *own_url(void *ctx)
{
    const struct peer_node *n = ctx;

    return n->url[0] == '\0' ? NULL : n->url;
}

static int page(void *ctx, struct bytes path, struct buf *body,
                const char **content_type)
{
    (void)ctx;
    if (path.len != 7 || memcmp(path.data, "/health", 7) != 0) {
        return 404;
    }
    *content_type = "application/json";
    (void)buf_append_str(body, "{\"health\":\"true\"}");
    return 200;
}

/* --- the net --- */

static void on_line(void *ctx, enum log_level level, const char *line)
{
    struct peer_net *net = ctx;

    (void)level;
    (void)buf_append_str(&net->lines, line);
    (void)buf_append_str(&net->lines, "\n");
}

static void on_flush(uv_prepare_t *handle)
{
    struct peer_net *net = handle->data;

    http_net_flush(net->http);
}

static void on_tick(uv_timer_t *handle)
{
    struct peer_net *net = handle->data;

    for (size_t i = 0; i < PEER_NET_NODES; i++) {
        struct peer_node *n = &net->nodes[i];

        if (n->t != NULL && !n->closing) {
            transport_tick(n->t);
        }
    }
}

void peer_net_init(struct peer_net *net)
{
    memset(net, 0, sizeof(*net));
    /* As the server does: libuv's writes raise it. */
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&net->loop), 0);
    buf_init(&net->lines, BUF_UNLIMITED);
    net->lg = (struct logger){LOG_DEBUG, on_line, net};
    net->http = http_net_new(&net->loop, &net->lg);
    for (size_t i = 0; i < PEER_NET_NODES; i++) {
        net->nodes[i] = (struct peer_node){
            .net = net, .id = i + 1, .cluster_id = PEER_NET_CLUSTER};
    }
    assert_int_equal(uv_prepare_init(&net->loop, &net->flusher), 0);
    net->flusher.data = net;
    assert_int_equal(uv_prepare_start(&net->flusher, on_flush), 0);
    assert_int_equal(uv_timer_init(&net->loop, &net->ticker), 0);
    net->ticker.data = net;
    assert_int_equal(uv_timer_start(&net->ticker, on_tick, TICK_MS, TICK_MS),
                     0);
}

static void release_node(struct peer_node *n)
{
    for (size_t i = 0; i < n->n_got; i++) {
        raft_message_release(&n->got[i]);
    }
    xfree(n->got);
}

void peer_net_release(struct peer_net *net)
{
    for (uint64_t id = 1; id <= PEER_NET_NODES; id++) {
        peer_net_stop(net, id);
    }
    uv_close((uv_handle_t *)&net->ticker, NULL);
    uv_close((uv_handle_t *)&net->flusher, NULL);
    http_net_free(net->http);
    assert_int_equal(uv_run(&net->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&net->loop), 0);
    for (size_t i = 0; i < PEER_NET_NODES; i++) {
        release_node(&net->nodes[i]);
    }
    buf_release(&net->lines);
}

struct peer_node *peer_net_start(struct peer_net *net, uint64_t id)
{
    struct peer_node *n = &net->nodes[id - 1];
    struct errmsg em;
    const struct transport_options o = {
        .net = net->http,
        .lg = &net->lg,
        .id = id,
        .cluster_id = n->cluster_id,
        .listen = {.host = "127.0.0.1", .port = n->port},
        .seed = id,
        .handler = {.ctx = n,
                    .process = process,
                    .report_unreachable = report_unreachable,
                    .report_snapshot = report_snapshot,
                    .is_id_removed = is_id_removed,
                    .self_removed = self_removed,
                    .self_unknown = self_unknown,
                    .own_url = own_url,
                    .page = page},
    };

    assert_null(n->t);
    if (transport_open(&o, &n->t, &em) < 0) {
        fail_msg("node %d: %s", (int)id, em.text);
    }
    n->port = http_listener_port(n->t->listener);
    (void)snprintf(n->url, sizeof(n->url), "http://127.0.0.1:%d", n->port);
    return n;
}

void peer_net_stop(struct peer_net *net, uint64_t id)
{
    struct peer_node *n = &net->nodes[id - 1];

    if (n->t != NULL && !n->closing) {
        begin_stop(n);
    }
    RUN_UNTIL(net, n->t == NULL);
}

void peer_net_add(struct peer_net *net, uint64_t from, uint64_t to)
{
    char *url = xasprintf("http://127.0.0.1:%d", net->nodes[to - 1].port);

    assert_true(net->nodes[to - 1].port != 0);
    assert_int_equal(transport_add_peer(net->nodes[from - 1].t, to, url), 0);
    xfree(url);
}

void peer_net_start_all(struct peer_net *net, uint64_t n)
{
    for (uint64_t id = 1; id <= n; id++) {
        peer_net_start(net, id);
    }
    for (uint64_t from = 1; from <= n; from++) {
        for (uint64_t to = 1; to <= n; to++) {
            if (from != to) {
                peer_net_add(net, from, to);
            }
        }
    }
}

void peer_node_send(struct peer_node *n, const struct raft_message *m,
                    size_t count)
{
    n->sending = true;
    transport_send(n->t, m, count);
    n->sending = false;
}

bool peer_net_active(struct peer_net *net, uint64_t of, uint64_t with)
{
    struct transport_peer_status st;

    return transport_peer_status(net->nodes[of - 1].t, with, &st) && st.active;
}

bool peer_net_logged(struct peer_net *net, const char *text)
{
    return strstr(buf_cstr(&net->lines), text) != NULL;
}

void peer_net_turn(struct peer_net *net)
{
    (void)uv_run(&net->loop, UV_RUN_ONCE);
}

struct raft_message peer_message(uint64_t type, uint64_t from, uint64_t to)
{
    return (struct raft_message){
        .type = type, .from = from, .to = to, .term = 1};
}

struct raft_message peer_append(uint64_t from, uint64_t to, uint64_t index,
                                size_t len)
{
    struct raft_message m = peer_message(RAFT_MSG_APP, from, to);

    m.index = index - 1;
    m.log_term = index > 1 ? 1 : 0;
    raft_entries_take(&m.entries, test_entry_sized(index, 1, len));
    return m;
}

struct raft_message peer_snapshot(uint64_t from, uint64_t to, size_t len)
{
    struct raft_message m = peer_message(RAFT_MSG_SNAP, from, to);

    m.snapshot = test_snapshot(5, 1);
    id_list_push(&m.snapshot->conf_state.voters, 1);
    m.snapshot->data = xcalloc(len, 1);
    m.snapshot->len = len;
    return m;
}

void peer_net_send(struct peer_net *net, uint64_t from, struct raft_message m)
{
    peer_node_send(&net->nodes[from - 1], &m, 1);
    raft_message_release(&m);
}

struct peer *peer_net_peer(struct peer_net *net, uint64_t of, uint64_t id)
{
    return transport_find(net->nodes[of - 1].t, id);
}

bool peer_net_reads(struct peer_net *net, uint64_t of, uint64_t from,
                    enum stream_kind kind)
{
    return peer_net_peer(net, of, from)->readers[kind].state ==
           STREAM_READER_OPEN;
}

static bool writes(struct peer_net *net, uint64_t of, uint64_t to,
                   enum stream_kind kind)
{
    return peer_net_peer(net, of, to)->writers[kind].x != NULL;
}

bool peer_net_linked(struct peer_net *net, uint64_t a, uint64_t b)
{
    bool all = true;

    for (int k = 0; k < STREAM_KINDS; k++) {
        enum stream_kind kind = (enum stream_kind)k;

        all = all && peer_net_reads(net, a, b, kind) &&
              peer_net_reads(net, b, a, kind) && writes(net, a, b, kind) &&
              writes(net, b, a, kind);
    }
    return all;
}

void peer_net_start_linked(struct peer_net *net, uint64_t n)
{
    peer_net_start_all(net, n);
    for (uint64_t a = 1; a <= n; a++) {
        for (uint64_t b = a + 1; b <= n; b++) {
            RUN_UNTIL(net, peer_net_linked(net, a, b));
        }
    }
}

void peer_net_skip(struct peer_net *net, uint64_t of, uint64_t ms)
{
    net->nodes[of - 1].t->now_ms += ms;
}

/* --- raw sockets --- */

static void set_nonblocking(int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

int peer_raw_connect(uint16_t port)
{
    int fd = raw_dial(port);

    set_nonblocking(fd);
    return fd;
}

int peer_raw_listen(uint16_t *port)
{
    int fd = raw_listen(port);

    set_nonblocking(fd);
    return fd;
}

int peer_raw_accept(struct peer_net *net, int listener)
{
    int fd = -1;

    RUN_UNTIL(net, (fd = accept(listener, NULL, NULL)) >= 0);
    set_nonblocking(fd);
    return fd;
}

void peer_raw_write(struct peer_net *net, int fd, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            peer_net_turn(net);
        } else {
            return; /* the other end closed: the test sees it when it reads */
        }
    }
}

void peer_raw_puts(struct peer_net *net, int fd, const char *text)
{
    peer_raw_write(net, fd, text, strlen(text));
}

bool peer_raw_read(int fd, struct buf *b)
{
    for (;;) {
        uint8_t *room = buf_reserve(b, 65536);
        ssize_t n = recv(fd, room, 65536, 0);

        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        buf_commit(b, (size_t)n);
    }
}

static bool poll_in(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

static bool contains(const struct buf *b, const char *text)
{
    return b->len > 0 && memmem(b->data, b->len, text, strlen(text)) != NULL;
}

void peer_raw_read_until(struct peer_net *net, int fd, struct buf *b,
                         const char *text)
{
    bool open = true;

    while (open && (text == NULL || !contains(b, text))) {
        RUN_UNTIL(net, poll_in(fd));
        open = peer_raw_read(fd, b);
    }
    if (text != NULL && !contains(b, text)) {
        fail_msg("no \"%s\" in \"%s\"", text, buf_cstr(b));
    }
}

int peer_net_open_stream(struct peer_net *net, uint64_t of, const char *kind,
                         uint64_t as)
{
    char *request =
        xasprintf("GET /raft/stream/%s/%d HTTP/1.1\r\nHost: x\r\n"
                  "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"
                  "X-Etcd-Cluster-ID: 1000\r\nX-Raft-To: %d\r\n\r\n",
                  kind, (int)as, (int)of);
    struct buf in;
    int fd = peer_raw_connect(net->nodes[of - 1].port);

    buf_init(&in, BUF_UNLIMITED);
    peer_raw_puts(net, fd, request);
    peer_raw_read_until(net, fd, &in, "\r\n\r\n");
    assert_memory_equal(in.data, "HTTP/1.1 200 OK\r\n", 17);
    buf_release(&in);
    xfree(request);
    return fd;
}
