/* A disk in memory: what is there, and what a power cut would leave of it.
 *
 * Each file has two images: `cur`, what a read sees, and `disk`, what is
 * durable. Writes go to the first and mark 512-byte sectors as unsynced; a
 * sync copies those over. Names work alike: each directory has its entries as
 * seen and as durable, and changes wait in one journal until a directory they
 * touch is synced. A crash decides for each sector, each change of a file's
 * size and each change of a name whether it had arrived.
 *
 * Simplifications: of several unsynced writes to one sector only the last can
 * arrive; sectors are atomic; a rename arrives whole or not at all.
 *
 * This is the model under sim_vfs.[ch], which puts the seam and faults on
 * top. Nothing here fails. */

#ifndef TESTS_LIB_SIM_DISK_H
#define TESTS_LIB_SIM_DISK_H

#include "src/base/common.h"
#include "src/base/rng.h"
#include "src/os/vfs.h"

#define SIM_SECTOR_BYTES 512

/* Bytes of a file; those at or behind `filled` are zero and take no memory. */
struct sim_image {
    uint8_t *data;
    size_t filled;
    size_t cap;
    uint64_t size;
};

struct sim_inode;

struct sim_entry {
    char *name;             /* owned */
    struct sim_inode *node; /* counted */
};

struct sim_entries {
    struct sim_entry *items;
    size_t n;
    size_t cap;
};

/* A file or a directory. Counted by entries, journal and open handles. */
struct sim_inode {
    enum vfs_kind kind;
    uint32_t refs;
    size_t slot;       /* in sim_disk.nodes */
    const void *owner; /* the handle that holds the lock, or NULL */

    /* Files. A sector is in `dirty` at most once, in the order in which it was
     * first written since the last sync. */
    struct sim_image cur;
    struct sim_image disk;
    uint8_t *marks; /* per sector: 0 or enum sim_mark */
    size_t n_marks;
    uint32_t *dirty;
    size_t n_dirty;
    size_t dirty_cap;
    uint64_t cut_at; /* lowest length since the last sync; UINT64_MAX: none */

    /* Directories. */
    struct sim_entries seen;
    struct sim_entries durable;
};

enum sim_mark {
    SIM_CLEAN,
    SIM_DIRTY,
    /* A sync failed: the kernel calls the sector clean, the disk does not
     * have it, and no later sync writes it. */
    SIM_LOST,
};

enum sim_change_kind {
    SIM_LINK,
    SIM_UNLINK,
    SIM_RENAME,
};

/* A change of names that is not durable yet. */
struct sim_change {
    enum sim_change_kind kind;
    struct sim_inode *dir;
    char *name;
    struct sim_inode *node;
    struct sim_inode *to_dir; /* SIM_RENAME only */
    char *to_name;
};

struct sim_disk {
    struct sim_inode *root;
    struct sim_inode **nodes; /* all, in the order of creation */
    size_t n_nodes;
    size_t nodes_cap;
    struct sim_change *journal;
    size_t n_journal;
    size_t journal_cap;
};

/* How much of what is not synced a crash leaves. */
enum sim_keep {
    SIM_KEEP_NONE,
    SIM_KEEP_ALL,
    SIM_KEEP_SOME,  /* each with a chance of one half */
    SIM_KEEP_FIRST, /* the first n, in the order in which they were made */
    SIM_KEEP_ONLY,  /* the one with number n, from 0, and nothing else */
};

struct sim_crash {
    enum sim_keep data;  /* sectors, and with them the files' sizes */
    uint64_t data_n;     /* for SIM_KEEP_FIRST and SIM_KEEP_ONLY */
    enum sim_keep names; /* directory entries */
    uint64_t names_n;
    struct rng *rng; /* for SIM_KEEP_SOME */
};

void sim_disk_init(struct sim_disk *d);
void sim_disk_release(struct sim_disk *d);

/* A copy, with everything that is not synced; *to is not initialised. Locks
 * are not copied. */
void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from);

/* --- names; a path is relative to the root, without ".." --- */

struct sim_inode *sim_disk_find(const struct sim_disk *d, const char *path);

/* The directory that holds the last name of `path`, NULL if it does not
 * exist; *name points into `path`. */
struct sim_inode *sim_disk_parent(const struct sim_disk *d, const char *path,
                                  const char **name);
struct sim_inode *sim_dir_find(const struct sim_inode *dir, const char *name);

struct sim_inode *sim_disk_create(struct sim_disk *d, struct sim_inode *dir,
                                  const char *name, enum vfs_kind kind);
void sim_disk_unlink(struct sim_disk *d, struct sim_inode *dir,
                     const char *name);
void sim_disk_rename(struct sim_disk *d, struct sim_inode *from,
                     const char *from_name, struct sim_inode *to,
                     const char *to_name);
void sim_disk_sync_dir(struct sim_disk *d, struct sim_inode *dir);

struct sim_inode *sim_inode_ref(struct sim_inode *n);
void sim_inode_unref(struct sim_disk *d, struct sim_inode *n);

/* --- files --- */

size_t sim_file_read(const struct sim_inode *f, void *p, size_t len,
                     uint64_t off);
void sim_file_write(struct sim_inode *f, const void *p, size_t len,
                    uint64_t off);
void sim_file_truncate(struct sim_inode *f, uint64_t len);
void sim_file_sync(struct sim_inode *f);
void sim_file_fail_sync(struct sim_inode *f);

/* --- power --- */

/* Unsynced sectors and name changes, as SIM_KEEP_FIRST counts them. */
uint64_t sim_disk_unsynced(const struct sim_disk *d, uint64_t *names);

/* Cut the power: what is kept is durable afterwards, the rest is gone. */
void sim_disk_crash(struct sim_disk *d, const struct sim_crash *c);

#endif /* TESTS_LIB_SIM_DISK_H */
