/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd: its arguments, its folders, its loop and its signals. sd_notify(3), sd-event(3), hvsockd(8). */

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "config/load.h"
#include "daemon/api/server.h"
#include "daemon/folder.h"
#include "daemon/log.h"
#include "daemon/manager/manager.h"
#include "daemon/store/store.h"

enum { EXIT_DONE = 0, EXIT_CANNOT = 1, EXIT_USAGE = 2 };

#define CONFIG_PATH "/etc/hvsockd"
#define STATE_PATH "/var/lib/hvsockd"
#define RUNTIME_PATH "/run/hvsockd"
#define STATUS_DELAY_US (200 * 1000)
#define LISTEN_TRIES 20
#define LISTEN_TRY_US 20000

static const char *arg_config; /* NULL: the system's folders */
static const char *arg_state;
static const char *arg_runtime;
static bool arg_private; /* nobody else keeps what we hold: --runtime */
static bool arg_keep;
static bool arg_no_keeper;
static bool arg_recover;
static bool arg_check;
static LogLevel arg_log_level = LOG_LEVEL_INFO;

/* Everything that runs; as long as main. */
typedef struct Daemon {
    sd_event *event;
    Manager *manager;
    Server *server;
    sd_event_source *status_timer;
    bool status_is_due;
    rlim_t files_soft; /* RLIMIT_NOFILE's soft limit before we raised it; 0: we did not */
} Daemon;

static void daemon_release(Daemon *daemon)
{
    sd_event_source_disable_unref(daemon->status_timer);
    server_free(daemon->server);
    manager_free(daemon->manager);
    sd_event_unref(daemon->event);
}

/* ---- arguments ---- */

static void usage(FILE *file)
{
    fputs("hvsockd [--config DIR] [--state DIR] [--runtime DIR] [--keep | --no-keeper] [--log-level LEVEL]\n"
          "hvsockd --check | --recover | --version | --help\n\n"
          "Keeps the services that virtual machines reach over hypervisor sockets, and holds their listening sockets.\n"
          "\n"
          "  --config DIR       read DIR/services.d/*.yaml and DIR/hvsockd.yaml, and no system folder\n"
          "  --state DIR        keep registry.db here (" STATE_PATH ")\n"
          "  --runtime DIR      make the socket " SERVER_INTERFACE " here (" RUNTIME_PATH ")\n"
          "  --keep             with --runtime: hvsock-keeper goes on at the end, with all sockets and programs\n"
          "  --no-keeper        hold everything alone: what is held ends with hvsockd, and no program is started\n"
          "  --log-level LEVEL  error, warning, notice, info (default) or debug\n"
          "  --check            read the configuration, tell what is wrong with it, and end\n"
          "  --recover          make a sound registry.db of what can be read of a broken one, and end\n\n"
          "See hvsockd(8) and hvsockd.yaml(5).\n",
          file);
}

/* systemd gives several folders as one text, with colons; the first is ours. NULL: not given. */
static char *folder_from_environment(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] == '/' ? strndup(value, strcspn(value, ":")) : NULL;
}

/* What the arguments do not say. The texts live as long as the process. */
static void fill_in_folders(void)
{
    arg_private = arg_runtime != NULL;
    if (!arg_runtime)
        arg_runtime = folder_from_environment("RUNTIME_DIRECTORY");
    if (!arg_runtime)
        arg_runtime = RUNTIME_PATH;
    if (!arg_state)
        arg_state = folder_from_environment("STATE_DIRECTORY");
    if (!arg_state)
        arg_state = STATE_PATH;
    if (!arg_config) {
        char *folder = folder_from_environment("CONFIGURATION_DIRECTORY");
        /* The system's own folder is one of four, by precedence. */
        if (folder && strcmp(folder, CONFIG_PATH) != 0)
            arg_config = folder;
        else
            free(folder);
    }
}

