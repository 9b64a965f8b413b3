/* model_upstream.c - the ways out: proxies in a list or the long form, what bypasses them, and who has the word about it.
 *
 * An option beats every policy; a policy's list or `none` beats the environment; `env` and silence leave it to the environment. What a
 * URL holds before its @ is never repeated. */
#include "policy/model.h"

#include <stdio.h>

#include "base/table.h"

/* ---- one proxy ---- */

static void bad_url(struct eg_model *m, const struct eg_yaml *node, const char *code,
                    const char *fix, const char *text)
{
    struct eg_place at = node->at;
    at.hide = eg_slice_index(node->text, '@') >= 0;
    eg_diag_error(m->diags, code, at, fix, "%s", text);
}

/* False: reported. */
static bool read_url(struct eg_model *m, const struct eg_yaml *node, struct eg_hop *hop)
{
    struct eg_err err = { 0 };
    struct eg_slice user, password;
    char text[EG_HOP_TEXT];
    char *room = eg_model_alloc(m, node->text.n + 1);
    if (!room)
        return false;
    if (eg_proxy_url_parse(node->text, room, hop, &user, &password, &err) != EG_OK) {
        bad_url(m, node, "bad-url", "write SCHEME://HOST:PORT, such as http://proxy.example:3128",
                err.text);
        return false;
    }
    bool secret = password.n > 0;
    explicit_bzero(room + user.n, password.n);
    hop->user = user;
    hop->text = eg_model_copy(m, eg_slice_str(eg_hop_format(hop, text, sizeof text)));
    if (secret)
        bad_url(m, node, "inline-secret", "keep the user, and name a credential beside it",
                "a password does not belong into a policy");
    return !secret;
}

void eg_model_client_tls(struct eg_model *m, const struct eg_source *source,
                         const struct eg_yaml *tls, struct eg_model_tls *ret)
{
    const struct eg_yaml *ca = eg_model_child(tls, "ca");
    const struct eg_yaml *cert = eg_model_child(tls, "client_cert");
    const struct eg_yaml *key = eg_model_child(tls, "client_key");
    const struct eg_yaml *name = eg_model_child(tls, "server_name");
    struct eg_pattern pattern = { 0 };
    if ((cert != NULL) != (key != NULL))
        eg_diag_error(m->diags, "missing-key", (cert ? cert : key)->name_at, NULL,
                      "client_cert and client_key stand together");
    ret->ca_pem = eg_model_pem(m, source, ca, "CERTIFICATE");
    if (cert && key) {
        ret->cert_pem = eg_model_pem(m, source, cert, "CERTIFICATE");
        ret->key_pem = eg_model_pem(m, source, key, "PRIVATE KEY");
    }
    if (!name || !eg_model_pattern(m, name, false, &pattern))
        return;
    if (pattern.kind == EG_PATTERN_EXACT)
        ret->server_name = pattern.host;
    else
        eg_diag_error(m->diags, "bad-host", name->at, NULL, "a server name has no wildcard");
}

static void read_hop_tls(struct eg_model *m, const struct eg_source *source,
                         const struct eg_yaml *tls, struct eg_hop *hop)
{
    struct eg_model_tls t = { 0 };
    if (!tls)
        return;
    if (!hop->tls) {
        eg_diag_error(m->diags, "unenforceable-rule", tls->name_at,
                      hop->kind == EG_HOP_SSH ? NULL : "use https:// or socks5+tls://",
                      "tls: has a meaning for https:// and socks5+tls:// proxies only");
        return;
    }
    eg_model_client_tls(m, source, tls, &t);
    hop->ca_pem = t.ca_pem;
    hop->cert_pem = t.cert_pem;
    hop->key_pem = t.key_pem;
    hop->server_name = t.server_name;
}

