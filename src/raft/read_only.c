/* See read_only.h. The rule numbers are those of raft-core section 21. */

#include "src/raft/read_only.h"

#include <string.h>

#include "src/base/alloc.h"

/* Below this many vacated places it is not worth moving the queue. */
#define VACATED_MIN 32

void read_only_init(struct read_only *ro, enum read_only_option option)
{
    *ro = (struct read_only){.option = option};
}

void read_only_reset(struct read_only *ro)
{
    for (size_t i = ro->head; i < ro->len; i++) {
        raft_entry_unref(ro->queue[i].entry);
    }
    ro->head = 0;
    ro->len = 0;
    ro->confirmed = 0;
    ro->n_acks = 0;
}

void read_only_release(struct read_only *ro)
{
    read_only_reset(ro);
    xfree(ro->queue);
    xfree(ro->acks);
    ro->queue = NULL;
    ro->cap = 0;
    ro->acks = NULL;
    ro->acks_cap = 0;
}

size_t read_only_pending(const struct read_only *ro)
{
    ASSERT(ro->head <= ro->len);
    return ro->len - ro->head;
}

uint64_t read_only_last_position(const struct read_only *ro)
{
    return ro->confirmed + read_only_pending(ro);
}

/* The record of `id`, a new one if there is none. */
static struct read_ack *ack_of(struct read_only *ro, uint64_t id)
{
    for (size_t i = 0; i < ro->n_acks; i++) {
        if (ro->acks[i].id == id) {
            return &ro->acks[i];
        }
    }
    if (ro->n_acks == ro->acks_cap) {
        ro->acks_cap = grow_cap(ro->acks_cap, ro->n_acks + 1);
        ro->acks = xrealloc_array(ro->acks, ro->acks_cap, sizeof *ro->acks);
    }
    ro->acks[ro->n_acks] = (struct read_ack){.id = id};
    return &ro->acks[ro->n_acks++];
}

static void record_ack(struct read_only *ro, uint64_t id, uint64_t position)
{
    struct read_ack *ack = ack_of(ro, id);

    ack->position = max_u64(ack->position, position);
}

void read_only_add_request(struct read_only *ro, uint64_t self,
                           struct read_request req)
{
    ASSERT(self != RAFT_NONE);
    ASSERT(req.entry != NULL);
    if (ro->len == ro->cap) {
        ro->cap = grow_cap(ro->cap, ro->len + 1);
        ro->queue = xrealloc_array(ro->queue, ro->cap, sizeof *ro->queue);
    }
    raft_entry_ref(req.entry);
    ro->queue[ro->len++] = req;
    record_ack(ro, self, read_only_last_position(ro));
}

struct bytes read_only_heartbeat_context(const struct read_only *ro,
                                         uint8_t ctx[READ_ONLY_CONTEXT_SIZE])
{
    uint64_t position = read_only_last_position(ro);

    if (read_only_pending(ro) == 0) {
        return (struct bytes){NULL, 0};
    }
    for (size_t i = 0; i < READ_ONLY_CONTEXT_SIZE; i++) {
        ctx[i] = (uint8_t)(position >> (8 * i));
    }
    return (struct bytes){ctx, READ_ONLY_CONTEXT_SIZE};
}

/* A position that was never given out would confirm reads that come later: a
 * peer's mistake must not reach so far. */
bool read_only_recv_ack(struct read_only *ro, uint64_t id, struct bytes ctx)
{
    uint64_t position = 0;

    if (ctx.data == NULL || ctx.len != READ_ONLY_CONTEXT_SIZE) {
        return false;
    }
    for (size_t i = 0; i < READ_ONLY_CONTEXT_SIZE; i++) {
        position |= (uint64_t)ctx.data[i] << (8 * i);
    }
    if (position > read_only_last_position(ro)) {
        return false;
    }
    record_ack(ro, id, position);
    return true;
}

static bool acked_position(const void *ctx, uint64_t id, uint64_t *position)
{
    const struct read_only *ro = ctx;

    for (size_t i = 0; i < ro->n_acks; i++) {
        if (ro->acks[i].id == id) {
            *position = ro->acks[i].position;
            return true;
        }
    }
    return false;
}

size_t read_only_advance(const struct read_only *ro,
                         const struct joint_config *voters)
{
    uint64_t quorum = quorum_joint_committed_index(voters, ro, acked_position);

    /* A configuration without voters "commits" everything. */
    quorum = min_u64(quorum, read_only_last_position(ro));
    return quorum > ro->confirmed ? quorum - ro->confirmed : 0;
}

void read_only_pop(struct read_only *ro, struct read_request *out)
{
    ASSERT(read_only_pending(ro) > 0);
    *out = ro->queue[ro->head++];
    ro->confirmed++;
    if (ro->head == ro->len) {
        ro->head = 0;
        ro->len = 0;
    } else if (ro->head >= VACATED_MIN && ro->head >= ro->len - ro->head) {
        /* As many have left as are moved: constant time per request. */
        memmove(ro->queue, ro->queue + ro->head,
                (ro->len - ro->head) * sizeof *ro->queue);
        ro->len -= ro->head;
        ro->head = 0;
    }
}
