/* source_put.c - writes a credential back into the file that it came from.
 *
 * Blocking. The file is replaced as a whole: whoever reads it meanwhile, or after a crash, finds
 * the old value or the new one. Only for a rotated refresh token. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cred/source.h"

static const char layer[] = "credential";

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno != EINTR)
            return false;
        p += w < 0 ? 0 : w;
        n -= w < 0 ? 0 : (size_t)w;
    }
    return true;
}

/* The name itself must last, too. */
static bool sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    snprintf(folder, sizeof folder, "%.*s", n ? (int)n : 1, n ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

enum eg_status eg_source_file_put(const char *path, const void *bytes, size_t n, struct eg_err *err)
{
    struct eg_source_place at = { .path = path, .scheme = "file", .name = path };
    struct stat st;
    char temporary[4096];
    int fd = -1;
    enum eg_status s = eg_source_place_open(&at, &fd, &st, err);
    if (s != EG_OK)
        return s;
    close(fd);
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= sizeof temporary)
        return eg_err_set(err, EG_INVALID, layer, 0, "file: its path is too long");
    fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
    if (fd < 0)
        return eg_err_set(err, EG_IO, layer, errno, "file:%s can't be replaced", path);
    bool whole = fchmod(fd, st.st_mode & 0700) == 0 &&
                 (geteuid() != 0 || fchown(fd, st.st_uid, st.st_gid) == 0) &&
                 write_all(fd, bytes, n) && fsync(fd) == 0 && rename(temporary, path) == 0;
    int sys = errno;
    close(fd);
    if (!whole)
        (void)unlink(temporary);
    if (!whole || !sync_folder(path))
        return eg_err_set(err, EG_IO, layer, whole ? errno : sys, "file:%s can't be replaced",
                          path);
    return EG_OK;
}
