/* SPDX-License-Identifier: Apache-2.0 */
/* The files of check, diff and apply; they live as long as the verb runs. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/files.h"
#include "schema/base/text.h"

#define TIMEOUT_MS 10000 /* of asking the daemon where its folders are */

typedef struct Paths {
    TextList services; /* files and folders */
    TextList settings;
    bool by_precedence;
} Paths;

static void paths_release(Paths *paths)
{
    text_list_free(paths->services);
    text_list_free(paths->settings);
}

static int path_append(TextList *list, const char *folder, const char *name)
{
    _cleanup_(freep) char *path = NULL;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return -ENOMEM;
    return text_list_append(list, path);
}

static bool path_holds(const char *folder, const char *name)
{
    _cleanup_(freep) char *path = NULL;
    struct stat status;

    return asprintf(&path, "%s/%s", folder, name) >= 0 && stat(path, &status) == 0;
}

static int paths_add(Paths *paths, const char *path, bool check)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool configuration = path_holds(path, "services.d");
    int r = 0;

    if (check && strcmp(name, "hvsockd.yaml") == 0)
        return text_list_append(&paths->settings, path);
    if (check && path_holds(path, "hvsockd.yaml"))
        r = path_append(&paths->settings, path, "hvsockd.yaml");
    if (r >= 0)
        r = configuration ? path_append(&paths->services, path, "services.d")
                          : text_list_append(&paths->services, path);
    return r;
}

/* The folders that a running daemon reads, as Status has them. false: it does not say. */
static bool paths_ask_daemon(Ctl *ctl, Paths *paths)
{
    _cleanup_(freep) char *status = NULL;
    Registry *registry;

    int answer = ctl_open_within(ctl, TIMEOUT_MS, &registry);
    if (answer == 0)
        answer = registry->ops->status(registry, &status);
    if (answer == -ETIMEDOUT)
        ctl_tell(ctl->called, "name the files", "hvsockd does not answer; the system's folders are read in place of its own");
    if (answer != 0)
        return false;
    json_t *reply = json_loads(status, 0, NULL);
    const json_t *folders = json_object_get(reply, "configuration");
    int r = 0;

    for (size_t i = 0; i < json_array_size(folders) && r >= 0; i++)
        r = text_list_append(&paths->services, json_string_value(json_array_get(folders, i)));
    json_decref(reply);
    return r >= 0 && paths->services;
}

/* CONFIG/services.d is beside CONFIG/hvsockd.yaml. */
static int paths_add_settings_beside(Paths *paths, const char *folder)
{
    const char *slash = strrchr(folder, '/');
    _cleanup_(freep) char *parent = slash ? strndup(folder, (size_t)(slash - folder)) : strdup(".");

    return !parent                              ? -ENOMEM
           : path_holds(parent, "hvsockd.yaml") ? path_append(&paths->settings, parent, "hvsockd.yaml")
                                                : 0;
}

static int paths_find(Ctl *ctl, bool check, Paths *paths)
{
    int r = 0;

    for (size_t i = 0; i < ctl->given.operand_count && r >= 0; i++)
        r = paths_add(paths, ctl->given.operands[i], check);
    if (r < 0 || ctl->given.operand_count > 0)
        return r;
    paths->by_precedence = true;
    if (!paths_ask_daemon(ctl, paths))
        for (size_t i = 0; load_system_folders[i] && r >= 0; i++)
            r = text_list_append(&paths->services, load_system_folders[i]);
    if (r >= 0 && check)
        r = paths_add_settings_beside(paths, paths->services[0]);
    return r;
}

/* starts_as: of load_check_host; NULL: this host is not asked. */
static int files_load_found(const Paths *paths, const uid_t *starts_as, Problems *problems, Files *ret)
{
    _cleanup_(declared_freep) Declared *declared = NULL;
    int r = 0;

    for (size_t i = 0; r >= 0 && paths->settings && paths->settings[i]; i++) {
        Settings *settings = NULL;
        r = load_settings(paths->settings[i], problems, &settings);
        if (r == 0 && starts_as)
            r = load_check_host_settings(paths->settings[i], settings, problems);
        settings_free(settings);
    }
    if (r >= 0 && paths->services)
        r = load_paths((const char *const *)paths->services, paths->by_precedence, NULL, problems, &declared);
    if (r >= 0 && declared)
        r = load_check_conflicts(declared, problems);
    if (r >= 0 && declared && starts_as)
        r = load_check_host(declared, *starts_as, problems);
    if (r < 0)
        return r;
    if (problems->failed)
        return -ENOMEM;
    problems_sort(problems);
    ret->named = !paths->by_precedence;
    ret->declared = TAKE_PTR(declared);
    return problems->errors > 0 ? FILES_INVALID : 0;
}

int files_load(Ctl *ctl, bool check, Problems *problems, Files *ret)
{
    _cleanup_(paths_release) Paths paths = {0};
    int r = paths_find(ctl, check, &paths);

    if (r < 0)
        return r;
    const uid_t starts_as = check ? files_start_as(ctl) : (uid_t)-1;
    return files_load_found(&paths, check ? &starts_as : NULL, problems, ret);
}

int files_load_paths(char *const *list, Problems *problems, Files *ret)
{
    _cleanup_(paths_release) Paths paths = {0};
    int r = 0;

    for (; *list && r >= 0; list++)
        r = paths_add(&paths, *list, false);
    return r < 0 ? r : files_load_found(&paths, NULL, problems, ret);
}

void files_release(Files *files)
{
    declared_free(files->declared);
    *files = (Files){0};
}

void **files_records(const Files *files, const RecordType *type, FilePlace **ret_places, size_t *ret_count)
{
    size_t count = 0, all = 0;

    for (size_t i = 0; files->declared && i < files->declared->file_count; i++)
        all += files->declared->files[i]->record_count;
    _cleanup_(freep) void **records = calloc(all + 1, sizeof(*records));
    _cleanup_(freep) FilePlace *places = calloc(all + 1, sizeof(*places));
    if (!records || !places)
        return NULL;
    for (size_t i = 0; files->declared && i < files->declared->file_count; i++) {
        const DeclaredFile *file = files->declared->files[i];
        for (size_t k = 0; k < file->record_count; k++)
            if (file->records[k].type == type) {
                places[count] = (FilePlace){.file = file, .record = &file->records[k]};
                records[count++] = file->records[k].record;
            }
    }
    if (ret_places)
        *ret_places = TAKE_PTR(places);
    *ret_count = count;
    return TAKE_PTR(records);
}
