/* diff.c - the comparison as a whole: what an answer lets through, ports, and what was found on the subject at hand, where equal findings on several
 * ports become one. */
#include "policy/diff_state.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { LISTS_MAX = 1 << 28, SCRATCH_MAX = 1 << 27, BUDGET = 8000000 };

const char *eg_change_label_name(enum eg_change_label label)
{
    static const char *const names[EG_CHANGE_LABELS] = { "neutral", "narrows", "widens",
                                                         "credential" };
    return names[label];
}

const char *eg_change_kind_name(enum eg_change_kind kind)
{
    static const char *const names[EG_CHANGE_KINDS] = { "tunnel", "request", "route", "address",
                                                        "setting" };
    return names[kind];
}

void *eg_diff_alloc(struct eg_diff *d, struct eg_arena *arena, size_t n)
{
    void *p = eg_arena_alloc(arena, n ? n : 1);
    if (!p)
        d->status = EG_NOMEM;
    return p;
}

struct eg_slice eg_diff_copy(struct eg_diff *d, struct eg_slice text)
{
    char *copy = eg_arena_dup(&d->scratch, text);
    if (!copy)
        d->status = EG_NOMEM;
    return copy ? eg_slice(copy, text.n) : EG_SLICE_NONE;
}

struct eg_slice eg_diff_join(struct eg_diff *d, const struct eg_slice *parts, unsigned count)
{
    size_t n = 0, at = 0;
    for (unsigned i = 0; i < count; i++)
        n += parts[i].n;
    char *text = eg_diff_alloc(d, &d->scratch, n);
    if (!text)
        return EG_SLICE_NONE;
    for (unsigned i = 0; i < count; at += parts[i++].n)
        if (parts[i].n > 0)
            memcpy(text + at, parts[i].p, parts[i].n);
    return eg_slice(text, n);
}

/* ---- ports ---- */

void eg_diff_ports_reset(struct eg_diff *d)
{
    struct eg_ports *p = &d->ports;
    for (uint32_t i = 0; i < p->count; i++)
        p->seen[p->list[i] / 8] = 0;
    p->count = p->named = 0;
}

static void take_port(struct eg_diff *d, uint16_t port)
{
    struct eg_ports *p = &d->ports;
    if (port == 0 || (p->seen[port / 8] >> (port % 8) & 1))
        return;
    p->seen[port / 8] |= (unsigned char)(1 << (port % 8));
    p->list[p->count++] = port;
}

void eg_diff_ports_of(struct eg_diff *d, const struct eg_policy *p, const struct eg_decide_hits *h)
{
    for (unsigned i = 0; i < h->count; i++)
        for (uint32_t k = 0; k < h->list[i]->rules.count; k++) {
            const struct eg_block_rule *r = &p->rules[h->list[i]->rules.first + k];
            for (uint32_t n = 0; n < r->ports.count; n++)
                take_port(d, p->ports[r->ports.first + n]);
        }
}

void eg_diff_ports_finish(struct eg_diff *d)
{
    static const uint16_t likely[] = { 8443, 9000, 5000, 4444 };
    struct eg_ports *p = &d->ports;
    if (d->observe) { /* where it guesses what flows by the port */
        take_port(d, 80);
        take_port(d, 443);
    }
    p->named = p->count;
    for (size_t i = 0; i < sizeof likely / sizeof *likely && p->count == p->named; i++)
        take_port(d, likely[i]);
    for (uint32_t port = 65535; port > 0 && p->count == p->named; port--)
        take_port(d, (uint16_t)port);
}

/* ---- what an answer lets through ---- */

enum { FLOW_TLS_NAMED = 1, FLOW_TLS = 2, FLOW_ANY = 4, FLOW_HTTP = 8, FLOWS = 4 };

static unsigned flows_of(enum eg_change_kind kind, const struct eg_verdict *v)
{
    if (kind != EG_CHANGE_TUNNEL)
        return FLOW_HTTP;
    switch (v->scheme) {
    case EG_SCHEME_HTTPS:
        return FLOW_TLS_NAMED | (v->sni_optional ? FLOW_TLS : 0);
    case EG_SCHEME_HTTP:
        return FLOW_HTTP;
    default:
        return FLOW_TLS_NAMED | FLOW_TLS | FLOW_ANY | FLOW_HTTP;
    }
}

/* 0 refused, 1 let through by observing alone, 2 allowed. */
static unsigned level(const struct eg_verdict *v)
{
    return v->status != EG_OK ? 0 : v->would_deny != EG_OK ? 1 : 2;
}

struct shift {
    unsigned gained, lost; /* flows */
    bool more, less;       /* of a request's body */
};

static struct shift shift_of(enum eg_change_kind kind, const struct eg_verdict *a,
                             const struct eg_verdict *b)
{
    struct shift s = { 0, 0, false, false };
    unsigned before = level(a), after = level(b);
    unsigned from = before ? flows_of(kind, a) : 0, to = after ? flows_of(kind, b) : 0;
    for (unsigned f = 1; f < 1u << FLOWS; f <<= 1) {
        unsigned x = from & f ? before : 0, y = to & f ? after : 0;
        s.gained |= y > x ? f : 0;
        s.lost |= y < x ? f : 0;
    }
    if (kind == EG_CHANGE_REQUEST && before && after) {
        s.more = b->max_request_body - 1 > a->max_request_body - 1; /* 0 is no limit */
        s.less = b->max_request_body - 1 < a->max_request_body - 1;
    }
    return s;
}

bool eg_policy_diff_tells(enum eg_change_kind kind, const struct eg_verdict *a,
                          const struct eg_verdict *b)
{
    struct shift s = shift_of(kind, a, b);
    return s.gained || s.lost || s.more || s.less;
}

