/* SPDX-License-Identifier: Apache-2.0 */
/* What register is on every host; which options it has is the host's. */
#pragma once

#include "ctl/ctl.h"

/* The run of a verb whose fields are a service's, and --ephemeral where it has that. */
int register_service(Ctl *ctl);
