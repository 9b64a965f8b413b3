/* exchange.c - one request and its response, streamed both ways through bounded queues.
 *
 * Bodies are decoded and framed anew, never forwarded as they came. Each side is read only while
 * the other's queue has room. A message that was cut short never looks whole: its connection is
 * reset. A request is sent again only when a pooled connection died before any answer and RFC
 * 9110 section 9.2.2 lets an intermediary repeat it. */
#include "proxy/exchange.h"

#include <stdlib.h>

#include "http/write.h"
#include "proxy/pool.h"
#include "proxy/redaction.h"
#include "proxy/replay.h"
#include "proxy/response.h"
#include "proxy/sigv4.h"
#include "proxy/trailers.h"
#include "proxy/upgrade.h"
#include "proxy/upstream.h"

static const struct eg_service no_service;

enum eg_status eg_exchange_new(struct eg_flow *f)
{
    const struct eg_limits *limits = f->snapshot->limits;
    const struct eg_head *head = eg_msg_head_get(f->request);
    f->exchange = f->engine->spare ? f->engine->spare : calloc(1, sizeof *f->exchange);
    if (!f->exchange)
        return EG_NOMEM;
    f->engine->spare = NULL;
    f->exchange->service = &no_service;
    f->exchange->framing = head->framing;
    f->exchange->length = head->length;
    eg_buf_init(&f->exchange->path, (size_t)limits->target_bytes * 4 + 1024);
    if (f->response)
        return EG_OK;
    struct eg_msg_limits heads = { limits->head_bytes, limits->headers, limits->target_bytes };
    return eg_msg_new(&f->response, EG_MSG_RESPONSE, &heads);
}

void eg_exchange_drop(struct eg_flow *f)
{
    if (!f->exchange)
        return;
    eg_replay_drop(f->exchange);
    eg_redaction_drop(f->exchange);
    eg_resign_drop(f->exchange);
    eg_quota_end(&f->exchange->quota);
    eg_buf_done(&f->exchange->path);
    free(f->engine->spare);
    *f->exchange = (struct eg_exchange){ 0 };
    f->engine->spare = f->exchange; /* the next request's, which mostly comes soon */
    f->exchange = NULL;
}

/* ---- the request ---- */

/* The exchange may have waited long: a new policy may have bound the credential's name to other hosts. */
static bool is_bound(const struct eg_flow *f)
{
    if (f->snapshot == f->engine->current || f->want != EG_WANT_ROUTE ||
        f->exchange->service->credential.n == 0)
        return true;
    return eg_policy_credential_host(f->engine->current->policy, f->exchange->service->credential,
                                     eg_authority_host(&f->ticket->to));
}

enum eg_step eg_exchange_begin(struct eg_flow *f, bool pooled)
{
    struct eg_exchange *x = f->exchange;
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_err err = { 0 };
    x->pooled = pooled;
    x->request_done = (head->framing == EG_BODY_NONE || eg_msg_complete(f->request)) &&
                      !eg_resign_holds(x);
    eg_msg_reset(f->response, head->method);
    enum eg_status status = is_bound(f) ? eg_redaction_begin(f, &err) : EG_CREDENTIAL_UNAVAILABLE;
    if (status == EG_OK)
        status = f->want == EG_WANT_ROUTE ? eg_route_head(f, &err) : eg_forward_head(f, &err);
    if (status == EG_OK)
        status = eg_replay_begin(f);
    eg_upstream_drop(f);
    if (status != EG_OK)
        return eg_refuse(f, status, true, err.text);
    eg_flow_move(f, EG_PHASE_EXCHANGE, f->snapshot->limits->response_timeout, EG_RESPONSE_TIMEOUT);
    return EG_STEP_MORE;
}

/* One decoded piece of the request body into the origin's queue. */
static enum eg_status queue_request(struct eg_flow *f, struct eg_slice data, struct eg_err *err)
{
    if (data.n == 0)
        return EG_OK;
    f->bytes_up += data.n;
    if (f->exchange->body_max != 0 && f->bytes_up > f->exchange->body_max)
        return EG_BODY_TOO_LARGE;
    enum eg_status status =
        eg_quota_up(&f->exchange->quota, f->bytes_up, eg_loop_now(f->engine->loop));
    if (status != EG_OK)
        return status;
    eg_replay_keep(f->exchange, data);
    if (f->exchange->framing == EG_BODY_CHUNKED)
        return eg_write_chunk(&f->origin.out, data);
    if (f->origin.out.len > 0 && data.n < 4096) /* one record or segment with the head */
        return eg_buf_put(&f->origin.out, data);
    status = eg_side_flush(&f->origin, err);
    if (status == EG_OK || status == EG_AGAIN)
        status = eg_side_send(&f->origin, data, err);
    return status == EG_OK || status == EG_NOMEM ? status : EG_ORIGIN_GONE;
}

