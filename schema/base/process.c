/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of a process; nothing is kept. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/fd.h"
#include "schema/base/process.h"
#include "schema/base/text.h"

#define FLAG_EXITING 0x4 /* PF_* of linux/sched.h */
#define FLAG_SIGNALED 0x400

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

/* Of /proc/PID/stat, from the third on; NULL: there is none. */
static const char *stat_field(char *text, unsigned wanted)
{
    /* Field 2 is the name in parentheses, which may hold spaces and parentheses itself; nothing after it does. */
    char *field = strrchr(text, ')');

    for (unsigned number = 3; field && number <= wanted; number++) {
        field = strchr(field, ' ');
        if (field)
            field++;
    }
    return field;
}

bool process_start_time(pid_t pid, uint64_t *ret_ticks)
{
    char text[1024];

    if (!process_read(pid, "stat", text, sizeof(text)))
        return false;
    const char *field = stat_field(text, 22);
    return field && text_to_number_sized(field, strcspn(field, " \n"), UINT64_MAX, ret_ticks);
}

/* SIGKILL waits for it: of the thread, or of the process. */
static bool is_killed(pid_t pid)
{
    static const char *const lines[] = {"\nSigPnd:", "\nShdPnd:"};
    char text[2048];

    if (!process_read(pid, "status", text, sizeof(text)))
        return true;
    for (size_t i = 0; i < ELEMENTS_OF(lines); i++) {
        const char *line = strstr(text, lines[i]);
        if (line && strtoull(line + strlen(lines[i]), NULL, 16) & 1u << (SIGKILL - 1))
            return true;
    }
    return false;
}

bool process_is_closed(pid_t pid)
{
    char text[1024];

    if (!process_read(pid, "stat", text, sizeof(text)))
        return true;
    const char *state = stat_field(text, 3);
    return state && (*state == 'Z' || *state == 'X');
}

bool process_is_ending(pid_t pid)
{
    char text[1024];
    uint64_t flags = 0;

    if (process_is_closed(pid) || is_killed(pid) || !process_read(pid, "stat", text, sizeof(text)))
        return true;
    const char *field = stat_field(text, 9);
    return field && text_to_number_sized(field, strcspn(field, " \n"), UINT64_MAX, &flags) &&
           (flags & (FLAG_EXITING | FLAG_SIGNALED));
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
