/* random_files.c - the files that say what a random policy's structure says, and what the compiler makes of them. */
#include "support/random_policy.h"

#include <stdio.h>

#include "policy/compile.h"

struct writer {
    struct eg_buf *out;
    enum eg_status status;
};

static void put(struct writer *w, const char *text)
{
    if (w->status == EG_OK)
        w->status = eg_buf_put(w->out, eg_slice_str(text));
}

#define PRINT(w, ...)                                                                              \
    do {                                                                                           \
        if ((w)->status == EG_OK)                                                                  \
            (w)->status = eg_buf_printf((w)->out, __VA_ARGS__);                                    \
    } while (0)

static void put_patterns(struct writer *w, const char *key, const struct eg_random_pattern *list,
                         unsigned count)
{
    if (count == 0)
        return;
    PRINT(w, ", %s: [", key);
    for (unsigned i = 0; i < count; i++)
        PRINT(w, "%s\"%s %s\"", i ? ", " : "", list[i].method, list[i].path);
    put(w, "]");
}

static bool is_whole(const char *address, unsigned bits)
{
    return bits == (strchr(address, ':') ? 128 : 32);
}

static void put_rule(struct writer *w, const struct eg_random_rule *rule)
{
    static const char *const schemes[] = { "", "https", "http", "tcp" };
    bool usual = rule->port_count == 1 &&
                 rule->ports[0] == (rule->scheme == EG_SCHEME_HTTPS ? 443 : 80) &&
                 rule->scheme != EG_SCHEME_TCP && !rule->deny;
    if (rule->kind != EG_RANDOM_RANGE)
        PRINT(w, "  - {host: \"%s%s\"", rule->kind == EG_RANDOM_BELOW_IT ? "*." : "", rule->host);
    else if (is_whole(rule->host, rule->bits))
        PRINT(w, "  - {address: \"%s\"", rule->host);
    else
        PRINT(w, "  - {cidr: \"%s/%u\"", rule->host, rule->bits);
    if (!rule->deny)
        PRINT(w, ", scheme: %s", schemes[rule->scheme]);
    if (rule->port_count == 0)
        put(w, ", ports: any");
    for (unsigned i = 0; i < rule->port_count && !usual; i++)
        PRINT(w, "%s%u", i ? ", " : ", ports: [", rule->ports[i]);
    if (rule->port_count > 0 && !usual)
        put(w, "]");
    if (rule->sni_optional)
        put(w, ", sni: optional");
    if (rule->max_request_body)
        PRINT(w, ", max_request_body: %llu", (unsigned long long)rule->max_request_body);
    put_patterns(w, "rules", rule->rules, rule->rule_count);
    put(w, "}\n");
}

static void put_rules(struct writer *w, const struct eg_random_policy *p, bool org, bool deny)
{
    PRINT(w, "%s:\n", deny ? "deny" : "allow");
    for (unsigned i = 0; i < p->rule_count; i++)
        if (p->rules[i].deny == deny && p->rules[i].org == org)
            put_rule(w, &p->rules[i]);
}

static void put_service(struct writer *w, const struct eg_random_service *s)
{
    bool six = strchr(s->host, ':') != NULL;
    PRINT(w, "  %s: {upstream: \"%s://%s%s%s", s->name, s->tls ? "https" : "http", six ? "[" : "",
          s->host, six ? "]" : "");
    if (s->port != (s->tls ? 443 : 80))
        PRINT(w, ":%u", s->port);
    PRINT(w, "%s\"", s->base);
    put_patterns(w, "rules", s->rules, s->rule_count);
    put_patterns(w, "deny", s->denies, s->deny_count);
    put(w, "}\n");
}

