/* Scripts that drive a whole group of nodes: raft-tests.md 4.
 *
 * Here the commands are read; interaction_env.c carries them out.
 *
 * Counterpart: etcd-io/raft rafttest/interaction_env_handler*.go. */

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "src/base/alloc.h"
#include "src/raft/describe.h"
#include "tests/datadriven/changes.h"
#include "tests/datadriven/interaction_env.h"

typedef int command_fn(struct env *env, const struct script_case *c,
                       struct errmsg *em);

/* --- arguments --- */

static uint64_t want_u64(const char *s)
{
    uint64_t v;

    if (!script_parse_u64(s, &v)) {
        runner_fail("%s: not a number", s);
    }
    return v;
}

static bool want_bool(const char *s)
{
    bool v;

    if (!script_parse_bool(s, &v)) {
        runner_fail("%s: not a boolean", s);
    }
    return v;
}

static struct node *node_by_text(const struct env *env, const char *s)
{
    uint64_t id = want_u64(s);

    if (id == 0 || id > env->n_nodes) {
        runner_fail("no node %s", s);
    }
    return env->nodes[id - 1];
}

static struct node *first_node(const struct env *env,
                               const struct script_case *c)
{
    if (c->n_args == 0) {
        runner_fail("a node is missing");
    }
    return node_by_text(env, c->args[0].key);
}

/* All arguments without values, in order [IE-8]; *nodes is the caller's. */
static size_t node_list(const struct env *env, const struct script_case *c,
                        struct node ***nodes)
{
    size_t n = 0;

    *nodes = xcalloc(c->n_args + 1, sizeof(struct node *));
    for (size_t i = 0; i < c->n_args; i++) {
        if (c->args[i].n_vals == 0) {
            (*nodes)[n++] = node_by_text(env, c->args[i].key);
        }
    }
    return n;
}

/* --- add-nodes [4.4] --- */

static void parse_ids(const struct script_arg *arg, struct id_list *out)
{
    for (size_t i = 0; i < arg->n_vals; i++) {
        id_list_push(out, want_u64(arg->vals[i]));
    }
}

/* Arguments about the snapshot that the nodes start from. */
static bool snapshot_arg(const struct script_arg *arg, struct raft_snapshot *s)
{
    if (strcmp(arg->key, "voters") == 0) {
        parse_ids(arg, &s->conf_state.voters);
    } else if (strcmp(arg->key, "learners") == 0) {
        parse_ids(arg, &s->conf_state.learners);
    } else if (strcmp(arg->key, "index") == 0) {
        s->index = want_u64(arg->vals[0]);
    } else if (strcmp(arg->key, "content") == 0) {
        xfree(s->data);
        s->len = strlen(arg->vals[0]);
        s->data = xmemdup(arg->vals[0], s->len);
    } else {
        return false;
    }
    return true;
}

/* Arguments that are a field of the configuration. */
static void config_arg(const struct script_arg *arg, struct raft_config *cfg)
{
    const struct {
        const char *key;
        bool *field;
    } flags[] = {
        {"async-storage-writes", &cfg->async_storage_writes},
        {"prevote", &cfg->pre_vote},
        {"checkquorum", &cfg->check_quorum},
        {"disable-conf-change-validation",
         &cfg->disable_conf_change_validation},
        {"step-down-on-removal", &cfg->step_down_on_removal},
    };

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (strcmp(arg->key, flags[i].key) == 0) {
            *flags[i].field = want_bool(arg->vals[0]);
        }
    }
    if (strcmp(arg->key, "inflight") == 0) {
        cfg->max_inflight_msgs = want_u64(arg->vals[0]);
    } else if (strcmp(arg->key, "max-committed-size-per-ready") == 0) {
        cfg->max_committed_size_per_ready = want_u64(arg->vals[0]);
    }
}

static int read_only_arg(const struct script_arg *arg, struct raft_config *cfg,
                         struct errmsg *em)
{
    if (strcmp(arg->vals[0], "safe") == 0) {
        cfg->read_only_option = READ_ONLY_SAFE;
    } else if (strcmp(arg->vals[0], "lease-based") == 0) {
        cfg->read_only_option = READ_ONLY_LEASE_BASED;
    } else {
        return errmsg_text(em, ERR_INVALID, "invalid read-only option \"%s\"",
                           arg->vals[0]);
    }
    return 0;
}