/* -1: go on; else how to exit. */
static int parse_arguments(int argc, char *argv[])
{
    enum { CONFIG = 256, STATE, RUNTIME, KEEP, NO_KEEPER, RECOVER, CHECK, LEVEL, VERSION, HELP };
    static const struct option options[] = {
        {"config", required_argument, NULL, CONFIG},   {"state", required_argument, NULL, STATE},
        {"runtime", required_argument, NULL, RUNTIME}, {"keep", no_argument, NULL, KEEP},
        {"no-keeper", no_argument, NULL, NO_KEEPER},
        {"recover", no_argument, NULL, RECOVER},       {"check", no_argument, NULL, CHECK},
        {"log-level", required_argument, NULL, LEVEL}, {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP},             {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case CONFIG:
            arg_config = optarg;
            break;
        case STATE:
            arg_state = optarg;
            break;
        case RUNTIME:
            arg_runtime = optarg;
            break;
        case KEEP:
            arg_keep = true;
            break;
        case NO_KEEPER:
            arg_no_keeper = true;
            break;
        case RECOVER:
            arg_recover = true;
            break;
        case CHECK:
            arg_check = true;
            break;
        case LEVEL:
            if (log_level_parse(optarg, &arg_log_level))
                break;
            fprintf(stderr, "hvsockd: --log-level %s: not a level; error, warning, notice, info or debug is\n",
                    optarg);
            return EXIT_USAGE;
        case VERSION:
            puts("hvsockd " HVSOCK_VERSION);
            return EXIT_DONE;
        case 'h':
        case HELP:
            usage(stdout);
            return EXIT_DONE;
        default:
            fputs("hvsockd --help tells what there is\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "hvsockd: %s: there are no arguments beside options; see hvsockd --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    fill_in_folders();
    return -1;
}

/* ---- --check, --recover ---- */

static int check_configuration(void)
{
    _cleanup_(freep) char *settings_path = NULL;
    _cleanup_(freep) char *folder = NULL;
    _cleanup_(declared_freep) Declared *declared = NULL;
    _cleanup_(settings_freep) Settings *settings = NULL;
    Problems problems = {0};

    if (asprintf(&settings_path, "%s/hvsockd.yaml", arg_config ? arg_config : CONFIG_PATH) < 0 ||
        asprintf(&folder, "%s/services.d", arg_config ? arg_config : CONFIG_PATH) < 0)
        return EXIT_CANNOT;
    const char *own[] = {folder, NULL};
    int r = arg_config ? load_check_folder(arg_config, &problems) : 0;
    if (r >= 0)
        r = load_settings(settings_path, &problems, &settings);
    if (r == 0)
        r = load_check_host_settings(settings_path, settings, &problems);
    if (r >= 0)
        r = load_paths(arg_config ? own : load_system_folders, true, NULL, &problems, &declared);
    if (r == 0)
        r = load_check_conflicts(declared, &problems);
    /* Without --runtime it may be the system's, whose keeper is root. */
    if (r == 0)
        r = load_check_host(declared, geteuid() == 0 ? 0 : arg_private ? geteuid() : (uid_t)-1, &problems);
    problems_sort(&problems);
    for (size_t i = 0; i < problems.count; i++) {
        Buffer text = {0};
        problem_format(&problems.items[i], &text);
        fprintf(stderr, "%.*s\n", (int)text.size_bytes, text.data ? text.data : "");
        buffer_release(&text);
    }
    bool good = r >= 0 && problems.errors == 0;
    problems_release(&problems);
    return good ? EXIT_DONE : EXIT_CANNOT;
}

static int recover(void)
{
    Buffer report = {0};

    int r = store_recover(arg_state, &report);
    if (report.size_bytes > 0)
        fwrite(report.data, 1, report.size_bytes, r < 0 ? stderr : stdout);
    else if (r < 0)
        fprintf(stderr, "hvsockd: %s/registry.db: %s\n", arg_state, strerror(-r));
    buffer_release(&report);
    return r < 0 ? EXIT_CANNOT : EXIT_DONE;
}

/* ---- telling systemd ---- */

static void daemon_tell_status(Daemon *daemon)
{
    Buffer text = {0};

    if (!getenv("NOTIFY_SOCKET"))
        return;
    if (manager_render_status(daemon->manager, &text) == 0 && !text.failed) {
        json_t *status = json_loadb(text.data, text.size_bytes, 0, NULL);
        sd_notifyf(false, "STATUS=%" JSON_INTEGER_FORMAT " services, %" JSON_INTEGER_FORMAT " listening",
                   json_integer_value(json_object_get(status, "services")),
                   json_integer_value(json_object_get(status, "listeners")));
        json_decref(status);
    }
    buffer_release(&text);
}

static int on_status_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Daemon *daemon = userdata;

    daemon->status_is_due = false;
    daemon_tell_status(daemon);
    return 0;
}

/* Thousands of changes are one line. */
static void on_events(void *userdata)
{
    Daemon *daemon = userdata;

    if (daemon->status_is_due)
        return;
    daemon->status_is_due = sd_event_source_set_time_relative(daemon->status_timer, STATUS_DELAY_US) >= 0 &&
                            sd_event_source_set_enabled(daemon->status_timer, SD_EVENT_ONESHOT) >= 0;
}

/* ---- signals ---- */

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *signal, void *userdata)
{
    Daemon *daemon = userdata;
    Buffer changes = {0};
    Failure failure = {0};
    uint64_t now_us = 0;

    sd_event_now(daemon->event, CLOCK_MONOTONIC, &now_us);
    sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now_us);
    /* Clients that wait for a commit are answered by their own. */
    int r = server_settle(daemon->server);
    if (r >= 0)
        r = manager_reload(daemon->manager, NULL, &changes, &failure);
    if (r >= 0) {
        int settled = manager_settle(daemon->manager, &failure);
        r = settled != 0 ? settled : r;
    }
    if (r > 0)
        log_error("reload: %s: %.*s; nothing was changed", failure_name(failure.code),
                  (int)failure.parameters.size_bytes, failure.parameters.data);
    else if (r == 0)
        log_info("reloaded");
    buffer_release(&changes);
    failure_release(&failure);
    daemon_tell_status(daemon);
    sd_notify(false, "READY=1");
    return r < 0 ? r : 0;
}

