/* show_ways.c - listeners and ways out in the words of the policy language. */
#include <stdio.h>

#include "policy/show_parts.h"

static void put_hop(struct eg_show *s, struct eg_shown *list, const struct eg_hop *h)
{
    struct eg_shown *map = eg_show_add(s, list, NULL, EG_SHOWN_MAP, EG_SLICE_NONE);
    struct eg_slice text = h->text;
    long colon = eg_slice_index(text, ':');
    if (h->user.n && colon > 0) /* "ssh://" and the rest */
        text = eg_show_printf(s, "%.*s://%.*s@%.*s", (int)colon, text.p, (int)h->user.n, h->user.p,
                              (int)(text.n - (size_t)colon - 3), text.p + colon + 3);
    map->origin = h->rule;
    eg_show_add(s, map, "proxy", EG_SHOWN_TEXT, text);
    if (h->credential.n)
        eg_show_add(s, map, "credential", EG_SHOWN_TEXT, h->credential);
    if (h->bearer)
        eg_show_add(s, map, "auth", EG_SHOWN_BARE, EG_SLICE("bearer"));
    if (h->ca_pem.n + h->cert_pem.n + h->server_name.n == 0)
        return;
    struct eg_shown *tls = eg_show_add(s, map, "tls", EG_SHOWN_MAP, EG_SLICE_NONE);
    eg_show_pem(s, tls, "ca", h->ca_pem);
    eg_show_pem(s, tls, "client_cert", h->cert_pem);
    if (h->key_pem.n)
        eg_show_text(s, tls, "client_key", EG_SLICE("(a file)"));
    if (h->server_name.n)
        eg_show_add(s, tls, "server_name", EG_SHOWN_TEXT, h->server_name);
    for (struct eg_shown *n = tls->first; n; n = n->next)
        n->origin = EG_SLICE_NONE;
}

void eg_show_upstream(struct eg_show *s, struct eg_shown *root)
{
    const struct eg_settings *t = eg_policy_settings(s->p);
    struct eg_hop hops[EG_HOPS_MAX];
    unsigned n = eg_policy_hops(s->p, EG_CHAIN_SECURE, hops);
    if (n == 0) {
        eg_show_bare(s, root, "upstream", "%s",
                     t->upstream_from == EG_UPSTREAM_POLICY ? "none" : "env");
        return;
    }
    struct eg_shown *map = eg_show_branch(s, root, "upstream", EG_SHOWN_MAP);
    struct eg_shown *list = eg_show_add(s, map, "proxies", EG_SHOWN_LIST, EG_SLICE_NONE);
    for (unsigned i = 0; i < n; i++)
        put_hop(s, list, &hops[i]);
    snprintf(s->prefix, sizeof s->prefix, "upstream.");
    eg_show_bare(s, map, "resolve", "%s", t->proxy_resolve_local ? "local" : "remote");
    if (eg_policy_bypass_count(s->p) > 0) {
        list = eg_show_branch(s, map, "bypass", EG_SHOWN_LIST);
        for (unsigned i = 0; i < eg_policy_bypass_count(s->p); i++) {
            char text[EG_AUTHORITY_TEXT];
            const char *item = eg_policy_bypass_format(s->p, i, text, sizeof text);
            eg_show_add(s, list, NULL, EG_SHOWN_TEXT,
                        eg_show_printf(s, "%s%s", item[0] == '.' ? "*" : "", item));
        }
    }
    s->prefix[0] = '\0';
}

static void put_sessions(struct eg_show *s, struct eg_shown *map, unsigned index, unsigned count)
{
    if (count == 0)
        return;
    struct eg_shown *sessions = eg_show_add(s, map, "sessions", EG_SHOWN_MAP, EG_SLICE_NONE);
    for (unsigned k = 0; k < count; k++) {
        struct eg_slice san, label;
        eg_policy_listen_session(s->p, index, k, &san, &label);
        eg_show_add(s, sessions, "", EG_SHOWN_TEXT, label)->key = san;
    }
}

static void put_one(struct eg_show *s, struct eg_shown *list, unsigned index)
{
    static const char *const auth[] = { "token", "none", "client_cert" };
    struct eg_listen_spec l;
    eg_policy_listen(s->p, index, &l);
    struct eg_shown *map = eg_show_add(s, list, NULL, EG_SHOWN_MAP, EG_SLICE_NONE);
    map->origin = l.rule;
    eg_show_add(s, map, "address", EG_SHOWN_TEXT,
                l.unix_path.n ? eg_show_printf(s, "unix:%.*s", (int)l.unix_path.n, l.unix_path.p)
                              : eg_show_socket(s, &l.at));
    struct eg_shown *protocols = eg_show_add(s, map, "protocols", EG_SHOWN_LIST, EG_SLICE_NONE);
    if (l.protocols & EG_PROTOCOL_HTTP)
        eg_show_add(s, protocols, NULL, EG_SHOWN_BARE, EG_SLICE("http"));
    if (l.protocols & EG_PROTOCOL_SOCKS)
        eg_show_add(s, protocols, NULL, EG_SHOWN_BARE, EG_SLICE("socks5"));
    if (l.cert_pem.n) {
        struct eg_shown *tls = eg_show_add(s, map, "tls", EG_SHOWN_MAP, EG_SLICE_NONE);
        eg_show_pem(s, tls, "cert", l.cert_pem);
        eg_show_text(s, tls, "key", EG_SLICE("(a file)"));
        eg_show_pem(s, tls, "client_ca", l.client_ca_pem);
        eg_show_add(s, tls, "require_client", EG_SHOWN_BARE,
                    l.require_client ? EG_SLICE("true") : EG_SLICE("false"));
        for (struct eg_shown *n = tls->first; n; n = n->next)
            n->origin = EG_SLICE_NONE;
    }
    eg_show_add(s, map, "auth", EG_SHOWN_BARE, eg_slice_str(auth[l.auth]));
    put_sessions(s, map, index, l.session_count);
}

void eg_show_listen(struct eg_show *s, struct eg_shown *root)
{
    if (eg_policy_listen_count(s->p) == 0)
        return;
    struct eg_shown *list = eg_show_add(s, root, "listen", EG_SHOWN_LIST, EG_SLICE_NONE);
    for (unsigned i = 0; i < eg_policy_listen_count(s->p); i++)
        put_one(s, list, i);
}
