/* model_services.c - services: names, routes, upstream URLs, TLS, and the defaults that need the credential.
 *
 * Slots and variables of a service are in model_slots.c. A second definition of a name replaces the first when
 * its file is trusted, and is refused when it is not. */
#include "policy/check.h"
#include "policy/model.h"

#include <stdio.h>

#include "base/table.h"
#include "policy/ranges.h"

/* ---- upstream ---- */

static bool bad_url(struct eg_model *m, struct eg_place at, struct eg_slice url, const char *fix,
                    const char *text)
{
    at.hide = eg_slice_index(url, '@') >= 0;
    eg_diag_error(m->diags, "bad-url", at, fix, "%s", text);
    return false;
}

/* The path of a URL, canonical. False: reported. */
static bool canonical(struct eg_model *m, struct eg_place at, struct eg_slice path,
                      struct eg_slice *ret)
{
    struct eg_buf out;
    struct eg_path_flags flags = { 0 };
    struct eg_err err = { 0 };
    eg_buf_init(&out, 4096);
    enum eg_status st = eg_path_canon(path, &out, &flags, &err);
    if (st == EG_NOMEM)
        m->status = st;
    else if (st != EG_OK)
        bad_url(m, at, path, NULL, err.text[0] ? err.text : "this path can't be used");
    else if (flags.unsafe)
        bad_url(m, at, path, NULL, flags.why);
    bool fine = st == EG_OK && !flags.unsafe;
    if (fine)
        *ret = eg_model_copy(m, eg_buf_slice(&out));
    eg_buf_done(&out);
    return fine;
}

/* Scheme and authority of a URL; *rest is what stands behind. False: reported. */
static bool read_authority(struct eg_model *m, struct eg_place at, struct eg_slice url,
                           struct eg_service *s, struct eg_slice *rest)
{
    struct eg_err err = { 0 };
    s->tls = eg_slice_casestarts(url, EG_SLICE("https://"));
    if (!s->tls && !eg_slice_casestarts(url, EG_SLICE("http://")))
        return bad_url(m, at, url, "write https://HOST/PATH",
                       "this is not an https:// or http:// URL");
    *rest = eg_slice_from(url, s->tls ? 8 : 7);
    if (eg_slice_index(*rest, '@') >= 0)
        return bad_url(m, at, url, "name a credential",
                       "a URL with a user or password in it is not accepted");
    size_t n = 0;
    while (n < rest->n && !strchr("/?#", rest->p[n]))
        n++;
    struct eg_slice authority = eg_slice(rest->p, n);
    if (eg_authority_parse(authority, s->tls ? 443 : 80, &s->upstream, &err) != EG_OK)
        return bad_url(m, at, url, NULL, err.text);
    *rest = eg_slice_from(*rest, n);
    return true;
}

