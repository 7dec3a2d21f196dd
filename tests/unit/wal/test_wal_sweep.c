/* Goal: no single fault at rest loses anything silently [reliability L2].
 * Method: the small logs of tests/lib/wal_corpora.c; every position of every
 * file gets every kind of fault, one at a time (tests/lib/wal_sweep.h). The
 * counts are printed. `make sweep` does the same with more and larger logs. */

#include <inttypes.h>

#include "tests/lib/cmocka.h"
#include "tests/lib/wal_sweep.h"

static void test_single_faults(void **state)
{
    uint64_t total[SWEEP_VERDICTS] = {0};
    size_t n;
    const struct wal_corpus *corpora = wal_corpora(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct wal_sweep s;

        if (corpora[i].size != CORPUS_SMALL) {
            continue;
        }
        wal_sweep_init(&s, &corpora[i]);
        wal_sweep_run(&s);
        print_message("%-20s %zu files: %6" PRIu64 " same, %5" PRIu64
                      " repaired, %6" PRIu64 " refused, %" PRIu64
                      " silent losses\n",
                      corpora[i].name, s.n_files, s.counts.n[SWEEP_SAME],
                      s.counts.n[SWEEP_REPAIRED], s.counts.n[SWEEP_REFUSED],
                      s.counts.n[SWEEP_LOST]);
        for (int v = 0; v < SWEEP_VERDICTS; v++) {
            total[v] += s.counts.n[v];
        }
        wal_sweep_release(&s);
    }
    assert_int_equal(total[SWEEP_LOST], 0);
    assert_true(total[SWEEP_REPAIRED] > 0);
    assert_true(total[SWEEP_REFUSED] > total[SWEEP_REPAIRED]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
