/* refuse.c - every refusal of the data path: recorded, answered completely in the client's own
 * protocol (invariant 8), then the connection goes on or is closed so that the client can still
 * read the answer (RFC 9112 section 9.6). */
#include <stdio.h>

#include "proxy/exchange.h"
#include "proxy/flow.h"

static bool body_is_read(const struct eg_flow *f)
{
    return f->mid_request &&
           (eg_msg_head_get(f->request)->framing == EG_BODY_NONE || eg_msg_complete(f->request));
}

/* "host:port" for what has an authority, "METHOD path" for a route; empty for what was
 * malformed, or names no route. */
static struct eg_slice subject_of(const struct eg_flow *f, char *text, size_t cap)
{
    const struct egress_event *e = &f->ticket->event;
    char authority[EG_AUTHORITY_TEXT];
    if (e->via == EGRESS_VIA_ROUTE && !e->method[0])
        return EG_SLICE_NONE;
    if (e->via == EGRESS_VIA_ROUTE)
        snprintf(text, cap, "%s /%s%s", e->method, e->service, e->path);
    else if (f->ticket->to.host_len > 0)
        snprintf(text, cap, "%s",
                 eg_authority_format(&f->ticket->to, 0, authority, sizeof authority));
    else
        return EG_SLICE_NONE;
    return eg_slice_str(text);
}

static enum eg_status write_ssh(struct eg_flow *f, enum eg_status reason)
{
    char subject[600];
    const struct eg_refusal r = { .status = reason,
                                  .subject = subject_of(f, subject, sizeof subject),
                                  .rule = f->ticket->verdict.rule };
    return eg_refusal_write_ssh(&f->client.out, &r);
}

static enum eg_status write_answer(struct eg_flow *f, enum eg_status reason, bool keep,
                                   struct eg_slice detail)
{
    char subject[600];
    const struct eg_head *head = f->mid_request ? eg_msg_head_get(f->request) : NULL;
    struct eg_refusal r = {
        .status = reason,
        .subject = subject_of(f, subject, sizeof subject),
        .rule = f->ticket->verdict.rule,
        .detail = detail,
        .event = f->ticket->decision_seq,
        .shape = eg_refusal_shape_of(head),
        .retry_after = f->exchange ? f->exchange->quota.retry_s : 0,
        .keep_alive = keep,
        .head_only = head && eg_slice_eq(head->method, EG_SLICE("HEAD")),
    };
    if (reason == EG_METHOD_NOT_ALLOWED || reason == EG_TRACE)
        r.allow = EG_SLICE("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT");
    return eg_refusal_write(&f->client.out, &r);
}

/* Inside a tunnel that carried no request of ours: TLS is told with an alert, HTTP with an
 * answer; who asked for a tunnel and sends neither is told as TLS is. */
static enum eg_status write_in_tunnel(struct eg_flow *f, enum eg_status reason,
                                      struct eg_slice detail)
{
    struct eg_hello hello;
    struct eg_slice first = eg_buf_slice(&f->client.in);
    eg_hello_parse(first.p, first.n, &hello);
    if (hello.kind == EG_HELLO_HTTP)
        return write_answer(f, reason, false, detail);
    if (hello.kind != EG_HELLO_TLS && eg_flow_captured(f)) /* an alert is not of what it speaks */
        return eg_slice_starts(first, EG_SLICE("SSH-2.0-")) ? write_ssh(f, reason) : EG_OK;
    return eg_buf_append(&f->client.out, EG_HELLO_ALERT, EG_HELLO_ALERT_SIZE);
}

static enum eg_status write_refusal(struct eg_flow *f, enum eg_status reason, bool keep,
                                    struct eg_slice detail)
{
    if (f->phase == EG_PHASE_HELLO)
        return write_in_tunnel(f, reason, detail);
    if (f->socks && !f->inner)
        return eg_socks_refused(f, reason);
    return write_answer(f, reason, keep, detail);
}

/* Whose phantom it is helps to tell a leak from a client that sends its key in another place than accept names. */
static struct eg_slice explain_canary(const struct eg_ticket *t, char *text, size_t cap)
{
    bool own = strcmp(t->canary_service, t->event.service) == 0;
    snprintf(text, cap, "it is the phantom of %s, which %s", t->canary_service,
             own ? "stands elsewhere than the policy's accept of this service says"
                 : "belongs on that service's route alone");
    return eg_slice_str(text);
}

static struct eg_slice explain(const struct eg_flow *f, enum eg_status reason, const char *detail,
                               char *text, size_t cap)
{
    if (detail)
        return eg_slice_str(detail);
    if (reason == EG_CANARY && f->ticket->canary_service[0])
        return explain_canary(f->ticket, text, cap);
    if (f->ticket->verdict.status == reason)
        return eg_slice_str(eg_policy_advise(f->snapshot->policy, &f->ticket->verdict,
                                             &f->ticket->to, text, cap));
    return EG_SLICE_NONE;
}

