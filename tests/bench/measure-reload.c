/* SPDX-License-Identifier: Apache-2.0 */
/* A reload of 10,000 files of which one has changed, beside a program that reads and parses them all with libyaml and does
 * nothing with it. And of the listeners, exactly one is made anew. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "tests/bench/bench.h"

#define ROUNDS 3

static void write_service(const Daemon *daemon, unsigned number, unsigned port)
{
    char path[128], text[256];

    snprintf(path, sizeof(path), "%s/etc/services.d/bench-%05u.yaml", daemon->folder, number);
    snprintf(text, sizeof(text), "services:\n  - name: bench-%u\n    elementName: Bench %u\n    port: %u\n    handout: {users: [root]}\n", number,
             number, port);
    file_write(path, text);
}

static void parse_file(const char *path)
{
    yaml_parser_t parser;
    yaml_event_t event;
    FILE *file = fopen(path, "re");

    if (!file || !yaml_parser_initialize(&parser))
        die("%s: %s", path, strerror(errno));
    yaml_parser_set_input_file(&parser, file);
    for (bool end = false; !end;) {
        if (!yaml_parser_parse(&parser, &event))
            die("%s: %s", path, parser.problem);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    fclose(file);
}

static double round_bare(const Daemon *daemon, unsigned count)
{
    char path[128];
    double began = now_s();

    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/etc/services.d/bench-%05u.yaml", daemon->folder, i);
        parse_file(path);
    }
    return now_s() - began;
}

static int compare_inodes(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

    return (x > y) - (x < y);
}

/* Of the sockets that the daemon has open, sorted. */
static size_t socket_inodes(const Daemon *daemon, unsigned long *ret, size_t capacity)
{
    char path[64], target[64];
    size_t count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", daemon->pid);
    DIR *folder = opendir(path);
    if (!folder)
        die("%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder));) {
        ssize_t n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (count < capacity && !strncmp(target, "socket:[", 8))
            ret[count++] = strtoul(target + 8, NULL, 10);
    }
    closedir(folder);
    qsort(ret, count, sizeof(*ret), compare_inodes);
    return count;
}

static size_t count_missing(const unsigned long *wanted, size_t wanted_count, const unsigned long *there, size_t there_count)
{
    size_t missing = 0;

    for (size_t i = 0; i < wanted_count; i++)
        missing += !bsearch(&wanted[i], there, there_count, sizeof(*there), compare_inodes);
    return missing;
}

static void run(const Bench *bench)
{
    static unsigned long before[20000], after[20000];
    Daemon daemon;
    Buffer reply = {0};
    double ratios[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    unsigned count = bench->quick ? 2000 : 10000;
    unsigned first_port = 0x38000000u + (unsigned)getpid() % 8192 * 16384;

    daemon_prepare(&daemon);
    for (unsigned i = 0; i < count; i++)
        write_service(&daemon, i, first_port + i);
    daemon_start(bench, &daemon);
    int fd = client_connect(daemon.socket);
    for (unsigned i = 0; i < ROUNDS; i++) {
        bare[i] = round_bare(&daemon, count);
        write_service(&daemon, 77, first_port + count + i);
        size_t before_count = socket_inodes(&daemon, before, 20000);
        double began = now_s();
        client_call(fd, "{\"method\":\"io.hvsock.Registry.Reload\"}", &reply);
        ours[i] = now_s() - began;
        ratios[i] = ours[i] / bare[i];
        size_t after_count = socket_inodes(&daemon, after, 20000);
        size_t closed = count_missing(before, before_count, after, after_count), made = count_missing(after, after_count, before, before_count);
        if (before_count < count || closed != 1 || made != 1)
            die("a reload of one file closed %zu sockets and made %zu, of %zu", closed, made, before_count);
    }
    report("reload", "reload of 10,000 files, one of them changed / reading and parsing them, bare libyaml", median(ratios, ROUNDS), AT_MOST, 2,
           "%.0f ms; bare %.0f ms; one listener of %u touched", median(ours, ROUNDS) * 1e3, median(bare, ROUNDS) * 1e3, count);
    close(fd);
    buffer_release(&reply);
    daemon_stop(&daemon);
    daemon_remove(&daemon);
}

const Measurement measure_reload = {"reload", run};
