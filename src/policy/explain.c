/* explain.c - the rules that were looked at for a question, and why each of them speaks or misses.
 *
 * It walks the same hits as decide.c and says of each rule what decide.c tested: action, port, scheme, requests. What it says is for people: the
 * verdict is eg_policy_ask's, which asks decide.c itself. */
#include "policy/explain.h"

#include <stdio.h>

#include "policy/decide.h"
#include "policy/ranges.h"

enum { NEAR_MAX = 5, PORTS_SHOWN = 8 };

/* TLS in a tunnel whose requests are parsed is no HTTP: none of it gets through. */
static void refuse_tls(struct eg_verdict *v)
{
    v->status = EG_PORT_NOT_ALLOWED;
    v->would_deny = EG_OK;
    v->detail = EG_SLICE("plain HTTP alone may flow on this port, and https is TLS");
}

void eg_policy_ask(const struct eg_policy *p, const struct eg_ask *ask, struct eg_verdict *ret)
{
    struct eg_service s;
    struct eg_verdict by_name;
    const struct eg_authority *to = &ask->to;
    if (ask->kind == EG_ASK_TUNNEL)
        eg_policy_judge_tunnel(p, to, &by_name);
    else if (ask->kind == EG_ASK_HTTP)
        eg_policy_judge_http(p, to, ask->method, ask->path, ask->flags, &by_name);
    else
        eg_policy_judge_route(p, ask->service, ask->method, ask->path, ask->flags, &by_name);
    if (ask->kind == EG_ASK_ROUTE) {
        eg_policy_service(p, ask->service, &s);
        to = &s.upstream;
    }
    if (ask->kind == EG_ASK_TUNNEL && ask->scheme == EG_SCHEME_HTTPS && by_name.status == EG_OK &&
        by_name.scheme == EG_SCHEME_HTTP)
        refuse_tls(&by_name);
    const struct eg_addr *addr = ask->addr ? ask->addr : to->literal ? &to->addr : NULL;
    *ret = by_name;
    if (by_name.status == EG_OK && addr)
        eg_policy_judge_address(p, &by_name, addr, to->port, ret);
}

/* ---- one rule ---- */

struct walk {
    struct eg_question q;
    const struct eg_authority *to;
    const struct eg_verdict *v;
    bool routed; /* the question is a route's */
    eg_consider *take;
    void *ctx;
};

static const char *const schemes[] = { "", "https", "http", "tcp" };

static void show_target(const struct eg_policy *p, const struct eg_block_target *t, char *out,
                        size_t cap)
{
    struct eg_slice key = eg_block_slice(p, t->key);
    struct eg_addr a = { .family = 0 };
    char text[EG_ADDR_TEXT];
    if (t->kind != EG_PATTERN_PREFIX) {
        snprintf(out, cap, "%s%.*s", t->kind == EG_PATTERN_BELOW ? "*." : "", (int)key.n, key.p);
        return;
    }
    a.family = (uint8_t)key.p[0];
    memcpy(a.b, key.p + 2, sizeof a.b);
    unsigned bits = (unsigned char)key.p[1];
    eg_addr_format(&a, text, sizeof text);
    if (bits == eg_decide_full_length(&a))
        snprintf(out, cap, "%s", text);
    else
        snprintf(out, cap, "%s/%u", text, bits);
}

static void show_ports(const struct walk *w, const struct eg_block_rule *r, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "port %u is not among its ports:", w->q.port);
    for (uint32_t i = 0; i < r->ports.count && i < PORTS_SHOWN && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s %u", i ? "," : "",
                              w->q.p->ports[r->ports.first + i]);
    if (r->ports.count > PORTS_SHOWN && n < cap)
        snprintf(out + n, cap - n, " and %u more", r->ports.count - PORTS_SHOWN);
}

static void deny_why(const struct walk *w, const struct eg_block_rule *r, char *out, size_t cap)
{
    if (r->paths.count == 0)
        snprintf(out, cap, "deny beats allow");
    else if (!w->q.request)
        snprintf(out, cap, "it denies some requests, which only plain HTTP and routes show");
    else if (w->q.flags.unsafe || eg_block_path_find(w->q.p, r->paths, w->q.request, true))
        snprintf(out, cap, "it denies this request; deny beats allow");
    else
        snprintf(out, cap, "it denies other requests");
}

