/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper holds, asked for item by item: at the start of each hvsockd, and when one has missed something. */

#include <errno.h>

#include "daemon/hold/internal.h"

#define LIST_TIMEOUT_MS 3000 /* for each frame of it */

static int item_read(const FrameField *field, HoldItem *item, uint64_t *fd_count)
{
    FrameFields fields;
    FrameField part;
    uint64_t number = 0;
    int r = frame_field_fields(field, &fields);

    while (r == 0 && frame_next(&fields, &part))
        switch (part.tag) {
        case KEEPER_TAG_KEY:
            item->key = part.data;
            item->key_size_bytes = part.size_bytes;
            break;
        case KEEPER_TAG_VALUE:
            if (frame_field_fields(&part, &item->value) < 0)
                item->value = (FrameFields){0}; /* its reader finds that everything is missing */
            break;
        case KEEPER_TAG_FDS:
            r = frame_field_number(&part, fd_count);
            break;
        case KEEPER_TAG_PID:
            r = frame_field_number(&part, &number);
            item->pid = (pid_t)number;
            break;
        case KEEPER_TAG_STATUS:
            r = frame_field_number(&part, &number);
            item->exited = true;
            item->status = (int)number;
            break;
        default:
            break;
        }
    return r;
}

static int list_items(const Frame *frame, FdList *fds, int (*on_item)(const HoldItem *item, void *userdata), void *userdata)
{
    FrameFields fields = frame->fields;
    FrameField field;
    size_t next = 0;
    int r = 0;

    while (r == 0 && frame_next(&fields, &field)) {
        FdList own = {0};
        HoldItem item = {.fds = &own};
        uint64_t fd_count = 0;
        if (field.tag != KEEPER_TAG_ITEM)
            continue;
        r = item_read(&field, &item, &fd_count);
        if (r < 0 || !item.key || fd_count > fds->count - next)
            return -EBADMSG;
        for (uint64_t i = 0; i < fd_count && r == 0; i++)
            r = fd_list_add_consume(&own, fd_list_take(fds, next++));
        if (r == 0)
            r = on_item(&item, userdata);
        fd_list_clear(&own);
    }
    return r;
}

int hold_list(Hold *hold, int (*on_item)(const HoldItem *item, void *userdata), void *userdata)
{
    FdList fds = {0};
    Frame frame;

    int r = hold_call(hold, KEEPER_LIST, NULL, NULL, 0, LIST_TIMEOUT_MS, &frame, &fds);
    /* Another DONE is the answer to something that was not waited for long enough. */
    while (r == 0 && !(frame.type == KEEPER_DONE && frame.request == hold->request)) {
        if (frame.type == KEEPER_LISTED && frame.request == hold->request)
            r = list_items(&frame, &fds, on_item, userdata);
        else
            hold_tell_later(hold, (size_t)(frame.fields.data - hold->data) + frame.fields.size_bytes, &fds);
        fd_list_clear(&fds);
        if (r == 0)
            r = hold_receive(hold, hold_now_us() + LIST_TIMEOUT_MS * 1000u, &frame, &fds);
    }
    fd_list_clear(&fds);
    return r;
}
