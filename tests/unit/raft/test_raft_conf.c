/* Membership: what may be proposed, when it takes effect, who may campaign
 * meanwhile, and how a joint configuration is left.
 *
 * Goal: raft-core 19.5 to 19.8. Method: single nodes with entries committed by
 * hand, networks where a campaign or transfer has to be refused; names and
 * scenarios of etcd-io/raft raft_test.go, plus A2 of raft-tests. */

#include "tests/lib/raft_fixture.h"

static const struct raft_entry *last_entry(struct node *n)
{
    const struct unstable *u = &n->r.log.unstable;

    assert_true(unstable_len(u) > 0);
    return entry_queue_at(&u->entries, unstable_len(u) - 1);
}

/* --- proposing --- */

static void test_step_config(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct conf_change cc = {0};
    uint64_t last;

    (void)state;
    node_become_leader(n);
    last = raft_log_last_index(&n->r.log);
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    assert_int_equal(raft_log_last_index(&n->r.log), last + 1);
    assert_int_equal(n->r.pending_conf_index, last + 1);
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_CONF_CHANGE);
    node_free(n);
}

static void test_step_ignore_config(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct conf_change cc = {0};
    uint64_t pending;
    uint64_t last;

    (void)state;
    node_become_leader(n);
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    last = raft_log_last_index(&n->r.log);
    pending = n->r.pending_conf_index;
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    /* Replaced by an empty entry, without an error. */
    assert_int_equal(raft_log_last_index(&n->r.log), last + 1);
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_NORMAL);
    assert_false(last_entry(n)->has_data);
    assert_int_equal(n->r.pending_conf_index, pending);
    node_free(n);
}

/* CC-21 b, c: a joint configuration must be left, and only that. */
static void test_propose_only_what_fits_the_configuration(void **state)
{
    struct conf_change_single one = {CONF_CHANGE_ADD_NODE, 3};
    struct conf_change_v2 change = {.changes = &one, .n_changes = 1};
    struct conf_change_v2 leave = {0};
    struct node *n = NODE(.voters = IDS(1), .voters_outgoing = IDS(1, 2));

    (void)state;
    node_become_leader(n);
    n->r.pending_conf_index = 0;
    node_step(n, with_conf_change_v2(MSG(PROP, 1, 1), &change));
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_NORMAL);
    assert_int_equal(n->r.pending_conf_index, 0);
    node_step(n, with_conf_change_v2(MSG(PROP, 1, 1), &leave));
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_CONF_CHANGE_V2);
    node_free(n);

    n = NODE(.voters = IDS(1, 2));
    node_become_leader(n);
    n->r.pending_conf_index = 0;
    node_step(n, with_conf_change_v2(MSG(PROP, 1, 1), &leave));
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_NORMAL);
    node_step(n, with_conf_change_v2(MSG(PROP, 1, 1), &change));
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_CONF_CHANGE_V2);
    node_free(n);
}

static void test_disable_conf_change_validation(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .disable_conf_change_validation = true);
    struct conf_change cc = {0};

    (void)state;
    node_become_leader(n);
    for (uint64_t i = 2; i <= 4; i++) {
        node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
        assert_int_equal(last_entry(n)->type, RAFT_ENTRY_CONF_CHANGE);
        assert_int_equal(n->r.pending_conf_index, i);
    }
    node_free(n);
}

static void test_new_leader_pending_config(void **state)
{
    const struct {
        bool add_entry;
        uint64_t want;
    } cases[] = {{false, 0}, {true, 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2));

        if (cases[i].add_entry) {
            struct raft_entry *e = test_entry(0, 0);

            assert_true(raft_append_entry(&n->r, &e, 1));
            raft_entry_unref(e);
        }
        node_become_leader(n);
        assert_int_equal(n->r.pending_conf_index, cases[i].want);
        node_free(n);
    }
}

/* PR-3: a batch refused by the size limit leaves the mark raised. */
static void test_refused_batch_keeps_pending_conf_index(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .max_uncommitted_entries_size = 8);
    struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE, .node_id = 3};

    (void)state;
    node_become_leader(n);
    node_propose(n, "12345678");
    assert_int_equal(node_step_rc(n, with_conf_change(MSG(PROP, 1, 1), &cc)),
                     ERR_PROPOSAL_DROPPED);
    assert_int_equal(raft_log_last_index(&n->r.log), 2);
    node_uncheck(n); /* the mark is beyond the log */
    assert_int_equal(n->r.pending_conf_index, 3);
    node_free(n);
}

/* --- applying --- */

