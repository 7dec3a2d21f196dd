/* Whole clusters in one process. sim_cluster.h has the contract. */

#include "tests/lib/sim_cluster.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/kv/kvstore.h"
#include "tests/lib/cmocka.h"

#define SETTLE_ROUNDS_MAX 100000

/* A message on the wire, in its encoded form: so every run proves the codec. */
struct sim_packet {
    struct list link;
    uint64_t from;
    uint64_t to;
    size_t len;
    uint8_t data[];
};

static struct sim_node *node_of(struct sim_cluster *c, uint64_t id)
{
    ASSERT(id >= 1 && id <= SIM_NODES_MAX);
    return &c->nodes[id];
}

/* --- the network --- */

static void on_send(void *ctx, struct sim_node *from,
                    const struct raft_message *m)
{
    struct sim_cluster *c = ctx;
    size_t len = raft_message_size(m);
    struct sim_packet *p = xmalloc(sizeof(*p) + len);

    p->from = from->id;
    p->to = m->to;
    p->len = len;
    assert_ptr_equal(raft_message_encode(m, p->data), p->data + len);
    list_push_back(&c->wire, &p->link);
}

/* A node that is down or cut off is reported, as the transport would. */
static void deliver(struct sim_cluster *c, struct sim_packet *p)
{
    struct sim_node *to = node_of(c, p->to);
    struct sim_node *from = node_of(c, p->from);
    struct raft_message m = {0};
    bool lost = to->node == NULL || c->cut[p->from][p->to];

    assert_int_equal(raft_message_decode((struct bytes){p->data, p->len}, &m),
                     0);
    if (!lost) {
        sim_node_hear(to, p->from);
        (void)raftnode_step(to->node, &m);
    } else if (from->node != NULL) {
        raftnode_report_unreachable(from->node, p->to);
    }
    if (m.type == RAFT_MSG_SNAP && from->node != NULL) {
        raftnode_report_snapshot(from->node, p->to, !lost);
    }
    raft_message_release(&m);
}

void sim_isolate(struct sim_cluster *c, uint64_t id, bool cut)
{
    for (uint64_t other = 1; other <= SIM_NODES_MAX; other++) {
        c->cut[id][other] = cut;
        c->cut[other][id] = cut;
    }
}

/* --- life --- */

static void print_line(void *ctx, struct sim_node *n, enum log_level level,
                       const char *line)
{
    (void)ctx;
    print_message("node %d: %s %s\n", (int)n->id, log_level_name(level), line);
}

void sim_cluster_init(struct sim_cluster *c, const struct sim_options *o)
{
    *c = (struct sim_cluster){.o = *o};
    rng_seed(&c->rng, o->seed);
    list_init(&c->wire);
    struct sim_node_hooks hooks = {
        .ctx = c,
        .send = on_send,
        .line = getenv("SIM_LOG") == NULL ? NULL : print_line,
    };
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        sim_node_init(&c->nodes[id], id, &hooks);
        c->nodes[id].held_writes = o->late_writes;
        list_init(&c->ops[id]);
    }
}

static void end_ops(struct sim_cluster *c, struct sim_node *n)
{
    struct list *it;

    while ((it = list_pop_front(&c->ops[n->id])) != NULL) {
        struct sim_op *op = container_of(it, struct sim_op, link);

        raftnode_cancel(n->node, &op->req);
        op->done = true;
        op->rc = ERR_OUTCOME_UNKNOWN;
    }
}

void sim_cluster_release(struct sim_cluster *c)
{
    struct list *it;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (c->nodes[id].node != NULL) {
            sim_stop(c, id);
        }
        sim_node_release(&c->nodes[id]);
    }
    while ((it = list_pop_front(&c->wire)) != NULL) {
        xfree(container_of(it, struct sim_packet, link));
    }
}

