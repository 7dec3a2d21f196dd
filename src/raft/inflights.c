/* See inflights.h. The rule numbers are those of raft-core 12.2. */

#include "src/raft/inflights.h"

#include "src/base/alloc.h"

void inflights_init(struct inflights *in, size_t size, uint64_t max_bytes,
                    const struct logger *lg)
{
    *in = (struct inflights){.size = size, .max_bytes = max_bytes, .lg = lg};
}

void inflights_release(struct inflights *in)
{
    xfree(in->buffer);
    in->buffer = NULL;
    in->cap = 0;
    inflights_reset(in);
}

static size_t ring_pos(const struct inflights *in, size_t i)
{
    size_t pos = in->start + i;

    ASSERT(i < in->cap);
    return pos < in->cap ? pos : pos - in->cap;
}

/* Copy the ring to `to`, oldest first. */
static void ring_unroll(const struct inflights *in, struct inflight *to)
{
    for (size_t i = 0; i < in->count; i++) {
        to[i] = in->buffer[ring_pos(in, i)];
    }
}

void inflights_copy(struct inflights *to, const struct inflights *from)
{
    *to = *from;
    to->start = 0;
    to->cap = from->count;
    to->buffer = NULL;
    if (from->count > 0) {
        to->buffer = xrealloc_array(NULL, from->count, sizeof *to->buffer);
        ring_unroll(from, to->buffer);
    }
}

/* 1, 2, 4, ... up to the limit: a group of thousands of members does not pay
 * for windows that it does not use [IF-5]. */
static void grow(struct inflights *in)
{
    size_t cap = in->cap == 0 ? 1 : in->cap * 2;
    struct inflight *buffer;

    ASSERT(in->count == in->cap);
    ASSERT(in->cap < in->size);
    if (cap > in->size) {
        cap = in->size;
    }
    buffer = xrealloc_array(NULL, cap, sizeof *buffer);
    ring_unroll(in, buffer);
    xfree(in->buffer);
    in->buffer = buffer;
    in->cap = cap;
    in->start = 0;
}

bool inflights_full(const struct inflights *in)
{
    return in->count == in->size ||
           (in->max_bytes != 0 && in->bytes >= in->max_bytes);
}

void inflights_add(struct inflights *in, uint64_t last, uint64_t bytes)
{
    if (inflights_full(in)) {
        log_fatal(in->lg, "add to a full window of %zu messages in flight",
                  in->count);
    }
    if (in->count == in->cap) {
        grow(in);
    }
    if (in->count > 0) {
        ASSERT(in->buffer[ring_pos(in, in->count - 1)].index < last);
    }
    in->count++;
    in->buffer[ring_pos(in, in->count - 1)] = (struct inflight){last, bytes};
    in->bytes += bytes;
}

void inflights_free_le(struct inflights *in, uint64_t to)
{
    while (in->count > 0 && in->buffer[in->start].index <= to) {
        ASSERT(in->bytes >= in->buffer[in->start].bytes);
        in->bytes -= in->buffer[in->start].bytes;
        in->start = ring_pos(in, 1 % in->cap);
        in->count--;
    }
    if (in->count == 0) {
        ASSERT(in->bytes == 0);
        in->start = 0;
    }
}

void inflights_reset(struct inflights *in)
{
    in->start = 0;
    in->count = 0;
    in->bytes = 0; /* else the byte limit would leak away [PF-13] */
}

void inflights_check(const struct inflights *in)
{
    uint64_t bytes = 0;
    uint64_t last = 0;

    ASSERT(in->count <= in->cap);
    ASSERT(in->cap <= in->size);
    for (size_t i = 0; i < in->count; i++) {
        const struct inflight *f = &in->buffer[ring_pos(in, i)];

        if (i > 0) {
            ASSERT(f->index > last);
        }
        last = f->index;
        bytes += f->bytes;
    }
    ASSERT(bytes == in->bytes);
}
