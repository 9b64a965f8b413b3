/* socket.c - the place of a listening socket in the file system, the control socket's or another's:
 * its folder, what a killed run left, bind, removal. No requests.
 *
 * Invariants: nothing is removed that is not a socket of ours without a listener; between bind
 * and listen nobody else can open it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/server.h"

enum { LOCK_TRIES = 100, LOCK_PAUSE_MS = 10 };

static enum eg_status folder_of(const struct eg_unix_place *at, char *out, size_t cap,
                                struct eg_err *err)
{
    const char *slash = strrchr(at->path, '/');
    size_t n = slash ? (size_t)(slash - at->path) : 1;
    if (n >= cap)
        return eg_err_set(err, EG_TOO_BIG, at->layer, 0, "the path is too long");
    if (!slash)
        snprintf(out, cap, ".");
    else
        snprintf(out, cap, "%.*s", n ? (int)n : 1, at->path);
    return EG_OK;
}

static enum eg_status check_folder(const struct eg_unix_place *at, const char *folder,
                                   struct eg_err *err)
{
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return eg_err_set(err, EG_IO, at->layer, errno, "the folder %.100s can't be made", folder);
    struct stat st;
    if (stat(folder, &st) < 0)
        return eg_err_set(err, EG_IO, at->layer, errno, "%.100s", folder);
    if (!S_ISDIR(st.st_mode))
        return eg_err_set(err, EG_INVALID, at->layer, 0, "%.100s is not a folder", folder);
    bool shared = (st.st_mode & 022) != 0, sticky = (st.st_mode & S_ISVTX) && !at->own;
    bool ours = st.st_uid == geteuid() || (st.st_uid == 0 && !at->own);
    if (!ours || (shared && !sticky))
        return eg_err_set(err, EG_PERMISSION, at->layer, 0,
                          "%s %.100s: use a folder of your own with mode 0700",
                          ours ? "others may write to" : "it is not our folder:", folder);
    return EG_OK;
}

enum eg_status eg_ctl_folder(const char *path, struct eg_err *err)
{
    const struct eg_unix_place at = { .path = path, .layer = "control" };
    char folder[4096];
    enum eg_status status = folder_of(&at, folder, sizeof folder, err);
    return status == EG_OK ? check_folder(&at, folder, err) : status;
}

/* Does anybody answer there? A full queue counts as an answer. */
static bool answered(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* unknown: leave it alone */
    int r = connect(fd, (const struct sockaddr *)at, sizeof *at);
    bool dead = r < 0 && errno == ECONNREFUSED;
    close(fd);
    return !dead;
}

static enum eg_status remove_stale(const struct eg_unix_place *place, const struct sockaddr_un *at,
                                   struct eg_err *err)
{
    struct stat st;
    if (lstat(at->sun_path, &st) < 0)
        return errno == ENOENT
                   ? EG_OK
                   : eg_err_set(err, EG_IO, place->layer, errno, "%.100s", at->sun_path);
    if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
        return eg_err_set(err, EG_EXISTS, place->layer, 0, "%.100s is not a socket of ours",
                          at->sun_path);
    if (answered(at))
        return eg_err_set(err, EG_EXISTS, place->layer, 0, "another egressd answers at %.100s",
                          at->sun_path);
    if (unlink(at->sun_path) < 0 && errno != ENOENT)
        return eg_err_set(err, EG_IO, place->layer, errno, "%.100s can't be removed", at->sun_path);
    return EG_OK;
}

static enum eg_status bind_there(const struct eg_unix_place *place, const struct sockaddr_un *at,
                                 int *ret, struct eg_err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return eg_err_set(err, EG_IO, place->layer, errno, "socket");
    mode_t old = umask(0177); /* born with mode 0600 */
    int r = bind(fd, (const struct sockaddr *)at, sizeof *at);
    int error = errno;
    umask(old);
    if (r < 0 || listen(fd, place->backlog) < 0) {
        error = r < 0 ? error : errno;
        close(fd);
        return eg_err_set(err, error == EADDRINUSE ? EG_EXISTS : EG_IO, place->layer, error,
                          "%.100s can't be made", at->sun_path);
    }
    *ret = fd;
    return EG_OK;
}

/* Two that start at once must not take each other's new socket for a stale one. -1: no lock, in a
 * folder that others write to. Whoever may read the folder may hold the lock for good: nobody waits
 * longer for it than the start of another takes. */
static int lock_folder(const char *folder)
{
    struct stat st;
    if (stat(folder, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022))
        return -1;
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; lock >= 0 && i < LOCK_TRIES && flock(lock, LOCK_EX | LOCK_NB) < 0; i++)
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    return lock;
}

enum eg_status eg_unix_listen(const struct eg_unix_place *place, int *fd, struct stat *made,
                              struct eg_err *err)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char folder[4096];
    size_t n = strlen(place->path);
    if (n == 0 || n >= sizeof at.sun_path)
        return eg_err_set(err, EG_TOO_BIG, place->layer, 0,
                          "the socket's path must have 1 to %zu bytes", sizeof at.sun_path - 1);
    memcpy(at.sun_path, place->path, n + 1);
    enum eg_status status = folder_of(place, folder, sizeof folder, err);
    if (status == EG_OK)
        status = check_folder(place, folder, err);
    if (status != EG_OK)
        return status;
    int lock = lock_folder(folder);
    status = remove_stale(place, &at, err);
    if (status == EG_OK)
        status = bind_there(place, &at, fd, err);
    if (status == EG_OK && made && lstat(at.sun_path, made) < 0)
        memset(made, 0, sizeof *made);
    if (lock >= 0)
        close(lock);
    return status;
}

enum eg_status eg_ctl_listen(const char *path, int *fd, struct eg_err *err)
{
    const struct eg_unix_place at = { .path = path, .layer = "control", .backlog = EG_CTL_CLIENTS };
    return eg_unix_listen(&at, fd, NULL, err);
}

void eg_unix_remove(const char *path, const struct stat *made)
{
    struct stat st;
    if (made->st_ino != 0 && lstat(path, &st) == 0 && st.st_dev == made->st_dev &&
        st.st_ino == made->st_ino)
        (void)unlink(path);
}
