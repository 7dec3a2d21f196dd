/* The client API: listener and life cycle of requests.
 *
 * The happy path: on_request decides what is asked (routes.h) and takes a call
 * from the free list; on_complete hands it to the backend; httpapi_complete,
 * at once or later, turns the outcome into the answer and gives the call back.
 *
 *   READING --body complete--> SUBMITTED --complete--> answered, free
 *                                  |  ^
 *             complete, but no room v  | on_room
 *                               DEFERRED
 *
 * What can go wrong: the request is refused by its head or body: answered at
 * once. The client goes away (on_abort): a submitted call is cancelled, so
 * that the backend forgets it. A client pipelines reads of large values and
 * takes no answers: the value of a read is not kept waiting in memory; the call
 * is deferred and reads again when there is room, which is as linearizable as
 * the first time, since the request has no answer yet. Closing: submitted
 * calls are cancelled, then the listener closes. */

#include "httpapi/httpapi.h"

#include "httpapi/routes.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "src/base/list.h"
#include "src/net/http_conn.h"

/* Key buffers above this size are not kept with idle calls. */
#define KEEP_KEY_BYTES 1024

enum call_state {
    CALL_READING,
    CALL_SUBMITTED,
    CALL_DEFERRED,
};

struct httpapi_call {
    struct list node; /* in `calls` or `free_calls` */
    struct httpapi *api;
    struct http_exchange *x;
    enum call_state state;
    struct route route;
    struct buf key; /* the request target */
    void *data;     /* the backend's */
};

struct httpapi {
    struct httpapi_options o;
    struct http_listener *l;
    struct list calls;      /* of requests without an answer */
    struct list free_calls; /* at most HTTP_POOL_EXCHANGES */
    size_t n_free;
    bool draining;
    void (*close_cb)(void *ctx);
    void *close_ctx;
};

/* --- calls --- */

static struct httpapi_call *call_new(struct httpapi *api,
                                     struct http_exchange *x,
                                     const struct route *r, struct bytes key)
{
    struct list *node = list_pop_front(&api->free_calls);
    struct httpapi_call *call;

    if (node != NULL) {
        api->n_free--;
        call = container_of(node, struct httpapi_call, node);
    } else {
        call = xcalloc(1, sizeof(*call));
        buf_init(&call->key, KEY_SIZE_MAX);
    }
    call->api = api;
    call->x = x;
    call->state = CALL_READING;
    call->route = *r;
    call->data = NULL;
    buf_reset(&call->key);
    int rc = buf_append(&call->key, key.data, key.len);
    ASSERT(rc == 0); /* a target is shorter than its line */
    list_push_back(&api->calls, &call->node);
    http_exchange_set_data(x, call);
    return call;
}

static void call_free(struct httpapi_call *call)
{
    struct httpapi *api = call->api;

    list_remove(&call->node);
    if (api->n_free == HTTP_POOL_EXCHANGES) {
        buf_release(&call->key);
        xfree(call);
        return;
    }
    if (call->key.cap > KEEP_KEY_BYTES) {
        buf_release(&call->key);
    }
    list_push_back(&api->free_calls, &call->node);
    api->n_free++;
}

void httpapi_call_set_data(struct httpapi_call *call, void *data)
{
    call->data = data;
}

void *httpapi_call_data(const struct httpapi_call *call)
{
    return call->data;
}

/* --- answers --- */

static void respond(struct http_exchange *x, const struct route_answer *a,
                    struct bytes value)
{
    char text[160];
    struct http_response r = {
        .status = a->status,
        .fields = a->fields,
        .close = a->close,
    };

    if (a->text != NULL) {
        int n = snprintf(text, sizeof(text), "%s\n", a->text);

        ASSERT((size_t)n < sizeof(text));
        r.content_type = "text/plain; charset=utf-8";
        r.body = (struct bytes){(const uint8_t *)text, (size_t)n};
    } else if (a->status == 200) {
        r.content_type = "application/octet-stream";
        r.body = value;
    }
    http_respond(x, &r);
}

static void answer_call(struct httpapi_call *call, const struct route_answer *a,
                        struct bytes value)
{
    struct http_exchange *x = call->x;

    call_free(call);
    respond(x, a, value);
}

void httpapi_complete(struct httpapi_call *call, int outcome,
                      struct bytes value)
{
    const struct route *r = &call->route;

    ASSERT(call->state == CALL_SUBMITTED);
    if (r->op == ROUTE_GET && outcome == 0 && !r->head &&
        !http_exchange_has_room(call->x, value.len)) {
        call->state = CALL_DEFERRED;
        return;
    }
    struct route_answer a = route_outcome(r, outcome);
    answer_call(call, &a, value);
}

/* --- requests --- */

static void submit_get(struct httpapi_call *call)
{
    const struct httpapi_backend *b = &call->api->o.backend;

    call->state = CALL_SUBMITTED;
    call->data = NULL;
    b->get(b->ctx, call, buf_bytes(&call->key), call->route.local);
}

