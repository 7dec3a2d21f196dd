/* GET /raft/probing every 4 s.
 *
 * A probe is a connection of its own: dialed, answered 200 with "OK":true,
 * closed. Anything else, or no answer in 3 s, is a failure. Only changes are
 * logged; nothing else follows from them. */

#include "transport/probing.h"

#include <inttypes.h>

#include "src/base/bounds.h"
#include "transport/peer.h"
#include "transport/transport_internal.h"

#define ANSWER_HEAD_MAX (4 * KiB)

static void on_response(void *ctx, const struct http_head *head)
{
    struct prober *pr = ctx;

    peer_answer_reset(&pr->answer, head->status);
}

static void on_body(void *ctx, struct bytes data)
{
    struct prober *pr = ctx;

    peer_answer_add(&pr->answer, data);
}

static void finish(struct prober *pr, bool healthy, const char *why)
{
    if (healthy != pr->healthy) {
        pr->healthy = healthy;
        log_info(pr->peer->t->lg, "peer %" PRIx64 ": %s", pr->peer->id, why);
    }
    http_client_close(pr->client);
    pr->client = NULL;
}

static void on_end(void *ctx, int rc, const char *why)
{
    struct prober *pr = ctx;
    const struct peer_answer *a = &pr->answer;

    if (rc < 0) {
        finish(pr, false, why);
    } else if (a->status != 200 || strstr(a->text, "\"OK\":true") == NULL) {
        finish(pr, false, "answers probes, but is not well");
    } else {
        finish(pr, true, "answers probes again");
    }
}

static const struct http_client_ops PROBER_OPS = {
    .on_response = on_response,
    .on_body = on_body,
    .on_end = on_end,
};

void prober_init(struct prober *pr, struct peer *p, uint64_t now_ms)
{
    *pr = (struct prober){
        .peer = p,
        .next_ms = now_ms + PROBING_INTERVAL_MS,
        .healthy = true,
    };
}

void prober_tick(struct prober *pr)
{
    struct transport *t = pr->peer->t;

    if (t->now_ms < pr->next_ms) {
        return;
    }
    pr->next_ms = t->now_ms + PROBING_INTERVAL_MS;
    if (pr->client != NULL) {
        return; /* the last one still waits for its end */
    }
    peer_answer_reset(&pr->answer, 0);
    pr->client =
        http_client_new(t->net, &(struct http_client_options){
                                    .addr = pr->peer->addr,
                                    .connect_timeout_ms = PROBING_TIMEOUT_MS,
                                    .head_max = ANSWER_HEAD_MAX,
                                    .ops = &PROBER_OPS,
                                    .ctx = pr,
                                });
    http_client_request(pr->client, &(struct http_request){
                                        .method = "GET",
                                        .target = PATH_PROBING,
                                        .read_timeout_ms = PROBING_TIMEOUT_MS,
                                    });
}

void prober_close(struct prober *pr)
{
    http_client_close(pr->client);
    pr->client = NULL;
}
