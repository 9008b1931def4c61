/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns a thing, said in the code: the cleanup attribute frees at the end of a scope, TAKE_* hands on.
 * gcc and clang, "Common Variable Attributes". */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _printf_(format_, first_) __attribute__((format(printf, format_, first_)))
#define _unused_ __attribute__((unused))
#define _uninitialized_ __attribute__((uninitialized)) /* large, and only what is written is read */
#define _sentinel_ __attribute__((sentinel))

#define ELEMENTS_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The pointer's value; the variable is NULL afterwards. */
#define TAKE_PTR(pointer)                                                                                              \
    ({                                                                                                                 \
        __typeof__(pointer) *take_from_ = &(pointer);                                                                  \
        __typeof__(pointer) take_value_ = *take_from_;                                                                 \
        *take_from_ = NULL;                                                                                            \
        take_value_;                                                                                                   \
    })

/* The descriptor; the variable is -1 afterwards. */
#define TAKE_FD(fd)                                                                                                    \
    ({                                                                                                                 \
        int *take_from_ = &(fd);                                                                                       \
        int take_value_ = *take_from_;                                                                                 \
        *take_from_ = -1;                                                                                              \
        take_value_;                                                                                                   \
    })

/* Defines TYPE_freep for _cleanup_, from a function that takes NULL. */
#define DEFINE_CLEANUP(type, function)                                                                                 \
    static inline void function##p(type *thing)                                                                        \
    {                                                                                                                  \
        if (*thing)                                                                                                    \
            function(*thing);                                                                                          \
    }

static inline void freep(void *pointer)
{
    free(*(void **)pointer);
}
