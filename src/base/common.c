/* The end of the line for broken invariants.
 *
 * Written with stdio and nothing else, so that it works whatever state the
 * rest of the program is in. */

#include "src/base/common.h"

void assert_fail(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    (void)fflush(stderr);
    abort();
}
