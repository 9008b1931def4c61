/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl diff: what files say against what the daemon has; both with every default filled in. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/changes.h"
#include "ctl/ctl.h"
#include "ctl/files.h"
#include "schema/base/text.h"
#include "schema/codec/record.h"
#include "schema/model/service.h"

typedef struct Difference {
    const char *kind; /* add, change, remove */
    char *name;
    char *text; /* `port 1 -> 2` */
    json_t *fields;
} Difference;

/* One kind of record: what the files have, by name, and what came of comparing it. */
typedef struct Comparison {
    const RecordType *type;
    const char *object; /* service, machine */
    void **records;
    size_t count;
    bool *seen;    /* the daemon has the record of this index */
    bool removals; /* what the daemon's files had and they have no more is a difference */
    bool secrets;  /* the daemon would show them to us */
    Difference *differences;
    size_t difference_count;
} Comparison;

static void comparison_release(Comparison *comparison)
{
    for (size_t i = 0; i < comparison->difference_count; i++) {
        free(comparison->differences[i].name);
        free(comparison->differences[i].text);
        json_decref(comparison->differences[i].fields);
    }
    free(comparison->differences);
    free(comparison->records);
    free(comparison->seen);
}

static void comparisons_release(Comparison (*comparisons)[2])
{
    comparison_release(&(*comparisons)[0]);
    comparison_release(&(*comparisons)[1]);
}

/* Both types begin with their name. */
static const char *record_name(const void *record)
{
    return *(char *const *)record;
}
_Static_assert(offsetof(ServiceContext, name) == 0 && offsetof(MachineContext, name) == 0, "the name comes first");

static int record_compare(const void *a, const void *b)
{
    return strcmp(record_name(*(void *const *)a), record_name(*(void *const *)b));
}

static int difference_compare(const void *a, const void *b)
{
    return strcmp(((const Difference *)a)->name, ((const Difference *)b)->name);
}

/* text, fields: taken over. */
static int comparison_add(Comparison *comparison, const char *kind, const char *name, char *text, json_t *fields)
{
    Difference *differences =
        reallocarray(comparison->differences, comparison->difference_count + 1, sizeof(*differences));
    char *copy = strdup(name);

    if (differences)
        comparison->differences = differences;
    if (!differences || !copy) {
        free(copy);
        free(text);
        json_decref(fields);
        return -ENOMEM;
    }
    differences[comparison->difference_count++] =
        (Difference){.kind = kind, .name = copy, .text = text, .fields = fields};
    return 0;
}

static int record_to_json(const RecordType *type, const void *record, json_t **ret)
{
    Buffer buffer = {0};
    _cleanup_(freep) char *text = NULL;

    record_write_json(type, record, RECORD_WRITE_ALL, &buffer);
    int r = buffer_take(&buffer, &text, NULL);
    if (r < 0)
        return r;
    *ret = json_loads(text, 0, NULL);
    return *ret ? 0 : -ENOMEM;
}

/* Our record as the daemon would complete it. Whether peers are implied, and which port autoPort is, only the daemon
 * knows: both are taken from what it has. */
static int comparison_complete(const Comparison *comparison, const void *record, const json_t *theirs, json_t **ret)
{
    ServiceContext *completed = NULL;

    if (comparison->type != &record_type_ServiceContext)
        return record_to_json(comparison->type, record, ret);
    const char *mode = json_string_value(json_object_get(json_object_get(theirs, "handout"), "mode"));
    uint32_t port = (uint32_t)json_integer_value(json_object_get(theirs, "port"));
    bool has_port = json_is_true(json_object_get(theirs, "autoPort"));
    int r = service_complete(record, has_port ? &port : NULL,
                             text_equal(mode, words_handout_mode[HANDOUT_CONNECTIONS - 1]), &completed);
    if (r < 0)
        return r;
    r = record_to_json(comparison->type, completed, ret);
    service_context_free(completed);
    return r;
}

/* What only administrators are shown cannot be missed by others. */
static void comparison_hide_secrets(json_t *ours, const json_t *theirs)
{
    json_t *activate = json_object_get(ours, "activate");

    if (!json_object_get(json_object_get(theirs, "activate"), "environment"))
        json_object_del(activate, "environment");
}

