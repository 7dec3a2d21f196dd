/* The vocabulary of raft, as plain C structs: entries, messages, snapshots,
 * states, and their protobuf encoding.
 *
 * Field names and numbers are etcd's raftpb (formats-protobuf.md). What is
 * written: every scalar, also when zero (as etcd 3.4 does), Message.snapshot
 * only for MsgSnap, never fields 13 and 14; so the sizes computed here and the
 * bytes written are exact and the same on every node. What is read: everything
 * any generation of etcd writes; an absent scalar is zero, unknown fields are
 * skipped.
 *
 * Ownership: entries and snapshots are shared by counting (the count is a
 * plain integer: only the loop thread touches it) and immutable once their
 * term and index are set. A struct that holds them holds a reference.
 *
 * Counterpart: etcd-io/raft raftpb.
 * Differs: enums are open (an unknown number is kept), Type is always encoded,
 * so an entry is 2 bytes larger in size limits than etcd 3.7 counts it. */

#ifndef PROTO_RAFTPB_H
#define PROTO_RAFTPB_H

#include "src/base/common.h"
#include "src/base/err.h"

struct buf;

#define RAFT_NONE                0          /* no node */
#define RAFT_LOCAL_APPEND_THREAD UINT64_MAX /* target of MsgStorageAppend */
#define RAFT_LOCAL_APPLY_THREAD  (UINT64_MAX - 1)

/* --- entries --- */

enum raft_entry_type {
    RAFT_ENTRY_NORMAL = 0,
    RAFT_ENTRY_CONF_CHANGE = 1,
    RAFT_ENTRY_CONF_CHANGE_V2 = 2,
};

/* One log entry, one allocation. Term and index are set once, on append, while
 * the count is 1; from then on it is read-only. */
struct raft_entry {
    uint32_t refs;
    bool has_data; /* Data is present, maybe empty */
    uint64_t type; /* enum raft_entry_type, or whatever a peer sent */
    uint64_t term;
    uint64_t index;
    size_t len; /* bytes of data */
    uint8_t data[];
};

/* A new entry with a count of 1 and `data` copied; term and index 0. `data`
 * with a NULL pointer means absent. */
struct raft_entry *raft_entry_new(uint64_t type, struct bytes data);

/* The same without copying: the caller fills `len` bytes of ->data before it
 * shares the entry. has_data is true. */
struct raft_entry *raft_entry_alloc(uint64_t type, size_t len);

/* A copy with another term and index, count 1. */
struct raft_entry *raft_entry_with(const struct raft_entry *e, uint64_t term,
                                   uint64_t index);

struct raft_entry *raft_entry_ref(struct raft_entry *e);
void raft_entry_unref(struct raft_entry *e); /* NULL: no-op */

static inline struct bytes raft_entry_data(const struct raft_entry *e)
{
    return (struct bytes){e->has_data ? e->data : NULL, e->len};
}

/* Encoded bytes, and write exactly that many at `p`; returns the end. */
size_t raft_entry_size(const struct raft_entry *e);
uint8_t *raft_entry_encode(const struct raft_entry *e, uint8_t *p);

/* A new entry in *out, or ERR_MALFORMED with *out untouched. */
MUST_CHECK int raft_entry_decode(struct bytes in, struct raft_entry **out);

/* A vector of shared entries; it holds one reference each. Emptying it keeps
 * its memory, so that a vector in steady use does not allocate. */
struct raft_entries {
    struct raft_entry **items;
    size_t len;
    size_t cap;
};

/* Take a reference to `e` / to all of `n` / move the caller's reference in. */
void raft_entries_push(struct raft_entries *v, struct raft_entry *e);
void raft_entries_append(struct raft_entries *v,
                         struct raft_entry *const *items, size_t n);
void raft_entries_take(struct raft_entries *v, struct raft_entry *e);

/* Drop the entries from `len` on. */
void raft_entries_truncate(struct raft_entries *v, size_t len);

