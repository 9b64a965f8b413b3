/* ways.c - the ways in and out that a block holds: listeners, chains of proxies, and what bypasses them.
 *
 * Questions are pure and allocate nothing. A literal is compared as the address it is, an IPv4-mapped one as the IPv4 address; a name is never
 * resolved here. */
#include "policy/block.h"

#include <stdio.h>

/* ---- the check of these tables, for eg_policy_open ---- */

static bool is_bool(uint8_t b)
{
    return b <= 1;
}

static bool check_listeners(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_LISTEN]; i++) {
        const struct eg_block_listen *l = &p->listen[i];
        const unsigned both = EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS;
        if (!eg_block_is_addr(p, &l->at, true) || !eg_block_is_text(p, l->unix_path) ||
            !eg_block_is_text(p, l->cert_pem) || !eg_block_is_text(p, l->key_pem) ||
            !eg_block_is_text(p, l->client_ca_pem) || !eg_block_is_text(p, l->rule))
            return false;
        if ((l->at.family == 0) != (l->unix_path.length > 0) || l->auth > EG_AUTH_CLIENT_CERT ||
            l->protocols == 0 || (l->protocols & ~both) || !is_bool(l->require_client) ||
            l->sessions.count > EG_MODEL_SESSIONS_MAX ||
            !eg_block_is_range(l->sessions, p->count[EG_BLOCK_PAIRS]))
            return false;
        if ((l->cert_pem.length == 0) != (l->key_pem.length == 0) ||
            (l->client_ca_pem.length > 0 && l->cert_pem.length == 0) ||
            ((l->auth == EG_AUTH_CLIENT_CERT || l->require_client) && l->client_ca_pem.length == 0))
            return false; /* a listener that would ask for less than it says */
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_PAIRS]; i++)
        if (!eg_block_is_text(p, p->pairs[i].san) || !eg_block_is_text(p, p->pairs[i].label))
            return false;
    return true;
}

static bool is_hop(const struct eg_policy *p, const struct eg_block_hop *h)
{
    const struct eg_block_text texts[] = { h->user,    h->credential,  h->ca_pem, h->cert_pem,
                                           h->key_pem, h->server_name, h->text,   h->rule };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!eg_block_is_text(p, texts[i]))
            return false;
    return h->kind <= EG_HOP_SSH && eg_block_is_addr(p, &h->at, true) && h->at.host.length > 0 &&
           h->at.port != 0;
}

static bool check_hops(const struct eg_policy *p)
{
    const struct eg_block_settings *s = &p->head->settings;
    if (s->upstream_from > EG_UPSTREAM_OPTION)
        return false;
    for (uint32_t i = 0; i < p->count[EG_BLOCK_HOPS]; i++)
        if (!is_hop(p, &p->hops[i]))
            return false;
    for (int c = EG_CHAIN_SECURE; c <= EG_CHAIN_PLAIN; c++) {
        struct eg_block_range r = s->chains[c];
        if (!eg_block_is_range(r, p->count[EG_BLOCK_HOPS]) || r.count > EG_HOPS_MAX)
            return false;
        for (uint32_t i = 1; i < r.count; i++)
            if (p->hops[r.first + i].kind == EG_HOP_SSH)
                return false;
    }
    return true;
}

static bool check_bypass(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_BYPASS]; i++) {
        const struct eg_block_bypass *b = &p->bypass[i];
        bool prefix = b->kind == EG_BYPASS_PREFIX;
        if (b->kind >= EG_BYPASS_KINDS || !eg_block_is_text(p, b->host) ||
            (prefix ? b->family != 4 && b->family != 6 : b->family != 0) ||
            b->bits > (b->family == 6 ? 128 : 32))
            return false;
    }
    return true;
}

bool eg_block_check_ways(const struct eg_policy *p)
{
    return check_listeners(p) && check_hops(p) && check_bypass(p);
}

/* ---- ways in ---- */

unsigned eg_policy_listen_count(const struct eg_policy *p)
{
    return p->count[EG_BLOCK_LISTEN];
}

void eg_policy_listen(const struct eg_policy *p, unsigned i, struct eg_listen_spec *ret)
{
    const struct eg_block_listen *b = &p->listen[i];
    *ret = (struct eg_listen_spec){ .at = eg_block_sockaddr(&b->at),
                                    .unix_path = eg_block_slice(p, b->unix_path),
                                    .protocols = b->protocols,
                                    .auth = (enum eg_auth)b->auth,
                                    .cert_pem = eg_block_slice(p, b->cert_pem),
                                    .key_pem = eg_block_slice(p, b->key_pem),
                                    .client_ca_pem = eg_block_slice(p, b->client_ca_pem),
                                    .require_client = b->require_client != 0,
                                    .session_count = b->sessions.count,
                                    .rule = eg_block_slice(p, b->rule) };
}

void eg_policy_listen_session(const struct eg_policy *p, unsigned i, unsigned k,
                              struct eg_slice *san, struct eg_slice *label)
{
    const struct eg_block_pair *pair = &p->pairs[p->listen[i].sessions.first + k];
    *san = eg_block_slice(p, pair->san);
    *label = eg_block_slice(p, pair->label);
}

/* ---- ways out ---- */

