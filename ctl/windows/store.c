/* SPDX-License-Identifier: Apache-2.0 */
/* Windows' registry, by the Win32 API; an open Store lives as long as one command. Before a key is changed, what it was is kept,
 * so that it can be put back. winreg.h, Microsoft Learn "Registry Functions". */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

#include "config/windows.h"
#include "ctl/windows/store.h"
#include "ctl/windows/wide.h"
#include "schema/base/text.h"

#define VIEW KEY_WOW64_64KEY
#define KEY_NAME_MAX 256         /* Windows' own bound, with its NUL */
#define VALUE_NAME_MAX 16384
#define VALUE_MAX_BYTES (1 << 20) /* longer ones are nobody's who registers services */

/* A key before we changed it. */
typedef struct Change {
    StorePlace place;
    bool existed;
    StoredKey before; /* its name at least */
} Change;

struct Store {
    bool for_writing;
    HKEY places[STORE_PLACES]; /* NULL: not there */
    Change *changes;
    size_t count, capacity;
    char *error;
};

static const char *const paths[STORE_PLACES] = {
    [STORE_SERVICES] = WINDOWS_PATH,
    [STORE_DISABLED] = "SOFTWARE\\hvsockd\\Disabled",
    [STORE_REMOVED] = "SOFTWARE\\hvsockd\\Removed",
    [STORE_POOLS] = "SOFTWARE\\hvsockd\\Pools",
};

const char *store_path(StorePlace place)
{
    return paths[place];
}

const char *store_error(const Store *store)
{
    return store && store->error ? store->error : "out of memory";
}

static int _printf_(3, 4) store_say(Store *store, int answer, const char *format, ...)
{
    Buffer text = {0};
    va_list arguments;

    va_start(arguments, format);
    buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    free(store->error);
    store->error = NULL;
    int r = buffer_take(&text, &store->error, NULL);
    return r < 0 ? r : answer;
}

/* What Windows answered about a key; name: or NULL, the place itself. */
static int store_fail(Store *store, StorePlace place, const char *name, const char *doing, LSTATUS error)
{
    _cleanup_(freep) char *why = wide_error_text((uint32_t)error);
    int answer = error == ERROR_ACCESS_DENIED                                         ? STORE_DENIED
                 : error == ERROR_FILE_NOT_FOUND || error == ERROR_KEY_DELETED || error == ERROR_PATH_NOT_FOUND ? STORE_GONE
                                                                                      : STORE_FAILED;

    if (error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_OUTOFMEMORY || !why)
        return -ENOMEM;
    return store_say(store, answer, "HKLM\\%s%s%s: cannot be %s: %s", paths[place], name ? "\\" : "", name ? name : "", doing, why);
}

int store_open(bool for_writing, Store **ret)
{
    Store *store = calloc(1, sizeof(*store));
    int r = 0;

    if (!store)
        return -ENOMEM;
    store->for_writing = for_writing;
    *ret = store; /* also where it fails: it says why */
    for (StorePlace place = 0; place < STORE_PLACES && r == 0; place++) {
        _cleanup_(freep) wchar_t *path = wide_from_text(paths[place]);
        if (!path)
            return -ENOMEM;
        LSTATUS error = for_writing ? RegCreateKeyExW(HKEY_LOCAL_MACHINE, path, 0, NULL, 0, KEY_READ | KEY_WRITE | VIEW, NULL,
                                                      &store->places[place], NULL)
                                    : RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_READ | VIEW, &store->places[place]);
        if (error == ERROR_SUCCESS)
            continue;
        store->places[place] = NULL;
        if (for_writing || error != ERROR_FILE_NOT_FOUND)
            r = store_fail(store, place, NULL, for_writing ? "changed" : "read", error);
    }
    return r;
}

static void store_forget(Store *store)
{
    for (size_t i = 0; i < store->count; i++)
        stored_key_release(&store->changes[i].before);
    store->count = 0;
}

