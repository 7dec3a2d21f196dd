/* Goal: both stream codings read and write the bytes of the specification,
 * whatever the cuts, and give no memory to lengths that only claim to be
 * there. Method: literal examples, round trips, recorded streams of real nodes
 * (optional), hostile and random input; every input is also fed byte by byte.
 */

#include "transport/msgcodec.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/entries.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"
#include "transport/message_check.h"

/* What a reader gave, as bytes: each message encoded again. */
struct record {
    struct buf bytes;
    size_t n;
    int fail_at; /* the callback refuses the message with this number; 0: none
                  */
    bool all_good;
};

static int on_message(void *ctx, const struct raft_message *m)
{
    struct record *rec = ctx;
    const char *reason = NULL;
    size_t size = raft_message_size(m);

    uint8_t *p = buf_reserve(&rec->bytes, size);
    assert_ptr_equal(raft_message_encode(m, p), p + size);
    buf_commit(&rec->bytes, size);
    rec->n++;
    rec->all_good &= message_check(m, m->to, &reason) == MESSAGE_GOOD;
    return rec->fail_at == (int)rec->n ? ERR_STOPPED : 0;
}

static void record_init(struct record *rec)
{
    *rec = (struct record){.all_good = true};
    buf_init(&rec->bytes, BUF_UNLIMITED);
}

static void record_release(struct record *rec)
{
    buf_release(&rec->bytes);
}

/* Feed `in` in slices of `step` bytes to a new reader, from 3 to 1. */
static int read_all(enum stream_kind kind, struct bytes in, size_t step,
                    struct record *rec, uint64_t *n_frames)
{
    struct msg_reader r;
    int rc = 0;

    msg_reader_init(&r, kind, 3, 1);
    for (size_t at = 0; at < in.len && rc == 0; at += step) {
        size_t n = in.len - at < step ? in.len - at : step;

        rc = msg_reader_feed(&r, (struct bytes){in.data + at, n}, on_message,
                             rec);
    }
    *n_frames = r.n_frames;
    msg_reader_release(&r);
    return rc;
}

/* The same result whatever the cuts; what was read is in *rec. */
static int read_however_cut(enum stream_kind kind, struct bytes in,
                            struct record *rec, uint64_t *n_frames)
{
    static const size_t STEPS[] = {1, 2, 3, 7, 8, 9, 64};
    int rc = read_all(kind, in, in.len + 1, rec, n_frames);

    for (size_t i = 0; i < ARRAY_LEN(STEPS); i++) {
        struct record other;
        uint64_t n;

        record_init(&other);
        assert_int_equal(read_all(kind, in, STEPS[i], &other, &n), rc);
        assert_int_equal(n, *n_frames);
        assert_int_equal(other.n, rec->n);
        assert_int_equal(other.bytes.len, rec->bytes.len);
        if (rec->bytes.len > 0) {
            assert_memory_equal(other.bytes.data, rec->bytes.data,
                                rec->bytes.len);
        }
        record_release(&other);
    }
    return rc;
}

/* --- the examples of the specification --- */

#define U64_0 "0000000000000000"
#define APP_1                                                                  \
    "02 0000000000000026 0803100118032002280130033a06080010021804 4003"        \
    "4a0a12080a0228001000180050005800"
#define APP_2 "01" U64_0 "0000000000000004"
#define ENTRY_5                                                                \
    "080010021805223020ff81030101026b7601ff8200010201034b6579010c00010356616c" \
    "010c0000000eff8201042f666f6f010362617200"
#define APP_3 "01 0000000000000001 0000000000000038" ENTRY_5 "0000000000000004"

static void test_msgapp_example(void **state)
{
    (void)state;
    struct record rec;
    struct raft_message m = {0};
    uint64_t n_frames;
    size_t len;
    uint8_t *in = hex_decode(APP_1 APP_2 "00" APP_3, &len);

    record_init(&rec);
    assert_int_equal(read_however_cut(STREAM_MSGAPP, (struct bytes){in, len},
                                      &rec, &n_frames),
                     0);
    assert_int_equal(n_frames, 4);
    assert_int_equal(rec.n, 3);
    assert_true(rec.all_good);

    /* The last one: everything but the entry and the commit is left out. */
    size_t size = rec.bytes.len;
    struct raft_message want = {.type = RAFT_MSG_APP,
                                .from = 3,
                                .to = 1,
                                .term = 2,
                                .log_term = 2,
                                .index = 4,
                                .commit = 4};
    size_t entry_len;
    uint8_t *entry = hex_decode(ENTRY_5, &entry_len);
    struct raft_entry *e = NULL;
    assert_int_equal(raft_entry_decode((struct bytes){entry, entry_len}, &e),
                     0);
    raft_entries_take(&want.entries, e);
    size_t want_size = raft_message_size(&want);
    uint8_t *want_bytes = xmalloc(want_size);
    raft_message_encode(&want, want_bytes);
    assert_true(size >= want_size);
    assert_memory_equal(rec.bytes.data + size - want_size, want_bytes,
                        want_size);

    raft_message_release(&m);
    raft_message_release(&want);
    xfree(want_bytes);
    xfree(entry);
    xfree(in);
    record_release(&rec);
}

