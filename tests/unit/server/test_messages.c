/* Goal: nothing that a peer sends can harm the log of everybody, changes of
 * members wait for each other, and a node whose disk lost data notices. Method:
 * messages stepped by hand into nodes of a cluster in one process. */

#include "src/base/bounds.h"
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

static uint64_t other_than(uint64_t id)
{
    return id == 1 ? 2 : 1;
}

/* --- entries --- */

static struct raft_entry *change_entry(uint64_t type, uint64_t id,
                                       const char *url)
{
    struct conf_change cc = {.type = type, .node_id = id};

    if (url != NULL) {
        cc.context = sim_text(url);
    }
    return sim_change_entry(&cc);
}

/* A proposal as `from` forwards it; the entries are taken over. */
static int step_proposal(struct raftnode *node, uint64_t from,
                         struct raft_entry **entries, size_t n)
{
    struct raft_message m = {
        .type = RAFT_MSG_PROP, .to = node->id, .from = from};
    int rc;

    for (size_t i = 0; i < n; i++) {
        raft_entries_take(&m.entries, entries[i]);
    }
    rc = raftnode_step(node, &m);
    raft_message_release(&m);
    return rc;
}

static int step_change(struct raftnode *node, uint64_t from, uint64_t member)
{
    struct raft_entry *e =
        change_entry(CONF_CHANGE_ADD_LEARNER_NODE, member, "http://10.9.9.9:1");

    return step_proposal(node, from, &e, 1);
}

static uint64_t last_index(const struct raftnode *node)
{
    struct raftnode_status st;
    uint64_t last;

    raftnode_get_status(node, &st);
    last = st.raft.last_index;
    raftnode_status_release(&st);
    return last;
}

static uint64_t term_of(const struct raftnode *node)
{
    struct raftnode_status st;
    uint64_t term;

    raftnode_get_status(node, &st);
    term = st.raft.hard_state.term;
    raftnode_status_release(&st);
    return term;
}

/* --- proposals at the door --- */

static void test_proposal_that_cannot_be_applied_is_refused(void **state)
{
    struct {
        const char *name;
        struct raft_entry *e;
    } cases[] = {
        {"command", raft_entry_new(RAFT_ENTRY_NORMAL, sim_text("junk"))},
        {"type", raft_entry_new(9, sim_text(""))},
        {"change", raft_entry_new(RAFT_ENTRY_CONF_CHANGE, sim_text("\xff"))},
        {"change v2",
         raft_entry_new(RAFT_ENTRY_CONF_CHANGE_V2, sim_text("\xff"))},
        {"url", change_entry(CONF_CHANGE_ADD_NODE, 4, "junk")},
        {"kind of change", change_entry(9, 4, NULL)},
    };
    struct sim_cluster *c = sim_alone(&cluster);
    struct raftnode *node = c->nodes[1].node;
    uint64_t last = last_index(node);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        /* What comes with it is refused as well: all or none. */
        struct raft_entry *entries[] = {sim_put_entry("/a", "1", 0),
                                        cases[i].e};

        print_message("  %s\n", cases[i].name);
        c->nodes[1].last_error[0] = '\0';
        assert_int_equal(step_proposal(node, 2, entries, ARRAY_LEN(entries)),
                         ERR_REFUSED);
        assert_non_null(
            strstr(c->nodes[1].last_error, "proposal of member 2 refused"));
        sim_settle(c);
        assert_int_equal(last_index(node), last);
    }
    sim_expect_running(c, 1);
    sim_cluster_release(c);
}

