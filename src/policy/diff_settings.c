/* diff_settings.c - what a policy says beside rules, services and credentials. What of it is networks.allow shows in addresses. */
#include "policy/diff_values.h"

#include <stdio.h>

#include "policy/ranges.h"

static struct eg_pair_of *at(struct eg_pair_of *p, const char *key)
{
    eg_pair_name(p, key, EG_SLICE_NONE, "");
    return p;
}

static struct eg_slice print_at(struct eg_diff *d, const struct eg_sockaddr *a)
{
    struct eg_authority to;
    char text[EG_AUTHORITY_TEXT];
    eg_authority_from_addr(&a->addr, a->port, &to);
    return eg_diff_copy(d, eg_slice_str(eg_authority_format(&to, 0, text, sizeof text)));
}

/* ---- limits ---- */

static void compare_limits(struct eg_pair_of *p)
{
    const struct eg_limits *x = eg_policy_limits(p->d->p[0]), *y = eg_policy_limits(p->d->p[1]);
    const struct {
        const char *key;
        enum eg_pair_unit unit;
        uint64_t a, b;
    } rows[] = {
        { "limits.connections", EG_PAIR_NUMBER, x->connections, y->connections },
        { "limits.headers", EG_PAIR_NUMBER, x->headers, y->headers },
        { "limits.head_bytes", EG_PAIR_BYTES, x->head_bytes, y->head_bytes },
        { "limits.target_bytes", EG_PAIR_BYTES, x->target_bytes, y->target_bytes },
        { "limits.head_timeout", EG_PAIR_MS, x->head_timeout, y->head_timeout },
        { "limits.body_timeout", EG_PAIR_MS, x->body_timeout, y->body_timeout },
        { "limits.idle_timeout", EG_PAIR_MS, x->idle_timeout, y->idle_timeout },
        { "limits.total_timeout", EG_PAIR_MS, x->total_timeout, y->total_timeout },
        { "limits.dns_timeout", EG_PAIR_MS, x->dns_timeout, y->dns_timeout },
        { "limits.connect_timeout", EG_PAIR_MS, x->connect_timeout, y->connect_timeout },
        { "limits.tls_timeout", EG_PAIR_MS, x->tls_timeout, y->tls_timeout },
        { "limits.response_timeout", EG_PAIR_MS, x->response_timeout, y->response_timeout },
        { "limits.drain_timeout", EG_PAIR_MS, x->drain_timeout, y->drain_timeout },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        eg_pair_limit(at(p, rows[i].key), rows[i].unit, rows[i].a, rows[i].b, "none");
}

/* ---- single values ---- */

static void compare_audit(struct eg_pair_of *p, const struct eg_settings *x,
                          const struct eg_settings *y)
{
    static const char *const words[] = { "full", "host", "none" };
    char before[16], after[16];
    snprintf(before, sizeof before, "%u", x->audit_capacity);
    snprintf(after, sizeof after, "%u", y->audit_capacity);
    eg_pair_text(at(p, "audit.capacity"), EG_CHANGE_NEUTRAL, eg_slice_str(before),
                 eg_slice_str(after));
    eg_pair_text(
        at(p, "audit.destinations"),
        y->audit_destinations > x->audit_destinations ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS,
        eg_slice_str(words[x->audit_destinations]), eg_slice_str(words[y->audit_destinations]));
    eg_pair_text(at(p, "audit.file"), x->audit_file.n ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS,
                 x->audit_file, y->audit_file);
    eg_pair_switch(at(p, "audit.strict"), x->audit_strict, y->audit_strict, EG_CHANGE_NARROWS,
                   EG_CHANGE_WIDENS);
}

static void compare_dns(struct eg_pair_of *p, const struct eg_settings *x,
                        const struct eg_settings *y)
{
    struct eg_pair_list servers[2] = { { .ordered = true }, { .ordered = true } };
    for (unsigned i = 0; i < x->dns_count; i++)
        eg_pair_add(&servers[0], print_at(p->d, &x->dns_servers[i]));
    for (unsigned i = 0; i < y->dns_count; i++)
        eg_pair_add(&servers[1], print_at(p->d, &y->dns_servers[i]));
    eg_pair_lists(at(p, "dns.servers"), EG_CHANGE_WIDENS, EG_CHANGE_WIDENS, &servers[0],
                  &servers[1]);
}

/* Who is believed to be an origin: where there are credentials, who may get them. */
static void compare_tls(struct eg_pair_of *p, const struct eg_settings *x,
                        const struct eg_settings *y)
{
    bool guarded = eg_policy_credential_count(p->d->p[0]) + eg_policy_credential_count(p->d->p[1]);
    enum eg_change_label more = guarded ? EG_CHANGE_CREDENTIAL : EG_CHANGE_WIDENS;
    eg_pair_hidden(at(p, "tls.ca"), y->ca_pem.n ? more : EG_CHANGE_NARROWS, x->ca_pem, y->ca_pem);
    eg_pair_switch(at(p, "tls.system"), x->ca_system, y->ca_system, more, EG_CHANGE_NARROWS);
}

/* ---- ways out ---- */

static void add_hops(struct eg_diff *d, unsigned side, enum eg_chain chain, struct eg_pair_list *l)
{
    struct eg_hop hops[EG_HOPS_MAX];
    unsigned n = eg_policy_hops(d->p[side], chain, hops);
    for (unsigned i = 0; i < n; i++) { /* its place in the chain is part of it */
        char number[16];
        snprintf(number, sizeof number, "%u. ", i + 1);
        eg_pair_add(l, EG_DIFF_JOIN(d, eg_slice_str(number), hops[i].text));
    }
}

/* Is anything of ours shown to this proxy of the chain, or to one behind it, which it could take the place of? */
static bool is_shown(const struct eg_hop *hops, unsigned from, unsigned count)
{
    for (unsigned i = from; i < count; i++)
        if (hops[i].credential.n > 0 || hops[i].user.n > 0)
            return true;
    return false;
}

/* What is shown to a proxy, and what it must show. */
static void compare_hops(struct eg_pair_of *p, enum eg_chain chain)
{
    struct eg_hop x[EG_HOPS_MAX], y[EG_HOPS_MAX];
    unsigned n = eg_policy_hops(p->d->p[0], chain, x), m = eg_policy_hops(p->d->p[1], chain, y);
    for (unsigned i = 0; i < n && i < m; i++) {
        p->rule[0] = x[i].rule;
        p->rule[1] = y[i].rule;
        if (is_shown(x, i, n) || is_shown(y, i, m))
            eg_pair_text(at(p, "upstream.proxy"), EG_CHANGE_CREDENTIAL, x[i].text, y[i].text);
        eg_pair_text(at(p, "upstream.proxy.credential"), EG_CHANGE_CREDENTIAL, x[i].credential,
                     y[i].credential);
        eg_pair_hidden(at(p, "upstream.proxy.user"), EG_CHANGE_CREDENTIAL, x[i].user, y[i].user);
        eg_pair_switch(at(p, "upstream.proxy.bearer"), x[i].bearer, y[i].bearer,
                       EG_CHANGE_CREDENTIAL, EG_CHANGE_CREDENTIAL);
        eg_pair_hidden(at(p, "upstream.proxy.tls.ca"), EG_CHANGE_CREDENTIAL, x[i].ca_pem,
                       y[i].ca_pem);
        eg_pair_hidden(at(p, "upstream.proxy.tls.client_cert"), EG_CHANGE_CREDENTIAL, x[i].cert_pem,
                       y[i].cert_pem);
        eg_pair_hidden(at(p, "upstream.proxy.tls.client_key"), EG_CHANGE_CREDENTIAL, x[i].key_pem,
                       y[i].key_pem);
        eg_pair_text(at(p, "upstream.proxy.tls.server_name"), EG_CHANGE_CREDENTIAL,
                     x[i].server_name, y[i].server_name);
    }
    for (unsigned i = n < m ? n : m; i < n || i < m; i++) {
        struct eg_slice none = EG_SLICE_NONE;
        p->rule[0] = i < n ? x[i].rule : none;
        p->rule[1] = i < m ? y[i].rule : none;
        eg_pair_text(at(p, "upstream.proxy.credential"), EG_CHANGE_CREDENTIAL,
                     i < n ? x[i].credential : none, i < m ? y[i].credential : none);
    }
    p->rule[0] = p->rule[1] = EG_SLICE_NONE;
}

static void compare_chain(struct eg_pair_of *p, enum eg_chain chain, const char *key)
{
    struct eg_pair_list hops[2] = { { .count = 0 }, { .count = 0 } };
    for (unsigned side = 0; side < 2; side++)
        add_hops(p->d, side, chain, &hops[side]);
    eg_pair_lists(at(p, key), EG_CHANGE_WIDENS, EG_CHANGE_WIDENS, &hops[0], &hops[1]);
    compare_hops(p, chain);
}

static void compare_bypass(struct eg_pair_of *p)
{
    struct eg_pair_list bypass[2] = { { .count = 0 }, { .count = 0 } };
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < eg_policy_bypass_count(p->d->p[side]); i++) {
            char text[EG_AUTHORITY_TEXT];
            eg_policy_bypass_format(p->d->p[side], i, text, sizeof text);
            eg_pair_add(&bypass[side], eg_diff_copy(p->d, eg_slice_str(text)));
        }
    eg_pair_lists(at(p, "upstream.bypass"), EG_CHANGE_WIDENS, EG_CHANGE_WIDENS, &bypass[0],
                  &bypass[1]);
}

