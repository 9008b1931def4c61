/* SPDX-License-Identifier: Apache-2.0 */
/* What bench's servers start: says one byte to the connection that it was given, or, as `once accept`, to the first one that
 * comes on the listener that it was given as descriptor 3. Nothing else, so that what starting costs is all there is. */

#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int fd = argc > 1 ? accept(3, NULL, NULL) : STDOUT_FILENO;

    return fd >= 0 && write(fd, "x", 1) == 1 ? 0 : 1;
}
