/* SPDX-License-Identifier: Apache-2.0 */
/* Which virtual machine is meant: its id, from what people call it. */
#pragma once

#include "ctl/ctl.h"
#include "schema/model/guid.h"

/* A GUID; a wildcard's name; a machine of the files of --machines, else of %ProgramData%\hvsockd\services.d; what hcsdiag lists
 * by that id or owner; wsl, by wslinfo. 0; an ExitStatus (told); -ENOMEM. */
int vm_find(Ctl *ctl, const char *name, Guid *ret);
/* In what `hcsdiag list` prints: an id in a line, and below it `VM, STATE, GUID, OWNER`. The number of VMs that are called so. */
size_t vm_find_in_list(const char *list, const char *name, Guid *ret);

#define OPTIONS_MACHINES                                                                                               \
    {                                                                                                                  \
        .name = "machines", .argument = "FILE|DIR", .repeats = true, .completes = COMPLETES_FILES,                     \
        .help = "Where machines: names virtual machines, with their vmId; default: %ProgramData%\\hvsockd\\services.d." \
    }
