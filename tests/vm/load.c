/* SPDX-License-Identifier: Apache-2.0 */
/* Load for services: many conversations (talk.h) in a row and at once, every byte of both directions checked, halves closed in
 * random order. An asker, and what answers it in each of the ways that a service is served. Runs as long as it is told.
 *
 *   load ask [--cut] vsock:CID:PORT|PATH COUNT AT-ONCE [SEED]   prints what it did; --cut: counts ends that come too soon, instead of failing
 *   load answer TALLY                   one connection as stdin and stdout, as `accept` starts it
 *   load serve NAME TALLY               connections by Serve; goes on when hvsockd comes back
 *   load listen TALLY                   accepts on the sockets from LISTEN_FDS
 * TALLY: a file that gets a line for each conversation: good, cut or wrong. */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl/libhvsock/hvsock.h"
#include "tests/vm/talk.h"

#define AT_ONCE_MAX 512
/* Nothing moves for so long: something hangs. */
#define STUCK_MS 60000

typedef struct Load {
    Talk talks[AT_ONCE_MAX];
    struct pollfd polls[AT_ONCE_MAX + 1]; /* the last: where connections come from */
    size_t count;
    uint64_t ends[TALK_WRONG + 1], bytes, manners[TALK_MANNER_MAX];
    int tally_fd;
    bool cut_allowed;
} Load;

static const char *const end_names[] = {"going on", "good", "cut", "wrong"};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void load_add(Load *load, int fd, const TalkOpening *opening)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        die("O_NONBLOCK");
    talk_begin(&load->talks[load->count++], fd, fd, opening);
}

static void load_ended(Load *load, size_t i, TalkEnd end)
{
    Talk *talk = &load->talks[i];

    load->ends[end]++;
    load->bytes += talk->in_bytes + talk->out_bytes;
    if (talk->opening_bytes == sizeof(talk->opening))
        load->manners[talk->opening.manner % TALK_MANNER_MAX]++;
    if (end == TALK_WRONG || (end == TALK_CUT && talk->asks && !load->cut_allowed))
        fprintf(stderr, "load: %s: manner %u, seed %u: heard %llu of %u, said %llu of %u\n", end_names[end], talk->opening.manner,
            talk->opening.seed, (unsigned long long)talk->in_bytes,
            talk->asks ? talk->opening.answer_bytes : talk->opening.ask_bytes, (unsigned long long)talk->out_bytes,
            talk->asks ? talk->opening.ask_bytes : talk->opening.answer_bytes);
    if (load->tally_fd >= 0 && dprintf(load->tally_fd, "%s\n", end_names[end]) < 0)
        die("tally");
    close(talk->in_fd);
    load->talks[i] = load->talks[--load->count];
}

/* Waits for something to do and does it. source_fd: >= 0 is waited for too; answers whether it is readable. */
static bool load_turn(Load *load, int source_fd)
{
    bool full = load->count == AT_ONCE_MAX;

    for (size_t i = 0; i < load->count; i++)
        load->polls[i] = (struct pollfd){.fd = load->talks[i].in_fd, .events = talk_events(&load->talks[i])};
    load->polls[load->count] = (struct pollfd){.fd = full ? -1 : source_fd, .events = POLLIN};
    size_t polled = load->count;
    int n = poll(load->polls, polled + 1, source_fd >= 0 && polled == 0 ? -1 : STUCK_MS);
    if (n < 0 && errno != EINTR)
        die("poll");
    if (n == 0) {
        errno = ETIMEDOUT;
        for (size_t i = 0; i < load->count; i++)
            fprintf(stderr, "load: stuck: manner %u: heard %llu%s, said %llu%s\n", load->talks[i].opening.manner,
                (unsigned long long)load->talks[i].in_bytes, load->talks[i].in_closed ? " and the end" : "",
                (unsigned long long)load->talks[i].out_bytes, load->talks[i].out_closed ? " and closed" : "");
        die("nothing moves");
    }
    bool readable = load->polls[polled].revents != 0;
    /* From behind: the last takes the place of one that ends. */
    for (size_t i = polled; i-- > 0;) {
        if (!load->polls[i].revents)
            continue;
        TalkEnd end = talk_step(&load->talks[i]);
        if (end != TALK_GOES_ON)
            load_ended(load, i, end);
    }
    return readable;
}

/* Outside a guest of tests/vm a connection over AF_VSOCK leaves the machine. */
static bool in_guest(void)
{
    char line[4096];
    FILE *file = fopen("/proc/cmdline", "re");
    bool is = file && fgets(line, sizeof(line), file) && strstr(line, "test.modules=");

    if (file)
        fclose(file);
    return is;
}

static int connect_to(const char *where)
{
    unsigned cid, port;
    int fd, r;

    if (sscanf(where, "vsock:%u:%u", &cid, &port) == 2) {
        struct sockaddr_vm to = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};

        if (!in_guest()) {
            fprintf(stderr, "load: connects AF_VSOCK only in a guest of tests/vm\n");
            exit(77);
        }
        fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* It is two seconds, if nobody says more. */
        struct timeval wait = {.tv_sec = STUCK_MS / 1000};
        if (fd >= 0)
            setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &wait, sizeof(wait));
        r = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&to, sizeof(to));
    } else {
        struct sockaddr_un to = {.sun_family = AF_UNIX};

        snprintf(to.sun_path, sizeof(to.sun_path), "%s", where);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        r = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&to, sizeof(to));
    }
    if (r < 0)
        die(where);
    return fd;
}

