/* The linearizability judge: Wing and Gong's search with Lowe's cache.
 *
 * Per key, the events stand in a linked list, calls and returns. The search
 * walks from the front. At a call it tries to let the operation happen now: if
 * the register allows that, and the pair (operations that have happened, value)
 * was never met before, both events are lifted out of the list and the walk
 * begins at the front again. At a return it is stuck, since that operation
 * should have happened by now: it takes the last one back and tries the next.
 * When no operation with a known outcome is left, an order is found; when there
 * is nothing to take back, there is none.
 *
 * Two shortcuts keep long histories cheap and lose nothing:
 *
 * - An operation that never changes the register (a read, a CAS that compared
 *   unequal) and fits the value of now is taken at once, and nothing else is
 *   tried in its place: in any order that begins otherwise, it can be moved to
 *   the front.
 * - An operation of unknown outcome happens only where one that can happen next
 *   is not a plain write, and fits the value it leaves: in any order in which a
 *   write follows it, it can be left out.
 *
 * Counterpart: G. Lowe, Testing for linearizability, 2017, section 3;
 * J. Wing and C. Gong, Testing and verifying concurrent objects, 1993. */

#include "tests/lib/linear.h"

#include "src/base/alloc.h"
#include "src/base/map.h"

enum kind {
    READ,
    WRITE,
    CAS,
    APPEND,
};

enum outcome {
    OPEN, /* no return so far: unknown */
    DONE,
    UNEQUAL,
    NONE,
};

/* Values are compared as numbers: equal bytes have one number. */
#define ABSENT 0u

struct text {
    struct bytes bytes; /* owned */
    uint32_t number;
};

struct op {
    enum kind kind;
    enum outcome outcome;
    uint32_t key;
    uint32_t value; /* written, appended or, once it returned, read */
    uint32_t from;  /* of a CAS */
    size_t call_at; /* positions among all events */
    size_t return_at;
};

struct texts {
    struct map by_bytes;
    struct text **all; /* by number */
    size_t len;
    size_t cap;
};

struct linear {
    struct texts keys;
    struct texts values;
    struct op *ops;
    size_t n_ops;
    size_t ops_cap;
    size_t n_events;
};

/* --- telling the history --- */

static struct bytes text_key(const void *item)
{
    return ((const struct text *)item)->bytes;
}

static uint32_t texts_number(struct texts *t, struct bytes bytes)
{
    struct text *found = map_find(&t->by_bytes, bytes);

    if (found != NULL) {
        return found->number;
    }
    if (t->len == t->cap) {
        t->cap = grow_cap(t->cap, t->len + 1);
        t->all = xrealloc_array(t->all, t->cap, sizeof(*t->all));
    }
    struct text *added = xcalloc(1, sizeof(*added));
    added->bytes.data = xmemdup(bytes.data, bytes.len);
    added->bytes.len = bytes.len;
    added->number = (uint32_t)t->len;
    t->all[t->len++] = added;
    map_put(&t->by_bytes, added);
    return added->number;
}

static void texts_release(struct texts *t)
{
    for (size_t i = 0; i < t->len; i++) {
        if (t->all[i] != NULL) {
            xfree((void *)(uintptr_t)t->all[i]->bytes.data);
        }
        xfree(t->all[i]);
    }
    xfree(t->all);
    map_release(&t->by_bytes);
}

static uint32_t value_number(struct linear *l, struct bytes value)
{
    return value.data == NULL ? ABSENT : texts_number(&l->values, value);
}

struct linear *linear_new(void)
{
    struct linear *l = xcalloc(1, sizeof(*l));

    map_init(&l->keys.by_bytes, text_key, 0);
    map_init(&l->values.by_bytes, text_key, 0);
    /* Number 0 is no text: the value of an absent key. */
    l->values.cap = grow_cap(0, 1);
    l->values.all = xrealloc_array(NULL, l->values.cap, sizeof(*l->values.all));
    l->values.all[l->values.len++] = NULL;
    return l;
}

void linear_free(struct linear *l)
{
    if (l == NULL) {
        return;
    }
    texts_release(&l->keys);
    texts_release(&l->values);
    xfree(l->ops);
    xfree(l);
}

