/* What comes from other members: screened at the door, then stepped.
 *
 * Counterpart: etcd contrib/raftexample raft.go, Process.
 * Differs: what would harm every node once it is in the log is refused, and
 * membership changes wait for each other. */

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/kv/image.h"
#include "src/server/raftnode_internal.h"

/* --- membership changes of others, one at a time --- */

/* A proposal that another member forwarded while the last change is not
 * applied. Stepped now, raft would replace it by an empty entry and the member
 * would never know [raft-core CC-21]. */
struct parked {
    struct list link;
    uint64_t deadline; /* tick */
    struct raft_message m;
};

static void free_one_parked(struct raftnode *rn, struct parked *p)
{
    ASSERT(rn->n_parked > 0);
    rn->n_parked--;
    list_remove(&p->link);
    raft_message_release(&p->m);
    xfree(p);
}

void messages_free_parked(struct raftnode *rn)
{
    while (!list_is_empty(&rn->parked)) {
        free_one_parked(rn, container_of(rn->parked.next, struct parked, link));
    }
}

static void park(struct raftnode *rn, const struct raft_message *m)
{
    struct parked *p;

    if (rn->n_parked >= PARKED_CONF_CHANGES_MAX) {
        return; /* dropped, as any message may be */
    }
    p = xcalloc(1, sizeof(*p));
    raft_message_copy(&p->m, m);
    p->deadline = rn->now + rn->timeout_ticks;
    list_push_back(&rn->parked, &p->link);
    rn->n_parked++;
}

void messages_step_parked(struct raftnode *rn)
{
    list_for_each_safe (it, &rn->parked) {
        struct parked *p = container_of(it, struct parked, link);

        if (p->deadline > rn->now) {
            if (rawnode_conf_change_pending(rn->raw)) {
                return;
            }
            int rc = rawnode_step(rn->raw, &p->m);

            if (rc < 0) {
                log_debug(rn->lg, "parked membership change: %s", err_str(rc));
            }
        }
        free_one_parked(rn, p);
    }
}

static bool has_conf_change(const struct raft_message *m)
{
    for (size_t i = 0; i < m->entries.len; i++) {
        if (m->entries.items[i]->type != RAFT_ENTRY_NORMAL) {
            return true;
        }
    }
    return false;
}

/* --- messages --- */

/* What would harm every node once it is in the log is refused at the door. */
static int screen_proposal(struct raftnode *rn, const struct raft_message *m)
{
    for (size_t i = 0; i < m->entries.len; i++) {
        if (!apply_can_take(rn, m->entries.items[i])) {
            log_warn(rn->lg,
                     "proposal of member %" PRIx64
                     " refused: it could not be applied",
                     m->from);
            return ERR_REFUSED;
        }
    }
    return 0;
}

static void ignore_pair(void *arg, struct bytes key, struct bytes value)
{
    (void)arg;
    (void)key;
    (void)value;
}

static int screen_snapshot(struct raftnode *rn, const struct raft_message *m)
{
    struct errmsg em = {{0}};
    struct bytes image;

    if (m->snapshot == NULL) {
        return ERR_REFUSED;
    }
    image = (struct bytes){m->snapshot->data, m->snapshot->len};
    if (image_decode(image, ignore_pair, NULL, &em) < 0) {
        log_warn(rn->lg, "snapshot of member %" PRIx64 " refused: %s", m->from,
                 em.text);
        return ERR_REFUSED;
    }
    return 0;
}

/* A leader never tells us a commit index beyond what we acknowledged. If it
 * does, this disk has lost what it once had [reliability F12]. */
static int screen_heartbeat(struct raftnode *rn, const struct raft_message *m)
{
    struct raft_status st;
    uint64_t last;
    uint64_t term;

    if (m->commit <= memory_storage_last_index(&rn->log)) {
        return 0;
    }
    rawnode_status(rn->raw, &st);
    last = st.last_index;
    term = st.hard_state.term;
    raft_status_release(&st);
    if (m->term < term || m->commit <= last) {
        return 0;
    }
    raftnode_fail(rn, RAFTNODE_FAILED,
                  "log ends at %" PRIu64 ", was acknowledged up to %" PRIu64
                  ": this disk lost data; remove this member with DELETE and "
                  "add a new id with an empty directory",
                  last, m->commit);
    return ERR_STOPPED;
}

static uint64_t current_term(const struct raftnode *rn)
{
    struct soft_state soft;
    struct hard_state hard;

    rawnode_basic_status(rn->raw, &soft, &hard, &(uint64_t){0});
    return hard.term;
}

/* A leader of now has everything that is committed [Raft 5.4.3]. If what comes
 * before its entries is another entry than the one applied here, then what this
 * node acknowledged in its place is gone from its disk, and what was
 * overwritten is back [reliability F12]. Raft would refuse the message, and get
 * it again, for ever. */
static int screen_append(struct raftnode *rn, const struct raft_message *m)
{
    struct raft_storage *log = &rn->log.base;
    uint64_t term;

    if (m->index > rn->applied || log->ops->term(log, m->index, &term) < 0 ||
        term == m->log_term || m->term < current_term(rn)) {
        return 0;
    }
    raftnode_fail(
        rn, RAFTNODE_FAILED,
        "entry %" PRIu64 " is applied, of term %" PRIu64
        " here and of term %" PRIu64
        " at its leader: this disk lost data; remove this member with "
        "DELETE and add a new id with an empty directory",
        m->index, term, m->log_term);
    return ERR_STOPPED;
}

