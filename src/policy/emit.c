/* emit.c - from the model to the block.
 *
 * Rules are sorted by what they name, so that all rules on one name or prefix are neighbours behind one entry of a hash
 * table: the cost of a decision does not grow with the number of rules. The same model gives the same bytes. */
#include "policy/emit.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- records ---- */

uint32_t eg_emit_count(const struct eg_emit *e, enum eg_block_section s)
{
    return (uint32_t)(e->part[s].len / eg_block_record[s]);
}

void eg_emit_put(struct eg_emit *e, enum eg_block_section s, const void *record)
{
    if (e->status == EG_OK)
        e->status = eg_buf_append(&e->part[s], record, eg_block_record[s]);
}

struct eg_block_text eg_emit_text(struct eg_emit *e, struct eg_slice s)
{
    struct eg_block_text t = { (uint32_t)e->part[EG_BLOCK_POOL].len, (uint32_t)s.n };
    if (s.n == 0)
        return (struct eg_block_text){ 0, 0 };
    if (e->status == EG_OK)
        e->status = eg_buf_put(&e->part[EG_BLOCK_POOL], s);
    if (e->status == EG_OK)
        e->status = eg_buf_append(&e->part[EG_BLOCK_POOL], "", 1);
    return t;
}

static struct eg_block_addr block_addr(const struct eg_addr *a, uint16_t port)
{
    struct eg_block_addr out = { .family = a->family, .literal = a->family != 0, .port = port };
    memcpy(out.b, a->b, sizeof out.b);
    return out;
}

struct eg_block_addr eg_emit_authority(struct eg_emit *e, const struct eg_authority *a, bool tls)
{
    struct eg_block_addr out = block_addr(&a->addr, a->port);
    out.literal = a->literal;
    out.tls = tls;
    out.host = eg_emit_text(e, eg_authority_host(a));
    return out;
}

/* ---- rules ---- */

static unsigned scheme_rank(enum eg_scheme s)
{
    return s == EG_SCHEME_TCP ? 0 : s == EG_SCHEME_HTTPS ? 1 : 2;
}

static int order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_target(const struct eg_pattern *a, const struct eg_pattern *b)
{
    unsigned char x[EG_BLOCK_PREFIX_KEY], y[EG_BLOCK_PREFIX_KEY];
    if (a->kind != b->kind)
        return order(a->kind, b->kind);
    if (a->kind == EG_PATTERN_PREFIX) {
        eg_block_prefix_key(&a->addr, a->bits, x);
        eg_block_prefix_key(&b->addr, b->bits, y);
        return memcmp(x, y, sizeof x);
    }
    if (a->host.n != b->host.n)
        return order(a->host.n, b->host.n);
    return memcmp(a->host.p, b->host.p, a->host.n);
}

/* On one target: by action, then the rule that lets more through first, so that which one decides does not depend on the order of the
 * file; at last the place. */
static int compare_rules(const void *x, const void *y)
{
    const struct eg_model_rule *a = *(const struct eg_model_rule *const *)x;
    const struct eg_model_rule *b = *(const struct eg_model_rule *const *)y;
    int c = compare_target(&a->to, &b->to);
    if (c == 0)
        c = order(a->action, b->action);
    if (c == 0)
        c = order(scheme_rank(a->scheme), scheme_rank(b->scheme));
    if (c == 0)
        c = order(b->sni_optional, a->sni_optional);
    if (c == 0)
        c = order(a->paths.count > 0, b->paths.count > 0);
    if (c == 0) /* 0 is no limit; minus one makes it the largest */
        c = order(b->max_request_body - 1, a->max_request_body - 1);
    if (c == 0 && a->at.source != b->at.source && a->at.source && b->at.source)
        c = strcmp(a->at.source->path, b->at.source->path);
    return c ? c : order(a->at.offset, b->at.offset);
}

