/* decide.c - the pure questions: may this name, request, route, address be reached?
 *
 * It allocates nothing, looks at nothing but the block and the question, and finds rules by hash: one look-up for the exact name, one for each
 * length of wildcard that exists, one for each length of prefix that exists. Deny beats allow whatever is more specific;
 * among allow rules the most specific pattern decides, and on one pattern the rule that lets more through. */
#include "policy/block.h"
#include "policy/ranges.h"

enum { MAX_HITS = 130 };

/* Targets that cover the question, the most specific first. */
struct hits {
    const struct eg_block_target *list[MAX_HITS];
    unsigned count;
};

struct question {
    const struct eg_policy *p;
    uint16_t port;
    bool http;   /* a request that is parsed, rather than a tunnel */
    bool parsed; /* rules on requests are in force for the host: only scheme http may carry them */
    const struct eg_block_request *request; /* NULL: a tunnel */
    struct eg_path_flags flags;
};

static const struct eg_block_target *find(const struct eg_policy *p, enum eg_pattern_kind kind,
                                          struct eg_slice key)
{
    uint32_t mask = p->count[EG_BLOCK_SLOTS_HASH] - 1;
    uint64_t at = eg_block_hash(p->head->hash_key, kind, key);
    for (uint32_t slot; (slot = p->hash[at & mask]) != 0; at++) {
        const struct eg_block_target *t = &p->targets[slot - 1];
        if (t->kind == (uint32_t)kind && eg_slice_eq(eg_block_slice(p, t->key), key))
            return t;
    }
    return NULL;
}

static void add_hit(struct hits *h, const struct eg_block_target *t)
{
    if (t && h->count < MAX_HITS)
        h->list[h->count++] = t;
}

/* Patterns "*." above the name; the name itself too when it stands for a pattern. */
static void find_below(const struct eg_policy *p, struct eg_slice host, bool self, struct hits *h)
{
    unsigned labels = 1;
    for (size_t i = 0; i < host.n; i++)
        labels += host.p[i] == '.';
    for (size_t start = 0; start < host.n && labels < 128; labels--) {
        if ((start > 0 || self) && eg_block_bit(p->head->below_labels, labels))
            add_hit(h, find(p, EG_PATTERN_BELOW, eg_slice_from(host, start)));
        while (start < host.n && host.p[start] != '.')
            start++;
        start++;
    }
}

static void find_name(const struct eg_policy *p, struct eg_slice host, struct hits *h)
{
    h->count = 0;
    add_hit(h, find(p, EG_PATTERN_EXACT, host));
    find_below(p, host, false, h);
}

static void find_addr(const struct eg_policy *p, const struct eg_addr *a, unsigned longest,
                      struct hits *h)
{
    unsigned char key[EG_BLOCK_PREFIX_KEY];
    const uint8_t *bits = a->family == 4 ? p->head->prefixes4 : p->head->prefixes6;
    h->count = 0;
    for (int n = (int)longest; n >= 0; n--) {
        if (!eg_block_bit(bits, (unsigned)n))
            continue;
        eg_block_prefix_key(a, (uint8_t)n, key);
        add_hit(h, find(p, EG_PATTERN_PREFIX, eg_slice(key, sizeof key)));
    }
}

static unsigned full_length(const struct eg_addr *a)
{
    return a->family == 4 ? 32 : 128;
}

static bool has_port(const struct eg_policy *p, const struct eg_block_rule *r, uint16_t port)
{
    for (uint32_t i = 0; i < r->ports.count; i++)
        if (p->ports[r->ports.first + i] == port)
            return true;
    return r->ports.count == 0;
}

/* tcp carries anything, so also a request that is parsed on the way. */
static bool carries(const struct question *q, const struct eg_block_rule *r)
{
    if (q->parsed)
        return r->scheme == EG_SCHEME_HTTP;
    return !q->http || r->scheme == EG_SCHEME_HTTP || r->scheme == EG_SCHEME_TCP;
}

