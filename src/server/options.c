/* The command line and the environment. options.h has the contract. */

#include "src/server/options.h"

#include <ctype.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"

/* --- numbers --- */

/* Decimal digits only: no sign, no space, no overflow. */
static int parse_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (*text == '\0') {
        return ERR_INVALID;
    }
    for (const char *p = text; *p != '\0'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');

        if (*p < '0' || *p > '9' || v > (UINT64_MAX - digit) / 10) {
            return ERR_INVALID;
        }
        v = v * 10 + digit;
    }
    if (v > max) {
        return ERR_INVALID;
    }
    *out = v;
    return 0;
}

struct unit {
    const char *name;
    double factor;
};

/* A decimal number, maybe with a fraction, and a unit of the table. */
static int parse_with_unit(const char *text, const struct unit *units,
                           size_t n_units, double *out)
{
    double value = 0;
    double scale = 0;
    const char *p = text;

    for (; isdigit((unsigned char)*p) || (*p == '.' && scale == 0); p++) {
        if (*p == '.') {
            scale = 1;
            continue;
        }
        value = value * 10 + (*p - '0');
        scale *= 10;
    }
    if (p == text || p - text > 18 || p[-1] == '.') {
        return ERR_INVALID;
    }
    value /= scale == 0 ? 1 : scale;
    for (size_t i = 0; i < n_units; i++) {
        if (strcmp(p, units[i].name) == 0) {
            *out = value * units[i].factor;
            return 0;
        }
    }
    return ERR_INVALID;
}

int options_parse_duration(const char *text, uint64_t *ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    double v;

    if (parse_with_unit(text, units, ARRAY_LEN(units), &v) < 0 || v < 1 ||
        v > 1e12) {
        return ERR_INVALID;
    }
    *ms = (uint64_t)v;
    return 0;
}

int options_parse_size(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", 1024.0},
        {"MiB", 1048576.0},
        {"GiB", 1073741824.0},
        {"kB", 1e3},
        {"MB", 1e6},
        {"GB", 1e9},
    };
    double v;

    if (parse_with_unit(text, units, ARRAY_LEN(units), &v) < 0 || v > 1e15) {
        return ERR_INVALID;
    }
    *bytes = (uint64_t)v;
    return 0;
}

/* --- flags --- */

/* Texts as given, before they are checked together. */
struct raw_options {
    const char *cluster;
    const char *host;
    const char *data_dir;
    uint64_t port;
};

static int set_id(struct options *o, struct raw_options *raw, const char *v)
{
    (void)raw;
    return parse_u64(v, UINT64_MAX, &o->id);
}

static int set_cluster(struct options *o, struct raw_options *raw,
                       const char *v)
{
    (void)o;
    raw->cluster = v;
    return 0;
}

static int set_port(struct options *o, struct raw_options *raw, const char *v)
{
    (void)o;
    return parse_u64(v, 65535, &raw->port) < 0 || raw->port == 0 ? ERR_INVALID
                                                                 : 0;
}

static int set_host(struct options *o, struct raw_options *raw, const char *v)
{
    (void)o;
    raw->host = v;
    return *v == '\0' || strlen(v) >= ADDR_HOST_MAX ? ERR_INVALID : 0;
}

static int set_data_dir(struct options *o, struct raw_options *raw,
                        const char *v)
{
    (void)o;
    raw->data_dir = v;
    return *v == '\0' ? ERR_INVALID : 0;
}

/* As Go's strconv.ParseBool. */
static int set_join(struct options *o, struct raw_options *raw, const char *v)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

    (void)raw;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(v, yes[i]) == 0) {
            o->join = true;
            return 0;
        }
        if (strcmp(v, no[i]) == 0) {
            o->join = false;
            return 0;
        }
    }
    return ERR_INVALID;
}

static int set_snapshot_count(struct options *o, struct raw_options *raw,
                              const char *v)
{
    (void)raw;
    return parse_u64(v, UINT32_MAX, &o->snapshot_count) < 0 ||
                   o->snapshot_count == 0
               ? ERR_INVALID
               : 0;
}

static int set_catchup(struct options *o, struct raw_options *raw,
                       const char *v)
{
    (void)raw;
    return parse_u64(v, UINT32_MAX, &o->snapshot_catchup_entries);
}