static TalkOpening random_opening(unsigned *state)
{
    TalkOpening opening = {.seed = (uint32_t)rand_r(state), .manner = (uint32_t)rand_r(state) % 16};

    /* Most are short, some are longer than any buffer between, some say nothing. */
    unsigned longest = rand_r(state) % 50 == 0 ? 600000 : 2000;
    opening.ask_bytes = rand_r(state) % 8 ? (uint32_t)rand_r(state) % longest : 0;
    opening.answer_bytes = rand_r(state) % 8 ? (uint32_t)rand_r(state) % longest : 0;
    /* One of sixteen goes without a word, the others share. */
    opening.manner = opening.manner == 15 ? TALK_LEAVE : opening.manner % TALK_LEAVE;
    return opening;
}

static int ask(Load *load, const char *where, uint64_t count, size_t at_once, unsigned seed)
{
    uint64_t begun = 0, started_ms = now_ms();

    while (begun < count || load->count > 0) {
        while (begun < count && load->count < at_once) {
            TalkOpening opening = random_opening(&seed);
            load_add(load, connect_to(where), &opening);
            begun++;
        }
        load_turn(load, -1);
    }
    printf("%s: %llu talks, %zu at once: %llu good, %llu cut, %llu wrong; %llu together, %llu asker first, %llu answer first, %llu left; "
           "%.1f MB in %.1f s\n",
        where, (unsigned long long)count, at_once, (unsigned long long)load->ends[TALK_GOOD],
        (unsigned long long)load->ends[TALK_CUT], (unsigned long long)load->ends[TALK_WRONG],
        (unsigned long long)load->manners[TALK_TOGETHER], (unsigned long long)load->manners[TALK_ASKER_FIRST],
        (unsigned long long)load->manners[TALK_ANSWER_FIRST], (unsigned long long)load->manners[TALK_LEAVE],
        (double)load->bytes / 1e6, (double)(now_ms() - started_ms) / 1000);
    return load->ends[TALK_WRONG] || (load->ends[TALK_CUT] && !load->cut_allowed);
}

static int answer(Load *load)
{
    load_add(load, STDIN_FILENO, NULL);
    while (load->count > 0)
        load_turn(load, -1);
    return load->ends[TALK_WRONG] != 0;
}

static int listen_fds(Load *load)
{
    int fd = 3;

    if (!getenv("LISTEN_FDS") || strcmp(getenv("LISTEN_FDS"), "1") != 0)
        die("LISTEN_FDS");
    for (;;) {
        if (!load_turn(load, fd))
            continue;
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
            die("accept");
        load_add(load, connection, NULL);
    }
}

/* Serve's socket, of a daemon that may just be starting. */
static int serve_begin(const char *name, hvsock **client)
{
    int fd = -1;

    for (int tries = 0; tries < 600; tries++) {
        *client = hvsock_close(*client);
        int r = hvsock_open(NULL, client);
        if (r == 0)
            r = hvsock_serve(*client, name, &fd);
        if (r == 0) {
            puts("serving");
            return fd;
        }
        if (r == HVSOCK_REFUSED)
            fprintf(stderr, "load: %s\n", hvsock_error_text(*client));
        usleep(50000);
    }
    fprintf(stderr, "load: no Serve for a minute\n");
    exit(1);
}

static int serve(Load *load, const char *name)
{
    hvsock *client = NULL;
    int fd = serve_begin(name, &client);

    for (;;) {
        if (!load_turn(load, fd))
            continue;
        hvsock_connection connection = {.fd = -1};
        int r = hvsock_accept(fd, &connection);
        if (r == 0) {
            load_add(load, connection.fd, NULL);
            connection.fd = -1;
            hvsock_connection_release(&connection);
        } else if (r == -ECONNRESET) {
            close(fd);
            fd = serve_begin(name, &client);
        } else if (r != -EINTR && r != -EAGAIN) {
            errno = -r;
            die("hvsock_accept");
        }
    }
}

int main(int argc, char **argv)
{
    static Load load = {.tally_fd = -1};
    const char *verb = argc > 1 ? argv[1] : "";

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(verb, "ask") && argc > 2 && !strcmp(argv[2], "--cut")) {
        load.cut_allowed = true;
        argv++;
        argc--;
    }
    if (!strcmp(verb, "ask") && argc >= 5) {
        size_t at_once = strtoul(argv[4], NULL, 10);
        return ask(&load, argv[2], strtoull(argv[3], NULL, 10), at_once < AT_ONCE_MAX ? at_once : AT_ONCE_MAX,
            argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : (unsigned)now_ms());
    }
    if ((!strcmp(verb, "answer") || !strcmp(verb, "listen")) && argc == 3)
        load.tally_fd = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    else if (!strcmp(verb, "serve") && argc == 4)
        load.tally_fd = open(argv[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    else {
        fprintf(stderr, "load: ask, answer, serve or listen: see tests/vm/load.c\n");
        return 2;
    }
    if (load.tally_fd < 0)
        die(argv[argc - 1]);
    return !strcmp(verb, "answer") ? answer(&load) : !strcmp(verb, "listen") ? listen_fds(&load) : serve(&load, argv[2]);
}
