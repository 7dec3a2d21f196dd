/* See describe.h. The section numbers are those of raft-tests.md. */

#include "src/raft/describe.h"

#include "src/base/buf.h"
#include "src/raft/confchange.h"

/* --- names --- */

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return "StateFollower";
    case RAFT_CANDIDATE:
        return "StateCandidate";
    case RAFT_LEADER:
        return "StateLeader";
    case RAFT_PRE_CANDIDATE:
        return "StatePreCandidate";
    }
    UNREACHABLE();
}

const char *raft_entry_type_name(uint64_t type)
{
    switch (type) {
    case RAFT_ENTRY_NORMAL:
        return "EntryNormal";
    case RAFT_ENTRY_CONF_CHANGE:
        return "EntryConfChange";
    case RAFT_ENTRY_CONF_CHANGE_V2:
        return "EntryConfChangeV2";
    default: /* an open enum: whatever a peer sent */
        return "EntryUnknown";
    }
}

static const char *transition_name(uint64_t transition)
{
    switch (transition) {
    case CONF_CHANGE_TRANSITION_AUTO:
        return "ConfChangeTransitionAuto";
    case CONF_CHANGE_TRANSITION_JOINT_IMPLICIT:
        return "ConfChangeTransitionJointImplicit";
    case CONF_CHANGE_TRANSITION_JOINT_EXPLICIT:
        return "ConfChangeTransitionJointExplicit";
    default: /* an open enum: whatever a peer sent */
        return "ConfChangeTransitionUnknown";
    }
}

/* --- quoting [5.5] --- */

/* Decode one code point of UTF-8 at `p`, of `len` > 0 bytes. Returns its
 * length, 0 if the bytes are not valid: too short, overlong, a surrogate or too
 * large. */
static size_t utf8_decode(const uint8_t *p, size_t len, uint32_t *out)
{
    static const uint32_t min_of_len[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0xc0   ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf8 ? 4
                             : 0;
    uint32_t c;

    if (n == 0 || n > len) {
        return 0;
    }
    c = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = (c << 6) | (p[i] & 0x3fu);
    }
    if (c < min_of_len[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *out = c;
    return n;
}

/* Whether a code point from 0x80 on is shown as it is. Go asks the Unicode
 * tables; here the ranges of controls, spaces, format characters and private
 * use are excluded, and what is not assigned counts as printable. */
static bool is_printable(uint32_t c)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } hidden[] = {{0x80, 0xa0},       {0xad, 0xad},     {0x600, 0x605},
                  {0x61c, 0x61c},     {0x6dd, 0x6dd},   {0x70f, 0x70f},
                  {0x1680, 0x1680},   {0x180e, 0x180e}, {0x2000, 0x200f},
                  {0x2028, 0x202f},   {0x205f, 0x206f}, {0x3000, 0x3000},
                  {0xe000, 0xf8ff},   {0xfdd0, 0xfdef}, {0xfeff, 0xfeff},
                  {0xfff0, 0xfffb},   {0xfffe, 0xffff}, {0xe0000, 0xe00ff},
                  {0xf0000, 0x10ffff}};

    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        if (c >= hidden[i].first && c <= hidden[i].last) {
            return false;
        }
    }
    return true;
}

/* The letter of a one-letter escape, 0 if there is none. */
static char short_escape(uint8_t c)
{
    switch (c) {
    case '\a':
        return 'a';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\v':
        return 'v';
    case '\\':
        return '\\';
    case '"':
        return '"';
    default: /* bytes, not an enum */
        return 0;
    }
}

static void quote_ascii(uint8_t c, struct buf *out)
{
    char letter = short_escape(c);

    if (letter != 0) {
        buf_printf(out, "\\%c", letter);
    } else if (c < 0x20 || c == 0x7f) {
        buf_printf(out, "\\x%02x", c);
    } else {
        buf_append_byte(out, c);
    }
}

