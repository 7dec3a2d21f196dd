/* The node: raft, its log on disk, and the state machine, joined by the Ready
 * loop.
 *
 * src/server puts the layers together. raftnode is the heart: messages,
 * requests and ticks come in and only step; raftnode_process(), once per loop
 * turn, does the work of each Ready. Storage writes are asynchronous (raft.h):
 *
 *   what rests on nothing   send
 *   what rests on the disk  join to one write -> submit -> done -> memory
 *                           storage -> send, or step what is ours
 *   what is committed       apply -> complete requests
 *
 * It knows no libuv, no sockets and no clock, so that whole clusters run in one
 * process, in virtual time.
 *
 * A snapshot of our own stops nothing: the map is frozen, another thread writes
 * the file, and its marker joins a later write (snapshots.c).
 *
 * Counterpart: etcd contrib/raftexample raft.go (raftNode, serveChannels). */

#ifndef SRC_SERVER_RAFTNODE_H
#define SRC_SERVER_RAFTNODE_H

#include "proto/raftpb.h"
#include "snap/snapshotter.h"
#include "src/base/err.h"
#include "src/raft/raft.h"
#include "src/server/request.h"

struct kvstore;
struct logger;
struct raftnode; /* opaque */

/* --- seams --- */

/* What Readys ask of the log. Borrowed until the completion. */
struct raftnode_write {
    struct raft_snapshot *snapshot; /* the leader's: file, then marker */
    struct hard_state hard_state;   /* empty: none */
    struct raft_entry *const *entries;
    size_t n_entries;
    /* A snapshot of our own whose file is durable: its marker, behind the rest;
     * synced. NULL: none; never beside `snapshot`. */
    const struct raft_snapshot *marker;
    bool must_sync;
    /* There are requests that wait for the loop, and not for this write. */
    bool others_wait;
};

/* `rc` 0: all of it is durable (what must_sync asked for). Negative: the disk
 * cannot be trusted any more, except after save_snapshot with `fatal` false:
 * that file does not exist, everything else is as before. */
typedef void raftnode_written_cb(void *arg, int rc, bool fatal,
                                 const struct errmsg *em);

/* Files, in two lanes side by side: the log, and the files of our own
 * snapshots. One request at a time in each; the completion may come from inside
 * the call or later. */
struct raftnode_storage {
    void *ctx;
    void (*submit)(void *ctx, const struct raftnode_write *w,
                   raftnode_written_cb *done, void *arg);

    /* In the other lane. The file of a snapshot that this node made of itself:
     * `snap` without data, and what that would be, read on the worker's thread.
     * Both are borrowed until the completion. It counts once its marker is
     * written. */
    void (*save_snapshot)(void *ctx, const struct raft_snapshot *snap,
                          const struct snapshot_content *content,
                          raftnode_written_cb *done, void *arg);
    /* Also there. Snapshot files and segments that nobody needs may go: all
     * that lies before the oldest snapshot that is kept. Not while the log is
     * being written. */
    void (*compact)(void *ctx, raftnode_written_cb *done, void *arg);

    /* The file of a snapshot that counts, to be sent. */
    int (*open_snapshot)(void *ctx, uint64_t term, uint64_t index,
                         struct raft_snapshot_source **out, struct errmsg *em);
};

/* Peers, out. Never blocks, never fails: what is lost is reported back through
 * raftnode_report_unreachable. */
struct raftnode_peers {
    void *ctx;
    void (*send)(void *ctx, const struct raft_message *messages, size_t n);
    void (*add)(void *ctx, uint64_t id, const char *url);
    void (*remove)(void *ctx, uint64_t id);
    void (*update)(void *ctx, uint64_t id, const char *url);
    /* Whether text from the log can be a peer URL; its canonical form, owned
     * by the caller, or NULL. */
    char *(*check_url)(void *ctx, struct bytes url);
};

/* --- configuration --- */

struct raftnode_peer {
    uint64_t id;
    const char *url;
};

/* What the disk says at start. */
struct raftnode_recovered {
    bool is_new;                    /* nothing was ever written */
    struct raft_snapshot *snapshot; /* NULL: none */
    struct hard_state hard_state;
    struct raft_entries entries; /* behind the snapshot */
};

void raftnode_recovered_release(struct raftnode_recovered *r);

struct raftnode_config {
    uint64_t id;
    bool join; /* do not found a cluster, wait to be told of one */
    const struct raftnode_peer *peers; /* --cluster, ids 1..n; copied */
    size_t n_peers;
    int election_ticks;
    int heartbeat_ticks;
    uint64_t snapshot_count;           /* applied entries between snapshots */
    uint64_t snapshot_catchup_entries; /* kept behind one */
    uint64_t request_timeout_ticks;
    uint64_t seed;    /* of raft's timeouts and the map's hash */
    uint64_t id_base; /* 48 bits: request ids start above it (extensions.md) */
    const struct logger *lg;
    struct raftnode_peers peers_seam;
    struct raftnode_storage storage_seam;
};

/* --- life --- */

/* A node over what was recovered. Everything in `cfg` is copied or borrowed as
 * said there, `found` is taken over and empty afterwards.
 * Errors: ERR_MALFORMED, the snapshot's content cannot be read. */
