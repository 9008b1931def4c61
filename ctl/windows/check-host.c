/* SPDX-License-Identifier: Apache-2.0 */
/* What files name and this host does not have: programs and users are Linux's, so nothing is missing here. */

#include "ctl/files.h"

int load_check_host(const Declared *declared, uid_t starts_as, Problems *problems)
{
    return 0;
}

int load_check_host_settings(const char *path, const Settings *settings, Problems *problems)
{
    return 0;
}

uid_t files_start_as(Ctl *ctl)
{
    return (uid_t)-1;
}
