/* SPDX-License-Identifier: Apache-2.0 */
/* What Windows keeps of a service: a key under GuestCommunicationServices, in its registry or in a .reg file, and whose it is.
 * Nothing here calls Windows. FACTS, "Windows registry". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schema/base/problem.h"
#include "schema/model/guid.h"
#include "schema/model/records.h"

#define WINDOWS_PATH "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\GuestCommunicationServices"
#define WINDOWS_ROOT "HKEY_LOCAL_MACHINE"
#define WINDOWS_TOOL "hvsockd" /* our ToolName */
#define WINDOWS_PORT_MAX 0x7fffffffu /* over Hyper-V higher ones cannot be reached from the other side */

typedef struct WindowsKey WindowsKey;
typedef struct WindowsKeys WindowsKeys;

/* One key as it stands; texts are UTF-8, NULL: there is no such value. */
struct WindowsKey {
    char *name; /* the last part of its path, in the case and with the braces that it has */
    char *element_name, *purpose, *tool_name;
    unsigned line; /* of the file; 0: none */
};

/* {0} is empty. */
struct WindowsKeys {
    WindowsKey *items;
    size_t count;
};

/* Whose a key is. Only ours are ever changed or removed. */
typedef enum WindowsOwner {
    WINDOWS_OURS,   /* ToolName is hvsockd */
    WINDOWS_IN_BOX, /* Windows' own */
    WINDOWS_OTHERS, /* another tool's, or nobody says whose */
} WindowsOwner;
WindowsOwner windows_key_owner(const WindowsKey *key);
/* `VM Session Service` of an in-box service; NULL: it is none. */
const char *windows_in_box(const Guid *guid);
/* Who has it, for messages: `podman ("Network")`, `"gvisor-tap-vsock", which does not say whose it is`. */
void windows_key_describe(const WindowsKey *key, Buffer *text);

/* -ENOMEM. */
int windows_key_copy(const WindowsKey *key, WindowsKey *ret);
void windows_key_release(WindowsKey *key);
/* Takes a copy. -ENOMEM. */
int windows_keys_add(WindowsKeys *keys, const WindowsKey *key);
void windows_keys_release(WindowsKeys *keys);

/* The GUID that a service has on Windows and the problems that it has there: no GUID, autoPort without a port, a port that
 * nobody can reach, a type other than stream, a GUID that means something else, control characters. 0: good; WINDOWS_REFUSED:
 * told; WINDOWS_NOTHING: it has neither port nor GUID, and nothing was told. -ENOMEM. */
enum { WINDOWS_REFUSED = 1, WINDOWS_NOTHING };
int windows_service_guid(const ServiceContext *service, Problems *problems, Guid *ret);
/* What Windows shows: elementName, else the name. */
const char *windows_element_name(const ServiceContext *service);
