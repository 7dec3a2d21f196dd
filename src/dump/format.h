/* The two forms of a dump: text for people, JSON for machines.
 *
 * dump.c walks through a directory and calls one function here for each thing
 * it meets; each appends whole lines to `b`. Pure. */

#ifndef SRC_DUMP_FORMAT_H
#define SRC_DUMP_FORMAT_H

#include "proto/raftpb.h"
#include "src/base/buf.h"
#include "src/dump/payload.h"
#include "wal/recover.h"

/* Where the log ends, and why there. */
struct dump_end {
    const char *file; /* the segment; NULL: no segment was read */
    uint64_t offset;
    enum dump_end_state {
        DUMP_END_CLEAN,
        DUMP_END_TORN,    /* the daemon cuts the rest away */
        DUMP_END_DAMAGED, /* the daemon refuses to start */
    } state;
    uint64_t bytes;   /* of a torn tail */
    uint64_t records; /* whole or part, of a torn tail */
    const char *why;
};

/* A file of the snapshot directory. */
struct dump_snapshot {
    const char *file;
    uint64_t size;
    const struct raft_snapshot *snap; /* NULL: not usable */
    const char *why;                  /* if it is not */
    uint64_t keys;
};

struct dump_format {
    /* `wal`, `snap`: paths, NULL if there is none. */
    void (*member)(struct buf *b, const char *wal, const char *snap);
    void (*segment)(struct buf *b, const char *file, uint64_t size);
    void (*record)(struct buf *b, uint64_t off, const struct record *rec,
                   enum recovery_crc crc);
    void (*end)(struct buf *b, const struct dump_end *end);
    /* The log in force: what is left when later records have replaced earlier
     * ones. */
    void (*log)(struct buf *b, const struct replay *log);
    void (*entry)(struct buf *b, const struct raft_entry *e);
    void (*marker)(struct buf *b, struct wal_marker m);
    void (*snapshot)(struct buf *b, const struct dump_snapshot *s);
    void (*pair)(struct buf *b, struct bytes key, struct bytes value);
    /* Where a node would start; index 0: at the beginning. NULL: nowhere. */
    void (*start)(struct buf *b, const struct wal_marker *m);
};

extern const struct dump_format dump_format_text;
extern const struct dump_format dump_format_json;

#endif /* SRC_DUMP_FORMAT_H */
