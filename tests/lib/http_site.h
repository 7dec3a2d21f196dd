/* A listener with a handler that tests can steer, for tests of src/net.
 *
 * The handler takes bodies up to HTTP_CASE_LIMIT bytes and answers 200 with
 * "METHOD TARGET LENGTH", at once or when the test calls site_answer. */

#ifndef TESTS_LIB_HTTP_SITE_H
#define TESTS_LIB_HTTP_SITE_H

#include "src/base/bounds.h"
#include "tests/lib/http_fixture.h"

#define H    "Host: x\r\n"
#define E    "\r\n"
#define NEXT "GET /next HTTP/1.1\r\n" H E
#define LAST "GET /last HTTP/1.1\r\n" H "Connection: close\r\n" E

/* How the handler behaves, and what it saw. */
struct site {
    struct http_fixture f;
    struct http_listener *l;
    uint16_t port;
    bool hold;           /* keep exchanges instead of answering them */
    bool early;          /* answer in on_request */
    bool stream;         /* begin a stream in on_request */
    bool refuse_body;    /* neither answer nor accept in on_request */
    size_t answer_bytes; /* of the body; 0: "METHOD TARGET LENGTH" */
    bool ask_room;       /* before each answer */
    struct http_exchange *held[HTTP_PIPELINE_MAX];
    size_t n_held;
    size_t n_requests;
    size_t n_aborted;
    size_t n_waits; /* times there was no room */
    size_t n_rooms;
    size_t n_drains;
    struct http_exchange *last;
    bool closed;
    char what[HTTP_REQUEST_LINE_MAX + 40]; /* of the request being read */
};

/* Answer an exchange, or count that there was no room. */
void site_answer(struct site *s, struct http_exchange *x, const char *text);

/* Generous limits; to be changed before site_open_with. */
struct http_listener_options site_options(struct site *s);

void site_init(struct site *s);
void site_open_with(struct site *s, const struct http_listener_options *o);
void site_open(struct site *s); /* both, with site_options */
void site_close(struct site *s);

/* For http_fixture_until: no connection is left. */
bool site_has_no_conns(void *ctx);

/* Sets `closed`; for http_listener_close. */
void site_on_closed(void *ctx);

/* Send `text`, read to the end, compare the status codes. */
void site_expect(struct site *s, const char *text, const char *statuses);

/* Close a socket so that the other end sees a reset. */
void raw_reset(int fd);

#endif /* TESTS_LIB_HTTP_SITE_H */
