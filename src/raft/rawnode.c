/* The door: from calls to steps of the core, from the core's state to a Ready.
 *
 * A synchronous Ready, and what becomes of it:
 *
 *   rawnode_ready     collects what is new and marks it as handed out; messages
 *                     to ourselves are kept back in steps_on_advance, behind
 *                     them the acknowledgements of storage
 *   (the caller)      writes, syncs, sends, applies
 *   rawnode_advance   steps what was kept back: own votes and entries count,
 *                     entries become stable, applied moves
 *
 * With async_storage_writes the same acknowledgements travel as `responses` of
 * MsgStorageAppend and MsgStorageApply and come back through rawnode_step.
 *
 * Counterpart: etcd-io/raft rawnode.go, bootstrap.go, status.go.
 * Differs: what only a broken peer can send stops here; see `is_plausible`. */

#include "src/raft/rawnode.h"
#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/raft/raft_internal.h"

/* --- life cycle --- */

struct rawnode *rawnode_new(const struct raft_config *cfg)
{
    struct rawnode *rn = xcalloc(1, sizeof(*rn));

    raft_init(&rn->raft, cfg);
    /* What was stored is no news [raft-core NEW-3]. */
    rn->prev_soft_state = raft_soft_state(&rn->raft);
    raft_hard_state(&rn->raft, &rn->prev_hard_state);
    return rn;
}

void rawnode_free(struct rawnode *rn)
{
    if (rn == NULL) {
        return;
    }
    raft_release(&rn->raft);
    xfree(rn->read_states);
    raft_entries_release(&rn->entries);
    raft_entries_release(&rn->committed_entries);
    raft_snapshot_unref(rn->snapshot);
    message_queue_release(&rn->messages);
    message_queue_release(&rn->steps_on_advance);
    raft_message_release(&rn->proposal);
    xfree(rn);
}

/* The entry of a configuration change, count 1; exactly one is not NULL. */
static struct raft_entry *conf_change_entry(const struct conf_change *v1,
                                            const struct conf_change_v2 *v2)
{
    struct raft_entry *e;
    struct buf b;
    int rc;

    ASSERT((v1 == NULL) != (v2 == NULL));
    buf_init(&b, BUF_UNLIMITED);
    rc =
        v1 != NULL ? conf_change_encode(v1, &b) : conf_change_v2_encode(v2, &b);
    ASSERT(rc >= 0); /* the buffer has no limit */
    e = raft_entry_new(v1 != NULL ? RAFT_ENTRY_CONF_CHANGE
                                  : RAFT_ENTRY_CONF_CHANGE_V2,
                       buf_bytes(&b));
    buf_release(&b);
    return e;
}

static void apply_v1(struct raft *r, const struct conf_change *cc)
{
    struct conf_change_single one;
    struct conf_change_v2 v2;

    conf_change_as_v2(cc, &one, &v2);
    raft_apply_conf_change(r, &v2);
}

int rawnode_bootstrap(struct rawnode *rn, const struct raft_peer *peers,
                      size_t n)
{
    struct raft *r = &rn->raft;
    struct raft_entries log = {0};
    uint64_t last = 0;
    int rc;

    if (n == 0) {
        return ERR_BOOTSTRAP_NO_PEERS;
    }
    rc = r->log.storage->ops->last_index(r->log.storage, &last);
    if (rc < 0) {
        return rc;
    }
    if (last != 0) {
        return ERR_BOOTSTRAP_NONEMPTY;
    }
    /* As if a leader of term 1 had added the peers one by one and had committed
     * that [raft-core NEW-4]. Every initial member writes the same entries. */
    rn->prev_hard_state = (struct hard_state){0};
    raft_become_follower(r, 1, RAFT_NONE);
    for (size_t i = 0; i < n; i++) {
        struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE,
                                 .node_id = peers[i].id,
                                 .context = peers[i].context};
        struct raft_entry *e = conf_change_entry(&cc, NULL);

        e->term = 1;
        e->index = i + 1;
        raft_entries_take(&log, e);
    }
    raft_log_append(&r->log, log.items, n);
    raft_entries_release(&log);
    r->log.committed = n;
    /* At once, so that the node can campaign before it has applied them; to
     * apply them again changes nothing. */
    for (size_t i = 0; i < n; i++) {
        struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE,
                                 .node_id = peers[i].id};

        apply_v1(r, &cc);
    }
    ASSERT(r->log.applied == 0);
    return 0;
}

