/* A loop, a net and raw sockets in one process, for tests of what speaks HTTP.
 *
 * The test turns the loop itself and reads and writes the other end of each
 * connection with plain system calls, so that it decides what bytes go when.
 * Waiting is for a condition, with a generous end; nothing is timed. */

#ifndef TESTS_LIB_HTTP_FIXTURE_H
#define TESTS_LIB_HTTP_FIXTURE_H

#include "src/base/buf.h"
#include "src/base/log.h"
#include "src/net/http_conn.h"

struct http_fixture {
    uv_loop_t loop;
    struct http_net *net;
    struct logger lg;
    struct buf log; /* the lines, each with a newline */
};

void http_fixture_init(struct http_fixture *f);

/* Everything must be closed: the loop is run until nothing is left in it. */
void http_fixture_release(struct http_fixture *f);

/* One turn, then the flush, as the server does it. */
void http_fixture_turn(struct http_fixture *f);
void http_fixture_turns(struct http_fixture *f, int n);

/* Turn until `done(ctx)`; fails the test if that never comes. */
void http_fixture_until(struct http_fixture *f, bool (*done)(void *ctx),
                        void *ctx);
void http_fixture_until_set(struct http_fixture *f, const bool *flag);

/* A blocking socket connected to 127.0.0.1:port, or listening on any port. */
int raw_dial(uint16_t port);
int raw_listen(uint16_t *port);

/* Turn until a connection came. */
int raw_accept(struct http_fixture *f, int listener);

/* Send all, turning while the other end must take bytes first; what a closed
 * connection does not take is lost. */
void raw_send(struct http_fixture *f, int fd, struct bytes data);
void raw_send_str(struct http_fixture *f, int fd, const char *text);

/* Append what arrives to `got` until the other end closes; false if it was
 * reset. */
MUST_CHECK bool raw_read_all(struct http_fixture *f, int fd, struct buf *got);

/* The same until `got` holds `n` answers or `text`. */
void raw_read_answers(struct http_fixture *f, int fd, struct buf *got,
                      size_t n);
void raw_read_until(struct http_fixture *f, int fd, struct buf *got,
                    const char *text);

struct raw_answer {
    int status;
    struct bytes head; /* status line and fields */
    struct bytes body;
};

/* Cut `got` into answers, which must be well formed; the number of whole ones.
 */
size_t raw_parse(struct bytes got, struct raw_answer *out, size_t max);

/* "200 404": the status codes in `got`. */
void raw_statuses(struct bytes got, char *out, size_t size);

/* The value of a field in an answer's head, or NULL; static memory. */
const char *raw_field(const struct raw_answer *a, const char *name);

#endif /* TESTS_LIB_HTTP_FIXTURE_H */
