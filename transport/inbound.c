/* The endpoints of the peer port.
 *
 * A request is judged when its head is complete, by the checks of
 * formats-transport 3 and 4 in their order, and mostly answered then. Two go
 * on: POST /raft waits for its body, and a stream request that passes becomes
 * the writer of its peer. If the connection of a stream is lost, its writer is
 * told; a POST that is lost leaves nothing behind. Either may say where a
 * sender is to be answered that is no peer (remotes.h).
 *
 * Answers to bad requests of the stream endpoint keep the connection, as Go
 * peers use it for their next attempt. A POST whose body is not read, and one
 * whose message is refused, closes it [reliability F22]. */

#include "transport/inbound.h"

#include <inttypes.h>
#include <uv.h>

#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "transport/peer.h"
#include "transport/remotes.h"
#include "transport/transport_internal.h"

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define NOSNIFF    "X-Content-Type-Options: nosniff\r\n"

#define PAGE_MAX (16 * MiB)

/* --- answers --- */

/* An error: a line of text, and what the endpoint says in every answer. */
static void refuse(struct http_exchange *x, int status, const char *line,
                   const char *fields, bool close)
{
    char all[512];
    char body[160];

    int n = snprintf(body, sizeof(body), "%s\n", line);
    ASSERT(n > 0 && (size_t)n < sizeof(body));
    int m = snprintf(all, sizeof(all), NOSNIFF "%s", fields);
    ASSERT(m > 0 && (size_t)m < sizeof(all));
    http_respond(x, &(struct http_response){
                        .status = status,
                        .content_type = TEXT_PLAIN,
                        .fields = all,
                        .body = {(const uint8_t *)body, (size_t)n},
                        .close = close,
                    });
}

static void refuse_method(struct http_exchange *x, const char *allowed)
{
    char fields[64];

    (void)snprintf(fields, sizeof(fields), "Allow: %s\r\n", allowed);
    refuse(x, 405, "Method Not Allowed", fields, false);
}

static void not_found(struct http_exchange *x)
{
    refuse(x, 404, "404 page not found", "", false);
}

/* `body` is the hint that Go gives to those who do not follow; "": none. */
static void redirect(struct http_exchange *x, struct bytes to, const char *body)
{
    char fields[HTTP_REQUEST_LINE_MAX + 32];

    int n = snprintf(fields, sizeof(fields), "Location: %.*s\r\n", (int)to.len,
                     (const char *)to.data);
    ASSERT(n > 0 && (size_t)n < sizeof(fields));
    http_respond(x, &(struct http_response){
                        .status = 301,
                        .content_type =
                            *body == '\0' ? NULL : "text/html; charset=utf-8",
                        .fields = fields,
                        .body = {(const uint8_t *)body, strlen(body)},
                    });
}

static void redirect_to_streams(struct http_exchange *x)
{
    static const char TO[] = PATH_STREAM "/";

    redirect(x, (struct bytes){(const uint8_t *)TO, sizeof(TO) - 1},
             "<a href=\"" PATH_STREAM "/\">Moved Permanently</a>.\n\n");
}

/* "//raft" is cleaned, as Go's server does. */
static void redirect_to_clean(struct http_exchange *x, struct bytes path)
{
    while (path.len > 1 && path.data[1] == '/') {
        path.data++;
        path.len--;
    }
    redirect(x, path, "");
}

/* --- the checks that POST and streams share --- */

/* NULL if the sender may talk to us, else the text of the 412. */
static const char *check_sender(const struct transport *t,
                                const struct http_head *h)
{
    if (!peer_versions_compatible(
            http_head_field(h, "X-Server-Version"),
            http_head_field(h, "X-Min-Cluster-Version"))) {
        return "incompatible version";
    }
    if (!bytes_equal(http_head_field(h, "X-Etcd-Cluster-ID"),
                     t->fields.cluster_id)) {
        return "cluster ID mismatch";
    }
    return NULL;
}

static void warn_sender(struct transport *t, const struct http_exchange *x,
                        const char *why)
{
    transport_warn(t, &t->refusals, "request from %s refused: %s",
                   http_exchange_peer(x), why);
}

#define BAD_URLS "malformed X-PeerURLs"

/* Who passed the checks and is no peer says in X-PeerURLs where it is to be
 * answered. False if that is malformed. */
static bool learn_sender(struct transport *t, uint64_t id,
                         const struct http_head *h)
{
    struct bytes urls = http_head_field(h, "X-PeerURLs");
    struct addr addr;

    if (urls.len == 0 || transport_find(t, id) != NULL) {
        return true;
    }
    if (!peer_urls_parse(urls, &addr)) {
        return false;
    }
    remotes_learn(t, id, &addr);
    return true;
}

