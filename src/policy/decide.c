/* decide.c - the pure questions: may this name, request, route, address be reached?
 *
 * It allocates nothing, looks at nothing but the block and the question, and finds rules by hash: one look-up for the exact name, one for each
 * length of wildcard that exists, one for each length of prefix that exists. Deny beats allow whatever is more specific;
 * among allow rules the most specific pattern decides, and on one pattern the rule that lets more through. */
#include "policy/decide.h"
#include "policy/ranges.h"

/* A look-up under way: what it will read is fetched while others are prepared. */
struct probe {
    struct eg_slice key;
    enum eg_pattern_kind kind;
    uint64_t hash;
};

static void prepare(const struct eg_policy *p, enum eg_pattern_kind kind, struct eg_slice key,
                    struct probe *ret)
{
    *ret = (struct probe){ key, kind, eg_block_hash(p->head->hash_key, kind, key) };
    __builtin_prefetch(&p->hash[(uint32_t)ret->hash & (p->count[EG_BLOCK_SLOTS_HASH] - 1)]);
}

static const struct eg_block_target *look_up(const struct eg_policy *p, const struct probe *probe)
{
    uint32_t mask = p->count[EG_BLOCK_SLOTS_HASH] - 1;
    const struct eg_block_entry *e;
    for (uint32_t i = (uint32_t)probe->hash & mask; (e = &p->hash[i])->record; i = (i + 1) & mask) {
        const struct eg_block_target *t = &p->targets[e->record - 1];
        if (e->tag != (uint32_t)(probe->hash >> 32))
            continue;
        __builtin_prefetch(p->pool + e->key);
        __builtin_prefetch(&p->rules[e->rule]);
        if (t->kind == (uint32_t)probe->kind && eg_slice_eq(eg_block_slice(p, t->key), probe->key))
            return t;
    }
    return NULL;
}

static const struct eg_block_target *find(const struct eg_policy *p, enum eg_pattern_kind kind,
                                          struct eg_slice key)
{
    struct probe probe;
    prepare(p, kind, key, &probe);
    return look_up(p, &probe);
}

static void add_hits(const struct eg_policy *p, const struct probe *probes, unsigned count,
                     struct eg_decide_hits *h)
{
    for (unsigned i = 0; i < count; i++) {
        const struct eg_block_target *t = look_up(p, &probes[i]);
        if (t && h->count < EG_DECIDE_HITS_MAX)
            h->list[h->count++] = t;
    }
}

/* Patterns "*." above the name; the name itself too when it stands for a pattern. probes has room for one of each label; how many they are. */
static unsigned probe_below(const struct eg_policy *p, struct eg_slice host, bool self,
                            struct probe *probes)
{
    static const uint8_t none[sizeof p->head->below_labels];
    unsigned labels = 1, count = 0;
    if (memcmp(p->head->below_labels, none, sizeof none) == 0)
        return 0;
    for (size_t i = 0; i < host.n; i++)
        labels += host.p[i] == '.';
    for (size_t start = 0; start < host.n && labels < 128; labels--) {
        if ((start > 0 || self) && eg_block_bit(p->head->below_labels, labels))
            prepare(p, EG_PATTERN_BELOW, eg_slice_from(host, start), &probes[count++]);
        while (start < host.n && host.p[start] != '.')
            start++;
        start++;
    }
    return count;
}

void eg_decide_find_below(const struct eg_policy *p, struct eg_slice host, bool self,
                          struct eg_decide_hits *h)
{
    struct probe probes[EG_DECIDE_HITS_MAX];
    add_hits(p, probes, probe_below(p, host, self, probes), h);
}

void eg_decide_find_name(const struct eg_policy *p, struct eg_slice host, struct eg_decide_hits *h)
{
    struct probe probes[EG_DECIDE_HITS_MAX];
    h->count = 0;
    prepare(p, EG_PATTERN_EXACT, host, &probes[0]);
    add_hits(p, probes, 1 + probe_below(p, host, false, probes + 1), h);
}