static void test_add_node(void **state)
{
    struct node *n = NODE(.voters = IDS(1));

    (void)state;
    node_apply(n, CONF_CHANGE_ADD_NODE, 2);
    assert_voters(n, IDS(1, 2));
    node_free(n);
}

static void test_add_learner(void **state)
{
    struct node *n = NODE(.voters = IDS(1));

    (void)state;
    node_apply(n, CONF_CHANGE_ADD_LEARNER_NODE, 2);
    assert_false(n->r.is_learner);
    assert_learners(n, IDS(2));
    assert_true(pr_of(n, 2)->is_learner);

    node_apply(n, CONF_CHANGE_ADD_NODE, 2);
    assert_false(pr_of(n, 2)->is_learner);

    node_apply(n, CONF_CHANGE_ADD_LEARNER_NODE, 1);
    assert_true(pr_of(n, 1)->is_learner);
    assert_true(n->r.is_learner);

    node_apply(n, CONF_CHANGE_ADD_NODE, 1);
    assert_false(pr_of(n, 1)->is_learner);
    assert_false(n->r.is_learner);
    node_free(n);
}

static void test_remove_node(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_apply(n, CONF_CHANGE_REMOVE_NODE, 2);
    assert_voters(n, IDS(1));
    assert_fatal(&raft_trap, node_apply(n, CONF_CHANGE_REMOVE_NODE, 1));
    node_free(n);
}

static void test_remove_learner(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .learners = IDS(2));

    (void)state;
    node_apply(n, CONF_CHANGE_REMOVE_NODE, 2);
    assert_voters(n, IDS(1));
    assert_learners(n, (struct id_list){NULL, 0});
    assert_fatal(&raft_trap, node_apply(n, CONF_CHANGE_REMOVE_NODE, 1));
    node_free(n);
}

static void test_raft_nodes(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    assert_voters(n, IDS(1, 2, 3));
    node_free(n);
    n = NODE(.voters = IDS(3, 2, 1));
    assert_voters(n, IDS(1, 2, 3));
    node_free(n);
}

/* A change cancelled by its application. */
static void test_change_of_node_0_changes_nothing(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));

    (void)state;
    node_apply(n, CONF_CHANGE_REMOVE_NODE, 0);
    assert_voters(n, IDS(1, 2));
    node_free(n);
}

/* New members are sent what there is at once (PF-32). */
static void test_new_member_is_probed_immediately(void **state)
{
    struct node *n = NODE(.voters = IDS(1));
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    next_ents(n, NULL);
    drop_messages(&n->r);
    node_apply(n, CONF_CHANGE_ADD_NODE, 2);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_APP);
    assert_int_equal(q.items[0].to, 2);
    message_queue_release(&q);
    assert_int_equal(pr_of(n, 2)->next, 1);
    assert_true(pr_of(n, 2)->recent_active);
    node_free(n);
}

/* --- a leader that is removed --- */

static void test_removed_leader_stays_without_step_down(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_apply(n, CONF_CHANGE_REMOVE_NODE, 1);
    assert_int_equal(n->r.role, RAFT_LEADER);
    assert_int_equal(node_step_rc(n, with_data(MSG(PROP, 1, 1), "x")),
                     ERR_PROPOSAL_DROPPED);
    /* It goes on to replicate, without counting itself. */
    n->r.tick(&n->r);
    assert_int_equal(drop_messages(&n->r), 2);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    assert_int_equal(n->r.log.committed, 0);
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 1));
    assert_int_equal(n->r.log.committed, 1);
    node_free(n);
}

static void test_step_down_on_removal(void **state)
{
    const enum conf_change_type changes[] = {CONF_CHANGE_REMOVE_NODE,
                                             CONF_CHANGE_ADD_LEARNER_NODE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct node *n =
            NODE(.voters = IDS(1, 2, 3), .step_down_on_removal = true);

        node_become_leader(n);
        drop_messages(&n->r);
        node_apply(n, changes[i], 1);
        assert_role(n, RAFT_FOLLOWER, 1);
        assert_int_equal(n->r.lead, RAFT_NONE);
        assert_int_equal(drop_messages(&n->r), 0);
        node_free(n);
    }
}

/* --- the vote of a removed member --- */

/* The answer to a request of member 2 whose log ends at `index` of `term`. */
static bool grants(struct node *n, enum raft_message_type type, uint64_t term,
                   uint64_t index)
{
    struct message_queue q;
    bool granted;

    node_step(n, (struct raft_message){.type = type,
                                       .from = 2,
                                       .to = 1,
                                       .term = 9,
                                       .log_term = term,
                                       .index = index});
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    granted = !q.items[0].reject;
    message_queue_release(&q);
    return granted;
}