/* A captured client has said nothing yet: how it is to be told, its first flight shows. */
static enum eg_step tell_later(struct eg_flow *f, enum eg_status reason)
{
    eg_gate_end(&f->engine->gate, f->ticket, reason, 0, f->bytes_up, f->bytes_down);
    f->untold = (uint16_t)reason;
    f->close_after = true;
    eg_upstream_drop(f);
    eg_side_close(f->engine->loop, &f->origin, true);
    eg_flow_move(f, EG_PHASE_UNTOLD, EG_UNTOLD_MS, EG_OK);
    return EG_STEP_MORE;
}

enum eg_step eg_untold_step(struct eg_flow *f)
{
    struct eg_hello hello;
    char advice[512];
    enum eg_status reason = (enum eg_status)f->untold, status = eg_tunnel_flight(f, &hello);
    if (status == EG_OK) {
        bool judged = f->ticket->verdict.status == reason;
        status = write_in_tunnel(f, reason,
                                 explain(f, reason, judged ? NULL : f->ticket->event.detail, advice,
                                         sizeof advice));
    }
    if (status == EG_OK)
        eg_flow_move(f, EG_PHASE_REFUSE, f->snapshot->limits->head_timeout, EG_IDLE_TIMEOUT);
    else if (status != EG_AGAIN)
        eg_flow_kill(f, EG_OK);
    return status == EG_OK ? EG_STEP_MORE : EG_STEP_WAIT;
}

enum eg_step eg_refuse(struct eg_flow *f, enum eg_status reason, bool keep, const char *detail)
{
    if (f->phase == EG_PHASE_DEAD)
        return EG_STEP_WAIT;
    char own[sizeof f->ticket->event.detail], advice[512];
    struct eg_slice text = explain(f, reason, detail, advice, sizeof advice);
    if (f->ticket->event.reason != (uint16_t)reason) { /* not recorded by the gate itself */
        snprintf(own, sizeof own, "%.*s", (int)text.n, text.n ? text.p : "");
        eg_gate_refused(&f->engine->gate, f->ticket, reason, own);
    }
    f->engine->stats.refused++;
    if (eg_exchange_answered(f)) { /* half an answer is out: it must not look whole */
        eg_flow_kill(f, reason);
        return EG_STEP_WAIT;
    }
    bool in_tunnel = f->phase == EG_PHASE_HELLO;
    if (eg_flow_captured(f) && !in_tunnel)
        return tell_later(f, reason);
    keep = keep && !in_tunnel && body_is_read(f) && !f->engine->draining &&
           eg_msg_head_get(f->request)->keep_alive;
    enum eg_status status = write_refusal(f, reason, keep, text);
    if (status != EG_OK) {
        eg_flow_kill(f, status);
        return EG_STEP_WAIT;
    }
    uint16_t shown = in_tunnel                  ? f->ticket->event.http_status
                     : f->socks && !f->inner ? 0
                                                : (uint16_t)egress_status_http(reason);
    eg_gate_end(&f->engine->gate, f->ticket, reason, shown, f->bytes_up, f->bytes_down);
    if (in_tunnel)
        f->engine->stats.open_tunnels--;
    f->close_after = !keep;
    eg_exchange_drop(f);
    eg_upstream_drop(f);
    eg_side_close(f->engine->loop, &f->origin, true);
    eg_flow_move(f, EG_PHASE_REFUSE, f->snapshot->limits->head_timeout, EG_IDLE_TIMEOUT);
    return EG_STEP_MORE;
}

enum eg_step eg_refuse_step(struct eg_flow *f)
{
    enum eg_status status = eg_side_flush(&f->client, NULL);
    if (status == EG_AGAIN) {
        f->client.intent = EG_OUT;
        return EG_STEP_WAIT;
    }
    if (status != EG_OK) {
        eg_flow_kill(f, EG_CLIENT_GONE);
        return EG_STEP_WAIT;
    }
    if (!f->close_after)
        return eg_flow_next(f);
    eg_flow_move(f, EG_PHASE_LINGER, EG_LINGER_MS, EG_OK);
    return EG_STEP_MORE;
}

enum eg_step eg_linger_step(struct eg_flow *f)
{
    if (!f->client.shut) {
        enum eg_status status = eg_stream_shut(f->client.stream, NULL);
        if (status == EG_AGAIN) {
            f->client.intent = EG_OUT;
            return EG_STEP_WAIT;
        }
        f->client.shut = true;
    }
    for (;;) {
        size_t n = 0;
        enum eg_status status = eg_side_read(&f->client, f->engine->scratch, EG_SCRATCH, &n, NULL);
        f->lingered += n;
        if (status == EG_AGAIN) {
            f->client.intent = EG_IN;
            return EG_STEP_WAIT;
        }
        if (status != EG_OK || f->lingered > EG_LINGER_MAX) {
            eg_flow_kill(f, EG_OK);
            return EG_STEP_WAIT;
        }
    }
}
