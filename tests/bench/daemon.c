/* SPDX-License-Identifier: Apache-2.0 */
/* A private hvsockd for the bench, and raw calls to it. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

static char reply_buffer[1 << 20];

void bench_daemon_prepare(BenchDaemon *daemon)
{
    char path[600];

    /* On a disk, not on tmpfs: durable commits are part of what is measured. */
    strcpy(daemon->folder, "/var/tmp/hvsock-bench.XXXXXX");
    if (!mkdtemp(daemon->folder))
        bench_fail("%s: %m", daemon->folder);
    static const char *const folders[] = {"config", "config/services.d", "state", "runtime"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", daemon->folder, folders[i]);
        if (mkdir(path, 0755) < 0)
            bench_fail("%s: %m", path);
    }
    snprintf(daemon->socket, sizeof(daemon->socket), "%s/runtime/io.hvsock.Registry", daemon->folder);
    daemon->pid = 0;
}

double bench_daemon_start(BenchDaemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char program[300], config[300], state[300], runtime[300], text[4096];
    int notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", daemon->folder);
    unlink(address.sun_path);
    if (notify < 0 || bind(notify, (struct sockaddr *)&address, sizeof(address)) < 0)
        bench_fail("%s: %m", address.sun_path);
    snprintf(program, sizeof(program), "%s/hvsockd", bench_build);
    snprintf(config, sizeof(config), "%s/config", daemon->folder);
    snprintf(state, sizeof(state), "%s/state", daemon->folder);
    snprintf(runtime, sizeof(runtime), "%s/runtime", daemon->folder);

    double start = bench_now();
    daemon->pid = fork();
    if (daemon->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* no bench that fails leaves it behind */
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        if (!getenv("BENCH_VERBOSE"))
            dup2(null, 2);
        setenv("NOTIFY_SOCKET", address.sun_path, 1);
        execl(program, program, "--config", config, "--state", state, "--runtime", runtime, (char *)NULL);
        _exit(127);
    }
    struct timeval timeout = {.tv_sec = 60};
    setsockopt(notify, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    for (;;) {
        ssize_t size = recv(notify, text, sizeof(text) - 1, 0);
        if (size < 0)
            bench_fail("hvsockd did not say READY");
        text[size] = '\0';
        if (strstr(text, "READY=1"))
            break;
    }
    double seconds = bench_now() - start;
    close(notify);
    return seconds;
}

void bench_daemon_stop(BenchDaemon *daemon)
{
    if (daemon->pid <= 0)
        return;
    kill(daemon->pid, SIGTERM);
    waitpid(daemon->pid, NULL, 0);
    daemon->pid = 0;
}

void bench_daemon_remove(BenchDaemon *daemon)
{
    char command[400];

    bench_daemon_stop(daemon);
    snprintf(command, sizeof(command), "rm -rf '%s'", daemon->folder);
    if (system(command) != 0)
        bench_fail("cannot remove %s", daemon->folder);
}

long bench_daemon_memory(const BenchDaemon *daemon, const char *field)
{
    char path[64], line[256];
    long kib = -1;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon->pid);
    FILE *file = fopen(path, "re");
    if (!file)
        bench_fail("%s: %m", path);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            kib = strtol(line + strlen(field) + 1, NULL, 10);
    fclose(file);
    return kib;
}

int bench_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        bench_fail("%s: %m", path);
    return fd;
}

size_t bench_call(int fd, const char *message, size_t size_bytes)
{
    size_t size = 0;
    _Alignas(struct cmsghdr) char control[256];

    if (send(fd, message, size_bytes, MSG_NOSIGNAL) != (ssize_t)size_bytes)
        bench_fail("send: %m");
    for (;;) {
        struct iovec part = {.iov_base = reply_buffer + size, .iov_len = sizeof(reply_buffer) - 1 - size};
        struct msghdr header = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
        if (got <= 0)
            bench_fail("recv: %s", got == 0 ? "closed" : strerror(errno));
        for (struct cmsghdr *part_of = CMSG_FIRSTHDR(&header); part_of; part_of = CMSG_NXTHDR(&header, part_of)) {
            int fds[64];
            size_t bytes = part_of->cmsg_len - CMSG_LEN(0);
            memcpy(fds, CMSG_DATA(part_of), bytes);
            for (size_t i = 0; i < bytes / sizeof(int); i++)
                close(fds[i]);
        }
        size += (size_t)got;
        if (reply_buffer[size - 1] == '\0')
            return size;
        if (size == sizeof(reply_buffer) - 1)
            size = 0; /* a stream of many replies: only its end matters */
    }
}

const char *bench_call_text(int fd, const char *message)
{
    bench_call(fd, message, strlen(message) + 1);
    return reply_buffer;
}
