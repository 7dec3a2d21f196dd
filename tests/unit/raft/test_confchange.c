/* Goal: configuration changes lead to sound configurations or to the errors of
 * raft-core section 19, and what Restore builds is what was stored.
 * Method: named cases with their texts; random lists of changes made one by one
 * and through a joint configuration; random ConfStates. */

#include "tests/lib/cmocka.h"
#include "tests/lib/fatal.h"

#include "src/base/buf.h"
#include "src/base/rng.h"
#include "src/raft/confchange.h"

static struct fatal_trap trap;

#define CHANGES_MAX 12

/* Shorthand for the changes of a table. */
#define V(id)                                                                  \
    {                                                                          \
        CONF_CHANGE_ADD_NODE, (id)                                             \
    }
#define R(id)                                                                  \
    {                                                                          \
        CONF_CHANGE_REMOVE_NODE, (id)                                          \
    }
#define U(id)                                                                  \
    {                                                                          \
        CONF_CHANGE_UPDATE_NODE, (id)                                          \
    }
#define L(id)                                                                  \
    {                                                                          \
        CONF_CHANGE_ADD_LEARNER_NODE, (id)                                     \
    }

struct change_set {
    struct conf_change_single ccs[CHANGES_MAX];
    size_t n;
};

static void tracker_open(struct tracker *t)
{
    tracker_init(t, (struct inflight_limits){10, 0}, &trap.lg);
}

static struct changer changer_of(struct tracker *t)
{
    return (struct changer){.tracker = t, .last_index = 10};
}

/* Install a result, if there is one. Returns `rc`. */
static int install(struct tracker *t, int rc, struct changer_result *r)
{
    if (rc == 0) {
        tracker_switch(t, &r->config, &r->progress);
    } else {
        assert_int_equal(rc, ERR_CONF_CHANGE);
        assert_int_equal(r->progress.n, 0);
    }
    return rc;
}

static int simple(struct tracker *t, const struct conf_change_single *ccs,
                  size_t n, struct errmsg *em)
{
    struct changer c = changer_of(t);
    struct changer_result r = {0};

    return install(t, changer_simple(&c, ccs, n, &r, em), &r);
}

static int enter_joint(struct tracker *t, bool auto_leave,
                       const struct change_set *s, struct errmsg *em)
{
    struct changer c = changer_of(t);
    struct changer_result r = {0};

    return install(t, changer_enter_joint(&c, auto_leave, s->ccs, s->n, &r, em),
                   &r);
}

static int leave_joint(struct tracker *t, struct errmsg *em)
{
    struct changer c = changer_of(t);
    struct changer_result r = {0};

    return install(t, changer_leave_joint(&c, &r, em), &r);
}

static void one_by_one(struct tracker *t, const struct change_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        assert_int_equal(simple(t, &s->ccs[i], 1, NULL), 0);
    }
}

static void assert_tracker(const struct tracker *t, const char *want)
{
    struct buf out;

    buf_init(&out, BUF_UNLIMITED);
    tracker_config_string(&t->config, &out);
    buf_append_byte(&out, '\n');
    progress_map_string(&t->progress, &out);
    assert_string_equal(buf_cstr(&out), want);
    buf_release(&out);
}

/* --- what a change asks for --- */

