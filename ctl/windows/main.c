/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl.exe's own beginning: arguments become UTF-8, and so does what is printed; the rest is ctl/main.c. */

#include <io.h>
#include <stdio.h>
#include <windows.h>

#include "ctl/windows/wide.h"

int hvsockctl_main(int argc, char **argv);
int wmain(int argc, wchar_t **wide_argv);

static unsigned console_code_page;

/* The code page is the console's, and stays after us: it is put back. */
static void main_restore_console(void)
{
    fflush(stdout);
    fflush(stderr);
    SetConsoleOutputCP(console_code_page);
}

static void main_set_console(void)
{
    HANDLE console = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD mode;

    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    /* Whole texts, or a console would be given characters byte by byte. ctl_tell flushes. */
    setvbuf(stderr, NULL, _IOFBF, 8192);
    console_code_page = GetConsoleOutputCP();
    if (console_code_page == 0)
        return;
    SetConsoleOutputCP(CP_UTF8);
    atexit(main_restore_console);
    if (GetConsoleMode(console, &mode))
        SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

int wmain(int argc, wchar_t **wide_argv)
{
    char **argv = calloc((size_t)argc + 1, sizeof(*argv));

    for (int i = 0; argv && i < argc; i++) {
        argv[i] = wide_to_text(wide_argv[i], wcslen(wide_argv[i]));
        if (!argv[i])
            return 2;
    }
    if (!argv)
        return 2;
    main_set_console();
    return hvsockctl_main(argc, argv); /* the process ends: what argv holds goes with it */
}
