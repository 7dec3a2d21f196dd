/* Whether the loop, when it has nothing to do, looks again for input instead of
 * going to sleep.
 *
 * To put a processor to sleep and to wake it takes some 30 us in a virtual
 * machine, each time, on both ends of each message. Who stays awake for as long
 * never pays more than twice the best price, and spares the sender the waking;
 * who yields the processor in between takes it from nobody. It is worth more
 * while an answer is owed to us: that one is being worked on, by a member
 * beside us or across a fast network, and a client waits for it.
 *
 * So it goes by what the last wait of the same kind was, asleep or awake. A
 * node without load, whose ticks and heartbeats are far apart, sleeps as ever.
 *
 * Knows no clock and no event loop: server.c has both.
 *
 * Counterpart: none in etcd; Linux polls a device (busy_poll in
 * Documentation/admin-guide/sysctl/net.rst), or the processor before it halts
 * (haltpoll), for the same reason and on such terms. */

#ifndef SRC_SERVER_BUSY_POLL_H
#define SRC_SERVER_BUSY_POLL_H

#include "src/base/common.h"

/* From the end of the last work, for anything, and for what is owed. */
#define BUSY_POLL_NS      UINT64_C(30000)
#define BUSY_POLL_OWED_NS UINT64_C(100000)

/* All zeros is the beginning. */
struct busy_poll {
    uint64_t inputs; /* that were seen */
    uint64_t work;   /* that was seen done */
    uint64_t since_ns;
    bool owed;    /* what is waited for now */
    bool pays[2]; /* [owed] */
};

/* After a look for input; `inputs` counts all that ever came. */
void busy_poll_looked(struct busy_poll *b, uint64_t inputs, uint64_t now_ns);

/* At the end of a turn; `work` changes whenever something was done that may
 * have taken time, `owed`: others work for us. Whether the next look shall not
 * wait. */
bool busy_poll_again(struct busy_poll *b, uint64_t work, bool owed,
                     uint64_t now_ns);

#endif /* SRC_SERVER_BUSY_POLL_H */
