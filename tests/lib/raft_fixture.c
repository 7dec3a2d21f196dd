/* See raft_fixture.h. */

#include "tests/lib/raft_fixture.h"

#include <string.h>

#include "src/base/alloc.h"

struct fatal_trap raft_trap;

/* Election timeouts of nodes must not be correlated. */
static uint64_t next_seed = 1;

/* --- one node --- */

static void push_ids(struct id_list *to, struct id_list from)
{
    for (size_t i = 0; i < from.n; i++) {
        id_list_push(to, from.ids[i]);
    }
}

struct raft_snapshot *member_snapshot(uint64_t index, uint64_t term,
                                      struct id_list voters,
                                      struct id_list learners)
{
    struct raft_snapshot *s = test_snapshot(index, term);

    push_ids(&s->conf_state.voters, voters);
    push_ids(&s->conf_state.learners, learners);
    return s;
}

static void fill_log(struct memory_storage *ms, const struct node_spec *spec)
{
    uint64_t first = spec->log_first != 0 ? spec->log_first : 1;

    for (size_t i = 0; i < spec->log.n; i++) {
        struct raft_entry *e = test_entry(first + i, spec->log.ids[i]);

        memory_storage_append(ms, &e, 1);
        raft_entry_unref(e);
    }
}

void storage_fill(struct memory_storage *ms, const struct node_spec *spec)
{
    uint64_t index = spec->log_first != 0 ? spec->log_first - 1 : 0;
    struct raft_snapshot *s =
        member_snapshot(index, spec->log_term0, spec->voters, spec->learners);

    push_ids(&s->conf_state.voters_outgoing, spec->voters_outgoing);
    s->conf_state.auto_leave = spec->auto_leave;
    memory_storage_init(ms, &raft_trap.lg);
    assert_int_equal(memory_storage_apply_snapshot(ms, s), 0);
    raft_snapshot_unref(s);
    memory_storage_set_hard_state(ms, &spec->hs);
    fill_log(ms, spec);
}

struct raft_config spec_config(const struct node_spec *spec,
                               struct memory_storage *ms)
{
    if (raft_trap.lg.sink == NULL) {
        fatal_trap_init(&raft_trap);
    }
    return (struct raft_config){
        .id = spec->id != 0 ? spec->id : 1,
        .election_ticks = spec->election != 0 ? spec->election : 10,
        .heartbeat_ticks = spec->heartbeat != 0 ? spec->heartbeat : 1,
        .storage = &ms->base,
        .applied = spec->applied,
        .async_storage_writes = spec->async,
        .max_size_per_msg = spec->max_size_per_msg != 0 ? spec->max_size_per_msg
                                                        : RAFT_NO_LIMIT,
        .max_committed_size_per_ready = spec->max_committed_size_per_ready,
        .max_uncommitted_entries_size = spec->max_uncommitted_entries_size,
        .max_inflight_msgs =
            spec->max_inflight_msgs != 0 ? spec->max_inflight_msgs : 256,
        .max_inflight_bytes = spec->max_inflight_bytes,
        .check_quorum = spec->check_quorum,
        .pre_vote = spec->pre_vote,
        .read_only_option = spec->read_only_option,
        .lg = &raft_trap.lg,
        .disable_proposal_forwarding = spec->disable_proposal_forwarding,
        .disable_conf_change_validation = spec->disable_conf_change_validation,
        .step_down_on_removal = spec->step_down_on_removal,
        .seed = spec->seed != 0 ? spec->seed : next_seed++,
    };
}

struct node *node_new(const struct node_spec *spec)
{
    struct node *n = xcalloc(1, sizeof *n);
    struct raft_config cfg = spec_config(spec, &n->ms);

    storage_fill(&n->ms, spec);
    raft_init(&n->r, &cfg);
    return n;
}

void node_free(struct node *n)
{
    if (n == NULL) {
        return;
    }
    raft_release(&n->r);
    memory_storage_release(&n->ms);
    xfree(n);
}

void node_become_leader(struct node *n)
{
    raft_become_candidate(&n->r);
    raft_become_leader(&n->r);
}

/* --- messages --- */

static struct raft_message with_bytes(struct raft_message m, struct bytes data)
{
    raft_entries_take(&m.entries, raft_entry_new(RAFT_ENTRY_NORMAL, data));
    return m;
}

struct raft_message with_data(struct raft_message m, const char *data)
{
    return with_bytes(m, (struct bytes){(const uint8_t *)data,
                                        data != NULL ? strlen(data) : 0});
}

