/* What a node sends, and when a leader commits.
 *
 * Messages are built in place in one of two queues: `msgs` may leave at once,
 * `msgs_after_append` only when everything that is unstable now is durable.
 * The leader's own acknowledgement takes the same path as a follower's, so it
 * counts itself only after its own disk has the entry [Thesis 10.2.1].
 *
 * Counterpart: etcd-io/raft raft.go (send, maybeSendAppend, bcast*,
 * appendEntry, maybeCommit).
 * Differs: queues keep the memory of their slots. */

#include "src/raft/raft_internal.h"
#include "src/base/alloc.h"

/* --- message queues --- */

/* A slot does not keep a larger entry vector than this: one burst of tiny
 * entries must not be paid for until the process ends. */
#define SLOT_ENTRIES_KEPT 1024

struct raft_message *message_queue_push(struct message_queue *q)
{
    if (q->len == q->cap) {
        size_t cap = grow_cap(q->cap, q->len + 1);

        q->items = xrealloc_array(q->items, cap, sizeof(*q->items));
        memset(q->items + q->cap, 0, (cap - q->cap) * sizeof(*q->items));
        q->cap = cap;
    }
    ASSERT(q->items[q->len].entries.len == 0);
    ASSERT(q->items[q->len].snapshot == NULL);
    return &q->items[q->len++];
}

/* Make `m` all zero, but keep the memory of its entry vector. Most messages
 * hold numbers and entries only; wiping their unused context and the rest as
 * well took a tenth of the time of a proposal. */
static void message_clear(struct raft_message *m)
{
    struct raft_entries kept = m->entries;

    if (kept.cap > SLOT_ENTRIES_KEPT) {
        raft_entries_release(&kept);
    } else {
        raft_entries_reset(&kept);
    }
    if (m->snapshot != NULL || m->n_responses > 0 || m->has_context) {
        m->entries = (struct raft_entries){0};
        raft_message_release(m);
    } else {
        ASSERT(m->responses == NULL);
        memset(m, 0, offsetof(struct raft_message, context));
    }
    m->entries = kept;
}

struct raft_message *message_queue_push_copy(struct message_queue *q,
                                             const struct raft_message *m)
{
    struct raft_message *slot = message_queue_push(q);
    struct raft_entries kept = slot->entries;

    ASSERT(m->n_responses == 0);
    *slot = *m;
    slot->entries = kept;
    raft_entries_append(&slot->entries, m->entries.items, m->entries.len);
    if (slot->snapshot != NULL) {
        raft_snapshot_ref(slot->snapshot);
    }
    return slot;
}

void message_queue_move(struct message_queue *to, struct message_queue *from,
                        size_t i)
{
    struct raft_message *slot = message_queue_push(to);
    struct raft_message m = *slot;

    ASSERT(to != from);
    ASSERT(i < from->len);
    *slot = from->items[i];
    from->items[i] = m;
}

void message_queue_swap(struct message_queue *a, struct message_queue *b)
{
    struct message_queue q = *a;

    *a = *b;
    *b = q;
}

void message_queue_reset(struct message_queue *q)
{
    for (size_t i = 0; i < q->len; i++) {
        message_clear(&q->items[i]);
    }
    q->len = 0;
}

void message_queue_release(struct message_queue *q)
{
    for (size_t i = 0; i < q->cap; i++) {
        raft_message_release(&q->items[i]);
    }
    xfree(q->items);
    *q = (struct message_queue){0};
}

/* --- sending --- */

static bool is_vote_type(uint64_t type)
{
    return type == RAFT_MSG_VOTE || type == RAFT_MSG_VOTE_RESP ||
           type == RAFT_MSG_PRE_VOTE || type == RAFT_MSG_PRE_VOTE_RESP;
}

/* Promises, refusals included, wait for what they promise to be durable. To be
 * stepped by ourselves is the same as to be sent: a candidate's own vote and a
 * leader's own entries count only then [raft-core SND-3, SND-5]. */
static bool waits_for_append(uint64_t type)
{
    return type == RAFT_MSG_APP_RESP || type == RAFT_MSG_VOTE_RESP ||
           type == RAFT_MSG_PRE_VOTE_RESP;
}

static struct raft_message *new_message(struct raft *r,
                                        enum raft_message_type type,
                                        uint64_t to, uint64_t term)
{
    struct raft_message *m;

    if (waits_for_append(type)) {
        m = message_queue_push(&r->msgs_after_append);
    } else {
        if (to == r->id) {
            log_fatal(r->lg, "%" PRIx64 " would send %s to itself", r->id,
                      raft_message_type_name(type));
        }
        m = message_queue_push(&r->msgs);
    }
    m->type = type;
    m->to = to;
    m->from = r->id;
    m->term = term;
    return m;
}

