/* The composition root.
 *
 * One loop turn: raftnode does the work of all that the last turn brought,
 * answers and messages leave together, small writes to the log are done where
 * no callback runs (helm.h); then timers, `prepare`, which is the same for what
 * they brought; then the loop waits for input, whose callbacks only step; then
 * `check` ticks if a tick is due, so that input that waited is handled before
 * it [reliability F31].
 *
 * Start: both ports first, so that nothing is created on disk where one of them
 * is taken; then files and node. What connects meanwhile waits in the kernel:
 * no callback runs before the loop does.
 *
 * The end comes by a signal, by removal, or by a failure of the disk. The first
 * two drain: no new requests, leadership handed over, pending answers given,
 * for at most DRAIN_MS; then everything closes and the log ends with a synced
 * marker. A failure skips the draining. A second signal ends the process at
 * once. */

#include "src/server/server.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "httpapi/httpapi.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/list.h"
#include "src/kv/kvstore.h"
#include "src/net/http_conn.h"
#include "src/os/vfs.h"
#include "src/server/busy_poll.h"
#include "src/server/descriptors.h"
#include "src/server/gather.h"
#include "src/server/helm.h"
#include "src/server/options.h"
#include "src/server/raftnode.h"
#include "src/server/status.h"
#include "src/server/storage.h"
#include "src/server/ticker.h"
#include "src/server/workers.h"
#include "transport/transport.h"

#define CLUSTER_ID        0x1000 /* raftexample's */
#define DRAIN_MS          3000
#define REMOVED_LINGER_MS 300 /* for the answer to our own DELETE */
#define TRIM_INTERVAL_MS  5000
#define TRIM_SWING_BYTES  (8 * MiB)
/* Of the log in memory: from here on a snapshot, which will make it shorter, is
 * made without rest. */
#define HURRY_LOG_BYTES (12 * MiB)

struct server {
    const struct options *o;
    const struct logger *lg;
    uv_loop_t loop;
    struct helm helm;
    uv_timer_t tick_timer;
    uv_timer_t stop_timer;
    uv_timer_t news_timer;   /* active while the transport has news */
    uv_timer_t gather_timer; /* active while requests wait for others */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;  /* keeps the loop from waiting while a tick is due */
    uv_idle_t look;  /* the same while gather wants to know what came in */
    uv_idle_t awake; /* and while more will come in soon */
    uv_signal_t sigterm;
    uv_signal_t sigint;
    struct http_net *net;
    struct storage *storage;
    uv_work_t first_work;   /* makes libuv's threads */
    struct workers workers; /* of storage */
    struct raftnode *node;
    struct transport *transport;
    struct httpapi *api;
    struct list free_bridges;
    uint64_t started_ms;
    struct ticker ticker;
    struct gather puts;
    struct gather reads;
    struct busy_poll busy_poll;
    bool stopping;
    bool closing;
    uint64_t stop_by_ms;
    uint64_t trim_at_ms; /* when free memory is given back next */
    uint64_t log_peak;   /* the most that the log had since last time */
    int status;
};

/* Joins a call of the client API to a request of the node. */
struct bridge {
    struct request req;
    struct server *s;
    struct httpapi_call *call;
    struct list free_link;
};

/* --- clients --- */

static struct bridge *new_bridge(struct server *s, struct httpapi_call *call)
{
    struct list *it = list_pop_front(&s->free_bridges);
    struct bridge *b = it == NULL ? xcalloc(1, sizeof(*b))
                                  : container_of(it, struct bridge, free_link);

    list_init(&b->free_link);
    b->s = s;
    b->call = call;
    httpapi_call_set_data(call, b);
    return b;
}

static void free_bridge(struct bridge *b)
{
    list_push_back(&b->s->free_bridges, &b->free_link);
}

static void on_request_done(struct request *req, int rc, struct bytes value)
{
    struct bridge *b = container_of(req, struct bridge, req);
    struct httpapi_call *call = b->call;

    free_bridge(b);
    httpapi_complete(call, rc, value);
}

static void on_put(void *ctx, struct httpapi_call *call, struct bytes key,
                   struct bytes value, bool respond_async)
{
    struct server *s = ctx;
    struct bridge *b = new_bridge(s, call);

    raftnode_init_put(s->node, &b->req, key, value, respond_async,
                      on_request_done);
    raftnode_submit(s->node, &b->req);
}

