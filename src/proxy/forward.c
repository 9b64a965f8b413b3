/* forward.c - plain http:// in absolute-form, or inside a tunnel of scheme http: judged request
 * by request, its head written anew for the origin (or for the upstream proxy). */
#include "http/hygiene.h"
#include "http/write.h"
#include "proxy/credwait.h"
#include "proxy/pool.h"
#include "proxy/hops.h"
#include "proxy/exchange.h"
#include "proxy/upgrade.h"
#include "proxy/rewrite.h"
#include "proxy/slots.h"

/* Whatever session the request is of, or none: the secrets of all are looked for. */
enum eg_status eg_exchange_canary(struct eg_flow *f, const struct eg_authority *to)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    const struct eg_service *service = f->want == EG_WANT_ROUTE ? eg_exchange_service(f) : NULL;
    struct eg_slots_found found;
    if (!eg_slots_canary(f->engine->sessions, f->snapshot->policy, to, service, head,
                         service ? eg_buf_slice(&f->exchange->path) : EG_SLICE_NONE, &found))
        return EG_OK;
    if (!found.session)
        return EG_NOMEM;
    eg_gate_canary(f->ticket, to, service, head->method, found.session, found.index);
    return EG_CANARY;
}

/* The canonical path and the query, once: judged, sent and recorded alike (invariant 4). */
enum eg_status eg_exchange_path(struct eg_flow *f, struct eg_slice path,
                                struct eg_path_flags *flags, struct eg_err *err)
{
    return eg_path_canon(path, &f->exchange->path, flags, err);
}

struct eg_slice eg_exchange_judged(const struct eg_flow *f, struct eg_path_flags *flags)
{
    if (!f->exchange)
        return EG_SLICE_NONE;
    struct eg_slice sent = eg_slice_from(eg_buf_slice(&f->exchange->path),
                                         f->want == EG_WANT_ROUTE ? f->exchange->service->base_path.n : 0);
    long query = eg_slice_index(sent, '?');
    *flags = f->exchange->flags;
    return query < 0 ? sent : eg_slice(sent.p, (size_t)query);
}

enum eg_status eg_exchange_query(struct eg_flow *f, const struct eg_target *target)
{
    struct eg_buf *out = &f->exchange->path;
    if (!target->has_query)
        return EG_OK;
    enum eg_status status = eg_buf_put(out, EG_SLICE("?"));
    return status == EG_OK ? eg_buf_put(out, target->query) : status;
}

enum eg_step eg_exchange_open(struct eg_flow *f)
{
    f->exchange->body_max = f->ticket->verdict.max_request_body;
    const struct eg_head *head = eg_msg_head_get(f->request);
    if (f->exchange->body_max != 0 && head->framing == EG_BODY_LENGTH &&
        head->length > f->exchange->body_max)
        return eg_refuse(f, EG_BODY_TOO_LARGE, true, NULL);
    const char *why = NULL;
    enum eg_status status = eg_upgrade_check(f, &why);
    if (status != EG_OK)
        return eg_refuse(f, status, true, why);
    return eg_credwait_needed(f) ? eg_credwait_start(f) : eg_exchange_connect(f);
}

enum eg_step eg_exchange_connect(struct eg_flow *f)
{
    if (!eg_pool_take(f))
        return eg_upstream_open(f);
    enum eg_status status = f->peer.addr.family
                                ? eg_gate_pooled(&f->engine->gate, f->ticket, &f->peer)
                                : eg_gate_remote(&f->engine->gate, f->ticket);
    return status == EG_OK ? eg_exchange_begin(f, true) : eg_refuse(f, status, true, NULL);
}

enum eg_step eg_forward_start(struct eg_flow *f, const struct eg_target *target)
{
    struct eg_err err = { 0 };
    f->want = EG_WANT_FORWARD;
    enum eg_status status = eg_exchange_new(f);
    if (status == EG_OK)
        status = eg_exchange_path(f, target->path, &f->exchange->flags, &err);
    if (status == EG_OK)
        status = eg_exchange_canary(f, &target->authority);
    if (status != EG_OK)
        return eg_refuse(f, status, true, err.text[0] ? err.text : NULL);
    const struct eg_head *head = eg_msg_head_get(f->request);
    status = eg_gate_http(&f->engine->gate, f->ticket, &target->authority, head->method,
                          eg_buf_slice(&f->exchange->path), f->exchange->flags);
    if (status == EG_OK)
        status = eg_exchange_query(f, target);
    return status == EG_OK ? eg_exchange_open(f) : eg_refuse(f, status, true, NULL);
}

/* ---- the head as it is sent; shared with routes ---- */