static int set_ticks(const char *v, uint64_t *out)
{
    return parse_u64(v, 10000, out) < 0 || *out == 0 ? ERR_INVALID : 0;
}

static int set_tick_ms(struct options *o, struct raw_options *raw,
                       const char *v)
{
    (void)raw;
    return set_ticks(v, &o->tick_ms);
}

static int set_election_ticks(struct options *o, struct raw_options *raw,
                              const char *v)
{
    (void)raw;
    return set_ticks(v, &o->election_ticks);
}

static int set_heartbeat_ticks(struct options *o, struct raw_options *raw,
                               const char *v)
{
    (void)raw;
    return set_ticks(v, &o->heartbeat_ticks);
}

static int set_request_timeout(struct options *o, struct raw_options *raw,
                               const char *v)
{
    (void)raw;
    return options_parse_duration(v, &o->request_timeout_ms);
}

static int set_client_timeout(struct options *o, struct raw_options *raw,
                              const char *v)
{
    (void)raw;
    return options_parse_duration(v, &o->client_timeout_ms);
}

static int set_max_value_size(struct options *o, struct raw_options *raw,
                              const char *v)
{
    (void)raw;
    return options_parse_size(v, &o->max_value_size) < 0 ||
                   o->max_value_size > VALUE_SIZE_LIMIT
               ? ERR_INVALID
               : 0;
}

static int set_log_level(struct options *o, struct raw_options *raw,
                         const char *v)
{
    (void)raw;
    return log_level_parse(v, &o->log_level) < 0 || o->log_level > LOG_ERROR
               ? ERR_INVALID
               : 0;
}

static int set_log_format(struct options *o, struct raw_options *raw,
                          const char *v)
{
    (void)raw;
    o->log_json = strcmp(v, "json") == 0;
    return o->log_json || strcmp(v, "text") == 0 ? 0 : ERR_INVALID;
}

struct flag {
    const char *name;
    const char *want; /* what a good value looks like */
    int (*set)(struct options *o, struct raw_options *raw, const char *value);
};

static const struct flag flags[] = {
    {"id", "a position in --cluster, from 1", set_id},
    {"cluster", "a list of URLs", set_cluster},
    {"port", "a port from 1 to 65535", set_port},
    {"join", "true or false", set_join},
    {"host", "a host name or address", set_host},
    {"data-dir", "a directory", set_data_dir},
    {"snapshot-count", "a number from 1", set_snapshot_count},
    {"snapshot-catchup-entries", "a number", set_catchup},
    {"tick-ms", "a number from 1 to 10000", set_tick_ms},
    {"election-ticks", "a number from 1 to 10000", set_election_ticks},
    {"heartbeat-ticks", "a number from 1 to 10000", set_heartbeat_ticks},
    {"request-timeout", "a duration like 500ms or 5s", set_request_timeout},
    {"client-timeout", "a duration like 500ms or 5s", set_client_timeout},
    {"max-value-size", "a size like 64KiB, at most 64MiB", set_max_value_size},
    {"log-level", "debug, info, warn or error", set_log_level},
    {"log-format", "text or json", set_log_format},
};

const char *options_usage(void)
{
    return "usage: raftexample --id N --cluster URL1,URL2,... --port PORT "
           "[--join]\n"
           "\n"
           "  --id N                   position of this node in --cluster "
           "(1)\n"
           "  --cluster URLS           peer URLs of all members, by id\n"
           "                           (http://127.0.0.1:9021)\n"
           "  --port PORT              client port (9121)\n"
           "  --host HOST              client address; 0.0.0.0 or :: for all\n"
           "                           (the host of this node's cluster URL)\n"
           "  --join                   join a running cluster: POST the id to "
           "a\n"
           "                           member first\n"
           "  --data-dir DIR           where raftexample-N/ and "
           "raftexample-N-snap/\n"
           "                           live (.)\n"
           "  --snapshot-count N       applied entries between snapshots "
           "(10000)\n"
           "  --snapshot-catchup-entries N\n"
           "                           entries kept behind a snapshot (10000)\n"
           "  --tick-ms N              one tick (100)\n"
           "  --election-ticks N       election timeout (10)\n"
           "  --heartbeat-ticks N      heartbeat interval (1)\n"
           "  --request-timeout T      how long a request may wait (5s)\n"
           "  --client-timeout T       for a request's header; 3 times this "
           "for its\n"
           "                           body, 30 times between requests (10s)\n"
           "  --max-value-size SIZE    largest value (1.5MiB)\n"
           "  --log-level LEVEL        debug, info, warn, error (info)\n"
           "  --log-format FORMAT      text or json (text)\n"
           "  --version, --help\n"
           "\n"
           "Each flag is also read from RAFTEXAMPLE_FLAG_NAME; the command "
           "line wins.\n";
}

