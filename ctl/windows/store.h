/* SPDX-License-Identifier: Apache-2.0 */
/* Windows' own registry as hvsockctl uses it: keys with their values, read whole, and changes of which all or none stay. The only
 * user of the Reg* functions. Only keys whose ToolName is ours are ever changed. Always the 64-bit view. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"

typedef struct Store Store;
typedef struct StoredKey StoredKey;
typedef struct StoredKeys StoredKeys;
typedef struct StoredValue StoredValue;

typedef enum StorePlace {
    STORE_SERVICES, /* GuestCommunicationServices: what Hyper-V looks at */
    STORE_DISABLED, /* ours, kept aside */
    STORE_REMOVED,  /* what we have removed, so that it is known when it comes back */
    STORE_POOLS,
    STORE_PLACES,
} StorePlace;
/* The path of its keys under HKEY_LOCAL_MACHINE, UTF-8. */
const char *store_path(StorePlace place);

struct StoredValue {
    wchar_t *name;
    uint32_t type;
    uint8_t *data;
    uint32_t size_bytes;
};

struct StoredKey {
    char *name; /* UTF-8, in the case that it has */
    StoredValue *values;
    size_t count;
    uint64_t written_at; /* FILETIME; 0: not read */
};

struct StoredKeys {
    StoredKey *items;
    size_t count, capacity;
};

void stored_key_release(StoredKey *key);
void stored_keys_release(StoredKeys *keys);
/* The text of a value, owned by the caller; NULL: there is none that is a text. -ENOMEM. */
int stored_text(const StoredKey *key, const wchar_t *name, char **ret);
/* Sets a text; NULL: nothing. -ENOMEM. */
int stored_set_text(StoredKey *key, const wchar_t *name, const char *text);
int stored_set_number(StoredKey *key, const wchar_t *name, uint32_t number);
bool stored_number(const StoredKey *key, const wchar_t *name, uint32_t *ret);

/* Answers of all that follows, beside 0 and -ENOMEM; store_error says what and why. */
enum {
    STORE_DENIED = 1, /* without the rights */
    STORE_GONE,       /* there is no such key (any more) */
    STORE_TAKEN,      /* it is not ours */
    STORE_FAILED,
};

/* for_writing: with the right to change all places, which are made where they are missing. */
int store_open(bool for_writing, Store **ret);
/* Undoes what was not kept. */
void store_close(Store *store);
DEFINE_CLEANUP(Store *, store_close)
const char *store_error(const Store *store);

/* All keys of a place, as far as they stay while they are read. A place that is not there is empty. */
int store_read(Store *store, StorePlace place, StoredKeys *ret);
int store_read_one(Store *store, StorePlace place, const char *name, StoredKey *ret);
/* Sets the key's values, others of an existing key stay. In STORE_SERVICES an existing key must be ours (STORE_TAKEN). */
int store_put(Store *store, StorePlace place, const StoredKey *key);
/* A key that is gone already is removed. In STORE_SERVICES it must be ours. */
int store_remove(Store *store, StorePlace place, const char *name);
/* What was changed stays. */
void store_keep(Store *store);
/* Takes back what was changed since, last first. STORE_FAILED: some of it could not be, and store_error names it. */
int store_undo(Store *store);