static void on_get(void *ctx, struct httpapi_call *call, struct bytes key,
                   bool local)
{
    struct server *s = ctx;
    struct bytes value = {0};
    struct bridge *b;

    if (local) {
        bool there = kvstore_get(raftnode_store(s->node), key, &value);

        httpapi_complete(call, there ? 0 : ERR_NOT_FOUND, value);
        return;
    }
    b = new_bridge(s, call);
    raftnode_init_get(s->node, &b->req, key, on_request_done);
    raftnode_submit(s->node, &b->req);
}

static void on_add_member(void *ctx, struct httpapi_call *call, uint64_t id,
                          const char *url)
{
    struct server *s = ctx;
    struct bridge *b = new_bridge(s, call);

    raftnode_init_member(s->node, &b->req, REQUEST_ADD_MEMBER, id, url,
                         on_request_done);
    raftnode_submit(s->node, &b->req);
}

static void on_remove_member(void *ctx, struct httpapi_call *call, uint64_t id)
{
    struct server *s = ctx;
    struct bridge *b = new_bridge(s, call);

    raftnode_init_member(s->node, &b->req, REQUEST_REMOVE_MEMBER, id, NULL,
                         on_request_done);
    raftnode_submit(s->node, &b->req);
}

static void on_cancel(void *ctx, struct httpapi_call *call)
{
    struct server *s = ctx;
    struct bridge *b = httpapi_call_data(call);

    raftnode_cancel(s->node, &b->req);
    free_bridge(b);
}

/* --- peers --- */

static int on_message(void *ctx, const struct raft_message *m)
{
    return raftnode_step(((struct server *)ctx)->node, m);
}

static void on_unreachable(void *ctx, uint64_t id)
{
    raftnode_report_unreachable(((struct server *)ctx)->node, id);
}

static void on_snapshot_sent(void *ctx, uint64_t id, bool ok)
{
    raftnode_report_snapshot(((struct server *)ctx)->node, id, ok);
}

static bool is_id_removed(void *ctx, uint64_t id)
{
    return raftnode_was_removed(((struct server *)ctx)->node, id);
}

static void on_self_removed(void *ctx, uint64_t told_by)
{
    raftnode_report_removed(((struct server *)ctx)->node, told_by);
}

static void on_self_unknown(void *ctx, uint64_t told_by)
{
    raftnode_report_unknown(((struct server *)ctx)->node, told_by);
}

/* As the members' table says, which has what others gave us as URL; before the
 * log has told, as --cluster does. */
static const char *own_url(void *ctx)
{
    const struct server *s = ctx;
    const char *url =
        s->node == NULL ? NULL
                        : kvstore_member_url(raftnode_store(s->node), s->o->id);

    return url != NULL ? url : s->o->cluster[s->o->id - 1].url;
}

static int on_page(void *ctx, struct bytes path, struct buf *body,
                   const char **content_type)
{
    struct server *s = ctx;
    struct status_context sc = {
        .id = s->o->id,
        .uptime_ms = http_net_now_ms(s->net) - s->started_ms,
    };

    return status_page(s->node, &sc, path, body, content_type);
}

static void peers_send(void *ctx, const struct raft_message *messages, size_t n)
{
    transport_send(((struct server *)ctx)->transport, messages, n);
}

static void peers_add(void *ctx, uint64_t id, const char *url)
{
    struct server *s = ctx;
    int rc = transport_add_peer(s->transport, id, url);

    if (rc < 0) {
        log_warn(s->lg, "member %" PRIx64 " is not reachable at %s: %s", id,
                 url, err_str(rc));
    }
}

static void peers_remove(void *ctx, uint64_t id)
{
    transport_remove_peer(((struct server *)ctx)->transport, id);
}

static void peers_update(void *ctx, uint64_t id, const char *url)
{
    struct server *s = ctx;
    int rc = transport_update_peer(s->transport, id, url);

    if (rc < 0) {
        log_warn(s->lg, "member %" PRIx64 " is not reachable at %s: %s", id,
                 url, err_str(rc));
    }
}

static char *check_url(void *ctx, struct bytes url)
{
    char printed[ADDR_URL_MAX];
    struct addr addr;

    (void)ctx;
    if (addr_parse_url(url, &addr, NULL) < 0) {
        return NULL;
    }
    addr_print_url(&addr, printed);
    return xstrdup(printed);
}

