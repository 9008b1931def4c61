/* SPDX-License-Identifier: Apache-2.0 */
/* What hvsockctl says of the host that it is for, where a daemon keeps the services; constant. */

#include "ctl/help.h"

const Option verb_options_common[] = {
    {.name = "help", .letter = 'h', .help = "Print this."},
    {.name = "json", .help = "Print JSON, as the API has it."},
    {.name = "no-color", .help = "Print without colours, also on a terminal. So does the variable NO_COLOR."},
    {.name = "socket",
     .argument = "PATH",
     .completes = COMPLETES_FILES,
     .help = "The daemon's socket, instead of HVSOCK_SOCKET or /run/hvsockd/io.hvsock.Registry."},
    {0},
};

const char help_begin[] = "usage: hvsockctl [--socket PATH] [--json] VERB [ARG]...\n\n"
                          "Keeps the services that virtual machines reach over hypervisor sockets: hvsockd's\n"
                          "command line.\n";
const char help_watching[] = "The daemon";
const char help_end[] = "\nhvsockctl VERB --help says more about one; hvsockctl(1) says it all.\n"
                        "Exit status: 0 done, 1 the answer is no, 2 usage, 3 the daemon refused, 4 no daemon.\n";
