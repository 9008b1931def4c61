/* SPDX-License-Identifier: Apache-2.0 */
/* AF_VSOCK listeners on the real kernel: bound and listening only, never connected. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <linux/vm_sockets.h>

#include <cmocka.h>

#include "daemon/bind/bind.h"
#include "daemon/place/holders.h"
#include "schema/base/fd.h"
#include "schema/model/records.h"

/* Tests run on one machine at the same time, and AF_VSOCK is one space: from here on, at random. */
static uint32_t random_port(void)
{
    uint32_t port = 0;

    assert_int_equal(getrandom(&port, sizeof(port), 0), sizeof(port));
    return 0x10000000u + port % 0x60000000u;
}

static void try_to_bind(uint32_t cid, uint32_t port, int type, PlaceResult *result)
{
    Address address = {.transport = &transport_vsock, .cid = cid, .has_port = true, .port = port};
    BindRequest request = {.address = &address, .type = type, .backlog = 16};

    assert_int_equal(bind_listener(&request, result), 0);
    assert_int_equal(result->state == PLACE_LISTENING, result->fd >= 0);
    assert_int_equal(result->state == PLACE_LISTENING, !result->reason);
    assert_int_equal(result->state == PLACE_LISTENING, result->error == 0);
    assert_null(result->path);
    assert_null(result->watch_path);
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &value, &size), 0);
    return value;
}

static void assert_said(const PlaceResult *result, PlaceState state, int error, const char *words)
{
    if (result->state != state || result->error != error || !result->reason || !strstr(result->reason, words))
        fail_msg("state %d, error %d: %s; wanted %d, %d, %s", (int)result->state, result->error,
                 result->reason ? result->reason : "nothing", (int)state, error, words);
}

static void need_vsock(void)
{
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        puts("this kernel has no AF_VSOCK");
        exit(77);
    }
    close(fd);
}

