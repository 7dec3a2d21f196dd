/* See confchange.h. The rule numbers are those of raft-core section 19. */

#include "src/raft/confchange.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"

/* --- what a proposed change asks for --- */

void conf_change_as_v2(const struct conf_change *cc,
                       struct conf_change_single *one,
                       struct conf_change_v2 *out)
{
    *one = (struct conf_change_single){cc->type, cc->node_id};
    *out = (struct conf_change_v2){
        .transition = CONF_CHANGE_TRANSITION_AUTO,
        .changes = one,
        .n_changes = 1,
        .context = cc->context,
    };
}

/* Several changes need a joint configuration even where none is asked for
 * [CC-2]. */
bool conf_change_v2_enter_joint(const struct conf_change_v2 *cc,
                                bool *auto_leave)
{
    if (cc->transition == CONF_CHANGE_TRANSITION_AUTO && cc->n_changes <= 1) {
        return false;
    }
    *auto_leave = cc->transition != CONF_CHANGE_TRANSITION_JOINT_EXPLICIT;
    return true;
}

bool conf_change_v2_leave_joint(const struct conf_change_v2 *cc)
{
    return cc->transition == CONF_CHANGE_TRANSITION_AUTO && cc->n_changes == 0;
}

const char *conf_change_type_name(uint64_t type)
{
    static const char *const names[] = {
        [CONF_CHANGE_ADD_NODE] = "ConfChangeAddNode",
        [CONF_CHANGE_REMOVE_NODE] = "ConfChangeRemoveNode",
        [CONF_CHANGE_UPDATE_NODE] = "ConfChangeUpdateNode",
        [CONF_CHANGE_ADD_LEARNER_NODE] = "ConfChangeAddLearnerNode",
    };

    return type < ARRAY_LEN(names) ? names[type] : NULL;
}

void confchange_describe(const struct conf_change_single *ccs, size_t n,
                         struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = conf_change_type_name(ccs[i].type);

        if (i > 0) {
            buf_append_byte(out, ' ');
        }
        if (name != NULL) {
            buf_append_str(out, name);
        } else {
            buf_printf(out, "%" PRIu64, ccs[i].type);
        }
        buf_printf(out, "(%" PRIu64 ")", ccs[i].node_id);
    }
}

/* --- invariants [CC-10] --- */

void changer_result_release(struct changer_result *r)
{
    tracker_config_release(&r->config);
    progress_map_release(&r->progress);
}

static bool is_marked_learner(const struct changer_result *r, uint64_t id)
{
    const struct progress *pr = progress_map_find(&r->progress, id);

    return pr != NULL && pr->is_learner;
}

static int check_progress(const struct changer_result *r,
                          const struct id_list *ids, struct errmsg *em)
{
    for (size_t i = 0; i < ids->n; i++) {
        if (progress_map_find(&r->progress, ids->ids[i]) == NULL) {
            return errmsg_text(em, ERR_CONF_CHANGE, "no progress for %" PRIu64,
                               ids->ids[i]);
        }
    }
    return 0;
}

/* They are voters still, of the outgoing half, and not learners yet. */
static int check_learners_next(const struct changer_result *r,
                               struct errmsg *em)
{
    const struct id_list *next = &r->config.learners_next;

    for (size_t i = 0; i < next->n; i++) {
        uint64_t id = next->ids[i];

        if (!id_set_contains(&r->config.voters.outgoing, id)) {
            return errmsg_text(
                em, ERR_CONF_CHANGE,
                "%" PRIu64 " is in LearnersNext, but not Voters[1]", id);
        }
        if (is_marked_learner(r, id)) {
            return errmsg_text(em, ERR_CONF_CHANGE,
                               "%" PRIu64 " is in LearnersNext, but is already "
                               "marked as learner",
                               id);
        }
    }
    return 0;
}

static int check_learners(const struct changer_result *r, struct errmsg *em)
{
    const struct joint_config *voters = &r->config.voters;
    const struct id_list *learners = &r->config.learners;

    for (size_t i = 0; i < learners->n; i++) {
        uint64_t id = learners->ids[i];

        if (id_set_contains(&voters->outgoing, id)) {
            return errmsg_text(em, ERR_CONF_CHANGE,
                               "%" PRIu64 " is in Learners and Voters[1]", id);
        }
        if (id_set_contains(&voters->incoming, id)) {
            return errmsg_text(em, ERR_CONF_CHANGE,
                               "%" PRIu64 " is in Learners and Voters[0]", id);
        }
        if (!is_marked_learner(r, id)) {
            return errmsg_text(
                em, ERR_CONF_CHANGE,
                "%" PRIu64 " is in Learners, but is not marked as learner", id);
        }
    }
    return 0;
}

