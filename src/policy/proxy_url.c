/* proxy_url.c - the URL of one proxy, as a policy, the environment or the command line writes it.
 *
 * It refuses, it does not repair, and no message holds a byte of the URL: what stands before an @ is a secret, and what is malformed may be
 * one that was not percent-encoded. */
#include "policy/compile.h"

#include <stdio.h>

enum { URL_MAX = 8192 };
enum { LOGIN_MAX = 255 }; /* RFC 1929: one octet counts the name, one the password */

struct scheme {
    const char *name;
    enum eg_hop_kind kind;
    bool tls;
    uint16_t port;
};

static const struct scheme schemes[] = {
    { "http", EG_HOP_HTTP, false, 80 },          { "https", EG_HOP_HTTP, true, 443 },
    { "socks5", EG_HOP_SOCKS5, false, 1080 },    { "socks5h", EG_HOP_SOCKS5, false, 1080 },
    { "socks5+tls", EG_HOP_SOCKS5, true, 1080 }, { "ssh", EG_HOP_SSH, false, 22 },
};
enum { SCHEMES = sizeof schemes / sizeof *schemes };

static enum eg_status bad(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_INVALID, "policy", 0, "%s", why);
}

static bool is_visible(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || (unsigned char)text.p[i] >= 0x7f)
            return false;
    return true;
}

/* Takes "scheme://" off *rest; a bare host:port is http without a default port. */
static enum eg_status take_scheme(struct eg_slice *rest, struct scheme *ret, struct eg_err *err)
{
    const char *colon = memmem(rest->p, rest->n, "://", 3);
    size_t n = colon ? (size_t)(colon - rest->p) : 0;
    const char *before = "@/?#:[]";
    *ret = (struct scheme){ "http", EG_HOP_HTTP, false, 0 };
    if (!colon)
        return EG_OK;
    for (size_t i = 0; i < n; i++)
        if (strchr(before, rest->p[i])) /* not a scheme: it belongs to what follows */
            return EG_OK;
    for (size_t i = 0; i < SCHEMES; i++)
        if (eg_slice_caseeq(eg_slice(rest->p, n), eg_slice_str(schemes[i].name))) {
            *ret = schemes[i];
            *rest = eg_slice_from(*rest, n + 3);
            return EG_OK;
        }
    return bad(err, "the scheme of a proxy is http, https, socks5, socks5h, socks5+tls or ssh");
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = eg_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes into room. False: a broken escape, or a byte that no name or password may have. */
static bool decode(struct eg_slice text, char *room, struct eg_slice *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            if (text.n - i < 3 || hex(text.p[i + 1]) < 0 || hex(text.p[i + 2]) < 0)
                return false;
            c = (char)(hex(text.p[i + 1]) * 16 + hex(text.p[i + 2]));
            i += 2;
        }
        if ((unsigned char)c < ' ' || c == 0x7f)
            return false;
        room[n++] = c;
    }
    *ret = eg_slice(room, n);
    return true;
}

static bool is_login_name(struct eg_slice user)
{
    for (size_t i = 0; i < user.n; i++) {
        char c = eg_lower(user.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
              (i > 0 && (c == '-' || c == '.' || c == '+' || c == '@'))))
            return false;
    }
    return true;
}

/* What the protocol behind the scheme can carry. NULL: all of it. */
static const char *login_fault(const struct scheme *s, struct eg_slice user,
                               struct eg_slice password)
{
    if (user.n == 0)
        return "the user name before the @ is empty";
    if (s->kind == EG_HOP_HTTP && eg_slice_index(user, ':') >= 0)
        return "a user name with a colon can't be sent to an HTTP proxy";
    if (s->kind == EG_HOP_SOCKS5 && user.n > LOGIN_MAX)
        return "the user name is longer than the 255 bytes that SOCKS5 has room for";
    if (s->kind == EG_HOP_SOCKS5 && password.n > LOGIN_MAX)
        return "the password is longer than the 255 bytes that SOCKS5 has room for";
    if (s->kind != EG_HOP_SSH)
        return NULL;
    if (password.n > 0)
        return "ssh takes keys or an agent, never a password from a URL";
    return is_login_name(user) ? NULL : "a login name is letters, digits and . _ - + @";
}

