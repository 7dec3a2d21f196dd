/* Goal: the pages for people and monitoring are well-formed and say what is so.
 * Method: nodes of a cluster in one process, in health and out of it; a small
 * JSON checker, and fields looked up in the text. */

#include "src/server/status.h"

#include "src/base/buf.h"
#include "src/kv/kvstore.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_feed.h"

/* --- JSON, checked [RFC 8259] --- */

static const char *skip_value(const char *p);

static const char *skip_string(const char *p)
{
    if (p == NULL || *p++ != '"') {
        return NULL;
    }
    while (*p != '"') {
        if ((unsigned char)*p < 0x20) {
            return NULL; /* the end of the text, or a raw control byte */
        }
        if (*p == '\\') {
            p++;
            if (strchr("\"\\/bfnrtu", *p) == NULL || *p == '\0') {
                return NULL;
            }
        }
        p++;
    }
    return p + 1;
}

static const char *skip_number(const char *p)
{
    size_t n = strspn(p, "0123456789");

    if (n == 0 || (n > 1 && p[0] == '0')) {
        return NULL;
    }
    p += n;
    if (*p == '.') {
        n = strspn(p + 1, "0123456789");
        p = n == 0 ? NULL : p + 1 + n;
    }
    return p;
}

static const char *skip_word(const char *p, const char *word)
{
    return strncmp(p, word, strlen(word)) == 0 ? p + strlen(word) : NULL;
}

/* The members of an object or the elements of an array, behind its bracket. */
static const char *skip_members(const char *p, char close)
{
    if (*p == close) {
        return p + 1;
    }
    for (;;) {
        if (close == '}') {
            p = skip_string(p);
            if (p == NULL || *p++ != ':') {
                return NULL;
            }
        }
        p = skip_value(p);
        if (p == NULL || (*p != ',' && *p != close)) {
            return NULL;
        }
        if (*p++ == close) {
            return p;
        }
    }
}

/* We write no white space between tokens, so none is skipped. */
static const char *skip_value(const char *p)
{
    switch (*p) {
    case '{':
        return skip_members(p + 1, '}');
    case '[':
        return skip_members(p + 1, ']');
    case '"':
        return skip_string(p);
    case 't':
        return skip_word(p, "true");
    case 'f':
        return skip_word(p, "false");
    case 'n':
        return skip_word(p, "null");
    default:
        return skip_number(p);
    }
}

/* One value and a line end. */
static bool is_json_line(const char *text)
{
    const char *p = skip_value(text);

    return p != NULL && strcmp(p, "\n") == 0;
}

static void test_the_checker_itself(void **state)
{
    static const char *const good[] = {
        "{}\n", "[]\n", "{\"a\":[1,2.5,null],\"b\":{\"c\":\"d\\\"\"}}\n",
        "true\n"};
    static const char *const bad[] = {
        "",           "{}",        "{\n",    "{\"a\"}\n",   "[1,]\n",
        "{\"a\":}\n", "[01]\n",    "\"a\n",  "[1 2]\n",     "{a:1}\n",
        "{} \n",      "\"\\x\"\n", "[1.]\n", "{\"a\":1,}\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(is_json_line(good[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(is_json_line(bad[i]));
    }
}

/* --- pages --- */

static struct sim_cluster cluster;

static struct sim_cluster *begin(const struct sim_options *o)
{
    sim_cluster_init(&cluster, o);
    sim_start_all(&cluster);
    return &cluster;
}

struct page {
    int status;
    const char *type;
    struct buf body;
    const char *text;
};

static void get(const struct sim_cluster *c, uint64_t id, const char *path,
                struct page *pg)
{
    struct status_context sc = {.id = id, .uptime_ms = 61005};
    struct bytes p = {(const uint8_t *)path, strlen(path)};

    buf_init(&pg->body, BUF_UNLIMITED);
    pg->status = status_page(c->nodes[id].node, &sc, p, &pg->body, &pg->type);
    pg->text = buf_cstr(&pg->body);
    if (pg->status != 404) {
        assert_string_equal(pg->type, "application/json");
        if (!is_json_line(pg->text)) {
            fail_msg("%s is not JSON: %s", path, pg->text);
        }
    }
}

static void expect_part(const struct page *pg, const char *part)
{
    if (strstr(pg->text, part) == NULL) {
        fail_msg("no %s in %s", part, pg->text);
    }
}

