/* model_settings.c - listen, dns, tls, via, audit and upstream: privileged settings, read from trusted files only. */
#include "policy/model.h"

#include <stdio.h>

/* host:port or [v6]:port of a listener, port 0 included; only this machine's own. False: reported. */
static bool read_listen_address(struct eg_model *m, const struct eg_yaml *node,
                                struct eg_sockaddr *ret)
{
    struct eg_slice text = node->text;
    struct eg_authority host;
    unsigned long long port;
    const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
    if (eg_slice_starts(text, EG_SLICE("unix:"))) {
        eg_diag_error(m->diags, "not-available", node->at, NULL,
                      "listeners on Unix sockets are not available in this version");
        return false;
    }
    size_t n = colon ? (size_t)(colon - text.p) : 0;
    struct eg_slice digits = colon ? eg_slice_from(text, n + 1) : EG_SLICE_NONE;
    if (!colon || eg_host_parse(eg_slice(text.p, n), &host, NULL) != EG_OK || !host.literal ||
        !eg_slice_u64(digits, &port) || port > UINT16_MAX || (digits.n > 1 && digits.p[0] == '0')) {
        eg_diag_error(m->diags, "bad-address", node->at,
                      "write \"127.0.0.1:0\" or \"[::1]:8080\"; port 0 is any free one",
                      "a listener's address is an address and a port");
        return false;
    }
    if (!eg_addr_loopback(&host.addr)) {
        eg_diag_error(
            m->diags, "not-available", node->at, "write 127.0.0.1 or [::1]",
            "listeners on other than loopback addresses are not available in this version");
        return false;
    }
    ret->addr = host.addr;
    ret->port = (uint16_t)port;
    return true;
}

static void read_listener(struct eg_model *m, const struct eg_source *source,
                          const struct eg_yaml *node)
{
    const struct eg_yaml *address = eg_model_child(node, "address");
    const struct eg_yaml *protocols = eg_model_child(node, "protocols");
    const struct eg_yaml *tls = eg_model_child(node, "tls");
    const struct eg_yaml *auth = eg_model_child(node, "auth");
    struct eg_listen_spec spec = { .protocols = EG_PROTOCOL_HTTP,
                                   .auth = auth && auth->number == 1 ? EG_AUTH_NONE
                                                                    : EG_AUTH_TOKEN };
    if (auth && auth->number == 2)
        eg_diag_error(m->diags, "not-available", auth->at, NULL,
                      "auth: client_cert is not available in this version");
    if (spec.auth == EG_AUTH_NONE)
        eg_diag_warning(m->diags, "open-listener", auth->at, "leave auth out",
                        "whoever reaches this listener may use it");
    for (const struct eg_yaml *word = protocols ? protocols->first : NULL; word; word = word->next)
        if (!word->bad && word->number == 1)
            eg_diag_error(m->diags, "not-available", word->at, "write [http]",
                          "socks5 is not available in this version");
    if (protocols && protocols->count == 0)
        eg_diag_error(m->diags, "bad-value", protocols->at, "write [http]",
                      "a listener needs a protocol");
    if (tls) {
        spec.cert_pem = eg_model_pem(m, source, eg_model_child(tls, "cert"), "CERTIFICATE");
        spec.key_pem = eg_model_pem(m, source, eg_model_child(tls, "key"), "PRIVATE KEY");
    }
    if (!address || !read_listen_address(m, address, &spec.at))
        return;
    spec.rule = eg_model_rule_text(m, address->at);
    m->listen[m->listen_count++] = spec;
}

void eg_model_add_listeners(struct eg_model *m, const struct eg_source *source,
                            const struct eg_yaml *list)
{
    if (!list)
        return;
    if (list->count == 0 || list->count > EG_MODEL_LISTEN_MAX) {
        eg_diag_error(m->diags, "bad-value", list->name_at, NULL, "listen names 1 to %d listeners",
                      EG_MODEL_LISTEN_MAX);
        return;
    }
    m->listen_count = 0; /* the more specific layer's list stands for all */
    for (const struct eg_yaml *node = list->first; node; node = node->next)
        if (!node->bad)
            read_listener(m, source, node);
}

static void read_dns(struct eg_model *m, const struct eg_yaml *dns)
{
    const struct eg_yaml *servers = eg_model_child(dns, "servers");
    const unsigned max = sizeof m->settings.dns_servers / sizeof *m->settings.dns_servers;
    if (!servers)
        return;
    if (servers->count == 0 || servers->count > max) {
        eg_diag_error(m->diags, "bad-value", servers->name_at, "leave dns out for the system's",
                      "servers names 1 to %u servers", max);
        return;
    }
    m->settings.dns_count = 0;
    for (const struct eg_yaml *node = servers->first; node; node = node->next) {
        struct eg_authority server;
        if (node->bad)
            continue;
        if (eg_authority_parse(node->text, 53, &server, NULL) != EG_OK || !server.literal) {
            eg_diag_error(m->diags, "bad-address", node->at, NULL,
                          "a name server is an address, such as 127.0.0.1:5353 or [::1]:53");
            continue;
        }
        m->settings.dns_servers[m->settings.dns_count++] =
            (struct eg_sockaddr){ server.addr, server.port };
    }
}

