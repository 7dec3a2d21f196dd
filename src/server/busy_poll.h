/* Whether the loop, when it has nothing to do, looks again for input instead of
 * going to sleep.
 *
 * To put a processor to sleep and to wake it takes some 30 us in a virtual
 * machine, each time, on both ends of each message; that is longer than a peer
 * or a client beside us takes to answer. So as long as input comes soon, we
 * stay awake for it. Who yields the processor in between takes it from nobody.
 *
 *   it pays        after input that had not been waited for longer than
 *                  BUSY_POLL_NS, asleep or awake, until it is
 *   it does not    on a node without load: its ticks and heartbeats are far
 *                  apart, and it sleeps as it did before
 *
 * Knows no clock and no event loop: server.c has both.
 *
 * Counterpart: none in etcd; Linux polls a device (busy_poll in
 * Documentation/admin-guide/sysctl/net.rst), or the processor before it halts
 * (haltpoll), for the same reason and on such terms. */

#ifndef SRC_SERVER_BUSY_POLL_H
#define SRC_SERVER_BUSY_POLL_H

#include "src/base/common.h"

/* From the end of the last work. */
#define BUSY_POLL_NS UINT64_C(100000)

/* All zeros is the beginning. */
struct busy_poll {
    uint64_t inputs; /* that were seen */
    uint64_t work;   /* that was seen done */
    uint64_t since_ns;
    bool pays;
};

/* After a look for input; `inputs` counts all that ever came. */
void busy_poll_looked(struct busy_poll *b, uint64_t inputs, uint64_t now_ns);

/* At the end of a turn; `work` changes whenever something was done that may
 * have taken time. Whether the next look shall not wait. */
bool busy_poll_again(struct busy_poll *b, uint64_t work, uint64_t now_ns);

#endif /* SRC_SERVER_BUSY_POLL_H */
