/* Blocks of cells. slab.h says what for. */

#include "src/kv/slab.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"

/* The first block of a size is small, for stores of a few keys; each next one
 * has twice as many cells, up to this. */
#define BLOCK_BYTES_MAX (256 * KiB)
#define FIRST_CELLS     ((size_t)8)

struct slab_cell {
    struct slab_cell *next;
};

struct slab_block {
    struct slab_block *next;
    uint8_t cells[];
};

static_assert(SLAB_STEP >= sizeof(struct slab_cell),
              "a free cell has room for a pointer");

void slab_init(struct slab *s)
{
    *s = (struct slab){.blocks = NULL};
}

void slab_release(struct slab *s)
{
    ASSERT(s->n_large == 0);
    while (s->blocks != NULL) {
        struct slab_block *b = s->blocks;

        s->blocks = b->next;
        xfree(b);
    }
    slab_init(s);
}

static void add_block(struct slab *s, struct slab_size *size, size_t cell)
{
    size_t n = size->block_cells == 0 ? FIRST_CELLS : size->block_cells;
    struct slab_block *b = xmalloc(sizeof(*b) + n * cell);

    b->next = s->blocks;
    s->blocks = b;
    size->next = b->cells;
    size->left = n;
    size->block_cells = 2 * n * cell <= BLOCK_BYTES_MAX ? 2 * n : n;
}

/* The size of the cell that an item takes. */
static size_t cell_of(size_t size)
{
    return (size + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP;
}

void *slab_alloc(struct slab *s, size_t size)
{
    size_t cell = cell_of(size);
    struct slab_size *of;
    void *item;

    ASSERT(size > 0);
    if (size > SLAB_ITEM_MAX) {
        s->n_large++;
        return xmalloc(size);
    }
    of = &s->sizes[cell / SLAB_STEP];
    if (of->free != NULL) {
        item = of->free;
        of->free = of->free->next;
        return item;
    }
    if (of->left == 0) {
        add_block(s, of, cell);
    }
    item = of->next;
    of->next += cell;
    of->left--;
    return item;
}

void slab_free(struct slab *s, void *item, size_t size)
{
    struct slab_cell *c = item;
    struct slab_size *of;

    if (item == NULL) {
        return;
    }
    if (size > SLAB_ITEM_MAX) {
        ASSERT(s->n_large > 0);
        s->n_large--;
        xfree(item);
        return;
    }
    of = &s->sizes[cell_of(size) / SLAB_STEP];
    c->next = of->free;
    of->free = c;
}
