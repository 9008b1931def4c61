/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define HAVE_ATOMIC_BUILTINS 1
#define HAVE_FCNTL_H 1
#define HAVE_GETPID 1
#define HAVE_LOCALE_H 1
#define HAVE_SETLOCALE 1
#define HAVE_STDINT_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_UNISTD_H 1
#define USE_WINDOWS_CRYPTOAPI 1
#define INITIAL_HASHTABLE_ORDER 3
