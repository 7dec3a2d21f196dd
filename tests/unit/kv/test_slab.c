/* Goal: items of a slab never overlap, are aligned, and are used again. Method:
 * a few thousand items of all sizes, allocated and freed at random, each filled
 * with a byte of its own. */

#include "src/kv/slab.h"

#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

#define N_ITEMS 2000

static void assert_filled(const uint8_t *p, size_t size, uint8_t byte)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i] != byte) {
            fail_msg("byte %zu of %zu is another's", i, size);
        }
    }
}

static void test_items_keep_their_bytes(void **state)
{
    static uint8_t *items[N_ITEMS];
    static size_t sizes[N_ITEMS];
    struct slab s;
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    slab_init(&s);
    for (size_t step = 0; step < 50000; step++) {
        size_t i = (size_t)rng_below(&r, N_ITEMS);

        if (items[i] != NULL) {
            assert_filled(items[i], sizes[i], (uint8_t)i);
            slab_free(&s, items[i], sizes[i]);
            items[i] = NULL;
            continue;
        }
        sizes[i] = 1 + (size_t)rng_below(
                           &r, rng_below(&r, 8) == 0 ? 2 * SLAB_ITEM_MAX : 100);
        items[i] = slab_alloc(&s, sizes[i]);
        assert_int_equal((uintptr_t)items[i] % 8, 0);
        memset(items[i], (int)(uint8_t)i, sizes[i]);
    }
    for (size_t i = 0; i < N_ITEMS; i++) {
        if (items[i] != NULL) {
            assert_filled(items[i], sizes[i], (uint8_t)i);
            if (sizes[i] > SLAB_ITEM_MAX) {
                slab_free(&s, items[i], sizes[i]); /* the others go at once */
            }
        }
    }
    slab_release(&s);
}

/* A cell that was given back is the next one of its size, and of no other. */
static void test_cells_are_used_again(void **state)
{
    struct slab s;
    void *a;
    void *b;

    (void)state;
    slab_init(&s);
    a = slab_alloc(&s, 136);
    b = slab_alloc(&s, 136);
    assert_ptr_not_equal(a, b);
    slab_free(&s, a, 136);
    slab_free(&s, NULL, 136);
    assert_ptr_not_equal(slab_alloc(&s, 137), a);
    assert_ptr_equal(slab_alloc(&s, 129), a); /* rounded up to 136 */
    slab_release(&s);
    slab_release(&s); /* empty again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_keep_their_bytes),
        cmocka_unit_test(test_cells_are_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
