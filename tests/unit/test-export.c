/* SPDX-License-Identifier: Apache-2.0 */
/* What an export promises whatever the target: pieces, errors, one service a GUID; the table of targets; and the writer, whose
 * file is there as a whole or not at all. What each target writes is in tests/golden/export. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "config/export.h"
#include "ctl/writer.h"
#include "tests/unit/records.h"

typedef struct Sink {
    Buffer text;
    size_t calls, largest;
    int answer;
} Sink;

static int sink_write(const void *bytes, size_t size_bytes, void *userdata)
{
    Sink *sink = userdata;

    sink->calls++;
    sink->largest = size_bytes > sink->largest ? size_bytes : sink->largest;
    buffer_append(&sink->text, bytes, size_bytes);
    return sink->answer;
}

static Export *open_target(const char *name, Sink *sink, Problems *problems, const ExportOptions *options)
{
    const ExportSink where = {.write = sink_write, .userdata = sink};
    Export *export = NULL;

    assert_int_equal(export_open(export_target_find(name), options, &where, problems, &export), 0);
    return export;
}

static void add_quoted(Export *export, const char *quoted, int expected)
{
    ServiceContext *service = read_good(&record_type_ServiceContext, quoted);

    assert_int_equal(export_add(export, service), expected);
    service_context_free(service);
}

static void table(void **state)
{
    size_t count = 0;

    for (; export_targets[count]; count++) {
        assert_string_equal(export_targets[count]->name, export_target_names[count]);
        assert_ptr_equal(export_target_find(export_target_names[count]), export_targets[count]);
        assert_non_null(export_targets[count]->add);
        assert_true(strlen(export_targets[count]->help) > 10);
    }
    assert_null(export_target_names[count]);
    assert_true(count >= 13);
    assert_null(export_target_find("nosuch"));
}

/* It goes out as it comes: no piece grows with the number of services. */
static void pieces(void **state)
{
    Sink sink = {0};
    Problems problems = {0};
    Export *export = open_target("reg", &sink, &problems, &(ExportOptions){0});

    for (uint32_t i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s-%u", i);
        assert_int_equal(export_add(export, &(ServiceContext){.name = name, .port = {.value = i, .set = true}}), 0);
        assert_true(export->text.capacity_bytes <= 1 << 20);
    }
    assert_int_equal(export_close(export), 0);
    assert_int_equal(export->count, 5000);
    assert_true(sink.calls >= 5 && sink.largest < 300 * 1024);
    export_free(export);
    buffer_release(&sink.text);
}

static void nothing_after_an_error(void **state)
{
    Sink sink = {0};
    Problems problems = {0};
    Export *export = open_target("reg", &sink, &problems, &(ExportOptions){0});

    add_quoted(export, "{'name':'a','port':5,'listen':[]}", 0);
    add_quoted(export, "{'name':'b','guid':'00000005-facb-11e6-bd58-64006a7986d3','listen':[]}", 0);
    add_quoted(export, "{'name':'c','port':6,'listen':[]}", 0);
    expect_problems("", &problems, "guid: it is also that of the service a\n");
    assert_int_equal(export_close(export), EXPORT_INVALID);
    assert_int_equal(sink.calls, 0);
    export_free(export);
    problems_release(&problems);
}

static void what_the_sink_answers(void **state)
{
    Sink sink = {.answer = -ENOSPC};
    Problems problems = {0};
    Export *export = open_target("json", &sink, &problems, &(ExportOptions){0});

    add_quoted(export, "{'name':'a','port':5,'listen':[]}", 0);
    assert_int_equal(export_close(export), -ENOSPC);
    export_free(export);
    buffer_release(&sink.text);
}

