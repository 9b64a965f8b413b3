/* services.c - the services and credentials that a block holds: the check of their tables, and what they are. */
#include "policy/block.h"

/* ---- the check of these tables, for eg_policy_open ---- */

bool eg_block_check_services(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SERVICES]; i++) {
        const struct eg_block_service *s = &p->services[i];
        if (!EG_BLOCK_TEXTS(p, s->name, s->route, s->base_path, s->credential, s->env_base_url,
                            s->env_base_path, s->env_git, s->shape_prefix, s->ca_pem,
                            s->client_cert_pem, s->client_key_pem, s->server_name, s->rule) ||
            !eg_block_is_addr(p, &s->upstream, true))
            return false;
        if (!eg_block_is_range(s->accept, p->count[EG_BLOCK_SLOTS]) ||
            s->accept.count > EG_SERVICE_SLOTS ||
            !eg_block_is_range(s->write, p->count[EG_BLOCK_WRITES]) ||
            s->write.count > EG_SERVICE_WRITES ||
            !eg_block_is_range(s->strip, p->count[EG_BLOCK_SLOTS]) ||
            s->strip.count > EG_SERVICE_SLOTS ||
            !eg_block_is_range(s->keys, p->count[EG_BLOCK_NAMES]) || s->keys.count > 4 ||
            !eg_block_is_range(s->trailers, p->count[EG_BLOCK_NAMES]) ||
            s->trailers.count > EG_SERVICE_TRAILERS ||
            !eg_block_is_range(s->pins, p->count[EG_BLOCK_NAMES]) ||
            s->pins.count > EG_SERVICE_PINS ||
            !eg_block_are_paths(p, s->rules) || !eg_block_are_paths(p, s->denies))
            return false;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SLOTS]; i++)
        if (p->slots[i].kind > EG_SLOT_SIGV4 || !eg_block_is_text(p, p->slots[i].name) ||
            (p->slots[i].kind == EG_SLOT_PATH) != (p->slots[i].segment >= 2))
            return false;
    for (uint32_t i = 0; i < p->count[EG_BLOCK_WRITES]; i++)
        if (p->writes[i].kind > EG_WRITE_SIGV4 ||
            !EG_BLOCK_TEXTS(p, p->writes[i].name, p->writes[i].text))
            return false;
    return eg_block_are_texts(p, p->names, p->count[EG_BLOCK_NAMES]);
}

bool eg_block_check_credentials(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_CREDENTIALS]; i++) {
        const struct eg_block_credential *c = &p->credentials[i];
        if (c->kind > EG_SOURCE_SIGV4 || c->grant > EG_GRANT_GITHUB_APP ||
            !EG_BLOCK_TEXTS(p, c->name, c->place, c->account, c->rule, c->route, c->path,
                            c->client_id, c->scope, c->audience, c->issuer, c->subject, c->region,
                            c->service) ||
            !eg_block_is_range(c->hosts, p->count[EG_BLOCK_HOSTS]) ||
            !eg_block_is_range(c->args, p->count[EG_BLOCK_NAMES]))
            return false;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_HOSTS]; i++) {
        const struct eg_block_host *h = &p->hosts[i];
        if (h->kind >= EG_PATTERN_KINDS || !eg_block_is_text(p, h->host) ||
            !eg_block_is_family(h->family, true) || h->bits > (h->family == 6 ? 128 : 32))
            return false;
    }
    return true;
}

/* ---- services ---- */

unsigned eg_policy_service_count(const struct eg_policy *p)
{
    return p->count[EG_BLOCK_SERVICES];
}

static unsigned fill_list(const struct eg_policy *p, struct eg_block_range range,
                          struct eg_slot out[EG_SERVICE_SLOTS])
{
    for (uint32_t i = 0; i < range.count; i++) {
        const struct eg_block_slot *slot = &p->slots[range.first + i];
        out[i] = (struct eg_slot){ .kind = (enum eg_slot_kind)slot->kind,
                                   .name = eg_block_slice(p, slot->name),
                                   .segment = slot->segment };
    }
    return range.count;
}

static unsigned fill_names(const struct eg_policy *p, struct eg_block_range range,
                           struct eg_slice *out)
{
    for (uint32_t i = 0; i < range.count; i++)
        out[i] = eg_block_slice(p, p->names[range.first + i]);
    return range.count;
}

static void fill_slots(const struct eg_policy *p, const struct eg_block_service *b,
                       struct eg_service *s)
{
    s->accept_count = fill_list(p, b->accept, s->accept);
    s->strip_slot_count = fill_list(p, b->strip, s->strip_slots);
    s->write_count = b->write.count;
    for (uint32_t i = 0; i < b->write.count; i++) {
        const struct eg_block_write *w = &p->writes[b->write.first + i];
        s->write[i] = (struct eg_write){ .kind = (enum eg_write_kind)w->kind,
                                         .name = eg_block_slice(p, w->name),
                                         .text = eg_block_slice(p, w->text),
                                         .credential = w->credential != 0 };
    }
    s->env_key_count = fill_names(p, b->keys, s->env_keys);
    s->trailer_count = fill_names(p, b->trailers, s->trailers);
    s->pin_count = fill_names(p, b->pins, s->pins);
}

