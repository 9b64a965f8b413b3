/* session.c - one TLS connection over a transport of two callbacks: handshake, bytes, close_notify, resumption. It opens no
 * socket and waits for nothing.
 * Invariants: how a connection ended is remembered and wolfSSL is not asked again (after both close_notify it would begin a new
 * handshake). It reads ahead (ahead.c).
 * wolfSSL is never told WANT_WRITE: what the transport does not take is kept in `out` and flushed by the next call,
 * because 5.5.4 builds an alert anew each time that it is called again, and loses its place in a handshake. A call that leaves
 * bytes in `out` is EG_AGAIN, so progress is exact. */
#include "tls/session.h"

#include <stdlib.h>
#include <string.h>

#include "tls/wolf.h"

enum { RECORD_MAX = EG_TLS_RECORD_MAX, GATHER = 4 * RECORD_MAX, OUT_MAX = 128 * 1024 };

enum { TLS_IN = 1, TLS_OUT = 2 }; /* net/loop.h's EG_IN and EG_OUT: that room is of the same step */

/* ---- the transport, as wolfSSL calls it ---- */

static int recv_failed(struct eg_tls *s, enum eg_status r)
{
    if (r == EG_AGAIN) {
        s->want |= TLS_IN;
        return WOLFSSL_CBIO_ERR_WANT_READ;
    }
    if (r == EG_EOF)
        s->cut = true;
    else
        s->io = r;
    return r == EG_EOF ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_GENERAL;
}

/* A peer that speaks something else is told by its first byte: SOCKS5 sends three and waits, wolfSSL waits for five. */
static bool speaks_tls(struct eg_tls *s, unsigned char first)
{
    enum { ALERT = 0x15, HANDSHAKE = 0x16 };
    if (!s->begun && first != HANDSHAKE && first != ALERT) {
        s->plain = true;
        s->io = EG_TLS_FAILED;
    }
    s->begun = true;
    return !s->plain;
}

static int cb_recv(WOLFSSL *ssl, char *p, int n, void *ctx)
{
    struct eg_tls *s = ctx;
    size_t done = 0;
    (void)ssl;
    if (s->ahead_len == 0) {
        if (s->enough)
            return WOLFSSL_CBIO_ERR_WANT_READ;
        enum eg_status r = eg_tls_ahead_fill(s, p, (size_t)n, &done);
        if (r != EG_OK)
            return recv_failed(s, r);
        if (!speaks_tls(s, (unsigned char)(done ? p : s->ahead)[0]))
            return WOLFSSL_CBIO_ERR_GENERAL;
        if (done)
            return (int)done;
    }
    done = (size_t)n < s->ahead_len ? (size_t)n : s->ahead_len;
    memcpy(p, s->ahead + s->ahead_off, done);
    s->ahead_off += done;
    s->ahead_len -= done;
    return (int)done;
}

/* Sends what is left from before. EG_OK: nothing is; a transport that takes no more is remembered and not asked again. */
static enum eg_status flush(struct eg_tls *s)
{
    while (s->out.len && s->broken == EG_OK) {
        struct eg_slice rest = eg_buf_slice(&s->out);
        size_t done = 0;
        enum eg_status r = s->transport.send(s->transport.ctx, rest.p, rest.n, &done);
        if (r == EG_AGAIN) {
            s->want |= TLS_OUT;
            return r;
        }
        if (r != EG_OK)
            s->broken = r;
        eg_buf_consume(&s->out, done);
    }
    eg_buf_done(&s->out); /* idle connections keep no buffer */
    return s->broken;
}

/* Never a failure to wolfSSL: it would refuse to read what the peer said before it closed, an alert or an answer. */
static int cb_send(WOLFSSL *ssl, char *p, int n, void *ctx)
{
    struct eg_tls *s = ctx;
    size_t sent = 0;
    (void)ssl;
    if (!s->gather && s->out.len == 0 && s->broken == EG_OK) {
        enum eg_status r = s->transport.send(s->transport.ctx, p, (size_t)n, &sent);
        if (r != EG_OK && r != EG_AGAIN)
            s->broken = r;
    }
    if (s->broken == EG_OK && sent < (size_t)n &&
        eg_buf_append(&s->out, p + sent, (size_t)n - sent) != EG_OK)
        s->broken = EG_NOMEM;
    return n;
}

