/* SPDX-License-Identifier: Apache-2.0 */
<<<<<<< HEAD
/* `hvsockctl who NAME` as a process, beside /bin/true. */

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
=======
/* hvsockd as a child, in a folder of its own under /tmp, from its start to its READY and to its end. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
>>>>>>> 1df34c9 (tests/bench: the nine targets, each beside a bare program in the same run and on the same CPU)
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

<<<<<<< HEAD
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
=======
void daemon_prepare(Daemon *daemon)
{
    static const char *const folders[] = {"etc", "etc/services.d", "state", "run"};
    char path[128];

    snprintf(daemon->folder, sizeof(daemon->folder), "/tmp/hvsockd-bench.XXXXXX");
    if (!mkdtemp(daemon->folder))
        die("%s: %s", daemon->folder, strerror(errno));
    snprintf(daemon->socket, sizeof(daemon->socket), "%s/run/io.hvsock.Registry", daemon->folder);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", daemon->folder, folders[i]);
        if (mkdir(path, 0755) < 0)
            die("%s: %s", path, strerror(errno));
    }
}

static int notify_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    unlink(path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("%s: %s", path, strerror(errno));
    return fd;
}

static void run_daemon(const Bench *bench, const Daemon *daemon)
{
    char program[512], config[128], state[128], runtime[128], log[128];

    snprintf(program, sizeof(program), "%s/hvsockd", bench->programs);
    snprintf(config, sizeof(config), "%s/etc", daemon->folder);
    snprintf(state, sizeof(state), "%s/state", daemon->folder);
    snprintf(runtime, sizeof(runtime), "%s/run", daemon->folder);
    snprintf(log, sizeof(log), "%s/log", daemon->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(126);
    execl(program, program, "--config", config, "--state", state, "--runtime", runtime, NULL);
    _exit(127);
}

void daemon_start(const Bench *bench, Daemon *daemon)
{
    char path[96], text[4096];
    struct rlimit limit;

    /* As many listeners as this machine lets one process have. */
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    snprintf(path, sizeof(path), "%s/notify", daemon->folder);
    int fd = notify_socket(path);
    double began = now_s();
    daemon->pid = fork();
    if (daemon->pid < 0)
        die("fork: %s", strerror(errno));
    if (daemon->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        setenv("NOTIFY_SOCKET", path, 1);
        run_daemon(bench, daemon);
    }
    for (bool ready = false; !ready;) {
        struct pollfd ask = {.fd = fd, .events = POLLIN};
        if (poll(&ask, 1, 60000) != 1)
            die("hvsockd was not ready in a minute; see %s/log", daemon->folder);
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        ready = strstr(text, "READY=1") != NULL;
        if (!ready && waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid)
            die("hvsockd did not start; see %s/log", daemon->folder);
    }
    daemon->start_s = now_s() - began;
    close(fd);
}

void daemon_stop(Daemon *daemon)
{
    int status;

    kill(daemon->pid, SIGTERM);
    if (waitpid(daemon->pid, &status, 0) < 0 || status != 0)
        die("hvsockd ended with status %d; see %s/log", status, daemon->folder);
    daemon->pid = 0;
}

void daemon_remove(Daemon *daemon)
{
    folder_remove(daemon->folder);
}

static size_t memory_bytes(pid_t pid, const char *field)
{
    char path[64], line[256];
    size_t size_kb = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        die("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, field, strlen(field)))
            size_kb = strtoul(line + strlen(field), NULL, 10);
    fclose(file);
    return size_kb * 1024;
}

size_t memory_anonymous_bytes(pid_t pid)
{
    return memory_bytes(pid, "RssAnon:");
}

size_t memory_resident_bytes(pid_t pid)
{
    return memory_bytes(pid, "VmRSS:");
}

size_t memory_peak_bytes(pid_t pid)
{
    return memory_bytes(pid, "VmHWM:");
}

void memory_reset_peak(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
    file_write(path, "5");
>>>>>>> 1df34c9 (tests/bench: the nine targets, each beside a bare program in the same run and on the same CPU)
}
