/* Goal: entries, vectors, membership, snapshots and messages keep their
 * references and contents, and sizes follow the rules of raft-core 25. Method:
 * small objects with known sizes; leaks and early frees are the sanitizer's to
 * find. */

#include "proto/raftpb.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/death.h"
#include "tests/lib/hex.h"

static struct bytes bytes_of(const char *s)
{
    const void *data = s;

    return (struct bytes){data, strlen(s)};
}

static struct raft_entry *entry_of(uint64_t term, uint64_t index,
                                   const char *data)
{
    struct bytes none = {0};
    struct raft_entry *e =
        raft_entry_new(RAFT_ENTRY_NORMAL, data == NULL ? none : bytes_of(data));

    e->term = term;
    e->index = index;
    return e;
}

/* --- entries --- */

static void test_entry_data_absent_empty_present(void **state)
{
    (void)state;
    struct raft_entry *absent = entry_of(1, 1, NULL);
    struct raft_entry *empty = entry_of(1, 1, "");
    struct raft_entry *foo = entry_of(1, 1, "foo");

    assert_false(absent->has_data);
    assert_null(raft_entry_data(absent).data);
    assert_true(empty->has_data);
    assert_non_null(raft_entry_data(empty).data);
    assert_int_equal(raft_entry_data(empty).len, 0);
    assert_memory_equal(raft_entry_data(foo).data, "foo", 3);

    /* With Type always there [raft-core SZ-1]. */
    assert_int_equal(raft_entry_size(absent), 6);
    assert_int_equal(raft_entry_size(empty), 8);
    assert_int_equal(raft_entry_size(foo), 11);
    raft_entry_unref(absent);
    raft_entry_unref(empty);
    raft_entry_unref(foo);
    raft_entry_unref(NULL);
}

static void test_entry_with_is_a_copy(void **state)
{
    (void)state;
    struct raft_entry *e = entry_of(0, 0, "x");
    e->type = 9;
    struct raft_entry *copy = raft_entry_with(e, 3, 4);

    assert_int_equal(copy->refs, 1);
    assert_int_equal(copy->type, 9);
    assert_int_equal(copy->term, 3);
    assert_int_equal(copy->index, 4);
    assert_memory_equal(copy->data, "x", 1);
    assert_int_equal(e->term, 0);
    raft_entry_unref(e);
    raft_entry_unref(copy);
}

static void unref_freed_count(void *ctx)
{
    struct raft_entry e = {.refs = 0};

    (void)ctx;
    raft_entry_unref(&e);
}

static void test_unref_of_a_dead_entry_aborts(void **state)
{
    (void)state;
    assert_true(test_aborts(unref_freed_count, NULL));
}

static void check_indexes(const struct raft_entries *v, uint64_t first,
                          size_t n)
{
    assert_int_equal(v->len, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(v->items[i]->index, first + i);
    }
}

static void test_entries_vector(void **state)
{
    (void)state;
    struct raft_entries v = {0};
    struct raft_entries other = {0};

    for (uint64_t i = 1; i <= 40; i++) {
        raft_entries_take(&v, entry_of(1, i, "d"));
    }
    check_indexes(&v, 1, 40);
    raft_entries_push(&other, v.items[0]);
    raft_entries_append(&other, v.items + 1, 39);
    assert_int_equal(v.items[0]->refs, 2);

    raft_entries_truncate(&v, 30);
    check_indexes(&v, 1, 30);
    raft_entries_drop_front(&v, 10);
    check_indexes(&v, 11, 20);
    raft_entries_drop_front(&v, 0);
    check_indexes(&v, 11, 20);

    /* What one vector dropped, the other still holds. */
    check_indexes(&other, 1, 40);
    assert_int_equal(other.items[0]->refs, 1);
    assert_int_equal(other.items[15]->refs, 2);

    size_t cap = v.cap;
    raft_entries_reset(&v);
    assert_int_equal(v.len, 0);
    assert_int_equal(v.cap, cap);
    raft_entries_release(&v);
    raft_entries_release(&v);
    raft_entries_release(&other);
}

