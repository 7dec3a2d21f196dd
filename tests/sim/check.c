/* The invariants, as far as they are about what passes the seams. check.h says
 * what this is. */

#include "tests/sim/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "src/kv/command.h"
#include "tests/sim/check_internal.h"

static struct bytes put_key(const void *item)
{
    const struct put *p = item;

    return (struct bytes){(const uint8_t *)&p->id, sizeof(p->id)};
}

struct checker *checker_new(checker_violation_cb *on_violation, void *ctx)
{
    struct checker *k = xcalloc(1, sizeof(*k));

    k->on_violation = on_violation;
    k->ctx = ctx;
    map_init(&k->puts, put_key, 0);
    state_init(&k->state);
    for (size_t i = 0; i < ARRAY_LEN(k->nodes); i++) {
        k->nodes[i].log.first = 1;
    }
    return k;
}

void checker_free(struct checker *k)
{
    struct put *p;
    size_t pos = 0;

    if (k == NULL) {
        return;
    }
    while ((p = map_next(&k->puts, &pos)) != NULL) {
        xfree(p);
    }
    map_release(&k->puts);
    state_release(&k->state);
    for (size_t i = 0; i < k->n_positions; i++) {
        xfree(k->positions[i].versions);
    }
    for (size_t i = 0; i < ARRAY_LEN(k->nodes); i++) {
        xfree(k->nodes[i].log.terms);
        xfree(k->nodes[i].pending.terms);
    }
    xfree(k->positions);
    xfree(k->terms);
    xfree(k);
}

void checker_fail(struct checker *k, const char *invariant, const char *fmt,
                  ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    k->on_violation(k->ctx, invariant, text);
    UNREACHABLE();
}

/* --- tables --- */

struct position *check_position(struct checker *k, uint64_t index)
{
    while (k->n_positions <= index) {
        size_t n = k->n_positions == 0 ? 64 : 2 * k->n_positions;

        k->positions = xrealloc_array(k->positions, n, sizeof(*k->positions));
        memset(k->positions + k->n_positions, 0,
               (n - k->n_positions) * sizeof(*k->positions));
        k->n_positions = n;
    }
    return &k->positions[index];
}

struct version *check_version(const struct position *p, uint64_t term)
{
    for (size_t i = 0; i < p->n_versions; i++) {
        if (p->versions[i].term == term) {
            return &p->versions[i];
        }
    }
    return NULL;
}

struct put *check_put(struct checker *k, uint64_t id)
{
    struct put *p =
        map_find(&k->puts, (struct bytes){(const uint8_t *)&id, sizeof(id)});

    if (p == NULL) {
        p = xcalloc(1, sizeof(*p));
        p->id = id;
        (void)map_put(&k->puts, p);
    }
    return p;
}

struct term_seen *check_term(struct checker *k, uint64_t term)
{
    while (k->n_terms <= term) {
        size_t n = k->n_terms == 0 ? 64 : 2 * k->n_terms;

        k->terms = xrealloc_array(k->terms, n, sizeof(*k->terms));
        memset(k->terms + k->n_terms, 0, (n - k->n_terms) * sizeof(*k->terms));
        k->n_terms = n;
    }
    return &k->terms[term];
}

static void log_set(struct term_log *l, uint64_t index, uint64_t term)
{
    ASSERT(index >= l->first && index <= log_last(l) + 1);
    l->n = (size_t)(index - l->first);
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : 2 * l->cap;
        l->terms = xrealloc_array(l->terms, l->cap, sizeof(*l->terms));
    }
    l->terms[l->n++] = term;
}

static void log_restart(struct term_log *l, struct entry_id at)
{
    l->n = 0;
    l->first = at.index + 1;
    l->before = at.term;
}

/* --- entries --- */

/* An entry in somebody's log: what is at (index, term), and before it, is the
 * same everywhere (I3), and was refused to nobody (I20). */
