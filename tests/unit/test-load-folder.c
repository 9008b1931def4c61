/* SPDX-License-Identifier: Apache-2.0 */
/* load_paths: which files count, by systemd's rules for drop-ins; what is no file; what is shared with the load before. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/load-files.h"

/* Loads ROOT/etc, ROOT/run, ROOT/lib by precedence. */
static int load(const Declared *previous, Problems *problems, Declared **ret)
{
    const char *paths[] = {files_path("etc"), files_path("run"), files_path("lib"), NULL};

    return load_paths(paths, true, previous, problems, ret);
}

static void assert_loads(const char *names)
{
    Problems problems = {0};
    _cleanup_(declared_freep) Declared *declared = NULL;

    int r = load(NULL, &problems, &declared);
    files_assert_problems(&problems, "");
    assert_int_equal(r, 0);
    assert_string_equal(files_names(declared), names);
}

static void assert_warned(const char *wanted)
{
    Problems problems = {0};
    _cleanup_(declared_freep) Declared *declared = NULL;

    assert_int_equal(load(NULL, &problems, &declared), 0);
    files_assert_problems(&problems, wanted);
}

static void assert_told(const char *wanted)
{
    Problems problems = {0};
    Declared *declared = NULL;

    assert_int_equal(load(NULL, &problems, &declared), LOAD_INVALID);
    assert_null(declared);
    files_assert_problems(&problems, wanted);
}

static void write_service(const char *file, const char *name)
{
    char text[256];

    snprintf(text, sizeof(text), "services: [{name: %s, listen: [\"unix:///run/%s.sock\"]}]\n", name, name);
    files_write(file, text);
}

static int setup(void **state)
{
    if (files_setup(state) < 0)
        return -1;
    files_folder("etc");
    files_folder("lib");
    return 0;
}

static void test_precedence(void **state)
{
    assert_loads("");
    write_service("lib/20-b.yaml", "b-of-lib");
    write_service("etc/30-c.yaml", "c-of-etc");
    write_service("lib/10-a.yaml", "a-of-lib");
    assert_loads("a-of-lib b-of-lib c-of-etc ");
    /* the whole file is replaced, in its place */
    write_service("etc/20-b.yaml", "b-of-etc");
    assert_loads("a-of-lib b-of-etc c-of-etc ");
    files_folder("run");
    write_service("run/20-b.yaml", "b-of-run");
    write_service("run/10-a.yaml", "a-of-run");
    assert_loads("a-of-run b-of-etc c-of-etc ");
}

static void test_masks(void **state)
{
    write_service("lib/a.yaml", "a");
    write_service("lib/b.yaml", "b");
    write_service("lib/c.yaml", "c");
    assert_int_equal(symlink("/dev/null", files_path("etc/a.yaml")), 0);
    files_write("etc/b.yaml", "");
    files_write("etc/c.yaml", "# nothing is here, and so it masks as well\n");
    assert_loads("");
    assert_int_equal(symlink("/dev/null", files_path("etc/d.yaml")), 0);
    assert_loads("");
}

static void test_names(void **state)
{
    static const char *const others[] = {"x.yaml~",       "x.yaml.swp",      ".x.yaml",         ".#x.yaml", "#x.yaml#",
                                         "x.yaml.rpmnew", "x.yaml.dpkg-old", "x.yaml.disabled", "README",   "yaml",
                                         ".x.yml",        "x.yml~"};
    static const char *const nearly[] = {"etc/x.YAML", "etc/y.yml", "lib/z.Yml"};

    for (size_t i = 0; i < ELEMENTS_OF(others); i++) {
        char name[64];
        snprintf(name, sizeof(name), "etc/%s", others[i]);
        files_write(name, "this: is [broken");
    }
    write_service("etc/ä b.yaml", "good");
    assert_loads("good ");
    for (size_t i = 0; i < ELEMENTS_OF(nearly); i++)
        files_write(nearly[i], "this: is [broken");
    assert_warned("ROOT/etc/x.YAML: warning: is not read, for only *.yaml is; give it a name that ends with .yaml\n"
                  "ROOT/etc/y.yml: warning: is not read, for only *.yaml is; give it a name that ends with .yaml\n"
                  "ROOT/lib/z.Yml: warning: is not read, for only *.yaml is; give it a name that ends with .yaml\n");
    for (size_t i = 0; i < ELEMENTS_OF(nearly); i++)
        assert_int_equal(unlink(files_path(nearly[i])), 0);
    files_write("etc/\xff\n.yaml", "");
    assert_told("ROOT/etc: the name of the file `\\xff\\x0a.yaml` is not text in UTF-8; rename it\n");
}

