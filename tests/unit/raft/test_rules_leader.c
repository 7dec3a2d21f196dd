/* Proposals, replication, the log and its storage, membership and reads, rule
 * by rule.
 *
 * Goal: the rules of raft-core sections 10 to 21 and 25 that no case of the
 * reference's suite shows by itself; each test names its rule. Method: single
 * nodes whose fields and messages are looked at, storages that fail. */

#include "tests/lib/raft_fixture.h"

/* --- proposals and answers --- */

/* PR-8: the leader need not be the first to have an entry. */
static void test_commit_before_own_durability(void **state)
{
    struct node *n = settled_leader();

    (void)state;
    node_propose(n, "x");
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2));
    assert_int_equal(n->r.log.committed, 1);
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 2));
    assert_int_equal(n->r.log.committed, 2);
    assert_int_equal(pr_of(n, 1)->match, 1);
    drop_messages(&n->r);
    assert_int_equal(pr_of(n, 1)->match, 2);
    node_free(n);
}

/* PR-5, PR-7: every proposal of a batch is numbered, keeping type and data; one
 * acknowledgement for each call. */
static void test_entries_are_numbered_and_acknowledged(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE, .node_id = 4};
    struct node *n = settled_leader();
    struct raft_message m = with_data(MSG(PROP, 1, 1), "a");
    struct raft_entries ents = {0};

    (void)state;
    node_step(n, with_conf_change(with_data(m, NULL), &cc));
    node_propose(n, "b");
    assert_int_equal(raft_log_entries(&n->r.log, 2, RAFT_NO_LIMIT, &ents), 0);
    assert_entries(ents.items, ents.len, ATS({2, 1}, {3, 1}, {4, 1}, {5, 1}));
    assert_memory_equal(ents.items[0]->data, "a", 1);
    assert_false(ents.items[1]->has_data);
    assert_int_equal(ents.items[2]->type, RAFT_ENTRY_CONF_CHANGE);
    assert_memory_equal(ents.items[3]->data, "b", 1);
    assert_int_equal(n->r.msgs_after_append.len, 2);
    assert_int_equal(n->r.msgs_after_append.items[0].index, 4);
    assert_int_equal(n->r.msgs_after_append.items[1].index, 5);
    raft_entries_release(&ents);
    drop_messages(&n->r);
    node_free(n);
}

/* PR-9: all members but self, learners too, in the order of their ids. */
static void test_broadcast_reaches_all_in_order(void **state)
{
    struct node *n = NODE(.id = 3, .voters = IDS(5, 3, 1),
                          .voters_outgoing = IDS(2, 3), .learners = IDS(4));
    const uint64_t to[] = {1, 2, 4, 5};

    (void)state;
    node_become_leader(n);
    raft_bcast_append(&n->r);
    assert_int_equal(n->r.msgs.len, 4);
    for (size_t i = 0; i < ARRAY_LEN(to); i++) {
        assert_int_equal(n->r.msgs.items[i].to, to[i]);
    }
    drop_messages(&n->r);
    node_free(n);
}

/* PR-12: a rejection that is no late one ends replication. */
static void test_rejection_while_replicating(void **state)
{
    struct node *n = settled_leader();
    struct message_queue q;

    (void)state;
    node_propose(n, "x");
    node_propose(n, "y");
    drop_messages(&n->r);
    assert_int_equal(pr_of(n, 2)->next, 4);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1, .reject = true));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_REPLICATE); /* stale */
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2, .reject = true,
                     .reject_hint = 1, .log_term = 1));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_PROBE);
    assert_int_equal(pr_of(n, 2)->next, 2);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].index, 1);
    assert_int_equal(q.items[0].entries.len, 2);
    message_queue_release(&q);
    node_free(n);
}

