/* probe.c - does the fallback work on this system? By trying: a process of ours is put under the filter, makes a socket and connects
 * to the proxy's listener by way of the broker. It runs no program and sees nothing. */
#include "launch/broker.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { EG_PROBE_MS = 10000 };

enum probe_step { PROBE_OK, PROBE_FILTER, PROBE_NESTED, PROBE_SOCKET, PROBE_CONNECT };

static enum probe_step try_all(const struct eg_plan *plan, int report)
{
    const struct eg_seccomp_rules rules = { .alone = true };
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons(plan->port) };
    struct eg_err err = { 0 };
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* as every program is that the command executes */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return PROBE_FILTER;
    enum eg_status status = eg_command_supervise(&rules, report, &err);
    if (status != EG_OK)
        return status == EG_PERMISSION ? PROBE_NESTED : PROBE_FILTER;
    close(report);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return PROBE_SOCKET;
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) < 0)
        return PROBE_CONNECT;
    return PROBE_OK;
}

static enum eg_status refused(enum probe_step step, struct eg_err *err)
{
    static const char *const texts[] = {
        [PROBE_OK] = "no answer in time",
        [PROBE_FILTER] = "the filter is refused: Linux 5.14 or newer is needed, with seccomp",
        [PROBE_NESTED] = "a sandbox around this one supervises its system calls already; it holds this "
                         "command too: run with --no-enforce inside it",
        [PROBE_SOCKET] = "sockets can't be bound to the loopback device and passed on: Linux 5.14 or "
                         "newer is needed",
        [PROBE_CONNECT] = "the child's arguments can't be read: set kernel.yama.ptrace_scope to 0 or 1 "
                          "(sysctl), and let a container have an unmasked /proc",
    };
    return eg_err_set(err, EG_PERMISSION, "launch", 0, "supervised system calls don't work here: %s",
                      texts[step]);
}

/* Serves the probe until it has ended; its exit status is the step that failed. */
static enum eg_status serve(struct eg_broker *b, pid_t pid, struct eg_err *err)
{
    uint64_t until = eg_clock_ms() + EG_PROBE_MS;
    struct pollfd p = { .fd = eg_broker_fd(b), .events = POLLIN };
    for (;;) {
        int status;
        bool there = eg_broker_turn(b);
        pid_t gone = waitpid(pid, &status, there ? WNOHANG : 0);
        if (gone == pid && WIFEXITED(status) && WEXITSTATUS(status) <= PROBE_CONNECT)
            return WEXITSTATUS(status) == PROBE_OK ? EG_OK : refused((enum probe_step)WEXITSTATUS(status), err);
        if (gone == pid || eg_clock_ms() > until)
            return refused(PROBE_OK, err);
        (void)poll(&p, 1, 100); /* the listener hangs up when the probe ends */
    }
}

enum eg_status eg_probe(const struct eg_plan *plan, struct eg_err *err)
{
    struct eg_broker *b = NULL;
    struct eg_report said;
    int ends[2], status;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no socket pair");
    pid_t pid = fork();
    if (pid < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no process");
    if (pid == 0) {
        close(ends[0]);
        _exit(try_all(plan, ends[1]));
    }
    close(ends[1]);
    enum eg_status got = eg_command_listener(plan, ends[0], &said, &b, err);
    close(ends[0]);
    if (got == EG_OK) {
        got = serve(b, pid, err);
        kill(pid, SIGKILL);
        eg_broker_free(b);
        waitpid(pid, NULL, 0);
        return got;
    }
    got = waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == PROBE_NESTED
              ? refused(PROBE_NESTED, err)
              : refused(PROBE_FILTER, err);
    return got;
}
