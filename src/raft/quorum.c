/* See quorum.h. The rule numbers are those of raft-core section 18. */

#include "src/raft/quorum.h"

#include <inttypes.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"

/* --- sets of ids --- */

/* The position of `id`, or where it belongs. */
static size_t lower_bound(const struct id_list *s, uint64_t id)
{
    size_t lo = 0;
    size_t hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->ids[mid] < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool id_set_contains(const struct id_list *s, uint64_t id)
{
    size_t i = lower_bound(s, id);

    return i < s->n && s->ids[i] == id;
}

bool id_set_add(struct id_list *s, uint64_t id)
{
    size_t i = lower_bound(s, id);

    ASSERT(id != RAFT_NONE);
    if (i < s->n && s->ids[i] == id) {
        return false;
    }
    id_list_push(s, id);
    memmove(&s->ids[i + 1], &s->ids[i], (s->n - 1 - i) * sizeof s->ids[0]);
    s->ids[i] = id;
    return true;
}

bool id_set_remove(struct id_list *s, uint64_t id)
{
    size_t i = lower_bound(s, id);

    if (i == s->n || s->ids[i] != id) {
        return false;
    }
    if (s->n == 1) {
        id_set_release(s);
        return true;
    }
    memmove(&s->ids[i], &s->ids[i + 1], (s->n - 1 - i) * sizeof s->ids[0]);
    s->n--;
    return true;
}

bool id_set_equal(const struct id_list *a, const struct id_list *b)
{
    if (a->n != b->n) {
        return false;
    }
    return a->n == 0 || memcmp(a->ids, b->ids, a->n * sizeof a->ids[0]) == 0;
}

void id_set_copy(struct id_list *to, const struct id_list *from)
{
    ASSERT(to != from);
    id_set_release(to);
    for (size_t i = 0; i < from->n; i++) {
        id_list_push(to, from->ids[i]);
    }
}

void id_set_release(struct id_list *s)
{
    xfree(s->ids);
    *s = (struct id_list){0};
}

void id_set_union(struct id_list *to, const struct id_list *from)
{
    for (size_t i = 0; i < from->n; i++) {
        id_set_add(to, from->ids[i]);
    }
}

/* --- one majority --- */

const char *vote_result_name(enum vote_result r)
{
    switch (r) {
    case VOTE_PENDING:
        return "VotePending";
    case VOTE_LOST:
        return "VoteLost";
    case VOTE_WON:
        return "VoteWon";
    }
    UNREACHABLE();
}

/* Put `v` where it belongs in the ascending `a[0..n)`. Groups are small: this
 * beats anything cleverer. */
static void insert_sorted(uint64_t *a, size_t n, uint64_t v)
{
    size_t i = n;

    while (i > 0 && a[i - 1] > v) {
        a[i] = a[i - 1];
        i--;
    }
    a[i] = v;
}

/* In ascending order the n/2+1 last ones are a majority, and the first of
 * these is what all of them have stored. */
uint64_t quorum_majority_committed_index(const struct id_list *voters,
                                         const void *ctx,
                                         acked_index_fn *acked_cb)
{
    uint64_t on_stack[QUORUM_STACK_MEMBERS];
    uint64_t *acked = on_stack;
    size_t n = voters->n;
    uint64_t index;

    if (n == 0) {
        return QUORUM_INDEX_MAX;
    }
    if (n > QUORUM_STACK_MEMBERS) {
        acked = xcalloc(n, sizeof *acked);
    }
    for (size_t i = 0; i < n; i++) {
        if (!acked_cb(ctx, voters->ids[i], &index)) {
            index = 0;
        }
        insert_sorted(acked, i, index);
    }
    index = acked[n - (n / 2 + 1)];
    if (acked != on_stack) {
        xfree(acked);
    }
    return index;
}

enum vote_result quorum_majority_vote_result(const struct id_list *voters,
                                             const void *ctx, vote_fn *vote_cb)
{
    size_t yes = 0;
    size_t missing = 0;
    size_t q = voters->n / 2 + 1;

    if (voters->n == 0) {
        return VOTE_WON;
    }
    for (size_t i = 0; i < voters->n; i++) {
        switch (vote_cb(ctx, voters->ids[i])) {
        case VOTE_YES:
            yes++;
            break;
        case VOTE_MISSING:
            missing++;
            break;
        case VOTE_NO:
            break;
        }
    }
    if (yes >= q) {
        return VOTE_WON;
    }
    return yes + missing >= q ? VOTE_PENDING : VOTE_LOST;
}

/* One line of the chart. */
struct bar {
    uint64_t id;
    uint64_t index; /* 0 if unknown */
    size_t len;
    bool known;
};

/* How many of the others stand strictly behind this one: unknown ones count as
 * 0 and take part, and equal indexes get equal bars. */
static void measure_bars(struct bar *bars, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            if (bars[k].index < bars[i].index) {
                bars[i].len++;
            }
        }
    }
}

