/* SPDX-License-Identifier: Apache-2.0 */
/* The example of libhvsock(3): takes the listeners of a service, and says hello to the first client. */

#include <hvsock.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const char *names[] = {argc > 1 ? argv[1] : "hello", NULL};
    hvsock *client;
    hvsock_listener *listeners = NULL;
    size_t count = 0;

    int r = hvsock_open(NULL, &client);
    if (r < 0) {
        fprintf(stderr, "hello: no hvsockd: %s\n", strerror(-r));
        return 1;
    }
    r = hvsock_acquire(client, names, &listeners, &count);
    if (r != 0)
        fprintf(stderr, "hello: %s\n", r == HVSOCK_REFUSED ? hvsock_error_text(client) : strerror(-r));
    if (r == 0 && count > 0) {
        int connection = accept(listeners[0].fd, NULL, NULL);
        dprintf(connection, "hello from %s at %s\n", listeners[0].service, listeners[0].address);
        close(connection);
    }
    hvsock_listeners_free(listeners, count);
    hvsock_close(client);
    return r != 0;
}
