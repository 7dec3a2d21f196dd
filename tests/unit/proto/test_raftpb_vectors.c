/* Goal: bytes recorded from etcd are read, and written again as the same bytes
 * wherever our profile is that of etcd 3.4; bytes that nobody wrote never do
 * harm. Method: every vector is decoded and encoded again. Broken variants of
 * the vectors go the same way: what is accepted must be stable. */

#include "proto/raftpb.h"
#include "proto/snappb.h"
#include "proto/walpb.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"

/* Decode `in` and append what is encoded from that; the decoder's error. */
typedef int reencode_fn(struct bytes in, struct buf *out);

static int reencode_entry(struct bytes in, struct buf *out)
{
    struct raft_entry *e;
    int rc = raft_entry_decode(in, &e);

    if (rc < 0) {
        return rc;
    }
    size_t size = raft_entry_size(e);
    uint8_t *p = buf_reserve(out, size);
    assert_ptr_equal(raft_entry_encode(e, p), p + size);
    buf_commit(out, size);
    raft_entry_unref(e);
    return 0;
}

static int reencode_hard_state(struct bytes in, struct buf *out)
{
    struct hard_state hs;
    int rc = hard_state_decode(in, &hs);

    if (rc < 0) {
        return rc;
    }
    size_t size = hard_state_size(&hs);
    uint8_t *p = buf_reserve(out, size);
    assert_true(size <= HARD_STATE_SIZE_MAX);
    assert_ptr_equal(hard_state_encode(&hs, p), p + size);
    buf_commit(out, size);
    return 0;
}

static int reencode_conf_change(struct bytes in, struct buf *out)
{
    struct conf_change cc;
    int rc = conf_change_decode(in, &cc);

    return rc < 0 ? rc : conf_change_encode(&cc, out);
}

static int reencode_conf_change_v2(struct bytes in, struct buf *out)
{
    struct conf_change_v2 cc;
    int rc = conf_change_v2_decode(in, &cc);

    if (rc == 0) {
        rc = conf_change_v2_encode(&cc, out);
    }
    conf_change_v2_release(&cc);
    return rc;
}

static void snapshot_append(const struct raft_snapshot *s, struct buf *out)
{
    size_t size = raft_snapshot_size(s);
    uint8_t *p = buf_reserve(out, size);

    assert_ptr_equal(raft_snapshot_encode(s, p), p + size);
    buf_commit(out, size);
}

static int reencode_snapshot(struct bytes in, struct buf *out)
{
    struct raft_snapshot *s;
    int rc = raft_snapshot_decode(in, &s);

    if (rc < 0) {
        return rc;
    }
    snapshot_append(s, out);
    raft_snapshot_unref(s);
    return 0;
}

/* Field `tag` with the bytes of `in`. */
static void put_field(struct buf *out, uint8_t tag, struct bytes in)
{
    uint8_t head[11] = {tag};
    uint8_t *end = pb_put_varint(head + 1, in.len);

    (void)buf_append(out, head, (size_t)(end - head));
    (void)buf_append(out, in.data, in.len);
}

/* Messages without a decoder of their own are read inside the smallest message
 * that has one. */
static int reencode_metadata(struct bytes in, struct buf *out)
{
    struct buf wrapped;
    size_t start = out->len;

    buf_init(&wrapped, BUF_UNLIMITED);
    put_field(&wrapped, 0x12, in);
    int rc = reencode_snapshot(buf_bytes(&wrapped), out);
    if (rc == 0) {
        /* Off with the tag and length again. */
        size_t head = 2;
        while (out->data[start + head - 1] >= 0x80) {
            head++;
        }
        out->len -= head;
        memmove(out->data + start, out->data + start + head, out->len - start);
    }
    buf_release(&wrapped);
    return rc;
}

static int reencode_conf_state(struct bytes in, struct buf *out)
{
    struct raft_snapshot *s = NULL;
    struct buf metadata;
    struct buf snapshot;

    buf_init(&metadata, BUF_UNLIMITED);
    buf_init(&snapshot, BUF_UNLIMITED);
    put_field(&metadata, 0x0a, in);
    put_field(&snapshot, 0x12, buf_bytes(&metadata));
    int rc = raft_snapshot_decode(buf_bytes(&snapshot), &s);
    if (rc == 0) {
        size_t size = conf_state_size(&s->conf_state);
        uint8_t *p = buf_reserve(out, size);
        assert_ptr_equal(conf_state_encode(&s->conf_state, p), p + size);
        buf_commit(out, size);
    }
    raft_snapshot_unref(s);
    buf_release(&metadata);
    buf_release(&snapshot);
    return rc;
}

