/* The door of the core: which messages from outside may enter.
 *
 * Four questions in order, each with its own verdict: may this type come from
 * outside, is it for us and from somebody, has it a term where it needs one,
 * and do its parts fit together. */

#include "transport/message_check.h"

#include "src/base/bounds.h"

/* What a function below found: the text and what follows from it. */
static enum message_verdict found(enum message_verdict v, const char *what,
                                  const char **reason)
{
    *reason = what;
    return v;
}

static enum message_verdict impossible(const char *what, const char **reason)
{
    return found(MESSAGE_IMPOSSIBLE, what, reason);
}

static enum message_verdict check_type(const struct raft_message *m,
                                       const char **reason)
{
    if (m->type >= RAFT_MSG_TYPES) {
        return impossible("unknown type", reason);
    }
    /* An empty body is a MsgHup; etcd too takes it and does nothing. */
    if (raft_message_is_local(m->type) || m->type == RAFT_MSG_FORGET_LEADER) {
        return found(MESSAGE_IGNORED, "type is local to a node", reason);
    }
    if (m->type == RAFT_MSG_HEARTBEAT && m->from == RAFT_NONE &&
        m->to == RAFT_NONE) {
        return found(MESSAGE_IGNORED, "link heartbeat", reason);
    }
    return MESSAGE_GOOD;
}

/* Types that a follower hands on to the leader with the name of whoever sent
 * them first; with two nodes that each take the other for the leader they may
 * come back. */
static bool is_forwarded(uint64_t type)
{
    return type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX ||
           type == RAFT_MSG_TRANSFER_LEADER;
}

static enum message_verdict check_addresses(const struct raft_message *m,
                                            uint64_t to, const char **reason)
{
    if (m->to != to) {
        return found(MESSAGE_MISSENT, "to another node", reason);
    }
    /* The two highest ids are the node's own threads: a message from them would
     * pass for a local one [raft-core RN-5]. */
    if (m->from == RAFT_NONE || m->from >= RAFT_LOCAL_APPLY_THREAD) {
        return impossible("from nobody", reason);
    }
    if (m->from == to) {
        return found(is_forwarded(m->type) ? MESSAGE_IGNORED
                                           : MESSAGE_IMPOSSIBLE,
                     "from its receiver", reason);
    }
    return MESSAGE_GOOD;
}

/* To the core a term of 0 marks a local message, which skips the comparison of
 * terms. From outside it can only be older than everything, and is dropped as
 * any older term would be. */
static enum message_verdict check_term(const struct raft_message *m,
                                       const char **reason)
{
    bool without = m->type == RAFT_MSG_PROP || m->type == RAFT_MSG_READ_INDEX;

    if (without && m->term != 0) {
        return impossible("request with a term", reason);
    }
    if (!without && m->term == 0) {
        return found(MESSAGE_IGNORED, "no term", reason);
    }
    return MESSAGE_GOOD;
}

/* A configuration entry that does not decode must not be proposed: every
 * member would have to apply it. */
static bool conf_change_decodes(const struct raft_entry *e)
{
    struct conf_change cc;
    struct conf_change_v2 v2;
    struct bytes data = raft_entry_data(e);

    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        return conf_change_decode(data, &cc) == 0;
    }
    if (conf_change_v2_decode(data, &v2) < 0) {
        return false;
    }
    conf_change_v2_release(&v2);
    return true;
}

static enum message_verdict check_proposal(const struct raft_message *m,
                                           const char **reason)
{
    if (m->entries.len == 0) {
        return impossible("proposal without entries", reason);
    }
    for (size_t i = 0; i < m->entries.len; i++) {
        const struct raft_entry *e = m->entries.items[i];

        if (e->len > PAYLOAD_SIZE_MAX) {
            return impossible("proposed entry is too large", reason);
        }
        if (e->type > RAFT_ENTRY_CONF_CHANGE_V2) {
            return impossible("proposed entry of unknown type", reason);
        }
        if (e->type != RAFT_ENTRY_NORMAL && !conf_change_decodes(e)) {
            return impossible("proposed configuration does not decode", reason);
        }
    }
    return MESSAGE_GOOD;
}

/* The position (index, term) of a log that ends, or goes on, there. */
static enum message_verdict check_position(const struct raft_message *m,
                                           const char **reason)
{
    if (m->index == 0 && m->log_term != 0) {
        return impossible("a term before the first index", reason);
    }
    if (m->log_term > m->term) {
        return impossible("log term above the message's", reason);
    }
    return MESSAGE_GOOD;
}