void eg_decide_find_addr(const struct eg_policy *p, const struct eg_addr *a, unsigned longest,
                         struct eg_decide_hits *h)
{
    unsigned char keys[EG_DECIDE_HITS_MAX][EG_BLOCK_PREFIX_KEY];
    struct probe probes[EG_DECIDE_HITS_MAX];
    const uint8_t *bits = a->family == 4 ? p->head->prefixes4 : p->head->prefixes6;
    unsigned count = 0;
    for (int n = (int)longest; n >= 0; n--) {
        if (!eg_block_bit(bits, (unsigned)n))
            continue;
        eg_block_prefix_key(a, (uint8_t)n, keys[count]);
        prepare(p, EG_PATTERN_PREFIX, eg_slice(keys[count], EG_BLOCK_PREFIX_KEY), &probes[count]);
        count++;
    }
    h->count = 0;
    add_hits(p, probes, count, h);
}

unsigned eg_decide_full_length(const struct eg_addr *a)
{
    return a->family == 4 ? 32 : 128;
}

bool eg_decide_has_port(const struct eg_policy *p, const struct eg_block_rule *r, uint16_t port)
{
    for (uint32_t i = 0; i < r->ports.count; i++)
        if (p->ports[r->ports.first + i] == port)
            return true;
    return r->ports.count == 0;
}

/* tcp carries anything, so also a request that is parsed on the way. */
bool eg_decide_carries(const struct eg_question *q, const struct eg_block_rule *r)
{
    if (q->parsed)
        return r->scheme == EG_SCHEME_HTTP;
    return !q->http || r->scheme == EG_SCHEME_HTTP || r->scheme == EG_SCHEME_TCP;
}

/* The first rule of that action on a port among the hits; any port where `port` is 0. Deny rules on some requests are another question. */
const struct eg_block_rule *eg_decide_rule_of(const struct eg_question *q,
                                              const struct eg_decide_hits *h, enum eg_action action,
                                              bool any_port)
{
    for (unsigned i = 0; i < h->count; i++) {
        struct eg_block_range range = h->list[i]->rules;
        for (uint32_t k = 0; k < range.count; k++) {
            const struct eg_block_rule *r = &q->p->rules[range.first + k];
            if (r->action != (uint8_t)action || (action == EG_ACTION_DENY && r->paths.count > 0))
                continue;
            if (any_port || (eg_decide_has_port(q->p, r, q->port) &&
                             (action != EG_ACTION_ALLOW || eg_decide_carries(q, r))))
                return r;
        }
    }
    return NULL;
}

void eg_decide_refuse(struct eg_verdict *v, enum eg_status status, struct eg_slice rule,
                      struct eg_slice detail)
{
    *v = (struct eg_verdict){ .status = status, .rule = rule, .detail = detail };
}

void eg_decide_refuse_by(const struct eg_policy *p, const struct eg_block_rule *r,
                         enum eg_status status, struct eg_verdict *v)
{
    struct eg_slice why = eg_block_slice(p, r->why);
    eg_decide_refuse(v, status, eg_block_slice(p, r->rule),
                     why.n ? why : EG_SLICE("a deny rule names it; deny beats allow"));
}

