/* SPDX-License-Identifier: Apache-2.0 */
/* Who has connected: how messages come and answers go. A peer lives until its connection ends, another says HELLO, or what
 * it sends is malformed; all that it put stays. unix(7) (SO_PEERCRED), epoll(7).
 *
 * A peer that does not read cannot block us, nor make us keep much: while so many answers wait, or a LIST goes on, nothing
 * more is read from it, and EXITED waits in its program. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon/keeper/keeper.h"

#define PEERS_MAX 16 /* those that have not said HELLO; one more, and the oldest is closed */
#define ANSWERS_MAX 64
#define LINGER_MAX 32
#define LINGER_US 1000
#define TURN_FRAMES 128 /* then others have their turn */
#define DRAINED_FRAMES_MAX 4096 /* more than a socket takes */
#define LISTED_BYTES (32u * 1024)

struct Answer {
    TAILQ_ENTRY(Answer) link;
    Buffer frame;
    FdList fds;
};

/* ---- coming and going ---- */

static bool is_allowed(const Keeper *keeper, int fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
        return false;
    return who.uid == 0 || who.uid == geteuid() || (keeper->user != (uid_t)-1 && who.uid == keeper->user);
}

static void forget_answers(Peer *peer)
{
    Answer *answer;

    while ((answer = TAILQ_FIRST(&peer->answers))) {
        TAILQ_REMOVE(&peer->answers, answer, link);
        buffer_release(&answer->frame);
        fd_list_clear(&answer->fds);
        free(answer);
    }
    peer->answer_count = 0;
    peer->is_listing = false;
}

