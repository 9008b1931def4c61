/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to and from the keeper: gathered, sent, waited for, told. Lives as long as the manager. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "daemon/hold/internal.h"
#include "daemon/log.h"

#define SEND_TIMEOUT_MS 2000 /* a keeper that takes nothing for so long is dead, or as good as that */
#define FLUSH_TIMEOUT_MS 5000
#define END_ANSWER_TIMEOUT_MS 5000 /* what it holds is let go of at once; programs have their time */
#define FRAMES_A_TURN 64
/* A frame is sent before the next item could be too much for it. */
#define GATHERED_MAX_BYTES (FRAME_MAX_BYTES - KEEPER_KEY_MAX_BYTES - KEEPER_VALUE_MAX_BYTES - 64)

uint64_t hold_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

int hold_new(sd_event *event, const HoldOptions *options, const HoldObserver *observer, Hold **ret)
{
    _cleanup_(hold_freep) Hold *hold = calloc(1, sizeof(*hold));

    if (!hold)
        return -ENOMEM;
    hold->fd = hold->child_pidfd = hold->passed_fd = -1;
    hold->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (hold->bell_fd < 0)
        return -errno;
    STAILQ_INIT(&hold->told_later);
    hold->event = sd_event_ref(event);
    hold->observer = *observer;
    hold->runtime_path = strdup(options->runtime_path);
    hold->program = options->program ? strdup(options->program) : NULL;
    hold->files_soft = options->files_soft;
    hold->data = malloc(FRAME_MAX_BYTES);
    if (!hold->runtime_path || !hold->data || (options->program && !hold->program))
        return -ENOMEM;
    *ret = TAKE_PTR(hold);
    return 0;
}

static void frame_forget(Hold *hold, HoldFrame *frame)
{
    STAILQ_REMOVE(&hold->told_later, frame, HoldFrame, queue);
    fd_list_clear(&frame->fds);
    free(frame);
}

void hold_free(Hold *hold)
{
    if (!hold)
        return;
    while (!STAILQ_EMPTY(&hold->told_later))
        frame_forget(hold, STAILQ_FIRST(&hold->told_later));
    sd_event_source_disable_unref(hold->source);
    sd_event_source_disable_unref(hold->deferred);
    sd_event_source_disable_unref(hold->ringing);
    sd_event_source_disable_unref(hold->timer);
    hold_release_child(hold);
    fd_close(hold->passed_fd);
    fd_close(hold->fd);
    fd_close(hold->bell_fd);
    begun_release(hold);
    buffer_release(&hold->gathered);
    buffer_release(&hold->frame);
    free(hold->data);
    free(hold->runtime_path);
    free(hold->program);
    free(hold->trouble);
    sd_event_unref(hold->event);
    free(hold);
}

bool hold_is_there(const Hold *hold)
{
    return hold && hold->fd >= 0;
}

pid_t hold_pid(const Hold *hold)
{
    if (!hold_is_there(hold))
        return 0;
    /* One that we have started is it before it has said so, unless those before it did not live so long. */
    return hold->pid > 0 ? hold->pid : hold->trouble ? 0 : hold_find_started(hold);
}

const char *hold_trouble(const Hold *hold)
{
    return hold ? hold->trouble : NULL;
}

bool hold_is_privileged(const Hold *hold)
{
    return hold_is_there(hold) && hold->pid > 0 && hold->uid == 0 && geteuid() != 0;
}

void hold_drop(Hold *hold)
{
    hold->source = sd_event_source_disable_unref(hold->source);
    hold->fd = fd_close(hold->fd);
    hold->pid = 0;
    begun_end(hold);
    buffer_clear(&hold->gathered);
    hold->gathered_fd_count = 0;
    hold->expected = false;
    hold_start_looking(hold, hold->retry_us);
}

/* ---- sending ---- */

static void ring(Hold *hold)
{
    sd_event_source_set_enabled(hold->ringing, SD_EVENT_OFF);
    if (eventfd_write(hold->bell_fd, 1) < 0 && errno != EAGAIN) /* EAGAIN: it rings already */
        log_warning("hvsock-keeper cannot be woken: %s", strerror(errno));
}

static int on_idle(sd_event_source *source, void *userdata)
{
    ring(userdata);
    return 0;
}

/* What its socket has is held already, whether it has read it or not: it need not take the processor from us while somebody waits
 * for our answer. */
