/* Small scopes, exhaustively [reliability 7]: three nodes, two writes, one
 * read, at most one crash, one cut, one pause; all orders of events up to a
 * depth beyond a leader's election.
 *
 * There is no time here. An event is whatever may come next in some run:
 *
 *   deliver   the first message of a link (links keep the order, as TCP does)
 *   turn      a node's loop turn, if it was given something to do
 *   disk      what the node asked its disk for is done
 *   tick      of a leader: its heartbeat. Of another: so many ticks that it
 *             campaigns
 *   silence   so many ticks that a follower's lease ends, but it does not
 *             campaign; a leader that is cut off loses its place
 *   put, get  at any node
 *   crash     unsynced bytes lost, or kept where that is not the same; restart
 *   cut       a node off, both ways, with what is on its links; heal
 *
 * A pause needs no event of its own: that nothing of a node happens for any
 * number of events is among the orders. Two things are left out, as they only
 * repeat: a second heartbeat or request for votes while one is on its way.
 *
 * So many events are few ticks: no request is so old that it ends, or is asked
 * again; a leader counts its ticks for silence only.
 *
 * Two orders that lead to one state are gone on with once. What a state is,
 * scope_digest.c says: all that decides the future, which time does not. */

#ifndef TESTS_SIM_SCOPE_H
#define TESTS_SIM_SCOPE_H

#include "tests/sim/world.h"

#define SCOPE_NODES     3
#define SCOPE_DEPTH_MAX 15
#define SCOPE_PUTS      2
#define SCOPE_READER    SCOPE_PUTS /* the number of the client that reads */
#define SCOPE_CLIENTS   (SCOPE_PUTS + 1)

/* Where the orders begin. */
enum scope_start {
    SCOPE_ELECTED, /* a majority has just voted, nobody knows it */
    SCOPE_SETTLED, /* everybody knows, and nothing is under way */
};

/* A cluster, and what has been used up of its scope; in the arena. */
struct scope {
    struct sim sim;
    uint32_t n_puts;
    uint32_t n_gets;
    uint32_t n_crashes;
    uint32_t n_cuts;
    bool is_symmetric; /* nothing tells node 2 from node 3 yet */
    /* For the digest, what the nodes keep to themselves: which clients had
     * their answer when each asked; the index of the read that was taken in
     * last. */
    uint32_t answered_before[SCOPE_CLIENTS];
    uint64_t read_index;
};

/* A number for all that decides what may happen from here on. */
uint64_t scope_digest(const struct scope *sc);

struct scope_options {
    uint32_t depth;
    uint64_t jobs;
    uint64_t secs;          /* then the level under way is left; 0: no limit */
    bool joined;            /* a turn comes at once, with the event before it */
    const char *replay;     /* do these events and print them; NULL: all */
    enum scope_start start; /* of the replay */
};

/* Returns the program's status. */
int scope_run(const struct scope_options *o);

#endif /* TESTS_SIM_SCOPE_H */
