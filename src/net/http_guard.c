/* The grammar of HTTP/1 that we accept, as one machine over bytes.
 *
 *   START -> METHOD -> TARGET -> VERSION -> LINE_LF -> FIELD_START
 *   START -> STATUS_LINE ------------------> LINE_LF -> FIELD_START
 *   FIELD_START -> NAME -> VALUE -> VALUE_LF -> FIELD_START
 *   FIELD_START -> END_LF -> DONE
 *   CHUNK_SIZE -> [CHUNK_EXT] -> CHUNK_SIZE_LF -> CHUNK_DATA
 *   CHUNK_DATA -> CHUNK_DATA_CR -> CHUNK_DATA_LF -> CHUNK_SIZE
 *   CHUNK_SIZE_LF -> FIELD_START (size 0: trailers) -> ... -> DONE
 *
 * A limit is tested before the byte that stands beyond it is judged, so that
 * the verdict does not depend on how much arrived at once. */

#include "src/net/http_guard.h"

#include "src/base/bounds.h"

#define VERSION_LEN 8 /* "HTTP/1.1" */

enum {
    IS_TOKEN = 1,  /* names and methods */
    IS_TARGET = 2, /* visible, or not ASCII */
    IS_VALUE = 4,  /* target bytes, space and tab */
};

#define PUNCT (IS_TARGET | IS_VALUE)
#define TOKEN (IS_TOKEN | IS_TARGET | IS_VALUE)

static const uint8_t byte_class[256] = {
    ['\t'] = IS_VALUE,     [' '] = IS_VALUE,        ['!'] = TOKEN,
    ['"'] = PUNCT,         ['#' ... '\''] = TOKEN,  ['(' ... ')'] = PUNCT,
    ['*' ... '+'] = TOKEN, [','] = PUNCT,           ['-' ... '.'] = TOKEN,
    ['/'] = PUNCT,         ['0' ... '9'] = TOKEN,   [':' ... '@'] = PUNCT,
    ['A' ... 'Z'] = TOKEN, ['[' ... ']'] = PUNCT,   ['^' ... 'z'] = TOKEN,
    ['{'] = PUNCT,         ['|'] = TOKEN,           ['}'] = PUNCT,
    ['~'] = TOKEN,         [0x80 ... 0xff] = PUNCT,
};

/* A method outside this list is unknown [reliability 11]; which of the known
 * ones are allowed is the handler's business. CONNECT is not in it: it asks for
 * a tunnel, which no handler of ours can give. */
static const char *const known_methods[] = {
    "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE",
};

void http_guard_init(struct http_guard *g, bool response, size_t fields_max)
{
    *g = (struct http_guard){
        .response = response,
        .fields_max = fields_max,
    };
}

bool http_guard_has_begun(const struct http_guard *g)
{
    return g->state != GUARD_START && g->state != GUARD_BLANK_LF;
}

void http_guard_begin_chunks(struct http_guard *g)
{
    ASSERT(g->state == GUARD_DONE);
    g->state = GUARD_CHUNK_SIZE;
    g->n_digits = 0;
    g->chunk_left = 0;
}

void http_guard_skip_data(struct http_guard *g, uint64_t n)
{
    ASSERT(g->state == GUARD_CHUNK_DATA);
    ASSERT(n <= g->chunk_left);
    g->chunk_left -= n;
    if (g->chunk_left == 0) {
        g->state = GUARD_CHUNK_DATA_CR;
    }
}

static enum http_guard_step bad(struct http_guard *g, int status,
                                const char *text)
{
    g->status = status;
    g->text = text;
    return GUARD_STEP_BAD;
}

/* The end of the run of bytes of `class` that begins at `p`. */
static const uint8_t *run_of(const uint8_t *p, const uint8_t *end,
                             uint8_t class)
{
    while (p < end && (byte_class[*p] & class) != 0) {
        p++;
    }
    return p;
}

static bool count_line(struct http_guard *g, size_t n)
{
    g->line_len += n;
    return g->line_len <= (g->response ? g->fields_max : HTTP_REQUEST_LINE_MAX);
}

static bool count_fields(struct http_guard *g, size_t n)
{
    g->fields_len += n;
    return g->fields_len <= g->fields_max;
}