struct raft_message *raft_send(struct raft *r, enum raft_message_type type,
                               uint64_t to)
{
    ASSERT(!is_vote_type(type));
    /* These two travel without a term and are only ever passed on. */
    ASSERT(type != RAFT_MSG_PROP && type != RAFT_MSG_READ_INDEX);
    return new_message(r, type, to, r->term); /* [raft-core SND-2] */
}

struct raft_message *raft_send_vote_type(struct raft *r,
                                         enum raft_message_type type,
                                         uint64_t to, uint64_t term)
{
    ASSERT(is_vote_type(type));
    if (term == 0) {
        log_fatal(r->lg, "%" PRIx64 " would send %s without a term", r->id,
                  raft_message_type_name(type));
    }
    return new_message(r, type, to, term);
}

void raft_forward(struct raft *r, const struct raft_message *m, uint64_t to)
{
    struct raft_message *slot;

    ASSERT(to != RAFT_NONE);
    if (to == r->id) {
        log_fatal(r->lg, "%" PRIx64 " would forward %s to itself", r->id,
                  raft_message_type_name(m->type));
    }
    slot = message_queue_push_copy(&r->msgs, m);
    slot->to = to;
    if (slot->from == RAFT_NONE) {
        slot->from = r->id; /* [raft-core SND-1, STP-7] */
    }
    slot->term = m->type == RAFT_MSG_PROP || m->type == RAFT_MSG_READ_INDEX
                     ? 0
                     : r->term;
}

void raft_send_timeout_now(struct raft *r, uint64_t to)
{
    raft_send(r, RAFT_MSG_TIMEOUT_NOW, to);
}

/* --- replication [Raft 5.3] --- */

/* The entries `pr` needs are compacted away: send the state instead. False if
 * nothing could be sent [Raft 7, raft-core SNAP-1]. */
static bool maybe_send_snapshot(struct raft *r, struct progress *pr)
{
    struct raft_snapshot *snap = NULL;
    int rc;

    if (!pr->recent_active) {
        log_debug(r->lg, "no snapshot for %" PRIx64 ", it is not active",
                  pr->id);
        return false;
    }
    rc = raft_log_snapshot(&r->log, &snap);
    if (rc == ERR_SNAPSHOT_TEMPORARILY_UNAVAILABLE) {
        log_debug(r->lg, "snapshot for %" PRIx64 " is not available yet",
                  pr->id);
        return false;
    }
    if (rc < 0) {
        log_fatal(r->lg, "read snapshot: %s", err_str(rc));
    }
    if (raft_snapshot_is_empty(snap)) {
        log_fatal(r->lg, "a snapshot is needed, and it is empty");
    }
    log_debug(r->lg,
              "%" PRIx64 " sends snapshot index %" PRIu64 " term %" PRIu64
              " to %" PRIx64,
              r->id, snap->index, snap->term, pr->id);
    progress_become_snapshot(pr, snap->index);
    raft_send(r, RAFT_MSG_SNAP, pr->id)->snapshot = snap;
    return true;
}

/* Send entries from pr->next on to a member that is not paused. The order of
 * the tests is the reference's [raft-core 10.3]. */
static bool send_append_to(struct raft *r, struct progress *pr,
                           bool send_if_empty)
{
    struct entry_id prev = {.index = pr->next - 1};
    struct raft_message *m;
    struct raft_entries slot_entries;
    uint64_t payload;
    int rc;

    ASSERT(r->batch.len == 0);
    /* Before anything is sent: an append whose prev is compacted would carry
     * term 0, which the follower cannot match [raft-core PF-12]. */
    if (raft_log_term(&r->log, prev.index, &prev.term) < 0) {
        return maybe_send_snapshot(r, pr);
    }
    rc = 0;
    /* With a full window an empty append still goes out, or a member that lost
     * all of the window would never answer again [raft-core PF-11]. */
    if (pr->state != PROGRESS_REPLICATE || !inflights_full(&pr->inflights)) {
        rc = raft_log_entries(&r->log, pr->next, r->max_msg_size, &r->batch);
    }
    if (r->batch.len == 0 && !send_if_empty) {
        return false;
    }
    if (rc < 0) {
        return maybe_send_snapshot(r, pr);
    }

    m = raft_send(r, RAFT_MSG_APP, pr->id);
    m->index = prev.index;
    m->log_term = prev.term;
    m->commit = r->log.committed;
    slot_entries = m->entries;
    m->entries = r->batch;
    r->batch = slot_entries;
    payload = raft_payloads_size(m->entries.items, m->entries.len);
    progress_sent_entries(pr, m->entries.len, payload);
    progress_set_sent_commit(pr, r->log.committed);
    return true;
}

