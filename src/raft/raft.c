/* The life of a raft node: construction, roles, ticks, campaigns, membership.
 *
 * Counterpart: etcd-io/raft raft.go (Config, newRaft, become*, tick*, hup,
 * campaign, restore, applyConfChange, switchToConfig).
 * Differs: max_size_per_msg 0 and max_committed_size_per_ready 0 together mean
 * one entry per Ready, where the reference is fatal [raft-core PF-20]; reads
 * that wait for the first commit of a term are dropped on a change of role
 * [PF-22]; a snapshot with an impossible ConfState is refused, not fatal
 * [PF-44]. */

#include "src/raft/raft_internal.h"
#include "src/base/alloc.h"

/* --- construction --- */

/* The first thing wrong with `cfg`, in the words of raft-core 2.2; NULL if it
 * is valid. */
static const char *config_error(const struct raft_config *cfg)
{
    if (cfg->id == RAFT_NONE) {
        return "cannot use none as id";
    }
    if (cfg->id == RAFT_LOCAL_APPEND_THREAD ||
        cfg->id == RAFT_LOCAL_APPLY_THREAD) {
        return "cannot use local target as id";
    }
    if (cfg->heartbeat_ticks <= 0) {
        return "heartbeat tick must be greater than 0";
    }
    if (cfg->election_ticks <= cfg->heartbeat_ticks) {
        return "election tick must be greater than heartbeat tick";
    }
    if (cfg->storage == NULL) {
        return "storage cannot be nil";
    }
    if (cfg->max_inflight_msgs == 0) {
        return "max inflight messages must be greater than 0";
    }
    if (cfg->max_inflight_bytes != 0 &&
        cfg->max_inflight_bytes < cfg->max_size_per_msg) {
        return "max inflight bytes must be >= max message size";
    }
    if (cfg->read_only_option == READ_ONLY_LEASE_BASED && !cfg->check_quorum) {
        return "CheckQuorum must be enabled when ReadOnlyOption is "
               "ReadOnlyLeaseBased";
    }
    return NULL;
}

static void copy_config(struct raft *r, const struct raft_config *cfg)
{
    ASSERT(cfg->election_ticks > cfg->heartbeat_ticks);
    r->id = cfg->id;
    r->election_timeout = cfg->election_ticks;
    r->heartbeat_timeout = cfg->heartbeat_ticks;
    r->max_msg_size = cfg->max_size_per_msg;
    r->max_uncommitted_size = cfg->max_uncommitted_entries_size != 0
                                  ? cfg->max_uncommitted_entries_size
                                  : RAFT_NO_LIMIT;
    r->async_storage_writes = cfg->async_storage_writes;
    r->check_quorum = cfg->check_quorum;
    r->pre_vote = cfg->pre_vote;
    r->disable_proposal_forwarding = cfg->disable_proposal_forwarding;
    r->disable_conf_change_validation = cfg->disable_conf_change_validation;
    r->step_down_on_removal = cfg->step_down_on_removal;
}

/* Encoded bytes handed out to be applied; never 0, so that one entry at a time
 * passes whatever was configured. */
static uint64_t apply_budget(const struct raft_config *cfg)
{
    uint64_t budget = cfg->max_committed_size_per_ready != 0
                          ? cfg->max_committed_size_per_ready
                          : cfg->max_size_per_msg;

    return max_u64(budget, 1);
}

static void load_state(struct raft *r, const struct hard_state *hs)
{
    uint64_t last = raft_log_last_index(&r->log);

    if (hs->commit < r->log.committed || hs->commit > last) {
        log_fatal(r->lg,
                  "%" PRIx64 " stored commit index %" PRIu64
                  " is outside [%" PRIu64 ", %" PRIu64 "]",
                  r->id, hs->commit, r->log.committed, last);
    }
    r->log.committed = hs->commit;
    r->term = hs->term;
    r->vote = hs->vote;
}

