/* Encode our payload, decode everybody's.
 *
 * Nearly every payload starts with one of two known type definitions: ours,
 * with the field ID, and the plain one of a Go raftexample. They are compared
 * as bytes and need no memory. Whatever else a Go program may have defined is
 * read into a table first (struct schema), linked, and then walked.
 *
 * A gob stream may describe recursive types, so the input could choose how
 * deep we recurse and how much we remember: SCHEMA_* and VALUE_DEPTH_MAX are
 * far beyond what any struct kv needs and end that. Every element that the
 * walk visits has taken at least one byte of input, which bounds the work.
 *
 * Counterpart: Go encoding/gob decode.go, type.go (formats-gob.md).
 * Differs: descriptions with two kinds at once, and interface values that
 * define their type in place, are refused; no struct kv brings them about. */

#include "src/kv/command.h"

#include <assert.h>

#include "src/base/alloc.h"

/* Built-in type ids [formats-gob 1]. */
enum gob_builtin {
    GOB_BOOL = 1,
    GOB_INT = 2,
    GOB_UINT = 3,
    GOB_FLOAT = 4,
    GOB_BYTES = 5,
    GOB_STRING = 6,
    GOB_COMPLEX = 7,
    GOB_INTERFACE = 8,
    GOB_FIRST_USER = 24, /* 16-23 describe types; what is above is the user's */
};

#define SCHEMA_TYPES_MAX  256
#define SCHEMA_FIELDS_MAX 4096 /* of all types together */
#define VALUE_DEPTH_MAX   256
#define GOB_MESSAGE_MAX   (UINT64_C(1) << 30) /* as Go's decoder */

/* What a field of the value means to us. */
enum role {
    ROLE_SKIP,
    ROLE_KEY,
    ROLE_VALUE,
    ROLE_ID,
};

enum kind {
    KIND_ARRAY,
    KIND_SLICE,
    KIND_STRUCT,
    KIND_MAP,
    KIND_OPAQUE, /* GobEncoder and the like: counted bytes */
};

struct gob_field {
    int64_t type;
    enum role role;
    bool named; /* Go refuses a field without a name once it is used */
};

struct gob_type {
    int64_t id;
    enum kind kind;
    bool linked;    /* everything it refers to is defined */
    int64_t key;    /* KIND_MAP */
    int64_t elem;   /* KIND_ARRAY, KIND_SLICE, KIND_MAP */
    uint64_t count; /* KIND_ARRAY */
    const struct gob_field *fields;
    size_t n_fields;
};

/* The types that a stream has defined so far. */
struct schema {
    struct gob_type types[SCHEMA_TYPES_MAX];
    size_t n_types;
    struct gob_field fields[SCHEMA_FIELDS_MAX];
    size_t n_fields;
};

/* --- the two known definitions --- */

#define KNOWN_TYPE_ID 65

#define DEF_HEAD(n_fields)                                                     \
    0xff, 0x81,                  /* defines type 65 */                         \
        0x03,                    /* a struct */                                \
        0x01, 0x01, 2, 'k', 'v', /* its name */                                \
        0x01, 0xff, 0x82, 0x00,  /* its id */                                  \
        0x01, n_fields
#define DEF_KEY  0x01, 3, 'K', 'e', 'y', 0x01, 2 * GOB_STRING, 0x00
#define DEF_VAL  0x01, 3, 'V', 'a', 'l', 0x01, 2 * GOB_STRING, 0x00
#define DEF_ID   0x01, 2, 'I', 'D', 0x01, 2 * GOB_UINT, 0x00
#define DEF_TAIL 0x00, 0x00

static const uint8_t def_ours[] = {
    39, DEF_HEAD(3), DEF_KEY, DEF_VAL, DEF_ID, DEF_TAIL,
};
static const uint8_t def_plain[] = {
    32, DEF_HEAD(2), DEF_KEY, DEF_VAL, DEF_TAIL,
};
static_assert(sizeof(def_ours) == 1 + 39, "the length byte counts the rest");
static_assert(sizeof(def_plain) == 1 + 32, "the length byte counts the rest");