/* "name":N somewhere in the text; its N. */
static uint64_t number_of(const struct page *pg, const char *name)
{
    char want[64];
    const char *at;

    (void)snprintf(want, sizeof(want), "\"%s\":", name);
    at = strstr(pg->text, want);
    if (at == NULL) {
        fail_msg("no %s in %s", name, pg->text);
    }
    return strtoull(at + strlen(want), NULL, 10);
}

static uint64_t follower_of(uint64_t leader)
{
    return leader == 1 ? 2 : 1;
}

static void test_status_of_the_leader(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raftnode_status st;
    struct page pg;
    uint64_t leader = sim_elect(c);
    char part[128];

    (void)state;
    assert_int_equal(sim_put_now(c, leader, "/a", "1"), 0);
    assert_int_equal(sim_put_now(c, leader, "/b", "2"), 0);
    raftnode_get_status(c->nodes[leader].node, &st);
    get(c, leader, "/status", &pg);
    assert_int_equal(pg.status, 200);
    assert_int_equal(number_of(&pg, "id"), leader);
    (void)snprintf(part, sizeof(part), "\"name\":\"raftexample%d\"",
                   (int)leader);
    expect_part(&pg, part);
    expect_part(&pg, "\"version\":\"" RAFTEXAMPLE_VERSION "\"");
    expect_part(&pg, "\"role\":\"leader\"");
    assert_int_equal(number_of(&pg, "term"), st.raft.hard_state.term);
    assert_int_equal(number_of(&pg, "vote"), leader);
    assert_int_equal(number_of(&pg, "leader"), leader);
    assert_int_equal(number_of(&pg, "commit"), st.raft.hard_state.commit);
    assert_int_equal(number_of(&pg, "applied"), st.raft.applied);
    assert_int_equal(number_of(&pg, "first_index"), 1);
    assert_int_equal(number_of(&pg, "last_index"), st.raft.last_index);
    assert_int_equal(number_of(&pg, "snapshot_index"), 0);
    assert_int_equal(number_of(&pg, "keys"), 2);
    assert_int_equal(number_of(&pg, "pending_proposals"), 0);
    assert_int_equal(number_of(&pg, "pending_reads"), 0);
    expect_part(&pg, "\"uptime_seconds\":61.005");
    for (int id = 1; id <= 3; id++) {
        (void)snprintf(part, sizeof(part),
                       "{\"id\":%d,\"url\":\"http://10.0.0.%d:2380\","
                       "\"role\":\"voter\"}",
                       id, id);
        expect_part(&pg, part);
        (void)snprintf(part, sizeof(part),
                       "\"%d\":{\"match\":%d,\"next\":%d,"
                       "\"state\":\"StateReplicate\",\"inflight\":0,"
                       "\"recent_active\":true}",
                       id, (int)st.raft.last_index,
                       (int)st.raft.last_index + 1);
        expect_part(&pg, part);
    }
    buf_release(&pg.body);
    raftnode_status_release(&st);
    sim_cluster_release(c);
}

/* Only the leader knows how far the others are. */
static void test_status_of_a_follower(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct page pg;
    uint64_t leader = sim_elect(c);

    (void)state;
    sim_run(c, 2);
    get(c, follower_of(leader), "/status", &pg);
    assert_int_equal(pg.status, 200);
    assert_int_equal(number_of(&pg, "id"), follower_of(leader));
    assert_int_equal(number_of(&pg, "leader"), leader);
    expect_part(&pg, "\"role\":\"follower\"");
    expect_part(&pg, "\"progress\":{}");
    buf_release(&pg.body);
    sim_cluster_release(c);
}

static void test_status_without_a_leader_and_with_requests(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct sim_op *ops[3];
    struct page pg;

    (void)state;
    ops[0] = sim_put(c, 1, "/a", "1");
    ops[1] = sim_put(c, 1, "/b", "1");
    ops[2] = sim_get(c, 1, "/a");
    get(c, 1, "/status", &pg);
    assert_int_equal(number_of(&pg, "leader"), 0);
    assert_int_equal(number_of(&pg, "vote"), 0);
    assert_int_equal(number_of(&pg, "pending_proposals"), 2);
    assert_int_equal(number_of(&pg, "pending_reads"), 1);
    expect_part(&pg, "\"role\":\"follower\"");
    buf_release(&pg.body);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        sim_op_free(c, ops[i]);
    }
    /* Alone it asks the others whether they would vote, and waits. */
    sim_stop(c, 2);
    sim_stop(c, 3);
    sim_run(c, 25);
    get(c, 1, "/status", &pg);
    expect_part(&pg, "\"role\":\"pre-candidate\"");
    buf_release(&pg.body);
    sim_cluster_release(c);
}

