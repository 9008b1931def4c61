/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: how they are put together, taken apart, sent and received. Holds no state of its own; what comes from a peer is
 * never trusted: every size is held against what is there. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/wire/frame.h"

typedef struct FrameHeader FrameHeader;
typedef struct FieldHeader FieldHeader;

struct FrameHeader {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t request;
    uint32_t size_bytes;
};

struct FieldHeader {
    uint16_t tag;
    uint16_t zero;
    uint32_t size_bytes;
};

#define PADDING_OF(size_) (-(size_) & 3)

/* ---- writing ---- */

void frame_begin(Buffer *frame, uint16_t version, uint16_t type, uint32_t request)
{
    const FrameHeader header = {.magic = FRAME_MAGIC, .version = version, .type = type, .request = request};

    buffer_clear(frame);
    buffer_append(frame, &header, sizeof(header));
}

void frame_put(Buffer *frame, uint16_t tag, const void *data, size_t size_bytes)
{
    const FieldHeader header = {.tag = tag, .size_bytes = (uint32_t)size_bytes};

    if (size_bytes > UINT32_MAX / 2 || !buffer_reserve(frame, sizeof(header) + size_bytes + 3)) {
        frame->failed = true;
        return;
    }
    buffer_append(frame, &header, sizeof(header));
    buffer_append(frame, data, size_bytes);
    buffer_append(frame, "\0\0", PADDING_OF(size_bytes));
}

void frame_put_text(Buffer *frame, uint16_t tag, const char *text)
{
    if (text)
        frame_put(frame, tag, text, strlen(text));
}

void frame_put_number(Buffer *frame, uint16_t tag, uint64_t number)
{
    frame_put(frame, tag, &number, sizeof(number));
}

size_t frame_open(Buffer *frame, uint16_t tag)
{
    size_t opened = frame->size_bytes;

    frame_put(frame, tag, NULL, 0);
    return opened;
}

void frame_close(Buffer *frame, size_t opened)
{
    FieldHeader header;

    if (frame->failed)
        return;
    size_t size = frame->size_bytes - opened - sizeof(header);
    if (size > UINT32_MAX / 2) {
        frame->failed = true;
        return;
    }
    memcpy(&header, frame->data + opened, sizeof(header));
    header.size_bytes = (uint32_t)size;
    memcpy(frame->data + opened, &header, sizeof(header));
}

int frame_end(Buffer *frame)
{
    FrameHeader header;

    if (frame->failed)
        return -ENOMEM;
    if (frame->size_bytes > FRAME_MAX_BYTES)
        return -E2BIG;
    memcpy(&header, frame->data, sizeof(header));
    header.size_bytes = (uint32_t)frame->size_bytes;
    memcpy(frame->data, &header, sizeof(header));
    return 0;
}

/* ---- reading ---- */

/* The first field of what is left: its size with header and padding, or 0 where it is none. */
static size_t field_at(const char *data, size_t size_bytes, FieldHeader *header)
{
    if (size_bytes < sizeof(*header))
        return 0;
    memcpy(header, data, sizeof(*header));
    size_t room = size_bytes - sizeof(*header), size = header->size_bytes;
    if (header->zero != 0 || size > room || PADDING_OF(size) > room - size)
        return 0;
    for (size_t i = 0; i < PADDING_OF(size); i++)
        if (data[sizeof(*header) + size + i] != '\0')
            return 0;
    return sizeof(*header) + size + PADDING_OF(size);
}

