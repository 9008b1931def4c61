/* SPDX-License-Identifier: Apache-2.0 */
/* The seam's second implementation: Windows' own registry. For verbs that only Windows has, what is below the seam. */
#pragma once

#include "ctl/registry.h"
#include "ctl/windows/plan.h"

/* Opened for this command: first for reading, for writing by the first change. 0; REGISTRY_REFUSED; -ENOMEM. */
int registry_windows_store(Registry *registry, bool for_writing, Store **ret);
/* Refuses with an error of the API, its parameters (or NULL), and a sentence. REGISTRY_REFUSED; -ENOMEM. */
int registry_windows_refuse(Registry *registry, const char *error, const char *parameters_json, const char *format, ...) _printf_(4, 5);
/* A store's answer as the seam's; what was changed is taken back. */
int registry_windows_answer(Registry *registry, int answer);
/* What the plan answered as the seam's. */
int registry_windows_refuse_plan(Registry *registry, int answer, const Problems *problems, const Plan *plan);
/* All keys, not only ours as the seam's list has them. */
int registry_windows_list_all(Registry *registry, RegistryVisitor on_service, void *userdata);