static void ring_later(Hold *hold)
{
    int r = hold->ringing ? 0 : sd_event_add_defer(hold->event, &hold->ringing, on_idle, hold);

    if (r == 0 && hold->ringing)
        r = sd_event_source_set_priority(hold->ringing, SD_EVENT_PRIORITY_IDLE);
    if (r == 0)
        r = sd_event_source_set_enabled(hold->ringing, SD_EVENT_ONESHOT);
    if (r < 0)
        ring(hold);
}

int hold_send_quietly(Hold *hold, const Buffer *frame, const int *fds, size_t fd_count)
{
    uint64_t until_us = 0;
    int r;

    while ((r = frame_send(hold->fd, frame, fds, fd_count)) == -EAGAIN || r == -ETOOMANYREFS || r == -EINTR) {
        struct pollfd room = {.fd = hold->fd, .events = r == -EAGAIN ? POLLOUT : 0};
        if (hold_spawn(hold) < 0)
            return -ENOTCONN;
        ring(hold);
        uint64_t now_us = hold_now_us();
        if (until_us == 0)
            until_us = now_us + SEND_TIMEOUT_MS * 1000u;
        if (now_us >= until_us)
            return -ETIMEDOUT;
        /* So many descriptors of ours are on their way: the kernel does not tell when there are fewer. */
        if (poll(&room, 1, r == -EAGAIN ? (int)((until_us - now_us) / 1000) + 1 : 1) < 0 && errno != EINTR)
            return -errno;
    }
    if (r == 0)
        hold->sent++;
    return r;
}

int hold_send(Hold *hold, const Buffer *frame, const int *fds, size_t fd_count)
{
    int r = hold_send_quietly(hold, frame, fds, fd_count);

    if (r == 0)
        ring(hold);
    return r;
}

static void send_or_drop(Hold *hold, const Buffer *frame, const int *fds, size_t fd_count, bool quietly)
{
    int r = quietly ? hold_send_quietly(hold, frame, fds, fd_count) : hold_send(hold, frame, fds, fd_count);

    if (r == 0 && quietly)
        ring_later(hold);
    if (r == 0)
        return;
    if (r != -EPIPE && r != -ECONNRESET && r != -ENOTCONN)
        log_warning("hvsock-keeper takes nothing any more: %s", strerror(-r));
    hold_drop(hold);
}

static bool gather(Hold *hold, uint16_t type, size_t fd_count)
{
    if (!hold_is_there(hold))
        return false;
    if (hold->gathered.size_bytes > 0 && (hold->gathered_type != type || hold->gathered.size_bytes > GATHERED_MAX_BYTES ||
                                          hold->gathered_fd_count + fd_count > FRAME_FDS_MAX))
        hold_flush(hold);
    if (hold->fd < 0)
        return false;
    if (hold->gathered.size_bytes == 0) {
        frame_begin(&hold->gathered, KEEPER_VERSION, type, 0);
        hold->gathered_type = type;
    }
    return true;
}

static void put_item(Buffer *frame, const char *key, size_t key_size_bytes, const Buffer *value, size_t fd_count)
{
    size_t item = frame_open(frame, KEEPER_TAG_ITEM);

    frame_put(frame, KEEPER_TAG_KEY, key, key_size_bytes);
    frame_put(frame, KEEPER_TAG_VALUE, value->data, value->size_bytes);
    frame_put_number(frame, KEEPER_TAG_FDS, fd_count);
    frame_close(frame, item);
}

void hold_put(Hold *hold, const char *key, size_t key_size_bytes, const Buffer *value, const int *fds, size_t fd_count)
{
    if (key_size_bytes > KEEPER_KEY_MAX_BYTES || value->size_bytes > KEEPER_VALUE_MAX_BYTES || value->failed ||
        fd_count > KEEPER_ITEM_FDS_MAX || !gather(hold, KEEPER_PUT, fd_count))
        return;
    put_item(&hold->gathered, key, key_size_bytes, value, fd_count);
    if (fd_count > 0)
        memcpy(hold->gathered_fds + hold->gathered_fd_count, fds, fd_count * sizeof(*fds));
    hold->gathered_fd_count += fd_count;
}

void hold_delete(Hold *hold, const char *key, size_t key_size_bytes)
{
    if (key_size_bytes <= KEEPER_KEY_MAX_BYTES && gather(hold, KEEPER_DELETE, 0))
        frame_put(&hold->gathered, KEEPER_TAG_KEY, key, key_size_bytes);
}

