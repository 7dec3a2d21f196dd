/* The file seam over a disk in memory that loses, tears and refuses.
 *
 * Give sim_vfs_base() to the code under test. Everything it does is counted;
 * the k-th call from now can be made to fail, once or from then on.
 * sim_vfs_crash cuts the power: what had been synced stays, the rest is kept,
 * lost or torn as asked (sim_disk.h has the model), and every handle that was
 * open is dead: its calls return -EIO and have no effect; closing it only frees
 * it. So a crashed object of the program can still be closed the ordinary way.
 *
 *     struct sim_vfs *v = sim_vfs_new();
 *     struct wal_options o = {.fs = sim_vfs_base(v), .dir = "wal"};
 *     ...
 *     sim_vfs_crash(v, SIM_CRASH_SECTORS, &rng);
 *     wal_close(w, NULL);      // dead handles: writes nothing
 *     ... open again ...
 *     sim_vfs_free(v);         // asserts that no handle is left open
 *
 * Paths are relative to the root of this disk ("wal/x", "./wal/x" and "/wal/x"
 * are one file), without "..". Locks work between handles of one disk. */

#ifndef TESTS_LIB_SIM_VFS_H
#define TESTS_LIB_SIM_VFS_H

#include <stdio.h>

#include "src/base/common.h"
#include "src/os/vfs.h"
#include "tests/lib/sim_disk.h"

struct sim_vfs; /* opaque */

/* An empty disk. */
struct sim_vfs *sim_vfs_new(void);

/* Another disk with the same content, synced and not; no handles, no locks, no
 * faults, the counter at 0. */
struct sim_vfs *sim_vfs_clone(const struct sim_vfs *v);
void sim_vfs_free(struct sim_vfs *v); /* NULL: no-op */

/* What the code under test takes; borrowed, lives as long as `v`. */
struct vfs *sim_vfs_base(struct sim_vfs *v);

/* --- faults --- */

enum sim_call {
    SIM_CALL_OPEN = 1 << 0,
    SIM_CALL_STAT = 1 << 1,
    SIM_CALL_RENAME = 1 << 2,
    SIM_CALL_UNLINK = 1 << 3,
    SIM_CALL_MKDIR = 1 << 4,
    SIM_CALL_RMDIR = 1 << 5,
    SIM_CALL_SYNC_DIR = 1 << 6,
    SIM_CALL_LIST = 1 << 7,
    SIM_CALL_READ = 1 << 8,
    SIM_CALL_WRITE = 1 << 9,
    SIM_CALL_SYNC = 1 << 10,
    SIM_CALL_TRUNCATE = 1 << 11,
    SIM_CALL_ALLOCATE = 1 << 12,
    SIM_CALL_SIZE = 1 << 13,
    SIM_CALL_LOCK = 1 << 14,
};
#define SIM_CALLS_ALL ((1 << 15) - 1)
/* Those that change something; opening a file may. */
#define SIM_CALLS_CHANGE                                                       \
    (SIM_CALL_OPEN | SIM_CALL_RENAME | SIM_CALL_UNLINK | SIM_CALL_MKDIR |      \
     SIM_CALL_RMDIR | SIM_CALL_SYNC_DIR | SIM_CALL_WRITE | SIM_CALL_SYNC |     \
     SIM_CALL_TRUNCATE | SIM_CALL_ALLOCATE)

struct sim_fault {
    uint32_t ops;   /* which calls count: enum sim_call */
    uint64_t after; /* calls of these that still succeed */
    int rc;         /* what the next one returns */
    bool forever;   /* and all of these after it; else once */
    /* A failing write leaves the first half of its bytes. Else nothing. */
    bool half;
};

/* Plan a fault; it replaces the one before. A sync that fails leaves its
 * sectors visible, lost by a crash, and not written by a later sync, as the
 * kernel does. */
void sim_vfs_fail(struct sim_vfs *v, struct sim_fault fault);
void sim_vfs_heal(struct sim_vfs *v);

