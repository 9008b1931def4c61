/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a keeper, or starting one; and again, when it has ended. Where nobody else starts it, we bind its socket ourselves
 * and pass it: what we send waits there until it runs, so that nothing of ours waits for it. posix_spawn(3), unix(7). */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon/hold/internal.h"
#include "daemon/log.h"
#include "schema/base/process.h"
#include "schema/base/text.h"

#define SEND_BUFFER_BYTES (4 * 1024 * 1024)
#define HELLO_TIMEOUT_MS 2000
#define HELLO_BUSY_TIMEOUT_MS 30000 /* while it does something: what another hvsockd has asked for comes first */
#define KEEPER_PROCESS_NAME "hvsock-keeper" /* /proc/PID/comm */
#define RETRY_FIRST_US 20000
#define RETRY_MAX_US 500000
#define RETRY_FAILING_US 5000000 /* it is not installed, or ends at once again and again */
#define END_OF_HUNG_MS 500

/* ---- one that we start ---- */

void hold_release_child(Hold *hold)
{
    hold->child_source = sd_event_source_disable_unref(hold->child_source);
    hold->child_pidfd = fd_close(hold->child_pidfd);
    hold->child_pid = 0;
}

/* It ended before it had said who it is. The same is told once. */
static void tell_failing(Hold *hold, int status)
{
    _cleanup_(freep) char *trouble = NULL;
    struct rlimit files;
    int r;

    if (status == KEEPER_STATUS_FILES && getrlimit(RLIMIT_NOFILE, &files) == 0)
        r = asprintf(&trouble,
                     "hvsock-keeper cannot start: RLIMIT_NOFILE (LimitNOFILE=, ulimit -n) is %llu, as hvsockd's own; %u would be right",
                     (unsigned long long)files.rlim_max, KEEPER_FILES_RIGHT);
    else
        r = asprintf(&trouble, "hvsock-keeper cannot start: it ends with status %d; what it says itself is in the log of hvsockd", status);
    if (r < 0 || text_equal(trouble, hold->trouble))
        return;
    log_error("%s; it is tried again every %u seconds", trouble, RETRY_FAILING_US / 1000000);
    free(hold->trouble);
    hold->trouble = TAKE_PTR(trouble);
}

/* hold: NULL where another has been started since. */
static int on_child_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Hold *hold = userdata;
    siginfo_t info = {0};

    if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
        return 0;
    /* What we have started is the keeper's guard (daemon/keeper/guard.c), which ends as the keeper has. */
    if (hold && info.si_code == CLD_EXITED && info.si_status != 0 && !hold->has_instance)
        tell_failing(hold, info.si_status);
    else if (info.si_code == CLD_EXITED)
        log_notice("hvsock-keeper (guard: process %d) has ended with status %d", (int)info.si_pid, info.si_status);
    else
        log_warning("hvsock-keeper (guard: process %d) was ended by signal %d", (int)info.si_pid, info.si_status);
    if (hold) {
        hold_release_child(hold);
        return 0;
    }
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    sd_event_source_set_floating(source, false);
    return 0;
}

/* It may end later than its keeper, while what programs have left behind is ended: the loop waits for it still, or it would stay a
 * zombie as long as we live. */
static void leave_child(Hold *hold)
{
    if (hold->child_source && sd_event_source_set_io_fd_own(hold->child_source, true) >= 0) {
        (void)TAKE_FD(hold->child_pidfd);
        sd_event_source_set_userdata(hold->child_source, NULL);
        sd_event_source_set_floating(hold->child_source, true);
        hold->child_source = sd_event_source_unref(hold->child_source);
    }
    hold_release_child(hold);
}

static void watch_child(Hold *hold, pid_t pid)
{
    leave_child(hold);
    hold->child_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    hold->child_pid = pid;
    if (hold->child_pidfd >= 0)
        sd_event_add_io(hold->event, &hold->child_source, hold->child_pidfd, EPOLLIN, on_child_end, hold);
}

pid_t hold_find_started(const Hold *hold)
{
    _cleanup_(freep) char *text = NULL;
    char path[64];
    size_t size_bytes;

    if (hold->child_pid == 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)hold->child_pid, (int)hold->child_pid);
    long pid = file_read(AT_FDCWD, path, 4096, &text, &size_bytes) == 0 ? strtol(text, NULL, 10) : 0;
    return pid > 0 ? (pid_t)pid : hold->child_pid;
}

