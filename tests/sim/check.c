/* The invariants. check.h says what this is. */

#include "tests/sim/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "src/base/map.h"
#include "src/kv/command.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/state.h"

/* A node's whole map is compared with the model's once in so many looks. */
#define LOOKS_PER_MAP 128

/* What the entry at one index was, in one of the terms that had one there. */
struct version {
    uint64_t term;
    uint64_t prev_term; /* of the entry before it */
    uint64_t request_id;
    uint32_t hash; /* of type and data */
    bool is_put;
    struct state_pair put;
};

struct position {
    struct version *versions; /* by time of first sight */
    size_t n_versions;
    uint64_t committed;     /* the term that was; 0: none yet */
    uint64_t committed_in;  /* the term of the leader that did it */
    uint64_t state;         /* of the map, once all up to here is applied */
    uint32_t snapshot_hash; /* of a snapshot as of here */
    uint32_t members_hash;  /* who is a member then, and where */
    bool has_snapshot;
    bool has_members;
};

/* Terms by index. Below `first` only the last term is known. */
struct term_log {
    uint64_t *terms; /* [i - first] */
    size_t n;
    size_t cap;
    uint64_t first;  /* a snapshot stands right before it */
    uint64_t before; /* the term of the position before `first` */
};

/* A write that was asked for and is not known to be durable. */
struct pending {
    bool is_open;
    bool has_snapshot; /* from the leader, or the node's own */
    bool is_own;
    struct entry_id snapshot;
    struct hard_state hs; /* empty: none */
    uint64_t first;
    uint64_t *terms;
    size_t n;
    size_t cap;
};

struct node_model {
    struct term_log log; /* durable */
    struct hard_state hs;
    struct pending pending;
    /* What this life has shown. */
    uint64_t term;
    uint64_t commit;
    uint64_t applied;
    uint64_t led_term; /* of the last write as a leader */
    uint64_t looks;
    /* As a leader, if it is one now: its term, and what it knows of the others
     * (I9, I12). */
    uint64_t leads_term;
    uint64_t match[SIM_NODES_MAX + 1];
    uint64_t change_at; /* its last change of members */
    /* Over all lives: the last vote that was given away. */
    uint64_t vote_term;
    uint64_t vote;
    /* The term it last asked for votes in, and by what log. */
    uint64_t campaign_term;
    struct entry_id campaign_log;
};

/* A PUT, by its request id. */
struct put {
    uint64_t id;
    bool is_logged; /* by any node */
    bool is_refused;
    uint64_t committed_at;
};

struct checker {
    checker_violation_cb *on_violation;
    void *ctx;
    struct node_model nodes[SIM_NODES_MAX + 1];
    struct position *positions; /* by index */
    size_t n_positions;
    uint64_t committed; /* all up to here are in the ledger */
    uint64_t *leaders;  /* by term; 0: none seen */
    size_t n_leaders;
    struct map puts;
    struct state state; /* as of `committed` */
};

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
    xfree(k->leaders);
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

static struct position *position_at(struct checker *k, uint64_t index)
{
    while (k->n_positions <= index) {
        size_t n = k->n_positions == 0 ? 1024 : 2 * k->n_positions;

        k->positions = xrealloc_array(k->positions, n, sizeof(*k->positions));
        memset(k->positions + k->n_positions, 0,
               (n - k->n_positions) * sizeof(*k->positions));
        k->n_positions = n;
    }
    return &k->positions[index];
}

static struct version *version_find(const struct position *p, uint64_t term)
{
    for (size_t i = 0; i < p->n_versions; i++) {
        if (p->versions[i].term == term) {
            return &p->versions[i];
        }
    }
    return NULL;
}

static struct put *put_of(struct checker *k, uint64_t id)
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

static uint64_t *leader_of(struct checker *k, uint64_t term)
{
    while (k->n_leaders <= term) {
        size_t n = k->n_leaders == 0 ? 64 : 2 * k->n_leaders;

        k->leaders = xrealloc_array(k->leaders, n, sizeof(*k->leaders));
        memset(k->leaders + k->n_leaders, 0,
               (n - k->n_leaders) * sizeof(*k->leaders));
        k->n_leaders = n;
    }
    return &k->leaders[term];
}

