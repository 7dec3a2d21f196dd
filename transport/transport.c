/* The peer set and its life.
 *
 * Everything that takes time belongs to a peer (peer.c) or to a connection
 * (src/net). Here is who is a peer, what they are told when, and the end: all
 * peers are closed at once, the listener closes its connections, and in its
 * last callback everything is freed. */

#include "transport/transport_internal.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "transport/inbound.h"
#include "transport/peer.h"
#include "transport/remotes.h"

/* A snapshot may take long over a slow link; what does not move at all is
 * given up by its sender. */
#define PEER_BODY_TIMEOUT_MS 600000

/* A peer that takes no byte for so long, link heartbeats included, is gone. */
#define PEER_WRITE_TIMEOUT_MS 10000

static int listen_on(struct transport *t, const struct addr *addr,
                     size_t conns_max, struct errmsg *em)
{
    const struct http_listener_options o = {
        .addr = *addr,
        .what = "peer",
        .conns_max = conns_max,
        .header_timeout_ms = HTTP_HEADER_TIMEOUT_MS,
        .body_timeout_ms = PEER_BODY_TIMEOUT_MS,
        .idle_timeout_ms = HTTP_IDLE_TIMEOUT_MS,
        .write_timeout_ms = PEER_WRITE_TIMEOUT_MS,
        .allow = "GET, POST",
        .ops = &inbound_ops,
        .ctx = t,
    };

    return http_listener_open(t->net, &o, &t->listener, em);
}

int transport_open(const struct transport_options *o, struct transport **out,
                   struct errmsg *em)
{
    struct transport *t = xcalloc(1, sizeof(*t));

    ASSERT(o->id != RAFT_NONE);
    ASSERT(o->handler.process != NULL);
    ASSERT(o->handler.report_unreachable != NULL);
    ASSERT(o->handler.report_snapshot != NULL);
    ASSERT(o->handler.is_id_removed != NULL);
    ASSERT(o->handler.self_removed != NULL);
    ASSERT(o->handler.self_unknown != NULL);
    ASSERT(o->handler.own_url != NULL);
    ASSERT(o->handler.page != NULL);
    t->net = o->net;
    t->lg = o->lg;
    t->handler = o->handler;
    t->id = o->id;
    t->now_ms = t->net_ms = http_net_now_ms(o->net);
    t->refusals.every_ms = LOG_EVERY_MS;
    t->drops.every_ms = LOG_EVERY_MS;
    peer_fields_init(&t->fields, o->id, o->cluster_id);
    rng_seed(&t->rng, o->seed);
    list_init(&t->peers);
    list_init(&t->remotes);
    list_init(&t->leaving);
    list_init(&t->closed);

    int rc = listen_on(t, &o->listen,
                       o->conns_max == 0 ? PEER_CONNS_MAX : o->conns_max, em);
    if (rc < 0) {
        xfree(t);
        return rc;
    }
    *out = t;
    return 0;
}

void transport_warn(const struct transport *t, struct log_limit *l,
                    const char *fmt, ...)
{
    char line[384];
    uint64_t suppressed;
    va_list ap;

    if (!log_limit_pass(l, t->now_ms, &suppressed)) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (suppressed == 0) {
        log_warn(t->lg, "%s", line);
    } else {
        log_warn(t->lg, "%s (%" PRIu64 " more left out)", line, suppressed);
    }
}

const struct peer_fields *transport_fields(struct transport *t)
{
    ASSERT(!t->closing);
    peer_fields_set_url(&t->fields, t->handler.own_url(t->handler.ctx));
    return &t->fields;
}

/* --- the peer set --- */

bool transport_is_removed(const struct transport *t, uint64_t id)
{
    return !t->closing && t->handler.is_id_removed(t->handler.ctx, id);
}

struct peer *transport_find(const struct transport *t, uint64_t id)
{
    list_for_each (it, &t->peers) {
        struct peer *p = container_of(it, struct peer, link);

        if (p->id == id) {
            return p;
        }
    }
    return NULL;
}

