/* See tracker.h. The rule numbers are those of raft-core 12.3. */

#include "src/raft/tracker.h"

#include <string.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"

/* --- configuration --- */

void tracker_config_copy(struct tracker_config *to,
                         const struct tracker_config *from)
{
    id_set_copy(&to->voters.incoming, &from->voters.incoming);
    id_set_copy(&to->voters.outgoing, &from->voters.outgoing);
    id_set_copy(&to->learners, &from->learners);
    id_set_copy(&to->learners_next, &from->learners_next);
    to->auto_leave = from->auto_leave;
}

void tracker_config_release(struct tracker_config *c)
{
    id_set_release(&c->voters.incoming);
    id_set_release(&c->voters.outgoing);
    id_set_release(&c->learners);
    id_set_release(&c->learners_next);
    c->auto_leave = false;
}

bool tracker_config_is_joint(const struct tracker_config *c)
{
    return c->voters.outgoing.n > 0;
}

void tracker_config_string(const struct tracker_config *c, struct buf *out)
{
    buf_append_str(out, "voters=");
    quorum_joint_string(&c->voters, out);
    if (c->learners.n > 0) {
        buf_append_str(out, " learners=");
        quorum_majority_string(&c->learners, out);
    }
    if (c->learners_next.n > 0) {
        buf_append_str(out, " learners_next=");
        quorum_majority_string(&c->learners_next, out);
    }
    if (c->auto_leave) {
        buf_append_str(out, " autoleave");
    }
}

/* --- progress by id --- */