static void test_sound_proposal_is_taken(void **state)
{
    struct sim_cluster *c = sim_alone(&cluster);
    struct raftnode *node = c->nodes[1].node;
    struct raft_entry *entries[] = {
        sim_put_entry("/a", "1", 0),
        raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){0}),
        change_entry(CONF_CHANGE_ADD_LEARNER_NODE, 4, "http://10.9.9.4:1"),
    };

    (void)state;
    assert_int_equal(step_proposal(node, 2, entries, ARRAY_LEN(entries)), 0);
    sim_settle(c);
    sim_expect(c, 1, "/a", "1");
    assert_string_equal(kvstore_member_url(node->store, 4),
                        "http://10.9.9.4:1");
    /* Without entries there is nothing to do, and nothing wrong. */
    assert_int_equal(step_proposal(node, 2, NULL, 0), 0);
    sim_expect_running(c, 1);
    sim_cluster_release(c);
}

/* --- snapshots at the door --- */

static void test_snapshot_with_bad_content_is_refused(void **state)
{
    static const char *const images[] = {
        "", "{", "{\"/a\":1}", "[]", "{\"/a\":\"1\"} x", "{\"/a\":\"1\",}"};
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raftnode *node = c->nodes[1].node;
    uint64_t applied;

    (void)state;
    sim_settle(c);
    applied = node->applied;
    for (size_t i = 0; i < ARRAY_LEN(images); i++) {
        c->nodes[1].last_error[0] = '\0';
        assert_int_equal(
            sim_feed_snapshot(c, sim_snapshot(50, 4, images[i], 3)),
            ERR_REFUSED);
        assert_non_null(
            strstr(c->nodes[1].last_error, "snapshot of member 2 refused"));
    }
    assert_int_equal(sim_feed_snapshot(c, NULL), ERR_REFUSED);
    sim_expect_running(c, 1);
    assert_int_equal(node->applied, applied);
    assert_int_equal(kvstore_n_members(node->store), 3);
    /* A sound one is taken after all that. */
    assert_int_equal(
        sim_feed_snapshot(c, sim_snapshot(50, 4, "{\"/a\":\"1\"}", 3)), 0);
    assert_int_equal(node->applied, 50);
    assert_int_equal(kvstore_len(node->store), 1);
    sim_cluster_release(c);
}

/* Members that contradict each other: nothing is changed. */
static void test_snapshot_with_impossible_members_is_ignored(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raftnode *node = c->nodes[1].node;
    struct raft_snapshot *snap = sim_snapshot(50, 4, "{}", 3);
    uint64_t applied;

    (void)state;
    sim_settle(c);
    applied = node->applied;
    for (uint64_t id = 1; id <= 3; id++) {
        id_list_push(&snap->conf_state.learners, id);
    }
    assert_int_equal(sim_feed_snapshot(c, snap), 0);
    snap = sim_snapshot(50, 4, "{}", 3);
    snap->conf_state.voters.ids[0] = 7; /* without this node */
    assert_int_equal(sim_feed_snapshot(c, snap), 0);
    sim_expect_running(c, 1);
    assert_int_equal(node->applied, applied);
    sim_cluster_release(c);
}

/* --- a log that lost its end [reliability F12] --- */

static int step_heartbeat(struct raftnode *node, uint64_t term, uint64_t commit)
{
    struct raft_message m = {.type = RAFT_MSG_HEARTBEAT,
                             .to = node->id,
                             .from = 2,
                             .term = term,
                             .commit = commit};

    return raftnode_step(node, &m);
}

static void test_heartbeat_beyond_the_log_stops_the_node(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raftnode *node = c->nodes[1].node;
    uint64_t last;
    const char *why;
    char want[64];

    (void)state;
    sim_settle(c);
    last = last_index(node);
    assert_int_equal(step_heartbeat(node, 5, 0), 0);
    assert_int_equal(step_heartbeat(node, 5, last), 0);
    /* From the past: the entries may have been overwritten since. */
    assert_int_equal(step_heartbeat(node, 4, last + 1), 0);
    raftnode_process(node);
    sim_expect_running(c, 1);
    assert_int_equal(step_heartbeat(node, 5, last + 7), ERR_STOPPED);
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_FAILED);
    (void)snprintf(want, sizeof(want),
                   "log ends at %d, was acknowledged up to %d", (int)last,
                   (int)last + 7);
    assert_non_null(strstr(why, want));
    assert_non_null(strstr(why, "remove this member"));
    /* And nothing is taken any more. */
    assert_int_equal(step_heartbeat(node, 6, 0), ERR_STOPPED);
    assert_int_equal(term_of(node), 5);
    sim_cluster_release(c);
}

