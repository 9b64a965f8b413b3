/* response.c - reads the origin's response strictly, writes its head anew for this client and
 * passes its body on as it arrives.
 *
 * One response a request: bytes after it close the origin's connection (security.md T18). 1xx
 * answers are counted; 101 is never asked for, so never accepted. */
#include "proxy/response.h"

#include <stdio.h>

#include "http/hygiene.h"
#include "http/write.h"
#include "proxy/replay.h"

static enum eg_status write_fields(struct eg_buf *out, const struct eg_head *head)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        enum eg_field_class class = eg_hygiene_classify(head, i);
        if (class == EG_FIELD_HOP || class == EG_FIELD_FRAMING || class == EG_FIELD_PROXY)
            continue;
        enum eg_status status = eg_write_field(out, head->fields[i].name, head->fields[i].value);
        if (status != EG_OK)
            return status == EG_INVALID ? EG_BAD_RESPONSE : status;
    }
    return EG_OK;
}

static enum eg_status pass_interim(struct eg_flow *f, const struct eg_head *head)
{
    struct eg_buf *out = &f->client.out;
    if (head->status == 101 || ++f->exchange->interim > EG_INTERIM_MAX)
        return EG_BAD_RESPONSE;
    enum eg_status status = EG_OK;
    if (eg_msg_head_get(f->request)->minor >= 1) {
        status = eg_write_status_line(out, head->status, head->reason);
        if (status == EG_OK)
            status = write_fields(out, head);
        if (status == EG_OK)
            status = eg_write_end(out);
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
    if (f->exchange->until_close || f->engine->draining)
        f->close_after = true;
    if (f->close_after)
        return eg_write_field(&f->client.out, EG_SLICE("Connection"), EG_SLICE("close"));
    if (request->minor == 0)
        return eg_write_field(&f->client.out, EG_SLICE("Connection"), EG_SLICE("keep-alive"));
    return EG_OK;
}

enum eg_status eg_response_head(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    struct eg_buf *out = &f->client.out;
    const struct eg_head *head = eg_msg_head_get(f->response);
    x->head_read = x->answered = true;
    x->origin_keep = head->keep_alive && head->framing != EG_BODY_UNTIL_CLOSE;
    f->ticket->event.http_status = head->status;
    enum eg_status status = eg_write_status_line(out, head->status, head->reason);
    if (status == EG_OK)
        status = write_fields(out, head);
    if (status == EG_OK)
        status = write_framing(f, head);
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
        return pass_interim(f, head);
    f->exchange->held = eg_replay_wanted(f);
    return f->exchange->held ? EG_OK : eg_response_head(f);
}

static enum eg_status send_body(struct eg_flow *f, struct eg_slice data)
{
    if (data.n == 0)
        return EG_OK;
    f->bytes_down += data.n;
    if (f->exchange->rechunk)
        return eg_write_chunk(&f->client.out, data);
    if (f->client.out.len > 0 && data.n < 4096)
        return eg_buf_put(&f->client.out, data);
    enum eg_status status = eg_side_flush(&f->client, NULL);
    if (status == EG_OK || status == EG_AGAIN)
        status = eg_side_send(&f->client, data, NULL);
    return status == EG_OK ? EG_OK : EG_CLIENT_GONE;
}

static enum eg_status body_is_done(struct eg_flow *f)
{
    f->exchange->response_done = true;
    return f->exchange->rechunk ? eg_write_last_chunk(&f->client.out) : EG_OK;
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
    return status == EG_EOF ? body_is_done(f) : EG_OK;
}

/* Everything of p..n is used, or the response is done and the rest is one too many. */
static enum eg_status take(struct eg_flow *f, const char *p, size_t n, struct eg_err *err)
{
    struct eg_exchange *x = f->exchange;
    while (n > 0 && !x->response_done && !x->held) {
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
    if (n > 0)
        x->origin_keep = false;
    return EG_OK;
}

static enum eg_status origin_ended(struct eg_flow *f, struct eg_err *err)
{
    f->exchange->origin_keep = false;
    enum eg_status status = eg_msg_finish(f->response, err);
    if (status == EG_EOF && f->exchange->head_read)
        return body_is_done(f);
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
    for (unsigned round = 0; round < EG_ROUNDS; round++) {
        enum eg_status status = eg_side_flush(&f->client, NULL);
        if (status == EG_AGAIN)
            f->client.intent |= EG_OUT;
        else if (status != EG_OK)
            return EG_CLIENT_GONE;
        if (f->exchange->response_done || f->exchange->held || f->client.out.len >= EG_OUT_HIGH)
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