/* --- local input --- */

void rawnode_tick(struct rawnode *rn)
{
    rn->raft.tick(&rn->raft);
}

void rawnode_tick_quiesced(struct rawnode *rn)
{
    rn->raft.election_elapsed++;
}

/* Step a message of our own about or from `from`; only proposals fail. */
static void step_local(struct rawnode *rn, const struct raft_message *m)
{
    int rc = raft_step(&rn->raft, m);

    ASSERT(m->type != RAFT_MSG_PROP);
    ASSERT(rc == 0);
}

int rawnode_campaign(struct rawnode *rn)
{
    struct raft_message m = {.type = RAFT_MSG_HUP, .from = rn->raft.id};

    step_local(rn, &m);
    return 0;
}

/* Step rn->proposal, which holds the entries, in the name of `from`. */
static int step_proposal(struct rawnode *rn, uint64_t from)
{
    int rc;

    rn->proposal.type = RAFT_MSG_PROP;
    rn->proposal.from = from;
    rc = raft_step(&rn->raft, &rn->proposal);
    raft_entries_reset(&rn->proposal.entries);
    return rc;
}

int rawnode_propose(struct rawnode *rn, struct raft_entry *entry)
{
    return rawnode_propose_batch(rn, &entry, 1);
}

int rawnode_propose_batch(struct rawnode *rn, struct raft_entry *const *entries,
                          size_t n)
{
    ASSERT(n > 0);
    ASSERT(rn->proposal.entries.len == 0);
    for (size_t i = 0; i < n; i++) {
        ASSERT(entries[i]->term == 0);
        ASSERT(entries[i]->index == 0);
        raft_entries_take(&rn->proposal.entries, entries[i]);
    }
    return step_proposal(rn, rn->raft.id);
}

int rawnode_propose_conf_change(struct rawnode *rn,
                                const struct conf_change *cc)
{
    return rawnode_propose(rn, conf_change_entry(cc, NULL));
}

int rawnode_propose_conf_change_v2(struct rawnode *rn,
                                   const struct conf_change_v2 *cc)
{
    return rawnode_propose(rn, conf_change_entry(NULL, cc));
}

bool rawnode_conf_change_pending(const struct rawnode *rn)
{
    const struct raft *r = &rn->raft;

    return r->role == RAFT_LEADER && (r->pending_conf_index > r->log.applied ||
                                      !tracker_is_voter(&r->trk, r->id));
}

void rawnode_apply_conf_change(struct rawnode *rn, const struct conf_change *cc,
                               struct conf_state *cs)
{
    apply_v1(&rn->raft, cc);
    rawnode_conf_state(rn, cs);
}

void rawnode_apply_conf_change_v2(struct rawnode *rn,
                                  const struct conf_change_v2 *cc,
                                  struct conf_state *cs)
{
    raft_apply_conf_change(&rn->raft, cc);
    rawnode_conf_state(rn, cs);
}

void rawnode_report_unreachable(struct rawnode *rn, uint64_t id)
{
    struct raft_message m = {.type = RAFT_MSG_UNREACHABLE, .from = id};

    step_local(rn, &m);
}

void rawnode_report_snapshot(struct rawnode *rn, uint64_t id,
                             enum snapshot_status status)
{
    struct raft_message m = {.type = RAFT_MSG_SNAP_STATUS,
                             .from = id,
                             .reject = status == SNAPSHOT_FAILURE};

    step_local(rn, &m);
}

void rawnode_transfer_leader(struct rawnode *rn, uint64_t transferee)
{
    struct raft_message m = {.type = RAFT_MSG_TRANSFER_LEADER,
                             .from = transferee};

    step_local(rn, &m);
}

int rawnode_forget_leader(struct rawnode *rn)
{
    struct raft_message m = {.type = RAFT_MSG_FORGET_LEADER};

    step_local(rn, &m);
    return 0;
}

void rawnode_read_index(struct rawnode *rn, struct bytes ctx)
{
    struct raft_message m = {.type = RAFT_MSG_READ_INDEX};

    ASSERT(ctx.len > 0);
    ASSERT(ctx.len <= RAFT_CONTEXT_MAX);
    raft_entries_take(&m.entries, raft_entry_new(RAFT_ENTRY_NORMAL, ctx));
    step_local(rn, &m);
    raft_message_release(&m);
}

