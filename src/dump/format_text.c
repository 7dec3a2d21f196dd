/* The dump as text: a table of the records, then what they amount to.
 *
 * Long keys and values are cut, with their length behind them; JSON has all of
 * them. */

#include <inttypes.h>

#include "src/dump/format.h"
#include "src/raft/describe.h"

#define SHOWN_MAX 64 /* bytes of a key or value */

static void put_quoted(struct buf *b, struct bytes v)
{
    struct bytes shown = {v.data, (size_t)min_u64(v.len, SHOWN_MAX)};

    describe_quoted(shown, b);
    if (shown.len < v.len) {
        (void)buf_printf(b, "... (%zu bytes)", v.len);
    }
}

static void put_pair(struct buf *b, struct bytes key, struct bytes value)
{
    put_quoted(b, key);
    (void)buf_append_str(b, " = ");
    put_quoted(b, value);
}

static void put_request_id(struct buf *b, uint64_t id)
{
    if (id != 0) {
        (void)buf_printf(b, " (request %016" PRIx64 ")", id);
    }
}

static void put_ids(struct buf *b, const char *name, const struct id_list *l)
{
    if (l->n > 0) {
        (void)buf_printf(b, ", %s", name);
        for (size_t i = 0; i < l->n; i++) {
            (void)buf_printf(b, " %" PRIu64, l->ids[i]);
        }
    }
}

static void put_changes(struct buf *b, const struct conf_change_v2 *c)
{
    (void)buf_printf(b, "transition %" PRIu64 ":", c->transition);
    for (size_t i = 0; i < c->n_changes; i++) {
        (void)buf_printf(b, " %s %" PRIu64,
                         payload_change_name(c->changes[i].type),
                         c->changes[i].node_id);
    }
}

static void put_entry(struct buf *b, const struct raft_entry *e)
{
    struct payload p;

    payload_decode(e, &p);
    (void)buf_printf(b, "entry %" PRIu64 ", term %" PRIu64 ": %s", e->index,
                     e->term, payload_kind_name(p.kind));
    switch (p.kind) {
    case PAYLOAD_EMPTY:
        break;
    case PAYLOAD_PUT:
        (void)buf_append_byte(b, ' ');
        put_pair(b, p.put.key, p.put.value);
        put_request_id(b, p.put.id);
        break;
    case PAYLOAD_CONF_CHANGE:
        (void)buf_printf(b, " %s %" PRIu64, payload_change_name(p.change.type),
                         p.change.node_id);
        if (p.change.context.len > 0) {
            (void)buf_append_byte(b, ' ');
            put_quoted(b, p.change.context);
        }
        put_request_id(b, p.change.id);
        break;
    case PAYLOAD_CONF_CHANGE_V2:
        (void)buf_append_byte(b, ' ');
        put_changes(b, &p.changes);
        break;
    case PAYLOAD_UNKNOWN:
        (void)buf_printf(b, " payload of type %" PRIu64 ": ", e->type);
        put_quoted(b, raft_entry_data(e));
        break;
    }
    payload_release(&p);
}

static void put_hard_state(struct buf *b, const struct hard_state *hs)
{
    (void)buf_printf(b, "term %" PRIu64 ", vote %" PRIu64 ", commit %" PRIu64,
                     hs->term, hs->vote, hs->commit);
}

static void text_member(struct buf *b, const char *wal, const char *snap)
{
    (void)buf_printf(b, "log: %s\nsnapshots: %s\n", wal != NULL ? wal : "none",
                     snap != NULL ? snap : "none");
}

static void text_segment(struct buf *b, const char *file, uint64_t size)
{
    (void)buf_printf(b, "\nsegment %s, %" PRIu64 " bytes\n", file, size);
    (void)buf_printf(b, "%10s %8s  %-8s  %-8s  %s\n", "offset", "size", "crc",
                     "state", "record");
}

static void put_content(struct buf *b, const struct record *rec)
{
    struct bytes data = rec->pb.data;
    struct raft_entry *e;
    struct hard_state hs;
    struct walpb_snapshot snap;

    switch ((enum walpb_record_type)rec->pb.type) {
    case WALPB_METADATA:
        (void)buf_append_str(b, "metadata");
        return;
    case WALPB_ENTRY:
        if (raft_entry_decode(data, &e) == 0) {
            put_entry(b, e);
            raft_entry_unref(e);
            return;
        }
        break;
    case WALPB_STATE:
        if (hard_state_decode(data, &hs) == 0) {
            (void)buf_append_str(b, "hard state: ");
            put_hard_state(b, &hs);
            return;
        }
        break;
    case WALPB_CRC:
        (void)buf_append_str(b, record_is_marker(rec)
                                    ? "crc, seals all since the last one"
                                    : "crc");
        return;
    case WALPB_SNAPSHOT:
        if (walpb_snapshot_decode(data, &snap) == 0) {
            (void)buf_printf(b, "snapshot %" PRIu64 ", term %" PRIu64,
                             snap.index, snap.term);
            return;
        }
        break;
    }
    (void)buf_printf(
        b, "%s that cannot be decoded: ", payload_record_name(rec->pb.type));
    put_quoted(b, data);
}

