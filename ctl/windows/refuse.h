/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals of the seam's second implementation. All answer REGISTRY_REFUSED, or -ENOMEM. Between files of ctl/windows. */
#pragma once

#include "ctl/windows/registry.h"

typedef struct WindowsRegistry WindowsRegistry;

struct WindowsRegistry {
    Registry registry; /* first: one is the other */
    Store *store;
    bool for_writing;
    char *refusal_text, *refusal_parameters;
};

static inline WindowsRegistry *windows_of(Registry *registry)
{
    return (WindowsRegistry *)registry;
}

int refuse_conflict(Registry *registry, const char *field, const char *value, const char *holder);
/* The first is the API's; the sentence has all. */
int refuse_problems(Registry *registry, const Problems *problems);
int refuse_no_such(Registry *registry, const char *name);
/* There is none of ours that is called so. */
int refuse_not_ours(Registry *registry, const Host *host, const char *name);
/* It goes with its pool. */
int refuse_pool(Registry *registry, const HostKey *key);
