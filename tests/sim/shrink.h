/* Make a failing run simpler: leave out and zero its choices as long as the
 * same invariant fails [reliability 7]. */

#ifndef TESTS_SIM_SHRINK_H
#define TESTS_SIM_SHRINK_H

#include "src/base/common.h"

/* Read the choices in `path`, write the simpler ones to `path`.min and print
 * what they do. Returns the program's status. */
int shrink(const char *path, uint64_t steps);

#endif /* TESTS_SIM_SHRINK_H */
