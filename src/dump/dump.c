/* The walk through a data directory. dump.h has the contract.
 *
 * Each member is printed in the same order: the segments with their records,
 * where the log ends, what is in force, the snapshots, and from which of them a
 * node would start. Output leaves line by line, so a log of any length needs no
 * more memory than the daemon's recovery does. */

#include "src/dump/dump.h"

#include <errno.h>

#include "snap/snapshotter.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/dump/format.h"
#include "src/kv/image.h"
#include "src/os/vfs.h"

#define NAME_PREFIX "raftexample-"
#define SNAP_DIR    "-snap"

struct dump {
    const struct dump_options *o;
    const struct dump_format *f;
    struct buf line;
    char file[SEGMENT_NAME_BYTES]; /* the segment at hand; "": none yet */
    /* Snapshots of this member that are whole. */
    struct wal_marker *whole;
    size_t n_whole;
    /* The first thing that was wrong. */
    int rc;
    struct errmsg *em;
};

/* Hand out what the format appended. */
static void flush(struct dump *d)
{
    d->o->write(d->o->ctx, buf_bytes(&d->line));
    buf_reset(&d->line);
}

static void note_error(struct dump *d, int rc, const char *text)
{
    if (d->rc == 0) {
        d->rc = errmsg_text(d->em, rc, "%s", text);
    }
}

/* --- the log --- */

static void on_segment(void *ctx, struct segment_name name, uint64_t size)
{
    struct dump *d = ctx;

    segment_name_format(name, d->file);
    d->f->segment(&d->line, d->file, size);
    flush(d);
}

static void on_record(void *ctx, uint64_t off, const struct record *rec,
                      enum recovery_crc crc)
{
    struct dump *d = ctx;

    d->f->record(&d->line, off, rec, crc);
    flush(d);
}

static void print_end(struct dump *d, const struct recovery *rec, int rc,
                      const struct errmsg *em)
{
    struct dump_end end = {
        .file = d->file[0] != '\0' ? d->file : NULL,
        .offset = rec->tail_offset,
        .state = DUMP_END_CLEAN,
    };

    if (rc < 0) {
        end.state = DUMP_END_DAMAGED;
        end.why = em->text;
        note_error(d, rc, em->text);
    } else if (rec->torn) {
        end.state = DUMP_END_TORN;
        end.why = rec->why;
        end.bytes = rec->torn_bytes;
        end.records = rec->torn_records;
    }
    d->f->end(&d->line, &end);
    flush(d);
}

static void print_log(struct dump *d, const struct replay *log)
{
    size_t n;
    const struct wal_marker *markers = replay_usable(log, &n);

    d->f->log(&d->line, log);
    flush(d);
    for (size_t i = 0; i < log->entries.len; i++) {
        d->f->entry(&d->line, log->entries.items[i]);
        flush(d);
    }
    for (size_t i = 0; i < n; i++) {
        d->f->marker(&d->line, markers[i]);
        flush(d);
    }
}

/* *rec stays the caller's, with the log as far as it could be read. */
static int dump_wal(struct dump *d, const char *dir, struct recovery *rec)
{
    struct wal_options wo = {.fs = d->o->fs, .dir = dir};
    struct recovery_watch watch = {d, on_segment, on_record};
    struct errmsg em = {{0}};
    int rc;

    d->file[0] = '\0';
    rc = recovery_inspect(&wo, &watch, rec, &em);
    print_end(d, rec, rc, &em);
    if (d->file[0] != '\0') {
        print_log(d, &rec->replay);
    }
    return rc;
}

/* --- snapshots --- */

static void count_pair(void *arg, struct bytes key, struct bytes value)
{
    uint64_t *n = arg;

    (void)key;
    (void)value;
    (*n)++;
}

static void on_pair(void *arg, struct bytes key, struct bytes value)
{
    struct dump *d = arg;

    d->f->pair(&d->line, key, value);
    flush(d);
}

/* Print the file and, if it is whole, what is in it. */
static void print_snapshot(struct dump *d, struct dump_snapshot *s)
{
    struct bytes image = {0};
    struct errmsg em = {{0}};

    if (s->snap != NULL) {
        image = (struct bytes){s->snap->data, s->snap->len};
        if (image_decode(image, count_pair, &s->keys, &em) < 0) {
            s->snap = NULL;
            s->why = em.text;
        }
    }
    d->f->snapshot(&d->line, s);
    flush(d);
    if (s->snap == NULL) {
        note_error(d, ERR_DAMAGED, s->why);
        return;
    }
    d->whole = xrealloc_array(d->whole, d->n_whole + 1, sizeof(*d->whole));
    d->whole[d->n_whole++] = (struct wal_marker){s->snap->index, s->snap->term};
    /* It has just been decoded: this time too. */
    if (image_decode(image, on_pair, d, NULL) < 0) {
        UNREACHABLE();
    }
}

