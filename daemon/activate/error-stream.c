/* SPDX-License-Identifier: Apache-2.0 */
/* One stream a service: the journal takes the process of each line from the kernel. */

#include <errno.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "daemon/activate/error-stream.h"
#include "daemon/log.h"
#include "schema/base/fd.h"

int error_stream_open(const char *service)
{
    int fd = log_is_journal() ? sd_journal_stream_fd(service, LOG_INFO, true) : -ENOENT;

    /* Without a journal (it is being restarted, say) lines are at least where ours are. */
    return fd >= 0 ? fd : fd_duplicate(STDERR_FILENO);
}