/* The first rule of that action on a port among the hits; any port where `port` is 0. Deny rules on some requests are another question. */
static const struct eg_block_rule *rule_of(const struct question *q, const struct hits *h,
                                           enum eg_action action, bool any_port)
{
    for (unsigned i = 0; i < h->count; i++) {
        struct eg_block_range range = h->list[i]->rules;
        for (uint32_t k = 0; k < range.count; k++) {
            const struct eg_block_rule *r = &q->p->rules[range.first + k];
            if (r->action != (uint8_t)action ||
                (action == EG_ACTION_DENY && r->paths.count > 0))
                continue;
            if (any_port ||
                (has_port(q->p, r, q->port) && (action != EG_ACTION_ALLOW || carries(q, r))))
                return r;
        }
    }
    return NULL;
}

static void refuse(struct eg_verdict *v, enum eg_status status, struct eg_slice rule,
                   struct eg_slice detail)
{
    *v = (struct eg_verdict){ .status = status, .rule = rule, .detail = detail };
}

static void refuse_by(const struct eg_policy *p, const struct eg_block_rule *r,
                      enum eg_status status, struct eg_verdict *v)
{
    struct eg_slice why = eg_block_slice(p, r->why);
    refuse(v, status, eg_block_slice(p, r->rule),
           why.n ? why : EG_SLICE("a deny rule names it; deny beats allow"));
}

static void allow_by(const struct question *q, const struct eg_block_rule *r, bool opened,
                     struct eg_verdict *v)
{
    *v = (struct eg_verdict){ .status = EG_OK,
                              .scheme = q->http ? EG_SCHEME_HTTP : (enum eg_scheme)r->scheme,
                              .sni_optional = r->sni_optional != 0,
                              .opened = opened,
                              .rule = eg_block_slice(q->p, r->rule),
                              .max_request_body = r->max_request_body };
}

/* A host that is known, but not on this port or not for this kind of traffic. */
static bool refuse_port(const struct question *q, const struct hits *h, struct eg_verdict *v)
{
    for (unsigned i = 0; i < h->count; i++) {
        const struct eg_block_target *t = h->list[i];
        if (t->allowed.length == 0)
            continue;
        struct hits one = { { t }, 1 };
        const struct eg_block_rule *r = rule_of(q, &one, EG_ACTION_ALLOW, true);
        if (!r)
            continue;
        refuse(v, EG_PORT_NOT_ALLOWED, eg_block_slice(q->p, r->rule),
               eg_block_slice(q->p, t->allowed));
        return true;
    }
    return false;
}

static void refuse_name(const struct question *q, const struct eg_authority *to,
                        const struct hits *h, struct eg_verdict *v)
{
    const struct eg_block_rule *service = rule_of(q, h, EG_ACTION_SERVICE, true);
    struct eg_slice detail = eg_block_slice(q->p, q->p->head->settings.file);
    struct eg_slice host = eg_authority_host(to);
    if (service && service->why.length > 0) /* a token endpoint has no hint for a child */
        detail = eg_block_slice(q->p, service->why);
    else if (to->literal)
        detail = EG_SLICE("an address is allowed by an address: or cidr: rule alone");
    else if (find(q->p, EG_PATTERN_BELOW, host))
        detail = EG_SLICE("a wildcard names what is below this host, not the host itself");
    refuse(v, EG_HOST_NOT_ALLOWED, EG_SLICE_NONE, detail);
}

/* Deny rules on an address or on an IPv4 address that it carries. */
static const struct eg_block_rule *denied_addr(const struct question *q, const struct eg_addr *a)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    struct hits h;
    find_addr(q->p, a, full_length(a), &h);
    const struct eg_block_rule *r = rule_of(q, &h, EG_ACTION_DENY, false);
    unsigned n = r ? 0 : eg_range_embedded(a, inside);
    for (unsigned i = 0; i < n && !r; i++) {
        find_addr(q->p, &inside[i], 32, &h);
        r = rule_of(q, &h, EG_ACTION_DENY, false);
    }
    return r;
}

static bool is_metadata(const struct eg_policy *p, const struct eg_authority *to)
{
    if (p->head->settings.allow_metadata)
        return false;
    return to->literal ? eg_metadata_addr(&to->addr) : eg_metadata_name(eg_authority_host(to));
}

