/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the fields of a program that hvsock-keeper is to start: refused, or every text and index of it is within what was
 * given. Nothing is started. Input: one byte, how many descriptors there are; then fields. */

#include <errno.h>
#include <string.h>

#include "daemon/keeper/spec.h"
#include "tests/fuzz/fuzz.h"

static size_t text_bytes(char *const *list, size_t *count)
{
    size_t size = 0;

    for (*count = 0; list[*count]; (*count)++)
        size += strlen(list[*count]) + 1;
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const FrameField field = {.data = (const char *)data + 1, .size_bytes = size_bytes - 1};
    FrameFields fields;
    Spec spec = {.memory = NULL};

    if (size_bytes == 0 || frame_field_fields(&field, &fields) < 0)
        return 0;
    size_t fd_count = data[0];
    int r = spec_read(&fields, fd_count, &spec);
    PROMISED(r == 0 || r == -EBADMSG || r == -EPROTO || r == -EINVAL);
    if (r < 0) {
        PROMISED(!spec.memory);
        return 0;
    }
    size_t arguments, variables, size = text_bytes(spec.arguments, &arguments) + text_bytes(spec.environment, &variables);
    PROMISED(arguments > 0 && spec.arguments[0][0] == '/');
    size += strlen(spec.directory) + (spec.cgroup ? strlen(spec.cgroup) : 0);
    PROMISED(size <= size_bytes * 2 + 128);
    for (size_t i = 0; i < spec.listen_count; i++)
        PROMISED(spec.listen[i] < fd_count);
    for (int i = 0; i < 3; i++)
        PROMISED(spec.stdio[i] >= -1 && (spec.stdio[i] < 0 || (size_t)spec.stdio[i] < fd_count));
    PROMISED((spec.listen_count > 0) == (spec.listen_pid != NULL));
    PROMISED(spec.limit_count <= SPEC_LIMITS_MAX && spec.umask <= 0777);
    if (spec.listen_pid) {
        memcpy(spec.listen_pid + strlen("LISTEN_PID="), "2147483647", 11); /* there is room for any */
        text_bytes(spec.environment, &variables);
    }
    spec_release(&spec);
    return 0;
}
