/* One rawnode over a memory storage, whose Readys are worked off at once and
 * recorded: for what stands on raft and is not the node itself.
 *
 *     struct ready_rig rig;
 *     ready_rig_init(&rig, &(struct ready_rig_options){.voters = 1});
 *     ready_rig_lead(&rig);
 *     ... propose, read ...
 *     ready_rig_process(&rig);
 *     ... look at rig.applied, rig.reads, rig.sent ...
 *     ready_rig_release(&rig); */

#ifndef TESTS_LIB_READY_RIG_H
#define TESTS_LIB_READY_RIG_H

#include "src/base/common.h"
#include "src/raft/memory_storage.h"
#include "src/raft/rawnode.h"

#define READY_RIG_RECORDS_MAX 64

struct ready_rig_options {
    size_t voters;                /* ids 1..n; this one is 1 */
    uint64_t max_uncommitted_len; /* 0: no limit */
};

struct ready_rig {
    struct memory_storage log;
    struct rawnode *raw;
    struct raft_entries applied; /* committed entries, in order */
    struct read_state reads[READY_RIG_RECORDS_MAX];
    size_t n_reads;
    struct raft_message sent[READY_RIG_RECORDS_MAX]; /* MsgProp, MsgReadIndex */
    size_t n_sent;
};

void ready_rig_init(struct ready_rig *rig, const struct ready_rig_options *o);
void ready_rig_release(struct ready_rig *rig);

/* Become the leader of a group of one, with an entry of the term committed. */
void ready_rig_lead(struct ready_rig *rig);

/* Follow `leader` at term 1: what is proposed is forwarded, into `sent`. */
void ready_rig_follow(struct ready_rig *rig, uint64_t leader);

/* The work of every Ready there is. Configuration changes are applied. */
void ready_rig_process(struct ready_rig *rig);

/* Whether an entry with this payload is in the stable log. */
bool ready_rig_log_has(const struct ready_rig *rig, struct bytes payload);

#endif /* TESTS_LIB_READY_RIG_H */
