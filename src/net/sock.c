/* sock.c - the socket calls of the project in one place: CLOEXEC, non-blocking, errors as statuses.
 * It keeps no state, waits for nothing and closes only what it opened itself and could not hand over. */
#include "net/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 8, BACKLOG = 1024 };

enum eg_status eg_sock_status(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return EG_CONNECT_REFUSED;
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL: /* no address of this family to connect from */
    case EAFNOSUPPORT:
        return EG_NET_UNREACHABLE;
    case EHOSTUNREACH:
    case EHOSTDOWN:
        return EG_HOST_UNREACHABLE;
    case ETIMEDOUT:
        return EG_CONNECT_TIMEOUT;
    default:
        return EG_IO;
    }
}

void eg_sock_no_delay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof on); /* not TCP: nothing to switch off */
}

enum eg_status eg_sock_connect(const struct eg_sockaddr *to, int *fd, struct eg_err *err)
{
    struct sockaddr_storage sa;
    socklen_t n = eg_sockaddr_to(to, &sa);
    int s = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return eg_err_set(err, eg_sock_status(errno), "tcp", errno, "no socket: %s",
                          strerror(errno));
    eg_sock_no_delay(s);
    if (connect(s, (struct sockaddr *)&sa, n) < 0 && errno != EINPROGRESS) {
        int error = errno;
        close(s);
        return eg_err_set(err, eg_sock_status(error), "tcp", error, "%s", strerror(error));
    }
    *fd = s;
    return EG_OK;
}

/* A socket has a peer from the moment that it is connected; until then SO_ERROR tells a failure from "under way". */
enum eg_status eg_sock_connected(int fd, struct eg_err *err)
{
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0)
        return EG_OK;
    int error = errno;
    if (error == ENOTCONN) {
        n = sizeof error;
        error = 0;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
            error = errno;
        else if (error == 0)
            return EG_AGAIN;
    }
    return eg_err_set(err, eg_sock_status(error), "tcp", error, "%s", strerror(error));
}

bool eg_sock_local(int fd, struct eg_sockaddr *ret)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    return getsockname(fd, (struct sockaddr *)&sa, &n) == 0 &&
           eg_sockaddr_from((struct sockaddr *)&sa, n, ret);
}

bool eg_sock_peer(int fd, struct eg_sockaddr *ret)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    return getpeername(fd, (struct sockaddr *)&sa, &n) == 0 &&
           eg_sockaddr_from((struct sockaddr *)&sa, n, ret);
}

bool eg_sock_peer_user(int fd, uid_t *ret)
{
    struct ucred who;
    socklen_t n = sizeof who;
    int domain = 0;
    socklen_t domain_n = sizeof domain;
    /* elsewhere the kernel answers too, with an id that is nobody's */
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_n) < 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || n != sizeof who ||
        who.uid == (uid_t)-1)
        return false;
    *ret = who.uid;
    return true;
}

