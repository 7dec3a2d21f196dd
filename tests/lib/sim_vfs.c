/* The file seam over a disk in memory. */

#include "tests/lib/sim_vfs.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"

#define N_OPS 15
static_assert(SIM_CALLS_ALL == (1 << N_OPS) - 1, "one bit for each operation");

struct sim_vfs {
    struct vfs base;
    struct sim_disk disk;
    uint64_t epoch; /* handles of an earlier one are dead */
    uint64_t n_handles;
    uint64_t calls[N_OPS];
    uint64_t capacity;
    bool lying;
    bool off;
    struct sim_fault fault; /* ops 0: none */
    bool has_failed;
};

struct sim_file {
    struct vfs_file base;
    struct sim_vfs *v;
    struct sim_inode *node; /* counted */
    uint64_t epoch;
    int flags;
};

static struct sim_vfs *vfs_of(struct vfs *fs)
{
    return container_of(fs, struct sim_vfs, base);
}

static struct sim_file *file_of(struct vfs_file *f)
{
    return container_of(f, struct sim_file, base);
}

/* Count a call. Its result if it is to fail, else 0. */
static int enter(struct sim_vfs *v, enum sim_call op)
{
    struct sim_fault *f = &v->fault;

    if (v->off) {
        return -EIO;
    }
    v->calls[__builtin_ctz(op)]++;
    if ((f->ops & op) == 0 || (v->has_failed && !f->forever)) {
        return 0;
    }
    if (f->after > 0) {
        f->after--;
        return 0;
    }
    v->has_failed = true;
    return f->rc;
}

static int enter_file(struct sim_file *f, enum sim_call op)
{
    return f->epoch != f->v->epoch ? -EIO : enter(f->v, op);
}

/* Room left when every file had only its size. */
static uint64_t room(const struct sim_vfs *v)
{
    uint64_t used = 0;

    if (v->capacity == UINT64_MAX) {
        return UINT64_MAX;
    }
    for (size_t i = 0; i < v->disk.n_nodes; i++) {
        used += v->disk.nodes[i]->cur.size;
    }
    return used < v->capacity ? v->capacity - used : 0;
}

/* --- files --- */

static int sim_close(struct vfs_file *file)
{
    struct sim_file *f = file_of(file);

    if (f->node->owner == f) {
        f->node->owner = NULL;
    }
    sim_inode_unref(&f->v->disk, f->node);
    f->v->n_handles--;
    xfree(f);
    return 0;
}

static int64_t sim_pread(struct vfs_file *file, void *p, size_t len,
                         uint64_t off)
{
    struct sim_file *f = file_of(file);
    int rc = enter_file(f, SIM_CALL_READ);

    ASSERT((f->flags & VFS_READ) != 0);
    return rc < 0 ? rc : (int64_t)sim_file_read(f->node, p, len, off);
}

static int write_upto(struct sim_file *f, const struct iovec *iov, size_t n_iov,
                      uint64_t off, uint64_t max)
{
    for (size_t i = 0; i < n_iov; i++) {
        size_t n = (size_t)min_u64(iov[i].iov_len, max);

        sim_file_write(f->node, iov[i].iov_base, n, off);
        off += n;
        max -= n;
        if (n < iov[i].iov_len) {
            return -ENOSPC;
        }
    }
    return 0;
}

static int sim_pwritev(struct vfs_file *file, const struct iovec *iov,
                       size_t n_iov, uint64_t off)
{
    struct sim_file *f = file_of(file);
    int rc = enter_file(f, SIM_CALL_WRITE);
    uint64_t free_bytes;
    uint64_t len = 0;

    ASSERT((f->flags & VFS_WRITE) != 0);
    for (size_t i = 0; i < n_iov; i++) {
        len += iov[i].iov_len;
    }
    if (rc < 0) {
        if (f->v->fault.half && f->epoch == f->v->epoch) {
            (void)write_upto(f, iov, n_iov, off, len / 2);
        }
        return rc;
    }
    free_bytes = room(f->v);
    if (off <= f->node->cur.size && free_bytes != UINT64_MAX) {
        free_bytes += f->node->cur.size - off;
    }
    return write_upto(f, iov, n_iov, off, free_bytes);
}

