/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails once, one after the other: the program's own malloc counts. A sanitizer has its own: there
 * ALLOCATIONS_ARE_NOT_OURS is defined, and nothing else. Only for one source of a program. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#ifndef __has_feature
#define __has_feature(feature_) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define ALLOCATIONS_ARE_NOT_OURS
#else

/* glibc's own, under the names that do not change when a program brings others. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void __libc_free(void *pointer);

static long allocations_left = -1; /* -1: all succeed */
static long pieces_alive;

static bool denied(void)
{
    if (allocations_left != 0) {
        allocations_left -= allocations_left > 0;
        return false;
    }
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    void *pointer = denied() ? NULL : __libc_malloc(size);

    pieces_alive += pointer != NULL;
    return pointer;
}

void *calloc(size_t count, size_t size)
{
    void *pointer = denied() ? NULL : __libc_calloc(count, size);

    pieces_alive += pointer != NULL;
    return pointer;
}

void *realloc(void *old, size_t size)
{
    void *pointer = denied() ? NULL : __libc_realloc(old, size);

    pieces_alive += pointer && !old;
    return pointer;
}

void *reallocarray(void *old, size_t count, size_t size)
{
    return realloc(old, count * size);
}

void free(void *pointer)
{
    pieces_alive -= pointer != NULL;
    __libc_free(pointer);
}

/* use: 0, or -ENOMEM; anything else it tells as `odd`. Until it gets through, each time nothing is left behind. */
static void each_allocation_fails(int (*use)(void *userdata, const char **odd), void *userdata, long at_least)
{
    const char *odd = NULL;

    assert_int_equal(use(userdata, &odd), 0); /* what is made once and kept, as jansson's seed */
    for (long n = 0;; n++) {
        long before = pieces_alive;
        allocations_left = n;
        int r = use(userdata, &odd);
        bool denied_one = allocations_left == 0;
        allocations_left = -1;
        if (odd)
            fail_msg("allocation %ld: %s", n, odd);
        if (r != 0 && r != -ENOMEM)
            fail_msg("allocation %ld: the answer is %d", n, r);
        if (pieces_alive != before)
            fail_msg("allocation %ld: %ld pieces are left", n, pieces_alive - before);
        if (r == 0 && !denied_one) {
            assert_true(n > at_least);
            break;
        }
        if (r == 0) {
            /* Allowed once: exactly as many as it takes. */
            allocations_left = n + 1;
            assert_int_equal(use(userdata, &odd), 0);
            assert_int_equal(allocations_left, 1);
            allocations_left = -1;
        }
    }
}

#endif
