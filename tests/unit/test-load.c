/* SPDX-License-Identifier: Apache-2.0 */
/* load_paths and load_settings: from texts to records, and every problem of a file with its place. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/model/service.h"
#include "tests/unit/load-files.h"

typedef struct Case Case;

struct Case {
    const char *name;
    const char *text;
    const char *names;    /* of what is read; NULL: it is refused */
    const char *places;   /* of problems: line:column field; what they say is golden (tests/golden/check) */
};

static const Case cases[] = {
    {"nothing", "# a comment\n", .names = ""},
    {"null", "services:\nmachines: ~\n", .names = ""},
    {"empty lists", "services: []\nmachines: []\n", .names = ""},
    {"both", "machines: [{name: web1, cid: 42}]\nservices: [{name: a, port: 1}, {name: b, autoPort: true}]\n", .names = "web1/ a b "},
    {"documents", "services: [{name: a, port: 1}]\n---\n---\nmachines: [{name: web1}]\nservices: [{name: b, port: 2}]\n", .names = "a web1/ b "},
    {"one name, a service and a machine", "machines: [{name: a}]\nservices: [{name: a, port: 1}]\n", .names = "a/ a "},
    {"aliases", "services: [{name: a, port: 1, peers: &p {allow: [web1]}}, {name: b, port: 2, peers: *p}]\n", .names = "a b "},
    {"a list", "- a\n", .places = "1:1 -\n"},
    {"a text", "hello\n", .places = "1:1 -\n"},
    {"all that is wrong is told",
     "services:\n"
     "  - name: good\n"
     "    port: 0x15\n"
     "    port: 21\n"
     "    enabled: yes\n"
     "  - name: Bad Name\n"
     "    prot: 5\n"
     "    peers:\n"
     "      allow: [web1, \"\", 42]\n"
     "  - name: no-number\n"
     "  - name: disagrees\n"
     "    port: 5\n"
     "    guid: 00000006-facb-11e6-bd58-64006a7986d3\n"
     "    listen: [\"vsock://:7\"]\n"
     "  - port: \"5140\"\n"
     "  - name: !!str x\n"
     "    port: 08\n"
     "machines:\n"
     "  - name: \"42\"\n"
     "    cid: 2\n",
     .places = "3:11 services[0].port\n"
               "4:5 services[0].port\n"
               "5:14 services[0].enabled\n"
               "6:11 services[1].name\n"
               "7:5 services[1].prot\n"
               "9:21 services[1].peers.allow[1]\n"
               "10:5 services[2].port\n"
               "13:11 services[3].guid\n"
               "14:14 services[3].listen[0]\n"
               "15:5 services[4].name\n"
               "15:11 services[4].port\n"
               "16:11 services[5].name\n"
               "17:11 services[5].port\n"
               "19:11 machines[0].name\n"
               "20:10 machines[0].cid\n"},
    {"its second document", "services: [{name: a, port: 1}]\n---\nservices: [{name: b, port: x}]\n", .places = "3:28 services[0].port\n"},
    {"no YAML behind what was wrong", "services: [{name: a, port: &x !!int 1}]\nmachines: ]\n", .places = "1:28 services[0].port\n2:11 -\n"},
    {"what is good is compared, whatever else is wrong",
     "services:\n- {name: a, port: 1}\n- {name: b, port: x}\n- {name: c, port: 1}\n- {name: a, port: 2}\n",
     .places = "3:19 services[1].port\n4:19 services[2].port\n5:10 services[3].name\n"},
    {"names given twice",
     "services:\n  - {name: a, port: 1}\n  - {port: 2, name: a}\n---\nservices: [{name: a, port: 3}]\nmachines: [{name: m}, {name: m}]\n",
     .places = "3:21 services[1].name\n5:19 services[0].name\n6:30 machines[1].name\n"},
};

static char *places_of(const Problems *problems)
{
    Buffer buffer = {0};
    char *text;

    for (size_t i = 0; i < problems->count; i++) {
        const Problem *problem = &problems->items[i];
        assert_string_equal(problem->file, files_path("a.yaml"));
        buffer_printf(&buffer, "%u:%u %s\n", problem->line, problem->column, problem->field ? problem->field : "-");
    }
    assert_int_equal(buffer_take(&buffer, &text, NULL), 0);
    return text;
}

static void test_cases(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        const Case *test = &cases[i];
        const char *paths[] = {files_path("a.yaml"), NULL};
        Problems problems = {0};
        _cleanup_(declared_freep) Declared *declared = NULL;
        files_write("a.yaml", test->text);
        int r = load_paths(paths, false, NULL, &problems, &declared);
        _cleanup_(freep) char *places = places_of(&problems);
        if (strcmp(places, test->places ? test->places : "") != 0) {
            _cleanup_(freep) char *told = files_problems(&problems);
            fail_msg("%s:\n%s%s", test->name, places, told);
        }
        if (r != (test->names ? 0 : LOAD_INVALID))
            fail_msg("%s: %d", test->name, r);
        if (test->names)
            assert_string_equal(files_names(declared), test->names);
        problems_release(&problems);
    }
}

