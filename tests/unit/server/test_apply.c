/* Goal: entries and snapshots do to the map, the members and the requests what
 * they say; what says nothing sensible changes nothing; what cannot be read
 * stops the node. Method: nodes of a cluster in one process, fed with entries
 * as a Go node or a broken leader could have put them into the log. */

#include "src/kv/command.h"
#include "src/kv/kvstore.h"
#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_cluster.h"

static struct sim_cluster cluster;

static struct sim_cluster *begin(const struct sim_options *o)
{
    sim_cluster_init(&cluster, o);
    sim_start_all(&cluster);
    return &cluster;
}

/* One voter, which leads and commits at once. */
static struct sim_cluster *alone(void)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});

    assert_int_equal(sim_elect(c), 1);
    return c;
}

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* --- entries from outside --- */

static struct raft_entry *put_entry(const char *key, const char *value,
                                    uint64_t id)
{
    struct kv_command cmd = {text(key), text(value), id};
    struct raft_entry *e =
        raft_entry_alloc(RAFT_ENTRY_NORMAL, kv_command_size(&cmd));

    (void)kv_command_encode(&cmd, e->data);
    return e;
}

static struct raft_entry *change_entry(const struct conf_change *cc)
{
    struct raft_entry *e;
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_int_equal(conf_change_encode(cc, &b), 0);
    e = raft_entry_new(RAFT_ENTRY_CONF_CHANGE, buf_bytes(&b));
    buf_release(&b);
    return e;
}

static struct raft_entry *change_v2_entry(const struct conf_change_v2 *cc)
{
    struct raft_entry *e;
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_int_equal(conf_change_v2_encode(cc, &b), 0);
    e = raft_entry_new(RAFT_ENTRY_CONF_CHANGE_V2, buf_bytes(&b));
    buf_release(&b);
    return e;
}

/* Into the log of the one node there is, committed and applied. */
static void commit_alone(struct sim_cluster *c, struct raft_entry *e)
{
    c->nodes[1].last_error[0] = '\0';
    assert_int_equal(rawnode_propose(c->nodes[1].node->raw, e), 0);
    sim_settle(c);
}

static void change_alone(struct sim_cluster *c, uint64_t type, uint64_t id,
                         const char *context)
{
    struct conf_change cc = {.type = type, .node_id = id};

    if (context != NULL) {
        cc.context = text(context);
    }
    commit_alone(c, change_entry(&cc));
}

/* `entries` in the name of node 2, which leads at term 5, and committed. They
 * are taken over; what node 1 checks at its own door is passed by. */
static void feed(struct sim_cluster *c, struct raft_entry **entries, size_t n)
{
    struct raftnode *node = c->nodes[1].node;
    struct raft_message m = {
        .type = RAFT_MSG_APP, .to = 1, .from = 2, .term = 5};
    int rc;

    sim_settle(c);
    m.index = memory_storage_last_index(&node->log);
    rc = node->log.base.ops->term(&node->log.base, m.index, &m.log_term);
    assert_int_equal(rc, 0);
    m.commit = m.index + n;
    for (size_t i = 0; i < n; i++) {
        entries[i]->term = 5;
        entries[i]->index = m.index + 1 + i;
        raft_entries_take(&m.entries, entries[i]);
    }
    assert_int_equal(raftnode_step(node, &m), 0);
    raft_message_release(&m);
    raftnode_process(node);
}

static bool map_is(const struct raftnode *node, const char *key,
                   const char *value)
{
    struct bytes found;

    return kvstore_get(raftnode_store(node), text(key), &found) &&
           found.len == strlen(value) &&
           memcmp(found.data, value, found.len) == 0;
}

static void expect_running(struct sim_cluster *c, uint64_t id)
{
    const char *why;

    if (raftnode_condition(c->nodes[id].node, &why) != RAFTNODE_RUNNING) {
        fail_msg("node %d stopped: %s", (int)id, why);
    }
}

static const char *member_url(const struct sim_cluster *c, uint64_t at,
                              uint64_t id)
{
    return kvstore_member_url(raftnode_store(c->nodes[at].node), id);
}

/* --- what cannot be read --- */

static const struct {
    const char *name;
    uint64_t type;
    const char *payload;
    const char *why; /* part of the reason */
} unreadable[] = {
    {"command", RAFT_ENTRY_NORMAL, "not a gob", "cannot be decoded"},
    {"change", RAFT_ENTRY_CONF_CHANGE, "\xff\xff", "change is unreadable"},
    {"change v2", RAFT_ENTRY_CONF_CHANGE_V2, "\xff\xff",
     "change is unreadable"},
    {"type", 7, "", "unknown type 7"},
};