void hold_flush(Hold *hold)
{
    if (!hold_is_there(hold) || hold->gathered.size_bytes == 0)
        return;
    if (frame_end(&hold->gathered) < 0) {
        log_error("out of memory: hvsock-keeper does not know all");
        hold->gathered.failed = false;
    } else {
        send_or_drop(hold, &hold->gathered, hold->gathered_fds, hold->gathered_fd_count, hold->gathered_type == KEEPER_PUT);
    }
    buffer_clear(&hold->gathered);
    hold->gathered_fd_count = 0;
}

void hold_flush_wait(Hold *hold)
{
    Frame frame;

    hold_flush(hold);
    /* An empty request: what was sent before it has been done when it is answered. */
    if (hold->fd >= 0 && hold_call(hold, KEEPER_DELETE, NULL, NULL, 0, FLUSH_TIMEOUT_MS, &frame, NULL) == -ETIMEDOUT)
        log_warning("hvsock-keeper does not answer; addresses that it has may be found in use");
}

/* ---- receiving ---- */

int hold_receive(Hold *hold, uint64_t until_us, Frame *ret, FdList *ret_fds)
{
    size_t size_bytes;
    bool cut;

    for (;;) {
        if (hold->fd < 0)
            return -ENOTCONN;
        int r = frame_receive_cut(hold->fd, hold->data, &size_bytes, ret_fds, &cut);
        if (r == 0) {
            r = frame_read(hold->data, size_bytes, ret);
            if (r == 0 && ret->type == KEEPER_HELLO)
                hold_read_hello(hold, ret);
            /* A program has started whether we have its pidfd or not. */
            if (r == 0)
                return cut && ret->type != KEEPER_STARTED ? -EMFILE : 0;
            fd_list_clear(ret_fds);
        }
        if (r != FRAME_AGAIN) {
            if (r < 0 && r != -ECONNRESET)
                log_error("hvsock-keeper says what is no frame of ours: %s", strerror(-r));
            hold_drop(hold);
            return -ENOTCONN;
        }
        struct pollfd ready = {.fd = hold->fd, .events = POLLIN};
        uint64_t now_us = hold_now_us();
        if (now_us >= until_us)
            return -ETIMEDOUT;
        if (poll(&ready, 1, (int)((until_us - now_us) / 1000) + 1) < 0 && errno != EINTR)
            return -errno;
    }
}

typedef struct Told {
    const char *key;
    size_t key_size_bytes;
    uint64_t pid, number, error;
    char *text; /* owned */
} Told;

static int told_read(const Frame *frame, Told *told)
{
    FrameFields fields = frame->fields;
    FrameField field;
    int r = 0;

    while (r == 0 && frame_next(&fields, &field))
        switch (field.tag) {
        case KEEPER_TAG_KEY:
            told->key = field.data;
            told->key_size_bytes = field.size_bytes;
            break;
        case KEEPER_TAG_PID:
            r = frame_field_number(&field, &told->pid);
            break;
        case KEEPER_TAG_NUMBER:
            r = frame_field_number(&field, &told->number);
            break;
        case KEEPER_TAG_ERROR:
            r = frame_field_number(&field, &told->error);
            break;
        case KEEPER_TAG_TEXT:
            free(told->text);
            told->text = NULL;
            r = frame_field_text(&field, &told->text);
            break;
        default: /* of a newer one */
            break;
        }
    return r;
}

/* START alone is refused with that, where the keeper is older and the program has something that it does not know. */
static bool is_start_refused(const Told *told)
{
    return told->error == EPROTO && told->key && told->key_size_bytes > 0 && told->key[0] == KEEPER_KEY_PROGRAM;
}

static void hold_tell(Hold *hold, const Frame *frame, FdList *fds)
{
    const HoldObserver *observer = &hold->observer;
    Told told = {0};

    if (told_read(frame, &told) < 0) {
        log_error("hvsock-keeper says what cannot be read (%u)", (unsigned)frame->type);
    } else if ((frame->type == KEEPER_STARTED && told.key) || (frame->type == KEEPER_REFUSED && is_start_refused(&told))) {
        if (observer->on_started)
            observer->on_started(told.key, told.key_size_bytes, (pid_t)told.pid, fds->count > 0 ? fds->fds[0] : -1,
                                 (int)told.error, told.text ? told.text : "", observer->userdata);
    } else if (frame->type == KEEPER_EXITED && told.key) {
        if (observer->on_exited)
            observer->on_exited(told.key, told.key_size_bytes, (pid_t)told.pid, (int)told.number, observer->userdata);
    } else if (frame->type == KEEPER_REFUSED) {
        log_warning("hvsock-keeper refuses %.*s: %s%s%s", (int)told.key_size_bytes, told.key ? told.key : "",
                    told.text ? told.text : "", told.text ? ": " : "", strerror((int)told.error));
    }
    /* DONE that nobody waits for any more, and what a newer one tells. */
    free(told.text);
    fd_list_clear(fds);
}

