/* model_rules.c - allow, deny and networks. Every entry becomes one rule on one pattern; nothing depends on order. */
#include "policy/check.h"
#include "policy/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/ranges.h"

static const uint16_t standard_port[] = {
    [EG_SCHEME_NONE] = 0, [EG_SCHEME_HTTPS] = 443, [EG_SCHEME_HTTP] = 80, [EG_SCHEME_TCP] = 0
};

static int compare_ports(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* ports: [n] or any. False: reported. */
static bool read_ports(struct eg_model *m, const struct eg_yaml *ports, struct eg_model_rule *rule)
{
    unsigned n = 0;
    if (ports->kind == EG_YAML_TEXT)
        return true; /* any */
    if (ports->count == 0 || ports->count > EG_MODEL_PORTS_MAX) {
        eg_diag_error(m->diags, "bad-value", ports->at, "`ports: any` is every port",
                      "ports holds 1 to %d numbers", EG_MODEL_PORTS_MAX);
        return false;
    }
    for (const struct eg_yaml *port = ports->first; port; port = port->next) {
        if (port->bad)
            return false;
        rule->ports[n++] = (uint16_t)port->number;
    }
    qsort(rule->ports, n, sizeof *rule->ports, compare_ports);
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++)
        if (i == 0 || rule->ports[i] != rule->ports[i - 1])
            rule->ports[kept++] = rule->ports[i];
    rule->port_count = (uint16_t)kept;
    return true;
}