static void test_limit_size(void **state)
{
    (void)state;
    struct raft_entries v = {0};
    static const struct {
        const char *name;
        uint64_t max;
        size_t want;
    } cases[] = {
        {"no limit", UINT64_MAX, 3}, {"not even the first", 0, 1},
        {"the first exactly", 6, 1}, {"one byte too few for two", 16, 1},
        {"two exactly", 17, 2},      {"one byte too few for three", 22, 2},
        {"all exactly", 23, 3},
    };

    raft_entries_take(&v, entry_of(1, 1, NULL));
    raft_entries_take(&v, entry_of(1, 2, "foo"));
    raft_entries_take(&v, entry_of(1, 3, NULL));
    assert_int_equal(raft_entries_size(v.items, v.len), 23);
    assert_int_equal(raft_entries_limit(v.items, 0, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        assert_int_equal(raft_entries_limit(v.items, v.len, cases[i].max),
                         cases[i].want);
    }
    raft_entries_release(&v);
}

/* --- membership --- */

static struct conf_state conf_state_of(const char *voters, const char *outgoing)
{
    struct conf_state cs = {0};

    for (; *voters != '\0'; voters++) {
        id_list_push(&cs.voters, (uint64_t)(*voters - '0'));
    }
    for (; *outgoing != '\0'; outgoing++) {
        id_list_push(&cs.voters_outgoing, (uint64_t)(*outgoing - '0'));
    }
    return cs;
}

static void test_conf_state_equivalent(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *voters[2];
        const char *outgoing[2];
        bool want;
    } cases[] = {
        {"empty", {"", ""}, {"", ""}, true},
        {"same order", {"123", "123"}, {"", ""}, true},
        {"other order", {"123", "312"}, {"21", "12"}, true},
        {"other id", {"123", "124"}, {"", ""}, false},
        {"other number", {"123", "12"}, {"", ""}, false},
        {"other list", {"12", "12"}, {"1", ""}, false},
        {"twice the same id", {"112", "122"}, {"", ""}, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        struct conf_state a =
            conf_state_of(cases[i].voters[0], cases[i].outgoing[0]);
        struct conf_state b =
            conf_state_of(cases[i].voters[1], cases[i].outgoing[1]);

        assert_int_equal(conf_state_equivalent(&a, &b), cases[i].want);
        assert_int_equal(conf_state_equivalent(&b, &a), cases[i].want);
        b.auto_leave = true;
        assert_false(conf_state_equivalent(&a, &b));
        conf_state_release(&a);
        conf_state_release(&b);
    }
}

/* One of the lists is enough for a difference. */
static void test_conf_state_with_one_list_more(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct conf_state a = conf_state_of("12", "3");
        struct conf_state b = conf_state_of("12", "3");
        struct id_list *lists[] = {&b.voters, &b.learners, &b.voters_outgoing,
                                   &b.learners_next};

        assert_true(conf_state_equivalent(&a, &b));
        id_list_push(lists[i], 7);
        assert_false(conf_state_equivalent(&a, &b));
        conf_state_release(&a);
        conf_state_release(&b);
    }
}

static void test_conf_state_copy(void **state)
{
    (void)state;
    struct conf_state cs = conf_state_of("123", "4");
    struct conf_state copy;

    cs.auto_leave = true;
    conf_state_copy(&copy, &cs);
    assert_true(conf_state_equivalent(&cs, &copy));
    assert_ptr_not_equal(cs.voters.ids, copy.voters.ids);
    assert_null(copy.learners.ids);
    conf_state_release(&cs);
    assert_int_equal(cs.voters.n, 0);
    assert_true(id_list_contains(&copy.voters, 3));
    assert_false(id_list_contains(&copy.voters, 4));
    assert_true(id_list_contains(&copy.voters_outgoing, 4));
    conf_state_release(&copy);
}

