/* Memory that is never NULL.
 *
 * Running out of memory aborts with one line: a half-done transition is worse
 * than a restart from disk. The price is that nobody outside may choose our
 * sizes: every length from a peer, client or file is checked against bounds.h
 * before it comes here. Only alloc.c calls malloc. */

#ifndef SRC_BASE_ALLOC_H
#define SRC_BASE_ALLOC_H

#include "src/base/common.h"

/* `size` bytes, uninitialised. A size of 0 gives a pointer that can be freed.
 */
void *xmalloc(size_t size);

/* `n * size` bytes of zeros; an overflow of the product aborts. */
void *xcalloc(size_t n, size_t size);

/* Change the size of `p` (NULL: as xmalloc) to `n * size` bytes. */
void *xrealloc_array(void *p, size_t n, size_t size);

/* Copies owned by the caller; xstrdup(NULL) is NULL. */
char *xstrdup(const char *s);
void *xmemdup(const void *p, size_t len);

/* printf into a string owned by the caller. */
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Free what any of the above gave. NULL is a no-op. */
void xfree(void *p);

/* The capacity to grow to when `need` no longer fits into `cap`: doubling, so
 * that appending stays linear. */
size_t grow_cap(size_t cap, size_t need);

#endif /* SRC_BASE_ALLOC_H */
