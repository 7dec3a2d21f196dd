/* Membership changes, on paper: from one configuration and its Progress to the
 * next, or to an error. Nothing takes effect here; raft installs the result
 * with tracker_switch.
 *
 *   simple       add, remove or demote, with at most one voter more or less
 *   enter joint  any changes: decisions now need both majorities
 *   leave joint  drop the outgoing half; learners_next become learners
 *
 * Counterpart: etcd-io/raft confchange/, and ConfChangeV2.EnterJoint and
 * LeaveJoint of raftpb/confchange.go [Thesis 4]. */

#ifndef SRC_RAFT_CONFCHANGE_H
#define SRC_RAFT_CONFCHANGE_H

#include "src/base/err.h"
#include "src/raft/tracker.h"

/* --- what a proposed change asks for [raft-core CC-1, CC-2] --- */

/* The same change as a V2 one. `one` holds its only change and must live as
 * long as *out is used; the context stays borrowed. */
void conf_change_as_v2(const struct conf_change *cc,
                       struct conf_change_single *one,
                       struct conf_change_v2 *out);

/* Whether it enters a joint configuration; then *auto_leave says whether the
 * leader is to leave it by itself. */
bool conf_change_v2_enter_joint(const struct conf_change_v2 *cc,
                                bool *auto_leave);

/* Whether it leaves one. */
bool conf_change_v2_leave_joint(const struct conf_change_v2 *cc);

/* --- the changer --- */

struct changer {
    const struct tracker *tracker; /* where to start from; borrowed */
    uint64_t last_index;           /* of the log: new members start there */
};

/* A configuration with its members, as a result. All zero is empty. Release it
 * or hand it to tracker_switch. */
struct changer_result {
    struct tracker_config config;
    struct progress_map progress;
};

void changer_result_release(struct changer_result *r); /* empty afterwards */

/* The configuration after the changes, in *out (all zero before). A node_id of
 * 0 is skipped.
 *
 * Errors (*out stays empty, `em` has the text of raft-core 19.3):
 *   ERR_CONF_CHANGE  the change is not possible */
MUST_CHECK int changer_simple(const struct changer *c,
                              const struct conf_change_single *ccs, size_t n,
                              struct changer_result *out, struct errmsg *em);
MUST_CHECK int changer_enter_joint(const struct changer *c, bool auto_leave,
                                   const struct conf_change_single *ccs,
                                   size_t n, struct changer_result *out,
                                   struct errmsg *em);
MUST_CHECK int changer_leave_joint(const struct changer *c,
                                   struct changer_result *out,
                                   struct errmsg *em);

/* What the change asks for: one of the three above [raft-core CC-15]. */
MUST_CHECK int changer_apply(const struct changer *c,
                             const struct conf_change_v2 *cc,
                             struct changer_result *out, struct errmsg *em);

/* The configuration that `cs` describes, built from an empty tracker with the
 * limits of c->tracker, whose members are not looked at.
 *   ERR_CONF_CHANGE  no configuration looks like this */
MUST_CHECK int changer_restore(const struct changer *c,
                               const struct conf_state *cs,
                               struct changer_result *out, struct errmsg *em);

/* Append "ConfChangeAddNode(1) ConfChangeRemoveNode(2)". */
void confchange_describe(const struct conf_change_single *ccs, size_t n,
                         struct buf *out);

/* "ConfChangeAddNode"; NULL for an unknown type. */
const char *conf_change_type_name(uint64_t type);

#endif /* SRC_RAFT_CONFCHANGE_H */
