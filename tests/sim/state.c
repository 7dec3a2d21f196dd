/* The map as it must be. state.h says how it is compared. */

#include "tests/sim/state.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/base/crc32c.h"
#include "src/kv/image.h"

static struct bytes key_of(const void *item)
{
    const struct state_pair *p = item;

    return (struct bytes){(const uint8_t *)&p->key, sizeof(p->key)};
}

void state_init(struct state *s)
{
    s->sum = 0;
    map_init(&s->keys, key_of, 0);
}

void state_release(struct state *s)
{
    size_t pos = 0;
    struct state_pair *p;

    while ((p = map_next(&s->keys, &pos)) != NULL) {
        xfree(p);
    }
    map_release(&s->keys);
}

struct state_pair state_pair(struct bytes key, struct bytes value)
{
    return (struct state_pair){crc32c(0, key.data, key.len),
                               crc32c(0, value.data, value.len)};
}

static uint64_t number_of(struct state_pair p)
{
    uint64_t n =
        ((uint64_t)p.key << 32 | p.value) * UINT64_C(0x9e3779b97f4a7c15);

    return (n ^ (n >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) + 1;
}

void state_set(struct state *s, struct state_pair p)
{
    struct state_pair *known = map_find(&s->keys, key_of(&p));

    if (known == NULL) {
        known = xmalloc(sizeof(*known));
        *known = p;
        (void)map_put(&s->keys, known);
    } else {
        s->sum -= number_of(*known);
        known->value = p.value;
    }
    s->sum += number_of(p);
}

static void add_pair(void *arg, struct bytes key, struct bytes value)
{
    uint64_t *sum = arg;

    *sum += number_of(state_pair(key, value));
}

bool state_of_image(struct bytes image, uint64_t *sum)
{
    struct errmsg em = {{0}};

    *sum = 0;
    return image_decode(image, add_pair, sum, &em) == 0;
}

uint64_t state_of_store(const struct kvstore *store)
{
    struct buf image;
    uint64_t sum;
    bool ok;

    buf_init(&image, BUF_UNLIMITED);
    ok = kvstore_snapshot(store, &image) == 0 &&
         state_of_image(buf_bytes(&image), &sum);
    ASSERT(ok);
    buf_release(&image);
    return sum;
}
