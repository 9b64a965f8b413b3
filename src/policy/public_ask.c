/* public_ask.c - egress/policy.h: questions as texts, through the functions that egressd asks. Nothing is allocated.
 *
 * Hosts and paths are parsed by the code that parses what a client sends, so that what is judged here is what the proxy would judge. */
#include <stdio.h>

#include "policy/explain.h"
#include "policy/public.h"

struct asked { /* a question as explain.h has it, and the room for its path */
    struct eg_ask ask;
    char path[EGRESS_PATH_MAX];
};

static enum eg_status read_host(const char *host, uint16_t port, struct eg_authority *ret)
{
    struct eg_slice text = eg_slice_str(host);
    struct eg_addr literal;
    if (text.n == 0 || port == 0)
        return EG_BAD_HOST;
    if (eg_addr_parse(text, &literal)) {
        eg_authority_from_addr(&literal, port, ret);
        return EG_OK;
    }
    enum eg_status st = eg_host_parse(text, ret, NULL);
    ret->port = port;
    ret->port_given = true;
    return st;
}

static enum eg_status read_path(const char *path, struct asked *a)
{
    char scratch[EGRESS_PATH_MAX];
    struct eg_slice text = eg_slice_str(path);
    size_t n = 0;
    if (text.n > EGRESS_PATH_MAX)
        return EG_TARGET_TOO_LONG;
    enum eg_status st = eg_path_canon_at(text, a->path, scratch, &n, &a->ask.flags, NULL);
    a->ask.path = eg_slice(a->path, n);
    return st;
}

static enum eg_status read_route(const struct eg_policy *p, const char *route, struct asked *a)
{
    struct eg_service s;
    int index = eg_policy_service_of_route(p, eg_slice_str(route));
    if (index < 0)
        return EG_ROUTE_UNKNOWN;
    eg_policy_service(p, (unsigned)index, &s);
    a->ask.service = (unsigned)index;
    a->ask.to = s.upstream;
    return s.internal ? EG_ROUTE_UNKNOWN : EG_OK; /* invisible, as it is to a child */
}

/* a->path is not touched where no path is asked for: that would cost more than the decision. */
static enum eg_status read_question(const struct eg_policy *p, const struct egress_question *q,
                                    struct asked *a)
{
    static const enum eg_ask_kind kinds[] = { [EGRESS_ASK_TUNNEL] = EG_ASK_TUNNEL,
                                              [EGRESS_ASK_REQUEST] = EG_ASK_HTTP,
                                              [EGRESS_ASK_ROUTE] = EG_ASK_ROUTE };
    if ((size_t)q->kind >= sizeof kinds / sizeof *kinds)
        return EG_INVALID;
    a->ask.kind = kinds[q->kind];
    a->ask.scheme = EG_SCHEME_NONE;
    a->ask.method = eg_slice_str(q->method);
    a->ask.path = EG_SLICE_NONE;
    a->ask.flags = (struct eg_path_flags){ 0 };
    a->ask.addr = NULL;
    enum eg_status st = q->kind == EGRESS_ASK_ROUTE ? read_route(p, q->service, a)
                                                    : read_host(q->host, q->port, &a->ask.to);
    if (st == EG_OK && q->kind != EGRESS_ASK_TUNNEL)
        st = a->ask.method.n == 0 ? EG_BAD_REQUEST : read_path(q->path, a);
    return st;
}

static void give(const struct eg_verdict *v, struct egress_verdict *ret)
{
    *ret = (struct egress_verdict){ .status = v->status,
                                    .would_deny = v->would_deny,
                                    .scheme = (enum egress_scheme)v->scheme,
                                    .sni_optional = v->sni_optional,
                                    .max_request_body = v->max_request_body,
                                    .rule = eg_public_text(v->rule),
                                    .detail = eg_public_text(v->detail) };
}

static void give_fault(enum eg_status status, struct egress_verdict *ret)
{
    *ret = (struct egress_verdict){ .status = status,
                                    .rule = "",
                                    .detail = egress_status_sentence(status) };
}

/* The first address that is refused, else the first. A name alone, or a literal: by itself. */
static void ask(const struct eg_policy *p, const struct egress_question *q, struct eg_ask *a,
                struct eg_addr *room, struct eg_verdict *ret)
{
    struct eg_verdict by_name;
    eg_policy_ask(p, a, &by_name);
    *ret = by_name;
    for (size_t i = 0; i < q->address_count && ret->status == EG_OK; i++) {
        struct eg_addr one = { .family = q->addresses[i].family };
        memcpy(one.b, q->addresses[i].octets, one.family == EGRESS_IPV4 ? 4 : 16);
        eg_policy_judge_address(p, &by_name, &one, a->to.port, ret);
        if (i == 0 || ret->status != EG_OK) {
            *room = one;
            a->addr = room;
        }
    }
}

void egress_policy_ask(const struct egress_policy *policy, const struct egress_question *question,
                       struct egress_verdict *ret)
{
    struct asked a;
    struct eg_addr room;
    struct eg_verdict v;
    enum eg_status st = read_question(policy->view, question, &a);
    if (st != EG_OK) {
        give_fault(st, ret);
        return;
    }
    ask(policy->view, question, &a.ask, &room, &v);
    give(&v, ret);
}

/* ---- why ---- */

struct taking {
    void (*take)(void *context, const struct egress_considered *considered);
    void *context;
};

static void pass_on(void *ctx, const struct eg_considered *c)
{
    const struct taking *t = ctx;
    const struct egress_considered given = { .action = c->action,
                                             .rule = eg_public_text(c->rule),
                                             .to = c->to,
                                             .decides = c->decides,
                                             .why = c->why };
    t->take(t->context, &given);
}

_Static_assert(sizeof((struct egress_remedy *)0)->key == sizeof((struct eg_least *)0)->key &&
                   sizeof((struct egress_remedy *)0)->line == sizeof((struct eg_least *)0)->line &&
                   sizeof((struct egress_remedy *)0)->text == sizeof((struct eg_least *)0)->text,
               "a remedy is copied whole");

bool egress_policy_explain(const struct egress_policy *policy,
                           const struct egress_question *question, struct egress_verdict *verdict,
                           void (*take)(void *context, const struct egress_considered *considered),
                           void *context, struct egress_remedy *remedy)
{
    struct asked a;
    struct eg_addr room;
    struct eg_verdict v;
    struct eg_least least;
    struct taking taking = { take, context };
    if (remedy)
        memset(remedy, 0, sizeof *remedy);
    enum eg_status st = read_question(policy->view, question, &a);
    if (st != EG_OK) {
        give_fault(st, verdict);
        return false;
    }
    ask(policy->view, question, &a.ask, &room, &v);
    give(&v, verdict);
    if (take)
        eg_policy_consider(policy->view, &a.ask, &v, pass_on, &taking);
    if (remedy && (v.status != EG_OK || v.would_deny != EG_OK)) {
        eg_policy_least(policy->view, &a.ask, &v, &least);
        memcpy(remedy->key, least.key, sizeof remedy->key);
        memcpy(remedy->line, least.line, sizeof remedy->line);
        memcpy(remedy->text, least.text, sizeof remedy->text);
    }
    return true;
}
