/* job.c - the launcher's side of the terminal: the command is a job of its own, and stops and continues with us. What init
 * says of it is read here; nothing of it blocks. */
#include "launch/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool piped(void)
{
    struct stat st;
    for (int fd = 0; fd < 3; fd++)
        if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
            return true;
    return false;
}

/* Are we the terminal's foreground job? Then the command becomes it; but not in a pipeline, whose
 * other parts are in our group and would be in the background then (`egressctl run CMD | less`). */
void eg_launch_find_terminal(struct eg_launch *l)
{
    l->tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    l->foreground = l->tty >= 0 && tcgetpgrp(l->tty) == getpgrp() && !piped();
}

static bool is_ours(const struct eg_launch *l)
{
    return l->tty >= 0 && tcgetpgrp(l->tty) == getpgrp();
}

/* It asked for the terminal that we have: no reason to stop, it gets it. */
static bool wants_terminal(const struct eg_launch *l, int signal)
{
    return (signal == SIGTTIN || signal == SIGTTOU) && is_ours(l);
}

/* The terminal or the session's leader is gone: nobody would ever wake us. */
static bool abandoned(const struct eg_launch *l)
{
    return l->tty >= 0 &&
           (tcgetpgrp(l->tty) < 0 || (kill(getsid(0), 0) < 0 && errno == ESRCH));
}

static void wake(struct eg_launch *l, bool foreground)
{
    char order = foreground ? EG_ORDER_FOREGROUND : EG_ORDER_BACKGROUND;
    l->foreground = foreground;
    if (eg_wire_write(l->sock, &order, 1) != EG_OK)
        return; /* it ended meanwhile, and its status says so */
}

bool eg_launch_next_report(struct eg_launch *l, struct eg_report *r)
{
    ssize_t n = recv(l->sock, r, sizeof *r, MSG_DONTWAIT | MSG_PEEK);
    if (n != (ssize_t)sizeof *r || recv(l->sock, r, sizeof *r, MSG_DONTWAIT) != n)
        return false;
    if (r->kind == EG_REPORT_KILLED)
        l->killed_by = r->sys;
    if (r->kind == EG_REPORT_FAILED)
        l->failure = *r;
    return true;
}

bool eg_launch_stopped(struct eg_launch *l)
{
    struct eg_report r;
    if (!eg_launch_next_report(l, &r) || r.kind != EG_REPORT_STOPPED)
        return false;
    bool hung_up = abandoned(l);
    if (hung_up || wants_terminal(l, r.sys)) {
        if (hung_up) /* as the kernel does to a stopped job that loses its shell */
            eg_launch_signal(l, SIGHUP);
        wake(l, is_ours(l));
        return false;
    }
    l->had = l->foreground;
    l->foreground = false; /* the shell takes the terminal when we stop too */
    return l->tty >= 0;
}

/* The rest of a pipeline keeps the terminal, as it did before. */
void eg_launch_continue(struct eg_launch *l)
{
    wake(l, is_ours(l) && (l->had || !piped()));
}

void eg_launch_take_terminal(struct eg_launch *l)
{
    sigset_t block, before;
    if (!l->foreground)
        return;
    l->foreground = false;
    sigemptyset(&block);
    sigaddset(&block, SIGTTOU); /* the kernel lets who blocks it, and would stop us else */
    sigprocmask(SIG_BLOCK, &block, &before);
    tcsetpgrp(l->tty, getpgrp());
    sigprocmask(SIG_SETMASK, &before, NULL);
}

bool eg_launch_interrupted(const struct eg_launch *l)
{
    return l->tty >= 0 && l->killed_by == SIGINT;
}
