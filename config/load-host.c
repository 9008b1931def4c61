/* SPDX-License-Identifier: Apache-2.0 */
/* What declared records and settings name and this host does not have: programs, users, groups. Warnings: a package may bring them
 * later. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "config/document.h"
#include "config/load-program.h"
#include "schema/codec/nearest.h"
#include "schema/model/service.h"

typedef struct HostCheck HostCheck;
typedef bool (*HostLookup)(const char *name);

struct HostCheck {
    Problems *problems;
    const char *remedy;            /* where nothing that there is was meant */
    TextList known[2], unknown[2]; /* users, groups: asked once each */
    TextList meant[2];             /* of each unknown one; "": none is near */
};

enum { CHECK_USER, CHECK_GROUP };
static const char *const kinds[] = {"user", "group"};

/* Where the host could not be asked, nothing is said. */
static bool lookup_failed(void)
{
    return errno == ENOMEM || errno == EIO || errno == EINTR || errno == EMFILE || errno == ENFILE || errno == ERANGE;
}

static bool user_exists(const char *name)
{
    errno = 0;
    return getpwnam(name) || lookup_failed();
}

static bool group_exists(const char *name)
{
    errno = 0;
    return getgrnam(name) || lookup_failed();
}

static const HostLookup lookups[] = {user_exists, group_exists};

/* What was meant, among those that this host itself keeps: to list what a name service has can take it long. The caller's; "": none
 * is near. NULL: out of memory. */
static char *find_meant(int kind, const char *name)
{
    FILE *file = fopen(kind == CHECK_USER ? "/etc/passwd" : "/etc/group", "re");
    Nearest nearest = nearest_to(name);
    const struct passwd *user;
    const struct group *group;
    char *best = strdup("");

    while (file && best) {
        const char *before = nearest.best;
        if (kind == CHECK_USER && (user = fgetpwent(file)))
            nearest_offer(&nearest, user->pw_name);
        else if (kind == CHECK_GROUP && (group = fgetgrent(file)))
            nearest_offer(&nearest, group->gr_name);
        else
            break;
        if (nearest.best == before)
            continue;
        free(best); /* the next entry is written over this one */
        best = strdup(nearest.best);
        nearest.best = NULL;
    }
    if (file)
        fclose(file);
    return best;
}

static int add_unknown(HostCheck *check, int kind, const char *name)
{
    _cleanup_(freep) char *meant = find_meant(kind, name);
    int r = meant ? text_list_append(&check->unknown[kind], name) : -ENOMEM;

    return r < 0 ? r : text_list_append(&check->meant[kind], meant);
}

static void tell_unknown(HostCheck *check, int kind, const char *path, const char *name)
{
    size_t i = 0;
    char hint[256];

    while (strcmp(check->unknown[kind][i], name) != 0)
        i++;
    const char *meant = check->meant[kind][i];
    snprintf(hint, sizeof(hint), "%s%s%s", meant, meant[0] ? " would be right, or " : "", check->remedy);
    problems_warn(check->problems, path, hint, "this host has no %s %s", kinds[kind], name);
}

/* A number, or a range of them, needs no entry. */
static bool name_is_number(const char *name)
{
    return name[strspn(name, "0123456789-")] == '\0';
}

static int check_name(HostCheck *check, int kind, const char *path, const char *name)
{
    if (name_is_number(name) || text_list_contains(check->known[kind], name))
        return 0;
    bool missing = text_list_contains(check->unknown[kind], name);
    if (!missing) {
        missing = !lookups[kind](name);
        int r = missing ? add_unknown(check, kind, name) : text_list_append(&check->known[kind], name);
        if (r < 0)
            return r;
    }
    if (missing)
        tell_unknown(check, kind, path, name);
    return 0;
}

static int check_text(HostCheck *check, const Field *field, const char *path, const char *text)
{
    if (field->format == &format_user || field->format == &format_user_range)
        return check_name(check, CHECK_USER, path, text);
    if (field->format == &format_peer && text_starts_with(text, "uid:"))
        return check_name(check, CHECK_USER, path, text + strlen("uid:"));
    if (field->format == &format_group)
        return check_name(check, CHECK_GROUP, path, text);
    return 0;
}

/* Every user and group in a record, by the table of fields. */
static int check_names(HostCheck *check, const RecordType *type, const void *record, const char *prefix)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < type->field_count; i++) {
        const Field *field = &type->fields[i];
        const void *value = field_of(field, record);
        char path[256], element[280];
        if (field_is_absent(field, record))
            continue;
        snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] ? "." : "", field->name);
        if (field->kind == FIELD_TEXT) {
            r = check_text(check, field, path, *(const char *const *)value);
        } else if (field->kind == FIELD_RECORD) {
            r = check_names(check, field->record, *(const void *const *)value, path);
        } else if (field->kind == FIELD_TEXTS) {
            char *const *texts = *(char *const *const *)value;
            for (size_t k = 0; r == 0 && texts[k]; k++) {
                snprintf(element, sizeof(element), "%s[%zu]", path, k);
                r = check_text(check, field, element, texts[k]);
            }
        } else if (field->kind == FIELD_RECORDS) {
            const void *const *records = *(const void *const *const *)value;
            for (size_t k = 0; r == 0 && records[k]; k++) {
                snprintf(element, sizeof(element), "%s[%zu]", path, k);
                r = check_names(check, field->record, records[k], element);
            }
        }
    }
    return r;
}

static void host_check_release(HostCheck *check)
{
    for (size_t i = 0; i < ELEMENTS_OF(kinds); i++) {
        text_list_free(check->known[i]);
        text_list_free(check->unknown[i]);
        text_list_free(check->meant[i]);
    }
}

int load_check_host(const Declared *declared, uid_t starts_as, Problems *problems)
{
    _cleanup_(host_check_release) HostCheck check = {.problems = problems, .remedy = "add it before the service is to run"};
    DocumentLocator locator = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < declared->file_count; i++) {
        const DeclaredFile *file = declared->files[i];
        for (size_t k = 0; r == 0 && k < file->record_count; k++) {
            const DeclaredRecord *record = &file->records[k];
            size_t first = problems->count;
            const ServiceContext *service = record->type == &record_type_ServiceContext ? record->record : NULL;
            if (service && service->activate)
                r = load_check_program(service->activate, starts_as, problems);
            else if (!service && !machine_is_known_by(record->record))
                problems_warn(problems, NULL, "give it a cid, hybrid, hyperkit or vmId", "no guest is ever taken for the machine %s",
                              ((const MachineContext *)record->record)->name);
            if (r == 0)
                r = check_names(&check, record->type, record->record, "");
            if (problems->count > first)
                document_locate(&locator, file, record, problems, first);
        }
    }
    document_locator_release(&locator);
    return r < 0 || problems->failed ? -ENOMEM : 0;
}

int load_check_host_settings(const char *path, const Settings *settings, Problems *problems)
{
    _cleanup_(host_check_release) HostCheck check = {.problems = problems, .remedy = "add it, or leave it out: so far it is nobody"};
    size_t first = problems->count;
    int r = check_names(&check, &record_type_Settings, settings, "");

    if (problems->count > first)
        document_locate_settings(path, problems, first);
    return r < 0 || problems->failed ? -ENOMEM : 0;
}
