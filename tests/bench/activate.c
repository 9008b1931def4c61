/* SPDX-License-Identifier: Apache-2.0 */
/* From a connection to the first byte of the program that is started for it, beside a bare program that accepts and starts the
 * same, beside others' servers, and with many listeners that nothing happens on; and hvsockd killed and started anew. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define TRIALS 60
#define SIDES_MAX 4
#define IDLE_LISTENERS 19000
#define RESTART_LISTENERS 10000
#define RESTART_PATHS 40 /* of these; somebody connects to them meanwhile */
#define RESTART_ROUNDS 7
#define SETTLE_NS 2000000 /* what comes after a program's end is not the next one's */

static char once[300];

static void settle(long ns)
{
    struct timespec time = {.tv_nsec = ns};

    nanosleep(&time, NULL);
}

static double first_byte(const char *path)
{
    char byte;
    double start = bench_now();
    int fd = bench_connect(path);

    if (read(fd, &byte, 1) != 1)
        bench_fail("%s: no program said anything", path);
    double seconds = bench_now() - start;
    while (read(fd, &byte, 1) > 0)
        ;
    close(fd);
    settle(SETTLE_NS);
    return seconds;
}

/* The median of each; in turn one by one, for what else this machine does changes from moment to moment. NULL: left out. */
static void first_bytes(const char *const *paths, size_t count, double *ret_medians)
{
    double seconds[SIDES_MAX][TRIALS];

    for (size_t i = 0; i < TRIALS; i++)
        for (size_t k = 0; k < count; k++)
            seconds[k][i] = paths[k] ? first_byte(paths[k]) : 0;
    for (size_t k = 0; k < count; k++)
        ret_medians[k] = bench_median(seconds[k], TRIALS);
}

/* ---- the bare program ---- */

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
        bench_fail("%s: %m", path);
    return fd;
}

static pid_t start_bare_child(int fd, int as, char *const *arguments)
{
    pid_t pid = vfork();

    if (pid == 0) {
        dup2(fd, as);
        if (as == 0)
            dup2(fd, 1);
        execv(arguments[0], arguments);
        _exit(127);
    }
    return pid;
}

/* Accepts and starts; or, where listeners are given away, starts when somebody comes, and waits for the end. */
static pid_t bare_server(const char *path, bool waits)
{
    char accept_word[] = "accept", *arguments[] = {once, waits ? accept_word : NULL, NULL};
    int listener = listen_on(path);
    pid_t pid = fork();

    if (pid != 0) {
        close(listener);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!waits)
        signal(SIGCHLD, SIG_IGN);
    for (;;) {
        if (waits) {
            fd_set readable;
            FD_ZERO(&readable);
            FD_SET(listener, &readable);
            select(listener + 1, &readable, NULL, NULL, NULL);
            int copy = fcntl(listener, F_DUPFD_CLOEXEC, 10);
            waitpid(start_bare_child(copy, 3, arguments), NULL, 0);
            close(copy);
        } else {
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            start_bare_child(fd, 0, arguments);
            close(fd);
        }
    }
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- others' servers ---- */

typedef struct Other {
    const char *name;
    const char *arguments[10]; /* PATH and ONCE are put in */
    pid_t pid;
    double seconds[BENCH_ROUNDS];
    char path[128];
} Other;

static Other others[] = {
    {.name = "systemd-socket-activate", .arguments = {"systemd-socket-activate", "-a", "--inetd", "-l", "PATH", "ONCE"}},
    {.name = "s6-ipcserver", .arguments = {"s6-ipcserver", "-q", "-c", "1000", "-C", "1000", "PATH", "ONCE"}},
};
#define OTHERS (sizeof(others) / sizeof(others[0]))
_Static_assert(2 + OTHERS <= SIDES_MAX, "ours, the bare program, and all others");

static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    bool does = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return does;
}

static void other_start(Other *other, const char *folder)
{
    char *arguments[10] = {NULL};
    char *path = other->path;

    snprintf(other->path, sizeof(other->path), "%s/%s", folder, other->name);
    for (size_t i = 0; other->arguments[i]; i++)
        arguments[i] = strcmp(other->arguments[i], "PATH") == 0   ? path
                       : strcmp(other->arguments[i], "ONCE") == 0 ? once
                                                                  : strdup(other->arguments[i]);
    other->pid = fork();
    if (other->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(arguments[0], arguments);
        _exit(127);
    }
    for (int i = 0; i < 6000 && !answers(other->path); i++) {
        settle(10000000);
        if (waitpid(other->pid, NULL, WNOHANG) == other->pid) {
            other->pid = 0;
            printf("%s is not installed: left out\n", other->name);
            return;
        }
    }
    settle(50000000);
}

/* ---- ours ---- */

