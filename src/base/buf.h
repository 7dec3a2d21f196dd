/* A growable byte buffer with a hard limit given at init.
 *
 * The limit is what keeps outsiders from choosing our memory: growing past it
 * fails with ERR_TOO_LARGE and leaves the content as it was. After a failed
 * append the buffer is marked, so that a run of appends can be checked once at
 * its end. */

#ifndef SRC_BASE_BUF_H
#define SRC_BASE_BUF_H

#include <stdarg.h>

#include "src/base/common.h"

#define BUF_UNLIMITED SIZE_MAX

struct buf {
    uint8_t *data; /* NULL while nothing was ever written */
    size_t len;
    size_t cap;
    size_t limit; /* len never exceeds it */
    bool failed;  /* an append did not fit since init or reset */
};

void buf_init(struct buf *b, size_t limit);

/* Free the bytes; the buffer may be used again with the same limit. */
void buf_release(struct buf *b);

/* Forget the content, keep the memory. */
void buf_reset(struct buf *b);

/* Room for `n` more bytes: a pointer to them (len is not moved), or NULL if
 * the limit forbids. Valid until the next call on `b`. */
uint8_t *buf_reserve(struct buf *b, size_t n);

/* Count `n` bytes, written into what buf_reserve gave, as content. */
void buf_commit(struct buf *b, size_t n);

/* Append; 0 or ERR_TOO_LARGE. */
int buf_append(struct buf *b, const void *p, size_t n);
int buf_append_byte(struct buf *b, uint8_t c);
int buf_append_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

/* Append `s` as a JSON string, quotes included. */
int buf_append_json(struct buf *b, const char *s);

/* Drop `n` bytes from the front. */
void buf_consume(struct buf *b, size_t n);

/* The content as a C string: a 0 is written behind it and not counted. "" for
 * an empty buffer. */
const char *buf_cstr(struct buf *b);

/* Take the bytes away; the buffer is empty afterwards. Free with xfree. */
uint8_t *buf_detach(struct buf *b, size_t *len);

static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->data, b->len};
}

#endif /* SRC_BASE_BUF_H */