static bool is_policys(const struct eg_policy *p)
{
    return eg_policy_settings(p)->upstream_from == EG_UPSTREAM_POLICY;
}

bool eg_diff_same_rest(const struct eg_policy *a, const struct eg_policy *b)
{
    return is_policys(a) == is_policys(b) && eg_slice_eq(eg_policy_name(a), eg_policy_name(b));
}

/* A policy has one chain for all; what is chosen outside of it may have two. */
static bool has_two_chains(const struct eg_settings *s)
{
    return s->upstream_from == EG_UPSTREAM_ENV || s->upstream_from == EG_UPSTREAM_OPTION;
}

static void compare_upstream(struct eg_pair_of *p, const struct eg_settings *x,
                             const struct eg_settings *y)
{
    bool own = is_policys(p->d->p[0]), now = is_policys(p->d->p[1]);
    eg_pair_text(at(p, "upstream"), now ? EG_CHANGE_NARROWS : EG_CHANGE_WIDENS,
                 own ? EG_SLICE("the policy's") : EG_SLICE("env"),
                 now ? EG_SLICE("the policy's") : EG_SLICE("env"));
    compare_chain(p, EG_CHAIN_SECURE, "upstream.proxies");
    if (has_two_chains(x) || has_two_chains(y))
        compare_chain(p, EG_CHAIN_PLAIN, "upstream.proxies of plain HTTP");
    compare_bypass(p);
    eg_pair_text(at(p, "upstream.resolve"),
                 y->proxy_resolve_local ? EG_CHANGE_NARROWS : EG_CHANGE_WIDENS,
                 eg_slice_str(x->proxy_resolve_local ? "local" : "remote"),
                 eg_slice_str(y->proxy_resolve_local ? "local" : "remote"));
}