/* ---- making and freeing ---- */

static enum eg_status tls_new(struct eg_tls_ctx *c, const struct eg_tls_transport *t,
                              struct eg_tls **ret, struct eg_err *err)
{
    struct eg_tls *s = calloc(1, sizeof *s);
    if (!s)
        return eg_err_set(err, EG_NOMEM, "tls", 0, "out of memory");
    s->ssl = wolfSSL_new(c->wolf);
    if (!s->ssl) {
        free(s);
        return eg_err_set(err, EG_NOMEM, "tls", 0, "out of memory");
    }
    eg_tls_ctx_ref(c);
    s->ctx = c;
    s->transport = *t;
    eg_buf_init(&s->out, OUT_MAX);
    wolfSSL_SSLSetIORecv(s->ssl, cb_recv);
    wolfSSL_SSLSetIOSend(s->ssl, cb_send);
    wolfSSL_SetIOReadCtx(s->ssl, s);
    wolfSSL_SetIOWriteCtx(s->ssl, s);
    *ret = s;
    return EG_OK;
}

enum eg_status eg_tls_connect(struct eg_tls_ctx *c, const struct eg_authority *name,
                              const struct eg_tls_transport *t, struct eg_tls **ret,
                              struct eg_err *err)
{
    struct eg_tls *s = NULL;
    if (c->server)
        return eg_err_set(err, EG_INVALID, "tls", 0, "a server's context can't connect");
    enum eg_status r = tls_new(c, t, &s, err);
    if (r != EG_OK)
        return r;
    s->name = *name;
    r = eg_tls_verify_name(s->ssl, &s->name, err);
    if (r == EG_OK && wolfSSL_UseKeyShare(s->ssl, WOLFSSL_ECC_X25519) != WOLFSSL_SUCCESS)
        r = eg_err_set(err, EG_NOMEM, "tls", 0, "no key share");
    if (r != EG_OK) {
        eg_tls_free(s);
        return r;
    }
    *ret = s;
    return EG_OK;
}

enum eg_status eg_tls_accept(struct eg_tls_ctx *c, const struct eg_tls_transport *t,
                             struct eg_tls **ret, struct eg_err *err)
{
    if (!c->server)
        return eg_err_set(err, EG_INVALID, "tls", 0, "a client's context can't accept");
    return tls_new(c, t, ret, err);
}

void eg_tls_free(struct eg_tls *s)
{
    if (!s)
        return;
    wolfSSL_free(s->ssl);
    eg_tls_ahead_drop(s); /* what the peer sealed: nothing to wipe */
    eg_tls_ctx_unref(s->ctx);
    eg_buf_done(&s->out);
    free(s->late);
    free(s);
}

/* ---- running ---- */

/* What a call of wolfSSL that did not succeed means. EG_AGAIN, or a failure. */
static enum eg_status outcome(struct eg_tls *s, int ret, struct eg_err *err)
{
    int code = wolfSSL_get_error(s->ssl, ret);
    if (code == WOLFSSL_ERROR_WANT_READ || code == WOLFSSL_ERROR_WANT_WRITE) {
        if (!s->want) /* not from a callback */
            s->want = code == WOLFSSL_ERROR_WANT_READ ? TLS_IN : TLS_OUT;
        return EG_AGAIN;
    }
    if (s->plain)
        return eg_err_set(err, EG_TLS_FAILED, "tls", 0, "the %s does not speak TLS",
                          s->ctx->server ? "client" : "peer");
    if (s->io != EG_OK)
        return s->io; /* err is the transport's to fill */
    return eg_tls_verify_error(s->ssl, s->ctx, code, err);
}

