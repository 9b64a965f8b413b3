/* least.c - the least rule that turns a refusal into an allow, as a line of YAML and where it belongs.
 *
 * What it proposes is exact: one host or address, one port, one scheme, and where requests are seen one method and path, but for a path that
 * no pattern can name exactly. It decides nothing: a
 * test compiles what it proposes and asks again. Where no rule can help, it says what stands in the way. */
#include "policy/explain.h"

#include <stdio.h>

#include "policy/decide.h"
#include "policy/ranges.h"

static enum eg_scheme scheme_of(const struct eg_ask *ask)
{
    if (ask->kind == EG_ASK_HTTP)
        return EG_SCHEME_HTTP;
    if (ask->scheme != EG_SCHEME_NONE)
        return ask->scheme;
    return ask->to.port == 443  ? EG_SCHEME_HTTPS
           : ask->to.port == 80 ? EG_SCHEME_HTTP
                                : EG_SCHEME_TCP;
}

enum { PATTERN_MAX = 1000 };

/* The path as a pattern, also within YAML's double quotes: what can't stand in one as itself becomes a *, which matches it and little more. False: no
 * pattern would do. */
static bool pattern_of(const struct eg_ask *ask, char out[PATTERN_MAX])
{
    size_t n = 0;
    if (ask->flags.unsafe || ask->path.n == 0 || ask->path.n >= PATTERN_MAX)
        return false;
    for (size_t i = 0; i < ask->path.n; i++) {
        bool odd = strchr("*{}\"\\", ask->path.p[i]) != NULL;
        if (!odd)
            out[n++] = ask->path.p[i];
        else if (n == 0 || out[n - 1] != '*') /* ** would be any number of segments */
            out[n++] = '*';
    }
    out[n] = '\0';
    return true;
}

