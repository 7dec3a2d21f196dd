/* Goal: the judge says yes to every history that has an order, and no to every
 * other [reliability 8]. Method: histories whose verdicts are known, histories
 * made from a real order and then falsified, reads of replicas that lag behind
 * taken for linearizable ones, and small histories of any kind beside a search
 * that tries every order. */

#include "tests/lib/linear.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/history.h"
#include "tests/lib/jsonl.h"

static struct bytes text(const char *s)
{
    return (struct bytes){.data = (const uint8_t *)s, .len = strlen(s)};
}

/* --- files --- */

static enum linear_verdict judge_file(const char *path)
{
    struct history h;
    struct linear_report r;
    struct errmsg em;

    history_init(&h);
    if (history_load(&h, path, &em) < 0) {
        fail_msg("%s", em.text);
    }
    linear_judge(h.linear, LINEAR_STEPS_MAX, &r);
    history_release(&h);
    return r.verdict;
}

/* Judge what the directory's verdicts.txt lists, and compare; returns the
 * number of histories, 0 if there is no such file. */
static size_t check_directory(const char *dir)
{
    char *list = xasprintf("%s/verdicts.txt", dir);
    FILE *f = fopen(list, "r");
    char name[256];
    char verdict[32];
    size_t n = 0;

    if (f == NULL) {
        printf("skipped: no histories at %s\n", list);
        xfree(list);
        return 0;
    }
    while (fscanf(f, "%255s %31s", name, verdict) == 2) {
        char *path = xasprintf("%s/%s", dir, name);
        bool linearizable = strcmp(verdict, "linearizable") == 0;
        if (judge_file(path) != (linearizable ? LINEAR_OK : LINEAR_VIOLATION)) {
            fail_msg("%s is %s", path, verdict);
        }
        xfree(path);
        n++;
    }
    fclose(f);
    xfree(list);
    return n;
}

static void test_own_histories(void **state)
{
    (void)state;

    assert_int_equal(check_directory("tests/linear/histories"), 13);
}

static void test_public_histories(void **state)
{
    (void)state;
    char *dir = shared_path("testdata/histories");
    size_t n = check_directory(dir);

    assert_true(n == 0 || n == 108);
    xfree(dir);
}

static void test_lines_that_are_no_events(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *lines[2];
        const char *why;
    } cases[] = {
        {"no process", {"put /a v"}, "not an event"},
        {"no key", {"1 invoke get"}, "not an event"},
        {"no value", {"1 invoke put /a"}, "not an event"},
        {"one word more", {"1 invoke get /a b"}, "not an event"},
        {"unknown type", {"1 begin get /a"}, "not an event"},
        {"unknown call", {"1 invoke post /a"}, "not an event"},
        {"large process", {"1000000 invoke get /a"}, "not an event"},
        {"nothing begun", {"1 ok put"}, "has begun nothing"},
        {"busy", {"1 invoke get /a", "1 invoke get /a"}, "is busy"},
        {"ok of what", {"1 invoke get /a", "1 ok"}, "has not begun"},
        {"ok of another kind",
         {"1 invoke get /a", "1 ok put"},
         "has not begun"},
        {"half a pair",
         {"INFO  jepsen.util - 2 :invoke :cas [3"},
         "not an event"},
        {"append of nothing",
         {"{:process 0, :type :invoke, :f :append, :key \"0\", :value \"\"}"},
         "begins nothing"},
        {"text that ends nowhere",
         {"{:process 0, :type :invoke, :f :get, :key \"0"},
         "not an event"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct history h;
        struct errmsg em;
        int rc = 0;
        history_init(&h);
        for (size_t k = 0; k < 2 && rc == 0 && cases[i].lines[k] != NULL; k++) {
            rc = history_tell(&h, cases[i].lines[k], &em);
        }
        if (rc != ERR_MALFORMED || strstr(em.text, cases[i].why) == NULL) {
            fail_msg("%s: %d", cases[i].name, rc);
        }
        history_release(&h);
    }
}

static void test_file_that_is_missing(void **state)
{
    (void)state;
    struct history h;
    struct errmsg em;

    history_init(&h);
    assert_true(history_load(&h, "tests/linear/histories/none", &em) < 0);
    assert_non_null(strstr(em.text, "none"));
    history_release(&h);
}

