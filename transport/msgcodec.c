/* Framing of raft messages on the streams between peers; pure.
 *
 * The reader is a machine over items of known size: a type byte, a number, an
 * encoded entry or message. An item that lies whole in what was fed is parsed
 * in place, only one that is cut is collected first. Each stage checks what it
 * read and sets the next stage and its size.
 *
 *   stage            reads           next
 *   TYPE             1 byte          TYPE (0), COUNT (1), MESSAGE_LENGTH (2)
 *   COUNT            8 bytes         ENTRY_LENGTH, or COMMIT if it is 0
 *   ENTRY_LENGTH     8 bytes         ENTRY
 *   ENTRY            length bytes    ENTRY_LENGTH, COMMIT after the last one
 *   COMMIT           8 bytes         TYPE; a message is complete
 *   MESSAGE_LENGTH   8 bytes         MESSAGE
 *   MESSAGE          length bytes    TYPE on a msgapp stream, MESSAGE_LENGTH on
 *                                    a message stream; a message is complete
 */

#include "transport/msgcodec.h"

#include "src/base/bounds.h"

#define FRAME_LINK_HEARTBEAT 0
#define FRAME_ENTRIES        1
#define FRAME_MESSAGE        2

/* What the reader keeps for the next cut item. A larger one, a snapshot maybe,
 * gives its memory back. */
#define ITEM_KEEP_MAX (1 * MiB)

static_assert(ENTRY_SIZE_MAX <= PEER_MESSAGE_MAX, "an entry fits a message");

const char *stream_kind_name(enum stream_kind kind)
{
    switch (kind) {
    case STREAM_MSGAPP:
        return "msgapp";
    case STREAM_MESSAGE:
        return "message";
    case STREAM_KINDS:
        break;
    }
    UNREACHABLE();
}

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
    for (int shift = 56; shift >= 0; shift -= 8) {
        *p++ = (uint8_t)(v >> shift);
    }
    return p;
}

static uint64_t get_u64(struct bytes b)
{
    uint64_t v = 0;

    ASSERT(b.len == 8);
    for (size_t i = 0; i < 8; i++) {
        v = v << 8 | b.data[i];
    }
    return v;
}

/* --- writer --- */

void msg_writer_init(struct msg_writer *w, enum stream_kind kind)
{
    *w = (struct msg_writer){.kind = kind};
}

/* [formats-transport 5.2] */
bool msg_writer_goes_on(const struct msg_writer *w,
                        const struct raft_message *m)
{
    ASSERT(w->kind == STREAM_MSGAPP);
    ASSERT(m->type == RAFT_MSG_APP);
    return m->index == w->index && m->log_term == w->term &&
           m->log_term == m->term;
}

size_t msg_writer_size(const struct msg_writer *w, const struct raft_message *m)
{
    if (w->kind == STREAM_MESSAGE) {
        return 8 + raft_message_size(m);
    }
    ASSERT(m->type == RAFT_MSG_APP);
    if (!msg_writer_goes_on(w, m)) {
        return 1 + 8 + raft_message_size(m);
    }
    size_t size = 1 + 8 + 8; /* type, count, commit */
    for (size_t i = 0; i < m->entries.len; i++) {
        size += 8 + raft_entry_size(m->entries.items[i]);
    }
    return size;
}

static uint8_t *put_message(const struct raft_message *m, uint8_t *p)
{
    p = put_u64(p, raft_message_size(m));
    return raft_message_encode(m, p);
}

static uint8_t *put_entries(const struct raft_message *m, uint8_t *p)
{
    p = put_u64(p, m->entries.len);
    for (size_t i = 0; i < m->entries.len; i++) {
        p = put_u64(p, raft_entry_size(m->entries.items[i]));
        p = raft_entry_encode(m->entries.items[i], p);
    }
    return put_u64(p, m->commit);
}

static uint64_t last_index(const struct raft_message *m)
{
    const struct raft_entries *v = &m->entries;

    return v->len > 0 ? v->items[v->len - 1]->index : m->index;
}

