/* One client operation on its way through the node.
 *
 * The caller embeds a request, submits it with raftnode_submit and gets exactly
 * one callback, unless it cancels before. Stages and who moves a request:
 *
 *   PUT            WAITING -> PROPOSED -> done
 *   GET            READ_QUEUED -> READ_ASKED -> READ_CONFIRMED -> done
 *   ADD, REMOVE    as GET (so that the checks see the latest members), then
 *                  WAITING -> PROPOSED -> done
 *
 *   from            to              by
 *   WAITING         PROPOSED        proposals_flush: a leader is known
 *   PROPOSED        done            proposals_applied: that very entry
 *   READ_QUEUED     READ_ASKED      reads_flush: ReadIndex with a new context
 *   READ_ASKED      READ_QUEUED     reads_restart: leader or term changed
 *   READ_ASKED      READ_CONFIRMED  reads_confirmed: a ReadState came
 *   READ_CONFIRMED  done, WAITING   reads_applied: applied reached its index
 *   any             done            the deadline passed, or the node stops */

#ifndef SRC_SERVER_REQUEST_H
#define SRC_SERVER_REQUEST_H

#include "src/base/common.h"
#include "src/base/err.h"
#include "src/base/list.h"

struct raft_entry;
struct request;

/* `rc` is one of httpapi.h's outcomes; `value` is a GET's, borrowed. The
 * request is the caller's again. */
typedef void request_cb(struct request *req, int rc, struct bytes value);

enum request_kind {
    REQUEST_PUT,
    REQUEST_GET,
    REQUEST_ADD_MEMBER,
    REQUEST_REMOVE_MEMBER,
};

enum request_stage {
    REQUEST_IDLE, /* not submitted, or done */
    REQUEST_WAITING,
    REQUEST_PROPOSED,
    REQUEST_READ_QUEUED,
    REQUEST_READ_ASKED,
    REQUEST_READ_CONFIRMED,
};

/* How many of a kind there are. */
struct request_load {
    size_t waiting;   /* WAITING, READ_QUEUED: not sent to anybody yet */
    size_t under_way; /* behind that, and not done */
};

struct request {
    /* Set by the caller, with request_init_*. */
    enum request_kind kind;
    bool respond_async;       /* PUT: done once proposed */
    struct raft_entry *entry; /* PUT: its log entry, until it is proposed */
    uint8_t *key;             /* GET: owned */
    size_t key_len;
    uint64_t member_id; /* ADD, REMOVE */
    char *url;          /* ADD: owned */
    uint64_t id;        /* request id, in the entry as well */
    request_cb *cb;

    /* The node's, while it is submitted. */
    enum request_stage stage;
    struct list link;     /* the queue of its stage */
    struct list due_link; /* all requests, oldest first */
    uint64_t deadline;    /* tick */
    uint64_t term;        /* when it was proposed */
};

#endif /* SRC_SERVER_REQUEST_H */
