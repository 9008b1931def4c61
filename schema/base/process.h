/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of a process. All of it is true of whoever has the pid at this moment: who must be sure that it is
 * still the same process opens a pidfd first, asks, and looks afterwards whether the pidfd's process lives. proc(5). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_NAME_SIZE_BYTES 64

/* /proc/PID/comm, control characters and bytes that are not ASCII replaced by `?`; false where it is gone. */
bool process_name(pid_t pid, char *name, size_t size_bytes);
/* Field 22 of /proc/PID/stat, in ticks of sysconf(_SC_CLK_TCK) since boot: with the pid and the boot id it names a
 * process for good. */
bool process_start_time(pid_t pid, uint64_t *ret_ticks);
/* Who a process runs as (the effective uid); (uid_t)-1 where it is gone. */
uid_t process_owner(pid_t pid);
/* It has gone, or been killed and is about to: what it has is closed by itself, soon. */
bool process_is_ending(pid_t pid);
/* The same, and all that it had is closed: there is none, or a zombie. */
bool process_is_closed(pid_t pid);
/* The process of a pidfd has ended. poll(2) says so also of a zombie. */
bool process_has_ended(int pidfd);