/* PR-16: each step of the commit index is told. */
static void test_each_commit_is_broadcast(void **state)
{
    struct node *n = settled_leader();
    struct message_queue q;

    (void)state;
    node_propose(n, "x");
    node_propose(n, "y");
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 2));
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 3));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 4);
    for (size_t i = 0; i < q.len; i++) {
        assert_int_equal(q.items[i].to, i % 2 + 2);
        assert_int_equal(q.items[i].commit, i / 2 + 2);
        assert_int_equal(q.items[i].entries.len, 0);
    }
    message_queue_release(&q);
    node_free(n);
}

/* PR-18: only replication ends. */
static void test_unreachable_in_other_states(void **state)
{
    struct node *n = settled_leader();

    (void)state;
    progress_become_probe(pr_of(n, 2));
    pr_of(n, 2)->msg_app_flow_paused = true;
    node_step(n, MSG(UNREACHABLE, 2, 1));
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_PROBE);
    assert_true(pr_of(n, 2)->msg_app_flow_paused);
    progress_become_snapshot(pr_of(n, 3), 1);
    node_step(n, MSG(UNREACHABLE, 3, 1));
    assert_int_equal(pr_of(n, 3)->state, PROGRESS_SNAPSHOT);
    assert_int_equal(pr_of(n, 3)->pending_snapshot, 1);
    node_free(n);
}

/* PR-15: who is no member has no Progress, and is not answered. */
static void test_answers_of_strangers_are_dropped(void **state)
{
    const enum raft_message_type types[] = {
        RAFT_MSG_APP_RESP,    RAFT_MSG_HEARTBEAT_RESP,  RAFT_MSG_SNAP_STATUS,
        RAFT_MSG_UNREACHABLE, RAFT_MSG_TRANSFER_LEADER,
    };
    struct node *n = settled_leader();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        node_step(n, (struct raft_message){
                         .type = types[i], .from = 9, .to = 1, .index = 1});
        assert_int_equal(drop_messages(&n->r), 0);
        assert_int_equal(n->r.lead_transferee, RAFT_NONE);
    }
    node_free(n);
}

/* PG-11: who is added begins at the last entry, which suits one that was there
 * before, and counts as active. */
static void test_progress_of_a_new_member(void **state)
{
    struct node *n = settled_leader();
    const struct progress *pr;

    (void)state;
    node_propose(n, "x");
    node_apply(n, CONF_CHANGE_ADD_LEARNER_NODE, 4);
    pr = pr_of(n, 4);
    assert_int_equal(pr->state, PROGRESS_PROBE);
    assert_int_equal(pr->match, 0);
    assert_int_equal(pr->next, 2);
    assert_true(pr->recent_active);
    assert_true(pr->is_learner);
    assert_int_equal(pr->inflights.count, 0);
    assert_int_equal(pr->inflights.size, 256);
    drop_messages(&n->r);
    node_free(n);
}

/* --- log and storage --- */

static int storage_rc; /* what the storage answers */

static int failing_term(struct raft_storage *s, uint64_t i, uint64_t *term)
{
    (void)s;
    (void)i;
    *term = 0;
    return storage_rc;
}

static int failing_entries(struct raft_storage *s, uint64_t lo, uint64_t hi,
                           uint64_t max_size, struct raft_entries *out)
{
    (void)s;
    (void)lo;
    (void)hi;
    (void)max_size;
    (void)out;
    return storage_rc;
}

/* LOG-4, LOG-18: two answers of a storage have a meaning, the others are fatal;
 * and entries that must be there must be there. */
