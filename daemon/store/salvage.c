/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a table that has holes, by rowid: from where reading fails, the range of rowids that is left is halved until
 * each row has been tried by itself. The table's index, where it can be read, says which rowids there are, so that no
 * time is spent on others, and what the rows that are missing are called: these are searched for in leaves that nothing
 * leads to any more. A Salvage lives as long as one table takes. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/store/leaf.h"
#include "daemon/store/salvage.h"
#include "schema/base/text.h"

#define LOST_NAMES_MAX 100
#define TABLES_MAX 64

typedef struct Known Known;
typedef struct Salvage Salvage;

/* A row that the index speaks of. */
struct Known {
    int64_t rowid;
    char *name;
    bool kept;
};

struct Salvage {
    sqlite3 *bad;
    sqlite3 *good;
    const char *table;
    sqlite3_stmt *read; /* rows with ?1 <= rowid <= ?2 */
    sqlite3_stmt *echo; /* a record that was found in a leaf, as a row */
    sqlite3_stmt *write;
    sqlite3_stmt *is_json; /* NULL: cannot be told here */
    int columns;
    int name_column;
    int context_column; /* -1: the table has none */
    Known *known;       /* by rowid */
    size_t known_count;
    bool index_complete;
    uint64_t kept;
    uint64_t holes;    /* rowids where reading fails */
    uint64_t unusable; /* rows that were read, and are nonsense */
};

/* ---- what the index knows ---- */

static void known_free(Known *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(known[i].name);
    free(known);
}

static int compare_known(const void *a, const void *b)
{
    const Known *first = a, *second = b;

    return (first->rowid > second->rowid) - (first->rowid < second->rowid);
}

static int known_add(Salvage *salvage, sqlite3_stmt *statement)
{
    const char *name = (const char *)sqlite3_column_text(statement, 1);

    if ((salvage->known_count & (salvage->known_count - 1)) == 0) {
        size_t capacity = salvage->known_count ? salvage->known_count * 2 : 1;
        Known *known = reallocarray(salvage->known, capacity, sizeof(*known));
        if (!known)
            return -ENOMEM;
        salvage->known = known;
    }
    char *copy = strdup(name ? name : "?");
    if (!copy)
        return -ENOMEM;
    salvage->known[salvage->known_count++] = (Known){.rowid = sqlite3_column_int64(statement, 0), .name = copy};
    return 0;
}

/* The one text that a question to `good` answers; NULL: none. */
static char *ask_text(sqlite3 *database, const char *sql, const char *table)
{
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        return NULL;
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    return text ? strdup(text) : NULL;
}

/* Reads the index alone, from one end. 0: until its other end; 1: until where it fails. */
static int known_read(Salvage *salvage, bool from_end)
{
    const char *const question =
        from_end
            ? "SELECT group_concat(name || ' DESC', ', ') FROM pragma_index_info('sqlite_autoindex_' || ?1 || '_1')"
            : "SELECT group_concat(name, ', ') FROM pragma_index_info('sqlite_autoindex_' || ?1 || '_1')";
    _cleanup_(freep) char *order = ask_text(salvage->good, question, salvage->table);
    _cleanup_(statement_freep) sqlite3_stmt *statement = NULL;
    _cleanup_(buffer_release) Buffer sql = {0};
    int code;

    if (!order)
        return 1;
    buffer_printf(&sql, "SELECT rowid, name FROM %s INDEXED BY sqlite_autoindex_%s_1 ORDER BY %s", salvage->table,
                  salvage->table, order);
    if (sql.failed)
        return -ENOMEM;
    if (sqlite3_prepare_v2(salvage->bad, sql.data, (int)sql.size_bytes, &statement, NULL) != SQLITE_OK)
        return 1;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        int r = known_add(salvage, statement);
        if (r < 0)
            return r;
    }
    return code == SQLITE_DONE ? 0 : 1;
}