/* What no allow rule and no service can open. True: refused. */
static bool refuse_first(const struct question *q, const struct eg_authority *to,
                         const struct hits *h, struct eg_verdict *v)
{
    if (is_metadata(q->p, to)) {
        refuse(v, EG_METADATA_DENIED, EG_SLICE_NONE,
               EG_SLICE("a cloud's metadata service hands out credentials"));
        return true;
    }
    const struct eg_block_rule *deny = rule_of(q, h, EG_ACTION_DENY, false);
    if (!deny && to->literal)
        deny = denied_addr(q, &to->addr);
    if (deny)
        refuse_by(q->p, deny, EG_HOST_DENIED, v);
    return deny != NULL;
}

/* ---- rules on requests ---- */

/* Calls back for every rule of that action that is on some requests, on this port. True: the callback wants no more. */
static bool each_ruled(const struct question *q, const struct hits *h, enum eg_action action,
                       bool (*take)(const struct question *, const struct eg_block_rule *,
                                    struct eg_verdict *),
                       struct eg_verdict *v)
{
    for (unsigned i = 0; i < h->count; i++)
        for (uint32_t k = 0; k < h->list[i]->rules.count; k++) {
            const struct eg_block_rule *r = &q->p->rules[h->list[i]->rules.first + k];
            if (r->action == (uint8_t)action && r->paths.count > 0 &&
                has_port(q->p, r, q->port) && take(q, r, v))
                return true;
        }
    return false;
}

static bool take_any(const struct question *q, const struct eg_block_rule *r, struct eg_verdict *v)
{
    (void)q;
    (void)r;
    (void)v;
    return true;
}

/* Nobody can say which rule an odd path falls under. */
static bool refuse_unsafe(const struct question *q, struct eg_slice rule, struct eg_verdict *v)
{
    if (!q->flags.unsafe)
        return false;
    refuse(v, EG_RULE_DENIED, rule,
           q->flags.why ? eg_slice_str(q->flags.why) : EG_SLICE("the path is ambiguous"));
    return true;
}

static void refuse_path(const struct question *q, const struct eg_block_path *path,
                        struct eg_verdict *v)
{
    refuse(v, EG_RULE_DENIED, eg_block_slice(q->p, path->rule), eg_block_slice(q->p, path->detail));
}

/* A deny rule on some requests: is this one of them? */
static bool take_deny(const struct question *q, const struct eg_block_rule *r, struct eg_verdict *v)
{
    if (refuse_unsafe(q, eg_block_slice(q->p, r->rule), v))
        return true;
    const struct eg_block_path *path = eg_block_path_find(q->p, r->paths, q->request, true);
    if (path)
        refuse_path(q, path, v);
    return path != NULL;
}

/* A tunnel would carry the requests that the rule denies. */
static bool take_opaque(const struct question *q, const struct eg_block_rule *r,
                        struct eg_verdict *v)
{
    refuse(v, EG_RULE_DENIED, eg_block_slice(q->p, r->rule),
           EG_SLICE("a deny rule on some requests to it, which can't be seen in a tunnel"));
    return true;
}

/* The target whose rules have the word, which `first` is among. */
static struct eg_block_range rules_beside(const struct question *q, const struct hits *h,
                                          const struct eg_block_rule *first)
{
    uint32_t index = (uint32_t)(first - q->p->rules);
    for (unsigned i = 0; i < h->count; i++) {
        struct eg_block_range range = h->list[i]->rules;
        if (index >= range.first && index - range.first < range.count)
            return range;
    }
    return (struct eg_block_range){ index, 1 };
}

/* The request against all rules on the pattern that decides; those without paths stand first and let it through. */
static void judge_paths(const struct question *q, const struct hits *h,
                        const struct eg_block_rule *first, bool opened, struct eg_verdict *v)
{
    struct eg_block_range range = rules_beside(q, h, first);
    const struct eg_block_path *closest = NULL;
    if (first->paths.count > 0 && refuse_unsafe(q, eg_block_slice(q->p, first->rule), v))
        return;
    for (uint32_t k = 0; k < range.count; k++) {
        const struct eg_block_rule *r = &q->p->rules[range.first + k];
        if (r->action != EG_ACTION_ALLOW || !has_port(q->p, r, q->port) || !carries(q, r))
            continue;
        if (r->paths.count == 0 || eg_block_path_find(q->p, r->paths, q->request, false)) {
            allow_by(q, r, opened, v);
            return;
        }
        if (!closest)
            closest = eg_block_path_closest(q->p, r->paths, q->request);
    }
    if (closest)
        refuse_path(q, closest, v);
    else
        refuse(v, EG_RULE_DENIED, eg_block_slice(q->p, first->rule), EG_SLICE("no rule allows it"));
}