static int reencode_conf_change_single(struct bytes in, struct buf *out)
{
    struct conf_change_v2 cc;
    struct buf wrapped;

    buf_init(&wrapped, BUF_UNLIMITED);
    put_field(&wrapped, 0x12, in);
    int rc = conf_change_v2_decode(buf_bytes(&wrapped), &cc);
    if (rc == 0) {
        size_t start = out->len;
        rc = conf_change_v2_encode(&cc, out);
        /* Transition, tag and length go. */
        out->len -= 4;
        memmove(out->data + start, out->data + start + 4, out->len - start);
    }
    conf_change_v2_release(&cc);
    buf_release(&wrapped);
    return rc;
}

static int reencode_message(struct bytes in, struct buf *out)
{
    struct raft_message m;
    int rc = raft_message_decode(in, &m);

    if (rc < 0) {
        return rc;
    }
    size_t size = raft_message_size(&m);
    uint8_t *p = buf_reserve(out, size);
    assert_ptr_equal(raft_message_encode(&m, p), p + size);
    buf_commit(out, size);
    raft_message_release(&m);
    return 0;
}

static int reencode_record(struct bytes in, struct buf *out)
{
    struct walpb_record rec;
    int rc = walpb_record_decode(in, &rec);

    if (rc < 0) {
        return rc;
    }
    bool has_data = rec.data.data != NULL;
    size_t size = walpb_record_size(rec.type, rec.crc, has_data, rec.data.len);
    uint8_t *p = buf_reserve(out, size);
    uint8_t *end =
        walpb_record_encode_head(p, rec.type, rec.crc, has_data, rec.data.len);
    assert_ptr_equal(end + rec.data.len, p + size);
    buf_commit(out, (size_t)(end - p));
    return buf_append(out, rec.data.data, rec.data.len);
}

static int reencode_marker(struct bytes in, struct buf *out)
{
    struct walpb_snapshot s;
    int rc = walpb_snapshot_decode(in, &s);

    if (rc < 0) {
        return rc;
    }
    size_t size = walpb_snapshot_size(&s);
    uint8_t *p = buf_reserve(out, size);
    assert_ptr_equal(walpb_snapshot_encode(&s, p), p + size);
    buf_commit(out, size);
    return 0;
}

static int reencode_wrapper(struct bytes in, struct buf *out)
{
    struct snappb_snapshot s;
    int rc = snappb_decode(in, &s);

    if (rc < 0) {
        return rc;
    }
    uint8_t head[SNAPPB_HEAD_MAX];
    uint8_t *end = snappb_head_encode(head, s.crc, s.data.len);
    (void)buf_append(out, head, (size_t)(end - head));
    return buf_append(out, s.data.data, s.data.len);
}

static const struct {
    const char *type;
    reencode_fn *reencode;
} TYPES[] = {
    {"raftpb.Entry", reencode_entry},
    {"raftpb.HardState", reencode_hard_state},
    {"raftpb.ConfChange", reencode_conf_change},
    {"raftpb.ConfChangeV2", reencode_conf_change_v2},
    {"raftpb.ConfChangeSingle", reencode_conf_change_single},
    {"raftpb.ConfState", reencode_conf_state},
    {"raftpb.SnapshotMetadata", reencode_metadata},
    {"raftpb.Snapshot", reencode_snapshot},
    {"raftpb.Message", reencode_message},
    {"walpb.Record", reencode_record},
    {"walpb.Snapshot", reencode_marker},
    {"snappb.Snapshot", reencode_wrapper},
};

static reencode_fn *reencode_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        if (strcmp(TYPES[i].type, type) == 0) {
            return TYPES[i].reencode;
        }
    }
    fail_msg("no codec for %s", type);
    return NULL;
}

/* What is written is read again as the same. */
static void check_stable(reencode_fn *reencode, struct bytes written)
{
    struct buf again;

    buf_init(&again, BUF_UNLIMITED);
    assert_int_equal(reencode(written, &again), 0);
    assert_int_equal(again.len, written.len);
    if (written.len > 0) {
        assert_memory_equal(again.data, written.data, written.len);
    }
    buf_release(&again);
}

/* `want` NULL: any stable encoding. */
static void check_vector(const char *name, const char *type, const char *hex,
                         const char *want)
{
    reencode_fn *reencode = reencode_of(type);
    size_t len;
    uint8_t *in = hex_decode(hex, &len);
    struct buf out;

    print_message("  %s %s\n", type, name);
    buf_init(&out, BUF_UNLIMITED);
    assert_int_equal(reencode((struct bytes){in, len}, &out), 0);
    check_stable(reencode, buf_bytes(&out));
    if (want != NULL) {
        char *got = hex_encode(buf_bytes(&out));
        assert_string_equal(got, want);
        xfree(got);
    }
    buf_release(&out);
    xfree(in);
}

