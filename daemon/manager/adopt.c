/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners that were passed to us at our start under a service's name, as by a .socket unit with FileDescriptorName=: each
 * is held against what its service is to listen on, and becomes that listener instead of one of our making. From main until
 * boot's plan has run. Who passed them has a copy of its own: their paths, owners and backlog are not ours to change.
 * sd_listen_fds(3), systemd.socket(5). */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>

#include "daemon/log.h"
#include "daemon/manager/internal.h"
#include "daemon/manager/kept.h"

struct Passed {
    int fd;        /* -1: it has become a listener, or was closed */
    char *service;
    char *machine; /* of NAME@MACHINE; or NULL */
    char *uri;     /* of the listener that it is to become; NULL: not known yet */
};

typedef union SocketName {
    struct sockaddr any;
    struct sockaddr_vm vsock;
    struct sockaddr_un path;
} SocketName;

int manager_adopt_consume(Manager *manager, const char *name, int fd)
{
    const char *at = strchr(name, '@');
    struct Passed passed = {.fd = fd};

    passed.service = strndup(name, at ? (size_t)(at - name) : strlen(name));
    passed.machine = at ? strdup(at + 1) : NULL;
    struct Passed *all = reallocarray(manager->passed, manager->passed_count + 1, sizeof(*all));
    if (all)
        manager->passed = all;
    if (!all || !passed.service || (at && !passed.machine)) {
        free(passed.service);
        free(passed.machine);
        fd_close(fd);
        return -ENOMEM;
    }
    all[manager->passed_count++] = passed;
    return 0;
}

void manager_adopt_end(Manager *manager)
{
    for (size_t i = 0; i < manager->passed_count; i++) {
        fd_close(manager->passed[i].fd);
        free(manager->passed[i].service);
        free(manager->passed[i].machine);
        free(manager->passed[i].uri);
    }
    free(manager->passed);
    manager->passed = NULL;
    manager->passed_count = 0;
}

/* ---- is it what the service wants? ---- */

static void passed_refuse(struct Passed *passed, const char *why, const char *hint)
{
    log_warning("%s: the socket that was passed at the start (descriptor %d) is closed: %s; %s", passed->service, passed->fd,
                why, hint);
    passed->fd = fd_close(passed->fd);
}

