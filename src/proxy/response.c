/* response.c - reads the origin's response strictly, writes its head anew for this client and
 * passes its body on as it arrives.
 *
 * One response a request: bytes after it close the origin's connection (security.md T18). 1xx
 * answers are counted; 101 is the client's only where a WebSocket was asked for (upgrade.c). */
#include "proxy/response.h"

#include <stdio.h>

#include "base/clock.h"
#include "http/hygiene.h"
#include "http/write.h"
#include "proxy/redaction.h"
#include "proxy/replay.h"
#include "proxy/rewrite.h"
#include "proxy/trailers.h"
#include "proxy/upgrade.h"

static enum eg_status write_fields(struct eg_flow *f, struct eg_buf *out,
                                   const struct eg_head *head)
{
    const struct eg_service *service = f->want == EG_WANT_ROUTE ? eg_exchange_service(f) : NULL;
    for (uint32_t i = 0; i < head->field_count; i++) {
        enum eg_field_class class = eg_hygiene_classify(head, i);
        if (class == EG_FIELD_HOP || class == EG_FIELD_FRAMING || class == EG_FIELD_PROXY ||
            (service && eg_rewrite_hides(service, &head->fields[i])))
            continue;
        enum eg_status status = eg_write_field(out, head->fields[i].name, head->fields[i].value);
        if (status != EG_OK)
            return status == EG_INVALID ? EG_BAD_RESPONSE : status;
    }
    return EG_OK;
}

enum eg_status eg_response_lines(struct eg_flow *f, const struct eg_head *head)
{
    struct eg_buf *out = &f->client.out;
    size_t from = out->len + sizeof "HTTP/1.1 200";
    enum eg_status status = eg_write_status_line(out, head->status, head->reason);
    if (status != EG_OK)
        return status;
    status = write_fields(f, out, head);
    eg_redaction_text(f, out, from);
    return status;
}

static enum eg_status pass_interim(struct eg_flow *f, const struct eg_head *head,
                                   struct eg_err *err)
{
    if (head->status == 101)
        return eg_upgrade_accept(f, err);
    if (++f->exchange->interim > EG_INTERIM_MAX)
        return eg_err_set(err, EG_BAD_RESPONSE, "http", 0, "too many 1xx answers");
    enum eg_status status = EG_OK;
    if (eg_msg_head_get(f->request)->minor >= 1) {
        status = eg_response_lines(f, head);
        if (status == EG_OK)
            status = eg_write_end(&f->client.out);
    }
    eg_msg_reset(f->response, eg_msg_head_get(f->request)->method);
    return status;
}

/* How the body reaches this client: its length where it is known, chunks for HTTP/1.1, else the
 * end of the connection. */
static enum eg_status write_framing(struct eg_flow *f, const struct eg_head *head)
{
    struct eg_exchange *x = f->exchange;
    const struct eg_field *length = eg_head_find(head, EG_SLICE("Content-Length"), NULL);
    if (head->framing == EG_BODY_NONE && length &&
        head->status != 204) /* HEAD and 304 tell the length of what is not sent */
        return eg_write_field(&f->client.out, EG_SLICE("Content-Length"), length->value);
    if (head->framing == EG_BODY_NONE || head->framing == EG_BODY_LENGTH)
        return eg_write_framing(&f->client.out, head->framing, head->length);
    x->rechunk = eg_msg_head_get(f->request)->minor >= 1;
    x->until_close = !x->rechunk;
    return eg_write_framing(&f->client.out, x->rechunk ? EG_BODY_CHUNKED : EG_BODY_UNTIL_CLOSE, 0);
}

static enum eg_status write_connection(struct eg_flow *f)
{
    const struct eg_head *request = eg_msg_head_get(f->request);
    /* an answer before the request's end: what is left of that can't be told from a next request */
    if (f->exchange->until_close || f->engine->draining || !f->exchange->request_done)
        f->close_after = true;
    if (f->close_after)
        return eg_write_field(&f->client.out, EG_SLICE("Connection"), EG_SLICE("close"));
    if (request->minor == 0)
        return eg_write_field(&f->client.out, EG_SLICE("Connection"), EG_SLICE("keep-alive"));
    return EG_OK;
}

