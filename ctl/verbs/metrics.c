/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl metrics: what hvsockd has counted, as Prometheus reads it: on stdout, into a file for node_exporter's textfile
 * collector, or as the answer to one HTTP request. RFC 9112. */

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/writer.h"

#define REQUEST_MAX_BYTES 16384
#define REQUEST_TIMEOUT_MS 5000
#define ANSWER_TIMEOUT_MS 30000
#define HTTP_TIMEOUT_MS 10000 /* as long as Prometheus waits, as it comes */

/* To the empty line. Which path is asked for is all the same. false: it is none, or does not end. */
static bool http_read_request(void)
{
    char request[REQUEST_MAX_BYTES + 1];
    size_t size_bytes = 0;

    while (size_bytes < REQUEST_MAX_BYTES) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&input, 1, REQUEST_TIMEOUT_MS) <= 0)
            return false;
        ssize_t count = read(STDIN_FILENO, request + size_bytes, REQUEST_MAX_BYTES - size_bytes);
        if (count <= 0)
            return false;
        size_bytes += (size_t)count;
        request[size_bytes] = '\0';
        if (strstr(request, "\r\n\r\n") || strstr(request, "\n\n"))
            return strncmp(request, "GET ", 4) == 0;
    }
    return false;
}

static void http_begin(Buffer *text, const char *status, size_t size_bytes)
{
    buffer_printf(text,
                  "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
                  "Connection: close\r\n\r\n",
                  status, size_bytes);
}

static int http_refuse(const char *status, const char *why)
{
    Buffer text = {0};

    http_begin(&text, status, strlen(why));
    buffer_append_text(&text, why);
    if (!text.failed)
        fwrite(text.data, 1, text.size_bytes, stdout);
    buffer_release(&text);
    return fflush(stdout) == EOF ? -errno : 0;
}

static int metrics_write(const Ctl *ctl, const char *text, bool http)
{
    _cleanup_(writer_release) Writer writer = {0};
    Buffer head = {0};
    int r = writer_open(given_value(&ctl->given, "output", NULL), false, &writer);

    if (r == 0 && http) {
        http_begin(&head, "200 OK", strlen(text));
        r = head.failed ? -ENOMEM : writer_write(head.data, head.size_bytes, &writer);
        buffer_release(&head);
    }
    if (r == 0)
        r = writer_write(text, strlen(text), &writer);
    if (r == 0)
        r = writer_commit(&writer);
    return r;
}

static int metrics_run(Ctl *ctl)
{
    _cleanup_(freep) char *reply = NULL;
    const char *output = given_value(&ctl->given, "output", NULL);
    bool http = given_has(&ctl->given, "http");
    Registry *registry;

    if (http && (output || ctl->output.json))
        return ctl_usage(ctl, "--http", NULL, "it answers on standard output, and goes with neither --output nor --json");
    if (http && !http_read_request())
        return http_refuse("400 Bad Request", "This answers GET, whichever path.\n");
    int r = ctl_open_within(ctl, http ? HTTP_TIMEOUT_MS : ANSWER_TIMEOUT_MS, &registry);
    if (r == 0)
        r = registry->ops->metrics(registry, &reply);
    if (r != 0 && http)
        http_refuse("503 Service Unavailable", "hvsockd does not answer, or not this user.\n");
    if (r != 0)
        return ctl_refused(ctl, r, ctl->registry ? "metrics" : NULL);
    if (ctl->output.json)
        return ctl_reply(ctl, reply);

    json_t *parsed = json_loads(reply, 0, NULL);
    const char *text = json_string_value(json_object_get(parsed, "text"));
    r = text ? metrics_write(ctl, text, http) : -EBADMSG;
    json_decref(parsed);
    if (r < 0 && output) {
        ctl_tell(output, "name a file in a folder that you may write to", "%s", strerror(-r));
        return EXIT_USAGE;
    }
    return r;
}

static const Option metrics_options[] = {
    {.name = "output",
     .argument = "PATH",
     .completes = COMPLETES_FILES,
     .help = "Where to write, in place of standard output: a file, which is replaced as a whole."},
    {.name = "http", .help = "Answer one HTTP request, on standard input and output."},
    {0},
};

const Verb verb_metrics = {
    .name = "metrics",
    .group = VERBS_OF_WATCHING,
    .synopsis = "[--output PATH | --http]",
    .help = "Print what hvsockd has counted, for Prometheus",
    .description =
        "Prometheus' text format, version 0.0.4: services and listeners by state, connections accepted and refused by service "
        "and reason, leases, programs, commits. Counters outlive hvsockd; they begin anew with the host's boot. For "
        "administrators.\n"
        "\n"
        "--output writes what node_exporter's textfile collector reads. With --http it is the program of a .socket unit with "
        "Accept=yes, so that Prometheus can ask for it.",
    .options = metrics_options,
    .run = metrics_run,
};