int sim_start(struct sim_cluster *c, uint64_t id, bool join, struct errmsg *em)
{
    struct sim_node *n = node_of(c, id);
    struct sim_node_options o = {
        .join = join,
        .n_cluster = c->o.n,
        .election_ticks = 10,
        .snapshot_count =
            c->o.snapshot_count == 0 ? 10000 : c->o.snapshot_count,
        .catchup_entries = c->o.catchup_entries,
        .request_timeout_ticks =
            c->o.request_timeout_ticks == 0 ? 50 : c->o.request_timeout_ticks,
        .seed = rng_next(&c->rng),
        .id_base = ++c->starts << 24,
    };
    struct raftnode_recovered found;
    int rc;

    rc = sim_node_open(n, c->o.segment_bytes == 0 ? 65536 : c->o.segment_bytes,
                       &found, em);
    if (rc < 0) {
        return rc;
    }
    return sim_node_run(n, &o, &found, em);
}

void sim_start_all(struct sim_cluster *c)
{
    for (uint64_t id = 1; id <= c->o.n; id++) {
        struct errmsg em = {{0}};

        if (sim_start(c, id, false, &em) < 0) {
            fail_msg("node %d: %s", (int)id, em.text);
        }
    }
}

void sim_stop(struct sim_cluster *c, uint64_t id)
{
    struct sim_node *n = node_of(c, id);

    ASSERT(n->node != NULL);
    raftnode_stop(n->node);
    sim_node_close(n);
}

void sim_crash(struct sim_cluster *c, uint64_t id, enum sim_crash_mode mode)
{
    struct sim_node *n = node_of(c, id);

    ASSERT(n->node != NULL);
    end_ops(c, n);
    sim_vfs_power_off(n->disk);
    sim_node_close(n);
    sim_vfs_crash(n->disk, mode, &c->rng);
}

/* --- time --- */

/* A held write ends a round after it was asked for. */
static bool end_write(struct sim_node *n)
{
    bool ended = sim_node_write(n);
    bool filed = sim_node_file(n);

    if (ended) {
        sim_node_tell(n);
    }
    if (filed) {
        sim_node_tell_filed(n);
    }
    return ended || filed;
}

bool sim_round(struct sim_cluster *c)
{
    struct list wire;
    struct list *it;
    bool moved = false;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (c->nodes[id].node != NULL) {
            moved = end_write(&c->nodes[id]) || moved;
            raftnode_process(c->nodes[id].node);
            moved = c->nodes[id].held.done != NULL ||
                    c->nodes[id].held_file.done != NULL || moved;
        }
    }
    list_init(&wire);
    list_splice(&wire, &c->wire);
    moved = !list_is_empty(&wire) || moved;
    while ((it = list_pop_front(&wire)) != NULL) {
        struct sim_packet *p = container_of(it, struct sim_packet, link);

        deliver(c, p);
        xfree(p);
    }
    return moved;
}

void sim_settle(struct sim_cluster *c)
{
    for (unsigned i = 0; sim_round(c); i++) {
        assert_true(i < SETTLE_ROUNDS_MAX);
    }
}

static void dial_all(struct sim_cluster *c, struct sim_node *n)
{
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (!c->cut[n->id][id] && !c->cut[id][n->id]) {
            sim_node_dial(n, &c->nodes[id]);
        }
    }
}

void sim_run(struct sim_cluster *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
            if (c->nodes[id].node != NULL) {
                raftnode_tick(c->nodes[id].node);
                dial_all(c, &c->nodes[id]);
            }
        }
        sim_settle(c);
    }
}

static bool is_cut_off(const struct sim_cluster *c, uint64_t id)
{
    return c->cut[id][id];
}

static uint64_t agreed_leader(const struct sim_cluster *c)
{
    uint64_t leader = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct sim_node *n = &c->nodes[id];

        if (n->node == NULL || is_cut_off(c, id)) {
            continue;
        }
        if (raftnode_leader(n->node) == 0 ||
            (leader != 0 && raftnode_leader(n->node) != leader)) {
            return 0;
        }
        leader = raftnode_leader(n->node);
    }
    if (leader == 0 || is_cut_off(c, leader) || c->nodes[leader].node == NULL ||
        !raftnode_is_leader(c->nodes[leader].node)) {
        return 0;
    }
    return leader;
}

uint64_t sim_elect(struct sim_cluster *c)
{
    for (unsigned i = 0; i < 200; i++) {
        uint64_t leader = agreed_leader(c);

        if (leader != 0) {
            return leader;
        }
        sim_run(c, 1);
    }
    return 0;
}

/* --- operations --- */

