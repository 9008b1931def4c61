/* SPDX-License-Identifier: Apache-2.0 */
/* Where log lines go. The one thing in hvsockd beside main's arguments that is static: its level and form are the
 * process's, and are set once, before anything else. */

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "schema/base/buffer.h"

static LogLevel arg_log_level = LOG_LEVEL_INFO;
static bool arg_log_journal;

static const struct {
    const char *name;
    LogLevel level;
} level_names[] = {
    {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG},
};

/* $JOURNAL_STREAM is inherited; only device and inode say that this stderr is the stream that it speaks of. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
           status.st_dev == device && status.st_ino == inode;
}

void log_open(LogLevel max_level)
{
    arg_log_level = max_level;
    arg_log_journal = stderr_is_journal();
}

bool log_level_parse(const char *text, LogLevel *ret)
{
    for (size_t i = 0; i < ELEMENTS_OF(level_names); i++) {
        if (strcmp(level_names[i].name, text) == 0) {
            *ret = level_names[i].level;
            return true;
        }
    }
    return false;
}

bool log_is_journal(void)
{
    return arg_log_journal;
}

bool log_enabled(LogLevel level)
{
    return level <= arg_log_level;
}

void log_write(LogLevel level, const char *format, ...)
{
    if (!log_enabled(level))
        return;

    int saved_errno = errno;
    Buffer text = {0}, line = {0};
    va_list arguments;
    va_start(arguments, format);
    buffer_vprintf(&text, format, arguments);
    va_end(arguments);

    if (arg_log_journal)
        buffer_printf(&line, "<%d>", (int)level);
    else
        buffer_append_text(&line, level <= LOG_LEVEL_ERROR     ? "hvsockd: error: "
                                  : level == LOG_LEVEL_WARNING ? "hvsockd: warning: "
                                  : level == LOG_LEVEL_DEBUG   ? "hvsockd: debug: "
                                                               : "hvsockd: ");
    for (size_t i = 0; i < text.size_bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7f)
            buffer_printf(&line, "\\x%02x", c);
        else
            buffer_append_char(&line, (char)c);
    }
    buffer_append_char(&line, '\n');
    /* One write, so that lines of several processes do not mix; there is nobody to tell that it failed. */
    if (!line.failed && write(STDERR_FILENO, line.data, line.size_bytes) < 0)
        line.failed = true;
    buffer_release(&text);
    buffer_release(&line);
    errno = saved_errno;
}
