/* SPDX-License-Identifier: Apache-2.0 */
/* Starts are counted from the first of a time on, as systemd does (systemd.unit(5), StartLimitIntervalSec=): two numbers are
 * enough, however many starts are allowed. */

#include <stddef.h>

#include "daemon/activate/start-limit.h"
#include "schema/model/quantity.h"

StartVerdict start_limit_ask_failures(const StartLimit *limit, uint64_t now_ns)
{
    if (limit->failures >= START_FAILURES_MAX)
        return START_NEVER;
    return now_ns < limit->next_ns ? START_LATER : START_NOW;
}

bool start_limit_is_counting(const StartLimit *limit, const char *text, uint64_t now_ns)
{
    uint32_t count, seconds = 10;

    start_limit_parse(text ? text : START_LIMIT_DEFAULT, &count, &seconds);
    return limit->count > 0 && now_ns >= limit->begin_ns && now_ns - limit->begin_ns < (uint64_t)seconds * 1000000000u;
}

StartVerdict start_limit_ask(StartLimit *limit, const char *text, uint64_t now_ns)
{
    uint32_t count = 5, seconds;
    StartVerdict verdict = start_limit_ask_failures(limit, now_ns);

    if (verdict != START_NOW)
        return verdict;
    start_limit_parse(text ? text : START_LIMIT_DEFAULT, &count, &seconds);
    if (!start_limit_is_counting(limit, text, now_ns)) {
        limit->begin_ns = now_ns;
        limit->count = 0;
    }
    if (limit->count >= count)
        return START_NEVER;
    limit->count++;
    return START_NOW;
}

bool start_limit_failed(StartLimit *limit, bool passing, uint64_t now_ns)
{
    uint64_t wait_ns = START_BACK_OFF_FIRST_NS;

    for (uint32_t i = 0; i < limit->back_offs && wait_ns < START_BACK_OFF_MAX_NS; i++)
        wait_ns *= 2;
    limit->next_ns = now_ns + (wait_ns < START_BACK_OFF_MAX_NS ? wait_ns : START_BACK_OFF_MAX_NS);
    if (limit->back_offs < UINT32_MAX)
        limit->back_offs++;
    if (!passing && limit->failures < START_FAILURES_MAX)
        limit->failures++;
    return limit->failures < START_FAILURES_MAX;
}

void start_limit_succeeded(StartLimit *limit)
{
    limit->failures = 0;
    limit->back_offs = 0;
    limit->next_ns = 0;
}
