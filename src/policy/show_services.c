/* show_services.c - services and credentials in the words of the policy language. A credential is its source and where it may go, never its value. */
#include <stdio.h>

#include "policy/show_parts.h"

/* ---- services ---- */

static struct eg_slice slot_text(struct eg_show *s, const struct eg_slot *slot)
{
    const int n = (int)slot->name.n;
    switch (slot->kind) {
    case EG_SLOT_BEARER:
        return EG_SLICE("bearer");
    case EG_SLOT_HEADER:
        return eg_show_printf(s, "header:%.*s", n, slot->name.p);
    case EG_SLOT_BASIC_PASSWORD:
        return EG_SLICE("basic:password");
    case EG_SLOT_QUERY:
        return eg_show_printf(s, "query:%.*s", n, slot->name.p);
    case EG_SLOT_COOKIE:
        return eg_show_printf(s, "cookie:%.*s", n, slot->name.p);
    case EG_SLOT_PATH:
        return eg_show_printf(s, "path:%u", slot->segment);
    case EG_SLOT_SIGV4: /* follows from the credential */
        break;
    }
    return EG_SLICE_NONE;
}

static void put_slots(struct eg_show *s, struct eg_shown *map, const char *key,
                      const struct eg_slot *slots, unsigned count)
{
    struct eg_shown *list = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct eg_slice text = slot_text(s, &slots[i]);
        if (text.n == 0)
            continue;
        if (!list)
            list = eg_show_branch(s, map, key, EG_SHOWN_LIST);
        eg_show_add(s, list, NULL, EG_SHOWN_TEXT, text);
    }
}

static void put_writes(struct eg_show *s, struct eg_shown *map, const struct eg_service *v)
{
    static const char *const forms[] = { "header:%.*s: %.*s", "basic:%.*s%.*s", "query:%.*s=%.*s",
                                         "path:%.*s%.*s", "cookie:%.*s=%.*s" };
    struct eg_shown *list = NULL;
    for (unsigned i = 0; i < v->write_count; i++) {
        const struct eg_write *w = &v->write[i];
        char text[1400];
        if (w->kind == EG_WRITE_SIGV4)
            continue;
        if (!list)
            list = eg_show_branch(s, map, "write", EG_SHOWN_LIST);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, forms[w->kind], (int)w->name.n, w->name.p, (int)w->text.n,
                 w->text.p);
#pragma GCC diagnostic pop
        eg_show_add(s, list, NULL, EG_SHOWN_TEXT, eg_show_printf(s, "%s", text));
    }
}

static void put_names(struct eg_show *s, struct eg_shown *map, const char *key,
                      const struct eg_slice *names, unsigned count)
{
    if (count == 0)
        return;
    struct eg_shown *list = eg_show_branch(s, map, key, EG_SHOWN_LIST);
    for (unsigned i = 0; i < count; i++)
        eg_show_add(s, list, NULL, EG_SHOWN_TEXT, names[i]);
}

static struct eg_slice url_of(struct eg_show *s, const struct eg_authority *to, bool tls,
                              struct eg_slice path)
{
    char text[EG_AUTHORITY_TEXT];
    return eg_show_printf(s, "%s://%s%.*s", tls ? "https" : "http",
                          eg_authority_format(to, tls ? 443 : 80, text, sizeof text), (int)path.n,
                          path.p);
}

static void into(struct eg_show *s, const char *parent, struct eg_slice name, const char *child)
{
    snprintf(s->prefix, sizeof s->prefix, "%s.%.*s.%s", parent, (int)name.n, name.p, child);
}

static void put_env(struct eg_show *s, struct eg_shown *map, const struct eg_service *v)
{
    struct eg_shown *env = eg_show_add(s, map, "env", EG_SHOWN_MAP, EG_SLICE_NONE);
    into(s, "services", v->name, "env.");
    eg_show_some(s, env, "base_url", v->env_base_url);
    eg_show_some(s, env, "base_path", v->env_base_path);
    put_names(s, env, "key", v->env_keys, v->env_key_count);
    eg_show_some(s, env, "git", v->env_git);
    if (v->credential.n == 0)
        return;
    struct eg_shown *shape = eg_show_add(s, map, "shape", EG_SHOWN_MAP, EG_SLICE_NONE);
    into(s, "services", v->name, "shape.");
    eg_show_some(s, shape, "prefix", v->shape_prefix);
    if (v->shape_length)
        eg_show_bare(s, shape, "length", "%u", v->shape_length);
    else
        eg_show_bare(s, shape, "length", "same");
}

static void put_limits(struct eg_show *s, struct eg_shown *map, const struct eg_service *v)
{
    const struct eg_service_limits *l = &v->limits;
    if (l->requests_per_minute + l->request_bytes + l->response_bytes + l->concurrent == 0)
        return;
    struct eg_shown *limits = eg_show_add(s, map, "limits", EG_SHOWN_MAP, EG_SLICE_NONE);
    into(s, "services", v->name, "limits.");
    if (l->requests_per_minute)
        eg_show_bare(s, limits, "requests_per_minute", "%u", l->requests_per_minute);
    if (l->request_bytes)
        eg_show_size(s, limits, "request_bytes", l->request_bytes);
    if (l->response_bytes)
        eg_show_size(s, limits, "response_bytes", l->response_bytes);
    if (l->concurrent)
        eg_show_bare(s, limits, "concurrent", "%u", l->concurrent);
}

