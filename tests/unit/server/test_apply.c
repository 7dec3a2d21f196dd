/* Goal: entries and snapshots do to the map, the members and the requests what
 * they say; what cannot be read stops the node, or is not let in. Method: nodes
 * of a cluster in one process, fed with entries as a Go node or a broken leader
 * could have put them into the log. Membership: test_apply_change.c. */

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/kv/kvstore.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_feed.h"

static struct sim_cluster cluster;

static struct sim_cluster *begin(const struct sim_options *o)
{
    sim_cluster_init(&cluster, o);
    sim_start_all(&cluster);
    return &cluster;
}

static bool map_is(const struct raftnode *node, const char *key,
                   const char *value)
{
    struct bytes found;

    return kvstore_get(raftnode_store(node), sim_text(key), &found) &&
           found.len == strlen(value) &&
           memcmp(found.data, value, found.len) == 0;
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
        entries[0] = sim_put_entry("/a", "before", 0);
        entries[1] =
            raft_entry_new(unreadable[i].type, sim_text(unreadable[i].payload));
        entries[2] = sim_put_entry("/a", "after", 0);
        sim_feed(c, entries, ARRAY_LEN(entries));
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
        sim_put_entry("/a", "1", 0),
    };

    (void)state;
    sim_feed(c, entries, ARRAY_LEN(entries));
    sim_expect_running(c, 1);
    assert_int_equal(kvstore_len(raftnode_store(c->nodes[1].node)), 1);
    assert_true(map_is(c->nodes[1].node, "/a", "1"));
    sim_cluster_release(c);
}

/* --- request ids --- */

/* A clock that went back between two lives: ids of the first come back in the
 * second, unless those seen in the log are passed by. */
static void test_ids_seen_in_the_log_are_not_used_again(void **state)
{
    struct sim_cluster *c = sim_alone(&cluster);
    struct raftnode *node = c->nodes[1].node;
    uint64_t next = node->next_request;
    struct sim_op *op;

    (void)state;
    /* Those of others, and older ones, change nothing. */
    sim_commit_alone(
        c, sim_put_entry("/a", "1", UINT64_C(2) << 48 | (next + 100)));
    assert_int_equal(node->next_request, next);
    sim_commit_alone(c,
                     sim_put_entry("/a", "1", UINT64_C(1) << 48 | (next - 1)));
    assert_int_equal(node->next_request, next);
    sim_commit_alone(c, sim_put_entry("/a", "1", 0));
    assert_int_equal(node->next_request, next);
    sim_commit_alone(
        c, sim_put_entry("/a", "2", UINT64_C(1) << 48 | (next + 100)));
    assert_int_equal(node->next_request, next + 101);
    /* The very next one as well. */
    sim_commit_alone(
        c, sim_put_entry("/a", "2", UINT64_C(1) << 48 | (next + 101)));
    assert_int_equal(node->next_request, next + 102);
    /* Those of membership changes count as well. */
    sim_commit_alone(c, sim_change_entry(&(struct conf_change){
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

/* The same for entries that the first life left in the log without a majority:
 * they may be applied while the second waits for its own. */
static void test_ids_of_unapplied_entries_are_not_used_again(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 23});
    struct errmsg em = {{0}};
    struct sim_op *op;
    uint64_t leader = sim_elect(c);
    uint64_t id;

    (void)state;
    sim_isolate(c, leader, true);
    op = sim_put(c, leader, "/a", "1");
    sim_settle(c);
    assert_false(op->done);
    id = op->req.id;
    sim_crash(c, leader, SIM_CRASH_DROP);
    sim_op_free(c, op);
    c->starts = 0; /* the clock goes back */
    assert_int_equal(sim_start(c, leader, false, &em), 0);
    assert_int_equal(id >> 48, leader);
    assert_true(c->nodes[leader].node->next_request >
                (id & REQUEST_COUNTER_MAX));
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
    struct raft_entry *old = sim_put_entry("/a", "old", op->req.id);

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

static void add_url(struct raft_snapshot *snap, uint64_t id, const char *url)
{
    snap->members = xrealloc_array(snap->members, snap->n_members + 1,
                                   sizeof(*snap->members));
    snap->members[snap->n_members++] =
        (struct snapshot_member){id, xstrdup(url)};
}

/* As a Go node writes it. */
static void test_snapshot_without_urls_takes_those_of_the_list(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});

    (void)state;
    sim_settle(c);
    assert_int_equal(
        sim_feed_snapshot(c, sim_snapshot(50, 4, "{\"/a\":\"1\"}", 4)), 0);
    sim_expect_running(c, 1);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_string_equal(sim_member_url(c, 1, id), c->nodes[id].url);
    }
    /* Beyond the list: a member, but nobody knows where. */
    assert_true(kvstore_has_member(raftnode_store(c->nodes[1].node), 4));
    assert_null(sim_member_url(c, 1, 4));
    assert_false(c->nodes[1].peers[4]);
    assert_true(map_is(c->nodes[1].node, "/a", "1"));
    assert_int_equal(c->nodes[1].node->applied, 50);
    sim_cluster_release(c);
}

