/* What a leader does with a message: reads, proposals, and the answers of the
 * members.
 *
 * Counterpart: etcd-io/raft raft.go (stepLeader, sendMsgReadIndexResponse,
 * releasePendingReadIndexMessages).
 * Differs: a group of one answers reads only after the first commit of its term
 * [raft-core PF-42]; the number of waiting reads is bounded; what only a broken
 * peer can send is dropped with a line in the log, not fatal [PF-44]. */

#include "src/raft/raft_internal.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"

/* --- reads [Thesis 6.4, raft-core 21] --- */

void raft_push_read_state(struct raft *r, uint64_t index, struct bytes ctx)
{
    struct read_state *rs;

    if (ctx.len > RAFT_CONTEXT_MAX) {
        warn_limited(r, "read answer with a context of %zu bytes", ctx.len);
        return;
    }
    if (r->n_read_states == r->read_states_cap) {
        r->read_states_cap = grow_cap(r->read_states_cap, r->n_read_states + 1);
        r->read_states = xrealloc_array(r->read_states, r->read_states_cap,
                                        sizeof(*r->read_states));
    }
    rs = &r->read_states[r->n_read_states++];
    *rs = (struct read_state){.index = index, .ctx_len = (uint8_t)ctx.len};
    if (ctx.len > 0) {
        ASSERT(ctx.data != NULL);
        memcpy(rs->ctx, ctx.data, ctx.len);
    }
}

/* The read `req` may be served once req->index is applied [raft-core RI-5]. */
static void answer_read(struct raft *r, const struct read_request *req)
{
    struct raft_message *m;

    if (req->from == RAFT_NONE || req->from == r->id) {
        raft_push_read_state(r, req->index, raft_entry_data(req->entry));
        return;
    }
    m = raft_send(r, RAFT_MSG_READ_INDEX_RESP, req->from);
    m->index = req->index;
    raft_entries_push(&m->entries, req->entry);
}

bool raft_committed_entry_in_current_term(const struct raft *r)
{
    return raft_log_zero_term_on_out_of_bounds(&r->log, r->log.committed) ==
           r->term;
}

/* A leader that has committed in its term knows every committed entry
 * [Thesis 6.4 step 1]. What is left is to be sure that it still leads. */
static void start_read(struct raft *r, const struct raft_message *m)
{
    struct read_request req = {.from = m->from,
                               .index = r->log.committed,
                               .entry = m->entries.items[0]};

    ASSERT(raft_committed_entry_in_current_term(r));
    /* Alone in the group, nobody else can have been elected; but a leader that
     * is not this one voter has to ask it. */
    if (tracker_is_singleton(&r->trk) && tracker_is_voter(&r->trk, r->id)) {
        answer_read(r, &req);
        return;
    }
    switch (r->read_only.option) {
    case READ_ONLY_SAFE:
        read_only_add_request(&r->read_only, r->id, req);
        raft_bcast_heartbeat(r);
        return;
    case READ_ONLY_LEASE_BASED:
        answer_read(r, &req);
        return;
    }
    UNREACHABLE();
}

static void leader_read_index(struct raft *r, const struct raft_message *m)
{
    size_t waiting = r->pending_reads.len + read_only_pending(&r->read_only);

    if (m->entries.len != 1 || m->entries.items[0]->len > RAFT_CONTEXT_MAX) {
        warn_limited(r, "malformed MsgReadIndex of %" PRIx64, m->from);
        return;
    }
    if (waiting >= PENDING_READS_MAX) {
        log_debug(r->lg, "too many reads wait, one of %" PRIx64 " dropped",
                  m->from);
        return; /* whoever asked asks again [raft-core RI-1] */
    }
    if (!raft_committed_entry_in_current_term(r)) {
        message_queue_push_copy(&r->pending_reads, m);
        return;
    }
    start_read(r, m);
}

void raft_answer_confirmed_reads(struct raft *r)
{
    size_t n = read_only_advance(&r->read_only, &r->trk.config.voters);

    ASSERT(n <= read_only_pending(&r->read_only));
    while (n-- > 0) {
        struct read_request req = {0};

        read_only_pop(&r->read_only, &req);
        answer_read(r, &req);
        raft_entry_unref(req.entry);
    }
}

