/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a GUID, and any sixteen bytes as one from the wire. */

#include <string.h>

#include "schema/model/guid.h"
#include "tests/fuzz/fuzz.h"

static void promise(const Guid *guid)
{
    char text[GUID_TEXT_SIZE_BYTES], braces[GUID_TEXT_SIZE_BYTES + 2];
    uint8_t wire[16];
    uint32_t port;
    Guid again;

    PROMISED(guid_parse(guid_format(guid, text), &again) && guid_compare(guid, &again) == 0);
    snprintf(braces, sizeof(braces), "{%s}", guid_format_upper(guid, text));
    PROMISED(guid_has_shape(braces) && guid_parse(braces, &again) && guid_compare(guid, &again) == 0);
    guid_to_wire(guid, wire);
    again = guid_from_wire(wire);
    PROMISED(guid_compare(guid, &again) == 0);
    if (guid_to_port(guid, &port)) {
        again = guid_from_port(port);
        PROMISED(guid_compare(guid, &again) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char text[64];
    Guid guid;

    if (size_bytes >= sizeof(text))
        return 0;
    memcpy(text, data, size_bytes);
    text[size_bytes] = '\0';
    if (guid_parse(text, &guid)) {
        PROMISED(guid_has_shape(text));
        promise(&guid);
    }
    if (size_bytes == 16) {
        guid = guid_from_wire(data);
        promise(&guid);
    }
    return 0;
}
