/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of Windows' registry in memory: values by name, texts and numbers in them. */

#include <errno.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

#include "ctl/windows/store.h"
#include "ctl/windows/wide.h"

void stored_key_release(StoredKey *key)
{
    for (size_t i = 0; i < key->count; i++) {
        free(key->values[i].name);
        free(key->values[i].data);
    }
    free(key->values);
    free(key->name);
    *key = (StoredKey){0};
}

void stored_keys_release(StoredKeys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        stored_key_release(&keys->items[i]);
    free(keys->items);
    *keys = (StoredKeys){0};
}

/* Value names are case-insensitive. */
static const StoredValue *stored_find(const StoredKey *key, const wchar_t *name)
{
    for (size_t i = 0; i < key->count; i++)
        if (_wcsicmp(key->values[i].name, name) == 0)
            return &key->values[i];
    return NULL;
}

int stored_text(const StoredKey *key, const wchar_t *name, char **ret)
{
    const StoredValue *value = stored_find(key, name);

    *ret = NULL;
    if (!value || (value->type != REG_SZ && value->type != REG_EXPAND_SZ))
        return 0;
    /* What ends it may be missing, or be there twice; an odd byte is nobody's. */
    size_t units = value->size_bytes / sizeof(wchar_t);
    _cleanup_(freep) wchar_t *wide = malloc((units + 1) * sizeof(wchar_t));
    if (!wide)
        return -ENOMEM;
    memcpy(wide, value->data, units * sizeof(wchar_t));
    wide[units] = L'\0';
    *ret = wide_to_text(wide, wcslen(wide));
    return *ret ? 0 : -ENOMEM;
}

bool stored_number(const StoredKey *key, const wchar_t *name, uint32_t *ret)
{
    const StoredValue *value = stored_find(key, name);

    if (!value || value->type != REG_DWORD || value->size_bytes != sizeof(*ret))
        return false;
    memcpy(ret, value->data, sizeof(*ret));
    return true;
}

static int stored_set(StoredKey *key, const wchar_t *name, uint32_t type, const void *data, size_t size_bytes)
{
    StoredValue *values = reallocarray(key->values, key->count + 1, sizeof(*values));

    if (!values)
        return -ENOMEM;
    key->values = values;
    StoredValue value = {.name = _wcsdup(name), .type = type, .data = malloc(size_bytes), .size_bytes = (uint32_t)size_bytes};
    if (!value.name || !value.data) {
        free(value.name);
        free(value.data);
        return -ENOMEM;
    }
    memcpy(value.data, data, size_bytes);
    values[key->count++] = value;
    return 0;
}

int stored_set_text(StoredKey *key, const wchar_t *name, const char *text)
{
    _cleanup_(freep) wchar_t *wide = text ? wide_from_text(text) : NULL;

    if (!text)
        return 0;
    return wide ? stored_set(key, name, REG_SZ, wide, (wcslen(wide) + 1) * sizeof(wchar_t)) : -ENOMEM;
}

int stored_set_number(StoredKey *key, const wchar_t *name, uint32_t number)
{
    return stored_set(key, name, REG_DWORD, &number, sizeof(number));
}
