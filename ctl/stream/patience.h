/* SPDX-License-Identifier: Apache-2.0 */
/* --timeout, --retry and --interval: how long and how often something is tried. */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "ctl/ctl.h"

typedef struct Patience Patience;

struct Patience {
    uint64_t timeout_ms;  /* 0: not given */
    uint64_t retries;     /* after the first try; UINT64_MAX: for ever */
    uint64_t interval_ms; /* at most, between two tries */
    uint64_t tries, wait_ms;
};

/* 0; EXIT_USAGE (told). */
int patience_read(Ctl *ctl, Patience *ret);
/* After a try that failed: whether there is to be another, and then waits before it. signals: those that are blocked meanwhile, so
 * that others end us, ppoll(2); NULL: as they are. */
bool patience_again(Patience *patience, const sigset_t *signals);

#define OPTIONS_PATIENCE(when_)                                                                                        \
    {.name = "retry",                                                                                                  \
     .argument = "N|forever",                                                                                          \
     .help = "Try again so often" when_ ": after a tenth of a second, and then after twice the time of before."},      \
    {                                                                                                                  \
        .name = "interval", .argument = "SECONDS", .help = "The most that --retry waits between two tries; default 5." \
    }
