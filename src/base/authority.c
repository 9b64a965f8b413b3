/* authority.c - the one canonical host and port (invariant 4).
 *
 * It works on raw bytes with an explicit length and refuses instead of repairing (security.md T1,
 * T2): a NUL, a '%', an '@' or any byte outside of [A-Za-z0-9._-] ends it. Only three things are
 * changed: ASCII upper case, one trailing dot, and the spelling of an IPv6 address. It never
 * resolves anything and calls no library parser. */
#include "base/uri.h"


enum { LABEL_MAX = 63, PORT_DIGITS = 5 };

static const char layer[] = "authority";

static enum eg_status bad(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_BAD_HOST, layer, 0, "%s", why);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

/* NULL when the label is fine, else the reason. */
static const char *label_fault(struct eg_slice label)
{
    if (label.n == 0)
        return "the host has an empty label";
    if (label.n > LABEL_MAX)
        return "a label of the host is longer than 63 bytes";
    for (size_t i = 0; i < label.n; i++)
        if (!is_label_byte(label.p[i]))
            return "the host has a byte that no host name may have";
    if (label.p[0] == '-' || label.p[label.n - 1] == '-')
        return "a label of the host begins or ends with a hyphen";
    return NULL;
}

/* Would a lenient resolver read a name with this last label as an IPv4 address? (WHATWG URL, "ends
 * in a number") */
static bool is_numeric_label(struct eg_slice label)
{
    if (eg_slice_casestarts(label, EG_SLICE("0x")))
        return true;
    for (size_t i = 0; i < label.n; i++)
        if (!is_digit(label.p[i]))
            return false;
    return true;
}

static void set_literal(struct eg_authority *a, const struct eg_addr *addr)
{
    a->literal = true;
    a->addr = *addr;
    eg_addr_format(addr, a->host, sizeof a->host);
    a->host_len = (uint8_t)strlen(a->host);
}

static enum eg_status parse_bracketed(struct eg_slice text, struct eg_authority *ret,
                                      struct eg_err *err)
{
    struct eg_addr addr;
    struct eg_slice inside = eg_slice(text.p + 1, text.n - 2);
    if (eg_slice_index(inside, '%') >= 0)
        return bad(err, "zone identifiers are not accepted");
    if (!eg_addr_parse(inside, &addr) || addr.family != 6)
        return bad(err, "brackets may hold an IPv6 address only");
    set_literal(ret, &addr);
    return EG_OK;
}

/* Checks every label; *last is the last one. */
static const char *name_fault(struct eg_slice name, struct eg_slice *last)
{
    struct eg_slice rest = name;
    for (;;) {
        long dot = eg_slice_index(rest, '.');
        struct eg_slice label = dot < 0 ? rest : eg_slice(rest.p, (size_t)dot);
        const char *fault = label_fault(label);
        if (fault)
            return fault;
        if (dot < 0) {
            *last = label;
            return NULL;
        }
        /* not eg_slice_from: an empty rest is an empty label */
        rest = eg_slice(rest.p + dot + 1, rest.n - (size_t)dot - 1);
    }
}

static enum eg_status parse_name(struct eg_slice text, struct eg_authority *ret, struct eg_err *err)
{
    struct eg_slice last;
    struct eg_slice name = text;
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n > EG_HOST_MAX)
        return bad(err, "the host is longer than 253 bytes");
    const char *fault = name_fault(name, &last);
    if (fault)
        return bad(err, fault);
    if (is_numeric_label(last)) {
        struct eg_addr addr;
        if (name.n != text.n || !eg_addr_parse(name, &addr) || addr.family != 4)
            return bad(err, "a numeric host must be a canonical dotted quad");
        set_literal(ret, &addr);
        return EG_OK;
    }
    for (size_t i = 0; i < name.n; i++)
        ret->host[i] = eg_lower(name.p[i]);
    ret->host_len = (uint8_t)name.n;
    return EG_OK;
}

enum eg_status eg_host_parse(struct eg_slice text, struct eg_authority *ret, struct eg_err *err)
{
    struct eg_authority a = { 0 };
    enum eg_status st;
    if (text.n == 0)
        return bad(err, "the host is empty");
    if (text.p[0] == '[') {
        if (text.n < 2 || text.p[text.n - 1] != ']')
            return bad(err, "a bracket is not closed");
        st = parse_bracketed(text, &a, err);
    } else if (eg_slice_index(text, ':') >= 0) {
        return bad(err, "a colon stands in the host; an IPv6 address needs brackets");
    } else {
        st = parse_name(text, &a, err);
    }
    if (st == EG_OK)
        *ret = a;
    return st;
}

/* 1..65535, digits only, no leading zero. */
static bool parse_port(struct eg_slice text, uint16_t *ret)
{
    unsigned long long port;
    if (text.n > PORT_DIGITS || !eg_slice_u64(text, &port))
        return false;
    if (text.p[0] == '0' || port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    return true;
}

/* The length of the host part: up to the bracket that closes it, or up to the first colon. */
static size_t host_span(struct eg_slice text)
{
    bool bracket = text.n && text.p[0] == '[';
    long at = eg_slice_index(text, bracket ? ']' : ':');
    if (at < 0)
        return text.n;
    return bracket ? (size_t)at + 1 : (size_t)at;
}

enum eg_status eg_authority_parse(struct eg_slice text, uint16_t default_port,
                                  struct eg_authority *ret, struct eg_err *err)
{
    struct eg_authority a;
    uint16_t port = default_port;
    size_t n = host_span(text);
    struct eg_slice rest = eg_slice_from(text, n);
    if (rest.n && rest.p[0] == ':' && text.p[0] != '[' &&
        eg_slice_index(eg_slice_from(rest, 1), ':') >= 0)
        return bad(err, "more than one colon; an IPv6 address needs brackets");
    enum eg_status st = eg_host_parse(eg_slice(text.p, n), &a, err);
    if (st != EG_OK)
        return st;
    if (rest.n && rest.p[0] != ':')
        return bad(err, "only a port may follow the closing bracket");
    if (rest.n && !parse_port(eg_slice_from(rest, 1), &port))
        return bad(err, "the port is not a number from 1 to 65535");
    if (port == 0)
        return bad(err, "the port is missing");
    a.port = port;
    a.port_given = rest.n > 0;
    *ret = a;
    return EG_OK;
}

void eg_authority_from_addr(const struct eg_addr *addr, uint16_t port, struct eg_authority *ret)
{
    struct eg_authority a = { .port = port, .port_given = true };
    set_literal(&a, addr);
    *ret = a;
}

char *eg_authority_format(const struct eg_authority *a, uint16_t omit_port, char *out, size_t cap)
{
    char text[EG_AUTHORITY_TEXT + 2];
    size_t n = 0;
    bool v6 = a->literal && a->addr.family == 6;
    if (cap == 0)
        return out;
    if (v6)
        text[n++] = '[';
    memcpy(text + n, a->host, a->host_len);
    n += a->host_len;
    if (v6)
        text[n++] = ']';
    if (omit_port == 0 || omit_port != a->port) {
        text[n++] = ':';
        n += eg_decimal(a->port, text + n);
    }
    n = n < cap ? n : cap - 1;
    memcpy(out, text, n);
    out[n] = '\0';
    return out;
}

bool eg_authority_eq(const struct eg_authority *a, const struct eg_authority *b)
{
    return a->port == b->port && a->literal == b->literal &&
           eg_slice_eq(eg_authority_host(a), eg_authority_host(b));
}