static int add_nodes_args(const struct script_case *c, struct raft_config *cfg,
                          struct raft_snapshot *snap, struct errmsg *em)
{
    bool from_snapshot = false;

    for (size_t i = 1; i < c->n_args; i++) {
        const struct script_arg *arg = &c->args[i];
        int rc = 0;

        if (arg->n_vals == 0) {
            continue;
        }
        if (snapshot_arg(arg, snap)) {
            from_snapshot = true;
        } else if (strcmp(arg->key, "read-only") == 0) {
            rc = read_only_arg(arg, cfg, em);
        } else {
            config_arg(arg, cfg);
        }
        if (rc < 0) {
            return rc;
        }
    }
    if (from_snapshot) {
        if (snap->index <= 1) {
            return errmsg_text(
                em, ERR_INVALID,
                "index must be specified as > 1 due to bootstrap");
        }
        snap->term = 1;
        cfg->applied = snap->index;
    }
    return 0;
}

static int add_nodes(struct env *env, const struct script_case *c,
                     struct errmsg *em)
{
    struct raft_config cfg = {
        .election_ticks = 3,
        .heartbeat_ticks = 1,
        .max_size_per_msg = RAFT_NO_LIMIT,
        .max_inflight_msgs = INT_MAX,
    };
    struct raft_snapshot *snap = raft_snapshot_new();
    int rc;

    if (c->n_args == 0) {
        runner_fail("how many nodes?");
    }
    rc = add_nodes_args(c, &cfg, snap, em);
    for (uint64_t n = want_u64(c->args[0].key); rc == 0 && n > 0; n--) {
        env_add_node(env, &cfg, snap);
    }
    raft_snapshot_unref(snap);
    return rc;
}

/* --- input to a node --- */

static int from_rc(int rc, struct errmsg *em)
{
    return rc < 0 ? errmsg_text(em, rc, "%s", err_str(rc)) : 0;
}

static int campaign(struct env *env, const struct script_case *c,
                    struct errmsg *em)
{
    return from_rc(rawnode_campaign(first_node(env, c)->rn), em);
}

static int propose(struct env *env, const struct script_case *c,
                   struct errmsg *em)
{
    struct node *n = first_node(env, c);
    struct bytes data;

    if (c->n_args != 2 || c->args[1].n_vals > 0) {
        runner_fail("propose wants a node and data");
    }
    data =
        (struct bytes){(const uint8_t *)c->args[1].key, strlen(c->args[1].key)};
    return from_rc(
        rawnode_propose(n->rn, raft_entry_new(RAFT_ENTRY_NORMAL, data)), em);
}

/* The arguments of propose-conf-change. */
static int conf_change_args(const struct script_case *c, bool *v1,
                            uint64_t *transition, struct errmsg *em)
{
    static const struct {
        const char *name;
        enum conf_change_transition transition;
    } names[] = {
        {"auto", CONF_CHANGE_TRANSITION_AUTO},
        {"implicit", CONF_CHANGE_TRANSITION_JOINT_IMPLICIT},
        {"explicit", CONF_CHANGE_TRANSITION_JOINT_EXPLICIT},
    };

    for (size_t i = 1; i < c->n_args; i++) {
        const struct script_arg *arg = &c->args[i];
        size_t k = 0;

        if (arg->n_vals == 0) {
            continue;
        }
        if (strcmp(arg->key, "v1") == 0) {
            *v1 = want_bool(arg->vals[0]);
            continue;
        }
        if (strcmp(arg->key, "transition") != 0) {
            return errmsg_text(em, ERR_INVALID, "unknown command %s", arg->key);
        }
        while (k < ARRAY_LEN(names) &&
               strcmp(arg->vals[0], names[k].name) != 0) {
            k++;
        }
        if (k == ARRAY_LEN(names)) {
            return errmsg_text(em, ERR_INVALID, "unknown transition %s",
                               arg->vals[0]);
        }
        *transition = names[k].transition;
    }
    return 0;
}

