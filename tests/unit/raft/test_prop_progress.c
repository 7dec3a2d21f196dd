/* Goal: the window of messages in flight is a plain list with two limits, and
 * Progress follows from what was sent and answered. Method: random operations
 * against models that keep plain arrays: the window forgets by copying, the
 * Progress remembers every message since the last change of state.
 *
 * Counterpart: the reference has examples only (tracker/inflights_test.go,
 * tracker/progress_test.go). */

#include <string.h>

#include "src/base/buf.h"
#include "src/raft/progress.h"
#include "tests/lib/property.h"

#define STEPS_MAX  60
#define WINDOW_MAX 24

/* --- the window --- */

struct window {
    struct inflight items[STEPS_MAX];
    size_t n;
    struct inflight_limits limits;
};

static uint64_t window_bytes(const struct window *w)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < w->n; i++) {
        bytes += w->items[i].bytes;
    }
    return bytes;
}

static bool window_full(const struct window *w)
{
    return w->n >= w->limits.msgs ||
           (w->limits.bytes > 0 && window_bytes(w) >= w->limits.bytes);
}

static void window_add(struct window *w, uint64_t last, uint64_t bytes)
{
    w->items[w->n++] = (struct inflight){last, bytes};
}

static void window_free_le(struct window *w, uint64_t to)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->n; i++) {
        if (w->items[i].index > to) {
            w->items[kept++] = w->items[i];
        }
    }
    w->n = kept;
}

static struct inflight_limits draw_limits(struct property *p)
{
    struct inflight_limits l = {.msgs = property_below(p, WINDOW_MAX + 1)};

    if (property_chance(p, 50)) {
        l.bytes = property_between(p, 1, 60);
    }
    if (property_chance(p, 10)) {
        l.msgs = INT32_MAX; /* no place for as many: it must not be taken */
    }
    return l;
}

static void check_window(struct property *p, const struct inflights *in,
                         const struct window *w)
{
    inflights_check(in);
    PROPERTY_EQ(p, in->count, w->n);
    PROPERTY_EQ(p, in->bytes, window_bytes(w));
    PROPERTY_EQ(p, inflights_full(in), window_full(w));
    PROPERTY_CHECK(p, in->cap <= 2 * STEPS_MAX);
    for (size_t i = 0; i < w->n; i++) {
        const struct inflight *f = &in->buffer[(in->start + i) % in->cap];

        PROPERTY_EQ(p, f->index, w->items[i].index);
        PROPERTY_EQ(p, f->bytes, w->items[i].bytes);
    }
}

/* Go on with a copy: what happens to it must not reach the original. */
static void continue_with_copy(struct property *p, struct inflights *in,
                               const struct window *w)
{
    struct inflights copy;
    struct inflights original = *in;

    inflights_copy(&copy, in);
    inflights_free_le(&copy, UINT64_MAX);
    inflights_release(&copy);
    check_window(p, &original, w);
    inflights_copy(in, &original);
    inflights_release(&original);
}

static void window_is_a_list_with_limits(struct property *p)
{
    struct window w = {.limits = draw_limits(p)};
    struct inflights in;
    uint64_t last = property_below(p, 5);

    inflights_init(&in, w.limits.msgs, w.limits.bytes, &p->lg);
    for (uint64_t n = property_between(p, 1, STEPS_MAX); n > 0; n--) {
        uint64_t what = property_below(p, 100);

        if (what < 78 && !window_full(&w)) {
            uint64_t bytes = property_below(p, 20);

            last += property_between(p, 1, 3);
            property_note(p, "add %" PRIu64 ", %" PRIu64 " bytes", last, bytes);
            inflights_add(&in, last, bytes);
            window_add(&w, last, bytes);
        } else if (what < 95) {
            uint64_t to = property_below(p, last + 3);

            property_note(p, "free up to %" PRIu64, to);
            inflights_free_le(&in, to);
            window_free_le(&w, to);
        } else if (what < 97) {
            property_note(p, "reset");
            inflights_reset(&in);
            w.n = 0;
        } else {
            property_note(p, "copy");
            continue_with_copy(p, &in, &w);
        }
        check_window(p, &in, &w);
    }
    inflights_release(&in);
}

/* --- Progress --- */

/* A member as its leader sees it. `waiting` says that no append may be sent
 * before an answer; next is not kept where it follows from the messages. */
