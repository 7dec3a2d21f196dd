/* Creation: a directory that holds no WAL becomes one.
 *
 * What makes a directory a WAL is a name that ends in .wal, and the first
 * segment gets its name only when it is whole and synced. So a creation that
 * was interrupted leaves a directory without such a name: it is cleaned up and
 * made anew [reliability 3.3].
 *
 * Counterpart: etcd server/storage/wal Create.
 * Differs: the directory is made in place, not renamed into it, so that its
 * lock file is there from the beginning. */

#ifndef WAL_CREATE_H
#define WAL_CREATE_H

#include "wal/recover.h"

/* Make the WAL of wal_create. *out is what a recovery of it would find, open
 * and locked. Errors as there; on failure *out is empty and nothing is left. */
MUST_CHECK int create_run(const struct wal_options *opts,
                          uint64_t segment_bytes, struct recovery *out,
                          struct errmsg *em);

#endif /* WAL_CREATE_H */