/* That Voters[1] is absent outside a joint configuration needs no test: an
 * empty set is how we say that the configuration is not joint. */
static int check_not_joint(const struct changer_result *r, struct errmsg *em)
{
    if (tracker_config_is_joint(&r->config)) {
        return 0;
    }
    if (r->config.learners_next.n > 0) {
        return errmsg_text(em, ERR_CONF_CHANGE,
                           "cfg.LearnersNext must be nil when not joint");
    }
    if (r->config.auto_leave) {
        return errmsg_text(em, ERR_CONF_CHANGE,
                           "AutoLeave must be false when not joint");
    }
    return 0;
}

static int check_invariants(const struct changer_result *r, struct errmsg *em)
{
    struct id_list voters = {0};
    int rc;

    quorum_joint_ids(&r->config.voters, &voters);
    rc = check_progress(r, &voters, em);
    id_set_release(&voters);
    if (rc == 0) {
        rc = check_progress(r, &r->config.learners, em);
    }
    if (rc == 0) {
        rc = check_progress(r, &r->config.learners_next, em);
    }
    if (rc == 0) {
        rc = check_learners_next(r, em);
    }
    if (rc == 0) {
        rc = check_learners(r, em);
    }
    if (rc == 0) {
        rc = check_not_joint(r, em);
    }
    return rc;
}

/* --- elementary operations --- */

/* A newcomer starts at our last index: it is probed there, and most likely gets
 * a snapshot. It counts as active, or a leader could step down for lack of a
 * quorum before the newcomer had a chance to answer [PG-11, PF-32]. */
static void init_progress(const struct changer *c, struct changer_result *r,
                          uint64_t id, bool is_learner)
{
    struct progress *pr = progress_map_insert(&r->progress, id);

    progress_init(pr, id, max_u64(c->last_index, 1), c->tracker->limits,
                  c->tracker->lg);
    pr->recent_active = true;
    pr->is_learner = is_learner;
}

static void make_voter(const struct changer *c, struct changer_result *r,
                       uint64_t id)
{
    struct progress *pr = progress_map_find(&r->progress, id);

    if (pr == NULL) {
        init_progress(c, r, id, false);
    } else {
        pr->is_learner = false;
        id_set_remove(&r->config.learners, id);
        id_set_remove(&r->config.learners_next, id);
    }
    id_set_add(&r->config.voters.incoming, id);
}

/* Out of everything but the outgoing half, which stays as it was until the
 * joint configuration is left. */
static void remove_from_config(struct changer_result *r, uint64_t id)
{
    id_set_remove(&r->config.voters.incoming, id);
    id_set_remove(&r->config.learners, id);
    id_set_remove(&r->config.learners_next, id);
}

/* A voter of the outgoing half cannot be a learner at the same time: it has to
 * wait in learners_next [CC-6]. */
static void make_learner(const struct changer *c, struct changer_result *r,
                         uint64_t id)
{
    struct progress *pr = progress_map_find(&r->progress, id);

    if (pr == NULL) {
        init_progress(c, r, id, true);
        id_set_add(&r->config.learners, id);
        return;
    }
    if (pr->is_learner) {
        return;
    }
    remove_from_config(r, id);
    if (id_set_contains(&r->config.voters.outgoing, id)) {
        id_set_add(&r->config.learners_next, id);
    } else {
        pr->is_learner = true;
        id_set_add(&r->config.learners, id);
    }
}

static void remove_node(struct changer_result *r, uint64_t id)
{
    if (progress_map_find(&r->progress, id) == NULL) {
        return;
    }
    remove_from_config(r, id);
    if (!id_set_contains(&r->config.voters.outgoing, id)) {
        progress_map_remove(&r->progress, id);
    }
}

/* Make all changes to the incoming half. An id of 0 is how an application
 * cancels a change that is in the log already. */
