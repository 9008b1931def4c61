/* SPDX-License-Identifier: Apache-2.0 */
/* What hvsockctl says of Windows, where its own registry keeps the services; constant. */

#include "ctl/help.h"

const Option verb_options_common[] = {
    {.name = "help", .letter = 'h', .help = "Print this."},
    {.name = "json", .help = "Print JSON, as the API has it."},
    {.name = "no-color", .help = "Print without colours, also on a terminal. So does the variable NO_COLOR."},
    {0},
};

const char help_begin[] = "usage: hvsockctl [--json] VERB [ARG]...\n\n"
                          "Keeps the services that virtual machines reach over hypervisor sockets, in Windows'\n"
                          "own registry. Changes need an administrator's rights.\n";
const char help_watching[] = "This host";
const char help_end[] = "\nhvsockctl VERB --help says more about one; hvsockctl(1), \"WINDOWS\", says it all.\n"
                        "Exit status: 0 done, 1 the answer is no, 2 usage, 3 refused.\n";
