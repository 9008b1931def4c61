/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program; the spawner lives as long as the keeper. clone(2), close_range(2), cgroups(7).
 *
 * The child shares our table of descriptors until it says CLOSE_RANGE_UNSHARE, which copies what stands below the number
 * given and nothing above. So that this is little, what a program is given is put into slots that were kept free for it.
 *
 * Why not CLONE_VFORK: that waits for ever, and a program's file or folder may be on a file system that never answers (a dead
 * server, a user's own FUSE). CLONE_CHILD_CLEARTID tells of the same moment, and can be waited for with an end. Who is given
 * up is killed: it is in the kernel, and will not run another instruction in our memory. */

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/keeper/child.h"
#include "daemon/keeper/spawn.h"
#include "schema/base/fd.h"

#define STACK_BYTES (64u * 1024)
#define LISTEN_FDS_FIRST 3
#define CLONE_FLAGS (CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_CHILD_CLEARTID)
#define EXEC_TIMEOUT_MS 3000
#define KILLED_TIMEOUT_MS 100

/* The kernel writes 0 into it when the child shares our memory no more; so it is there as long as the child. */
struct SpawnWord {
    uint32_t shares;
    SpawnWord *next;
};

static bool score_is_lowered(void)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;

    return file_read(AT_FDCWD, "/proc/self/oom_score_adj", 64, &text, &size) == 0 && text[0] == '-';
}

int spawner_open(Spawner *spawner, const struct rlimit *files)
{
    *spawner = (Spawner){.null_fd = -1, .score_is_lowered = score_is_lowered(), .files = *files};
    for (size_t i = 0; i < SPAWN_SLOTS; i++)
        spawner->slots[i] = -1;
    /* Above every number that a program may get, or one dup2 would close what another needs. */
    _cleanup_(fd_closep) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    spawner->null_fd = fcntl(fd, F_DUPFD_CLOEXEC, LISTEN_FDS_FIRST + SPAWN_SLOTS);
    if (spawner->null_fd < 0)
        return -errno;
    for (size_t i = 0; i < SPAWN_SLOTS; i++) {
        spawner->slots[i] = fcntl(spawner->null_fd, F_DUPFD_CLOEXEC, LISTEN_FDS_FIRST + SPAWN_SLOTS);
        if (spawner->slots[i] < 0)
            return -errno;
    }
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    spawner->stack = stack;
    return 0;
}

void spawner_close(Spawner *spawner)
{
    if (!spawner->stack) /* it was not opened */
        return;
    for (size_t i = 0; i < SPAWN_SLOTS; i++)
        spawner->slots[i] = fd_close(spawner->slots[i]);
    spawner->null_fd = fd_close(spawner->null_fd);
    munmap(spawner->stack, STACK_BYTES);
    for (SpawnWord *word = spawner->stuck, *next; word; word = next) {
        next = word->next;
        free(word);
    }
    spawner->stuck = NULL;
    spawner->stack = NULL;
}

#ifdef __x86_64__
/* clone3(2) into a cgroup: libc has no function for it, and moving there afterwards waits for all processors, 10 ms. The
 * child comes back on a stack that nothing returns on: it calls child_main, which does not. -errno. */
static long clone_into(Child *child, const struct clone_args *arguments)
{
    long result;
    register void *userdata __asm__("r12") = child;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r12, %%rdi\n\t"
                     "call *%[function]\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(arguments), "S"(sizeof(*arguments)), "r"(userdata),
                       [function] "b"(child_main)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#endif

/* -errno. */
static pid_t start_child(Spawner *spawner, Child *child, SpawnWord *word, int cgroup_fd, int *ret_pidfd)
{
#ifdef __x86_64__
    if (cgroup_fd >= 0) {
        const struct clone_args arguments = {
            .flags = CLONE_FLAGS | CLONE_INTO_CGROUP,
            .pidfd = (uintptr_t)ret_pidfd,
            .child_tid = (uintptr_t)&word->shares,
            .exit_signal = SIGCHLD,
            .stack = (uintptr_t)spawner->stack,
            .stack_size = STACK_BYTES,
            .cgroup = (uint64_t)cgroup_fd,
        };
        long pid = clone_into(child, &arguments);
        if (pid > 0)
            return (pid_t)pid;
    }
#endif
    child->cgroup_fd = cgroup_fd;
    pid_t pid = clone(child_main, spawner->stack + STACK_BYTES, CLONE_FLAGS | SIGCHLD, child, ret_pidfd, NULL, &word->shares);
    return pid < 0 ? -errno : pid;
}

/* false: it shares our memory still. */
static bool wait_for_child(SpawnWord *word, int timeout_ms)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    end.tv_sec += timeout_ms / 1000 + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    while (__atomic_load_n(&word->shares, __ATOMIC_ACQUIRE) != 0)
        if (syscall(SYS_futex, &word->shares, FUTEX_WAIT_BITSET, 1, &end, NULL, FUTEX_BITSET_MATCH_ANY) < 0 && errno == ETIMEDOUT)
            return __atomic_load_n(&word->shares, __ATOMIC_ACQUIRE) == 0;
    return true;
}

