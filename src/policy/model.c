/* model.c - the model's life: defaults from the schema, files added one by one, and the checks that need all of them.
 *
 * The parts of a file are read by the other model_*.c. Nothing here is fatal for the rest: a
 * bad part is reported and left out, so that one run shows every problem. */
#include "policy/model.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/table.h"
#include "policy/check.h"
#include "policy/extends.h"
#include "policy/schema.h"

/* ---- helpers ---- */

void *eg_model_alloc(struct eg_model *m, size_t n)
{
    void *p = eg_arena_alloc(m->arena, n);
    if (!p && m->status == EG_OK)
        m->status = EG_NOMEM;
    return p;
}

struct eg_slice eg_model_copy(struct eg_model *m, struct eg_slice s)
{
    char *copy = eg_arena_dup(m->arena, s);
    if (!copy) {
        m->status = EG_NOMEM;
        return EG_SLICE_NONE;
    }
    return eg_slice(copy, s.n);
}

struct eg_slice eg_model_printf(struct eg_model *m, const char *format, ...)
{
    char text[5000];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text) {
        m->status = EG_TOO_BIG;
        return EG_SLICE_NONE;
    }
    return eg_model_copy(m, eg_slice(text, (size_t)n));
}

struct eg_slice eg_model_rule_text(struct eg_model *m, struct eg_place at)
{
    return eg_model_printf(m, "%s:%u", at.source->path, eg_source_line(at.source, at.offset));
}

const struct eg_yaml *eg_model_child(const struct eg_yaml *map, const char *name)
{
    const struct eg_yaml *child = eg_yaml_get(map, name);
    return child && !child->bad ? child : NULL;
}

struct eg_slice eg_model_text(const struct eg_yaml *map, const char *name)
{
    const struct eg_yaml *child = eg_model_child(map, name);
    return child && child->kind == EG_YAML_TEXT ? child->text : EG_SLICE_NONE;
}

struct eg_model_rule *eg_model_new_rule(struct eg_model *m, enum eg_action action,
                                        struct eg_place at)
{
    if (m->rule_count == EG_MODEL_RULES_MAX) {
        eg_diag_error(m->diags, "too-large", at, NULL, "there are more than %d rules",
                      EG_MODEL_RULES_MAX);
        m->rule_count++;
    }
    if (m->rule_count > EG_MODEL_RULES_MAX)
        return NULL;
    struct eg_model_rule *rule = eg_model_alloc(m, sizeof *rule);
    if (!rule)
        return NULL;
    rule->action = action;
    rule->at = at;
    if (at.source)
        rule->rule = eg_model_rule_text(m, at);
    m->rule_count++;
    *m->rules_end = rule;
    m->rules_end = &rule->next;
    return rule;
}

struct eg_slice eg_model_path(struct eg_model *m, const struct eg_source *source,
                              struct eg_slice path)
{
    const char *from = source->path, *revision = m->reader ? m->reader->revision : NULL;
    if (revision && strncmp(from, revision, strlen(revision)) == 0)
        from += strlen(revision); /* what is named is meant where the file lies when it is in force */
    while (strncmp(from, "./", 2) == 0)
        from += 2;
    const char *slash = strrchr(from, '/');
    if ((path.n > 0 && path.p[0] == '/') || !slash)
        return path;
    return eg_model_printf(m, "%.*s%.*s", (int)(slash - from) + 1, from, (int)path.n, path.p);
}

/* Of a file to be read now: beside "REV:egress.yaml" lies "REV:ca.pem". */
static struct eg_slice path_beside(struct eg_model *m, const struct eg_source *source,
                                   struct eg_slice path)
{
    if (path.n > 0 && path.p[0] == '/')
        return path;
    return eg_model_printf(m, "%.*s%.*s", (int)eg_extends_folder(source->path), source->path,
                           (int)path.n, path.n ? path.p : "");
}

