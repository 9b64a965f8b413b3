/* meaning.c - the identity of a policy: a hash of what it means, equal for equal policies however they are written.
 *
 * Every fact is serialised and hashed by itself; the sorted set of these hashes is hashed again. So order, doubles, comments, places,
 * reasons (`why`) and which file said it make no difference. */
#include "policy/block.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FACT = 32 };

struct facts {
    unsigned char (*list)[FACT];
    size_t count, max;
    crypto_generichash_state
        *now; /* apart: some sanitizers' stacks lack the alignment it asks for */
};

static void begin(struct facts *f, const char *kind)
{
    crypto_generichash_init(f->now, NULL, 0, FACT);
    crypto_generichash_update(f->now, (const unsigned char *)kind, strlen(kind) + 1);
}

static void number(struct facts *f, uint64_t n)
{
    crypto_generichash_update(f->now, (const unsigned char *)&n, sizeof n);
}

static void text(struct facts *f, struct eg_slice s)
{
    number(f, s.n);
    if (s.n)
        crypto_generichash_update(f->now, (const unsigned char *)s.p, s.n);
}

static void addr(struct facts *f, const struct eg_addr *a)
{
    number(f, a->family);
    text(f, eg_slice(a->b, sizeof a->b));
}

static void end(struct facts *f)
{
    if (f->count < f->max)
        crypto_generichash_final(f->now, f->list[f->count++], FACT);
}

static void pattern(struct facts *f, const struct eg_pattern *p)
{
    unsigned char key[EG_BLOCK_PREFIX_KEY];
    number(f, p->kind);
    if (p->kind == EG_PATTERN_PREFIX) {
        eg_block_prefix_key(&p->addr, p->bits, key);
        text(f, eg_slice(key, sizeof key));
    } else {
        text(f, p->host);
    }
}

static void paths(struct facts *f, const struct eg_model_paths *list)
{
    number(f, list->count);
    for (unsigned i = 0; i < list->count; i++)
        text(f, list->list[i].text);
}

static void add_rule(struct facts *f, const struct eg_model_rule *r)
{
    if (r->action == EG_ACTION_SERVICE) /* follows from the service */
        return;
    begin(f, "rule");
    number(f, r->action);
    pattern(f, &r->to);
    number(f, r->scheme);
    number(f, r->sni_optional);
    number(f, r->max_request_body);
    paths(f, &r->paths);
    for (unsigned i = 0; i < r->port_count; i++)
        number(f, r->ports[i]);
    end(f);
}

static void names(struct facts *f, const struct eg_slice *list, unsigned count)
{
    number(f, count);
    for (unsigned i = 0; i < count; i++)
        text(f, list[i]);
}

static void slots(struct facts *f, const struct eg_slot *list, unsigned count)
{
    number(f, count);
    for (unsigned i = 0; i < count; i++) {
        number(f, list[i].kind);
        text(f, list[i].name);
        number(f, list[i].segment);
    }
}

static void add_service(struct facts *f, const struct eg_model_service *service)
{
    const struct eg_service *s = &service->s;
    const struct eg_slice texts[] = { s->name,           s->route,        s->base_path,
                                      s->credential,     s->env_base_url, s->env_base_path,
                                      s->shape_prefix,   s->ca_pem,       s->client_cert_pem,
                                      s->client_key_pem, s->server_name,  s->env_git };
    begin(f, "service");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        text(f, texts[i]);
    text(f, eg_authority_host(&s->upstream));
    number(f, s->upstream.port);
    number(f, s->tls);
    number(f, s->shape_length);
    slots(f, s->accept, s->accept_count);
    slots(f, s->strip_slots, s->strip_slot_count);
    number(f, s->write_count);
    for (unsigned i = 0; i < s->write_count; i++) {
        text(f, s->write[i].name);
        text(f, s->write[i].text);
        number(f, s->write[i].kind);
    }
    paths(f, &service->rules);
    paths(f, &service->denies);
    names(f, s->env_keys, s->env_key_count);
    names(f, s->trailers, s->trailer_count);
    names(f, s->pins, s->pin_count);
    number(f, s->redact);
    number(f, s->websocket);
    number(f, s->limits.requests_per_minute);
    number(f, s->limits.concurrent);
    number(f, s->limits.request_bytes);
    number(f, s->limits.response_bytes);
    end(f);
}

static void add_credential(struct facts *f, const struct eg_model_credential *c)
{
    begin(f, "credential");
    text(f, c->c.name);
    number(f, c->c.kind);
    text(f, c->c.place);
    text(f, c->c.account);
    names(f, c->args, c->c.arg_count);
    const uint64_t numbers[] = { c->c.json, c->c.ttl_ms,     c->c.timeout_ms,
                                 c->c.lazy, c->oauth2.grant, c->oauth2.basic };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        number(f, numbers[i]);
    const struct eg_slice texts[] = { c->oauth2.path,     c->oauth2.client_id, c->oauth2.scope,
                                      c->oauth2.audience, c->oauth2.issuer,    c->oauth2.subject,
                                      c->sigv4.region,    c->sigv4.service };
    names(f, texts, sizeof texts / sizeof *texts);
    end(f);
    for (unsigned i = 0; i < c->host_count; i++) {
        begin(f, "binding");
        text(f, c->c.name);
        pattern(f, &c->hosts[i]);
        end(f);
    }
}

