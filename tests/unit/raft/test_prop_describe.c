/* Goal: quoted text can be read back, shows what Go's %q shows, and the small
 * texts of the core are what a plain printf gives. Method: random bytes, of
 * which many are nearly UTF-8, through a reader of Go strings; and strings put
 * together from pieces whose quoted form is known.
 *
 * Differs: for code points in ranges where Unicode assigns only some, only that
 * they can be read back is checked. */

#include <string.h>

#include "src/base/buf.h"
#include "src/raft/describe.h"
#include "tests/lib/property.h"

#define BYTES_MAX 40

/* --- quoting, read back --- */

static unsigned hex_value(struct property *p, char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    PROPERTY_CHECK(p, at != NULL);
    return (unsigned)(at - digits);
}

/* Encode a code point as UTF-8. */
static size_t put_utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* Read the escape behind a backslash at `s`; returns its length. */
static size_t read_escape(struct property *p, const char *s, uint8_t *to,
                          size_t *n)
{
    static const char letters[] = "abfnrtv\\\"";
    static const char bytes[] = "\a\b\f\n\r\t\v\\\"";
    const char *letter = strchr(letters, s[0]);
    size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : 8;
    uint32_t c = 0;

    PROPERTY_CHECK(p, s[0] != '\0');
    if (letter != NULL) {
        to[(*n)++] = (uint8_t)bytes[letter - letters];
        return 1;
    }
    PROPERTY_CHECK(p, s[0] == 'x' || s[0] == 'u' || s[0] == 'U');
    for (size_t i = 1; i <= digits; i++) {
        c = c << 4 | hex_value(p, s[i]);
    }
    if (s[0] == 'x') {
        to[(*n)++] = (uint8_t)c;
    } else {
        PROPERTY_CHECK(p, s[0] == 'u' ? c >= 0x80 : c >= 0x10000);
        *n += put_utf8(to + *n, c);
    }
    return 1 + digits;
}

/* The bytes that a Go string literal stands for. */
static size_t unquote(struct property *p, const char *s, uint8_t *to)
{
    size_t n = 0;

    PROPERTY_CHECK(p, *s++ == '"');
    while (*s != '"') {
        PROPERTY_CHECK(p, (uint8_t)*s >= 0x20 && *s != 0x7f);
        if (*s == '\\') {
            s += 1 + read_escape(p, s + 1, to, &n);
        } else {
            to[n++] = (uint8_t)*s++;
        }
    }
    PROPERTY_CHECK(p, s[1] == '\0');
    return n;
}

/* Bytes where all the borders of UTF-8 are near. */
static uint8_t draw_byte(struct property *p)
{
    static const uint8_t borders[] = {0x00, 0x1f, 0x20, 0x22, 0x5c, 0x7e, 0x7f,
                                      0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                      0xc1, 0xc2, 0xdf, 0xe0, 0xe2, 0xed, 0xef,
                                      0xf0, 0xf3, 0xf4, 0xf5, 0xff, 0xbd};

    return property_chance(p, 70) ? borders[property_below(p, sizeof borders)]
                                  : (uint8_t)property_below(p, 256);
}

static void quoted_bytes_can_be_read_back(struct property *p)
{
    uint8_t in[BYTES_MAX];
    uint8_t back[4 * BYTES_MAX];
    size_t len = property_below(p, BYTES_MAX + 1);
    struct buf out;

    for (size_t i = 0; i < len; i++) {
        in[i] = draw_byte(p);
    }
    buf_init(&out, BUF_UNLIMITED);
    describe_quoted((struct bytes){in, len}, &out);
    property_note(p, "%s", buf_cstr(&out));
    PROPERTY_EQ(p, unquote(p, buf_cstr(&out), back), len);
    PROPERTY_CHECK(p, len == 0 || memcmp(in, back, len) == 0);
    buf_release(&out);
}

/* --- quoting, known pieces --- */

struct text {
    char bytes[16 * BYTES_MAX];
    size_t len;
};

static void add(struct text *t, const char *s, size_t n)
{
    memcpy(t->bytes + t->len, s, n);
    t->len += n;
    t->bytes[t->len] = '\0';
}

/* A code point that is surely assigned and printable. */
static uint32_t draw_letter(struct property *p)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0xa1, 0xac},     {0xae, 0x17f},      {0x391, 0x3a1},
                  {0x410, 0x44f},   {0x4e00, 0x9fa5},   {0xac00, 0xd7a3},
                  {0xfffd, 0xfffd}, {0x1f600, 0x1f64f}, {0x20000, 0x2a6d6}};
    size_t i = property_below(p, ARRAY_LEN(ranges));

    return (uint32_t)property_between(p, ranges[i].first, ranges[i].last);
}

