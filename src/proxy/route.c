/* route.c - /ROUTE/... to one service: the phantom is checked and taken away, the real credential
 * is written in its place.
 *
 * The phantom is required and sufficient; each accepted slot that is there must hold it. Every
 * credential slot that the client sent is dropped, and exactly the policy's own are written
 * (security.md, Slots). The credential is opened by the gate, for this head only, after the
 * connection is verified. */
#include <sodium.h>

#include "http/write.h"
#include "proxy/exchange.h"

/* ---- the phantom ---- */

/* What a slot holds. EG_NOT_FOUND: the field is not there; EG_PHANTOM_INVALID: it is there and
 * holds something else. */
static enum eg_status read_slot(const struct eg_slot *slot, const struct eg_field *field,
                                char *scratch, size_t cap, struct eg_slice *ret)
{
    struct eg_slice value = field->value, user;
    switch (slot->kind) {
    case EG_SLOT_BEARER:
        if (!eg_slice_casestarts(value, EG_SLICE("Bearer ")))
            return EG_PHANTOM_INVALID;
        return eg_token_parse(value, scratch, cap, NULL, ret) == EG_OK ? EG_OK : EG_PHANTOM_INVALID;
    case EG_SLOT_BASIC_PASSWORD:
        if (!eg_slice_casestarts(value, EG_SLICE("Basic ")))
            return EG_PHANTOM_INVALID;
        return eg_token_parse(value, scratch, cap, &user, ret) == EG_OK ? EG_OK
                                                                        : EG_PHANTOM_INVALID;
    case EG_SLOT_HEADER:
        *ret = value;
        return EG_OK;
    default: /* not in a field, or not built */
        return EG_PHANTOM_INVALID;
    }
}

/* Does this field's value hold the service's phantom in any of the slots of that field? */
static enum eg_status check_field(struct eg_flow *f, const struct eg_service *service,
                                  const struct eg_field *field, struct eg_session **session)
{
    enum eg_status status = EG_NOT_FOUND;
    char scratch[EG_PHANTOM_MAX * 2];
    for (unsigned i = 0; i < service->accept_count && status != EG_OK; i++) {
        const struct eg_slot *slot = &service->accept[i];
        struct eg_slice phantom;
        if (!eg_slice_caseeq(field->name, eg_slot_field(slot)))
            continue;
        status = read_slot(slot, field, scratch, sizeof scratch, &phantom);
        if (status == EG_OK)
            status = eg_sessions_by_phantom(f->engine->sessions, phantom, service->name, session);
    }
    sodium_memzero(scratch, sizeof scratch);
    return status;
}

/* EG_OK with the session; EG_PHANTOM_MISSING, EG_PHANTOM_INVALID, or the session's own refusal. */
static enum eg_status find_phantom(struct eg_flow *f, const struct eg_service *service,
                                   struct eg_session **ret)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_session *found = NULL;
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct eg_session *session = NULL;
        enum eg_status status = check_field(f, service, &head->fields[i], &session);
        if (status == EG_NOT_FOUND)
            continue;
        if (status != EG_OK || (found && found != session))
            return EG_PHANTOM_INVALID; /* also one of a session that is over: refusals.md knows no token on a route */
        found = session;
    }
    *ret = found;
    return found ? EG_OK : EG_PHANTOM_MISSING;
}

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