/* ---- findings ---- */

static bool same_finding(const struct eg_finding *f, const struct eg_finding *g)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct eg_verdict *v = &f->verdict[i], *w = &g->verdict[i];
        if (v->status != w->status || v->would_deny != w->would_deny ||
            !eg_slice_eq(v->rule, w->rule) || v->scheme != w->scheme ||
            v->max_request_body != w->max_request_body || f->asked[i] != g->asked[i])
            return false;
    }
    return f->kind == g->kind && f->label == g->label;
}

static void add_port(struct eg_diff *d, struct eg_finding *f, int port)
{
    size_t n = strlen(f->ports);
    if (port < 0 || port == f->last_port || f->kind == EG_CHANGE_ROUTE)
        return;
    f->last_port = port;
    if ((uint32_t)port >= d->ports.named) {
        f->other_ports = true;
        return;
    }
    f->named_ports++;
    if (n + 16 < sizeof f->ports)
        snprintf(f->ports + n, sizeof f->ports - n, "%s%u", n ? ", " : "",
                 (unsigned)d->ports.list[port]);
    else if (f->ports[n - 1] != '.')
        snprintf(f->ports + n, sizeof f->ports - n, " ...");
}

static void keep(struct eg_diff *d, struct eg_finding *f, int port)
{
    for (unsigned i = 0; i < d->finding_count; i++)
        if (same_finding(&d->findings[i], f)) {
            add_port(d, &d->findings[i], port);
            return;
        }
    if (d->finding_count == EG_DIFF_FINDINGS) {
        d->may = true; /* more of them than a person would read */
        return;
    }
    struct eg_slice path = eg_diff_copy(d, f->ask[0].path);
    struct eg_slice method = eg_diff_copy(d, f->ask[0].method);
    for (unsigned i = 0; i < 2; i++) {
        f->ask[i].path = path;
        f->ask[i].method = method;
    }
    d->findings[d->finding_count] = *f;
    add_port(d, &d->findings[d->finding_count++], port);
}

bool eg_diff_keep(struct eg_diff *d, struct eg_finding *f, int port)
{
    struct shift s = shift_of(f->kind, &f->verdict[0], &f->verdict[1]);
    f->label = EG_CHANGE_WIDENS;
    if (s.gained || s.more) {
        d->widened = true;
        keep(d, f, port);
    }
    f->label = EG_CHANGE_NARROWS;
    if (s.lost || s.less)
        keep(d, f, port);
    return s.gained || s.more || s.lost || s.less;
}

bool eg_diff_try(struct eg_diff *d, enum eg_change_kind kind, const struct eg_ask ask[2],
                 const int service[2], int port)
{
    struct eg_finding f = { .kind = kind, .ask = { ask[0], ask[1] }, .last_port = -1 };
    for (unsigned i = 0; i < 2; i++) {
        f.asked[i] = kind != EG_CHANGE_ROUTE || service[i] >= 0;
        if (f.asked[i])
            eg_policy_ask(d->p[i], &ask[i], &f.verdict[i]);
        else
            f.verdict[i] = (struct eg_verdict){ .status = EG_ROUTE_UNKNOWN };
    }
    return eg_diff_keep(d, &f, port);
}

/* ---- the whole ---- */

static struct eg_diff *new_diff(const struct eg_policy *a, const struct eg_policy *b,
                                eg_take_change *take, void *ctx)
{
    struct eg_diff *d = malloc(sizeof *d); /* large: what need not be zero is left as it is */
    if (!d)
        return NULL;
    memset(d, 0, offsetof(struct eg_diff, ports));
    memset(d->ports.seen, 0, sizeof d->ports.seen);
    d->ports.count = d->ports.named = 0;
    d->finding_count = d->searched_count = 0;
    d->may = d->widened = false;
    d->p[0] = a;
    d->p[1] = b;
    d->take = take;
    d->ctx = ctx;
    d->budget = BUDGET;
    d->observe = eg_policy_settings(a)->observe || eg_policy_settings(b)->observe;
    eg_arena_init(&d->lists, LISTS_MAX);
    eg_arena_init(&d->scratch, SCRATCH_MAX);
    return d;
}

/* Another mode changes the answer for nearly everything: that is said once, with a host that nothing names, and the rules are compared as
 * they would be enforced. What differs so differs in the modes that are, too: what observing lets through is told from what is allowed. */
static void compare_modes(struct eg_diff *d, struct eg_policy enforced[2])
{
    eg_diff_unnamed(d);
    for (unsigned i = 0; i < 2; i++) {
        enforced[i] = *d->p[i];
        enforced[i].settings.observe = false;
        d->p[i] = &enforced[i];
    }
    d->observe = false;
}

enum eg_status eg_policy_diff(const struct eg_policy *a, const struct eg_policy *b,
                              eg_take_change *take, void *ctx)
{
    struct eg_policy enforced[2];
    if (memcmp(eg_policy_id(a), eg_policy_id(b), 32) == 0 && eg_diff_same_rest(a, b))
        return EG_OK;
    struct eg_diff *d = new_diff(a, b, take, ctx);
    if (!d)
        return EG_NOMEM;
    eg_diff_settings(d);
    if (eg_policy_settings(a)->observe != eg_policy_settings(b)->observe)
        compare_modes(d, enforced);
    eg_diff_credentials(d);
    eg_diff_services(d);
    eg_diff_names(d);
    eg_diff_addresses(d);
    enum eg_status status = d->status;
    eg_arena_done(&d->lists);
    eg_arena_done(&d->scratch);
    free(d);
    return status;
}
