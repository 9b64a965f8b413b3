/* model_derived.c - credentials that are made from others: oauth2 and aws_sigv4.
 *
 * The references in them become credentials of their own, NAME#part, and a token endpoint becomes an internal service, whose route no policy may give.
 * Both are put beside the others once all files are in: a more specific file may replace the whole. */
#include "policy/model.h"

#include <stdio.h>

/* ---- parts ---- */

/* The reference of that name in the map as the part NAME#name; NULL when there is none or it is bad, which is reported. */
static struct eg_model_credential *read_part(struct eg_model *m, struct eg_model_credential *c,
                                             const struct eg_yaml *map, const char *name,
                                             enum eg_source_use use)
{
    const struct eg_yaml *from = eg_model_child(map, name);
    if (!from)
        return NULL;
    struct eg_model_credential *part = eg_model_alloc(m, sizeof *part);
    if (!part || !eg_model_read_source(m, c->source, from, use, part))
        return NULL;
    part->at = from->name_at;
    part->source = c->source;
    part->c.name = eg_model_printf(m, "%.*s#%s", (int)c->c.name.n, c->c.name.p, name);
    part->c.rule = eg_model_rule_text(m, part->at);
    c->parts[c->part_count++] = part;
    return part;
}

static void missing(struct eg_model *m, struct eg_place at, const char *name, const char *why)
{
    char fix[80];
    snprintf(fix, sizeof fix, "add `%s: ...`", name);
    eg_diag_error(m->diags, "missing-key", at, fix, "the key %s is missing%s%s", name,
                  why ? ": " : "", why ? why : "");
}

/* ---- oauth2 ---- */

enum { FOR_CLIENT = 1, FOR_REFRESH = 2, FOR_JWT = 4, FOR_GITHUB = 8, FOR_GOOGLE = 16 };

struct key_rule {
    const char *name;
    unsigned allowed, required; /* by grants */
};

static const struct key_rule key_rules[] = {
    { "token_url", ~0u, FOR_CLIENT | FOR_REFRESH | FOR_JWT },
    { "client_id", FOR_CLIENT | FOR_REFRESH | FOR_JWT, FOR_CLIENT | FOR_REFRESH },
    { "client_secret", FOR_CLIENT | FOR_REFRESH | FOR_JWT, FOR_CLIENT },
    { "refresh_token", FOR_REFRESH, FOR_REFRESH },
    { "key", FOR_JWT | FOR_GITHUB | FOR_GOOGLE, FOR_JWT | FOR_GITHUB | FOR_GOOGLE },
    { "scope", FOR_CLIENT | FOR_REFRESH | FOR_JWT | FOR_GOOGLE, 0 },
    { "audience", FOR_CLIENT | FOR_JWT | FOR_GOOGLE, 0 },
    { "issuer", FOR_JWT | FOR_GITHUB | FOR_GOOGLE, FOR_JWT | FOR_GITHUB },
    { "subject", FOR_JWT | FOR_GOOGLE, 0 },
    { "installation", FOR_GITHUB, 0 },
    { "auth", FOR_CLIENT | FOR_REFRESH | FOR_JWT, 0 },
};

static void check_keys(struct eg_model *m, const struct eg_yaml *map, unsigned grant)
{
    static const char *const names[] = { "client_credentials", "refresh_token", "jwt_bearer",
                                         "github_app", "google_service_account" };
    for (size_t i = 0; i < sizeof key_rules / sizeof *key_rules; i++) {
        const struct key_rule *r = &key_rules[i];
        const struct eg_yaml *node = eg_yaml_get(map, r->name);
        if (!node && (r->required & 1u << grant))
            missing(m, map->name_at, r->name, NULL);
        else if (node && !(r->allowed & 1u << grant))
            eg_diag_error(m->diags, "bad-value", node->name_at, "remove it",
                          "%s has no meaning with grant: %s", r->name, names[grant]);
    }
}

static struct eg_slice parameter(struct eg_model *m, const struct eg_yaml *map, const char *name)
{
    const struct eg_yaml *node = eg_model_child(map, name);
    if (!node)
        return EG_SLICE_NONE;
    if (eg_secret_like(node->text)) {
        struct eg_place at = node->at;
        at.hide = true;
        if (strcmp(name, "client_id") != 0) /* often random, and public */
            eg_diag_error(m->diags, "inline-secret", at, NULL,
                          "this looks like a secret, and is sent as it is");
    }
    if (eg_model_printable(node->text) && node->text.n <= 1024)
        return node->text;
    eg_diag_error(m->diags, "bad-value", node->at, NULL,
                  "this must be at most 1024 printable ASCII characters");
    return EG_SLICE_NONE;
}

