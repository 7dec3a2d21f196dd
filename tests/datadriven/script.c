/* See script.h. The rule numbers are those of raft-tests.md 3. */

#include "tests/datadriven/script.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"

#define SEPARATOR "----"

/* --- lines --- */

/* Where the parser stands in the text. */
struct cursor {
    const char *text;
    size_t len;
    size_t pos;
    size_t line; /* number of the line at pos, from 1 */
};

/* A line without its newline. */
struct span {
    const char *s;
    size_t len;
};

static bool at_end(const struct cursor *c)
{
    return c->pos >= c->len;
}

static struct span peek_line(const struct cursor *c)
{
    const char *s = c->text + c->pos;
    const char *nl = memchr(s, '\n', c->len - c->pos);

    return (struct span){s, nl == NULL ? c->len - c->pos : (size_t)(nl - s)};
}

static struct span next_line(struct cursor *c)
{
    struct span l = peek_line(c);

    c->pos = min_u64(c->pos + l.len + 1, c->len);
    c->line++;
    return l;
}

static struct span trim(struct span l)
{
    while (l.len > 0 && isspace((unsigned char)l.s[0])) {
        l.s++;
        l.len--;
    }
    while (l.len > 0 && isspace((unsigned char)l.s[l.len - 1])) {
        l.len--;
    }
    return l;
}

static bool is_separator(struct span l)
{
    return l.len == strlen(SEPARATOR) && memcmp(l.s, SEPARATOR, l.len) == 0;
}

static bool is_blank(struct span l)
{
    return trim(l).len == 0;
}

/* The content of `b` as a string of its own; `b` is released. */
static char *take_string(struct buf *b)
{
    char *s = xstrdup(buf_cstr(b));

    buf_release(b);
    return s;
}

static char *span_dup(struct span l)
{
    char *s = xmalloc(l.len + 1);

    memcpy(s, l.s, l.len);
    s[l.len] = '\0';
    return s;
}

/* --- directive [DD-2, DD-8] --- */

static void add_val(struct script_arg *arg, struct span v)
{
    arg->vals = xrealloc_array(arg->vals, arg->n_vals + 1, sizeof *arg->vals);
    arg->vals[arg->n_vals++] = span_dup(v);
}

/* The values after "=(": split at the commas outside of inner parentheses.
 * Returns what follows the closing one, NULL if there is none. */
static const char *parse_list(const char *p, struct script_arg *arg)
{
    const char *begin = p;
    int depth = 0;

    for (;; p++) {
        if (*p == '\0') {
            return NULL;
        }
        if (depth == 0 && (*p == ',' || *p == ')')) {
            add_val(arg, (struct span){begin, (size_t)(p - begin)});
            if (*p == ')') {
                return p + 1;
            }
            while (p[1] == ' ') {
                p++;
            }
            begin = p + 1;
        } else if (*p == '(') {
            depth++;
        } else if (*p == ')') {
            depth--;
        }
    }
}

/* One argument at `p`; returns what follows it, NULL if it is malformed. */
static const char *parse_arg(const char *p, struct script_arg *arg)
{
    size_t n = strcspn(p, " =");

    if (n == 0) {
        return NULL;
    }
    arg->key = span_dup((struct span){p, n});
    p += n;
    if (*p != '=') {
        return p;
    }
    p++;
    if (*p == '(') {
        return parse_list(p + 1, arg);
    }
    n = strcspn(p, " ");
    add_val(arg, (struct span){p, n});
    return p + n;
}

static int parse_directive(const char *p, struct script_case *c)
{
    size_t n = strcspn(p, " ");

    c->cmd = span_dup((struct span){p, n});
    p += n;
    for (;;) {
        p += strspn(p, " ");
        if (*p == '\0') {
            return 0;
        }
        c->args = xrealloc_array(c->args, c->n_args + 1, sizeof *c->args);
        c->args[c->n_args] = (struct script_arg){0};
        p = parse_arg(p, &c->args[c->n_args++]);
        if (p == NULL) {
            return ERR_MALFORMED;
        }
    }
}

/* The directive with its continuation lines, owned by the caller. */
static char *read_directive(struct cursor *c)
{
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    for (;;) {
        struct span l = trim(next_line(c));
        bool more = l.len > 0 && l.s[l.len - 1] == '\\';

        buf_append(&b, l.s, more ? l.len - 1 : l.len);
        if (!more || at_end(c)) {
            return take_string(&b);
        }
        buf_append_byte(&b, ' ');
    }
}

/* --- input and output [DD-3, DD-4] --- */