static size_t add_call(struct linear *l, enum kind kind, struct bytes key,
                       uint32_t value, uint32_t from)
{
    ASSERT(key.data != NULL);
    if (l->n_ops == l->ops_cap) {
        l->ops_cap = grow_cap(l->ops_cap, l->n_ops + 1);
        l->ops = xrealloc_array(l->ops, l->ops_cap, sizeof(*l->ops));
    }
    l->ops[l->n_ops] = (struct op){
        .kind = kind,
        .outcome = OPEN,
        .key = texts_number(&l->keys, key),
        .value = value,
        .from = from,
        .call_at = l->n_events++,
    };
    return l->n_ops++;
}

size_t linear_call_read(struct linear *l, struct bytes key)
{
    return add_call(l, READ, key, ABSENT, ABSENT);
}

size_t linear_call_write(struct linear *l, struct bytes key, struct bytes value)
{
    return add_call(l, WRITE, key, value_number(l, value), ABSENT);
}

size_t linear_call_cas(struct linear *l, struct bytes key, struct bytes from,
                       struct bytes to)
{
    return add_call(l, CAS, key, value_number(l, to), value_number(l, from));
}

size_t linear_call_append(struct linear *l, struct bytes key,
                          struct bytes value)
{
    ASSERT(value.data != NULL);
    return add_call(l, APPEND, key, value_number(l, value), ABSENT);
}

static struct op *end_op(struct linear *l, size_t op, enum outcome outcome)
{
    ASSERT(op < l->n_ops);
    struct op *o = &l->ops[op];
    ASSERT(o->outcome == OPEN);
    o->outcome = outcome;
    o->return_at = l->n_events++;
    return o;
}

void linear_return_done(struct linear *l, size_t op)
{
    const struct op *o = end_op(l, op, DONE);

    ASSERT(o->kind != READ);
}

void linear_return_value(struct linear *l, size_t op, struct bytes value)
{
    struct op *o = end_op(l, op, DONE);

    ASSERT(o->kind == READ);
    o->value = value_number(l, value);
}

void linear_return_unequal(struct linear *l, size_t op)
{
    const struct op *o = end_op(l, op, UNEQUAL);

    ASSERT(o->kind == CAS);
}

void linear_return_none(struct linear *l, size_t op)
{
    end_op(l, op, NONE);
}

/* --- the model --- */

static uint32_t appended(struct linear *l, uint32_t state, uint32_t value)
{
    struct bytes tail = l->values.all[value]->bytes;

    if (state == ABSENT) {
        return value;
    }
    struct bytes head = l->values.all[state]->bytes;
    uint8_t *both = xmalloc(head.len + tail.len);
    memcpy(both, head.data, head.len);
    memcpy(both + head.len, tail.data, tail.len);
    uint32_t number = texts_number(
        &l->values, (struct bytes){.data = both, .len = head.len + tail.len});
    xfree(both);
    return number;
}

/* Whether `o` could happen while the register is `state`, which becomes *next.
 * An open CAS that compares unequal is the same as one that never happens. */
static bool op_happens(struct linear *l, const struct op *o, uint32_t state,
                       uint32_t *next)
{
    *next = state;
    switch (o->kind) {
    case READ:
        return o->value == state;
    case WRITE:
        *next = o->value;
        return true;
    case CAS:
        if (o->outcome == UNEQUAL) {
            return o->from != state;
        }
        *next = o->value;
        return o->from == state;
    case APPEND:
        *next = appended(l, state, o->value);
        return true;
    }
    UNREACHABLE();
}

static bool op_is_pure(const struct op *o)
{
    return o->kind == READ || o->outcome == UNEQUAL;
}

/* --- Lowe's cache: the pairs (operations that have happened, value) --- */

/* A finalizer of 64 bits (splitmix64): every bit of the result depends on every
 * bit of x. With a weak one, sets that differ in two operations fall into the
 * same slots and a hard history takes a hundred times longer. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct slot {
    uint64_t hash;
    uint64_t config; /* its number plus 1; 0: free */
};

struct cache {
    struct slot *slots;
    size_t n_slots;    /* a power of two */
    uint64_t *configs; /* each: its value, then its set of operations */
    size_t len;
    size_t cap;
    size_t n_words; /* of a set */
};

static void cache_init(struct cache *c, size_t n_words)
{
    *c = (struct cache){.n_words = n_words, .n_slots = 256};
    c->slots = xcalloc(c->n_slots, sizeof(*c->slots));
}

