/* SPDX-License-Identifier: Apache-2.0 */
/* One datagram to NOTIFY_SOCKET. sd_notify(3), "Notes" and "Standalone Implementations". */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/keeper/notify.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

void notify_state(const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size) < 0)
        return; /* it has gone; nothing depends on it */
}

uint64_t notify_watchdog_us(void)
{
    const char *text = getenv("WATCHDOG_USEC"), *pid_text = getenv("WATCHDOG_PID");
    uint64_t time_us, pid;

    if (!text || !text_to_number(text, INT64_MAX, &time_us) || time_us == 0)
        return UINT64_MAX;
    if (pid_text && (!text_to_number(pid_text, INT32_MAX, &pid) || (pid_t)pid != getpid()))
        return UINT64_MAX;
    return time_us;
}
