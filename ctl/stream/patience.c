/* SPDX-License-Identifier: Apache-2.0 */
/* Trying again; lives as long as the verb. */

#include <poll.h>
#include <string.h>

#include "ctl/stream/patience.h"
#include "schema/base/text.h"

#define SECONDS_MAX 86400
#define INTERVAL_MS 5000
#define FIRST_MS 100

static int read_seconds(Ctl *ctl, const char *name, const char *option, uint64_t *seconds_ms)
{
    const char *text = given_value(&ctl->given, name, NULL);
    uint64_t seconds;

    if (!text)
        return 0;
    if (!text_to_number(text, SECONDS_MAX, &seconds) || seconds == 0)
        return ctl_usage(ctl, option, "seconds from 1 to 86400 would be right", "\"%s\" is no such number", text);
    *seconds_ms = seconds * 1000;
    return 0;
}

int patience_read(Ctl *ctl, Patience *ret)
{
    const char *retry = given_value(&ctl->given, "retry", "0");
    Patience patience = {.retries = UINT64_MAX, .interval_ms = INTERVAL_MS, .wait_ms = FIRST_MS};

    if (strcmp(retry, "forever") != 0 && !text_to_number(retry, UINT32_MAX, &patience.retries))
        return ctl_usage(ctl, "--retry", "a number, or forever, would be right", "\"%s\" is neither", retry);
    if (given_has(&ctl->given, "interval") && !given_has(&ctl->given, "retry"))
        return ctl_usage(ctl, "--interval", "give --retry too", "goes with --retry alone");
    int r = read_seconds(ctl, "timeout", "--timeout", &patience.timeout_ms);
    if (r == 0)
        r = read_seconds(ctl, "interval", "--interval", &patience.interval_ms);
    if (r == 0)
        *ret = patience;
    return r;
}

bool patience_again(Patience *patience, const sigset_t *signals)
{
    struct timespec wait = {.tv_sec = (time_t)(patience->wait_ms / 1000), .tv_nsec = (long)(patience->wait_ms % 1000 * 1000000)};

    if (patience->tries++ >= patience->retries)
        return false;
    ppoll(NULL, 0, &wait, signals);
    patience->wait_ms = patience->wait_ms * 2 < patience->interval_ms ? patience->wait_ms * 2 : patience->interval_ms;
    return true;
}
