/* cmd_run_stale.c - which control sockets the next run removes: those of runs that were killed, and no other file. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/run.h"

TestSuite(cmd_run_stale, .timeout = 60);

static char folder[] = "/tmp/egress-stale-XXXXXX";

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Its descriptor; closed, nobody listens there any more. */
static int serve(const char *name, bool listening)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_lt((size_t)snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", folder, name),
                 sizeof a.sun_path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    cr_assert(!listening || listen(fd, 1) == 0);
    return fd;
}

static pid_t dead(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    return pid;
}

Test(cmd_run_stale, sockets_of_killed_runs_are_removed_and_nothing_else)
{
    char killed[64], live[64], ours[64];
    snprintf(killed, sizeof killed, "run-%d.sock", (int)dead());
    snprintf(live, sizeof live, "run-%d.sock", (int)dead()); /* of another process namespace */
    snprintf(ours, sizeof ours, "run-%d.sock", (int)getpid());
    const char *kept[] = { live,
                           ours,
                           "default.sock",
                           "run-.sock",
                           "run-1x.sock",
                           "run-0.sock",
                           "run-99999999999999999999.sock" };
    cr_assert_not_null(mkdtemp(folder));
    close(serve(killed, true));
    int listener = serve(live, true);
    for (unsigned i = 1; i < sizeof kept / sizeof *kept; i++)
        close(serve(kept[i], false)); /* ours: bound, and not listening yet */
    eg_run_drop_stale(at("run-1.sock"), 0);
    cr_expect_neq(access(at(killed), F_OK), 0);
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++) {
        cr_expect_eq(access(at(kept[i]), F_OK), 0, "%s", kept[i]);
        unlink(at(kept[i]));
    }
    close(listener);
    cr_expect_eq(rmdir(folder), 0);
}

/* With a socket in it, as a killed master of ssh's leaves it. */
static void folder_of_ssh(const char *name)
{
    char path[96];
    cr_assert_eq(mkdir(at(name), 0700), 0);
    snprintf(path, sizeof path, "%s/m0", name);
    close(serve(path, true));
}

Test(cmd_run_stale, folders_of_ssh_go_with_their_run_unless_they_are_locked)
{
    char killed[64], live[64], ours[64];
    snprintf(killed, sizeof killed, "ssh-%d-abcdef", (int)dead());
    snprintf(live, sizeof live, "ssh-%d-abcdeg", (int)dead()); /* of another process namespace */
    snprintf(ours, sizeof ours, "ssh-%d-abcdef", (int)getpid());
    cr_assert_not_null(mkdtemp(folder));
    folder_of_ssh(killed);
    folder_of_ssh(live);
    folder_of_ssh(ours);
    int lock = open(at(live), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(flock(lock, LOCK_EX), 0);
    eg_run_drop_stale(at("run-1.sock"), 0);
    cr_expect_neq(access(at(killed), F_OK), 0);
    cr_expect_eq(access(at(live), F_OK), 0);
    cr_expect_eq(access(at(ours), F_OK), 0);
    close(lock);
    eg_run_drop_stale(at("run-1.sock"), getpid()); /* as its janitor: of that one alone */
    cr_expect_neq(access(at(ours), F_OK), 0);
    cr_expect_eq(access(at(live), F_OK), 0);
    eg_run_drop_stale(at("run-1.sock"), 0);
    cr_expect_eq(rmdir(folder), 0);
}

Test(cmd_run_stale, folder_that_is_not_there_is_nothing_to_do)
{
    eg_run_drop_stale("/no/such/folder/run-1.sock", 0);
    eg_run_drop_stale("", 0);
}