static uint64_t log_last(const struct term_log *l)
{
    return l->first + l->n - 1;
}

/* 0 where the log has nothing, or nothing any more. */
static uint64_t log_term(const struct term_log *l, uint64_t index)
{
    if (index + 1 == l->first) {
        return l->before;
    }
    if (index < l->first || index > log_last(l)) {
        return 0;
    }
    return l->terms[index - l->first];
}

static void log_set(struct term_log *l, uint64_t index, uint64_t term)
{
    ASSERT(index >= l->first && index <= log_last(l) + 1);
    l->n = (size_t)(index - l->first);
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 1024 : 2 * l->cap;
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
    struct position *at = position_at(k, e->index);
    struct version *v = version_find(at, e->term);
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
            put_of(k, cmd.id)->is_logged = true;
        }
    }
    if (v->hash != hash || v->prev_term != prev_term) {
        checker_fail(k, "I3",
                     "node %d: entry %" PRIu64 " of term %" PRIu64
                     " differs from another log's",
                     (int)n->id, e->index, e->term);
    }
    if (v->request_id != 0 && put_of(k, v->request_id)->is_refused) {
        checker_fail(k, "I20",
                     "node %d: entry %" PRIu64
                     " is in a log, its client was told that it will not be",
                     (int)n->id, e->index);
    }
}

/* --- writes --- */

static const struct raft *raft_of(const struct sim_node *n)
{
    return &n->node->raw->raft;
}