struct raft_message with_blob(struct raft_message m, size_t len)
{
    raft_entries_take(&m.entries, test_entry_sized(0, 0, len));
    return m;
}

struct raft_message with_entries(struct raft_message m,
                                 const struct at ids[AT_MAX])
{
    test_entries(&m.entries, ids);
    return m;
}

struct raft_message with_conf_change(struct raft_message m,
                                     const struct conf_change *cc)
{
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_true(conf_change_encode(cc, &b) >= 0);
    raft_entries_take(&m.entries,
                      raft_entry_new(RAFT_ENTRY_CONF_CHANGE, buf_bytes(&b)));
    buf_release(&b);
    return m;
}

struct raft_message with_conf_change_v2(struct raft_message m,
                                        const struct conf_change_v2 *cc)
{
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    assert_true(conf_change_v2_encode(cc, &b) >= 0);
    raft_entries_take(&m.entries,
                      raft_entry_new(RAFT_ENTRY_CONF_CHANGE_V2, buf_bytes(&b)));
    buf_release(&b);
    return m;
}

struct raft_message with_snapshot(struct raft_message m,
                                  struct raft_snapshot *s)
{
    m.snapshot = raft_snapshot_ref(s);
    return m;
}

struct raft_message with_context(struct raft_message m, const char *context)
{
    raft_message_set_context(
        &m, (struct bytes){(const uint8_t *)context, strlen(context)});
    return m;
}

void node_uncheck(struct node *n)
{
    n->unchecked = true;
#ifdef RAFT_CHECK
    n->r.unchecked = true;
#endif
}

static void check(const struct node *n)
{
    if (!n->unchecked) {
        raft_check(&n->r);
    }
}

int node_step_rc(struct node *n, struct raft_message m)
{
    int rc = raft_step(&n->r, &m);

    raft_message_release(&m);
    check(n);
    return rc;
}

void node_step(struct node *n, struct raft_message m)
{
    (void)node_step_rc(n, m);
}

void node_propose(struct node *n, const char *data)
{
    assert_int_equal(
        node_step_rc(n, with_data(MSG(PROP, n->r.id, n->r.id), data)), 0);
}

void node_tick(struct node *n, int times)
{
    for (int i = 0; i < times; i++) {
        n->r.tick(&n->r);
    }
}

void node_apply(struct node *n, enum conf_change_type type, uint64_t id)
{
    struct conf_change_single one = {.type = type, .node_id = id};
    struct conf_change_v2 cc = {.changes = &one, .n_changes = 1};

    raft_apply_conf_change(&n->r, &cc);
    check(n);
}

void advance_messages_after_append(struct raft *r)
{
    struct message_queue q = {0};

    while (r->msgs_after_append.len > 0) {
        message_queue_swap(&q, &r->msgs_after_append);
        for (size_t i = 0; i < q.len; i++) {
            if (q.items[i].to == r->id) {
                assert_int_equal(raft_step(r, &q.items[i]), 0);
            } else {
                message_queue_move(&r->msgs, &q, i);
            }
        }
        message_queue_reset(&q);
    }
    message_queue_release(&q);
}

struct message_queue read_messages(struct raft *r)
{
    struct message_queue q = {0};

    advance_messages_after_append(r);
    message_queue_swap(&q, &r->msgs);
    return q;
}

size_t drop_messages(struct raft *r)
{
    struct message_queue q = read_messages(r);
    size_t n = q.len;

    message_queue_release(&q);
    return n;
}

size_t drop_messages_of(struct raft *r, enum raft_message_type type)
{
    struct message_queue q = read_messages(r);
    size_t found = 0;

    for (size_t i = 0; i < q.len; i++) {
        found += q.items[i].type == type ? 1 : 0;
    }
    message_queue_release(&q);
    return found;
}

void next_ents(struct node *n, struct raft_entries *out)
{
    struct raft_log *l = &n->r.log;
    struct raft_entries ents = {0};

    raft_log_next_unstable_ents(l, &ents);
    memory_storage_append(&n->ms, ents.items, ents.len);
    raft_log_stable_to(l, raft_log_last_entry_id(l));
    raft_entries_release(&ents);
    advance_messages_after_append(&n->r);
    raft_log_next_committed_ents(l, true, out != NULL ? out : &ents);
    raft_log_applied_to(l, l->committed, 0);
    raft_entries_release(&ents);
    check(n);
}

struct raft_message accept_and_reply(const struct raft_message *m)
{
    assert_int_equal(m->type, RAFT_MSG_APP);
    return MSG(APP_RESP, m->to, m->from, .term = m->term,
               .index = m->index + m->entries.len);
}