/* The log of every node has it: to skip it here would be to go apart. */
static void test_unreadable_entry_stops_the_node(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
        struct raftnode *node = c->nodes[1].node;
        struct raft_entry *entries[3];
        char index[32];
        const char *why;
        uint64_t before;

        print_message("  %s\n", unreadable[i].name);
        sim_settle(c);
        before = node->applied;
        entries[0] = put_entry("/a", "before", 0);
        entries[1] =
            raft_entry_new(unreadable[i].type, text(unreadable[i].payload));
        entries[2] = put_entry("/a", "after", 0);
        feed(c, entries, ARRAY_LEN(entries));
        assert_int_equal(raftnode_condition(node, &why), RAFTNODE_FAILED);
        assert_non_null(strstr(why, unreadable[i].why));
        (void)snprintf(index, sizeof(index), "entry %d", (int)before + 2);
        assert_non_null(strstr(why, index));
        assert_true(map_is(node, "/a", "before"));
        assert_int_equal(node->applied, before + 1);
        /* It is in the log for good: a second life ends in the same way. */
        sim_stop(c, 1);
        assert_int_equal(sim_start(c, 1, false, &(struct errmsg){{0}}), 0);
        raftnode_process(c->nodes[1].node);
        assert_int_equal(raftnode_condition(c->nodes[1].node, &why),
                         RAFTNODE_FAILED);
        sim_cluster_release(c);
    }
}

static void test_empty_entries_change_nothing(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raft_entry *entries[] = {
        raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){0}),
        raft_entry_alloc(RAFT_ENTRY_NORMAL, 0),
        put_entry("/a", "1", 0),
    };

    (void)state;
    feed(c, entries, ARRAY_LEN(entries));
    expect_running(c, 1);
    assert_int_equal(kvstore_len(raftnode_store(c->nodes[1].node)), 1);
    assert_true(map_is(c->nodes[1].node, "/a", "1"));
    sim_cluster_release(c);
}

/* --- changes that make no sense, as a Go node would propose them --- */

static const struct {
    const char *name;
    uint64_t type;
    uint64_t id;
    const char *context;
} senseless[] = {
    {"url without scheme", CONF_CHANGE_ADD_NODE, 4, "10.0.0.4:2380"},
    {"url of nothing", CONF_CHANGE_ADD_NODE, 4, "junk"},
    {"learner with a bad url", CONF_CHANGE_ADD_LEARNER_NODE, 4, "junk"},
    {"update with a bad url", CONF_CHANGE_UPDATE_NODE, 1, "junk"},
    {"removal of an unknown id", CONF_CHANGE_REMOVE_NODE, 9, NULL},
    {"removal of nobody", CONF_CHANGE_REMOVE_NODE, 0, NULL},
    {"addition of nobody", CONF_CHANGE_ADD_NODE, 0, "http://10.0.0.4:2380"},
    {"removal of the only voter", CONF_CHANGE_REMOVE_NODE, 1, NULL},
    {"the only voter as learner", CONF_CHANGE_ADD_LEARNER_NODE, 1, NULL},
    {"unknown kind", 9, 1, NULL},
};

static void test_senseless_change_is_a_noop_with_a_warning(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(senseless); i++) {
        struct sim_cluster *c = alone();
        struct raftnode *node = c->nodes[1].node;
        uint64_t before = node->applied;

        print_message("  %s\n", senseless[i].name);
        change_alone(c, senseless[i].type, senseless[i].id,
                     senseless[i].context);
        expect_running(c, 1);
        assert_int_equal(node->applied, before + 1);
        assert_non_null(strstr(c->nodes[1].last_error, "nothing is changed"));
        assert_int_equal(kvstore_n_members(raftnode_store(node)), 1);
        assert_string_equal(member_url(c, 1, 1), c->nodes[1].url);
        assert_int_equal(node->conf_state.voters.n, 1);
        assert_int_equal(node->conf_state.learners.n, 0);
        /* And it goes on, through a restart as well. */
        assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
        sim_stop(c, 1);
        assert_int_equal(sim_start(c, 1, false, &(struct errmsg){{0}}), 0);
        assert_int_equal(sim_elect(c), 1);
        sim_expect(c, 1, "/a", "1");
        sim_cluster_release(c);
    }
}

/* The same in the newer form, which an operator's tool may propose. */
static void test_senseless_change_v2_is_a_noop(void **state)
{
    static struct conf_change_single all[] = {{CONF_CHANGE_REMOVE_NODE, 1}};
    static struct conf_change_single none_left[] = {
        {CONF_CHANGE_ADD_LEARNER_NODE, 2}, {CONF_CHANGE_REMOVE_NODE, 1}};
    static struct conf_change_single nobody[] = {{CONF_CHANGE_ADD_NODE, 0},
                                                 {CONF_CHANGE_REMOVE_NODE, 1}};
    static struct conf_change_single kind[] = {{9, 1}};
    static const struct {
        const char *name;
        struct conf_change_v2 cc;
    } cases[] = {
        {"removal of the only voter", {.changes = all, .n_changes = 1}},
        {"a learner for the only voter",
         {.changes = none_left, .n_changes = 2}},
        {"nobody for the only voter", {.changes = nobody, .n_changes = 2}},
        {"unknown kind", {.changes = kind, .n_changes = 1}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sim_cluster *c = alone();

        print_message("  %s\n", cases[i].name);
        commit_alone(c, change_v2_entry(&cases[i].cc));
        expect_running(c, 1);
        assert_non_null(strstr(c->nodes[1].last_error, "nothing is changed"));
        assert_int_equal(c->nodes[1].node->conf_state.voters.n, 1);
        assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[1].node)),
                         1);
        assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
        sim_cluster_release(c);
    }
}