/* Its peers would vote for it, and have not yet. */
static void test_status_of_a_candidate(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct raft_message m = {
        .type = RAFT_MSG_PRE_VOTE_RESP, .to = 1, .from = 2, .term = 2};
    struct page pg;

    (void)state;
    sim_settle(c);
    sim_isolate(c, 1, true);
    sim_run(c, 20);
    assert_int_equal(raftnode_step(c->nodes[1].node, &m), 0);
    sim_settle(c);
    get(c, 1, "/status", &pg);
    expect_part(&pg, "\"role\":\"candidate\"");
    assert_int_equal(number_of(&pg, "vote"), 1);
    assert_int_equal(number_of(&pg, "term"), 2);
    buf_release(&pg.body);
    sim_cluster_release(c);
}

static void test_status_after_a_snapshot(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){
        .n = 1, .seed = 1, .snapshot_count = 5, .catchup_entries = 2});
    struct page pg;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(sim_put_now(c, 1, "/a", "1"), 0);
    }
    get(c, 1, "/status", &pg);
    assert_true(number_of(&pg, "snapshot_index") > 10);
    assert_int_equal(number_of(&pg, "first_index"),
                     number_of(&pg, "snapshot_index") - 2 + 1);
    buf_release(&pg.body);
    sim_cluster_release(c);
}

static void test_members_with_urls_and_roles(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct raftnode *node = c->nodes[1].node;
    struct conf_change cc = {.type = CONF_CHANGE_ADD_LEARNER_NODE,
                             .node_id = 12};
    struct page pg;

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    get(c, 1, "/members", &pg);
    assert_int_equal(pg.status, 200);
    assert_string_equal(pg.text, "[{\"id\":1,\"url\":\"http://10.0.0.1:2380\","
                                 "\"role\":\"voter\"}]\n");
    buf_release(&pg.body);
    /* As a Go node's POST without a body, and beyond --cluster. */
    assert_int_equal(rawnode_propose_conf_change(node->raw, &cc), 0);
    sim_settle(c);
    get(c, 1, "/members", &pg);
    assert_string_equal(pg.text,
                        "[{\"id\":1,\"url\":\"http://10.0.0.1:2380\","
                        "\"role\":\"voter\"},"
                        "{\"id\":12,\"url\":null,\"role\":\"learner\"}]\n");
    buf_release(&pg.body);
    sim_cluster_release(c);
}

/* A voter that is being replaced votes until the change is complete. */
static void test_member_that_is_leaving(void **state)
{
    struct conf_change_single swap[] = {{CONF_CHANGE_REMOVE_NODE, 3},
                                        {CONF_CHANGE_ADD_LEARNER_NODE, 4}};
    struct raft_entry *e = sim_change_v2_entry(&(struct conf_change_v2){
        .changes = swap, .n_changes = ARRAY_LEN(swap)});
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    struct page pg;

    (void)state;
    sim_feed(c, &e, 1);
    get(c, 1, "/members", &pg);
    expect_part(&pg, "{\"id\":2,\"url\":\"http://10.0.0.2:2380\","
                     "\"role\":\"voter\"}");
    expect_part(&pg, "{\"id\":3,\"url\":\"http://10.0.0.3:2380\","
                     "\"role\":\"leaving\"}");
    expect_part(&pg, "{\"id\":4,\"url\":null,\"role\":\"learner\"}");
    buf_release(&pg.body);
    sim_cluster_release(c);
}

static void test_version(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    struct page pg;

    (void)state;
    get(c, 1, "/version", &pg);
    assert_int_equal(pg.status, 200);
    expect_part(&pg, "\"raftexample\":\"" RAFTEXAMPLE_VERSION "\"");
    expect_part(&pg, "\"etcdserver\":\"3.4.23\"");
    expect_part(&pg, "\"etcdcluster\":\"");
    buf_release(&pg.body);
    sim_cluster_release(c);
}

/* --- /health --- */

static void expect_health(const struct sim_cluster *c, uint64_t id,
                          const char *reason)
{
    struct page pg;

    get(c, id, "/health", &pg);
    if (reason == NULL) {
        assert_int_equal(pg.status, 200);
        assert_string_equal(pg.text, "{\"health\":\"true\"}\n");
    } else {
        assert_int_equal(pg.status, 503);
        expect_part(&pg, "{\"health\":\"false\",\"reason\":\"");
        expect_part(&pg, reason);
    }
    buf_release(&pg.body);
}

