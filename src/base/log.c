/* Levelled log lines over an injected sink. */

#include "src/base/log.h"

#include "src/base/err.h"

/* Longest line, with its 0. What is longer loses its end: a log line is never
 * worth an allocation of a size that somebody else chose. */
#define LOG_LINE_MAX 2048

static const char *const LEVEL_NAMES[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info",   [LOG_WARN] = "warn",
    [LOG_ERROR] = "error", [LOG_FATAL] = "fatal", [LOG_NONE] = "none",
};

/* One line must stay one line, whatever a peer's name or a path contains:
 * a line break in it would let outsiders write lines of their own. */
static void format_line(char line[LOG_LINE_MAX], const char *fmt, va_list ap)
    PRINTF_LIKE(2, 0);

static void format_line(char line[LOG_LINE_MAX], const char *fmt, va_list ap)
{
    if (vsnprintf(line, LOG_LINE_MAX, fmt, ap) < 0) {
        line[0] = '\0';
    }
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
}

void log_at(const struct logger *lg, enum log_level level, const char *fmt, ...)
{
    if (!log_enabled(lg, level)) {
        return;
    }
    char line[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_line(line, fmt, ap);
    va_end(ap);
    lg->sink(lg->ctx, level, line);
}

void log_fatal(const struct logger *lg, const char *fmt, ...)
{
    char line[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    format_line(line, fmt, ap);
    va_end(ap);

    /* Whatever the level is: the last words are always wanted. */
    if (lg != NULL && lg->sink != NULL) {
        lg->sink(lg->ctx, LOG_FATAL, line);
    } else {
        (void)fprintf(stderr, "fatal: %s\n", line);
        (void)fflush(stderr);
    }
    abort();
}

const char *log_level_name(enum log_level level)
{
    ASSERT((size_t)level < ARRAY_LEN(LEVEL_NAMES));
    return LEVEL_NAMES[level];
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(LEVEL_NAMES); i++) {
        if (strcmp(name, LEVEL_NAMES[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ms, uint64_t *suppressed)
{
    if (now_ms < l->next_ms) {
        l->suppressed++;
        return false;
    }
    *suppressed = l->suppressed;
    l->suppressed = 0;
    l->next_ms = now_ms + l->every_ms;
    return true;
}
