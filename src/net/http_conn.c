/* One stream, bounded, timed, closed in order; and the net that owns the
 * timer, the pools and the flush.
 *
 * The happy path: http_conn_start reads; each read goes to the role; what the
 * role appends to `out` leaves at http_net_flush, at once if the socket takes
 * it (uv_try_write), else by one uv_write that carries the buffer while a
 * second one collects. http_conn_finish writes the rest, sends a FIN, waits
 * for the other end's and closes.
 *
 * What can go wrong: a read or write fails: on_broken, and the role closes. The
 * other end takes no byte for write_timeout_ms: the same. The role's deadline
 * comes: on_deadline. The other end does not close after our FIN: closed at
 * HTTP_LINGER_MS. In every case the close callback is the last thing that
 * happens, after libuv has ended the write request, and on_gone frees. */

#include "src/net/http_internal.h"

#include <strings.h>
#include <time.h>

#include "src/base/alloc.h"

/* The walk over all deadlines happens at most this often. */
#define WALK_EVERY_MS 10
/* Seconds of silence before the kernel probes a connection. */
#define KEEPALIVE_S 30

/* --- the net --- */

static void on_timer(uv_timer_t *timer);

struct http_net *http_net_new(uv_loop_t *loop, const struct logger *lg)
{
    struct http_net *net = xcalloc(1, sizeof(*net));

    net->loop = loop;
    net->lg = lg;
    net->timer_due_ms = HTTP_NEVER;
    list_init(&net->conns);
    list_init(&net->dirty);
    list_init(&net->todo);
    list_init(&net->free_exchanges);
    return net;
}

uint64_t http_net_now_ms(const struct http_net *net)
{
    return uv_now(net->loop);
}

uint64_t http_net_inputs(const struct http_net *net)
{
    return net->inputs;
}

void http_net_trim(struct http_net *net)
{
    while (net->n_pool > 0) {
        buf_release(&net->pool[--net->n_pool]);
    }
    net->pool_bytes = 0;
}

static void free_net(struct http_net *net)
{
    struct list *node;

    http_net_trim(net);
    /* The node is an exchange's first field, and its memory. */
    while ((node = list_pop_front(&net->free_exchanges)) != NULL) {
        xfree(node);
    }
    xfree(net);
}

void http_net_free(struct http_net *net)
{
    if (net == NULL) {
        return;
    }
    ASSERT(net->users == 0);
    ASSERT(list_is_empty(&net->conns));
    net->freeing = true;
    if (net->timer_state == NET_TIMER_NONE) {
        free_net(net);
    }
}

static void open_timer(struct http_net *net)
{
    int rc = uv_timer_init(net->loop, &net->timer);

    ASSERT(rc == 0);
    net->timer.data = net;
    net->timer_state = NET_TIMER_OPEN;
    net->timer_due_ms = HTTP_NEVER;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_net *net = handle->data;

    net->timer_state = NET_TIMER_NONE;
    if (net->freeing) {
        free_net(net);
    } else if (net->users > 0) {
        /* Taken into use again while it was closing; deadlines that were set
         * meanwhile are found by a walk. */
        open_timer(net);
        http_net_arm(net, uv_now(net->loop));
    }
}

void http_net_ref(struct http_net *net)
{
    ASSERT(!net->freeing);
    net->users++;
    if (net->timer_state == NET_TIMER_NONE) {
        open_timer(net);
    }
}

void http_net_unref(struct http_net *net)
{
    ASSERT(net->users > 0);
    net->users--;
    if (net->users == 0 && net->timer_state == NET_TIMER_OPEN) {
        net->timer_state = NET_TIMER_CLOSING;
        uv_close((uv_handle_t *)&net->timer, on_timer_closed);
    }
}

