/* SPDX-License-Identifier: Apache-2.0 */
/* Who binds, changes, lets go and looks: we ourselves, or hvsock-keeper where it is root and we are not. Keeps nothing. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/bind/bind.h"
#include "daemon/manager/kept.h"
#include "daemon/place/holders.h"
#include "daemon/place/result.h"

#define LOW_PORTS_END 1024 /* CAP_NET_BIND_SERVICE */

/* There should be a keeper that may, and it is not there now: it will come. */
static bool keeper_is_awaited(const Manager *manager)
{
    return manager->keep && !manager->keeper_program && !hold_is_there(manager->hold) && geteuid() != 0;
}

/* Ports are ours to bind, but for the low ones, and those that somebody has whom we may not see. */
static bool needs_keeper(const PlaceRequest *request)
{
    return request->path || request->port < LOW_PORTS_END;
}

/* What we may not do, or cannot look at, is no reason yet. */
static void wait_for_keeper(const Manager *manager, const PlaceRequest *requests, PlaceResult *results, size_t count)
{
    for (size_t i = 0; keeper_is_awaited(manager) && i < count; i++)
        if (results[i].state != PLACE_LISTENING && needs_keeper(&requests[i])) {
            place_result_release(&results[i]);
            result_set(&results[i], PLACE_WAITING, ENOTCONN, "hvsock-keeper, which is to bind it, does not run");
        }
}

static bool keeper_knows_better(const PlaceResult *result)
{
    return result->state != PLACE_LISTENING && result->error == EADDRINUSE && result->holder_count == 0;
}

static void bind_by_two(Manager *manager, const PlaceRequest *requests, PlaceResult *results, size_t count)
{
    for (size_t i = 0, next; i < count; i = next) {
        bool keeper = needs_keeper(&requests[i]);
        for (next = i + 1; next < count && needs_keeper(&requests[next]) == keeper;)
            next++;
        if (keeper)
            hold_bind_many(manager->hold, requests + i, results + i, next - i);
        else
            place_bind_many(requests + i, results + i, next - i);
        for (size_t k = i; k < next && !keeper; k++)
            if (keeper_knows_better(&results[k])) {
                place_result_release(&results[k]);
                hold_bind_many(manager->hold, &requests[k], &results[k], 1);
            }
    }
}

static void bind_many_places(const PlaceRequest *requests, PlaceResult *results, size_t count, void *userdata)
{
    Manager *manager = userdata;

    if (hold_is_privileged(manager->hold)) {
        bind_by_two(manager, requests, results, count);
    } else {
        place_bind_many(requests, results, count);
        wait_for_keeper(manager, requests, results, count);
    }
}

static void change_place(const PlaceRequest *request, int fd, PlaceResult *result, void *userdata)
{
    Manager *manager = userdata;

    if (request->path && hold_is_privileged(manager->hold)) {
        hold_change(manager->hold, request, fd, result);
    } else {
        place_change(request, fd, result);
        wait_for_keeper(manager, request, result, 1);
    }
}

BindHands manager_hands(Manager *manager)
{
    return (BindHands){.bind_many = bind_many_places, .change = change_place, .userdata = manager};
}

void manager_release_places(Manager *manager, const PlaceHeld *held_consume, size_t count)
{
    if (hold_is_privileged(manager->hold))
        hold_release_many(manager->hold, held_consume, count);
    else
        place_release_many(held_consume, count);
}

void manager_release_place(Manager *manager, int fd_consume, const char *path, uint64_t device, uint64_t inode)
{
    manager_release_places(manager, &(PlaceHeld){fd_consume, path, device, inode}, 1);
}

bool manager_place_is_gone(Manager *manager, const char *path, uint64_t device, uint64_t inode)
{
    if (hold_is_privileged(manager->hold) && access(path, F_OK) < 0 && errno == EACCES)
        return hold_is_gone(manager->hold, path, device, inode);
    return place_is_gone(path, device, inode);
}

int manager_watch_place(Manager *manager, int inotify_fd, const char *folder)
{
    int watch = place_watch(inotify_fd, folder);

    if (watch == -EACCES && hold_is_privileged(manager->hold))
        watch = hold_watch_folder(manager->hold, inotify_fd, folder);
    return watch;
}

/* ---- who holds ---- */

static int find_holders(const uint64_t *inodes, size_t inode_count, size_t max, pid_t keeper, pid_t **ret_pids, size_t *ret_count)
{
    int r = holders_find(inodes, inode_count, max + 1, ret_pids, ret_count);

    if (r < 0)
        return r;
    for (size_t i = 0; keeper > 0 && i < *ret_count; i++)
        if ((*ret_pids)[i] == keeper) {
            (*ret_count)--;
            memmove(*ret_pids + i, *ret_pids + i + 1, (*ret_count - i) * sizeof(**ret_pids));
            break;
        }
    if (*ret_count > max)
        *ret_count = max;
    if (*ret_count == 0) {
        free(*ret_pids);
        *ret_pids = NULL;
    }
    return 0;
}

int manager_find_holders(Manager *manager, const uint64_t *inodes, size_t inode_count, size_t max, pid_t **ret_pids, size_t *ret_count)
{
    if (hold_is_privileged(manager->hold) &&
        hold_find_holders(manager->hold, inodes, inode_count, max, ret_pids, ret_count) == 0)
        return 0;
    return find_holders(inodes, inode_count, max, hold_pid(manager->hold), ret_pids, ret_count);
}

int manager_find_holders_of_each(Manager *manager, const uint64_t *inodes, size_t count, pid_t *ret_pids)
{
    if (hold_is_privileged(manager->hold) && hold_find_holders_of_each(manager->hold, inodes, count, ret_pids) == 0)
        return 0;
    return holders_of_each(inodes, count, hold_pid(manager->hold), ret_pids);
}
