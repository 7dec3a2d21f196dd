/* Files of histories: three parsers fill one kind of event, and one function
 * tells it to the judge. */

#include "tests/lib/history.h"

#include <errno.h>

#include "src/base/alloc.h"

/* More processes than any history has; Jepsen takes a new number after each
 * operation of unknown outcome. */
#define PROCESSES_MAX 1000000

#define WORD_MAX 8192

enum event_type {
    INVOKE,
    OK,
    FAIL,
    INFO,
};

enum event_call {
    NO_CALL, /* the line does not say: the one that is open */
    READ,
    WRITE,
    CAS,
    APPEND,
};

/* One line, read. `from` and `value` point into the buffers behind them. */
struct event {
    unsigned process;
    enum event_type type;
    enum event_call call;
    struct bytes key;
    struct bytes from;
    struct bytes value;
    char key_text[WORD_MAX];
    char from_text[WORD_MAX];
    char value_text[WORD_MAX];
};

/* --- words --- */

static struct bytes as_bytes(const char *text)
{
    return (struct bytes){.data = (const uint8_t *)text, .len = strlen(text)};
}

/* The next word between blanks, empty at the end of the line. False if it is
 * too long. */
static bool next_word(const char **at, char word[WORD_MAX])
{
    *at += strspn(*at, " \t\r");
    size_t len = strcspn(*at, " \t\r");

    if (len >= WORD_MAX) {
        return false;
    }
    memcpy(word, *at, len);
    word[len] = 0;
    *at += len;
    return true;
}

static bool parse_process(const char *word, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(word, &end, 10);

    *out = (unsigned)n;
    return end != word && *end == 0 && n < PROCESSES_MAX;
}

static bool parse_type(const char *word, enum event_type *out)
{
    static const char *const names[] = {
        [INVOKE] = "invoke", [OK] = "ok", [FAIL] = "fail", [INFO] = "info"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]) == 0) {
            *out = (enum event_type)i;
            return true;
        }
    }
    return false;
}

static bool parse_call(const char *word, enum event_call *out)
{
    static const struct {
        const char *name;
        enum event_call call;
    } names[] = {
        {"", NO_CALL},  {"read", READ}, {"get", READ},      {"write", WRITE},
        {"put", WRITE}, {"cas", CAS},   {"append", APPEND},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i].name) == 0) {
            *out = names[i].call;
            return true;
        }
    }
    return false;
}

/* A value as it stands on the line: nil is absent. */
static struct bytes parse_value(const char *word)
{
    return strcmp(word, "nil") == 0 ? (struct bytes){0} : as_bytes(word);
}

/* --- our own format --- */

static bool parse_own(const char *line, struct event *e)
{
    char word[WORD_MAX];

    if (!next_word(&line, word) || !parse_process(word, &e->process) ||
        !next_word(&line, word) || !parse_type(word, &e->type) ||
        !next_word(&line, word) || !parse_call(word, &e->call)) {
        return false;
    }
    if (e->type == INVOKE) {
        if (!next_word(&line, e->key_text) || e->key_text[0] == 0) {
            return false;
        }
        e->key = as_bytes(e->key_text);
    }
    bool has_value = (e->type == INVOKE && e->call == WRITE) ||
                     (e->type == OK && e->call == READ);
    if (has_value) {
        if (!next_word(&line, e->value_text) || e->value_text[0] == 0) {
            return false;
        }
        e->value = parse_value(e->value_text);
    }
    return line[strspn(line, " \t\r")] == 0;
}

/* --- Jepsen's log of one register --- */

/* "[3 0]": from 3 to 0. */
static bool parse_pair(const char **line, struct event *e)
{
    if (!next_word(line, e->from_text) || !next_word(line, e->value_text) ||
        e->from_text[0] != '[') {
        return false;
    }
    size_t len = strlen(e->value_text);
    if (len == 0 || e->value_text[len - 1] != ']') {
        return false;
    }
    e->value_text[len - 1] = 0;
    e->from = parse_value(e->from_text + 1);
    e->value = parse_value(e->value_text);
    return true;
}

/* A word behind its colon, as in ":invoke". */
static bool next_keyword(const char **line, char word[WORD_MAX])
{
    *line += strspn(*line, " \t\r");
    if (**line != ':') {
        return false;
    }
    ++*line;
    return next_word(line, word);
}

static bool parse_jepsen(const char *line, struct event *e)
{
    char word[WORD_MAX];

    if (!next_word(&line, word) || !parse_process(word, &e->process) ||
        !next_keyword(&line, word) || !parse_type(word, &e->type) ||
        !next_keyword(&line, word) || !parse_call(word, &e->call)) {
        return false;
    }
    e->key = as_bytes("register");
    if (e->call == CAS && (e->type == INVOKE || e->type == OK)) {
        return parse_pair(&line, e);
    }
    if (!next_word(&line, e->value_text)) {
        return false;
    }
    e->value = parse_value(e->value_text);
    return true;
}

/* --- porcupine's key-value histories --- */

/* What stands behind `name` up to the next of `stops`. */
static bool take_field(const char *line, const char *name, const char *stops,
                       char word[WORD_MAX])
{
    const char *at = strstr(line, name);

    if (at == NULL) {
        return false;
    }
    at += strlen(name);
    size_t len = strcspn(at, stops);
    if (len >= WORD_MAX || at[len] == 0) {
        return false;
    }
    memcpy(word, at, len);
    word[len] = 0;
    return true;
}

