/* SPDX-License-Identifier: Apache-2.0 */
/* Why a registry did not do it: told, and the exit status that stands for it; constant. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "ctl/ctl.h"
#include "schema/base/text.h"

/* What is not here is EXIT_REFUSED. The sentence is the registry's own. */
static const struct {
    const char *error;
    ExitStatus status;
} refusals[] = {
    {"NoSuchService", EXIT_NO},
    {"NoSuchMachine", EXIT_NO},
};

/* All of InvalidConfiguration's messages, a line each: they are where and what to mend. */
static void refusal_tell_messages(const char *parameters, const char *what)
{
    json_t *object = json_loads(parameters, 0, NULL);
    const json_t *messages = json_object_get(object, "messages");

    for (size_t i = 0; i < json_array_size(messages); i++)
        ctl_tell(what, NULL, "%s", json_string_value(json_array_get(messages, i)));
    ctl_tell(what, "mend it and try again", "nothing was changed: the configuration is not valid");
    json_decref(object);
}

/* The sentence may begin with what it is about; who reads it needs that once. */
static bool begins_with(const char *text, const char *what)
{
    size_t length = what ? strlen(what) : 0;

    return length > 0 && strncmp(text, what, length) == 0 && text[length] == ':';
}

static int refusal_tell(const Registry *registry, const char *what)
{
    if (text_equal(registry->refusal, "InvalidConfiguration"))
        refusal_tell_messages(registry->refusal_parameters, what);
    else
        ctl_tell(begins_with(registry->refusal_text, what) ? NULL : what, NULL, "%s", registry->refusal_text);
    for (size_t i = 0; i < ELEMENTS_OF(refusals); i++)
        if (text_equal(registry->refusal, refusals[i].error))
            return (int)refusals[i].status;
    return EXIT_REFUSED;
}

int ctl_refused(Ctl *ctl, int answer, const char *what)
{
    static const char start_it[] = "start hvsockd, or say where it is by --socket or HVSOCK_SOCKET";
    const char *where =
        ctl->registry ? ctl->registry->where : given_value(&ctl->given, "socket", getenv("HVSOCK_SOCKET"));

    if (!where || !where[0])
        where = "/run/hvsockd/io.hvsock.Registry";
    switch (answer) {
    case 0:
        return EXIT_DONE;
    case REGISTRY_REFUSED:
        return refusal_tell(ctl->registry, what);
    case REGISTRY_ABSENT:
        if (ctl->registry)
            ctl_tell(where, "hvsockctl status tells whether it is back", "hvsockd went away");
        else
            ctl_tell(where, start_it, "no hvsockd answers there");
        return EXIT_NO_DAEMON;
    case -EACCES:
    case -EPERM:
        ctl_tell(where, "its folder's owner and mode say who may", "hvsockd is not to be reached: %s",
                 strerror(-answer));
        return EXIT_NO_DAEMON;
    case -ETIMEDOUT:
        ctl_tell(where, "hvsockctl doctor tells more", "hvsockd does not answer");
        return EXIT_NO_DAEMON;
    case -EBADMSG:
        ctl_tell(where, "hvsockctl version tells whether both are of one version",
                 "what answers there does not speak as hvsockd does");
        return EXIT_NO_DAEMON;
    default:
        if (!ctl->registry) {
            ctl_tell(where, start_it, "cannot connect: %s", strerror(-answer));
            return EXIT_NO_DAEMON;
        }
        return answer;
    }
}
