/* devices.c - what the folders of devices and of the kernel would give a child of other programs of
 * its user: their terminals (whoever can open one reads what is typed there), their shared memory
 * and message queues by name, their control groups. Terminals, memory and queues that the child makes
 * are of its own; it keeps the terminal that it has, without a name below /dev/pts. Other devices
 * are not touched: the kernel's permissions stand. */
#include "launch/devices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static enum eg_status failed(const char *what, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "launch", errno, "%s failed in the child's mount namespace",
                      what);
}

static bool missing(const char *path)
{
    return access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES);
}

/* New ones of the child's own; else, where a container refuses that, no device there can be opened
 * any more. */
static enum eg_status own_terminals(struct eg_err *err)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV };
    if (missing("/dev/pts") || mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                                     "newinstance,mode=0620,ptmxmode=0666") == 0)
        return EG_OK;
    if (mount("/dev/pts", "/dev/pts", NULL, MS_BIND, NULL) < 0 ||
        mount_setattr(AT_FDCWD, "/dev/pts", 0, &attr, sizeof attr) < 0)
        return failed("hiding other terminals", err);
    return EG_OK;
}

static enum eg_status own_memory(struct eg_err *err)
{
    if (!missing("/dev/shm") &&
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
        return failed("hiding shared memory", err);
    if (!missing("/dev/mqueue") &&
        mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 &&
        mount("tmpfs", "/dev/mqueue", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=64k") < 0)
        return failed("hiding message queues", err);
    return EG_OK;
}

/* A user may own control groups, and one write there ends all that runs in them. Where /sys is no
 * mount there is none. */
static enum eg_status fixed_sys(struct eg_err *err)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    if (mount_setattr(AT_FDCWD, "/sys", AT_RECURSIVE, &attr, sizeof attr) < 0 && errno != EINVAL &&
        errno != ENOENT)
        return failed("making /sys read-only", err);
    return EG_OK;
}

enum eg_status eg_devices_private(struct eg_err *err)
{
    enum eg_status status = own_terminals(err);
    if (status == EG_OK)
        status = own_memory(err);
    return status == EG_OK ? fixed_sys(err) : status;
}

/* Not the command's own, which it has as one of its first three descriptors. */
static bool of_others(const struct stat *st)
{
    struct stat own;
    bool console = major(st->st_rdev) == 4 || (major(st->st_rdev) == 5 && minor(st->st_rdev) == 1);
    for (int fd = 0; fd < 3; fd++)
        if (fstat(fd, &own) == 0 && S_ISCHR(own.st_mode) && own.st_rdev == st->st_rdev)
            return false;
    return S_ISCHR(st->st_mode) && console;
}

enum eg_status eg_devices_consoles(struct eg_buf *paths, struct eg_err *err)
{
    const struct dirent *d;
    enum eg_status status = EG_OK;
    DIR *list = opendir("/dev");
    if (!list)
        return missing("/dev") ? EG_OK : failed("listing /dev", err);
    while (status == EG_OK && (d = readdir(list))) {
        struct stat st;
        if ((strncmp(d->d_name, "tty", 3) == 0 || strcmp(d->d_name, "console") == 0) &&
            (faccessat(dirfd(list), d->d_name, R_OK, 0) == 0 ||
             faccessat(dirfd(list), d->d_name, W_OK, 0) == 0) &&
            fstatat(dirfd(list), d->d_name, &st, 0) == 0 && of_others(&st)) {
            char path[sizeof "/dev/" + NAME_MAX];
            int n = snprintf(path, sizeof path, "/dev/%s", d->d_name);
            status = eg_buf_append(paths, path, (size_t)n + 1);
        }
    }
    closedir(list);
    return status;
}
