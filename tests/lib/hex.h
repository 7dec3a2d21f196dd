/* Bytes as hexadecimal text, for tables of vectors. */

#ifndef TESTS_LIB_HEX_H
#define TESTS_LIB_HEX_H

#include "src/base/common.h"

/* The bytes of `hex`, which may contain spaces; free with xfree. Anything but
 * pairs of digits aborts the test. */
uint8_t *hex_decode(const char *hex, size_t *len);

/* The lower-case text of some bytes; free with xfree. */
char *hex_encode(struct bytes b);

#endif /* TESTS_LIB_HEX_H */
