/* Writing raftpb: exact sizes first, then exactly those bytes.
 *
 * The profile is that of etcd 3.4 (every scalar, also when zero; ascending
 * numbers; ids unpacked), except that Message.snapshot is written for MsgSnap
 * alone, as etcd 3.6 and later do. Written by hand, because an entry is
 * encoded into the WAL and into each peer's stream, and going through a second
 * struct would cost an allocation and a copy each time.
 *
 * Each _size function and its _encode stand side by side and must name the
 * same fields. */

#include "proto/raftpb.h"

#include "proto/pb_wire.h"
#include "src/base/buf.h"

/* SnapshotMetadata.members: the only field whose tag takes two bytes. */
#define MEMBERS_NUMBER   1001
#define MEMBERS_TAG      (MEMBERS_NUMBER << 3 | PB_BYTES)
#define MEMBERS_TAG_SIZE 2

size_t raft_entry_size(const struct raft_entry *e)
{
    /* Asked for a dozen times in the life of an entry, whose type and term are
     * small in nearly all cases. */
    size_t size = (e->type | e->term) < 0x80
                      ? 4
                      : pb_u64_size(e->type) + pb_u64_size(e->term);

    size += pb_u64_size(e->index);
    return e->has_data ? size + pb_bytes_size(e->len) : size;
}

uint8_t *raft_entry_encode(const struct raft_entry *e, uint8_t *p)
{
    p = pb_put_u64(p, 1, e->type);
    p = pb_put_u64(p, 2, e->term);
    p = pb_put_u64(p, 3, e->index);
    if (e->has_data) {
        p = pb_put_bytes(p, 4, raft_entry_data(e));
    }
    return p;
}

/* --- states --- */

size_t hard_state_size(const struct hard_state *hs)
{
    return pb_u64_size(hs->term) + pb_u64_size(hs->vote) +
           pb_u64_size(hs->commit);
}

uint8_t *hard_state_encode(const struct hard_state *hs, uint8_t *p)
{
    p = pb_put_u64(p, 1, hs->term);
    p = pb_put_u64(p, 2, hs->vote);
    return pb_put_u64(p, 3, hs->commit);
}

static size_t ids_size(const struct id_list *l)
{
    size_t size = 0;

    for (size_t i = 0; i < l->n; i++) {
        size += pb_u64_size(l->ids[i]);
    }
    return size;
}

static uint8_t *ids_encode(const struct id_list *l, unsigned number, uint8_t *p)
{
    for (size_t i = 0; i < l->n; i++) {
        p = pb_put_u64(p, number, l->ids[i]);
    }
    return p;
}

size_t conf_state_size(const struct conf_state *cs)
{
    return ids_size(&cs->voters) + ids_size(&cs->learners) +
           ids_size(&cs->voters_outgoing) + ids_size(&cs->learners_next) +
           pb_u64_size(cs->auto_leave);
}

uint8_t *conf_state_encode(const struct conf_state *cs, uint8_t *p)
{
    p = ids_encode(&cs->voters, 1, p);
    p = ids_encode(&cs->learners, 2, p);
    p = ids_encode(&cs->voters_outgoing, 3, p);
    p = ids_encode(&cs->learners_next, 4, p);
    return pb_put_u64(p, 5, cs->auto_leave);
}

/* --- configuration changes --- */

int conf_change_encode(const struct conf_change *cc, struct buf *b)
{
    size_t size =
        pb_u64_size(cc->id) + pb_u64_size(cc->type) + pb_u64_size(cc->node_id);
    if (cc->context.data != NULL) {
        size += pb_bytes_size(cc->context.len);
    }
    uint8_t *start = buf_reserve(b, size);
    if (start == NULL) {
        return ERR_TOO_LARGE;
    }
    uint8_t *p = pb_put_u64(start, 1, cc->id);
    p = pb_put_u64(p, 2, cc->type);
    p = pb_put_u64(p, 3, cc->node_id);
    if (cc->context.data != NULL) {
        p = pb_put_bytes(p, 4, cc->context);
    }
    ASSERT(p == start + size);
    buf_commit(b, size);
    return 0;
}

static size_t conf_change_single_size(const struct conf_change_single *c)
{
    return pb_u64_size(c->type) + pb_u64_size(c->node_id);
}

static size_t conf_change_v2_size(const struct conf_change_v2 *cc)
{
    size_t size = pb_u64_size(cc->transition);

    for (size_t i = 0; i < cc->n_changes; i++) {
        size += pb_bytes_size(conf_change_single_size(&cc->changes[i]));
    }
    if (cc->context.data != NULL) {
        size += pb_bytes_size(cc->context.len);
    }
    return size;
}

int conf_change_v2_encode(const struct conf_change_v2 *cc, struct buf *b)
{
    size_t size = conf_change_v2_size(cc);
    uint8_t *start = buf_reserve(b, size);
    if (start == NULL) {
        return ERR_TOO_LARGE;
    }
    uint8_t *p = pb_put_u64(start, 1, cc->transition);
    for (size_t i = 0; i < cc->n_changes; i++) {
        const struct conf_change_single *c = &cc->changes[i];

        p = pb_put_head(p, 2, conf_change_single_size(c));
        p = pb_put_u64(p, 1, c->type);
        p = pb_put_u64(p, 2, c->node_id);
    }
    if (cc->context.data != NULL) {
        p = pb_put_bytes(p, 3, cc->context);
    }
    ASSERT(p == start + size);
    buf_commit(b, size);
    return 0;
}

