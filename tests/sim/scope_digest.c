/* What a state of a small scope is: roles, terms, votes, logs, what leaders
 * know of others, what is on its way, on disks and asked by clients. Not time:
 * a lease is in force or over, an election timeout comes when it comes.
 *
 * The disk counts by what a restart would find on it, not by its bytes, which
 * tell how it came to be; that both are the same is I15, and the sweeps'. Once
 * no node can crash any more, the disks decide nothing.
 *
 * Of what the checkers have seen, that is in the state which they compare the
 * future with: a state that is fine after one past may be none after another.
 */

#include <string.h>

#include "src/base/alloc.h"
#include "src/raft/entry_queue.h"
#include "tests/sim/check_internal.h"
#include "tests/sim/scope.h"

#define ENCODED_MAX 4096

struct digest {
    uint64_t h;
};

static void add(struct digest *d, uint64_t v)
{
    v *= UINT64_C(0x87c37b91114253d5);
    v = v << 31 | v >> 33;
    d->h ^= v * UINT64_C(0x4cf5ad432745937f);
    d->h = (d->h << 27 | d->h >> 37) * 5 + 0x52dce729;
}

static uint64_t finish(struct digest d)
{
    d.h ^= d.h >> 33;
    d.h *= UINT64_C(0xff51afd7ed558ccd);
    d.h ^= d.h >> 33;
    d.h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return d.h ^ d.h >> 33;
}

static void add_bytes(struct digest *d, const void *p, size_t len)
{
    const uint8_t *at = p;

    add(d, len);
    for (uint64_t v = 0; len > 0; v = 0) {
        size_t n = len < sizeof(v) ? len : sizeof(v);

        memcpy(&v, at, n);
        add(d, v);
        at += n;
        len -= n;
    }
}

/* --- the core --- */

static void add_entries(struct digest *d, struct raft_entry *const *entries,
                        size_t n)
{
    add(d, n);
    for (size_t i = 0; i < n; i++) {
        add(d, entries[i]->term);
        add(d, entries[i]->index);
        add(d, (uint64_t)entries[i]->type);
        add_bytes(d, entries[i]->data, entries[i]->len);
    }
}

static void add_messages(struct digest *d, const struct raft_message *m,
                         size_t n)
{
    uint8_t encoded[ENCODED_MAX];

    add(d, n);
    for (size_t i = 0; i < n; i++) {
        size_t len = raft_message_size(&m[i]);

        ASSERT(len <= sizeof(encoded));
        (void)raft_message_encode(&m[i], encoded);
        add_bytes(d, encoded, len);
    }
}

static void add_queue(struct digest *d, const struct message_queue *q)
{
    add_messages(d, q->items, q->len);
}

static void add_log(struct digest *d, const struct raft_log *l)
{
    add(d, l->committed);
    add(d, l->applying);
    add(d, l->applied);
    add(d, l->applying_ents_paused);
    add(d, l->unstable.offset);
    add(d, l->unstable.offset_in_progress);
    add_entries(d, entry_queue_items(&l->unstable.entries),
                entry_queue_len(&l->unstable.entries));
}

static void add_progress(struct digest *d, const struct progress *pr)
{
    add(d, pr->id);
    add(d, pr->match);
    add(d, pr->next);
    add(d, pr->sent_commit);
    add(d, (uint64_t)pr->state << 2 | (uint64_t)pr->recent_active << 1 |
               pr->msg_app_flow_paused);
    add(d, pr->inflights.count);
    for (size_t i = 0; i < pr->inflights.count; i++) {
        size_t at = (pr->inflights.start + i) % pr->inflights.cap;

        add(d, pr->inflights.buffer[at].index);
    }
}

