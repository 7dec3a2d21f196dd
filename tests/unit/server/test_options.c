/* Goal: every flag is read, checked and explained, from the command line and
 * from the environment. Method: tables of argument lists against the struct or
 * the message that must come out. */

#include "src/server/options.h"

#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"

#define THREE                                                                  \
    "http://127.0.0.1:12379,http://127.0.0.1:22379,http://127.0.0.1:32379"

struct fake_env {
    const char *name;
    const char *value;
};

static const char *fake_getenv(void *ctx, const char *name)
{
    const struct fake_env *e = ctx;

    return e->name != NULL && strcmp(e->name, name) == 0 ? e->value : NULL;
}

static enum options_result parse_env(const char *const *args,
                                     struct fake_env env, struct options *o,
                                     struct errmsg *em)
{
    char *argv[24] = {(char *)(uintptr_t) "raftexample"};
    int argc = 1;

    while (args[argc - 1] != NULL) {
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
        argc++;
    }
    return options_parse(argc, argv, fake_getenv, &env, o, em);
}

static enum options_result parse(const char *const *args, struct options *o,
                                 struct errmsg *em)
{
    return parse_env(args, (struct fake_env){NULL, NULL}, o, em);
}

static void test_defaults(void **state)
{
    const char *const args[] = {NULL};
    struct options o;
    struct errmsg em = {{0}};

    (void)state;
    assert_int_equal(parse(args, &o, &em), OPTIONS_RUN);
    assert_int_equal(o.id, 1);
    assert_int_equal(o.n_cluster, 1);
    assert_string_equal(o.cluster[0].url, "http://127.0.0.1:9021");
    assert_int_equal(o.client_addr.port, 9121);
    assert_string_equal(o.client_addr.host, "127.0.0.1");
    assert_int_equal(o.peer_addr.port, 9021);
    assert_false(o.join);
    assert_string_equal(o.wal_dir, "./raftexample-1");
    assert_string_equal(o.snap_dir, "./raftexample-1-snap");
    assert_int_equal(o.snapshot_count, 10000);
    assert_int_equal(o.snapshot_catchup_entries, 10000);
    assert_int_equal(o.tick_ms, 100);
    assert_int_equal(o.election_ticks, 10);
    assert_int_equal(o.heartbeat_ticks, 1);
    assert_int_equal(o.request_timeout_ms, 5000);
    assert_int_equal(o.client_timeout_ms, 10000);
    assert_int_equal(o.max_value_size, 1536 * KiB);
    assert_int_equal(o.log_level, LOG_INFO);
    options_release(&o);
}

static void test_procfile_line(void **state)
{
    const char *const args[] = {"--id",   "2",     "--cluster", THREE,
                                "--port", "22380", NULL};
    struct options o;
    struct errmsg em = {{0}};

    (void)state;
    assert_int_equal(parse(args, &o, &em), OPTIONS_RUN);
    assert_int_equal(o.id, 2);
    assert_int_equal(o.n_cluster, 3);
    assert_int_equal(o.cluster[2].id, 3);
    assert_int_equal(o.peer_addr.port, 22379);
    assert_int_equal(o.client_addr.port, 22380);
    options_release(&o);
}

static void test_every_form_of_a_flag(void **state)
{
    const char *const args[] = {"-id=3",
                                "--cluster=" THREE,
                                "-port",
                                "32380",
                                "--join",
                                "--host=::",
                                "--data-dir",
                                "/tmp/x",
                                "--snapshot-count=5",
                                "--snapshot-catchup-entries=0",
                                "--tick-ms=20",
                                "--election-ticks=20",
                                "--heartbeat-ticks=2",
                                "--request-timeout=500ms",
                                "--client-timeout=1.5s",
                                "--max-value-size=64KiB",
                                "--log-level=debug",
                                "--log-format=json",
                                NULL};
    struct options o;
    struct errmsg em = {{0}};

    (void)state;
    assert_int_equal(parse(args, &o, &em), OPTIONS_RUN);
    assert_int_equal(o.id, 3);
    assert_true(o.join);
    assert_string_equal(o.client_addr.host, "::");
    assert_string_equal(o.wal_dir, "/tmp/x/raftexample-3");
    assert_int_equal(o.snapshot_count, 5);
    assert_int_equal(o.snapshot_catchup_entries, 0);
    assert_int_equal(o.tick_ms, 20);
    assert_int_equal(o.election_ticks, 20);
    assert_int_equal(o.heartbeat_ticks, 2);
    assert_int_equal(o.request_timeout_ms, 500);
    assert_int_equal(o.client_timeout_ms, 1500);
    assert_int_equal(o.max_value_size, 64 * KiB);
    assert_int_equal(o.log_level, LOG_DEBUG);
    assert_true(o.log_json);
    options_release(&o);
}