/* Who is shown to the proxy: user, credential, auth. */
static void read_login(struct eg_model *m, const struct eg_yaml *entry, struct eg_model_hop *hop)
{
    const struct eg_yaml *proxy = eg_model_child(entry, "proxy");
    const struct eg_yaml *credential = eg_model_child(entry, "credential");
    const struct eg_yaml *auth = eg_model_child(entry, "auth");
    struct eg_hop *h = &hop->h;
    h->bearer = auth && auth->number == 1;
    if (credential) {
        h->credential = credential->text;
        hop->credential_at = credential->at;
    }
    if (h->kind == EG_HOP_SSH && credential)
        eg_diag_error(m->diags, "bad-value", credential->at, "leave credential out",
                      "ssh:// takes the keys that OpenSSH finds, not a credential");
    else if (h->bearer && h->kind != EG_HOP_HTTP)
        eg_diag_error(m->diags, "bad-value", auth->at, "leave auth out",
                      "auth: bearer is for http:// and https:// proxies");
    else if (h->bearer && h->user.n > 0)
        bad_url(m, proxy, "bad-url", "take the user out of the URL",
                "with auth: bearer no user is sent");
    else if (auth && !credential)
        eg_diag_error(m->diags, "missing-key", auth->name_at, "name a credential beside it",
                      "auth: says how a credential is sent, and there is none");
    else if (h->user.n > 0 && !credential && h->kind != EG_HOP_SSH)
        bad_url(m, proxy, "missing-key", "name the credential that holds the user's password",
                "the URL names a user, but nothing names the password");
}

static bool read_hop(struct eg_model *m, const struct eg_source *source,
                     const struct eg_yaml *entry, unsigned index, struct eg_model_hop *hop)
{
    const struct eg_yaml *proxy = eg_model_child(entry, "proxy");
    if (!proxy || !read_url(m, proxy, &hop->h))
        return false;
    hop->at = proxy->at;
    hop->h.rule = eg_model_rule_text(m, proxy->at);
    if (hop->h.kind == EG_HOP_SSH && index > 0)
        bad_url(m, proxy, "bad-chain", "put it first, or use ProxyJump in ssh's own configuration",
                "ssh:// can only be the first hop of a chain");
    read_hop_tls(m, source, eg_model_child(entry, "tls"), &hop->h);
    read_login(m, entry, hop);
    return true;
}

static void read_hops(struct eg_model *m, const struct eg_source *source,
                      const struct eg_yaml *list)
{
    struct eg_model_upstream *u = &m->upstream;
    unsigned index = 0;
    if (list->count == 0 || list->count > EG_HOPS_MAX) {
        eg_diag_error(m->diags, "bad-value", list->name_at,
                      list->count ? NULL : "write `upstream: none`", "a chain has 1 to %d proxies",
                      EG_HOPS_MAX);
        return;
    }
    for (const struct eg_yaml *node = list->first; node; node = node->next, index++) {
        struct eg_model_hop hop = { 0 };
        if (node->bad || !read_hop(m, source, node, index, &hop))
            continue;
        for (int c = EG_CHAIN_SECURE; c <= EG_CHAIN_PLAIN; c++)
            u->hops[c][u->hop_count[c]++] = hop;
    }
}

/* ---- bypass ---- */

