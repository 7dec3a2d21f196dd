/* Goal: lines reach the sink from the level on, in one piece and on one line;
 * fatal lines end the process unless the sink leaves. Method: a sink that
 * counts and keeps the last line. */

#include "src/base/log.h"

#include "src/base/err.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/death.h"

struct capture {
    int n;
    enum log_level level;
    char line[4096];
    jmp_buf *leave; /* where fatal lines go, or NULL */
};

static void capture_line(void *ctx, enum log_level level, const char *line)
{
    struct capture *c = ctx;

    c->n++;
    c->level = level;
    (void)snprintf(c->line, sizeof(c->line), "%s", line);
    if (level == LOG_FATAL && c->leave != NULL) {
        longjmp(*c->leave, 1);
    }
}

static void test_levels(void **state)
{
    (void)state;
    struct capture c = {0};
    struct logger lg = {.level = LOG_WARN, .sink = capture_line, .ctx = &c};

    log_debug(&lg, "no");
    log_info(&lg, "no");
    assert_int_equal(c.n, 0);
    log_warn(&lg, "term %d", 7);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.level, LOG_WARN);
    assert_string_equal(c.line, "term 7");
    log_error(&lg, "disk");
    assert_int_equal(c.level, LOG_ERROR);
    lg.level = LOG_NONE;
    log_error(&lg, "no");
    assert_int_equal(c.n, 2);
}

static int called(int *n)
{
    return ++*n;
}

static void test_arguments_of_silent_lines_are_not_evaluated(void **state)
{
    (void)state;
    struct capture c = {0};
    struct logger lg = {.level = LOG_INFO, .sink = capture_line, .ctx = &c};
    int n = 0;

    log_debug(&lg, "%d", called(&n));
    assert_int_equal(n, 0);
    log_info(&lg, "%d", called(&n));
    assert_int_equal(n, 1);
}

static void test_no_logger_or_sink_is_silent(void **state)
{
    (void)state;
    struct logger lg = {.level = LOG_DEBUG};

    log_error(&lg, "lost");
    log_at(NULL, LOG_ERROR, "lost");
    assert_false(log_enabled(NULL, LOG_ERROR));
}

static void test_one_line_stays_one_line(void **state)
{
    (void)state;
    struct capture c = {0};
    struct logger lg = {.level = LOG_INFO, .sink = capture_line, .ctx = &c};
    char huge[5000];

    log_info(&lg, "peer %s", "a\nb\r\tc\x7f\xc3\xa9");
    assert_string_equal(c.line, "peer a?b??c?\xc3\xa9");
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    log_info(&lg, "%s", huge);
    assert_in_range(strlen(c.line), 1000, 3000);
}

static void test_fatal_reaches_the_sink_at_any_level(void **state)
{
    (void)state;
    jmp_buf leave;
    struct capture c = {.leave = &leave};
    struct logger lg = {.level = LOG_NONE, .sink = capture_line, .ctx = &c};

    if (setjmp(leave) == 0) {
        log_fatal(&lg, "tocommit(%d) is out of range", 9);
    }
    assert_string_equal(c.line, "tocommit(9) is out of range");
}

static void fatal_without_sink(void *ctx)
{
    log_fatal(ctx, "end");
}

static void test_fatal_aborts_if_the_sink_returns(void **state)
{
    (void)state;
    struct capture c = {0};
    struct logger lg = {.level = LOG_INFO, .sink = capture_line, .ctx = &c};

    assert_true(test_aborts(fatal_without_sink, NULL));
    assert_true(test_aborts(fatal_without_sink, &lg));
}

static void test_level_names(void **state)
{
    (void)state;
    for (int i = LOG_DEBUG; i <= LOG_NONE; i++) {
        enum log_level level;
        const char *name = log_level_name((enum log_level)i);

        assert_int_equal(log_level_parse(name, &level), 0);
        assert_int_equal(level, i);
    }
    enum log_level level = LOG_ERROR;
    assert_int_equal(log_level_parse("Info", &level), ERR_INVALID);
    assert_int_equal(log_level_parse("", &level), ERR_INVALID);
    assert_int_equal(level, LOG_ERROR);
}

static void test_limit(void **state)
{
    (void)state;
    struct log_limit l = {.every_ms = 1000};
    uint64_t left_out = 99;

    assert_true(log_limit_pass(&l, 5, &left_out));
    assert_int_equal(left_out, 0);
    assert_false(log_limit_pass(&l, 6, &left_out));
    assert_false(log_limit_pass(&l, 1004, &left_out));
    assert_true(log_limit_pass(&l, 1005, &left_out));
    assert_int_equal(left_out, 2);
    assert_true(log_limit_pass(&l, 9000, &left_out));
    assert_int_equal(left_out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_arguments_of_silent_lines_are_not_evaluated),
        cmocka_unit_test(test_no_logger_or_sink_is_silent),
        cmocka_unit_test(test_one_line_stays_one_line),
        cmocka_unit_test(test_fatal_reaches_the_sink_at_any_level),
        cmocka_unit_test(test_fatal_aborts_if_the_sink_returns),
        cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
