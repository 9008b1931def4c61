/* SPDX-License-Identifier: Apache-2.0 */
/* The services that Windows' registry has, ours and others', as they were when they were read. */
#pragma once

#include "config/windows.h"
#include "ctl/windows/store.h"

typedef struct Host Host;
typedef struct HostKey HostKey;

struct HostKey {
    StoredKey *stored;     /* Host's */
    StorePlace place;      /* STORE_SERVICES or STORE_DISABLED */
    WindowsKey key;        /* texts are its own */
    WindowsOwner owner;
    Guid guid;
    bool has_guid, bare;   /* bare: without braces */
    bool gone_before;      /* we removed it, and it is back */
    bool twin;             /* there is another key of that GUID, bare or before it */
    char *pool;            /* the pool that it is of; or NULL */
    char *name;            /* the service's */
};

/* {0} is empty. keys: by name, then bare ones first. */
struct Host {
    StoredKeys stored[STORE_PLACES];
    HostKey *keys;
    size_t count;
};

/* 0, STORE_*; -ENOMEM. */
int host_read(Store *store, Host *ret);
void host_release(Host *host);

/* The next of ours of that name, after `after` (NULL: the first); or NULL. */
HostKey *host_find_ours(const Host *host, const char *name, const HostKey *after);
/* The next key of that GUID. */
HostKey *host_find_guid(const Host *host, const Guid *guid, const HostKey *after);
/* A Service of the API. What a key cannot say is left out. */
void host_key_write_json(const HostKey *key, Buffer *text);
/* `podman`, `Windows`, … for messages. */
void host_key_write_holder(const HostKey *key, Buffer *text);
/* All that is odd about it, in words; nothing where all is well. */
void host_key_write_reason(const HostKey *key, Buffer *text);
/* `2024-01-02T03:04:05Z` of a FILETIME. */
void host_write_time(uint64_t filetime, Buffer *text);