static struct eg_block_range put_ports(struct eg_emit *e, const struct eg_model_rule *rule)
{
    struct eg_emit_shared *s = &e->shared;
    size_t n = rule->port_count * sizeof *rule->ports;
    for (unsigned i = 0; i < s->range_count; i++)
        if (s->ranges[i].count == rule->port_count && memcmp(s->ports[i], rule->ports, n) == 0)
            return s->ranges[i];
    struct eg_block_range range = { eg_emit_count(e, EG_BLOCK_PORTS), rule->port_count };
    for (unsigned i = 0; i < rule->port_count; i++)
        eg_emit_put(e, EG_BLOCK_PORTS, &rule->ports[i]);
    if (s->range_count < EG_EMIT_SHARED) {
        s->ports[s->range_count] = rule->ports;
        s->ranges[s->range_count++] = range;
    }
    return range;
}

static struct eg_block_text put_shared_text(struct eg_emit *e, struct eg_slice text)
{
    struct eg_emit_shared *s = &e->shared;
    for (unsigned i = 0; i < s->text_count && e->status == EG_OK; i++)
        if (eg_slice_eq(
                eg_slice(e->part[EG_BLOCK_POOL].data + s->texts[i].offset, s->texts[i].length),
                text))
            return s->texts[i];
    struct eg_block_text put = eg_emit_text(e, text);
    if (s->text_count < EG_EMIT_SHARED)
        s->texts[s->text_count++] = put;
    return put;
}

static void put_rule(struct eg_emit *e, const struct eg_model_rule *rule)
{
    struct eg_block_rule r = { .action = (uint8_t)rule->action,
                               .scheme = (uint8_t)rule->scheme,
                               .sni_optional = rule->sni_optional,
                               .max_request_body = rule->max_request_body,
                               .ports = put_ports(e, rule) };
    r.paths = eg_emit_paths(e, &rule->paths, rule->action == EG_ACTION_DENY, rule->why);
    r.rule = eg_emit_text(e, rule->rule);
    r.why = eg_emit_text(e, rule->why);
    eg_emit_put(e, EG_BLOCK_RULES, &r);
}

/* "https on 443; http on 80, 8080" of the allow rules, for port_not_allowed. */
static struct eg_block_text put_allowed(struct eg_emit *e, struct eg_model_rule **rules,
                                        size_t count)
{
    static const char *const names[] = { "", "https", "http", "tcp" };
    char text[160];
    size_t n = 0;
    for (size_t i = 0; i < count && n < sizeof text - 40; i++) {
        const struct eg_model_rule *r = rules[i];
        if (r->action != EG_ACTION_ALLOW)
            continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s on %s",
                              n ? "; " : "allowed: ", names[r->scheme],
                              r->port_count ? "" : "any port");
        for (unsigned p = 0; p < r->port_count && n < sizeof text - 16; p++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", p ? ", " : "", r->ports[p]);
    }
    return put_shared_text(e, eg_slice(text, n));
}

static void mark_target(struct eg_emit *e, const struct eg_pattern *to)
{
    if (to->kind == EG_PATTERN_PREFIX) {
        uint8_t *bits = to->addr.family == 4 ? e->head.prefixes4 : e->head.prefixes6;
        bits[to->bits / 8] |= (uint8_t)(1 << (to->bits % 8));
    } else if (to->kind == EG_PATTERN_BELOW) {
        unsigned labels = 1;
        for (size_t i = 0; i < to->host.n; i++)
            labels += to->host.p[i] == '.';
        e->head.below_labels[labels / 8] |= (uint8_t)(1 << (labels % 8));
    }
}

static void put_target(struct eg_emit *e, struct eg_model_rule **rules, size_t count)
{
    unsigned char key[EG_BLOCK_PREFIX_KEY];
    const struct eg_pattern *to = &rules[0]->to;
    struct eg_block_target t = { .kind = to->kind,
                                 .rules = { eg_emit_count(e, EG_BLOCK_RULES), (uint32_t)count } };
    eg_block_prefix_key(&to->addr, to->bits, key);
    t.key = eg_emit_text(e, to->kind == EG_PATTERN_PREFIX ? eg_slice(key, sizeof key) : to->host);
    for (size_t i = 0; i < count; i++)
        put_rule(e, rules[i]);
    t.allowed = put_allowed(e, rules, count);
    mark_target(e, to);
    eg_emit_put(e, EG_BLOCK_TARGETS, &t);
}