static const struct flag *find_flag(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (strlen(flags[i].name) == len &&
            memcmp(flags[i].name, name, len) == 0) {
            return &flags[i];
        }
    }
    return NULL;
}

static int apply_flag(const struct flag *f, const char *value,
                      const char *prefix, struct options *o,
                      struct raw_options *raw, struct errmsg *em)
{
    if (f->set(o, raw, value) < 0) {
        return errmsg_text(em, ERR_INVALID, "%s%s: \"%s\" is not %s", prefix,
                           f->name, value, f->want);
    }
    return 0;
}

/* RAFTEXAMPLE_SNAPSHOT_COUNT for --snapshot-count. */
static int read_environment(options_getenv *env, void *ctx, struct options *o,
                            struct raw_options *raw, struct errmsg *em)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        char name[64] = "RAFTEXAMPLE_";
        size_t len = strlen(name);
        const char *value;
        int rc;

        for (const char *p = flags[i].name; *p != '\0'; p++) {
            int c = *p == '-' ? '_' : toupper((unsigned char)*p);

            name[len++] = (char)c;
        }
        name[len] = '\0';
        value = env(ctx, name);
        if (value == NULL) {
            continue;
        }
        rc = flags[i].set(o, raw, value);
        if (rc < 0) {
            return errmsg_text(em, rc, "%s: \"%s\" is not %s", name, value,
                               flags[i].want);
        }
    }
    return 0;
}

static enum options_result read_command_line(int argc, char *const *argv,
                                             struct options *o,
                                             struct raw_options *raw,
                                             struct errmsg *em)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        const char *name =
            arg + (arg[0] == '-') + (arg[0] == '-' && arg[1] == '-');
        const char *value = strchr(name, '=');
        size_t len = value == NULL ? strlen(name) : (size_t)(value - name);
        const struct flag *f = find_flag(name, len);

        if (name == arg || len == 0) {
            (void)errmsg_text(em, ERR_INVALID, "%s: not a flag", arg);
            return OPTIONS_USAGE;
        }
        if (value == NULL &&
            (strcmp(name, "help") == 0 || strcmp(name, "h") == 0)) {
            return OPTIONS_HELP;
        }
        if (value == NULL && strcmp(name, "version") == 0) {
            return OPTIONS_VERSION;
        }
        if (f == NULL) {
            (void)errmsg_text(em, ERR_INVALID, "%s: no such flag", arg);
            return OPTIONS_USAGE;
        }
        if (value != NULL) {
            value++;
        } else if (f->set == set_join) {
            value = "true"; /* a Go bool flag takes no separate value */
        } else if (i + 1 < argc) {
            value = argv[++i];
        } else {
            (void)errmsg_text(em, ERR_INVALID, "%s: a value is missing", arg);
            return OPTIONS_USAGE;
        }
        if (apply_flag(f, value, "--", o, raw, em) < 0) {
            return OPTIONS_USAGE;
        }
    }
    return OPTIONS_RUN;
}

/* --- what flags mean together --- */

