/* The streams between two nodes.
 *
 * A reader's life, when all goes well: dial, request, 200, then frames until
 * the end of the world. It can go wrong in these ways, and all of them end in
 * the same place, a closed connection and a pause before the next attempt:
 * connecting fails or is refused; the answer is not 200 (404: the peer does not
 * know us yet; 412: wrong cluster, node or version; 410: we were removed, which
 * the handler is told); nothing comes for 5 s although link heartbeats should;
 * the bytes are not frames, or no raft node would send such a message; the peer
 * ends the stream, because it stops or because a newer one of ours replaced it.
 *
 *   state     event                         next      made by
 *   IDLE      tick, back-off is over        DIALING   dial
 *   DIALING   200 and a version we read     OPEN      on_response
 *   DIALING   another answer                REFUSED   on_response
 *   any       end, error, timeout           IDLE      fail
 *   any       stream_reader_reset           IDLE      drop
 *   any       stream_reader_close           CLOSED    drop
 *
 * A commit index waits, for a moment, for the next entries: with them it costs
 * nothing, and alone a message and an answer to it. That is as if the network
 * were slow, and where nothing follows the transport sends it by its timer.
 *
 * A writer exists while the peer holds such a request open. It ends when the
 * connection is lost (stream_writer_lost), when the peer dials again
 * (stream_writer_attach) or when the peer is removed (stream_writer_end). What
 * was queued then may be lost, which is reported; raft sends again. */

#include "transport/stream.h"

#include <inttypes.h>

#include "src/base/bounds.h"
#include "transport/peer.h"
#include "transport/transport_internal.h"

/* A chunk that has grown to this size leaves before the batch is complete. */
#define CHUNK_FULL_BYTES (64 * KiB)

/* What a writer keeps for its next chunk. */
#define CHUNK_KEEP_MAX (256 * KiB)

/* A message of this size is a chunk of its own, written where it leaves from.
 */
#define CHUNK_DIRECT_BYTES (16 * KiB)

#define ANSWER_HEAD_MAX (16 * KiB)

/* --- reader --- */

static void on_response(void *ctx, const struct http_head *head);
static void on_body(void *ctx, struct bytes data);
static void on_end(void *ctx, int rc, const char *why);

static const struct http_client_ops READER_OPS = {
    .on_response = on_response,
    .on_body = on_body,
    .on_end = on_end,
};

void stream_reader_init(struct stream_reader *r, struct peer *p,
                        enum stream_kind kind)
{
    *r = (struct stream_reader){
        .peer = p,
        .kind = kind,
        .complaints = {.every_ms = LOG_EVERY_MS},
    };
    msg_reader_init(&r->codec, kind, p->id, p->t->id);
}

static void dial(struct stream_reader *r)
{
    struct transport *t = r->peer->t;
    char id[HEX_ID_SIZE];
    char target[sizeof(PATH_STREAM) + 16 + HEX_ID_SIZE];
    char fields[sizeof(t->fields.stream) + 16 + HEX_ID_SIZE];

    ASSERT(r->state == STREAM_READER_IDLE);
    ASSERT(r->client == NULL);
    hex_id_print(r->peer->id, id);
    (void)snprintf(target, sizeof(target), PATH_STREAM "/%s/%s",
                   stream_kind_name(r->kind), t->fields.id);
    (void)snprintf(fields, sizeof(fields), "%sX-Raft-To: %s\r\n",
                   transport_fields(t)->stream, id);

    r->client =
        http_client_new(t->net, &(struct http_client_options){
                                    .addr = r->peer->addr,
                                    .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                    .head_max = ANSWER_HEAD_MAX,
                                    .ops = &READER_OPS,
                                    .ctx = r,
                                });
    r->state = STREAM_READER_DIALING;
    http_client_request(r->client, &(struct http_request){
                                       .method = "GET",
                                       .target = target,
                                       .fields = fields,
                                       .read_timeout_ms = LINK_READ_TIMEOUT_MS,
                                   });
}

/* No byte of this connection gets into the next one [reliability F20]. */
static void drop(struct stream_reader *r, enum stream_reader_state next)
{
    http_client_close(r->client);
    r->client = NULL;
    r->state = next;
    msg_reader_release(&r->codec);
    msg_reader_init(&r->codec, r->kind, r->peer->id, r->peer->t->id);
}

/* The attempt or the stream is over; the next one comes after a pause. */
static void fail(struct stream_reader *r, const char *what, const char *why)
{
    struct transport *t = r->peer->t;

    transport_warn(t, &r->complaints, "peer %" PRIx64 ": %s stream %s: %s",
                   r->peer->id, stream_kind_name(r->kind), what, why);
    drop(r, STREAM_READER_IDLE);
    backoff_fail(&r->backoff, t->now_ms, &t->rng);
}

