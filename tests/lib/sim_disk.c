/* A disk in memory. */

#include "tests/lib/sim_disk.h"

#include "src/base/alloc.h"

#define NO_CUT UINT64_MAX

/* --- images --- */

static void image_fill(struct sim_image *im, size_t filled)
{
    if (filled > im->cap) {
        im->cap = grow_cap(im->cap, filled);
        im->data = xrealloc_array(im->data, im->cap, 1);
    }
    if (filled > im->filled) {
        memset(im->data + im->filled, 0, filled - im->filled);
        im->filled = filled;
    }
}

static void image_write(struct sim_image *im, const void *p, size_t len,
                        uint64_t off)
{
    if (len == 0) {
        return;
    }
    image_fill(im, (size_t)off + len);
    memcpy(im->data + off, p, len);
    im->size = max_u64(im->size, off + len);
}

static void image_read(const struct sim_image *im, void *p, size_t len,
                       uint64_t off)
{
    size_t have = 0;

    if (off < im->filled) {
        have = (size_t)min_u64(len, im->filled - off);
        memcpy(p, im->data + off, have);
    }
    memset((uint8_t *)p + have, 0, len - have);
}

static void image_truncate(struct sim_image *im, uint64_t len)
{
    im->size = len;
    im->filled = (size_t)min_u64(im->filled, len);
}

static void image_copy(struct sim_image *to, const struct sim_image *from)
{
    to->filled = 0;
    image_fill(to, from->filled);
    if (from->filled > 0) {
        memcpy(to->data, from->data, from->filled);
    }
    to->size = from->size;
}

/* --- nodes --- */

static struct sim_inode *node_new(struct sim_disk *d, enum vfs_kind kind)
{
    struct sim_inode *n = xcalloc(1, sizeof(*n));

    n->kind = kind;
    n->cut_at = NO_CUT;
    n->refs = 1;
    if (d->n_nodes == d->nodes_cap) {
        d->nodes_cap = grow_cap(d->nodes_cap, d->n_nodes + 1);
        d->nodes = xrealloc_array(d->nodes, d->nodes_cap, sizeof(d->nodes[0]));
    }
    n->slot = d->n_nodes;
    d->nodes[d->n_nodes++] = n;
    return n;
}

struct sim_inode *sim_inode_ref(struct sim_inode *n)
{
    ASSERT(n->refs > 0);
    n->refs++;
    return n;
}

static void entries_clear(struct sim_disk *d, struct sim_entries *l)
{
    while (l->n > 0) {
        l->n--;
        xfree(l->items[l->n].name);
        sim_inode_unref(d, l->items[l->n].node);
    }
}

static void node_free(struct sim_disk *d, struct sim_inode *n)
{
    /* The order of creation is kept: crashes go through the nodes in it. */
    for (size_t i = n->slot + 1; i < d->n_nodes; i++) {
        d->nodes[i - 1] = d->nodes[i];
        d->nodes[i - 1]->slot = i - 1;
    }
    d->n_nodes--;
    entries_clear(d, &n->seen);
    entries_clear(d, &n->durable);
    xfree(n->seen.items);
    xfree(n->durable.items);
    xfree(n->cur.data);
    xfree(n->disk.data);
    xfree(n->marks);
    xfree(n->dirty);
    xfree(n);
}

void sim_inode_unref(struct sim_disk *d, struct sim_inode *n)
{
    ASSERT(n->refs > 0);
    n->refs--;
    if (n->refs == 0) {
        node_free(d, n);
    }
}

/* --- entries --- */

