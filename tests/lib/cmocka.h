/* cmocka and the headers it wants to have been included before it. */

#ifndef TESTS_LIB_CMOCKA_H
#define TESTS_LIB_CMOCKA_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif /* TESTS_LIB_CMOCKA_H */
