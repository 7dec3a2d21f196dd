/* What must hold whatever comes, rule by rule.
 *
 * Goal: rules of raft-core sections 7 to 28 that no case of the reference's
 * suite shows by itself; each test names its rule. Method: single nodes whose
 * fields, messages and log lines are looked at. */

#include "tests/lib/raft_fixture.h"

/* --- terms [raft-core 7.2] --- */

/* Of a higher term: who leads it is followed, everybody else's term is taken
 * over with no leader; a pre-vote and the grant of one promise nothing. */
static void test_messages_of_a_higher_term(void **state)
{
    const struct {
        const char *name;
        struct raft_message m;
        uint64_t term;
        uint64_t lead;
        enum raft_role role;
    } cases[] = {
        {"append", MSG(APP, 2, 1, .term = 5), 5, 2, RAFT_FOLLOWER},
        {"heartbeat", MSG(HEARTBEAT, 2, 1, .term = 5), 5, 2, RAFT_FOLLOWER},
        {"snapshot", MSG(SNAP, 2, 1, .term = 5), 5, 2, RAFT_FOLLOWER},
        {"vote", MSG(VOTE, 2, 1, .term = 5), 5, 0, RAFT_FOLLOWER},
        {"vote refused", MSG(VOTE_RESP, 2, 1, .term = 5, .reject = true), 5, 0,
         RAFT_FOLLOWER},
        {"answer to an append", MSG(APP_RESP, 2, 1, .term = 5), 5, 0,
         RAFT_FOLLOWER},
        {"answer to a heartbeat", MSG(HEARTBEAT_RESP, 2, 1, .term = 5), 5, 0,
         RAFT_FOLLOWER},
        {"pre-vote", MSG(PRE_VOTE, 2, 1, .term = 5), 3, 0, RAFT_PRE_CANDIDATE},
        {"pre-vote granted, not the last that counts",
         MSG(PRE_VOTE_RESP, 2, 1, .term = 5), 3, 0, RAFT_PRE_CANDIDATE},
        {"pre-vote refused",
         MSG(PRE_VOTE_RESP, 2, 1, .term = 5, .reject = true), 5, 0,
         RAFT_FOLLOWER},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = NODE(.voters = IDS(1, 2, 3, 4, 5), .pre_vote = true,
                              .log = TERMS(3), .hs = {.term = 3, .vote = 1});

        print_message("  %s\n", cases[i].name);
        raft_become_pre_candidate(&n->r);
        node_step(n, cases[i].m);
        assert_role(n, cases[i].role, cases[i].term);
        assert_int_equal(n->r.lead, cases[i].lead);
        assert_int_equal(n->r.vote, cases[i].term == 5 ? 0 : 1);
        drop_messages(&n->r);
        node_free(n);
    }
}

/* EL-20: of a lower term: a leader hears of the newer one if the node could be
 * stuck otherwise, a pre-candidate in any case; the rest gets no answer. */
static void test_messages_of_a_lower_term(void **state)
{
    const struct {
        enum raft_message_type type;
        enum raft_message_type answer; /* with an option that needs it */
        bool needs_option;
        bool answered;
    } cases[] = {
        {RAFT_MSG_APP, RAFT_MSG_APP_RESP, true, true},
        {RAFT_MSG_HEARTBEAT, RAFT_MSG_APP_RESP, true, true},
        {RAFT_MSG_PRE_VOTE, RAFT_MSG_PRE_VOTE_RESP, false, true},
        {RAFT_MSG_VOTE, 0, false, false},
        {RAFT_MSG_SNAP, 0, false, false},
        {RAFT_MSG_APP_RESP, 0, false, false},
        {RAFT_MSG_TIMEOUT_NOW, 0, false, false}, /* LT-7 */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int option = 0; option < 3; option++) {
            struct node *n =
                NODE(.voters = IDS(1, 2, 3), .hs = {.term = 5},
                     .check_quorum = option == 1, .pre_vote = option == 2);
            bool answered =
                cases[i].answered && (option > 0 || !cases[i].needs_option);
            struct message_queue q;

            node_step(n, (struct raft_message){.type = cases[i].type,
                                               .from = 2,
                                               .to = 1,
                                               .term = 4,
                                               .log_term = 4,
                                               .index = 9});
            assert_role(n, RAFT_FOLLOWER, 5);
            assert_int_equal(n->r.lead, RAFT_NONE);
            assert_int_equal(n->r.vote, RAFT_NONE);
            q = read_messages(&n->r);
            assert_int_equal(q.len, answered);
            if (answered) {
                assert_int_equal(q.items[0].type, cases[i].answer);
                assert_int_equal(q.items[0].to, 2);
                assert_int_equal(q.items[0].term, 5);
                assert_int_equal(q.items[0].index, 0);
                assert_int_equal(q.items[0].reject,
                                 cases[i].type == RAFT_MSG_PRE_VOTE);
            }
            message_queue_release(&q);
            node_free(n);
        }
    }
}

