/* replay.c - one more try where an origin answers 401 to a credential that may have been renewed
 * meanwhile.
 *
 * The 401 is held back while the source is read again. Only where that gave another value is the request
 * sent again, once, with the body that was kept: whole, and at most 64 KiB of it. In all other cases the
 * client gets the 401. Nothing is held for credentials that can't change (env:) or that are never sent as
 * they are (aws_sigv4). */
#include "proxy/replay.h"

#include "http/write.h"
#include "proxy/credwait.h"
#include "proxy/pool.h"
#include "proxy/redaction.h"
#include "proxy/response.h"

/* Can its source give another value than it gave before? */
static bool renewable(const struct eg_flow *f)
{
    struct eg_credential c;
    const struct eg_policy *policy = f->snapshot->policy;
    if (f->want != EG_WANT_ROUTE || f->exchange->service->credential.n == 0)
        return false;
    int i = eg_policy_credential_find(policy, f->exchange->service->credential);
    if (i < 0)
        return false;
    eg_policy_credential(policy, (unsigned)i, &c);
    return c.kind != EG_SOURCE_ENV && c.kind != EG_SOURCE_SIGV4;
}

void eg_replay_drop(struct eg_exchange *x)
{
    eg_buf_wipe(&x->kept);
    eg_buf_done(&x->kept);
    x->keeping = false;
}

static enum eg_status send_kept(struct eg_flow *f)
{
    struct eg_slice body = eg_buf_slice(&f->exchange->kept);
    enum eg_framing framing = eg_msg_head_get(f->request)->framing;
    enum eg_status status = EG_OK;
    if (framing != EG_BODY_CHUNKED)
        return eg_buf_put(&f->origin.out, body);
    if (body.n > 0)
        status = eg_write_chunk(&f->origin.out, body);
    return status == EG_OK ? eg_write_last_chunk(&f->origin.out) : status;
}

enum eg_status eg_replay_begin(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    const struct eg_head *head = eg_msg_head_get(f->request);
    if (x->replayed) {
        enum eg_status status = send_kept(f);
        eg_replay_drop(x);
        return status;
    }
    eg_replay_drop(x);
    eg_buf_init(&x->kept, EG_REPLAY_MAX);
    x->keeping = f->engine->credential_ask && renewable(f) &&
                 (head->framing != EG_BODY_LENGTH || head->length <= EG_REPLAY_MAX);
    return EG_OK;
}

void eg_replay_keep(struct eg_exchange *x, struct eg_slice data)
{
    if (x->keeping && eg_buf_put(&x->kept, data) != EG_OK)
        eg_replay_drop(x);
}

bool eg_replay_wanted(const struct eg_flow *f)
{
    const struct eg_exchange *x = f->exchange;
    return eg_msg_head_get(f->response)->status == 401 && x->keeping && x->request_done &&
           f->origin.out.len == 0 && !x->replayed;
}

/* The 401 is the client's. */
static enum eg_step pass_on(struct eg_flow *f)
{
    eg_replay_drop(f->exchange);
    eg_flow_move(f, EG_PHASE_EXCHANGE, f->snapshot->limits->idle_timeout, EG_IDLE_TIMEOUT);
    struct eg_err err = { 0 };
    enum eg_status status = eg_response_head(f, &err);
    return status == EG_OK ? EG_STEP_MORE : eg_refuse(f, status, true, err.text);
}

enum eg_step eg_replay_start(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    if (eg_redaction_version(f) != x->version) /* another exchange has asked, and it came */
        return eg_replay_go(f);
    return eg_credwait_refused(f) == EG_OK ? EG_STEP_MORE : eg_replay_go(f);
}

/* Is all of the 401 in f->origin.in, so that its connection can be used again? */
static bool read_through(struct eg_flow *f)
{
    struct eg_slice in = eg_buf_slice(&f->origin.in), data;
    enum eg_status status = eg_msg_complete(f->response) ? EG_EOF : EG_OK;
    if (!eg_msg_head_get(f->response)->keep_alive)
        return false;
    while (status == EG_OK && in.n > 0) {
        size_t used = 0;
        status = eg_msg_body(f->response, in.p, in.n, &used, &data, NULL);
        in = eg_slice_from(in, used);
    }
    if (status != EG_EOF || in.n > 0)
        return false;
    eg_buf_done(&f->origin.in);
    return true;
}

static enum eg_step send_again(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    struct egress_event *e = &f->ticket->event;
    x->head_read = false;
    if (read_through(f)) {
        eg_pool_put(f);
    } else {
        eg_pool_keep_ticket(f);
        eg_side_close(f->engine->loop, &f->origin, false);
    }
    eg_gate_end(&f->engine->gate, f->ticket, EG_OK, 401, f->bytes_up, 0);
    f->engine->stats.bytes_up += x->kept.len; /* once more */
    eg_event_text(e, e->detail, sizeof e->detail,
                  EG_SLICE("sent again: the origin answered 401 and the credential was renewed"));
    return eg_exchange_connect(f);
}

enum eg_step eg_replay_go(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    bool renewed = eg_redaction_version(f) != x->version &&
                   eg_gate_ready(&f->engine->gate, x->service) == EG_OK;
    x->held = false;
    x->replayed = true;
    return renewed ? send_again(f) : pass_on(f);
}