static int step_append(struct raftnode *node, uint64_t term, uint64_t index,
                       uint64_t log_term)
{
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .to = node->id,
                             .from = 2,
                             .term = term,
                             .index = index,
                             .log_term = log_term};

    return raftnode_step(node, &m);
}

/* What was overwritten has come back: the log is long enough, and says
 * something else than the leader's, where both are committed. */
static void test_contradiction_to_what_is_applied_stops_the_node(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 3, .seed = 7, .snapshot_count = 5});
    struct raftnode *node = c->nodes[1].node;
    const char *why;

    (void)state;
    sim_settle(c);
    assert_int_equal(step_heartbeat(node, 5, node->applied), 0);
    raftnode_process(node);
    assert_int_equal(step_append(node, 5, node->applied, 1), 0);
    /* Not applied, so nobody has counted on it. */
    assert_int_equal(step_append(node, 5, node->applied + 1, 3), 0);
    /* From the past: its log may hold what was overwritten since. */
    assert_int_equal(step_append(node, 4, node->applied, 3), 0);
    raftnode_process(node);
    sim_expect_running(c, 1);
    assert_int_equal(step_append(node, 5, node->applied, 3), ERR_STOPPED);
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_FAILED);
    assert_non_null(strstr(why, "of term 1 here and of term 3 at its leader"));
    assert_non_null(strstr(why, "this disk lost data; remove this member"));
    sim_cluster_release(c);
}

/* Entries that are on their way to the disk count: the leader may know of them
 * from a write that was faster. */
static void test_entries_not_yet_written_are_not_lost(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 3, .seed = 7, .late_writes = true});
    struct raftnode *node = c->nodes[1].node;
    struct raft_message m = {
        .type = RAFT_MSG_APP, .to = 1, .from = 2, .term = 5};

    (void)state;
    sim_settle(c);
    m.index = last_index(node);
    m.log_term = 1;
    m.commit = m.index;
    raft_entries_take(&m.entries, sim_put_entry("/a", "1", 0));
    m.entries.items[0]->term = 5;
    m.entries.items[0]->index = m.index + 1;
    assert_int_equal(raftnode_step(node, &m), 0);
    assert_true(memory_storage_last_index(&node->log) == m.index);
    assert_int_equal(step_heartbeat(node, 5, m.index + 1), 0);
    sim_expect_running(c, 1);
    raft_message_release(&m);
    sim_settle(c);
    assert_int_equal(kvstore_len(node->store), 1);
    sim_cluster_release(c);
}

/* Of the configuration that raft counts by. */
static size_t n_voters(const struct raftnode *node)
{
    struct conf_state cs;
    size_t n;

    rawnode_conf_state(node->raw, &cs);
    n = cs.voters.n;
    conf_state_release(&cs);
    return n;
}

/* A change of members is in the Ready that waits for the disk, and a snapshot
 * comes of a time at which it was undone again. Applied over the configuration
 * of the snapshot, the change would stay in force in raft. */
