/* SPDX-License-Identifier: Apache-2.0 */
/* hvsock-keeper: holds sockets and starts programs for hvsockd, which may come and go. One loop, one thread; ends by SIGTERM
 * or KEEPER_END, and without either lives on. schema/wire/keeper.h says what it is asked for. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>

#include "daemon/keeper/guard.h"
#include "daemon/keeper/keeper.h"
#include "daemon/keeper/notify.h"
#include "daemon/keeper/socket.h"
#include "daemon/keeper/state.h"
#include "schema/base/text.h"
#include "schema/base/user.h"

#define RUNTIME_PATH "/run/hvsockd"
#define EVENTS_MAX 64
#define FDS_RESERVED 320 /* for a frame's, connections and our own */
#define LOOK_EVERY_US 5000000
#define REEXEC_US 1000000
#define ORPHANS_US 2000000
#define USAGE_STATUS 2

static const char *arg_runtime = RUNTIME_PATH;
static const char *arg_user;
static bool arg_private;
static int arg_resume_fd = -1; /* what state_hand_over has left us */

static const char help[] =
    "usage: hvsock-keeper [--runtime DIR] [--user USER] [--private]\n"
    "       hvsock-keeper --help | --version\n"
    "\n"
    "Holds sockets and starts programs for hvsockd(8), which may be restarted meanwhile. Programs end with it.\n"
    "\n"
    "  --runtime DIR  its socket is DIR/keeper (default: " RUNTIME_PATH "), unless it is passed as LISTEN_FDS\n"
    "  --user USER    beside root and its own user, this one may connect\n"
    "  --private      ends by itself when DIR/keeper is gone and nobody is connected; its parent is a process that, should it be\n"
    "                 killed, ends what its programs have started\n"
    "  --help, --version\n"
    "\n"
    "Signals: SIGTERM ends it and all programs; SIGHUP executes its program anew, and everything is kept.\n";

uint64_t keeper_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void keeper_note(const char *format, ...)
{
    _cleanup_(buffer_release) Buffer line = {0};
    va_list arguments;

    buffer_append_text(&line, getenv("JOURNAL_STREAM") ? "<4>" : "hvsock-keeper: ");
    va_start(arguments, format);
    buffer_vprintf(&line, format, arguments);
    va_end(arguments);
    buffer_append_char(&line, '\n');
    if (!line.failed && write(STDERR_FILENO, line.data, line.size_bytes) < 0)
        return; /* there is nobody else to tell */
}

/* ---- the end ---- */

void keeper_end(Keeper *keeper)
{
    Item *item, *next;
    Program *program;

    if (keeper->is_ending)
        return;
    keeper->is_ending = true;
    keeper->end_by_us = NEVER_US;
    notify_state("STOPPING=1");
    socket_close(keeper);
    for (item = TAILQ_FIRST(&keeper->items.order); item; item = next) {
        next = TAILQ_NEXT(item, link);
        if (item->program && !item->program->has_ended)
            continue;
        if (item->program)
            program_free(keeper, item->program);
        if (keeper->client && keeper->client->list_next == item)
            keeper->client->list_next = next;
        items_remove(&keeper->items, item);
    }
    TAILQ_FOREACH(program, &keeper->programs.running, link)
        program_stop(keeper, program);
}

/* Everything has ended, or will not. What programs left behind has had its time with them. */
static bool is_over(Keeper *keeper, uint64_t now_us)
{
    if (!keeper->is_ending || !TAILQ_EMPTY(&keeper->programs.running))
        return false;
    if (!programs_reap(keeper) && TAILQ_EMPTY(&keeper->programs.remains))
        return true;
    if (keeper->end_by_us == NEVER_US)
        keeper->end_by_us = now_us + ORPHANS_US;
    programs_kill_orphans();
    return now_us >= keeper->end_by_us;
}

/* ---- another version of us ---- */

/* Executed anew, once everybody has what was answered; who does not read it in time has to connect again. */
static uint64_t reexec(Keeper *keeper, uint64_t now_us)
{
    bool is_idle = true;
    Peer *peer;

    if (!keeper->reexec_wanted)
        return NEVER_US;
    if (keeper->reexec_by_us == 0)
        keeper->reexec_by_us = now_us + REEXEC_US;
    TAILQ_FOREACH(peer, &keeper->peers, link) {
        peer_pump(peer);
        is_idle = is_idle && peer_is_idle(peer);
    }
    if (!is_idle && now_us < keeper->reexec_by_us && !keeper->is_ending)
        return keeper->reexec_by_us;
    TAILQ_FOREACH(peer, &keeper->peers, link)
        if (!peer_is_idle(peer) && !keeper->is_ending)
            peer_close(peer);
    int r = keeper->is_ending ? -ESHUTDOWN : state_hand_over(keeper);
    keeper_note("%s cannot be executed anew: %s; all goes on as before",
                keeper->program_path ? keeper->program_path : "hvsock-keeper", strerror(-r));
    keeper->reexec_wanted = false;
    keeper->reexec_by_us = 0;
    TAILQ_FOREACH(peer, &keeper->peers, link)
        peer_pump(peer);
    return NEVER_US;
}

