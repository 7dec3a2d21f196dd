/* Goal: what once went wrong does not come back. Method: each file of
 * tests/sim/cases is a story of a cluster, command by command, played on whole
 * nodes (tests/lib/sim_cluster.h). Such a story is what the simulator's shrunk
 * choices come to: a file of choices means something only to the program that
 * made it, as one more message shifts all of them, while the story stays what
 * it is as the program changes. */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/kv/kvstore.h"
#include "src/raft/raft_internal.h"
#include "src/server/raftnode_internal.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/sim_cluster.h"

#define DIR_NAME  "tests/sim/cases"
#define CASES_MAX 64
#define WORDS_MAX 8
#define NAMES_MAX SIM_NODES_MAX
#define WAIT_MAX  500 /* rounds or ticks */

/* A node is a number, or, once there was an election, a letter: a is the
 * leader, b, c and so on are the others by number. Commands:
 *
 *   cluster N [seed=N] [snapshot=N] [catchup=N] [segment=N] [late]
 *   elect                     until all agree on a leader; gives the letters
 *   put NODE KEY VALUE        and wait for its answer, which must be good
 *   begin put NODE KEY VALUE  without waiting
 *   add ID at NODE, remove NODE at NODE, begin add ..., begin remove ...
 *   join ID                   start a new node as --join does
 *   answered                  rounds until what was begun last has its answer,
 *                             and no message more; it must be good
 *   round N, ticks N
 *   level NODE NODE           rounds until both logs end where what was begun
 * last made the first one end longer NODE NODE          the log of the first is
 * longer, and the end of the second's is committed there cut NODE, heal NODE
 * all of its links cut NODE NODE             what the first sends to the second
 *   stop NODE
 *   crash NODE drop|keep      the power fails: what was not synced is lost, or
 *                             kept
 *   kill NODE                 the process alone dies
 *   fail NODE                 the next sync of its disk
 *   lying NODE on|off         its disk says that a sync is done, and does
 * nothing start NODE refuses NODE TEXT         it does not start, and says this
 * among else state NODE running|removed|failed says NODE TEXT            the
 * last WARN or ERROR has it value NODE KEY VALUE      a linearizable read equal
 * all nodes that are up hold the same map */
struct player {
    struct sim_cluster c;
    uint64_t names[NAMES_MAX]; /* by letter; 0: none */
    struct sim_op *begun;      /* the last one */
    uint64_t last_before; /* the last index of any log, when it was begun */
    char *words[WORDS_MAX];
    size_t n_words;
    const char *path;
    unsigned line;
};

#define FAIL(p, ...)                                                           \
    do {                                                                       \
        print_error("%s:%u: ", (p)->path, (p)->line);                          \
        fail_msg(__VA_ARGS__);                                                 \
    } while (0)

static const char *word(struct player *p, size_t i)
{
    if (i >= p->n_words) {
        FAIL(p, "a word is missing");
    }
    return p->words[i];
}

static uint64_t number(struct player *p, const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);

    if (end == text || *end != '\0') {
        FAIL(p, "%s is no number", text);
    }
    return v;
}

static uint64_t node(struct player *p, size_t i)
{
    const char *text = word(p, i);
    uint64_t id = 0;

    if (text[0] >= 'a' && text[0] < 'a' + NAMES_MAX && text[1] == '\0') {
        id = p->names[text[0] - 'a'];
    } else {
        id = number(p, text);
    }
    if (id < 1 || id > SIM_NODES_MAX) {
        FAIL(p, "there is no node %s", text);
    }
    return id;
}

static struct sim_node *up(struct player *p, size_t i)
{
    struct sim_node *n = &p->c.nodes[node(p, i)];

    if (n->node == NULL) {
        FAIL(p, "node %s is down", word(p, i));
    }
    return n;
}

/* --- commands --- */