static int add_signals(Daemon *daemon)
{
    static const int ends[] = {SIGTERM, SIGINT};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &blocked, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    /* Without a handler of its own a signal ends the loop with what is its userdata. */
    for (size_t i = 0; i < ELEMENTS_OF(ends); i++) {
        int r = sd_event_add_signal(daemon->event, NULL, ends[i], NULL, NULL);
        if (r < 0)
            return r;
    }
    sd_event_source *source;
    int r = sd_event_add_signal(daemon->event, &source, SIGHUP, on_reload_signal, daemon);
    if (r < 0)
        return r;
    r = sd_event_source_set_exit_on_failure(source, true);
    if (r < 0)
        return r;
    r = sd_event_source_set_floating(source, true);
    sd_event_source_unref(source);
    return r;
}

/* ---- the life of it ---- */

/* The service manager: it says so by being there, and then the keeper is a unit of its own. */
static bool somebody_starts_keeper(void)
{
    return !arg_private && getenv("NOTIFY_SOCKET");
}

/* Beside our own executable, where it is built; in libexec beside it, where it is installed; where it was to be installed. NULL:
 * no memory. */
static char *find_keeper(void)
{
    static const char *const places[] = {"", "/../libexec/hvsockd"};
    char own[PATH_MAX] = "";
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    const char *slash = length > 0 ? strrchr(own, '/') : NULL;
    char *path = NULL;

    for (size_t i = 0; slash && i < ELEMENTS_OF(places); i++) {
        if (asprintf(&path, "%.*s%s/hvsock-keeper", (int)(slash - own), own, places[i]) < 0)
            return NULL;
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return strdup(HVSOCK_LIBEXECDIR "/hvsock-keeper");
}

static int daemon_make(Daemon *daemon)
{
    _cleanup_(freep) char *keeper = find_keeper();
    const ManagerOptions manager_options = {
        .config_path = arg_config,
        .state_path = arg_state,
        .runtime_path = arg_runtime,
        .keep = !arg_no_keeper,
        .keeper_program = somebody_starts_keeper() ? NULL : keeper,
        .keeper_files_soft = daemon->files_soft,
    };
    const ServerOptions server_options = {
        .runtime_path = arg_runtime,
        .link_in_registry = strcmp(arg_runtime, RUNTIME_PATH) == 0,
        .on_events = on_events,
        .userdata = daemon,
    };

    /* Not sd_event_default: that one asks for its thread with a system call in each turn. */
    int r = sd_event_new(&daemon->event);
    if (r < 0)
        return r;
    r = add_signals(daemon);
    if (r < 0)
        return r;
    sd_event_set_watchdog(daemon->event, true);
    r = sd_event_add_time(daemon->event, &daemon->status_timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_status_timer,
                          daemon);
    if (r < 0)
        return r;
    r = manager_new(daemon->event, &manager_options, &daemon->manager);
    if (r < 0)
        return r;
    return server_new(daemon->event, daemon->manager, &server_options, &daemon->server);
}

/* Is that how a socket for our own clients is called: by our .socket unit, by a unit that gives it no name, or not at all? */
static bool is_api_name(const char *name)
{
    return text_equal(name, "varlink") || text_equal(name, "hvsockd.socket") || text_equal(name, "unknown");
}

/* What was passed to us: sockets for our own clients, and listeners of services. */
static int daemon_adopt(Daemon *daemon)
{
    _cleanup_(text_list_freep) TextList names = NULL;
    int count = sd_listen_fds_with_names(false, &names), r = 0;

    if (count < 0)
        log_warning("LISTEN_FDS and LISTEN_FDNAMES do not go together: %s", strerror(-count));
    sd_listen_fds(true); /* no child is to see them */
    for (int i = 0; i < count && r >= 0; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (!is_api_name(names[i]))
            r = manager_adopt_consume(daemon->manager, names[i], fd);
        else if (server_adopt_consume(daemon->server, fd) < 0)
            log_warning("descriptor %d of LISTEN_FDS (%s) is no listening unix stream socket; it is closed", fd, names[i]);
    }
    return r;
}

static const char *listen_hint(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
        return "make the folder writable for the user that hvsockd runs as, or choose another with --runtime";
    case ENOSPC:
    case EDQUOT:
        return "make room on that file system, or choose another folder with --runtime";
    default:
        return "choose another folder with --runtime";
    }
}

