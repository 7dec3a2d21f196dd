/* Reading messages and snapshots, through the code that protobuf-c generates.
 *
 * Three passes, because the bytes come from peers:
 *
 *   check    a walk over all fields by hand: what protobuf-c lets pass (field
 *            number 0, oversized varints) is refused, and the fields are
 *            counted, since each costs memory however short it is;
 *   unpack   protobuf-c, into an arena with a budget that follows from the
 *            count, so that unpacking takes a few large blocks at most and
 *            cannot take more than the check allowed;
 *   convert  into our structs, which copies what is kept.
 *
 * The schema is not recursive, so neither pass can be driven deep. */

#include "proto/raftpb.h"

#include <stdalign.h>

#include "proto/pb_wire.h"
#include "proto/raft.pb-c.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"

/* --- check --- */

/* Fields of one Entry. Four are known; protobuf-c needs no memory of the arena
 * to note up to 16. */
#define ENTRY_FIELDS_MAX 16

/* Fields of a message, those inside its entries excepted: four lists of ids
 * and three fields per member, with room to spare. */
#define FIELDS_MAX ((size_t)8 * MEMBERS_MAX)

enum kind {
    KIND_NONE, /* no message, or an unknown one */
    KIND_ENTRY,
    KIND_MEMBER,
    KIND_CONF_STATE,
    KIND_METADATA,
    KIND_SNAPSHOT,
    KIND_MESSAGE,
};

struct count {
    size_t n_entries;
    size_t n_fields; /* outside entries */
};

/* What field `number` of a message of this kind holds. */
static enum kind kind_inside(enum kind kind, uint32_t number)
{
    switch (kind) {
    case KIND_MESSAGE:
        if (number == 7) {
            return KIND_ENTRY;
        }
        return number == 9 ? KIND_SNAPSHOT : KIND_NONE;
    case KIND_SNAPSHOT:
        return number == 2 ? KIND_METADATA : KIND_NONE;
    case KIND_METADATA:
        if (number == 1) {
            return KIND_CONF_STATE;
        }
        return number == 1001 ? KIND_MEMBER : KIND_NONE;
    case KIND_CONF_STATE:
    case KIND_MEMBER:
    case KIND_ENTRY:
    case KIND_NONE:
        return KIND_NONE;
    }
    UNREACHABLE();
}

/* A packed list of ids: varints and nothing else. */
static int check_packed(struct bytes in)
{
    struct pb_reader r = pb_reader_of(in);
    uint64_t id;

    while (r.p < r.end) {
        if (!pb_get_varint(&r, &id)) {
            return ERR_MALFORMED;
        }
    }
    return 0;
}

static int check_message(struct bytes in, enum kind kind, struct count *count);

static int check_inside(const struct pb_field *f, enum kind kind,
                        struct count *count)
{
    if (f->wire != PB_BYTES) {
        return 0;
    }
    if (kind == KIND_CONF_STATE && f->number <= 4) {
        return check_packed(f->bytes);
    }
    enum kind inside = kind_inside(kind, f->number);

    return inside == KIND_NONE ? 0 : check_message(f->bytes, inside, count);
}

/* Wire types of known fields are left to protobuf-c, which refuses a wrong
 * one. */