/* --- vectors kept here --- */

static const struct {
    const char *name;
    const char *type;
    const char *hex;
    const char *want; /* NULL: the same */
} VECTORS[] = {
    {"zero", "raftpb.Entry", "080010001800", NULL},
    {"leader's empty entry", "raftpb.Entry", "080010021804", NULL},
    {"the same of 3.7", "raftpb.Entry", "10021804", "080010021804"},
    {"empty data", "raftpb.Entry", "0800100218052200", NULL},
    {"data", "raftpb.Entry", "0800100218ac022203616263", NULL},
    {"largest numbers", "raftpb.Entry",
     "080010ffffffffffffffffff0118ffffffffffffffffff01", NULL},
    {"bootstrap", "raftpb.Entry", "0801100118012206080010001801", NULL},
    {"bootstrap", "raftpb.ConfChange", "080010001801", NULL},
    {"add with a URL", "raftpb.ConfChange",
     "0801100018042216687474703a2f2f3132372e302e302e313a3432333739", NULL},
    {"add with an empty URL", "raftpb.ConfChange", "0801100018042200", NULL},
    {"leave joint", "raftpb.ConfChangeV2", "0800", NULL},
    {"leave joint, newer", "raftpb.ConfChangeV2", "", "0800"},
    {"joint", "raftpb.ConfChangeV2", "08021204080010041204080110031a0178",
     NULL},
    {"single", "raftpb.ConfChangeSingle", "08001000", NULL},
    {"empty", "raftpb.ConfState", "2800", NULL},
    {"three voters", "raftpb.ConfState", "0801080208032800", NULL},
    {"joint", "raftpb.ConfState", "0801080208041005100618011802180320032801",
     NULL},
    {"largest id", "raftpb.ConfState", "08ffffffffffffffffff012800", NULL},
    {"term, vote, commit", "raftpb.HardState", "080210011807", NULL},
    {"no vote", "raftpb.HardState", "080210001807", NULL},
    {"nothing", "raftpb.HardState", "", "080010001800"},
    {"zero", "raftpb.SnapshotMetadata", "0a02280010001800", NULL},
    {"data and voters", "raftpb.Snapshot",
     "0a0a7b222f61223a2262227d120e0a08080108020803280010081802", NULL},
    {"with members", "raftpb.Snapshot",
     "121b0a04080128001008"
     "1802ca3e050801120161ca3e0608ac02120162",
     NULL},
    {"link heartbeat, 3.4", "raftpb.Message",
     "08081000180020002800300040004a0a12080a0228001000180050005800",
     "080810001800200028003000400050005800"},
    {"link heartbeat, 3.6", "raftpb.Message",
     "0808100018002000280030004000500058006800",
     "080810001800200028003000400050005800"},
    {"link heartbeat, 3.7", "raftpb.Message", "0808",
     "080810001800200028003000400050005800"},
    {"heartbeat with context", "raftpb.Message",
     "08081002180120022800300040074a0a12080a02280010001800500058006208010203040"
     "5"
     "060708",
     "080810021801200228003000400750005800620801020304"
     "05060708"},
    {"app", "raftpb.Message",
     "0803100218012002280130033a0608001002180440034a0a12080a0228001000180050005"
     "800",
     "0803100218012002280130033a06080010021804400350005800"},
    {"snap", "raftpb.Message",
     "080710041801200228003000"
     "40004a1c0a0a7b222f61223a2262227d120e0a080801080208032800100818025000"
     "5800",
     NULL},
    {"first of a segment", "walpb.Record", "08041000", NULL},
    {"entry", "walpb.Record",
     "080210f2a8d1e90b1a0e0801100118012206080010001801", NULL},
    {"marker", "walpb.Snapshot", "08081002", NULL},
    {"marker of 3.5", "walpb.Snapshot", "080810021a080801080208032800",
     "08081002"},
    {"small", "snappb.Snapshot", "08f8acd191011202aabb", NULL},
};

static void test_known_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(VECTORS); i++) {
        const char *want = VECTORS[i].want;

        check_vector(VECTORS[i].name, VECTORS[i].type, VECTORS[i].hex,
                     want == NULL ? VECTORS[i].hex : want);
    }
}

/* --- vectors of the shared directory --- */

/* Remove the first `part` from `hex` if it stands at a whole byte. */
static void cut_out(char *hex, const char *part)
{
    for (char *at = hex; (at = strstr(at, part)) != NULL; at++) {
        if ((at - hex) % 2 == 0) {
            memmove(at, at + strlen(part), strlen(at + strlen(part)) + 1);
            return;
        }
    }
}

