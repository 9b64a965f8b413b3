/* random_policy.c - the structure, made by chance, and small changes of it. Its files are in random_files.c, requests in random_request.c. */
#include "support/random_policy.h"

#include <stdio.h>

#define COUNT(list) ((unsigned)(sizeof(list) / sizeof *(list)))

const char eg_random_own_address[] = "198.200.1.1";

void eg_random_seed(struct eg_random *r, uint64_t seed)
{
    r->state = seed;
}

/* splitmix64. */
uint64_t eg_random_next(struct eg_random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

unsigned eg_random_below(struct eg_random *r, unsigned n)
{
    return (unsigned)(eg_random_next(r) % n);
}

static const char *pick(struct eg_random *r, const char *const *list, unsigned count)
{
    return list[eg_random_below(r, count)];
}

static void copy(char *to, size_t cap, const char *text)
{
    snprintf(to, cap, "%s", text);
}

/* ---- alphabets ---- */

static const char *const names[] = {
    "a.test",   "b.a.test",   "c.b.a.test", "d.test",
    "b.d.test", "xn--a.test", "one",        "metadata.google.internal",
};
enum { SINGLE_FROM = 6 }; /* names from here on make no wildcard */

static const struct range {
    const char *base;
    unsigned bits;
    bool special; /* an untrusted file may not allow it */
} ranges[] = {
    { "8.8.8.8", 32, false },
    { "8.8.8.0", 24, false },
    { "8.0.0.0", 8, false },
    { "2606:4700::1", 128, false },
    { "2606:4700::", 32, false },
    { "9.9.9.9", 32, false },
    { "2606:4700::", 33, false },
    { "8.8.8.8", 31, false },
    { "10.1.2.3", 32, true },
    { "10.0.0.0", 8, true },
    { "127.0.0.1", 32, true },
    { "127.0.0.0", 8, true },
    { "192.168.0.0", 16, true },
    { "169.254.169.254", 32, true },
    { "198.200.1.1", 32, true },
    { "0.0.0.0", 0, true },
    { "::", 0, true },
    { "::1", 128, true },
    { "::ffff:0.0.0.0", 96, true },
    { "::ffff:8.8.8.8", 128, true },
    { "64:ff9b::", 96, true },
    { "64:ff9b:1::", 48, true },
    { "2002::", 16, true },
    { "2001::", 32, true },
    { "::", 96, true },
    { "::ffff:0:0:0", 96, true },
    { "fc00::", 7, true },
    { "2002:808:808::", 48, true },
    { "203.0.113.0", 24, true },
    { "169.254.0.0", 16, true },
};
enum { PUBLIC_RANGES = 8 };

static const uint16_t port_list[] = { 443, 80, 8080, 22 };
static const char *const methods[] = { "GET", "POST", "DELETE", "*", "*" };
static const char *const segments[] = {
    "a",     "b",     "v1",    "*",   "**", "a*",  "*b",  "{a,b}",
    "a{,s}", "a%2Fb", "a%3Bx", "a;x", "A",  "a*b", "%2A", "a%25b",
};

/* ---- parts ---- */

static void make_pattern(struct eg_random *r, struct eg_random_pattern *ret)
{
    size_t n = 0;
    copy(ret->method, sizeof ret->method, pick(r, methods, COUNT(methods)));
    unsigned count = eg_random_below(r, 4);
    copy(ret->path, sizeof ret->path, "/");
    for (unsigned i = 0; i < count; i++)
        n += (size_t)snprintf(ret->path + n, sizeof ret->path - n, "/%s",
                              pick(r, segments, COUNT(segments)));
    if (count > 0 && eg_random_one_in(r, 6))
        snprintf(ret->path + n, sizeof ret->path - n, "/");
}

static unsigned make_patterns(struct eg_random *r, struct eg_random_pattern list[EG_RANDOM_PATHS])
{
    /* the engine has an index for lists that are long */
    unsigned count = 1 + eg_random_below(r, eg_random_one_in(r, 6) ? EG_RANDOM_PATHS : 4);
    for (unsigned i = 0; i < count; i++)
        make_pattern(r, &list[i]);
    return count;
}

static void make_host(struct eg_random *r, bool special, struct eg_random_rule *rule)
{
    unsigned kind = eg_random_below(r, 8);
    if (kind < 2) {
        const struct range *range =
            &ranges[eg_random_below(r, special ? COUNT(ranges) : (unsigned)PUBLIC_RANGES)];
        rule->kind = EG_RANDOM_RANGE;
        copy(rule->host, sizeof rule->host, range->base);
        rule->bits = range->bits;
        return;
    }
    rule->kind = kind < 5 ? EG_RANDOM_BELOW_IT : EG_RANDOM_EXACT;
    rule->bits = 0;
    copy(rule->host, sizeof rule->host,
         pick(r, names, rule->kind == EG_RANDOM_EXACT ? COUNT(names) : (unsigned)SINGLE_FROM));
}

static void make_ports(struct eg_random *r, struct eg_random_rule *rule)
{
    static const uint16_t usual[] = { 0, 443, 80, 0 };
    rule->port_count = 0;
    if (usual[rule->scheme] && !eg_random_one_in(r, 3)) {
        rule->ports[rule->port_count++] = usual[rule->scheme];
    } else if (!eg_random_one_in(r, 5)) {
        rule->port_count = 1 + eg_random_below(r, EG_RANDOM_PORTS);
        for (unsigned i = 0; i < rule->port_count; i++)
            rule->ports[i] = port_list[eg_random_below(r, COUNT(port_list))];
    }
}

/* Scheme and what depends on it. */
static void make_scheme(struct eg_random *r, struct eg_random_rule *rule)
{
    static const enum eg_scheme list[] = { EG_SCHEME_HTTPS, EG_SCHEME_HTTP, EG_SCHEME_TCP,
                                           EG_SCHEME_HTTP };
    rule->scheme = rule->deny ? EG_SCHEME_NONE : list[eg_random_below(r, COUNT(list))];
    rule->sni_optional = rule->scheme == EG_SCHEME_HTTPS && eg_random_one_in(r, 4);
    rule->max_request_body =
        rule->scheme == EG_SCHEME_HTTP && eg_random_one_in(r, 4) ? 1000 + eg_random_below(r, 2) : 0;
    bool sees = rule->deny ? rule->kind != EG_RANDOM_RANGE : rule->scheme == EG_SCHEME_HTTP;
    rule->rule_count = sees && eg_random_one_in(r, 2) ? make_patterns(r, rule->rules) : 0;
    make_ports(r, rule);
}

static void make_rule(struct eg_random *r, const struct eg_random_policy *p,
                      struct eg_random_rule *rule)
{
    rule->deny = eg_random_one_in(r, 4);
    rule->org = eg_random_one_in(r, 3);
    make_host(r, rule->deny || rule->org || p->trusted, rule);
    make_scheme(r, rule);
}

static void make_service(struct eg_random *r, const struct eg_random_policy *p, unsigned index,
                         struct eg_random_service *s)
{
    static const char *const bases[] = { "", "", "/v1", "/a/b" };
    static const char *const literals[] = { "8.8.8.8",  "2606:4700::1", "9.9.9.9",
                                            "10.1.2.3", "127.0.0.1",    "198.200.1.1" };
    s->org = eg_random_one_in(r, 2);
    /* the repository's may stand in for the org layer's, where it is trusted */
    unsigned same =
        p->trusted && !s->org && eg_random_one_in(r, 2) && index > 0 && p->services[0].org ? 0
                                                                                           : index;
    snprintf(s->name, sizeof s->name, "s%u", same);
    s->literal = eg_random_one_in(r, 4);
    copy(s->host, sizeof s->host,
         s->literal ? pick(r, literals, p->trusted || s->org ? COUNT(literals) : 3)
                    : pick(r, names, COUNT(names)));
    s->tls = !eg_random_one_in(r, 3);
    s->port = eg_random_one_in(r, 2) ? (s->tls ? 443 : 80)
                                     : port_list[eg_random_below(r, COUNT(port_list))];
    copy(s->base, sizeof s->base, pick(r, bases, COUNT(bases)));
    s->rule_count = eg_random_one_in(r, 2) ? make_patterns(r, s->rules) : 0;
    s->deny_count = eg_random_one_in(r, 3) ? make_patterns(r, s->denies) : 0;
}

static void make_services(struct eg_random *r, struct eg_random_policy *p)
{
    unsigned count = eg_random_below(r, EG_RANDOM_SERVICES), twice = 0;
    for (p->service_count = 0; p->service_count < count; p->service_count++) {
        struct eg_random_service *s = &p->services[p->service_count];
        make_service(r, p, p->service_count, s);
        if (p->service_count > 0 && strcmp(s->name, p->services[0].name) == 0 && twice++)
            snprintf(s->name, sizeof s->name, "s%u", p->service_count);
    }
}

static void make_network(struct eg_random *r, const struct eg_random_policy *p,
                         struct eg_random_network *n)
{
    const struct range *range = &ranges[eg_random_below(r, COUNT(ranges))];
    n->org = !p->trusted || eg_random_one_in(r, 2);
    copy(n->host, sizeof n->host, range->base);
    n->bits = range->bits;
}

void eg_random_policy(struct eg_random *r, struct eg_random_policy *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->trusted = !eg_random_one_in(r, 3);
    ret->org_mode = eg_random_one_in(r, 8) ? EG_RANDOM_MODE_OBSERVE : EG_RANDOM_MODE_NONE;
    ret->mode = eg_random_one_in(r, 4)                   ? EG_RANDOM_MODE_ENFORCE
                : ret->trusted && eg_random_one_in(r, 6) ? EG_RANDOM_MODE_OBSERVE
                                                         : EG_RANDOM_MODE_NONE;
    ret->allow_metadata = eg_random_one_in(r, 8);
    if (eg_random_one_in(r, 3))
        ret->network_count = 1 + eg_random_below(r, EG_RANDOM_NETWORKS);
    for (unsigned i = 0; i < ret->network_count; i++)
        make_network(r, ret, &ret->networks[i]);
    ret->rule_count = eg_random_below(r, eg_random_one_in(r, 2) ? 4 : EG_RANDOM_RULES);
    for (unsigned i = 0; i < ret->rule_count; i++)
        make_rule(r, ret, &ret->rules[i]);
    make_services(r, ret);
}

/* ---- small changes ---- */

static void mutate_rule(struct eg_random *r, const struct eg_random_policy *p,
                        struct eg_random_rule *rule)
{
    struct eg_random_rule other = *rule;
    switch (eg_random_below(r, 7)) {
    case 0:
        other.deny = !other.deny;
        if (other.deny && other.kind == EG_RANDOM_RANGE)
            other.rule_count = 0;
        if (other.deny)
            other.max_request_body = other.sni_optional = 0;
        other.scheme = other.deny         ? EG_SCHEME_NONE
                       : other.rule_count ? EG_SCHEME_HTTP
                                          : EG_SCHEME_HTTPS;
        if (!other.deny && other.kind == EG_RANDOM_RANGE)
            make_host(r, other.org || p->trusted, &other);
        if (other.deny ? other.kind == EG_RANDOM_RANGE : other.scheme != EG_SCHEME_HTTP)
            other.rule_count = 0;
        break;
    case 1:
        make_ports(r, &other);
        break;
    case 2:
        if (other.kind == EG_RANDOM_EXACT && strchr(other.host, '.') &&
            strncmp(other.host, "meta", 4))
            other.kind = EG_RANDOM_BELOW_IT;
        else if (other.kind == EG_RANDOM_BELOW_IT)
            other.kind = EG_RANDOM_EXACT;
        break;
    case 3:
        make_scheme(r, &other);
        break;
    case 4:
        if (other.rule_count > 0)
            make_pattern(r, &other.rules[eg_random_below(r, other.rule_count)]);
        break;
    case 5:
        if (other.rule_count > 1)
            other.rule_count--;
        break;
    default:
        if (other.org || p->trusted)
            other.org = p->trusted ? !other.org : other.org;
        break;
    }
    *rule = other;
}

static void mutate_service(struct eg_random *r, struct eg_random_service *s)
{
    switch (eg_random_below(r, 4)) {
    case 0:
        s->rule_count = s->rule_count ? 0 : make_patterns(r, s->rules);
        break;
    case 1:
        s->deny_count = s->deny_count ? s->deny_count - 1 : make_patterns(r, s->denies);
        break;
    case 2:
        if (s->rule_count > 0)
            make_pattern(r, &s->rules[eg_random_below(r, s->rule_count)]);
        break;
    default:
        s->port = port_list[eg_random_below(r, COUNT(port_list))];
        break;
    }
}

void eg_random_mutate(struct eg_random *r, struct eg_random_policy *p)
{
    unsigned what = eg_random_below(r, 12);
    unsigned at = p->rule_count ? eg_random_below(r, p->rule_count) : 0;
    if (what == 0 && p->rule_count > 0) {
        p->rules[at] = p->rules[--p->rule_count];
    } else if (what == 1 && p->rule_count < EG_RANDOM_RULES) {
        make_rule(r, p, &p->rules[p->rule_count++]);
    } else if (what == 2 && p->network_count > 0) {
        p->network_count--;
    } else if (what == 3 && p->network_count < EG_RANDOM_NETWORKS) {
        make_network(r, p, &p->networks[p->network_count++]);
    } else if (what == 4 && p->rule_count > 1) { /* words alone: the order */
        struct eg_random_rule other = p->rules[at];
        p->rules[at] = p->rules[0];
        p->rules[0] = other;
    } else if (what <= 6 && p->service_count > 0) {
        mutate_service(r, &p->services[eg_random_below(r, p->service_count)]);
    } else if (what == 7 && eg_random_one_in(r, 3)) {
        p->allow_metadata = !p->allow_metadata;
    } else if (what == 8 && eg_random_one_in(r, 3)) {
        p->org_mode =
            p->org_mode == EG_RANDOM_MODE_OBSERVE ? EG_RANDOM_MODE_NONE : EG_RANDOM_MODE_OBSERVE;
    } else if (p->rule_count > 0) {
        mutate_rule(r, p, &p->rules[at]);
    } else {
        make_rule(r, p, &p->rules[p->rule_count++]);
    }
}
