/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format, version 0.0.4: a family's HELP and TYPE, then its samples.
 * prometheus.io/docs/instrumenting/exposition_formats. */
#pragma once

#include <stdint.h>

#include "schema/base/buffer.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4"

/* help: one line. */
void exposition_family(Buffer *text, const char *name, const char *type, const char *help);
/* A label's name and value; NULL: it has none. Values are escaped. */
typedef struct ExpositionLabel {
    const char *name;
    const char *value;
} ExpositionLabel;

void exposition_sample(Buffer *text, const char *name, ExpositionLabel first, ExpositionLabel second, uint64_t value);
/* The same without labels, of nanoseconds, as seconds. */
void exposition_seconds(Buffer *text, const char *name, uint64_t value_ns);
/* A family of one sample without labels. */
void exposition_single(Buffer *text, const char *name, const char *type, uint64_t value, const char *help);