/* --- what the report says --- */

static void test_report_names_key_and_operation(void **state)
{
    (void)state;
    struct linear *l = linear_new();
    struct linear_report r;

    linear_return_done(l, linear_call_write(l, text("/good"), text("1")));
    linear_return_done(l, linear_call_write(l, text("/bad"), text("2")));
    size_t op = linear_call_read(l, text("/bad"));
    linear_return_value(l, op, text("3"));
    linear_judge(l, LINEAR_STEPS_MAX, &r);
    assert_int_equal(r.verdict, LINEAR_VIOLATION);
    assert_int_equal(r.op, op);
    assert_int_equal(r.key.len, 4);
    assert_memory_equal(r.key.data, "/bad", 4);
    assert_int_equal(r.n_keys, 2);
    assert_int_equal(r.n_ops, 3);
    linear_free(l);
}

static void test_empty_is_not_absent(void **state)
{
    (void)state;
    struct linear *l = linear_new();
    struct linear_report r;

    linear_return_value(l, linear_call_read(l, text("/k")), text(""));
    linear_judge(l, LINEAR_STEPS_MAX, &r);
    assert_int_equal(r.verdict, LINEAR_VIOLATION);
    linear_free(l);
}

static void test_history_goes_on_after_a_verdict(void **state)
{
    (void)state;
    struct linear *l = linear_new();
    struct linear_report r;

    linear_judge(l, LINEAR_STEPS_MAX, &r);
    assert_int_equal(r.verdict, LINEAR_OK);
    size_t op = linear_call_write(l, text("/k"), text("v"));
    linear_return_value(l, linear_call_read(l, text("/k")), text("v"));
    linear_judge(l, LINEAR_STEPS_MAX, &r);
    assert_int_equal(r.verdict, LINEAR_OK);
    linear_return_none(l, op);
    linear_judge(l, LINEAR_STEPS_MAX, &r);
    assert_int_equal(r.verdict, LINEAR_VIOLATION);
    linear_free(l);
}

/* Twelve appends at once, and a read that saw them in the reverse order and one
 * that nobody made. */