int transport_add_peer(struct transport *t, uint64_t id, const char *url)
{
    struct bytes text = {(const uint8_t *)url, strlen(url)};
    struct addr addr;

    int rc = addr_parse_url(text, &addr, NULL);
    if (rc < 0 || id == RAFT_NONE) {
        return ERR_INVALID;
    }
    if (t->closing || id == t->id || transport_find(t, id) != NULL) {
        return 0;
    }
    if (t->n_peers >= MEMBERS_MAX) {
        return ERR_TOO_LARGE;
    }
    remotes_forget(t, id);
    struct peer *p = peer_new(t, id, &addr);
    list_push_back(&t->peers, &p->link);
    t->n_peers++;
    log_info(t->lg, "peer %" PRIx64 ": added at %s", id, url);
    return 0;
}

static void move(struct peer *p, struct list *to)
{
    list_remove(&p->link);
    list_push_back(to, &p->link);
}

void transport_remove_peer(struct transport *t, uint64_t id)
{
    struct peer *p = transport_find(t, id);

    remotes_forget(t, id);
    if (p == NULL) {
        return;
    }
    peer_leave(p);
    move(p, &t->leaving);
    t->n_peers--;
    log_info(t->lg, "peer %" PRIx64 ": removed", id);
}

int transport_update_peer(struct transport *t, uint64_t id, const char *url)
{
    struct bytes text = {(const uint8_t *)url, strlen(url)};
    struct peer *p = transport_find(t, id);
    struct addr addr;

    if (p == NULL) {
        return transport_add_peer(t, id, url);
    }
    int rc = addr_parse_url(text, &addr, NULL);
    if (rc < 0) {
        return ERR_INVALID;
    }
    peer_update(p, &addr);
    return 0;
}

bool transport_peer_status(const struct transport *t, uint64_t id,
                           struct transport_peer_status *out)
{
    const struct peer *p = transport_find(t, id);

    if (p == NULL) {
        return false;
    }
    *out = (struct transport_peer_status){
        .id = id,
        .active = peer_is_active(p),
        .sent_bytes = p->sent_bytes,
        .received_bytes = p->received_bytes,
        .dropped_messages = p->dropped_messages,
    };
    addr_print_url(&p->addr, out->url);
    return true;
}

/* --- messages --- */

/* The core does not make messages that the other end refuses, but it may hand
 * on one that came from elsewhere. */
static bool may_leave(struct transport *t, const struct raft_message *m)
{
    const char *reason = NULL;

    if (message_check(m, m->to, &reason) == MESSAGE_GOOD) {
        return true;
    }
    transport_warn(t, &t->drops, "%s to %" PRIx64 " not sent: %s",
                   raft_message_type_name(m->type), m->to, reason);
    return false;
}

static void send_one(struct transport *t, const struct raft_message *m)
{
    struct peer *p = m->to == t->id ? NULL : transport_find(t, m->to);

    if (p == NULL) {
        p = remotes_use(t, m->to);
    }
    if (p == NULL) {
        log_debug(t->lg, "%s to %" PRIx64 " dropped: no such peer",
                  raft_message_type_name(m->type), m->to);
        return;
    }
    if (may_leave(t, m)) {
        peer_send(p, m);
    }
}

void transport_send(struct transport *t, const struct raft_message *messages,
                    size_t n)
{
    if (t->closing) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        send_one(t, &messages[i]);
    }
    list_for_each (it, &t->peers) {
        peer_flush(container_of(it, struct peer, link));
    }
}

bool transport_has_news(const struct transport *t)
{
    return t->has_news;
}

void transport_send_news(struct transport *t)
{
    t->has_news = false;
    if (t->closing) {
        return;
    }
    list_for_each (it, &t->peers) {
        struct peer *p = container_of(it, struct peer, link);

        stream_writer_send_news(&p->writers[STREAM_MSGAPP]);
    }
}