/* --- POST /raft --- */

/* The sender of the request, not that of the message in it: a member hands on
 * proposals of others, and must not hear that it was removed itself. */
static uint64_t sender_of(const struct http_head *h)
{
    uint64_t id;

    return hex_id_parse(http_head_field(h, "X-Server-From"), &id) ? id
                                                                  : RAFT_NONE;
}

static void post_head(struct transport *t, struct http_exchange *x,
                      const struct http_head *h)
{
    if (!bytes_equal(h->method, "POST")) {
        refuse_method(x, "POST");
        return;
    }
    const char *why = check_sender(t, h);
    if (why != NULL) {
        warn_sender(t, x, why);
        refuse(x, 412, why, t->fields.answer, false);
        return;
    }
    if (transport_is_removed(t, sender_of(h))) {
        refuse(x, 410, "removed member", t->fields.answer, false);
        return;
    }
    if (!learn_sender(t, sender_of(h), h)) {
        warn_sender(t, x, BAD_URLS);
        refuse(x, 400, BAD_URLS, t->fields.answer, false);
        return;
    }
    http_accept_body(x, PEER_MESSAGE_MAX);
}

static void post_answer(struct transport *t, struct http_exchange *x,
                        const struct reception *got)
{
    const char *fields = t->fields.answer;

    switch (got->verdict) {
    case MESSAGE_GOOD:
        if (got->rc < 0) {
            refuse(x, 500, "error processing raft message", fields, true);
            return;
        }
        break;
    case MESSAGE_IGNORED:
        break; /* as etcd: taken, and without effect */
    case MESSAGE_MISSENT:
        refuse(x, 412, "to field mismatch", fields, true);
        return;
    case MESSAGE_IMPOSSIBLE:
        refuse(x, 400, got->reason, fields, true);
        return;
    }
    http_respond(x, &(struct http_response){.status = 204, .fields = fields});
}

static void post_body(struct transport *t, struct http_exchange *x,
                      struct bytes body)
{
    struct raft_message m = {0};

    int rc = raft_message_decode(body, &m);
    if (rc < 0) {
        warn_sender(t, x, "undecodable message");
        refuse(x, 400, "error unmarshalling raft message", t->fields.answer,
               true);
        return;
    }
    struct peer *p = transport_find(t, m.from);
    if (p != NULL) {
        p->received_bytes += body.len;
        peer_hurry(p);
    }
    struct reception got = transport_receive(t, &m, "POST");
    post_answer(t, x, &got);
    raft_message_release(&m);
}

/* --- GET /raft/stream/KIND/ID --- */

/* Split what follows "/raft/stream/": false if it is not KIND/SOMETHING. */
static bool parse_stream_path(struct bytes rest, enum stream_kind *kind,
                              struct bytes *id)
{
    for (int k = 0; k < STREAM_KINDS; k++) {
        const char *name = stream_kind_name((enum stream_kind)k);
        size_t len = strlen(name);

        if (bytes_start_with(rest, name) && rest.len > len &&
            rest.data[len] == '/') {
            *kind = (enum stream_kind)k;
            *id = (struct bytes){rest.data + len + 1, rest.len - len - 1};
            return id->len == 0 || memchr(id->data, '/', id->len) == NULL;
        }
    }
    return false;
}

/* The checks behind the path, in the order of formats-transport 4. On success
 * 0 and the peer, else the status and its text. */
static int check_stream(struct transport *t, const struct http_head *h,
                        struct bytes id_text, struct peer **peer,
                        const char **why)
{
    uint64_t id;

    if (!hex_id_parse(id_text, &id)) {
        *why = "invalid from";
        return 404;
    }
    if (transport_is_removed(t, id)) {
        *why = "removed member";
        return 410;
    }
    *peer = transport_find(t, id);
    if (*peer == NULL) {
        if (!learn_sender(t, id, h)) {
            *why = BAD_URLS;
            return 400;
        }
        *why = "error sender not found";
        return 404;
    }
    if (!bytes_equal(http_head_field(h, "X-Raft-To"), t->fields.id)) {
        *why = "to field mismatch";
        return 412;
    }
    return 0;
}