static void note_pending(struct pending *p, const struct raftnode_write *w)
{
    p->hs = w->hard_state;
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
    struct position *at = position_at(k, s->index);
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

void checker_submit(struct checker *k, const struct sim_node *n,
                    const struct raftnode_write *w,
                    const struct raft_snapshot *own)
{
    struct node_model *m = &k->nodes[n->id];
    const struct raft_snapshot *snap = own != NULL ? own : w->snapshot;
    const struct raft *r = raft_of(n);
    uint64_t prev;

    m->pending.is_open = true;
    m->pending.is_own = own != NULL;
    m->pending.has_snapshot = snap != NULL;
    note_pending(&m->pending, own != NULL ? &(struct raftnode_write){0} : w);
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

    if (index <= k->committed && was == position_at(k, index)->committed &&
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
        if (log_term(l, i) == position_at(k, i)->committed) {
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
    if (p->has_snapshot && !p->is_own) {
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
 * its entries was found; else of either. */
static bool is_expected(const struct node_model *m, uint64_t index,
                        uint64_t term, bool *in_pending)
{
    const struct pending *p = &m->pending;
    bool in_range =
        p->is_open && p->n > 0 && index >= p->first && index - p->first < p->n;

    if (in_range && (*in_pending || index == p->first) &&
        p->terms[index - p->first] == term) {
        /* The same entry may be in both; it ends the old tail all the same
         * only if its term differs, or it is written again. */
        *in_pending = *in_pending || log_term(&m->log, index) != term;
        return true;
    }
    return !*in_pending && log_term(&m->log, index) == term;
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
    if (p->is_open && p->has_snapshot && !p->is_own &&
        snap.index == p->snapshot.index) {
        /* The leader's snapshot arrived; the entries of its write follow. */
        log_restart(&m->log, snap);
    }
    for (size_t i = 0; i < found->entries.len; i++) {
        const struct raft_entry *e = found->entries.items[i];

        if (!is_expected(m, e->index, e->term, &in_pending)) {
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
    m->pending.is_open = false;
    m->term = m->hs.term;
    m->commit = 0;
    m->applied = 0;
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

/* A vote goes to a log that is as up to date as the voter's (I10). Entries of
 * the term itself may have come in since it was decided. */
static void check_vote(struct checker *k, const struct sim_node *n,
                       const struct raft_message *msg)
{
    const struct node_model *m = &k->nodes[n->id];
    const struct node_model *to = &k->nodes[msg->to];
    struct entry_id last = {log_term(&m->log, log_last(&m->log)),
                            log_last(&m->log)};

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

/* A promise to somebody rests on the disk (I8, I12, I17). */
void checker_send(struct checker *k, const struct sim_node *n,
                  const struct raft_message *msg)
{
    struct node_model *m = &k->nodes[n->id];

    switch (msg->type) {
    case RAFT_MSG_VOTE:
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
        break;
    case RAFT_MSG_SNAP:
        see_snapshot(k, n, msg->snapshot);
        break;
    case RAFT_MSG_APP_RESP:
        if (!msg->reject && msg->index > log_last(&m->log)) {
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

static void look(struct checker *k, const struct sim_node *n);

void checker_acknowledged(struct checker *k, const struct sim_node *n,
                          uint64_t request_id)
{
    struct put *p = put_of(k, request_id);

    look(k, n);
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
    struct put *p = put_of(k, request_id);

    p->is_refused = true;
    if (p->is_logged) {
        checker_fail(k, "I20",
                     "a client was told 503 for what is in a log already");
    }
}

/* --- looking --- */

/* Whether a majority of `ids` has the entry on disk. */
static bool is_on_majority(const struct checker *k, const struct id_list *ids,
                           uint64_t index, uint64_t term)
{
    size_t n = 0;

    for (size_t i = 0; i < ids->n; i++) {
        const struct node_model *m;

        ASSERT(ids->ids[i] <= SIM_NODES_MAX);
        m = &k->nodes[ids->ids[i]];
        n += index + 1 < m->log.first || log_term(&m->log, index) == term;
    }
    return 2 * n > ids->n;
}

/* The entry at the end of the ledger (I5, I6, I19). */
static void commit_one(struct checker *k, const struct sim_node *n,
                       uint64_t index, uint64_t term)
{
    struct position *at = position_at(k, index);
    const struct tracker_config *cfg = &raft_of(n)->trk.config;
    const struct version *v = version_find(at, term);

    at->committed = term;
    at->committed_in = raft_of(n)->term;
    k->committed = index;
    if (v != NULL && v->is_put) {
        state_set(&k->state, v->put);
    }
    at->state = k->state.sum;
    if (v == NULL) {
        /* The founding entries are made by everyone, and written later. */
        if (term > 1) {
            checker_fail(k, "I6",
                         "node %d: entry %" PRIu64 " of term %" PRIu64
                         " is committed and on no disk",
                         (int)n->id, index, term);
        }
        return;
    }
    if (term > 1 &&
        (!is_on_majority(k, &cfg->voters.incoming, index, term) ||
         (cfg->voters.outgoing.n > 0 &&
          !is_on_majority(k, &cfg->voters.outgoing, index, term)))) {
        checker_fail(k, "I6",
                     "node %d: entry %" PRIu64 " of term %" PRIu64
                     " is committed and not on the disks of a majority",
                     (int)n->id, index, term);
    }
    if (v->request_id != 0) {
        struct put *p = put_of(k, v->request_id);

        if (p->committed_at != 0 && p->committed_at != index) {
            checker_fail(k, "I19",
                         "one proposal is committed at %" PRIu64
                         " and at %" PRIu64,
                         p->committed_at, index);
        }
        p->committed_at = index;
    }
}

static void look_at_commit(struct checker *k, const struct sim_node *n,
                           struct node_model *m)
{
    const struct raft_log *log = &raft_of(n)->log;
    uint64_t commit = log->committed;
    uint64_t from = m->commit + 1;
    uint64_t of_term = 0;

    /* A leader commits by counting, entries of its own term (I9). */
    if (m->leads_term == raft_of(n)->term &&
        raft_log_term(log, commit, &of_term) == 0 && of_term != m->leads_term) {
        checker_fail(k, "I9",
                     "leader %d of term %" PRIu64 " commits entry %" PRIu64
                     " of term %" PRIu64 " by counting",
                     (int)n->id, m->leads_term, commit, of_term);
    }
    if (from < raft_log_first_index(log)) {
        from = raft_log_first_index(log) - 1; /* of a snapshot */
    }
    for (uint64_t i = max_u64(from, 1); i <= commit; i++) {
        uint64_t term = 0;

        if (raft_log_term(log, i, &term) < 0) {
            continue;
        }
        if (i > k->committed) {
            if (i != k->committed + 1) {
                checker_fail(k, "I6",
                             "node %d commits %" PRIu64
                             ", of what is before it nobody knew",
                             (int)n->id, i);
            }
            commit_one(k, n, i, term);
        } else if (position_at(k, i)->committed != term) {
            checker_fail(k, "I5",
                         "node %d: entry %" PRIu64 " of term %" PRIu64
                         " is committed, another node's is of term %" PRIu64,
                         (int)n->id, i, term, position_at(k, i)->committed);
        }
    }
    m->commit = commit;
}

/* One leader per term (I1), which has all that was committed in terms before
 * its own (I4). One that was paused may come to lead a term that is over. */
static void look_at_leader(struct checker *k, const struct sim_node *n)
{
    const struct raft *r = raft_of(n);
    uint64_t *leader = leader_of(k, r->term);
    uint64_t last = k->committed;
    uint64_t term = 0;

    if (*leader != 0 && *leader != n->id) {
        checker_fail(k, "I1", "nodes %d and %d lead term %" PRIu64,
                     (int)*leader, (int)n->id, r->term);
    }
    if (*leader == n->id) {
        return;
    }
    *leader = n->id;
    while (last > 0 && position_at(k, last)->committed_in > r->term) {
        last--;
    }
    if (last >= raft_log_first_index(&r->log) &&
        (raft_log_term(&r->log, last, &term) < 0 ||
         term != position_at(k, last)->committed)) {
        checker_fail(k, "I4",
                     "leader %d of term %" PRIu64
                     " does not have the committed entry %" PRIu64,
                     (int)n->id, r->term, last);
    }
}

/* What a leader believes of the others is on their disks, and never falls in
 * its term (I12). */
static void look_at_progress(struct checker *k, const struct sim_node *n)
{
    struct node_model *m = &k->nodes[n->id];
    const struct raft *r = raft_of(n);

    if (m->leads_term != r->term) {
        memset(m->match, 0, sizeof(m->match));
        m->leads_term = r->term;
        m->change_at = 0;
    }
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct progress *pr = tracker_progress(&r->trk, id);

        if (pr == NULL) {
            m->match[id] = 0;
            continue;
        }
        if (pr->match < m->match[id] || pr->match >= pr->next ||
            pr->match > log_last(&k->nodes[id].log)) {
            checker_fail(k, "I12",
                         "leader %d: node %d has %" PRIu64 ", it had %" PRIu64
                         ", its disk has %" PRIu64,
                         (int)n->id, (int)id, pr->match, m->match[id],
                         log_last(&k->nodes[id].log));
        }
        m->match[id] = pr->match;
    }
}

static uint32_t hash_ids(uint32_t hash, const struct id_list *ids)
{
    hash = crc32c(hash, (const uint8_t *)&ids->n, sizeof(ids->n));
    return crc32c(hash, (const uint8_t *)ids->ids, ids->n * sizeof(*ids->ids));
}

/* Who is a member, and where, is the same on every node that has applied as
 * much, by whichever way (I24); and raft counts those, unless it has taken a
 * snapshot in that the node has not. */
static void look_at_members(struct checker *k, const struct sim_node *n)
{
    struct position *at = position_at(k, n->node->applied);
    const struct conf_state *cs = &n->node->conf_state;
    const struct raft *r = raft_of(n);
    uint32_t hash = hash_ids(hash_ids(0, &cs->voters), &cs->learners);

    if (!raft_log_has_next_or_in_progress_snapshot(&r->log) &&
        hash_ids(0, &cs->voters) !=
            hash_ids(0, &r->trk.config.voters.incoming)) {
        checker_fail(k, "I24",
                     "node %d counts others than the members as of %" PRIu64,
                     (int)n->id, n->node->applied);
    }
    for (size_t i = 0; i < kvstore_n_members(n->node->store); i++) {
        struct kv_member km = kvstore_member(n->node->store, i);
        const char *url = km.url == NULL ? "" : km.url;

        hash = crc32c(hash, (const uint8_t *)&km.id, sizeof(km.id));
        hash = crc32c(hash, (const uint8_t *)url, strlen(url));
    }
    if (at->has_members && at->members_hash != hash) {
        checker_fail(k, "I24",
                     "node %d: the members as of %" PRIu64
                     " are not those of another node",
                     (int)n->id, n->node->applied);
    }
    at->has_members = true;
    at->members_hash = hash;
}

/* The map is what the log says up to the last entry applied (I5). */
static void look_at_map(struct checker *k, const struct sim_node *n)
{
    uint64_t applied = n->node->applied;

    if (state_of_store(n->node->store) != position_at(k, applied)->state) {
        checker_fail(k, "I5",
                     "node %d: the map is not what the log says up to %" PRIu64,
                     (int)n->id, applied);
    }
}

static void look(struct checker *k, const struct sim_node *n)
{
    struct node_model *m = &k->nodes[n->id];
    const struct raft *r = raft_of(n);

    if (r->term < m->term || r->log.committed < m->commit ||
        n->node->applied < m->applied) {
        checker_fail(k, "I7",
                     "node %d goes back: term %" PRIu64 " after %" PRIu64
                     ", commit %" PRIu64 " after %" PRIu64 ", applied %" PRIu64
                     " after %" PRIu64,
                     (int)n->id, r->term, m->term, r->log.committed, m->commit,
                     n->node->applied, m->applied);
    }
    if (n->node->applied > r->log.committed ||
        r->log.committed > raft_log_last_index(&r->log)) {
        checker_fail(k, "I7",
                     "node %d: applied %" PRIu64 ", committed %" PRIu64
                     ", last %" PRIu64,
                     (int)n->id, n->node->applied, r->log.committed,
                     raft_log_last_index(&r->log));
    }
    m->term = r->term;
    m->applied = n->node->applied;
    if (r->role != RAFT_LEADER) {
        m->leads_term = 0;
    }
    if (r->log.committed > m->commit) {
        look_at_commit(k, n, m);
    }
    if (r->role == RAFT_LEADER) {
        look_at_leader(k, n);
        look_at_progress(k, n);
    }
}

void checker_look(struct checker *k, const struct sim_node *n)
{
    struct node_model *m = &k->nodes[n->id];
    uint64_t applied = m->applied;

    look(k, n);
    /* What can be read as stable is what the disk has (I15). */
    if (n->node->phase == PHASE_IDLE && !m->pending.is_open &&
        memory_storage_last_index(&n->node->log) != log_last(&m->log)) {
        checker_fail(k, "I15",
                     "node %d calls entries up to %" PRIu64
                     " stable, its disk has them up to %" PRIu64,
                     (int)n->id, memory_storage_last_index(&n->node->log),
                     log_last(&m->log));
    }
    /* The founding entries are in force before they are applied. */
    if (m->applied == applied || m->applied <= SIM_NODES_MAX) {
        return;
    }
    look_at_members(k, n);
    if (m->looks++ % LOOKS_PER_MAP == 0) {
        look_at_map(k, n);
    }
}

void checker_read(struct checker *k, const struct sim_node *n,
                  uint64_t committed)
{
    if (n->node->applied < committed) {
        checker_fail(k, "I21",
                     "node %d answers a read as of %" PRIu64
                     ", when it came %" PRIu64 " was committed",
                     (int)n->id, n->node->applied, committed);
    }
}

uint64_t checker_committed(const struct checker *k)
{
    return k->committed;
}