static int propose_changes(struct node *n, const struct changes *ccs, bool v1,
                           uint64_t transition, struct errmsg *em)
{
    struct conf_change_v2 v2 = {
        .transition = transition, .changes = ccs->items, .n_changes = ccs->n};
    struct conf_change one = {0};

    if (!v1) {
        return from_rc(rawnode_propose_conf_change_v2(n->rn, &v2), em);
    }
    if (ccs->n != 1 || transition != CONF_CHANGE_TRANSITION_AUTO) {
        return errmsg_text(em, ERR_INVALID,
                           "v1 conf change can only have one operation and no "
                           "transition");
    }
    one.type = ccs->items[0].type;
    one.node_id = ccs->items[0].node_id;
    return from_rc(rawnode_propose_conf_change(n->rn, &one), em);
}

static int propose_conf_change(struct env *env, const struct script_case *c,
                               struct errmsg *em)
{
    struct node *n = first_node(env, c);
    uint64_t transition = CONF_CHANGE_TRANSITION_AUTO;
    struct changes ccs;
    struct buf err;
    bool v1 = false;
    int rc = conf_change_args(c, &v1, &transition, em);

    if (rc < 0) {
        return rc;
    }
    buf_init(&err, BUF_UNLIMITED);
    rc = changes_parse(c->input, &ccs, &err);
    if (rc < 0) {
        rc = errmsg_text(em, rc, "%s", buf_cstr(&err));
    } else {
        rc = propose_changes(n, &ccs, v1, transition, em);
    }
    buf_release(&err);
    changes_release(&ccs);
    return rc;
}

static int tick_heartbeat(struct env *env, const struct script_case *c,
                          struct errmsg *em)
{
    struct node *n = first_node(env, c);

    (void)em;
    for (int i = 0; i < n->cfg.heartbeat_ticks; i++) {
        rawnode_tick(n->rn);
    }
    return 0;
}

static int tick_election(struct env *env, const struct script_case *c,
                         struct errmsg *em)
{
    struct node *n = first_node(env, c);

    (void)em;
    for (int i = 0; i < n->cfg.election_ticks; i++) {
        rawnode_tick(n->rn);
    }
    return 0;
}

static int set_randomized_election_timeout(struct env *env,
                                           const struct script_case *c,
                                           struct errmsg *em)
{
    struct node *n = first_node(env, c);
    const struct script_arg *arg = script_find_arg(c, "timeout");
    uint64_t timeout =
        arg != NULL && arg->n_vals == 1 ? want_u64(arg->vals[0]) : 0;

    (void)em;
    if (timeout == 0 || timeout > INT_MAX) {
        runner_fail("which timeout?");
    }
    n->rn->raft.randomized_election_timeout = (int)timeout;
    return 0;
}

static int transfer_leadership(struct env *env, const struct script_case *c,
                               struct errmsg *em)
{
    const struct script_arg *from = script_find_arg(c, "from");
    const struct script_arg *to = script_find_arg(c, "to");

    (void)em;
    if (from == NULL || from->n_vals != 1 || to == NULL || to->n_vals != 1) {
        runner_fail("from which node to which?");
    }
    rawnode_transfer_leader(node_by_text(env, from->vals[0])->rn,
                            node_by_text(env, to->vals[0])->cfg.id);
    return 0;
}

static int forget_leader(struct env *env, const struct script_case *c,
                         struct errmsg *em)
{
    return from_rc(rawnode_forget_leader(first_node(env, c)->rn), em);
}

static int report_unreachable(struct env *env, const struct script_case *c,
                              struct errmsg *em)
{
    struct node **nodes;
    size_t n = node_list(env, c, &nodes);
    int rc = 0;

    if (n == 2) {
        rawnode_report_unreachable(nodes[0]->rn, nodes[1]->cfg.id);
    } else {
        rc = errmsg_text(em, ERR_INVALID,
                         "must specify exactly two node indexes: node on which "
                         "to report, and reported node");
    }
    xfree(nodes);
    return rc;
}

/* Raft on the sender does not know of this snapshot. */
static int send_snapshot(struct env *env, const struct script_case *c,
                         struct errmsg *em)
{
    struct node **nodes;
    size_t n = node_list(env, c, &nodes);
    struct raft_message *m;
    struct hard_state hs;
    struct buf b;
    int rc;

    if (n != 2) {
        runner_fail("send-snapshot wants two nodes");
    }
    m = message_queue_push(&env->messages);
    raft_hard_state(&nodes[0]->rn->raft, &hs);
    m->type = RAFT_MSG_SNAP;
    m->from = nodes[0]->cfg.id;
    m->to = nodes[1]->cfg.id;
    m->term = hs.term;
    rc = nodes[0]->storage.ops->snapshot(&nodes[0]->storage, &m->snapshot);
    buf_init(&b, BUF_UNLIMITED);
    describe_message(m, NULL, &b);
    env_printf(env, "%s", buf_cstr(&b));
    buf_release(&b);
    xfree(nodes);
    return from_rc(rc, em);
}

