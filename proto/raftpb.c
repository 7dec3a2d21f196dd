/* Life cycles of entries, snapshots and messages, and the columns of the
 * message table. The codecs are in raftpb_encode.c, raftpb_decode.c and
 * raftpb_unpack.c.
 *
 * Counterpart: etcd-io/raft raftpb, util.go (IsLocalMsg, IsResponseMsg,
 * limitSize, PayloadsSize). */

#include "proto/raftpb.h"

#include <assert.h>

#include "src/base/alloc.h"

/* --- entries --- */

static struct raft_entry *entry_new(uint64_t type, bool has_data, size_t len)
{
    ASSERT(len <= SIZE_MAX - sizeof(struct raft_entry));
    struct raft_entry *e = xmalloc(sizeof(*e) + len);

    *e = (struct raft_entry){
        .refs = 1, .has_data = has_data, .type = type, .len = len};
    return e;
}

struct raft_entry *raft_entry_new(uint64_t type, struct bytes data)
{
    ASSERT(data.data != NULL || data.len == 0);
    struct raft_entry *e = entry_new(type, data.data != NULL, data.len);

    if (data.len > 0) {
        memcpy(e->data, data.data, data.len);
    }
    return e;
}

struct raft_entry *raft_entry_alloc(uint64_t type, size_t len)
{
    return entry_new(type, true, len);
}

struct raft_entry *raft_entry_with(const struct raft_entry *e, uint64_t term,
                                   uint64_t index)
{
    struct raft_entry *copy = raft_entry_new(e->type, raft_entry_data(e));

    copy->term = term;
    copy->index = index;
    return copy;
}

struct raft_entry *raft_entry_ref(struct raft_entry *e)
{
    ASSERT(e->refs > 0);
    ASSERT(e->refs < UINT32_MAX);
    e->refs++;
    return e;
}

void raft_entry_unref(struct raft_entry *e)
{
    if (e == NULL) {
        return;
    }
    ASSERT(e->refs > 0);
    if (--e->refs == 0) {
        xfree(e);
    }
}

static void entries_reserve(struct raft_entries *v, size_t n)
{
    ASSERT(n <= SIZE_MAX - v->len);
    if (n > v->cap - v->len) {
        v->cap = grow_cap(v->cap, v->len + n);
        v->items = xrealloc_array(v->items, v->cap, sizeof(*v->items));
    }
    if (n > 0) {
        ASSERT(v->items != NULL);
    }
}

void raft_entries_push(struct raft_entries *v, struct raft_entry *e)
{
    raft_entries_take(v, raft_entry_ref(e));
}

void raft_entries_append(struct raft_entries *v,
                         struct raft_entry *const *items, size_t n)
{
    entries_reserve(v, n);
    for (size_t i = 0; i < n; i++) {
        v->items[v->len++] = raft_entry_ref(items[i]);
    }
}

void raft_entries_take(struct raft_entries *v, struct raft_entry *e)
{
    ASSERT(e != NULL);
    entries_reserve(v, 1);
    v->items[v->len++] = e;
}

void raft_entries_truncate(struct raft_entries *v, size_t len)
{
    ASSERT(len <= v->len);
    while (v->len > len) {
        raft_entry_unref(v->items[--v->len]);
    }
}

void raft_entries_drop_front(struct raft_entries *v, size_t n)
{
    ASSERT(n <= v->len);
    for (size_t i = 0; i < n; i++) {
        raft_entry_unref(v->items[i]);
    }
    v->len -= n;
    if (n > 0 && v->len > 0) {
        memmove(v->items, v->items + n, v->len * sizeof(*v->items));
    }
}

void raft_entries_reset(struct raft_entries *v)
{
    raft_entries_truncate(v, 0);
}

void raft_entries_release(struct raft_entries *v)
{
    raft_entries_reset(v);
    xfree(v->items);
    *v = (struct raft_entries){0};
}

uint64_t raft_entries_size(struct raft_entry *const *items, size_t n)
{
    uint64_t size = 0;

    for (size_t i = 0; i < n; i++) {
        size += raft_entry_size(items[i]);
    }
    return size;
}

size_t raft_entries_limit(struct raft_entry *const *items, size_t n,
                          uint64_t max)
{
    uint64_t size = 0;

    for (size_t i = 0; i < n; i++) {
        size += raft_entry_size(items[i]);
        /* The first one always goes: an entry over the limit must still be
         * replicated some day. */
        if (size > max && i > 0) {
            return i;
        }
    }
    return n;
}

/* --- membership --- */

static void id_list_copy(struct id_list *to, const struct id_list *from)
{
    *to = (struct id_list){.n = from->n};
    if (from->n > 0) {
        to->ids = xmemdup(from->ids, from->n * sizeof(*from->ids));
    }
}

