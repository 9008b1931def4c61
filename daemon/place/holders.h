/* SPDX-License-Identifier: Apache-2.0 */
/* Which processes hold a socket, by its inode, from /proc/PID/fd (proc(5)). Sees other users' processes only with the
 * right to (CAP_SYS_PTRACE, or root). Costs a walk over /proc: for errors and for what is draining, never on the way of
 * a call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/base/process.h"

/* All holders of any of these inodes but ourselves; at most max. None: *ret_pids is NULL. -errno. */
int holders_find(const uint64_t *inodes, size_t inode_count, size_t max, pid_t **ret_pids, size_t *ret_count);
/* Whether that process holds it; false also where that is not to be seen. */
bool holders_has_process(pid_t pid, uint64_t inode);
/* The inode of a socket; 0 where it cannot be told. */
uint64_t holders_inode(int fd);
/* The inode of the AF_VSOCK listener on this port in our network namespace, by vsock_diag (what `ss --vsock` reads); 0:
 * none, or not to be had. */
uint64_t holders_vsock_inode(uint32_t port);
/* The inode of the unix socket that is bound to this file, in our network namespace, by unix_diag (`ss -x`); 0
 * likewise. */
uint64_t holders_unix_inode(uint64_t device, uint64_t file_inode);

/* Which of these sockets are still open, anywhere: in a process, or on their way to one (unix_diag, vsock_diag). All of
 * them are of one family, in our network namespace. -errno: the kernel cannot tell. */
int holders_check_open(int family, const uint64_t *inodes, size_t count, bool *ret_open);
/* One process for each of these sockets that holds it, beside ourselves and that one (or 0); 0: none that can be seen. One
 * walk. -errno. */
int holders_of_each(const uint64_t *inodes, size_t count, pid_t but, pid_t *ret_pids);

/* The same of one process alone, into those of ret_pids that are 0. Nothing where its descriptors are not to be seen: false. */
bool holders_in_process(pid_t pid, const uint64_t *inodes, size_t count, pid_t *ret_pids);

typedef struct HoldersVsock {
    uint32_t local_port, peer_cid, peer_port;
    uint64_t inode;
} HoldersVsock;
/* Every AF_VSOCK connection of our network namespace. -errno: the kernel cannot tell. */
int holders_each_vsock(void (*visit)(const HoldersVsock *connection, void *userdata), void *userdata);
