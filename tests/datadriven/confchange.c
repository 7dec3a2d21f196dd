/* Scripts that drive the changer: raft-tests.md 8.
 *
 * Counterpart: etcd-io/raft confchange/datadriven_test.go. */

#include <string.h>

#include "src/base/alloc.h"
#include "src/raft/confchange.h"
#include "tests/datadriven/changes.h"
#include "tests/datadriven/runner.h"

struct env {
    struct tracker tracker;
    /* Goes up with every command, so that `next` of a new Progress tells when
     * it was made. */
    uint64_t last_index;
};

static void *open_env(void)
{
    struct env *env = xcalloc(1, sizeof *env);

    tracker_init(&env->tracker, (struct inflight_limits){10, 0},
                 &runner_logger);
    return env;
}

static void close_env(void *ctx)
{
    struct env *env = ctx;

    tracker_release(&env->tracker);
    xfree(env);
}

static bool auto_leave_arg(const struct script_case *c)
{
    const struct script_arg *arg = script_find_arg(c, "autoleave");
    bool on = false;

    if (arg != NULL &&
        (arg->n_vals != 1 || !script_parse_bool(arg->vals[0], &on))) {
        runner_fail("autoleave wants a boolean");
    }
    return on;
}

static int change(struct env *env, const struct script_case *c,
                  const struct changes *ccs, struct changer_result *r,
                  struct errmsg *em)
{
    struct changer changer = {.tracker = &env->tracker,
                              .last_index = env->last_index};

    if (strcmp(c->cmd, "simple") == 0) {
        return changer_simple(&changer, ccs->items, ccs->n, r, em);
    }
    if (strcmp(c->cmd, "enter-joint") == 0) {
        return changer_enter_joint(&changer, auto_leave_arg(c), ccs->items,
                                   ccs->n, r, em);
    }
    if (strcmp(c->cmd, "leave-joint") != 0) {
        return errmsg_text(em, ERR_INVALID, "unknown command");
    }
    if (ccs->n > 0) {
        return errmsg_text(em, ERR_INVALID, "this command takes no input");
    }
    return changer_leave_joint(&changer, r, em);
}

static void run(void *ctx, const struct script_case *c, struct buf *out)
{
    struct env *env = ctx;
    struct changer_result r = {0};
    struct errmsg em = {{0}};
    struct changes ccs;

    if (changes_parse(c->input, &ccs, out) < 0) {
        buf_append_byte(out, '\n');
    } else if (change(env, c, &ccs, &r, &em) < 0) {
        buf_printf(out, "%s\n", em.text);
    } else {
        tracker_switch(&env->tracker, &r.config, &r.progress);
        tracker_config_string(&env->tracker.config, out);
        buf_append_byte(out, '\n');
        progress_map_string(&env->tracker.progress, out);
    }
    changes_release(&ccs);
    env->last_index++;
}

static const char *const commands[] = {"simple", "enter-joint", "leave-joint",
                                       NULL};

const struct runner confchange_runner = {
    .commands = commands,
    .open = open_env,
    .run = run,
    .close = close_env,
};