/* What a service of this port would have if nothing else were said of it. */
static int defaults_of(const json_t *context, json_t **ret)
{
    char name[] = "x";
    const json_t *port = json_object_get(context, "port");
    const ServiceContext bare = {.name = name,
                                 .port = {.value = (uint32_t)json_integer_value(port), .set = json_is_integer(port)}};
    ServiceContext *completed = NULL;

    int r = service_complete(&bare, NULL, false, &completed);
    if (r < 0)
        return r;
    r = record_to_json(&record_type_ServiceContext, completed, ret);
    service_context_free(completed);
    return r;
}

/* Another port is another GUID and another address: what only follows from it is not told, as with apply and reload. */
static int comparison_drop_followers(json_t *ours, json_t *theirs)
{
    static const char *const followers[] = {"guid", "listen"};
    json_t *our_defaults = NULL, *their_defaults = NULL;

    if (json_equal(json_object_get(ours, "port"), json_object_get(theirs, "port")))
        return 0;
    int r = defaults_of(ours, &our_defaults);
    if (r >= 0)
        r = defaults_of(theirs, &their_defaults);
    for (size_t i = 0; i < ELEMENTS_OF(followers) && r >= 0; i++) {
        const char *key = followers[i];
        if (json_equal(json_object_get(ours, key), json_object_get(our_defaults, key)) &&
            json_equal(json_object_get(theirs, key), json_object_get(their_defaults, key))) {
            json_object_del(ours, key);
            json_object_del(theirs, key);
        }
    }
    json_decref(our_defaults);
    json_decref(their_defaults);
    return r;
}

static int comparison_compare(Comparison *comparison, const void *record, const json_t *object)
{
    json_t *theirs = json_object_get(object, "context"), *ours = NULL;
    Buffer buffer = {0};
    char *text;

    int r = comparison_complete(comparison, record, theirs, &ours);
    if (r < 0)
        return r;
    if (!comparison->secrets)
        comparison_hide_secrets(ours, theirs);
    /* enable and disable hold until the entry changes: that is no difference to the file. */
    if (json_is_true(json_object_get(json_object_get(object, "runtime"), "overridden"))) {
        json_object_del(ours, "enabled");
        json_object_del(theirs, "enabled");
    }
    if (comparison->type == &record_type_ServiceContext)
        r = comparison_drop_followers(ours, theirs);
    json_t *fields = json_array();
    if (r >= 0)
        changes_compare(theirs, ours, "", fields, &buffer);
    json_decref(ours);
    if (r < 0) {
        json_decref(fields);
        return r;
    }
    r = buffer_take(&buffer, &text, NULL);
    if (r >= 0 && text[0])
        return comparison_add(comparison, "change", record_name(record), text, fields);
    json_decref(fields);
    if (r >= 0)
        free(text);
    return r;
}

/* A RegistryVisitor. */
static int comparison_on_object(const char *json, size_t size_bytes, void *userdata)
{
    Comparison *comparison = userdata;
    json_t *object = json_loadb(json, size_bytes, 0, NULL);
    const char *name = json_string_value(json_object_get(json_object_get(object, "context"), "name"));
    const char *origin = json_string_value(json_object_get(object, "origin"));
    int r = 0;

    if (!origin)
        origin = json_string_value(json_object_get(json_object_get(object, "runtime"), "origin"));
    if (!name || !origin) {
        json_decref(object);
        return -EBADMSG;
    }
    const void *key = &name;
    void **found = comparison->count > 0 ? bsearch(&key, comparison->records, comparison->count,
                                                   sizeof(*comparison->records), record_compare)
                                         : NULL;
    if (found) {
        comparison->seen[found - comparison->records] = true;
        r = comparison_compare(comparison, *found, object);
    } else if (comparison->removals && text_starts_with(origin, "file:")) {
        r = comparison_add(comparison, "remove", name, NULL, NULL);
    }
    json_decref(object);
    return r;
}

static int comparison_prepare(Comparison *comparison, const Files *files, const RecordType *type, const char *object)
{
    *comparison = (Comparison){.type = type, .object = object, .removals = !files->named};
    comparison->records = files_records(files, type, NULL, &comparison->count);
    comparison->seen = calloc(comparison->count + 1, sizeof(*comparison->seen));
    if (!comparison->records || !comparison->seen)
        return -ENOMEM;
    if (comparison->count > 0)
        qsort(comparison->records, comparison->count, sizeof(*comparison->records), record_compare);
    return 0;
}