static void see_entry(struct checker *k, const struct sim_node *n,
                      const struct raft_entry *e, uint64_t prev_term)
{
    struct position *at = check_position(k, e->index);
    struct version *v = check_version(at, e->term);
    struct bytes data = {e->data, e->len};
    struct kv_command cmd = {.id = 0};
    uint8_t type = (uint8_t)e->type;
    uint32_t hash = crc32c(crc32c(0, &type, 1), data.data, data.len);

    if (v == NULL) {
        at->versions = xrealloc_array(at->versions, at->n_versions + 1,
                                      sizeof(*at->versions));
        v = &at->versions[at->n_versions++];
        if (e->type == RAFT_ENTRY_NORMAL && e->len > 0 &&
            kv_command_decode(data, &cmd) < 0) {
            checker_fail(k, "I16", "node %d: entry %" PRIu64 " is no command",
                         (int)n->id, e->index);
        }
        *v = (struct version){e->term,
                              prev_term,
                              cmd.id,
                              hash,
                              e->type == RAFT_ENTRY_NORMAL && e->len > 0,
                              state_pair(cmd.key, cmd.value)};
        if (cmd.id != 0) {
            check_put(k, cmd.id)->is_logged = true;
        }
    }
    if (v->hash != hash || v->prev_term != prev_term) {
        checker_fail(k, "I3",
                     "node %d: entry %" PRIu64 " of term %" PRIu64
                     " differs from another log's",
                     (int)n->id, e->index, e->term);
    }
    if (v->request_id != 0 && check_put(k, v->request_id)->is_refused) {
        checker_fail(k, "I20",
                     "node %d: entry %" PRIu64
                     " is in a log, its client was told that it will not be",
                     (int)n->id, e->index);
    }
}

/* --- writes --- */

static void note_pending(struct pending *p, const struct raftnode_write *w)
{
    p->hs = w->hard_state;
    p->must_sync = w->must_sync || w->snapshot != NULL || w->marker != NULL;
    p->n = w->n_entries;
    p->first = p->n > 0 ? w->entries[0]->index : 0;
    if (p->n > p->cap) {
        p->cap = 2 * p->n;
        p->terms = xrealloc_array(p->terms, p->cap, sizeof(*p->terms));
    }
    for (size_t i = 0; i < p->n; i++) {
        p->terms[i] = w->entries[i]->term;
    }
}

/* A snapshot as of one index is the same bytes everywhere (I23). */
static void see_snapshot(struct checker *k, const struct sim_node *n,
                         const struct raft_snapshot *s)
{
    struct position *at = check_position(k, s->index);
    uint32_t hash = crc32c(0, s->data, s->len);
    uint64_t state;

    if (s->index > k->committed || at->committed != s->term) {
        checker_fail(k, "I5",
                     "node %d: snapshot at %" PRIu64 " of term %" PRIu64
                     " is not of what was committed",
                     (int)n->id, s->index, s->term);
    }
    if (at->has_snapshot) {
        if (at->snapshot_hash != hash) {
            checker_fail(k, "I23",
                         "node %d: snapshot at %" PRIu64
                         " differs from another node's",
                         (int)n->id, s->index);
        }
        return;
    }
    at->has_snapshot = true;
    at->snapshot_hash = hash;
    if (!state_of_image((struct bytes){s->data, s->len}, &state) ||
        state != at->state) {
        checker_fail(k, "I23",
                     "node %d: snapshot at %" PRIu64
                     " is not what the log says up to there",
                     (int)n->id, s->index);
    }
}

/* A leader makes no change of members before the last one is applied (I13). */
static void see_change(struct checker *k, const struct sim_node *n,
                       const struct raft_entry *e)
{
    struct node_model *m = &k->nodes[n->id];
    const struct raft *r = raft_of(n);

    if (r->role != RAFT_LEADER || e->term != r->term ||
        e->type == RAFT_ENTRY_NORMAL) {
        return;
    }
    if (m->change_at > n->node->applied) {
        checker_fail(k, "I13",
                     "leader %d changes the members at %" PRIu64
                     ", its change at %" PRIu64 " is not applied",
                     (int)n->id, e->index, m->change_at);
    }
    m->change_at = e->index;
}

void checker_filed(struct checker *k, const struct sim_node *n,
                   const struct raft_snapshot *own, int rc)
{
    see_snapshot(k, n, own);
    if (rc == 0) {
        k->nodes[n->id].filed = own->index;
    }
}

/* Behind its file, and with no commit index on disk that it goes beyond: else
 * the next start could not use it (I27). */
