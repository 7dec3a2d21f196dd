/* Three nodes in one process: a complete user of libetcdraft.
 *
 * They elect a leader, which takes three proposals and hands over; each node
 * prints what it applies. Stable storage is memory, the network a direct call.
 * The seeds are given, so every run prints the same. */

#include <etcdraft/memory_storage.h>
#include <etcdraft/rawnode.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3

struct node {
    uint64_t id;
    struct rawnode *raft;
    struct memory_storage storage; /* the stable log */
    uint64_t applied;
    bool leads;
};

static struct node nodes[NODES];

static void must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, err_str(rc));
        exit(1);
    }
}

/* A new member of a new group: every one of them starts with the same peers. */
static void start(struct node *n, uint64_t id)
{
    struct raft_peer peers[NODES] = {{.id = 1}, {.id = 2}, {.id = 3}};

    n->id = id;
    memory_storage_init(&n->storage, NULL);
    n->raft = rawnode_new(&(struct raft_config){
        .id = id,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .storage = &n->storage.base,
        .max_size_per_msg = 1024 * 1024,
        .max_inflight_msgs = 256,
        .check_quorum = true,
        .pre_vote = true,
        .seed = id, /* where nodes are processes: from the system, once */
    });
    must(rawnode_bootstrap(n->raft, peers, NODES), "bootstrap");
}

/* The state machine is a printer; changes of the members go to raft. */
static void apply(struct node *n, const struct raft_entry *e)
{
    struct bytes data = raft_entry_data(e);
    struct conf_state members = {0};
    struct conf_change cc;

    n->applied = e->index;
    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        must(conf_change_decode(data, &cc), "configuration change");
        rawnode_apply_conf_change(n->raft, &cc, &members);
        conf_state_release(&members);
    } else if (data.len > 0) { /* a new leader's own entry is empty */
        printf("node %d applies %d: %.*s\n", (int)n->id, (int)e->index,
               (int)data.len, (const char *)data.data);
    }
}

/* The contract of a Ready: store, then send, then apply, then advance. */
static void work(struct node *n)
{
    struct raft_ready rd;

    rawnode_ready(n->raft, &rd);
    if (rd.soft_state != NULL) {
        n->leads = rd.soft_state->role == RAFT_LEADER;
    }
    if (rd.snapshot != NULL) {
        must(memory_storage_apply_snapshot(&n->storage, rd.snapshot), "apply");
    }
    if (rd.hard_state != NULL) {
        memory_storage_set_hard_state(&n->storage, rd.hard_state);
    }
    memory_storage_append(&n->storage, rd.entries, rd.n_entries);
    for (size_t i = 0; i < rd.n_messages; i++) {
        const struct raft_message *m = &rd.messages[i];

        must(rawnode_step(nodes[m->to - 1].raft, m), "step");
    }
    for (size_t i = 0; i < rd.n_committed_entries; i++) {
        apply(n, rd.committed_entries[i]);
    }
    rawnode_advance(n->raft);
}

/* Until nobody has anything left to do. */
static void settle(void)
{
    for (size_t i = 0, idle = 0; idle < NODES; i = (i + 1) % NODES) {
        idle++;
        if (rawnode_has_ready(nodes[i].raft)) {
            work(&nodes[i]);
            idle = 0;
        }
    }
}

/* The node that leads; time passes until there is one. */
static struct node *leader(void)
{
    for (size_t i = 0;; i = (i + 1) % NODES) {
        if (nodes[i].leads) {
            return &nodes[i];
        }
        rawnode_tick(nodes[i].raft);
        settle();
    }
}

int main(void)
{
    static const char *const words[] = {"paxos", "is", "hard"};

    for (size_t i = 0; i < NODES; i++) {
        start(&nodes[i], i + 1);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct bytes data = {(const uint8_t *)words[i], strlen(words[i])};

        /* The entry moves into the log; no copy, no reference left here. */
        must(rawnode_propose(leader()->raft, raft_entry_new(0, data)),
             words[i]);
        settle();
    }
    rawnode_transfer_leader(leader()->raft, leader()->id % NODES + 1);
    settle();
    for (size_t i = 0; i < NODES; i++) {
        printf("node %d has applied %d%s\n", (int)nodes[i].id,
               (int)nodes[i].applied, nodes[i].leads ? ", it leads" : "");
        rawnode_free(nodes[i].raft);
        memory_storage_release(&nodes[i].storage);
    }
    return 0;
}
