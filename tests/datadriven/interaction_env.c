/* See interaction_env.h. The rule numbers are those of raft-tests.md 4. */

#include "tests/datadriven/interaction_env.h"

#include <string.h>

#include "src/base/alloc.h"
#include "src/raft/describe.h"

/* A round of stabilize makes progress; a core that never comes to rest is
 * broken. */
#define ROUNDS_MAX 10000

/* --- nodes --- */

static struct node *node_of(struct raft_storage *s)
{
    return container_of(s, struct node, storage);
}

static int initial_state(struct raft_storage *s, struct hard_state *hs,
                         struct conf_state *cs)
{
    struct raft_storage *base = &node_of(s)->ms.base;

    return base->ops->initial_state(base, hs, cs);
}

static int entries(struct raft_storage *s, uint64_t lo, uint64_t hi,
                   uint64_t max_size, struct raft_entries *out)
{
    struct raft_storage *base = &node_of(s)->ms.base;

    return base->ops->entries(base, lo, hi, max_size, out);
}

static int term(struct raft_storage *s, uint64_t i, uint64_t *out)
{
    struct raft_storage *base = &node_of(s)->ms.base;

    return base->ops->term(base, i, out);
}

static int last_index(struct raft_storage *s, uint64_t *index)
{
    *index = memory_storage_last_index(&node_of(s)->ms);
    return 0;
}

static int first_index(struct raft_storage *s, uint64_t *index)
{
    *index = memory_storage_first_index(&node_of(s)->ms);
    return 0;
}

static struct raft_snapshot *last_of(const struct history *h)
{
    ASSERT(h->n > 0);
    return h->items[h->n - 1];
}

/* Not that of the memory storage: a leader always sends its latest state. */
static int snapshot(struct raft_storage *s, struct raft_snapshot **out)
{
    *out = raft_snapshot_ref(last_of(&node_of(s)->history));
    return 0;
}

static const struct raft_storage_ops node_storage_ops = {
    .initial_state = initial_state,
    .entries = entries,
    .term = term,
    .last_index = last_index,
    .first_index = first_index,
    .snapshot = snapshot,
};

/* The reference moves in. */
static void history_push(struct history *h, struct raft_snapshot *s)
{
    h->items =
        xrealloc_array(h->items, h->n + 1, sizeof(struct raft_snapshot *));
    h->items[h->n++] = s;
}

static void node_free(struct node *n)
{
    rawnode_free(n->rn);
    memory_storage_release(&n->ms);
    message_queue_release(&n->append_work);
    message_queue_release(&n->apply_work);
    for (size_t i = 0; i < n->history.n; i++) {
        raft_snapshot_unref(n->history.items[i]);
    }
    xfree(n->history.items);
    xfree(n);
}

struct env *env_new(void)
{
    return xcalloc(1, sizeof(struct env));
}

void env_free(struct env *env)
{
    for (size_t i = 0; i < env->n_nodes; i++) {
        node_free(env->nodes[i]);
    }
    xfree(env->nodes);
    message_queue_release(&env->messages);
    xfree(env);
}

void env_add_node(struct env *env, const struct raft_config *cfg,
                  struct raft_snapshot *snap)
{
    struct node *n = xcalloc(1, sizeof *n);

    n->storage.ops = &node_storage_ops;
    memory_storage_init(&n->ms, &runner_logger);
    if (!raft_snapshot_is_empty(snap) &&
        memory_storage_apply_snapshot(&n->ms, snap) < 0) {
        runner_fail("initial snapshot refused");
    }
    history_push(&n->history, raft_snapshot_ref(snap));
    n->cfg = *cfg;
    n->cfg.id = env->n_nodes + 1;
    n->cfg.seed = n->cfg.id;
    n->cfg.storage = &n->storage;
    n->cfg.lg = &runner_logger;
    n->rn = rawnode_new(&n->cfg);
    env->nodes =
        xrealloc_array(env->nodes, env->n_nodes + 1, sizeof(struct node *));
    env->nodes[env->n_nodes++] = n;
}

/* --- output --- */

void env_printf(struct env *env, const char *fmt, ...)
{
    va_list ap;

    if (env->log_level == ENV_NONE) {
        return;
    }
    va_start(ap, fmt);
    buf_vprintf(env->out, fmt, ap);
    va_end(ap);
}

static void print_buf(struct env *env, struct buf *b)
{
    if (env->log_level != ENV_NONE) {
        buf_append(env->out, buf_cstr(b), b->len);
    }
    buf_release(b);
}

