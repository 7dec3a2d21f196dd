/* The client API: a listener that turns HTTP requests into operations on the
 * cluster and outcomes into answers.
 *
 * httpapi knows no raft and no store: the backend is the seam. routes.h decides
 * what a request means and what an outcome is called in HTTP, purely; this file
 * owns the life of the requests in between.
 *
 * Counterpart: etcd contrib/raftexample httpapi.go. Differs: http-api.md. */

#ifndef HTTPAPI_HTTPAPI_H
#define HTTPAPI_HTTPAPI_H

#include "src/base/common.h"
#include "src/base/err.h"
#include "src/net/addr.h"

struct http_net;
struct httpapi;      /* opaque */
struct httpapi_call; /* one request that waits for its outcome; opaque */
struct logger;

/* What the API needs of the node. Every call but `cancel` is finished by
 * exactly one httpapi_complete(), at once or later, unless it is cancelled
 * before. Key, value and URL are borrowed for the call. A get whose value finds
 * no room in its connection is called again, later, for the same call.
 *
 * Outcomes (http-api.md 1): 0; ERR_NOT_FOUND (key); ERR_NO_LEADER,
 * ERR_PROPOSAL_DROPPED, ERR_OVERLOADED (did not and will not happen);
 * ERR_OUTCOME_UNKNOWN (it was proposed); ERR_TIMED_OUT (a read);
 * ERR_STOPPED, ERR_SELF_REMOVED (not taken any more); ERR_NO_MEMBER,
 * ERR_MEMBER_REMOVED, ERR_MEMBER_URL_DIFFERS, ERR_LAST_VOTER. */
struct httpapi_backend {
    void *ctx;
    /* map[key] = value. With `respond_async` it is complete as soon as the
     * proposal was handed to raft. */
    void (*put)(void *ctx, struct httpapi_call *call, struct bytes key,
                struct bytes value, bool respond_async);
    /* Linearizable, or with `local` this node's map as it is. */
    void (*get)(void *ctx, struct httpapi_call *call, struct bytes key,
                bool local);
    void (*add_member)(void *ctx, struct httpapi_call *call, uint64_t id,
                       const char *url);
    void (*remove_member)(void *ctx, struct httpapi_call *call, uint64_t id);
    /* The client is gone: forget the call. What was proposed may still
     * happen. */
    void (*cancel)(void *ctx, struct httpapi_call *call);
};

struct httpapi_options {
    struct http_net *net;    /* borrowed */
    const struct logger *lg; /* borrowed */
    struct addr addr;
    size_t max_value_size; /* bytes */
    size_t conns_max;
    uint64_t header_timeout_ms;
    uint64_t body_timeout_ms;
    uint64_t idle_timeout_ms;
    struct httpapi_backend backend; /* copied */
};

/* Listen. *out is owned by the caller: httpapi_close. Errors as
 * http_listener_open. */
MUST_CHECK int httpapi_open(const struct httpapi_options *o,
                            struct httpapi **out, struct errmsg *em);

/* The port in use, also where options asked for port 0 (any). */
uint16_t httpapi_port(const struct httpapi *api);

/* The outcome of a call: the answer is queued, the call is gone. `value` is
 * for a successful get, borrowed. May be called from inside the backend
 * function that brought the call. */
void httpapi_complete(struct httpapi_call *call, int outcome,
                      struct bytes value);

/* A pointer for the backend to find its own side of the call. */
void httpapi_call_set_data(struct httpapi_call *call, void *data);
void *httpapi_call_data(const struct httpapi_call *call);

/* Take no new connections, answer new requests 503, close connections behind
 * their last answer. */
void httpapi_drain(struct httpapi *api);

/* Close everything; waiting calls are cancelled first. `cb` is called when the
 * last handle is gone. */
void httpapi_close(struct httpapi *api, void (*cb)(void *ctx), void *ctx);

#endif /* HTTPAPI_HTTPAPI_H */
