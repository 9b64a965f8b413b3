/* target.c - the four forms of a request-target (RFC 9112 section 3.2).
 *
 * It splits and checks, and borrows path and query from the text; the canonical path is path.c's
 * work. Visible ASCII is the outer limit for every form, so that whatever passes can stand in a
 * request line again. */
#include "base/uri.h"

static const char layer[] = "target";

enum { HTTP_PORT = 80 };

static enum eg_status bad(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_BAD_TARGET, layer, 0, "%s", why);
}

static bool is_hex(char c)
{
    c = eg_lower(c);
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Bytes that no form may have, and escapes that are none. NULL when fine. */
static const char *byte_fault(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= 0x20 || c == 0x7f)
            return "the request-target has a blank or control byte";
        if (c > 0x7f)
            return "the request-target has a byte outside ASCII";
        if (c == '#')
            return "the request-target has a fragment";
        if (c == '%' && (text.n - i < 3 || !is_hex(text.p[i + 1]) || !is_hex(text.p[i + 2])))
            return "the request-target has an invalid percent escape";
    }
    return NULL;
}

static void split_query(struct eg_slice text, struct eg_target *t)
{
    long mark = eg_slice_index(text, '?');
    t->has_query = mark >= 0;
    t->path = mark < 0 ? text : eg_slice(text.p, (size_t)mark);
    if (mark >= 0)
        t->query = eg_slice(text.p + mark + 1, text.n - (size_t)mark - 1);
    if (t->path.n == 0)
        t->path = EG_SLICE("/");
}

/* The first byte of path or query behind the authority, or the end. */
static size_t authority_span(struct eg_slice text)
{
    size_t n = 0;
    while (n < text.n && text.p[n] != '/' && text.p[n] != '?')
        n++;
    return n;
}

static enum eg_status parse_absolute(struct eg_slice text, struct eg_target *t, struct eg_err *err)
{
    if (eg_slice_casestarts(text, EG_SLICE("https://")))
        return bad(err, "https is reached with CONNECT, not with an absolute-form target");
    if (!eg_slice_casestarts(text, EG_SLICE("http://")))
        return bad(err, "the request-target has no form that is known here");
    struct eg_slice rest = eg_slice(text.p + 7, text.n - 7);
    size_t n = authority_span(rest);
    struct eg_slice authority = eg_slice(rest.p, n);
    if (eg_slice_index(authority, '@') >= 0)
        return bad(err, "the request-target has userinfo");
    t->form = EG_TARGET_ABSOLUTE;
    split_query(eg_slice(rest.p + n, rest.n - n), t);
    return eg_authority_parse(authority, HTTP_PORT, &t->authority, err);
}

static enum eg_status parse_connect(struct eg_slice text, struct eg_target *t, struct eg_err *err)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '@')
            return bad(err, "the request-target has userinfo");
        if (text.p[i] == '/' || text.p[i] == '?')
            return bad(err, "CONNECT takes host:port and nothing else");
    }
    t->form = EG_TARGET_AUTHORITY;
    return eg_authority_parse(text, 0, &t->authority, err);
}

enum eg_status eg_target_parse(struct eg_slice text, bool connect, struct eg_target *ret,
                               struct eg_err *err)
{
    struct eg_target t = { 0 };
    enum eg_status st = EG_OK;
    const char *fault = text.n == 0 ? "the request-target is empty" : byte_fault(text);
    if (fault)
        return bad(err, fault);
    if (connect) {
        st = parse_connect(text, &t, err);
    } else if (text.p[0] == '/') {
        t.form = EG_TARGET_ORIGIN;
        split_query(text, &t);
    } else if (eg_slice_eq(text, EG_SLICE("*"))) {
        t.form = EG_TARGET_ASTERISK;
    } else {
        st = parse_absolute(text, &t, err);
    }
    if (st == EG_OK)
        *ret = t;
    return st;
}
