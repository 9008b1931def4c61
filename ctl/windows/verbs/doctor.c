/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl doctor on Windows: what is not as it should be, and the command that mends it. Keys of others that are only odd are
 * told, and are no reason to fail. */

#include "ctl/windows/hyperv.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/windows/registry.h"
#include "ctl/windows/wide.h"
#include "schema/base/text.h"

typedef struct Doctor {
    Ctl *ctl;
    Output findings; /* with --json */
    size_t count;
} Doctor;

/* One finding. mend: a command, or NULL; note: it is told, and all may be well nevertheless. */
static int doctor_find(Doctor *doctor, bool note, const char *what, const char *mend, const char *why)
{
    doctor->count += !note;
    return output_finding(&doctor->ctl->output, what, why, mend, &doctor->findings);
}

/* What mends a key of ours; what others wrote is theirs to mend. */
static int key_mend(const HostKey *key, char **ret)
{
    const char *path = store_path(key->place);
    int size = 0;

    *ret = NULL;
    if (key->owner != WINDOWS_OURS)
        return 0;
    if (!key->has_guid || !key->bare || !key->key.purpose || format_service_name.check(key->key.purpose))
        size = asprintf(ret, "reg delete \"HKLM\\%s\\%s\" /f /reg:64", path, key->key.name);
    else if (key->gone_before)
        size = asprintf(ret, "hvsockctl unregister %s", key->name);
    return size < 0 ? -ENOMEM : 0;
}

static int doctor_look_at_key(Doctor *doctor, const HostKey *key)
{
    _cleanup_(freep) char *why = NULL, *what = NULL, *mend = NULL;
    Buffer reason = {0}, name = {0};

    if (key->pool && key->bare && !key->twin && !key->gone_before)
        return 0;
    host_key_write_reason(key, &reason);
    int r = buffer_take(&reason, &why, NULL);
    if (r < 0 || !why[0])
        return r;
    buffer_printf(&name, "%s (", key->key.name);
    host_key_write_holder(key, &name);
    buffer_append_char(&name, ')');
    r = buffer_take(&name, &what, NULL);
    if (r == 0)
        r = key_mend(key, &mend);
    return r < 0 ? r : doctor_find(doctor, key->owner != WINDOWS_OURS, what, mend, why);
}

/* What the pools' list says, and is not there. */
static int doctor_look_at_pools(Doctor *doctor, const Host *host)
{
    for (size_t i = 0; i < host->stored[STORE_POOLS].count; i++) {
        const StoredKey *pool = &host->stored[STORE_POOLS].items[i];
        _cleanup_(freep) char *what = NULL, *mend = NULL, *why = NULL;
        size_t there = 0;
        for (size_t k = 0; k < host->count; k++)
            there += host->keys[k].pool && strcasecmp(host->keys[k].pool, pool->name) == 0 && host->keys[k].place == STORE_SERVICES;
        if (there >= pool->count)
            continue;
        if (asprintf(&what, "pool %s", pool->name) < 0 || asprintf(&why, "%zu of its %zu services have no key", pool->count - there, pool->count) < 0 ||
            asprintf(&mend, "hvsockctl pool remove %s && hvsockctl pool create %s --count %zu", pool->name, pool->name, pool->count) < 0)
            return -ENOMEM;
        int r = doctor_find(doctor, false, what, mend, why);
        if (r < 0)
            return r;
    }
    return 0;
}

static int doctor_look_at_sockets(Doctor *doctor)
{
    SOCKET fd = hyperv_socket();
    _cleanup_(freep) char *why = NULL, *error = NULL;

    if (fd != INVALID_SOCKET) {
        closesocket(fd);
        return 0;
    }
    error = wide_error_text((uint32_t)WSAGetLastError());
    if (!error || asprintf(&why, "this host has no Hyper-V sockets, so no virtual machine reaches a service: %s (%d)", error,
                           WSAGetLastError()) < 0)
        return -ENOMEM;
    return doctor_find(doctor, false, "AF_HYPERV", "dism /online /enable-feature /featurename:VirtualMachinePlatform /all", why);
}

static int doctor_look(Doctor *doctor, Registry *registry)
{
    _cleanup_(host_release) Host host = {0};
    Store *store;
    int r = registry_windows_store(registry, false, &store);

    if (r == 0)
        r = registry_windows_answer(registry, host_read(store, &host));
    for (size_t i = 0; i < host.count && r == 0; i++)
        r = doctor_look_at_key(doctor, &host.keys[i]);
    if (r == 0)
        r = doctor_look_at_pools(doctor, &host);
    return r == 0 ? doctor_look_at_sockets(doctor) : r;
}

static int doctor_run(Ctl *ctl)
{
    Doctor doctor = {.ctl = ctl};
    Registry *registry;

    int r = output_open(&ctl->output, OUTPUT_JSON, NULL, NULL, NULL, &doctor.findings);
    if (r == 0)
        r = ctl_open(ctl, &registry);
    if (r == 0)
        r = doctor_look(&doctor, registry);
    if (r == 0 && ctl->output.json)
        r = output_close(&doctor.findings);
    output_release(&doctor.findings);
    if (r != 0)
        return ctl_refused(ctl, r, "doctor");
    if (doctor.count == 0 && !ctl->output.json)
        puts("all is well");
    return doctor.count > 0 ? EXIT_NO : EXIT_DONE;
}

const Verb verb_doctor = {
    .name = "doctor",
    .group = VERBS_OF_WATCHING,
    .synopsis = "",
    .help = "Say what is not as it should be, and the command that mends it",
    .description = "Keys in braces or whose name is no GUID, GUIDs that are there twice, keys that came back after hvsockctl had "
                   "removed them, keys without ElementName, pools whose keys are gone, a Windows without Hyper-V sockets. What is odd "
                   "about other tools' keys is told, too. Exits 0 where all is well, 1 where something of ours or of Windows is not. "
                   "With --json an array of findings: what, why, mend.",
    .run = doctor_run,
};