/* Put the members of `cs` in place; `em` tells why not. */
static int restore_config(struct raft *r, const struct conf_state *cs,
                          uint64_t last_index, struct changer_result *out,
                          struct errmsg *em)
{
    struct changer c = {.tracker = &r->trk, .last_index = last_index};
    int rc = changer_restore(&c, cs, out, em);

    if (rc == 0) {
        ASSERT(out->progress.n <= cs->voters.n + cs->voters_outgoing.n +
                                      cs->learners.n + cs->learners_next.n);
    }
    return rc;
}

static bool is_member_list_equal(const struct raft *r,
                                 const struct conf_state *cs)
{
    struct conf_state now = {0};
    bool equal;

    tracker_conf_state(&r->trk, &now);
    equal = conf_state_equivalent(&now, cs);
    conf_state_release(&now);
    return equal;
}

static void switch_to_config(struct raft *r, struct changer_result *next);

/* Log, members and HardState as the storage has them [raft-core NEW-1]. */
static void load_storage(struct raft *r, const struct raft_config *cfg)
{
    struct hard_state hs = {0};
    struct conf_state cs = {0};
    struct changer_result members = {0};
    struct errmsg em;
    int rc;

    raft_log_init(&r->log, cfg->storage, apply_budget(cfg), cfg->lg);
    rc = cfg->storage->ops->initial_state(cfg->storage, &hs, &cs);
    if (rc < 0) {
        log_fatal(r->lg, "read initial state: %s", err_str(rc));
    }
    rc = restore_config(r, &cs, raft_log_last_index(&r->log), &members, &em);
    if (rc < 0) {
        conf_state_release(&cs);
        log_fatal(r->lg, "restore stored members: %s", em.text);
    }
    switch_to_config(r, &members);
    if (!is_member_list_equal(r, &cs)) {
        conf_state_release(&cs);
        log_fatal(r->lg, "the stored ConfState names a member twice");
    }
    conf_state_release(&cs);
    if (!hard_state_is_empty(&hs)) {
        load_state(r, &hs);
    }
}

void raft_init(struct raft *r, const struct raft_config *cfg)
{
    const char *error = config_error(cfg);

    *r = (struct raft){.lg = cfg->lg};
    if (error != NULL) {
        log_fatal(cfg->lg, "%s", error);
    }
    copy_config(r, cfg);
    rng_seed(&r->rng, cfg->seed);
    read_only_init(&r->read_only, cfg->read_only_option);
    tracker_init(&r->trk,
                 (struct inflight_limits){cfg->max_inflight_msgs,
                                          cfg->max_inflight_bytes},
                 cfg->lg);
    load_storage(r, cfg);
    if (cfg->applied > 0) {
        raft_log_applied_to(&r->log, cfg->applied, 0);
    }
    raft_become_follower(r, r->term, RAFT_NONE);
    log_info(r->lg,
             "%" PRIx64 " starts at term %" PRIu64 ", commit %" PRIu64
             ", applied %" PRIu64 ", last index %" PRIu64,
             r->id, r->term, r->log.committed, r->log.applied,
             raft_log_last_index(&r->log));
}

void raft_release(struct raft *r)
{
    raft_log_release(&r->log);
    tracker_release(&r->trk);
    read_only_release(&r->read_only);
    message_queue_release(&r->pending_reads);
    message_queue_release(&r->msgs);
    message_queue_release(&r->msgs_after_append);
    raft_entries_release(&r->batch);
    xfree(r->read_states);
    *r = (struct raft){0};
}

void raft_hard_state(const struct raft *r, struct hard_state *hs)
{
    *hs = (struct hard_state){r->term, r->vote, r->log.committed};
}

struct soft_state raft_soft_state(const struct raft *r)
{
    return (struct soft_state){.lead = r->lead, .role = r->role};
}

/* --- roles --- */

