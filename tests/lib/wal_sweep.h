/* Every single fault at rest in the files of a log [reliability L2].
 *
 * A corpus is a log that some program left behind. The engine goes over every
 * position of every file, does one kind of damage after the other to a copy of
 * the disk, starts on it, and judges:
 *
 *   same      it reads as the undamaged log
 *   repaired  a torn tail was cut: what is left is the log as it was at some
 *             earlier record, and the damage lies where a torn write may look
 *             like that
 *   refused   and not a byte was changed
 *   lost      anything else: a silent loss
 */

#ifndef TESTS_LIB_WAL_SWEEP_H
#define TESTS_LIB_WAL_SWEEP_H

#include "tests/lib/wal_rig.h"

enum sweep_verdict {
    SWEEP_SAME,
    SWEEP_REPAIRED,
    SWEEP_REFUSED,
    SWEEP_LOST,
    SWEEP_VERDICTS,
};

struct sweep_counts {
    uint64_t n[SWEEP_VERDICTS];
};

enum corpus_size {
    CORPUS_SMALL, /* for the unit tests, too */
    CORPUS_MIDDLE,
    CORPUS_LARGE, /* a million faults */
};

struct wal_corpus {
    const char *name;
    void (*fill)(struct wal_rig *r); /* NULL: nothing but the creation */
    uint64_t segment_bytes;
    bool closed; /* cleanly; else the process was killed */
    enum corpus_size size;
};

/* The table; *n is its length. */
const struct wal_corpus *wal_corpora(size_t *n);

struct wal_sweep {
    /* No WAL is open. The model has all records as pending, or, of a log that
     * another program wrote, none. */
    struct wal_rig base;
    bool foreign;
    uint64_t group; /* where the last group of the last file starts */
    size_t n_files;
    struct sweep_counts counts;
    /* Of n_jobs that share the faults out among them, this one. */
    uint64_t job;
    uint64_t n_jobs;
    uint64_t n_faults; /* so far, those of the other jobs too */
};

/* Prepare a sweep over a corpus, or over the files of a log of another program
 * that lie in "wal" of `v`, which is taken over. */
void wal_sweep_init(struct wal_sweep *s, const struct wal_corpus *c);
void wal_sweep_init_foreign(struct wal_sweep *s, struct sim_vfs *v,
                            uint64_t segment_bytes);
void wal_sweep_release(struct wal_sweep *s);

/* Do all of it; silent losses are printed. */
void wal_sweep_run(struct wal_sweep *s);

#endif /* TESTS_LIB_WAL_SWEEP_H */