/* --- opening --- */

/* The limit, which is first raised as far as the system allows. */
static struct descriptors my_descriptors(void)
{
    struct rlimit rl = {0};

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
        (void)getrlimit(RLIMIT_NOFILE, &rl);
    }
    return descriptors_share(rl.rlim_cur);
}

static int open_transport(struct server *s, struct errmsg *em)
{
    struct transport_options to = {
        .net = s->net,
        .lg = s->lg,
        .id = s->o->id,
        .cluster_id = CLUSTER_ID,
        .listen = s->o->peer_addr,
        .conns_max = my_descriptors().peers,
        .handler =
            {
                .ctx = s,
                .process = on_message,
                .report_unreachable = on_unreachable,
                .report_snapshot = on_snapshot_sent,
                .is_id_removed = is_id_removed,
                .self_removed = on_self_removed,
                .self_unknown = on_self_unknown,
                .own_url = own_url,
                .page = on_page,
            },
    };

    (void)uv_random(NULL, NULL, &to.seed, sizeof(to.seed), 0, NULL);
    return transport_open(&to, &s->transport, em);
}

static uint64_t in_ticks(uint64_t ms, uint64_t tick_ms)
{
    return (ms + tick_ms - 1) / tick_ms;
}

/* Request ids continue above every one of an earlier life: the time of the
 * start in ms, with room for 128 ids per ms (extensions.md). */
static uint64_t request_id_base(void)
{
    uv_timeval64_t now;

    if (uv_gettimeofday(&now) < 0) {
        return 0;
    }
    return ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000) << 7;
}

static int open_node(struct server *s, struct raftnode_recovered *found,
                     struct errmsg *em)
{
    const struct options *o = s->o;
    struct raftnode_config cfg = {
        .id = o->id,
        .join = o->join,
        .peers = o->cluster,
        .n_peers = o->n_cluster,
        .election_ticks = (int)o->election_ticks,
        .heartbeat_ticks = (int)o->heartbeat_ticks,
        .snapshot_count = o->snapshot_count,
        .snapshot_catchup_entries = o->snapshot_catchup_entries,
        .request_timeout_ticks = in_ticks(o->request_timeout_ms, o->tick_ms),
        .id_base = request_id_base(),
        .lg = s->lg,
        .peers_seam =
            {
                .ctx = s,
                .send = peers_send,
                .add = peers_add,
                .remove = peers_remove,
                .update = peers_update,
                .check_url = check_url,
            },
        .storage_seam = storage_seam(s->storage),
    };

    (void)uv_random(NULL, NULL, &cfg.seed, sizeof(cfg.seed), 0, NULL);
    return raftnode_new(&cfg, found, &s->node, em);
}

static int open_api(struct server *s, struct errmsg *em)
{
    struct httpapi_options ao = {
        .net = s->net,
        .lg = s->lg,
        .addr = s->o->client_addr,
        .max_value_size = s->o->max_value_size,
        .conns_max = my_descriptors().clients,
        .header_timeout_ms = s->o->client_timeout_ms,
        .body_timeout_ms = 3 * s->o->client_timeout_ms,
        .idle_timeout_ms = 30 * s->o->client_timeout_ms,
        .backend =
            {
                .ctx = s,
                .put = on_put,
                .get = on_get,
                .add_member = on_add_member,
                .remove_member = on_remove_member,
                .cancel = on_cancel,
            },
    };

    return httpapi_open(&ao, &s->api, em);
}

/* A new thread takes over what signals are blocked. All are while one is made:
 * so two signals that come together are seen together, by the loop's thread,
 * and not one of them later. */
static void block_signals(sigset_t *before)
{
    sigset_t all;
    int rc;

    (void)sigfillset(&all);
    rc = pthread_sigmask(SIG_SETMASK, &all, before);
    ASSERT(rc == 0);
}

static void unblock_signals(const sigset_t *before)
{
    int rc = pthread_sigmask(SIG_SETMASK, before, NULL);

    ASSERT(rc == 0);
}

static int open_storage(struct server *s, struct raftnode_recovered *found,
                        struct errmsg *em)
{
    struct storage_options so = {
        .fs = vfs_posix(),
        .lg = s->lg,
        .wal_dir = s->o->wal_dir,
        .snap_dir = s->o->snap_dir,
        .worker = workers_disk(&s->workers),
        .snapshot_worker = workers_snapshot(&s->workers),
    };

