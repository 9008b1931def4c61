/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails once while a .reg file is imported and its services are exported to each target: each time the answer is
 * -ENOMEM and nothing is lost. */

#include <fcntl.h>
#include <string.h>

#include "config/export.h"
#include "config/import/import.h"
#include "config/import/reg.h"
#include "schema/base/fd.h"
#include "schema/model/record.h"
#include "tests/unit/allocations.h"

#ifdef ALLOCATIONS_ARE_NOT_OURS

int main(void)
{
    puts("sanitizers allocate themselves");
    return 77;
}

#else

typedef struct Run {
    const char *bytes;
    size_t size_bytes;
    const ExportTarget *target;
    Export *export;
    WindowsKeys keys;
    size_t written_bytes, imported;
} Run;

static int on_bytes(const void *bytes, size_t size_bytes, void *userdata)
{
    Run *run = userdata;

    run->written_bytes += size_bytes;
    return 0;
}

static int on_service(const ServiceContext *service, const WindowsKey *key, void *userdata)
{
    Run *run = userdata;
    ServiceContext *copy;
    static char program[] = "/bin/cat";
    static char everywhere[] = "machine:*";
    char *exec[] = {program, NULL}, *listen[] = {everywhere, NULL};

    run->imported++;
    int r = windows_keys_add(&run->keys, key);
    if (r < 0)
        return r;
    r = record_copy(&record_type_ServiceContext, service, (void **)&copy);
    if (r < 0)
        return r;
    Activation activate = {.mode = ACTIVATION_WAIT, .exec = exec};
    copy->activate = &activate;
    copy->listen = copy->port.set ? listen : NULL;
    r = export_add(run->export, copy);
    copy->activate = NULL;
    copy->listen = NULL;
    service_context_free(copy);
    return r;
}

static int import_and_export(Run *run, Problems *problems)
{
    static char name[] = "web1", path[] = "/run/v.sock", folder[] = "/run/mac";
    static const MachineContext machine = {.name = name, .hybrid = path, .hyperkit = folder, .cid = {.value = 42, .set = true}};
    const MachineContext *machines[] = {&machine, NULL};
    const ExportSink sink = {.write = on_bytes, .userdata = run};
    _cleanup_(import_release) Import import = {.problems = problems, .on_service = on_service, .userdata = run};
    _cleanup_(reg_reader_freep) RegReader *reader = NULL;
    const ExportOptions options = {
        .machine = run->target->needs_machine ? &machine : NULL, .machines = machines, .previous = &run->keys, .prune = true};

    int r = export_open(run->target, &options, &sink, problems, &run->export);
    if (r == 0)
        r = reg_reader_new("x.reg", import_key, &import, problems, &reader);
    if (r == 0)
        r = reg_reader_feed(reader, run->bytes, run->size_bytes);
    if (r == 0)
        r = reg_reader_finish(reader);
    if (r == 0)
        r = export_close(run->export);
    return r == 0 && problems->failed ? -ENOMEM : r;
}

static int use(void *userdata, const char **odd)
{
    Run run = *(const Run *)userdata;
    Problems problems = {0};

    int r = import_and_export(&run, &problems);
    if (r == 0 && (run.imported != 3 || run.written_bytes == 0))
        *odd = "something is missing, and nobody says so";
    export_free(run.export);
    windows_keys_release(&run.keys);
    problems_release(&problems);
    return r;
}

static void each_target(void **state)
{
    char *bytes;
    size_t size_bytes;

    assert_int_equal(file_read(AT_FDCWD, "tests/golden/import/host-braces.reg", 1 << 20, &bytes, &size_bytes), 0);
    for (size_t i = 0; export_targets[i]; i++)
        each_allocation_fails(use, &(Run){.bytes = bytes, .size_bytes = size_bytes, .target = export_targets[i]}, 20);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_target)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
