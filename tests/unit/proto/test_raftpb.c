/* Goal: entries, vectors, snapshots and messages keep their references, sizes
 * follow the rules of raft-core 25, and decoders accept what every generation
 * writes and refuse what is broken. Method: tables of named encodings taken
 * from formats-protobuf.md, and of encodings broken in one way each. */

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

static void test_message_types(void **state)
{
    (void)state;
    /* The columns L and R of raft-core section 8. */
    static const uint64_t local[] = {0, 1, 10, 11, 12, 19, 20, 21, 22};
    static const uint64_t response[] = {4, 6, 9, 10, 16, 18, 20, 22};
    unsigned is_local = 0;
    unsigned is_response = 0;

    for (size_t i = 0; i < ARRAY_LEN(local); i++) {
        is_local |= 1u << local[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(response); i++) {
        is_response |= 1u << response[i];
    }
    for (unsigned t = 0; t < 32; t++) {
        assert_int_equal(raft_message_is_local(t), is_local >> t & 1);
        assert_int_equal(raft_message_is_response(t), is_response >> t & 1);
    }
    assert_false(raft_message_is_local(UINT64_MAX));
    assert_string_equal(raft_message_type_name(RAFT_MSG_HUP), "MsgHup");
    assert_string_equal(raft_message_type_name(RAFT_MSG_FORGET_LEADER),
                        "MsgForgetLeader");
    assert_string_equal(raft_message_type_name(24), "MsgUnknown");
    assert_string_equal(raft_message_type_name(UINT64_MAX), "MsgUnknown");
}

/* --- decoding --- */

static int decode_message_hex(const char *hex, struct raft_message *m)
{
    size_t len;
    uint8_t *in = hex_decode(hex, &len);
    int rc = raft_message_decode((struct bytes){in, len}, m);

    xfree(in);
    return rc;
}

/* MsgApp to 2 from 1, term 2, after 3 of term 1, commit 3, one empty entry. */
static void test_message_of_every_generation(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
    } cases[] = {
        {"3.4: all scalars, empty snapshot",
         "08 03 10 02 18 01 20 02 28 01 30 03 3a 06 08 00 10 02 18 04 40 03"
         "4a 0a 12 08 0a 02 28 00 10 00 18 00 50 00 58 00"},
        {"3.6: all scalars, vote",
         "08 03 10 02 18 01 20 02 28 01 30 03 3a 06 08 00 10 02 18 04 40 03"
         "50 00 58 00 68 00"},
        {"3.7: what is set",
         "08 03 10 02 18 01 20 02 28 01 30 03 3a 04 10 02 18 04 40 03"},
        {"any order, the last of a repeated scalar counts",
         "40 09 3a 04 18 04 10 02 30 03 28 01 20 02 18 01 10 02 40 03 08 03"},
        {"unknown fields of each wire type",
         "08 03 10 02 18 01 20 02 28 01 30 03 3a 04 10 02 18 04 40 03"
         "d0 3e 05 d9 3e 0102030405060708 e2 3e 02 aabb ed 3e 01020304"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_message m;

        print_message("  %s\n", cases[i].name);
        assert_int_equal(decode_message_hex(cases[i].hex, &m), 0);
        assert_int_equal(m.type, RAFT_MSG_APP);
        assert_int_equal(m.to, 2);
        assert_int_equal(m.from, 1);
        assert_int_equal(m.term, 2);
        assert_int_equal(m.log_term, 1);
        assert_int_equal(m.index, 3);
        assert_int_equal(m.commit, 3);
        assert_null(m.snapshot);
        assert_int_equal(m.entries.len, 1);
        assert_int_equal(m.entries.items[0]->term, 2);
        assert_int_equal(m.entries.items[0]->index, 4);
        assert_false(m.entries.items[0]->has_data);
        raft_message_release(&m);
    }
}

static void test_message_oddities_that_are_legal(void **state)
{
    (void)state;
    struct raft_message m;

    /* Nothing at all; negative enum; a bool that is not 0 or 1. */
    assert_int_equal(raft_message_decode((struct bytes){0}, &m), 0);
    assert_int_equal(m.type, RAFT_MSG_HUP);
    assert_int_equal(decode_message_hex("08 ffffffffffffffffff01", &m), 0);
    assert_true(m.type == UINT64_MAX);
    assert_int_equal(decode_message_hex("50 8002", &m), 0);
    assert_true(m.reject);
    /* Context present and empty. */
    assert_int_equal(decode_message_hex("6200", &m), 0);
    assert_true(m.has_context);
    assert_int_equal(m.context_len, 0);
    /* A MsgSnap without its snapshot has an empty one. */
    assert_int_equal(decode_message_hex("0807", &m), 0);
    assert_non_null(m.snapshot);
    assert_true(raft_snapshot_is_empty(m.snapshot));
    raft_message_release(&m);
    /* A snapshot in another message is not looked at. */
    assert_int_equal(decode_message_hex("0803 4a04 1202 1005", &m), 0);
    assert_null(m.snapshot);
    /* Responses are skipped, however deep. */
    assert_int_equal(decode_message_hex("0813 7206 7204 7202 0805", &m), 0);
    assert_int_equal(m.n_responses, 0);
}

static void test_snapshot_merging_and_packed_ids(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "12 0e 0a 08 08 01 08 02 08 03 28 00 10 08 18 02",
        "12 0b 0a 05 0a 03 01 02 03 10 08 18 02",
        "12 0b 0a 05 0a 01 01 08 02 10 08 18 02 12 04 0a 02 08 03",
        "12 08 0a 02 08 01 0a 02 08 02 12 08 0a 02 08 03 10 08 18 02",
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_snapshot *s;
        size_t len;
        uint8_t *in = hex_decode(cases[i], &len);

        assert_int_equal(raft_snapshot_decode((struct bytes){in, len}, &s), 0);
        assert_int_equal(s->index, 8);
        assert_int_equal(s->term, 2);
        assert_null(s->data);
        assert_int_equal(s->conf_state.voters.n, 3);
        for (uint64_t id = 1; id <= 3; id++) {
            assert_int_equal(s->conf_state.voters.ids[id - 1], id);
        }
        raft_snapshot_unref(s);
        xfree(in);
    }
}