static void add_settings(struct facts *f, const struct eg_model *m)
{
    const struct eg_settings *s = &m->settings;
    begin(f, "settings");
    for (unsigned i = 0; i < s->dns_count; i++) {
        addr(f, &s->dns_servers[i].addr);
        number(f, s->dns_servers[i].port);
    }
    text(f, s->ca_pem);
    text(f, s->audit_file);
    const uint64_t numbers[] = { s->ca_system,          s->via,
                                 s->audit_capacity,     s->audit_strict,
                                 s->audit_destinations, m->upstream.resolve_local,
                                 m->allow_metadata,     s->observe };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        number(f, numbers[i]);
    const struct eg_limits *l = &m->limits;
    const uint64_t limits[] = { l->connections,     l->headers,       l->head_bytes,
                                l->target_bytes,    l->head_timeout,  l->body_timeout,
                                l->idle_timeout,    l->total_timeout, l->dns_timeout,
                                l->connect_timeout, l->tls_timeout,   l->response_timeout,
                                l->drain_timeout };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        number(f, limits[i]);
    end(f);
}

static void add_listen(struct facts *f, const struct eg_model_listen *l)
{
    const struct eg_slice texts[] = { l->s.unix_path, l->s.cert_pem, l->s.key_pem,
                                      l->s.client_ca_pem };
    begin(f, "listen");
    addr(f, &l->s.at.addr);
    number(f, l->s.at.port);
    number(f, l->s.auth);
    number(f, l->s.protocols);
    number(f, l->s.require_client);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        text(f, texts[i]);
    number(f, l->s.session_count); /* in the order of the file */
    for (unsigned i = 0; i < l->s.session_count; i++) {
        text(f, l->sessions[i].san);
        text(f, l->sessions[i].label);
    }
    end(f);
}

/* The hops in their order; who chose them makes no difference. */
static void add_chain(struct facts *f, const struct eg_model_upstream *u, enum eg_chain chain)
{
    begin(f, "chain");
    number(f, chain);
    number(f, u->hop_count[chain]);
    for (unsigned i = 0; i < u->hop_count[chain]; i++) {
        const struct eg_hop *h = &u->hops[chain][i].h;
        const struct eg_slice texts[] = { eg_authority_host(&h->at),
                                          h->user,
                                          h->credential,
                                          h->ca_pem,
                                          h->cert_pem,
                                          h->key_pem,
                                          h->server_name };
        number(f, h->kind);
        number(f, h->tls);
        number(f, h->bearer);
        number(f, h->at.port);
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            text(f, texts[k]);
    }
    end(f);
}

static void add_bypass(struct facts *f, const struct eg_model_bypass *b)
{
    begin(f, "bypass");
    number(f, b->kind);
    text(f, b->host);
    addr(f, &b->addr);
    number(f, b->bits);
    number(f, b->port);
    end(f);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, FACT);
}

enum eg_status eg_block_meaning(struct eg_model *m, unsigned char id[32])
{
    crypto_generichash_state now;
    struct facts f = { .now = &now,
                       .max = 1 + m->rule_count + m->service_count +
                              (size_t)m->credential_count * (1 + EG_MODEL_HOSTS_MAX) +
                              m->listen_count + 2 + m->upstream.bypass_count };
    f.list = eg_model_alloc(m, f.max * FACT);
    if (!f.list)
        return EG_NOMEM;
    for (const struct eg_model_rule *r = m->rules; r; r = r->next)
        add_rule(&f, r);
    for (const struct eg_model_service *s = m->services; s; s = s->next)
        add_service(&f, s);
    for (const struct eg_model_credential *c = m->credentials; c; c = c->next)
        add_credential(&f, c);
    for (unsigned i = 0; i < m->listen_count; i++)
        add_listen(&f, &m->listen[i]);
    add_chain(&f, &m->upstream, EG_CHAIN_SECURE);
    add_chain(&f, &m->upstream, EG_CHAIN_PLAIN);
    for (unsigned i = 0; i < m->upstream.bypass_count; i++)
        add_bypass(&f, &m->upstream.bypass[i]);
    add_settings(&f, m);
    qsort(f.list, f.count, FACT, compare);
    crypto_generichash_init(f.now, NULL, 0, FACT);
    for (size_t i = 0; i < f.count; i++)
        if (i == 0 || memcmp(f.list[i], f.list[i - 1], FACT) != 0)
            crypto_generichash_update(f.now, f.list[i], FACT);
    crypto_generichash_final(f.now, id, FACT);
    return EG_OK;
}