static void dump_snapshot_file(struct dump *d, const char *dir,
                               const char *name)
{
    struct dump_snapshot s = {.file = name};
    struct raft_snapshot *snap = NULL;
    struct errmsg em = {{0}};
    uint64_t term;
    uint64_t index;
    uint8_t *data = NULL;
    size_t len = 0;
    char *path;
    int rc;

    if (!snapshot_name_parse(name, &term, &index)) {
        return;
    }
    path = vfs_join(dir, name);
    rc = vfs_read_file(d->o->fs, path, SNAPSHOT_FILE_MAX, &data, &len, &em);
    s.why = em.text;
    s.size = len;
    if (rc == 0) {
        rc = snapshot_file_check((struct bytes){data, len}, term, index, &snap,
                                 &s.why);
    }
    s.snap = rc == 0 ? snap : NULL;
    print_snapshot(d, &s);
    raft_snapshot_unref(snap);
    xfree(data);
    xfree(path);
}

static void dump_snapshots(struct dump *d, const char *dir)
{
    struct vfs_names names;
    struct errmsg em = {{0}};
    int rc = vfs_list_sorted(d->o->fs, dir, &names);

    if (rc < 0) {
        errmsg_set(&em, rc, "list %s", dir);
        note_error(d, rc, em.text);
        return;
    }
    for (size_t i = 0; i < names.n; i++) {
        dump_snapshot_file(d, dir, names.names[i]);
    }
    vfs_names_release(&names);
}

/* --- a member --- */

static bool is_whole(const struct dump *d, struct wal_marker m)
{
    for (size_t i = 0; i < d->n_whole; i++) {
        if (d->whole[i].index == m.index && d->whole[i].term == m.term) {
            return true;
        }
    }
    return false;
}

/* As the daemon chooses: the newest snapshot that the log vouches for and whose
 * file is whole. */
static void print_start(struct dump *d, const struct replay *log)
{
    struct wal_marker beginning = {0};
    const struct wal_marker *start = log->base.index == 0 ? &beginning : NULL;
    size_t n;
    const struct wal_marker *markers = replay_usable(log, &n);

    for (size_t i = 0; i < n; i++) {
        if (is_whole(d, markers[i])) {
            start = &markers[i];
        }
    }
    d->f->start(&d->line, start);
    flush(d);
}

/* `wal`, `snap`: NULL if there is none. */
static void dump_member(struct dump *d, const char *wal, const char *snap)
{
    struct recovery rec = {0};
    int rc = ERR_WAL_NOT_FOUND;

    d->f->member(&d->line, wal, snap);
    flush(d);
    if (wal != NULL) {
        rc = dump_wal(d, wal, &rec);
    }
    d->n_whole = 0;
    if (snap != NULL) {
        dump_snapshots(d, snap);
    }
    if (rc == 0) {
        print_start(d, &rec.replay);
    }
    recovery_release(&rec);
}

/* --- which members there are --- */

struct look {
    bool has_wal;
    bool has_snap;
};

static void look_at_name(void *arg, const char *name)
{
    struct look *l = arg;
    uint64_t term;
    uint64_t index;

    l->has_wal |= segment_name_ends_in(name, SEGMENT_SUFFIX);
    l->has_snap |= snapshot_name_parse(name, &term, &index);
}

/* The member whose log is, or would be, in `wal`. */
static void dump_pair_of_dirs(struct dump *d, const char *wal)
{
    char *snap = xasprintf("%s" SNAP_DIR, wal);

    dump_member(d, vfs_exists(d->o->fs, wal) ? wal : NULL,
                vfs_exists(d->o->fs, snap) ? snap : NULL);
    xfree(snap);
}

/* "raftexample-N": the name of a member's log directory. */
static bool is_member_name(const char *name, size_t len)
{
    size_t skip = strlen(NAME_PREFIX);

    if (len <= skip || memcmp(name, NAME_PREFIX, skip) != 0) {
        return false;
    }
    for (size_t i = skip; i < len; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
    }
    return true;
}

/* All members of a data directory; how many there are. A member may have lost
 * its log and have snapshots only. */