/* A joint configuration can only be left, and only once. */
static void test_senseless_change_while_joint_is_a_noop(void **state)
{
    struct conf_change_single swap[] = {{CONF_CHANGE_ADD_NODE, 4},
                                        {CONF_CHANGE_REMOVE_NODE, 3}};
    const struct conf_change_v2 enter = {
        .transition = CONF_CHANGE_TRANSITION_JOINT_EXPLICIT,
        .changes = swap,
        .n_changes = ARRAY_LEN(swap)};
    const struct conf_change_v2 leave = {0};
    const struct conf_change simple = {.type = CONF_CHANGE_ADD_NODE,
                                       .node_id = 5};
    const struct {
        struct raft_entry *e;
        bool sane;
        size_t outgoing; /* voters, afterwards */
    } steps[] = {
        {change_v2_entry(&leave), false, 0},
        {change_v2_entry(&enter), true, 3},
        {change_v2_entry(&enter), false, 3},
        {change_entry(&simple), false, 3},
        {change_v2_entry(&leave), true, 0},
        {change_v2_entry(&leave), false, 0},
    };
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct raft_entry *e = steps[i].e;

        c->nodes[1].last_error[0] = '\0';
        feed(c, &e, 1);
        expect_running(c, 1);
        assert_int_equal(strstr(c->nodes[1].last_error, "nothing is changed") ==
                             NULL,
                         steps[i].sane);
        assert_int_equal(c->nodes[1].node->conf_state.voters_outgoing.n,
                         steps[i].outgoing);
    }
    assert_false(kvstore_has_member(raftnode_store(c->nodes[1].node), 5));
    sim_cluster_release(c);
}

/* Both members of a cluster of two remove each other at the same moment: each
 * is right when it is asked, the second is not any more when its turn comes. */
static void test_two_members_that_remove_each_other(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 2, .seed = 3});
    struct sim_op *ops[2];
    uint64_t leader = sim_elect(c);
    uint64_t other = 3 - leader;

    (void)state;
    ops[0] = sim_member(c, leader, REQUEST_REMOVE_MEMBER, other, NULL);
    ops[1] = sim_member(c, other, REQUEST_REMOVE_MEMBER, leader, NULL);
    sim_run(c, 20);
    expect_running(c, leader);
    assert_int_equal(ops[0]->rc, 0);
    sim_stop(c, other);
    assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[leader].node)),
                     1);
    /* And through a restart: the log has both. */
    sim_stop(c, leader);
    assert_int_equal(sim_start(c, leader, false, &(struct errmsg){{0}}), 0);
    assert_int_equal(sim_elect(c), leader);
    sim_expect(c, leader, "/a", "1");
    sim_op_free(c, ops[0]);
    sim_op_free(c, ops[1]);
    sim_cluster_release(c);
}

/* --- changes that do --- */

/* What the node tells the transport, one line each. */
struct told {
    char lines[1024];
};

static void tell(struct told *t, const char *what, uint64_t id, const char *url)
{
    size_t at = strlen(t->lines);

    (void)snprintf(t->lines + at, sizeof(t->lines) - at, "%s %d %s\n", what,
                   (int)id, url);
}

static void told_add(void *ctx, uint64_t id, const char *url)
{
    tell(ctx, "add", id, url);
}

static void told_remove(void *ctx, uint64_t id)
{
    tell(ctx, "remove", id, "");
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

static void listen_to(struct raftnode *node, struct told *t)
{
    *t = (struct told){{0}};
    node->peers.ctx = t;
    node->peers.send = told_send;
    node->peers.add = told_add;
    node->peers.remove = told_remove;
    node->peers.update = told_update;
}

static void test_changes_reach_members_and_transport(void **state)
{
    static const struct {
        uint64_t type;
        uint64_t id;
        const char *context;
        const char *told;
        const char *url; /* afterwards; NULL: unknown, or no member */
        bool member;
    } steps[] = {
        /* A learner, so that the one voter still commits alone. */
        {CONF_CHANGE_ADD_LEARNER_NODE, 4, "http://10.9.9.4:1",
         "add 4 http://10.9.9.4:1\n", "http://10.9.9.4:1", true},
        /* Of a member: no URL is changed, as in etcd. */
        {CONF_CHANGE_ADD_LEARNER_NODE, 4, "http://10.9.9.5:1", "",
         "http://10.9.9.4:1", true},
        {CONF_CHANGE_UPDATE_NODE, 4, "http://10.9.9.6:1",
         "update 4 http://10.9.9.6:1\n", "http://10.9.9.6:1", true},
        {CONF_CHANGE_UPDATE_NODE, 4, NULL, "", "http://10.9.9.6:1", true},
        /* Of no member: it does not become one. */
        {CONF_CHANGE_UPDATE_NODE, 5, "http://10.9.9.7:1", "", NULL, false},
        {CONF_CHANGE_REMOVE_NODE, 4, NULL, "remove 4 \n", NULL, false},
        /* Without an address: that of --cluster, here none. */
        {CONF_CHANGE_ADD_LEARNER_NODE, 6, NULL, "", NULL, true},
        {CONF_CHANGE_ADD_LEARNER_NODE, 6, "http://10.9.9.8:1",
         "add 6 http://10.9.9.8:1\n", "http://10.9.9.8:1", true},
        /* Its own address may change too; nobody dials himself. */
        {CONF_CHANGE_UPDATE_NODE, 1, "http://10.9.9.1:1", "",
         "http://10.9.9.1:1", true},
    };
    struct sim_cluster *c = alone();
    struct raftnode *node = c->nodes[1].node;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct told t;

        listen_to(node, &t);
        change_alone(c, steps[i].type, steps[i].id, steps[i].context);
        expect_running(c, 1);
        assert_string_equal(t.lines, steps[i].told);
        assert_int_equal(kvstore_has_member(node->store, steps[i].id),
                         steps[i].member);
        if (steps[i].url == NULL) {
            assert_null(member_url(c, 1, steps[i].id));
        } else {
            assert_string_equal(member_url(c, 1, steps[i].id), steps[i].url);
        }
        assert_string_equal(c->nodes[1].last_error, "");
    }
    assert_int_equal(node->conf_state.learners.n, 1);
    assert_true(kvstore_was_removed(node->store, 4));
    sim_cluster_release(c);
}

