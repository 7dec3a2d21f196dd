/* Where log lines go: a level and a sink, which the user brings.
 *
 * Counterpart: etcd-io/raft logger.go, interface Logger. Differs: lines come
 * formatted; how the library writes them is its own business (log.h). */

#ifndef SRC_BASE_LOGGER_H
#define SRC_BASE_LOGGER_H

#include "src/base/types.h"

/* LOG_FATAL is a broken contract or a broken log (raft-core 2.3): the sink gets
 * the line, and the process aborts if it returns. */
enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
    LOG_FATAL,
    LOG_NONE, /* as a logger's level: silent */
};

/* `line` has no newline and is borrowed for the call. */
typedef void log_sink_fn(void *ctx, enum log_level level, const char *line);

struct logger {
    enum log_level level; /* lines below it are not formatted */
    log_sink_fn *sink;    /* NULL: silent, LOG_FATAL prints and aborts */
    void *ctx;            /* handed to the sink */
};

#endif /* SRC_BASE_LOGGER_H */
