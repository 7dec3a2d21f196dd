/* What a request means, and what an outcome is called in HTTP. */

#include "httpapi/routes.h"

#include <strings.h>

#include "src/base/bounds.h"

#define RETRY "Retry-After: 1\r\n"

static struct route refuse(int status, const char *fields, const char *text)
{
    return (struct route){
        .op = ROUTE_ERROR,
        .answer = {.status = status,
                   .fields = fields,
                   .text = text,
                   .close = true},
    };
}

static bool method_is(const struct http_head *h, const char *name)
{
    return strlen(name) == h->method.len &&
           memcmp(h->method.data, name, h->method.len) == 0;
}

static bool equals_ignoring_case(struct bytes b, const char *text)
{
    return strlen(text) == b.len &&
           strncasecmp((const char *)b.data, text, b.len) == 0;
}

static struct bytes trim_blanks(struct bytes b)
{
    while (b.len > 0 && (b.data[0] == ' ' || b.data[0] == '\t')) {
        b.data++;
        b.len--;
    }
    while (b.len > 0 &&
           (b.data[b.len - 1] == ' ' || b.data[b.len - 1] == '\t')) {
        b.len--;
    }
    return b;
}

/* Whether a list "a, b; x=y, c" has the element `name`, parameters aside. */
static bool list_has(struct bytes list, const char *name)
{
    const uint8_t *p = list.data;
    const uint8_t *end = p + list.len;

    while (p < end) {
        const uint8_t *comma = memchr(p, ',', (size_t)(end - p));
        const uint8_t *stop = comma != NULL ? comma : end;
        const uint8_t *semicolon = memchr(p, ';', (size_t)(stop - p));
        struct bytes element = {
            p, (size_t)((semicolon != NULL ? semicolon : stop) - p)};

        if (equals_ignoring_case(trim_blanks(element), name)) {
            return true;
        }
        p = stop < end ? stop + 1 : end;
    }
    return false;
}

/* A field may be given more than once, which means one list (RFC 9110 5.3). */
static bool field_has(const struct http_head *h, const char *field,
                      const char *element)
{
    for (size_t i = 0; i < h->n_fields; i++) {
        if (equals_ignoring_case(h->fields[i].name, field) &&
            list_has(h->fields[i].value, element)) {
            return true;
        }
    }
    return false;
}

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* "/" and a decimal number without leading zero, or "0x" and a hexadecimal
 * one, in 1..2^64-1; 0 for anything else. */
static uint64_t parse_member_path(struct bytes path)
{
    uint64_t base = 10;
    uint64_t v = 0;
    size_t at = 1;

    ASSERT(path.len > 0);
    if (path.len > 3 && path.data[1] == '0' && path.data[2] == 'x') {
        base = 16;
        at = 3;
    } else if (path.len < 2 || path.data[1] == '0') {
        return 0;
    }
    for (; at < path.len; at++) {
        uint64_t digit = (uint64_t)digit_of(path.data[at]);

        if (digit >= base || v > (UINT64_MAX - digit) / base) {
            return 0;
        }
        v = v * base + digit;
    }
    return v;
}

static struct route member_route(const struct http_head *h, enum route_op op,
                                 size_t body_limit)
{
    uint64_t id = parse_member_path(h->target);

    if (id == 0) {
        return refuse(400, NULL,
                      "the path is not a slash and a member id in 1..2^64-1, "
                      "decimal or 0x");
    }
    return (struct route){.op = op, .id = id, .body_limit = body_limit};
}

struct route route_request(const struct http_head *h, size_t max_value_size)
{
    ASSERT(h->target.len > 0);
    if (method_is(h, "GET") || method_is(h, "HEAD")) {
        return (struct route){
            .op = ROUTE_GET,
            .head = method_is(h, "HEAD"),
            .local = field_has(h, "X-Consistency", "local"),
            .body_limit = max_value_size,
        };
    }
    if (method_is(h, "PUT")) {
        return (struct route){
            .op = ROUTE_PUT,
            .respond_async = field_has(h, "Prefer", "respond-async"),
            .body_limit = max_value_size,
        };
    }
    if (method_is(h, "POST")) {
        return member_route(h, ROUTE_ADD_MEMBER, MEMBER_BODY_MAX);
    }
    if (method_is(h, "DELETE")) {
        return member_route(h, ROUTE_REMOVE_MEMBER, max_value_size);
    }
    return refuse(405, "Allow: " ROUTE_ALLOW "\r\n",
                  "the method is not allowed here");
}

bool route_member_url(struct bytes body, struct addr *out,
                      struct route_answer *answer)
{
    if (addr_parse_url(body, out, NULL) == 0) {
        return true;
    }
    *answer = (struct route_answer){
        .status = 400,
        .text = "the body is not a peer URL of the form http://host:port",
        .close = true,
    };
    return false;
}

struct route_answer route_stopping(void)
{
    return (struct route_answer){
        .status = 503,
        .text = "this node is shutting down",
        .close = true,
    };
}

static struct route_answer success(const struct route *r)
{
    switch (r->op) {
    case ROUTE_GET:
        return (struct route_answer){.status = 200};
    case ROUTE_PUT:
        if (r->respond_async) {
            return (struct route_answer){
                .status = 202,
                .fields = "Preference-Applied: respond-async\r\n",
            };
        }
        return (struct route_answer){.status = 204};
    case ROUTE_ADD_MEMBER:
    case ROUTE_REMOVE_MEMBER:
        return (struct route_answer){.status = 204};
    case ROUTE_ERROR:
        break;
    }
    UNREACHABLE();
}

struct route_answer route_outcome(const struct route *r, int outcome)
{
    static const struct {
        int outcome;
        struct route_answer answer;
    } table[] = {
        {ERR_NOT_FOUND, {404, NULL, "the key does not exist", false}},
        {ERR_NO_LEADER, {503, RETRY, "no leader is known", false}},
        {ERR_PROPOSAL_DROPPED, {503, RETRY, "the proposal was refused", false}},
        {ERR_OVERLOADED, {503, RETRY, "too many requests are waiting", false}},
        {ERR_OUTCOME_UNKNOWN,
         {504, NULL, "not seen applied in time, the outcome is unknown",
          false}},
        {ERR_NO_MEMBER, {404, NULL, "the id is no member", false}},
        {ERR_MEMBER_REMOVED, {410, NULL, "the id was removed before", false}},
        {ERR_MEMBER_URL_DIFFERS,
         {409, NULL, "the id is a member with another URL", false}},
        {ERR_LAST_VOTER,
         {409, NULL, "the only voter cannot be removed", false}},
        {ERR_SELF_REMOVED,
         {503, NULL, "this node has been removed from the cluster", true}},
    };

    if (outcome == 0) {
        return success(r);
    }
    if (outcome == ERR_STOPPED) {
        return route_stopping();
    }
    if (outcome == ERR_TIMED_OUT && r->op == ROUTE_GET) {
        /* A read changes nothing: it may be repeated blindly. */
        return (struct route_answer){
            503, RETRY, "the read was not confirmed in time", false};
    }
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].outcome == outcome) {
            return table[i].answer;
        }
    }
    /* Never 503: whether it happened is not known. */
    return (struct route_answer){500, NULL, "internal error", false};
}
