/* launch_broker_calls.c - what the fallback's child can do to other processes of its user, call by call, and Unix sockets that are
 * let in by name. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/supervised.h"

TestSuite(launch_broker_calls, .timeout = 120);

/* ---- signals ---- */

static int signal_others(void)
{
    pid_t child = eg_supervised_fork();
    if (child == 0)
        for (;;)
            pause();
    NEED(kill(eg_supervised.outside, 0) < 0 && errno == EPERM);
    NEED(kill(eg_supervised.outside, SIGKILL) < 0 && errno == EPERM);
    NEED(syscall(SYS_tgkill, eg_supervised.outside, eg_supervised.outside, SIGKILL) < 0 && errno == EPERM);
    NEED(syscall(SYS_tkill, eg_supervised.outside, SIGKILL) < 0 && errno == EPERM);
    NEED(kill(getppid(), SIGTERM) < 0 && errno == EPERM);
    NEED(kill(1, SIGTERM) < 0);
    NEED(kill(INT32_MAX, 0) < 0 && errno == ESRCH);
    NEED(kill(getpid(), NSIG + 9) < 0 && errno == EINVAL);
    NEED(kill(getpid(), 0) == 0 && raise(SIGCHLD) == 0);
    NEED(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    return 0;
}

Test(launch_broker_calls, signals_reach_descendants_only)
{
    eg_supervised_open();
    eg_supervised_try(signal_others);
}

static int signal_groups(void)
{
    int status;
    pid_t child = eg_supervised_fork();
    if (child == 0)
        for (;;)
            pause();
    /* this group is the one of the process that answers, too: it must not be hit */
    NEED(kill(-1, SIGKILL) == 0 && waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGKILL);
    child = eg_supervised_fork();
    if (child == 0) {
        setpgid(0, 0);
        for (;;)
            pause();
    }
    setpgid(child, child);
    NEED(kill(-child, SIGTERM) == 0 && waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGTERM);
    signal(SIGUSR1, SIG_IGN);
    NEED(kill(0, SIGUSR1) == 0);
    return 0;
}

Test(launch_broker_calls, groups_are_their_descendants)
{
    eg_supervised_open();
    eg_supervised_try(signal_groups);
}

static int abort_self(void)
{
    int status;
    pid_t child = eg_supervised_fork();
    if (child == 0)
        abort();
    NEED(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return 0;
}

Test(launch_broker_calls, abort_is_an_abort)
{
    eg_supervised_open();
    eg_supervised_try(abort_self);
}

static int reach_by_other_ways(void)
{
    struct f_owner_ex { int type, pid; } owner = { 1, eg_supervised.outside };
    int fd = socket(AF_INET, SOCK_STREAM, 0), pid = eg_supervised.outside;
    NEED(fcntl(fd, F_SETOWN, eg_supervised.outside) < 0 && errno == EPERM);
    NEED(fcntl(fd, 15 /* F_SETOWN_EX */, &owner) < 0 && errno == EPERM);
    NEED(fcntl(fd, 10 /* F_SETSIG */, SIGKILL) < 0 && errno == EPERM);
    NEED(ioctl(fd, 0x8901 /* FIOSETOWN */, &pid) < 0 && errno == EPERM);
    NEED(syscall(SYS_prlimit64, eg_supervised.outside, 0, NULL, NULL) < 0 && errno == EPERM);
    NEED(syscall(SYS_prlimit64, 0, 0, NULL, NULL) == 0);
    NEED(syscall(SYS_setpriority, 0, eg_supervised.outside, 19) < 0 && errno == EPERM);
    NEED(syscall(SYS_setpriority, 2, 0, 19) < 0 && errno == EPERM);
    NEED(syscall(SYS_setpriority, 0, 0, 19) == 0); /* never up: a run that is nice already may not */
    NEED(syscall(SYS_ioprio_set, 1, eg_supervised.outside, 3 << 13) < 0 && errno == EPERM);
    NEED(syscall(SYS_ioprio_set, 3, 0, 3 << 13) < 0 && errno == EPERM);
    cpu_set_t one;
    struct sched_param idle = { 0 };
    NEED(sched_getaffinity(0, sizeof one, &one) == 0);
    NEED(sched_setaffinity(eg_supervised.outside, sizeof one, &one) < 0 && errno == EPERM);
    NEED(sched_setscheduler(eg_supervised.outside, SCHED_IDLE, &idle) < 0 && errno == EPERM);
    NEED(sched_setparam(eg_supervised.outside, &idle) < 0 && errno == EPERM);
    NEED(syscall(SYS_sched_setattr, eg_supervised.outside, NULL, 0) < 0 && errno == EPERM);
    NEED(sched_setaffinity(getpid(), sizeof one, &one) == 0);
    NEED(syscall(SYS_setpriority, 0, getpid(), 19) == 0);
    NEED(syscall(SYS_prlimit64, getpid(), 0, NULL, NULL) == 0);
    NEED(syscall(SYS_shmget, 0, 4096, 0600) < 0 && errno == EPERM);
    NEED(syscall(SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, NULL) < 0 && errno == EPERM);
    NEED(syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0) < 0 && errno == ENOSYS);
    NEED(syscall(SYS_rt_sigqueueinfo, eg_supervised.outside, 0, NULL) < 0 && errno == EPERM);
    NEED(fcntl(fd, F_GETFL) >= 0);
    return 0;
}

Test(launch_broker_calls, no_other_way_to_a_process_of_the_same_user)
{
    eg_supervised_open();
    eg_supervised_try(reach_by_other_ways);
}

/* ---- sockets by name ---- */

static int named_server(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 4) == 0);
    cr_assert_eq(chmod(path, 0777), 0);
    return fd;
}