static void print_bar(const struct bar *bar, size_t n, struct buf *out)
{
    if (bar->known) {
        for (size_t i = 0; i < bar->len; i++) {
            buf_append_byte(out, 'x');
        }
        buf_printf(out, ">%*s", (int)(n - bar->len), "");
    } else {
        buf_printf(out, "?%*s", (int)n, "");
    }
    buf_printf(out, " %5" PRIu64 "    (id=%" PRIx64 ")\n", bar->index, bar->id);
}

void quorum_majority_describe(const struct id_list *voters, const void *ctx,
                              acked_index_fn *acked_cb, struct buf *out)
{
    size_t n = voters->n;
    struct bar *bars;

    if (n == 0) {
        buf_append_str(out, "<empty majority quorum>");
        return;
    }
    bars = xcalloc(n, sizeof *bars);
    for (size_t i = 0; i < n; i++) {
        bars[i].id = voters->ids[i];
        bars[i].known = acked_cb(ctx, bars[i].id, &bars[i].index);
    }
    measure_bars(bars, n);
    buf_printf(out, "%*s    idx\n", (int)n, "");
    for (size_t i = 0; i < n; i++) {
        print_bar(&bars[i], n, out);
    }
    xfree(bars);
}

/* --- both majorities --- */

uint64_t quorum_joint_committed_index(const struct joint_config *c,
                                      const void *ctx, acked_index_fn *acked_cb)
{
    return min_u64(
        quorum_majority_committed_index(&c->incoming, ctx, acked_cb),
        quorum_majority_committed_index(&c->outgoing, ctx, acked_cb));
}

enum vote_result quorum_joint_vote_result(const struct joint_config *c,
                                          const void *ctx, vote_fn *vote_cb)
{
    enum vote_result a =
        quorum_majority_vote_result(&c->incoming, ctx, vote_cb);
    enum vote_result b =
        quorum_majority_vote_result(&c->outgoing, ctx, vote_cb);

    if (a == b) {
        return a;
    }
    return a == VOTE_LOST || b == VOTE_LOST ? VOTE_LOST : VOTE_PENDING;
}

bool quorum_joint_contains(const struct joint_config *c, uint64_t id)
{
    return id_set_contains(&c->incoming, id) ||
           id_set_contains(&c->outgoing, id);
}

void quorum_joint_ids(const struct joint_config *c, struct id_list *out)
{
    ASSERT(out->n == 0);
    id_set_copy(out, &c->incoming);
    id_set_union(out, &c->outgoing);
}

void quorum_joint_describe(const struct joint_config *c, const void *ctx,
                           acked_index_fn *acked_cb, struct buf *out)
{
    struct id_list ids = {0};

    quorum_joint_ids(c, &ids);
    quorum_majority_describe(&ids, ctx, acked_cb, out);
    id_set_release(&ids);
}

/* --- text --- */

void quorum_majority_string(const struct id_list *voters, struct buf *out)
{
    buf_append_byte(out, '(');
    for (size_t i = 0; i < voters->n; i++) {
        buf_printf(out, "%s%" PRIx64, i == 0 ? "" : " ", voters->ids[i]);
    }
    buf_append_byte(out, ')');
}

void quorum_joint_string(const struct joint_config *c, struct buf *out)
{
    quorum_majority_string(&c->incoming, out);
    if (c->outgoing.n > 0) {
        buf_append_str(out, "&&");
        quorum_majority_string(&c->outgoing, out);
    }
}

void quorum_index_string(uint64_t index, struct buf *out)
{
    if (index == QUORUM_INDEX_MAX) {
        buf_append_str(out, "\xe2\x88\x9e"); /* the infinity sign in UTF-8 */
    } else {
        buf_printf(out, "%" PRIu64, index);
    }
}
