/* See gather.h.
 *
 * Two calls, as requests are counted, not followed: between begin and end none
 * comes in, so those that are gone at the end were answered; between end and
 * begin none is sent. */

#include "src/server/gather.h"

/* For those under way. */
static bool waits_for_batch(const struct gather *g, struct request_load load,
                            uint64_t now_ns)
{
    return load.under_way >= GATHER_MIN && load.waiting < 2 * load.under_way &&
           g->took_ns < GATHER_PATIENCE_NS &&
           (!g->holds || now_ns - g->held_since_ns < GATHER_PATIENCE_NS);
}

/* For those who were answered and ask again. */
static bool waits_for_clients(const struct gather *g, struct request_load load)
{
    return g->answered >= GATHER_MIN && load.waiting < g->answered &&
           g->looks < GATHER_LOOKS &&
           load.waiting > g->last.waiting + g->last.waiting / 4;
}

void gather_look(struct gather *g)
{
    g->looked = true;
}

bool gather_begin(struct gather *g, struct request_load load, uint64_t now_ns)
{
    bool for_clients;
    bool holds;

    if (!g->looked) {
        return g->holds;
    }
    for_clients = load.under_way == 0 && waits_for_clients(g, load);
    holds =
        load.waiting > 0 && (for_clients || waits_for_batch(g, load, now_ns));
    if (holds && !g->holds) {
        g->held_since_ns = now_ns;
    }
    g->looks = for_clients ? g->looks + 1 : 0;
    g->looked = false;
    g->holds = holds;
    g->last = load;
    return holds;
}

enum gather_next gather_end(struct gather *g, struct request_load load,
                            uint64_t now_ns)
{
    size_t before = g->last.waiting + g->last.under_way;
    size_t after = load.waiting + load.under_way;

    if (g->last.under_way > 0 && load.under_way == 0) {
        g->took_ns = now_ns - g->sent_ns;
    }
    if (load.waiting < g->last.waiting) {
        g->sent_ns = now_ns;
        g->answered = 0;
    }
    g->answered += before > after ? before - after : 0;
    g->last = load;
    if (load.waiting == 0 || !g->holds) {
        return GATHER_NOTHING;
    }
    return load.under_way == 0 ? GATHER_NOW : GATHER_LATER;
}
