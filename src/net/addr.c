/* Peer and listen addresses: parse, check, print.
 *
 * Counterpart: etcd client/pkg/types/urls.go. Differs: http only, one URL, and
 * a host is checked to be a name or an address, so that what is once in the
 * replicated state can always be dialed and printed. */

#include "src/net/addr.h"

#define SCHEME "http://"

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct bytes trim(struct bytes t)
{
    while (t.len > 0 && is_space(t.data[0])) {
        t.data++;
        t.len--;
    }
    while (t.len > 0 && is_space(t.data[t.len - 1])) {
        t.len--;
    }
    return t;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Letters, digits, "-", "_" and ".": what names in DNS and in hosts files are
 * made of, IPv4 addresses among them. */
static bool is_name(struct bytes host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !is_digit(c) && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return host.len > 0 && host.data[0] != '-' && host.data[0] != '.';
}

/* Only the shape; the resolver judges the number. */
static bool is_ipv6(struct bytes host)
{
    size_t n_colons = 0;

    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];

        n_colons += c == ':' ? 1 : 0;
        if (!is_hex(c) && c != ':' && c != '.') {
            return false;
        }
    }
    return n_colons >= 2;
}

/* Decimal, no sign, no leading zero, 1..65535; 0 if it is not. */
static uint16_t parse_port(struct bytes t)
{
    uint32_t v = 0;

    if (t.len == 0 || t.len > 5 || t.data[0] == '0') {
        return 0;
    }
    for (size_t i = 0; i < t.len; i++) {
        if (!is_digit(t.data[i])) {
            return 0;
        }
        v = v * 10 + (uint32_t)(t.data[i] - '0');
    }
    return v <= UINT16_MAX ? (uint16_t)v : 0;
}

static bool has_scheme(struct bytes t)
{
    static const char scheme[] = SCHEME;

    if (t.len < sizeof(scheme) - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(scheme) - 1; i++) {
        uint8_t c = t.data[i];

        if (c >= 'A' && c <= 'Z') {
            c = (uint8_t)(c + 'a' - 'A');
        }
        if (c != (uint8_t)scheme[i]) {
            return false;
        }
    }
    return true;
}

/* Cut `rest` (host:port, or [IPv6]:port) in two; the reason if it cannot be
 * done. */
static const char *split(struct bytes rest, struct bytes *host,
                         struct bytes *port)
{
    const uint8_t *colon;

    if (rest.len > 0 && rest.data[0] == '[') {
        const uint8_t *end = memchr(rest.data, ']', rest.len);

        if (end == NULL) {
            return "the bracket is not closed";
        }
        *host = (struct bytes){rest.data + 1, (size_t)(end - rest.data) - 1};
        if (!is_ipv6(*host)) {
            return "no IPv6 address in the brackets";
        }
        colon = end + 1;
    } else {
        colon = rest.len > 0 ? memchr(rest.data, ':', rest.len) : NULL;
        if (colon == NULL) {
            return "the port is missing";
        }
        *host = (struct bytes){rest.data, (size_t)(colon - rest.data)};
        if (!is_name(*host)) {
            return "the host is malformed";
        }
    }
    size_t at = (size_t)(colon - rest.data);
    if (at >= rest.len || *colon != ':') {
        return "the port is missing";
    }
    *port = (struct bytes){colon + 1, rest.len - at - 1};
    return NULL;
}

int addr_parse_url(struct bytes text, struct addr *out, struct errmsg *em)
{
    struct bytes t = trim(text);
    struct bytes host;
    struct bytes port;

    if (!has_scheme(t)) {
        return errmsg_text(em, ERR_INVALID, "not an http:// URL");
    }
    struct bytes rest = {t.data + sizeof(SCHEME) - 1,
                         t.len - (sizeof(SCHEME) - 1)};
    for (size_t i = 0; i < rest.len; i++) {
        uint8_t c = rest.data[i];

        if (c == '/' || c == '?' || c == '#') {
            return errmsg_text(em, ERR_INVALID,
                               "the URL has a path, query or fragment");
        }
        if (c == '@') {
            return errmsg_text(em, ERR_INVALID, "the URL has a user");
        }
    }
    const char *why = split(rest, &host, &port);
    if (why != NULL) {
        return errmsg_text(em, ERR_INVALID, "%s", why);
    }
    if (host.len >= ADDR_HOST_MAX) {
        return errmsg_text(em, ERR_INVALID, "the host is too long");
    }
    uint16_t number = parse_port(port);
    if (number == 0) {
        return errmsg_text(em, ERR_INVALID, "the port is not in 1..65535");
    }
    memcpy(out->host, host.data, host.len);
    out->host[host.len] = '\0';
    out->port = number;
    return 0;
}

void addr_print_url(const struct addr *a, char out[ADDR_URL_MAX])
{
    bool v6 = strchr(a->host, ':') != NULL;

    (void)snprintf(out, ADDR_URL_MAX, SCHEME "%s%s%s:%u", v6 ? "[" : "",
                   a->host, v6 ? "]" : "", (unsigned)a->port);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}
