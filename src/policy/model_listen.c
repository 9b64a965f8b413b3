/* model_listen.c - the ways in: addresses, TLS, who is let in, and the sessions that client certificates stand for.
 *
 * A listener never asks for less than its keys say: what can't be held is an error. Other machines get in by client certificates, or by an
 * operator's --allow-remote. */
#include "policy/model.h"

#include <stdio.h>
#include <sys/un.h>

/* ---- address ---- */

static bool bad_address(struct eg_model *m, const struct eg_yaml *node, const char *text)
{
    eg_diag_error(m->diags, "bad-address", node->at,
                  "write \"127.0.0.1:0\", \"[::1]:8080\" or \"unix:/run/user/1000/egress.sock\"; "
                  "port 0 is any free one",
                  "%s", text);
    return false;
}

static bool read_unix(struct eg_model *m, const struct eg_yaml *node, struct eg_listen_spec *ret)
{
    const size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path;
    struct eg_slice path = eg_slice_from(node->text, strlen("unix:"));
    if (path.n < 2 || path.p[0] != '/' || path.p[path.n - 1] == '/')
        return bad_address(m, node, "a listener's socket has an absolute path");
    if (path.n >= max)
        return bad_address(m, node, "the path is longer than the 107 bytes of a socket's name");
    ret->unix_path = path;
    return true;
}

/* host:port, [v6]:port with port 0 included, or unix:PATH. False: reported. */
static bool read_address(struct eg_model *m, const struct eg_yaml *node, struct eg_listen_spec *ret)
{
    struct eg_slice text = node->text;
    struct eg_authority host;
    unsigned long long port;
    const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
    if (eg_slice_starts(text, EG_SLICE("unix:")))
        return read_unix(m, node, ret);
    size_t n = colon ? (size_t)(colon - text.p) : 0;
    struct eg_slice digits = colon ? eg_slice_from(text, n + 1) : EG_SLICE_NONE;
    if (!colon || eg_host_parse(eg_slice(text.p, n), &host, NULL) != EG_OK || !host.literal ||
        !eg_slice_u64(digits, &port) || port > UINT16_MAX || (digits.n > 1 && digits.p[0] == '0'))
        return bad_address(m, node,
                           "a listener's address is an address and a port, or unix: and a path");
    ret->at = (struct eg_sockaddr){ host.addr, (uint16_t)port };
    return true;
}

/* ---- client certificates and their sessions ---- */

/* A SAN as a verified certificate's is shown: an address in its one form, a URI as it is, a name in lower case. False: reported. */
static bool read_san(struct eg_model *m, const struct eg_yaml *node, struct eg_slice *ret)
{
    struct eg_slice text = eg_slice_from(node->name, strlen("san:"));
    struct eg_authority host;
    struct eg_addr addr;
    char form[EG_ADDR_TEXT];
    if (!eg_slice_starts(node->name, EG_SLICE("san:"))) {
        eg_diag_error(m->diags, "bad-value", node->name_at, "write \"san:build.example\"",
                      "a session is found by a name of the certificate: san: and a name");
        return false;
    }
    if (eg_addr_parse(text, &addr)) {
        *ret = eg_model_copy(m, eg_slice_str(eg_addr_format(&addr, form, sizeof form)));
        return true;
    }
    if (text.n > 0 && memmem(text.p, text.n, "://", 3) && text.n <= 1024) {
        *ret = text;
        return true;
    }
    if (eg_host_parse(text, &host, NULL) != EG_OK || host.literal) {
        eg_diag_error(m->diags, "bad-host", node->name_at, NULL,
                      "san: is followed by a DNS name, an address or a URI");
        return false;
    }
    *ret = eg_model_copy(m, eg_authority_host(&host));
    return true;
}

static bool is_label(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || (unsigned char)text.p[i] >= 0x7f)
            return false;
    return text.n > 0 && text.n <= EG_MODEL_LABEL_MAX;
}

static void read_sessions(struct eg_model *m, const struct eg_yaml *map, struct eg_model_listen *l)
{
    if (map->count > EG_MODEL_SESSIONS_MAX) {
        eg_diag_error(m->diags, "too-large", map->name_at, NULL, "sessions has more than %d names",
                      EG_MODEL_SESSIONS_MAX);
        return;
    }
    l->sessions = eg_model_alloc(m, (map->count + 1) * sizeof *l->sessions);
    for (const struct eg_yaml *node = map->first; node && l->sessions; node = node->next) {
        struct eg_model_pair pair = { .label = node->text };
        bool twice = false;
        if (node->bad || !read_san(m, node, &pair.san))
            continue;
        for (unsigned i = 0; i < l->s.session_count; i++)
            twice |= eg_slice_eq(l->sessions[i].san, pair.san);
        if (twice)
            eg_diag_error(m->diags, "duplicate-name", node->name_at, NULL,
                          "this name stands for another session already");
        else if (!is_label(node->text))
            eg_diag_error(m->diags, "bad-name", node->at, NULL,
                          "a session's label is 1 to %d visible ASCII characters",
                          EG_MODEL_LABEL_MAX);
        else
            l->sessions[l->s.session_count++] = pair;
    }
}