static void check_marker(struct checker *k, const struct sim_node *n,
                         const struct raftnode_write *w)
{
    const struct node_model *m = &k->nodes[n->id];

    if (w->marker->index != m->filed ||
        w->marker->index > max_u64(m->hs.commit, w->hard_state.commit)) {
        checker_fail(k, "I27",
                     "node %d marks a snapshot at %" PRIu64
                     ", its last file is of %" PRIu64
                     ", its commit index %" PRIu64,
                     (int)n->id, w->marker->index, m->filed, m->hs.commit);
    }
}

void checker_submit(struct checker *k, const struct sim_node *n,
                    const struct raftnode_write *w)
{
    struct node_model *m = &k->nodes[n->id];
    const struct raft_snapshot *snap = w->snapshot;
    const struct raft *r = raft_of(n);
    uint64_t prev;

    if (m->pending.is_open) {
        checker_fail(k, "I18",
                     "node %d begins a write before the last one is complete",
                     (int)n->id);
    }
    m->pending.is_open = true;
    m->pending.has_snapshot = snap != NULL;
    m->pending.marker = w->marker == NULL ? 0 : w->marker->index;
    note_pending(&m->pending, w);
    if (w->marker != NULL) {
        check_marker(k, n, w);
    }
    if (snap != NULL) {
        m->pending.snapshot = (struct entry_id){snap->term, snap->index};
        see_snapshot(k, n, snap);
    }
    if (m->pending.n == 0) {
        return;
    }
    if (r->role == RAFT_LEADER) {
        if (m->led_term == r->term && m->pending.first <= log_last(&m->log)) {
            checker_fail(k, "I2", "leader %d overwrites its entry %" PRIu64,
                         (int)n->id, m->pending.first);
        }
        m->led_term = r->term;
    }
    prev = m->pending.has_snapshot &&
                   m->pending.snapshot.index + 1 == m->pending.first
               ? m->pending.snapshot.term
               : log_term(&m->log, m->pending.first - 1);
    for (size_t i = 0; i < w->n_entries; i++) {
        see_entry(k, n, w->entries[i], prev);
        see_change(k, n, w->entries[i]);
        prev = w->entries[i]->term;
    }
}

/* What was committed is never overwritten (I4, I5), on no disk. */
static void append_durable(struct checker *k, const struct sim_node *n,
                           uint64_t index, uint64_t term)
{
    struct node_model *m = &k->nodes[n->id];
    uint64_t was = log_term(&m->log, index);

    if (index <= k->committed && was == check_position(k, index)->committed &&
        was != 0 && was != term) {
        checker_fail(k, "I4",
                     "node %d: committed entry %" PRIu64 " is overwritten",
                     (int)n->id, index);
    }
    log_set(&m->log, index, term);
}

/* A disk that loses [from, ...) has nothing there that is committed (I6): once
 * on the disks of a majority, it stays there. */
static void check_drop(struct checker *k, const struct sim_node *n,
                       uint64_t from)
{
    const struct term_log *l = &k->nodes[n->id].log;
    uint64_t last = min_u64(log_last(l), k->committed);

    for (uint64_t i = max_u64(from, l->first); i <= last; i++) {
        if (log_term(l, i) == check_position(k, i)->committed) {
            checker_fail(k, "I6",
                         "node %d: committed entry %" PRIu64 " is cut off",
                         (int)n->id, i);
        }
    }
}

void checker_written(struct checker *k, const struct sim_node *n, int rc)
{
    struct node_model *m = &k->nodes[n->id];
    struct pending *p = &m->pending;

    ASSERT(p->is_open);
    if (rc < 0) {
        return; /* some of it may be there after a restart */
    }
    p->is_open = false;
    m->snapshot = max_u64(m->snapshot, p->marker);
    if (p->has_snapshot) {
        m->snapshot = max_u64(m->snapshot, p->snapshot.index);
        check_drop(k, n, p->snapshot.index + 1);
        log_restart(&m->log, p->snapshot);
    }
    if (p->n > 0) {
        check_drop(k, n, p->first + p->n);
    }
    for (size_t i = 0; i < p->n; i++) {
        append_durable(k, n, p->first + i, p->terms[i]);
    }
    if (!hard_state_is_empty(&p->hs)) {
        m->hs = p->hs;
    }
    if (p->must_sync) {
        m->synced_commit = m->hs.commit;
    }
}

/* --- recovery (I15) --- */

