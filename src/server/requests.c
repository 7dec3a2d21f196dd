/* The life of a client's request inside the node: submitted, queued, proposed
 * or asked, finished once. request.h has the stages.
 *
 * Counterpart: etcd server/etcdserver/v3_server.go (processInternalRaftRequest,
 * linearizableReadLoop), which raftexample does without. */

#include "src/base/alloc.h"
#include "src/kv/command.h"
#include "src/server/raftnode_internal.h"

/* --- making them --- */

static uint64_t new_request_id(struct raftnode *rn)
{
    uint64_t counter = rn->next_request;

    rn->next_request = (counter + 1) & REQUEST_COUNTER_MAX;
    return (rn->id & 0xffff) << 48 | counter;
}

void raftnode_note_request_id(struct raftnode *rn, uint64_t id)
{
    uint64_t counter = id & REQUEST_COUNTER_MAX;

    if (id >> 48 == (rn->id & 0xffff) && counter >= rn->next_request) {
        rn->next_request = (counter + 1) & REQUEST_COUNTER_MAX;
    }
}

static void init_request(struct request *req, enum request_kind kind,
                         request_cb *cb)
{
    *req = (struct request){.kind = kind, .cb = cb};
    list_init(&req->link);
    list_init(&req->due_link);
}

void raftnode_init_put(struct raftnode *rn, struct request *req,
                       struct bytes key, struct bytes value, bool respond_async,
                       request_cb *cb)
{
    struct kv_command cmd = {key, value, 0};

    init_request(req, REQUEST_PUT, cb);
    req->respond_async = respond_async;
    req->id = cmd.id = new_request_id(rn);
    req->entry = raft_entry_alloc(RAFT_ENTRY_NORMAL, kv_command_size(&cmd));
    (void)kv_command_encode(&cmd, req->entry->data);
}

void raftnode_init_get(struct raftnode *rn, struct request *req,
                       struct bytes key, request_cb *cb)
{
    init_request(req, REQUEST_GET, cb);
    (void)rn;
    req->key = xmemdup(key.data, key.len);
    req->key_len = key.len;
}

void raftnode_init_member(struct raftnode *rn, struct request *req,
                          enum request_kind kind, uint64_t id, const char *url,
                          request_cb *cb)
{
    ASSERT(kind == REQUEST_ADD_MEMBER || kind == REQUEST_REMOVE_MEMBER);
    init_request(req, kind, cb);
    req->id = new_request_id(rn);
    req->member_id = id;
    req->url = xstrdup(url);
}

/* --- taking them in, and ending them --- */

static void release_request(struct request *req)
{
    raft_entry_unref(req->entry);
    xfree(req->key);
    xfree(req->url);
    req->entry = NULL;
    req->key = NULL;
    req->url = NULL;
}

/* Out of the queue of its stage. */
static void unqueue(struct raftnode *rn, struct request *req)
{
    switch (req->stage) {
    case REQUEST_IDLE:
        break;
    case REQUEST_WAITING:
    case REQUEST_PROPOSED:
        proposals_remove(&rn->proposals, req);
        break;
    case REQUEST_READ_QUEUED:
    case REQUEST_READ_ASKED:
    case REQUEST_READ_CONFIRMED:
        reads_remove(&rn->reads, req);
        break;
    }
    list_remove(&req->link);
    list_remove(&req->due_link);
}

void raftnode_finish(struct raftnode *rn, struct request *req, int rc,
                     struct bytes value)
{
    unqueue(rn, req);
    release_request(req);
    req->cb(req, rc, value);
}

void raftnode_cancel(struct raftnode *rn, struct request *req)
{
    unqueue(rn, req);
    release_request(req);
}

void raftnode_submit(struct raftnode *rn, struct request *req)
{
    int rc;

    if (rn->condition == RAFTNODE_REMOVED || rn->is_leaving) {
        raftnode_finish(rn, req, ERR_SELF_REMOVED, (struct bytes){0});
        return;
    }
    if (rn->condition == RAFTNODE_FAILED || rn->draining) {
        raftnode_finish(rn, req, ERR_STOPPED, (struct bytes){0});
        return;
    }
    /* A membership change is checked against the latest members, so it begins
     * as a read. */
    rc = req->kind == REQUEST_PUT ? proposals_add(&rn->proposals, req)
                                  : reads_add(&rn->reads, req);
    if (rc < 0) {
        raftnode_finish(rn, req, rc, (struct bytes){0});
        return;
    }
    req->deadline = rn->now + rn->timeout_ticks;
    list_push_back(&rn->due, &req->due_link);
}

static void finish_all(struct raftnode *rn, struct list *requests, int rc)
{
    while (!list_is_empty(requests)) {
        raftnode_finish(rn, container_of(requests->next, struct request, link),
                        rc, (struct bytes){0});
    }
}

/* What an operation is called that ends now without having happened, or
 * without anybody knowing. 503 only where it is in no log [reliability I20]. */
