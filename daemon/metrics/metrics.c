/* SPDX-License-Identifier: Apache-2.0 */
/* The counters' file and the slots in it. The whole of it is mapped at once, and its disk space taken a chunk of slots at a
 * time, so that a full disk is found out then, and not as SIGBUS when something is counted. One a daemon. */

#include <bsd/sys/tree.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/metrics/exposition.h"
#include "daemon/metrics/metrics.h"
#include "schema/base/fd.h"

#define MAGIC "hvsockd counters"
#define VERSION 1
#define NAME_SIZE_BYTES 72
#define CHUNK 128 /* slots whose space is taken together */

typedef struct Slot {
    char name[NAME_SIZE_BYTES]; /* empty: free. It is written last, and taken away first */
    ServiceMetrics counters;
} Slot;

typedef struct Header {
    char magic[16];
    uint32_t version;
    uint32_t slot_size_bytes;
    uint32_t slots_max;
    uint32_t slots_ready; /* their space is taken */
    GlobalMetrics global;
    Slot others;
} Header;

typedef struct File {
    Header header;
    Slot slots[METRICS_SLOTS_MAX];
} File;

/* Where a name's slot is. */
typedef struct Place {
    RB_ENTRY(Place) by_name;
    Slot *slot;
} Place;

RB_HEAD(Places, Place);

struct Metrics {
    File *file;
    int fd; /* -1: it is memory */
    struct Places places;
    uint32_t first_free; /* no slot before it is free */
};

/* In seconds; as metrics' users know them from elsewhere. */
static const struct {
    uint64_t bound_ns;
    const char *text;
} spawn_bounds[] = {
    {250000, "0.00025"},   {500000, "0.0005"},    {1000000, "0.001"},     {2500000, "0.0025"},
    {5000000, "0.005"},    {10000000, "0.01"},    {25000000, "0.025"},    {50000000, "0.05"},
    {100000000, "0.1"},    {250000000, "0.25"},   {500000000, "0.5"},     {1000000000, "1"},
    {2500000000, "2.5"},   {5000000000, "5"},     {10000000000, "10"},    {30000000000, "30"},
};
_Static_assert(ELEMENTS_OF(spawn_bounds) == METRICS_SPAWN_BOUNDS, "a counter for each bound");
_Static_assert(REFUSALS <= METRICS_REFUSALS_MAX, "a counter for each reason");
_Static_assert(sizeof(ServiceMetrics) == 24 * sizeof(uint64_t) && sizeof(GlobalMetrics) == 48 * sizeof(uint64_t),
               "another layout is another VERSION");

static const char *const refusals[REFUSALS] = {
    [REFUSAL_NONE] = NULL,
    [REFUSAL_DENIED] = "denied",
    [REFUSAL_NOT_ALLOWED] = "not_allowed",
    [REFUSAL_WRONG_USER] = "wrong_user",
    [REFUSAL_RATE] = "rate",
    [REFUSAL_MAX_CONNECTIONS] = "max_connections",
    [REFUSAL_MAX_CONNECTIONS_PER_PEER] = "max_connections_per_peer",
    [REFUSAL_UNKNOWN] = "unknown",
    [REFUSAL_NOT_SERVED] = "not_served",
    [REFUSAL_START_LIMIT] = "start_limit",
    [REFUSAL_FAILED] = "failed",
};

static int place_compare(const Place *a, const Place *b)
{
    return strcmp(a->slot->name, b->slot->name);
}

RB_GENERATE_INTERNAL(Places, Place, by_name, place_compare, _unused_ static)

/* ---- slots ---- */

static Place *place_find(Metrics *metrics, const char *name)
{
    Place *place = RB_ROOT(&metrics->places);

    while (place) {
        int order = strcmp(name, place->slot->name);
        if (order == 0)
            break;
        place = order < 0 ? RB_LEFT(place, by_name) : RB_RIGHT(place, by_name);
    }
    return place;
}

