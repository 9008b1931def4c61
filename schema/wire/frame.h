/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: messages of fields on a SOCK_SEQPACKET unix socket, each a tag, a size and bytes, with file descriptors beside
 * them. For two programs of ours that may be one version apart: a field that a side does not know is skipped, unless its tag
 * says that the frame means something else without it (FRAME_CRITICAL). Numbers are the machine's own: both are on one host.
 *
 *   header  u32 magic, u16 version, u16 type, u32 request, u32 size of all in bytes
 *   field   u16 tag, u16 0, u32 size, the bytes, padded with NUL to 4
 *
 * A field's bytes may be fields again. unix(7). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/fd.h"

#define FRAME_MAGIC 0x6b737668u /* hvsk */
#define FRAME_MAX_BYTES (64u * 1024)
#define FRAME_FDS_MAX 253 /* SCM_MAX_FD */
#define FRAME_CRITICAL 0x8000u /* of a tag: who does not know it must refuse the frame */

typedef struct Frame Frame;
typedef struct FrameField FrameField;
typedef struct FrameFields FrameFields;

/* What is not read yet; borrowed. */
struct FrameFields {
    const char *data;
    size_t size_bytes;
};

struct FrameField {
    uint16_t tag;       /* with FRAME_CRITICAL, where it is */
    const char *data;   /* not ended by NUL: see frame_field_text */
    size_t size_bytes;
};

struct Frame {
    uint16_t version; /* the sender's */
    uint16_t type;
    uint32_t request;
    FrameFields fields;
};

/* ---- writing, into a Buffer that is cleared first ---- */
void frame_begin(Buffer *frame, uint16_t version, uint16_t type, uint32_t request);
void frame_put(Buffer *frame, uint16_t tag, const void *data, size_t size_bytes);
void frame_put_text(Buffer *frame, uint16_t tag, const char *text); /* NULL: nothing is put */
void frame_put_number(Buffer *frame, uint16_t tag, uint64_t number);
/* A field of fields: what is put until frame_close is in it. */
size_t frame_open(Buffer *frame, uint16_t tag);
void frame_close(Buffer *frame, size_t opened);
/* Fills in the size. -ENOMEM; -E2BIG: over FRAME_MAX_BYTES. */
int frame_end(Buffer *frame);

/* ---- reading ---- */
/* Checks the header, and that fields fill the frame. -EBADMSG. */
int frame_read(const void *data, size_t size_bytes, Frame *ret);
/* Where frames stand one after the other, as in a file: the size of the first. 0: there is no whole one. */
size_t frame_size(const void *data, size_t size_bytes);
/* The same of a field of fields. -EBADMSG. */
int frame_field_fields(const FrameField *field, FrameFields *ret);
/* The next field; false: there is none. */
bool frame_next(FrameFields *fields, FrameField *ret);
/* -EBADMSG: not 8 bytes. */
int frame_field_number(const FrameField *field, uint64_t *ret);
/* A copy with NUL; -EBADMSG: it has a NUL inside; -ENOMEM. */
int frame_field_text(const FrameField *field, char **ret);

/* ---- a socket ---- */
/* Sends a frame that has ended; the descriptors stay the caller's. -EAGAIN: no room now; -errno. */
int frame_send(int fd, const Buffer *frame, const int *fds, size_t fd_count);
enum { FRAME_AGAIN = 1, FRAME_END };
/* Receives one frame into data, which has room for FRAME_MAX_BYTES. FRAME_AGAIN: none is there; FRAME_END: the peer has
 * closed. -EBADMSG: a longer one: what came is closed. What is returned is set only where 0 is answered. Truncated control data
 * is told (*ret_cut): the frame is there and *ret_fds is empty. As a control message is never larger than there is room for, it
 * means that this process could not open as many (EMFILE). */
int frame_receive_cut(int fd, char *data, size_t *ret_size_bytes, FdList *ret_fds, bool *ret_cut);
