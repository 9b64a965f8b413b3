/* broker_signal.c - what the child does to processes. It sends the child's signals where nothing else keeps them from the user's
 * other processes (no pid namespace, and a Landlock without scope), to descendants of ours only, and lets it set limits and priorities
 * of these. A process is held by a pidfd before it is judged, since its number
 * may be another's a moment later. The receiver sees us as the sender. */
#include "launch/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The process that a thread is of; -1: it is gone. */
static pid_t process_of(pid_t task)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/status", (int)task);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, "\nTgid:");
    return at ? (pid_t)strtol(at + 6, NULL, 10) : -1;
}

static int refusal_for(pid_t pid)
{
    struct eg_descent_task t;
    return eg_descent_read(pid, &t) ? EPERM : ESRCH;
}

/* thread 0: to the process. */
static int send_one(pid_t pid, pid_t thread, int number)
{
    int sys = 0, fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == EINVAL ? ESRCH : errno;
    if (!eg_descent_is(pid, getpid()))
        sys = refusal_for(pid);
    else if (thread > 0 ? syscall(SYS_tgkill, pid, thread, number) < 0
                        : syscall(SYS_pidfd_send_signal, fd, number, NULL, 0) < 0)
        sys = errno;
    close(fd);
    return sys;
}

/* group 0: all but `except`. */
static int send_many(pid_t group, pid_t except, int number)
{
    struct eg_descent_task *list;
    unsigned n;
    int sys = ESRCH;
    if (eg_descent_list(getpid(), &list, &n) != EG_OK)
        return EAGAIN;
    for (unsigned i = 0; i < n; i++)
        if ((group ? list[i].group == group : list[i].pid != except) &&
            send_one(list[i].pid, 0, number) == 0)
            sys = 0;
    free(list);
    return sys;
}

static int to_processes(const struct eg_broker *b, const struct eg_broker_call *c, pid_t pid,
                        int number)
{
    struct eg_descent_task caller;
    if (pid > 0)
        return send_one(pid, 0, number);
    if (pid == INT32_MIN)
        return ESRCH;
    pid_t self = process_of(c->task);
    if (!eg_descent_read(c->task, &caller) || self < 0 || !eg_broker_valid(b, c->id))
        return ESRCH;
    return pid == -1 ? send_many(0, self, number)
                     : send_many(pid == 0 ? caller.group : -pid, 0, number);
}

static int to_thread(pid_t process, pid_t thread, int number)
{
    if (thread <= 0)
        return EINVAL;
    pid_t of = process_of(thread);
    if (of < 0 || (process > 0 && process != of))
        return ESRCH;
    return send_one(of, thread, number);
}

void eg_broker_change(struct eg_broker *b, const struct eg_broker_call *c)
{
    pid_t pid = process_of((pid_t)c->args[c->nr == SYS_setpriority || c->nr == SYS_ioprio_set]);
    if (pid < 0)
        eg_broker_answer(b, c->id, ESRCH);
    else if (!eg_descent_is(pid, getpid()))
        eg_broker_answer(b, c->id, EPERM);
    else
        eg_broker_go_on(b, c->id);
}

void eg_broker_kill(struct eg_broker *b, const struct eg_broker_call *c)
{
    int first = (int)c->args[0], second = (int)c->args[1], third = (int)c->args[2];
    int number = c->nr == SYS_tgkill ? third : second, sys;
    if (number < 0 || number >= NSIG)
        sys = EINVAL;
    else if (c->nr == SYS_kill)
        sys = to_processes(b, c, first, number);
    else if (c->nr == SYS_tkill)
        sys = to_thread(0, first, number);
    else
        sys = first <= 0 ? EINVAL : to_thread(first, second, number);
    eg_broker_answer(b, c->id, sys);
}