static enum message_verdict check_append(const struct raft_message *m,
                                         const char **reason)
{
    enum message_verdict v = check_position(m, reason);
    uint64_t term = m->log_term;

    if (v != MESSAGE_GOOD) {
        return v;
    }
    if (m->index >= UINT64_MAX - m->entries.len) {
        return impossible("index overflow", reason);
    }
    for (size_t i = 0; i < m->entries.len; i++) {
        const struct raft_entry *e = m->entries.items[i];

        if (e->index != m->index + 1 + i) {
            return impossible("gap in the entries", reason);
        }
        if (e->term == 0 || e->term < term) {
            return impossible("falling terms in the entries", reason);
        }
        if (e->term > m->term) {
            return impossible("entry term above the message's", reason);
        }
        /* What the log cannot read back must not get into it. */
        if (raft_entry_size(e) > ENTRY_SIZE_MAX) {
            return impossible("entry is too large", reason);
        }
        term = e->term;
    }
    return MESSAGE_GOOD;
}

static bool has_none(const struct id_list *l)
{
    return id_list_contains(l, RAFT_NONE);
}

static enum message_verdict check_snapshot(const struct raft_message *m,
                                           const char **reason)
{
    const struct raft_snapshot *s = m->snapshot;

    if (raft_snapshot_is_empty(s)) {
        return impossible("no snapshot in it", reason);
    }
    if (s->term == 0 || s->term > m->term) {
        return impossible("snapshot term above the message's", reason);
    }
    if (s->conf_state.voters.n == 0) {
        return impossible("snapshot without voters", reason);
    }
    if (has_none(&s->conf_state.voters) || has_none(&s->conf_state.learners) ||
        has_none(&s->conf_state.voters_outgoing) ||
        has_none(&s->conf_state.learners_next)) {
        return impossible("snapshot with a member 0", reason);
    }
    return MESSAGE_GOOD;
}

/* A candidate's log ends in an earlier term than the one it asks for. */
static enum message_verdict check_vote(const struct raft_message *m,
                                       const char **reason)
{
    enum message_verdict v = check_position(m, reason);

    if (v == MESSAGE_GOOD && m->log_term >= m->term) {
        return impossible("vote for a term that has entries", reason);
    }
    return v;
}

/* Newest etcd reads 8 bytes of a context and panics on 1 to 7 of them. */
static enum message_verdict check_heartbeat_resp(const struct raft_message *m,
                                                 const char **reason)
{
    if (m->context_len > 0 && m->context_len < 8) {
        return impossible("context of 1 to 7 bytes", reason);
    }
    return MESSAGE_GOOD;
}

static enum message_verdict check_read(const struct raft_message *m,
                                       const char **reason)
{
    if (m->entries.len != 1) {
        return impossible("read request without one entry", reason);
    }
    size_t len = m->entries.items[0]->len;
    if (len == 0 || len > RAFT_CONTEXT_MAX) {
        return impossible("read request with a context of bad size", reason);
    }
    return MESSAGE_GOOD;
}

static enum message_verdict check_parts(const struct raft_message *m,
                                        const char **reason)
{
    switch ((enum raft_message_type)m->type) {
    case RAFT_MSG_PROP:
        return check_proposal(m, reason);
    case RAFT_MSG_APP:
        return check_append(m, reason);
    case RAFT_MSG_SNAP:
        return check_snapshot(m, reason);
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        return check_vote(m, reason);
    case RAFT_MSG_HEARTBEAT_RESP:
        return check_heartbeat_resp(m, reason);
    case RAFT_MSG_READ_INDEX:
    case RAFT_MSG_READ_INDEX_RESP:
        return check_read(m, reason);
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_TIMEOUT_NOW:
        return MESSAGE_GOOD;
    case RAFT_MSG_HUP:
    case RAFT_MSG_BEAT:
    case RAFT_MSG_UNREACHABLE:
    case RAFT_MSG_SNAP_STATUS:
    case RAFT_MSG_CHECK_QUORUM:
    case RAFT_MSG_STORAGE_APPEND:
    case RAFT_MSG_STORAGE_APPEND_RESP:
    case RAFT_MSG_STORAGE_APPLY:
    case RAFT_MSG_STORAGE_APPLY_RESP:
    case RAFT_MSG_FORGET_LEADER:
    case RAFT_MSG_TYPES:
        break; /* check_type took them out */
    }
    UNREACHABLE();
}

enum message_verdict message_check(const struct raft_message *m, uint64_t to,
                                   const char **reason)
{
    enum message_verdict v = check_type(m, reason);

    if (v == MESSAGE_GOOD) {
        v = check_addresses(m, to, reason);
    }
    if (v == MESSAGE_GOOD) {
        v = check_term(m, reason);
    }
    if (v == MESSAGE_GOOD) {
        v = check_parts(m, reason);
    }
    return v;
}