static void check_file(const char *relative, void (*to_profile)(char *hex))
{
    struct jsonl *j = jsonl_open_shared(relative);

    if (j == NULL) {
        return;
    }
    while (jsonl_next(j)) {
        const char *type = jsonl_get(j, "type");
        const char *hex = jsonl_get(j, "hex");
        const char *name = jsonl_get(j, "name");
        char *want = to_profile == NULL ? NULL : xstrdup(hex);

        if (name == NULL) {
            name = jsonl_get(j, "message");
        }
        if (want != NULL && strcmp(type, "raftpb.Message") == 0) {
            to_profile(want);
        }
        check_vector(name, type, hex, want);
        xfree(want);
    }
    assert_true(jsonl_line(j) > 0);
    jsonl_close(j);
}

/* Ours differs in the empty snapshot only. */
static void profile_of_3_4(char *hex)
{
    cut_out(hex, "4a0a12080a02280010001800");
}

static void test_vectors_of_3_4(void **state)
{
    (void)state;
    check_file("spec/samples/protobuf-vectors-3.4.23.jsonl", profile_of_3_4);
}

/* Field 13 is not ours, nor what may stand behind it. */
static void profile_of_3_6(char *hex)
{
    char *vote = strstr(hex, "50005800");

    if (vote != NULL) {
        vote[strlen("50005800")] = '\0';
    }
}

static void test_vectors_of_3_6(void **state)
{
    (void)state;
    check_file("spec/samples/protobuf-vectors-3.6.jsonl", profile_of_3_6);
}

static void test_messages_observed(void **state)
{
    (void)state;
    check_file("spec/samples/messages-observed-3.4.23.jsonl", profile_of_3_4);
    check_file("spec/samples/messages-observed-newest.jsonl", NULL);
}

/* --- bytes that nobody wrote --- */

/* Change `in` (room for one byte more) in one way. */
static size_t mutate(struct rng *r, uint8_t *in, size_t len)
{
    size_t at = len == 0 ? 0 : rng_below(r, len);

    switch (rng_below(r, 4)) {
    case 0:
        return at;
    case 1:
        memmove(in + at + 1, in + at, len - at);
        in[at] = (uint8_t)rng_next(r);
        return len + 1;
    case 2:
        if (len > 0) {
            in[at] ^= (uint8_t)(1u << rng_below(r, 8));
        }
        return len;
    default:
        if (len > 0) {
            in[at] = (uint8_t)rng_next(r);
        }
        return len;
    }
}

/* An exact copy on the heap, so that a sanitizer sees each byte read beyond. */
static void try_bytes(reencode_fn *reencode, const uint8_t *p, size_t len)
{
    uint8_t *exact = xmemdup(p, len);
    struct buf out;

    buf_init(&out, BUF_UNLIMITED);
    int rc = reencode((struct bytes){exact, len}, &out);
    if (rc == 0) {
        check_stable(reencode, buf_bytes(&out));
    } else {
        assert_int_equal(rc, ERR_MALFORMED);
    }
    buf_release(&out);
    xfree(exact);
}

static void test_mutated_vectors(void **state)
{
    (void)state;
    struct rng r;

    rng_seed(&r, 7);
    for (size_t i = 0; i < ARRAY_LEN(VECTORS); i++) {
        reencode_fn *reencode = reencode_of(VECTORS[i].type);
        size_t len;
        uint8_t *in = hex_decode(VECTORS[i].hex, &len);

        for (int n = 0; n < 400; n++) {
            uint8_t copy[160];
            size_t copy_len = len;

            assert_true(len + 3 <= sizeof(copy));
            memcpy(copy, in, len);
            for (uint64_t k = 1 + rng_below(&r, 3); k > 0; k--) {
                copy_len = mutate(&r, copy, copy_len);
            }
            try_bytes(reencode, copy, copy_len);
        }
        xfree(in);
    }
}

static void test_random_bytes(void **state)
{
    (void)state;
    struct rng r;

    rng_seed(&r, 8);
    for (int n = 0; n < 20000; n++) {
        uint8_t garbage[48];
        size_t len = rng_below(&r, sizeof(garbage) + 1);

        for (size_t i = 0; i < len; i++) {
            /* Small bytes are tags and lengths that lead somewhere. */
            uint64_t x = rng_next(&r);
            garbage[i] = (uint8_t)(x & 0x100 ? x & 0x1f : x);
        }
        try_bytes(TYPES[rng_below(&r, ARRAY_LEN(TYPES))].reencode, garbage,
                  len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_vectors),
        cmocka_unit_test(test_vectors_of_3_4),
        cmocka_unit_test(test_vectors_of_3_6),
        cmocka_unit_test(test_messages_observed),
        cmocka_unit_test(test_mutated_vectors),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
