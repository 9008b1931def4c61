/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a service in JSON, as clients send it. What is read is written and read again as the same; what is valid can be
 * completed, and the completed service is valid and complete. */

#include <string.h>

#include "schema/codec/record.h"
#include "schema/model/service.h"
#include "tests/fuzz/fuzz.h"

static const RecordType *const type = &record_type_ServiceContext;

static ServiceContext *again_as_json(const ServiceContext *service)
{
    Buffer text = {0};
    Problems problems = {0};
    void *again;

    record_write_json(type, service, RECORD_WRITE_ALL, &text);
    PROMISED(!text.failed && text_is_utf8(text.data, text.size_bytes, NULL));
    PROMISED(record_read_json(type, text.data, text.size_bytes, &problems, &again) == 0);
    PROMISED(record_equal(type, service, again));
    buffer_release(&text);
    return again;
}

static void complete(const ServiceContext *service)
{
    const uint32_t auto_port = 268435456;
    ServiceContext *completed, *again;
    Problems problems = {0};

    PROMISED(service_complete(service, service->auto_port == YES ? &auto_port : NULL, false, &completed) == 0);
    again = again_as_json(completed);
    PROMISED(service_validate(again, &problems) == 0);
    PROMISED(problems.errors == 0);
    PROMISED(record_equal(type, completed, again));
    service_context_free(again);
    PROMISED(service_complete(completed, service->auto_port == YES ? &auto_port : NULL, false, &again) == 0);
    PROMISED(record_equal(type, completed, again));
    service_context_free(again);
    service_context_free(completed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    Problems problems = {0};
    void *service;
    int r = record_read_json(type, (const char *)data, size_bytes, &problems, &service);

    PROMISED(r == 0 || r == RECORD_INVALID);
    PROMISED((r == RECORD_INVALID) == (problems.errors > 0));
    if (r == 0) {
        service_context_free(again_as_json(service));
        PROMISED(service_validate(service, &problems) == 0);
        service_context_free(again_as_json(service));
        if (problems.errors == 0)
            complete(service);
        service_context_free(service);
    }
    problems_release(&problems);
    return 0;
}
