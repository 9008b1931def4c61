/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl as a process, from fork to exit, beside /bin/true. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/bench.h"

static void run(const Bench *bench)
{
    Daemon daemon;
    char path[128], program[512];
    size_t count = bench->quick ? 50 : 300;
    double *ours = calloc(count, sizeof(*ours)), *bare = calloc(count, sizeof(*bare));

    daemon_prepare(&daemon);
    snprintf(path, sizeof(path), "%s/etc/services.d/bench.yaml", daemon.folder);
    file_write(path, "services:\n  - {name: bench, port: 5000, listen: []}\n");
    daemon_start(bench, &daemon);
    setenv("HVSOCK_SOCKET", daemon.socket, 1);
    snprintf(program, sizeof(program), "%s/hvsockctl", bench->programs);
    for (size_t i = 0; i < count; i++) {
        bare[i] = program_run_s((const char *const[]){"/bin/true", NULL});
        ours[i] = program_run_s((const char *const[]){program, "who", "bench", NULL});
    }
    double ours_s = median(ours, count), bare_s = median(bare, count);
    report("program", "hvsockctl who NAME / fork and exec of /bin/true", ours_s / bare_s, AT_MOST, 1.5, "%.3f ms; bare %.3f ms", ours_s * 1e3,
           bare_s * 1e3);
    daemon_stop(&daemon);
    daemon_remove(&daemon);
    free(ours);
    free(bare);
}

const Measurement measure_program = {"program", run};