static size_t entries_at(const struct sim_entries *l, const char *name)
{
    size_t i = 0;

    while (i < l->n && strcmp(l->items[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void entries_remove(struct sim_disk *d, struct sim_entries *l,
                           const char *name)
{
    size_t i = entries_at(l, name);

    if (i == l->n) {
        return;
    }
    struct sim_entry e = l->items[i];

    l->n--;
    memmove(l->items + i, l->items + i + 1, (l->n - i) * sizeof(l->items[0]));
    xfree(e.name);
    sim_inode_unref(d, e.node);
}

static void entries_set(struct sim_disk *d, struct sim_entries *l,
                        const char *name, struct sim_inode *node)
{
    sim_inode_ref(node);
    entries_remove(d, l, name);
    if (l->n == l->cap) {
        l->cap = grow_cap(l->cap, l->n + 1);
        l->items = xrealloc_array(l->items, l->cap, sizeof(l->items[0]));
    }
    l->items[l->n++] = (struct sim_entry){xstrdup(name), node};
}

struct sim_inode *sim_dir_find(const struct sim_inode *dir, const char *name)
{
    size_t i = entries_at(&dir->seen, name);

    ASSERT(dir->kind == VFS_DIR);
    return i < dir->seen.n ? dir->seen.items[i].node : NULL;
}

/* The next name of *path in `out`; false at its end. "." is left out. */
static bool next_name(const char **path, char *out, size_t size)
{
    do {
        size_t n;

        *path += strspn(*path, "/");
        n = strcspn(*path, "/");
        ASSERT(n < size);
        memcpy(out, *path, n);
        out[n] = '\0';
        *path += n;
    } while (strcmp(out, ".") == 0);
    ASSERT(strcmp(out, "..") != 0);
    return out[0] != '\0';
}

struct sim_inode *sim_disk_find(const struct sim_disk *d, const char *path)
{
    struct sim_inode *n = d->root;
    char name[256];

    while (n != NULL && next_name(&path, name, sizeof(name))) {
        n = n->kind == VFS_DIR ? sim_dir_find(n, name) : NULL;
    }
    return n;
}

struct sim_inode *sim_disk_parent(const struct sim_disk *d, const char *path,
                                  const char **name)
{
    char *parent = vfs_parent(path);
    struct sim_inode *n = sim_disk_find(d, parent);
    const char *slash = strrchr(path, '/');

    *name = slash == NULL ? path : slash + 1;
    ASSERT(**name != '\0');
    xfree(parent);
    return n != NULL && n->kind == VFS_DIR ? n : NULL;
}

/* --- the journal of names --- */

static void journal_push(struct sim_disk *d, struct sim_change c)
{
    if (d->n_journal == d->journal_cap) {
        d->journal_cap = grow_cap(d->journal_cap, d->n_journal + 1);
        d->journal =
            xrealloc_array(d->journal, d->journal_cap, sizeof(d->journal[0]));
    }
    sim_inode_ref(c.dir);
    sim_inode_ref(c.node);
    c.name = xstrdup(c.name);
    c.to_name = xstrdup(c.to_name);
    if (c.to_dir != NULL) {
        sim_inode_ref(c.to_dir);
    }
    d->journal[d->n_journal++] = c;
}

static void change_release(struct sim_disk *d, struct sim_change *c)
{
    xfree(c->name);
    xfree(c->to_name);
    sim_inode_unref(d, c->dir);
    sim_inode_unref(d, c->node);
    if (c->to_dir != NULL) {
        sim_inode_unref(d, c->to_dir);
    }
}

/* A later change may be applied without an earlier one of the same name, so
 * an entry goes only if it is still the one that was meant. */
static void remove_durable(struct sim_disk *d, struct sim_inode *dir,
                           const char *name, const struct sim_inode *node)
{
    size_t i = entries_at(&dir->durable, name);

    if (i < dir->durable.n && dir->durable.items[i].node == node) {
        entries_remove(d, &dir->durable, name);
    }
}

static void change_apply(struct sim_disk *d, const struct sim_change *c)
{
    switch (c->kind) {
    case SIM_LINK:
        entries_set(d, &c->dir->durable, c->name, c->node);
        return;
    case SIM_UNLINK:
        remove_durable(d, c->dir, c->name, c->node);
        return;
    case SIM_RENAME:
        remove_durable(d, c->dir, c->name, c->node);
        entries_set(d, &c->to_dir->durable, c->to_name, c->node);
        return;
    }
    UNREACHABLE();
}

struct sim_inode *sim_disk_create(struct sim_disk *d, struct sim_inode *dir,
                                  const char *name, enum vfs_kind kind)
{
    struct sim_inode *n = node_new(d, kind);

    ASSERT(sim_dir_find(dir, name) == NULL);
    entries_set(d, &dir->seen, name, n);
    journal_push(d, (struct sim_change){.kind = SIM_LINK,
                                        .dir = dir,
                                        .name = (char *)(uintptr_t)name,
                                        .node = n});
    sim_inode_unref(d, n);
    return n;
}

void sim_disk_unlink(struct sim_disk *d, struct sim_inode *dir,
                     const char *name)
{
    struct sim_inode *n = sim_dir_find(dir, name);

    ASSERT(n != NULL);
    journal_push(d, (struct sim_change){.kind = SIM_UNLINK,
                                        .dir = dir,
                                        .name = (char *)(uintptr_t)name,
                                        .node = n});
    entries_remove(d, &dir->seen, name);
}

void sim_disk_rename(struct sim_disk *d, struct sim_inode *from,
                     const char *from_name, struct sim_inode *to,
                     const char *to_name)
{
    struct sim_inode *n = sim_dir_find(from, from_name);

    ASSERT(n != NULL);
    journal_push(d, (struct sim_change){.kind = SIM_RENAME,
                                        .dir = from,
                                        .name = (char *)(uintptr_t)from_name,
                                        .node = n,
                                        .to_dir = to,
                                        .to_name = (char *)(uintptr_t)to_name});
    entries_set(d, &to->seen, to_name, n);
    entries_remove(d, &from->seen, from_name);
}

void sim_disk_sync_dir(struct sim_disk *d, struct sim_inode *dir)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n_journal; i++) {
        struct sim_change c = d->journal[i];

        if (c.dir == dir || c.to_dir == dir) {
            change_apply(d, &c);
            change_release(d, &c);
        } else {
            d->journal[kept++] = c;
        }
    }
    d->n_journal = kept;
}

/* --- files --- */

size_t sim_file_read(const struct sim_inode *f, void *p, size_t len,
                     uint64_t off)
{
    if (off >= f->cur.size) {
        return 0;
    }
    len = (size_t)min_u64(len, f->cur.size - off);
    image_read(&f->cur, p, len, off);
    return len;
}

static void mark_dirty(struct sim_inode *f, uint64_t from, uint64_t to)
{
    size_t last = (size_t)((to + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES);

    if (last > f->n_marks) {
        size_t n = grow_cap(f->n_marks, last);

        f->marks = xrealloc_array(f->marks, n, 1);
        memset(f->marks + f->n_marks, SIM_CLEAN, n - f->n_marks);
        f->n_marks = n;
    }
    for (size_t i = (size_t)(from / SIM_SECTOR_BYTES); i < last; i++) {
        if (f->marks[i] == SIM_CLEAN) {
            if (f->n_dirty == f->dirty_cap) {
                f->dirty_cap = grow_cap(f->dirty_cap, f->n_dirty + 1);
                f->dirty =
                    xrealloc_array(f->dirty, f->dirty_cap, sizeof(f->dirty[0]));
            }
            f->dirty[f->n_dirty++] = (uint32_t)i;
        }
        f->marks[i] = SIM_DIRTY;
    }
}

void sim_file_write(struct sim_inode *f, const void *p, size_t len,
                    uint64_t off)
{
    if (len == 0) {
        return;
    }
    image_write(&f->cur, p, len, off);
    mark_dirty(f, off, off + len);
}

void sim_file_truncate(struct sim_inode *f, uint64_t len)
{
    if (len < f->cur.size) {
        f->cut_at = min_u64(f->cut_at, len);
    }
    image_truncate(&f->cur, len);
}

/* The file's size, and what lay behind a cut, become durable. */
static void keep_size(struct sim_inode *f, uint64_t size)
{
    if (f->cut_at < f->disk.size) {
        image_truncate(&f->disk, f->cut_at);
    }
    image_truncate(&f->disk, size);
}

/* A sector becomes durable, as far as the durable size has it. */
static void keep_sector(struct sim_inode *f, uint32_t sector)
{
    uint64_t from = (uint64_t)sector * SIM_SECTOR_BYTES;
    uint64_t to =
        min_u64(from + SIM_SECTOR_BYTES, min_u64(f->cur.size, f->disk.size));
    uint8_t bytes[SIM_SECTOR_BYTES];

    if (from < to) {
        image_read(&f->cur, bytes, (size_t)(to - from), from);
        image_write(&f->disk, bytes, (size_t)(to - from), from);
    }
}

/* Drop the marks of sectors that are not `kept`. */
static void clear_marks(struct sim_inode *f, enum sim_mark kept)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n_dirty; i++) {
        uint32_t sector = f->dirty[i];

        if (kept != SIM_CLEAN && f->marks[sector] == (uint8_t)kept) {
            f->dirty[n++] = sector;
        } else {
            f->marks[sector] = SIM_CLEAN;
        }
    }
    f->n_dirty = n;
}

void sim_file_sync(struct sim_inode *f)
{
    keep_size(f, f->cur.size);
    f->cut_at = NO_CUT;
    for (size_t i = 0; i < f->n_dirty; i++) {
        if (f->marks[f->dirty[i]] == SIM_DIRTY) {
            keep_sector(f, f->dirty[i]);
        }
    }
    clear_marks(f, SIM_LOST);
}

void sim_file_fail_sync(struct sim_inode *f)
{
    for (size_t i = 0; i < f->n_dirty; i++) {
        f->marks[f->dirty[i]] = SIM_LOST;
    }
}

/* --- power --- */

static bool is_file_unsynced(const struct sim_inode *n)
{
    return n->kind == VFS_FILE && (n->n_dirty > 0 || n->cut_at != NO_CUT ||
                                   n->cur.size != n->disk.size);
}

uint64_t sim_disk_unsynced(const struct sim_disk *d, uint64_t *names)
{
    uint64_t sectors = 0;

    for (size_t i = 0; i < d->n_nodes; i++) {
        sectors += d->nodes[i]->n_dirty;
    }
    if (names != NULL) {
        *names = d->n_journal;
    }
    return sectors;
}

/* Whether the thing with this number is kept. */
static bool is_kept(enum sim_keep keep, uint64_t n, uint64_t number,
                    struct rng *rng)
{
    switch (keep) {
    case SIM_KEEP_NONE:
        return false;
    case SIM_KEEP_ALL:
        return true;
    case SIM_KEEP_SOME:
        return rng_below(rng, 2) == 0;
    case SIM_KEEP_FIRST:
        return number < n;
    case SIM_KEEP_ONLY:
        return number == n;
    }
    UNREACHABLE();
}

/* Sizes go with the data: whoever keeps a sector must see it. By chance, a
 * file that grew may have grown only in part. */
static void crash_size(struct sim_inode *f, const struct sim_crash *c)
{
    uint64_t size = f->cur.size;

    if (c->data == SIM_KEEP_NONE) {
        return;
    }
    if (c->data == SIM_KEEP_SOME) {
        uint64_t chance = rng_below(c->rng, 3);

        if (chance == 0) {
            return;
        }
        if (chance == 1 && f->cut_at == NO_CUT && size > f->disk.size) {
            size = f->disk.size + rng_below(c->rng, size - f->disk.size);
        }
    }
    keep_size(f, size);
}

static void crash_file(struct sim_inode *f, const struct sim_crash *c,
                       uint64_t *number)
{
    crash_size(f, c);
    for (size_t i = 0; i < f->n_dirty; i++) {
        if (is_kept(c->data, c->data_n, (*number)++, c->rng)) {
            keep_sector(f, f->dirty[i]);
        }
    }
    clear_marks(f, SIM_CLEAN);
    f->cut_at = NO_CUT;
    image_copy(&f->cur, &f->disk);
}

static void crash_names(struct sim_disk *d, const struct sim_crash *c)
{
    for (size_t i = 0; i < d->n_journal; i++) {
        if (is_kept(c->names, c->names_n, i, c->rng)) {
            change_apply(d, &d->journal[i]);
        }
        change_release(d, &d->journal[i]);
    }
    d->n_journal = 0;
}

/* What is durable is what is seen, from `dir` down. */
static void show_durable(struct sim_disk *d, struct sim_inode *dir)
{
    entries_clear(d, &dir->seen);
    for (size_t i = 0; i < dir->durable.n; i++) {
        struct sim_entry *e = &dir->durable.items[i];

        entries_set(d, &dir->seen, e->name, e->node);
        if (e->node->kind == VFS_DIR) {
            show_durable(d, e->node);
        }
    }
}

void sim_disk_crash(struct sim_disk *d, const struct sim_crash *c)
{
    uint64_t number = 0;

    ASSERT(c->rng != NULL ||
           (c->data != SIM_KEEP_SOME && c->names != SIM_KEEP_SOME));
    for (size_t i = 0; i < d->n_nodes; i++) {
        d->nodes[i]->owner = NULL;
        if (is_file_unsynced(d->nodes[i])) {
            crash_file(d->nodes[i], c, &number);
        }
    }
    crash_names(d, c);
    show_durable(d, d->root);
}

/* --- life cycle --- */

void sim_disk_init(struct sim_disk *d)
{
    *d = (struct sim_disk){0};
    d->root = node_new(d, VFS_DIR);
}

/* Directories can hold each other only through renames, which the callers do
 * not make, so counting frees everything. */
void sim_disk_release(struct sim_disk *d)
{
    for (size_t i = 0; i < d->n_journal; i++) {
        change_release(d, &d->journal[i]);
    }
    sim_inode_unref(d, d->root);
    ASSERT(d->n_nodes == 0);
    xfree(d->nodes);
    xfree(d->journal);
    *d = (struct sim_disk){0};
}

static struct sim_inode *counterpart(const struct sim_disk *to,
                                     const struct sim_inode *n)
{
    return n == NULL ? NULL : to->nodes[n->slot];
}

static void copy_entries(struct sim_disk *to, struct sim_entries *l,
                         const struct sim_entries *from)
{
    for (size_t i = 0; i < from->n; i++) {
        entries_set(to, l, from->items[i].name,
                    counterpart(to, from->items[i].node));
    }
}

static void copy_file(struct sim_inode *to, const struct sim_inode *from)
{
    image_copy(&to->cur, &from->cur);
    image_copy(&to->disk, &from->disk);
    to->cut_at = from->cut_at;
    if (from->n_marks > 0) {
        to->n_marks = from->n_marks;
        to->marks = xmemdup(from->marks, from->n_marks);
    }
    if (from->n_dirty > 0) {
        to->n_dirty = from->n_dirty;
        to->dirty_cap = from->n_dirty;
        to->dirty =
            xmemdup(from->dirty, from->n_dirty * sizeof(from->dirty[0]));
    }
}

void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from)
{
    *to = (struct sim_disk){0};
    for (size_t i = 0; i < from->n_nodes; i++) {
        copy_file(node_new(to, from->nodes[i]->kind), from->nodes[i]);
    }
    to->root = counterpart(to, from->root);
    for (size_t i = 0; i < from->n_nodes; i++) {
        copy_entries(to, &to->nodes[i]->seen, &from->nodes[i]->seen);
        copy_entries(to, &to->nodes[i]->durable, &from->nodes[i]->durable);
    }
    for (size_t i = 0; i < from->n_journal; i++) {
        struct sim_change c = from->journal[i];

        c.dir = counterpart(to, c.dir);
        c.node = counterpart(to, c.node);
        c.to_dir = counterpart(to, c.to_dir);
        journal_push(to, c);
    }
    /* Each was born with one reference; now entries and journal hold them, but
     * for those that only an open handle of the original kept. */
    for (size_t i = to->n_nodes; i-- > 0;) {
        if (to->nodes[i] != to->root) {
            sim_inode_unref(to, to->nodes[i]);
        }
    }
}