static int sim_datasync(struct vfs_file *file)
{
    struct sim_file *f = file_of(file);
    int rc = enter_file(f, SIM_CALL_SYNC);

    if (rc < 0) {
        if (f->epoch == f->v->epoch) {
            sim_file_fail_sync(f->node);
        }
        return rc;
    }
    if (!f->v->lying) {
        sim_file_sync(f->node);
    }
    return 0;
}

static int resize(struct sim_file *f, uint64_t len)
{
    if (len > f->node->cur.size && len - f->node->cur.size > room(f->v)) {
        return -ENOSPC;
    }
    sim_file_truncate(f->node, len);
    return 0;
}

static int sim_truncate(struct vfs_file *file, uint64_t len)
{
    struct sim_file *f = file_of(file);
    int rc = enter_file(f, SIM_CALL_TRUNCATE);

    ASSERT((f->flags & VFS_WRITE) != 0);
    return rc < 0 ? rc : resize(f, len);
}

static int sim_allocate(struct vfs_file *file, uint64_t len)
{
    struct sim_file *f = file_of(file);
    int rc = enter_file(f, SIM_CALL_ALLOCATE);

    ASSERT((f->flags & VFS_WRITE) != 0);
    if (rc < 0 || len <= f->node->cur.size) {
        return rc;
    }
    return resize(f, len);
}

static int64_t sim_size(struct vfs_file *file)
{
    struct sim_file *f = file_of(file);
    int rc = enter_file(f, SIM_CALL_SIZE);

    return rc < 0 ? rc : (int64_t)f->node->cur.size;
}

static int sim_lock(struct vfs_file *file)
{
    struct sim_file *f = file_of(file);
    int rc = enter_file(f, SIM_CALL_LOCK);

    ASSERT((f->flags & VFS_WRITE) != 0);
    if (rc < 0) {
        return rc;
    }
    if (f->node->owner != NULL && f->node->owner != f) {
        return ERR_LOCKED;
    }
    f->node->owner = f;
    return 0;
}

static const struct vfs_file_ops sim_file_ops = {
    .close = sim_close,
    .pread = sim_pread,
    .pwritev = sim_pwritev,
    .datasync = sim_datasync,
    .truncate = sim_truncate,
    .allocate = sim_allocate,
    .size = sim_size,
    .lock = sim_lock,
};

/* --- names --- */

static int find_or_create(struct sim_vfs *v, const char *path, int flags,
                          struct sim_inode **out)
{
    const char *name;
    struct sim_inode *dir = sim_disk_parent(&v->disk, path, &name);

    if (dir == NULL) {
        return -ENOENT;
    }
    *out = sim_dir_find(dir, name);
    if (*out == NULL) {
        if ((flags & VFS_CREATE) == 0) {
            return -ENOENT;
        }
        *out = sim_disk_create(&v->disk, dir, name, VFS_FILE);
        return 0;
    }
    if ((flags & VFS_EXCL) != 0) {
        return -EEXIST;
    }
    return (*out)->kind == VFS_FILE ? 0 : -EISDIR;
}

static int sim_open(struct vfs *fs, const char *path, int flags,
                    struct vfs_file **out)
{
    struct sim_vfs *v = vfs_of(fs);
    struct sim_inode *node;
    struct sim_file *f;
    int rc = enter(v, SIM_CALL_OPEN);

    if (rc < 0) {
        return rc;
    }
    rc = find_or_create(v, path, flags, &node);
    if (rc < 0) {
        return rc;
    }
    if ((flags & VFS_TRUNC) != 0) {
        sim_file_truncate(node, 0);
    }
    f = xcalloc(1, sizeof(*f));
    f->base.ops = &sim_file_ops;
    f->v = v;
    f->node = sim_inode_ref(node);
    f->epoch = v->epoch;
    f->flags = flags;
    v->n_handles++;
    *out = &f->base;
    return 0;
}