/* ---- ways in ---- */

static unsigned listener_count(const struct eg_policy *p)
{
    unsigned n = eg_policy_listen_count(p);
    return n ? n : 1;
}

/* A policy that names none has one all the same. */
static void listener(const struct eg_policy *p, unsigned i, struct eg_listen_spec *ret)
{
    if (eg_policy_listen_count(p) > 0)
        eg_policy_listen(p, i, ret);
    else
        *ret = (struct eg_listen_spec){ .at = { .addr = { 4, { 127, 0, 0, 1 } } },
                                        .protocols = EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS,
                                        .auth = EG_AUTH_TOKEN };
}

static bool same_place(const struct eg_listen_spec *x, const struct eg_listen_spec *y)
{
    return x->at.port == y->at.port && eg_addr_eq(&x->at.addr, &y->at.addr) &&
           eg_slice_eq(x->unix_path, y->unix_path);
}

/* Its place; of several in one place (port 0) the second has a number, and so on. */
static struct eg_slice listen_name(struct eg_diff *d, unsigned side, unsigned index)
{
    char number[24] = "";
    unsigned before = 0;
    struct eg_listen_spec l, other;
    listener(d->p[side], index, &l);
    for (unsigned i = 0; i < index; i++) {
        listener(d->p[side], i, &other);
        before += same_place(&l, &other);
    }
    if (before > 0)
        snprintf(number, sizeof number, " (no. %u)", before + 1);
    return l.unix_path.n ? EG_DIFF_JOIN(d, EG_SLICE("unix:"), l.unix_path, eg_slice_str(number))
                         : EG_DIFF_JOIN(d, print_at(d, &l.at), eg_slice_str(number));
}

