/* SPDX-License-Identifier: Apache-2.0 */
/* Why Windows' registry did not do it: told, and the exit status that stands for it; constant. */

#include <string.h>

#include "ctl/ctl.h"
#include "schema/base/text.h"

/* A line each: InvalidField has all problems. */
static void refusal_tell(const Registry *registry, const char *what)
{
    for (const char *line = registry->refusal_text; *line;) {
        size_t size = strcspn(line, "\n");
        ctl_tell(what, NULL, "%.*s", (int)size, line);
        line += size + (line[size] == '\n');
    }
}

int ctl_refused(Ctl *ctl, int answer, const char *what)
{
    if (answer != REGISTRY_REFUSED)
        return answer;
    refusal_tell(ctl->registry, what);
    return text_equal(ctl->registry->refusal, "NoSuchService") ? EXIT_NO : EXIT_REFUSED;
}
