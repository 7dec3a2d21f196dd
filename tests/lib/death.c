/* Tests of what must abort, each in a process of its own. */

#include "tests/lib/death.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

bool test_aborts(void (*fn)(void *ctx), void *ctx)
{
    /* Or the child would print what the parent has buffered. */
    (void)fflush(NULL);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        (void)close(STDERR_FILENO);
        /* The handler of the test framework would catch the signal. */
        (void)signal(SIGABRT, SIG_DFL);
        fn(ctx);
        _exit(0);
    }
    int status;
    pid_t waited = waitpid(pid, &status, 0);
    ASSERT(waited == pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