/* Decodes p..n; *used tells what belonged to this request. EG_OK, EG_EOF when the body is
 * complete, or the failure. */
static enum eg_status decode_request(struct eg_flow *f, const char *p, size_t n, size_t *used,
                                     struct eg_err *err)
{
    enum eg_status status = EG_OK;
    *used = 0;
    do {
        struct eg_slice data = EG_SLICE_NONE;
        size_t step = 0;
        status = eg_msg_body(f->request, p + *used, n - *used, &step, &data, err);
        *used += step;
        if (status != EG_OK && status != EG_AGAIN && status != EG_EOF)
            return status;
        enum eg_status queued = eg_resign_body(f, data, queue_request, err);
        if (queued != EG_OK)
            return queued;
    } while (status == EG_OK && *used < n);
    if (status != EG_EOF)
        return EG_OK;
    status = eg_resign_end(f->exchange, err);
    if (status != EG_OK)
        return status;
    f->exchange->request_done = true;
    if (f->exchange->framing == EG_BODY_CHUNKED)
        return eg_trailers_end(f, f->request, &f->origin.out, err);
    return EG_OK;
}

/* Reads a piece of the client's bytes and queues them. EG_OK: progress. */
static enum eg_status read_request(struct eg_flow *f, struct eg_err *err)
{
    size_t n = 0, used = 0;
    if (eg_resign_holds(f->exchange))
        return eg_resign_send(f, queue_request, err);
    if (f->client.in.len > 0) {
        struct eg_slice in = eg_buf_slice(&f->client.in);
        enum eg_status status = decode_request(f, in.p, in.n, &used, err);
        eg_buf_consume(&f->client.in, used);
        return status;
    }
    enum eg_status status = eg_side_read(&f->client, f->engine->scratch, EG_SCRATCH, &n, err);
    if (status == EG_AGAIN)
        f->client.intent |= EG_IN;
    if (status != EG_OK)
        return status == EG_AGAIN ? status : EG_CLIENT_GONE;
    status = decode_request(f, f->engine->scratch, n, &used, err);
    if (status == EG_OK && used < n)
        status = eg_buf_append(&f->client.in, f->engine->scratch + used, n - used);
    return status;
}

/* While the answer is awaited the client may pipeline, or leave: then the origin is left too. */
static enum eg_status watch_client(struct eg_flow *f)
{
    size_t n = 0;
    if (f->client.in.len >= EG_IN_HIGH)
        return EG_AGAIN;
    enum eg_status status = eg_side_read(&f->client, f->engine->scratch, EG_IN_HIGH, &n, NULL);
    if (status == EG_AGAIN)
        f->client.intent |= EG_IN;
    if (status == EG_OK)
        status = eg_buf_append(&f->client.in, f->engine->scratch, n);
    return status == EG_OK || status == EG_AGAIN ? status : EG_CLIENT_GONE;
}

/* EG_AGAIN: as far as it goes. EG_ORIGIN_GONE: the origin takes no more (its answer may still be
 * there). */
static enum eg_status pump_request(struct eg_flow *f, bool *moved, struct eg_err *err)
{
    struct eg_exchange *x = f->exchange;
    for (unsigned round = 0; round < EG_BODY_ROUNDS; round++) {
        enum eg_status status = eg_side_flush(&f->origin, err);
        if (status == EG_AGAIN) {
            f->origin.intent |= EG_OUT;
            return EG_AGAIN;
        }
        if (status != EG_OK)
            return EG_ORIGIN_GONE;
        status = x->request_done ? watch_client(f) : read_request(f, err);
        if (status != EG_OK)
            return status;
        *moved = true;
    }
    eg_flow_wake(f); /* fairness: others first */
    return EG_AGAIN;
}

/* ---- the end of it ---- */

