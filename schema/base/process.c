/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of a process; nothing is kept. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/fd.h"
#include "schema/base/process.h"
#include "schema/base/text.h"

/* The beginning of /proc/PID/NAME, ended by NUL. */
static bool process_read(pid_t pid, const char *name, char *text, size_t size_bytes)
{
    char path[64];

    if (pid <= 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;

    size_t filled = 0;
    while (filled < size_bytes - 1) {
        ssize_t n = read(fd, text + filled, size_bytes - 1 - filled);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false; /* ESRCH: it ended in between */
        if (n == 0)
            break;
        filled += (size_t)n;
        if (filled < size_bytes - 1)
            break; /* each of these files comes in one piece */
    }
    text[filled] = '\0';
    return filled > 0;
}

bool process_name(pid_t pid, char *name, size_t size_bytes)
{
    char text[PROCESS_NAME_SIZE_BYTES];

    if (size_bytes == 0 || !process_read(pid, "comm", text, sizeof(text)))
        return false;
    /* A process chooses this name, and it goes to logs and terminals. Its last byte is the newline that proc adds. */
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
    snprintf(name, size_bytes, "%s", text);
    return true;
}

bool process_start_time(pid_t pid, uint64_t *ret_ticks)
{
    char text[1024];

    if (!process_read(pid, "stat", text, sizeof(text)))
        return false;
    /* Field 2 is the name in parentheses, which may hold spaces and parentheses itself; nothing after it does. */
    char *field = strrchr(text, ')');
    if (!field)
        return false;
    field++;
    for (unsigned number = 3; number <= 22; number++) {
        field = strchr(field, ' ');
        if (!field)
            return false;
        field++;
    }
    return text_to_number_sized(field, strcspn(field, " \n"), UINT64_MAX, ret_ticks);
}

uid_t process_owner(pid_t pid)
{
    char text[2048];
    unsigned real, effective;

    if (!process_read(pid, "status", text, sizeof(text)))
        return (uid_t)-1;
    /* The only line before it that a process chooses is its name, whose newlines are escaped. */
    const char *line = strstr(text, "\nUid:");
    if (!line || sscanf(line, "\nUid: %u %u", &real, &effective) != 2)
        return (uid_t)-1;
    return effective;
}

bool process_has_ended(int pidfd)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}
