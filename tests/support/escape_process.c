/* escape_process.c - attempts on other processes: their memory, environment, descriptors and files, their limits and priority. Signals are in escape_signal.c. A row's
 * argument names the process: the victim is one of the same user; launcher, worker, janitor and init are this sandbox's own, for which the control run has others like the victim. */
#include "support/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PID(arg, pid)                                                                              \
    const pid_t pid = (pid_t)escape_number(arg);                                                   \
    if (pid <= 0)                                                                                  \
    return ESCAPE_NO_TARGET

/* ---- /proc ---- */

/* "PROCESS FILE" */
static bool proc_path(const char *arg, char *path, size_t n)
{
    char name[32], file[64];
    if (sscanf(arg, "%31s %63s", name, file) != 2 || escape_number(name) <= 0)
        return false;
    snprintf(path, n, "/proc/%ld/%s", escape_number(name), file);
    return true;
}

static int proc_environ(const char *process)
{
    char path[64];
    PID(process, pid);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int result = escape_read_proof(path);
    return result == ESCAPE_NO_PROOF ? EACCES : result; /* wiped or empty: as good as closed */
}

/* Any of its memory. */
static int proc_mem(const char *process)
{
    char path[64], line[256];
    unsigned long long from;
    char byte;
    PID(process, pid);
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return errno;
    if (!fgets(line, sizeof line, maps) || sscanf(line, "%llx-", &from) != 1)
        return EACCES;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? errno : pread(fd, &byte, 1, (off_t)from) == 1 ? ESCAPE_OUT : errno;
}

