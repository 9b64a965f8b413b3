/* launch_seccomp.c - the filter, call by call: installed in a forked process that then tries and
 * reports the errno. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/internal.h"

TestSuite(launch_seccomp, .timeout = 60);

struct attempt {
    const char *what;
    long call;
    long a[4];
    int sys; /* expected errno; 0: success; -1: anything but EPERM, EACCES and ENOSYS */
};

static enum eg_status install(struct eg_err *err)
{
    const struct eg_seccomp_rules rules = { .alone = false };
    int listener;
    return eg_seccomp_install(&rules, &listener, err);
}

/* errno of the call under the filter; 0 when it worked; 1000 + signal when it was the process'
 * end. */
static int try(const struct attempt *t)
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        struct eg_err err = { 0 };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || install(&err) != EG_OK)
            _exit(254);
        long rc = syscall(t->call, t->a[0], t->a[1], t->a[2], t->a[3], 0, 0);
        _exit(rc < 0 ? errno : 0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    int got = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    cr_assert_neq(got, 254, "the filter was not installed");
    return got;
}

static void check(const struct attempt *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int got = try(&list[i]);
        if (list[i].sys >= 0)
            cr_expect_eq(got, list[i].sys, "%s: %d, not %d", list[i].what, got, list[i].sys);
        else
            cr_expect(got != EPERM && got != EACCES && got != ENOSYS, "%s: %d", list[i].what, got);
    }
}
#define CHECK(list) check(list, sizeof list / sizeof *list)

Test(launch_seccomp, sockets)
{
    static int pair[2];
    const struct attempt list[] = {
        { "tcp4", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, 0 },
        { "tcp4 named",
          SYS_socket,
          { AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP },
          0 },
        { "udp4", SYS_socket, { AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP }, 0 },
        { "tcp6", SYS_socket, { AF_INET6, SOCK_STREAM, 0 }, -1 },
        { "udp6", SYS_socket, { AF_INET6, SOCK_DGRAM, 0 }, -1 },
        { "netlink route", SYS_socket, { AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE }, 0 },
        { "mptcp", SYS_socket, { AF_INET, SOCK_STREAM, 262 }, EPROTONOSUPPORT },
        { "sctp", SYS_socket, { AF_INET, SOCK_STREAM, 132 }, EPROTONOSUPPORT },
        { "ping", SYS_socket, { AF_INET, SOCK_DGRAM, IPPROTO_ICMP }, EPROTONOSUPPORT },
        { "udplite", SYS_socket, { AF_INET, SOCK_DGRAM, 136 }, EPROTONOSUPPORT },
        { "raw", SYS_socket, { AF_INET, SOCK_RAW, IPPROTO_TCP }, EPERM },
        { "seqpacket", SYS_socket, { AF_INET6, SOCK_SEQPACKET, 0 }, EPERM },
        { "packet", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EAFNOSUPPORT },
        { "vsock", SYS_socket, { AF_VSOCK, SOCK_STREAM, 0 }, EAFNOSUPPORT },
        { "alg", SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 }, EAFNOSUPPORT },
        { "bluetooth", SYS_socket, { AF_BLUETOOTH, SOCK_RAW, 0 }, EAFNOSUPPORT },
        { "netlink audit", SYS_socket, { AF_NETLINK, SOCK_RAW, NETLINK_AUDIT }, EPROTONOSUPPORT },
        { "netlink generic",
          SYS_socket,
          { AF_NETLINK, SOCK_RAW, NETLINK_GENERIC },
          EPROTONOSUPPORT },
        { "unix", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, EACCES },
        { "unix datagram", SYS_socket, { AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0 }, EACCES },
        { "upper half of the family is not looked at by the kernel",
          SYS_socket,
          { AF_UNIX | (1L << 32), SOCK_STREAM, 0 },
          EACCES },
        { "pair",
          SYS_socketpair,
          { AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, (long)(intptr_t)pair },
          0 },
        { "pair of packets",
          SYS_socketpair,
          { AF_UNIX, SOCK_SEQPACKET, 0, (long)(intptr_t)pair },
          0 },
        { "pair of datagrams can send to names",
          SYS_socketpair,
          { AF_UNIX, SOCK_DGRAM, 0, (long)(intptr_t)pair },
          EACCES },
        { "raw pair is a datagram pair",
          SYS_socketpair,
          { AF_UNIX, SOCK_RAW, 0, (long)(intptr_t)pair },
          EACCES },
        { "tipc pair",
          SYS_socketpair,
          { AF_TIPC, SOCK_STREAM, 0, (long)(intptr_t)pair },
          EAFNOSUPPORT },
    };
    CHECK(list);
}

