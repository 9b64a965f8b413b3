/* socks5.c - the layer that asks a SOCKS5 proxy for a connection (RFC 1928), with a login if there is one (RFC 1929), and is
 * transparent from then on. Names go to the proxy as names; it resolves nothing, and knows no command but CONNECT.
 * Invariants: no byte after an answer is read, so nothing of the tunnel is ever held here; the login is wiped as soon as it is
 * sent, not needed, or the layer dies; nothing of the proxy's answers but its codes reaches an error text. */
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "stream/stream.h"

enum {
    SOCKS_VERSION = 5,
    LOGIN_VERSION = 1,
    METHOD_NONE = 0,
    METHOD_LOGIN = 2,
    METHOD_NO = 0xff,
    CONNECT = 1,
    ADDRESS_V4 = 1,
    ADDRESS_NAME = 3,
    ADDRESS_V6 = 4,
    FIELD_MAX = 255,
    MESSAGE_MAX = 4 + 1 + FIELD_MAX + 2, /* of a request and of its reply */
    LOGIN_MAX = 2 + FIELD_MAX + 1 + FIELD_MAX
};

enum phase { PHASE_METHOD, PHASE_LOGIN, PHASE_REPLY };

/* What the handshake needs, and an idle tunnel does not. */
struct talk {
    enum phase phase;
    const char *unfit; /* why the login can't be sent; NULL */
    const unsigned char *out;
    size_t out_len, login_len, request_len, in_len;
    unsigned char greeting[4], login[LOGIN_MAX], request[MESSAGE_MAX], in[MESSAGE_MAX];
};

struct socks5 {
    struct eg_stream stream;
    struct talk *talk; /* NULL once connected */
};

static enum eg_status failed(enum eg_status status, struct eg_err *err, const char *why)
{
    return eg_err_set(err, status, "socks5", 0, "%s", why);
}

static void drop_login(struct talk *t)
{
    explicit_bzero(t->login, sizeof t->login);
    t->login_len = 0;
}

static void drop_talk(struct socks5 *h)
{
    if (h->talk)
        explicit_bzero(h->talk, sizeof *h->talk);
    free(h->talk);
    h->talk = NULL;
}

/* ---- what the proxy says ---- */

static enum eg_status not_socks(unsigned char first, struct eg_err *err)
{
    const char *why = "the upstream proxy does not speak SOCKS5";
    if (first == 'H')
        why = "the upstream proxy speaks HTTP, not SOCKS5";
    else if (first == 0x15) /* a TLS alert record */
        why = "the upstream proxy speaks TLS, not plain SOCKS5";
    else if (first == 0 || first == 4)
        why = "the upstream proxy speaks SOCKS4, not SOCKS5";
    return failed(EG_UPSTREAM_PROXY_FAILED, err, why);
}

/* RFC 1928 section 3. */
static enum eg_status judge_method(struct talk *t, size_t *need, struct eg_err *err)
{
    *need = 2;
    if (t->in_len >= 1 && t->in[0] != SOCKS_VERSION)
        return not_socks(t->in[0], err);
    if (t->in_len < 2)
        return EG_AGAIN;
    if (t->in[1] == METHOD_NO)
        return failed(EG_UPSTREAM_PROXY_AUTH, err,
                      t->login_len ? "the SOCKS proxy takes no user name and password"
                                   : "the SOCKS proxy wants a login, and there is none");
    if (t->in[1] == METHOD_NONE || (t->in[1] == METHOD_LOGIN && t->login_len))
        return EG_OK;
    return failed(EG_UPSTREAM_PROXY_FAILED, err,
                  "the SOCKS proxy chose a method that was not offered");
}

/* RFC 1929 section 2. */
static enum eg_status judge_login(const struct talk *t, size_t *need, struct eg_err *err)
{
    *need = 2;
    if (t->in_len >= 1 && t->in[0] != LOGIN_VERSION)
        return failed(EG_UPSTREAM_PROXY_FAILED, err,
                      "the SOCKS proxy's answer to the login is malformed");
    if (t->in_len < 2)
        return EG_AGAIN;
    if (t->in[1] != 0)
        return failed(EG_UPSTREAM_PROXY_AUTH, err,
                      "the SOCKS proxy refused the user name or the password");
    return EG_OK;
}

static enum eg_status refused(unsigned char code, struct eg_err *err)
{
    static const char *const meaning[] = {
        "",
        "general failure",
        "not allowed by its rules",
        "network unreachable",
        "host unreachable",
        "connection refused",
        "TTL expired",
        "command not supported",
        "address type not supported",
    };
    if (code >= sizeof meaning / sizeof *meaning)
        return eg_err_set(err, EG_UPSTREAM_PROXY_FAILED, "socks5", 0,
                          "the SOCKS proxy gave an unknown reply (0x%02x)", code);
    return eg_err_set(err, EG_UPSTREAM_PROXY_REFUSED, "socks5", 0, "the SOCKS proxy answered: %s",
                      meaning[code]);
}