static int proc_open(const char *arg)
{
    char path[128];
    if (!proc_path(arg, path, sizeof path))
        return ESCAPE_NO_TARGET;
    return escape_opened(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

static int proc_maps(const char *arg)
{
    char path[128], byte;
    if (!proc_path(arg, path, sizeof path))
        return ESCAPE_NO_TARGET;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t n = read(fd, &byte, 1);
    return n == 1 ? ESCAPE_OUT : n == 0 ? EACCES : errno;
}

static int proc_write(const char *arg)
{
    char path[128];
    if (!proc_path(arg, path, sizeof path))
        return ESCAPE_NO_TARGET;
    return escape_opened(open(path, O_WRONLY | O_CLOEXEC));
}

/* The secret file that it holds open, which this user may not open. */
static int proc_descriptor(const char *process)
{
    char path[64];
    PID(process, pid);
    snprintf(path, sizeof path, "/proc/%d/fd/%ld", (int)pid, escape_number("victim_fd"));
    int fd = open(path, O_PATH | O_CLOEXEC);
    return escape_opened(fd);
}

static int proc_pid_names(const char *process)
{
    char path[64];
    PID(process, pid);
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    return escape_read_proof(path);
}

/* ---- calls on a process ---- */

static int attach(const char *process)
{
    PID(process, pid);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
        return errno;
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return ESCAPE_OUT;
}

static int memory_read(const char *process)
{
    char text[64] = "";
    PID(process, pid);
    struct iovec ours = { text, sizeof ESCAPE_PROOF },
                 theirs = { (void *)escape_number("victim_memory"), sizeof ESCAPE_PROOF };
    if (process_vm_readv(pid, &ours, 1, &theirs, 1, 0) < 0)
        return errno;
    return escape_is_proof(text, sizeof text);
}

static int memory_write(const char *process)
{
    char text[] = "x";
    PID(process, pid);
    struct iovec ours = { text, 1 }, theirs = { (char *)escape_number("victim_memory") + 40, 1 };
    return escape_result(process_vm_writev(pid, &ours, 1, &theirs, 1, 0));
}

static int pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int take_descriptor(const char *process)
{
    PID(process, pid);
    int fd = pidfd_of(pid);
    return fd < 0 ? errno
                  : escape_opened(
                        (int)syscall(SYS_pidfd_getfd, fd, (int)escape_number("victim_fd"), 0));
}

static int compare(const char *process)
{
    PID(process, pid);
    return escape_result(syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0));
}

static int advise(const char *process)
{
    PID(process, pid);
    int fd = pidfd_of(pid);
    struct iovec at = { (void *)(escape_number("victim_memory") & ~4095L), 4096 };
    return fd < 0 ? errno : escape_result(syscall(SYS_process_madvise, fd, &at, 1, MADV_COLD, 0));
}

static int limits(const char *process)
{
    struct rlimit old;
    PID(process, pid);
    return escape_result(prlimit(pid, RLIMIT_CORE, NULL, &old));
}

static int priority(const char *process)
{
    PID(process, pid);
    return escape_result(setpriority(PRIO_PROCESS, (id_t)pid, 1));
}

static int scheduler(const char *process)
{
    const struct sched_param none = { 0 };
    PID(process, pid);
    return escape_result(sched_setscheduler(pid, SCHED_BATCH, &none));
}

static int affinity(const char *process)
{
    cpu_set_t set;
    PID(process, pid);
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return errno;
    return escape_result(sched_setaffinity(pid, sizeof set, &set));
}

static int io_priority(const char *process)
{
    PID(process, pid);
    return escape_result(syscall(SYS_ioprio_set, 1, pid, 2 << 13 | 7));
}

/* SIGWINCH does nothing to who does not ask for it. */
static int by_kill(const char *process)
{
    PID(process, pid);
    return escape_result(kill(pid, SIGWINCH));
}

#define OURS(what, name, function)                                                                 \
    { "proc.launcher-" what, name " of the launcher", function, "launcher" },                      \
        { "proc.worker-" what, name " of the proxy's worker", function, "worker" },                \
        { "proc.janitor-" what, name " of who cleans up", function, "janitor" },                   \
    {                                                                                              \
        "proc.init-" what, name " of the sandbox's first process", function, "init"                \
    }
#define OURS_IN_PROC(what, name, function)                                                         \
    { "proc.launcher-" what, name " of the launcher", function, "launcher " what },                \
        { "proc.worker-" what, name " of the proxy's worker", function, "worker " what },          \
        { "proc.janitor-" what, name " of who cleans up", function, "janitor " what },             \
    {                                                                                              \
        "proc.init-" what, name " of the sandbox's first process", function, "init " what          \
    }
const struct escape_attempt escape_processes[] = {
    { "proc.environ", "the environment of another process", proc_environ, "victim" },
    { "proc.mem", "the memory of another process by /proc", proc_mem, "victim" },
    { "proc.maps", "where the memory of another process lies", proc_maps, "victim maps" },
    { "proc.cmdline", "the command line of another process", proc_pid_names, "victim" },
    { "proc.descriptor", "a file that another process holds open", proc_descriptor, "victim" },
    { "proc.cwd", "another process' working folder", proc_open, "victim cwd" },
    { "proc.root", "another process' root folder", proc_open, "victim root" },
    { "proc.oom", "another process' place in the order of who is ended first", proc_write,
      "victim oom_score_adj" },
    { "proc.vm-read", "process_vm_readv of another process", memory_read, "victim" },
    { "proc.vm-write", "process_vm_writev to another process", memory_write, "victim" },
    { "proc.ptrace", "ptrace of another process", attach, "victim" },
    { "proc.getfd", "pidfd_getfd of another process", take_descriptor, "victim" },
    { "proc.kcmp", "kcmp with another process", compare, "victim" },
    { "proc.madvise", "process_madvise of another process", advise, "victim" },
    { "proc.prlimit", "the limits of another process", limits, "victim" },
    { "proc.priority", "the priority of another process", priority, "victim" },
    { "proc.scheduler", "the scheduling of another process", scheduler, "victim" },
    { "proc.affinity", "the processors of another process", affinity, "victim" },
    { "proc.ioprio", "the disk priority of another process", io_priority, "victim" },
    OURS("environ", "environment", proc_environ),
    OURS("mem", "memory", proc_mem),
    OURS_IN_PROC("fd", "open files", proc_open),
    OURS_IN_PROC("cwd", "working folder", proc_open),
    OURS("ptrace", "ptrace", attach),
    OURS("prlimit", "limits", limits),
    OURS("signal", "a signal", by_kill),
    { "proc.launcher-priority", "priority of the launcher", priority, "launcher" },
    { "proc.worker-affinity", "processors of the proxy's worker", affinity, "worker" },
    { NULL, NULL, NULL, NULL },
};
