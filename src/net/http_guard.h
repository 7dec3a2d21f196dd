/* The grammar of HTTP/1 that we accept, byte by byte.
 *
 * The guard looks at message heads and chunk framing before llhttp does and
 * says yes, not yet, or no with a status. It exists because the parser is
 * lenient in places where two readers of the same bytes could disagree (bare
 * line feeds, folded lines, empty names, versions), and because limits must
 * hold before a block is complete. It keeps no bytes: the caller presents an
 * unfinished head again, with more at its end.
 *
 * Pure: no sockets, no allocation, no clock. However the bytes are cut, the
 * verdict is the same.
 *
 * Counterpart: RFC 9112. Differs: one way to write each thing [reliability
 * 11]. */

#ifndef SRC_NET_HTTP_GUARD_H
#define SRC_NET_HTTP_GUARD_H

#include "src/base/common.h"

enum http_guard_state {
    GUARD_START, /* before a message: blank lines or its first byte */
    GUARD_BLANK_LF,
    GUARD_METHOD,
    GUARD_TARGET,
    GUARD_VERSION,
    GUARD_STATUS_LINE,
    GUARD_LINE_LF,
    GUARD_FIELD_START,
    GUARD_NAME,
    GUARD_VALUE,
    GUARD_VALUE_LF,
    GUARD_END_LF,
    GUARD_CHUNK_SIZE,
    GUARD_CHUNK_EXT,
    GUARD_CHUNK_SIZE_LF,
    GUARD_CHUNK_DATA,
    GUARD_CHUNK_DATA_CR,
    GUARD_CHUNK_DATA_LF,
    GUARD_DONE,
};

enum http_guard_step {
    GUARD_STEP_MORE, /* fine so far, not finished */
    GUARD_STEP_DATA, /* chunks only: `chunk_left` bytes of data follow */
    GUARD_STEP_DONE, /* the head, or the last chunk and its trailers, ended */
    GUARD_STEP_BAD,  /* `status` and `text` say why */
};

struct http_guard {
    enum http_guard_state state;
    bool response;     /* a status line instead of a request line */
    bool in_trailers;  /* the field lines behind the last chunk */
    size_t fields_max; /* bytes: field lines, chunk extensions, trailers */

    size_t scanned;    /* bytes of the head looked at, blank lines included */
    size_t line_at;    /* offset of the request line in the head */
    size_t method_len; /* bytes at line_at */
    size_t target_at;
    size_t target_len;
    bool is_head;       /* the method is HEAD */
    size_t version_len; /* 0: none was sent (HTTP/0.9) */
    uint8_t version[8]; /* "HTTP/1.1", as far as seen */

    size_t line_len;   /* of the request or status line, without CR LF */
    size_t fields_len; /* so far, to be held against fields_max */
    size_t n_fields;
    size_t n_blank;

    uint64_t chunk_left; /* bytes of the current chunk not seen yet */
    size_t n_digits;     /* of its size */

    int status; /* what to answer, after GUARD_STEP_BAD */
    const char *text;
};

/* Before each message. */
void http_guard_init(struct http_guard *g, bool response, size_t fields_max);

/* Look at a head. `in` begins with the bytes of the calls before since init;
 * only what is new is looked at. After DONE `scanned` is the length of the
 * head. */
enum http_guard_step http_guard_head(struct http_guard *g, struct bytes in);

/* Whether bytes of a message, other than blank lines, were seen. */
bool http_guard_has_begun(const struct http_guard *g);

/* The head was complete and says that chunks follow. */
void http_guard_begin_chunks(struct http_guard *g);

/* Look at chunk framing, up to the next data. *used is the number of bytes
 * that were framing; each byte is presented once. */
enum http_guard_step http_guard_chunk(struct http_guard *g, struct bytes in,
                                      size_t *used);

/* `n` bytes of the current chunk's data went by. */
void http_guard_skip_data(struct http_guard *g, uint64_t n);

#endif /* SRC_NET_HTTP_GUARD_H */
