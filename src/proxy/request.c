/* request.c - reads a request head, authenticates its sender, and sends it the way that its
 * request-target names (RFC 9112 section 3.2).
 *
 * Authentication is judged before policy: who has no token learns nothing of the rules. */
#include "proxy/exchange.h"
#include "proxy/flow.h"

static enum eg_step refuse_unread(struct eg_flow *f, enum eg_status reason, const char *detail)
{
    eg_flow_begin(f, EGRESS_VIA_NONE);
    return eg_refuse(f, reason, false, detail);
}

/* Exactly one Proxy-Authorization with a known token (security.md T11). */
static enum eg_status authenticate(struct eg_flow *f)
{
    struct eg_session *session = NULL;
    const struct eg_head *head = eg_msg_head_get(f->request);
    if (f->inner) /* the CONNECT showed it; it may have expired since */
        return f->session ? eg_session_usable(f->session) : EG_OK;
    const struct eg_field *field = eg_head_find(head, EG_SLICE("Proxy-Authorization"), NULL);
    if (field && eg_head_find(head, EG_SLICE("Proxy-Authorization"), field))
        return EG_TOKEN_INVALID;
    enum eg_status status =
        field ? eg_sessions_by_authorization(f->engine->sessions, field->value, &session)
              : eg_client_session(f, &session);
    if (field)
        status = eg_client_token(f, status, session);
    f->session = eg_session_ref(session);
    return status;
}

/* Is that authority one of ours, by address or by a name of the loopback? A Unix socket is localhost, with no port to name. */
static bool is_own_authority(const struct eg_flow *f, const struct eg_authority *a)
{
    const struct eg_sockaddr *self = &f->ingress->self;
    if (self->addr.family == 0)
        return !a->port_given && eg_slice_eq(eg_authority_host(a), EG_SLICE("localhost"));
    if (a->port != self->port)
        return false;
    if (!a->literal)
        return eg_slice_eq(eg_authority_host(a), EG_SLICE("localhost"));
    struct eg_addr v4 = { .family = 4, .b = { 127, 0, 0, 1 } },
                   v6 = { .family = 6, .b = { [15] = 1 } };
    return eg_addr_eq(&a->addr, &self->addr) || eg_addr_eq(&a->addr, &v4) ||
           eg_addr_eq(&a->addr, &v6);
}

static enum eg_step refuse_request(struct eg_flow *f, enum egress_event_via via,
                                   enum eg_status reason, const char *detail)
{
    eg_flow_begin(f, via);
    return eg_refuse(f, reason, true, detail);
}

static enum eg_step start_connect(struct eg_flow *f, const struct eg_target *target)
{
    if (f->inner)
        return refuse_request(f, EGRESS_VIA_TUNNEL, EG_METHOD_NOT_ALLOWED,
                              "no CONNECT inside a tunnel");
    enum eg_status status = authenticate(f);
    eg_flow_begin(f, EGRESS_VIA_TUNNEL);
    if (status == EG_OK)
        status = eg_exchange_canary(f, &target->authority);
    if (status != EG_OK)
        return eg_refuse(f, status, true, NULL);
    return eg_tunnel_start(f, &target->authority);
}

static enum eg_step start_forward(struct eg_flow *f, const struct eg_target *target)
{
    enum eg_status status = authenticate(f);
    eg_flow_begin(f, EGRESS_VIA_FORWARD);
    if (status != EG_OK)
        return eg_refuse(f, status, true, NULL);
    return eg_forward_start(f, target);
}

/* Inside a tunnel the Host must be the CONNECT's name (T8); the target then is that authority. */
static enum eg_step start_inner(struct eg_flow *f, struct eg_target *target)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_authority host;
    if (target->form == EG_TARGET_ABSOLUTE) {
        if (!eg_authority_eq(&target->authority, f->inner_to))
            return refuse_request(f, EGRESS_VIA_FORWARD, EG_MISDIRECTED,
                                  "the target is not the host of this tunnel");
    } else if (!head->host.p || eg_authority_parse(head->host, 80, &host, NULL) != EG_OK ||
               !eg_slice_eq(eg_authority_host(&host), eg_authority_host(f->inner_to)) ||
               (host.port_given && host.port != f->inner_to->port)) {
        return refuse_request(f, EGRESS_VIA_FORWARD, EG_MISDIRECTED,
                              "the Host field is not the host of this tunnel");
    }
    target->authority = *f->inner_to;
    return start_forward(f, target);
}

