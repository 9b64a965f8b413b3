/* naive.c - the judgement, point by point as policy.md and man/egress.yaml.5 have it. */
#include "support/naive_parts.h"

#include <ctype.h>
#include <stdio.h>

struct question {
    const struct eg_random_policy *p;
    char host[EG_RANDOM_HOST]; /* lower case, no dot at the end */
    bool literal, request;     /* request: plain HTTP; else a tunnel */
    uint16_t port;
    const char *method;
    char path[2 * EG_RANDOM_PATH]; /* canonical */
    bool unsafe;
    bool opened; /* a literal that an allow rule or a service names */
};

static bool refuse(struct eg_naive_verdict *v, enum eg_status status)
{
    *v = (struct eg_naive_verdict){ .status = status };
    return true;
}

static bool has_port(const struct eg_random_rule *rule, uint16_t port)
{
    for (unsigned i = 0; i < rule->port_count; i++)
        if (rule->ports[i] == port)
            return true;
    return rule->port_count == 0;
}

static bool covers_name(const struct eg_random_rule *rule, const char *host)
{
    size_t n = strlen(host), tail = strlen(rule->host);
    if (rule->kind == EG_RANDOM_EXACT)
        return strcmp(rule->host, host) == 0;
    return rule->kind == EG_RANDOM_BELOW_IT && n > tail + 1 && host[n - tail - 1] == '.' &&
           strcmp(host + n - tail, rule->host) == 0;
}

static bool covers(const struct question *q, const struct eg_random_rule *rule)
{
    if (!q->literal)
        return covers_name(rule, q->host);
    return rule->kind == EG_RANDOM_RANGE && eg_naive_in(rule->host, rule->bits, q->host);
}

/* Deny rules without `rules` on an address, or on what it carries. */
static bool denies_addr(const struct eg_random_policy *p, const char *addr, uint16_t port)
{
    char inside[EG_NAIVE_INSIDE][EG_RANDOM_HOST];
    unsigned n = eg_naive_inside(addr, inside);
    for (unsigned i = 0; i < p->rule_count; i++) {
        const struct eg_random_rule *rule = &p->rules[i];
        if (!rule->deny || rule->kind != EG_RANDOM_RANGE || !has_port(rule, port))
            continue;
        if (eg_naive_in(rule->host, rule->bits, addr))
            return true;
        for (unsigned k = 0; k < n; k++)
            if (eg_naive_in(rule->host, rule->bits, inside[k]))
                return true;
    }
    return false;
}

static bool match_any(const struct eg_random_pattern *list, unsigned count, const char *method,
                      const char *path, bool deny)
{
    for (unsigned i = 0; i < count; i++)
        if (eg_naive_match(&list[i], method, path, deny))
            return true;
    return false;
}

static bool observes(const struct eg_random_policy *p)
{
    if (p->trusted && p->mode != EG_RANDOM_MODE_NONE)
        return p->mode == EG_RANDOM_MODE_OBSERVE;
    return p->org_mode == EG_RANDOM_MODE_OBSERVE;
}

/* Metadata, and deny rules on everything: nothing opens these. */
static bool refused_first(const struct question *q, struct eg_naive_verdict *v)
{
    if (!q->p->allow_metadata &&
        (q->literal ? eg_naive_metadata_addr(q->host) : eg_naive_metadata_name(q->host)))
        return refuse(v, EG_METADATA_DENIED);
    if (q->literal && denies_addr(q->p, q->host, q->port))
        return refuse(v, EG_HOST_DENIED);
    for (unsigned i = 0; i < q->p->rule_count; i++) {
        const struct eg_random_rule *rule = &q->p->rules[i];
        if (rule->deny && rule->rule_count == 0 && covers(q, rule) && has_port(rule, q->port))
            return refuse(v, EG_HOST_DENIED);
    }
    return false;
}

/* Deny rules on some requests: does one speak of this request, or, of a tunnel, is there one at all? */
static bool refused_in_part(const struct question *q, bool seen, struct eg_naive_verdict *v)
{
    for (unsigned i = 0; i < q->p->rule_count; i++) {
        const struct eg_random_rule *rule = &q->p->rules[i];
        if (!rule->deny || rule->rule_count == 0 || !covers(q, rule) || !has_port(rule, q->port))
            continue;
        if (!seen || q->unsafe ||
            match_any(rule->rules, rule->rule_count, q->method, q->path, true))
            return refuse(v, EG_RULE_DENIED);
    }
    return false;
}

/* ---- services ---- */

/* The last one of that name: it replaces those before it. */
static const struct eg_random_service *service_of(const struct eg_random_policy *p,
                                                  const char *name)
{
    const struct eg_random_service *found = NULL;
    for (unsigned i = 0; i < p->service_count; i++)
        if (strcmp(p->services[i].name, name) == 0 && (!found || found->org))
            found = &p->services[i];
    return found;
}

