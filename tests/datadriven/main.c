/* Run datadriven scripts against the core.
 *
 *     datadriven [FILE | DIRECTORY]...
 *
 * A directory stands for the .txt files in and below it. Each file gets a fresh
 * environment; the first case that differs ends it. With REWRITE=1 in the
 * environment the files are rewritten with the actual output instead: read the
 * diff before you commit it. Lines of the reference's logger in expected output
 * are left out of the comparison, as our words are our own (raft-tests.md 6).
 *
 * Exit status: 0 if all files passed, 1 if one failed, 2 on wrong use. */

#include <dirent.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/alloc.h"
#include "tests/datadriven/runner.h"

/* --- failures that end a file --- */

static jmp_buf fail_env;
static char fail_text[512];

void runner_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(fail_text, sizeof fail_text, fmt, ap);
    va_end(ap);
    longjmp(fail_env, 1);
}

static void sink(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    if (level == LOG_FATAL) {
        runner_fail("fatal: %s", line);
    }
}

const struct logger runner_logger = {.level = LOG_FATAL, .sink = sink};

/* --- comparing --- */

/* A line of the reference's logger: a level after any spaces, then a space. */
static bool is_log_line(const char *line)
{
    static const char *const levels[] = {"DEBUG ", "INFO ", "WARN ", "ERROR ",
                                         "FATAL "};

    line += strspn(line, " ");
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (strncmp(line, levels[i], strlen(levels[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* What is left of expected output without the lines of the logger. A command
 * that only logged said nothing else, and that reads "ok". */
static void drop_log_lines(const char *expected, struct buf *out)
{
    for (const char *p = expected; *p != '\0';) {
        const char *end = strchr(p, '\n') + 1;

        if (!is_log_line(p)) {
            buf_append(out, p, (size_t)(end - p));
        }
        p = end;
    }
    if (out->len == 0) {
        buf_append_str(out, "ok\n");
    }
}

static void end_last_line(struct buf *b)
{
    if (b->len > 0 && b->data[b->len - 1] != '\n') {
        buf_append_byte(b, '\n');
    }
}

static bool output_matches(const struct runner *runner,
                           const struct script_case *c, struct buf *actual)
{
    struct buf want;
    bool same;

    end_last_line(actual);
    buf_init(&want, BUF_UNLIMITED);
    if (runner->drops_log_lines) {
        drop_log_lines(c->expected, &want);
    } else {
        buf_append_str(&want, c->expected);
    }
    same = want.len == actual->len &&
           (want.len == 0 || memcmp(want.data, actual->data, want.len) == 0);
    if (!same) {
        printf("--- expected\n%s--- actual\n%s---\n", buf_cstr(&want),
               buf_cstr(actual));
    }
    buf_release(&want);
    return same;
}

/* --- one file --- */

static const struct runner *runner_of(const struct script *s)
{
    static const struct runner *const by_command[] = {&quorum_runner,
                                                      &confchange_runner};

    for (size_t i = 0; i < ARRAY_LEN(by_command); i++) {
        const char *const *cmd = by_command[i]->commands;

        for (; s->n_cases > 0 && *cmd != NULL; cmd++) {
            if (strcmp(s->cases[0].cmd, *cmd) == 0) {
                return by_command[i];
            }
        }
    }
    return &interaction_runner;
}

/* What the script is now, with the outputs so far put in. */
struct rewrite {
    bool on;
    struct buf text;
    size_t copied; /* of the old text */
};

/* Output with blank lines needs the form with double separators. */
static bool has_blank_line(const char *s)
{
    return s[0] == '\n' || strstr(s, "\n\n") != NULL;
}

static void rewrite_case(struct rewrite *rw, const struct script *s,
                         const struct script_case *c, struct buf *actual)
{
    bool longer = has_blank_line(buf_cstr(actual));

    end_last_line(actual);
    buf_append(&rw->text, s->text + rw->copied, c->out_begin - rw->copied);
    if (longer) {
        buf_append_str(&rw->text, "----\n");
    }
    buf_append(&rw->text, buf_cstr(actual), actual->len);
    if (longer) {
        buf_append_str(&rw->text, "----\n----\n");
    }
    rw->copied = c->out_end;
}

static bool rewrite_finish(struct rewrite *rw, const struct script *s,
                           const char *path)
{
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL;

    buf_append(&rw->text, s->text + rw->copied, s->len - rw->copied);
    ok = ok && fwrite(rw->text.data, 1, rw->text.len, f) == rw->text.len;
    if (f != NULL && fclose(f) != 0) {
        ok = false;
    }
    if (!ok) {
        printf("%s: cannot be rewritten\n", path);
    }
    return ok;
}

/* Run one case; false if it could not be run to its end. */
static bool run_case(const struct runner *runner, void *env,
                     const struct script_case *c, struct buf *actual)
{
    if (setjmp(fail_env) != 0) {
        return false;
    }
    runner->run(env, c, actual);
    return true;
}

/* Run all cases; false at the first one that fails. */
static bool run_cases(const char *path, const struct runner *runner, void *env,
                      const struct script *s, struct rewrite *rw)
{
    for (size_t i = 0; i < s->n_cases; i++) {
        const struct script_case *c = &s->cases[i];
        struct buf actual;
        bool ok = true;

        if (strcmp(c->cmd, "subtest") == 0) {
            continue;
        }
        buf_init(&actual, BUF_UNLIMITED);
        if (!run_case(runner, env, c, &actual)) {
            /* The environment may be half changed: it is left as it is. */
            printf("%s:%zu: %s: %s\n", path, c->line, c->cmd, fail_text);
            return false;
        }
        if (rw->on) {
            rewrite_case(rw, s, c, &actual);
        } else if (!output_matches(runner, c, &actual)) {
            printf("%s:%zu: %s: output differs\n", path, c->line, c->cmd);
            ok = false;
        }
        buf_release(&actual);
        if (!ok) {
            runner->close(env);
            return false;
        }
    }
    runner->close(env);
    return true;
}

static bool run_file(const char *path)
{
    struct rewrite rw = {.on = getenv("REWRITE") != NULL};
    const struct runner *runner;
    struct script s;
    struct errmsg em;
    bool ok;

    if (script_read(path, &s, &em) < 0) {
        printf("%s\n", em.text);
        return false;
    }
    buf_init(&rw.text, BUF_UNLIMITED);
    runner = runner_of(&s);
    ok = run_cases(path, runner, runner->open(), &s, &rw);
    if (ok && rw.on) {
        ok = rewrite_finish(&rw, &s, path);
    }
    printf("%s %s (%zu cases)\n", ok ? "ok  " : "FAIL", path, s.n_cases);
    buf_release(&rw.text);
    script_release(&s);
    return ok;
}

/* --- files and directories --- */

static int run_path(const char *path, size_t *n_files);

static int run_directory(const char *path, size_t *n_files)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    int failed = n < 0 ? 1 : 0;

    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char *below = xasprintf("%s/%s", path, name);
        const char *dot = strrchr(name, '.');
        struct stat st;

        if (name[0] != '.' && stat(below, &st) == 0 &&
            (S_ISDIR(st.st_mode) ||
             (dot != NULL && strcmp(dot, ".txt") == 0))) {
            failed += run_path(below, n_files);
        }
        xfree(below);
        free(entries[i]); /* scandir's, not xmalloc's */
    }
    if (n >= 0) {
        free(entries);
    }
    return failed;
}

/* The number of failed files at or below `path`. */
static int run_path(const char *path, size_t *n_files)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return run_directory(path, n_files);
    }
    (*n_files)++;
    return run_file(path) ? 0 : 1;
}

int main(int argc, char **argv)
{
    size_t n_files = 0;
    int failed = 0;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s [FILE | DIRECTORY]...\n", argv[0]);
        return 2;
    }
    /* So that nothing is lost if an assertion aborts. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        failed += run_path(argv[i], &n_files);
    }
    printf("%zu files, %d failed\n", n_files, failed);
    return failed == 0 ? 0 : 1;
}