static int to_name(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int sys = fd < 0 ? errno : connect(fd, (struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
    if (sys == 0 && send(fd, "x", 1, MSG_NOSIGNAL) != 1)
        sys = errno;
    close(fd);
    return sys;
}

static char other_name[80];

static int reach_names(void)
{
    char odd[200];
    NEED(to_name(eg_supervised.sockets[0]) == 0);
    NEED(to_name(other_name) == EACCES);
    snprintf(odd, sizeof odd, "/tmp/../%s", eg_supervised.sockets[0]);
    NEED(to_name(odd) == EACCES);
    NEED(to_name("") == EACCES);
    NEED(socket(AF_UNIX, SOCK_DGRAM, 0) < 0 && errno == EACCES);
    NEED(socket(AF_UNIX, SOCK_SEQPACKET, 0) < 0 && errno == EACCES);
    struct sockaddr_un own = { .sun_family = AF_UNIX, .sun_path = "" }; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    NEED(fd >= 0 && (bind(fd, (struct sockaddr *)&own, sizeof own.sun_family) < 0 || listen(fd, 1) < 0));
    if (eg_supervised.namespaces)
        NEED(eg_supervised_fresh4("127.0.0.1", eg_supervised.proxy) == 0 && socket(AF_INET, SOCK_DGRAM, 0) >= 0);
    else
        NEED(eg_supervised_fresh4("127.0.0.1", eg_supervised.other) == ECONNREFUSED);
    return 0;
}

Test(launch_broker_calls, unix_sockets_are_reached_by_their_very_names_only)
{
    char folder[] = "/tmp/egress-broker-XXXXXX", name[64];
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    snprintf(name, sizeof name, "%s/in", folder);
    snprintf(other_name, sizeof other_name, "%s/out", folder);
    int in = named_server(name), out = named_server(other_name);
    eg_supervised_open();
    eg_supervised.sockets[0] = name;
    eg_supervised.socket_fds[0] = open(name, O_PATH | O_CLOEXEC);
    eg_supervised.socket_count = 1;
    eg_supervised_try(reach_names);
    eg_supervised.namespaces = true;
    eg_supervised_try(reach_names);
    fcntl(out, F_SETFL, O_NONBLOCK);
    cr_expect_eq(accept(out, NULL, NULL), -1);
    cr_expect_geq(accept(in, NULL, NULL), 0);
    unlink(name);
    unlink(other_name);
    rmdir(folder);
}