/* Founders have no address in the log: theirs is that of --cluster. */
static void test_founders_have_the_addresses_of_the_list(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});

    (void)state;
    sim_settle(c);
    for (uint64_t at = 1; at <= 3; at++) {
        for (uint64_t id = 1; id <= 3; id++) {
            assert_string_equal(member_url(c, at, id), c->nodes[id].url);
        }
    }
    sim_cluster_release(c);
}

/* Through a joint configuration and out of it. */
static void test_change_of_several_members_at_once(void **state)
{
    struct conf_change_single add[] = {{CONF_CHANGE_ADD_LEARNER_NODE, 7},
                                       {CONF_CHANGE_ADD_LEARNER_NODE, 8}};
    struct conf_change_single swap[] = {{CONF_CHANGE_REMOVE_NODE, 7},
                                        {CONF_CHANGE_REMOVE_NODE, 8}};
    struct sim_cluster *c = alone();
    struct raftnode *node = c->nodes[1].node;

    (void)state;
    commit_alone(c, change_v2_entry(&(struct conf_change_v2){
                        .changes = add, .n_changes = ARRAY_LEN(add)}));
    assert_int_equal(node->conf_state.learners.n, 2);
    assert_int_equal(node->conf_state.voters_outgoing.n, 0); /* left again */
    assert_int_equal(kvstore_n_members(node->store), 3);
    commit_alone(c, change_v2_entry(&(struct conf_change_v2){
                        .changes = swap, .n_changes = ARRAY_LEN(swap)}));
    assert_int_equal(node->conf_state.learners.n, 0);
    assert_int_equal(kvstore_n_members(node->store), 1);
    expect_running(c, 1);
    assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
    sim_cluster_release(c);
}

/* A voter that is replaced votes until the joint configuration is left, and is
 * a member until then. */
static void
test_replaced_voter_leaves_with_the_joint_configuration(void **state)
{
    struct conf_change_single swap[] = {{CONF_CHANGE_ADD_LEARNER_NODE, 4},
                                        {CONF_CHANGE_REMOVE_NODE, 3},
                                        {CONF_CHANGE_REMOVE_NODE, 9}};
    struct raft_entry *enter = change_v2_entry(&(struct conf_change_v2){
        .changes = swap, .n_changes = ARRAY_LEN(swap)});
    struct raft_entry *leave = change_v2_entry(&(struct conf_change_v2){0});
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    const struct kvstore *store = raftnode_store(c->nodes[1].node);
    struct told t;

    (void)state;
    sim_settle(c);
    listen_to(c->nodes[1].node, &t);
    feed(c, &enter, 1);
    assert_true(kvstore_has_member(store, 3));
    assert_true(kvstore_has_member(store, 4));
    assert_string_equal(t.lines, "");
    feed(c, &leave, 1);
    assert_false(kvstore_has_member(store, 3));
    assert_true(kvstore_was_removed(store, 3));
    assert_int_equal(kvstore_n_members(store), 3);
    assert_string_equal(t.lines, "remove 3 \n");
    assert_false(kvstore_was_removed(store, 9)); /* never was a member */
    expect_running(c, 1);
    sim_cluster_release(c);
}

static void test_node_that_is_replaced_stops(void **state)
{
    struct conf_change_single swap[] = {{CONF_CHANGE_ADD_NODE, 4},
                                        {CONF_CHANGE_REMOVE_NODE, 1}};
    struct raft_entry *entries[] = {
        change_v2_entry(&(struct conf_change_v2){.changes = swap,
                                                 .n_changes = ARRAY_LEN(swap)}),
        change_v2_entry(&(struct conf_change_v2){0}),
    };
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    const char *why;

    (void)state;
    feed(c, &entries[0], 1);
    expect_running(c, 1);
    feed(c, &entries[1], 1);
    assert_int_equal(raftnode_condition(c->nodes[1].node, &why),
                     RAFTNODE_REMOVED);
    sim_cluster_release(c);
}