    return storage_open(&so, &s->storage, found, em);
}

/* --- closing --- */

static void close_handles(struct server *s)
{
    uv_close((uv_handle_t *)&s->tick_timer, NULL);
    uv_close((uv_handle_t *)&s->stop_timer, NULL);
    uv_close((uv_handle_t *)&s->news_timer, NULL);
    uv_close((uv_handle_t *)&s->gather_timer, NULL);
    uv_close((uv_handle_t *)&s->prepare, NULL);
    uv_close((uv_handle_t *)&s->check, NULL);
    uv_close((uv_handle_t *)&s->idle, NULL);
    uv_close((uv_handle_t *)&s->awake, NULL);
    uv_close((uv_handle_t *)&s->look, NULL);
    uv_close((uv_handle_t *)&s->sigterm, NULL);
    uv_close((uv_handle_t *)&s->sigint, NULL);
}

static void on_transport_closed(void *ctx)
{
    struct server *s = ctx;

    s->transport = NULL;
    close_handles(s);
}

static void on_api_closed(void *ctx)
{
    struct server *s = ctx;

    s->api = NULL;
    if (s->transport != NULL) {
        transport_close(s->transport, on_transport_closed, s);
    } else {
        close_handles(s);
    }
}

/* Everything closes; the loop ends when the last handle is gone. */
static void close_all(struct server *s)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    (void)uv_timer_stop(&s->tick_timer);
    (void)uv_idle_stop(&s->look);
    (void)uv_idle_stop(&s->awake);
    if (s->node != NULL) {
        raftnode_stop(s->node);
        http_net_flush(s->net);
    }
    if (s->api != NULL) {
        httpapi_close(s->api, on_api_closed, s);
    } else {
        on_api_closed(s);
    }
}

/* Nothing is left to do for anybody, or the time for it is over. */
static void maybe_close(struct server *s)
{
    uint64_t now = http_net_now_ms(s->net);

    if (!s->stopping || s->closing) {
        return;
    }
    if (now >= s->stop_by_ms ||
        (s->status == 0 && raftnode_pending(s->node) == 0 &&
         !raftnode_is_leader(s->node))) {
        close_all(s);
    }
}

static void on_stop_timer(uv_timer_t *t)
{
    close_all(t->data);
}

static void begin_stop(struct server *s, uint64_t for_ms)
{
    if (s->stopping) {
        return;
    }
    s->stopping = true;
    s->stop_by_ms = http_net_now_ms(s->net) + for_ms;
    (void)uv_timer_start(&s->stop_timer, on_stop_timer, for_ms, 0);
    httpapi_drain(s->api);
    raftnode_drain(s->node);
    raftnode_transfer_leadership(s->node);
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct server *s = h->data;

    if (s->stopping) {
        log_warn(s->lg, "second signal, ending at once");
        _exit(128 + signum);
    }
    log_info(s->lg, "%s: stopping", signum == SIGTERM ? "SIGTERM" : "SIGINT");
    begin_stop(s, DRAIN_MS);
}

/* --- the loop --- */

static void check_condition(struct server *s)
{
    const char *why;

    if (s->stopping) {
        return;
    }
    switch (raftnode_condition(s->node, &why)) {
    case RAFTNODE_RUNNING:
        break;
    case RAFTNODE_REMOVED:
        log_warn(s->lg, "%s; stopping", why);
        begin_stop(s, REMOVED_LINGER_MS);
        break;
    case RAFTNODE_FAILED:
        log_error(s->lg, "%s; stopping", why);
        s->status = 1;
        s->stopping = true;
        close_all(s);
        break;
    }
}

static void on_news_timer(uv_timer_t *t)
{
    struct server *s = t->data;

    if (s->transport != NULL) {
        transport_send_news(s->transport);
    }
}

static void await_news(struct server *s)
{
    if (transport_has_news(s->transport) &&
        uv_is_active((uv_handle_t *)&s->news_timer) == 0) {
        (void)uv_timer_start(&s->news_timer, on_news_timer, TRANSPORT_NEWS_MS,
                             0);
    }
}

static void on_idle(uv_idle_t *h)
{
    (void)h;
}