/* Drop the first `n` entries. */
void raft_entries_drop_front(struct raft_entries *v, size_t n);
void raft_entries_reset(struct raft_entries *v);   /* drop all, keep memory */
void raft_entries_release(struct raft_entries *v); /* drop all, free memory */

/* The encoded size of `n` entries, and the length of the longest prefix whose
 * encoded size is at most `max`, but at least 1 if n > 0 [raft-core LOG-19]. */
uint64_t raft_entries_size(struct raft_entry *const *items, size_t n);
size_t raft_entries_limit(struct raft_entry *const *items, size_t n,
                          uint64_t max);

/* --- membership --- */

struct id_list {
    uint64_t *ids; /* NULL iff n == 0 */
    size_t n;
};

struct conf_state {
    struct id_list voters;
    struct id_list learners;
    struct id_list voters_outgoing;
    struct id_list learners_next;
    bool auto_leave;
};

/* Overwrite `to`, which holds nothing yet, with a copy. */
void conf_state_copy(struct conf_state *to, const struct conf_state *from);
void conf_state_release(struct conf_state *cs); /* empty afterwards */

/* The same members whatever the order [raft-core T-5]. */
bool conf_state_equivalent(const struct conf_state *a,
                           const struct conf_state *b);
bool id_list_contains(const struct id_list *l, uint64_t id);
void id_list_push(struct id_list *l, uint64_t id);

size_t conf_state_size(const struct conf_state *cs);
uint8_t *conf_state_encode(const struct conf_state *cs, uint8_t *p);

enum conf_change_type {
    CONF_CHANGE_ADD_NODE = 0,
    CONF_CHANGE_REMOVE_NODE = 1,
    CONF_CHANGE_UPDATE_NODE = 2,
    CONF_CHANGE_ADD_LEARNER_NODE = 3,
};

enum conf_change_transition {
    CONF_CHANGE_TRANSITION_AUTO = 0,
    CONF_CHANGE_TRANSITION_JOINT_IMPLICIT = 1,
    CONF_CHANGE_TRANSITION_JOINT_EXPLICIT = 2,
};

/* The payload of a RAFT_ENTRY_CONF_CHANGE. `context` is borrowed. */
struct conf_change {
    uint64_t id; /* request id, for the application */
    uint64_t type;
    uint64_t node_id;
    struct bytes context;
};

struct conf_change_single {
    uint64_t type;
    uint64_t node_id;
};

/* The payload of a RAFT_ENTRY_CONF_CHANGE_V2; an absent payload is the empty
 * one. `changes` is owned where a decoder filled it, see
 * conf_change_v2_release; `context` is borrowed. */
struct conf_change_v2 {
    uint64_t transition;
    struct conf_change_single *changes;
    size_t n_changes;
    struct bytes context;
};

/* Append the encoding to `b`. */
int conf_change_encode(const struct conf_change *cc, struct buf *b);
int conf_change_v2_encode(const struct conf_change_v2 *cc, struct buf *b);

/* `context` points into `in`. ERR_MALFORMED leaves *out empty. More than
 * MEMBERS_MAX changes are refused. */
MUST_CHECK int conf_change_decode(struct bytes in, struct conf_change *out);
MUST_CHECK int conf_change_v2_decode(struct bytes in,
                                     struct conf_change_v2 *out);
void conf_change_v2_release(struct conf_change_v2 *cc);

/* --- states --- */

/* What must survive a crash besides the log [Raft figure 2]. Empty: all 0. */
struct hard_state {
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
};

static inline bool hard_state_is_empty(const struct hard_state *hs)
{
    return hs->term == 0 && hs->vote == 0 && hs->commit == 0;
}

static inline bool hard_state_equal(const struct hard_state *a,
                                    const struct hard_state *b)
{
    return a->term == b->term && a->vote == b->vote && a->commit == b->commit;
}

#define HARD_STATE_SIZE_MAX 33
size_t hard_state_size(const struct hard_state *hs);
uint8_t *hard_state_encode(const struct hard_state *hs, uint8_t *p);