static const struct gob_field known_fields[] = {
    {.type = GOB_STRING, .role = ROLE_KEY, .named = true},
    {.type = GOB_STRING, .role = ROLE_VALUE, .named = true},
    {.type = GOB_UINT, .role = ROLE_ID, .named = true},
};
static const struct gob_type known_ours = {
    .id = KNOWN_TYPE_ID,
    .kind = KIND_STRUCT,
    .linked = true,
    .fields = known_fields,
    .n_fields = 3,
};
static const struct gob_type known_plain = {
    .id = KNOWN_TYPE_ID,
    .kind = KIND_STRUCT,
    .linked = true,
    .fields = known_fields,
    .n_fields = 2,
};

/* --- encoding --- */

static size_t uint_size(uint64_t v)
{
    if (v < 128) {
        return 1;
    }
    return 1 + (71 - (size_t)__builtin_clzll(v)) / 8;
}

static uint8_t *put_uint(uint8_t *p, uint64_t v)
{
    if (v < 128) {
        *p++ = (uint8_t)v;
        return p;
    }
    size_t n = uint_size(v) - 1;

    *p++ = (uint8_t)(256 - n);
    for (size_t i = n; i > 0; i--) {
        *p++ = (uint8_t)(v >> (8 * (i - 1)));
    }
    return p;
}

/* The value message behind its length: type id, the fields that are not zero,
 * the end. */
static size_t value_size(const struct kv_command *c)
{
    size_t n = 2 + 1;

    if (c->key.len > 0) {
        n += 1 + uint_size(c->key.len) + c->key.len;
    }
    if (c->value.len > 0) {
        n += 1 + uint_size(c->value.len) + c->value.len;
    }
    if (c->id != 0) {
        n += 1 + uint_size(c->id);
    }
    return n;
}

size_t kv_command_size(const struct kv_command *c)
{
    size_t n = value_size(c);

    return sizeof(def_ours) + uint_size(n) + n;
}

/* A string field, left out if it is empty: the next delta grows instead. */
static uint8_t *put_string_field(uint8_t *p, uint8_t *delta, struct bytes s)
{
    if (s.len == 0) {
        (*delta)++;
        return p;
    }
    *p++ = *delta;
    *delta = 1;
    p = put_uint(p, s.len);
    memcpy(p, s.data, s.len);
    return p + s.len;
}

uint8_t *kv_command_encode(const struct kv_command *c, uint8_t *p)
{
    uint8_t *start = p;
    uint8_t delta = 1;

    memcpy(p, def_ours, sizeof(def_ours));
    p = put_uint(p + sizeof(def_ours), value_size(c));
    *p++ = 0xff; /* type 65 */
    *p++ = 0x82;
    p = put_string_field(p, &delta, c->key);
    p = put_string_field(p, &delta, c->value);
    if (c->id != 0) {
        *p++ = delta;
        p = put_uint(p, c->id);
    }
    *p++ = 0;
    ASSERT((size_t)(p - start) == kv_command_size(c));
    return p;
}

/* --- reading basic encodings --- */

static bool read_uint(struct bytes *in, uint64_t *out)
{
    if (in->len == 0) {
        return false;
    }
    uint8_t first = in->data[0];
    size_t n = first < 128 ? 0 : 256 - (size_t)first;

    if (n > 8 || n > in->len - 1) {
        return false;
    }
    uint64_t v = n == 0 ? first : 0;
    for (size_t i = 1; i <= n; i++) {
        v = v << 8 | in->data[i];
    }
    in->data += 1 + n;
    in->len -= 1 + n;
    *out = v;
    return true;
}

static bool read_int(struct bytes *in, int64_t *out)
{
    uint64_t u;

    if (!read_uint(in, &u)) {
        return false;
    }
    *out = (int64_t)((u & 1) != 0 ? ~(u >> 1) : u >> 1);
    return true;
}

/* Counted bytes; *out points into `in`. */
static bool read_counted(struct bytes *in, struct bytes *out)
{
    uint64_t len;

    if (!read_uint(in, &len) || len > in->len) {
        return false;
    }
    *out = (struct bytes){in->data, (size_t)len};
    in->data += len;
    in->len -= (size_t)len;
    return true;
}

enum step {
    STEP_BAD,
    STEP_FIELD,
    STEP_END,
};