static void on_op_done(struct request *req, int rc, struct bytes value)
{
    struct sim_op *op = container_of(req, struct sim_op, req);

    list_remove(&op->link);
    op->done = true;
    op->rc = rc;
    if (rc == 0 && req->kind == REQUEST_GET) {
        op->value = xmemdup(value.data, value.len);
        op->value_len = value.len;
    }
}

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static struct sim_op *begin_op(struct sim_cluster *c, struct sim_node *n,
                               struct sim_op *op)
{
    list_init(&op->link);
    list_push_back(&c->ops[n->id], &op->link);
    raftnode_submit(n->node, &op->req);
    return op;
}

struct sim_op *sim_put(struct sim_cluster *c, uint64_t id, const char *key,
                       const char *value)
{
    struct sim_node *n = node_of(c, id);
    struct sim_op *op = xcalloc(1, sizeof(*op));

    raftnode_init_put(n->node, &op->req, text(key), text(value), false,
                      on_op_done);
    return begin_op(c, n, op);
}

struct sim_op *sim_get(struct sim_cluster *c, uint64_t id, const char *key)
{
    struct sim_node *n = node_of(c, id);
    struct sim_op *op = xcalloc(1, sizeof(*op));

    raftnode_init_get(n->node, &op->req, text(key), on_op_done);
    return begin_op(c, n, op);
}

struct sim_op *sim_member(struct sim_cluster *c, uint64_t id,
                          enum request_kind kind, uint64_t member,
                          const char *url)
{
    struct sim_node *n = node_of(c, id);
    struct sim_op *op = xcalloc(1, sizeof(*op));

    raftnode_init_member(n->node, &op->req, kind, member, url, on_op_done);
    return begin_op(c, n, op);
}

void sim_op_free(struct sim_cluster *c, struct sim_op *op)
{
    if (!op->done) {
        for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
            list_for_each (it, &c->ops[id]) {
                if (it == &op->link) {
                    raftnode_cancel(c->nodes[id].node, &op->req);
                    break;
                }
            }
        }
        list_remove(&op->link);
    }
    xfree(op->value);
    xfree(op);
}

static int finish_op(struct sim_cluster *c, struct sim_op *op)
{
    int rc;

    sim_settle(c);
    for (unsigned i = 0; i < 500 && !op->done; i++) {
        sim_run(c, 1);
    }
    assert_true(op->done);
    rc = op->rc;
    sim_op_free(c, op);
    return rc;
}

int sim_put_now(struct sim_cluster *c, uint64_t id, const char *key,
                const char *value)
{
    return finish_op(c, sim_put(c, id, key, value));
}

int sim_member_now(struct sim_cluster *c, uint64_t id, enum request_kind kind,
                   uint64_t member)
{
    const char *url =
        kind == REQUEST_ADD_MEMBER ? node_of(c, member)->url : NULL;

    return finish_op(c, sim_member(c, id, kind, member, url));
}

void sim_expect(struct sim_cluster *c, uint64_t id, const char *key,
                const char *value)
{
    struct sim_op *op = sim_get(c, id, key);

    sim_settle(c);
    for (unsigned i = 0; i < 500 && !op->done; i++) {
        sim_run(c, 1);
    }
    if (!op->done || op->rc != 0 || op->value_len != strlen(value) ||
        memcmp(op->value, value, op->value_len) != 0) {
        fail_msg("%s at node %d: %s, not \"%s\"", key, (int)id,
                 op->done ? err_str(op->rc) : "no answer", value);
    }
    sim_op_free(c, op);
}

void sim_expect_equal_maps(struct sim_cluster *c)
{
    struct buf first;
    struct buf other;
    bool have = false;

    buf_init(&first, BUF_UNLIMITED);
    buf_init(&other, BUF_UNLIMITED);
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        struct buf *b = have ? &other : &first;

        if (c->nodes[id].node == NULL) {
            continue;
        }
        buf_reset(b);
        assert_int_equal(kvstore_snapshot(raftnode_store(c->nodes[id].node), b),
                         0);
        if (have) {
            assert_int_equal(first.len, other.len);
            assert_memory_equal(first.data, other.data, first.len);
        }
        have = true;
    }
    buf_release(&first);
    buf_release(&other);
}