static int salvage_read_index(Salvage *salvage)
{
    size_t count = 0;

    int r = known_read(salvage, false);
    if (r < 0)
        return r;
    salvage->index_complete = r == 0;
    if (r > 0 && (r = known_read(salvage, true)) < 0)
        return r;
    if (salvage->known_count == 0)
        return 0;
    qsort(salvage->known, salvage->known_count, sizeof(*salvage->known), compare_known);
    for (size_t i = 1; i < salvage->known_count; i++) {
        if (salvage->known[i].rowid == salvage->known[count].rowid)
            free(salvage->known[i].name);
        else
            salvage->known[++count] = salvage->known[i];
    }
    salvage->known_count = count + 1;
    return 0;
}

/* The first that the index has from this rowid on; known_count: none. */
static size_t known_from(const Salvage *salvage, int64_t rowid)
{
    size_t low = 0, high = salvage->known_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (salvage->known[middle].rowid < rowid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- rows ---- */

static bool text_is_whole(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    size_t size = (size_t)sqlite3_column_bytes(statement, column), offset;

    return text && text_is_utf8(text, size, &offset);
}

/* A page of zeros in the middle of a row can be read as well as any other. */
static bool row_is_whole(const Salvage *salvage, sqlite3_stmt *row)
{
    for (int i = 0; i < salvage->columns; i++)
        if (sqlite3_column_type(row, i) == SQLITE_TEXT && !text_is_whole(row, i))
            return false;
    if (salvage->context_column < 0 || !salvage->is_json)
        return true;
    sqlite3_bind_value(salvage->is_json, 1, sqlite3_column_value(row, salvage->context_column));
    bool whole = sqlite3_step(salvage->is_json) == SQLITE_ROW && sqlite3_column_int(salvage->is_json, 0) == 1;
    sqlite3_reset(salvage->is_json);
    return whole;
}

static int keep_row(Salvage *salvage, sqlite3_stmt *row, int64_t rowid)
{
    if (!row_is_whole(salvage, row)) {
        salvage->unusable++;
        return 0;
    }
    for (int i = 0; i < salvage->columns; i++)
        sqlite3_bind_value(salvage->write, i + 1, sqlite3_column_value(row, i));
    int code = sqlite3_step(salvage->write);
    sqlite3_reset(salvage->write);
    if ((code & 0xff) == SQLITE_CONSTRAINT) {
        salvage->unusable++;
        return 0;
    }
    if (code != SQLITE_DONE)
        return database_error(salvage->good);
    salvage->kept++;
    size_t at = known_from(salvage, rowid);
    if (at < salvage->known_count && salvage->known[at].rowid == rowid)
        salvage->known[at].kept = true;
    return 0;
}

/* Keeps rows from *first on, which becomes the rowid after the last that was read. 0: all up to last; 1: it failed
 * there. */
static int read_rows(Salvage *salvage, int64_t *first, int64_t last)
{
    int code, r = 0;

    sqlite3_bind_int64(salvage->read, 1, *first);
    sqlite3_bind_int64(salvage->read, 2, last);
    while ((code = sqlite3_step(salvage->read)) == SQLITE_ROW && r >= 0) {
        int64_t rowid = sqlite3_column_int64(salvage->read, salvage->columns);
        if (rowid < *first || rowid > last) /* a page that is in the wrong place */
            break;
        r = keep_row(salvage, salvage->read, rowid);
        *first = rowid + 1;
    }
    sqlite3_reset(salvage->read);
    return r < 0 ? r : code == SQLITE_DONE ? 0 : 1;
}

static int read_range(Salvage *salvage, int64_t first, int64_t last)
{
    for (;;) {
        size_t next = known_from(salvage, first);
        bool expected = !salvage->index_complete || (next < salvage->known_count && salvage->known[next].rowid <= last);
        if (first > last || !expected)
            return 0;
        int r = read_rows(salvage, &first, last);
        if (r <= 0)
            return r;
        if (first >= last) {
            salvage->holes += first == last;
            return 0;
        }
        int64_t middle = first + (last - first) / 2;
        r = read_range(salvage, first, middle);
        if (r < 0)
            return r;
        first = middle + 1;
    }
}

/* Where rowids end. A table whose end cannot be read has no more rows than fit into its file. */
static int64_t last_rowid(Salvage *salvage)
{
    _cleanup_(buffer_release) Buffer sql = {0};
    int64_t last, pages;

    int64_t known = salvage->known_count > 0 ? salvage->known[salvage->known_count - 1].rowid : 0;
    if (salvage->index_complete)
        return known;
    buffer_printf(&sql, "SELECT max(rowid) FROM %s", salvage->table);
    buffer_append_char(&sql, '\0');
    if (sql.failed || database_number(salvage->bad, sql.data, &last) < 0) {
        if (database_number(salvage->bad, "PRAGMA page_count", &pages) < 0)
            pages = 0;
        last = pages * (DATABASE_PAGE_SIZE_BYTES / 16);
    }
    return last > known ? last : known;
}

/* ---- rows in leaves that nothing leads to ---- */

static Known *find_missing(const Salvage *salvage, int64_t rowid)
{
    size_t at = known_from(salvage, rowid);

    if (at == salvage->known_count || salvage->known[at].rowid != rowid || salvage->known[at].kept)
        return NULL;
    return &salvage->known[at];
}

static bool is_missing(int64_t rowid, void *userdata)
{
    return find_missing(userdata, rowid) != NULL;
}

/* Tables look alike, and rowids are small numbers: the name has to be the one that the index has. */
static int keep_missing(int64_t rowid, const uint8_t *record, size_t size_bytes, void *userdata)
{
    Salvage *salvage = userdata;
    const Known *missing = find_missing(salvage, rowid);
    int r = 0;

    if (leaf_bind(record, size_bytes, salvage->echo, salvage->columns) && sqlite3_step(salvage->echo) == SQLITE_ROW &&
        text_equal((const char *)sqlite3_column_text(salvage->echo, salvage->name_column), missing->name) &&
        row_is_whole(salvage, salvage->echo))
        r = keep_row(salvage, salvage->echo, rowid);
    sqlite3_reset(salvage->echo);
    return r;
}

static int search_leaves(Salvage *salvage)
{
    const char *const question = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name <> ?1";
    const LeafVisitor visitor = {is_missing, keep_missing, salvage};
    _cleanup_(statement_freep) sqlite3_stmt *roots = NULL;
    uint32_t other_roots[TABLES_MAX];
    size_t other_root_count = 0;
    bool missing = false;

    for (size_t i = 0; i < salvage->known_count; i++)
        missing |= !salvage->known[i].kept;
    if (!missing || sqlite3_prepare_v2(salvage->bad, question, -1, &roots, NULL) != SQLITE_OK)
        return 0;
    sqlite3_bind_text(roots, 1, salvage->table, -1, SQLITE_STATIC);
    while (other_root_count < TABLES_MAX && sqlite3_step(roots) == SQLITE_ROW)
        other_roots[other_root_count++] = (uint32_t)sqlite3_column_int64(roots, 0);
    return leaf_walk(sqlite3_db_filename(salvage->bad, "main"), other_roots, other_root_count, &visitor);
}

/* ---- tables ---- */

static int prepare(sqlite3 *database, Buffer *sql, sqlite3_stmt **ret)
{
    return sql->failed ? SQLITE_NOMEM : sqlite3_prepare_v2(database, sql->data, (int)sql->size_bytes, ret, NULL);
}

static int salvage_prepare(Salvage *salvage, const char *columns)
{
    _cleanup_(buffer_release) Buffer read = {0}, write = {0}, echo = {0};

    buffer_append_text(&echo, "SELECT ?1");
    buffer_printf(&write, "INSERT INTO %s (%s) VALUES (?", salvage->table, columns);
    salvage->columns = 1;
    for (const char *comma = columns; (comma = strchr(comma, ',')); comma++) {
        buffer_append_text(&write, ", ?");
        buffer_printf(&echo, ", ?%d", ++salvage->columns);
    }
    buffer_append_char(&write, ')');
    if (prepare(salvage->good, &write, &salvage->write) != SQLITE_OK ||
        prepare(salvage->good, &echo, &salvage->echo) != SQLITE_OK)
        return database_error(salvage->good);
    if (sqlite3_prepare_v2(salvage->good, "SELECT json_valid(?1)", -1, &salvage->is_json, NULL) != SQLITE_OK)
        salvage->is_json = NULL;

    buffer_printf(&read, "SELECT %s, rowid FROM %s NOT INDEXED WHERE rowid BETWEEN ?1 AND ?2 ORDER BY rowid", columns,
                  salvage->table);
    if (prepare(salvage->bad, &read, &salvage->read) != SQLITE_OK)
        return 1;
    salvage->context_column = -1;
    for (int i = 0; i < salvage->columns; i++) {
        if (text_equal(sqlite3_column_name(salvage->read, i), "name"))
            salvage->name_column = i;
        if (text_equal(sqlite3_column_name(salvage->read, i), "context"))
            salvage->context_column = i;
    }
    return 0;
}

static void salvage_report(const Salvage *salvage, Buffer *report)
{
    uint64_t lost = 0;

    for (size_t i = 0; i < salvage->known_count; i++)
        lost += !salvage->known[i].kept;
    if (lost < salvage->unusable)
        lost = salvage->unusable;
    bool all_told = salvage->index_complete || (salvage->read && salvage->holes == 0);

    buffer_printf(report, "%s: %llu kept, ", salvage->table, (unsigned long long)salvage->kept);
    if (!all_told && lost == 0)
        buffer_append_text(report, "how many were lost cannot be told");
    else
        buffer_printf(report, "%s%llu lost", all_told ? "" : "at least ", (unsigned long long)lost);
    const char *separator = ": ";
    size_t named = 0;
    for (size_t i = 0; i < salvage->known_count; i++) {
        if (salvage->known[i].kept)
            continue;
        if (named++ == LOST_NAMES_MAX) {
            buffer_append_text(report, ", and more");
            break;
        }
        buffer_printf(report, "%s%s", separator, salvage->known[i].name);
        separator = ", ";
    }
    buffer_append_char(report, '\n');
}

static int salvage_table(sqlite3 *bad, sqlite3 *good, const char *table, Buffer *report)
{
    Salvage salvage = {.bad = bad, .good = good, .table = table};
    const char *const question = "SELECT group_concat(name, ', ') FROM pragma_table_info(?1)";
    _cleanup_(freep) char *columns = ask_text(good, question, table);

    if (!columns)
        return -ENOMEM;
    int r = salvage_prepare(&salvage, columns);
    if (r == 0)
        r = salvage_read_index(&salvage);
    if (r == 0)
        r = read_range(&salvage, 1, last_rowid(&salvage));
    if (r == 0)
        r = search_leaves(&salvage);
    if (r >= 0)
        salvage_report(&salvage, report);
    sqlite3_finalize(salvage.read);
    sqlite3_finalize(salvage.echo);
    sqlite3_finalize(salvage.write);
    sqlite3_finalize(salvage.is_json);
    known_free(salvage.known, salvage.known_count);
    return r < 0 ? r : 0;
}

int salvage_rows(sqlite3 *bad, sqlite3 *good, Buffer *report, Buffer *reason)
{
    const char *const question = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                                 " ORDER BY rowid";
    _cleanup_(statement_freep) sqlite3_stmt *tables = NULL;

    int r = database_run(good, "BEGIN");
    if (r >= 0 && sqlite3_prepare_v2(good, question, -1, &tables, NULL) != SQLITE_OK)
        r = database_error(good);
    while (r >= 0 && sqlite3_step(tables) == SQLITE_ROW)
        r = salvage_table(bad, good, (const char *)sqlite3_column_text(tables, 0), report);
    sqlite3_reset(tables);
    if (r >= 0)
        r = database_run(good, "COMMIT");
    if (r < 0)
        database_explain(good, reason);
    return r;
}
