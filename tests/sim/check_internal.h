/* struct checker, private to check.c (what passes the seams) and check_look.c
 * (what can be seen of a node). */

#ifndef TESTS_SIM_CHECK_INTERNAL_H
#define TESTS_SIM_CHECK_INTERNAL_H

#include "src/base/map.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/check.h"
#include "tests/sim/state.h"

/* What the entry at one index was, in one of the terms that had one there. */
struct version {
    uint64_t term;
    uint64_t prev_term; /* of the entry before it */
    uint64_t request_id;
    uint32_t hash; /* of type and data */
    bool is_put;
    struct state_pair put;
};

struct position {
    struct version *versions; /* by time of first sight */
    size_t n_versions;
    uint64_t committed;     /* the term that was; 0: none yet */
    uint64_t committed_in;  /* the term of the leader that did it */
    uint64_t state;         /* of the map, once all up to here is applied */
    uint32_t snapshot_hash; /* of a snapshot as of here */
    uint32_t members_hash;  /* who is a member then, and where */
    bool has_snapshot;
    bool has_members;
};

/* Terms by index. Below `first` only the last term is known. */
struct term_log {
    uint64_t *terms; /* [i - first] */
    size_t n;
    size_t cap;
    uint64_t first;  /* a snapshot stands right before it */
    uint64_t before; /* the term of the position before `first` */
};

/* A write that was asked for and is not known to be durable. */
struct pending {
    bool is_open;
    bool has_snapshot; /* from the leader */
    bool must_sync;
    struct entry_id snapshot;
    uint64_t marker;      /* of a snapshot of its own; 0: none */
    struct hard_state hs; /* empty: none */
    uint64_t first;
    uint64_t *terms;
    size_t n;
    size_t cap;
};

#define READS_RETURNED 16

/* Who votes, a bit for each id. */
struct voters {
    uint32_t incoming;
    uint32_t outgoing;
};

struct node_model {
    struct term_log log; /* durable */
    struct hard_state hs;
    uint64_t synced_commit; /* hs.commit may be a later one, not durable */
    struct pending pending;
    uint64_t filed; /* the last snapshot of its own whose file is durable */
    /* What this life has shown. */
    uint64_t term;
    uint64_t commit;
    uint64_t applied;
    struct voters voters; /* as of the last look */
    uint64_t led_term;    /* of the last write as a leader */
    uint64_t looks;
    /* As a leader, if it is one now: its term, and what it knows of the others
     * (I9, I12). */
    uint64_t leads_term;
    uint64_t match[SIM_NODES_MAX + 1];
    uint64_t change_at; /* its last change of members */
    /* The newest snapshot that is durable; where the log was compacted; how
     * many of its disks were tried (I27). */
    uint64_t snapshot;
    uint64_t compacted;
    uint64_t n_tried;
    /* Over all lives: the last vote that was given away. */
    uint64_t vote_term;
    uint64_t vote;
    /* The term it last asked for votes in, and by what log. */
    uint64_t campaign_term;
    struct entry_id campaign_log;
    uint64_t read_seq; /* of its last question to a leader (I21) */
    uint64_t returned[READS_RETURNED]; /* of those that came back */
    size_t n_returned;
};

/* A PUT, by its request id. */
struct put {
    uint64_t id;
    bool is_logged; /* by any node */
    bool is_refused;
    uint64_t committed_at;
};

/* What a term has shown. */
struct term_seen {
    uint64_t leader;                   /* 0: none yet */
    uint64_t votes[SIM_NODES_MAX + 1]; /* for whom each voted, 0: for nobody */
};

struct checker {
    checker_violation_cb *on_violation;
    void *ctx;
    struct node_model nodes[SIM_NODES_MAX + 1];
    struct position *positions; /* by index */
    size_t n_positions;
    uint64_t committed;      /* all up to here are in the ledger */
    struct term_seen *terms; /* by term */
    size_t n_terms;
    struct map puts;
    struct state state; /* as of `committed` */
};

static inline uint64_t log_last(const struct term_log *l)
{
    return l->first + l->n - 1;
}

/* 0 where the log has nothing, or nothing any more. */
static inline uint64_t log_term(const struct term_log *l, uint64_t index)
{
    if (index + 1 == l->first) {
        return l->before;
    }
    if (index < l->first || index > log_last(l)) {
        return 0;
    }
    return l->terms[index - l->first];
}

static inline const struct raft *raft_of(const struct sim_node *n)
{
    return &n->node->raw->raft;
}

/* The ledger at `index`. */
struct position *check_position(struct checker *k, uint64_t index);

/* NULL if no log had an entry of that term there. */
struct version *check_version(const struct position *p, uint64_t term);
struct put *check_put(struct checker *k, uint64_t id);
struct term_seen *check_term(struct checker *k, uint64_t term);

/* checker_look, also from within the applying of an entry. */
void check_look(struct checker *k, const struct sim_node *n);

#endif /* TESTS_SIM_CHECK_INTERNAL_H */