static void read_tls(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *tls,
                     struct eg_listen_spec *spec)
{
    const struct eg_yaml *ca = eg_model_child(tls, "client_ca");
    const struct eg_yaml *require = eg_model_child(tls, "require_client");
    spec->cert_pem = eg_model_pem(m, source, eg_model_child(tls, "cert"), "CERTIFICATE");
    spec->key_pem = eg_model_pem(m, source, eg_model_child(tls, "key"), "PRIVATE KEY");
    spec->client_ca_pem = eg_model_pem(m, source, ca, "CERTIFICATE");
    spec->require_client = ca && (!require || require->number == 1);
    if (require && require->number == 1 && !eg_yaml_get(tls, "client_ca"))
        eg_diag_error(m->diags, "missing-key", require->name_at, "name the CA with client_ca",
                      "require_client needs the CA whose certificates are taken");
}

/* ---- one listener ---- */

static unsigned read_protocols(struct eg_model *m, const struct eg_yaml *list)
{
    unsigned protocols = 0;
    if (!list)
        return EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS;
    if (list->count == 0)
        eg_diag_error(m->diags, "bad-value", list->at, "write [http, socks5]",
                      "a listener needs a protocol");
    for (const struct eg_yaml *word = list->first; word; word = word->next)
        protocols |= word->bad ? 0 : word->number == 1 ? EG_PROTOCOL_SOCKS : EG_PROTOCOL_HTTP;
    return protocols;
}

/* Who is let in, beside what TLS asks for. */
static void check_auth(struct eg_model *m, const struct eg_listen_spec *s,
                       const struct eg_yaml *node)
{
    const struct eg_yaml *auth = eg_model_child(node, "auth");
    const struct eg_yaml *tls = eg_yaml_get(node, "tls");
    const struct eg_yaml *sessions = eg_model_child(node, "sessions");
    bool ca = tls && eg_yaml_get(tls, "client_ca");
    if (s->auth == EG_AUTH_NONE && !s->require_client)
        eg_diag_warning(m->diags, "open-listener", auth->at, "leave auth out",
                        "whoever reaches this listener may use it");
    if (s->auth == EG_AUTH_CLIENT_CERT && !(ca && s->require_client))
        eg_diag_error(m->diags, "missing-key", auth->at,
                      "add tls: {cert, key, client_ca}, without `require_client: false`",
                      "auth: client_cert needs a client_ca and certificates that are required");
    else if (s->auth == EG_AUTH_CLIENT_CERT && s->session_count == 0)
        eg_diag_warning(m->diags, "unreachable-rule", auth->at, "add sessions",
                        "no certificate stands for a session, so none lets anybody in");
    if (sessions && !ca)
        eg_diag_error(m->diags, "missing-key", sessions->name_at, "add client_ca to tls",
                      "sessions are found by client certificates, and none is asked for");
}

static void check_remote(struct eg_model *m, const struct eg_listen_spec *s,
                         const struct eg_yaml *address)
{
    if (s->unix_path.n > 0 || eg_addr_loopback(&s->at.addr) || s->require_client)
        return;
    if (m->reader && m->reader->allow_remote)
        eg_diag_warning(m->diags, "open-listener", address->at, NULL,
                        "other machines reach this listener%s",
                        s->cert_pem.n ? "" : ", and what they send can be read on the way");
    else
        eg_diag_error(m->diags, "open-listener", address->at,
                      "add tls: {cert, key, client_ca}, or start with --allow-remote",
                      "other machines would reach this listener without a client certificate");
}

static void check_double(struct eg_model *m, const struct eg_listen_spec *s,
                         const struct eg_yaml *address)
{
    for (unsigned i = 0; i < m->listen_count; i++) {
        const struct eg_listen_spec *o = &m->listen[i].s;
        bool same = s->unix_path.n ? eg_slice_eq(s->unix_path, o->unix_path)
                                   : s->at.port != 0 && s->at.port == o->at.port &&
                                         eg_addr_eq(&s->at.addr, &o->at.addr);
        if (same)
            eg_diag_error(m->diags, "duplicate-name", address->at, NULL,
                          "another listener has this address already");
    }
}

static void read_listener(struct eg_model *m, const struct eg_source *source,
                          const struct eg_yaml *node)
{
    const struct eg_yaml *address = eg_model_child(node, "address");
    const struct eg_yaml *tls = eg_model_child(node, "tls");
    const struct eg_yaml *auth = eg_model_child(node, "auth");
    const struct eg_yaml *sessions = eg_model_child(node, "sessions");
    struct eg_model_listen l = { 0 };
    l.s.protocols = read_protocols(m, eg_model_child(node, "protocols"));
    l.s.auth = auth ? (enum eg_auth)auth->number : EG_AUTH_TOKEN;
    if (tls)
        read_tls(m, source, tls, &l.s);
    if (sessions)
        read_sessions(m, sessions, &l);
    check_auth(m, &l.s, node);
    if (!address || !read_address(m, address, &l.s))
        return;
    check_remote(m, &l.s, address);
    check_double(m, &l.s, address);
    l.s.rule = eg_model_rule_text(m, address->at);
    m->listen[m->listen_count++] = l;
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
