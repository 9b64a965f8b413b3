/* tls.c - the layer that is one TLS session (room tls) over the layer below. wolfSSL's I/O callbacks go straight to that
 * layer, so TLS inside TLS is two of these with others between. It verifies nothing itself.
 * The layer below tells its failures twice: to the session, which decides what they mean, and to recv_err and send_err here,
 * so that the caller gets their detail when they are the outcome. */
#include <stdlib.h>

#include "stream/stream.h"
#include "tls/session.h"

struct tls {
    struct eg_stream stream;
    struct eg_tls *session;
    struct eg_err recv_err, send_err;
    unsigned read_want,
        write_want; /* what the last EG_AGAIN of each direction waited for, of the layer below */
};

static enum eg_status below_recv(void *ctx, char *p, size_t n, size_t *done)
{
    struct tls *t = ctx;
    eg_err_reset(&t->recv_err);
    return eg_stream_recv(t->stream.below, p, n, done, &t->recv_err);
}

static enum eg_status below_send(void *ctx, const char *p, size_t n, size_t *done)
{
    struct tls *t = ctx;
    eg_err_reset(&t->send_err);
    return eg_stream_send(t->stream.below, p, n, done, &t->send_err);
}

/* Fills err for an outcome that came from below. */
static enum eg_status settle(const struct tls *t, enum eg_status r, struct eg_err *err)
{
    if (r == EG_OK || r == EG_AGAIN || r == EG_EOF || !err || err->status != EG_OK)
        return r;
    if (t->recv_err.status == r)
        *err = t->recv_err;
    else if (t->send_err.status == r)
        *err = t->send_err;
    return eg_err_set(err, r, "tls", 0, "the connection below failed");
}

static enum eg_status tls_connect(struct eg_stream *s, struct eg_err *err)
{
    struct tls *t = (struct tls *)s;
    enum eg_status r = eg_tls_handshake(t->session, err);
    t->read_want = r == EG_AGAIN ? eg_tls_want(t->session) : 0;
    return settle(t, r, err);
}

static enum eg_status tls_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                               struct eg_err *err)
{
    struct tls *t = (struct tls *)s;
    enum eg_status r = eg_tls_read(t->session, p, n, done, err);
    t->read_want = r == EG_AGAIN ? eg_tls_want(t->session) : 0;
    return settle(t, r, err);
}

static enum eg_status tls_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                               struct eg_err *err)
{
    struct tls *t = (struct tls *)s;
    enum eg_status r = eg_tls_write(t->session, p, n, done, err);
    t->write_want = r == EG_AGAIN ? eg_tls_want(t->session) : 0;
    return settle(t, r, err);
}

static enum eg_status tls_shut(struct eg_stream *s, struct eg_err *err)
{
    struct tls *t = (struct tls *)s;
    enum eg_status r = eg_tls_shutdown(t->session, err);
    t->write_want = r == EG_AGAIN ? eg_tls_want(t->session) : 0;
    return settle(t, r, err);
}

static void tls_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    const struct tls *t = (const struct tls *)s;
    unsigned want = 0;
    if (!s->connected)
        want = t->read_want ? t->read_want
                            : EG_IN | EG_OUT; /* the latter: the handshake has not begun */
    if (intent & EG_IN)
        want |= t->read_want ? t->read_want : EG_IN;
    if (intent & EG_OUT)
        want |= t->write_want ? t->write_want : EG_OUT;
    if (want)
        eg_stream_want(s->below, want, set);
}

static bool tls_pending(const struct eg_stream *s)
{
    return eg_tls_pending(((const struct tls *)s)->session);
}

static void tls_destroy(struct eg_stream *s)
{
    eg_tls_free(((struct tls *)s)->session);
}

static const struct eg_stream_ops tls_ops = {
    .name = "tls",
    .connect = tls_connect,
    .recv = tls_recv,
    .send = tls_send,
    .shut = tls_shut,
    .want = tls_want,
    .pending = tls_pending,
    .destroy = tls_destroy,
};

static struct tls *tls_new(struct eg_stream *below, struct eg_tls_transport *transport)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->stream.ops = &tls_ops;
    t->stream.below = below;
    *transport = (struct eg_tls_transport){ below_recv, below_send, t };
    return t;
}

enum eg_status eg_stream_tls(struct eg_stream *below, struct eg_tls_ctx *c,
                             const struct eg_authority *name, struct eg_slice ticket,
                             struct eg_stream **ret, struct eg_err *err)
{
    struct eg_tls_transport transport;
    struct tls *t = tls_new(below, &transport);
    if (!t)
        return eg_err_set(err, EG_NOMEM, "tls", 0, "out of memory");
    enum eg_status r = eg_tls_connect(c, name, &transport, &t->session, err);
    if (r != EG_OK) {
        free(t);
        return r;
    }
    if (ticket.n)
        eg_tls_session_load(t->session, (const unsigned char *)ticket.p, ticket.n);
    *ret = &t->stream;
    return EG_OK;
}

enum eg_status eg_stream_tls_server(struct eg_stream *below, struct eg_tls_ctx *c,
                                    struct eg_stream **ret, struct eg_err *err)
{
    struct eg_tls_transport transport;
    struct tls *t = tls_new(below, &transport);
    if (!t)
        return eg_err_set(err, EG_NOMEM, "tls", 0, "out of memory");
    enum eg_status r = eg_tls_accept(c, &transport, &t->session, err);
    if (r != EG_OK) {
        free(t);
        return r;
    }
    *ret = &t->stream;
    return EG_OK;
}

bool eg_stream_tls_resumed(const struct eg_stream *s)
{
    return s->ops == &tls_ops && eg_tls_resumed(((const struct tls *)s)->session);
}

const char *eg_stream_tls_version(const struct eg_stream *s)
{
    return s->ops == &tls_ops ? eg_tls_version(((const struct tls *)s)->session) : "";
}

const char *eg_stream_tls_suite(const struct eg_stream *s)
{
    return s->ops == &tls_ops ? eg_tls_suite(((const struct tls *)s)->session) : "";
}

enum eg_status eg_stream_tls_save(struct eg_stream *s, unsigned char *out, size_t cap, size_t *n)
{
    *n = 0;
    return s->ops == &tls_ops ? eg_tls_session_save(((struct tls *)s)->session, out, cap, n)
                              : EG_OK;
}

bool eg_stream_tls_peer_sans(struct eg_stream *s, bool (*each)(void *ctx, struct eg_slice san),
                             void *ctx)
{
    for (; s; s = s->below)
        if (s->ops == &tls_ops && eg_tls_peer_sans(((struct tls *)s)->session, each, ctx))
            return true;
    return false;
}