static bool place_add(Metrics *metrics, Slot *slot)
{
    Place *place = calloc(1, sizeof(*place));

    if (!place)
        return false;
    place->slot = slot;
    if (!RB_INSERT(Places, &metrics->places, place))
        return true;
    free(place);
    return false;
}

/* Its space is taken, or was already. */
static bool slot_is_ready(Metrics *metrics, uint32_t index)
{
    Header *header = &metrics->file->header;
    uint32_t count = index / CHUNK * CHUNK + CHUNK;

    if (index < header->slots_ready)
        return true;
    if (metrics->fd >= 0 && posix_fallocate(metrics->fd, 0, (off_t)(offsetof(File, slots) + count * sizeof(Slot))) != 0)
        return false;
    header->slots_ready = count;
    return true;
}

static Slot *slot_take(Metrics *metrics, const char *name)
{
    uint32_t index = metrics->first_free;
    size_t size_bytes = strlen(name) + 1;

    while (index < METRICS_SLOTS_MAX && slot_is_ready(metrics, index) && metrics->file->slots[index].name[0])
        index++;
    metrics->first_free = index;
    if (size_bytes > NAME_SIZE_BYTES || index == METRICS_SLOTS_MAX || !slot_is_ready(metrics, index))
        return NULL;
    Slot *slot = &metrics->file->slots[index];
    memset(slot, 0, sizeof(*slot));
    memcpy(slot->name, name, size_bytes);
    if (place_add(metrics, slot))
        return slot;
    slot->name[0] = '\0';
    return NULL;
}

/* Sums do not shrink because a service goes. */
static void slot_give_back(Metrics *metrics, Slot *slot)
{
    uint64_t *sums = (uint64_t *)&metrics->file->header.others.counters;
    const uint64_t *counters = (const uint64_t *)&slot->counters;
    uint32_t index = (uint32_t)(slot - metrics->file->slots);

    slot->name[0] = '\0';
    for (size_t i = 0; i < sizeof(slot->counters) / sizeof(*counters); i++)
        sums[i] += counters[i];
    if (index < metrics->first_free)
        metrics->first_free = index;
}

static void place_remove(Metrics *metrics, Place *place)
{
    RB_REMOVE(Places, &metrics->places, place);
    slot_give_back(metrics, place->slot);
    free(place);
}

ServiceMetrics *metrics_service(Metrics *metrics, const char *name)
{
    Place *place = place_find(metrics, name);
    Slot *slot = place ? place->slot : slot_take(metrics, name);

    return slot ? &slot->counters : &metrics->file->header.others.counters;
}

GlobalMetrics *metrics_global(Metrics *metrics)
{
    return &metrics->file->header.global;
}

void metrics_add_spawn(Metrics *metrics, uint64_t duration_ns)
{
    GlobalMetrics *global = &metrics->file->header.global;

    global->spawn_count++;
    global->spawn_sum_ns += duration_ns;
    for (size_t i = 0; i < ELEMENTS_OF(spawn_bounds); i++)
        if (duration_ns <= spawn_bounds[i].bound_ns) {
            global->spawn[i]++;
            return;
        }
}

void metrics_forget(Metrics *metrics, const char *name)
{
    Place *place = place_find(metrics, name);

    if (place)
        place_remove(metrics, place);
}

void metrics_keep(Metrics *metrics, bool (*is_there)(const char *name, void *userdata), void *userdata)
{
    Place *place, *next;

    for (place = RB_MIN(Places, &metrics->places); place; place = next) {
        next = RB_NEXT(Places, &metrics->places, place);
        if (!is_there(place->slot->name, userdata))
            place_remove(metrics, place);
    }
}

/* ---- the file ---- */

static void header_init(Header *header)
{
    *header = (Header){.version = VERSION, .slot_size_bytes = sizeof(Slot), .slots_max = METRICS_SLOTS_MAX};
    memcpy(header->magic, MAGIC, sizeof(header->magic));
    strcpy(header->others.name, METRICS_OTHERS);
}