struct eg_slice eg_model_pem(struct eg_model *m, const struct eg_source *source,
                             const struct eg_yaml *node, const char *label)
{
    struct eg_err err = { 0 };
    struct eg_buf text;
    struct eg_slice ret = EG_SLICE_NONE;
    const char *fault;
    if (!node)
        return ret;
    struct eg_slice path = path_beside(m, source, node->text);
    if (path.n == 0 || !m->reader || !m->reader->read) {
        eg_diag_error(m->diags, "unreadable-file", node->at, NULL, "no files can be read here");
        return ret;
    }
    eg_buf_init(&text, EG_MODEL_PEM_MAX);
    enum eg_status st = m->reader->read(m->reader->ctx, path.p, &text, &err);
    if (st == EG_NOMEM) {
        m->status = st;
    } else if (st != EG_OK) {
        char why[256];
        err.status = st;
        eg_diag_error(m->diags, "unreadable-file", node->at, NULL, "the file can't be read: %s",
                      eg_err_format(&err, why, sizeof why));
    } else if ((fault = eg_pem_fault(m, eg_buf_slice(&text), label)) != NULL) {
        eg_diag_error(m->diags, "bad-pem", node->at, NULL, "%s", fault);
    } else {
        ret = eg_model_copy(m, eg_buf_slice(&text));
    }
    eg_buf_wipe(&text);
    eg_buf_done(&text);
    return ret;
}

/* ---- limits ---- */

struct limit_field {
    const char *name;
    size_t offset;
    bool wide;
};
#define NARROW(f)                                                                                  \
    {                                                                                              \
#f, offsetof(struct eg_limits, f), false                                                   \
    }
#define WIDE(f)                                                                                    \
    {                                                                                              \
#f, offsetof(struct eg_limits, f), true                                                    \
    }

static const struct limit_field limit_fields[] = {
    NARROW(connections), NARROW(headers),       NARROW(head_bytes), NARROW(target_bytes),
    WIDE(head_timeout),  WIDE(body_timeout),    WIDE(idle_timeout), WIDE(total_timeout),
    WIDE(dns_timeout),   WIDE(connect_timeout), WIDE(tls_timeout),  WIDE(response_timeout),
    WIDE(drain_timeout),
};
enum { LIMIT_FIELDS = sizeof limit_fields / sizeof *limit_fields };

static uint64_t limit_get(const struct eg_limits *l, const struct limit_field *f)
{
    const char *at = (const char *)l + f->offset;
    return f->wide ? *(const uint64_t *)(const void *)at : *(const uint32_t *)(const void *)at;
}

static void limit_set(struct eg_limits *l, const struct limit_field *f, uint64_t value)
{
    char *at = (char *)l + f->offset;
    if (f->wide)
        *(uint64_t *)(void *)at = value;
    else
        *(uint32_t *)(void *)at = (uint32_t)value;
}

/* The defaults stand once, in the schema. */
static void default_limits(struct eg_limits *l)
{
    uint32_t parent = eg_schema_child(0, EG_SLICE("limits"));
    for (int i = 0; i < LIMIT_FIELDS; i++) {
        const struct eg_schema_key *key =
            eg_schema_each(eg_schema_child(parent, eg_slice_str(limit_fields[i].name)) - 1);
        struct eg_slice text = eg_slice_str(key->standard);
        uint64_t value = 0;
        if (!eg_check_size(text, &value))
            (void)eg_check_duration(text, &value);
        limit_set(l, &limit_fields[i], value);
    }
}

static void add_limits(struct eg_model *m, const struct eg_yaml *limits)
{
    for (int i = 0; i < LIMIT_FIELDS; i++) {
        const struct eg_yaml *node = eg_model_child(limits, limit_fields[i].name);
        if (node)
            limit_set(&m->limits, &limit_fields[i], node->number);
    }
}

