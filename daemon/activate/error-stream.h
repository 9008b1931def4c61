/* SPDX-License-Identifier: Apache-2.0 */
/* Where programs write their standard error: into the journal under the service's name, where our own goes there; else to
 * where our own goes. sd_journal_stream_fd(3). */
#pragma once

/* The caller's; -errno. */
int error_stream_open(const char *service);