static int sim_stat(struct vfs *fs, const char *path, enum vfs_kind *kind)
{
    struct sim_vfs *v = vfs_of(fs);
    int rc = enter(v, SIM_CALL_STAT);
    struct sim_inode *n;

    if (rc < 0) {
        return rc;
    }
    n = sim_disk_find(&v->disk, path);
    if (n == NULL) {
        return -ENOENT;
    }
    *kind = n->kind;
    return 0;
}

static int do_rename(struct sim_vfs *v, const char *from, const char *to)
{
    const char *from_name;
    const char *to_name;
    struct sim_inode *from_dir = sim_disk_parent(&v->disk, from, &from_name);
    struct sim_inode *to_dir = sim_disk_parent(&v->disk, to, &to_name);
    struct sim_inode *old;

    if (from_dir == NULL || to_dir == NULL ||
        sim_dir_find(from_dir, from_name) == NULL) {
        return -ENOENT;
    }
    old = sim_dir_find(to_dir, to_name);
    if (old != NULL && old->kind == VFS_DIR) {
        return old->seen.n > 0 ? -ENOTEMPTY : -EISDIR;
    }
    sim_disk_rename(&v->disk, from_dir, from_name, to_dir, to_name);
    return 0;
}

static int sim_rename(struct vfs *fs, const char *from, const char *to)
{
    struct sim_vfs *v = vfs_of(fs);
    int rc = enter(v, SIM_CALL_RENAME);

    return rc < 0 ? rc : do_rename(v, from, to);
}

static int sim_unlink(struct vfs *fs, const char *path)
{
    struct sim_vfs *v = vfs_of(fs);
    int rc = enter(v, SIM_CALL_UNLINK);
    const char *name;
    struct sim_inode *dir;
    struct sim_inode *n;

    if (rc < 0) {
        return rc;
    }
    dir = sim_disk_parent(&v->disk, path, &name);
    n = dir == NULL ? NULL : sim_dir_find(dir, name);
    if (n == NULL) {
        return -ENOENT;
    }
    if (n->kind == VFS_DIR) {
        return -EISDIR;
    }
    sim_disk_unlink(&v->disk, dir, name);
    return 0;
}

static int sim_mkdir(struct vfs *fs, const char *path)
{
    struct sim_vfs *v = vfs_of(fs);
    int rc = enter(v, SIM_CALL_MKDIR);
    const char *name;
    struct sim_inode *dir;

    if (rc < 0) {
        return rc;
    }
    dir = sim_disk_parent(&v->disk, path, &name);
    if (dir == NULL) {
        return -ENOENT;
    }
    if (sim_dir_find(dir, name) != NULL) {
        return -EEXIST;
    }
    sim_disk_create(&v->disk, dir, name, VFS_DIR);
    return 0;
}

static int sim_rmdir(struct vfs *fs, const char *path)
{
    struct sim_vfs *v = vfs_of(fs);
    int rc = enter(v, SIM_CALL_RMDIR);
    const char *name;
    struct sim_inode *dir;
    struct sim_inode *n;

    if (rc < 0) {
        return rc;
    }
    dir = sim_disk_parent(&v->disk, path, &name);
    n = dir == NULL ? NULL : sim_dir_find(dir, name);
    if (n == NULL) {
        return -ENOENT;
    }
    if (n->kind != VFS_DIR) {
        return -ENOTDIR;
    }
    if (n->seen.n > 0) {
        return -ENOTEMPTY;
    }
    sim_disk_unlink(&v->disk, dir, name);
    return 0;
}

static struct sim_inode *find_dir(const struct sim_vfs *v, const char *path)
{
    struct sim_inode *n = sim_disk_find(&v->disk, path);

    return n != NULL && n->kind == VFS_DIR ? n : NULL;
}