/* Takes ":port" from the end; a bare IPv6 address has none. False: it is no port. */
static bool take_port(struct eg_slice *text, uint16_t *ret)
{
    struct eg_addr addr;
    unsigned long long port;
    const char *colon = text->n ? memrchr(text->p, ':', text->n) : NULL;
    const char *close = text->n ? memrchr(text->p, ']', text->n) : NULL;
    const char *slash = text->n ? memchr(text->p, '/', text->n) : NULL;
    if (!colon || (close && colon < close) || (slash && colon < slash) ||
        eg_addr_parse(*text, &addr))
        return true;
    struct eg_slice digits = eg_slice_from(*text, (size_t)(colon - text->p) + 1);
    if (!eg_slice_u64(digits, &port) || digits.p[0] == '0' || port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    text->n = (size_t)(colon - text->p);
    return true;
}

/* An IPv4-mapped prefix is the IPv4 one. */
static void unmap(struct eg_model_bypass *b)
{
    static const struct eg_addr mapped = { 6, { [10] = 0xff, [11] = 0xff } };
    struct eg_addr v4 = { 4, { 0 } };
    if (b->addr.family != 6 || b->bits < 96 || !eg_addr_in(&b->addr, &mapped, 96))
        return;
    memcpy(v4.b, b->addr.b + 12, 4);
    b->addr = v4;
    b->bits = (uint8_t)(b->bits - 96);
}

static const char *parse_bypass(struct eg_model *m, struct eg_slice text, bool environment,
                                struct eg_model_bypass *b)
{
    struct eg_authority host;
    bool below = eg_slice_starts(text, EG_SLICE(".")) || eg_slice_starts(text, EG_SLICE("*."));
    if (eg_slice_eq(text, EG_SLICE("*"))) {
        b->kind = EG_BYPASS_ALL;
        return environment ? NULL : "* would bypass the proxies always; `upstream: none` says so";
    }
    if (!take_port(&text, &b->port))
        return "the port is not a number from 1 to 65535";
    b->kind = EG_BYPASS_PREFIX;
    if (eg_slice_index(text, '/') >= 0) {
        bool fine = eg_cidr_parse(text, &b->addr, &b->bits);
        unmap(b);
        return fine ? NULL : "this is no range of addresses; bits behind the prefix must be zero";
    }
    if (below)
        text = eg_slice_from(text, text.p[0] == '*' ? 2 : 1);
    if (!eg_addr_parse(text, &b->addr)) {
        if (eg_host_parse(text, &host, NULL) != EG_OK)
            return "this is no host, .suffix, address or range";
        b->addr = host.addr;
        b->host = eg_model_copy(m, eg_authority_host(&host));
    }
    if (b->addr.family == 0) {
        b->kind = below ? EG_BYPASS_BELOW : environment ? EG_BYPASS_DOMAIN : EG_BYPASS_NAME;
        return NULL;
    }
    b->host = EG_SLICE_NONE;
    b->bits = b->addr.family == 4 ? 32 : 128;
    unmap(b);
    return below ? "an address has no names below it" : NULL;
}

static void read_bypass(struct eg_model *m, const struct eg_yaml *list)
{
    struct eg_model_upstream *u = &m->upstream;
    bool one = list->kind == EG_YAML_TEXT;
    if (!one && list->count > EG_MODEL_BYPASS_MAX) {
        eg_diag_error(m->diags, "too-large", list->name_at, NULL, "bypass has more than %d items",
                      EG_MODEL_BYPASS_MAX);
        return;
    }
    for (const struct eg_yaml *node = one ? list : list->first; node;
         node = one ? NULL : node->next) {
        struct eg_model_bypass b = { 0 };
        const char *fault = node->bad ? NULL : parse_bypass(m, node->text, false, &b);
        if (fault)
            eg_diag_error(m->diags, "bad-bypass", node->at,
                          "write a.example, .example, 10.0.0.0/8, each with :PORT where wanted",
                          "%s", fault);
        else if (!node->bad)
            u->bypass[u->bypass_count++] = b;
    }
}

/* ---- a file's key ---- */

void eg_model_add_upstream(struct eg_model *m, const struct eg_source *source,
                           const struct eg_yaml *upstream)
{
    if (!upstream)
        return;
    bool text = upstream->kind == EG_YAML_TEXT;
    m->upstream = (struct eg_model_upstream){
        .from = text && upstream->number == 1 ? EG_UPSTREAM_NONE : EG_UPSTREAM_POLICY,
    };
    if (upstream->kind == EG_YAML_LIST)
        read_hops(m, source, upstream);
    if (upstream->kind != EG_YAML_MAP)
        return;
    const struct eg_yaml *list = eg_model_child(upstream, "proxies");
    const struct eg_yaml *resolve = eg_model_child(upstream, "resolve");
    const struct eg_yaml *bypass = eg_model_child(upstream, "bypass");
    m->upstream.resolve_local = resolve && resolve->number == 1;
    if (list)
        read_hops(m, source, list);
    if (bypass)
        read_bypass(m, bypass);
}

/* ---- who has the word ---- */

static bool choose_chain(struct eg_model *m, enum eg_chain chain, const struct eg_hop *hops,
                         unsigned count)
{
    struct eg_model_upstream *u = &m->upstream;
    char text[EG_HOP_TEXT];
    if (count > EG_HOPS_MAX)
        return false;
    u->hop_count[chain] = count;
    for (unsigned i = 0; i < count; i++) {
        struct eg_hop *h = &u->hops[chain][i].h;
        u->hops[chain][i] = (struct eg_model_hop){ .h = hops[i] };
        if (h->kind > EG_HOP_SSH || (h->kind == EG_HOP_SSH && i > 0))
            return false;
        if (h->text.n == 0)
            h->text = eg_model_copy(m, eg_slice_str(eg_hop_format(h, text, sizeof text)));
    }
    return true;
}

static void choose_bypass(struct eg_model *m, const struct eg_upstream_choice *choice)
{
    struct eg_model_upstream *u = &m->upstream;
    const struct eg_place nowhere = eg_place_at(NULL, 0, 0);
    for (unsigned i = 0; i < choice->bypass_count; i++) {
        struct eg_model_bypass b = { 0 };
        struct eg_slice item = eg_slice_trim(choice->bypass[i]);
        if (item.n == 0)
            continue;
        if (u->bypass_count == EG_MODEL_BYPASS_MAX) {
            eg_diag_warning(m->diags, "too-large", nowhere, NULL,
                            "what follows the first %d hosts to bypass is left out",
                            EG_MODEL_BYPASS_MAX);
            return;
        }
        if (parse_bypass(m, item, choice->from == EG_UPSTREAM_ENV, &b))
            eg_diag_warning(m->diags, "bad-bypass", nowhere, NULL,
                            "item %u of %s is no host, .suffix, address or range: it is left out",
                            i + 1,
                            choice->from == EG_UPSTREAM_ENV ? "NO_PROXY" : "the hosts to bypass");
        else
            u->bypass[u->bypass_count++] = b;
    }
}

void eg_model_choose_upstream(struct eg_model *m)
{
    const struct eg_upstream_choice *choice = m->reader ? m->reader->upstream : NULL;
    struct eg_model_upstream *u = &m->upstream;
    bool option = choice && choice->from == EG_UPSTREAM_OPTION;
    bool environment = choice && choice->from == EG_UPSTREAM_ENV && u->from == EG_UPSTREAM_NONE &&
                       choice->secure_count + choice->plain_count > 0;
    if (!option && !environment)
        return;
    bool resolve_local = u->resolve_local; /* whoever chose: addresses are still judged here */
    *u = (struct eg_model_upstream){ .from = choice->from, .resolve_local = resolve_local };
    if (!choose_chain(m, EG_CHAIN_SECURE, choice->secure, choice->secure_count) ||
        !choose_chain(m, EG_CHAIN_PLAIN, choice->plain, choice->plain_count))
        eg_diag_error(m->diags, "bad-chain", eg_place_at(NULL, 0, 0), NULL,
                      "%s: a chain has at most %d proxies, and ssh:// is the first of them",
                      option ? "--upstream-proxy" : "the environment", EG_HOPS_MAX);
    else
        choose_bypass(m, choice);
}

/* ---- what every chain must be ---- */

static void check_hop(struct eg_model *m, const struct eg_model_hop *hop)
{
    const struct eg_hop *h = &hop->h;
    if (h->credential.n == 0 || h->kind == EG_HOP_SSH || !hop->at.source)
        return;
    const struct eg_model_credential *c = eg_table_get(m->credential_names, h->credential);
    eg_model_check_binding(m, hop->credential_at, h->credential, eg_authority_host(&h->at));
    if (c && (c->c.kind == EG_SOURCE_OAUTH2 || c->c.kind == EG_SOURCE_SIGV4))
        eg_diag_error(m->diags, "bad-source", hop->credential_at, "name a credential with from:",
                      c->c.kind == EG_SOURCE_SIGV4
                          ? "keys to sign with are nothing that a proxy takes"
                          : "a token for the proxy would have to be fetched through it");
    if (!h->tls && !eg_model_is_local(&h->at))
        eg_diag_warning(m->diags, "plaintext-credential", hop->at,
                        h->kind == EG_HOP_HTTP ? "use https://" : "use socks5+tls://",
                        "the proxy's credential crosses the network in clear text");
}

void eg_model_check_upstream(struct eg_model *m)
{
    const struct eg_model_upstream *u = &m->upstream;
    if (u->from != EG_UPSTREAM_POLICY || u->hop_count[EG_CHAIN_SECURE] == 0)
        return;
    if (!u->resolve_local)
        eg_diag_warning(
            m->diags, "remote-resolution", u->hops[EG_CHAIN_SECURE][0].at,
            "resolve: local judges every address here",
            "names are resolved by the upstream proxy: which addresses they have is its business");
    for (unsigned i = 0; i < u->hop_count[EG_CHAIN_SECURE]; i++)
        check_hop(m, &u->hops[EG_CHAIN_SECURE][i]);
}
