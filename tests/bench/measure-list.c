/* SPDX-License-Identifier: Apache-2.0 */
/* A list of 100,000 services that are registered and disabled: what the daemon grows by while it writes it. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.h"

static void apply_disabled(int fd, unsigned first, unsigned count)
{
    Buffer call = {0}, reply = {0};

    buffer_append_text(&call, "{\"method\":\"io.hvsock.Registry.Apply\",\"parameters\":{\"services\":[");
    for (unsigned i = first; i < first + count; i++)
        buffer_printf(&call, "%s{\"name\":\"bench-%u\",\"port\":%u,\"enabled\":false}", i > first ? "," : "", i, 100000 + i);
    buffer_append_text(&call, "]}}");
    buffer_append_char(&call, '\0');
    client_call(fd, call.data, &reply);
    buffer_release(&call);
    buffer_release(&reply);
}

/* How many messages came, to the one that has no `continues`; it reads as fast as it can. */
static unsigned read_sequence(int fd)
{
    static char bytes[256 * 1024];
    static const char continues[] = "\"continues\":true";
    Buffer message = {0};
    unsigned count = 0;

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n <= 0)
            die("the list was cut off after %u", count);
        for (char *at = bytes, *end = bytes + n; at < end;) {
            char *nul = memchr(at, '\0', (size_t)(end - at));
            buffer_append(&message, at, (size_t)((nul ? nul + 1 : end) - at));
            if (!nul)
                break;
            at = nul + 1;
            count++;
            if (!strstr(message.data, continues)) {
                if (strstr(message.data, "\"error\""))
                    die("List: %.300s", message.data);
                buffer_release(&message);
                return count;
            }
            buffer_clear(&message);
        }
    }
}

static void run(const Bench *bench)
{
    static const char list[] = "{\"method\":\"io.hvsock.Registry.List\",\"more\":true}";
    Daemon daemon;
    unsigned count = bench->quick ? 20000 : 100000;

    daemon_prepare(&daemon);
    daemon_start(bench, &daemon);
    int fd = client_connect(daemon.socket);
    for (unsigned i = 0; i < count; i += 10000)
        apply_disabled(fd, i, 10000);
    close(fd);

    fd = client_connect(daemon.socket);
    size_t before_bytes = memory_resident_bytes(daemon.pid);
    memory_reset_peak(daemon.pid);
    double began = now_s();
    client_send(fd, list, sizeof(list));
    unsigned got = read_sequence(fd);
    double took_s = now_s() - began;
    if (got != count)
        die("%u of %u services were listed", got, count);
    size_t peak_bytes = memory_peak_bytes(daemon.pid);
    close(fd);
    report("list", "list of 100,000 services, disabled: the daemon grows by, MiB", (double)(peak_bytes - before_bytes) / 1048576, AT_MOST, 8,
           "%.0f ms for %u; %.0f MiB before", took_s * 1e3, got, (double)before_bytes / 1048576);
    daemon_stop(&daemon);
    daemon_remove(&daemon);
}

const Measurement measure_list = {"list", run};
