/* route.c - /ROUTE/... to one service: the phantom is checked and taken away, the real credential
 * is written in its place.
 *
 * The phantom is required and sufficient; each accepted slot that is there must hold it. Every
 * credential slot that the client sent is dropped, and exactly the policy's own are written
 * (security.md, Slots). The credential is opened by the gate, for this head only, after the
 * connection is verified. */
#include "http/write.h"
#include "proxy/exchange.h"
#include "proxy/rewrite.h"
#include "proxy/sigv4.h"
#include "proxy/slots.h"

/* ---- who asks ---- */

/* A Proxy-Authorization beside the phantom must be valid, and of the same session. */
static enum eg_status check_beside(struct eg_flow *f)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_session *session = NULL;
    const struct eg_field *field = eg_head_find(head, EG_SLICE("Proxy-Authorization"), NULL);
    if (!field)
        return EG_OK;
    if (eg_head_find(head, EG_SLICE("Proxy-Authorization"), field))
        return EG_TOKEN_INVALID;
    enum eg_status status =
        eg_sessions_by_authorization(f->engine->sessions, field->value, &session);
    if (status != EG_OK)
        return status;
    if (f->session && f->session != session)
        return EG_TOKEN_INVALID;
    if (!f->session)
        f->session = eg_session_ref(session);
    return EG_OK;
}

/* Where certificates stand for sessions, another session's phantom is not this client's to show. */
static enum eg_status check_certified(struct eg_flow *f)
{
    struct eg_session *own = NULL;
    if (f->ingress->auth != EG_AUTH_CLIENT_CERT)
        return EG_OK;
    enum eg_status status = eg_client_session(f, &own);
    if (status != EG_OK)
        return status;
    if (f->session && f->session != own)
        return EG_PHANTOM_INVALID;
    if (!f->session)
        f->session = eg_session_ref(own);
    return EG_OK;
}

/* slots: what they said of the phantom. A secret where it does not belong comes first: it means that the child, or who made it ask, tries to get
 * it out. */
static enum eg_status authenticate(struct eg_flow *f, enum eg_status slots,
                                   struct eg_session *session)
{
    if (session) {
        eg_session_unref(f->session);
        f->session = eg_session_ref(session);
    }
    eg_gate_session(f->ticket, f->session);
    enum eg_status status = eg_exchange_canary(f, &f->exchange->service->upstream);
    if (status == EG_OK)
        status = slots;
    if (status == EG_OK)
        status = check_certified(f);
    if (status == EG_OK)
        status = check_beside(f);
    eg_gate_session(f->ticket, f->session);
    return status;
}

/* ---- the path ---- */

static struct eg_slice first_segment(struct eg_slice path)
{
    struct eg_slice rest = eg_slice_from(path, 1);
    long end = eg_slice_index(rest, '/');
    return end < 0 ? rest : eg_slice(rest.p, (size_t)end);
}

static bool under(struct eg_slice path, struct eg_slice prefix)
{
    return prefix.n > 0 && eg_slice_starts(path, prefix) &&
           (path.n == prefix.n || path.p[prefix.n] == '/');
}

/* Clients append the vendor's path to a base URL that shows it already (clients.md 12): a
 * doubled one counts once. */
static struct eg_slice undouble(struct eg_slice rest, const struct eg_service *service)
{
    struct eg_slice shown = service->env_base_path;
    if (under(rest, shown) && under(eg_slice_from(rest, shown.n), shown))
        return eg_slice_from(rest, shown.n);
    if (under(rest, service->base_path))
        return eg_slice_from(rest, service->base_path.n);
    return rest;
}

/* A query that held nothing but credentials is none. */
static enum eg_status put_query(struct eg_exchange *x, struct eg_slice query)
{
    enum eg_status status = eg_buf_put(&x->path, EG_SLICE("?"));
    size_t before = x->path.len;
    if (status == EG_OK)
        status = eg_rewrite_query(x->service, query, &x->path);
    if (status == EG_OK && x->path.len == before && query.n > 0)
        x->path.len--;
    return status;
}

/* Makes the exchange's path what is sent: the upstream's base path, what the route's path is without the phantom's segment, and the query
 * without the credentials in it. path is what is left behind the route's name. */
static enum eg_status build(struct eg_flow *f, struct eg_slice path, const struct eg_target *target)
{
    struct eg_exchange *x = f->exchange;
    struct eg_buf left, sent;
    eg_buf_init(&left, x->path.max);
    eg_buf_init(&sent, x->path.max);
    enum eg_status status = eg_slots_path(x->service, path, &left);
    struct eg_slice rest = undouble(eg_buf_slice(&left), x->service);
    if (status == EG_OK)
        status = eg_buf_put(&sent, x->service->base_path);
    if (status == EG_OK)
        status = eg_buf_put(&sent, rest.n > 0 ? rest : EG_SLICE("/"));
    eg_buf_done(&left);
    eg_buf_done(&x->path);
    x->path = sent;
    return status == EG_OK && target->has_query ? put_query(x, target->query) : status;
}

