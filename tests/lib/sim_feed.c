/* See sim_feed.h. */

#include "tests/lib/sim_feed.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/kv/command.h"
#include "src/kv/kvstore.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"

struct bytes sim_text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* --- entries --- */

struct raft_entry *sim_put_entry(const char *key, const char *value,
                                 uint64_t id)
{
    struct kv_command cmd = {sim_text(key), sim_text(value), id};
    struct raft_entry *e =
        raft_entry_alloc(RAFT_ENTRY_NORMAL, kv_command_size(&cmd));

    (void)kv_command_encode(&cmd, e->data);
    return e;
}

struct raft_entry *sim_change_entry(const struct conf_change *cc)
{
    struct raft_entry *e;
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_int_equal(conf_change_encode(cc, &b), 0);
    e = raft_entry_new(RAFT_ENTRY_CONF_CHANGE, buf_bytes(&b));
    buf_release(&b);
    return e;
}

struct raft_entry *sim_change_v2_entry(const struct conf_change_v2 *cc)
{
    struct raft_entry *e;
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_int_equal(conf_change_v2_encode(cc, &b), 0);
    e = raft_entry_new(RAFT_ENTRY_CONF_CHANGE_V2, buf_bytes(&b));
    buf_release(&b);
    return e;
}

/* --- into a node --- */

struct sim_cluster *sim_alone(struct sim_cluster *c)
{
    sim_cluster_init(c, &(struct sim_options){.n = 1, .seed = 1});
    sim_start_all(c);
    assert_int_equal(sim_elect(c), 1);
    return c;
}

void sim_commit_alone(struct sim_cluster *c, struct raft_entry *e)
{
    c->nodes[1].last_error[0] = '\0';
    assert_int_equal(rawnode_propose(c->nodes[1].node->raw, e), 0);
    sim_settle(c);
}

void sim_change_alone(struct sim_cluster *c, uint64_t type, uint64_t id,
                      const char *context)
{
    struct conf_change cc = {.type = type, .node_id = id};

    if (context != NULL) {
        cc.context = sim_text(context);
    }
    sim_commit_alone(c, sim_change_entry(&cc));
}

void sim_feed(struct sim_cluster *c, struct raft_entry **entries, size_t n)
{
    struct raftnode *node = c->nodes[1].node;
    struct raft_message m = {
        .type = RAFT_MSG_APP, .to = 1, .from = 2, .term = SIM_FEED_TERM};
    int rc;

    sim_settle(c);
    m.index = memory_storage_last_index(&node->log);
    rc = node->log.base.ops->term(&node->log.base, m.index, &m.log_term);
    assert_int_equal(rc, 0);
    m.commit = m.index + n;
    for (size_t i = 0; i < n; i++) {
        entries[i]->term = SIM_FEED_TERM;
        entries[i]->index = m.index + 1 + i;
        raft_entries_take(&m.entries, entries[i]);
    }
    assert_int_equal(raftnode_step(node, &m), 0);
    raft_message_release(&m);
    raftnode_process(node);
}

struct raft_snapshot *sim_snapshot(uint64_t index, uint64_t term,
                                   const char *image, uint64_t voters)
{
    struct raft_snapshot *snap = raft_snapshot_new();

    snap->index = index;
    snap->term = term;
    snap->data = xmemdup(image, strlen(image));
    snap->len = strlen(image);
    for (uint64_t id = 1; id <= voters; id++) {
        id_list_push(&snap->conf_state.voters, id);
    }
    return snap;
}

int sim_feed_snapshot(struct sim_cluster *c, struct raft_snapshot *snap)
{
    struct raft_message m = {.type = RAFT_MSG_SNAP,
                             .to = 1,
                             .from = 2,
                             .term = SIM_FEED_TERM,
                             .snapshot = snap};
    int rc = raftnode_step(c->nodes[1].node, &m);

    raft_message_release(&m);
    raftnode_process(c->nodes[1].node);
    return rc;
}

/* --- looking --- */

static void tell(struct sim_told *t, const char *what, uint64_t id,
                 const char *url)
{
    size_t at = strlen(t->lines);

    (void)snprintf(t->lines + at, sizeof(t->lines) - at, "%s %d%s%s\n", what,
                   (int)id, url == NULL ? "" : " ", url == NULL ? "" : url);
}

static void told_add(void *ctx, uint64_t id, const char *url)
{
    tell(ctx, "add", id, url);
}

static void told_remove(void *ctx, uint64_t id)
{
    tell(ctx, "remove", id, NULL);
}

static void told_update(void *ctx, uint64_t id, const char *url)
{
    tell(ctx, "update", id, url);
}

static void told_send(void *ctx, const struct raft_message *messages, size_t n)
{
    (void)ctx;
    (void)messages;
    (void)n;
}

void sim_listen(struct sim_cluster *c, uint64_t id, struct sim_told *t)
{
    struct raftnode_peers *peers = &c->nodes[id].node->peers;

    *t = (struct sim_told){{0}};
    peers->ctx = t;
    peers->send = told_send;
    peers->add = told_add;
    peers->remove = told_remove;
    peers->update = told_update;
}

void sim_expect_running(struct sim_cluster *c, uint64_t id)
{
    const char *why;

    if (raftnode_condition(c->nodes[id].node, &why) != RAFTNODE_RUNNING) {
        fail_msg("node %d stopped: %s", (int)id, why);
    }
}

const char *sim_member_url(const struct sim_cluster *c, uint64_t at,
                           uint64_t id)
{
    return kvstore_member_url(raftnode_store(c->nodes[at].node), id);
}