enum eg_status eg_sock_listen(const struct eg_sockaddr *at, int *fd, struct eg_sockaddr *bound,
                              struct eg_err *err)
{
    struct sockaddr_storage sa;
    socklen_t n = eg_sockaddr_to(at, &sa);
    const char *step = "socket";
    int on = 1;
    int s = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        goto fail;
    step = "setsockopt";
    if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        goto fail;
    /* ::  must not also take IPv4: what is bound is what was asked for. */
    if (sa.ss_family == AF_INET6 && setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        goto fail;
    step = "bind";
    if (bind(s, (struct sockaddr *)&sa, n) < 0)
        goto fail;
    step = "listen";
    if (listen(s, BACKLOG) < 0)
        goto fail;
    step = "getsockname";
    if (!eg_sock_local(s, bound))
        goto fail;
    *fd = s;
    return EG_OK;
fail:;
    int error = errno;
    if (s >= 0)
        close(s);
    enum eg_status status = error == EADDRINUSE ? EG_EXISTS
                            : error == EACCES   ? EG_PERMISSION
                                                : EG_IO;
    return eg_err_set(err, status, "tcp", error, "%s: %s", step, strerror(error));
}

enum eg_status eg_sock_accept(int listener, int *fd, struct eg_sockaddr *peer, struct eg_err *err)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    int s = accept4(listener, (struct sockaddr *)&sa, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (s < 0) {
        switch (errno) {
        case EAGAIN:
            return EG_AGAIN;
        /* accept(2): errors of the new connection itself come back here on Linux */
        case EINTR:
        case ECONNABORTED:
        case ENETDOWN:
        case EPROTO:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case EPERM:
            return EG_CLOSED;
        default:
            return eg_err_set(err, EG_IO, "tcp", errno, "accept: %s", strerror(errno));
        }
    }
    if (sa.ss_family == AF_UNIX) {
        *peer = (struct eg_sockaddr){ 0 };
    } else if (!eg_sockaddr_from((struct sockaddr *)&sa, n, peer)) {
        close(s);
        return EG_CLOSED;
    }
    *fd = s;
    return EG_OK;
}

/* ---- messages with descriptors ---- */

enum eg_status eg_sock_pair(int fds[2], struct eg_err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return eg_err_set(err, EG_IO, "pair", errno, "socketpair: %s", strerror(errno));
    fds[0] = pair[0];
    fds[1] = pair[1];
    return EG_OK;
}

union fd_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

enum eg_status eg_sock_send_fds(int fd, const void *p, size_t n, const int *fds, unsigned fd_count,
                                struct eg_err *err)
{
    if (fd_count > FDS_MAX || n == 0) /* an empty message reads as the end */
        return eg_err_set(err, EG_INVALID, "pair", 0,
                          "an empty message, or more than %d descriptors", FDS_MAX);
    union fd_room room;
    memset(&room, 0, sizeof room);
    struct iovec iov = { (void *)(uintptr_t)p, n };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (fd_count) {
        m.msg_control = room.bytes;
        m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return EG_OK;
    if (errno == EAGAIN || errno == ENOBUFS)
        return EG_AGAIN;
    if (errno == EPIPE || errno == ECONNRESET)
        return EG_CLOSED;
    if (errno == EMSGSIZE)
        return eg_err_set(err, EG_TOO_BIG, "pair", errno, "message of %zu bytes is too long", n);
    return eg_err_set(err, EG_IO, "pair", errno, "sendmsg: %s", strerror(errno));
}

/* Collects the descriptors of m; those above cap are closed, which the caller reports as cut. */
static unsigned take_fds(struct msghdr *m, int *fds, unsigned cap, bool *cut)
{
    unsigned count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof got);
            if (count < cap) {
                fds[count++] = got;
            } else {
                close(got);
                *cut = true;
            }
        }
    }
    return count;
}

enum eg_status eg_sock_recv_fds(int fd, void *p, size_t cap, size_t *n, int *fds, unsigned fd_cap,
                                unsigned *fd_count, struct eg_err *err)
{
    union fd_room room;
    struct iovec iov = { p, cap };
    struct msghdr m = { .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = room.bytes,
                        .msg_controllen = sizeof room.bytes };
    ssize_t got;
    do {
        got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        if (errno == EAGAIN)
            return EG_AGAIN;
        if (errno == ECONNRESET)
            return EG_EOF; /* the other process died with messages of ours unread */
        return eg_err_set(err, EG_IO, "pair", errno, "recvmsg: %s", strerror(errno));
    }
    bool cut = (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    unsigned count = take_fds(&m, fds, fd_cap, &cut);
    if (cut || (got == 0 && count)) {
        for (unsigned i = 0; i < count; i++)
            close(fds[i]);
        *fd_count = 0;
        return eg_err_set(err, EG_TOO_BIG, "pair", 0, "a message or its descriptors were cut");
    }
    *fd_count = count;
    if (got == 0)
        return EG_EOF;
    *n = (size_t)got;
    return EG_OK;
}
