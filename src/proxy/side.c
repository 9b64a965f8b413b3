/* side.c - moves bytes between a stream and its side's queues, and registers what the stream
 * waits for. Knows no phase. */
#include <sys/socket.h>
#include <sodium.h>

#include "proxy/flow.h"

static void side_ready(struct eg_watch *w, unsigned events)
{
    (void)events; /* whatever happened, the step finds out by trying */
    eg_flow_wake(w->ctx);
}

void eg_side_init(struct eg_side *s, struct eg_flow *f)
{
    eg_buf_init(&s->in, EG_IN_MAX);
    eg_buf_init(&s->out, EG_OUT_MAX);
    for (unsigned i = 0; i < EG_WATCHES; i++) {
        s->watch[i].ready = side_ready;
        s->watch[i].ctx = f;
    }
}

static void out_is_empty(struct eg_side *s)
{
    if (s->secret_out)
        eg_buf_wipe(&s->out);
    s->secret_out = false;
    eg_buf_done(&s->out); /* a flow at rest holds no buffer */
}

enum eg_status eg_side_flush(struct eg_side *s, struct eg_err *err)
{
    while (s->out.len > 0) {
        struct eg_slice rest = eg_buf_slice(&s->out);
        size_t done = 0;
        enum eg_status status = eg_stream_send(s->stream, rest.p, rest.n, &done, err);
        if (status != EG_OK)
            return status;
        eg_buf_consume(&s->out, done);
        if (s->out.len == 0)
            out_is_empty(s);
    }
    return EG_OK;
}

enum eg_status eg_side_read(struct eg_side *s, char *scratch, size_t cap, size_t *n,
                            struct eg_err *err)
{
    if (s->eof)
        return EG_EOF;
    enum eg_status status = eg_stream_recv(s->stream, scratch, cap, n, err);
    if (status == EG_EOF)
        s->eof = true;
    return status;
}

enum eg_status eg_side_send(struct eg_side *s, struct eg_slice data, struct eg_err *err)
{
    while (s->out.len == 0 && data.n > 0) {
        size_t done = 0;
        enum eg_status status = eg_stream_send(s->stream, data.p, data.n, &done, err);
        if (status == EG_AGAIN)
            break;
        if (status != EG_OK)
            return status;
        data = eg_slice_from(data, done);
    }
    return eg_buf_put(&s->out, data);
}

static bool in_set(const struct eg_pollset *set, const struct eg_watch *w)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->fds[i].fd == w->fd && set->fds[i].tag == w->tag)
            return true;
    return false;
}

static struct eg_watch *watch_for(struct eg_side *s, int fd, uint32_t tag)
{
    struct eg_watch *free_one = NULL;
    for (unsigned i = 0; i < EG_WATCHES; i++) {
        struct eg_watch *w = &s->watch[i];
        if (w->registered && w->fd == fd && w->tag == tag)
            return w;
        if (!w->registered && !free_one)
            free_one = w;
    }
    return free_one;
}

void eg_side_sync(struct eg_loop *l, struct eg_side *s, bool *now, uint64_t *wake_ms)
{
    struct eg_pollset set = { 0 };
    if (s->stream)
        eg_stream_want(s->stream, s->intent, &set);
    for (unsigned i = 0; i < EG_WATCHES; i++)
        if (s->watch[i].registered && !in_set(&set, &s->watch[i]))
            eg_watch_drop(l, &s->watch[i]);
    for (unsigned i = 0; i < set.count; i++) {
        struct eg_watch *w = watch_for(s, set.fds[i].fd, set.fds[i].tag);
        if (!w || eg_watch_set(l, w, set.fds[i].fd, set.fds[i].tag, set.fds[i].events) != EG_OK)
            *now = true; /* epoll refused (out of memory): try again rather than sleep for ever */
    }
    if (set.now)
        *now = true;
    if (set.wake_ms != 0 && (*wake_ms == 0 || set.wake_ms < *wake_ms))
        *wake_ms = set.wake_ms;
}

void eg_side_close(struct eg_loop *l, struct eg_side *s, bool abort)
{
    for (unsigned i = 0; i < EG_WATCHES; i++)
        eg_watch_drop(l, &s->watch[i]);
    if (abort && s->stream) {
        struct eg_stream *bottom = s->stream;
        while (bottom->below)
            bottom = bottom->below;
        int fd = eg_stream_raw_fd(bottom);
        struct linger reset = { .l_onoff = 1, .l_linger = 0 };
        if (fd >= 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    eg_stream_free(s->stream);
    s->stream = NULL;
    if (s->secret_out)
        eg_buf_wipe(&s->out);
    s->secret_out = false;
    eg_buf_done(&s->in);
    eg_buf_done(&s->out);
    s->eof = s->shut = false;
    s->intent = 0;
}
