/* The shrinker. shrink.h says what it does.
 *
 * Runs of choices are taken out or zeroed, halves first, then quarters, down
 * to single ones; then it begins again until nothing helps. Every attempt runs
 * in a process of its own, as it may well end in an assertion. */

#include "tests/sim/shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/sim/world.h"

/* What a failing run says; "" if it did not fail. */
struct verdict {
    char invariant[16];
    uint64_t steps; /* until it failed */
};

struct attempt {
    struct sim sim;
    int out;
    bool prints;
};

static void on_violation(void *ctx, const char *invariant, const char *text)
{
    struct attempt *a = ctx;
    struct verdict v = {.steps = a->sim.steps};

    (void)snprintf(v.invariant, sizeof(v.invariant), "%s", invariant);
    if (a->prints) {
        trace_print(&a->sim.trace, stdout);
        printf("VIOLATION of %s at step %" PRIu64 ": %s\n", invariant,
               a->sim.steps, text);
        (void)fflush(stdout);
    }
    _exit(write(a->out, &v, sizeof(v)) == (ssize_t)sizeof(v) ? 1 : 2);
}

static void run_child(const uint32_t *values, size_t n, uint64_t steps, int out,
                      bool prints)
{
    struct attempt *a = xcalloc(1, sizeof(*a));

    if (!prints) {
        (void)close(STDERR_FILENO);
    }
    a->out = out;
    a->prints = prints;
    choices_replay(&a->sim.choices, values, n);
    sim_init(&a->sim, on_violation, a, NULL);
    sim_run_all(&a->sim, steps);
    _exit(0);
}

static struct verdict try(const uint32_t *values, size_t n, uint64_t steps,
                          bool prints)
{
    struct verdict v = {.invariant = ""};
    int pipes[2];
    int status;
    pid_t child;

    if (pipe(pipes) != 0) {
        exit(2);
    }
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        run_child(values, n, steps, pipes[1], prints);
    }
    (void)close(pipes[1]);
    if (read(pipes[0], &v, sizeof(v)) != (ssize_t)sizeof(v)) {
        v = (struct verdict){.invariant = ""};
    }
    (void)close(pipes[0]);
    (void)waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        (void)snprintf(v.invariant, sizeof(v.invariant), "signal %d",
                       WTERMSIG(status));
    }
    return v;
}

struct list_of_choices {
    uint32_t *values;
    size_t n;
};

static bool fails_alike(const struct list_of_choices *l, uint64_t steps,
                        const char *invariant)
{
    return strcmp(try(l->values, l->n, steps, false).invariant, invariant) == 0;
}

/* `l` without the `len` choices from `at`, or with zeros there. */
static struct list_of_choices changed(const struct list_of_choices *l,
                                      size_t at, size_t len, bool drop)
{
    struct list_of_choices c = {xmemdup(l->values, l->n * sizeof(*l->values)),
                                l->n};

    if (drop) {
        memmove(c.values + at, c.values + at + len,
                (l->n - at - len) * sizeof(*c.values));
        c.n -= len;
    } else {
        memset(c.values + at, 0, len * sizeof(*c.values));
    }
    return c;
}

static bool is_zero(const struct list_of_choices *l, size_t at, size_t len)
{
    for (size_t i = at; i < at + len; i++) {
        if (l->values[i] != 0) {
            return false;
        }
    }
    return true;
}

/* One pass with runs of `len`; whether something could go. */
static bool pass(struct list_of_choices *l, size_t len, bool drop,
                 uint64_t steps, const char *invariant)
{
    bool any = false;

    for (size_t at = 0; at + len <= l->n;) {
        struct list_of_choices c;

        if (!drop && is_zero(l, at, len)) {
            at += len;
            continue;
        }
        c = changed(l, at, len, drop);
        if (fails_alike(&c, steps, invariant)) {
            xfree(l->values);
            *l = c;
            any = true;
            at += drop ? 0 : len;
        } else {
            xfree(c.values);
            at += len;
        }
    }
    return any;
}

/* Trailing zeros say nothing: a stream that has ended goes on with them. */
static void trim(struct list_of_choices *l)
{
    while (l->n > 0 && l->values[l->n - 1] == 0) {
        l->n--;
    }
}

static size_t n_set(const struct list_of_choices *l)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        n += l->values[i] != 0;
    }
    return n;
}

int shrink(const char *path, uint64_t steps)
{
    struct choices c;
    struct list_of_choices l;
    struct verdict first;
    char out[256];
    bool any = true;
    int rc = choices_load(&c, path);

    if (rc < 0) {
        (void)fprintf(stderr, "%s: %s\n", path, err_str(rc));
        return 2;
    }
    l = (struct list_of_choices){xmemdup(c.values, c.n * sizeof(*c.values)),
                                 c.n};
    first = try(l.values, l.n, steps, false);
    if (first.invariant[0] == '\0') {
        printf("%s does not fail\n", path);
        return 2;
    }
    printf("%s: %s, %zu choices\n", path, first.invariant, l.n);
    while (any) {
        any = false;
        for (size_t len = l.n / 2; len > 0; len /= 2) {
            any = pass(&l, len, true, steps, first.invariant) || any;
            any = pass(&l, len, false, steps, first.invariant) || any;
            trim(&l);
            printf("  runs of %zu: %zu choices, %zu not 0\n", len, l.n,
                   n_set(&l));
            (void)fflush(stdout);
        }
    }
    (void)try(l.values, l.n, steps, true);
    choices_release(&c);
    choices_replay(&c, l.values, l.n);
    c.pos = l.n;
    (void)snprintf(out, sizeof(out), "%s.min", path);
    rc = choices_save(&c, out);
    printf("%s: %zu choices\n", out, l.n);
    choices_release(&c);
    xfree(l.values);
    return rc < 0 ? 2 : 1;
}
