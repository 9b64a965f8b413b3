/* descent.c - who descends from a process, read from /proc, and the end of all of them. It sends no signal for anybody else
 * and judges nothing. Numbers of processes are used again: who acts on one holds it by a pidfd first. */
#include "launch/broker.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { EG_DESCENT_DEPTH = 1 << 16, EG_DESCENT_MAX = 1 << 22 };

/* The name in the second field may hold anything, parentheses too (proc_pid_stat(5)). */
bool eg_descent_read(pid_t pid, struct eg_descent_task *ret)
{
    char path[64], text[512];
    int parent, group;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    if (!end || sscanf(end + 1, " %*c %d %d", &parent, &group) != 2)
        return false;
    *ret = (struct eg_descent_task){ .pid = pid, .parent = parent, .group = group };
    return true;
}

bool eg_descent_is(pid_t pid, pid_t ancestor)
{
    struct eg_descent_task t;
    for (unsigned depth = 0; depth < EG_DESCENT_DEPTH && pid > 1; depth++) {
        if (!eg_descent_read(pid, &t))
            return false;
        if (t.parent == ancestor)
            return true;
        pid = t.parent;
    }
    return false;
}

static enum eg_status list_all(struct eg_descent_task **ret, unsigned *count)
{
    struct eg_descent_task *list = NULL;
    unsigned n = 0, cap = 0;
    const struct dirent *d;
    DIR *proc = opendir("/proc");
    if (!proc)
        return EG_IO;
    while ((d = readdir(proc))) {
        unsigned long long pid;
        struct eg_descent_task t;
        if (!eg_slice_u64(eg_slice_str(d->d_name), &pid) || pid > INT32_MAX ||
            !eg_descent_read((pid_t)pid, &t))
            continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            struct eg_descent_task *grown =
                cap <= EG_DESCENT_MAX ? realloc(list, cap * sizeof *grown) : NULL;
            if (!grown) {
                free(list);
                closedir(proc);
                return EG_NOMEM;
            }
            list = grown;
        }
        list[n++] = t;
    }
    closedir(proc);
    *ret = list;
    *count = n;
    return EG_OK;
}

static int by_pid(const void *a, const void *b)
{
    const struct eg_descent_task *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* Follows the parents in the list itself: one look at /proc for all. */
static bool below(const struct eg_descent_task *list, unsigned n, const struct eg_descent_task *t,
                  pid_t ancestor)
{
    for (unsigned depth = 0; t && depth < EG_DESCENT_DEPTH; depth++) {
        if (t->parent == ancestor)
            return true;
        const struct eg_descent_task key = { .pid = t->parent };
        t = bsearch(&key, list, n, sizeof *list, by_pid);
    }
    return false;
}

enum eg_status eg_descent_list(pid_t ancestor, struct eg_descent_task **ret, unsigned *count)
{
    struct eg_descent_task *all;
    unsigned n, kept = 0;
    enum eg_status status = list_all(&all, &n);
    if (status != EG_OK)
        return status;
    if (n > 0)
        qsort(all, n, sizeof *all, by_pid);
    bool *mine = calloc(n + 1, sizeof *mine);
    if (!mine) {
        free(all);
        return EG_NOMEM;
    }
    for (unsigned i = 0; i < n; i++)
        mine[i] = below(all, n, &all[i], ancestor);
    for (unsigned i = 0; i < n; i++)
        if (mine[i])
            all[kept++] = all[i];
    free(mine);
    *ret = all;
    *count = kept;
    return EG_OK;
}

/* The number may be another process' by now: held first, then looked at again. */
static void kill_one(const struct eg_descent_task *t)
{
    struct eg_descent_task now;
    int fd = (int)syscall(SYS_pidfd_open, t->pid, 0);
    if (fd < 0)
        return;
    if (eg_descent_read(t->pid, &now) && (now.parent == t->parent || now.parent == getpid()))
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    close(fd);
}

/* Without memory for the list it is tried again. */
static void kill_all(void)
{
    struct eg_descent_task *list;
    unsigned n;
    if (eg_descent_list(getpid(), &list, &n) != EG_OK)
        return;
    for (unsigned i = 0; i < n; i++)
        kill_one(&list[i]);
    free(list);
}

/* The number that was given out last in this namespace (proc_loadavg(5)); 0: not known. */
static pid_t newest(int fd)
{
    char text[128];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    const char *last = strrchr(text, ' ');
    return last ? (pid_t)strtol(last + 1, NULL, 10) : 0;
}

/* A process that forks and ends at once is gone before a list of all is read: the numbers that are given out meanwhile are looked
 * at one by one, each as soon as it is there. Orphans come to us, so their parent is known at once. */
static void chase(void)
{
    enum { LOOKS = 2000, BEHIND = 64 };
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    pid_t seen = fd >= 0 ? newest(fd) : 0;
    for (unsigned i = 0; i < LOOKS && seen > 0; i++) {
        pid_t now = newest(fd);
        pid_t from = now < seen || now - seen > BEHIND ? now - BEHIND : seen; /* they begin anew at the end */
        for (pid_t pid = from > 1 ? from : 2; pid <= now; pid++) {
            struct eg_descent_task t;
            if (pid != getpid() && eg_descent_is(pid, getpid()) && eg_descent_read(pid, &t))
                kill_one(&t);
        }
        seen = now > 0 ? now : seen;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    if (fd >= 0)
        close(fd);
}

/* ECHILD is the proof: who descends from us has an ancestor that is our child. */
void eg_descent_end(void)
{
    const uint64_t until = eg_clock_ms() + EG_DESCENT_END_MS;
    for (unsigned round = 0; eg_clock_ms() < until; round++) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 && errno == ECHILD)
            return;
        kill_all();
        if (round >= 3)
            chase();
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
            return;
    }
}
