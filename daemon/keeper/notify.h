/* SPDX-License-Identifier: Apache-2.0 */
/* Tells systemd what state we are in, without its library. sd_notify(3). */
#pragma once

/* state: `READY=1` and the like. Where nobody wants to know nothing happens. */
void notify_state(const char *state);
