/* Linearizable reads. reads.h has the rules. */

#include "src/server/reads.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/raft/rawnode.h"

/* The requests that share one ReadIndex. An attempt that lost its last request
 * stays until its answer or its restart. */
struct read_batch {
    struct list link;
    struct list requests;
    uint64_t seq;
    uint64_t index;    /* once confirmed */
    uint64_t asked_at; /* tick */
};

/* The context: node id and sequence, 8 bytes each. Unique in the cluster, as
 * old leaders tell requests apart by it (formats-transport.md 10). */
#define CONTEXT_LEN 16

static void put_context(const struct reads *r, uint64_t seq,
                        uint8_t out[CONTEXT_LEN])
{
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(r->node_id >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(seq >> (56 - 8 * i));
    }
}

void reads_init(struct reads *r, uint64_t node_id, uint64_t first_seq)
{
    *r = (struct reads){.node_id = node_id, .next_seq = first_seq};
    list_init(&r->queued);
    list_init(&r->asked);
    list_init(&r->confirmed);
}

static void free_batches(struct list *batches)
{
    struct list *it;

    while ((it = list_pop_front(batches)) != NULL) {
        struct read_batch *b = container_of(it, struct read_batch, link);

        ASSERT(list_is_empty(&b->requests));
        xfree(b);
    }
}

void reads_release(struct reads *r)
{
    ASSERT(r->n == 0);
    ASSERT(list_is_empty(&r->queued));
    free_batches(&r->asked);
    free_batches(&r->confirmed);
}

int reads_add(struct reads *r, struct request *req)
{
    if (r->n >= PENDING_READS_MAX) {
        return ERR_OVERLOADED;
    }
    req->stage = REQUEST_READ_QUEUED;
    list_push_back(&r->queued, &req->link);
    r->n++;
    r->n_queued++;
    return 0;
}

/* How many there are. */
static size_t set_stage(struct list *requests, enum request_stage stage)
{
    size_t n = 0;

    list_for_each (it, requests) {
        container_of(it, struct request, link)->stage = stage;
        n++;
    }
    return n;
}

void reads_flush(struct reads *r, struct rawnode *rn, uint64_t now)
{
    uint8_t ctx[CONTEXT_LEN];
    struct read_batch *b;

    if (list_is_empty(&r->queued)) {
        return;
    }
    b = xcalloc(1, sizeof(*b));
    b->seq = r->next_seq++;
    b->asked_at = now;
    list_init(&b->requests);
    list_splice(&b->requests, &r->queued);
    r->n_queued -= set_stage(&b->requests, REQUEST_READ_ASKED);
    ASSERT(r->n_queued == 0);
    list_push_back(&r->asked, &b->link);
    put_context(r, b->seq, ctx);
    rawnode_read_index(rn, (struct bytes){ctx, sizeof(ctx)});
}

struct request_load reads_load(const struct reads *r)
{
    return (struct request_load){.waiting = r->n_queued,
                                 .under_way = r->n - r->n_queued};
}

void reads_restart(struct reads *r, uint64_t before)
{
    struct list again;

    list_init(&again);
    list_for_each_safe (it, &r->asked) {
        struct read_batch *b = container_of(it, struct read_batch, link);

        if (b->asked_at >= before) {
            break;
        }
        list_remove(&b->link);
        r->n_queued += set_stage(&b->requests, REQUEST_READ_QUEUED);
        list_splice(&again, &b->requests);
        xfree(b);
    }
    /* They are older than what is queued. */
    list_splice(&again, &r->queued);
    list_splice(&r->queued, &again);
}

void reads_confirmed(struct reads *r, const struct read_state *rs)
{
    uint8_t ctx[CONTEXT_LEN];

    if (rs->ctx_len != CONTEXT_LEN) {
        return;
    }
    list_for_each (it, &r->asked) {
        struct read_batch *b = container_of(it, struct read_batch, link);

        put_context(r, b->seq, ctx);
        if (memcmp(ctx, rs->ctx, CONTEXT_LEN) == 0) {
            b->index = rs->index;
            (void)set_stage(&b->requests, REQUEST_READ_CONFIRMED);
            list_remove(&b->link);
            list_push_back(&r->confirmed, &b->link);
            return;
        }
    }
}

struct request *reads_applied(struct reads *r, uint64_t applied)
{
    list_for_each_safe (it, &r->confirmed) {
        struct read_batch *b = container_of(it, struct read_batch, link);

        if (b->index > applied) {
            continue;
        }
        if (!list_is_empty(&b->requests)) {
            struct request *req =
                container_of(b->requests.next, struct request, link);

            reads_remove(r, req);
            return req;
        }
        list_remove(&b->link);
        xfree(b);
    }
    return NULL;
}

void reads_remove(struct reads *r, struct request *req)
{
    ASSERT(r->n > 0);
    r->n_queued -= req->stage == REQUEST_READ_QUEUED ? 1 : 0;
    list_remove(&req->link);
    req->stage = REQUEST_IDLE;
    r->n--;
}
