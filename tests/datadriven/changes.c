/* See changes.h. */

#include "tests/datadriven/changes.h"

#include <string.h>

#include "src/base/alloc.h"
#include "tests/datadriven/script.h"

static int parse_token(const char *tok, struct conf_change_single *out,
                       struct buf *err)
{
    if (strlen(tok) < 2) {
        buf_printf(err, "unknown token %s", tok);
        return ERR_MALFORMED;
    }
    switch (tok[0]) {
    case 'v':
        out->type = CONF_CHANGE_ADD_NODE;
        break;
    case 'l':
        out->type = CONF_CHANGE_ADD_LEARNER_NODE;
        break;
    case 'r':
        out->type = CONF_CHANGE_REMOVE_NODE;
        break;
    case 'u':
        out->type = CONF_CHANGE_UPDATE_NODE;
        break;
    default: /* text, not an enum */
        buf_printf(err, "unknown input: %s", tok);
        return ERR_MALFORMED;
    }
    if (!script_parse_u64(tok + 1, &out->node_id)) {
        buf_printf(err, "strconv.ParseUint: parsing \"%s\": invalid syntax",
                   tok + 1);
        return ERR_MALFORMED;
    }
    return 0;
}

int changes_parse(const char *text, struct changes *c, struct buf *out)
{
    char *copy = xstrdup(text);
    char *save = NULL;
    int rc = 0;

    *c = (struct changes){0};
    for (char *tok = strtok_r(copy, " \n\t", &save); tok != NULL && rc == 0;
         tok = strtok_r(NULL, " \n\t", &save)) {
        c->items = xrealloc_array(c->items, c->n + 1, sizeof *c->items);
        rc = parse_token(tok, &c->items[c->n++], out);
    }
    xfree(copy);
    if (rc < 0) {
        changes_release(c);
    }
    return rc;
}

void changes_release(struct changes *c)
{
    xfree(c->items);
    *c = (struct changes){0};
}