static void read_tls(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *tls)
{
    const struct eg_yaml *ca = eg_model_child(tls, "ca");
    const struct eg_yaml *system = eg_model_child(tls, "system");
    if (ca)
        m->settings.ca_pem = eg_model_pem(m, source, ca, "CERTIFICATE");
    if (system)
        m->settings.ca_system = system->number == 1;
    if (system && !m->settings.ca_system && !ca && m->settings.ca_pem.n == 0)
        eg_diag_error(m->diags, "bad-value", system->name_at, "name a CA with tls.ca",
                      "without the system's CAs nothing would be trusted");
}

static void read_audit(struct eg_model *m, const struct eg_source *source,
                       const struct eg_yaml *audit)
{
    const struct eg_yaml *capacity = eg_model_child(audit, "capacity");
    const struct eg_yaml *destinations = eg_model_child(audit, "destinations");
    const struct eg_yaml *file = eg_model_child(audit, "file");
    const struct eg_yaml *strict = eg_model_child(audit, "strict");
    if (capacity)
        m->settings.audit_capacity = (uint32_t)capacity->number;
    if (destinations)
        m->settings.audit_destinations = (uint8_t)destinations->number;
    if (file)
        m->settings.audit_file = eg_model_path(m, source, file->text);
    if (strict)
        m->settings.audit_strict = strict->number == 1;
}

/* ---- upstream ---- */

static bool is_later_proxy(struct eg_slice url)
{
    static const char *const later[] = { "https://",      "socks5://", "socks5h://",
                                         "socks5+tls://", "ssh://",    "socks4://" };
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (eg_slice_casestarts(url, eg_slice_str(later[i])))
            return true;
    return false;
}

static void report_proxy(struct eg_model *m, const struct eg_yaml *node, const char *why)
{
    struct eg_place at = node->at;
    at.hide = eg_slice_index(node->text, '@') >= 0;
    eg_diag_error(m->diags, "bad-url", at, "write http://HOST:PORT", "%s", why);
}

static void read_proxy(struct eg_model *m, const struct eg_yaml *entry)
{
    const struct eg_yaml *proxy = eg_model_child(entry, "proxy");
    struct eg_slice credential = eg_model_text(entry, "credential");
    struct eg_err err = { 0 };
    if (!proxy)
        return;
    struct eg_slice url = proxy->text;
    if (is_later_proxy(url)) {
        eg_diag_error(m->diags, "not-available", proxy->at, NULL,
                      "only http:// proxies are available in this version");
        return;
    }
    if (!eg_slice_casestarts(url, EG_SLICE("http://"))) {
        report_proxy(m, proxy, "a proxy is an http:// URL");
        return;
    }
    url = eg_slice_from(url, 7);
    if (url.n > 0 && url.p[url.n - 1] == '/')
        url.n--;
    if (eg_slice_index(url, '@') >= 0)
        report_proxy(m, proxy,
                     "a URL with a user or password in it is not accepted: name a credential");
    else if (eg_authority_parse(url, 0, &m->settings.proxy, &err) != EG_OK)
        report_proxy(m, proxy, err.text);
    else
        m->settings.has_proxy = true;
    m->settings.proxy_credential = credential;
    m->proxy_at = proxy->at;
}

static void read_proxies(struct eg_model *m, const struct eg_yaml *list)
{
    if (list->count != 1) {
        eg_diag_error(m->diags, list->count ? "not-available" : "bad-value", list->name_at,
                      list->count ? NULL : "write `upstream: none`",
                      list->count ? "chains of proxies are not available in this version"
                                  : "the list of proxies is empty");
        return;
    }
    if (!list->first->bad)
        read_proxy(m, list->first);
}

static void read_chain(struct eg_model *m, const struct eg_yaml *upstream)
{
    m->settings.has_proxy = false;
    m->settings.proxy_credential = EG_SLICE_NONE;
    m->settings.proxy_resolve_local = false;
    if (upstream->kind == EG_YAML_TEXT) {
        if (upstream->number == 1)
            eg_diag_error(m->diags, "not-available", upstream->at,
                          "write `upstream: none`, or name the proxy",
                          "upstream: env is not available in this version");
        return;
    }
    if (upstream->kind == EG_YAML_LIST) {
        read_proxies(m, upstream);
        return;
    }
    const struct eg_yaml *list = eg_model_child(upstream, "proxies");
    const struct eg_yaml *resolve = eg_model_child(upstream, "resolve");
    m->settings.proxy_resolve_local = resolve && resolve->number == 1;
    if (list)
        read_proxies(m, list);
}

void eg_model_add_settings(struct eg_model *m, const struct eg_source *source,
                           const struct eg_yaml *root)
{
    const struct eg_yaml *via = eg_model_child(root, "via");
    const struct eg_yaml *upstream = eg_model_child(root, "upstream");
    read_dns(m, eg_model_child(root, "dns"));
    read_tls(m, source, eg_model_child(root, "tls"));
    read_audit(m, source, eg_model_child(root, "audit"));
    if (via)
        m->settings.via = via->number == 1;
    if (upstream)
        read_chain(m, upstream);
}