static void on_response(void *ctx, const struct http_head *head)
{
    struct stream_reader *r = ctx;

    if (head->status != 200) {
        r->state = STREAM_READER_REFUSED;
        peer_answer_reset(&r->answer, head->status);
        return;
    }
    if (!peer_version_readable(http_head_field(head, "X-Server-Version"))) {
        fail(r, "refused by us", "no or unsupported server version");
        return;
    }
    r->state = STREAM_READER_OPEN;
    log_info(r->peer->t->lg, "peer %" PRIx64 ": reading its %s stream",
             r->peer->id, stream_kind_name(r->kind));
}

static int on_message(void *ctx, const struct raft_message *m)
{
    struct stream_reader *r = ctx;
    struct reception got =
        transport_receive(r->peer->t, m, stream_kind_name(r->kind));

    if (r->state != STREAM_READER_OPEN) {
        return ERR_STOPPED; /* the handler removed the peer */
    }
    return got.verdict == MESSAGE_IMPOSSIBLE ? ERR_MALFORMED : 0;
}

static void on_body(void *ctx, struct bytes data)
{
    struct stream_reader *r = ctx;

    if (r->state == STREAM_READER_REFUSED) {
        peer_answer_add(&r->answer, data);
        return;
    }
    r->peer->received_bytes += data.len;
    int rc = msg_reader_feed(&r->codec, data, on_message, r);
    if (r->state != STREAM_READER_OPEN) {
        return;
    }
    if (rc < 0) {
        fail(r, "broken", err_str(rc));
    } else if (r->codec.n_frames > 0) {
        backoff_reset(&r->backoff);
    }
}

static void on_end(void *ctx, int rc, const char *why)
{
    struct stream_reader *r = ctx;
    struct peer *p = r->peer;
    int status = r->answer.status;
    char text[128];

    switch (r->state) {
    case STREAM_READER_REFUSED:
        (void)snprintf(text, sizeof(text), "%d %s", status, r->answer.text);
        fail(r, "refused", text);
        if (status == 410) {
            peer_says_removed(p);
        } else if (status == 404) {
            peer_says_unknown(p);
        }
        return;
    case STREAM_READER_OPEN:
        fail(r, "ended", rc < 0 ? why : "by the peer");
        return;
    case STREAM_READER_DIALING:
        fail(r, "cannot be opened", why);
        return;
    case STREAM_READER_IDLE:
    case STREAM_READER_CLOSED:
        break;
    }
    UNREACHABLE(); /* a closed client does not call back */
}

void stream_reader_tick(struct stream_reader *r)
{
    if (r->state == STREAM_READER_IDLE &&
        r->peer->t->now_ms >= r->backoff.at_ms) {
        dial(r);
    }
}

void stream_reader_hurry(struct stream_reader *r)
{
    if (r->state == STREAM_READER_IDLE &&
        r->backoff.delay_ms > BACKOFF_MIN_MS) {
        backoff_reset(&r->backoff);
    }
}

void stream_reader_reset(struct stream_reader *r)
{
    ASSERT(r->state != STREAM_READER_CLOSED);
    drop(r, STREAM_READER_IDLE);
    backoff_reset(&r->backoff);
}

void stream_reader_close(struct stream_reader *r)
{
    drop(r, STREAM_READER_CLOSED);
}

/* --- writer --- */

void stream_writer_init(struct stream_writer *w, struct peer *p,
                        enum stream_kind kind)
{
    *w = (struct stream_writer){.peer = p, .kind = kind};
    buf_init(&w->out, BUF_UNLIMITED);
}

void stream_writer_release(struct stream_writer *w)
{
    ASSERT(w->x == NULL);
    buf_release(&w->out);
}

/* The stream is over for us. Messages that it held may not have arrived. */
static void forget(struct stream_writer *w)
{
    w->x = NULL;
    w->has_news = false;
    buf_reset(&w->out);
    w->peer->is_unreachable = true;
}

void stream_writer_end(struct stream_writer *w)
{
    if (w->x != NULL) {
        stream_writer_send_news(w);
        stream_writer_flush(w);
    }
    if (w->x != NULL) {
        http_stream_end(w->x, STREAM_LINGER_MS);
        w->x = NULL;
    }
}

void stream_writer_attach(struct stream_writer *w, struct http_exchange *x,
                          const char *fields)
{
    struct transport *t = w->peer->t;

    if (w->x != NULL) {
        /* The peer may have given the old connection up with messages in it. */
        if (http_stream_queued(w->x) > 0) {
            w->peer->is_unreachable = true;
        }
        stream_writer_end(w);
    }
    log_info(t->lg, "peer %" PRIx64 ": it reads our %s stream", w->peer->id,
             stream_kind_name(w->kind));
    w->x = x;
    msg_writer_init(&w->codec, w->kind);
    w->next_heartbeat_ms = t->now_ms + LINK_HEARTBEAT_MS;
    http_exchange_set_data(x, w);
    http_stream_begin(x, 200, fields);
}

