/* The four streams between two nodes: two that we dial and read, two that the
 * peer dials and we write.
 *
 * A stream reader is an outgoing request whose answer never ends; a stream
 * writer is the answer to such a request of the peer. Messages flow against the
 * direction of dialing [formats trap 3].
 *
 * Counterpart: etcd rafthttp stream.go.
 * Differs: redial backs off; a batch of messages leaves as one chunk. */

#ifndef TRANSPORT_STREAM_H
#define TRANSPORT_STREAM_H

#include "src/base/buf.h"
#include "src/net/http_conn.h"
#include "transport/headers.h"
#include "transport/msgcodec.h"

/* Link heartbeats on every writer, and silence after which a reader gives a
 * link up [formats-transport 5.3]. */
#define LINK_HEARTBEAT_MS    1600
#define LINK_READ_TIMEOUT_MS 5000
#define CONNECT_TIMEOUT_MS   5000

/* How long a stream that is replaced or removed may take to write its rest. */
#define STREAM_LINGER_MS 1000

struct peer;

/* --- reader: we dial, the peer sends --- */

enum stream_reader_state {
    STREAM_READER_IDLE,    /* no connection; dialed when the back-off is over */
    STREAM_READER_DIALING, /* request sent */
    STREAM_READER_REFUSED, /* another answer than 200: reading its text */
    STREAM_READER_OPEN,    /* 200 */
    STREAM_READER_CLOSED,  /* for good */
};

struct stream_reader {
    struct peer *peer;
    enum stream_kind kind;
    enum stream_reader_state state;
    struct http_client *client; /* NULL iff IDLE or CLOSED */
    struct msg_reader codec;    /* of this connection only */
    struct peer_answer answer;  /* if REFUSED */
    struct backoff backoff;
    struct log_limit complaints;
};

void stream_reader_init(struct stream_reader *r, struct peer *p,
                        enum stream_kind kind);

/* Dial if it is time to. */
void stream_reader_tick(struct stream_reader *r);

/* The peer gave a sign of life: do not wait for the end of a long pause. */
void stream_reader_hurry(struct stream_reader *r);

/* Drop the connection; IDLE and due at once. */
void stream_reader_reset(struct stream_reader *r);

void stream_reader_close(struct stream_reader *r);

/* --- writer: the peer dialed, we send --- */

struct stream_writer {
    struct peer *peer;
    enum stream_kind kind;
    struct http_exchange *x; /* NULL: the peer has no such stream open */
    struct msg_writer codec;
    struct buf out; /* the chunk being filled; empty between batches */
    bool has_news;  /* `news` waits for entries to go with */
    uint64_t news;  /* a commit index, and nothing else */
    uint64_t next_heartbeat_ms;
};

void stream_writer_init(struct stream_writer *w, struct peer *p,
                        enum stream_kind kind);
void stream_writer_release(struct stream_writer *w);

/* Answer the request `x` with a stream; one that was open ends. */
void stream_writer_attach(struct stream_writer *w, struct http_exchange *x,
                          const char *fields);

/* The exchange is gone (on_abort). */
void stream_writer_lost(struct stream_writer *w);

/* Put a message into the next chunk. False if the queue has no room. One that
 * tells nothing but the commit index waits for the next one, or for
 * stream_writer_send_news. */
bool stream_writer_put(struct stream_writer *w, const struct raft_message *m);

/* Hand the chunk to the connection. */
void stream_writer_flush(struct stream_writer *w);

/* The commit index that waits goes now. */
void stream_writer_send_news(struct stream_writer *w);

void stream_writer_tick(struct stream_writer *w);

/* Write what is queued, at most STREAM_LINGER_MS long, then end the stream. */
void stream_writer_end(struct stream_writer *w);

#endif /* TRANSPORT_STREAM_H */