uint8_t *msg_writer_put(struct msg_writer *w, const struct raft_message *m,
                        uint8_t *p)
{
    if (w->kind == STREAM_MESSAGE) {
        return put_message(m, p);
    }
    ASSERT(m->type == RAFT_MSG_APP);
    if (msg_writer_goes_on(w, m)) {
        *p++ = FRAME_ENTRIES;
        w->index += m->entries.len;
        ASSERT(w->index == last_index(m));
        return put_entries(m, p);
    }
    *p++ = FRAME_MESSAGE;
    w->term = m->term;
    w->index = last_index(m);
    return put_message(m, p);
}

uint8_t *msg_writer_put_heartbeat(const struct msg_writer *w, uint8_t *p)
{
    if (w->kind == STREAM_MSGAPP) {
        *p++ = FRAME_LINK_HEARTBEAT;
        return p;
    }
    const struct raft_message m = {.type = RAFT_MSG_HEARTBEAT};
    ASSERT(8 + raft_message_size(&m) <= MSG_LINK_HEARTBEAT_MAX);
    return put_message(&m, p);
}

bool message_is_link_heartbeat(const struct raft_message *m)
{
    return m->type == RAFT_MSG_HEARTBEAT && m->from == RAFT_NONE &&
           m->to == RAFT_NONE;
}

/* --- reader --- */

static void expect(struct msg_reader *r, enum msg_reader_stage stage,
                   size_t need)
{
    r->stage = stage;
    r->need = need;
}

static void expect_frame(struct msg_reader *r)
{
    if (r->kind == STREAM_MSGAPP) {
        expect(r, READ_TYPE, 1);
    } else {
        expect(r, READ_MESSAGE_LENGTH, 8);
    }
}

void msg_reader_init(struct msg_reader *r, enum stream_kind kind, uint64_t from,
                     uint64_t to)
{
    *r = (struct msg_reader){.kind = kind, .from = from, .to = to};
    buf_init(&r->item, PEER_MESSAGE_MAX);
    expect_frame(r);
}

void msg_reader_release(struct msg_reader *r)
{
    buf_release(&r->item);
    raft_entries_release(&r->entries);
}

static int read_type(struct msg_reader *r, uint8_t type)
{
    switch (type) {
    case FRAME_LINK_HEARTBEAT:
        r->n_frames++;
        return 0; /* the next byte is a type again */
    case FRAME_ENTRIES:
        expect(r, READ_COUNT, 8);
        return 0;
    case FRAME_MESSAGE:
        expect(r, READ_MESSAGE_LENGTH, 8);
        return 0;
    default:
        return ERR_MALFORMED;
    }
}

static int read_count(struct msg_reader *r, uint64_t count)
{
    if (count > PEER_APPEND_ENTRIES_MAX) {
        return ERR_TOO_LARGE;
    }
    r->entries_left = count;
    r->entries_bytes = 0;
    expect(r, count > 0 ? READ_ENTRY_LENGTH : READ_COMMIT, 8);
    return 0;
}

static int read_entry_length(struct msg_reader *r, uint64_t len)
{
    if (len > ENTRY_SIZE_MAX || len > PEER_MESSAGE_MAX - r->entries_bytes) {
        return ERR_TOO_LARGE;
    }
    r->entries_bytes += (size_t)len;
    expect(r, READ_ENTRY, (size_t)len);
    return 0;
}

static int read_entry(struct msg_reader *r, struct bytes item)
{
    struct raft_entry *e = NULL;
    int rc = raft_entry_decode(item, &e);

    if (rc < 0) {
        return rc;
    }
    /* A gap means that the two ends no longer agree where they are. Noticed
     * here, empty entries cannot be used to make us allocate. */
    if (r->index >= UINT64_MAX - r->entries.len ||
        e->index != r->index + r->entries.len + 1) {
        raft_entry_unref(e);
        return ERR_MALFORMED;
    }
    raft_entries_take(&r->entries, e);
    r->entries_left--;
    expect(r, r->entries_left > 0 ? READ_ENTRY_LENGTH : READ_COMMIT, 8);
    return 0;
}

