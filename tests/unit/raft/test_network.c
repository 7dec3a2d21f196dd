/* Whole groups over a network that loses and delays, in virtual time.
 *
 * Goal: the cases of etcd-io/raft's rafttest: a group makes progress, and goes
 * on when members are restarted or paused under load. Method: five rawnodes
 * over memory storage; time is a counter of milliseconds, a tick every five of
 * them as in the reference, a message is late by less than ten; all chances
 * come from a seed. The network is tested first. */

#include "tests/lib/rawnode_fixture.h"

#include <string.h>

#define NODES       5
#define TICK_MS     5
#define DELAY_MS    10
#define FLIGHTS_MAX 4096
#define PATIENCE_MS 60000

/* --- the network --- */

struct flight {
    uint64_t due;
    struct raft_message m;
};

struct wire {
    struct rng rng;
    uint64_t now; /* ms */
    uint64_t drop_percent;
    uint64_t delay_ms; /* exclusive */
    struct flight flights[FLIGHTS_MAX];
    size_t len;
};

static void wire_init(struct wire *w, uint64_t seed)
{
    w->now = 0;
    w->drop_percent = 0;
    w->delay_ms = DELAY_MS;
    w->len = 0;
    rng_seed(&w->rng, seed);
}

static void wire_send(struct wire *w, const struct raft_message *m)
{
    struct flight *f;

    if (rng_below(&w->rng, 100) < w->drop_percent) {
        return;
    }
    assert_true(w->len < FLIGHTS_MAX);
    f = &w->flights[w->len++];
    memset(f, 0, sizeof *f);
    f->due = w->now + rng_below(&w->rng, w->delay_ms);
    raft_message_copy(&f->m, m);
}

/* Move the next message that is due to *out; false if there is none. What was
 * sent later may be earlier. */
static bool wire_receive(struct wire *w, struct raft_message *out)
{
    for (size_t i = 0; i < w->len; i++) {
        if (w->flights[i].due <= w->now) {
            *out = w->flights[i].m;
            w->len--;
            memmove(&w->flights[i], &w->flights[i + 1],
                    (w->len - i) * sizeof w->flights[0]);
            return true;
        }
    }
    return false;
}

static void wire_release(struct wire *w)
{
    while (w->len > 0) {
        raft_message_release(&w->flights[--w->len].m);
    }
}

static struct wire wire;

static void test_network_drop(void **state)
{
    const size_t sent = 2000;

    (void)state;
    wire_init(&wire, 1);
    wire.drop_percent = 10;
    for (size_t i = 0; i < sent; i++) {
        wire_send(&wire, &MSG(APP, 1, 2));
    }
    /* 200 +- 3.7 standard deviations of 13.4 */
    assert_in_range(sent - wire.len, 150, 250);
    wire_release(&wire);
}

static void test_network_delay(void **state)
{
    const size_t sent = 2000;
    struct raft_message m;
    size_t received[DELAY_MS] = {0};

    (void)state;
    wire_init(&wire, 1);
    for (size_t i = 0; i < sent; i++) {
        wire_send(&wire, &MSG(APP, 1, 2));
    }
    for (size_t ms = 0; ms < DELAY_MS; ms++, wire.now++) {
        while (wire_receive(&wire, &m)) {
            received[ms]++;
            raft_message_release(&m);
        }
    }
    assert_int_equal(wire.len, 0); /* none is later than that */
    for (size_t ms = 0; ms < DELAY_MS; ms++) {
        assert_in_range(received[ms], 150, 250);
    }
}

/* --- the group --- */

struct member {
    struct rawnode_env env; /* env.rn NULL: stopped */
    struct raft_config cfg;
    bool paused;
    struct message_queue inbox; /* while paused */
    uint64_t applied;
};

static struct member members[NODES + 1]; /* by id */

static void start(struct member *m)
{
    m->env.rn = rawnode_new(&m->cfg);
    m->applied = 0; /* the state machine is in memory */
}

static void stop(struct member *m)
{
    rawnode_free(m->env.rn);
    m->env.rn = NULL;
}

static void group_init(void)
{
    wire_init(&wire, 7);
    for (uint64_t id = 1; id <= NODES; id++) {
        const struct node_spec spec = {
            .id = id, .voters = IDS(1, 2, 3, 4, 5), .seed = id};

        memset(&members[id], 0, sizeof members[id]);
        members[id].cfg = spec_config(&spec, &members[id].env.ms);
        storage_fill(&members[id].env.ms, &spec);
        start(&members[id]);
    }
}

static void group_release(void)
{
    for (uint64_t id = 1; id <= NODES; id++) {
        rawnode_env_release(&members[id].env);
        message_queue_release(&members[id].inbox);
    }
    wire_release(&wire);
}

