/* What a request means, and what an outcome is called in HTTP.
 *
 * Pure: bytes in, a decision out. httpapi.c carries it out; this pair is where
 * the two tables of http-api.md section 1 stand.
 *
 * Counterpart: etcd contrib/raftexample httpapi.go, ServeHTTP. Differs:
 * http-api.md. */

#ifndef HTTPAPI_ROUTES_H
#define HTTPAPI_ROUTES_H

#include "src/base/common.h"
#include "src/base/err.h"
#include "src/net/addr.h"
#include "src/net/http_conn.h"

/* The methods that mean something here. */
#define ROUTE_ALLOW "GET, HEAD, PUT, POST, DELETE"

enum route_op {
    ROUTE_PUT,
    ROUTE_GET,
    ROUTE_ADD_MEMBER,
    ROUTE_REMOVE_MEMBER,
    ROUTE_ERROR, /* `answer` says what to reply */
};

/* A reply but for its value. All pointers are static. */
struct route_answer {
    int status;
    const char *fields; /* further lines, each ending in "\r\n", or NULL */
    const char *text;   /* what was wrong, one line without its end; or NULL */
    bool close;
};

struct route {
    enum route_op op;
    bool head;          /* get: HEAD */
    bool local;         /* get: this node's map as it is */
    bool respond_async; /* put: do not wait */
    uint64_t id;        /* members */
    size_t body_limit; /* bytes of body to take; what a get's says is ignored */
    struct route_answer answer;
};

/* What `h` asks for; its key is h->target. `max_value_size` in bytes. */
struct route route_request(const struct http_head *h, size_t max_value_size);

/* The member URL in the body of a request to add one. False: *answer says
 * what is wrong with it. */
MUST_CHECK bool route_member_url(struct bytes body, struct addr *out,
                                 struct route_answer *answer);

/* The reply to an outcome (httpapi.h lists them) of what `r` asked for. */
struct route_answer route_outcome(const struct route *r, int outcome);

/* The reply while the node is going down. */
struct route_answer route_stopping(void);

#endif /* HTTPAPI_ROUTES_H */