static bool read_upstream(struct eg_model *m, struct eg_model_service *s,
                          const struct eg_yaml *node)
{
    struct eg_slice rest, path = EG_SLICE_NONE;
    if (eg_slice_index(node->text, '?') >= 0 || eg_slice_index(node->text, '#') >= 0)
        return bad_url(m, node->at, node->text, NULL, "an upstream has no query and no fragment");
    if (!read_authority(m, node->at, node->text, &s->s, &rest) ||
        (rest.n > 0 && !canonical(m, node->at, rest, &path)))
        return false;
    while (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    s->s.base_path = path;
    return true;
}

bool eg_model_token_url(struct eg_model *m, struct eg_place at, struct eg_slice url,
                        struct eg_service *s, struct eg_slice *path)
{
    struct eg_target target;
    struct eg_err err = { 0 };
    struct eg_slice rest;
    if (!read_authority(m, at, url, s, &rest))
        return false;
    if (rest.n == 0 || rest.p[0] == '?')
        rest = eg_model_printf(m, "/%.*s", (int)rest.n, rest.n ? rest.p : "");
    if (eg_target_parse(rest, false, &target, &err) != EG_OK)
        return bad_url(m, at, url, NULL, err.text);
    if (!canonical(m, at, target.path, path))
        return false;
    if (target.has_query)
        *path = eg_model_printf(m, "%.*s?%.*s", (int)path->n, path->p, (int)target.query.n,
                                target.query.n ? target.query.p : "");
    return true;
}

/* A literal upstream opens its address: an untrusted file may not do that inside of the special ranges. */
static bool trusted_upstream(struct eg_model *m, const struct eg_source *source,
                             const struct eg_yaml *node, const struct eg_addr *addr)
{
    const struct eg_range *range = eg_range_overlap(addr, addr->family == 4 ? 32 : 128);
    bool own = false;
    for (unsigned i = 0; m->reader && i < m->reader->own_count; i++)
        own |= eg_addr_eq(addr, &m->reader->own_addresses[i]);
    if (source->trusted || (!range && !own && !eg_range_nat64(addr)))
        return true;
    eg_diag_error(m->diags, "untrusted-key", node->at, eg_trust_fix,
                  "an untrusted file may not open an address that is %s",
                  range ? range->text : "this machine's own, or NAT64");
    return false;
}

/* A literal upstream opens its address for the route; a name gets a hint for those who try a tunnel to it. */
static void add_service_rule(struct eg_model *m, const struct eg_model_service *s)
{
    struct eg_model_rule *rule = eg_model_new_rule(m, EG_ACTION_SERVICE, s->upstream_at);
    if (!rule)
        return;
    rule->to.kind = s->s.upstream.literal ? EG_PATTERN_PREFIX : EG_PATTERN_EXACT;
    rule->to.host = s->s.upstream.literal ? EG_SLICE_NONE : eg_authority_host(&s->s.upstream);
    rule->to.addr = s->s.upstream.addr;
    rule->to.bits = s->s.upstream.addr.family == 4 ? 32 : 128;
    rule->ports[0] = s->s.upstream.port;
    rule->port_count = 1;
    if (!s->s.internal)
        rule->why = eg_model_printf(m, "it is reached by its route /%.*s/, whose URL is in %.*s",
                                    (int)s->s.route.n, s->s.route.p, (int)s->s.env_base_url.n,
                                    s->s.env_base_url.p);
}

static void read_tls(struct eg_model *m, const struct eg_source *source, struct eg_model_service *s,
                     const struct eg_yaml *tls)
{
    struct eg_model_tls t = { 0 };
    if (tls && !s->s.tls) {
        eg_diag_error(m->diags, "unenforceable-rule", tls->name_at, "use https://",
                      "tls: has no meaning for an http:// upstream");
        return;
    }
    eg_model_client_tls(m, source, tls, &t);
    s->s.ca_pem = t.ca_pem;
    s->s.client_cert_pem = t.cert_pem;
    s->s.client_key_pem = t.key_pem;
    s->s.server_name = t.server_name;
    eg_model_read_pins(m, eg_model_child(tls, "pin"), s->s.pins, &s->s.pin_count);
}

/* ---- services ---- */

/* A second file that defines the name: a more specific trusted one wins, an untrusted one may not. False: skip it. */
static bool may_define(struct eg_model *m, const struct eg_source *source,
                       const struct eg_yaml *node)
{
    struct eg_model_service *old = eg_table_get(m->service_names, node->name);
    if (!old)
        return true;
    if (!source->trusted && old->source->trusted) {
        eg_diag_error(m->diags, "untrusted-key", node->name_at, eg_trust_fix,
                      "an untrusted file may not redefine the service %s of %s",
                      eg_quote(node->name).text, old->source->path);
        return false;
    }
    (void)eg_table_take(m->service_names, node->name);
    for (struct eg_model_service **at = &m->services; *at; at = &(*at)->next)
        if (*at == old) {
            *at = old->next;
            break;
        }
    m->service_count--;
    return true;
}

static void keep_service(struct eg_model *m, struct eg_model_service *s)
{
    struct eg_model_service **end = &m->services;
    enum eg_status st = eg_table_add(m->service_names, s->s.name, s);
    if (st != EG_OK) {
        m->status = st;
        return;
    }
    while (*end)
        end = &(*end)->next;
    *end = s;
    m->service_count++;
}

static void read_service(struct eg_model *m, const struct eg_source *source,
                         const struct eg_yaml *node)
{
    struct eg_model_preset preset = { NULL, NULL, NULL };
    if (!eg_model_check_name(m, node->name, node->name_at, "service's name", false))
        return;
    node = eg_model_with_preset(m, source, node, &preset);
    const struct eg_yaml *upstream = eg_model_child(node, "upstream");
    const struct eg_yaml *route = eg_model_child(node, "route");
    const struct eg_yaml *plaintext = eg_model_child(node, "plaintext");
    const struct eg_yaml *credential = eg_model_child(node, "credential");
    if (!upstream || !may_define(m, source, node))
        return;
    struct eg_model_service *s = eg_model_alloc(m, sizeof *s);
    if (!s)
        return;
    eg_model_note(m, "services", node);
    s->source = source;
    s->preset = preset;
    s->at = node->name_at;
    s->upstream_at = upstream->at;
    s->route_at = route ? route->at : node->name_at;
    s->credential_at = credential ? credential->at : node->name_at;
    s->plaintext = plaintext && plaintext->number == 1;
    s->s.name = node->name;
    s->s.route = route ? route->text : node->name;
    s->s.credential = credential ? credential->text : EG_SLICE_NONE;
    s->s.rule = eg_model_rule_text(m, s->at);
    bool fine = read_upstream(m, s, upstream);
    fine &= !route || eg_model_check_name(m, route->text, route->at, "route", true);
    fine = fine &&
           (!s->s.upstream.literal || trusted_upstream(m, source, upstream, &s->s.upstream.addr));
    read_tls(m, source, s, eg_model_child(node, "tls"));
    eg_model_read_slots(m, s, node);
    eg_model_read_env(m, s, node);
    eg_model_read_members(m, s, node);
    (void)eg_model_read_paths(m, eg_model_child(node, "rules"), true, &s->rules);
    (void)eg_model_read_paths(m, eg_model_child(node, "deny"), false, &s->denies);
    if (!fine)
        return;
    keep_service(m, s);
}

void eg_model_add_services(struct eg_model *m, const struct eg_source *source,
                           const struct eg_yaml *services)
{
    for (const struct eg_yaml *node = services ? services->first : NULL; node && m->status == EG_OK;
         node = node->next)
        if (!node->bad)
            read_service(m, source, node);
}

/* Two services can't share a route or a variable. */
static void claim(struct eg_model *m, struct eg_model_service *s, struct eg_table *names,
                  struct eg_place at, const char *what, struct eg_slice text)
{
    struct eg_slice key = eg_model_printf(m, "%s %.*s", what, (int)text.n, text.p);
    enum eg_status st = key.p ? eg_table_add(names, key, s) : EG_NOMEM;
    if (st == EG_EXISTS)
        eg_diag_error(m->diags, "duplicate-name", at,
                      strcmp(what, "route") == 0 ? "give one of them another route"
                      : strcmp(what, "git host") == 0
                          ? "take env.git from one of them: a host has one way"
                          : "name another one in env.key or env.base_url",
                      "the %s %s belongs to the service %s already", what, eg_quote(text).text,
                      eg_quote(((struct eg_model_service *)eg_table_get(names, key))->s.name).text);
    else if (st != EG_OK)
        m->status = st;
}

/* NAME_SUFFIX in capitals; what no variable may have becomes '_'. */
static struct eg_slice variable(struct eg_model *m, struct eg_slice name, const char *suffix)
{
    char text[80];
    size_t n = 0;
    if (name.p[0] >= '0' && name.p[0] <= '9')
        text[n++] = '_';
    for (size_t i = 0; i < name.n && n < 68; i++) {
        char c = name.p[i];
        text[n++] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c == '-' || c == '.' ? '_' : c);
    }
    return eg_model_printf(m, "%.*s%s", (int)n, text, suffix);
}

