/* The trace of a run. trace.h has the contract. */

#include "tests/sim/trace.h"

#include <inttypes.h>

void trace_init(struct trace *t, FILE *out)
{
    *t = (struct trace){.hash = UINT64_C(0xcbf29ce484222325), .out = out};
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static void print_line(const struct trace_line *l, FILE *out)
{
    (void)fprintf(out, "%10" PRIu64 " us  ", l->time);
    switch (l->kind) {
    case TRACE_TICK:
        (void)fprintf(out, "tick      node %u", l->a);
        break;
    case TRACE_TURN:
        (void)fprintf(out, "turn      node %u", l->a);
        break;
    case TRACE_WRITE:
        (void)fprintf(out, "written   node %u, %s, rc %d", l->a,
                      l->what == NULL ? "log" : l->what, (int)l->x);
        break;
    case TRACE_SEND:
    case TRACE_DELIVER:
    case TRACE_DROP:
        (void)fprintf(out, "%s %u -> %u %s term %" PRIu64 " index %" PRIu64,
                      l->kind == TRACE_SEND      ? "send     "
                      : l->kind == TRACE_DELIVER ? "deliver  "
                                                 : "lose     ",
                      l->a, l->b, l->what, l->x, l->y);
        break;
    case TRACE_START:
        (void)fprintf(out, "start     node %u, rc %d", l->a, (int)l->x);
        break;
    case TRACE_CRASH:
        (void)fprintf(out, "crash     node %u, %s", l->a, l->what);
        break;
    case TRACE_STOP:
        (void)fprintf(out, "stop      node %u, %s", l->a, l->what);
        break;
    case TRACE_CALL:
        (void)fprintf(out,
                      "call      client %u, node %u: %s key %" PRIu64
                      " value %" PRIu64,
                      l->a, l->b, l->what, l->x, l->y);
        break;
    case TRACE_ANSWER:
        (void)fprintf(out,
                      "answer    client %u, node %u: %s rc %d value %" PRIu64,
                      l->a, l->b, l->what, (int)l->x, l->y);
        break;
    case TRACE_FAULT:
    case TRACE_HEAL:
        (void)fprintf(out, "%s node %u: %s %" PRIu64 " %" PRIu64,
                      l->kind == TRACE_FAULT ? "fault    " : "heal     ", l->a,
                      l->what, l->x, l->y);
        break;
    case TRACE_PHASE:
        (void)fprintf(out, "now       %s: %" PRIu64, l->what, l->x);
        break;
    }
    (void)fputc('\n', out);
}

void trace_add(struct trace *t, const struct trace_line *line)
{
    uint64_t h = t->hash;

    h = mix(h, line->time);
    h = mix(h, (uint64_t)line->kind << 56 ^ (uint64_t)line->a << 28 ^ line->b);
    h = mix(h, line->x);
    h = mix(h, line->y);
    t->hash = h;
    t->kept[t->n++ % TRACE_KEPT] = *line;
    if (t->out != NULL) {
        print_line(line, t->out);
    }
}

void trace_print(const struct trace *t, FILE *out)
{
    uint64_t first = t->n > TRACE_KEPT ? t->n - TRACE_KEPT : 0;

    for (uint64_t i = first; i < t->n; i++) {
        print_line(&t->kept[i % TRACE_KEPT], out);
    }
}