static void do_cluster(struct player *p)
{
    struct sim_options o = {.n = (size_t)number(p, word(p, 1)), .seed = 1};

    for (size_t i = 2; i < p->n_words; i++) {
        char *value = strchr(p->words[i], '=');

        if (strcmp(p->words[i], "late") == 0) {
            o.late_writes = true;
            continue;
        }
        if (value == NULL) {
            FAIL(p, "no option: %s", p->words[i]);
        }
        *value++ = '\0';
        if (strcmp(p->words[i], "seed") == 0) {
            o.seed = number(p, value);
        } else if (strcmp(p->words[i], "snapshot") == 0) {
            o.snapshot_count = number(p, value);
        } else if (strcmp(p->words[i], "catchup") == 0) {
            o.catchup_entries = number(p, value);
        } else if (strcmp(p->words[i], "segment") == 0) {
            o.segment_bytes = number(p, value);
        } else {
            FAIL(p, "no option: %s", p->words[i]);
        }
    }
    sim_cluster_init(&p->c, &o);
    sim_start_all(&p->c);
}

static void do_elect(struct player *p)
{
    uint64_t leader = sim_elect(&p->c);
    size_t n = 1;

    if (leader == 0) {
        FAIL(p, "there is no leader");
    }
    memset(p->names, 0, sizeof(p->names));
    p->names[0] = leader;
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        if (p->c.nodes[id].node != NULL && id != leader) {
            p->names[n++] = id;
        }
    }
}

static void forget_begun(struct player *p)
{
    if (p->begun != NULL) {
        sim_op_free(&p->c, p->begun);
        p->begun = NULL;
    }
}

/* The operation in words[i..], begun. */
static struct sim_op *begin(struct player *p, size_t i)
{
    const char *what = word(p, i);
    uint64_t member;

    if (strcmp(what, "put") == 0) {
        uint64_t at = up(p, i + 1)->id;
        const char *key = word(p, i + 2);

        return sim_put(&p->c, at, key, word(p, i + 3));
    }
    member = node(p, i + 1);
    if (strcmp(word(p, i + 2), "at") != 0) {
        FAIL(p, "at which node?");
    }
    if (strcmp(what, "add") == 0) {
        return sim_member(&p->c, up(p, i + 3)->id, REQUEST_ADD_MEMBER, member,
                          p->c.nodes[member].url);
    }
    if (strcmp(what, "remove") != 0) {
        FAIL(p, "%s is no operation", what);
    }
    return sim_member(&p->c, up(p, i + 3)->id, REQUEST_REMOVE_MEMBER, member,
                      NULL);
}

static const struct raft *raft_of(struct player *p, size_t i)
{
    return &up(p, i)->node->raw->raft;
}

static void do_begin(struct player *p)
{
    forget_begun(p);
    p->last_before = 0;
    for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
        const struct raftnode *rn = p->c.nodes[id].node;

        if (rn != NULL) {
            p->last_before = max_u64(p->last_before,
                                     raft_log_last_index(&rn->raw->raft.log));
        }
    }
    p->begun = begin(p, 1);
}

static void check_answer(struct player *p)
{
    if (!p->begun->done) {
        FAIL(p, "no answer");
    }
    if (p->begun->rc != 0) {
        FAIL(p, "the answer is: %s", err_str(p->begun->rc));
    }
    forget_begun(p);
}

static void do_operation(struct player *p)
{
    forget_begun(p);
    p->begun = begin(p, 0);
    sim_settle(&p->c);
    for (int i = 0; i < WAIT_MAX && !p->begun->done; i++) {
        sim_run(&p->c, 1);
    }
    check_answer(p);
}

static void do_answered(struct player *p)
{
    if (p->begun == NULL) {
        FAIL(p, "nothing was begun");
    }
    for (int i = 0; i < WAIT_MAX && !p->begun->done; i++) {
        for (uint64_t id = 1; id <= SIM_NODES_MAX; id++) {
            if (p->c.nodes[id].node != NULL) {
                raftnode_process(p->c.nodes[id].node);
            }
        }
        if (!p->begun->done) {
            (void)sim_round(&p->c);
        }
    }
    check_answer(p);
}

