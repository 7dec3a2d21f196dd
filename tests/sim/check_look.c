/* The invariants, as far as they can be seen by looking at a node. check.h says
 * what this is. */

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/crc32c.h"
#include "tests/sim/check_internal.h"

/* A node's whole map is compared with the model's once in so many looks. */
#define LOOKS_PER_MAP 128

/* And its disk is read once in so many compactions. */
#define COMPACTIONS_PER_TRY 8

static uint32_t bits_of(const struct id_list *ids)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < ids->n; i++) {
        ASSERT(ids->ids[i] <= SIM_NODES_MAX);
        bits |= UINT32_C(1) << ids->ids[i];
    }
    return bits;
}

static struct voters voters_of(const struct sim_node *n)
{
    const struct tracker_config *cfg = &raft_of(n)->trk.config;

    return (struct voters){bits_of(&cfg->voters.incoming),
                           bits_of(&cfg->voters.outgoing)};
}

/* Whether a majority of those in `bits`, or nobody is in it, has the entry on
 * disk. */
static bool is_on_majority(const struct checker *k, uint32_t bits,
                           uint64_t index, uint64_t term)
{
    size_t n = 0;
    size_t all = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct node_model *m = &k->nodes[id];

        if ((bits >> id & 1) != 0) {
            all++;
            n += index + 1 < m->log.first || log_term(&m->log, index) == term;
        }
    }
    return all == 0 || 2 * n > all;
}

static bool is_on_majorities(const struct checker *k, struct voters v,
                             uint64_t index, uint64_t term)
{
    return is_on_majority(k, v.incoming, index, term) &&
           is_on_majority(k, v.outgoing, index, term);
}

/* The entry at the end of the ledger (I5, I6, I19). */
static void commit_one(struct checker *k, const struct sim_node *n,
                       uint64_t index, uint64_t term)
{
    struct position *at = check_position(k, index);
    const struct version *v = check_version(at, term);

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
    /* Committed in this turn, before or after a change of the members was
     * applied in it. */
    if (term > 1 && !is_on_majorities(k, voters_of(n), index, term) &&
        !is_on_majorities(k, k->nodes[n->id].voters, index, term)) {
        checker_fail(k, "I6",
                     "node %d: entry %" PRIu64 " of term %" PRIu64
                     " is committed and not on the disks of a majority",
                     (int)n->id, index, term);
    }
    if (v->request_id != 0) {
        struct put *p = check_put(k, v->request_id);

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
        } else if (check_position(k, i)->committed != term) {
            checker_fail(k, "I5",
                         "node %d: entry %" PRIu64 " of term %" PRIu64
                         " is committed, another node's is of term %" PRIu64,
                         (int)n->id, i, term, check_position(k, i)->committed);
        }
    }
    m->commit = commit;
    m->voters = voters_of(n);
}

/* Whether the voters among `ids` elected this leader. */
static bool is_elected_by(const struct term_seen *t, const struct id_list *ids,
                          uint64_t leader)
{
    size_t n = 0;

    for (size_t i = 0; i < ids->n; i++) {
        n += ids->ids[i] == leader || t->votes[ids->ids[i]] == leader;
    }
    return 2 * n > ids->n;
}

/* Nobody else's vote was in the result (I14). */
static void check_election(struct checker *k, const struct sim_node *n,
                           const struct term_seen *t)
{
    const struct joint_config *voters = &raft_of(n)->trk.config.voters;

    if (!is_elected_by(t, &voters->incoming, n->id) ||
        (voters->outgoing.n > 0 &&
         !is_elected_by(t, &voters->outgoing, n->id))) {
        checker_fail(k, "I14",
                     "node %d leads term %" PRIu64
                     " without the votes of a majority of the voters",
                     (int)n->id, raft_of(n)->term);
    }
}

/* One leader per term (I1), which has all that was committed in terms before
 * its own (I4). One that was paused may come to lead a term that is over. */
static void look_at_leader(struct checker *k, const struct sim_node *n)
{
    const struct raft *r = raft_of(n);
    struct term_seen *seen = check_term(k, r->term);
    uint64_t last = k->committed;
    uint64_t term = 0;

    if (seen->leader != 0 && seen->leader != n->id) {
        checker_fail(k, "I1", "nodes %d and %d lead term %" PRIu64,
                     (int)seen->leader, (int)n->id, r->term);
    }
    if (seen->leader == n->id) {
        return;
    }
    seen->leader = n->id;
    check_election(k, n, seen);
    while (last > 0 && check_position(k, last)->committed_in > r->term) {
        last--;
    }
    if (last >= raft_log_first_index(&r->log) &&
        (raft_log_term(&r->log, last, &term) < 0 ||
         term != check_position(k, last)->committed)) {
        checker_fail(k, "I4",
                     "leader %d of term %" PRIu64
                     " does not have the committed entry %" PRIu64,
                     (int)n->id, r->term, last);
    }
}

