/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper is, written down for the program that is executed in its place: frames in a memfd, and descriptors under
 * the numbers that they have, without O_CLOEXEC for the moment of execve. Either side may be one version older: what it does
 * not know it skips, and nothing that is here today may change its meaning. memfd_create(2), execve(2).
 *
 * Where execve fails everything is as it was before. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/keeper/socket.h"
#include "daemon/keeper/state.h"

#define WRITE_BYTES (1u << 20)

typedef enum StateType {
    STATE_KEEPER = 1,
    STATE_PEER = 2,
    STATE_ITEM = 3,
} StateType;

/* Beside those of keeper.h. */
typedef enum StateTag {
    STATE_TAG_FD = 0x100, /* its number; again and again */
    STATE_TAG_REMOVES_PATH,
    STATE_TAG_DEVICE, /* of the path */
    STATE_TAG_INODE,
    STATE_TAG_FILES, /* RLIMIT_NOFILE's soft limit, which programs get */
    STATE_TAG_SERIAL,
    STATE_TAG_IS_CLIENT,
    STATE_TAG_STOP_TIMEOUT_US,
    STATE_TAG_KILL_AT_US, /* it is being stopped */
    STATE_TAG_CGROUP,
} StateTag;

/* ---- writing ---- */

static void set_cloexec(int fd, bool cloexec)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0);
}

static void set_all_cloexec(const Keeper *keeper, bool cloexec)
{
    const Item *item;
    const Peer *peer;

    set_cloexec(keeper->listener_fd, cloexec);
    TAILQ_FOREACH(peer, &keeper->peers, link)
        set_cloexec(peer->fd, cloexec);
    TAILQ_FOREACH(item, &keeper->items.order, link)
        for (size_t i = 0; i < item->fd_count; i++)
            set_cloexec(item->fds[i], cloexec);
}

static void put_program(Buffer *frame, const Program *program)
{
    frame_put_number(frame, KEEPER_TAG_PID, (uint64_t)program->pid);
    frame_put_number(frame, STATE_TAG_STOP_TIMEOUT_US, program->stop_timeout_us);
    if (program->has_ended)
        frame_put_number(frame, KEEPER_TAG_STATUS, (uint64_t)(unsigned)program->status);
    if (program->is_stopping)
        frame_put_number(frame, STATE_TAG_KILL_AT_US, program->kill_at_us);
    frame_put_text(frame, STATE_TAG_CGROUP, program->cgroup);
}

static void put_item(Buffer *frame, const Item *item)
{
    frame_begin(frame, KEEPER_VERSION, STATE_ITEM, 0);
    frame_put(frame, KEEPER_TAG_KEY, item_key(item), item->key_size_bytes);
    frame_put(frame, KEEPER_TAG_VALUE, item_value(item), item->value_size_bytes);
    for (size_t i = 0; i < item->fd_count; i++)
        frame_put_number(frame, STATE_TAG_FD, (uint64_t)item->fds[i]);
    if (item->program)
        put_program(frame, item->program);
}

static void put_keeper(Buffer *frame, const Keeper *keeper)
{
    frame_begin(frame, KEEPER_VERSION, STATE_KEEPER, 0);
    frame_put(frame, KEEPER_TAG_INSTANCE, keeper->instance, sizeof(keeper->instance));
    frame_put_number(frame, STATE_TAG_FD, (uint64_t)keeper->listener_fd);
    frame_put_number(frame, STATE_TAG_REMOVES_PATH, keeper->removes_path);
    frame_put_number(frame, STATE_TAG_DEVICE, keeper->path_status.st_dev);
    frame_put_number(frame, STATE_TAG_INODE, keeper->path_status.st_ino);
    frame_put_number(frame, STATE_TAG_FILES, keeper->spawner.files.rlim_cur);
    frame_put_number(frame, STATE_TAG_SERIAL, keeper->cgroups.serial);
}

static int write_out(int fd, Buffer *gathered)
{
    for (size_t at = 0; at < gathered->size_bytes;) {
        ssize_t n = write(fd, gathered->data + at, gathered->size_bytes - at);
        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (size_t)n : 0;
    }
    buffer_clear(gathered);
    return 0;
}

