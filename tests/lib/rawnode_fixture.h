/* A rawnode with its storage, for tests of the door.
 *
 *     struct rawnode_env env;
 *     rawnode_env_init(&env, &(struct node_spec){.voters = IDS(1)});
 *     struct raft_ready rd;
 *     rawnode_env_ready(&env, &rd);   ... look at rd ...
 *     rawnode_advance(env.rn);
 *     rawnode_env_release(&env); */

#ifndef TESTS_LIB_RAWNODE_FIXTURE_H
#define TESTS_LIB_RAWNODE_FIXTURE_H

#include "tests/lib/raft_fixture.h"

struct rawnode_env {
    struct memory_storage ms;
    struct rawnode *rn;
};

void rawnode_env_init(struct rawnode_env *env, const struct node_spec *spec);
void rawnode_env_release(struct rawnode_env *env);

/* Take a Ready and make stable what it asks for. */
void rawnode_env_ready(struct rawnode_env *env, struct raft_ready *rd);

/* The same without looking at it, until nothing is left; conf changes among the
 * committed entries are applied. */
void rawnode_env_drain(struct rawnode_env *env);

/* Apply a committed configuration change; *cs is owned by the caller. */
void rawnode_env_apply(struct rawnode_env *env, const struct raft_entry *e,
                       struct conf_state *cs);

/* Campaign and become the leader of a group of one. */
void rawnode_env_lead(struct rawnode_env *env);

/* Propose `data`; the result of rawnode_propose. */
int rawnode_env_propose(struct rawnode_env *env, const char *data);

/* Step `m`, which is released. */
int rawnode_env_step(struct rawnode_env *env, struct raft_message m);

/* One message to the local threads: write what it says into storage and step
 * those of its responses that are for the node itself. */
void storage_thread_write(struct rawnode_env *env,
                          const struct raft_message *m);
void storage_thread_respond(struct rawnode_env *env,
                            const struct raft_message *m);

#endif /* TESTS_LIB_RAWNODE_FIXTURE_H */
