/* Hostile and ordinary bytes for an HTTP listener, and what must come back:
 * the table of [reliability 11], shared by the tests of the parser and of the
 * listeners.
 *
 * The listener of the cases takes bodies up to HTTP_CASE_LIMIT bytes and
 * answers every request it is given with 200. */

#ifndef TESTS_LIB_HTTP_CASES_H
#define TESTS_LIB_HTTP_CASES_H

#include "src/base/common.h"

#define HTTP_CASE_LIMIT 64

struct http_case {
    const char *name;
    struct bytes in;
    const char *answers; /* status codes in order, "200 400"; "" for none */
    bool open;           /* the connection is kept behind the last answer */
    bool by_listener;    /* not the parser's verdict: a limit of the listener */
};

/* The table; *n is its length. Owned by the callee, made once. */
const struct http_case *http_cases(size_t *n);

#endif /* TESTS_LIB_HTTP_CASES_H */
