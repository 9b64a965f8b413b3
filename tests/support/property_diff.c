/* property_diff.c - the comparison of two policies against random requests: where one tells the policies apart, something was reported; and every
 * example that is reported is answered differently by the two. */
#include <stdio.h>

#include "policy/diff.h"
#include "support/property.h"
#include "support/random_policy.h"

enum { SHOWN_MAX = 5 };

struct seen {
    const struct eg_policy *p[2];
    unsigned changes, may, wrong;
    char first[400];
};

static void take(void *ctx, const struct eg_change *c)
{
    struct seen *s = ctx;
    struct eg_verdict v[2];
    s->changes += c->label != EG_CHANGE_NEUTRAL;
    s->may += c->may;
    if (s->changes == 1)
        snprintf(s->first, sizeof s->first, "%s %s %s: %s", eg_change_label_name(c->label),
                 c->subject, c->ports, c->example);
    if (!c->asked || c->kind == EG_CHANGE_ADDRESS)
        return;
    for (unsigned i = 0; i < 2; i++)
        eg_policy_ask(s->p[i], &c->ask[i], &v[i]);
    if (eg_policy_diff_tells(c->kind, &v[0], &v[1]))
        return;
    if (s->wrong++ == 0)
        snprintf(s->first, sizeof s->first, "WRONG %s %s %s: %s", eg_change_label_name(c->label),
                 c->subject, c->ports, c->example);
}

static void show_policy(const struct eg_random_policy *p, const char *name)
{
    struct eg_buf text;
    for (unsigned org = 2; org-- > 0;) {
        eg_buf_init(&text, 1 << 16);
        if (eg_random_text(p, org, &text) == EG_OK)
            fprintf(stderr, "# %s %s\n%.*s", name, org ? "org.yaml" : "egress.yaml", (int)text.len,
                    text.data);
        eg_buf_done(&text);
    }
}

struct pair {
    struct eg_random_policy *p, *q;
    const struct eg_policy *a, *b;
    uint64_t seed;
};

static void report(const struct pair *x, const struct seen *s,
                   const struct eg_random_request *request)
{
    char line[400];
    fprintf(stderr, "seed 0x%llx: %s\n  %s\n", (unsigned long long)x->seed, s->first,
            request ? eg_random_show(request, line, sizeof line)
                    : "an example that does not differ");
    show_policy(x->p, "A");
    show_policy(x->q, "B");
}

/* Does this request tell the two apart? A route that one of them lacks is refused by it. A literal leads to no address but its own. */
static bool tells(const struct pair *x, const struct eg_random_request *request)
{
    struct eg_verdict v = { .status = EG_ROUTE_UNKNOWN }, w = v;
    enum eg_change_kind kind = request->kind == EG_ASK_TUNNEL ? EG_CHANGE_TUNNEL
                               : request->kind == EG_ASK_HTTP ? EG_CHANGE_REQUEST
                                                              : EG_CHANGE_ROUTE;
    struct eg_addr literal;
    if (request->addr[0] && eg_addr_parse(eg_slice_str(request->host), &literal))
        return false;
    (void)eg_random_ask(x->a, request, &v);
    (void)eg_random_ask(x->b, request, &w);
    return eg_policy_diff_tells(kind, &v, &w);
}

static void one_pair(const struct pair *x, struct eg_random *r, unsigned requests,
                     struct eg_property_count *count)
{
    struct seen s = { .p = { x->a, x->b } };
    struct eg_random_request request;
    bool failed = eg_policy_diff(x->a, x->b, take, &s) != EG_OK || s.wrong > 0;
    count->observed += s.may;
    if (failed && count->failed++ < SHOWN_MAX)
        report(x, &s, NULL);
    *(s.changes ? &count->refused : &count->allowed) += 1;
    for (unsigned i = 0; i < requests; i++) {
        eg_random_request(r, x->p, x->q, &request);
        count->pairs++;
        if (!tells(x, &request) || s.changes > 0)
            continue;
        if (count->failed++ < SHOWN_MAX)
            report(x, &s, &request);
        return;
    }
}

/* Half of the pairs are one policy and itself with a small change or two: what is nearly equal is what is easily taken for equal. */
static void one_seed(uint64_t seed, unsigned requests, struct eg_property_count *count)
{
    struct eg_random r;
    struct eg_random_policy p, q;
    struct eg_buf block[2];
    eg_random_seed(&r, seed);
    eg_random_policy(&r, &p);
    q = p;
    if (eg_random_below(&r, 4) == 0)
        eg_random_policy(&r, &q);
    for (unsigned n = eg_random_below(&r, 3) + 1; n > 0; n--)
        eg_random_mutate(&r, &q);
    struct pair x = { &p, &q, eg_random_compile(&p, &block[0]), eg_random_compile(&q, &block[1]),
                      seed };
    if (x.a && x.b)
        one_pair(&x, &r, requests, count);
    else
        count->failed++;
    eg_policy_close((struct eg_policy *)(uintptr_t)x.a);
    eg_policy_close((struct eg_policy *)(uintptr_t)x.b);
    eg_buf_done(&block[0]);
    eg_buf_done(&block[1]);
}

void eg_property_diff(uint64_t seed, unsigned pairs, unsigned requests,
                      struct eg_property_count *count)
{
    struct eg_random seeds;
    *count = (struct eg_property_count){ 0 };
    eg_random_seed(&seeds, seed);
    for (unsigned i = 0; i < pairs; i++)
        one_seed(i == 0 ? seed : eg_random_next(&seeds), requests, count);
}
