/* seccomp.c - the child's system call filter. Namespaces keep it from the network; this keeps it
 * from what they let through: path-name Unix sockets, AF_VSOCK, MPTCP, io_uring (which opens
 * sockets without socket(2)), other processes' memory and descriptors, keyrings, typing into the
 * terminal, and new user namespaces, in which it would have capabilities again. What is refused
 * answers an errno that programs know how to meet; a foreign architecture, whose numbers mean
 * other calls, is the end of the process. Where a supervisor makes sockets and connections for it
 * (broker.h), the rules of seccomp_alone.c stand before these. Classic BPF, seccomp(2). */
#include "launch/filter.h"
#include "launch/internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define EG_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define EG_ARCH AUDIT_ARCH_AARCH64
#endif

#define EG_NEW_NAMESPACES                                                                          \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |     \
     CLONE_NEWCGROUP)
#define EG_NEWTIME 0x80 /* CLONE_NEWTIME; for clone(2) that bit is part of the exit signal */
/* Newer than Debian 12's headers; the number is the same on every architecture. */
enum { EG_SYS_open_tree_attr = 467 };

static void check_arch(struct eg_filter *f)
{
#ifdef EG_ARCH
    eg_filter_load(f, offsetof(struct seccomp_data, arch));
    eg_filter_if_other(f, EG_ARCH, 1);
#endif
    eg_filter_ret(f, SECCOMP_RET_KILL_PROCESS);
    eg_filter_load(f, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__ /* x32: the same architecture, another table */
    eg_filter_add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
    eg_filter_ret(f, SECCOMP_RET_KILL_PROCESS);
#endif
}

/* AF_UNIX: where sockets are let in, they are the supervisor's to make and to connect; streams only, since
 * a datagram names its receiver without one. */
static void check_unix(struct eg_filter *f, bool sockets)
{
    eg_filter_if_equal(f, AF_UNIX, sockets ? 5 : 1);
    if (sockets) {
        eg_filter_load_arg(f, 1);
        eg_filter_and(f, 0xf);
        eg_filter_if_equal(f, SOCK_STREAM, 1);
        eg_filter_ret(f, SECCOMP_RET_USER_NOTIF);
    }
    eg_filter_errno(f, EACCES);
}

/* socket(domain, type, protocol): TCP and UDP over IPv4 and IPv6, and the netlink that lists
 * addresses (getaddrinfo asks it). Alone in the host's network: TCP only. */
static void check_socket(struct eg_filter *f, const struct eg_seccomp_rules *rules)
{
    static const uint32_t protocols[] = { IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP };
    const uint32_t action = eg_seccomp_supervised(rules) ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW;
    unsigned short first = eg_filter_begin(f, SYS_socket);
    eg_filter_load_arg(f, 0);
    check_unix(f, rules->sockets);
    eg_filter_if_equal(f, AF_NETLINK, 4);
    eg_filter_load_arg(f, 2);
    eg_filter_if_equal(f, NETLINK_ROUTE, 1);
    eg_filter_ret(f, SECCOMP_RET_ALLOW);
    eg_filter_errno(f, EPROTONOSUPPORT);
    eg_filter_if_other(f, AF_INET, 2);
    eg_filter_if_other(f, AF_INET6, 1);
    eg_filter_errno(f, EAFNOSUPPORT);
    eg_filter_load_arg(f, 1);
    eg_filter_and(f, 0xf); /* without SOCK_CLOEXEC, SOCK_NONBLOCK */
    if (rules->alone) {
        eg_filter_if_equal(f, SOCK_DGRAM, 1);
        eg_filter_errno(f, EACCES);
    }
    eg_filter_if_other(f, SOCK_STREAM, 2);
    eg_filter_if_other(f, SOCK_DGRAM, 1);
    eg_filter_errno(f, EPERM);
    eg_filter_load_arg(f, 2);
    for (unsigned i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        eg_filter_if_equal(f, protocols[i], 1);
        eg_filter_ret(f, action);
    }
    eg_filter_errno(f, EPROTONOSUPPORT);
    eg_filter_end(f, first, true);
}

/* A pair of datagram sockets may still send to a name of the file system, connected ones may
 * not. */
static void check_socketpair(struct eg_filter *f)
{
    unsigned short first = eg_filter_begin(f, SYS_socketpair);
    eg_filter_load_arg(f, 0);
    eg_filter_if_other(f, AF_UNIX, 1);
    eg_filter_errno(f, EAFNOSUPPORT);
    eg_filter_load_arg(f, 1);
    eg_filter_and(f, 0xf);
    eg_filter_if_equal(f, SOCK_STREAM, 1);
    eg_filter_ret(f, SECCOMP_RET_ALLOW);
    eg_filter_if_equal(f, SOCK_SEQPACKET, 1);
    eg_filter_ret(f, SECCOMP_RET_ALLOW);
    eg_filter_errno(f, EACCES);
    eg_filter_end(f, first, true);
}

static void check_ioctl(struct eg_filter *f)
{
    unsigned short first = eg_filter_begin(f, SYS_ioctl);
    eg_filter_load_arg(f, 1);
    eg_filter_if_equal(f, TIOCSTI, 1);
    eg_filter_errno(f, EPERM);
    eg_filter_if_equal(f, TIOCLINUX, 1); /* pastes into the console */
    eg_filter_errno(f, EPERM);
    eg_filter_end(f, first, false);
}

static void build(struct eg_filter *f, const struct eg_seccomp_rules *rules)
{
    static const int refused[] = { SYS_ptrace,
                                   SYS_process_vm_readv,
                                   SYS_process_vm_writev,
                                   SYS_pidfd_getfd,
                                   SYS_kcmp,
                                   SYS_bpf,
                                   SYS_perf_event_open,
                                   SYS_userfaultfd,
                                   SYS_keyctl,
                                   SYS_add_key,
                                   SYS_request_key,
                                   SYS_setns,
                                   SYS_mount,
                                   SYS_umount2,
                                   SYS_pivot_root,
                                   SYS_chroot,
                                   SYS_open_tree,
                                   EG_SYS_open_tree_attr,
                                   SYS_move_mount,
                                   SYS_fsopen,
                                   SYS_fsconfig,
                                   SYS_fsmount,
                                   SYS_fspick,
                                   SYS_mount_setattr,
                                   SYS_open_by_handle_at,
                                   SYS_kexec_load,
                                   SYS_init_module,
                                   SYS_finit_module,
                                   SYS_delete_module,
                                   SYS_syslog };
    static const int absent[] = { SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
                                  SYS_clone3 };
    check_arch(f);
    check_socket(f, rules);
    check_socketpair(f);
    eg_filter_deny_bits(f, SYS_clone, 0, EG_NEW_NAMESPACES, EPERM);
    eg_filter_deny_bits(f, SYS_unshare, 0, EG_NEW_NAMESPACES | EG_NEWTIME, EPERM);
    check_ioctl(f);
    eg_filter_deny_all(f, refused, sizeof refused / sizeof *refused, EPERM);
    /* callers fall back to epoll and to clone */
    eg_filter_deny_all(f, absent, sizeof absent / sizeof *absent, ENOSYS);
    if (eg_seccomp_supervised(rules))
        eg_seccomp_connect(f);
    if (rules->alone)
        eg_seccomp_alone(f, rules);
    eg_filter_ret(f, SECCOMP_RET_ALLOW);
}

/* Its own flag first: a signal that the command handles then does not repeat a call that was
 * done (5.19). */
static int install(const struct sock_fprog *program, bool supervised)
{
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    if (!supervised)
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program);
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
    if (fd < 0 && errno == EINVAL)
        fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          program);
    return fd;
}

enum eg_status eg_seccomp_install(const struct eg_seccomp_rules *rules, int *listener,
                                  struct eg_err *err)
{
    struct eg_filter f = { .n = 0 };
    build(&f, rules);
    if (f.overflow)
        return eg_err_set(err, EG_INTERNAL, "launch", 0, "the system call filter is too long");
    const struct sock_fprog program = { .len = f.n, .filter = f.code };
    int fd = install(&program, eg_seccomp_supervised(rules));
    if (fd < 0)
        return eg_err_set(err, errno == EBUSY ? EG_PERMISSION : EG_IO, "launch", errno,
                          errno == EBUSY ? "another sandbox supervises this one's system calls"
                                         : "the child's system call filter is refused");
    *listener = eg_seccomp_supervised(rules) ? fd : -1;
    return EG_OK;
}
