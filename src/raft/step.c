/* What a node does with a message: the rules of terms, then its role.
 *
 * raft_step first settles terms (a higher one makes a follower of anybody, a
 * lower one is answered only where that frees a stuck node), then handles what
 * is the same in every role, and hands the rest to the role's own function; the
 * leader's is in step_leader.c.
 *
 * Counterpart: etcd-io/raft raft.go (Step, stepCandidate, stepFollower and
 * their handlers). Differs: what only a broken peer can send is dropped with a
 * line in the log, not fatal [raft-core PF-44]. */

#include "src/raft/raft_internal.h"

/* --- terms [Raft 5.1, raft-core 7.2] --- */

static bool is_vote_request(const struct raft_message *m)
{
    return m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PRE_VOTE;
}

static bool is_from_leader(const struct raft_message *m)
{
    return m->type == RAFT_MSG_APP || m->type == RAFT_MSG_HEARTBEAT ||
           m->type == RAFT_MSG_SNAP;
}

/* The campaign was ordered by the leader itself, so its lease is no reason to
 * refuse [Thesis 4.2.3]. */
static bool is_transfer(const struct raft_message *m)
{
    size_t len = sizeof(CAMPAIGN_TRANSFER_CONTEXT) - 1;

    return m->context_len == len &&
           memcmp(m->context, CAMPAIGN_TRANSFER_CONTEXT, len) == 0;
}

/* A node that has heard of a leader within the minimum election timeout lets no
 * one disturb it: no answer and no new term [Raft 6, raft-core EL-9]. */
static bool in_lease(const struct raft *r)
{
    return r->check_quorum && r->lead != RAFT_NONE &&
           r->election_elapsed < r->election_timeout;
}

/* False: the message is settled. */
static bool accept_higher_term(struct raft *r, const struct raft_message *m)
{
    ASSERT(m->term > r->term);
    if (is_vote_request(m) && in_lease(r) && !is_transfer(m)) {
        log_info(r->lg,
                 "%" PRIx64 " ignores %s of %" PRIx64 " at term %" PRIu64
                 ", the lease of %" PRIx64 " runs",
                 r->id, raft_message_type_name(m->type), m->from, m->term,
                 r->lead);
        return false;
    }
    if (m->type == RAFT_MSG_PRE_VOTE) {
        return true; /* asks about a term that nobody is in yet */
    }
    if (m->type == RAFT_MSG_PRE_VOTE_RESP && !m->reject) {
        return true; /* carries the term that we asked about */
    }
    log_info(r->lg,
             "%" PRIx64 " at term %" PRIu64 " gets %s of %" PRIx64
             " at term %" PRIu64,
             r->id, r->term, raft_message_type_name(m->type), m->from, m->term);
    raft_become_follower(r, m->term, is_from_leader(m) ? m->from : RAFT_NONE);
    return true;
}

static void handle_lower_term(struct raft *r, const struct raft_message *m)
{
    ASSERT(m->term < r->term);
    if ((m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_APP) &&
        (r->check_quorum || r->pre_vote)) {
        /* A node that raised its term in isolation cannot make itself heard,
         * for its vote requests are ignored. The empty answer tells the leader
         * of the higher term, and the next election frees us
         * [raft-core EL-20]. */
        raft_send(r, RAFT_MSG_APP_RESP, m->from);
    } else if (m->type == RAFT_MSG_PRE_VOTE) {
        /* Dropped, it could leave a mixed cluster without a leader
         * [raft-core PF-26]. */
        raft_send_vote_type(r, RAFT_MSG_PRE_VOTE_RESP, m->from, r->term)
            ->reject = true;
    } else if (m->type == RAFT_MSG_STORAGE_APPEND_RESP) {
        /* A later term may have overwritten the entries, and a write of it may
         * be on its way: only a newer acknowledgement may release them. A
         * snapshot cannot be overwritten [raft-core UN-11, SNAP-9]. */
        if (!raft_snapshot_is_empty(m->snapshot)) {
            raft_applied_snap(r, m->snapshot);
        }
    } else {
        log_debug(r->lg,
                  "%" PRIx64 " ignores %s of %" PRIx64 " of old term %" PRIu64,
                  r->id, raft_message_type_name(m->type), m->from, m->term);
    }
}

