/* Nodes of the raft core for tests: one alone, or several joined by a network
 * that lives in a queue.
 *
 * A node is a raft with its own memory storage. NODE(...) makes one from
 * designated initialisers; what is not named has the value most tests want:
 *
 *     struct node *n = NODE(.voters = IDS(1, 2, 3), .log = TERMS(1, 2));
 *     node_step(n, MSG(HEARTBEAT, 2, 1, .term = 3, .commit = 2));
 *     node_free(n);
 *
 * Fatal conditions go to `raft_trap`: assert_fatal(&raft_trap, ...).
 *
 * Counterpart: etcd-io/raft raft_test.go, rafttest (the helpers). */

#ifndef TESTS_LIB_RAFT_FIXTURE_H
#define TESTS_LIB_RAFT_FIXTURE_H

#include "tests/lib/cmocka.h"

#include "src/base/buf.h"
#include "src/raft/memory_storage.h"
#include "src/raft/raft_internal.h"
#include "src/raft/rawnode.h"
#include "tests/lib/entries.h"
#include "tests/lib/fatal.h"

extern struct fatal_trap raft_trap;

/* Lists written in place; they live as long as the enclosing block. */
#define NO_IDS ((struct id_list){NULL, 0})
#define IDS(...)                                                               \
    ((struct id_list){(uint64_t[]){__VA_ARGS__},                               \
                      sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)})
#define TERMS(...) IDS(__VA_ARGS__)

/* --- one node --- */

struct node_spec {
    uint64_t id; /* 1 */
    struct id_list voters;
    struct id_list learners;
    struct id_list voters_outgoing;
    bool auto_leave;
    int election;         /* 10 */
    int heartbeat;        /* 1 */
    struct id_list log;   /* terms of the stored entries */
    uint64_t log_first;   /* index of the first of them; 1 */
    uint64_t log_term0;   /* term of the position before it */
    struct hard_state hs; /* as stored */
    uint64_t applied;
    bool async;
    uint64_t max_size_per_msg; /* no limit */
    uint64_t max_committed_size_per_ready;
    uint64_t max_uncommitted_entries_size;
    size_t max_inflight_msgs; /* 256 */
    uint64_t max_inflight_bytes;
    bool check_quorum;
    bool pre_vote;
    enum read_only_option read_only_option;
    bool disable_proposal_forwarding;
    bool disable_conf_change_validation;
    bool step_down_on_removal;
    uint64_t seed; /* different for every node made */
};

struct node {
    struct memory_storage ms;
    struct raft r;
    bool unchecked; /* raft_check is not called: the test breaks an invariant */
};

struct node *node_new(const struct node_spec *spec);
void node_free(struct node *n); /* NULL: no-op */
#define NODE(...) node_new(&(struct node_spec){__VA_ARGS__})

/* The parts, for tests of rawnode: a storage filled, a configuration. */
void storage_fill(struct memory_storage *ms, const struct node_spec *spec);
struct raft_config spec_config(const struct node_spec *spec,
                               struct memory_storage *ms);

/* Roles by the shortest way, with the leader's first commit left open. */
void node_become_leader(struct node *n);

/* A leader of {1, 2, 3} at term 1 whose first entry all hold and replicate. */
struct node *settled_leader(void);

/* --- messages --- */

