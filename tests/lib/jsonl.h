/* Files of test vectors: one JSON object a line.
 *
 * Vectors recorded from other implementations are not part of the repository.
 * They are looked for in the directory named by RAFTEXAMPLE_SHARED, or in
 * ../shared; where they are missing, a test says so and passes. */

#ifndef TESTS_LIB_JSONL_H
#define TESTS_LIB_JSONL_H

#include "src/base/common.h"

struct jsonl; /* opaque */

/* The path of `relative` in the directory of shared data; free with xfree. */
char *shared_path(const char *relative);

/* Open a file of vectors in the directory of shared data. NULL, after a line
 * that says what is skipped, if it is not there. */
struct jsonl *jsonl_open_shared(const char *relative);

/* Go to the next object; false at the end. Anything but an object with at most
 * 32 keys on a line aborts the test. */
bool jsonl_next(struct jsonl *j);

/* The value of a key of the current object, NULL if it has none: a string
 * unescaped, anything else as its JSON text. Valid until the next object. */
const char *jsonl_get(const struct jsonl *j, const char *key);

/* The value of a key in hexadecimal, as bytes; an absent key is absent bytes.
 * Free the data with xfree. */
uint8_t *jsonl_get_hex(const struct jsonl *j, const char *key, size_t *len);

/* The number of the current line, from 1. */
size_t jsonl_line(const struct jsonl *j);

void jsonl_close(struct jsonl *j); /* NULL: no-op */

#endif /* TESTS_LIB_JSONL_H */