static int check_message(struct bytes in, enum kind kind, struct count *count)
{
    struct pb_reader r = pb_reader_of(in);
    struct pb_field f;
    size_t n_entry_fields = 0;
    int rc;

    while ((rc = pb_next(&r, &f)) > 0) {
        if (kind == KIND_ENTRY) {
            n_entry_fields++;
        } else if (kind_inside(kind, f.number) == KIND_ENTRY) {
            count->n_entries++;
        } else {
            count->n_fields++;
        }
        if (n_entry_fields > ENTRY_FIELDS_MAX || count->n_fields > FIELDS_MAX ||
            count->n_entries > PEER_APPEND_ENTRIES_MAX) {
            return ERR_MALFORMED;
        }
        rc = check_inside(&f, kind, count);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

/* --- unpack --- */

#define ARENA_FIRST 2048 /* most messages fit in here: no malloc at all */
#define ARENA_CHUNK (64 * KiB)
#define ARENA_ALIGN 16

/* What protobuf-c takes for a field besides the bytes in it: the struct of a
 * message, the slot in its parent, notes of where it was found. */
#define FIELD_COST 512
static_assert(sizeof(Raftpb__Message) < FIELD_COST &&
                  sizeof(Raftpb__SnapshotMetadata) < FIELD_COST / 2 &&
                  sizeof(Raftpb__Entry) < FIELD_COST / 2,
              "the budget covers the generated structs");

struct arena_chunk {
    struct arena_chunk *next;
    alignas(ARENA_ALIGN) uint8_t data[];
};

/* Memory that is freed all at once. */
struct arena {
    ProtobufCAllocator allocator; /* hands this arena to protobuf-c */
    struct arena_chunk *chunks;
    uint8_t *at; /* free bytes of the newest chunk: [at, end) */
    uint8_t *end;
    size_t budget; /* bytes that further chunks may take */
    alignas(ARENA_ALIGN) uint8_t first[ARENA_FIRST];
};

/* False if the budget forbids. */
static bool arena_grow(struct arena *a, size_t size)
{
    size_t len = size > ARENA_CHUNK ? size : ARENA_CHUNK;

    if (len > a->budget) {
        len = a->budget / ARENA_ALIGN * ARENA_ALIGN;
    }
    if (len < size) {
        return false;
    }
    a->budget -= len;
    struct arena_chunk *c = xmalloc(sizeof(*c) + len);
    c->next = a->chunks;
    a->chunks = c;
    a->at = c->data;
    a->end = c->data + len;
    return true;
}

static void *arena_alloc(void *ctx, size_t size)
{
    struct arena *a = ctx;

    /* protobuf-c takes NULL for a failure, also after asking for nothing. */
    if (size > SIZE_MAX - ARENA_ALIGN) {
        return NULL;
    }
    size = (size + ARENA_ALIGN) / ARENA_ALIGN * ARENA_ALIGN;
    if (size > (size_t)(a->end - a->at) && !arena_grow(a, size)) {
        return NULL;
    }
    void *p = a->at;

    a->at += size;
    return p;
}

static void arena_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

/* Each byte of the input is copied once, or is a packed id of eight bytes. */
static void arena_init(struct arena *a, size_t in_len,
                       const struct count *count)
{
    a->allocator = (ProtobufCAllocator){
        .alloc = arena_alloc, .free = arena_free, .allocator_data = a};
    a->chunks = NULL;
    a->at = a->first;
    a->end = a->first + sizeof(a->first);
    a->budget = ARENA_CHUNK + in_len * 8 +
                (count->n_entries + count->n_fields) * FIELD_COST;
}

static void arena_release(struct arena *a)
{
    while (a->chunks != NULL) {
        struct arena_chunk *c = a->chunks;

        a->chunks = c->next;
        xfree(c);
    }
}

/* --- convert --- */

static int convert_ids(const uint64_t *ids, size_t n, struct id_list *out)
{
    if (n > MEMBERS_MAX) {
        return ERR_MALFORMED;
    }
    if (n > 0) {
        out->ids = xmemdup(ids, n * sizeof(*ids));
        out->n = n;
    }
    return 0;
}

static int convert_conf_state(const Raftpb__ConfState *pb,
                              struct conf_state *out)
{
    int rc = convert_ids(pb->voters, pb->n_voters, &out->voters);

    if (rc == 0) {
        rc = convert_ids(pb->learners, pb->n_learners, &out->learners);
    }
    if (rc == 0) {
        rc = convert_ids(pb->voters_outgoing, pb->n_voters_outgoing,
                         &out->voters_outgoing);
    }
    if (rc == 0) {
        rc = convert_ids(pb->learners_next, pb->n_learners_next,
                         &out->learners_next);
    }
    out->auto_leave = pb->auto_leave;
    return rc;
}

/* Member `pb` as the next one of `s`, which has room for it. */
static int convert_member(const Raftpb__Member *pb, struct raft_snapshot *s)
{
    const ProtobufCBinaryData *url = &pb->url;

    if (url->len > MEMBER_URL_MAX ||
        (url->len > 0 && memchr(url->data, '\0', url->len) != NULL)) {
        return ERR_MALFORMED;
    }
    if (s->n_members > 0 && pb->id <= s->members[s->n_members - 1].id) {
        return ERR_MALFORMED;
    }
    struct snapshot_member *m = &s->members[s->n_members++];

    m->id = pb->id;
    m->url = xcalloc(url->len + 1, 1);
    if (url->len > 0) {
        memcpy(m->url, url->data, url->len);
    }
    return 0;
}

/* On failure `s` holds a part, which its owner drops. */
static int convert_metadata(const Raftpb__SnapshotMetadata *pb,
                            struct raft_snapshot *s)
{
    int rc = 0;

    s->index = pb->index;
    s->term = pb->term;
    if (pb->conf_state != NULL) {
        rc = convert_conf_state(pb->conf_state, &s->conf_state);
    }
    if (pb->n_members > MEMBERS_MAX) {
        return ERR_MALFORMED;
    }
    if (pb->n_members > 0) {
        s->members = xcalloc(pb->n_members, sizeof(*s->members));
    }
    for (size_t i = 0; rc == 0 && i < pb->n_members; i++) {
        rc = convert_member(pb->members[i], s);
    }
    return rc;
}

/* `pb` NULL gives an empty snapshot [raft-core T-6]. */
static int convert_snapshot(const Raftpb__Snapshot *pb,
                            struct raft_snapshot **out)
{
    struct raft_snapshot *s = raft_snapshot_new();
    int rc = 0;

    if (pb != NULL && pb->has_data) {
        s->data = xmemdup(pb->data.data, pb->data.len);
        s->len = pb->data.len;
    }
    if (pb != NULL && pb->metadata != NULL) {
        rc = convert_metadata(pb->metadata, s);
    }
    if (rc < 0) {
        raft_snapshot_unref(s);
        return rc;
    }
    *out = s;
    return 0;
}

static struct raft_entry *convert_entry(const Raftpb__Entry *pb)
{
    struct raft_entry *e;

    if (pb->has_data) {
        e = raft_entry_alloc(pb->type, pb->data.len);
        if (e->len > 0) {
            memcpy(e->data, pb->data.data, e->len);
        }
    } else {
        e = raft_entry_new(pb->type, (struct bytes){0});
    }
    e->term = pb->term;
    e->index = pb->index;
    return e;
}

static int convert_context(const Raftpb__Message *pb, struct raft_message *m)
{
    if (!pb->has_context) {
        return 0;
    }
    if (pb->context.len > RAFT_CONTEXT_MAX) {
        return ERR_MALFORMED;
    }
    m->has_context = true;
    m->context_len = (uint8_t)pb->context.len;
    if (pb->context.len > 0) {
        memcpy(m->context, pb->context.data, pb->context.len);
    }
    return 0;
}

/* On failure `m` holds a part, which the caller releases. */
static int convert_message(const Raftpb__Message *pb, struct raft_message *m)
{
    m->type = pb->type;
    m->to = pb->to;
    m->from = pb->from;
    m->term = pb->term;
    m->log_term = pb->logterm;
    m->index = pb->index;
    m->commit = pb->commit;
    m->reject = pb->reject;
    m->reject_hint = pb->rejecthint;
    m->vote = pb->vote;
    int rc = convert_context(pb, m);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < pb->n_entries; i++) {
        raft_entries_take(&m->entries, convert_entry(pb->entries[i]));
    }
    /* etcd up to 3.5 sends an empty one with every message [raft-core T-3];
     * it counts in a MsgSnap alone. */
    if (m->type == RAFT_MSG_SNAP) {
        rc = convert_snapshot(pb->snapshot, &m->snapshot);
    }
    return rc;
}

/* --- entry points --- */

int raft_message_decode(struct bytes in, struct raft_message *out)
{
    struct count count = {0};
    int rc = check_message(in, KIND_MESSAGE, &count);

    *out = (struct raft_message){0};
    if (rc < 0) {
        return rc;
    }
    struct arena arena;
    arena_init(&arena, in.len, &count);
    const Raftpb__Message *pb =
        raftpb__message__unpack(&arena.allocator, in.len, in.data);

    rc = pb == NULL ? ERR_MALFORMED : convert_message(pb, out);
    if (rc < 0) {
        raft_message_release(out);
    }
    arena_release(&arena);
    return rc;
}

static int decode_metadata(struct bytes in, struct raft_snapshot *s)
{
    struct count count = {0};
    int rc = check_message(in, KIND_METADATA, &count);

    if (rc < 0) {
        return rc;
    }
    struct arena arena;
    arena_init(&arena, in.len, &count);
    const Raftpb__SnapshotMetadata *pb =
        raftpb__snapshot_metadata__unpack(&arena.allocator, in.len, in.data);

    rc = pb == NULL ? ERR_MALFORMED : convert_metadata(pb, s);
    arena_release(&arena);
    return rc;
}

/* Find the data, and all metadata joined: a repeated message is merged, which
 * is what reading the encodings one behind the other does. */
static int split_snapshot(struct bytes in, struct bytes *data,
                          struct buf *metadata)
{
    struct pb_reader r = pb_reader_of(in);
    struct pb_field f;
    int rc;

    while ((rc = pb_next(&r, &f)) > 0) {
        if (f.number == 1 && !pb_take_bytes(&f, data)) {
            return ERR_MALFORMED;
        }
        if (f.number == 2) {
            if (f.wire != PB_BYTES) {
                return ERR_MALFORMED;
            }
            rc = buf_append(metadata, f.bytes.data, f.bytes.len);
            if (rc < 0) {
                return ERR_MALFORMED;
            }
        }
    }
    return rc;
}

/* Metadata that can be legal: ids and members with their URLs, twice. */
#define METADATA_MAX ((size_t)2 * MEMBERS_MAX * (4 * 12 + MEMBER_URL_MAX + 32))

/* The outer message is read by hand: the data of a file may be larger than the
 * 2 GiB protobuf-c takes, and is copied once this way, not twice. */
int raft_snapshot_decode(struct bytes in, struct raft_snapshot **out)
{
    struct bytes data = {0};
    struct buf metadata;
    buf_init(&metadata, METADATA_MAX);
    struct raft_snapshot *s = raft_snapshot_new();

    int rc = split_snapshot(in, &data, &metadata);
    if (rc == 0) {
        rc = decode_metadata(buf_bytes(&metadata), s);
    }
    buf_release(&metadata);
    if (rc < 0) {
        raft_snapshot_unref(s);
        return rc;
    }
    if (data.data != NULL) {
        s->data = xmemdup(data.data, data.len);
        s->len = data.len;
    }
    *out = s;
    return 0;
}

int raft_snapshot_load(const struct raft_snapshot *s,
                       struct raft_snapshot **out, struct errmsg *em)
{
    size_t size = s->source->size;
    uint8_t *p = xmalloc(size);
    int rc = s->source->ops->read(s->source, p, size, em);

    if (rc == 0) {
        rc = raft_snapshot_decode((struct bytes){p, size}, out);
    }
    xfree(p);
    return rc;
}
