/* Goal: any command line and environment is taken or refused with a line that
 * says why, and what was taken reads the same when it is written out again.
 * Method: the input is words up to a line feed; those with '_' before their '='
 * are the environment. Accepted options are printed as flags and parsed. */

#include "src/server/options.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "tests/fuzz/lib/fuzz.h"

#define WORDS_MAX 24

struct words {
    char *items[WORDS_MAX + 1];
    int n;
};

static void words_add(struct words *w, char *word)
{
    ASSERT(w->n < WORDS_MAX);
    w->items[w->n++] = word;
}

static void words_release(struct words *w)
{
    for (int i = 0; i < w->n; i++) {
        xfree(w->items[i]);
    }
}

static const char *find_env(void *ctx, const char *name)
{
    const struct words *env = ctx;
    size_t n = strlen(name);

    for (int i = 0; i < env->n; i++) {
        if (strncmp(env->items[i], name, n) == 0 && env->items[i][n] == '=') {
            return env->items[i] + n + 1;
        }
    }
    return NULL;
}

/* Words of C have no 0 in them. */
static void split(struct fuzz_input *in, struct words *args, struct words *env)
{
    while (in->left > 0 && args->n < WORDS_MAX && env->n < WORDS_MAX) {
        const uint8_t *end = memchr(in->p, '\n', in->left);
        struct bytes b =
            fuzz_take(in, end == NULL ? in->left : (size_t)(end - in->p));
        char *word = xasprintf("%.*s", (int)b.len, (const char *)b.data);

        (void)fuzz_byte(in);
        words_add(strncmp(word, "RAFTEXAMPLE_", 12) == 0 ? env : args, word);
    }
}

/* The same options as flags. Hosts as they are: client_addr's has no brackets
 * to lose. */
static void print(const struct options *o, struct words *w)
{
    struct buf urls;

    buf_init(&urls, BUF_UNLIMITED);
    for (size_t i = 0; i < o->n_cluster; i++) {
        (void)buf_printf(&urls, "%s%s", i > 0 ? "," : "", o->cluster[i].url);
    }
    words_add(w, xstrdup("raftexample"));
    words_add(w, xasprintf("--cluster=%s", buf_cstr(&urls)));
    words_add(w, xasprintf("-id=%" PRIu64, o->id));
    words_add(w, xasprintf("--join=%s", o->join ? "true" : "false"));
    words_add(w, xasprintf("--host=%s", o->client_addr.host));
    words_add(w, xasprintf("--port=%u", (unsigned)o->client_addr.port));
    words_add(w, xasprintf("--data-dir=%s", o->data_dir));
    words_add(w, xasprintf("--snapshot-count=%" PRIu64, o->snapshot_count));
    words_add(w, xasprintf("--snapshot-catchup-entries=%" PRIu64,
                           o->snapshot_catchup_entries));
    words_add(w, xasprintf("--tick-ms=%" PRIu64, o->tick_ms));
    words_add(w, xasprintf("--election-ticks=%" PRIu64, o->election_ticks));
    words_add(w, xasprintf("--heartbeat-ticks=%" PRIu64, o->heartbeat_ticks));
    words_add(
        w, xasprintf("--request-timeout=%" PRIu64 "ms", o->request_timeout_ms));
    words_add(
        w, xasprintf("--client-timeout=%" PRIu64 "ms", o->client_timeout_ms));
    words_add(w, xasprintf("--max-value-size=%" PRIu64, o->max_value_size));
    words_add(w, xasprintf("--log-level=%s",
                           (const char *[]){"debug", "info", "warn",
                                            "error"}[o->log_level]));
    words_add(w, xasprintf("--log-format=%s", o->log_json ? "json" : "text"));
    buf_release(&urls);
}

static void check_equal(const struct options *a, const struct options *b)
{
    ASSERT(a->id == b->id && a->join == b->join);
    ASSERT(a->n_cluster == b->n_cluster);
    for (size_t i = 0; i < a->n_cluster; i++) {
        ASSERT(strcmp(a->cluster[i].url, b->cluster[i].url) == 0);
    }
    ASSERT(addr_equal(&a->peer_addr, &b->peer_addr));
    ASSERT(addr_equal(&a->client_addr, &b->client_addr));
    ASSERT(strcmp(a->wal_dir, b->wal_dir) == 0);
    ASSERT(strcmp(a->snap_dir, b->snap_dir) == 0);
    ASSERT(a->snapshot_count == b->snapshot_count);
    ASSERT(a->snapshot_catchup_entries == b->snapshot_catchup_entries);
    ASSERT(a->tick_ms == b->tick_ms);
    ASSERT(a->election_ticks == b->election_ticks);
    ASSERT(a->heartbeat_ticks == b->heartbeat_ticks);
    ASSERT(a->request_timeout_ms == b->request_timeout_ms);
    ASSERT(a->client_timeout_ms == b->client_timeout_ms);
    ASSERT(a->max_value_size == b->max_value_size);
    ASSERT(a->log_level == b->log_level && a->log_json == b->log_json);
}

static void parse_again(const struct options *o)
{
    struct words args = {0};
    struct words env = {0};
    struct options again;
    struct errmsg em;

    print(o, &args);
    ASSERT(options_parse(args.n, args.items, find_env, &env, &again, &em) ==
           OPTIONS_RUN);
    check_equal(o, &again);
    options_release(&again);
    words_release(&args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};
    struct words args = {0};
    struct words env = {0};
    struct options o;
    struct errmsg em = {{0}};
    enum options_result r;

    words_add(&args, xstrdup("raftexample"));
    split(&in, &args, &env);
    r = options_parse(args.n, args.items, find_env, &env, &o, &em);
    ASSERT(r != OPTIONS_USAGE || em.text[0] != '\0');
    if (r == OPTIONS_RUN) {
        ASSERT(o.max_value_size <= VALUE_SIZE_LIMIT);
        ASSERT(o.election_ticks > o.heartbeat_ticks);
        parse_again(&o);
    }
    options_release(&o);
    words_release(&args);
    words_release(&env);
    return 0;
}
