/* Snapshots of our own, and those that are sent.
 *
 * One of our own, the happy path: it is due, the map is frozen and the metadata
 * copied; another thread writes the file, while this one goes on with a map
 * laid over the frozen one; once the file is durable the map melts, and the
 * snapshot's marker joins a write of the log; behind that it counts: raft's log
 * is compacted, and the other lane deletes what nobody needs any more
 * [reliability 3.1].
 *
 *   OWN_NONE     -> OWN_FILING    it is due
 *   OWN_FILING   -> OWN_FILED     the file is durable; else OWN_NONE, later
 *   OWN_FILED    -> OWN_MARKING   its marker is in the write that has begun
 *   OWN_MARKING  -> OWN_CLEANING  the marker is durable
 *   OWN_CLEANING -> OWN_NONE      what it replaces is gone
 *
 * A marker counts at the next start if it does not go beyond the commit index
 * on disk. That one lags behind what is applied, but is on its way: the marker
 * waits for it. A snapshot of the leader, which would replace the map, waits
 * until there is none of our own before its marker.
 *
 * One to send: raft says who needs it, and what is sent is the file of the one
 * that counts. If the members have changed since, a receiver that was added
 * would not find itself in it and ignore it (formats-raftexample.md 6); then
 * the message is held until there is a new one. To write the members of now
 * into the old snapshot, as raftexample does, is not enough: its receiver would
 * apply the entries in between over a configuration later than theirs, where a
 * change may make sense that made none here (apply.c, change_is_sane), and go
 * apart from us. What cannot be sent is reported to raft as failed, which asks
 * again. */

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/server/raftnode_internal.h"

/* Pairs that are merged in one turn of the loop. */
#define MELT_PER_TURN 512

/* Entries that leave the log in memory. */
#define COMPACT_PER_TURN 4096

/* A MsgSnap that waits for the snapshot it can be sent with. */
struct held_snapshot {
    struct list link;
    struct raft_message m;
};

/* --- one of our own --- */

static void copy_members(const struct raftnode *rn, struct raft_snapshot *snap)
{
    size_t n = kvstore_n_members(rn->store);

    snap->members = xcalloc(n + 1, sizeof(*snap->members));
    for (size_t i = 0; i < n; i++) {
        struct kv_member m = kvstore_member(rn->store, i);

        if (m.url != NULL) {
            snap->members[snap->n_members++] =
                (struct snapshot_member){m.id, xstrdup(m.url)};
        }
    }
}

struct raft_snapshot *snapshots_make_head(struct raftnode *rn)
{
    struct raft_snapshot *snap = raft_snapshot_new();
    int rc;

    snap->index = rn->applied;
    rc = rn->log.base.ops->term(&rn->log.base, rn->applied, &snap->term);
    ASSERT(rc == 0);
    conf_state_copy(&snap->conf_state, &rn->conf_state);
    copy_members(rn, snap);
    return snap;
}

static void on_own_done(void *arg, int rc, bool fatal, const struct errmsg *em)
{
    struct raftnode *rn = arg;

    ASSERT(rn->own.state == OWN_FILING || rn->own.state == OWN_CLEANING);
    ASSERT(!rn->own.lane_done);
    rn->own.lane_done = true;
    rn->own.rc = rc;
    if (rc < 0 && fatal) {
        raftnode_fail(rn, RAFTNODE_FAILED, "%s", em->text);
    } else if (rc < 0 && rc != ERR_STOPPED) {
        log_error(rn->lg, "snapshot at index %" PRIu64 " not saved: %s",
                  rn->own.snap->index, em->text);
    }
}

/* The leader's snapshot is about to replace the map. */
static bool is_being_replaced(const struct raftnode *rn)
{
    if (rn->phase != PHASE_IDLE && rn->write.snapshot != NULL) {
        return true;
    }
    list_for_each (it, &rn->appends) {
        const struct append *a = container_of(it, struct append, link);

        if (!raft_snapshot_is_empty(a->m.snapshot)) {
            return true;
        }
    }
    return false;
}