void stream_writer_lost(struct stream_writer *w)
{
    ASSERT(w->x != NULL);
    log_info(w->peer->t->lg, "peer %" PRIx64 ": lost our %s stream to it",
             w->peer->id, stream_kind_name(w->kind));
    forget(w);
}

/* Whether `size` more bytes may wait. An empty queue takes a message of any
 * size, or one larger than the bound could never be sent. */
static bool has_room(const struct stream_writer *w, size_t size)
{
    size_t waiting = http_stream_queued(w->x) + w->out.len;

    return waiting == 0 || (waiting <= PEER_QUEUE_BYTES_MAX &&
                            size <= PEER_QUEUE_BYTES_MAX - waiting);
}

/* A chunk that is refused all the same would leave a hole in the stream, so the
 * stream ends. */
static void break_off(struct stream_writer *w)
{
    http_stream_end(w->x, 0);
    forget(w);
}

static bool put_direct(struct stream_writer *w, const struct raft_message *m,
                       size_t size)
{
    uint8_t *p;

    stream_writer_flush(w);
    if (w->x == NULL) {
        return false;
    }
    if (http_stream_reserve(w->x, size, SIZE_MAX, &p) < 0) {
        break_off(w);
        return false;
    }
    if (p == NULL) {
        return true; /* lost with all that is queued: stream_writer_lost */
    }
    uint8_t *end = msg_writer_put(&w->codec, m, p);
    ASSERT(end == p + size);
    http_stream_commit(w->x, size);
    w->peer->sent_bytes += size;
    return true;
}

static bool put(struct stream_writer *w, const struct raft_message *m)
{
    size_t size = msg_writer_size(&w->codec, m);

    if (size > PEER_MESSAGE_MAX || !has_room(w, size)) {
        return false;
    }
    if (size >= CHUNK_DIRECT_BYTES) {
        return put_direct(w, m, size);
    }
    uint8_t *p = buf_reserve(&w->out, size);
    uint8_t *end = msg_writer_put(&w->codec, m, p);
    ASSERT(end == p + size);
    buf_commit(&w->out, size);
    if (w->out.len >= CHUNK_FULL_BYTES) {
        stream_writer_flush(w);
    }
    return true;
}

static void put_news(struct stream_writer *w)
{
    struct raft_message m = {
        .type = RAFT_MSG_APP,
        .from = w->peer->t->id,
        .to = w->peer->id,
        .term = w->codec.term,
        .log_term = w->codec.term,
        .index = w->codec.index,
        .commit = w->news,
    };

    w->has_news = false;
    (void)put(w, &m); /* without room it is lost, as any message may be */
}

bool stream_writer_put(struct stream_writer *w, const struct raft_message *m)
{
    ASSERT(w->x != NULL);
    if (w->kind == STREAM_MESSAGE) {
        return put(w, m);
    }
    bool goes_on = msg_writer_goes_on(&w->codec, m);
    if (goes_on && m->entries.len == 0) {
        w->news = w->has_news ? max_u64(w->news, m->commit) : m->commit;
        w->has_news = true;
        w->peer->t->has_news = true;
        return true;
    }
    if (w->has_news && goes_on && m->commit >= w->news) {
        w->has_news = false; /* `m` tells it */
    } else if (w->has_news) {
        put_news(w);
    }
    return put(w, m);
}

void stream_writer_send_news(struct stream_writer *w)
{
    if (w->has_news) {
        put_news(w);
        stream_writer_flush(w);
    }
}

void stream_writer_flush(struct stream_writer *w)
{
    if (w->out.len == 0) {
        return;
    }
    /* has_room kept the bound. */
    int rc = http_stream_write(w->x, buf_bytes(&w->out), SIZE_MAX);
    if (rc < 0) {
        break_off(w);
        return;
    }
    w->peer->sent_bytes += w->out.len;
    if (w->out.cap > CHUNK_KEEP_MAX) {
        buf_release(&w->out);
    } else {
        buf_reset(&w->out);
    }
}

void stream_writer_tick(struct stream_writer *w)
{
    uint64_t now = w->peer->t->now_ms;

    if (w->x == NULL || now < w->next_heartbeat_ms) {
        return;
    }
    w->next_heartbeat_ms = now + LINK_HEARTBEAT_MS;
    if (!has_room(w, MSG_LINK_HEARTBEAT_MAX)) {
        return; /* the peer does not read; the connection's deadline runs */
    }
    uint8_t *p = buf_reserve(&w->out, MSG_LINK_HEARTBEAT_MAX);
    uint8_t *end = msg_writer_put_heartbeat(&w->codec, p);
    buf_commit(&w->out, (size_t)(end - p));
    stream_writer_flush(w);
}