static void text_record(struct buf *b, uint64_t off, const struct record *rec,
                        enum recovery_crc crc)
{
    static const char *const states[] = {
        [RECOVERY_CRC_OK] = "ok",
        [RECOVERY_CRC_WRONG] = "WRONG",
        [RECOVERY_GROUP_WRONG] = "SEAL",
        [RECOVERY_CRC_TAKEN] = "taken",
    };

    (void)buf_printf(b, "%10" PRIu64 " %8" PRIu64 "  %08" PRIx32 "  %-8s  ",
                     off, rec->size, rec->pb.crc, states[crc]);
    put_content(b, rec);
    (void)buf_append_byte(b, '\n');
}

static void text_end(struct buf *b, const struct dump_end *end)
{
    switch (end->state) {
    case DUMP_END_CLEAN:
        (void)buf_printf(b, "%10" PRIu64 " end of the log\n", end->offset);
        break;
    case DUMP_END_TORN:
        (void)buf_printf(b,
                         "%10" PRIu64 " torn: %s; %" PRIu64 " bytes, %" PRIu64
                         " records, whole or part, that a "
                         "node would cut away\n",
                         end->offset, end->why, end->bytes, end->records);
        break;
    case DUMP_END_DAMAGED:
        (void)buf_printf(b, "%10" PRIu64 " STOPS HERE: %s\n", end->offset,
                         end->why);
        break;
    }
}

static void text_log(struct buf *b, const struct replay *log)
{
    (void)buf_append_str(b, "\nhard state: ");
    put_hard_state(b, &log->hs);
    (void)buf_printf(b, "\nlog in force: %zu entries", log->entries.len);
    if (log->entries.len > 0) {
        (void)buf_printf(b, ", %" PRIu64 " to %" PRIu64, log->base.index + 1,
                         replay_last_index(log));
    }
    if (log->base.index > 0) {
        (void)buf_printf(b, ", behind index %" PRIu64 ", term %" PRIu64,
                         log->base.index, log->base.term);
    }
    (void)buf_append_byte(b, '\n');
}

/* The records have shown them all. */
static void text_entry(struct buf *b, const struct raft_entry *e)
{
    (void)b;
    (void)e;
}

static void text_marker(struct buf *b, struct wal_marker m)
{
    (void)buf_printf(
        b, "snapshot that the log vouches for: %" PRIu64 ", term %" PRIu64 "\n",
        m.index, m.term);
}

static void text_snapshot(struct buf *b, const struct dump_snapshot *s)
{
    const struct raft_snapshot *snap = s->snap;

    (void)buf_printf(b, "\nsnapshot %s, %" PRIu64 " bytes", s->file, s->size);
    if (snap == NULL) {
        (void)buf_printf(b, ": DAMAGED: %s\n", s->why);
        return;
    }
    (void)buf_printf(b,
                     ": index %" PRIu64 ", term %" PRIu64 ", %" PRIu64 " keys",
                     snap->index, snap->term, s->keys);
    put_ids(b, "voters", &snap->conf_state.voters);
    put_ids(b, "learners", &snap->conf_state.learners);
    put_ids(b, "outgoing voters", &snap->conf_state.voters_outgoing);
    put_ids(b, "next learners", &snap->conf_state.learners_next);
    (void)buf_append_str(b,
                         snap->conf_state.auto_leave ? ", auto leave\n" : "\n");
    for (size_t i = 0; i < snap->n_members; i++) {
        (void)buf_printf(b, "  member %" PRIu64 ": ", snap->members[i].id);
        put_quoted(b, (struct bytes){(const uint8_t *)snap->members[i].url,
                                     strlen(snap->members[i].url)});
        (void)buf_append_byte(b, '\n');
    }
}

static void text_pair(struct buf *b, struct bytes key, struct bytes value)
{
    (void)buf_append_str(b, "  ");
    put_pair(b, key, value);
    (void)buf_append_byte(b, '\n');
}

static void text_start(struct buf *b, const struct wal_marker *m)
{
    if (m == NULL) {
        (void)buf_append_str(b, "\na node cannot start here\n");
    } else if (m->index == 0) {
        (void)buf_append_str(b, "\na node would start from the beginning\n");
    } else {
        (void)buf_printf(b,
                         "\na node would start from the snapshot at index "
                         "%" PRIu64 ", term %" PRIu64 "\n",
                         m->index, m->term);
    }
}

const struct dump_format dump_format_text = {
    .member = text_member,
    .segment = text_segment,
    .record = text_record,
    .end = text_end,
    .log = text_log,
    .entry = text_entry,
    .marker = text_marker,
    .snapshot = text_snapshot,
    .pair = text_pair,
    .start = text_start,
};