static void test_conf_change_without_room(void **state)
{
    (void)state;
    struct conf_change cc = {.id = 1, .node_id = 2};
    struct buf b;

    buf_init(&b, 3);
    assert_int_equal(conf_change_encode(&cc, &b), ERR_TOO_LARGE);
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

static void test_conf_change_context_points_into_the_input(void **state)
{
    (void)state;
    size_t len;
    uint8_t *in = hex_decode("08011000180422027878", &len);
    struct conf_change cc;

    assert_int_equal(conf_change_decode((struct bytes){in, len}, &cc), 0);
    assert_int_equal(cc.id, 1);
    assert_int_equal(cc.type, CONF_CHANGE_ADD_NODE);
    assert_int_equal(cc.node_id, 4);
    assert_ptr_equal(cc.context.data, in + 8);
    assert_int_equal(cc.context.len, 2);
    xfree(in);
}

static void test_conf_change_v2(void **state)
{
    (void)state;
    struct conf_change_single changes[] = {{CONF_CHANGE_ADD_NODE, 4},
                                           {CONF_CHANGE_REMOVE_NODE, 3}};
    struct conf_change_v2 cc = {
        .transition = CONF_CHANGE_TRANSITION_JOINT_EXPLICIT,
        .changes = changes,
        .n_changes = 2,
        .context = bytes_of("x"),
    };
    struct conf_change_v2 back;
    struct buf b;

    buf_init(&b, 21);
    assert_int_equal(conf_change_v2_encode(&cc, &b), 0);
    assert_int_equal(b.len, 17);
    assert_int_equal(conf_change_v2_encode(&cc, &b), ERR_TOO_LARGE);
    assert_int_equal(b.len, 17);
    assert_int_equal(conf_change_v2_decode(buf_bytes(&b), &back), 0);
    assert_int_equal(back.transition, cc.transition);
    assert_int_equal(back.n_changes, 2);
    assert_memory_equal(back.changes, changes, sizeof(changes));
    conf_change_v2_release(&back);
    assert_null(back.changes);

    /* An absent payload leaves the joint configuration. */
    assert_int_equal(conf_change_v2_decode((struct bytes){0}, &back), 0);
    assert_int_equal(back.n_changes, 0);
    assert_null(back.changes);
    buf_release(&b);
}

static void test_conf_change_v2_with_too_many_changes(void **state)
{
    (void)state;
    struct conf_change_v2 out;
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    for (size_t i = 0; i < MEMBERS_MAX; i++) {
        assert_int_equal(buf_append(&b, "\x12\x00", 2), 0);
    }
    assert_int_equal(conf_change_v2_decode(buf_bytes(&b), &out), 0);
    assert_int_equal(out.n_changes, MEMBERS_MAX);
    conf_change_v2_release(&out);
    assert_int_equal(buf_append(&b, "\x12\x00", 2), 0);
    assert_int_equal(conf_change_v2_decode(buf_bytes(&b), &out), ERR_MALFORMED);
    assert_null(out.changes);
    buf_release(&b);
}

/* --- snapshots and messages --- */

static struct raft_snapshot *snapshot_of(uint64_t index)
{
    struct raft_snapshot *s = raft_snapshot_new();

    s->index = index;
    s->term = 2;
    s->conf_state = conf_state_of("123", "");
    s->data = xmemdup("{}", 2);
    s->len = 2;
    s->members = xcalloc(2, sizeof(*s->members));
    s->n_members = 2;
    s->members[0] = (struct snapshot_member){1, xstrdup("http://a:1")};
    s->members[1] = (struct snapshot_member){300, xstrdup("")};
    return s;
}

static void snapshot_encoded(const struct raft_snapshot *s, struct buf *out)
{
    size_t size = raft_snapshot_size(s);

    buf_init(out, size);
    uint8_t *p = buf_reserve(out, size);
    assert_ptr_equal(raft_snapshot_encode(s, p), p + size);
    buf_commit(out, size);
}

static void test_snapshot_members_survive(void **state)
{
    (void)state;
    struct raft_snapshot *s = snapshot_of(8);
    struct raft_snapshot *back;
    struct buf encoded;

    snapshot_encoded(s, &encoded);
    assert_int_equal(raft_snapshot_decode(buf_bytes(&encoded), &back), 0);
    assert_int_equal(back->refs, 1);
    assert_int_equal(back->index, 8);
    assert_int_equal(back->term, 2);
    assert_true(conf_state_equivalent(&back->conf_state, &s->conf_state));
    assert_int_equal(back->len, 2);
    assert_memory_equal(back->data, "{}", 2);
    assert_int_equal(back->n_members, 2);
    assert_int_equal(back->members[0].id, 1);
    assert_string_equal(back->members[0].url, "http://a:1");
    assert_int_equal(back->members[1].id, 300);
    assert_string_equal(back->members[1].url, "");
    raft_snapshot_unref(back);
    raft_snapshot_unref(s);
    buf_release(&encoded);
}

static void test_snapshot_copy(void **state)
{
    (void)state;
    struct raft_snapshot *s = snapshot_of(8);
    struct conf_state cs = conf_state_of("12345", "");
    struct raft_snapshot *same = raft_snapshot_copy(s, NULL);
    struct raft_snapshot *other = raft_snapshot_copy(s, &cs);
    struct buf a;
    struct buf b;

    snapshot_encoded(s, &a);
    snapshot_encoded(same, &b);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_int_equal(other->conf_state.voters.n, 5);
    assert_int_equal(other->n_members, 2);
    raft_snapshot_unref(raft_snapshot_ref(s));
    raft_snapshot_unref(s);
    raft_snapshot_unref(same);
    raft_snapshot_unref(other);
    raft_snapshot_unref(NULL);
    conf_state_release(&cs);
    buf_release(&a);
    buf_release(&b);
}

static void test_copy_of_a_snapshot_without_data(void **state)
{
    (void)state;
    struct raft_snapshot *s = raft_snapshot_new();
    struct raft_snapshot *copy;

    s->index = 5;
    s->term = 2;
    copy = raft_snapshot_copy(s, NULL);
    assert_null(copy->data);
    assert_int_equal(copy->index, 5);
    raft_snapshot_unref(s);
    raft_snapshot_unref(copy);
}

/* The type alone brings no snapshot with it. */
static void test_snapshot_message_without_snapshot(void **state)
{
    (void)state;
    struct raft_message m = {.type = RAFT_MSG_SNAP, .to = 2, .from = 1};
    struct raft_message back;
    uint8_t bytes[128];
    size_t size = raft_message_size(&m);

    assert_in_range(size, 1, sizeof(bytes));
    assert_ptr_equal(raft_message_encode(&m, bytes), bytes + size);
    assert_int_equal(raft_message_decode((struct bytes){bytes, size}, &back),
                     0);
    assert_int_equal(back.type, RAFT_MSG_SNAP);
    raft_message_release(&back);
}

/* Old nodes put an empty one into every message. */
static void test_snapshot_without_metadata(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x08, 0x07, 0x4a, 0x03, 0x0a, 0x01, 'x'};
    struct raft_message m;

    assert_int_equal(
        raft_message_decode((struct bytes){bytes, sizeof(bytes)}, &m), 0);
    assert_non_null(m.snapshot);
    assert_int_equal(m.snapshot->index, 0);
    assert_int_equal(m.snapshot->len, 1);
    raft_message_release(&m);
}