/* ---- the loop ---- */

static int loop_add(Keeper *keeper, int fd, void *userdata)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = userdata};

    return epoll_ctl(keeper->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void on_signals(Keeper *keeper)
{
    struct signalfd_siginfo information;

    while (read(keeper->signal_fd, &information, sizeof(information)) == sizeof(information))
        switch (information.ssi_signo) {
        case SIGCHLD:
            programs_reap(keeper);
            break;
        case SIGHUP:
            keeper->reexec_wanted = true;
            break;
        default:
            keeper_end(keeper);
        }
}

/* Nobody is connected: has our folder been removed under us? */
static uint64_t look_after_path(Keeper *keeper, uint64_t now_us)
{
    if (!keeper->is_private || keeper->is_ending || keeper->client)
        return NEVER_US;
    if (now_us >= keeper->look_at_us) {
        keeper->look_at_us = now_us + LOOK_EVERY_US;
        if (!socket_is_ours(keeper)) {
            keeper_note("%s is gone, and nobody is connected: ending", keeper->path);
            keeper_end(keeper);
        }
    }
    return keeper->look_at_us;
}

static uint64_t tell_alive(Keeper *keeper, uint64_t now_us)
{
    if (now_us >= keeper->alive_at_us) {
        notify_state("WATCHDOG=1");
        keeper->alive_at_us = now_us + keeper->watchdog_us / 2;
    }
    return keeper->alive_at_us;
}

static int timeout_ms(uint64_t next_us, uint64_t now_us)
{
    if (next_us == NEVER_US)
        return -1;
    if (next_us <= now_us)
        return 0;
    uint64_t ms = (next_us - now_us + 999) / 1000;
    return ms > 60000 ? 60000 : (int)ms;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int loop(Keeper *keeper)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        uint64_t now_us = keeper_now_us();
        uint64_t next_us = look_after_path(keeper, now_us);
        next_us = sooner(next_us, programs_tick(keeper, now_us));
        next_us = sooner(next_us, reexec(keeper, now_us));
        next_us = sooner(next_us, tell_alive(keeper, now_us));
        if (keeper->client)
            peer_pump(keeper->client); /* what has ended meanwhile */
        if (keeper->client && keeper->client->lingers_until_us > 0)
            next_us = sooner(next_us, keeper->client->lingers_until_us);
        if (is_over(keeper, now_us))
            return 0;
        if (keeper->is_ending && keeper->end_by_us != NEVER_US)
            next_us = sooner(next_us, now_us + 50000);
        peers_free_closed(keeper);
        int count = epoll_wait(keeper->epoll_fd, events, EVENTS_MAX, timeout_ms(next_us, now_us));
        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < count; i++) {
            void *of = events[i].data.ptr;
            if (of == &keeper->signal_fd)
                on_signals(keeper);
            else if (of == &keeper->listener_fd)
                peers_accept(keeper);
            else
                peer_on_event(of, events[i].events);
        }
    }
}

/* ---- the beginning ---- */

/* Nothing is ignored and no handler is set, so that programs inherit nothing; what would end us is blocked. */
static int open_signals(Keeper *keeper)
{
    static const int read_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    static const uint64_t as_at_first[4]; /* struct kernel_sigaction: SIG_DFL, no flags, nothing masked */
    sigset_t set;

    /* By the kernel's own call: libc hides two from us that its posix_spawn(3) leaves ignored. Of SIGKILL and SIGSTOP it fails. */
    for (int signal_number = 1; signal_number <= SIGRTMAX; signal_number++)
        syscall(SYS_rt_sigaction, signal_number, &as_at_first, NULL, sizeof(uint64_t));
    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTS_OF(read_signals); i++)
        sigaddset(&set, read_signals[i]);
    keeper->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (keeper->signal_fd < 0)
        return -errno;
    sigaddset(&set, SIGPIPE);
    return sigprocmask(SIG_SETMASK, &set, NULL) < 0 ? -errno : 0;
}

/* The limit as it was is the programs'. */
static int raise_limit(Keeper *keeper, struct rlimit *ret)
{
    if (getrlimit(RLIMIT_NOFILE, ret) < 0)
        return -errno;
    struct rlimit high = {ret->rlim_max, ret->rlim_max};
    rlim_t limit = setrlimit(RLIMIT_NOFILE, &high) == 0 ? ret->rlim_max : ret->rlim_cur;
    keeper->fds_max = limit > FDS_RESERVED * 2 ? (size_t)limit - FDS_RESERVED : (size_t)limit / 2;
    return 0;
}

