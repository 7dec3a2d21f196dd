/* Files of test vectors: one JSON object a line.
 *
 * Only the outermost object is understood. All text of one line is unescaped
 * into one buffer as large as the line: text never becomes longer. */

#include "tests/lib/jsonl.h"

#include "src/base/alloc.h"
#include "tests/lib/hex.h"

#define KEYS_MAX 32

struct jsonl {
    FILE *file;
    char *line; /* of getline */
    size_t line_cap;
    size_t line_no;
    char *text; /* unescaped keys and values, each with its 0 */
    size_t n_keys;
    const char *keys[KEYS_MAX];
    const char *values[KEYS_MAX];
};

/* Where the parser is: reading `in`, writing to `out`. */
struct cursor {
    const char *in;
    char *out;
};

char *shared_path(const char *relative)
{
    const char *dir = getenv("RAFTEXAMPLE_SHARED");

    return xasprintf("%s/%s", dir != NULL ? dir : "../shared", relative);
}

struct jsonl *jsonl_open_shared(const char *relative)
{
    char *path = shared_path(relative);
    FILE *file = fopen(path, "r");

    if (file == NULL) {
        printf("skipped: no vectors at %s\n", path);
        xfree(path);
        return NULL;
    }
    xfree(path);
    struct jsonl *j = xcalloc(1, sizeof(*j));
    j->file = file;
    return j;
}

static void skip_space(struct cursor *c)
{
    c->in += strspn(c->in, " \t\r\n");
}

static bool accept(struct cursor *c, char wanted)
{
    skip_space(c);
    if (*c->in != wanted) {
        return false;
    }
    c->in++;
    return true;
}

static void expect(struct cursor *c, char wanted)
{
    bool found = accept(c, wanted);

    ASSERT(found);
}

static void put_utf8(struct cursor *c, uint32_t u)
{
    if (u < 0x80) {
        *c->out++ = (char)u;
    } else if (u < 0x800) {
        *c->out++ = (char)(0xc0 | u >> 6);
        *c->out++ = (char)(0x80 | (u & 0x3f));
    } else if (u < 0x10000) {
        *c->out++ = (char)(0xe0 | u >> 12);
        *c->out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *c->out++ = (char)(0x80 | (u & 0x3f));
    } else {
        *c->out++ = (char)(0xf0 | u >> 18);
        *c->out++ = (char)(0x80 | (u >> 12 & 0x3f));
        *c->out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *c->out++ = (char)(0x80 | (u & 0x3f));
    }
}

/* The four digits behind \u. */
static uint32_t get_unit(struct cursor *c)
{
    char digits[5] = {0};

    ASSERT(strnlen(c->in, 4) == 4);
    memcpy(digits, c->in, 4);
    size_t len;
    uint8_t *bytes = hex_decode(digits, &len);
    uint32_t unit = (uint32_t)bytes[0] << 8 | bytes[1];
    xfree(bytes);
    c->in += 4;
    return unit;
}

static void get_escape(struct cursor *c)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    char kind = *c->in++;

    ASSERT(kind != '\0');
    if (kind != 'u') {
        const char *at = strchr(from, kind);

        ASSERT(at != NULL);
        *c->out++ = to[at - from];
        return;
    }
    uint32_t u = get_unit(c);
    if (u >= 0xd800 && u < 0xdc00 && c->in[0] == '\\' && c->in[1] == 'u') {
        c->in += 2;
        u = 0x10000 + ((u - 0xd800) << 10) + (get_unit(c) - 0xdc00);
    }
    put_utf8(c, u);
}

static const char *get_string(struct cursor *c)
{
    const char *start = c->out;

    expect(c, '"');
    while (*c->in != '"') {
        ASSERT(*c->in != '\0');
        if (*c->in == '\\') {
            c->in++;
            get_escape(c);
        } else {
            *c->out++ = *c->in++;
        }
    }
    c->in++;
    *c->out++ = '\0';
    return start;
}

/* A number, word, array or object, as it stands: up to the comma or bracket
 * that ends it. */
static const char *get_raw(struct cursor *c)
{
    char *start = c->out;
    int depth = 0;
    bool quoted = false;

    for (; *c->in != '\0'; c->in++) {
        char ch = *c->in;

        if (quoted) {
            if (ch == '\\') {
                *c->out++ = *c->in++;
            } else {
                quoted = ch != '"';
            }
        } else if (depth == 0 && strchr(",}", ch) != NULL) {
            break;
        } else {
            quoted = ch == '"';
            depth += (ch == '{' || ch == '[') - (ch == '}' || ch == ']');
        }
        *c->out++ = *c->in;
    }
    *c->out++ = '\0';
    return start;
}

static void parse_line(struct jsonl *j)
{
    struct cursor c = {.in = j->line, .out = j->text};

    expect(&c, '{');
    while (!accept(&c, '}')) {
        ASSERT(j->n_keys < KEYS_MAX);
        j->keys[j->n_keys] = get_string(&c);
        expect(&c, ':');
        skip_space(&c);
        j->values[j->n_keys] = *c.in == '"' ? get_string(&c) : get_raw(&c);
        j->n_keys++;
        (void)accept(&c, ',');
    }
}

bool jsonl_next(struct jsonl *j)
{
    ssize_t len = getline(&j->line, &j->line_cap, j->file);

    j->n_keys = 0;
    if (len < 0) {
        return false;
    }
    j->line_no++;
    /* A value without quotes is followed by a comma or bracket, a string has
     * its quotes: there is room for each 0. */
    j->text = xrealloc_array(j->text, (size_t)len + 1, 1);
    parse_line(j);
    return true;
}

const char *jsonl_get(const struct jsonl *j, const char *key)
{
    for (size_t i = 0; i < j->n_keys; i++) {
        if (strcmp(j->keys[i], key) == 0) {
            return j->values[i];
        }
    }
    return NULL;
}

uint8_t *jsonl_get_hex(const struct jsonl *j, const char *key, size_t *len)
{
    const char *hex = jsonl_get(j, key);

    *len = 0;
    return hex == NULL ? NULL : hex_decode(hex, len);
}

size_t jsonl_line(const struct jsonl *j)
{
    return j->line_no;
}

void jsonl_close(struct jsonl *j)
{
    if (j == NULL) {
        return;
    }
    (void)fclose(j->file);
    free(j->line); /* getline's own, not alloc.h's */
    xfree(j->text);
    xfree(j);
}