enum eg_status eg_exchange_fields(struct eg_flow *f, bool (*drop)(const struct eg_flow *f,
                                                                  const struct eg_field *field,
                                                                  enum eg_field_class class))
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_buf *out = &f->origin.out;
    for (uint32_t i = 0; i < head->field_count; i++) {
        enum eg_field_class class = eg_hygiene_classify(head, i);
        if ((class != EG_FIELD_PASS && class != EG_FIELD_CREDENTIAL) ||
            eg_exchange_drops(f, &head->fields[i]) ||
            drop(f, &head->fields[i], class))
            continue;
        enum eg_status status = eg_write_field(out, head->fields[i].name, head->fields[i].value);
        if (status != EG_OK)
            return status;
    }
    return eg_exchange_own_fields(f);
}

static enum eg_status write_host(struct eg_flow *f, uint16_t default_port)
{
    char text[EG_AUTHORITY_TEXT];
    return eg_write_field(
        &f->origin.out, EG_SLICE("Host"),
        eg_slice_str(eg_authority_format(&f->ticket->to, default_port, text, sizeof text)));
}

/* A method that usually has a body says so when it has none (RFC 9110 section 8.6). */
enum eg_status eg_exchange_framing(struct eg_flow *f)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_slice m = head->method;
    bool expected = eg_slice_eq(m, EG_SLICE("POST")) || eg_slice_eq(m, EG_SLICE("PUT")) ||
                    eg_slice_eq(m, EG_SLICE("PATCH"));
    const struct eg_exchange *x = f->exchange;
    enum eg_status status = x->framing == EG_BODY_NONE && expected
                                ? eg_write_framing(&f->origin.out, EG_BODY_LENGTH, 0)
                                : eg_write_framing(&f->origin.out, x->framing, x->length);
    if (status == EG_OK && f->snapshot->settings->via)
        status = eg_write_field(&f->origin.out, EG_SLICE("Via"),
                                head->minor ? EG_SLICE("1.1 egress") : EG_SLICE("1.0 egress"));
    return status;
}

/* The target is built apart where it is more than the path: it may hold a credential then. */
static enum eg_status put_target(struct eg_flow *f, struct eg_buf *out, struct eg_err *err)
{
    char authority[EG_AUTHORITY_TEXT];
    enum eg_status status = EG_OK;
    if (eg_upstream_absolute(f))
        status = eg_buf_printf(out, "http://%s",
                               eg_authority_format(&f->ticket->to, 80, authority, sizeof authority));
    if (status != EG_OK)
        return status;
    return f->want == EG_WANT_ROUTE ? eg_rewrite_target(f, out, err)
                                    : eg_buf_put(out, eg_buf_slice(&f->exchange->path));
}

static enum eg_status request_line(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_buf target;
    if (!eg_upstream_absolute(f) &&
        !(f->want == EG_WANT_ROUTE && eg_rewrite_writes_target(eg_exchange_service(f))))
        return eg_write_request_line(&f->origin.out, head->method, eg_buf_slice(&f->exchange->path));
    eg_buf_init(&target, f->origin.out.max);
    enum eg_status status = put_target(f, &target, err);
    if (status == EG_OK)
        status = eg_write_request_line(&f->origin.out, head->method, eg_buf_slice(&target));
    eg_buf_wipe(&target);
    eg_buf_done(&target);
    return status;
}

/* In absolute-form each head carries what the last hop wants to be shown. */
static enum eg_status write_authorization(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_way *way = eg_hops_way(f);
    struct eg_secret *shown = NULL;
    enum eg_status status = eg_hops_secret(f, way, way->count - 1, &shown, err);
    if (status == EG_OK && shown) {
        f->origin.secret_out = true;
        status = eg_inject_field(&f->origin.out, EG_SLICE("Proxy-Authorization"), EG_SLICE_NONE,
                                 EG_SLICE_NONE, shown);
    }
    eg_secret_free(shown);
    return status;
}

enum eg_status eg_exchange_start_head(struct eg_flow *f, uint16_t default_port,
                                      struct eg_err *err)
{
    enum eg_status status = request_line(f, err);
    if (status == EG_OK)
        status = write_host(f, default_port);
    if (status == EG_OK && eg_upstream_absolute(f))
        status = write_authorization(f, err);
    return status;
}

static bool drop_nothing(const struct eg_flow *f, const struct eg_field *field,
                         enum eg_field_class class)
{
    (void)f;
    (void)field;
    (void)class;
    return false;
}

enum eg_status eg_forward_head(struct eg_flow *f, struct eg_err *err)
{
    enum eg_status status = eg_exchange_start_head(f, 80, err);
    if (status == EG_OK)
        status = eg_exchange_fields(f, drop_nothing);
    if (status == EG_OK)
        status = eg_exchange_framing(f);
    return status == EG_OK ? eg_write_end(&f->origin.out) : status;
}
