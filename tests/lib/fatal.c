/* See fatal.h. */

#include "tests/lib/fatal.h"

#include <stdio.h>

static void sink(void *ctx, enum log_level level, const char *line)
{
    struct fatal_trap *t = ctx;

    if (level != LOG_FATAL) {
        return;
    }
    (void)snprintf(t->text, sizeof t->text, "%s", line);
    if (!t->armed) {
        fail_msg("fatal: %s", line);
    }
    longjmp(t->env, 1);
}

void fatal_trap_init(struct fatal_trap *t)
{
    *t = (struct fatal_trap){.lg = {LOG_DEBUG, sink, t}};
}