static int sim_sync_dir(struct vfs *fs, const char *path)
{
    struct sim_vfs *v = vfs_of(fs);
    int rc = enter(v, SIM_CALL_SYNC_DIR);
    struct sim_inode *dir;

    if (rc < 0) {
        return rc;
    }
    dir = find_dir(v, path);
    if (dir == NULL) {
        return -ENOENT;
    }
    if (!v->lying) {
        sim_disk_sync_dir(&v->disk, dir);
    }
    return 0;
}

static int sim_list(struct vfs *fs, const char *path, vfs_list_cb *cb,
                    void *arg)
{
    struct sim_vfs *v = vfs_of(fs);
    int rc = enter(v, SIM_CALL_LIST);
    struct sim_inode *dir;

    if (rc < 0) {
        return rc;
    }
    dir = find_dir(v, path);
    if (dir == NULL) {
        return -ENOENT;
    }
    for (size_t i = 0; i < dir->seen.n; i++) {
        cb(arg, dir->seen.items[i].name);
    }
    return 0;
}

static const struct vfs_ops sim_ops = {
    .open = sim_open,
    .stat = sim_stat,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .rmdir = sim_rmdir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
};

/* --- life cycle --- */

static struct sim_vfs *vfs_new(void)
{
    struct sim_vfs *v = xcalloc(1, sizeof(*v));

    v->base.ops = &sim_ops;
    v->capacity = UINT64_MAX;
    return v;
}

struct sim_vfs *sim_vfs_new(void)
{
    struct sim_vfs *v = vfs_new();

    sim_disk_init(&v->disk);
    return v;
}

struct sim_vfs *sim_vfs_clone(const struct sim_vfs *v)
{
    struct sim_vfs *copy = vfs_new();

    sim_disk_copy(&copy->disk, &v->disk);
    return copy;
}

void sim_vfs_free(struct sim_vfs *v)
{
    if (v == NULL) {
        return;
    }
    ASSERT(v->n_handles == 0);
    sim_disk_release(&v->disk);
    xfree(v);
}

struct vfs *sim_vfs_base(struct sim_vfs *v)
{
    return &v->base;
}

/* --- faults, counters, power --- */

void sim_vfs_fail(struct sim_vfs *v, struct sim_fault fault)
{
    ASSERT(fault.rc < 0);
    v->fault = fault;
    v->has_failed = false;
}

void sim_vfs_heal(struct sim_vfs *v)
{
    v->fault = (struct sim_fault){0};
    v->has_failed = false;
}

void sim_vfs_fail_once(struct sim_vfs *v, uint64_t k, int rc)
{
    ASSERT(k > 0);
    sim_vfs_fail(
        v, (struct sim_fault){.ops = SIM_CALLS_ALL, .after = k - 1, .rc = rc});
}

void sim_vfs_fail_from(struct sim_vfs *v, uint64_t k, int rc)
{
    ASSERT(k > 0);
    sim_vfs_fail(v, (struct sim_fault){.ops = SIM_CALLS_ALL,
                                       .after = k - 1,
                                       .rc = rc,
                                       .forever = true});
}

bool sim_vfs_has_failed(const struct sim_vfs *v)
{
    return v->has_failed;
}

void sim_vfs_set_capacity(struct sim_vfs *v, uint64_t bytes)
{
    v->capacity = bytes;
}

void sim_vfs_set_lying(struct sim_vfs *v, bool lying)
{
    v->lying = lying;
}

uint64_t sim_vfs_calls(const struct sim_vfs *v, uint32_t ops)
{
    uint64_t n = 0;

    for (int i = 0; i < N_OPS; i++) {
        n += (ops >> i & 1) != 0 ? v->calls[i] : 0;
    }
    return n;
}

uint64_t sim_vfs_unsynced(const struct sim_vfs *v, uint64_t *names)
{
    return sim_disk_unsynced(&v->disk, names);
}

uint64_t sim_vfs_handles(const struct sim_vfs *v)
{
    return v->n_handles;
}

void sim_vfs_crash_as(struct sim_vfs *v, const struct sim_crash *crash)
{
    sim_vfs_kill(v);
    sim_vfs_heal(v);
    sim_disk_crash(&v->disk, crash);
    v->off = false;
}