static void print_message(struct env *env, const struct raft_message *m)
{
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    describe_message(m, NULL, &b);
    buf_append_byte(&b, '\n');
    print_buf(env, &b);
}

/* Begin a block; what was collected so far is kept in *outer. */
static void indent_begin(struct env *env, struct buf *inner, struct buf **outer)
{
    buf_init(inner, BUF_UNLIMITED);
    *outer = env->out;
    env->out = inner;
}

static void indent_end(struct env *env, struct buf *inner, struct buf *outer)
{
    const char *p = buf_cstr(inner);

    env->out = outer;
    while (*p != '\0') {
        size_t n = strcspn(p, "\n");

        env_printf(env, "  %.*s\n", (int)n, p);
        p += p[n] == '\n' ? n + 1 : n;
    }
    buf_release(inner);
}

int env_indented(struct env *env, env_process_fn *process_cb, struct node *n,
                 struct errmsg *em)
{
    struct buf inner;
    struct buf *outer;
    int rc;

    indent_begin(env, &inner, &outer);
    rc = process_cb(env, n, em);
    indent_end(env, &inner, outer);
    return rc;
}

/* --- the duties of an application --- */

/* Write what a Ready or MsgStorageAppend asks for [IE-7]. */
static int process_append(struct node *n, const struct hard_state *hs,
                          struct raft_entry *const *items, size_t n_items,
                          struct raft_snapshot *snap, struct errmsg *em)
{
    int rc;

    if (!hard_state_is_empty(hs)) {
        memory_storage_set_hard_state(&n->ms, hs);
    }
    if (raft_snapshot_is_empty(snap)) {
        memory_storage_append(&n->ms, items, n_items);
        return 0;
    }
    if (n_items > 0) {
        return errmsg_text(em, ERR_INVALID,
                           "can't apply snapshot and entries at the same time");
    }
    rc = memory_storage_apply_snapshot(&n->ms, snap);
    return rc < 0 ? errmsg_text(em, rc, "%s", err_str(rc)) : 0;
}

/* Make a configuration change; *cs is the new configuration, and the result
 * the context, which is what the state machine appends. */
static struct bytes apply_conf_change(struct node *n,
                                      const struct raft_entry *e,
                                      struct conf_state *cs)
{
    struct conf_change v1;
    struct conf_change_v2 v2;
    struct bytes context;

    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        if (conf_change_decode(raft_entry_data(e), &v1) < 0) {
            runner_fail("malformed ConfChange");
        }
        rawnode_apply_conf_change(n->rn, &v1, cs);
        return v1.context;
    }
    if (conf_change_v2_decode(raft_entry_data(e), &v2) < 0) {
        runner_fail("malformed ConfChangeV2");
    }
    rawnode_apply_conf_change_v2(n->rn, &v2, cs);
    context = v2.context;
    conf_change_v2_release(&v2);
    return context;
}

/* Apply one entry: a new last element of the history [IE-5]. */
static void process_apply(struct node *n, const struct raft_entry *e)
{
    const struct raft_snapshot *before = last_of(&n->history);
    struct raft_snapshot *after = raft_snapshot_new();
    struct bytes update = raft_entry_data(e);

    if (e->type == RAFT_ENTRY_NORMAL) {
        conf_state_copy(&after->conf_state, &before->conf_state);
    } else {
        update = apply_conf_change(n, e, &after->conf_state);
    }
    after->index = e->index;
    after->term = e->term;
    after->len = before->len + update.len;
    after->data = xmalloc(after->len);
    if (before->len > 0) {
        memcpy(after->data, before->data, before->len);
    }
    if (update.len > 0) {
        memcpy(after->data + before->len, update.data, update.len);
    }
    history_push(&n->history, after);
}

/* Put a copy into a queue, with its responses. */
static void push(struct message_queue *q, const struct raft_message *m)
{
    struct raft_message *slot = message_queue_push(q);

    raft_message_release(slot); /* the memory it kept from earlier use */
    raft_message_copy(slot, m);
}

static void send(struct env *env, struct node *n, const struct raft_message *m)
{
    if (m->to == RAFT_LOCAL_APPEND_THREAD) {
        push(&n->append_work, m);
    } else if (m->to == RAFT_LOCAL_APPLY_THREAD) {
        push(&n->apply_work, m);
    } else {
        push(&env->messages, m);
    }
}

/* Write and apply what a synchronous node was given. */
static int work_of_ready(struct node *n, const struct raft_ready *rd,
                         struct errmsg *em)
{
    static const struct hard_state none;
    int rc = process_append(n, rd->hard_state != NULL ? rd->hard_state : &none,
                            rd->entries, rd->n_entries, rd->snapshot, em);

    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < rd->n_committed_entries; i++) {
        process_apply(n, rd->committed_entries[i]);
    }
    return 0;
}

