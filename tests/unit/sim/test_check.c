/* Goal: each of these checkers of the simulator sees the violation that it is
 * for. Method: a small cluster that works, in virtual time; then the checker is
 * told, or finds in the node, what a wrong node would say or do. */

#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/lib/cmocka.h"
#include "tests/sim/check_internal.h"
#include "tests/sim/world.h"

struct fixture {
    struct sim sim;
    const char *expected; /* the invariant; NULL: none */
};

/* How a child ends that does something wrong. */
#define SEEN   0
#define UNSEEN 1
#define OTHER  2

static void note_violation(void *ctx, const char *invariant, const char *text)
{
    const struct fixture *f = ctx;

    print_message("  %s: %s\n", invariant, text);
    _exit(f->expected != NULL && strcmp(invariant, f->expected) == 0 ? SEEN
                                                                     : OTHER);
}

/* Three nodes with a leader, snapshots and writes, run for ten seconds. */
static struct fixture *begin(void)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct sim *s = &f->sim;

    choices_seed(&s->choices, 1);
    sim_init(s, note_violation, f, NULL);
    s->swarm = (struct swarm){
        .n_founders = 3,
        .delay_min_us = 1000,
        .disk_us = 1000,
        .snapshot_count = 20,
        .catchup_entries = 5,
        .segment_bytes = 4096,
        .n_clients = 2,
        .n_keys = 3,
        .think_us = 50000,
    };
    clients_init(s);
    for (uint64_t id = 1; id <= 3; id++) {
        machine_start(s, &s->machines[id]);
    }
    while (s->now < 10 * SIM_S) {
        sim_step(s);
    }
    return f;
}

static void end(struct fixture *f)
{
    sim_release(&f->sim);
    xfree(f);
}

static struct sim_node *leader(struct fixture *f)
{
    return &sim_leader(&f->sim)->n;
}

static struct sim_node *follower(struct fixture *f)
{
    return &f->sim.machines[leader(f)->id % 3 + 1].n;
}

/* What one wrong thing does, and what is to be said of it. */
struct wrong {
    const char *name;
    const char *invariant;
    void (*do_it)(struct fixture *f);
};

static void commit_beyond_append(struct fixture *f)
{
    struct sim_node *n = follower(f);
    struct raft *r = &n->node->raw->raft;
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .index = r->log.committed - 1,
                             .commit = r->log.committed + 1};

    r->log.committed++;
    checker_heard(f->sim.checker, n, &m);
}

static void commit_beyond_heartbeat(struct fixture *f)
{
    struct sim_node *n = follower(f);
    struct raft *r = &n->node->raw->raft;
    struct raft_message m = {.type = RAFT_MSG_HEARTBEAT,
                             .commit = r->log.committed};

    r->log.committed++;
    checker_heard(f->sim.checker, n, &m);
}

static void commit_by_a_vote(struct fixture *f)
{
    struct sim_node *n = follower(f);
    struct raft_message m = {.type = RAFT_MSG_VOTE, .commit = UINT64_MAX};

    n->node->raw->raft.log.committed++;
    checker_heard(f->sim.checker, n, &m);
}

static const struct raftnode_write nothing = {.must_sync = true};

static void begin_two_writes(struct fixture *f)
{
    checker_submit(f->sim.checker, follower(f), &nothing);
    checker_submit(f->sim.checker, follower(f), &nothing);
}

static void promise_before_it_is_written(struct fixture *f)
{
    const struct raft *r = &follower(f)->node->raw->raft;
    struct raft_message m = {.type = RAFT_MSG_APP_RESP,
                             .to = leader(f)->id,
                             .term = r->term,
                             .index = raft_log_last_index(&r->log) + 1};

    checker_submit(f->sim.checker, follower(f), &nothing);
    checker_send(f->sim.checker, follower(f), &m);
}

static void too_many_parked(struct fixture *f)
{
    leader(f)->node->n_parked = PARKED_CONF_CHANGES_MAX + 1;
    checker_look(f->sim.checker, leader(f));
}

static void too_many_in_flight(struct fixture *f)
{
    struct raft *r = &leader(f)->node->raw->raft;
    struct inflights *in =
        &tracker_progress(&r->trk, follower(f)->id)->inflights;

    in->count = in->size + 1;
    checker_look(f->sim.checker, leader(f));
}

