/* The allocator behind malloc in the simulator. arena.h has the contract.
 *
 * Blocks are of a few sizes, each with a list of free ones; a block is preceded
 * by its size. What the arena knows of itself lies at its own start, so that a
 * copy of the bytes is a copy of all. */

#include "tests/sim/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES ((size_t)1 << 30)
#define ALIGN       16

/* Classes: multiples of 16 up to 1 KiB, then powers of two. */
#define SMALL_MAX 1024
#define N_SMALL   (SMALL_MAX / ALIGN)
#define N_CLASSES (N_SMALL + 22)

/* Before the bytes of the caller. */
struct block {
    size_t class;
    struct block *next; /* while it is free */
};
#define HEAD sizeof(struct block)
static_assert(HEAD % ALIGN == 0, "what follows is aligned");

struct arena {
    size_t used;
    struct block *free[N_CLASSES];
};

static struct arena *arena; /* NULL: not in use */
static uint64_t in_use;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

static size_t class_of(size_t size)
{
    size_t class = N_SMALL;

    if (size <= SMALL_MAX) {
        return size == 0 ? 0 : (size - 1) / ALIGN;
    }
    for (size_t room = 2 * (size_t)SMALL_MAX; room < size; room *= 2) {
        class ++;
    }
    ASSERT(class < N_CLASSES);
    return class;
}

static size_t room_of(size_t class)
{
    return class < N_SMALL ? (class + 1) * ALIGN
                           : (size_t)SMALL_MAX << (class - N_SMALL + 1);
}

static struct block *block_of(void *p)
{
    return (struct block *)(void *)((uint8_t *)p - HEAD);
}

static bool is_inside(const void *p)
{
    const uint8_t *base = (const uint8_t *)arena;

    return arena != NULL && (const uint8_t *)p >= base &&
           (const uint8_t *)p < base + ARENA_BYTES;
}

static void *take(size_t size)
{
    size_t class = class_of(size);
    struct block *b = arena->free[class];

    if (b != NULL) {
        arena->free[class] = b->next;
    } else {
        b = (struct block *)(void *)((uint8_t *)arena + arena->used);
        arena->used += HEAD + room_of(class);
        ASSERT(arena->used <= ARENA_BYTES);
        b->class = class;
    }
    return (uint8_t *)b + HEAD;
}

void *__wrap_malloc(size_t size)
{
    if (arena != NULL) {
        return take(size);
    }
    in_use++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    if (arena != NULL) {
        void *p = take(n * size);

        memset(p, 0, n * size);
        return p;
    }
    in_use++;
    return __real_calloc(n, size);
}

static void *take_larger(void *p, size_t size)
{
    size_t room = room_of(block_of(p)->class);
    void *q;

    if (size <= room) {
        return p;
    }
    q = take(size);
    memcpy(q, p, room);
    __wrap_free(p);
    return q;
}

void *__wrap_realloc(void *p, size_t size)
{
    if (p == NULL) {
        return __wrap_malloc(size);
    }
    return is_inside(p) ? take_larger(p, size) : __real_realloc(p, size);
}

void __wrap_free(void *p)
{
    if (is_inside(p)) {
        struct block *b = block_of(p);

        b->next = arena->free[b->class];
        arena->free[b->class] = b;
        return;
    }
    in_use -= p != NULL;
    __real_free(p);
}

void arena_begin(void)
{
    void *p = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ASSERT(p != MAP_FAILED);
    ASSERT(arena == NULL);
    arena = p;
    arena->used = (sizeof(*arena) + ALIGN - 1) / ALIGN * ALIGN;
}

void arena_end(void)
{
    struct arena *a = arena;

    ASSERT(a != NULL);
    arena = NULL;
    (void)munmap(a, ARENA_BYTES);
}

void arena_save(struct arena_copy *copy)
{
    if (copy->cap < arena->used) {
        __real_free(copy->bytes);
        copy->cap = 2 * arena->used;
        copy->bytes = __real_malloc(copy->cap);
        ASSERT(copy->bytes != NULL);
    }
    copy->len = arena->used;
    memcpy(copy->bytes, arena, copy->len);
}

void arena_restore(const struct arena_copy *copy)
{
    memcpy(arena, copy->bytes, copy->len);
}

void arena_copy_release(struct arena_copy *copy)
{
    __real_free(copy->bytes);
    *copy = (struct arena_copy){0};
}

uint64_t arena_blocks_in_use(void)
{
    return in_use;
}
