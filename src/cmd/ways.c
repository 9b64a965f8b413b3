/* ways.c - the ways in and out as status and the ready line tell them: listeners, and which proxies
 * were chosen by what. No texts but the policy's own and hop texts, which hold neither user nor
 * password. */
#include <stdlib.h>

#include "cmd/state.h"
#include "cmd/upstream.h"

/* ---- in ---- */

static json_t *protocols_json(const struct eg_sup_listener *l)
{
    static const char *const others[EG_INGRESS_KINDS] = { [EG_INGRESS_CAPTURE] = "captured",
                                                          [EG_INGRESS_NAMES_UDP] = "dns-udp",
                                                          [EG_INGRESS_NAMES_TCP] = "dns-tcp" };
    json_t *list = json_array();
    if (list && others[l->kind]) {
        json_array_append_new(list, json_string(others[l->kind]));
        return list;
    }
    if (list && (l->protocols & EG_PROTOCOL_HTTP))
        json_array_append_new(list, json_string("http"));
    if (list && (l->protocols & EG_PROTOCOL_SOCKS))
        json_array_append_new(list, json_string("socks5"));
    if (list && l->kind == EG_INGRESS_OPEN)
        json_array_append_new(list, json_string("no-token"));
    return list;
}

json_t *eg_supervisor_listeners_json(const struct eg_supervisor *s)
{
    json_t *listeners = json_array();
    for (unsigned i = 0; listeners && i < s->listener_count; i++) {
        const struct eg_sup_listener *l = &s->listeners[i];
        char text[EG_ADDR_TEXT];
        json_t *o = l->unix_path ? json_pack("{s:s}", "path", l->unix_path)
                                 : json_pack("{s:s,s:i}", "address",
                                             eg_addr_format(&l->at.addr, text, sizeof text), "port",
                                             (int)l->at.port);
        if (o) {
            json_object_set_new(o, "protocols", protocols_json(l));
            json_object_set_new(o, "tls", json_boolean(l->cert != NULL));
        }
        json_array_append_new(listeners, o);
    }
    return listeners;
}

/* ---- out ---- */

static json_t *chain_json(const struct eg_policy *p, enum eg_chain chain)
{
    struct eg_hop hops[EG_HOPS_MAX];
    unsigned n = eg_policy_hops(p, chain, hops);
    json_t *list = json_array();
    for (unsigned i = 0; list && i < n; i++)
        json_array_append_new(list, json_pack("{s:s%,s:s%,s:b}", "proxy", hops[i].text.p,
                                              hops[i].text.n, "why", hops[i].rule.p, hops[i].rule.n,
                                              "credential", (int)(hops[i].credential.n > 0)));
    return list;
}

json_t *eg_sup_upstream_json(const struct eg_supervisor *s)
{
    static const char *const names[] = { [EG_UPSTREAM_NONE] = "none",
                                         [EG_UPSTREAM_POLICY] = "policy",
                                         [EG_UPSTREAM_ENV] = "environment",
                                         [EG_UPSTREAM_OPTION] = "option" };
    const struct eg_policy *p = s->policy->policy;
    const struct eg_settings *set = eg_policy_settings(p);
    json_t *bypass = json_array();
    for (unsigned i = 0; bypass && i < eg_policy_bypass_count(p); i++) {
        char text[EG_AUTHORITY_TEXT];
        json_array_append_new(bypass,
                              json_string(eg_policy_bypass_format(p, i, text, sizeof text)));
    }
    return json_pack("{s:s,s:s,s:o,s:o,s:o}", "chosen_by", names[set->upstream_from], "resolve",
                     set->proxy_resolve_local ? "local" : "remote", "chain",
                     chain_json(p, EG_CHAIN_SECURE), "plain_chain", chain_json(p, EG_CHAIN_PLAIN),
                     "bypass", bypass);
}