/* May this request be sent again on a new connection? (RFC 9110 9.2.2) */
static bool may_repeat(const struct eg_flow *f)
{
    const struct eg_exchange *x = f->exchange;
    struct eg_slice method = eg_msg_head_get(f->request)->method;
    static const char *const idempotent[] = { "GET", "HEAD", "OPTIONS", "PUT", "DELETE" };
    if (!x->pooled || x->retried || x->answered || x->interim > 0 ||
        eg_msg_begun(f->response) > 0 || eg_msg_head_get(f->request)->framing != EG_BODY_NONE)
        return false;
    for (size_t i = 0; i < sizeof idempotent / sizeof idempotent[0]; i++)
        if (eg_slice_eq(method, eg_slice_str(idempotent[i])))
            return true;
    return false;
}

static enum eg_step origin_failed(struct eg_flow *f, enum eg_status status,
                                  const struct eg_err *err)
{
    char text[600];
    const char *why = NULL;
    if ((status == EG_CLOSED || status == EG_RESPONSE_TRUNCATED || status == EG_IO) &&
        may_repeat(f)) {
        eg_side_close(f->engine->loop, &f->origin, false);
        f->exchange->retried = true;
        eg_gate_end(&f->engine->gate, f->ticket, EG_ORIGIN_GONE, 0, 0, 0);
        return eg_upstream_open(f);
    }
    if (egress_status_http(status) == 0)
        status = EG_RESPONSE_TRUNCATED;
    if (err->status != EG_OK || eg_upstream_absolute(f))
        why = eg_upstream_explain(f, &status, err, text, sizeof text);
    return eg_refuse(f, status, true, why);
}

static void put_origin_away(struct eg_flow *f)
{
    const struct eg_exchange *x = f->exchange;
    if (x->origin_keep && x->request_done && f->origin.out.len == 0 && f->origin.in.len == 0 &&
        !f->engine->draining) {
        eg_pool_put(f);
        return;
    }
    eg_pool_keep_ticket(f);
    eg_side_close(f->engine->loop, &f->origin, !x->request_done);
}

static enum eg_step finish(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    if (!x->request_done || x->until_close)
        f->close_after = true;
    put_origin_away(f);
    eg_gate_end(&f->engine->gate, f->ticket, EG_OK, f->ticket->event.http_status, f->bytes_up,
                f->bytes_down);
    if (!f->close_after)
        return eg_flow_next(f);
    eg_exchange_drop(f);
    eg_flow_move(f, EG_PHASE_LINGER, EG_LINGER_MS, EG_OK);
    return EG_STEP_MORE;
}

/* What the exchange waits for now decides how long it may take; the time runs from the last
 * movement or from when that changed. */
static void set_deadline(struct eg_flow *f, bool moved)
{
    const struct eg_exchange *x = f->exchange;
    const struct eg_limits *limits = f->snapshot->limits;
    enum eg_status reason = EG_IDLE_TIMEOUT;
    uint64_t patience = limits->idle_timeout;
    if (!x->request_done && f->origin.out.len == 0) {
        reason = EG_BODY_TIMEOUT;
        patience = limits->body_timeout;
    } else if (!x->head_read) {
        reason = EG_RESPONSE_TIMEOUT;
        patience = limits->response_timeout;
    }
    if (!moved && f->timeout == reason)
        return;
    f->timeout = reason;
    eg_flow_touch(f, patience);
}

enum eg_step eg_exchange_step(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    struct eg_err up_err = { 0 }, down_err = { 0 };
    size_t queued = f->client.out.len + f->origin.out.len;
    bool moved = false;
    f->client.intent = f->origin.intent = 0;
    enum eg_status up = pump_request(f, &moved, &up_err);
    if (up != EG_AGAIN && up != EG_ORIGIN_GONE) {
        if (up == EG_CLIENT_GONE) {
            eg_flow_kill(f, EG_CLIENT_GONE);
            return EG_STEP_WAIT;
        }
        return eg_refuse(f, up, false, up_err.text[0] ? up_err.text : NULL);
    }
    enum eg_status down = eg_response_pump(f, &moved, &down_err);
    if (down != EG_OK && down != EG_AGAIN)
        return down == EG_CLIENT_GONE ? (eg_flow_kill(f, down), EG_STEP_WAIT)
                                      : origin_failed(f, down, &down_err);
    if (x->held)
        return eg_replay_start(f);
    if (x->upgraded)
        return eg_upgrade_relay(f);
    if (x->response_done && f->client.out.len == 0)
        return finish(f);
    set_deadline(f, moved || queued != f->client.out.len + f->origin.out.len);
    return EG_STEP_WAIT;
}
