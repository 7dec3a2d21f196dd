/* What peers and their logs could bring to a node of a sim_cluster: entries and
 * messages made by hand, past the checks of our own API.
 *
 * Node 2 of term 5 is the leader in whose name they come, where one is needed:
 * a term that no election of a short test reaches. */

#ifndef TESTS_LIB_SIM_FEED_H
#define TESTS_LIB_SIM_FEED_H

#include "proto/raftpb.h"
#include "tests/lib/sim_cluster.h"

#define SIM_FEED_TERM 5

struct bytes sim_text(const char *s);

/* --- entries, count 1 --- */

struct raft_entry *sim_put_entry(const char *key, const char *value,
                                 uint64_t id);
struct raft_entry *sim_change_entry(const struct conf_change *cc);
struct raft_entry *sim_change_v2_entry(const struct conf_change_v2 *cc);

/* --- into a node --- */

/* A cluster of one, which leads and commits at once. */
struct sim_cluster *sim_alone(struct sim_cluster *c);

/* Propose `e`, which is taken over, at the one node there is; it is committed
 * and applied afterwards. The last line of the log is forgotten before. */
void sim_commit_alone(struct sim_cluster *c, struct raft_entry *e);

/* The same with a membership change; `context` may be NULL. */
void sim_change_alone(struct sim_cluster *c, uint64_t type, uint64_t id,
                      const char *context);

/* Append and commit `entries`, which are taken over, at node 1 of a cluster of
 * three, in the name of node 2. */
void sim_feed(struct sim_cluster *c, struct raft_entry **entries, size_t n);

/* A snapshot with `image`, voters 1..n, and no addresses; count 1. */
struct raft_snapshot *sim_snapshot(uint64_t index, uint64_t term,
                                   const char *image, uint64_t voters);

/* Step `snap`, taken over, at node 1 in the name of node 2, and process; the
 * result of the step. */
int sim_feed_snapshot(struct sim_cluster *c, struct raft_snapshot *snap);

/* --- looking --- */

/* What a node tells its transport, one line each: "add 4 URL". Nothing is sent
 * from then on. */
struct sim_told {
    char lines[1024];
};

void sim_listen(struct sim_cluster *c, uint64_t id, struct sim_told *t);

void sim_expect_running(struct sim_cluster *c, uint64_t id);

/* The URL that node `at` knows of member `id`, or NULL. */
const char *sim_member_url(const struct sim_cluster *c, uint64_t at,
                           uint64_t id);

#endif /* TESTS_LIB_SIM_FEED_H */