static void test_no_files(void **state)
{
    write_service("lib/dangling.yaml", "masked-by-a-mistake");
    assert_int_equal(symlink("nowhere", files_path("etc/dangling.yaml")), 0);
    files_folder("etc/folder.yaml");
    assert_int_equal(symlink("loop.yaml", files_path("etc/loop.yaml")), 0);
    assert_int_equal(mkfifo(files_path("etc/pipe.yaml"), 0600), 0);
    assert_int_equal(symlink("/dev/zero", files_path("etc/zero.yaml")), 0);
    assert_int_equal(symlink("/dev/full", files_path("etc/full.yaml")), 0);
    write_service("elsewhere", "linked");
    assert_int_equal(symlink("../elsewhere", files_path("etc/good.yaml")), 0);
    assert_told("ROOT/etc/dangling.yaml: is a link to a file that is not there; remove it, or link it to /dev/null if it is to mask another file\n"
                "ROOT/etc/folder.yaml: cannot be read: Is a directory; put a file there\n"
                "ROOT/etc/full.yaml: is no file, but a device; put a file there\n"
                "ROOT/etc/loop.yaml: cannot be read: Too many levels of symbolic links; let the link point to a file\n"
                "ROOT/etc/pipe.yaml: is no file, but a pipe; put a file there\n"
                "ROOT/etc/zero.yaml: is no file, but a device; put a file there\n");
}

static void test_unreadable(void **state)
{
    bool root = geteuid() == 0; /* who may read everything, and so becomes somebody else */

    write_service("etc/a.yaml", "a");
    assert_int_equal(chmod(files_path("etc/a.yaml"), 0), 0);
    assert_int_equal(chmod(files_path(""), 0755), 0);
    assert_int_equal(chmod(files_path("etc"), 0755), 0);
    assert_int_equal(chmod(files_path("lib"), 0755), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    assert_told("ROOT/etc/a.yaml: cannot be read: Permission denied; let the user that reads it do so, with chmod or chgrp\n");
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(files_path("etc"), 0), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    assert_told("ROOT/etc: the folder cannot be read: Permission denied; let the user that reads it list it, with chmod or chgrp\n");
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(files_path("etc"), 0700), 0);
    prctl(PR_SET_DUMPABLE, 1); /* seteuid took it, and the leak sanitizer needs it */
}