/* --- messages from elsewhere --- */

static bool is_local_thread(uint64_t id)
{
    return id == RAFT_LOCAL_APPEND_THREAD || id == RAFT_LOCAL_APPLY_THREAD;
}

/* Types that travel without a term, or may: requests of the application that
 * are passed on to the leader. */
static bool may_lack_term(uint64_t type)
{
    return type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX ||
           type == RAFT_MSG_TRANSFER_LEADER || type == RAFT_MSG_FORGET_LEADER;
}

/* With asynchronous writes our own votes and acknowledgements come back. */
static bool is_own_response(const struct raft *r, const struct raft_message *m)
{
    return r->async_storage_writes &&
           (m->type == RAFT_MSG_APP_RESP || m->type == RAFT_MSG_VOTE_RESP ||
            m->type == RAFT_MSG_PRE_VOTE_RESP);
}

/* Whether a correct peer can have sent this. The core trusts its messages and
 * would take some of the others for its own, or stop [raft-core PF-44]. */
static bool is_plausible(const struct raft *r, const struct raft_message *m)
{
    if (m->type >= RAFT_MSG_TYPES) {
        return false;
    }
    if (may_lack_term(m->type)) {
        return m->type != RAFT_MSG_READ_INDEX || m->entries.len == 1;
    }
    if (m->term == 0 || m->from == RAFT_NONE) {
        return false;
    }
    if (m->from == r->id && !is_own_response(r, m)) {
        return false;
    }
    /* A snapshot is of its sender's past. */
    return m->snapshot == NULL || m->snapshot->term <= m->term;
}

int rawnode_step(struct rawnode *rn, const struct raft_message *m)
{
    struct raft *r = &rn->raft;
    /* Without asynchronous writes there are no such threads. */
    bool from_thread = r->async_storage_writes && is_local_thread(m->from);

    if (from_thread) {
        return raft_step(r, m);
    }
    if (raft_message_is_local(m->type)) {
        return ERR_STEP_LOCAL_MSG; /* [raft-core RN-5] */
    }
    if (raft_message_is_response(m->type) &&
        tracker_progress(&r->trk, m->from) == NULL) {
        return ERR_STEP_PEER_NOT_FOUND; /* [raft-core RN-6] */
    }
    if (!is_plausible(r, m)) {
        warn_limited(r, "implausible %s from %" PRIx64 " at term %" PRIu64,
                     raft_message_type_name(m->type), m->from, m->term);
        return 0;
    }
    if (m->type != RAFT_MSG_PROP) {
        return raft_step(r, m);
    }
    if (m->entries.len == 0) {
        return ERR_PROPOSAL_DROPPED;
    }
    /* A second reference, so that they are copied and not numbered in place:
     * the sender's message stays as it is. */
    ASSERT(rn->proposal.entries.len == 0);
    raft_entries_append(&rn->proposal.entries, m->entries.items,
                        m->entries.len);
    return step_proposal(rn, m->from);
}

/* --- Ready --- */

/* Whether committed entries may be handed out that are still unstable: the
 * caller of a synchronous Ready makes them stable first [raft-core LOG-12]. */
static bool apply_unstable(const struct rawnode *rn)
{
    return !rn->raft.async_storage_writes;
}

static bool soft_state_changed(const struct rawnode *rn)
{
    struct soft_state now = raft_soft_state(&rn->raft);

    return now.lead != rn->prev_soft_state.lead ||
           now.role != rn->prev_soft_state.role;
}

static bool hard_state_changed(const struct rawnode *rn)
{
    struct hard_state now;

    raft_hard_state(&rn->raft, &now);
    return !hard_state_is_empty(&now) &&
           !hard_state_equal(&now, &rn->prev_hard_state);
}

bool rawnode_has_ready(const struct rawnode *rn)
{
    const struct raft *r = &rn->raft;

    return soft_state_changed(rn) || hard_state_changed(rn) ||
           raft_log_has_next_unstable_snapshot(&r->log) || r->msgs.len > 0 ||
           r->msgs_after_append.len > 0 ||
           raft_log_has_next_unstable_ents(&r->log) ||
           raft_log_has_next_committed_ents(&r->log, apply_unstable(rn)) ||
           r->n_read_states > 0;
}

