/* sim: whole clusters in one process, in virtual time, from a seed.
 *
 *   sim [--seed N] [--seeds N] [--steps N] [--jobs N] [--trace]
 *   sim --replay FILE [--steps N] [--trace]
 *   sim --shrink FILE [--steps N]
 *   sim --exhaustive DEPTH [--joined] [--secs N] [--jobs N]
 *   sim --pauses
 *   sim --exhaustive DEPTH --events HEX [--settled] [--joined]
 *
 * A run that violates an invariant prints which, the last lines of its trace,
 * the command that repeats it, and writes its choices to sim-SEED.choices. The
 * status is 1 then. The seeds are shared out among --jobs processes. A crash of
 * the program under test ends its job and counts as a violation. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/sim/arena.h"
#include "tests/sim/pauses.h"
#include "tests/sim/scope.h"
#include "tests/sim/shrink.h"
#include "tests/sim/world.h"

struct args {
    uint64_t seed;
    uint64_t seeds;
    uint64_t steps;
    uint64_t jobs;
    const char *replay;
    const char *shrink;
    const char *events;
    uint64_t exhaustive; /* depth; 0: not */
    uint64_t secs;
    bool joined;
    bool settled;
    bool pauses;
    bool trace;
};

/* Of one job. */
struct totals {
    uint64_t runs;
    uint64_t steps;
    uint64_t virtual_us;
    uint64_t writes;
    uint64_t reads;
    uint64_t crashes;
    uint64_t faults;
    uint64_t snapshots;
    uint64_t damaged;
    uint64_t refused;
    uint64_t reused; /* runs */
    uint64_t hash;
};

struct job {
    struct sim sim;
    uint64_t seed;
    uint64_t steps;
};

static void on_violation(void *ctx, const char *invariant, const char *text)
{
    struct job *j = ctx;
    char path[64];

    printf("\n");
    trace_print(&j->sim.trace, stdout);
    printf("\nVIOLATION of %s at step %" PRIu64 ", seed %" PRIu64 ": %s\n",
           invariant, j->sim.steps, j->seed, text);
    (void)snprintf(path, sizeof(path), "sim-%" PRIu64 ".choices", j->seed);
    if (choices_save(&j->sim.choices, path) == 0) {
        printf("choices: %s\n", path);
    }
    printf("again:   make sim SEED=%" PRIu64 " SEEDS=1 STEPS=%" PRIu64 "\n",
           j->seed, j->steps);
    (void)fflush(stdout);
    _exit(1);
}

/* Nothing of a run outlives it (I26). */
static void check_memory(const struct job *j, uint64_t blocks)
{
    if (arena_blocks_in_use() != blocks) {
        printf("\nVIOLATION of I26, seed %" PRIu64 ": the run has left %" PRIu64
               " blocks of memory\n",
               j->seed, arena_blocks_in_use() - blocks);
        (void)fflush(stdout);
        _exit(1);
    }
}

static void run_one(struct job *j, bool trace, struct totals *t)
{
    /* The choices of a replay are there already, and are freed with the rest.
     */
    uint64_t blocks = arena_blocks_in_use() - (j->sim.choices.n > 0 ? 2 : 0);

    sim_init(&j->sim, on_violation, j, trace ? stdout : NULL);
    sim_run_all(&j->sim, j->steps);
    t->runs++;
    t->steps += j->sim.steps;
    t->virtual_us += j->sim.now;
    t->writes += j->sim.n_puts;
    t->reads += j->sim.n_gets;
    t->crashes += j->sim.n_crashes;
    t->faults += j->sim.n_faults;
    t->snapshots += j->sim.n_snapshots;
    t->damaged += j->sim.n_damaged;
    t->refused += j->sim.n_refused;
    t->reused += j->sim.is_id_used_again;
    t->hash ^= j->sim.trace.hash * (2 * j->seed + 1);
    sim_release(&j->sim);
    check_memory(j, blocks);
}

/* `seed` tells the other process which one is running. */
static void run_seeds(const struct args *a, uint64_t job, int out,
                      uint64_t *seed)
{
    struct totals t = {0};
    struct job *j = xcalloc(1, sizeof(*j));

    for (uint64_t i = job; i < a->seeds; i += a->jobs) {
        memset(&j->sim, 0, sizeof(j->sim));
        *seed = j->seed = a->seed + i;
        j->steps = a->steps;
        choices_seed(&j->sim.choices, j->seed);
        run_one(j, a->trace, &t);
    }
    xfree(j);
    if (write(out, &t, sizeof(t)) != (ssize_t)sizeof(t)) {
        _exit(2);
    }
}

static void add(struct totals *sum, const struct totals *t)
{
    sum->runs += t->runs;
    sum->steps += t->steps;
    sum->virtual_us += t->virtual_us;
    sum->writes += t->writes;
    sum->reads += t->reads;
    sum->crashes += t->crashes;
    sum->faults += t->faults;
    sum->snapshots += t->snapshots;
    sum->damaged += t->damaged;
    sum->refused += t->refused;
    sum->reused += t->reused;
    sum->hash ^= t->hash;
}