/* --- the answer to a change --- */

/* Each was right when it was checked; what the log made of it counts. */
static void test_change_overtaken_by_another_is_not_called_done(void **state)
{
    static const struct {
        const char *name;
        enum request_kind kind;
        const char *urls[2]; /* at node 1, at node 2 */
        int outcomes[2];     /* of the first and the second in the log */
    } cases[] = {
        {"two addresses",
         REQUEST_ADD_MEMBER,
         {"http://10.9.9.1:1", "http://10.9.9.2:1"},
         {0, ERR_MEMBER_URL_DIFFERS}},
        {"one address twice",
         REQUEST_ADD_MEMBER,
         {"http://10.9.9.1:1", "http://10.9.9.1:1"},
         {0, 0}},
        {"removed twice",
         REQUEST_REMOVE_MEMBER,
         {NULL, NULL},
         {0, ERR_NO_MEMBER}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
        struct sim_op *ops[2];
        bool first;

        print_message("  %s\n", cases[i].name);
        assert_int_not_equal(sim_elect(c), 0);
        if (cases[i].kind == REQUEST_REMOVE_MEMBER) {
            assert_int_equal(sim_member_now(c, 1, REQUEST_ADD_MEMBER, 4), 0);
        }
        for (uint64_t at = 1; at <= 2; at++) {
            ops[at - 1] =
                sim_member(c, at, cases[i].kind, 4, cases[i].urls[at - 1]);
        }
        sim_run(c, 10);
        assert_true(ops[0]->done);
        assert_true(ops[1]->done);
        first = ops[0]->rc != cases[i].outcomes[0];
        assert_int_equal(ops[first]->rc, cases[i].outcomes[0]);
        assert_int_equal(ops[!first]->rc, cases[i].outcomes[1]);
        for (uint64_t at = 1; at <= 3; at++) {
            if (cases[i].kind == REQUEST_ADD_MEMBER) {
                assert_string_equal(member_url(c, at, 4), cases[i].urls[first]);
            }
            expect_running(c, at);
        }
        sim_op_free(c, ops[0]);
        sim_op_free(c, ops[1]);
        sim_cluster_release(c);
    }
}

static void test_second_of_two_removals_would_leave_no_voter(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 2, .seed = 3});
    uint64_t leader = sim_elect(c);
    struct sim_op *ops[2];

    (void)state;
    ops[0] = sim_member(c, leader, REQUEST_REMOVE_MEMBER, 3 - leader, NULL);
    ops[1] = sim_member(c, leader, REQUEST_REMOVE_MEMBER, leader, NULL);
    sim_run(c, 5);
    assert_true(ops[0]->done);
    assert_int_equal(ops[0]->rc, 0);
    assert_true(ops[1]->done);
    assert_int_equal(ops[1]->rc, ERR_LAST_VOTER);
    expect_running(c, leader);
    sim_op_free(c, ops[0]);
    sim_op_free(c, ops[1]);
    sim_cluster_release(c);
}

/* --- request ids --- */

/* A clock that went back between two lives: ids of the first come back in the
 * second, unless those seen in the log are passed by. */
static void test_ids_seen_in_the_log_are_not_used_again(void **state)
{
    struct sim_cluster *c = alone();
    struct raftnode *node = c->nodes[1].node;
    uint64_t next = node->next_request;
    struct sim_op *op;

    (void)state;
    /* Those of others, and older ones, change nothing. */
    commit_alone(c, put_entry("/a", "1", UINT64_C(2) << 48 | (next + 100)));
    assert_int_equal(node->next_request, next);
    commit_alone(c, put_entry("/a", "1", UINT64_C(1) << 48 | (next - 1)));
    assert_int_equal(node->next_request, next);
    commit_alone(c, put_entry("/a", "1", 0));
    assert_int_equal(node->next_request, next);
    commit_alone(c, put_entry("/a", "2", UINT64_C(1) << 48 | (next + 100)));
    assert_int_equal(node->next_request, next + 101);
    /* Those of membership changes count as well. */
    commit_alone(c, change_entry(&(struct conf_change){
                        .id = UINT64_C(1) << 48 | (next + 200),
                        .type = CONF_CHANGE_ADD_LEARNER_NODE,
                        .node_id = 4}));
    assert_int_equal(node->next_request, next + 201);
    op = sim_put(c, 1, "/a", "3");
    assert_int_equal(op->req.id, UINT64_C(1) << 48 | (next + 201));
    sim_settle(c);
    assert_true(op->done);
    sim_op_free(c, op);
    sim_cluster_release(c);
}

/* The very id of a request that waits, in an entry of an older term: it is set,
 * but answers nobody. */
static void test_entry_of_an_older_term_answers_nobody(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;
    struct sim_op *op = sim_put(c, leader, "/a", "new");
    struct raft_entry *old = put_entry("/a", "old", op->req.id);

    (void)state;
    sim_isolate(c, leader, true);
    sim_settle(c);
    assert_int_equal(op->req.stage, REQUEST_PROPOSED);
    old->index = node->applied + 1;
    old->term = op->req.term - 1;
    apply_entries(node, &old, 1);
    raft_entry_unref(old);
    assert_true(map_is(node, "/a", "old"));
    assert_false(op->done);
    sim_op_free(c, op);
    sim_cluster_release(c);
}

