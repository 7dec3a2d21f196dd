/* raftexample-dump: prints a data directory. dump.h has what it does. */

#include <stdio.h>

#include "src/dump/dump.h"
#include "src/os/vfs.h"

static void print(void *ctx, struct bytes text)
{
    (void)ctx;
    (void)fwrite(text.data, 1, text.len, stdout);
}

static int usage_error(const char *what)
{
    (void)fprintf(stderr, "raftexample-dump: %s (see --help)\n", what);
    return 2;
}

static int run(const struct dump_options *o)
{
    struct errmsg em = {{0}};
    int rc = dump_run(o, &em);

    /* A full disk or a closed pipe must not pass for a whole dump. */
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fputs("raftexample-dump: the output could not be written\n",
                    stderr);
        return 1;
    }
    if (rc < 0) {
        (void)fprintf(stderr, "raftexample-dump: %s\n", em.text);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct dump_options o = {.fs = vfs_posix(), .write = print};

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];

        /* One dash as well as two, like the daemon. */
        if (arg[0] == '-' && arg[1] == '-') {
            arg++;
        }
        if (strcmp(arg, "-json") == 0) {
            o.json = true;
        } else if (strcmp(arg, "-help") == 0 || strcmp(arg, "-h") == 0) {
            (void)fputs(dump_usage(), stdout);
            return 0;
        } else if (strcmp(arg, "-version") == 0) {
            (void)puts("raftexample-dump " RAFTEXAMPLE_VERSION);
            return 0;
        } else if (arg[0] == '-') {
            return usage_error("unknown flag");
        } else if (o.path != NULL) {
            return usage_error("more than one directory");
        } else {
            o.path = arg;
        }
    }
    if (o.path == NULL) {
        return usage_error("no directory is given");
    }
    return run(&o);
}
