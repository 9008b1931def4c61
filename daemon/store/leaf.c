/* SPDX-License-Identifier: Apache-2.0 */
/* Reading b-tree leaves by hand. Every number that is read here can be nonsense, and is held against the page or the
 * file before it is used. A LeafWalk lives as long as one walk over the file. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/store/database.h"
#include "daemon/store/leaf.h"
#include "schema/base/fd.h"

#define PAGE_BYTES DATABASE_PAGE_SIZE_BYTES
#define LEAF_TYPE 0x0d
#define LEAF_HEADER_BYTES 8
#define INTERIOR_TYPE 0x05
#define INTERIOR_HEADER_BYTES 12
#define DEPTH_MAX 20 /* SQLite's own */
#define LOCAL_MAX_BYTES (PAGE_BYTES - 35)
#define LOCAL_MIN_BYTES ((PAGE_BYTES - 12) * 32 / 255 - 23)
#define RECORD_MAX_BYTES (64u * 1024 * 1024)

typedef struct LeafWalk LeafWalk;

struct LeafWalk {
    int fd;
    uint32_t pages;
    bool *foreign; /* of another table, by page number */
    const LeafVisitor *visitor;
    uint8_t *record; /* put together from several pages */
    size_t capacity_bytes;
};

/* 0: it does not fit. */
static size_t read_varint(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 9 && at + i < end; i++) {
        if (i == 8) {
            *ret = value << 8 | at[i];
            return 9;
        }
        value = value << 7 | (at[i] & 0x7f);
        if (!(at[i] & 0x80)) {
            *ret = value;
            return i + 1;
        }
    }
    return 0;
}

static uint64_t read_number(const uint8_t *at, size_t size_bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size_bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static bool read_page(const LeafWalk *walk, uint32_t number, uint8_t page[static PAGE_BYTES])
{
    return number >= 1 && number <= walk->pages &&
           pread(walk->fd, page, PAGE_BYTES, (off_t)(number - 1) * PAGE_BYTES) == PAGE_BYTES;
}

/* ---- cells ---- */

/* How much of a payload stands in the leaf itself. */
static size_t local_bytes(size_t payload_bytes)
{
    if (payload_bytes <= LOCAL_MAX_BYTES)
        return payload_bytes;
    size_t local = LOCAL_MIN_BYTES + (payload_bytes - LOCAL_MIN_BYTES) % (PAGE_BYTES - 4);
    return local <= LOCAL_MAX_BYTES ? local : LOCAL_MIN_BYTES;
}

/* 0: the record is put together; 1: its pages are not there; -ENOMEM. */
static int assemble(LeafWalk *walk, const uint8_t *local, size_t at_hand_bytes, size_t payload_bytes)
{
    uint8_t page[PAGE_BYTES];

    if (walk->capacity_bytes < payload_bytes) {
        uint8_t *record = realloc(walk->record, payload_bytes);
        if (!record)
            return -ENOMEM;
        walk->record = record;
        walk->capacity_bytes = payload_bytes;
    }
    memcpy(walk->record, local, at_hand_bytes);
    uint32_t next = (uint32_t)read_number(local + at_hand_bytes, 4);
    while (at_hand_bytes < payload_bytes) {
        if (!read_page(walk, next, page))
            return 1;
        size_t more = payload_bytes - at_hand_bytes < PAGE_BYTES - 4 ? payload_bytes - at_hand_bytes : PAGE_BYTES - 4;
        memcpy(walk->record + at_hand_bytes, page + 4, more);
        at_hand_bytes += more;
        next = (uint32_t)read_number(page, 4);
    }
    return 0;
}

static int walk_cell(LeafWalk *walk, const uint8_t *cell, const uint8_t *end)
{
    uint64_t payload_bytes, rowid;

    size_t size = read_varint(cell, end, &payload_bytes);
    size_t rowid_size = size > 0 ? read_varint(cell + size, end, &rowid) : 0;
    if (rowid_size == 0 || payload_bytes == 0 || payload_bytes > RECORD_MAX_BYTES)
        return 0;
    if (!walk->visitor->wants((int64_t)rowid, walk->visitor->userdata))
        return 0;
    const uint8_t *record = cell + size + rowid_size;
    size_t local = local_bytes(payload_bytes);
    if ((size_t)(end - record) < local + (local < payload_bytes ? 4 : 0))
        return 0;
    if (local < payload_bytes) {
        int r = assemble(walk, record, local, payload_bytes);
        if (r != 0)
            return r < 0 ? r : 0;
        record = walk->record;
    }
    return walk->visitor->on_record((int64_t)rowid, record, payload_bytes, walk->visitor->userdata);
}

static int walk_page(LeafWalk *walk, const uint8_t page[static PAGE_BYTES])
{
    size_t cells = read_number(page + 3, 2);
    int r = 0;

    if (page[0] != LEAF_TYPE || cells > (PAGE_BYTES - LEAF_HEADER_BYTES) / 2)
        return 0;
    for (size_t i = 0; i < cells && r >= 0; i++) {
        size_t at = read_number(page + LEAF_HEADER_BYTES + 2 * i, 2);
        if (at >= LEAF_HEADER_BYTES + 2 * cells && at < PAGE_BYTES)
            r = walk_cell(walk, page + at, page + PAGE_BYTES);
    }
    return r;
}

static void mark_foreign(LeafWalk *walk, uint32_t number, int depth)
{
    uint8_t page[PAGE_BYTES];

    if (depth > DEPTH_MAX || !read_page(walk, number, page) || walk->foreign[number])
        return;
    walk->foreign[number] = true;
    size_t cells = read_number(page + 3, 2);
    if (page[0] != INTERIOR_TYPE || cells > (PAGE_BYTES - INTERIOR_HEADER_BYTES) / 2)
        return;
    for (size_t i = 0; i < cells; i++) {
        size_t at = read_number(page + INTERIOR_HEADER_BYTES + 2 * i, 2);
        if (at <= PAGE_BYTES - 4)
            mark_foreign(walk, (uint32_t)read_number(page + at, 4), depth + 1);
    }
    mark_foreign(walk, (uint32_t)read_number(page + 8, 4), depth + 1);
}

int leaf_walk(const char *path, const uint32_t *other_roots, size_t other_root_count, const LeafVisitor *visitor)
{
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    LeafWalk walk = {.fd = fd, .visitor = visitor};
    uint8_t page[PAGE_BYTES];
    struct stat status;
    int r = 0;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    walk.pages = (uint32_t)(status.st_size / PAGE_BYTES);
    walk.foreign = calloc((size_t)walk.pages + 1, sizeof(*walk.foreign));
    if (!walk.foreign)
        return -ENOMEM;
    for (size_t i = 0; i < other_root_count; i++)
        mark_foreign(&walk, other_roots[i], 0);
    for (uint32_t number = 2; number <= walk.pages && r >= 0; number++)
        if (!walk.foreign[number] && read_page(&walk, number, page))
            r = walk_page(&walk, page);
    free(walk.foreign);
    free(walk.record);
    return r < 0 ? r : 0;
}

/* ---- records ---- */

static size_t value_bytes(uint64_t type)
{
    static const uint8_t sizes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};

    return type < ELEMENTS_OF(sizes) ? sizes[type] : (size_t)(type - 12) / 2;
}