/* 0, or -errno: it has ended, or will. */
static int end_start(Spawner *spawner, const Child *child, SpawnWord *word, pid_t pid, const char **ret_what)
{
    if (wait_for_child(word, EXEC_TIMEOUT_MS)) {
        if (child->error == 0) {
            free(word);
            return 0;
        }
    } else {
        kill(pid, SIGKILL);
        if (!wait_for_child(word, KILLED_TIMEOUT_MS)) {
            word->next = spawner->stuck;
            spawner->stuck = word;
            *ret_what = child->what;
            return -ETIMEDOUT;
        }
    }
    int error = child->error != 0 ? child->error : ETIMEDOUT;
    free(word);
    waitpid(pid, NULL, 0); /* nobody else knows of it, and it has as good as ended */
    *ret_what = child->what;
    return -error;
}

/* Ours is not the program's. Not done by the child, while its score is ours too. */
static void raise_score(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0", 1) < 0)
        return; /* it has ended */
}

/* Who may not set groups can be asked for those that it has. */
static bool must_set_groups(const Spec *spec)
{
    if (geteuid() == 0)
        return spec->has_uid || spec->group_count > 0;
    for (size_t i = 0; i < spec->group_count; i++)
        if (!group_member(spec->groups[i]))
            return true;
    return false;
}

/* Where the child finds its descriptors. -errno. */
static int put_sources(Spawner *spawner, const Spec *spec, const int *fds, size_t fd_count, int *sources, int *ret_max)
{
    bool has_slots = fd_count <= SPAWN_SLOTS && spec->listen_count <= SPAWN_SLOTS;

    *ret_max = spawner->null_fd;
    for (size_t i = 0; i < fd_count; i++) {
        sources[i] = has_slots ? dup3(fds[i], spawner->slots[i], O_CLOEXEC)
                               : fcntl(fds[i], F_DUPFD_CLOEXEC, LISTEN_FDS_FIRST + (int)spec->listen_count);
        if (sources[i] < 0)
            return -errno;
        if (sources[i] > *ret_max)
            *ret_max = sources[i];
    }
    return 0;
}

static void take_sources(Spawner *spawner, int *sources, size_t fd_count)
{
    for (size_t i = 0; i < fd_count; i++) {
        if (i < SPAWN_SLOTS && sources[i] == spawner->slots[i])
            dup3(spawner->null_fd, sources[i], O_CLOEXEC);
        else
            fd_close(sources[i]);
    }
}

int spawner_start(Spawner *spawner, const Spec *spec, const int *fds, size_t fd_count, int cgroup_fd, pid_t *ret_pid, int *ret_pidfd,
                  const char **ret_what)
{
    int few[FRAME_FDS_MAX], pidfd = -1;
    _cleanup_(freep) int *many = fd_count > ELEMENTS_OF(few) ? reallocarray(NULL, fd_count, sizeof(*many)) : NULL;
    int *sources = many ? many : few;
    Child child = {
        .spec = spec,
        .sources = sources,
        .null_fd = spawner->null_fd,
        .cgroup_fd = -1,
        .keeper_pid = getpid(),
        .sets_groups = must_set_groups(spec),
        .files = spawner->files,
    };

    SpawnWord *word = malloc(sizeof(*word));
    *ret_what = "memory";
    if (!word || (fd_count > ELEMENTS_OF(few) && !many)) {
        free(word);
        return -ENOMEM;
    }
    *word = (SpawnWord){.shares = 1};
    *ret_what = "descriptors";
    for (size_t i = 0; i < fd_count; i++)
        sources[i] = -1;
    int r = put_sources(spawner, spec, fds, fd_count, sources, &child.source_max);
    pid_t pid = -1;
    if (r == 0) {
        *ret_what = "clone";
        pid = start_child(spawner, &child, word, cgroup_fd, &pidfd);
        r = pid < 0 ? pid : 0;
    }
    if (r == 0)
        r = end_start(spawner, &child, word, pid, ret_what);
    else
        free(word);
    take_sources(spawner, sources, fd_count);
    if (r < 0) {
        fd_close(pidfd);
        return r;
    }
    if (spawner->score_is_lowered)
        raise_score(pid);
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