static void put_tls(struct eg_show *s, struct eg_shown *map, const struct eg_service *v)
{
    if (v->ca_pem.n + v->client_cert_pem.n + v->client_key_pem.n + v->server_name.n + v->pin_count == 0)
        return;
    struct eg_shown *tls = eg_show_add(s, map, "tls", EG_SHOWN_MAP, EG_SLICE_NONE);
    into(s, "services", v->name, "tls.");
    eg_show_pem(s, tls, "ca", v->ca_pem);
    eg_show_pem(s, tls, "client_cert", v->client_cert_pem);
    if (v->client_key_pem.n) /* not even its hash */
        eg_show_text(s, tls, "client_key", EG_SLICE("(a file)"));
    eg_show_some(s, tls, "server_name", v->server_name);
    if (v->pin_count == 0)
        return;
    struct eg_shown *pins = eg_show_branch(s, tls, "pin", EG_SHOWN_LIST);
    for (unsigned i = 0; i < v->pin_count; i++)
        eg_show_add(s, pins, NULL, EG_SHOWN_TEXT,
                    eg_show_printf(s, "sha256/%.*s", (int)v->pins[i].n, v->pins[i].p));
}

static void put_service(struct eg_show *s, struct eg_shown *services, unsigned index)
{
    const struct eg_block_service *b = &s->p->services[index];
    struct eg_service v;
    eg_policy_service(s->p, index, &v);
    if (v.internal)
        return;
    struct eg_shown *map = eg_show_add(s, services, "", EG_SHOWN_MAP, EG_SLICE_NONE);
    map->key = v.name;
    map->origin = v.rule;
    into(s, "services", v.name, "");
    eg_show_text(s, map, "upstream", url_of(s, &v.upstream, v.tls, v.base_path));
    if (!v.tls && v.credential.n)
        eg_show_bare(s, map, "plaintext", "true");
    eg_show_text(s, map, "route", v.route);
    eg_show_paths(s, map, "rules", b->rules);
    eg_show_paths(s, map, "deny", b->denies);
    eg_show_some(s, map, "credential", v.credential);
    put_slots(s, map, "accept", v.accept, v.accept_count);
    put_writes(s, map, &v);
    put_slots(s, map, "strip", v.strip_slots, v.strip_slot_count);
    put_env(s, map, &v);
    put_limits(s, map, &v);
    put_tls(s, map, &v);
    into(s, "services", v.name, "");
    if (v.credential.n)
        eg_show_bare(s, map, "redact", "%s", v.redact ? "true" : "false");
    put_names(s, map, "trailers", v.trailers, v.trailer_count);
    eg_show_bare(s, map, "websocket", "%s", v.websocket ? "true" : "false");
    s->prefix[0] = '\0';
}

void eg_show_services(struct eg_show *s, struct eg_shown *root)
{
    struct eg_shown *services = eg_show_add(s, root, "services", EG_SHOWN_MAP, EG_SLICE_NONE);
    for (unsigned i = 0; i < eg_policy_service_count(s->p); i++)
        put_service(s, services, i);
}

/* ---- credentials ---- */

/* key: from, or a part of a derived one. */
static void put_source(struct eg_show *s, struct eg_shown *map, const char *key, unsigned index)
{
    static const char *const kinds[] = { "env", "file", "keyring", "kernel", "systemd" };
    struct eg_credential c;
    eg_policy_credential(s->p, index, &c);
    if (c.arg_count == 0) {
        eg_show_text(s, map, key,
                     eg_show_printf(s, "%s:%.*s%s%.*s", kinds[c.kind], (int)c.place.n, c.place.p,
                                    c.kind == EG_SOURCE_KEYRING ? "/" : "",
                                    c.kind == EG_SOURCE_KEYRING ? (int)c.account.n : 0, c.account.p));
        return;
    }
    struct eg_shown *from = eg_show_branch(s, map, key, EG_SHOWN_MAP);
    struct eg_shown *cmd = eg_show_add(s, from, "cmd", EG_SHOWN_LIST, EG_SLICE_NONE);
    for (unsigned i = 0; i < c.arg_count; i++)
        eg_show_add(s, cmd, NULL, EG_SHOWN_TEXT, eg_policy_credential_arg(s->p, index, i));
    if (c.json)
        eg_show_add(s, from, "json", EG_SHOWN_BARE, EG_SLICE("true"));
    if (c.json && c.account.n)
        eg_show_add(s, from, "field", EG_SHOWN_TEXT, c.account);
}

