/* Goal: majorities, of one configuration and of both halves of a joint one,
 * decide what counting decides. Method: random configurations with random
 * acknowledgements and votes, against definitions that try every index and
 * every outcome of the missing votes.
 *
 * Counterpart: etcd-io/raft quorum/quick_test.go. */

#include "src/raft/quorum.h"
#include "tests/lib/property.h"

/* Ids are below this; a few cases have more voters than fit on the stack. */
#define IDS (2 * QUORUM_STACK_MEMBERS)

/* What the voters have done, by id. */
struct electorate {
    uint64_t acked[IDS];
    bool known[IDS];
    enum vote votes[IDS];
};

static bool acked_index(const void *ctx, uint64_t id, uint64_t *index)
{
    const struct electorate *e = ctx;

    if (e->known[id]) {
        *index = e->acked[id];
    }
    return e->known[id];
}

static enum vote vote_of(const void *ctx, uint64_t id)
{
    const struct electorate *e = ctx;

    return e->votes[id];
}

/* Few different indexes, so that voters often agree. */
static void draw_electorate(struct property *p, struct electorate *e,
                            size_t ids)
{
    for (size_t id = 0; id < ids; id++) {
        e->known[id] = property_chance(p, 85);
        e->acked[id] = property_below(p, 8);
        if (property_chance(p, 2)) {
            e->acked[id] = QUORUM_INDEX_MAX - property_below(p, 2);
        }
        e->votes[id] = (enum vote)property_below(p, 3);
    }
}

/* Voters with ids below `ids`, each with the same chance. */
static void draw_voters(struct property *p, struct id_list *out, size_t ids)
{
    unsigned percent = (unsigned)property_below(p, 101);

    for (uint64_t id = 1; id < ids; id++) {
        if (property_chance(p, percent)) {
            id_set_add(out, id);
        }
    }
}

static size_t draw_case(struct property *p, struct joint_config *c,
                        struct electorate *e)
{
    size_t ids = property_chance(p, 1) ? IDS : property_between(p, 1, 10);

    draw_electorate(p, e, ids);
    draw_voters(p, &c->incoming, ids);
    draw_voters(p, &c->outgoing, ids);
    property_note(p, "%zu incoming and %zu outgoing voters", c->incoming.n,
                  c->outgoing.n);
    return ids;
}

static void release_case(struct joint_config *c)
{
    id_set_release(&c->incoming);
    id_set_release(&c->outgoing);
}

/* --- committed --- */

/* Whether more than half have stored `index`; who is not asked agrees. */
static bool is_stored(const struct electorate *e, const struct id_list *voters,
                      uint64_t index)
{
    size_t n = 0;

    for (size_t i = 0; i < voters->n; i++) {
        uint64_t id = voters->ids[i];

        n += index == 0 || (e->known[id] && e->acked[id] >= index);
    }
    return voters->n == 0 || 2 * n > voters->n;
}

/* The largest index that both halves have stored: it is one that a voter has
 * acknowledged, or 0, or there is no limit. */
static uint64_t naive_committed(const struct electorate *e,
                                const struct joint_config *c, size_t ids)
{
    uint64_t best = 0;

    if (c->incoming.n == 0 && c->outgoing.n == 0) {
        return QUORUM_INDEX_MAX;
    }
    for (size_t id = 0; id < ids; id++) {
        uint64_t index = e->acked[id];

        if (index > best && is_stored(e, &c->incoming, index) &&
            is_stored(e, &c->outgoing, index)) {
            best = index;
        }
    }
    return best;
}

static void committed_index_is_what_counting_gives(struct property *p)
{
    struct electorate e;
    struct joint_config c = {0};
    struct joint_config one = {0};
    struct joint_config swapped;
    size_t ids = draw_case(p, &c, &e);

    PROPERTY_EQ(p, quorum_joint_committed_index(&c, &e, acked_index),
                naive_committed(&e, &c, ids));
    one.incoming = c.incoming;
    PROPERTY_EQ(p,
                quorum_majority_committed_index(&c.incoming, &e, acked_index),
                naive_committed(&e, &one, ids));
    swapped = (struct joint_config){c.outgoing, c.incoming};
    PROPERTY_EQ(p, quorum_joint_committed_index(&swapped, &e, acked_index),
                quorum_joint_committed_index(&c, &e, acked_index));
    release_case(&c);
}

/* --- votes --- */

/* Whether more than half have said yes, if the missing votes were yes, too. */
static bool could_win(const struct electorate *e, const struct id_list *voters,
                      bool missing_are_yes)
{
    size_t n = 0;

    for (size_t i = 0; i < voters->n; i++) {
        enum vote v = e->votes[voters->ids[i]];

        n += v == VOTE_YES || (missing_are_yes && v == VOTE_MISSING);
    }
    return voters->n == 0 || 2 * n > voters->n;
}

static enum vote_result naive_vote_result(const struct electorate *e,
                                          const struct joint_config *c)
{
    if (could_win(e, &c->incoming, false) &&
        could_win(e, &c->outgoing, false)) {
        return VOTE_WON;
    }
    return could_win(e, &c->incoming, true) && could_win(e, &c->outgoing, true)
               ? VOTE_PENDING
               : VOTE_LOST;
}

static void vote_result_is_what_counting_gives(struct property *p)
{
    struct electorate e;
    struct joint_config c = {0};
    struct joint_config one = {0};

    draw_case(p, &c, &e);
    PROPERTY_EQ(p, quorum_joint_vote_result(&c, &e, vote_of),
                naive_vote_result(&e, &c));
    one.incoming = c.outgoing;
    PROPERTY_EQ(p, quorum_majority_vote_result(&c.outgoing, &e, vote_of),
                naive_vote_result(&e, &one));
    release_case(&c);
}

/* --- sets --- */

/* The set as the bits of a number, ids from 1 to 63. */
static uint64_t bits_of(const struct id_list *s)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < s->n; i++) {
        bits |= UINT64_C(1) << s->ids[i];
    }
    return bits;
}

static void sets_are_sets(struct property *p)
{
    struct joint_config c = {0};
    struct id_list both = {0};
    uint64_t bits[2] = {0, 0};
    struct id_list *halves[2] = {&c.incoming, &c.outgoing};

    for (uint64_t n = property_below(p, 40); n > 0; n--) {
        size_t half = property_below(p, 2);
        uint64_t id = property_between(p, 1, 12);
        bool present = (bits[half] >> id & 1) != 0;

        PROPERTY_EQ(p, id_set_contains(halves[half], id), present);
        if (property_chance(p, 60)) {
            PROPERTY_EQ(p, id_set_add(halves[half], id), !present);
            bits[half] |= UINT64_C(1) << id;
        } else {
            PROPERTY_EQ(p, id_set_remove(halves[half], id), present);
            bits[half] &= ~(UINT64_C(1) << id);
        }
        PROPERTY_EQ(p, bits_of(halves[half]), bits[half]);
    }
    quorum_joint_ids(&c, &both);
    PROPERTY_EQ(p, bits_of(&both), bits[0] | bits[1]);
    for (size_t i = 1; i < both.n; i++) {
        PROPERTY_CHECK(p, both.ids[i - 1] < both.ids[i]);
    }
    PROPERTY_EQ(p, id_set_equal(&c.incoming, &c.outgoing), bits[0] == bits[1]);
    id_set_release(&both);
    release_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        property_test(committed_index_is_what_counting_gives),
        property_test(vote_result_is_what_counting_gives),
        property_test(sets_are_sets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
