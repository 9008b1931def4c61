/* SPDX-License-Identifier: Apache-2.0 */
/* `machine:NAME` and `machine:*`: a machine's own transport, whatever it is. No socket by itself: the plan makes it the
 * machine's. */

#include <string.h>

#include "schema/base/text.h"
#include "schema/model/address.h"
#include "schema/model/format.h"
#include "schema/model/uri.h"

#define NAME_MAX_BYTES 64

static bool machine_parse(const char *rest, Address *address, const char **ret_reason, const char **ret_hint)
{
    Refusal refusal = {ret_reason, ret_hint};

    if (strcmp(rest, "*") != 0) {
        if (text_starts_with(rest, "//"))
            return uri_refuse(refusal, "machine: is followed by slashes", "machine:NAME or machine:* would be right");
        if (strlen(rest) > NAME_MAX_BYTES)
            return uri_refuse(refusal, "the machine's name is longer than 64 bytes", "machine:NAME or machine:* would be right");
        const char *why = format_machine_name.check(rest);
        if (why)
            return uri_refuse(refusal, "after machine: stands no machine's name",
                              "machine:NAME or machine:* would be right, the name in lower-case letters, digits, dots, dashes "
                              "and underscores, and no number, range or word for a CID");
    }
    address->machine = strdup(rest);
    return address->machine != NULL;
}

static void machine_format(const Address *address, Buffer *text)
{
    buffer_append_text(text, address->machine);
}

const Transport transport_machine = {
    .name = "machine",
    .scheme = "machine:",
    .syntax = "machine:NAME",
    .help = "The machine's own transport: hybrid, hyperkit, or the host's AF_VSOCK. machine:* is each machine's, also of machines that come "
            "later.",
    .listens = true,
    .parse = machine_parse,
    .format = machine_format,
};