/* --- snapshots --- */

static struct raft_snapshot *make_snapshot(uint64_t index, uint64_t term,
                                           const char *image, uint64_t members)
{
    struct raft_snapshot *snap = raft_snapshot_new();

    snap->index = index;
    snap->term = term;
    snap->data = xmemdup(image, strlen(image));
    snap->len = strlen(image);
    for (uint64_t id = 1; id <= members; id++) {
        id_list_push(&snap->conf_state.voters, id);
    }
    return snap;
}

static void add_url(struct raft_snapshot *snap, uint64_t id, const char *url)
{
    snap->members = xrealloc_array(snap->members, snap->n_members + 1,
                                   sizeof(*snap->members));
    snap->members[snap->n_members++] =
        (struct snapshot_member){id, xstrdup(url)};
}

/* `snap`, which is taken over, as the leader 2 of term 5 sends it to 1. */
static void send_snapshot(struct sim_cluster *c, struct raft_snapshot *snap)
{
    struct raft_message m = {
        .type = RAFT_MSG_SNAP, .to = 1, .from = 2, .term = 5, .snapshot = snap};

    assert_int_equal(raftnode_step(c->nodes[1].node, &m), 0);
    raft_message_release(&m);
    raftnode_process(c->nodes[1].node);
}

/* As a Go node writes it. */
static void test_snapshot_without_urls_takes_those_of_the_list(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});

    (void)state;
    sim_settle(c);
    send_snapshot(c, make_snapshot(50, 4, "{\"/a\":\"1\"}", 4));
    expect_running(c, 1);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_string_equal(member_url(c, 1, id), c->nodes[id].url);
    }
    /* Beyond the list: a member, but nobody knows where. */
    assert_true(kvstore_has_member(raftnode_store(c->nodes[1].node), 4));
    assert_null(member_url(c, 1, 4));
    assert_false(c->nodes[1].peers[4]);
    assert_true(map_is(c->nodes[1].node, "/a", "1"));
    assert_int_equal(c->nodes[1].node->applied, 50);
    sim_cluster_release(c);
}

static void test_snapshot_says_who_and_where(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raft_snapshot *snap = make_snapshot(50, 4, "{}", 2);
    struct told t;

    (void)state;
    sim_settle(c);
    id_list_push(&snap->conf_state.learners, 6);
    add_url(snap, 2, "http://10.9.9.2:1");
    add_url(snap, 5, "http://10.9.9.5:1"); /* no member: not believed */
    add_url(snap, 6, "http://10.9.9.6:1");
    listen_to(c->nodes[1].node, &t);
    send_snapshot(c, snap);
    assert_string_equal(member_url(c, 1, 1), c->nodes[1].url);
    assert_string_equal(member_url(c, 1, 2), "http://10.9.9.2:1");
    assert_string_equal(member_url(c, 1, 6), "http://10.9.9.6:1");
    assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[1].node)), 3);
    /* 3 is in the list, and no member any more. */
    assert_non_null(strstr(t.lines, "remove 3"));
    assert_null(strstr(t.lines, "add 1"));
    assert_non_null(strstr(t.lines, "add 2 http://10.9.9.2:1"));
    assert_non_null(strstr(t.lines, "add 6 http://10.9.9.6:1"));
    sim_cluster_release(c);
}

static void test_snapshot_replaces_map_and_members(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct conf_change add = {.type = CONF_CHANGE_ADD_NODE,
                              .node_id = 4,
                              .context = text("http://10.9.9.4:1")};
    struct raft_entry *entries[] = {put_entry("/gone", "1", 0),
                                    change_entry(&add)};
    struct told t;

    (void)state;
    feed(c, entries, ARRAY_LEN(entries));
    assert_string_equal(member_url(c, 1, 4), "http://10.9.9.4:1");
    listen_to(c->nodes[1].node, &t);
    send_snapshot(c, make_snapshot(50, 5, "{\"/a\":\"1\"}", 3));
    assert_false(map_is(c->nodes[1].node, "/gone", "1"));
    assert_int_equal(kvstore_len(raftnode_store(c->nodes[1].node)), 1);
    assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[1].node)), 3);
    assert_non_null(strstr(t.lines, "remove 4"));
    sim_cluster_release(c);
}

/* From our own disk nothing can be refused: the node does not start. */
static void test_node_does_not_start_from_a_bad_image(void **state)
{
    struct raftnode_recovered found = {
        .snapshot = make_snapshot(50, 4, "{\"/a\":", 3),
        .hard_state = {4, 0, 50},
    };
    struct raftnode_config cfg = {
        .id = 1, .election_ticks = 10, .heartbeat_ticks = 1, .seed = 1};
    struct raftnode *node = NULL;
    struct errmsg em = {{0}};

    (void)state;
    assert_int_equal(raftnode_new(&cfg, &found, &node, &em), ERR_MALFORMED);
    assert_null(node);
    assert_null(found.snapshot);
    assert_non_null(strstr(em.text, "snapshot at index 50"));
}

/* A snapshot is older than the log behind it: what it has is not applied again,
 * what is behind it is. */