/* To the next field of a struct with `n` fields; *field counts from 1 and
 * starts at 0. The end of the message stands for the closing 0, as in Go. */
static enum step next_field(struct bytes *in, size_t n, size_t *field)
{
    uint64_t delta;

    if (in->len == 0) {
        return STEP_END;
    }
    if (!read_uint(in, &delta)) {
        return STEP_BAD;
    }
    if (delta == 0) {
        return STEP_END;
    }
    if (delta > n - *field) {
        return STEP_BAD;
    }
    *field += (size_t)delta;
    return STEP_FIELD;
}

/* --- type descriptions [formats-gob 5] --- */

/* The common part, { Name (1), Id (2) }, and a field, which is the same. Name
 * and id are left as they are where the stream omits them. */
static bool read_name_and_id(struct bytes *in, struct bytes *name, int64_t *id)
{
    size_t field = 0;
    enum step st;

    while ((st = next_field(in, 2, &field)) == STEP_FIELD) {
        bool ok = field == 1 ? read_counted(in, name) : read_int(in, id);
        if (!ok) {
            return false;
        }
    }
    return st == STEP_END;
}

static bool name_is(struct bytes name, const char *s)
{
    return name.len == strlen(s) && memcmp(name.data, s, name.len) == 0;
}

/* By name, and case matters. An ID of another type is a foreign field that
 * happens to be called so. */
static enum role field_role(struct bytes name, int64_t type)
{
    if (name_is(name, "Key")) {
        return ROLE_KEY;
    }
    if (name_is(name, "Val")) {
        return ROLE_VALUE;
    }
    return name_is(name, "ID") && type == GOB_UINT ? ROLE_ID : ROLE_SKIP;
}

static bool read_field_list(struct bytes *in, struct schema *s,
                            struct gob_type *t)
{
    uint64_t n;

    if (!read_uint(in, &n) || n > in->len ||
        n > SCHEMA_FIELDS_MAX - s->n_fields) {
        return false;
    }
    t->fields = &s->fields[s->n_fields];
    t->n_fields = (size_t)n;
    for (size_t i = 0; i < n; i++) {
        struct gob_field *f = &s->fields[s->n_fields++];
        struct bytes name = {NULL, 0};

        f->type = 0;
        if (!read_name_and_id(in, &name, &f->type)) {
            return false;
        }
        f->named = name.len > 0;
        f->role = field_role(name, f->type);
    }
    return true;
}

/* One of ArrayT, SliceT, StructT, MapT or the three opaque ones. */
static bool read_kind(struct bytes *in, struct schema *s, struct gob_type *t,
                      size_t which)
{
    static const struct {
        enum kind kind;
        size_t n_fields; /* the common part is the first */
    } kinds[] = {
        {KIND_ARRAY, 3},  {KIND_SLICE, 2},  {KIND_STRUCT, 2}, {KIND_MAP, 3},
        {KIND_OPAQUE, 1}, {KIND_OPAQUE, 1}, {KIND_OPAQUE, 1},
    };
    size_t field = 0;
    enum step st;

    t->kind = kinds[which - 1].kind;
    while ((st = next_field(in, kinds[which - 1].n_fields, &field)) ==
           STEP_FIELD) {
        struct bytes name;
        int64_t id = 0;
        int64_t len = 0;
        bool ok = false;

        if (field == 1) {
            ok = read_name_and_id(in, &name, &id);
        } else if (t->kind == KIND_STRUCT) {
            ok = read_field_list(in, s, t);
        } else if (t->kind == KIND_MAP && field == 2) {
            ok = read_int(in, &t->key);
        } else if (t->kind == KIND_ARRAY && field == 3) {
            ok = read_int(in, &len) && len >= 0;
            t->count = (uint64_t)len;
        } else {
            ok = read_int(in, &t->elem);
        }
        if (!ok) {
            return false;
        }
    }
    return st == STEP_END;
}

static struct gob_type *schema_find(struct schema *s, int64_t id)
{
    for (size_t i = 0; i < s->n_types; i++) {
        if (s->types[i].id == id) {
            return &s->types[i];
        }
    }
    return NULL;
}