static void test_snapshot_is_empty(void **state)
{
    (void)state;
    struct raft_snapshot *s = raft_snapshot_new();

    assert_true(raft_snapshot_is_empty(NULL));
    assert_true(raft_snapshot_is_empty(s));
    s->index = 1;
    assert_false(raft_snapshot_is_empty(s));
    raft_snapshot_unref(s);
}

static void test_message_copy_shares(void **state)
{
    (void)state;
    struct raft_message m = {.type = RAFT_MSG_STORAGE_APPEND, .n_responses = 1};
    struct raft_message copy;

    m.responses = xcalloc(1, sizeof(*m.responses));
    raft_entries_take(&m.responses[0].entries, entry_of(1, 1, "r"));
    raft_entries_take(&m.entries, entry_of(1, 1, "e"));
    m.snapshot = snapshot_of(3);
    raft_message_set_context(&m, bytes_of("ctx"));
    raft_message_copy(&copy, &m);

    assert_ptr_equal(copy.entries.items[0], m.entries.items[0]);
    assert_int_equal(m.entries.items[0]->refs, 2);
    assert_ptr_equal(copy.snapshot, m.snapshot);
    assert_int_equal(m.snapshot->refs, 2);
    assert_ptr_not_equal(copy.responses, m.responses);
    assert_int_equal(m.responses[0].entries.items[0]->refs, 2);
    raft_message_release(&m);
    assert_int_equal(m.n_responses, 0);
    assert_int_equal(copy.entries.items[0]->refs, 1);
    assert_memory_equal(raft_message_context(&copy).data, "ctx", 3);
    raft_message_release(&copy);
    raft_message_release(&copy);
}

static void test_message_context_absent_and_empty(void **state)
{
    (void)state;
    struct raft_message m = {0};
    size_t without = raft_message_size(&m);

    assert_null(raft_message_context(&m).data);
    raft_message_set_context(&m, bytes_of(""));
    assert_non_null(raft_message_context(&m).data);
    assert_int_equal(raft_message_size(&m), without + 2);
    raft_message_set_context(&m, (struct bytes){0});
    assert_null(raft_message_context(&m).data);
    assert_int_equal(raft_message_size(&m), without);
}

