/* Those who ask: clients with one request at a time each, an operator who
 * changes the members, and the history of what they were told.
 *
 * Values are unique, and a key is used for two seconds only, so that the judge
 * has short histories [reliability 8]. */

#include <inttypes.h>
#include <stdio.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/kv/kvstore.h"
#include "src/server/raftnode_internal.h"
#include "tests/sim/world.h"

#define KEY_LIFE (2 * SIM_S)

struct client {
    struct sim *s;
    struct request req;
    uint32_t number;
    uint32_t node; /* of the request under way; 0: there is none */
    bool is_async;
    bool is_done; /* a PUT was acknowledged */
    size_t op;    /* in the history */
    char key[32];
    uint64_t key_number;
    uint64_t value;
    uint64_t committed; /* when a read began */
    uint32_t asked;     /* the node, also once it has answered */
    int rc;             /* its answer; SIM_UNANSWERED */
};

/* Between two writes of a burst. */
#define BURST_US 10000

/* Of the operators, who do not know of each other, and of the last write. */
#define CLIENT_OPERATOR SIM_CLIENTS_MAX
#define OPERATORS       2
#define CLIENT_LAST     (CLIENT_OPERATOR + OPERATORS)
#define CLIENTS_ALL     (CLIENT_LAST + 1)

static struct bytes text(const char *t)
{
    return (struct bytes){(const uint8_t *)t, strlen(t)};
}

/* --- values: "number.n:" and n bytes of padding, which follow from it; or
 * nothing at all --- */

#define NUMBER_OF_EMPTY UINT64_MAX

/* Once so many bytes were written, values are small: every snapshot has them
 * all. */
#define BYTES_ENOUGH ((uint64_t)512 << 10)
#define BYTES_SMALL  64

static void make_value(struct sim *s, struct client *c, struct buf *out)
{
    char head[48];
    uint32_t most = s->swarm.value_bytes_max;
    size_t padding;

    buf_init(out, BUF_UNLIMITED);
    if (s->swarm.empty_values && choose(&s->choices, SITE_CLIENT, 16) == 15) {
        c->value = NUMBER_OF_EMPTY;
        return;
    }
    c->value = ++s->next_value;
    if (s->n_value_bytes > BYTES_ENOUGH && most > BYTES_SMALL) {
        most = BYTES_SMALL;
    }
    padding = most == 0 ? 0 : choose(&s->choices, SITE_CLIENT, most);
    s->n_value_bytes += padding;
    (void)snprintf(head, sizeof(head), "%" PRIu64 ".%zu:", c->value, padding);
    (void)buf_append_str(out, head);
    for (size_t i = 0; i < padding; i++) {
        (void)buf_append_byte(out, (uint8_t)(c->value + i));
    }
}

static uint64_t take_number(struct bytes *in, char end)
{
    uint64_t n = 0;

    while (in->len > 0 && *in->data >= '0' && *in->data <= '9') {
        n = n * 10 + (uint64_t)(*in->data - '0');
        in->data++;
        in->len--;
    }
    if (in->len == 0 || *in->data != (uint8_t)end) {
        return 0;
    }
    in->data++;
    in->len--;
    return n;
}

/* 0 if these are not the bytes that somebody wrote. */
static uint64_t value_number(struct bytes value)
{
    uint64_t number;

    if (value.len == 0) {
        return NUMBER_OF_EMPTY;
    }
    number = take_number(&value, '.');
    if (number == 0 || take_number(&value, ':') != value.len) {
        return 0;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] != (uint8_t)(number + i)) {
            return 0;
        }
    }
    return number;
}

/* What the judge compares: the number alone, 8 bytes. */
static struct bytes number_bytes(const uint64_t *number)
{
    return (struct bytes){(const uint8_t *)number, sizeof(*number)};
}

/* --- requests --- */

static void pick_key(struct sim *s, struct client *c)
{
    c->key_number = choose(&s->choices, SITE_CLIENT, s->swarm.n_keys) +
                    s->now / KEY_LIFE * s->swarm.n_keys;
    (void)snprintf(c->key, sizeof(c->key), "/k%" PRIu64, c->key_number);
}

static const char *kind_name(const struct client *c)
{
    switch (c->req.kind) {
    case REQUEST_PUT:
        return c->is_async ? "async put" : "put";
    case REQUEST_GET:
        return "get";
    case REQUEST_ADD_MEMBER:
        return "add member";
    case REQUEST_REMOVE_MEMBER:
        return "remove member";
    }
    return "?";
}

/* 503: it did not and will not happen. */
static bool is_refusal(int rc)
{
    return rc == ERR_NO_LEADER || rc == ERR_PROPOSAL_DROPPED ||
           rc == ERR_OVERLOADED || rc == ERR_STOPPED || rc == ERR_SELF_REMOVED;
}

/* Who waits for nothing may write many in a row: so a leader that was cut off
 * has a long tail that nobody else has. */
