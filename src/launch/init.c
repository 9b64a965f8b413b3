/* init.c - process 1 of the child's namespaces. It sets them up, starts the command, reaps what
 * is orphaned, passes signals on, tells the launcher when the command stops, and ends with its
 * status; the kernel then ends all others of the namespace. It is a clone of the launcher from
 * before any secret was read, and the environment it was born with is overwritten first.
 * Undumpable; it dies with the launcher. With enforcement off it is the same process without
 * namespaces. In the fallback (seccomp) it has none either: it answers the command's supervised calls (broker.h), ends what
 * descends from it itself, and has a guard for its parent (guard.c). */
#include "launch/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EG_INIT_SOCK = 3, EG_INIT_TTY = 4, EG_INIT_FREE = 5 };

static _Noreturn void fail(int sock, enum eg_status status, const struct eg_err *err)
{
    struct eg_report r = { .kind = EG_REPORT_FAILED, .status = (int32_t)status, .sys = err->sys };
    snprintf(r.text, sizeof r.text, "%s", err->text);
    enum eg_status sent = eg_wire_report(sock, &r, -1);
    _exit(sent == EG_OK ? 125 : 124);
}

/* /proc/PID/environ is readable to its owner and would be copied to the command by a forgetful
 * exec. */
static void wipe_environment(void)
{
    for (char **e = environ; e && *e; e++)
        explicit_bzero(*e, strlen(*e));
    environ = NULL;
}

/* Descriptors 0, 1 and 2 are the command's; ours come next; whatever else the launcher's caller
 * left open is closed. */