static int bind_value(sqlite3_stmt *statement, int parameter, uint64_t type, const uint8_t *value, size_t size_bytes)
{
    if (type >= 12)
        return type % 2 ? sqlite3_bind_text(statement, parameter, (const char *)value, (int)size_bytes, SQLITE_STATIC)
                        : sqlite3_bind_blob(statement, parameter, value, (int)size_bytes, SQLITE_STATIC);
    if (type == 8 || type == 9)
        return sqlite3_bind_int64(statement, parameter, type == 9);
    if (type == 0 || type == 7 || type > 9) /* no table of ours has a real number */
        return sqlite3_bind_null(statement, parameter);
    uint64_t number = read_number(value, size_bytes);
    if (size_bytes < 8 && value[0] & 0x80)
        number |= UINT64_MAX << (8 * size_bytes);
    return sqlite3_bind_int64(statement, parameter, (sqlite3_int64)number);
}

bool leaf_bind(const uint8_t *record, size_t size_bytes, sqlite3_stmt *statement, int count)
{
    uint64_t header_bytes, type;

    size_t at = read_varint(record, record + size_bytes, &header_bytes);
    if (at == 0 || header_bytes > size_bytes)
        return false;
    sqlite3_clear_bindings(statement);
    const uint8_t *value = record + header_bytes;
    for (int i = 1; at < header_bytes; i++) {
        size_t used = read_varint(record + at, record + header_bytes, &type);
        size_t size = value_bytes(type);
        if (used == 0 || i > count || size > (size_t)(record + size_bytes - value) ||
            bind_value(statement, i, type, value, size) != SQLITE_OK)
            return false;
        at += used;
        value += size;
    }
    return true;
}
