/* SPDX-License-Identifier: Apache-2.0 */
/* What declared records name and this host does not have: programs, users, groups. Warnings: a package may bring them later. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "config/document.h"
#include "config/load-program.h"
#include "schema/model/service.h"

typedef struct HostCheck HostCheck;
typedef bool (*HostLookup)(const char *name);

struct HostCheck {
    Problems *problems;
    TextList known[2], unknown[2]; /* users, groups: asked once each */
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
        int r = text_list_append(missing ? &check->unknown[kind] : &check->known[kind], name);
        if (r < 0)
            return r;
    }
    if (missing)
        problems_warn(check->problems, path, "add it before the service is to run", "this host has no %s %s", kinds[kind], name);
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
        }
    }
    return r;
}

int load_check_host(const Declared *declared, uid_t starts_as, Problems *problems)
{
    HostCheck check = {.problems = problems};
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
    for (size_t i = 0; i < ELEMENTS_OF(kinds); i++) {
        text_list_free(check.known[i]);
        text_list_free(check.unknown[i]);
    }
    return r < 0 || problems->failed ? -ENOMEM : 0;
}
