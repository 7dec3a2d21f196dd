/* Whole clusters in one process: real raftnodes, real WALs and snapshots on
 * disks in memory, messages through their real encoding over a network in
 * memory, time as ticks that the test gives.
 *
 * Everything is deterministic from the seed. A test puts faults in between:
 * cut links, crash a node with its unsynced bytes lost, fail its disk. */

#ifndef TESTS_LIB_SIM_CLUSTER_H
#define TESTS_LIB_SIM_CLUSTER_H

#include "src/base/list.h"
#include "src/base/rng.h"
#include "tests/lib/sim_node.h"

struct sim_options {
    size_t n; /* founding members */
    uint64_t seed;
    uint64_t snapshot_count; /* 0: 10000 */
    uint64_t catchup_entries;
    uint64_t segment_bytes;         /* 0: 64 KiB */
    uint64_t request_timeout_ticks; /* 0: 50 */
    bool late_writes; /* the disk's completions come a round later */
};

struct sim_cluster {
    struct sim_options o;
    struct rng rng;
    struct sim_node nodes[SIM_NODES_MAX + 1]; /* by id */
    struct list ops[SIM_NODES_MAX + 1];       /* not finished, by node */
    struct list wire; /* messages on their way, in order of sending */
    bool cut[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1]; /* from, to */
    uint64_t starts; /* of any node: no two lives share request ids */
};

/* One operation of a client. */
struct sim_op {
    struct request req;
    struct list link;
    bool done;
    int rc;
    uint8_t *value; /* of a successful GET, owned */
    size_t value_len;
};

void sim_cluster_init(struct sim_cluster *c, const struct sim_options *o);
void sim_cluster_release(struct sim_cluster *c);

/* Start a node on its disk as it is; `join` as the flag. */
MUST_CHECK int sim_start(struct sim_cluster *c, uint64_t id, bool join,
                         struct errmsg *em);

/* Start the founding members; fails the test on error. */
void sim_start_all(struct sim_cluster *c);

/* End a node in order: requests refused, log closed with its marker. */
void sim_stop(struct sim_cluster *c, uint64_t id);

/* End a node at once; what its disk had not synced is treated by `mode`. Its
 * operations are done with ERR_OUTCOME_UNKNOWN. */
void sim_crash(struct sim_cluster *c, uint64_t id, enum sim_crash_mode mode);

/* Cut or mend all links of a node. */
void sim_isolate(struct sim_cluster *c, uint64_t id, bool cut);

/* Every node processes once, then all that was sent is delivered; whether
 * anything moved. */
bool sim_round(struct sim_cluster *c);

/* Deliver and process until nothing moves. */
void sim_settle(struct sim_cluster *c);

/* `n` ticks of every node that is up, settling after each. */
void sim_run(struct sim_cluster *c, unsigned n);

/* Run until there is a leader that all nodes that are up and not cut off
 * follow, at most 200 ticks; 0 if there is none. */
uint64_t sim_elect(struct sim_cluster *c);

/* Begin an operation at a node. Free with sim_op_free, which forgets it. */
struct sim_op *sim_put(struct sim_cluster *c, uint64_t id, const char *key,
                       const char *value);
struct sim_op *sim_get(struct sim_cluster *c, uint64_t id, const char *key);
struct sim_op *sim_member(struct sim_cluster *c, uint64_t id,
                          enum request_kind kind, uint64_t member,
                          const char *url);
void sim_op_free(struct sim_cluster *c, struct sim_op *op);

/* The same, settled and run until it is done; the outcome. */
int sim_put_now(struct sim_cluster *c, uint64_t id, const char *key,
                const char *value);
int sim_member_now(struct sim_cluster *c, uint64_t id, enum request_kind kind,
                   uint64_t member);

/* Fail the test unless a linearizable read at `id` gives `value`. */
void sim_expect(struct sim_cluster *c, uint64_t id, const char *key,
                const char *value);

/* Fail the test unless all nodes that are up hold the same map. */
void sim_expect_equal_maps(struct sim_cluster *c);

#endif /* TESTS_LIB_SIM_CLUSTER_H */
