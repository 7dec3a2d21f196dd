/* The logs that are swept. wal_sweep.h says for what.
 *
 * Groups are ended by wal_sync and not by rig_sync: the model keeps every
 * record as pending, so that it knows each state that the log ever had. */

#include "tests/lib/wal_sweep.h"

static void save(struct wal_rig *r, uint64_t term, uint64_t first, size_t n,
                 size_t size, uint64_t commit)
{
    ASSERT(rig_save(r, term, first, n, size, commit) == 0);
}

static void sync_group(struct wal_rig *r)
{
    ASSERT(wal_sync(r->w, &r->em) == 0);
}

static void fill_three(struct wal_rig *r)
{
    save(r, 1, 1, 3, 12, 0);
    sync_group(r);
}

/* Groups of one to four small entries. */
static void fill_groups(struct wal_rig *r)
{
    uint64_t i = 1;

    for (size_t n = 1; n <= 4; n++) {
        save(r, 1, i, n, 10 * n, i - 1);
        i += n;
        sync_group(r);
    }
}

/* 200 small entries in groups of one to five. */
static void fill_200(struct wal_rig *r)
{
    uint64_t i = 1;

    while (i <= 200) {
        size_t n = (size_t)min_u64(1 + i % 5, 201 - i);

        save(r, 1, i, n, 8 + i % 9, i - 1);
        i += n;
        sync_group(r);
    }
}

static void fill_large(struct wal_rig *r)
{
    save(r, 1, 1, 1, 1500, 0);
    sync_group(r);
    save(r, 1, 2, 2, 700, 1);
    sync_group(r);
}

/* Entries of one byte to 70 kB. */
static void fill_sizes(struct wal_rig *r)
{
    static const size_t sizes[] = {1,   7,    100,   511, 512,
                                   513, 4096, 70000, 1,   30};

    for (uint64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        save(r, 1, i + 1, 1, sizes[i], i);
        sync_group(r);
    }
}

/* Terms, overwritten tails, a snapshot over them. */
static void fill_terms(struct wal_rig *r)
{
    save(r, 1, 1, 6, 10, 2);
    sync_group(r);
    save(r, 2, 4, 2, 10, 4);
    sync_group(r);
    ASSERT(rig_snapshot(r, 4) == 0);
    sync_group(r);
    save(r, 4, 5, 2, 10, 4);
    sync_group(r);
    ASSERT(rig_restore(r, 20, 4) == 0);
    ASSERT(rig_save_state(r, (struct hard_state){5, 3, 20}) == 0);
    sync_group(r);
    save(r, 5, 21, 1, 10, 20);
    sync_group(r);
}

/* Several segments. */
static void fill_segments(struct wal_rig *r)
{
    for (uint64_t i = 1; i <= 12; i++) {
        save(r, 1, i, 1, 150, i - 1);
        sync_group(r);
    }
}

/* The same with the first of them released. */
static void fill_released(struct wal_rig *r)
{
    fill_segments(r);
    ASSERT(rig_snapshot(r, 9) == 0);
    sync_group(r);
    ASSERT(rig_release_to(r, 8) == 0);
}

/* Snapshots again and again, and what lies behind them compacted. */
static void fill_snapshots(struct wal_rig *r)
{
    for (uint64_t i = 1; i <= 40; i++) {
        save(r, 1 + i / 10, i, 1, 60, i - 1);
        sync_group(r);
        if (i % 8 == 0) {
            ASSERT(rig_snapshot(r, i - 2) == 0);
            sync_group(r);
            ASSERT(rig_release_to(r, i - 6) == 0);
        }
    }
}

static void change(struct wal_rig *r, uint64_t type, uint64_t index,
                   struct bytes data)
{
    struct raft_entry *e = raft_entry_new(type, data);

    e->term = 2;
    e->index = index;
    ASSERT(rig_save_entry(r, e, index - 1) == 0);
    sync_group(r);
}

/* Into a joint configuration and out of it. */
static void fill_joint(struct wal_rig *r)
{
    /* ConfChangeV2: JointExplicit, add 4, remove 1. */
    static const uint8_t enter[] = {0x08, 0x02, 0x12, 0x04, 0x08, 0x00, 0x10,
                                    0x04, 0x12, 0x04, 0x08, 0x01, 0x10, 0x01};

    save(r, 1, 1, 2, 10, 0);
    sync_group(r);
    ASSERT(rig_save_state(r, (struct hard_state){2, 3, 2}) == 0);
    change(r, RAFT_ENTRY_CONF_CHANGE_V2, 3,
           (struct bytes){enter, sizeof(enter)});
    save(r, 2, 4, 2, 20, 3);
    sync_group(r);
    change(r, RAFT_ENTRY_CONF_CHANGE_V2, 6, (struct bytes){0});
    save(r, 2, 7, 1, 20, 6);
    sync_group(r);
}

static const struct wal_corpus CORPORA[] = {
    {"empty", NULL, 1024, false, CORPUS_SMALL},
    {"three", fill_three, 1024, false, CORPUS_SMALL},
    {"three, closed", fill_three, 1024, true, CORPUS_SMALL},
    {"groups", fill_groups, 1536, false, CORPUS_SMALL},
    {"groups, closed", fill_groups, 1536, true, CORPUS_SMALL},
    {"large", fill_large, 4096, false, CORPUS_SMALL},
    {"large, closed", fill_large, 4096, true, CORPUS_SMALL},
    {"terms", fill_terms, 2048, false, CORPUS_SMALL},
    {"terms, closed", fill_terms, 2048, true, CORPUS_SMALL},
    {"segments", fill_segments, 1024, false, CORPUS_SMALL},
    {"released, closed", fill_released, 1024, true, CORPUS_SMALL},
    {"joint", fill_joint, 2048, false, CORPUS_MIDDLE},
    {"joint, closed", fill_joint, 2048, true, CORPUS_MIDDLE},
    {"snapshots", fill_snapshots, 2048, false, CORPUS_MIDDLE},
    {"segments, closed", fill_segments, 1024, true, CORPUS_MIDDLE},
    {"200 entries", fill_200, 16384, false, CORPUS_MIDDLE},
    {"200, four segments", fill_200, 4096, true, CORPUS_MIDDLE},
    {"1 byte to 70 kB", fill_sizes, 81920, false, CORPUS_LARGE},
};

const struct wal_corpus *wal_corpora(size_t *n)
{
    *n = ARRAY_LEN(CORPORA);
    return CORPORA;
}
