/* Helpers on top of the file seam: the same for every implementation. */

#include "src/os/vfs.h"

#include <errno.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"

/* What is given back at once. */
#define GIVE_BACK_BYTES (1 * MiB)

int vfs_read_file(struct vfs *fs, const char *path, size_t max, uint8_t **data,
                  size_t *len, struct errmsg *em)
{
    struct vfs_file *f;
    uint8_t *p;
    int64_t n;
    int rc = vfs_open(fs, path, VFS_READ, &f);

    if (rc < 0) {
        return errmsg_set(em, rc, "open %s", path);
    }
    n = vfs_size(f);
    if (n < 0) {
        rc = errmsg_set(em, (int)n, "size of %s", path);
        goto err_close;
    }
    if ((uint64_t)n > max) {
        rc = errmsg_set(em, ERR_TOO_LARGE, "read %s", path);
        goto err_close;
    }
    p = xmalloc((size_t)n);
    n = vfs_pread(f, p, (size_t)n, 0);
    if (n < 0) {
        rc = errmsg_set(em, (int)n, "read %s", path);
        xfree(p);
        goto err_close;
    }
    vfs_close(f);
    *data = p;
    *len = (size_t)n;
    return 0;

err_close:
    vfs_close(f);
    return rc;
}

bool vfs_exists(struct vfs *fs, const char *path)
{
    enum vfs_kind kind;

    return vfs_stat(fs, path, &kind) != -ENOENT;
}

char *vfs_join(const char *dir, const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

char *vfs_parent(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    while (n > 0 && path[n - 1] != '/') {
        n--;
    }
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    return n == 0 ? xstrdup(".") : xasprintf("%.*s", (int)n, path);
}

int vfs_sync_parent(struct vfs *fs, const char *path, struct errmsg *em)
{
    char *parent = vfs_parent(path);
    int rc = vfs_sync_dir(fs, parent);

    if (rc < 0) {
        errmsg_set(em, rc, "sync directory %s", parent);
    }
    xfree(parent);
    return rc;
}

void vfs_give_back(struct vfs_file *f, struct vfs_rest rest)
{
    int64_t size = vfs_size(f);
    uint64_t left = size < 0 ? 0 : (uint64_t)size;

    while (left > 0) {
        left -= min_u64(left, GIVE_BACK_BYTES);
        if (vfs_truncate(f, left) < 0) {
            return;
        }
        if (rest.fn != NULL) {
            rest.fn(rest.ctx);
        }
    }
}

struct collected {
    struct vfs_names *out;
    size_t cap;
};

static void collect(void *arg, const char *name)
{
    struct collected *c = arg;

    if (c->out->n == c->cap) {
        c->cap = grow_cap(c->cap, c->out->n + 1);
        c->out->names =
            xrealloc_array(c->out->names, c->cap, sizeof(c->out->names[0]));
    }
    c->out->names[c->out->n++] = xstrdup(name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int vfs_list_sorted(struct vfs *fs, const char *dir, struct vfs_names *out)
{
    struct collected c = {.out = out};
    int rc;

    *out = (struct vfs_names){0};
    rc = vfs_list(fs, dir, collect, &c);
    if (rc < 0) {
        vfs_names_release(out);
        return rc;
    }
    if (out->n > 1) {
        qsort(out->names, out->n, sizeof(out->names[0]), compare_names);
    }
    return 0;
}

void vfs_names_release(struct vfs_names *names)
{
    for (size_t i = 0; i < names->n; i++) {
        xfree(names->names[i]);
    }
    xfree(names->names);
    *names = (struct vfs_names){0};
}
