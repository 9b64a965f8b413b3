/* ahead.c - what is read of the transport before wolfSSL asks for it, since it asks for 5 bytes and then for the rest of each record.
 *
 * One buffer of the context serves all its connections, one at a time: it is lent to a connection while a call of session.c runs. What is
 * left in it then becomes the connection's own, so that an idle connection keeps no buffer and none sees another's bytes. It holds what the
 * peer sealed: nothing to wipe. */
#include "tls/wolf.h"

/* What is asked of the transport at once, at most: into the shared buffer, or into an own one while that is lent (TLS inside TLS). */
enum { AHEAD = 7 * EG_TLS_RECORD_MAX, AHEAD_OWN = 2 * EG_TLS_RECORD_MAX };

/* Gives the empty `ahead` room. Returns how much; 0 where there is no memory for it. */
static size_t make_room(struct eg_tls *s)
{
    struct eg_tls_ctx *c = s->ctx;
    bool own = c->ahead_lent;
    size_t cap = own ? AHEAD_OWN : AHEAD;
    s->ahead = own ? NULL : c->ahead;
    if (!s->ahead)
        s->ahead = malloc(cap);
    if (!s->ahead)
        return 0;
    if (!own) {
        c->ahead = s->ahead;
        c->ahead_lent = s->borrows = true;
    }
    return cap;
}

void eg_tls_ahead_drop(struct eg_tls *s)
{
    if (s->borrows)
        s->ctx->ahead_lent = false;
    else
        free(s->ahead);
    s->borrows = false;
    s->ahead = NULL;
    s->ahead_off = s->ahead_len = 0;
}

void eg_tls_ahead_settle(struct eg_tls *s)
{
    if (s->ahead_len == 0) {
        eg_tls_ahead_drop(s);
        return;
    }
    if (!s->borrows)
        return;
    char *own = malloc(s->ahead_len);
    if (own) {
        memcpy(own, s->ahead + s->ahead_off, s->ahead_len);
        s->ahead = own;
        s->ahead_off = 0;
    } else {
        s->ctx->ahead = NULL; /* no memory: the whole buffer is this connection's */
    }
    s->borrows = s->ctx->ahead_lent = false;
}

enum eg_status eg_tls_ahead_fill(struct eg_tls *s, char *p, size_t n, size_t *direct)
{
    size_t done = 0;
    eg_tls_ahead_drop(s);
    size_t cap = make_room(s);
    char *to = cap > 0 ? s->ahead : p;
    size_t most = cap == 0 ? n : cap < s->fits ? cap : s->fits;
    enum eg_status r = s->transport.recv(s->transport.ctx, to, most, &done);
    *direct = 0;
    if (r != EG_OK)
        return r;
    if (cap > 0)
        s->ahead_len = done;
    else
        *direct = done;
    return EG_OK;
}