void commit_noop_entry(struct node *n)
{
    struct message_queue q;
    struct raft_entries ents = {0};
    struct raft_log *l = &n->r.log;

    assert_int_equal(n->r.role, RAFT_LEADER);
    raft_bcast_append(&n->r);
    q = read_messages(&n->r);
    for (size_t i = 0; i < q.len; i++) {
        assert_int_equal(q.items[i].type, RAFT_MSG_APP);
        assert_int_equal(q.items[i].entries.len, 1);
        assert_false(q.items[i].entries.items[0]->has_data);
        node_step(n, accept_and_reply(&q.items[i]));
    }
    message_queue_release(&q);
    drop_messages(&n->r); /* the commit index goes out */
    raft_log_next_unstable_ents(l, &ents);
    memory_storage_append(&n->ms, ents.items, ents.len);
    raft_log_applied_to(l, l->committed, 0);
    raft_log_stable_to(l, raft_log_last_entry_id(l));
    raft_entries_release(&ents);
}

/* --- looks --- */

struct progress *pr_of(struct node *n, uint64_t id)
{
    struct progress *pr = tracker_progress(&n->r.trk, id);

    assert_non_null(pr);
    return pr;
}

void assert_role(const struct node *n, enum raft_role role, uint64_t term)
{
    assert_string_equal(raft_role_name(n->r.role), raft_role_name(role));
    assert_int_equal(n->r.term, term);
}

void assert_log_terms(const struct raft *r, struct id_list terms)
{
    struct raft_entries v = {0};

    raft_log_all_entries(&r->log, &v);
    assert_int_equal(v.len, terms.n);
    for (size_t i = 0; i < v.len; i++) {
        assert_int_equal(v.items[i]->term, terms.ids[i]);
    }
    raft_entries_release(&v);
}

void assert_same_log(const struct raft *a, const struct raft *b)
{
    struct raft_entries x = {0};
    struct raft_entries y = {0};

    raft_log_all_entries(&a->log, &x);
    raft_log_all_entries(&b->log, &y);
    assert_int_equal(a->log.applied, b->log.applied);
    assert_int_equal(a->log.applying, b->log.applying);
    assert_int_equal(x.len, y.len);
    for (size_t i = 0; i < x.len; i++) {
        assert_int_equal(x.items[i]->index, y.items[i]->index);
        assert_int_equal(x.items[i]->term, y.items[i]->term);
        assert_int_equal(x.items[i]->type, y.items[i]->type);
        assert_int_equal(x.items[i]->len, y.items[i]->len);
        assert_memory_equal(x.items[i]->data, y.items[i]->data,
                            x.items[i]->len);
    }
    raft_entries_release(&x);
    raft_entries_release(&y);
}

void assert_ids(const struct id_list *got, struct id_list want)
{
    assert_int_equal(got->n, want.n);
    for (size_t i = 0; i < want.n; i++) {
        assert_int_equal(got->ids[i], want.ids[i]);
    }
}

void assert_voters(const struct node *n, struct id_list want)
{
    struct id_list ids = {0};

    tracker_voter_nodes(&n->r.trk, &ids);
    assert_ids(&ids, want);
    id_set_release(&ids);
}

void assert_learners(const struct node *n, struct id_list want)
{
    struct id_list ids = {0};

    tracker_learner_nodes(&n->r.trk, &ids);
    assert_ids(&ids, want);
    id_set_release(&ids);
}

/* --- a network --- */

/* All n are members of `node`, whatever it thought before. */
static void adopt(struct node *node, uint64_t id, size_t n)
{
    struct raft *r = &node->r;
    struct changer c = {.tracker = &r->trk,
                        .last_index = raft_log_last_index(&r->log)};
    struct changer_result members = {0};
    struct conf_state cs = {0};
    struct errmsg em;

    for (uint64_t i = 1; i <= n; i++) {
        id_list_push(id_set_contains(&r->trk.config.learners, i) ? &cs.learners
                                                                 : &cs.voters,
                     i);
    }
    assert_int_equal(changer_restore(&c, &cs, &members, &em), 0);
    conf_state_release(&cs);
    tracker_clear(&r->trk);
    tracker_switch(&r->trk, &members.config, &members.progress);
    r->id = id;
    raft_reset(r, r->term);
}

static void network_start(struct network *nt, size_t n)
{
    assert_in_range(n, 1, NETWORK_MAX);
    *nt = (struct network){.n = n};
}

