/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as hvsockd.yaml: refused with a place, or taken, written and read again as the same. */

#include <string.h>

#include "config/document.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    Problems problems = {0};
    Settings *settings = NULL, *again = NULL;
    int r = document_read_settings("fuzzed.yaml", (const char *)data, size_bytes, &problems, &settings);

    PROMISED(r == 0 || r == LOAD_INVALID);
    PROMISED((r == LOAD_INVALID) == (problems.errors > 0));
    for (size_t i = 0; i < problems.count; i++)
        PROMISED(problems.items[i].line > 0 && problems.items[i].column > 0);
    if (r == 0) {
        Buffer text = {0};
        PROMISED(yaml_write_record(&record_type_Settings, settings, RECORD_WRITE_ALL, &text) == 0);
        PROMISED(document_read_settings("written.yaml", text.data, text.size_bytes, &problems, &again) == 0);
        PROMISED(record_equal(&record_type_Settings, settings, again));
        buffer_release(&text);
    }
    settings_free(settings);
    settings_free(again);
    problems_release(&problems);
    return 0;
}