static void append_change(struct node *n, enum conf_change_type type,
                          uint64_t id)
{
    struct conf_change cc = {.type = type, .node_id = id};
    struct raft_message m = with_conf_change(
        MSG(APP, 2, 1, .term = 3, .log_term = 3, .index = 4, .commit = 2), &cc);

    m.entries.items[0]->index = 5;
    m.entries.items[0]->term = 3;
    node_step(n, m);
    drop_messages(&n->r);
}

/* The log has the terms 1 2 2 3, the first two entries are committed. Who votes
 * compares the whole log; who does not, what is committed, unless a change
 * behind it could bring the node back, or the others need no vote of it. */
static void test_vote_of_removed_member(void **state)
{
    const struct {
        const char *name;
        struct id_list voters, learners, outgoing;
        bool change_behind;
        uint64_t term, index; /* where the candidate's log ends */
        bool granted;
    } cases[] = {
        {"removed", IDS(2), NO_IDS, NO_IDS, false, 2, 2, true},
        {"removed, later term", IDS(2, 3, 4), NO_IDS, NO_IDS, false, 3, 2,
         true},
        {"removed, less than committed", IDS(2), NO_IDS, NO_IDS, false, 2, 1,
         false},
        {"removed, older term", IDS(2), NO_IDS, NO_IDS, false, 1, 9, false},
        {"removed, a change behind", IDS(2), NO_IDS, NO_IDS, true, 3, 4, false},
        {"removed, all", IDS(2), NO_IDS, NO_IDS, true, 3, 5, true},
        {"removed, of three", IDS(2, 3), NO_IDS, NO_IDS, false, 2, 2, false},
        {"removed, of three, all", IDS(2, 3), NO_IDS, NO_IDS, false, 3, 4,
         true},
        {"voter", IDS(1, 2, 3), NO_IDS, NO_IDS, false, 2, 3, false},
        {"voter, all", IDS(1, 2, 3), NO_IDS, NO_IDS, false, 3, 4, true},
        {"learner", IDS(2), IDS(1), NO_IDS, false, 2, 2, true},
        {"learner, less than committed", IDS(2), IDS(1), NO_IDS, false, 2, 1,
         false},
        {"learner, of three", IDS(2, 3), IDS(1), NO_IDS, false, 2, 2, false},
        {"removed, joint", IDS(2), NO_IDS, IDS(2, 3), false, 2, 2, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int pre = 0; pre < 2; pre++) {
            struct node *n =
                NODE(.voters = cases[i].voters, .learners = cases[i].learners,
                     .voters_outgoing = cases[i].outgoing,
                     .log = TERMS(1, 2, 2, 3), .hs = {.term = 3, .commit = 2},
                     .applied = 2);

            if (cases[i].change_behind) {
                append_change(n, CONF_CHANGE_ADD_NODE, 1);
            }
            if (grants(n, pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE,
                       cases[i].term, cases[i].index) != cases[i].granted) {
                fail_msg("%s", cases[i].name);
            }
            node_free(n);
        }
    }
}

/* What a snapshot says of the members counts, what it holds is not there yet.
 */
static void test_vote_with_a_snapshot_under_way(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct raft_snapshot *s = member_snapshot(11, 3, IDS(2), IDS(1));

    (void)state;
    node_step(n, with_snapshot(MSG(SNAP, 2, 1, .term = 3), s));
    raft_snapshot_unref(s);
    drop_messages(&n->r);
    assert_false(grants(n, RAFT_MSG_PRE_VOTE, 3, 10));
    assert_true(grants(n, RAFT_MSG_VOTE, 3, 11));
    node_free(n);
}

/* Of three members, the third is removed. Member 1, the leader, has the removal
 * committed and not applied yet: what comes behind it is committed by counting
 * the third all the same. It knows that it was removed, and not what is
 * committed behind that: for member 2, which has nothing of it, it must not
 * vote [Raft 5.4.3]. */
static void
test_removed_member_does_not_vote_away_what_it_counted_for(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_REMOVE_NODE, .node_id = 3};
    struct node *n1 = NODE(.voters = IDS(1, 2, 3));
    struct node *n3;

    (void)state;
    node_become_leader(n1); /* entry 1 */
    node_step(n1, with_conf_change(MSG(PROP, 1, 1), &cc));
    node_step(n1, with_data(MSG(PROP, 1, 1), "behind it"));
    advance_messages_after_append(&n1->r);
    node_step(n1, MSG(APP_RESP, 3, 1, .term = 1, .index = 2));
    assert_int_equal(n1->r.log.committed, 2);
    node_step(n1, MSG(APP_RESP, 3, 1, .term = 1, .index = 3));
    assert_int_equal(n1->r.log.committed, 3);
    drop_messages(&n1->r);
    node_free(n1);

    /* The third's part is played by number 1. */
    n3 = NODE(.voters = IDS(2, 3), .log = TERMS(1, 1, 1),
              .hs = {.term = 1, .commit = 2}, .applied = 2);
    assert_false(grants(n3, RAFT_MSG_VOTE, 1, 2));
    assert_true(grants(n3, RAFT_MSG_VOTE, 1, 3));
    node_free(n3);
}