void conf_state_copy(struct conf_state *to, const struct conf_state *from)
{
    ASSERT(to != from);
    id_list_copy(&to->voters, &from->voters);
    id_list_copy(&to->learners, &from->learners);
    id_list_copy(&to->voters_outgoing, &from->voters_outgoing);
    id_list_copy(&to->learners_next, &from->learners_next);
    to->auto_leave = from->auto_leave;
}

void conf_state_release(struct conf_state *cs)
{
    xfree(cs->voters.ids);
    xfree(cs->learners.ids);
    xfree(cs->voters_outgoing.ids);
    xfree(cs->learners_next.ids);
    *cs = (struct conf_state){0};
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool id_list_equivalent(const struct id_list *a, const struct id_list *b)
{
    if (a->n != b->n || a->n == 0) {
        return a->n == b->n;
    }
    struct id_list x;
    struct id_list y;
    id_list_copy(&x, a);
    id_list_copy(&y, b);
    ASSERT(x.ids != NULL);
    ASSERT(y.ids != NULL);
    qsort(x.ids, x.n, sizeof(*x.ids), compare_ids);
    qsort(y.ids, y.n, sizeof(*y.ids), compare_ids);

    bool equal = memcmp(x.ids, y.ids, x.n * sizeof(*x.ids)) == 0;
    xfree(x.ids);
    xfree(y.ids);
    return equal;
}

bool conf_state_equivalent(const struct conf_state *a,
                           const struct conf_state *b)
{
    return id_list_equivalent(&a->voters, &b->voters) &&
           id_list_equivalent(&a->learners, &b->learners) &&
           id_list_equivalent(&a->voters_outgoing, &b->voters_outgoing) &&
           id_list_equivalent(&a->learners_next, &b->learners_next) &&
           a->auto_leave == b->auto_leave;
}

bool id_list_contains(const struct id_list *l, uint64_t id)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->ids[i] == id) {
            return true;
        }
    }
    return false;
}

void id_list_push(struct id_list *l, uint64_t id)
{
    /* Exactly as large as needed: a list has a handful of ids, and no field
     * for its capacity. */
    l->ids = xrealloc_array(l->ids, l->n + 1, sizeof(*l->ids));
    l->ids[l->n++] = id;
}

/* --- snapshots --- */

struct raft_snapshot *raft_snapshot_new(void)
{
    struct raft_snapshot *s = xcalloc(1, sizeof(*s));

    s->refs = 1;
    return s;
}

static struct raft_snapshot *copy_head(const struct raft_snapshot *s,
                                       const struct conf_state *cs)
{
    struct raft_snapshot *copy = raft_snapshot_new();

    copy->index = s->index;
    copy->term = s->term;
    conf_state_copy(&copy->conf_state, cs);
    if (s->n_members > 0) {
        copy->members = xcalloc(s->n_members, sizeof(*s->members));
        copy->n_members = s->n_members;
    }
    for (size_t i = 0; i < s->n_members; i++) {
        copy->members[i].id = s->members[i].id;
        copy->members[i].url = xstrdup(s->members[i].url);
    }
    return copy;
}

struct raft_snapshot *raft_snapshot_head(const struct raft_snapshot *s)
{
    return copy_head(s, &s->conf_state);
}

struct raft_snapshot *raft_snapshot_copy(const struct raft_snapshot *s,
                                         const struct conf_state *cs)
{
    struct raft_snapshot *copy = copy_head(s, cs != NULL ? cs : &s->conf_state);

    ASSERT(s->source == NULL);
    if (s->data != NULL) {
        copy->data = xmemdup(s->data, s->len);
        copy->len = s->len;
    }
    return copy;
}

struct raft_snapshot *raft_snapshot_ref(struct raft_snapshot *s)
{
    ASSERT(s->refs > 0);
    ASSERT(s->refs < UINT32_MAX);
    s->refs++;
    return s;
}

void raft_snapshot_unref(struct raft_snapshot *s)
{
    if (s == NULL) {
        return;
    }
    ASSERT(s->refs > 0);
    if (--s->refs > 0) {
        return;
    }
    for (size_t i = 0; i < s->n_members; i++) {
        xfree(s->members[i].url);
    }
    xfree(s->members);
    xfree(s->data);
    if (s->source != NULL) {
        s->source->ops->close(s->source);
    }
    conf_state_release(&s->conf_state);
    xfree(s);
}

bool raft_snapshot_is_empty(const struct raft_snapshot *s)
{
    return s == NULL || s->index == 0;
}

/* --- messages --- */

