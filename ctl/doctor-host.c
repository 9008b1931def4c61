/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl doctor: what it sees of this host by itself: sockets, drivers, devices, other programs' listeners. vsock_diag
 * has no manual page: linux/vm_sockets_diag.h. */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/vm_sockets.h>
#include <linux/vm_sockets_diag.h>

#include "ctl/doctor.h"
#include "schema/base/fd.h"
#include "schema/base/text.h"

#define STATE_LISTEN 10 /* TCP_LISTEN, which all families use; netinet/tcp.h */

/* Paths that somebody listens on, with their sockets' inodes, of /proc/net/unix: `…: RefCount Protocol Flags Type St Inode Path`,
 * __SO_ACCEPTCON 0x10000. */
static json_t *served_paths(void)
{
    json_t *served = json_object();
    _cleanup_(freep) char *line = NULL;
    size_t capacity = 0;
    FILE *list = fopen("/proc/net/unix", "re");

    while (list && getline(&line, &capacity, list) >= 0) {
        unsigned flags;
        long long inode;
        int at = 0;
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %lld %n", &flags, &inode, &at) == 2 && at > 0 && flags & 0x10000) {
            line[strcspn(line, "\n")] = '\0';
            json_object_set_new(served, line + at, json_integer(inode));
        }
    }
    if (list)
        fclose(list);
    return served;
}

/* What is known to be served is left alone. The rest is asked as a client would ask: only the daemon's own paths that
 * are not its own, and sockets beside a machine's that no service is for, come here. */
PathState doctor_look_at_socket(Doctor *doctor, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;

    if (lstat(path, &status) < 0)
        return errno == ENOENT ? PATH_ABSENT : PATH_OTHER;
    if (!S_ISSOCK(status.st_mode) || strlen(path) >= sizeof(address.sun_path))
        return PATH_OTHER;
    if (!doctor->served)
        doctor->served = served_paths();
    if (json_object_get(doctor->served, path))
        return PATH_SERVED;
    strcpy(address.sun_path, path);
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return PATH_OTHER;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN || errno == EPROTOTYPE)
        return PATH_SERVED;
    return errno == ECONNREFUSED ? PATH_STALE : PATH_OTHER;
}

/* The file system's own name of a driver that is there, built in or loaded. */
bool doctor_has_transport(void)
{
    static const char *const modules[] = {"vhost_vsock", "vmw_vsock_virtio_transport", "hv_sock",
                                          "vmw_vsock_vmci_transport"};
    char path[128], line[256];
    bool found = false;

    for (size_t i = 0; i < ELEMENTS_OF(modules); i++) {
        snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
        if (access(path, F_OK) == 0)
            return true;
    }
    FILE *misc = fopen("/proc/misc", "re");
    while (misc && !found && fgets(line, sizeof(line), misc))
        found = strstr(line, " vhost-vsock\n") != NULL;
    if (misc)
        fclose(misc);
    return found;
}

/* Its ioctls ask for no right to write: who opens it for reading alone takes a CID, too. linux/drivers/vhost/vsock.c. */
int doctor_look_at_vhost(Doctor *doctor)
{
    static const char device[] = "/dev/vhost-vsock";
    struct stat status;

    if (!doctor->has_cids || stat(device, &status) < 0 || !(status.st_mode & 0006))
        return 0;
    return doctor_find(doctor, device, "chmod o-rw /dev/vhost-vsock",
                       "every user can open it (mode %04o), take any CID that is free and be that machine: rules about "
                       "machines keep nobody out who is on this host", (unsigned)(status.st_mode & 07777));
}

/* ---- listeners of others ---- */

void doctor_know_port(Doctor *doctor, uint32_t port)
{
    char key[16];

    snprintf(key, sizeof(key), "%u", (unsigned)port);
    json_object_set_new(doctor->ports, key, json_true());
}

/* One of a program that we know nothing of. */
typedef struct Foreign {
    uint64_t inode;
    uint32_t port;
    pid_t pid; /* who holds it, of those that we may look at; 0: not known */
} Foreign;

typedef struct Foreigners {
    Foreign *items;
    size_t count;
} Foreigners;

static int compare_inodes(const void *a, const void *b)
{
    const Foreign *first = a, *second = b;

    return (first->inode > second->inode) - (first->inode < second->inode);
}

static int compare_ports(const void *a, const void *b)
{
    const Foreign *first = a, *second = b;

    return (first->port > second->port) - (first->port < second->port);
}

static void foreigners_of_process(Foreigners *foreigners, pid_t pid)
{
    char path[40], target[40];
    const struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        unsigned long long inode;
        ssize_t size = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        target[size < 0 ? 0 : size] = '\0';
        if (sscanf(target, "socket:[%llu]", &inode) != 1)
            continue;
        Foreign key = {.inode = inode};
        Foreign *found = bsearch(&key, foreigners->items, foreigners->count, sizeof(key), compare_inodes);
        if (found && found->pid == 0)
            found->pid = pid;
    }
    if (folder)
        closedir(folder);
}