void http_net_arm(struct http_net *net, uint64_t at_ms)
{
    uint64_t now = uv_now(net->loop);

    if (net->timer_state != NET_TIMER_OPEN || at_ms >= net->timer_due_ms) {
        return;
    }
    net->timer_due_ms = at_ms;
    int rc =
        uv_timer_start(&net->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
    ASSERT(rc == 0);
}

void http_net_take_buf(struct http_net *net, struct buf *b)
{
    ASSERT(b->data == NULL);
    if (net->n_pool > 0) {
        size_t limit = b->limit;

        *b = net->pool[--net->n_pool];
        net->pool_bytes -= b->cap;
        b->limit = limit;
    }
}

void http_net_give_buf(struct http_net *net, struct buf *b)
{
    size_t limit = b->limit;

    buf_reset(b);
    if (b->data == NULL || b->cap > HTTP_POOL_BUF_MAX ||
        b->cap > HTTP_POOL_BYTES_MAX - net->pool_bytes ||
        net->n_pool == HTTP_POOL_BUFS) {
        buf_release(b);
        return;
    }
    net->pool_bytes += b->cap;
    net->pool[net->n_pool++] = *b;
    buf_init(b, limit);
}

/* RFC 9110 5.6.7. Made by hand: strftime follows the locale. */
struct bytes http_net_date(struct http_net *net)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed",
                                       "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
    uint64_t now = uv_now(net->loop);
    uv_timeval64_t tv;
    struct tm tm;

    if (net->date_len > 0 && now < net->date_due_ms) {
        return (struct bytes){(const uint8_t *)net->date, net->date_len};
    }
    if (uv_gettimeofday(&tv) != 0) {
        return (struct bytes){NULL, 0};
    }
    time_t t = (time_t)tv.tv_sec;
    if (gmtime_r(&t, &tm) == NULL) {
        return (struct bytes){NULL, 0};
    }
    int n = snprintf(
        net->date, sizeof(net->date),
        "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n", days[tm.tm_wday % 7],
        (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
        (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
        (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    ASSERT(n > 0 && (size_t)n < sizeof(net->date));
    net->date_len = (size_t)n;
    net->date_due_ms = now + 1000 - (uint64_t)tv.tv_usec / 1000;
    return (struct bytes){(const uint8_t *)net->date, net->date_len};
}

/* --- life of a connection --- */

void http_conn_init(struct http_conn *c, struct http_net *net,
                    const struct http_conn_ops *ops, size_t in_max)
{
    c->net = net;
    c->ops = ops;
    c->state = HTTP_CONN_OPEN;
    c->deadline_ms = HTTP_NEVER;
    c->write_due_ms = HTTP_NEVER;
    buf_init(&c->in, in_max);
    buf_init(&c->out, BUF_UNLIMITED);
    buf_init(&c->sent, BUF_UNLIMITED);
    list_init(&c->dirty_node);
    list_init(&c->todo_node);

    int rc = uv_tcp_init(net->loop, &c->tcp);
    ASSERT(rc == 0); /* no socket is made yet */
    c->tcp.data = c;
    http_net_ref(net);
    list_push_back(&net->conns, &c->node);
}

static void on_closed(uv_handle_t *handle)
{
    struct http_conn *c = handle->data;
    struct http_net *net = c->net;

    ASSERT(!c->writing);
    list_remove(&c->node);
    list_remove(&c->dirty_node);
    list_remove(&c->todo_node);
    http_net_give_buf(net, &c->in);
    http_net_give_buf(net, &c->out);
    http_net_give_buf(net, &c->sent);
    xfree(c->tail);
    c->ops->on_gone(c);
    http_net_unref(net);
}

void http_conn_close(struct http_conn *c)
{
    if (c->state == HTTP_CONN_CLOSING) {
        return;
    }
    if (log_enabled(c->net->lg, LOG_DEBUG)) {
        (void)http_conn_peer(c); /* the socket can say it now, but not later */
    }
    c->state = HTTP_CONN_CLOSING;
    c->deadline_ms = HTTP_NEVER;
    c->write_due_ms = HTTP_NEVER;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void http_conn_set_deadline(struct http_conn *c, uint64_t at_ms)
{
    c->deadline_ms = at_ms;
    if (at_ms != HTTP_NEVER) {
        http_net_arm(c->net, at_ms);
    }
}

const char *http_conn_peer(struct http_conn *c)
{
    struct sockaddr_storage ss;
    int len = (int)sizeof(ss);
    char ip[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;

    if (c->peer[0] != '\0') {
        return c->peer;
    }
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&ss, &len) != 0) {
        return "?";
    }
    (void)uv_ip_name((struct sockaddr *)&ss, ip, sizeof(ip));
    if (ss.ss_family == AF_INET6) {
        port = ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
        (void)snprintf(c->peer, sizeof(c->peer), "[%s]:%u", ip, port);
    } else {
        port = ntohs(((struct sockaddr_in *)&ss)->sin_port);
        (void)snprintf(c->peer, sizeof(c->peer), "%s:%u", ip, port);
    }
    return c->peer;
}

/* --- input --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct http_conn *c = handle->data;

    /* Shared by all: what is not done with is copied before the next read. */
    (void)suggested;
    *buf = uv_buf_init((char *)c->net->read_buf, sizeof(c->net->read_buf));
}

static void stop_reading(struct http_conn *c)
{
    if (c->reading) {
        c->reading = false;
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
    }
}

/* Hand the waiting input, and `more` behind it, to the role. */
static void take_input(struct http_conn *c, struct bytes more)
{
    bool held = c->in.len > 0;
    struct bytes in = more;

    if (held) {
        int rc = buf_append(&c->in, more.data, more.len);
        ASSERT(rc == 0); /* reading stops long before the limit */
        in = buf_bytes(&c->in);
    }

    size_t used = c->ops->on_input(c, in);
    ASSERT(used <= in.len);
    if (c->state != HTTP_CONN_OPEN) {
        used = in.len;
    }
    if (held) {
        buf_consume(&c->in, used);
        if (c->in.len == 0) {
            http_net_give_buf(c->net, &c->in);
        }
    } else if (used < in.len) {
        http_net_take_buf(c->net, &c->in);
        int rc = buf_append(&c->in, in.data + used, in.len - used);
        ASSERT(rc == 0);
    }
    if (c->paused) {
        stop_reading(c);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct http_conn *c = stream->data;

    if (n == 0) {
        return;
    }
    if (n > 0) {
        c->net->inputs++;
        if (c->state == HTTP_CONN_OPEN) {
            take_input(c, (struct bytes){(uint8_t *)buf->base, (size_t)n});
        }
        return;
    }
    stop_reading(c);
    if (n == UV_EOF) {
        c->eof = true;
        if (c->state == HTTP_CONN_OPEN) {
            c->ops->on_broken(c, UV_EOF);
        } else if (c->state == HTTP_CONN_LINGERING) {
            http_conn_close(c);
        }
        return;
    }
    if (c->state == HTTP_CONN_OPEN) {
        c->ops->on_broken(c, (int)n);
    }
    http_conn_close(c);
}

static void start_reading(struct http_conn *c)
{
    if (c->reading || c->eof || c->paused || c->state == HTTP_CONN_CLOSING) {
        return;
    }
    int rc = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (rc != 0) {
        c->ops->on_broken(c, rc);
        http_conn_close(c);
        return;
    }
    c->reading = true;
}

void http_conn_start(struct http_conn *c)
{
    /* Answers are small and wanted now; the other end may vanish. */
    (void)uv_tcp_nodelay(&c->tcp, 1);
    (void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    start_reading(c);
}

void http_conn_resume(struct http_conn *c)
{
    if (c->state != HTTP_CONN_OPEN) {
        return;
    }
    c->paused = false;
    if (c->in.len > 0) {
        take_input(c, (struct bytes){NULL, 0});
    }
    if (c->state == HTTP_CONN_OPEN) {
        start_reading(c);
    }
}

/* --- output --- */

struct buf *http_conn_out(struct http_conn *c)
{
    if (c->out.data == NULL) {
        http_net_take_buf(c->net, &c->out);
    }
    return &c->out;
}

void http_conn_dirty(struct http_conn *c)
{
    list_remove(&c->dirty_node);
    list_push_back(&c->net->dirty, &c->dirty_node);
}

void http_conn_todo(struct http_conn *c)
{
    if (c->state == HTTP_CONN_CLOSING) {
        return;
    }
    list_remove(&c->todo_node);
    list_push_back(&c->net->todo, &c->todo_node);
    http_net_arm(c->net, 0);
}

size_t http_conn_queued(const struct http_conn *c)
{
    size_t n = c->out.len;

    /* While `writing`, libuv's queue holds the tail too. */
    return n +
           (c->writing
                ? uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp)
                : c->tail_len);
}

static void linger(struct http_conn *c)
{
    c->state = HTTP_CONN_LINGERING;
    if (c->eof) {
        http_conn_close(c);
        return;
    }
    http_conn_set_deadline(
        c, min_u64(c->deadline_ms, uv_now(c->net->loop) + HTTP_LINGER_MS));
    c->paused = false;
    start_reading(c);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct http_conn *c = req->handle->data;

    if (c->state == HTTP_CONN_CLOSING) {
        return;
    }
    if (status < 0) {
        http_conn_close(c);
        return;
    }
    linger(c);
}

/* Nothing is left to write. */
static void all_sent(struct http_conn *c)
{
    if (c->state == HTTP_CONN_FINISHING && !c->shutting_down) {
        c->shutting_down = true;
        if (uv_shutdown(&c->shutdown_req, (uv_stream_t *)&c->tcp,
                        on_shutdown) != 0) {
            http_conn_close(c);
        }
        return;
    }
    if (c->state == HTTP_CONN_OPEN && c->notify_sent) {
        http_conn_todo(c);
    }
}

/* Give back what was written, whether by try_write or by libuv. */
static void release_sent(struct http_conn *c, struct buf *b)
{
    http_net_give_buf(c->net, b);
    xfree(c->tail);
    c->tail = NULL;
    c->tail_len = 0;
}

static void write_failed(struct http_conn *c, int rc)
{
    if (c->state == HTTP_CONN_OPEN) {
        c->ops->on_broken(c, rc);
    }
    http_conn_close(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct http_conn *c = req->handle->data;

    c->writing = false;
    c->write_due_ms = HTTP_NEVER;
    release_sent(c, &c->sent);
    if (c->state == HTTP_CONN_CLOSING) {
        return;
    }
    if (status < 0) {
        write_failed(c, status);
        return;
    }
    if (c->out.len > 0) {
        http_conn_dirty(c);
    } else {
        all_sent(c);
    }
}

static void mark_progress(struct http_conn *c, size_t queued)
{
    c->write_mark = queued;
    if (c->write_timeout_ms > 0) {
        c->write_due_ms = uv_now(c->net->loop) + c->write_timeout_ms;
        http_net_arm(c->net, c->write_due_ms);
    }
}

/* The socket took `done` bytes of `out` and `tail`; libuv gets the others,
 * which stay where they are until on_written. */
static void write_rest(struct http_conn *c, size_t done)
{
    uv_buf_t bufs[2];
    unsigned n = 0;
    size_t of_out = done < c->out.len ? done : c->out.len;
    size_t of_tail = done - of_out;
    size_t left = c->out.len + c->tail_len - done;

    ASSERT(c->sent.data == NULL);
    c->sent = c->out;
    buf_init(&c->out, BUF_UNLIMITED);
    if (of_out < c->sent.len) {
        bufs[n++] = (uv_buf_t){.base = (char *)c->sent.data + of_out,
                               .len = c->sent.len - of_out};
    }
    if (of_tail < c->tail_len) {
        bufs[n++] = (uv_buf_t){.base = (char *)c->tail + of_tail,
                               .len = c->tail_len - of_tail};
    }
    c->writing = true;
    int rc =
        uv_write(&c->write_req, (uv_stream_t *)&c->tcp, bufs, n, on_written);
    if (rc != 0) {
        c->writing = false;
        write_failed(c, rc);
        return;
    }
    mark_progress(c, left);
}

static void flush_conn(struct http_conn *c)
{
    size_t total = c->out.len + (c->writing ? 0 : c->tail_len);

    if (c->writing || c->state == HTTP_CONN_CLOSING) {
        return;
    }
    if (total == 0) {
        all_sent(c);
        return;
    }
    uv_buf_t bufs[2] = {
        {.base = (char *)c->out.data, .len = c->out.len},
        {.base = (char *)c->tail, .len = c->tail_len},
    };
    int n = uv_try_write((uv_stream_t *)&c->tcp, bufs, c->tail_len > 0 ? 2 : 1);
    if (n == UV_EAGAIN) {
        n = 0;
    }
    if (n < 0) {
        write_failed(c, n);
        return;
    }
    if ((size_t)n < total) {
        write_rest(c, (size_t)n);
        return;
    }
    release_sent(c, &c->out);
    all_sent(c);
}

void http_net_flush(struct http_net *net)
{
    struct list *node;

    while ((node = list_pop_front(&net->dirty)) != NULL) {
        flush_conn(container_of(node, struct http_conn, dirty_node));
    }
}

void http_conn_finish(struct http_conn *c)
{
    if (c->state != HTTP_CONN_OPEN) {
        return;
    }
    c->state = HTTP_CONN_FINISHING;
    c->deadline_ms = HTTP_NEVER;
    c->paused = false;
    start_reading(c);
    http_conn_dirty(c);
}

/* --- time --- */

static void check_write(struct http_conn *c, uint64_t now)
{
    if (now < c->write_due_ms) {
        return;
    }
    size_t queued =
        uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
    if (queued < c->write_mark) {
        mark_progress(c, queued);
        return;
    }
    log_debug(c->net->lg, "%s takes no bytes, closing", http_conn_peer(c));
    write_failed(c, UV_ETIMEDOUT);
}

static void check_deadline(struct http_conn *c, uint64_t now)
{
    if (now < c->deadline_ms) {
        return;
    }
    c->deadline_ms = HTTP_NEVER;
    if (c->state == HTTP_CONN_OPEN) {
        c->ops->on_deadline(c);
    } else {
        http_conn_close(c);
    }
}

/* Closing a connection only begins here; it leaves the list in its close
 * callback, so the walk is safe. */
static void on_timer(uv_timer_t *timer)
{
    struct http_net *net = timer->data;
    uint64_t now = uv_now(net->loop);
    uint64_t next = HTTP_NEVER;
    struct list todo;
    struct list *node;

    net->timer_due_ms = HTTP_NEVER;
    list_init(&todo);
    list_splice(&todo, &net->todo);
    while ((node = list_pop_front(&todo)) != NULL) {
        struct http_conn *c = container_of(node, struct http_conn, todo_node);

        if (c->state == HTTP_CONN_OPEN) {
            c->ops->on_todo(c);
        }
    }
    list_for_each (it, &net->conns) {
        struct http_conn *c = container_of(it, struct http_conn, node);

        check_write(c, now);
        check_deadline(c, now);
        next = min_u64(next, min_u64(c->deadline_ms, c->write_due_ms));
    }
    if (next != HTTP_NEVER) {
        http_net_arm(net, max_u64(next, now + WALK_EVERY_MS));
    }
    if (!list_is_empty(&net->todo)) {
        http_net_arm(net, 0);
    }
}
