/* command.c - from init's fork to the command's exec: its own process group, signals as a shell leaves them, Landlock where no
 * mounts hold it, the filter, and the way of the filter's listener to init. What fails before the exec is reported; the end of the
 * report's socket without a word is the exec. */
#include "launch/broker.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A group of its own: kill(0, ...) from inside must not reach the launcher, whose group the
 * command would otherwise be in. */
static void take_terminal(const struct eg_plan *plan)
{
    setpgid(0, 0);
    if (plan->tty >= 0 && plan->foreground)
        tcsetpgrp(plan->tty, getpid()); /* every signal is blocked here, SIGTTOU too */
}

/* As a shell starts a command; what nohup and `&` had ignored stays ignored. */
static void default_signals(void)
{
    const struct sigaction plain = { .sa_handler = SIG_DFL };
    struct sigaction now;
    sigset_t none;
    for (int s = 1; s < NSIG; s++) {
        bool asked = s == SIGHUP || s == SIGINT || s == SIGQUIT;
        if (asked && sigaction(s, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            continue;
        if (s != SIGKILL && s != SIGSTOP)
            sigaction(s, &plain, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

struct eg_seccomp_rules eg_command_rules(const struct eg_plan *plan)
{
    unsigned abi = eg_landlock_abi();
    if (abi > plan->landlock_abi)
        abi = plan->landlock_abi;
    bool alone = plan->enforcement == EG_ENFORCE_SECCOMP;
    return (struct eg_seccomp_rules){ .alone = alone,
                                      .scoped = alone && abi >= EG_LANDLOCK_SCOPE,
                                      .truncate = alone && abi < EG_LANDLOCK_TRUNCATE,
                                      .sockets = plan->socket_count > 0 };
}

enum eg_status eg_command_supervise(const struct eg_seccomp_rules *rules, int report,
                                    struct eg_err *err)
{
    const struct eg_report r = { .kind = EG_REPORT_LISTENER };
    int listener = -1;
    enum eg_status status = eg_seccomp_install(rules, &listener, err);
    if (status != EG_OK || listener < 0)
        return status;
    status = eg_wire_report(report, &r, listener);
    close(listener);
    return status == EG_OK ? status : eg_err_set(err, status, "launch", 0, "init is gone");
}

static enum eg_status confine(const struct eg_plan *plan, const struct eg_go *go, int report,
                              struct eg_err *err)
{
    if (plan->enforcement == EG_ENFORCE_NONE)
        return EG_OK;
    const struct eg_seccomp_rules rules = eg_command_rules(plan);
    enum eg_status status = rules.alone ? eg_landlock_apply(go, plan->landlock_abi, err) : EG_OK;
    return status == EG_OK ? eg_command_supervise(&rules, report, err) : status;
}

/* execvp's EACCES may be that of a folder of PATH which the child's user can't read, and says
 * nothing of the command then. */
static bool is_anywhere(const char *name, char *const *environment)
{
    static const char key[] = "PATH=";
    char path[PATH_MAX];
    const char *at = NULL;
    for (; *environment && !at; environment++)
        if (strncmp(*environment, key, sizeof key - 1) == 0)
            at = *environment + sizeof key - 1;
    bool found = strchr(name, '/') || !at;
    while (at && !found) {
        size_t n = strcspn(at, ":");
        snprintf(path, sizeof path, "%.*s/%s", n ? (int)n : 1, n ? at : ".", name);
        found = access(path, F_OK) == 0;
        at = at[n] ? at + n + 1 : NULL;
    }
    return found;
}

static _Noreturn void command_main(const struct eg_plan *plan, const struct eg_go *go, int report)
{
    struct eg_report r = { .kind = EG_REPORT_FAILED };
    struct eg_err err = { 0 };
    enum eg_status status = eg_init_die_with_parent(plan->sock, SIGKILL, &err);
    take_terminal(plan);
    default_signals();
    if (status == EG_OK)
        status = confine(plan, go, report, &err);
    if (status == EG_OK) {
        environ = go->environment; /* execvp looks PATH up in it */
        execvp(plan->argv[0], plan->argv);
        r.kind = EG_REPORT_EXEC;
        err.sys = errno;
        if (err.sys == EACCES && !is_anywhere(plan->argv[0], environ))
            err.sys = ENOENT;
    }
    r.status = (int32_t)status;
    r.sys = err.sys;
    snprintf(r.text, sizeof r.text, "%s", err.text);
    _exit(eg_wire_report(report, &r, -1) == EG_OK ? 125 : 124);
}

enum eg_status eg_command_listener(const struct eg_plan *plan, int from, struct eg_report *said,
                                   struct eg_broker **ret, struct eg_err *err)
{
    int fd = -1;
    enum eg_status status = eg_wire_read_report(from, said, &fd);
    if (status != EG_OK || said->kind != EG_REPORT_LISTENER || fd < 0) {
        if (fd >= 0)
            close(fd);
        return status == EG_OK ? EG_NOT_FOUND : status;
    }
    const struct eg_broker_spec spec = { .notify = fd,
                                         .alone = plan->enforcement == EG_ENFORCE_SECCOMP,
                                         .port = plan->port,
                                         .sockets = plan->socket_fds,
                                         .paths = plan->sockets,
                                         .socket_count = plan->socket_count };
    return eg_broker_new(&spec, ret, err);
}

/* What the command says before it is one. */
static enum eg_status hear(const struct eg_plan *plan, int from, struct eg_broker **broker,
                           struct eg_report *said, struct eg_err *err)
{
    enum eg_status status = eg_command_listener(plan, from, said, broker, err);
    int none = -1;
    if (status == EG_OK)
        status = eg_wire_read_report(from, said, &none);
    if (none >= 0)
        close(none);
    if (status == EG_CLOSED) {
        *said = (struct eg_report){ .kind = EG_REPORT_RUNNING };
        status = EG_OK;
    }
    return status == EG_NOT_FOUND ? EG_OK : status;
}

enum eg_status eg_command_start(const struct eg_plan *plan, const struct eg_go *go,
                                struct eg_broker **broker, pid_t *ret, struct eg_err *err)
{
    struct eg_report said = { 0 };
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no socket pair to the command");
    pid_t pid = fork();
    if (pid < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no process for the command");
    if (pid == 0)
        command_main(plan, go, ends[1]);
    close(ends[1]);
    enum eg_status status = hear(plan, ends[0], broker, &said, err);
    close(ends[0]);
    if (status != EG_OK)
        return status;
    if (eg_wire_report(plan->sock, &said, -1) != EG_OK || said.kind != EG_REPORT_RUNNING)
        _exit(125);
    *ret = pid;
    return EG_OK;
}