static void test_storage_errors(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .log = TERMS(1, 1), .hs = {.term = 1});
    struct raft_storage_ops ops = *n->ms.base.ops;
    struct raft_entries out = {0};
    uint64_t term;
    int rc;

    (void)state;
    ops.term = failing_term;
    ops.entries = failing_entries;
    n->ms.base.ops = &ops;
    node_uncheck(n);
    storage_rc = ERR_COMPACTED;
    assert_int_equal(raft_log_term(&n->r.log, 1, &term), ERR_COMPACTED);
    assert_int_equal(raft_log_slice(&n->r.log, 1, 3, RAFT_NO_LIMIT, &out),
                     ERR_COMPACTED);
    storage_rc = ERR_UNAVAILABLE;
    assert_int_equal(raft_log_term(&n->r.log, 1, &term), ERR_UNAVAILABLE);
    assert_int_equal(raft_log_zero_term_on_out_of_bounds(&n->r.log, 1), 0);
    assert_false(raft_log_match_term(&n->r.log, (struct entry_id){1, 1}));
    assert_fatal(&raft_trap,
                 rc = raft_log_slice(&n->r.log, 1, 3, RAFT_NO_LIMIT, &out));
    storage_rc = ERR_STOPPED;
    assert_fatal(&raft_trap, rc = raft_log_term(&n->r.log, 1, &term));
    assert_fatal(&raft_trap,
                 rc = raft_log_slice(&n->r.log, 1, 3, RAFT_NO_LIMIT, &out));
    (void)rc;
    node_free(n);
}

/* LOG-17, LOG-22 */
static void test_entries_to_the_end(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1),
                          .hs = {.term = 1, .commit = 2});
    struct raft_entries out = {0};

    (void)state;
    assert_int_equal(raft_log_entries(&n->r.log, 2, RAFT_NO_LIMIT, &out), 0);
    assert_entries(out.items, out.len, ATS({2, 1}, {3, 1}));
    raft_entries_reset(&out);
    assert_int_equal(raft_log_entries(&n->r.log, 4, RAFT_NO_LIMIT, &out), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(memory_storage_compact(&n->ms, 1), 0);
    raft_log_all_entries(&n->r.log, &out);
    assert_entries(out.items, out.len, ATS({2, 1}, {3, 1}));
    raft_entries_release(&out);
    node_free(n);
}

/* LOG-23, INV-20, PF-9: what was handed out stays what it was, whatever becomes
 * of the log. */
static void test_entries_handed_out_never_change(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    struct raft_entries unstable = {0};
    struct raft_entries slice = {0};

    (void)state;
    node_step(n, with_entries(MSG(APP, 2, 1, .term = 1),
                              ATS({1, 1}, {2, 1}, {3, 1})));
    raft_log_next_unstable_ents(&n->r.log, &unstable);
    assert_int_equal(raft_log_slice(&n->r.log, 1, 4, RAFT_NO_LIMIT, &slice), 0);
    node_step(n,
              with_entries(MSG(APP, 3, 1, .term = 2, .index = 1, .log_term = 1),
                           ATS({2, 2}, {3, 2}, {4, 2})));
    assert_log_terms(&n->r, TERMS(1, 2, 2, 2));
    assert_entries(unstable.items, unstable.len, ATS({1, 1}, {2, 1}, {3, 1}));
    assert_entries(slice.items, slice.len, ATS({1, 1}, {2, 1}, {3, 1}));
    raft_entries_release(&unstable);
    raft_entries_release(&slice);
    drop_messages(&n->r);
    node_free(n);
}

/* UN-10: a conflict with stored entries makes the next write go over them. */
static void test_unstable_may_overlap_the_storage(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1), .hs = {.term = 1});
    struct raft_entries ents = {0};

    (void)state;
    node_step(n,
              with_entries(MSG(APP, 2, 1, .term = 2, .index = 1, .log_term = 1),
                           ATS({2, 2})));
    assert_int_equal(n->r.log.unstable.offset, 2);
    assert_int_equal(memory_storage_last_index(&n->ms), 3);
    assert_log_terms(&n->r, TERMS(1, 2));
    raft_log_next_unstable_ents(&n->r.log, &ents);
    memory_storage_append(&n->ms, ents.items, ents.len);
    assert_int_equal(memory_storage_last_index(&n->ms), 2);
    raft_entries_release(&ents);
    drop_messages(&n->r);
    node_free(n);
}

