/* escape_kernel.c - attempts on what the kernel offers: namespaces, mounts, new privileges, keys, programs for the kernel, devices, and calls by other tables. Where the control run is not root's,
 * namespaces of its own give it the rights that such a call wants. What they change is harmless and theirs, or put back. */
#include "support/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc's <sys/mount.h> and <linux/mount.h> don't go together on Debian 12. */
int mount(const char *from, const char *to, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *to, int flags);
enum { DETACH = 2, BIND = 4096, SYS_open_tree_attr_ = 467 };

/* ---- namespaces ---- */

static int unshare_flags(const char *flags)
{
    return escape_result(unshare((int)strtol(flags, NULL, 0)));
}

/* In the namespaces of one's own there are sockets that only root has. */
static int unshare_then_raw(const char *arg)
{
    (void)arg;
    int result = escape_gain(CLONE_NEWNET);
    return result ? result : escape_opened(socket(2 /* AF_INET */, 3 /* SOCK_RAW */, 255));
}

static int child_result(long pid)
{
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return errno;
    while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    return ESCAPE_OUT;
}

static int clone_flags(const char *flags)
{
    return child_result(syscall(SYS_clone, strtoul(flags, NULL, 0) | SIGCHLD, 0, 0, 0, 0));
}

static int clone3_flags(const char *flags)
{
    struct clone_args a = { .flags = strtoul(flags, NULL, 0), .exit_signal = SIGCHLD };
    return child_result(syscall(SYS_clone3, &a, sizeof a));
}

/* Into the namespaces of the guest, which are this user's; its user namespace first. */
static int enter(const char *kind)
{
    char path[64];
    const long guest = escape_number("guest");
    if (guest <= 0)
        return ESCAPE_NO_TARGET;
    const char *const kinds[] = { "user", kind };
    for (unsigned i = strcmp(kind, "user") == 0 ? 1 : 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%ld/ns/%s", guest, kinds[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, 0) < 0)
            return errno;
    }
    return ESCAPE_OUT;
}

static int enter_by_pidfd(const char *arg)
{
    const long guest = escape_number("guest");
    (void)arg;
    if (guest <= 0)
        return ESCAPE_NO_TARGET;
    int fd = (int)syscall(SYS_pidfd_open, guest, 0);
    return fd < 0 ? errno : escape_result(setns(fd, CLONE_NEWUSER | CLONE_NEWNET));
}

/* ---- mounts: with what rights can be had, in a mount namespace of one's own where that is allowed ---- */

static const char *folder(void)
{
    return escape_target("mountpoint");
}

/* Outside, nothing may stay mounted in the namespace that others use. */
static void own_mounts(void)
{
    if (escape_gain(CLONE_NEWNS) == 0)
        (void)mount("none", "/", NULL, 1 << 18 | 16384, NULL); /* private, all of it */
}

static int mount_type(const char *type)
{
    own_mounts();
    return folder() ? escape_result(mount(type, folder(), type, 0, NULL)) : ESCAPE_NO_TARGET;
}

static int mount_bind(const char *from)
{
    own_mounts();
    return folder() ? escape_result(mount(from, folder(), NULL, BIND, NULL)) : ESCAPE_NO_TARGET;
}

/* What lies beneath a cover. */
static int unmount(const char *arg)
{
    own_mounts();
    const char *path = escape_target(arg);
    if (!path)
        return ESCAPE_NO_TARGET;
    if (geteuid() == 0 && mount("tmpfs", path, "tmpfs", 0, NULL) < 0) /* the control run has none */
        return errno;
    return escape_result(umount2(path, DETACH));
}

static int remount(const char *arg)
{
    own_mounts();
    const char *path = folder();
    (void)arg;
    if (!path)
        return ESCAPE_NO_TARGET;
    if (geteuid() == 0 && mount("tmpfs", path, "tmpfs", 1, NULL) < 0)
        return errno;
    return escape_result(mount(NULL, path, NULL, 32 | BIND, NULL));
}

static int new_mount(const char *arg)
{
    (void)arg;
    own_mounts();
    return escape_opened((int)syscall(SYS_fsopen, "tmpfs", 0));
}

static int tree(const char *arg)
{
    own_mounts();
    return escape_opened((int)syscall(SYS_open_tree, AT_FDCWD, arg, OPEN_TREE_CLONE));
}

static int tree_attributes(const char *path)
{
    struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };
    own_mounts();
    return escape_opened(
        (int)syscall(SYS_open_tree_attr_, AT_FDCWD, path, OPEN_TREE_CLONE, &attr, sizeof attr));
}

static int mount_attributes(const char *arg)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
    own_mounts();
    (void)arg;
    if (!folder())
        return ESCAPE_NO_TARGET;
    if (geteuid() == 0 && mount("tmpfs", folder(), "tmpfs", 0, NULL) < 0)
        return errno;
    return escape_result(syscall(SYS_mount_setattr, AT_FDCWD, folder(), 0, &attr, sizeof attr));
}

static int change_root(const char *arg)
{
    (void)arg;
    own_mounts();
    return folder() ? escape_result(chroot(folder())) : ESCAPE_NO_TARGET;
}

static int by_handle(const char *path)
{
    struct {
        struct file_handle h;
        char space[128];
    } handle = { .h = { .handle_bytes = 128 } };
    int id, at = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0 || name_to_handle_at(AT_FDCWD, path, &handle.h, &id, 0) < 0)
        return errno == EOPNOTSUPP ? ESCAPE_NO_TARGET : errno;
    return escape_opened(open_by_handle_at(at, &handle.h, O_RDONLY));
}

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
    { "ns.unshare-user", "a new user namespace", unshare_flags, "0x10000000" },
    { "ns.unshare-user-net", "new user and network namespaces", unshare_flags, "0x50000000" },
    { "ns.unshare-user-mount", "new user and mount namespaces", unshare_flags, "0x10020000" },
    { "ns.unshare-user-time", "new user and time namespaces", unshare_flags, "0x10000080" },
    { "ns.unshare-raw", "a raw socket in namespaces of one's own", unshare_then_raw, NULL },
    { "ns.clone-user", "a child in a new user namespace", clone_flags, "0x10000000" },
    { "ns.clone-user-pid", "a child in new user and process namespaces", clone_flags,
      "0x30000000" },
    { "ns.clone3-user", "the same by clone3", clone3_flags, "0x10000000" },
    { "ns.setns-user", "setns to another user namespace", enter, "user" },
    { "ns.setns-net", "setns to another network namespace", enter, "net" },
    { "ns.setns-pidfd", "setns by a process descriptor", enter_by_pidfd, NULL },
    { "mount.tmpfs", "mount of a file system", mount_type, "tmpfs" },
    { "mount.proc", "mount of another /proc", mount_type, "proc" },
    { "mount.bind", "bind mount", mount_bind, "/etc" },
    { "mount.umount", "umount of what covers a folder", unmount, "runtime" },
    { "mount.remount", "remount for writing", remount, NULL },
    { "mount.fsopen", "fsopen", new_mount, NULL },
    { "mount.open-tree", "open_tree of a copy", tree, "/etc" },
    { "mount.open-tree-attr", "open_tree_attr of a copy", tree_attributes, "/etc" },
    { "mount.setattr", "mount_setattr", mount_attributes, NULL },
    { "mount.chroot", "chroot", change_root, NULL },
    { "mount.handle", "open_by_handle_at: a file without its path", by_handle, "/etc/passwd" },
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
