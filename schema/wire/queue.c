/* SPDX-License-Identifier: Apache-2.0 */
/* The waiting bytes of one direction; lives in a Wire. */

#include <errno.h>
#include <string.h>

#include "schema/wire/queue.h"

int marks_reserve(Marks *marks)
{
    if (marks->first + marks->count < marks->capacity)
        return 0;
    if (marks->first > 0 && marks->first >= marks->count) {
        memmove(marks->items, marks->items + marks->first, marks->count * sizeof(*marks->items));
        marks->first = 0;
        return 0;
    }
    size_t capacity = marks->capacity ? marks->capacity * 2 : 4;
    Mark *items = reallocarray(marks->items, capacity, sizeof(*items));
    if (!items)
        return -ENOMEM;
    marks->items = items;
    marks->capacity = capacity;
    return 0;
}

void marks_add_consume(Marks *marks, const Mark *mark)
{
    marks->items[marks->first + marks->count++] = *mark;
}

Mark *marks_first(const Marks *marks)
{
    return marks->count > 0 ? &marks->items[marks->first] : NULL;
}

void marks_drop_first(Marks *marks)
{
    marks->first++;
    if (--marks->count == 0)
        marks->first = 0;
}

static void marks_release(Marks *marks)
{
    for (size_t i = 0; i < marks->count; i++)
        fd_list_clear(&marks->items[marks->first + i].fds);
    free(marks->items);
    *marks = (Marks){0};
}

size_t queue_size_bytes(const Queue *queue)
{
    return queue->end - queue->start;
}

int queue_reserve(Queue *queue, size_t wanted_bytes, size_t limit_bytes)
{
    size_t used = queue_size_bytes(queue), capacity = queue->capacity, needed;

    if (capacity - queue->end >= wanted_bytes)
        return 0;
    if (__builtin_add_overflow(used, wanted_bytes, &needed) || needed > SIZE_MAX / 4)
        return -ENOMEM;
    if (needed > limit_bytes)
        needed = limit_bytes;
    /* To move pays where at least as much was taken as has to be moved; else it grows, until it may not. */
    if (queue->start < used || capacity < needed) {
        capacity = capacity ? capacity * 2 : QUEUE_FIRST_BYTES;
        while (capacity < needed)
            capacity *= 2;
        if (capacity > limit_bytes)
            capacity = limit_bytes;
    }
    if (capacity > queue->capacity) {
        char *data = realloc(queue->data, capacity);
        if (!data)
            return -ENOMEM;
        queue->data = data;
        queue->capacity = capacity;
    }
    if (queue->start > 0) {
        memmove(queue->data, queue->data + queue->start, used);
        queue->start = 0;
        queue->end = used;
    }
    return 0;
}

void queue_take(Queue *queue, size_t size_bytes)
{
    queue->start += size_bytes;
    queue->position += size_bytes;
    if (queue->start == queue->end)
        queue->start = queue->end = 0;
}

void queue_give_back(Queue *queue)
{
    if (queue->end == 0 && queue->capacity > QUEUE_KEEP_BYTES) {
        free(queue->data);
        queue->data = NULL;
        queue->capacity = 0;
    }
}

void queue_release(Queue *queue)
{
    free(queue->data);
    marks_release(&queue->marks);
    *queue = (Queue){0};
}