void describe_quoted(struct bytes data, struct buf *out)
{
    if (data.len > 0) {
        ASSERT(data.data != NULL);
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < data.len;) {
        const uint8_t *p = data.data + i;
        uint32_t c;
        size_t n;

        if (*p < 0x80) {
            quote_ascii(*p, out);
            i++;
            continue;
        }
        n = utf8_decode(p, data.len - i, &c);
        if (n == 0) {
            buf_printf(out, "\\x%02x", *p);
            n = 1;
        } else if (is_printable(c)) {
            buf_append(out, p, n);
        } else {
            buf_printf(out, c < 0x10000 ? "\\u%04" PRIx32 : "\\U%08" PRIx32, c);
        }
        i += n;
    }
    buf_append_byte(out, '"');
}

/* --- small ones [5.1] --- */

void describe_target(uint64_t id, struct buf *out)
{
    if (id == RAFT_NONE) {
        buf_append_str(out, "None");
    } else if (id == RAFT_LOCAL_APPEND_THREAD) {
        buf_append_str(out, "AppendThread");
    } else if (id == RAFT_LOCAL_APPLY_THREAD) {
        buf_append_str(out, "ApplyThread");
    } else {
        buf_printf(out, "%" PRIx64, id);
    }
}

void describe_hard_state(const struct hard_state *hs, struct buf *out)
{
    buf_printf(out, "Term:%" PRIu64, hs->term);
    if (hs->vote != RAFT_NONE) {
        buf_printf(out, " Vote:%" PRIu64, hs->vote);
    }
    buf_printf(out, " Commit:%" PRIu64, hs->commit);
}

void describe_soft_state(const struct soft_state *ss, struct buf *out)
{
    buf_printf(out, "Lead:%" PRIu64 " State:%s", ss->lead,
               raft_role_name(ss->role));
}

static void describe_ids(const char *name, const struct id_list *l,
                         struct buf *out)
{
    buf_printf(out, "%s:[", name);
    for (size_t i = 0; i < l->n; i++) {
        buf_printf(out, "%s%" PRIu64, i == 0 ? "" : " ", l->ids[i]);
    }
    buf_append_byte(out, ']');
}

void describe_conf_state(const struct conf_state *cs, struct buf *out)
{
    describe_ids("Voters", &cs->voters, out);
    describe_ids(" VotersOutgoing", &cs->voters_outgoing, out);
    describe_ids(" Learners", &cs->learners, out);
    describe_ids(" LearnersNext", &cs->learners_next, out);
    buf_printf(out, " AutoLeave:%s", cs->auto_leave ? "true" : "false");
}

void describe_snapshot(const struct raft_snapshot *s, struct buf *out)
{
    buf_printf(out, "Index:%" PRIu64 " Term:%" PRIu64 " ConfState:", s->index,
               s->term);
    describe_conf_state(&s->conf_state, out);
}

void describe_conf_changes(const struct conf_change_single *ccs, size_t n,
                           struct buf *out)
{
    static const char letters[] = {
        [CONF_CHANGE_ADD_NODE] = 'v',
        [CONF_CHANGE_REMOVE_NODE] = 'r',
        [CONF_CHANGE_UPDATE_NODE] = 'u',
        [CONF_CHANGE_ADD_LEARNER_NODE] = 'l',
    };

    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s%c%" PRIu64, i == 0 ? "" : " ",
                   ccs[i].type < sizeof letters ? letters[ccs[i].type] : '?',
                   ccs[i].node_id);
    }
}

void describe_conf_change(const struct conf_change_v2 *cc, struct buf *out)
{
    buf_printf(out, "transition:%s", transition_name(cc->transition));
    for (size_t i = 0; i < cc->n_changes; i++) {
        const char *name = conf_change_type_name(cc->changes[i].type);

        buf_printf(out, " changes:{type:%s node_id:%" PRIu64 "}",
                   name != NULL ? name : "ConfChangeUnknown",
                   cc->changes[i].node_id);
    }
    if (cc->context.len > 0) {
        buf_append_str(out, " context:");
        describe_quoted(cc->context, out);
    }
}

/* --- entries [5.4] --- */

static void describe_conf_change_v1_data(struct bytes data, struct buf *out)
{
    struct conf_change cc;
    struct conf_change_single one;
    int rc = conf_change_decode(data, &cc);

    if (rc < 0) {
        buf_append_str(out, err_str(rc));
        return;
    }
    one = (struct conf_change_single){cc.type, cc.node_id};
    describe_conf_changes(&one, 1, out);
}

