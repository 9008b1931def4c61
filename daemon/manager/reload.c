/* SPDX-License-Identifier: Apache-2.0 */
/* The declared set: files are read, compared with what was declared before, and the difference is one ChangeSet. One problem
 * anywhere, and nothing of that reload is applied. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager/internal.h"

/* One load of everything, until it is taken over or thrown away. */
typedef struct Reload {
    Manager *manager;
    Declared *declared;
    Settings *settings;
    Settings *settings_before; /* where others are in force while the files are compared */
    Problems problems;
    ChangeSet changes;
    const char **names; /* of all records of changed files, sorted: kind letter and name */
    size_t name_count;
    char *names_text;
} Reload;

static void reload_release(Reload *reload)
{
    /* Not taken over: those that were before are in force again. */
    if (reload->settings_before && manager_set_settings(reload->manager, TAKE_PTR(reload->settings_before)) < 0)
        log_error("the settings of files that were not taken over stay in force: %s", strerror(ENOMEM));
    changeset_release(&reload->changes);
    declared_free(reload->declared);
    settings_free(reload->settings);
    problems_release(&reload->problems);
    free(reload->names);
    free(reload->names_text);
}

static int reload_read(Reload *reload)
{
    Manager *manager = reload->manager;
    _cleanup_(freep) char *folder = NULL;
    _cleanup_(freep) char *settings = NULL;
    const char *private_folders[2] = {NULL, NULL};
    const char *const *folders = load_system_folders;

    if (asprintf(&settings, "%s/hvsockd.yaml", manager->config_path ? manager->config_path : "/etc/hvsockd") < 0)
        return -ENOMEM;
    if (manager->config_path) {
        if (asprintf(&folder, "%s/services.d", manager->config_path) < 0)
            return -ENOMEM;
        private_folders[0] = folder;
        folders = private_folders;
    }
    int r = manager->config_path ? load_check_folder(manager->config_path, &reload->problems) : 0;
    if (r < 0)
        return r;
    r = load_settings(settings, &reload->problems, &reload->settings);
    if (r < 0)
        return r;
    r = load_paths(folders, true, manager->declared, &reload->problems, &reload->declared);
    if (r < 0)
        return r;
    return 0;
}

/* A problem of one declared record, at its place in its file. */
_printf_(6, 7) static void reload_problem(Reload *reload, const DeclaredFile *file, const DeclaredRecord *record,
                                          const char *field, const char *hint, const char *format, ...)
{
    size_t first = reload->problems.count;
    Buffer reason = {0};
    va_list arguments;
    char *text;

    va_start(arguments, format);
    buffer_vprintf(&reason, format, arguments);
    va_end(arguments);
    if (buffer_take(&reason, &text, NULL) < 0)
        return;
    problems_add(&reload->problems, field, hint, "%s", text);
    free(text);
    load_locate(file, record, &reload->problems, first);
}

/* Services are judged by the settings that come with them. */
static int reload_try_settings(Reload *reload)
{
    Manager *manager = reload->manager;
    _cleanup_(settings_freep) Settings *before = NULL;

    /* The same again: users and groups may have come meanwhile whose names were nobody's. */
    if (record_equal(&record_type_Settings, manager->settings_given, reload->settings))
        return manager_set_settings(manager, TAKE_PTR(reload->settings));
    int r = record_copy(&record_type_Settings, manager->settings_given, (void **)&before);
    if (r == 0)
        r = manager_set_settings(manager, TAKE_PTR(reload->settings));
    if (r == 0)
        reload->settings_before = TAKE_PTR(before);
    return r;
}

/* ---- what has changed ---- */

static bool record_is_service(const DeclaredRecord *record)
{
    return record->type == &record_type_ServiceContext;
}

static const char *record_name(const DeclaredRecord *record)
{
    return *(const char *const *)record->record; /* the first field of both */
}