static int comparison_finish(Comparison *comparison)
{
    int r = 0;

    for (size_t i = 0; i < comparison->count && r >= 0; i++)
        if (!comparison->seen[i])
            r = comparison_add(comparison, "add", record_name(comparison->records[i]), NULL, NULL);
    if (comparison->difference_count > 0)
        qsort(comparison->differences, comparison->difference_count, sizeof(*comparison->differences),
              difference_compare);
    return r;
}

static int diff_write_json(const Ctl *ctl, const Comparison *comparisons, size_t count)
{
    json_t *reply = json_pack("{s:[]}", "changes"), *changes = json_object_get(reply, "changes");

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < comparisons[i].difference_count; k++) {
            const Difference *difference = &comparisons[i].differences[k];
            json_array_append_new(changes, json_pack("{s:s,s:s,s:s,s:O*}", "kind", difference->kind, "object",
                                                     comparisons[i].object, "name", difference->name, "fields",
                                                     difference->fields));
        }
    char *text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    if (!text)
        return -ENOMEM;
    output_json(&ctl->output, text, strlen(text));
    free(text);
    return 0;
}

/* Who is shown secrets: root, and the daemon's own user, whose the socket is. Other administrators see those that are
 * there. */
static bool diff_sees_secrets(const Registry *registry)
{
    struct stat status;

    return geteuid() == 0 || (stat(registry->where, &status) == 0 && status.st_uid == geteuid());
}

static int diff_compare(Ctl *ctl, const Files *files)
{
    _cleanup_(comparisons_release) Comparison comparisons[2] = {0};
    Registry *registry;
    size_t differences = 0;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = comparison_prepare(&comparisons[0], files, &record_type_MachineContext, "machine");
    if (r >= 0)
        r = comparison_prepare(&comparisons[1], files, &record_type_ServiceContext, "service");
    if (r < 0)
        return r;
    comparisons[0].secrets = comparisons[1].secrets = diff_sees_secrets(registry);
    r = registry->ops->list_machines(registry, comparison_on_object, &comparisons[0]);
    if (r == 0)
        r = registry->ops->list(registry, comparison_on_object, &comparisons[1]);
    if (r != 0)
        return ctl_refused(ctl, r, "diff");
    for (size_t i = 0; i < ELEMENTS_OF(comparisons) && r >= 0; i++) {
        r = comparison_finish(&comparisons[i]);
        differences += comparisons[i].difference_count;
        for (size_t k = 0; r >= 0 && !ctl->output.json && k < comparisons[i].difference_count; k++) {
            const Difference *difference = &comparisons[i].differences[k];
            change_print(&ctl->output, difference->kind, comparisons[i].object, difference->name, difference->text);
        }
    }
    if (r >= 0 && ctl->output.json)
        r = diff_write_json(ctl, comparisons, ELEMENTS_OF(comparisons));
    return r < 0 ? r : differences > 0 ? EXIT_NO : EXIT_DONE;
}

static int diff_run(Ctl *ctl)
{
    _cleanup_(problems_release) Problems problems = {0};
    _cleanup_(files_release) Files files = {0};

    int r = files_load(ctl, false, &problems, &files);
    if (r < 0)
        return r;
    ctl_tell_problems("diff", &problems);
    if (r == FILES_INVALID) {
        ctl_tell("diff", "mend them first", "%zu error%s in the files", problems.errors,
                 problems.errors == 1 ? "" : "s");
        return EXIT_USAGE;
    }
    r = diff_compare(ctl, &files);
    /* As diff(1): 1 is a difference, so everything else is trouble. */
    return r > EXIT_NO ? EXIT_USAGE : r;
}

const Verb verb_diff = {
    .name = "diff",
    .group = VERBS_OF_FILES,
    .synopsis = "[FILE|DIR]...",
    .help = "Compare files with what the daemon has",
    .description =
        "+ is in the files alone, - in the daemon alone, ~ in both and differs: what the daemon has -> what the files "
        "say. Every default is "
        "filled in on both sides. Without FILE it compares the daemon's own folders; only then is something that was "
        "declared, and "
        "is no more, told as -. Exits 0 where all is the same, 1 where something differs, 2 for every error.",
    .operands = COMPLETES_FILES,
    .operands_max = OPERANDS_MANY,
    .run = diff_run,
};