static void judge(struct question *q, const struct eg_authority *to, struct eg_verdict *v)
{
    struct hits h;
    if (to->literal)
        find_addr(q->p, &to->addr, full_length(&to->addr), &h);
    else
        find_name(q->p, eg_authority_host(to), &h);
    if (refuse_first(q, to, &h, v))
        return;
    q->parsed = each_ruled(q, &h, EG_ACTION_ALLOW, take_any, v);
    const struct eg_block_rule *allow = rule_of(q, &h, EG_ACTION_ALLOW, false);
    if (!allow && !refuse_port(q, &h, v))
        refuse_name(q, to, &h, v);
    if (!allow)
        return;
    if (q->request ? each_ruled(q, &h, EG_ACTION_DENY, take_deny, v)
                   : allow->scheme != EG_SCHEME_HTTP &&
                         each_ruled(q, &h, EG_ACTION_DENY, take_opaque, v))
        return;
    if (q->request)
        judge_paths(q, &h, allow, to->literal, v);
    else
        allow_by(q, allow, to->literal, v);
}

void eg_policy_judge_tunnel(const struct eg_policy *p, const struct eg_authority *to,
                            struct eg_verdict *ret)
{
    struct question q = { .p = p, .port = to->port };
    judge(&q, to, ret);
}

void eg_policy_judge_http(const struct eg_policy *p, const struct eg_authority *to,
                          struct eg_slice method, struct eg_slice path, struct eg_path_flags flags,
                          struct eg_verdict *ret)
{
    const struct eg_block_request request = { .method = method, .path = path };
    struct question q = {
        .p = p, .port = to->port, .http = true, .request = &request, .flags = flags
    };
    judge(&q, to, ret);
}

/* What the service's own rules say. The base path is one: an origin could climb out of it. */
static bool refuse_request(const struct question *q, const struct eg_block_service *s,
                           struct eg_verdict *v)
{
    bool ruled = s->base_path.length > 0 || s->rules.count > 0 || s->denies.count > 0;
    if (ruled && refuse_unsafe(q, eg_block_slice(q->p, s->rule), v))
        return true;
    const struct eg_block_path *path = eg_block_path_find(q->p, s->denies, q->request, true);
    if (!path && s->rules.count > 0 && !eg_block_path_find(q->p, s->rules, q->request, false))
        path = eg_block_path_closest(q->p, s->rules, q->request);
    if (path)
        refuse_path(q, path, v);
    return path != NULL;
}

void eg_policy_judge_route(const struct eg_policy *p, unsigned service, struct eg_slice method,
                           struct eg_slice path, struct eg_path_flags flags, struct eg_verdict *ret)
{
    struct eg_service s;
    struct hits h;
    eg_policy_service(p, service, &s);
    const struct eg_block_request request = { method, s.base_path, path };
    const struct question q = {
        .p = p, .port = s.upstream.port, .request = &request, .flags = flags
    };
    if (s.upstream.literal)
        find_addr(p, &s.upstream.addr, full_length(&s.upstream.addr), &h);
    else
        find_name(p, eg_authority_host(&s.upstream), &h);
    if (refuse_first(&q, &s.upstream, &h, ret))
        return;
    if (each_ruled(&q, &h, EG_ACTION_DENY, take_deny, ret) ||
        refuse_request(&q, &p->services[service], ret))
        return;
    *ret = (struct eg_verdict){ .status = EG_OK,
                                .scheme = s.tls ? EG_SCHEME_HTTPS : EG_SCHEME_HTTP,
                                .opened = s.upstream.literal,
                                .rule = s.rule };
}

/* ---- addresses ---- */

static bool is_opened(const struct question *q, const struct eg_addr *a)
{
    struct hits h;
    find_addr(q->p, a, full_length(a), &h);
    const struct question tunnel = { .p = q->p, .port = q->port };
    return rule_of(&tunnel, &h, EG_ACTION_ALLOW, false) ||
           rule_of(&tunnel, &h, EG_ACTION_SERVICE, false);
}

