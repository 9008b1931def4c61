/* SPDX-License-Identifier: Apache-2.0 */
/* The second example of libhvsock(3). */
#include <errno.h>
#include <hvsock.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    hvsock *client;
    hvsock_connection connection;
    int server = -1;

    int r = hvsock_open(NULL, &client);
    if (r < 0) {
        fprintf(stderr, "serve: no hvsockd: %s\n", strerror(-r));
        return 1;
    }
    r = hvsock_serve(client, argc > 1 ? argv[1] : "hello", &server);
    if (r != 0)
        fprintf(stderr, "serve: %s\n", r == HVSOCK_REFUSED ? hvsock_error_text(client) : strerror(-r));
    hvsock_close(client); /* server lives on */
    while (r == 0 || r == -EINTR) {
        r = hvsock_accept(server, &connection);
        if (r == 0) {
            dprintf(connection.fd, "hello, %s, at %s\n", connection.peer, connection.address);
            hvsock_connection_release(&connection);
        }
    }
    return r != -ECONNRESET; /* the service is gone, or the daemon */
}