/* One that is not: controls, spaces, private use. */
static uint32_t draw_hidden(struct property *p)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x80, 0xa0},     {0xad, 0xad},     {0x2000, 0x200f},
                  {0x2028, 0x202f}, {0x3000, 0x3000}, {0xe000, 0xf8ff},
                  {0xfeff, 0xfeff}, {0xfffe, 0xffff}, {0xf0000, 0x10ffff}};
    size_t i = property_below(p, ARRAY_LEN(ranges));

    return (uint32_t)property_between(p, ranges[i].first, ranges[i].last);
}

/* Bytes that are not UTF-8, wherever they stand: before the next piece, which
 * begins with no continuation byte, and after any. */
static const char *const broken[] = {"\x80",
                                     "\xbf",
                                     "\xc0\x80",
                                     "\xc1\xbf",
                                     "\xe0\x80\x80",
                                     "\xe0\x9f\xbf",
                                     "\xed\xa0\x80",
                                     "\xed\xbf\xbf",
                                     "\xf0\x8f\xbf\xbf",
                                     "\xf4\x90\x80\x80",
                                     "\xf5\x80\x80\x80",
                                     "\xff",
                                     "\xc3",
                                     "\xe2\x82",
                                     "\xf0\x9f\x98"};

static void add_piece(struct property *p, struct text *in, struct text *want)
{
    char utf8[5] = "";
    char quoted[20];
    uint32_t c = (uint32_t)property_between(p, 0x20, 0x7e);
    const char *bad = broken[property_below(p, ARRAY_LEN(broken))];

    switch (property_below(p, 4)) {
    case 0:
        utf8[0] = (char)c;
        add(in, utf8, 1);
        add(want, "\\", c == '"' || c == '\\');
        add(want, utf8, 1);
        return;
    case 1:
        add(in, utf8, put_utf8((uint8_t *)utf8, draw_letter(p)));
        add(want, utf8, strlen(utf8));
        return;
    case 2:
        c = draw_hidden(p);
        add(in, utf8, put_utf8((uint8_t *)utf8, c));
        (void)snprintf(quoted, sizeof quoted,
                       c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
        add(want, quoted, strlen(quoted));
        return;
    }
    add(in, bad, strlen(bad));
    add(in, "|", 1);
    for (; *bad != '\0'; bad++) {
        (void)snprintf(quoted, sizeof quoted, "\\x%02x", (uint8_t)*bad);
        add(want, quoted, strlen(quoted));
    }
    add(want, "|", 1);
}

static void quoted_pieces_are_as_go_shows_them(struct property *p)
{
    struct text in = {.len = 0};
    struct text want = {.len = 0};
    struct buf out;

    add(&want, "\"", 1);
    for (uint64_t n = property_below(p, BYTES_MAX / 2); n > 0; n--) {
        add_piece(p, &in, &want);
    }
    add(&want, "\"", 1);
    buf_init(&out, BUF_UNLIMITED);
    describe_quoted((struct bytes){(const uint8_t *)in.bytes, in.len}, &out);
    property_note(p, "want %s\ngot  %s", want.bytes, buf_cstr(&out));
    PROPERTY_CHECK(p, strcmp(buf_cstr(&out), want.bytes) == 0);
    buf_release(&out);
}

/* --- small texts --- */

static void states_read_as_printed(struct property *p)
{
    static const char *const roles[] = {"Follower", "Candidate", "Leader",
                                        "PreCandidate"};
    struct hard_state hs = {property_u64(p), property_below(p, 3),
                            property_u64(p)};
    struct soft_state ss = {property_u64(p),
                            (enum raft_role)property_below(p, 4)};
    struct raft_entry *e =
        raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){NULL, 0});
    char vote[30] = "";
    char want[300];
    struct buf out;

    e->term = property_u64(p);
    e->index = property_u64(p);
    if (hs.vote != 0) {
        (void)snprintf(vote, sizeof vote, " Vote:%" PRIu64, hs.vote);
    }
    (void)snprintf(want, sizeof want,
                   "Term:%" PRIu64 "%s Commit:%" PRIu64 "|Lead:%" PRIu64
                   " State:State%s|%" PRIu64 "/%" PRIu64 " EntryNormal \"\"",
                   hs.term, vote, hs.commit, ss.lead, roles[ss.role], e->term,
                   e->index);
    buf_init(&out, BUF_UNLIMITED);
    describe_hard_state(&hs, &out);
    buf_append_byte(&out, '|');
    describe_soft_state(&ss, &out);
    buf_append_byte(&out, '|');
    describe_entry(e, NULL, &out);
    property_note(p, "want %s\ngot  %s", want, buf_cstr(&out));
    PROPERTY_CHECK(p, strcmp(buf_cstr(&out), want) == 0);
    buf_release(&out);
    raft_entry_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        property_test(quoted_bytes_can_be_read_back),
        property_test(quoted_pieces_are_as_go_shows_them),
        property_test(states_read_as_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
