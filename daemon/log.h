/* SPDX-License-Identifier: Apache-2.0 */
/* One line an event, on stderr: with sd-daemon's <N> before it where that is the journal, else `hvsockd: …`.
 * sd-daemon(3), systemd.exec(5) ($JOURNAL_STREAM). */
#pragma once

#include <stdbool.h>

#include "schema/base/cleanup.h"

/* As syslog(3) numbers them. */
typedef enum LogLevel {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
} LogLevel;

/* What is above max_level is not written. At first: info. */
void log_open(LogLevel max_level);
/* error, warning, notice, info, debug; false leaves *ret as it is. */
bool log_level_parse(const char *text, LogLevel *ret);
/* Control characters are written as \xNN, so that nobody's text makes lines of its own. errno is kept. */
void log_write(LogLevel level, const char *format, ...) _printf_(2, 3);
bool log_enabled(LogLevel level);
/* Lines go to the journal. */
bool log_is_journal(void);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
/* Its arguments are not evaluated where nobody wants them. */
#define log_debug(...)                                                                                                 \
    do {                                                                                                               \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                                              \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                                   \
    } while (0)