static void release_pending_reads(struct raft *r)
{
    ASSERT(raft_committed_entry_in_current_term(r));
    for (size_t i = 0; i < r->pending_reads.len; i++) {
        start_read(r, &r->pending_reads.items[i]);
    }
    message_queue_reset(&r->pending_reads);
}

/* --- leader --- */

void raft_commit_advanced(struct raft *r)
{
    ASSERT(r->role == RAFT_LEADER);
    release_pending_reads(r);
    raft_bcast_append(r);
}

/* Whether the configuration change `e`, to be appended at `index`, may be made.
 * Allowed, it holds back others until it is applied [raft-core CC-20..22].
 *   1              yes
 *   0              no, and it is to be replaced by an empty entry
 *   ERR_MALFORMED  its data does not decode */
static int check_conf_change(struct raft *r, const struct raft_entry *e,
                             uint64_t index)
{
    struct conf_change v1;
    struct conf_change_v2 v2 = {0};
    bool joint = tracker_config_is_joint(&r->trk.config);
    bool leaves;
    const char *reason = NULL;
    int rc;

    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        rc = conf_change_decode(raft_entry_data(e), &v1);
        leaves = false; /* a v1 change is never empty */
    } else {
        rc = conf_change_v2_decode(raft_entry_data(e), &v2);
        leaves = rc == 0 && v2.n_changes == 0;
        conf_change_v2_release(&v2);
    }
    if (rc < 0) {
        return rc;
    }
    if (r->pending_conf_index > r->log.applied) {
        reason = "another one may not be applied yet";
    } else if (joint && !leaves) {
        reason = "the joint configuration must be left first";
    } else if (!joint && leaves) {
        reason = "there is no joint configuration to leave";
    }
    if (reason != NULL && !r->disable_conf_change_validation) {
        log_info(r->lg, "%" PRIx64 " ignores a configuration change: %s", r->id,
                 reason);
        return 0;
    }
    r->pending_conf_index = index;
    return 1;
}

static bool is_conf_change(const struct raft_entry *e)
{
    return e->type == RAFT_ENTRY_CONF_CHANGE ||
           e->type == RAFT_ENTRY_CONF_CHANGE_V2;
}

static bool has_conf_change(const struct raft_entries *v)
{
    for (size_t i = 0; i < v->len; i++) {
        if (is_conf_change(v->items[i])) {
            return true;
        }
    }
    return false;
}

/* Fill `out` with the entries of a proposal, those that must not be made
 * replaced: the reference overwrites them in the message. */
static int screen_conf_changes(struct raft *r, const struct raft_entries *v,
                               struct raft_entries *out)
{
    uint64_t last = raft_log_last_index(&r->log);

    for (size_t i = 0; i < v->len; i++) {
        struct raft_entry *e = v->items[i];
        int rc = is_conf_change(e) ? check_conf_change(r, e, last + i + 1) : 1;

        if (rc < 0) {
            return rc;
        }
        if (rc == 1) {
            raft_entries_push(out, e);
        } else {
            raft_entries_take(out, raft_entry_new(RAFT_ENTRY_NORMAL,
                                                  (struct bytes){NULL, 0}));
        }
    }
    ASSERT(out->len == v->len);
    return 0;
}

static bool append_proposal(struct raft *r, const struct raft_entries *v)
{
    struct raft_entries screened = {0};
    bool appended = false;

    if (!has_conf_change(v)) {
        return raft_append_entry(r, v->items, v->len);
    }
    if (screen_conf_changes(r, v, &screened) < 0) {
        /* Only a broken peer proposes such a thing [raft-core PF-44]. */
        warn_limited(r, "proposed configuration change does not decode");
    } else {
        appended = raft_append_entry(r, screened.items, screened.len);
    }
    raft_entries_release(&screened);
    return appended;
}

static int leader_propose(struct raft *r, const struct raft_message *m)
{
    if (m->entries.len == 0) {
        log_fatal(r->lg, "%" PRIx64 " stepped an empty MsgProp", r->id);
    }
    if (tracker_progress(&r->trk, r->id) == NULL) {
        return ERR_PROPOSAL_DROPPED; /* removed, and still leading */
    }
    if (r->lead_transferee != RAFT_NONE) {
        /* Or the target could never catch up [Thesis 3.10]. */
        log_debug(r->lg,
                  "%" PRIx64 " refuses proposals, %" PRIx64 " takes over",
                  r->id, r->lead_transferee);
        return ERR_PROPOSAL_DROPPED;
    }
    if (!append_proposal(r, &m->entries)) {
        return ERR_PROPOSAL_DROPPED;
    }
    raft_bcast_append(r);
    return 0;
}