/* Of two members, the leader is removed, and loses the lead with an entry that
 * only it has. The other one, which has not heard of the commit, is elected and
 * learns it. */
static void test_removed_leader_elects_the_other(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_REMOVE_NODE, .node_id = 1};
    struct network nt;
    struct node *n1;
    struct node *n2;

    (void)state;
    NETWORK(&nt, NULL, NULL);
    n1 = nt.nodes[1];
    n2 = nt.nodes[2];
    network_hup(&nt, 1);
    network_send(&nt, with_conf_change(MSG(PROP, 1, 1), &cc));
    assert_int_equal(n1->r.log.committed, 2);
    network_isolate(&nt, 1);
    network_send(&nt, with_data(MSG(PROP, 1, 1), "on node 1 only"));
    next_ents(n1, NULL);
    node_apply(n1, CONF_CHANGE_REMOVE_NODE, 1);
    drop_messages(&n1->r);
    raft_become_follower(&n1->r, n1->r.term, RAFT_NONE);
    assert_int_equal(raft_log_last_index(&n1->r.log), 3);
    network_recover(&nt);

    next_ents(n2, NULL);
    network_hup(&nt, 2);
    assert_role(n2, RAFT_LEADER, 2);
    assert_int_equal(n2->r.log.committed, 3);
    assert_int_equal(n1->r.log.committed, 3);
    network_release(&nt);
}

/* --- campaigns wait for changes to be applied --- */

static void commit_remove_2(struct network *nt, bool v2)
{
    struct conf_change cc = {.type = CONF_CHANGE_REMOVE_NODE, .node_id = 2};
    struct conf_change_single one = {CONF_CHANGE_REMOVE_NODE, 2};
    struct conf_change_v2 cc2 = {.changes = &one, .n_changes = 1};

    network_send(nt, v2 ? with_conf_change_v2(MSG(PROP, 1, 1), &cc2)
                        : with_conf_change(MSG(PROP, 1, 1), &cc));
}

static void tick_to_timeout(struct node *n)
{
    n->r.randomized_election_timeout = n->r.election_timeout;
    for (int i = 0; i < n->r.election_timeout; i++) {
        n->r.tick(&n->r);
    }
    advance_messages_after_append(&n->r);
}

static void conf_change_check_before_campaign(bool v2)
{
    struct network nt;
    struct node *n1;
    struct node *n2;

    NETWORK(&nt, NULL, NULL, NULL);
    n1 = nt.nodes[1];
    n2 = nt.nodes[2];
    network_hup(&nt, 1);
    commit_remove_2(&nt, v2);
    tick_to_timeout(n2);
    assert_int_equal(n2->r.role, RAFT_FOLLOWER);

    /* A transfer does not get around it. */
    network_transfer(&nt, 1, 2);
    assert_int_equal(n1->r.role, RAFT_LEADER);
    assert_int_equal(n2->r.role, RAFT_FOLLOWER);
    raft_abort_leader_transfer(&n1->r);

    next_ents(n1, NULL);
    next_ents(n2, NULL);
    network_transfer(&nt, 1, 2);
    assert_int_equal(n1->r.role, RAFT_FOLLOWER);
    assert_int_equal(n2->r.role, RAFT_LEADER);
    tick_to_timeout(n1);
    assert_int_equal(n1->r.role, RAFT_CANDIDATE);
    network_release(&nt);
}

static void test_conf_change_check_before_campaign(void **state)
{
    (void)state;
    conf_change_check_before_campaign(false);
}

static void test_conf_change_v2_check_before_campaign(void **state)
{
    (void)state;
    conf_change_check_before_campaign(true);
}

/* --- leaving a joint configuration --- */

static void apply_next(struct node *n)
{
    advance_messages_after_append(&n->r);
    raft_applied_to(&n->r, n->r.log.applied + 1, 0);
    advance_messages_after_append(&n->r);
    raft_check(&n->r);
}