/* RFC 1928 section 6. A refusal is taken at its code: many proxies close before the rest. The bound address says nothing that
 * we use, so its form is all that is looked at. */
static enum eg_status judge_reply(const struct talk *t, size_t *need, struct eg_err *err)
{
    *need = 7; /* the shortest: a name of no bytes */
    if (t->in_len >= 1 && t->in[0] != SOCKS_VERSION)
        return not_socks(t->in[0], err);
    if (t->in_len >= 2 && t->in[1] != 0)
        return refused(t->in[1], err);
    if (t->in_len >= 3 && t->in[2] != 0)
        return failed(EG_UPSTREAM_PROXY_FAILED, err, "the SOCKS proxy's reply is malformed");
    if (t->in_len >= 4 && t->in[3] == ADDRESS_V4)
        *need = 4 + 4 + 2;
    else if (t->in_len >= 4 && t->in[3] == ADDRESS_V6)
        *need = 4 + 16 + 2;
    else if (t->in_len >= 4 && t->in[3] != ADDRESS_NAME)
        return failed(EG_UPSTREAM_PROXY_FAILED, err,
                      "the SOCKS proxy's reply has an unknown address type");
    else if (t->in_len >= 5)
        *need = 4 + 1 + (size_t)t->in[4] + 2;
    return t->in_len < *need ? EG_AGAIN : EG_OK;
}

static enum eg_status judge(struct talk *t, size_t *need, struct eg_err *err)
{
    if (t->phase == PHASE_METHOD)
        return judge_method(t, need, err);
    return t->phase == PHASE_LOGIN ? judge_login(t, need, err) : judge_reply(t, need, err);
}

/* ---- the exchange ---- */

static enum eg_status say(struct socks5 *h, struct eg_err *err)
{
    struct talk *t = h->talk;
    while (t->out_len) {
        struct eg_err detail = { 0 };
        size_t done = 0;
        enum eg_status r =
            eg_stream_send(h->stream.below, (const char *)t->out, t->out_len, &done, &detail);
        if (r == EG_CLOSED)
            return failed(EG_UPSTREAM_PROXY_FAILED, err,
                          "the SOCKS proxy closed the connection before it was asked");
        if (r != EG_OK) {
            if (r != EG_AGAIN && err && err->status == EG_OK)
                *err = detail;
            return r;
        }
        t->out += done;
        t->out_len -= done;
    }
    if (t->phase == PHASE_LOGIN)
        drop_login(t);
    return EG_OK;
}

/* Reads to the end of one answer and not further. EG_OK: it is whole and good. */
static enum eg_status hear(struct socks5 *h, struct eg_err *err)
{
    struct talk *t = h->talk;
    for (;;) {
        struct eg_err detail = { 0 };
        size_t need = 0;
        size_t done = 0;
        enum eg_status r = judge(t, &need, err);
        if (r != EG_AGAIN)
            return r;
        r = eg_stream_recv(h->stream.below, (char *)t->in + t->in_len, need - t->in_len, &done,
                           &detail);
        if (r == EG_EOF || r == EG_CLOSED || r == EG_RESPONSE_TRUNCATED)
            return failed(EG_UPSTREAM_PROXY_FAILED, err,
                          "the SOCKS proxy closed the connection without an answer");
        if (r != EG_OK) {
            if (r != EG_AGAIN && err && err->status == EG_OK)
                *err = detail;
            return r;
        }
        t->in_len += done;
    }
}

static void next(struct talk *t)
{
    bool login = t->phase == PHASE_METHOD && t->in[1] == METHOD_LOGIN;
    t->phase = login ? PHASE_LOGIN : PHASE_REPLY;
    t->out = login ? t->login : t->request;
    t->out_len = login ? t->login_len : t->request_len;
    t->in_len = 0;
    if (!login)
        drop_login(t);
}

static enum eg_status socks5_connect(struct eg_stream *s, struct eg_err *err)
{
    struct socks5 *h = (struct socks5 *)s;
    if (h->talk->unfit)
        return failed(EG_UPSTREAM_PROXY_AUTH, err, h->talk->unfit);
    for (;;) {
        enum eg_status r = say(h, err);
        if (r == EG_OK)
            r = hear(h, err);
        if (r != EG_OK)
            return r;
        if (h->talk->phase == PHASE_REPLY)
            break;
        next(h->talk);
    }
    drop_talk(h);
    return EG_OK;
}

