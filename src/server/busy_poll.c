/* See busy_poll.h. */

#include "src/server/busy_poll.h"

static bool in_time(const struct busy_poll *b, uint64_t now_ns)
{
    return now_ns - b->since_ns <= (b->owed ? BUSY_POLL_OWED_NS : BUSY_POLL_NS);
}

void busy_poll_looked(struct busy_poll *b, uint64_t inputs, uint64_t now_ns)
{
    if (inputs != b->inputs) {
        b->inputs = inputs;
        b->pays[b->owed] = in_time(b, now_ns);
    }
}

bool busy_poll_again(struct busy_poll *b, uint64_t work, bool owed,
                     uint64_t now_ns)
{
    if (work != b->work) {
        b->work = work;
        b->since_ns = now_ns;
    }
    b->owed = owed;
    return b->pays[owed] && in_time(b, now_ns);
}