static int reload_put_service(Reload *reload, const DeclaredFile *file, const DeclaredRecord *record)
{
    Manager *manager = reload->manager;
    const ServiceContext *context = record->record;
    Service *old = registry_find_service(&manager->registry, context->name);
    _cleanup_(service_context_freep) ServiceContext *copy = NULL;

    if (old && old->origin->kind != STORED_FILE) {
        Buffer origin = {0};
        char since[TIME_TEXT_SIZE_BYTES];
        origin_format(old->origin, &origin);
        buffer_append_char(&origin, '\0');
        reload_problem(reload, file, record, "name", "choose another name, or unregister that one first",
                       "\"%s\" is registered already (%s, since %s)", context->name, origin.data ? origin.data : "?",
                       time_format(old->registered_at_us, since));
        buffer_release(&origin);
        return 0;
    }
    if (old && record_equal(&record_type_ServiceContext, old->context, context) && text_equal(old->origin->source, file->path)) {
        old->line = record->line;
        old->column = record->column;
        return 0;
    }
    int r = record_copy(&record_type_ServiceContext, context, (void **)&copy);
    if (r < 0)
        return r;
    Change *change = changeset_put_service(&reload->changes, TAKE_PTR(copy), STORED_FILE, file->path, 0);
    if (!change)
        return -ENOMEM;
    change->line = record->line;
    change->column = record->column;
    change->file = file;
    change->record = record;
    return 0;
}

