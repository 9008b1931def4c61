/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: that they outlive a process that is killed, bounds on slots, files that are not what they should be, and the
 * text. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "daemon/metrics/exposition.h"
#include "daemon/metrics/metrics.h"
#include "schema/base/cleanup.h"

typedef struct Folder {
    char path[64];
    char file[96];
} Folder;

static int setup(void **state)
{
    Folder *folder = calloc(1, sizeof(*folder));

    strcpy(folder->path, "/tmp/test-metrics.XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    snprintf(folder->file, sizeof(folder->file), "%s/counters", folder->path);
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    Folder *folder = *state;

    unlink(folder->file);
    rmdir(folder->file);
    rmdir(folder->path);
    free(folder);
    return 0;
}

static Metrics *open_metrics(const Folder *folder, const char *wanted_trouble)
{
    Metrics *metrics = NULL;
    char *trouble = NULL;

    assert_int_equal(metrics_new(&metrics), 0);
    assert_int_equal(metrics_open(metrics, folder->file, &trouble), 0);
    if (wanted_trouble) {
        assert_non_null(trouble);
        if (!strstr(trouble, wanted_trouble))
            fail_msg("%s", trouble);
    } else if (trouble) {
        fail_msg("%s", trouble);
    }
    free(trouble);
    return metrics;
}

static char *text_of(Metrics *metrics)
{
    Buffer text = {0};
    char *taken;

    metrics_render(metrics, &text);
    assert_int_equal(buffer_take(&text, &taken, NULL), 0);
    return taken;
}

static void assert_line(Metrics *metrics, const char *line)
{
    _cleanup_(freep) char *text = text_of(metrics);
    _cleanup_(freep) char *whole = NULL;

    assert_true(asprintf(&whole, "\n%s\n", line) > 0);
    if (!strstr(text, whole))
        fail_msg("%s is not in:\n%s", line, text);
}

static void assert_no_text(Metrics *metrics, const char *part)
{
    _cleanup_(freep) char *text = text_of(metrics);

    if (strstr(text, part))
        fail_msg("%s is in:\n%s", part, text);
}

static void outlives_kill(void **state)
{
    const Folder *folder = *state;
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        Metrics *metrics = open_metrics(folder, NULL);
        for (int i = 0; i < 1000; i++)
            metrics_service(metrics, "guest-log")->accepted++;
        metrics_service(metrics, "ssh")->refused[REFUSAL_RATE] += 7;
        metrics_global(metrics)->commits = 3;
        metrics_add_spawn(metrics, 700000);
        metrics_add_spawn(metrics, 40000000000u);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));

    Metrics *metrics = open_metrics(folder, NULL);
    metrics_service(metrics, "guest-log")->accepted++;
    assert_line(metrics, "hvsock_accepted_total{service=\"guest-log\"} 1001");
    assert_line(metrics, "hvsock_refused_total{service=\"ssh\",reason=\"rate\"} 7");
    assert_line(metrics, "hvsock_commits_total 3");
    assert_line(metrics, "hvsock_spawn_seconds_bucket{le=\"0.0005\"} 0");
    assert_line(metrics, "hvsock_spawn_seconds_bucket{le=\"0.001\"} 1");
    assert_line(metrics, "hvsock_spawn_seconds_bucket{le=\"30\"} 1");
    assert_line(metrics, "hvsock_spawn_seconds_bucket{le=\"+Inf\"} 2");
    assert_line(metrics, "hvsock_spawn_seconds_sum 40.000700000");
    assert_line(metrics, "hvsock_spawn_seconds_count 2");
    metrics_free(metrics);

    struct stat file;
    assert_int_equal(stat(folder->file, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    /* The space of what is used, and no more. */
    assert_true(file.st_blocks * 512 < 128 * 1024);
}

static bool is_kept(const char *name, void *userdata)
{
    return strcmp(name, userdata) == 0;
}

static void gone_services_are_summed(void **state)
{
    Metrics *metrics = open_metrics(*state, NULL);

    metrics_service(metrics, "a")->accepted = 5;
    metrics_service(metrics, "b")->accepted = 6;
    metrics_service(metrics, "b")->refused[REFUSAL_DENIED] = 2;
    metrics_service(metrics, "c")->accepted = 7;
    assert_no_text(metrics, METRICS_OTHERS);
    metrics_forget(metrics, "a");
    metrics_forget(metrics, "a");
    metrics_forget(metrics, "never-there");
    assert_no_text(metrics, "service=\"a\"");
    assert_line(metrics, "hvsock_accepted_total{service=\"(others)\"} 5");
    metrics_keep(metrics, is_kept, (char[]){"c"});
    assert_line(metrics, "hvsock_accepted_total{service=\"(others)\"} 11");
    assert_line(metrics, "hvsock_refused_total{service=\"(others)\",reason=\"denied\"} 2");
    assert_line(metrics, "hvsock_accepted_total{service=\"c\"} 7");
    /* It comes back: it begins anew. */
    assert_int_equal(metrics_service(metrics, "a")->accepted, 0);
    metrics_free(metrics);
}

static void slots_are_bounded(void **state)
{
    Metrics *metrics = open_metrics(*state, NULL);
    char name[32];

    for (int i = 0; i < METRICS_SLOTS_MAX + 10; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        metrics_service(metrics, name)->accepted++;
    }
    assert_line(metrics, "hvsock_accepted_total{service=\"s16383\"} 1");
    assert_line(metrics, "hvsock_accepted_total{service=\"(others)\"} 10");
    assert_no_text(metrics, "s16384");
    metrics_forget(metrics, "s77");
    assert_line(metrics, "hvsock_accepted_total{service=\"(others)\"} 11");
    metrics_service(metrics, "late")->accepted = 3;
    assert_line(metrics, "hvsock_accepted_total{service=\"late\"} 3");
    metrics_free(metrics);

    metrics = open_metrics(*state, NULL);
    assert_line(metrics, "hvsock_accepted_total{service=\"late\"} 3");
    assert_line(metrics, "hvsock_accepted_total{service=\"s16383\"} 1");
    metrics_free(metrics);
}

/* Another version's, cut off, garbage: it is begun anew, and works. */
static void bad_files(void **state)
{
    static const struct {
        off_t size_bytes, at;
        const char *bytes;
    } cases[] = {
        {0, 0, NULL}, {1, 0, NULL}, {4096, 0, NULL}, {-1, 0, "another program!"}, {-1, 16, "\2"}, {-1, 20, "\1"}, {-1, 30, "\xff\xff"},
    };
    const Folder *folder = *state;

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        Metrics *metrics = open_metrics(folder, NULL);
        metrics_service(metrics, "old")->accepted = 5;
        metrics_free(metrics);
        if (cases[i].bytes) {
            int fd = open(folder->file, O_WRONLY);
            assert_true(pwrite(fd, cases[i].bytes, strlen(cases[i].bytes), cases[i].at) > 0);
            close(fd);
        } else {
            assert_int_equal(truncate(folder->file, cases[i].size_bytes), 0);
        }
        metrics = open_metrics(folder, NULL);
        assert_no_text(metrics, "service=");
        metrics_service(metrics, "new")->accepted = 9;
        metrics_free(metrics);
        metrics = open_metrics(folder, NULL);
        assert_line(metrics, "hvsock_accepted_total{service=\"new\"} 9");
        metrics_free(metrics);
        unlink(folder->file);
    }
}

