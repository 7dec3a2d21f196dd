/* See descriptors.h. */

#include "src/server/descriptors.h"

#include "src/base/bounds.h"

static uint64_t clamp(uint64_t v, uint64_t lo, uint64_t hi)
{
    return max_u64(lo, min_u64(v, hi));
}

struct descriptors descriptors_share(uint64_t limit)
{
    uint64_t spare = limit > FD_RESERVE ? limit - FD_RESERVE : 0;
    uint64_t peers = clamp(spare / 8, PEER_CONNS_MIN, PEER_CONNS_MAX);
    /* There are about as many links to the peers as from them. */
    uint64_t clients = spare > 2 * peers ? spare - 2 * peers : 0;

    return (struct descriptors){
        .clients = clamp(clients, CLIENT_CONNS_MIN, CLIENT_CONNS_MAX),
        .peers = peers,
    };
}
