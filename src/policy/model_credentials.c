/* model_credentials.c - credentials: names, sources and the hosts that they are bound to.
 *
 * A credential's value never comes here: `from` names a place, and what does not look like one is
 * refused without being repeated. */
#include "policy/model.h"

#include "base/table.h"

/* Names of services, credentials and routes: what is safe in a URL's segment, an audit line and a variable's name. */
static bool is_name(struct eg_slice s, bool upper)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    (upper && c >= 'A' && c <= 'Z') ||
                    (i > 0 && (c == '-' || c == '.' || c == '_'));
        if (!fine)
            return false;
    }
    return s.n > 0 && s.n <= 64;
}

bool eg_model_check_name(struct eg_model *m, struct eg_slice name, struct eg_place at,
                         const char *what, bool upper)
{
    if (is_name(name, upper))
        return true;
    eg_diag_error(m->diags, "bad-name", at, NULL,
                  "a %s is 1 to 64 of %sa-z 0-9 . _ - and begins with a letter or digit", what,
                  upper ? "A-Z " : "");
    return false;
}

static bool bad_source(struct eg_model *m, const struct eg_yaml *from, const char *code,
                       const char *fix, const char *text)
{
    struct eg_place at = from->at;
    at.hide = true;
    eg_diag_error(m->diags, code, at, fix, "%s", text);
    return false;
}

static bool is_variable(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = eg_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return s.n > 0 && s.n <= 128;
}

static bool read_keyring(struct eg_model *m, const struct eg_yaml *from, struct eg_slice place,
                         struct eg_credential *c)
{
    long slash = eg_slice_index(place, '/');
    c->kind = EG_SOURCE_KEYRING;
    if (slash <= 0 || (size_t)slash + 1 >= place.n)
        return bad_source(m, from, "bad-source", "write keyring:SERVICE/ACCOUNT",
                          "a keyring source names a service and an account");
    c->place = eg_slice(place.p, (size_t)slash);
    c->account = eg_slice_from(place, (size_t)slash + 1);
    return true;
}

static bool is_later_source(struct eg_slice from)
{
    static const char *const later[] = { "cmd:",  "kernel:", "systemd:", "op://",
                                         "bw://", "pass:",   "oauth2:",  "aws_sigv4:" };
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (eg_slice_starts(from, eg_slice_str(later[i])))
            return true;
    return false;
}

/* from: where the credential is. Nothing of a text without a known source is repeated. */
static bool read_source(struct eg_model *m, const struct eg_source *source,
                        const struct eg_yaml *from, struct eg_credential *c)
{
    static const char fix[] = "write env:NAME, file:PATH or keyring:SERVICE/ACCOUNT";
    struct eg_slice text = from->text;
    long colon = eg_slice_index(text, ':');
    struct eg_slice place = colon < 0 ? EG_SLICE_NONE : eg_slice_from(text, (size_t)colon + 1);
    if (eg_slice_starts(text, EG_SLICE("keyring:")))
        return read_keyring(m, from, place, c);
    if (eg_slice_starts(text, EG_SLICE("file:"))) {
        c->kind = EG_SOURCE_FILE;
        c->place = place.n ? eg_model_path(m, source, place) : place;
        return place.n ? true : bad_source(m, from, "bad-source", fix, "file: needs a path");
    }
    if (eg_slice_starts(text, EG_SLICE("env:"))) {
        c->kind = EG_SOURCE_ENV;
        c->place = place;
        if (is_variable(place) && !eg_secret_like(place))
            return true;
        return bad_source(m, from, eg_secret_like(place) ? "inline-secret" : "bad-source", fix,
                          "env: needs the name of a variable");
    }
    if (is_later_source(text)) {
        eg_diag_error(m->diags, "not-available", from->at, fix,
                      "this kind of source is not available in this version");
        return false;
    }
    if (eg_secret_like(text))
        return bad_source(
            m, from, "inline-secret", fix,
            "this looks like the secret itself; a policy names the place where it is kept");
    return bad_source(m, from, "bad-source", fix, "this names no known source of a credential");
}

static void read_hosts(struct eg_model *m, const struct eg_yaml *hosts,
                       struct eg_model_credential *c)
{
    bool one = hosts->kind == EG_YAML_TEXT;
    if (!one && (hosts->count == 0 || hosts->count > EG_MODEL_HOSTS_MAX)) {
        eg_diag_error(m->diags, "bad-value", hosts->name_at, NULL, "hosts names 1 to %d hosts",
                      EG_MODEL_HOSTS_MAX);
        return;
    }
    for (const struct eg_yaml *node = one ? hosts : hosts->first; node;
         node = one ? NULL : node->next)
        if (!node->bad && eg_model_pattern(m, node, true, &c->hosts[c->host_count]))
            c->host_count++;
}

static void read_credential(struct eg_model *m, const struct eg_source *source,
                            const struct eg_yaml *node)
{
    const struct eg_yaml *from = eg_model_child(node, "from");
    const struct eg_yaml *hosts = eg_model_child(node, "hosts");
    if (!eg_model_check_name(m, node->name, node->name_at, "credential's name", false) || !from ||
        !hosts)
        return;
    struct eg_model_credential *c = eg_model_alloc(m, sizeof *c);
    if (!c)
        return;
    c->at = node->name_at;
    c->source = source;
    c->c.name = node->name;
    c->c.rule = eg_model_rule_text(m, c->at);
    (void)read_source(m, source, from, &c->c);
    read_hosts(m, hosts, c);
    struct eg_model_credential *old = eg_table_take(m->credential_names, node->name);
    struct eg_model_credential **at = &m->credentials;
    while (*at && *at != old)
        at = &(*at)->next;
    if (*at) /* the more specific layer wins */
        *at = (*at)->next;
    else
        m->credential_count++;
    for (at = &m->credentials; *at; at = &(*at)->next)
        ;
    *at = c;
    enum eg_status st = eg_table_add(m->credential_names, node->name, c);
    if (st != EG_OK)
        m->status = st;
}

void eg_model_add_credentials(struct eg_model *m, const struct eg_source *source,
                              const struct eg_yaml *credentials)
{
    for (const struct eg_yaml *node = credentials ? credentials->first : NULL;
         node && m->status == EG_OK; node = node->next)
        if (!node->bad)
            read_credential(m, source, node);
}
