/* side.c - moves bytes between a stream and its side's queues, and registers what the stream
 * waits for. Knows no phase. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sodium.h>

#include "proxy/flow.h"

/* Interest that is no longer wanted is taken back only when it fires: most phases that wait for something else are over before that. */
static void side_ready(struct eg_watch *w, unsigned events)
{
    struct eg_side_watch *e = w->ctx;
    struct eg_flow *f = e->side->flow;
    if (events & EG_IN)
        e->side->readable = true;
    if (events & e->wanted)
        eg_flow_wake(f);
    else if (eg_watch_set(f->engine->loop, w, w->fd, w->tag, e->wanted) != EG_OK)
        eg_flow_wake(f); /* the step will find what is wrong */
}

void eg_side_init(struct eg_side *s, struct eg_flow *f)
{
    eg_buf_init(&s->in, EG_IN_MAX);
    eg_buf_init(&s->out, EG_OUT_MAX);
    s->flow = f;
}

/* A client of our own sends secrets and gets tokens, in both directions and in bodies. */
static bool holds_secrets(const struct eg_side *s)
{
    return s->secret_out || s->flow->ingress->internal;
}

static void out_is_empty(struct eg_side *s)
{
    if (holds_secrets(s))
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

/* A read that came back short has emptied the socket: the next one waits until the loop says so. Above TLS only EG_AGAIN tells that. */
enum eg_status eg_side_read(struct eg_side *s, char *scratch, size_t cap, size_t *n,
                            struct eg_err *err)
{
    if (s->eof)
        return EG_EOF;
    if (!s->readable && !eg_stream_pending(s->stream))
        return EG_AGAIN;
    enum eg_status status = eg_stream_recv(s->stream, scratch, cap, n, err);
    if (status == EG_EOF)
        s->eof = true;
    if (status == EG_AGAIN || (status == EG_OK && *n < cap && eg_stream_raw_fd(s->stream) >= 0))
        s->readable = false;
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

static void drop_watch(struct eg_loop *l, struct eg_side *s, unsigned i)
{
    if (s->watches[i])
        eg_watch_drop(l, &s->watches[i]->watch);
    free(s->watches[i]);
    s->watches[i] = NULL;
}

/* The watch of that descriptor, made if need be; NULL when memory or places are out. */
static struct eg_side_watch *watch_for(struct eg_side *s, int fd, uint32_t tag)
{
    int place = -1;
    for (unsigned i = 0; i < EG_WATCHES; i++) {
        struct eg_side_watch *e = s->watches[i];
        if (e && e->watch.fd == fd && e->watch.tag == tag)
            return e;
        if (!e && place < 0)
            place = (int)i;
    }
    struct eg_side_watch *e = place >= 0 ? calloc(1, sizeof *e) : NULL;
    if (!e)
        return NULL;
    e->watch.ready = side_ready;
    e->watch.ctx = e;
    e->side = s;
    s->watches[place] = e;
    return e;
}

/* Asks the kernel only for more than it knows; what is too much is taken back in side_ready. */
static bool wait_for(struct eg_loop *l, struct eg_side *s, int fd, uint32_t tag, unsigned events)
{
    struct eg_side_watch *e = watch_for(s, fd, tag);
    if (!e)
        return false;
    e->wanted = (uint8_t)events;
    if (e->watch.registered && (events & ~(unsigned)e->watch.interest) == 0)
        return true;
    return eg_watch_set(l, &e->watch, fd, tag, events) == EG_OK;
}

void eg_side_sync(struct eg_loop *l, struct eg_side *s, bool *now, uint64_t *wake_ms)
{
    struct eg_pollset set = { 0 };
    /* its descriptor stays as it is, but after its end it would fire for ever */
    bool rest = s->intent == 0 && s->stream && s->stream->connected && !s->eof;
    if (s->stream && !rest)
        eg_stream_want(s->stream, s->intent, &set);
    for (unsigned i = 0; i < EG_WATCHES; i++) {
        if (s->watches[i] && rest)
            s->watches[i]->wanted = 0;
        else if (s->watches[i] && !in_set(&set, &s->watches[i]->watch))
            drop_watch(l, s, i);
    }
    for (unsigned i = 0; i < set.count; i++)
        if (!wait_for(l, s, set.fds[i].fd, set.fds[i].tag, set.fds[i].events))
            *now = true; /* out of memory: try again rather than sleep for ever */
    if (set.now)
        *now = true;
    if (set.wake_ms != 0 && (*wake_ms == 0 || set.wake_ms < *wake_ms))
        *wake_ms = set.wake_ms;
}

bool eg_side_release(struct eg_loop *l, struct eg_side *s, struct eg_side_watch **ret)
{
    struct eg_pollset set = { 0 };
    struct eg_side_watch *only = NULL;
    eg_stream_want(s->stream, EG_IN, &set);
    if (set.count == 1 && !set.now && wait_for(l, s, set.fds[0].fd, set.fds[0].tag, EG_IN))
        only = watch_for(s, set.fds[0].fd, set.fds[0].tag);
    for (unsigned i = 0; i < EG_WATCHES; i++) {
        if (s->watches[i] != only)
            drop_watch(l, s, i);
        s->watches[i] = NULL;
    }
    *ret = only;
    return only || (set.count == 0 && !set.now);
}

void eg_side_adopt(struct eg_side *s, struct eg_stream *stream, struct eg_side_watch *w)
{
    s->stream = stream;
    s->watches[0] = w;
    s->readable = false;
    if (!w)
        return;
    w->side = s;
    w->wanted = EG_IN;
    w->watch.ready = side_ready;
    w->watch.ctx = w;
}

/* The ssh layer closes one of its two descriptors then, whose number may be another's soon: no watch
 * may still stand on it. What is still needed is registered anew. */
enum eg_status eg_side_shut(struct eg_loop *l, struct eg_side *s)
{
    bool closes = eg_stream_find(s->stream, "ssh") != NULL;
    for (unsigned i = 0; closes && i < EG_WATCHES; i++)
        drop_watch(l, s, i);
    return eg_stream_shut(s->stream, NULL);
}

void eg_side_close(struct eg_loop *l, struct eg_side *s, bool abort)
{
    for (unsigned i = 0; i < EG_WATCHES; i++) {
        if (s->watches[i] && s->stream)
            eg_watch_closing(l, &s->watches[i]->watch);
        drop_watch(l, s, i);
    }
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
    if (holds_secrets(s))
        eg_buf_wipe(&s->out);
    if (s->flow->ingress->internal)
        eg_buf_wipe(&s->in);
    s->secret_out = false;
    eg_buf_done(&s->in);
    eg_buf_done(&s->out);
    s->eof = s->shut = false;
    s->readable = false;
    s->intent = 0;
}