static void cache_release(struct cache *c)
{
    xfree(c->slots);
    xfree(c->configs);
}

static void cache_grow(struct cache *c)
{
    size_t n_slots = 2 * c->n_slots;
    struct slot *slots = xcalloc(n_slots, sizeof(*slots));

    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->slots[i].config != 0) {
            size_t at = c->slots[i].hash & (n_slots - 1);
            while (slots[at].config != 0) {
                at = (at + 1) & (n_slots - 1);
            }
            slots[at] = c->slots[i];
        }
    }
    xfree(c->slots);
    c->slots = slots;
    c->n_slots = n_slots;
}

/* Remember a pair; false if it is already known. `hash` is of both. */
static bool cache_add(struct cache *c, uint64_t hash, uint32_t state,
                      const uint64_t *set)
{
    size_t stride = c->n_words + 1;
    size_t set_bytes = c->n_words * sizeof(*set);
    size_t at = hash & (c->n_slots - 1);

    for (; c->slots[at].config != 0; at = (at + 1) & (c->n_slots - 1)) {
        const uint64_t *known = &c->configs[(c->slots[at].config - 1) * stride];
        if (c->slots[at].hash == hash && known[0] == state &&
            memcmp(&known[1], set, set_bytes) == 0) {
            return false;
        }
    }
    if (c->len == c->cap) {
        c->cap = grow_cap(c->cap, c->len + 1);
        c->configs =
            xrealloc_array(c->configs, c->cap, stride * sizeof(*c->configs));
    }
    uint64_t *added = &c->configs[c->len++ * stride];
    added[0] = state;
    memcpy(&added[1], set, set_bytes);
    c->slots[at] = (struct slot){.hash = hash, .config = c->len};
    if (2 * c->len > c->n_slots) {
        cache_grow(c);
    }
    return true;
}

/* --- the search over one key --- */

/* An event: the call or the return of the operation `op` of this key. Place 0
 * of the list is its end and its beginning. */
struct event {
    uint32_t op;
    uint32_t other; /* of a call: its return, 0 if there is none */
    uint32_t prev;
    uint32_t next;
    bool is_call;
};

/* What was let happen, and can be taken back. */
struct choice {
    uint32_t event;
    uint32_t state;  /* before it */
    bool is_certain; /* nothing else need be tried in its place */
};

struct search {
    struct linear *l;
    const size_t *ops; /* numbers of the key's operations, in order of calls */
    size_t n_ops;
    struct event *events;
    struct choice *choices;
    size_t n_choices;
    uint64_t *set; /* of operations that have happened */
    uint64_t set_hash;
    struct cache cache;
    uint32_t state;
    size_t n_due; /* operations of known outcome that have yet to happen */
    uint64_t steps;
    size_t furthest; /* position of the last return that it was stuck at */
    size_t furthest_op;
};

static const struct op *search_op(const struct search *s, uint32_t event)
{
    return &s->l->ops[s->ops[s->events[event].op]];
}

static void unlink_event(struct search *s, uint32_t event)
{
    const struct event *e = &s->events[event];

    s->events[e->prev].next = e->next;
    s->events[e->next].prev = e->prev;
}

static void link_event(struct search *s, uint32_t event)
{
    const struct event *e = &s->events[event];

    s->events[e->prev].next = event;
    s->events[e->next].prev = event;
}

static void flip(struct search *s, uint32_t op)
{
    s->set[op / 64] ^= (uint64_t)1 << op % 64;
    s->set_hash ^= mix(op);
}

/* Let the operation of this call happen. */
static void take(struct search *s, uint32_t call, uint32_t next, bool certain)
{
    s->choices[s->n_choices++] = (struct choice){
        .event = call, .state = s->state, .is_certain = certain};
    s->state = next;
    unlink_event(s, call);
    if (s->events[call].other != 0) {
        unlink_event(s, s->events[call].other);
        s->n_due--;
    }
}

/* Take the last choice back, in reverse order, so that the list's links are
 * those of then. */
static struct choice untake(struct search *s)
{
    ASSERT(s->n_choices > 0);
    struct choice c = s->choices[--s->n_choices];
    if (s->events[c.event].other != 0) {
        link_event(s, s->events[c.event].other);
        s->n_due++;
    }
    link_event(s, c.event);
    flip(s, s->events[c.event].op);
    s->state = c.state;
    return c;
}

