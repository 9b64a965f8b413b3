/* client.c - a blocking control client. It prints nothing and gives no meaning to messages.
 *
 * Invariant: it speaks to a server of its own user or of root only, since requests and answers
 * hold tokens. */
#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { SEND_MS = 5000 };

struct eg_ctl_client {
    int fd;
    bool greeted;
    struct eg_buf in;
};

static enum eg_status check_peer(int fd, struct eg_err *err)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || n != sizeof who)
        return eg_err_set(err, EG_IO, "control", errno, "the server's identity is unknown");
    if (who.uid != geteuid() && who.uid != 0)
        return eg_err_set(err, EG_PERMISSION, "control", 0,
                          "the server there runs as another user (%u)", (unsigned)who.uid);
    return EG_OK;
}

static enum eg_status connect_there(const char *path, int fd, struct eg_err *err)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof at.sun_path)
        return eg_err_set(err, EG_TOO_BIG, "control", 0, "the socket's path is too long");
    memcpy(at.sun_path, path, n + 1);
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return check_peer(fd, err);
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
        return eg_err_set(err, EG_NOT_FOUND, "control", errno, "no egressd answers");
    return eg_err_set(err, errno == EACCES ? EG_PERMISSION : EG_IO, "control", errno, "connect");
}

enum eg_status eg_ctl_client_open(const char *path, struct eg_ctl_client **ret, struct eg_err *err)
{
    struct eg_ctl_client *c = calloc(1, sizeof *c);
    if (!c)
        return EG_NOMEM;
    eg_buf_init(&c->in, EG_CTL_IN_MAX);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum eg_status status = c->fd < 0 ? eg_err_set(err, EG_IO, "control", errno, "socket")
                                      : connect_there(path, c->fd, err);
    if (status != EG_OK) {
        eg_ctl_client_free(c);
        return status;
    }
    *ret = c;
    return EG_OK;
}

void eg_ctl_client_free(struct eg_ctl_client *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    eg_buf_wipe(&c->in);
    eg_buf_done(&c->in);
    free(c);
}

/* EG_OK when ready, EG_AGAIN when the time is over. */
static enum eg_status wait_for(int fd, short events, uint64_t until_ms, struct eg_err *err)
{
    for (;;) {
        uint64_t now = eg_clock_ms();
        int left = until_ms == UINT64_MAX ? -1 : until_ms > now ? (int)(until_ms - now) : 0;
        struct pollfd p = { .fd = fd, .events = events };
        int r = poll(&p, 1, left);
        if (r > 0)
            return EG_OK;
        if (r == 0)
            return EG_AGAIN;
        if (errno != EINTR)
            return eg_err_set(err, EG_IO, "control", errno, "poll");
    }
}

static enum eg_status write_all(int fd, struct eg_buf *out, struct eg_err *err)
{
    uint64_t until = eg_clock_ms() + SEND_MS;
    while (out->len > 0) {
        enum eg_status status = wait_for(fd, POLLOUT, until, err);
        if (status == EG_AGAIN)
            return eg_err_set(err, EG_IO, "control", 0, "egressd does not read");
        if (status != EG_OK)
            return status;
        ssize_t n = send(fd, out->data + out->off, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return eg_err_set(err, EG_CLOSED, "control", errno, "egressd closed the connection");
        if (n > 0)
            eg_buf_consume(out, (size_t)n);
    }
    return EG_OK;
}

enum eg_status eg_ctl_client_send(struct eg_ctl_client *c, json_t *request, struct eg_err *err)
{
    if (!c->greeted && json_object_set_new(request, "v", json_integer(EG_CTL_VERSION)) != 0)
        return EG_NOMEM;
    struct eg_buf out;
    eg_buf_init(&out, EG_CTL_IN_MAX);
    enum eg_status status = eg_ctl_wire_put(&out, request);
    if (status == EG_OK)
        status = write_all(c->fd, &out, err);
    if (status == EG_OK)
        c->greeted = true;
    eg_buf_wipe(&out);
    eg_buf_done(&out);
    return status;
}

enum eg_status eg_ctl_client_receive(struct eg_ctl_client *c, int timeout_ms, json_t **ret,
                                     struct eg_err *err)
{
    uint64_t until = timeout_ms < 0 ? UINT64_MAX : eg_clock_ms() + (uint64_t)timeout_ms;
    for (;;) {
        enum eg_status status = eg_ctl_wire_take(&c->in, ret, err);
        if (status != EG_AGAIN)
            return status;
        status = wait_for(c->fd, POLLIN, until, err);
        if (status != EG_OK)
            return status;
        char *p;
        size_t n = eg_ctl_wire_missing(&c->in);
        status = eg_buf_reserve(&c->in, n, &p);
        if (status != EG_OK)
            return status;
        ssize_t got = recv(c->fd, p, n, 0);
        if (got == 0)
            return EG_EOF;
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return eg_err_set(err, EG_CLOSED, "control", errno, "egressd closed the connection");
        if (got > 0)
            eg_buf_commit(&c->in, (size_t)got);
    }
}