MUST_CHECK int raftnode_new(const struct raftnode_config *cfg,
                            struct raftnode_recovered *found,
                            struct raftnode **out, struct errmsg *em);

/* Requests must be finished: raftnode_stop. NULL: no-op. */
void raftnode_free(struct raftnode *rn);

enum raftnode_condition {
    RAFTNODE_RUNNING,
    RAFTNODE_REMOVED, /* no longer a member: stop with status 0 */
    RAFTNODE_FAILED,  /* the disk or the log cannot be trusted: status 1 */
};

/* `why` (static or owned by the node) is a line for the operator. */
enum raftnode_condition raftnode_condition(const struct raftnode *rn,
                                           const char **why);

/* --- input: only steps, the work is done in raftnode_process --- */

void raftnode_tick(struct raftnode *rn);

/* A message from a peer. 0 also where raft has no use for it; ERR_REFUSED if it
 * would do harm (undecodable proposal or snapshot); ERR_STOPPED. */
int raftnode_step(struct raftnode *rn, const struct raft_message *m);
void raftnode_report_unreachable(struct raftnode *rn, uint64_t id);
void raftnode_report_snapshot(struct raftnode *rn, uint64_t id, bool ok);

/* A peer refuses to talk to us as we were removed. Once a majority of the
 * others has said so, the condition is RAFTNODE_REMOVED. */
void raftnode_report_removed(struct raftnode *rn, uint64_t told_by);

/* A peer does not know us: it has not applied yet that we were added, or, if we
 * were removed, it has applied that. Members of other programs say no more. */
void raftnode_report_unknown(struct raftnode *rn, uint64_t told_by);

/* Take a client's request; its callback comes from here or from
 * raftnode_process. */
void raftnode_submit(struct raftnode *rn, struct request *req);

/* Forget a request: no callback will come. What was proposed may happen. */
void raftnode_cancel(struct raftnode *rn, struct request *req);

/* Build a PUT: the entry with the command, under a new request id. */
void raftnode_init_put(struct raftnode *rn, struct request *req,
                       struct bytes key, struct bytes value, bool respond_async,
                       request_cb *cb);
void raftnode_init_get(struct raftnode *rn, struct request *req,
                       struct bytes key, request_cb *cb);
void raftnode_init_member(struct raftnode *rn, struct request *req,
                          enum request_kind kind, uint64_t id, const char *url,
                          request_cb *cb);

/* This node's map as it is. */
const struct kvstore *raftnode_store(const struct raftnode *rn);

/* --- work --- */

/* Do the work of every Ready there is, as far as the disk has come. Once per
 * loop turn; not re-entrant. */
void raftnode_process(struct raftnode *rn);

/* Puts and changes of members; gets and changes that are being checked. */
struct request_load raftnode_puts(const struct raftnode *rn);
struct request_load raftnode_reads(const struct raftnode *rn);

/* Until the next call: whether puts and reads that have not been sent yet wait
 * on, for more of them (gather.h). At first neither does. */
void raftnode_hold(struct raftnode *rn, bool puts, bool reads);

/* Hand leadership over, if this is the leader; raft sees to the rest. */
void raftnode_transfer_leadership(struct raftnode *rn);

/* No request is taken any more: new ones get ERR_STOPPED. Those not proposed
 * yet get ERR_STOPPED now; the others run on. */
void raftnode_drain(struct raftnode *rn);

/* Requests that still wait for their outcome. */
size_t raftnode_pending(const struct raftnode *rn);

/* End all of them: proposed ones with ERR_OUTCOME_UNKNOWN, the others with
 * ERR_STOPPED. A snapshot that is being written is given up soon: storage still
 * has to say so. Nothing is processed any more. */
void raftnode_stop(struct raftnode *rn);

/* --- looking --- */

struct raftnode_status {
    struct raft_status raft; /* raft_status_release */
    uint64_t snapshot_index;
    uint64_t log_bytes; /* that the log takes in memory */
    size_t pending_proposals;
    size_t pending_reads;
    struct conf_state conf_state; /* conf_state_release */
};
void raftnode_get_status(const struct raftnode *rn, struct raftnode_status *st);
void raftnode_status_release(struct raftnode_status *st);

/* A leader is known, and the applied index moves with the commit index. */
bool raftnode_healthy(const struct raftnode *rn, const char **why);

/* That the log takes in memory, in bytes. */
uint64_t raftnode_log_bytes(const struct raftnode *rn);

/* Whether a member waits for a snapshot that is still to be made. */
bool raftnode_owes_snapshot(const struct raftnode *rn);

/* Whether other members have something to answer: there are entries that are
 * not known as committed, or requests under way. */
bool raftnode_awaits_others(const struct raftnode *rn);

/* The leader's id, or RAFT_NONE. */
uint64_t raftnode_leader(const struct raftnode *rn);
bool raftnode_is_leader(const struct raftnode *rn);
bool raftnode_was_removed(const struct raftnode *rn, uint64_t id);

#endif /* SRC_SERVER_RAFTNODE_H */
