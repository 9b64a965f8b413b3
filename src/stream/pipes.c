/* pipes.c - the bottom layer over two descriptors, one to read and one to write: what a channel of OpenSSH's master leaves us.
 * It opens nothing and knows nothing of ssh.
 * Invariants: both descriptors are non-blocking; SIGPIPE is ignored by the process (a write to a pipe has no MSG_NOSIGNAL);
 * out is closed, once, to half-close, unless it is the socket that is also read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream/fd.h"

struct pipes {
    struct eg_stream stream;
    int in, out; /* out -1: closed */
    uint32_t in_tag, out_tag;
};

static bool one_socket(const struct pipes *p)
{
    return p->in == p->out;
}

static enum eg_status failed(int error, const char *call, struct eg_err *err)
{
    if (error == EAGAIN)
        return EG_AGAIN;
    return eg_err_set(err, error == EPIPE || error == ECONNRESET ? EG_CLOSED : EG_IO, "ssh", error,
                      "%s: %s", call, strerror(error));
}

static enum eg_status pipes_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                                 struct eg_err *err)
{
    const struct pipes *w = (const struct pipes *)s;
    ssize_t got;
    do {
        got = read(w->in, p, n);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return failed(errno, "read", err);
    if (got == 0)
        return EG_EOF;
    *done = (size_t)got;
    return EG_OK;
}

static enum eg_status pipes_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                                 struct eg_err *err)
{
    const struct pipes *w = (const struct pipes *)s;
    ssize_t sent;
    do {
        sent = write(w->out, p, n);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return failed(errno, "write", err);
    *done = (size_t)sent;
    return EG_OK;
}

static enum eg_status pipes_shut(struct eg_stream *s, struct eg_err *err)
{
    struct pipes *w = (struct pipes *)s;
    if (one_socket(w))
        return eg_stream_fd_shut(w->out, err);
    close(w->out);
    w->out = -1;
    return EG_OK;
}

static void pipes_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    const struct pipes *w = (const struct pipes *)s;
    eg_stream_poll_add(set, w->in, w->in_tag, intent & EG_IN);
    if (w->out >= 0)
        eg_stream_poll_add(set, w->out, w->out_tag, intent & EG_OUT);
}

static void pipes_destroy(struct eg_stream *s)
{
    const struct pipes *w = (const struct pipes *)s;
    close(w->in);
    if (!one_socket(w) && w->out >= 0)
        close(w->out);
}

static int pipes_raw_fd(const struct eg_stream *s)
{
    const struct pipes *w = (const struct pipes *)s;
    return one_socket(w) ? w->in : -1;
}

static const struct eg_stream_ops pipes_ops = {
    .name = "ssh",
    .recv = pipes_recv,
    .send = pipes_send,
    .shut = pipes_shut,
    .want = pipes_want,
    .destroy = pipes_destroy,
    .raw_fd = pipes_raw_fd,
};

static bool unblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && ((flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

enum eg_status eg_stream_pipes(int in, int out, struct eg_stream **ret)
{
    if (!unblock(in) || !unblock(out))
        return EG_INVALID;
    struct pipes *w = calloc(1, sizeof *w);
    if (!w)
        return EG_NOMEM;
    w->stream.ops = &pipes_ops;
    w->stream.connected = true;
    w->in = in;
    w->out = out;
    w->in_tag = eg_stream_fd_tag();
    w->out_tag = one_socket(w) ? w->in_tag : eg_stream_fd_tag();
    *ret = &w->stream;
    return EG_OK;
}