/* Names that are none are not taken over. */
static void bad_names(void **state)
{
    const Folder *folder = *state;
    Metrics *metrics = open_metrics(folder, NULL);
    char text[4096];

    metrics_service(metrics, "first-one")->accepted = 1;
    metrics_service(metrics, "other-one")->accepted = 2;
    metrics_free(metrics);
    int fd = open(folder->file, O_RDWR);
    ssize_t size = pread(fd, text, sizeof(text), 0);
    char *at = memmem(text, (size_t)size, "first-one", 9);
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "fi\"\nt-one", 9, at - text), 9);
    close(fd);
    metrics = open_metrics(folder, NULL);
    assert_no_text(metrics, "t-one");
    assert_line(metrics, "hvsock_accepted_total{service=\"other-one\"} 2");
    metrics_free(metrics);
}

static void works_without_a_file(void **state)
{
    const Folder *folder = *state;

    assert_int_equal(mkdir(folder->file, 0700), 0);
    Metrics *metrics = open_metrics(folder, "begin at zero");
    metrics_service(metrics, "a")->accepted = 5;
    assert_line(metrics, "hvsock_accepted_total{service=\"a\"} 5");
    metrics_free(metrics);
    rmdir(folder->file);

    assert_int_equal(symlink("/dev/null", folder->file), 0);
    metrics = open_metrics(folder, "begin at zero");
    metrics_free(metrics);
    unlink(folder->file);

    assert_int_equal(mkfifo(folder->file, 0600), 0);
    metrics = open_metrics(folder, "not a plain file");
    metrics_free(metrics);
}

static void writes_the_format(void **state)
{
    Buffer text = {0};
    char *taken;

    exposition_family(&text, "a_total", "counter", "What it is.");
    exposition_sample(&text, "a_total", (ExpositionLabel){0}, (ExpositionLabel){0}, 18446744073709551615u);
    exposition_sample(&text, "a_total", (ExpositionLabel){"x", "back\\slash \"quoted\"\nline"}, (ExpositionLabel){"y", ""}, 0);
    exposition_seconds(&text, "a_seconds", 1000000001);
    exposition_single(&text, "b", "gauge", 7, "Alone.");
    assert_int_equal(buffer_take(&text, &taken, NULL), 0);
    assert_string_equal(taken, "# HELP a_total What it is.\n# TYPE a_total counter\n"
                               "a_total 18446744073709551615\n"
                               "a_total{x=\"back\\\\slash \\\"quoted\\\"\\nline\",y=\"\"} 0\n"
                               "a_seconds 1.000000001\n"
                               "# HELP b Alone.\n# TYPE b gauge\nb 7\n");
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(outlives_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(gone_services_are_summed, setup, teardown),
        cmocka_unit_test_setup_teardown(slots_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_files, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_names, setup, teardown),
        cmocka_unit_test_setup_teardown(works_without_a_file, setup, teardown),
        cmocka_unit_test(writes_the_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
