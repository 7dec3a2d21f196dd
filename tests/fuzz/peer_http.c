/* Goal: whatever bytes come over the peer port, or as the answer of a peer that
 * we dialed, in whatever pieces: requests get one answer each, in their order,
 * only messages that the door lets in reach the handler, bounds hold, and an
 * error closes the connection. Method: the input goes through the shipped
 * transport over a libuv without sockets. The first byte chooses:
 *
 *   0 mod 3  a request, whole and in pieces: the same answers and messages
 *   1 mod 3  a request, to a peer that takes few bytes, while we send, too
 *   2 mod 3  the answer to the stream that we ask a peer for
 */

#include "transport/transport.h"

#include "src/base/alloc.h"
#include "tests/fuzz/lib/fuzz.h"
#include "tests/fuzz/lib/http_wire.h"
#include "transport/message_check.h"

#define SELF 1
#define PEER 2
#define GONE 3 /* was removed */
#define NEWS 7 /* may say where it is */

struct run {
    struct wire w;
    struct transport *t;
    struct buf received; /* each message, encoded */
    size_t n_received;
};

static int on_process(void *ctx, const struct raft_message *m)
{
    struct run *r = ctx;
    const char *reason = NULL;
    size_t size = raft_message_size(m);
    uint8_t *p = buf_reserve(&r->received, size);

    ASSERT(message_check(m, SELF, &reason) == MESSAGE_GOOD);
    ASSERT(raft_message_encode(m, p) == p + size);
    buf_commit(&r->received, size);
    r->n_received++;
    return m->term == 7 ? ERR_STOPPED : 0;
}

static void on_unreachable(void *ctx, uint64_t id)
{
    (void)ctx;
    ASSERT(id == PEER || id == NEWS);
}

static void on_snapshot(void *ctx, uint64_t id, bool ok)
{
    (void)ctx;
    (void)ok;
    ASSERT(id == PEER);
}

static bool on_is_removed(void *ctx, uint64_t id)
{
    (void)ctx;
    return id == GONE;
}

static void on_told(void *ctx, uint64_t told_by)
{
    (void)ctx;
    ASSERT(told_by == PEER);
}

static const char *on_own_url(void *ctx)
{
    (void)ctx;
    return "http://192.0.2.1:80";
}

static int on_page(void *ctx, struct bytes path, struct buf *body,
                   const char **content_type)
{
    (void)ctx;
    (void)content_type;
    fuzz_use(path);
    return buf_append_str(body, "#page#") == 0 && path.len == 7 ? 200 : 404;
}

static void run_open(struct run *r)
{
    struct transport_options o = {
        .id = SELF,
        .cluster_id = 0x1000,
        .listen = {"127.0.0.1", 1},
        .seed = 1,
        .handler = {r, on_process, on_unreachable, on_snapshot, on_is_removed,
                    on_told, on_told, on_own_url, on_page},
    };

    memset(r, 0, sizeof(*r));
    wire_init(&r->w);
    buf_init(&r->received, BUF_UNLIMITED);
    o.net = r->w.net;
    ASSERT(transport_open(&o, &r->t, NULL) == 0);
}

static void run_close(struct run *r)
{
    transport_close(r->t, NULL, NULL);
    wire_release(&r->w);
    buf_release(&r->received);
}

static void add_peer(struct run *r)
{
    ASSERT(transport_add_peer(r->t, PEER, "http://192.0.2.2:80") == 0);
}

static void turns(struct run *r, int n, uint64_t ms)
{
    for (int i = 0; i < n; i++) {
        transport_tick(r->t);
        wire_turn(&r->w, ms);
    }
}

/* A stream's answer has no length and does not end: what follows it is not
 * answers. */
