/* Goal: the tracker finds members, counts votes and commits over both halves,
 * and describes its configuration, as raft-core 12.3 says.
 * Method: trackers built by the changer, so that they are sound; then questions
 * with known answers. */

#include "tests/lib/cmocka.h"
#include "tests/lib/fatal.h"

#include "src/base/buf.h"
#include "src/raft/confchange.h"
#include "src/raft/tracker.h"

static struct fatal_trap trap;
static struct tracker t;

/* The ids of a list, up to the first 0. */
static void push_ids(struct id_list *l, const uint64_t ids[4])
{
    for (size_t i = 0; i < 4 && ids[i] != 0; i++) {
        id_list_push(l, ids[i]);
    }
}

static void set_up(const uint64_t voters[4], const uint64_t outgoing[4],
                   const uint64_t learners[4], const uint64_t learners_next[4])
{
    struct changer c = {.tracker = &t, .last_index = 0};
    struct changer_result r = {0};
    struct conf_state cs = {0};
    struct conf_state got = {0};

    tracker_init(&t, (struct inflight_limits){10, 0}, &trap.lg);
    push_ids(&cs.voters, voters);
    push_ids(&cs.voters_outgoing, outgoing);
    push_ids(&cs.learners, learners);
    push_ids(&cs.learners_next, learners_next);
    assert_int_equal(changer_restore(&c, &cs, &r, NULL), 0);
    tracker_switch(&t, &r.config, &r.progress);
    tracker_conf_state(&t, &got);
    assert_true(conf_state_equivalent(&cs, &got));
    conf_state_release(&got);
    conf_state_release(&cs);
}

static const uint64_t nobody[4] = {0};

static void tear_down(void)
{
    tracker_check(&t);
    tracker_release(&t);
}

static void set_match(uint64_t id, uint64_t match)
{
    struct progress *pr = tracker_progress(&t, id);

    pr->match = match;
    pr->next = match + 1;
}

static void test_members_in_order(void **state)
{
    struct id_list ids = {0};

    (void)state;
    set_up((uint64_t[4]){7, 3, 5}, nobody, (uint64_t[4]){4}, nobody);
    assert_int_equal(t.progress.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(t.progress.items[i].id, 3 + i + (i == 3 ? 1 : 0));
    }
    assert_true(tracker_progress(&t, 4)->is_learner);
    assert_null(tracker_progress(&t, 6));
    assert_null(tracker_progress(&t, 0));
    tracker_voter_nodes(&t, &ids);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.ids[0], 3);
    id_set_release(&ids);
    tracker_learner_nodes(&t, &ids);
    assert_int_equal(ids.n, 1);
    id_set_release(&ids);
    assert_true(tracker_is_voter(&t, 3));
    assert_false(tracker_is_voter(&t, 4));
    tear_down();
}

static void test_is_singleton(void **state)
{
    (void)state;
    set_up((uint64_t[4]){1}, nobody, (uint64_t[4]){2}, nobody);
    assert_true(tracker_is_singleton(&t));
    tear_down();
    set_up((uint64_t[4]){1, 2}, nobody, nobody, nobody);
    assert_false(tracker_is_singleton(&t));
    tear_down();
    set_up((uint64_t[4]){1}, (uint64_t[4]){1, 2}, nobody, nobody);
    assert_false(tracker_is_singleton(&t));
    tear_down();
}

static void test_committed_needs_both_halves(void **state)
{
    (void)state;
    set_up((uint64_t[4]){1, 2, 3}, (uint64_t[4]){1, 4, 5}, nobody, nobody);
    set_match(1, 9);
    set_match(2, 8);
    set_match(3, 7);
    assert_int_equal(tracker_committed(&t), 0);
    set_match(4, 5);
    assert_int_equal(tracker_committed(&t), 5);
    set_match(5, 100);
    assert_int_equal(tracker_committed(&t), 8);
    tear_down();
    tracker_init(&t, (struct inflight_limits){10, 0}, &trap.lg);
    assert_int_equal(tracker_committed(&t), QUORUM_INDEX_MAX);
    tear_down();
}

/* A voter without a Progress has stored nothing that is known of [TR-3]. */
static void test_voter_without_progress_counts_as_unknown(void **state)
{
    (void)state;
    set_up((uint64_t[4]){1}, nobody, nobody, nobody);
    set_match(1, 9);
    assert_int_equal(tracker_committed(&t), 9);
    id_set_add(&t.config.voters.incoming, 2); /* no change does so */
    assert_int_equal(tracker_committed(&t), 0);
    id_set_remove(&t.config.voters.incoming, 2);
    tear_down();
}

static void test_learners_do_not_count(void **state)
{
    (void)state;
    set_up((uint64_t[4]){1, 2, 3}, nobody, (uint64_t[4]){4, 5}, nobody);
    set_match(1, 9);
    set_match(4, 9);
    set_match(5, 9);
    assert_int_equal(tracker_committed(&t), 0);
    for (size_t i = 0; i < t.progress.n; i++) {
        t.progress.items[i].recent_active = t.progress.items[i].is_learner;
    }
    tracker_progress(&t, 1)->recent_active = true;
    assert_false(tracker_quorum_active(&t));
    tracker_progress(&t, 3)->recent_active = true;
    assert_true(tracker_quorum_active(&t));
    tear_down();
}

