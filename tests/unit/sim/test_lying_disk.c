/* Goal: a disk that says a sync is done and has done nothing is noticed: what a
 * member acknowledged and lost in a power cut is refused at the start, or stops
 * the member as soon as its leader tells it what it counted on, then and at
 * every later start; the others have lost nothing [reliability 2, F12]. Method:
 * random clusters with one such disk, which lies from the first start on, or
 * for a while; its power is cut, and it is started again. The log may lose its
 * end, or get one back that was overwritten. The leader stays, for only one
 * that counted the member can tell.
 *
 * The counts of how it ended are printed: nothing that was counted is missing,
 * the start was refused, the member was stopped. CASES and SEED as in
 * tests/lib/property.h. */

#include <errno.h>

#include "src/base/alloc.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/property.h"
#include "tests/lib/sim_cluster.h"

#define CASES_DEFAULT 300
#define TICKS         30 /* several heartbeats, and less than a lost leader */

enum outcome {
    WHOLE,
    REFUSED,
    STOPPED,
    MENDED,
    OUTCOMES,
};

static const char *const outcome_names[OUTCOMES] = {
    [WHOLE] = "nothing missing",
    [REFUSED] = "refused at the start",
    [STOPPED] = "stopped by the leader's word",
    [MENDED] = "and mended by its snapshot",
};

struct run {
    struct rng rng;
    struct sim_cluster c;
    uint64_t leader;
    uint64_t term;
    uint64_t victim;
    unsigned n_keys;
    bool has_tail;    /* its log has had another end, and may have it again */
    uint64_t counted; /* how far the leader counted on the victim's log */
};

static uint64_t below(struct run *r, uint64_t n)
{
    return rng_below(&r->rng, n);
}

static const struct raft *raft_of(const struct run *r, uint64_t id)
{
    return &r->c.nodes[id].node->raw->raft;
}

static void put_some(struct run *r, uint64_t n)
{
    while (n-- > 0) {
        char key[16];
        char value[300];

        (void)snprintf(key, sizeof(key), "/%u", r->n_keys++);
        memset(value, 'a' + (int)below(r, 26), sizeof(value));
        value[1 + below(r, sizeof(value) - 1)] = '\0';
        assert_int_equal(sim_put_now(&r->c, r->leader, key, value), 0);
    }
}

/* Writes whose answer nobody waits for; some messages go their way. */
static void put_and_leave(struct run *r)
{
    for (uint64_t n = below(r, 3); n > 0; n--) {
        struct sim_op *op = sim_put(&r->c, r->leader, "/left", "v");

        for (uint64_t i = below(r, 4); i > 0; i--) {
            (void)sim_round(&r->c);
        }
        sim_op_free(&r->c, op);
    }
}

static void lie(struct run *r, bool lying)
{
    sim_vfs_set_lying(r->c.nodes[r->victim].disk, lying);
}

static void begin(struct run *r, uint64_t seed)
{
    struct sim_options o;

    *r = (struct run){0};
    rng_seed(&r->rng, seed);
    o = (struct sim_options){
        .n = below(r, 4) == 0 ? 5 : 3,
        .seed = seed,
        .snapshot_count = 3 + below(r, 30),
        .catchup_entries = below(r, 10),
        .segment_bytes = UINT64_C(1024) << below(r, 5),
        .late_writes = below(r, 2) == 0,
    };
    sim_cluster_init(&r->c, &o);
    r->victim = 1 + below(r, o.n);
    lie(r, below(r, 5) == 0);
    sim_start_all(&r->c);
    r->leader = sim_elect(&r->c);
    assert_int_not_equal(r->leader, 0);
    r->has_tail = r->leader == r->victim && below(r, 4) > 0;
    if (r->leader == r->victim && !r->has_tail) {
        /* Whoever lies from the first start on may lead for a while. */
        put_some(r, below(r, 5));
        raftnode_transfer_leadership(r->c.nodes[r->leader].node);
        sim_run(&r->c, 3);
        r->leader = sim_elect(&r->c);
        assert_int_not_equal(r->leader, 0);
    }
}

/* The victim leads, writes what nobody else has, is cut off, and comes back to
 * find that overwritten: on a disk that lies by then. */
static void overwrite_a_tail(struct run *r)
{
    sim_isolate(&r->c, r->victim, true);
    for (uint64_t n = 1 + below(r, 6); n > 0; n--) {
        struct sim_op *op = sim_put(&r->c, r->victim, "/lost", "x");

        (void)sim_round(&r->c);
        (void)sim_round(&r->c);
        sim_op_free(&r->c, op);
    }
    sim_run(&r->c, 40);
    r->leader = sim_elect(&r->c);
    assert_int_not_equal(r->leader, 0);
    lie(r, true);
    sim_isolate(&r->c, r->victim, false);
    sim_run(&r->c, 5);
}

