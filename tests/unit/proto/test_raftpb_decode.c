/* Goal: decoders accept what every generation of etcd writes, refuse what is
 * broken, and let few bytes take little memory. Method: tables of named
 * encodings taken from formats-protobuf.md, and of encodings broken in one way
 * each; messages exactly at a limit and one beyond it. */

#include "proto/raftpb.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"

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
        {"message: members of a snapshot not ascending", decode_message,
         "08 07 4a 0c 12 0a ca3e 02 08 02 ca3e 02 08 02"},
        {"message: entry with 17 fields", decode_message,
         "3a 22 "
         "0801080108010801080108010801080108010801080108010801080108010801"
         "0801"},
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

static int decode_with_members(size_t n, size_t url_len)
{
    struct buf metadata;
    struct buf snapshot;

    buf_init(&metadata, BUF_UNLIMITED);
    buf_init(&snapshot, BUF_UNLIMITED);
    for (size_t i = 1; i <= n; i++) {
        uint8_t id[11] = {0x08};
        uint8_t *id_end = pb_put_varint(id + 1, i);
        uint8_t tag[2] = {0xca, 0x3e};
        struct buf url;
        struct buf member;

        buf_init(&url, BUF_UNLIMITED);
        buf_init(&member, BUF_UNLIMITED);
        memset(buf_reserve(&url, url_len), 'u', url_len);
        buf_commit(&url, url_len);
        (void)buf_append(&member, id, (size_t)(id_end - id));
        put_field(&member, 0x12, &url);
        (void)buf_append(&metadata, tag, 1);
        put_field(&metadata, tag[1], &member);
    }
    put_field(&snapshot, 0x12, &metadata);
    int rc = decode_snapshot(buf_bytes(&snapshot));
    buf_release(&snapshot);
    return rc;
}

static void test_limit_of_urls(void **state)
{
    (void)state;
    assert_int_equal(decode_with_members(MEMBERS_MAX, 10), 0);
    assert_int_equal(decode_with_members(MEMBERS_MAX + 1, 10), ERR_MALFORMED);
    assert_int_equal(decode_with_members(2, MEMBER_URL_MAX), 0);
    assert_int_equal(decode_with_members(2, MEMBER_URL_MAX + 1), ERR_MALFORMED);
}

/* Metadata that come in pieces are joined, but not without end. */
static void test_joining_is_bounded(void **state)
{
    (void)state;
    struct buf b;
    int rc = 0;

    buf_init(&b, BUF_UNLIMITED);
    for (int i = 0; i < 8 && rc == 0; i++) {
        struct buf unknown;
        struct buf metadata;

        buf_init(&unknown, BUF_UNLIMITED);
        buf_init(&metadata, BUF_UNLIMITED);
        memset(buf_reserve(&unknown, MiB), 'x', MiB);
        buf_commit(&unknown, MiB);
        put_field(&metadata, 0x7a, &unknown);
        put_field(&b, 0x12, &metadata);
        rc = decode_snapshot(buf_bytes(&b));
        assert_int_equal(rc, i < 2 ? 0 : ERR_MALFORMED);
    }
    assert_int_equal(rc, ERR_MALFORMED);
    buf_release(&b);
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
        cmocka_unit_test(test_message_of_every_generation),
        cmocka_unit_test(test_message_oddities_that_are_legal),
        cmocka_unit_test(test_snapshot_merging_and_packed_ids),
        cmocka_unit_test(test_broken_wire_format),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_limit_of_members),
        cmocka_unit_test(test_limit_of_urls),
        cmocka_unit_test(test_joining_is_bounded),
        cmocka_unit_test(test_merging_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
