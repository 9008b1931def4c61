/* SPDX-License-Identifier: Apache-2.0 */
/* A keeper that is killed takes its programs with it (PR_SET_PDEATHSIG), but not what these have started: that would live on
 * with their connections, should hvsockd be killed, too. Under a service manager it ends with the cgroup. In a private folder
 * there is none; but it becomes the child of the nearest subreaper above, which is this process. It holds nothing and does
 * nothing else, so it has no reason to end before the keeper; where it is killed, the keeper goes on without.
 * prctl(2) (PR_SET_CHILD_SUBREAPER). */

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/keeper/guard.h"
#include "daemon/keeper/keeper.h"
#include "schema/base/text.h"

#define GUARD_NAME "hvsock-guard"
#define ORPHANS_US 2000000 /* as long as the keeper itself waits for what it has killed */

/* What ps(1) shows of it is not a second keeper. */
static void rename_arguments(char *argv[])
{
    char *end = argv[0] + strlen(argv[0]);

    for (size_t i = 1; argv[i] && argv[i] == end + 1; i++)
        end = argv[i] + strlen(argv[i]);
    size_t size_bytes = (size_t)(end - argv[0]);
    memset(argv[0], '\0', size_bytes);
    memcpy(argv[0], GUARD_NAME, size_bytes < strlen(GUARD_NAME) ? size_bytes : strlen(GUARD_NAME));
}

/* Descriptors that were passed to this process are the keeper's. */
static void hand_on_listen_pid(pid_t guard)
{
    const char *text = getenv("LISTEN_PID");
    uint64_t pid;

    if (text && text_to_number(text, INT32_MAX, &pid) && (pid_t)pid == guard)
        unsetenv("LISTEN_PID");
}

/* wait(2)'s status of the keeper. What an administrator tells us is meant for it. */
static int wait_for_keeper(pid_t keeper, const sigset_t *signals)
{
    for (;;) {
        int status, signal_number = sigwaitinfo(signals, NULL);
        if (signal_number > 0 && signal_number != SIGCHLD)
            kill(keeper, signal_number);
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == keeper)
                return status;
    }
}

/* They are our children now, and then those that they had. */
static void end_orphans(const sigset_t *signals)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    uint64_t until_us = keeper_now_us() + ORPHANS_US;

    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (errno == ECHILD || keeper_now_us() >= until_us)
            return;
        programs_kill_orphans();
        sigtimedwait(signals, NULL, &moment);
    }
}

static void end_as(int status)
{
    if (WIFSIGNALED(status)) {
        prctl(PR_SET_DUMPABLE, 0); /* it has left a core already, if it was to */
        kill(getpid(), WTERMSIG(status));
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

void guard_begin(char *argv[])
{
    static const int told[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    char name[16] = "";
    pid_t guard = getpid();
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < ELEMENTS_OF(told); i++)
        sigaddset(&signals, told[i]);
    signal(SIGCHLD, SIG_DFL);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || sigprocmask(SIG_SETMASK, &signals, NULL) < 0)
        return;
    /* Before there are two: nobody is ever to take this one for the keeper. */
    prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, GUARD_NAME);
    pid_t keeper = fork();
    if (keeper <= 0) {
        prctl(PR_SET_NAME, name);
        if (keeper == 0)
            hand_on_listen_pid(guard);
        return;
    }
    /* Its listening socket above all: who finds that open takes the keeper for one that lives. */
    syscall(SYS_close_range, STDERR_FILENO + 1u, ~0u, 0);
    rename_arguments(argv);
    int status = wait_for_keeper(keeper, &signals);
    end_orphans(&signals);
    sigemptyset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    end_as(status);
}