int env_process_ready(struct env *env, struct node *n, struct errmsg *em)
{
    struct raft_ready rd;
    struct buf b;

    rawnode_ready(n->rn, &rd);
    buf_init(&b, BUF_UNLIMITED);
    describe_ready(&rd, NULL, &b);
    print_buf(env, &b);
    if (!n->cfg.async_storage_writes) {
        int rc = work_of_ready(n, &rd, em);

        if (rc < 0) {
            return rc;
        }
    }
    for (size_t i = 0; i < rd.n_messages; i++) {
        send(env, n, &rd.messages[i]);
    }
    if (!n->cfg.async_storage_writes) {
        rawnode_advance(n->rn);
    }
    return 0;
}

/* --- the threads of asynchronous storage --- */

/* Take the first message of a queue; the caller releases it. */
static struct raft_message pop_front(struct message_queue *q)
{
    struct message_queue rest = {0};
    struct raft_message first;

    ASSERT(q->len > 0);
    for (size_t i = 1; i < q->len; i++) {
        message_queue_move(&rest, q, i);
    }
    first = q->items[0];
    q->items[0] = (struct raft_message){0};
    message_queue_release(q);
    *q = rest;
    return first;
}

/* Print the responses and send them [IE-11]. */
static void respond(struct env *env, struct raft_message *responses, size_t n)
{
    env_printf(env, "Responses:\n");
    for (size_t i = 0; i < n; i++) {
        print_message(env, &responses[i]);
        push(&env->messages, &responses[i]);
    }
}

/* Print the message without its responses, which stay in it. */
static void print_work(struct env *env, const struct raft_message *m)
{
    struct raft_message alone = *m;

    alone.responses = NULL;
    alone.n_responses = 0;
    env_printf(env, "Processing:\n");
    print_message(env, &alone);
}

int env_process_append_thread(struct env *env, struct node *n,
                              struct errmsg *em)
{
    struct hard_state hs;
    struct raft_message m;
    int rc;

    if (n->append_work.len == 0) {
        env_printf(env, "no append work to perform");
        return 0;
    }
    m = pop_front(&n->append_work);
    print_work(env, &m);
    hs = (struct hard_state){m.term, m.vote, m.commit};
    rc = process_append(n, &hs, m.entries.items, m.entries.len, m.snapshot, em);
    if (rc == 0) {
        respond(env, m.responses, m.n_responses);
    }
    raft_message_release(&m);
    return rc;
}

int env_process_apply_thread(struct env *env, struct node *n, struct errmsg *em)
{
    struct raft_message m;

    (void)em; /* applying does not fail */
    if (n->apply_work.len == 0) {
        env_printf(env, "no apply work to perform");
        return 0;
    }
    m = pop_front(&n->apply_work);
    print_work(env, &m);
    for (size_t i = 0; i < m.entries.len; i++) {
        process_apply(n, m.entries.items[i]);
    }
    respond(env, m.responses, m.n_responses);
    raft_message_release(&m);
    return 0;
}

/* --- the network --- */

static bool is_local_thread(uint64_t id)
{
    return id == RAFT_LOCAL_APPEND_THREAD || id == RAFT_LOCAL_APPLY_THREAD;
}

/* Messages within a node are reliable: they cannot be dropped. */
static bool is_within_node(const struct raft_message *m)
{
    return m->from == m->to || is_local_thread(m->from) ||
           is_local_thread(m->to);
}

static bool is_for(const struct raft_message *m, const struct recipient *r,
                   uint64_t type)
{
    return m->to == r->id && !(r->drop && is_within_node(m)) &&
           (type == ANY_TYPE || m->type == type);
}

/* Move what is for `r` to `taken`; the rest stays in its order. */
static void take_messages(struct env *env, const struct recipient *r,
                          uint64_t type, struct message_queue *taken)
{
    struct message_queue rest = {0};

    for (size_t i = 0; i < env->messages.len; i++) {
        bool hit = is_for(&env->messages.items[i], r, type);

        message_queue_move(hit ? taken : &rest, &env->messages, i);
    }
    message_queue_release(&env->messages);
    env->messages = rest;
}