static void test_leave_joint(void **state)
{
    struct conf_change_single ccs[2] = {V(1), V(2)};
    const struct {
        struct conf_change_v2 cc;
        bool leave;
        bool enter;
        bool auto_leave;
    } cases[] = {
        {{0, NULL, 0, {NULL, 0}}, true, false, false},
        {{0, NULL, 0, {(const uint8_t *)"x", 1}}, true, false, false},
        {{0, ccs, 0, {NULL, 0}}, true, false, false},
        {{0, ccs, 1, {NULL, 0}}, false, false, false},
        {{0, ccs, 2, {NULL, 0}}, false, true, true},
        {{1, NULL, 0, {NULL, 0}}, false, true, true},
        {{1, ccs, 1, {NULL, 0}}, false, true, true},
        {{2, NULL, 0, {NULL, 0}}, false, true, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool auto_leave = false;

        assert_int_equal(conf_change_v2_leave_joint(&cases[i].cc),
                         cases[i].leave);
        assert_int_equal(conf_change_v2_enter_joint(&cases[i].cc, &auto_leave),
                         cases[i].enter);
        assert_int_equal(auto_leave, cases[i].auto_leave);
    }
}

static void test_v1_as_v2(void **state)
{
    struct conf_change cc = {.id = 9,
                             .type = CONF_CHANGE_REMOVE_NODE,
                             .node_id = 4,
                             .context = {(const uint8_t *)"ctx", 3}};
    struct conf_change_single one;
    struct conf_change_v2 v2;

    (void)state;
    conf_change_as_v2(&cc, &one, &v2);
    assert_int_equal(v2.transition, CONF_CHANGE_TRANSITION_AUTO);
    assert_int_equal(v2.n_changes, 1);
    assert_int_equal(v2.changes[0].type, CONF_CHANGE_REMOVE_NODE);
    assert_int_equal(v2.changes[0].node_id, 4);
    assert_int_equal(v2.context.len, 3);
}

static void test_confchange_describe(void **state)
{
    const struct conf_change_single ccs[] = {V(1), R(2), {17, 3}};
    struct buf out;

    (void)state;
    buf_init(&out, BUF_UNLIMITED);
    confchange_describe(ccs, ARRAY_LEN(ccs), &out);
    assert_string_equal(buf_cstr(&out),
                        "ConfChangeAddNode(1) ConfChangeRemoveNode(2) 17(3)");
    buf_release(&out);
}

/* --- errors --- */

static void test_simple_errors(void **state)
{
    static const struct {
        struct change_set s;
        const char *want;
    } cases[] = {
        {{{V(2), V(3)}, 2},
         "more than one voter changed without entering joint config"},
        {{{V(2), R(1)}, 2},
         "more than one voter changed without entering joint config"},
        {{{R(1)}, 1}, "removed all voters"},
        {{{L(1)}, 1}, "removed all voters"},
        {{{{17, 2}}, 1}, "unexpected conf type 17"},
    };
    struct tracker t;

    (void)state;
    tracker_open(&t);
    assert_int_equal(simple(&t, (struct conf_change_single[]){V(1)}, 1, NULL),
                     0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct errmsg em;

        assert_int_equal(simple(&t, cases[i].s.ccs, cases[i].s.n, &em),
                         ERR_CONF_CHANGE);
        assert_string_equal(em.text, cases[i].want);
        assert_tracker(&t, "voters=(1)\n1: StateProbe match=0 next=10\n");
    }
    tracker_release(&t);
}

static void test_joint_errors(void **state)
{
    const struct change_set s = {{V(2)}, 1};
    struct tracker t;
    struct errmsg em;

    (void)state;
    tracker_open(&t);
    assert_int_equal(enter_joint(&t, false, &s, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "can't make a zero-voter config joint");
    one_by_one(&t, &(struct change_set){{V(1)}, 1});
    assert_int_equal(leave_joint(&t, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "can't leave a non-joint config");
    assert_int_equal(enter_joint(&t, false, &s, &em), 0);
    assert_int_equal(enter_joint(&t, false, &s, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "config is already joint");
    assert_int_equal(simple(&t, s.ccs, s.n, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text,
                        "can't apply simple config change in joint config");
    assert_int_equal(leave_joint(&t, &em), 0);
    tracker_release(&t);
}

/* A configuration that is broken already is refused, with what is wrong. */
static void test_invariants(void **state)
{
    struct tracker t;
    struct changer c = changer_of(&t);
    struct changer_result r = {0};
    struct errmsg em;

    (void)state;
    tracker_open(&t);
    one_by_one(&t, &(struct change_set){{V(1), L(2)}, 2});

    tracker_progress(&t, 2)->is_learner = false;
    assert_int_equal(changer_simple(&c, NULL, 0, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text,
                        "2 is in Learners, but is not marked as learner");
    tracker_progress(&t, 2)->is_learner = true;

    id_set_add(&t.config.voters.incoming, 2);
    assert_int_equal(changer_simple(&c, NULL, 0, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "2 is in Learners and Voters[0]");
    id_set_remove(&t.config.voters.incoming, 2);

    id_set_add(&t.config.voters.outgoing, 2);
    assert_int_equal(changer_leave_joint(&c, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "2 is in Learners and Voters[1]");
    id_set_remove(&t.config.learners, 2);
    id_set_add(&t.config.learners_next, 2);
    assert_int_equal(changer_leave_joint(&c, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(
        em.text, "2 is in LearnersNext, but is already marked as learner");
    id_set_remove(&t.config.voters.outgoing, 2);
    assert_int_equal(changer_leave_joint(&c, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "2 is in LearnersNext, but not Voters[1]");
    id_set_remove(&t.config.learners_next, 2);

    id_set_add(&t.config.learners_next, 1);
    assert_int_equal(changer_simple(&c, NULL, 0, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "1 is in LearnersNext, but not Voters[1]");
    id_set_remove(&t.config.learners_next, 1);

    t.config.auto_leave = true;
    assert_int_equal(changer_simple(&c, NULL, 0, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "AutoLeave must be false when not joint");
    t.config.auto_leave = false;

    id_set_add(&t.config.voters.incoming, 9);
    assert_int_equal(changer_simple(&c, NULL, 0, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "no progress for 9");
    assert_int_equal(changer_enter_joint(&c, true, NULL, 0, &r, &em),
                     ERR_CONF_CHANGE);
    assert_string_equal(em.text, "no progress for 9");
    assert_int_equal(r.progress.n, 0);
    tracker_release(&t);
}

/* --- paths --- */

/* A demoted voter waits in learners_next, keeps its Progress, and becomes a
 * learner on leaving. */
static void test_demotion_waits_for_leaving(void **state)
{
    struct tracker t;

    (void)state;
    tracker_open(&t);
    one_by_one(&t, &(struct change_set){{V(1), V(2)}, 2});
    tracker_progress(&t, 2)->match = 5;
    assert_int_equal(
        enter_joint(&t, true, &(struct change_set){{L(2), V(3)}, 2}, NULL), 0);
    assert_tracker(&t, "voters=(1 3)&&(1 2) learners_next=(2) autoleave\n"
                       "1: StateProbe match=0 next=10\n"
                       "2: StateProbe match=5 next=10\n"
                       "3: StateProbe match=0 next=10\n");
    assert_int_equal(leave_joint(&t, NULL), 0);
    assert_tracker(&t, "voters=(1 3) learners=(2)\n"
                       "1: StateProbe match=0 next=10\n"
                       "2: StateProbe match=5 next=10 learner\n"
                       "3: StateProbe match=0 next=10\n");
    tracker_release(&t);
}

/* Node 0 is how a change is cancelled; updates and repetitions do nothing. */
static void test_changes_without_effect(void **state)
{
    struct tracker t;

    (void)state;
    tracker_open(&t);
    one_by_one(&t, &(struct change_set){{V(1), L(2), L(2), V(1), U(1), U(7),
                                         R(9), V(0), R(0), L(0)},
                                        10});
    assert_tracker(&t, "voters=(1) learners=(2)\n"
                       "1: StateProbe match=0 next=10\n"
                       "2: StateProbe match=0 next=10 learner\n");
    tracker_release(&t);
}

static void test_apply_chooses_the_operation(void **state)
{
    struct conf_change_single ccs[] = {V(2), V(3)};
    const struct conf_change_v2 two = {.changes = ccs, .n_changes = 2};
    const struct conf_change_v2 one = {.changes = ccs, .n_changes = 1};
    const struct conf_change_v2 leave = {0};
    struct tracker t;
    struct changer c = changer_of(&t);
    struct changer_result r = {0};

    (void)state;
    tracker_open(&t);
    one_by_one(&t, &(struct change_set){{V(1)}, 1});
    assert_int_equal(install(&t, changer_apply(&c, &two, &r, NULL), &r), 0);
    assert_true(tracker_config_is_joint(&t.config));
    assert_true(t.config.auto_leave);
    assert_int_equal(install(&t, changer_apply(&c, &leave, &r, NULL), &r), 0);
    assert_false(tracker_config_is_joint(&t.config));
    assert_int_equal(install(&t, changer_apply(&c, &one, &r, NULL), &r), 0);
    assert_int_equal(t.config.voters.incoming.n, 3);
    tracker_release(&t);
}

/* --- random --- */

/* Never about node 1, so that a voter is always left. */
static void random_changes(struct rng *r, struct change_set *s)
{
    s->n = 1 + (size_t)rng_below(r, CHANGES_MAX);
    for (size_t i = 0; i < s->n; i++) {
        s->ccs[i] =
            (struct conf_change_single){rng_below(r, 4), 2 + rng_below(r, 6)};
    }
}

static bool same_progress(const struct progress_map *a,
                          const struct progress_map *b)
{
    bool same = a->n == b->n;

    for (size_t i = 0; same && i < a->n; i++) {
        same = a->items[i].id == b->items[i].id &&
               a->items[i].is_learner == b->items[i].is_learner &&
               a->items[i].match == b->items[i].match &&
               a->items[i].next == b->items[i].next;
    }
    return same;
}

static void assert_same(const struct tracker *a, const struct tracker *b)
{
    struct buf x;
    struct buf y;

    buf_init(&x, BUF_UNLIMITED);
    buf_init(&y, BUF_UNLIMITED);
    tracker_config_string(&a->config, &x);
    tracker_config_string(&b->config, &y);
    assert_string_equal(buf_cstr(&x), buf_cstr(&y));
    assert_true(same_progress(&a->progress, &b->progress));
    buf_release(&x);
    buf_release(&y);
}

/* Changes one by one end where the same changes through a joint configuration
 * end, left by itself or not. */
static void test_conf_change_quick(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (int round = 0; round < 1000; round++) {
        struct change_set first = {{V(1)}, 1};
        struct change_set more;
        struct change_set s;
        struct tracker t[3];

        random_changes(&rng, &more);
        random_changes(&rng, &s);
        for (int i = 0; i < 3; i++) {
            tracker_open(&t[i]);
            one_by_one(&t[i], &first);
            one_by_one(&t[i], &more);
        }
        one_by_one(&t[0], &s);
        assert_int_equal(enter_joint(&t[1], false, &s, NULL), 0);
        assert_int_equal(enter_joint(&t[2], true, &s, NULL), 0);
        assert_true(t[2].config.auto_leave);
        t[2].config.auto_leave = false;
        assert_same(&t[1], &t[2]);
        t[2].config.auto_leave = true;
        assert_int_equal(leave_joint(&t[1], NULL), 0);
        assert_int_equal(leave_joint(&t[2], NULL), 0);
        assert_same(&t[0], &t[1]);
        assert_same(&t[0], &t[2]);
        for (int i = 0; i < 3; i++) {
            tracker_release(&t[i]);
        }
    }
}

static void assert_restores(const struct conf_state *cs)
{
    struct conf_state got = {0};
    struct tracker t;

    tracker_open(&t);
    {
        struct changer c = changer_of(&t);
        struct changer_result r = {0};

        assert_int_equal(install(&t, changer_restore(&c, cs, &r, NULL), &r), 0);
    }
    tracker_conf_state(&t, &got);
    assert_true(conf_state_equivalent(cs, &got));
    conf_state_release(&got);
    tracker_release(&t);
}

/* Each id from 1 to 12 is nothing, or one of the combinations that a member
 * can have; in no particular order. */
static void random_conf_state(struct rng *r, struct conf_state *cs)
{
    bool joint = rng_below(r, 2) == 0;

    id_list_push(&cs->voters, 20);
    if (joint) {
        id_list_push(&cs->voters_outgoing, 21);
        cs->auto_leave = rng_below(r, 2) == 0;
    }
    for (uint64_t k = 0; k < 12; k++) {
        uint64_t id = (k * 5) % 12 + 1;

        switch (rng_below(r, joint ? 6 : 3)) {
        case 0:
            break;
        case 1:
            id_list_push(&cs->voters, id);
            break;
        case 2:
            id_list_push(&cs->learners, id);
            break;
        case 3:
            id_list_push(&cs->voters_outgoing, id);
            break;
        case 4:
            id_list_push(&cs->voters_outgoing, id);
            id_list_push(&cs->voters, id);
            break;
        default: /* a number, not an enum */
            id_list_push(&cs->voters_outgoing, id);
            id_list_push(&cs->learners_next, id);
        }
    }
}

#define LIST(...)                                                              \
    {                                                                          \
        (uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / 8       \
    }

static void test_restore(void **state)
{
    const struct conf_state fixed[] = {
        {.auto_leave = false},
        {.voters = LIST(1, 2, 3)},
        {.voters = LIST(1, 2, 3), .learners = LIST(4, 5, 6)},
        {.voters = LIST(1, 2, 3),
         .learners = LIST(5),
         .voters_outgoing = LIST(1, 2, 4, 6),
         .learners_next = LIST(4)},
    };
    struct rng rng;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        assert_restores(&fixed[i]);
    }
    rng_seed(&rng, 11);
    for (int i = 0; i < 1000; i++) {
        struct conf_state cs = {0};

        random_conf_state(&rng, &cs);
        assert_restores(&cs);
        conf_state_release(&cs);
    }
}

static void test_restore_learners_without_voters(void **state)
{
    struct conf_state cs = {0};
    struct tracker t;
    struct changer c = changer_of(&t);
    struct changer_result r = {0};
    struct errmsg em;

    (void)state;
    tracker_open(&t);
    id_list_push(&cs.learners, 3);
    assert_int_equal(changer_restore(&c, &cs, &r, &em), ERR_CONF_CHANGE);
    assert_string_equal(em.text, "removed all voters");
    assert_int_equal(r.progress.n, 0);
    conf_state_release(&cs);
    tracker_release(&t);
}

/* Members as no group can have them: each half needs a voter. */
static void test_restore_of_halves_without_voters(void **state)
{
    static const struct {
        uint64_t voter;
        uint64_t outgoing;
    } cases[] = {{1, 0}, {0, 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct conf_state cs = {0};
        struct tracker t;
        struct changer c = changer_of(&t);
        struct changer_result r = {0};
        struct errmsg em;

        tracker_open(&t);
        id_list_push(&cs.voters, cases[i].voter);
        id_list_push(&cs.voters_outgoing, cases[i].outgoing);
        assert_int_equal(changer_restore(&c, &cs, &r, &em), ERR_CONF_CHANGE);
        assert_string_equal(em.text, "removed all voters");
        assert_int_equal(r.progress.n, 0);
        conf_state_release(&cs);
        tracker_release(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leave_joint),
        cmocka_unit_test(test_v1_as_v2),
        cmocka_unit_test(test_confchange_describe),
        cmocka_unit_test(test_simple_errors),
        cmocka_unit_test(test_joint_errors),
        cmocka_unit_test(test_invariants),
        cmocka_unit_test(test_demotion_waits_for_leaving),
        cmocka_unit_test(test_changes_without_effect),
        cmocka_unit_test(test_apply_chooses_the_operation),
        cmocka_unit_test(test_conf_change_quick),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_restore_learners_without_voters),
        cmocka_unit_test(test_restore_of_halves_without_voters),
    };

    fatal_trap_init(&trap);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