/* The method as a rule has it: one in small letters can only be named by *. */
static struct eg_slice method_of(const struct eg_ask *ask)
{
    bool named = ask->method.n > 0 && ask->method.n <= 32;
    for (size_t i = 0; i < ask->method.n; i++) {
        char c = ask->method.p[i];
        named &= (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
    }
    return named && !eg_slice_eq(ask->method, EG_SLICE("CONNECT")) ? ask->method : EG_SLICE("*");
}

static void allow_line(const struct eg_ask *ask, char *out, size_t cap)
{
    const struct eg_authority *to = &ask->to;
    enum eg_scheme scheme = scheme_of(ask);
    uint16_t usual = scheme == EG_SCHEME_HTTPS ? 443 : scheme == EG_SCHEME_HTTP ? 80 : 0;
    char pattern[PATTERN_MAX];
    bool exact = ask->kind == EG_ASK_HTTP && pattern_of(ask, pattern);
    struct eg_slice method = method_of(ask);
    if (!to->literal && scheme == EG_SCHEME_HTTPS && to->port == usual) {
        snprintf(out, cap, "%s", to->host);
        return;
    }
    size_t n = (size_t)snprintf(out, cap, "{%s: %s%s%s", to->literal ? "address" : "host",
                                to->literal ? "\"" : "", to->host, to->literal ? "\"" : "");
    if (scheme != EG_SCHEME_HTTPS)
        n += (size_t)snprintf(out + n, cap - n, ", scheme: %s",
                              scheme == EG_SCHEME_HTTP ? "http" : "tcp");
    if (to->port != usual)
        n += (size_t)snprintf(out + n, cap - n, ", ports: [%u]", to->port);
    if (exact)
        n += (size_t)snprintf(out + n, cap - n, ", rules: [\"%.*s %s\"]", (int)method.n, method.p,
                              pattern);
    snprintf(out + n, cap - n, "}");
}

static void put_allow(const struct eg_policy *p, const struct eg_ask *ask, struct eg_least *l)
{
    struct eg_slice file = eg_block_file(p);
    allow_line(ask, l->line, sizeof l->line);
    snprintf(l->key, sizeof l->key, "allow");
    snprintf(l->text, sizeof l->text, "add `- %s` to allow in %.*s", l->line, (int)file.n, file.p);
}

static void by_deny(const struct eg_verdict *v, struct eg_least *l)
{
    snprintf(l->text, sizeof l->text, "remove or narrow the deny rule at %.*s; deny beats allow",
             (int)v->rule.n, v->rule.p);
}

/* A deny rule on some requests, which keeps this one, and every tunnel that can't be looked into. */
static bool is_kept(const struct eg_policy *p, const struct eg_ask *ask, struct eg_verdict *v)
{
    struct eg_decide_hits h;
    const struct eg_block_request request = { .method = ask->method, .path = ask->path };
    bool seen = ask->kind == EG_ASK_HTTP;
    const struct eg_question q = {
        .p = p, .port = ask->to.port, .request = seen ? &request : NULL, .flags = ask->flags
    };
    if (!seen && (ask->kind != EG_ASK_TUNNEL || scheme_of(ask) == EG_SCHEME_HTTP))
        return false;
    if (ask->to.literal)
        eg_decide_find_addr(p, &ask->to.addr, eg_decide_full_length(&ask->to.addr), &h);
    else
        eg_decide_find_name(p, eg_authority_host(&ask->to), &h);
    return eg_decide_each_ruled(&q, &h, EG_ACTION_DENY,
                                seen ? eg_decide_take_deny : eg_decide_take_opaque, v);
}

/* Are rules on requests in force there? Then no rule opens a tunnel beside them. */
static bool is_parsed(const struct eg_policy *p, const struct eg_ask *ask)
{
    struct eg_decide_hits h;
    const struct eg_question q = { .p = p, .port = ask->to.port };
    if (ask->to.literal)
        eg_decide_find_addr(p, &ask->to.addr, eg_decide_full_length(&ask->to.addr), &h);
    else
        eg_decide_find_name(p, eg_authority_host(&ask->to), &h);
    return eg_decide_each_ruled(&q, &h, EG_ACTION_ALLOW, eg_decide_take_any, NULL);
}

/* A rule on requests left it out: one more of its kind. */
static void one_more(const struct eg_ask *ask, const struct eg_verdict *v, struct eg_least *ret)
{
    char pattern[PATTERN_MAX];
    if (ask->flags.unsafe) {
        snprintf(ret->text, sizeof ret->text,
                 "no rule can: where rules are in force such a path is refused (%s)",
                 ask->flags.why);
        return;
    }
    if (!pattern_of(ask, pattern)) {
        snprintf(ret->text, sizeof ret->text, "add a pattern for this path to the rules at %.*s",
                 (int)v->rule.n, v->rule.p);
        return;
    }
    snprintf(ret->key, sizeof ret->key, "rules");
    struct eg_slice method = method_of(ask);
    snprintf(ret->line, sizeof ret->line, "\"%.*s %s\"", (int)method.n, method.p,
             pattern);
    snprintf(ret->text, sizeof ret->text, "add %s to the rules at %.*s", ret->line, (int)v->rule.n,
             v->rule.p);
}

/* A base path is what is judged before the route's path: the pattern needs it. */
static void route_rule(const struct eg_policy *p, const struct eg_ask *ask,
                       const struct eg_verdict *v, struct eg_least *ret)
{
    struct eg_service s;
    char path[1100];
    eg_policy_service(p, ask->service, &s);
    int n = snprintf(path, sizeof path, "%.*s%.*s", (int)s.base_path.n, s.base_path.p,
                     (int)ask->path.n, ask->path.p);
    struct eg_ask whole = *ask;
    whole.path = n > 0 && (size_t)n < sizeof path ? eg_slice(path, (size_t)n) : EG_SLICE_NONE;
    one_more(&whole, v, ret);
}

static size_t put_range(const struct eg_policy *p, const struct eg_addr *a, char *out, size_t cap)
{
    char text[EG_ADDR_TEXT];
    struct eg_decide_hits h;
    const struct eg_question q = { .p = p };
    eg_decide_find_addr(p, a, eg_decide_full_length(a), &h);
    if (eg_decide_rule_of(&q, &h, EG_ACTION_NETWORK, true) ||
        (!eg_range_of(a) && !eg_decide_rule_of(&q, &h, EG_ACTION_OWN, true)))
        return 0;
    return (size_t)snprintf(out, cap, "\"%s/%u\"", eg_addr_format(a, text, sizeof text),
                            eg_decide_full_length(a));
}

/* The address, and where that is judged too what it carries. */
static void networks_line(const struct eg_policy *p, const struct eg_addr *a, struct eg_least *l)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    unsigned count = eg_decide_judged_inside(a) ? eg_range_embedded(a, inside) : 0;
    size_t n = put_range(p, a, l->line, sizeof l->line);
    for (unsigned i = 0; i < count; i++) {
        size_t more = put_range(p, &inside[i], l->line + n + 2, sizeof l->line - n - 2);
        if (more > 0 && n > 0)
            memcpy(l->line + n, ", ", 2);
        else if (more > 0)
            memmove(l->line, l->line + 2, more + 1);
        n += more > 0 && n > 0 ? more + 2 : more;
    }
    l->line[n] = '\0';
}