/* Ours, but for what was meant for us alone. */
static char **environment_of_keeper(void)
{
    static const char *const ours[] = {"LISTEN_FDS=",    "LISTEN_PID=",    "LISTEN_FDNAMES=", "LISTEN_PIDFDID=",
                                       "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="};
    size_t count = 0, kept = 0;

    while (environ[count])
        count++;
    char **list = calloc(count + 2, sizeof(*list));
    for (size_t i = 0; list && i < count; i++) {
        bool skip = false;
        for (size_t j = 0; j < ELEMENTS_OF(ours); j++)
            skip |= strncmp(environ[i], ours[j], strlen(ours[j])) == 0;
        if (!skip)
            list[kept++] = environ[i];
    }
    if (list)
        list[kept] = (char *)(uintptr_t) "LISTEN_FDS=1";
    return list;
}

/* Ours was raised, which is not meant for programs. What it was before is put back by who is given it; 0: nothing. */
static rlim_t set_files_soft(uint64_t soft)
{
    struct rlimit files;

    if (soft == 0 || getrlimit(RLIMIT_NOFILE, &files) < 0 || soft > files.rlim_max)
        return 0;
    rlim_t before = files.rlim_cur;
    files.rlim_cur = soft;
    return setrlimit(RLIMIT_NOFILE, &files) < 0 ? 0 : before;
}

/* A session of its own: what is typed at our terminal is not meant for it. */
static int spawn(Hold *hold, int listening_fd)
{
    char *const arguments[] = {hold->program, (char *)(uintptr_t) "--runtime", hold->runtime_path,
                               (char *)(uintptr_t) "--private", NULL};
    _cleanup_(freep) char **environment = environment_of_keeper();
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    pid_t pid;

    if (!environment)
        return -ENOMEM;
    /* dup2 onto itself would leave it close-on-exec. */
    _cleanup_(fd_closep) int fd = listening_fd == 3 ? fcntl(listening_fd, F_DUPFD_CLOEXEC, 4) : fd_duplicate(listening_fd);
    if (fd < 0)
        return -errno;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, fd, 3);
    if (r == 0)
        r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (r == 0)
        r = posix_spawnattr_setsigmask(&attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(&attributes, &all);
    if (r == 0) {
        rlim_t before = set_files_soft(hold->files_soft);
        r = posix_spawn(&pid, hold->program, &actions, &attributes, arguments, environment);
        set_files_soft(before);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (r == 0)
        watch_child(hold, pid);
    return -r;
}

/* ---- its socket ---- */

/* RUNTIME may be longer than an address takes: named by its descriptor then. */
static int keeper_address(const Hold *hold, int folder_fd, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int size = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/" KEEPER_SOCKET, hold->runtime_path);
    if (size >= (int)sizeof(ret->sun_path))
        snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/" KEEPER_SOCKET, folder_fd);
    return 0;
}

static int connect_to(Hold *hold, const struct sockaddr_un *address, pid_t *ret_listener)
{
    struct ucred credentials;
    socklen_t size_bytes = sizeof(credentials);
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return -errno;
    /* Ten thousand listeners need not wait for it to read them. As far as we may. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){SEND_BUFFER_BYTES}, sizeof(int)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER_BYTES}, sizeof(int));
    /* Who listens there gets everything that we hold. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size_bytes) < 0)
        return -errno;
    if (credentials.uid != 0 && credentials.uid != geteuid()) {
        log_error("%s/" KEEPER_SOCKET " belongs to uid %u, who is neither root nor us; nothing is given to it", hold->runtime_path,
                  (unsigned)credentials.uid);
        return -EPERM;
    }
    hold->fd = TAKE_FD(fd);
    hold->pid = 0;
    *ret_listener = credentials.pid;
    return 0;
}

static int listen_at(const struct sockaddr_un *address)
{
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return -errno;
    /* The socket's own mode becomes the file's. */
    if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 || listen(fd, 8) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* ---- who it is ---- */

static int hello_send(Hold *hold)
{
    frame_begin(&hold->frame, KEEPER_VERSION, KEEPER_HELLO, UINT32_MAX);
    frame_put_number(&hold->frame, KEEPER_TAG_VERSION, KEEPER_VERSION);
    frame_put_number(&hold->frame, KEEPER_TAG_PID, (uint64_t)getpid());
    frame_put_number(&hold->frame, KEEPER_TAG_BELL, 1);
    _cleanup_(fd_closep) int begun_fd = begun_new(hold);
    if (begun_fd >= 0)
        frame_put_number(&hold->frame, KEEPER_TAG_BEGUN, 1);
    int r = frame_end(&hold->frame);
    /* Not woken: one that has connected is looked at. */
    if (r == 0)
        r = hold_send_quietly(hold, &hold->frame, (const int[]){hold->bell_fd, begun_fd}, begun_fd < 0 ? 1 : 2);
    hold->begun.sent_before = hold->sent;
    return r;
}

void hold_read_hello(Hold *hold, const Frame *frame)
{
    FrameFields fields = frame->fields;
    FrameField field;
    uint64_t number = 0;

    hold->is_other = true;
    while (frame_next(&fields, &field))
        switch (field.tag) {
        case KEEPER_TAG_PID:
            if (frame_field_number(&field, &number) == 0)
                hold->pid = (pid_t)number;
            break;
        case KEEPER_TAG_UID:
            if (frame_field_number(&field, &number) == 0)
                hold->uid = (uid_t)number;
            break;
        case KEEPER_TAG_INSTANCE:
            hold->retry_us = 0;
            free(TAKE_PTR(hold->trouble));
            if (field.size_bytes == sizeof(hold->instance)) {
                hold->is_other = !hold->has_instance || memcmp(hold->instance, field.data, sizeof(hold->instance)) != 0;
                memcpy(hold->instance, field.data, sizeof(hold->instance));
                hold->has_instance = true;
            }
            break;
        default:
            break;
        }
}

/* 0; 1: it is another than before. */
static int hello_receive(Hold *hold, uint64_t until_us)
{
    FdList fds = {0};
    Frame frame;
    int r;

    while ((r = hold_receive(hold, until_us, &frame, &fds)) == 0) {
        fd_list_clear(&fds);
        if (frame.type == KEEPER_HELLO)
            return hold->is_other;
    }
    return r;
}

static bool is_keeper(pid_t pid)
{
    char name[PROCESS_NAME_SIZE_BYTES];

    return process_name(pid, name, sizeof(name)) && strcmp(name, KEEPER_PROCESS_NAME) == 0;
}

/* It has our socket, and does not answer: stopped, or it hangs. What it holds can only be had anew. Another hvsockd may have
 * started it: then the socket tells who listens there. false: it may live. */
static bool end_hung(Hold *hold, pid_t listener)
{
    _cleanup_(fd_closep) int pidfd = listener > 1 ? (int)syscall(SYS_pidfd_open, listener, 0) : -1;

    if (!hold->program || pidfd < 0 || !is_keeper(listener)) {
        log_error("hvsock-keeper does not answer");
        return false;
    }
    log_error("hvsock-keeper (process %d) does not answer; it is ended, and everything is made anew", (int)listener);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    return poll(&ended, 1, END_OF_HUNG_MS) == 1;
}

/* ---- opening ---- */

/* How often it has had the processor, or as good as that; one that is stopped or that hangs in a call gets it no more. 0: not known. */
static uint64_t turns_of(pid_t pid)
{
    static const char name[] = "ctxt_switches:";
    char path[64], line[256];
    uint64_t turns = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file)) {
        const char *found = strstr(line, name);
        if (found)
            turns += strtoull(found + sizeof(name) - 1, NULL, 10);
    }
    fclose(file);
    return turns;
}