enum eg_status eg_response_head(struct eg_flow *f, struct eg_err *err)
{
    struct eg_exchange *x = f->exchange;
    struct eg_buf *out = &f->client.out;
    const struct eg_head *head = eg_msg_head_get(f->response);
    f->ticket->event.http_status = head->status;
    enum eg_status status = eg_redaction_head(f, err);
    if (status == EG_OK && head->framing == EG_BODY_LENGTH) /* better no answer than half of one */
        status = eg_quota_down_fits(&x->quota, head->length, eg_loop_now(f->engine->loop));
    if (status != EG_OK)
        return status;
    x->head_read = x->answered = true;
    x->origin_keep = head->keep_alive && head->framing != EG_BODY_UNTIL_CLOSE;
    status = eg_response_lines(f, head);
    if (status == EG_OK && !eg_head_find(head, EG_SLICE("Date"), NULL)) /* RFC 9110 section 6.6.1 */
        status = eg_write_date(out, eg_clock_wall_us());
    if (status == EG_OK)
        status = write_framing(f, head);
    if (status == EG_OK && x->rechunk && head->framing == EG_BODY_CHUNKED) {
        eg_trailers_keep(f, f->response);
        status = eg_trailers_announce(f, head, out);
    }
    if (status == EG_OK && f->snapshot->settings->via)
        status = eg_write_field(out, EG_SLICE("Via"), EG_SLICE("1.1 egress"));
    if (status == EG_OK)
        status = write_connection(f);
    if (status == EG_OK)
        status = eg_write_end(out);
    if (status == EG_OK && (head->framing == EG_BODY_NONE || eg_msg_complete(f->response)))
        x->response_done = true;
    return status;
}

/* EG_OK: progress. */
static enum eg_status take_head(struct eg_flow *f, const char *p, size_t n, size_t *used,
                                struct eg_err *err)
{
    enum eg_status status = eg_msg_head(f->response, p, n, used, err);
    if (status != EG_OK)
        return status == EG_AGAIN ? EG_OK : status;
    const struct eg_head *head = eg_msg_head_get(f->response);
    if (head->status == 407 &&
        eg_upstream_absolute(f)) /* the hop's own: not the child's to answer */
        return EG_UPSTREAM_PROXY_AUTH;
    if (head->status < 200)
        return pass_interim(f, head, err);
    f->exchange->held = eg_replay_wanted(f);
    if (f->exchange->held)
        return EG_OK;
    eg_replay_drop(f->exchange); /* an answer may go on for hours */
    return eg_response_head(f, err);
}

static enum eg_status send_piece(struct eg_flow *f, struct eg_slice data)
{
    if (data.n == 0)
        return EG_OK;
    if (f->exchange->rechunk)
        return eg_write_chunk(&f->client.out, data);
    if (f->client.out.len > 0 && data.n < 4096)
        return eg_buf_put(&f->client.out, data);
    enum eg_status status = eg_side_flush(&f->client, NULL);
    if (status == EG_OK || status == EG_AGAIN)
        status = eg_side_send(&f->client, data, NULL);
    return status == EG_OK ? EG_OK : EG_CLIENT_GONE;
}

/* data lies in a buffer of ours: it is searched, and overwritten, in place. */
static enum eg_status send_body(struct eg_flow *f, struct eg_slice data)
{
    struct eg_slice settled = EG_SLICE_NONE;
    f->bytes_down += data.n;
    enum eg_status status =
        eg_quota_down(&f->exchange->quota, f->bytes_down, eg_loop_now(f->engine->loop));
    if (status != EG_OK)
        return status;
    if (!f->exchange->redacting || data.n == 0)
        return send_piece(f, data);
    size_t ready = 0;
    eg_redact_feed(&f->exchange->redact, (char *)(uintptr_t)data.p, data.n, &settled, &ready);
    status = send_piece(f, settled);
    return status == EG_OK ? send_piece(f, eg_slice(data.p, ready)) : status;
}