static void call(int fd, const char *message)
{
    const char *reply = bench_call_text(fd, message);

    if (strstr(reply, "\"error\""))
        bench_fail("%.300s: %s", message, reply);
}

static void register_program(const BenchDaemon *daemon, const char *path, bool waits)
{
    int fd = bench_connect(daemon->socket);
    char message[1200];

    snprintf(message, sizeof(message),
             "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"%s\",\"listen\":[\"unix://%s\"],"
             "\"activate\":{\"mode\":\"%s\",\"exec\":[\"%s\"%s]%s}}}}",
             waits ? "waits" : "accepts", path, waits ? "wait" : "accept", once, waits ? ",\"accept\"" : "",
             waits ? ",\"startLimit\":\"1000000/1s\"" : "");
    call(fd, message);
    close(fd);
}

/* So many services with a port each, from `first` on; and of them some with a path. */
static void add_listeners(const BenchDaemon *daemon, unsigned count, unsigned paths)
{
    unsigned first = 0x20000000u + (unsigned)(getpid() % 4096) * 0x10000u;
    size_t room = 256 * 1024, used;
    char *message = malloc(room);
    int fd = bench_connect(daemon->socket);

    for (unsigned i = 0; i < count;) {
        used = (size_t)snprintf(message, room, "{\"method\":\"io.hvsock.Registry.Apply\",\"parameters\":{\"services\":[");
        for (unsigned k = 0; k < 1000 && i < count; k++, i++)
            if (i < paths)
                used += (size_t)snprintf(message + used, room - used, "%s{\"name\":\"idle-%u\",\"listen\":[\"unix://%s/idle-%u\"]}",
                                         k > 0 ? "," : "", i, daemon->folder, i);
            else
                used += (size_t)snprintf(message + used, room - used, "%s{\"name\":\"idle-%u\",\"port\":%u}", k > 0 ? "," : "", i,
                                         first + i);
        snprintf(message + used, room - used, "]}}");
        call(fd, message);
    }
    snprintf(message, room, "{\"method\":\"io.hvsock.Registry.Describe\",\"parameters\":{\"name\":\"idle-%u\"}}", count - 1);
    if (!strstr(bench_call_text(fd, message), "\"state\":\"listening\""))
        bench_fail("not all of %u listeners listen", count);
    free(message);
    close(fd);
}

/* One kind of activation beside the bare program and others. */
static void compare(bool waits, const char *what, double target)
{
    double ratios[BENCH_ROUNDS], ours[BENCH_ROUNDS], bare[BENCH_ROUNDS], best[BENCH_ROUNDS];
    char path[100], bare_path[100], note[256];
    size_t used = 0;
    BenchDaemon daemon;

    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    snprintf(path, sizeof(path), "%s/ours.sock", daemon.folder);
    snprintf(bare_path, sizeof(bare_path), "%s/bare.sock", daemon.folder);
    register_program(&daemon, path, waits);
    pid_t server = bare_server(bare_path, waits);
    for (size_t k = 0; k < OTHERS && !waits; k++)
        other_start(&others[k], daemon.folder);
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        const char *paths[2 + OTHERS] = {path, bare_path};
        double medians[2 + OTHERS], fastest = 0;
        for (size_t k = 0; k < OTHERS && !waits; k++)
            paths[2 + k] = others[k].pid > 0 ? others[k].path : NULL;
        first_bytes(paths, 2 + OTHERS, medians);
        ours[i] = medians[0];
        bare[i] = medians[1];
        ratios[i] = ours[i] / bare[i];
        for (size_t k = 0; k < OTHERS; k++) {
            others[k].seconds[i] = medians[2 + k];
            if (paths[2 + k] && (fastest == 0 || medians[2 + k] < fastest))
                fastest = medians[2 + k];
        }
        best[i] = fastest > 0 ? ours[i] / fastest : 0;
    }
    end(server);
    bench_daemon_remove(&daemon);
    snprintf(note, sizeof(note), "%.0f us, bare %.0f us", bench_median(ours, BENCH_ROUNDS) * 1e6, bench_median(bare, BENCH_ROUNDS) * 1e6);
    bench_row(what, bench_median(ratios, BENCH_ROUNDS), false, target, note);
    for (size_t k = 0; k < OTHERS && !waits; k++) {
        if (others[k].pid == 0)
            continue;
        end(others[k].pid);
        used += (size_t)snprintf(note + used, sizeof(note) - used, "%s%s %.0f us", used > 0 ? ", " : "", others[k].name,
                                 bench_median(others[k].seconds, BENCH_ROUNDS) * 1e6);
    }
    if (!waits && used > 0)
        bench_row("the same / the faster of systemd-socket-activate, s6-ipcserver", bench_median(best, BENCH_ROUNDS), false, 1.0, note);
}