static void do_join(struct player *p)
{
    struct errmsg em = {{0}};

    if (sim_start(&p->c, node(p, 1), true, &em) < 0) {
        FAIL(p, "%s", em.text);
    }
}

static void do_start(struct player *p)
{
    struct errmsg em = {{0}};

    if (sim_start(&p->c, node(p, 1), false, &em) < 0) {
        FAIL(p, "%s", em.text);
    }
}

static void do_round(struct player *p)
{
    for (uint64_t n = number(p, word(p, 1)); n > 0; n--) {
        (void)sim_round(&p->c);
    }
}

static void do_level(struct player *p)
{
    const struct raft_log *a = &raft_of(p, 1)->log;
    const struct raft_log *b = &raft_of(p, 2)->log;

    for (int i = 0; i < WAIT_MAX; i++) {
        if (raft_log_last_index(a) > p->last_before &&
            raft_log_last_index(a) == raft_log_last_index(b)) {
            return;
        }
        (void)sim_round(&p->c);
    }
    FAIL(p, "one log is behind");
}

static void do_ticks(struct player *p)
{
    sim_run(&p->c, (unsigned)number(p, word(p, 1)));
}

static void do_cut(struct player *p)
{
    if (p->n_words > 2) {
        p->c.cut[node(p, 1)][node(p, 2)] = true;
    } else {
        sim_isolate(&p->c, node(p, 1), true);
    }
}

static void do_heal(struct player *p)
{
    sim_isolate(&p->c, node(p, 1), false);
}

static void do_stop(struct player *p)
{
    sim_stop(&p->c, up(p, 1)->id);
}

static void do_crash(struct player *p)
{
    bool keep = strcmp(word(p, 2), "keep") == 0;

    sim_crash(&p->c, up(p, 1)->id, keep ? SIM_CRASH_KEEP : SIM_CRASH_DROP);
}

static void do_kill(struct player *p)
{
    struct sim_node *n = up(p, 1);

    forget_begun(p);
    sim_vfs_kill(n->disk);
    sim_node_close(n);
}

static void do_fail(struct player *p)
{
    sim_vfs_fail(p->c.nodes[node(p, 1)].disk,
                 (struct sim_fault){.ops = SIM_CALL_SYNC, .rc = -EIO});
}

static void do_lying(struct player *p)
{
    sim_vfs_set_lying(p->c.nodes[node(p, 1)].disk,
                      strcmp(word(p, 2), "on") == 0);
}

/* --- expectations --- */

/* The words from `i` on are what `text` has in it. */
static void must_say(struct player *p, size_t i, const char *text)
{
    for (; i < p->n_words; i++) {
        if (strstr(text, p->words[i]) == NULL) {
            FAIL(p, "\"%s\" does not say \"%s\"", text, p->words[i]);
        }
    }
}

static void do_refuses(struct player *p)
{
    struct errmsg em = {{0}};

    if (sim_start(&p->c, node(p, 1), false, &em) == 0) {
        FAIL(p, "it starts");
    }
    must_say(p, 2, em.text);
}

static void do_state(struct player *p)
{
    static const char *const texts[] = {
        [RAFTNODE_RUNNING] = "running",
        [RAFTNODE_REMOVED] = "removed",
        [RAFTNODE_FAILED] = "failed",
    };
    const char *why = NULL;
    enum raftnode_condition is = raftnode_condition(up(p, 1)->node, &why);

    if (strcmp(texts[is], word(p, 2)) != 0) {
        FAIL(p, "node %s is %s", word(p, 1), texts[is]);
    }
    must_say(p, 3, why == NULL ? "" : why);
}

static void do_longer(struct player *p)
{
    const struct raft_log *a = &raft_of(p, 1)->log;
    uint64_t last = raft_log_last_index(&raft_of(p, 2)->log);

    if (raft_log_last_index(a) <= last) {
        FAIL(p, "it is not longer");
    }
    if (a->committed < last) {
        FAIL(p, "entry %" PRIu64 " is not committed", last);
    }
}