static void note_look(struct server *s)
{
    gather_look(&s->puts);
    gather_look(&s->reads);
}

/* The time is over, whatever comes. */
static void on_gather_timer(uv_timer_t *t)
{
    note_look(t->data);
}

static void gather(struct server *s)
{
    uint64_t now = uv_hrtime();
    bool puts = gather_begin(&s->puts, raftnode_puts(s->node), now);
    bool reads = gather_begin(&s->reads, raftnode_reads(s->node), now);

    raftnode_hold(s->node, puts, reads);
}

/* Once more without waiting, or at last when their time is over. */
static void await_more(struct server *s)
{
    uint64_t now = uv_hrtime();
    enum gather_next puts = gather_end(&s->puts, raftnode_puts(s->node), now);
    enum gather_next reads =
        gather_end(&s->reads, raftnode_reads(s->node), now);

    if (puts == GATHER_NOW || reads == GATHER_NOW) {
        (void)uv_idle_start(&s->look, on_idle);
    } else {
        (void)uv_idle_stop(&s->look);
    }
    if ((puts == GATHER_LATER || reads == GATHER_LATER) &&
        uv_is_active((uv_handle_t *)&s->gather_timer) == 0) {
        (void)uv_timer_start(&s->gather_timer, on_gather_timer,
                             GATHER_PATIENCE_NS / 1000000, 0);
    }
}

/* Before a look for input that does not wait. Whoever may have some for us can
 * have the processor first. */
static void on_awake(uv_idle_t *h)
{
    (void)h;
    (void)sched_yield();
}

static void stay_awake(struct server *s)
{
    uint64_t work = http_net_inputs(s->net) + s->helm.n_jobs;

    if (busy_poll_again(&s->busy_poll, work, raftnode_awaits_others(s->node),
                        uv_hrtime())) {
        (void)uv_idle_start(&s->awake, on_awake);
    } else {
        (void)uv_idle_stop(&s->awake);
    }
}

/* The work of all that came in. */
static void turn(void *ctx)
{
    struct server *s = ctx;

    if (s->closing) {
        http_net_flush(s->net);
        return;
    }
    gather(s);
    raftnode_process(s->node);
    await_more(s);
    await_news(s);
    check_condition(s);
    maybe_close(s);
    http_net_flush(s->net);
    if (!s->closing) {
        stay_awake(s);
    }
}

/* What timers brought since. */
static void on_prepare(uv_prepare_t *h)
{
    turn(h->data);
}

static void on_tick_timer(uv_timer_t *t);

static void await_tick(struct server *s)
{
    (void)uv_idle_stop(&s->idle);
    (void)uv_timer_start(&s->tick_timer, on_tick_timer,
                         ticker_wait_ms(&s->ticker, uv_now(&s->loop)), 0);
}

static void on_tick_timer(uv_timer_t *t)
{
    struct server *s = t->data;

    if (ticker_look(&s->ticker, uv_now(&s->loop))) {
        (void)uv_idle_start(&s->idle, on_idle);
    } else {
        await_tick(s);
    }
}

/* What a slow disk, a slow peer or a long log made wait is soon gone again; the
 * memory that it took would stay with the heap for ever. But a log that grows
 * and is compacted again and again will need it back at once, and getting new
 * pages costs more than all else that is done for large values. */
static void maybe_trim(struct server *s)
{
    uint64_t log_bytes = raftnode_log_bytes(s->node);

    s->log_peak = max_u64(s->log_peak, log_bytes);
    if (uv_now(&s->loop) < s->trim_at_ms) {
        return;
    }
    s->trim_at_ms = uv_now(&s->loop) + TRIM_INTERVAL_MS;
    if (s->log_peak <= log_bytes + TRIM_SWING_BYTES) {
        http_net_trim(s->net);
        (void)malloc_trim(0);
    }
    s->log_peak = log_bytes;
}

/* A snapshot is waited for: by a log that gets long, or by a member. */
static bool must_hurry(const struct server *s)
{
    return raftnode_log_bytes(s->node) > HURRY_LOG_BYTES ||
           raftnode_owes_snapshot(s->node);
}

static void on_check(uv_check_t *h)
{
    struct server *s = h->data;

    note_look(s);
    busy_poll_looked(&s->busy_poll, http_net_inputs(s->net), uv_hrtime());
    if (s->closing || !ticker_take(&s->ticker, uv_now(&s->loop))) {
        return;
    }
    await_tick(s);
    raftnode_tick(s->node);
    transport_tick(s->transport);
    workers_hurry(&s->workers, must_hurry(s));
    maybe_trim(s);
}

