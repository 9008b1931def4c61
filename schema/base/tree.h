/* SPDX-License-Identifier: Apache-2.0 */
/* What <bsd/sys/tree.h> has not: an insertion that is cheap in order. */
#pragma once

#include <bsd/sys/tree.h>

#include "schema/base/cleanup.h"

/* TREE_APPEND_GENERATE(name, type, field, compare): after RB_GENERATE of the same, defines name_append(head, element), which is
 * RB_INSERT: NULL, or the element that is equal. What comes behind all that are there, as rows in their order do, is
 * compared with the last one alone, not with one of every level; what does not, costs more than by RB_INSERT. */
#define TREE_APPEND_GENERATE(name, type, field, compare)                                                              \
    _unused_ static struct type *name##_append(struct name *head, struct type *element)                               \
    {                                                                                                                 \
        struct type *last = RB_MAX(name, head);                                                                       \
        if (!last || (compare)(element, last) <= 0)                                                                   \
            return RB_INSERT(name, head, element);                                                                    \
        RB_SET(element, last, field);                                                                                 \
        RB_RIGHT(last, field) = element;                                                                              \
        name##_RB_INSERT_COLOR(head, element);                                                                        \
        return NULL;                                                                                                  \
    }