static int apply_changes(const struct changer *c, struct changer_result *r,
                         const struct conf_change_single *ccs, size_t n,
                         struct errmsg *em)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t id = ccs[i].node_id;

        if (id == RAFT_NONE) {
            continue;
        }
        switch (ccs[i].type) {
        case CONF_CHANGE_ADD_NODE:
            make_voter(c, r, id);
            break;
        case CONF_CHANGE_ADD_LEARNER_NODE:
            make_learner(c, r, id);
            break;
        case CONF_CHANGE_REMOVE_NODE:
            remove_node(r, id);
            break;
        case CONF_CHANGE_UPDATE_NODE:
            break;
        default: /* an open enum: the number may come from a peer */
            return errmsg_text(em, ERR_CONF_CHANGE,
                               "unexpected conf type %" PRIu64, ccs[i].type);
        }
    }
    if (r->config.voters.incoming.n == 0) {
        return errmsg_text(em, ERR_CONF_CHANGE, "removed all voters");
    }
    return 0;
}

/* --- the changer --- */

/* Start from a copy, so that a change that fails has changed nothing. */
static int check_and_copy(const struct changer *c, struct changer_result *out,
                          struct errmsg *em)
{
    ASSERT(out->progress.n == 0);
    tracker_config_copy(&out->config, &c->tracker->config);
    progress_map_copy(&out->progress, &c->tracker->progress);
    return check_invariants(out, em);
}

/* The common end of all operations: a result is sound, or there is none. */
static int check_and_return(struct changer_result *out, int rc,
                            struct errmsg *em)
{
    if (rc == 0) {
        rc = check_invariants(out, em);
    }
    if (rc < 0) {
        changer_result_release(out);
    }
    return rc;
}

/* How many ids are in only one of the two sets. */
static size_t symmetric_difference(const struct id_list *a,
                                   const struct id_list *b)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++) {
        n += id_set_contains(b, a->ids[i]) ? 0 : 1;
    }
    for (size_t i = 0; i < b->n; i++) {
        n += id_set_contains(a, b->ids[i]) ? 0 : 1;
    }
    return n;
}

/* With one voter more or less, any majority of the old and any of the new
 * configuration have a voter in common [Thesis 4.1]. */
static int simple(const struct changer *c, const struct conf_change_single *ccs,
                  size_t n, struct changer_result *out, struct errmsg *em)
{
    int rc;

    if (tracker_config_is_joint(&out->config)) {
        return errmsg_text(em, ERR_CONF_CHANGE,
                           "can't apply simple config change in joint config");
    }
    rc = apply_changes(c, out, ccs, n, em);
    if (rc == 0 && symmetric_difference(&c->tracker->config.voters.incoming,
                                        &out->config.voters.incoming) > 1) {
        rc = errmsg_text(em, ERR_CONF_CHANGE,
                         "more than one voter changed without entering joint "
                         "config");
    }
    return rc;
}

int changer_simple(const struct changer *c,
                   const struct conf_change_single *ccs, size_t n,
                   struct changer_result *out, struct errmsg *em)
{
    int rc = check_and_copy(c, out, em);

    if (rc == 0) {
        rc = simple(c, ccs, n, out, em);
    }
    return check_and_return(out, rc, em);
}

static int enter_joint(const struct changer *c, bool auto_leave,
                       const struct conf_change_single *ccs, size_t n,
                       struct changer_result *out, struct errmsg *em)
{
    struct joint_config *voters = &out->config.voters;
    int rc;

    if (tracker_config_is_joint(&out->config)) {
        return errmsg_text(em, ERR_CONF_CHANGE, "config is already joint");
    }
    if (voters->incoming.n == 0) {
        /* Adding voters to nothing is bootstrapping, which has no old half. */
        return errmsg_text(em, ERR_CONF_CHANGE,
                           "can't make a zero-voter config joint");
    }
    id_set_copy(&voters->outgoing, &voters->incoming);
    rc = apply_changes(c, out, ccs, n, em);
    out->config.auto_leave = auto_leave;
    return rc;
}

int changer_enter_joint(const struct changer *c, bool auto_leave,
                        const struct conf_change_single *ccs, size_t n,
                        struct changer_result *out, struct errmsg *em)
{
    int rc = check_and_copy(c, out, em);

    if (rc == 0) {
        rc = enter_joint(c, auto_leave, ccs, n, out, em);
    }
    return check_and_return(out, rc, em);
}

static int leave_joint(struct changer_result *out, struct errmsg *em)
{
    struct tracker_config *cfg = &out->config;

    if (!tracker_config_is_joint(cfg)) {
        return errmsg_text(em, ERR_CONF_CHANGE,
                           "can't leave a non-joint config");
    }
    for (size_t i = 0; i < cfg->learners_next.n; i++) {
        uint64_t id = cfg->learners_next.ids[i];

        id_set_add(&cfg->learners, id);
        progress_map_find(&out->progress, id)->is_learner = true;
    }
    id_set_release(&cfg->learners_next);
    for (size_t i = 0; i < cfg->voters.outgoing.n; i++) {
        uint64_t id = cfg->voters.outgoing.ids[i];

        if (!id_set_contains(&cfg->voters.incoming, id) &&
            !id_set_contains(&cfg->learners, id)) {
            progress_map_remove(&out->progress, id);
        }
    }
    id_set_release(&cfg->voters.outgoing);
    cfg->auto_leave = false;
    return 0;
}