/* A key of that GUID that others wrote is found however it is written, and however many there are. */
static void existing_keys(void **state)
{
    static const struct {
        const char *name, *tool, *problems;
    } cases[] = {
        {"00000005-FACB-11E6-BD58-64006A7986D3", "hvsockd", ""},
        {"{00000005-facb-11e6-bd58-64006a7986d3}", "hvsockd", ""},
        {"00000005-facb-11e6-bd58-64006a7986d3", NULL, "guid: belongs to somebody who does not say so\n"},
        {"{00000005-FACB-11E6-BD58-64006A7986D3}", "podman", "guid: belongs to \"podman\"\n"},
        {"00000006-FACB-11E6-BD58-64006A7986D3", "podman", ""},
        {"nonsense", NULL, ""},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++)
        for (size_t before = 0; before < 3; before++) {
            Sink sink = {0};
            Problems problems = {0};
            WindowsKeys keys = {0};
            char name[64], tool[16] = WINDOWS_TOOL, own[] = "{00000005-FACB-11e6-BD58-64006A7986D3}";
            for (size_t k = 0; k < before; k++)
                assert_int_equal(windows_keys_add(&keys, &(WindowsKey){.name = own, .tool_name = tool}), 0);
            snprintf(name, sizeof(name), "%s", cases[i].name);
            snprintf(tool, sizeof(tool), "%s", cases[i].tool ? cases[i].tool : "");
            assert_int_equal(windows_keys_add(&keys, &(WindowsKey){.name = name, .tool_name = cases[i].tool ? tool : NULL}), 0);
            Export *export = open_target("reg", &sink, &problems, &(ExportOptions){.previous = &keys});
            add_quoted(export, "{'name':'a','port':5,'listen':[]}", 0);
            expect_problems(cases[i].name, &problems, cases[i].problems);
            export_free(export);
            problems_release(&problems);
            windows_keys_release(&keys);
            buffer_release(&sink.text);
        }
}

/* ---- the writer ---- */

static char *read_whole(const char *path)
{
    char *text = calloc(1, 1 << 22);
    FILE *file = fopen(path, "re");

    if (file) {
        assert_true(fread(text, 1, (1 << 22) - 1, file) < (1 << 22) - 1);
        fclose(file);
    }
    return text;
}

static size_t count_files(const char *folder)
{
    char command[128];
    char line[32] = "";

    snprintf(command, sizeof(command), "ls -A %s | wc -l", folder);
    FILE *pipe = popen(command, "r"); /* NOLINT */
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof(line), pipe));
    pclose(pipe);
    return strtoul(line, NULL, 10);
}

static void writer_replaces_whole(void **state)
{
    char folder[] = "/tmp/hvwriter.XXXXXX", path[64], link_path[64], units[64], device[] = "/dev/null";
    Writer writer;
    struct stat status;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/out", folder);
    snprintf(link_path, sizeof(link_path), "%s/link", folder);
    snprintf(units, sizeof(units), "%s/units", folder);

    /* Not committed: as if nothing had been. */
    assert_int_equal(writer_open(path, false, &writer), 0);
    assert_int_equal(writer_write("half", 4, &writer), 0);
    writer_release(&writer);
    assert_int_equal(count_files(folder), 0);

    /* Replaced, with its mode, through a link too. */
    FILE *old = fopen(path, "we");
    assert_non_null(old);
    fclose(old);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("out", link_path), 0);
    assert_int_equal(writer_open(link_path, false, &writer), 0);
    char *large = calloc(1, 3 << 20);
    memset(large, 'x', (3 << 20) - 1);
    assert_int_equal(writer_write(large, (3 << 20) - 1, &writer), 0);
    assert_int_equal(writer_write("end", 3, &writer), 0);
    assert_int_equal(writer_commit(&writer), 0);
    writer_release(&writer);
    char *text = read_whole(path);
    assert_int_equal(strlen(text), (3 << 20) + 2);
    assert_string_equal(text + (3 << 20) - 1, "end");
    free(text);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(lstat(link_path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(count_files(folder), 2);

    /* A device is written to, not replaced. */
    assert_int_equal(writer_open(device, false, &writer), 0);
    assert_int_equal(writer_write(large, (3 << 20) - 1, &writer), 0);
    assert_int_equal(writer_commit(&writer), 0);
    writer_release(&writer);
    assert_int_equal(stat(device, &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    free(large);

    /* A folder's files: all or none. */
    for (int commit = 0; commit < 2; commit++) {
        assert_int_equal(writer_open(units, true, &writer), 0);
        assert_int_equal(writer_file("a", &writer), 0);
        assert_int_equal(writer_write("1", 1, &writer), 0);
        assert_int_equal(writer_file("b", &writer), 0);
        assert_int_equal(writer_write("2", 1, &writer), 0);
        if (commit)
            assert_int_equal(writer_commit(&writer), 0);
        writer_release(&writer);
        assert_int_equal(count_files(units), commit ? 2 : 0);
    }
    snprintf(path, sizeof(path), "rm -r %s", folder);
    assert_int_equal(system(path), 0); /* NOLINT */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(pieces),
        cmocka_unit_test(nothing_after_an_error),
        cmocka_unit_test(what_the_sink_answers),
        cmocka_unit_test(existing_keys),
        cmocka_unit_test(writer_replaces_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
