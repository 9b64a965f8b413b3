/* show.c - a compiled policy as a tree in the words of the policy language: rules and settings. show_services.c and show_ways.c have the rest, show_text.c writes it. */
#include "policy/show.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include "policy/show_parts.h"

struct eg_shown *eg_show_add(struct eg_show *s, struct eg_shown *parent, const char *key,
                             enum eg_shown_kind kind, struct eg_slice text)
{
    static struct eg_shown nowhere;
    struct eg_shown *n = s->failed ? NULL : eg_arena_alloc(s->arena, sizeof *n);
    if (!n) {
        s->failed = true;
        nowhere = (struct eg_shown){ .kind = kind };
        return &nowhere;
    }
    n->kind = kind;
    n->key = key ? eg_slice_str(key) : EG_SLICE_NONE;
    n->text = text;
    if (parent && parent->last)
        parent->last->next = n;
    else if (parent)
        parent->first = n;
    if (parent)
        parent->last = n;
    return n;
}

struct eg_slice eg_show_printf(struct eg_show *s, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    char *copy = eg_arena_dup(s->arena, eg_slice(text, length));
    s->failed = s->failed || !copy;
    return copy ? eg_slice(copy, length) : EG_SLICE_NONE;
}

static void set_origin(struct eg_show *s, struct eg_shown *n, const char *key)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", s->prefix, key);
    n->origin = eg_policy_origin(s->p, eg_slice_str(full));
    if (n->origin.n == 0)
        n->origin = EG_SLICE("default");
}

void eg_show_text(struct eg_show *s, struct eg_shown *parent, const char *key, struct eg_slice text)
{
    set_origin(s, eg_show_add(s, parent, key, EG_SHOWN_TEXT, text), key);
}

void eg_show_some(struct eg_show *s, struct eg_shown *parent, const char *key, struct eg_slice text)
{
    if (text.n > 0)
        eg_show_text(s, parent, key, text);
}

void eg_show_bare(struct eg_show *s, struct eg_shown *parent, const char *key, const char *format,
                  ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct eg_shown *n =
        eg_show_add(s, parent, key, EG_SHOWN_BARE, eg_show_printf(s, "%s", text));
    if (key)
        set_origin(s, n, key);
}

struct eg_shown *eg_show_branch(struct eg_show *s, struct eg_shown *parent, const char *key,
                                enum eg_shown_kind kind)
{
    struct eg_shown *n = eg_show_add(s, parent, key, kind, EG_SLICE_NONE);
    set_origin(s, n, key);
    return n;
}

void eg_show_pem(struct eg_show *s, struct eg_shown *parent, const char *key, struct eg_slice pem)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    if (pem.n == 0)
        return;
    crypto_hash_sha256(hash, (const unsigned char *)pem.p, pem.n);
    eg_show_text(s, parent, key,
                 eg_show_printf(s, "sha256:%s", sodium_bin2hex(hex, sizeof hex, hash, sizeof hash)));
}

/* As a limit is written: whole, in the largest unit. */
static void in_units(struct eg_show *s, struct eg_shown *parent, const char *key, uint64_t n,
                     const uint64_t *factors, const char *const *names)
{
    unsigned i = 0;
    while (factors[i] > 1 && (n < factors[i] || n % factors[i]))
        i++;
    eg_show_bare(s, parent, key, "%llu%s", (unsigned long long)(n / factors[i]), names[i]);
}

void eg_show_time(struct eg_show *s, struct eg_shown *parent, const char *key, uint64_t ms)
{
    static const uint64_t factors[] = { 3600000, 60000, 1000, 1 };
    static const char *const names[] = { "h", "m", "s", "ms" };
    in_units(s, parent, key, ms, factors, names);
}

void eg_show_size(struct eg_show *s, struct eg_shown *parent, const char *key, uint64_t bytes)
{
    static const uint64_t factors[] = { 1 << 30, 1 << 20, 1 << 10, 1 };
    static const char *const names[] = { "GiB", "MiB", "KiB", "" };
    in_units(s, parent, key, bytes, factors, names);
}

