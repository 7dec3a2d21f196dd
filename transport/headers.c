/* What peers tell each other in header fields, and small texts about answers.
 */

#include "transport/headers.h"

#include <arpa/inet.h>
#include <inttypes.h>

#include "src/base/rng.h"

struct version {
    uint64_t major;
    uint64_t minor;
};

static const struct version OWN = {3, 4};     /* PEER_SERVER_VERSION */
static const struct version OWN_MIN = {3, 0}; /* PEER_MIN_CLUSTER_VERSION */

void hex_id_print(uint64_t id, char out[HEX_ID_SIZE])
{
    int n = snprintf(out, HEX_ID_SIZE, "%" PRIx64, id);

    ASSERT(n > 0 && n < HEX_ID_SIZE);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool hex_id_parse(struct bytes text, uint64_t *id)
{
    uint64_t v = 0;

    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.data[i]);

        if (digit < 0 || v > UINT64_MAX >> 4) {
            return false;
        }
        v = v << 4 | (uint64_t)digit;
    }
    *id = v;
    return text.len > 0;
}

bool bytes_equal(struct bytes b, const char *text)
{
    return b.len == strlen(text) && bytes_start_with(b, text);
}

bool bytes_start_with(struct bytes b, const char *text)
{
    size_t len = strlen(text);

    return b.len >= len && (len == 0 || memcmp(b.data, text, len) == 0);
}

/* --- versions --- */

/* A decimal number at *at, which moves behind it. */
static bool parse_number(struct bytes s, size_t *at, uint64_t *out)
{
    size_t start = *at;
    uint64_t v = 0;

    while (*at < s.len && s.data[*at] >= '0' && s.data[*at] <= '9') {
        v = v * 10 + (uint64_t)(s.data[*at] - '0');
        if (v > UINT32_MAX) {
            return false;
        }
        *at += 1;
    }
    *out = v;
    return *at > start;
}

static bool skip(struct bytes s, size_t *at, char c)
{
    if (*at == s.len || s.data[*at] != (uint8_t)c) {
        return false;
    }
    *at += 1;
    return true;
}

/* "X.Y.Z", then maybe "-pre" and "+build". */
static bool version_parse(struct bytes s, struct version *out)
{
    size_t at = 0;
    uint64_t patch;

    if (s.data == NULL) {
        *out = (struct version){2, 0};
        return true;
    }
    return parse_number(s, &at, &out->major) && skip(s, &at, '.') &&
           parse_number(s, &at, &out->minor) && skip(s, &at, '.') &&
           parse_number(s, &at, &patch) &&
           (at == s.len || s.data[at] == '-' || s.data[at] == '+');
}

static bool version_at_least(struct version a, struct version b)
{
    return a.major != b.major ? a.major > b.major : a.minor >= b.minor;
}

bool peer_versions_compatible(struct bytes server, struct bytes min)
{
    struct version its, its_min;

    return version_parse(server, &its) && version_parse(min, &its_min) &&
           version_at_least(its, OWN_MIN) && version_at_least(OWN, its_min);
}

bool peer_version_readable(struct bytes server)
{
    struct version its;

    return version_parse(server, &its) && version_at_least(its, OWN_MIN);
}

/* --- where a node is reached --- */

bool peer_urls_parse(struct bytes value, struct addr *first)
{
    struct addr other;
    struct addr *to = first;

    for (;;) {
        const uint8_t *comma =
            value.len > 0 ? memchr(value.data, ',', value.len) : NULL;
        size_t len = comma == NULL ? value.len : (size_t)(comma - value.data);

        if (addr_parse_url((struct bytes){value.data, len}, to, NULL) < 0) {
            return false;
        }
        if (comma == NULL) {
            return true;
        }
        value = (struct bytes){comma + 1, value.len - len - 1};
        to = &other;
    }
}

/* Whether `host` is an address at all, and one of a single node. A name may be
 * either, only the resolver knows. */
