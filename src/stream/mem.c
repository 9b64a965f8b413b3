/* mem.c - two ends of a connection in memory, for tests and embedding: each direction is a ring of a fixed size. There are no
 * descriptors to poll; want sets `now` when a call would get further, so its owner calls again.
 * Invariant: the pair lives until both ends are destroyed; an end that was destroyed without shut looks to the other like one
 * that was shut (as a closed socket does). */
#include <stdlib.h>
#include <string.h>

#include "stream/stream.h"

struct pipe {
    char *data;
    size_t off, len;
    bool ended;  /* the writer is done */
    bool orphan; /* nobody will read */
};

struct pair {
    unsigned refs;
    size_t cap;
    struct pipe pipes[2];
};

struct mem {
    struct eg_stream stream;
    struct pair *pair;
    struct pipe *in, *out;
};

static enum eg_status mem_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                               struct eg_err *err)
{
    struct mem *m = (struct mem *)s;
    struct pipe *in = m->in;
    (void)err;
    if (in->len == 0)
        return in->ended ? EG_EOF : EG_AGAIN;
    if (n > in->len)
        n = in->len;
    size_t cap = m->pair->cap;
    size_t first = n < cap - in->off ? n : cap - in->off;
    memcpy(p, in->data + in->off, first);
    memcpy(p + first, in->data, n - first);
    in->off = (in->off + n) % cap;
    in->len -= n;
    *done = n;
    return EG_OK;
}

static enum eg_status mem_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                               struct eg_err *err)
{
    struct mem *m = (struct mem *)s;
    struct pipe *out = m->out;
    size_t cap = m->pair->cap;
    if (out->orphan)
        return eg_err_set(err, EG_CLOSED, "mem", 0, "the other end is gone");
    if (out->len == cap)
        return EG_AGAIN;
    if (n > cap - out->len)
        n = cap - out->len;
    size_t at = (out->off + out->len) % cap;
    size_t first = n < cap - at ? n : cap - at;
    memcpy(out->data + at, p, first);
    memcpy(out->data, p + first, n - first);
    out->len += n;
    *done = n;
    return EG_OK;
}

static enum eg_status mem_shut(struct eg_stream *s, struct eg_err *err)
{
    (void)err;
    ((struct mem *)s)->out->ended = true;
    return EG_OK;
}

static void mem_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    const struct mem *m = (const struct mem *)s;
    if ((intent & EG_IN) && (m->in->len || m->in->ended))
        set->now = true;
    if ((intent & EG_OUT) && (m->out->len < m->pair->cap || m->out->orphan))
        set->now = true;
}

static bool mem_pending(const struct eg_stream *s)
{
    const struct mem *m = (const struct mem *)s;
    return m->in->len > 0 || m->in->ended;
}

static void pair_unref(struct pair *p)
{
    if (--p->refs > 0)
        return;
    free(p->pipes[0].data);
    free(p->pipes[1].data);
    free(p);
}

static void mem_destroy(struct eg_stream *s)
{
    struct mem *m = (struct mem *)s;
    m->out->ended = true;
    m->in->orphan = true;
    pair_unref(m->pair);
}

static const struct eg_stream_ops mem_ops = {
    .name = "mem",
    .recv = mem_recv,
    .send = mem_send,
    .shut = mem_shut,
    .want = mem_want,
    .pending = mem_pending,
    .destroy = mem_destroy,
};

static struct mem *mem_end(struct pair *p, unsigned in)
{
    struct mem *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->stream.ops = &mem_ops;
    m->stream.connected = true;
    m->pair = p;
    m->in = &p->pipes[in];
    m->out = &p->pipes[1 - in];
    return m;
}

enum eg_status eg_stream_mem(size_t cap, struct eg_stream **a, struct eg_stream **b)
{
    if (cap == 0)
        return EG_INVALID;
    struct pair *p = calloc(1, sizeof *p);
    struct mem *left = NULL;
    struct mem *right = NULL;
    if (!p)
        return EG_NOMEM;
    p->refs = 2;
    p->cap = cap;
    p->pipes[0].data = malloc(cap);
    p->pipes[1].data = malloc(cap);
    if (!p->pipes[0].data || !p->pipes[1].data)
        goto fail;
    left = mem_end(p, 0);
    right = mem_end(p, 1);
    if (!left || !right)
        goto fail;
    *a = &left->stream;
    *b = &right->stream;
    return EG_OK;
fail:
    free(left);
    free(right);
    p->refs = 1;
    pair_unref(p);
    return EG_NOMEM;
}