void eg_decide_allow_by(const struct eg_question *q, const struct eg_block_rule *r, bool opened,
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
static bool refuse_port(const struct eg_question *q, const struct eg_decide_hits *h,
                        struct eg_verdict *v)
{
    for (unsigned i = 0; i < h->count; i++) {
        const struct eg_block_target *t = h->list[i];
        if (t->allowed.length == 0)
            continue;
        struct eg_decide_hits one = { { t }, 1 };
        const struct eg_block_rule *r = eg_decide_rule_of(q, &one, EG_ACTION_ALLOW, true);
        if (!r)
            continue;
        eg_decide_refuse(v, EG_PORT_NOT_ALLOWED, eg_block_slice(q->p, r->rule),
                         eg_block_slice(q->p, t->allowed));
        return true;
    }
    return false;
}

static void refuse_name(const struct eg_question *q, const struct eg_authority *to,
                        const struct eg_decide_hits *h, struct eg_verdict *v)
{
    const struct eg_block_rule *service = eg_decide_rule_of(q, h, EG_ACTION_SERVICE, true);
    struct eg_slice detail = eg_block_slice(q->p, q->p->head->settings.file);
    struct eg_slice host = eg_authority_host(to);
    if (service && service->why.length > 0) /* a token endpoint has no hint for a child */
        detail = eg_block_slice(q->p, service->why);
    else if (to->literal)
        detail = EG_SLICE("an address is allowed by an address: or cidr: rule alone");
    else if (find(q->p, EG_PATTERN_BELOW, host))
        detail = EG_SLICE("a wildcard names what is below this host, not the host itself");
    eg_decide_refuse(v, EG_HOST_NOT_ALLOWED, EG_SLICE_NONE, detail);
}

/* Deny rules on an address or on an IPv4 address that it carries. */
const struct eg_block_rule *eg_decide_denied_addr(const struct eg_question *q,
                                                  const struct eg_addr *a,
                                                  const struct eg_decide_hits *h)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    struct eg_decide_hits of_inside;
    const struct eg_block_rule *r = eg_decide_rule_of(q, h, EG_ACTION_DENY, false);
    unsigned n = r ? 0 : eg_range_embedded(a, inside);
    for (unsigned i = 0; i < n && !r; i++) {
        eg_decide_find_addr(q->p, &inside[i], 32, &of_inside);
        r = eg_decide_rule_of(q, &of_inside, EG_ACTION_DENY, false);
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
static bool refuse_first(const struct eg_question *q, const struct eg_authority *to,
                         const struct eg_decide_hits *h, struct eg_verdict *v)
{
    if (is_metadata(q->p, to)) {
        eg_decide_refuse(v, EG_METADATA_DENIED, EG_SLICE_NONE,
                         EG_SLICE("a cloud's metadata service hands out credentials"));
        return true;
    }
    const struct eg_block_rule *deny = eg_decide_rule_of(q, h, EG_ACTION_DENY, false);
    if (!deny && to->literal)
        deny = eg_decide_denied_addr(q, &to->addr, h);
    if (deny)
        eg_decide_refuse_by(q->p, deny, EG_HOST_DENIED, v);
    return deny != NULL;
}

/* A service's deny rules see what goes by its route alone: a tunnel to its upstream would go round them. */
static bool goes_round_service(const struct eg_question *q, const struct eg_authority *to,
                               struct eg_verdict *v)
{
    for (uint32_t i = 0; i < q->p->count[EG_BLOCK_SERVICES]; i++) {
        const struct eg_block_service *s = &q->p->services[i];
        struct eg_authority upstream;
        eg_block_authority(q->p, &s->upstream, &upstream);
        if (s->denies.count > 0 && eg_authority_eq(&upstream, to)) {
            eg_decide_refuse(v, EG_RULE_DENIED, eg_block_slice(q->p, s->rule),
                             EG_SLICE("a service denies some requests to it; use its route"));
            return true;
        }
    }
    return false;
}

static enum eg_scheme observed_scheme(const struct eg_question *q)
{
    if (q->request || q->port == 80)
        return EG_SCHEME_HTTP;
    return q->port == 443 ? EG_SCHEME_HTTPS : EG_SCHEME_TCP;
}

/* policy.md point 8: v refuses for want of an allow rule, and under mode: observe that passes. What flows is what the port is for, so that
 * as much as can be is seen; deny rules on some requests, which want to see all, still hold. */
static void observe(const struct eg_question *q, const struct eg_authority *to,
                    const struct eg_decide_hits *h, struct eg_verdict *v)
{
    enum eg_scheme scheme = observed_scheme(q);
    if (!q->p->settings.observe || goes_round_service(q, to, v))
        return;
    if (q->request ? eg_decide_each_ruled(q, h, EG_ACTION_DENY, eg_decide_take_deny, v)
                   : scheme != EG_SCHEME_HTTP &&
                         eg_decide_each_ruled(q, h, EG_ACTION_DENY, eg_decide_take_opaque, v))
        return;
    v->would_deny = v->status;
    v->status = EG_OK;
    v->scheme = scheme;
    v->sni_optional = scheme == EG_SCHEME_HTTPS;
}

static void judge(struct eg_question *q, const struct eg_authority *to, struct eg_verdict *v)
{
    struct eg_decide_hits h;
    if (to->literal)
        eg_decide_find_addr(q->p, &to->addr, eg_decide_full_length(&to->addr), &h);
    else
        eg_decide_find_name(q->p, eg_authority_host(to), &h);
    if (refuse_first(q, to, &h, v))
        return;
    q->parsed = eg_decide_each_ruled(q, &h, EG_ACTION_ALLOW, eg_decide_take_any, v);
    const struct eg_block_rule *allow = eg_decide_rule_of(q, &h, EG_ACTION_ALLOW, false);
    if (!allow && !refuse_port(q, &h, v))
        refuse_name(q, to, &h, v);
    if (!allow) {
        observe(q, to, &h, v);
        return;
    }
    if (q->request ? eg_decide_each_ruled(q, &h, EG_ACTION_DENY, eg_decide_take_deny, v)
                   : allow->scheme != EG_SCHEME_HTTP &&
                         eg_decide_each_ruled(q, &h, EG_ACTION_DENY, eg_decide_take_opaque, v))
        return;
    if (!q->request)
        eg_decide_allow_by(q, allow, to->literal, v);
    else
        eg_decide_judge_paths(q, &h, allow, to->literal, v);
    if (v->status != EG_OK)
        observe(q, to, &h, v);
    v->opened = to->literal;
}

void eg_policy_judge_tunnel(const struct eg_policy *p, const struct eg_authority *to,
                            struct eg_verdict *ret)
{
    struct eg_question q = { .p = p, .port = to->port };
    judge(&q, to, ret);
}

void eg_policy_judge_http(const struct eg_policy *p, const struct eg_authority *to,
                          struct eg_slice method, struct eg_slice path, struct eg_path_flags flags,
                          struct eg_verdict *ret)
{
    const struct eg_block_request request = { .method = method, .path = path };
    struct eg_question q = {
        .p = p, .port = to->port, .http = true, .request = &request, .flags = flags
    };
    judge(&q, to, ret);
}

/* What the service denies. The base path does too: an origin could climb out of it. */
static bool refuse_denied(const struct eg_question *q, const struct eg_block_service *s,
                          struct eg_verdict *v)
{
    if ((s->base_path.length > 0 || s->denies.count > 0) &&
        eg_decide_refuse_unsafe(q, eg_block_slice(q->p, s->rule), v))
        return true;
    const struct eg_block_path *path = eg_block_path_find(q->p, s->denies, q->request, true);
    if (path)
        eg_decide_refuse_path(q, path, v);
    return path != NULL;
}

/* What its rules leave out. */
static bool refuse_unnamed(const struct eg_question *q, const struct eg_block_service *s,
                           struct eg_verdict *v)
{
    if (s->rules.count == 0)
        return false;
    if (eg_decide_refuse_unsafe(q, eg_block_slice(q->p, s->rule), v))
        return true;
    if (eg_block_path_find(q->p, s->rules, q->request, false))
        return false;
    eg_decide_refuse_path(q, eg_block_path_closest(q->p, s->rules, q->request), v);
    return true;
}

void eg_policy_judge_route(const struct eg_policy *p, unsigned service, struct eg_slice method,
                           struct eg_slice path, struct eg_path_flags flags, struct eg_verdict *ret)
{
    struct eg_service s;
    struct eg_decide_hits h;
    eg_policy_service(p, service, &s);
    const struct eg_block_request request = { method, s.base_path, path };
    const struct eg_question q = {
        .p = p, .port = s.upstream.port, .request = &request, .flags = flags
    };
    if (s.upstream.literal)
        eg_decide_find_addr(p, &s.upstream.addr, eg_decide_full_length(&s.upstream.addr), &h);
    else
        eg_decide_find_name(p, eg_authority_host(&s.upstream), &h);
    if (refuse_first(&q, &s.upstream, &h, ret))
        return;
    if (eg_decide_each_ruled(&q, &h, EG_ACTION_DENY, eg_decide_take_deny, ret) ||
        refuse_denied(&q, &p->services[service], ret))
        return;
    struct eg_verdict v = { .status = EG_OK, .rule = s.rule };
    if (refuse_unnamed(&q, &p->services[service], &v)) {
        if (!p->settings.observe) {
            *ret = v;
            return;
        }
        v.would_deny = v.status;
        v.status = EG_OK;
    }
    v.scheme = s.tls ? EG_SCHEME_HTTPS : EG_SCHEME_HTTP;
    v.opened = s.upstream.literal;
    *ret = v;
}