/* The end of a type 1 frame. The reader is complete before the callback runs;
 * the vector of entries comes back afterwards to keep its memory. */
static int read_commit(struct msg_reader *r, uint64_t commit, msg_reader_cb *cb,
                       void *ctx)
{
    struct raft_message m = {
        .type = RAFT_MSG_APP,
        .from = r->from,
        .to = r->to,
        .term = r->term,
        .log_term = r->term,
        .index = r->index,
        .commit = commit,
        .entries = r->entries,
    };

    r->entries = (struct raft_entries){0};
    r->index += m.entries.len;
    r->n_frames++;
    expect_frame(r);

    int rc = cb(ctx, &m);
    if (rc < 0) {
        raft_message_release(&m);
        return rc;
    }
    raft_entries_reset(&m.entries);
    r->entries = m.entries;
    return 0;
}

static int read_message_length(struct msg_reader *r, uint64_t len)
{
    if (len > PEER_MESSAGE_MAX) {
        return ERR_TOO_LARGE;
    }
    expect(r, READ_MESSAGE, (size_t)len);
    return 0;
}

static int read_message(struct msg_reader *r, struct bytes item,
                        msg_reader_cb *cb, void *ctx)
{
    struct raft_message m = {0};
    int rc = raft_message_decode(item, &m);

    if (rc < 0) {
        return rc;
    }
    r->n_frames++;
    expect_frame(r);
    if (r->kind == STREAM_MSGAPP) {
        r->term = m.term;
        r->index = last_index(&m);
    }
    if (!message_is_link_heartbeat(&m)) {
        rc = cb(ctx, &m);
    }
    raft_message_release(&m);
    return rc;
}

static int read_item(struct msg_reader *r, struct bytes item, msg_reader_cb *cb,
                     void *ctx)
{
    ASSERT(item.len == r->need);
    switch (r->stage) {
    case READ_TYPE:
        return read_type(r, item.data[0]);
    case READ_COUNT:
        return read_count(r, get_u64(item));
    case READ_ENTRY_LENGTH:
        return read_entry_length(r, get_u64(item));
    case READ_ENTRY:
        return read_entry(r, item);
    case READ_COMMIT:
        return read_commit(r, get_u64(item), cb, ctx);
    case READ_MESSAGE_LENGTH:
        return read_message_length(r, get_u64(item));
    case READ_MESSAGE:
        return read_message(r, item, cb, ctx);
    }
    UNREACHABLE();
}

/* The next whole item, from the input or, if it was cut, from what has been
 * collected. False: all input is used up and more is needed. */
static bool next_item(struct msg_reader *r, struct bytes *data,
                      struct bytes *item)
{
    size_t missing = r->need - r->item.len;
    size_t n = data->len < missing ? data->len : missing;

    if (r->item.len == 0 && n == r->need) {
        /* Never NULL: to a decoder that would be "absent". */
        *item = (struct bytes){n > 0 ? data->data : (const uint8_t *)"", n};
    } else {
        int rc = buf_append(&r->item, data->data, n);
        ASSERT(rc == 0); /* `need` is within the limit of the buffer */
        if (n < missing) {
            *data = (struct bytes){0};
            return false;
        }
        *item = buf_bytes(&r->item);
    }
    data->data += n;
    data->len -= n;
    return true;
}

static void forget_item(struct msg_reader *r)
{
    if (r->item.cap > ITEM_KEEP_MAX) {
        buf_release(&r->item);
    } else {
        buf_reset(&r->item);
    }
}

int msg_reader_feed(struct msg_reader *r, struct bytes data, msg_reader_cb *cb,
                    void *ctx)
{
    struct bytes item;

    while (data.len > 0 || r->need == 0) {
        if (!next_item(r, &data, &item)) {
            return 0;
        }
        int rc = read_item(r, item, cb, ctx);
        if (rc < 0) {
            return rc; /* the reader may be gone */
        }
        forget_item(r);
    }
    return 0;
}