static void lower(struct eg_model *m, const struct eg_yaml *node, const struct limit_field *f)
{
    limit_set(&m->limits, f, node->number);
    eg_model_note(m, "limits", node);
}

void eg_model_lower(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *root)
{
    const struct eg_yaml *limits = eg_model_child(root, "limits");
    for (int i = 0; limits && !source->trusted && i < LIMIT_FIELDS; i++) {
        const struct eg_yaml *node = eg_model_child(limits, limit_fields[i].name);
        if (!node)
            continue;
        if (node->number > limit_get(&m->ceiling, &limit_fields[i]))
            eg_diag_error(m->diags, "untrusted-key", node->name_at, eg_trust_fix,
                          "an untrusted file may lower %s, not raise it", limit_fields[i].name);
        else
            lower(m, node, &limit_fields[i]);
    }
}

/* ---- life ---- */

enum eg_status eg_model_init(struct eg_model *m, struct eg_arena *arena, struct eg_diags *diags,
                             const struct eg_policy_reader *reader)
{
    *m = (struct eg_model){ .arena = arena, .diags = diags, .reader = reader, .status = EG_OK };
    m->rules_end = &m->rules;
    m->tests_end = &m->tests;
    default_limits(&m->limits);
    m->settings =
        (struct eg_settings){ .ca_system = true, .audit_capacity = 8192, .audit_strict = true };
    enum eg_status st = eg_table_new(&m->service_names, EG_MODEL_SERVICES_MAX + 1);
    if (st == EG_OK)
        st = eg_table_new(&m->credential_names, EG_MODEL_CREDENTIALS_MAX + 1);
    return st;
}

void eg_model_done(struct eg_model *m)
{
    eg_table_free(m->service_names, NULL);
    eg_table_free(m->credential_names, NULL);
    eg_table_free(m->origins, NULL);
    m->origins = NULL;
    m->service_names = NULL;
    m->credential_names = NULL;
}

/* An untrusted file may only say what is the default. Where a trusted one observes, it does not stop that either: who started this wants to see all. */
static void read_mode(struct eg_model *m, const struct eg_source *source,
                      const struct eg_yaml *root)
{
    const struct eg_yaml *mode = eg_model_child(root, "mode");
    if (mode && mode->number == 1 && !source->trusted)
        eg_diag_error(m->diags, "untrusted-key", mode->at, eg_trust_fix,
                      "an untrusted file may not contain mode: observe");
    if (!mode || !source->trusted)
        return;
    m->settings.observe = mode->number == 1;
    m->mode_at = mode->at;
}

/* Once all files are in: a mode that refuses next to nothing is shown to whoever reviews the file. */
static void finish_mode(struct eg_model *m)
{
    if (m->settings.observe)
        eg_diag_warning(m->diags, "observe-mode", m->mode_at,
                        "use mode: enforce once the rules are written",
                        "only deny rules, addresses and metadata are refused; all else passes and is recorded");
    if (m->reader && m->reader->observe)
        m->settings.observe = true;
}

static void read_name(struct eg_model *m, const struct eg_yaml *root)
{
    const struct eg_yaml *name = eg_model_child(root, "name");
    if (!name)
        return;
    if (name->text.n > 128)
        eg_diag_error(m->diags, "bad-value", name->at, NULL, "a name has at most 128 bytes");
    else
        m->name = name->text;
}

/* Where settings come from: what an untrusted file says counts for its name alone, and for limits that it lowers. */
static void note_settings(struct eg_model *m, const struct eg_source *source,
                          const struct eg_yaml *root)
{
    static const char *const keys[] = { "name", "mode",  "networks", "upstream", "dns",
                                        "tls",  "limits", "via",      "audit" };
    for (size_t i = 0; i < (source->trusted ? sizeof keys / sizeof *keys : 1); i++)
        eg_model_note(m, "", eg_model_child(root, keys[i]));
}

