/* escape_kernel.c - attempts on what the kernel offers: new privileges, keys, programs for the kernel, devices, and calls by other tables. Where the control run is not root's,
 * namespaces of its own give it the rights that such a call wants. What they change is harmless and theirs, or put back. */
#include "support/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- privileges ---- */

static int run_program(const char *target, const char *argument)
{
    const char *path = escape_target(target);
    int status;
    if (!path)
        return ESCAPE_NO_TARGET;
    pid_t pid = fork();
    if (pid == 0) {
        execl(path, path, argument, (char *)NULL);
        _exit(126);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? ESCAPE_OUT : EPERM;
}

/* A copy of `test` with its owner's (root's) rights: may it read what only root may? */
static int setuid_program(const char *target)
{
    const char *path = escape_target("root_folder");
    const char *program = escape_target(target);
    int status;
    if (!path || !program)
        return ESCAPE_NO_TARGET;
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, "-r", path, (char *)NULL);
        _exit(126);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? ESCAPE_OUT : EPERM;
}

static int capable_program(const char *target)
{
    return run_program(target, "raw");
}

static int become_root(const char *arg)
{
    (void)arg;
    return escape_result(setresuid(0, 0, 0));
}

static int capabilities(const char *arg)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { .effective = 1U << CAP_NET_ADMIN,
                                                .permitted = 1U << CAP_NET_ADMIN } };
    (void)arg;
    return escape_result(syscall(SYS_capset, &head, data));
}

/* ---- keys ---- */

static int key_read(const char *arg)
{
    char text[64] = "";
    (void)arg;
    long key =
        syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "escape-key", 0);
    if (key < 0)
        return errno;
    return syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text, 0) < 0
               ? errno
               : escape_is_proof(text, sizeof text);
}

static int key_request(const char *arg)
{
    (void)arg;
    return escape_result(syscall(SYS_request_key, "user", "escape-key", NULL, 0));
}