/* A machine may be slow, and what it holds is worth more than our time. */
static int hello_wait(Hold *hold, pid_t listener)
{
    uint64_t last_us = hold_now_us() + HELLO_BUSY_TIMEOUT_MS * 1000u, turns = turns_of(listener);

    for (;;) {
        int r = hello_receive(hold, hold_now_us() + HELLO_TIMEOUT_MS * 1000u);
        uint64_t before = turns;
        if (r != -ETIMEDOUT || hold_now_us() > last_us || !is_keeper(listener) || (turns = turns_of(listener)) == before)
            return r;
    }
}

/* 0; 1: it is another than before. *ret_lives: one may be there, and may do still what it was asked for. */
static int open_there(Hold *hold, const struct sockaddr_un *address, bool *ret_lives)
{
    pid_t listener = 0;
    int r = connect_to(hold, address, &listener);

    *ret_lives = r < 0 && r != -ECONNREFUSED;
    if (r == 0)
        r = hello_send(hold);
    if (r == 0)
        r = hello_wait(hold, listener);
    if (r == -ETIMEDOUT)
        *ret_lives = !end_hung(hold, listener);
    if (r < 0)
        hold->fd = fd_close(hold->fd);
    return r;
}

static void tell_cannot_start(const Hold *hold, int error)
{
    if (hold->retry_us <= RETRY_FIRST_US)
        log_error("%s cannot be started: %s; it is a part of hvsockd, see hvsock-keeper(8)", hold->program, strerror(-error));
}

int hold_spawn(Hold *hold)
{
    if (hold->passed_fd < 0)
        return 0;
    int r = spawn(hold, hold->passed_fd);
    hold->passed_fd = fd_close(hold->passed_fd);
    if (r < 0)
        tell_cannot_start(hold, r);
    return r;
}

void hold_started(Hold *hold)
{
    if (hold_spawn(hold) < 0)
        hold_drop(hold);
}

