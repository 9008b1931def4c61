/* SPDX-License-Identifier: Apache-2.0 */
/* The loop; it lives as long as the daemon. */

#include <errno.h>
#include <sys/epoll.h>

#include "daemon/api/poll.h"
#include "schema/base/fd.h"

#define POLL_EVENTS_MAX 128
#define POLL_ROUNDS_MAX 16

struct Poll {
    int fd;
    sd_event *event;
    sd_event_source *in_event;  /* until poll_loop: we are a source of sd_event's */
    PollSource sd_event_source; /* never called: told apart by its address */
    struct epoll_event told[POLL_EVENTS_MAX];
    int told_count;
    int told_at; /* of the turn that goes on */
};

/* Serves everybody who was told of. */
static PollOutcome poll_serve(Poll *poll, int count)
{
    PollOutcome outcome = POLL_QUIET;

    poll->told_count = count;
    for (poll->told_at = 0; poll->told_at < poll->told_count;) {
        const struct epoll_event *told = &poll->told[poll->told_at++];
        PollSource *source = told->data.ptr;
        if (!source)
            continue;
        PollOutcome one = source == &poll->sd_event_source ? POLL_STIRRED : source->on_events(source, told->events);
        outcome = one > outcome ? one : outcome;
    }
    poll->told_count = poll->told_at = 0;
    return outcome;
}

static int poll_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Poll *poll = userdata;
    int count = epoll_wait(poll->fd, poll->told, POLL_EVENTS_MAX, 0);

    if (count < 0 && errno != EINTR)
        return -errno;
    poll_serve(poll, count < 0 ? 0 : count);
    return 0;
}

int poll_new(sd_event *event, Poll **ret)
{
    _cleanup_(poll_freep) Poll *poll = calloc(1, sizeof(*poll));

    if (!poll)
        return -ENOMEM;
    poll->event = sd_event_ref(event);
    poll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll->fd < 0)
        return -errno;
    int r = sd_event_add_io(event, &poll->in_event, poll->fd, EPOLLIN, poll_on_io, poll);
    if (r < 0)
        return r;
    r = sd_event_source_set_exit_on_failure(poll->in_event, true);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(poll);
    return 0;
}

void poll_free(Poll *poll)
{
    if (!poll)
        return;
    sd_event_source_disable_unref(poll->in_event);
    fd_close(poll->fd);
    sd_event_unref(poll->event);
    free(poll);
}

int poll_add(Poll *poll, PollSource *source, int fd, uint32_t events, PollOutcome (*on_events)(PollSource *, uint32_t))
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    if (epoll_ctl(poll->fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    *source = (PollSource){.poll = poll, .fd = fd, .events = events, .on_events = on_events};
    return 0;
}

int poll_set_events(PollSource *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    if (source->events == events)
        return 0;
    if (epoll_ctl(source->poll->fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
        return -errno;
    source->events = events;
    return 0;
}

void poll_remove(PollSource *source)
{
    Poll *poll = source->poll;

    if (!poll)
        return;
    epoll_ctl(poll->fd, EPOLL_CTL_DEL, source->fd, NULL);
    for (int i = poll->told_at; i < poll->told_count; i++)
        if (poll->told[i].data.ptr == source)
            poll->told[i].data.ptr = NULL;
    source->poll = NULL;
}

/* Clients first, then one thing of sd_event's, and so on: neither holds the other up. */
int poll_loop(Poll *poll)
{
    sd_event *event = poll->event;
    bool stirred = true;

    /* From within sd_event to around it, which saves a wait a turn. */
    poll->in_event = sd_event_source_disable_unref(poll->in_event);
    int event_fd = sd_event_get_fd(event);
    if (event_fd < 0)
        return event_fd;
    int added = poll_add(poll, &poll->sd_event_source, event_fd, EPOLLIN, NULL);
    if (added < 0)
        return added;

    while (sd_event_get_state(event) != SD_EVENT_FINISHED) {
        /* 0: it is armed, with nothing to be done now; its descriptor tells of whatever comes. */
        int due = stirred ? sd_event_prepare(event) : 0;
        if (due > 0)
            due = sd_event_dispatch(event) < 0 ? -EIO : 1;
        if (due < 0)
            return due;
        if (sd_event_get_state(event) == SD_EVENT_FINISHED)
            break;

        int count = epoll_wait(poll->fd, poll->told, POLL_EVENTS_MAX, due > 0 ? 0 : -1);
        if (count < 0 && errno != EINTR)
            return -errno;
        PollOutcome outcome = poll_serve(poll, count < 0 ? 0 : count);
        /* What is gathered is done when it is much or old, so this has an end; and sd_event waits for nobody long. */
        for (int rounds = 0; outcome == POLL_GATHERING && rounds < POLL_ROUNDS_MAX; rounds++) {
            count = epoll_wait(poll->fd, poll->told, POLL_EVENTS_MAX, 0);
            if (count <= 0 || (count == 1 && poll->told[0].data.ptr == &poll->sd_event_source))
                break;
            outcome = poll_serve(poll, count);
        }
        stirred = due > 0 || outcome != POLL_QUIET;
        if (due > 0 || !stirred)
            continue;
        /* It is armed, and has to look at its descriptors before it can be prepared anew. */
        int r = sd_event_wait(event, 0);
        if (r > 0)
            r = sd_event_dispatch(event);
        if (r < 0)
            return r;
    }
    int code = 0;
    int r = sd_event_get_exit_code(poll->event, &code);
    return r < 0 ? r : code;
}
