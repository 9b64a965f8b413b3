/* property.c - the loop over random policies, and the engine beside the naive evaluator. */
#include "support/property.h"

#include <stdio.h>

#include "support/naive.h"

enum { SHOWN_MAX = 5 };

void eg_property_each(uint64_t seed, unsigned policies, unsigned requests,
                      struct eg_property_count *count, void (*try_one)(const struct eg_property *t))
{
    struct eg_random seeds;
    *count = (struct eg_property_count){ 0 };
    eg_random_seed(&seeds, seed);
    for (unsigned i = 0; i < policies; i++) {
        struct eg_random r;
        struct eg_random_policy p;
        struct eg_buf block;
        struct eg_property t = {
            i == 0 ? seed : eg_random_next(&seeds), &r, &p, NULL, requests, count
        };
        eg_random_seed(&r, t.seed);
        eg_random_policy(&r, &p);
        struct eg_policy *policy = eg_random_compile(&p, &block);
        t.policy = policy;
        if (policy)
            try_one(&t);
        else
            eg_property_fail(&t, NULL, "it does not compile");
        eg_policy_close(policy);
        eg_buf_done(&block);
    }
}

bool eg_property_fail(const struct eg_property *t, const struct eg_random_request *request,
                      const char *what)
{
    char line[400] = "";
    if (t->count->failed++ >= SHOWN_MAX)
        return false;
    fprintf(stderr, "seed 0x%llx: %s: %s\n", (unsigned long long)t->seed, what,
            request ? eg_random_show(request, line, sizeof line) : "");
    eg_random_print(t->p);
    return true;
}

static void show_verdict(const char *who, enum eg_status status, enum eg_scheme scheme,
                         bool sni_optional, enum eg_status would, unsigned long long body)
{
    static const char *const schemes[] = { "-", "https", "http", "tcp" };
    fprintf(stderr, "  %s %s %s%s body=%llu would %s\n", who, egress_status_name(status),
            schemes[scheme], sni_optional ? " nosni" : "", body, egress_status_name(would));
}

static void report(const struct eg_property *t, const struct eg_random_request *request,
                   const struct eg_naive_verdict *naive, const struct eg_verdict *engine)
{
    if (!eg_property_fail(t, request, "the engine differs"))
        return;
    show_verdict("naive ", naive->status, naive->scheme, naive->sni_optional, naive->would_deny,
                 naive->max_request_body);
    show_verdict("engine", engine->status, engine->scheme, engine->sni_optional, engine->would_deny,
                 engine->max_request_body);
    fprintf(stderr, "  rule %.*s: %.*s\n", (int)engine->rule.n,
            engine->rule.n ? engine->rule.p : "", (int)engine->detail.n,
            engine->detail.n ? engine->detail.p : "");
}

static void compare(const struct eg_property *t)
{
    struct eg_random_request request;
    struct eg_naive_verdict naive;
    struct eg_verdict engine;
    for (unsigned i = 0; i < t->requests; i++) {
        eg_random_request(t->r, t->p, NULL, &request);
        bool has = eg_naive_judge(t->p, &request, &naive),
             had = eg_random_ask(t->policy, &request, &engine);
        t->count->pairs++;
        t->count->observed += naive.status == EG_OK && naive.would_deny != EG_OK;
        t->count->allowed += naive.status == EG_OK && naive.would_deny == EG_OK;
        t->count->refused += naive.status != EG_OK;
        if (has != had || (has && !eg_naive_same(&request, &naive, &engine)))
            report(t, &request, &naive, &engine);
    }
}

void eg_property_engine(uint64_t seed, unsigned policies, unsigned requests,
                        struct eg_property_count *count)
{
    eg_property_each(seed, policies, requests, count, compare);
}