/* --- the same in every role --- */

/* Whether a node that has lost its vote may still help to elect a leader with
 * less than all it has: one with what is committed here.
 *
 * It counts no more for what came after its removal, or after it was made a
 * learner, once that is applied, so entries it has beyond are no promise to
 * anybody. But members that have not learned of it may need its vote, and some
 * of those entries may be on no other disk: of two members of which the leader
 * was removed, the other one would ask in vain for ever.
 *
 * Of n voters before, one who does not know yet needs floor(n / 2) others
 * beside us. An entry behind the change is on the disks of as many others, as a
 * leader that has not applied the change goes on to count us. With n even these
 * are n of n - 1 others: they share one, whose vote is not given away. With n
 * odd they may share none; but then a majority of the others is one of all n,
 * and does without us. Who asks knows of no change before the last one only: it
 * has that in its log, or we refuse, and knows that the one before it is
 * committed. The change that brought us back, if there is one, is not in our
 * log: then we count for nothing behind it either. The reference has no such
 * rule. */
static bool may_vote_by_commit(const struct raft *r)
{
    const struct tracker_config *cfg = &r->trk.config;

    return !tracker_is_voter(&r->trk, r->id) && !tracker_config_is_joint(cfg) &&
           cfg->voters.incoming.n % 2 == 1 &&
           !raft_log_has_next_or_in_progress_snapshot(&r->log) &&
           !raft_has_conf_changes(r, r->log.applied,
                                  raft_log_last_index(&r->log));
}

/* Whether a log that ends in `last` may lead us [Raft 5.4.1]. */
static bool may_lead_us(const struct raft *r, struct entry_id last)
{
    return raft_log_is_up_to_date(&r->log, last) ||
           (may_vote_by_commit(r) &&
            raft_log_is_committed_within(&r->log, last));
}

/* [Raft 5.2, 5.4.1, raft-core EL-8..12]. Learners answer as well: they may not
 * know yet that they are voters. */
static void handle_vote_request(struct raft *r, const struct raft_message *m)
{
    bool pre = m->type == RAFT_MSG_PRE_VOTE;
    enum raft_message_type resp =
        pre ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP;
    struct entry_id last = {m->log_term, m->index};
    bool can_vote = r->vote == m->from ||
                    (r->vote == RAFT_NONE && r->lead == RAFT_NONE) ||
                    (pre && m->term > r->term);
    bool granted;

    if (m->term == 0) {
        warn_limited(r, "%s of %" PRIx64 " without a term",
                     raft_message_type_name(m->type), m->from);
        return; /* [raft-core PF-44] */
    }
    ASSERT(m->term >= r->term);
    granted = can_vote && may_lead_us(r, last);
    log_info(r->lg,
             "%" PRIx64 " %s %s of %" PRIx64 " (log term %" PRIu64
             ", index %" PRIu64 ") at term %" PRIu64 ", vote %" PRIx64,
             r->id, granted ? "grants" : "rejects",
             raft_message_type_name(m->type), m->from, last.term, last.index,
             m->term, r->vote);
    if (!granted) {
        raft_send_vote_type(r, resp, m->from, r->term)->reject = true;
        return;
    }
    /* With the term of the request: for a pre-vote our own may be lower, and
     * the candidate would drop the answer [raft-core EL-10]. */
    raft_send_vote_type(r, resp, m->from, m->term);
    if (!pre) {
        r->election_elapsed = 0;
        r->vote = m->from;
    }
}

static void handle_storage_append_resp(struct raft *r,
                                       const struct raft_message *m)
{
    if (m->index != 0) {
        raft_log_stable_to(&r->log, (struct entry_id){m->log_term, m->index});
    }
    if (!raft_snapshot_is_empty(m->snapshot)) {
        raft_applied_snap(r, m->snapshot);
    }
}

static void handle_storage_apply_resp(struct raft *r,
                                      const struct raft_message *m)
{
    struct raft_entry *const *items = m->entries.items;
    size_t n = m->entries.len;

    if (n == 0) {
        return;
    }
    raft_applied_to(r, items[n - 1]->index, raft_entries_size(items, n));
    raft_reduce_uncommitted_size(r, raft_payloads_size(items, n));
}

