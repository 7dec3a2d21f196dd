/* Goal: no order of events makes three nodes break an invariant. Method: the
 * simulator with its checkers; the input is the stream of choices, one byte
 * each, and says at first how long the run is. What lies behind the input is
 * the harmless choice, so the run ends with a cluster that is well. */

#include "src/base/alloc.h"
#include "tests/fuzz/lib/fuzz.h"
#include "tests/sim/world.h"

#define STEPS_MIN 50

/* The choices of a run; those behind the input are harmless. Of three nodes
 * that draw the same seed none would ever win an election, so each value has
 * something of its position, which does not show modulo the small numbers that
 * faults are drawn from. */
#define CHOICES  20000
#define DISTINCT 25200 /* a multiple of 2 to 10, 16, 50, 100, 200 */

static void on_violation(void *ctx, const char *invariant, const char *text)
{
    struct sim *s = ctx;

    trace_print(&s->trace, stderr);
    (void)fprintf(stderr, "violation of %s at step %" PRIu64 ": %s\n",
                  invariant, s->steps, text);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};
    uint64_t steps = STEPS_MIN + 2 * (uint64_t)fuzz_byte(&in);
    struct sim *s = xcalloc(1, sizeof(*s));
    uint32_t *values = xcalloc(CHOICES, sizeof(*values));

    /* The first choice is the number of founders: three. */
    for (uint32_t i = 1; i < CHOICES; i++) {
        values[i] = i * DISTINCT + fuzz_byte(&in);
    }
    choices_replay(&s->choices, values, CHOICES);
    sim_init(s, on_violation, s, NULL);
    sim_run_all(s, steps);
    sim_release(s);
    xfree(values);
    xfree(s);
    return 0;
}