/* --- work --- */

/* Process every listed node; a header and indentation only if there are
 * several. */
static int process(struct env *env, const struct script_case *c,
                   const char *what, env_process_fn *process_cb,
                   struct errmsg *em)
{
    struct node **nodes;
    size_t n = node_list(env, c, &nodes);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (n == 1) {
            rc = process_cb(env, nodes[i], em);
        } else {
            env_printf(env, "> %" PRIu64 " %s\n", nodes[i]->cfg.id, what);
            rc = env_indented(env, process_cb, nodes[i], em);
        }
    }
    xfree(nodes);
    return rc;
}

static int process_ready(struct env *env, const struct script_case *c,
                         struct errmsg *em)
{
    return process(env, c, "handling Ready", env_process_ready, em);
}

static int process_append_thread(struct env *env, const struct script_case *c,
                                 struct errmsg *em)
{
    return process(env, c, "processing append thread",
                   env_process_append_thread, em);
}

static int process_apply_thread(struct env *env, const struct script_case *c,
                                struct errmsg *em)
{
    return process(env, c, "processing apply thread", env_process_apply_thread,
                   em);
}

static uint64_t message_type(const char *name)
{
    for (uint64_t type = 0; type < RAFT_MSG_TYPES; type++) {
        if (strcmp(name, raft_message_type_name(type)) == 0) {
            return type;
        }
    }
    runner_fail("%s: no message type", name);
}

/* The recipients in their order; returns their number. */
static size_t recipients(const struct script_case *c, struct recipient **rs,
                         uint64_t *type)
{
    size_t n = 0;

    *rs = NULL;
    for (size_t i = 0; i < c->n_args; i++) {
        const struct script_arg *arg = &c->args[i];

        *rs = xrealloc_array(*rs, n + arg->n_vals + 1, sizeof **rs);
        if (arg->n_vals == 0) {
            (*rs)[n++] = (struct recipient){want_u64(arg->key), false};
        } else if (strcmp(arg->key, "type") == 0) {
            *type = message_type(arg->vals[0]);
        } else if (strcmp(arg->key, "drop") == 0) {
            for (size_t k = 0; k < arg->n_vals; k++) {
                (*rs)[n++] = (struct recipient){want_u64(arg->vals[k]), true};
            }
        }
    }
    return n;
}

static int deliver_msgs(struct env *env, const struct script_case *c,
                        struct errmsg *em)
{
    uint64_t type = ANY_TYPE;
    struct recipient *rs;
    size_t n = recipients(c, &rs, &type);

    (void)em;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (rs[i].id == rs[k].id && rs[i].drop != rs[k].drop) {
                runner_fail("deliver or drop, but not both");
            }
        }
    }
    if (env_deliver(env, type, rs, n) == 0) {
        env_printf(env, "no messages\n");
    }
    xfree(rs);
    return 0;
}

static int set_log_level(struct env *env, const char *name, struct errmsg *em)
{
    static const char *const names[] = {"DEBUG", "INFO",  "WARN",
                                        "ERROR", "FATAL", "NONE"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(name, names[i]) == 0) {
            env->log_level = (enum env_log_level)i;
            return 0;
        }
    }
    return errmsg_text(em, ERR_INVALID,
                       "log levels must be either of [DEBUG INFO WARN ERROR "
                       "FATAL NONE]");
}

static int log_level(struct env *env, const struct script_case *c,
                     struct errmsg *em)
{
    if (c->n_args == 0) {
        runner_fail("which level?");
    }
    return set_log_level(env, c->args[0].key, em);
}

static int stabilize(struct env *env, const struct script_case *c,
                     struct errmsg *em)
{
    const struct script_arg *level = script_find_arg(c, "log-level");
    enum env_log_level before = env->log_level;
    struct node **nodes;
    size_t n;
    int rc = 0;

    if (level != NULL && level->n_vals > 0) {
        rc = set_log_level(env, level->vals[0], em);
        if (rc < 0) {
            return rc;
        }
    }
    n = node_list(env, c, &nodes);
    rc = n > 0 ? env_stabilize(env, nodes, n, em)
               : env_stabilize(env, env->nodes, env->n_nodes, em);
    xfree(nodes);
    env->log_level = before;
    return rc;
}