/* The writer makes the same frames, but for the empty snapshot of 3.4 in the
 * whole message. */
static void test_msgapp_writer_example(void **state)
{
    (void)state;
    static const char *WANT = "02 000000000000001a 0803100118032002280130033a06"
                              "080010021804 4003 50005800" APP_2 "00" APP_3;
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .to = 1,
                             .from = 3,
                             .term = 2,
                             .log_term = 1,
                             .index = 3,
                             .commit = 3};
    struct msg_writer w;
    uint8_t out[512];
    uint8_t *p = out;
    size_t entry_len;
    uint8_t *entry = hex_decode(ENTRY_5, &entry_len);

    msg_writer_init(&w, STREAM_MSGAPP);
    struct raft_entry *e = raft_entry_new(0, (struct bytes){0});
    e->term = 2;
    e->index = 4;
    raft_entries_take(&m.entries, e);
    p = msg_writer_put(&w, &m, p);

    raft_entries_reset(&m.entries);
    m.log_term = 2;
    m.index = 4;
    m.commit = 4;
    assert_int_equal(msg_writer_size(&w, &m), 17);
    p = msg_writer_put(&w, &m, p);
    p = msg_writer_put_heartbeat(&w, p);

    assert_int_equal(raft_entry_decode((struct bytes){entry, entry_len}, &e),
                     0);
    raft_entries_take(&m.entries, e);
    p = msg_writer_put(&w, &m, p);

    size_t len;
    uint8_t *want = hex_decode(WANT, &len);
    assert_int_equal(p - out, len);
    assert_memory_equal(out, want, len);
    raft_message_release(&m);
    xfree(entry);
    xfree(want);
}

static void test_message_example(void **state)
{
    (void)state;
    static const char *IN =
        "000000000000001e080810011803200228003000 4004 4a0a12080a0228001000"
        "180050005800 000000000000000a 08081001180320024004"
        /* empty message, then the three link heartbeats */
        U64_0 "000000000000001e 0808 1000 1800 2000 2800 3000 4000"
        "4a0a12080a0228001000 1800 5000 5800"
        "0000000000000014 0808 1000 1800 2000 2800 3000 4000 5000 5800 6800"
        "0000000000000002 0808";
    struct record rec;
    uint64_t n_frames;
    size_t len;
    uint8_t *in = hex_decode(IN, &len);

    record_init(&rec);
    assert_int_equal(read_however_cut(STREAM_MESSAGE, (struct bytes){in, len},
                                      &rec, &n_frames),
                     0);
    assert_int_equal(n_frames, 6);
    assert_int_equal(rec.n, 3);
    xfree(in);
    record_release(&rec);
}

static void test_message_writer_heartbeat(void **state)
{
    (void)state;
    struct msg_writer w;
    uint8_t out[MSG_LINK_HEARTBEAT_MAX];
    struct record rec;
    uint64_t n_frames;

    msg_writer_init(&w, STREAM_MESSAGE);
    uint8_t *end = msg_writer_put_heartbeat(&w, out);
    record_init(&rec);
    assert_int_equal(read_however_cut(STREAM_MESSAGE,
                                      (struct bytes){out, (size_t)(end - out)},
                                      &rec, &n_frames),
                     0);
    assert_int_equal(n_frames, 1);
    assert_int_equal(rec.n, 0);
    record_release(&rec);
}

/* --- round trips --- */

/* A run of appends as a leader sends them: mostly going on, sometimes from
 * elsewhere, sometimes of a new term. */
