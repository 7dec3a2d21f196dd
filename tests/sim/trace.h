/* What happened, for two readers: a hash over all of it, which proves that two
 * runs were the same (I28), and the last lines of it, for a person. */

#ifndef TESTS_SIM_TRACE_H
#define TESTS_SIM_TRACE_H

#include <stdio.h>

#include "src/base/common.h"

#define TRACE_KEPT 64

enum trace_kind {
    TRACE_TICK,
    TRACE_TURN,
    TRACE_WRITE,
    TRACE_SEND,
    TRACE_DELIVER,
    TRACE_DROP,
    TRACE_START,
    TRACE_CRASH,
    TRACE_STOP,
    TRACE_CALL,
    TRACE_ANSWER,
    TRACE_FAULT,
    TRACE_HEAL,
    TRACE_PHASE,
};

/* `what` must be the same text in every run with these numbers. */
struct trace_line {
    uint64_t time;
    enum trace_kind kind;
    uint32_t a;
    uint32_t b;
    const char *what; /* static */
    uint64_t x;
    uint64_t y;
};

struct trace {
    uint64_t hash;
    uint64_t n; /* lines so far */
    FILE *out;  /* every line, as it happens; NULL: none */
    struct trace_line kept[TRACE_KEPT];
};

void trace_init(struct trace *t, FILE *out);
void trace_add(struct trace *t, const struct trace_line *line);

/* The last lines, oldest first. */
void trace_print(const struct trace *t, FILE *out);

#endif /* TESTS_SIM_TRACE_H */