void sim_vfs_crash(struct sim_vfs *v, enum sim_crash_mode mode, struct rng *rng)
{
    struct sim_crash c = {.rng = rng};
    uint64_t names;
    uint64_t sectors = sim_vfs_unsynced(v, &names);

    switch (mode) {
    case SIM_CRASH_DROP:
        break;
    case SIM_CRASH_KEEP:
        c.data = SIM_KEEP_ALL;
        c.names = SIM_KEEP_ALL;
        break;
    case SIM_CRASH_TORN:
        c.data = SIM_KEEP_FIRST;
        c.data_n = rng_below(rng, sectors + 1);
        c.names = SIM_KEEP_FIRST;
        c.names_n = rng_below(rng, names + 1);
        break;
    case SIM_CRASH_SECTORS:
        c.data = SIM_KEEP_SOME;
        c.names = SIM_KEEP_SOME;
        break;
    }
    sim_vfs_crash_as(v, &c);
}

void sim_vfs_power_off(struct sim_vfs *v)
{
    sim_vfs_kill(v);
    v->off = true;
}

void sim_vfs_kill(struct sim_vfs *v)
{
    v->epoch++;
    for (size_t i = 0; i < v->disk.n_nodes; i++) {
        v->disk.nodes[i]->owner = NULL;
    }
}

/* --- looking and meddling --- */

static struct sim_inode *find_file(const struct sim_vfs *v, const char *path)
{
    struct sim_inode *n = sim_disk_find(&v->disk, path);

    return n != NULL && n->kind == VFS_FILE ? n : NULL;
}

static struct sim_inode *must_find(const struct sim_vfs *v, const char *path)
{
    struct sim_inode *n = find_file(v, path);

    ASSERT(n != NULL);
    return n;
}

/* The directory `path` with all above it, durable. */
static struct sim_inode *make_dirs(struct sim_vfs *v, const char *path)
{
    struct sim_inode *n = find_dir(v, path);
    struct sim_inode *parent;
    const char *name;
    char *above;

    if (n != NULL) {
        return n;
    }
    above = vfs_parent(path);
    parent = make_dirs(v, above);
    xfree(above);
    (void)sim_disk_parent(&v->disk, path, &name);
    n = sim_disk_create(&v->disk, parent, name, VFS_DIR);
    sim_disk_sync_dir(&v->disk, parent);
    return n;
}

void sim_vfs_put(struct sim_vfs *v, const char *path, struct bytes content)
{
    struct sim_inode *n = find_file(v, path);

    if (n == NULL) {
        char *above = vfs_parent(path);
        struct sim_inode *dir = make_dirs(v, above);
        const char *name;

        xfree(above);
        (void)sim_disk_parent(&v->disk, path, &name);
        n = sim_disk_create(&v->disk, dir, name, VFS_FILE);
        sim_disk_sync_dir(&v->disk, dir);
    }
    sim_file_truncate(n, 0);
    sim_file_write(n, content.data, content.len, 0);
    sim_file_sync(n);
}

uint8_t *sim_vfs_get(const struct sim_vfs *v, const char *path, size_t *len)
{
    struct sim_inode *n = find_file(v, path);
    uint8_t *p;

    *len = 0;
    if (n == NULL) {
        return NULL;
    }
    p = xmalloc((size_t)n->cur.size);
    *len = sim_file_read(n, p, (size_t)n->cur.size, 0);
    return p;
}

int64_t sim_vfs_size(const struct sim_vfs *v, const char *path)
{
    struct sim_inode *n = find_file(v, path);

    return n == NULL ? -1 : (int64_t)n->cur.size;
}

void sim_vfs_set(struct sim_vfs *v, const char *path, uint64_t off,
                 struct bytes content)
{
    struct sim_inode *n = must_find(v, path);

    sim_file_write(n, content.data, content.len, off);
    sim_file_sync(n);
}