/* The event to go on with after taking back what can be done otherwise; 0 if
 * there is nothing left to take back. */
static uint32_t back_up(struct search *s)
{
    while (s->n_choices > 0) {
        struct choice c = untake(s);
        if (!c.is_certain) {
            return s->events[c.event].next;
        }
    }
    return 0;
}

static void note_stuck(struct search *s, uint32_t event)
{
    size_t at = search_op(s, event)->return_at;

    if (at >= s->furthest) {
        s->furthest = at;
        s->furthest_op = s->ops[s->events[event].op];
    }
}

/* Where to go on after an operation has happened: at the front, or at an
 * operation that can happen now and that nothing need be tried beside. Found
 * early, it spares trying those before it twice. */
static uint32_t next_event(const struct search *s)
{
    uint32_t front = s->events[0].next;
    uint32_t next;

    for (uint32_t e = front; e != 0 && s->events[e].is_call;
         e = s->events[e].next) {
        const struct op *o = search_op(s, e);
        if (op_is_pure(o) && op_happens(s->l, o, s->state, &next)) {
            return e;
        }
    }
    return front;
}

/* Whether it makes a difference that the open operation at `event` happens now
 * and leaves the value `state`. */
static bool is_of_use(const struct search *s, uint32_t event, uint32_t state)
{
    uint32_t next;

    if (state == s->state) {
        return false;
    }
    for (uint32_t e = s->events[0].next; e != 0 && s->events[e].is_call;
         e = s->events[e].next) {
        const struct op *o = search_op(s, e);
        if (e != event && o->kind != WRITE &&
            op_happens(s->l, o, state, &next)) {
            return true;
        }
    }
    return false;
}

/* Try the call at `event`; returns the event to go on with, 0 if all is tried.
 */
static uint32_t try_call(struct search *s, uint32_t event)
{
    const struct op *o = search_op(s, event);
    uint32_t op = s->events[event].op;
    uint32_t next;

    s->steps++;
    if (!op_happens(s->l, o, s->state, &next) ||
        (o->outcome == OPEN && !is_of_use(s, event, next))) {
        return s->events[event].next;
    }
    flip(s, op);
    if (cache_add(&s->cache, s->set_hash ^ mix(~(uint64_t)next), next,
                  s->set)) {
        take(s, event, next, op_is_pure(o));
        return next_event(s);
    }
    flip(s, op);
    return op_is_pure(o) ? back_up(s) : s->events[event].next;
}

static enum linear_verdict search_run(struct search *s, uint64_t steps_max)
{
    uint32_t event = next_event(s);

    while (s->n_due > 0) {
        if (event == 0) {
            return LINEAR_VIOLATION;
        }
        if (s->events[event].is_call) {
            if (s->steps == steps_max) {
                return LINEAR_UNDECIDED;
            }
            event = try_call(s, event);
        } else {
            note_stuck(s, event);
            event = back_up(s);
        }
    }
    return LINEAR_OK;
}

/* --- one key: its events --- */