static bool header_is_ours(const Header *header)
{
    return memcmp(header->magic, MAGIC, sizeof(header->magic)) == 0 && header->version == VERSION &&
           header->slot_size_bytes == sizeof(Slot) && header->slots_max == METRICS_SLOTS_MAX &&
           header->slots_ready <= METRICS_SLOTS_MAX;
}

/* It is written by nobody but us, and all the same: a service's name, or nothing. */
static bool slot_is_sound(const Slot *slot)
{
    size_t size_bytes = strnlen(slot->name, sizeof(slot->name));

    return size_bytes < sizeof(slot->name) &&
           strspn(slot->name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == size_bytes;
}

static void read_slots(Metrics *metrics)
{
    File *file = metrics->file;

    for (uint32_t i = 0; i < file->header.slots_ready; i++) {
        Slot *slot = &file->slots[i];
        if (slot->name[0] && (!slot_is_sound(slot) || !place_add(metrics, slot)))
            slot->name[0] = '\0';
    }
}

static void *map(int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    void *file = mmap(NULL, sizeof(File), PROT_READ | PROT_WRITE, flags, fd, 0);

    return file == MAP_FAILED ? NULL : file;
}

int metrics_new(Metrics **ret)
{
    Metrics *metrics = calloc(1, sizeof(*metrics));

    if (!metrics)
        return -ENOMEM;
    RB_INIT(&metrics->places);
    metrics->fd = -1;
    metrics->file = map(-1);
    if (!metrics->file) {
        free(metrics);
        return -ENOMEM;
    }
    header_init(&metrics->file->header);
    *ret = metrics;
    return 0;
}

void metrics_free(Metrics *metrics)
{
    Place *place;

    if (!metrics)
        return;
    while ((place = RB_ROOT(&metrics->places))) {
        RB_REMOVE(Places, &metrics->places, place);
        free(place);
    }
    munmap(metrics->file, sizeof(File));
    fd_close(metrics->fd);
    free(metrics);
}

/* A file of ours, whose space as far as it is used is there; or a new one. -errno. */
static int file_open(const char *path, int *ret_fd, bool *ret_new)
{
    _cleanup_(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    struct stat status;
    Header header;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink != 1)
        return -EPERM;
    *ret_new = status.st_size != (off_t)sizeof(File) || pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
               !header_is_ours(&header);
    /* What was in it is nothing; what is behind the end reads as nothing. */
    if (*ret_new && (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)sizeof(File)) < 0))
        return -errno;
    size_t slots = *ret_new ? 0 : header.slots_ready;
    int r = -posix_fallocate(fd, 0, (off_t)(offsetof(File, slots) + slots * sizeof(Slot)));
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

static int tell_trouble(const char *path, const char *why, char **ret_trouble)
{
    return asprintf(ret_trouble, "%s: %s; counters begin at zero when hvsockd starts", path, why) < 0 ? -ENOMEM : 0;
}

int metrics_open(Metrics *metrics, const char *path, char **ret_trouble)
{
    _cleanup_(fd_closep) int fd = -1;
    bool new = false;

    *ret_trouble = NULL;
    int r = file_open(path, &fd, &new);
    if (r < 0)
        return tell_trouble(path, r == -EPERM ? "it is not a plain file of hvsockd's own user" : strerror(-r), ret_trouble);
    File *file = map(fd);
    if (!file)
        return tell_trouble(path, strerror(errno), ret_trouble);
    munmap(metrics->file, sizeof(File));
    metrics->file = file;
    metrics->fd = TAKE_FD(fd);
    metrics->first_free = 0;
    if (new)
        header_init(&file->header);
    read_slots(metrics);
    return 0;
}

/* ---- telling ---- */

static const struct {
    const char *name;
    size_t offset;
    const char *help;
} families[] = {
    {"hvsock_accepted_total", offsetof(ServiceMetrics, accepted),
     "Connections that were accepted and passed the service's rules."},
    {"hvsock_acquired_total", offsetof(ServiceMetrics, leases),
     "Leases that were made: processes that took listeners, or that serve."},
    {"hvsock_started_total", offsetof(ServiceMetrics, started), "Programs that were started."},
    {"hvsock_start_failed_total", offsetof(ServiceMetrics, start_failed), "Programs that could not be started."},
};