/* The parts of a derived credential: NAME#PART. */
static void put_parts(struct eg_show *s, struct eg_shown *map, struct eg_slice name)
{
    for (unsigned i = 0; i < eg_policy_credential_count(s->p); i++) {
        struct eg_credential c;
        eg_policy_credential(s->p, i, &c);
        if (!eg_slice_starts(c.name, name) || c.name.n <= name.n || c.name.p[name.n] != '#')
            continue;
        struct eg_slice part = eg_slice_from(c.name, name.n + 1);
        put_source(s, map, eg_show_printf(s, "%.*s", (int)part.n, part.p).p, i);
    }
}

static void put_oauth2(struct eg_show *s, struct eg_shown *map, unsigned index, struct eg_slice name)
{
    static const char *const grants[] = { "client_credentials", "refresh_token", "jwt_bearer",
                                          "github_app" };
    struct eg_oauth2 o;
    struct eg_service endpoint;
    eg_policy_credential_oauth2(s->p, index, &o);
    struct eg_shown *auth = eg_show_add(s, map, "oauth2", EG_SHOWN_MAP, EG_SLICE_NONE);
    into(s, "credentials", name, "oauth2.");
    bool google = o.grant == EG_GRANT_JWT_BEARER && o.issuer.n == 0; /* its key's file names it */
    eg_show_bare(s, auth, "grant", "%s", google ? "google_service_account" : grants[o.grant]);
    int at = eg_policy_service_of_route(s->p, o.route);
    if (at >= 0) {
        eg_policy_service(s->p, (unsigned)at, &endpoint);
        eg_show_text(s, auth, "token_url", url_of(s, &endpoint.upstream, endpoint.tls, o.path));
    }
    eg_show_some(s, auth, "client_id", o.client_id);
    put_parts(s, auth, name);
    eg_show_some(s, auth, "scope", o.scope);
    eg_show_some(s, auth, "audience", o.audience);
    eg_show_some(s, auth, "issuer", o.issuer);
    eg_show_some(s, auth, "subject", o.subject);
    if (!o.basic)
        eg_show_bare(s, auth, "auth", "body");
    into(s, "credentials", name, "");
}

static void put_sigv4(struct eg_show *s, struct eg_shown *map, unsigned index, struct eg_slice name)
{
    struct eg_sigv4_scope scope;
    eg_policy_credential_sigv4(s->p, index, &scope);
    struct eg_shown *aws = eg_show_add(s, map, "aws_sigv4", EG_SHOWN_MAP, EG_SLICE_NONE);
    struct eg_credential c;
    eg_policy_credential(s->p, index, &c);
    into(s, "credentials", name, "aws_sigv4.");
    if (c.arg_count)
        put_source(s, aws, "from", index);
    else
        put_parts(s, aws, name);
    eg_show_some(s, aws, "region", scope.region);
    eg_show_some(s, aws, "service", scope.service);
    into(s, "credentials", name, "");
}

static void put_hosts(struct eg_show *s, struct eg_shown *map, struct eg_block_range hosts)
{
    struct eg_shown *list = eg_show_branch(s, map, "hosts", EG_SHOWN_LIST);
    for (uint32_t i = 0; i < hosts.count; i++) {
        const struct eg_block_host *h = &s->p->hosts[hosts.first + i];
        struct eg_slice name = eg_block_slice(s->p, h->host);
        struct eg_addr a = { .family = h->family };
        memcpy(a.b, h->b, sizeof a.b);
        eg_show_add(s, list, NULL, EG_SHOWN_TEXT,
                    h->kind == EG_PATTERN_PREFIX
                        ? eg_show_prefix(s, &a, h->bits)
                        : eg_show_printf(s, "%s%.*s", h->kind == EG_PATTERN_BELOW ? "*." : "",
                                         (int)name.n, name.p));
    }
}

void eg_show_credentials(struct eg_show *s, struct eg_shown *root)
{
    struct eg_shown *list = eg_show_add(s, root, "credentials", EG_SHOWN_MAP, EG_SLICE_NONE);
    for (unsigned i = 0; i < eg_policy_credential_count(s->p); i++) {
        struct eg_credential c;
        eg_policy_credential(s->p, i, &c);
        if (eg_slice_index(c.name, '#') >= 0)
            continue;
        struct eg_shown *map = eg_show_add(s, list, "", EG_SHOWN_MAP, EG_SLICE_NONE);
        map->key = c.name;
        map->origin = c.rule;
        into(s, "credentials", c.name, "");
        if (c.kind == EG_SOURCE_OAUTH2)
            put_oauth2(s, map, i, c.name);
        else if (c.kind == EG_SOURCE_SIGV4)
            put_sigv4(s, map, i, c.name);
        else
            put_source(s, map, "from", i);
        put_hosts(s, map, s->p->credentials[i].hosts);
        if (c.ttl_ms)
            eg_show_time(s, map, "ttl", c.ttl_ms);
        if (c.lazy)
            eg_show_bare(s, map, "load", "lazy");
        if (c.timeout_ms)
            eg_show_time(s, map, "timeout", c.timeout_ms);
        s->prefix[0] = '\0';
    }
}
