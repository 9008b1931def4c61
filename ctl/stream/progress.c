/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes and rates for people; lives as long as a connection. */

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ctl/stream/progress.h"

#define EVERY_MS 1000

uint64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int clock_left_ms(uint64_t deadline_ms)
{
    uint64_t now_ms = clock_ms(), left_ms = now_ms >= deadline_ms ? 0 : deadline_ms - now_ms;

    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

/* `512 B`, `1.5 MiB`. */
static const char *size_text(uint64_t bytes, char text[static 24])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)bytes;
    int unit = -1;

    while (size >= 1024 && unit < 5) {
        size /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(text, 24, "%" PRIu64 " B", bytes);
    else
        snprintf(text, 24, "%.1f %s", size, units[unit]);
    return text;
}

static uint64_t rate(uint64_t bytes, uint64_t ms)
{
    return ms == 0 ? bytes * 1000 : (uint64_t)((double)bytes * 1000 / (double)ms);
}

void progress_begin(Progress *progress)
{
    *progress = (Progress){.began_ms = clock_ms(), .terminal = isatty(STDERR_FILENO)};
    progress->told_ms = progress->began_ms;
}

int progress_wait_ms(const Progress *progress)
{
    uint64_t passed_ms = clock_ms() - progress->told_ms;

    return passed_ms >= EVERY_MS ? 0 : (int)(EVERY_MS - passed_ms);
}

/* At the end the rates are those of all the time. */
void progress_tell(Progress *progress, uint64_t sent_bytes, uint64_t received_bytes, bool last)
{
    uint64_t now_ms = clock_ms(), since_ms = now_ms - progress->told_ms, all_ms = now_ms - progress->began_ms;
    char sent[24], received[24], sent_rate[24], received_rate[24], line[200];

    if (!last && since_ms < EVERY_MS)
        return;
    size_text(last ? rate(sent_bytes, all_ms) : rate(sent_bytes - progress->told_sent_bytes, since_ms), sent_rate);
    size_text(last ? rate(received_bytes, all_ms) : rate(received_bytes - progress->told_received_bytes, since_ms), received_rate);
    int size = snprintf(line, sizeof(line), "%ssent %s (%s/s), received %s (%s/s), %" PRIu64 ".%" PRIu64 " s%s%s",
                        progress->terminal ? "\r" : "", size_text(sent_bytes, sent), sent_rate,
                        size_text(received_bytes, received), received_rate, all_ms / 1000, all_ms % 1000 / 100,
                        progress->terminal ? "\033[K" : "", progress->terminal && !last ? "" : "\n");
    progress->told_ms = now_ms;
    progress->told_sent_bytes = sent_bytes;
    progress->told_received_bytes = received_bytes;
    if (size > 0 && (size_t)size < sizeof(line) && write(STDERR_FILENO, line, (size_t)size) < 0)
        return; /* nobody who could be told */
}