int changer_leave_joint(const struct changer *c, struct changer_result *out,
                        struct errmsg *em)
{
    int rc = check_and_copy(c, out, em);

    if (rc == 0) {
        rc = leave_joint(out, em);
    }
    return check_and_return(out, rc, em);
}

int changer_apply(const struct changer *c, const struct conf_change_v2 *cc,
                  struct changer_result *out, struct errmsg *em)
{
    bool auto_leave;

    if (conf_change_v2_leave_joint(cc)) {
        return changer_leave_joint(c, out, em);
    }
    if (conf_change_v2_enter_joint(cc, &auto_leave)) {
        return changer_enter_joint(c, auto_leave, cc->changes, cc->n_changes,
                                   out, em);
    }
    return changer_simple(c, cc->changes, cc->n_changes, out, em);
}

/* --- restore --- */

/* A list of changes under construction. */
struct change_list {
    struct conf_change_single *items;
    size_t n;
};

static void change_list_add(struct change_list *l, enum conf_change_type type,
                            const struct id_list *ids)
{
    l->items = xrealloc_array(l->items, l->n + ids->n + 1, sizeof *l->items);
    for (size_t i = 0; i < ids->n; i++) {
        l->items[l->n++] = (struct conf_change_single){type, ids->ids[i]};
    }
}

/* Make the changes to `t`, one simple change each. */
static int chain_simple(struct tracker *t, uint64_t last_index,
                        const struct change_list *l, struct errmsg *em)
{
    struct changer c = {.tracker = t, .last_index = last_index};

    for (size_t i = 0; i < l->n; i++) {
        struct changer_result r = {0};
        int rc = changer_simple(&c, &l->items[i], 1, &r, em);

        if (rc < 0) {
            return rc;
        }
        tracker_switch(t, &r.config, &r.progress);
    }
    return 0;
}

static int chain_enter_joint(struct tracker *t, uint64_t last_index,
                             bool auto_leave, const struct change_list *l,
                             struct errmsg *em)
{
    struct changer c = {.tracker = t, .last_index = last_index};
    struct changer_result r = {0};
    int rc = changer_enter_joint(&c, auto_leave, l->items, l->n, &r, em);

    if (rc == 0) {
        tracker_switch(t, &r.config, &r.progress);
    }
    return rc;
}

/* A joint configuration is rebuilt by going through what led to it: become the
 * outgoing half first, then enter the joint configuration by replacing all of
 * it. Those who are to be learners later end up in learners_next because they
 * are outgoing voters by then [CC-13]. */
int changer_restore(const struct changer *c, const struct conf_state *cs,
                    struct changer_result *out, struct errmsg *em)
{
    struct change_list outgoing = {0};
    struct change_list incoming = {0};
    struct tracker t;
    int rc;

    ASSERT(out->progress.n == 0);
    tracker_init(&t, c->tracker->limits, c->tracker->lg);
    change_list_add(&outgoing, CONF_CHANGE_ADD_NODE, &cs->voters_outgoing);
    change_list_add(&incoming, CONF_CHANGE_REMOVE_NODE, &cs->voters_outgoing);
    change_list_add(&incoming, CONF_CHANGE_ADD_NODE, &cs->voters);
    change_list_add(&incoming, CONF_CHANGE_ADD_LEARNER_NODE, &cs->learners);
    change_list_add(&incoming, CONF_CHANGE_ADD_LEARNER_NODE,
                    &cs->learners_next);
    if (outgoing.n == 0) {
        rc = chain_simple(&t, c->last_index, &incoming, em);
    } else {
        rc = chain_simple(&t, c->last_index, &outgoing, em);
        if (rc == 0) {
            rc = chain_enter_joint(&t, c->last_index, cs->auto_leave, &incoming,
                                   em);
        }
    }
    if (rc == 0) {
        *out = (struct changer_result){t.config, t.progress};
        t.config = (struct tracker_config){0};
        t.progress = (struct progress_map){0};
    }
    tracker_release(&t);
    xfree(outgoing.items);
    xfree(incoming.items);
    return rc;
}