void store_close(Store *store)
{
    if (!store)
        return;
    store_undo(store);
    for (StorePlace place = 0; place < STORE_PLACES; place++)
        if (store->places[place])
            RegCloseKey(store->places[place]);
    free(store->changes);
    free(store->error);
    free(store);
}

void store_keep(Store *store)
{
    store_forget(store);
}

/* ---- reading ---- */

static int read_value(HKEY handle, DWORD index, StoredKey *key, bool *ret_more)
{
    static wchar_t name[VALUE_NAME_MAX];
    DWORD units = VALUE_NAME_MAX, size = 0, type;
    LSTATUS error = RegEnumValueW(handle, index, name, &units, NULL, &type, NULL, &size);

    *ret_more = error == ERROR_SUCCESS || error == ERROR_MORE_DATA;
    if (!*ret_more || size > VALUE_MAX_BYTES)
        return 0;
    StoredValue *values = reallocarray(key->values, key->count + 1, sizeof(*values));
    if (!values)
        return -ENOMEM;
    key->values = values;
    StoredValue value = {.name = _wcsdup(name), .type = type, .data = malloc(size + 1)};
    if (!value.name || !value.data) {
        free(value.name);
        free(value.data);
        return -ENOMEM;
    }
    /* One that went or grew in between is told as empty. */
    if (RegQueryValueExW(handle, name, NULL, &type, value.data, &size) != ERROR_SUCCESS)
        size = 0;
    value.size_bytes = size;
    values[key->count++] = value;
    return 0;
}

static int read_key(HKEY handle, const char *name, StoredKey *ret)
{
    StoredKey key = {.name = strdup(name)};
    FILETIME written = {0};
    bool more = true;
    int r = key.name ? 0 : -ENOMEM;

    for (DWORD i = 0; more && r == 0; i++)
        r = read_value(handle, i, &key, &more);
    if (r == 0 && RegQueryInfoKeyW(handle, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &written) == ERROR_SUCCESS)
        key.written_at = (uint64_t)written.dwHighDateTime << 32 | written.dwLowDateTime;
    if (r < 0)
        stored_key_release(&key);
    else
        *ret = key;
    return r;
}

static int open_key(Store *store, StorePlace place, const char *name, REGSAM rights, HKEY *ret)
{
    _cleanup_(freep) wchar_t *wide = wide_from_text(name);

    if (!wide)
        return -ENOMEM;
    if (!store->places[place])
        return store_fail(store, place, name, "read", ERROR_FILE_NOT_FOUND);
    LSTATUS error = RegOpenKeyExW(store->places[place], wide, 0, rights | VIEW, ret);
    return error == ERROR_SUCCESS ? 0 : store_fail(store, place, name, rights & KEY_SET_VALUE ? "changed" : "read", error);
}

int store_read_one(Store *store, StorePlace place, const char *name, StoredKey *ret)
{
    HKEY handle;
    int r = open_key(store, place, name, KEY_READ, &handle);

    if (r != 0)
        return r;
    r = read_key(handle, name, ret);
    RegCloseKey(handle);
    return r;
}

static int read_add(Store *store, StorePlace place, const char *name, StoredKeys *keys)
{
    if (keys->count == keys->capacity) {
        size_t capacity = keys->capacity ? keys->capacity * 2 : 64;
        StoredKey *items = reallocarray(keys->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        keys->items = items;
        keys->capacity = capacity;
    }
    int r = store_read_one(store, place, name, &keys->items[keys->count]);
    /* It went while we were at it; or others may not read it, and its name is all there is. */
    if (r == STORE_GONE)
        return 0;
    if (r == STORE_DENIED) {
        keys->items[keys->count] = (StoredKey){.name = strdup(name)};
        r = keys->items[keys->count].name ? 0 : -ENOMEM;
    }
    keys->count += r == 0;
    return r;
}

typedef struct Names {
    char **items;
    size_t count, capacity;
} Names;

static void names_release(Names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int names_add(Names *names, char *name_consume)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : 64;
        char **items = reallocarray(names->items, capacity, sizeof(*items));
        if (!items) {
            free(name_consume);
            return -ENOMEM;
        }
        names->items = items;
        names->capacity = capacity;
    }
    names->items[names->count++] = name_consume;
    return 0;
}

