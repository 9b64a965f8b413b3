/* filter.c - the seccomp filter of a worker: a list of what it has no business with. An allow list
 * would have to follow every libc; this one takes from a worker that was taken over what leads out
 * of it: programs, files, other processes, local sockets, kernel interfaces.
 *
 * One call is answered by ourselves: open of /dev/urandom traps and gets a copy of a descriptor
 * from before (wolfSSL 5.5 opens it for each generator, c-ares 1.18 for its query ids). The
 * handler is async-signal-safe: it compares a path and calls fcntl. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "cmd/confine.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define OUR_ARCH  AUDIT_ARCH_X86_64
#define CALL(u)   ((u)->uc_mcontext.gregs[REG_RAX])
#define RESULT(u) ((u)->uc_mcontext.gregs[REG_RAX])
#define ARG(u, i) ((u)->uc_mcontext.gregs[(i) == 0 ? REG_RDI : REG_RSI])
#elif defined(__aarch64__)
#define OUR_ARCH  AUDIT_ARCH_AARCH64
#define CALL(u)   ((u)->uc_mcontext.regs[8])
#define RESULT(u) ((u)->uc_mcontext.regs[0])
#define ARG(u, i) ((u)->uc_mcontext.regs[i])
#endif

#ifdef OUR_ARCH

/* What kills: nothing of ours ever asks for it. */
static const int deadly[] = {
    SYS_execve,      SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
    SYS_kcmp,
};
static const int breeding[] = {
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
    SYS_clone,
    SYS_clone3,
};
/* Files: EACCES, since libraries may look for their own. */
static const int files[] = {
#ifdef SYS_creat
    SYS_creat,
    SYS_unlink,
    SYS_rename,
    SYS_link,
    SYS_symlink,
    SYS_mkdir,
    SYS_rmdir,
    SYS_mknod,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_readlink,
#endif
    SYS_unlinkat,
    SYS_renameat2,
    SYS_linkat,
    SYS_symlinkat,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_fchmodat,
    SYS_fchownat,
    SYS_readlinkat,
    SYS_truncate,
    SYS_openat2,
    SYS_chdir,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_setxattr,
    SYS_lsetxattr,
};
static const int kernel[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_personality,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_kill,
    SYS_tkill,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_fanotify_init,
    SYS_inotify_init1,
    SYS_syslog,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_setpriority,
    SYS_sched_setaffinity,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsmount,
    SYS_shmget,
    SYS_shmat,
    SYS_msgget,
    SYS_semget,
    SYS_memfd_create,
    SYS_process_madvise,
};
static const int opening[] = {
#ifdef SYS_open
    SYS_open,
#endif
    SYS_openat,
};

enum { PROGRAM_MAX = 256 };
struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned n;
};

static void add(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (p->n < PROGRAM_MAX)
        p->code[p->n++] = (struct sock_filter){ code, jt, jf, k };
}

static void load(struct program *p, size_t offset)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

/* When the loaded word equals value: return action. */
static void when(struct program *p, uint32_t value, uint32_t action)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
    add(p, BPF_RET | BPF_K, 0, 0, action);
}

static void list(struct program *p, const int *calls, size_t count, uint32_t action)
{
    for (size_t i = 0; i < count; i++)
        when(p, (uint32_t)calls[i], action);
}

#define LIST(p, calls, action) list(p, calls, sizeof(calls) / sizeof *(calls), action)
#define ARG_LOW(i)             (offsetof(struct seccomp_data, args) + 8 * (i))

/* Lets the loaded call through unless it is `call`; for that one, adds the instructions that
 * follow until close_case. */
static unsigned open_case(struct program *p, int call)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)call);
    return p->n - 1;
}

static void close_case(struct program *p, unsigned at)
{
    load(p, offsetof(struct seccomp_data, nr)); /* both ways go on with the number loaded */
    p->code[at].jf = (uint8_t)(p->n - at - 1);
}

static void guarded(struct program *p)
{
    /* the internet's only: no D-Bus, no netlink, no vsock */
    unsigned at = open_case(p, SYS_socket);
    load(p, ARG_LOW(0));
    when(p, AF_INET, SECCOMP_RET_ALLOW);
    when(p, AF_INET6, SECCOMP_RET_ALLOW);
    add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EACCES);
    close_case(p, at);
    at = open_case(p, SYS_tgkill); /* abort() signals ourselves */
    load(p, ARG_LOW(0));
    when(p, (uint32_t)getpid(), SECCOMP_RET_ALLOW);
    add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM);
    close_case(p, at);
    static const int code_makers[] = { SYS_mmap, SYS_mprotect, SYS_pkey_mprotect };
    for (size_t i = 0; !SANITIZED && i < sizeof code_makers / sizeof *code_makers; i++) {
        at = open_case(p, code_makers[i]);
        load(p, ARG_LOW(2));
        add(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, PROT_EXEC);
        add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EACCES);
        close_case(p, at);
    }
}

static void build(struct program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OUR_ARCH);
    add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    add(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000); /* x32 */
    add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
#endif
    guarded(p);
    LIST(p, deadly, SECCOMP_RET_KILL_PROCESS);
    LIST(p, kernel, SECCOMP_RET_ERRNO | EPERM);
    if (!SANITIZED) {
        LIST(p, breeding, SECCOMP_RET_KILL_PROCESS);
        LIST(p, files, SECCOMP_RET_ERRNO | EACCES);
        LIST(p, opening, SECCOMP_RET_TRAP);
    }
    add(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
}

/* A signal handler has no context of its own: the number is kept where only it and
 * eg_confine_calls look. */
static volatile sig_atomic_t urandom_copy = -1;

static void trapped(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    ucontext_t *u = context;
    const char *path;
    int saved = errno;
#ifdef SYS_open
    bool at = info->si_syscall != SYS_open;
#else
    bool at = true;
#endif
    path = (const char *)(uintptr_t)ARG(u, at ? 1 : 0);
    int fd = -1;
    if (path && strcmp(path, "/dev/urandom") == 0)
        fd = fcntl(urandom_copy, F_DUPFD_CLOEXEC, 3);
    else
        errno = EACCES;
    RESULT(u) = (unsigned long)(fd >= 0 ? fd : -errno);
    errno = saved;
}

enum eg_status eg_confine_calls(int urandom, struct eg_err *err)
{
    struct program p = { .n = 0 };
    struct sigaction on_trap = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };
    urandom_copy = urandom;
    build(&p);
    if (p.n >= PROGRAM_MAX)
        return eg_err_set(err, EG_INTERNAL, "worker", 0, "the filter is too long");
    sigemptyset(&on_trap.sa_mask);
    struct sock_fprog prog = { (unsigned short)p.n, p.code };
    if (sigaction(SIGSYS, &on_trap, NULL) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
        return eg_err_set(err, EG_PERMISSION, "worker", errno, "the system has no seccomp filter");
    return EG_OK;
}

#else /* another machine: numbers and registers are not known here */

enum eg_status eg_confine_calls(int urandom, struct eg_err *err)
{
    (void)urandom;
    return eg_err_set(err, EG_NOT_FOUND, "worker", 0, "no filter for this architecture");
}

#endif