static size_t deliver_to(struct env *env, const struct recipient *r,
                         uint64_t type)
{
    struct message_queue taken = {0};
    size_t n;

    take_messages(env, r, type, &taken);
    for (size_t i = 0; i < taken.len; i++) {
        int rc;

        env_printf(env, "%s", r->drop ? "dropped: " : "");
        print_message(env, &taken.items[i]);
        if (r->drop) {
            continue;
        }
        if (r->id == 0 || r->id > env->n_nodes) {
            runner_fail("no node %" PRIu64, r->id);
        }
        rc = rawnode_step(env->nodes[r->id - 1]->rn, &taken.items[i]);
        if (rc < 0) {
            env_printf(env, "%s\n", err_str(rc));
        }
    }
    n = taken.len;
    message_queue_release(&taken);
    return n;
}

size_t env_deliver(struct env *env, uint64_t type, const struct recipient *rs,
                   size_t n)
{
    size_t taken = 0;

    for (size_t i = 0; i < n; i++) {
        taken += deliver_to(env, &rs[i], type);
    }
    return taken;
}

/* --- stabilize --- */

static bool has_messages(const struct env *env, const struct node *n)
{
    for (size_t i = 0; i < env->messages.len; i++) {
        if (env->messages.items[i].to == n->cfg.id) {
            return true;
        }
    }
    return false;
}

static int receive_all(struct env *env, struct node *n, struct errmsg *em)
{
    struct recipient r = {.id = n->cfg.id};

    (void)em; /* errors of a step are part of the output */
    env_deliver(env, ANY_TYPE, &r, 1);
    return 0;
}

/* One kind of work of one node: a header, then a block for each piece until
 * none is left. Returns 1 if there was some. */
static int drain(struct env *env, struct node *n, const struct message_queue *q,
                 const char *what, env_process_fn *process_cb,
                 struct errmsg *em)
{
    if (q->len == 0) {
        return 0;
    }
    env_printf(env, "> %" PRIu64 " processing %s thread\n", n->cfg.id, what);
    while (q->len > 0) {
        int rc = env_indented(env, process_cb, n, em);

        if (rc < 0) {
            return rc;
        }
    }
    return 1;
}

/* The four steps of a round; each returns 1 if it did something. */
typedef int round_step_fn(struct env *env, struct node *n, struct errmsg *em);

static int step_ready(struct env *env, struct node *n, struct errmsg *em)
{
    int rc;

    if (!rawnode_has_ready(n->rn)) {
        return 0;
    }
    env_printf(env, "> %" PRIu64 " handling Ready\n", n->cfg.id);
    rc = env_indented(env, env_process_ready, n, em);
    return rc < 0 ? rc : 1;
}

static int step_receive(struct env *env, struct node *n, struct errmsg *em)
{
    if (!has_messages(env, n)) {
        return 0;
    }
    env_printf(env, "> %" PRIu64 " receiving messages\n", n->cfg.id);
    (void)env_indented(env, receive_all, n, em);
    return 1;
}

static int step_append(struct env *env, struct node *n, struct errmsg *em)
{
    return drain(env, n, &n->append_work, "append", env_process_append_thread,
                 em);
}

static int step_apply(struct env *env, struct node *n, struct errmsg *em)
{
    return drain(env, n, &n->apply_work, "apply", env_process_apply_thread, em);
}

static int stabilize_round(struct env *env, struct node *const *nodes, size_t n,
                           struct errmsg *em)
{
    static round_step_fn *const steps[] = {step_ready, step_receive,
                                           step_append, step_apply};
    int done = 0;

    for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
        for (size_t i = 0; i < n; i++) {
            int rc = steps[k](env, nodes[i], em);

            if (rc < 0) {
                return rc;
            }
            done |= rc;
        }
    }
    return done;
}

int env_stabilize(struct env *env, struct node *const *nodes, size_t n,
                  struct errmsg *em)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int rc = stabilize_round(env, nodes, n, em);

        if (rc <= 0) {
            return rc;
        }
    }
    runner_fail("no rest after %d rounds", ROUNDS_MAX);
}

/* --- the stored log --- */

void env_raft_log(struct env *env, struct node *n)
{
    uint64_t first = memory_storage_first_index(&n->ms);
    uint64_t last = memory_storage_last_index(&n->ms);
    struct raft_entries v = {0};
    struct buf b;
    int rc;

    if (last < first) {
        env_printf(env,
                   "log is empty: first index=%" PRIu64 ", last index=%" PRIu64,
                   first, last);
        return;
    }
    rc = entries(&n->storage, first, last + 1, UINT64_MAX, &v);
    ASSERT(rc == 0);
    buf_init(&b, BUF_UNLIMITED);
    describe_entries(v.items, v.len, NULL, &b);
    print_buf(env, &b);
    raft_entries_release(&v);
}
