/* launch.c - the launcher's side: clones the namespace's init, maps its ids, receives the
 * listener, covers and lets the command go, passes signals on. The terminal is in job.c. Blocking
 * until the command runs, with a deadline; never afterwards. */
#include "launch/broker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"

static enum eg_status pair(int ends[2], struct eg_err *err)
{
    struct timeval deadline = { .tv_sec = EG_REPORT_DEADLINE_S };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no socket pair for the child");
    if (setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) < 0 ||
        setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline) < 0) {
        close(ends[0]);
        close(ends[1]);
        return eg_err_set(err, EG_IO, "launch", errno, "no deadline for the child");
    }
    return EG_OK;
}

/* In the fallback our end of the socket is what init lives by: it ends all others first. */
static bool ends_by_itself(struct eg_launch *l)
{
    uint64_t until = eg_clock_ms() + EG_REPORT_DEADLINE_S * 1000;
    const struct timespec pause = { .tv_nsec = 1000000 };
    if (l->enforcement != EG_ENFORCE_SECCOMP)
        return false;
    if (l->sock >= 0)
        shutdown(l->sock, SHUT_RDWR);
    while (eg_clock_ms() < until) {
        pid_t gone = waitpid(l->pid, NULL, WNOHANG);
        if (gone == l->pid || (gone < 0 && errno == ECHILD))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Ends and reaps a child that never ran the command, or is to run it no longer. */
static void discard(struct eg_launch *l)
{
    if (l->pid <= 0 || l->gone)
        return;
    if (!ends_by_itself(l)) {
        kill(l->pid, SIGKILL);
        while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    l->gone = true;
}

static enum eg_status refused_report(const struct eg_report *r, enum eg_status status,
                                     struct eg_err *err)
{
    if (status == EG_OK && r->kind == EG_REPORT_FAILED && r->status > EG_OK &&
        r->status < EG_STATUS_COUNT)
        return eg_err_set(err, (enum eg_status)r->status, "launch", r->sys, "%s", r->text);
    return eg_err_set(err, EG_IO, "launch", 0, "the child's first process gave no answer");
}

/* The listening sockets, until init says that it is ready. */
static enum eg_status receive_entries(struct eg_launch *l, struct eg_err *err)
{
    for (;;) {
        struct eg_report r = { 0 };
        int fd = -1;
        enum eg_status status = eg_wire_read_report(l->sock, &r, &fd);
        if (status == EG_OK && r.kind == EG_REPORT_READY && fd < 0 && l->entry_count > 0)
            return EG_OK;
        if (status != EG_OK || r.kind != EG_REPORT_ENTRY || fd < 0 || r.port == 0 ||
            r.status < EG_ENTRY_PROXY || r.status > EG_ENTRY_NAMES_TCP ||
            r.port > 65535 || l->entry_count == EG_ENTRY_MAX) {
            if (fd >= 0)
                close(fd);
            return refused_report(&r, status, err);
        }
        l->entries[l->entry_count++] = (struct eg_launch_entry){
            .kind = (enum eg_entry)r.status,
            .fd = fd,
            .at = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } }, .port = (uint16_t)r.port },
        };
        (void)eg_sock_local(fd, &l->entries[l->entry_count - 1].at); /* ::1 it may be too */
    }
}

/* One try: a first process that is ready. */
static enum eg_status try(struct eg_launch *l, struct eg_plan plan, enum eg_enforcement enforcement,
                          struct eg_err *err)
{
    const char mapped = EG_ORDER_MAPPED;
    int ends[2];
    enum eg_status status = pair(ends, err);
    if (status != EG_OK)
        return status;
    l->sock = ends[0];
    l->gone = false;
    l->enforcement = plan.enforcement = enforcement;
    plan.sock = ends[1];
    if (enforcement == EG_ENFORCE_SECCOMP)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* see eg_launch_sweep */
    l->pid = eg_namespace_clone(enforcement);
    if (l->pid == 0)
        eg_init_main(&plan);
    int sys = errno;
    close(ends[1]);
    if (l->pid < 0)
        return eg_namespace_refused(sys, "a namespace for the child", err);
    if (enforcement == EG_ENFORCE_NAMESPACES)
        status = eg_namespace_map(l->pid, &plan.who, err);
    if (status == EG_OK)
        status = eg_wire_write(l->sock, &mapped, 1);
    return status == EG_OK ? receive_entries(l, err) : status;
}

/* Nothing of a try is left. */
static void undo(struct eg_launch *l)
{
    discard(l);
    l->pid = 0;
    if (l->sock >= 0)
        close(l->sock);
    l->sock = -1;
    for (unsigned i = 0; i < l->entry_count; i++)
        close(l->entries[i].fd);
    l->entry_count = 0;
}

/* From the strongest down; NONE is nothing that one falls back to. */
static enum eg_status try_in_turn(struct eg_launch *l, const struct eg_launch_spec *spec,
                                  const struct eg_plan *plan, struct eg_err *err)
{
    struct eg_err why = { 0 };
    enum eg_status status = try(l, *plan, spec->strongest, err);
    if (status != EG_PERMISSION || spec->strongest != EG_ENFORCE_NAMESPACES ||
        spec->weakest != EG_ENFORCE_SECCOMP)
        return status;
    undo(l);
    snprintf(l->weaker_because, sizeof l->weaker_because, "%s", err->text);
    status = try(l, *plan, EG_ENFORCE_SECCOMP, &why);
    if (status == EG_OK)
        eg_err_reset(err);
    else
        eg_err_set(err, status, "launch", why.sys, "%.90s; nor: %.100s", l->weaker_because, why.text);
    return status;
}

