/* escape_signal.c - attempts to signal other processes, by every call that does, to meet them by what has a number or a name for all, and to speak for them at a terminal; and the victim that they are
 * aimed at. */
#include "support/escape.h"

#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PID(arg, pid)                                                                              \
    const pid_t pid = (pid_t)escape_number(arg);                                                   \
    if (pid <= 0)                                                                                  \
    return ESCAPE_NO_TARGET

static int pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* ---- signals: SIGWINCH does nothing to who does not ask for it ---- */

static int by_kill(const char *process)
{
    PID(process, pid);
    return escape_result(kill(pid, SIGWINCH));
}

static int by_group(const char *process)
{
    PID(process, pid);
    return escape_result(kill(-pid, SIGWINCH));
}

static int by_tkill(const char *process)
{
    PID(process, pid);
    return escape_result(syscall(SYS_tkill, pid, SIGWINCH));
}

static int by_tgkill(const char *process)
{
    PID(process, pid);
    return escape_result(syscall(SYS_tgkill, pid, pid, SIGWINCH));
}

static int by_queue(const char *process)
{
    PID(process, pid);
    return escape_result(sigqueue(pid, SIGWINCH, (union sigval){ .sival_int = 1 }));
}

static int by_thread_queue(const char *process)
{
    siginfo_t info = { .si_signo = SIGWINCH, .si_code = SI_QUEUE };
    PID(process, pid);
    info.si_pid = getpid();
    info.si_uid = getuid();
    return escape_result(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGWINCH, &info));
}

static int by_pidfd(const char *process)
{
    PID(process, pid);
    int fd = pidfd_of(pid);
    return fd < 0 ? errno : escape_result(syscall(SYS_pidfd_send_signal, fd, SIGWINCH, NULL, 0));
}

/* The kernel sends it for us, later and without a word to us: only the victim knows whether it came. */
static int heard(int write_to)
{
    char byte;
    const char *fifo = escape_target("heard");
    int fd = fifo ? open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0)
        return fifo ? errno : ESCAPE_NO_TARGET;
    while (read(fd, &byte, 1) == 1) /* of an earlier one */
        ;
    if (write(write_to, "x", 1) != 1)
        return errno;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, ESCAPE_WAIT_MS) == 1 && read(fd, &byte, 1) == 1 ? ESCAPE_OUT
                                                                       : ESCAPE_NO_PROOF;
}

