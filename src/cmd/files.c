/* files.c - whole files and sealed memory files. No formats here.
 *
 * Invariants: every descriptor is O_CLOEXEC; what is read is a regular file, with a ceiling;
 * what is written is 0600, or has the mode of what it replaces, and never follows a link. */
#include "cmd/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

enum { STEP = 65536 };

static enum eg_status failed(struct eg_err *err, const char *path)
{
    int error = errno;
    enum eg_status status = error == ENOENT || error == ENOTDIR ? EG_NOT_FOUND
                            : error == EACCES || error == EPERM ? EG_PERMISSION
                            : error == EEXIST                   ? EG_EXISTS
                                                                : EG_IO;
    return eg_err_set(err, status, "file", error, "%.120s", path);
}

static enum eg_status read_all(int fd, const char *path, struct eg_buf *out, struct eg_err *err)
{
    for (;;) {
        char *p;
        size_t n = eg_buf_room(out) < STEP ? eg_buf_room(out) + 1 : STEP;
        char last;
        if (n == 1) { /* full: is there more? */
            ssize_t more = read(fd, &last, 1);
            return more == 0  ? EG_OK
                   : more < 0 ? failed(err, path)
                              : eg_err_set(err, EG_TOO_BIG, "file", 0, "%.120s is too large", path);
        }
        n = n > eg_buf_room(out) ? eg_buf_room(out) : n;
        enum eg_status status = eg_buf_reserve(out, n, &p);
        if (status != EG_OK)
            return status;
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(err, path);
        if (got == 0)
            return EG_OK;
        eg_buf_commit(out, (size_t)got);
    }
}

enum eg_status eg_file_take(int fd, const char *path, struct eg_buf *out, struct stat *st,
                            struct eg_err *err)
{
    struct stat own;
    st = st ? st : &own;
    if (fstat(fd, st) < 0)
        return failed(err, path);
    if (!S_ISREG(st->st_mode))
        return eg_err_set(err, EG_INVALID, "file", 0, "%.120s is not a regular file", path);
    return read_all(fd, path, out, err);
}

enum eg_status eg_file_read(const char *path, struct eg_buf *out, struct stat *st,
                            struct eg_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return failed(err, path);
    enum eg_status status = eg_file_take(fd, path, out, st, err);
    close(fd);
    return status;
}

enum eg_status eg_file_write(int fd, struct eg_slice text, struct eg_err *err)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return eg_err_set(err, EG_IO, "file", errno, "write");
        text = eg_slice_from(text, (size_t)n);
    }
    return EG_OK;
}

enum eg_status eg_file_create(const char *path, bool stale, int *ret, struct eg_err *err)
{
    struct stat st;
    if (stale && lstat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)
            return eg_err_set(err, EG_EXISTS, "file", 0, "%.120s is not a file of ours", path);
        if (unlink(path) < 0 && errno != ENOENT)
            return failed(err, path);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(err, path);
    *ret = fd;
    return EG_OK;
}

/* By the descriptor: the path may be another file by now. */
static enum eg_status take_after(int fd, const struct stat *old, const char *path,
                                 struct eg_err *err)
{
    if ((old->st_uid != geteuid() || old->st_gid != getegid()) &&
        fchown(fd, old->st_uid, old->st_gid) < 0 && errno != EPERM)
        return failed(err, path);
    return fchmod(fd, old->st_mode & 0777) < 0 ? failed(err, path) : EG_OK;
}

/* old: whose owner and mode the new one gets; NULL: 0600. */
static enum eg_status replace(const char *path, struct eg_slice text, const struct stat *old,
                              struct eg_err *err)
{
    char next[4096];
    int fd;
    if (snprintf(next, sizeof next, "%s.new", path) >= (int)sizeof next)
        return eg_err_set(err, EG_TOO_BIG, "file", 0, "the path is too long");
    enum eg_status status = eg_file_create(next, true, &fd, err);
    if (status != EG_OK)
        return status;
    status = eg_file_write(fd, text, err);
    if (status == EG_OK && old)
        status = take_after(fd, old, path, err);
    if (status == EG_OK && fsync(fd) < 0)
        status = failed(err, next);
    close(fd);
    if (status == EG_OK && rename(next, path) < 0)
        status = failed(err, path);
    if (status != EG_OK)
        (void)unlink(next);
    return status;
}

enum eg_status eg_file_replace(const char *path, struct eg_slice text, struct eg_err *err)
{
    return replace(path, text, NULL, err);
}

enum eg_status eg_file_rewrite(const char *path, struct eg_slice text, struct eg_err *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return failed(err, path);
    if (S_ISLNK(st.st_mode))
        return eg_err_set(err, EG_INVALID, "file", 0,
                          "%.120s is a symbolic link: name the file that it leads to", path);
    if (!S_ISREG(st.st_mode))
        return eg_err_set(err, EG_INVALID, "file", 0, "%.120s is not a regular file", path);
    return replace(path, text, &st, err);
}

enum eg_status eg_file_seal(const char *name, struct eg_slice bytes, int *ret, struct eg_err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return failed(err, name);
    enum eg_status status = eg_file_write(fd, bytes, err);
    if (status == EG_OK &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        status = failed(err, name);
    if (status != EG_OK) {
        close(fd);
        return status;
    }
    *ret = fd;
    return EG_OK;
}

enum eg_status eg_file_map(int fd, size_t max, const void **ret, size_t *n, struct eg_err *err)
{
    const int want = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (fstat(fd, &st) < 0 || seals < 0 || (seals & want) != want || st.st_size <= 0 ||
        (uintmax_t)st.st_size > max)
        return eg_err_set(err, EG_INVALID, "file", 0, "not a sealed memory file of that kind");
    /* Private: before Linux 6.7 a file sealed against writing can't be mapped shared, not even
     * to read. Pages are shared all the same. */
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return failed(err, "mmap");
    *ret = p;
    *n = (size_t)st.st_size;
    return EG_OK;
}