/* "fix: the network is 10.0.0.0/8" for a range with host bits. */
static void report_cidr(struct eg_model *m, const struct eg_yaml *node)
{
    struct eg_addr base, network;
    uint8_t bits;
    char text[EG_ADDR_TEXT], fix[EG_ADDR_TEXT + 40];
    unsigned long long length;
    long slash = eg_slice_index(node->text, '/');
    if (slash > 0 && eg_addr_parse(eg_slice(node->text.p, (size_t)slash), &base) &&
        eg_slice_u64(eg_slice_from(node->text, (size_t)slash + 1), &length) &&
        length <= (base.family == 4 ? 32u : 128u)) {
        network = base;
        for (unsigned i = 0; i < 128; i++)
            if (i >= length)
                network.b[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
        snprintf(fix, sizeof fix, "the network is %s/%llu",
                 eg_addr_format(&network, text, sizeof text), length);
        eg_diag_error(m->diags, "bad-cidr", node->at, fix,
                      "the range has bits set behind its prefix");
        return;
    }
    bool single = eg_addr_parse(node->text, &base);
    bits = base.family == 4 ? 32 : 128;
    if (single)
        snprintf(fix, sizeof fix, "write %s/%u", eg_addr_format(&base, text, sizeof text), bits);
    eg_diag_error(m->diags, "bad-cidr", node->at, single ? fix : NULL,
                  "this is not a range such as 10.0.0.0/8 or fd00::/8");
}

static bool read_range(struct eg_model *m, const struct eg_yaml *node, struct eg_pattern *to)
{
    to->kind = EG_PATTERN_PREFIX;
    if (eg_cidr_parse(node->text, &to->addr, &to->bits))
        return true;
    report_cidr(m, node);
    return false;
}

static bool read_address(struct eg_model *m, const struct eg_yaml *node, struct eg_pattern *to)
{
    to->kind = EG_PATTERN_PREFIX;
    struct eg_slice text = node->text;
    if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        text = eg_slice(text.p + 1, text.n - 2);
    if (!eg_addr_parse(text, &to->addr)) {
        eg_diag_error(m->diags, "bad-address", node->at, NULL,
                      "this is not an IPv4 or IPv6 address in its plain form");
        return false;
    }
    to->bits = to->addr.family == 4 ? 32 : 128;
    return true;
}

/* host, address or cidr: exactly one. */
static bool read_target(struct eg_model *m, const struct eg_yaml *entry, struct eg_pattern *to)
{
    const struct eg_yaml *host = eg_yaml_get(entry, "host");
    const struct eg_yaml *address = eg_yaml_get(entry, "address");
    const struct eg_yaml *range = eg_yaml_get(entry, "cidr");
    int count = (host != NULL) + (address != NULL) + (range != NULL);
    if ((host && host->bad) || (address && address->bad) || (range && range->bad))
        return false;
    if (count != 1) {
        eg_diag_error(m->diags, "bad-rule", entry->at, NULL,
                      count == 0 ? "a rule names a host, an address or a cidr"
                                 : "a rule names one of host, address and cidr, not several");
        return false;
    }
    return host      ? eg_model_pattern(m, host, false, to)
           : address ? read_address(m, address, to)
                     : read_range(m, range, to);
}

/* An untrusted file opens nothing inside of the special ranges (policy.md, Layers and trust). */
static bool trusted_range(struct eg_model *m, const struct eg_source *source,
                          const struct eg_yaml *node, const struct eg_pattern *to)
{
    if (source->trusted || to->kind != EG_PATTERN_PREFIX)
        return true;
    const struct eg_range *range = eg_range_overlap(&to->addr, to->bits);
    bool nat64 = eg_range_nat64(&to->addr);
    for (unsigned i = 0; !range && !nat64 && m->reader && i < m->reader->own_count; i++)
        if (eg_addr_in(&m->reader->own_addresses[i], &to->addr, to->bits)) {
            eg_diag_error(m->diags, "untrusted-key", node->at, eg_trust_fix,
                          "an untrusted file may not open this machine's own addresses");
            return false;
        }
    if (!range && !nat64)
        return true;
    eg_diag_error(m->diags, "untrusted-key", node->at, eg_trust_fix,
                  "an untrusted file may not open addresses that are %s",
                  range ? range->text : "NAT64 (64:ff9b::/96)");
    return false;
}

static const struct eg_yaml *target_node(const struct eg_yaml *entry)
{
    const struct eg_yaml *node = eg_model_child(entry, "host");
    node = node ? node : eg_model_child(entry, "address");
    node = node ? node : eg_model_child(entry, "cidr");
    return node ? node : entry;
}

static bool unenforceable(struct eg_model *m, const struct eg_yaml *node, const char *fix,
                          const char *text)
{
    eg_diag_error(m->diags, "unenforceable-rule", node->name_at, fix, "%s", text);
    return false;
}

/* rules: on requests, where requests are seen. */
static bool read_rules(struct eg_model *m, const struct eg_yaml *entry, struct eg_model_rule *rule)
{
    const struct eg_yaml *rules = eg_model_child(entry, "rules");
    if (!rules)
        return !eg_yaml_get(entry, "rules");
    if (rule->action == EG_ACTION_ALLOW && rule->scheme != EG_SCHEME_HTTP)
        return unenforceable(m, rules, "scheme: http, or a service's route, sees requests",
                             "requests can't be seen in an opaque tunnel");
    if (rule->action == EG_ACTION_DENY && rule->to.kind == EG_PATTERN_PREFIX)
        return unenforceable(m, rules, "name the host, or leave rules out",
                             "which address a name leads to is known after its request was judged");
    return eg_model_read_paths(m, rules, true, &rule->paths);
}

/* scheme, ports, sni, rules, max_request_body of an allow rule. */
static bool read_allow(struct eg_model *m, const struct eg_yaml *entry, struct eg_model_rule *rule)
{
    const struct eg_yaml *scheme = eg_model_child(entry, "scheme");
    const struct eg_yaml *ports = eg_model_child(entry, "ports");
    const struct eg_yaml *sni = eg_model_child(entry, "sni");
    const struct eg_yaml *body = eg_model_child(entry, "max_request_body");
    rule->scheme = scheme ? (enum eg_scheme)(EG_SCHEME_HTTPS + scheme->number) : EG_SCHEME_HTTPS;
    bool literal = rule->to.kind == EG_PATTERN_PREFIX;
    if (sni && rule->scheme != EG_SCHEME_HTTPS)
        return unenforceable(m, sni, "remove it", "sni is judged under scheme: https only");
    if (sni && literal && sni->number == 0)
        return unenforceable(m, sni, "remove it",
                             "an address can't be a TLS server name (RFC 6066 section 3)");
    if (body && rule->scheme != EG_SCHEME_HTTP)
        return unenforceable(m, body, "scheme: http, or a service's route, sees requests",
                             "the size of a request can't be seen in an opaque tunnel");
    if (!read_rules(m, entry, rule))
        return false;
    rule->sni_optional = rule->scheme == EG_SCHEME_HTTPS && (literal || (sni && sni->number == 1));
    rule->max_request_body = body ? body->number : 0;
    if (ports)
        return read_ports(m, ports, rule);
    if (rule->scheme == EG_SCHEME_TCP) {
        eg_diag_error(m->diags, "bad-rule", entry->at, "add ports: [n], or `ports: any`",
                      "scheme: tcp needs its ports");
        return false;
    }
    rule->ports[0] = standard_port[rule->scheme];
    rule->port_count = 1;
    return true;
}

/* A rule that could only speak of metadata never speaks. */
static void warn_metadata(struct eg_model *m, const struct eg_yaml *node,
                          const struct eg_pattern *to)
{
    bool host = to->kind == EG_PATTERN_EXACT && eg_metadata_name(to->host);
    bool address = to->kind == EG_PATTERN_PREFIX && to->bits == (to->addr.family == 4 ? 32 : 128) &&
                   eg_metadata_addr(&to->addr);
    if (host || address)
        eg_diag_warning(m->diags, "unreachable-rule", node->at, NULL,
                        "cloud metadata is refused whatever a rule says, unless "
                        "networks.allow_metadata stands in the org layer");
}

static void add_entry(struct eg_model *m, const struct eg_source *source,
                      const struct eg_yaml *entry, enum eg_action action)
{
    struct eg_model_rule rule = { .action = action };
    bool map = entry->kind == EG_YAML_MAP;
    if (entry->bad)
        return;
    if (!(map ? read_target(m, entry, &rule.to) : eg_model_pattern(m, entry, false, &rule.to)))
        return;
    const struct eg_yaml *node = map ? target_node(entry) : entry;
    if (action == EG_ACTION_ALLOW && !trusted_range(m, source, node, &rule.to))
        return;
    if (action == EG_ACTION_ALLOW && !read_allow(m, entry, &rule))
        return;
    const struct eg_yaml *ports = eg_model_child(entry, "ports");
    if (action == EG_ACTION_DENY &&
        ((ports && !read_ports(m, ports, &rule)) || !read_rules(m, entry, &rule)))
        return;
    if (action == EG_ACTION_ALLOW && !m->allow_metadata)
        warn_metadata(m, node, &rule.to);
    struct eg_model_rule *kept = eg_model_new_rule(m, action, node->at);
    if (!kept)
        return;
    struct eg_model_rule *next = kept->next;
    struct eg_slice text = kept->rule;
    *kept = rule;
    kept->next = next;
    kept->rule = text;
    kept->at = node->at;
    kept->why = eg_model_text(entry, "why");
}

static void add_networks(struct eg_model *m, const struct eg_source *source,
                         const struct eg_yaml *networks)
{
    const struct eg_yaml *metadata = eg_model_child(networks, "allow_metadata");
    const struct eg_yaml *list = eg_model_child(networks, "allow");
    if (metadata && metadata->number == 1 && source->layer != EG_LAYER_ORG)
        eg_diag_error(m->diags, "org-only", metadata->name_at,
                      "it belongs into /etc/egress/org.yaml",
                      "allow_metadata has its place in the org layer alone");
    else if (metadata && metadata->number == 1)
        m->allow_metadata = true;
    for (const struct eg_yaml *node = list ? list->first : NULL; node; node = node->next) {
        struct eg_pattern to = { 0 };
        if (node->bad || !read_range(m, node, &to))
            continue;
        struct eg_model_rule *rule = eg_model_new_rule(m, EG_ACTION_NETWORK, node->at);
        if (rule)
            rule->to = to;
    }
}

void eg_model_add_rules(struct eg_model *m, const struct eg_source *source,
                        const struct eg_yaml *root)
{
    const struct eg_yaml *allow = eg_model_child(root, "allow");
    const struct eg_yaml *deny = eg_model_child(root, "deny");
    const struct eg_yaml *longest = deny && (!allow || deny->count > allow->count) ? deny : allow;
    add_networks(m, source, eg_model_child(root, "networks"));
    if (longest && longest->count > EG_MODEL_RULES_MAX) { /* before any is made */
        eg_diag_error(m->diags, "too-large", longest->name_at, NULL, "there are more than %d rules",
                      EG_MODEL_RULES_MAX);
        return;
    }
    for (const struct eg_yaml *node = allow ? allow->first : NULL; node && m->status == EG_OK;
         node = node->next)
        add_entry(m, source, node, EG_ACTION_ALLOW);
    for (const struct eg_yaml *node = deny ? deny->first : NULL; node && m->status == EG_OK;
         node = node->next)
        add_entry(m, source, node, EG_ACTION_DENY);
}