struct member {
    enum progress_state state;
    uint64_t match;
    uint64_t pending; /* index of the snapshot sent, in SNAPSHOT */
    uint64_t next;
    uint64_t sent_commit;
    bool waiting;
    bool is_learner;
    bool active;
    struct window w;
};

static void enter(struct member *m, enum progress_state state, uint64_t next)
{
    m->state = state;
    m->next = next;
    m->pending = 0;
    m->waiting = false;
    m->w.n = 0;
}

/* What was sent beyond the place that is probed again may not be there. */
static void cap_sent_commit(struct member *m)
{
    if (m->sent_commit > m->next - 1) {
        m->sent_commit = m->next - 1;
    }
}

static void member_become_probe(struct member *m)
{
    uint64_t behind = m->match > m->pending ? m->match : m->pending;

    enter(m, PROGRESS_PROBE, behind + 1);
    cap_sent_commit(m);
}

static bool member_paused(const struct member *m)
{
    return m->state == PROGRESS_SNAPSHOT || m->waiting;
}

static void member_sent(struct member *m, size_t n, uint64_t bytes)
{
    if (m->state == PROGRESS_PROBE) {
        m->waiting = m->waiting || n > 0;
        return;
    }
    if (n > 0) {
        m->next += n;
        window_add(&m->w, m->next - 1, bytes);
    }
    m->waiting = window_full(&m->w);
}

static bool member_rejects(struct member *m, struct progress_rejection r)
{
    if (m->state == PROGRESS_REPLICATE) {
        if (r.rejected <= m->match) {
            return false;
        }
        m->next = m->match + 1;
    } else {
        if (r.rejected + 1 != m->next) {
            return false;
        }
        m->next = r.match_hint + 1 < r.rejected ? r.match_hint + 1 : r.rejected;
        if (m->next <= m->match) {
            m->next = m->match + 1;
        }
        m->waiting = false;
    }
    cap_sent_commit(m);
    return true;
}

/* The text, put together in another way than the code does. */
static void check_text(struct property *p, const struct progress *pr,
                       const struct member *m)
{
    static const char *const names[] = {"Probe", "Replicate", "Snapshot"};
    char pending[40] = "";
    char flight[40] = "";
    char want[200];
    struct buf got;

    if (m->pending > 0) {
        (void)snprintf(pending, sizeof pending, " pendingSnap=%" PRIu64,
                       m->pending);
    }
    if (m->w.n > 0) {
        (void)snprintf(flight, sizeof flight, " inflight=%zu%s", m->w.n,
                       window_full(&m->w) ? "[full]" : "");
    }
    (void)snprintf(want, sizeof want,
                   "State%s match=%" PRIu64 " next=%" PRIu64 "%s%s%s%s%s",
                   names[m->state], m->match, m->next,
                   m->is_learner ? " learner" : "",
                   member_paused(m) ? " paused" : "", pending,
                   m->active ? "" : " inactive", flight);
    buf_init(&got, BUF_UNLIMITED);
    progress_string(pr, &got);
    PROPERTY_CHECK(p, strcmp(buf_cstr(&got), want) == 0);
    buf_release(&got);
}

static void check_member(struct property *p, const struct progress *pr,
                         const struct member *m)
{
    progress_check(pr);
    PROPERTY_EQ(p, pr->state, m->state);
    PROPERTY_EQ(p, pr->match, m->match);
    PROPERTY_EQ(p, pr->next, m->next);
    PROPERTY_EQ(p, pr->sent_commit, m->sent_commit);
    PROPERTY_EQ(p, pr->pending_snapshot, m->pending);
    PROPERTY_EQ(p, progress_is_paused(pr), member_paused(m));
    for (uint64_t commit = 0; commit < m->next + 2; commit++) {
        bool news = commit > m->sent_commit && m->sent_commit + 1 < m->next;

        PROPERTY_EQ(p, progress_can_bump_commit(pr, commit), news);
    }
    check_window(p, &pr->inflights, &m->w);
}

static void do_send(struct property *p, struct progress *pr, struct member *m)
{
    size_t n = property_below(p, 4);
    uint64_t bytes = n * property_below(p, 12);

    /* Entries are only sent where there is room for them. */
    if (m->state == PROGRESS_REPLICATE && window_full(&m->w)) {
        n = 0;
    }
    property_note(p, "send %zu entries, %" PRIu64 " bytes", n, bytes);
    progress_sent_entries(pr, n, bytes);
    member_sent(m, n, bytes);
}

