/* A cluster in virtual time: machines, a network, and the events between them.
 *
 * world.c owns the machines and moves time from event to event; clients.c is
 * those who ask, members.c those who change the members, faults.c what goes
 * wrong, damage.c what goes wrong with bits at rest, run.c the two phases of a
 * run. All state is in one struct sim: nothing outlives a run.
 *
 * Time is in microseconds of the simulated world. A node's tick is 100 ms by
 * its own clock, as the daemon's is. */

#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "tests/lib/linear.h"
#include "tests/lib/sim_node.h"
#include "tests/sim/check.h"
#include "tests/sim/choice.h"
#include "tests/sim/trace.h"

#define SIM_MS             UINT64_C(1000)
#define SIM_S              (1000 * SIM_MS)
#define SIM_TICK           (100 * SIM_MS)
#define SIM_CLIENTS_MAX    8
#define SIM_ELECTION_TICKS 10

/* What may go wrong in this run, and how often; drawn once. */
struct swarm {
    uint32_t n_founders;
    uint32_t loss_percent;
    uint32_t duplicate_percent;
    uint32_t delay_min_us;
    uint32_t delay_mean_us;
    uint32_t late_percent;  /* of messages that take seconds */
    uint32_t disk_us;       /* a write takes up to this */
    uint32_t file_us;       /* and a snapshot's file */
    uint32_t fault_mean_us; /* between two faults */
    bool crashes;
    uint32_t
        torn_percent; /* of crashes that leave a part of what was unsynced */
    bool cuts;
    bool one_way_cuts;
    bool clogs; /* links that are stopped up for a while */
    bool pauses;
    bool failing_syncs;
    bool full_disks;
    bool damage; /* bits at rest change */
    bool member_changes;
    bool learners;              /* members come, go, rise and fall as such */
    uint32_t founding_learners; /* founders that are made so at once */
    bool transfers;
    bool reports; /* the sender hears of a lost message */
    bool clock_rates;
    uint32_t snapshot_count;
    uint32_t catchup_entries;
    uint32_t segment_bytes;
    uint32_t message_bytes; /* entries of one message; 0: as the daemon */
    uint32_t inflight_max;  /* unanswered messages to a member; 0: the same */
    uint32_t uncommitted_bytes; /* that a leader takes; 0: the same */
    uint32_t n_clients;
    uint32_t async_percent; /* of writes that wait for nothing */
    bool bursts;            /* of those writes */
    uint32_t local_percent; /* of reads that ask nobody else */
    uint32_t n_keys;
    uint32_t value_bytes_max;
    bool empty_values; /* too */
    uint32_t think_us; /* of a client, between two calls */
};

enum event_kind {
    EVENT_TICK,
    EVENT_TURN,
    EVENT_WRITE, /* the disk does what the node asked for */
    EVENT_FILE,  /* the same in its other lane */
    EVENT_DELIVER,
    EVENT_CLIENT,
    EVENT_FAULT,
    EVENT_RESTART,
    EVENT_HEAL_CUTS,
    EVENT_HEAL_DISK,
    EVENT_REPLACE, /* the operator deals with a damaged member */
};

struct packet {
    uint64_t from;
    uint64_t to;
    uint64_t type; /* enum raft_message_type */
    size_t len;
    uint8_t data[];
};

struct event {
    uint64_t time;
    uint64_t seq; /* among those of one time: the order they were made in */
    enum event_kind kind;
    uint32_t who;          /* node or client */
    uint64_t life;         /* of the node; in another one the event is void */
    struct packet *packet; /* EVENT_DELIVER; owned */
};

struct machine {
    struct sim_node n;
    uint64_t life;    /* counts starts and ends */
    uint64_t tick_us; /* its own clock's idea of a tick */
    uint64_t paused_until;
    bool has_turn;      /* an EVENT_TURN is on its way */
    bool is_used;       /* was started once, or will be soon */
    bool joins;         /* --join */
    bool left;          /* was removed, and has seen it */
    bool is_used_again; /* a voter once more after that */
    bool disk_faulty;   /* a failure of this disk is to be expected */
    bool is_member;     /* of the last configuration in force anywhere */
    bool is_voter;
    bool is_damaged;      /* bits of its files have changed */
    bool is_gone;         /* fails for good */
    uint64_t replaced_by; /* the id that the operator chose; 0: none yet */
};

struct client;

struct sim {
    struct choices choices;
    struct trace trace;
    struct swarm swarm;
    struct checker *checker;
    struct linear *history;
    struct machine machines[SIM_NODES_MAX + 1]; /* by id */
    struct client *clients;
    bool cut[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1]; /* from, to */
    uint32_t favourite; /* a node that is cut off, and asked more often */
    uint64_t clogged_until[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];
    struct event *heap;
    size_t n_events;
    size_t events_cap;
    uint64_t next_seq;
    uint64_t now;
    uint64_t steps;
    uint64_t starts;        /* of any node: no two lives share request ids */
    uint64_t members_as_of; /* the index of that configuration */
    uint64_t next_value;
    uint64_t n_value_bytes; /* in all values so far */
    bool is_id_used_again;  /* and it stands still for that (run.c) */
    bool is_calm;           /* the second phase: no more faults */
    struct rng crash_rng;   /* seeded for each crash, by a choice */