static void address_rule(const struct eg_policy *p, const struct eg_ask *ask,
                         const struct eg_verdict *v, struct eg_least *ret)
{
    struct eg_slice file = eg_block_file(p);
    if (v->rule.n > 0) {
        by_deny(v, ret);
    } else if (ask->to.literal && ask->kind != EG_ASK_ROUTE) {
        put_allow(p, ask, ret);
    } else if (ask->addr) {
        networks_line(p, ask->addr, ret);
        snprintf(ret->key, sizeof ret->key, "networks.allow");
        snprintf(ret->text, sizeof ret->text, "add %s to networks.allow in %.*s", ret->line,
                 (int)file.n, file.p);
    } else {
        snprintf(ret->text, sizeof ret->text, "name its range under networks.allow");
    }
}

/* Is v by a deny rule? Rules on requests are told by their place. */
static bool is_denied(const struct eg_policy *p, const struct eg_verdict *v)
{
    if (v->status == EG_HOST_DENIED)
        return true;
    if (v->status != EG_RULE_DENIED && v->would_deny != EG_RULE_DENIED)
        return false;
    for (uint32_t i = 0; i < p->count[EG_BLOCK_RULES]; i++) {
        const struct eg_block_rule *r = &p->rules[i];
        if (r->action != EG_ACTION_DENY || r->paths.count == 0)
            continue;
        if (eg_slice_eq(eg_block_slice(p, r->rule), v->rule))
            return true;
        for (uint32_t k = 0; k < r->paths.count; k++)
            if (eg_slice_eq(eg_block_slice(p, p->paths[r->paths.first + k].rule), v->rule))
                return true;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SERVICES]; i++) {
        struct eg_block_paths list = p->services[i].denies;
        for (uint32_t k = 0; k < list.count; k++)
            if (eg_slice_eq(eg_block_slice(p, p->paths[list.first + k].rule), v->rule))
                return true;
    }
    return false;
}

/* A service has that very host: its route is less than a rule. */
static void or_by_route(const struct eg_policy *p, const struct eg_ask *ask, struct eg_least *l)
{
    char text[sizeof l->text];
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        eg_policy_service(p, i, &s);
        if (s.internal || !eg_authority_eq(&s.upstream, &ask->to))
            continue;
        snprintf(text, sizeof text, "%s", l->text);
        snprintf(l->text, sizeof l->text,
                 "use the route of the service %.*s; for more than that, %.1500s", (int)s.name.n,
                 s.name.p, text);
        return;
    }
}

void eg_policy_least(const struct eg_policy *p, const struct eg_ask *ask,
                     const struct eg_verdict *v, struct eg_least *ret)
{
    enum eg_status status = v->status == EG_OK ? v->would_deny : v->status;
    struct eg_verdict kept;
    memset(ret, 0, sizeof *ret);
    if (status == EG_OK)
        return;
    if (status == EG_METADATA_DENIED) {
        snprintf(ret->text, sizeof ret->text,
                 "nothing but networks.allow_metadata in /etc/egress/org.yaml lifts this");
    } else if (is_denied(p, v)) {
        by_deny(v, ret);
    } else if (status == EG_ADDRESS_DENIED) {
        address_rule(p, ask, v, ret);
    } else if (status == EG_RULE_DENIED && ask->kind == EG_ASK_ROUTE) {
        route_rule(p, ask, v, ret);
    } else if (status == EG_RULE_DENIED && ask->kind == EG_ASK_HTTP) {
        one_more(ask, v, ret);
    } else if (status == EG_RULE_DENIED) {
        snprintf(ret->text, sizeof ret->text,
                 "ask for it by plain HTTP or by the service's route: %.*s", (int)v->detail.n,
                 v->detail.n ? v->detail.p : "");
    } else if (is_kept(p, ask, &kept)) {
        by_deny(&kept, ret);
        or_by_route(p, ask, ret);
    } else if (ask->kind == EG_ASK_TUNNEL && ask->scheme == EG_SCHEME_HTTPS && is_parsed(p, ask)) {
        snprintf(ret->text, sizeof ret->text,
                 "change the rule at %.*s: TLS would hide requests from its rules",
                 (int)v->rule.n, v->rule.n ? v->rule.p : "");
    } else {
        put_allow(p, ask, ret);
        or_by_route(p, ask, ret);
    }
}
