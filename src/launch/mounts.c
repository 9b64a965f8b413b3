/* mounts.c - the child's view of the file system: its own /proc, credentials and runtime folders
 * covered, what it could use to give itself rights at the next start read-only. It runs in init,
 * which still holds capabilities over its own mount namespace and is the child's user already:
 * what it can't reach, the child can't either. Mounts of the host are not touched (private). */
#include "launch/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum eg_status failed(const char *what, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "launch", errno, "%s failed in the child's mount namespace",
                      what);
}

/* A proc of our own is refused where the host's is partly hidden, as containers do. */
enum eg_status eg_mounts_begin(struct eg_err *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return eg_namespace_refused(errno, "a private mount namespace", err);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return eg_namespace_refused(errno, "mounting the child's own /proc", err);
    return EG_OK;
}

/* Out of reach for the child as well, so there is nothing to cover. */
static bool unreachable(int sys)
{
    return sys == ENOENT || sys == ENOTDIR || sys == EACCES || sys == ELOOP || sys == ENAMETOOLONG;
}

static int read_only(const char *path)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    return mount_setattr(AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof attr);
}

static bool is_mount_point(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* A folder that is a mount point can't be renamed: without this, the child would move a parent
 * of a read-only folder, or of a file that we write a new token to, away and put its own in its
 * place. Only where it may write to the folder above. */
static enum eg_status pin_parents(const char *path, struct eg_err *err)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        char *last = strrchr(part, '/');
        *last = '\0';
        int writable = access(last == part ? "/" : part, W_OK) == 0;
        *last = '/';
        if (writable && !is_mount_point(part) && mount(part, part, NULL, MS_BIND | MS_REC, NULL) < 0)
            return failed("pinning a folder", err);
    }
    return EG_OK;
}

/* pin: the path leads to it whatever the child does. */
static enum eg_status protect(const char *path, bool pin, struct eg_err *err)
{
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real) || stat(real, &st) < 0)
        return unreachable(errno) ? EG_OK : failed("finding a protected path", err);
    if (pin && !S_ISREG(st.st_mode))
        return EG_OK;
    if (pin || S_ISDIR(st.st_mode)) {
        enum eg_status status = pin_parents(real, err);
        if (status != EG_OK)
            return status;
    }
    if (mount(real, real, NULL, MS_BIND | MS_REC, NULL) < 0 || read_only(real) < 0)
        return failed("making a path read-only", err);
    return EG_OK;
}

/* empty: a file of mode 000 to bind over files. Folders get a new, empty one of their own. */
static enum eg_status cover(const char *path, const char *empty, struct eg_err *err)
{
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real) || lstat(real, &st) < 0)
        return unreachable(errno) ? EG_OK : failed("finding a covered path", err);
    enum eg_status status = pin_parents(real, err);
    if (status != EG_OK)
        return status;
    if (S_ISDIR(st.st_mode)) {
        if (mount("tmpfs", real, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=16m,nr_inodes=4k") <
            0)
            return failed("covering a folder", err);
        return EG_OK;
    }
    if (mount(empty, real, NULL, MS_BIND, NULL) < 0 || read_only(real) < 0)
        return failed("covering a file", err);
    return EG_OK;
}

/* Other mounts of a proc (of chroots) would show the host's processes. The list's fields are
 * those of proc_pid_mountinfo(5). */
static enum eg_status other_procs(struct eg_buf *paths, struct eg_err *err)
{
    char *line = NULL;
    size_t cap = 0;
    enum eg_status status = EG_OK;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return failed("reading the list of mounts", err);
    while (status == EG_OK && getline(&line, &cap, f) > 0) {
        char point[PATH_MAX];
        const char *dash = strstr(line, " - ");
        if (!dash || strncmp(dash, " - proc ", 8) != 0 ||
            sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
            continue;
        if (strcmp(point, "/proc") != 0 && strncmp(point, "/proc/", 6) != 0)
            status = eg_buf_append(paths, point, strlen(point) + 1);
    }
    free(line);
    fclose(f);
    return status;
}

/* Covers need a file system to take the empty file from, and one place that is sure to exist:
 * /proc, hidden for a moment. */
static enum eg_status cover_all(const struct eg_go *go, const struct eg_buf *procs,
                                struct eg_err *err)
{
    static const char empty[] = "/proc/covered";
    enum eg_status status = EG_OK;
    if (mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0700,size=64k,nr_inodes=16") < 0)
        return failed("a temporary file system", err);
    int fd = open(empty, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return failed("an empty file", err);
    close(fd);
    for (char **p = go->covered; *p && status == EG_OK; p++)
        status = cover(*p, empty, err);
    for (char **p = go->sockets; *p && status == EG_OK; p++)
        status = cover(*p, empty, err);
    struct eg_slice list = eg_buf_slice(procs);
    for (size_t i = 0; i < list.n && status == EG_OK; i += strlen(list.p + i) + 1)
        status = cover(list.p + i, empty, err);
    if (umount2("/proc", MNT_DETACH) < 0 && status == EG_OK)
        status = failed("uncovering /proc", err);
    return status;
}

enum eg_status eg_mounts_apply(const struct eg_go *go, struct eg_err *err)
{
    char cwd[PATH_MAX];
    struct eg_buf procs;
    eg_buf_init(&procs, 1 << 20);
    if (!getcwd(cwd, sizeof cwd))
        snprintf(cwd, sizeof cwd, "/");
    enum eg_status status = other_procs(&procs, err);
    for (char **p = go->read_only; *p && status == EG_OK; p++)
        status = protect(*p, false, err);
    for (char **p = go->programs; *p && status == EG_OK; p++)
        status = protect(*p, true, err);
    for (char **p = go->held; *p && status == EG_OK; p++)
        status = protect(*p, true, err);
    if (status == EG_OK)
        status = cover_all(go, &procs, err);
    eg_buf_done(&procs);
    /* The old working folder still shows what lies under the new mounts: enter it again by name. */
    if (status == EG_OK && (cwd[0] != '/' || chdir(cwd) < 0) && chdir("/") < 0)
        status = failed("entering the working folder", err);
    return status;
}