/* A2: only when all up to pending_conf_index is applied, and once. */
static void test_auto_leave_waits_and_happens_once(void **state)
{
    struct node *n = NODE(.voters = IDS(1), .voters_outgoing = IDS(1),
                          .auto_leave = true, .log = TERMS(1, 1),
                          .hs = {.term = 1}, .max_committed_size_per_ready = 1);

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    advance_messages_after_append(&n->r);
    assert_int_equal(n->r.role, RAFT_LEADER);
    assert_int_equal(n->r.pending_conf_index, 2);
    assert_int_equal(raft_log_last_index(&n->r.log), 3);
    assert_int_equal(n->r.log.committed, 3);
    apply_next(n);
    assert_int_equal(raft_log_last_index(&n->r.log), 3);
    apply_next(n);
    assert_int_equal(raft_log_last_index(&n->r.log), 4);
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_CONF_CHANGE_V2);
    assert_false(last_entry(n)->has_data);
    assert_int_equal(n->r.pending_conf_index, 4);
    apply_next(n);
    assert_int_equal(raft_log_last_index(&n->r.log), 4);
    node_free(n);
}

/* Refused by a pending transfer, it is tried again. */
static void test_auto_leave_is_retried(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1), .voters_outgoing = IDS(1, 2), .auto_leave = true,
             .log = TERMS(1, 1), .hs = {.term = 1});

    (void)state;
    node_become_leader(n);
    advance_messages_after_append(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 2, .index = 3));
    assert_int_equal(n->r.log.committed, 3);
    node_step(n, MSG(TRANSFER_LEADER, 2, 1));
    raft_applied_to(&n->r, 2, 0);
    assert_int_equal(raft_log_last_index(&n->r.log), 3);
    raft_abort_leader_transfer(&n->r);
    raft_applied_to(&n->r, 3, 0);
    assert_int_equal(raft_log_last_index(&n->r.log), 4);
    assert_int_equal(last_entry(n)->type, RAFT_ENTRY_CONF_CHANGE_V2);
    node_free(n);
}

/* A commit in a joint configuration needs both majorities. */
static void test_joint_commit_needs_both_halves(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2, 3), .voters_outgoing = IDS(1, 4, 5));

    (void)state;
    node_become_leader(n);
    advance_messages_after_append(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 1));
    assert_int_equal(n->r.log.committed, 0);
    node_step(n, MSG(APP_RESP, 5, 1, .term = 1, .index = 1));
    assert_int_equal(n->r.log.committed, 1);
    node_free(n);
}

/* A smaller quorum may already have all it needs (CC-18). */
static void test_removal_commits_what_waited(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2));
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    advance_messages_after_append(&n->r);
    assert_int_equal(n->r.log.committed, 0);
    /* A read waits for the first commit as well. */
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    assert_int_equal(n->r.pending_reads.len, 1);
    node_apply(n, CONF_CHANGE_REMOVE_NODE, 2);
    assert_int_equal(n->r.log.committed, 1);
    assert_int_equal(n->r.n_read_states, 1);
    assert_int_equal(n->r.read_states[0].index, 1);
    q = read_messages(&n->r);
    message_queue_release(&q);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_config),
        cmocka_unit_test(test_step_ignore_config),
        cmocka_unit_test(test_propose_only_what_fits_the_configuration),
        cmocka_unit_test(test_disable_conf_change_validation),
        cmocka_unit_test(test_new_leader_pending_config),
        cmocka_unit_test(test_refused_batch_keeps_pending_conf_index),
        cmocka_unit_test(test_add_node),
        cmocka_unit_test(test_add_learner),
        cmocka_unit_test(test_remove_node),
        cmocka_unit_test(test_remove_learner),
        cmocka_unit_test(test_raft_nodes),
        cmocka_unit_test(test_change_of_node_0_changes_nothing),
        cmocka_unit_test(test_new_member_is_probed_immediately),
        cmocka_unit_test(test_removed_leader_stays_without_step_down),
        cmocka_unit_test(test_vote_of_removed_member),
        cmocka_unit_test(test_vote_with_a_snapshot_under_way),
        cmocka_unit_test(
            test_removed_member_does_not_vote_away_what_it_counted_for),
        cmocka_unit_test(test_removed_leader_elects_the_other),
        cmocka_unit_test(test_step_down_on_removal),
        cmocka_unit_test(test_conf_change_check_before_campaign),
        cmocka_unit_test(test_conf_change_v2_check_before_campaign),
        cmocka_unit_test(test_auto_leave_waits_and_happens_once),
        cmocka_unit_test(test_auto_leave_is_retried),
        cmocka_unit_test(test_joint_commit_needs_both_halves),
        cmocka_unit_test(test_removal_commits_what_waited),
    };

    return cmocka_run_group_tests_name("raft_conf", tests, NULL, NULL);
}