static void test_snapshot_says_who_and_where(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raft_snapshot *snap = sim_snapshot(50, 4, "{}", 2);
    struct sim_told t;

    (void)state;
    sim_settle(c);
    id_list_push(&snap->conf_state.learners, 6);
    add_url(snap, 2, "http://10.9.9.2:1");
    add_url(snap, 5, "http://10.9.9.5:1"); /* no member: not believed */
    add_url(snap, 6, "http://10.9.9.6:1");
    sim_listen(c, 1, &t);
    assert_int_equal(sim_feed_snapshot(c, snap), 0);
    assert_string_equal(sim_member_url(c, 1, 1), c->nodes[1].url);
    assert_string_equal(sim_member_url(c, 1, 2), "http://10.9.9.2:1");
    assert_string_equal(sim_member_url(c, 1, 6), "http://10.9.9.6:1");
    assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[1].node)), 3);
    /* 3 is in the list, and no member any more. */
    assert_non_null(strstr(t.lines, "remove 3"));
    assert_null(strstr(t.lines, "add 1"));
    assert_non_null(strstr(t.lines, "add 2 http://10.9.9.2:1"));
    assert_non_null(strstr(t.lines, "add 6 http://10.9.9.6:1"));
    sim_cluster_release(c);
}

/* It began with whom the list named: not all of them are members. */
static void test_joiner_forgets_those_of_the_list(void **state)
{
    struct raft_snapshot *snap = sim_snapshot(50, 4, "{}", 3);
    struct sim_cluster *c = &cluster;
    struct sim_told t;

    (void)state;
    sim_cluster_init(c, &(struct sim_options){.n = 3, .seed = 7});
    assert_int_equal(sim_start(c, 1, true, &(struct errmsg){{0}}), 0);
    assert_true(c->nodes[1].peers[2]);
    snap->conf_state.voters.ids[1] = 4; /* 1, 4 and 3 */
    sim_listen(c, 1, &t);
    assert_int_equal(sim_feed_snapshot(c, snap), 0);
    assert_string_equal(t.lines, "remove 2\nadd 3 http://10.0.0.3:2380\n");
    sim_cluster_release(c);
}

static void test_snapshot_replaces_map_and_members(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct conf_change add = {.type = CONF_CHANGE_ADD_NODE,
                              .node_id = 4,
                              .context = sim_text("http://10.9.9.4:1")};
    struct raft_entry *entries[] = {sim_put_entry("/gone", "1", 0),
                                    sim_change_entry(&add)};
    struct sim_told t;

    (void)state;
    sim_feed(c, entries, ARRAY_LEN(entries));
    assert_string_equal(sim_member_url(c, 1, 4), "http://10.9.9.4:1");
    sim_listen(c, 1, &t);
    assert_int_equal(
        sim_feed_snapshot(c, sim_snapshot(50, 5, "{\"/a\":\"1\"}", 3)), 0);
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
        .snapshot = sim_snapshot(50, 4, "{\"/a\":", 3),
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

static struct raft_snapshot *snapshot_of(struct raftnode *node)
{
    struct raft_snapshot *snap = snapshots_make_head(node);
    struct buf image;

    buf_init(&image, BUF_UNLIMITED);
    assert_int_equal(kvstore_snapshot(node->store, &image), 0);
    snap->data = buf_detach(&image, &snap->len);
    return snap;
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
        snaps[id - 1] = snapshot_of(c->nodes[id].node);
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
    struct sim_cluster *c = sim_alone(&cluster);
    struct raft_snapshot *snap;

    (void)state;
    sim_change_alone(c, CONF_CHANGE_ADD_LEARNER_NODE, 6, NULL);
    snap = snapshots_make_head(c->nodes[1].node);
    assert_int_equal(snap->conf_state.learners.n, 1);
    assert_int_equal(snap->n_members, 1);
    assert_int_equal(snap->members[0].id, 1);
    assert_int_equal(snap->index, c->nodes[1].node->applied);
    raft_snapshot_unref(snap);
    sim_cluster_release(c);
}

/* --- a snapshot on its way to a peer --- */

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
        assert_string_equal(sim_member_url(c, 4, id), c->nodes[id].url);
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
    struct sim_cluster *c = sim_alone(&cluster);
    struct raft_entry *e = sim_put_entry("/a", "1", 1);

    (void)state;
    assert_true(apply_can_take(c->nodes[1].node, e));
    raft_entry_unref(e);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].payload != NULL) {
            e = raft_entry_new(cases[i].type, sim_text(cases[i].payload));
        } else {
            struct conf_change cc = {.type = cases[i].change, .node_id = 9};

            if (cases[i].context != NULL) {
                cc.context = sim_text(cases[i].context);
            }
            e = sim_change_entry(&cc);
        }
        if (apply_can_take(c->nodes[1].node, e) != cases[i].ok) {
            fail_msg("%s", cases[i].name);
        }
        raft_entry_unref(e);
    }
    e = sim_change_v2_entry(&v2);
    assert_false(apply_can_take(c->nodes[1].node, e));
    raft_entry_unref(e);
    sim_cluster_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unreadable_entry_stops_the_node),
        cmocka_unit_test(test_empty_entries_change_nothing),
        cmocka_unit_test(test_ids_seen_in_the_log_are_not_used_again),
        cmocka_unit_test(test_ids_of_unapplied_entries_are_not_used_again),
        cmocka_unit_test(test_entry_of_an_older_term_answers_nobody),
        cmocka_unit_test(test_snapshot_without_urls_takes_those_of_the_list),
        cmocka_unit_test(test_snapshot_says_who_and_where),
        cmocka_unit_test(test_joiner_forgets_those_of_the_list),
        cmocka_unit_test(test_snapshot_replaces_map_and_members),
        cmocka_unit_test(test_node_does_not_start_from_a_bad_image),
        cmocka_unit_test(test_restart_applies_only_what_is_behind_the_snapshot),
        cmocka_unit_test(test_snapshots_of_two_nodes_are_the_same_bytes),
        cmocka_unit_test(test_snapshot_lists_known_addresses_only),
        cmocka_unit_test(test_joiner_is_named_in_the_snapshot_it_gets),
        cmocka_unit_test(test_what_can_be_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
