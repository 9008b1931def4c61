/* SPDX-License-Identifier: Apache-2.0 */
/* `hvsockctl who NAME` as a process, beside /bin/true. */

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define PROCESSES 100

extern char **environ;

static double seconds_of(char *const *arguments)
{
    posix_spawn_file_actions_t actions;
    double start;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    start = bench_now();
    for (int i = 0; i < PROCESSES; i++) {
        pid_t pid;
        int status;
        if (posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environ) != 0 || waitpid(pid, &status, 0) < 0)
            bench_fail("%s: cannot be run", arguments[0]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            bench_fail("%s: status %d", arguments[0], status);
    }
    double seconds = (bench_now() - start) / PROCESSES;
    posix_spawn_file_actions_destroy(&actions);
    return seconds;
}

void bench_process(void)
{
    double ratios[BENCH_ROUNDS], ours[BENCH_ROUNDS], bare[BENCH_ROUNDS];
    BenchDaemon daemon;
    char program[300], socket_option[300], note[128];

    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    int fd = bench_connect(daemon.socket);
    bench_call_text(fd, "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"bench\",\"guid\":"
                        "\"3ad2c7f0-5b12-4a6c-9a00-000000000001\"}}}");
    close(fd);
    snprintf(program, sizeof(program), "%s/hvsockctl", bench_build);
    snprintf(socket_option, sizeof(socket_option), "--socket=%s", daemon.socket);
    char verb[] = "who", name[] = "bench", true_path[] = "/bin/true";
    char *who[] = {program, socket_option, verb, name, NULL};
    char *nothing[] = {true_path, NULL};
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        ours[i] = seconds_of(who);
        bare[i] = seconds_of(nothing);
        ratios[i] = ours[i] / bare[i];
    }
    snprintf(note, sizeof(note), "%.2f ms, /bin/true %.2f ms", bench_median(ours, BENCH_ROUNDS) * 1e3,
             bench_median(bare, BENCH_ROUNDS) * 1e3);
    bench_row("hvsockctl who NAME as a process / fork+exec of /bin/true", bench_median(ratios, BENCH_ROUNDS), false, 1.5,
              note);
    bench_daemon_remove(&daemon);
}