static enum eg_status take_userinfo(const struct scheme *s, struct eg_slice *rest, char *room,
                                    struct eg_slice *user, struct eg_slice *password,
                                    struct eg_err *err)
{
    long at = eg_slice_index(*rest, '@');
    if (at < 0)
        return EG_OK;
    struct eg_slice info = eg_slice(rest->p, (size_t)at);
    *rest = eg_slice_from(*rest, (size_t)at + 1);
    if (eg_slice_index(*rest, '@') >= 0)
        return bad(err, "an @ in a user name or password is written %40");
    long colon = eg_slice_index(info, ':');
    struct eg_slice name = colon < 0 ? info : eg_slice(info.p, (size_t)colon);
    struct eg_slice secret = colon < 0 ? EG_SLICE_NONE : eg_slice_from(info, (size_t)colon + 1);
    if (!decode(name, room, user))
        return bad(err, "the user name has a broken escape or a control byte");
    if (!decode(secret, room + user->n, password))
        return bad(err, "the password has a broken escape or a control byte");
    const char *fault = login_fault(s, *user, *password);
    return fault ? bad(err, fault) : EG_OK;
}

static enum eg_status parse(struct eg_slice url, char *room, struct eg_hop *hop,
                            struct eg_slice *user, struct eg_slice *password, struct eg_err *err)
{
    struct scheme s;
    struct eg_err why = { 0 };
    struct eg_slice rest = url;
    enum eg_status st = take_scheme(&rest, &s, err);
    if (st != EG_OK)
        return st;
    if (rest.n > 0 && rest.p[rest.n - 1] == '/')
        rest.n--;
    for (size_t i = 0; i < rest.n; i++)
        if (strchr("/?#", rest.p[i]))
            return bad(err, memchr(rest.p, '@', rest.n)
                                ? "a proxy has no path, query or fragment; in a user name or "
                                  "password / ? and # are written %2F %3F %23"
                                : "a proxy has no path, query or fragment");
    st = take_userinfo(&s, &rest, room, user, password, err);
    if (st != EG_OK)
        return st;
    if (rest.n == 0)
        return bad(err, "the host of the proxy is missing");
    if (eg_authority_parse(rest, s.port, &hop->at, &why) != EG_OK)
        return bad(err, why.text[0] ? why.text : "this is no host and port");
    hop->kind = s.kind;
    hop->tls = s.tls;
    return EG_OK;
}

enum eg_status eg_proxy_url_parse(struct eg_slice url, char *room, struct eg_hop *ret,
                                  struct eg_slice *user, struct eg_slice *password,
                                  struct eg_err *err)
{
    struct eg_hop hop = { 0 };
    struct eg_slice name = EG_SLICE_NONE, secret = EG_SLICE_NONE;
    if (url.n == 0)
        return bad(err, "the proxy's URL is empty");
    if (url.n > URL_MAX)
        return eg_err_set(err, EG_INVALID, "policy", 0, "the proxy's URL is longer than %d bytes",
                          URL_MAX);
    if (!is_visible(url))
        return bad(err, "the proxy's URL has a blank, a control byte or one that is not ASCII");
    enum eg_status st = parse(url, room, &hop, &name, &secret, err);
    if (st != EG_OK) {
        explicit_bzero(room, url.n);
        return st;
    }
    *ret = hop;
    *user = name;
    *password = secret;
    return EG_OK;
}

char *eg_hop_format(const struct eg_hop *hop, char *out, size_t cap)
{
    static const char *const names[][2] = { [EG_HOP_HTTP] = { "http", "https" },
                                            [EG_HOP_SOCKS5] = { "socks5", "socks5+tls" },
                                            [EG_HOP_SSH] = { "ssh", "ssh" } };
    char at[EG_AUTHORITY_TEXT];
    snprintf(out, cap, "%s://%s", names[hop->kind][hop->tls],
             eg_authority_format(&hop->at, 0, at, sizeof at));
    return out;
}