static void check_hard_state(struct checker *k, const struct sim_node *n,
                             const struct hard_state *found)
{
    const struct node_model *m = &k->nodes[n->id];
    const struct pending *p = &m->pending;
    bool as_durable = found->term == m->hs.term && found->vote == m->hs.vote;
    bool as_pending = p->is_open && !hard_state_is_empty(&p->hs) &&
                      found->term == p->hs.term && found->vote == p->hs.vote;

    if (!as_durable && !as_pending) {
        checker_fail(k, "I15",
                     "node %d wrote term %" PRIu64 " vote %" PRIx64
                     " and found term %" PRIu64 " vote %" PRIx64,
                     (int)n->id, m->hs.term, m->hs.vote, found->term,
                     found->vote);
    }
}

/* The term that may be found at `index`: of the write under way, once one of
 * its entries was found; else of either. Behind an older snapshot than the last
 * one read, which was damaged, is what was committed. */
static bool is_expected(struct checker *k, const struct node_model *m,
                        uint64_t index, uint64_t term, bool *in_pending)
{
    const struct pending *p = &m->pending;
    uint64_t durable = index + 1 < m->log.first
                           ? check_position(k, index)->committed
                           : log_term(&m->log, index);
    bool in_range =
        p->is_open && p->n > 0 && index >= p->first && index - p->first < p->n;

    if (in_range && (*in_pending || index == p->first) &&
        p->terms[index - p->first] == term) {
        /* The same entry may be in both; it ends the old tail all the same
         * only if its term differs, or it is written again. */
        *in_pending = *in_pending || durable != term;
        return true;
    }
    return !*in_pending && durable == term;
}

static void check_entries(struct checker *k, const struct sim_node *n,
                          const struct raftnode_recovered *found)
{
    struct node_model *m = &k->nodes[n->id];
    const struct pending *p = &m->pending;
    struct entry_id snap = {0};
    bool in_pending = false;
    uint64_t last;

    if (found->snapshot != NULL) {
        snap = (struct entry_id){found->snapshot->term, found->snapshot->index};
    }
    if (p->is_open && p->has_snapshot && snap.index == p->snapshot.index) {
        /* The leader's snapshot arrived; the entries of its write follow. */
        log_restart(&m->log, snap);
    }
    for (size_t i = 0; i < found->entries.len; i++) {
        const struct raft_entry *e = found->entries.items[i];

        if (!is_expected(k, m, e->index, e->term, &in_pending)) {
            checker_fail(k, "I15",
                         "node %d found entry %" PRIu64 " of term %" PRIu64
                         ", the disk has term %" PRIu64,
                         (int)n->id, e->index, e->term,
                         log_term(&m->log, e->index));
        }
        see_entry(k, n, e,
                  i > 0 ? found->entries.items[i - 1]->term : snap.term);
    }
    last = snap.index + found->entries.len;
    if (last < log_last(&m->log) && !in_pending &&
        !(p->is_open && p->n > 0 && last >= p->first)) {
        checker_fail(k, "I15",
                     "node %d found entries up to %" PRIu64
                     ", the disk has them up to %" PRIu64,
                     (int)n->id, last, log_last(&m->log));
    }
}

void checker_recovered(struct checker *k, const struct sim_node *n,
                       const struct raftnode_recovered *found)
{
    struct node_model *m = &k->nodes[n->id];
    struct entry_id snap = {0};

    check_hard_state(k, n, &found->hard_state);
    check_entries(k, n, found);
    if (found->snapshot != NULL) {
        snap = (struct entry_id){found->snapshot->term, found->snapshot->index};
        see_snapshot(k, n, found->snapshot);
    }
    /* What was found is what the disk holds. */
    log_restart(&m->log, snap);
    for (size_t i = 0; i < found->entries.len; i++) {
        log_set(&m->log, found->entries.items[i]->index,
                found->entries.items[i]->term);
    }
    m->hs = found->hard_state;
    m->synced_commit = m->hs.commit;
    m->snapshot = snap.index;
    m->compacted = snap.index;
    m->pending.is_open = false;
    m->filed = 0;
    m->term = m->hs.term;
    m->commit = 0;
    m->applied = 0;
    m->voters = (struct voters){UINT32_MAX, 0}; /* not known */
    m->led_term = 0;
    m->leads_term = 0;
    m->change_at = 0;
    m->looks = 0; /* the whole map is compared soon */
}

/* --- messages --- */