static double seconds(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A process, and the seed that it is at; in memory that all share. */
struct worker {
    pid_t pid;
    uint64_t seed;
};

static struct worker *start_workers(const struct args *a, int out)
{
    size_t size = a->jobs * sizeof(struct worker);
    struct worker *workers = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (workers == MAP_FAILED) {
        exit(2);
    }
    (void)fflush(stdout);
    for (uint64_t job = 0; job < a->jobs; job++) {
        pid_t pid = fork();

        if (pid == 0) {
            run_seeds(a, job, out, &workers[job].seed);
            exit(0); /* so that a leak checker reads its turn */
        }
        workers[job].pid = pid;
    }
    return workers;
}

/* The number of processes that did not end well. */
static size_t wait_for(const struct worker *workers, size_t n)
{
    size_t n_failed = 0;
    int status;

    for (size_t i = 0; i < n; i++) {
        if (waitpid(workers[i].pid, &status, 0) < 0) {
            n_failed++;
            continue;
        }
        if (WIFSIGNALED(status)) {
            printf("seed %" PRIu64 ": ended by signal %d\n", workers[i].seed,
                   WTERMSIG(status));
        }
        n_failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    return n_failed;
}

static int run_all(const struct args *a)
{
    struct totals sum = {0};
    double begun = seconds();
    double took;
    struct worker *workers;
    int pipes[2];
    size_t n_failed;

    if (pipe(pipes) != 0) {
        return 2;
    }
    workers = start_workers(a, pipes[1]);
    (void)close(pipes[1]);
    for (struct totals t; read(pipes[0], &t, sizeof(t)) == sizeof(t);) {
        add(&sum, &t);
    }
    n_failed = wait_for(workers, a->jobs);
    (void)munmap(workers, a->jobs * sizeof(*workers));
    took = seconds() - begun;
    printf("%" PRIu64 " seeds, %" PRIu64 " steps, %.0f steps/s; %" PRIu64
           " writes and %" PRIu64 " reads answered, %" PRIu64
           " crashes, %" PRIu64 " other faults, %" PRIu64
           " snapshots sent, %" PRIu64 " damaged disks of which %" PRIu64
           " were refused, %" PRIu64 " runs stopped by an id used again\n",
           sum.runs, sum.steps, (double)sum.steps / took, sum.writes, sum.reads,
           sum.crashes, sum.faults, sum.snapshots, sum.damaged, sum.refused,
           sum.reused);
    printf(
        "%.0f s simulated in %.1f s, %.0f x real time; trace hash %016" PRIx64
        "\n",
        (double)sum.virtual_us / 1e6, took, (double)sum.virtual_us / 1e6 / took,
        sum.hash);
    printf("%" PRIu64 " passed, %zu failed\n", sum.runs, n_failed);
    return n_failed == 0 ? 0 : 1;
}

static int replay(const struct args *a)
{
    struct totals t = {0};
    struct job *j = xcalloc(1, sizeof(*j));
    int rc = choices_load(&j->sim.choices, a->replay);

    if (rc < 0) {
        (void)fprintf(stderr, "%s: %s\n", a->replay, err_str(rc));
        return 2;
    }
    j->steps = a->steps;
    run_one(j, a->trace, &t);
    printf("no violation in %" PRIu64 " steps\n", t.steps);
    xfree(j);
    return 0;
}

static int usage(void)
{
    (void)fputs("usage: sim [--seed N] [--seeds N] [--steps N] [--jobs N] "
                "[--trace] [--replay FILE] [--shrink FILE] "
                "[--exhaustive DEPTH [--secs N] [--joined] "
                "[--events HEX [--settled]]] [--pauses]\n",
                stderr);
    return 2;
}

static bool parse(struct args *a, int argc, char **argv)
{
    struct {
        const char *name;
        uint64_t *number;
        const char **text;
    } flags[] = {
        {"--seed", &a->seed, NULL},     {"--seeds", &a->seeds, NULL},
        {"--steps", &a->steps, NULL},   {"--jobs", &a->jobs, NULL},
        {"--replay", NULL, &a->replay}, {"--shrink", NULL, &a->shrink},
        {"--secs", &a->secs, NULL},     {"--exhaustive", &a->exhaustive, NULL},
        {"--events", NULL, &a->events},
    };
    struct {
        const char *name;
        bool *is_set;
    } switches[] = {{"--trace", &a->trace},
                    {"--joined", &a->joined},
                    {"--settled", &a->settled},
                    {"--pauses", &a->pauses}};

    for (int i = 1; i < argc; i++) {
        size_t f = 0;
        size_t w = 0;
        char *end;

        while (w < ARRAY_LEN(switches) &&
               strcmp(argv[i], switches[w].name) != 0) {
            w++;
        }
        if (w < ARRAY_LEN(switches)) {
            *switches[w].is_set = true;
            continue;
        }
        while (f < ARRAY_LEN(flags) && strcmp(argv[i], flags[f].name) != 0) {
            f++;
        }
        if (f == ARRAY_LEN(flags) || ++i == argc) {
            return false;
        }
        if (flags[f].text != NULL) {
            *flags[f].text = argv[i];
            continue;
        }
        *flags[f].number = strtoull(argv[i], &end, 10);
        if (*end != '\0' || end == argv[i]) {
            return false;
        }
    }
    return a->jobs > 0 && a->exhaustive <= SCOPE_DEPTH_MAX;
}

int main(int argc, char **argv)
{
    struct args a = {.seed = 1, .seeds = 1, .steps = 20000, .jobs = 1};

    if (!parse(&a, argc, argv)) {
        return usage();
    }
    if (a.pauses) {
        return pauses_run();
    }
    if (a.exhaustive > 0) {
        return scope_run(&(struct scope_options){
            .depth = (uint32_t)a.exhaustive,
            .jobs = a.jobs,
            .secs = a.secs,
            .joined = a.joined,
            .replay = a.events,
            .start = a.settled ? SCOPE_SETTLED : SCOPE_ELECTED,
        });
    }
    if (a.shrink != NULL) {
        return shrink(a.shrink, a.steps);
    }
    return a.replay != NULL ? replay(&a) : run_all(&a);
}