static void test_snapshot_does_not_overtake_a_change(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 3, .seed = 7, .late_writes = true});
    struct raftnode *node = c->nodes[1].node;
    struct raft_entry *add =
        change_entry(CONF_CHANGE_ADD_NODE, 4, "http://10.9.9.4:1");

    (void)state;
    sim_feed(c, &add, 1);
    assert_true(sim_node_write(&c->nodes[1]));
    sim_node_tell(&c->nodes[1]);
    raftnode_process(node);
    assert_int_equal(node->phase, PHASE_WRITING);
    assert_false(list_is_empty(&node->applies));
    assert_int_equal(
        sim_feed_snapshot(c, sim_snapshot(100, SIM_FEED_TERM, "{}", 3)), 0);
    sim_settle(c);
    assert_int_equal(n_voters(node), node->conf_state.voters.n);
    /* It has waited: no leader of the Go program would send it again. */
    assert_int_equal(node->applied, 100);
    assert_int_equal(node->conf_state.voters.n, 3);
    assert_int_equal(n_voters(node), 3);
    sim_expect_running(c, 1);
    sim_cluster_release(c);
}

/* --- membership changes wait for each other --- */

static void test_forwarded_changes_are_made_one_by_one(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;
    uint64_t last;
    struct raft_entry *put = sim_put_entry("/a", "1", 0);

    (void)state;
    sim_settle(c);
    last = last_index(node);
    sim_isolate(c, leader, true);
    for (uint64_t id = 4; id <= 6; id++) {
        assert_int_equal(step_change(node, other_than(leader), id), 0);
    }
    assert_int_equal(node->n_parked, 2);
    /* Puts pass by. */
    assert_int_equal(step_proposal(node, other_than(leader), &put, 1), 0);
    sim_settle(c);
    assert_int_equal(last_index(node), last + 2);
    assert_int_equal(node->n_parked, 2);
    sim_isolate(c, leader, false);
    sim_run(c, 5);
    assert_int_equal(node->n_parked, 0);
    assert_int_equal(last_index(node), last + 4);
    assert_int_equal(node->conf_state.learners.n, 3);
    for (uint64_t at = 1; at <= 3; at++) {
        assert_int_equal(kvstore_n_members(raftnode_store(c->nodes[at].node)),
                         6);
    }
    sim_cluster_release(c);
}

/* By then its client has been told that nobody knows. */
static void test_parked_change_is_dropped_after_its_time(void **state)
{
    struct sim_cluster *c = begin(
        &(struct sim_options){.n = 3, .seed = 7, .request_timeout_ticks = 3});
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;

    (void)state;
    sim_settle(c);
    sim_isolate(c, leader, true);
    assert_int_equal(step_change(node, other_than(leader), 4), 0);
    assert_int_equal(step_change(node, other_than(leader), 5), 0);
    sim_run(c, 2);
    assert_int_equal(node->n_parked, 1);
    sim_run(c, 1);
    assert_int_equal(node->n_parked, 0);
    sim_isolate(c, leader, false);
    sim_run(c, 20);
    assert_true(kvstore_has_member(node->store, 4));
    assert_false(kvstore_has_member(node->store, 5));
    sim_cluster_release(c);
}

static void test_parked_changes_are_bounded(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    struct raftnode *node = c->nodes[leader].node;

    (void)state;
    sim_settle(c);
    sim_isolate(c, leader, true);
    for (uint64_t id = 0; id < PARKED_CONF_CHANGES_MAX + 10; id++) {
        assert_int_equal(step_change(node, other_than(leader), 10 + id), 0);
    }
    assert_int_equal(node->n_parked, PARKED_CONF_CHANGES_MAX);
    sim_cluster_release(c); /* and freed with the node */
}

/* A leader loses its place with a change in its log and another one parked. The
 * first is overwritten; the second goes to the next leader if one is known by
 * then, and is dropped if not: it is in no log. */