static bool is_newer(struct entry_id a, struct entry_id b)
{
    return a.term > b.term || (a.term == b.term && a.index > b.index);
}

/* The end of the log that a vote of this node stands for: of one that was
 * removed, or made a learner, and counts no more, of what it had committed
 * (may_vote_by_commit of src/raft/step.c). */
static struct entry_id log_behind_vote(const struct sim_node *n,
                                       const struct node_model *m)
{
    uint64_t last = tracker_is_voter(&raft_of(n)->trk, n->id)
                        ? log_last(&m->log)
                        : m->hs.commit;

    return (struct entry_id){log_term(&m->log, last), last};
}

/* A vote goes to a log that is as up to date as the voter's (I10). Entries of
 * the term itself may have come in since it was decided. */
static void check_vote(struct checker *k, const struct sim_node *n,
                       const struct raft_message *msg)
{
    const struct node_model *m = &k->nodes[n->id];
    const struct node_model *to = &k->nodes[msg->to];
    struct entry_id last = log_behind_vote(n, m);

    if (to->campaign_term == msg->term && last.term < msg->term &&
        is_newer(last, to->campaign_log)) {
        checker_fail(k, "I10",
                     "node %d votes for %d, whose log ends at %" PRIu64
                     " of term %" PRIu64 ", its own at %" PRIu64
                     " of term %" PRIu64,
                     (int)n->id, (int)msg->to, to->campaign_log.index,
                     to->campaign_log.term, last.index, last.term);
    }
}

/* A learner, or who was removed, does not campaign (I14). */
static void check_campaign(struct checker *k, const struct sim_node *n)
{
    if (!tracker_is_voter(&raft_of(n)->trk, n->id)) {
        checker_fail(k, "I14", "node %d campaigns, and is no voter",
                     (int)n->id);
    }
}