static void test_listens(void **state)
{
    static const int types[] = {SERVICE_STREAM, SERVICE_SEQPACKET};
    static const int kernel_types[] = {SOCK_STREAM, SOCK_SEQPACKET};

    for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
        PlaceResult result;
        struct sockaddr_vm name;
        socklen_t size = sizeof(name);
        uint32_t port = random_port();

        try_to_bind(VSOCK_CID_ANY, port, types[i], &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        assert_int_equal(option(result.fd, SO_TYPE), kernel_types[i]);
        assert_int_equal(option(result.fd, SO_ACCEPTCONN), 1);
        assert_int_equal(getsockname(result.fd, (struct sockaddr *)&name, &size), 0);
        assert_int_equal(name.svm_port, port);
        assert_int_equal(name.svm_cid, VMADDR_CID_ANY);
        assert_int_equal(fcntl(result.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(result.fd, F_GETFL) & O_NONBLOCK, 0);

        /* Another backlog on the same socket; and letting go makes the port free. */
        Address address = {.transport = &transport_vsock, .cid = VSOCK_CID_ANY, .has_port = true, .port = port};
        BindRequest request = {.address = &address, .type = types[i], .backlog = 99};
        PlaceResult change;
        assert_int_equal(bind_change(&request, result.fd, NULL, &change, NULL), 0);
        assert_int_equal(change.state, PLACE_LISTENING);
        place_result_release(&change);
        place_release(TAKE_FD(result.fd), NULL, 0, 0);
        place_result_release(&result);
        try_to_bind(VSOCK_CID_ANY, port, types[i], &result);
        assert_int_equal(result.state, PLACE_LISTENING);
        place_result_release(&result);
    }
}

/* Where the kernel has datagrams they are bound, and listen is not called; else the words say why not. */
static void test_datagrams(void **state)
{
    PlaceResult result;
    int fd = socket(AF_VSOCK, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? errno : 0;

    fd_close(fd);
    try_to_bind(VSOCK_CID_ANY, random_port(), SERVICE_DGRAM, &result);
    if (error == 0)
        assert_int_equal(result.state, PLACE_LISTENING);
    else
        assert_said(&result, error == ENODEV ? PLACE_WAITING : PLACE_FAILED, error, "dgram");
    place_result_release(&result);
}

static void test_ports(void **state)
{
    PlaceResult result;

    try_to_bind(VSOCK_CID_ANY, VMADDR_PORT_ANY, SERVICE_STREAM, &result);
    assert_said(&result, PLACE_FAILED, EINVAL, "any port");
    place_result_release(&result);

    Address nothing = {.transport = &transport_vsock, .cid = VSOCK_CID_ANY};
    assert_int_equal(bind_listener(&(BindRequest){.address = &nothing, .type = SERVICE_STREAM, .backlog = 1}, &result),
                     0);
    assert_said(&result, PLACE_FAILED, EINVAL, "no port");
    place_result_release(&result);

    /* A GUID of the template has one. */
    uint32_t port = random_port();
    Address guid = {
        .transport = &transport_vsock, .cid = VSOCK_CID_ANY, .has_guid = true, .guid = guid_from_port(port)};
    assert_int_equal(bind_listener(&(BindRequest){.address = &guid, .type = SERVICE_STREAM, .backlog = 1}, &result), 0);
    struct sockaddr_vm name;
    socklen_t size = sizeof(name);
    assert_int_equal(getsockname(result.fd, (struct sockaddr *)&name, &size), 0);
    assert_int_equal(name.svm_port, port);
    place_result_release(&result);
}

/* Ports below 1024 are for who has CAP_NET_BIND_SERVICE. In a child, as it gives its rights away. */
static void test_low_port_unprivileged(void **state)
{
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        PlaceResult result;
        Address address = {.transport = &transport_vsock, .cid = VSOCK_CID_ANY, .has_port = true};
        BindRequest request = {.address = &address, .type = SERVICE_STREAM, .backlog = 1};
        static const uint32_t low[] = {0, 1, 1023};
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(1);
        for (size_t i = 0; i < ELEMENTS_OF(low); i++) {
            address.port = low[i];
            if (bind_listener(&request, &result) < 0 || result.state != PLACE_FAILED || result.error != EACCES ||
                !strstr(result.reason, "CAP_NET_BIND_SERVICE"))
                _exit(2);
            place_result_release(&result);
        }
        address.port = random_port();
        if (bind_listener(&request, &result) < 0 || result.state != PLACE_LISTENING)
            _exit(3);
        place_result_release(&result);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_cids(void **state)
{
    static const struct {
        uint32_t cid;
        const char *words;
    } table[] = {
        {VSOCK_CID_LOCAL, "vsock_loopback"},
        {VSOCK_CID_HOST, "vhost_vsock"},
        {VSOCK_CID_HYPERVISOR, "not this host's CID"},
        {0x7ffffff0, "CID 2147483632 is not this host's CID"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(table); i++) {
        PlaceResult result;
        try_to_bind(table[i].cid, random_port(), SERVICE_STREAM, &result);
        /* With the module loaded, CID 1 or 2 is there. */
        if (i >= 2 || result.state != PLACE_LISTENING)
            assert_said(&result, PLACE_WAITING, EADDRNOTAVAIL, table[i].words);
        place_result_release(&result);
    }
}

/* The port in the hands of a child: waiting, named where vsock_diag tells the inode, and found by the inode in any
 * case. */
static void test_in_use(void **state)
{
    PlaceResult held, result;
    int ready[2], done[2];
    char byte;
    uint32_t port = random_port();

    try_to_bind(VSOCK_CID_ANY, port, SERVICE_STREAM, &held);
    assert_int_equal(held.state, PLACE_LISTENING);
    uint64_t inode = holders_inode(held.fd);
    assert_true(inode > 0);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(done[1]);
        _exit(write(ready[1], "", 1) != 1 || read(done[0], &byte, 1) < 0);
    }
    close(done[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    place_release(TAKE_FD(held.fd), NULL, 0, 0); /* the child's copy keeps the port */

    try_to_bind(VSOCK_CID_ANY, port, SERVICE_STREAM, &result);
    assert_said(&result, PLACE_WAITING, EADDRINUSE, "is held by");
    print_message("%s\n", result.reason);
    if (holders_vsock_inode(port) == 0) {
        assert_int_equal(result.holder_count, 0);
        assert_non_null(strstr(result.reason, "vsock_diag"));
    } else {
        assert_int_equal(holders_vsock_inode(port), inode);
        assert_int_equal(result.holder_count, 1);
        assert_int_equal(result.holders[0], child);
        assert_non_null(strstr(result.reason, "test-bind-vsock"));
    }
    pid_t *pids = NULL;
    size_t count = 0;
    assert_int_equal(holders_find(&inode, 1, 8, &pids, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(pids[0], child);
    free(pids);
    place_result_release(&result);

    /* Whoever was known to hold it is named again, without looking. */
    Address address = {.transport = &transport_vsock, .cid = VSOCK_CID_ANY, .has_port = true, .port = port};
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    assert_int_equal(waitpid(gone, NULL, 0), gone);
    pid_t known[] = {gone, child};
    BindRequest request = {
        .address = &address, .type = SERVICE_STREAM, .known_holders = known, .known_holder_count = 2};
    assert_int_equal(bind_listener(&request, &result), 0);
    assert_int_equal(result.holder_count, 1);
    assert_int_equal(result.holders[0], child);
    assert_said(&result, PLACE_WAITING, EADDRINUSE, "is held by process");
    place_result_release(&result);

    close(done[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
    try_to_bind(VSOCK_CID_ANY, port, SERVICE_STREAM, &result);
    assert_int_equal(result.state, PLACE_LISTENING);
    place_result_release(&result);
}

static void test_no_descriptor(void **state)
{
    struct rlimit limit, none;
    PlaceResult result;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    try_to_bind(VSOCK_CID_ANY, random_port(), SERVICE_STREAM, &result);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_said(&result, PLACE_WAITING, EMFILE, "RLIMIT_NOFILE");
    place_result_release(&result);
}

static void test_no_binder(void **state)
{
    PlaceResult result;
    Address address = {.transport = &transport_hyperv};

    assert_int_equal(bind_listener(&(BindRequest){.address = &address, .type = SERVICE_STREAM}, &result), 0);
    assert_said(&result, PLACE_FAILED, EAFNOSUPPORT, "hyperv");
    place_result_release(&result);
    address.transport = NULL;
    assert_int_equal(bind_listener(&(BindRequest){.address = &address, .type = SERVICE_STREAM}, &result), 0);
    assert_int_equal(result.state, PLACE_FAILED);
    place_result_release(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listens),       cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_ports),         cmocka_unit_test(test_low_port_unprivileged),
        cmocka_unit_test(test_cids),          cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_no_descriptor), cmocka_unit_test(test_no_binder),
    };

    need_vsock();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