/* Variables that the service does not name. */
static void default_env(struct eg_model *m, struct eg_model_service *s,
                        const struct eg_model_credential *c)
{
    bool sigv4 = c && c->c.kind == EG_SOURCE_SIGV4;
    if (!s->s.env_base_url.n)
        s->s.env_base_url = variable(m, s->s.name, "_BASE_URL");
    if (s->s.credential.n == 0 || s->has_key)
        return;
    s->s.env_key_count = sigv4 ? 2 : 1;
    if (sigv4) {
        s->s.env_keys[0] = EG_SLICE("AWS_ACCESS_KEY_ID");
        s->s.env_keys[1] = EG_SLICE("AWS_SECRET_ACCESS_KEY");
    } else {
        s->s.env_keys[0] =
            c && c->c.kind == EG_SOURCE_ENV ? c->c.place : variable(m, s->s.name, "_API_KEY");
    }
}

void eg_model_finish_service(struct eg_model *m, struct eg_model_service *s, struct eg_table *names)
{
    const struct eg_model_credential *c =
        s->s.credential.n ? eg_table_get(m->credential_names, s->s.credential) : NULL;
    if (s->s.internal) {
        add_service_rule(m, s);
        return;
    }
    default_env(m, s, c);
    eg_model_finish_slots(m, s, c);
    claim(m, s, names, s->route_at, "route", s->s.route);
    claim(m, s, names, s->has_env ? s->env_at : s->at, "variable", s->s.env_base_url);
    if (s->s.env_git.n > 0)
        claim(m, s, names, s->has_env ? s->env_at : s->at, "git host", s->s.env_git);
    for (unsigned i = 0; i < s->s.env_key_count; i++)
        claim(m, s, names, s->has_env ? s->env_at : s->at, "variable", s->s.env_keys[i]);
    add_service_rule(m, s);
}
