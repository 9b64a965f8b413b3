/* run_janitor.c - what is left to do when the launcher of `run` is killed: SIGKILL lets nobody clean up behind
 * itself. This process does nothing but wait for that; a run that ends by itself cleans up, and sends it home.
 *
 * Invariants: it is forked before any secret is read, holds no terminal and none of the caller's descriptors, so
 * that nobody waits for it, and is in a session of its own: what is sent to the launcher's group does not reach it.
 * Nothing is removed before the child is gone: a mount of its namespace ends when the file below it is removed.
 * Killed together with the launcher it leaves what it would have removed to the next run. */
#include "cmd/run_janitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/confine.h"
#include "cmd/run_state.h"

enum { CHILD_END_MS = 60 * 1000 }; /* longer than the fallback's first process takes to end all others */

/* False: it is not over in time. */
static bool wait_for(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t until = eg_clock_ms() + (uint64_t)(ms > 0 ? ms : 0);
    int n;
    do {
        uint64_t now = eg_clock_ms();
        n = poll(&p, 1, ms < 0 ? -1 : now < until ? (int)(until - now) : 0);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* What a run made in the home is its record's to tell: another run may be on, which then does this. */
static void unmake(const struct eg_run *r)
{
    struct eg_run_made made;
    struct eg_err err = { 0 };
    if (!r->places.state[0] || !eg_run_enforced(r))
        return;
    enum eg_status status =
        eg_run_made_begin(&made, r->places.state, r->user.uid, r->user.gid, &err);
    eg_run_made_end(&made);
    (void)status; /* the next run tries again */
}

static _Noreturn void watch(struct eg_run *r, pid_t launcher, int line, int child)
{
    struct eg_err err = { 0 };
    char word;
    (void)wait_for(line, -1);
    if (read(line, &word, 1) == 1)
        _exit(0);
    bool gone = child >= 0 && wait_for(child, CHILD_END_MS);
    eg_run_drop_stale(r->places.control, launcher);
    enum eg_status status = eg_run_files_remove(&r->files, &err);
    if (gone)
        unmake(r);
    _exit(status == EG_OK ? 0 : 1);
}

/* All but those, the caller's 0, 1 and 2 too: who reads them to their end would wait for us. */
static enum eg_status close_others(int *keep, unsigned count, struct eg_err *err)
{
    for (int fd = 0; fd < 3; fd++) {
        bool kept = false;
        for (unsigned i = 0; i < count; i++)
            kept = kept || keep[i] == fd;
        if (!kept)
            close(fd);
    }
    return eg_confine_descriptors(keep, count, err);
}

static _Noreturn void begin(struct eg_run *r, pid_t launcher, int line, int child)
{
    int keep[] = { line, child, r->files.base, r->files.folder };
    struct eg_err err = { 0 };
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored by the caller, waitpid would see no status */
    setsid();
    prctl(PR_SET_NAME, "egress-janitor", 0, 0, 0);
    if (close_others(keep, sizeof keep / sizeof *keep, &err) != EG_OK)
        _exit(1);
    watch(r, launcher, line, child);
}

enum eg_status eg_run_janitor_start(struct eg_run_janitor *j, struct eg_run *r, struct eg_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return eg_err_set(err, EG_IO, "run", errno, "no socket pair");
    int child = (int)syscall(SYS_pidfd_open, eg_launch_pid(r->child), 0);
    pid_t launcher = getpid();
    j->pid = fork();
    if (j->pid == 0)
        begin(r, launcher, ends[0], child);
    int sys = errno;
    close(ends[0]);
    if (child >= 0)
        close(child);
    j->line = ends[1];
    if (j->pid > 0)
        return EG_OK;
    close(j->line);
    j->pid = 0;
    return eg_err_set(err, EG_IO, "run", sys, "no process");
}

void eg_run_janitor_end(struct eg_run_janitor *j)
{
    if (j->pid <= 0)
        return;
    (void)!send(j->line, "e", 1, MSG_NOSIGNAL); /* one that was killed hears nothing */
    while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(j->line); /* after it: the end without a word is that of a killed launcher */
    j->pid = 0;
}
