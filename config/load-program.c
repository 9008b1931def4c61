/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a program, its interpreter and its folder as execve(2) and chdir(2) would for another user, by owners and modes; nothing
 * is kept. What this process cannot see itself, and where access lists decide (acl(5)), nothing is said. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "config/load-program.h"
#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "schema/base/user.h"

#define GROUPS_MAX 1024
#define INTERPRETER_LINE_BYTES 256 /* BINPRM_BUF_SIZE */

/* Who it is to run as. */
typedef struct Runner {
    bool known;
    uid_t uid;
    gid_t groups[GROUPS_MAX];
    size_t group_count;
    char name[64];
} Runner;

/* Why not; empty: nothing is known against it. */
typedef struct Doubt {
    char why[PATH_MAX + 128];
    const char *hint;
} Doubt;

static void _printf_(3, 4) doubt(Doubt *doubt, const char *hint, const char *format, ...)
{
    va_list arguments;

    doubt->hint = hint;
    va_start(arguments, format);
    vsnprintf(doubt->why, sizeof(doubt->why), format, arguments);
    va_end(arguments);
}

/* ---- who ---- */

static void runner_add_group(Runner *runner, gid_t gid)
{
    if (gid != (gid_t)-1 && runner->group_count < GROUPS_MAX)
        runner->groups[runner->group_count++] = gid;
}

/* As hvsockd does it, see daemon/activate/account.c; who this host does not have is told elsewhere. */
static void runner_find(const Activation *activate, uid_t starts_as, Runner *runner)
{
    const struct passwd *entry;
    gid_t gid = (gid_t)-1, groups[GROUPS_MAX];
    int count = GROUPS_MAX;

    *runner = (Runner){.uid = starts_as};
    if (activate->user && user_find(activate->user, &runner->uid, NULL) < 0)
        return;
    runner->known = runner->uid == 0;
    if (runner->uid == 0 || runner->uid == (uid_t)-1)
        return; /* root may, whatever its groups */
    entry = getpwuid(runner->uid);
    snprintf(runner->name, sizeof(runner->name), "%s", entry ? entry->pw_name : "");
    if (!entry)
        snprintf(runner->name, sizeof(runner->name), "uid %u", (unsigned)runner->uid);
    runner->known = true;
    if (activate->groups && activate->groups[0]) {
        for (size_t i = 0; activate->groups[i] && runner->known; i++) {
            runner->known = group_find(activate->groups[i], &gid) == 0;
            runner_add_group(runner, gid);
        }
        return;
    }
    runner_add_group(runner, entry ? entry->pw_gid : (gid_t)runner->uid);
    if (entry && getgrouplist(runner->name, entry->pw_gid, groups, &count) >= 0)
        for (int i = 0; i < count; i++)
            runner_add_group(runner, groups[i]);
    else if (entry)
        runner->known = false;
}

/* ---- what ---- */

/* 1: execute or search, 4: read. */
static bool runner_may(const Runner *runner, const char *path, const struct stat *status, unsigned wanted)
{
    unsigned shift = 0;

    if (!runner->known || runner->uid == 0 || getxattr(path, "system.posix_acl_access", NULL, 0) >= 0)
        return true;
    for (size_t i = 0; i < runner->group_count; i++)
        shift = runner->groups[i] == status->st_gid ? 3 : shift;
    if (runner->uid == status->st_uid)
        shift = 6;
    return (status->st_mode >> shift & wanted) == wanted;
}

/* Every folder on the way, of the path as it is written. */
static void walk(const Runner *runner, const char *path, Doubt *ret)
{
    struct stat status;
    char folder[PATH_MAX];

    for (const char *slash = strchr(path, '/'); slash && !ret->why[0]; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
        if (stat(folder, &status) == 0 && !runner_may(runner, folder, &status, 1))
            doubt(ret, "let that user in there, or put it elsewhere", "%s may not pass through %s", runner->name, folder);
    }
}

/* ... and then with every symbolic link followed. */
static void check_way(const Runner *runner, const char *path, Doubt *ret)
{
    char real[PATH_MAX];

    if (!runner->known || runner->uid == 0)
        return;
    walk(runner, path, ret);
    if (!ret->why[0] && realpath(path, real))
        walk(runner, real, ret);
}

/* false: it is not there, which is told, or cannot be looked at. */
static bool look_at(const Runner *runner, const char *path, const char *hint, struct stat *ret_status, Doubt *ret)
{
    if (stat(path, ret_status) == 0)
        return true;
    /* What is closed to this process is not, for that, closed to another. */
    if (errno != EACCES || (runner->known && runner->uid == geteuid()))
        doubt(ret, hint, "%s", strerror(errno));
    return false;
}