static bool is_in_force(const struct eg_random_policy *p, const struct eg_random_service *s)
{
    return service_of(p, s->name) == s;
}

/* ---- mode: observe ---- */

/* v refuses for want of an allow rule; point 8. */
static void observe(const struct question *q, struct eg_naive_verdict *v)
{
    enum eg_status would = v->status;
    enum eg_scheme scheme = q->request || q->port == 80 ? EG_SCHEME_HTTP
                            : q->port == 443            ? EG_SCHEME_HTTPS
                                                        : EG_SCHEME_TCP;
    if (!observes(q->p))
        return;
    for (unsigned i = 0; i < q->p->service_count; i++) {
        const struct eg_random_service *s = &q->p->services[i];
        if (is_in_force(q->p, s) && s->deny_count > 0 && s->port == q->port &&
            strcmp(s->host, q->host) == 0) {
            refuse(v, EG_RULE_DENIED); /* it would go round the service's deny rules */
            return;
        }
    }
    if ((q->request || scheme != EG_SCHEME_HTTP) && refused_in_part(q, q->request, v))
        return;
    *v = (struct eg_naive_verdict){ .status = EG_OK,
                                    .would_deny = would,
                                    .scheme = scheme,
                                    .sni_optional = scheme == EG_SCHEME_HTTPS };
}

/* ---- allow rules ---- */

/* Point 2: how specific it is, among those that cover one host. */
static unsigned specificity(const struct eg_random_rule *rule)
{
    return rule->kind == EG_RANDOM_EXACT   ? 1000
           : rule->kind == EG_RANDOM_RANGE ? rule->bits
                                           : (unsigned)strlen(rule->host);
}

static bool is_allow(const struct question *q, const struct eg_random_rule *rule)
{
    return !rule->deny && covers(q, rule);
}

/* Point 4: a host with rules never gets an opaque tunnel on those ports. */
static bool is_parsed(const struct question *q)
{
    for (unsigned i = 0; i < q->p->rule_count; i++) {
        const struct eg_random_rule *rule = &q->p->rules[i];
        if (is_allow(q, rule) && rule->rule_count > 0 && has_port(rule, q->port))
            return true;
    }
    return false;
}

static bool may_carry(const struct question *q, const struct eg_random_rule *rule)
{
    if (!is_allow(q, rule) || !has_port(rule, q->port))
        return false;
    if (is_parsed(q))
        return rule->scheme == EG_SCHEME_HTTP;
    return !q->request || rule->scheme != EG_SCHEME_HTTPS;
}

/* Which of two rules on one pattern lets more through? */
static bool lets_more(const struct eg_random_rule *a, const struct eg_random_rule *b)
{
    static const unsigned rank[] = {
        [EG_SCHEME_TCP] = 3, [EG_SCHEME_HTTPS] = 2, [EG_SCHEME_HTTP] = 1
    };
    if (rank[a->scheme] != rank[b->scheme])
        return rank[a->scheme] > rank[b->scheme];
    if (a->sni_optional != b->sni_optional)
        return a->sni_optional;
    if ((a->rule_count == 0) != (b->rule_count == 0))
        return a->rule_count == 0;
    return a->max_request_body - 1 > b->max_request_body - 1; /* 0 is no limit */
}

/* The rule that decides: on the most specific pattern the one that lets most through, of those that say something of this request. */
static const struct eg_random_rule *decider(const struct question *q, bool matching)
{
    const struct eg_random_rule *best = NULL;
    unsigned most = 0;
    for (unsigned i = 0; i < q->p->rule_count; i++)
        if (may_carry(q, &q->p->rules[i]) && specificity(&q->p->rules[i]) > most)
            most = specificity(&q->p->rules[i]);
    for (unsigned i = 0; i < q->p->rule_count; i++) {
        const struct eg_random_rule *rule = &q->p->rules[i];
        if (!may_carry(q, rule) || specificity(rule) < most)
            continue;
        if (matching && rule->rule_count > 0 &&
            (q->unsafe || !match_any(rule->rules, rule->rule_count, q->method, q->path, false)))
            continue;
        if (!best || lets_more(rule, best))
            best = rule;
    }
    return best;
}

static bool is_known(const struct question *q)
{
    for (unsigned i = 0; i < q->p->rule_count; i++)
        if (is_allow(q, &q->p->rules[i]))
            return true;
    return false;
}