/* The position of `id`, or where it belongs. */
static size_t lower_bound(const struct progress_map *m, uint64_t id)
{
    size_t lo = 0;
    size_t hi = m->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (m->items[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct progress *progress_map_find(const struct progress_map *m, uint64_t id)
{
    size_t i = lower_bound(m, id);

    return i < m->n && m->items[i].id == id ? &m->items[i] : NULL;
}

struct progress *progress_map_insert(struct progress_map *m, uint64_t id)
{
    size_t i = lower_bound(m, id);

    ASSERT(id != RAFT_NONE);
    ASSERT(progress_map_find(m, id) == NULL);
    if (m->n == m->cap) {
        m->cap = grow_cap(m->cap, m->n + 1);
        m->items = xrealloc_array(m->items, m->cap, sizeof *m->items);
    }
    memmove(&m->items[i + 1], &m->items[i], (m->n - i) * sizeof *m->items);
    m->n++;
    m->items[i] = (struct progress){.id = id};
    return &m->items[i];
}

void progress_map_remove(struct progress_map *m, uint64_t id)
{
    struct progress *pr = progress_map_find(m, id);
    size_t i;

    ASSERT(pr != NULL);
    i = (size_t)(pr - m->items);
    progress_release(pr);
    memmove(pr, pr + 1, (m->n - i - 1) * sizeof *pr);
    m->n--;
}

void progress_map_copy(struct progress_map *to, const struct progress_map *from)
{
    ASSERT(to != from);
    progress_map_release(to);
    if (from->n == 0) {
        return;
    }
    to->items = xcalloc(from->n, sizeof *to->items);
    to->n = from->n;
    to->cap = from->n;
    for (size_t i = 0; i < from->n; i++) {
        progress_copy(&to->items[i], &from->items[i]);
    }
}

void progress_map_release(struct progress_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        progress_release(&m->items[i]);
    }
    xfree(m->items);
    *m = (struct progress_map){0};
}

void progress_map_string(const struct progress_map *m, struct buf *out)
{
    for (size_t i = 0; i < m->n; i++) {
        buf_printf(out, "%" PRIu64 ": ", m->items[i].id);
        progress_string(&m->items[i], out);
        buf_append_byte(out, '\n');
    }
}

/* --- tracker --- */

void tracker_init(struct tracker *t, struct inflight_limits limits,
                  const struct logger *lg)
{
    *t = (struct tracker){.limits = limits, .lg = lg};
}

void tracker_release(struct tracker *t)
{
    tracker_config_release(&t->config);
    progress_map_release(&t->progress);
    xfree(t->votes);
    t->votes = NULL;
    t->n_votes = 0;
    t->votes_cap = 0;
}

void tracker_switch(struct tracker *t, struct tracker_config *config,
                    struct progress_map *progress)
{
    tracker_config_release(&t->config);
    progress_map_release(&t->progress);
    t->config = *config;
    t->progress = *progress;
    *config = (struct tracker_config){0};
    *progress = (struct progress_map){0};
    tracker_check(t);
}

void tracker_clear(struct tracker *t)
{
    tracker_config_release(&t->config);
    progress_map_release(&t->progress);
    tracker_reset_votes(t);
}

struct progress *tracker_progress(const struct tracker *t, uint64_t id)
{
    return progress_map_find(&t->progress, id);
}

bool tracker_is_voter(const struct tracker *t, uint64_t id)
{
    return quorum_joint_contains(&t->config.voters, id);
}

bool tracker_is_singleton(const struct tracker *t)
{
    return t->config.voters.incoming.n == 1 && t->config.voters.outgoing.n == 0;
}

static bool match_index(const void *ctx, uint64_t id, uint64_t *index)
{
    const struct tracker *t = ctx;
    const struct progress *pr = tracker_progress(t, id);

    if (pr == NULL) {
        return false;
    }
    *index = pr->match;
    return true;
}

uint64_t tracker_committed(const struct tracker *t)
{
    return quorum_joint_committed_index(&t->config.voters, t, match_index);
}

/* Only voters are asked, so learners do not count. */
static enum vote recently_active(const void *ctx, uint64_t id)
{
    const struct tracker *t = ctx;
    const struct progress *pr = tracker_progress(t, id);

    if (pr == NULL || pr->is_learner) {
        return VOTE_MISSING;
    }
    return pr->recent_active ? VOTE_YES : VOTE_NO;
}

bool tracker_quorum_active(const struct tracker *t)
{
    return quorum_joint_vote_result(&t->config.voters, t, recently_active) ==
           VOTE_WON;
}

void tracker_voter_nodes(const struct tracker *t, struct id_list *out)
{
    quorum_joint_ids(&t->config.voters, out);
}

void tracker_learner_nodes(const struct tracker *t, struct id_list *out)
{
    ASSERT(out->n == 0);
    id_set_copy(out, &t->config.learners);
}

void tracker_conf_state(const struct tracker *t, struct conf_state *out)
{
    ASSERT(out->voters.n == 0);
    id_set_copy(&out->voters, &t->config.voters.incoming);
    id_set_copy(&out->voters_outgoing, &t->config.voters.outgoing);
    id_set_copy(&out->learners, &t->config.learners);
    id_set_copy(&out->learners_next, &t->config.learners_next);
    out->auto_leave = t->config.auto_leave;
}

/* --- the election in hand --- */

void tracker_reset_votes(struct tracker *t)
{
    t->n_votes = 0;
}

static const struct vote_record *find_vote(const struct tracker *t, uint64_t id)
{
    for (size_t i = 0; i < t->n_votes; i++) {
        if (t->votes[i].id == id) {
            return &t->votes[i];
        }
    }
    return NULL;
}

void tracker_record_vote(struct tracker *t, uint64_t id, bool granted)
{
    if (find_vote(t, id) != NULL) {
        return; /* a member votes once [raft-core EL-14] */
    }
    if (t->n_votes == t->votes_cap) {
        t->votes_cap = grow_cap(t->votes_cap, t->n_votes + 1);
        t->votes = xrealloc_array(t->votes, t->votes_cap, sizeof *t->votes);
    }
    t->votes[t->n_votes++] = (struct vote_record){id, granted};
}

static enum vote recorded_vote(const void *ctx, uint64_t id)
{
    const struct vote_record *v = find_vote(ctx, id);

    if (v == NULL) {
        return VOTE_MISSING;
    }
    return v->granted ? VOTE_YES : VOTE_NO;
}

struct vote_tally tracker_tally_votes(const struct tracker *t)
{
    struct vote_tally tally = {
        .result = quorum_joint_vote_result(&t->config.voters, t, recorded_vote),
    };

    for (size_t i = 0; i < t->n_votes; i++) {
        const struct progress *pr = tracker_progress(t, t->votes[i].id);

        if (pr == NULL || pr->is_learner) {
            continue;
        }
        if (t->votes[i].granted) {
            tally.granted++;
        } else {
            tally.rejected++;
        }
    }
    return tally;
}

/* --- invariants --- */

static void check_has_progress(const struct tracker *t, const struct id_list *s)
{
    for (size_t i = 0; i < s->n; i++) {
        ASSERT(tracker_progress(t, s->ids[i]) != NULL);
        if (i > 0) {
            ASSERT(s->ids[i - 1] < s->ids[i]);
        }
    }
}

void tracker_check(const struct tracker *t)
{
    const struct tracker_config *c = &t->config;

    check_has_progress(t, &c->voters.incoming);
    check_has_progress(t, &c->voters.outgoing);
    check_has_progress(t, &c->learners);
    check_has_progress(t, &c->learners_next);
    if (!tracker_config_is_joint(c)) {
        ASSERT(c->learners_next.n == 0);
        ASSERT(!c->auto_leave);
    }
    for (size_t i = 0; i < c->learners_next.n; i++) {
        ASSERT(id_set_contains(&c->voters.outgoing, c->learners_next.ids[i]));
    }
    for (size_t i = 0; i < t->progress.n; i++) {
        const struct progress *pr = &t->progress.items[i];

        progress_check(pr);
        ASSERT(pr->is_learner == id_set_contains(&c->learners, pr->id));
        ASSERT(pr->is_learner != tracker_is_voter(t, pr->id));
    }
}