static uint64_t number_at(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

/* A question for a read comes back to the node that asked it, which may pass it
 * on once more: to the next one that it takes for the leader. */
static void note_read_that_returns(struct checker *k, const struct sim_node *n,
                                   const struct raft_message *msg)
{
    struct node_model *m = &k->nodes[n->id];
    const struct raft_entry *e;

    if (msg->type != RAFT_MSG_READ_INDEX || msg->entries.len != 1) {
        return;
    }
    e = msg->entries.items[0];
    if (e->len == 16 && number_at(e->data) == n->id) {
        m->returned[m->n_returned++ % READS_RETURNED] = number_at(e->data + 8);
    }
}

static bool has_returned(const struct node_model *m, uint64_t seq)
{
    for (size_t i = 0; i < READS_RETURNED; i++) {
        if (m->returned[i] == seq) {
            return true;
        }
    }
    return false;
}

/* A follower's commit index is of what this message proved to be in its log
 * (I11). */
void checker_heard(struct checker *k, const struct sim_node *n,
                   const struct raft_message *msg)
{
    const struct raft *r = raft_of(n);
    uint64_t most = 0;

    note_read_that_returns(k, n, msg);
    if (msg->type == RAFT_MSG_APP) {
        most = min_u64(msg->commit, msg->index + msg->entries.len);
    } else if (msg->type == RAFT_MSG_HEARTBEAT) {
        most = msg->commit;
    } else if (msg->type == RAFT_MSG_SNAP && msg->snapshot != NULL) {
        most = msg->snapshot->index;
    }
    if (r->role != RAFT_LEADER &&
        r->log.committed > max_u64(most, k->nodes[n->id].commit)) {
        checker_fail(k, "I11",
                     "node %d commits up to %" PRIu64 " by %s, which proves "
                     "no more than %" PRIu64,
                     (int)n->id, r->log.committed,
                     raft_message_type_name(msg->type), most);
    }
}

/* What is sent in one message is bounded (I26). */
static void check_size(struct checker *k, const struct sim_node *n,
                       const struct raft_message *msg)
{
    uint64_t size = 0;

    for (size_t i = 0; i < msg->entries.len; i++) {
        size += raft_entry_size(msg->entries.items[i]);
    }
    if (msg->type == RAFT_MSG_APP && msg->entries.len > 1 &&
        size > raft_of(n)->max_msg_size) {
        checker_fail(k, "I26",
                     "node %d sends %zu entries of %" PRIu64 " bytes in all",
                     (int)n->id, msg->entries.len, size);
    }
}

/* Each attempt to read has a context that was never used before, in no life:
 * the answer to an earlier one must not count for it (I21). It is made of the
 * node's id and a number. */
static void check_read_context(struct checker *k, const struct sim_node *n,
                               const struct raft_message *msg)
{
    struct node_model *m = &k->nodes[n->id];
    const struct raft_entry *e;
    uint64_t seq;

    ASSERT(msg->entries.len == 1);
    e = msg->entries.items[0];
    ASSERT(e->len == 16);
    if (number_at(e->data) != n->id) {
        return; /* of another node, which asked this one */
    }
    seq = number_at(e->data + 8);
    if (has_returned(m, seq)) {
        return;
    }
    if (seq <= m->read_seq) {
        checker_fail(k, "I21",
                     "node %d asks for a read under number %" PRIu64
                     ", it has used %" PRIu64,
                     (int)n->id, seq, m->read_seq);
    }
    m->read_seq = seq;
}

/* A promise to somebody rests on the disk (I8, I12, I17). One of an earlier
 * term than the disk has may be out of date: that a later leader's entries have
 * taken the place of what it speaks of shows that this leader was elected
 * without it, by a majority that had not promised it and never will. */
void checker_send(struct checker *k, const struct sim_node *n,
                  const struct raft_message *msg)
{
    struct node_model *m = &k->nodes[n->id];

    check_size(k, n, msg);
    switch (msg->type) {
    case RAFT_MSG_PRE_VOTE:
        check_campaign(k, n);
        break;
    case RAFT_MSG_VOTE:
        check_campaign(k, n);
        if (m->hs.term < msg->term ||
            (m->hs.term == msg->term && m->hs.vote != n->id)) {
            checker_fail(k, "I17",
                         "node %d asks for votes of term %" PRIu64
                         " before its own is on disk",
                         (int)n->id, msg->term);
        }
        m->campaign_term = msg->term;
        m->campaign_log = (struct entry_id){msg->log_term, msg->index};
        break;
    case RAFT_MSG_VOTE_RESP:
        if (msg->reject) {
            break;
        }
        check_vote(k, n, msg);
        if (m->hs.term < msg->term ||
            (m->hs.term == msg->term && m->hs.vote != msg->to)) {
            checker_fail(k, "I17",
                         "node %d votes for %d in term %" PRIu64
                         " before the vote is on disk",
                         (int)n->id, (int)msg->to, msg->term);
        }
        if (m->vote_term > msg->term ||
            (m->vote_term == msg->term && m->vote != msg->to)) {
            checker_fail(k, "I8",
                         "node %d votes for %d in term %" PRIu64
                         ", it voted for %d in term %" PRIu64,
                         (int)n->id, (int)msg->to, msg->term, (int)m->vote,
                         m->vote_term);
        }
        m->vote_term = msg->term;
        m->vote = msg->to;
        check_term(k, msg->term)->votes[n->id] = msg->to;
        break;
    case RAFT_MSG_SNAP:
        see_snapshot(k, n, msg->snapshot);
        break;
    case RAFT_MSG_READ_INDEX:
        check_read_context(k, n, msg);
        break;
    case RAFT_MSG_APP_RESP:
        if (!msg->reject && msg->term >= m->hs.term &&
            msg->index > log_last(&m->log)) {
            checker_fail(k, "I17",
                         "node %d says it has %" PRIu64
                         ", its disk has entries up to %" PRIu64,
                         (int)n->id, msg->index, log_last(&m->log));
        }
        break;
    default:
        break;
    }
}

/* --- answers --- */

void checker_acknowledged(struct checker *k, const struct sim_node *n,
                          uint64_t request_id)
{
    struct put *p = check_put(k, request_id);

    check_look(k, n);
    /* The answer comes from inside applying the entry. */
    if (p->committed_at == 0 || p->committed_at > n->node->applied + 1) {
        checker_fail(k, "I20",
                     "node %d answered 204, the entry is at %" PRIu64
                     ", applied is %" PRIu64,
                     (int)n->id, p->committed_at, n->node->applied);
    }
}

void checker_refused(struct checker *k, uint64_t request_id)
{
    struct put *p = check_put(k, request_id);

    p->is_refused = true;
    if (p->is_logged) {
        checker_fail(k, "I20",
                     "a client was told 503 for what is in a log already");
    }
}
