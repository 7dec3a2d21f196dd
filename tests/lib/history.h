/* Files of histories, told to the judge line by line.
 *
 * Three formats, told apart by the line itself; blank lines and lines that
 * begin with # are passed by.
 *
 * Our own, one event a line, words between blanks:
 *
 *     PROCESS invoke put KEY VALUE
 *     PROCESS invoke get KEY
 *     PROCESS ok put
 *     PROCESS ok get VALUE            nil: the key was absent
 *     PROCESS info                    unknown: it may happen later, or never
 *     PROCESS fail                    it did not happen and will not, or it was
 *                                     a read and says nothing
 *
 * A process is a number and has one operation at a time; one that ended with
 * `info` or never is over for the process, not for the judge. A value is any
 * word but nil that stands for the bytes: whoever writes the file sees to it
 * that equal words are equal bytes.
 *
 * Jepsen's log of one register, and the key-value histories of porcupine's
 * tests, at first "", which is our absent:
 *
 *     INFO  jepsen.util - 2 :invoke :cas [3 0]
 *     {:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"} */

#ifndef TESTS_LIB_HISTORY_H
#define TESTS_LIB_HISTORY_H

#include "src/base/err.h"
#include "tests/lib/linear.h"

/* Where an operation stands in the file. */
struct history_op {
    size_t call_line;
    size_t return_line; /* 0: its end is unknown, or it did not happen */
    int call;           /* what it is; the parsers' own number */
};

struct history {
    struct linear *linear;  /* owned */
    struct history_op *ops; /* by the judge's number */
    size_t n_ops;
    size_t ops_cap;
    size_t *open; /* by process: its operation plus 1, or 0 */
    size_t n_open;
    size_t line; /* of the last line told */
};

void history_init(struct history *h);
void history_release(struct history *h);

/* Tell one line, without its end. ERR_MALFORMED, with the reason, if it
 * is in none of the formats or does not fit the lines before it. */
MUST_CHECK int history_tell(struct history *h, const char *line,
                            struct errmsg *em);

/* Tell a whole file. -errno if it cannot be read; else as history_tell, with
 * path and line in front. */
MUST_CHECK int history_load(struct history *h, const char *path,
                            struct errmsg *em);

#endif /* TESTS_LIB_HISTORY_H */