/* MS-5, PF-8: the storage's snapshot is one that nobody changes. */
static void test_snapshot_of_the_storage_is_shared_unchanged(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log = TERMS(1, 1),
                          .hs = {.term = 1, .commit = 2});
    struct raft_snapshot *s = member_snapshot(2, 1, IDS(1, 2), NO_IDS);
    struct raft_snapshot *got = NULL;
    struct hard_state hs;
    struct conf_state cs = {0};

    (void)state;
    assert_int_equal(memory_storage_create_snapshot(&n->ms, s), 0);
    raft_snapshot_unref(s);
    node_apply(n, CONF_CHANGE_ADD_NODE, 3);
    assert_int_equal(raft_log_snapshot(&n->r.log, &got), 0);
    assert_ids(&got->conf_state.voters, IDS(1, 2));
    raft_snapshot_unref(got);
    /* And the list that InitialState gives is the caller's own. */
    assert_int_equal(n->ms.base.ops->initial_state(&n->ms.base, &hs, &cs), 0);
    cs.voters.ids[0] = 77;
    conf_state_release(&cs);
    assert_int_equal(n->ms.base.ops->initial_state(&n->ms.base, &hs, &cs), 0);
    assert_ids(&cs.voters, IDS(1, 2));
    conf_state_release(&cs);
    node_free(n);
}

/* MS-8, PF-10 */
static void test_memory_storage_takes_what_it_is_given(void **state)
{
    struct memory_storage ms;
    struct raft_snapshot *s = member_snapshot(0, 0, IDS(1, 2), NO_IDS);
    struct hard_state hs;
    struct conf_state cs;

    (void)state;
    memory_storage_init(&ms, NULL);
    memory_storage_set_hard_state(&ms, &(struct hard_state){5, 2, 9});
    memory_storage_set_hard_state(&ms, &(struct hard_state){4, 1, 3});
    assert_int_equal(memory_storage_apply_snapshot(&ms, s), 0);
    raft_snapshot_unref(s);
    assert_int_equal(ms.base.ops->initial_state(&ms.base, &hs, &cs), 0);
    assert_true(hard_state_equal(&hs, &(struct hard_state){4, 1, 3}));
    assert_ids(&cs.voters, IDS(1, 2));
    conf_state_release(&cs);
    memory_storage_release(&ms);
}

/* PF-12: the term before an append is looked up first; when it is gone, a
 * snapshot is sent and no append with an unknown term. */
static void test_no_append_after_a_compacted_entry(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log_first = 12, .log_term0 = 11,
                          .hs = {.term = 11, .commit = 11});
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    pr_of(n, 2)->next = 11;
    pr_of(n, 2)->recent_active = true;
    pr_of(n, 2)->msg_app_flow_paused = false;
    assert_true(raft_maybe_send_append(&n->r, 2, true));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 1);
    assert_int_equal(q.items[0].type, RAFT_MSG_SNAP);
    message_queue_release(&q);
    node_free(n);
}

/* --- sizes --- */

/* SZ-1, SZ-3, T-2: the type is always encoded, 2 bytes more than where the
 * reference leaves it out; the rest is as there. */
