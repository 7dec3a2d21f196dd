/* When the node ticks.
 *
 * A tick says "a period has gone by in which input could have come in", not
 * what time it is: so a gap counts as one tick, however long it was, whether
 * the process was stopped, the machine asleep, or a disk slow. Ticks made up
 * for afterwards would count as silence what was only our own absence, and a
 * node back from a pause would campaign against a leader whose messages lie
 * unread [reliability F31]. For the same reason a tick has two halves: what is
 * due is seen before the input is read, and taken after that was handled.
 *
 * Knows no clock and no event loop: server.c has both.
 *
 * Counterpart: the time.Ticker of contrib/raftexample raft.go serveChannels,
 * which drops what nobody took, too. */

#ifndef SRC_SERVER_TICKER_H
#define SRC_SERVER_TICKER_H

#include "src/base/common.h"

struct ticker {
    uint64_t period_ms; /* more than 0 */
    uint64_t due_ms;    /* of the next tick */
    bool pending;       /* it was seen to be due, and not taken yet */
};

/* The first tick is due a period from now. */
void ticker_init(struct ticker *t, uint64_t now_ms, uint64_t period_ms);

/* Before input is read: whether a tick is due. */
bool ticker_look(struct ticker *t, uint64_t now_ms);

/* After input was handled: whether to tick, once; the next tick is due a period
 * from now. False unless ticker_look has seen it due. */
bool ticker_take(struct ticker *t, uint64_t now_ms);

/* How long nothing is due. */
uint64_t ticker_wait_ms(const struct ticker *t, uint64_t now_ms);

#endif /* SRC_SERVER_TICKER_H */
