/* libuv without an operating system: what src/net calls of it, over memory.
 *
 * A program that links fake_uv.o instead of libuv runs the shipped connections,
 * listeners and clients, and holds the other end of each socket in its hand.
 * Nothing happens but in fake_uv_give, fake_uv_end_input and fake_uv_turn, from
 * which the callbacks come, as they would from the loop. As libuv, a handle is
 * gone only after its close callback, in a later turn.
 *
 * One loop at a time; the clock stands still but for fake_uv_turn. */

#ifndef TESTS_FUZZ_LIB_FAKE_UV_H
#define TESTS_FUZZ_LIB_FAKE_UV_H

#include <uv.h>

#include "src/base/buf.h"

/* The other end of a connection. */
struct fake_end {
    uv_stream_t *handle; /* ours; NULL once it is closed */
    struct buf got;      /* what was written to it */
    size_t room;         /* bytes that it still takes */
    bool fin;            /* our side was shut down */
    bool begun;          /* a dialed one: it is connected */
};

void fake_uv_init(uv_loop_t *loop);

/* Everything must be closed; aborts else. */
void fake_uv_release(void);

/* Connect to the one listener. */
void fake_uv_dial(struct fake_end *end, size_t room);

/* The next connection that is dialed from here ends in `end`; without this it
 * is refused. */
void fake_uv_expect(struct fake_end *end, size_t room);
void fake_end_release(struct fake_end *end);

/* Bytes for the connection; how many it took before it stopped reading. */
size_t fake_uv_give(struct fake_end *end, struct bytes data);

/* The other end says no more: UV_EOF, or an error. */
void fake_uv_end_input(struct fake_end *end, int rc);

/* `ms` later: timers, connects, writes, closes, as they were due. */
void fake_uv_turn(uint64_t ms);

#endif /* TESTS_FUZZ_LIB_FAKE_UV_H */