/* Ends the frame and adds it to what is to be written. */
static int gather(int fd, Buffer *frame, Buffer *gathered)
{
    int r = frame_end(frame);

    if (r < 0)
        return r;
    buffer_append(gathered, frame->data, frame->size_bytes);
    if (gathered->failed)
        return -ENOMEM;
    return gathered->size_bytes < WRITE_BYTES ? 0 : write_out(fd, gathered);
}

static int write_state(Keeper *keeper, int fd)
{
    _cleanup_(buffer_release) Buffer gathered = {0};
    Buffer *frame = &keeper->out;
    const Item *item;
    Peer *peer;

    put_keeper(frame, keeper);
    int r = gather(fd, frame, &gathered);
    TAILQ_FOREACH(item, &keeper->items.order, link) {
        if (r < 0)
            return r;
        put_item(frame, item);
        r = gather(fd, frame, &gathered);
    }
    TAILQ_FOREACH(peer, &keeper->peers, link) {
        if (r < 0)
            return r;
        if (peer->fd < 0)
            continue;
        peer_end_begun(peer);
        frame_begin(frame, KEEPER_VERSION, STATE_PEER, 0);
        frame_put_number(frame, STATE_TAG_FD, (uint64_t)peer->fd);
        frame_put_number(frame, STATE_TAG_IS_CLIENT, peer == keeper->client);
        r = gather(fd, frame, &gathered);
    }
    return r < 0 ? r : write_out(fd, &gathered);
}

int state_hand_over(Keeper *keeper)
{
    char resume[32];
    _cleanup_(fd_closep) int fd = memfd_create("hvsock-keeper", MFD_CLOEXEC);
    _cleanup_(freep) char **arguments = NULL;
    size_t count = 0;

    if (fd < 0)
        return -errno;
    int r = write_state(keeper, fd);
    if (r < 0)
        return r;
    while (keeper->arguments[count])
        count++;
    arguments = calloc(count + 2, sizeof(*arguments));
    if (!arguments)
        return -ENOMEM;
    memcpy(arguments, keeper->arguments, count * sizeof(*arguments));
    /* We may have been executed so ourselves. */
    if (count > 1 && strncmp(arguments[count - 1], "--resume=", strlen("--resume=")) == 0)
        count--;
    snprintf(resume, sizeof(resume), "--resume=%d", fd);
    arguments[count] = resume;
    set_cloexec(fd, false);
    set_all_cloexec(keeper, false);
    errno = ENOENT;
    if (keeper->program_path)
        execv(keeper->program_path, arguments);
    r = -errno;
    set_all_cloexec(keeper, true);
    return r;
}

/* ---- reading ---- */

typedef struct Fields Fields;

struct Fields {
    FrameField key, value, instance, cgroup;
    uint64_t removes_path, device, inode, files, serial, is_client, stop_timeout_us, kill_at_us, pid, status;
    bool has_status, has_kill_at;
    int fds[KEEPER_ITEM_FDS_MAX];
    size_t fd_count;
};

/* What is not known, or of another shape, is skipped. */
static void read_fields(FrameFields fields, Fields *ret)
{
    FrameField field;

    *ret = (Fields){0};
    while (frame_next(&fields, &field)) {
        uint64_t number = 0;
        bool is_number = frame_field_number(&field, &number) == 0;
        switch (field.tag) {
        case KEEPER_TAG_KEY:
            ret->key = field;
            break;
        case KEEPER_TAG_VALUE:
            ret->value = field;
            break;
        case KEEPER_TAG_INSTANCE:
            ret->instance = field;
            break;
        case STATE_TAG_CGROUP:
            ret->cgroup = field;
            break;
        case STATE_TAG_FD:
            if (is_number && number <= INT32_MAX && ret->fd_count < ELEMENTS_OF(ret->fds))
                ret->fds[ret->fd_count++] = (int)number;
            break;
        case STATE_TAG_REMOVES_PATH:
            ret->removes_path = number;
            break;
        case STATE_TAG_DEVICE:
            ret->device = number;
            break;
        case STATE_TAG_INODE:
            ret->inode = number;
            break;
        case STATE_TAG_FILES:
            ret->files = number;
            break;
        case STATE_TAG_SERIAL:
            ret->serial = number;
            break;
        case STATE_TAG_IS_CLIENT:
            ret->is_client = number;
            break;
        case STATE_TAG_STOP_TIMEOUT_US:
            ret->stop_timeout_us = number;
            break;
        case STATE_TAG_KILL_AT_US:
            ret->kill_at_us = number;
            ret->has_kill_at = is_number;
            break;
        case KEEPER_TAG_PID:
            ret->pid = number;
            break;
        case KEEPER_TAG_STATUS:
            ret->status = number;
            ret->has_status = is_number;
            break;
        default: /* a newer side's */
            break;
        }
    }
}

