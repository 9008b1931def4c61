/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers share. Each is one function that libFuzzer calls with any bytes; replay.c calls it with those of a corpus. A
 * broken promise is an abort, which both take for a finding. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define PROMISED(condition_)                                                                                           \
    do {                                                                                                               \
        if (!(condition_)) {                                                                                           \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition_);                           \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)