/* The k-th call from now (1: the next), of whatever kind, fails with `rc`; or
 * that one and all that follow. */
void sim_vfs_fail_once(struct sim_vfs *v, uint64_t k, int rc);
void sim_vfs_fail_from(struct sim_vfs *v, uint64_t k, int rc);

/* Whether the planned fault has struck. */
bool sim_vfs_has_failed(const struct sim_vfs *v);

/* Room for all files together; what does not fit gets -ENOSPC, after as much
 * of it as fits. UINT64_MAX, the default: no limit. */
void sim_vfs_set_capacity(struct sim_vfs *v, uint64_t bytes);

/* A disk that says a sync is done and does nothing. */
void sim_vfs_set_lying(struct sim_vfs *v, bool lying);

/* --- counters --- */

/* Calls so far, of these operations. */
uint64_t sim_vfs_calls(const struct sim_vfs *v, uint32_t ops);

/* Unsynced sectors, and changes of names in *names (may be NULL): the numbers
 * that SIM_KEEP_FIRST and SIM_KEEP_ONLY mean. */
uint64_t sim_vfs_unsynced(const struct sim_vfs *v, uint64_t *names);

/* Handles that are open, dead ones too. */
uint64_t sim_vfs_handles(const struct sim_vfs *v);

/* --- power --- */

enum sim_crash_mode {
    SIM_CRASH_DROP,    /* all that is not synced is gone, names too */
    SIM_CRASH_KEEP,    /* all of it arrived */
    SIM_CRASH_TORN,    /* a part from the start of it, of random length */
    SIM_CRASH_SECTORS, /* a random part of sectors and of names */
};

/* Cut the power and switch it on again; planned faults are healed. `rng` is
 * used by the last two modes only. */
void sim_vfs_crash(struct sim_vfs *v, enum sim_crash_mode mode,
                   struct rng *rng);

/* The same with exactly that outcome. */
void sim_vfs_crash_as(struct sim_vfs *v, const struct sim_crash *crash);

/* Only cut the power: until sim_vfs_crash, every call fails with -EIO. For
 * closing a program's objects after its death. */
void sim_vfs_power_off(struct sim_vfs *v);

/* Kill the process: handles die and locks go, the page cache stays. */
void sim_vfs_kill(struct sim_vfs *v);

/* --- looking and meddling, uncounted and without faults --- */

/* Make `path` a file with this content, durable, with its directories. */
void sim_vfs_put(struct sim_vfs *v, const char *path, struct bytes content);

/* Content owned by the caller (xfree); NULL if there is no such file. */
uint8_t *sim_vfs_get(const struct sim_vfs *v, const char *path, size_t *len);

/* -1 if there is no such file. */
int64_t sim_vfs_size(const struct sim_vfs *v, const char *path);

/* Damage at rest: seen and durable content alike. */
void sim_vfs_flip(struct sim_vfs *v, const char *path, uint64_t off,
                  uint8_t mask);
void sim_vfs_set(struct sim_vfs *v, const char *path, uint64_t off,
                 struct bytes content);
void sim_vfs_zero(struct sim_vfs *v, const char *path, uint64_t off,
                  uint64_t len);
void sim_vfs_cut(struct sim_vfs *v, const char *path, uint64_t len);
void sim_vfs_remove(struct sim_vfs *v, const char *path);
void sim_vfs_move(struct sim_vfs *v, const char *from, const char *to);

/* The names in `dir` as seen, sorted; none if it does not exist. */
void sim_vfs_names(const struct sim_vfs *v, const char *dir,
                   struct vfs_names *out);

/* A number for all names and bytes as seen under `path`, and for nothing else:
 * equal before and after if nothing was changed. */
uint32_t sim_vfs_hash(const struct sim_vfs *v, const char *path);

/* One line a file: path, size, bytes in use, unsynced sectors. */
void sim_vfs_dump(const struct sim_vfs *v, FILE *out);

#endif /* TESTS_LIB_SIM_VFS_H */