static void put_rules(struct eg_emit *e)
{
    size_t count = 0;
    struct eg_model_rule **list = eg_model_alloc(e->m, (e->m->rule_count + 1) * sizeof *list);
    if (!list)
        return;
    for (struct eg_model_rule *r = e->m->rules; r; r = r->next)
        list[count++] = r;
    qsort(list, count, sizeof *list, compare_rules);
    for (size_t from = 0, to = 0; from < count && e->status == EG_OK; from = to) {
        while (to < count && compare_target(&list[from]->to, &list[to]->to) == 0)
            to++;
        put_target(e, list + from, to - from);
    }
}

/* ---- listeners, ways out, settings ---- */

static void put_listen(struct eg_emit *e, const struct eg_model_listen *listen)
{
    const struct eg_listen_spec *s = &listen->s;
    struct eg_block_listen b = { .at = block_addr(&s->at.addr, s->at.port),
                                 .auth = (uint8_t)s->auth,
                                 .protocols = (uint8_t)s->protocols,
                                 .require_client = s->require_client,
                                 .unix_path = eg_emit_text(e, s->unix_path),
                                 .cert_pem = eg_emit_text(e, s->cert_pem),
                                 .key_pem = eg_emit_text(e, s->key_pem),
                                 .client_ca_pem = eg_emit_text(e, s->client_ca_pem),
                                 .rule = eg_emit_text(e, s->rule),
                                 .sessions = { eg_emit_count(e, EG_BLOCK_PAIRS),
                                               s->session_count } };
    for (unsigned i = 0; i < s->session_count; i++) {
        struct eg_block_pair pair = { eg_emit_text(e, listen->sessions[i].san),
                                      eg_emit_text(e, listen->sessions[i].label) };
        eg_emit_put(e, EG_BLOCK_PAIRS, &pair);
    }
    eg_emit_put(e, EG_BLOCK_LISTEN, &b);
}

static void put_hop(struct eg_emit *e, const struct eg_hop *h)
{
    struct eg_block_hop b = { .at = eg_emit_authority(e, &h->at, h->tls),
                              .kind = (uint8_t)h->kind,
                              .bearer = h->bearer,
                              .user = eg_emit_text(e, h->user),
                              .credential = eg_emit_text(e, h->credential),
                              .ca_pem = eg_emit_text(e, h->ca_pem),
                              .cert_pem = eg_emit_text(e, h->cert_pem),
                              .key_pem = eg_emit_text(e, h->key_pem),
                              .server_name = eg_emit_text(e, h->server_name),
                              .text = eg_emit_text(e, h->text),
                              .rule = eg_emit_text(e, h->rule) };
    eg_emit_put(e, EG_BLOCK_HOPS, &b);
}

static void put_upstream(struct eg_emit *e)
{
    const struct eg_model_upstream *u = &e->m->upstream;
    for (int c = EG_CHAIN_SECURE; c <= EG_CHAIN_PLAIN; c++) {
        e->head.settings.chains[c] =
            (struct eg_block_range){ eg_emit_count(e, EG_BLOCK_HOPS), u->hop_count[c] };
        for (unsigned i = 0; i < u->hop_count[c]; i++)
            put_hop(e, &u->hops[c][i].h);
    }
    for (unsigned i = 0; i < u->bypass_count; i++) {
        const struct eg_model_bypass *from = &u->bypass[i];
        struct eg_block_bypass b = { .kind = (uint8_t)from->kind,
                                     .family = from->addr.family,
                                     .bits = from->bits,
                                     .port = from->port,
                                     .host = eg_emit_text(e, from->host) };
        memcpy(b.b, from->addr.b, sizeof b.b);
        eg_emit_put(e, EG_BLOCK_BYPASS, &b);
    }
}