void network_init_spec(struct network *nt, const struct node_spec *spec,
                       size_t n)
{
    uint64_t all[NETWORK_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct node_spec s = *spec;

    network_start(nt, n);
    if (s.voters.n == 0) {
        s.voters = (struct id_list){all, n};
    }
    for (size_t i = 1; i <= n; i++) {
        s.id = i;
        nt->nodes[i] = node_new(&s);
    }
}

void network_init(struct network *nt, struct node *const *peers, size_t n)
{
    uint64_t all[NETWORK_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};

    network_start(nt, n);
    for (size_t i = 1; i <= n; i++) {
        struct node *p = peers[i - 1];

        if (p == NULL) {
            nt->nodes[i] = NODE(.id = i, .voters = {all, n});
        } else if (p != BLACK_HOLE) {
            nt->nodes[i] = p;
            adopt(p, i, n);
        }
    }
}

void network_release(struct network *nt)
{
    for (size_t i = 1; i <= nt->n; i++) {
        node_free(nt->nodes[i]);
    }
    *nt = (struct network){0};
}

static bool delivers(const struct network *nt, const struct raft_message *m)
{
    assert_int_not_equal(m->type, RAFT_MSG_HUP); /* never sent */
    if (nt->ignored[m->type] || m->to < 1 || m->to > nt->n) {
        return false;
    }
    if (m->from >= 1 && m->from <= nt->n && nt->cut[m->from][m->to]) {
        return false;
    }
    return nt->hook == NULL || nt->hook(nt->hook_ctx, m);
}

void network_filter(struct network *nt, struct message_queue *q)
{
    struct message_queue kept = {0};

    for (size_t i = 0; i < q->len; i++) {
        if (delivers(nt, &q->items[i])) {
            message_queue_move(&kept, q, i);
        }
    }
    message_queue_swap(q, &kept);
    message_queue_release(&kept);
}

/* Deliver one message, and put the answers at the end of `q`. */
static void deliver(struct network *nt, struct raft_message *m,
                    struct message_queue *q)
{
    struct node *n = m->to >= 1 && m->to <= nt->n ? nt->nodes[m->to] : NULL;
    struct message_queue out;

    if (n == NULL) {
        return;
    }
    (void)raft_step(&n->r, m);
    check(n);
    out = read_messages(&n->r);
    check(n);
    network_filter(nt, &out);
    for (size_t i = 0; i < out.len; i++) {
        message_queue_move(q, &out, i);
    }
    message_queue_release(&out);
}

void network_send_all(struct network *nt, struct message_queue *q)
{
    for (size_t i = 0; i < q->len; i++) {
        struct raft_message m = q->items[i];

        q->items[i] = (struct raft_message){0};
        deliver(nt, &m, q);
        raft_message_release(&m);
    }
    message_queue_release(q);
}

void network_send(struct network *nt, struct raft_message m)
{
    struct message_queue q = {0};

    *message_queue_push(&q) = m;
    network_send_all(nt, &q);
}

void network_flush(struct network *nt, uint64_t id)
{
    struct message_queue q = read_messages(&nt->nodes[id]->r);

    network_filter(nt, &q);
    network_send_all(nt, &q);
}

void network_cut(struct network *nt, uint64_t a, uint64_t b)
{
    nt->cut[a][b] = true;
    nt->cut[b][a] = true;
}

void network_isolate(struct network *nt, uint64_t id)
{
    for (uint64_t i = 1; i <= nt->n; i++) {
        if (i != id) {
            network_cut(nt, id, i);
        }
    }
}

void network_ignore(struct network *nt, enum raft_message_type type)
{
    nt->ignored[type] = true;
}

void network_recover(struct network *nt)
{
    memset(nt->cut, 0, sizeof nt->cut);
    memset(nt->ignored, 0, sizeof nt->ignored);
}

void network_hup(struct network *nt, uint64_t id)
{
    network_send(nt, MSG(HUP, id, id));
}

void network_beat(struct network *nt, uint64_t id)
{
    network_send(nt, MSG(BEAT, id, id));
}

void network_propose(struct network *nt, uint64_t id, const char *data)
{
    network_send(nt, with_data(MSG(PROP, id, id), data));
}

void network_transfer(struct network *nt, uint64_t to, uint64_t transferee)
{
    network_send(nt, MSG(TRANSFER_LEADER, transferee, to));
}

struct node *settled_leader(void)
{
    struct node *n = NODE(.voters = IDS(1, 2, 3));

    node_become_leader(n);
    drop_messages(&n->r);
    node_step(n, MSG(APP_RESP, 2, 1, .term = 1, .index = 1));
    node_step(n, MSG(APP_RESP, 3, 1, .term = 1, .index = 1));
    drop_messages(&n->r);
    return n;
}
