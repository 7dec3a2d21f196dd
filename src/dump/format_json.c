/* The dump as JSON: one object a line, each with its "kind".
 *
 * Bytes that are not UTF-8 stand in hexadecimal under another name, so that
 * nothing is lost: "value" or "value_hex". Strings are escaped as Go's
 * encoding/json does. The keys stand in a fixed order. */

#include <inttypes.h>

#include "src/dump/format.h"
#include "src/kv/image.h"

static void put_hex(struct buf *b, struct bytes v)
{
    if (v.len > 0) {
        ASSERT(v.data != NULL);
    }
    (void)buf_append_byte(b, '"');
    for (size_t i = 0; i < v.len; i++) {
        (void)buf_printf(b, "%02x", v.data[i]);
    }
    (void)buf_append_byte(b, '"');
}

static void put_string(struct buf *b, const char *s)
{
    if (s == NULL) {
        (void)buf_append_str(b, "null");
    } else {
        (void)image_put_string(b,
                               (struct bytes){(const uint8_t *)s, strlen(s)});
    }
}

/* How many bytes the character at `p` has: 1 to 4, or 0 if it is none. The
 * table of the Unicode standard, 3-7: no surrogates, no longer form than
 * needed. */
static size_t utf8_len(const uint8_t *p, size_t len)
{
    uint8_t lo = 0x80;
    uint8_t hi = 0xbf;
    size_t n;

    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] < 0xc2 || p[0] > 0xf4) {
        return 0;
    }
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : lo;
    hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : hi;
    if (len < n || p[1] < lo || p[1] > hi) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

static bool is_utf8(struct bytes v)
{
    size_t n;

    for (size_t i = 0; i < v.len; i += n) {
        n = utf8_len(v.data + i, v.len - i);
        if (n == 0) {
            return false;
        }
    }
    return true;
}

/* ,"name":"text" or ,"name_hex":"74657874". */
static void put_bytes(struct buf *b, const char *name, struct bytes v)
{
    bool text = is_utf8(v);

    (void)buf_printf(b, ",\"%s%s\":", name, text ? "" : "_hex");
    if (text) {
        (void)image_put_string(b, v);
    } else {
        put_hex(b, v);
    }
}

static void put_request_id(struct buf *b, uint64_t id)
{
    if (id != 0) {
        (void)buf_printf(b, ",\"id\":\"%016" PRIx64 "\"", id);
    }
}

static void put_ids(struct buf *b, const char *name, const struct id_list *l)
{
    (void)buf_printf(b, ",\"%s\":[", name);
    for (size_t i = 0; i < l->n; i++) {
        (void)buf_printf(b, "%s%" PRIu64, i > 0 ? "," : "", l->ids[i]);
    }
    (void)buf_append_byte(b, ']');
}

static void put_change(struct buf *b, const struct conf_change *c)
{
    put_request_id(b, c->id);
    (void)buf_printf(b, ",\"change\":\"%s\",\"node\":%" PRIu64,
                     payload_change_name(c->type), c->node_id);
    put_bytes(b, "context", c->context);
}

static void put_changes(struct buf *b, const struct conf_change_v2 *c)
{
    (void)buf_printf(b, ",\"transition\":%" PRIu64 ",\"changes\":[",
                     c->transition);
    for (size_t i = 0; i < c->n_changes; i++) {
        (void)buf_printf(
            b, "%s{\"change\":\"%s\",\"node\":%" PRIu64 "}", i > 0 ? "," : "",
            payload_change_name(c->changes[i].type), c->changes[i].node_id);
    }
    (void)buf_append_byte(b, ']');
    put_bytes(b, "context", c->context);
}

