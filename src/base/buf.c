/* A growable byte buffer with a hard limit.
 *
 * The memory is always one byte larger than `cap`, so that buf_cstr and the
 * formatter have room for their 0 even in a buffer that is full. */

#include "src/base/buf.h"

#include "src/base/alloc.h"
#include "src/base/err.h"

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_release(struct buf *b)
{
    xfree(b->data);
    buf_init(b, b->limit);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

static void buf_grow(struct buf *b, size_t need)
{
    size_t cap = grow_cap(b->cap, need);

    /* Doubling must not pass the limit: memory is bounded by it too. */
    if (cap > b->limit) {
        cap = b->limit;
    }
    ASSERT(cap >= need);
    ASSERT(cap < SIZE_MAX);
    b->data = xrealloc_array(b->data, cap + 1, 1);
    b->cap = cap;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    ASSERT(b->len <= b->limit);
    if (n > b->limit - b->len) {
        b->failed = true;
        return NULL;
    }
    if (b->data == NULL || n > b->cap - b->len) {
        buf_grow(b, b->len + n);
    }
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    ASSERT(n <= b->cap - b->len);
    b->len += n;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    uint8_t *room = buf_reserve(b, n);

    if (room == NULL) {
        return ERR_TOO_LARGE;
    }
    if (n > 0) {
        memcpy(room, p, n);
        b->len += n;
    }
    return 0;
}

int buf_append_byte(struct buf *b, uint8_t c)
{
    return buf_append(b, &c, 1);
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    ASSERT(n >= 0);

    uint8_t *room = buf_reserve(b, (size_t)n);
    if (room == NULL) {
        return ERR_TOO_LARGE;
    }
    (void)vsnprintf((char *)room, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return rc;
}

int buf_append_json(struct buf *b, const char *s)
{
    (void)buf_append_byte(b, '"');
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\') {
            (void)buf_append_byte(b, '\\');
            (void)buf_append_byte(b, c);
        } else if (c < 0x20) {
            (void)buf_printf(b, "\\u%04x", c);
        } else {
            (void)buf_append_byte(b, c);
        }
    }
    return buf_append_byte(b, '"');
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len -= n;
    if (n > 0 && b->len > 0) {
        memmove(b->data, b->data + n, b->len);
    }
}

const char *buf_cstr(struct buf *b)
{
    if (b->data == NULL) {
        return "";
    }
    b->data[b->len] = '\0';
    return (const char *)b->data;
}

uint8_t *buf_detach(struct buf *b, size_t *len)
{
    uint8_t *data = b->data;

    *len = b->len;
    buf_init(b, b->limit);
    return data;
}
