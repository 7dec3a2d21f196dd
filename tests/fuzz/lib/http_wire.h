/* What the two HTTP targets share: feeding a connection in pieces, and reading
 * what came back as a client would. */

#ifndef TESTS_FUZZ_LIB_HTTP_WIRE_H
#define TESTS_FUZZ_LIB_HTTP_WIRE_H

#include "src/base/common.h"
#include "src/net/http_conn.h"
#include "tests/fuzz/lib/fake_uv.h"

/* A net, and the other end of one connection. The net and its loop live as
 * long as the program, as in the server: to clear its read buffer anew took a
 * fifth of a run. One wire at a time. */
struct wire {
    struct http_net *net;
    struct fake_end end;
};

void wire_init(struct wire *w);

/* Everything but the net is closed, or about to be; aborts if not. */
void wire_release(struct wire *w);

/* One turn of the loop as the server makes it. */
void wire_turn(struct wire *w, uint64_t ms);

/* Give the bytes in pieces whose lengths go around in `cuts` (none: at once),
 * with a turn behind each; what is not taken comes again after a turn, a few
 * times. `ms` passes with each turn. */
void wire_feed(struct wire *w, struct bytes in, struct bytes cuts, uint64_t ms);

/* One answer at the start of `in`. */
struct wire_answer {
    int status;
    bool close; /* says that the connection closes behind it */
    struct bytes body;
};

/* Take one answer from the front of *in: false at the end, or if it is not
 * whole. Anything but an answer aborts. Bodies begin with '#' or a letter, so
 * that an answer without one (to HEAD) can be told. */
bool wire_next_answer(struct bytes *in, struct wire_answer *a);

#endif /* TESTS_FUZZ_LIB_HTTP_WIRE_H */
