/* SPDX-License-Identifier: Apache-2.0 */
/* Runs in the guest of the guest, without anything else: for each argument PORT or PORT+ (the connection is kept, to be
 * killed in) asks the host's service at that port over AF_VSOCK, and prints what came. vsock(7). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/vm_sockets.h>

static void ask(const char *what)
{
    struct sockaddr_vm host = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = (unsigned)strtoul(what, NULL, 10)};
    char answer[400];
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

    /* It is two seconds, if nobody says more; a machine that is emulated twice may be slower. */
    struct timeval wait = {.tv_sec = 100};
    if (fd >= 0)
        setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &wait, sizeof(wait));
    if (fd < 0 || connect(fd, (struct sockaddr *)&host, sizeof(host)) < 0) {
        printf("%s: not connected: %s\n", what, strerror(errno));
        close(fd);
        return;
    }
    ssize_t n = write(fd, what, strlen(what));
    n = n < 0 ? n : read(fd, answer, sizeof(answer) - 1);
    if (n <= 0) {
        printf("%s: closed\n", what);
    } else {
        answer[n] = '\0';
        printf("%s: %s\n", what, answer);
    }
    if (n > 0 && strchr(what, '+'))
        pause();
    close(fd);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc; i++)
        ask(argv[i]);
    puts("asked all");
    return 0;
}
