/* SPDX-License-Identifier: Apache-2.0 */
/* An address: where a service listens or is reached, always a URI. A transport knows how its URIs are read and written,
 * which number space they live in, and which path a number has there. One file a transport (transport-NAME.c); the table
 * of all is made from the file names by the Makefile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/model/guid.h"

typedef struct Address Address;
typedef struct Transport Transport;

#define VSOCK_CID_HYPERVISOR 0u
#define VSOCK_CID_LOCAL 1u
#define VSOCK_CID_HOST 2u
#define VSOCK_CID_ANY UINT32_MAX

struct Address {
    const Transport *transport;
    uint32_t cid;         /* vsock: VSOCK_CID_ANY where the URI has none */
    bool has_port;
    bool has_guid;
    uint32_t port;
    Guid guid;            /* the service's GUID, where it is given as one */
    Guid vm_id;           /* hvsock:// with a VM's GUID; zero = wildcard */
    char *path;           /* hybrid, unix: the socket; hyperkit: the folder. Absolute in what is listened on */
    char *machine;        /* machine:NAME, machine:*; hvsock:// with a VM's name */
};

struct Transport {
    const char *name;     /* vsock, hybrid, hyperkit, unix, hyperv, machine */
    const char *scheme;   /* what its URIs begin with: `vsock:`, `hybrid://`, … */
    const char *syntax;   /* `vsock://[CID]:PORT`, for messages and manuals */
    const char *help;
    bool stream_only;
    bool listens;         /* this host can hold a listener there (hyperv: not on Linux) */
    bool has_path;        /* listeners are files */
    bool numberless;      /* an address is a place by itself: it needs neither port nor GUID */
    bool ports_only;      /* knows no GUID that has no port */

    /* rest is what follows the scheme. Fills *address; false with a reason (static text, or with what was read in
     * reason_buffer) and a hint where it is refused. */
    bool (*parse)(const char *rest, Address *address, const char **ret_reason, const char **ret_hint);
    void (*format)(const Address *address, Buffer *text);
    /* The file that a listener of this port or GUID is bound to: `PATH_5140`, `DIR/00000002.00001414`. Only with has_path.
     * guid is used where has_port is false. -EINVAL where it cannot be told. */
    int (*listen_path)(const Address *address, char **ret_path);
};

extern const Transport *const transports[]; /* NULL-terminated */

extern const Transport transport_vsock;
extern const Transport transport_hybrid;
extern const Transport transport_hyperkit;
extern const Transport transport_unix;
extern const Transport transport_hyperv;
extern const Transport transport_machine;

const Transport *transport_find(const char *name);
/* Whose URIs begin so; NULL: nobody's. */
const Transport *transport_of(const char *uri);

/* Any URI form of FACTS, also `vsock:CID:PORT`. Returns 0; ADDRESS_REFUSED with reason and hint (static texts); -ENOMEM.
 * The caller releases *ret. */
enum { ADDRESS_REFUSED = 1 };
int address_parse(const char *uri, Address *ret, const char **ret_reason, const char **ret_hint);
/* The canonical URI. */
void address_format(const Address *address, Buffer *text);
int address_to_text(const Address *address, char **ret_uri);
int address_copy(const Address *address, Address *ret);
void address_release(Address *address);
bool address_equal(const Address *a, const Address *b);

/* What makes two listeners one and the same thing to the kernel: one address space and number. For vsock it is the port
 * alone, as CID_ANY conflicts with every CID; for paths it is the path of the socket file.
 * The address must be complete (port or GUID filled in). -EINVAL, -ENOMEM. */
int address_key(const Address *address, char **ret_key);
