/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of the table of fields are YAML flow, as people write them; for machines they become JSON by the field's kind.
 * Only what stands in the table has to be understood here: scalars, plain or in double quotes, in one list or one mapping. */
#pragma once

#include "schema/base/buffer.h"
#include "schema/model/field.h"

void example_write_json(const Field *field, Buffer *text);
