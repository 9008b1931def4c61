/* SPDX-License-Identifier: Apache-2.0 */
/* `hvsockctl connect` beside socat on the same unix socket: bytes through it in both directions, from and to pipes as ssh has
 * them, and how long after its start the first byte is there. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define VOLUME_BYTES (192u << 20)
#define CHUNK_BYTES (1u << 16)
#define STARTS 40

typedef struct Client {
    pid_t pid;
    int input, output; /* its standard input and output */
} Client;

static char chunk[CHUNK_BYTES];

/* What a connection's first byte asks for: s: it is sent the volume; r: it reads until the end. Without one, it is sent a byte. */
static void serve(int fd)
{
    char what;
    ssize_t size;

    if (write(fd, "!", 1) != 1 || read(fd, &what, 1) != 1)
        return;
    if (what == 's')
        for (size_t left = VOLUME_BYTES; left > 0 && (size = write(fd, chunk, left < CHUNK_BYTES ? left : CHUNK_BYTES)) > 0;)
            left -= (size_t)size;
    else
        while ((size = read(fd, chunk, CHUNK_BYTES)) > 0)
            ;
}

static pid_t start_server(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 128) < 0)
        bench_fail("%s: %m", path);
    pid_t pid = fork();
    if (pid != 0) {
        close(listener);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        serve(fd);
        close(fd);
    }
}

static Client start_client(char *const *arguments)
{
    int input[2], output[2];

    if (pipe(input) < 0 || pipe(output) < 0)
        bench_fail("pipe: %m");
    Client client = {.pid = vfork(), .input = input[1], .output = output[0]};
    if (client.pid == 0) {
        dup2(input[0], 0);
        dup2(output[1], 1);
        close(input[0]);
        close(input[1]);
        close(output[0]);
        close(output[1]);
        execv(arguments[0], arguments);
        _exit(127);
    }
    close(input[0]);
    close(output[1]);
    return client;
}

static void first_byte(const Client *client, const char *name)
{
    char byte = 0;

    if (read(client->output, &byte, 1) != 1 || byte != '!')
        bench_fail("%s: no byte came through it", name);
}

static void end_client(Client *client, const char *name)
{
    int status;

    close(client->input);
    close(client->output);
    if (waitpid(client->pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_fail("%s: ended with status %d", name, status);
}

static double start_seconds(char *const *arguments)
{
    double seconds = 0;

    for (int i = 0; i < STARTS; i++) {
        double start = bench_now();
        Client client = start_client(arguments);
        first_byte(&client, arguments[0]);
        seconds += bench_now() - start;
        end_client(&client, arguments[0]);
    }
    return seconds / STARTS;
}

/* Bytes a second from a pipe to the socket. */
static double up_rate(char *const *arguments)
{
    Client client = start_client(arguments);

    first_byte(&client, arguments[0]);
    double start = bench_now();
    if (write(client.input, "r", 1) != 1)
        bench_fail("%s: %m", arguments[0]);
    for (size_t left = VOLUME_BYTES; left > 0;) {
        ssize_t size = write(client.input, chunk, left < CHUNK_BYTES ? left : CHUNK_BYTES);
        if (size <= 0)
            bench_fail("%s: %m", arguments[0]);
        left -= (size_t)size;
    }
    end_client(&client, arguments[0]);
    return VOLUME_BYTES / (bench_now() - start);
}

/* … and from the socket to a pipe. */
static double down_rate(char *const *arguments)
{
    Client client = start_client(arguments);
    size_t all = 0;
    ssize_t size;

    first_byte(&client, arguments[0]);
    double start = bench_now();
    if (write(client.input, "s", 1) != 1)
        bench_fail("%s: %m", arguments[0]);
    while ((size = read(client.output, chunk, CHUNK_BYTES)) > 0)
        all += (size_t)size;
    double seconds = bench_now() - start;
    if (all != VOLUME_BYTES)
        bench_fail("%s: %zu bytes came", arguments[0], all);
    end_client(&client, arguments[0]);
    return VOLUME_BYTES / seconds;
}

static void row(const char *what, double (*measure)(char *const *), char *const *ours, char *const *socat, double unit, const char *unit_name,
                bool at_least, double target)
{
    double ratios[BENCH_ROUNDS], our[BENCH_ROUNDS], their[BENCH_ROUNDS];
    char note[160];

    for (size_t i = 0; i < BENCH_ROUNDS; i++) {
        our[i] = measure(ours);
        their[i] = measure(socat);
        ratios[i] = our[i] / their[i];
    }
    snprintf(note, sizeof(note), "%.2f %s, socat %.2f %s", bench_median(our, BENCH_ROUNDS) / unit, unit_name,
             bench_median(their, BENCH_ROUNDS) / unit, unit_name);
    bench_row(what, bench_median(ratios, BENCH_ROUNDS), at_least, target, note);
}

void bench_connect_verb(void)
{
    char folder[] = "/tmp/hvsock-bench.XXXXXX", path[100], program[300], uri[120], socat_address[140];
    char verb[] = "connect", socat[] = "/usr/bin/socat", block[] = "-b131072", standard[] = "-";
    int status;

    if (access(socat, X_OK) < 0) {
        printf("connect: left out, for there is no %s; `packaging/deps bench` installs it\n", socat);
        return;
    }
    if (!mkdtemp(folder))
        bench_fail("%s: %m", folder);
    snprintf(path, sizeof(path), "%s/s", folder);
    snprintf(program, sizeof(program), "%s/hvsockctl", bench_build);
    snprintf(uri, sizeof(uri), "unix://%s", path);
    snprintf(socat_address, sizeof(socat_address), "UNIX-CONNECT:%s", path);
    pid_t server = start_server(path);
    /* socat's own default is a block of 8 KiB, which is slower: it is to do its best. */
    char *const ours[] = {program, verb, uri, NULL}, *const theirs[] = {socat, block, standard, socat_address, NULL};
    row("connect: bytes a second, pipe to socket / socat", up_rate, ours, theirs, 1 << 20, "MiB/s", true, 1.0);
    row("connect: bytes a second, socket to pipe / socat", down_rate, ours, theirs, 1 << 20, "MiB/s", true, 1.0);
    row("connect: start to first byte / socat", start_seconds, ours, theirs, 1e-3, "ms", false, 0.8);
    kill(server, SIGKILL);
    waitpid(server, &status, 0);
    unlink(path);
    rmdir(folder);
}