static void tell_deferred(Hold *hold)
{
    HoldFrame *later;
    Frame frame;

    while ((later = STAILQ_FIRST(&hold->told_later))) {
        FdList fds = later->fds;
        STAILQ_REMOVE_HEAD(&hold->told_later, queue);
        if (frame_read(later->data, later->size_bytes, &frame) == 0)
            hold_tell(hold, &frame, &fds);
        else
            fd_list_clear(&fds);
        free(later);
    }
}

/* One that was started has said who it is. */
static void look_whether_back(Hold *hold)
{
    if (hold->expected && hold->pid > 0)
        hold_is_back(hold);
}

static int on_deferred(sd_event_source *source, void *userdata)
{
    Hold *hold = userdata;

    tell_deferred(hold);
    look_whether_back(hold);
    return 0;
}

static int defer(Hold *hold)
{
    int r = hold->deferred ? 0 : sd_event_add_defer(hold->event, &hold->deferred, on_deferred, hold);

    return r < 0 ? r : sd_event_source_set_enabled(hold->deferred, SD_EVENT_ONESHOT);
}

void hold_tell_later(Hold *hold, size_t size_bytes, FdList *fds)
{
    HoldFrame *later = malloc(sizeof(*later) + size_bytes);
    int r = later ? defer(hold) : -ENOMEM;

    if (r < 0) {
        free(later);
        fd_list_clear(fds);
        if (r != -ESTALE) /* the loop has ended, and so have we */
            log_error("something that hvsock-keeper told is lost: %s", strerror(-r));
        return;
    }
    later->fds = *fds;
    *fds = (FdList){0};
    later->size_bytes = size_bytes;
    memcpy(later->data, hold->data, size_bytes);
    STAILQ_INSERT_TAIL(&hold->told_later, later, queue);
}

static int hold_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Hold *hold = userdata;
    Frame frame;
    FdList fds = {0};

    /* In the order in which it was told. */
    tell_deferred(hold);
    for (int i = 0; i < FRAMES_A_TURN && hold->fd == fd; i++) {
        if (hold_receive(hold, 0, &frame, &fds) < 0)
            break;
        hold_tell(hold, &frame, &fds);
    }
    look_whether_back(hold);
    return 0;
}

int hold_watch(Hold *hold)
{
    sd_event_source_disable_unref(hold->source);
    return sd_event_add_io(hold->event, &hold->source, hold->fd, EPOLLIN, hold_on_io, hold);
}

/* ---- asking ---- */

static int refusal(const Frame *frame)
{
    Told told = {0};
    int r = told_read(frame, &told);

    if (r == 0)
        log_debug("hvsock-keeper refuses: %s: %s", told.text ? told.text : "?", strerror((int)told.error));
    free(told.text);
    return r < 0 ? r : -EREMOTEIO;
}

int hold_call(Hold *hold, KeeperType type, const Buffer *fields, const int *fds, size_t fd_count, int timeout_ms, Frame *ret_frame,
              FdList *ret_fds)
{
    uint64_t until_us = hold_now_us() + (uint64_t)timeout_ms * 1000u;
    FdList received = {0};

    if (hold->fd < 0)
        return -ENOTCONN;
    hold_started(hold);
    hold_flush(hold);
    if (++hold->request == 0)
        hold->request = 1;
    frame_begin(&hold->frame, KEEPER_VERSION, (uint16_t)type, hold->request);
    if (fields)
        buffer_append(&hold->frame, fields->data, fields->size_bytes);
    int r = frame_end(&hold->frame);
    if (r == 0 && hold->fd < 0)
        r = -ENOTCONN;
    if (r == 0)
        r = hold_send(hold, &hold->frame, fds, fd_count);
    while (r == 0 && (r = hold_receive(hold, until_us, ret_frame, &received)) == 0) {
        if (ret_frame->request == hold->request && ret_frame->type >= KEEPER_DONE)
            break;
        hold_tell_later(hold, (size_t)(ret_frame->fields.data - hold->data) + ret_frame->fields.size_bytes, &received);
    }
    if (r == -EPIPE || r == -ECONNRESET)
        hold_drop(hold);
    /* It has said so before it answered; nothing more may come that the loop would be told of. */
    if (hold->expected && hold->pid > 0)
        defer(hold);
    if (r == 0 && ret_frame->type == KEEPER_REFUSED)
        r = refusal(ret_frame);
    if (r == 0 && ret_fds)
        *ret_fds = received;
    else
        fd_list_clear(&received);
    return r;
}

