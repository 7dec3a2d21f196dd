/* Goal: the changer does to configurations what plain sets say, and whatever
 * it gives can be stored and restored. Method: random sequences of changes
 * against a model whose sets are the bits of a number; members are not kept in
 * the model, they follow from the sets.
 *
 * Counterpart: etcd-io/raft confchange/quick_test.go. */

#include <string.h>

#include "src/base/buf.h"
#include "src/raft/confchange.h"
#include "tests/lib/property.h"

/* Ids are 1 to 8; bit i of a set stands for id i. */
#define IDS 8

#define CHANGES_MAX 8
#define STEPS_MAX   20

static const struct inflight_limits limits = {.msgs = 4, .bytes = 100};

/* A configuration as plain sets, and what its members are known to have. */
struct model {
    uint32_t incoming;
    uint32_t outgoing;
    uint32_t learners;
    uint32_t learners_next;
    bool auto_leave;
    uint64_t last_index; /* of the log: where newcomers start */
    /* By id; next 0: no member. */
    uint64_t match[IDS + 1];
    uint64_t next[IDS + 1];
};

static uint32_t bit(uint64_t id)
{
    return UINT32_C(1) << id;
}

static uint32_t members(const struct model *m)
{
    return m->incoming | m->outgoing | m->learners | m->learners_next;
}

/* --- the model's operations: false means an error --- */

static void make_learner(struct model *m, uint32_t id)
{
    m->incoming &= ~id;
    if (m->outgoing & id) {
        m->learners_next |= id;
    } else {
        m->learners |= id;
    }
}

/* Who is no member any more is forgotten; who is new begins. */
static void settle(struct model *m)
{
    for (uint64_t id = 1; id <= IDS; id++) {
        if ((members(m) & bit(id)) == 0) {
            m->match[id] = 0;
            m->next[id] = 0;
        } else if (m->next[id] == 0) {
            m->next[id] = max_u64(m->last_index, 1);
        }
    }
}

static bool apply(struct model *m, const struct conf_change_single *ccs,
                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t id = bit(ccs[i].node_id);

        if (ccs[i].node_id == 0) {
            continue;
        }
        if (ccs[i].type > CONF_CHANGE_ADD_LEARNER_NODE) {
            return false;
        }
        if (ccs[i].type == CONF_CHANGE_ADD_LEARNER_NODE) {
            make_learner(m, id);
        } else if (ccs[i].type != CONF_CHANGE_UPDATE_NODE) {
            m->incoming &= ~id;
            m->learners &= ~id;
            m->learners_next &= ~id;
        }
        if (ccs[i].type == CONF_CHANGE_ADD_NODE) {
            m->incoming |= id;
        }
        settle(m);
    }
    return m->incoming != 0;
}

static bool model_simple(struct model *m, const struct conf_change_single *ccs,
                         size_t n)
{
    uint32_t before = m->incoming;

    return m->outgoing == 0 && apply(m, ccs, n) &&
           __builtin_popcount(before ^ m->incoming) <= 1;
}

static bool model_enter_joint(struct model *m, bool auto_leave,
                              const struct conf_change_single *ccs, size_t n)
{
    if (m->outgoing != 0 || m->incoming == 0) {
        return false;
    }
    m->outgoing = m->incoming;
    m->auto_leave = auto_leave;
    return apply(m, ccs, n);
}

static bool model_leave_joint(struct model *m)
{
    if (m->outgoing == 0) {
        return false;
    }
    m->learners |= m->learners_next;
    m->learners_next = 0;
    m->outgoing = 0;
    m->auto_leave = false;
    settle(m);
    return true;
}

static bool model_apply(struct model *m, const struct conf_change_v2 *cc)
{
    bool asked = cc->transition != CONF_CHANGE_TRANSITION_AUTO;

    if (!asked && cc->n_changes == 0) {
        return model_leave_joint(m);
    }
    if (!asked && cc->n_changes == 1) {
        return model_simple(m, cc->changes, 1);
    }
    return model_enter_joint(
        m, cc->transition != CONF_CHANGE_TRANSITION_JOINT_EXPLICIT, cc->changes,
        cc->n_changes);
}

/* --- comparing --- */

/* The list as a set; it must be in ascending order. */
static uint32_t bits_of(struct property *p, const struct id_list *l)
{
    uint32_t bits = 0;

    PROPERTY_EQ(p, l->ids == NULL, l->n == 0);
    for (size_t i = 0; i < l->n; i++) {
        PROPERTY_CHECK(p, l->ids[i] >= 1 && l->ids[i] <= IDS);
        PROPERTY_CHECK(p, i == 0 || l->ids[i - 1] < l->ids[i]);
        bits |= bit(l->ids[i]);
    }
    return bits;
}

static void check_config(struct property *p, const struct tracker_config *c,
                         const struct model *m)
{
    PROPERTY_EQ(p, bits_of(p, &c->voters.incoming), m->incoming);
    PROPERTY_EQ(p, bits_of(p, &c->voters.outgoing), m->outgoing);
    PROPERTY_EQ(p, bits_of(p, &c->learners), m->learners);
    PROPERTY_EQ(p, bits_of(p, &c->learners_next), m->learners_next);
    PROPERTY_EQ(p, c->auto_leave, m->auto_leave);
}

