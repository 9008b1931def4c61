/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes from a peer, in pieces of any size, some with descriptors: the messages that come out are those between the NULs,
 * however they were cut, and no descriptor is lost or kept.
 *
 * Input: records of a size (one byte, its top bit: a descriptor goes with it) and that many bytes. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/base/buffer.h"
#include "schema/wire/wire.h"
#include "tests/fuzz/fuzz.h"

#define MESSAGE_MAX_BYTES 96

static int count_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void send_piece(int fd, const uint8_t *data, size_t size_bytes, bool with_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

    if (with_fd) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &(int){STDERR_FILENO}, sizeof(int)); /* any, but not the sender's own end */
    }
    PROMISED(sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)size_bytes);
}

/* Takes what is there, and holds it against what was sent. */
static void take(Wire *wire, const Buffer *sent, size_t *taken_bytes, size_t *fds)
{
    char *text;
    size_t size_bytes;
    FdList list = {0};

    while (wire_next(wire, &text, &size_bytes, &list)) {
        PROMISED(*taken_bytes + size_bytes + 1 <= sent->size_bytes);
        PROMISED(size_bytes <= MESSAGE_MAX_BYTES);
        PROMISED(text[size_bytes] == '\0' && memcmp(sent->data + *taken_bytes, text, size_bytes) == 0);
        PROMISED(sent->data[*taken_bytes + size_bytes] == '\0' && !memchr(text, '\0', size_bytes));
        *taken_bytes += size_bytes + 1;
        *fds += list.count;
        fd_list_clear(&list);
    }
    fd_list_clear(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    int pair[2], before = count_open(), r = 0;
    size_t taken_bytes = 0, fds_sent = 0, fds_taken = 0;
    Buffer sent = {0};
    Wire *wire;

    PROMISED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    PROMISED(wire_new_consume(pair[0], MESSAGE_MAX_BYTES, &wire) == 0);
    for (size_t i = 0; i < size_bytes && r >= 0;) {
        size_t piece = data[i] & 0x7f;
        bool with_fd = (data[i] & 0x80) != 0;
        i++;
        if (piece > size_bytes - i)
            piece = size_bytes - i;
        if (piece == 0)
            continue;
        send_piece(pair[1], data + i, piece, with_fd);
        buffer_append(&sent, data + i, piece);
        fds_sent += with_fd;
        i += piece;
        r = wire_read(wire);
        PROMISED(r == 0 || r == -EMSGSIZE || r == -EBADMSG);
        if (r == 0)
            take(wire, &sent, &taken_bytes, &fds_taken);
    }
    close(pair[1]);
    if (r == 0) {
        size_t rest = sent.size_bytes - taken_bytes;
        const char *nul = rest > 0 ? memchr(sent.data + taken_bytes, '\0', rest) : NULL;
        size_t next_bytes = nul ? (size_t)(nul - sent.data) - taken_bytes : rest;
        PROMISED(fds_taken <= fds_sent);
        PROMISED(!nul || next_bytes > MESSAGE_MAX_BYTES);
        PROMISED(wire_read(wire) == (next_bytes > MESSAGE_MAX_BYTES ? -EMSGSIZE : rest > 0 ? WIRE_CUT : WIRE_END));
    }
    wire_free(wire);
    buffer_release(&sent);
    PROMISED(count_open() == before);
    return 0;
}
