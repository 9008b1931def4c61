/* SPDX-License-Identifier: Apache-2.0 */
/* The shipped examples: each is good by itself, all are good together, and each can be written and read again. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

#include "tests/unit/load-files.h"

static void assert_written_again(const DeclaredRecord *record)
{
    Buffer text = {0};
    Problems problems = {0};
    _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
    void *again;

    assert_int_equal(yaml_write_record(record->type, record->record, RECORD_WRITE_ALL, &text), 0);
    assert_int_equal(yaml_read("written", text.data, text.size_bytes, &problems, &tree), 0);
    assert_int_equal(record_read(record->type, yaml_tree_document(tree, 0), &problems, &again), 0);
    assert_true(record_equal(record->type, record->record, again));
    record_free(record->type, again);
    buffer_release(&text);
}

static void load(const char *const *paths, size_t records_min)
{
    Problems problems = {0};
    _cleanup_(declared_freep) Declared *declared = NULL;
    size_t records = 0;

    int r = load_paths(paths, false, NULL, &problems, &declared);
    if (r == 0)
        r = load_check_conflicts(declared, &problems);
    files_assert_problems(&problems, "");
    assert_int_equal(r, 0);
    for (size_t i = 0; i < declared->file_count; i++)
        for (size_t k = 0; k < declared->files[i]->record_count; k++, records++)
            assert_written_again(&declared->files[i]->records[k]);
    assert_true(records >= records_min);
}

static void test_each(void **state)
{
    glob_t found;

    assert_int_equal(glob("config/examples/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        load((const char *[]){found.gl_pathv[i], NULL}, 1);
    globfree(&found);
}

static void test_together(void **state)
{
    load((const char *[]){"config/examples", NULL}, 6);
}

static void test_settings(void **state)
{
    Problems problems = {0};
    _cleanup_(settings_freep) Settings *settings = NULL;

    assert_int_equal(load_settings("config/examples/settings/hvsockd.yaml", &problems, &settings), 0);
    assert_non_null(settings->delegations);
    files_assert_problems(&problems, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
