/* What committed entries and snapshots do to the node: the map, the members,
 * the configuration, and the requests that wait for them.
 *
 * Counterpart: etcd contrib/raftexample raft.go, publishEntries,
 * publishSnapshot; kvstore.go, readCommits.
 * Differs: a change that would make a Go node panic (a URL that is none, an
 * unknown id) is applied as a no-op with a WARN line (extensions.md). */

#include "src/base/alloc.h"
#include "src/kv/command.h"
#include "src/raft/confchange.h"
#include "src/server/raftnode_internal.h"

/* --- members --- */

static bool is_member(const struct conf_state *cs, uint64_t id)
{
    return id_list_contains(&cs->voters, id) ||
           id_list_contains(&cs->learners, id) ||
           id_list_contains(&cs->voters_outgoing, id);
}

/* The URL that --cluster gives an id by its position, or NULL. */
static const char *cluster_url(const struct raftnode *rn, uint64_t id)
{
    for (size_t i = 0; i < rn->n_cluster; i++) {
        if (rn->cluster[i].id == id) {
            return rn->cluster[i].url;
        }
    }
    return NULL;
}

static void add_peer(struct raftnode *rn, uint64_t id)
{
    const char *url = kvstore_member_url(rn->store, id);

    if (id != rn->id && url != NULL) {
        rn->peers.add(rn->peers.ctx, id, url);
    }
}

/* Make the transport's peers those that are members now. */
static void reset_peers(struct raftnode *rn)
{
    for (size_t i = 0; i < rn->n_cluster; i++) {
        uint64_t id = rn->cluster[i].id;

        if (id != rn->id && !kvstore_has_member(rn->store, id)) {
            rn->peers.remove(rn->peers.ctx, id);
        }
    }
    for (size_t i = 0; i < kvstore_n_members(rn->store); i++) {
        add_peer(rn, kvstore_member(rn->store, i).id);
    }
}

static void set_members(struct raftnode *rn, const struct id_list *ids)
{
    for (size_t i = 0; i < ids->n; i++) {
        if (!kvstore_has_member(rn->store, ids->ids[i])) {
            kvstore_set_member(rn->store, ids->ids[i],
                               cluster_url(rn, ids->ids[i]));
        }
    }
}

/* The members of a snapshot: its ConfState says who, its field 1001 where; a
 * snapshot of a Go node lacks the latter. */
static void restore_members(struct raftnode *rn,
                            const struct raft_snapshot *snap)
{
    const struct conf_state *cs = &snap->conf_state;

    for (size_t i = 0; i < snap->n_members; i++) {
        if (is_member(cs, snap->members[i].id)) {
            kvstore_set_member(rn->store, snap->members[i].id,
                               snap->members[i].url);
        }
    }
    set_members(rn, &cs->voters);
    set_members(rn, &cs->voters_outgoing);
    set_members(rn, &cs->learners);
}

int apply_snapshot(struct raftnode *rn, const struct raft_snapshot *snap,
                   struct errmsg *em)
{
    struct bytes image = {snap->data, snap->len};
    struct raft_snapshot *head;
    uint64_t *old = NULL;
    size_t n_old = kvstore_n_members(rn->store);
    int rc;

    old = xcalloc(n_old + 1, sizeof(*old));
    for (size_t i = 0; i < n_old; i++) {
        old[i] = kvstore_member(rn->store, i).id;
    }
    rc = kvstore_restore(rn->store, image, em);
    if (rc < 0) {
        xfree(old);
        return rc;
    }
    restore_members(rn, snap);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] != rn->id && !kvstore_has_member(rn->store, old[i])) {
            rn->peers.remove(rn->peers.ctx, old[i]);
        }
    }
    xfree(old);
    reset_peers(rn);
    conf_state_release(&rn->conf_state);
    conf_state_copy(&rn->conf_state, &snap->conf_state);
    rn->applied = snap->index;
    rn->snapshot_index = snap->index;
    rn->snapshot_bytes = snap->len;
    rn->applied_bytes = 0;
    /* The content is in the store, and in the file if it is to be sent. */
    head = raft_snapshot_head(snap);
    rc = memory_storage_apply_snapshot(&rn->log, head);
    ASSERT(rc == 0);
    raft_snapshot_unref(head);
    return 0;
}