static int decode_entry(struct bytes in)
{
    struct raft_entry *e = NULL;
    int rc = raft_entry_decode(in, &e);

    raft_entry_unref(e);
    return rc;
}

static int decode_hard_state(struct bytes in)
{
    struct hard_state hs;

    return hard_state_decode(in, &hs);
}

static int decode_conf_change(struct bytes in)
{
    struct conf_change cc;

    return conf_change_decode(in, &cc);
}

static int decode_conf_change_v2(struct bytes in)
{
    struct conf_change_v2 cc;
    int rc = conf_change_v2_decode(in, &cc);

    conf_change_v2_release(&cc);
    return rc;
}

static int decode_snapshot(struct bytes in)
{
    struct raft_snapshot *s = NULL;
    int rc = raft_snapshot_decode(in, &s);

    raft_snapshot_unref(s);
    return rc;
}

static int decode_message(struct bytes in)
{
    struct raft_message m;
    int rc = raft_message_decode(in, &m);

    if (rc < 0) {
        static const struct raft_message zero;
        assert_memory_equal(&m, &zero, sizeof(m));
    }
    raft_message_release(&m);
    return rc;
}

typedef int decode_fn(struct bytes in);

static void check_malformed(decode_fn *decode, const char *hex)
{
    size_t len;
    uint8_t *in = hex_decode(hex, &len);

    assert_int_equal(decode((struct bytes){in, len}), ERR_MALFORMED);
    xfree(in);
}

/* The same bytes are broken for every message: all have a field 1, of the wire
 * types varint or bytes. */