/* The definition message of type `id`; nothing may follow in the message. */
static bool read_definition(struct bytes msg, struct schema *s, int64_t id)
{
    size_t field = 0;
    size_t n_kinds = 0;
    enum step st;

    if (id < GOB_FIRST_USER || s->n_types == SCHEMA_TYPES_MAX ||
        schema_find(s, id) != NULL) {
        return false;
    }
    struct gob_type *t = &s->types[s->n_types++];
    *t = (struct gob_type){.id = id};
    while ((st = next_field(&msg, 7, &field)) == STEP_FIELD) {
        if (++n_kinds > 1 || !read_kind(&msg, s, t, field)) {
            return false;
        }
    }
    return st == STEP_END && n_kinds == 1 && msg.len == 0;
}

/* Everything that `id` leads to is defined, as Go wants to know before it
 * reads the first field. Marked before it is followed: a type may contain
 * itself. The depth is at most SCHEMA_TYPES_MAX. */
static bool schema_link(struct schema *s, int64_t id)
{
    if (id >= GOB_BOOL && id <= GOB_INTERFACE) {
        return true;
    }
    struct gob_type *t = schema_find(s, id);
    if (t == NULL) {
        return false;
    }
    if (t->linked) {
        return true;
    }
    t->linked = true;
    switch (t->kind) {
    case KIND_OPAQUE:
        return true;
    case KIND_MAP:
        return schema_link(s, t->key) && schema_link(s, t->elem);
    case KIND_ARRAY:
    case KIND_SLICE:
        return schema_link(s, t->elem);
    case KIND_STRUCT:
        for (size_t i = 0; i < t->n_fields; i++) {
            if (!t->fields[i].named || !schema_link(s, t->fields[i].type)) {
                return false;
            }
        }
        return true;
    }
    UNREACHABLE();
}

/* --- values --- */

static bool skip_value(struct bytes *in, struct schema *s, int64_t type,
                       size_t depth);

/* A name, and unless it is empty (nil) the type's id and counted bytes. */
static bool skip_interface(struct bytes *in)
{
    struct bytes ignored;
    int64_t id;

    if (!read_counted(in, &ignored)) {
        return false;
    }
    return ignored.len == 0 ||
           (read_int(in, &id) && id > 0 && read_counted(in, &ignored));
}

static bool skip_builtin(struct bytes *in, int64_t type)
{
    struct bytes ignored;
    uint64_t u;

    if (type == GOB_INTERFACE) {
        return skip_interface(in);
    }
    if (type == GOB_BYTES || type == GOB_STRING) {
        return read_counted(in, &ignored);
    }
    if (type == GOB_COMPLEX && !read_uint(in, &u)) {
        return false;
    }
    return read_uint(in, &u);
}

static bool skip_struct(struct bytes *in, struct schema *s,
                        const struct gob_type *t, size_t depth)
{
    size_t field = 0;
    enum step st;

    while ((st = next_field(in, t->n_fields, &field)) == STEP_FIELD) {
        if (!skip_value(in, s, t->fields[field - 1].type, depth)) {
            return false;
        }
    }
    return st == STEP_END;
}

/* `n` elements of one or two types each. An element may be empty only where
 * the message ends, so there must be something left before each. */
static bool skip_elements(struct bytes *in, struct schema *s,
                          const struct gob_type *t, uint64_t n, size_t depth)
{
    for (uint64_t i = 0; i < n; i++) {
        if (in->len == 0) {
            return false;
        }
        if (t->kind == KIND_MAP && !skip_value(in, s, t->key, depth)) {
            return false;
        }
        if (!skip_value(in, s, t->elem, depth)) {
            return false;
        }
    }
    return true;
}

static bool skip_value(struct bytes *in, struct schema *s, int64_t type,
                       size_t depth)
{
    struct bytes ignored;
    uint64_t n;

    if (type < GOB_FIRST_USER) {
        return skip_builtin(in, type);
    }
    if (depth == VALUE_DEPTH_MAX) {
        return false;
    }
    ASSERT(s != NULL); /* the known types have nothing like it */
    const struct gob_type *t = schema_find(s, type);
    ASSERT(t != NULL); /* linked */
    switch (t->kind) {
    case KIND_OPAQUE:
        return read_counted(in, &ignored);
    case KIND_STRUCT:
        return skip_struct(in, s, t, depth + 1);
    case KIND_ARRAY:
    case KIND_SLICE:
    case KIND_MAP:
        if (!read_uint(in, &n) || (t->kind == KIND_ARRAY && n != t->count)) {
            return false;
        }
        return skip_elements(in, s, t, n, depth + 1);
    }
    UNREACHABLE();
}