static void test_encoded_sizes_of_entries(void **state)
{
    const struct {
        uint64_t index;
        size_t len; /* of the data; SIZE_MAX: absent */
        size_t want;
    } cases[] = {
        {1, SIZE_MAX, 4 + 2}, {200, SIZE_MAX, 5 + 2}, {1, 0, 4 + 2 + 2},
        {1, 3, 9 + 2},        {1, 130, 137 + 2},      {0, SIZE_MAX, 4 + 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raft_entry *e =
            cases[i].len == SIZE_MAX
                ? test_entry(cases[i].index, 1)
                : test_entry_sized(cases[i].index, 1, cases[i].len);

        assert_int_equal(raft_entry_size(e), cases[i].want);
        /* SZ-2: a list is the sum of its entries, without their frames. */
        assert_int_equal(raft_entries_size((struct raft_entry *[]){e, e, e}, 3),
                         3 * cases[i].want);
        raft_entry_unref(e);
    }
}

/* Section 25: of own proposals the payload counts, when they are applied too,
 * and what was refused counts as empty (PF-21). */
static void test_uncommitted_size_returns_to_zero(void **state)
{
    struct node *n =
        NODE(.voters = IDS(1), .max_uncommitted_entries_size = 100);
    struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE,
                             .node_id = 2,
                             .context = {(const uint8_t *)"0123456789", 10}};
    struct raft_message applied = MSG(STORAGE_APPLY_RESP, 0, 1);

    (void)state;
    node_become_leader(n);
    n->r.pending_conf_index = 1; /* the change is refused */
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    assert_int_equal(n->r.uncommitted_size, 0);
    node_propose(n, "0123456789");
    assert_int_equal(n->r.uncommitted_size, 10);
    advance_messages_after_append(&n->r);
    assert_int_equal(n->r.log.committed, 3);
    raft_log_next_committed_ents(&n->r.log, true, &applied.entries);
    raft_log_accept_applying(&n->r.log, 3, 0, true);
    assert_int_equal(n->r.uncommitted_size, 10); /* committed is not enough */
    node_step(n, applied);
    assert_int_equal(n->r.uncommitted_size, 0);
    node_free(n);
}

/* --- membership --- */

static int change(struct tracker *t, const struct conf_change_single *ccs,
                  size_t n)
{
    struct changer c = {.tracker = t, .last_index = 5};
    struct changer_result r = {0};
    int rc = changer_simple(&c, ccs, n, &r, NULL);

    if (rc == 0) {
        tracker_switch(t, &r.config, &r.progress);
    }
    return rc;
}

/* CC-5, CC-6, CC-12: of a simple change only the difference of the voters
 * counts; who stays keeps its Progress. */
static void test_simple_change_counts_voters_only(void **state)
{
    struct tracker t;
    const struct conf_change_single voters[] = {{CONF_CHANGE_ADD_NODE, 1},
                                                {CONF_CHANGE_ADD_NODE, 2}};
    const struct conf_change_single same[] = {
        {CONF_CHANGE_ADD_LEARNER_NODE, 2},
        {CONF_CHANGE_ADD_NODE, 2},
        {CONF_CHANGE_ADD_LEARNER_NODE, 7},
        {CONF_CHANGE_ADD_LEARNER_NODE, 8},
        {CONF_CHANGE_ADD_LEARNER_NODE, 9}};
    const struct conf_change_single one[] = {{CONF_CHANGE_ADD_LEARNER_NODE, 2},
                                             {CONF_CHANGE_REMOVE_NODE, 7}};

    (void)state;
    tracker_init(&t, (struct inflight_limits){10, 0}, NULL);
    assert_int_equal(change(&t, &voters[0], 1), 0);
    assert_int_equal(change(&t, &voters[1], 1), 0);
    tracker_progress(&t, 2)->next = 9;
    tracker_progress(&t, 2)->match = 4;
    assert_int_equal(change(&t, same, ARRAY_LEN(same)), 0);
    assert_ids(&t.config.voters.incoming, IDS(1, 2));
    assert_ids(&t.config.learners, IDS(7, 8, 9));
    assert_false(tracker_progress(&t, 2)->is_learner);
    assert_int_equal(tracker_progress(&t, 2)->match, 4);
    assert_int_equal(change(&t, one, ARRAY_LEN(one)), 0);
    assert_ids(&t.config.voters.incoming, IDS(1));
    assert_ids(&t.config.learners, IDS(2, 8, 9));
    assert_int_equal(tracker_progress(&t, 2)->match, 4);
    assert_int_equal(tracker_progress(&t, 2)->next, 9);
    assert_null(tracker_progress(&t, 7));
    tracker_check(&t);
    tracker_release(&t);
}

/* CC-7: who is still in the outgoing half keeps its Progress until the end. */
static void test_outgoing_voter_keeps_its_progress(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .voters_outgoing = IDS(1, 2, 3));
    struct conf_change_v2 leave = {0};

    (void)state;
    assert_non_null(pr_of(n, 3));
    assert_voters(n, IDS(1, 2, 3));
    raft_apply_conf_change(&n->r, &leave);
    assert_null(tracker_progress(&n->r.trk, 3));
    assert_voters(n, IDS(1, 2));
    node_free(n);
}

