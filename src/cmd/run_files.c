/* run_files.c - the folder of a run's generated files: made below TMPDIR or /tmp, since the child
 * may be another user, and removed when the run ends. What goes into it is the launcher's.
 *
 * Invariants: a folder whose run lives is locked, so that one without a lock is what a killed
 * run left, and the next run removes it. Nothing is removed through a path: the child may have
 * written there, and put links in the place of files. */
#include "cmd/run_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char PREFIX[] = "egress-files-";

enum { RANDOM = 10, TRIES = 16, DEPTH = 16 };

/* ---- removing ---- */

static bool remove_content(int folder, int depth);

/* What can't be opened is still removed when it is empty. */
static bool remove_entry(int folder, const char *name, int depth)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    int fd =
        depth < DEPTH ? openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd >= 0) {
        remove_content(fd, depth + 1);
        close(fd);
    }
    return unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static bool remove_content(int folder, int depth)
{
    bool all = fchmod(folder, 0700) == 0;
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *d;
    if (!list) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((d = readdir(list)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            all = remove_entry(folder, d->d_name, depth) && all;
    closedir(list);
    return all;
}

static bool is_ours(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && st.st_nlink > 0;
}

/* A lock that can be had is one that nobody holds. */
static void remove_if_stale(int base, const char *name)
{
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (is_ours(fd) && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        remove_content(fd, 0);
        (void)unlinkat(base, name, AT_REMOVEDIR); /* the next run tries again */
    }
    close(fd);
}

static void remove_stale(int base)
{
    int fd = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *d;
    if (!list) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((d = readdir(list)))
        if (strncmp(d->d_name, PREFIX, sizeof PREFIX - 1) == 0)
            remove_if_stale(base, d->d_name);
    closedir(list);
}

/* ---- making ---- */

/* The path stands in files of formats that each quote in their own way: none is needed for
 * these. */
static bool plain(const char *path)
{
    return *path == '/' && strlen(path) < EG_RUN_FILES_PATH - sizeof PREFIX - RANDOM &&
           path[strspn(
               path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-")] == '\0';
}

/* Ours or root's. In the user namespace of a container, or of another run, root may have no number: what
 * it owns is then the kernel's overflow number's, as all of other users is. Of /tmp the owner of / decides. */
static bool owner_is_trusted(const char *path, const struct stat *st)
{
    struct stat top;
    return st->st_uid == geteuid() || st->st_uid == 0 ||
           (strcmp(path, "/tmp") == 0 && stat("/", &top) == 0 && st->st_uid == top.st_uid);
}

/* Nobody else may put another folder in the place of ours. */
static int open_base(const char *path)
{
    struct stat st;
    int fd = path && plain(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !owner_is_trusted(path, &st) ||
        ((st.st_mode & 022) && !(st.st_mode & S_ISVTX))) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

static void make_name(char name[sizeof PREFIX + RANDOM])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    memcpy(name, PREFIX, sizeof PREFIX - 1);
    for (int i = 0; i < RANDOM; i++)
        name[sizeof PREFIX - 1 + i] = digits[randombytes_uniform(36)];
    name[sizeof PREFIX - 1 + RANDOM] = '\0';
}

/* A run that looks for stale ones may be there between mkdir and the lock: another name then. */
static int make_locked(int base, const char *name)
{
    if (mkdirat(base, name, 0700) < 0)
        return -1;
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        (void)unlinkat(base, name, AT_REMOVEDIR);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_ours(fd) && fchmod(fd, 0700) == 0)
        return fd;
    (void)unlinkat(base, name, AT_REMOVEDIR);
    close(fd);
    errno = EEXIST;
    return -1;
}

enum eg_status eg_run_files_make(struct eg_run_files *f, struct eg_err *err)
{
    char name[sizeof PREFIX + RANDOM];
    const char *base = getenv("TMPDIR");
    *f = (struct eg_run_files){ .base = open_base(base), .folder = -1 };
    if (f->base < 0)
        f->base = open_base(base = "/tmp");
    if (f->base < 0)
        return eg_err_set(err, EG_IO, "run", errno,
                          "neither TMPDIR nor /tmp is a folder for the command's files");
    remove_stale(f->base);
    for (int i = 0; i < TRIES && f->folder < 0; i++) {
        make_name(name);
        f->folder = make_locked(f->base, name);
        if (f->folder < 0 && errno != EEXIST && errno != ENOENT)
            break;
    }
    if (f->folder < 0) {
        eg_err_set(
            err, EG_IO, "run", errno,
            "no folder for the command's files can be made in %.120s; TMPDIR names another place",
            base);
        close(f->base);
        f->base = -1;
        return EG_IO;
    }
    while (base[0] && base[1] == '/' && base[0] == '/')
        base++;
    size_t n = strlen(base);
    while (n > 1 && base[n - 1] == '/')
        n--;
    snprintf(f->path, sizeof f->path, "%.*s/%s", n == 1 ? 0 : (int)n, base, name);
    return EG_OK;
}

enum eg_status eg_run_files_remove(struct eg_run_files *f, struct eg_err *err)
{
    enum eg_status status = EG_OK;
    if (!f->path[0])
        return EG_OK;
    bool all = remove_content(f->folder, 0);
    if (unlinkat(f->base, strrchr(f->path, '/') + 1, AT_REMOVEDIR) < 0 && errno != ENOENT)
        status = eg_err_set(err, EG_IO, "run", errno, "%.200s can't be removed%s", f->path,
                            all ? "" : ": something in it can't");
    close(f->folder);
    close(f->base);
    f->path[0] = '\0';
    return status;
}