/* Its socket, and our end of it; whoever runs it finds there what we have said meanwhile. */
static int start_new(Hold *hold, const struct sockaddr_un *address)
{
    pid_t listener;

    fd_close(hold->passed_fd);
    hold->passed_fd = listen_at(address);
    if (hold->passed_fd < 0)
        return hold->passed_fd;
    int r = access(hold->program, X_OK) < 0 ? -errno : 0;
    if (r < 0) {
        tell_cannot_start(hold, r);
        hold->passed_fd = fd_close(hold->passed_fd);
        unlink(address->sun_path);
        return r;
    }
    r = connect_to(hold, address, &listener);
    if (r == 0)
        r = hello_send(hold);
    if (r < 0) /* nobody is to find us there, and least of all we ourselves */
        hold->passed_fd = fd_close(hold->passed_fd);
    return r;
}

/* 0: one that was there, with all that it holds; 1: one that is new. */
static int open_any(Hold *hold)
{
    struct sockaddr_un address;
    bool lives;
    _cleanup_(fd_closep) int folder_fd = open(hold->runtime_path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (folder_fd < 0)
        return -errno;
    keeper_address(hold, folder_fd, &address);
    int r = open_there(hold, &address, &lives);
    if (lives)
        begun_forget_before(hold);
    if (r >= 0 || r == -EPERM || !hold->program)
        return r;
    hold->has_instance = false;
    r = start_new(hold, &address);
    if (r == 0 && (r = hello_receive(hold, 0)) == -ETIMEDOUT)
        r = 1; /* its name comes later */
    if (r < 0)
        hold->fd = fd_close(hold->fd);
    return r;
}

static void wait_longer(Hold *hold, uint64_t max_us)
{
    uint64_t retry_us = hold->retry_us == 0 ? RETRY_FIRST_US : hold->retry_us * 2;

    hold->retry_us = retry_us > max_us ? max_us : retry_us;
}

static void look_later(Hold *hold, int error)
{
    if (hold->program && error == -ENOENT)
        hold->retry_us = RETRY_FAILING_US;
    else
        wait_longer(hold, RETRY_MAX_US);
    hold_start_looking(hold, hold->retry_us);
}

/* One that ends before it has said anything will do so again: each is waited for a little longer. */
static int on_timer(sd_event_source *source, uint64_t time_us, void *userdata)
{
    Hold *hold = userdata;

    hold->timer = sd_event_source_disable_unref(hold->timer);
    if (hold->fd >= 0)
        return 0;
    int r = open_any(hold);
    if (r == 0 && !hold->lost) {
        log_info("hvsock-keeper is there again, and has kept all");
    } else if (!hold->lost) {
        hold->lost = true;
        hold->observer.on_lost(hold->observer.userdata);
    }
    begun_forget_before(hold);
    if (r >= 0)
        r = hold_spawn(hold) < 0 ? -ENOEXEC : r;
    int watched = r >= 0 ? hold_watch(hold) : r;
    if (watched < 0) {
        hold->fd = fd_close(hold->fd);
        look_later(hold, watched);
        return 0;
    }
    hold->expected = r == 1 && hold->pid == 0;
    if (hold->expected)
        wait_longer(hold, RETRY_FAILING_US); /* until it has said HELLO */
    else
        hold_is_back(hold);
    return 0;
}

void hold_is_back(Hold *hold)
{
    hold->expected = hold->lost = false;
    hold->retry_us = 0;
    hold->observer.on_back(hold->observer.userdata);
}

void hold_remove_path(Hold *hold)
{
    struct sockaddr_un address;
    pid_t listener;
    _cleanup_(fd_closep) int folder_fd = open(hold->runtime_path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (!hold->program || folder_fd < 0)
        return;
    keeper_address(hold, folder_fd, &address);
    if (connect_to(hold, &address, &listener) == -ECONNREFUSED)
        unlink(address.sun_path);
    hold->fd = fd_close(hold->fd);
}

int hold_start_looking(Hold *hold, uint64_t in_us)
{
    if (hold->timer)
        return 0;
    return sd_event_add_time_relative(hold->event, &hold->timer, CLOCK_MONOTONIC, in_us, 0, on_timer, hold);
}

int hold_open(Hold *hold, bool *ret_fresh)
{
    int r = open_any(hold);
    int watched = r >= 0 ? hold_watch(hold) : r;

    if (watched < 0) {
        hold->fd = fd_close(hold->fd);
        hold->lost = true;
        look_later(hold, watched);
        return watched;
    }
    /* One that was there may hold much; who it is we have not known before. */
    *ret_fresh = r == 1 && hold->pid == 0;
    hold->retry_us = RETRY_FIRST_US;
    return 0;
}