static void stream_head(struct transport *t, struct http_exchange *x,
                        const struct http_head *h, struct bytes rest)
{
    enum stream_kind kind = STREAM_MSGAPP;
    struct peer *p = NULL;
    struct bytes id;
    int status = 412;

    if (!bytes_equal(h->method, "GET")) {
        refuse_method(x, "GET");
        return;
    }
    const char *why = check_sender(t, h);
    if (why == NULL) {
        if (parse_stream_path(rest, &kind, &id)) {
            status = check_stream(t, h, id, &p, &why);
        } else {
            status = 404;
            why = "invalid path";
        }
    }
    if (why != NULL) {
        warn_sender(t, x, why);
        refuse(x, status, why, t->fields.stream_answer, false);
        return;
    }
    stream_writer_attach(&p->writers[kind], x, t->fields.stream_answer);
    peer_hurry(p);
}

/* --- GET /raft/probing --- */

static void answer_probe(struct http_exchange *x)
{
    uv_timeval64_t now;
    struct tm tm;
    char body[96];

    if (uv_gettimeofday(&now) < 0) {
        now = (uv_timeval64_t){0};
    }
    time_t seconds = (time_t)now.tv_sec;
    if (gmtime_r(&seconds, &tm) == NULL) {
        tm = (struct tm){.tm_mday = 1, .tm_year = 70};
    }
    int n = snprintf(body, sizeof(body),
                     "{\"OK\":true,\"Now\":\"%04d-%02d-%02dT%02d:%02d:%02d."
                     "%06dZ\"}\n",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                     tm.tm_min, tm.tm_sec, (int)now.tv_usec);
    ASSERT(n > 0 && (size_t)n < sizeof(body));
    http_respond(x, &(struct http_response){
                        .status = 200,
                        .content_type = TEXT_PLAIN,
                        .body = {(const uint8_t *)body, (size_t)n},
                    });
}

/* --- pages for people --- */

static void answer_page(struct transport *t, struct http_exchange *x,
                        const struct http_head *h, struct bytes path)
{
    const char *type = TEXT_PLAIN;
    struct buf body;

    if (t->closing) {
        not_found(x);
        return;
    }
    buf_init(&body, PAGE_MAX);
    int status = t->handler.page(t->handler.ctx, path, &body, &type);
    if (status == 404) {
        not_found(x);
    } else if (!bytes_equal(h->method, "GET") &&
               !bytes_equal(h->method, "HEAD")) {
        refuse_method(x, "GET, HEAD");
    } else {
        http_respond(x, &(struct http_response){
                            .status = status,
                            .content_type = type,
                            .body = buf_bytes(&body),
                        });
    }
    buf_release(&body);
}

/* --- routing --- */

static struct bytes path_of(struct bytes target)
{
    const uint8_t *query =
        target.len > 0 ? memchr(target.data, '?', target.len) : NULL;

    if (query != NULL) {
        target.len = (size_t)(query - target.data);
    }
    return target;
}

static void on_request(void *ctx, struct http_exchange *x,
                       const struct http_head *h)
{
    struct transport *t = ctx;
    struct bytes path = path_of(h->target);
    size_t prefix = strlen(PATH_STREAM "/");

    if (bytes_equal(path, PATH_RAFT)) {
        post_head(t, x, h);
    } else if (bytes_start_with(path, PATH_STREAM "/")) {
        stream_head(t, x, h,
                    (struct bytes){path.data + prefix, path.len - prefix});
    } else if (bytes_equal(path, PATH_PROBING)) {
        answer_probe(x);
    } else if (bytes_equal(path, PATH_STREAM)) {
        redirect_to_streams(x);
    } else if (bytes_equal(path, PATH_SNAPSHOT)) {
        if (bytes_equal(h->method, "POST")) {
            refuse(x, 501, "snapshots come by POST /raft", "", false);
        } else {
            refuse_method(x, "POST");
        }
    } else if (bytes_start_with(path, "//")) {
        redirect_to_clean(x, path);
    } else if (bytes_start_with(path, "/raft/")) {
        not_found(x);
    } else {
        answer_page(t, x, h, path);
    }
}

static void on_complete(void *ctx, struct http_exchange *x, struct bytes body)
{
    /* Every other request was answered when its head came. */
    post_body(ctx, x, body);
}

static void on_abort(void *ctx, struct http_exchange *x)
{
    struct stream_writer *w = http_exchange_data(x);

    (void)ctx;
    if (w != NULL) {
        ASSERT(w->x == x);
        stream_writer_lost(w);
    }
}

const struct http_server_ops inbound_ops = {
    .on_request = on_request,
    .on_complete = on_complete,
    .on_abort = on_abort,
};
