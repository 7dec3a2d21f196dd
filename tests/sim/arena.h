/* Memory that can be put back as it was: what makes the small scopes cheap.
 *
 * While the arena is in use, all that the program under test and the simulator
 * allocate lies in one range of addresses. So a cluster with all its disks and
 * messages is kept and brought back by copying bytes; pointers stay valid, and
 * the program knows nothing of it. The simulator is linked with its calls of
 * malloc and its like wrapped (see the Makefile).
 *
 * In any mode, blocks in use are counted: a run must end with as many as it
 * began with (I26). */

#ifndef TESTS_SIM_ARENA_H
#define TESTS_SIM_ARENA_H

#include "src/base/common.h"

/* From now on, until arena_end: allocate in the arena, which is empty. */
void arena_begin(void);

/* The memory is gone, with all that is in it. */
void arena_end(void);

/* A copy of the arena. */
struct arena_copy {
    uint8_t *bytes;
    size_t len;
    size_t cap;
};
void arena_save(struct arena_copy *copy);
void arena_restore(const struct arena_copy *copy);
void arena_copy_release(struct arena_copy *copy);

/* Blocks that were allocated and not freed, outside of the arena. */
uint64_t arena_blocks_in_use(void);

#endif /* TESTS_SIM_ARENA_H */