/* LT-7: only a follower takes over at the leader's wish. */
static void test_timeout_now_in_other_roles(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    (void)state;
    raft_become_pre_candidate(&n->r);
    node_step(n, MSG(TIMEOUT_NOW, 2, 1));
    assert_role(n, RAFT_PRE_CANDIDATE, 0);
    raft_become_candidate(&n->r);
    node_step(n, MSG(TIMEOUT_NOW, 2, 1, .term = 1));
    assert_role(n, RAFT_CANDIDATE, 1);
    raft_become_leader(&n->r);
    node_step(n, MSG(TIMEOUT_NOW, 2, 1, .term = 1));
    assert_role(n, RAFT_LEADER, 1);
    drop_messages(&n->r);
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 2));
    node_step(n, MSG(TIMEOUT_NOW, 2, 1, .term = 2));
    assert_role(n, RAFT_CANDIDATE, 3);
    drop_messages(&n->r);
    node_free(n);
}

/* EL-14: learners answer, but neither decide nor are counted. */
static void test_votes_of_learners_are_not_counted(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .learners = IDS(4, 5));
    struct vote_tally tally;

    (void)state;
    node_step(n, MSG(HUP, 1, 1));
    advance_messages_after_append(&n->r);
    for (uint64_t id = 4; id <= 5; id++) {
        node_step(n, MSG(VOTE_RESP, id, 1, .term = 1));
    }
    assert_role(n, RAFT_CANDIDATE, 1);
    tally = tracker_tally_votes(&n->r.trk);
    assert_int_equal(tally.granted, 1);
    assert_int_equal(tally.rejected, 0);
    node_step(n, MSG(VOTE_RESP, 2, 1, .term = 1));
    assert_role(n, RAFT_LEADER, 1);
    drop_messages(&n->r);
    node_free(n);
}

/* FL-1: a learner can forget its leader as well; term, vote and timer stay. */
static void test_learner_forgets_its_leader(void **state)
{
    struct node *n = NODE(.id = 3, .voters = IDS(1, 2), .learners = IDS(3),
                          .hs = {.term = 2, .vote = 1});

    (void)state;
    node_step(n, MSG(HEARTBEAT, 1, 3, .term = 2));
    n->r.election_elapsed = 4;
    node_step(n, MSG(FORGET_LEADER, 3, 3));
    assert_int_equal(n->r.lead, RAFT_NONE);
    assert_role(n, RAFT_FOLLOWER, 2);
    assert_int_equal(n->r.vote, 1);
    assert_int_equal(n->r.election_elapsed, 4);
    drop_messages(&n->r);
    node_free(n);
}

/* --- leaders and their followers --- */

/* INV-4: a leader's log only grows. What claims to come from another leader of
 * its term is ignored; after a higher term it is the log of a follower, and
 * what is committed stays nevertheless. */