static void set_settings(struct eg_emit *e)
{
    const struct eg_settings *s = &e->m->settings;
    struct eg_block_settings *b = &e->head.settings;
    for (unsigned i = 0; i < s->dns_count; i++)
        b->dns[i] = block_addr(&s->dns_servers[i].addr, s->dns_servers[i].port);
    b->dns_count = s->dns_count;
    b->audit_capacity = s->audit_capacity;
    b->ca_system = s->ca_system;
    b->via = s->via;
    b->audit_strict = s->audit_strict;
    b->audit_destinations = s->audit_destinations;
    b->upstream_from = (uint8_t)e->m->upstream.from;
    b->proxy_resolve_local = e->m->upstream.resolve_local;
    b->allow_metadata = e->m->allow_metadata;
    b->observe = s->observe;
    b->name = eg_emit_text(e, e->m->name);
    b->file = eg_emit_text(e, eg_model_printf(e->m, "no rule names it; add it to allow in %.*s",
                                              (int)e->m->file.n, e->m->file.p));
    b->ca_pem = eg_emit_text(e, s->ca_pem);
    b->audit_file = eg_emit_text(e, s->audit_file);
    e->head.limits = e->m->limits;
}

/* ---- the whole ---- */

static enum eg_status assemble(struct eg_emit *e, struct eg_buf *out)
{
    static const char zero[EG_BLOCK_ALIGN];
    size_t at = sizeof e->head;
    for (int s = 0; s < EG_BLOCK_SECTIONS; s++) {
        e->head.sections[s].offset = (uint32_t)at;
        e->head.sections[s].count = eg_emit_count(e, s);
        at += (e->part[s].len + EG_BLOCK_ALIGN - 1) / EG_BLOCK_ALIGN * EG_BLOCK_ALIGN;
        if (at > UINT32_MAX / 2)
            return EG_TOO_BIG;
    }
    e->head.size = (uint32_t)at;
    enum eg_status st = eg_buf_append(out, &e->head, sizeof e->head);
    for (int s = 0; s < EG_BLOCK_SECTIONS && st == EG_OK; s++) {
        size_t n = e->part[s].len;
        if (n > 0)
            st = eg_buf_put(out, eg_buf_slice(&e->part[s]));
        if (st == EG_OK && n % EG_BLOCK_ALIGN)
            st = eg_buf_append(out, zero, EG_BLOCK_ALIGN - n % EG_BLOCK_ALIGN);
        eg_buf_wipe(&e->part[s]); /* the pool may hold a client key */
        eg_buf_done(&e->part[s]); /* now: a large policy is not held twice */
    }
    return st;
}

enum eg_status eg_block_emit(struct eg_model *m, struct eg_buf *out, struct eg_err *err)
{
    struct eg_emit e = { .m = m, .status = EG_OK };
    for (int s = 0; s < EG_BLOCK_SECTIONS; s++)
        eg_buf_init(&e.part[s], out->max);
    memcpy(e.head.magic, EG_BLOCK_MAGIC, sizeof e.head.magic);
    e.head.version = EG_BLOCK_VERSION;
    e.status = eg_buf_append(&e.part[EG_BLOCK_POOL], "", 1); /* the empty text */
    set_settings(&e);
    put_rules(&e);
    for (const struct eg_model_service *s = m->services; s; s = s->next)
        eg_emit_service(&e, s);
    for (const struct eg_model_credential *c = m->credentials; c; c = c->next)
        eg_emit_credential(&e, c);
    for (unsigned i = 0; i < m->listen_count; i++)
        put_listen(&e, &m->listen[i]);
    put_upstream(&e);
    eg_emit_origins(&e);
    eg_emit_hashes(&e);
    if (e.status == EG_OK)
        e.status = m->status;
    if (e.status == EG_OK)
        e.status = eg_block_meaning(m, e.head.id);
    if (e.status == EG_OK)
        e.status = assemble(&e, out);
    for (int s = 0; s < EG_BLOCK_SECTIONS; s++) {
        eg_buf_wipe(&e.part[s]); /* the pool may hold a client key */
        eg_buf_done(&e.part[s]);
    }
    return e.status == EG_OK
               ? EG_OK
               : eg_err_set(err, e.status, "policy", 0, "the compiled policy does not fit");
}