/* ERR_MALFORMED leaves *out untouched. */
MUST_CHECK int hard_state_decode(struct bytes in, struct hard_state *out);

/* --- snapshots --- */

struct snapshot_member {
    uint64_t id;
    char *url; /* owned */
};

/* An encoded snapshot that is somewhere else than in memory, in a file maybe.
 * Who implements it embeds this first. */
struct raft_snapshot_source {
    const struct raft_snapshot_source_ops *ops;
    size_t size; /* of the encoding, in bytes */
};

struct raft_snapshot_source_ops {
    /* Read the next `len` bytes, which are there: the first call begins at the
     * front. What cannot be read, or turns out at its end to be other bytes
     * than were written, is an error. */
    int (*read)(struct raft_snapshot_source *s, uint8_t *p, size_t len,
                struct errmsg *em);
    void (*close)(struct raft_snapshot_source *s);
};

/* Shared and immutable once built. Empty: index 0. */
struct raft_snapshot {
    uint32_t refs;
    uint32_t n_members;
    uint64_t index;
    uint64_t term;
    struct conf_state conf_state;
    uint8_t *data; /* the state machine; NULL: absent. Owned */
    size_t len;
    struct snapshot_member *members; /* field 1001, ascending ids */
    /* On its way to a peer: what `data` would be part of, else NULL. Owned. */
    struct raft_snapshot_source *source;
};

/* An empty snapshot with a count of 1; the caller fills it before sharing. */
struct raft_snapshot *raft_snapshot_new(void);

/* A copy of the metadata (ConfState replaced by `cs` unless NULL) and of the
 * data, count 1. */
struct raft_snapshot *raft_snapshot_copy(const struct raft_snapshot *s,
                                         const struct conf_state *cs);

/* A copy of the metadata alone, count 1. */
struct raft_snapshot *raft_snapshot_head(const struct raft_snapshot *s);

/* A new snapshot in *out, with all in memory that the source of `s` has, which
 * is used up: ERR_MALFORMED, or what reading said. */
MUST_CHECK int raft_snapshot_load(const struct raft_snapshot *s,
                                  struct raft_snapshot **out,
                                  struct errmsg *em);
struct raft_snapshot *raft_snapshot_ref(struct raft_snapshot *s);
void raft_snapshot_unref(struct raft_snapshot *s); /* NULL: no-op */

/* NULL or index 0. */
bool raft_snapshot_is_empty(const struct raft_snapshot *s);

/* With a source, the size is that of the source, and encoding is not for this
 * function. */
size_t raft_snapshot_size(const struct raft_snapshot *s);
uint8_t *raft_snapshot_encode(const struct raft_snapshot *s, uint8_t *p);

/* The same in parts, for who has the data somewhere else: what stands before
 * `len` bytes of data, and what stands behind them. */
#define RAFT_SNAPSHOT_FRONT_MAX 11
uint8_t *raft_snapshot_encode_front(size_t len, uint8_t *p);
size_t raft_snapshot_back_size(const struct raft_snapshot *s);
uint8_t *raft_snapshot_encode_back(const struct raft_snapshot *s, uint8_t *p);

/* A new snapshot in *out, or ERR_MALFORMED with *out untouched. Refused too:
 * lists over MEMBERS_MAX, members without strictly ascending ids, URLs over
 * MEMBER_URL_MAX or with a 0 in them. */
MUST_CHECK int raft_snapshot_decode(struct bytes in,
                                    struct raft_snapshot **out);

/* --- messages --- */

