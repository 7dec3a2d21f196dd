/* Listeners: accept connections while there is a slot, stop, close.
 *
 * What can go wrong: no slot is free: the listener does not accept, so libuv
 * holds one connection and polls no more, and the kernel's queue holds the
 * others [reliability F16]. A slot that becomes free is given to them at once.
 * Closing waits for every connection's close callback; the listener is freed
 * behind the last. */

#include "src/net/http_server.h"

#include "src/base/alloc.h"

/* Lines about full listeners and refused requests: one per listener in this
 * time. */
#define LOG_EVERY_MS 10000

/* Accept the connection that libuv holds. */
static void accept_one(struct http_listener *l)
{
    struct server_conn *sc = server_conn_new(l);

    list_push_back(&l->conns, &sc->node);
    l->n_conns++;

    int rc = uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&sc->c.tcp);
    if (rc != 0) {
        http_conn_close(&sc->c);
        return;
    }
    http_conn_start(&sc->c);
    server_conn_update_deadline(sc);
}

static void log_full(struct http_listener *l, const char *why)
{
    uint64_t more;

    if (log_limit_pass(&l->full_limit, uv_now(l->net->loop), &more)) {
        log_warn(l->net->lg,
                 "%s listener: %s, new connections wait (%zu are open)",
                 l->o.what, why, l->n_conns);
    }
}

/* Accept what libuv holds, if there is a slot; libuv does not poll the listener
 * while it holds one, so that others wait in the kernel [reliability F16]. */
static void accept_waiting(struct http_listener *l)
{
    if (l->n_conns >= l->o.conns_max) {
        l->accept_waits = true;
        log_full(l, "all connections are in use");
        return;
    }
    l->accept_waits = false;
    accept_one(l);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct http_listener *l = stream->data;

    if (status < 0) {
        log_full(l, uv_strerror(status));
        return;
    }
    accept_waiting(l);
}

static void maybe_free_listener(struct http_listener *l)
{
    if (!l->closing || !l->handle_gone || l->n_conns > 0) {
        return;
    }
    struct http_net *net = l->net;
    void (*cb)(void *ctx) = l->close_cb;
    void *ctx = l->close_ctx;

    xfree(l);
    http_net_unref(net);
    if (cb != NULL) {
        cb(ctx);
    }
}

void http_listener_conn_gone(struct http_listener *l)
{
    ASSERT(l->n_conns > 0);
    l->n_conns--;
    if (l->accept_waits && !l->stopped) {
        accept_waiting(l);
    }
    maybe_free_listener(l);
}

/* The address to bind. A name may have several; IPv4 is preferred, as Go's
 * net.Listen does, because that is what "localhost" is dialed as. */
static int resolve(struct http_net *net, const struct addr *a,
                   struct sockaddr_storage *out)
{
    uv_getaddrinfo_t req;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    char service[8];
    const struct addrinfo *best = NULL;

    (void)snprintf(service, sizeof(service), "%u", (unsigned)a->port);
    int rc = uv_getaddrinfo(net->loop, &req, NULL, a->host, service, &hints);
    if (rc != 0) {
        return rc;
    }
    for (const struct addrinfo *ai = req.addrinfo; ai != NULL;
         ai = ai->ai_next) {
        if (best == NULL ||
            (best->ai_family != AF_INET && ai->ai_family == AF_INET)) {
            best = ai;
        }
    }
    ASSERT(best != NULL);
    ASSERT(best->ai_addrlen <= sizeof(*out));
    memcpy(out, best->ai_addr, best->ai_addrlen);
    uv_freeaddrinfo(req.addrinfo);
    return 0;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *l = handle->data;

    l->handle_gone = true;
    maybe_free_listener(l);
}

static void stop_listening(struct http_listener *l)
{
    if (!l->stopped) {
        l->stopped = true;
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
    }
}

static int bind_and_listen(struct http_listener *l)
{
    struct sockaddr_storage ss;
    int len = (int)sizeof(ss);

    memset(&ss, 0, sizeof(ss));
    int rc = resolve(l->net, &l->o.addr, &ss);
    if (rc != 0) {
        return rc;
    }
    rc = uv_tcp_bind(&l->tcp, (struct sockaddr *)&ss, 0);
    if (rc != 0) {
        return rc;
    }
    rc = uv_listen((uv_stream_t *)&l->tcp, HTTP_BACKLOG, on_connection);
    if (rc != 0) {
        return rc;
    }
    rc = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&ss, &len);
    if (rc != 0) {
        return rc;
    }
    l->port =
        ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                       : ((struct sockaddr_in *)&ss)->sin_port);
    return 0;
}

int http_listener_open(struct http_net *net,
                       const struct http_listener_options *o,
                       struct http_listener **out, struct errmsg *em)
{
    struct http_listener *l = xcalloc(1, sizeof(*l));

    ASSERT(o->conns_max > 0);
    l->net = net;
    l->o = *o;
    l->full_limit.every_ms = LOG_EVERY_MS;
    l->refused_limit.every_ms = LOG_EVERY_MS;
    list_init(&l->conns);
    http_net_ref(net);
    int rc = uv_tcp_init(net->loop, &l->tcp);
    ASSERT(rc == 0); /* no socket is made yet */
    l->tcp.data = l;

    rc = bind_and_listen(l);
    if (rc != 0) {
        goto err_close;
    }
    *out = l;
    return 0;

err_close:
    l->closing = true;
    stop_listening(l);
    return errmsg_text(em, rc, "listen on %s:%u: %s", o->addr.host,
                       (unsigned)o->addr.port, uv_strerror(rc));
}

uint16_t http_listener_port(const struct http_listener *l)
{
    return l->port;
}

size_t http_listener_conns(const struct http_listener *l)
{
    return l->n_conns;
}

void http_listener_drain(struct http_listener *l)
{
    l->draining = true;
    stop_listening(l);
    list_for_each (it, &l->conns) {
        struct server_conn *sc = container_of(it, struct server_conn, node);

        if (server_conn_is_idle(sc)) {
            http_conn_finish(&sc->c);
        }
    }
}

void http_listener_close(struct http_listener *l, void (*cb)(void *ctx),
                         void *ctx)
{
    ASSERT(!l->closing);
    l->closing = true;
    l->close_cb = cb;
    l->close_ctx = ctx;
    stop_listening(l);
    list_for_each (it, &l->conns) {
        http_conn_close(&container_of(it, struct server_conn, node)->c);
    }
    /* With nothing left, its own close callback still lies ahead, unless it
     * was drained before: then the callback must not come from inside. */
    if (l->handle_gone && l->n_conns == 0) {
        l->handle_gone = false;
        int rc = uv_tcp_init(l->net->loop, &l->tcp);
        ASSERT(rc == 0);
        l->tcp.data = l;
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
    }
}
