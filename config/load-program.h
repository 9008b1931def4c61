/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what a service is to start could be started on this host, by who it is to run as. Inside of config/ only. */
#pragma once

#include <sys/types.h>

#include "schema/base/problem.h"
#include "schema/model/records.h"

/* Warnings. starts_as: as in load_check_host. -ENOMEM. */
int load_check_program(const Activation *activate, uid_t starts_as, Problems *problems);