static void allow_why(const struct walk *w, const struct eg_block_rule *r, char *out, size_t cap)
{
    const struct eg_block_path *closest = NULL;
    if (!eg_decide_carries(&w->q, r)) {
        snprintf(out, cap,
                 w->q.parsed ? "it is for %s, and rules on requests are in force on this port"
                             : "it is for %s, not for a plain HTTP request",
                 schemes[r->scheme]);
        return;
    }
    if (w->q.request && r->paths.count > 0) {
        if (w->q.flags.unsafe) {
            snprintf(out, cap, "the path is unsafe where rules are in force: %s", w->q.flags.why);
            return;
        }
        if (!eg_block_path_find(w->q.p, r->paths, w->q.request, false))
            closest = eg_block_path_closest(w->q.p, r->paths, w->q.request);
    }
    if (closest) {
        struct eg_slice detail = eg_block_slice(w->q.p, closest->detail);
        snprintf(out, cap, "%.*s", (int)detail.n, detail.p);
    } else if (w->v->status == EG_HOST_DENIED) {
        snprintf(out, cap, "it would allow it, but deny beats allow");
    } else if (r->paths.count > 0 && !w->q.request) {
        snprintf(out, cap, "it allows %s; each request is then judged", schemes[r->scheme]);
    } else {
        snprintf(out, cap, "it allows %s", schemes[r->scheme]);
    }
}

/* Is that the rule of the verdict? One on requests is named by its path's own line. */
static bool is_decider(const struct walk *w, const struct eg_block_rule *r)
{
    struct eg_slice rule = w->v->rule;
    if (rule.n == 0)
        return false;
    for (uint32_t i = 0; r->action == EG_ACTION_SERVICE && i < w->q.p->count[EG_BLOCK_SERVICES];
         i++)
        if (w->v->status != EG_OK &&
            eg_slice_eq(rule, eg_block_slice(w->q.p, w->q.p->services[i].rule)))
            return true; /* its deny rules, which a tunnel would go round */
    if (r->action != EG_ACTION_SERVICE && eg_slice_eq(rule, eg_block_slice(w->q.p, r->rule)))
        return true;
    for (uint32_t i = 0; i < r->paths.count; i++)
        if (eg_slice_eq(rule, eg_block_slice(w->q.p, w->q.p->paths[r->paths.first + i].rule)))
            return true;
    return false;
}

static void consider(const struct walk *w, const struct eg_block_target *t,
                     const struct eg_block_rule *r)
{
    static const char *const actions[EG_ACTION_COUNT] = { "deny", "allow", "networks", "own",
                                                          "service" };
    struct eg_considered c = { .action = actions[r->action],
                               .rule = eg_block_slice(w->q.p, r->rule),
                               .decides = is_decider(w, r) };
    struct eg_slice why = eg_block_slice(w->q.p, r->why);
    show_target(w->q.p, t, c.to, sizeof c.to);
    if (r->action == EG_ACTION_NETWORK)
        snprintf(c.why, sizeof c.why,
                 "names may lead into this range; it allows nothing by itself");
    else if (r->action == EG_ACTION_OWN)
        snprintf(c.why, sizeof c.why, "an address of this machine");
    else if (!eg_decide_has_port(w->q.p, r, w->q.port))
        show_ports(w, r, c.why, sizeof c.why);
    else if (r->action == EG_ACTION_SERVICE)
        snprintf(c.why, sizeof c.why, "%.*s", (int)why.n, why.n ? why.p : "");
    else if (r->action == EG_ACTION_DENY)
        deny_why(w, r, c.why, sizeof c.why);
    else
        allow_why(w, r, c.why, sizeof c.why);
    if (r->action == EG_ACTION_SERVICE && (why.n == 0 || w->routed))
        return; /* a token endpoint is nobody's business; a route shows its service itself */
    w->take(w->ctx, &c);
}

static void consider_hits(const struct walk *w, const struct eg_decide_hits *h)
{
    for (unsigned i = 0; i < h->count; i++)
        for (uint32_t k = 0; k < h->list[i]->rules.count; k++)
            consider(w, h->list[i], &w->q.p->rules[h->list[i]->rules.first + k]);
}

/* ---- rules that are nearly on it ---- */

static void near_miss(const struct walk *w, const struct eg_block_target *t, const char *format)
{
    for (uint32_t k = 0; k < t->rules.count; k++) {
        const struct eg_block_rule *r = &w->q.p->rules[t->rules.first + k];
        struct eg_considered c = { .action = r->action == EG_ACTION_DENY ? "deny" : "allow",
                                   .rule = eg_block_slice(w->q.p, r->rule) };
        if (r->action != EG_ACTION_DENY && r->action != EG_ACTION_ALLOW)
            continue;
        show_target(w->q.p, t, c.to, sizeof c.to);
        snprintf(c.why, sizeof c.why, "%s", format);
        w->take(w->ctx, &c);
    }
}

/* "*.b.example" for b.example; b.example for a.b.example. */
static void consider_above(const struct walk *w)
{
    struct eg_decide_hits self, without, above;
    struct eg_slice host = eg_authority_host(w->to);
    self.count = without.count = 0;
    eg_decide_find_below(w->q.p, host, true, &self);
    eg_decide_find_below(w->q.p, host, false, &without);
    if (self.count > without.count)
        near_miss(w, self.list[0], "it names what is below this host, never the host itself");
    for (long dot; (dot = eg_slice_index(host, '.')) >= 0;) {
        host = eg_slice_from(host, (size_t)dot + 1);
        eg_decide_find_name(w->q.p, host, &above);
        if (above.count > 0 && above.list[0]->kind == EG_PATTERN_EXACT)
            near_miss(w, above.list[0], "it names that host alone, nothing below it");
    }
}

