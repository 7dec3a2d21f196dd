/* POST /raft.
 *
 * A snapshot's message is never in memory as a whole: it is read from its file
 * as the socket takes it.
 *
 * A request's life: encoded and queued (put), sent when the lane is free
 * (pump), answered 204 (on_end), next. Anything else is a failure: connecting
 * failed, another answer came (412: wrong cluster or version, logged; 410: we
 * were removed, the handler is told), the connection broke, or nothing moved
 * for the lane's time. The peer is then reported unreachable, for a MsgSnap the
 * snapshot as failed. If the connection is gone too, what waited behind is
 * dropped and the lane pauses; a new connection is tried when the pause is over
 * and a message comes.
 *
 * The connection is kept for the next request and closed when idle. */

#include "transport/pipeline.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "transport/peer.h"
#include "transport/transport_internal.h"

#define ANSWER_HEAD_MAX (16 * KiB)

/* One encoded message that waits. */
struct post {
    struct list link;
    uint8_t *body; /* owned until the request is made; NULL: `stream` */
    size_t len;
    struct http_body stream; /* the same, of a snapshot that is in a file */
};

static void on_response(void *ctx, const struct http_head *head);
static void on_body(void *ctx, struct bytes data);
static void on_end(void *ctx, int rc, const char *why);

static const struct http_client_ops LANE_OPS = {
    .on_response = on_response,
    .on_body = on_body,
    .on_end = on_end,
};

void pipeline_init(struct pipeline *pl, struct peer *p)
{
    for (int kind = 0; kind < LANES; kind++) {
        struct lane *l = &pl->lanes[kind];

        *l = (struct lane){
            .peer = p,
            .kind = (enum lane_kind)kind,
            .complaints = {.every_ms = LOG_EVERY_MS},
        };
        list_init(&l->queue);
    }
}

/* --- a snapshot out of its file --- */

/* What stands around it, in memory, and how far it was read. */
struct snap_body {
    struct raft_snapshot *snap; /* one reference */
    size_t pos;
    size_t front_len;
    size_t back_len;
    uint8_t around[]; /* front, then back */
};

static int read_snap_body(void *ctx, uint8_t *p, size_t len, struct errmsg *em)
{
    struct snap_body *b = ctx;
    struct raft_snapshot_source *source = b->snap->source;
    size_t behind = b->front_len + source->size;

    while (len > 0) {
        size_t n;

        if (b->pos < b->front_len) {
            n = len < b->front_len - b->pos ? len : b->front_len - b->pos;
            memcpy(p, b->around + b->pos, n);
        } else if (b->pos < behind) {
            n = len < behind - b->pos ? len : behind - b->pos;
            int rc = source->ops->read(source, p, n, em);
            if (rc < 0) {
                return rc;
            }
        } else {
            n = len;
            ASSERT(n <= behind + b->back_len - b->pos);
            memcpy(p, b->around + b->pos - source->size, n);
        }
        b->pos += n;
        p += n;
        len -= n;
    }
    return 0;
}

static void release_snap_body(void *ctx)
{
    struct snap_body *b = ctx;

    raft_snapshot_unref(b->snap);
    xfree(b);
}

static struct http_body new_snap_body(const struct raft_message *m)
{
    size_t front_len = raft_message_front_size(m);
    size_t back_len = raft_message_back_size(m);
    struct snap_body *b = xmalloc(sizeof(*b) + front_len + back_len);

    *b = (struct snap_body){
        .snap = raft_snapshot_ref(m->snapshot),
        .front_len = front_len,
        .back_len = back_len,
    };
    uint8_t *end = raft_message_encode_front(m, b->around);
    end = raft_message_encode_back(m, end);
    ASSERT(end == b->around + front_len + back_len);
    return (struct http_body){
        .len = front_len + m->snapshot->source->size + back_len,
        .read = read_snap_body,
        .release = release_snap_body,
        .ctx = b,
    };
}