/* The internal service that leads to token_url, and the path behind its route. */
static void read_endpoint(struct eg_model *m, struct eg_model_credential *c,
                          const struct eg_yaml *map, struct eg_slice url, struct eg_place at)
{
    struct eg_model_service *s = eg_model_alloc(m, sizeof *s);
    if (!s)
        return;
    struct eg_slice name =
        eg_model_printf(m, "oauth2~%.*s", (int)c->c.name.n, c->c.name.p); /* no policy's */
    s->source = c->source;
    s->at = s->upstream_at = s->route_at = s->env_at = at;
    s->s.name = s->s.route = c->oauth2.route = name;
    s->s.internal = true;
    s->s.rule = eg_model_rule_text(m, map->name_at);
    if (!eg_model_token_url(m, at, url, &s->s, &c->oauth2.path))
        return;
    if (!s->s.tls && !eg_model_is_local(&s->s.upstream)) {
        eg_diag_error(m->diags, "plaintext-credential", at, "use https://",
                      "the client's secrets would go over http:// to a host that is not this "
                      "machine");
        return;
    }
    c->endpoint = s;
}

/* token_url, or what the grant's vendor has. */
static void read_token_url(struct eg_model *m, struct eg_model_credential *c,
                           const struct eg_yaml *map, unsigned grant)
{
    const struct eg_yaml *node = eg_model_child(map, "token_url");
    const struct eg_yaml *installation = eg_model_child(map, "installation");
    struct eg_slice url = node ? node->text : EG_SLICE_NONE;
    struct eg_place at = node ? node->at : map->name_at;
    bool jwt = 1u << grant & (FOR_JWT | FOR_GOOGLE);
    if (grant == 3 && (node != NULL) == (installation != NULL)) {
        if (node)
            eg_diag_error(m->diags, "bad-value", installation->name_at, "remove one of the two",
                          "token_url names the installation already");
        else if (!eg_yaml_get(map, "token_url") && !eg_yaml_get(map, "installation"))
            missing(m, map->name_at, "installation", "the number that GitHub gave it");
        return;
    }
    if (grant == 4 && !node)
        url = EG_SLICE("https://oauth2.googleapis.com/token");
    if (installation && !node)
        url = eg_model_printf(m, "https://api.github.com/app/installations/%llu/access_tokens",
                              (unsigned long long)installation->number);
    if (url.n == 0)
        return;
    if (jwt && c->oauth2.audience.n == 0) /* RFC 7523 section 3 */
        c->oauth2.audience = url;
    read_endpoint(m, c, map, url, at);
}

static void check_auth(struct eg_model *m, const struct eg_yaml *map)
{
    const struct eg_yaml *auth = eg_model_child(map, "auth");
    if (auth && !eg_yaml_get(map, "client_secret"))
        missing(m, auth->name_at, "client_secret", "auth says how it is sent");
}

void eg_model_read_oauth2(struct eg_model *m, struct eg_model_credential *c,
                          const struct eg_yaml *map)
{
    static const enum eg_grant grants[] = { EG_GRANT_CLIENT_CREDENTIALS, EG_GRANT_REFRESH_TOKEN,
                                            EG_GRANT_JWT_BEARER, EG_GRANT_GITHUB_APP,
                                            EG_GRANT_JWT_BEARER };
    const struct eg_yaml *grant = eg_model_child(map, "grant");
    const struct eg_yaml *auth = eg_model_child(map, "auth");
    c->c.kind = EG_SOURCE_OAUTH2;
    if (!grant)
        return;
    check_keys(m, map, (unsigned)grant->number);
    check_auth(m, map);
    c->oauth2 = (struct eg_oauth2){ .grant = grants[grant->number],
                                    .client_id = parameter(m, map, "client_id"),
                                    .scope = parameter(m, map, "scope"),
                                    .audience = parameter(m, map, "audience"),
                                    .issuer = parameter(m, map, "issuer"),
                                    .subject = parameter(m, map, "subject"),
                                    .basic = !auth || auth->number == 0 };
    (void)read_part(m, c, map, "client_secret", EG_USE_VALUE);
    (void)read_part(m, c, map, "refresh_token", EG_USE_WRITTEN);
    (void)read_part(m, c, map, "key", EG_USE_VALUE);
    for (unsigned i = 0; i < c->part_count; i++)
        c->parts[i]->c.kept = true;
    read_token_url(m, c, map, (unsigned)grant->number);
}