/* The path that rules see is the one that is sent (invariant 4). */
static enum eg_status judge(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    struct eg_path_flags flags = { 0 };
    struct eg_slice path = eg_exchange_judged(f, &flags);
    return eg_gate_route(&f->engine->gate, f->ticket, x->service_index, x->service,
                         eg_msg_head_get(f->request)->method, path, flags);
}

enum eg_status eg_route_count(struct eg_flow *f)
{
    struct eg_quota_use *quota = &f->exchange->quota;
    uint64_t now = eg_loop_now(f->engine->loop);
    enum eg_status status = eg_quota_up(quota, f->bytes_up, now);
    return status == EG_OK ? eg_quota_down(quota, f->bytes_down, now) : status;
}

/* The service's limits: counted when the policy has nothing against the request. */
static enum eg_status count(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    const struct eg_head *head = eg_msg_head_get(f->request);
    return eg_quota_begin(&x->quota, eg_sessions_quotas(f->engine->sessions, f->session),
                          x->service, head->framing != EG_BODY_NONE,
                          head->framing == EG_BODY_LENGTH ? head->length : 0,
                          eg_loop_now(f->engine->loop));
}

enum eg_step eg_route_resume(struct eg_flow *f)
{
    char text[160];
    enum eg_status status = judge(f);
    if (status != EG_OK)
        return eg_refuse(f, status, true, NULL);
    status = count(f);
    if (status != EG_OK)
        return eg_refuse(f, status, true,
                         eg_quota_explain(eg_exchange_service(f), status, text, sizeof text));
    return eg_exchange_open(f);
}

static enum eg_step with_service(struct eg_flow *f, struct eg_slice path,
                                 const struct eg_target *target)
{
    struct eg_exchange *x = f->exchange;
    struct eg_session *session = NULL;
    enum eg_status slots = EG_OK;
    const char *why = NULL;
    bool resign = eg_resign_wanted(x->service), hold = false;
    if (resign) {
        slots = eg_resign_check(f, target, &session, &why);
        hold = slots == EG_AGAIN;
        slots = hold ? EG_OK : slots;
        if (slots == EG_NOT_SUPPORTED) /* the phantom may stand where it would be none of ours */
            return eg_refuse(f, slots, true, why);
    } else if (x->service->credential.n > 0) {
        slots = eg_slots_read(f->engine->sessions, x->service, eg_msg_head_get(f->request), path,
                              target->query, &session);
    }
    enum eg_status status = build(f, path, target);
    if (status == EG_OK)
        status = authenticate(f, slots, session);
    if (status != EG_OK) {
        eg_gate_unjudged(f->ticket, &x->service->upstream, x->service,
                         eg_msg_head_get(f->request)->method);
        return eg_refuse(f, status, true, status == slots ? why : NULL);
    }
    return hold ? eg_resign_hold(f, target) : eg_route_resume(f);
}

enum eg_step eg_route_start(struct eg_flow *f, const struct eg_target *target)
{
    const struct eg_policy *policy = f->snapshot->policy;
    struct eg_err err = { 0 };
    f->want = EG_WANT_ROUTE;
    if (eg_policy_service_count(policy) == 0)
        return eg_refuse(f, EG_NO_ROUTES, true, "the policy names no services");
    enum eg_status status = eg_exchange_new(f);
    if (status == EG_OK)
        status = eg_exchange_path(f, target->path, &f->exchange->flags, &err);
    if (status != EG_OK)
        return eg_refuse(f, status, true, err.text[0] ? err.text : NULL);
    struct eg_slice path = eg_buf_slice(&f->exchange->path), route = first_segment(path);
    int index = eg_policy_service_of_route(policy, route);
    if (index >= 0)
        f->exchange->service = &f->snapshot->services[index];
    if (index < 0 || f->exchange->service->internal != f->ingress->internal)
        return eg_refuse(f, EG_ROUTE_UNKNOWN, true,
                         "the path's first segment must be the route of a service, as in the variables of "
                         "base URLs: egressctl env");
    f->exchange->service_index = (unsigned)index;
    return with_service(f, eg_slice_from(path, 1 + route.n), target);
}

/* ---- the head ---- */

static bool drop_for_service(const struct eg_flow *f, const struct eg_field *field,
                             enum eg_field_class class)
{
    return eg_rewrite_drops(eg_exchange_service(f), field, class) || eg_resign_drops(f, field);
}

enum eg_status eg_route_head(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_service *service = eg_exchange_service(f);
    size_t start = f->origin.out.len;
    if (service->credential.n > 0)
        f->origin.secret_out = true;
    enum eg_status status = eg_exchange_start_head(f, service->tls ? 443 : 80, err);
    if (status == EG_OK)
        status = eg_exchange_fields(f, drop_for_service);
    if (status == EG_OK)
        status = eg_rewrite_fields(f, err);
    if (status == EG_OK)
        status = eg_exchange_framing(f);
    if (status == EG_OK && eg_resign_wanted(service))
        status = eg_resign_head(f, start, err);
    return status == EG_OK ? eg_write_end(&f->origin.out) : status;
}