static void test_health_needs_a_leader(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader;

    (void)state;
    expect_health(c, 1, "no leader is known");
    leader = sim_elect(c);
    for (uint64_t id = 1; id <= 3; id++) {
        expect_health(c, id, NULL);
    }
    /* Idle is healthy. */
    sim_run(c, 100);
    expect_health(c, leader, NULL);
    sim_isolate(c, leader, true);
    sim_run(c, 30);
    expect_health(c, leader, "no leader is known");
    sim_cluster_release(c);
}

/* The disk takes for ever: entries are known to be committed and do not get
 * applied. */
static void test_health_needs_progress(void **state)
{
    struct sim_cluster *c =
        begin(&(struct sim_options){.n = 3, .seed = 7, .late_writes = true});
    uint64_t leader = sim_elect(c);
    uint64_t id = follower_of(leader);
    struct raftnode *node = c->nodes[id].node;
    struct raftnode_status st;
    struct raft_message m = {.type = RAFT_MSG_APP, .to = id, .from = leader};

    (void)state;
    sim_settle(c);
    raftnode_get_status(node, &st);
    m.term = st.raft.hard_state.term;
    m.log_term = m.term;
    m.index = st.raft.last_index;
    m.commit = m.index + 1;
    raft_entries_take(&m.entries,
                      raft_entry_new(RAFT_ENTRY_NORMAL, (struct bytes){0}));
    m.entries.items[0]->term = m.term;
    m.entries.items[0]->index = m.index + 1;
    assert_int_equal(raftnode_step(node, &m), 0);
    raft_message_release(&m);
    raftnode_status_release(&st);
    raftnode_process(node); /* its write is on its way */
    for (unsigned i = 0; i < 20; i++) {
        raftnode_tick(node);
    }
    expect_health(c, id, NULL);
    raftnode_tick(node);
    raftnode_tick(node);
    expect_health(c, id, "the applied index does not move");
    /* And once it is written all is well again. */
    sim_settle(c);
    sim_run(c, 30);
    expect_health(c, id, NULL);
    sim_cluster_release(c);
}

static void test_health_of_a_node_that_stopped(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 3, .seed = 7});
    uint64_t leader = sim_elect(c);
    uint64_t gone = follower_of(leader);

    (void)state;
    assert_int_equal(sim_member_now(c, leader, REQUEST_REMOVE_MEMBER, gone), 0);
    sim_run(c, 5);
    expect_health(c, gone, "has been removed from the cluster");
    /* Whatever the reason quotes stays inside its string. */
    raftnode_fail(c->nodes[leader].node, RAFTNODE_FAILED, "open \"a\\b\"\n\t");
    expect_health(c, leader, "open \\\"a\\\\b\\\"\\u000a\\u0009");
    sim_cluster_release(c);
}

/* --- paths --- */

static void test_a_query_is_ignored(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    static const char *const paths[] = {"/health?", "/health?serializable=true",
                                        "/health?a?b"};

    (void)state;
    assert_int_equal(sim_elect(c), 1);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct page pg;

        get(c, 1, paths[i], &pg);
        assert_int_equal(pg.status, 200);
        assert_string_equal(pg.text, "{\"health\":\"true\"}\n");
        buf_release(&pg.body);
    }
    sim_cluster_release(c);
}

static void test_other_paths_are_not_found(void **state)
{
    struct sim_cluster *c = begin(&(struct sim_options){.n = 1, .seed = 1});
    static const char *const paths[] = {"",         "/",         "/healt",
                                        "/healthz", "/health/",  "/Health",
                                        "?/health", "//version", "/nothing"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct page pg;

        get(c, 1, paths[i], &pg);
        assert_int_equal(pg.status, 404);
        assert_string_equal(pg.type, "text/plain; charset=utf-8");
        assert_string_equal(pg.text, "404 page not found\n");
        buf_release(&pg.body);
    }
    sim_cluster_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_checker_itself),
        cmocka_unit_test(test_status_of_the_leader),
        cmocka_unit_test(test_status_of_a_follower),
        cmocka_unit_test(test_status_without_a_leader_and_with_requests),
        cmocka_unit_test(test_status_of_a_candidate),
        cmocka_unit_test(test_status_after_a_snapshot),
        cmocka_unit_test(test_members_with_urls_and_roles),
        cmocka_unit_test(test_member_that_is_leaving),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_health_needs_a_leader),
        cmocka_unit_test(test_health_needs_progress),
        cmocka_unit_test(test_health_of_a_node_that_stopped),
        cmocka_unit_test(test_a_query_is_ignored),
        cmocka_unit_test(test_other_paths_are_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