static void hard_key(struct linear *l, const char *key)
{
    static const char *const letters[] = {"a", "b", "c", "d", "e", "f",
                                          "g", "h", "i", "j", "k", "l"};
    size_t ops[ARRAY_LEN(letters)];

    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        ops[i] = linear_call_append(l, text(key), text(letters[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        linear_return_done(l, ops[i]);
    }
    linear_return_value(l, linear_call_read(l, text(key)),
                        text("lkjihgfedcbax"));
}

static void test_undecided_when_steps_run_out(void **state)
{
    (void)state;
    struct linear *l = linear_new();
    struct linear_report r;

    hard_key(l, "/hard");
    linear_judge(l, 20000, &r);
    assert_int_equal(r.verdict, LINEAR_UNDECIDED);
    assert_memory_equal(r.key.data, "/hard", 5);
    assert_int_equal(r.steps_worst, 20000);
    linear_free(l);
}

static void test_violation_outweighs_undecided(void **state)
{
    (void)state;
    struct linear *l = linear_new();
    struct linear_report r;

    hard_key(l, "/hard");
    linear_return_value(l, linear_call_read(l, text("/easy")), text("?"));
    hard_key(l, "/hard too");
    linear_judge(l, 20000, &r);
    assert_int_equal(r.verdict, LINEAR_VIOLATION);
    assert_memory_equal(r.key.data, "/easy", 5);
    linear_free(l);
}

/* --- histories made from a real order --- */

#define N_OPS     80
#define N_KEYS    2
#define N_CLIENTS 5

enum fate {
    CALLED, /* has yet to happen */
    HAPPENED,
    RETURNED,
    GHOST, /* given up by its client, may yet happen */
    REFUSED,
};

struct made_op {
    bool is_read;
    int key;
    int value; /* 0: absent */
    enum fate fate;
    size_t call_at;
    size_t return_at; /* 0: none */
};

struct made {
    struct made_op ops[N_OPS];
    size_t n;
    size_t n_events;
    int map[N_KEYS];
};

static void happen(struct made *m, struct made_op *o)
{
    if (o->is_read) {
        o->value = m->map[o->key];
    } else {
        m->map[o->key] = o->value;
    }
}

static struct made_op *call_op(struct made *m, struct rng *rng)
{
    struct made_op *o = &m->ops[m->n++];

    *o = (struct made_op){.is_read = rng_below(rng, 2) == 0,
                          .key = (int)rng_below(rng, N_KEYS),
                          .value = (int)m->n,
                          .call_at = ++m->n_events};
    return o;
}

/* Let a client do what it does next; NULL if it is idle then. */
static struct made_op *client_step(struct made *m, struct rng *rng,
                                   struct made_op *o)
{
    uint64_t luck = rng_below(rng, 20);

    if (o == NULL) {
        return m->n < N_OPS ? call_op(m, rng) : NULL;
    }
    if (luck == 0) {
        o->fate = o->fate == CALLED ? GHOST : o->fate;
        return NULL;
    }
    if (o->fate == CALLED && luck == 1) {
        o->fate = REFUSED;
        o->return_at = ++m->n_events;
        return NULL;
    }
    if (o->fate == CALLED) {
        happen(m, o);
        o->fate = HAPPENED;
        return o;
    }
    o->fate = RETURNED;
    o->return_at = ++m->n_events;
    return NULL;
}

static void make_history(struct made *m, struct rng *rng)
{
    struct made_op *clients[N_CLIENTS] = {NULL};
    size_t n_busy;

    *m = (struct made){0};
    do {
        size_t i = rng_below(rng, N_CLIENTS);
        clients[i] = client_step(m, rng, clients[i]);
        struct made_op *o = &m->ops[rng_below(rng, m->n + 1) % N_OPS];
        if (o->fate == GHOST && o->call_at != 0 && rng_below(rng, 4) == 0) {
            happen(m, o);
            o->fate = HAPPENED;
        }
        n_busy = 0;
        for (i = 0; i < N_CLIENTS; i++) {
            n_busy += clients[i] != NULL;
        }
    } while (m->n < N_OPS || n_busy > 0);
}

/* The value `v` as text in one of two places. */
static struct bytes made_value(int v, char out[16])
{
    snprintf(out, 16, "v%d", v);
    return v == 0 ? (struct bytes){0} : text(out);
}

static void tell_end(struct linear *l, const struct made_op *o, size_t op)
{
    char value[16];

    if (o->fate == REFUSED) {
        linear_return_none(l, op);
    } else if (o->is_read) {
        linear_return_value(l, op, made_value(o->value, value));
    } else {
        linear_return_done(l, op);
    }
}

static enum linear_verdict judge_made(const struct made *m)
{
    static const char *const keys[N_KEYS] = {"/a", "/b"};
    struct linear *l = linear_new();
    struct linear_report r;
    size_t number[N_OPS];
    char value[16];

    for (size_t at = 1; at <= m->n_events; at++) {
        for (size_t i = 0; i < m->n; i++) {
            const struct made_op *o = &m->ops[i];
            if (o->call_at == at && o->is_read) {
                number[i] = linear_call_read(l, text(keys[o->key]));
            } else if (o->call_at == at) {
                number[i] = linear_call_write(l, text(keys[o->key]),
                                              made_value(o->value, value));
            } else if (o->return_at == at) {
                tell_end(l, o, number[i]);
            }
        }
    }
    linear_judge(l, LINEAR_STEPS_MAX, &r);
    linear_free(l);
    return r.verdict;
}

static bool is_write(const struct made_op *o, int key)
{
    return !o->is_read && o->key == key && o->fate == RETURNED;
}

/* A value that was overwritten before `read` began: that of a write which
 * ended before another began and ended. -1 if there is none. */
static int overwritten_value(const struct made *m, const struct made_op *read)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct made_op *over = &m->ops[i];
        if (!is_write(over, read->key) || over->return_at > read->call_at) {
            continue;
        }
        for (size_t k = 0; k < m->n; k++) {
            if (is_write(&m->ops[k], read->key) &&
                m->ops[k].return_at < over->call_at) {
                return m->ops[k].value;
            }
        }
    }
    return -1;
}

/* Replace what one read saw; false if no read comes so late. */
static bool falsify(struct made *m, struct rng *rng)
{
    size_t from = rng_below(rng, m->n);

    for (size_t n = 0; n < m->n; n++) {
        struct made_op *o = &m->ops[(from + n) % m->n];
        int value =
            o->is_read && o->fate == RETURNED ? overwritten_value(m, o) : -1;
        if (value >= 0) {
            assert_int_not_equal(o->value, value);
            o->value = value;
            return true;
        }
    }
    return false;
}