static void test_broken_wire_format(void **state)
{
    (void)state;
    static decode_fn *const decoders[] = {
        decode_entry,          decode_hard_state, decode_conf_change,
        decode_conf_change_v2, decode_snapshot,   decode_message};
    static const struct {
        const char *name;
        const char *hex;
    } cases[] = {
        {"field number 0", "00 00"},
        {"field number 0, bytes", "02 00"},
        {"truncated tag", "80"},
        {"tag without payload", "78"},
        {"truncated varint", "78 80"},
        {"varint of eleven bytes", "78 8080808080808080808001"},
        {"varint of 65 bits", "78 ffffffffffffffffff02"},
        {"field number over 29 bits", "8080808010 00"},
        {"truncated fixed64", "79 00000000000000"},
        {"truncated fixed32", "7d 000000"},
        {"bytes without length", "7a"},
        {"bytes longer than the input", "7a 02 00"},
        {"bytes of a length that overflows", "7a ffffffffffffffffff01 00"},
        {"start of a group", "7b 7c"},
        {"end of a group", "7c"},
        {"wire type 6", "7e 00"},
        {"wire type 7", "7f 00"},
        {"known field as fixed64", "09 0000000000000000"},
        {"known field as fixed32", "0d 00000000"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        for (size_t d = 0; d < ARRAY_LEN(decoders); d++) {
            check_malformed(decoders[d], cases[i].hex);
        }
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        decode_fn *decode;
        const char *hex;
    } cases[] = {
        {"entry: Type as bytes", decode_entry, "0a 00"},
        {"entry: Data as varint", decode_entry, "20 00"},
        {"hard state: vote as bytes", decode_hard_state, "12 00"},
        {"conf change: context as varint", decode_conf_change, "20 00"},
        {"v2: change as varint", decode_conf_change_v2, "10 00"},
        {"v2: broken change", decode_conf_change_v2, "12 01 08"},
        {"v2: broken after a good change", decode_conf_change_v2,
         "12 04 08 00 10 04 78"},
        {"snapshot: data as varint", decode_snapshot, "08 00"},
        {"snapshot: metadata as varint", decode_snapshot, "10 00"},
        {"snapshot: field 0 in conf_state", decode_snapshot,
         "12 04 0a 02 00 00"},
        {"snapshot: broken packed ids", decode_snapshot,
         "12 05 0a 03 0a 01 80"},
        {"snapshot: voters as fixed32", decode_snapshot,
         "12 07 0a 05 0d 00000000"},
        {"snapshot: members not ascending", decode_snapshot,
         "12 0a ca3e 02 08 02 ca3e 02 08 02"},
        {"snapshot: URL with a 0 in it", decode_snapshot,
         "12 09 ca3e 06 08 01 12 02 61 00"},
        {"snapshot: broken member", decode_snapshot, "12 05 ca3e 02 00 00"},
        {"message: field 0 in an entry", decode_message, "3a 02 00 00"},
        {"message: entry as varint", decode_message, "38 00"},
        {"message: snapshot as varint", decode_message, "48 00"},
        {"message: context as varint", decode_message, "60 00"},
        {"message: field 0 in a snapshot", decode_message, "4a 02 00 00"},
        {"message: field 0 in metadata", decode_message, "4a 04 12 02 00 00"},
        {"message: Term of an entry as bytes", decode_message, "3a 02 12 00"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        check_malformed(cases[i].decode, cases[i].hex);
    }
}

/* Few bytes must not take much memory: what costs more than it weighs has a
 * limit of its own. */
static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        decode_fn *decode;
        const char *prefix; /* once */
        const char *field;
        size_t max; /* that many fields are accepted, one more is not */
    } cases[] = {
        {"context", decode_message, "\x62\x40", "c", RAFT_CONTEXT_MAX},
        {"fields of a message", decode_message, "", "\x08\x03",
         8 * MEMBERS_MAX},
        {"entries of a message", decode_message, "", "\x3a\x02\x08\x01",
         PEER_APPEND_ENTRIES_MAX},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;

        print_message("  %s\n", cases[i].name);
        buf_init(&b, BUF_UNLIMITED);
        (void)buf_append_str(&b, cases[i].prefix);
        for (size_t n = 0; n < cases[i].max; n++) {
            (void)buf_append_str(&b, cases[i].field);
        }
        assert_int_equal(cases[i].decode(buf_bytes(&b)), 0);
        (void)buf_append_str(&b, cases[i].field);
        if (b.data[0] == 0x62) {
            b.data[1]++;
        }
        assert_int_equal(cases[i].decode(buf_bytes(&b)), ERR_MALFORMED);
        buf_release(&b);
    }
}

