/* The Ready loop. raftnode.h has the contract, raftnode_internal.h the phases,
 * ready.c the work of a Ready.
 *
 * The happy path of a PUT on the leader: raftnode_submit queues it; the next
 * raftnode_process proposes all that is queued as one message, and takes the
 * Ready: its entries leave for the followers and are submitted to storage; when
 * they are durable here the leader's own acknowledgement is stepped; those of
 * the followers come in through raftnode_step; a later Ready hands the entry
 * out as committed, it is applied, and its request is finished.
 *
 * Where it can fail: no leader (the request waits, then ERR_NO_LEADER); raft
 * refuses (ERR_PROPOSAL_DROPPED); the entry is lost on the way or overwritten
 * by another leader (ERR_OUTCOME_UNKNOWN at the deadline); the disk fails (the
 * node stops, nothing leaves any more). */

#include "src/server/raftnode.h"

#include <stdarg.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/server/raftnode_internal.h"

/* --- condition --- */

void raftnode_fail(struct raftnode *rn, enum raftnode_condition condition,
                   const char *fmt, ...)
{
    va_list ap;

    if (rn->condition == RAFTNODE_FAILED ||
        (rn->condition == RAFTNODE_REMOVED && condition == RAFTNODE_REMOVED)) {
        return;
    }
    rn->condition = condition;
    va_start(ap, fmt);
    (void)vsnprintf(rn->why.text, sizeof(rn->why.text), fmt, ap);
    va_end(ap);
}

enum raftnode_condition raftnode_condition(const struct raftnode *rn,
                                           const char **why)
{
    *why = rn->why.text;
    return rn->condition;
}

/* --- life --- */

void raftnode_recovered_release(struct raftnode_recovered *r)
{
    raft_snapshot_unref(r->snapshot);
    raft_entries_release(&r->entries);
    *r = (struct raftnode_recovered){0};
}

static void copy_cluster(struct raftnode *rn, const struct raftnode_config *cfg)
{
    rn->n_cluster = cfg->n_peers;
    rn->cluster = xcalloc(cfg->n_peers + 1, sizeof(*rn->cluster));
    for (size_t i = 0; i < cfg->n_peers; i++) {
        rn->cluster[i] = (struct raftnode_peer){cfg->peers[i].id,
                                                xstrdup(cfg->peers[i].url)};
    }
}

static struct raftnode *alloc_node(const struct raftnode_config *cfg)
{
    struct raftnode *rn = xcalloc(1, sizeof(*rn));

    rn->id = cfg->id;
    rn->lg = cfg->lg;
    rn->peers = cfg->peers_seam;
    rn->disk = cfg->storage_seam;
    rn->snapshot_count = cfg->snapshot_count;
    rn->catchup_entries = cfg->snapshot_catchup_entries;
    rn->timeout_ticks = cfg->request_timeout_ticks;
    rn->election_ticks = (uint64_t)cfg->election_ticks;
    rn->next_request = cfg->id_base & REQUEST_COUNTER_MAX;
    rn->store = kvstore_new(cfg->seed);
    copy_cluster(rn, cfg);
    memory_storage_init(&rn->log, cfg->lg);
    proposals_init(&rn->proposals);
    reads_init(&rn->reads, cfg->id, cfg->id_base);
    list_init(&rn->due);
    list_init(&rn->parked);
    list_init(&rn->appends);
    list_init(&rn->writing);
    list_init(&rn->applies);
    list_init(&rn->held_snapshots);
    return rn;
}

/* The stable log as the disk has it. */
static int load_log(struct raftnode *rn, struct raftnode_recovered *found,
                    struct errmsg *em)
{
    int rc;

    if (found->snapshot != NULL) {
        rc = apply_snapshot(rn, found->snapshot, em);
        if (rc < 0) {
            return errmsg_prefix(em, rc, "snapshot at index %" PRIu64,
                                 found->snapshot->index);
        }
    }
    memory_storage_set_hard_state(&rn->log, &found->hard_state);
    memory_storage_append(&rn->log, found->entries.items, found->entries.len);
    apply_note_recovered(rn, &found->entries);
    return 0;
}

