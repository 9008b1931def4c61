/* SPDX-License-Identifier: Apache-2.0 */
/* What the texts of some fields amount to: rates, limits, modes. format_* checks with these; who acts on a record reads
 * with them. Each leaves its results as they are where it answers false. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_INFINITY UINT64_MAX /* RLIM_INFINITY */

/* `50/s`, `3/min`, `10/h`: count in a time of 1, 60 or 3600 seconds. */
bool rate_parse(const char *text, uint32_t *ret_count, uint32_t *ret_seconds);
/* `5/10s`: starts in a time. */
bool start_limit_parse(const char *text, uint32_t *ret_count, uint32_t *ret_seconds);
/* Octal text up to 0777: modes and umasks. */
bool mode_parse(const char *text, uint32_t *ret_mode);
/* `NOFILE` -> RLIMIT_NOFILE of setrlimit(2); -1: there is none of that name. */
int limit_find(const char *name);
/* The value of that limit as systemd.exec(5) has it: N, SOFT:HARD, infinity; sizes with K, M, G, T, P, E (1024); CPU and RTTIME
 * with units of time (a bare number is seconds, and microseconds for RTTIME); NICE as -20..19 with its sign. resource -1:
 * of any limit. false: it does not read as that, or SOFT is above HARD. */
bool limit_parse(int resource, const char *text, uint64_t *ret_soft, uint64_t *ret_hard);
