/* source_put.c - writes a credential back into the file that it came from: a rotated refresh token.
 *
 * Blocking. It is written in place, by one call where the system lets us: a file beside it would be in
 * reach of a child that runs as the same user, and one that is renamed takes the cover off that the
 * child's mount namespace has over it (the kernel detaches it). The old value is of no use any more, so
 * that a crash between loses nothing but what is lost anyway. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cred/source.h"

static const char layer[] = "credential";

static bool write_all(int fd, const char *p, size_t n)
{
    for (off_t at = 0; n > 0;) {
        ssize_t w = pwrite(fd, p, n, at);
        if (w < 0 && errno != EINTR)
            return false;
        p += w < 0 ? 0 : w;
        n -= w < 0 ? 0 : (size_t)w;
        at += w < 0 ? 0 : w;
    }
    return true;
}

/* The very file that was judged, to write to. */
static int open_again(const char *path, const struct stat *judged)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 &&
        (fstat(fd, &st) != 0 || st.st_dev != judged->st_dev || st.st_ino != judged->st_ino)) {
        close(fd);
        errno = ESTALE;
        return -1;
    }
    return fd;
}

enum eg_status eg_source_file_put(const char *path, const void *bytes, size_t n, struct eg_err *err)
{
    struct eg_source_place at = { .path = path, .scheme = "file", .name = path };
    struct stat st;
    int judged = -1;
    enum eg_status s = eg_source_place_open(&at, &judged, &st, err);
    if (s != EG_OK)
        return s;
    int fd = open_again(path, &st);
    bool whole =
        fd >= 0 && write_all(fd, bytes, n) && ftruncate(fd, (off_t)n) == 0 && fsync(fd) == 0;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    close(judged);
    return whole ? EG_OK : eg_err_set(err, EG_IO, layer, sys, "file:%s can't be written to", path);
}