/* Who stays a member keeps its Progress; who is new counts as active. */
static void check_members(struct property *p, const struct progress_map *prs,
                          const struct model *m)
{
    size_t n = 0;

    for (uint64_t id = 1; id <= IDS; id++) {
        const struct progress *pr = progress_map_find(prs, id);

        PROPERTY_EQ(p, pr != NULL, (members(m) & bit(id)) != 0);
        if (pr == NULL) {
            continue;
        }
        n++;
        PROPERTY_EQ(p, pr->id, id);
        PROPERTY_EQ(p, pr->is_learner, (m->learners & bit(id)) != 0);
        PROPERTY_EQ(p, pr->match, m->match[id]);
        PROPERTY_EQ(p, pr->next, m->next[id]);
        PROPERTY_EQ(p, pr->inflights.size, limits.msgs);
        PROPERTY_EQ(p, pr->inflights.max_bytes, limits.bytes);
        PROPERTY_CHECK(p, pr->recent_active);
    }
    PROPERTY_EQ(p, prs->n, n);
}

/* --- drawing --- */

static size_t draw_changes(struct property *p, struct conf_change_single *ccs,
                           size_t max)
{
    size_t n = property_below(p, max + 1);

    for (size_t i = 0; i < n; i++) {
        ccs[i].type = property_below(p, 4);
        ccs[i].node_id = property_between(p, 1, IDS);
        if (property_chance(p, 2)) {
            ccs[i].type = 4 + property_below(p, 3);
        }
        if (property_chance(p, 3)) {
            ccs[i].node_id = RAFT_NONE;
        }
    }
    if (p->shown) {
        struct buf text;

        buf_init(&text, BUF_UNLIMITED);
        confchange_describe(ccs, n, &text);
        property_note(p, "  changes: %s", buf_cstr(&text));
        buf_release(&text);
    }
    return n;
}

static void shuffle(struct property *p, struct id_list *l)
{
    for (size_t i = l->n; i > 1; i--) {
        size_t k = property_below(p, i);
        uint64_t id = l->ids[k];

        l->ids[k] = l->ids[i - 1];
        l->ids[i - 1] = id;
    }
}

/* --- sequences of changes --- */

/* One random operation on both; whether the model allows it. */
static bool do_step(struct property *p, const struct changer *c,
                    struct model *m, struct changer_result *r, int *rc)
{
    struct conf_change_single ccs[CHANGES_MAX];
    struct conf_change_v2 cc = {.changes = ccs};
    struct errmsg em;
    bool flag = property_chance(p, 50);

    switch (property_below(p, 4)) {
    case 0:
        property_note(p, "simple");
        cc.n_changes = draw_changes(p, ccs, 2);
        *rc = changer_simple(c, ccs, cc.n_changes, r, &em);
        return model_simple(m, ccs, cc.n_changes);
    case 1:
        property_note(p, "enter joint, autoleave=%d", flag);
        cc.n_changes = draw_changes(p, ccs, CHANGES_MAX);
        *rc = changer_enter_joint(c, flag, ccs, cc.n_changes, r, &em);
        return model_enter_joint(m, flag, ccs, cc.n_changes);
    case 2:
        property_note(p, "leave joint");
        *rc = changer_leave_joint(c, r, &em);
        return model_leave_joint(m);
    }
    cc.transition = property_below(p, 3);
    property_note(p, "what transition %" PRIu64 " asks for", cc.transition);
    cc.n_changes = draw_changes(p, ccs, 3);
    *rc = changer_apply(c, &cc, r, &em);
    return model_apply(m, &cc);
}

/* Let every member make some progress, to be recognised by. */
static void advance_members(struct property *p, struct tracker *t,
                            struct model *m)
{
    for (size_t i = 0; i < t->progress.n; i++) {
        struct progress *pr = &t->progress.items[i];

        if (property_chance(p, 50)) {
            m->match[pr->id] += property_between(p, 1, 9);
            m->next[pr->id] = max_u64(m->next[pr->id], m->match[pr->id] + 1);
            PROPERTY_CHECK(p, progress_maybe_update(pr, m->match[pr->id]));
        }
    }
}

/* The configuration comes back from its ConfState, in whatever order the ids
 * were stored; all its members are new. */
static void check_restore(struct property *p, const struct changer *c,
                          const struct model *m)
{
    struct model fresh = *m;
    struct conf_state cs = {0};
    struct changer_result r = {0};

    tracker_conf_state(c->tracker, &cs);
    shuffle(p, &cs.voters);
    shuffle(p, &cs.voters_outgoing);
    shuffle(p, &cs.learners);
    shuffle(p, &cs.learners_next);
    PROPERTY_OK(p, changer_restore(c, &cs, &r, NULL));
    memset(fresh.match, 0, sizeof fresh.match);
    memset(fresh.next, 0, sizeof fresh.next);
    settle(&fresh);
    check_config(p, &r.config, &fresh);
    check_members(p, &r.progress, &fresh);
    changer_result_release(&r);
    conf_state_release(&cs);
}

