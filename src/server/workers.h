/* The threads that storage works on.
 *
 *   disk       writes of the log: brief ones by the thread at the helm, others
 *              by one of libuv's
 *   snapshot   what may take seconds: a thread of its own, one for each job,
 *              which lets all others go first
 *
 * One job at a time on each. `done` is always called by the loop.
 * Called by the loop, but for workers_init. */

#ifndef SRC_SERVER_WORKERS_H
#define SRC_SERVER_WORKERS_H

#include <stdatomic.h>
#include <uv.h>

#include "src/base/common.h"
#include "src/server/helm.h"
#include "src/server/storage.h"

struct disk_work {
    uv_work_t req;
    struct helm_job job;
    uint64_t took_ns;
};

struct snapshot_work {
    uv_work_t req;
    int create_rc;       /* negative: the thread could not be made */
    struct helm_job job; /* .work NULL: there is nothing to do */
    atomic_bool hurry;
};

struct workers {
    uv_loop_t *loop;         /* borrowed */
    struct helm *helm;       /* borrowed */
    const struct logger *lg; /* borrowed */
    struct disk_work disk;
    struct snapshot_work snapshot;
};

/* All arguments are borrowed, for as long as a job is under way. */
void workers_init(struct workers *w, uv_loop_t *loop, struct helm *helm,
                  const struct logger *lg);

/* For storage_open; valid as long as `w` is. */
struct storage_worker workers_disk(struct workers *w);
struct storage_worker workers_snapshot(struct workers *w);

/* Whether a snapshot that is being made, and the next one, is to be made as
 * fast as can be, whoever else has work. */
void workers_hurry(struct workers *w, bool hurry);

#endif /* SRC_SERVER_WORKERS_H */