struct eg_slice eg_show_prefix(struct eg_show *s, const struct eg_addr *a, unsigned bits)
{
    char text[EG_ADDR_TEXT];
    eg_addr_format(a, text, sizeof text);
    if (bits == (a->family == 4 ? 32u : 128u))
        return eg_show_printf(s, "%s", text);
    return eg_show_printf(s, "%s/%u", text, bits);
}

struct eg_slice eg_show_socket(struct eg_show *s, const struct eg_sockaddr *at)
{
    char text[EG_ADDR_TEXT];
    eg_addr_format(&at->addr, text, sizeof text);
    return eg_show_printf(s, at->addr.family == 4 ? "%s:%u" : "[%s]:%u", text, at->port);
}

/* ---- requests ---- */

static void put_segment(const struct eg_policy *p, const struct eg_block_segment *segment,
                        struct eg_buf *out, enum eg_status *st)
{
    const struct eg_block_text *globs = p->names + segment->globs.first;
    bool many = segment->globs.count > 1;
    if (*st == EG_OK)
        *st = eg_buf_put(out, segment->globs.count == 0 ? EG_SLICE("/**") : many ? EG_SLICE("/{") : EG_SLICE("/"));
    for (uint32_t i = 0; *st == EG_OK && i < segment->globs.count; i++) {
        if (i > 0)
            *st = eg_buf_put(out, EG_SLICE(","));
        if (*st == EG_OK)
            *st = eg_buf_put(out, eg_block_slice(p, globs[i]));
    }
    if (*st == EG_OK && many)
        *st = eg_buf_put(out, EG_SLICE("}"));
}

void eg_show_paths(struct eg_show *s, struct eg_shown *parent, const char *key,
                   struct eg_block_paths paths)
{
    struct eg_shown *list;
    struct eg_buf text;
    if (paths.count == 0)
        return;
    list = eg_show_branch(s, parent, key, EG_SHOWN_LIST);
    eg_buf_init(&text, 1 << 20);
    for (uint32_t i = 0; i < paths.count && !s->failed; i++) {
        const struct eg_block_path *path = &s->p->paths[paths.first + i];
        struct eg_slice method = eg_block_slice(s->p, path->method);
        eg_buf_reset(&text);
        enum eg_status st = eg_buf_put(&text, method.n ? method : EG_SLICE("*"));
        if (st == EG_OK)
            st = eg_buf_put(&text, EG_SLICE(" "));
        for (uint32_t k = 0; k < path->segments.count; k++)
            put_segment(s->p, &s->p->segments[path->segments.first + k], &text, &st);
        char *copy = st == EG_OK ? eg_arena_dup(s->arena, eg_buf_slice(&text)) : NULL;
        s->failed = s->failed || !copy;
        eg_show_add(s, list, NULL, EG_SHOWN_TEXT, eg_slice(copy, copy ? text.len : 0))->origin =
            eg_block_slice(s->p, path->rule);
    }
    list->origin = EG_SLICE_NONE;
    eg_buf_done(&text);
}

/* ---- rules ---- */

static void put_target(struct eg_show *s, struct eg_shown *rule, const struct eg_block_target *t)
{
    struct eg_slice key = eg_block_slice(s->p, t->key);
    struct eg_addr a = { .family = 0 };
    if (t->kind != EG_PATTERN_PREFIX) {
        eg_show_add(s, rule, "host", EG_SHOWN_TEXT,
                    eg_show_printf(s, "%s%.*s", t->kind == EG_PATTERN_BELOW ? "*." : "", (int)key.n,
                                   key.p));
        return;
    }
    a.family = (uint8_t)key.p[0];
    memcpy(a.b, key.p + 2, sizeof a.b);
    unsigned bits = (unsigned char)key.p[1];
    eg_show_add(s, rule, bits == (a.family == 4 ? 32 : 128) ? "address" : "cidr", EG_SHOWN_TEXT,
                eg_show_prefix(s, &a, bits));
}

