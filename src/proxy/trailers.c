/* trailers.c - fields behind a chunked body, which pass by name only (security.md, T10 and T12).
 *
 * A name that decides framing, routing or authentication passes never, whatever the policy says (RFC
 * 9110 section 6.5.1). A request's are searched for phantoms as its head was, a response's for the
 * credential. */
#include "proxy/trailers.h"

#include "http/write.h"
#include "proxy/redaction.h"

static bool passes(const struct eg_flow *f, struct eg_slice name)
{
    const struct eg_service *s = f->exchange->service;
    if (f->want != EG_WANT_ROUTE || eg_hygiene_name_class(name) != EG_FIELD_PASS)
        return false;
    for (unsigned i = 0; i < s->trailer_count; i++)
        if (eg_slice_caseeq(name, s->trailers[i]))
            return true;
    return false;
}

void eg_trailers_keep(struct eg_flow *f, struct eg_msg *m)
{
    if (f->want == EG_WANT_ROUTE && f->exchange->service->trailer_count > 0)
        eg_msg_keep_trailers(m);
}

bool eg_trailers_wanted(const struct eg_flow *f)
{
    const struct eg_field *field = NULL;
    const struct eg_head *head = eg_msg_head_get(f->request);
    if (f->want != EG_WANT_ROUTE || f->exchange->service->trailer_count == 0)
        return false;
    while ((field = eg_head_find(head, EG_SLICE("TE"), field))) {
        struct eg_slice rest = field->value, coding;
        while (eg_slice_list_next(&rest, &coding))
            if (eg_slice_caseeq(coding, EG_SLICE("trailers")))
                return true;
    }
    return false;
}

enum eg_status eg_trailers_announce(const struct eg_flow *f, const struct eg_head *head,
                                    struct eg_buf *out)
{
    const struct eg_field *field = NULL;
    struct eg_buf names;
    enum eg_status status = EG_OK;
    if (f->want != EG_WANT_ROUTE || f->exchange->service->trailer_count == 0)
        return EG_OK;
    eg_buf_init(&names, 4096);
    while (status == EG_OK && (field = eg_head_find(head, EG_SLICE("Trailer"), field))) {
        struct eg_slice rest = field->value, name;
        while (status == EG_OK && eg_slice_list_next(&rest, &name))
            if (passes(f, name))
                status =
                    eg_buf_printf(&names, "%s%.*s", names.len ? ", " : "", (int)name.n, name.p);
    }
    if (status == EG_OK && names.len > 0)
        status = eg_write_field(out, EG_SLICE("Trailer"), eg_buf_slice(&names));
    eg_buf_done(&names);
    return status;
}

static bool any(void *ctx, struct eg_session *session, int index)
{
    const struct eg_flow *f = ctx;
    eg_gate_canary(f->ticket, &f->ticket->to,
                   f->want == EG_WANT_ROUTE ? eg_exchange_service(f) : NULL,
                   eg_msg_head_get(f->request)->method, session, index);
    return true;
}

/* The secrets that no request may carry away, in one of its trailers. */
static bool is_canary(struct eg_flow *f, const struct eg_field *field)
{
    return eg_sessions_scan(f->engine->sessions, field->value, any, f) ||
           eg_sessions_scan(f->engine->sessions, field->name, any, f);
}

enum eg_status eg_trailers_end(struct eg_flow *f, struct eg_msg *m, struct eg_buf *out,
                               struct eg_err *err)
{
    const struct eg_field *fields = NULL;
    uint32_t count = 0;
    if (f->want != EG_WANT_ROUTE || f->exchange->service->trailer_count == 0)
        return eg_write_last_chunk(out);
    enum eg_status status = eg_msg_trailers(m, &fields, &count, err);
    if (status == EG_OK)
        status = eg_buf_put(out, EG_SLICE("0\r\n"));
    size_t from = out->len;
    for (uint32_t i = 0; i < count && status == EG_OK; i++) {
        if (!passes(f, fields[i].name))
            continue;
        if (m == f->request && is_canary(f, &fields[i]))
            return EG_CANARY;
        status = eg_write_field(out, fields[i].name, fields[i].value);
    }
    if (m == f->response)
        eg_redaction_text(f, out, from);
    return status == EG_OK ? eg_write_end(out) : status;
}
