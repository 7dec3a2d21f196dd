/* Goal: whatever bytes come to the client port, in whatever pieces: one answer
 * per request, in their order; bounds hold; after an error the connection
 * closes. Method: the input goes through the shipped listener, connection and
 * API over a libuv without sockets. The first byte chooses:
 *
 *   even  it is given at once and answered at once; then to another connection
 *         in pieces: the same answers, byte for byte
 *   odd   in pieces, to a client that takes few bytes; answers come late and
 *         not in order; time passes
 */

#include "httpapi/httpapi.h"

#include "src/base/alloc.h"
#include "tests/fuzz/lib/fuzz.h"
#include "tests/fuzz/lib/http_wire.h"

#define VALUE_MAX 64
#define HELD_MAX  8

struct backend {
    bool hold;
    unsigned n_calls;    /* so far: the number is in the value of a get */
    unsigned n_answered; /* of these */
    struct {
        struct httpapi_call *call;
        unsigned number;
        bool get;
    } held[HELD_MAX];
    size_t n_held;
};

static void answer(struct backend *b, struct httpapi_call *call,
                   unsigned number, bool get)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "#%u#", number);

    b->n_answered++;
    httpapi_complete(
        call, 0, (struct bytes){(const uint8_t *)text, get ? (size_t)n : 0});
}

/* Answer the held call at `i`, whatever came before it. */
static void answer_held(struct backend *b, size_t i)
{
    struct httpapi_call *call = b->held[i].call;
    unsigned number = b->held[i].number;
    bool get = b->held[i].get;

    b->n_held--;
    b->held[i] = b->held[b->n_held];
    answer(b, call, number, get);
}

static void take_call(struct backend *b, struct httpapi_call *call, bool get)
{
    unsigned number = b->n_calls++;

    if (!b->hold || b->n_held == HELD_MAX) {
        answer(b, call, number, get);
        return;
    }
    b->held[b->n_held].call = call;
    b->held[b->n_held].number = number;
    b->held[b->n_held].get = get;
    b->n_held++;
}

static void on_put(void *ctx, struct httpapi_call *call, struct bytes key,
                   struct bytes value, bool respond_async)
{
    (void)respond_async;
    ASSERT(value.len <= VALUE_MAX && key.len > 0);
    fuzz_use(key);
    fuzz_use(value);
    take_call(ctx, call, false);
}

static void on_get(void *ctx, struct httpapi_call *call, struct bytes key,
                   bool local)
{
    (void)local;
    fuzz_use(key);
    take_call(ctx, call, true);
}

static void on_add(void *ctx, struct httpapi_call *call, uint64_t id,
                   const char *url)
{
    ASSERT(id > 0);
    fuzz_use((struct bytes){(const uint8_t *)url, strlen(url)});
    take_call(ctx, call, false);
}

static void on_remove(void *ctx, struct httpapi_call *call, uint64_t id)
{
    ASSERT(id > 0);
    take_call(ctx, call, false);
}

static void on_cancel(void *ctx, struct httpapi_call *call)
{
    struct backend *b = ctx;

    for (size_t i = 0; i < b->n_held; i++) {
        if (b->held[i].call == call) {
            b->held[i] = b->held[--b->n_held];
            return;
        }
    }
    UNREACHABLE();
}

/* --- one connection --- */

struct run {
    struct wire w;
    struct backend b;
    struct httpapi *api;
    bool reset; /* the client broke off: what it had not read is lost */
};

static void run_open(struct run *r, bool hold, size_t room)
{
    struct httpapi_options o = {
        .addr = {"127.0.0.1", 1},
        .max_value_size = VALUE_MAX,
        .conns_max = 4,
        .header_timeout_ms = 1000,
        .body_timeout_ms = 3000,
        .idle_timeout_ms = 30000,
        .backend = {&r->b, on_put, on_get, on_add, on_remove, on_cancel},
    };

    r->b = (struct backend){.hold = hold};
    r->reset = false;
    wire_init(&r->w);
    o.net = r->w.net;
    ASSERT(httpapi_open(&o, &r->api, NULL) == 0);
    fake_uv_dial(&r->w.end, room);
}

static void run_close(struct run *r)
{
    httpapi_close(r->api, NULL, NULL);
    wire_release(&r->w);
    ASSERT(r->b.n_held == 0);
}

/* Whole answers; those to gets in the order of the calls; nothing behind one
 * that closes. */
static void check_answers(const struct run *r)
{
    struct bytes got = buf_bytes(&r->w.end.got);
    struct wire_answer a;
    unsigned next = 0;
    size_t n = 0;

    while (wire_next_answer(&got, &a)) {
        fuzz_use(a.body);
        if (a.status == 100) {
            continue;
        }
        n++;
        if (a.status == 200 && a.body.len > 0) {
            unsigned number = 0;

            for (size_t i = 1; i + 1 < a.body.len; i++) {
                number = 10 * number + (unsigned)(a.body.data[i] - '0');
            }
            ASSERT(a.body.data[0] == '#' && number >= next);
            next = number + 1;
        }
        ASSERT(a.status < 500 || a.status == 501 || a.status == 505);
        if (a.close) {
            ASSERT(got.len == 0);
            ASSERT(r->w.end.room == 0 || r->w.end.fin ||
                   r->w.end.handle == NULL);
        }
    }
    /* Every answer is that of a call, or a refusal, which is the last. */
    ASSERT(n <= r->b.n_answered + 1);
    ASSERT(r->w.end.room == 0 || r->reset || got.len > 0 ||
           n >= r->b.n_answered);
}

static void give_all(struct run *r, struct bytes in, struct bytes cuts)
{
    wire_feed(&r->w, in, cuts, 0);
    fake_uv_end_input(&r->w.end, UV_EOF);
    for (int i = 0; i < 4; i++) {
        wire_turn(&r->w, 0);
    }
}

static void try_cuts(struct bytes in, struct bytes cuts)
{
    struct run whole;
    struct run cut;

    run_open(&whole, false, SIZE_MAX);
    give_all(&whole, in, (struct bytes){0});
    check_answers(&whole);
    struct buf got = whole.w.end.got;
    buf_init(&whole.w.end.got, BUF_UNLIMITED);
    run_close(&whole);

    run_open(&cut, false, SIZE_MAX);
    give_all(&cut, in, cuts);
    ASSERT(fuzz_equal(buf_bytes(&cut.w.end.got), buf_bytes(&got)));
    run_close(&cut);
    buf_release(&got);
}

static void try_late(struct bytes in, struct bytes cuts, uint8_t how)
{
    struct run r;

    run_open(&r, true, (size_t)how * 8);
    wire_feed(&r.w, in, cuts, how % 4u * 100);
    while (r.b.n_held > 0) {
        answer_held(&r.b, how % r.b.n_held);
        r.w.end.room += how;
        wire_turn(&r.w, 1);
    }
    r.reset = how % 2 != 0;
    fake_uv_end_input(&r.w.end, r.reset ? UV_ECONNRESET : UV_EOF);
    for (int i = 0; i < 4; i++) {
        r.w.end.room += 4096;
        wire_turn(&r.w, how % 3u * 400);
    }
    check_answers(&r);
    run_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};
    uint8_t mode = fuzz_byte(&in);
    struct bytes cuts = fuzz_take(&in, 3);

    if (mode % 2 == 0) {
        try_cuts((struct bytes){in.p, in.left}, cuts);
    } else {
        try_late((struct bytes){in.p, in.left}, cuts, mode / 2);
    }
    return 0;
}
