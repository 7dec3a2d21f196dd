/* What runs one kind of script: quorum, confchange or interaction.
 *
 * main.c picks the runner by the commands that a file uses, opens one
 * environment per file and gives it the cases in order. */

#ifndef TESTS_DATADRIVEN_RUNNER_H
#define TESTS_DATADRIVEN_RUNNER_H

#include "src/base/buf.h"
#include "src/base/log.h"
#include "tests/datadriven/script.h"

struct runner {
    /* Commands, any of which tells that a file is for this runner; NULL at
     * the end. */
    const char *const *commands;

    /* Whether expected output may contain lines of the reference's logger, to
     * be left out of the comparison (raft-tests.md 6). */
    bool drops_log_lines;

    void *(*open)(void);
    void (*run)(void *env, const struct script_case *c, struct buf *out);
    void (*close)(void *env);
};

extern const struct runner quorum_runner;
extern const struct runner confchange_runner;
extern const struct runner interaction_runner;

/* The script asks for something that makes no sense: end the file here. */
NORETURN void runner_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* For the code under test: a fatal condition ends the file, other lines are
 * dropped. */
extern const struct logger runner_logger;

#endif /* TESTS_DATADRIVEN_RUNNER_H */