static enum eg_step start_route(struct eg_flow *f, const struct eg_target *target)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_authority host;
    if (target->form == EG_TARGET_ORIGIN &&
        (!head->host.p || eg_authority_parse(head->host, 80, &host, NULL) != EG_OK ||
         !is_own_authority(f, &host)))
        return refuse_request(f, EGRESS_VIA_ROUTE, EG_MISDIRECTED,
                              "routes answer to this proxy's own address only");
    eg_flow_begin(f, EGRESS_VIA_ROUTE);
    return eg_route_start(f, target);
}

static enum eg_step dispatch(struct eg_flow *f)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    bool connect = eg_slice_eq(head->method, EG_SLICE("CONNECT"));
    struct eg_target target;
    struct eg_err err = { 0 };
    f->mid_request = true;
    eg_flow_renew(f); /* it may have changed while the connection was idle */
    f->close_after = !head->keep_alive;
    enum eg_status status = eg_target_parse(head->target, connect, &target, &err);
    if (status != EG_OK)
        return refuse_request(f, EGRESS_VIA_NONE, status, err.text);
    if (f->ingress->internal) { /* client.c: a route or nothing */
        f->session = eg_session_ref(f->engine->own_session);
        if (connect || target.form != EG_TARGET_ORIGIN)
            return refuse_request(f, EGRESS_VIA_NONE, EG_BAD_TARGET, "only routes are served here");
    }
    f->engine->stats.exchanges += !connect;
    if (target.form == EG_TARGET_ASTERISK)
        return refuse_request(f, EGRESS_VIA_NONE, EG_BAD_TARGET,
                              "a request to the proxy itself is not served");
    if (eg_exchange_last_stop(head))
        return refuse_request(f, EGRESS_VIA_NONE, EG_METHOD_NOT_ALLOWED,
                              "Max-Forwards is 0, so the proxy is who answers");
    if (connect)
        return start_connect(f, &target);
    if (f->inner)
        return start_inner(f, &target);
    if (target.form == EG_TARGET_ABSOLUTE && !is_own_authority(f, &target.authority))
        return start_forward(f, &target);
    return start_route(f, &target);
}

/* Feeds the parser; *used of the n bytes were the head's. EG_STEP_WAIT with *more: the head is
 * not complete. */
static enum eg_step feed(struct eg_flow *f, const char *p, size_t n, size_t *used, bool *more)
{
    struct eg_err err = { 0 };
    bool begun = eg_msg_begun(f->request) > 0;
    enum eg_status status = eg_msg_head(f->request, p, n, used, &err);
    *more = status == EG_AGAIN;
    if (status == EG_AGAIN) {
        if (!begun) /* the idle time ends, the head's time begins */
            eg_flow_move(f, EG_PHASE_HEAD, f->snapshot->limits->head_timeout, EG_HEAD_TIMEOUT);
        return EG_STEP_WAIT;
    }
    return status == EG_OK ? EG_STEP_MORE : refuse_unread(f, status, err.text);
}

static enum eg_step client_ended(struct eg_flow *f)
{
    if (eg_msg_begun(f->request) == 0) {
        eg_flow_kill(f, EG_OK);
        return EG_STEP_WAIT;
    }
    return refuse_unread(f, EG_BAD_REQUEST, "the connection ended inside a request head");
}

enum eg_step eg_request_step(struct eg_flow *f)
{
    size_t used = 0, n = 0;
    bool more = true;
    if (f->ticket->event.id == 0 && f->engine->stats.open_flows > f->snapshot->limits->connections)
        return refuse_unread(f, EG_TOO_MANY_CONNECTIONS, NULL);
    if (f->client.in.len > 0) { /* pipelined, or what followed a body */
        struct eg_slice in = eg_buf_slice(&f->client.in);
        enum eg_step step = feed(f, in.p, in.n, &used, &more);
        if (f->phase != EG_PHASE_HEAD)
            return step;
        eg_buf_consume(&f->client.in, used);
        if (f->client.in.len == 0)
            eg_buf_done(&f->client.in);
        if (!more)
            return dispatch(f);
    }
    while (more) {
        enum eg_status status = eg_side_read(&f->client, f->engine->scratch, EG_SCRATCH, &n, NULL);
        if (status == EG_AGAIN) {
            f->client.intent = EG_IN;
            return EG_STEP_WAIT;
        }
        if (status == EG_EOF)
            return client_ended(f);
        if (status != EG_OK) {
            eg_flow_kill(f, EG_CLIENT_GONE);
            return EG_STEP_WAIT;
        }
        enum eg_step step = feed(f, f->engine->scratch, n, &used, &more);
        if (f->phase != EG_PHASE_HEAD)
            return step;
    }
    if (used < n && eg_buf_append(&f->client.in, f->engine->scratch + used, n - used) != EG_OK) {
        eg_flow_kill(f, EG_NOMEM);
        return EG_STEP_WAIT;
    }
    return dispatch(f);
}