static void deliver(struct member *m, const struct raft_message *msg)
{
    if (m->env.rn == NULL) {
        return;
    }
    if (m->paused) {
        message_queue_push_copy(&m->inbox, msg);
        return;
    }
    /* A proposal forwarded to somebody who knows no leader is lost. */
    assert_true(rawnode_step(m->env.rn, msg) != ERR_STEP_LOCAL_MSG);
}

static void resume(struct member *m)
{
    m->paused = false;
    for (size_t i = 0; i < m->inbox.len; i++) {
        deliver(m, &m->inbox.items[i]);
    }
    message_queue_reset(&m->inbox);
}

/* Every entry once, and in order. */
static void apply(struct member *m, const struct raft_ready *rd)
{
    for (size_t i = 0; i < rd->n_committed_entries; i++) {
        assert_int_equal(rd->committed_entries[i]->index, m->applied + 1);
        m->applied++;
    }
}

static void work(struct member *m)
{
    while (m->env.rn != NULL && !m->paused && rawnode_has_ready(m->env.rn)) {
        struct raft_ready rd;

        rawnode_env_ready(&m->env, &rd);
        for (size_t i = 0; i < rd.n_messages; i++) {
            wire_send(&wire, &rd.messages[i]);
        }
        apply(m, &rd);
        rawnode_advance(m->env.rn);
    }
}

/* A millisecond passes. */
static void pass(void)
{
    struct raft_message msg;

    wire.now++;
    while (wire_receive(&wire, &msg)) {
        deliver(&members[msg.to], &msg);
        raft_message_release(&msg);
    }
    for (uint64_t id = 1; id <= NODES; id++) {
        struct member *m = &members[id];

        if (wire.now % TICK_MS == 0 && m->env.rn != NULL && !m->paused) {
            rawnode_tick(m->env.rn);
        }
        work(m);
    }
}

/* The leader that all know, once there is one. */
static uint64_t wait_leader(void)
{
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        uint64_t lead = members[1].env.rn->raft.lead;
        uint64_t n = 0;

        for (uint64_t id = 1; id <= NODES; id++) {
            n += members[id].env.rn->raft.lead == lead;
        }
        if (lead != RAFT_NONE && n == NODES) {
            return lead;
        }
        pass();
    }
    fail_msg("no leader");
    return RAFT_NONE;
}

/* `n` proposals that are taken at member `at`, one a millisecond. */
static void propose(int n, uint64_t at)
{
    for (int ms = 0; n > 0 && ms < PATIENCE_MS; ms++) {
        n -= rawnode_env_propose(&members[at].env, "somedata") == 0;
        pass();
    }
    assert_int_equal(n, 0);
}

/* Until all have committed the same, above `target`; then the logs agree. */
static void wait_commit_converge(uint64_t target)
{
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        uint64_t commit = members[1].env.rn->raft.log.committed;
        uint64_t n = 0;

        for (uint64_t id = 1; id <= NODES; id++) {
            n += members[id].env.rn->raft.log.committed == commit;
        }
        if (commit > target && n == NODES) {
            for (uint64_t id = 2; id <= NODES; id++) {
                assert_same_log(&members[1].env.rn->raft,
                                &members[id].env.rn->raft);
            }
            return;
        }
        pass();
    }
    fail_msg("the commit indexes do not converge above %d", (int)target);
}

/* The id `n` places after `id`. */
static uint64_t next_of(uint64_t id, uint64_t n)
{
    return (id - 1 + n) % NODES + 1;
}

static void test_basic_progress(void **state)
{
    (void)state;
    group_init();
    wait_leader();
    propose(100, 1);
    wait_commit_converge(100);
    group_release();
}

/* Messages that are lost as well cost time, not entries. */
static void test_progress_with_losses(void **state)
{
    (void)state;
    group_init();
    wire.drop_percent = 20;
    propose(100, wait_leader());
    wire.drop_percent = 0;
    wait_commit_converge(50); /* forwarded ones may be lost for good */
    group_release();
}

static void test_restart(void **state)
{
    struct member *first;
    struct member *second;
    uint64_t lead;

    (void)state;
    group_init();
    lead = wait_leader();
    first = &members[next_of(lead, 1)];
    second = &members[next_of(lead, 2)];
    propose(30, lead);
    stop(first);
    propose(30, lead);
    stop(second);
    propose(30, lead);
    start(second);
    propose(30, lead);
    start(first);
    wait_commit_converge(120);
    group_release();
}

static void test_pause(void **state)
{
    struct member *first;
    struct member *second;
    uint64_t lead;

    (void)state;
    group_init();
    lead = wait_leader();
    first = &members[next_of(lead, 1)];
    second = &members[next_of(lead, 2)];
    propose(30, lead);
    first->paused = true;
    propose(30, lead);
    second->paused = true;
    propose(30, lead);
    resume(second);
    propose(30, lead);
    resume(first);
    wait_commit_converge(120);
    group_release();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network_drop),
        cmocka_unit_test(test_network_delay),
        cmocka_unit_test(test_basic_progress),
        cmocka_unit_test(test_progress_with_losses),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_pause),
    };

    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
