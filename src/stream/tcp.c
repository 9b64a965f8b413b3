/* tcp.c - the bottom layer over one connected socket, and the socket calls that it shares with dial. It does not connect,
 * and sets no options: net/sock.c did. A tag, not the number, tells descriptors apart (struct eg_watch). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "stream/fd.h"

struct tcp {
    struct eg_stream stream;
    int fd;
    uint32_t tag;
};

uint32_t eg_stream_fd_tag(void)
{
    /* No counter: there is no global state. A number is reused by the kernel later than the clock's next nanosecond. */
    uint64_t ns = eg_clock_ns();
    uint32_t tag = (uint32_t)(ns ^ (ns >> 32) * 2654435761u);
    return tag ? tag : 1;
}

static enum eg_status failed(int error, const char *call, struct eg_err *err)
{
    switch (error) {
    case EAGAIN:
        return EG_AGAIN;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
    case ETIMEDOUT: /* retransmissions ran out, or keep-alive */
    case EHOSTUNREACH:
    case ENETUNREACH:
        return eg_err_set(err, EG_CLOSED, "tcp", error, "%s: %s", call, strerror(error));
    default:
        return eg_err_set(err, EG_IO, "tcp", error, "%s: %s", call, strerror(error));
    }
}

enum eg_status eg_stream_fd_recv(int fd, char *p, size_t n, size_t *done, struct eg_err *err)
{
    ssize_t got;
    do {
        got = recv(fd, p, n, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return failed(errno, "recv", err);
    if (got == 0)
        return EG_EOF;
    *done = (size_t)got;
    return EG_OK;
}

enum eg_status eg_stream_fd_send(int fd, const char *p, size_t n, size_t *done, struct eg_err *err)
{
    ssize_t sent;
    do {
        sent = send(fd, p, n, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return failed(errno, "send", err);
    *done = (size_t)sent;
    return EG_OK;
}

enum eg_status eg_stream_fd_shut(int fd, struct eg_err *err)
{
    if (shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN)
        return EG_OK;
    return failed(errno, "shutdown", err);
}

void eg_stream_poll_add(struct eg_pollset *set, int fd, uint32_t tag, unsigned events)
{
    if (!events)
        return;
    for (unsigned i = 0; i < set->count; i++) {
        if (set->fds[i].fd == fd && set->fds[i].tag == tag) {
            set->fds[i].events |= (uint8_t)events;
            return;
        }
    }
    if (set->count == EG_POLL_MAX) {
        set->now = true;
        return;
    }
    set->fds[set->count].fd = fd;
    set->fds[set->count].tag = tag;
    set->fds[set->count++].events = (uint8_t)events;
}

static enum eg_status tcp_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                               struct eg_err *err)
{
    return eg_stream_fd_recv(((struct tcp *)s)->fd, p, n, done, err);
}

static enum eg_status tcp_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                               struct eg_err *err)
{
    return eg_stream_fd_send(((struct tcp *)s)->fd, p, n, done, err);
}

static enum eg_status tcp_shut(struct eg_stream *s, struct eg_err *err)
{
    return eg_stream_fd_shut(((struct tcp *)s)->fd, err);
}

static void tcp_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    const struct tcp *t = (const struct tcp *)s;
    eg_stream_poll_add(set, t->fd, t->tag, intent);
}

static void tcp_destroy(struct eg_stream *s)
{
    close(((struct tcp *)s)->fd);
}

static int tcp_raw_fd(const struct eg_stream *s)
{
    return ((const struct tcp *)s)->fd;
}

static const struct eg_stream_ops tcp_ops = {
    .name = "tcp",
    .recv = tcp_recv,
    .send = tcp_send,
    .shut = tcp_shut,
    .want = tcp_want,
    .destroy = tcp_destroy,
    .raw_fd = tcp_raw_fd,
};

enum eg_status eg_stream_tcp(int fd, struct eg_stream **ret)
{
    struct tcp *t = calloc(1, sizeof *t);
    if (!t)
        return EG_NOMEM;
    t->stream.ops = &tcp_ops;
    t->stream.connected = true;
    t->fd = fd;
    t->tag = eg_stream_fd_tag();
    *ret = &t->stream;
    return EG_OK;
}