static void describe_conf_change_v2_data(struct bytes data, struct buf *out)
{
    struct conf_change_v2 cc;
    int rc = conf_change_v2_decode(data, &cc);

    if (rc < 0) {
        buf_append_str(out, err_str(rc));
        return;
    }
    describe_conf_changes(cc.changes, cc.n_changes, out);
    conf_change_v2_release(&cc);
}

void describe_entry(const struct raft_entry *e, entry_formatter_fn *fmt_cb,
                    struct buf *out)
{
    size_t before;

    buf_printf(out, "%" PRIu64 "/%" PRIu64 " %s", e->term, e->index,
               raft_entry_type_name(e->type));
    before = out->len;
    buf_append_byte(out, ' ');
    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        describe_conf_change_v1_data(raft_entry_data(e), out);
    } else if (e->type == RAFT_ENTRY_CONF_CHANGE_V2) {
        describe_conf_change_v2_data(raft_entry_data(e), out);
    } else if (fmt_cb != NULL) {
        fmt_cb(raft_entry_data(e), out);
    } else {
        describe_quoted(raft_entry_data(e), out);
    }
    if (out->len == before + 1) {
        out->len = before; /* no payload, so no space before it */
    }
}

void describe_entries(struct raft_entry *const *items, size_t n,
                      entry_formatter_fn *fmt_cb, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        describe_entry(items[i], fmt_cb, out);
        buf_append_byte(out, '\n');
    }
}

/* --- messages [5.3] --- */

/* Responses nest one level; anything deeper is not a message of ours. */
#define NESTING_MAX 4

static void newline(size_t indent, struct buf *out)
{
    buf_printf(out, "\n%*s", (int)indent, "");
}

static void describe_message_entries(const struct raft_message *m,
                                     size_t indent, entry_formatter_fn *fmt_cb,
                                     struct buf *out)
{
    if (m->entries.len == 0) {
        return;
    }
    buf_append_str(out, " Entries:[");
    if (m->entries.len == 1) {
        describe_entry(m->entries.items[0], fmt_cb, out);
    } else {
        for (size_t i = 0; i < m->entries.len; i++) {
            newline(indent + 2, out);
            describe_entry(m->entries.items[i], fmt_cb, out);
        }
        newline(indent, out);
    }
    buf_append_byte(out, ']');
}

static void describe_message_indented(const struct raft_message *m,
                                      size_t indent, entry_formatter_fn *fmt_cb,
                                      struct buf *out)
{
    ASSERT(indent <= 2 * (size_t)NESTING_MAX);
    buf_printf(out, "%*s", (int)indent, "");
    describe_target(m->from, out);
    buf_append_str(out, "->");
    describe_target(m->to, out);
    buf_printf(out, " %s Term:%" PRIu64 " Log:%" PRIu64 "/%" PRIu64,
               raft_message_type_name(m->type), m->term, m->log_term, m->index);
    if (m->reject) {
        buf_printf(out, " Rejected (Hint: %" PRIu64 ")", m->reject_hint);
    }
    if (m->commit != 0) {
        buf_printf(out, " Commit:%" PRIu64, m->commit);
    }
    if (m->vote != RAFT_NONE) {
        buf_printf(out, " Vote:%" PRIu64, m->vote);
    }
    describe_message_entries(m, indent, fmt_cb, out);
    if (!raft_snapshot_is_empty(m->snapshot)) {
        newline(indent + 2, out);
        buf_append_str(out, "Snapshot: ");
        describe_snapshot(m->snapshot, out);
    }
    if (m->n_responses > 0) {
        buf_append_str(out, " Responses:[");
        for (size_t i = 0; i < m->n_responses; i++) {
            buf_append_byte(out, '\n');
            describe_message_indented(&m->responses[i], indent + 2, fmt_cb,
                                      out);
        }
        newline(indent, out);
        buf_append_byte(out, ']');
    }
}

void describe_message(const struct raft_message *m, entry_formatter_fn *fmt_cb,
                      struct buf *out)
{
    describe_message_indented(m, 0, fmt_cb, out);
}

/* --- Ready [5.2] --- */

