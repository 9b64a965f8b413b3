/* source.c - credentials from a file or systemd, and what every credential value must satisfy.
 *
 * Blocking: only the supervisor's short-lived helpers call this. A file is judged by the
 * descriptor that is read, not by its name. The value is read once, into memory that the caller
 * wipes; errors name the path, never the value; a failure leaves nothing in out. */
#include "cred/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char layer[] = "credential";

/* Takes n bytes off the end, and wipes them. */
static void drop_tail(struct eg_buf *b, size_t n)
{
    sodium_memzero(b->data + b->off + b->len - n, n);
    b->len -= n;
}

static void trim_newline(struct eg_buf *b)
{
    struct eg_slice v = eg_buf_slice(b);
    if (v.n == 0 || v.p[v.n - 1] != '\n')
        return;
    drop_tail(b, v.n > 1 && v.p[v.n - 2] == '\r' ? 2 : 1);
}

static bool stands(unsigned char c, bool text)
{
    return (c >= 0x20 && c != 0x7f) || (text && (c == '\n' || c == '\r' || c == '\t'));
}

enum eg_status eg_source_check(struct eg_buf *value, bool text, struct eg_err *err)
{
    trim_newline(value);
    struct eg_slice v = eg_buf_slice(value);
    enum eg_status s = EG_OK;
    bool blank = true;
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (!stands(c, text))
            s = EG_INVALID;
        if (c > ' ')
            blank = false;
    }
    if (v.n > EG_CREDENTIAL_MAX)
        s = eg_err_set(err, EG_TOO_BIG, layer, 0, "the value is longer than %d bytes",
                       (int)EG_CREDENTIAL_MAX);
    else if (s != EG_OK)
        s = eg_err_set(err, EG_INVALID, layer, 0, "the value holds a %s",
                       text ? "NUL or control character"
                            : "line break, NUL or control character");
    else if (blank)
        s = eg_err_set(err, EG_NOT_FOUND, layer, 0, "the value is %s", v.n ? "blank" : "empty");
    if (s != EG_OK)
        eg_buf_wipe(value);
    return s;
}

static enum eg_status judge(const struct eg_source_place *at, const struct stat *st,
                            struct eg_err *err)
{
    mode_t open = S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
    if (at->group_read && !(st->st_mode & S_IWUSR))
        open &= ~(mode_t)S_IRGRP;
    if (!S_ISREG(st->st_mode))
        return eg_err_set(err, EG_PERMISSION, layer, 0, "%s:%s is not a regular file", at->scheme,
                          at->name);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return eg_err_set(err, EG_PERMISSION, layer, 0, "%s:%s belongs to another user", at->scheme,
                          at->name);
    if (st->st_mode & open)
        return eg_err_set(err, EG_PERMISSION, layer, 0,
                          "%s:%s is open to other users (chmod %s it)", at->scheme, at->name,
                          at->group_read ? "400" : "600");
    return EG_OK;
}

enum eg_status eg_source_place_open(const struct eg_source_place *at, int *ret, struct stat *st,
                                    struct eg_err *err)
{
    /* O_NONBLOCK: a FIFO without a writer must not hang us. */
    int fd = open(at->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ELOOP)
        return eg_err_set(err, EG_PERMISSION, layer, 0,
                          "%s:%s is a symbolic link; name the file itself", at->scheme, at->name);
    if (fd < 0)
        return eg_err_set(err, errno == ENOENT ? EG_NOT_FOUND : EG_IO, layer, errno, "%s:%s",
                          at->scheme, at->name);
    enum eg_status s = fstat(fd, st) == 0 ? judge(at, st, err)
                                          : eg_err_set(err, EG_IO, layer, errno, "%s:%s",
                                                       at->scheme, at->name);
    if (s != EG_OK) {
        close(fd);
        return s;
    }
    *ret = fd;
    return EG_OK;
}

enum eg_status eg_source_fill(int fd, size_t room, struct eg_buf *out, int *sys)
{
    char more, *p = NULL;
    size_t got = 0;
    if (room > eg_buf_room(out))
        room = eg_buf_room(out);
    enum eg_status s = eg_buf_reserve(out, room, &p);
    while (s == EG_OK) { /* one byte more only tells that it is longer */
        ssize_t r = got < room ? read(fd, p + got, room - got) : read(fd, &more, 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            *sys = errno;
            s = EG_IO;
        } else if (r == 0) {
            eg_buf_commit(out, got);
            return EG_OK;
        } else if (got == room) {
            sodium_memzero(&more, 1);
            s = EG_TOO_BIG;
        } else {
            got += (size_t)r;
        }
    }
    if (p)
        sodium_memzero(p, got);
    return s;
}

enum eg_status eg_source_place_read(const struct eg_source_place *at, bool text, struct eg_buf *out,
                                    struct eg_err *err)
{
    struct stat st;
    struct eg_err why = { 0 };
    int fd = -1, sys = 0;
    enum eg_status s = eg_source_place_open(at, &fd, &st, err);
    if (s != EG_OK)
        return s;
    /* a line break of two bytes may follow */
    s = eg_source_fill(fd, EG_CREDENTIAL_MAX + 2, out, &sys);
    close(fd);
    if (s == EG_TOO_BIG)
        return eg_err_set(err, s, layer, 0, "%s:%s is longer than %d bytes", at->scheme, at->name,
                          (int)EG_CREDENTIAL_MAX);
    if (s != EG_OK)
        return eg_err_set(err, s, layer, sys, "%s:%s", at->scheme, at->name);
    s = eg_source_check(out, text, &why);
    if (s != EG_OK)
        return eg_err_set(err, s, layer, 0, "%s:%s: %s", at->scheme, at->name, why.text);
    return EG_OK;
}

enum eg_status eg_source_file(const char *path, bool text, struct eg_buf *out, struct eg_err *err)
{
    struct eg_source_place at = { .path = path, .scheme = "file", .name = path };
    return eg_source_place_read(&at, text, out, err);
}

enum eg_status eg_source_systemd(const char *folder, const char *name, bool text,
                                 struct eg_buf *out, struct eg_err *err)
{
    char path[4096];
    struct eg_source_place at = {
        .path = path, .scheme = "systemd", .name = name, .group_read = true
    };
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return eg_err_set(err, EG_INVALID, layer, 0, "systemd: takes the name of a credential");
    if (!folder || folder[0] != '/')
        return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, layer, 0,
                          "systemd:%s: CREDENTIALS_DIRECTORY is not set: not started by systemd "
                          "with LoadCredential=",
                          name);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
        return eg_err_set(err, EG_INVALID, layer, 0, "systemd:%.100s: its path is too long", name);
    return eg_source_place_read(&at, text, out, err);
}