static void reset_randomized_election_timeout(struct raft *r)
{
    uint64_t base = (uint64_t)r->election_timeout;

    /* Spread over [base, 2*base), so that seldom two nodes campaign at once
     * [Raft 5.2, raft-core ROLE-3]. */
    r->randomized_election_timeout = (int)(base + rng_below(&r->rng, base));
    ASSERT(r->randomized_election_timeout >= r->election_timeout);
    ASSERT(r->randomized_election_timeout < 2 * r->election_timeout);
}

void raft_reset(struct raft *r, uint64_t term)
{
    uint64_t last = raft_log_last_index(&r->log);

    ASSERT(term >= r->term); /* terms never fall [Raft 5.1] */
    if (r->term != term) {
        r->term = term;
        r->vote = RAFT_NONE; /* one vote per term [Raft 5.2] */
    }
    r->lead = RAFT_NONE;
    r->election_elapsed = 0;
    r->heartbeat_elapsed = 0;
    reset_randomized_election_timeout(r);
    raft_abort_leader_transfer(r);
    tracker_reset_votes(&r->trk);
    for (size_t i = 0; i < r->trk.progress.n; i++) {
        struct progress *pr = &r->trk.progress.items[i];

        progress_reset(pr, last + 1, r->trk.limits);
        if (pr->id == r->id) {
            pr->match = last;
        }
    }
    r->pending_conf_index = 0;
    r->uncommitted_size = 0;
    /* Confirmations of another term must not count in this one
     * [raft-core RI-10]; whoever asked asks again. */
    read_only_reset(&r->read_only);
    message_queue_reset(&r->pending_reads);
}

void raft_become_follower(struct raft *r, uint64_t term, uint64_t lead)
{
    r->step = raft_step_follower;
    r->tick = raft_tick_election;
    raft_reset(r, term);
    r->lead = lead;
    r->role = RAFT_FOLLOWER;
    log_info(r->lg, "%" PRIx64 " became follower at term %" PRIu64, r->id,
             r->term);
}

void raft_become_candidate(struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        log_fatal(r->lg, "a leader cannot become candidate");
    }
    r->step = raft_step_candidate;
    r->tick = raft_tick_election;
    raft_reset(r, r->term + 1);
    r->vote = r->id;
    r->role = RAFT_CANDIDATE;
    log_info(r->lg, "%" PRIx64 " became candidate at term %" PRIu64, r->id,
             r->term);
}

void raft_become_pre_candidate(struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        log_fatal(r->lg, "a leader cannot become pre-candidate");
    }
    /* Neither term, vote nor timers change: nothing is promised yet
     * [Thesis 9.6]. The leader is forgotten, or our own lease test would make
     * us refuse others [raft-core PF-25]. */
    r->step = raft_step_candidate;
    r->tick = raft_tick_election;
    tracker_reset_votes(&r->trk);
    r->lead = RAFT_NONE;
    r->role = RAFT_PRE_CANDIDATE;
    log_info(r->lg, "%" PRIx64 " became pre-candidate at term %" PRIu64, r->id,
             r->term);
}

void raft_become_leader(struct raft *r)
{
    struct raft_entry *empty;
    struct progress *self;
    bool appended;

    if (r->role == RAFT_FOLLOWER) {
        log_fatal(r->lg, "a follower cannot become leader");
    }
    r->step = raft_step_leader;
    r->tick = raft_tick_heartbeat;
    raft_reset(r, r->term);
    r->lead = r->id;
    r->role = RAFT_LEADER;

    self = tracker_progress(&r->trk, r->id);
    ASSERT(self != NULL); /* only members campaign [raft-core EL-3] */
    progress_become_replicate(self);
    self->recent_active = true;

    /* Whatever the log holds may be a change that is not applied yet: assume
     * so, it is cheaper than to look [raft-core ROLE-7]. */
    r->pending_conf_index = raft_log_last_index(&r->log);

    /* The empty entry commits what earlier terms left [Raft 8]. */
    empty = raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){NULL, 0});
    appended = raft_append_entry(r, &empty, 1);
    raft_entry_unref(empty);
    if (!appended) {
        log_fatal(r->lg, "the empty entry of a new leader was refused");
    }
    log_info(r->lg, "%" PRIx64 " became leader at term %" PRIu64, r->id,
             r->term);
}

