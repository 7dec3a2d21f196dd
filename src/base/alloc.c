/* Memory that is never NULL: the only file that calls malloc.
 *
 * The failure path formats by hand-sized steps and allocates nothing: it runs
 * when there is nothing left to allocate. */

#include "src/base/alloc.h"

#include <stdarg.h>

#define GROW_CAP_MIN 16

NORETURN static void out_of_memory(size_t n, size_t size)
{
    (void)fprintf(stderr, "out of memory: %zu times %zu bytes\n", n, size);
    (void)fflush(stderr);
    abort();
}

void *xmalloc(size_t size)
{
    /* malloc(0) may give NULL, which callers must never see. */
    void *p = malloc(size == 0 ? 1 : size);

    if (p == NULL) {
        out_of_memory(1, size);
    }
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total)) {
        out_of_memory(n, size);
    }
    void *p = calloc(1, total == 0 ? 1 : total);
    if (p == NULL) {
        out_of_memory(n, size);
    }
    return p;
}

void *xrealloc_array(void *p, size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total)) {
        out_of_memory(n, size);
    }
    /* realloc(p, 0) may free p, which would leave the caller with nothing. */
    p = realloc(p, total == 0 ? 1 : total);
    if (p == NULL) {
        out_of_memory(n, size);
    }
    return p;
}

char *xstrdup(const char *s)
{
    return s == NULL ? NULL : xmemdup(s, strlen(s) + 1);
}

void *xmemdup(const void *p, size_t len)
{
    void *copy = xmalloc(len);

    if (len > 0) {
        memcpy(copy, p, len);
    }
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(len >= 0);

    char *s = xmalloc((size_t)len + 1);
    va_start(ap, fmt);
    (void)vsnprintf(s, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return s;
}

void xfree(void *p)
{
    free(p);
}

size_t grow_cap(size_t cap, size_t need)
{
    size_t doubled = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;

    if (doubled < GROW_CAP_MIN) {
        doubled = GROW_CAP_MIN;
    }
    return doubled > need ? doubled : need;
}