static enum eg_status body_is_done(struct eg_flow *f, struct eg_err *err)
{
    struct eg_exchange *x = f->exchange;
    enum eg_status status = EG_OK;
    x->response_done = true;
    if (x->redacting)
        status = send_piece(f, eg_redact_end(&x->redact));
    if (status != EG_OK || !x->rechunk)
        return status;
    return eg_trailers_end(f, f->response, &f->client.out, err);
}

static enum eg_status take_body(struct eg_flow *f, const char *p, size_t n, size_t *used,
                                struct eg_err *err)
{
    struct eg_slice data = EG_SLICE_NONE;
    enum eg_status status = eg_msg_body(f->response, p, n, used, &data, err);
    if (status != EG_OK && status != EG_AGAIN && status != EG_EOF)
        return status;
    enum eg_status sent = send_body(f, data);
    if (sent != EG_OK)
        return sent;
    return status == EG_EOF ? body_is_done(f, err) : EG_OK;
}

/* Everything of p..n is used, or the response is done and the rest is one too many. */
static enum eg_status take(struct eg_flow *f, const char *p, size_t n, struct eg_err *err)
{
    struct eg_exchange *x = f->exchange;
    while (n > 0 && !x->response_done && !x->held && !x->upgraded) {
        size_t used = 0;
        enum eg_status status =
            x->head_read ? take_body(f, p, n, &used, err) : take_head(f, p, n, &used, err);
        if (status != EG_OK)
            return status;
        p += used;
        n -= used;
    }
    if (x->held)
        return eg_buf_append(&f->origin.in, p, n);
    if (x->upgraded) { /* its first frames */
        f->bytes_down += n;
        return eg_buf_append(&f->client.out, p, n);
    }
    if (n > 0)
        x->origin_keep = false;
    return EG_OK;
}

static enum eg_status origin_ended(struct eg_flow *f, struct eg_err *err)
{
    f->exchange->origin_keep = false;
    enum eg_status status = eg_msg_finish(f->response, err);
    if (status == EG_EOF && f->exchange->head_read)
        return body_is_done(f, err);
    return status == EG_CLOSED ? EG_CLOSED : status == EG_EOF ? EG_BAD_RESPONSE : status;
}

/* What came behind a head that was held back. */
static enum eg_status take_kept(struct eg_flow *f, struct eg_err *err)
{
    struct eg_buf kept = f->origin.in;
    eg_buf_init(&f->origin.in, kept.max);
    struct eg_slice in = eg_buf_slice(&kept);
    enum eg_status status = take(f, in.p, in.n, err);
    eg_buf_done(&kept);
    return status;
}

enum eg_status eg_response_pump(struct eg_flow *f, bool *moved, struct eg_err *err)
{
    for (unsigned round = 0; round < EG_BODY_ROUNDS; round++) {
        enum eg_status status = eg_side_flush(&f->client, NULL);
        if (status == EG_AGAIN)
            f->client.intent |= EG_OUT;
        else if (status != EG_OK)
            return EG_CLIENT_GONE;
        const struct eg_exchange *x = f->exchange;
        if (x->response_done || x->held || x->upgraded || f->client.out.len >= EG_OUT_HIGH)
            return EG_AGAIN;
        size_t n = 0;
        bool kept = f->origin.in.len > 0;
        status = kept ? EG_OK
                      : eg_side_read(&f->origin, f->engine->scratch, EG_SCRATCH, &n, err);
        if (status == EG_AGAIN) {
            f->origin.intent |= EG_IN;
            return EG_AGAIN;
        }
        if (status == EG_OK)
            status = kept ? take_kept(f, err) : take(f, f->engine->scratch, n, err);
        else if (status == EG_EOF)
            status = origin_ended(f, err);
        if (status != EG_OK)
            return status;
        *moved = true;
    }
    eg_flow_wake(f); /* fairness: others first */
    return EG_AGAIN;
}
