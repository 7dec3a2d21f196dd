/* linear [-s STEPS] FILE...: judges histories (tests/lib/history.h).
 *
 * Prints "FILE VERDICT" for each: linearizable, not, or undecided after STEPS
 * steps of the search for one key; and to stderr what it is about, with the
 * lines of the operation that no order explains. The status is 0 if all are
 * linearizable, 1 if not, 2 if a file cannot be read. */

#include <inttypes.h>

#include "tests/lib/history.h"

static const char *const verdict_names[] = {
    [LINEAR_OK] = "linearizable",
    [LINEAR_VIOLATION] = "not",
    [LINEAR_UNDECIDED] = "undecided",
};

static void explain(const char *path, const struct history *h,
                    const struct linear_report *r)
{
    size_t begins = h->ops[r->op].call_line;
    size_t ends = h->ops[r->op].return_line;

    fprintf(stderr, "%s: key %.*s: %s the operation of lines %zu to %zu\n",
            path, (int)r->key.len, (const char *)r->key.data,
            r->verdict == LINEAR_VIOLATION ? "no order explains"
                                           : "undecided, got as far as",
            begins, ends);
}

/* Judge one file; its status. */
static int judge_file(const char *path, uint64_t steps_max)
{
    struct history h;
    struct linear_report r;
    struct errmsg em;
    int status = 2;

    history_init(&h);
    if (history_load(&h, path, &em) < 0) {
        fprintf(stderr, "%s\n", em.text);
    } else {
        linear_judge(h.linear, steps_max, &r);
        printf("%s %s\n", path, verdict_names[r.verdict]);
        fprintf(stderr,
                "%s: %zu operations, %zu keys, %" PRIu64 " steps, %" PRIu64
                " for the worst key\n",
                path, r.n_ops, r.n_keys, r.steps, r.steps_worst);
        if (r.verdict != LINEAR_OK) {
            explain(path, &h, &r);
        }
        status = r.verdict != LINEAR_OK;
    }
    history_release(&h);
    return status;
}

static int usage(void)
{
    fprintf(stderr, "usage: linear [-s STEPS] FILE...\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t steps_max = LINEAR_STEPS_MAX;
    int first = 1;
    int worst = 0;

    if (argc > 2 && strcmp(argv[1], "-s") == 0) {
        char *end;
        steps_max = strtoull(argv[2], &end, 10);
        if (*end != 0 || steps_max == 0) {
            return usage();
        }
        first = 3;
    }
    if (first == argc) {
        return usage();
    }
    for (int i = first; i < argc; i++) {
        int status = judge_file(argv[i], steps_max);
        worst = status > worst ? status : worst;
    }
    return worst;
}