static enum eg_status socks5_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                                  struct eg_err *err)
{
    return eg_stream_recv(s->below, p, n, done, err);
}

static enum eg_status socks5_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                                  struct eg_err *err)
{
    return eg_stream_send(s->below, p, n, done, err);
}

static void socks5_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    const struct socks5 *h = (const struct socks5 *)s;
    if (!s->connected)
        intent = h->talk && h->talk->out_len ? EG_OUT : EG_IN;
    if (intent)
        eg_stream_want(s->below, intent, set);
}

static void socks5_destroy(struct eg_stream *s)
{
    drop_talk((struct socks5 *)s);
}

static int socks5_raw_fd(const struct eg_stream *s)
{
    return eg_stream_raw_fd(s->below);
}

static const struct eg_stream_ops socks5_ops = {
    .name = "socks5",
    .connect = socks5_connect,
    .recv = socks5_recv,
    .send = socks5_send,
    .want = socks5_want,
    .destroy = socks5_destroy,
    .raw_fd = socks5_raw_fd,
};

/* ---- what we say ---- */

static const char *unfit_login(bool colon, size_t user, size_t password)
{
    if (!colon)
        return "the login for the SOCKS proxy is not USER:PASSWORD";
    if (user == 0)
        return "the user name for the SOCKS proxy is empty";
    if (user > FIELD_MAX)
        return "the user name for the SOCKS proxy is longer than 255 bytes";
    if (password == 0)
        return "the password for the SOCKS proxy is empty";
    if (password > FIELD_MAX)
        return "the password for the SOCKS proxy is longer than 255 bytes";
    return NULL;
}

/* RFC 1929 section 2. Told by connect, which has an err, before a byte is sent. */
static enum eg_status write_login(void *ctx, const unsigned char *p, size_t n)
{
    struct talk *t = ctx;
    const unsigned char *colon = memchr(p, ':', n);
    size_t user = colon ? (size_t)(colon - p) : n;
    size_t password = colon ? n - user - 1 : 0;
    t->unfit = unfit_login(colon, user, password);
    if (t->unfit)
        return EG_OK;
    unsigned char *w = t->login;
    *w++ = LOGIN_VERSION;
    *w++ = (unsigned char)user;
    memcpy(w, p, user);
    w += user;
    *w++ = (unsigned char)password;
    memcpy(w, colon + 1, password);
    t->login_len = (size_t)(w - t->login) + password;
    return EG_OK;
}

/* RFC 1928 section 4. */
static void write_request(struct talk *t, const struct eg_authority *target)
{
    unsigned char *w = t->request;
    *w++ = SOCKS_VERSION;
    *w++ = CONNECT;
    *w++ = 0;
    if (target->literal) {
        size_t n = target->addr.family == 4 ? 4 : 16;
        *w++ = n == 4 ? ADDRESS_V4 : ADDRESS_V6;
        memcpy(w, target->addr.b, n);
        w += n;
    } else {
        *w++ = ADDRESS_NAME;
        *w++ = target->host_len;
        memcpy(w, target->host, target->host_len);
        w += target->host_len;
    }
    *w++ = (unsigned char)(target->port >> 8);
    *w++ = (unsigned char)target->port;
    t->request_len = (size_t)(w - t->request);
}

/* With a login both methods are offered: a proxy that needs none is not told it. */
static void write_greeting(struct talk *t)
{
    t->greeting[0] = SOCKS_VERSION;
    t->greeting[1] = t->login_len ? 2 : 1;
    t->greeting[2] = METHOD_NONE;
    t->greeting[3] = METHOD_LOGIN;
    t->out = t->greeting;
    t->out_len = t->login_len ? 4 : 3;
}

enum eg_status eg_stream_socks5(struct eg_stream *below, const struct eg_authority *target,
                                const struct eg_secret *login, struct eg_stream **ret)
{
    if (!target->literal && target->host_len == 0)
        return EG_INVALID;
    struct socks5 *h = calloc(1, sizeof *h);
    struct talk *t = calloc(1, sizeof *t);
    if (!h || !t) {
        free(h);
        free(t);
        return EG_NOMEM;
    }
    h->stream.ops = &socks5_ops;
    h->stream.below = below;
    h->talk = t;
    enum eg_status r = login ? eg_secret_lend(login, write_login, t) : EG_OK;
    if (r != EG_OK) {
        drop_talk(h);
        free(h);
        return r;
    }
    write_request(t, target);
    write_greeting(t);
    *ret = &h->stream;
    return EG_OK;
}