static void test_restart_applies_only_what_is_behind_the_snapshot(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 1, .seed = 1, .snapshot_count = 5, .catchup_entries = 100});
    uint64_t snapshot;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    for (unsigned i = 0; i < 9; i++) {
        char value[8];

        (void)snprintf(value, sizeof(value), "%u", i);
        assert_int_equal(sim_put_now(c, 1, "/a", value), 0);
    }
    snapshot = c->nodes[1].node->snapshot_index;
    assert_true(snapshot > 0);
    assert_true(snapshot < c->nodes[1].node->applied);
    sim_stop(c, 1);
    assert_int_equal(sim_start(c, 1, false, &(struct errmsg){{0}}), 0);
    assert_int_equal(c->nodes[1].node->applied, snapshot);
    sim_settle(c);
    assert_true(map_is(c->nodes[1].node, "/a", "8"));
    sim_cluster_release(c);
}

/* [reliability I23] */
static void test_snapshots_of_two_nodes_are_the_same_bytes(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raft_snapshot *snaps[3];

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    for (uint64_t id = 1; id <= 3; id++) {
        char key[8];

        (void)snprintf(key, sizeof(key), "/k%d", (int)(9 - id));
        assert_int_equal(sim_put_now(c, id, key, "\xff\x01"), 0);
    }
    sim_run(c, 2);
    for (uint64_t id = 1; id <= 3; id++) {
        snaps[id - 1] = apply_make_snapshot(c->nodes[id].node);
        assert_non_null(snaps[id - 1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(snaps); i++) {
        size_t len = raft_snapshot_size(snaps[i]);
        uint8_t *bytes = xmalloc(len);
        uint8_t *first = xmalloc(raft_snapshot_size(snaps[0]));

        assert_int_equal(snaps[i]->n_members, 3);
        assert_int_equal(len, raft_snapshot_size(snaps[0]));
        (void)raft_snapshot_encode(snaps[i], bytes);
        (void)raft_snapshot_encode(snaps[0], first);
        assert_memory_equal(bytes, first, len);
        xfree(bytes);
        xfree(first);
    }
    for (size_t i = 0; i < ARRAY_LEN(snaps); i++) {
        raft_snapshot_unref(snaps[i]);
    }
    sim_cluster_release(c);
}

/* A member without an address is in the ConfState only. */
static void test_snapshot_lists_known_addresses_only(void **state)
{
    struct sim_cluster *c = alone();
    struct raft_snapshot *snap;

    (void)state;
    change_alone(c, CONF_CHANGE_ADD_LEARNER_NODE, 6, NULL);
    snap = apply_make_snapshot(c->nodes[1].node);
    assert_int_equal(snap->conf_state.learners.n, 1);
    assert_int_equal(snap->n_members, 1);
    assert_int_equal(snap->members[0].id, 1);
    assert_int_equal(snap->index, c->nodes[1].node->applied);
    raft_snapshot_unref(snap);
    sim_cluster_release(c);
}

/* --- a snapshot on its way to a peer --- */

static void test_snapshot_is_sent_with_the_members_of_now(void **state)
{
    struct sim_cluster *c = alone();
    struct raftnode *node = c->nodes[1].node;
    struct raft_snapshot *old = apply_make_snapshot(node);
    struct raft_snapshot *now = apply_patch_snapshot(node, old);

    (void)state;
    /* The same members: the same snapshot, one more reference. */
    assert_ptr_equal(now, old);
    raft_snapshot_unref(now);
    change_alone(c, CONF_CHANGE_ADD_LEARNER_NODE, 4, "http://10.9.9.4:1");
    now = apply_patch_snapshot(node, old);
    assert_ptr_not_equal(now, old);
    assert_int_equal(now->index, old->index);
    assert_int_equal(now->term, old->term);
    assert_int_equal(now->len, old->len);
    assert_memory_equal(now->data, old->data, old->len);
    assert_true(conf_state_equivalent(&now->conf_state, &node->conf_state));
    assert_int_equal(now->n_members, 2);
    assert_int_equal(now->members[1].id, 4);
    assert_string_equal(now->members[1].url, "http://10.9.9.4:1");
    /* The one on disk is not touched. */
    assert_int_equal(old->n_members, 1);
    assert_int_equal(old->conf_state.learners.n, 0);
    raft_snapshot_unref(now);
    raft_snapshot_unref(old);
    sim_cluster_release(c);
}

/* The whole way: added behind the last snapshot, a joiner is brought up by it
 * and knows everybody. */
static void test_joiner_is_named_in_the_snapshot_it_gets(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 3, .seed = 5, .snapshot_count = 20});
    struct raftnode *joiner;
    uint64_t leader = sim_elect(c);

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    }
    assert_int_equal(sim_member_now(c, leader, REQUEST_ADD_MEMBER, 4), 0);
    assert_true(c->nodes[leader].node->snapshot_index <
                c->nodes[leader].node->applied);
    assert_int_equal(sim_start(c, 4, true, &(struct errmsg){{0}}), 0);
    joiner = c->nodes[4].node;
    for (unsigned i = 0; i < 50 && joiner->snapshot_index == 0; i++) {
        sim_run(c, 1);
    }
    assert_int_not_equal(joiner->snapshot_index, 0);
    sim_run(c, 5);
    for (uint64_t id = 1; id <= 4; id++) {
        assert_string_equal(member_url(c, 4, id), c->nodes[id].url);
    }
    sim_expect(c, 4, "/a", "1");
    sim_cluster_release(c);
}