static bool parse_kv(const char *line, struct event *e)
{
    char word[WORD_MAX];

    if (strchr(line, '\\') != NULL || /* no text has had one so far */
        !take_field(line, ":process ", ",", word) ||
        !parse_process(word, &e->process) ||
        !take_field(line, ":type :", ",", word) ||
        !parse_type(word, &e->type) || !take_field(line, ":f :", ",", word) ||
        !parse_call(word, &e->call) ||
        !take_field(line, ":key \"", "\"", e->key_text)) {
        return false;
    }
    e->key = as_bytes(e->key_text);
    if (take_field(line, ":value \"", "\"", e->value_text) &&
        e->value_text[0] != 0) {
        e->value = as_bytes(e->value_text);
    }
    return true;
}

/* --- telling --- */

void history_init(struct history *h)
{
    *h = (struct history){.linear = linear_new()};
}

void history_release(struct history *h)
{
    linear_free(h->linear);
    xfree(h->ops);
    xfree(h->open);
    *h = (struct history){0};
}

static size_t *open_of(struct history *h, unsigned process)
{
    if (process >= h->n_open) {
        size_t n = grow_cap(h->n_open, (size_t)process + 1);
        h->open = xrealloc_array(h->open, n, sizeof(*h->open));
        memset(&h->open[h->n_open], 0, (n - h->n_open) * sizeof(*h->open));
        h->n_open = n;
    }
    return &h->open[process];
}

static void note_call(struct history *h, size_t op, enum event_call call)
{
    ASSERT(op == h->n_ops);
    if (h->n_ops == h->ops_cap) {
        h->ops_cap = grow_cap(h->ops_cap, h->n_ops + 1);
        h->ops = xrealloc_array(h->ops, h->ops_cap, sizeof(*h->ops));
    }
    h->ops[h->n_ops++] =
        (struct history_op){.call_line = h->line, .call = (int)call};
}

static bool tell_call(struct history *h, const struct event *e, size_t *op)
{
    switch (e->call) {
    case READ:
        *op = linear_call_read(h->linear, e->key);
        break;
    case WRITE:
        *op = linear_call_write(h->linear, e->key, e->value);
        break;
    case CAS:
        *op = linear_call_cas(h->linear, e->key, e->from, e->value);
        break;
    case APPEND:
        if (e->value.data == NULL) {
            return false;
        }
        *op = linear_call_append(h->linear, e->key, e->value);
        break;
    case NO_CALL:
        return false;
    }
    note_call(h, *op, e->call);
    return true;
}

/* The end of `op`; false if the line speaks of another kind of operation. */
static bool tell_return(struct history *h, const struct event *e, size_t op)
{
    enum event_call call = (enum event_call)h->ops[op].call;

    if (e->call != call && (e->call != NO_CALL || e->type == OK)) {
        return false;
    }
    if (e->type == INFO) {
        return true; /* no return: unknown */
    }
    h->ops[op].return_line = h->line;
    if (e->type == OK && call == READ) {
        linear_return_value(h->linear, op, e->value);
    } else if (e->type == OK) {
        linear_return_done(h->linear, op);
    } else if (call == CAS) {
        linear_return_unequal(h->linear, op);
    } else {
        linear_return_none(h->linear, op);
    }
    return true;
}

static int tell_event(struct history *h, const struct event *e,
                      struct errmsg *em)
{
    size_t *open = open_of(h, e->process);

    if (e->type == INVOKE) {
        size_t op = 0;
        if (*open != 0) {
            return errmsg_set(em, ERR_MALFORMED, "process %u is busy",
                              e->process);
        }
        if (!tell_call(h, e, &op)) {
            return errmsg_set(em, ERR_MALFORMED, "begins nothing");
        }
        *open = op + 1;
        return 0;
    }
    if (*open == 0) {
        return errmsg_set(em, ERR_MALFORMED, "process %u has begun nothing",
                          e->process);
    }
    size_t op = *open - 1;
    *open = 0;
    if (!tell_return(h, e, op)) {
        return errmsg_set(em, ERR_MALFORMED,
                          "ends what process %u has not begun", e->process);
    }
    return 0;
}

int history_tell(struct history *h, const char *line, struct errmsg *em)
{
    static const char jepsen[] = "jepsen.util - ";
    struct event e;
    const char *at;
    bool known;

    h->line++;
    line += strspn(line, " \t\r");
    if (*line == 0 || *line == '#') {
        return 0;
    }
    /* Not its buffers: they are large. */
    e.call = NO_CALL;
    e.key = e.from = e.value = (struct bytes){0};
    if ((at = strstr(line, jepsen)) != NULL) {
        known = parse_jepsen(at + strlen(jepsen), &e);
    } else if (*line == '{') {
        known = parse_kv(line, &e);
    } else {
        known = parse_own(line, &e);
    }
    if (!known) {
        return errmsg_set(em, ERR_MALFORMED, "not an event of a history");
    }
    return tell_event(h, &e, em);
}

int history_load(struct history *h, const char *path, struct errmsg *em)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = 0;

    if (f == NULL) {
        return errmsg_set(em, -errno, "%s", path);
    }
    while (rc == 0 && (len = getline(&line, &cap, f)) >= 0) {
        if (len > 0 && line[len - 1] == '\n') {
            line[len - 1] = 0;
        }
        rc = history_tell(h, line, em);
    }
    if (rc == 0 && ferror(f)) {
        rc = errmsg_set(em, -EIO, "%s", path);
    } else if (rc < 0) {
        errmsg_prefix(em, rc, "%s:%zu", path, h->line);
    }
    free(line); /* of getline */
    fclose(f);
    return rc;
}