static void think(struct sim *s, struct client *c)
{
    bool goes_on = s->swarm.bursts && c->is_async &&
                   choose(&s->choices, SITE_CLIENT, 16) > 0;

    if (c->number < s->swarm.n_clients && !s->is_calm) {
        sim_schedule(s, EVENT_CLIENT, c->number,
                     1 + choose(&s->choices, SITE_CLIENT,
                                goes_on ? BURST_US : s->swarm.think_us));
    }
}

static void on_put(struct client *c, int rc)
{
    struct sim *s = c->s;
    struct sim_node *n = &s->machines[c->node].n;

    if (is_refusal(rc)) {
        checker_refused(s->checker, c->req.id);
        linear_return_none(s->history, c->op);
    } else if (rc == 0 && !c->is_async) {
        checker_acknowledged(s->checker, n, c->req.id);
        linear_return_done(s->history, c->op);
        s->n_puts++;
        c->is_done = true;
    } else if (rc != 0 && rc != ERR_OUTCOME_UNKNOWN) {
        checker_fail(s->checker, "I20", "a PUT ends with %s", err_str(rc));
    }
}

static void on_get(struct client *c, int rc, struct bytes value)
{
    struct sim *s = c->s;

    c->value = rc == 0 ? value_number(value) : 0;
    if (rc == 0 && c->value == 0) {
        checker_fail(s->checker, "I16",
                     "node %d answers %zu bytes that nobody wrote",
                     (int)c->node, value.len);
    }
    if (rc == 0 || rc == ERR_NOT_FOUND) {
        checker_read(s->checker, &s->machines[c->node].n, c->committed);
        linear_return_value(s->history, c->op,
                            rc == 0 ? number_bytes(&c->value)
                                    : (struct bytes){0});
        s->n_gets++;
    } else {
        linear_return_none(s->history, c->op);
    }
}

/* A member that was added, or may have been, is started. */
static void on_added(struct client *c, int rc)
{
    struct sim *s = c->s;
    struct machine *m = &s->machines[c->req.member_id];

    if ((rc == 0 || rc == ERR_OUTCOME_UNKNOWN) && !m->is_used) {
        m->joins = true;
        m->is_used = true;
        sim_schedule(s, EVENT_RESTART, (uint32_t)m->n.id, SIM_MS);
    }
}

static void on_done(struct request *req, int rc, struct bytes value)
{
    struct client *c = container_of(req, struct client, req);

    ASSERT(c->node != 0);
    switch (req->kind) {
    case REQUEST_PUT:
        on_put(c, rc);
        break;
    case REQUEST_GET:
        on_get(c, rc, value);
        break;
    case REQUEST_ADD_MEMBER:
        on_added(c, rc);
        break;
    case REQUEST_REMOVE_MEMBER:
        break;
    }
    sim_trace(c->s, TRACE_ANSWER, c->number, c->node, kind_name(c),
              (uint64_t)(uint32_t)rc, c->value);
    c->node = 0;
    c->rc = rc;
    think(c->s, c);
}

/* Hand the request to the node; its answer may come from inside. */
static void submit(struct client *c, struct machine *m)
{
    c->node = (uint32_t)m->n.id;
    c->asked = c->node;
    c->rc = SIM_UNANSWERED;
    sim_trace(c->s, TRACE_CALL, c->number, c->node, kind_name(c), c->key_number,
              c->value);
    raftnode_submit(m->n.node, &c->req);
    machine_wake(c->s, m);
}

static void put(struct client *c, struct machine *m)
{
    struct sim *s = c->s;
    struct buf value;

    make_value(s, c, &value);
    raftnode_init_put(m->n.node, &c->req, text(c->key),
                      (struct bytes){value.data, value.len}, c->is_async,
                      on_done);
    c->op =
        linear_call_write(s->history, text(c->key), number_bytes(&c->value));
    buf_release(&value);
    submit(c, m);
}

static void get(struct client *c, struct machine *m)
{
    c->value = 0;
    c->committed = checker_committed(c->s->checker);
    raftnode_init_get(m->n.node, &c->req, text(c->key), on_done);
    c->op = linear_call_read(c->s->history, text(c->key));
    submit(c, m);
}

/* What this node has, now: it is in no history, but it is what was written last
 * of all that the node has applied [reliability 8]. */
static void get_local(struct client *c, struct machine *m)
{
    struct sim *s = c->s;
    struct bytes value = {0};
    bool found = kvstore_get(raftnode_store(m->n.node), text(c->key), &value);

    if (found && value_number(value) == 0) {
        checker_fail(s->checker, "I16",
                     "node %d has %zu bytes that nobody wrote", (int)m->n.id,
                     value.len);
    }
    checker_local_read(s->checker, &m->n, text(c->key), found ? &value : NULL);
    s->n_local_gets++;
    think(s, c);
}

/* A node that is up and not paused, or NULL. In the end only members: one that
 * was removed and has not heard of it cannot answer. */