/* Whether it can be looked into further. */
static bool check_executable(const Runner *runner, const char *path, Doubt *ret)
{
    struct statvfs system;
    struct stat status;

    if (!look_at(runner, path, "install it before a peer connects", &status, ret))
        return false;
    if (!S_ISREG(status.st_mode) || (status.st_mode & 0111) == 0)
        doubt(ret, "name a program", "it is not executable");
    else if (statvfs(path, &system) == 0 && system.f_flag & ST_NOEXEC)
        doubt(ret, "put it elsewhere, or mount that with exec", "its file system is mounted noexec");
    else
        check_way(runner, path, ret);
    if (!ret->why[0] && !runner_may(runner, path, &status, 1))
        doubt(ret, "let that user, or choose another activate.user", "%s may not execute it", runner->name);
    return !ret->why[0];
}

/* A script is read, and executed by what its first line names (execve(2)). */
static void check_script(const Runner *runner, const char *path, Problems *problems)
{
    char line[INTERPRETER_LINE_BYTES] = "";
    Doubt wrong = {0};
    struct stat status;
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(line, 1, sizeof(line) - 1, file) : 0;

    if (file)
        fclose(file);
    if (size < 2 || line[0] != '#' || line[1] != '!')
        return;
    line[strcspn(line, "\n")] = '\0';
    char *interpreter = line + 2 + strspn(line + 2, " \t");
    interpreter[strcspn(interpreter, " \t\r")] = '\0';
    if (!*interpreter)
        return;
    if (check_executable(runner, interpreter, &wrong) && stat(path, &status) == 0 && !runner_may(runner, path, &status, 4))
        doubt(&wrong, "let that user, or choose another activate.user", "%s may not read it, and a script is read", runner->name);
    if (wrong.why[0])
        problems_warn(problems, "activate.exec[0]", wrong.hint, "%s is a script for %s: %s", path, interpreter, wrong.why);
}

static void check_program(const Runner *runner, const char *path, Problems *problems)
{
    Doubt wrong = {0};

    if (check_executable(runner, path, &wrong))
        check_script(runner, path, problems);
    else if (wrong.why[0])
        problems_warn(problems, "activate.exec[0]", wrong.hint, "%s: %s", path, wrong.why);
}

static void check_folder(const Runner *runner, const char *path, Problems *problems)
{
    Doubt wrong = {0};
    struct stat status;

    if (look_at(runner, path, "make it before a peer connects", &status, &wrong)) {
        if (!S_ISDIR(status.st_mode))
            doubt(&wrong, "name a folder", "it is no folder");
        else
            check_way(runner, path, &wrong);
        if (!wrong.why[0] && !runner_may(runner, path, &status, 1))
            doubt(&wrong, "let that user, or choose another folder", "%s may not enter it", runner->name);
    }
    if (wrong.why[0])
        problems_warn(problems, "activate.workingDirectory", wrong.hint, "%s: %s", path, wrong.why);
}

/* Only root becomes somebody else. */
static void check_user(const Activation *activate, const Runner *runner, uid_t starts_as, Problems *problems)
{
    static const char hint[] = "leave it out, or run hvsockd as root";

    if (starts_as == 0 || starts_as == (uid_t)-1)
        return;
    if (runner->uid != (uid_t)-1 && runner->uid != starts_as)
        problems_warn(problems, "activate.user", hint, "hvsock-keeper, which starts programs, is uid %u here, and cannot become %s",
                      (unsigned)starts_as, activate->user);
    else if (activate->groups && activate->groups[0])
        problems_warn(problems, "activate.groups", hint, "hvsock-keeper, which starts programs, is uid %u here, and cannot change its groups",
                      (unsigned)starts_as);
}

int load_check_program(const Activation *activate, uid_t starts_as, Problems *problems)
{
    /* A unit has its user and folder in its own file. */
    if (!activate->exec || !activate->exec[0])
        return 0;
    _cleanup_(freep) Runner *runner = malloc(sizeof(*runner));
    if (!runner)
        return -ENOMEM;
    runner_find(activate, starts_as, runner);
    check_program(runner, activate->exec[0], problems);
    if (activate->working_directory)
        check_folder(runner, activate->working_directory, problems);
    check_user(activate, runner, starts_as, problems);
    return 0;
}