/* As Go prints a slice of structs with bytes: [{11 [99 116 120]} {12 []}]. */
static void describe_read_states(const struct raft_ready *rd, struct buf *out)
{
    buf_append_str(out, "ReadStates [");
    for (size_t i = 0; i < rd->n_read_states; i++) {
        const struct read_state *rs = &rd->read_states[i];

        buf_printf(out, "%s{%" PRIu64 " [", i == 0 ? "" : " ", rs->index);
        for (size_t k = 0; k < rs->ctx_len; k++) {
            buf_printf(out, "%s%u", k == 0 ? "" : " ", rs->ctx[k]);
        }
        buf_append_str(out, "]}");
    }
    buf_append_str(out, "]\n");
}

static void describe_ready_states(const struct raft_ready *rd, struct buf *out)
{
    if (rd->soft_state != NULL) {
        describe_soft_state(rd->soft_state, out);
        buf_append_byte(out, '\n');
    }
    if (rd->hard_state != NULL && !hard_state_is_empty(rd->hard_state)) {
        buf_append_str(out, "HardState ");
        describe_hard_state(rd->hard_state, out);
        buf_append_byte(out, '\n');
    }
    if (rd->n_read_states > 0) {
        describe_read_states(rd, out);
    }
}

static void describe_ready_log(const struct raft_ready *rd,
                               entry_formatter_fn *fmt_cb, struct buf *out)
{
    if (rd->n_entries > 0) {
        buf_append_str(out, "Entries:\n");
        describe_entries(rd->entries, rd->n_entries, fmt_cb, out);
    }
    if (!raft_snapshot_is_empty(rd->snapshot)) {
        buf_append_str(out, "Snapshot ");
        describe_snapshot(rd->snapshot, out);
        buf_append_byte(out, '\n');
    }
    if (rd->n_committed_entries > 0) {
        buf_append_str(out, "CommittedEntries:\n");
        describe_entries(rd->committed_entries, rd->n_committed_entries, fmt_cb,
                         out);
    }
}

void describe_ready(const struct raft_ready *rd, entry_formatter_fn *fmt_cb,
                    struct buf *out)
{
    size_t before = out->len;
    size_t header;

    buf_printf(out, "Ready MustSync=%s:\n", rd->must_sync ? "true" : "false");
    header = out->len;
    describe_ready_states(rd, out);
    describe_ready_log(rd, fmt_cb, out);
    if (rd->n_messages > 0) {
        buf_append_str(out, "Messages:\n");
        for (size_t i = 0; i < rd->n_messages; i++) {
            describe_message(&rd->messages[i], fmt_cb, out);
            buf_append_byte(out, '\n');
        }
    }
    if (out->len == header) {
        out->len = before; /* nothing stands below the header */
        buf_append_str(out, "<empty Ready>");
    }
}

void describe_status(const struct raft_status *st, struct buf *out)
{
    buf_printf(out,
               "{\"id\":\"%" PRIx64 "\",\"term\":%" PRIu64
               ",\"vote\":\"%" PRIx64 "\",\"commit\":%" PRIu64
               ",\"lead\":\"%" PRIx64 "\",\"raftState\":\"%s\""
               ",\"applied\":%" PRIu64 ",\"progress\":{",
               st->id, st->hard_state.term, st->hard_state.vote,
               st->hard_state.commit, st->soft_state.lead,
               raft_role_name(st->soft_state.role), st->applied);
    for (size_t i = 0; i < st->n_progress; i++) {
        const struct raft_progress_status *pr = &st->progress[i];

        buf_printf(out,
                   "%s\"%" PRIx64 "\":{\"match\":%" PRIu64 ",\"next\":%" PRIu64
                   ",\"state\":\"%s\"}",
                   i > 0 ? "," : "", pr->id, pr->match, pr->next, pr->state);
    }
    buf_printf(out, "},\"leadtransferee\":\"%" PRIx64 "\"}",
               st->lead_transferee);
}

void describe_log(const struct raft_log *l, struct buf *out)
{
    buf_printf(out,
               "committed=%" PRIu64 ", applied=%" PRIu64 ", applying=%" PRIu64
               ", unstable.offset=%" PRIu64
               ", unstable.offsetInProgress=%" PRIu64
               ", len(unstable.Entries)=%zu",
               l->committed, l->applied, l->applying, l->unstable.offset,
               l->unstable.offset_in_progress, unstable_len(&l->unstable));
}
