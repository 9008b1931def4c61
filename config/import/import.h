/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of Windows' registry, from a .reg file or from the registry itself -> services, each with a name of its own. What is kept
 * of one that was given is its GUID and its name. */
#pragma once

#include "config/index.h"
#include "config/windows.h"
#include "schema/base/problem.h"

typedef struct Import Import;

/* The service is the import's, and good until this returns. Anything but 0 ends the import and is passed on. */
typedef int (*ImportOnService)(const ServiceContext *service, const WindowsKey *key, void *userdata);

struct Import {
    const char *file; /* for problems; or NULL */
    bool in_box;      /* also Windows' own */
    Problems *problems;
    ImportOnService on_service;
    void *userdata;
    Index guids, names; /* -> lines */
    size_t count;
};

/* One more key: a RegOnKey, whose userdata is the Import; it stays where it is. Named by Purpose, else by a slug of ElementName,
 * else port-N or guid-GUID; a name that is taken gets the port or GUID behind it. Keys that differ in braces or case only are
 * told. 0; -ENOMEM; what on_service answered. */
int import_key(const WindowsKey *key, void *import);
void import_release(Import *import);

/* Such a service as an element of `services:`, as yaml_write_record has it, in a twentieth of the time. */
void import_write_yaml(const ServiceContext *service, Buffer *text);
