/* Proposals waiting for commit. proposals.h has the rules. */

#include "src/server/proposals.h"

#include "proto/raftpb.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/raft/rawnode.h"

static struct bytes key_of(const void *item)
{
    const struct request *req = item;

    return (struct bytes){(const uint8_t *)&req->id, sizeof(req->id)};
}

void proposals_init(struct proposals *p)
{
    *p = (struct proposals){0};
    list_init(&p->puts);
    list_init(&p->changes);
    list_init(&p->sent);
    map_init(&p->by_id, key_of, 0); /* the ids are our own choice */
}

void proposals_release(struct proposals *p)
{
    ASSERT(p->n == 0);
    map_release(&p->by_id);
    xfree(p->batch);
    *p = (struct proposals){0};
}

int proposals_add(struct proposals *p, struct request *req)
{
    size_t len = req->entry == NULL ? 0 : req->entry->len;

    if (p->n >= PENDING_PROPOSALS_MAX ||
        p->bytes + len > PENDING_PROPOSAL_BYTES_MAX) {
        return ERR_OVERLOADED;
    }
    req->stage = REQUEST_WAITING;
    list_push_back(req->kind == REQUEST_PUT ? &p->puts : &p->changes,
                   &req->link);
    p->n++;
    p->bytes += len;
    return 0;
}

/* It was never proposed. */
static void forget_entry(struct proposals *p, struct request *req)
{
    if (req->entry != NULL) {
        ASSERT(p->bytes >= req->entry->len);
        p->bytes -= req->entry->len;
        raft_entry_unref(req->entry);
        req->entry = NULL;
    }
}

/* From a waiting list to the table. */
static void mark_sent(struct proposals *p, struct request *req, uint64_t term)
{
    struct request *other;

    ASSERT(req->entry == NULL);
    list_remove(&req->link);
    list_push_back(&p->sent, &req->link);
    req->stage = REQUEST_PROPOSED;
    req->term = term;
    other = map_put(&p->by_id, req);
    ASSERT(other == NULL);
}

static void mark_done(struct proposals *p, struct request *req,
                      struct list *done)
{
    proposals_remove(p, req);
    list_push_back(done, &req->link);
}

/* Move the entries of the waiting puts into the batch, up to one message's
 * worth of bytes; their requests stay in the list. */
static size_t fill_batch(struct proposals *p)
{
    size_t n = 0;
    size_t size = 0;

    list_for_each (it, &p->puts) {
        struct request *req = container_of(it, struct request, link);

        ASSERT(req->entry != NULL);
        if (n > 0 && size + req->entry->len > RAFT_MAX_SIZE_PER_MSG) {
            break;
        }
        if (n == p->batch_cap) {
            p->batch_cap = grow_cap(p->batch_cap, n + 1);
            p->batch =
                xrealloc_array(p->batch, p->batch_cap, sizeof(*p->batch));
        }
        size += req->entry->len;
        p->batch[n++] = req->entry;
        req->entry = NULL;
    }
    ASSERT(p->bytes >= size);
    p->bytes -= size;
    return n;
}

/* One proposal: all of the batch is taken, or nothing. */
static void flush_puts(struct proposals *p, struct rawnode *rn, uint64_t term,
                       struct proposals_outcome *out)
{
    size_t n = fill_batch(p);
    int rc = rawnode_propose_batch(rn, p->batch, n);

    for (size_t i = 0; i < n; i++) {
        struct request *req = container_of(p->puts.next, struct request, link);

        if (rc < 0) {
            mark_done(p, req, &out->refused);
        } else if (req->respond_async) {
            mark_done(p, req, &out->handed);
        } else {
            mark_sent(p, req, term);
        }
    }
}

/* One change at a time: raft would silently replace a second one by an empty
 * entry while the first is not applied [raft-core CC-21]. */
static void flush_change(struct proposals *p, struct rawnode *rn, uint64_t term,
                         struct proposals_outcome *out)
{
    struct request *req = container_of(p->changes.next, struct request, link);
    struct conf_change cc = {
        .id = req->id,
        .type = req->kind == REQUEST_ADD_MEMBER ? CONF_CHANGE_ADD_NODE
                                                : CONF_CHANGE_REMOVE_NODE,
        .node_id = req->member_id,
    };

    if (req->url != NULL) {
        cc.context = (struct bytes){(uint8_t *)req->url, strlen(req->url)};
    }
    if (rawnode_propose_conf_change(rn, &cc) < 0) {
        mark_done(p, req, &out->refused);
    } else {
        mark_sent(p, req, term);
    }
}

/* Whether a membership change of this node is on its way. */
static bool change_in_flight(const struct proposals *p)
{
    list_for_each (it, &p->sent) {
        const struct request *req = container_of(it, struct request, link);

        if (req->kind != REQUEST_PUT) {
            return true;
        }
    }
    return false;
}

void proposals_flush(struct proposals *p, struct rawnode *rn, uint64_t term,
                     bool hold_puts, struct proposals_outcome *out)
{
    list_init(&out->refused);
    list_init(&out->handed);
    while (!hold_puts && !list_is_empty(&p->puts)) {
        flush_puts(p, rn, term, out);
    }
    if (!list_is_empty(&p->changes) && !rawnode_conf_change_pending(rn) &&
        !change_in_flight(p)) {
        flush_change(p, rn, term, out);
    }
}

struct request_load proposals_load(const struct proposals *p)
{
    return (struct request_load){.waiting = p->n - p->by_id.len,
                                 .under_way = p->by_id.len};
}

struct request *proposals_applied(struct proposals *p, uint64_t id,
                                  uint64_t term)
{
    struct request *req;

    req = map_find(&p->by_id, (struct bytes){(uint8_t *)&id, sizeof(id)});
    /* An id of an earlier life of this node can only come back if the wall
     * clock did; its entry is then of an earlier term. */
    if (req == NULL || term < req->term) {
        return NULL;
    }
    proposals_remove(p, req);
    return req;
}

void proposals_remove(struct proposals *p, struct request *req)
{
    ASSERT(p->n > 0);
    if (req->stage == REQUEST_PROPOSED) {
        void *item = map_take(&p->by_id, key_of(req));

        ASSERT(item == req);
    }
    forget_entry(p, req);
    list_remove(&req->link);
    req->stage = REQUEST_IDLE;
    p->n--;
}