/* --- lanes --- */

static struct post *new_post(const struct raft_message *m, size_t size)
{
    struct post *post = xmalloc(sizeof(*post));

    *post = (struct post){.len = size};
    if (m->snapshot != NULL && m->snapshot->source != NULL) {
        post->stream = new_snap_body(m);
        ASSERT(post->stream.len == size);
    } else {
        post->body = xmalloc(size);
        uint8_t *end = raft_message_encode(m, post->body);
        ASSERT(end == post->body + size);
    }
    return post;
}

static void free_post(struct post *post)
{
    if (post->stream.len > 0) {
        post->stream.release(post->stream.ctx);
    }
    xfree(post->body);
    xfree(post);
}

static struct post *take_post(struct lane *l)
{
    struct list *first = list_pop_front(&l->queue);

    if (first == NULL) {
        return NULL;
    }
    struct post *post = container_of(first, struct post, link);
    ASSERT(l->n_queued > 0);
    ASSERT(l->queued_bytes >= post->len);
    l->n_queued--;
    l->queued_bytes -= post->len;
    return post;
}

/* Everything but the pause is as new. Returns the number of requests that are
 * lost with it. */
static size_t reset_lane(struct lane *l)
{
    size_t lost = l->n_queued + (l->in_flight ? 1 : 0);
    struct post *post;

    while ((post = take_post(l)) != NULL) {
        free_post(post);
    }
    http_client_close(l->client);
    l->client = NULL;
    l->in_flight = false;
    return lost;
}

static void connect_lane(struct lane *l)
{
    l->client = http_client_new(l->peer->t->net,
                                &(struct http_client_options){
                                    .addr = l->peer->addr,
                                    .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                    .head_max = ANSWER_HEAD_MAX,
                                    .ops = &LANE_OPS,
                                    .ctx = l,
                                });
}

/* Send the next request if none is in flight. */
static void pump(struct lane *l)
{
    struct transport *t = l->peer->t;

    if (l->in_flight) {
        return;
    }
    struct post *post = take_post(l);
    if (post == NULL) {
        return;
    }
    if (l->client == NULL) {
        connect_lane(l);
    }
    l->in_flight = true;
    l->unsent = post->len;
    l->moved_ms = t->now_ms;
    l->peer->sent_bytes += post->len;
    peer_answer_reset(&l->answer, 0);
    http_client_request(
        l->client, &(struct http_request){
                       .method = "POST",
                       .target = PATH_RAFT,
                       .fields = transport_fields(t)->post,
                       .body = {post->body, post->body == NULL ? 0 : post->len},
                       .body_owned = post->body,
                       .has_body = true,
                       .stream = post->stream,
                   });
    xfree(post);
}

static bool has_room(const struct lane *l, size_t size)
{
    if (l->peer->t->now_ms < l->backoff.at_ms) {
        return false;
    }
    if (l->kind == LANE_SNAPSHOT) {
        return !l->in_flight && l->n_queued == 0;
    }
    return l->n_queued < PIPELINE_QUEUE_MAX &&
           (l->n_queued == 0 ||
            size <= PEER_QUEUE_BYTES_MAX -
                        min_u64(l->queued_bytes, PEER_QUEUE_BYTES_MAX));
}

static void complain(struct lane *l, const char *why)
{
    transport_warn(l->peer->t, &l->complaints,
                   "peer %" PRIx64 ": %s not delivered: %s", l->peer->id,
                   l->kind == LANE_SNAPSHOT ? "snapshot" : "posted message",
                   why);
}

bool pipeline_put(struct pipeline *pl, const struct raft_message *m)
{
    struct lane *l =
        &pl->lanes[m->type == RAFT_MSG_SNAP ? LANE_SNAPSHOT : LANE_MESSAGES];
    size_t size = raft_message_size(m);

    if (size > PEER_MESSAGE_MAX) {
        complain(l, err_str(ERR_TOO_LARGE));
        return false;
    }
    if (!has_room(l, size)) {
        return false;
    }
    struct post *post = new_post(m, size);
    list_push_back(&l->queue, &post->link);
    l->n_queued++;
    l->queued_bytes += size;
    pump(l);
    return true;
}

