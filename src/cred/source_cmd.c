/* source_cmd.c - credentials from a program's output: no shell, an environment that the caller
 * names, a deadline, a limit.
 *
 * Blocking: only the supervisor's short-lived helpers call this. Nothing of the program's output
 * reaches an error, neither stdout nor stderr. Invariant: its process group is killed while its
 * leader is not reaped yet, so that the number can't have become somebody else's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cred/source.h"

static const char layer[] = "credential";

struct run {
    const struct eg_source_command *command;
    struct eg_err *err;
    pid_t pid;
    int out, failed, signals; /* stdout; errno of an exec that failed; SIGCHLD and SIGTERM */
    sigset_t old;
    char *to; /* room for limit + 2 bytes */
    size_t got;
};

/* ---- which program ---- */

static enum eg_status judge(const char *path, bool only_root, struct eg_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return eg_err_set(err, errno == EACCES ? EG_PERMISSION : EG_NOT_FOUND, layer, errno,
                          "cmd: %s", path);
    if (!S_ISREG(st.st_mode) || !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
        return eg_err_set(err, EG_NOT_FOUND, layer, 0, "cmd: %s is not a program", path);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) ||
        (st.st_uid != 0 && (only_root || st.st_uid != geteuid())))
        return eg_err_set(err, EG_PERMISSION, layer, 0,
                          "cmd: %s could be changed by other users (chmod go-w it)", path);
    return EG_OK;
}

static bool folder_safe(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

enum eg_status eg_source_program(const char *name, char *path, struct eg_err *err)
{
    static const char *const folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                           "/usr/bin",        "/sbin",          "/bin" };
    struct eg_err why = { 0 };
    size_t n = strlen(name);
    if (n == 0 || n > EG_PROGRAM_PATH - 20 || strchr(name, '/'))
        return eg_err_set(err, EG_INVALID, layer, 0, "cmd: takes the name of a program");
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, EG_PROGRAM_PATH, "%s/%s", folders[i], name);
        eg_err_reset(&why);
        if (folder_safe(folders[i]) && judge(path, true, &why) == EG_OK)
            return EG_OK;
        if (why.status == EG_PERMISSION)
            return eg_err_set(err, EG_PERMISSION, layer, 0, "%s", why.text);
    }
    return eg_err_set(err, EG_NOT_FOUND, layer, 0, "cmd: %s is not installed", name);
}

/* ---- its process ---- */

static _Noreturn void child(const struct run *r, int out, int failed)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 1; i < SIGRTMAX; i++) /* what is ignored would stay ignored */
        (void)signal(i, SIG_DFL);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(null, 2) == 2 &&
        chdir("/") == 0)
        execve(r->command->argv[0], (char *const *)(uintptr_t)r->command->argv,
               (char *const *)(uintptr_t)r->command->env);
    int sys = errno;
    (void)!write(failed, &sys, sizeof sys);
    _exit(127);
}

static enum eg_status start(struct run *r)
{
    int out[2] = { -1, -1 }, failed[2] = { -1, -1 };
    sigset_t heard;
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGTERM);
    sigprocmask(SIG_BLOCK, &heard, &r->old);
    r->signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r->signals >= 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(failed, O_CLOEXEC) == 0)
        r->pid = fork();
    if (r->pid == 0)
        child(r, out[1], failed[1]);
    int sys = errno;
    if (r->pid > 0)
        (void)setpgid(r->pid, r->pid); /* whoever is first */
    if (out[1] >= 0)
        close(out[1]);
    if (failed[1] >= 0)
        close(failed[1]);
    r->out = out[0];
    r->failed = failed[0];
    if (r->pid < 0)
        return eg_err_set(r->err, EG_IO, layer, sys, "cmd: no process could be started");
    (void)fcntl(r->out, F_SETFL, O_NONBLOCK);
    return EG_OK;
}

/* ---- what it says ---- */

