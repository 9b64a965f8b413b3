/* inquiry.c - from text to the questions of policy/explain.h. It judges nothing. */
#include "policy/inquiry.h"

#include <stdio.h>

enum { PATH_MAX_BYTES = 16384, PATH_SHOWN = 200 };

static enum eg_status take_path(struct eg_inquiry *q, struct eg_slice path, struct eg_err *err)
{
    eg_buf_init(&q->path, PATH_MAX_BYTES);
    return eg_path_canon(path, &q->path, &q->flags, err);
}

bool eg_inquiry_is_url(struct eg_slice text)
{
    return eg_slice_starts(text, EG_SLICE("https://")) ||
           eg_slice_starts(text, EG_SLICE("http://"));
}

/* Up to the first of these bytes. */
static size_t until(struct eg_slice text, const char *ends)
{
    size_t n = 0;
    while (n < text.n && !strchr(ends, text.p[n]))
        n++;
    return n;
}

/* eg_target_parse takes http:// alone, and its port: https is given its own. */
enum eg_status eg_inquiry_url(struct eg_inquiry *q, struct eg_slice text, struct eg_err *err)
{
    char url[PATH_MAX_BYTES];
    struct eg_target target;
    if (!eg_inquiry_is_url(text))
        return eg_err_set(err, EG_INVALID, "policy", 0, "this is no http:// or https:// URL");
    q->tls = eg_slice_starts(text, EG_SLICE("https://"));
    q->tunnel = q->tls;
    q->routes = true;
    q->scheme = q->tls ? EG_SCHEME_HTTPS : EG_SCHEME_HTTP;
    struct eg_slice all = eg_slice_from(text, q->tls ? 8 : 7);
    all.n = until(all, "#");
    size_t host = until(all, "/?");
    bool port = memchr(all.n ? all.p : "", ':', host) && all.p[host - 1] != ']';
    int n = snprintf(url, sizeof url, "http://%.*s%s%.*s", (int)host, all.n ? all.p : "",
                     q->tls && !port ? ":443" : "", (int)(all.n - host), all.n ? all.p + host : "");
    if (n < 0 || (size_t)n >= sizeof url)
        return eg_err_set(err, EG_INVALID, "policy", 0, "this URL is too long");
    enum eg_status st = eg_target_parse(eg_slice(url, (size_t)n), false, &target, err);
    if (st != EG_OK)
        return st;
    q->to = target.authority;
    return take_path(q, target.path, err);
}

enum eg_status eg_inquiry_tunnel(struct eg_inquiry *q, struct eg_slice text, uint16_t default_port,
                                 struct eg_err *err)
{
    bool tcp = eg_slice_starts(text, EG_SLICE("tcp://"));
    q->tunnel = true;
    q->tls = true;
    q->scheme = tcp ? EG_SCHEME_TCP : EG_SCHEME_NONE;
    enum eg_status st =
        eg_authority_parse(eg_slice_from(text, tcp ? 6 : 0), tcp ? 0 : default_port, &q->to, err);
    return st == EG_OK ? take_path(q, EG_SLICE("/"), err) : st;
}

enum eg_status eg_inquiry_service(struct eg_inquiry *q, struct eg_slice service,
                                  struct eg_slice path, struct eg_err *err)
{
    q->service = service;
    path.n = until(path, "?#");
    return take_path(q, path, err);
}

void eg_inquiry_done(struct eg_inquiry *q)
{
    eg_buf_done(&q->path);
}

bool eg_inquiry_is_method(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!(text.p[i] >= 'A' && text.p[i] <= 'Z') && text.p[i] != '-')
            return false;
    return text.n > 0 && text.n <= 32;
}

/* ---- ways ---- */

static struct eg_ask ask_of(const struct eg_inquiry *q, enum eg_ask_kind kind)
{
    return (struct eg_ask){ .kind = kind,
                            .to = q->to,
                            .scheme = q->scheme,
                            .method = q->method,
                            .path = eg_buf_slice(&q->path),
                            .flags = q->flags,
                            .addr = q->addr.family ? &q->addr : NULL };
}

static void by_route(const struct eg_inquiry *q, unsigned service, struct eg_slice path,
                     eg_inquire *take, void *ctx)
{
    struct eg_ask ask = ask_of(q, EG_ASK_ROUTE);
    ask.service = service;
    ask.path = path;
    take(ctx, &ask);
}

/* Is the URL at or below the service's upstream? *rest: its path by the route. */
static bool leads_there(const struct eg_inquiry *q, const struct eg_service *s,
                        struct eg_slice *rest)
{
    struct eg_slice path = eg_buf_slice(&q->path);
    if (s->internal || s->tls != q->tls || !eg_authority_eq(&s->upstream, &q->to) ||
        !eg_slice_starts(path, s->base_path))
        return false;
    *rest = eg_slice_from(path, s->base_path.n);
    if (rest->n > 0 && rest->p[0] != '/')
        return false;
    if (rest->n == 0)
        *rest = EG_SLICE("/");
    return true;
}

unsigned eg_policy_inquire(const struct eg_policy *p, const struct eg_inquiry *q, eg_inquire *take,
                           void *ctx)
{
    struct eg_slice rest = eg_buf_slice(&q->path);
    unsigned ways = 0;
    if (q->service.n == 0) {
        const struct eg_ask ask = ask_of(q, q->tunnel ? EG_ASK_TUNNEL : EG_ASK_HTTP);
        take(ctx, &ask);
        ways++;
    }
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        eg_policy_service(p, i, &s);
        bool asked = q->service.n > 0 ? !s.internal && eg_slice_eq(s.name, q->service)
                                      : q->routes && leads_there(q, &s, &rest);
        if (asked)
            by_route(q, i, rest, take, ctx);
        ways += asked;
    }
    return ways;
}

char *eg_policy_way(const struct eg_policy *p, const struct eg_ask *ask, char *out, size_t cap)
{
    char name[EG_AUTHORITY_TEXT];
    struct eg_service s;
    int shown = (int)(ask->path.n < PATH_SHOWN ? ask->path.n : PATH_SHOWN);
    if (ask->kind == EG_ASK_TUNNEL) {
        snprintf(out, cap, "a tunnel to %s", eg_authority_format(&ask->to, 0, name, sizeof name));
    } else if (ask->kind == EG_ASK_HTTP) {
        snprintf(out, cap, "%.*s http://%s%.*s", (int)ask->method.n, ask->method.p,
                 eg_authority_format(&ask->to, 80, name, sizeof name), shown, ask->path.p);
    } else {
        eg_policy_service(p, ask->service, &s);
        snprintf(out, cap, "%.*s by the route of %.*s: /%.*s%.*s", (int)ask->method.n,
                 ask->method.p, (int)s.name.n, s.name.p, (int)s.route.n, s.route.p, shown,
                 ask->path.p);
    }
    return out;
}
