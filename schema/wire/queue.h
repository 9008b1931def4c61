/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that wait in one direction of a wire, and marks at those messages among them that have file descriptors. Both keep
 * their memory, so that in the steady state nothing is allocated. Empty = {0}. Private to wire.c. */
#pragma once

#include <stdint.h>

#include "schema/base/fd.h"

#define QUEUE_FIRST_BYTES 4096u        /* enough for most calls */
#define QUEUE_KEEP_BYTES (32u * 1024)  /* more is given back as soon as it is empty */

typedef struct Mark Mark;
typedef struct Marks Marks;
typedef struct Queue Queue;

struct Mark {
    uint64_t position; /* of the message's first byte, in the stream */
    size_t size_bytes; /* of the message with its NUL; only of what goes out */
    FdList fds;
};

/* First in, first out. */
struct Marks {
    Mark *items;
    size_t first, count, capacity; /* items[first .. first + count) */
};

struct Queue {
    char *data;
    size_t start, end, capacity; /* data[start .. end) waits */
    uint64_t position;           /* where data[start] stands in the stream */
    Marks marks;
};

/* Room for one more; -ENOMEM. */
int marks_reserve(Marks *marks);
/* After marks_reserve. What mark has is taken over. */
void marks_add_consume(Marks *marks, const Mark *mark);
/* NULL: there is none. */
Mark *marks_first(const Marks *marks);
/* What it owned is somebody else's by now. */
void marks_drop_first(Marks *marks);

size_t queue_size_bytes(const Queue *queue);
/* Room for wanted_bytes behind data[end], as far as limit_bytes (of the whole capacity) allows; start and end may move to the
 * front. A byte is moved a bounded number of times. -ENOMEM. */
int queue_reserve(Queue *queue, size_t wanted_bytes, size_t limit_bytes);
/* Forgets the first bytes; they stay where they are until queue_reserve or queue_give_back. */
void queue_take(Queue *queue, size_t size_bytes);
/* Frees a large memory that holds nothing. */
void queue_give_back(Queue *queue);
void queue_release(Queue *queue);