static void do_says(struct player *p)
{
    must_say(p, 2, p->c.nodes[node(p, 1)].last_error);
}

static void do_value(struct player *p)
{
    sim_expect(&p->c, up(p, 1)->id, word(p, 2), word(p, 3));
}

static void do_equal(struct player *p)
{
    sim_expect_equal_maps(&p->c);
}

static const struct {
    const char *name;
    void (*run)(struct player *p);
} COMMANDS[] = {
    {"cluster", do_cluster}, {"elect", do_elect},
    {"put", do_operation},   {"add", do_operation},
    {"begin", do_begin},     {"remove", do_operation},
    {"join", do_join},       {"answered", do_answered},
    {"round", do_round},     {"ticks", do_ticks},
    {"cut", do_cut},         {"heal", do_heal},
    {"stop", do_stop},       {"crash", do_crash},
    {"kill", do_kill},       {"level", do_level},
    {"longer", do_longer},   {"fail", do_fail},
    {"lying", do_lying},     {"start", do_start},
    {"refuses", do_refuses}, {"state", do_state},
    {"says", do_says},       {"value", do_value},
    {"equal", do_equal},
};

/* --- files --- */

/* Words end at blanks; in quotes, blanks are part of one. */
static void split(struct player *p, char *line)
{
    p->n_words = 0;
    for (;;) {
        line += strspn(line, " \t\n");
        if (*line == '\0' || *line == '#') {
            return;
        }
        char quote = *line == '"' ? *line++ : '\0';
        char *end = line + strcspn(line, quote != '\0' ? "\"" : " \t\n");

        if (p->n_words == WORDS_MAX) {
            FAIL(p, "too many words");
        }
        p->words[p->n_words++] = line;
        if (*end == '\0') {
            return;
        }
        *end = '\0';
        line = end + 1;
    }
}

static void run_line(struct player *p, char *line)
{
    size_t i = 0;

    split(p, line);
    if (p->n_words == 0) {
        return;
    }
    while (i < ARRAY_LEN(COMMANDS) &&
           strcmp(COMMANDS[i].name, p->words[0]) != 0) {
        i++;
    }
    if (i == ARRAY_LEN(COMMANDS)) {
        FAIL(p, "there is no command %s", p->words[0]);
    }
    COMMANDS[i].run(p);
}

static void test_case(void **state)
{
    static struct player p;
    char line[256];
    FILE *f;

    p = (struct player){.path = *state};
    f = fopen(p.path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        p.line++;
        run_line(&p, line);
    }
    (void)fclose(f);
    forget_begun(&p);
    sim_cluster_release(&p.c);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The paths, sorted; how many. */
static size_t find_cases(char *paths[CASES_MAX])
{
    DIR *dir = opendir(DIR_NAME);
    struct dirent *e;
    size_t n = 0;

    if (dir == NULL) {
        return 0;
    }
    while ((e = readdir(dir)) != NULL) {
        if (strstr(e->d_name, ".txt") != NULL) {
            ASSERT(n < CASES_MAX);
            paths[n++] = xasprintf(DIR_NAME "/%s", e->d_name);
        }
    }
    (void)closedir(dir);
    qsort(paths, n, sizeof(paths[0]), by_name);
    return n;
}

int main(void)
{
    char *paths[CASES_MAX];
    struct CMUnitTest tests[CASES_MAX] = {0};
    size_t n = find_cases(paths);
    int rc;

    ASSERT(n > 0);
    for (size_t i = 0; i < n; i++) {
        tests[i] = (struct CMUnitTest){
            .name = strrchr(paths[i], '/') + 1,
            .test_func = test_case,
            .initial_state = paths[i],
        };
    }
    rc = _cmocka_run_group_tests("cases", tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        xfree(paths[i]);
    }
    return rc;
}
