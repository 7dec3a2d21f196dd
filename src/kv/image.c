/* Write and read the JSON object of a snapshot.
 *
 * A value's bytes are never decoded as UTF-8. Writing escapes ASCII specials
 * and the two line separators and copies the rest; reading undoes escapes and
 * copies the rest: so whatever was written comes back, valid text or not.
 *
 * Counterpart: Go encoding/json encode.go, decode.go, scanner.go
 * (formats-snapshot.md section 4).
 * Differs: bytes that are not UTF-8 stay as they are, both ways. */

#include "src/kv/image.h"

#include "src/base/buf.h"

/* --- eight bytes at a time --- */

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

static uint64_t eight_bytes(const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

/* Not 0 if a byte of `w` is `c`. */
static uint64_t has_byte(uint64_t w, uint8_t c)
{
    uint64_t x = w ^ EACH_BYTE(c);

    return (x - EACH_BYTE(0x01)) & ~x & EACH_BYTE(0x80);
}

/* Not 0 if a byte of `w` is a control byte. */
static uint64_t has_control(uint64_t w)
{
    return (w - EACH_BYTE(0x20)) & ~w & EACH_BYTE(0x80);
}

/* --- writing --- */

static const char hex_digits[] = "0123456789abcdef";

/* What Go escapes in a string, HTML included. */
static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' ||
           c == '&';
}

static int put_escape(struct buf *b, uint8_t c)
{
    char u[6] = {'\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};

    switch (c) {
    case '"':
        return buf_append(b, "\\\"", 2);
    case '\\':
        return buf_append(b, "\\\\", 2);
    case '\n':
        return buf_append(b, "\\n", 2);
    case '\r':
        return buf_append(b, "\\r", 2);
    case '\t':
        return buf_append(b, "\\t", 2);
    default:
        return buf_append(b, u, sizeof(u));
    }
}

/* Neither needs_escape, nor the first byte of a line separator. */
static bool are_copied(uint64_t w)
{
    return (has_control(w) | has_byte(w & ~EACH_BYTE('"' ^ '&'), '"') |
            has_byte(w & ~EACH_BYTE('<' ^ '>'), '<') | has_byte(w, '\\') |
            has_byte(w, 0xe2)) == 0;
}

/* U+2028 or U+2029 at `p`. Comparing bytes is enough: e2 never continues
 * another character, so these three are that character wherever they stand. */
static bool is_line_separator(const uint8_t *p, size_t len)
{
    return len >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] | 1) == 0xa9;
}

int image_put_string(struct buf *b, struct bytes s)
{
    size_t done = 0; /* everything before it is in `b` */

    (void)buf_append_byte(b, '"');
    for (size_t i = 0; i < s.len;) {
        if (s.len - i >= 8 && are_copied(eight_bytes(s.data + i))) {
            i += 8;
            continue;
        }
        uint8_t c = s.data[i];

        if (needs_escape(c)) {
            (void)buf_append(b, s.data + done, i - done);
            (void)put_escape(b, c);
            done = ++i;
        } else if (c == 0xe2 && is_line_separator(s.data + i, s.len - i)) {
            (void)buf_append(b, s.data + done, i - done);
            (void)buf_append_str(b,
                                 s.data[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
            i += 3;
            done = i;
        } else {
            i++;
        }
    }
    if (done < s.len) {
        (void)buf_append(b, s.data + done, s.len - done);
    }
    (void)buf_append_byte(b, '"');
    return b->failed ? ERR_TOO_LARGE : 0;
}

/* --- reading --- */

struct reader {
    const uint8_t *start;
    const uint8_t *p;
    const uint8_t *end;
    struct errmsg *em;
};

static int malformed(const struct reader *r, const uint8_t *at,
                     const char *what)
{
    (void)errmsg_set(r->em, ERR_MALFORMED, "offset %zu: %s",
                     (size_t)(at - r->start), what);
    return ERR_MALFORMED;
}

static void skip_space(struct reader *r)
{
    while (r->p < r->end &&
           (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) {
        r->p++;
    }
}

/* Behind any white space, whether `c` comes next; if so it is taken. */
static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != (uint8_t)c) {
        return false;
    }
    r->p++;
    return true;
}

static bool take_null(struct reader *r)
{
    skip_space(r);
    if (r->end - r->p < 4 || memcmp(r->p, "null", 4) != 0) {
        return false;
    }
    r->p += 4;
    return true;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#define NO_UNIT UINT32_MAX

/* The UTF-16 unit of an escape \uXXXX at `p`, or NO_UNIT. */
static uint32_t unit_at(const uint8_t *p, const uint8_t *end)
{
    uint32_t u = 0;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return NO_UNIT;
    }
    for (int i = 2; i < 6; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0) {
            return NO_UNIT;
        }
        u = u << 4 | (uint32_t)digit;
    }
    return u;
}

