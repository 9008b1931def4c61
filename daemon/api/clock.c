/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that turns are measured by; by itself, so that tests can put one of their own in its place. clock_gettime(2). */

#include <time.h>

#include "daemon/api/turn.h"

uint64_t turn_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