/* Drop what the last Ready pointed to, keep the memory. */
static void release_ready(struct rawnode *rn)
{
    raft_entries_reset(&rn->entries);
    raft_entries_reset(&rn->committed_entries);
    raft_snapshot_unref(rn->snapshot);
    rn->snapshot = NULL;
    message_queue_reset(&rn->messages);
}

/* Entries, snapshot and states that are new, into the vectors of `rn`. Nothing
 * is marked as handed out yet. */
static void collect(struct rawnode *rn, struct raft_ready *rd)
{
    struct raft *r = &rn->raft;
    struct raft_snapshot *snap = raft_log_next_unstable_snapshot(&r->log);

    raft_log_next_unstable_ents(&r->log, &rn->entries);
    raft_log_next_committed_ents(&r->log, apply_unstable(rn),
                                 &rn->committed_entries);
    if (snap != NULL) {
        rn->snapshot = raft_snapshot_ref(snap);
    }
    rn->soft_state = raft_soft_state(r);
    raft_hard_state(r, &rn->hard_state);
    rd->soft_state = soft_state_changed(rn) ? &rn->soft_state : NULL;
    rd->hard_state = hard_state_changed(rn) ? &rn->hard_state : NULL;
    /* A commit index alone can be lost: it is learned again. Compared with the
     * state last handed out, not with the Ready's own, which may be absent
     * [raft-core RD-2, PF-3]. */
    rd->must_sync = rn->entries.len > 0 ||
                    rn->hard_state.term != rn->prev_hard_state.term ||
                    rn->hard_state.vote != rn->prev_hard_state.vote;
    /* Entries follow a snapshot only after it is applied [raft-core RD-4]. */
    ASSERT(rn->snapshot == NULL || rn->committed_entries.len == 0);
}

static void take_read_states(struct rawnode *rn, struct raft_ready *rd)
{
    struct raft *r = &rn->raft;
    struct read_state *items = rn->read_states;
    size_t cap = rn->read_states_cap;

    rn->read_states = r->read_states;
    rn->read_states_cap = r->read_states_cap;
    rd->read_states = rn->read_states;
    rd->n_read_states = r->n_read_states;
    r->read_states = items;
    r->read_states_cap = cap;
    r->n_read_states = 0;
}

/* --- acknowledgements of storage --- */

/* Whether the unstable log waits for one: attached as long as it holds anything
 * at all, not only to writes of entries, so that entries whose first
 * acknowledgement came in a wrong term are released by a later one
 * [raft-core AS-5, PF-2]. */
static bool needs_storage_append_resp(const struct rawnode *rn)
{
    return raft_log_has_next_or_in_progress_unstable_ents(&rn->raft.log) ||
           rn->snapshot != NULL;
}

static void fill_storage_append_resp(const struct rawnode *rn,
                                     struct raft_message *m)
{
    const struct raft *r = &rn->raft;

    m->type = RAFT_MSG_STORAGE_APPEND_RESP;
    m->to = r->id;
    m->from = RAFT_LOCAL_APPEND_THREAD;
    /* Ignored at any other term: a later leader may overwrite what this
     * acknowledges, with a write of the same index and term still under way
     * [raft-core UN-11]. */
    m->term = r->term;
    if (raft_log_has_next_or_in_progress_unstable_ents(&r->log)) {
        struct entry_id last = raft_log_last_entry_id(&r->log);

        m->index = last.index;
        m->log_term = last.term;
    }
    if (rn->snapshot != NULL) {
        m->snapshot = raft_snapshot_ref(rn->snapshot);
    }
}

/* No term: what was committed stays so whoever leads [raft-core AS-7]. */
static void fill_storage_apply_resp(const struct rawnode *rn,
                                    struct raft_message *m)
{
    m->type = RAFT_MSG_STORAGE_APPLY_RESP;
    m->to = rn->raft.id;
    m->from = RAFT_LOCAL_APPLY_THREAD;
    raft_entries_append(&m->entries, rn->committed_entries.items,
                        rn->committed_entries.len);
}

/* --- synchronous: keep back, to be stepped by rawnode_advance --- */

/* Messages to ourselves are kept back, the others leave. Those of a leader are
 * all of the one kind, those of a follower of the other: then the whole queue
 * changes hands. */