void eg_policy_service(const struct eg_policy *p, unsigned i, struct eg_service *ret)
{
    const struct eg_block_service *b = &p->services[i];
    memset(ret, 0, sizeof *ret);
    ret->name = eg_block_slice(p, b->name);
    ret->route = eg_block_slice(p, b->route);
    eg_block_authority(p, &b->upstream, &ret->upstream);
    ret->tls = b->upstream.tls != 0;
    ret->base_path = eg_block_slice(p, b->base_path);
    ret->credential = eg_block_slice(p, b->credential);
    fill_slots(p, b, ret);
    ret->env_base_url = eg_block_slice(p, b->env_base_url);
    ret->env_base_path = eg_block_slice(p, b->env_base_path);
    ret->env_git = eg_block_slice(p, b->env_git);
    ret->shape_prefix = eg_block_slice(p, b->shape_prefix);
    ret->shape_length = b->shape_length;
    ret->ca_pem = eg_block_slice(p, b->ca_pem);
    ret->client_cert_pem = eg_block_slice(p, b->client_cert_pem);
    ret->client_key_pem = eg_block_slice(p, b->client_key_pem);
    ret->server_name = eg_block_slice(p, b->server_name);
    ret->rule = eg_block_slice(p, b->rule);
    ret->limits = (struct eg_service_limits){ .requests_per_minute = b->requests_per_minute,
                                              .concurrent = b->concurrent,
                                              .request_bytes = b->request_bytes,
                                              .response_bytes = b->response_bytes };
    ret->redact = b->redact != 0;
    ret->websocket = b->websocket != 0;
    ret->internal = b->internal != 0;
}

int eg_policy_service_of_route(const struct eg_policy *p, struct eg_slice route)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SERVICES]; i++)
        if (eg_slice_eq(eg_block_slice(p, p->services[i].route), route))
            return (int)i;
    return -1;
}

unsigned eg_policy_credential_count(const struct eg_policy *p)
{
    return p->count[EG_BLOCK_CREDENTIALS];
}

void eg_policy_credential(const struct eg_policy *p, unsigned i, struct eg_credential *ret)
{
    const struct eg_block_credential *b = &p->credentials[i];
    *ret = (struct eg_credential){ .name = eg_block_slice(p, b->name),
                                   .kind = (enum eg_source_kind)b->kind,
                                   .place = eg_block_slice(p, b->place),
                                   .account = eg_block_slice(p, b->account),
                                   .arg_count = b->args.count,
                                   .json = b->json != 0,
                                   .timeout_ms = b->timeout_ms,
                                   .ttl_ms = b->ttl_ms,
                                   .lazy = b->lazy != 0,
                                   .kept = b->kept != 0,
                                   .rule = eg_block_slice(p, b->rule) };
}

int eg_policy_credential_find(const struct eg_policy *p, struct eg_slice name)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_CREDENTIALS]; i++)
        if (eg_slice_eq(eg_block_slice(p, p->credentials[i].name), name))
            return (int)i;
    return -1;
}

struct eg_slice eg_policy_credential_arg(const struct eg_policy *p, unsigned i, unsigned k)
{
    return eg_block_slice(p, p->names[p->credentials[i].args.first + k]);
}

void eg_policy_credential_oauth2(const struct eg_policy *p, unsigned i, struct eg_oauth2 *ret)
{
    const struct eg_block_credential *b = &p->credentials[i];
    *ret = (struct eg_oauth2){ .grant = (enum eg_grant)b->grant,
                               .route = eg_block_slice(p, b->route),
                               .path = eg_block_slice(p, b->path),
                               .client_id = eg_block_slice(p, b->client_id),
                               .scope = eg_block_slice(p, b->scope),
                               .audience = eg_block_slice(p, b->audience),
                               .issuer = eg_block_slice(p, b->issuer),
                               .subject = eg_block_slice(p, b->subject),
                               .basic = b->basic != 0 };
}

void eg_policy_credential_sigv4(const struct eg_policy *p, unsigned i, struct eg_sigv4_scope *ret)
{
    const struct eg_block_credential *b = &p->credentials[i];
    *ret = (struct eg_sigv4_scope){ .region = eg_block_slice(p, b->region),
                                    .service = eg_block_slice(p, b->service) };
}

bool eg_policy_credential_host(const struct eg_policy *p, struct eg_slice credential,
                               struct eg_slice host)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_CREDENTIALS]; i++) {
        const struct eg_block_credential *c = &p->credentials[i];
        if (!eg_slice_eq(eg_block_slice(p, c->name), credential))
            continue;
        for (uint32_t k = 0; k < c->hosts.count; k++) {
            const struct eg_block_host *h = &p->hosts[c->hosts.first + k];
            struct eg_pattern pattern = { (enum eg_pattern_kind)h->kind,
                                          eg_block_slice(p, h->host),
                                          { h->family, { 0 } },
                                          h->bits };
            memcpy(pattern.addr.b, h->b, sizeof pattern.addr.b);
            if (eg_model_matches(&pattern, host))
                return true;
        }
    }
    return eg_block_lent(p, credential, host);
}