static void put_entry(struct buf *b, const struct raft_entry *e)
{
    struct payload p;

    payload_decode(e, &p);
    (void)buf_printf(
        b, ",\"index\":%" PRIu64 ",\"term\":%" PRIu64 ",\"type\":\"%s\"",
        e->index, e->term, payload_kind_name(p.kind));
    switch (p.kind) {
    case PAYLOAD_EMPTY:
        break;
    case PAYLOAD_PUT:
        put_request_id(b, p.put.id);
        put_bytes(b, "key", p.put.key);
        put_bytes(b, "value", p.put.value);
        break;
    case PAYLOAD_CONF_CHANGE:
        put_change(b, &p.change);
        break;
    case PAYLOAD_CONF_CHANGE_V2:
        put_changes(b, &p.changes);
        break;
    case PAYLOAD_UNKNOWN:
        (void)buf_printf(b,
                         ",\"entry_type\":%" PRIu64 ",\"data_hex\":", e->type);
        put_hex(b, raft_entry_data(e));
        break;
    }
    payload_release(&p);
}

static void put_hard_state(struct buf *b, const struct hard_state *hs)
{
    (void)buf_printf(
        b, ",\"term\":%" PRIu64 ",\"vote\":%" PRIu64 ",\"commit\":%" PRIu64,
        hs->term, hs->vote, hs->commit);
}

static void json_member(struct buf *b, const char *wal, const char *snap)
{
    (void)buf_append_str(b, "{\"kind\":\"member\",\"wal\":");
    put_string(b, wal);
    (void)buf_append_str(b, ",\"snap\":");
    put_string(b, snap);
    (void)buf_append_str(b, "}\n");
}

static void json_segment(struct buf *b, const char *file, uint64_t size)
{
    (void)buf_printf(
        b, "{\"kind\":\"segment\",\"file\":\"%s\",\"size\":%" PRIu64 "}\n",
        file, size);
}

/* What a record holds; nothing of what cannot be decoded, "end" tells. */
static void put_content(struct buf *b, const struct record *rec)
{
    struct bytes data = rec->pb.data;
    struct raft_entry *e;
    struct hard_state hs;
    struct walpb_snapshot snap;

    switch ((enum walpb_record_type)rec->pb.type) {
    case WALPB_METADATA:
        break; /* a reader of the format takes data of it for damage */
    case WALPB_ENTRY:
        if (raft_entry_decode(data, &e) == 0) {
            (void)buf_append_str(b, ",\"entry\":{\"kind\":\"entry\"");
            put_entry(b, e);
            (void)buf_append_byte(b, '}');
            raft_entry_unref(e);
        }
        break;
    case WALPB_STATE:
        if (hard_state_decode(data, &hs) == 0) {
            put_hard_state(b, &hs);
        }
        break;
    case WALPB_CRC:
        if (record_is_marker(rec)) {
            (void)buf_append_str(b, ",\"seals\":");
            put_hex(b, data);
        }
        break;
    case WALPB_SNAPSHOT:
        if (walpb_snapshot_decode(data, &snap) == 0) {
            (void)buf_printf(b, ",\"index\":%" PRIu64 ",\"term\":%" PRIu64,
                             snap.index, snap.term);
        }
        break;
    }
}

static void json_record(struct buf *b, uint64_t off, const struct record *rec,
                        enum recovery_crc crc)
{
    static const char *const states[] = {
        [RECOVERY_CRC_OK] = "ok",
        [RECOVERY_CRC_WRONG] = "wrong",
        [RECOVERY_GROUP_WRONG] = "group_wrong",
        [RECOVERY_CRC_TAKEN] = "taken",
    };

    (void)buf_printf(b,
                     "{\"kind\":\"record\",\"offset\":%" PRIu64
                     ",\"size\":%" PRIu64 ",\"crc\":\"%08" PRIx32
                     "\",\"crc_state\":\"%s\",\"record\":\"%s\"",
                     off, rec->size, rec->pb.crc, states[crc],
                     payload_record_name(rec->pb.type));
    put_content(b, rec);
    (void)buf_append_str(b, "}\n");
}