static struct rawnode *make_rawnode(struct raftnode *rn,
                                    const struct raftnode_config *cfg)
{
    struct raft_config rc = {
        .id = cfg->id,
        .election_ticks = cfg->election_ticks,
        .heartbeat_ticks = cfg->heartbeat_ticks,
        .storage = &rn->log.base,
        .applied = rn->applied,
        .max_size_per_msg = RAFT_MAX_SIZE_PER_MSG,
        .max_committed_size_per_ready = RAFT_MAX_COMMITTED_BYTES,
        .max_uncommitted_entries_size = RAFT_MAX_UNCOMMITTED_BYTES,
        .max_inflight_msgs = RAFT_MAX_INFLIGHT_MSGS,
        .check_quorum = true,
        .pre_vote = true,
        .read_only_option = READ_ONLY_SAFE,
        .async_storage_writes = true,
        .lg = cfg->lg,
        .seed = cfg->seed,
    };

    return rawnode_new(&rc);
}

/* Every founding member makes the same log by itself: one AddNode per id, term
 * 1, no context (formats-transport.md 10). */
static void found_cluster(struct raftnode *rn)
{
    struct raft_peer *peers = xcalloc(rn->n_cluster, sizeof(*peers));
    int rc;

    for (size_t i = 0; i < rn->n_cluster; i++) {
        peers[i].id = rn->cluster[i].id;
    }
    rc = rawnode_bootstrap(rn->raw, peers, rn->n_cluster);
    ASSERT(rc == 0);
    xfree(peers);
    log_info(rn->lg, "founding a cluster of %zu members", rn->n_cluster);
}

int raftnode_new(const struct raftnode_config *cfg,
                 struct raftnode_recovered *found, struct raftnode **out,
                 struct errmsg *em)
{
    struct raftnode *rn = alloc_node(cfg);
    bool is_new = found->is_new;
    int rc;

    rc = load_log(rn, found, em);
    raftnode_recovered_release(found);
    if (rc < 0) {
        raftnode_free(rn);
        return rc;
    }
    rn->raw = make_rawnode(rn, cfg);
    rawnode_basic_status(rn->raw, &rn->soft, &(struct hard_state){0},
                         &(uint64_t){0});
    if (is_new && !cfg->join) {
        found_cluster(rn);
    }
    if (rn->applied == 0) {
        /* No snapshot says who the members are: begin with --cluster, the log
         * will tell of changes. */
        for (size_t i = 0; i < rn->n_cluster; i++) {
            if (rn->cluster[i].id != rn->id) {
                rn->peers.add(rn->peers.ctx, rn->cluster[i].id,
                              rn->cluster[i].url);
            }
        }
    }
    *out = rn;
    return 0;
}

void raftnode_free(struct raftnode *rn)
{
    if (rn == NULL) {
        return;
    }
    ASSERT(!rn->busy);
    ASSERT(list_is_empty(&rn->due));
    messages_free_parked(rn);
    raft_message_release(&rn->late_snapshot);
    proposals_release(&rn->proposals);
    reads_release(&rn->reads);
    rawnode_free(rn->raw);
    memory_storage_release(&rn->log);
    ready_release(rn);
    snapshots_release(rn);
    conf_state_release(&rn->conf_state);
    xfree(rn->removal_known_by.ids);
    kvstore_free(rn->store);
    for (size_t i = 0; i < rn->n_cluster; i++) {
        xfree((void *)(uintptr_t)rn->cluster[i].url);
    }
    xfree(rn->cluster);
    xfree(rn);
}

/* --- the loop --- */

bool raftnode_is_stuck(const struct raftnode *rn)
{
    return rn->phase == PHASE_WRITING &&
           rn->now - rn->busy_since > rn->election_ticks;
}

void raftnode_tick(struct raftnode *rn)
{
    struct hard_state hard;
    struct soft_state soft;
    uint64_t applied;

    rn->now++;
    if (rn->condition == RAFTNODE_RUNNING && !raftnode_is_stuck(rn)) {
        rawnode_tick(rn->raw);
    }
    rawnode_basic_status(rn->raw, &soft, &hard, &applied);
    if (rn->applied >= hard.commit) {
        rn->stuck_since = rn->now;
    }
    if (rn->now > rn->election_ticks) {
        reads_restart(&rn->reads, rn->now - rn->election_ticks);
    }
    requests_expire(rn);
    messages_maybe_leave(rn);
}

/* A change of leader or term ends every attempt to read [reliability I21]. */
static void note_leadership(struct raftnode *rn)
{
    struct soft_state soft;
    struct hard_state hard;
    uint64_t applied;

    rawnode_basic_status(rn->raw, &soft, &hard, &applied);
    if (soft.lead == rn->soft.lead && soft.role == rn->soft.role &&
        hard.term == rn->term) {
        return;
    }
    reads_restart(&rn->reads, UINT64_MAX);
    if (soft.lead != rn->soft.lead) {
        if (soft.lead == RAFT_NONE) {
            log_info(rn->lg, "no leader is known at term %" PRIu64, hard.term);
        } else {
            log_info(rn->lg, "leader is %" PRIx64 " at term %" PRIu64,
                     soft.lead, hard.term);
        }
    }
    rn->soft = soft;
    rn->term = hard.term;
}