enum eg_status eg_model_add(struct eg_model *m, const struct eg_source *source,
                            const struct eg_yaml *root)
{
    if (root->kind != EG_YAML_MAP) /* reported */
        return m->status;
    m->file = eg_slice_str(source->path);
    read_mode(m, source, root);
    read_name(m, root);
    note_settings(m, source, root);
    eg_model_add_rules(m, source, root);
    eg_model_add_services(m, source, eg_model_child(root, "services"));
    eg_model_add_credentials(m, source, eg_model_child(root, "credentials"));
    eg_model_add_tests(m, source, eg_model_child(root, "tests"));
    if (source->trusted) {
        eg_model_add_settings(m, source, root);
        eg_model_add_listeners(m, source, eg_model_child(root, "listen"));
        eg_model_add_upstream(m, source, eg_model_child(root, "upstream"));
        add_limits(m, eg_model_child(root, "limits"));
    }
    return m->status;
}

/* ---- across files ---- */

void eg_model_check_binding(struct eg_model *m, struct eg_place at, struct eg_slice name,
                            struct eg_slice host)
{
    const struct eg_model_credential *c = eg_table_get(m->credential_names, name);
    char fix[EG_HOST_MAX + 80];
    if (!c) {
        eg_diag_error(m->diags, "unknown-credential", at,
                      "declare it under credentials, with from: and hosts:",
                      "there is no credential %s", eg_quote(name).text);
        return;
    }
    for (unsigned i = 0; i < c->host_count; i++)
        if (eg_model_matches(&c->hosts[i], host))
            return;
    snprintf(fix, sizeof fix, "add %.*s to hosts of the credential, if it may go there",
             (int)host.n, host.p);
    eg_diag_error(m->diags, "credential-host", at, fix, "the credential %s is not bound to %.*s",
                  eg_quote(name).text, (int)host.n, host.p);
}

bool eg_model_is_local(const struct eg_authority *a)
{
    return a->literal ? eg_addr_loopback(&a->addr)
                      : eg_slice_eq(eg_authority_host(a), EG_SLICE("localhost"));
}

static void check_service(struct eg_model *m, const struct eg_model_service *s)
{
    if (s->s.credential.n == 0)
        return;
    eg_model_check_binding(m, s->credential_at, s->s.credential, eg_authority_host(&s->s.upstream));
    if (!s->s.tls && !s->plaintext && !eg_model_is_local(&s->s.upstream))
        eg_diag_error(m->diags, "plaintext-credential", s->upstream_at,
                      "use https://, or `plaintext: true` if the way there is trusted",
                      "the credential would go over http:// to a host that is not this machine");
}

/* One address of this machine: denied unless networks.allow names it. */
static void add_own(struct eg_model *m)
{
    for (unsigned i = 0; m->reader && i < m->reader->own_count; i++) {
        struct eg_model_rule *rule = eg_model_new_rule(m, EG_ACTION_OWN, eg_place_at(NULL, 0, 0));
        if (!rule)
            return;
        rule->to.kind = EG_PATTERN_PREFIX;
        rule->to.addr = m->reader->own_addresses[i];
        rule->to.bits = rule->to.addr.family == 4 ? 32 : 128;
    }
}

enum eg_status eg_model_finish(struct eg_model *m)
{
    struct eg_table *names = NULL;
    enum eg_status st = eg_table_new(&names, 8 * EG_MODEL_SERVICES_MAX);
    if (st != EG_OK)
        return st;
    eg_model_finish_presets(m);
    eg_model_finish_derived(m);
    for (struct eg_model_service *s = m->services; s && m->status == EG_OK; s = s->next) {
        eg_model_finish_service(m, s, names);
        check_service(m, s);
    }
    eg_table_free(names, NULL);
    eg_model_choose_upstream(m);
    eg_model_check_upstream(m);
    eg_model_finish_tests(m);
    finish_mode(m);
    add_own(m);
    return m->status;
}
