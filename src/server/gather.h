/* Which requests wait for others, to go with them.
 *
 * A batch costs each voter a message, a write and a sync, and its sender a
 * round of answers, however small it is. Left alone, batches come in pairs of a
 * large one and a small one: while the answers to the large one are still being
 * written, what the first of its clients ask next goes out with whoever came
 * late before, and each of the two pays the full price. So what comes in waits:
 *
 *   while a batch is on its way, if that is worth it: it has some size, the one
 *   before took no long time, and what waits is not far more;
 *   behind its answers, as long as each look at the sockets finds more.
 *
 * Nothing waits longer than GATHER_PATIENCE_NS for a batch that is on its way.
 * Puts and reads do not wait for each other.
 *
 * Knows no clock and no event loop: server.c has both.
 *
 * Counterpart: none in etcd. It is what databases do in a group commit (MySQL's
 * binlog_group_commit_sync_delay), with the delay found out instead of set. */

#ifndef SRC_SERVER_GATHER_H
#define SRC_SERVER_GATHER_H

#include "src/server/request.h"

/* A batch that takes longer is not waited for: what comes in meanwhile would be
 * late by that. */
#define GATHER_PATIENCE_NS UINT64_C(2000000)

/* Fewer are not waited for: two clients that wait for each other are served
 * half as fast. */
#define GATHER_MIN 4

/* Looks at the sockets before a batch goes in any case. */
#define GATHER_LOOKS 8

/* For the requests of one kind. All zeros is the beginning. */
struct gather {
    bool looked;              /* for input, since gather_begin decided */
    struct request_load last; /* at the last call */
    bool holds;               /* as gather_begin said last */
    size_t answered;          /* since something was sent last */
    int looks;                /* that found more, in a row */
    uint64_t held_since_ns;   /* while something waits for a batch */
    uint64_t sent_ns;         /* when something was sent last */
    uint64_t took_ns;         /* from then until all was answered */
};

enum gather_next {
    GATHER_NOTHING, /* nothing waits for others */
    GATHER_LATER,   /* look after GATHER_PATIENCE_NS, if not before */
    GATHER_NOW,     /* look for input without waiting for it */
};

/* Input was looked for. */
void gather_look(struct gather *g);

/* Before a turn's work: whether what waits is held back, in this turn. A turn
 * with no look before it holds back what the last one did. */
bool gather_begin(struct gather *g, struct request_load load, uint64_t now_ns);

/* After it; `load` is what is left. */
enum gather_next gather_end(struct gather *g, struct request_load load,
                            uint64_t now_ns);

#endif /* SRC_SERVER_GATHER_H */