static void render_counter(size_t family, const Slot *slot, Buffer *text)
{
    uint64_t value;

    memcpy(&value, (const char *)&slot->counters + families[family].offset, sizeof(value));
    exposition_sample(text, families[family].name, (ExpositionLabel){"service", slot->name}, (ExpositionLabel){0}, value);
}

static void render_refused(const Slot *slot, Buffer *text)
{
    const ExpositionLabel service = {"service", slot->name};

    for (size_t i = 1; i < REFUSALS; i++)
        if (slot->counters.refused[i] > 0)
            exposition_sample(text, "hvsock_refused_total", service, (ExpositionLabel){"reason", refusals[i]},
                              slot->counters.refused[i]);
}

static void render_spawns(const GlobalMetrics *global, Buffer *text)
{
    const ExpositionLabel none = {0};
    uint64_t sum = 0;

    exposition_family(text, "hvsock_spawn_seconds", "histogram",
                      "How long it took from a connection to the start of its program.");
    for (size_t i = 0; i < ELEMENTS_OF(spawn_bounds); i++) {
        sum += global->spawn[i];
        exposition_sample(text, "hvsock_spawn_seconds_bucket", (ExpositionLabel){"le", spawn_bounds[i].text}, none, sum);
    }
    /* Killed between two additions, one is one behind the other. */
    uint64_t count = global->spawn_count > sum ? global->spawn_count : sum;
    exposition_sample(text, "hvsock_spawn_seconds_bucket", (ExpositionLabel){"le", "+Inf"}, none, count);
    exposition_seconds(text, "hvsock_spawn_seconds_sum", global->spawn_sum_ns);
    exposition_sample(text, "hvsock_spawn_seconds_count", none, none, count);
}

static bool slot_is_used(const Slot *slot)
{
    const uint64_t *counters = (const uint64_t *)&slot->counters;

    for (size_t i = 0; i < sizeof(slot->counters) / sizeof(*counters); i++)
        if (counters[i] > 0)
            return true;
    return false;
}

void metrics_render(Metrics *metrics, Buffer *text)
{
    const Header *header = &metrics->file->header;
    const GlobalMetrics *global = &header->global;
    bool others = slot_is_used(&header->others);
    Place *place;

    for (size_t i = 0; i < ELEMENTS_OF(families); i++) {
        exposition_family(text, families[i].name, "counter", families[i].help);
        RB_FOREACH(place, Places, &metrics->places)
            render_counter(i, place->slot, text);
        if (others)
            render_counter(i, &header->others, text);
    }
    exposition_family(text, "hvsock_refused_total", "counter", "Connections that were closed at once, by why.");
    RB_FOREACH(place, Places, &metrics->places)
        render_refused(place->slot, text);
    if (others)
        render_refused(&header->others, text);
    render_spawns(global, text);
    exposition_single(text, "hvsock_starts_total", "counter", global->starts, "Starts of hvsockd since the host's boot.");
    exposition_single(text, "hvsock_keeper_starts_total", "counter", global->keeper_starts,
                      "Keepers that were given what hvsockd holds, since the host's boot.");
    exposition_single(text, "hvsock_commits_total", "counter", global->commits, "Commits to registry.db.");
    exposition_single(text, "hvsock_commits_failed_total", "counter", global->commits_failed,
                      "Commits to registry.db that failed.");
    exposition_single(text, "hvsock_events_total", "counter", global->events, "Events that watchers could read.");
    exposition_single(text, "hvsock_events_missed_total", "counter", global->events_missed,
                      "Events that a watcher was too slow for, summed over all watchers.");
    exposition_single(text, "hvsock_log_entries_total", "counter", global->log_entries, "Entries of the log.");
    exposition_single(text, "hvsock_log_entries_lost_total", "counter", global->log_entries_lost,
                      "Entries of the log that could not be written.");
}