static void test_leader_never_rewrites_its_log(void **state)
{
    struct node *n = settled_leader();
    struct raft_snapshot *s =
        member_snapshot(9, 1, IDS(1, 2, 3), (struct id_list){NULL, 0});

    (void)state;
    node_propose(n, "x");
    node_propose(n, "y");
    drop_messages(&n->r);
    node_step(n,
              with_entries(MSG(APP, 2, 1, .term = 1, .index = 1, .log_term = 1),
                           ATS({2, 1})));
    node_step(n, MSG(HEARTBEAT, 2, 1, .term = 1, .commit = 3));
    node_step(n, with_snapshot(MSG(SNAP, 2, 1, .term = 1), s));
    assert_int_equal(drop_messages(&n->r), 0);
    assert_role(n, RAFT_LEADER, 1);
    assert_int_equal(n->r.lead, 1);
    assert_int_equal(n->r.log.committed, 1);
    assert_log_terms(&n->r, TERMS(1, 1, 1));

    node_step(n,
              with_entries(MSG(APP, 2, 1, .term = 2, .index = 1, .log_term = 1),
                           ATS({2, 2})));
    assert_role(n, RAFT_FOLLOWER, 2);
    assert_log_terms(&n->r, TERMS(1, 2));
    raft_snapshot_unref(s);
    drop_messages(&n->r);
    node_free(n);
}

/* HB-2, HB-4, SNAP-2: whatever the state of a member, it gets heartbeats, with
 * a commit index that it is known to have; while a snapshot is under way it
 * gets nothing else. */
static void test_heartbeats_in_every_state(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3, 4), .learners = IDS(5),
                          .max_inflight_msgs = 1);
    struct message_queue q;

    (void)state;
    node_become_leader(n);
    drop_messages(&n->r);
    for (uint64_t id = 2; id <= 4; id++) {
        node_step(n, MSG(APP_RESP, id, 1, .term = 1, .index = 1));
    }
    node_propose(n, "x"); /* the windows are full */
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 4, 1, .term = 1, .index = 2));
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 2));
    drop_messages(&n->r);
    progress_become_snapshot(pr_of(n, 3), 2);
    assert_true(progress_is_paused(pr_of(n, 2)));
    assert_true(progress_is_paused(pr_of(n, 3)));
    assert_true(progress_is_paused(pr_of(n, 5)));
    assert_int_equal(n->r.log.committed, 2);

    node_step(n, MSG(BEAT, 1, 1));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 4);
    for (size_t i = 0; i < q.len; i++) {
        const uint64_t commits[] = {1, 2, 2, 0}; /* of 2, 3, 4, 5 */

        assert_int_equal(q.items[i].type, RAFT_MSG_HEARTBEAT);
        assert_int_equal(q.items[i].to, i + 2);
        assert_int_equal(q.items[i].commit, commits[i]);
        assert_int_equal(pr_of(n, i + 2)->sent_commit, commits[i]);
    }
    message_queue_release(&q);

    node_step(n, MSG(HEARTBEAT_RESP, 3, 1, .term = 1));
    node_propose(n, "y");
    raft_send_append(&n->r, 3);
    q = read_messages(&n->r);
    for (size_t i = 0; i < q.len; i++) {
        assert_int_not_equal(q.items[i].to, 3);
    }
    message_queue_release(&q);
    node_free(n);
}

/* HB-3: the answer echoes the context, or has none. */
static void test_heartbeat_is_answered_with_its_context(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));
    const uint8_t position[8] = {7, 1};
    struct raft_message m = MSG(HEARTBEAT, 2, 1, .term = 1);
    struct message_queue q;

    (void)state;
    node_step(n, m);
    raft_message_set_context(&m, (struct bytes){position, 8});
    node_step(n, m);
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    assert_false(q.items[0].has_context);
    assert_int_equal(q.items[1].type, RAFT_MSG_HEARTBEAT_RESP);
    assert_int_equal(q.items[1].context_len, 8);
    assert_memory_equal(q.items[1].context, position, 8);
    message_queue_release(&q);
    node_free(n);
}

/* SNAP-6: a snapshot that is not taken over is answered with the commit index:
 * what follows in the log may be of another leader. */