static void compare_idle(void)
{
    double ratios[BENCH_ROUNDS], many_seconds[BENCH_ROUNDS], none_seconds[BENCH_ROUNDS];
    char many_path[100], none_path[100], note[128];
    BenchDaemon many, none;

    bench_daemon_prepare(&many);
    bench_daemon_start(&many);
    add_listeners(&many, IDLE_LISTENERS, 0);
    snprintf(many_path, sizeof(many_path), "%s/ours.sock", many.folder);
    register_program(&many, many_path, false);
    bench_daemon_prepare(&none);
    bench_daemon_start(&none);
    snprintf(none_path, sizeof(none_path), "%s/ours.sock", none.folder);
    register_program(&none, none_path, false);
    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        double medians[2];
        first_bytes((const char *[]){many_path, none_path}, 2, medians);
        many_seconds[i] = medians[0];
        none_seconds[i] = medians[1];
        ratios[i] = medians[0] / medians[1];
    }
    bench_daemon_remove(&many);
    bench_daemon_remove(&none);
    snprintf(note, sizeof(note), "%.0f us, with none %.0f us", bench_median(many_seconds, BENCH_ROUNDS) * 1e6,
             bench_median(none_seconds, BENCH_ROUNDS) * 1e6);
    bench_row("accept to first byte with 19,000 idle listeners / with none", bench_median(ratios, BENCH_ROUNDS), false, 1.08, note);
}

/* ---- killed and started ---- */

typedef struct Counts {
    volatile unsigned tries, refused;
    volatile int error; /* the last */
} Counts;

/* Connects to one path after the other until it is ended, and holds what it gets for a while. */
static pid_t connect_meanwhile(const BenchDaemon *daemon, Counts *counts)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0;; i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/idle-%u", daemon->folder, i % RESTART_PATHS);
        counts->tries++;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EAGAIN) {
            counts->refused++;
            counts->error = errno;
        }
        close(fd);
        settle(1000000);
    }
}

/* Until it has so many descriptors: all of them have reached it. Whoever listens on its socket is it. */
static void wait_for_keeper(const BenchDaemon *daemon, unsigned fds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct ucred keeper;
    socklen_t size = sizeof(keeper);
    char path[64];
    double start = bench_now();
    unsigned count;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/runtime/keeper", daemon->folder);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &keeper, &size) < 0)
        bench_fail("%s: %m", address.sun_path);
    close(fd);
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)keeper.pid);
    do {
        settle(10000000);
        DIR *folder = opendir(path);
        if (!folder)
            bench_fail("%s: %m", path);
        for (count = 0; readdir(folder); count++)
            ;
        closedir(folder);
        if (bench_now() - start > 120)
            bench_fail("hvsock-keeper has %u of %u descriptors after two minutes", count, fds);
    } while (count < fds);
}

static void compare_restart(void)
{
    double ratios[RESTART_ROUNDS], cold[RESTART_ROUNDS], again[RESTART_ROUNDS];
    Counts *counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char note[160];
    BenchDaemon daemon;

    if (counts == MAP_FAILED)
        bench_fail("mmap: %m");
    bench_daemon_prepare(&daemon);
    bench_daemon_start(&daemon);
    add_listeners(&daemon, RESTART_LISTENERS, RESTART_PATHS);
    for (size_t i = 0; i < RESTART_ROUNDS; i++) {
        bench_daemon_stop(&daemon);
        cold[i] = bench_daemon_start(&daemon);
        wait_for_keeper(&daemon, RESTART_LISTENERS);
        pid_t client = connect_meanwhile(&daemon, counts);
        settle(50000000);
        end(daemon.pid);
        again[i] = bench_daemon_start(&daemon);
        settle(50000000);
        end(client);
        ratios[i] = again[i] / cold[i];
    }
    bench_daemon_remove(&daemon);
    snprintf(note, sizeof(note), "%.0f ms, cold %.0f ms; %u of %u connections refused meanwhile", bench_median(again, RESTART_ROUNDS) * 1e3,
             bench_median(cold, RESTART_ROUNDS) * 1e3, counts->refused, counts->tries);
    bench_row("killed and started with 10,000 listeners / cold start", bench_median(ratios, RESTART_ROUNDS), false, 1.0, note);
    bench_row("connections refused while it was killed and started", counts->refused, false, 0, "of those above");
    munmap(counts, sizeof(*counts));
}

void bench_activate(void)
{
    snprintf(once, sizeof(once), "%s/tests/bench/programs/once", bench_build);
    compare(false, "accept to first byte / bare accept + vfork + exec", 1.15);
    compare(true, "wait: first connection to first byte / bare", 1.2);
    compare_idle();
    compare_restart();
}
