/* lint.c - warnings that need the whole policy; they are found by asking the compiled block, so they say what the proxy would do. */
#include "policy/block.h"

#include <stdio.h>

static void warn_shadowed(struct eg_model *m, const struct eg_policy *p,
                          const struct eg_model_rule *rule)
{
    struct eg_slice deny = eg_policy_covered(p, &rule->to, rule->ports, rule->port_count,
                                             rule->scheme != EG_SCHEME_HTTP);
    if (deny.n)
        eg_diag_warning(m->diags, "shadowed-by-deny", rule->at, "remove one of the two",
                        "this rule allows nothing: the deny rule at %.*s covers it", (int)deny.n,
                        deny.p);
}

static void warn_tunnel(struct eg_model *m, const struct eg_policy *p,
                        const struct eg_model_service *s)
{
    struct eg_verdict verdict;
    bool ruled = s->rules.count + s->denies.count > 0;
    eg_policy_judge_tunnel(p, &s->s.upstream, &verdict);
    if (verdict.status != EG_OK || verdict.would_deny != EG_OK || (s->s.credential.n == 0 && !ruled) || s->s.internal)
        return;
    eg_diag_warning(
        m->diags, "service-host-tunnel", s->at, "remove the rule, if the route is enough",
        "%.*s also allows tunnels to %.*s: the child may go there %s", (int)verdict.rule.n,
        verdict.rule.p, (int)s->s.upstream.host_len, s->s.upstream.host,
        s->s.credential.n ? "with a key of its own" : "round the service's rules");
}

/* Lists unite: another rule on the host may let through what these rules leave out. Asked with a request that no pattern names but `*`. */
static void warn_widened(struct eg_model *m, const struct eg_policy *p,
                         const struct eg_model_rule *rule)
{
    struct eg_authority to = { .port = rule->port_count ? rule->ports[0] : 80 };
    struct eg_verdict verdict;
    if (rule->paths.count == 0 || rule->to.kind != EG_PATTERN_EXACT)
        return;
    memcpy(to.host, rule->to.host.p, rule->to.host.n);
    to.host_len = (uint8_t)rule->to.host.n;
    eg_policy_judge_http(p, &to, EG_SLICE("-"), EG_SLICE("/-"), (struct eg_path_flags){ 0 },
                         &verdict);
    if (verdict.status == EG_OK && verdict.would_deny == EG_OK &&
        !eg_slice_eq(verdict.rule, rule->rule))
        eg_diag_warning(m->diags, "unreachable-rule", rule->at, "remove one of the two",
                        "these rules narrow nothing: %.*s allows every request to the host",
                        (int)verdict.rule.n, verdict.rule.p);
}

/* localhost is a name, and names may not lead to loopback: people mean the address. */
static void warn_localhost(struct eg_model *m, const struct eg_policy *p, struct eg_place at,
                           struct eg_slice host, uint16_t port)
{
    static const struct eg_addr loopback = { 4, { 127, 0, 0, 1 } };
    const struct eg_verdict by_name = { .status = EG_OK };
    struct eg_verdict verdict;
    if (!eg_slice_eq(host, EG_SLICE("localhost")))
        return;
    eg_policy_judge_address(p, &by_name, &loopback, port, &verdict);
    if (verdict.status != EG_OK)
        eg_diag_warning(m->diags, "unreachable-rule", at,
                        "write 127.0.0.1 or [::1], or open 127.0.0.0/8 with networks.allow",
                        "localhost is a name, and a name may not lead to a loopback address");
}

static void warn_denied(struct eg_model *m, const struct eg_policy *p,
                        const struct eg_model_service *s, unsigned index)
{
    struct eg_verdict verdict;
    eg_policy_judge_route(p, index, EG_SLICE("GET"), EG_SLICE("/"), (struct eg_path_flags){ 0 },
                          &verdict);
    if (verdict.status == EG_HOST_DENIED)
        eg_diag_warning(m->diags, "shadowed-by-deny", s->at, "remove one of the two",
                        "the deny rule at %.*s covers this service's upstream", (int)verdict.rule.n,
                        verdict.rule.p);
    else if (verdict.status == EG_METADATA_DENIED)
        eg_diag_warning(m->diags, "unreachable-rule", s->at, NULL,
                        "cloud metadata is refused for services too");
}

void eg_policy_lint(struct eg_model *m, const struct eg_policy *p)
{
    unsigned index = 0;
    for (const struct eg_model_rule *r = m->rules; r; r = r->next)
        if (r->action == EG_ACTION_ALLOW) {
            warn_shadowed(m, p, r);
            warn_widened(m, p, r);
            warn_localhost(m, p, r->at, r->to.host, r->ports[0]);
        }
    for (const struct eg_model_service *s = m->services; s; s = s->next, index++) {
        warn_tunnel(m, p, s);
        warn_denied(m, p, s, index);
        warn_localhost(m, p, s->upstream_at, eg_authority_host(&s->s.upstream), s->s.upstream.port);
    }
}
