/* The stream of choices. choice.h has the contract. */

#include "tests/sim/choice.h"

#include <errno.h>
#include <stdio.h>

#include "src/base/alloc.h"

static const char *const site_names[] = {
#define X(name) #name,
    SITE_MAP(X)
#undef X
};

void choices_seed(struct choices *c, uint64_t seed)
{
    *c = (struct choices){0};
    rng_seed(&c->rng, seed);
}

static void push(struct choices *c, uint8_t site, uint32_t value)
{
    if (c->n == c->cap) {
        c->cap = c->cap == 0 ? 4096 : 2 * c->cap;
        c->values = xrealloc_array(c->values, c->cap, sizeof(*c->values));
        c->sites = xrealloc_array(c->sites, c->cap, 1);
    }
    c->values[c->n] = value;
    c->sites[c->n++] = site;
}

void choices_replay(struct choices *c, const uint32_t *values, size_t n)
{
    *c = (struct choices){.replays = true};
    for (size_t i = 0; i < n; i++) {
        push(c, 0, values[i]);
    }
}

void choices_release(struct choices *c)
{
    xfree(c->values);
    xfree(c->sites);
    *c = (struct choices){0};
}

uint32_t choose(struct choices *c, enum site site, uint32_t n)
{
    uint32_t value = 0;

    ASSERT(n > 0);
    if (!c->replays) {
        value = (uint32_t)rng_below(&c->rng, n);
        push(c, (uint8_t)site, value);
    } else if (c->pos < c->n) {
        value = c->values[c->pos] % n;
        c->values[c->pos] = value;
        c->sites[c->pos] = (uint8_t)site;
    }
    c->pos++;
    return value;
}

bool choose_percent(struct choices *c, enum site site, uint32_t percent)
{
    return percent > 0 && choose(c, site, 100) >= 100 - percent;
}

uint32_t choose_between(struct choices *c, enum site site, uint32_t from,
                        uint32_t to)
{
    ASSERT(from <= to);
    return from + choose(c, site, to - from + 1);
}

uint64_t choose_seed(struct choices *c)
{
    return choose(c, SITE_NODE, UINT32_MAX);
}

int choices_save(const struct choices *c, const char *path)
{
    FILE *f = fopen(path, "we");
    size_t n = c->pos < c->n ? c->pos : c->n;

    if (f == NULL) {
        return -errno;
    }
    for (size_t i = 0; i < n; i++) {
        (void)fprintf(f, "%s %u\n", site_names[c->sites[i]], c->values[i]);
    }
    return fclose(f) == 0 ? 0 : -errno;
}

int choices_load(struct choices *c, const char *path)
{
    FILE *f = fopen(path, "re");
    char name[16];
    uint32_t value;
    int got;

    *c = (struct choices){.replays = true};
    if (f == NULL) {
        return -errno;
    }
    while ((got = fscanf(f, "%15s %u", name, &value)) == 2) {
        push(c, 0, value);
    }
    (void)fclose(f);
    return got == EOF ? 0 : ERR_MALFORMED;
}