static void make_append(struct rng *rng, struct raft_message *m)
{
    uint64_t n = rng_below(rng, 4);

    if (m->entries.len > 0) {
        m->index = m->entries.items[m->entries.len - 1]->index;
        m->log_term = m->entries.items[m->entries.len - 1]->term;
    }
    raft_entries_reset(&m->entries);
    if (rng_below(rng, 5) == 0) {
        m->term++;
    }
    if (rng_below(rng, 7) == 0) {
        m->index = rng_below(rng, 1000) + 1;
        m->log_term = m->term;
    }
    for (uint64_t i = 1; i <= n; i++) {
        raft_entries_take(&m->entries,
                          test_entry_sized(m->index + i, m->term,
                                           (size_t)rng_below(rng, 300)));
    }
    m->commit = m->index;
}

static void round_trip(enum stream_kind kind, uint64_t seed)
{
    struct raft_message m = {
        .type = RAFT_MSG_APP, .from = 3, .to = 1, .term = 1};
    struct record sent, got;
    struct msg_writer w;
    struct buf stream;
    struct rng rng;
    uint64_t n_frames;

    rng_seed(&rng, seed);
    record_init(&sent);
    record_init(&got);
    buf_init(&stream, BUF_UNLIMITED);
    msg_writer_init(&w, kind);
    for (int i = 0; i < 100; i++) {
        make_append(&rng, &m);
        on_message(&sent, &m);
        size_t size = msg_writer_size(&w, &m);
        uint8_t *p = buf_reserve(&stream, size + MSG_LINK_HEARTBEAT_MAX);
        uint8_t *end = msg_writer_put(&w, &m, p);
        assert_ptr_equal(end, p + size);
        end = msg_writer_put_heartbeat(&w, end);
        buf_commit(&stream, (size_t)(end - p));
    }
    assert_int_equal(
        read_however_cut(kind, buf_bytes(&stream), &got, &n_frames), 0);
    assert_int_equal(n_frames, 200);
    assert_int_equal(got.bytes.len, sent.bytes.len);
    assert_memory_equal(got.bytes.data, sent.bytes.data, sent.bytes.len);
    assert_true(got.all_good);
    raft_message_release(&m);
    buf_release(&stream);
    record_release(&sent);
    record_release(&got);
}

static void test_round_trips(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        round_trip(STREAM_MSGAPP, seed);
        round_trip(STREAM_MESSAGE, seed);
    }
}

/* --- refusals --- */

static void test_refused_input(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum stream_kind kind;
        const char *hex;
        int rc;
    } CASES[] = {
        {"message over 512 MiB", STREAM_MESSAGE, "0000000020000001",
         ERR_TOO_LARGE},
        {"message of 2^64-1", STREAM_MESSAGE, "ffffffffffffffff",
         ERR_TOO_LARGE},
        {"undecodable message", STREAM_MESSAGE, "0000000000000002 ffff",
         ERR_MALFORMED},
        {"message cut inside a field", STREAM_MESSAGE,
         "0000000000000003 08034a", ERR_MALFORMED},
        {"frame type 3", STREAM_MSGAPP, "03", ERR_MALFORMED},
        {"frame type 255", STREAM_MSGAPP, "00 ff", ERR_MALFORMED},
        {"one entry too many", STREAM_MSGAPP, "01 00000000000f4241",
         ERR_TOO_LARGE},
        {"2^64-1 entries", STREAM_MSGAPP, "01 ffffffffffffffff", ERR_TOO_LARGE},
        {"entry of 2^63", STREAM_MSGAPP, "01 0000000000000001 8000000000000000",
         ERR_TOO_LARGE},
        {"entry of 512 MiB", STREAM_MSGAPP,
         "01 0000000000000001 0000000020000000", ERR_TOO_LARGE},
        {"whole message over 512 MiB", STREAM_MSGAPP, "02 0000000020000001",
         ERR_TOO_LARGE},
        {"undecodable entry", STREAM_MSGAPP,
         "01 0000000000000001 0000000000000001 ff", ERR_MALFORMED},
        {"empty entry", STREAM_MSGAPP, "01 00000000000f4240 0000000000000000",
         ERR_MALFORMED},
        {"gap behind the last frame", STREAM_MSGAPP,
         APP_1 "01 0000000000000001 0000000000000006 080010021806" U64_0,
         ERR_MALFORMED},
        {"gap inside the frame", STREAM_MSGAPP,
         APP_1 "01 0000000000000002 0000000000000006 080010021805"
               "0000000000000006 080010021805" U64_0,
         ERR_MALFORMED},
        {"index overflow", STREAM_MSGAPP,
         "02 000000000000000f 08032002 30ffffffffffffffffff01"
         "01 0000000000000001 0000000000000006 080010021800",
         ERR_MALFORMED},
        {"HTTP answer", STREAM_MESSAGE, "485454502f312e3120323030204f4b0d0a",
         ERR_TOO_LARGE},
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct record rec;
        uint64_t n_frames;
        size_t len;
        uint8_t *in = hex_decode(CASES[i].hex, &len);

        record_init(&rec);
        int rc = read_however_cut(CASES[i].kind, (struct bytes){in, len}, &rec,
                                  &n_frames);
        if (rc != CASES[i].rc) {
            fail_msg("%s: %s", CASES[i].name, err_str(rc));
        }
        record_release(&rec);
        xfree(in);
    }
}