static void note_failure(struct lane *l)
{
    l->peer->is_unreachable = true;
    if (l->kind == LANE_SNAPSHOT) {
        l->peer->snapshot_failed = true;
    }
}

/* The connection is of no use any more. */
static void break_lane(struct lane *l, const char *why)
{
    struct transport *t = l->peer->t;

    complain(l, why);
    l->peer->dropped_messages += reset_lane(l);
    backoff_fail(&l->backoff, t->now_ms, &t->rng);
    note_failure(l);
}

static void on_response(void *ctx, const struct http_head *head)
{
    struct lane *l = ctx;

    l->moved_ms = l->peer->t->now_ms;
    peer_answer_reset(&l->answer, head->status);
}

static void on_body(void *ctx, struct bytes data)
{
    struct lane *l = ctx;

    l->moved_ms = l->peer->t->now_ms;
    peer_answer_add(&l->answer, data);
}

/* Only 204 says that raft has the message [formats-transport 3]. */
static void on_answer(struct lane *l)
{
    char text[128];

    l->in_flight = false;
    l->moved_ms = l->peer->t->now_ms;
    backoff_reset(&l->backoff);
    if (l->answer.status == 204) {
        if (l->kind == LANE_SNAPSHOT) {
            l->peer->snapshot_delivered = true;
        }
        return;
    }
    (void)snprintf(text, sizeof(text), "%d %s", l->answer.status,
                   l->answer.text);
    complain(l, text);
    l->peer->dropped_messages++;
    note_failure(l);
}

static void on_end(void *ctx, int rc, const char *why)
{
    struct lane *l = ctx;
    struct peer *p = l->peer;
    bool removed = rc == 0 && l->answer.status == 410;

    ASSERT(l->in_flight);
    if (rc < 0) {
        break_lane(l, why);
    } else {
        on_answer(l);
        pump(l);
    }
    /* The handler last: it may close all of this. */
    peer_report(p);
    if (removed) {
        peer_says_removed(p);
    }
}

static void tick_lane(struct lane *l)
{
    uint64_t now = l->peer->t->now_ms;
    uint64_t stall = l->kind == LANE_SNAPSHOT ? PIPELINE_SNAPSHOT_STALL_MS
                                              : PIPELINE_STALL_MS;

    if (l->client == NULL) {
        return;
    }
    if (!l->in_flight) {
        if (now - l->moved_ms >= PIPELINE_IDLE_MS) {
            (void)reset_lane(l);
        }
        return;
    }
    size_t unsent = http_client_queued(l->client);
    if (unsent < l->unsent) {
        l->moved_ms = now;
    }
    l->unsent = unsent;
    if (now - l->moved_ms >= stall) {
        break_lane(l, err_str(ERR_TIMED_OUT));
    }
}

void pipeline_tick(struct pipeline *pl)
{
    for (int kind = 0; kind < LANES; kind++) {
        tick_lane(&pl->lanes[kind]);
    }
}

void pipeline_hurry(struct pipeline *pl)
{
    for (int kind = 0; kind < LANES; kind++) {
        backoff_reset(&pl->lanes[kind].backoff);
    }
}

bool pipeline_is_idle(const struct pipeline *pl)
{
    for (int kind = 0; kind < LANES; kind++) {
        if (pl->lanes[kind].in_flight || pl->lanes[kind].n_queued > 0) {
            return false;
        }
    }
    return true;
}

bool pipeline_reset(struct pipeline *pl)
{
    (void)reset_lane(&pl->lanes[LANE_MESSAGES]);
    return reset_lane(&pl->lanes[LANE_SNAPSHOT]) > 0;
}