enum eg_status eg_launch_prepare(const struct eg_launch_spec *spec, struct eg_launch **ret,
                                 struct eg_err *err)
{
    struct eg_plan plan = { .argv = spec->argv,
                            .capture = spec->capture,
                            .sockets = spec->sockets,
                            .landlock_abi = spec->landlock_abi ? spec->landlock_abi : EG_LANDLOCK_NEWEST };
    enum eg_status status = eg_who_find(spec, &plan.who, err);
    if (status != EG_OK)
        return status;
    struct eg_launch *l = calloc(1, sizeof *l);
    if (!l)
        return EG_NOMEM;
    l->sock = l->tty = -1;
    eg_launch_find_terminal(l);
    plan.tty = l->tty;
    plan.foreground = l->foreground;
    status = try_in_turn(l, spec, &plan, err);
    if (status == EG_OK) {
        *ret = l;
        return EG_OK;
    }
    undo(l);
    eg_launch_free(l);
    return status;
}

const char *eg_enforcement_name(enum eg_enforcement e)
{
    static const char *const names[] = { "none", "seccomp", "namespaces" };
    return names[e];
}

enum eg_enforcement eg_launch_enforcement(const struct eg_launch *l)
{
    return l->enforcement;
}

const char *eg_launch_weaker_because(const struct eg_launch *l)
{
    return l->weaker_because;
}

const struct eg_launch_entry *eg_launch_entries(const struct eg_launch *l, unsigned *count)
{
    *count = l->entry_count;
    return l->entries;
}

const struct eg_sockaddr *eg_launch_address(const struct eg_launch *l, enum eg_entry kind)
{
    for (unsigned i = 0; i < l->entry_count; i++)
        if (l->entries[i].kind == kind)
            return &l->entries[i].at;
    return NULL;
}

pid_t eg_launch_pid(const struct eg_launch *l)
{
    return l->pid;
}

static enum eg_status not_executed(int sys, struct eg_err *err)
{
    if (sys == ENOENT || sys == ENOTDIR)
        return eg_err_set(err, EG_NOT_FOUND, "launch", sys, "the command was not found");
    return eg_err_set(err, EG_PERMISSION, "launch", sys, "the command can't be executed");
}

/* 126 is for the command; what fails before it is ours. */
static enum eg_status not_let_go(struct eg_launch *l, const struct eg_report *r,
                                 enum eg_status status, struct eg_err *err)
{
    discard(l);
    if (status == EG_OK && r->kind == EG_REPORT_EXEC)
        return not_executed(r->sys, err);
    status = refused_report(r, status, err);
    return status == EG_PERMISSION || status == EG_NOT_FOUND ? EG_IO : status;
}

static enum eg_status hear(struct eg_launch *l, struct eg_report *r)
{
    int passed = -1;
    enum eg_status status = eg_wire_read_report(l->sock, r, &passed);
    if (passed >= 0)
        close(passed);
    return status;
}

/* What can't be sent was not wanted any more: init has said why. */
static enum eg_status send_go(struct eg_launch *l, char *const *environment,
                              const struct eg_launch_paths *paths, struct eg_err *err)
{
    struct eg_report r = { 0 };
    enum eg_status status = eg_wire_send_go(l->sock, environment, paths, err);
    return status == EG_CLOSED ? not_let_go(l, &r, hear(l, &r), err) : status;
}

enum eg_status eg_launch_cover(struct eg_launch *l, const struct eg_launch_paths *paths,
                               struct eg_err *err)
{
    l->covered = true;
    return send_go(l, NULL, paths, err);
}

enum eg_status eg_launch_go(struct eg_launch *l, char *const *environment, struct eg_err *err)
{
    struct eg_report r = { 0 };
    enum eg_status status = l->covered ? EG_OK : eg_launch_cover(l, NULL, err);
    if (status == EG_OK)
        status = send_go(l, environment, NULL, err);
    if (status != EG_OK)
        return status;
    status = hear(l, &r);
    return status == EG_OK && r.kind == EG_REPORT_RUNNING ? EG_OK
                                                          : not_let_go(l, &r, status, err);
}

void eg_launch_signal(struct eg_launch *l, int signal)
{
    const unsigned char order[2] = { EG_ORDER_SIGNAL, (unsigned char)signal };
    if (l->gone)
        return;
    if (signal == SIGTSTP && l->tty < 0) {
        raise(SIGSTOP); /* nobody would wake the command: we wait alone */
        return;
    }
    if (l->enforcement != EG_ENFORCE_SECCOMP)
        kill(l->pid, signal);
    else if (eg_wire_write(l->sock, order, sizeof order) != EG_OK)
        return; /* it ended meanwhile, and its status says so */
}

int eg_launch_events_fd(const struct eg_launch *l)
{
    return l->sock;
}

void eg_launch_ended(struct eg_launch *l)
{
    struct eg_report r;
    l->gone = true;
    while (eg_launch_next_report(l, &r))
        ;
}

enum eg_status eg_launch_failed(const struct eg_launch *l, struct eg_err *err)
{
    return l->failure.kind == EG_REPORT_FAILED ? refused_report(&l->failure, EG_OK, err) : EG_OK;
}

void eg_launch_sweep(void)
{
    int subreaper = 0;
    if (prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) == 0 && subreaper)
        eg_descent_end();
}

void eg_launch_free(struct eg_launch *l)
{
    if (!l)
        return;
    discard(l);
    eg_launch_take_terminal(l);
    if (l->sock >= 0)
        close(l->sock);
    if (l->tty >= 0)
        close(l->tty);
    free(l);
}

int eg_launch_exit_code(int wait_status)
{
    if (WIFEXITED(wait_status))
        return WEXITSTATUS(wait_status);
    return WIFSIGNALED(wait_status) ? (128 + WTERMSIG(wait_status)) & 255 : 255;
}
