/* raftexample: a replicated key-value store on raft.
 *
 * Reads the command line, makes the log sink, runs the server. */

#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "src/base/buf.h"
#include "src/base/log.h"
#include "src/server/options.h"
#include "src/server/server.h"

static const char *get_environment(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

/* "2026-11-21T09:34:07.443Z", UTC. */
static void print_time(char *out, size_t size)
{
    uv_timeval64_t now = {0};
    struct tm tm = {0};
    time_t seconds;
    size_t len;

    (void)uv_gettimeofday(&now);
    seconds = (time_t)now.tv_sec;
    (void)gmtime_r(&seconds, &tm);
    len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + len, size - len, ".%03dZ", (int)(now.tv_usec / 1000));
}

/* One write per line, so that lines of several processes do not mix. */
static void write_line(struct buf *b)
{
    ssize_t n = write(STDERR_FILENO, b->data, b->len);

    (void)n; /* there is nowhere left to say it */
}

static void text_sink(void *ctx, enum log_level level, const char *line)
{
    char when[40];
    struct buf b;

    (void)ctx;
    buf_init(&b, BUF_UNLIMITED);
    print_time(when, sizeof(when));
    (void)buf_printf(&b, "%s %-5s %s\n", when, log_level_name(level), line);
    write_line(&b);
    buf_release(&b);
}

static void json_sink(void *ctx, enum log_level level, const char *line)
{
    char when[40];
    struct buf b;

    (void)ctx;
    buf_init(&b, BUF_UNLIMITED);
    print_time(when, sizeof(when));
    (void)buf_printf(&b, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", when,
                     log_level_name(level));
    (void)buf_append_json(&b, line);
    (void)buf_append_str(&b, "}\n");
    write_line(&b);
    buf_release(&b);
}

/* The disk works on other threads, one job at a time: arenas of their own would
 * only keep what each of them once needed. Large blocks, a snapshot's mostly,
 * go back to the system when they are freed; smaller ones are needed again at
 * once, and their pages would be cleared each time. What is kept for nothing
 * server.c gives back now and then. */
static void set_up_malloc(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
}

int main(int argc, char **argv)
{
    struct options o;
    struct errmsg em = {{0}};
    struct logger lg;
    int status = 0;

    (void)umask(077);
    set_up_malloc();
    switch (options_parse(argc, argv, get_environment, NULL, &o, &em)) {
    case OPTIONS_HELP:
        (void)fputs(options_usage(), stdout);
        break;
    case OPTIONS_VERSION:
        (void)puts("raftexample " RAFTEXAMPLE_VERSION);
        break;
    case OPTIONS_USAGE:
        (void)fprintf(stderr, "raftexample: %s (see --help)\n", em.text);
        status = 2;
        break;
    case OPTIONS_RUN:
        lg = (struct logger){o.log_level, o.log_json ? json_sink : text_sink,
                             NULL};
        status = server_run(&o, &lg);
        break;
    }
    options_release(&o);
    return status;
}