static void lose_leadership(bool next_is_known)
{
    struct sim_cluster *c = begin(
        &(struct sim_options){.n = 3, .seed = 7, .request_timeout_ticks = 200});
    uint64_t old = sim_elect(c);
    struct raftnode *node = c->nodes[old].node;

    sim_settle(c);
    sim_isolate(c, old, true);
    assert_int_equal(step_change(node, other_than(old), 4), 0);
    assert_int_equal(step_change(node, other_than(old), 5), 0);
    assert_int_not_equal(sim_elect(c), 0);
    if (!next_is_known) {
        sim_run(c, 30);
        assert_int_equal(raftnode_leader(node), 0);
        assert_int_equal(node->n_parked, 0);
    } else {
        assert_true(raftnode_is_leader(node)); /* it does not know yet */
        assert_int_equal(node->n_parked, 1);
    }
    sim_isolate(c, old, false);
    sim_run(c, 30);
    assert_int_equal(node->n_parked, 0);
    assert_false(kvstore_has_member(node->store, 4));
    assert_int_equal(kvstore_has_member(node->store, 5), next_is_known);
    sim_expect_running(c, old);
    sim_cluster_release(c);
}

static void test_parked_change_goes_to_the_next_leader(void **state)
{
    (void)state;
    lose_leadership(true);
}

static void test_parked_change_is_dropped_without_a_leader(void **state)
{
    (void)state;
    lose_leadership(false);
}

/* --- snapshots on their way out --- */

/* The snapshots that the node sent, instead of sending. */
struct sent_snapshots {
    struct raft_snapshot *last; /* one reference */
    unsigned n;
};

static void keep_snapshots(void *ctx, const struct raft_message *messages,
                           size_t n)
{
    struct sent_snapshots *s = ctx;

    for (size_t i = 0; i < n; i++) {
        if (messages[i].type == RAFT_MSG_SNAP) {
            raft_snapshot_unref(s->last);
            s->last = raft_snapshot_ref(messages[i].snapshot);
            s->n++;
        }
    }
}

static void ignore_add(void *ctx, uint64_t id, const char *url)
{
    (void)ctx;
    (void)id;
    (void)url;
}

/* The last snapshot is older than the member it is sent to: without its name in
 * it the receiver would ignore it. */
static void test_snapshot_leaves_with_the_members_of_now(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 1, .seed = 1, .snapshot_count = 10});
    struct raftnode *node = c->nodes[1].node;
    struct raft_entry *add =
        change_entry(CONF_CHANGE_ADD_LEARNER_NODE, 4, "http://10.9.9.4:1");
    struct sent_snapshots sent = {0};

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    for (unsigned i = 0; i < 15; i++) {
        assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
    }
    assert_true(node->snapshot_index > 0);
    node->peers.ctx = &sent;
    node->peers.send = keep_snapshots;
    node->peers.add = ignore_add;
    assert_int_equal(step_proposal(node, 1, &add, 1), 0);
    sim_settle(c);
    /* It says that it has nothing. */
    assert_int_equal(
        raftnode_step(node,
                      &(struct raft_message){.type = RAFT_MSG_HEARTBEAT_RESP,
                                             .to = 1,
                                             .from = 4,
                                             .term = term_of(node)}),
        0);
    sim_settle(c);
    assert_int_equal(
        raftnode_step(node,
                      &(struct raft_message){.type = RAFT_MSG_APP_RESP,
                                             .to = 1,
                                             .from = 4,
                                             .term = term_of(node),
                                             .index = last_index(node) - 1,
                                             .reject = true}),
        0);
    sim_settle(c);
    assert_int_equal(sent.n, 1);
    assert_int_equal(sent.last->index, node->applied);
    assert_true(id_list_contains(&sent.last->conf_state.learners, 4));
    assert_int_equal(sent.last->n_members, 2);
    assert_string_equal(sent.last->members[1].url, "http://10.9.9.4:1");
    /* It is the one that is kept, too. */
    assert_int_equal(node->log.snapshot->index, sent.last->index);
    raft_snapshot_unref(sent.last);
    sim_cluster_release(c);
}

/* --- reports --- */

/* One that was removed serves nobody, and leaves when a majority of the others
 * says so: of five, two of the other four are not enough, nor is one twice. */