/* What a leader believes of the others is on their disks, and never falls in
 * its term (I12). Who has gone over to a later term may have lost to its leader
 * what the one before still believes in. */
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
        const struct node_model *other = &k->nodes[id];

        if (pr == NULL) {
            m->match[id] = 0;
            continue;
        }
        if (pr->match < m->match[id] || pr->match >= pr->next ||
            (other->hs.term <= r->term && pr->match > log_last(&other->log))) {
            checker_fail(k, "I12",
                         "leader %d: node %d has %" PRIu64 ", it had %" PRIu64
                         ", its disk has %" PRIu64,
                         (int)n->id, (int)id, pr->match, m->match[id],
                         log_last(&other->log));
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
    struct position *at = check_position(k, n->node->applied);
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

    if (state_of_store(n->node->store) != check_position(k, applied)->state) {
        checker_fail(k, "I5",
                     "node %d: the map is not what the log says up to %" PRIu64,
                     (int)n->id, applied);
    }
}

/* Every queue is within its bound (I26). */
static void look_at_queues(struct checker *k, const struct sim_node *n)
{
    const struct raftnode *rn = n->node;
    const struct raft *r = raft_of(n);
    const char *which = NULL;

    if (rn->proposals.n > PENDING_PROPOSALS_MAX ||
        rn->proposals.bytes > PENDING_PROPOSAL_BYTES_MAX) {
        which = "proposals";
    } else if (rn->reads.n > PENDING_READS_MAX) {
        which = "reads";
    } else if (rn->n_parked > PARKED_CONF_CHANGES_MAX) {
        which = "membership changes of others";
    } else if (r->trk.progress.n > MEMBERS_MAX) {
        which = "members";
    }
    for (size_t i = 0; i < r->trk.progress.n; i++) {
        const struct inflights *in = &r->trk.progress.items[i].inflights;

        if (in->count > in->size) {
            which = "messages to a member";
        }
    }
    if (which != NULL) {
        checker_fail(k, "I26", "node %d has more %s than it may", (int)n->id,
                     which);
    }
}

/* What the log no longer has, a durable snapshot has (I27). */
static void look_at_compaction(struct checker *k, const struct sim_node *n)
{
    const struct node_model *m = &k->nodes[n->id];
    uint64_t gone = memory_storage_first_index(&n->node->log) - 1;

    if (gone > m->snapshot) {
        checker_fail(k, "I27",
                     "node %d has compacted its log at %" PRIu64
                     ", its last durable snapshot is at %" PRIu64,
                     (int)n->id, gone, m->snapshot);
    }
}

void check_look(struct checker *k, const struct sim_node *n)
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
    look_at_queues(k, n);
    look_at_compaction(k, n);
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

    check_look(k, n);
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

/* The last write of a key up to `index`, or NULL. */
static const struct version *last_write(struct checker *k, uint64_t index,
                                        uint32_t key)
{
    for (uint64_t i = index; i > 0; i--) {
        const struct position *at = check_position(k, i);
        const struct version *v = check_version(at, at->committed);

        if (v != NULL && v->is_put && v->put.key == key) {
            return v;
        }
    }
    return NULL;
}

void checker_local_read(struct checker *k, const struct sim_node *n,
                        struct bytes key, const struct bytes *value)
{
    static const struct bytes nothing;
    struct state_pair seen = state_pair(key, value == NULL ? nothing : *value);
    const struct version *v = last_write(k, n->node->applied, seen.key);

    if ((v == NULL) != (value == NULL) ||
        (v != NULL && v->put.value != seen.value)) {
        checker_fail(k, "I5",
                     "node %d answers a local read with what is not the last "
                     "write up to %" PRIu64,
                     (int)n->id, n->node->applied);
    }
}

/* --- the disk --- */

/* The disk as a power cut would leave it, read as at a start; the index of the
 * snapshot that is found. */
static int try_disk(const struct sim_node *n, uint64_t *index,
                    struct errmsg *em)
{
    static const struct sim_crash all_unsynced_is_lost = {0};
    struct raftnode_recovered found;
    struct sim_node copy;
    int rc;

    sim_node_init(&copy, n->id, &(struct sim_node_hooks){0});
    sim_vfs_free(copy.disk);
    copy.disk = sim_vfs_clone(n->disk);
    sim_vfs_crash_as(copy.disk, &all_unsynced_is_lost);
    rc = sim_node_open(&copy, 65536, &found, em);
    if (rc == 0) {
        *index = found.snapshot == NULL ? 0 : found.snapshot->index;
        raftnode_recovered_release(&found);
        sim_node_close(&copy);
    }
    sim_node_release(&copy);
    return rc;
}

void checker_compacted(struct checker *k, const struct sim_node *n)
{
    struct node_model *m = &k->nodes[n->id];
    uint64_t gone = memory_storage_first_index(&n->node->log) - 1;
    struct errmsg em = {{0}};
    uint64_t index = 0;
    int rc;

    if (gone <= m->compacted) {
        return;
    }
    m->compacted = gone;
    if (m->n_tried++ % COMPACTIONS_PER_TRY != 0) {
        return;
    }
    rc = try_disk(n, &index, &em);
    if (rc < 0 || index < gone) {
        checker_fail(k, "I27",
                     "node %d has compacted its log at %" PRIu64
                     ", its disk has a snapshot at %" PRIu64 ": %s",
                     (int)n->id, gone, index, em.text);
    }
}

void checker_closed(struct checker *k, const struct sim_node *n)
{
    if (sim_vfs_handles(n->disk) > 0) {
        checker_fail(k, "I26", "node %d has left %d files open", (int)n->id,
                     (int)sim_vfs_handles(n->disk));
    }
}

uint64_t checker_committed(const struct checker *k)
{
    return k->committed;
}