static enum http_guard_step line_too_long(struct http_guard *g)
{
    return bad(g, 414, "the request line is too long");
}

static enum http_guard_step fields_too_long(struct http_guard *g)
{
    return bad(g, 431, "the header block is too large");
}

static bool is_known_method(struct bytes m)
{
    for (size_t i = 0; i < ARRAY_LEN(known_methods); i++) {
        if (strlen(known_methods[i]) == m.len &&
            memcmp(known_methods[i], m.data, m.len) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The request line is complete; `head` is the head so far. The version comes
 * first: of another protocol's line nothing else has a meaning. */
static enum http_guard_step check_request_line(struct http_guard *g,
                                               const uint8_t *head)
{
    ASSERT(head != NULL);
    g->is_head =
        g->method_len == 4 && memcmp(head + g->line_at, "HEAD", 4) == 0;
    if (g->version_len > 0) {
        const uint8_t *v = g->version;

        if (g->version_len != VERSION_LEN || memcmp(v, "HTTP/", 5) != 0 ||
            !is_digit(v[5]) || v[6] != '.' || !is_digit(v[7])) {
            return bad(g, 400, "the HTTP version is malformed");
        }
        if (v[5] != '1' || v[7] > '1') {
            return bad(g, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
        }
    }
    if (!is_known_method((struct bytes){head + g->line_at, g->method_len})) {
        return bad(g, 405, "the method is not known here");
    }
    if (head[g->target_at] != '/') {
        return bad(g, 400, "the request target does not begin with a slash");
    }
    return GUARD_STEP_MORE;
}

static enum http_guard_step end_of_head(struct http_guard *g)
{
    g->state = GUARD_DONE;
    if (!g->response && !g->in_trailers && g->version_len == 0) {
        return bad(g, 400, "the request line has no HTTP version");
    }
    return GUARD_STEP_DONE;
}

/* The first byte of a message, or a blank line before it. */
static enum http_guard_step scan_start(struct http_guard *g, uint8_t c,
                                       size_t at)
{
    if (g->response) {
        g->line_at = at;
        g->state = GUARD_STATUS_LINE;
        return c == 'H' ? GUARD_STEP_MORE
                        : bad(g, 400, "the answer is not HTTP");
    }
    if (c == '\r') {
        g->n_blank++;
        g->state = GUARD_BLANK_LF;
        return g->n_blank <= HTTP_BLANK_LINES_MAX
                   ? GUARD_STEP_MORE
                   : bad(g, 400, "too many blank lines before the request");
    }
    if ((byte_class[c] & IS_TOKEN) == 0) {
        return bad(g, 400, "the request line does not begin with a method");
    }
    g->line_at = at;
    g->state = GUARD_METHOD;
    return GUARD_STEP_MORE;
}

/* A line feed must follow: the one place that says so for all lines. */
static enum http_guard_step scan_lf(struct http_guard *g, uint8_t c,
                                    enum http_guard_state next)
{
    g->state = next;
    return c == '\n' ? GUARD_STEP_MORE
                     : bad(g, 400, "a carriage return without a line feed");
}

/* The request and status lines. `at` is the offset of *p in the head; the
 * result is the first byte that was not taken. */
static const uint8_t *scan_line(struct http_guard *g, const uint8_t *p,
                                const uint8_t *end, size_t at,
                                enum http_guard_step *step)
{
    const uint8_t *q = p;

    switch (g->state) {
    case GUARD_METHOD:
        q = run_of(p, end, IS_TOKEN);
        g->method_len += (size_t)(q - p);
        break;
    case GUARD_TARGET:
        q = run_of(p, end, IS_TARGET);
        g->target_len += (size_t)(q - p);
        break;
    case GUARD_VERSION:
        q = run_of(p, end, IS_TARGET);
        for (const uint8_t *v = p; v < q; v++) {
            if (g->version_len < VERSION_LEN) {
                g->version[g->version_len] = *v;
            }
            g->version_len++;
        }
        break;
    default:
        ASSERT(g->state == GUARD_STATUS_LINE);
        q = run_of(p, end, IS_VALUE);
        break;
    }
    if (!count_line(g, (size_t)(q - p))) {
        *step = line_too_long(g);
        return q;
    }
    if (q == end) {
        return q;
    }

    /* The byte that ended the run. */
    if (*q == '\r' && g->state == GUARD_TARGET && g->target_len > 0) {
        /* HTTP/0.9 as it was written once; it is refused when the header
         * block ends, and waits for it until then. */
        g->state = GUARD_LINE_LF;
    } else if (*q == '\r' &&
               ((g->state == GUARD_VERSION && g->version_len > 0) ||
                g->state == GUARD_STATUS_LINE)) {
        g->state = GUARD_LINE_LF;
    } else if (*q == ' ' && g->state == GUARD_METHOD) {
        g->target_at = at + (size_t)(q - p) + 1;
        g->state = GUARD_TARGET;
        g->line_len++;
    } else if (*q == ' ' && g->state == GUARD_TARGET && g->target_len > 0) {
        g->state = GUARD_VERSION;
        g->line_len++;
    } else {
        *step = bad(g, 400, "the request line is malformed");
    }
    return q + 1;
}

static enum http_guard_step scan_field_start(struct http_guard *g, uint8_t c)
{
    if (c == '\r') {
        g->state = GUARD_END_LF;
        return GUARD_STEP_MORE;
    }
    if (c == ' ' || c == '\t') {
        return bad(g, 400, "a folded header line");
    }
    if (c == ':') {
        return bad(g, 400, "a header line with an empty name");
    }
    if ((byte_class[c] & IS_TOKEN) == 0) {
        return bad(g, 400, "a header line with a malformed name");
    }
    g->state = GUARD_NAME;
    g->n_fields++;
    if (g->n_fields > HTTP_FIELDS_MAX) {
        return bad(g, 431, "too many header fields");
    }
    return count_fields(g, 1) ? GUARD_STEP_MORE : fields_too_long(g);
}

/* Header lines, trailers, and the extensions of a chunk size, which are
 * counted with them. */
static const uint8_t *scan_field(struct http_guard *g, const uint8_t *p,
                                 const uint8_t *end, enum http_guard_step *step)
{
    const uint8_t *q =
        run_of(p, end, g->state == GUARD_NAME ? IS_TOKEN : IS_VALUE);

    if (!count_fields(g, (size_t)(q - p))) {
        *step = fields_too_long(g);
        return q;
    }
    if (q == end) {
        return q;
    }
    if (!count_fields(g, 1)) {
        *step = fields_too_long(g);
        return q;
    }
    if (g->state == GUARD_NAME && *q == ':') {
        g->state = GUARD_VALUE;
    } else if (g->state == GUARD_VALUE && *q == '\r') {
        g->state = GUARD_VALUE_LF;
    } else if (g->state == GUARD_CHUNK_EXT && *q == '\r') {
        g->state = GUARD_CHUNK_SIZE_LF;
    } else if (g->state == GUARD_NAME) {
        *step = bad(g, 400, "a header line with a malformed name");
    } else {
        *step = bad(g, 400, "a control byte in a header line");
    }
    return q + 1;
}

static int hex_digit(uint8_t c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http_guard_step scan_chunk_size(struct http_guard *g, uint8_t c)
{
    int digit = hex_digit(c);

    if (digit >= 0) {
        g->n_digits++;
        if (g->n_digits > HTTP_CHUNK_DIGITS_MAX) {
            return bad(g, 400, "a chunk size with too many digits");
        }
        g->chunk_left = g->chunk_left << 4 | (uint64_t)digit;
        return GUARD_STEP_MORE;
    }
    if (g->n_digits == 0 || (c != ';' && c != '\r')) {
        return bad(g, 400, "a malformed chunk size");
    }
    g->state = c == ';' ? GUARD_CHUNK_EXT : GUARD_CHUNK_SIZE_LF;
    return GUARD_STEP_MORE;
}

static enum http_guard_step scan_chunk_size_lf(struct http_guard *g, uint8_t c)
{
    enum http_guard_step step = scan_lf(g, c, GUARD_CHUNK_DATA);

    if (step != GUARD_STEP_MORE) {
        return step;
    }
    if (g->chunk_left > 0) {
        return GUARD_STEP_DATA;
    }
    g->in_trailers = true;
    g->state = GUARD_FIELD_START;
    return GUARD_STEP_MORE;
}

/* The lines that end a chunk's data. */
static enum http_guard_step scan_chunk_end(struct http_guard *g, uint8_t c)
{
    if (g->state == GUARD_CHUNK_DATA_CR) {
        g->state = GUARD_CHUNK_DATA_LF;
        return c == '\r' ? GUARD_STEP_MORE
                         : bad(g, 400, "a chunk longer than its size");
    }
    g->n_digits = 0;
    return scan_lf(g, c, GUARD_CHUNK_SIZE);
}

static enum http_guard_step scan_byte(struct http_guard *g, uint8_t c,
                                      const uint8_t *head, size_t at)
{
    enum http_guard_step step;

    switch (g->state) {
    case GUARD_START:
        return scan_start(g, c, at);
    case GUARD_BLANK_LF:
        return scan_lf(g, c, GUARD_START);
    case GUARD_LINE_LF:
        step = scan_lf(g, c, GUARD_FIELD_START);
        return step == GUARD_STEP_MORE && !g->response
                   ? check_request_line(g, head)
                   : step;
    case GUARD_FIELD_START:
        return scan_field_start(g, c);
    case GUARD_VALUE_LF:
        step = scan_lf(g, c, GUARD_FIELD_START);
        return step == GUARD_STEP_MORE && !count_fields(g, 1)
                   ? fields_too_long(g)
                   : step;
    case GUARD_END_LF:
        step = scan_lf(g, c, GUARD_DONE);
        return step == GUARD_STEP_MORE ? end_of_head(g) : step;
    case GUARD_CHUNK_SIZE:
        return scan_chunk_size(g, c);
    case GUARD_CHUNK_SIZE_LF:
        return scan_chunk_size_lf(g, c);
    case GUARD_CHUNK_DATA_CR:
    case GUARD_CHUNK_DATA_LF:
        return scan_chunk_end(g, c);
    case GUARD_METHOD:
    case GUARD_TARGET:
    case GUARD_VERSION:
    case GUARD_STATUS_LINE:
    case GUARD_NAME:
    case GUARD_VALUE:
    case GUARD_CHUNK_EXT:
    case GUARD_CHUNK_DATA:
    case GUARD_DONE:
        break; /* runs of bytes, or nothing to scan */
    }
    UNREACHABLE();
}

/* Scan from `p` on until something is to be said. `head` is where the head
 * begins (NULL for chunks: only offsets into a head need it). */
static enum http_guard_step scan(struct http_guard *g, const uint8_t *head,
                                 const uint8_t **p, const uint8_t *end)
{
    enum http_guard_step step = GUARD_STEP_MORE;

    while (*p < end && step == GUARD_STEP_MORE) {
        size_t at = head != NULL ? (size_t)(*p - head) : 0;

        switch (g->state) {
        case GUARD_METHOD:
        case GUARD_TARGET:
        case GUARD_VERSION:
        case GUARD_STATUS_LINE:
            *p = scan_line(g, *p, end, at, &step);
            break;
        case GUARD_NAME:
        case GUARD_VALUE:
        case GUARD_CHUNK_EXT:
            *p = scan_field(g, *p, end, &step);
            break;
        default:
            step = scan_byte(g, **p, head, at);
            if (g->state == GUARD_METHOD && step == GUARD_STEP_MORE) {
                break; /* the first byte of the method is scanned with it */
            }
            (*p)++;
            break;
        }
    }
    return step;
}

enum http_guard_step http_guard_head(struct http_guard *g, struct bytes in)
{
    ASSERT(g->state != GUARD_DONE);
    ASSERT(in.len >= g->scanned);
    if (in.len == g->scanned) {
        return GUARD_STEP_MORE;
    }

    const uint8_t *p = in.data + g->scanned;
    enum http_guard_step step = scan(g, in.data, &p, in.data + in.len);
    g->scanned = (size_t)(p - in.data);
    return step;
}

enum http_guard_step http_guard_chunk(struct http_guard *g, struct bytes in,
                                      size_t *used)
{
    ASSERT(g->state != GUARD_DONE);
    *used = 0;
    if (g->state == GUARD_CHUNK_DATA) {
        return GUARD_STEP_DATA;
    }
    if (in.len == 0) {
        return GUARD_STEP_MORE;
    }

    const uint8_t *p = in.data;
    enum http_guard_step step = scan(g, NULL, &p, in.data + in.len);
    *used = (size_t)(p - in.data);
    return step;
}