static int resume_keeper(Keeper *keeper, const Fields *fields)
{
    if (fields->fd_count != 1)
        return -EBADMSG;
    int r = fd_set_nonblocking(fields->fds[0], true);
    if (r < 0)
        return r;
    set_cloexec(fields->fds[0], true);
    keeper->listener_fd = fields->fds[0];
    keeper->removes_path = fields->removes_path != 0;
    keeper->path_status.st_dev = (dev_t)fields->device;
    keeper->path_status.st_ino = (ino_t)fields->inode;
    if (fields->instance.size_bytes == sizeof(keeper->instance))
        memcpy(keeper->instance, fields->instance.data, sizeof(keeper->instance));
    if (fields->files > 0)
        keeper->spawner.files.rlim_cur = fields->files;
    keeper->cgroups.serial = fields->serial;
    return 0;
}

static int resume_program(Keeper *keeper, Item *item, const Fields *fields)
{
    _cleanup_(freep) char *cgroup = NULL;
    Program *program;
    int r = program_add(keeper, item, &program);

    if (r < 0)
        return r;
    if (fields->cgroup.size_bytes > 0 && fields->cgroup.size_bytes < CGROUP_NAME_SIZE_BYTES)
        frame_field_text(&fields->cgroup, &cgroup);
    program->stop_timeout_us = fields->stop_timeout_us;
    program_runs(keeper, program, (pid_t)fields->pid, TAKE_PTR(cgroup));
    program_resumed(keeper, program, fields->has_status ? (int)fields->status : -1,
                    fields->has_kill_at ? fields->kill_at_us : 0);
    return 0;
}

static int resume_item(Keeper *keeper, const Fields *fields)
{
    Item *item;

    for (size_t i = 0; i < fields->fd_count; i++)
        set_cloexec(fields->fds[i], true);
    if (fields->key.size_bytes == 0 || fields->key.size_bytes > KEEPER_KEY_MAX_BYTES ||
        fields->value.size_bytes > KEEPER_VALUE_MAX_BYTES)
        return -EBADMSG;
    int r = items_put(&keeper->items, fields->key.data, fields->key.size_bytes, fields->value.data, fields->value.size_bytes,
                      fields->fds, fields->fd_count, &item);
    if (r == 0 && fields->pid > 0)
        r = resume_program(keeper, item, fields);
    return r;
}

static int resume_frame(Keeper *keeper, const Frame *frame)
{
    Fields fields;

    read_fields(frame->fields, &fields);
    switch (frame->type) {
    case STATE_KEEPER:
        return resume_keeper(keeper, &fields);
    case STATE_ITEM:
        return resume_item(keeper, &fields);
    case STATE_PEER:
        if (fields.fd_count == 1) {
            set_cloexec(fields.fds[0], true);
            peer_add_consume(keeper, fields.fds[0], fields.is_client != 0);
        }
        return 0;
    default: /* a newer side's */
        return 0;
    }
}

int state_resume_consume(Keeper *keeper, int fd)
{
    _cleanup_(fd_closep) int own = fd;
    struct stat status;
    int r = 0;

    if (fstat(own, &status) < 0)
        return -errno;
    size_t size = (size_t)status.st_size;
    char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, own, 0);
    if (data == MAP_FAILED)
        return -errno;
    for (size_t at = 0, step; r != -ENOMEM && at < size; at += step) {
        Frame frame;
        step = frame_size(data + at, size - at);
        r = step == 0 ? -EBADMSG : frame_read(data + at, step, &frame);
        if (r == 0)
            r = resume_frame(keeper, &frame);
        if (r < 0)
            keeper_note("what was held before cannot all be taken over: %s", strerror(-r));
        if (step == 0)
            break;
    }
    munmap(data, size);
    return keeper->listener_fd < 0 ? -EBADMSG : r == -ENOMEM ? r : 0;
}