/* A length alone takes nothing: the buffer follows the bytes. */
static void test_memory_follows_bytes(void **state)
{
    (void)state;
    static const uint8_t HEAD[] = {0, 0, 0, 0, 0x20, 0, 0, 0}; /* 512 MiB */
    struct msg_reader r;
    struct record rec;
    uint8_t piece[1000] = {0};
    size_t fed = 0;

    record_init(&rec);
    msg_reader_init(&r, STREAM_MESSAGE, 3, 1);
    assert_int_equal(msg_reader_feed(&r, (struct bytes){HEAD, sizeof(HEAD)},
                                     on_message, &rec),
                     0);
    assert_int_equal(r.item.cap, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(msg_reader_feed(&r,
                                         (struct bytes){piece, sizeof(piece)},
                                         on_message, &rec),
                         0);
        fed += sizeof(piece);
        assert_true(r.item.cap <= 2 * fed + 64);
    }
    assert_int_equal(rec.n, 0);
    msg_reader_release(&r);
    record_release(&rec);
}

/* After a message of 4 MiB the reader does not sit on its memory. */
static void test_large_item_is_given_back(void **state)
{
    (void)state;
    struct raft_message m = {
        .type = RAFT_MSG_APP, .from = 3, .to = 1, .term = 1, .index = 1};
    struct msg_writer w;
    struct msg_reader r;
    struct record rec;

    raft_entries_take(&m.entries, test_entry_sized(2, 1, 4 * MiB));
    msg_writer_init(&w, STREAM_MESSAGE);
    size_t size = msg_writer_size(&w, &m);
    uint8_t *bytes = xmalloc(size);
    msg_writer_put(&w, &m, bytes);

    record_init(&rec);
    msg_reader_init(&r, STREAM_MESSAGE, 3, 1);
    for (size_t at = 0; at < size; at += 64 * KiB) {
        size_t n = size - at < 64 * KiB ? size - at : 64 * KiB;
        assert_int_equal(msg_reader_feed(&r, (struct bytes){bytes + at, n},
                                         on_message, &rec),
                         0);
    }
    assert_int_equal(rec.n, 1);
    assert_int_equal(r.item.cap, 0);
    msg_reader_release(&r);
    record_release(&rec);
    raft_message_release(&m);
    xfree(bytes);
}

static void test_callback_stops_feeding(void **state)
{
    (void)state;
    struct record rec;
    uint64_t n_frames;
    size_t len;
    uint8_t *in = hex_decode(APP_1 APP_2 APP_2 APP_3, &len);

    record_init(&rec);
    rec.fail_at = 2;
    assert_int_equal(
        read_all(STREAM_MSGAPP, (struct bytes){in, len}, len, &rec, &n_frames),
        ERR_STOPPED);
    assert_int_equal(rec.n, 2);
    record_release(&rec);
    xfree(in);
}

/* Random bytes behind each frame type: any verdict, the same for every cut. */
static void test_garbage(void **state)
{
    (void)state;
    struct rng rng;

    rng_seed(&rng, 11);
    for (int round = 0; round < 2000; round++) {
        uint8_t in[96];
        struct record rec;
        uint64_t n_frames;
        size_t len = (size_t)rng_below(&rng, sizeof(in)) + 1;

        for (size_t i = 0; i < len; i++) {
            /* Many small values, so that lengths are often plausible. */
            in[i] = (uint8_t)(rng_below(&rng, 2) ? rng_below(&rng, 4)
                                                 : rng_next(&rng));
        }
        memset(in, 0, len < 7 ? len : 7 * (size_t)rng_below(&rng, 2));
        record_init(&rec);
        (void)read_however_cut((enum stream_kind)(round & 1),
                               (struct bytes){in, len}, &rec, &n_frames);
        record_release(&rec);
    }
}

/* --- streams recorded between real nodes --- */

/* The bytes that the listener sent, from a file of the samples. True if the
 * recording is complete, false if it was cut to a handy size. */