/* --- what may enter a log --- */

static void test_what_can_be_taken(void **state)
{
    static const struct {
        const char *name;
        uint64_t type;
        uint64_t change; /* of a CONF_CHANGE without payload below */
        const char *context;
        const char *payload; /* NULL: a conf change of the two above */
        bool ok;
    } cases[] = {
        {"garbage", RAFT_ENTRY_NORMAL, 0, NULL, "garbage", false},
        {"empty", RAFT_ENTRY_NORMAL, 0, NULL, "", true},
        {"type", 3, 0, NULL, "", false},
        {"huge type", UINT64_MAX, 0, NULL, "", false},
        {"change garbage", RAFT_ENTRY_CONF_CHANGE, 0, NULL, "\xff", false},
        {"change v2 garbage", RAFT_ENTRY_CONF_CHANGE_V2, 0, NULL, "\xff",
         false},
        {"change v2 empty", RAFT_ENTRY_CONF_CHANGE_V2, 0, NULL, "", true},
        {"add", RAFT_ENTRY_CONF_CHANGE, CONF_CHANGE_ADD_NODE, NULL, NULL, true},
        {"add with url", RAFT_ENTRY_CONF_CHANGE, CONF_CHANGE_ADD_NODE,
         "http://10.0.0.9:1", NULL, true},
        {"add with bad url", RAFT_ENTRY_CONF_CHANGE, CONF_CHANGE_ADD_NODE,
         "junk", NULL, false},
        {"learner", RAFT_ENTRY_CONF_CHANGE, CONF_CHANGE_ADD_LEARNER_NODE, NULL,
         NULL, true},
        {"remove", RAFT_ENTRY_CONF_CHANGE, CONF_CHANGE_REMOVE_NODE, NULL, NULL,
         true},
        {"unknown change", RAFT_ENTRY_CONF_CHANGE, 4, NULL, NULL, false},
    };
    struct conf_change_single kind = {4, 9};
    const struct conf_change_v2 v2 = {.changes = &kind, .n_changes = 1};
    struct sim_cluster *c = alone();
    struct raft_entry *e = put_entry("/a", "1", 1);

    (void)state;
    assert_true(apply_can_take(c->nodes[1].node, e));
    raft_entry_unref(e);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].payload != NULL) {
            e = raft_entry_new(cases[i].type, text(cases[i].payload));
        } else {
            struct conf_change cc = {.type = cases[i].change, .node_id = 9};

            if (cases[i].context != NULL) {
                cc.context = text(cases[i].context);
            }
            e = change_entry(&cc);
        }
        if (apply_can_take(c->nodes[1].node, e) != cases[i].ok) {
            fail_msg("%s", cases[i].name);
        }
        raft_entry_unref(e);
    }
    e = change_v2_entry(&v2);
    assert_false(apply_can_take(c->nodes[1].node, e));
    raft_entry_unref(e);
    sim_cluster_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unreadable_entry_stops_the_node),
        cmocka_unit_test(test_empty_entries_change_nothing),
        cmocka_unit_test(test_senseless_change_is_a_noop_with_a_warning),
        cmocka_unit_test(test_senseless_change_v2_is_a_noop),
        cmocka_unit_test(test_senseless_change_while_joint_is_a_noop),
        cmocka_unit_test(test_two_members_that_remove_each_other),
        cmocka_unit_test(test_changes_reach_members_and_transport),
        cmocka_unit_test(test_founders_have_the_addresses_of_the_list),
        cmocka_unit_test(test_change_of_several_members_at_once),
        cmocka_unit_test(
            test_replaced_voter_leaves_with_the_joint_configuration),
        cmocka_unit_test(test_node_that_is_replaced_stops),
        cmocka_unit_test(test_change_overtaken_by_another_is_not_called_done),
        cmocka_unit_test(test_second_of_two_removals_would_leave_no_voter),
        cmocka_unit_test(test_ids_seen_in_the_log_are_not_used_again),
        cmocka_unit_test(test_entry_of_an_older_term_answers_nobody),
        cmocka_unit_test(test_snapshot_without_urls_takes_those_of_the_list),
        cmocka_unit_test(test_snapshot_says_who_and_where),
        cmocka_unit_test(test_snapshot_replaces_map_and_members),
        cmocka_unit_test(test_node_does_not_start_from_a_bad_image),
        cmocka_unit_test(test_restart_applies_only_what_is_behind_the_snapshot),
        cmocka_unit_test(test_snapshots_of_two_nodes_are_the_same_bytes),
        cmocka_unit_test(test_snapshot_lists_known_addresses_only),
        cmocka_unit_test(test_snapshot_is_sent_with_the_members_of_now),
        cmocka_unit_test(test_joiner_is_named_in_the_snapshot_it_gets),
        cmocka_unit_test(test_what_can_be_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