/* After wolfSSL took or made bytes: EG_AGAIN while some are not out. */
static enum eg_status finish(struct eg_tls *s)
{
    if (s->broken != EG_OK)
        return s->broken;
    if (s->out.len == 0)
        return EG_OK;
    s->want |= TLS_OUT;
    return EG_AGAIN;
}

static enum eg_status handshake_step(struct eg_tls *s, struct eg_err *err)
{
    int ret = s->ctx->server ? wolfSSL_accept(s->ssl) : wolfSSL_connect(s->ssl);
    if (ret == WOLFSSL_SUCCESS) {
        s->ready = true;
        return eg_tls_verify_done(s->ctx, s->ssl, s->ctx->server ? NULL : &s->name, err);
    }
    if (s->cut)
        return eg_err_set(err, EG_TLS_FAILED, "tls", 0,
                          "the peer closed the connection during the handshake");
    return outcome(s, ret, err);
}

/* Before wolfSSL is called: no more is asked of the transport at once than fits into n bytes, a record that it holds a part of with it. */
static void begin_call(struct eg_tls *s, size_t n)
{
    s->want = 0;
    s->fits = n > 2 * RECORD_MAX ? n - RECORD_MAX : RECORD_MAX;
}

enum eg_status eg_tls_handshake(struct eg_tls *s, struct eg_err *err)
{
    if (s->established)
        return EG_OK;
    if (s->ended != EG_OK)
        return eg_err_set(err, s->ended, "tls", 0, "the handshake failed before");
    begin_call(s, 0);
    enum eg_status r = flush(s);
    if (r != EG_AGAIN) /* also when nothing can be sent: the peer may have said why */
        r = s->ready ? EG_OK : handshake_step(s, err);
    if (r == EG_OK || (r == EG_AGAIN && s->broken != EG_OK))
        r = finish(s);
    else if (s->out.len)
        s->want |= TLS_OUT;
    if (r != EG_AGAIN)
        s->ended = r;
    s->established = r == EG_OK;
    eg_tls_ahead_settle(s);
    return r;
}

/* What wolfSSL_read's failure means; remembered unless it is EG_AGAIN. */
static enum eg_status read_outcome(struct eg_tls *s, int ret, struct eg_err *err)
{
    enum eg_status r;
    if (s->cut) /* asked for more and found the end: no close_notify came before it */
        r = eg_err_set(err, EG_RESPONSE_TRUNCATED, "tls", 0,
                       "the connection ended without close_notify");
    else if (wolfSSL_get_error(s->ssl, ret) == WOLFSSL_ERROR_ZERO_RETURN)
        r = EG_EOF;
    else
        r = outcome(s, ret, err);
    if (r != EG_AGAIN)
        s->ended = r;
    else if (s->out.len)
        s->want |= TLS_OUT;
    return r;
}

/* A later record than the first that this call gives said how the connection ended: the next call tells. */
static void keep_for_next(struct eg_tls *s, const struct eg_err *why)
{
    s->unsaid = true;
    s->late = malloc(sizeof *s->late);
    if (s->late)
        *s->late = *why;
}

static enum eg_status say_kept(struct eg_tls *s, struct eg_err *err)
{
    s->unsaid = false;
    if (s->late && err && s->late->status != EG_OK)
        *err = *s->late;
    return s->ended;
}

/* As many records as were read ahead: one send for the next hop. The transport is asked once. */
static enum eg_status read_records(struct eg_tls *s, char *p, size_t n, size_t *got,
                                   struct eg_err *err)
{
    do {
        struct eg_err why = { 0 };
        size_t room = n - *got > INT32_MAX ? INT32_MAX : n - *got;
        int ret = wolfSSL_read(s->ssl, p + *got, (int)room);
        if (ret > 0) {
            *got += (size_t)ret;
            s->enough = true;
            continue;
        }
        enum eg_status r = read_outcome(s, ret, *got ? &why : err);
        if (*got == 0)
            return r;
        if (r == EG_AGAIN)
            return EG_OK;
        keep_for_next(s, &why);
    } while (*got < n && s->ahead_len > 0 && !s->unsaid);
    return EG_OK;
}

