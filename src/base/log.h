/* Levelled log lines over an injected sink.
 *
 * Lower case, no full stop, numbers with their names. The sink adds the time;
 * tests capture lines instead. Nothing per request at INFO, never a client's
 * value. LOG_FATAL is for the raft core's fatal conditions only; a test's sink
 * leaves it by longjmp. */

#ifndef SRC_BASE_LOG_H
#define SRC_BASE_LOG_H

#include <inttypes.h>
#include <stdarg.h>

#include "src/base/common.h"
#include "src/base/logger.h"

/* `lg` may be NULL: silent. */
void log_at(const struct logger *lg, enum log_level level, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

NORETURN void log_fatal(const struct logger *lg, const char *fmt, ...)
    PRINTF_LIKE(2, 3);

static inline bool log_enabled(const struct logger *lg, enum log_level level)
{
    return lg != NULL && lg->sink != NULL && level >= lg->level;
}

#define LOG_IF(lg, level, ...)                                                 \
    (log_enabled((lg), (level)) ? log_at((lg), (level), __VA_ARGS__) : (void)0)
#define log_debug(lg, ...) LOG_IF(lg, LOG_DEBUG, __VA_ARGS__)
#define log_info(lg, ...)  LOG_IF(lg, LOG_INFO, __VA_ARGS__)
#define log_warn(lg, ...)  LOG_IF(lg, LOG_WARN, __VA_ARGS__)
#define log_error(lg, ...) LOG_IF(lg, LOG_ERROR, __VA_ARGS__)

/* The lower-case name of a level, and back: ERR_INVALID for an unknown one. */
const char *log_level_name(enum log_level level);
MUST_CHECK int log_level_parse(const char *name, enum log_level *out);

/* Rate limit for lines that repeat: one line per `every_ms`, with the number
 * of those kept back in between. The caller passes its own clock. */
struct log_limit {
    uint64_t every_ms;
    uint64_t next_ms;    /* no line before this instant */
    uint64_t suppressed; /* since the last line */
};

/* True if a line may be written now; *suppressed is the number left out since
 * the last one. */
bool log_limit_pass(struct log_limit *l, uint64_t now_ms, uint64_t *suppressed);

#endif /* SRC_BASE_LOG_H */