static enum eg_status keep_descriptors(struct eg_plan *plan, struct eg_err *err)
{
    int sock = fcntl(plan->sock, F_DUPFD_CLOEXEC, 16);
    int tty = plan->tty >= 0 ? fcntl(plan->tty, F_DUPFD_CLOEXEC, 16) : -1;
    if (sock < 0 || dup3(sock, EG_INIT_SOCK, O_CLOEXEC) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no descriptor for the launcher");
    plan->sock = EG_INIT_SOCK;
    if (tty >= 0 && dup3(tty, EG_INIT_TTY, O_CLOEXEC) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no descriptor for the terminal");
    plan->tty = tty >= 0 ? EG_INIT_TTY : -1;
    if (tty < 0)
        close(EG_INIT_TTY);
    if (close_range(EG_INIT_FREE, ~0U, 0) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "descriptors can't be closed");
    return EG_OK;
}

/* The id map holds one user and one group; a change from root to them keeps capabilities here,
 * since root is not in it. */
static enum eg_status become(const struct eg_who *who, bool alone, struct eg_err *err)
{
    if (!who->change)
        return EG_OK;
    /* What can be given up only now; a user namespace's is given up later. */
    for (unsigned long cap = 0; alone && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    if (syscall(SYS_setgroups, 0, NULL) < 0 || setresgid(who->gid, who->gid, who->gid) < 0 ||
        setresuid(who->uid, who->uid, who->uid) < 0)
        return eg_err_set(err, EG_PERMISSION, "launch", errno, "becoming the child's user failed");
    return EG_OK;
}

enum eg_status eg_init_die_with_parent(int sock, int signal, struct eg_err *err)
{
    struct pollfd p = { .fd = sock, .events = 0 };
    if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no signal for the launcher's end");
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP)) /* it went before the call above */
        _exit(124);
    return EG_OK;
}

/* Nobody outlives init: a pid namespace sees to that, and where there is none, we do. */
static _Noreturn void leave(const struct eg_plan *plan, int code)
{
    if (plan->enforcement == EG_ENFORCE_SECCOMP)
        eg_descent_end();
    _exit(code);
}

/* Opened as the child's user and before anything is covered: what it could not reach it does not
 * reach now. */
static enum eg_status open_sockets(struct eg_plan *plan, struct eg_err *err)
{
    for (char *const *path = plan->sockets; path && *path; path++) {
        struct stat st;
        if (plan->socket_count == EG_SOCKETS_MAX)
            return eg_err_set(err, EG_TOO_BIG, "launch", 0, "more than %d sockets", EG_SOCKETS_MAX);
        int fd = open(*path, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
            return eg_err_set(err, EG_NOT_FOUND, "launch", fd < 0 ? errno : 0,
                              "--socket %.120s is no socket that the command's user reaches", *path);
        plan->socket_fds[plan->socket_count++] = fd;
    }
    return EG_OK;
}

/* One listening socket to the launcher. */
static enum eg_status give_entry(const struct eg_plan *plan, enum eg_entry kind, int fd,
                                 uint16_t port, struct eg_err *err)
{
    const struct eg_report r = { .kind = EG_REPORT_ENTRY, .status = (int32_t)kind, .port = port };
    enum eg_status status = eg_wire_report(plan->sock, &r, fd);
    close(fd);
    return status == EG_OK ? status : eg_err_set(err, status, "launch", 0, "the launcher is gone");
}

static enum eg_status give_capture(const struct eg_plan *plan, struct eg_err *err)
{
    struct eg_capture_socket sockets[EG_CAPTURE_SOCKETS];
    unsigned count;
    enum eg_status status = eg_capture_open(sockets, &count, err);
    for (unsigned i = 0; status == EG_OK && i < count; i++)
        status = give_entry(plan, sockets[i].kind, sockets[i].fd, sockets[i].port, err);
    return status;
}

static enum eg_status give_entries(const struct eg_plan *plan, struct eg_err *err)
{
    int fd;
    uint16_t port;
    enum eg_status status = eg_namespace_listen(&fd, &port, err);
    if (status == EG_OK)
        status = give_entry(plan, EG_ENTRY_PROXY, fd, port, err);
    if (status != EG_OK || plan->enforcement != EG_ENFORCE_NAMESPACES)
        return status;
    status = eg_namespace_listen(&fd, &port, err);
    if (status == EG_OK)
        status = give_entry(plan, EG_ENTRY_OPEN, fd, port, err);
    return status == EG_OK && plan->capture ? give_capture(plan, err) : status;
}

/* The proxy's listener alone, and only once it is known that the child can be held to it. */
static enum eg_status set_up_alone(struct eg_plan *plan, struct eg_err *err)
{
    int fd, probe;
    if (eg_landlock_abi() == 0 || plan->landlock_abi == 0)
        return eg_err_set(err, EG_PERMISSION, "launch", 0,
                          "without namespaces Landlock must keep your files from the command, and there is "
                          "none (Linux 5.13, lsm=landlock,... at boot; a container must permit its calls)");
    enum eg_status status = eg_namespace_listen(&fd, &plan->port, err);
    if (status != EG_OK)
        return status;
    status = eg_probe(plan, err);
    if ((probe = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close(probe);
    if (status == EG_OK)
        return give_entry(plan, EG_ENTRY_PROXY, fd, plan->port, err);
    close(fd);
    return status;
}

static enum eg_status set_up(struct eg_plan *plan, struct eg_err *err)
{
    enum eg_status status =
        become(&plan->who, plan->enforcement == EG_ENFORCE_SECCOMP, err);
    if (status == EG_OK && plan->enforcement != EG_ENFORCE_SECCOMP)
        status = eg_init_die_with_parent(plan->sock, SIGKILL, err);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (status == EG_OK && plan->enforcement != EG_ENFORCE_NONE)
        status = open_sockets(plan, err);
    if (status != EG_OK)
        return status;
    if (plan->enforcement == EG_ENFORCE_NONE) {
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        return give_entries(plan, err);
    }
    /* The session keyring came along with the clone. A kernel without keyrings has nothing to
     * leave. */
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
    if (plan->enforcement == EG_ENFORCE_SECCOMP)
        return set_up_alone(plan, err);
    status = eg_namespace_loopback(err);
    if (status == EG_OK)
        status = give_entries(plan, err);
    return status == EG_OK ? eg_mounts_begin(err) : status;
}

/* ---- watching over it ---- */

/* Our own exit status can't say how the command ended: the first process of a namespace does not
 * die by a signal of its own. */
static void tell(const struct eg_plan *plan, int32_t kind, int signal)
{
    const struct eg_report r = { .kind = kind, .sys = signal };
    if (eg_wire_report(plan->sock, &r, -1) != EG_OK)
        leave(plan, 124);
}

static void reap(const struct eg_plan *plan, pid_t command)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != command)
            continue;
        if (WIFSTOPPED(status)) {
            tell(plan, EG_REPORT_STOPPED, WSTOPSIG(status));
            continue;
        }
        if (WIFSIGNALED(status))
            tell(plan, EG_REPORT_KILLED, WTERMSIG(status));
        leave(plan, eg_launch_exit_code(status));
    }
}

/* What a terminal sends is for all of a job; other signals are for the command alone, whatever it
 * started. */
static void pass(pid_t command, int signal)
{
    bool job = signal == SIGINT || signal == SIGQUIT || signal == SIGTSTP || signal == SIGWINCH;
    kill(job ? -command : command, signal);
}

/* si_pid 0: from outside this namespace, or from the kernel. The command's own signals to us are
 * nobody's business. */
static void on_signal(const struct eg_plan *plan, int fd, pid_t command)
{
    struct signalfd_siginfo info;
    bool child = false;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            child = true;
        else if (info.ssi_signo == SIGCONT)
            continue; /* an order continues the command, once it has the terminal: before, it would stop again for it */
        else if (plan->enforcement != EG_ENFORCE_NAMESPACES || info.ssi_pid == 0)
            pass(command, (int)info.ssi_signo);
    }
    if (child)
        reap(plan, command);
}