static void add_tracker(struct digest *d, const struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        for (size_t i = 0; i < r->trk.progress.n; i++) {
            add_progress(d, &r->trk.progress.items[i]);
        }
    }
    if (r->role == RAFT_CANDIDATE || r->role == RAFT_PRE_CANDIDATE) {
        for (size_t i = 0; i < r->trk.n_votes; i++) {
            add(d, r->trk.votes[i].id << 1 | r->trk.votes[i].granted);
        }
    }
}

static void add_reads(struct digest *d, const struct raft *r)
{
    const struct read_only *ro = &r->read_only;

    add(d, read_only_pending(ro));
    add(d, ro->confirmed);
    for (size_t i = ro->head; i < ro->len; i++) {
        add(d, ro->queue[i].from);
        add(d, ro->queue[i].index);
        add_bytes(d, ro->queue[i].entry->data, ro->queue[i].entry->len);
    }
    for (size_t i = 0; i < ro->n_acks; i++) {
        add(d, ro->acks[i].id);
        add(d, ro->acks[i].position);
    }
    add_queue(d, &r->pending_reads);
    for (size_t i = 0; i < r->n_read_states; i++) {
        add(d, r->read_states[i].index);
        add_bytes(d, r->read_states[i].ctx, r->read_states[i].ctx_len);
    }
}

static void add_raft(struct digest *d, const struct raft *r)
{
    add(d, r->term);
    add(d, r->vote);
    add(d, (uint64_t)r->role << 32 | r->lead);
    add(d, r->election_elapsed >= r->election_timeout); /* would it vote? */
    add(d, r->uncommitted_size);
    add_log(d, &r->log);
    add_tracker(d, r);
    add_reads(d, r);
    add_queue(d, &r->msgs);
    add_queue(d, &r->msgs_after_append);
}

/* --- a node --- */

static void add_hard_state(struct digest *d, const struct hard_state *hs)
{
    add(d, hs->term);
    add(d, hs->vote);
    add(d, hs->commit);
}

/* The Ready in hand, and the write that it waits for. */
static void add_appends(struct digest *d, const struct list *l)
{
    list_for_each (it, l) {
        const struct append *a = container_of(it, struct append, link);

        add(d, a->must_sync);
        add_messages(d, &a->m, 1);
        add_messages(d, a->m.responses, a->m.n_responses);
        add_messages(d, a->held, a->n_held);
    }
}

static void add_ready(struct digest *d, const struct sim_node *n)
{
    const struct raftnode *rn = n->node;
    const struct rawnode *raw = rn->raw;

    add(d,
        (uint64_t)raw->prev_soft_state.role << 32 | raw->prev_soft_state.lead);
    add_hard_state(d, &raw->prev_hard_state);
    add(d, (uint64_t)rn->phase << 1 | (n->held.done != NULL));
    ASSERT(rn->own.state == OWN_NONE); /* no small scope comes so far */
    add_appends(d, &rn->writing);
    add_appends(d, &rn->appends);
    list_for_each (it, &rn->applies) {
        const struct apply *p = container_of(it, struct apply, link);

        add(d, rn->append_seq - p->after);
        add_messages(d, &p->m, 1);
    }
}

static void add_up(struct digest *d, const struct machine *m)
{
    const struct raftnode *rn = m->n.node;
    const struct entry_queue *stable = rn->log.ents;

    add_raft(d, &rn->raw->raft);
    add_ready(d, &m->n);
    add(d, memory_storage_first_index(&rn->log));
    add_entries(d, entry_queue_items(stable), entry_queue_len(stable));
    add(d, rn->applied);
    add(d, rn->term);
    add(d, (uint64_t)rn->soft.role << 32 | rn->soft.lead);
    add(d, (uint64_t)rn->condition << 1 | m->has_turn);
}

/* What a restart would find. */
static void add_disk(struct digest *d, const struct node_model *m)
{
    const struct pending *p = &m->pending;

    add(d, log_last(&m->log));
    for (size_t i = 0; i < m->log.n; i++) {
        add(d, m->log.terms[i]);
    }
    add_hard_state(d, &m->hs);
    add(d, m->synced_commit);
    if (p->is_open) {
        add(d, p->first);
        add(d, p->n);
    }
}