static void test_removal_told_by_peers(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 5, .seed = 7});
    struct raftnode *node = c->nodes[1].node;
    struct sim_op *op;
    const char *why;

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    /* Not to be known is nothing yet: the peer may be behind. */
    raftnode_report_unknown(node, 2);
    assert_true(raftnode_healthy(node, &why));
    raftnode_report_removed(node, 3);
    raftnode_report_removed(node, 3);
    raftnode_report_removed(node, 4);
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_RUNNING);
    assert_false(raftnode_healthy(node, &why));
    assert_non_null(strstr(why, "removed"));
    op = sim_put(c, 1, "/a", "1");
    assert_true(op->done);
    assert_int_equal(op->rc, ERR_SELF_REMOVED);
    sim_op_free(c, op);
    raftnode_report_removed(node, 9); /* no voter */
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_RUNNING);
    /* To one that knows it was removed, not to be known says the same. */
    raftnode_report_unknown(node, 5);
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_REMOVED);
    assert_non_null(strstr(why, "id 1"));
    assert_int_equal(step_heartbeat(node, 9, 0), ERR_STOPPED);
    sim_cluster_release(c);
}

/* Its vote may be needed by those who do not know yet: it waits, however long
 * it takes. */
static void test_removal_that_few_can_tell(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raftnode *node = c->nodes[1].node;
    const char *why;

    (void)state;
    assert_int_not_equal(sim_elect(c), 0);
    sim_isolate(c, 1, true);
    raftnode_report_removed(node, 3);
    sim_run(c, 2000);
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_RUNNING);
    raftnode_report_removed(node, 2);
    assert_int_equal(raftnode_condition(node, &why), RAFTNODE_REMOVED);
    sim_cluster_release(c);
}

/* Reports about anybody, at any time, and messages that nobody waits for. */
static void test_useless_input_does_no_harm(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raftnode *node = c->nodes[1].node;
    uint64_t leader;

    (void)state;
    for (uint64_t id = 0; id <= 9; id++) {
        raftnode_report_unreachable(node, id);
        raftnode_report_snapshot(node, id, true);
        raftnode_report_snapshot(node, id, false);
    }
    leader = sim_elect(c);
    for (uint64_t type = 0; type <= RAFT_MSG_TYPES; type++) {
        struct raft_message m = {.type = type, .to = 1, .from = 9};

        for (m.term = 0; m.term <= 1; m.term++) {
            int rc = raftnode_step(node, &m);

            assert_true(rc == 0 || type == RAFT_MSG_SNAP);
        }
    }
    sim_run(c, 30);
    sim_expect_running(c, 1);
    assert_int_equal(sim_elect(c), leader);
    assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
    sim_cluster_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proposal_that_cannot_be_applied_is_refused),
        cmocka_unit_test(test_sound_proposal_is_taken),
        cmocka_unit_test(test_snapshot_with_bad_content_is_refused),
        cmocka_unit_test(test_snapshot_with_impossible_members_is_ignored),
        cmocka_unit_test(test_heartbeat_beyond_the_log_stops_the_node),
        cmocka_unit_test(test_contradiction_to_what_is_applied_stops_the_node),
        cmocka_unit_test(test_entries_not_yet_written_are_not_lost),
        cmocka_unit_test(test_snapshot_does_not_overtake_a_change),
        cmocka_unit_test(test_forwarded_changes_are_made_one_by_one),
        cmocka_unit_test(test_parked_change_is_dropped_after_its_time),
        cmocka_unit_test(test_parked_changes_are_bounded),
        cmocka_unit_test(test_parked_change_goes_to_the_next_leader),
        cmocka_unit_test(test_parked_change_is_dropped_without_a_leader),
        cmocka_unit_test(test_snapshot_leaves_with_the_members_of_now),
        cmocka_unit_test(test_removal_told_by_peers),
        cmocka_unit_test(test_removal_that_few_can_tell),
        cmocka_unit_test(test_useless_input_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