/* ---- aws_sigv4 ---- */

/* Region and service as they stand in a credential scope. */
static struct eg_slice scope_word(struct eg_model *m, const struct eg_yaml *map, const char *name)
{
    const struct eg_yaml *node = eg_model_child(map, name);
    bool fine = node && node->text.n > 0 && node->text.n <= 64;
    for (size_t i = 0; fine && i < node->text.n; i++) {
        char c = node->text.p[i];
        fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    }
    if (node && !fine)
        eg_diag_error(m->diags, "bad-value", node->at, NULL,
                      "a %s is made of a-z 0-9 - _, such as %s", name,
                      strcmp(name, "region") == 0 ? "eu-central-1" : "s3");
    return fine ? node->text : EG_SLICE_NONE;
}

void eg_model_read_sigv4(struct eg_model *m, struct eg_model_credential *c,
                         const struct eg_yaml *map)
{
    static const char *const names[] = { "access_key", "secret_key", "session_token" };
    const struct eg_yaml *from = eg_model_child(map, "from");
    c->sigv4.region = scope_word(m, map, "region");
    c->sigv4.service = scope_word(m, map, "service");
    for (size_t i = 0; i < 3; i++) {
        const struct eg_yaml *node = eg_yaml_get(map, names[i]);
        if (node && eg_yaml_get(map, "from"))
            eg_diag_error(m->diags, "bad-value", node->name_at, "remove one of the two",
                          "from gives all keys");
        else if (!node && !eg_yaml_get(map, "from") && i < 2)
            missing(m, map->name_at, names[i], NULL);
        (void)read_part(m, c, map, names[i], EG_USE_VALUE);
    }
    if (from)
        (void)eg_model_read_source(m, c->source, from, EG_USE_SIGV4, c);
    c->c.kind = EG_SOURCE_SIGV4;
}

/* ---- once all files are in ---- */

/* Where a part may go: of oauth2 to the endpoint alone, of aws_sigv4 where the credential may. */
static void bind_part(const struct eg_model_credential *c, struct eg_model_credential *part)
{
    const struct eg_authority *to = c->endpoint ? &c->endpoint->s.upstream : NULL;
    part->c.ttl_ms = part->c.kept || part->c.kind == EG_SOURCE_ENV ? 0 : c->c.ttl_ms;
    part->c.timeout_ms = part->c.kind == EG_SOURCE_CMD ? c->c.timeout_ms : 0;
    part->c.lazy = c->c.lazy && part->c.kind != EG_SOURCE_ENV;
    if (!part->c.kept) {
        memcpy(part->hosts, c->hosts, sizeof part->hosts);
        part->host_count = c->host_count;
    } else if (to) {
        part->hosts[0] =
            (struct eg_pattern){ .kind = to->literal ? EG_PATTERN_PREFIX : EG_PATTERN_EXACT,
                                 .host = to->literal ? EG_SLICE_NONE : eg_authority_host(to),
                                 .addr = to->addr,
                                 .bits = to->addr.family == 4 ? 32 : 128 };
        part->hosts[0].bits = to->literal ? part->hosts[0].bits : 0;
        part->host_count = 1;
    }
}

void eg_model_finish_derived(struct eg_model *m)
{
    struct eg_model_service **services = &m->services;
    struct eg_model_credential *last = m->credentials;
    while (*services)
        services = &(*services)->next;
    while (last && last->next)
        last = last->next;
    const struct eg_model_credential *end = last;
    for (struct eg_model_credential *c = m->credentials; c; c = c == end ? NULL : c->next) {
        for (unsigned i = 0; i < c->part_count; i++) {
            bind_part(c, c->parts[i]);
            last = last->next = c->parts[i];
            m->credential_count++;
        }
        if (c->endpoint) {
            *services = c->endpoint;
            services = &c->endpoint->next;
            m->service_count++;
        }
    }
}