/* --- around the nodes --- */

static void add_link(struct digest *d, const struct sim *s, uint64_t from,
                     uint64_t to)
{
    uint64_t last = 0;

    /* By the order of sending; few are under way. */
    for (;;) {
        const struct event *next = NULL;

        for (size_t i = 0; i < s->n_events; i++) {
            const struct event *e = &s->heap[i];

            if (e->kind == EVENT_DELIVER && e->packet->from == from &&
                e->packet->to == to && e->seq >= last &&
                (next == NULL || e->seq < next->seq)) {
                next = e;
            }
        }
        if (next == NULL) {
            break;
        }
        add_bytes(d, next->packet->data, next->packet->len);
        last = next->seq + 1;
    }
    add(d, s->cut[from][to]);
}

/* The context of a read says which attempt it is. */
static void add_clients(struct digest *d, const struct scope *sc)
{
    for (uint32_t i = 0; i < SCOPE_CLIENTS; i++) {
        struct client_state c = client_state(&sc->sim, i);

        add(d, (uint64_t)(uint32_t)c.rc << 32 | c.node);
        add(d, c.value);
        add(d, sc->answered_before[i]);
        if (c.req == NULL) {
            continue;
        }
        add(d, (uint64_t)c.req->stage);
        add(d, c.req->term);
        if (i == SCOPE_READER) {
            add(d, sc->sim.machines[c.node].n.node->reads.next_seq);
        }
        if (c.req->stage == REQUEST_READ_CONFIRMED) {
            add(d, sc->read_index);
        }
    }
}

static void add_seen_of_node(struct digest *d, const struct node_model *m)
{
    add(d, m->vote_term);
    add(d, m->vote);
    add(d, m->led_term);
    add(d, m->campaign_term);
    add(d, m->campaign_log.term);
    add(d, m->campaign_log.index);
}

static void add_seen(struct digest *d, const struct checker *k)
{
    uint64_t sum = 0;
    size_t pos = 0;
    const struct put *p;

    add(d, k->committed);
    for (uint64_t i = 1; i <= k->committed; i++) {
        add(d, k->positions[i].committed);
        add(d, k->positions[i].committed_in);
    }
    for (size_t term = 0; term < k->n_terms; term++) {
        const struct term_seen *t = &k->terms[term];

        if (t->leader != 0) {
            add(d, term << 8 | t->leader);
            continue;
        }
        for (uint64_t id = 1; id <= SCOPE_NODES; id++) {
            if (t->votes[id] != 0) {
                add(d, term << 8 | id << 4 | t->votes[id]);
            }
        }
    }
    while ((p = map_next(&k->puts, &pos)) != NULL) {
        struct digest one = {p->id};

        add(&one, p->is_logged);
        add(&one, p->is_refused);
        add(&one, p->committed_at);
        sum += finish(one);
    }
    add(d, sum);
}

uint64_t scope_digest(const struct scope *sc)
{
    const struct sim *s = &sc->sim;
    struct digest d = {0};
    bool may_crash = sc->n_crashes == 0;

    add(&d,
        sc->n_puts << 24 | sc->n_gets << 16 | sc->n_crashes << 8 | sc->n_cuts);
    for (uint64_t id = 1; id <= SCOPE_NODES; id++) {
        const struct machine *m = &s->machines[id];
        const struct node_model *model = &s->checker->nodes[id];

        add(&d, machine_is_up(m));
        if (machine_is_up(m)) {
            add_up(&d, m);
        }
        if (may_crash || !machine_is_up(m)) {
            add_disk(&d, model);
        }
        add_seen_of_node(&d, model);
        for (uint64_t to = 1; to <= SCOPE_NODES; to++) {
            add_link(&d, s, id, to);
        }
    }
    add_clients(&d, sc);
    add_seen(&d, s->checker);
    return finish(d);
}
