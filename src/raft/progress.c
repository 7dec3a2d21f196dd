/* See progress.h. The rule numbers are those of raft-core 12.1. */

#include "src/raft/progress.h"

#include "src/base/buf.h"

void progress_init(struct progress *pr, uint64_t id, uint64_t next,
                   struct inflight_limits limits, const struct logger *lg)
{
    ASSERT(id != 0);
    ASSERT(next > 0);
    *pr = (struct progress){.id = id, .next = next, .lg = lg};
    inflights_init(&pr->inflights, limits.msgs, limits.bytes, lg);
}

void progress_release(struct progress *pr)
{
    inflights_release(&pr->inflights);
}

/* Empty the window and put other limits on it. Its memory is kept where it
 * still fits under the limit. */
static void reset_window(struct inflights *in, struct inflight_limits limits)
{
    if (in->cap > limits.msgs) {
        inflights_release(in);
    }
    inflights_reset(in);
    in->size = limits.msgs;
    in->max_bytes = limits.bytes;
}

void progress_reset(struct progress *pr, uint64_t next,
                    struct inflight_limits limits)
{
    struct progress fresh = {
        .id = pr->id,
        .next = next,
        .is_learner = pr->is_learner,
        .inflights = pr->inflights,
        .lg = pr->lg,
    };

    ASSERT(next > 0);
    reset_window(&fresh.inflights, limits);
    *pr = fresh;
}

void progress_copy(struct progress *to, const struct progress *from)
{
    *to = *from;
    inflights_copy(&to->inflights, &from->inflights);
}

/* Common to all transitions [PG-2]. */
static void reset_state(struct progress *pr, enum progress_state state)
{
    pr->msg_app_flow_paused = false;
    pr->pending_snapshot = 0;
    pr->state = state;
    inflights_reset(&pr->inflights);
}

/* If the snapshot arrived, the log of the member begins behind it; if it did
 * not, the probe there is refused and we learn where it stands [PG-4]. */
void progress_become_probe(struct progress *pr)
{
    uint64_t pending = pr->pending_snapshot;
    bool was_snapshot = pr->state == PROGRESS_SNAPSHOT;

    reset_state(pr, PROGRESS_PROBE);
    pr->next = pr->match + 1;
    if (was_snapshot) {
        pr->next = max_u64(pr->next, pending + 1);
    }
    pr->sent_commit = min_u64(pr->sent_commit, pr->next - 1);
}

void progress_become_replicate(struct progress *pr)
{
    reset_state(pr, PROGRESS_REPLICATE);
    pr->next = pr->match + 1;
}

void progress_become_snapshot(struct progress *pr, uint64_t snapshot_index)
{
    reset_state(pr, PROGRESS_SNAPSHOT);
    pr->pending_snapshot = snapshot_index;
    pr->next = snapshot_index + 1;
    pr->sent_commit = snapshot_index;
}

/* Replicating is optimistic: next moves on without an answer. A probe leaves it
 * where it is and waits, but an empty one does not wait [PG-6, PG-7]. */
void progress_sent_entries(struct progress *pr, size_t n, uint64_t bytes)
{
    switch (pr->state) {
    case PROGRESS_REPLICATE:
        if (n > 0) {
            pr->next += n;
            inflights_add(&pr->inflights, pr->next - 1, bytes);
        }
        /* A full window still let this append through; the next one has to
         * wait, or heartbeat responses alone would send without end. */
        pr->msg_app_flow_paused = inflights_full(&pr->inflights);
        return;
    case PROGRESS_PROBE:
        if (n > 0) {
            pr->msg_app_flow_paused = true;
        }
        return;
    case PROGRESS_SNAPSHOT:
        log_fatal(pr->lg,
                  "append sent to %" PRIx64 " which waits for a snapshot",
                  pr->id);
    }
    UNREACHABLE();
}

/* Overwritten, not maximised: what counts is what the last message said, as
 * the ones before may be lost [PG-10]. */
void progress_set_sent_commit(struct progress *pr, uint64_t commit)
{
    pr->sent_commit = commit;
}

/* The member commits no further than its last entry: once a commit at or
 * beyond next - 1 was sent, another one tells it nothing new. */
bool progress_can_bump_commit(const struct progress *pr, uint64_t commit)
{
    return commit > pr->sent_commit && pr->sent_commit < pr->next - 1;
}

bool progress_maybe_update(struct progress *pr, uint64_t index)
{
    if (index <= pr->match) {
        return false;
    }
    pr->match = index;
    pr->next = max_u64(pr->next, index + 1);
    pr->msg_app_flow_paused = false;
    return true;
}

/* While replicating, anything at or below match was refused before it was
 * accepted: the refusal is late. Otherwise there is one probe at next - 1, and
 * only its refusal counts [PG-9]. */
bool progress_maybe_decr_to(struct progress *pr, struct progress_rejection r)
{
    if (pr->state == PROGRESS_REPLICATE) {
        if (r.rejected <= pr->match) {
            return false;
        }
        pr->next = pr->match + 1;
        pr->sent_commit = min_u64(pr->sent_commit, pr->next - 1);
        return true;
    }
    if (pr->next - 1 != r.rejected) {
        return false;
    }
    pr->next = max_u64(min_u64(r.rejected, r.match_hint + 1), pr->match + 1);
    pr->sent_commit = min_u64(pr->sent_commit, pr->next - 1);
    pr->msg_app_flow_paused = false;
    return true;
}

bool progress_is_paused(const struct progress *pr)
{
    return pr->state == PROGRESS_SNAPSHOT || pr->msg_app_flow_paused;
}

const char *progress_state_name(enum progress_state s)
{
    switch (s) {
    case PROGRESS_PROBE:
        return "StateProbe";
    case PROGRESS_REPLICATE:
        return "StateReplicate";
    case PROGRESS_SNAPSHOT:
        return "StateSnapshot";
    }
    UNREACHABLE();
}

void progress_string(const struct progress *pr, struct buf *out)
{
    buf_printf(out, "%s match=%" PRIu64 " next=%" PRIu64,
               progress_state_name(pr->state), pr->match, pr->next);
    if (pr->is_learner) {
        buf_append_str(out, " learner");
    }
    if (progress_is_paused(pr)) {
        buf_append_str(out, " paused");
    }
    if (pr->pending_snapshot > 0) {
        buf_printf(out, " pendingSnap=%" PRIu64, pr->pending_snapshot);
    }
    if (!pr->recent_active) {
        buf_append_str(out, " inactive");
    }
    if (pr->inflights.count > 0) {
        buf_printf(out, " inflight=%zu", pr->inflights.count);
        if (inflights_full(&pr->inflights)) {
            buf_append_str(out, "[full]");
        }
    }
}

void progress_check(const struct progress *pr)
{
    ASSERT(pr->id != 0);
    ASSERT(pr->match < pr->next);
    if (pr->state == PROGRESS_SNAPSHOT) {
        ASSERT(pr->next > pr->pending_snapshot);
    } else {
        ASSERT(pr->pending_snapshot == 0);
    }
    if (pr->state != PROGRESS_REPLICATE) {
        ASSERT(pr->inflights.count == 0);
    }
    inflights_check(&pr->inflights);
}
