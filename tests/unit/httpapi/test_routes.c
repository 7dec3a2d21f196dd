/* Goal: every line of the two tables of http-api.md section 1 that is decided
 * without the cluster. Method: tables of heads, bodies and outcomes; then
 * random targets, to see that the decision is total. */

#include "httpapi/routes.h"

#include "src/base/bounds.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

#define MAX_VALUE 1000

static struct bytes str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static struct route route(const char *method, const char *target,
                          const char *name, const char *value)
{
    struct http_field field = {str(name), str(value)};
    struct http_head h = {
        .method = str(method),
        .target = str(target),
        .minor = 1,
        .fields = &field,
        .n_fields = name[0] != '\0' ? 1 : 0,
        .content_length = -1,
    };

    return route_request(&h, MAX_VALUE);
}

static void test_methods(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *target;
        enum route_op op;
        bool head;
        uint64_t id;
        size_t body_limit;
    } cases[] = {
        {"PUT", "/a", ROUTE_PUT, false, 0, MAX_VALUE},
        {"GET", "/a", ROUTE_GET, false, 0, MAX_VALUE},
        {"HEAD", "/a", ROUTE_GET, true, 0, MAX_VALUE},
        {"POST", "/4", ROUTE_ADD_MEMBER, false, 4, MEMBER_BODY_MAX},
        {"DELETE", "/4", ROUTE_REMOVE_MEMBER, false, 4, MAX_VALUE},
        {"PUT", "/", ROUTE_PUT, false, 0, MAX_VALUE},
        {"GET", "/../?x%00", ROUTE_GET, false, 0, MAX_VALUE},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route r = route(cases[i].method, cases[i].target, "", "");

        assert_int_equal(r.op, cases[i].op);
        assert_int_equal(r.head, cases[i].head);
        assert_int_equal(r.id, cases[i].id);
        assert_int_equal(r.body_limit, cases[i].body_limit);
        assert_false(r.local);
        assert_false(r.respond_async);
    }
}

static void test_other_methods(void **state)
{
    (void)state;
    static const char *const methods[] = {"OPTIONS", "PATCH", "TRACE",
                                          "GETX",    "PU",    "get"};

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct route r = route(methods[i], "/1", "", "");

        assert_int_equal(r.op, ROUTE_ERROR);
        assert_int_equal(r.answer.status, 405);
        assert_string_equal(r.answer.fields,
                            "Allow: GET, HEAD, PUT, POST, DELETE\r\n");
        assert_true(r.answer.close);
    }
}

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *name;
        const char *value;
        bool local;
        bool respond_async;
    } cases[] = {
        {"GET", "X-Consistency", "local", true, false},
        {"HEAD", "x-consistency", "LOCAL", true, false},
        {"GET", "X-Consistency", "linearizable", false, false},
        {"GET", "X-Consistency", "locally", false, false},
        {"GET", "X-Consistency", "", false, false},
        {"GET", "X-Consistenc", "local", false, false},
        {"GET", "Prefer", "respond-async", false, false},
        {"PUT", "Prefer", "respond-async", false, true},
        {"PUT", "prefer", "Respond-Async", false, true},
        {"PUT", "Prefer", "wait=10, respond-async", false, true},
        {"PUT", "Prefer", "respond-async; x=y ,wait=1", false, true},
        {"PUT", "Prefer", ", ,respond-async,", false, true},
        {"PUT", "Prefer", "respond-asyncx", false, false},
        {"PUT", "Prefer", "x;respond-async", false, false},
        {"PUT", "Prefer", "", false, false},
        {"PUT", "X-Consistency", "local", false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route r =
            route(cases[i].method, "/k", cases[i].name, cases[i].value);

        assert_int_equal(r.local, cases[i].local);
        assert_int_equal(r.respond_async, cases[i].respond_async);
    }
}

static void test_a_field_given_twice_is_one_list(void **state)
{
    (void)state;
    struct http_field fields[] = {
        {str("Prefer"), str("wait=1")},
        {str("Prefer"), str("respond-async")},
    };
    struct http_head h = {
        .method = str("PUT"),
        .target = str("/"),
        .fields = fields,
        .n_fields = 2,
    };

    assert_true(route_request(&h, MAX_VALUE).respond_async);
}

static void test_member_ids(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint64_t id; /* 0: refused */
    } cases[] = {
        {"/1", 1},
        {"/10", 10},
        {"/18446744073709551615", UINT64_MAX},
        {"/0x1", 1},
        {"/0xa", 10},
        {"/0xAf", 0xaf},
        {"/0x01", 1},
        {"/0xffffffffffffffff", UINT64_MAX},
        {"/", 0},
        {"//1", 0},
        {"/0", 0},
        {"/00", 0},
        {"/01", 0},
        {"/010", 0},
        {"/-1", 0},
        {"/+1", 0},
        {"/ 1", 0},
        {"/1 ", 0},
        {"/1x", 0},
        {"/1/", 0},
        {"/1?x", 0},
        {"/abc", 0},
        {"/a", 0},
        {"/18446744073709551616", 0},
        {"/99999999999999999999", 0},
        {"/0x", 0},
        {"/0x0", 0},
        {"/0X1", 0},
        {"/0xg", 0},
        {"/0x10000000000000000", 0},
        {"/x1", 0},
        {"/0o17", 0},
        {"/0b1", 0},
        {"/1_000", 0},
        {"/1.0", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static const char *const methods[] = {"POST", "DELETE"};

        for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
            struct route r = route(methods[m], cases[i].path, "", "");

            if (cases[i].id > 0) {
                assert_int_not_equal(r.op, ROUTE_ERROR);
                assert_true(r.id == cases[i].id);
            } else {
                assert_int_equal(r.op, ROUTE_ERROR);
                assert_int_equal(r.answer.status, 400);
                assert_true(r.answer.close);
                assert_null(strchr(r.answer.text, '\n'));
            }
        }
    }
}

