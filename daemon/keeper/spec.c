/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is to be: fields are read twice, first for how much memory all of it takes. Lives for one start. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "daemon/keeper/spec.h"
#include "schema/wire/keeper.h"

#define STOP_TIMEOUT_DEFAULT_US 10000000
#define UMASK_DEFAULT 0022
#define LISTEN_VARIABLES 3
#define LISTEN_VARIABLE_BYTES 32 /* but for the names */

typedef struct Sizes Sizes;

struct Sizes {
    size_t arguments, variables, groups, listen, text_bytes;
};

static int measure(FrameFields fields, Sizes *ret)
{
    FrameField field;

    *ret = (Sizes){.text_bytes = sizeof("/") + LISTEN_VARIABLES * LISTEN_VARIABLE_BYTES};
    while (frame_next(&fields, &field)) {
        switch (field.tag) {
        case KEEPER_PROGRAM_ARGUMENT:
            ret->arguments++;
            break;
        case KEEPER_PROGRAM_ENVIRONMENT:
            ret->variables++;
            break;
        case KEEPER_PROGRAM_GROUP:
            ret->groups++;
            continue;
        case KEEPER_PROGRAM_LISTEN:
            ret->listen++;
            continue;
        case KEEPER_PROGRAM_DIRECTORY:
        case KEEPER_PROGRAM_LISTEN_NAMES:
        case KEEPER_PROGRAM_CGROUP:
            break;
        default: /* numbers, of any side's */
            continue;
        }
        if (memchr(field.data, '\0', field.size_bytes))
            return -EBADMSG;
        ret->text_bytes += field.size_bytes + 1;
    }
    return 0;
}

static char *put_text(char **at, const void *data, size_t size_bytes)
{
    char *text = *at;

    if (size_bytes > 0)
        memcpy(text, data, size_bytes);
    text[size_bytes] = '\0';
    *at = text + size_bytes + 1;
    return text;
}

static int read_number(const FrameField *field, uint64_t max, uint64_t *ret)
{
    uint64_t number;
    int r = frame_field_number(field, &number);

    if (r < 0)
        return r;
    if (number > max)
        return -EINVAL;
    *ret = number;
    return 0;
}

static int read_index(const FrameField *field, size_t fd_count, size_t *ret)
{
    uint64_t number;
    int r = fd_count > 0 ? read_number(field, fd_count - 1, &number) : -EINVAL;

    if (r == 0)
        *ret = (size_t)number;
    return r;
}

static int read_limit(const FrameField *field, Spec *spec)
{
    uint64_t numbers[3];

    if (field->size_bytes != sizeof(numbers))
        return -EBADMSG;
    memcpy(numbers, field->data, sizeof(numbers));
    if (numbers[0] >= RLIM_NLIMITS || spec->limit_count == ELEMENTS_OF(spec->limits))
        return -EINVAL;
    spec->limits[spec->limit_count++] = (SpecLimit){(int)numbers[0], {numbers[1], numbers[2]}};
    return 0;
}

/* Those of the numbers that change what it is. -EPROTO: it is none of them. */
static int read_setting(const FrameField *field, size_t fd_count, Spec *spec)
{
    uint64_t number;
    size_t index;
    int r;

    switch (field->tag) {
    case KEEPER_PROGRAM_UID:
        r = read_number(field, UINT32_MAX - 1, &number);
        if (r == 0) {
            spec->uid = (uid_t)number;
            spec->has_uid = true;
        }
        return r;
    case KEEPER_PROGRAM_GID:
    case KEEPER_PROGRAM_GROUP:
        r = read_number(field, UINT32_MAX - 1, &number);
        if (r == 0 && field->tag == KEEPER_PROGRAM_GROUP) {
            spec->groups[spec->group_count++] = (gid_t)number;
        } else if (r == 0) {
            spec->gid = (gid_t)number;
            spec->has_gid = true;
        }
        return r;
    case KEEPER_PROGRAM_UMASK:
        r = read_number(field, 0777, &number);
        if (r == 0)
            spec->umask = (mode_t)number;
        return r;
    case KEEPER_PROGRAM_LIMIT:
        return read_limit(field, spec);
    case KEEPER_PROGRAM_STDIN:
    case KEEPER_PROGRAM_STDOUT:
    case KEEPER_PROGRAM_STDERR:
        r = read_index(field, fd_count, &index);
        if (r == 0)
            spec->stdio[field->tag - KEEPER_PROGRAM_STDIN] = (int)index;
        return r;
    case KEEPER_PROGRAM_LISTEN:
        r = read_index(field, fd_count, &index);
        if (r == 0)
            spec->listen[spec->listen_count++] = index;
        return r;
    case KEEPER_PROGRAM_STOP_TIMEOUT_US:
        return read_number(field, UINT64_MAX / 4, &spec->stop_timeout_us);
    default: /* a newer side's */
        return field->tag & FRAME_CRITICAL ? -EPROTO : 0;
    }
}