static void sort_after_append(struct rawnode *rn)
{
    struct message_queue *q = &rn->raft.msgs_after_append;
    size_t n_own = 0;

    ASSERT(rn->steps_on_advance.len == 0);
    for (size_t i = 0; i < q->len; i++) {
        n_own += q->items[i].to == rn->raft.id;
    }
    if (n_own == q->len) {
        message_queue_swap(&rn->steps_on_advance, q);
        return;
    }
    if (n_own == 0 && rn->messages.len == 0) {
        message_queue_swap(&rn->messages, q);
        return;
    }
    for (size_t i = 0; i < q->len; i++) {
        message_queue_move(q->items[i].to == rn->raft.id ? &rn->steps_on_advance
                                                         : &rn->messages,
                           q, i);
    }
    message_queue_reset(q);
}

static void prepare_advance(struct rawnode *rn)
{
    if (rn->steps_on_advance.len != 0) {
        log_fatal(rn->raft.lg,
                  "a Ready was taken before the last was advanced");
    }
    sort_after_append(rn);
    if (needs_storage_append_resp(rn)) {
        fill_storage_append_resp(rn, message_queue_push(&rn->steps_on_advance));
    }
    if (rn->committed_entries.len > 0) {
        fill_storage_apply_resp(rn, message_queue_push(&rn->steps_on_advance));
    }
}

/* --- asynchronous: local messages that carry their own answers --- */

/* Move everything that waits for this write into its responses, in order, and
 * the acknowledgement of the write behind it [raft-core AS-3]. */
static void attach_responses(struct rawnode *rn, struct raft_message *m)
{
    struct message_queue *q = &rn->raft.msgs_after_append;
    bool needs_resp = needs_storage_append_resp(rn);
    size_t n = q->len + (needs_resp ? 1 : 0);

    if (n == 0) {
        return;
    }
    m->responses = xcalloc(n, sizeof(*m->responses));
    m->n_responses = n;
    for (size_t i = 0; i < q->len; i++) {
        struct raft_message empty = m->responses[i];

        m->responses[i] = q->items[i];
        q->items[i] = empty;
    }
    if (needs_resp) {
        fill_storage_append_resp(rn, &m->responses[n - 1]);
    }
    message_queue_reset(q);
}

static void push_storage_append(struct rawnode *rn, const struct raft_ready *rd)
{
    struct raft_message *m;

    if (rn->entries.len == 0 && rd->hard_state == NULL &&
        rn->snapshot == NULL && rn->raft.msgs_after_append.len == 0) {
        return;
    }
    m = message_queue_push(&rn->messages);
    m->type = RAFT_MSG_STORAGE_APPEND;
    m->to = RAFT_LOCAL_APPEND_THREAD;
    m->from = rn->raft.id;
    raft_entries_append(&m->entries, rn->entries.items, rn->entries.len);
    if (rd->hard_state != NULL) {
        m->term = rd->hard_state->term;
        m->vote = rd->hard_state->vote;
        m->commit = rd->hard_state->commit;
    }
    if (rn->snapshot != NULL) {
        m->snapshot = raft_snapshot_ref(rn->snapshot);
    }
    attach_responses(rn, m);
}

static void push_storage_apply(struct rawnode *rn)
{
    struct raft_message *m;

    if (rn->committed_entries.len == 0) {
        return;
    }
    m = message_queue_push(&rn->messages);
    m->type = RAFT_MSG_STORAGE_APPLY;
    m->to = RAFT_LOCAL_APPLY_THREAD;
    m->from = rn->raft.id;
    raft_entries_append(&m->entries, rn->committed_entries.items,
                        rn->committed_entries.len);
    m->responses = xcalloc(1, sizeof(*m->responses));
    m->n_responses = 1;
    fill_storage_apply_resp(rn, &m->responses[0]);
}

/* --- accept and advance --- */

