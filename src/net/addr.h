/* Peer and listen addresses: parse, check, print.
 *
 * Pure text; no name is resolved here. */

#ifndef SRC_NET_ADDR_H
#define SRC_NET_ADDR_H

#include "src/base/common.h"
#include "src/base/err.h"

#define ADDR_HOST_MAX 256

struct addr {
    char host[ADDR_HOST_MAX]; /* name, IPv4, or IPv6 without brackets */
    uint16_t port;            /* 1..65535 */
};

/* An absolute "http://host:port" without path (a single trailing "/" is a
 * path), query, user or fragment; white space around it is ignored. The port is
 * required. ERR_INVALID otherwise, `em` says what is wrong. */
MUST_CHECK int addr_parse_url(struct bytes text, struct addr *out,
                              struct errmsg *em);

/* "http://host:port", IPv6 hosts in brackets, into `out`. */
#define ADDR_URL_MAX (ADDR_HOST_MAX + 24)
void addr_print_url(const struct addr *a, char out[ADDR_URL_MAX]);

bool addr_equal(const struct addr *a, const struct addr *b);

#endif /* SRC_NET_ADDR_H */