/* Returns whether a separator ends the input. */
static bool read_input(struct cursor *c, struct script_case *out)
{
    size_t begin = c->pos;
    size_t end = c->pos;
    bool found = false;

    while (!at_end(c) && !found) {
        end = c->pos;
        found = is_separator(next_line(c));
        if (!found) {
            end = c->pos;
        }
    }
    out->input = span_dup(trim((struct span){c->text + begin, end - begin}));
    return found;
}

/* The form with two separators at each end, whose output may have blank
 * lines. */
static int read_long_output(struct cursor *c, struct buf *b)
{
    next_line(c);
    while (!at_end(c)) {
        struct span l = next_line(c);

        if (is_separator(l) && !at_end(c) && is_separator(peek_line(c))) {
            next_line(c);
            return at_end(c) || is_blank(peek_line(c)) ? 0 : ERR_MALFORMED;
        }
        buf_append(b, l.s, l.len);
        buf_append_byte(b, '\n');
    }
    return ERR_MALFORMED;
}

static int read_output(struct cursor *c, struct script_case *out)
{
    struct buf b;
    int rc = 0;

    buf_init(&b, BUF_UNLIMITED);
    out->out_begin = c->pos;
    if (!at_end(c) && is_separator(peek_line(c))) {
        rc = read_long_output(c, &b);
    } else {
        while (!at_end(c) && !is_blank(peek_line(c))) {
            struct span l = next_line(c);

            buf_append(&b, l.s, l.len);
            buf_append_byte(&b, '\n');
        }
    }
    out->out_end = c->pos;
    out->expected = take_string(&b);
    return rc;
}

static int read_case(struct cursor *c, struct script_case *out)
{
    char *directive;
    int rc;

    out->line = c->line;
    directive = read_directive(c);
    rc = parse_directive(directive, out);
    xfree(directive);
    if (rc == 0 && read_input(c, out)) {
        return read_output(c, out);
    }
    if (rc == 0) { /* no separator: nothing is expected */
        out->out_begin = c->pos;
        out->out_end = c->pos;
        out->expected = xstrdup("");
    }
    return rc;
}

/* --- files --- */

static int read_file(const char *path, struct script *out)
{
    FILE *f = fopen(path, "rb");
    struct buf b;
    char block[4096];
    size_t n;
    int rc;

    if (f == NULL) {
        return -errno;
    }
    buf_init(&b, BUF_UNLIMITED);
    while ((n = fread(block, 1, sizeof block, f)) > 0) {
        buf_append(&b, block, n);
    }
    rc = ferror(f) ? -EIO : 0;
    (void)fclose(f);
    out->len = b.len;
    out->text = take_string(&b);
    return rc;
}

int script_read(const char *path, struct script *out, struct errmsg *em)
{
    struct cursor c = {.line = 1};
    int rc;

    *out = (struct script){0};
    rc = read_file(path, out);
    if (rc < 0) {
        script_release(out);
        return errmsg_set(em, rc, "%s", path);
    }
    c.text = out->text;
    c.len = out->len;
    while (!at_end(&c)) {
        struct span l = trim(peek_line(&c));

        if (l.len == 0 || l.s[0] == '#') {
            next_line(&c);
            continue;
        }
        out->cases =
            xrealloc_array(out->cases, out->n_cases + 1, sizeof *out->cases);
        out->cases[out->n_cases] = (struct script_case){0};
        rc = read_case(&c, &out->cases[out->n_cases++]);
        if (rc < 0) {
            rc = errmsg_set(em, rc, "%s:%zu", path,
                            out->cases[out->n_cases - 1].line);
            script_release(out);
            return rc;
        }
    }
    return 0;
}

static void case_release(struct script_case *c)
{
    for (size_t i = 0; i < c->n_args; i++) {
        for (size_t k = 0; k < c->args[i].n_vals; k++) {
            xfree(c->args[i].vals[k]);
        }
        xfree(c->args[i].vals);
        xfree(c->args[i].key);
    }
    xfree(c->args);
    xfree(c->cmd);
    xfree(c->input);
    xfree(c->expected);
}

void script_release(struct script *s)
{
    for (size_t i = 0; i < s->n_cases; i++) {
        case_release(&s->cases[i]);
    }
    xfree(s->cases);
    xfree(s->text);
    *s = (struct script){0};
}

/* --- arguments --- */

const struct script_arg *script_find_arg(const struct script_case *c,
                                         const char *key)
{
    for (size_t i = 0; i < c->n_args; i++) {
        if (strcmp(c->args[i].key, key) == 0) {
            return &c->args[i];
        }
    }
    return NULL;
}

bool script_parse_u64(const char *s, uint64_t *out)
{
    char *end;

    if (*s < '0' || *s > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(s, &end, 10);
    return errno == 0 && *end == '\0';
}

bool script_parse_bool(const char *s, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
            *out = strcmp(s, yes[i]) == 0;
            return true;
        }
    }
    return false;
}
