/* The pages of the peer port for people and monitoring, as text: /health,
 * /status, /members, /version (http-api.md 2).
 *
 * Pure: a node is looked at, text comes out. */

#ifndef SRC_SERVER_STATUS_H
#define SRC_SERVER_STATUS_H

#include "src/base/common.h"

struct buf;
struct raftnode;

/* What a status page says beside the node's own state. */
struct status_context {
    uint64_t id;
    uint64_t uptime_ms;
};

/* Append the page at `path` (a query is ignored) to `body`. Returns the HTTP
 * status: 200, 503 (/health of a node that is not well) or 404;
 * *content_type is static. */
int status_page(const struct raftnode *rn, const struct status_context *sc,
                struct bytes path, struct buf *body, const char **content_type);

#endif /* SRC_SERVER_STATUS_H */