static void init_handles(struct server *s)
{
    (void)uv_timer_init(&s->loop, &s->tick_timer);
    (void)uv_timer_init(&s->loop, &s->stop_timer);
    (void)uv_timer_init(&s->loop, &s->news_timer);
    (void)uv_timer_init(&s->loop, &s->gather_timer);
    (void)uv_prepare_init(&s->loop, &s->prepare);
    (void)uv_check_init(&s->loop, &s->check);
    (void)uv_idle_init(&s->loop, &s->idle);
    (void)uv_idle_init(&s->loop, &s->look);
    (void)uv_idle_init(&s->loop, &s->awake);
    (void)uv_signal_init(&s->loop, &s->sigterm);
    (void)uv_signal_init(&s->loop, &s->sigint);
    s->tick_timer.data = s;
    s->stop_timer.data = s;
    s->news_timer.data = s;
    s->gather_timer.data = s;
    s->prepare.data = s;
    s->check.data = s;
    s->sigterm.data = s;
    s->sigint.data = s;
}

static void start_handles(struct server *s)
{
    ticker_init(&s->ticker, uv_now(&s->loop), s->o->tick_ms);
    await_tick(s);
    (void)uv_prepare_start(&s->prepare, on_prepare);
    (void)uv_check_start(&s->check, on_check);
    (void)uv_signal_start(&s->sigterm, on_signal, SIGTERM);
    (void)uv_signal_start(&s->sigint, on_signal, SIGINT);
}

/* Errors arrive as return values, not as signals [reliability 3.2]. */
static void ignore_signals(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
}

static void on_first_work(uv_work_t *req)
{
    (void)req;
}

/* libuv's threads are made with the first work. */
static void start_threads(struct server *s)
{
    sigset_t before;
    int rc;

    block_signals(&before);
    rc = uv_queue_work(&s->loop, &s->first_work, on_first_work, NULL);
    ASSERT(rc == 0);
    unblock_signals(&before);
}

static int open_all(struct server *s, struct errmsg *em)
{
    struct raftnode_recovered found;
    int rc;

    rc = open_transport(s, em);
    if (rc < 0) {
        return rc;
    }
    rc = open_api(s, em);
    if (rc < 0) {
        return rc;
    }
    rc = open_storage(s, &found, em);
    if (rc < 0) {
        return rc;
    }
    return open_node(s, &found, em);
}

static void free_all(struct server *s)
{
    struct errmsg em = {{0}};
    struct list *it;

    raftnode_free(s->node);
    if (storage_close(s->storage, &em) < 0 && s->status == 0) {
        log_error(s->lg, "%s", em.text);
        s->status = 1;
    }
    http_net_free(s->net);
    helm_release(&s->helm);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT); /* their handles close */
    while ((it = list_pop_front(&s->free_bridges)) != NULL) {
        xfree(container_of(it, struct bridge, free_link));
    }
    (void)uv_loop_close(&s->loop);
}

int server_run(const struct options *o, const struct logger *lg)
{
    struct server s = {.o = o, .lg = lg};
    struct errmsg em = {{0}};

    ignore_signals();
    list_init(&s.free_bridges);
    if (uv_loop_init(&s.loop) < 0) {
        log_error(lg, "the event loop cannot be set up");
        return 1;
    }
    helm_init(&s.helm, &s.loop);
    workers_init(&s.workers, &s.loop, &s.helm, lg);
    init_handles(&s);
    start_threads(&s);
    s.net = http_net_new(&s.loop, lg);
    s.started_ms = http_net_now_ms(s.net);
    if (open_all(&s, &em) < 0) {
        log_error(lg, "%s", em.text);
        s.status = 1;
        close_all(&s);
    } else {
        start_handles(&s);
        log_info(lg, "node %" PRIu64 " serves clients at %s:%u, peers at %s:%u",
                 o->id, o->client_addr.host, o->client_addr.port,
                 o->peer_addr.host, o->peer_addr.port);
    }
    helm_run(&s.helm, turn, &s);
    free_all(&s);
    log_info(lg, "stopped, status %d", s.status);
    return s.status;
}
