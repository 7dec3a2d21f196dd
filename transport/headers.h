/* What peers tell each other in header fields, and small texts about answers.
 *
 * Every request of the peer protocol says who speaks, for which cluster and in
 * which version; every answer to a stream request repeats cluster and version.
 * A Go peer dies of a malformed version in an answer, so the values are
 * constants here (formats-transport 2).
 *
 * Counterpart: etcd rafthttp util.go, version/version.go. */

#ifndef TRANSPORT_HEADERS_H
#define TRANSPORT_HEADERS_H

#include "src/base/common.h"
#include "src/net/http_conn.h"
#include "transport/msgcodec.h"

#define PEER_SERVER_VERSION      "3.4.23"
#define PEER_MIN_CLUSTER_VERSION "3.0.0"

#define PATH_RAFT     "/raft"
#define PATH_SNAPSHOT "/raft/snapshot"
#define PATH_STREAM   "/raft/stream"
#define PATH_PROBING  "/raft/probing"

/* Ids in paths and fields: lower-case hex, no leading zeros, no 0x. */
#define HEX_ID_SIZE 17 /* with the 0 */
void hex_id_print(uint64_t id, char out[HEX_ID_SIZE]);

/* Any case and leading zeros are taken, as Go takes them. */
bool hex_id_parse(struct bytes text, uint64_t *id);

bool bytes_equal(struct bytes b, const char *text);
bool bytes_start_with(struct bytes b, const char *text);

/* Whether a node that sends `server` as its version and `min` as the lowest it
 * gets along with can talk to us, and we to it. Only major and minor count;
 * absent means 2.0.0; malformed is never compatible. */
bool peer_versions_compatible(struct bytes server, struct bytes min);

/* Whether a stream may be read from a node that answered with this version. */
bool peer_version_readable(struct bytes server);

/* --- where a node is reached --- */

/* The value of X-PeerURLs: comma-separated URLs, each one that addr_parse_url
 * takes. False if it is anything else. *first is the first of them. */
bool peer_urls_parse(struct bytes value, struct addr *first);

/* Whether others can dial `url`, and types.NewURLs of a Go node takes what is
 * then in `out`: http://host:port. No address of "all interfaces", no brackets
 * around what is no IPv6 address. NULL is none. */
bool peer_url_print(const char *url, char out[ADDR_URL_MAX]);

/* The field lines of a transport. */
#define PEER_FIELDS_SIZE (256 + ADDR_URL_MAX)
struct peer_fields {
    char cluster_id[HEX_ID_SIZE];
    char id[HEX_ID_SIZE];
    char url[ADDR_URL_MAX];        /* in X-PeerURLs; empty: that is not sent */
    char post[PEER_FIELDS_SIZE];   /* of POST /raft */
    char stream[PEER_FIELDS_SIZE]; /* of GET /raft/stream, w/o X-Raft-To */
    char answer[64];               /* of an answer to POST */
    char stream_answer[128];       /* of an answer to a stream request */
};
void peer_fields_init(struct peer_fields *f, uint64_t id, uint64_t cluster_id);

/* Others know this node under this URL from now on. One that peer_url_print
 * refuses, or NULL: no X-PeerURLs is sent. */
void peer_fields_set_url(struct peer_fields *f, const char *url);

/* --- the answer of a peer, for a log line --- */

struct peer_answer {
    int status;    /* 0: none came */
    char text[96]; /* the start of its body, printable */
    size_t len;
};

void peer_answer_reset(struct peer_answer *a, int status);
void peer_answer_add(struct peer_answer *a, struct bytes body);

/* --- pause between attempts --- */

/* From BACKOFF_MIN_MS doubling to BACKOFF_MAX_MS, each wait shortened by up to
 * a half at random, so that peers do not come back in step. */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000

struct rng;
struct backoff {
    uint64_t delay_ms; /* 0: the last attempt was good */
    uint64_t at_ms;    /* no attempt before this instant */
};
void backoff_fail(struct backoff *b, uint64_t now_ms, struct rng *rng);
void backoff_reset(struct backoff *b);

#endif /* TRANSPORT_HEADERS_H */