static void leader_check_quorum(struct raft *r)
{
    if (!tracker_quorum_active(&r->trk)) {
        log_warn(r->lg, "%" PRIx64 " has lost its quorum, it steps down",
                 r->id);
        raft_become_follower(r, r->term, RAFT_NONE);
    }
    /* Everybody has to be heard of anew until the next check. */
    for (size_t i = 0; i < r->trk.progress.n; i++) {
        struct progress *pr = &r->trk.progress.items[i];

        if (pr->id != r->id) {
            pr->recent_active = false;
        }
    }
}

/* A follower's log does not contain the entry before ours. Its hint, and ours
 * in turn, skip a whole term per round trip [Raft 5.3, raft-core FO-4]. */
static void leader_append_rejected(struct raft *r, const struct raft_message *m,
                                   struct progress *pr)
{
    struct progress_rejection rej = {m->index, m->reject_hint};

    if (m->log_term > 0) {
        struct entry_id hint = {m->log_term, m->reject_hint};

        rej.match_hint = raft_log_find_conflict_by_term(&r->log, hint).index;
    }
    log_debug(r->lg,
              "%" PRIx64 " rejects index %" PRIu64 ", hint (%" PRIu64
              ", term %" PRIu64 ")",
              m->from, m->index, m->reject_hint, m->log_term);
    if (pr->state == PROGRESS_SNAPSHOT) {
        /* A late answer to a probe: next stays behind the snapshot. It is not
         * used before that state ends [raft-core PG-1]. */
        return;
    }
    if (!progress_maybe_decr_to(pr, rej)) {
        return; /* old news */
    }
    if (pr->state == PROGRESS_REPLICATE) {
        progress_become_probe(pr);
    }
    raft_send_append(r, m->from);
}

/* An acknowledged append moves the state of its sender [raft-core PR-14a]. */
static void advance_progress_state(struct raft *r, struct progress *pr,
                                   uint64_t index)
{
    switch (pr->state) {
    case PROGRESS_PROBE:
        progress_become_replicate(pr);
        return;
    case PROGRESS_SNAPSHOT:
        /* As soon as our log reaches the member again the snapshot does not
         * matter, whichever it was [raft-core PF-15]. */
        if (pr->match + 1 >= raft_log_first_index(&r->log)) {
            progress_become_probe(pr);
            progress_become_replicate(pr);
        }
        return;
    case PROGRESS_REPLICATE:
        inflights_free_le(&pr->inflights, index);
        return;
    }
    UNREACHABLE();
}

static void leader_append_accepted(struct raft *r, const struct raft_message *m,
                                   struct progress *pr)
{
    /* A probed member that has nothing new must still leave the probing state
     * [raft-core PF-14]. */
    if (!progress_maybe_update(pr, m->index) &&
        !(pr->match == m->index && pr->state == PROGRESS_PROBE)) {
        return;
    }
    ASSERT(pr->match >= m->index);
    advance_progress_state(r, pr, m->index);
    if (raft_maybe_commit(r)) {
        raft_commit_advanced(r);
    } else if (m->from != r->id &&
               progress_can_bump_commit(pr, r->log.committed)) {
        raft_send_append(r, m->from);
    }
    if (m->from == r->id) {
        return;
    }
    /* The window has room again: fill it. */
    while (raft_maybe_send_append(r, m->from, false)) {
    }
    if (m->from == r->lead_transferee &&
        pr->match == raft_log_last_index(&r->log)) {
        log_info(r->lg, "%" PRIx64 " tells %" PRIx64 " to take over", r->id,
                 m->from);
        raft_send_timeout_now(r, m->from);
    }
}

static void leader_append_resp(struct raft *r, const struct raft_message *m,
                               struct progress *pr)
{
    if (m->index > raft_log_last_index(&r->log)) {
        warn_limited(r,
                     "%" PRIx64 " answers for index %" PRIu64
                     ", which does not "
                     "exist",
                     m->from, m->index);
        return; /* nobody can in this term [raft-core PF-44] */
    }
    pr->recent_active = true;
    if (m->reject) {
        leader_append_rejected(r, m, pr);
    } else {
        leader_append_accepted(r, m, pr);
    }
}