/* --- looking --- */

static int raft_log(struct env *env, const struct script_case *c,
                    struct errmsg *em)
{
    (void)em;
    env_raft_log(env, first_node(env, c));
    return 0;
}

static int raft_state(struct env *env, const struct script_case *c,
                      struct errmsg *em)
{
    (void)c;
    (void)em;
    for (size_t i = 0; i < env->n_nodes; i++) {
        const struct raft *r = &env->nodes[i]->rn->raft;

        env_printf(env,
                   "%" PRIu64 ": %s %s Term:%" PRIu64 " Lead:%" PRIu64 "\n",
                   r->id, raft_role_name(r->role),
                   tracker_is_voter(&r->trk, r->id) ? "(Voter)" : "(Non-Voter)",
                   r->term, r->lead);
    }
    return 0;
}

static int status(struct env *env, const struct script_case *c,
                  struct errmsg *em)
{
    const struct raft *r = &first_node(env, c)->rn->raft;
    struct buf b;

    (void)em;
    if (r->role != RAFT_LEADER) {
        return 0; /* nobody else keeps track */
    }
    buf_init(&b, BUF_UNLIMITED);
    progress_map_string(&r->trk.progress, &b);
    env_printf(env, "%s", buf_cstr(&b));
    buf_release(&b);
    return 0;
}

static int compact(struct env *env, const struct script_case *c,
                   struct errmsg *em)
{
    struct node *n = first_node(env, c);
    int rc;

    if (c->n_args != 2) {
        runner_fail("compact wants a node and an index");
    }
    rc = memory_storage_compact(&n->ms, want_u64(c->args[1].key));
    if (rc < 0) {
        return from_rc(rc, em);
    }
    env_raft_log(env, n);
    return 0;
}

static int breakpoint(struct env *env, const struct script_case *c,
                      struct errmsg *em)
{
    (void)env;
    (void)c;
    (void)em;
    return 0; /* a place to stop a debugger */
}

/* --- the runner --- */

static const struct {
    const char *name;
    command_fn *run;
} table[] = {
    {"_breakpoint", breakpoint},
    {"add-nodes", add_nodes},
    {"campaign", campaign},
    {"compact", compact},
    {"deliver-msgs", deliver_msgs},
    {"forget-leader", forget_leader},
    {"log-level", log_level},
    {"process-append-thread", process_append_thread},
    {"process-apply-thread", process_apply_thread},
    {"process-ready", process_ready},
    {"propose", propose},
    {"propose-conf-change", propose_conf_change},
    {"raft-log", raft_log},
    {"raft-state", raft_state},
    {"report-unreachable", report_unreachable},
    {"send-snapshot", send_snapshot},
    {"set-randomized-election-timeout", set_randomized_election_timeout},
    {"stabilize", stabilize},
    {"status", status},
    {"tick-election", tick_election},
    {"tick-heartbeat", tick_heartbeat},
    {"transfer-leadership", transfer_leadership},
};

static int dispatch(struct env *env, const struct script_case *c,
                    struct errmsg *em)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(c->cmd, table[i].name) == 0) {
            return table[i].run(env, c, em);
        }
    }
    return errmsg_text(em, ERR_INVALID, "unknown command");
}

/* After each command, besides what it prints: the invariants hold. */
static void check_nodes(const struct env *env)
{
    for (size_t i = 0; i < env->n_nodes; i++) {
        raft_log_check(&env->nodes[i]->rn->raft.log);
        tracker_check(&env->nodes[i]->rn->raft.trk);
    }
}

static void run(void *ctx, const struct script_case *c, struct buf *out)
{
    struct env *env = ctx;
    struct errmsg em = {{0}};

    env->out = out;
    if (dispatch(env, c, &em) < 0) {
        buf_append_str(out, em.text); /* at level NONE, too [IE-1] */
    }
    if (out->len == 0) {
        buf_append_str(out, "ok");
    }
    check_nodes(env);
}

static void *open_env(void)
{
    return env_new();
}

static void close_env(void *ctx)
{
    env_free(ctx);
}

const struct runner interaction_runner = {
    .drops_log_lines = true,
    .open = open_env,
    .run = run,
    .close = close_env,
};