/* --- ticks --- */

bool raft_promotable(const struct raft *r)
{
    struct progress *pr = tracker_progress(&r->trk, r->id);

    return pr != NULL && !pr->is_learner &&
           !raft_log_has_next_or_in_progress_snapshot(&r->log);
}

bool raft_past_election_timeout(const struct raft *r)
{
    return r->election_elapsed >= r->randomized_election_timeout;
}

bool raft_may_warn(struct raft *r)
{
    if (r->quiet_ticks > 0 || !log_enabled(r->lg, LOG_WARN)) {
        return false;
    }
    r->quiet_ticks = r->election_timeout;
    return true;
}

static void count_quiet_tick(struct raft *r)
{
    if (r->quiet_ticks > 0) {
        r->quiet_ticks--;
    }
}

/* Step a message that only ever comes from within. */
static void step_local(struct raft *r, enum raft_message_type type)
{
    struct raft_message m = {.type = type, .from = r->id};
    int rc = raft_step(r, &m);

    ASSERT(rc == 0); /* only proposals are refused [raft-core STP-5] */
}

/* Followers and candidates [Raft 5.2]. */
void raft_tick_election(struct raft *r)
{
    ASSERT(r->role != RAFT_LEADER);
    count_quiet_tick(r);
    if (r->election_elapsed < INT32_MAX) { /* it may count without bound */
        r->election_elapsed++;
    }
    if (raft_promotable(r) && raft_past_election_timeout(r)) {
        r->election_elapsed = 0;
        step_local(r, RAFT_MSG_HUP);
    }
}

/* Leaders. The period of CheckQuorum is the fixed election timeout, not the
 * random one [raft-core TICK-3]; a transfer gets as much time [LT-6]. */
void raft_tick_heartbeat(struct raft *r)
{
    ASSERT(r->role == RAFT_LEADER);
    count_quiet_tick(r);
    r->heartbeat_elapsed++;
    r->election_elapsed++;
    if (r->election_elapsed >= r->election_timeout) {
        r->election_elapsed = 0;
        if (r->check_quorum) {
            step_local(r, RAFT_MSG_CHECK_QUORUM);
        }
        if (r->role == RAFT_LEADER && r->lead_transferee != RAFT_NONE) {
            raft_abort_leader_transfer(r);
        }
    }
    if (r->role != RAFT_LEADER) {
        return;
    }
    if (r->heartbeat_elapsed >= r->heartbeat_timeout) {
        r->heartbeat_elapsed = 0;
        step_local(r, RAFT_MSG_BEAT);
    }
}

/* --- campaigns --- */

static int find_conf_change(void *ctx, struct raft_entry *const *items,
                            size_t n)
{
    bool *found = ctx;

    for (size_t i = 0; i < n; i++) {
        if (items[i]->type == RAFT_ENTRY_CONF_CHANGE ||
            items[i]->type == RAFT_ENTRY_CONF_CHANGE_V2) {
            *found = true;
            return 1;
        }
    }
    return 0;
}

/* Page by page, so that a long backlog is not loaded at once [raft-core EL-2].
 */
bool raft_has_conf_changes(const struct raft *r, uint64_t after, uint64_t last)
{
    const struct raft_log *l = &r->log;
    bool found = false;
    int rc;

    if (after >= last) {
        return false;
    }
    rc = raft_log_scan(l, after + 1, last + 1, l->max_applying_ents_size,
                       &found, find_conf_change);
    if (rc < 0) {
        log_fatal(r->lg, "scan for configuration changes: %s", err_str(rc));
    }
    ASSERT((rc == 1) == found);
    return found;
}

