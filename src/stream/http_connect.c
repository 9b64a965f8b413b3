/* http_connect.c - the layer that asks an HTTP proxy for a tunnel (RFC 9110 section 9.3.6) and is transparent from then on.
 * The answer's head is read by room http; what comes after it already belongs to the tunnel.
 * Invariants: the request, which may hold the proxy's credential, is wiped as soon as it is sent or the layer dies; nothing of
 * the proxy's answer but its status code reaches an error text. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/secret.h"
#include "http/message.h"
#include "http/write.h"
#include "stream/stream.h"

enum {
    REQUEST_MAX = 16 * 1024,
    HEAD_MAX = 16 * 1024,
    FIELDS_MAX = 100,
    INTERIM_MAX = 16,
    READ = 4096
};

struct http_connect {
    struct eg_stream stream;
    struct eg_buf request; /* what is still to be sent */
    struct eg_msg *answer;
    unsigned interim; /* 1xx answers so far */
};

static void drop_request(struct http_connect *h)
{
    eg_buf_wipe(&h->request);
    eg_buf_done(&h->request);
}

static enum eg_status failed(enum eg_status status, struct eg_err *err, const char *why)
{
    return eg_err_set(err, status, "http_connect", 0, "%s", why);
}

/* A status of the layer below as it is. Its detail is not ours before that is known: the first who fills err wins. */
static enum eg_status passed(enum eg_status r, struct eg_err *err, const struct eg_err *detail)
{
    if (r != EG_AGAIN && err && err->status == EG_OK)
        *err = *detail;
    return r;
}

static enum eg_status send_request(struct http_connect *h, struct eg_err *err)
{
    while (h->request.len) {
        struct eg_slice rest = eg_buf_slice(&h->request);
        size_t done = 0;
        enum eg_status r = eg_stream_send(h->stream.below, rest.p, rest.n, &done, err);
        if (r == EG_CLOSED)
            return failed(EG_UPSTREAM_PROXY_FAILED, err,
                          "the proxy closed the connection before it was asked");
        if (r != EG_OK)
            return r;
        eg_buf_consume(&h->request, done);
    }
    drop_request(h);
    return EG_OK;
}

/* A whole head is there. EG_OK: the tunnel is open; EG_AGAIN: it was an interim answer. */
static enum eg_status judge(struct http_connect *h, struct eg_err *err)
{
    const struct eg_head *head = eg_msg_head_get(h->answer);
    unsigned status = head->status;
    if (status / 100 == 1 && status != 101 && h->interim++ < INTERIM_MAX) {
        eg_msg_reset(h->answer, EG_SLICE("CONNECT"));
        return EG_AGAIN;
    }
    /* RFC 9110 9.3.6 has us pass over framing fields here; but who announces a body (a captive
     * portal's page) opened no tunnel, and its bytes must not pass for the origin's */
    if (status / 100 == 2 && ((head->has_length && head->length > 0) ||
                              eg_head_find(head, EG_SLICE("Transfer-Encoding"), NULL)))
        return failed(EG_UPSTREAM_PROXY_FAILED, err,
                      "the upstream proxy answered CONNECT with a body");
    if (status / 100 == 2)
        return EG_OK;
    if (status == 407)
        return failed(EG_UPSTREAM_PROXY_AUTH, err, "the upstream proxy answered 407");
    if (status / 100 == 1 || status / 100 == 3)
        return failed(EG_UPSTREAM_PROXY_FAILED, err,
                      "the upstream proxy answered CONNECT with a 1xx or 3xx");
    return eg_err_set(err, EG_UPSTREAM_PROXY_REFUSED, "http_connect", 0,
                      "the upstream proxy answered %u", status);
}

/* Feeds what was read. EG_AGAIN: more is needed. What belongs to the tunnel is unread. */
static enum eg_status feed(struct http_connect *h, const char *p, size_t n, struct eg_err *err)
{
    while (n > 0) {
        size_t used = 0;
        struct eg_err detail = { 0 };
        enum eg_status r = eg_msg_head(h->answer, p, n, &used, &detail);
        if (r == EG_AGAIN)
            return EG_AGAIN;
        if (r == EG_NOMEM)
            return failed(r, err, "out of memory");
        if (r != EG_OK)
            return failed(EG_UPSTREAM_PROXY_FAILED, err,
                          "the upstream proxy's answer is malformed");
        p += used;
        n -= used;
        r = judge(h, err);
        if (r == EG_OK && eg_stream_unread(&h->stream, p, n) != EG_OK)
            return failed(EG_NOMEM, err, "out of memory");
        if (r != EG_AGAIN)
            return r;
    }
    return EG_AGAIN;
}

