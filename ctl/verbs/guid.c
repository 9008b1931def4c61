/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl guid: from a vsock port to its Hyper-V service GUID and back. Needs no daemon. */

#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "schema/base/text.h"
#include "schema/model/guid.h"

static int guid_run(Ctl *ctl)
{
    const char *text = ctl->given.operands[0];
    char guid_text[GUID_TEXT_SIZE_BYTES], json[128];
    bool from_port = text[0] && text[strspn(text, "0123456789")] == '\0', has_port = true;
    uint64_t number;
    uint32_t port;
    Guid guid;

    if (from_port) {
        if (!text_to_number(text, UINT32_MAX, &number))
            return ctl_usage(ctl, text, "a port is a plain decimal number from 0 to 4294967295", "not a port");
        port = (uint32_t)number;
        guid = guid_from_port(port);
    } else {
        if (!guid_parse(text, &guid))
            return ctl_usage(ctl, text, "a GUID is 8-4-4-4-12 hexadecimal digits, a port plain decimal",
                             "neither a port nor a GUID");
        has_port = guid_to_port(&guid, &port);
    }
    guid_format(&guid, guid_text);

    if (ctl->output.json) {
        int size = has_port ? snprintf(json, sizeof(json), "{\"guid\":\"%s\",\"port\":%u}", guid_text, port)
                            : snprintf(json, sizeof(json), "{\"guid\":\"%s\"}", guid_text);
        output_json(&ctl->output, json, (size_t)size);
    } else if (from_port) {
        puts(guid_text);
    } else if (has_port) {
        printf("%u\n", port);
    }
    if (has_port)
        return EXIT_DONE;
    ctl_tell(text, "only Windows hosts and OpenVMM can serve it",
             "it has no vsock port: it does not end in "
             "-facb-11e6-bd58-64006a7986d3");
    return EXIT_NO;
}

const Verb verb_guid = {
    .name = "guid",
    .group = VERBS_OF_HELP,
    .synopsis = "PORT|GUID",
    .help = "Turn a vsock port into its Hyper-V service GUID, or back",
    .description = "Needs no daemon. Exits 1 for a GUID that has no port.",
    .operand = "PORT or GUID",
    .operands_min = 1,
    .operands_max = 1,
    .run = guid_run,
};