Test(launch_seccomp, namespaces_and_mounts)
{
    const struct attempt list[] = {
        { "unshare user", SYS_unshare, { CLONE_NEWUSER }, EPERM },
        { "unshare net", SYS_unshare, { CLONE_NEWNET | CLONE_FILES }, EPERM },
        { "unshare time", SYS_unshare, { 0x80 }, EPERM },
        { "unshare files", SYS_unshare, { CLONE_FILES }, 0 },
        { "clone user", SYS_clone, { CLONE_NEWUSER | SIGCHLD }, EPERM },
        { "clone pid", SYS_clone, { CLONE_NEWPID | SIGCHLD }, EPERM },
        { "clone3", SYS_clone3, { 0, 0 }, ENOSYS },
        { "setns", SYS_setns, { -1, 0 }, EPERM },
        { "mount", SYS_mount, { 0 }, EPERM },
        { "umount2", SYS_umount2, { 0 }, EPERM },
        { "pivot_root", SYS_pivot_root, { 0 }, EPERM },
        { "open_tree", SYS_open_tree, { -1 }, EPERM },
        { "open_tree_attr", 467, { -1 }, EPERM },
        { "move_mount", SYS_move_mount, { -1 }, EPERM },
        { "fsopen", SYS_fsopen, { 0 }, EPERM },
        { "fsmount", SYS_fsmount, { -1 }, EPERM },
        { "fsconfig", SYS_fsconfig, { -1 }, EPERM },
        { "fspick", SYS_fspick, { -1 }, EPERM },
        { "mount_setattr", SYS_mount_setattr, { -1 }, EPERM },
    };
    CHECK(list);
}

Test(launch_seccomp, other_processes_keys_and_the_kernel)
{
    const struct attempt list[] = {
        { "ptrace", SYS_ptrace, { 0 }, EPERM },
        { "process_vm_readv", SYS_process_vm_readv, { 1 }, EPERM },
        { "process_vm_writev", SYS_process_vm_writev, { 1 }, EPERM },
        { "pidfd_getfd", SYS_pidfd_getfd, { -1 }, EPERM },
        { "kcmp", SYS_kcmp, { 1 }, EPERM },
        { "bpf", SYS_bpf, { 0 }, EPERM },
        { "perf_event_open", SYS_perf_event_open, { 0 }, EPERM },
        { "userfaultfd", SYS_userfaultfd, { 0 }, EPERM },
        { "keyctl", SYS_keyctl, { 0 }, EPERM },
        { "add_key", SYS_add_key, { 0 }, EPERM },
        { "request_key", SYS_request_key, { 0 }, EPERM },
        { "open_by_handle_at", SYS_open_by_handle_at, { -1 }, EPERM },
        { "io_uring_setup", SYS_io_uring_setup, { 0 }, ENOSYS },
        { "io_uring_enter", SYS_io_uring_enter, { -1 }, ENOSYS },
        { "io_uring_register", SYS_io_uring_register, { -1 }, ENOSYS },
        { "TIOCSTI", SYS_ioctl, { 0, TIOCSTI }, EPERM },
        { "TIOCSTI with an upper half", SYS_ioctl, { 0, TIOCSTI | (1L << 32) }, EPERM },
        { "TIOCLINUX", SYS_ioctl, { 0, TIOCLINUX }, EPERM },
        { "FIONREAD", SYS_ioctl, { -1, FIONREAD }, EBADF },
        { "getpid", SYS_getpid, { 0 }, 0 },
    };
    CHECK(list);
}

#ifdef __x86_64__
Test(launch_seccomp, other_tables_end_the_process)
{
    const struct attempt x32 = { "x32 getpid", 0x40000000L | SYS_getpid, { 0 }, 1000 + SIGSYS };
    cr_expect_eq(try(&x32), 1000 + SIGSYS);
}

static long int80_getpid(void)
{
    long rc;
    __asm__ volatile("int $0x80" : "=a"(rc) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return rc;
}

Test(launch_seccomp, foreign_architecture_ends_the_process)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct eg_err err = { 0 };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || install(&err) != EG_OK)
            _exit(254);
        _exit(int80_getpid() > 0 ? 1 : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    /* A kernel without 32-bit emulation ends it with SIGSEGV. */
    cr_assert(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV));
}
#endif