static void test_member_urls(void **state)
{
    (void)state;
    struct route_answer wrong = {0};
    struct addr a;

    assert_true(route_member_url(str(" http://10.0.0.1:9021\n"), &a, &wrong));
    assert_string_equal(a.host, "10.0.0.1");
    assert_int_equal(a.port, 9021);
    static const char *const bad[] = {"", "nonsense", "http://h:1/",
                                      "https://h:1", "http://h"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(route_member_url(str(bad[i]), &a, &wrong));
        assert_int_equal(wrong.status, 400);
    }
    assert_false(route_member_url((struct bytes){NULL, 0}, &a, &wrong));
}

static void test_outcomes(void **state)
{
    (void)state;
    static const struct {
        enum route_op op;
        bool respond_async;
        int outcome;
        int status;
        bool retry;
        bool close;
    } cases[] = {
        {ROUTE_PUT, false, 0, 204, false, false},
        {ROUTE_PUT, true, 0, 202, false, false},
        {ROUTE_GET, false, 0, 200, false, false},
        {ROUTE_ADD_MEMBER, false, 0, 204, false, false},
        {ROUTE_REMOVE_MEMBER, false, 0, 204, false, false},
        {ROUTE_GET, false, ERR_NOT_FOUND, 404, false, false},
        {ROUTE_PUT, false, ERR_NO_LEADER, 503, true, false},
        {ROUTE_GET, false, ERR_NO_LEADER, 503, true, false},
        {ROUTE_PUT, false, ERR_PROPOSAL_DROPPED, 503, true, false},
        {ROUTE_PUT, true, ERR_PROPOSAL_DROPPED, 503, true, false},
        {ROUTE_PUT, false, ERR_OVERLOADED, 503, true, false},
        {ROUTE_PUT, false, ERR_OUTCOME_UNKNOWN, 504, false, false},
        {ROUTE_ADD_MEMBER, false, ERR_OUTCOME_UNKNOWN, 504, false, false},
        {ROUTE_GET, false, ERR_TIMED_OUT, 503, true, false},
        {ROUTE_PUT, false, ERR_TIMED_OUT, 500, false, false},
        {ROUTE_PUT, false, ERR_STOPPED, 503, false, true},
        {ROUTE_PUT, false, ERR_SELF_REMOVED, 503, false, true},
        {ROUTE_REMOVE_MEMBER, false, ERR_NO_MEMBER, 404, false, false},
        {ROUTE_ADD_MEMBER, false, ERR_MEMBER_REMOVED, 410, false, false},
        {ROUTE_ADD_MEMBER, false, ERR_MEMBER_URL_DIFFERS, 409, false, false},
        {ROUTE_REMOVE_MEMBER, false, ERR_LAST_VOTER, 409, false, false},
        {ROUTE_PUT, false, -5, 500, false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route r = {.op = cases[i].op,
                          .respond_async = cases[i].respond_async};
        struct route_answer a = route_outcome(&r, cases[i].outcome);

        assert_int_equal(a.status, cases[i].status);
        assert_int_equal(a.close, cases[i].close);
        assert_int_equal(a.fields != NULL &&
                             strcmp(a.fields, "Retry-After: 1\r\n") == 0,
                         cases[i].retry);
        assert_int_equal(a.text != NULL, a.status >= 400);
    }
}

/* Any target is a key, or an id that parses, or refused; nothing else. */
static void test_total(void **state)
{
    (void)state;
    static const char alphabet[] = "/0123456789abcdefx-+ ?\xff";
    static const char *const methods[] = {"GET",  "HEAD",   "PUT",
                                          "POST", "DELETE", "PATCH"};
    struct rng r;

    rng_seed(&r, 3);
    for (int round = 0; round < 100000; round++) {
        char target[24] = "/";
        size_t len = 1 + rng_below(&r, sizeof(target) - 2);

        for (size_t i = 1; i < len; i++) {
            target[i] = alphabet[rng_below(&r, sizeof(alphabet) - 1)];
        }
        target[len] = '\0';
        const char *method = methods[rng_below(&r, ARRAY_LEN(methods))];
        struct route got = route(method, target, "", "");
        switch (got.op) {
        case ROUTE_PUT:
        case ROUTE_GET:
            assert_true(got.id == 0);
            break;
        case ROUTE_ADD_MEMBER:
        case ROUTE_REMOVE_MEMBER:
            assert_true(got.id > 0);
            break;
        case ROUTE_ERROR:
            assert_true(got.answer.status == 400 || got.answer.status == 405);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_other_methods),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_a_field_given_twice_is_one_list),
        cmocka_unit_test(test_member_ids),
        cmocka_unit_test(test_member_urls),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