void raft_hup(struct raft *r, enum campaign_type type)
{
    if (r->role == RAFT_LEADER) {
        log_debug(r->lg, "%" PRIx64 " leads already, no campaign", r->id);
        return;
    }
    if (!raft_promotable(r)) {
        log_warn(r->lg, "%" PRIx64 " is not promotable, no campaign", r->id);
        return;
    }
    /* With a committed change not applied we would campaign in the old
     * configuration: two leaders in one term would be possible
     * [raft-core PF-24]. */
    if (raft_has_conf_changes(r, r->log.applied, r->log.committed)) {
        log_warn(r->lg,
                 "%" PRIx64 " has a configuration change to apply at term "
                 "%" PRIu64 ", no campaign",
                 r->id, r->term);
        return;
    }
    raft_campaign(r, type);
}

/* Ask `id` for its vote [Raft 5.2]; ourselves by an answer that counts once it
 * is durable, even in a group of one [raft-core EL-7]. */
static void request_vote(struct raft *r, uint64_t id, uint64_t term,
                         enum campaign_type type)
{
    bool pre = type == CAMPAIGN_PRE_ELECTION;
    struct entry_id last = raft_log_last_entry_id(&r->log);
    struct raft_message *m;

    if (id == r->id) {
        raft_send_vote_type(
            r, pre ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP, id, term);
        return;
    }
    m = raft_send_vote_type(r, pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE, id,
                            term);
    m->index = last.index;
    m->log_term = last.term;
    if (type == CAMPAIGN_TRANSFER) {
        raft_message_set_context(
            m, (struct bytes){(const uint8_t *)CAMPAIGN_TRANSFER_CONTEXT,
                              sizeof(CAMPAIGN_TRANSFER_CONTEXT) - 1});
    }
    log_info(r->lg,
             "%" PRIx64 " (log term %" PRIu64 ", index %" PRIu64
             ") asks %" PRIx64 " for %s at term %" PRIu64,
             r->id, last.term, last.index, id, raft_message_type_name(m->type),
             term);
}

void raft_campaign(struct raft *r, enum campaign_type type)
{
    struct id_list voters = {0};
    uint64_t term;

    if (type == CAMPAIGN_PRE_ELECTION) {
        raft_become_pre_candidate(r);
        term = r->term + 1; /* asked for, not taken [Thesis 9.6] */
    } else {
        raft_become_candidate(r);
        term = r->term;
    }
    tracker_voter_nodes(&r->trk, &voters);
    for (size_t i = 0; i < voters.n; i++) {
        request_vote(r, voters.ids[i], term, type);
    }
    id_set_release(&voters);
}

enum vote_result raft_poll(struct raft *r, uint64_t id, bool granted)
{
    struct vote_tally tally;

    tracker_record_vote(&r->trk, id, granted);
    tally = tracker_tally_votes(&r->trk);
    log_info(r->lg,
             "%" PRIx64 " %s a vote of %" PRIx64 " at term %" PRIu64
             ": %zu granted, %zu rejected",
             r->id, granted ? "gets" : "is refused", id, r->term, tally.granted,
             tally.rejected);
    return tally.result;
}

/* --- applying --- */

static void propose_leave(struct raft *r)
{
    struct raft_message m = {.type = RAFT_MSG_PROP, .from = r->id};
    int rc;

    ASSERT(tracker_config_is_joint(&r->trk.config));
    raft_entries_take(&m.entries, raft_entry_new(RAFT_ENTRY_CONF_CHANGE_V2,
                                                 (struct bytes){NULL, 0}));
    rc = raft_step(r, &m);
    raft_message_release(&m);
    if (rc < 0) {
        log_debug(r->lg, "%" PRIx64 " cannot leave the joint configuration: %s",
                  r->id, err_str(rc));
    } else {
        log_info(r->lg, "%" PRIx64 " leaves the joint configuration", r->id);
    }
}

