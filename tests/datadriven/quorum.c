/* Scripts about committed indexes and votes of quorums: raft-tests.md 7. Each
 * case stands alone.
 *
 * Besides the result, cross-checks are made that must not change it; one that
 * does prints a line of its own.
 *
 * Counterpart: etcd-io/raft quorum/datadriven_test.go. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/raft/quorum.h"
#include "tests/datadriven/runner.h"

/* What the script says about one voter. */
struct voter {
    uint64_t id;
    bool known;
    uint64_t value; /* an index, or enum vote */
};

struct env {
    struct joint_config c;
    bool joint;
    struct voter *voters; /* of cfg, then those of cfgj that are new */
    size_t n;
};

static bool acked(const void *ctx, uint64_t id, uint64_t *index)
{
    const struct env *env = ctx;

    for (size_t i = 0; i < env->n; i++) {
        if (env->voters[i].id == id && env->voters[i].known) {
            *index = env->voters[i].value;
            return true;
        }
    }
    return false;
}

static enum vote vote_of(const void *ctx, uint64_t id)
{
    uint64_t v;

    return acked(ctx, id, &v) ? (enum vote)v : VOTE_MISSING;
}

/* --- arguments --- */

static void add_voter(struct env *env, uint64_t id)
{
    for (size_t i = 0; i < env->n; i++) {
        if (env->voters[i].id == id) {
            return;
        }
    }
    env->voters = xrealloc_array(env->voters, env->n + 1, sizeof *env->voters);
    env->voters[env->n++] = (struct voter){.id = id};
}

static void parse_config(struct env *env, const struct script_arg *arg,
                         struct id_list *set)
{
    for (size_t i = 0; arg != NULL && i < arg->n_vals; i++) {
        uint64_t id;

        if (strcmp(arg->vals[i], "zero") == 0) {
            if (arg->n_vals != 1) {
                runner_fail("zero stands alone");
            }
            return;
        }
        if (!script_parse_u64(arg->vals[i], &id) || id == 0) {
            runner_fail("%s: bad id", arg->vals[i]);
        }
        id_set_add(set, id);
        add_voter(env, id);
    }
}

static uint64_t parse_value(const char *s, bool votes)
{
    uint64_t v = 0;

    if (votes) {
        if (strcmp(s, "y") != 0 && strcmp(s, "n") != 0) {
            runner_fail("%s: a vote is y, n or _", s);
        }
        return *s == 'y' ? VOTE_YES : VOTE_NO;
    }
    if (!script_parse_u64(s, &v) || v == 0) {
        runner_fail("%s: an index is a number above 0, or _", s);
    }
    return v;
}

/* The values belong to the voters in their order [QD-1]. False if there are
 * more or less of them. */
static bool parse_values(struct env *env, const struct script_arg *arg,
                         bool votes)
{
    size_t n = arg == NULL ? 0 : arg->n_vals;

    if (n != env->n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        env->voters[i].known = strcmp(arg->vals[i], "_") != 0;
        if (env->voters[i].known) {
            env->voters[i].value = parse_value(arg->vals[i], votes);
        }
    }
    return true;
}

/* --- committed --- */

static void cross_check(uint64_t got, uint64_t want, const char *how,
                        struct buf *out)
{
    if (got != want) {
        quorum_index_string(got, out);
        buf_printf(out, " <-- via %s\n", how);
    }
}

/* By trying every index that a voter has, and counting who has reached it. */
static uint64_t committed_by_counting(const struct env *env)
{
    uint64_t best = 0;

    if (env->n == 0) {
        return QUORUM_INDEX_MAX;
    }
    for (size_t i = 0; i < env->n; i++) {
        size_t reached = 0;

        for (size_t k = 0; k < env->n; k++) {
            reached += env->voters[k].value >= env->voters[i].value ? 1 : 0;
        }
        if (reached > env->n / 2) {
            best = max_u64(best, env->voters[i].value);
        }
    }
    return best;
}

/* Who is below the committed index does not matter: to fall back further
 * changes nothing. */