void sim_vfs_flip(struct sim_vfs *v, const char *path, uint64_t off,
                  uint8_t mask)
{
    uint8_t c;
    size_t n = sim_file_read(must_find(v, path), &c, 1, off);

    ASSERT(n == 1);
    c ^= mask;
    sim_vfs_set(v, path, off, (struct bytes){&c, 1});
}

void sim_vfs_zero(struct sim_vfs *v, const char *path, uint64_t off,
                  uint64_t len)
{
    uint8_t *zeros = xcalloc(1, (size_t)len);

    sim_vfs_set(v, path, off, (struct bytes){zeros, (size_t)len});
    xfree(zeros);
}

void sim_vfs_cut(struct sim_vfs *v, const char *path, uint64_t len)
{
    struct sim_inode *n = must_find(v, path);

    sim_file_truncate(n, len);
    sim_file_sync(n);
}

void sim_vfs_remove(struct sim_vfs *v, const char *path)
{
    const char *name;
    struct sim_inode *dir = sim_disk_parent(&v->disk, path, &name);

    ASSERT(dir != NULL);
    sim_disk_unlink(&v->disk, dir, name);
    sim_disk_sync_dir(&v->disk, dir);
}

void sim_vfs_move(struct sim_vfs *v, const char *from, const char *to)
{
    int rc = do_rename(v, from, to);
    char *above = vfs_parent(to);

    ASSERT(rc == 0);
    sim_disk_sync_dir(&v->disk, find_dir(v, above));
    xfree(above);
}

static void add_name(void *arg, const char *name)
{
    struct vfs_names *l = arg;

    l->names = xrealloc_array(l->names, l->n + 1, sizeof(l->names[0]));
    l->names[l->n++] = xstrdup(name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_of(const struct sim_inode *dir, struct vfs_names *out)
{
    *out = (struct vfs_names){0};
    for (size_t i = 0; i < dir->seen.n; i++) {
        add_name(out, dir->seen.items[i].name);
    }
    if (out->n > 1) {
        qsort(out->names, out->n, sizeof(out->names[0]), compare_names);
    }
}

void sim_vfs_names(const struct sim_vfs *v, const char *dir,
                   struct vfs_names *out)
{
    struct sim_inode *n = find_dir(v, dir);

    *out = (struct vfs_names){0};
    if (n != NULL) {
        names_of(n, out);
    }
}

static uint32_t hash_node(const struct sim_inode *n, uint32_t h)
{
    struct vfs_names names;

    if (n->kind == VFS_FILE) {
        size_t filled = n->cur.filled;

        /* Zeros at the end are the same whether they take memory or not. */
        while (filled > 0 && n->cur.data[filled - 1] == 0) {
            filled--;
        }
        h = crc32c(h, &n->cur.size, sizeof(n->cur.size));
        return crc32c(h, n->cur.data, filled);
    }
    names_of(n, &names);
    for (size_t i = 0; i < names.n; i++) {
        h = crc32c(h, names.names[i], strlen(names.names[i]) + 1);
        h = hash_node(sim_dir_find(n, names.names[i]), h);
    }
    vfs_names_release(&names);
    return h;
}

uint32_t sim_vfs_hash(const struct sim_vfs *v, const char *path)
{
    struct sim_inode *n = sim_disk_find(&v->disk, path);

    return n == NULL ? 0 : hash_node(n, 1);
}

static void dump_node(const struct sim_inode *n, const char *path, FILE *out)
{
    struct vfs_names names;

    if (n->kind == VFS_FILE) {
        fprintf(out,
                "%s: %" PRIu64 " bytes, %zu in use, %zu sectors unsynced\n",
                path, n->cur.size, n->cur.filled, n->n_dirty);
        return;
    }
    names_of(n, &names);
    for (size_t i = 0; i < names.n; i++) {
        char *below = vfs_join(path, names.names[i]);

        dump_node(sim_dir_find(n, names.names[i]), below, out);
        xfree(below);
    }
    vfs_names_release(&names);
}

void sim_vfs_dump(const struct sim_vfs *v, FILE *out)
{
    dump_node(v->disk.root, ".", out);
}
