/* lint.c - warnings that need the whole policy; they are found by asking the compiled block, so they say what the proxy would do. */
#include "policy/block.h"

#include <stdio.h>

static void warn_shadowed(struct eg_model *m, const struct eg_policy *p, const struct eg_model_rule *rule)
{
    struct eg_slice deny = eg_policy_covered(p, &rule->to, rule->ports, rule->port_count);
    if (deny.n)
        eg_diag_warning(m->diags, "shadowed-by-deny", rule->at, "remove one of the two",
                        "this rule allows nothing: the deny rule at %.*s covers it", (int)deny.n, deny.p);
}

static void warn_tunnel(struct eg_model *m, const struct eg_policy *p, const struct eg_model_service *s)
{
    struct eg_verdict verdict;
    eg_policy_judge_tunnel(p, &s->s.upstream, &verdict);
    if (verdict.status != EG_OK || s->s.credential.n == 0)
        return;
    eg_diag_warning(m->diags, "service-host-tunnel", s->at, "remove the rule, if the route is enough",
                    "%.*s also allows tunnels to %.*s: the child may go there with a key of its own", (int)verdict.rule.n, verdict.rule.p,
                    (int)s->s.upstream.host_len, s->s.upstream.host);
}

static void warn_denied(struct eg_model *m, const struct eg_policy *p, const struct eg_model_service *s, unsigned index)
{
    struct eg_verdict verdict;
    eg_policy_judge_route(p, index, EG_SLICE("GET"), EG_SLICE("/"), (struct eg_path_flags){ 0 }, &verdict);
    if (verdict.status == EG_HOST_DENIED)
        eg_diag_warning(m->diags, "shadowed-by-deny", s->at, "remove one of the two",
                        "the deny rule at %.*s covers this service's upstream", (int)verdict.rule.n, verdict.rule.p);
    else if (verdict.status == EG_METADATA_DENIED)
        eg_diag_warning(m->diags, "unreachable-rule", s->at, NULL, "cloud metadata is refused for services too");
}

void eg_policy_lint(struct eg_model *m, const struct eg_policy *p)
{
    unsigned index = 0;
    for (const struct eg_model_rule *r = m->rules; r; r = r->next)
        if (r->action == EG_ACTION_ALLOW)
            warn_shadowed(m, p, r);
    for (const struct eg_model_service *s = m->services; s; s = s->next, index++) {
        warn_tunnel(m, p, s);
        warn_denied(m, p, s, index);
    }
}