/* Everything in `rd` counts as handed out from now on [raft-core RD-1]. */
static void accept(struct rawnode *rn, const struct raft_ready *rd)
{
    struct raft_log *l = &rn->raft.log;
    struct raft_entry *const *items = rn->committed_entries.items;
    size_t n = rn->committed_entries.len;

    if (rd->soft_state != NULL) {
        rn->prev_soft_state = *rd->soft_state;
    }
    if (rd->hard_state != NULL) {
        rn->prev_hard_state = *rd->hard_state;
    }
    raft_log_accept_unstable(l);
    if (n > 0) {
        raft_log_accept_applying(l, items[n - 1]->index,
                                 raft_entries_size(items, n),
                                 apply_unstable(rn));
    }
    ASSERT(!raft_log_has_next_unstable_ents(l));
    ASSERT(rn->raft.msgs_after_append.len == 0);
}

/* Sets every field of *rd, here or by the first two that fill it; wiping it
 * before takes as long as one of them. */
void rawnode_ready(struct rawnode *rn, struct raft_ready *rd)
{
    release_ready(rn);
    collect(rn, rd);
    take_read_states(rn, rd);
    message_queue_swap(&rn->messages, &rn->raft.msgs);
    if (rn->raft.async_storage_writes) {
        push_storage_append(rn, rd);
        push_storage_apply(rn);
    } else {
        prepare_advance(rn);
    }
    accept(rn, rd);
    rd->entries = rn->entries.items;
    rd->n_entries = rn->entries.len;
    rd->snapshot = rn->snapshot;
    rd->committed_entries = rn->committed_entries.items;
    rd->n_committed_entries = rn->committed_entries.len;
    rd->messages = rn->messages.items;
    rd->n_messages = rn->messages.len;
}

void rawnode_advance(struct rawnode *rn)
{
    struct message_queue *q = &rn->steps_on_advance;

    if (rn->raft.async_storage_writes) {
        log_fatal(rn->raft.lg, "advance with asynchronous storage writes");
    }
    /* The order of rawnode_ready: what we promised counts, then the entries are
     * stable, then applied moves [raft-core RD-8]. */
    for (size_t i = 0; i < q->len; i++) {
        int rc = raft_step(&rn->raft, &q->items[i]);

        ASSERT(rc == 0);
    }
    message_queue_reset(q);
    release_ready(rn);
}

/* --- looks at the node --- */

void rawnode_basic_status(const struct rawnode *rn, struct soft_state *soft,
                          struct hard_state *hard, uint64_t *applied)
{
    *soft = raft_soft_state(&rn->raft);
    raft_hard_state(&rn->raft, hard);
    *applied = rn->raft.log.applied;
}

static struct raft_progress_status progress_status(const struct progress *pr)
{
    return (struct raft_progress_status){
        .id = pr->id,
        .is_learner = pr->is_learner,
        .recent_active = pr->recent_active,
        .paused = progress_is_paused(pr),
        .state = progress_state_name(pr->state),
        .match = pr->match,
        .next = pr->next,
        .pending_snapshot = pr->pending_snapshot,
        .inflight = pr->inflights.count,
    };
}

void rawnode_with_progress(const struct rawnode *rn, void *ctx,
                           rawnode_progress_cb *visit_cb)
{
    const struct progress_map *members = &rn->raft.trk.progress;

    for (size_t i = 0; i < members->n; i++) {
        struct raft_progress_status pr = progress_status(&members->items[i]);

        visit_cb(ctx, &pr);
    }
}

void rawnode_status(const struct rawnode *rn, struct raft_status *st)
{
    const struct raft *r = &rn->raft;
    const struct progress_map *members = &r->trk.progress;

    *st = (struct raft_status){
        .id = r->id,
        .soft_state = raft_soft_state(r),
        .applied = r->log.applied,
        .lead_transferee = r->lead_transferee,
        .first_index = raft_log_first_index(&r->log),
        .last_index = raft_log_last_index(&r->log),
    };
    raft_hard_state(r, &st->hard_state);
    if (r->role != RAFT_LEADER || members->n == 0) {
        return; /* others do not know the members' progress */
    }
    st->progress = xcalloc(members->n, sizeof(*st->progress));
    st->n_progress = members->n;
    for (size_t i = 0; i < members->n; i++) {
        st->progress[i] = progress_status(&members->items[i]);
    }
}

void raft_status_release(struct raft_status *st)
{
    xfree(st->progress);
    *st = (struct raft_status){0};
}

void rawnode_conf_state(const struct rawnode *rn, struct conf_state *cs)
{
    *cs = (struct conf_state){0};
    tracker_conf_state(&rn->raft.trk, cs);
}
