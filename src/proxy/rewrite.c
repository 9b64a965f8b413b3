/* rewrite.c - takes the child's credentials out of a request and writes the policy's own.
 *
 * What is left out is decided by the names that the policy gives, decoded as an origin would decode them; what stays is not changed by a byte.
 * The credential is put by the gate, straight into what is sent; a target that holds it is built apart and wiped. */
#include "proxy/rewrite.h"

#include "http/write.h"
#include "proxy/exchange.h"

/* ---- names ---- */

/* Is the percent-decoded key that name? */
static bool key_is(struct eg_slice key, struct eg_slice name)
{
    size_t at = 0, n = 0;
    while (at < key.n && n < name.n && eg_slice_unescape(key, &at) == name.p[n])
        n++;
    return at == key.n && n == name.n;
}

/* Is it the name of a query key or cookie that the service accepts, strips or writes? */
static bool is_taken(const struct eg_service *s, enum eg_slot_kind slot, enum eg_write_kind write,
                     struct eg_slice key, bool (*same)(struct eg_slice key, struct eg_slice name))
{
    for (unsigned i = 0; s->credential.n > 0 && i < s->accept_count; i++)
        if (s->accept[i].kind == slot && same(key, s->accept[i].name))
            return true;
    for (unsigned i = 0; i < s->strip_slot_count; i++)
        if (s->strip_slots[i].kind == slot && same(key, s->strip_slots[i].name))
            return true;
    for (unsigned i = 0; i < s->write_count; i++)
        if (s->write[i].kind == write && same(key, s->write[i].name))
            return true;
    return false;
}

/* The part before the separator, trimmed where asked for; *rest goes behind it. */
static struct eg_slice cut(struct eg_slice *rest, char separator)
{
    long end = eg_slice_index(*rest, separator);
    struct eg_slice part = end < 0 ? *rest : eg_slice(rest->p, (size_t)end);
    *rest = end < 0 ? EG_SLICE_NONE : eg_slice_from(*rest, (size_t)end + 1);
    return part;
}

static struct eg_slice name_of(struct eg_slice pair)
{
    long end = eg_slice_index(pair, '=');
    return end < 0 ? pair : eg_slice(pair.p, (size_t)end);
}

/* ---- the query ---- */

enum eg_status eg_rewrite_query(const struct eg_service *service, struct eg_slice query,
                                struct eg_buf *out)
{
    enum eg_status status = EG_OK;
    bool first = true, more = true;
    while (more && status == EG_OK) {
        more = eg_slice_index(query, '&') >= 0;
        struct eg_slice pair = cut(&query, '&');
        if (is_taken(service, EG_SLOT_QUERY, EG_WRITE_QUERY, name_of(pair), key_is))
            continue;
        if (!first)
            status = eg_buf_put(out, EG_SLICE("&"));
        if (status == EG_OK)
            status = eg_buf_put(out, pair);
        first = false;
    }
    return status;
}

/* ---- cookies (RFC 6265 section 4.2) ---- */

bool eg_rewrite_has_cookies(const struct eg_service *s)
{
    for (unsigned i = 0; i < s->accept_count; i++)
        if (s->accept[i].kind == EG_SLOT_COOKIE)
            return true;
    for (unsigned i = 0; i < s->strip_slot_count; i++)
        if (s->strip_slots[i].kind == EG_SLOT_COOKIE)
            return true;
    for (unsigned i = 0; i < s->write_count; i++)
        if (s->write[i].kind == EG_WRITE_COOKIE)
            return true;
    return false;
}

enum eg_status eg_rewrite_cookies(const struct eg_service *service, const struct eg_head *head,
                                  struct eg_buf *out)
{
    enum eg_status status = EG_OK;
    const struct eg_field *field = NULL;
    size_t before = out->len;
    while (status == EG_OK && (field = eg_head_find(head, EG_SLICE("Cookie"), field))) {
        struct eg_slice rest = field->value;
        while (rest.n > 0 && status == EG_OK) {
            struct eg_slice pair = eg_slice_trim(cut(&rest, ';'));
            struct eg_slice name = eg_slice_trim(name_of(pair));
            if (pair.n == 0 ||
                is_taken(service, EG_SLOT_COOKIE, EG_WRITE_COOKIE, name, eg_slice_eq))
                continue;
            if (out->len > before)
                status = eg_buf_put(out, EG_SLICE("; "));
            if (status == EG_OK)
                status = eg_buf_put(out, pair);
        }
    }
    return status;
}

