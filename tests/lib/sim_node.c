/* A node on a simulated machine. sim_node.h has the contract. */

#include "tests/lib/sim_node.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/server/storage.h"

/* --- peers --- */

/* A snapshot comes out of its file. */
static void send_snapshot(struct sim_node *from, const struct raft_message *m)
{
    struct raft_message copy;
    struct raft_snapshot *loaded;
    struct errmsg em = {{0}};

    if (raft_snapshot_load(m->snapshot, &loaded, &em) < 0) {
        raftnode_report_snapshot(from->node, m->to, false);
        return;
    }
    raft_message_copy(&copy, m);
    raft_snapshot_unref(copy.snapshot);
    copy.snapshot = loaded;
    from->hooks.send(from->hooks.ctx, from, &copy);
    raft_message_release(&copy);
}

static void net_send(void *ctx, const struct raft_message *messages, size_t n)
{
    struct sim_node *from = ctx;

    for (size_t i = 0; i < n; i++) {
        const struct raft_message *m = &messages[i];

        if (m->to == 0 || m->to > SIM_NODES_MAX ||
            !(from->peers[m->to] || from->remotes[m->to])) {
            continue;
        }
        if (m->type == RAFT_MSG_SNAP) {
            send_snapshot(from, m);
        } else {
            from->hooks.send(from->hooks.ctx, from, m);
        }
    }
}

static void net_add(void *ctx, uint64_t id, const char *url)
{
    struct sim_node *n = ctx;

    (void)url;
    ASSERT(id >= 1 && id <= SIM_NODES_MAX);
    n->peers[id] = true;
    n->remotes[id] = false;
}

static void net_remove(void *ctx, uint64_t id)
{
    struct sim_node *n = ctx;

    if (id <= SIM_NODES_MAX) {
        n->peers[id] = n->remotes[id] = false;
    }
}

static char *net_check_url(void *ctx, struct bytes url)
{
    (void)ctx;
    if (url.len < 8 || memcmp(url.data, "http://", 7) != 0) {
        return NULL;
    }
    return xasprintf("%.*s", (int)url.len, (const char *)url.data);
}

void sim_node_hear(struct sim_node *n, uint64_t from)
{
    ASSERT(from != n->id);
    n->remotes[from] = !n->peers[from] && !raftnode_was_removed(n->node, from);
}

void sim_node_dial(struct sim_node *n, const struct sim_node *peer)
{
    if (n->peers[peer->id] && peer->node != NULL &&
        raftnode_was_removed(peer->node, n->id)) {
        raftnode_report_removed(n->node, peer->id);
    }
}

/* --- disk --- */

static void note_written(void *arg, int rc, bool fatal, const struct errmsg *em)
{
    *(struct sim_written *)arg = (struct sim_written){rc, fatal, *em};
}

static void held_submit(void *ctx, const struct raftnode_write *w,
                        raftnode_written_cb *done, void *arg)
{
    struct sim_node *n = ctx;

    ASSERT(n->held.done == NULL); /* one submission at a time */
    if (n->hooks.submit != NULL) {
        n->hooks.submit(n->hooks.ctx, n, w);
    }
    n->held = (struct sim_write){.w = *w, .done = done, .arg = arg};
    if (!n->held_writes) {
        (void)sim_node_write(n);
        sim_node_tell(n);
    }
}

static int append_piece(void *arg, struct bytes piece)
{
    return piece.len == 0 ? 0 : buf_append(arg, piece.data, piece.len);
}

struct raft_snapshot *sim_node_file_content(const struct sim_node *n)
{
    const struct sim_file *f = &n->held_file;
    struct raft_snapshot *full;
    struct buf data;
    int rc;

    if (f->done == NULL || f->own == NULL) {
        return NULL;
    }
    buf_init(&data, BUF_UNLIMITED);
    rc = f->content.write(f->content.ctx, append_piece, &data);
    ASSERT(rc == 0);
    full = raft_snapshot_head(f->own);
    full->data = buf_detach(&data, &full->len);
    return full;
}

static void hold_file(struct sim_node *n, const struct sim_file *f)
{
    ASSERT(n->held_file.done == NULL);
    n->held_file = *f;
    if (n->hooks.file != NULL) {
        n->hooks.file(n->hooks.ctx, n);
    }
    if (!n->held_writes) {
        (void)sim_node_file(n);
        sim_node_tell_filed(n);
    }
}

static void held_save_snapshot(void *ctx, const struct raft_snapshot *snap,
                               const struct snapshot_content *content,
                               raftnode_written_cb *done, void *arg)
{
    hold_file(ctx, &(struct sim_file){snap, *content, done, arg});
}

static void held_compact(void *ctx, raftnode_written_cb *done, void *arg)
{
    hold_file(ctx, &(struct sim_file){.done = done, .arg = arg});
}

static int open_snapshot(void *ctx, uint64_t term, uint64_t index,
                         struct raft_snapshot_source **out, struct errmsg *em)
{
    struct sim_node *n = ctx;