/* Propose to leave a joint configuration that asks for it. Refused (a transfer
 * is pending, or we were removed), it is tried again when applied moves next;
 * accepted, it raises pending_conf_index above applied and so is not proposed
 * twice [raft-core CC-19]. */
static void maybe_auto_leave(struct raft *r)
{
    if (!r->trk.config.auto_leave || r->role != RAFT_LEADER ||
        r->log.applied < r->pending_conf_index) {
        return;
    }
    propose_leave(r);
}

void raft_applied_to(struct raft *r, uint64_t index, uint64_t size)
{
    raft_log_applied_to(&r->log, max_u64(index, r->log.applied), size);
    ASSERT(r->log.applied >= index);
    maybe_auto_leave(r);
}

void raft_applied_snap(struct raft *r, const struct raft_snapshot *s)
{
    ASSERT(!raft_snapshot_is_empty(s));
    raft_log_stable_snap_to(&r->log, s->index);
    raft_applied_to(r, s->index, 0);
}

/* --- membership --- */

void raft_abort_leader_transfer(struct raft *r)
{
    r->lead_transferee = RAFT_NONE;
}

/* New members are probed at once, they need not wait for a heartbeat. */
static void probe_members(struct raft *r)
{
    for (size_t i = 0; i < r->trk.progress.n; i++) {
        uint64_t id = r->trk.progress.items[i].id;

        if (id != r->id) {
            raft_maybe_send_append(r, id, false);
        }
    }
}

/* Put `next` in force; it is empty afterwards [raft-core CC-16..18]. */
static void switch_to_config(struct raft *r, struct changer_result *next)
{
    struct progress *self;

    tracker_switch(&r->trk, &next->config, &next->progress);
    self = tracker_progress(&r->trk, r->id);
    r->is_learner = self != NULL && self->is_learner;
    if (r->role != RAFT_LEADER) {
        return;
    }
    if (self == NULL || r->is_learner) {
        /* Without the option it stays, to bring the others the change that
         * removed it, but no longer counts itself [Raft 6]. */
        if (r->step_down_on_removal) {
            raft_become_follower(r, r->term, RAFT_NONE);
        }
        return;
    }
    ASSERT(r->trk.config.voters.incoming.n > 0);
    /* A smaller quorum may have all it needs by now. */
    if (raft_maybe_commit(r)) {
        raft_commit_advanced(r);
    } else {
        probe_members(r);
    }
    raft_answer_confirmed_reads(r);
    if (r->lead_transferee != RAFT_NONE &&
        !tracker_is_voter(&r->trk, r->lead_transferee)) {
        raft_abort_leader_transfer(r); /* [raft-core LT-6] */
    }
}

void raft_apply_conf_change(struct raft *r, const struct conf_change_v2 *cc)
{
    struct changer c = {.tracker = &r->trk,
                        .last_index = raft_log_last_index(&r->log)};
    struct changer_result next = {0};
    struct errmsg em;
    int rc = changer_apply(&c, cc, &next, &em);

    if (rc < 0) {
        log_fatal(r->lg, "apply configuration change: %s", em.text);
    }
    switch_to_config(r, &next);
    log_info(r->lg, "%" PRIx64 " applied a configuration change: %zu members",
             r->id, r->trk.progress.n);
}

/* Whether `s` knows us; learners_next are outgoing voters as well. */
static bool is_in_snapshot(const struct raft *r, const struct raft_snapshot *s)
{
    const struct conf_state *cs = &s->conf_state;

    return id_list_contains(&cs->voters, r->id) ||
           id_list_contains(&cs->learners, r->id) ||
           id_list_contains(&cs->voters_outgoing, r->id);
}

/* The tests that decide whether `s` replaces our log, in the order of
 * [raft-core SNAP-7]. */