static void do_ack(struct property *p, struct progress *pr, struct member *m)
{
    uint64_t index = property_below(p, m->next + 2);
    bool news = index > m->match;

    property_note(p, "acknowledge %" PRIu64, index);
    PROPERTY_EQ(p, progress_maybe_update(pr, index), news);
    if (news) {
        m->match = index;
        m->next = m->next > index ? m->next : index + 1;
        m->waiting = false;
    }
    if (property_chance(p, 80)) { /* as the leader does for each answer */
        inflights_free_le(&pr->inflights, index);
        window_free_le(&m->w, index);
    }
}

static void do_reject(struct property *p, struct progress *pr, struct member *m)
{
    struct progress_rejection r = {property_below(p, m->next + 2),
                                   property_below(p, m->next + 2)};
    bool genuine;

    if (property_chance(p, 50)) {
        r.rejected = m->next - 1;
    }
    property_note(p, "reject %" PRIu64 ", hint %" PRIu64, r.rejected,
                  r.match_hint);
    genuine = member_rejects(m, r);
    PROPERTY_EQ(p, progress_maybe_decr_to(pr, r), genuine);
    PROPERTY_EQ(p, pr->next, m->next);
    if (genuine && m->state == PROGRESS_REPLICATE) { /* as the leader does */
        progress_become_probe(pr);
        member_become_probe(m);
    }
}

static void do_transition(struct property *p, struct progress *pr,
                          struct member *m)
{
    uint64_t snap = property_between(p, m->match, m->next + 5);

    switch (property_below(p, 3)) {
    case 0:
        property_note(p, "become probe");
        if (property_chance(p, 30)) { /* the snapshot has failed */
            pr->pending_snapshot = 0;
            m->pending = 0;
        }
        progress_become_probe(pr);
        member_become_probe(m);
        return;
    case 1:
        property_note(p, "become replicate");
        progress_become_replicate(pr);
        enter(m, PROGRESS_REPLICATE, m->match + 1);
        return;
    }
    property_note(p, "become snapshot %" PRIu64, snap);
    progress_become_snapshot(pr, snap);
    enter(m, PROGRESS_SNAPSHOT, snap + 1);
    m->pending = snap;
    m->sent_commit = snap;
}

static void do_reset(struct property *p, struct progress *pr, struct member *m)
{
    struct inflight_limits limits = draw_limits(p);
    uint64_t next = property_between(p, 1, 20);

    property_note(p, "reset to next %" PRIu64, next);
    progress_reset(pr, next, limits);
    *m = (struct member){
        .next = next, .is_learner = m->is_learner, .w = {.limits = limits}};
}

static void do_something(struct property *p, struct progress *pr,
                         struct member *m)
{
    uint64_t what = property_below(p, 100);

    if (what < 45) {
        if (m->state != PROGRESS_SNAPSHOT) {
            do_send(p, pr, m);
        }
    } else if (what < 65) {
        do_ack(p, pr, m);
    } else if (what < 75) {
        /* The leader does not look at a rejection during a snapshot. */
        if (m->state != PROGRESS_SNAPSHOT) {
            do_reject(p, pr, m);
        }
    } else if (what < 87) {
        do_transition(p, pr, m);
    } else if (what < 95) {
        m->sent_commit = property_below(p, m->next + 2);
        property_note(p, "send commit %" PRIu64, m->sent_commit);
        progress_set_sent_commit(pr, m->sent_commit);
    } else if (what < 97) {
        property_note(p, "heard of");
        pr->recent_active = m->active = true;
        pr->msg_app_flow_paused = m->waiting = false;
    } else {
        do_reset(p, pr, m);
    }
}

static void progress_follows_from_messages(struct property *p)
{
    struct member m = {.next = property_between(p, 1, 10)};
    struct progress pr;
    struct progress copy;

    m.w.limits = draw_limits(p);
    m.is_learner = property_chance(p, 30);
    progress_init(&pr, 7, m.next, m.w.limits, &p->lg);
    pr.is_learner = m.is_learner;
    for (uint64_t n = property_between(p, 1, STEPS_MAX); n > 0; n--) {
        do_something(p, &pr, &m);
        check_member(p, &pr, &m);
    }
    check_text(p, &pr, &m);
    progress_copy(&copy, &pr);
    progress_release(&pr);
    check_member(p, &copy, &m);
    progress_release(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        property_test(window_is_a_list_with_limits),
        property_test(progress_follows_from_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
