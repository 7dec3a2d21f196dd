/* One machine of a simulation: a disk that survives, and the node that runs on
 * it now and then. The node is the shipped code: raftnode, storage, WAL,
 * snapshotter, store. Its seams end here.
 *
 * What leaves through a seam is told to the hooks. What is asked of the disk is
 * done at once, or with `held_writes` kept, in each of its two lanes, until
 * sim_node_write() or sim_node_file(): so a test decides when it happens, and
 * whether the power fails in the middle of it. */

#ifndef TESTS_LIB_SIM_NODE_H
#define TESTS_LIB_SIM_NODE_H

#include "src/base/log.h"
#include "src/server/raftnode.h"
#include "tests/lib/sim_vfs.h"

#define SIM_NODES_MAX 8

struct sim_node;
struct storage;

struct sim_node_hooks {
    void *ctx;
    /* A message to a peer that the node was told to talk to, or to one that it
     * heard of (sim_node_hear); borrowed. */
    void (*send)(void *ctx, struct sim_node *from,
                 const struct raft_message *m);
    /* The node asks for a write of its log. NULL: not of interest. */
    void (*submit)(void *ctx, struct sim_node *n,
                   const struct raftnode_write *w);
    /* It asks for something in the other lane. NULL: not of interest. */
    void (*file)(void *ctx, struct sim_node *n);
    /* A line of the log, INFO and worse. NULL: not of interest. */
    void (*line)(void *ctx, struct sim_node *n, enum log_level level,
                 const char *line);
};

/* A write that the node waits for. */
struct sim_write {
    struct raftnode_write w;
    raftnode_written_cb *done; /* NULL: there is none */
    void *arg;
};

/* The same of the other lane. */
struct sim_file {
    const struct raft_snapshot *own; /* to be written; NULL: to delete */
    struct snapshot_content content;
    raftnode_written_cb *done; /* NULL: there is none */
    void *arg;
};

/* What the disk said, before the node hears it. */
struct sim_written {
    int rc;
    bool fatal;
    struct errmsg em;
};

struct sim_node {
    struct sim_node_hooks hooks;
    uint64_t id;
    char url[64];
    struct logger lg;
    char last_error[512];         /* the last line of WARN or worse */
    struct sim_vfs *disk;         /* survives crashes */
    struct storage *storage;      /* NULL: down */
    struct raftnode *node;        /* NULL: down */
    struct raftnode_storage seam; /* of `storage` */
    bool held_writes;
    struct sim_write held;           /* done NULL: none */
    struct sim_written written;      /* of the write that is under way */
    struct sim_file held_file;       /* the other lane; done NULL: none */
    struct sim_written filed;        /* of what is under way there */
    bool peers[SIM_NODES_MAX + 1];   /* whom the node was told to talk to */
    bool remotes[SIM_NODES_MAX + 1]; /* who told it where to be answered */
};

struct sim_node_options {
    bool join;
    size_t n_cluster; /* --cluster has this many members, ids from 1 */
    int election_ticks;
    uint64_t snapshot_count;
    uint64_t catchup_entries;
    uint64_t segment_bytes;
    uint64_t request_timeout_ticks;
    uint64_t seed;
    uint64_t id_base;
};

/* A machine with an empty disk, its node not started. */
void sim_node_init(struct sim_node *n, uint64_t id,
                   const struct sim_node_hooks *hooks);
void sim_node_release(struct sim_node *n); /* the node must be down */

/* The URL that node `id` has in every simulation. */
void sim_node_url(uint64_t id, char out[64]);

/* Read the disk as it is. `found` is to be handed to sim_node_run, or released
 * after sim_node_close. Errors as storage_open. */
MUST_CHECK int sim_node_open(struct sim_node *n, uint64_t segment_bytes,
                             struct raftnode_recovered *found,
                             struct errmsg *em);

/* Start the node on what was found; on error it is closed again. */
MUST_CHECK int sim_node_run(struct sim_node *n,
                            const struct sim_node_options *o,
                            struct raftnode_recovered *found,
                            struct errmsg *em);

/* A message comes to `n` from `from`: if that is no peer, `n` learns where to
 * answer it, as the transport does (transport/remotes.h). */
void sim_node_hear(struct sim_node *n, uint64_t from);

/* What dialing would tell `n`: that `peer` knows it was removed. */
void sim_node_dial(struct sim_node *n, const struct sim_node *peer);

/* Free the node, without a word to its requests, and close its files. */
void sim_node_close(struct sim_node *n);

/* Do the write that is held; `true` if there was one. The node has not heard of
 * it before sim_node_tell. */
bool sim_node_write(struct sim_node *n);

/* Tell the node how the write of sim_node_write ended. */
void sim_node_tell(struct sim_node *n);

/* The snapshot that the other lane is to write, with its data in memory, owned
 * by the caller; NULL if that is not what it is to do. */
struct raft_snapshot *sim_node_file_content(const struct sim_node *n);

/* The same two for the other lane. */
bool sim_node_file(struct sim_node *n);
void sim_node_tell_filed(struct sim_node *n);

#endif /* TESTS_LIB_SIM_NODE_H */