static int socket_option(int fd, int option)
{
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/* The same path, or two that lead to one file. */
static bool path_is(const char *path, const char *wanted)
{
    struct stat status, wanted_status;

    return strcmp(path, wanted) == 0 || (stat(path, &status) == 0 && stat(wanted, &wanted_status) == 0 &&
                                         status.st_dev == wanted_status.st_dev && status.st_ino == wanted_status.st_ino);
}

static bool name_is(const SocketName *name, const Listener *listener)
{
    _cleanup_(address_release) Address address = {0};
    _cleanup_(freep) char *path = NULL;
    const char *reason, *hint;

    if (address_parse(listener->uri, &address, &reason, &hint) != 0)
        return false;
    if (address.transport == &transport_vsock)
        return name->any.sa_family == AF_VSOCK && name->vsock.svm_port == address.port && name->vsock.svm_cid == address.cid;
    return address.transport->has_path && name->any.sa_family == AF_UNIX && name->path.sun_path[0] == '/' &&
           address.transport->listen_path(&address, &path) == 0 && path_is(name->path.sun_path, path);
}

static void name_format(const SocketName *name, Buffer *text)
{
    if (name->any.sa_family == AF_VSOCK && name->vsock.svm_cid == VMADDR_CID_ANY)
        buffer_printf(text, "vsock://:%u", name->vsock.svm_port);
    else if (name->any.sa_family == AF_VSOCK)
        buffer_printf(text, "vsock://%u:%u", name->vsock.svm_cid, name->vsock.svm_port);
    else if (name->any.sa_family == AF_UNIX && name->path.sun_path[0] == '/')
        buffer_printf(text, "%s", name->path.sun_path);
    else
        buffer_printf(text, "an address of family %d", name->any.sa_family);
    buffer_append_char(text, '\0');
}

/* What the socket listens on is none of the service's addresses. */
static void passed_refuse_address(struct Passed *passed, const Service *service, const SocketName *name)
{
    Buffer why = {0}, hint = {0};

    buffer_append_text(&why, "it listens on ");
    name_format(name, &why);
    for (const Listener *listener = service->listeners; listener; listener = listener->next)
        if (!passed->machine || text_equal(listener->machine, passed->machine))
            buffer_printf(&hint, "%s%s", hint.size_bytes > 0 ? " or " : "", listener->uri);
    if (hint.size_bytes > 0)
        buffer_append_text(&hint, " would be right");
    else
        buffer_printf(&hint, "the service has no address%s%s", passed->machine ? " on the machine " : "",
                      passed->machine ? passed->machine : "");
    buffer_append_char(&hint, '\0');
    passed_refuse(passed, why.failed ? "it listens elsewhere" : why.data, hint.failed ? "see its addresses" : hint.data);
    buffer_release(&why);
    buffer_release(&hint);
}

static bool passed_is_sound(struct Passed *passed, const Service *service)
{
    static const int types[] = {
        [SERVICE_STREAM] = SOCK_STREAM, [SERVICE_SEQPACKET] = SOCK_SEQPACKET, [SERVICE_DGRAM] = SOCK_DGRAM};
    int type = service_type(service->context);

    if (!service_effectively_enabled(service)) {
        passed_refuse(passed, "the service is disabled", "enable it, and restart hvsockd to have it passed again");
        return false;
    }
    if (socket_option(passed->fd, SO_TYPE) != types[type]) {
        char hint[80];
        snprintf(hint, sizeof(hint), "a socket of type %s would be right", words_service_type[type - 1]);
        passed_refuse(passed, "it is no socket, or one of another type", hint);
        return false;
    }
    if (type != SERVICE_DGRAM && socket_option(passed->fd, SO_ACCEPTCONN) != 1) {
        passed_refuse(passed, "it does not listen", "ListenStream= and Accept=no in its .socket unit would be right");
        return false;
    }
    return true;
}

static Listener *passed_find_listener(const struct Passed *passed, const Service *service, const SocketName *name)
{
    for (Listener *listener = service->listeners; listener; listener = listener->next)
        if ((!passed->machine || text_equal(listener->machine, passed->machine)) && name_is(name, listener))
            return listener;
    return NULL;
}

static bool is_same_socket(int fd, int other_fd)
{
    struct stat status, other;

    return fstat(fd, &status) == 0 && fstat(other_fd, &other) == 0 && status.st_dev == other.st_dev && status.st_ino == other.st_ino;
}

static int passed_check(Manager *manager, struct Passed *passed)
{
    SocketName name = {.any.sa_family = AF_UNSPEC};
    socklen_t size = sizeof(name) - 1; /* a path that fills it ends with a NUL all the same */
    Service *service = registry_find_service(&manager->registry, passed->service);

    if (!service) {
        passed_refuse(passed, "there is no service of this name", "FileDescriptorName= of its .socket unit is to name one");
        return 0;
    }
    if (!passed_is_sound(passed, service))
        return 0;
    if (getsockname(passed->fd, &name.any, &size) < 0)
        name.any.sa_family = AF_UNSPEC;
    Listener *listener = passed_find_listener(passed, service, &name);
    if (!listener) {
        passed_refuse_address(passed, service, &name);
        return 0;
    }
    for (const struct Passed *other = manager->passed; other < passed; other++)
        if (other->fd >= 0 && text_equal(other->service, passed->service) && text_equal(other->uri, listener->uri)) {
            passed_refuse(passed, "it was passed twice", "one .socket unit would be right");
            return 0;
        }
    passed->uri = strdup(listener->uri);
    if (!passed->uri)
        return -ENOMEM;
    if (listener->fd >= 0 && is_same_socket(listener->fd, passed->fd)) {
        listener->adopted = true;
        passed->fd = fd_close(passed->fd);
    } else if (listener->fd >= 0) {
        manager_replace_listener(manager, listener); /* the one that was passed is the one that is reached now */
    }
    return 0;
}

static bool is_passed(const Manager *manager, const Listener *listener)
{
    for (size_t i = 0; i < manager->passed_count; i++)
        if (text_equal(manager->passed[i].uri, listener->uri) &&
            text_equal(manager->passed[i].service, listener->service->context->name))
            return true;
    return false;
}

/* Passed to a hvsockd before us, and now no more: it is like any other. */
static void forget_adopted(Manager *manager)
{
    for (Service *service = registry_next_service(&manager->registry, NULL); service; service = registry_service_after(service))
        for (Listener *listener = service->listeners; listener; listener = listener->next)
            if (listener->adopted && !is_passed(manager, listener)) {
                listener->adopted = false;
                manager_keep_listener(manager, listener);
            }
}

int manager_adopt_check(Manager *manager)
{
    int r = 0;

    for (size_t i = 0; i < manager->passed_count && r == 0; i++)
        r = passed_check(manager, &manager->passed[i]);
    if (r == 0)
        forget_adopted(manager);
    return r;
}

int manager_adopt_take(Manager *manager, Listener *listener)
{
    for (size_t i = 0; i < manager->passed_count; i++) {
        struct Passed *passed = &manager->passed[i];
        if (passed->fd < 0 || !text_equal(passed->uri, listener->uri) ||
            !text_equal(passed->service, listener->service->context->name))
            continue;
        log_info("%s: %s is the socket that was passed at the start", passed->service, listener->uri);
        listener->adopted = true;
        return TAKE_FD(passed->fd);
    }
    return -1;
}