static int key_add(const char *arg)
{
    (void)arg;
    return escape_result(
        syscall(SYS_add_key, "user", "escape-own", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

/* ---- the kernel's larger machines ---- */

static int bpf_map(const char *arg)
{
    union bpf_attr a = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
    };
    (void)arg;
    return escape_opened((int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof a));
}

static int perf(const char *arg)
{
    struct perf_event_attr a = { .type = PERF_TYPE_SOFTWARE,
                                 .size = sizeof a,
                                 .config = PERF_COUNT_SW_TASK_CLOCK,
                                 .exclude_kernel = 1 };
    (void)arg;
    return escape_opened((int)syscall(SYS_perf_event_open, &a, 0, -1, -1, 0));
}

static int user_faults(const char *arg)
{
    (void)arg;
    return escape_opened((int)syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* user mode only */));
}

static int ring(const char *arg)
{
    unsigned parameters[30] = { 0 };
    (void)arg;
    return escape_opened((int)syscall(SYS_io_uring_setup, 2, parameters));
}

static int kernel_log(const char *arg)
{
    char text[64];
    (void)arg;
    return escape_result(klogctl(3, text, sizeof text));
}

/* Refused for its content where it is not for its caller. */
static int load_module(const char *arg)
{
    char nothing[16] = "";
    (void)arg;
    return syscall(SYS_init_module, nothing, sizeof nothing, "") < 0 && errno != ENOEXEC
               ? errno
               : ESCAPE_OUT;
}

static int remove_module(const char *arg)
{
    (void)arg;
    return syscall(SYS_delete_module, "escape_no_such", O_NONBLOCK) < 0 && errno != ENOENT
               ? errno
               : ESCAPE_OUT;
}

static int swap_off(const char *arg)
{
    (void)arg;
    return syscall(SYS_swapoff, "/nonexistent/escape") < 0 && errno != ENOENT ? errno : ESCAPE_OUT;
}

static int host_name(const char *arg)
{
    char name[256] = "";
    (void)arg;
    int result = escape_gain(CLONE_NEWUTS);
    if (result)
        return result;
    return gethostname(name, sizeof name - 1) < 0 ? errno
                                                  : escape_result(sethostname(name, strlen(name)));
}

static int watch_files(const char *arg)
{
    (void)arg;
    return escape_opened((int)syscall(SYS_fanotify_init, 0, 0));
}

static int device(const char *arg)
{
    const char *path = escape_target("mountpoint");
    char node[512];
    (void)arg;
    if (!path)
        return ESCAPE_NO_TARGET;
    snprintf(node, sizeof node, "%s.node", path);
    if (mknod(node, S_IFCHR | 0600, makedev(1, 1)) < 0)
        return errno;
    unlink(node);
    return ESCAPE_OUT;
}

static int open_path(const char *path)
{
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return ESCAPE_NO_TARGET;
    return escape_opened(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

/* Opened for writing and left as it is. */
static int open_write(const char *path)
{
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return ESCAPE_NO_TARGET;
    return escape_opened(open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK));
}

static int tunnel(const char *arg)
{
    struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    (void)arg;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ESCAPE_NO_TARGET : errno;
    return escape_result(ioctl(fd, TUNSETIFF, &r));
}

/* ---- calls by another table: a filter that looks at numbers alone lets them through ---- */

static int other_table(const char *number)
{
#ifdef __x86_64__
    long rc;
    if (strcmp(number, "x32") == 0)
        return escape_result(syscall(0x40000000L | SYS_getpid));
    /* 32-bit socketcall(SYS_SOCKET, {AF_UNIX, SOCK_STREAM, 0}); its arguments must lie below 4 GiB. */
    unsigned *words = (unsigned *)syscall(SYS_mmap, 0x10000000UL, 4096UL, 3, 0x22 | 0x10, -1, 0L);
    if ((long)(intptr_t)words == -1)
        return errno;
    words[0] = 1;
    words[1] = 1;
    words[2] = 0;
    __asm__ volatile("int $0x80"
                     : "=a"(rc)
                     : "a"(102L), "b"(1L), "c"(words)
                     : "memory", "r8", "r9", "r10", "r11");
    return rc < 0 ? (int)-rc : ESCAPE_OUT;
#else
    (void)number;
    return ESCAPE_NO_TARGET;
#endif
}

const struct escape_attempt escape_kernel[] = {
    { "priv.setuid-program", "a program with root's rights", setuid_program, "setuid" },
    { "priv.capable-program", "a program with a capability", capable_program, "capable" },
    { "priv.setuid", "setresuid to root", become_root, NULL },
    { "priv.capset", "a capability taken back", capabilities, NULL },
    { "key.session", "a key of the caller's session keyring", key_read, NULL },
    { "key.request", "the same key by request_key", key_request, NULL },
    { "key.add", "add_key", key_add, NULL },
    { "kernel.bpf", "a BPF map", bpf_map, NULL },
    { "kernel.perf", "a performance counter", perf, NULL },
    { "kernel.userfaultfd", "userfaultfd", user_faults, NULL },
    { "kernel.io-uring", "io_uring", ring, NULL },
    { "kernel.log", "the kernel's log", kernel_log, NULL },
    { "kernel.module", "loading a module", load_module, NULL },
    { "kernel.module-remove", "removing a module", remove_module, NULL },
    { "kernel.swapoff", "swapoff", swap_off, NULL },
    { "kernel.hostname", "the name of the machine", host_name, NULL },
    { "kernel.fanotify", "fanotify", watch_files, NULL },
    { "kernel.core-pattern", "what the kernel runs for a core file", open_write,
      "/proc/sys/kernel/core_pattern" },
    { "kernel.modprobe", "what the kernel runs for a missing module", open_write,
      "/proc/sys/kernel/modprobe" },
    { "kernel.sysrq", "the emergency keys", open_write, "/proc/sysrq-trigger" },
    { "kernel.forwarding", "whether this machine is a router", open_write,
      "/proc/sys/net/ipv4/ip_forward" },
    { "kernel.uevent-helper", "what the kernel runs for a new device", open_write,
      "/sys/kernel/uevent_helper" },
    { "device.mknod", "a device file", device, NULL },
    { "device.mem", "the machine's memory", open_path, "/dev/mem" },
    { "device.kmsg", "the kernel's log by its device", open_write, "/dev/kmsg" },
    { "device.tun", "a tunnel device", tunnel, NULL },
    { "device.vsock", "/dev/vsock", open_path, "/dev/vsock" },
    { "device.fuse", "/dev/fuse", open_path, "/dev/fuse" },
    { "device.loop", "a loop device", open_path, "/dev/loop-control" },
    { "device.shadow", "the passwords of the machine", open_path, "/etc/shadow" },
    { "table.int80", "a 32-bit call that makes a Unix socket", other_table, "int80" },
    { "table.x32", "a call of the x32 table", other_table, "x32" },
    { NULL, NULL, NULL, NULL },
};
