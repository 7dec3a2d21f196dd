/* The world of an interaction script: nodes, the messages between them, and
 * the work of their append and apply threads, all moved by commands only.
 *
 * Every function writes what happened to env->out, in the format of
 * raft-tests.md 4. Nodes are numbered from 1, and the number is the raft id.
 *
 * Counterpart: etcd-io/raft rafttest/interaction_env*.go. */

#ifndef TESTS_DATADRIVEN_INTERACTION_ENV_H
#define TESTS_DATADRIVEN_INTERACTION_ENV_H

#include "src/raft/memory_storage.h"
#include "src/raft/raft_internal.h"
#include "src/raft/rawnode.h"
#include "tests/datadriven/runner.h"

/* Levels of the reference's logger. All but the last one only filter log lines,
 * of which we have none; at NONE nothing at all is printed [IE-2]. */
enum env_log_level {
    ENV_DEBUG,
    ENV_INFO,
    ENV_WARN,
    ENV_ERROR,
    ENV_FATAL,
    ENV_NONE,
};

/* The state machine appends every payload to its data. The snapshot after each
 * applied entry is kept, and raft gets the last one [IE-5, IE-6]. */
struct history {
    struct raft_snapshot **items;
    size_t n;
};

struct node {
    struct raft_storage storage; /* what raft sees: `ms`, but for snapshots */
    struct memory_storage ms;
    struct raft_config cfg;
    struct rawnode *rn;
    struct message_queue append_work;
    struct message_queue apply_work;
    struct history history;
};

struct env {
    struct node **nodes; /* nodes[i] has the id i + 1 */
    size_t n_nodes;
    struct message_queue messages; /* in flight, in order of emission */
    struct buf *out;               /* of the command, or an indented block */
    enum env_log_level log_level;
};

/* Whom deliver-msgs is about. */
struct recipient {
    uint64_t id;
    bool drop;
};

#define ANY_TYPE UINT64_MAX

struct env *env_new(void);
void env_free(struct env *env);

/* One more node. It starts from `snap` if that is not empty, and takes `cfg`
 * but for what belongs to a node of its own. */
void env_add_node(struct env *env, const struct raft_config *cfg,
                  struct raft_snapshot *snap);

/* Append to the output, unless the level is NONE. */
void env_printf(struct env *env, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The functions below return 0, or an error whose text is in `em`. */

int env_process_ready(struct env *env, struct node *n, struct errmsg *em);
int env_process_append_thread(struct env *env, struct node *n,
                              struct errmsg *em);
int env_process_apply_thread(struct env *env, struct node *n,
                             struct errmsg *em);

typedef int env_process_fn(struct env *env, struct node *n, struct errmsg *em);

/* Run it with its output indented [IE-4]. */
int env_indented(struct env *env, env_process_fn *process_cb, struct node *n,
                 struct errmsg *em);

/* Deliver or drop what waits for the recipients; returns the number of
 * messages. */
size_t env_deliver(struct env *env, uint64_t type, const struct recipient *rs,
                   size_t n);

/* Let the nodes work until nothing is left to do [IE-14]. */
int env_stabilize(struct env *env, struct node *const *nodes, size_t n,
                  struct errmsg *em);

/* Print the stored log. */
void env_raft_log(struct env *env, struct node *n);

#endif /* TESTS_DATADRIVEN_INTERACTION_ENV_H */