static int reload_put_machine(Reload *reload, const DeclaredFile *file, const DeclaredRecord *record)
{
    Manager *manager = reload->manager;
    const MachineContext *context = record->record;
    Machine *old = registry_find_machine(&manager->registry, context->name);
    _cleanup_(machine_context_freep) MachineContext *copy = NULL;

    if (old && old->origin->kind != STORED_FILE) {
        reload_problem(reload, file, record, "name", "choose another name, or remove that one first",
                       "the machine \"%s\" is there already, added by uid %u", context->name, (unsigned)old->origin->uid);
        return 0;
    }
    if (old && record_equal(&record_type_MachineContext, old->context, context) && text_equal(old->origin->source, file->path))
        return 0;
    int r = record_copy(&record_type_MachineContext, context, (void **)&copy);
    if (r < 0)
        return r;
    Change *change = changeset_put_machine(&reload->changes, TAKE_PTR(copy), STORED_FILE, file->path, 0);
    if (!change)
        return -ENOMEM;
    change->line = record->line;
    change->column = record->column;
    change->file = file;
    change->record = record;
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files of the previous load that are no longer what they were: their records are declared anew, or gone. NULL where
 * the declared set came from the store: then everything that is declared is looked at. */
static bool file_is_kept(const DeclaredFile *file)
{
    return file->references > 1;
}

/* The names that changed files declare now: what a changed file no longer says may have moved to another. */
static int reload_collect_names(Reload *reload, bool all)
{
    const Declared *declared = reload->declared;
    Buffer text = {0};
    size_t count = 0;

    for (size_t i = 0; i < declared->file_count; i++) {
        const DeclaredFile *file = declared->files[i];
        for (size_t k = 0; (all || !file->unchanged) && k < file->record_count; k++) {
            const char *name = record_name(&file->records[k]);
            buffer_append_char(&text, record_is_service(&file->records[k]) ? 's' : 'm');
            buffer_append(&text, name, strlen(name) + 1);
            count++;
        }
    }
    int r = buffer_take(&text, &reload->names_text, NULL);
    if (r < 0)
        return r;
    reload->names = calloc(count + 1, sizeof(*reload->names));
    if (!reload->names)
        return -ENOMEM;
    const char *at = reload->names_text;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
        reload->names[i] = at;
    reload->name_count = count;
    qsort(reload->names, count, sizeof(*reload->names), compare_texts);
    return 0;
}

static bool reload_declares(const Reload *reload, char kind, const char *name)
{
    char text[SERVICE_NAME_MAX_BYTES + 2];
    const char *key = text;

    if (snprintf(text, sizeof(text), "%c%s", kind, name) >= (int)sizeof(text))
        return false;
    return bsearch(&key, reload->names, reload->name_count, sizeof(*reload->names), compare_texts) != NULL;
}

static int reload_remove(Reload *reload, bool service, const char *name)
{
    Registry *registry = &reload->manager->registry;

    if (reload_declares(reload, service ? 's' : 'm', name))
        return 0;
    if (service) {
        Service *old = registry_find_service(registry, name);
        return old && old->origin->kind == STORED_FILE && !changeset_remove_service(&reload->changes, old) ? -ENOMEM : 0;
    }
    Machine *old = registry_find_machine(registry, name);
    return old && old->origin->kind == STORED_FILE && !changeset_remove_machine(&reload->changes, old) ? -ENOMEM : 0;
}

static int reload_compare(Reload *reload)
{
    Manager *manager = reload->manager;
    const Declared *before = manager->declared, *now = reload->declared;
    int r = reload_collect_names(reload, !before);

    for (size_t i = 0; i < now->file_count && r == 0; i++) {
        const DeclaredFile *file = now->files[i];
        for (size_t k = 0; (!before || !file->unchanged) && k < file->record_count && r == 0; k++)
            r = record_is_service(&file->records[k]) ? reload_put_service(reload, file, &file->records[k])
                                                     : reload_put_machine(reload, file, &file->records[k]);
    }
    if (before) {
        for (size_t i = 0; i < before->file_count && r == 0; i++) {
            const DeclaredFile *file = before->files[i];
            for (size_t k = 0; !file_is_kept(file) && k < file->record_count && r == 0; k++)
                r = reload_remove(reload, record_is_service(&file->records[k]), record_name(&file->records[k]));
        }
        return r;
    }
    for (Service *service = registry_next_service(&manager->registry, NULL); service && r == 0;
         service = registry_service_after(service))
        if (service->origin->kind == STORED_FILE)
            r = reload_remove(reload, true, service->context->name);
    for (Machine *machine = registry_next_machine(&manager->registry, NULL); machine && r == 0;
         machine = registry_next_machine(&manager->registry, machine->context->name))
        if (machine->origin->kind == STORED_FILE)
            r = reload_remove(reload, false, machine->context->name);
    return r;
}

static int reload_check(Reload *reload)
{
    ChangeSet *changes = &reload->changes;
    int r = changeset_check(changes);

    if (r < 0)
        return r;
    if (r == CHANGESET_NO_PORT)
        problems_add(&reload->problems, "autoPort", "a wider autoPorts in hvsockd.yaml", "every automatic port is taken");
    for (size_t i = 0; i < changes->invalid.count; i++) {
        const Problem *problem = &changes->invalid.items[i];
        const Change *change = changes->invalid_changes[i];
        if (change->file)
            reload_problem(reload, change->file, change->record, problem->field, problem->hint, "%s", problem->reason);
        else
            problems_add(&reload->problems, problem->field, problem->hint, "%s", problem->reason);
    }
    for (size_t i = 0; i < changes->conflict_count; i++) {
        const ChangeConflict *conflict = &changes->conflicts[i];
        const Change *change = &changes->items[conflict->change];
        char since[TIME_TEXT_SIZE_BYTES];
        if (!change->file) {
            problems_add(&reload->problems, conflict->field, NULL, "%s of %s is held by %s (%s)", conflict->value,
                         change->name, conflict->holder, conflict->origin);
            continue;
        }
        reload_problem(reload, change->file, change->record, conflict->field,
                       change->object == STORED_SERVICE ? "choose another, or disable one of the two"
                                                        : "choose another, or remove one of the two",
                       "%s is held by %s already (%s, since %s)", conflict->value, conflict->holder, conflict->origin, time_format(conflict->since_us, since));
    }
    return 0;
}

/* ---- taking over ---- */

static int reload_store_settings(Reload *reload)
{
    Manager *manager = reload->manager;
    Buffer json = {0};
    char *text;

    record_write_json(&record_type_Settings, manager->settings_given, RECORD_WRITE_ALL, &json);
    int r = buffer_take(&json, &text, NULL);
    if (r < 0)
        return r;
    r = store_put(manager->store, &(StoredRecord){
                                      .kind = STORED_SETTINGS,
                                      .origin = STORED_FILE,
                                      .name = "settings",
                                      .context = text,
                                      .source = "hvsockd.yaml",
                                      .registered_at_us = time_now_us(),
                                  });
    free(text);
    return r;
}

static int reload_take_over(Reload *reload, Failure *failure)
{
    Manager *manager = reload->manager;

    /* A registry that cannot be changed serves what the files say all the same; it is only not kept. */
    bool keeps_settings = reload->settings_before && !manager->store_refuses;
    int r = keeps_settings ? reload_store_settings(reload) : 0;
    if (r < 0)
        return r;
    manager->staged |= keeps_settings;
    settings_free(TAKE_PTR(reload->settings_before));
    if (reload->changes.count > 0) {
        r = changeset_commit(&reload->changes, failure);
        if (r != 0)
            return r;
    }
    declared_free(manager->declared);
    manager->declared = TAKE_PTR(reload->declared);
    return 0;
}

static void reload_log_failed(const Reload *reload)
{
    const Problem *first = NULL;
    Buffer text = {0};

    for (size_t i = 0; i < reload->problems.count && !first; i++)
        first = reload->problems.items[i].warning ? NULL : &reload->problems.items[i];
    if (first)
        problem_format(first, &text);
    manager_log(reload->manager, reload->changes.actor, JOURNAL_CHANGES, "reload-failed", NULL, NULL, "%zu error%s; the first: %.*s",
                reload->problems.errors, reload->problems.errors == 1 ? "" : "s", (int)text.size_bytes, text.data ? text.data : "");
    buffer_release(&text);
}

int manager_load_files(Manager *manager, const Caller *caller, const char *why, Buffer *ret_changes, Failure *failure)
{
    _cleanup_(reload_release) Reload reload = {.manager = manager};
    int r;

    changeset_init(&reload.changes, manager);
    reload.changes.actor = caller;
    r = reload_read(&reload);
    if (r == 0 && reload.problems.errors == 0) {
        /* A name that somebody else has does not hide whose the ports are: all errors are told at once. */
        r = reload_try_settings(&reload);
        if (r == 0)
            r = reload_compare(&reload);
        if (r == 0)
            r = reload_check(&reload);
    }
    if (r < 0)
        return r;
    problems_sort(&reload.problems);
    if (reload.problems.errors > 0) {
        r = failure_invalid_configuration(failure, &reload.problems);
        reload_log_failed(&reload);
    } else {
        if (ret_changes && (r = changeset_render(&reload.changes, ret_changes)) < 0)
            return r;
        bool changes = reload.changes.count > 0 || !manager->booting;
        r = reload_take_over(&reload, failure);
        if (r != 0)
            return r;
        if (changes)
            manager_log_set(&reload.changes, "reloaded", why);
    }
    problems_release(&manager->errors);
    manager->errors = reload.problems;
    reload.problems = (Problems){0};
    for (size_t i = 0; i < manager->errors.count; i++) {
        Buffer text = {0};
        problem_format(&manager->errors.items[i], &text);
        log_write(manager->errors.items[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%.*s", (int)text.size_bytes,
                  text.data ? text.data : "");
        buffer_release(&text);
    }
    return r;
}

int manager_reload(Manager *manager, const Caller *caller, Buffer *ret_changes, Failure *failure)
{
    if (caller && (caller->only_service || !access_is_administrator(manager->access, caller->credentials)))
        return failure_not_allowed(failure, NULL, "Reload is for administrators (see hvsockd.yaml(5), administrators)");
    int r = manager_load_files(manager, caller, caller ? NULL : "SIGHUP", ret_changes, failure);
    /* Whoever mended a folder's rights asks for this. */
    if (r >= 0)
        manager_plan_failed(manager);
    if (r == 0)
        r = manager_effect(manager, EFFECT_RELOADED, "");
    else if (r > 0)
        manager_event(manager, "error", NULL, NULL, "the files have errors; nothing of them was applied");
    if (r > 0)
        manager_events_flush(manager); /* there is nothing to be settled first */
    return r;
}
