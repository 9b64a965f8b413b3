/* source.c - credentials from a file, and what every credential value must satisfy.
 *
 * Blocking: only the supervisor's short-lived helpers call this. A file is judged by the
 * descriptor that is read, not by its name. The value is read once, into memory that the caller
 * wipes; errors name the path, never the value; a failure leaves nothing in out. */
#include "cred/cred.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
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

enum eg_status eg_source_check(struct eg_buf *value, struct eg_err *err)
{
    trim_newline(value);
    struct eg_slice v = eg_buf_slice(value);
    enum eg_status s = EG_OK;
    bool blank = true;
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c < 0x20 || c == 0x7f)
            s = EG_INVALID;
        if (c != ' ')
            blank = false;
    }
    if (v.n > EG_CREDENTIAL_MAX)
        s = eg_err_set(err, EG_TOO_BIG, layer, 0, "the value is longer than %d bytes",
                       (int)EG_CREDENTIAL_MAX);
    else if (s != EG_OK)
        s = eg_err_set(err, EG_INVALID, layer, 0,
                       "the value holds a line break, NUL or control character");
    else if (blank)
        s = eg_err_set(err, EG_NOT_FOUND, layer, 0, "the value is %s", v.n ? "blank" : "empty");
    if (s != EG_OK)
        eg_buf_wipe(value);
    return s;
}

static enum eg_status judge_file(int fd, const char *path, struct eg_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return eg_err_set(err, EG_IO, layer, errno, "file:%s", path);
    if (!S_ISREG(st.st_mode))
        return eg_err_set(err, EG_PERMISSION, layer, 0, "file:%s is not a regular file", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return eg_err_set(err, EG_PERMISSION, layer, 0, "file:%s belongs to another user", path);
    if (st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH))
        return eg_err_set(err, EG_PERMISSION, layer, 0,
                          "file:%s is open to other users (chmod 600 it)", path);
    if (st.st_size > EG_CREDENTIAL_MAX + 2)
        return eg_err_set(err, EG_TOO_BIG, layer, 0, "file:%s is longer than %d bytes", path,
                          (int)EG_CREDENTIAL_MAX);
    return EG_OK;
}

/* As much as there is, up to n bytes and one more that only tells that the file is longer. */
static enum eg_status fill(int fd, char *p, size_t n, size_t *got, int *sys)
{
    char more;
    *got = 0;
    for (;;) {
        ssize_t r = *got < n ? read(fd, p + *got, n - *got) : read(fd, &more, 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            *sys = errno;
            return EG_IO;
        }
        if (r == 0)
            return EG_OK;
        if (*got == n) {
            sodium_memzero(&more, 1);
            return EG_TOO_BIG;
        }
        *got += (size_t)r;
    }
}

/* One reservation for all, so that no growth leaves a copy in freed memory. */
static enum eg_status read_all(int fd, const char *path, struct eg_buf *out, struct eg_err *err)
{
    size_t room = EG_CREDENTIAL_MAX + 2, got = 0; /* a line break of two bytes may follow */
    if (room > eg_buf_room(out))
        room = eg_buf_room(out);
    char *p = NULL;
    enum eg_status s = eg_buf_reserve(out, room, &p);
    if (s != EG_OK)
        return eg_err_set(err, s, layer, 0, "no memory for file:%s", path);
    int sys = 0;
    s = fill(fd, p, room, &got, &sys);
    if (s != EG_OK) {
        sodium_memzero(p, got);
        return eg_err_set(err, s, layer, sys, s == EG_TOO_BIG ? "file:%s is too long" : "file:%s",
                          path);
    }
    eg_buf_commit(out, got);
    return EG_OK;
}

enum eg_status eg_source_file(const char *path, struct eg_buf *out, struct eg_err *err)
{
    /* O_NONBLOCK: a FIFO without a writer must not hang us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ELOOP)
        return eg_err_set(err, EG_PERMISSION, layer, 0,
                          "file:%s is a symbolic link; name the file itself", path);
    if (fd < 0)
        return eg_err_set(err, errno == ENOENT ? EG_NOT_FOUND : EG_IO, layer, errno, "file:%s",
                          path);
    enum eg_status s = judge_file(fd, path, err);
    if (s == EG_OK)
        s = read_all(fd, path, out, err);
    close(fd);
    if (s != EG_OK)
        return s;
    struct eg_err why = { 0 };
    s = eg_source_check(out, &why);
    if (s != EG_OK)
        return eg_err_set(err, s, layer, 0, "file:%s: %s", path, why.text);
    return EG_OK;
}