/* --- configuration changes --- */

static bool is_voter_after(const struct conf_state *cs,
                           const struct conf_change_v2 *cc, uint64_t id)
{
    bool voter = id_list_contains(&cs->voters, id);

    for (size_t i = 0; i < cc->n_changes; i++) {
        if (cc->changes[i].node_id == id &&
            cc->changes[i].type != CONF_CHANGE_UPDATE_NODE) {
            voter = cc->changes[i].type == CONF_CHANGE_ADD_NODE;
        }
    }
    return voter;
}

/* Whether raft can put `cc` in force. It stops the process at a change that it
 * cannot, and would again after each restart: the entry is committed. Two
 * members that remove each other at the same moment are enough for that. */
static bool raft_can_apply(const struct conf_state *cs,
                           const struct conf_change_v2 *cc)
{
    bool is_joint = cs->voters_outgoing.n > 0;
    bool leaves_joint = conf_change_v2_leave_joint(cc);
    bool keeps_a_voter = false;

    if (is_joint || leaves_joint) {
        return is_joint && leaves_joint;
    }
    for (size_t i = 0; i < cs->voters.n; i++) {
        keeps_a_voter |= is_voter_after(cs, cc, cs->voters.ids[i]);
    }
    for (size_t i = 0; i < cc->n_changes; i++) {
        uint64_t id = cc->changes[i].node_id;

        if (conf_change_type_name(cc->changes[i].type) == NULL) {
            return false;
        }
        keeps_a_voter |= id != RAFT_NONE && is_voter_after(cs, cc, id);
    }
    return keeps_a_voter;
}

/* Whether the change can mean anything here. One that cannot is applied as a
 * no-op: every node of ours decides the same, as it has the same configuration
 * at the same index (see snapshots.c). */
static bool change_is_sane(const struct raftnode *rn,
                           const struct conf_change *cc, char **url)
{
    struct conf_change_single one;
    struct conf_change_v2 v2;

    *url = NULL;
    conf_change_as_v2(cc, &one, &v2);
    if (cc->node_id == RAFT_NONE || !raft_can_apply(&rn->conf_state, &v2)) {
        return false;
    }
    if (cc->type == CONF_CHANGE_REMOVE_NODE) {
        return is_member(&rn->conf_state, cc->node_id);
    }
    if (cc->context.len == 0) {
        return true; /* bootstrap, or POST with an empty body at a Go node */
    }
    *url = rn->peers.check_url(rn->peers.ctx, cc->context);
    return *url != NULL;
}

static void member_added(struct raftnode *rn, uint64_t id, const char *url)
{
    const char *known = kvstore_member_url(rn->store, id);

    if (known != NULL) {
        return; /* AddNode of a member changes no URL, as in etcd */
    }
    kvstore_set_member(rn->store, id, url == NULL ? cluster_url(rn, id) : url);
    log_info(rn->lg, "member %" PRIx64 " added at %s", id,
             kvstore_member_url(rn->store, id) == NULL
                 ? "an unknown address"
                 : kvstore_member_url(rn->store, id));
    add_peer(rn, id);
}

static void member_removed(struct raftnode *rn, uint64_t id)
{
    kvstore_remove_member(rn->store, id);
    log_info(rn->lg, "member %" PRIx64 " removed", id);
    if (id == rn->id) {
        messages_begin_leaving(rn);
        return;
    }
    rn->peers.remove(rn->peers.ctx, id);
}

static void member_changed(struct raftnode *rn, const struct conf_change *cc,
                           const char *url)
{
    switch (cc->type) {
    case CONF_CHANGE_ADD_NODE:
    case CONF_CHANGE_ADD_LEARNER_NODE:
        member_added(rn, cc->node_id, url);
        break;
    case CONF_CHANGE_REMOVE_NODE:
        member_removed(rn, cc->node_id);
        break;
    case CONF_CHANGE_UPDATE_NODE:
        if (url != NULL && kvstore_has_member(rn->store, cc->node_id)) {
            kvstore_set_member(rn->store, cc->node_id, url);
            if (cc->node_id != rn->id) {
                rn->peers.update(rn->peers.ctx, cc->node_id, url);
            }
        }
        break;
    default:
        break;
    }
}