static bool load_answer(FILE *f, struct buf *out)
{
    char line[256];
    bool answer = false;
    bool complete = true;

    while (fgets(line, sizeof(line), f) != NULL) {
        if (line[0] != ' ') {
            answer = strncmp(line, "<<<", 3) == 0;
            complete = strncmp(line, "... cut", 7) != 0;
        } else if (answer) {
            size_t len;

            line[strcspn(line, "\n")] = '\0';
            uint8_t *bytes = hex_decode(line, &len);
            assert_int_equal(buf_append(out, bytes, len), 0);
            xfree(bytes);
        }
    }
    return complete;
}

/* Drop the head of the answer and the framing of its chunks. */
static void dechunk(struct buf *raw, struct buf *out)
{
    char *p = strstr(buf_cstr(raw), "\r\n\r\n");

    assert_non_null(p);
    const char *end = (const char *)raw->data + raw->len;
    for (p += 4; p < end;) {
        size_t len = strtoul(p, &p, 16);

        assert_memory_equal(p, "\r\n", 2);
        if (len == 0) {
            return;
        }
        assert_true((size_t)(end - p) >= len + 4);
        assert_int_equal(buf_append(out, p + 2, len), 0);
        p += 2 + len + 2;
    }
}

/* The number of frames that the decoded listing beside it tells. */
static uint64_t listed_frames(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[4096];
    uint64_t n = 0;
    bool at_start = true;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        const char *after = line[0] == '[' ? strstr(line, "ms]   ") : NULL;
        unsigned long more;

        if (at_start && after != NULL) {
            n++;
        } else if (at_start && sscanf(line, " ... %lu more frames", &more)) {
            n += more;
        }
        at_start = strchr(line, '\n') != NULL;
    }
    fclose(f);
    return n;
}

static bool check_recorded(const char *version, const char *name,
                           enum stream_kind kind)
{
    char *stem = xasprintf("spec/samples/rafthttp/%s/%s", version, name);
    char *relative_hex = xasprintf("%s.hex", stem);
    char *relative_txt = xasprintf("%s.txt", stem);
    char *hex = shared_path(relative_hex);
    char *txt = shared_path(relative_txt);
    FILE *f = fopen(hex, "r");
    bool there = f != NULL;

    if (there) {
        struct buf raw, body;
        struct record rec;
        uint64_t n_frames;

        buf_init(&raw, BUF_UNLIMITED);
        buf_init(&body, BUF_UNLIMITED);
        record_init(&rec);
        bool complete = load_answer(f, &raw);
        dechunk(&raw, &body);
        assert_int_equal(
            read_however_cut(kind, buf_bytes(&body), &rec, &n_frames), 0);
        if (complete) {
            assert_int_equal(n_frames, listed_frames(txt));
        }
        assert_true(n_frames > 0);
        assert_true(rec.all_good);
        record_release(&rec);
        buf_release(&raw);
        buf_release(&body);
        fclose(f);
    }
    xfree(stem);
    xfree(relative_hex);
    xfree(relative_txt);
    xfree(hex);
    xfree(txt);
    return there;
}

static void test_recorded_streams(void **state)
{
    (void)state;
    static const char *VERSIONS[] = {"3.4.23", "newest"};
    static const struct {
        const char *name;
        enum stream_kind kind;
    } STREAMS[] = {
        {"1-msgapp-from-leader", STREAM_MSGAPP},
        {"2-message-from-leader", STREAM_MESSAGE},
        {"3-message-from-follower", STREAM_MESSAGE},
        {"4-msgapp-from-follower", STREAM_MSGAPP},
        {"6-msgapp-from-leader-to-joined-node", STREAM_MSGAPP},
        {"7-message-from-joined-node", STREAM_MESSAGE},
    };

    for (size_t v = 0; v < ARRAY_LEN(VERSIONS); v++) {
        for (size_t i = 0; i < ARRAY_LEN(STREAMS); i++) {
            if (!check_recorded(VERSIONS[v], STREAMS[i].name,
                                STREAMS[i].kind)) {
                print_message("skipped: no recorded stream %s/%s\n",
                              VERSIONS[v], STREAMS[i].name);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msgapp_example),
        cmocka_unit_test(test_msgapp_writer_example),
        cmocka_unit_test(test_message_example),
        cmocka_unit_test(test_message_writer_heartbeat),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_refused_input),
        cmocka_unit_test(test_memory_follows_bytes),
        cmocka_unit_test(test_large_item_is_given_back),
        cmocka_unit_test(test_callback_stops_feeding),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_recorded_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
