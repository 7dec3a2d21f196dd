/* Scripts of commands and their expected output, in the datadriven format.
 *
 *     # A comment.
 *     command key key=value key=(v1,v2)
 *     input lines
 *     ----
 *     expected lines, up to a blank one
 *
 * Counterpart: the Go package cockroachdb/datadriven, as raft-tests.md 3
 * describes it. */

#ifndef TESTS_DATADRIVEN_SCRIPT_H
#define TESTS_DATADRIVEN_SCRIPT_H

#include "src/base/common.h"
#include "src/base/err.h"

/* `key`, `key=value` or `key=(v1,v2)`. */
struct script_arg {
    char *key;
    char **vals;
    size_t n_vals; /* 0: no "=" */
};

struct script_case {
    size_t line; /* of the directive, from 1 */
    char *cmd;
    struct script_arg *args;
    size_t n_args;
    char *input;      /* without the spaces around it */
    char *expected;   /* lines, each with its newline */
    size_t out_begin; /* where the expected lines stand in the file */
    size_t out_end;
};

struct script {
    char *text; /* the file */
    size_t len;
    struct script_case *cases;
    size_t n_cases;
};

/* Read and parse a file. Errors: -errno, ERR_MALFORMED; `em` names the line.
 * On success release with script_release. */
MUST_CHECK int script_read(const char *path, struct script *out,
                           struct errmsg *em);
void script_release(struct script *s);

/* The first argument of this key; NULL: none. */
const struct script_arg *script_find_arg(const struct script_case *c,
                                         const char *key);

/* Decimal, and the words that Go's ParseBool knows. False: something else. */
bool script_parse_u64(const char *s, uint64_t *out);
bool script_parse_bool(const char *s, bool *out);

#endif /* TESTS_DATADRIVEN_SCRIPT_H */
