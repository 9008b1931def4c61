/* SPDX-License-Identifier: Apache-2.0 */
/* Which of some words was meant: the one with the fewest slips of the finger, letters' case and dashes apart. */
#pragma once

#include <stddef.h>

typedef struct Nearest Nearest;

struct Nearest {
    const char *word;
    const char *best; /* NULL: none is near enough to be suggested */
    size_t distance;
};

Nearest nearest_to(const char *word);
void nearest_offer(Nearest *nearest, const char *candidate);