    return n->seam.open_snapshot(n->seam.ctx, term, index, out, em);
}

bool sim_node_write(struct sim_node *n)
{
    if (n->node == NULL || n->held.done == NULL) {
        return false;
    }
    n->seam.submit(n->seam.ctx, &n->held.w, note_written, &n->written);
    return true;
}

void sim_node_tell(struct sim_node *n)
{
    struct sim_write held = n->held;

    ASSERT(held.done != NULL);
    n->held = (struct sim_write){0};
    held.done(held.arg, n->written.rc, n->written.fatal, &n->written.em);
}

bool sim_node_file(struct sim_node *n)
{
    const struct sim_file *f = &n->held_file;

    if (n->node == NULL || f->done == NULL) {
        return false;
    }
    if (f->own != NULL) {
        n->seam.save_snapshot(n->seam.ctx, f->own, &f->content, note_written,
                              &n->filed);
    } else {
        n->seam.compact(n->seam.ctx, note_written, &n->filed);
    }
    return true;
}

void sim_node_tell_filed(struct sim_node *n)
{
    struct sim_file held = n->held_file;

    ASSERT(held.done != NULL);
    n->held_file = (struct sim_file){0};
    held.done(held.arg, n->filed.rc, n->filed.fatal, &n->filed.em);
}

/* --- life --- */

static void on_line(void *ctx, enum log_level level, const char *line)
{
    struct sim_node *n = ctx;

    if (level == LOG_FATAL) {
        (void)fprintf(stderr, "fatal: %s\n", line);
    }
    if (level >= LOG_WARN) {
        (void)snprintf(n->last_error, sizeof(n->last_error), "%s", line);
    }
    if (n->hooks.line != NULL) {
        n->hooks.line(n->hooks.ctx, n, level, line);
    }
}

void sim_node_url(uint64_t id, char out[64])
{
    (void)snprintf(out, 64, "http://10.0.0.%d:2380", (int)id);
}

void sim_node_init(struct sim_node *n, uint64_t id,
                   const struct sim_node_hooks *hooks)
{
    ASSERT(id >= 1 && id <= SIM_NODES_MAX);
    *n = (struct sim_node){.hooks = *hooks, .id = id};
    n->lg =
        (struct logger){hooks->line == NULL ? LOG_WARN : LOG_INFO, on_line, n};
    sim_node_url(id, n->url);
    n->disk = sim_vfs_new();
}

void sim_node_release(struct sim_node *n)
{
    ASSERT(n->node == NULL);
    sim_vfs_free(n->disk);
}

int sim_node_open(struct sim_node *n, uint64_t segment_bytes,
                  struct raftnode_recovered *found, struct errmsg *em)
{
    struct storage_options so = {
        .fs = sim_vfs_base(n->disk),
        .lg = &n->lg,
        .wal_dir = "wal",
        .snap_dir = "snap",
        .segment_bytes = segment_bytes,
    };

    ASSERT(n->node == NULL && n->storage == NULL);
    return storage_open(&so, &n->storage, found, em);
}

int sim_node_run(struct sim_node *n, const struct sim_node_options *o,
                 struct raftnode_recovered *found, struct errmsg *em)
{
    struct raftnode_peer cluster[SIM_NODES_MAX];
    char urls[SIM_NODES_MAX][64];
    struct raftnode_config cfg = {
        .id = n->id,
        .join = o->join,
        .peers = cluster,
        .n_peers = n->id > o->n_cluster ? (size_t)n->id : o->n_cluster,
        .election_ticks = o->election_ticks,
        .heartbeat_ticks = 1,
        .snapshot_count = o->snapshot_count,
        .snapshot_catchup_entries = o->catchup_entries,
        .request_timeout_ticks = o->request_timeout_ticks,
        .seed = o->seed,
        .id_base = o->id_base,
        .lg = &n->lg,
        .peers_seam = {n, net_send, net_add, net_remove, net_add,
                       net_check_url},
        .storage_seam = {n, held_submit, held_save_snapshot, held_compact,
                         open_snapshot},
    };
    int rc;

    memset(n->peers, 0, sizeof(n->peers));
    memset(n->remotes, 0, sizeof(n->remotes));
    n->held = (struct sim_write){0};
    n->held_file = (struct sim_file){0};
    n->seam = storage_seam(n->storage);
    for (size_t i = 0; i < cfg.n_peers; i++) {
        sim_node_url(i + 1, urls[i]);
        cluster[i] = (struct raftnode_peer){i + 1, urls[i]};
    }
    rc = raftnode_new(&cfg, found, &n->node, em);
    if (rc < 0) {
        sim_node_close(n);
    }
    return rc;
}

void sim_node_close(struct sim_node *n)
{
    raftnode_free(n->node);
    n->node = NULL;
    n->held = (struct sim_write){0};
    n->held_file = (struct sim_file){0};
    (void)storage_close(n->storage, NULL);
    n->storage = NULL;
}