static int step(struct raft *r, const struct raft_message *m)
{
    if (m->term > r->term) {
        if (!accept_higher_term(r, m)) {
            return 0;
        }
    } else if (m->term != 0 && m->term < r->term) {
        handle_lower_term(r, m);
        return 0;
    }
    switch (m->type) {
    case RAFT_MSG_HUP:
        raft_hup(r, r->pre_vote ? CAMPAIGN_PRE_ELECTION : CAMPAIGN_ELECTION);
        return 0;
    case RAFT_MSG_STORAGE_APPEND_RESP:
        handle_storage_append_resp(r, m);
        return 0;
    case RAFT_MSG_STORAGE_APPLY_RESP:
        handle_storage_apply_resp(r, m);
        return 0;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        handle_vote_request(r, m);
        return 0;
    }
    return r->step(r, m);
}

int raft_step(struct raft *r, const struct raft_message *m)
{
    int rc;

    ASSERT(r->step != NULL);
    rc = step(r, m);
    if (rc != 0) {
        ASSERT(rc == ERR_PROPOSAL_DROPPED); /* [raft-core STP-5] */
        ASSERT(m->type == RAFT_MSG_PROP);
    }
#ifdef RAFT_CHECK
    if (!r->unchecked) {
        raft_check(r);
    }
#endif
    return rc;
}

/* --- candidate and pre-candidate --- */

static void candidate_count_vote(struct raft *r, const struct raft_message *m)
{
    switch (raft_poll(r, m->from, !m->reject)) {
    case VOTE_WON:
        if (r->role == RAFT_PRE_CANDIDATE) {
            raft_campaign(r, CAMPAIGN_ELECTION);
        } else {
            raft_become_leader(r);
            raft_bcast_append(r);
        }
        return;
    case VOTE_LOST:
        /* At our own term: an answer to a pre-vote may name a later one, which
         * nobody has entered [raft-core EL-15]. */
        raft_become_follower(r, r->term, RAFT_NONE);
        return;
    case VOTE_PENDING:
        return;
    }
    UNREACHABLE();
}

int raft_step_candidate(struct raft *r, const struct raft_message *m)
{
    enum raft_message_type counted = r->role == RAFT_PRE_CANDIDATE
                                         ? RAFT_MSG_PRE_VOTE_RESP
                                         : RAFT_MSG_VOTE_RESP;

    ASSERT(r->role == RAFT_CANDIDATE || r->role == RAFT_PRE_CANDIDATE);
    if (m->type == counted) {
        candidate_count_vote(r, m);
        return 0;
    }
    switch (m->type) {
    case RAFT_MSG_PROP:
        return ERR_PROPOSAL_DROPPED; /* there is no leader to take it */
    case RAFT_MSG_APP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAP:
        /* Another won this term [Raft 5.2]. */
        raft_become_follower(r, r->term, m->from);
        return raft_step_follower(r, m);
    }
    return 0;
}

/* --- follower --- */

void raft_handle_append_entries(struct raft *r, const struct raft_message *m)
{
    struct log_slice s = {.term = m->term,
                          .prev = {m->log_term, m->index},
                          .entries = m->entries.items,
                          .n = m->entries.len};
    struct raft_message *resp;
    struct entry_id hint;
    uint64_t last_new;

    if (!log_slice_is_valid(&s)) {
        warn_limited(r, "malformed MsgApp of %" PRIx64 " at index %" PRIu64,
                     m->from, m->index);
        return; /* [raft-core PF-44] */
    }
    if (m->index < r->log.committed) {
        /* All up to there is known to agree [raft-core FO-1]. */
        raft_send(r, RAFT_MSG_APP_RESP, m->from)->index = r->log.committed;
        return;
    }
    if (raft_log_maybe_append(&r->log, &s, m->commit, &last_new)) {
        /* Not `last`: what follows in our log was not compared
         * [raft-core FO-2]. */
        ASSERT(last_new == m->index + m->entries.len);
        raft_send(r, RAFT_MSG_APP_RESP, m->from)->index = last_new;
        return;
    }
    log_debug(r->lg,
              "%" PRIx64 " has no entry of index %" PRIu64 " term %" PRIu64
              " and rejects the append of %" PRIx64,
              r->id, m->index, m->log_term, m->from);
    /* Help the leader skip what cannot agree [raft-core FO-3]. */
    hint = raft_log_find_conflict_by_term(
        &r->log,
        (struct entry_id){m->log_term,
                          min_u64(m->index, raft_log_last_index(&r->log))});
    resp = raft_send(r, RAFT_MSG_APP_RESP, m->from);
    resp->index = m->index;
    resp->reject = true;
    resp->reject_hint = hint.index;
    resp->log_term = hint.term;
}