#define MSG(t, f, to_id, ...)                                                  \
    ((struct raft_message){                                                    \
        .type = RAFT_MSG_##t, .from = (f), .to = (to_id), ##__VA_ARGS__})

/* `m` with one more entry, or the entries of a table. */
struct raft_message with_data(struct raft_message m, const char *data);
struct raft_message with_blob(struct raft_message m, size_t len);
struct raft_message with_entries(struct raft_message m,
                                 const struct at ids[AT_MAX]);
struct raft_message with_conf_change(struct raft_message m,
                                     const struct conf_change *cc);
struct raft_message with_conf_change_v2(struct raft_message m,
                                        const struct conf_change_v2 *cc);
struct raft_message with_snapshot(struct raft_message m,
                                  struct raft_snapshot *s);
struct raft_message with_context(struct raft_message m, const char *context);
#define ATS(...) ((struct at[AT_MAX]){__VA_ARGS__})

/* A snapshot with members. */
struct raft_snapshot *member_snapshot(uint64_t index, uint64_t term,
                                      struct id_list voters,
                                      struct id_list learners);

/* The test breaks an invariant on purpose: no check from now on. */
void node_uncheck(struct node *n);

/* Step `m`, which is released. The second form ignores the result. */
int node_step_rc(struct node *n, struct raft_message m);
void node_step(struct node *n, struct raft_message m);

/* Propose `data` to `n`. */
void node_propose(struct node *n, const char *data);

/* Let time pass. */
void node_tick(struct node *n, int times);

/* Apply AddNode and its like at once, as if committed. */
void node_apply(struct node *n, enum conf_change_type type, uint64_t id);

/* Deliver what `n` promised itself, as if everything were durable. */
void advance_messages_after_append(struct raft *r);

/* That, and what it wants to send; the caller releases it. */
struct message_queue read_messages(struct raft *r);

/* The same for tests that only count. */
size_t drop_messages(struct raft *r);

/* All are taken, those of `type` counted. */
size_t drop_messages_of(struct raft *r, enum raft_message_type type);

/* Make everything durable and applied; the entries to apply are appended to
 * `out` (may be NULL). */
void next_ents(struct node *n, struct raft_entries *out);

/* Let all members accept what a new leader sends, and apply it. */
void commit_noop_entry(struct node *n);

/* The answer of a follower that accepts the append `m`. */
struct raft_message accept_and_reply(const struct raft_message *m);

/* --- looks --- */

struct progress *pr_of(struct node *n, uint64_t id);
void assert_role(const struct node *n, enum raft_role role, uint64_t term);
void assert_log_terms(const struct raft *r, struct id_list terms);
void assert_same_log(const struct raft *a, const struct raft *b);
void assert_ids(const struct id_list *got, struct id_list want);
void assert_voters(const struct node *n, struct id_list want);
void assert_learners(const struct node *n, struct id_list want);

/* --- a network --- */

#define NETWORK_MAX 8

typedef bool network_hook_fn(void *ctx, const struct raft_message *m);

struct network {
    struct node *nodes[NETWORK_MAX + 1]; /* by id; NULL: a black hole */
    size_t n;
    bool cut[NETWORK_MAX + 1][NETWORK_MAX + 1]; /* [from][to] */
    bool ignored[RAFT_MSG_TYPES];
    network_hook_fn *hook; /* false: the message is lost; NULL: none */
    void *hook_ctx;
};

/* A peer that swallows everything. */
#define BLACK_HOLE ((struct node *)(void *)&raft_trap)

/* Peers 1..n, owned by the network from now on. NULL is a fresh voter; a node
 * gets its place as id and all n as members, of which learners stay learners
 * [raft-tests 1]. */
void network_init(struct network *nt, struct node *const *peers, size_t n);

/* n fresh peers made from `spec`. */
void network_init_spec(struct network *nt, const struct node_spec *spec,
                       size_t n);
void network_release(struct network *nt);

#define NETWORK(nt, ...)                                                       \
    network_init((nt), (struct node *const[]){__VA_ARGS__},                    \
                 sizeof((struct node *const[]){__VA_ARGS__}) /                 \
                     sizeof(struct node *))

/* Step `m` at its receiver, and what follows from it, until all is quiet. */
void network_send(struct network *nt, struct raft_message m);

/* The same for a batch; the queue is emptied. */
void network_send_all(struct network *nt, struct message_queue *q);

/* Whether the network delivers `m`, and leave out of `q` what it does not. */
void network_filter(struct network *nt, struct message_queue *q);

/* What `id` has to send, filtered, goes on its way. */
void network_flush(struct network *nt, uint64_t id);

void network_cut(struct network *nt, uint64_t a, uint64_t b);
void network_isolate(struct network *nt, uint64_t id);
void network_ignore(struct network *nt, enum raft_message_type type);
void network_recover(struct network *nt);

/* Frequent messages. */
void network_hup(struct network *nt, uint64_t id);
void network_beat(struct network *nt, uint64_t id);
void network_propose(struct network *nt, uint64_t id, const char *data);
void network_transfer(struct network *nt, uint64_t to, uint64_t transferee);

#endif /* TESTS_LIB_RAFT_FIXTURE_H */
