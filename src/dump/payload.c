/* The payload of an entry. payload.h has the contract. */

#include "src/dump/payload.h"

#include "proto/walpb.h"

static void decode_put(struct bytes data, struct payload *out)
{
    if (kv_command_decode(data, &out->put) == 0) {
        out->kind = PAYLOAD_PUT;
    }
}

static void decode_change(struct bytes data, struct payload *out)
{
    if (conf_change_decode(data, &out->change) == 0) {
        out->kind = PAYLOAD_CONF_CHANGE;
    }
}

static void decode_changes(struct bytes data, struct payload *out)
{
    if (conf_change_v2_decode(data, &out->changes) == 0) {
        out->kind = PAYLOAD_CONF_CHANGE_V2;
    }
}

void payload_decode(const struct raft_entry *e, struct payload *out)
{
    struct bytes data = raft_entry_data(e);

    *out = (struct payload){.kind = PAYLOAD_UNKNOWN};
    /* The empty change of version 2, which leaves a joint configuration, has
     * no bytes but a meaning. */
    if (e->type == RAFT_ENTRY_CONF_CHANGE_V2) {
        decode_changes(data, out);
    } else if (data.len == 0) {
        out->kind = PAYLOAD_EMPTY;
    } else if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        decode_change(data, out);
    } else if (e->type == RAFT_ENTRY_NORMAL) {
        decode_put(data, out);
    }
}

void payload_release(struct payload *p)
{
    conf_change_v2_release(&p->changes);
}

const char *payload_kind_name(enum payload_kind kind)
{
    switch (kind) {
    case PAYLOAD_EMPTY:
        return "empty";
    case PAYLOAD_PUT:
        return "put";
    case PAYLOAD_CONF_CHANGE:
        return "conf_change";
    case PAYLOAD_CONF_CHANGE_V2:
        return "conf_change_v2";
    case PAYLOAD_UNKNOWN:
        return "unknown";
    }
    UNREACHABLE();
}

const char *payload_change_name(uint64_t type)
{
    static const char *const names[] = {
        [CONF_CHANGE_ADD_NODE] = "add_node",
        [CONF_CHANGE_REMOVE_NODE] = "remove_node",
        [CONF_CHANGE_UPDATE_NODE] = "update_node",
        [CONF_CHANGE_ADD_LEARNER_NODE] = "add_learner_node",
    };

    return type < ARRAY_LEN(names) ? names[type] : "unknown";
}

const char *payload_record_name(uint64_t type)
{
    switch ((enum walpb_record_type)type) {
    case WALPB_METADATA:
        return "metadata";
    case WALPB_ENTRY:
        return "entry";
    case WALPB_STATE:
        return "state";
    case WALPB_CRC:
        return "crc";
    case WALPB_SNAPSHOT:
        return "snapshot";
    }
    UNREACHABLE(); /* the decoder refuses any other */
}
