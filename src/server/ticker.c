/* See ticker.h. */

#include "src/server/ticker.h"

void ticker_init(struct ticker *t, uint64_t now_ms, uint64_t period_ms)
{
    ASSERT(period_ms > 0);
    *t = (struct ticker){.period_ms = period_ms, .due_ms = now_ms + period_ms};
}

bool ticker_look(struct ticker *t, uint64_t now_ms)
{
    t->pending = t->pending || now_ms >= t->due_ms;
    return t->pending;
}

bool ticker_take(struct ticker *t, uint64_t now_ms)
{
    if (!t->pending) {
        return false;
    }
    t->pending = false;
    /* Not a period after the last one was due: the gap is over, and all of it
     * was this tick. */
    t->due_ms = now_ms + t->period_ms;
    return true;
}

uint64_t ticker_wait_ms(const struct ticker *t, uint64_t now_ms)
{
    return now_ms < t->due_ms ? t->due_ms - now_ms : 0;
}
