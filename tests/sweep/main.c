/* sweep files|calls|memory [--jobs N] [--samples DIR] [--quick]: every damage
 * to a file, every failing or last call, or every allocation that fails. Prints
 * the counts per corpus; the status is 1 if anything was lost. A job that dies
 * counts as a failure, too. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/sweep/sweep.h"

#define CORPORA_MAX 128

/* What a job says of one corpus, over the pipe. */
struct line {
    uint64_t number; /* of the corpus; the same in all jobs */
    char name[80];
    struct sweep_counts counts;
};

struct reporter {
    int fd;
    uint64_t n;
};

static void report(void *ctx, const char *name,
                   const struct sweep_counts *counts)
{
    struct reporter *r = ctx;
    struct line line = {.number = r->n++, .counts = *counts};

    (void)snprintf(line.name, sizeof(line.name), "%s", name);
    if (write(r->fd, &line, sizeof(line)) != (ssize_t)sizeof(line)) {
        _exit(2);
    }
}

static void work(const char *what, const struct sweep_job *j, int fd)
{
    struct reporter r = {.fd = fd};

    if (strcmp(what, "files") == 0) {
        sweep_logs(j, report, &r);
        sweep_snapshots(j, report, &r);
    } else if (strcmp(what, "calls") == 0) {
        sweep_calls(j, report, &r);
    } else {
        sweep_memory(j, report, &r);
    }
}

static void print_line(const char *name, const struct sweep_counts *c)
{
    printf("%-56s %8" PRIu64 " same, %7" PRIu64 " repaired, %8" PRIu64
           " refused, %" PRIu64 " lost\n",
           name, c->n[SWEEP_SAME], c->n[SWEEP_REPAIRED], c->n[SWEEP_REFUSED],
           c->n[SWEEP_LOST]);
}

/* Add the jobs' lines up, corpus by corpus, and print them. */
static uint64_t collect(int fd)
{
    static struct line lines[CORPORA_MAX];
    struct sweep_counts sum = {0};
    uint64_t all = 0;
    size_t n = 0;

    for (struct line l; read(fd, &l, sizeof(l)) == (ssize_t)sizeof(l);) {
        ASSERT(l.number < CORPORA_MAX);
        n = l.number >= n ? l.number + 1 : n;
        memcpy(lines[l.number].name, l.name, sizeof(l.name));
        for (int v = 0; v < SWEEP_VERDICTS; v++) {
            lines[l.number].counts.n[v] += l.counts.n[v];
            sum.n[v] += l.counts.n[v];
            all += l.counts.n[v];
        }
    }
    for (size_t i = 0; i < n; i++) {
        print_line(lines[i].name, &lines[i].counts);
    }
    print_line("together", &sum);
    printf("%" PRIu64 " faults, %" PRIu64 " silent losses\n", all,
           sum.n[SWEEP_LOST]);
    return all > 0 ? sum.n[SWEEP_LOST] : 1;
}

static int run(const char *what, struct sweep_job all)
{
    uint64_t n_failed = 0;
    uint64_t lost;
    int pipes[2];

    if (pipe(pipes) != 0) {
        return 2;
    }
    (void)fflush(stdout);
    for (uint64_t i = 0; i < all.n_jobs; i++) {
        if (fork() == 0) {
            all.job = i;
            (void)close(pipes[0]);
            work(what, &all, pipes[1]);
            exit(0); /* so that a leak checker has its turn */
        }
    }
    (void)close(pipes[1]);
    lost = collect(pipes[0]);
    for (int status; wait(&status) > 0;) {
        n_failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0 ? 1 : 0;
    }
    if (n_failed > 0) {
        printf("%" PRIu64 " jobs died\n", n_failed);
    }
    printf("%d passed, %d failed\n", lost + n_failed == 0, lost + n_failed > 0);
    return lost + n_failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct sweep_job all = {.n_jobs = 1};
    bool good = argc >= 2 && (strcmp(argv[1], "files") == 0 ||
                              strcmp(argv[1], "calls") == 0 ||
                              strcmp(argv[1], "memory") == 0);

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            all.quick = true;
        } else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
            all.n_jobs = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--samples") == 0 && i + 1 < argc) {
            all.samples = argv[++i];
        } else {
            good = false;
        }
    }
    if (!good || all.n_jobs == 0) {
        (void)fputs("usage: sweep files|calls|memory [--jobs N] "
                    "[--samples DIR] [--quick]\n",
                    stderr);
        return 2;
    }
    return run(argv[1], all);
}