static enum eg_status http_connect_connect(struct eg_stream *s, struct eg_err *err)
{
    struct http_connect *h = (struct http_connect *)s;
    enum eg_status r = send_request(h, err);
    while (r == EG_OK) {
        char chunk[READ];
        size_t done = 0;
        struct eg_err detail = { 0 };
        r = eg_stream_recv(s->below, chunk, sizeof chunk, &done, &detail);
        if (r == EG_EOF || r == EG_CLOSED || r == EG_RESPONSE_TRUNCATED)
            return failed(EG_UPSTREAM_PROXY_FAILED, err,
                          "the upstream proxy closed the connection without an answer");
        if (r != EG_OK)
            return passed(r, err, &detail);
        r = feed(h, chunk, done, err);
        if (r == EG_OK)
            break;
        if (r == EG_AGAIN)
            r = EG_OK; /* read on */
    }
    if (r == EG_OK) {
        eg_msg_free(h->answer);
        h->answer = NULL;
    }
    return r;
}

static enum eg_status http_connect_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                                        struct eg_err *err)
{
    return eg_stream_recv(s->below, p, n, done, err);
}

static enum eg_status http_connect_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                                        struct eg_err *err)
{
    return eg_stream_send(s->below, p, n, done, err);
}

static void http_connect_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    const struct http_connect *h = (const struct http_connect *)s;
    if (!s->connected)
        intent = h->request.len ? EG_OUT : EG_IN;
    if (intent)
        eg_stream_want(s->below, intent, set);
}

static void http_connect_destroy(struct eg_stream *s)
{
    struct http_connect *h = (struct http_connect *)s;
    drop_request(h);
    eg_msg_free(h->answer);
}

static int http_connect_raw_fd(const struct eg_stream *s)
{
    return eg_stream_raw_fd(s->below);
}

static const struct eg_stream_ops http_connect_ops = {
    .name = "http_connect",
    .connect = http_connect_connect,
    .recv = http_connect_recv,
    .send = http_connect_send,
    .want = http_connect_want,
    .destroy = http_connect_destroy,
    .raw_fd = http_connect_raw_fd,
};

static enum eg_status put_authorization(void *ctx, const unsigned char *p, size_t n)
{
    return eg_write_field(ctx, EG_SLICE("Proxy-Authorization"), eg_slice(p, n));
}

static enum eg_status write_request(struct eg_buf *out, const struct eg_authority *target,
                                    const struct eg_secret *authorization)
{
    char text[EG_AUTHORITY_TEXT];
    struct eg_slice authority = eg_slice_str(eg_authority_format(target, 0, text, sizeof text));
    char *room; /* all at once: a buffer that grows would leave copies of the credential behind */
    enum eg_status r = eg_buf_reserve(out, REQUEST_MAX / 2, &room);
    if (r == EG_OK)
        r = eg_write_request_line(out, EG_SLICE("CONNECT"), authority);
    if (r == EG_OK)
        r = eg_write_field(out, EG_SLICE("Host"), authority);
    if (r == EG_OK && authorization)
        r = eg_secret_lend(authorization, put_authorization, out);
    if (r == EG_OK)
        r = eg_write_end(out);
    return r;
}

enum eg_status eg_stream_http_connect(struct eg_stream *below, const struct eg_authority *target,
                                      const struct eg_secret *authorization, struct eg_stream **ret)
{
    static const struct eg_msg_limits limits = { .head_bytes = HEAD_MAX,
                                                 .fields = FIELDS_MAX,
                                                 .target_bytes = HEAD_MAX };
    if (authorization && eg_secret_len(authorization) > REQUEST_MAX / 4)
        return EG_TOO_BIG;
    struct http_connect *h = calloc(1, sizeof *h);
    if (!h)
        return EG_NOMEM;
    h->stream.ops = &http_connect_ops;
    h->stream.below = below;
    eg_buf_init(&h->request, REQUEST_MAX);
    enum eg_status r = eg_msg_new(&h->answer, EG_MSG_RESPONSE, &limits);
    if (r == EG_OK) {
        eg_msg_reset(h->answer, EG_SLICE("CONNECT"));
        r = write_request(&h->request, target, authorization);
    }
    if (r != EG_OK) {
        http_connect_destroy(&h->stream);
        free(h);
        return r;
    }
    *ret = &h->stream;
    return EG_OK;
}