static int expired_outcome(const struct raftnode *rn, const struct request *req)
{
    if (req->stage == REQUEST_PROPOSED) {
        return ERR_OUTCOME_UNKNOWN;
    }
    if (rn->soft.lead == RAFT_NONE) {
        return ERR_NO_LEADER;
    }
    return req->kind == REQUEST_GET ? ERR_TIMED_OUT : ERR_PROPOSAL_DROPPED;
}

void requests_expire(struct raftnode *rn)
{
    while (!list_is_empty(&rn->due)) {
        struct request *req =
            container_of(rn->due.next, struct request, due_link);

        if (req->deadline > rn->now) {
            return;
        }
        raftnode_finish(rn, req, expired_outcome(rn, req), (struct bytes){0});
    }
}

/* --- moving them on --- */

/* All that came in during this turn, or was held back before it, becomes one
 * proposal and one ReadIndex. */
void requests_flush(struct raftnode *rn)
{
    struct proposals_outcome out;

    if (rn->soft.lead == RAFT_NONE) {
        return;
    }
    if (!rn->holds_reads) {
        reads_flush(&rn->reads, rn->raw, rn->now);
    }
    proposals_flush(&rn->proposals, rn->raw, rn->term, rn->holds_puts, &out);
    finish_all(rn, &out.refused, ERR_PROPOSAL_DROPPED);
    finish_all(rn, &out.handed, 0);
}

/* Whether a membership change may be proposed, against the members as of now;
 * *rc is its outcome if not (http-api.md 1). */
static bool check_change(const struct raftnode *rn, const struct request *req,
                         int *rc)
{
    bool member = kvstore_has_member(rn->store, req->member_id);
    const char *url = kvstore_member_url(rn->store, req->member_id);
    const struct id_list *voters = &rn->conf_state.voters;

    *rc = 0;
    if (req->kind == REQUEST_ADD_MEMBER) {
        if (member && url != NULL) {
            *rc = strcmp(url, req->url) == 0 ? 0 : ERR_MEMBER_URL_DIFFERS;
            return false;
        }
        if (kvstore_was_removed(rn->store, req->member_id)) {
            *rc = ERR_MEMBER_REMOVED;
            return false;
        }
        return true;
    }
    if (!member) {
        *rc = ERR_NO_MEMBER;
        return false;
    }
    if (voters->n == 1 && voters->ids[0] == req->member_id) {
        *rc = ERR_LAST_VOTER;
        return false;
    }
    return true;
}

/* The request's read index is applied: answer it, or go on to propose it. */
static void finish_read(struct raftnode *rn, struct request *req)
{
    struct bytes value = {0};
    int rc;

    if (req->kind == REQUEST_GET) {
        struct bytes key = {req->key, req->key_len};

        rc = kvstore_get(rn->store, key, &value) ? 0 : ERR_NOT_FOUND;
        raftnode_finish(rn, req, rc, value);
        return;
    }
    if (!check_change(rn, req, &rc)) {
        raftnode_finish(rn, req, rc, value);
        return;
    }
    rc = proposals_add(&rn->proposals, req);
    if (rc < 0) {
        raftnode_finish(rn, req, rc, value);
    }
}

void requests_finish_reads(struct raftnode *rn)
{
    struct request *req;

    while ((req = reads_applied(&rn->reads, rn->applied)) != NULL) {
        finish_read(rn, req);
    }
}

/* --- stopping --- */

void raftnode_drain(struct raftnode *rn)
{
    struct list all;
    struct list *it;

    rn->draining = true;
    /* Always the first of a list: a callback may cancel any other request. */
    list_init(&all);
    list_splice(&all, &rn->due);
    while ((it = list_pop_front(&all)) != NULL) {
        struct request *req = container_of(it, struct request, due_link);

        if (req->stage == REQUEST_PROPOSED) {
            list_push_back(&rn->due, it);
        } else {
            raftnode_finish(rn, req, ERR_STOPPED, (struct bytes){0});
        }
    }
}

void raftnode_stop(struct raftnode *rn)
{
    snapshots_stop(rn);
    raftnode_drain(rn);
    while (!list_is_empty(&rn->due)) {
        raftnode_finish(rn,
                        container_of(rn->due.next, struct request, due_link),
                        ERR_OUTCOME_UNKNOWN, (struct bytes){0});
    }
}

size_t raftnode_pending(const struct raftnode *rn)
{
    return rn->proposals.n + rn->reads.n;
}

/* --- gathering them --- */

struct request_load raftnode_puts(const struct raftnode *rn)
{
    return proposals_load(&rn->proposals);
}

struct request_load raftnode_reads(const struct raftnode *rn)
{
    return reads_load(&rn->reads);
}

void raftnode_hold(struct raftnode *rn, bool puts, bool reads)
{
    rn->holds_puts = puts;
    rn->holds_reads = reads;
}