/* Where another process has a copy too, as of a bell, epoll would go on telling of what we have only closed. epoll(7). */
static int unwatch_and_close(const Keeper *keeper, int fd)
{
    if (fd >= 0)
        epoll_ctl(keeper->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    return fd_close(fd);
}

void peer_close(Peer *peer)
{
    Keeper *keeper = peer->keeper;
    Program *program;

    if (peer->fd < 0)
        return;
    peer->fd = unwatch_and_close(keeper, peer->fd);
    peer->bell_fd = unwatch_and_close(keeper, peer->bell_fd);
    if (peer->begun)
        munmap(peer->begun, sizeof(*peer->begun));
    peer->begun = NULL;
    fd_list_clear(&peer->given);
    forget_answers(peer);
    if (keeper->client != peer)
        return;
    keeper->client = NULL;
    keeper->look_at_us = 0;
    while ((program = TAILQ_FIRST(&keeper->programs.untold))) /* LIST tells it to the next */
        program_told(keeper, program);
}

void peers_free_closed(Keeper *keeper)
{
    for (Peer *peer = TAILQ_FIRST(&keeper->peers), *next; peer; peer = next) {
        next = TAILQ_NEXT(peer, link);
        if (peer->fd >= 0)
            continue;
        TAILQ_REMOVE(&keeper->peers, peer, link);
        keeper->peer_count--;
        free(peer);
    }
}

void peer_add_consume(Keeper *keeper, int fd, bool is_client)
{
    Peer *peer = calloc(1, sizeof(*peer));

    if (!peer) {
        fd_close(fd);
        return;
    }
    *peer = (Peer){.keeper = keeper, .fd = fd, .bell_fd = -1};
    TAILQ_INIT(&peer->answers);
    TAILQ_INSERT_TAIL(&keeper->peers, peer, link);
    keeper->peer_count++;
    if (is_client)
        keeper->client = peer;
    struct epoll_event event = {.events = 0, .data.ptr = peer};
    if (epoll_ctl(keeper->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        peer_close(peer);
    else
        peer_pump(peer);
}

/* Each time that it is written to is an event, and it is never read: edge-triggered. */
void peer_set_bell_consume(Peer *peer, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = peer};

    if (epoll_ctl(peer->keeper->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        fd_close(fd);
        return;
    }
    unwatch_and_close(peer->keeper, peer->bell_fd);
    peer->bell_fd = fd;
    peer->is_drained = !peer->is_deaf; /* of one that is replaced, everything is read */
}

void peer_set_begun_consume(Peer *peer, int fd)
{
    _cleanup_(fd_closep) int own = fd;
    int seals = fcntl(own, F_GET_SEALS);
    struct stat status;

    /* One that can be made smaller could end us. */
    if (peer->begun || seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(own, &status) < 0 ||
        status.st_size < (off_t)sizeof(*peer->begun))
        return;
    uint64_t *begun = mmap(NULL, sizeof(*begun), PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    if (begun == MAP_FAILED)
        return;
    *begun = 0;
    peer->begun = begun;
}

void peer_end_begun(Peer *peer)
{
    if (peer->begun)
        __atomic_store_n(peer->begun, KEEPER_BEGUN_UNKNOWN, __ATOMIC_RELEASE);
}

/* Before anything is done for it. */
static void count_begun(Peer *peer)
{
    if (peer->begun && *peer->begun != KEEPER_BEGUN_UNKNOWN)
        __atomic_store_n(peer->begun, *peer->begun + 1, __ATOMIC_RELEASE);
}

void peers_accept(Keeper *keeper)
{
    for (int i = 0; i < PEERS_MAX; i++) {
        int fd = accept4(keeper->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno == EMFILE && keeper->spare_fd >= 0) {
            keeper->spare_fd = fd_close(keeper->spare_fd);
            fd_close(accept4(keeper->listener_fd, NULL, NULL, SOCK_CLOEXEC));
            keeper->spare_fd = fd_duplicate(keeper->spawner.null_fd);
        }
        if (fd < 0)
            return;
        if (!is_allowed(keeper, fd)) {
            fd_close(fd);
            continue;
        }
        if (keeper->peer_count > PEERS_MAX) {
            Peer *oldest = TAILQ_FIRST(&keeper->peers);
            while (oldest && (oldest->fd < 0 || oldest == keeper->client))
                oldest = TAILQ_NEXT(oldest, link);
            if (oldest)
                peer_close(oldest);
        }
        peer_add_consume(keeper, fd, false);
    }
}

/* ---- sending ---- */

/* true: it has left, or nobody reads it. false: there is no room now. */
static bool send_now(Peer *peer, const Buffer *frame, const FdList *fds)
{
    int r = peer->is_deaf ? 0 : frame_send(peer->fd, frame, fds->fds, fds->count);

    if (r == -EAGAIN)
        return false;
    if (r < 0)
        peer->is_deaf = true;
    return true;
}

static void send_or_keep(Peer *peer, FdList *fds, bool keeps)
{
    _cleanup_(fd_list_clear) FdList own = {0};
    Buffer *out = &peer->keeper->out;

    if (fds) {
        own = *fds;
        *fds = (FdList){0};
    }
    if (peer->fd < 0)
        return;
    int r = frame_end(out);
    if (r < 0) {
        keeper_note("an answer cannot be made: %s; the client is closed", strerror(-r));
        peer_close(peer);
        return;
    }
    if (peer->is_deaf || (!keeps && TAILQ_EMPTY(&peer->answers) && send_now(peer, out, &own)))
        return;
    Answer *answer = calloc(1, sizeof(*answer));
    if (answer)
        buffer_append(&answer->frame, out->data, out->size_bytes);
    if (!answer || answer->frame.failed) {
        free(answer);
        peer_close(peer);
        return;
    }
    answer->fds = own;
    own = (FdList){0};
    TAILQ_INSERT_TAIL(&peer->answers, answer, link);
    peer->answer_count++;
}

void peer_send(Peer *peer, FdList *fds)
{
    send_or_keep(peer, fds, false);
    peer->lingers_until_us = 0;
}

void peer_send_lingering(Peer *peer, FdList *fds)
{
    bool first = TAILQ_EMPTY(&peer->answers);

    send_or_keep(peer, fds, true);
    if (first)
        peer->lingers_until_us = keeper_now_us() + LINGER_US;
    else if (peer->answer_count >= LINGER_MAX)
        peer->lingers_until_us = 0;
}

/* Until nobody waits for it, or something else is to be told. */
static bool lingers(Peer *peer)
{
    const Keeper *keeper = peer->keeper;

    if (peer->lingers_until_us == 0)
        return false;
    if (TAILQ_EMPTY(&peer->answers) || keeper->is_ending || keeper->reexec_wanted || peer->is_listing ||
        (peer == keeper->client && !TAILQ_EMPTY(&keeper->programs.untold)) || keeper_now_us() >= peer->lingers_until_us)
        peer->lingers_until_us = 0;
    return peer->lingers_until_us != 0;
}

static bool send_answers(Peer *peer)
{
    Answer *answer;

    while ((answer = TAILQ_FIRST(&peer->answers))) {
        if (!send_now(peer, &answer->frame, &answer->fds))
            return false;
        TAILQ_REMOVE(&peer->answers, answer, link);
        peer->answer_count--;
        buffer_release(&answer->frame);
        fd_list_clear(&answer->fds);
        free(answer);
    }
    return true;
}

/* Those that have ended since; each is told when it has left. */
static bool send_exits(Peer *peer)
{
    Keeper *keeper = peer->keeper;
    Program *program;

    while (peer == keeper->client && (program = TAILQ_FIRST(&keeper->programs.untold))) {
        Buffer *out = &keeper->out;
        frame_begin(out, KEEPER_VERSION, KEEPER_EXITED, 0);
        frame_put(out, KEEPER_TAG_KEY, item_key(program->item), program->item->key_size_bytes);
        frame_put_number(out, KEEPER_TAG_PID, (uint64_t)program->pid);
        frame_put_number(out, KEEPER_TAG_NUMBER, (uint64_t)(unsigned)program->status);
        if (frame_end(out) < 0 || !send_now(peer, out, &(FdList){0}))
            return false;
        program_told(keeper, program);
    }
    return true;
}

static void put_item(Buffer *out, const Item *item)
{
    const Program *program = item->program;
    size_t opened = frame_open(out, KEEPER_TAG_ITEM);

    frame_put(out, KEEPER_TAG_KEY, item_key(item), item->key_size_bytes);
    frame_put(out, KEEPER_TAG_VALUE, item_value(item), item->value_size_bytes);
    frame_put_number(out, KEEPER_TAG_FDS, item->fd_count);
    if (program)
        frame_put_number(out, KEEPER_TAG_PID, (uint64_t)program->pid);
    if (program && program->has_ended)
        frame_put_number(out, KEEPER_TAG_STATUS, (uint64_t)(unsigned)program->status);
    frame_close(out, opened);
}

/* As many as a frame takes, and again, as long as there is room. Nothing that peers ask for changes the items meanwhile: of
 * the client nothing is read, and nobody else is one. What keeper_end lets go of is passed over. */
static bool send_list(Peer *peer)
{
    Keeper *keeper = peer->keeper;
    Buffer *out = &keeper->out;

    while (peer->list_next && !peer->is_deaf) {
        int fds[FRAME_FDS_MAX];
        FdList list = {.fds = fds};
        Item *item = peer->list_next;
        frame_begin(out, KEEPER_VERSION, KEEPER_LISTED, peer->list_request);
        for (; item && out->size_bytes < LISTED_BYTES && list.count + item->fd_count <= ELEMENTS_OF(fds);
             item = TAILQ_NEXT(item, link)) {
            put_item(out, item);
            for (size_t i = 0; i < item->fd_count; i++)
                fds[list.count++] = item->fds[i];
        }
        if (frame_end(out) < 0 || !send_now(peer, out, &list))
            return false;
        peer->list_next = item;
    }
    peer->is_listing = false;
    frame_begin(out, KEEPER_VERSION, KEEPER_DONE, peer->list_request);
    peer_send(peer, NULL);
    return true;
}

bool peer_is_idle(const Peer *peer)
{
    return peer->fd < 0 || (TAILQ_EMPTY(&peer->answers) && !peer->is_listing &&
                            (peer != peer->keeper->client || TAILQ_EMPTY(&peer->keeper->programs.untold)));
}

/* Its next message may be read. Who hears nothing any more waits for no answer. */
static bool peer_reads(const Peer *peer)
{
    return peer->is_deaf || (peer->answer_count < ANSWERS_MAX && !peer->is_listing && !peer->keeper->reexec_wanted);
}

void peer_pump(Peer *peer)
{
    if (peer->fd < 0)
        return;
    bool later = lingers(peer);
    if (!later && send_answers(peer) && send_exits(peer) && peer->is_listing)
        send_list(peer);
    if (peer->fd < 0)
        return;
    bool waits_for_bell = peer->bell_fd >= 0 && peer->is_drained;
    uint32_t events = (peer_reads(peer) && !waits_for_bell ? EPOLLIN : 0) | (later || peer_is_idle(peer) ? 0 : EPOLLOUT);
    if (events == peer->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(peer->keeper->epoll_fd, EPOLL_CTL_MOD, peer->fd, &event) < 0)
        peer_close(peer);
    peer->events = events;
}

/* ---- answers ---- */

Buffer *request_begin(const Request *request, KeeperType type)
{
    Buffer *out = &request->keeper->out;

    frame_begin(out, KEEPER_VERSION, (uint16_t)type, request->frame->request);
    return out;
}

void request_send(const Request *request, FdList *fds)
{
    peer_send(request->peer, fds);
}

void request_send_lingering(const Request *request, FdList *fds)
{
    peer_send_lingering(request->peer, fds);
}

void request_done(const Request *request)
{
    if (request->frame->request == 0)
        return;
    request_begin(request, KEEPER_DONE);
    peer_send(request->peer, NULL);
}

void request_refuse(const Request *request, int error, const char *text, const FrameField *key)
{
    Buffer *out = request_begin(request, KEEPER_REFUSED);

    frame_put_number(out, KEEPER_TAG_ERROR, (uint64_t)(error < 0 ? -error : error));
    frame_put_text(out, KEEPER_TAG_TEXT, text);
    if (key && key->size_bytes <= KEEPER_KEY_MAX_BYTES)
        frame_put(out, KEEPER_TAG_KEY, key->data, key->size_bytes);
    peer_send(request->peer, NULL);
}

/* ---- receiving ---- */

/* The tags of a frame that we know to be critical are the handlers' to check; any other refuses it. */
static bool is_understood(const Frame *frame)
{
    FrameFields fields = frame->fields;
    FrameField field;

    while (frame_next(&fields, &field))
        if ((field.tag & FRAME_CRITICAL) && field.tag != KEEPER_TAG_PROGRAM)
            return false;
    return true;
}

/* -EBADMSG: the peer is to be closed. */
static int dispatch(Peer *peer, const Frame *frame, FdList *fds, bool cut)
{
    const Request request = {.keeper = peer->keeper, .peer = peer, .frame = frame, .fds = fds, .cut = cut};

    if (peer != peer->keeper->client && frame->type != KEEPER_HELLO)
        return -EBADMSG;
    Handler handler = handler_find(frame->type);
    if (!handler)
        request_refuse(&request, EOPNOTSUPP, "this hvsock-keeper does not know the type of message", NULL);
    else if (!is_understood(frame))
        request_refuse(&request, EPROTO, "this hvsock-keeper does not know a critical field", NULL);
    else
        return handler(&request);
    return 0;
}

static void receive(Peer *peer, char *data, int frames_max)
{
    Keeper *keeper = peer->keeper;

    peer->is_drained = false;
    for (int i = 0; i < frames_max && peer->fd >= 0 && peer_reads(peer) && !peer->is_drained; i++) {
        _cleanup_(fd_list_clear) FdList fds = {0};
        size_t size;
        bool cut;
        Frame frame;
        int r = frame_receive_cut(peer->fd, data, &size, &fds, &cut);
        if (r == FRAME_AGAIN) {
            peer->is_drained = true;
            continue;
        }
        count_begun(peer);
        if (r == 0)
            r = frame_read(data, size, &frame);
        if (r == 0)
            r = dispatch(peer, &frame, &fds, cut);
        if (r == 0)
            continue;
        if (r < 0)
            keeper_note("%s sends what is no message of ours (%s); it is closed, all that is held stays",
                        peer == keeper->client ? "the client" : "somebody", strerror(-r));
        peer_close(peer);
    }
}

void peer_replace(Peer *peer)
{
    peer->is_deaf = true;
    forget_answers(peer);
    receive(peer, peer->keeper->drained, DRAINED_FRAMES_MAX);
    peer_close(peer);
}

void peer_on_event(Peer *peer, uint32_t events)
{
    if (peer->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        receive(peer, peer->keeper->in, TURN_FRAMES);
    peer_pump(peer);
}