    /* For the summary. */
    uint64_t n_puts;
    uint64_t n_gets;
    uint64_t n_local_gets;
    uint64_t n_crashes;
    uint64_t n_faults;
    uint64_t n_snapshots; /* that arrived from a leader */
    uint64_t n_damaged;   /* disks whose bits changed */
    uint64_t n_refused;   /* and whose nodes then did not start */
};

/* --- world.c --- */

/* *s is all zero but for its choices. `trace` gets every line; NULL: none. */
void sim_init(struct sim *s, checker_violation_cb *on_violation, void *ctx,
              FILE *trace);
void sim_release(struct sim *s);

/* The next event. */
void sim_step(struct sim *s);

/* Do s->heap[at], whatever its time is. From then on the order in time is lost:
 * no sim_step after this. */
void sim_do(struct sim *s, size_t at);

/* Whether it was meant for an earlier life of its node. */
bool sim_event_is_void(const struct sim *s, const struct event *e);

/* s->heap[at] will not happen. */
void sim_forget(struct sim *s, size_t at);

void sim_schedule(struct sim *s, enum event_kind kind, uint32_t who,
                  uint64_t delay_us);
void sim_trace(struct sim *s, enum trace_kind kind, uint32_t a, uint32_t b,
               const char *what, uint64_t x, uint64_t y);

static inline bool machine_is_up(const struct machine *m)
{
    return m->n.node != NULL;
}

/* Start the node if its disk lets it; else try again later. */
void machine_start(struct sim *s, struct machine *m);

enum crash_rule {
    CRASH_KILL,    /* the process alone: the page cache stays */
    CRASH_DROP,    /* power: all that is not synced is gone */
    CRASH_KEEP,    /* power: all of it had arrived */
    CRASH_TORN,    /* power: a part of it from the start */
    CRASH_SECTORS, /* power: any sectors, any names */
    CRASH_RULES,
};
void machine_crash(struct sim *s, struct machine *m, enum crash_rule rule);

/* SIGTERM: requests are ended, the log is closed with its marker. */
void machine_stop(struct sim *s, struct machine *m);

/* The node was given something to do: a loop turn follows. */
void machine_wake(struct sim *s, struct machine *m);

/* --- clients.c --- */

void clients_init(struct sim *s);
void clients_release(struct sim *s);
void client_act(struct sim *s, uint32_t client);

/* A client without a request under way asks this node for a write, or a read,
 * of the one key of small scopes. */
void client_ask(struct sim *s, uint32_t client, struct machine *m, bool write);

/* How it stands, and how the last one ended. */
struct client_state {
    const struct request *req; /* under way; else NULL */
    uint32_t node;             /* that was asked last */
    int rc;                    /* the answer; SIM_UNANSWERED */
    uint64_t value;            /* written or read */
};
#define SIM_UNANSWERED 1
struct client_state client_state(const struct sim *s, uint32_t client);

/* The node of this machine dies: what its clients wait for has an unknown
 * outcome. */
void clients_forget(struct sim *s, const struct machine *m);

/* Ask at this node for a change of members. */
void operator_add(struct sim *s, struct machine *at, uint64_t id);
void operator_remove(struct sim *s, struct machine *at, uint64_t id);

/* At the end: one more write, unless it is under way; and whether it is in
 * every map. */
void clients_begin_last_write(struct sim *s);
bool clients_last_write_done(const struct sim *s);

/* --- faults.c --- */

void faults_draw(struct sim *s);
void fault_strike(struct sim *s);

/* For the trace and the summary: something goes wrong. */
void fault_note(struct sim *s, const struct machine *m, const char *what,
                uint64_t x);

/* The leader of the highest term, or NULL. */
struct machine *sim_leader(struct sim *s);

/* A member that was removed has just left: if the others forget now that it
 * was, nobody can tell them any more. */
void fault_at_leaving(struct sim *s);
void faults_heal_cuts(struct sim *s);
void faults_heal_disk(struct sim *s, struct machine *m);

/* No more faults: a majority of the members works from now on, the others are
 * gone for good. */
void faults_end(struct sim *s);

/* --- members.c --- */

/* The node may have applied more than any other before. */
void members_look(struct sim *s, const struct machine *m);

/* Whether `id` is one, or one that votes, in the last configuration that any
 * node has applied. */
bool sim_is_member(const struct sim *s, uint64_t id);
bool sim_is_voter(const struct sim *s, uint64_t id);

/* How many voters the others can do without, also when every change that is
 * under way makes them one fewer. */
size_t members_spare(const struct sim *s);

/* An operator at `m` adds or removes a member, a voter or a learner. */
void members_change(struct sim *s, struct machine *m);
void members_change_learner(struct sim *s, struct machine *m);

/* A founder that is to be a learner and is none yet is made one. */
void members_found_learners(struct sim *s);

/* --- damage.c --- */

/* Change bits of a machine that is down, if the cluster can bear it. */
void damage_strike(struct sim *s, struct machine *m);

/* Its node refused to start; `wal_before` is the hash of its log before. */
void damage_refused(struct sim *s, struct machine *m, uint32_t wal_before);
void damage_replace(struct sim *s, struct machine *m);

/* --- run.c --- */

/* One run: `steps` with faults, then until all is well; then the history is
 * judged. */
void sim_run_all(struct sim *s, uint64_t steps);

#endif /* TESTS_SIM_WORLD_H */