static void too_much_in_one_message(struct fixture *f)
{
    struct raft_entry *e = raft_entry_alloc(RAFT_ENTRY_NORMAL, 600);
    struct raft_entry *both[] = {e, e};
    struct raft_message m = {
        .type = RAFT_MSG_APP, .to = 1, .entries = {.items = both, .len = 2}};

    leader(f)->node->raw->raft.max_msg_size = 1000;
    checker_send(f->sim.checker, leader(f), &m);
}

static void leave_a_file_open(struct fixture *f)
{
    struct sim_node *n = follower(f);
    struct vfs_file *file;
    int rc;

    machine_stop(&f->sim, &f->sim.machines[n->id]);
    rc = vfs_open(sim_vfs_base(n->disk), "left", VFS_WRITE | VFS_CREATE, &file);
    assert_int_equal(rc, 0);
    checker_closed(f->sim.checker, n);
}

static void compact_beyond_the_snapshot(struct fixture *f)
{
    struct sim_node *n = leader(f);
    struct memory_storage *log = &n->node->log;

    while (memory_storage_last_index(log) == n->node->snapshot_index) {
        sim_step(&f->sim);
    }
    assert_int_equal(
        memory_storage_compact(log, memory_storage_last_index(log)), 0);
    checker_look(f->sim.checker, n);
}

static void compact_without_a_file(struct fixture *f)
{
    struct sim_node *n = leader(f);
    uint64_t was = n->node->snapshot_index;
    struct vfs_names names;

    /* Up to the next compaction; then its files go. */
    while (n->node->snapshot_index == was) {
        sim_step(&f->sim);
    }
    sim_vfs_names(n->disk, "snap", &names);
    for (size_t i = 0; i < names.n; i++) {
        char *path = vfs_join("snap", names.names[i]);

        sim_vfs_remove(n->disk, path);
        xfree(path);
    }
    vfs_names_release(&names);
    /* Not every disk is tried. */
    f->sim.checker->nodes[n->id].compacted = 0;
    f->sim.checker->nodes[n->id].n_tried = 0;
    checker_compacted(f->sim.checker, n);
}

static void campaign_as_a_learner(struct fixture *f)
{
    struct sim_node *n = follower(f);
    struct raft_message m = {.type = RAFT_MSG_PRE_VOTE, .to = 1};

    id_set_remove(&n->node->raw->raft.trk.config.voters.incoming, n->id);
    checker_send(f->sim.checker, n, &m);
}

static const struct wrong wrongs[] = {
    {"a commit beyond what an append proved", "I11", commit_beyond_append},
    {"a commit beyond a heartbeat's", "I11", commit_beyond_heartbeat},
    {"a commit by a message that says nothing", "I11", commit_by_a_vote},
    {"campaign of a learner", "I14", campaign_as_a_learner},
    {"a promise before the sync", "I17", promise_before_it_is_written},
    {"two writes at once", "I18", begin_two_writes},
    {"membership changes parked", "I26", too_many_parked},
    {"messages in flight", "I26", too_many_in_flight},
    {"bytes of a message", "I26", too_much_in_one_message},
    {"a file left open", "I26", leave_a_file_open},
    {"compaction without snapshot", "I27", compact_beyond_the_snapshot},
    {"compaction without file", "I27", compact_without_a_file},
};

/* In a process of its own: what was made wrong is not cleaned up. */
static int seen_by_checkers(const struct wrong *w)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct fixture *f = begin();

        f->expected = w->invariant;
        w->do_it(f);
        _exit(UNSEEN);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_checkers_see_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
        print_message("%s\n", wrongs[i].name);
        assert_int_equal(seen_by_checkers(&wrongs[i]), SEEN);
    }
}

static void test_checkers_are_silent(void **state)
{
    struct fixture *f = begin();

    (void)state;
    assert_true(leader(f)->node->snapshot_index > 0);
    for (uint64_t id = 1; id <= 3; id++) {
        checker_look(f->sim.checker, &f->sim.machines[id].n);
    }
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkers_see_it),
        cmocka_unit_test(test_checkers_are_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
