/* Goal: our encoder and protobuf-c agree about every byte, and our decoders
 * give back what was encoded. Method: random messages are filled into our
 * structs and into the generated ones side by side, packed by both, compared,
 * and read again. */

#include "proto/raftpb.h"

#include "proto/raft.pb-c.h"
#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

#define N_ENTRIES_MAX 5
#define N_MEMBERS_MAX 4

/* A generated message and everything it points to. Bytes and ids are borrowed
 * from our struct of the same content. */
struct packed {
    Raftpb__Message message;
    Raftpb__Entry entries[N_ENTRIES_MAX];
    Raftpb__Entry *entry_ptrs[N_ENTRIES_MAX];
    Raftpb__Snapshot snapshot;
    Raftpb__SnapshotMetadata metadata;
    Raftpb__ConfState conf_state;
    Raftpb__Member members[N_MEMBERS_MAX];
    Raftpb__Member *member_ptrs[N_MEMBERS_MAX];
};

/* Every length of a varint is as likely as any other; the ends are frequent. */
static uint64_t any_u64(struct rng *r)
{
    switch (rng_below(r, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    default:
        return rng_next(r) >> rng_below(r, 64);
    }
}

/* Absent, empty or random, up to `max` bytes. */
static struct bytes any_bytes(struct rng *r, uint8_t *room, size_t max)
{
    if (rng_below(r, 4) == 0) {
        return (struct bytes){0};
    }
    size_t len = rng_below(r, 4) == 0 ? 0 : rng_below(r, max + 1);
    for (size_t i = 0; i < len; i++) {
        room[i] = (uint8_t)rng_next(r);
    }
    return (struct bytes){room, len};
}

static struct raft_entry *any_entry(struct rng *r)
{
    uint8_t room[300];
    struct raft_entry *e =
        raft_entry_new(any_u64(r), any_bytes(r, room, sizeof(room)));

    e->term = any_u64(r);
    e->index = any_u64(r);
    return e;
}

static void any_ids(struct rng *r, struct id_list *l)
{
    for (uint64_t n = rng_below(r, 4); n > 0; n--) {
        id_list_push(l, any_u64(r));
    }
}

static struct raft_snapshot *any_snapshot(struct rng *r)
{
    struct raft_snapshot *s = raft_snapshot_new();
    uint8_t room[300];
    struct bytes data = any_bytes(r, room, sizeof(room));
    uint64_t id = 0;

    s->index = any_u64(r);
    s->term = any_u64(r);
    any_ids(r, &s->conf_state.voters);
    any_ids(r, &s->conf_state.learners);
    any_ids(r, &s->conf_state.voters_outgoing);
    any_ids(r, &s->conf_state.learners_next);
    s->conf_state.auto_leave = rng_below(r, 2) == 1;
    if (data.data != NULL) {
        s->data = xmemdup(data.data, data.len);
        s->len = data.len;
    }
    s->n_members = (uint32_t)rng_below(r, N_MEMBERS_MAX + 1);
    s->members = xcalloc(s->n_members, sizeof(*s->members));
    for (size_t i = 0; i < s->n_members; i++) {
        id += 1 + rng_below(r, 200);
        s->members[i].id = id;
        s->members[i].url =
            xasprintf("%.*s", (int)rng_below(r, 12), "http://h:123");
    }
    return s;
}

static void any_message(struct rng *r, struct raft_message *m)
{
    uint8_t room[RAFT_CONTEXT_MAX];

    *m = (struct raft_message){
        .type =
            rng_below(r, 3) == 0 ? any_u64(r) : rng_below(r, RAFT_MSG_TYPES),
        .to = any_u64(r),
        .from = any_u64(r),
        .term = any_u64(r),
        .log_term = any_u64(r),
        .index = any_u64(r),
        .commit = any_u64(r),
        .reject_hint = any_u64(r),
        .reject = rng_below(r, 2) == 1,
    };
    raft_message_set_context(m, any_bytes(r, room, sizeof(room)));
    for (uint64_t n = rng_below(r, N_ENTRIES_MAX + 1); n > 0; n--) {
        raft_entries_take(&m->entries, any_entry(r));
    }
    if (m->type == RAFT_MSG_SNAP) {
        m->snapshot = any_snapshot(r);
    }
}

/* protobuf-c has no const, and writes nothing. */
static ProtobufCBinaryData borrow(const void *data, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)data};
}