/* The fields of the value. What follows the closing 0 is ignored, as in Go.
 * `s` is NULL for the known types, which have nothing to skip. */
static bool read_value(struct bytes in, struct schema *s,
                       const struct gob_type *t, struct kv_command *out)
{
    size_t field = 0;
    enum step st;

    while ((st = next_field(&in, t->n_fields, &field)) == STEP_FIELD) {
        const struct gob_field *f = &t->fields[field - 1];
        bool ok = false;

        switch (f->role) {
        case ROLE_KEY:
            ok = read_counted(&in, &out->key);
            break;
        case ROLE_VALUE:
            ok = read_counted(&in, &out->value);
            break;
        case ROLE_ID:
            ok = read_uint(&in, &out->id);
            break;
        case ROLE_SKIP:
            ok = skip_value(&in, s, f->type, 0);
            break;
        }
        if (!ok) {
            return false;
        }
    }
    return st == STEP_END;
}

/* A struct with Key or Val in it, and strings, or Go refuses it. */
static bool type_is_command(const struct gob_type *t)
{
    bool has_any = false;

    if (t->kind != KIND_STRUCT) {
        return false;
    }
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct gob_field *f = &t->fields[i];

        if (f->role == ROLE_KEY || f->role == ROLE_VALUE) {
            if (f->type != GOB_STRING) {
                return false;
            }
            has_any = true;
        }
    }
    return has_any;
}

/* One message: its length is taken off `in`. */
static bool read_message(struct bytes *in, struct bytes *msg, int64_t *type)
{
    uint64_t len;

    if (!read_uint(in, &len) || len > in->len || len >= GOB_MESSAGE_MAX) {
        return false;
    }
    *msg = (struct bytes){in->data, (size_t)len};
    in->data += len;
    in->len -= (size_t)len;
    return read_int(msg, type);
}

/* A stream with definitions of its own: read them all, then the value. */
static bool decode_any(struct bytes in, struct kv_command *out)
{
    struct schema *s = xmalloc(sizeof(*s));
    struct bytes msg;
    int64_t type;
    bool ok;

    s->n_types = 0;
    s->n_fields = 0;
    while ((ok = read_message(&in, &msg, &type)) && type < 0) {
        if (type < -INT32_MAX || !read_definition(msg, s, -type)) {
            ok = false;
            break;
        }
    }
    if (ok) {
        const struct gob_type *t = schema_find(s, type);

        ok = t != NULL && type_is_command(t) && schema_link(s, type) &&
             read_value(msg, s, t, out);
    }
    xfree(s);
    return ok;
}

static bool starts_with(struct bytes in, const uint8_t *p, size_t len)
{
    return in.len >= len && memcmp(in.data, p, len) == 0;
}

int kv_command_decode(struct bytes in, struct kv_command *out)
{
    const struct gob_type *known = NULL;
    struct bytes rest = in;
    struct bytes msg;
    int64_t type;

    *out = (struct kv_command){{NULL, 0}, {NULL, 0}, 0};
    if (starts_with(in, def_ours, sizeof(def_ours))) {
        known = &known_ours;
        rest.data += sizeof(def_ours);
        rest.len -= sizeof(def_ours);
    } else if (starts_with(in, def_plain, sizeof(def_plain))) {
        known = &known_plain;
        rest.data += sizeof(def_plain);
        rest.len -= sizeof(def_plain);
    }
    /* A known definition may still be followed by another one. */
    bool ok =
        known != NULL && read_message(&rest, &msg, &type) && type == known->id;
    ok = ok ? read_value(msg, NULL, known, out) : decode_any(in, out);
    if (!ok) {
        *out = (struct kv_command){{NULL, 0}, {NULL, 0}, 0};
        return ERR_MALFORMED;
    }
    return 0;
}