enum raft_message_type {
    RAFT_MSG_HUP = 0,
    RAFT_MSG_BEAT = 1,
    RAFT_MSG_PROP = 2,
    RAFT_MSG_APP = 3,
    RAFT_MSG_APP_RESP = 4,
    RAFT_MSG_VOTE = 5,
    RAFT_MSG_VOTE_RESP = 6,
    RAFT_MSG_SNAP = 7,
    RAFT_MSG_HEARTBEAT = 8,
    RAFT_MSG_HEARTBEAT_RESP = 9,
    RAFT_MSG_UNREACHABLE = 10,
    RAFT_MSG_SNAP_STATUS = 11,
    RAFT_MSG_CHECK_QUORUM = 12,
    RAFT_MSG_TRANSFER_LEADER = 13,
    RAFT_MSG_TIMEOUT_NOW = 14,
    RAFT_MSG_READ_INDEX = 15,
    RAFT_MSG_READ_INDEX_RESP = 16,
    RAFT_MSG_PRE_VOTE = 17,
    RAFT_MSG_PRE_VOTE_RESP = 18,
    RAFT_MSG_STORAGE_APPEND = 19,
    RAFT_MSG_STORAGE_APPEND_RESP = 20,
    RAFT_MSG_STORAGE_APPLY = 21,
    RAFT_MSG_STORAGE_APPLY_RESP = 22,
    RAFT_MSG_FORGET_LEADER = 23,
    RAFT_MSG_TYPES,
};

/* Request contexts are ours (16 bytes) or a peer's (8, or "CampaignTransfer").
 * A longer one from outside is refused as malformed. */
#define RAFT_CONTEXT_MAX 64

struct raft_message {
    uint64_t type; /* enum raft_message_type, or whatever a peer sent */
    uint64_t to;
    uint64_t from;
    uint64_t term;
    uint64_t log_term;
    uint64_t index;
    uint64_t commit;
    uint64_t reject_hint;
    uint64_t vote; /* local messages only */
    bool reject;
    uint8_t context_len;
    bool has_context; /* present, maybe empty */
    uint8_t context[RAFT_CONTEXT_MAX];
    struct raft_entries entries;
    struct raft_snapshot *snapshot; /* one reference, or NULL */
    struct raft_message *responses; /* local messages only; owned */
    size_t n_responses;
};

/* Drop what the message holds; it is all zero afterwards. */
void raft_message_release(struct raft_message *m);

/* A deep copy that shares entries and snapshot. */
void raft_message_copy(struct raft_message *to, const struct raft_message *m);

void raft_message_set_context(struct raft_message *m, struct bytes context);
struct bytes raft_message_context(const struct raft_message *m);

size_t raft_message_size(const struct raft_message *m);
uint8_t *raft_message_encode(const struct raft_message *m, uint8_t *p);

/* The same in parts, for a MsgSnap whose snapshot comes out of its source: what
 * stands before it, and what stands behind it. */
size_t raft_message_front_size(const struct raft_message *m);
uint8_t *raft_message_encode_front(const struct raft_message *m, uint8_t *p);
size_t raft_message_back_size(const struct raft_message *m);
uint8_t *raft_message_encode_back(const struct raft_message *m, uint8_t *p);

/* Fill *out (all zero before), or ERR_MALFORMED with *out all zero. Entries
 * and snapshot are new. A MsgSnap always has a snapshot afterwards, maybe an
 * empty one, any other type has none; responses are skipped.
 *
 * Refuses a context over RAFT_CONTEXT_MAX, more than PEER_APPEND_ENTRIES_MAX
 * entries, and snapshots as raft_snapshot_decode does. Memory taken is bounded
 * by the sum of in.len * 8 and half a KiB for each entry. */
MUST_CHECK int raft_message_decode(struct bytes in, struct raft_message *out);

/* "MsgApp"; "MsgUnknown" for a number out of range. */
const char *raft_message_type_name(uint64_t type);

/* Columns L and R of raft-core section 8. */
bool raft_message_is_local(uint64_t type);
bool raft_message_is_response(uint64_t type);

/* --- varints, for the codecs of this and the layers above --- */

/* A byte for every 7 bits. Exact for 1 to 64 bits, and without a division:
 * sizes are asked for with each entry that raft hands out. */
static inline size_t pb_varint_size(uint64_t v)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);

    return (bits * 9 + 64) / 64;
}

static inline uint8_t *pb_put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

#endif /* PROTO_RAFTPB_H */
