/* Reading the small raftpb messages by hand: entries, hard states,
 * configuration changes.
 *
 * A restart reads each entry and hard state of the log through here, millions
 * of them, so they cost one pass and at most the one allocation of the entry.
 * Lenient as the format demands [formats-protobuf 2]: any order, the last of a
 * repeated scalar counts, absent is zero, unknown fields are skipped; but a
 * known field of another wire type is an error, as in etcd up to 3.6. */

#include "proto/raftpb.h"

#include "proto/pb_wire.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"

int raft_entry_decode(struct bytes in, struct raft_entry **out)
{
    struct pb_reader r = pb_reader_of(in);
    struct pb_field f;
    struct bytes data = {0};
    uint64_t type = 0;
    uint64_t term = 0;
    uint64_t index = 0;
    int rc;

    while ((rc = pb_next(&r, &f)) > 0) {
        bool ok = true;

        switch (f.number) {
        case 1:
            ok = pb_take_varint(&f, &type);
            break;
        case 2:
            ok = pb_take_varint(&f, &term);
            break;
        case 3:
            ok = pb_take_varint(&f, &index);
            break;
        case 4:
            ok = pb_take_bytes(&f, &data);
            break;
        default:
            break;
        }
        if (!ok) {
            return ERR_MALFORMED;
        }
    }
    if (rc < 0) {
        return rc;
    }
    *out = raft_entry_new(type, data);
    (*out)->term = term;
    (*out)->index = index;
    return 0;
}

int hard_state_decode(struct bytes in, struct hard_state *out)
{
    struct pb_reader r = pb_reader_of(in);
    struct hard_state hs = {0};
    struct pb_field f;
    int rc;

    while ((rc = pb_next(&r, &f)) > 0) {
        bool ok = true;

        switch (f.number) {
        case 1:
            ok = pb_take_varint(&f, &hs.term);
            break;
        case 2:
            ok = pb_take_varint(&f, &hs.vote);
            break;
        case 3:
            ok = pb_take_varint(&f, &hs.commit);
            break;
        default:
            break;
        }
        if (!ok) {
            return ERR_MALFORMED;
        }
    }
    if (rc < 0) {
        return rc;
    }
    *out = hs;
    return 0;
}

int conf_change_decode(struct bytes in, struct conf_change *out)
{
    struct pb_reader r = pb_reader_of(in);
    struct conf_change cc = {0};
    struct pb_field f;
    int rc;

    *out = (struct conf_change){0};
    while ((rc = pb_next(&r, &f)) > 0) {
        bool ok = true;

        switch (f.number) {
        case 1:
            ok = pb_take_varint(&f, &cc.id);
            break;
        case 2:
            ok = pb_take_varint(&f, &cc.type);
            break;
        case 3:
            ok = pb_take_varint(&f, &cc.node_id);
            break;
        case 4:
            ok = pb_take_bytes(&f, &cc.context);
            break;
        default:
            break;
        }
        if (!ok) {
            return ERR_MALFORMED;
        }
    }
    if (rc < 0) {
        return rc;
    }
    *out = cc;
    return 0;
}

static int conf_change_single_decode(struct bytes in,
                                     struct conf_change_single *out)
{
    struct pb_reader r = pb_reader_of(in);
    struct pb_field f;
    int rc;

    *out = (struct conf_change_single){0};
    while ((rc = pb_next(&r, &f)) > 0) {
        bool ok = true;

        if (f.number == 1) {
            ok = pb_take_varint(&f, &out->type);
        } else if (f.number == 2) {
            ok = pb_take_varint(&f, &out->node_id);
        }
        if (!ok) {
            return ERR_MALFORMED;
        }
    }
    return rc;
}

/* One more change. More of them than there can be members is nothing that a
 * leader proposes, and would let a few bytes take much memory. */
static bool take_change(const struct pb_field *f, struct conf_change_v2 *cc)
{
    struct conf_change_single change;

    if (f->wire != PB_BYTES || cc->n_changes == MEMBERS_MAX) {
        return false;
    }
    if (conf_change_single_decode(f->bytes, &change) < 0) {
        return false;
    }
    cc->changes =
        xrealloc_array(cc->changes, cc->n_changes + 1, sizeof(*cc->changes));
    cc->changes[cc->n_changes++] = change;
    return true;
}

int conf_change_v2_decode(struct bytes in, struct conf_change_v2 *out)
{
    struct pb_reader r = pb_reader_of(in);
    struct pb_field f;
    int rc;

    *out = (struct conf_change_v2){0};
    while ((rc = pb_next(&r, &f)) > 0) {
        bool ok = true;

        switch (f.number) {
        case 1:
            ok = pb_take_varint(&f, &out->transition);
            break;
        case 2:
            ok = take_change(&f, out);
            break;
        case 3:
            ok = pb_take_bytes(&f, &out->context);
            break;
        default:
            break;
        }
        if (!ok) {
            rc = ERR_MALFORMED;
            break;
        }
    }
    if (rc < 0) {
        conf_change_v2_release(out);
    }
    return rc;
}

void conf_change_v2_release(struct conf_change_v2 *cc)
{
    xfree(cc->changes);
    *cc = (struct conf_change_v2){0};
}
