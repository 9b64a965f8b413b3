/* property.c - the loops over random policies and requests. */
#include "support/property.h"

#include <stdio.h>

#include "support/naive.h"

enum { SHOWN_MAX = 5 };

static void show_verdict(const char *who, enum eg_status status, enum eg_scheme scheme,
                         bool sni_optional, enum eg_status would, unsigned long long body)
{
    static const char *const schemes[] = { "-", "https", "http", "tcp" };
    fprintf(stderr, "  %s %s %s%s body=%llu would %s\n", who, egress_status_name(status),
            schemes[scheme], sni_optional ? " nosni" : "", body, egress_status_name(would));
}

static void show_policy(const struct eg_random_policy *p)
{
    struct eg_buf text;
    for (unsigned org = 2; org-- > 0;) {
        eg_buf_init(&text, 1 << 16);
        if (eg_random_text(p, org, &text) == EG_OK)
            fprintf(stderr, "# %s\n%.*s",
                    org          ? "org.yaml"
                    : p->trusted ? "egress.yaml, trusted"
                                 : "egress.yaml",
                    (int)text.len, text.data);
        eg_buf_done(&text);
    }
}

static void report(uint64_t seed, const struct eg_random_policy *p,
                   const struct eg_random_request *request, const struct eg_naive_verdict *naive,
                   const struct eg_verdict *engine)
{
    char line[400];
    fprintf(stderr, "seed 0x%llx: %s\n", (unsigned long long)seed,
            eg_random_show(request, line, sizeof line));
    show_verdict("naive ", naive->status, naive->scheme, naive->sni_optional, naive->would_deny,
                 naive->max_request_body);
    show_verdict("engine", engine->status, engine->scheme, engine->sni_optional, engine->would_deny,
                 engine->max_request_body);
    fprintf(stderr, "  rule %.*s: %.*s\n", (int)engine->rule.n,
            engine->rule.n ? engine->rule.p : "", (int)engine->detail.n,
            engine->detail.n ? engine->detail.p : "");
    show_policy(p);
}

static void ask_one(uint64_t seed, struct eg_random *r, const struct eg_random_policy *p,
                    const struct eg_policy *policy, struct eg_property_count *count)
{
    struct eg_random_request request;
    struct eg_naive_verdict naive;
    struct eg_verdict engine;
    eg_random_request(r, p, NULL, &request);
    bool has = eg_naive_judge(p, &request, &naive), had = eg_random_ask(policy, &request, &engine);
    count->pairs++;
    count->observed += naive.status == EG_OK && naive.would_deny != EG_OK;
    count->allowed += naive.status == EG_OK && naive.would_deny == EG_OK;
    count->refused += naive.status != EG_OK;
    if (has == had && (!has || eg_naive_same(&request, &naive, &engine)))
        return;
    if (count->failed++ < SHOWN_MAX)
        report(seed, p, &request, &naive, &engine);
}

void eg_property_engine(uint64_t seed, unsigned policies, unsigned requests,
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
        if (!policy)
            count->failed++;
        for (unsigned k = 0; policy && k < requests; k++)
            ask_one(own, &r, &p, policy, count);
        eg_policy_close(policy);
        eg_buf_done(&block);
    }
}