static void test_real_orders_pass_and_falsified_ones_do_not(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct rng rng;
        struct made m;
        rng_seed(&rng, seed);
        make_history(&m, &rng);
        if (judge_made(&m) != LINEAR_OK) {
            fail_msg("seed %" PRIu64 " is not accepted", seed);
        }
        assert_true(falsify(&m, &rng));
        if (judge_made(&m) != LINEAR_VIOLATION) {
            fail_msg("seed %" PRIu64 ", falsified, is not rejected", seed);
        }
    }
}

/* --- local reads --- */

/* One leader and two followers, of which one may be cut off: it answers local
 * reads from what it had. */
struct replicas {
    struct linear *l;
    int maps[3][N_KEYS];
    int cut; /* that node, or -1 */
    int n_stale;
};

static void replicas_step(struct replicas *r, struct rng *rng, int i)
{
    static const char *const keys[N_KEYS] = {"/a", "/b"};
    size_t key = rng_below(rng, N_KEYS);
    size_t node = rng_below(rng, 3);
    char value[16];

    if (rng_below(rng, 2) == 0) {
        for (int n = 0; n < 3; n++) {
            r->maps[n][key] = n == r->cut ? r->maps[n][key] : i;
        }
        linear_return_done(r->l, linear_call_write(r->l, text(keys[key]),
                                                   made_value(i, value)));
        return;
    }
    r->n_stale += r->maps[node][key] != r->maps[0][key];
    linear_return_value(r->l, linear_call_read(r->l, text(keys[key])),
                        made_value(r->maps[node][key], value));
}

static enum linear_verdict judge_replicas(uint64_t seed, int cut, int *n_stale)
{
    struct replicas r = {.l = linear_new(), .cut = -1};
    struct linear_report report;
    struct rng rng;

    rng_seed(&rng, seed);
    for (int i = 1; i <= 100; i++) {
        r.cut = i > 30 && i < 70 ? cut : -1;
        if (r.cut < 0) { /* it has caught up */
            memcpy(r.maps[2], r.maps[0], sizeof(r.maps[0]));
        }
        replicas_step(&r, &rng, i);
    }
    linear_judge(r.l, LINEAR_STEPS_MAX, &report);
    linear_free(r.l);
    *n_stale = r.n_stale;
    return report.verdict;
}

static void test_local_reads_under_cuts_are_rejected(void **state)
{
    (void)state;
    int n_stale;

    for (uint64_t seed = 0; seed < 100; seed++) {
        assert_int_equal(judge_replicas(seed, -1, &n_stale), LINEAR_OK);
        assert_int_equal(n_stale, 0);
        assert_int_equal(judge_replicas(seed, 2, &n_stale), LINEAR_VIOLATION);
        assert_true(n_stale > 0);
    }
}

/* --- beside every order --- */

#define TINY_OPS 6

enum tiny_kind {
    TINY_READ,
    TINY_WRITE,
    TINY_CAS,
    TINY_UNEQUAL,
};

struct tiny_op {
    enum tiny_kind kind;
    int from;
    int value;
    bool is_open;
    size_t call_at;
    size_t return_at;
};

static bool tiny_happens(const struct tiny_op *o, int *reg)
{
    switch (o->kind) {
    case TINY_READ:
        return o->value == *reg;
    case TINY_UNEQUAL:
        return o->from != *reg;
    case TINY_CAS:
        if (o->from != *reg) {
            return false;
        }
        *reg = o->value;
        return true;
    case TINY_WRITE:
        *reg = o->value;
        return true;
    }
    UNREACHABLE();
}

/* Whether the operations that are not in `done` can follow in some order. */
static bool tiny_order(const struct tiny_op *ops, unsigned done, int reg)
{
    bool complete = true;

    for (unsigned i = 0; i < TINY_OPS; i++) {
        complete = complete && (done >> i & 1 || ops[i].is_open);
    }
    for (unsigned i = 0; i < TINY_OPS && !complete; i++) {
        int after = reg;
        bool first = !(done >> i & 1);
        for (unsigned k = 0; k < TINY_OPS; k++) {
            first = first && (done >> k & 1 || ops[k].is_open ||
                              ops[k].return_at > ops[i].call_at);
        }
        complete = first && tiny_happens(&ops[i], &after) &&
                   tiny_order(ops, done | 1u << i, after);
    }
    return complete;
}