static void test_useless_snapshot_is_answered_with_the_commit(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2), .log = TERMS(1, 1, 1, 1),
                          .hs = {.term = 1, .commit = 2});
    const uint64_t indexes[] = {1, 2};
    struct message_queue q;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
        struct raft_snapshot *s = member_snapshot(indexes[i], 1, IDS(1, 2),
                                                  (struct id_list){NULL, 0});

        node_step(n, with_snapshot(MSG(SNAP, 2, 1, .term = 2), s));
        raft_snapshot_unref(s);
    }
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    for (size_t i = 0; i < q.len; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_APP_RESP);
        assert_int_equal(q.items[i].index, 2);
        assert_false(q.items[i].reject);
    }
    assert_log_terms(&n->r, TERMS(1, 1, 1, 1));
    message_queue_release(&q);
    node_free(n);
}

/* SNAP-5: nobody says what became of a snapshot. The leader waits as long as it
 * leads; the next one starts with a probe. */
static void test_unreported_snapshot_blocks_its_member(void **state)
{
    struct node *n = settled_leader();

    (void)state;
    progress_become_snapshot(pr_of(n, 2), 1);
    for (int i = 0; i < 50; i++) {
        node_step(n, MSG(HEARTBEAT_RESP, 2, 1, .term = 1));
        node_step(n, MSG(UNREACHABLE, 2, 1));
        n->r.tick(&n->r);
        drop_messages(&n->r);
    }
    node_propose(n, "x");
    assert_int_equal(drop_messages(&n->r), 1); /* to 3 */
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_SNAPSHOT);

    node_step(n, MSG(HEARTBEAT, 3, 1, .term = 2));
    node_become_leader(n);
    assert_int_equal(pr_of(n, 2)->state, PROGRESS_PROBE);
    assert_int_equal(pr_of(n, 2)->pending_snapshot, 0);
    drop_messages(&n->r);
    node_free(n);
}

/* SNAP-7: no message brings a snapshot to who is no follower; should it happen,
 * the node goes back to be one in a term that it does not lead. */
static void test_only_followers_take_a_snapshot(void **state)
{
    (void)state;
    for (int leads = 0; leads < 2; leads++) {
        struct node *n = NODE(.voters = IDS(1, 2));
        struct raft_snapshot *s =
            member_snapshot(9, 1, IDS(1, 2), (struct id_list){NULL, 0});

        raft_become_candidate(&n->r);
        if (leads) {
            raft_become_leader(&n->r);
        }
        assert_false(raft_restore(&n->r, s));
        assert_role(n, RAFT_FOLLOWER, 2);
        assert_int_equal(n->r.lead, RAFT_NONE);
        assert_int_equal(raft_log_last_index(&n->r.log), leads);
        raft_snapshot_unref(s);
        drop_messages(&n->r);
        node_free(n);
    }
}

/* RI-8: as long as a read waits, every heartbeat asks for it again. */
static void test_heartbeat_repeats_the_position(void **state)
{
    struct node *n = settled_leader();
    const uint8_t position[8] = {2};

    (void)state;
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "a"));
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "b"));
    drop_messages(&n->r); /* and all of them are lost */
    for (int i = 0; i < 3; i++) {
        struct message_queue q;

        n->r.tick(&n->r);
        q = read_messages(&n->r);
        assert_int_equal(q.len, 2);
        for (size_t j = 0; j < q.len; j++) {
            assert_int_equal(q.items[j].type, RAFT_MSG_HEARTBEAT);
            assert_int_equal(q.items[j].context_len, 8);
            assert_memory_equal(q.items[j].context, position, 8);
        }
        message_queue_release(&q);
    }
    node_free(n);
}

/* PF-36, RI-3: what had to wait for the first commit of the term is taken up in
 * the order in which it came. */
static void test_postponed_reads_keep_their_order(void **state)
{
    static const char *const contexts[] = {"a", "b", "c"};
    struct node *n = NODE(.voters = IDS(1));

    (void)state;
    node_become_leader(n);
    for (size_t i = 0; i < ARRAY_LEN(contexts); i++) {
        node_step(n, with_data(MSG(READ_INDEX, 1, 1), contexts[i]));
    }
    assert_int_equal(n->r.n_read_states, 0);
    advance_messages_after_append(&n->r);
    assert_int_equal(n->r.n_read_states, 3);
    for (size_t i = 0; i < ARRAY_LEN(contexts); i++) {
        assert_int_equal(n->r.read_states[i].index, 1);
        assert_memory_equal(n->r.read_states[i].ctx, contexts[i], 1);
    }
    node_free(n);
}