/* The socket is there before boot's plan has run: who connects meanwhile waits, and is not refused. */
static int daemon_open(Daemon *daemon)
{
    int r = daemon_adopt(daemon);
    if (r < 0)
        return r;
    r = server_listen(daemon->server);
    /* As with the folder's lock: whoever was killed a moment ago may have it still. */
    for (int tries = 0; r == -EADDRINUSE && tries < LISTEN_TRIES; tries++) {
        usleep(LISTEN_TRY_US);
        r = server_listen(daemon->server);
    }
    if (r == -EADDRINUSE)
        log_error("%s/" SERVER_INTERFACE ": another program serves this path, or it is no socket; end that program, or "
                  "choose another folder with --runtime", arg_runtime);
    else if (r < 0)
        log_error("%s/" SERVER_INTERFACE ": %s; %s", arg_runtime, strerror(-r), listen_hint(-r));
    return r;
}

static int run(rlim_t files_soft)
{
    _cleanup_(daemon_release) Daemon daemon = {.files_soft = files_soft};

    int r = daemon_make(&daemon);
    if (r < 0) {
        log_error("cannot start: %s", strerror(-r));
        return EXIT_CANNOT;
    }
    if (daemon_open(&daemon) < 0)
        return EXIT_CANNOT;
    r = manager_start(daemon.manager);
    if (r < 0)
        log_error("cannot start: %s", strerror(-r));
    if (r != 0) {
        manager_abandon(daemon.manager);
        return EXIT_CANNOT;
    }
    server_sweep(daemon.server);
    daemon_tell_status(&daemon);
    sd_notify(false, "READY=1");
    log_info("ready: %s/" SERVER_INTERFACE, arg_runtime);

    r = server_loop(daemon.server);
    sd_notify(false, "STOPPING=1");
    if (r < 0)
        log_error("the loop has ended: %s", strerror(-r));
    else
        server_settle(daemon.server);
    if (r >= 0)
        manager_log_end(daemon.manager, arg_private && !arg_keep);
    if (arg_private && !arg_keep)
        manager_stop(daemon.manager);
    log_info("ended");
    return r < 0 ? EXIT_CANNOT : EXIT_DONE;
}

int main(int argc, char *argv[])
{
    struct rlimit files;
    rlim_t files_soft = 0;

    int r = parse_arguments(argc, argv);
    if (r >= 0)
        return r;
    log_open(arg_log_level);
    umask(0022);
    if (arg_check)
        return check_configuration();
    /* What a message of 64 MiB took is given back, and not kept for the next. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    /* Every listener is a descriptor; the soft limit is there for programs that use select(2). */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files_soft = files.rlim_cur;
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (arg_recover)
        return recover();
    /* STATE, which the store locks, holds what only administrators may see; what is wrong with it is the store's to
     * tell. */
    folder_make(arg_state, 0700);
    if (folder_take(arg_runtime, 0755) < 0)
        return EXIT_CANNOT;
    return run(files_soft);
}