static void fill_hop(const struct eg_policy *p, const struct eg_block_hop *b, struct eg_hop *ret)
{
    *ret = (struct eg_hop){ .kind = (enum eg_hop_kind)b->kind,
                            .tls = b->at.tls != 0,
                            .user = eg_block_slice(p, b->user),
                            .credential = eg_block_slice(p, b->credential),
                            .bearer = b->bearer != 0,
                            .ca_pem = eg_block_slice(p, b->ca_pem),
                            .cert_pem = eg_block_slice(p, b->cert_pem),
                            .key_pem = eg_block_slice(p, b->key_pem),
                            .server_name = eg_block_slice(p, b->server_name),
                            .text = eg_block_slice(p, b->text),
                            .rule = eg_block_slice(p, b->rule) };
    eg_block_authority(p, &b->at, &ret->at);
}

unsigned eg_policy_hops(const struct eg_policy *p, enum eg_chain chain,
                        struct eg_hop out[EG_HOPS_MAX])
{
    struct eg_block_range r = p->head->settings.chains[chain == EG_CHAIN_PLAIN];
    for (uint32_t i = 0; i < r.count; i++)
        fill_hop(p, &p->hops[r.first + i], &out[i]);
    return r.count;
}

bool eg_block_lent(const struct eg_policy *p, struct eg_slice credential, struct eg_slice host)
{
    enum eg_upstream_from from = p->settings.upstream_from;
    bool caller = from == EG_UPSTREAM_ENV || from == EG_UPSTREAM_OPTION;
    for (uint32_t i = 0; caller && credential.n > 0 && i < p->count[EG_BLOCK_HOPS]; i++)
        if (eg_slice_eq(eg_block_slice(p, p->hops[i].credential), credential) &&
            eg_slice_eq(eg_block_slice(p, p->hops[i].at.host), host))
            return true;
    return false;
}

static bool is_below(struct eg_slice host, struct eg_slice domain)
{
    size_t n = domain.n;
    return host.n > n + 1 && host.p[host.n - n - 1] == '.' &&
           eg_slice_eq(eg_slice_from(host, host.n - n), domain);
}

/* addr: family 0 where the destination is a name. */
static bool names(const struct eg_policy *p, const struct eg_block_bypass *b,
                  const struct eg_authority *to, const struct eg_addr *addr)
{
    struct eg_slice host = eg_authority_host(to);
    struct eg_slice domain = eg_block_slice(p, b->host);
    struct eg_addr base = { b->family, { 0 } };
    if (b->port != 0 && b->port != to->port)
        return false;
    memcpy(base.b, b->b, sizeof base.b);
    switch (b->kind) {
    case EG_BYPASS_ALL:
        return true;
    case EG_BYPASS_PREFIX:
        return addr->family == b->family && eg_addr_in(addr, &base, b->bits);
    case EG_BYPASS_NAME:
        return addr->family == 0 && eg_slice_eq(host, domain);
    case EG_BYPASS_BELOW:
        return addr->family == 0 && is_below(host, domain);
    default:
        return addr->family == 0 && (eg_slice_eq(host, domain) || is_below(host, domain));
    }
}

bool eg_policy_bypassed(const struct eg_policy *p, const struct eg_authority *to)
{
    static const struct eg_addr mapped = { 6, { [10] = 0xff, [11] = 0xff } };
    struct eg_addr addr = { 0, { 0 } };
    if (to->literal)
        addr = to->addr;
    if (addr.family == 6 && eg_addr_in(&addr, &mapped, 96)) {
        addr = (struct eg_addr){ 4, { 0 } };
        memcpy(addr.b, to->addr.b + 12, 4);
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_BYPASS]; i++)
        if (names(p, &p->bypass[i], to, &addr))
            return true;
    return false;
}

unsigned eg_policy_bypass_count(const struct eg_policy *p)
{
    return p->count[EG_BLOCK_BYPASS];
}

char *eg_policy_bypass_format(const struct eg_policy *p, unsigned i, char *out, size_t cap)
{
    const struct eg_block_bypass *b = &p->bypass[i];
    struct eg_slice host = eg_block_slice(p, b->host);
    struct eg_addr base = { b->family, { 0 } };
    char address[EG_ADDR_TEXT], port[8] = "";
    bool bracketed = b->port != 0 && b->family == 6, whole = b->bits == (b->family == 6 ? 128 : 32);
    memcpy(base.b, b->b, sizeof base.b);
    if (b->port != 0)
        snprintf(port, sizeof port, ":%u", (unsigned)b->port);
    if (b->kind == EG_BYPASS_ALL)
        snprintf(out, cap, "*%s", port);
    else if (b->kind != EG_BYPASS_PREFIX)
        snprintf(out, cap, "%s%.*s%s", b->kind == EG_BYPASS_BELOW ? "." : "", (int)host.n, host.p,
                 port);
    else if (whole)
        snprintf(out, cap, "%s%s%s%s", bracketed ? "[" : "",
                 eg_addr_format(&base, address, sizeof address), bracketed ? "]" : "", port);
    else
        snprintf(out, cap, "%s/%u", eg_addr_format(&base, address, sizeof address),
                 (unsigned)b->bits);
    return out;
}
