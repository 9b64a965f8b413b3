/* cmd_run_stale.c - which control sockets the next run removes: those of runs that were killed, and no other file. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
    eg_run_drop_stale(at("run-1.sock"));
    cr_expect_neq(access(at(killed), F_OK), 0);
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++) {
        cr_expect_eq(access(at(kept[i]), F_OK), 0, "%s", kept[i]);
        unlink(at(kept[i]));
    }
    close(listener);
    cr_expect_eq(rmdir(folder), 0);
}

Test(cmd_run_stale, folder_that_is_not_there_is_nothing_to_do)
{
    eg_run_drop_stale("/no/such/folder/run-1.sock");
    eg_run_drop_stale("");
}
