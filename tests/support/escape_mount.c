/* escape_mount.c - attempts to get into other namespaces or into new ones, where there are rights again, and to change what is mounted. Where the control run is not root's, namespaces of its own give it
 * the rights that such a call wants. */
#include "support/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
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

const struct escape_attempt escape_mounts[] = {
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
    { NULL, NULL, NULL, NULL },
};