static size_t dump_all(struct dump *d, const char *dir,
                       const struct vfs_names *names)
{
    size_t suffix = strlen(SNAP_DIR);
    size_t n = 0;

    for (size_t i = 0; i < names->n; i++) {
        const char *name = names->names[i];
        size_t len = strlen(name);
        bool snap = segment_name_ends_in(name, SNAP_DIR);
        char *path;

        len -= snap ? suffix : 0;
        if (!is_member_name(name, len)) {
            continue;
        }
        path = xasprintf("%s/%.*s", dir, (int)len, name);
        if (!snap || !vfs_exists(d->o->fs, path)) {
            dump_pair_of_dirs(d, path);
            n++;
        }
        xfree(path);
    }
    return n;
}

static int dump_path(struct dump *d, const char *path)
{
    struct vfs_names names;
    struct look l = {0};
    const char *base = strrchr(path, '/');
    int rc = vfs_list_sorted(d->o->fs, path, &names);

    if (rc < 0) {
        return errmsg_set(d->em, rc, "list %s", path);
    }
    base = base == NULL ? path : base + 1;
    for (size_t i = 0; i < names.n; i++) {
        look_at_name(&l, names.names[i]);
    }
    if (l.has_wal || is_member_name(base, strlen(base))) {
        dump_pair_of_dirs(d, path);
    } else if (l.has_snap || segment_name_ends_in(path, SNAP_DIR)) {
        dump_member(d, NULL, path);
    } else if (dump_all(d, path, &names) == 0) {
        rc = errmsg_set(d->em, ERR_NOT_FOUND,
                        "%s: a log, a snapshot or a directory " NAME_PREFIX "N",
                        path);
    }
    vfs_names_release(&names);
    return rc < 0 ? rc : d->rc;
}

int dump_run(const struct dump_options *o, struct errmsg *em)
{
    struct dump d = {
        .o = o,
        .f = o->json ? &dump_format_json : &dump_format_text,
        .em = em,
    };
    size_t len = strlen(o->path);
    char *path;
    int rc;

    while (len > 1 && o->path[len - 1] == '/') {
        len--; /* "-snap" is put behind it */
    }
    path = xasprintf("%.*s", (int)len, o->path);
    buf_init(&d.line, BUF_UNLIMITED);
    rc = dump_path(&d, path);
    buf_release(&d.line);
    xfree(d.whole);
    xfree(path);
    return rc;
}

const char *dump_usage(void)
{
    return "usage: raftexample-dump [--json] DIR\n"
           "\n"
           "Prints the log and the snapshots in DIR: a data directory with\n"
           "raftexample-N/ and raftexample-N-snap/, or one of these. Nothing "
           "is\n"
           "written or locked; a node may be running on it. A damaged log is "
           "printed\n"
           "as far as it goes, then where and why it stops.\n"
           "\n"
           "  --json           one JSON object a line, by \"kind\":\n"
           "      member       paths of \"wal\" and \"snap\", null if missing\n"
           "      segment      \"file\", \"size\"\n"
           "      record       \"offset\", \"size\", \"crc\" in hexadecimal, "
           "\"crc_state\"\n"
           "                   (ok, wrong, group_wrong, taken: there is "
           "nothing "
           "before\n"
           "                   it), \"record\" (crc, metadata, entry, state, "
           "snapshot)\n"
           "                   and what it holds\n"
           "      end          \"file\", \"offset\", \"state\" (clean, torn, "
           "damaged), \"why\"\n"
           "      hard_state   the last one: \"term\", \"vote\", \"commit\"\n"
           "      log          what is in force: behind \"base_index\", up to\n"
           "                   \"last_index\"\n"
           "      entry        each of these: \"index\", \"term\", \"type\" "
           "(empty, put,\n"
           "                   conf_change, conf_change_v2, unknown), payload\n"
           "      marker       a snapshot that the log vouches for\n"
           "      snapshot     \"file\", \"state\" (ok, damaged), \"index\", "
           "\"term\",\n"
           "                   members, \"keys\"\n"
           "      pair         each \"key\" and \"value\" of it\n"
           "      start        where a node would start: \"index\" 0 is the "
           "beginning,\n"
           "                   null nowhere\n"
           "                   Bytes that are not UTF-8: \"value_hex\" for "
           "\"value\"\n"
           "  --version, --help\n"
           "\n"
           "Exit status: 0, also with a torn tail; 1 if something is damaged "
           "or\n"
           "cannot be read; 2 for wrong usage.\n";
}