/* All names first: what goes or comes while keys are read does not move the others. */
static int read_names(Store *store, StorePlace place, Names *ret)
{
    int r = 0;

    for (DWORD i = 0; r == 0 && store->places[place]; i++) {
        wchar_t wide[KEY_NAME_MAX];
        DWORD units = KEY_NAME_MAX;
        LSTATUS error = RegEnumKeyExW(store->places[place], i, wide, &units, NULL, NULL, NULL, NULL);
        if (error == ERROR_NO_MORE_ITEMS)
            break;
        if (error != ERROR_SUCCESS)
            return store_fail(store, place, NULL, "read", error);
        char *name = wide_to_text(wide, units);
        r = name ? names_add(ret, name) : -ENOMEM;
    }
    return r;
}

int store_read(Store *store, StorePlace place, StoredKeys *ret)
{
    Names names = {0};
    StoredKeys keys = {0};
    int r = read_names(store, place, &names);

    for (size_t i = 0; i < names.count && r == 0; i++)
        r = read_add(store, place, names.items[i], &keys);
    names_release(&names);
    if (r != 0)
        stored_keys_release(&keys);
    else
        *ret = keys;
    return r;
}

/* ---- changing ---- */

/* before: taken over. */
static int note_change(Store *store, StorePlace place, bool existed, StoredKey *before)
{
    if (store->count == store->capacity) {
        size_t capacity = store->capacity ? store->capacity * 2 : 64;
        Change *changes = reallocarray(store->changes, capacity, sizeof(*changes));
        if (!changes) {
            stored_key_release(before);
            return -ENOMEM;
        }
        store->changes = changes;
        store->capacity = capacity;
    }
    store->changes[store->count++] = (Change){.place = place, .existed = existed, .before = *before};
    *before = (StoredKey){0};
    return 0;
}

/* Looked at under the same handle that changes it: whoever made it since we read is not overwritten. */
static int check_ours(Store *store, StorePlace place, const StoredKey *key)
{
    _cleanup_(freep) char *tool = NULL;

    if (place != STORE_SERVICES)
        return 0;
    int r = stored_text(key, L"ToolName", &tool);
    if (r < 0 || text_equal(tool, WINDOWS_TOOL))
        return r;
    Buffer holder = {0};
    buffer_append_text(&holder, tool && tool[0] ? "" : "somebody who does not say so");
    if (tool && tool[0])
        buffer_append_quoted(&holder, tool);
    buffer_append_char(&holder, '\0');
    r = holder.failed ? -ENOMEM : store_say(store, STORE_TAKEN, "HKLM\\%s\\%s is held by %s", paths[place], key->name, holder.data);
    buffer_release(&holder);
    return r;
}

static LSTATUS set_values(HKEY handle, const StoredKey *key)
{
    LSTATUS error = ERROR_SUCCESS;

    for (size_t i = 0; i < key->count && error == ERROR_SUCCESS; i++)
        error = RegSetValueExW(handle, key->values[i].name, 0, key->values[i].type, key->values[i].data, key->values[i].size_bytes);
    return error;
}

static LSTATUS delete_key(Store *store, StorePlace place, const char *name)
{
    _cleanup_(freep) wchar_t *wide = wide_from_text(name);

    return wide ? RegDeleteKeyExW(store->places[place], wide, VIEW, 0) : ERROR_NOT_ENOUGH_MEMORY;
}

