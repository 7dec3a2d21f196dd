/* Recovery: read a whole WAL directory, without changing a byte of it.
 *
 * Every segment is streamed once, front to back: frames (record.h), the torn
 * or damaged decision where one cannot be read (repair.h), and what the
 * records mean (replay.h). The locks are taken before anything is read.
 *
 * Counterpart: etcd server/storage/wal OpenForRead, ReadAll, Verify. */

#ifndef WAL_RECOVER_H
#define WAL_RECOVER_H

#include "wal/record.h"
#include "wal/replay.h"
#include "wal/segment.h"
#include "wal/wal.h"

/* Held as long as the directory is in use. Go ignores the name. */
#define WAL_LOCK_NAME "lock"

/* What an operator can do about damage. */
#define WAL_ADVICE                                                             \
    "remove this member with DELETE and add a new id with an empty "           \
    "directory, the others have the data; a member that is alone: restore "    \
    "the directory from a backup"

struct recovery {
    struct vfs_file *lock; /* owned */
    struct vfs_file *tail; /* the last segment, open for writing, locked; not
                            * by recovery_inspect */
    struct segment_list segments;
    struct replay replay;

    /* Where the last segment goes on, and the checksums there. */
    uint64_t tail_offset;
    uint64_t tail_size; /* of the file */
    struct record_chain chain;

    /* The last marker before tail_offset in the last segment. */
    bool has_marker;
    uint64_t marker_offset;

    /* As the writer that names the next segment counts it: the last entry, or
     * a snapshot marker ahead of it. */
    uint64_t last_index;

    /* What stands behind tail_offset and has to be cut away, and why. */
    bool torn;
    const char *why;
    uint64_t torn_bytes;
    uint64_t torn_records;
};

/* Take the directory's lock; nothing may be read before. */
MUST_CHECK int recovery_lock(const struct wal_options *opts,
                             struct vfs_file **out, struct errmsg *em);

/* Errors as wal_open. On failure *out is empty. */
MUST_CHECK int recovery_run(const struct wal_options *opts,
                            struct recovery *out, struct errmsg *em);

/* --- looking on --- */

enum recovery_crc {
    RECOVERY_CRC_OK,
    RECOVERY_CRC_WRONG,   /* the chain of the format breaks here */
    RECOVERY_GROUP_WRONG, /* the bytes before this marker have changed */
    /* The first record of a log whose beginning was released: there is
     * nothing to check it against. */
    RECOVERY_CRC_TAKEN,
};

/* Who is told what is read, in order, before it is judged. All arguments are
 * borrowed for the call. */
struct recovery_watch {
    void *ctx;
    void (*segment)(void *ctx, struct segment_name name, uint64_t size);
    void (*record)(void *ctx, uint64_t off, const struct record *rec,
                   enum recovery_crc crc);
};

/* Read what a recovery would read, by the same rules, for somebody who only
 * looks: no lock is taken and nothing is opened for writing, so another
 * process may have the directory. A damaged log is read as far as it goes, a
 * missing segment ends it.
 *
 * Errors as wal_open, without ERR_LOCKED. *out is filled in any case and must
 * be released: it says what was read before the error. */
MUST_CHECK int recovery_inspect(const struct wal_options *opts,
                                const struct recovery_watch *watch,
                                struct recovery *out, struct errmsg *em);

/* Free and close what is left in `rec`: whoever takes a part over sets its
 * field to NULL or zero. */
void recovery_release(struct recovery *rec);

#endif /* WAL_RECOVER_H */