enum eg_status eg_tls_read(struct eg_tls *s, char *p, size_t n, size_t *done, struct eg_err *err)
{
    if (!s->established)
        return eg_err_set(err, EG_INVALID, "tls", 0, "read before the handshake");
    if (s->unsaid)
        return say_kept(s, err);
    if (s->ended == EG_EOF)
        return EG_EOF;
    if (s->ended != EG_OK)
        return eg_err_set(err, s->ended, "tls", 0, "the connection has failed before");
    begin_call(s, n);
    (void)flush(s); /* what can't go out does not keep us from reading */
    size_t got = 0;
    enum eg_status r = read_records(s, p, n, &got, err);
    s->enough = false;
    eg_tls_ahead_settle(s);
    if (r == EG_OK)
        *done = got;
    return r;
}

/* Seals a record, or several into `out`. EG_AGAIN: none was. */
static enum eg_status seal(struct eg_tls *s, const char *p, size_t n, struct eg_err *err)
{
    char *room;
    enum eg_status r = EG_OK;
    n = n < GATHER ? n : GATHER;
    s->gather = n > RECORD_MAX && eg_buf_reserve(&s->out, n + n / 64, &room) == EG_OK;
    do {
        size_t left = n - s->writing, len = left < RECORD_MAX ? left : RECORD_MAX;
        int ret = wolfSSL_write(s->ssl, p + s->writing, (int)len);
        if (ret > 0)
            s->writing += (size_t)ret;
        else
            r = outcome(s, ret, err);
    } while (s->gather && r == EG_OK && s->writing < n);
    s->gather = false;
    if (r == EG_AGAIN && s->writing > 0)
        r = EG_OK;
    if (r != EG_OK && r != EG_AGAIN)
        s->ended = r;
    return r;
}

enum eg_status eg_tls_write(struct eg_tls *s, const char *p, size_t n, size_t *done,
                            struct eg_err *err)
{
    if (!s->established || s->sent_notify || n == 0 || n < s->writing)
        return eg_err_set(
            err, EG_INVALID, "tls", 0,
            "write before the handshake, after the end, or of fewer bytes than before");
    if (s->ended != EG_OK &&
        s->ended != EG_EOF) /* the peer's end does not end our direction (RFC 8446 6.1) */
        return eg_err_set(err, s->ended, "tls", 0, "the connection has failed before");
    begin_call(s, 0);
    enum eg_status r = flush(s);
    if (r == EG_OK && s->writing == 0) {
        r = seal(s, p, n, err);
        eg_tls_ahead_settle(s);
        if (r == EG_OK)
            (void)flush(s); /* finish tells */
    }
    if (r != EG_OK)
        return r;
    r = finish(s);
    if (r == EG_OK) {
        *done = s->writing;
        s->writing = 0;
    }
    return r;
}

enum eg_status eg_tls_shutdown(struct eg_tls *s, struct eg_err *err)
{
    if (!s->established || (s->ended != EG_OK && s->ended != EG_EOF))
        return eg_err_set(err, EG_CLOSED, "tls", 0, "there is no connection to end");
    begin_call(s, 0);
    enum eg_status r = flush(s);
    if (r != EG_OK || s->sent_notify)
        return r;
    int ret = wolfSSL_shutdown(s->ssl);
    eg_tls_ahead_settle(s);
    if (ret != WOLFSSL_SUCCESS && ret != WOLFSSL_SHUTDOWN_NOT_DONE)
        return outcome(s, ret, err);
    s->sent_notify = true;
    return finish(s);
}

bool eg_tls_pending(const struct eg_tls *s)
{
    /* Read-ahead bytes are there only until the next read, which takes all that it can decrypt before it says EG_AGAIN. */
    if (s->ended != EG_OK)
        return s->unsaid;
    return s->ahead_len > 0 || (s->established && wolfSSL_pending(s->ssl) > 0);
}

unsigned eg_tls_want(const struct eg_tls *s)
{
    return s->want;
}
