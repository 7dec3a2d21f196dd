/* See property.h. */

#include "tests/lib/property.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if PROPERTY_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

/* How to replay the case in hand, ready to be written by a signal handler;
 * empty between properties. */
static char replay_line[256];

static void tell_replay(void)
{
    ssize_t n = write(STDERR_FILENO, replay_line, strlen(replay_line));

    (void)n; /* nothing can be done about a closed stderr */
}

static void on_crash(int sig)
{
    tell_replay();
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

/* An ASSERT ends in SIGABRT; a sanitizer that found something ends the process
 * by itself. */
static void watch_for_crashes(void)
{
    (void)signal(SIGABRT, on_crash);
#if PROPERTY_SANITIZED
    __sanitizer_set_death_callback(tell_replay);
#else
    (void)signal(SIGSEGV, on_crash);
#endif
}

/* A number of the environment, or `fallback`. A number that is none must not
 * pass for a run of the default. */
static uint64_t env_u64(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    char *end;
    uint64_t v;

    if (text == NULL || *text == '\0') {
        return fallback;
    }
    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        fail_msg("%s=%s is not a number", name, text);
    }
    return v;
}

/* What the core calls fatal must not happen in a case that is legal. */
static void fatal_sink(void *ctx, enum log_level level, const char *line)
{
    ASSERT(level == LOG_FATAL);
    property_fail(ctx, __FILE__, __LINE__, "fatal: %s", line);
}

/* Run one case; false if it failed. */
static bool run_case(const struct property_def *def, uint64_t seed, bool shown)
{
    struct property p = {.seed = seed, .shown = shown};

    p.lg = (struct logger){LOG_FATAL, fatal_sink, &p};
    rng_seed(&p.rng, seed);
    if (setjmp(p.env) != 0) {
        return false;
    }
    def->fn(&p);
    return true;
}

void property_run(void **state)
{
    const struct property_def *def = *state;
    uint64_t seed = env_u64("SEED", 1);
    uint64_t cases = env_u64("CASES", PROPERTY_CASES);

    watch_for_crashes();
    for (uint64_t i = 0; i < cases; i++) {
        (void)snprintf(replay_line, sizeof replay_line,
                       "property %s: replay with SEED=%" PRIu64 " CASES=1\n",
                       def->name, seed + i);
        /* A single case is there to be looked at. */
        if (!run_case(def, seed + i, cases == 1)) {
            if (cases > 1) {
                (void)run_case(def, seed + i, true);
            }
            fail_msg("case %" PRIu64 " of %" PRIu64 " failed; %s", i + 1, cases,
                     replay_line);
        }
    }
    replay_line[0] = '\0';
}

uint64_t property_u64(struct property *p)
{
    uint64_t v = rng_next(&p->rng);
    uint64_t power = UINT64_C(1) << rng_below(&p->rng, 64);

    switch (rng_below(&p->rng, 4)) {
    case 0:
        return v % 300;
    case 1:
        return power - 1 + v % 3;
    case 2:
        return v % power;
    }
    return v;
}

void property_say(struct property *p, const char *fmt, ...)
{
    va_list ap;

    ASSERT(p->shown);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

/* Only the run that shows its notes says what failed, at their end. */
void property_fail(struct property *p, const char *file, int line,
                   const char *fmt, ...)
{
    va_list ap;

    if (p->shown) {
        (void)fprintf(stderr, "%s:%d: ", file, line);
        va_start(ap, fmt);
        (void)vfprintf(stderr, fmt, ap);
        va_end(ap);
        (void)fputc('\n', stderr);
    }
    longjmp(p->env, 1);
}