static void on_order(const struct eg_plan *plan, pid_t command)
{
    char order;
    ssize_t n = recv(plan->sock, &order, 1, MSG_DONTWAIT);
    if (n == 0)
        leave(plan, 124); /* the launcher is gone: nobody outlives it */
    if (n == 1 && order == EG_ORDER_SIGNAL) {
        unsigned char number;
        if (eg_wire_read(plan->sock, &number, 1) == EG_OK)
            pass(command, number);
        return;
    }
    if (n != 1 || (order != EG_ORDER_FOREGROUND && order != EG_ORDER_BACKGROUND))
        return;
    if (plan->tty >= 0 && order == EG_ORDER_FOREGROUND)
        tcsetpgrp(plan->tty, command);
    kill(-command, SIGCONT);
}

static _Noreturn void watch(const struct eg_plan *plan, pid_t command, int signals,
                            struct eg_broker *broker)
{
    struct pollfd p[3] = { { .fd = signals, .events = POLLIN },
                           { .fd = plan->sock, .events = POLLIN },
                           { .fd = broker ? eg_broker_fd(broker) : -1, .events = POLLIN } };
    reap(plan, command); /* it may have ended before this */
    for (;;) {
        if (poll(p, 3, broker ? eg_broker_timeout(broker) : -1) < 0 && errno != EINTR)
            leave(plan, 124);
        if (broker && !eg_broker_turn(broker))
            p[2].fd = -1; /* nobody is left who could call */
        if (p[0].revents)
            on_signal(plan, signals, command);
        if (p[1].revents)
            on_order(plan, command);
    }
}

/* What needs capabilities, and then none are left. */
static enum eg_status cover(const struct eg_plan *plan, const struct eg_go *go,
                            struct eg_slice found, struct eg_err *err)
{
    if (plan->enforcement == EG_ENFORCE_NONE)
        return EG_OK;
    if (plan->enforcement == EG_ENFORCE_SECCOMP)
        return eg_confine_capabilities(true, err); /* Landlock does the rest, in the command */
    enum eg_status status = eg_mounts_apply(go, found, err);
    if (status == EG_OK && plan->capture)
        status = eg_capture_files(err);
    return status == EG_OK ? eg_confine_capabilities(false, err) : status;
}

/* In two steps, and with a look round before: all of it while the launcher still starts its proxy. */
static enum eg_status be_told(const struct eg_plan *plan, struct eg_go *go, struct eg_err *err)
{
    struct eg_go late;
    struct eg_buf found;
    eg_buf_init(&found, EG_GO_MAX);
    enum eg_status status =
        plan->enforcement == EG_ENFORCE_NAMESPACES ? eg_mounts_look(&found, err) : EG_OK;
    if (status == EG_OK)
        status = eg_wire_read_go(plan->sock, go, err);
    if (status == EG_OK)
        status = cover(plan, go, eg_buf_slice(&found), err);
    eg_buf_done(&found);
    if (status == EG_OK && (status = eg_wire_read_go(plan->sock, &late, err)) == EG_OK)
        go->environment = late.environment;
    return status;
}

_Noreturn void eg_init_main(const struct eg_plan *born)
{
    struct eg_plan plan = *born;
    struct eg_err err = { 0 };
    struct eg_report r = { .kind = EG_REPORT_READY };
    struct eg_go go;
    sigset_t all;
    char order = 0;
    pid_t command = -1;
    struct eg_broker *broker = NULL;
    wipe_environment();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored by our caller, waitpid would never see a status */
    setpgid(0, 0); /* what is sent to the launcher's group comes from the launcher, once */
    if (plan.enforcement == EG_ENFORCE_SECCOMP)
        eg_guard_fork();
    enum eg_status status = keep_descriptors(&plan, &err);
    if (status == EG_OK && eg_wire_read(plan.sock, &order, 1) != EG_OK)
        _exit(124);
    if (status == EG_OK)
        status = set_up(&plan, &err);
    if (status != EG_OK || (status = eg_wire_report(plan.sock, &r, -1)) != EG_OK)
        fail(plan.sock, status, &err);
    if ((status = be_told(&plan, &go, &err)) == EG_CLOSED)
        _exit(124);
    int signals = status == EG_OK ? signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
    if (status == EG_OK)
        status = eg_command_start(&plan, &go, &broker, &command, &err);
    if (status != EG_OK)
        fail(plan.sock, status, &err);
    watch(&plan, command, signals, broker);
}
