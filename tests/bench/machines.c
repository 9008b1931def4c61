/* SPDX-License-Identifier: Apache-2.0 */
/* A machine that comes, with 20 services that listen on each machine's own transport, until all 20 listen: beside a bare
 * program that binds 20 paths as that machine's user; and with 400 machines there already beside none. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define SERVICES 20
#define MACHINES 400
#define ROUNDS 41
#define MACHINE_UID 64042u /* nobody's */
#define FIRST_PORT 5000u
#define FOLDER_BYTES 84
#define REST_US 1000 /* so that what the call before left to be done is not counted */

typedef struct Host {
    BenchDaemon daemon;
    char machines[40]; /* their folders: as /run in memory, for a disk looks for free inodes as it likes */
    int fd;
} Host;

static void machine_folder(const Host *host, const char *name, char folder[static FOLDER_BYTES])
{
    snprintf(folder, FOLDER_BYTES, "%s/%s", host->machines, name);
    if (mkdir(folder, 0750) < 0 || (geteuid() == 0 && chown(folder, MACHINE_UID, MACHINE_UID) < 0))
        bench_fail("%s: %m", folder);
}

/* Seconds until all its services listen. */
static double add_machine(Host *host, const char *name, const char *folder, bool lasting)
{
    char call[600], tie[64] = "";
    unsigned listening = 0;

    if (!lasting)
        snprintf(tie, sizeof(tie), ",\"ephemeralProcessId\":%d", (int)getpid());
    snprintf(call, sizeof(call),
             "{\"method\":\"io.hvsock.Registry.AddMachine\",\"parameters\":{\"machine\":{\"name\":\"%s\",\"hybrid\":\"%s/v.sock\"}%s}}",
             name, folder, tie);
    usleep(REST_US);
    double start = bench_now();
    const char *reply = bench_call_text(host->fd, call);
    double seconds = bench_now() - start;
    for (const char *at = reply; (at = strstr(at, "\"state\":\"listening\"")); at++)
        listening++;
    if (listening != SERVICES)
        bench_fail("%u of %d listeners of %s listen: %.600s", listening, SERVICES, name, reply);
    return seconds;
}

static void remove_machine(Host *host, const char *name)
{
    char call[200];

    snprintf(call, sizeof(call), "{\"method\":\"io.hvsock.Registry.RemoveMachine\",\"parameters\":{\"name\":\"%s\"}}", name);
    const char *reply = bench_call_text(host->fd, call);
    if (strstr(reply, "\"error\""))
        bench_fail("RemoveMachine: %s", reply);
}

static void host_start(Host *host, unsigned machines)
{
    char call[300], name[32], folder[FOLDER_BYTES];

    bench_daemon_prepare(&host->daemon);
    strcpy(host->machines, "/dev/shm/hvsock-bench.XXXXXX");
    if (!mkdtemp(host->machines) || chmod(host->machines, 0755) < 0) /* mkdtemp(3) lets nobody else in */
        bench_fail("%s: %m", host->machines);
    bench_daemon_start(&host->daemon);
    host->fd = bench_connect(host->daemon.socket);
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(call, sizeof(call),
                 "{\"method\":\"io.hvsock.Registry.Register\",\"parameters\":{\"service\":{\"name\":\"every-%02u\",\"port\":%u,"
                 "\"listen\":[\"machine:*\"]}}}",
                 i, FIRST_PORT + i);
        if (strstr(bench_call_text(host->fd, call), "\"error\""))
            bench_fail("%s", call);
    }
    for (unsigned i = 0; i < machines; i++) {
        snprintf(name, sizeof(name), "vm-%03u", i);
        machine_folder(host, name, folder);
        add_machine(host, name, folder, false);
    }
}

static void host_stop(Host *host)
{
    char command[80];

    close(host->fd);
    bench_daemon_remove(&host->daemon);
    snprintf(command, sizeof(command), "rm -rf '%s'", host->machines);
    if (system(command) != 0)
        bench_fail("cannot remove %s", host->machines);
}

/* Seconds for the same 20 paths in that folder, by nothing but socket, bind and listen, as the folder's owner. */
static double bare_listen(const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool root = geteuid() == 0;
    int fds[SERVICES];

    if (root && (setegid(MACHINE_UID) < 0 || seteuid(MACHINE_UID) < 0))
        bench_fail("seteuid: %m");
    usleep(REST_US);
    double start = bench_now();
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/bare.sock_%u", folder, FIRST_PORT + i);
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fds[i], 128) < 0)
            bench_fail("%s: %m", address.sun_path);
    }
    double seconds = bench_now() - start;
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/bare.sock_%u", folder, FIRST_PORT + i);
        unlink(address.sun_path);
        close(fds[i]);
    }
    if (root && (seteuid(0) < 0 || setegid(0) < 0))
        bench_fail("seteuid: %m");
    return seconds;
}

void bench_machines(void)
{
    double bare[ROUNDS], none[ROUNDS], many[ROUNDS], lasting[ROUNDS], beside_bare[ROUNDS], beside_none[ROUNDS];
    Host empty, full;
    char folder[FOLDER_BYTES], full_folder[FOLDER_BYTES], note[160];

    host_start(&empty, 0);
    host_start(&full, MACHINES);
    machine_folder(&empty, "new", folder);
    machine_folder(&full, "new", full_folder);
    for (unsigned i = 0; i < ROUNDS; i++) {
        bare[i] = bare_listen(folder);
        none[i] = add_machine(&empty, "new", folder, false);
        remove_machine(&empty, "new");
        many[i] = add_machine(&full, "new", full_folder, false);
        remove_machine(&full, "new");
        lasting[i] = add_machine(&empty, "new", folder, true);
        remove_machine(&empty, "new");
        beside_bare[i] = none[i] / bare[i];
        beside_none[i] = many[i] / none[i];
    }
    host_stop(&full);
    host_stop(&empty);
    snprintf(note, sizeof(note), "%.0f us, bare %.0f us; to outlast the boot, on disk, %.0f us", bench_median(none, ROUNDS) * 1e6,
             bench_median(bare, ROUNDS) * 1e6, bench_median(lasting, ROUNDS) * 1e6);
    bench_row("AddMachine with 20 machine:* services / bare bind and listen", bench_median(beside_bare, ROUNDS), false, 3, note);
    snprintf(note, sizeof(note), "%.0f us beside %d machines", bench_median(many, ROUNDS) * 1e6, MACHINES);
    bench_row("the same with 400 machines there already / with none", bench_median(beside_none, ROUNDS), false, 1.2, note);
}