/* Names below the host. The only walk over all rules, so a few will do. */
static void consider_below(const struct walk *w)
{
    struct eg_slice host = eg_authority_host(w->to);
    unsigned shown = 0;
    for (uint32_t i = 0; i < w->q.p->count[EG_BLOCK_TARGETS] && shown < NEAR_MAX; i++) {
        const struct eg_block_target *t = &w->q.p->targets[i];
        struct eg_slice key = eg_block_slice(w->q.p, t->key);
        if (t->kind == EG_PATTERN_PREFIX || key.n <= host.n + 1 ||
            key.p[key.n - host.n - 1] != '.' ||
            !eg_slice_eq(eg_slice_from(key, key.n - host.n), host))
            continue;
        near_miss(w, t, "it names what is below this host");
        shown++;
    }
}

/* The service's own rules: it is a rule, and stands in no list of them. */
static void consider_service(const struct walk *w, unsigned index)
{
    const struct eg_block_service *s = &w->q.p->services[index];
    struct eg_considered c = { .action = "service", .rule = eg_block_slice(w->q.p, s->rule) };
    const struct eg_block_path *deny = eg_block_path_find(w->q.p, s->denies, w->q.request, true);
    const struct eg_block_path *allow = eg_block_path_find(w->q.p, s->rules, w->q.request, false);
    if (!allow && !deny && s->rules.count > 0)
        deny = eg_block_path_closest(w->q.p, s->rules, w->q.request);
    struct eg_slice detail = deny ? eg_block_slice(w->q.p, deny->detail) : EG_SLICE_NONE;
    struct eg_slice name = eg_block_slice(w->q.p, s->name);
    c.decides = w->v->status == EG_OK || (w->v->rule.n > 0 && eg_slice_eq(w->v->rule, c.rule)) ||
                (deny && eg_slice_eq(w->v->rule, eg_block_slice(w->q.p, deny->rule)));
    snprintf(c.to, sizeof c.to, "%.*s", (int)name.n, name.p);
    if (w->q.flags.unsafe)
        snprintf(c.why, sizeof c.why, "the path is unsafe where rules are in force: %s",
                 w->q.flags.why);
    else if (detail.n > 0)
        snprintf(c.why, sizeof c.why, "%.*s", (int)detail.n, detail.p);
    else
        snprintf(c.why, sizeof c.why, "it allows this request by its route");
    w->take(w->ctx, &c);
}

/* The address that a name leads to, and what any address carries. */
static void consider_address(const struct walk *w, const struct eg_addr *addr)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    struct eg_decide_hits h;
    unsigned n = eg_range_embedded(addr, inside);
    if (!w->to->literal) {
        eg_decide_find_addr(w->q.p, addr, eg_decide_full_length(addr), &h);
        consider_hits(w, &h);
    }
    for (unsigned i = 0; i < n; i++) {
        eg_decide_find_addr(w->q.p, &inside[i], eg_decide_full_length(&inside[i]), &h);
        consider_hits(w, &h);
    }
}

void eg_policy_consider(const struct eg_policy *p, const struct eg_ask *ask,
                        const struct eg_verdict *v, eg_consider *take, void *ctx)
{
    struct eg_service s;
    struct eg_decide_hits h = { .count = 0 };
    struct walk w = {
        .to = &ask->to, .v = v, .routed = ask->kind == EG_ASK_ROUTE, .take = take, .ctx = ctx
    };
    struct eg_block_request request = { .method = ask->method, .path = ask->path };
    if (ask->kind == EG_ASK_ROUTE) {
        eg_policy_service(p, ask->service, &s);
        w.to = &s.upstream;
        request.base = s.base_path;
    }
    w.q = (struct eg_question){ .p = p,
                                .port = w.to->port,
                                .http = ask->kind == EG_ASK_HTTP,
                                .request = ask->kind == EG_ASK_TUNNEL ? NULL : &request,
                                .flags = ask->flags };
    const struct eg_addr *addr = w.to->literal ? &w.to->addr : ask->addr;
    if (!w.to->literal)
        eg_decide_find_name(p, eg_authority_host(w.to), &h);
    else
        eg_decide_find_addr(p, addr, eg_decide_full_length(addr), &h);
    w.q.parsed = ask->kind != EG_ASK_ROUTE &&
                 eg_decide_each_ruled(&w.q, &h, EG_ACTION_ALLOW, eg_decide_take_any, NULL);
    if (ask->kind == EG_ASK_ROUTE)
        consider_service(&w, ask->service);
    consider_hits(&w, &h);
    if (addr)
        consider_address(&w, addr);
    if (!w.to->literal && ask->kind != EG_ASK_ROUTE) {
        consider_above(&w);
        consider_below(&w);
    }
}