static bool fields_are_sound(const FrameFields *fields)
{
    FieldHeader header;

    for (size_t at = 0; at < fields->size_bytes;) {
        size_t size = field_at(fields->data + at, fields->size_bytes - at, &header);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

int frame_read(const void *data, size_t size_bytes, Frame *ret)
{
    FrameHeader header;

    if (size_bytes < sizeof(header) || size_bytes > FRAME_MAX_BYTES)
        return -EBADMSG;
    memcpy(&header, data, sizeof(header));
    if (header.magic != FRAME_MAGIC || header.size_bytes != size_bytes)
        return -EBADMSG;
    const FrameFields fields = {(const char *)data + sizeof(header), size_bytes - sizeof(header)};
    if (!fields_are_sound(&fields))
        return -EBADMSG;
    *ret = (Frame){.version = header.version, .type = header.type, .request = header.request, .fields = fields};
    return 0;
}

size_t frame_size(const void *data, size_t size_bytes)
{
    FrameHeader header;

    if (size_bytes < sizeof(header))
        return 0;
    memcpy(&header, data, sizeof(header));
    bool is_whole = header.magic == FRAME_MAGIC && header.size_bytes >= sizeof(header) && header.size_bytes <= size_bytes;
    return is_whole ? header.size_bytes : 0;
}

int frame_field_fields(const FrameField *field, FrameFields *ret)
{
    const FrameFields fields = {field->data, field->size_bytes};

    if (!fields_are_sound(&fields))
        return -EBADMSG;
    *ret = fields;
    return 0;
}

bool frame_next(FrameFields *fields, FrameField *ret)
{
    FieldHeader header;
    size_t size = field_at(fields->data, fields->size_bytes, &header);

    if (size == 0)
        return false;
    *ret = (FrameField){.tag = header.tag, .data = fields->data + sizeof(header), .size_bytes = header.size_bytes};
    fields->data += size;
    fields->size_bytes -= size;
    return true;
}

int frame_field_number(const FrameField *field, uint64_t *ret)
{
    if (field->size_bytes != sizeof(*ret))
        return -EBADMSG;
    memcpy(ret, field->data, sizeof(*ret));
    return 0;
}

int frame_field_text(const FrameField *field, char **ret)
{
    if (memchr(field->data, '\0', field->size_bytes))
        return -EBADMSG;
    char *text = strndup(field->data, field->size_bytes);
    if (!text)
        return -ENOMEM;
    *ret = text;
    return 0;
}

/* ---- a socket ---- */

int frame_send(int fd, const Buffer *frame, const int *fds, size_t fd_count)
{
    union {
        char bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {.iov_base = frame->data, .iov_len = frame->size_bytes};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

    if (frame->failed)
        return -ENOMEM;
    if (fd_count > FRAME_FDS_MAX)
        return -EINVAL;
    if (fd_count > 0) {
        memset(&control, 0, CMSG_SPACE(fd_count * sizeof(int)));
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        *rights = (struct cmsghdr){.cmsg_len = CMSG_LEN(fd_count * sizeof(int)), .cmsg_level = SOL_SOCKET,
                                   .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    for (;;) {
        ssize_t n = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) /* of a message all or nothing is sent */
            return (size_t)n == frame->size_bytes ? 0 : -EIO;
        if (errno != EINTR)
            return -errno;
    }
}

/* Everything that came beside the bytes: the descriptors are owned by *ret, also where it fails. */
static int take_control(struct msghdr *header, FdList *ret)
{
    int r = 0;

    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(control) + i * sizeof(fd), sizeof(fd));
            int added = fd_list_add_consume(ret, fd);
            if (added < 0 && r == 0)
                r = added;
        }
    }
    return r;
}

int frame_receive_cut(int fd, char *data, size_t *ret_size_bytes, FdList *ret_fds, bool *ret_cut)
{
    union {
        char bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {.iov_base = data, .iov_len = FRAME_MAX_BYTES};
    struct msghdr header = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n;

    /* A peer that closed before it had read everything makes ECONNRESET come once, ahead of what it had sent before. */
    for (int i = 0; (n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0;)
        if (errno != EINTR && (errno != ECONNRESET || i++ > 0))
            break;
    if (n < 0)
        return errno == EAGAIN ? FRAME_AGAIN : errno == ECONNRESET ? FRAME_END : -errno;

    _cleanup_(fd_list_clear) FdList fds = {0};
    int r = take_control(&header, &fds);
    if (r < 0)
        return r;
    if (header.msg_flags & MSG_TRUNC)
        return -EBADMSG;
    /* An empty message looks like the end; no frame is empty, so it may as well be. */
    if (n == 0)
        return fds.count > 0 ? -EBADMSG : FRAME_END;
    *ret_size_bytes = (size_t)n;
    *ret_cut = (header.msg_flags & MSG_CTRUNC) != 0;
    *ret_fds = (FdList){0};
    if (!*ret_cut) {
        *ret_fds = fds;
        fds = (FdList){0};
    }
    return 0;
}
