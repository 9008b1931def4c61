/* SPDX-License-Identifier: Apache-2.0 */
/* Making SQLite open what it refuses: a copy of a bad file whose header or first page is lost gets those of an empty
 * database of the same schema, whose tables begin on the same pages. sqlite.org/fileformat2.html. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/store/file.h"
#include "daemon/store/salvage.h"
#include "schema/base/fd.h"

#define HEADER_SIZE_BYTES 100
#define HEADER_MAGIC "SQLite format 3"

/* Where in the header. */
enum {
    OFFSET_PAGE_SIZE = 16,
    OFFSET_PAGE_COUNT = 28, /* 0: as many as the file and its -wal have */
    OFFSET_FREELIST = 32,   /* first page, and how many: 8 bytes */
};

static int read_page(int fd, uint8_t page[static DATABASE_PAGE_SIZE_BYTES])
{
    ssize_t n = pread(fd, page, DATABASE_PAGE_SIZE_BYTES, 0);

    if (n < 0)
        return -errno;
    memset(page + n, 0, DATABASE_PAGE_SIZE_BYTES - (size_t)n);
    return 0;
}

static bool header_is_good(const uint8_t page[static DATABASE_PAGE_SIZE_BYTES])
{
    return memcmp(page, HEADER_MAGIC, sizeof(HEADER_MAGIC)) == 0 &&
           (page[OFFSET_PAGE_SIZE] << 8 | page[OFFSET_PAGE_SIZE + 1]) == DATABASE_PAGE_SIZE_BYTES;
}

/* whole: the page's content is lost too. */
static int graft(const char *path, const char *fresh_path, bool whole)
{
    uint8_t page[DATABASE_PAGE_SIZE_BYTES], fresh[DATABASE_PAGE_SIZE_BYTES];
    _cleanup_(fd_closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    _cleanup_(fd_closep) int fresh_fd = open(fresh_path, O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fresh_fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    int r = read_page(fd, page);
    if (r >= 0)
        r = read_page(fresh_fd, fresh);
    if (r < 0)
        return r;
    if (whole)
        memcpy(page, fresh, sizeof(page));
    else if (!header_is_good(page))
        memcpy(page, fresh, HEADER_SIZE_BYTES);
    memset(page + OFFSET_PAGE_COUNT, 0, 4);
    memset(page + OFFSET_FREELIST, 0, 8);
    if (pwrite(fd, page, sizeof(page), 0) != (ssize_t)sizeof(page))
        return errno ? -errno : -EIO;
    /* The last page may have been cut in the middle. */
    off_t rest = status.st_size % DATABASE_PAGE_SIZE_BYTES;
    if (rest != 0 && status.st_size > DATABASE_PAGE_SIZE_BYTES &&
        ftruncate(fd, status.st_size - rest + DATABASE_PAGE_SIZE_BYTES) < 0)
        return -errno;
    return 0;
}

/* Whether everything that `fresh` has is in the bad one's schema too, word by word. */
static bool schema_is_whole(sqlite3 *bad, sqlite3 *fresh)
{
    _cleanup_(statement_freep) sqlite3_stmt *wanted = NULL, *found = NULL;
    bool whole = true;

    if (sqlite3_prepare_v2(fresh, "SELECT type, name, sql FROM sqlite_schema", -1, &wanted, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(bad, "SELECT 1 FROM sqlite_schema WHERE type = ?1 AND name = ?2 AND sql IS ?3", -1, &found,
                           NULL) != SQLITE_OK)
        return false;
    while (whole && sqlite3_step(wanted) == SQLITE_ROW) {
        for (int i = 0; i < 3; i++)
            sqlite3_bind_value(found, i + 1, sqlite3_column_value(wanted, i));
        whole = sqlite3_step(found) == SQLITE_ROW;
        sqlite3_reset(found);
    }
    return whole;
}

static int try_open(const char *path, const char *fresh_path, sqlite3 **ret)
{
    _cleanup_(database_closep) sqlite3 *database = NULL, *fresh = NULL;

    int r = database_open(path, DATABASE_EXCLUSIVE, &database);
    if (r >= 0)
        r = database_open(fresh_path, DATABASE_FROZEN, &fresh);
    if (r < 0)
        return r;
    /* With writable_schema SQLite bears a file that is too short, and a schema that is not quite right. */
    sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    r = database_run(database, "PRAGMA writable_schema = ON; PRAGMA cell_size_check = OFF");
    if (r < 0)
        return r;
    if (!schema_is_whole(database, fresh)) {
        database_keep_wal(database);
        return -EUCLEAN;
    }
    /* Leaves are searched in the file itself: see leaf.h. */
    sqlite3_wal_checkpoint_v2(database, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    *ret = TAKE_PTR(database);
    return 0;
}

int salvage_open(const char *path, const char *fresh_path, bool replace, sqlite3 **ret, Buffer *reason)
{
    _cleanup_(freep) char *wal = path_with(path, "-wal");

    if (!wal)
        return -ENOMEM;
    int r = graft(path, fresh_path, false);
    if (r >= 0)
        r = try_open(path, fresh_path, ret);
    for (int attempt = 0; attempt < 2 && replace && r == -EUCLEAN; attempt++) {
        if (attempt == 1) /* a -wal of another file, or one that brings a bad first page back */
            unlink(wal);
        r = graft(path, fresh_path, true);
        if (r >= 0)
            r = try_open(path, fresh_path, ret);
    }
    if (r < 0 && (r != -EUCLEAN || replace))
        buffer_printf(reason, "%s: %s", path, strerror(-r));
    return r;
}