static int find_listener(struct eg_diff *d, unsigned side, struct eg_slice name)
{
    for (unsigned i = 0; i < listener_count(d->p[side]); i++)
        if (eg_slice_eq(listen_name(d, side, i), name))
            return (int)i;
    return -1;
}

static unsigned strength(enum eg_auth a)
{
    return a == EG_AUTH_NONE ? 0 : a == EG_AUTH_TOKEN ? 1 : 2;
}

static void add_sessions(struct eg_diff *d, unsigned side, unsigned index, unsigned count,
                         struct eg_pair_list *l)
{
    for (unsigned k = 0; k < count; k++) {
        struct eg_slice san, label;
        eg_policy_listen_session(d->p[side], index, k, &san, &label);
        eg_pair_add(l, EG_DIFF_JOIN(d, san, EG_SLICE(": "), label));
    }
}

static void compare_listener(struct eg_pair_of *p, unsigned i, unsigned k)
{
    static const char *const auths[] = { "token", "none", "client_cert" };
    static const char *const protocols[] = { "none", "http", "socks5", "http, socks5" };
    struct eg_pair_list sessions[2] = { { .ordered = true }, { .ordered = true } };
    struct eg_listen_spec x, y;
    listener(p->d->p[0], i, &x);
    listener(p->d->p[1], k, &y);
    p->rule[0] = x.rule;
    p->rule[1] = y.rule;
    eg_pair_text(at(p, "listen.auth"),
                 strength(y.auth) < strength(x.auth) ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS,
                 eg_slice_str(auths[x.auth]), eg_slice_str(auths[y.auth]));
    eg_pair_text(at(p, "listen.protocols"),
                 y.protocols & ~x.protocols ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS,
                 eg_slice_str(protocols[x.protocols & 3]),
                 eg_slice_str(protocols[y.protocols & 3]));
    eg_pair_switch(at(p, "listen.tls.require_client"), x.require_client, y.require_client,
                   EG_CHANGE_NARROWS, EG_CHANGE_WIDENS);
    eg_pair_hidden(at(p, "listen.tls.cert"), x.cert_pem.n ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS,
                   x.cert_pem, y.cert_pem);
    eg_pair_hidden(at(p, "listen.tls.key"), EG_CHANGE_WIDENS, x.key_pem, y.key_pem);
    eg_pair_hidden(at(p, "listen.tls.client_ca"),
                   x.client_ca_pem.n ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS, x.client_ca_pem,
                   y.client_ca_pem);
    add_sessions(p->d, 0, i, x.session_count, &sessions[0]);
    add_sessions(p->d, 1, k, y.session_count, &sessions[1]);
    eg_pair_lists(at(p, "listen.sessions"), EG_CHANGE_WIDENS, EG_CHANGE_NARROWS, &sessions[0],
                  &sessions[1]);
    p->rule[0] = p->rule[1] = EG_SLICE_NONE;
}

static void compare_listen(struct eg_pair_of *p)
{
    struct eg_pair_list names[2] = { { .count = 0 }, { .count = 0 } };
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < listener_count(p->d->p[side]); i++)
            eg_pair_add(&names[side], listen_name(p->d, side, i));
    eg_pair_lists(at(p, "listen"), EG_CHANGE_WIDENS, EG_CHANGE_NARROWS, &names[0], &names[1]);
    for (unsigned i = 0; i < names[0].count; i++) {
        int k = find_listener(p->d, 1, names[0].items[i]);
        if (k >= 0)
            compare_listener(p, i, (unsigned)k);
    }
}

