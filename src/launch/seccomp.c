/* seccomp.c - the child's system call filter. Namespaces keep it from the network; this keeps it
 * from what they let through: path-name Unix sockets, AF_VSOCK, MPTCP, io_uring (which opens
 * sockets without socket(2)), other processes' memory and descriptors, keyrings, typing into the
 * terminal, and new user namespaces, in which it would have capabilities again. What is refused
 * answers an errno that programs know how to meet; a foreign architecture, whose numbers mean
 * other calls, is the end of the process. Classic BPF, seccomp(2). */
#include "launch/internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
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

enum { EG_FILTER_MAX = 512 };
#define EG_NEW_NAMESPACES                                                                          \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |     \
     CLONE_NEWCGROUP)
#define EG_NEWTIME 0x80 /* CLONE_NEWTIME; for clone(2) that bit is part of the exit signal */
/* Newer than Debian 12's headers; the number is the same on every architecture. */
enum { EG_SYS_open_tree_attr = 467 };

struct eg_filter {
    struct sock_filter code[EG_FILTER_MAX];
    unsigned short n;
};

static void add(struct eg_filter *f, struct sock_filter instruction)
{
    if (f->n < EG_FILTER_MAX)
        f->code[f->n++] = instruction;
}

static void load(struct eg_filter *f, size_t offset)
{
    add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* The low half of an argument: the kernel takes int and unsigned int from there (both
 * architectures are little-endian). */
static void load_arg(struct eg_filter *f, unsigned i)
{
    load(f, offsetof(struct seccomp_data, args) + i * sizeof(uint64_t));
}

static void ret(struct eg_filter *f, uint32_t action)
{
    add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void ret_errno(struct eg_filter *f, int sys)
{
    ret(f, SECCOMP_RET_ERRNO | ((uint32_t)sys & SECCOMP_RET_DATA));
}

/* The next `skip` instructions run only if the accumulator is k. */
static void if_equal(struct eg_filter *f, uint32_t k, uint8_t skip)
{
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, skip));
}

/* Opens a block that runs only for that system call; its end is not known yet. */
static unsigned short begin(struct eg_filter *f, long call)
{
    if_equal(f, (uint32_t)call, 0);
    return f->n;
}

/* The accumulator holds the call's number again: the next block expects it. */
static void end(struct eg_filter *f, unsigned short first, bool returns)
{
    if (!returns)
        load(f, offsetof(struct seccomp_data, nr));
    f->code[first - 1].jf = (uint8_t)(f->n - first);
}

static void if_any_bit(struct eg_filter *f, uint32_t k, uint8_t skip)
{
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, k, 0, skip));
}

static void deny(struct eg_filter *f, long call, int sys)
{
    if_equal(f, (uint32_t)call, 1);
    ret_errno(f, sys);
}

static void check_arch(struct eg_filter *f)
{
#ifdef EG_ARCH
    load(f, offsetof(struct seccomp_data, arch));
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, EG_ARCH, 1, 0));
#endif
    ret(f, SECCOMP_RET_KILL_PROCESS);
    load(f, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__ /* x32: the same architecture, another table */
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
    ret(f, SECCOMP_RET_KILL_PROCESS);
#endif
}

/* socket(domain, type, protocol): TCP and UDP over IPv4 and IPv6, and the netlink that lists
 * addresses (getaddrinfo asks it). */
static void check_socket(struct eg_filter *f)
{
    static const uint32_t protocols[] = { IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP };
    unsigned short first = begin(f, SYS_socket);
    load_arg(f, 0);
    if_equal(f, AF_UNIX, 1);
    ret_errno(f, EACCES);
    if_equal(f, AF_NETLINK, 4);
    load_arg(f, 2);
    if_equal(f, NETLINK_ROUTE, 1);
    ret(f, SECCOMP_RET_ALLOW);
    ret_errno(f, EPROTONOSUPPORT);
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0));
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0));
    ret_errno(f, EAFNOSUPPORT);
    load_arg(f, 1);
    add(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K,
                                        0xf)); /* without SOCK_CLOEXEC, SOCK_NONBLOCK */
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM, 2, 0));
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_DGRAM, 1, 0));
    ret_errno(f, EPERM);
    load_arg(f, 2);
    for (unsigned i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        if_equal(f, protocols[i], 1);
        ret(f, SECCOMP_RET_ALLOW);
    }
    ret_errno(f, EPROTONOSUPPORT);
    end(f, first, true);
}

/* A pair of datagram sockets may still send to a name of the file system, connected ones may
 * not. */
static void check_socketpair(struct eg_filter *f)
{
    unsigned short first = begin(f, SYS_socketpair);
    load_arg(f, 0);
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0));
    ret_errno(f, EAFNOSUPPORT);
    load_arg(f, 1);
    add(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf));
    if_equal(f, SOCK_STREAM, 1);
    ret(f, SECCOMP_RET_ALLOW);
    if_equal(f, SOCK_SEQPACKET, 1);
    ret(f, SECCOMP_RET_ALLOW);
    ret_errno(f, EACCES);
    end(f, first, true);
}

static void check_flags(struct eg_filter *f, long call, uint32_t bits)
{
    unsigned short first = begin(f, call);
    load_arg(f, 0);
    if_any_bit(f, bits, 1);
    ret_errno(f, EPERM);
    end(f, first, false);
}

static void check_ioctl(struct eg_filter *f)
{
    unsigned short first = begin(f, SYS_ioctl);
    load_arg(f, 1);
    if_equal(f, TIOCSTI, 1);
    ret_errno(f, EPERM);
    if_equal(f, TIOCLINUX, 1); /* pastes into the console */
    ret_errno(f, EPERM);
    end(f, first, false);
}

static void build(struct eg_filter *f)
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
    check_socket(f);
    check_socketpair(f);
    check_flags(f, SYS_clone, EG_NEW_NAMESPACES);
    check_flags(f, SYS_unshare, EG_NEW_NAMESPACES | EG_NEWTIME);
    check_ioctl(f);
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        deny(f, refused[i], EPERM);
    for (unsigned i = 0; i < sizeof absent / sizeof *absent; i++)
        deny(f, absent[i], ENOSYS); /* callers fall back to epoll and to clone */
    ret(f, SECCOMP_RET_ALLOW);
}

enum eg_status eg_seccomp_install(struct eg_err *err)
{
    struct eg_filter f = { .n = 0 };
    build(&f);
    struct sock_fprog program = { .len = f.n, .filter = f.code };
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "the child's system call filter is refused");
    return EG_OK;
}
