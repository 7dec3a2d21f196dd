/* Texts for the one error space, and the line that says where and why. */

#include "src/base/err.h"

#include <stdarg.h>

#define ERRNO_MAX 4095

const char *err_str(int rc)
{
    switch (rc) {
#define X(name, text)                                                          \
    case name:                                                                 \
        return text;
        ERR_MAP(X)
#undef X
    default:
        break;
    }
    if (rc < 0 && rc >= -ERRNO_MAX) {
        return strerror(-rc);
    }
    return rc >= 0 ? "no error" : "unknown error";
}

/* Append what fits; the text always ends in a 0. */
static void errmsg_append(struct errmsg *em, const char *s, size_t n)
{
    size_t len = strlen(em->text);
    size_t room = sizeof(em->text) - 1 - len;

    if (n > room) {
        n = room;
    }
    memcpy(em->text + len, s, n);
    em->text[len + n] = '\0';
}

int errmsg_set(struct errmsg *em, int rc, const char *fmt, ...)
{
    if (em == NULL) {
        return rc;
    }
    /* Taken before formatting: an argument may be text of `em` itself, or of
     * strerror's buffer. */
    struct errmsg made;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(made.text, sizeof(made.text), fmt, ap);
    va_end(ap);

    const char *why = err_str(rc);
    errmsg_append(&made, ": ", 2);
    errmsg_append(&made, why, strlen(why));
    *em = made;
    return rc;
}

int errmsg_text(struct errmsg *em, int rc, const char *fmt, ...)
{
    if (em == NULL) {
        return rc;
    }
    struct errmsg made;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(made.text, sizeof(made.text), fmt, ap);
    va_end(ap);
    *em = made;
    return rc;
}

int errmsg_prefix(struct errmsg *em, int rc, const char *fmt, ...)
{
    if (em == NULL) {
        return rc;
    }
    struct errmsg made;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(made.text, sizeof(made.text), fmt, ap);
    va_end(ap);

    errmsg_append(&made, ": ", 2);
    errmsg_append(&made, em->text, strlen(em->text));
    *em = made;
    return rc;
}