/* --- snapshots --- */

static size_t member_size(const struct snapshot_member *m)
{
    return pb_u64_size(m->id) + pb_bytes_size(strlen(m->url));
}

static size_t metadata_size(const struct raft_snapshot *s)
{
    size_t size = pb_bytes_size(conf_state_size(&s->conf_state)) +
                  pb_u64_size(s->index) + pb_u64_size(s->term);

    for (size_t i = 0; i < s->n_members; i++) {
        size_t len = member_size(&s->members[i]);

        size += MEMBERS_TAG_SIZE + pb_varint_size(len) + len;
    }
    return size;
}

static uint8_t *metadata_encode(const struct raft_snapshot *s, uint8_t *p)
{
    p = pb_put_head(p, 1, conf_state_size(&s->conf_state));
    p = conf_state_encode(&s->conf_state, p);
    p = pb_put_u64(p, 2, s->index);
    p = pb_put_u64(p, 3, s->term);
    for (size_t i = 0; i < s->n_members; i++) {
        const struct snapshot_member *m = &s->members[i];
        const void *url = m->url;

        p = pb_put_varint(p, MEMBERS_TAG);
        p = pb_put_varint(p, member_size(m));
        p = pb_put_u64(p, 1, m->id);
        p = pb_put_bytes(p, 2, (struct bytes){url, strlen(m->url)});
    }
    return p;
}

uint8_t *raft_snapshot_encode_front(size_t len, uint8_t *p)
{
    return pb_put_head(p, 1, len);
}

size_t raft_snapshot_back_size(const struct raft_snapshot *s)
{
    return pb_bytes_size(metadata_size(s));
}

uint8_t *raft_snapshot_encode_back(const struct raft_snapshot *s, uint8_t *p)
{
    p = pb_put_head(p, 2, metadata_size(s));
    return metadata_encode(s, p);
}

size_t raft_snapshot_size(const struct raft_snapshot *s)
{
    size_t size = raft_snapshot_back_size(s);

    if (s->source != NULL) {
        return s->source->size;
    }
    return s->data != NULL ? size + pb_bytes_size(s->len) : size;
}

uint8_t *raft_snapshot_encode(const struct raft_snapshot *s, uint8_t *p)
{
    ASSERT(s->source == NULL);
    if (s->data != NULL) {
        p = pb_put_bytes(p, 1, (struct bytes){s->data, s->len});
    }
    return raft_snapshot_encode_back(s, p);
}

/* --- messages --- */

/* etcd 3.4 writes an empty snapshot into every message; nobody needs it. Other
 * types carry a snapshot only on their way to local storage. */
static bool message_has_snapshot(const struct raft_message *m)
{
    return m->type == RAFT_MSG_SNAP && m->snapshot != NULL;
}

size_t raft_message_front_size(const struct raft_message *m)
{
    size_t size = pb_u64_size(m->type) + pb_u64_size(m->to) +
                  pb_u64_size(m->from) + pb_u64_size(m->term) +
                  pb_u64_size(m->log_term) + pb_u64_size(m->index) +
                  pb_u64_size(m->commit);

    for (size_t i = 0; i < m->entries.len; i++) {
        size += pb_bytes_size(raft_entry_size(m->entries.items[i]));
    }
    if (message_has_snapshot(m)) {
        size += 1 + pb_varint_size(raft_snapshot_size(m->snapshot));
    }
    return size;
}

size_t raft_message_back_size(const struct raft_message *m)
{
    size_t size = pb_u64_size(m->reject) + pb_u64_size(m->reject_hint);

    return m->has_context ? size + pb_bytes_size(m->context_len) : size;
}

size_t raft_message_size(const struct raft_message *m)
{
    size_t size = raft_message_front_size(m) + raft_message_back_size(m);

    return message_has_snapshot(m) ? size + raft_snapshot_size(m->snapshot)
                                   : size;
}

uint8_t *raft_message_encode_front(const struct raft_message *m, uint8_t *p)
{
    p = pb_put_u64(p, 1, m->type);
    p = pb_put_u64(p, 2, m->to);
    p = pb_put_u64(p, 3, m->from);
    p = pb_put_u64(p, 4, m->term);
    p = pb_put_u64(p, 5, m->log_term);
    p = pb_put_u64(p, 6, m->index);
    for (size_t i = 0; i < m->entries.len; i++) {
        p = pb_put_head(p, 7, raft_entry_size(m->entries.items[i]));
        p = raft_entry_encode(m->entries.items[i], p);
    }
    p = pb_put_u64(p, 8, m->commit);
    if (message_has_snapshot(m)) {
        p = pb_put_head(p, 9, raft_snapshot_size(m->snapshot));
    }
    return p;
}

uint8_t *raft_message_encode_back(const struct raft_message *m, uint8_t *p)
{
    p = pb_put_u64(p, 10, m->reject);
    p = pb_put_u64(p, 11, m->reject_hint);
    if (m->has_context) {
        p = pb_put_bytes(p, 12, raft_message_context(m));
    }
    return p;
}

uint8_t *raft_message_encode(const struct raft_message *m, uint8_t *p)
{
    p = raft_message_encode_front(m, p);
    if (message_has_snapshot(m)) {
        p = raft_snapshot_encode(m->snapshot, p);
    }
    return raft_message_encode_back(m, p);
}
