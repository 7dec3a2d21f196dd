/* HTTP/1 messages out of bytes: one guard and one llhttp parser per
 * connection, pulled by the caller.
 *
 * Each call takes some of the bytes and returns one event, so that nothing is
 * ever called back from inside and the caller may stop between any two events.
 * The guard judges the grammar and finds where a head or a chunk ends; llhttp
 * splits the head into fields and frames the body. Where the two disagree the
 * message is refused: a request that two readers see differently is how one
 * request is smuggled inside another.
 *
 * Pure: no sockets, no allocation, no clock. */

#ifndef SRC_NET_HTTP_PARSER_H
#define SRC_NET_HTTP_PARSER_H

#include <llhttp.h>

#include "src/net/http_conn.h"
#include "src/net/http_guard.h"

enum http_event {
    HTTP_EVENT_MORE, /* more bytes are needed */
    HTTP_EVENT_HEAD, /* `head` is valid until the next call */
    HTTP_EVENT_DATA, /* a piece of the body */
    HTTP_EVENT_END,  /* the message is complete; the next call begins one */
    HTTP_EVENT_BAD,  /* `status` and `text` say why; nothing follows */
};

enum http_parser_state {
    HTTP_PARSER_HEAD,
    HTTP_PARSER_LENGTH,
    HTTP_PARSER_CHUNKS,
    HTTP_PARSER_UNTIL_EOF,
    HTTP_PARSER_END, /* to be reported */
    HTTP_PARSER_BAD,
};

struct http_parser {
    enum http_parser_state state;
    struct http_guard guard;
    llhttp_t llhttp;
    bool response;
    bool no_body;          /* the answer to a HEAD */
    bool llhttp_head_done; /* what llhttp has seen end */
    bool llhttp_complete;
    bool keep_alive; /* as the message asks for it */
    size_t fields_max;
    uint64_t left;             /* HTTP_PARSER_LENGTH: bytes of the body */
    struct http_field *fields; /* borrowed, HTTP_FIELDS_MAX of them */
    size_t n_fields;
    struct http_head head;

    int status; /* after HTTP_EVENT_BAD */
    const char *text;
};

/* `fields` is room for HTTP_FIELDS_MAX fields, used only inside of a call and
 * until the next one: connections of one thread may share it. */
void http_parser_init(struct http_parser *p, bool response, size_t fields_max,
                      struct http_field *fields);

/* Look at `in`. *used bytes are done with; the others must be presented again,
 * with more behind them. With HTTP_EVENT_DATA, *data is a part of `in`. */
enum http_event http_parser_next(struct http_parser *p, struct bytes in,
                                 size_t *used, struct bytes *data);

/* Whether a message has begun and is not complete; blank lines are not a
 * beginning. */
bool http_parser_in_message(const struct http_parser *p);

/* Whether the head of a message is what is being read. */
bool http_parser_in_head(const struct http_parser *p);

/* The bytes of the body not seen yet: of the whole body, or with chunks of the
 * current one. */
uint64_t http_parser_body_left(const struct http_parser *p);

/* The other end has closed: true if that completes the message. */
bool http_parser_eof(struct http_parser *p);

#endif /* SRC_NET_HTTP_PARSER_H */
