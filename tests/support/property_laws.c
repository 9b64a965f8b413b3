/* property_laws.c - laws that hold between two policies, whatever the engine makes of one: they need no second evaluator. */
#include "support/property.h"

#include <stdio.h>

/* ---- order ---- */

static void shuffle(struct eg_random *r, struct eg_random_policy *p)
{
    for (unsigned i = p->rule_count; i > 1; i--) {
        unsigned k = eg_random_below(r, i);
        struct eg_random_rule other = p->rules[i - 1];
        p->rules[i - 1] = p->rules[k];
        p->rules[k] = other;
    }
    for (unsigned i = 0; i < p->network_count; i++)
        p->networks[i].org = !p->trusted || eg_random_one_in(r, 2);
    for (unsigned i = 0; i < p->rule_count; i++) {
        struct eg_random_rule *rule = &p->rules[i];
        if (p->trusted) /* lists unite: which file says it makes no difference */
            rule->org = eg_random_one_in(r, 2);
        for (unsigned k = 0; k + 1 < rule->port_count; k++) {
            uint16_t port = rule->ports[k];
            rule->ports[k] = rule->ports[k + 1];
            rule->ports[k + 1] = port;
        }
    }
}

static bool same(const struct eg_verdict *a, const struct eg_verdict *b)
{
    return a->status == b->status && a->would_deny == b->would_deny && a->scheme == b->scheme &&
           a->sni_optional == b->sni_optional && a->max_request_body == b->max_request_body;
}

static void check_order(const struct eg_property *t)
{
    struct eg_random_policy other = *t->p;
    struct eg_buf block;
    shuffle(t->r, &other);
    struct eg_policy *shuffled = eg_random_compile(&other, &block);
    if (!shuffled || memcmp(eg_policy_id(t->policy), eg_policy_id(shuffled), 32) != 0)
        eg_property_fail(t, NULL, "in another order, or other files, it is another policy");
    for (unsigned i = 0; shuffled && i < t->requests; i++) {
        struct eg_random_request request;
        struct eg_verdict before, after;
        eg_random_request(t->r, t->p, NULL, &request);
        if (eg_random_ask(t->policy, &request, &before) &&
            eg_random_ask(shuffled, &request, &after) && !same(&before, &after))
            eg_property_fail(t, &request, "the order of rules decides, or their file");
        t->count->pairs++;
    }
    eg_policy_close(shuffled);
    eg_buf_done(&block);
}

/* ---- deny ---- */

static bool passes(const struct eg_verdict *v)
{
    return v->status == EG_OK;
}

/* A deny rule of some other random policy; false: none came up. */
static bool some_deny(struct eg_random *r, struct eg_random_rule *ret)
{
    struct eg_random_policy other;
    for (unsigned tries = 0; tries < 8; tries++) {
        eg_random_policy(r, &other);
        for (unsigned i = 0; i < other.rule_count; i++)
            if (other.rules[i].deny) {
                *ret = other.rules[i];
                return true;
            }
    }
    return false;
}

static void check_deny(const struct eg_property *t)
{
    struct eg_random_policy more = *t->p;
    struct eg_property with = *t;
    struct eg_buf block;
    if (more.rule_count == EG_RANDOM_RULES || !some_deny(t->r, &more.rules[more.rule_count]))
        return;
    more.rule_count++;
    with.p = &more;
    struct eg_policy *denied = eg_random_compile(&more, &block);
    if (!denied)
        eg_property_fail(&with, NULL, "it does not compile with a deny rule more");
    for (unsigned i = 0; denied && i < t->requests; i++) {
        struct eg_random_request request;
        struct eg_verdict before, after = { .status = EG_INTERNAL };
        eg_random_request(t->r, &more, NULL, &request);
        if (eg_random_ask(t->policy, &request, &before) &&
            eg_random_ask(denied, &request, &after) && !passes(&before) && passes(&after))
            eg_property_fail(&with, &request, "the last deny rule lets this through");
        t->count->pairs++;
        t->count->refused += !passes(&after);
        t->count->allowed += passes(&after);
    }
    eg_policy_close(denied);
    eg_buf_done(&block);
}

/* ---- what explain proposes ---- */

/* A service's rules can't stand in another file: false. */
static bool as_file(const struct eg_least *least, const struct eg_ask *ask, char *out, size_t cap)
{
    if (strcmp(least->key, "allow") == 0)
        snprintf(out, cap, "egress: 1\nallow:\n  - %s\n", least->line);
    else if (strcmp(least->key, "networks.allow") == 0)
        snprintf(out, cap, "egress: 1\nnetworks: {allow: [%s]}\n", least->line);
    else if (strcmp(least->key, "rules") == 0 && ask->kind == EG_ASK_HTTP)
        snprintf(out, cap,
                 "egress: 1\nallow:\n  - {%s: \"%s\", scheme: http, ports: [%u], rules: [%s]}\n",
                 ask->to.literal ? "address" : "host", ask->to.host, ask->to.port, least->line);
    else
        return false;
    return true;
}

/* What it proposes for the request, as a file; false: nothing that could be tried. */
static bool propose(const struct eg_property *t, struct eg_random_request *request,
                    struct eg_verdict *before, char *out, size_t cap)
{
    struct eg_random_room room;
    struct eg_ask ask;
    struct eg_least least = { .key = "" };
    if (eg_random_question(t->policy, request, &room, &ask)) {
        eg_policy_ask(t->policy, &ask, before);
        if (before->status != EG_ADDRESS_DENIED) /* one step after the other: the name first */
            request->addr[0] = '\0';
        /* a literal that leads elsewhere is no question */
        if (ask.kind == EG_ASK_ROUTE || !ask.to.literal || !ask.addr)
            eg_policy_least(t->policy, &ask, before, &least);
    }
    eg_buf_done(&room.path);
    return as_file(&least, &ask, out, cap);
}

static void check_least(const struct eg_property *t)
{
    struct eg_random_request request;
    struct eg_verdict before, after;
    struct eg_buf block;
    char more[2048], what[2400];
    eg_random_request(t->r, t->p, NULL, &request);
    if (!propose(t, &request, &before, more, sizeof more))
        return;
    t->count->pairs++;
    struct eg_policy *helped = eg_random_compile_with(t->p, more, &block);
    snprintf(what, sizeof what, "what explain proposes does not help:\n%s", more);
    if (!helped || !eg_random_ask(helped, &request, &after) || !passes(&after) ||
        (passes(&before) && after.would_deny != EG_OK))
        eg_property_fail(t, &request, what);
    eg_policy_close(helped);
    eg_buf_done(&block);
}

static void check(const struct eg_property *t)
{
    check_order(t);
    check_deny(t);
    for (unsigned i = 0; i < 4; i++)
        check_least(t);
}

void eg_property_laws(uint64_t seed, unsigned policies, unsigned requests,
                      struct eg_property_count *count)
{
    eg_property_each(seed, policies, requests, count, check);
}