/* What the change comes to for a client of ours who asked for it: it was
 * checked when it was proposed, but another one may have come in between. */
static int change_outcome(const struct raftnode *rn,
                          const struct conf_change *cc, bool sane,
                          const char *url)
{
    const char *known = kvstore_member_url(rn->store, cc->node_id);

    if (cc->type == CONF_CHANGE_REMOVE_NODE &&
        !is_member(&rn->conf_state, cc->node_id)) {
        return ERR_NO_MEMBER;
    }
    if (!sane) {
        return ERR_LAST_VOTER; /* all else about our own changes is in order */
    }
    if (cc->type == CONF_CHANGE_ADD_NODE && url != NULL && known != NULL &&
        strcmp(url, known) != 0) {
        return ERR_MEMBER_URL_DIFFERS;
    }
    return 0;
}

static void apply_conf_change(struct raftnode *rn, const struct raft_entry *e)
{
    struct conf_change cc;
    struct request *req;
    char *url = NULL;
    bool sane;
    int outcome;

    if (conf_change_decode(raft_entry_data(e), &cc) < 0) {
        raftnode_fail(rn, RAFTNODE_FAILED,
                      "entry %" PRIu64 ": its membership change is unreadable",
                      e->index);
        return;
    }
    sane = change_is_sane(rn, &cc, &url);
    outcome = change_outcome(rn, &cc, sane, url);
    if (!sane) {
        log_warn(rn->lg,
                 "entry %" PRIu64 ": membership change of id %" PRIx64
                 " makes no sense, nothing is changed",
                 e->index, cc.node_id);
    } else {
        conf_state_release(&rn->conf_state);
        rawnode_apply_conf_change(rn->raw, &cc, &rn->conf_state);
        member_changed(rn, &cc, url);
    }
    xfree(url);
    raftnode_note_request_id(rn, cc.id);
    req = proposals_applied(&rn->proposals, cc.id, e->term);
    if (req != NULL) {
        raftnode_finish(rn, req, outcome, (struct bytes){0});
    }
}

/* Who is in no part of the configuration any more: a voter that is replaced
 * stays in the outgoing half until the joint configuration is left. */
static void drop_leavers(struct raftnode *rn)
{
    for (size_t i = kvstore_n_members(rn->store); i-- > 0;) {
        uint64_t id = kvstore_member(rn->store, i).id;

        if (!is_member(&rn->conf_state, id)) {
            member_removed(rn, id);
        }
    }
}

/* The plain API never proposes these; an operator's tool may. */
static void apply_conf_change_v2(struct raftnode *rn,
                                 const struct raft_entry *e)
{
    struct conf_change_v2 cc;

    if (conf_change_v2_decode(raft_entry_data(e), &cc) < 0) {
        raftnode_fail(rn, RAFTNODE_FAILED,
                      "entry %" PRIu64 ": its membership change is unreadable",
                      e->index);
        return;
    }
    if (!raft_can_apply(&rn->conf_state, &cc)) {
        log_warn(rn->lg,
                 "entry %" PRIu64
                 ": membership change makes no sense, nothing is changed",
                 e->index);
        conf_change_v2_release(&cc);
        return;
    }
    conf_state_release(&rn->conf_state);
    rawnode_apply_conf_change_v2(rn->raw, &cc, &rn->conf_state);
    for (size_t i = 0; i < cc.n_changes; i++) {
        struct conf_change one = {
            .type = cc.changes[i].type,
            .node_id = cc.changes[i].node_id,
        };

        if (one.type != CONF_CHANGE_REMOVE_NODE &&
            is_member(&rn->conf_state, one.node_id)) {
            member_changed(rn, &one, NULL);
        }
    }
    drop_leavers(rn);
    conf_change_v2_release(&cc);
}

/* --- entries --- */

static void drop_entry(void *owner)
{
    raft_entry_unref(owner);
}

/* A large value stays in its entry, if that is little more, and outlives the
 * log with it. */