void raft_handle_heartbeat(struct raft *r, const struct raft_message *m)
{
    struct raft_message *resp;

    /* Fatal beyond the last index: we acknowledged entries and lost them, and
     * must not vote any more [raft-core PF-19]. */
    raft_log_commit_to(&r->log, m->commit);
    resp = raft_send(r, RAFT_MSG_HEARTBEAT_RESP, m->from);
    if (m->has_context) {
        raft_message_set_context(resp, raft_message_context(m));
    }
}

void raft_handle_snapshot(struct raft *r, const struct raft_message *m)
{
    uint64_t index;

    if (!raft_snapshot_is_empty(m->snapshot) && raft_restore(r, m->snapshot)) {
        index = raft_log_last_index(&r->log);
        ASSERT(index == m->snapshot->index);
    } else {
        index = r->log.committed;
    }
    raft_send(r, RAFT_MSG_APP_RESP, m->from)->index = index;
}

/* The leader speaks: whoever it is, it is the one of this term. */
static void follower_from_leader(struct raft *r, const struct raft_message *m)
{
    r->election_elapsed = 0;
    r->lead = m->from;
    switch (m->type) {
    case RAFT_MSG_APP:
        raft_handle_append_entries(r, m);
        return;
    case RAFT_MSG_HEARTBEAT:
        raft_handle_heartbeat(r, m);
        return;
    case RAFT_MSG_SNAP:
        raft_handle_snapshot(r, m);
        return;
    }
    UNREACHABLE();
}

static int follower_propose(struct raft *r, const struct raft_message *m)
{
    if (r->lead == RAFT_NONE) {
        log_debug(r->lg, "%" PRIx64 " drops a proposal, it knows no leader",
                  r->id);
        return ERR_PROPOSAL_DROPPED;
    }
    if (r->disable_proposal_forwarding) {
        return ERR_PROPOSAL_DROPPED;
    }
    raft_forward(r, m, r->lead);
    return 0;
}

/* [raft-core FL-1]: the vote goes to whoever asks next. Under leases the leader
 * serves reads in the belief that we do not. */
static void follower_forget_leader(struct raft *r)
{
    if (r->read_only.option == READ_ONLY_LEASE_BASED) {
        log_error(r->lg, "leases are in use, the leader is not forgotten");
        return;
    }
    r->lead = RAFT_NONE;
}

static void follower_read_index_resp(struct raft *r,
                                     const struct raft_message *m)
{
    if (m->entries.len != 1) {
        warn_limited(r, "malformed MsgReadIndexResp of %" PRIx64, m->from);
        return;
    }
    raft_push_read_state(r, m->index, raft_entry_data(m->entries.items[0]));
}

int raft_step_follower(struct raft *r, const struct raft_message *m)
{
    ASSERT(r->role == RAFT_FOLLOWER);
    switch (m->type) {
    case RAFT_MSG_PROP:
        return follower_propose(r, m);
    case RAFT_MSG_APP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAP:
        follower_from_leader(r, m);
        return 0;
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_READ_INDEX:
        if (r->lead == RAFT_NONE) {
            log_debug(r->lg, "%" PRIx64 " drops %s, it knows no leader", r->id,
                      raft_message_type_name(m->type));
            return 0;
        }
        raft_forward(r, m, r->lead);
        return 0;
    case RAFT_MSG_FORGET_LEADER:
        follower_forget_leader(r);
        return 0;
    case RAFT_MSG_TIMEOUT_NOW:
        /* Never by way of a pre-vote: the leader waits for us, and others are
         * in its lease [raft-core EL-6]. */
        raft_hup(r, CAMPAIGN_TRANSFER);
        return 0;
    case RAFT_MSG_READ_INDEX_RESP:
        follower_read_index_resp(r, m);
        return 0;
    }
    return 0;
}