static int put_into(Store *store, StorePlace place, const StoredKey *key, HKEY handle, bool is_new)
{
    StoredKey before = {0};
    int r = 0;

    if (is_new) {
        before.name = strdup(key->name);
        r = before.name ? 0 : -ENOMEM;
    } else {
        r = read_key(handle, key->name, &before);
        if (r == 0)
            r = check_ours(store, place, &before);
    }
    if (r == 0)
        r = note_change(store, place, !is_new, &before);
    stored_key_release(&before);
    if (r != 0)
        return r;
    LSTATUS error = set_values(handle, key);
    return error == ERROR_SUCCESS ? 0 : store_fail(store, place, key->name, "written", error);
}

int store_put(Store *store, StorePlace place, const StoredKey *key)
{
    _cleanup_(freep) wchar_t *wide = wide_from_text(key->name);
    DWORD disposition;
    HKEY handle;

    if (!wide)
        return -ENOMEM;
    LSTATUS error = RegCreateKeyExW(store->places[place], wide, 0, NULL, 0, KEY_READ | KEY_WRITE | VIEW, NULL, &handle, &disposition);
    if (error != ERROR_SUCCESS)
        return store_fail(store, place, key->name, "written", error);
    bool is_new = disposition == REG_CREATED_NEW_KEY;
    size_t count = store->count;
    int r = put_into(store, place, key, handle, is_new);
    RegCloseKey(handle);
    if (r != 0 && is_new && store->count == count)
        delete_key(store, place, key->name); /* nobody has noted it yet */
    return r;
}

int store_remove(Store *store, StorePlace place, const char *name)
{
    StoredKey before = {0};
    int r = store_read_one(store, place, name, &before);

    if (r == STORE_GONE)
        return 0;
    if (r == 0)
        r = check_ours(store, place, &before);
    if (r == 0)
        r = note_change(store, place, true, &before);
    stored_key_release(&before);
    if (r != 0)
        return r;
    LSTATUS error = delete_key(store, place, name);
    return error == ERROR_SUCCESS || error == ERROR_FILE_NOT_FOUND ? 0 : store_fail(store, place, name, "removed", error);
}

/* ---- taking back ---- */

static void delete_other_values(HKEY handle, const StoredKey *wanted)
{
    StoredKey now = {0};

    if (read_key(handle, wanted->name, &now) < 0)
        return;
    for (size_t i = 0; i < now.count; i++) {
        bool known = false;
        for (size_t k = 0; k < wanted->count && !known; k++)
            known = _wcsicmp(now.values[i].name, wanted->values[k].name) == 0;
        if (!known)
            RegDeleteValueW(handle, now.values[i].name);
    }
    stored_key_release(&now);
}

static LSTATUS undo_change(Store *store, const Change *change)
{
    _cleanup_(freep) wchar_t *wide = wide_from_text(change->before.name);
    HKEY handle;

    if (!wide)
        return ERROR_NOT_ENOUGH_MEMORY;
    if (!change->existed) {
        LSTATUS error = delete_key(store, change->place, change->before.name);
        return error == ERROR_FILE_NOT_FOUND ? ERROR_SUCCESS : error;
    }
    LSTATUS error = RegCreateKeyExW(store->places[change->place], wide, 0, NULL, 0, KEY_READ | KEY_WRITE | VIEW, NULL, &handle, NULL);
    if (error != ERROR_SUCCESS)
        return error;
    error = set_values(handle, &change->before);
    if (error == ERROR_SUCCESS)
        delete_other_values(handle, &change->before);
    RegCloseKey(handle);
    return error;
}

int store_undo(Store *store)
{
    Buffer left = {0};

    for (size_t i = store->count; i > 0; i--) {
        const Change *change = &store->changes[i - 1];
        if (undo_change(store, change) != ERROR_SUCCESS)
            buffer_printf(&left, "%sHKLM\\%s\\%s", left.size_bytes > 0 ? ", " : "", paths[change->place], change->before.name);
    }
    store_forget(store);
    if (left.size_bytes == 0)
        return 0;
    buffer_append_char(&left, '\0');
    int r = left.failed ? -ENOMEM : store_say(store, STORE_FAILED, "%s; could not be taken back: %s", store_error(store), left.data);
    buffer_release(&left);
    return r;
}