static void json_end(struct buf *b, const struct dump_end *end)
{
    static const char *const states[] = {
        [DUMP_END_CLEAN] = "clean",
        [DUMP_END_TORN] = "torn",
        [DUMP_END_DAMAGED] = "damaged",
    };

    (void)buf_append_str(b, "{\"kind\":\"end\",\"file\":");
    put_string(b, end->file);
    (void)buf_printf(b, ",\"offset\":%" PRIu64 ",\"state\":\"%s\"", end->offset,
                     states[end->state]);
    if (end->state == DUMP_END_TORN) {
        (void)buf_printf(b, ",\"bytes\":%" PRIu64 ",\"records\":%" PRIu64,
                         end->bytes, end->records);
    }
    if (end->state != DUMP_END_CLEAN) {
        (void)buf_append_str(b, ",\"why\":");
        put_string(b, end->why);
    }
    (void)buf_append_str(b, "}\n");
}

static void json_log(struct buf *b, const struct replay *log)
{
    (void)buf_append_str(b, "{\"kind\":\"hard_state\"");
    put_hard_state(b, &log->hs);
    (void)buf_printf(b,
                     "}\n{\"kind\":\"log\",\"base_index\":%" PRIu64
                     ",\"base_term\":%" PRIu64 ",\"last_index\":%" PRIu64 "}\n",
                     log->base.index, log->base.term, replay_last_index(log));
}

static void json_entry(struct buf *b, const struct raft_entry *e)
{
    (void)buf_append_str(b, "{\"kind\":\"entry\"");
    put_entry(b, e);
    (void)buf_append_str(b, "}\n");
}

static void json_marker(struct buf *b, struct wal_marker m)
{
    (void)buf_printf(
        b, "{\"kind\":\"marker\",\"index\":%" PRIu64 ",\"term\":%" PRIu64 "}\n",
        m.index, m.term);
}

static void put_members(struct buf *b, const struct raft_snapshot *s)
{
    (void)buf_append_str(b, ",\"members\":[");
    for (size_t i = 0; i < s->n_members; i++) {
        (void)buf_printf(b, "%s{\"id\":%" PRIu64 ",\"url\":", i > 0 ? "," : "",
                         s->members[i].id);
        put_string(b, s->members[i].url);
        (void)buf_append_byte(b, '}');
    }
    (void)buf_append_byte(b, ']');
}

static void json_snapshot(struct buf *b, const struct dump_snapshot *s)
{
    const struct raft_snapshot *snap = s->snap;

    (void)buf_printf(b,
                     "{\"kind\":\"snapshot\",\"file\":\"%s\",\"size\":%" PRIu64
                     ",\"state\":\"%s\"",
                     s->file, s->size, snap != NULL ? "ok" : "damaged");
    if (snap == NULL) {
        (void)buf_append_str(b, ",\"why\":");
        put_string(b, s->why);
    } else {
        (void)buf_printf(b, ",\"index\":%" PRIu64 ",\"term\":%" PRIu64,
                         snap->index, snap->term);
        put_ids(b, "voters", &snap->conf_state.voters);
        put_ids(b, "learners", &snap->conf_state.learners);
        put_ids(b, "voters_outgoing", &snap->conf_state.voters_outgoing);
        put_ids(b, "learners_next", &snap->conf_state.learners_next);
        (void)buf_printf(b, ",\"auto_leave\":%s,\"keys\":%" PRIu64,
                         snap->conf_state.auto_leave ? "true" : "false",
                         s->keys);
        put_members(b, snap);
    }
    (void)buf_append_str(b, "}\n");
}

static void json_pair(struct buf *b, struct bytes key, struct bytes value)
{
    (void)buf_append_str(b, "{\"kind\":\"pair\"");
    put_bytes(b, "key", key);
    put_bytes(b, "value", value);
    (void)buf_append_str(b, "}\n");
}

static void json_start(struct buf *b, const struct wal_marker *m)
{
    if (m == NULL) {
        (void)buf_append_str(b, "{\"kind\":\"start\",\"index\":null}\n");
    } else {
        (void)buf_printf(b,
                         "{\"kind\":\"start\",\"index\":%" PRIu64
                         ",\"term\":%" PRIu64 "}\n",
                         m->index, m->term);
    }
}

const struct dump_format dump_format_json = {
    .member = json_member,
    .segment = json_segment,
    .record = json_record,
    .end = json_end,
    .log = json_log,
    .entry = json_entry,
    .marker = json_marker,
    .snapshot = json_snapshot,
    .pair = json_pair,
    .start = json_start,
};
