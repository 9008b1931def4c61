/* SPDX-License-Identifier: Apache-2.0 */
/* What texts in records have to look like; one Format each, used by the field table. */
#pragma once

#include "schema/model/field.h"

extern const Format format_service_name;   /* [a-z0-9][a-z0-9._-]*, at most 64 */
extern const Format format_machine_name;   /* the same, and nothing that reads as a number, a range or a CID word */
extern const Format format_element_name;   /* any text without control characters */
extern const Format format_guid;           /* with or without braces, any case */
extern const Format format_listen;         /* a URI, or machine:NAME, machine:* */
extern const Format format_absolute_path;
extern const Format format_program;        /* the first of exec: an absolute path */
extern const Format format_user;           /* a name or a uid */
extern const Format format_user_range;     /* a name, a uid, or a range of uids */
extern const Format format_group;
extern const Format format_mode;           /* octal text: "0660" */
extern const Format format_peer;           /* machine name, CID, range of CIDs, "uid:107" */
extern const Format format_rate;           /* N/s, N/min, N/h */
extern const Format format_start_limit;    /* N/SECONDSs */
extern const Format format_environment_name;
extern const Format format_environment_value;
extern const Format format_limit_name;     /* as systemd's Limit*: NOFILE, NPROC, … */
extern const Format format_limit_value;    /* N, SOFT:HARD, infinity */
extern const Format format_unit_name;      /* foo.service */
extern const Format format_label_name;
extern const Format format_label_value;
extern const Format format_sddl;           /* a security descriptor, by its outline */
extern const Format format_name_pattern;   /* a service name with * in it */
extern const Format format_port_range;     /* 50000-50999 */
extern const Format format_argument;       /* any text without NUL */
