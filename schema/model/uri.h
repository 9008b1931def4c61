/* SPDX-License-Identifier: Apache-2.0 */
/* What the transports' URIs have in common; for transport-*.c alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Refusal Refusal;

/* What parse answers with where it is false; both NULL: out of memory. */
struct Refusal {
    const char **reason;
    const char **hint;
};

/* Always false. */
bool uri_refuse(Refusal refusal, const char *reason, const char *hint);
/* A port in plain decimal, up to 0xfffffffe. */
bool uri_parse_port(const char *text, size_t size_bytes, uint32_t *ret_port, Refusal refusal);
/* An absolute path of a URI, normalized. */
bool uri_parse_path(const char *text, size_t size_bytes, char **ret_path, Refusal refusal);