static int parse_cluster(const char *text, struct options *o,
                         struct addr *addrs, struct errmsg *em)
{
    for (const char *p = text; p != NULL;) {
        const char *end = strchr(p, ',');
        size_t len = end == NULL ? strlen(p) : (size_t)(end - p);
        struct bytes url = {(const uint8_t *)p, len};
        char printed[ADDR_URL_MAX];
        struct errmsg why = {{0}};

        if (o->n_cluster == MEMBERS_MAX) {
            return errmsg_text(em, ERR_INVALID,
                               "--cluster: more than %d members", MEMBERS_MAX);
        }
        if (addr_parse_url(url, &addrs[o->n_cluster], &why) < 0) {
            return errmsg_text(em, ERR_INVALID,
                               "--cluster: \"%.*s\" is not a URL of the form "
                               "http://host:port: %s",
                               (int)(len > 200 ? 200 : len), p, why.text);
        }
        for (size_t i = 0; i < o->n_cluster; i++) {
            if (addr_equal(&addrs[i], &addrs[o->n_cluster])) {
                return errmsg_text(em, ERR_INVALID,
                                   "--cluster: members %zu and %zu have the "
                                   "same URL",
                                   i + 1, o->n_cluster + 1);
            }
        }
        addr_print_url(&addrs[o->n_cluster], printed);
        o->cluster[o->n_cluster] =
            (struct raftnode_peer){o->n_cluster + 1, xstrdup(printed)};
        o->n_cluster++;
        p = end == NULL ? NULL : end + 1;
    }
    return 0;
}

static int check_cluster(const struct raw_options *raw, struct options *o,
                         struct errmsg *em)
{
    struct addr *addrs = xcalloc(MEMBERS_MAX, sizeof(*addrs));
    int rc;

    o->cluster = xcalloc(MEMBERS_MAX, sizeof(*o->cluster));
    rc = parse_cluster(raw->cluster, o, addrs, em);
    if (rc == 0 && (o->id == 0 || o->id > o->n_cluster)) {
        rc = errmsg_text(em, ERR_INVALID,
                         "--id: %" PRIu64 " is not a position in --cluster, "
                         "which has %zu",
                         o->id, o->n_cluster);
    }
    if (rc == 0) {
        o->peer_addr = addrs[o->id - 1];
    }
    xfree(addrs);
    return rc;
}

static int check_together(const struct raw_options *raw, struct options *o,
                          struct errmsg *em)
{
    int rc = check_cluster(raw, o, em);

    if (rc < 0) {
        return rc;
    }
    if (o->election_ticks <= o->heartbeat_ticks) {
        return errmsg_text(em, ERR_INVALID,
                           "--election-ticks: %" PRIu64
                           " is not more than --heartbeat-ticks, %" PRIu64,
                           o->election_ticks, o->heartbeat_ticks);
    }
    o->client_addr = o->peer_addr;
    if (raw->host != NULL) {
        (void)snprintf(o->client_addr.host, sizeof(o->client_addr.host), "%s",
                       raw->host);
    }
    o->client_addr.port = (uint16_t)raw->port;
    if (addr_equal(&o->client_addr, &o->peer_addr)) {
        return errmsg_text(
            em, ERR_INVALID,
            "--port: %" PRIu64 " is this node's peer port already", raw->port);
    }
    o->data_dir = xstrdup(raw->data_dir);
    o->wal_dir = xasprintf("%s/raftexample-%" PRIu64, o->data_dir, o->id);
    o->snap_dir =
        xasprintf("%s/raftexample-%" PRIu64 "-snap", o->data_dir, o->id);
    return 0;
}

enum options_result options_parse(int argc, char *const *argv,
                                  options_getenv *env, void *env_ctx,
                                  struct options *out, struct errmsg *em)
{
    struct raw_options raw = {
        .cluster = "http://127.0.0.1:9021",
        .data_dir = ".",
        .port = 9121,
    };
    enum options_result result;

    *out = (struct options){
        .id = 1,
        .snapshot_count = 10000,
        .snapshot_catchup_entries = 10000,
        .tick_ms = 100,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .request_timeout_ms = 5000,
        .client_timeout_ms = HTTP_HEADER_TIMEOUT_MS,
        .max_value_size = VALUE_SIZE_DEFAULT,
        .log_level = LOG_INFO,
    };
    if (read_environment(env, env_ctx, out, &raw, em) < 0) {
        return OPTIONS_USAGE;
    }
    result = read_command_line(argc, argv, out, &raw, em);
    if (result != OPTIONS_RUN) {
        return result;
    }
    return check_together(&raw, out, em) < 0 ? OPTIONS_USAGE : OPTIONS_RUN;
}

void options_release(struct options *o)
{
    for (size_t i = 0; i < o->n_cluster; i++) {
        xfree((void *)(uintptr_t)o->cluster[i].url);
    }
    xfree(o->cluster);
    xfree(o->data_dir);
    xfree(o->wal_dir);
    xfree(o->snap_dir);
    *o = (struct options){0};
}