/* A forwarded proposal names whoever made it, so what a removed member left
 * behind may come from others, too [reliability F23]. */
static enum message_verdict
screen(struct transport *t, const struct raft_message *m, const char **reason)
{
    enum message_verdict v = message_check(m, t->id, reason);

    if (v == MESSAGE_GOOD && transport_is_removed(t, m->from)) {
        *reason = "its sender was removed";
        return MESSAGE_IGNORED;
    }
    return v;
}

struct reception transport_receive(struct transport *t,
                                   const struct raft_message *m,
                                   const char *where)
{
    struct reception got = {.verdict = MESSAGE_IGNORED, .reason = "stopping"};

    if (t->closing) {
        return got;
    }
    got.verdict = screen(t, m, &got.reason);
    if (got.verdict == MESSAGE_GOOD) {
        got.rc = t->handler.process(t->handler.ctx, m);
        return got;
    }
    transport_warn(t, &t->refusals, "%s from %" PRIx64 " by %s refused: %s",
                   raft_message_type_name(m->type), m->from, where, got.reason);
    return got;
}

/* --- time --- */

static void advance_clock(struct transport *t)
{
    uint64_t net_ms = http_net_now_ms(t->net);
    uint64_t step = net_ms > t->net_ms ? net_ms - t->net_ms : 0;

    t->now_ms += min_u64(step, CLOCK_STEP_MAX_MS);
    t->net_ms = net_ms;
}

static void free_closed(struct transport *t)
{
    struct list *it;

    while ((it = list_pop_front(&t->closed)) != NULL) {
        peer_free(container_of(it, struct peer, link));
    }
}

static struct peer *first_with_news(struct list *peers)
{
    list_for_each (it, peers) {
        struct peer *p = container_of(it, struct peer, link);

        if (peer_has_news(p)) {
            return p;
        }
    }
    return NULL;
}

static struct peer *next_with_news(struct transport *t)
{
    struct peer *p = first_with_news(&t->peers);

    return p != NULL ? p : first_with_news(&t->remotes);
}

void transport_tick(struct transport *t)
{
    struct peer *p;

    if (t->closing) {
        return;
    }
    advance_clock(t);
    free_closed(t);
    list_for_each (it, &t->peers) {
        peer_tick(container_of(it, struct peer, link));
    }
    list_for_each (it, &t->remotes) {
        peer_tick(container_of(it, struct peer, link));
    }
    list_for_each_safe (it, &t->leaving) {
        p = container_of(it, struct peer, link);
        peer_tick(p);
        if (p->state == PEER_CLOSED) {
            move(p, &t->closed);
        }
    }
    /* The handler may add and remove peers: look anew after each call. */
    while (!t->closing && (p = next_with_news(t)) != NULL) {
        peer_report(p);
    }
}

/* --- the end --- */

static void close_all(struct transport *t, struct list *peers)
{
    list_for_each_safe (it, peers) {
        struct peer *p = container_of(it, struct peer, link);

        peer_close(p);
        move(p, &t->closed);
    }
}

static void on_listener_closed(void *ctx)
{
    struct transport *t = ctx;
    void (*cb)(void *ctx) = t->closed_cb;
    void *cb_ctx = t->closed_ctx;

    free_closed(t);
    xfree(t);
    if (cb != NULL) {
        cb(cb_ctx);
    }
}

void transport_close(struct transport *t, void (*cb)(void *ctx), void *ctx)
{
    ASSERT(!t->closing);
    t->closing = true;
    t->closed_cb = cb;
    t->closed_ctx = ctx;
    close_all(t, &t->peers);
    close_all(t, &t->remotes);
    close_all(t, &t->leaving);
    t->n_peers = t->n_remotes = 0;
    http_listener_close(t->listener, on_listener_closed, t);
}