/* PF-30, PF-31: a joint ConfState gives back both halves and who waits. */
static void test_restore_of_a_joint_configuration(void **state)
{
    struct node *n = NODE(.id = 3, .voters = IDS(3));
    struct raft_snapshot *s = member_snapshot(9, 2, IDS(1, 2), IDS(5));
    struct conf_state cs = {0};

    (void)state;
    id_list_push(&s->conf_state.voters_outgoing, 3);
    id_list_push(&s->conf_state.voters_outgoing, 4);
    id_list_push(&s->conf_state.learners_next, 4);
    s->conf_state.auto_leave = true;
    node_step(n, with_snapshot(MSG(SNAP, 1, 3, .term = 2), s));
    raft_snapshot_unref(s);
    tracker_conf_state(&n->r.trk, &cs);
    assert_ids(&cs.voters, IDS(1, 2));
    assert_ids(&cs.voters_outgoing, IDS(3, 4));
    assert_ids(&cs.learners, IDS(5));
    assert_ids(&cs.learners_next, IDS(4));
    assert_true(cs.auto_leave);
    assert_false(pr_of(n, 4)->is_learner);
    conf_state_release(&cs);
    drop_messages(&n->r);
    node_free(n);
}

/* CC-17: a leader that becomes a learner stays, and replicates, until told
 * otherwise. */
static void test_demoted_leader_stays_without_step_down(void **state)
{
    struct node *n = settled_leader();

    (void)state;
    node_apply(n, CONF_CHANGE_ADD_LEARNER_NODE, 1);
    assert_role(n, RAFT_LEADER, 1);
    assert_true(n->r.is_learner);
    assert_int_equal(drop_messages(&n->r), 0);
    node_step(n, MSG(BEAT, 1, 1));
    assert_int_equal(drop_messages(&n->r), 2);
    node_free(n);
}

/* CC-20: the mark is where the change will stand, also within a batch. */
static void test_mark_of_a_change_in_a_batch(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE, .node_id = 4};
    struct node *n = settled_leader();
    struct raft_message m = with_data(with_data(MSG(PROP, 1, 1), "a"), "b");
    struct raft_entries ents = {0};

    (void)state;
    next_ents(n, NULL);
    node_step(n, with_conf_change(with_conf_change(m, &cc), &cc));
    assert_int_equal(n->r.pending_conf_index, 4);
    assert_int_equal(raft_log_entries(&n->r.log, 4, RAFT_NO_LIMIT, &ents), 0);
    assert_int_equal(ents.len, 2);
    assert_int_equal(ents.items[0]->type, RAFT_ENTRY_CONF_CHANGE);
    assert_int_equal(ents.items[1]->type, RAFT_ENTRY_NORMAL); /* CC-21 */
    assert_int_equal(ents.items[1]->len, 0);
    raft_entries_release(&ents);
    drop_messages(&n->r);
    node_free(n);
}

/* --- reads --- */

/* RI-9: a position counts for all before it, and a late lower one takes nothing
 * back; what nobody asked for is no position. */
static void test_positions_of_reads(void **state)
{
    const uint8_t three[8] = {3};
    struct node *n = settled_leader();
    struct raft_message late;
    struct raft_message resp = MSG(HEARTBEAT_RESP, 2, 1, .term = 1);

    (void)state;
    for (int i = 0; i < 3; i++) {
        node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    }
    drop_messages(&n->r);
    late = with_context(MSG(HEARTBEAT_RESP, 2, 1, .term = 1), "\x01");
    late.context_len = 8; /* little-endian 1 */
    raft_message_set_context(&resp, (struct bytes){three, 8});
    node_step(n, resp);
    assert_int_equal(n->r.n_read_states, 3);
    node_step(n, late);
    assert_int_equal(n->r.n_read_states, 3);
    /* The next one begins after them. */
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    assert_int_equal(n->r.msgs.items[0].context[0], 4);
    drop_messages(&n->r);
    node_free(n);
}

