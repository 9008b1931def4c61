/* SPDX-License-Identifier: Apache-2.0 */
/* What files name and this host does not have: programs and users are Linux's, so nothing is missing here. */

#include "config/load.h"

int load_check_host(const Declared *declared, Problems *problems)
{
    return 0;
}
