/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl reload: the daemon reads its files anew. */

#include "ctl/changes.h"
#include "ctl/ctl.h"

static int reload_run(Ctl *ctl)
{
    _cleanup_(freep) char *reply = NULL;
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    r = registry->ops->reload(registry, &reply);
    if (r != 0)
        return ctl_refused(ctl, r, "reload");
    return ctl->output.json ? ctl_reply(ctl, reply) : changes_print(&ctl->output, reply, "nothing has changed");
}

const Verb verb_reload = {
    .name = "reload",
    .group = VERBS_OF_FILES,
    .synopsis = "",
    .help = "Let the daemon read its files anew",
    .description =
        "All or nothing: with one error in one file nothing is changed. What has not changed is not touched; a listener "
        "that has failed is tried again.",
    .run = reload_run,
};
