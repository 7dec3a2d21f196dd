/* Memory for very many small items of few sizes.
 *
 * Items of one size lie side by side in blocks, apart from what everybody else
 * allocates: what is short-lived, as the log's entries are, leaves no holes
 * between them that could not be given back. An item costs what it takes and
 * nothing more; all of them go at once.
 *
 * A freed cell is used for the next item of its size; a block is never given
 * back before slab_release. */

#ifndef SRC_KV_SLAB_H
#define SRC_KV_SLAB_H

#include "src/base/common.h"

/* Larger items are allocated by themselves. */
#define SLAB_ITEM_MAX ((size_t)1024)
#define SLAB_STEP     ((size_t)8) /* sizes are rounded up to this */
#define SLAB_SIZES    (SLAB_ITEM_MAX / SLAB_STEP + 1)

struct slab_cell;
struct slab_block;

struct slab_size {
    struct slab_cell *free; /* cells that were given back */
    uint8_t *next;          /* the rest of the newest block */
    size_t left;            /* cells in it */
    size_t block_cells;     /* of the next block */
};

struct slab {
    struct slab_size sizes[SLAB_SIZES];
    struct slab_block *blocks;
    size_t n_large; /* items allocated by themselves */
};

void slab_init(struct slab *s);

/* All items are gone with it; but large ones must have been freed before. */
void slab_release(struct slab *s);

/* `size` bytes, aligned to 8. */
void *slab_alloc(struct slab *s, size_t size);

/* Give back an item of that `size`; NULL: no-op. */
void slab_free(struct slab *s, void *item, size_t size);

#endif /* SRC_KV_SLAB_H */