/* Every so many entries, or bytes of them; and when one has to be sent that has
 * the members of now in it. */
static bool is_due(const struct raftnode *rn)
{
    bool by_count = (rn->applied - rn->snapshot_index > rn->snapshot_count ||
                     rn->applied_bytes > LOG_BYTES_MAX + rn->snapshot_bytes) &&
                    rn->applied >= rn->next_snapshot_at;
    bool is_wanted = !list_is_empty(&rn->held_snapshots) &&
                     rn->applied > rn->snapshot_index &&
                     rn->now >= rn->own.retry_at;

    return (by_count || is_wanted) && rn->own.state == OWN_NONE &&
           !kvstore_is_melting(rn->store) && !is_being_replaced(rn);
}

static void begin_own(struct raftnode *rn)
{
    struct own_snapshot *own = &rn->own;

    own->snap = snapshots_make_head(rn);
    own->view = kvstore_freeze(rn->store);
    own->state = OWN_FILING;
    own->lane_done = false;
    /* Whatever becomes of it: not the next one at once. */
    rn->applied_bytes = 0;
    log_debug(rn->lg, "snapshot at index %" PRIu64 " begins", own->snap->index);
    rn->disk.save_snapshot(rn->disk.ctx, own->snap,
                           &(struct snapshot_content){own->view, kv_view_write},
                           on_own_done, rn);
}

static void forget_own(struct raftnode *rn)
{
    raft_snapshot_unref(rn->own.snap);
    rn->own.snap = NULL;
    rn->own.state = OWN_NONE;
}

static void finish_filing(struct raftnode *rn)
{
    struct own_snapshot *own = &rn->own;

    own->bytes = kv_view_bytes(own->view);
    kvstore_thaw(rn->store, own->view);
    own->view = NULL;
    if (own->rc == 0) {
        own->state = OWN_FILED;
        return;
    }
    rn->next_snapshot_at = rn->applied + rn->snapshot_count;
    own->retry_at = rn->now + rn->election_ticks;
    forget_own(rn);
}

/* Drop the log behind the snapshot, but for what slow followers may need; a
 * part of it in each turn of the loop. */
static void compact_log(struct raftnode *rn)
{
    uint64_t gone = memory_storage_first_index(&rn->log) - 1;
    uint64_t to = rn->snapshot_index > rn->catchup_entries
                      ? rn->snapshot_index - rn->catchup_entries
                      : 0;
    int rc;

    if (gone >= to) {
        to = memory_storage_compact_point(&rn->log, to, rn->snapshot_index,
                                          CATCHUP_BYTES_MAX);
        rn->compacts = to > gone;
    }
    if (to > gone) {
        rc = memory_storage_compact(&rn->log,
                                    min_u64(to, gone + COMPACT_PER_TURN));
        ASSERT(rc == 0);
    }
}

void snapshots_marked(struct raftnode *rn)
{
    struct own_snapshot *own = &rn->own;
    int rc;

    ASSERT(own->state == OWN_MARKING);
    rc = memory_storage_create_snapshot(&rn->log, own->snap);
    ASSERT(rc == 0);
    rn->snapshot_index = own->snap->index;
    rn->snapshot_bytes = own->bytes;
    log_info(rn->lg, "snapshot saved at index %" PRIu64 ", %zu bytes",
             own->snap->index, own->bytes);
    rn->compacts = true;
    compact_log(rn);
    own->state = OWN_CLEANING;
    own->lane_done = false;
    rn->disk.compact(rn->disk.ctx, on_own_done, rn);
}

const struct raft_snapshot *snapshots_marker(const struct raftnode *rn,
                                             uint64_t commit)
{
    commit = max_u64(commit, rn->log.hard_state.commit);
    return rn->own.state == OWN_FILED && rn->own.snap->index <= commit
               ? rn->own.snap
               : NULL;
}

bool snapshots_hold_back_others(const struct raftnode *rn)
{
    return rn->own.state == OWN_FILING || rn->own.state == OWN_FILED ||
           rn->own.state == OWN_MARKING;
}

/* --- sending --- */

