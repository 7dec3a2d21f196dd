/* Fatal conditions of the core, caught: a logger whose sink leaves by longjmp.
 *
 *     struct fatal_trap trap;
 *     fatal_trap_init(&trap);
 *     memory_storage_init(&ms, &trap.lg);
 *     assert_fatal(&trap, memory_storage_append(&ms, gap, 1));
 *
 * What the statement had allocated or half done stays so. */

#ifndef TESTS_LIB_FATAL_H
#define TESTS_LIB_FATAL_H

#include "tests/lib/cmocka.h"

#include "src/base/log.h"

struct fatal_trap {
    struct logger lg; /* hand &trap.lg to the code under test */
    jmp_buf env;
    bool armed;     /* inside of assert_fatal */
    char text[256]; /* the last fatal line */
};

/* Lines below fatal are dropped. A fatal line outside of assert_fatal fails
 * the test. */
void fatal_trap_init(struct fatal_trap *t);

#define assert_fatal(trap, stmt)                                               \
    do {                                                                       \
        (trap)->armed = true;                                                  \
        if (setjmp((trap)->env) == 0) {                                        \
            stmt;                                                              \
            fail_msg("not fatal: %s", #stmt);                                  \
        }                                                                      \
        (trap)->armed = false;                                                 \
    } while (0)

#endif /* TESTS_LIB_FATAL_H */