static void check_overlays(struct env *env, uint64_t index, struct buf *out)
{
    for (size_t i = 0; i < env->n; i++) {
        uint64_t was = env->voters[i].value;
        uint64_t lower[2] = {was - 1, 0};

        if (was == 0 || was >= index) {
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(lower); k++) {
            uint64_t got;

            env->voters[i].value = lower[k];
            got = quorum_majority_committed_index(&env->c.incoming, env, acked);
            env->voters[i].value = was;
            if (got != index) {
                quorum_index_string(got, out);
                buf_printf(out, " <-- overlaying %" PRIu64 "->%" PRIu64 "\n",
                           env->voters[i].id, lower[k]);
            }
        }
    }
}

static void committed_majority(struct env *env, struct buf *out)
{
    struct joint_config self = {env->c.incoming, env->c.incoming};
    uint64_t index =
        quorum_majority_committed_index(&env->c.incoming, env, acked);

    quorum_majority_describe(&env->c.incoming, env, acked, out);
    cross_check(committed_by_counting(env), index, "alternative computation",
                out);
    cross_check(quorum_joint_committed_index(&env->c, env, acked), index,
                "zero-joint quorum", out);
    cross_check(quorum_joint_committed_index(&self, env, acked), index,
                "self-joint quorum", out);
    check_overlays(env, index, out);
    quorum_index_string(index, out);
    buf_append_byte(out, '\n');
}

static struct joint_config swapped(const struct env *env)
{
    return (struct joint_config){env->c.outgoing, env->c.incoming};
}

static void committed_joint(struct env *env, struct buf *out)
{
    struct joint_config other = swapped(env);
    uint64_t index = quorum_joint_committed_index(&env->c, env, acked);

    quorum_joint_describe(&env->c, env, acked, out);
    cross_check(quorum_joint_committed_index(&other, env, acked), index,
                "symmetry", out);
    quorum_index_string(index, out);
    buf_append_byte(out, '\n');
}

/* --- vote --- */

static void vote(struct env *env, struct buf *out)
{
    struct joint_config other = swapped(env);
    enum vote_result r;

    if (!env->joint) {
        r = quorum_majority_vote_result(&env->c.incoming, env, vote_of);
        buf_printf(out, "%s\n", vote_result_name(r));
        return;
    }
    r = quorum_joint_vote_result(&env->c, env, vote_of);
    if (quorum_joint_vote_result(&other, env, vote_of) != r) {
        buf_printf(
            out, "%s <-- via symmetry\n",
            vote_result_name(quorum_joint_vote_result(&other, env, vote_of)));
    }
    buf_printf(out, "%s\n", vote_result_name(r));
}

/* --- the runner --- */

static void *open_env(void)
{
    return xcalloc(1, sizeof(struct env));
}

static void reset(struct env *env)
{
    id_set_release(&env->c.incoming);
    id_set_release(&env->c.outgoing);
    xfree(env->voters);
    *env = (struct env){0};
}

static void close_env(void *ctx)
{
    reset(ctx);
    xfree(ctx);
}

static void mismatch(const struct env *env, struct buf *out)
{
    buf_append_str(out, "error: mismatched input (explicit or _) for voters ");
    quorum_joint_string(&env->c, out);
    buf_append_byte(out, '\n');
}

static void run(void *ctx, const struct script_case *c, struct buf *out)
{
    struct env *env = ctx;
    bool votes = strcmp(c->cmd, "vote") == 0;

    reset(env);
    if (!votes && strcmp(c->cmd, "committed") != 0) {
        runner_fail("unknown command %s", c->cmd);
    }
    parse_config(env, script_find_arg(c, "cfg"), &env->c.incoming);
    env->joint = script_find_arg(c, "cfgj") != NULL;
    parse_config(env, script_find_arg(c, "cfgj"), &env->c.outgoing);
    if (!parse_values(env, script_find_arg(c, votes ? "votes" : "idx"),
                      votes)) {
        mismatch(env, out);
    } else if (votes) {
        vote(env, out);
    } else if (env->joint) {
        committed_joint(env, out);
    } else {
        committed_majority(env, out);
    }
}

static const char *const commands[] = {"committed", "vote", NULL};

const struct runner quorum_runner = {
    .commands = commands,
    .open = open_env,
    .run = run,
    .close = close_env,
};
