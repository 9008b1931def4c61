/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockd.yaml: what its fields mean together. Pure functions. */

#include <errno.h>
#include <stdio.h>

#include "schema/model/service.h"

int settings_validate(Settings *settings, Problems *problems)
{
    for (size_t i = 0; settings->delegations && settings->delegations[i]; i++) {
        const Delegation *delegation = settings->delegations[i];
        if (text_list_count(delegation->users) + text_list_count(delegation->groups) > 0)
            continue;
        char field[64];
        snprintf(field, sizeof(field), "delegations[%zu].users", i);
        problems_add_absence(problems, field, "`users: [podman]` or `groups: [containers]` would be right", "there are neither users nor groups, so it delegates to nobody");
    }
    return problems->failed ? -ENOMEM : 0;
}