/* RI-10: with the leadership end the reads that wait for their confirmation;
 * the next term counts positions from one. */
static void test_unconfirmed_reads_end_with_the_term(void **state)
{
    struct node *n = settled_leader();
    const uint8_t one[8] = {1};
    struct raft_message resp = MSG(HEARTBEAT_RESP, 2, 1, .term = 3);
    struct message_queue q;

    (void)state;
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "lost"));
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "lost, too"));
    drop_messages(&n->r);
    node_step(n, MSG(HEARTBEAT, 3, 1, .term = 2));
    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 3, .index = 2));
    drop_messages(&n->r);
    assert_int_equal(n->r.log.committed, 2);
    node_step(n, with_data(MSG(READ_INDEX, 1, 1), "asked again"));
    q = read_messages(&n->r);
    assert_int_equal(q.len, 2);
    assert_memory_equal(q.items[0].context, one, 8);
    message_queue_release(&q);
    raft_message_set_context(&resp, (struct bytes){one, 8});
    node_step(n, resp);
    assert_int_equal(n->r.n_read_states, 1);
    assert_memory_equal(n->r.read_states[0].ctx, "asked again", 11);
    assert_int_equal(n->r.read_states[0].index, 2);
    node_free(n);
}

/* --- membership --- */

/* CC-14: a change counts when the application says so, neither when it is
 * appended nor when it is committed; and not at all if it says nothing. */
static void test_change_counts_when_it_is_applied(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_ADD_NODE, .node_id = 2};
    struct node *n = NODE(.voters = IDS(1));

    (void)state;
    node_become_leader(n);
    next_ents(n, NULL);
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    assert_voters(n, IDS(1));
    next_ents(n, NULL); /* committed; the application ignores it */
    assert_int_equal(n->r.log.applied, 2);
    assert_voters(n, IDS(1));
    /* The next one may come all the same, and is applied. */
    cc.node_id = 3;
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    assert_int_equal(n->r.pending_conf_index, 3);
    next_ents(n, NULL);
    node_apply(n, CONF_CHANGE_ADD_NODE, 3);
    assert_voters(n, IDS(1, 3));
    drop_messages(&n->r);
    node_free(n);
}

/* PF-34: the check at the proposal knows what is applied, no more: a change
 * that would be fine is refused while another is not applied yet, and one that
 * cannot be made passes. */
static void test_validation_sees_what_is_applied(void **state)
{
    struct conf_change cc = {.type = CONF_CHANGE_UPDATE_NODE, .node_id = 1};
    struct conf_change remove = {.type = CONF_CHANGE_REMOVE_NODE, .node_id = 1};
    struct node *n = NODE(.voters = IDS(1));
    struct raft_entries ents = {0};

    (void)state;
    node_become_leader(n);
    next_ents(n, NULL);
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    advance_messages_after_append(&n->r);
    assert_int_equal(n->r.log.committed, 2);
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &cc));
    next_ents(n, NULL);
    node_step(n, with_conf_change(MSG(PROP, 1, 1), &remove));
    assert_int_equal(raft_log_entries(&n->r.log, 2, RAFT_NO_LIMIT, &ents), 0);
    assert_int_equal(ents.len, 3);
    assert_int_equal(ents.items[0]->type, RAFT_ENTRY_CONF_CHANGE);
    assert_int_equal(ents.items[1]->type, RAFT_ENTRY_NORMAL);
    assert_int_equal(ents.items[2]->type, RAFT_ENTRY_CONF_CHANGE);
    raft_entries_release(&ents);
    next_ents(n, NULL);
    assert_fatal(&raft_trap, node_apply(n, CONF_CHANGE_REMOVE_NODE, 1));
    node_free(n);
}