/* EG_AGAIN: there may be more. */
static enum eg_status drain(struct run *r)
{
    char more;
    size_t room = r->command->limit + 2;
    for (;;) {
        ssize_t n =
            r->got < room ? read(r->out, r->to + r->got, room - r->got) : read(r->out, &more, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return EG_AGAIN;
        if (n < 0)
            return eg_err_set(r->err, EG_IO, layer, errno, "cmd: %s", r->command->argv[0]);
        if (n == 0)
            return EG_OK;
        if (r->got == room) {
            sodium_memzero(&more, 1);
            return eg_err_set(r->err, EG_TOO_BIG, layer, 0, "cmd: %s wrote more than %zu bytes",
                              r->command->argv[0], r->command->limit);
        }
        r->got += (size_t)n;
    }
}

/* Has it ended? It stays unreaped. */
static bool ended(const struct run *r)
{
    siginfo_t info = { 0 };
    return waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == r->pid;
}

/* EG_CLOSED: SIGTERM; whoever sent it wants no answer. */
static enum eg_status heard(struct run *r)
{
    struct signalfd_siginfo info;
    while (read(r->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGTERM)
            return EG_CLOSED;
    return EG_OK;
}

/* Until it has ended; its output may end before, and children of its own may hold that longer. */
static enum eg_status listen_to(struct run *r)
{
    struct pollfd fds[2] = { { .fd = r->out, .events = POLLIN },
                             { .fd = r->signals, .events = POLLIN } };
    while (!ended(r)) {
        uint64_t now = eg_clock_ms();
        if (now >= r->command->deadline_ms)
            return eg_err_set(r->err, EG_IO, layer, 0, "cmd: %s did not end in time",
                              r->command->argv[0]);
        uint64_t left = r->command->deadline_ms - now;
        if (poll(fds, 2, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
            return eg_err_set(r->err, EG_IO, layer, errno, "cmd: poll");
        enum eg_status s = fds[0].fd < 0 ? EG_OK : drain(r);
        if (s == EG_OK)
            fds[0].fd = -1;
        else if (s != EG_AGAIN)
            return s;
        if (heard(r) != EG_OK)
            return EG_CLOSED;
    }
    enum eg_status s = drain(r);
    return s == EG_AGAIN ? EG_OK : s;
}

static enum eg_status judge_end(struct run *r, int how)
{
    int sys = 0;
    if (read(r->failed, &sys, sizeof sys) == (ssize_t)sizeof sys)
        return eg_err_set(r->err, EG_IO, layer, sys, "cmd: %s can't be run", r->command->argv[0]);
    if (WIFSIGNALED(how))
        return eg_err_set(r->err, EG_IO, layer, 0, "cmd: %s was ended by signal %d",
                          r->command->argv[0], WTERMSIG(how));
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
        return eg_err_set(r->err, EG_IO, layer, 0,
                          "cmd: %s failed with exit status %d (run it by hand to see why)",
                          r->command->argv[0], WEXITSTATUS(how));
    return EG_OK;
}

/* Kills what is left of its group, then reaps it. */
static int reap(const struct run *r)
{
    int how = 0;
    (void)kill(-r->pid, SIGKILL);
    (void)kill(r->pid, SIGKILL); /* before it had a group */
    while (waitpid(r->pid, &how, 0) < 0 && errno == EINTR) {
    }
    return how;
}

static void done(struct run *r)
{
    const int fds[] = { r->out, r->failed, r->signals };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    sigprocmask(SIG_SETMASK, &r->old, NULL);
}

enum eg_status eg_source_cmd(const struct eg_source_command *command, struct eg_buf *out,
                             struct eg_err *err)
{
    struct run r = {
        .command = command, .err = err, .pid = -1, .out = -1, .failed = -1, .signals = -1
    };
    enum eg_status s = judge(command->argv[0], false, err);
    if (s != EG_OK)
        return s;
    s = eg_buf_reserve(out, command->limit + 2, &r.to);
    if (s != EG_OK)
        return eg_err_set(err, s, layer, 0, "no memory for cmd:");
    s = start(&r);
    if (s == EG_OK) {
        s = listen_to(&r);
        int how = reap(&r);
        if (s == EG_OK)
            s = judge_end(&r, how);
    }
    done(&r);
    if (s == EG_OK)
        eg_buf_commit(out, r.got);
    else
        sodium_memzero(r.to, r.got);
    return s;
}
