/* Senders that are no members yet. remotes.h has the story.
 *
 * The list is in the order of use: the front was longest not used. */

#include "transport/remotes.h"

#include <inttypes.h>

#include "src/base/bounds.h"
#include "transport/peer.h"
#include "transport/transport_internal.h"

static struct peer *find(const struct transport *t, uint64_t id)
{
    list_for_each (it, &t->remotes) {
        struct peer *p = container_of(it, struct peer, link);

        if (p->id == id) {
            return p;
        }
    }
    return NULL;
}

static void move_to_back(struct peer *p, struct list *to)
{
    list_remove(&p->link);
    list_push_back(to, &p->link);
}

/* One with nothing on its way, or else the first. */
static struct peer *longest_unused(struct transport *t)
{
    list_for_each (it, &t->remotes) {
        struct peer *p = container_of(it, struct peer, link);

        if (pipeline_is_idle(&p->pipeline)) {
            return p;
        }
    }
    return container_of(t->remotes.next, struct peer, link);
}

/* Freed at once, not at the next tick: a flood of requests would heap them up
 * until then. Nothing of it is under way, see remotes_learn. */
static void make_room(struct transport *t)
{
    ASSERT(t->n_remotes <= PEER_REMOTES_MAX);
    if (t->n_remotes < PEER_REMOTES_MAX) {
        return;
    }
    struct peer *p = longest_unused(t);

    list_remove(&p->link);
    t->n_remotes--;
    peer_close(p);
    peer_free(p);
}

void remotes_learn(struct transport *t, uint64_t id, const struct addr *addr)
{
    struct peer *p = find(t, id);
    char url[ADDR_URL_MAX];

    ASSERT(transport_find(t, id) == NULL);
    if (t->closing || id == RAFT_NONE || id == t->id ||
        transport_is_removed(t, id)) {
        return;
    }
    if (p != NULL) {
        move_to_back(p, &t->remotes);
        peer_update(p, addr);
        peer_hurry(p);
        return;
    }
    make_room(t);
    p = peer_new_remote(t, id, addr);
    list_push_back(&t->remotes, &p->link);
    t->n_remotes++;
    addr_print_url(addr, url);
    log_debug(t->lg, "sender %" PRIx64 ": no member yet, says it is at %s", id,
              url);
}

struct peer *remotes_use(struct transport *t, uint64_t id)
{
    struct peer *p = find(t, id);

    if (p == NULL) {
        return NULL;
    }
    if (transport_is_removed(t, id)) {
        remotes_forget(t, id);
        return NULL;
    }
    move_to_back(p, &t->remotes);
    return p;
}

void remotes_forget(struct transport *t, uint64_t id)
{
    struct peer *p = find(t, id);

    if (p == NULL) {
        return;
    }
    ASSERT(t->n_remotes > 0);
    peer_leave(p);
    move_to_back(p, &t->leaving);
    t->n_remotes--;
}
