/* Feeding a connection, reading answers. http_wire.h has the contract. */

#include "tests/fuzz/lib/http_wire.h"

#include <stdlib.h>

#include "tests/fuzz/lib/fuzz.h"

void wire_init(struct wire *w)
{
    static uv_loop_t loop;
    static struct http_net *net;

    *w = (struct wire){0};
    fake_uv_init(&loop);
    if (net == NULL) {
        net = http_net_new(&loop, NULL);
    }
    w->net = net;
}

void wire_release(struct wire *w)
{
    for (int i = 0; i < 8; i++) {
        wire_turn(w, 1);
    }
    fake_uv_release(); /* the timer, too: the net has no users left */
    fake_end_release(&w->end);
}

void wire_turn(struct wire *w, uint64_t ms)
{
    fake_uv_turn(ms);
    http_net_flush(w->net);
}

void wire_feed(struct wire *w, struct bytes in, struct bytes cuts, uint64_t ms)
{
    size_t at = 0;
    size_t idle = 0;

    for (size_t i = 0; at < in.len && idle < 4; i++) {
        size_t n = cuts.len == 0 ? in.len : (size_t)1 + cuts.data[i % cuts.len];
        size_t taken;

        n = n < in.len - at ? n : in.len - at;
        taken = fake_uv_give(&w->end, (struct bytes){in.data + at, n});
        idle = taken > 0 ? 0 : idle + 1;
        at += taken;
        http_net_flush(w->net);
        wire_turn(w, ms);
    }
}

static bool starts_with(struct bytes b, const char *text)
{
    size_t n = strlen(text);

    return b.len >= n && memcmp(b.data, text, n) == 0;
}

/* The line at the start of *in without its CR LF. */
static bool next_line(struct bytes *in, struct bytes *line)
{
    const uint8_t *end = in->len > 0 ? memchr(in->data, '\n', in->len) : NULL;

    if (end == NULL) {
        return false;
    }
    size_t n = (size_t)(end - in->data);

    ASSERT(n > 0 && in->data[n - 1] == '\r');
    *line = (struct bytes){in->data, n - 1};
    ASSERT(memchr(line->data, '\r', line->len) == NULL);
    in->data += n + 1;
    in->len -= n + 1;
    return true;
}

static size_t number(struct bytes b)
{
    size_t v = 0;

    ASSERT(b.len > 0 && b.len < 10);
    for (size_t i = 0; i < b.len; i++) {
        ASSERT(b.data[i] >= '0' && b.data[i] <= '9');
        v = 10 * v + (size_t)(b.data[i] - '0');
    }
    return v;
}

static struct bytes behind(struct bytes line, const char *name)
{
    size_t n = strlen(name);

    return (struct bytes){line.data + n, line.len - n};
}

bool wire_next_answer(struct bytes *in, struct wire_answer *a)
{
    struct bytes rest = *in;
    struct bytes line;
    size_t len = 0;

    *a = (struct wire_answer){0};
    if (!next_line(&rest, &line)) {
        return false;
    }
    ASSERT(starts_with(line, "HTTP/1.1 ") && line.len > 13);
    a->status = (int)number((struct bytes){line.data + 9, 3});
    do {
        if (!next_line(&rest, &line)) {
            return false;
        }
        if (starts_with(line, "Content-Length: ")) {
            len = number(behind(line, "Content-Length: "));
        } else if (starts_with(line, "Connection: close")) {
            a->close = true;
        }
    } while (line.len > 0);
    if (starts_with(rest, "HTTP/1.1 ")) {
        len = 0; /* the answer to a HEAD, with another one behind it */
    }
    if (len > rest.len) {
        if (rest.len > 0) {
            return false;
        }
        len = 0; /* the answer to a HEAD at the end, or cut off right here */
    }
    a->body = (struct bytes){rest.data, len};
    in->data = rest.data + len;
    in->len = rest.len - len;
    return true;
}