/* --- working --- */

/* The log's part: what has ended there, then what comes next. */
static bool make_disk_progress(struct raftnode *rn)
{
    switch (rn->phase) {
    case PHASE_IDLE:
        return ready_begin_write(rn);
    case PHASE_WRITING:
        return false;
    case PHASE_WRITTEN:
        ready_finish_write(rn);
        return true;
    }
    UNREACHABLE();
}

/* One step of the loop; false when there is nothing to do now. All that came in
 * is in Readys before the disk is asked, so that it is one write. */
static bool make_progress(struct raftnode *rn)
{
    note_leadership(rn);
    messages_step_parked(rn);
    messages_step_late_snapshot(rn);
    requests_finish_reads(rn);
    requests_flush(rn);
    if (rawnode_has_ready(rn->raw) && !raftnode_is_stuck(rn)) {
        ready_take(rn);
        return true;
    }
    return make_disk_progress(rn) || snapshots_progress(rn) || ready_apply(rn);
}

void raftnode_process(struct raftnode *rn)
{
    ASSERT(!rn->busy);
    rn->busy = true;
    snapshots_turn(rn);
    while (rn->condition == RAFTNODE_RUNNING && make_progress(rn)) {
    }
    rn->busy = false;
}

/* --- stopping --- */

void raftnode_transfer_leadership(struct raftnode *rn)
{
    const struct raft_progress_status *best = NULL;
    struct raft_status st;

    if (!raftnode_is_leader(rn) || rn->condition != RAFTNODE_RUNNING) {
        return;
    }
    rawnode_status(rn->raw, &st);
    for (size_t i = 0; i < st.n_progress; i++) {
        const struct raft_progress_status *p = &st.progress[i];

        if (p->id == rn->id || p->is_learner || !p->recent_active) {
            continue;
        }
        if (best == NULL || p->match > best->match) {
            best = p;
        }
    }
    if (best != NULL) {
        log_info(rn->lg, "handing leadership to %" PRIx64, best->id);
        rawnode_transfer_leader(rn->raw, best->id);
    }
    raft_status_release(&st);
}

/* --- looking --- */

const struct kvstore *raftnode_store(const struct raftnode *rn)
{
    return rn->store;
}

uint64_t raftnode_log_bytes(const struct raftnode *rn)
{
    return memory_storage_bytes(&rn->log);
}

bool raftnode_owes_snapshot(const struct raftnode *rn)
{
    return !list_is_empty(&rn->held_snapshots);
}

bool raftnode_awaits_others(const struct raftnode *rn)
{
    return memory_storage_last_index(&rn->log) > rn->applied ||
           raftnode_puts(rn).under_way > 0 || raftnode_reads(rn).under_way > 0;
}

void raftnode_get_status(const struct raftnode *rn, struct raftnode_status *st)
{
    *st = (struct raftnode_status){
        .snapshot_index = rn->snapshot_index,
        .log_bytes = raftnode_log_bytes(rn),
        .pending_proposals = rn->proposals.n,
        .pending_reads = rn->reads.n,
    };
    rawnode_status(rn->raw, &st->raft);
    conf_state_copy(&st->conf_state, &rn->conf_state);
}

void raftnode_status_release(struct raftnode_status *st)
{
    raft_status_release(&st->raft);
    conf_state_release(&st->conf_state);
}

bool raftnode_healthy(const struct raftnode *rn, const char **why)
{
    if (rn->condition != RAFTNODE_RUNNING) {
        *why = rn->why.text;
        return false;
    }
    if (rn->is_leaving) {
        *why = "this node has been removed from the cluster";
        return false;
    }
    if (rn->soft.lead == RAFT_NONE) {
        *why = "no leader is known";
        return false;
    }
    if (rn->now - rn->stuck_since > 2 * rn->election_ticks) {
        *why = "the applied index does not move with the commit index";
        return false;
    }
    return true;
}

uint64_t raftnode_leader(const struct raftnode *rn)
{
    return rn->soft.lead;
}

bool raftnode_is_leader(const struct raftnode *rn)
{
    return rn->soft.role == RAFT_LEADER;
}

bool raftnode_was_removed(const struct raftnode *rn, uint64_t id)
{
    return kvstore_was_removed(rn->store, id);
}