/* The columns L and R of raft-core section 8, and numbers that are no type. */
static void assert_types(bool (*is)(uint64_t type), const uint64_t *types,
                         size_t n)
{
    unsigned expected = 0;

    for (size_t i = 0; i < n; i++) {
        expected |= 1u << types[i];
    }
    for (unsigned t = 0; t < 32; t++) {
        assert_int_equal(is(t), expected >> t & 1);
    }
    assert_false(is(UINT64_MAX));
}

static void test_is_local_msg(void **state)
{
    static const uint64_t types[] = {0, 1, 10, 11, 12, 19, 20, 21, 22};

    (void)state;
    assert_types(raft_message_is_local, types, ARRAY_LEN(types));
}

static void test_is_response_msg(void **state)
{
    static const uint64_t types[] = {4, 6, 9, 10, 16, 18, 20, 22};

    (void)state;
    assert_types(raft_message_is_response, types, ARRAY_LEN(types));
}

static void test_message_type_names(void **state)
{
    (void)state;
    assert_string_equal(raft_message_type_name(RAFT_MSG_HUP), "MsgHup");
    assert_string_equal(raft_message_type_name(RAFT_MSG_FORGET_LEADER),
                        "MsgForgetLeader");
    assert_string_equal(raft_message_type_name(24), "MsgUnknown");
    assert_string_equal(raft_message_type_name(UINT64_MAX), "MsgUnknown");
}

/* Entries and queued messages are what memory is full of: that they grow should
 * be a decision. On machines with 64 bits. */
static void test_proto_memory_sizes(void **state)
{
    (void)state;
    if (sizeof(void *) != 8) {
        skip();
    }
    assert_int_equal(sizeof(struct hard_state), 24);
    assert_int_equal(sizeof(struct conf_state), 72);
    assert_int_equal(sizeof(struct conf_change), 40);
    assert_int_equal(sizeof(struct conf_change_single), 16);
    assert_int_equal(sizeof(struct conf_change_v2), 40);
    assert_in_range(sizeof(struct raft_entry), 32, 40);
    assert_in_range(sizeof(struct raft_snapshot), 112, 128);
    assert_in_range(sizeof(struct raft_message), 128, 192);
}

/* At both ends of each number of bits. */
static void test_varint_size(void **state)
{
    (void)state;
    for (unsigned bits = 1; bits <= 64; bits++) {
        uint64_t ends[] = {UINT64_C(1) << (bits - 1),
                           UINT64_MAX >> (64 - bits)};

        for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
            uint8_t out[10];
            uint8_t *end = pb_put_varint(out, ends[i]);

            assert_int_equal(pb_varint_size(ends[i]), end - out);
        }
    }
    assert_int_equal(pb_varint_size(0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_data_absent_empty_present),
        cmocka_unit_test(test_entry_with_is_a_copy),
        cmocka_unit_test(test_unref_of_a_dead_entry_aborts),
        cmocka_unit_test(test_entries_vector),
        cmocka_unit_test(test_limit_size),
        cmocka_unit_test(test_conf_state_equivalent),
        cmocka_unit_test(test_conf_state_with_one_list_more),
        cmocka_unit_test(test_conf_state_copy),
        cmocka_unit_test(test_conf_change_without_room),
        cmocka_unit_test(test_conf_change_context_points_into_the_input),
        cmocka_unit_test(test_conf_change_v2),
        cmocka_unit_test(test_conf_change_v2_with_too_many_changes),
        cmocka_unit_test(test_snapshot_members_survive),
        cmocka_unit_test(test_snapshot_copy),
        cmocka_unit_test(test_copy_of_a_snapshot_without_data),
        cmocka_unit_test(test_snapshot_message_without_snapshot),
        cmocka_unit_test(test_snapshot_without_metadata),
        cmocka_unit_test(test_snapshot_is_empty),
        cmocka_unit_test(test_message_copy_shares),
        cmocka_unit_test(test_message_context_absent_and_empty),
        cmocka_unit_test(test_is_local_msg),
        cmocka_unit_test(test_is_response_msg),
        cmocka_unit_test(test_message_type_names),
        cmocka_unit_test(test_proto_memory_sizes),
        cmocka_unit_test(test_varint_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
