/* stream.c - the wrappers: the only code that walks down a stack of layers. It raises layers from the bottom up, gives
 * surplus bytes back before anything else, and takes a stack apart. It polls nothing and knows no layer by type.
 * Invariants: recv and send of a layer are called only when it is connected; each layer is shut at most once. */
#include "stream/stream.h"

#include <stdlib.h>
#include <string.h>

enum { SURPLUS_MAX = 64 * 1024 };

enum eg_status eg_stream_connect(struct eg_stream *s, struct eg_err *err)
{
    if (s->connected)
        return EG_OK;
    if (s->below) {
        enum eg_status r = eg_stream_connect(s->below, err);
        if (r != EG_OK)
            return r;
    }
    enum eg_status r = s->ops->connect ? s->ops->connect(s, err) : EG_OK;
    s->connected = r == EG_OK;
    return r;
}

static size_t take_surplus(struct eg_stream *s, char *p, size_t n)
{
    if (n > s->surplus_len)
        n = s->surplus_len;
    memcpy(p, s->surplus + s->surplus_off, n);
    s->surplus_off += n;
    s->surplus_len -= n;
    if (s->surplus_len == 0) {
        free(s->surplus);
        s->surplus = NULL;
        s->surplus_off = 0;
    }
    return n;
}

enum eg_status eg_stream_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                              struct eg_err *err)
{
    if (!s->connected || n == 0)
        return eg_err_set(err, EG_INVALID, s->ops->name, 0, "recv before connect, or of no bytes");
    if (s->surplus_len) {
        *done = take_surplus(s, p, n);
        return EG_OK;
    }
    return s->ops->recv(s, p, n, done, err);
}

enum eg_status eg_stream_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                              struct eg_err *err)
{
    if (!s->connected || s->was_shut || n == 0)
        return eg_err_set(err, EG_INVALID, s->ops->name, 0,
                          "send before connect, after shut, or of no bytes");
    return s->ops->send(s, p, n, done, err);
}

enum eg_status eg_stream_shut(struct eg_stream *s, struct eg_err *err)
{
    if (!s->connected)
        return eg_err_set(err, EG_INVALID, s->ops->name, 0, "shut before connect");
    if (!s->was_shut) {
        enum eg_status r = s->ops->shut ? s->ops->shut(s, err) : EG_OK;
        if (r != EG_OK)
            return r;
        s->was_shut = true;
    }
    return s->below ? eg_stream_shut(s->below, err) : EG_OK;
}

void eg_stream_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    if (!s->connected && s->below && !s->below->connected) {
        eg_stream_want(s->below, 0, set);
        return;
    }
    if (s->connected && (intent & EG_IN) && eg_stream_pending(s))
        set->now = true;
    s->ops->want(s, s->connected ? intent : 0, set);
}

bool eg_stream_pending(const struct eg_stream *s)
{
    for (; s; s = s->below)
        if (s->surplus_len || (s->ops->pending && s->ops->pending(s)))
            return true;
    return false;
}

enum eg_status eg_stream_unread(struct eg_stream *s, const char *p, size_t n)
{
    if (n == 0)
        return EG_OK;
    if (n > SURPLUS_MAX || s->surplus_len > SURPLUS_MAX - n)
        return EG_TOO_BIG;
    char *all = malloc(n + s->surplus_len);
    if (!all)
        return EG_NOMEM;
    memcpy(all, p, n);
    if (s->surplus_len)
        memcpy(all + n, s->surplus + s->surplus_off, s->surplus_len);
    free(s->surplus);
    s->surplus = all;
    s->surplus_off = 0;
    s->surplus_len += n;
    return EG_OK;
}

int eg_stream_raw_fd(const struct eg_stream *s)
{
    if (!s->connected || s->surplus_len || !s->ops->raw_fd)
        return -1;
    return s->ops->raw_fd(s);
}

void eg_stream_free(struct eg_stream *s)
{
    while (s) {
        struct eg_stream *below = s->below;
        if (s->ops->destroy)
            s->ops->destroy(s);
        free(s->surplus);
        free(s);
        s = below;
    }
}

struct eg_stream *eg_stream_find(struct eg_stream *s, const char *name)
{
    while (s && strcmp(s->ops->name, name) != 0)
        s = s->below;
    return s;
}