/* ---- networks ---- */

/* The rule of networks.allow on this very prefix; NULL. */
static const struct eg_block_rule *network_of(const struct eg_policy *p,
                                              const struct eg_block_target *t)
{
    for (uint32_t i = 0; i < t->rules.count; i++)
        if (p->rules[t->rules.first + i].action == EG_ACTION_NETWORK)
            return &p->rules[t->rules.first + i];
    return NULL;
}

static bool has_network(const struct eg_policy *p, const struct eg_addr *base, uint8_t bits,
                        struct eg_slice key)
{
    struct eg_decide_hits h;
    eg_decide_find_addr(p, base, bits, &h);
    for (unsigned i = 0; i < h.count; i++)
        if (eg_slice_eq(eg_block_slice(p, h.list[i]->key), key))
            return network_of(p, h.list[i]) != NULL;
    return false;
}

/* Outside of the special ranges it opens what only a machine can say: its own addresses there. No address shows that. */
static void compare_networks(struct eg_pair_of *p, unsigned side)
{
    const struct eg_policy *own = p->d->p[side], *other = p->d->p[1 - side];
    for (uint32_t i = 0; i < own->count[EG_BLOCK_TARGETS]; i++) {
        const struct eg_block_target *t = &own->targets[i];
        struct eg_slice key = eg_block_slice(own, t->key);
        const struct eg_block_rule *rule = t->kind == EG_PATTERN_PREFIX ? network_of(own, t) : NULL;
        if (!rule)
            continue;
        struct eg_addr base = { (uint8_t)key.p[0], { 0 } };
        uint8_t bits = (uint8_t)key.p[1];
        char text[EG_ADDR_TEXT], range[EG_ADDR_TEXT + 8];
        memcpy(base.b, key.p + 2, sizeof base.b);
        if (has_network(other, &base, bits, key) ||
            (eg_range_overlap(&base, bits) && !eg_range_nat64(&base)))
            continue;
        snprintf(range, sizeof range, "%s/%u", eg_addr_format(&base, text, sizeof text),
                 (unsigned)bits);
        struct eg_slice none = EG_SLICE_NONE, place = eg_block_slice(own, rule->rule);
        eg_diff_setting(p->d, side ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS, "networks.allow",
                        side ? "none" : range, side ? range : "none", side ? none : place,
                        side ? place : none);
    }
}

/* ---- all ---- */

void eg_diff_settings(struct eg_diff *d)
{
    struct eg_pair_of p = { .d = d };
    const struct eg_settings *x = eg_policy_settings(d->p[0]), *y = eg_policy_settings(d->p[1]);
    eg_pair_text(at(&p, "mode"), y->observe ? EG_CHANGE_WIDENS : EG_CHANGE_NARROWS,
                 eg_slice_str(x->observe ? "observe" : "enforce"),
                 eg_slice_str(y->observe ? "observe" : "enforce"));
    eg_pair_text(at(&p, "name"), EG_CHANGE_NEUTRAL, eg_policy_name(d->p[0]),
                 eg_policy_name(d->p[1]));
    eg_pair_switch(at(&p, "networks.allow_metadata"), d->p[0]->head->settings.allow_metadata,
                   d->p[1]->head->settings.allow_metadata, EG_CHANGE_WIDENS, EG_CHANGE_NARROWS);
    compare_networks(&p, 0);
    compare_networks(&p, 1);
    compare_upstream(&p, x, y);
    compare_listen(&p);
    compare_dns(&p, x, y);
    compare_tls(&p, x, y);
    compare_limits(&p);
    eg_pair_switch(at(&p, "via"), x->via, y->via, EG_CHANGE_NEUTRAL, EG_CHANGE_NEUTRAL);
    compare_audit(&p, x, y);
    eg_arena_reset(&d->scratch);
}