static int compare_events(const void *a, const void *b)
{
    const size_t *x = a;
    const size_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* Fill the list in the order of time. An event's position among all is unique,
 * so sorting (position, operation) pairs gives it. */
static void link_all(struct search *s)
{
    size_t(*at)[2] = xcalloc(2 * s->n_ops + 1, sizeof(*at));
    size_t n = 0;

    for (size_t i = 0; i < s->n_ops; i++) {
        const struct op *o = &s->l->ops[s->ops[i]];
        at[n][0] = o->call_at;
        at[n++][1] = i;
        if (o->outcome != OPEN) {
            at[n][0] = o->return_at;
            at[n++][1] = i;
            s->n_due++;
        }
    }
    qsort(at, n, sizeof(*at), compare_events);
    uint32_t *call_of = xcalloc(s->n_ops + 1, sizeof(*call_of));
    for (uint32_t e = 1; e <= n; e++) {
        uint32_t op = (uint32_t)at[e - 1][1];
        s->events[e] = (struct event){.op = op,
                                      .is_call = call_of[op] == 0,
                                      .prev = e - 1,
                                      .next = e < n ? e + 1 : 0};
        if (call_of[op] == 0) {
            call_of[op] = e;
        } else {
            s->events[call_of[op]].other = e;
        }
    }
    s->events[0].next = n > 0;
    s->events[0].prev = (uint32_t)n;
    xfree(call_of);
    xfree(at);
}

static enum linear_verdict judge_key(struct linear *l, const size_t *ops,
                                     size_t n_ops, uint64_t steps_max,
                                     struct linear_report *out)
{
    size_t n_words = (n_ops + 63) / 64;
    struct search s = {.l = l, .ops = ops, .n_ops = n_ops, .state = ABSENT};

    s.events = xcalloc(2 * n_ops + 1, sizeof(*s.events));
    s.choices = xcalloc(n_ops + 1, sizeof(*s.choices));
    s.set = xcalloc(n_words + 1, sizeof(*s.set));
    cache_init(&s.cache, n_words);
    link_all(&s);
    enum linear_verdict verdict = search_run(&s, steps_max);
    out->steps = s.steps;
    out->op = s.furthest_op;
    cache_release(&s.cache);
    xfree(s.set);
    xfree(s.choices);
    xfree(s.events);
    return verdict;
}

/* --- all keys --- */

/* A key's operations. */
struct span {
    size_t first;
    size_t n;
    bool is_decided;
};

/* Whether an operation says something: it may have happened, and is no read
 * without an answer. */
static bool op_counts(const struct op *o)
{
    return o->outcome != NONE && (o->outcome != OPEN || o->kind != READ);
}

/* The numbers of all operations that count, key by key in the order in which
 * the keys were first told. */
static size_t *group_by_key(const struct linear *l, struct span *keys)
{
    size_t *ops = xcalloc(l->n_ops + 1, sizeof(*ops));
    size_t first = 0;

    for (size_t i = 0; i < l->n_ops; i++) {
        keys[l->ops[i].key].n += op_counts(&l->ops[i]);
    }
    for (size_t k = 0; k < l->keys.len; k++) {
        keys[k].first = first;
        first += keys[k].n;
        keys[k].n = 0;
    }
    for (size_t i = 0; i < l->n_ops; i++) {
        struct span *s = &keys[l->ops[i].key];
        if (op_counts(&l->ops[i])) {
            ops[s->first + s->n++] = i;
        }
    }
    return ops;
}

/* Judge the keys that are undecided so far; returns how many remain so. */
static size_t judge_round(struct linear *l, size_t *ops, struct span *keys,
                          uint64_t steps_max, struct linear_report *r)
{
    size_t n_undecided = 0;

    for (size_t k = 0; k < l->keys.len; k++) {
        struct span *s = &keys[k];
        if (s->is_decided) {
            continue;
        }
        struct linear_report one = {0};
        one.verdict = judge_key(l, &ops[s->first], s->n, steps_max, &one);
        r->steps += one.steps;
        r->steps_worst = max_u64(r->steps_worst, one.steps);
        s->is_decided = one.verdict != LINEAR_UNDECIDED;
        if (one.verdict == LINEAR_VIOLATION ||
            (one.verdict == LINEAR_UNDECIDED && n_undecided++ == 0)) {
            r->verdict = one.verdict;
            r->key = l->keys.all[k]->bytes;
            r->op = one.op;
        }
        if (one.verdict == LINEAR_VIOLATION) {
            return 0;
        }
    }
    return n_undecided;
}

void linear_judge(struct linear *l, uint64_t steps_max,
                  struct linear_report *out)
{
    struct span *keys = xcalloc(l->keys.len + 1, sizeof(*keys));
    size_t *ops = group_by_key(l, keys);
    struct linear_report r = {.n_keys = l->keys.len};

    for (size_t k = 0; k < l->keys.len; k++) {
        r.n_ops += keys[k].n;
    }
    /* A violation is often much easier to find than the order of a good key
     * before it: give all keys little at first. */
    for (uint64_t steps = 1000;; steps *= 16) {
        steps = steps < steps_max ? steps : steps_max;
        r.verdict = LINEAR_OK;
        if (judge_round(l, ops, keys, steps, &r) == 0 || steps == steps_max) {
            break;
        }
    }
    xfree(ops);
    xfree(keys);
    *out = r;
}