static int keeper_make(Keeper *keeper)
{
    struct rlimit files;
    int r = raise_limit(keeper, &files);

    if (r == 0)
        r = open_signals(keeper);
    if (r == 0)
        r = spawner_open(&keeper->spawner, &files);
    if (r < 0)
        return r;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    keeper->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    keeper->spare_fd = fd_duplicate(keeper->spawner.null_fd);
    if (keeper->epoll_fd < 0 || getrandom(keeper->instance, sizeof(keeper->instance), 0) != sizeof(keeper->instance))
        return -errno;
    keeper->program_path = realpath("/proc/self/exe", NULL);
    keeper->watchdog_us = notify_watchdog_us();
    keeper->alive_at_us = keeper->watchdog_us == UINT64_MAX ? NEVER_US : 0;
    return loop_add(keeper, keeper->signal_fd, &keeper->signal_fd);
}

static int run(Keeper *keeper)
{
    struct rlimit files;
    int r = keeper_make(keeper);

    if (r == 0 && arg_resume_fd >= 0)
        r = state_resume_consume(keeper, arg_resume_fd);
    if (r == -EMFILE && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        keeper_note("cannot start: %s: RLIMIT_NOFILE (LimitNOFILE=, ulimit -n) is %llu; %u would be right", strerror(-r),
                    (unsigned long long)files.rlim_cur, KEEPER_FILES_RIGHT);
        return KEEPER_STATUS_FILES;
    }
    if (r < 0) {
        keeper_note("cannot start: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    if (arg_resume_fd < 0 && socket_open(keeper) < 0)
        return EXIT_FAILURE;
    cgroups_open(&keeper->cgroups);
    programs_sweep(keeper);
    programs_reap(keeper); /* whose SIGCHLD came while nobody read it */
    r = loop_add(keeper, keeper->listener_fd, &keeper->listener_fd);
    if (r == 0) {
        notify_state("READY=1");
        r = loop(keeper);
    }
    if (r < 0)
        keeper_note("the loop has ended: %s", strerror(-r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int parse_arguments(int argc, char *argv[])
{
    static const struct option options[] = {
        {"runtime", required_argument, NULL, 'r'}, {"user", required_argument, NULL, 'u'},
        {"private", no_argument, NULL, 'p'},       {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},       {"resume", required_argument, NULL, 'R'},
        {0},
    };
    uint64_t number;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'r':
            arg_runtime = optarg;
            break;
        case 'u':
            arg_user = optarg;
            break;
        case 'p':
            arg_private = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        case 'v':
            puts("hvsock-keeper " HVSOCK_VERSION);
            return 0;
        case 'R':
            if (!text_to_number(optarg, INT32_MAX, &number))
                return USAGE_STATUS;
            arg_resume_fd = (int)number;
            break;
        default:
            return USAGE_STATUS;
        }
    if (optind < argc) {
        fprintf(stderr, "hvsock-keeper: %s: no argument is wanted; see --help\n", argv[optind]);
        return USAGE_STATUS;
    }
    return -1;
}

static void keeper_release(Keeper *keeper)
{
    Peer *peer;

    TAILQ_FOREACH(peer, &keeper->peers, link)
        peer_close(peer);
    peers_free_closed(keeper);
    socket_close(keeper);
    programs_release(keeper);
    items_release(&keeper->items);
    spawner_close(&keeper->spawner);
    cgroups_close(&keeper->cgroups);
    keeper->spare_fd = fd_close(keeper->spare_fd);
    keeper->signal_fd = fd_close(keeper->signal_fd);
    keeper->epoll_fd = fd_close(keeper->epoll_fd);
    buffer_release(&keeper->out);
    free(keeper->program_path);
    free(keeper->path);
    free(keeper);
}
DEFINE_CLEANUP(Keeper *, keeper_release)

int main(int argc, char *argv[])
{
    int r = parse_arguments(argc, argv);

    if (r >= 0)
        return r;
    umask(0022);
    if (arg_private && arg_resume_fd < 0)
        guard_begin(argv);
    _cleanup_(keeper_releasep) Keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return EXIT_FAILURE;
    keeper->arguments = argv;
    keeper->runtime_path = arg_runtime;
    keeper->is_private = arg_private;
    keeper->user = (uid_t)-1;
    keeper->epoll_fd = keeper->signal_fd = keeper->listener_fd = keeper->spare_fd = keeper->cgroups.fd = -1;
    items_init(&keeper->items);
    programs_init(&keeper->programs);
    TAILQ_INIT(&keeper->peers);
    if (arg_user && (r = user_find(arg_user, &keeper->user, NULL)) < 0) {
        keeper_note("--user %s: %s", arg_user, r == -ESRCH ? "there is no such user" : strerror(-r));
        return EXIT_FAILURE;
    }
    if (asprintf(&keeper->path, "%s/" KEEPER_SOCKET, arg_runtime) < 0)
        return EXIT_FAILURE;
    return run(keeper);
}