static int screen(struct raftnode *rn, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_PROP:
        return screen_proposal(rn, m);
    case RAFT_MSG_SNAP:
        return screen_snapshot(rn, m);
    case RAFT_MSG_HEARTBEAT:
        return screen_heartbeat(rn, m);
    case RAFT_MSG_APP:
        return screen_append(rn, m);
    default:
        return 0;
    }
}

/* raft takes over the configuration of a snapshot when it comes. A change of
 * members that is committed, but waits for the disk before it is applied, would
 * be made to that later configuration, and might stay in force though the
 * snapshot knows that it was undone. So the snapshot waits. It is not dropped,
 * though any message may be: a leader of the Go program never sends another
 * one, as it does not listen to what became of the first. */
static bool overtakes_a_change(const struct raftnode *rn,
                               const struct raft_message *m)
{
    return m->type == RAFT_MSG_SNAP && !list_is_empty(&rn->applies);
}

static void keep_snapshot(struct raftnode *rn, const struct raft_message *m)
{
    raft_message_release(&rn->late_snapshot);
    raft_message_copy(&rn->late_snapshot, m);
}

void messages_step_late_snapshot(struct raftnode *rn)
{
    if (rn->late_snapshot.type == RAFT_MSG_SNAP &&
        list_is_empty(&rn->applies)) {
        int rc = rawnode_step(rn->raw, &rn->late_snapshot);

        ASSERT(rc == 0);
        raft_message_release(&rn->late_snapshot);
    }
}

int raftnode_step(struct raftnode *rn, const struct raft_message *m)
{
    int rc;

    if (rn->condition != RAFTNODE_RUNNING) {
        return ERR_STOPPED;
    }
    rc = screen(rn, m);
    if (rc < 0) {
        return rc;
    }
    if (overtakes_a_change(rn, m)) {
        log_debug(rn->lg,
                  "snapshot of member %" PRIx64
                  " waits for a membership change in hand",
                  m->from);
        keep_snapshot(rn, m);
        return 0;
    }
    if (m->type == RAFT_MSG_PROP && has_conf_change(m) &&
        rawnode_conf_change_pending(rn->raw)) {
        park(rn, m);
        return 0;
    }
    rc = rawnode_step(rn->raw, m);
    if (rc < 0) {
        /* Nothing is wrong with the sender: no leader to pass a proposal on to,
         * or an answer of a member that was removed. */
        log_debug(rn->lg, "%s of member %" PRIx64 ": %s",
                  raft_message_type_name(m->type), m->from, err_str(rc));
    }
    return 0;
}

void raftnode_report_unreachable(struct raftnode *rn, uint64_t id)
{
    rawnode_report_unreachable(rn->raw, id);
}

void raftnode_report_snapshot(struct raftnode *rn, uint64_t id, bool ok)
{
    rawnode_report_snapshot(rn->raw, id,
                            ok ? SNAPSHOT_FINISH : SNAPSHOT_FAILURE);
}

/* --- leaving --- */

/* Whether a majority of the other voters knows that this node was removed. A
 * node that never had a configuration has no vote that anybody could miss. */
static bool others_know(const struct raftnode *rn)
{
    const struct id_list *voters = &rn->conf_state.voters;
    size_t n_others = 0;
    size_t n_know = 0;

    for (size_t i = 0; i < voters->n; i++) {
        if (voters->ids[i] != rn->id) {
            n_others++;
            n_know += id_list_contains(&rn->removal_known_by, voters->ids[i]);
        }
    }
    return n_others == 0 ? rn->removal_known_by.n > 0 : 2 * n_know > n_others;
}

/* Somebody waits for what is committed, and still has to be applied: with a
 * slow disk a leader may be the last to do so, its own removal included. */
static bool owes_answers(const struct raftnode *rn)
{
    struct soft_state soft;
    struct hard_state hard;
    uint64_t applied;

    rawnode_basic_status(rn->raw, &soft, &hard, &applied);
    return rn->proposals.n > 0 && rn->applied < hard.commit;
}

void messages_maybe_leave(struct raftnode *rn)
{
    if (rn->is_leaving && others_know(rn) && !owes_answers(rn)) {
        raftnode_fail(rn, RAFTNODE_REMOVED,
                      "this node, id %" PRIx64
                      ", has been removed from the cluster",
                      rn->id);
    }
}

void messages_begin_leaving(struct raftnode *rn)
{
    if (!rn->is_leaving) {
        rn->is_leaving = true;
        log_info(rn->lg,
                 "this node is no longer a member; it stays until a majority "
                 "of the others has learned that");
    }
}

void raftnode_report_removed(struct raftnode *rn, uint64_t told_by)
{
    if (!id_list_contains(&rn->removal_known_by, told_by) &&
        rn->removal_known_by.n < MEMBERS_MAX) {
        id_list_push(&rn->removal_known_by, told_by);
        log_info(rn->lg, "member %" PRIx64 " says that this node was removed",
                 told_by);
    }
    messages_begin_leaving(rn);
    messages_maybe_leave(rn);
}

void raftnode_report_unknown(struct raftnode *rn, uint64_t told_by)
{
    if (rn->is_leaving) {
        raftnode_report_removed(rn, told_by);
    }
}