static void put_ports(struct eg_show *s, struct eg_shown *rule, struct eg_block_range ports)
{
    if (ports.count == 0) {
        eg_show_add(s, rule, "ports", EG_SHOWN_BARE, EG_SLICE("any"));
        return;
    }
    struct eg_shown *list = eg_show_add(s, rule, "ports", EG_SHOWN_LIST, EG_SLICE_NONE);
    for (uint32_t i = 0; i < ports.count; i++)
        eg_show_bare(s, list, NULL, "%u", s->p->ports[ports.first + i]);
}

static void put_rule(struct eg_show *s, struct eg_shown *list, const struct eg_block_target *t,
                     const struct eg_block_rule *r)
{
    static const char *const schemes[] = { "https", "https", "http", "tcp" };
    struct eg_shown *rule = eg_show_add(s, list, NULL, EG_SHOWN_MAP, EG_SLICE_NONE);
    put_target(s, rule, t);
    if (r->action == EG_ACTION_ALLOW)
        eg_show_add(s, rule, "scheme", EG_SHOWN_BARE, eg_slice_str(schemes[r->scheme]));
    put_ports(s, rule, r->ports);
    if (r->sni_optional)
        eg_show_add(s, rule, "sni", EG_SHOWN_BARE, EG_SLICE("optional"));
    eg_show_paths(s, rule, "rules", r->paths);
    struct eg_slice why = eg_block_slice(s->p, r->why);
    if (why.n)
        eg_show_add(s, rule, "why", EG_SHOWN_TEXT, why);
    if (r->max_request_body) {
        eg_show_size(s, rule, "max_request_body", r->max_request_body);
        rule->last->origin = EG_SLICE_NONE;
    }
    rule->origin = eg_block_slice(s->p, r->rule);
}

static void put_rules(struct eg_show *s, struct eg_shown *root, const char *key,
                      enum eg_action action)
{
    struct eg_shown *list = eg_show_add(s, root, key, EG_SHOWN_LIST, EG_SLICE_NONE);
    for (uint32_t i = 0; i < s->p->count[EG_BLOCK_TARGETS]; i++) {
        const struct eg_block_target *t = &s->p->targets[i];
        for (uint32_t k = 0; k < t->rules.count; k++)
            if (s->p->rules[t->rules.first + k].action == action)
                put_rule(s, list, t, &s->p->rules[t->rules.first + k]);
    }
}

static void put_networks(struct eg_show *s, struct eg_shown *root)
{
    struct eg_shown *map = eg_show_add(s, root, "networks", EG_SHOWN_MAP, EG_SLICE_NONE);
    struct eg_shown *list = eg_show_add(s, map, "allow", EG_SHOWN_LIST, EG_SLICE_NONE);
    for (uint32_t i = 0; i < s->p->count[EG_BLOCK_TARGETS]; i++) {
        const struct eg_block_target *t = &s->p->targets[i];
        struct eg_slice key = eg_block_slice(s->p, t->key);
        for (uint32_t k = 0; k < t->rules.count; k++) {
            const struct eg_block_rule *r = &s->p->rules[t->rules.first + k];
            struct eg_addr a = { .family = (uint8_t)key.p[0] };
            if (r->action != EG_ACTION_NETWORK)
                continue;
            memcpy(a.b, key.p + 2, sizeof a.b);
            char text[EG_ADDR_TEXT];
            eg_show_add(s, list, NULL, EG_SHOWN_TEXT,
                        eg_show_printf(s, "%s/%u", eg_addr_format(&a, text, sizeof text),
                                       (unsigned char)key.p[1]))
                ->origin = eg_block_slice(s->p, r->rule);
        }
    }
    snprintf(s->prefix, sizeof s->prefix, "networks.");
    eg_show_bare(s, map, "allow_metadata", "%s",
                 s->p->head->settings.allow_metadata ? "true" : "false");
    s->prefix[0] = '\0';
}

/* ---- settings ---- */