static void put_networks(struct writer *w, const struct eg_random_policy *p, bool org)
{
    bool begun = false;
    for (unsigned i = 0; i < p->network_count; i++) {
        const struct eg_random_network *n = &p->networks[i];
        if (n->org != org)
            continue;
        PRINT(w, "%s\"%s/%u\"", begun ? ", " : "networks:\n  allow: [", n->host, n->bits);
        begun = true;
    }
    if (begun)
        put(w, "]\n");
    if (org && p->allow_metadata)
        PRINT(w, "%s  allow_metadata: true\n", begun ? "" : "networks:\n");
}

enum eg_status eg_random_text(const struct eg_random_policy *p, bool org, struct eg_buf *out)
{
    static const char *const modes[] = { "", "mode: enforce\n", "mode: observe\n" };
    struct writer w = { out, EG_OK };
    put(&w, "egress: 1\n");
    put(&w, modes[org ? p->org_mode : p->mode]);
    put_networks(&w, p, org);
    put_rules(&w, p, org, false);
    put_rules(&w, p, org, true);
    put(&w, "services:\n");
    for (unsigned i = 0; i < p->service_count; i++)
        if (p->services[i].org == org)
            put_service(&w, &p->services[i]);
    return w.status;
}

static enum eg_status compile(const struct eg_policy_file *files, unsigned count,
                              struct eg_buf *block)
{
    static const struct eg_addr own = { 4, { 198, 200, 1, 1 } };
    const struct eg_policy_reader reader = { .own_addresses = &own, .own_count = 1 };
    struct eg_diags *diags = NULL;
    struct eg_err err = { 0 };
    struct eg_buf text;
    enum eg_status st = eg_diags_new(&diags);
    if (st != EG_OK)
        return st;
    eg_buf_init(&text, 1 << 20);
    st = eg_policy_compile(files, count, &reader, diags, block, &err);
    if (st != EG_OK && eg_diags_render(diags, false, &text) == EG_OK)
        fprintf(stderr, "%s\n%.*s\n", err.text, (int)text.len, text.len ? text.data : "");
    eg_buf_done(&text);
    eg_diags_free(diags);
    return st;
}

struct eg_policy *eg_random_compile_with(const struct eg_random_policy *p, const char *more,
                                         struct eg_buf *block)
{
    struct eg_buf org, repo;
    struct eg_policy *policy = NULL;
    eg_buf_init(block, 16 << 20);
    eg_buf_init(&org, 1 << 18);
    eg_buf_init(&repo, 1 << 18);
    if (eg_random_text(p, true, &org) == EG_OK && eg_random_text(p, false, &repo) == EG_OK) {
        const struct eg_policy_file files[] = {
            { "org.yaml", eg_buf_slice(&org), EG_LAYER_ORG, true },
            { "egress.yaml", eg_buf_slice(&repo), EG_LAYER_REPO, p->trusted },
            { "more", eg_slice_str(more), EG_LAYER_COMMAND, true },
        };
        if (compile(files, more ? 3 : 2, block) != EG_OK ||
            eg_policy_open(block->data, block->len, &policy, NULL) != EG_OK)
            fprintf(stderr, "# org.yaml\n%.*s# egress.yaml, %s\n%.*s# more\n%s", (int)org.len,
                    org.data, p->trusted ? "trusted" : "untrusted", (int)repo.len, repo.data,
                    more ? more : "");
    }
    eg_buf_done(&org);
    eg_buf_done(&repo);
    return policy;
}

struct eg_policy *eg_random_compile(const struct eg_random_policy *p, struct eg_buf *block)
{
    return eg_random_compile_with(p, NULL, block);
}

void eg_random_print(const struct eg_random_policy *p)
{
    for (unsigned org = 2; org-- > 0;) {
        struct eg_buf text;
        eg_buf_init(&text, 1 << 18);
        if (eg_random_text(p, org, &text) == EG_OK)
            fprintf(stderr, "# %s\n%.*s",
                    org          ? "org.yaml"
                    : p->trusted ? "egress.yaml, trusted"
                                 : "egress.yaml, untrusted",
                    (int)text.len, text.data);
        eg_buf_done(&text);
    }
}
