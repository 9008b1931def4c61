/* SPDX-License-Identifier: Apache-2.0 */
/* What Windows' registry, or hvsockctl in its place, did not do, as the API's errors and in one sentence; kept until the next. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ctl/windows/refuse.h"

static const char administrator[] = "start it from a command prompt that was opened as administrator";

static char *json_text(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    json_decref(object);
    return text;
}

int registry_windows_refuse(Registry *registry, const char *error, const char *parameters_json, const char *format, ...)
{
    WindowsRegistry *windows = windows_of(registry);
    Buffer text = {0};
    va_list arguments;

    va_start(arguments, format);
    buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    free(windows->refusal_text);
    free(windows->refusal_parameters);
    windows->refusal_text = NULL;
    windows->refusal_parameters = strdup(parameters_json ? parameters_json : "{}");
    int r = buffer_take(&text, &windows->refusal_text, NULL);
    if (r < 0 || !windows->refusal_parameters)
        return -ENOMEM;
    registry->refusal = error;
    registry->refusal_text = windows->refusal_text;
    registry->refusal_parameters = windows->refusal_parameters;
    return REGISTRY_REFUSED;
}

int registry_windows_answer(Registry *registry, int answer)
{
    Store *store = windows_of(registry)->store;

    if (answer == 0 || answer == -ENOMEM)
        return answer;
    _cleanup_(freep) char *why = strdup(store_error(store));
    int undone = store_undo(store);
    const char *left = undone == STORE_FAILED ? store_error(store) : why;
    if (undone < 0 || !why)
        return -ENOMEM;
    switch (answer) {
    case STORE_DENIED:
        return registry_windows_refuse(registry, "NotAllowed", NULL, "%s; nothing was changed: %s", left, administrator);
    case STORE_TAKEN:
        return registry_windows_refuse(registry, "Conflict", NULL, "%s; choose another GUID, nothing was changed", left);
    case STORE_GONE:
        return registry_windows_refuse(registry, "StorageFailed", NULL, "%s; somebody removed it meanwhile, nothing was changed: try again",
                                       left);
    default:
        return registry_windows_refuse(registry, "StorageFailed", NULL, undone == STORE_FAILED ? "%s" : "%s; nothing was changed", left);
    }
}

int refuse_conflict(Registry *registry, const char *field, const char *value, const char *holder)
{
    _cleanup_(freep) char *parameters = json_text(json_pack("{s:s,s:s,s:s}", "field", field, "value", value, "holder", holder));
    const char *hint = strcmp(field, "name") == 0 ? "choose another name, or unregister that one first" : "choose another port or GUID";

    return parameters ? registry_windows_refuse(registry, "Conflict", parameters, "%s %s is held by %s; %s", field, value, holder, hint)
                      : -ENOMEM;
}

int refuse_problems(Registry *registry, const Problems *problems)
{
    const Problem *first = &problems->items[0];
    Buffer text = {0};

    for (size_t i = 0; i < problems->count; i++) {
        buffer_append_text(&text, i > 0 ? "\n" : "");
        problem_format(&problems->items[i], &text);
    }
    buffer_append_char(&text, '\0');
    json_t *object = json_pack("{s:s,s:s,s:s*}", "field", first->field ? first->field : "", "reason", first->reason, "hint", first->hint);
    _cleanup_(freep) char *parameters = json_text(object);
    int r = text.failed || !parameters ? -ENOMEM : registry_windows_refuse(registry, "InvalidField", parameters, "%s", text.data);
    buffer_release(&text);
    return r;
}

int registry_windows_refuse_plan(Registry *registry, int answer, const Problems *problems, const Plan *plan)
{
    if (answer == PLAN_CONFLICT)
        return refuse_conflict(registry, plan->conflict_field, plan->conflict_value, plan->conflict_holder);
    return answer == PLAN_INVALID ? refuse_problems(registry, problems) : answer;
}

int refuse_no_such(Registry *registry, const char *name)
{
    _cleanup_(freep) char *parameters = json_text(json_pack("{s:s}", "name", name));

    return parameters ? registry_windows_refuse(registry, "NoSuchService", parameters,
                                                "no service is called %s; hvsockctl list shows those there are", name)
                      : -ENOMEM;
}

int refuse_not_ours(Registry *registry, const Host *host, const char *name)
{
    Buffer holder = {0};

    for (size_t i = 0; i < host->count; i++)
        if (strcmp(host->keys[i].name, name) == 0) {
            host_key_write_holder(&host->keys[i], &holder);
            buffer_append_char(&holder, '\0');
            int r = holder.failed ? -ENOMEM
                                  : registry_windows_refuse(registry, "NotAllowed", NULL, "%s is of %s; hvsockctl changes only its own keys",
                                                            name, holder.data);
            buffer_release(&holder);
            return r;
        }
    return refuse_no_such(registry, name);
}

int refuse_pool(Registry *registry, const HostKey *key)
{
    return registry_windows_refuse(registry, "NotAllowed", NULL, "%s is of the pool %s; hvsockctl pool remove %s removes all of it", key->name,
                                   key->pool, key->pool);
}
