/* property_laws.c - laws that hold between two policies, whatever the engine makes of one: they need no second evaluator. */
#include "support/property.h"

#include <stdio.h>

#include "support/random_policy.h"

enum { SHOWN_MAX = 5 };

static void fail(struct eg_property_count *count, uint64_t seed, const struct eg_random_policy *p,
                 const struct eg_random_request *request, const char *what)
{
    char line[400] = "";
    struct eg_buf text;
    if (count->failed++ >= SHOWN_MAX)
        return;
    fprintf(stderr, "seed 0x%llx: %s: %s\n", (unsigned long long)seed, what,
            request ? eg_random_show(request, line, sizeof line) : "");
    for (unsigned org = 2; org-- > 0;) {
        eg_buf_init(&text, 1 << 18);
        if (eg_random_text(p, org, &text) == EG_OK)
            fprintf(stderr, "# %s\n%.*s", org ? "org.yaml" : "egress.yaml", (int)text.len,
                    text.data);
        eg_buf_done(&text);
    }
}

/* ---- order ---- */

static void shuffle(struct eg_random *r, struct eg_random_policy *p)
{
    for (unsigned i = p->rule_count; i > 1; i--) {
        unsigned k = eg_random_below(r, i);
        struct eg_random_rule other = p->rules[i - 1];
        p->rules[i - 1] = p->rules[k];
        p->rules[k] = other;
    }
    for (unsigned i = 0; i < p->rule_count; i++) {
        struct eg_random_rule *rule = &p->rules[i];
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

static void check_order(struct eg_random *r, uint64_t seed, const struct eg_random_policy *p,
                        const struct eg_policy *policy, unsigned requests,
                        struct eg_property_count *count)
{
    struct eg_random_policy other = *p;
    struct eg_buf block;
    shuffle(r, &other);
    struct eg_policy *shuffled = eg_random_compile(&other, &block);
    if (!shuffled || memcmp(eg_policy_id(policy), eg_policy_id(shuffled), 32) != 0)
        fail(count, seed, p, NULL, "in another order it is another policy");
    for (unsigned i = 0; shuffled && i < requests; i++) {
        struct eg_random_request request;
        struct eg_verdict before, after;
        eg_random_request(r, p, NULL, &request);
        if (eg_random_ask(policy, &request, &before) && eg_random_ask(shuffled, &request, &after) &&
            !same(&before, &after))
            fail(count, seed, p, &request, "the order of rules decides");
        count->pairs++;
    }
    eg_policy_close(shuffled);
    eg_buf_done(&block);
}

/* ---- deny ---- */

static bool passes(const struct eg_verdict *v)
{
    return v->status == EG_OK;
}

static void check_deny(struct eg_random *r, uint64_t seed, const struct eg_random_policy *p,
                       const struct eg_policy *policy, unsigned requests,
                       struct eg_property_count *count)
{
    struct eg_random_policy other, more = *p;
    struct eg_buf block;
    struct eg_random_rule *deny = NULL;
    for (unsigned tries = 0; !deny && tries < 8; tries++) {
        eg_random_policy(r, &other);
        for (unsigned i = 0; i < other.rule_count && !deny; i++)
            deny = other.rules[i].deny ? &other.rules[i] : NULL;
    }
    if (!deny || more.rule_count == EG_RANDOM_RULES)
        return;
    more.rules[more.rule_count++] = *deny;
    struct eg_policy *denied = eg_random_compile(&more, &block);
    if (!denied)
        fail(count, seed, &more, NULL, "it does not compile with a deny rule more");
    for (unsigned i = 0; denied && i < requests; i++) {
        struct eg_random_request request;
        struct eg_verdict before, after;
        eg_random_request(r, &more, NULL, &request);
        if (eg_random_ask(policy, &request, &before) && eg_random_ask(denied, &request, &after) &&
            !passes(&before) && passes(&after))
            fail(count, seed, &more, &request, "the last deny rule lets this through");
        count->pairs++;
        count->refused += !passes(&after);
        count->allowed += passes(&after);
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

static void check_least(struct eg_random *r, uint64_t seed, const struct eg_random_policy *p,
                        const struct eg_policy *policy, struct eg_property_count *count)
{
    struct eg_random_request request;
    struct eg_random_room room;
    struct eg_ask ask;
    struct eg_verdict before, after;
    struct eg_least least = { .key = "" };
    struct eg_buf block = { .data = NULL };
    char more[2048], what[2400];
    eg_random_request(r, p, NULL, &request);
    if (eg_random_question(policy, &request, &room, &ask)) {
        eg_policy_ask(policy, &ask, &before);
        if (before.status != EG_ADDRESS_DENIED) /* one step after the other: the name first */
            request.addr[0] = '\0';
        bool foreign = ask.kind != EG_ASK_ROUTE && ask.to.literal &&
                       ask.addr; /* a literal that leads elsewhere is no question */
        if (!foreign)
            eg_policy_least(policy, &ask, &before, &least);
    }
    eg_buf_done(&room.path);
    if (!as_file(&least, &ask, more, sizeof more))
        return;
    count->pairs++;
    struct eg_policy *helped = eg_random_compile_with(p, more, &block);
    snprintf(what, sizeof what, "what explain proposes does not help: %s: %s", least.key,
             least.line);
    if (!helped || !eg_random_ask(helped, &request, &after) || !passes(&after) ||
        (!passes(&before) ? false : after.would_deny != EG_OK))
        fail(count, seed, p, &request, what);
    eg_policy_close(helped);
    eg_buf_done(&block);
}

void eg_property_laws(uint64_t seed, unsigned policies, unsigned requests,
                      struct eg_property_count *count)
{
    struct eg_random seeds;
    *count = (struct eg_property_count){ 0 };
    eg_random_seed(&seeds, seed);
    for (unsigned i = 0; i < policies; i++) {
        struct eg_random r;
        struct eg_random_policy p;
        struct eg_buf block;
        uint64_t own = i == 0 ? seed : eg_random_next(&seeds);
        eg_random_seed(&r, own);
        eg_random_policy(&r, &p);
        struct eg_policy *policy = eg_random_compile(&p, &block);
        if (policy) {
            check_order(&r, own, &p, policy, requests, count);
            check_deny(&r, own, &p, policy, requests, count);
            for (unsigned k = 0; k < 4; k++)
                check_least(&r, own, &p, policy, count);
        } else {
            count->failed++;
        }
        eg_policy_close(policy);
        eg_buf_done(&block);
    }
}
