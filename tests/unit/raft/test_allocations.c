/* Goal: in steady state a proposal costs at most two allocations; and a Ready
 * sets every field of the struct, which nobody wipes before.
 * Method: this program has its own functions of alloc.h, which count. Groups
 * joined by direct calls take proposals turn by turn and compact their logs now
 * and then; the most that any turn of the second half takes is compared with
 * the bound. tests/bench/bench_core.c measures the same at full size. */

#include <stdarg.h>

#include "src/base/alloc.h"
#include "src/raft/memory_storage.h"
#include "src/raft/rawnode.h"
#include "tests/lib/cmocka.h"

#define ALLOCATIONS_MAX 2 /* for one proposal */
#define NODES_MAX       3
#define PROPOSALS       4096
#define KEPT_LOG        256 /* entries that stay at a compaction */

/* --- in place of alloc.c: counted, and never NULL as there --- */

static size_t allocations;

static void *counted(void *p)
{
    allocations++;
    assert_non_null(p);
    return p;
}

void *xmalloc(size_t size)
{
    return counted(malloc(size + (size == 0)));
}

void *xcalloc(size_t n, size_t size)
{
    return counted(calloc(n + (n == 0), size));
}

void *xrealloc_array(void *p, size_t n, size_t size)
{
    return counted(realloc(p, n * size));
}

char *xstrdup(const char *s)
{
    return s == NULL ? NULL : xmemdup(s, strlen(s) + 1);
}

void *xmemdup(const void *p, size_t len)
{
    void *copy = xmalloc(len);

    if (len > 0) {
        memcpy(copy, p, len);
    }
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    assert_in_range(len, 0, sizeof(text) - 1);
    return xstrdup(text);
}

void xfree(void *p)
{
    free(p);
}

size_t grow_cap(size_t cap, size_t need)
{
    return max_u64(max_u64(cap * 2, 16), need);
}

/* --- a group --- */

struct group {
    size_t n;
    struct rawnode *nodes[NODES_MAX];
    struct memory_storage storages[NODES_MAX];
};

static void start_node(struct group *g, size_t i)
{
    struct memory_storage *ms = &g->storages[i];
    struct raft_snapshot *members = raft_snapshot_new();

    for (uint64_t id = 1; id <= g->n; id++) {
        id_list_push(&members->conf_state.voters, id);
    }
    memory_storage_init(ms, NULL);
    assert_int_equal(memory_storage_apply_snapshot(ms, members), 0);
    raft_snapshot_unref(members);
    g->nodes[i] = rawnode_new(&(struct raft_config){
        .id = i + 1,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .storage = &ms->base,
        .max_size_per_msg = 1024 * 1024,
        .max_inflight_msgs = 256,
        .seed = i + 1,
    });
}

static void work(struct group *g, size_t i)
{
    struct raft_ready rd;

    rawnode_ready(g->nodes[i], &rd);
    if (rd.hard_state != NULL) {
        memory_storage_set_hard_state(&g->storages[i], rd.hard_state);
    }
    memory_storage_append(&g->storages[i], rd.entries, rd.n_entries);
    for (size_t k = 0; k < rd.n_messages; k++) {
        const struct raft_message *m = &rd.messages[k];

        assert_int_equal(rawnode_step(g->nodes[m->to - 1], m), 0);
    }
    rawnode_advance(g->nodes[i]);
}

static void settle(struct group *g)
{
    for (size_t i = 0, idle = 0; idle < g->n; i = (i + 1) % g->n) {
        idle++;
        if (rawnode_has_ready(g->nodes[i])) {
            work(g, i);
            idle = 0;
        }
    }
}

static void start(struct group *g, size_t n)
{
    *g = (struct group){.n = n};
    for (size_t i = 0; i < n; i++) {
        start_node(g, i);
    }
    assert_int_equal(rawnode_campaign(g->nodes[0]), 0);
    settle(g);
}

static void stop(struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        rawnode_free(g->nodes[i]);
        memory_storage_release(&g->storages[i]);
    }
}

/* The application's business, not counted: it costs an entry of its own. */
static void compact(struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct memory_storage *ms = &g->storages[i];
        uint64_t last = memory_storage_last_index(ms);

        if (last - memory_storage_first_index(ms) > 2 * KEPT_LOG) {
            assert_int_equal(memory_storage_compact(ms, last - KEPT_LOG), 0);
        }
    }
}

static void propose(struct group *g, size_t batch, struct bytes data)
{
    for (size_t i = 0; i < batch; i++) {
        assert_int_equal(rawnode_propose(g->nodes[0], raft_entry_new(0, data)),
                         0);
    }
    settle(g);
}

static void test_steady_state(void **state)
{
    static const struct {
        const char *name;
        size_t nodes;
        size_t batch; /* proposals that share a Ready */
        size_t len;
    } cases[] = {
        {"one node", 1, 1, 3},
        {"one node, no data", 1, 1, 0},
        {"one node, large values", 1, 1, 4096},
        {"one node, batches", 1, 64, 3},
        {"three nodes", 3, 1, 8},
        {"three nodes, large values", 3, 1, 4096},
        {"three nodes, batches", 3, 64, 8},
    };
    static const uint8_t value[4096];

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        size_t turns = PROPOSALS / cases[c].batch;
        size_t most = 0;
        struct group g;

        start(&g, cases[c].nodes);
        for (size_t i = 0; i < turns; i++) {
            size_t before = allocations;

            propose(&g, cases[c].batch, (struct bytes){value, cases[c].len});
            if (i >= turns / 2) {
                most = max_u64(most, allocations - before);
            }
            compact(&g);
        }
        for (size_t i = 0; i < g.n; i++) {
            assert_int_equal(memory_storage_last_index(&g.storages[i]),
                             turns * cases[c].batch + 1);
        }
        stop(&g);
        if (most > ALLOCATIONS_MAX * cases[c].batch) {
            fail_msg("%s: %zu allocations for %zu proposals", cases[c].name,
                     most, cases[c].batch);
        }
        assert_true(most >= cases[c].batch); /* or nothing was counted */
    }
}

/* The struct is the caller's, used again and again, and not wiped before. */
static void test_ready_sets_every_field(void **state)
{
    struct raft_ready clean;
    struct raft_ready dirty;
    struct group g;

    (void)state;
    start(&g, 1);
    memset(&clean, 0, sizeof(clean));
    memset(&dirty, 0xff, sizeof(dirty));
    rawnode_ready(g.nodes[0], &clean);
    rawnode_advance(g.nodes[0]);
    rawnode_ready(g.nodes[0], &dirty);
    rawnode_advance(g.nodes[0]);
    assert_null(dirty.soft_state);
    assert_null(dirty.hard_state);
    assert_null(dirty.snapshot);
    assert_false(dirty.must_sync);
    assert_ptr_equal(dirty.read_states, clean.read_states);
    assert_ptr_equal(dirty.entries, clean.entries);
    assert_ptr_equal(dirty.committed_entries, clean.committed_entries);
    assert_int_equal(dirty.n_read_states, 0);
    assert_int_equal(dirty.n_entries, 0);
    assert_int_equal(dirty.n_committed_entries, 0);
    assert_int_equal(dirty.n_messages, 0);
    stop(&g);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady_state),
        cmocka_unit_test(test_ready_sets_every_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