static void check_answers(const struct run *r)
{
    struct bytes got = buf_bytes(&r->w.end.got);
    struct wire_answer a;

    while (wire_next_answer(&got, &a)) {
        fuzz_use(a.body);
        if (a.status == 200 && a.body.len == 0 && got.len > 0 &&
            got.data[0] != 'H') {
            return;
        }
        if (a.status != 100 && a.close) {
            ASSERT(got.len == 0);
            ASSERT(r->w.end.room == 0 || r->w.end.fin ||
                   r->w.end.handle == NULL);
        }
    }
}

static void try_request(struct bytes in, struct bytes cuts, struct run *r)
{
    run_open(r);
    fake_uv_dial(&r->w.end, SIZE_MAX);
    add_peer(r);
    wire_feed(&r->w, in, cuts, 0);
    fake_uv_end_input(&r->w.end, UV_EOF);
    wire_turn(&r->w, 0);
    wire_turn(&r->w, 0);
    check_answers(r);
}

static void try_cuts(struct bytes in, struct bytes cuts)
{
    struct run whole;
    struct buf got;
    struct buf received;
    struct run cut;

    try_request(in, (struct bytes){0}, &whole);
    got = whole.w.end.got;
    received = whole.received;
    buf_init(&whole.w.end.got, BUF_UNLIMITED);
    buf_init(&whole.received, BUF_UNLIMITED);
    run_close(&whole);
    try_request(in, cuts, &cut);
    ASSERT(fuzz_equal(buf_bytes(&cut.w.end.got), buf_bytes(&got)));
    ASSERT(fuzz_equal(buf_bytes(&cut.received), buf_bytes(&received)));
    run_close(&cut);
    buf_release(&got);
    buf_release(&received);
}

static void send_something(struct run *r)
{
    struct raft_message m[] = {
        {.type = RAFT_MSG_HEARTBEAT, .to = PEER, .from = SELF, .term = 1},
        {.type = RAFT_MSG_APP, .to = PEER, .from = SELF, .term = 1},
        {.type = RAFT_MSG_HEARTBEAT, .to = NEWS, .from = SELF, .term = 1},
        {.type = RAFT_MSG_HEARTBEAT, .to = GONE, .from = SELF, .term = 1},
        {.type = RAFT_MSG_HEARTBEAT, .to = SELF, .from = SELF, .term = 1},
    };

    transport_send(r->t, m, ARRAY_LEN(m));
}

static void try_slow(struct bytes in, struct bytes cuts, uint8_t how)
{
    struct run r;

    run_open(&r);
    fake_uv_dial(&r.w.end, (size_t)how * 8);
    add_peer(&r);
    wire_feed(&r.w, in, cuts, how % 4u * 100);
    send_something(&r);
    turns(&r, 2, how % 2 == 0 ? 100 : 3000);
    r.w.end.room += how;
    if (how % 8 == 7) {
        transport_remove_peer(r.t, PEER);
    }
    fake_uv_end_input(&r.w.end, how % 3 == 0 ? UV_ECONNRESET : UV_EOF);
    turns(&r, 2, 100);
    check_answers(&r);
    run_close(&r);
}

/* A peer is dialed for each of its two streams; the first has this answer. */
static void try_answer(struct bytes in, struct bytes cuts, uint8_t how)
{
    struct run r;

    run_open(&r);
    fake_uv_expect(&r.w.end, SIZE_MAX);
    add_peer(&r);
    turns(&r, 2, 1);
    if (r.w.end.handle != NULL) {
        wire_feed(&r.w, in, cuts, 1);
        send_something(&r);
        fake_uv_end_input(&r.w.end, how % 2 == 0 ? UV_EOF : UV_ECONNRESET);
    }
    turns(&r, 2, 100);
    run_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};
    uint8_t mode = fuzz_byte(&in);
    struct bytes cuts = fuzz_take(&in, 3);
    struct bytes rest = {in.p, in.left};

    switch (mode % 3) {
    case 0:
        try_cuts(rest, cuts);
        break;
    case 1:
        try_slow(rest, cuts, mode / 3);
        break;
    default:
        try_answer(rest, cuts, mode / 3);
        break;
    }
    return 0;
}
