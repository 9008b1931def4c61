/* SPDX-License-Identifier: Apache-2.0 */
/* Writing down what a try has come to; nothing is kept. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/place/holders.h"
#include "daemon/place/result.h"
#include "schema/base/cleanup.h"
#include "schema/base/process.h"

#define HOLDERS_MAX 64
#define HOLDERS_NAMED_MAX 4

void result_set(PlaceResult *result, PlaceState state, int error, const char *format, ...)
{
    va_list arguments;
    char *reason;

    result->state = state;
    result->error = error;
    free(result->reason);
    va_start(arguments, format);
    result->reason = vasprintf(&reason, format, arguments) < 0 ? NULL : reason;
    va_end(arguments);
}

void result_listening(PlaceResult *result, int fd_consume)
{
    result->state = PLACE_LISTENING;
    result->error = 0;
    result->fd = fd_consume;
}

bool result_set_resources(PlaceResult *result, int error)
{
    switch (error) {
    case EMFILE:
        result_set(result, PLACE_WAITING, error,
                   "this process has no file descriptor left; raise LimitNOFILE= (RLIMIT_NOFILE), or hold less");
        return true;
    case ENFILE:
        result_set(result, PLACE_WAITING, error,
                   "the system has no open file left; raise the sysctl fs.file-max, or end what holds so many");
        return true;
    case ENOMEM:
    case ENOBUFS:
        result_set(result, PLACE_WAITING, error, "the kernel has no memory for another socket");
        return true;
    default:
        return false;
    }
}

void result_watch(PlaceResult *result, const char *folder)
{
    free(result->watch_path);
    result->watch_path = strdup(folder); /* without it there is still the timer */
}

void result_find_holders(PlaceResult *result, const PlaceRequest *request, const uint64_t *inodes, size_t inode_count)
{
    char name[PROCESS_NAME_SIZE_BYTES];

    if (request->known_holder_count > 0 && (result->holders = calloc(request->known_holder_count, sizeof(pid_t))))
        for (size_t i = 0; i < request->known_holder_count; i++)
            if (process_name(request->known_holders[i], name, sizeof(name)))
                result->holders[result->holder_count++] = request->known_holders[i];
    if (result->holder_count > 0 || inode_count == 0)
        return;
    free(TAKE_PTR(result->holders));
    /* Not being able to look is the same as finding nobody. */
    if (holders_find(inodes, inode_count, HOLDERS_MAX, &result->holders, &result->holder_count) < 0)
        result->holder_count = 0;
}

bool result_name_holders(const PlaceResult *result, Buffer *text)
{
    size_t count = result->holder_count;
    size_t named = count > HOLDERS_NAMED_MAX ? HOLDERS_NAMED_MAX : count;
    char name[PROCESS_NAME_SIZE_BYTES];

    if (count == 0)
        return false;
    buffer_append_text(text, count == 1 ? "process " : "processes ");
    for (size_t i = 0; i < named; i++) {
        buffer_append_text(text, i == 0 ? "" : i + 1 == count ? " and " : ", ");
        buffer_append_number(text, (unsigned long long)result->holders[i]);
        if (process_name(result->holders[i], name, sizeof(name)))
            buffer_printf(text, " (%s)", name);
    }
    if (named < count)
        buffer_printf(text, " and %zu more", count - named);
    buffer_append_char(text, '\0'); /* it is read as a text */
    if (!text->failed)
        text->size_bytes--;
    return true;
}