/* Field `tag` with the bytes of `in`, which is emptied. */
static void put_field(struct buf *out, uint8_t tag, struct buf *in)
{
    uint8_t head[11] = {tag};
    uint8_t *end = pb_put_varint(head + 1, in->len);

    (void)buf_append(out, head, (size_t)(end - head));
    (void)buf_append(out, in->data, in->len);
    buf_release(in);
}

static int decode_with_voters(size_t n, bool packed)
{
    struct buf ids;
    struct buf conf_state;
    struct buf metadata;
    struct buf snapshot;

    buf_init(&ids, BUF_UNLIMITED);
    buf_init(&conf_state, BUF_UNLIMITED);
    buf_init(&metadata, BUF_UNLIMITED);
    buf_init(&snapshot, BUF_UNLIMITED);
    for (size_t i = 0; i < n; i++) {
        (void)buf_append_str(packed ? &ids : &conf_state,
                             packed ? "\x01" : "\x08\x01");
    }
    put_field(&conf_state, 0x0a, &ids);
    put_field(&metadata, 0x0a, &conf_state);
    put_field(&snapshot, 0x12, &metadata);
    int rc = decode_snapshot(buf_bytes(&snapshot));
    buf_release(&snapshot);
    return rc;
}

static void test_limit_of_members(void **state)
{
    (void)state;
    assert_int_equal(decode_with_voters(MEMBERS_MAX, false), 0);
    assert_int_equal(decode_with_voters(MEMBERS_MAX + 1, false), ERR_MALFORMED);
    assert_int_equal(decode_with_voters(MEMBERS_MAX, true), 0);
    assert_int_equal(decode_with_voters(MEMBERS_MAX + 1, true), ERR_MALFORMED);
}

/* protobuf-c merges what is repeated into ever new arrays; the budget of the
 * arena ends that. */
static void test_merging_is_bounded(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    (void)buf_append_str(&b, "\x08\x07");
    for (int i = 0; i < 1300; i++) {
        (void)buf_append(&b, "\x4a\x06\x12\x04\x0a\x02\x08\x01", 8);
    }
    assert_int_equal(decode_message(buf_bytes(&b)), ERR_MALFORMED);
    buf_release(&b);
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
        cmocka_unit_test(test_conf_state_copy),
        cmocka_unit_test(test_conf_change_context_points_into_the_input),
        cmocka_unit_test(test_conf_change_v2),
        cmocka_unit_test(test_conf_change_v2_with_too_many_changes),
        cmocka_unit_test(test_snapshot_members_survive),
        cmocka_unit_test(test_snapshot_copy),
        cmocka_unit_test(test_snapshot_is_empty),
        cmocka_unit_test(test_message_copy_shares),
        cmocka_unit_test(test_message_context_absent_and_empty),
        cmocka_unit_test(test_message_types),
        cmocka_unit_test(test_message_of_every_generation),
        cmocka_unit_test(test_message_oddities_that_are_legal),
        cmocka_unit_test(test_snapshot_merging_and_packed_ids),
        cmocka_unit_test(test_broken_wire_format),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_limit_of_members),
        cmocka_unit_test(test_merging_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