static void test_usage_errors(void **state)
{
    static const struct {
        const char *args[5];
        const char *says; /* part of the message */
    } cases[] = {
        {{"--id", "0"}, "--id"},
        {{"--id", "2"}, "--id: 2 is not a position"},
        {{"--id", "-1"}, "--id: \"-1\""},
        {{"--id", "1x"}, "--id: \"1x\""},
        {{"--id", "18446744073709551616"}, "--id"},
        {{"--id"}, "--id: a value is missing"},
        {{"--port", "0"}, "--port"},
        {{"--port", "65536"}, "--port"},
        {{"--port", "9021"}, "--port: 9021"},
        {{"--cluster", "127.0.0.1:9021"}, "--cluster"},
        {{"--cluster", "http://h:1/x"}, "--cluster"},
        {{"--cluster", "http://h"}, "--cluster"},
        {{"--cluster", "http://h:1,,http://h:2"}, "--cluster"},
        {{"--cluster", "http://h:1,http://h:1"}, "same URL"},
        {{"--snapshot-count", "0"}, "--snapshot-count"},
        {{"--election-ticks", "1"}, "--election-ticks"},
        {{"--request-timeout", "5"}, "--request-timeout"},
        {{"--request-timeout", "0ms"}, "--request-timeout"},
        {{"--max-value-size", "1TB"}, "--max-value-size"},
        {{"--max-value-size", "1GiB"}, "--max-value-size"},
        {{"--log-level", "loud"}, "--log-level"},
        {{"--log-format", "xml"}, "--log-format"},
        {{"--join=maybe"}, "--join"},
        {{"--colour", "red"}, "--colour: no such flag"},
        {{"id", "1"}, "id: not a flag"},
        {{"--"}, "--: not a flag"},
        {{"--host", ""}, "--host"},
        {{"--data-dir="}, "--data-dir"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct options o;
        struct errmsg em = {{0}};

        if (parse(cases[i].args, &o, &em) != OPTIONS_USAGE ||
            strstr(em.text, cases[i].says) == NULL) {
            fail_msg("%s: got \"%s\"", cases[i].args[0], em.text);
        }
        options_release(&o);
    }
}

static void test_environment_is_read_and_the_command_line_wins(void **state)
{
    const char *const none[] = {NULL};
    const char *const some[] = {"--snapshot-count=9", NULL};
    struct options o;
    struct errmsg em = {{0}};

    (void)state;
    assert_int_equal(
        parse_env(none, (struct fake_env){"RAFTEXAMPLE_SNAPSHOT_COUNT", "7"},
                  &o, &em),
        OPTIONS_RUN);
    assert_int_equal(o.snapshot_count, 7);
    options_release(&o);
    assert_int_equal(
        parse_env(some, (struct fake_env){"RAFTEXAMPLE_SNAPSHOT_COUNT", "7"},
                  &o, &em),
        OPTIONS_RUN);
    assert_int_equal(o.snapshot_count, 9);
    options_release(&o);
    assert_int_equal(
        parse_env(none, (struct fake_env){"RAFTEXAMPLE_TICK_MS", "x"}, &o, &em),
        OPTIONS_USAGE);
    assert_non_null(strstr(em.text, "RAFTEXAMPLE_TICK_MS"));
    options_release(&o);
}

static void test_help_and_version(void **state)
{
    const char *const help[] = {"--help", NULL};
    const char *const version[] = {"-version", NULL};
    struct options o;
    struct errmsg em = {{0}};
    size_t lines = 0;

    (void)state;
    assert_int_equal(parse(help, &o, &em), OPTIONS_HELP);
    options_release(&o);
    assert_int_equal(parse(version, &o, &em), OPTIONS_VERSION);
    options_release(&o);
    for (const char *p = options_usage(); *p != '\0'; p++) {
        lines += *p == '\n';
    }
    assert_true(lines <= 40); /* one screen */
}

static void test_parse_duration(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } cases[] = {
        {"1ms", 1},     {"500ms", 500},
        {"5s", 5000},   {"1.5s", 1500},
        {"2m", 120000}, {"1h", 3600000},
        {"0.5ms", 0},   {"0s", 0},
        {"5", 0},       {"s", 0},
        {"", 0},        {"-5s", 0},
        {"5 s", 0},     {"1.s", 0},
        {"1.2.3s", 0},  {"99999999999999999999s", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ms = 0;
        int rc = options_parse_duration(cases[i].text, &ms);

        if ((rc == 0) != (cases[i].ms != 0) || (rc == 0 && ms != cases[i].ms)) {
            fail_msg("\"%s\": %" PRIu64, cases[i].text, ms);
        }
    }
}

static void test_parse_size(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } cases[] = {
        {"0", true, 0},          {"4096", true, 4096},
        {"64KiB", true, 65536},  {"1.5MiB", true, 1572864},
        {"1GiB", true, 1 << 30}, {"1kB", true, 1000},
        {"2MB", true, 2000000},  {"x", false, 0},
        {"1 KiB", false, 0},     {"-1", false, 0},
        {"1kib", false, 0},      {"", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t bytes = 0;
        int rc = options_parse_size(cases[i].text, &bytes);

        if ((rc == 0) != cases[i].ok || (rc == 0 && bytes != cases[i].bytes)) {
            fail_msg("\"%s\": %" PRIu64, cases[i].text, bytes);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_procfile_line),
        cmocka_unit_test(test_every_form_of_a_flag),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test(test_environment_is_read_and_the_command_line_wins),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_parse_duration),
        cmocka_unit_test(test_parse_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
