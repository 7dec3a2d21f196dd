/* Goal: no bytes harm the decoders of raftpb, memory is bounded by the input,
 * and what is read is written so that it reads the same. Method: the first
 * byte chooses the type; the rest is decoded, encoded and decoded again, and
 * the verdict is compared with that of protobuf-c, whose reader is not ours. */

#include "proto/raftpb.h"

#include "proto/raft.pb-c.h"
#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "tests/fuzz/lib/fuzz.h"
#include "transport/message_check.h"

/* A varint of at most `max` bytes that fits into 64 bits. */
static bool get_varint(struct fuzz_input *in, uint64_t *v, unsigned max)
{
    *v = 0;
    for (unsigned shift = 0; shift < 7 * max; shift += 7) {
        uint64_t byte = in->left > 0 ? in->p[0] : 0x80;

        (void)fuzz_byte(in);
        if (shift == 63 && byte > 1) {
            return false;
        }
        *v |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* Whether these bytes hold what no writer writes and the two readers may see
 * differently: a field number of 0 or one too large, a varint that does not
 * fit into 64 bits, which protobuf-c takes; a tag or a length in more than five
 * bytes, which it does not take. `inside` is the field that holds messages, 0:
 * none. */
static bool is_odd(struct bytes bytes, uint64_t inside)
{
    struct fuzz_input in = {bytes.data, bytes.len};
    uint64_t tag;
    uint64_t v;

    while (in.left > 0) {
        if (!get_varint(&in, &tag, 5) || tag >> 3 == 0 ||
            tag >> 3 >= UINT64_C(1) << 29) {
            return true;
        }
        if ((tag & 7) == 1 || (tag & 7) == 5) {
            (void)fuzz_take(&in, (tag & 7) == 1 ? 8 : 4);
            continue;
        }
        if (!get_varint(&in, &v, (tag & 7) == 2 ? 5 : 10) ||
            ((tag & 7) == 2 && v > in.left)) {
            return true;
        }
        if ((tag & 7) == 2) {
            struct bytes part = fuzz_take(&in, (size_t)v);

            if (tag >> 3 == inside && is_odd(part, 0)) {
                return true;
            }
        }
    }
    return false;
}

/* What protobuf-c says of the same bytes. */
static bool is_valid(const ProtobufCMessageDescriptor *type, struct bytes in)
{
    ProtobufCMessage *m =
        protobuf_c_message_unpack(type, NULL, in.len, in.data);

    protobuf_c_message_free_unpacked(m, NULL);
    return m != NULL;
}

static void check_verdict(int rc, const ProtobufCMessageDescriptor *type,
                          struct bytes in, uint64_t inside)
{
    bool valid = is_valid(type, in);

    ASSERT(rc == 0 || rc == ERR_MALFORMED);
    ASSERT((rc == 0) == valid || is_odd(in, inside));
}

static void try_entry(struct bytes in)
{
    struct raft_entry *e = NULL;
    struct raft_entry *again;
    int rc = raft_entry_decode(in, &e);
    size_t size;
    uint8_t *p;

    check_verdict(rc, &raftpb__entry__descriptor, in, 0);
    if (rc < 0) {
        return;
    }
    size = raft_entry_size(e);
    p = xmalloc(size);
    ASSERT(raft_entry_encode(e, p) == p + size);
    ASSERT(raft_entry_decode((struct bytes){p, size}, &again) == 0);
    ASSERT(e->type == again->type && e->term == again->term &&
           e->index == again->index && e->has_data == again->has_data);
    ASSERT(fuzz_equal(raft_entry_data(e), raft_entry_data(again)));
    fuzz_use(raft_entry_data(e));
    xfree(p);
    raft_entry_unref(again);
    raft_entry_unref(e);
}

static void try_hard_state(struct bytes in)
{
    struct hard_state hs;
    struct hard_state again;
    uint8_t room[HARD_STATE_SIZE_MAX];
    size_t size;
    int rc = hard_state_decode(in, &hs);

    check_verdict(rc, &raftpb__hard_state__descriptor, in, 0);
    if (rc == 0) {
        size = hard_state_size(&hs);
        ASSERT(size <= sizeof(room));
        ASSERT(hard_state_encode(&hs, room) == room + size);
        ASSERT(hard_state_decode((struct bytes){room, size}, &again) == 0);
        ASSERT(hard_state_equal(&hs, &again));
    }
}

static void try_conf_change(struct bytes in)
{
    struct conf_change cc;
    struct conf_change again;
    struct buf b;
    int rc = conf_change_decode(in, &cc);

    check_verdict(rc, &raftpb__conf_change__descriptor, in, 0);
    if (rc < 0) {
        return;
    }
    buf_init(&b, BUF_UNLIMITED);
    ASSERT(conf_change_encode(&cc, &b) == 0);
    ASSERT(conf_change_decode(buf_bytes(&b), &again) == 0);
    ASSERT(cc.id == again.id && cc.type == again.type &&
           cc.node_id == again.node_id);
    ASSERT(fuzz_equal(cc.context, again.context));
    fuzz_use(cc.context);
    buf_release(&b);
}

static void try_conf_change_v2(struct bytes in)
{
    struct conf_change_v2 cc;
    struct conf_change_v2 again;
    struct buf b;
    int rc = conf_change_v2_decode(in, &cc);

    check_verdict(rc, &raftpb__conf_change_v2__descriptor, in, 2);
    if (rc < 0) {
        return;
    }
    buf_init(&b, BUF_UNLIMITED);
    ASSERT(conf_change_v2_encode(&cc, &b) == 0);
    ASSERT(conf_change_v2_decode(buf_bytes(&b), &again) == 0);
    ASSERT(cc.transition == again.transition &&
           cc.n_changes == again.n_changes);
    for (size_t i = 0; i < cc.n_changes; i++) {
        ASSERT(cc.changes[i].type == again.changes[i].type);
        ASSERT(cc.changes[i].node_id == again.changes[i].node_id);
    }
    ASSERT(fuzz_equal(cc.context, again.context));
    conf_change_v2_release(&again);
    conf_change_v2_release(&cc);
    buf_release(&b);
}

static uint8_t *encode_message(const struct raft_message *m, size_t *size)
{
    uint8_t *p;

    *size = raft_message_size(m);
    p = xmalloc(*size);
    ASSERT(raft_message_encode(m, p) == p + *size);
    return p;
}

static void try_message(struct bytes in)
{
    struct raft_message m = {0};
    struct raft_message again = {0};
    size_t size[2];
    uint8_t *p[2];
    const char *reason = NULL;

    if (raft_message_decode(in, &m) < 0) {
        return; /* bounds of ours, too: stricter than protobuf-c */
    }
    ASSERT(is_valid(&raftpb__message__descriptor, in));
    /* The door of the core answers for whatever can be decoded. */
    ASSERT(message_check(&m, m.to, &reason) == MESSAGE_GOOD || reason != NULL);
    fuzz_use(raft_message_context(&m));
    p[0] = encode_message(&m, &size[0]);
    ASSERT(raft_message_decode((struct bytes){p[0], size[0]}, &again) == 0);
    p[1] = encode_message(&again, &size[1]);
    ASSERT(fuzz_equal((struct bytes){p[0], size[0]},
                      (struct bytes){p[1], size[1]}));
    ASSERT(m.entries.len == again.entries.len);
    for (size_t i = 0; i < m.entries.len; i++) {
        ASSERT(fuzz_equal(raft_entry_data(m.entries.items[i]),
                          raft_entry_data(again.entries.items[i])));
    }
    xfree(p[0]);
    xfree(p[1]);
    raft_message_release(&m);
    raft_message_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const types[])(struct bytes in) = {
        try_message,     try_entry,          try_hard_state,
        try_conf_change, try_conf_change_v2,
    };
    struct fuzz_input in = {data, len};
    uint8_t type = fuzz_byte(&in);

    types[type % ARRAY_LEN(types)]((struct bytes){in.p, in.left});
    return 0;
}
