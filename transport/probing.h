/* GET /raft/probing every 4 s: does the peer's port answer? For the log only.
 *
 * Counterpart: etcd rafthttp probing_status.go.
 * Differs: one probe at a time, not two; clocks are not compared. */

#ifndef TRANSPORT_PROBING_H
#define TRANSPORT_PROBING_H

#include "src/net/http_conn.h"
#include "transport/headers.h"

#define PROBING_INTERVAL_MS 4000
#define PROBING_TIMEOUT_MS  3000

struct peer;

struct prober {
    struct peer *peer;
    struct http_client *client; /* NULL: between two probes */
    uint64_t next_ms;
    struct peer_answer answer;
    bool healthy; /* as the last probe said; true at first */
};

void prober_init(struct prober *pr, struct peer *p, uint64_t now_ms);
void prober_tick(struct prober *pr);
void prober_close(struct prober *pr);

#endif /* TRANSPORT_PROBING_H */