/* The child would have the value that its own one stands for; or a client that keeps cookies would lose its phantom. */
bool eg_rewrite_hides(const struct eg_service *service, const struct eg_field *field)
{
    struct eg_slice rest = field->value;
    return eg_slice_caseeq(field->name, EG_SLICE("Set-Cookie")) &&
           is_taken(service, EG_SLOT_COOKIE, EG_WRITE_COOKIE,
                    eg_slice_trim(name_of(cut(&rest, ';'))), eg_slice_eq);
}

/* ---- fields ---- */

/* Origins behind CGI-like interfaces read x_key as X-Key. */
static bool same_field(struct eg_slice a, struct eg_slice b)
{
    for (size_t i = 0; a.n == b.n && i < a.n; i++)
        if (eg_lower(a.p[i] == '_' ? '-' : a.p[i]) != eg_lower(b.p[i] == '_' ? '-' : b.p[i]))
            return false;
    return a.n == b.n;
}

static bool writes_field(const struct eg_write *w, struct eg_slice name)
{
    return w->kind == EG_WRITE_HEADER
               ? same_field(name, w->name)
               : w->kind == EG_WRITE_BASIC && eg_slice_caseeq(name, EG_SLICE("Authorization"));
}

bool eg_rewrite_drops(const struct eg_service *service, const struct eg_field *field,
                      enum eg_field_class class)
{
    if (class == EG_FIELD_CREDENTIAL && service->credential.n > 0)
        return true;
    if (eg_slice_caseeq(field->name, EG_SLICE("Cookie")) && eg_rewrite_has_cookies(service))
        return true; /* what is left of them is written with the policy's own */
    for (unsigned i = 0; service->credential.n > 0 && i < service->accept_count; i++)
        if (service->accept[i].kind == EG_SLOT_HEADER &&
            same_field(field->name, service->accept[i].name))
            return true;
    for (unsigned i = 0; i < service->write_count; i++)
        if (writes_field(&service->write[i], field->name))
            return true;
    for (unsigned i = 0; i < service->strip_slot_count; i++)
        if (service->strip_slots[i].kind == EG_SLOT_HEADER &&
            same_field(field->name, service->strip_slots[i].name))
            return true;
    return false;
}

/* ---- what the policy writes ---- */

static enum eg_status put_template(struct eg_flow *f, const struct eg_write *w,
                                   enum eg_escape escape, struct eg_buf *out, struct eg_err *err)
{
    if (!w->credential && escape != EG_ESCAPE_BASE64)
        return eg_buf_put(out, w->text);
    return eg_gate_inject(&f->engine->gate, f->ticket, eg_exchange_service(f), w->text, escape, out,
                          err);
}

bool eg_rewrite_writes_target(const struct eg_service *s)
{
    for (unsigned i = 0; i < s->write_count; i++)
        if (s->write[i].kind == EG_WRITE_QUERY || s->write[i].kind == EG_WRITE_PATH)
            return true;
    return false;
}

/* "/bot{}/" before "/sendMessage": one slash stands between them. */
static enum eg_status write_segments(struct eg_flow *f, struct eg_buf *out, struct eg_slice rest,
                                     struct eg_err *err)
{
    const struct eg_service *service = eg_exchange_service(f);
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < service->write_count && status == EG_OK; i++) {
        struct eg_write w = service->write[i];
        if (w.kind != EG_WRITE_PATH)
            continue;
        if (w.text.n > 0 && w.text.p[w.text.n - 1] == '/')
            w.text.n--;
        status = put_template(f, &w, EG_ESCAPE_PERCENT, out, err);
    }
    return status == EG_OK ? eg_buf_put(out, rest) : status;
}

