/* SPDX-License-Identifier: Apache-2.0 */
/* Reload of 10,000 files of which one has changed, beside reading and parsing them with bare libyaml. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "tests/bench/bench.h"

#define FILES 10000
#define ROUNDS 5
#define SOCKETS_MAX 20000

static unsigned first_port;

static void write_file(const BenchDaemon *daemon, unsigned number, unsigned port)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/config/services.d/bench-%05u.yaml", daemon->folder, number);
    FILE *file = fopen(path, "we");
    if (!file)
        bench_fail("%s: %m", path);
    fprintf(file, "services:\n  - name: bench-%05u\n    elementName: Bench %u\n    port: %u\n    labels: {team: bench}\n", number,
            number, port);
    fclose(file);
}

static double bare_parse(const BenchDaemon *daemon)
{
    char folder[400], path[700];
    size_t files = 0;
    double start = bench_now();

    snprintf(folder, sizeof(folder), "%s/config/services.d", daemon->folder);
    DIR *entries = opendir(folder);
    for (struct dirent *entry; (entry = readdir(entries));) {
        char text[4096];
        yaml_parser_t parser;
        yaml_event_t event;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = read(fd, text, sizeof(text));
        close(fd);
        yaml_parser_initialize(&parser);
        yaml_parser_set_input_string(&parser, (unsigned char *)text, (size_t)size);
        for (bool done = false; !done; yaml_event_delete(&event)) {
            if (!yaml_parser_parse(&parser, &event))
                bench_fail("%s: does not parse", path);
            done = event.type == YAML_STREAM_END_EVENT;
        }
        yaml_parser_delete(&parser);
        files++;
    }
    closedir(entries);
    if (files != FILES)
        bench_fail("%zu files", files);
    return bench_now() - start;
}

static int compare_inodes(const void *a, const void *b)
{
    unsigned long first = *(const unsigned long *)a, second = *(const unsigned long *)b;

    return (first > second) - (first < second);
}

/* The inodes of the daemon's sockets, sorted. */
static size_t socket_inodes(const BenchDaemon *daemon, unsigned long *ret)
{
    char path[64], target[64];
    size_t count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", daemon->pid);
    DIR *entries = opendir(path);
    if (!entries)
        bench_fail("%s: %m", path);
    for (struct dirent *entry; (entry = readdir(entries));) {
        ssize_t size = readlinkat(dirfd(entries), entry->d_name, target, sizeof(target) - 1);
        target[size > 0 ? size : 0] = '\0';
        if (strncmp(target, "socket:[", 8) == 0 && count < SOCKETS_MAX)
            ret[count++] = strtoul(target + 8, NULL, 10);
    }
    closedir(entries);
    qsort(ret, count, sizeof(*ret), compare_inodes);
    return count;
}

static size_t missing_from(const unsigned long *there, size_t there_count, const unsigned long *wanted, size_t wanted_count)
{
    size_t missing = 0;

    for (size_t i = 0; i < wanted_count; i++)
        missing += !bsearch(&wanted[i], there, there_count, sizeof(*there), compare_inodes);
    return missing;
}

void bench_reload(void)
{
    static unsigned long before[SOCKETS_MAX], after[SOCKETS_MAX];
    static const char reload[] = "{\"method\":\"io.hvsock.Registry.Reload\"}";
    double ratios[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    BenchDaemon daemon;
    char note[128];

    first_port = 0x30000000u + (unsigned)(getpid() % 4096) * 0x10000u;
    bench_daemon_prepare(&daemon);
    for (unsigned i = 0; i < FILES; i++)
        write_file(&daemon, i, first_port + i);
    bench_daemon_start(&daemon);
    int fd = bench_connect(daemon.socket);
    bench_call_text(fd, reload); /* once it has answered, this connection is one of its sockets, too */
    for (unsigned i = 0; i < ROUNDS; i++) {
        write_file(&daemon, 17 + i, first_port + FILES + i);
        size_t before_count = socket_inodes(&daemon, before);
        double start = bench_now();
        const char *reply = bench_call_text(fd, reload);
        ours[i] = bench_now() - start;
        size_t after_count = socket_inodes(&daemon, after);
        size_t closed = missing_from(after, after_count, before, before_count), made = missing_from(before, before_count, after, after_count);
        if (before_count < FILES || closed != 1 || made != 1)
            bench_fail("of %zu sockets a reload closed %zu and made %zu; one each was due", before_count, closed, made);
        char expected[200];
        snprintf(expected, sizeof(expected), "{\"kind\":\"change\",\"object\":\"service\",\"name\":\"bench-%05u\",\"fields\":[\"port\"]}",
                 17 + i);
        const char *change = strstr(reply, "\"kind\"");
        if (!change || strstr(change + 1, "\"kind\"") || !strstr(reply, expected))
            bench_fail("Reload: %.300s", reply);
        bare[i] = bare_parse(&daemon);
        ratios[i] = ours[i] / bare[i];
    }
    close(fd);
    bench_daemon_remove(&daemon);
    snprintf(note, sizeof(note), "%.0f ms, bare %.0f ms; exactly one listener made anew", bench_median(ours, ROUNDS) * 1e3, bench_median(bare, ROUNDS) * 1e3);
    bench_row("reload of 10,000 files, one changed / parse all with libyaml", bench_median(ratios, ROUNDS), false, 2, note);
}