static void free_held(struct held_snapshot *h)
{
    list_remove(&h->link);
    raft_message_release(&h->m);
    xfree(h);
}

void snapshots_hold(struct raftnode *rn, struct raft_message *m)
{
    struct held_snapshot *h = xcalloc(1, sizeof(*h));

    ASSERT(m->type == RAFT_MSG_SNAP);
    list_for_each_safe (it, &rn->held_snapshots) {
        struct held_snapshot *old =
            container_of(it, struct held_snapshot, link);

        if (old->m.to == m->to) {
            free_held(old);
        }
    }
    h->m = *m;
    *m = (struct raft_message){0};
    list_push_back(&rn->held_snapshots, &h->link);
}

/* Whether this node still is the leader that raft spoke as. */
static bool is_of_now(const struct raftnode *rn, const struct raft_message *m)
{
    struct soft_state soft;
    struct hard_state hard;

    rawnode_basic_status(rn->raw, &soft, &hard, &(uint64_t){0});
    return soft.role == RAFT_LEADER && hard.term == m->term;
}

/* Send `m` with the snapshot that counts. */
static int send_one(struct raftnode *rn, struct raft_message *m)
{
    const struct raft_snapshot *newest = rn->log.snapshot;
    struct raft_snapshot_source *source;
    struct errmsg em = {{0}};
    int rc = rn->disk.open_snapshot(rn->disk.ctx, newest->term, newest->index,
                                    &source, &em);

    if (rc < 0) {
        log_error(rn->lg,
                  "snapshot at index %" PRIu64
                  " cannot be sent to member %" PRIx64 ": %s",
                  newest->index, m->to, em.text);
        return rc;
    }
    log_info(rn->lg,
             "sending the snapshot at index %" PRIu64 " to member %" PRIx64,
             newest->index, m->to);
    raft_snapshot_unref(m->snapshot);
    m->snapshot = raft_snapshot_head(newest);
    m->snapshot->source = source;
    rn->peers.send(rn->peers.ctx, m, 1);
    return 0;
}

/* Whether the snapshot that counts has the members of now. */
static bool has_members_of_now(const struct raftnode *rn)
{
    return conf_state_equivalent(&rn->log.snapshot->conf_state,
                                 &rn->conf_state);
}

void snapshots_send_held(struct raftnode *rn)
{
    list_for_each_safe (it, &rn->held_snapshots) {
        struct held_snapshot *h = container_of(it, struct held_snapshot, link);
        uint64_t to = h->m.to;
        bool failed = false;

        if (is_of_now(rn, &h->m)) {
            if (has_members_of_now(rn)) {
                failed = send_one(rn, &h->m) < 0;
            } else if (rn->now >= rn->own.retry_at) {
                continue; /* one is made, or will be */
            } else {
                failed = true;
            }
        }
        free_held(h);
        if (failed) {
            rawnode_report_snapshot(rn->raw, to, SNAPSHOT_FAILURE);
        }
    }
}

/* --- the whole --- */

bool snapshots_progress(struct raftnode *rn)
{
    if (rn->own.state == OWN_FILING && rn->own.lane_done) {
        finish_filing(rn);
        return true;
    }
    if (rn->own.state == OWN_CLEANING && rn->own.lane_done) {
        forget_own(rn);
        return true;
    }
    snapshots_send_held(rn);
    if (is_due(rn)) {
        begin_own(rn);
        return true;
    }
    return false;
}

void snapshots_turn(struct raftnode *rn)
{
    kvstore_melt(rn->store, MELT_PER_TURN);
    if (rn->compacts) {
        compact_log(rn);
    }
}

void snapshots_stop(struct raftnode *rn)
{
    if (rn->own.view != NULL) {
        kv_view_stop(rn->own.view);
    }
}

void snapshots_release(struct raftnode *rn)
{
    if (rn->own.view != NULL) {
        kvstore_thaw(rn->store, rn->own.view);
        rn->own.view = NULL;
    }
    forget_own(rn);
    list_for_each_safe (it, &rn->held_snapshots) {
        free_held(container_of(it, struct held_snapshot, link));
    }
}