static void put_limits(struct eg_show *s, struct eg_shown *root)
{
    const struct eg_limits *l = eg_policy_limits(s->p);
    struct eg_shown *map = eg_show_add(s, root, "limits", EG_SHOWN_MAP, EG_SLICE_NONE);
    snprintf(s->prefix, sizeof s->prefix, "limits.");
    eg_show_bare(s, map, "connections", "%u", l->connections);
    eg_show_size(s, map, "head_bytes", l->head_bytes);
    eg_show_bare(s, map, "headers", "%u", l->headers);
    eg_show_size(s, map, "target_bytes", l->target_bytes);
    eg_show_time(s, map, "head_timeout", l->head_timeout);
    eg_show_time(s, map, "body_timeout", l->body_timeout);
    eg_show_time(s, map, "idle_timeout", l->idle_timeout);
    eg_show_time(s, map, "total_timeout", l->total_timeout);
    eg_show_time(s, map, "dns_timeout", l->dns_timeout);
    eg_show_time(s, map, "connect_timeout", l->connect_timeout);
    eg_show_time(s, map, "tls_timeout", l->tls_timeout);
    eg_show_time(s, map, "response_timeout", l->response_timeout);
    eg_show_time(s, map, "drain_timeout", l->drain_timeout);
    s->prefix[0] = '\0';
}

static void put_settings(struct eg_show *s, struct eg_shown *root)
{
    static const char *const destinations[] = { "full", "host", "none" };
    const struct eg_settings *t = eg_policy_settings(s->p);
    struct eg_shown *map;
    if (t->dns_count > 0) {
        map = eg_show_branch(s, root, "dns", EG_SHOWN_MAP);
        struct eg_shown *list = eg_show_add(s, map, "servers", EG_SHOWN_LIST, EG_SLICE_NONE);
        for (unsigned i = 0; i < t->dns_count; i++)
            eg_show_add(s, list, NULL, EG_SHOWN_TEXT, eg_show_socket(s, &t->dns_servers[i]));
    }
    map = eg_show_add(s, root, "tls", EG_SHOWN_MAP, EG_SLICE_NONE);
    snprintf(s->prefix, sizeof s->prefix, "tls.");
    eg_show_pem(s, map, "ca", t->ca_pem);
    eg_show_bare(s, map, "system", "%s", t->ca_system ? "true" : "false");
    put_limits(s, root);
    eg_show_bare(s, root, "via", "%s", t->via ? "true" : "false");
    map = eg_show_add(s, root, "audit", EG_SHOWN_MAP, EG_SLICE_NONE);
    snprintf(s->prefix, sizeof s->prefix, "audit.");
    eg_show_bare(s, map, "capacity", "%u", t->audit_capacity);
    eg_show_bare(s, map, "destinations", "%s", destinations[t->audit_destinations % 3]);
    eg_show_some(s, map, "file", t->audit_file);
    eg_show_bare(s, map, "strict", "%s", t->audit_strict ? "true" : "false");
    s->prefix[0] = '\0';
}

enum eg_status eg_policy_show(const struct eg_policy *p, struct eg_arena *arena,
                              struct eg_shown **ret)
{
    struct eg_show s = { .p = p, .arena = arena };
    struct eg_shown *root = eg_show_add(&s, NULL, NULL, EG_SHOWN_MAP, EG_SLICE_NONE);
    eg_show_add(&s, root, "egress", EG_SHOWN_BARE, EG_SLICE("1"));
    eg_show_some(&s, root, "name", eg_policy_name(p));
    eg_show_bare(&s, root, "mode", "%s", eg_policy_settings(p)->observe ? "observe" : "enforce");
    put_rules(&s, root, "allow", EG_ACTION_ALLOW);
    put_rules(&s, root, "deny", EG_ACTION_DENY);
    eg_show_services(&s, root);
    eg_show_credentials(&s, root);
    put_networks(&s, root);
    eg_show_upstream(&s, root);
    eg_show_listen(&s, root);
    put_settings(&s, root);
    *ret = root;
    return s.failed ? EG_NOMEM : EG_OK;
}