/* Until the power fails. */
static void live(struct run *r)
{
    put_some(r, below(r, 12));
    if (r->has_tail) {
        overwrite_a_tail(r);
    }
    lie(r, true);
    put_some(r, below(r, 25));
    if (below(r, 2) == 0) {
        lie(r, false);
        put_some(r, below(r, 6));
    }
    put_and_leave(r);
    r->leader = sim_elect(&r->c);
    r->term = raft_of(r, r->leader)->term;
    r->counted =
        tracker_progress(&raft_of(r, r->leader)->trk, r->victim)->match;
}

static int start(struct run *r, struct errmsg *em)
{
    *em = (struct errmsg){{0}};
    return sim_start(&r->c, r->victim, false, em);
}

static bool is_stopped(const struct run *r)
{
    const char *why = "";
    enum raftnode_condition is =
        raftnode_condition(r->c.nodes[r->victim].node, &why);

    assert_int_not_equal(is, RAFTNODE_REMOVED);
    if (is == RAFTNODE_FAILED) {
        assert_non_null(strstr(why, "this disk lost data"));
    }
    return is == RAFTNODE_FAILED;
}

static bool leads_on(const struct run *r)
{
    return raftnode_is_leader(r->c.nodes[r->leader].node) &&
           raft_of(r, r->leader)->term == r->term;
}

/* The leader's heartbeats tell how far it counted; what comes before the next
 * entry tells which entries those were. */
static bool is_stopped_by_the_leader(struct run *r)
{
    sim_run(&r->c, TICKS);
    if (r->has_tail) {
        put_some(r, 1);
        sim_run(&r->c, 2);
    }
    assert_true(leads_on(r));
    return is_stopped(r);
}

static enum outcome start_again(struct run *r)
{
    struct errmsg em;
    uint64_t last;

    if (start(r, &em) < 0) {
        assert_true(em.text[0] != '\0');
        assert_true(start(r, &em) < 0); /* and again */
        return REFUSED;
    }
    last = raft_log_last_index(&raft_of(r, r->victim)->log);
    if (!is_stopped_by_the_leader(r)) {
        assert_true(last >= r->counted);
        return WHOLE;
    }
    assert_true(last < r->counted || r->has_tail);
    sim_stop(&r->c, r->victim);
    assert_int_equal(start(r, &em), 0); /* does not help ... */
    if (is_stopped_by_the_leader(r)) {
        return STOPPED;
    }
    /* ... unless the leader's log goes back no more to where they part, and its
     * snapshot replaces all of ours. */
    assert_true(r->has_tail);
    return MENDED;
}

/* The others have everything, and go on. */
static void check_others(struct run *r, enum outcome end)
{
    if (end == STOPPED) {
        sim_stop(&r->c, r->victim);
    }
    assert_true(leads_on(r));
    put_some(r, 2);
    sim_run(&r->c, 3);
    sim_expect_equal_maps(&r->c);
}

static enum outcome play(uint64_t seed)
{
    static struct run r;
    enum outcome end;
    enum sim_crash_mode mode;

    begin(&r, seed);
    live(&r);
    mode = r.has_tail ? SIM_CRASH_DROP
                      : (enum sim_crash_mode)below(&r, SIM_CRASH_SECTORS + 1);
    sim_crash(&r.c, r.victim, mode);
    lie(&r, false);
    put_some(&r, below(&r, 4));
    end = start_again(&r);
    check_others(&r, end);
    sim_cluster_release(&r.c);
    return end;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void test_a_lying_disk_is_noticed(void **state)
{
    uint64_t seed = from_environment("SEED", 1);
    uint64_t cases = from_environment("CASES", CASES_DEFAULT);
    uint64_t counts[OUTCOMES] = {0};

    (void)state;
    for (uint64_t i = 0; i < cases; i++) {
        if (cases == 1 || getenv("SIM_LOG") != NULL) {
            print_message("seed %" PRIu64 "\n", seed + i);
        }
        counts[play(seed + i)]++;
    }
    for (int i = 0; i < OUTCOMES; i++) {
        print_message("%s: %" PRIu64 "\n", outcome_names[i], counts[i]);
        assert_true(i == MENDED || cases < CASES_DEFAULT || counts[i] > 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lying_disk_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
