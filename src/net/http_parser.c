/* HTTP/1 messages out of bytes.
 *
 * llhttp gets every message in a normal form: a fixed request line (it knows
 * only a list of methods, and its strict build refuses targets that are keys
 * here), the field lines as they were sent, the body, and chunk framing
 * without extensions and trailers, which the guard has judged and counted. It
 * is begun anew for each message, so that no state of one message reaches
 * into the next. */

#include "src/net/http_parser.h"

#include <strings.h>

#include "src/base/bounds.h"

static const char *const request_lines[] = {
    "GET / HTTP/1.0\r\n",
    "GET / HTTP/1.1\r\n",
};

/* --- what llhttp tells --- */

/* The head is one run of bytes, so each name and each value is one span. Those
 * of trailers never come here. */
static int on_field(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = container_of(ll, struct http_parser, llhttp);

    if (p->n_fields >= HTTP_FIELDS_MAX) {
        return HPE_USER;
    }
    p->fields[p->n_fields++] = (struct http_field){
        .name = {(const uint8_t *)at, len},
        .value = {(const uint8_t *)at + len, 0},
    };
    return 0;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static int on_value(llhttp_t *ll, const char *at, size_t len)
{
    struct http_parser *p = container_of(ll, struct http_parser, llhttp);

    if (p->n_fields == 0) {
        return HPE_USER;
    }
    /* llhttp leaves white space behind the value. */
    while (len > 0 && is_blank((uint8_t)at[len - 1])) {
        len--;
    }
    p->fields[p->n_fields - 1].value = (struct bytes){(const uint8_t *)at, len};
    return 0;
}

/* Answers without a body, whatever their fields say (RFC 9112 6.3). */
static bool never_has_body(const struct http_parser *p, int status)
{
    return p->no_body || (p->response && (status / 100 == 1 || status == 204 ||
                                          status == 304));
}

static int on_headers_complete(llhttp_t *ll)
{
    struct http_parser *p = container_of(ll, struct http_parser, llhttp);

    p->llhttp_head_done = true;
    p->keep_alive = llhttp_should_keep_alive(ll) != 0;
    return never_has_body(p, ll->status_code) ? 1 : 0;
}

static int on_message_complete(llhttp_t *ll)
{
    container_of(ll, struct http_parser, llhttp)->llhttp_complete = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

/* --- life --- */

static void begin_message(struct http_parser *p)
{
    http_guard_init(&p->guard, p->response, p->fields_max);
    p->state = HTTP_PARSER_HEAD;
    p->llhttp_head_done = false;
    p->llhttp_complete = false;
    p->n_fields = 0;
    p->left = 0;
}

void http_parser_init(struct http_parser *p, bool response, size_t fields_max,
                      struct http_field *fields)
{
    *p = (struct http_parser){
        .response = response,
        .fields_max = fields_max,
        .fields = fields,
    };
    begin_message(p);
}

bool http_parser_in_head(const struct http_parser *p)
{
    return p->state == HTTP_PARSER_HEAD && http_guard_has_begun(&p->guard);
}

bool http_parser_in_message(const struct http_parser *p)
{
    return p->state != HTTP_PARSER_HEAD || http_guard_has_begun(&p->guard);
}

uint64_t http_parser_body_left(const struct http_parser *p)
{
    return p->state == HTTP_PARSER_CHUNKS ? p->guard.chunk_left : p->left;
}

bool http_parser_eof(struct http_parser *p)
{
    return p->state == HTTP_PARSER_UNTIL_EOF;
}

static enum http_event bad(struct http_parser *p, int status, const char *text)
{
    p->state = HTTP_PARSER_BAD;
    p->status = status;
    p->text = text;
    return HTTP_EVENT_BAD;
}

static enum http_event guard_said_no(struct http_parser *p)
{
    return bad(p, p->guard.status, p->guard.text);
}

static const char *llhttp_text(int code)
{
    switch (code) {
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return "Content-Length twice, or with Transfer-Encoding";
    case HPE_INVALID_CONTENT_LENGTH:
        return "Content-Length is not a decimal number";
    case HPE_INVALID_TRANSFER_ENCODING:
        return "Transfer-Encoding does not end in chunked";
    default:
        return "the message is malformed";
    }
}

/* False if llhttp refuses; then the parser is bad. */
static bool feed(struct http_parser *p, const void *data, size_t len)
{
    int rc = (int)llhttp_execute(&p->llhttp, data, len);

    if (rc == HPE_PAUSED_UPGRADE) {
        /* An Upgrade is an offer, and we do not take it [reliability 11]. It
         * pauses behind the message, where nothing more is fed. */
        llhttp_resume_after_upgrade(&p->llhttp);
        rc = HPE_OK;
    }
    if (rc != HPE_OK) {
        (void)bad(p, 400, llhttp_text(rc));
        return false;
    }
    return true;
}

static bool feed_str(struct http_parser *p, const char *s)
{
    return feed(p, s, strlen(s));
}

/* --- the head --- */

static bool name_is(struct bytes name, const char *lower)
{
    return strlen(lower) == name.len &&
           strncasecmp((const char *)name.data, lower, name.len) == 0;
}

struct bytes http_head_field(const struct http_head *h, const char *name)
{
    for (size_t i = 0; i < h->n_fields; i++) {
        if (name_is(h->fields[i].name, name)) {
            return h->fields[i].value;
        }
    }
    return (struct bytes){NULL, 0};
}

/* What the fields say about framing, each with how often it was said. */
struct framing {
    size_t n_host;
    size_t n_length;
    size_t n_coding;
    struct bytes length;
    struct bytes coding;
    struct bytes expect;
};

static struct framing collect(const struct http_parser *p)
{
    struct framing f = {0};

    for (size_t i = 0; i < p->n_fields; i++) {
        const struct http_field *field = &p->fields[i];

        if (name_is(field->name, "host")) {
            f.n_host++;
        } else if (name_is(field->name, "content-length")) {
            f.n_length++;
            f.length = field->value;
        } else if (name_is(field->name, "transfer-encoding")) {
            f.n_coding++;
            f.coding = field->value;
        } else if (name_is(field->name, "expect")) {
            f.expect = field->value;
        }
    }
    return f;
}

/* A decimal number without sign and leading zero. What lies beyond int64 is
 * beyond every limit too, and counts as the largest. */
static bool parse_length(struct bytes text, int64_t *out)
{
    uint64_t v = 0;

    if (text.len == 0 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');

        if (text.data[i] < '0' || text.data[i] > '9' ||
            v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = (int64_t)min_u64(v, INT64_MAX);
    return true;
}

/* The codings before the last one, of which llhttp has said that it is
 * "chunked": chunked again is malformed, others are what we do not know. */
static enum http_event refuse_codings(struct http_parser *p,
                                      struct bytes coding)
{
    const char *at = (const char *)coding.data;
    const char *last = memrchr(at, ',', coding.len);
    size_t len = last != NULL ? (size_t)(last - at) : 0;

    for (size_t i = 0; i + 7 <= len; i++) {
        if (strncasecmp(at + i, "chunked", 7) == 0) {
            return bad(p, 400, "Transfer-Encoding says chunked twice");
        }
    }
    return last != NULL
               ? bad(p, 501, "only the transfer coding chunked is known here")
               : bad(p, 400, "Transfer-Encoding does not end in chunked");
}

/* Content-Length and Transfer-Encoding, for both directions. */
static enum http_event check_framing(struct http_parser *p,
                                     const struct framing *f)
{
    struct http_head *h = &p->head;

    if (f->n_length > 1 || f->n_coding > 1) {
        return bad(p, 400, "Content-Length or Transfer-Encoding given twice");
    }
    if (f->n_length > 0 && f->n_coding > 0) {
        return bad(p, 400, "both Content-Length and Transfer-Encoding");
    }
    if (f->n_length > 0 && !parse_length(f->length, &h->content_length)) {
        return bad(p, 400, "Content-Length is not a decimal number");
    }
    if (f->n_coding > 0) {
        if (h->minor == 0) {
            return bad(p, 400, "Transfer-Encoding in HTTP/1.0");
        }
        if (!name_is(f->coding, "chunked")) {
            return refuse_codings(p, f->coding);
        }
        h->chunked = true;
    }
    return HTTP_EVENT_HEAD;
}

static enum http_event check_request(struct http_parser *p,
                                     const struct framing *f)
{
    struct http_head *h = &p->head;

    if (f->n_host > 1 || (f->n_host == 0 && h->minor > 0)) {
        return bad(p, 400, f->n_host > 1 ? "more than one Host" : "no Host");
    }
    if (f->expect.data != NULL && h->minor > 0) {
        if (!name_is(f->expect, "100-continue")) {
            return bad(p, 417, "only 100-continue can be expected");
        }
        h->expect_continue = h->chunked || h->content_length > 0;
    }
    return HTTP_EVENT_HEAD;
}

/* How the body is delimited, and whether llhttp sees it the same way. */
static enum http_event begin_body(struct http_parser *p)
{
    const struct http_head *h = &p->head;

    if (never_has_body(p, h->status)) {
        p->state = HTTP_PARSER_END;
    } else if (h->chunked) {
        p->state = HTTP_PARSER_CHUNKS;
        http_guard_begin_chunks(&p->guard);
    } else if (h->content_length > 0) {
        p->state = HTTP_PARSER_LENGTH;
        p->left = (uint64_t)h->content_length;
    } else if (p->response && h->content_length < 0) {
        p->state = HTTP_PARSER_UNTIL_EOF;
        p->keep_alive = false;
    } else {
        p->state = HTTP_PARSER_END;
    }
    if (!p->llhttp_head_done ||
        p->llhttp_complete != (p->state == HTTP_PARSER_END)) {
        return bad(p, 400, "the end of the message is ambiguous");
    }
    return HTTP_EVENT_HEAD;
}

/* llhttp is given the start line in its normal form, then the fields. */
static bool feed_head(struct http_parser *p, struct bytes in)
{
    const struct http_guard *g = &p->guard;
    size_t fields_at = g->line_at;

    llhttp_init(&p->llhttp, p->response ? HTTP_RESPONSE : HTTP_REQUEST,
                &settings);
    if (!p->response) {
        fields_at = g->target_at + g->target_len + 1 + g->version_len + 2;
        if (!feed_str(p, request_lines[p->head.minor])) {
            return false;
        }
    }
    ASSERT(fields_at < g->scanned);
    return feed(p, in.data + fields_at, g->scanned - fields_at);
}

static enum http_event take_head(struct http_parser *p, struct bytes in)
{
    const struct http_guard *g = &p->guard;
    struct http_head *h = &p->head;

    *h = (struct http_head){.content_length = -1};
    if (!p->response) {
        h->minor = g->version[7] - '0';
        h->method = (struct bytes){in.data + g->line_at, g->method_len};
        h->target = (struct bytes){in.data + g->target_at, g->target_len};
    }
    if (!feed_head(p, in)) {
        return HTTP_EVENT_BAD;
    }
    h->fields = p->fields;
    h->n_fields = p->n_fields;
    if (p->response) {
        h->minor = p->llhttp.http_minor;
        h->status = p->llhttp.status_code;
        if (p->llhttp.http_major != 1 || h->status == 101) {
            return bad(p, 505, "the answer is in another protocol");
        }
    }

    struct framing f = collect(p);
    if (check_framing(p, &f) == HTTP_EVENT_BAD ||
        (!p->response && check_request(p, &f) == HTTP_EVENT_BAD)) {
        return HTTP_EVENT_BAD;
    }
    return begin_body(p);
}

static enum http_event next_head(struct http_parser *p, struct bytes in,
                                 size_t *used)
{
    switch (http_guard_head(&p->guard, in)) {
    case GUARD_STEP_MORE:
        return HTTP_EVENT_MORE;
    case GUARD_STEP_BAD:
        return guard_said_no(p);
    case GUARD_STEP_DONE:
        *used = p->guard.scanned;
        return take_head(p, in);
    case GUARD_STEP_DATA:
        break;
    }
    UNREACHABLE();
}

/* --- the body --- */

/* `left` bytes of body are due: hand out what is there of them. */
static enum http_event take_data(struct http_parser *p, struct bytes in,
                                 uint64_t left, size_t *used,
                                 struct bytes *data)
{
    size_t n = (size_t)min_u64(left, in.len);

    if (n == 0) {
        return HTTP_EVENT_MORE;
    }
    if (!feed(p, in.data, n)) {
        return HTTP_EVENT_BAD;
    }
    *data = (struct bytes){in.data, n};
    *used += n;
    return HTTP_EVENT_DATA;
}

static enum http_event next_length(struct http_parser *p, struct bytes in,
                                   size_t *used, struct bytes *data)
{
    enum http_event event = take_data(p, in, p->left, used, data);

    if (event != HTTP_EVENT_DATA) {
        return event;
    }
    p->left -= data->len;
    if (p->llhttp_complete != (p->left == 0)) {
        return bad(p, 400, "the end of the message is ambiguous");
    }
    if (p->left == 0) {
        p->state = HTTP_PARSER_END;
    }
    return HTTP_EVENT_DATA;
}

static enum http_event next_chunk_data(struct http_parser *p, struct bytes in,
                                       size_t *used, struct bytes *data)
{
    enum http_event event = take_data(p, in, p->guard.chunk_left, used, data);

    if (event != HTTP_EVENT_DATA) {
        return event;
    }
    http_guard_skip_data(&p->guard, data->len);
    if (p->guard.chunk_left == 0 && !feed_str(p, "\r\n")) {
        return HTTP_EVENT_BAD;
    }
    return HTTP_EVENT_DATA;
}

/* The size line in the form that llhttp gets. */
static bool feed_chunk_size(struct http_parser *p, uint64_t size)
{
    char line[HTTP_CHUNK_DIGITS_MAX + 3];
    int n = snprintf(line, sizeof(line), "%llx\r\n", (unsigned long long)size);

    return feed(p, line, (size_t)n);
}

static enum http_event next_chunk(struct http_parser *p, struct bytes in,
                                  size_t *used, struct bytes *data)
{
    if (p->guard.state == GUARD_CHUNK_DATA) {
        return next_chunk_data(p, in, used, data);
    }
    switch (http_guard_chunk(&p->guard, in, used)) {
    case GUARD_STEP_MORE:
        return HTTP_EVENT_MORE;
    case GUARD_STEP_BAD:
        return guard_said_no(p);
    case GUARD_STEP_DATA:
        if (!feed_chunk_size(p, p->guard.chunk_left)) {
            return HTTP_EVENT_BAD;
        }
        return next_chunk_data(
            p, (struct bytes){in.data + *used, in.len - *used}, used, data);
    case GUARD_STEP_DONE:
        if (!feed_str(p, "0\r\n\r\n")) {
            return HTTP_EVENT_BAD;
        }
        if (!p->llhttp_complete) {
            return bad(p, 400, "the end of the message is ambiguous");
        }
        begin_message(p);
        return HTTP_EVENT_END;
    }
    UNREACHABLE();
}

enum http_event http_parser_next(struct http_parser *p, struct bytes in,
                                 size_t *used, struct bytes *data)
{
    *used = 0;
    *data = (struct bytes){NULL, 0};
    switch (p->state) {
    case HTTP_PARSER_HEAD:
        return next_head(p, in, used);
    case HTTP_PARSER_LENGTH:
        return next_length(p, in, used, data);
    case HTTP_PARSER_CHUNKS:
        return next_chunk(p, in, used, data);
    case HTTP_PARSER_UNTIL_EOF:
        return take_data(p, in, UINT64_MAX, used, data);
    case HTTP_PARSER_END:
        begin_message(p);
        return HTTP_EVENT_END;
    case HTTP_PARSER_BAD:
        return HTTP_EVENT_BAD;
    }
    UNREACHABLE();
}
