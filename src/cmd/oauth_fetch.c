/* oauth_fetch.c - one POST and its answer over a blocking socket whose other end is a worker's engine. It runs in a helper process
 * and knows nothing of OAuth.
 *
 * No redirect is followed; what the peer sent reaches no error text but a reason of our own worker's, as a word of [a-z_]. */
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "cmd/oauth.h"
#include "cred/oauth.h"
#include "http/message.h"
#include "http/write.h"

enum { HEAD_MAX = 8192, ANSWER_HEAD_MAX = 65536, ANSWER_FIELDS = 128, PIECE = 4096 };

static enum eg_status unavailable(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "oauth2", 0, "%s", why);
}

static enum eg_status await(const struct eg_oauth_exchange *x, short events, struct eg_err *err)
{
    for (;;) {
        uint64_t now = eg_clock_ms();
        struct pollfd p = { .fd = x->fd, .events = events };
        if (now >= x->deadline_ms)
            return unavailable(err, "the token endpoint did not answer in time");
        uint64_t left = x->deadline_ms - now;
        int r = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (r > 0)
            return EG_OK;
        if (r < 0 && errno != EINTR)
            return unavailable(err, "poll failed");
    }
}

/* ---- the request ---- */

static enum eg_status write_head(const struct eg_oauth_exchange *x, struct eg_buf *out)
{
    struct eg_buf target;
    eg_buf_init(&target, HEAD_MAX);
    enum eg_status s = eg_buf_append(&target, "/", 1);
    if (s == EG_OK)
        s = eg_buf_put(&target, x->route);
    if (s == EG_OK)
        s = eg_buf_put(&target, x->path);
    if (s == EG_OK)
        s = eg_write_request_line(out, EG_SLICE("POST"), eg_buf_slice(&target));
    eg_buf_done(&target);
    const struct eg_field fields[] = {
        { EG_SLICE("Host"), EG_SLICE("localhost") },
        { EG_SLICE("User-Agent"), EG_SLICE("egressd") },
        { EG_SLICE("Accept"), x->accept },
        { EG_SLICE("Authorization"), x->authorization },
        { EG_SLICE("Content-Type"),
          x->form.n > 0 ? EG_SLICE("application/x-www-form-urlencoded") : EG_SLICE_NONE },
        { EG_SLICE("Connection"), EG_SLICE("close") },
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && s == EG_OK; i++)
        if (fields[i].value.n > 0)
            s = eg_write_field(out, fields[i].name, fields[i].value);
    if (s == EG_OK)
        s = eg_write_framing(out, EG_BODY_LENGTH, x->form.n);
    return s == EG_OK ? eg_write_end(out) : s;
}

