/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails once, one after the other, while records are read, validated, completed, written and compared: each time
 * the answer is -ENOMEM, nothing is lost and nothing is freed twice. The program's own malloc counts; a sanitizer has its own, so
 * there it is skipped. */

#include <errno.h>

#include "tests/unit/allocations.h"
#include "tests/unit/records.h"

#ifdef ALLOCATIONS_ARE_NOT_OURS

int main(void)
{
    puts("sanitizers allocate themselves");
    return 77;
}

#else

static const char good[] =
    "{'services':[{'name':'guest-log','port':5140,'listen':['hybrid:///run//v.sock','vsock://:5140','hyperkit:///x','machine:web1'],"
    "'peers':{'allow':['web1','42']},'labels':{'b':'1','a':'2'},'activate':{'mode':'accept','exec':['/a','b'],'environment':{'A':'b'}}},"
    "{'name':'b','guid':'6f9619ff-8b86-d011-b42d-00c04fc964ff','listen':['hybrid:///y']}],"
    "'machines':[{'name':'m','hybrid':'/x','vmId':'6f9619ff-8b86-d011-b42d-00c04fc964ff'}]}";

static const char bad[] =
    "{'services':[{'nam':'x','port':'x','listen':['hybrid://x','vsock://:5141',4],'peers':{'allow':['web1','42-1']},"
    "'activate':{'mode':'accept','exec':['a'],'unit':'x'},'labels':{'a b':5}},"
    "{'name':'a','port':5,'guid':'6f9619ff-8b86-d011-b42d-00c04fc964ff','listen':['vsock://0:6','vsock://:5','x','vsock://:5']}],"
    "'machines':[{'name':'m','hybrid':'x'}]}";

/* 0, or -ENOMEM; anything else is a failure of the test, told by `odd`. */
static int use_service(const ServiceContext *given, const MachineContext *machine, const char **odd)
{
    _cleanup_(service_context_freep) ServiceContext *service = NULL;
    _cleanup_(text_list_freep) char **fields = NULL;
    _cleanup_(freep) char *text = NULL;
    _cleanup_(address_release) Address reached = {0};
    Address *addresses;
    Buffer buffer = {0};
    size_t count;

    int r = service_complete(given, NULL, true, &service);
    if (r < 0)
        return r;
    record_write_json(&record_type_ServiceContext, service, RECORD_WRITE_ALL, &buffer);
    if ((r = buffer_take(&buffer, &text, NULL)) < 0)
        return r;
    if ((r = record_differences(&record_type_ServiceContext, service, given, &fields)) < 0)
        return r;
    if ((r = machine_address(machine, service, &reached)) < 0)
        return r;
    if ((r = service_addresses(service, &addresses, &count)) < 0)
        return r;
    for (size_t i = 0; i < count && r == 0; i++) {
        _cleanup_(freep) char *key = NULL;
        r = address_key(&addresses[i], &key);
        if (r == -EINVAL) /* machine: */
            r = 0;
    }
    addresses_free(addresses, count);
    if (r != 0 && r != -ENOMEM)
        *odd = "address_key";
    return r;
}

static int use(const char *json, bool is_good, const char **odd)
{
    _cleanup_(document_freep) Document *document = NULL;
    Problems problems = {0};

    int r = record_read_json(&record_type_Document, json, strlen(json), &problems, (void **)&document);
    if (r == RECORD_INVALID) {
        if (is_good || problems.errors < 10)
            *odd = "told of other problems than there are";
        r = 0;
    } else if (r == 0) {
        for (size_t i = 0; document->services[i] && r == 0; i++)
            r = use_service(document->services[i], document->machines[0], odd);
        if (!is_good)
            *odd = "a bad record was good";
    } else if (r != -ENOMEM) {
        *odd = "record_read_json";
    }
    problems_release(&problems);
    return r;
}

typedef struct Use {
    const char *json;
    bool is_good;
} Use;

static int use_json(void *userdata, const char **odd)
{
    const Use *what = userdata;

    return use(what->json, what->is_good, odd);
}

static void run(const char *quoted, bool is_good)
{
    char *json = json_from(quoted);

    each_allocation_fails(use_json, &(Use){json, is_good}, 100);
    free(json);
}

static void test_good(void **state)
{
    run(good, true);
}

static void test_bad(void **state)
{
    run(bad, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