static struct machine *any_machine(struct sim *s)
{
    uint32_t at = choose(&s->choices, SITE_CLIENT, SIM_NODES_MAX);

    if (s->favourite != 0 && choose(&s->choices, SITE_CLIENT, 8) > 0) {
        at = s->favourite - 1;
    }
    for (uint32_t i = 0; i < SIM_NODES_MAX; i++) {
        struct machine *m = &s->machines[1 + (at + i) % SIM_NODES_MAX];

        if (machine_is_up(m) && s->now >= m->paused_until &&
            (!s->is_calm || sim_is_member(s, m->n.id))) {
            return m;
        }
    }
    return NULL;
}

void client_act(struct sim *s, uint32_t client)
{
    struct client *c = &s->clients[client];
    struct machine *m;

    if (c->node != 0 || s->is_calm) {
        return;
    }
    m = any_machine(s);
    if (m == NULL) {
        think(s, c);
        return;
    }
    pick_key(s, c);
    c->is_async = false;
    if (choose(&s->choices, SITE_CLIENT, 8) < 3) {
        if (choose_percent(&s->choices, SITE_CLIENT, s->swarm.local_percent)) {
            get_local(c, m);
        } else {
            get(c, m);
        }
        return;
    }
    c->is_async =
        choose_percent(&s->choices, SITE_CLIENT, s->swarm.async_percent);
    put(c, m);
}

void client_ask(struct sim *s, uint32_t client, struct machine *m, bool write)
{
    struct client *c = &s->clients[client];

    ASSERT(c->node == 0);
    (void)snprintf(c->key, sizeof(c->key), "/k");
    c->is_async = false;
    if (write) {
        put(c, m);
    } else {
        get(c, m);
    }
}

struct client_state client_state(const struct sim *s, uint32_t client)
{
    const struct client *c = &s->clients[client];

    return (struct client_state){c->node == 0 ? NULL : &c->req, c->asked, c->rc,
                                 c->value};
}

void clients_forget(struct sim *s, const struct machine *m)
{
    for (uint32_t i = 0; i < CLIENTS_ALL; i++) {
        struct client *c = &s->clients[i];

        if (c->node != m->n.id) {
            continue;
        }
        raftnode_cancel(m->n.node, &c->req);
        if (c->req.kind == REQUEST_GET) {
            linear_return_none(s->history, c->op);
        }
        if (c->req.kind == REQUEST_ADD_MEMBER) {
            on_added(c, ERR_OUTCOME_UNKNOWN);
        }
        c->node = 0;
        think(s, c);
    }
}

/* --- members --- */

static void change_members(struct sim *s, struct machine *at,
                           enum request_kind kind, uint64_t id)
{
    struct client *c = &s->clients[CLIENT_OPERATOR];
    char url[64];

    while (c->node != 0 && c < &s->clients[CLIENT_LAST]) {
        c++;
    }

    if (c == &s->clients[CLIENT_LAST]) {
        return;
    }
    sim_node_url(id, url);
    c->key_number = id;
    c->value = 0;
    raftnode_init_member(at->n.node, &c->req, kind, id,
                         kind == REQUEST_ADD_MEMBER ? url : NULL, on_done);
    submit(c, at);
}

void operator_add(struct sim *s, struct machine *at, uint64_t id)
{
    change_members(s, at, REQUEST_ADD_MEMBER, id);
}

void operator_remove(struct sim *s, struct machine *at, uint64_t id)
{
    change_members(s, at, REQUEST_REMOVE_MEMBER, id);
}

/* --- the last write --- */

void clients_begin_last_write(struct sim *s)
{
    struct client *c = &s->clients[CLIENT_LAST];
    struct machine *m;

    if (c->node != 0 || c->is_done || (m = any_machine(s)) == NULL) {
        return;
    }
    (void)snprintf(c->key, sizeof(c->key), "/last");
    c->key_number = 0;
    c->is_async = false;
    put(c, m);
}

/* The value that was acknowledged last is in every map. */
bool clients_last_write_done(const struct sim *s)
{
    const struct client *c = &s->clients[CLIENT_LAST];
    size_t n_up = 0;

    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct machine *m = &s->machines[id];
        struct bytes value;

        if (!machine_is_up(m) || !sim_is_member(s, id)) {
            continue;
        }
        n_up++;
        if (!kvstore_get(raftnode_store(m->n.node), text("/last"), &value) ||
            value_number(value) != c->value) {
            return false;
        }
    }
    return c->is_done && n_up > 0;
}

/* --- life --- */

void clients_init(struct sim *s)
{
    s->clients = xcalloc(CLIENTS_ALL, sizeof(*s->clients));
    for (uint32_t i = 0; i < CLIENTS_ALL; i++) {
        s->clients[i].s = s;
        s->clients[i].number = i;
    }
    for (uint32_t i = 0; i < s->swarm.n_clients; i++) {
        think(s, &s->clients[i]);
    }
}

void clients_release(struct sim *s)
{
    xfree(s->clients);
}
