/* See busy_poll.h. */

#include "src/server/busy_poll.h"

static bool in_time(const struct busy_poll *b, uint64_t now_ns)
{
    return now_ns - b->since_ns <= BUSY_POLL_NS;
}

void busy_poll_looked(struct busy_poll *b, uint64_t inputs, uint64_t now_ns)
{
    if (inputs != b->inputs) {
        b->inputs = inputs;
        b->pays = in_time(b, now_ns);
    }
}

bool busy_poll_again(struct busy_poll *b, uint64_t work, uint64_t now_ns)
{
    if (work != b->work) {
        b->work = work;
        b->since_ns = now_ns;
    }
    return b->pays && in_time(b, now_ns);
}