/* ---- programs ---- */

/* What does not fit into the frame of START goes before it. */
static int give(Hold *hold, const int *fds, size_t fd_count)
{
    _cleanup_(buffer_release) Buffer frame = {0};

    frame_begin(&frame, KEEPER_VERSION, KEEPER_GIVE, 0);
    int r = frame_end(&frame);
    for (size_t i = 0, some; i < fd_count && r == 0; i += some) {
        some = fd_count - i > FRAME_FDS_MAX ? FRAME_FDS_MAX : fd_count - i;
        r = hold_send(hold, &frame, fds + i, some);
    }
    return r;
}

int hold_start(Hold *hold, const char *key, size_t key_size_bytes, const Buffer *value, const Buffer *program, const int *fds,
               size_t fd_count, uint64_t *ret_frame)
{
    size_t given = fd_count > FRAME_FDS_MAX ? fd_count - FRAME_FDS_MAX : 0;

    if (!hold_is_there(hold))
        return -ENOTCONN;
    hold_flush(hold);
    frame_begin(&hold->frame, KEEPER_VERSION, KEEPER_START, 0);
    frame_put(&hold->frame, KEEPER_TAG_KEY, key, key_size_bytes);
    frame_put(&hold->frame, KEEPER_TAG_VALUE, value->data, value->size_bytes);
    frame_put(&hold->frame, KEEPER_TAG_PROGRAM, program->data, program->size_bytes);
    if (given > 0)
        frame_put_number(&hold->frame, KEEPER_TAG_NUMBER, given);
    int r = value->failed || program->failed ? -ENOMEM : frame_end(&hold->frame);
    if (r == 0 && hold->fd < 0)
        r = -ENOTCONN;
    if (r == 0 && given > 0)
        r = give(hold, fds, given);
    if (r == 0)
        r = hold_send(hold, &hold->frame, fds + given, fd_count - given);
    if (r == -EPIPE || r == -ECONNRESET || r == -ETIMEDOUT) {
        hold_drop(hold);
        r = -ENOTCONN;
    }
    *ret_frame = hold->sent;
    return r;
}

static int tell_keeper(Hold *hold, KeeperType type, const char *key, size_t key_size_bytes, uint64_t number)
{
    if (!hold_is_there(hold))
        return -ENOTCONN;
    hold_flush(hold);
    frame_begin(&hold->frame, KEEPER_VERSION, (uint16_t)type, 0);
    frame_put(&hold->frame, KEEPER_TAG_KEY, key, key_size_bytes);
    if (type == KEEPER_SIGNAL)
        frame_put_number(&hold->frame, KEEPER_TAG_NUMBER, number);
    int r = frame_end(&hold->frame);
    if (r < 0)
        return r;
    if (hold->fd < 0)
        return -ENOTCONN;
    send_or_drop(hold, &hold->frame, NULL, 0, false);
    return hold->fd < 0 ? -ENOTCONN : 0;
}

int hold_stop(Hold *hold, const char *key, size_t key_size_bytes)
{
    return tell_keeper(hold, KEEPER_STOP, key, key_size_bytes, 0);
}

int hold_signal(Hold *hold, const char *key, size_t key_size_bytes, int signal)
{
    return tell_keeper(hold, KEEPER_SIGNAL, key, key_size_bytes, (uint64_t)signal);
}

/* ---- the end ---- */

int hold_end(Hold *hold, int timeout_ms)
{
    uint64_t until_us = hold_now_us() + (uint64_t)timeout_ms * 1000u;
    FdList fds = {0};
    Frame frame;

    int r = hold_call(hold, KEEPER_END, NULL, NULL, 0, END_ANSWER_TIMEOUT_MS, &frame, NULL);
    while (r == 0)
        if ((r = hold_receive(hold, until_us, &frame, &fds)) == 0)
            fd_list_clear(&fds);
    /* Nobody is looked for any more; one that could not run has left its path. */
    hold->timer = sd_event_source_disable_unref(hold->timer);
    if (!hold_is_there(hold))
        hold_remove_path(hold);
    return r == -ENOTCONN ? 0 : r;
}
