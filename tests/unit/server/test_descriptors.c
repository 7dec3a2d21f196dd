/* Goal: whatever the limit is, something is left for files and for our links to
 * the peers. Method: limits small and large, and how they are shared out. */

#include "src/server/descriptors.h"

#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"

struct share_case {
    uint64_t limit;
    size_t clients;
    size_t peers;
};

static void test_limits(void **state)
{
    static const struct share_case cases[] = {
        {0, 8, 16},          {64, 8, 16},
        {128, 32, 16},       {256, 144, 24},
        {1024, 720, 120},    {4096, 3520, 256},
        {16960, 16384, 256}, {UINT64_MAX, 16384, 256},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct descriptors d = descriptors_share(cases[i].limit);

        assert_int_equal(d.clients, cases[i].clients);
        assert_int_equal(d.peers, cases[i].peers);
    }
}

static void test_something_is_left(void **state)
{
    (void)state;
    for (uint64_t limit = FD_LIMIT_MIN; limit < 40000; limit++) {
        struct descriptors d = descriptors_share(limit);
        uint64_t left = limit - d.clients - d.peers;

        /* Files, the loop's own, and the links to as many peers. */
        assert_true(left >= 24 + d.peers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_something_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
