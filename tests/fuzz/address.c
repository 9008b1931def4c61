/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as an address: refused with a reason, or read, printed, and read again as the same. */

#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char text[512];
    const char *reason = NULL, *hint = NULL;
    Address address, again;

    if (size_bytes >= sizeof(text) || !text_is_utf8((const char *)data, size_bytes, NULL))
        return 0;
    memcpy(text, data, size_bytes);
    text[size_bytes] = '\0';

    int r = address_parse(text, &address, &reason, &hint);
    PROMISED(r == 0 || r == ADDRESS_REFUSED);
    if (r == ADDRESS_REFUSED) {
        PROMISED(reason);
        return 0;
    }
    char *uri, *uri_again, *key;
    PROMISED(address_to_text(&address, &uri) == 0);
    PROMISED(address_parse(uri, &again, &reason, &hint) == 0);
    PROMISED(address_equal(&address, &again));
    PROMISED(address_to_text(&again, &uri_again) == 0);
    PROMISED(strcmp(uri, uri_again) == 0);
    r = address_key(&address, &key);
    PROMISED(r == 0 || r < 0);
    if (r == 0)
        free(key);
    free(uri);
    free(uri_again);
    address_release(&address);
    PROMISED(address_copy(&again, &address) == 0);
    PROMISED(address_equal(&address, &again));
    address_release(&address);
    address_release(&again);
    return 0;
}
