/* SPDX-License-Identifier: Apache-2.0 */
/* GNU's functions that mingw-w64 does not have; pure. */

#include <errno.h>
#include <search.h>

void *reallocarray(void *items, size_t count, size_t size_bytes)
{
    size_t all;

    if (__builtin_mul_overflow(count, size_bytes, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(items, all);
}

char *strndup(const char *text, size_t size_bytes)
{
    size_t size = strnlen(text, size_bytes);
    char *copy = malloc(size + 1);

    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

void *memrchr(const void *bytes, int c, size_t size_bytes)
{
    const unsigned char *at = bytes;

    while (size_bytes > 0)
        if (at[--size_bytes] == (unsigned char)c)
            return (void *)(uintptr_t)(at + size_bytes);
    return NULL;
}

struct tm *gmtime_r(const time_t *time, struct tm *ret)
{
    return _gmtime64_s(ret, time) == 0 ? ret : NULL;
}

time_t timegm(struct tm *time)
{
    return _mkgmtime64(time);
}

typedef struct Order {
    int (*compare)(const void *a, const void *b, void *userdata);
    void *userdata;
} Order;

static int order_compare(void *userdata, const void *a, const void *b)
{
    const Order *order = userdata;

    return order->compare(a, b, order->userdata);
}

/* qsort_s of Windows hands the third argument over first. */
void qsort_r(void *items, size_t count, size_t size_bytes, int (*compare)(const void *, const void *, void *), void *userdata)
{
    Order order = {.compare = compare, .userdata = userdata};

    qsort_s(items, count, size_bytes, order_compare, &order);
}

static int compare_nothing(const void *a, const void *b)
{
    return 0;
}

/* With nothing but POSIX' functions: whatever is asked for, the root is found. */
void tdestroy(void *root, void (*release)(void *item))
{
    while (root) {
        void *item = *(void **)root;
        tdelete(item, &root, compare_nothing);
        release(item);
    }
}