void raft_message_release(struct raft_message *m)
{
    raft_entries_release(&m->entries);
    raft_snapshot_unref(m->snapshot);
    for (size_t i = 0; i < m->n_responses; i++) {
        raft_message_release(&m->responses[i]);
    }
    xfree(m->responses);
    *m = (struct raft_message){0};
}

void raft_message_copy(struct raft_message *to, const struct raft_message *m)
{
    ASSERT(to != m);
    *to = *m;
    to->entries = (struct raft_entries){0};
    raft_entries_append(&to->entries, m->entries.items, m->entries.len);
    if (m->snapshot != NULL) {
        to->snapshot = raft_snapshot_ref(m->snapshot);
    }
    to->responses = NULL;
    if (m->n_responses > 0) {
        to->responses = xcalloc(m->n_responses, sizeof(*m->responses));
    }
    for (size_t i = 0; i < m->n_responses; i++) {
        raft_message_copy(&to->responses[i], &m->responses[i]);
    }
}

void raft_message_set_context(struct raft_message *m, struct bytes context)
{
    ASSERT(context.len <= RAFT_CONTEXT_MAX);
    ASSERT(context.data != NULL || context.len == 0);
    m->has_context = context.data != NULL;
    m->context_len = (uint8_t)context.len;
    if (context.len > 0) {
        /* The source may be this very field. */
        memmove(m->context, context.data, context.len);
    }
}

struct bytes raft_message_context(const struct raft_message *m)
{
    return (struct bytes){m->has_context ? m->context : NULL, m->context_len};
}

#define LOCAL    1
#define RESPONSE 2

/* The columns of raft-core section 8. */
static const struct {
    const char *name;
    int flags;
} MESSAGE_TYPES[] = {
    [RAFT_MSG_HUP] = {"MsgHup", LOCAL},
    [RAFT_MSG_BEAT] = {"MsgBeat", LOCAL},
    [RAFT_MSG_PROP] = {"MsgProp", 0},
    [RAFT_MSG_APP] = {"MsgApp", 0},
    [RAFT_MSG_APP_RESP] = {"MsgAppResp", RESPONSE},
    [RAFT_MSG_VOTE] = {"MsgVote", 0},
    [RAFT_MSG_VOTE_RESP] = {"MsgVoteResp", RESPONSE},
    [RAFT_MSG_SNAP] = {"MsgSnap", 0},
    [RAFT_MSG_HEARTBEAT] = {"MsgHeartbeat", 0},
    [RAFT_MSG_HEARTBEAT_RESP] = {"MsgHeartbeatResp", RESPONSE},
    [RAFT_MSG_UNREACHABLE] = {"MsgUnreachable", LOCAL | RESPONSE},
    [RAFT_MSG_SNAP_STATUS] = {"MsgSnapStatus", LOCAL},
    [RAFT_MSG_CHECK_QUORUM] = {"MsgCheckQuorum", LOCAL},
    [RAFT_MSG_TRANSFER_LEADER] = {"MsgTransferLeader", 0},
    [RAFT_MSG_TIMEOUT_NOW] = {"MsgTimeoutNow", 0},
    [RAFT_MSG_READ_INDEX] = {"MsgReadIndex", 0},
    [RAFT_MSG_READ_INDEX_RESP] = {"MsgReadIndexResp", RESPONSE},
    [RAFT_MSG_PRE_VOTE] = {"MsgPreVote", 0},
    [RAFT_MSG_PRE_VOTE_RESP] = {"MsgPreVoteResp", RESPONSE},
    [RAFT_MSG_STORAGE_APPEND] = {"MsgStorageAppend", LOCAL},
    [RAFT_MSG_STORAGE_APPEND_RESP] = {"MsgStorageAppendResp", LOCAL | RESPONSE},
    [RAFT_MSG_STORAGE_APPLY] = {"MsgStorageApply", LOCAL},
    [RAFT_MSG_STORAGE_APPLY_RESP] = {"MsgStorageApplyResp", LOCAL | RESPONSE},
    [RAFT_MSG_FORGET_LEADER] = {"MsgForgetLeader", 0},
};
static_assert(ARRAY_LEN(MESSAGE_TYPES) == RAFT_MSG_TYPES,
              "every type has a row");

const char *raft_message_type_name(uint64_t type)
{
    return type < RAFT_MSG_TYPES ? MESSAGE_TYPES[type].name : "MsgUnknown";
}

bool raft_message_is_local(uint64_t type)
{
    return type < RAFT_MSG_TYPES && (MESSAGE_TYPES[type].flags & LOCAL) != 0;
}

bool raft_message_is_response(uint64_t type)
{
    return type < RAFT_MSG_TYPES && (MESSAGE_TYPES[type].flags & RESPONSE) != 0;
}
