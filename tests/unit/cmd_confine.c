/* cmd_confine.c - what a worker can't do any more. Each case is a forked process that gives
 * itself up and then tries. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/confine.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* Runs body in a confined child; its exit status, or 1000 + signal. */
static int confined(int (*body)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool weak;
        int urandom = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
        if (urandom < 0 || eg_confine_privileges(&weak, NULL) != EG_OK ||
            eg_confine_calls(urandom, NULL) != EG_OK)
            _exit(99);
        _exit(body());
    }
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int open_file(void)
{
    return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
}

static int create_file(void)
{
    return open("/tmp/egress-must-not-be", O_CREAT | O_WRONLY, 0600) < 0 ? errno : 0;
}

static int read_urandom(void)
{
    char a[32] = { 0 }, b[32] = { 0 };
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC), again = open("/dev/urandom", O_RDONLY);
    if (fd < 0 || again < 0 || fd == again)
        return 1;
    if (read(fd, a, 32) != 32 || read(again, b, 32) != 32 || memcmp(a, b, 32) == 0)
        return 2;
    FILE *f = fopen("/dev/urandom", "r");
    return f && fgetc(f) != EOF ? 0 : 3;
}

static int run_program(void)
{
    char *argv[] = { (char[]){ "true" }, NULL };
    execv("/bin/true", argv);
    return 1;
}

static int fork_one(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? errno : 0;
}

static int trace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}

static int local_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int netlink_socket(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? errno : 0;
}

static int inet_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_INET6, SOCK_DGRAM, 0) >= 0 ? 0 : errno;
}

static int signal_parent(void)
{
    return kill(getppid(), 0) < 0 ? errno : 0;
}

static int abort_self(void)
{
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
    return 0;
}

static int executable_memory(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    return mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
}

static int own_namespace(void)
{
    return (int)syscall(SYS_unshare, 0x10000000) < 0 ? errno : 0;
}

static int kernel_keys(void)
{
    return (int)syscall(SYS_keyctl, 0, -3, 0) < 0 ? errno : 0;
}

static int privileges(void)
{
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 1;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 2;
    int signal = 0;
    if (prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0) < 0 || signal != SIGKILL)
        return 3;
    if (geteuid() == 0 || getegid() == 0 || getgroups(0, NULL) > 0)
        return 4;
    if (setuid(0) == 0)
        return 5;
    return prctl(PR_CAPBSET_READ, 0, 0, 0, 0) > 0 ? 6 : 0;
}

Test(cmd_confine, worker_opens_no_file, .disabled = SANITIZED)
{
    cr_assert_eq(confined(open_file), EACCES);
    cr_assert_eq(confined(create_file), EACCES);
    cr_assert_eq(access("/tmp/egress-must-not-be", F_OK), -1);
}

Test(cmd_confine, libraries_may_read_urandom)
{
    cr_assert_eq(confined(read_urandom), 0);
}

Test(cmd_confine, worker_starts_no_program)
{
    cr_assert_eq(confined(run_program), 1000 + SIGSYS);
}

Test(cmd_confine, worker_does_not_fork, .disabled = SANITIZED)
{
    cr_assert_eq(confined(fork_one), 1000 + SIGSYS);
}

Test(cmd_confine, worker_traces_nobody)
{
    cr_assert_eq(confined(trace), 1000 + SIGSYS);
}

Test(cmd_confine, only_internet_sockets_are_made)
{
    cr_assert_eq(confined(local_socket), EACCES);
    cr_assert_eq(confined(netlink_socket), EACCES);
    cr_assert_eq(confined(inet_socket), 0);
}

Test(cmd_confine, worker_signals_nobody_but_itself)
{
    cr_assert_eq(confined(signal_parent), EPERM);
    cr_assert_eq(confined(abort_self), 1000 + SIGABRT);
}

Test(cmd_confine, memory_does_not_become_code, .disabled = SANITIZED)
{
    cr_assert_eq(confined(executable_memory), EACCES);
}

Test(cmd_confine, kernel_interfaces_are_closed)
{
    cr_assert_eq(confined(own_namespace), EPERM);
    cr_assert_eq(confined(kernel_keys), EPERM);
}

Test(cmd_confine, root_is_left_for_good)
{
    if (geteuid() != 0)
        cr_skip("only root can leave root");
    cr_assert_eq(confined(privileges), 0);
}

Test(cmd_confine, descriptors_but_the_kept_are_closed)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int fds[6], keep[4];
        for (int i = 0; i < 6; i++)
            fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        keep[0] = fds[4];
        keep[1] = fds[1];
        keep[2] = -1;
        keep[3] = fds[5]; /* neighbours */
        if (eg_confine_descriptors(keep, 4, NULL) != EG_OK)
            _exit(1);
        for (int i = 0; i < 6; i++) {
            bool open_still = fcntl(fds[i], F_GETFD) >= 0, wanted = i == 1 || i >= 4;
            if (open_still != wanted)
                _exit(10 + i);
        }
        _exit(fcntl(2, F_GETFD) >= 0 && fcntl(900, F_GETFD) < 0 ? 0 : 2);
    }
    waitpid(pid, &status, 0);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
}