static void put_utf8(struct buf *b, uint32_t c)
{
    uint8_t *p = buf_reserve(b, 4);
    size_t n;

    ASSERT(p != NULL); /* the buffer has no limit of its own */
    if (c < 0x80) {
        p[0] = (uint8_t)c;
        n = 1;
    } else if (c < 0x800) {
        p[0] = (uint8_t)(0xc0 | c >> 6);
        p[1] = (uint8_t)(0x80 | (c & 0x3f));
        n = 2;
    } else if (c < 0x10000) {
        p[0] = (uint8_t)(0xe0 | c >> 12);
        p[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        p[2] = (uint8_t)(0x80 | (c & 0x3f));
        n = 3;
    } else {
        p[0] = (uint8_t)(0xf0 | c >> 18);
        p[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        p[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        p[3] = (uint8_t)(0x80 | (c & 0x3f));
        n = 4;
    }
    buf_commit(b, n);
}

/* One or two escapes \uXXXX. A surrogate without its partner is U+FFFD, and
 * the escape behind it is read by itself, as Go does it. */
static int take_unicode(struct reader *r, struct buf *b)
{
    uint32_t c = unit_at(r->p, r->end);

    if (c == NO_UNIT) {
        return malformed(r, r->p, "bad \\u escape");
    }
    r->p += 6;
    if (c >= 0xd800 && c < 0xe000) {
        uint32_t low = c < 0xdc00 ? unit_at(r->p, r->end) : NO_UNIT;

        if (low >= 0xdc00 && low < 0xe000) {
            r->p += 6;
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        } else {
            c = 0xfffd;
        }
    }
    put_utf8(b, c);
    return 0;
}

/* The escape at r->p, appended to `b`. */
static int take_escape(struct reader *r, struct buf *b)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";

    if (r->end - r->p < 2) {
        return malformed(r, r->p, "document ends in a string");
    }
    if (r->p[1] == 'u') {
        return take_unicode(r, b);
    }
    const char *found = memchr(from, r->p[1], sizeof(from) - 1);
    if (found == NULL) {
        return malformed(r, r->p, "unknown escape");
    }
    (void)buf_append_byte(b, (uint8_t)to[found - from]);
    r->p += 2;
    return 0;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static bool are_plain(uint64_t w)
{
    return (has_control(w) | has_byte(w, '"') | has_byte(w, '\\')) == 0;
}

/* A string whose opening quote is taken. *out points into the document if it
 * has no escape, else into `scratch`. */
static int take_string(struct reader *r, struct buf *scratch, struct bytes *out)
{
    const uint8_t *run = r->p;

    buf_reset(scratch);
    for (;;) {
        while (r->end - r->p >= 8 && are_plain(eight_bytes(r->p))) {
            r->p += 8;
        }
        while (r->p < r->end && is_plain(*r->p)) {
            r->p++;
        }
        if (r->p == r->end) {
            return malformed(r, r->p, "document ends in a string");
        }
        if (*r->p == '"') {
            break;
        }
        if (*r->p != '\\') {
            return malformed(r, r->p, "control byte in a string");
        }
        (void)buf_append(scratch, run, (size_t)(r->p - run));
        int rc = take_escape(r, scratch);
        if (rc < 0) {
            return rc;
        }
        run = r->p;
    }
    if (scratch->len > 0) {
        (void)buf_append(scratch, run, (size_t)(r->p - run));
        *out = buf_bytes(scratch);
    } else {
        *out = (struct bytes){run, (size_t)(r->p - run)};
    }
    r->p++;
    return 0;
}

struct pair_buffers {
    struct buf key;
    struct buf value;
};

static int take_pair(struct reader *r, struct pair_buffers *bufs,
                     image_pair_cb *cb, void *arg)
{
    struct bytes key;
    struct bytes value = {(const uint8_t *)"", 0};
    int rc;

    if (!take(r, '"')) {
        return malformed(r, r->p, "a key should stand here");
    }
    rc = take_string(r, &bufs->key, &key);
    if (rc < 0) {
        return rc;
    }
    if (!take(r, ':')) {
        return malformed(r, r->p, "a colon should stand here");
    }
    if (!take_null(r)) {
        if (!take(r, '"')) {
            return malformed(r, r->p, "a string should stand here");
        }
        rc = take_string(r, &bufs->value, &value);
        if (rc < 0) {
            return rc;
        }
    }
    cb(arg, key, value);
    return 0;
}

static int take_members(struct reader *r, struct pair_buffers *bufs,
                        image_pair_cb *cb, void *arg)
{
    int rc;

    if (take(r, '}')) {
        return 0;
    }
    do {
        rc = take_pair(r, bufs, cb, arg);
        if (rc < 0) {
            return rc;
        }
    } while (take(r, ','));
    if (!take(r, '}')) {
        return malformed(r, r->p, "a comma or brace should stand here");
    }
    return 0;
}

int image_decode(struct bytes in, image_pair_cb *cb, void *arg,
                 struct errmsg *em)
{
    const uint8_t *start = in.len > 0 ? in.data : (const uint8_t *)"";
    struct reader r = {start, start, start + in.len, em};
    struct pair_buffers bufs;
    int rc = 0;

    /* An escape is never shorter than what it stands for, so the document's
     * own length bounds both. */
    buf_init(&bufs.key, BUF_UNLIMITED);
    buf_init(&bufs.value, BUF_UNLIMITED);
    if (!take_null(&r)) {
        rc = take(&r, '{') ? take_members(&r, &bufs, cb, arg)
                           : malformed(&r, r.p, "an object should stand here");
    }
    skip_space(&r);
    if (rc == 0 && r.p < r.end) {
        rc = malformed(&r, r.p, "bytes behind the document");
    }
    buf_release(&bufs.value);
    buf_release(&bufs.key);
    return rc;
}
