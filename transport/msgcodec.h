/* Framing of raft messages on the streams between peers; pure.
 *
 * A stream is an endless run of frames; chunks of the HTTP body below and
 * slices handed to the reader have no meaning. There are two codings, one per
 * kind of stream. All integers are big-endian.
 *
 * STREAM_MESSAGE, one frame:
 *
 *     0   8  length n of the message, at most PEER_MESSAGE_MAX
 *     8   n  encoded Message
 *
 * STREAM_MSGAPP ("msgappv2"), one frame:
 *
 *     0   1  0: link heartbeat, nothing follows
 *
 *     0   1  1: entries that go on where the frame before ended
 *     1   8  count, at most PEER_APPEND_ENTRIES_MAX
 *            count times: 8 length, then an encoded Entry
 *         8  commit index
 *
 *     0   1  2: a whole message
 *     1   8  length n
 *     9   n  encoded Message
 *
 * Both ends of a msgapp stream keep a term and an index, 0 at the start of the
 * connection: the end of the last frame. A type 1 frame leaves out everything
 * that they tell.
 *
 * Bytes come from outside: every length is checked before memory is taken, and
 * memory grows with the bytes that arrived, not with those announced
 * [reliability F22].
 *
 * Counterpart: etcd rafthttp message.go, msgappv2_codec.go.
 * Differs: counts and lengths are bounded on both kinds of stream, and entries
 * of a type 1 frame whose index does not follow are refused while reading. */

#ifndef TRANSPORT_MSGCODEC_H
#define TRANSPORT_MSGCODEC_H

#include "proto/raftpb.h"
#include "src/base/buf.h"
#include "src/base/common.h"
#include "src/base/err.h"

enum stream_kind {
    STREAM_MSGAPP,
    STREAM_MESSAGE,
    STREAM_KINDS,
};

/* "msgapp", "message": as in the path of the request. */
const char *stream_kind_name(enum stream_kind kind);

/* --- writer --- */

struct msg_writer {
    enum stream_kind kind;
    uint64_t term; /* msgapp only: end of the last frame */
    uint64_t index;
};

/* For a new connection. */
void msg_writer_init(struct msg_writer *w, enum stream_kind kind);

/* The bytes that the next frame has if it carries `m`. On a msgapp stream `m`
 * is a MsgApp. */
size_t msg_writer_size(const struct msg_writer *w,
                       const struct raft_message *m);

/* Whether a MsgApp goes on where the last one ended, in the same term: then a
 * type 1 frame says all of it. */
bool msg_writer_goes_on(const struct msg_writer *w,
                        const struct raft_message *m);

/* Write exactly that many bytes at `p`; returns their end. */
uint8_t *msg_writer_put(struct msg_writer *w, const struct raft_message *m,
                        uint8_t *p);

/* Append a link heartbeat: says that the link is up, means nothing to raft.
 * Room of MSG_LINK_HEARTBEAT_MAX bytes at `p`; returns the end. */
#define MSG_LINK_HEARTBEAT_MAX 64
uint8_t *msg_writer_put_heartbeat(const struct msg_writer *w, uint8_t *p);

/* Whether `m` is the link heartbeat of a message stream, in any of the three
 * encodings that etcd has had for it. */
bool message_is_link_heartbeat(const struct raft_message *m);

/* --- reader --- */

/* A message was read; it is borrowed, entries and snapshot are shared. An
 * error ends the feeding and is returned by it. A callback that releases the
 * reader must return one. */
typedef int msg_reader_cb(void *ctx, const struct raft_message *m);

/* What the next `need` bytes are. */
enum msg_reader_stage {
    READ_TYPE,
    READ_COUNT,
    READ_ENTRY_LENGTH,
    READ_ENTRY,
    READ_COMMIT,
    READ_MESSAGE_LENGTH,
    READ_MESSAGE,
};

struct msg_reader {
    enum stream_kind kind;
    uint64_t from; /* the ends of the link, for type 1 frames */
    uint64_t to;
    enum msg_reader_stage stage;
    size_t need;     /* size of the item that comes next */
    struct buf item; /* its first bytes, if it came in pieces */
    uint64_t term;   /* msgapp only: end of the last frame */
    uint64_t index;
    uint64_t entries_left;       /* of the type 1 frame being read */
    size_t entries_bytes;        /* encoded size of those that were read */
    struct raft_entries entries; /* those that were read */
    uint64_t n_frames;           /* complete ones so far, link heartbeats too */
};

/* For a new connection: messages from `from` to `to`. */
void msg_reader_init(struct msg_reader *r, enum stream_kind kind, uint64_t from,
                     uint64_t to);
void msg_reader_release(struct msg_reader *r);

/* Take the next bytes of the stream, cut anywhere. Link heartbeats are counted
 * and dropped.
 *
 * Errors (the stream is lost, release the reader):
 *   ERR_MALFORMED  no such frame, undecodable message, index that has a gap
 *   ERR_TOO_LARGE  a count or a length over its bound
 *   else           what the callback returned */
MUST_CHECK int msg_reader_feed(struct msg_reader *r, struct bytes data,
                               msg_reader_cb *cb, void *ctx);

#endif /* TRANSPORT_MSGCODEC_H */