static enum eg_status send_all(const struct eg_oauth_exchange *x, struct eg_slice bytes,
                               struct eg_err *err)
{
    while (bytes.n > 0) {
        enum eg_status s = await(x, POLLOUT, err);
        if (s != EG_OK)
            return s;
        ssize_t n = send(x->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return EG_CLOSED; /* a refusal may be there to be read */
        bytes = eg_slice_from(bytes, (size_t)n);
    }
    return EG_OK;
}

static enum eg_status ask(const struct eg_oauth_exchange *x, struct eg_err *err)
{
    struct eg_buf out;
    char *room;
    eg_buf_init(&out, HEAD_MAX + x->path.n + x->authorization.n + x->form.n);
    enum eg_status s = eg_buf_reserve(&out, out.max, &room); /* growth would leave copies behind */
    if (s == EG_OK)
        s = write_head(x, &out);
    if (s == EG_OK)
        s = eg_buf_put(&out, x->form);
    if (s != EG_OK)
        s = unavailable(err, "the request can't be written");
    else
        s = send_all(x, eg_buf_slice(&out), err);
    eg_buf_wipe(&out);
    eg_buf_done(&out);
    return s == EG_CLOSED ? EG_OK : s;
}

/* ---- the answer ---- */

struct reader {
    const struct eg_oauth_exchange *x;
    struct eg_msg *msg;
    char piece[PIECE];
    size_t at, n; /* what of the piece is not yet used */
};

/* EG_EOF: the end; the piece is empty then. */
static enum eg_status more(struct reader *r, struct eg_err *err)
{
    for (;;) {
        enum eg_status s = await(r->x, POLLIN, err);
        if (s != EG_OK)
            return s;
        ssize_t n = recv(r->x->fd, r->piece, sizeof r->piece, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        r->at = 0;
        r->n = n > 0 ? (size_t)n : 0;
        return n > 0 ? EG_OK : EG_EOF;
    }
}

static enum eg_status read_head(struct reader *r, struct eg_err *err)
{
    for (;;) {
        size_t used = 0;
        enum eg_status s = r->at < r->n ? EG_OK : more(r, err);
        if (s == EG_EOF)
            return unavailable(err, "the worker that asked the token endpoint went away");
        if (s != EG_OK)
            return s;
        s = eg_msg_head(r->msg, r->piece + r->at, r->n - r->at, &used, NULL);
        r->at += used;
        if (s == EG_AGAIN)
            continue;
        if (s != EG_OK)
            return unavailable(err, "the token endpoint's answer is no HTTP");
        if (eg_msg_head_get(r->msg)->status >= 200)
            return EG_OK;
        eg_msg_reset(r->msg, EG_SLICE("POST"));
    }
}

/* Our own worker says so when it could not be reached or was not allowed. */
static enum eg_status check_refusal(const struct eg_head *head, struct eg_err *err)
{
    char reason[64];
    const struct eg_field *f = eg_head_find(head, EG_SLICE("X-Egress-Reason"), NULL);
    if (!f)
        return EG_OK;
    (void)eg_oauth_error(f->value, reason, sizeof reason);
    return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "oauth2", 0,
                      "the token endpoint was not reached: %s", reason[0] ? reason : "refused");
}

static enum eg_status read_body(struct reader *r, struct eg_buf *body, struct eg_err *err)
{
    bool complete = eg_msg_complete(r->msg);
    while (!complete) {
        size_t used = 0;
        struct eg_slice data = EG_SLICE_NONE;
        enum eg_status s = r->at < r->n ? EG_OK : more(r, err);
        if (s == EG_EOF)
            return eg_msg_finish(r->msg, NULL) == EG_EOF
                       ? EG_OK
                       : unavailable(err, "the token endpoint's answer was cut short");
        if (s != EG_OK)
            return s;
        s = eg_msg_body(r->msg, r->piece + r->at, r->n - r->at, &used, &data, NULL);
        r->at += used;
        if (s != EG_OK && s != EG_AGAIN && s != EG_EOF)
            return unavailable(err, "the token endpoint's answer is no HTTP");
        if (data.n > eg_buf_room(body))
            return unavailable(err, "the token endpoint's answer is too long");
        if (eg_buf_put(body, data) != EG_OK)
            return unavailable(err, "no memory for the token endpoint's answer");
        complete = s == EG_EOF;
    }
    return EG_OK;
}

enum eg_status eg_oauth_post(const struct eg_oauth_exchange *x, struct eg_buf *body,
                             unsigned *http_status, struct eg_err *err)
{
    struct reader r = { .x = x };
    char *room;
    const struct eg_msg_limits limits = { ANSWER_HEAD_MAX, ANSWER_FIELDS, HEAD_MAX };
    enum eg_status s = eg_msg_new(&r.msg, EG_MSG_RESPONSE, &limits);
    if (s == EG_OK)
        s = eg_buf_reserve(body, eg_buf_room(body), &room);
    if (s != EG_OK) {
        eg_msg_free(r.msg);
        return unavailable(err, "no memory for the token endpoint's answer");
    }
    eg_msg_reset(r.msg, EG_SLICE("POST"));
    s = ask(x, err);
    if (s == EG_OK)
        s = read_head(&r, err);
    if (s == EG_OK)
        s = check_refusal(eg_msg_head_get(r.msg), err);
    if (s == EG_OK)
        *http_status = eg_msg_head_get(r.msg)->status;
    if (s == EG_OK)
        s = read_body(&r, body, err);
    eg_msg_free(r.msg);
    sodium_memzero(r.piece, sizeof r.piece);
    return s;
}
