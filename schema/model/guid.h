/* SPDX-License-Identifier: Apache-2.0 */
/* Service GUIDs, and the template that turns an AF_VSOCK port into one.
 * "Make your own integration services" (Microsoft Learn); FACTS: 00000000-facb-11e6-bd58-64006a7986d3, Data1 = port. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Guid Guid;

/* In the order of the text: bytes[0] is the first two hex digits. */
struct Guid {
    uint8_t bytes[16];
};

#define GUID_TEXT_SIZE_BYTES 37

/* 8-4-4-4-12 hex digits in any case, with or without braces, nothing around it. false leaves *ret as it is. */
bool guid_parse(const char *text, Guid *ret);
/* Looks like a GUID: right length and dashes or braces, so that a bad digit is told as a bad GUID and not as a name. */
bool guid_has_shape(const char *text);
/* Lower case, no braces. */
char *guid_format(const Guid *guid, char text[static GUID_TEXT_SIZE_BYTES]);
/* Upper case, no braces: the name of a Windows registry key. */
char *guid_format_upper(const Guid *guid, char text[static GUID_TEXT_SIZE_BYTES]);
Guid guid_from_port(uint32_t port);
/* false: outside the template, so it has no AF_VSOCK port. */
bool guid_to_port(const Guid *guid, uint32_t *ret_port);
/* As in SOCKADDR_HV: Data1..3 little-endian, Data4 as bytes. */
void guid_to_wire(const Guid *guid, uint8_t wire[static 16]);
Guid guid_from_wire(const uint8_t wire[static 16]);
int guid_compare(const Guid *a, const Guid *b);
bool guid_is_zero(const Guid *guid);
/* WILDCARD, BROADCAST, CHILDREN, LOOPBACK, PARENT, SILOHOST; NULL for all others. */
const char *guid_wildcard_name(const Guid *guid);