static void set(struct raftnode *rn, struct raft_entry *e,
                const struct kv_command *cmd)
{
    if (cmd->value.len >= max_u64(KV_APART_MIN, e->len / 2)) {
        kvstore_take(rn->store, cmd->key, cmd->value, raft_entry_ref(e),
                     drop_entry);
    } else {
        kvstore_set(rn->store, cmd->key, cmd->value);
    }
}

static void apply_command(struct raftnode *rn, struct raft_entry *e)
{
    struct kv_command cmd;
    struct request *req;

    if (e->len == 0) {
        return; /* a new leader's first entry, or a refused change */
    }
    if (kv_command_decode(raft_entry_data(e), &cmd) < 0) {
        raftnode_fail(rn, RAFTNODE_FAILED,
                      "entry %" PRIu64 " cannot be decoded", e->index);
        return;
    }
    set(rn, e, &cmd);
    if (cmd.id == 0) {
        return;
    }
    raftnode_note_request_id(rn, cmd.id);
    req = proposals_applied(&rn->proposals, cmd.id, e->term);
    if (req != NULL) {
        raftnode_finish(rn, req, 0, (struct bytes){0});
    }
}

static void apply_entry(struct raftnode *rn, struct raft_entry *e)
{
    switch (e->type) {
    case RAFT_ENTRY_NORMAL:
        apply_command(rn, e);
        break;
    case RAFT_ENTRY_CONF_CHANGE:
        apply_conf_change(rn, e);
        break;
    case RAFT_ENTRY_CONF_CHANGE_V2:
        apply_conf_change_v2(rn, e);
        break;
    default:
        raftnode_fail(rn, RAFTNODE_FAILED,
                      "entry %" PRIu64 " is of the unknown type %" PRIu64,
                      e->index, e->type);
        break;
    }
}

void apply_entries(struct raftnode *rn, struct raft_entry *const *entries,
                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct raft_entry *e = entries[i];

        if (e->index <= rn->applied) {
            continue; /* the snapshot we started from has it */
        }
        ASSERT(e->index == rn->applied + 1);
        apply_entry(rn, e);
        if (rn->condition == RAFTNODE_FAILED) {
            return;
        }
        rn->applied = e->index;
        rn->applied_bytes += sizeof(*e) + e->len;
    }
}

bool apply_can_take(const struct raftnode *rn, const struct raft_entry *e)
{
    struct kv_command cmd;
    struct conf_change cc;
    struct conf_change_v2 v2;
    char *url = NULL;
    bool ok = true;

    switch (e->type) {
    case RAFT_ENTRY_NORMAL:
        return e->len == 0 || kv_command_decode(raft_entry_data(e), &cmd) == 0;
    case RAFT_ENTRY_CONF_CHANGE:
        if (conf_change_decode(raft_entry_data(e), &cc) < 0 ||
            conf_change_type_name(cc.type) == NULL) {
            return false;
        }
        if (cc.context.len == 0) {
            return true;
        }
        url = rn->peers.check_url(rn->peers.ctx, cc.context);
        ok = url != NULL;
        xfree(url);
        return ok;
    case RAFT_ENTRY_CONF_CHANGE_V2:
        if (conf_change_v2_decode(raft_entry_data(e), &v2) < 0) {
            return false;
        }
        for (size_t i = 0; i < v2.n_changes; i++) {
            ok = ok && conf_change_type_name(v2.changes[i].type) != NULL;
        }
        conf_change_v2_release(&v2);
        return ok;
    default:
        return false;
    }
}

void apply_note_recovered(struct raftnode *rn,
                          const struct raft_entries *entries)
{
    for (size_t i = 0; i < entries->len; i++) {
        const struct raft_entry *e = entries->items[i];
        struct kv_command cmd;
        struct conf_change cc;

        if (e->type == RAFT_ENTRY_NORMAL &&
            kv_command_decode(raft_entry_data(e), &cmd) == 0) {
            raftnode_note_request_id(rn, cmd.id);
        } else if (e->type == RAFT_ENTRY_CONF_CHANGE &&
                   conf_change_decode(raft_entry_data(e), &cc) == 0) {
            raftnode_note_request_id(rn, cc.id);
        }
    }
}