static void test_first_vote_sticks(void **state)
{
    struct vote_tally tally;

    (void)state;
    set_up((uint64_t[4]){1, 2, 3}, nobody, (uint64_t[4]){4}, nobody);
    tracker_record_vote(&t, 1, true);
    tracker_record_vote(&t, 2, false);
    tracker_record_vote(&t, 2, true);
    tracker_record_vote(&t, 4, true);
    tracker_record_vote(&t, 9, true);
    tally = tracker_tally_votes(&t);
    assert_int_equal(tally.granted, 1);
    assert_int_equal(tally.rejected, 1);
    assert_int_equal(tally.result, VOTE_PENDING);
    tracker_record_vote(&t, 3, true);
    assert_int_equal(tracker_tally_votes(&t).result, VOTE_WON);
    tracker_reset_votes(&t);
    tally = tracker_tally_votes(&t);
    assert_int_equal(tally.granted, 0);
    assert_int_equal(tally.result, VOTE_PENDING);
    tear_down();
}

static void test_votes_need_both_halves(void **state)
{
    (void)state;
    set_up((uint64_t[4]){1, 2, 3}, (uint64_t[4]){1, 4, 5}, nobody, nobody);
    tracker_record_vote(&t, 1, true);
    tracker_record_vote(&t, 2, true);
    tracker_record_vote(&t, 3, true);
    assert_int_equal(tracker_tally_votes(&t).result, VOTE_PENDING);
    tracker_record_vote(&t, 4, true);
    assert_int_equal(tracker_tally_votes(&t).result, VOTE_WON);
    tear_down();
}

static void assert_config_string(const char *want)
{
    struct buf out;

    buf_init(&out, BUF_UNLIMITED);
    tracker_config_string(&t.config, &out);
    assert_string_equal(buf_cstr(&out), want);
    buf_release(&out);
}

static void test_config_string(void **state)
{
    (void)state;
    set_up(nobody, nobody, nobody, nobody);
    assert_config_string("voters=()");
    tear_down();
    set_up((uint64_t[4]){3, 1, 2}, nobody, (uint64_t[4]){16}, nobody);
    assert_config_string("voters=(1 2 3) learners=(10)");
    tear_down();
    set_up((uint64_t[4]){1, 2}, (uint64_t[4]){1, 3}, (uint64_t[4]){4},
           (uint64_t[4]){3});
    t.config.auto_leave = true;
    assert_config_string(
        "voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave");
    tear_down();
}

static void test_progress_map(void **state)
{
    struct inflight_limits limits = {4, 0};
    struct progress_map m = {0};
    struct progress_map copy = {0};
    struct buf out;

    (void)state;
    for (uint64_t id = 20; id > 0; id -= 2) {
        progress_init(progress_map_insert(&m, id), id, id, limits, NULL);
    }
    progress_map_copy(&copy, &m);
    progress_map_find(&m, 4)->next = 77;
    for (uint64_t id = 6; id <= 20; id += 2) {
        progress_map_remove(&m, id);
        assert_null(progress_map_find(&m, id));
    }
    assert_int_equal(copy.n, 10);
    assert_int_equal(progress_map_find(&copy, 4)->next, 4);
    buf_init(&out, BUF_UNLIMITED);
    progress_map_string(&m, &out);
    assert_string_equal(buf_cstr(&out),
                        "2: StateProbe match=0 next=2 inactive\n"
                        "4: StateProbe match=0 next=77 inactive\n");
    buf_release(&out);
    progress_map_release(&m);
    progress_map_release(&copy);
}

/* A voter of whom nothing is known has stored nothing and says nothing; neither
 * does one that is only to be a learner. */
static void test_unknown_voters_are_silent(void **state)
{
    (void)state;
    set_up((uint64_t[4]){1, 2, 3}, nobody, nobody, nobody);
    set_match(1, 8);
    set_match(2, 5);
    tracker_progress(&t, 1)->recent_active = true;
    tracker_progress(&t, 2)->recent_active = true;
    assert_int_equal(tracker_committed(&t), 5);
    assert_true(tracker_quorum_active(&t));
    progress_map_remove(&t.progress, 3);
    assert_int_equal(tracker_committed(&t), 5);
    assert_true(tracker_quorum_active(&t));
    tracker_progress(&t, 2)->is_learner = true;
    assert_false(tracker_quorum_active(&t));
    progress_map_remove(&t.progress, 2);
    assert_int_equal(tracker_committed(&t), 0);
    assert_false(tracker_quorum_active(&t));
    tracker_release(&t);
}

static void test_clear_keeps_limits(void **state)
{
    (void)state;
    set_up((uint64_t[4]){1, 2, 3}, nobody, nobody, nobody);
    tracker_record_vote(&t, 1, true);
    tracker_clear(&t);
    assert_int_equal(t.progress.n, 0);
    assert_int_equal(t.n_votes, 0);
    assert_int_equal(t.limits.msgs, 10);
    assert_config_string("voters=()");
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_in_order),
        cmocka_unit_test(test_is_singleton),
        cmocka_unit_test(test_committed_needs_both_halves),
        cmocka_unit_test(test_voter_without_progress_counts_as_unknown),
        cmocka_unit_test(test_learners_do_not_count),
        cmocka_unit_test(test_first_vote_sticks),
        cmocka_unit_test(test_votes_need_both_halves),
        cmocka_unit_test(test_config_string),
        cmocka_unit_test(test_progress_map),
        cmocka_unit_test(test_unknown_voters_are_silent),
        cmocka_unit_test(test_clear_keeps_limits),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
