/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's, as its configure would write it. */
#pragma once

#define YAML_VERSION_MAJOR 0
#define YAML_VERSION_MINOR 2
#define YAML_VERSION_PATCH 5
#define YAML_VERSION_STRING "0.2.5"
