/* Goal: a stream between peers gives the same messages however it is cut, and
 * what a writer wrote is what a reader gives. Method: the first bytes choose
 * the kind of stream and the cuts; the rest is fed whole and in pieces. What
 * was read is written again by the same kind of writer, and read once more. */

#include "src/base/alloc.h"
#include "tests/fuzz/lib/fuzz.h"
#include "transport/message_check.h"
#include "transport/msgcodec.h"

#define FROM 3
#define TO   1

/* What a reader gave: each message encoded, and again as frames. */
struct seen {
    struct buf messages;
    struct buf frames;
    struct msg_writer writer;
    bool as_written; /* all of them are such as a writer is given */
    size_t n;
};

/* Whether it has only what raft gives to a MsgApp: the short form of a msgapp
 * stream has no room for anything else. */
static bool is_plain_append(const struct raft_message *m)
{
    return m->type == RAFT_MSG_APP && !m->reject && m->reject_hint == 0 &&
           !m->has_context && m->snapshot == NULL && m->vote == 0;
}

static int on_message(void *ctx, const struct raft_message *m)
{
    struct seen *s = ctx;
    size_t size = raft_message_size(m);
    uint8_t *p = buf_reserve(&s->messages, size);
    const char *reason = NULL;

    ASSERT(raft_message_encode(m, p) == p + size);
    buf_commit(&s->messages, size);
    s->n++;
    /* Only MsgApp goes over a msgapp stream, and only what the door lets out;
     * a heartbeat of the link is not a message. */
    s->as_written &= m->from == FROM && m->to == TO &&
                     message_check(m, TO, &reason) == MESSAGE_GOOD &&
                     (s->writer.kind == STREAM_MESSAGE || is_plain_append(m)) &&
                     !message_is_link_heartbeat(m);
    if (s->as_written) {
        size = msg_writer_size(&s->writer, m);
        p = buf_reserve(&s->frames, size);
        ASSERT(msg_writer_put(&s->writer, m, p) == p + size);
        buf_commit(&s->frames, size);
    }
    return 0;
}

static void seen_init(struct seen *s, enum stream_kind kind)
{
    *s = (struct seen){.as_written = true};
    buf_init(&s->messages, BUF_UNLIMITED);
    buf_init(&s->frames, BUF_UNLIMITED);
    msg_writer_init(&s->writer, kind);
}

static void seen_release(struct seen *s)
{
    buf_release(&s->messages);
    buf_release(&s->frames);
}

/* Feed `in` in pieces whose lengths go around in `cuts`; none: all at once. */
static int feed(enum stream_kind kind, struct bytes in, struct bytes cuts,
                struct seen *s)
{
    struct msg_reader r;
    int rc = 0;

    seen_init(s, kind);
    msg_reader_init(&r, kind, FROM, TO);
    for (size_t at = 0, i = 0; at < in.len && rc == 0; i++) {
        size_t n = cuts.len == 0 ? in.len : 1 + cuts.data[i % cuts.len] % 24u;
        uint8_t *piece;

        n = n < in.len - at ? n : in.len - at;
        piece = fuzz_copy((struct bytes){in.data + at, n});
        rc = msg_reader_feed(&r, (struct bytes){piece, n}, on_message, s);
        xfree(piece);
        at += n;
    }
    msg_reader_release(&r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};
    enum stream_kind kind =
        fuzz_byte(&in) % 2 == 1 ? STREAM_MESSAGE : STREAM_MSGAPP;
    struct bytes cuts = fuzz_take(&in, 3);
    struct bytes rest = {in.p, in.left};
    struct seen whole;
    struct seen cut;
    struct seen again;
    int rc = feed(kind, rest, (struct bytes){0}, &whole);

    ASSERT(feed(kind, rest, cuts, &cut) == rc);
    ASSERT(fuzz_equal(buf_bytes(&whole.messages), buf_bytes(&cut.messages)));
    if (whole.as_written) {
        ASSERT(feed(kind, buf_bytes(&whole.frames), cuts, &again) == 0);
        ASSERT(
            fuzz_equal(buf_bytes(&whole.messages), buf_bytes(&again.messages)));
        seen_release(&again);
    }
    fuzz_use_number((uint64_t)rc + whole.n);
    seen_release(&whole);
    seen_release(&cut);
    return 0;
}