/* The text of what is wrong with the address itself, or the empty slice. */
static struct eg_slice range_fault(const struct question *q, const struct eg_addr *a)
{
    struct hits h;
    const struct eg_range *range = eg_range_of(a);
    find_addr(q->p, a, full_length(a), &h);
    bool network = rule_of(q, &h, EG_ACTION_NETWORK, true) != NULL;
    if (!network && rule_of(q, &h, EG_ACTION_OWN, true))
        return EG_SLICE("an address of this machine; networks.allow can open it");
    return range && !network ? eg_slice_str(range->text) : EG_SLICE_NONE;
}

/* Do packets to this form end at the IPv4 address it embeds? Then that one is judged too. 64:ff9b:1::/48 and Teredo are opened as
 * they are: where they lead is their translator's or relay's configuration. */
static bool is_judged_inside(const struct eg_addr *a)
{
    const struct eg_range *range = eg_range_of(a);
    bool local_nat64 = a->family == 6 && a->b[1] == 0x64 && a->b[2] == 0xff && a->b[5] == 1;
    bool teredo = a->family == 6 && a->b[0] == 0x20 && a->b[1] == 0x01;
    return !range || (!local_nat64 && !teredo);
}

static struct eg_slice address_fault(const struct question *q, const struct eg_addr *a)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    struct eg_slice fault = range_fault(q, a);
    unsigned n = fault.n || !is_judged_inside(a) ? 0 : eg_range_embedded(a, inside);
    for (unsigned i = 0; i < n && fault.n == 0; i++)
        fault = range_fault(q, &inside[i]);
    return fault;
}

void eg_policy_judge_address(const struct eg_policy *p, const struct eg_verdict *by_name,
                             const struct eg_addr *addr, uint16_t port, struct eg_verdict *ret)
{
    const struct question q = { .p = p, .port = port };
    if (addr->family != 4 && addr->family != 6) {
        refuse(ret, EG_ADDRESS_DENIED, EG_SLICE_NONE, EG_SLICE("this is no address"));
        return;
    }
    if (!p->head->settings.allow_metadata && eg_metadata_addr(addr)) {
        refuse(ret, EG_METADATA_DENIED, EG_SLICE_NONE,
               EG_SLICE("the name leads to a cloud's metadata service"));
        return;
    }
    const struct eg_block_rule *deny = denied_addr(&q, addr);
    if (deny) {
        refuse_by(p, deny, EG_ADDRESS_DENIED, ret);
        return;
    }
    if (!(by_name->opened && is_opened(&q, addr))) {
        struct eg_slice fault = address_fault(&q, addr);
        if (fault.n) {
            refuse(ret, EG_ADDRESS_DENIED, EG_SLICE_NONE, fault);
            return;
        }
    }
    *ret = *by_name;
    ret->status = EG_OK;
}

/* ---- for check ---- */

/* Are all of these ports (0: any) among the rule's? */
static bool covers_ports(const struct eg_policy *p, const struct eg_block_rule *r,
                         const uint16_t *ports, unsigned count)
{
    if (r->ports.count == 0)
        return true;
    for (unsigned i = 0; i < count; i++)
        if (!has_port(p, r, ports[i]))
            return false;
    return count > 0;
}

struct eg_slice eg_policy_covered(const struct eg_policy *p, const struct eg_pattern *to,
                                  const uint16_t *ports, unsigned count, bool opaque)
{
    struct hits h = { { NULL }, 0 };
    if (to->kind == EG_PATTERN_PREFIX)
        find_addr(p, &to->addr, to->bits, &h);
    else if (to->kind == EG_PATTERN_EXACT)
        find_name(p, to->host, &h);
    else
        find_below(p, to->host, true, &h);
    for (unsigned i = 0; i < h.count; i++)
        for (uint32_t k = 0; k < h.list[i]->rules.count; k++) {
            const struct eg_block_rule *r = &p->rules[h.list[i]->rules.first + k];
            if (r->action == EG_ACTION_DENY && (opaque || r->paths.count == 0) &&
                covers_ports(p, r, ports, count))
                return eg_block_slice(p, r->rule);
        }
    return EG_SLICE_NONE;
}