static void fill_entry(const struct raft_entry *e, Raftpb__Entry *pb)
{
    raftpb__entry__init(pb);
    pb->has_type = 1;
    pb->type = e->type;
    pb->has_term = 1;
    pb->term = e->term;
    pb->has_index = 1;
    pb->index = e->index;
    pb->has_data = e->has_data;
    pb->data = borrow(e->data, e->len);
}

static void fill_conf_state(const struct conf_state *cs, Raftpb__ConfState *pb)
{
    raftpb__conf_state__init(pb);
    pb->voters = cs->voters.ids;
    pb->n_voters = cs->voters.n;
    pb->learners = cs->learners.ids;
    pb->n_learners = cs->learners.n;
    pb->voters_outgoing = cs->voters_outgoing.ids;
    pb->n_voters_outgoing = cs->voters_outgoing.n;
    pb->learners_next = cs->learners_next.ids;
    pb->n_learners_next = cs->learners_next.n;
    pb->has_auto_leave = 1;
    pb->auto_leave = cs->auto_leave;
}

static void fill_snapshot(const struct raft_snapshot *s, struct packed *p)
{
    raftpb__snapshot__init(&p->snapshot);
    raftpb__snapshot_metadata__init(&p->metadata);
    fill_conf_state(&s->conf_state, &p->conf_state);
    p->snapshot.has_data = s->data != NULL;
    p->snapshot.data = borrow(s->data, s->len);
    p->snapshot.metadata = &p->metadata;
    p->metadata.conf_state = &p->conf_state;
    p->metadata.has_index = 1;
    p->metadata.index = s->index;
    p->metadata.has_term = 1;
    p->metadata.term = s->term;
    p->metadata.n_members = s->n_members;
    p->metadata.members = p->member_ptrs;
    for (size_t i = 0; i < s->n_members; i++) {
        const char *url = s->members[i].url;

        raftpb__member__init(&p->members[i]);
        p->members[i].has_id = 1;
        p->members[i].id = s->members[i].id;
        p->members[i].has_url = 1;
        p->members[i].url = borrow(url, strlen(url));
        p->member_ptrs[i] = &p->members[i];
    }
}

static void fill_scalars(const struct raft_message *m, Raftpb__Message *pb)
{
    raftpb__message__init(pb);
    pb->has_type = 1;
    pb->type = m->type;
    pb->has_to = 1;
    pb->to = m->to;
    pb->has_from = 1;
    pb->from = m->from;
    pb->has_term = 1;
    pb->term = m->term;
    pb->has_logterm = 1;
    pb->logterm = m->log_term;
    pb->has_index = 1;
    pb->index = m->index;
    pb->has_commit = 1;
    pb->commit = m->commit;
    pb->has_reject = 1;
    pb->reject = m->reject;
    pb->has_rejecthint = 1;
    pb->rejecthint = m->reject_hint;
    pb->has_context = m->has_context;
    pb->context = borrow(m->context, m->context_len);
}

static void fill_message(const struct raft_message *m, struct packed *p)
{
    fill_scalars(m, &p->message);
    p->message.n_entries = m->entries.len;
    p->message.entries = p->entry_ptrs;
    for (size_t i = 0; i < m->entries.len; i++) {
        fill_entry(m->entries.items[i], &p->entries[i]);
        p->entry_ptrs[i] = &p->entries[i];
    }
    if (m->snapshot != NULL) {
        fill_snapshot(m->snapshot, p);
        p->message.snapshot = &p->snapshot;
    }
}

