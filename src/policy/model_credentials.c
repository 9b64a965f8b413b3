/* model_credentials.c - credentials: names, the hosts that they are bound to, when they are read, and which layer has the word.
 *
 * Where a value comes from is in model_source.c and model_derived.c; a value itself never comes here. */
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

/* ttl, load and timeout, of a source that has them. */
static void read_times(struct eg_model *m, const struct eg_yaml *node,
                       struct eg_model_credential *c)
{
    enum { TIMEOUT_MS = 30000 };
    const struct eg_yaml *ttl = eg_model_child(node, "ttl");
    const struct eg_yaml *load = eg_model_child(node, "load");
    const struct eg_yaml *timeout = eg_model_child(node, "timeout");
    bool env = c->c.kind == EG_SOURCE_ENV;
    bool runs = c->c.kind == EG_SOURCE_CMD || c->c.kind == EG_SOURCE_OAUTH2 || c->c.arg_count > 0;
    for (unsigned i = 0; i < c->part_count; i++)
        runs |= c->parts[i]->c.kind == EG_SOURCE_CMD;
    c->c.ttl_ms = ttl ? ttl->number : 0;
    c->c.lazy = load && load->number == 1;
    c->c.timeout_ms = runs ? timeout ? timeout->number : TIMEOUT_MS : 0;
    if (env && (ttl || c->c.lazy))
        eg_diag_error(m->diags, "bad-value", (ttl ? ttl : load)->name_at, "remove it",
                      "a variable is read once, at start");
    if (timeout && !runs)
        eg_diag_error(m->diags, "bad-value", timeout->name_at, "remove it",
                      "timeout is for programs and token endpoints");
}

/* from, oauth2 or aws_sigv4: exactly one. False: there is nothing to go on with. */
static bool read_kind(struct eg_model *m, const struct eg_yaml *node, struct eg_model_credential *c)
{
    const struct eg_yaml *from = eg_yaml_get(node, "from");
    const struct eg_yaml *oauth2 = eg_yaml_get(node, "oauth2");
    const struct eg_yaml *sigv4 = eg_yaml_get(node, "aws_sigv4");
    int count = (from != NULL) + (oauth2 != NULL) + (sigv4 != NULL);
    if (count == 0)
        eg_diag_error(m->diags, "missing-key", node->name_at, "add `from: ...`",
                      "the key from is missing");
    else if (count > 1)
        eg_diag_error(m->diags, "bad-source", (sigv4 ? sigv4 : oauth2)->name_at,
                      "make it a credential of its own",
                      "a credential is one of from, oauth2 and aws_sigv4");
    if (count != 1 || (from && from->bad) || (oauth2 && oauth2->bad) || (sigv4 && sigv4->bad))
        return false;
    if (from)
        (void)eg_model_read_source(m, c->source, from, EG_USE_VALUE, c);
    else if (oauth2)
        eg_model_read_oauth2(m, c, oauth2);
    else
        eg_model_read_sigv4(m, c, sigv4);
    return true;
}

void eg_model_read_credential(struct eg_model *m, const struct eg_source *source,
                              const struct eg_yaml *node)
{
    const struct eg_yaml *hosts = eg_model_child(node, "hosts");
    const struct eg_source *pended;
    if (!eg_model_check_name(m, node->name, node->name_at, "credential's name", false))
        return;
    if (hosts)
        (void)eg_model_unpend(m, node->name, &pended);
    else if (!eg_yaml_get(node, "hosts"))
        eg_model_pend(m, source, node);
    if (!hosts)
        return;
    struct eg_model_credential *c = eg_model_alloc(m, sizeof *c);
    if (!c)
        return;
    c->at = node->name_at;
    c->source = source;
    c->c.name = node->name;
    c->c.rule = eg_model_rule_text(m, c->at);
    eg_model_note(m, "credentials", node);
    if (!read_kind(m, node, c))
        return;
    read_times(m, node, c);
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
            eg_model_read_credential(m, source, node);
}