/* The pipe's owner hears that there is something to read. */
static int by_owner(const char *process)
{
    int ends[2];
    PID(process, pid);
    if (pipe(ends) < 0 || fcntl(ends[0], F_SETOWN, pid) < 0 ||
        fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
        return errno;
    return heard(ends[1]);
}

static int by_owner_ex(const char *process)
{
    int ends[2];
    PID(process, pid);
    struct f_owner_ex owner = { .type = F_OWNER_PID, .pid = pid };
    if (pipe(ends) < 0 || fcntl(ends[0], F_SETOWN_EX, &owner) < 0 ||
        fcntl(ends[0], F_SETSIG, SIGIO) < 0 || fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
        return errno;
    return heard(ends[1]);
}

static int by_ioctl(const char *process)
{
    int ends[2], on = 1;
    PID(process, pid);
    int owner = pid;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 || ioctl(ends[0], FIOSETOWN, &owner) < 0 ||
        ioctl(ends[0], FIOASYNC, &on) < 0)
        return errno;
    return heard(ends[1]);
}

/* Really: is it gone afterwards? Process 1 of a namespace is spared by the kernel, and nobody says so. */
static int end_it(const char *process)
{
    PID(process, pid);
    if (kill(pid, SIGKILL) < 0)
        return errno;
    int fd = pidfd_of(pid);
    if (fd < 0)
        return errno == ESRCH ? ESCAPE_OUT : errno;
    char path[64], state[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (unsigned i = 0; i < 200; i++) {
        const struct timespec pause = { .tv_nsec = 5000000 };
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0 || read(file, state, sizeof state - 1) <= 0 || strstr(state, ") Z ") ||
            strstr(state, ") X "))
            return ESCAPE_OUT;
        close(file);
        nanosleep(&pause, NULL);
    }
    return EPERM;
}

/* A control group of this user's, as a session's manager delegates them: ends all that is in it, whoever sent the signal. */
static int by_group_file(const char *file)
{
    char path[512];
    const char *group = escape_target("cgroup");
    if (!group)
        return ESCAPE_NO_TARGET;
    snprintf(path, sizeof path, "%s/%s", group, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? errno : escape_result(write(fd, "1", 1));
}

/* ---- System V and POSIX things that have numbers or names for all ---- */

static int shared_memory(const char *target)
{
    if (escape_number(target) < 0)
        return ESCAPE_NO_TARGET;
    const char *at = shmat((int)escape_number(target), NULL, SHM_RDONLY);
    return at == (void *)-1 ? errno : escape_is_proof(at, 64);
}

static int semaphores(const char *target)
{
    if (escape_number(target) < 0)
        return ESCAPE_NO_TARGET;
    return escape_result(semctl((int)escape_number(target), 0, GETVAL));
}

static int messages(const char *target)
{
    const struct {
        long type;
        char text[4];
    } m = { 1, "ask" };
    if (escape_number(target) < 0)
        return ESCAPE_NO_TARGET;
    return escape_result(msgsnd((int)escape_number(target), &m, sizeof m.text, IPC_NOWAIT));
}

static int message_queue(const char *target)
{
    const char *name = escape_target(target);
    if (!name)
        return ESCAPE_NO_TARGET;
    return escape_opened(mq_open(name, O_WRONLY | O_NONBLOCK));
}

static int named_memory(const char *target)
{
    const char *name = escape_target(target);
    char text[64] = "";
    if (!name)
        return ESCAPE_NO_TARGET;
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd < 0)
        return errno;
    return read(fd, text, sizeof text) < 0 ? errno : escape_is_proof(text, sizeof text);
}

/* ---- terminals ---- */

static int type_into(const char *arg)
{
    char line[] = "#\n";
    (void)arg;
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENXIO ? ESCAPE_NO_TARGET : errno;
    for (unsigned i = 0; line[i]; i++)
        if (ioctl(fd, TIOCSTI, line + i) < 0)
            return errno;
    return ESCAPE_OUT;
}

static int paste_console(const char *arg)
{
    char code = 12; /* which console is it? the family is refused as a whole */
    (void)arg;
    int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? errno : escape_result(ioctl(fd, TIOCLINUX, &code));
}

/* Somebody else's terminal: what is written there, he reads as his program's; what he types can be taken. */
static int other_terminal(const char *target)
{
    const char *path = escape_target(target);
    if (!path)
        return ESCAPE_NO_TARGET;
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? errno : escape_result(write(fd, "#\n", 2));
}

/* ---- the targets ---- */

#define HEARD "work/heard" /* a FIFO below the victim's working folder */
static volatile char secret_memory[64] = ESCAPE_PROOF;
static volatile sig_atomic_t over;
static int heard_fd = -1;

static void on_end(int number)
{
    (void)number;
    over = 1;
}

static void on_input(int number)
{
    (void)number;
    if (write(heard_fd, "x", 1) < 0)
        return; /* full: it is known already */
}

/* What has a number or a name for all, made and shown; removed at the end. */
static void victim_things(bool make)
{
    static int shm, sem, msg;
    static char name[64];
    if (!make) {
        shmctl(shm, IPC_RMID, NULL);
        semctl(sem, 0, IPC_RMID);
        msgctl(msg, IPC_RMID, NULL);
        mq_unlink(name);
        shm_unlink(name);
        return;
    }
    snprintf(name, sizeof name, "/escape-%d", (int)getpid());
    shm = shmget(IPC_PRIVATE, 4096, 0600);
    char *at = shm >= 0 ? shmat(shm, NULL, 0) : (char *)-1;
    if (at != (char *)-1)
        memcpy(at, ESCAPE_PROOF, sizeof ESCAPE_PROOF);
    sem = semget(IPC_PRIVATE, 1, 0600);
    msg = msgget(IPC_PRIVATE, 0600);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
    int file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    bool written = file >= 0 && write(file, ESCAPE_PROOF, sizeof ESCAPE_PROOF) > 0;
    printf("shm=%d\nsem=%d\nmsg=%d\n", shm, sem, msg);
    if (queue >= 0)
        printf("mqueue=%s\n", name);
    if (written)
        printf("posix_shm=%s\n", name);
}

_Noreturn void escape_victim(int secret_fd, bool things)
{
    const struct sigaction end = { .sa_handler = on_end }, input = { .sa_handler = on_input };
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    sigaction(SIGTERM, &end, NULL);
    setpgid(0, 0);
    if (things)
        victim_things(true);
    if (things && (heard_fd = open(HEARD, O_RDWR | O_NONBLOCK | O_CLOEXEC)) >= 0)
        sigaction(SIGIO, &input, NULL);
    printf("victim_fd=%d\nvictim_memory=%#lx\nvictim=%d\n", secret_fd,
           (unsigned long)(uintptr_t)secret_memory, (int)getpid());
    fflush(stdout);
    while (!over)
        sigsuspend(&before);
    if (things)
        victim_things(false);
    _exit(0);
}

_Noreturn void escape_guest(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        _exit(1);
    printf("guest=%d\n", (int)getpid());
    fflush(stdout);
    for (;;)
        pause();
}

const struct escape_attempt escape_signals[] = {
    { "signal.kill", "kill", by_kill, "victim" },
    { "signal.group", "kill of a group", by_group, "victim" },
    { "signal.tkill", "tkill", by_tkill, "victim" },
    { "signal.tgkill", "tgkill", by_tgkill, "victim" },
    { "signal.sigqueue", "rt_sigqueueinfo", by_queue, "victim" },
    { "signal.tgsigqueue", "rt_tgsigqueueinfo", by_thread_queue, "victim" },
    { "signal.pidfd", "pidfd_send_signal", by_pidfd, "victim" },
    { "signal.owner", "a signal by way of F_SETOWN", by_owner, "victim" },
    { "signal.owner-ex", "a signal by way of F_SETOWN_EX", by_owner_ex, "victim" },
    { "signal.owner-ioctl", "a signal by way of FIOSETOWN", by_ioctl, "victim" },
    { "signal.end-init", "the end of the sandbox's first process", end_it, "init" },
    { "signal.end-worker", "the end of the proxy's worker", end_it, "worker" },
    { "signal.end-janitor", "the end of who cleans up", end_it, "janitor" },
    { "signal.end-launcher", "the end of the launcher", end_it, "launcher" },
    { "signal.cgroup-kill", "the end of a control group", by_group_file, "cgroup.kill" },
    { "signal.cgroup-freeze", "the standstill of a control group", by_group_file, "cgroup.freeze" },
    { "ipc.shm", "System V shared memory of others", shared_memory, "shm" },
    { "ipc.sem", "System V semaphores of others", semaphores, "sem" },
    { "ipc.msg", "a System V message queue of others", messages, "msg" },
    { "ipc.mqueue", "a POSIX message queue of others", message_queue, "mqueue" },
    { "ipc.posix-shm", "POSIX shared memory of others", named_memory, "posix_shm" },
    { "tty.sti", "TIOCSTI: a command typed into the shell's terminal", type_into, NULL },
    { "tty.linux", "TIOCLINUX: the same by the console's clipboard", paste_console, NULL },
    { "tty.other", "somebody else's terminal", other_terminal, "other_pty" },
    { NULL, NULL, NULL, NULL },
};
