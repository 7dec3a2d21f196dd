/* The command line and the environment, checked: struct options.
 *
 * Flags as Go's flag package takes them: one or two dashes, --flag value and
 * --flag=value. Each is also read from RAFTEXAMPLE_FLAG_NAME; the command line
 * wins (http-api.md 3). Pure but for what it is given: the environment comes in
 * as a function.
 *
 * Counterpart: etcd contrib/raftexample main.go. */

#ifndef SRC_SERVER_OPTIONS_H
#define SRC_SERVER_OPTIONS_H

#include "src/base/common.h"
#include "src/base/err.h"
#include "src/base/log.h"
#include "src/net/addr.h"
#include "src/server/raftnode.h"

struct options {
    uint64_t id;
    struct raftnode_peer *cluster; /* ids 1..n, canonical URLs, owned */
    size_t n_cluster;
    bool join;
    struct addr peer_addr;   /* of this node, from --cluster */
    struct addr client_addr; /* --host and --port */
    char *data_dir;          /* owned */
    char *wal_dir;           /* owned: data_dir/raftexample-ID */
    char *snap_dir;          /* owned: data_dir/raftexample-ID-snap */
    uint64_t snapshot_count;
    uint64_t snapshot_catchup_entries;
    uint64_t tick_ms;
    uint64_t election_ticks;
    uint64_t heartbeat_ticks;
    uint64_t request_timeout_ms;
    uint64_t client_timeout_ms; /* header; body 3 times, idle 30 times this */
    uint64_t max_value_size;    /* bytes */
    enum log_level log_level;
    bool log_json;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,    /* --help: print options_usage, status 0 */
    OPTIONS_VERSION, /* --version */
    OPTIONS_USAGE,   /* a bad flag: `em` says which and why, status 2 */
};

typedef const char *options_getenv(void *ctx, const char *name);

/* *out is filled and must be released, whatever the result. */
MUST_CHECK enum options_result options_parse(int argc, char *const *argv,
                                             options_getenv *env, void *env_ctx,
                                             struct options *out,
                                             struct errmsg *em);
void options_release(struct options *o);

/* The help text: one screen, static. */
const char *options_usage(void);

/* "500ms", "5s", "1.5m", "2h"; into milliseconds, at least 1. */
MUST_CHECK int options_parse_duration(const char *text, uint64_t *ms);

/* "4096", "64KiB", "1.5MiB", "1GiB", also kB, MB, GB; into bytes. */
MUST_CHECK int options_parse_size(const char *text, uint64_t *bytes);

#endif /* SRC_SERVER_OPTIONS_H */
