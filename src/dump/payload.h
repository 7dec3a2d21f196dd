/* What an entry of the log says: its payload, decoded. Pure. */

#ifndef SRC_DUMP_PAYLOAD_H
#define SRC_DUMP_PAYLOAD_H

#include "proto/raftpb.h"
#include "src/kv/command.h"

enum payload_kind {
    PAYLOAD_EMPTY,       /* of a new leader, or a change that was refused */
    PAYLOAD_PUT,         /* a command of src/kv */
    PAYLOAD_CONF_CHANGE, /* of one member */
    PAYLOAD_CONF_CHANGE_V2,
    PAYLOAD_UNKNOWN, /* a type or bytes that nobody can read */
};

struct payload {
    enum payload_kind kind;
    struct kv_command put;         /* PAYLOAD_PUT */
    struct conf_change change;     /* PAYLOAD_CONF_CHANGE */
    struct conf_change_v2 changes; /* PAYLOAD_CONF_CHANGE_V2; owned */
};

/* Take the payload of `e` apart; what *out points to is borrowed from `e`. */
void payload_decode(const struct raft_entry *e, struct payload *out);
void payload_release(struct payload *p);

/* "put", "empty", "conf_change", "conf_change_v2", "unknown". */
const char *payload_kind_name(enum payload_kind kind);

/* "add_node" and so on; "unknown" for a number out of range. */
const char *payload_change_name(uint64_t type);

/* "metadata", "entry", "state", "crc", "snapshot". */
const char *payload_record_name(uint64_t type);

#endif /* SRC_DUMP_PAYLOAD_H */