/* --- log lines --- */

static struct {
    enum log_level highest;
    size_t lines;
    char last[256];
} seen;

static void see(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    seen.highest = level > seen.highest ? level : seen.highest;
    seen.lines++;
    (void)snprintf(seen.last, sizeof seen.last, "%s", line);
}

static const struct logger seeing = {LOG_DEBUG, see, NULL};

static void listen(struct node *n)
{
    seen.highest = LOG_DEBUG;
    seen.lines = 0;
    n->r.lg = &seeing;
    n->r.log.lg = &seeing;
    n->r.log.unstable.lg = &seeing;
}

/* Step what the append thread says about an entry. */
static void acknowledge(struct node *n, uint64_t term, uint64_t log_term,
                        uint64_t index)
{
    node_step(n, MSG(STORAGE_APPEND_RESP, RAFT_LOCAL_APPEND_THREAD, 1,
                     .term = term, .index = index, .log_term = log_term));
}

/* PF-45, AS-10: with writes in flight an acknowledgement may come late. That is
 * worth a note, no warning. */
static void test_late_acknowledgements_are_only_notes(void **state)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3), .log = TERMS(1),
                          .hs = {.term = 1}, .async = true);

    (void)state;
    for (uint64_t term = 1; term <= 2; term++) {
        node_step(n, with_entries(MSG(APP, 2, 1, .term = term, .index = 1,
                                      .log_term = 1),
                                  ATS({2, term}, {3, term})));
        drop_messages(&n->r);
    }
    listen(n);
    acknowledge(n, 1, 1, 3); /* emitted in an older term */
    acknowledge(n, 2, 1, 3); /* of an entry that was replaced */
    acknowledge(n, 2, 2, 9); /* of one that is not there */
    assert_int_equal(unstable_len(&n->r.log.unstable), 2);
    acknowledge(n, 2, 2, 3);
    assert_int_equal(unstable_len(&n->r.log.unstable), 0);
    acknowledge(n, 2, 2, 3); /* of one that is acknowledged already */
    assert_int_equal(n->r.log.unstable.offset, 4);
    assert_true(seen.lines >= 3);
    assert_true(seen.highest <= LOG_INFO);
    node_free(n);
}

/* LG-3: ids are hex, terms decimal. */
static void test_ids_are_hex_in_log_lines(void **state)
{
    struct node *n =
        NODE(.id = 0xabc, .voters = IDS(1, 2, 0xabc), .hs = {.term = 15});

    (void)state;
    listen(n);
    raft_become_candidate(&n->r);
    assert_string_equal(seen.last, "abc became candidate at term 16");
    assert_int_equal(seen.highest, LOG_INFO);
    drop_messages(&n->r);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_of_a_higher_term),
        cmocka_unit_test(test_messages_of_a_lower_term),
        cmocka_unit_test(test_timeout_now_in_other_roles),
        cmocka_unit_test(test_votes_of_learners_are_not_counted),
        cmocka_unit_test(test_learner_forgets_its_leader),
        cmocka_unit_test(test_leader_never_rewrites_its_log),
        cmocka_unit_test(test_heartbeats_in_every_state),
        cmocka_unit_test(test_heartbeat_is_answered_with_its_context),
        cmocka_unit_test(test_useless_snapshot_is_answered_with_the_commit),
        cmocka_unit_test(test_unreported_snapshot_blocks_its_member),
        cmocka_unit_test(test_only_followers_take_a_snapshot),
        cmocka_unit_test(test_heartbeat_repeats_the_position),
        cmocka_unit_test(test_postponed_reads_keep_their_order),
        cmocka_unit_test(test_unconfirmed_reads_end_with_the_term),
        cmocka_unit_test(test_change_counts_when_it_is_applied),
        cmocka_unit_test(test_validation_sees_what_is_applied),
        cmocka_unit_test(test_late_acknowledgements_are_only_notes),
        cmocka_unit_test(test_ids_are_hex_in_log_lines),
    };

    return cmocka_run_group_tests_name("rules_safety", tests, NULL, NULL);
}
