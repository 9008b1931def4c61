/* SPDX-License-Identifier: Apache-2.0 */
/* Tells systemd what state we are in, without its library. sd_notify(3). */
#pragma once

#include <stdint.h>

/* state: `READY=1` and the like. Where nobody wants to know nothing happens. */
void notify_state(const char *state);
/* Within which time WATCHDOG=1 is to come, again and again, or systemd takes us for dead (WatchdogSec=); UINT64_MAX: nobody waits for
 * it. sd_watchdog_enabled(3). */
uint64_t notify_watchdog_us(void);