static bool wants_snapshot(struct raft *r, const struct raft_snapshot *s)
{
    struct entry_id id = {s->term, s->index};

    if (s->index <= r->log.committed) {
        return false;
    }
    if (r->role != RAFT_FOLLOWER) {
        /* Cannot happen: a snapshot makes its receiver a follower first. A new
         * term keeps us from acting on whatever led here. */
        log_warn(r->lg, "%" PRIx64 " got a snapshot and is no follower", r->id);
        raft_become_follower(r, r->term + 1, RAFT_NONE);
        return false;
    }
    if (!is_in_snapshot(r, s)) {
        warn_limited(r,
                     "%" PRIx64 " ignores snapshot index %" PRIu64
                     ", it is no member there",
                     r->id, s->index);
        return false;
    }
    if (raft_log_match_term(&r->log, id)) {
        /* We have all of it: keep the log, learn the commit [Raft 7]. */
        raft_log_commit_to(&r->log, s->index);
        return false;
    }
    return true;
}

bool raft_restore(struct raft *r, struct raft_snapshot *s)
{
    struct changer_result members = {0};
    struct errmsg em;

    if (!wants_snapshot(r, s)) {
        return false;
    }
    /* Before anything changes, as it comes from a peer [raft-core PF-44]. */
    if (restore_config(r, &s->conf_state, s->index, &members, &em) < 0) {
        warn_limited(r, "%" PRIx64 " refuses snapshot index %" PRIu64 ": %s",
                     r->id, s->index, em.text);
        return false;
    }
    raft_log_restore(&r->log, s);
    ASSERT(raft_log_last_index(&r->log) == s->index);
    tracker_clear(&r->trk);
    switch_to_config(r, &members);
    if (!is_member_list_equal(r, &s->conf_state)) {
        log_warn(r->lg, "snapshot index %" PRIu64 " has a redundant ConfState",
                 s->index);
    }
    log_info(r->lg,
             "%" PRIx64 " takes over snapshot index %" PRIu64 " term %" PRIu64,
             r->id, s->index, s->term);
    return true;
}

/* --- invariants --- */

static void check_leader(const struct raft *r)
{
    const struct progress *self = tracker_progress(&r->trk, r->id);
    struct entry_id last = raft_log_last_entry_id(&r->log);

    ASSERT(r->lead == r->id);
    /* Its own empty entry at least, and nobody else's after it. */
    ASSERT(last.term == r->term);
    ASSERT(r->step != NULL);
    for (size_t i = 0; i < r->trk.progress.n; i++) {
        ASSERT(r->trk.progress.items[i].match <= last.index);
    }
    if (self != NULL) {
        ASSERT(self->state == PROGRESS_REPLICATE || self->match == 0);
    }
    if (r->lead_transferee != RAFT_NONE) {
        ASSERT(r->lead_transferee != r->id);
    }
}

void raft_check(const struct raft *r)
{
    const struct progress *self = tracker_progress(&r->trk, r->id);

    raft_log_check(&r->log);
    tracker_check(&r->trk);
    ASSERT(r->is_learner == (self != NULL && self->is_learner));
    ASSERT(r->batch.len == 0);
    ASSERT(r->randomized_election_timeout >= r->election_timeout);
    ASSERT(r->randomized_election_timeout < 2 * r->election_timeout);
    ASSERT(r->election_elapsed >= 0);
    switch (r->role) {
    case RAFT_LEADER:
        check_leader(r);
        return;
    case RAFT_CANDIDATE:
        ASSERT(r->vote == r->id);
        ASSERT(r->lead == RAFT_NONE);
        break;
    case RAFT_PRE_CANDIDATE:
        ASSERT(r->lead == RAFT_NONE);
        break;
    case RAFT_FOLLOWER:
        ASSERT(r->lead != r->id);
        break;
    }
    /* What only a leader has. */
    ASSERT(r->lead_transferee == RAFT_NONE);
    ASSERT(r->pending_conf_index == 0);
    ASSERT(r->pending_reads.len == 0);
    ASSERT(read_only_pending(&r->read_only) == 0);
}
