/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the store: the folders, the lock, registry.db, and ephemeral.db attached to it. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/store/ephemeral.h"
#include "daemon/store/file.h"
#include "daemon/store/lock.h"
#include "daemon/store/registry.h"
#include "daemon/store/state.h"

static int folder_make(const char *path, mode_t mode, Buffer *trouble)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    int r = -errno;
    buffer_printf(trouble, "%s: the folder is not there and cannot be made: %s", path, strerror(-r));
    return r;
}

/* 0, STORE_NEWER, STORE_UNSOUND, STORE_READ_ONLY, -errno. */
static int store_open_databases(Store *store, const Migrations *migrations, Buffer *trouble)
{
    Registry registry = {0};

    int r = registry_open(store->path, migrations, &registry, trouble);
    if (r < 0 || r == STORE_UNSOUND)
        return r;
    store->database = registry.database;
    store->version = registry.version;
    store->refusal = registry.refusal;
    store->lenient = registry.lenient;
    if (r == STORE_NEWER) {
        store->ephemeral_refusal = STORE_NEWER;
        ephemeral_attach_for_reading(store->database, store->ephemeral_path);
        return r;
    }
    int attached = ephemeral_attach(store->database, store->ephemeral_path, migrations, trouble, trouble);
    return attached < 0 ? attached : r;
}

static int store_open_folders(Store *store, const char *state_path, const char *runtime_path,
                              const Migrations *migrations, Buffer *trouble)
{
    store->path = path_with(state_path, "/registry.db");
    store->ephemeral_path = path_with(runtime_path, "/ephemeral.db");
    if (!store->path || !store->ephemeral_path)
        return -ENOMEM;
    /* Contexts have environments in them: nobody else's to read. RUNTIME is where everybody finds the socket. */
    int r = folder_make(state_path, 0700, trouble);
    if (r >= 0)
        r = folder_make(runtime_path, 0755, trouble);
    if (r >= 0)
        r = lock_take(state_path, &store->lock_fd, trouble);
    return r < 0 ? r : store_open_databases(store, migrations, trouble);
}

int store_open_with(const char *state_path, const char *runtime_path, const Migrations *migrations, Store **ret,
                    char **ret_trouble)
{
    _cleanup_(store_freep) Store *store = calloc(1, sizeof(*store));
    _cleanup_(buffer_release) Buffer trouble = {0};

    if (!store)
        return -ENOMEM;
    store->lock_fd = -1;
    int r = store_open_folders(store, state_path, runtime_path, migrations, &trouble);
    if (r < 0 && trouble.size_bytes == 0)
        buffer_printf(&trouble, "%s: %s", state_path, strerror(-r));
    if ((trouble.size_bytes > 0 || trouble.failed) && buffer_take(&trouble, ret_trouble, NULL) < 0)
        return -ENOMEM;
    if (r >= 0 && r != STORE_UNSOUND)
        *ret = TAKE_PTR(store);
    return r;
}

int store_open(const char *state_path, const char *runtime_path, Store **ret, char **ret_trouble)
{
    return store_open_with(state_path, runtime_path, &migrations_all, ret, ret_trouble);
}
