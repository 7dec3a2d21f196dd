/* What all fuzz targets share.
 *
 * A target is a file tests/fuzz/NAME.c with the function below; libFuzzer or
 * replay.c brings the main. It reaches its code without I/O, asserts the
 * property that reliability.md section 10 names for it, and leaves nothing
 * behind. Input that says nothing new is refused with -1 where that matters. */

#ifndef TESTS_FUZZ_LIB_FUZZ_H
#define TESTS_FUZZ_LIB_FUZZ_H

#include "src/base/common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Read every byte: whatever the code under test hands out must be there, and
 * a compiler that sees no use of it would remove the read. */
void fuzz_use(struct bytes b);
void fuzz_use_number(uint64_t v);

/* The input as a source of small choices; 0 when it has run out. */
struct fuzz_input {
    const uint8_t *p;
    size_t left;
};
uint8_t fuzz_byte(struct fuzz_input *in);
uint64_t fuzz_number(struct fuzz_input *in, size_t n_bytes); /* up to 8 */

/* The next `len` bytes, or as many as there are. */
struct bytes fuzz_take(struct fuzz_input *in, size_t len);

/* The same bytes in memory of exactly that size, so that a sanitizer sees a
 * read past their end; never NULL. Free with xfree. */
uint8_t *fuzz_copy(struct bytes b);

bool fuzz_equal(struct bytes a, struct bytes b);

#endif /* TESTS_FUZZ_LIB_FUZZ_H */