/* Somebody else removes and restores a file all the time: it is there, or the one below it is, and that is all. */
static void test_vanishing(void **state)
{
    unsigned seen_etc = 0, seen_lib = 0;

    write_service("lib/a.yaml", "lib");
    write_service("other", "etc");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (child == 0) { /* until it is killed */
        (void)!link(files_path("other"), files_path("etc/a.yaml"));
        unlink(files_path("etc/a.yaml"));
    }
    for (unsigned i = 0; i < 100000 && (i < 300 || seen_etc == 0 || seen_lib == 0); i++) {
        Problems problems = {0};
        _cleanup_(declared_freep) Declared *declared = NULL;
        int r = load(NULL, &problems, &declared);
        if (r != 0)
            kill(child, SIGKILL);
        files_assert_problems(&problems, "");
        assert_int_equal(r, 0);
        seen_etc += strcmp(files_names(declared), "etc ") == 0;
        seen_lib += strcmp(files_names(declared), "lib ") == 0;
        if (seen_etc + seen_lib != i + 1)
            kill(child, SIGKILL);
        assert_int_equal(seen_etc + seen_lib, i + 1);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(seen_etc > 0 && seen_lib > 0);
}

static void test_paths(void **state)
{
    Problems problems = {0};
    _cleanup_(declared_freep) Declared *declared = NULL;
    write_service("one", "one");
    write_service("etc/b.yaml", "b");
    write_service("lib/a.yaml", "a");
    write_service("lib/b.yaml", "b-too");

    const char *paths[] = {files_path("one"), files_path("etc/"), files_path("lib"), NULL};
    assert_int_equal(load_paths(paths, false, NULL, &problems, &declared), 0);
    assert_string_equal(files_names(declared), "one b a b-too ");
    assert_string_equal(declared->files[1]->path + strlen(files_root), "/etc/b.yaml");

    Declared *none = NULL;
    files_folder("empty");
    const char *empty[] = {files_path("empty"), NULL};
    assert_int_equal(load_paths(empty, false, NULL, &problems, &none), 0);
    declared_free(TAKE_PTR(none));
    files_assert_problems(&problems, "ROOT/empty: warning: no *.yaml is in this folder; name another, if that is not meant\n");
    assert_int_equal(load_paths(empty, true, NULL, &problems, &none), 0);
    declared_free(TAKE_PTR(none));
    files_assert_problems(&problems, "");
    const char *missing[] = {files_path("none"), NULL};
    assert_int_equal(load_paths(missing, false, NULL, &problems, &none), LOAD_INVALID);
    files_assert_problems(&problems, "ROOT/none: there is no such file; name a file, or a folder of *.yaml\n");
    const char *file_as_folder[] = {files_path("one"), NULL};
    assert_int_equal(load_paths(file_as_folder, true, NULL, &problems, &none), LOAD_INVALID);
    files_assert_problems(&problems, "ROOT/one: the folder cannot be read: Not a directory\n");
}

static void test_sharing(void **state)
{
    Problems problems = {0};
    Declared *first = NULL, *second = NULL, *third = NULL;
    write_service("etc/a.yaml", "a");
    write_service("etc/b.yaml", "b");
    write_service("etc/c.yaml", "c");
    files_settle("etc/a.yaml");
    files_settle("etc/b.yaml");
    files_settle("etc/c.yaml");

    assert_int_equal(load(NULL, &problems, &first), 0);
    assert_false(first->files[0]->unchanged);
    write_service("etc/b.yaml", "B2"); /* not a name: */
    assert_int_equal(load(first, &problems, &second), LOAD_INVALID);
    problems_release(&problems);
    write_service("etc/b.yaml", "b2");
    assert_int_equal(unlink(files_path("etc/c.yaml")), 0);
    assert_int_equal(load(first, &problems, &second), 0);
    assert_string_equal(files_names(second), "a b2 ");
    assert_ptr_equal(second->files[0], first->files[0]);
    assert_true(second->files[0]->unchanged);
    assert_ptr_not_equal(second->files[1], first->files[1]);
    assert_false(second->files[1]->unchanged);
    declared_free(first); /* what is shared lives on */
    assert_int_equal(load(second, &problems, &third), 0);
    assert_string_equal(files_names(third), "a b2 ");
    declared_free(second);
    assert_string_equal(files_names(third), "a b2 ");
    declared_free(third);
}

/* The same size, the same times, within one tick: only the rule for young files sees such a change. */
static void test_racy(void **state)
{
    for (unsigned i = 0; i < 20; i++) {
        Problems problems = {0};
        Declared *first = NULL, *second = NULL;
        write_service("etc/a.yaml", "one");
        assert_int_equal(load(NULL, &problems, &first), 0);
        write_service("etc/a.yaml", "two");
        assert_int_equal(load(first, &problems, &second), 0);
        assert_string_equal(files_names(second), "two ");
        assert_false(second->files[0]->unchanged);
        declared_free(first);
        declared_free(second);
    }
}

/* What changed is seen by each of: size, mtime, ctime, inode. */
static void test_identity(void **state)
{
    static const char *const changes[] = {"touch -d @1000000001 a.yaml", "chmod 0644 a.yaml", "cp -p a.yaml x && mv x a.yaml", "echo >>a.yaml"};

    for (size_t i = 0; i < ELEMENTS_OF(changes); i++) {
        Problems problems = {0};
        Declared *first = NULL, *second = NULL, *third = NULL;
        char command[256];
        write_service("etc/a.yaml", "one");
        files_settle("etc/a.yaml");
        assert_int_equal(load(NULL, &problems, &first), 0);
        assert_int_equal(load(first, &problems, &second), 0);
        assert_ptr_equal(first->files[0], second->files[0]);
        snprintf(command, sizeof(command), "cd %s && %s", files_path("etc"), changes[i]);
        assert_int_equal(system(command), 0);
        assert_int_equal(load(second, &problems, &third), 0);
        assert_ptr_not_equal(second->files[0], third->files[0]);
        declared_free(first);
        declared_free(second);
        declared_free(third);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_precedence, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_masks, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_no_files, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_vanishing, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_sharing, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_racy, setup, files_teardown),
        cmocka_unit_test_setup_teardown(test_identity, setup, files_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