/* Few values, so that many histories are linearizable and some need thought. */
static void tiny_make(struct tiny_op ops[TINY_OPS], struct rng *rng)
{
    size_t at = 0;
    size_t n_called = 0;
    size_t n_ended = 0;

    while (n_ended < TINY_OPS) {
        if (n_called < TINY_OPS &&
            (n_called - n_ended == 0 || rng_below(rng, 2) == 0)) {
            ops[n_called++] =
                (struct tiny_op){.kind = (enum tiny_kind)rng_below(rng, 4),
                                 .from = (int)rng_below(rng, 3),
                                 .value = (int)rng_below(rng, 3),
                                 .call_at = at++};
            continue;
        }
        size_t i = rng_below(rng, n_called);
        if (ops[i].return_at == 0) {
            ops[i].return_at = at++;
            ops[i].is_open =
                ops[i].kind != TINY_UNEQUAL && rng_below(rng, 4) == 0;
            n_ended++;
        }
    }
}

static size_t tiny_call(struct linear *l, const struct tiny_op *o)
{
    char value[16];
    char from[16];

    switch (o->kind) {
    case TINY_READ:
        return linear_call_read(l, text("/k"));
    case TINY_WRITE:
        return linear_call_write(l, text("/k"), made_value(o->value, value));
    case TINY_CAS:
    case TINY_UNEQUAL:
        return linear_call_cas(l, text("/k"), made_value(o->from, from),
                               made_value(o->value, value));
    }
    UNREACHABLE();
}

static void tiny_return(struct linear *l, const struct tiny_op *o, size_t op)
{
    char value[16];

    if (o->is_open) {
        return;
    }
    if (o->kind == TINY_READ) {
        linear_return_value(l, op, made_value(o->value, value));
    } else if (o->kind == TINY_UNEQUAL) {
        linear_return_unequal(l, op);
    } else {
        linear_return_done(l, op);
    }
}

static enum linear_verdict judge_tiny(const struct tiny_op ops[TINY_OPS])
{
    struct linear *l = linear_new();
    struct linear_report r;
    size_t number[TINY_OPS];

    for (size_t at = 0; at < 2 * TINY_OPS; at++) {
        for (size_t i = 0; i < TINY_OPS; i++) {
            if (ops[i].call_at == at) {
                number[i] = tiny_call(l, &ops[i]);
            } else if (ops[i].return_at == at) {
                tiny_return(l, &ops[i], number[i]);
            }
        }
    }
    linear_judge(l, LINEAR_STEPS_MAX, &r);
    linear_free(l);
    return r.verdict;
}

static void test_agrees_with_a_search_of_every_order(void **state)
{
    (void)state;
    size_t n_ok = 0;

    for (uint64_t seed = 0; seed < 20000; seed++) {
        struct tiny_op ops[TINY_OPS];
        struct rng rng;
        rng_seed(&rng, seed);
        tiny_make(ops, &rng);
        bool want = tiny_order(ops, 0, 0);
        if ((judge_tiny(ops) == LINEAR_OK) != want) {
            fail_msg("seed %" PRIu64 " is%s linearizable", seed,
                     want ? "" : " not");
        }
        n_ok += want;
    }
    /* Both kinds were there. */
    assert_true(n_ok > 1000 && n_ok < 19000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_histories),
        cmocka_unit_test(test_public_histories),
        cmocka_unit_test(test_lines_that_are_no_events),
        cmocka_unit_test(test_file_that_is_missing),
        cmocka_unit_test(test_report_names_key_and_operation),
        cmocka_unit_test(test_empty_is_not_absent),
        cmocka_unit_test(test_history_goes_on_after_a_verdict),
        cmocka_unit_test(test_undecided_when_steps_run_out),
        cmocka_unit_test(test_violation_outweighs_undecided),
        cmocka_unit_test(test_real_orders_pass_and_falsified_ones_do_not),
        cmocka_unit_test(test_local_reads_under_cuts_are_rejected),
        cmocka_unit_test(test_agrees_with_a_search_of_every_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