static void submit_add(struct httpapi_call *call, struct bytes body)
{
    const struct httpapi_backend *b = &call->api->o.backend;
    struct route_answer wrong;
    struct addr a;
    char url[ADDR_URL_MAX];

    if (!route_member_url(body, &a, &wrong)) {
        answer_call(call, &wrong, (struct bytes){NULL, 0});
        return;
    }
    addr_print_url(&a, url);
    call->state = CALL_SUBMITTED;
    b->add_member(b->ctx, call, call->route.id, url);
}

static void on_request(void *ctx, struct http_exchange *x,
                       const struct http_head *h)
{
    struct httpapi *api = ctx;
    struct route r = route_request(h, api->o.max_value_size);

    if (api->draining) {
        struct route_answer a = route_stopping();

        respond(x, &a, (struct bytes){NULL, 0});
        return;
    }
    if (r.op == ROUTE_ERROR) {
        respond(x, &r.answer, (struct bytes){NULL, 0});
        return;
    }
    (void)call_new(api, x, &r, h->target);
    http_accept_body(x, r.body_limit);
}

static void on_complete(void *ctx, struct http_exchange *x, struct bytes body)
{
    struct httpapi *api = ctx;
    const struct httpapi_backend *b = &api->o.backend;
    struct httpapi_call *call = http_exchange_data(x);
    const struct route *r = &call->route;

    ASSERT(call->state == CALL_READING);
    switch (r->op) {
    case ROUTE_GET:
        submit_get(call);
        return;
    case ROUTE_PUT:
        call->state = CALL_SUBMITTED;
        b->put(b->ctx, call, buf_bytes(&call->key), body, r->respond_async);
        return;
    case ROUTE_ADD_MEMBER:
        submit_add(call, body);
        return;
    case ROUTE_REMOVE_MEMBER:
        call->state = CALL_SUBMITTED;
        b->remove_member(b->ctx, call, r->id);
        return;
    case ROUTE_ERROR:
        break;
    }
    UNREACHABLE();
}

static void on_abort(void *ctx, struct http_exchange *x)
{
    struct httpapi *api = ctx;
    const struct httpapi_backend *b = &api->o.backend;
    struct httpapi_call *call = http_exchange_data(x);

    if (call->state == CALL_SUBMITTED) {
        log_debug(api->o.lg, "client %s went away before its answer",
                  http_exchange_peer(x));
        b->cancel(b->ctx, call);
    }
    call_free(call);
}

static void on_room(void *ctx, struct http_exchange *x)
{
    struct httpapi_call *call = http_exchange_data(x);

    (void)ctx;
    ASSERT(call->state == CALL_DEFERRED);
    submit_get(call);
}

static const struct http_server_ops server_ops = {
    .on_request = on_request,
    .on_complete = on_complete,
    .on_abort = on_abort,
    .on_room = on_room,
};

/* --- life --- */

int httpapi_open(const struct httpapi_options *o, struct httpapi **out,
                 struct errmsg *em)
{
    struct httpapi *api = xcalloc(1, sizeof(*api));

    ASSERT(o->max_value_size <= VALUE_SIZE_LIMIT);
    api->o = *o;
    list_init(&api->calls);
    list_init(&api->free_calls);
    const struct http_listener_options lo = {
        .addr = o->addr,
        .what = "client",
        .conns_max = o->conns_max,
        .header_timeout_ms = o->header_timeout_ms,
        .body_timeout_ms = o->body_timeout_ms,
        .idle_timeout_ms = o->idle_timeout_ms,
        .write_timeout_ms = HTTP_WRITE_TIMEOUT_MS,
        .bodies_max = HTTP_BODIES_MAX,
        .allow = ROUTE_ALLOW,
        .ops = &server_ops,
        .ctx = api,
    };
    int rc = http_listener_open(o->net, &lo, &api->l, em);
    if (rc < 0) {
        xfree(api);
        return rc;
    }
    *out = api;
    return 0;
}

uint16_t httpapi_port(const struct httpapi *api)
{
    return http_listener_port(api->l);
}

void httpapi_drain(struct httpapi *api)
{
    api->draining = true;
    http_listener_drain(api->l);
}

static void on_listener_gone(void *ctx)
{
    struct httpapi *api = ctx;
    void (*cb)(void *ctx) = api->close_cb;
    void *cb_ctx = api->close_ctx;
    struct list *node;

    ASSERT(list_is_empty(&api->calls));
    while ((node = list_pop_front(&api->free_calls)) != NULL) {
        struct httpapi_call *call =
            container_of(node, struct httpapi_call, node);

        buf_release(&call->key);
        xfree(call);
    }
    xfree(api);
    if (cb != NULL) {
        cb(cb_ctx);
    }
}

void httpapi_close(struct httpapi *api, void (*cb)(void *ctx), void *ctx)
{
    const struct httpapi_backend *b = &api->o.backend;

    api->close_cb = cb;
    api->close_ctx = ctx;
    list_for_each (it, &api->calls) {
        struct httpapi_call *call = container_of(it, struct httpapi_call, node);

        if (call->state == CALL_SUBMITTED) {
            /* on_abort frees it, and has nothing to cancel then. */
            call->state = CALL_READING;
            b->cancel(b->ctx, call);
        }
    }
    http_listener_close(api->l, on_listener_gone, api);
}
