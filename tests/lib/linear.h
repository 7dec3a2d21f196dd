/* The linearizability judge: is there one order of the operations, each between
 * its call and its return, in which a map of registers answers as recorded?
 *
 * A history is told in the order of its events: linear_call_*() when a client
 * sends, linear_return_*() when it has the answer. The judge knows no clock;
 * the order of these calls is all the time there is, so that the simulator, a
 * file and a table of a test are judged alike, and twice the same.
 *
 * Each key is a register of its own, absent at first, and is judged by itself:
 * linearizability is local [Herlihy and Wing, 3.1]. An operation without a
 * return is one of unknown outcome: it may take effect at any later moment, or
 * never [reliability 8]; a read without a return says nothing.
 *
 * Counterpart: porcupine (checker.go), and models of its tests.
 * Differs: operations of unknown outcome are optional instead of being put
 * at the end, and what cannot make a difference is not tried (linear.c says
 * when); the search is bounded by steps, not by time, and gives every key a
 * little before it gives one of them much. */

#ifndef TESTS_LIB_LINEAR_H
#define TESTS_LIB_LINEAR_H

#include "src/base/common.h"

struct linear; /* opaque */

/* The bound of 10 s for one key [reliability 8], as steps of the search. A step
 * is one operation tried in one place. On a register they take 0.1 to 0.3 us
 * each, so that this is well below 10 s, in at most 3 GB for 500 operations;
 * appends make a new text in each step and take three times as long. */
#define LINEAR_STEPS_MAX 20000000

enum linear_verdict {
    LINEAR_OK,
    LINEAR_VIOLATION, /* no order explains what was answered */
    LINEAR_UNDECIDED, /* some key needed more steps than it was given */
};

struct linear_report {
    enum linear_verdict verdict;
    uint64_t steps;       /* of all keys */
    uint64_t steps_worst; /* of the key that took most */
    size_t n_keys;
    size_t n_ops; /* that were judged: without those that say nothing */
    /* Of the violation, or of the first undecided key; borrowed from the
     * judge. `op` is the one whose return no order got beyond. */
    struct bytes key;
    size_t op;
};

struct linear *linear_new(void);
void linear_free(struct linear *l); /* NULL: no-op */

/* An operation begins. Returns its number: 0, 1, 2, ... Keys and values are
 * copied; a value with data NULL is "absent". */
size_t linear_call_read(struct linear *l, struct bytes key);
size_t linear_call_write(struct linear *l, struct bytes key,
                         struct bytes value);
/* Write `to` if the register is `from`. */
size_t linear_call_cas(struct linear *l, struct bytes key, struct bytes from,
                       struct bytes to);
/* Add to the end of the register; absent counts as empty. */
size_t linear_call_append(struct linear *l, struct bytes key,
                          struct bytes value);

/* The operation `op` ends, and has taken effect; of a CAS: it found `from`. */
void linear_return_done(struct linear *l, size_t op);
/* A read ends with this value; data NULL: the key was absent. */
void linear_return_value(struct linear *l, size_t op, struct bytes value);
/* A CAS ends: the register was not `from`. */
void linear_return_unequal(struct linear *l, size_t op);
/* `op` did not happen and will not: a write that was refused, a read without
 * an answer. A read that saw such a write is a violation. */
void linear_return_none(struct linear *l, size_t op);

/* Judge what was told so far, each key with at most `steps_max` steps. A
 * violation of one key outweighs undecided ones. The history can be told on
 * and judged again. */
void linear_judge(struct linear *l, uint64_t steps_max,
                  struct linear_report *out);

#endif /* TESTS_LIB_LINEAR_H */