static enum eg_status write_pairs(struct eg_flow *f, struct eg_buf *out, bool query,
                                  struct eg_err *err)
{
    const struct eg_service *service = eg_exchange_service(f);
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < service->write_count && status == EG_OK; i++) {
        const struct eg_write *w = &service->write[i];
        if (w->kind != EG_WRITE_QUERY)
            continue;
        status = eg_buf_put(out, query ? EG_SLICE("&") : EG_SLICE("?"));
        query = true;
        if (status == EG_OK)
            status = eg_buf_put(out, w->name);
        if (status == EG_OK)
            status = eg_buf_put(out, EG_SLICE("="));
        if (status == EG_OK)
            status = put_template(f, w, EG_ESCAPE_PERCENT, out, err);
    }
    return status;
}

enum eg_status eg_rewrite_target(struct eg_flow *f, struct eg_buf *out, struct eg_err *err)
{
    struct eg_slice base = eg_exchange_service(f)->base_path;
    struct eg_slice rest = eg_slice_from(eg_buf_slice(&f->exchange->path), base.n);
    bool query = eg_slice_index(rest, '?') >= 0;
    enum eg_status status = eg_buf_put(out, base);
    if (status == EG_OK)
        status = write_segments(f, out, rest, err);
    return status == EG_OK ? write_pairs(f, out, query, err) : status;
}

static enum eg_status write_line(struct eg_flow *f, const struct eg_write *w, struct eg_slice name,
                                 struct eg_slice scheme, enum eg_escape escape, struct eg_err *err)
{
    struct eg_buf *out = &f->origin.out;
    const struct eg_slice parts[] = { name, EG_SLICE(": "), scheme };
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == EG_OK; i++)
        status = eg_buf_put(out, parts[i]);
    if (status == EG_OK)
        status = put_template(f, w, escape, out, err);
    return status == EG_OK ? eg_buf_put(out, EG_SLICE("\r\n")) : status;
}

/* A value that could end its cookie and begin another is none (RFC 6265 section 4.1.1). */
static enum eg_status write_cookie(struct eg_flow *f, const struct eg_write *w, struct eg_err *err)
{
    struct eg_buf *out = &f->origin.out;
    size_t before = 0;
    enum eg_status status = eg_buf_put(out, w->name);
    if (status == EG_OK)
        status = eg_buf_put(out, EG_SLICE("="));
    before = out->len;
    if (status == EG_OK)
        status = put_template(f, w, EG_ESCAPE_NONE, out, err);
    struct eg_slice value = eg_slice_from(eg_buf_slice(out), before);
    for (size_t i = 0; i < value.n && status == EG_OK; i++)
        if ((unsigned char)value.p[i] <= ' ' || (unsigned char)value.p[i] >= 0x7f ||
            strchr("\",;\\", value.p[i]))
            status = eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "credential", 0,
                                "it can't be a cookie's value");
    return status;
}

static enum eg_status write_cookies(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_service *service = eg_exchange_service(f);
    struct eg_buf *out = &f->origin.out;
    struct eg_slice before = EG_SLICE("Cookie: ");
    struct eg_buf rest;
    eg_buf_init(&rest, out->max);
    enum eg_status status = eg_rewrite_cookies(service, eg_msg_head_get(f->request), &rest);
    bool any = rest.len > 0;
    if (status == EG_OK && any)
        status = eg_buf_put(out, before);
    if (status == EG_OK)
        status = eg_buf_put(out, eg_buf_slice(&rest));
    eg_buf_done(&rest);
    for (unsigned i = 0; i < service->write_count && status == EG_OK; i++) {
        if (service->write[i].kind != EG_WRITE_COOKIE)
            continue;
        status = eg_buf_put(out, any ? EG_SLICE("; ") : before);
        if (status == EG_OK)
            status = write_cookie(f, &service->write[i], err);
        any = true;
    }
    return status == EG_OK && any ? eg_buf_put(out, EG_SLICE("\r\n")) : status;
}

enum eg_status eg_rewrite_fields(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_service *service = eg_exchange_service(f);
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < service->write_count && status == EG_OK; i++) {
        const struct eg_write *w = &service->write[i];
        if (w->kind == EG_WRITE_HEADER)
            status = write_line(f, w, w->name, EG_SLICE_NONE, EG_ESCAPE_NONE, err);
        else if (w->kind == EG_WRITE_BASIC)
            status = write_line(f, w, EG_SLICE("Authorization"), EG_SLICE("Basic "),
                                EG_ESCAPE_BASE64, err);
    }
    return status == EG_OK && eg_rewrite_has_cookies(service) ? write_cookies(f, err) : status;
}