static void leader_heartbeat_resp(struct raft *r, const struct raft_message *m,
                                  struct progress *pr)
{
    pr->recent_active = true;
    pr->msg_app_flow_paused = false;
    /* It lives: retry what may have been lost, and finish a probe even if there
     * is nothing to send [raft-core PF-11, PF-14]. */
    if (pr->match < raft_log_last_index(&r->log) ||
        pr->state == PROGRESS_PROBE) {
        raft_send_append(r, m->from);
    }
    if (r->read_only.option != READ_ONLY_SAFE || m->context_len == 0) {
        return;
    }
    if (!read_only_recv_ack(&r->read_only, m->from, raft_message_context(m))) {
        warn_limited(r, "%" PRIx64 " acknowledges no read position", m->from);
        return;
    }
    raft_answer_confirmed_reads(r);
}

static void leader_snap_status(struct raft *r, const struct raft_message *m,
                               struct progress *pr)
{
    if (pr->state != PROGRESS_SNAPSHOT) {
        return;
    }
    if (m->reject) {
        /* First of all: probing goes on behind match, not behind a snapshot
         * that never arrived [raft-core SNAP-4]. */
        pr->pending_snapshot = 0;
    }
    log_debug(r->lg, "snapshot to %" PRIx64 " %s", m->from,
              m->reject ? "failed" : "arrived");
    progress_become_probe(pr);
    /* Wait for its answer, or a heartbeat's: it may still be applying. */
    pr->msg_app_flow_paused = true;
}

static void leader_transfer(struct raft *r, const struct raft_message *m,
                            const struct progress *pr)
{
    uint64_t target = m->from;

    if (pr->is_learner) {
        log_debug(r->lg, "no transfer to learner %" PRIx64, target);
        return;
    }
    if (r->lead_transferee == target) {
        return; /* it runs; its deadline stays */
    }
    raft_abort_leader_transfer(r);
    if (target == r->id) {
        return;
    }
    log_info(r->lg, "%" PRIx64 " hands the lead to %" PRIx64, r->id, target);
    /* The transfer must end within an election timeout from now [Thesis 3.10].
     */
    r->election_elapsed = 0;
    r->lead_transferee = target;
    if (pr->match == raft_log_last_index(&r->log)) {
        raft_send_timeout_now(r, target);
    } else {
        raft_send_append(r, target);
    }
}

/* Messages about one member. One that claims to be about us, or to come from
 * us, can only be an acknowledgement of our own entries. */
static void leader_member_message(struct raft *r, const struct raft_message *m)
{
    struct progress *pr = tracker_progress(&r->trk, m->from);

    if (pr == NULL) {
        log_debug(r->lg, "no progress for %" PRIx64, m->from);
        return; /* ourselves too, once removed [raft-core PR-15] */
    }
    if (m->from == r->id && m->type != RAFT_MSG_TRANSFER_LEADER &&
        (m->type != RAFT_MSG_APP_RESP || m->reject)) {
        log_debug(r->lg, "%s about the leader itself",
                  raft_message_type_name(m->type));
        return; /* [raft-core PF-44] */
    }
    switch (m->type) {
    case RAFT_MSG_APP_RESP:
        leader_append_resp(r, m, pr);
        return;
    case RAFT_MSG_HEARTBEAT_RESP:
        leader_heartbeat_resp(r, m, pr);
        return;
    case RAFT_MSG_SNAP_STATUS:
        leader_snap_status(r, m, pr);
        return;
    case RAFT_MSG_UNREACHABLE:
        /* What is in flight is likely lost: stop pipelining. */
        if (pr->state == PROGRESS_REPLICATE) {
            progress_become_probe(pr);
        }
        return;
    case RAFT_MSG_TRANSFER_LEADER:
        leader_transfer(r, m, pr);
        return;
    }
}

int raft_step_leader(struct raft *r, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_BEAT:
        raft_bcast_heartbeat(r);
        return 0;
    case RAFT_MSG_CHECK_QUORUM:
        leader_check_quorum(r);
        return 0;
    case RAFT_MSG_PROP:
        return leader_propose(r, m);
    case RAFT_MSG_READ_INDEX:
        leader_read_index(r, m);
        return 0;
    case RAFT_MSG_FORGET_LEADER:
        return 0;
    }
    leader_member_message(r, m);
    return 0;
}
