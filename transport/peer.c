/* One member: its streams, its pipeline, and which way a message goes.
 *
 *   state     event                                   next      made by
 *   ACTIVE    transport_remove_peer, remotes_forget   LEAVING   peer_leave
 *   ACTIVE    a newer remote needs the room           CLOSED    remotes.c
 *   LEAVING   pipeline written, or LEAVE_MS over      CLOSED    peer_tick
 *   any       transport_close                         CLOSED    peer_close
 *
 * Memory is freed by the transport at a tick after CLOSED, because the state
 * may change from inside a callback of one of the peer's own connections. */

#include "transport/peer.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "transport/transport_internal.h"

/* What a removed member is still given, or it would not learn from its log
 * that it was removed [reliability F42]. */
#define LEAVE_MS 1000

static struct peer *alloc_peer(struct transport *t, uint64_t id,
                               const struct addr *addr)
{
    struct peer *p = xcalloc(1, sizeof(*p));

    p->t = t;
    p->id = id;
    p->addr = *addr;
    p->state = PEER_ACTIVE;
    list_init(&p->link);
    pipeline_init(&p->pipeline, p);
    prober_init(&p->prober, p, t->now_ms);
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        stream_writer_init(&p->writers[kind], p, (enum stream_kind)kind);
        stream_reader_init(&p->readers[kind], p, (enum stream_kind)kind);
    }
    return p;
}

struct peer *peer_new(struct transport *t, uint64_t id, const struct addr *addr)
{
    struct peer *p = alloc_peer(t, id, addr);

    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        stream_reader_tick(&p->readers[kind]);
    }
    return p;
}

struct peer *peer_new_remote(struct transport *t, uint64_t id,
                             const struct addr *addr)
{
    struct peer *p = alloc_peer(t, id, addr);

    p->is_remote = true;
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        stream_reader_close(&p->readers[kind]);
    }
    return p;
}

void peer_free(struct peer *p)
{
    ASSERT(p->state == PEER_CLOSED);
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        msg_reader_release(&p->readers[kind].codec);
        stream_writer_release(&p->writers[kind]);
    }
    xfree(p);
}

/* The writer that takes `m`, or NULL: by POST [formats-transport 6]. */
static struct stream_writer *route(struct peer *p, const struct raft_message *m)
{
    if (m->type == RAFT_MSG_SNAP) {
        return NULL;
    }
    if (m->type == RAFT_MSG_APP && p->writers[STREAM_MSGAPP].x != NULL) {
        return &p->writers[STREAM_MSGAPP];
    }
    if (p->writers[STREAM_MESSAGE].x != NULL) {
        return &p->writers[STREAM_MESSAGE];
    }
    return NULL;
}

void peer_send(struct peer *p, const struct raft_message *m)
{
    struct stream_writer *w = route(p, m);

    ASSERT(p->state == PEER_ACTIVE);
    if (w != NULL ? stream_writer_put(w, m) : pipeline_put(&p->pipeline, m)) {
        return;
    }
    /* A pipeline without room is the usual state of a peer that is down. */
    if (w != NULL) {
        transport_warn(p->t, &p->t->drops,
                       "peer %" PRIx64 ": does not keep up, %s dropped", p->id,
                       raft_message_type_name(m->type));
    }
    p->dropped_messages++;
    p->is_unreachable = true;
    if (m->type == RAFT_MSG_SNAP) {
        p->snapshot_failed = true;
    }
}

void peer_flush(struct peer *p)
{
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        stream_writer_flush(&p->writers[kind]);
    }
}

void peer_tick(struct peer *p)
{
    pipeline_tick(&p->pipeline);
    if (p->state == PEER_LEAVING) {
        if (pipeline_is_idle(&p->pipeline) || p->t->now_ms >= p->leave_by_ms) {
            peer_close(p);
        }
        return;
    }
    if (p->is_remote) {
        return;
    }
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        stream_reader_tick(&p->readers[kind]);
        stream_writer_tick(&p->writers[kind]);
    }
    prober_tick(&p->prober);
}

void peer_hurry(struct peer *p)
{
    uint64_t now = p->t->now_ms;

    if (now < p->hurry_ms) {
        return;
    }
    p->hurry_ms = now + BACKOFF_MAX_MS;
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        stream_reader_hurry(&p->readers[kind]);
    }
    pipeline_hurry(&p->pipeline);
}

void peer_update(struct peer *p, const struct addr *addr)
{
    ASSERT(p->state == PEER_ACTIVE);
    if (addr_equal(&p->addr, addr)) {
        return;
    }
    p->addr = *addr;
    prober_close(&p->prober);
    if (!pipeline_is_idle(&p->pipeline)) {
        p->is_unreachable = true;
    }
    if (pipeline_reset(&p->pipeline)) {
        p->snapshot_failed = true;
    }
    pipeline_hurry(&p->pipeline);
    for (int kind = 0; kind < STREAM_KINDS && !p->is_remote; kind++) {
        stream_reader_reset(&p->readers[kind]);
    }
    /* The writers stay: the peer dialed them, wherever it is. */
}

/* What only listens goes at once; what speaks may finish. */
static void close_inputs(struct peer *p)
{
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        stream_reader_close(&p->readers[kind]);
        stream_writer_end(&p->writers[kind]);
    }
    prober_close(&p->prober);
}

void peer_leave(struct peer *p)
{
    ASSERT(p->state == PEER_ACTIVE);
    close_inputs(p);
    p->state = PEER_LEAVING;
    p->leave_by_ms = p->t->now_ms + LEAVE_MS;
}

void peer_close(struct peer *p)
{
    ASSERT(p->state != PEER_CLOSED);
    close_inputs(p);
    (void)pipeline_reset(&p->pipeline);
    p->state = PEER_CLOSED;
}

bool peer_is_active(const struct peer *p)
{
    bool reads = false;
    bool writes = false;

    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        reads |= p->readers[kind].state == STREAM_READER_OPEN;
        writes |= p->writers[kind].x != NULL;
    }
    return reads && writes;
}

/* Nobody is told about a peer that was removed: raft has forgotten it. */
static bool may_report(const struct peer *p)
{
    return p->state == PEER_ACTIVE && !p->t->closing;
}

bool peer_has_news(const struct peer *p)
{
    return p->is_unreachable || p->snapshot_failed || p->snapshot_delivered;
}

void peer_report(struct peer *p)
{
    struct transport *t = p->t;
    bool unreachable = p->is_unreachable;
    bool failed = p->snapshot_failed;
    bool delivered = p->snapshot_delivered;

    p->is_unreachable = p->snapshot_failed = p->snapshot_delivered = false;
    if (unreachable && may_report(p)) {
        t->handler.report_unreachable(t->handler.ctx, p->id);
    }
    if (failed && may_report(p)) {
        t->handler.report_snapshot(t->handler.ctx, p->id, false);
    }
    if (delivered && may_report(p)) {
        t->handler.report_snapshot(t->handler.ctx, p->id, true);
    }
}

void peer_says_removed(struct peer *p)
{
    struct transport *t = p->t;

    if (p->told_removed || p->is_remote || !may_report(p)) {
        return;
    }
    p->told_removed = true;
    log_warn(t->lg, "peer %" PRIx64 ": says that this node was removed", p->id);
    t->handler.self_removed(t->handler.ctx, p->id);
}

void peer_says_unknown(struct peer *p)
{
    if (may_report(p)) {
        p->t->handler.self_unknown(p->t->handler.ctx, p->id);
    }
}
