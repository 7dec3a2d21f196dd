/* Goal: every request has a meaning or an answer (the table is total), and
 * every outcome of it has a status. Method: the input is method, target,
 * fields and body, each up to a line feed; the route is asked for every
 * outcome there is. */

#include "httpapi/routes.h"

#include "src/base/alloc.h"
#include "tests/fuzz/lib/fuzz.h"

#define FIELDS    4
#define VALUE_MAX 1000

static struct bytes line(struct fuzz_input *in)
{
    const uint8_t *end = in->left > 0 ? memchr(in->p, '\n', in->left) : NULL;
    struct bytes b =
        fuzz_take(in, end == NULL ? in->left : (size_t)(end - in->p));

    (void)fuzz_byte(in);
    return b;
}

static void check_answer(const struct route_answer *a)
{
    const char *fields = a->fields == NULL ? "" : a->fields;
    size_t n = strlen(fields);

    ASSERT(a->status >= 200 && a->status <= 599);
    ASSERT(n == 0 || strcmp(fields + n - 2, "\r\n") == 0);
    ASSERT(a->text == NULL || strpbrk(a->text, "\r\n") == NULL);
    ASSERT(a->status < 400 || a->text != NULL);
}

static void check_route(const struct route *r, const struct http_head *h)
{
    static const char *const methods[] = {"PUT", "GET", "POST", "DELETE"};
    bool is_head =
        fuzz_equal(h->method, (struct bytes){(const uint8_t *)"HEAD", 4});

    ASSERT((unsigned)r->op <= ROUTE_ERROR);
    if (r->op == ROUTE_ERROR) {
        check_answer(&r->answer);
        ASSERT(r->answer.status >= 400);
        return;
    }
    ASSERT(r->head == is_head);
    if (!is_head) {
        const char *m = methods[r->op];

        ASSERT(fuzz_equal(h->method,
                          (struct bytes){(const uint8_t *)m, strlen(m)}));
    }
    ASSERT((r->op != ROUTE_ADD_MEMBER && r->op != ROUTE_REMOVE_MEMBER) ||
           r->id > 0);
    ASSERT(r->op != ROUTE_PUT || r->body_limit == VALUE_MAX);
    for (int outcome = 0; outcome > -10060; outcome--) {
        if (outcome == -200) {
            outcome = -10000; /* behind errno, before ours */
        }
        struct route_answer a = route_outcome(r, outcome);

        check_answer(&a);
        ASSERT((a.status < 300) == (outcome == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};
    struct http_field fields[FIELDS];
    struct http_head h = {.fields = fields, .content_length = -1};
    struct route_answer answer;
    struct addr addr;
    struct route r;

    h.method = line(&in);
    h.target = line(&in);
    if (h.target.len == 0) {
        return -1; /* no parser gives that */
    }
    while (h.n_fields < FIELDS) {
        struct http_field *f = &fields[h.n_fields++];

        f->name = line(&in);
        f->value = line(&in);
    }
    r = route_request(&h, VALUE_MAX);
    check_route(&r, &h);
    if (!route_member_url((struct bytes){in.p, in.left}, &addr, &answer)) {
        check_answer(&answer);
        ASSERT(answer.status == 400);
    }
    return 0;
}