/* What a record knows of where it came from, and that it is in one form. */
static void test_records(void **state)
{
    const char *paths[] = {files_path("a.yaml"), NULL};
    Problems problems = {0};
    _cleanup_(declared_freep) Declared *declared = NULL;

    files_write("a.yaml", "machines:\n- name: web1\n---\nservices:\n  - {name: a, port: 1}\n  -\n    guid: \"{00001414-FACB-11E6-BD58-64006A7986D3}\"\n    name: b\n");
    assert_int_equal(load_paths(paths, false, NULL, &problems, &declared), 0);
    assert_int_equal(declared->file_count, 1);
    const DeclaredFile *file = declared->files[0];
    assert_int_equal(file->record_count, 3);
    assert_true(file->size_bytes > 0 && file->inode > 0 && file->mtime_ns > 0 && file->ctime_ns > 0 && file->read_at_ns > 0);
    const DeclaredRecord *machine = &file->records[0], *b = &file->records[2];
    assert_ptr_equal(machine->type, &record_type_MachineContext);
    assert_int_equal(machine->document, 0);
    assert_int_equal(machine->line, 2);
    assert_int_equal(machine->column, 3);
    assert_ptr_equal(b->type, &record_type_ServiceContext);
    assert_int_equal(b->document, 1);
    assert_int_equal(b->index, 1);
    assert_int_equal(b->line, 7);
    assert_int_equal(b->column, 5);
    assert_string_equal(((const ServiceContext *)b->record)->guid, "00001414-facb-11e6-bd58-64006a7986d3");

    /* places of what is found out later */
    problems_add(&problems, "guid", NULL, "taken");
    problems_add(&problems, NULL, NULL, "all of it");
    load_locate(file, b, &problems, 0);
    files_assert_problems(&problems, "ROOT/a.yaml:7:11: services[1].guid: taken\nROOT/a.yaml:7:5: services[1]: all of it\n");
    assert_int_equal(unlink(files_path("a.yaml")), 0);
    problems_add(&problems, "guid", NULL, "taken");
    load_locate(file, b, &problems, 0);
    files_assert_problems(&problems, "ROOT/a.yaml:7:5: services[1].guid: taken\n");
}

static void test_settings(void **state)
{
    static const struct {
        const char *text, *places;
    } settings[] = {
        {"", ""},
        {"# nothing\n", ""},
        {"---\n", ""},
        {"administrators: {users: [alice]}\nautoPorts: 50000-50999\n", ""},
        {"services: []\n", "1:1 services\n"},
        {"autoPorts: 9-1\nlimits: {watchers: 0}\n", "1:12 autoPorts\n2:20 limits.watchers\n"},
        {"autoPorts: 1-2\n---\nautoPorts: 3-4\n", "3:1 -\n"},
        {"- 1\n", "1:1 -\n"},
        {"autoPorts: [\n", "2:1 -\n"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(settings); i++) {
        Problems problems = {0};
        _cleanup_(settings_freep) Settings *read = NULL;
        files_write("a.yaml", settings[i].text);
        int r = load_settings(files_path("a.yaml"), &problems, &read);
        _cleanup_(freep) char *places = places_of(&problems);
        if (strcmp(places, settings[i].places) != 0)
            fail_msg("%s:\n%s", settings[i].text, places);
        assert_int_equal(r, settings[i].places[0] ? LOAD_INVALID : 0);
        assert_true((read == NULL) == (r != 0));
        problems_release(&problems);
    }

    Problems problems = {0};
    _cleanup_(settings_freep) Settings *read = NULL, *refused = NULL;
    assert_int_equal(load_settings(files_path("none.yaml"), &problems, &read), 0);
    assert_null(read->administrators);
    assert_int_equal(load_settings(files_path(""), &problems, &refused), LOAD_INVALID);
    files_assert_problems(&problems, "ROOT/: cannot be read: Is a directory; put a file there\n");
}

static void test_large(void **state)
{
    const char *paths[] = {files_path("a.yaml"), NULL};
    Problems problems = {0};
    Declared *declared = NULL;

    files_write("a.yaml", "");
    assert_int_equal(truncate(files_path("a.yaml"), (off_t)YAML_FILE_MAX_BYTES + 1), 0);
    assert_int_equal(load_paths(paths, false, NULL, &problems, &declared), LOAD_INVALID);
    files_assert_problems(&problems, "ROOT/a.yaml: cannot be read: the file is larger than 64 MiB; split it into several files\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cases, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_records, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_settings, files_setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_large, files_setup, files_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