static bool is_of_listen(const FrameField *variable)
{
    static const char *const names[] = {"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "LISTEN_PIDFDID="};

    for (size_t i = 0; i < ELEMENTS_OF(names); i++)
        if (variable->size_bytes >= strlen(names[i]) && memcmp(variable->data, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static int read_all(FrameFields fields, const Sizes *sizes, size_t fd_count, Spec *spec)
{
    char *text = (char *)(spec->groups + sizes->groups);
    size_t arguments = 0, variables = 0;
    FrameField field;
    const FrameField *names = NULL;
    FrameField names_field;
    int r = 0;

    spec->directory = put_text(&text, "/", 1);
    while (r == 0 && frame_next(&fields, &field)) {
        switch (field.tag) {
        case KEEPER_PROGRAM_ARGUMENT:
            spec->arguments[arguments++] = put_text(&text, field.data, field.size_bytes);
            break;
        case KEEPER_PROGRAM_ENVIRONMENT:
            /* What we say of LISTEN_FDS is said once. */
            if (sizes->listen == 0 || !is_of_listen(&field))
                spec->environment[variables++] = put_text(&text, field.data, field.size_bytes);
            break;
        case KEEPER_PROGRAM_DIRECTORY:
            spec->directory = put_text(&text, field.data, field.size_bytes);
            break;
        case KEEPER_PROGRAM_CGROUP:
            spec->cgroup = put_text(&text, field.data, field.size_bytes);
            break;
        case KEEPER_PROGRAM_LISTEN_NAMES:
            names_field = field;
            names = &names_field;
            break;
        default:
            r = read_setting(&field, fd_count, spec);
        }
    }
    if (r < 0)
        return r;
    if (arguments == 0 || spec->arguments[0][0] != '/')
        return -EINVAL;
    if (sizes->listen > 0) {
        char variable[LISTEN_VARIABLE_BYTES];
        int size = snprintf(variable, sizeof(variable), "LISTEN_FDS=%zu", sizes->listen);
        spec->environment[variables++] = put_text(&text, variable, (size_t)size);
        spec->listen_pid = text;
        spec->environment[variables++] = text;
        memcpy(text, "LISTEN_PID=", sizeof("LISTEN_PID="));
        text += LISTEN_VARIABLE_BYTES;
        if (names) {
            spec->environment[variables++] = text;
            memcpy(text, "LISTEN_FDNAMES=", strlen("LISTEN_FDNAMES="));
            text += strlen("LISTEN_FDNAMES=");
            put_text(&text, names->data, names->size_bytes);
        }
    }
    return 0;
}

int spec_read(const FrameFields *fields, size_t fd_count, Spec *ret)
{
    _cleanup_(spec_release) Spec spec = {
        .umask = UMASK_DEFAULT, .stop_timeout_us = STOP_TIMEOUT_DEFAULT_US, .stdio = {-1, -1, -1}};
    Sizes sizes;
    int r = measure(*fields, &sizes);

    if (r < 0)
        return r;
    size_t pointers = sizes.arguments + 1 + sizes.variables + LISTEN_VARIABLES + 1;
    spec.memory = calloc(1, pointers * sizeof(*spec.arguments) + sizes.listen * sizeof(size_t) + sizes.groups * sizeof(gid_t) +
                                sizes.text_bytes);
    if (!spec.memory)
        return -ENOMEM;
    spec.arguments = (char **)(void *)spec.memory;
    spec.environment = spec.arguments + sizes.arguments + 1;
    spec.listen = (size_t *)(void *)(spec.arguments + pointers);
    spec.groups = (gid_t *)(void *)(spec.listen + sizes.listen);
    r = read_all(*fields, &sizes, fd_count, &spec);
    if (r < 0)
        return r;
    *ret = spec;
    spec.memory = NULL;
    return 0;
}

void spec_release(Spec *spec)
{
    free(spec->memory);
    *spec = (Spec){0};
}