static bool is_one_node(const char *host)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    struct in6_addr six;

    if (strchr(host, ':') == NULL) {
        return strcmp(host, "0.0.0.0") != 0;
    }
    return inet_pton(AF_INET6, host, &six) == 1 &&
           memcmp(&six, &any, sizeof(any)) != 0;
}

bool peer_url_print(const char *url, char out[ADDR_URL_MAX])
{
    struct addr addr;

    if (url == NULL ||
        addr_parse_url((struct bytes){(const uint8_t *)url, strlen(url)}, &addr,
                       NULL) < 0 ||
        !is_one_node(addr.host)) {
        return false;
    }
    addr_print_url(&addr, out);
    return true;
}

/* --- field lines --- */

static void print(char *out, size_t size, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static void print(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    ASSERT(n > 0 && (size_t)n < size);
}

static void print_requests(struct peer_fields *f)
{
    bool known = f->url[0] != '\0';

    /* A Go raftexample does not send X-PeerURLs, and a malformed one makes a Go
     * listener panic (formats-transport 8). We send it all the same, well
     * formed: who is too far behind in the log to know our URL could not answer
     * us, and two such nodes, when all others were removed, would wait for each
     * other for ever (tests/integration/test_newer_member.py). A Go node does
     * what etcd has the field for [etcd rafthttp util.go addRemoteFromRequest].
     */
    print(f->stream, sizeof(f->stream),
          "X-Etcd-Cluster-ID: %s\r\n"
          "X-Min-Cluster-Version: " PEER_MIN_CLUSTER_VERSION "\r\n"
          "X-Server-From: %s\r\n"
          "X-Server-Version: " PEER_SERVER_VERSION "\r\n"
          "%s%s%s",
          f->cluster_id, f->id, known ? "X-PeerURLs: " : "", f->url,
          known ? "\r\n" : "");
    print(f->post, sizeof(f->post), "Content-Type: application/protobuf\r\n%s",
          f->stream);
}

void peer_fields_init(struct peer_fields *f, uint64_t id, uint64_t cluster_id)
{
    hex_id_print(id, f->id);
    hex_id_print(cluster_id, f->cluster_id);
    f->url[0] = '\0';
    print_requests(f);
    print(f->answer, sizeof(f->answer), "X-Etcd-Cluster-Id: %s\r\n",
          f->cluster_id);
    print(f->stream_answer, sizeof(f->stream_answer),
          "%sX-Server-Version: " PEER_SERVER_VERSION "\r\n", f->answer);
}

void peer_fields_set_url(struct peer_fields *f, const char *url)
{
    char printed[ADDR_URL_MAX] = "";

    if (!peer_url_print(url, printed)) {
        printed[0] = '\0';
    }
    if (strcmp(printed, f->url) != 0) {
        memcpy(f->url, printed, sizeof(f->url));
        print_requests(f);
    }
}

/* --- answers --- */

void peer_answer_reset(struct peer_answer *a, int status)
{
    *a = (struct peer_answer){.status = status};
}

void peer_answer_add(struct peer_answer *a, struct bytes body)
{
    for (size_t i = 0; i < body.len && a->len < sizeof(a->text) - 1; i++) {
        uint8_t c = body.data[i];

        if (c == '\n') {
            return; /* the texts of the protocol are one line */
        }
        a->text[a->len++] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
}

/* --- pause between attempts --- */

void backoff_fail(struct backoff *b, uint64_t now_ms, struct rng *rng)
{
    b->delay_ms = b->delay_ms == 0 ? BACKOFF_MIN_MS
                                   : min_u64(2 * b->delay_ms, BACKOFF_MAX_MS);
    b->at_ms = now_ms + b->delay_ms - rng_below(rng, b->delay_ms / 2 + 1);
}

void backoff_reset(struct backoff *b)
{
    *b = (struct backoff){0};
}