/* One walk over all processes, however many sockets are asked for. */
static void foreigners_find_processes(Foreigners *foreigners)
{
    const struct dirent *entry;

    qsort(foreigners->items, foreigners->count, sizeof(*foreigners->items), compare_inodes);
    DIR *processes = opendir("/proc");
    while (processes && (entry = readdir(processes))) {
        uint64_t pid;
        if (text_to_number(entry->d_name, INT32_MAX, &pid))
            foreigners_of_process(foreigners, (pid_t)pid);
    }
    if (processes)
        closedir(processes);
}

/* ` by process 12 (socat)`, or nothing. */
static void foreign_name(const Foreign *foreign, char whose[static 64])
{
    char program[32] = "", path[40];

    whose[0] = '\0';
    if (foreign->pid == 0)
        return;
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)foreign->pid);
    FILE *comm = fopen(path, "re");
    if (comm && fgets(program, sizeof(program), comm))
        program[strcspn(program, "\n")] = '\0';
    if (comm)
        fclose(comm);
    snprintf(whose, 64, " by process %d (%s)", (int)foreign->pid, program);
}

pid_t doctor_name_server(Doctor *doctor, const char *path, char whose[static 64])
{
    Foreign foreign = {.inode = (uint64_t)json_integer_value(json_object_get(doctor->served, path))};
    Foreigners foreigners = {.items = &foreign, .count = 1};

    if (foreign.inode > 0)
        foreigners_find_processes(&foreigners);
    foreign_name(&foreign, whose);
    return foreign.pid;
}

char *doctor_register(const char *whose, const char *kind, const char *number)
{
    const char *name = strchr(whose, '(');
    Buffer text = {0};
    char *mend;

    buffer_append_text(&text, "hvsockctl register ");
    name = name ? name + 1 : "";
    if (!isascii(*name) || !isalnum((unsigned char)*name)) /* what no service's name begins with */
        buffer_append_text(&text, "other");
    for (; *name && strcmp(name, ")") != 0; name++)
        buffer_append_char(&text, isascii(*name) && isalnum((unsigned char)*name) ? (char)tolower((unsigned char)*name) : '-');
    buffer_printf(&text, "-%.8s --%s %s --listen ''", number, kind, number);
    return buffer_take(&text, &mend, NULL) < 0 ? NULL : mend;
}

static int doctor_on_foreign(Doctor *doctor, const Foreign *foreign)
{
    char what[32], whose[64], number[16];

    foreign_name(foreign, whose);
    snprintf(what, sizeof(what), "vsock://:%u", (unsigned)foreign->port);
    snprintf(number, sizeof(number), "%u", (unsigned)foreign->port);
    _cleanup_(freep) char *mend = doctor_register(whose, "port", number);
    return !mend ? -ENOMEM : doctor_find(doctor, what, mend, "is listened on%s, and no service has that port", whose);
}

static int doctor_on_socket(Doctor *doctor, Foreigners *foreigners, const struct vsock_diag_msg *socket)
{
    char key[16];

    snprintf(key, sizeof(key), "%u", (unsigned)socket->vdiag_src_port);
    if (socket->vdiag_state != STATE_LISTEN || json_object_get(doctor->ports, key))
        return 0;
    doctor_know_port(doctor, socket->vdiag_src_port); /* told once, whatever CIDs it is bound to */
    Foreign *items = reallocarray(foreigners->items, foreigners->count + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    foreigners->items = items;
    items[foreigners->count++] = (Foreign){.inode = socket->vdiag_ino, .port = socket->vdiag_src_port};
    return 0;
}

static int foreigners_find(Doctor *doctor, Foreigners *foreigners)
{
    struct {
        struct nlmsghdr header;
        struct vsock_diag_req request;
    } message = {
        .header = {.nlmsg_len = sizeof(message),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_VSOCK, .vdiag_states = 1u << STATE_LISTEN},
    };
    union {
        struct nlmsghdr header; /* for the alignment */
        char bytes[32 * 1024];
    } buffer;
    _cleanup_(fd_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (fd < 0 || send(fd, &message, sizeof(message), 0) < 0)
        return 0;
    for (;;) {
        ssize_t n = recv(fd, &buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n <= 0)
            return 0;
        size_t left = (size_t)n;
        for (struct nlmsghdr *one = &buffer.header; NLMSG_OK(one, left); one = NLMSG_NEXT(one, left)) {
            if (one->nlmsg_type != SOCK_DIAG_BY_FAMILY || one->nlmsg_len < NLMSG_LENGTH(sizeof(struct vsock_diag_msg)))
                return 0; /* NLMSG_DONE, NLMSG_ERROR */
            int r = doctor_on_socket(doctor, foreigners, NLMSG_DATA(one));
            if (r != 0)
                return r;
        }
    }
}

int doctor_look_for_others(Doctor *doctor)
{
    Foreigners foreigners = {0};
    int r = foreigners_find(doctor, &foreigners);

    if (r == 0 && foreigners.count > 0) {
        foreigners_find_processes(&foreigners);
        qsort(foreigners.items, foreigners.count, sizeof(*foreigners.items), compare_ports);
    }
    for (size_t i = 0; i < foreigners.count && r == 0; i++)
        r = doctor_on_foreign(doctor, &foreigners.items[i]);
    free(foreigners.items);
    return r;
}
