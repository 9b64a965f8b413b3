/* namespace.c - who the child is, its namespaces, its id maps and its network: one loopback and
 * one listener. Ids map to themselves: a process that is root inside a namespace of root's
 * opened /etc/shadow. Where the kernel refuses, the error names what would have to change on
 * this machine. */
#include "launch/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool number(const char *text, unsigned long long *ret)
{
    return text && eg_slice_u64(eg_slice_str(text), ret) && *ret < (uint32_t)-1;
}

static enum eg_status who_of_root(const struct eg_launch_spec *spec, struct eg_who *ret,
                                  struct eg_err *err)
{
    unsigned long long uid = 0, gid = 0;
    const struct passwd *p;
    if (spec->user) {
        p = getpwnam(spec->user);
        if (!p)
            return eg_err_set(err, EG_PERMISSION, "launch", 0,
                              "--user names nobody on this machine");
        uid = p->pw_uid;
        gid = p->pw_gid;
    } else if (number(spec->sudo_uid, &uid)) {
        p = getpwuid((uid_t)uid);
        if (!number(spec->sudo_gid, &gid)) {
            if (!p)
                return eg_err_set(err, EG_PERMISSION, "launch", 0,
                                  "SUDO_GID is missing; give --user NAME");
            gid = p->pw_gid;
        }
    } else if (spec->strongest == EG_ENFORCE_NONE) {
        return EG_OK; /* nothing is confined: root stays root */
    } else {
        return eg_err_set(
            err, EG_PERMISSION, "launch", 0,
            "a child of root can't be confined: give --user NAME, or call this through sudo");
    }
    if (uid == 0 || gid == 0)
        return eg_err_set(err, EG_PERMISSION, "launch", 0,
                          "the child can't be root or of root's group");
    *ret = (struct eg_who){ .change = true, .uid = (uid_t)uid, .gid = (gid_t)gid };
    return EG_OK;
}

enum eg_status eg_who_find(const struct eg_launch_spec *spec, struct eg_who *ret,
                           struct eg_err *err)
{
    *ret = (struct eg_who){ .uid = geteuid(), .gid = getegid() };
    if (geteuid() == 0)
        return who_of_root(spec, ret, err);
    if (getuid() != geteuid() || getgid() != getegid())
        return eg_err_set(err, EG_PERMISSION, "launch", 0,
                          "set-user-id programs can't launch a child");
    if (spec->user) {
        const struct passwd *p = getpwnam(spec->user);
        if (!p || p->pw_uid != geteuid())
            return eg_err_set(err, EG_PERMISSION, "launch", 0, "--user is for root only");
    }
    return EG_OK;
}

pid_t eg_namespace_clone(enum eg_enforcement enforcement)
{
    unsigned long flags = SIGCHLD;
    if (enforcement == EG_ENFORCE_NAMESPACES)
        flags |= CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
    return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t n = write(fd, text, strlen(text));
    int sys = n == (ssize_t)strlen(text) ? 0 : n < 0 ? errno : EIO;
    close(fd);
    return sys;
}

enum eg_status eg_namespace_map(pid_t pid, const struct eg_who *who, struct eg_err *err)
{
    char path[64], text[64];
    int sys = 0;
    if (!who->change) { /* without CAP_SETGID a gid map asks for this first (user_namespaces(7)) */
        snprintf(path, sizeof path, "/proc/%d/setgroups", (int)pid);
        sys = write_file(path, "deny");
    }
    snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
    snprintf(text, sizeof text, "%u %u 1\n", (unsigned)who->uid, (unsigned)who->uid);
    if (!sys)
        sys = write_file(path, text);
    snprintf(path, sizeof path, "/proc/%d/gid_map", (int)pid);
    snprintf(text, sizeof text, "%u %u 1\n", (unsigned)who->gid, (unsigned)who->gid);
    if (!sys)
        sys = write_file(path, text);
    return sys ? eg_namespace_refused(sys, "mapping the child's ids", err) : EG_OK;
}

/* The number in a one-line file; fallback where it can't be read. */
static long sysctl_number(const char *path, long fallback)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fallback;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return fallback;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

static bool in_seccomp(void)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, "\nSeccomp:");
    return at && strtol(at + 9, NULL, 10) != 0;
}

enum eg_status eg_namespace_refused(int sys, const char *step, struct eg_err *err)
{
    const char *hint =
        "is this a chroot (enter it by pivot_root), or a container without user namespaces?";
    if (sys == ENOENT)
        hint = "is /proc mounted?";
    else if (sysctl_number("/proc/sys/user/max_user_namespaces", 1) == 0)
        hint = "set user.max_user_namespaces above 0 (sysctl)";
    else if (geteuid() != 0 && sysctl_number("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
        hint = "set kernel.unprivileged_userns_clone=1 (sysctl)";
    else if (geteuid() != 0 &&
             sysctl_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) != 0)
        hint = "set kernel.apparmor_restrict_unprivileged_userns=0 (sysctl), or give egressctl an "
               "AppArmor profile with userns";
    else if (in_seccomp())
        hint = "a seccomp filter is on us: let the container have clone, unshare, mount and an "
               "unmasked /proc";
    return eg_err_set(err, EG_PERMISSION, "launch", sys, "%s is refused: %s", step, hint);
}

enum eg_status eg_namespace_loopback(struct eg_err *err)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return eg_err_set(err, EG_IO, "launch", errno, "no socket in the new network namespace");
    int rc = ioctl(fd, SIOCGIFFLAGS, &request);
    if (rc == 0) {
        request.ifr_flags |= IFF_UP;
        rc = ioctl(fd, SIOCSIFFLAGS, &request);
    }
    int sys = errno;
    close(fd);
    return rc == 0 ? EG_OK : eg_namespace_refused(sys, "bringing up the child's loopback", err);
}

enum eg_status eg_namespace_listen(int *ret, uint16_t *port, struct eg_err *err)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) < 0) {
        int sys = errno;
        if (fd >= 0)
            close(fd);
        return eg_err_set(err, EG_IO, "launch", sys, "no listener on the child's loopback");
    }
    *ret = fd;
    *port = ntohs(at.sin_port);
    return EG_OK;
}