/* One step on both; a change that fails has changed nothing. */
static void step(struct property *p, struct tracker *t, struct model *m)
{
    struct changer_result r = {0};
    struct model before;
    struct changer c;
    int rc;

    m->last_index = property_below(p, 4);
    c = (struct changer){t, m->last_index};
    before = *m;
    if (do_step(p, &c, m, &r, &rc)) {
        PROPERTY_OK(p, rc);
        check_config(p, &r.config, m);
        check_members(p, &r.progress, m);
        tracker_switch(t, &r.config, &r.progress);
    } else {
        *m = before;
        PROPERTY_CHECK(p, rc == ERR_CONF_CHANGE);
        PROPERTY_EQ(p, r.progress.n, 0);
        check_config(p, &r.config, &(struct model){0});
        check_config(p, &t->config, m);
        check_members(p, &t->progress, m);
    }
    check_restore(p, &c, m);
}

/* Most cases begin with some members: a random change of nothing mostly fails.
 */
static void start_with_voters(struct property *p, struct tracker *t,
                              struct model *m)
{
    for (uint64_t n = property_below(p, 6); n > 0; n--) {
        struct conf_change_single add = {CONF_CHANGE_ADD_NODE,
                                         property_between(p, 1, IDS)};
        struct changer c = {t, m->last_index};
        struct changer_result r = {0};

        PROPERTY_OK(p, changer_simple(&c, &add, 1, &r, NULL));
        PROPERTY_CHECK(p, model_simple(m, &add, 1));
        tracker_switch(t, &r.config, &r.progress);
    }
}

static void changes_do_what_sets_say(struct property *p)
{
    struct tracker t;
    struct model m = {0};

    tracker_init(&t, limits, &p->lg);
    start_with_voters(p, &t, &m);
    for (uint64_t n = property_between(p, 1, STEPS_MAX); n > 0; n--) {
        step(p, &t, &m);
        advance_members(p, &t, &m);
        tracker_check(&t);
    }
    tracker_release(&t);
}

/* --- two ways to the same end --- */

/* Make one simple change after the other. False if one is not possible: the
 * joint way may then be, so there is nothing to compare. */
static bool simple_one_by_one(struct tracker *t,
                              const struct conf_change_single *ccs, size_t n)
{
    struct changer c = {t, 10};

    for (size_t i = 0; i < n; i++) {
        struct changer_result r = {0};

        if (changer_simple(&c, &ccs[i], 1, &r, NULL) < 0) {
            return false;
        }
        tracker_switch(t, &r.config, &r.progress);
    }
    return true;
}

static void through_joint(struct property *p, struct tracker *t,
                          const struct conf_change_single *ccs, size_t n)
{
    struct changer c = {t, 10};
    struct changer_result r = {0};

    PROPERTY_OK(p, changer_enter_joint(&c, false, ccs, n, &r, NULL));
    tracker_switch(t, &r.config, &r.progress);
    PROPERTY_OK(p, changer_leave_joint(&c, &r, NULL));
    tracker_switch(t, &r.config, &r.progress);
}

/* Id 1 is there from the beginning, and the changes leave it alone, so that
 * there is always a voter. */
static void draw_start(struct property *p, struct conf_change_single *ccs,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ccs[i].type = property_below(p, 4);
        ccs[i].node_id = property_between(p, 2, IDS);
    }
}

static void simple_changes_equal_a_joint_one(struct property *p)
{
    struct conf_change_single start[CHANGES_MAX] = {{0, 1}};
    struct conf_change_single ccs[CHANGES_MAX];
    size_t n_start = property_between(p, 1, CHANGES_MAX);
    size_t n = property_below(p, CHANGES_MAX + 1);
    struct tracker a;
    struct tracker b;

    tracker_init(&a, limits, &p->lg);
    tracker_init(&b, limits, &p->lg);
    draw_start(p, start + 1, n_start - 1);
    draw_start(p, ccs, n);
    PROPERTY_CHECK(p, simple_one_by_one(&a, start, n_start));
    PROPERTY_CHECK(p, simple_one_by_one(&b, start, n_start));
    PROPERTY_CHECK(p, simple_one_by_one(&a, ccs, n));
    through_joint(p, &b, ccs, n);

    PROPERTY_CHECK(
        p, id_set_equal(&a.config.voters.incoming, &b.config.voters.incoming));
    PROPERTY_CHECK(p, id_set_equal(&a.config.learners, &b.config.learners));
    PROPERTY_EQ(p, a.progress.n, b.progress.n);
    for (size_t i = 0; i < a.progress.n; i++) {
        PROPERTY_EQ(p, a.progress.items[i].id, b.progress.items[i].id);
        PROPERTY_EQ(p, a.progress.items[i].is_learner,
                    b.progress.items[i].is_learner);
        PROPERTY_EQ(p, a.progress.items[i].next, b.progress.items[i].next);
    }
    tracker_release(&a);
    tracker_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        property_test(changes_do_what_sets_say),
        property_test(simple_changes_equal_a_joint_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