static enum eg_status authenticate(struct eg_flow *f, const struct eg_service *service)
{
    struct eg_session *session = NULL;
    enum eg_status status = EG_OK;
    if (service->credential.n > 0) {
        status = find_phantom(f, service, &session);
        if (status != EG_OK)
            return status;
        f->session = eg_session_ref(session);
    }
    status = check_certified(f);
    if (status == EG_OK)
        status = check_beside(f);
    if (status == EG_OK)
        status = eg_exchange_canary(f, service);
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

/* Judges the path behind the route's name and builds what is sent: the upstream's base path and
 * it. */
static enum eg_status judge(struct eg_flow *f, struct eg_slice rest, const struct eg_target *target,
                            struct eg_path_flags flags)
{
    struct eg_exchange *x = f->exchange;
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_buf sent;
    rest = undouble(rest, &x->service);
    if (rest.n == 0)
        rest = EG_SLICE("/");
    enum eg_status status = eg_gate_route(&f->engine->gate, f->ticket, x->service_index,
                                          &x->service, head->method, rest, flags);
    if (status != EG_OK)
        return status;
    eg_buf_init(&sent, x->path.max);
    status = eg_buf_put(&sent, x->service.base_path);
    if (status == EG_OK)
        status = eg_buf_put(&sent, rest);
    eg_buf_done(&x->path);
    x->path = sent;
    return status == EG_OK ? eg_exchange_query(f, target) : status;
}

enum eg_step eg_route_start(struct eg_flow *f, const struct eg_target *target)
{
    const struct eg_policy *policy = f->snapshot->policy;
    struct eg_path_flags flags = { 0 };
    struct eg_err err = { 0 };
    f->want = EG_WANT_ROUTE;
    if (eg_policy_service_count(policy) == 0)
        return eg_refuse(f, EG_NO_ROUTES, true, "the policy names no services");
    enum eg_status status = eg_exchange_new(f);
    if (status == EG_OK)
        status = eg_exchange_path(f, target->path, &flags, &err);
    if (status != EG_OK)
        return eg_refuse(f, status, true, err.text[0] ? err.text : NULL);
    struct eg_slice path = eg_buf_slice(&f->exchange->path), route = first_segment(path);
    int index = eg_policy_service_of_route(policy, route);
    if (index >= 0)
        eg_policy_service(policy, (unsigned)index, &f->exchange->service);
    if (index < 0 || f->exchange->service.internal != f->ingress->internal)
        return eg_refuse(f, EG_ROUTE_UNKNOWN, true, NULL);
    f->exchange->service_index = (unsigned)index;
    status = authenticate(f, &f->exchange->service);
    eg_flow_begin(f, EGRESS_VIA_ROUTE); /* again: now the session is known */
    if (status == EG_OK)
        status = judge(f, eg_slice_from(path, 1 + route.n), target, flags);
    return status == EG_OK ? eg_exchange_open(f) : eg_refuse(f, status, true, NULL);
}

/* ---- the head ---- */

static bool drop_for_service(const struct eg_flow *f, const struct eg_field *field,
                             enum eg_field_class class)
{
    const struct eg_service *service = &f->exchange->service;
    if (class == EG_FIELD_CREDENTIAL)
        return true;
    for (unsigned i = 0; i < service->accept_count; i++)
        if (eg_slice_caseeq(field->name, eg_slot_field(&service->accept[i])))
            return true;
    for (unsigned i = 0; i < service->write_count; i++)
        if (eg_slice_caseeq(field->name, service->write[i].name))
            return true;
    for (unsigned i = 0; i < service->strip_count; i++)
        if (eg_slice_caseeq(field->name, service->strip[i]))
            return true;
    return false;
}

/* A plain route passes what the child sends, its own keys too: nothing is swapped there. */
static bool drop_for_plain(const struct eg_flow *f, const struct eg_field *field,
                           enum eg_field_class class)
{
    return class != EG_FIELD_CREDENTIAL && drop_for_service(f, field, class);
}

static enum eg_status write_credential(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_service *service = &f->exchange->service;
    const struct eg_secret *secret = NULL;
    enum eg_status status = EG_OK;
    if (service->credential.n > 0) {
        status = eg_gate_credential(&f->engine->gate, f->ticket, service, &secret, err);
        f->origin.secret_out = true;
    }
    for (unsigned i = 0; i < service->write_count && status == EG_OK; i++) {
        const struct eg_write *w = &service->write[i];
        if (!w->credential)
            status = eg_write_field(&f->origin.out, w->name, w->before);
        else if (secret)
            status = eg_inject_field(&f->origin.out, w->name, w->before, w->after, secret);
    }
    return status;
}

enum eg_status eg_route_head(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_service *service = &f->exchange->service;
    enum eg_status status = eg_exchange_start_head(f, service->tls ? 443 : 80, err);
    if (status == EG_OK)
        status =
            eg_exchange_fields(f, service->credential.n > 0 ? drop_for_service : drop_for_plain);
    if (status == EG_OK)
        status = write_credential(f, err);
    if (status == EG_OK)
        status = eg_exchange_framing(f);
    return status == EG_OK ? eg_write_end(&f->origin.out) : status;
}
