/* SPDX-License-Identifier: Apache-2.0 */
/* .reg files of import and export --previous. */
#pragma once

#include "config/import/reg.h"

/* Reads a file in pieces; `-` is standard input. 0; -errno; what on_key answered. */
int reg_file_read(const char *path, RegOnKey on_key, void *userdata, Problems *problems);
/* Its keys; errors are problems. */
int reg_file_keys(const char *path, Problems *problems, WindowsKeys *ret);