bool raft_maybe_send_append(struct raft *r, uint64_t to, bool send_if_empty)
{
    struct progress *pr = tracker_progress(&r->trk, to);

    ASSERT(pr != NULL);
    ASSERT(to != r->id);
    if (progress_is_paused(pr)) {
        return false; /* not even empty appends [raft-core PR-10] */
    }
    return send_append_to(r, pr, send_if_empty);
}

void raft_send_append(struct raft *r, uint64_t to)
{
    raft_maybe_send_append(r, to, true);
}

void raft_bcast_append(struct raft *r)
{
    for (size_t i = 0; i < r->trk.progress.n; i++) {
        uint64_t id = r->trk.progress.items[i].id;

        if (id != r->id) {
            raft_send_append(r, id);
        }
    }
}

/* The commit index is cut at what the member is known to hold: its tail beyond
 * match may differ from ours [raft-core HB-2, HB-4]. */
static void send_heartbeat(struct raft *r, struct progress *pr,
                           struct bytes context)
{
    struct raft_message *m = raft_send(r, RAFT_MSG_HEARTBEAT, pr->id);

    m->commit = min_u64(pr->match, r->log.committed);
    ASSERT(m->commit <= pr->match);
    if (context.data != NULL) {
        raft_message_set_context(m, context);
    }
    progress_set_sent_commit(pr, m->commit);
}

void raft_bcast_heartbeat(struct raft *r)
{
    uint8_t position[READ_ONLY_CONTEXT_SIZE];
    struct bytes context = read_only_heartbeat_context(&r->read_only, position);

    for (size_t i = 0; i < r->trk.progress.n; i++) {
        struct progress *pr = &r->trk.progress.items[i];

        if (pr->id != r->id) {
            send_heartbeat(r, pr, context);
        }
    }
}

/* --- the leader's own log --- */

/* Count `payload` more bytes as uncommitted. Anything is let in while nothing
 * is outstanding, or a large value could never be written; empty entries always
 * are, or a new leader could be stuck [raft-core PR-6]. */
static bool increase_uncommitted_size(struct raft *r, uint64_t payload)
{
    if (r->uncommitted_size > 0 && payload > 0 &&
        (payload > r->max_uncommitted_size ||
         r->uncommitted_size > r->max_uncommitted_size - payload)) {
        return false;
    }
    r->uncommitted_size += payload;
    return true;
}

void raft_reduce_uncommitted_size(struct raft *r, uint64_t payload)
{
    /* Entries of earlier terms were never counted here, so it may go below. */
    r->uncommitted_size -= min_u64(payload, r->uncommitted_size);
}

/* `e` with its place in the log, one reference for the caller. A fresh entry
 * that nobody else can see is numbered in place; a shared one is immutable and
 * copied [raft-core PR-5]. */
static struct raft_entry *number_entry(struct raft_entry *e, uint64_t term,
                                       uint64_t index)
{
    if (e->refs != 1 || e->term != 0 || e->index != 0) {
        return raft_entry_with(e, term, index);
    }
    e->term = term;
    e->index = index;
    return raft_entry_ref(e);
}

bool raft_append_entry(struct raft *r, struct raft_entry *const *entries,
                       size_t n)
{
    uint64_t last = raft_log_last_index(&r->log);

    ASSERT(n > 0);
    ASSERT(r->batch.len == 0);
    if (!increase_uncommitted_size(r, raft_payloads_size(entries, n))) {
        warn_limited(r,
                     "%" PRIx64 " refuses proposals, %" PRIu64
                     " bytes are uncommitted",
                     r->id, r->uncommitted_size);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        raft_entries_take(&r->batch,
                          number_entry(entries[i], r->term, last + 1 + i));
    }
    last = raft_log_append(&r->log, r->batch.items, n);
    ASSERT(last == r->batch.items[n - 1]->index);
    raft_entries_reset(&r->batch);
    /* Counted when it is stepped, once the entries are durable: so followers
     * may commit an entry before the leader has it on disk [raft-core PR-8]. */
    raft_send(r, RAFT_MSG_APP_RESP, r->id)->index = last;
    return true;
}

bool raft_maybe_commit(struct raft *r)
{
    /* Only an entry of the own term is committed by counting; earlier ones are
     * committed with it [Raft 5.4.2, figure 8]. */
    struct entry_id id = {r->term, tracker_committed(&r->trk)};

    ASSERT(r->role == RAFT_LEADER);
    return raft_log_maybe_commit(&r->log, id);
}