static void judge_name(struct question *q, struct eg_naive_verdict *v)
{
    if (refused_first(q, v))
        return;
    const struct eg_random_rule *rule = decider(q, false);
    if (!rule) {
        refuse(v, is_known(q) ? EG_PORT_NOT_ALLOWED : EG_HOST_NOT_ALLOWED);
        observe(q, v);
        return;
    }
    if ((q->request || rule->scheme != EG_SCHEME_HTTP) && refused_in_part(q, q->request, v))
        return;
    q->opened = q->literal;
    rule = q->request ? decider(q, true) : rule;
    if (!rule) {
        refuse(v, EG_RULE_DENIED);
        observe(q, v);
        return;
    }
    *v = (struct eg_naive_verdict){ .status = EG_OK,
                                    .scheme = q->request ? EG_SCHEME_HTTP : rule->scheme,
                                    .sni_optional = rule->sni_optional ||
                                                    (q->literal && rule->scheme == EG_SCHEME_HTTPS),
                                    .max_request_body = rule->max_request_body };
}

static void judge_route(struct question *q, const struct eg_random_service *s, const char *path,
                        struct eg_naive_verdict *v)
{
    bool bad = q->unsafe;
    snprintf(q->path, sizeof q->path, "%s%.*s", s->base, EG_RANDOM_PATH, path);
    if (refused_first(q, v) || refused_in_part(q, true, v))
        return;
    if ((bad && (s->base[0] || s->deny_count > 0)) ||
        match_any(s->denies, s->deny_count, q->method, q->path, true)) {
        refuse(v, EG_RULE_DENIED);
        return;
    }
    *v = (struct eg_naive_verdict){ .status = EG_OK,
                                    .scheme = s->tls ? EG_SCHEME_HTTPS : EG_SCHEME_HTTP };
    q->opened = s->literal;
    if (s->rule_count == 0 ||
        (!bad && match_any(s->rules, s->rule_count, q->method, q->path, false)))
        return;
    if (observes(q->p))
        v->would_deny = EG_RULE_DENIED;
    else
        refuse(v, EG_RULE_DENIED);
}

/* ---- the address ---- */

static bool is_named(const struct eg_random_policy *p, const char *addr, uint16_t port)
{
    for (unsigned i = 0; i < p->rule_count; i++) {
        const struct eg_random_rule *rule = &p->rules[i];
        if (!rule->deny && rule->kind == EG_RANDOM_RANGE && has_port(rule, port) &&
            eg_naive_in(rule->host, rule->bits, addr))
            return true;
    }
    for (unsigned i = 0; i < p->service_count; i++) {
        const struct eg_random_service *s = &p->services[i];
        if (is_in_force(p, s) && s->literal && s->port == port &&
            eg_naive_in(s->host, strchr(s->host, ':') ? 128 : 32, addr))
            return true;
    }
    return false;
}

static void judge_addr(const struct question *q, const char *addr, struct eg_naive_verdict *v)
{
    if (!q->p->allow_metadata && eg_naive_metadata_addr(addr))
        refuse(v, EG_METADATA_DENIED);
    else if (denies_addr(q->p, addr, q->port))
        refuse(v, EG_ADDRESS_DENIED);
    else if (!(q->opened && is_named(q->p, addr, q->port)) && eg_naive_forbidden(q->p, addr))
        refuse(v, EG_ADDRESS_DENIED);
}

/* ---- all of it ---- */

static void read_host(struct question *q, const char *host)
{
    size_t n = strlen(host);
    snprintf(q->host, sizeof q->host, "%s", host);
    q->literal = eg_naive_in(host, 0, host);
    if (n > 0 && host[n - 1] == '.')
        q->host[n - 1] = '\0';
    for (char *c = q->host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
}

bool eg_naive_judge(const struct eg_random_policy *p, const struct eg_random_request *request,
                    struct eg_naive_verdict *ret)
{
    struct question q = { .p = p,
                          .port = request->port,
                          .method = request->method,
                          .request = request->kind == EG_ASK_HTTP };
    const struct eg_random_service *s = NULL;
    char path[EG_RANDOM_PATH];
    *ret = (struct eg_naive_verdict){ .status = EG_BAD_REQUEST };
    if (request->kind == EG_ASK_ROUTE && !(s = service_of(p, request->service)))
        return false;
    if (!eg_naive_path(request->path, path, sizeof path, &q.unsafe))
        return true;
    read_host(&q, s ? s->host : request->host);
    memcpy(q.path, path, sizeof path);
    if (s) {
        q.port = s->port;
        judge_route(&q, s, path, ret);
    } else {
        judge_name(&q, ret);
    }
    const char *addr = request->addr[0] ? request->addr : q.literal ? q.host : NULL;
    if (ret->status == EG_OK && addr)
        judge_addr(&q, addr, ret);
    return true;
}

bool eg_naive_same(const struct eg_random_request *request, const struct eg_naive_verdict *naive,
                   const struct eg_verdict *engine)
{
    if (naive->status != engine->status)
        return false;
    if (naive->status != EG_OK)
        return true;
    return naive->would_deny == engine->would_deny && naive->scheme == engine->scheme &&
           naive->sni_optional == engine->sni_optional &&
           (request->kind != EG_ASK_HTTP || naive->max_request_body == engine->max_request_body);
}