/* RI-10, INV-18: an answer of an older term confirms nothing. */
static void test_read_answer_of_an_older_term(void **state)
{
    const uint8_t one[8] = {1};
    struct node *n = settled_leader();
    struct raft_message resp = MSG(HEARTBEAT_RESP, 2, 1, .term = 1);

    (void)state;
    raft_message_set_context(&resp, (struct bytes){one, 8});
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 2));
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 3, .index = 2));
    drop_messages(&n->r);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "ctx"));
    drop_messages(&n->r);
    node_step(n, resp);
    assert_int_equal(n->r.n_read_states, 0);
    resp.term = 3;
    raft_message_set_context(&resp, (struct bytes){one, 8});
    node_step(n, resp);
    assert_int_equal(n->r.n_read_states, 1);
    node_free(n);
}

/* RI-11: learners may ask and answer, but are not counted. */
static void test_learners_do_not_confirm_reads(void **state)
{
    const uint8_t one[8] = {1};
    struct node *n = NODE(.voters = IDS(1, 2, 3), .learners = IDS(4, 5));
    struct raft_message resp;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    drop_messages(&n->r);
    node_step(n, with_data(MSG(READ_INDEX, 4, 1), "ctx"));
    assert_int_equal(drop_messages(&n->r), 4); /* heartbeats to all */
    for (uint64_t id = 4; id <= 5; id++) {
        resp = MSG(HEARTBEAT_RESP, id, 1, .term = 1);
        raft_message_set_context(&resp, (struct bytes){one, 8});
        node_step(n, resp);
    }
    assert_int_equal(read_only_pending(&n->r.read_only), 1);
    resp = MSG(HEARTBEAT_RESP, 3, 1, .term = 1);
    raft_message_set_context(&resp, (struct bytes){one, 8});
    node_step(n, resp);
    assert_int_equal(read_only_pending(&n->r.read_only), 0);
    drop_messages(&n->r);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_before_own_durability),
        cmocka_unit_test(test_entries_are_numbered_and_acknowledged),
        cmocka_unit_test(test_broadcast_reaches_all_in_order),
        cmocka_unit_test(test_rejection_while_replicating),
        cmocka_unit_test(test_each_commit_is_broadcast),
        cmocka_unit_test(test_unreachable_in_other_states),
        cmocka_unit_test(test_answers_of_strangers_are_dropped),
        cmocka_unit_test(test_progress_of_a_new_member),
        cmocka_unit_test(test_storage_errors),
        cmocka_unit_test(test_entries_to_the_end),
        cmocka_unit_test(test_entries_handed_out_never_change),
        cmocka_unit_test(test_unstable_may_overlap_the_storage),
        cmocka_unit_test(test_snapshot_of_the_storage_is_shared_unchanged),
        cmocka_unit_test(test_memory_storage_takes_what_it_is_given),
        cmocka_unit_test(test_no_append_after_a_compacted_entry),
        cmocka_unit_test(test_encoded_sizes_of_entries),
        cmocka_unit_test(test_uncommitted_size_returns_to_zero),
        cmocka_unit_test(test_simple_change_counts_voters_only),
        cmocka_unit_test(test_outgoing_voter_keeps_its_progress),
        cmocka_unit_test(test_restore_of_a_joint_configuration),
        cmocka_unit_test(test_demoted_leader_stays_without_step_down),
        cmocka_unit_test(test_mark_of_a_change_in_a_batch),
        cmocka_unit_test(test_positions_of_reads),
        cmocka_unit_test(test_read_answer_of_an_older_term),
        cmocka_unit_test(test_learners_do_not_confirm_reads),
    };

    return cmocka_run_group_tests_name("rules_leader", tests, NULL, NULL);
}