static void encode(const struct raft_message *m, struct buf *out)
{
    size_t size = raft_message_size(m);
    uint8_t *p = buf_reserve(out, size);

    assert_ptr_equal(raft_message_encode(m, p), p + size);
    buf_commit(out, size);
}

static void check_entry(const struct raft_entry *a, const struct raft_entry *b)
{
    assert_true(a->type == b->type);
    assert_true(a->term == b->term);
    assert_true(a->index == b->index);
    assert_int_equal(a->has_data, b->has_data);
    assert_int_equal(a->len, b->len);
    assert_true(a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void check_snapshot(const struct raft_snapshot *a,
                           const struct raft_snapshot *b)
{
    assert_true(a->index == b->index);
    assert_true(a->term == b->term);
    assert_true(conf_state_equivalent(&a->conf_state, &b->conf_state));
    assert_int_equal(a->data == NULL, b->data == NULL);
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->n_members, b->n_members);
    for (size_t i = 0; i < a->n_members; i++) {
        assert_true(a->members[i].id == b->members[i].id);
        assert_string_equal(a->members[i].url, b->members[i].url);
    }
}

static void check_message(const struct raft_message *a,
                          const struct raft_message *b)
{
    assert_true(a->type == b->type);
    assert_true(a->to == b->to);
    assert_true(a->from == b->from);
    assert_true(a->term == b->term);
    assert_true(a->log_term == b->log_term);
    assert_true(a->index == b->index);
    assert_true(a->commit == b->commit);
    assert_true(a->reject_hint == b->reject_hint);
    assert_int_equal(a->reject, b->reject);
    assert_int_equal(a->has_context, b->has_context);
    assert_int_equal(a->context_len, b->context_len);
    assert_memory_equal(a->context, b->context, a->context_len);
    assert_int_equal(a->entries.len, b->entries.len);
    for (size_t i = 0; i < a->entries.len; i++) {
        check_entry(a->entries.items[i], b->entries.items[i]);
    }
    assert_int_equal(a->snapshot == NULL, b->snapshot == NULL);
    if (a->snapshot != NULL) {
        check_snapshot(a->snapshot, b->snapshot);
    }
}

static void test_random_messages(void **state)
{
    (void)state;
    static struct packed packed;
    struct buf ours;
    struct buf theirs;
    struct rng r;

    rng_seed(&r, 9);
    buf_init(&ours, BUF_UNLIMITED);
    buf_init(&theirs, BUF_UNLIMITED);
    for (int i = 0; i < 3000; i++) {
        struct raft_message m;
        struct raft_message back;

        any_message(&r, &m);
        fill_message(&m, &packed);
        buf_reset(&ours);
        buf_reset(&theirs);
        encode(&m, &ours);
        size_t size = raftpb__message__get_packed_size(&packed.message);
        (void)raftpb__message__pack(&packed.message,
                                    buf_reserve(&theirs, size));
        buf_commit(&theirs, size);
        assert_int_equal(ours.len, theirs.len);
        assert_memory_equal(ours.data, theirs.data, ours.len);

        assert_int_equal(raft_message_decode(buf_bytes(&ours), &back), 0);
        check_message(&m, &back);
        raft_message_release(&m);
        raft_message_release(&back);
    }
    buf_release(&ours);
    buf_release(&theirs);
}

static void test_random_snapshots(void **state)
{
    (void)state;
    static struct packed packed;
    struct rng r;

    rng_seed(&r, 10);
    for (int i = 0; i < 1000; i++) {
        struct raft_snapshot *s = any_snapshot(&r);
        struct raft_snapshot *back;

        fill_snapshot(s, &packed);
        size_t size = raft_snapshot_size(s);
        assert_int_equal(raftpb__snapshot__get_packed_size(&packed.snapshot),
                         size);
        uint8_t *ours = xmalloc(size);
        uint8_t *theirs = xmalloc(size);
        assert_ptr_equal(raft_snapshot_encode(s, ours), ours + size);
        (void)raftpb__snapshot__pack(&packed.snapshot, theirs);
        assert_memory_equal(ours, theirs, size);

        assert_int_equal(
            raft_snapshot_decode((struct bytes){ours, size}, &back), 0);
        check_snapshot(s, back);
        raft_snapshot_unref(s);
        raft_snapshot_unref(back);
        xfree(ours);
        xfree(theirs);
    }
}

/* The decoder of entries is ours, so it is held against the generated one:
 * what protobuf-c refuses it refuses, and what both accept is the same. */
static void compare_entry_decoders(struct bytes in)
{
    struct raft_entry *e = NULL;
    Raftpb__Entry *pb = raftpb__entry__unpack(NULL, in.len, in.data);
    int rc = raft_entry_decode(in, &e);

    assert_true(pb != NULL || rc == ERR_MALFORMED);
    if (rc == 0) {
        assert_true(e->type == pb->type);
        assert_true(e->term == pb->term);
        assert_true(e->index == pb->index);
        assert_int_equal(e->has_data, pb->has_data);
        assert_int_equal(e->len, pb->data.len);
        assert_true(e->len == 0 || memcmp(e->data, pb->data.data, e->len) == 0);
    }
    raft_entry_unref(e);
    raftpb__entry__free_unpacked(pb, NULL);
}

static void test_entry_decoder_as_protobuf_c(void **state)
{
    (void)state;
    uint8_t bytes[400];
    struct rng r;

    rng_seed(&r, 11);
    for (int i = 0; i < 10000; i++) {
        struct raft_entry *e = any_entry(&r);
        size_t size = raft_entry_size(e);

        assert_true(size <= sizeof(bytes));
        assert_ptr_equal(raft_entry_encode(e, bytes), bytes + size);
        compare_entry_decoders((struct bytes){bytes, size});
        bytes[rng_below(&r, size < 40 ? size : 40)] ^=
            (uint8_t)(1u << rng_below(&r, 8));
        compare_entry_decoders((struct bytes){bytes, size});
        compare_entry_decoders((struct bytes){bytes, rng_below(&r, size)});
        raft_entry_unref(e);
    }
}

static void test_random_states_and_changes(void **state)
{
    (void)state;
    struct rng r;
    struct buf b;

    rng_seed(&r, 12);
    buf_init(&b, BUF_UNLIMITED);
    for (int i = 0; i < 2000; i++) {
        struct hard_state hs = {any_u64(&r), any_u64(&r), any_u64(&r)};
        struct hard_state hs_back;
        uint8_t bytes[HARD_STATE_SIZE_MAX];
        size_t size = hard_state_size(&hs);

        assert_true(size <= sizeof(bytes));
        assert_ptr_equal(hard_state_encode(&hs, bytes), bytes + size);
        assert_int_equal(
            hard_state_decode((struct bytes){bytes, size}, &hs_back), 0);
        assert_true(hard_state_equal(&hs, &hs_back));

        uint8_t room[200];
        struct conf_change cc = {any_u64(&r), any_u64(&r), any_u64(&r),
                                 any_bytes(&r, room, sizeof(room))};
        struct conf_change cc_back;
        buf_reset(&b);
        assert_int_equal(conf_change_encode(&cc, &b), 0);
        assert_int_equal(conf_change_decode(buf_bytes(&b), &cc_back), 0);
        assert_true(cc.id == cc_back.id && cc.type == cc_back.type &&
                    cc.node_id == cc_back.node_id);
        assert_int_equal(cc.context.len, cc_back.context.len);
        assert_int_equal(cc.context.data == NULL, cc_back.context.data == NULL);
    }
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_messages),
        cmocka_unit_test(test_random_snapshots),
        cmocka_unit_test(test_entry_decoder_as_protobuf_c),
        cmocka_unit_test(test_random_states_and_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
