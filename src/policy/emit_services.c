/* emit_services.c - services and credentials from the model to the block. */
#include "policy/emit.h"

struct eg_block_range eg_emit_names(struct eg_emit *e, const struct eg_slice *names, unsigned count)
{
    struct eg_block_range range = { eg_emit_count(e, EG_BLOCK_NAMES), count };
    for (unsigned i = 0; i < count; i++) {
        struct eg_block_text t = eg_emit_text(e, names[i]);
        eg_emit_put(e, EG_BLOCK_NAMES, &t);
    }
    return range;
}

static void put_path(struct eg_emit *e, const struct eg_model_path *path, bool deny,
                     struct eg_slice why)
{
    struct eg_block_path b = { .method = eg_emit_text(e, path->method),
                               .segments = { eg_emit_count(e, EG_BLOCK_SEGMENTS),
                                             path->segment_count },
                               .rule = eg_emit_text(e, path->rule) };
    for (unsigned i = 0; i < path->segment_count; i++) {
        struct eg_block_segment s = { eg_emit_names(e, path->segments[i].globs,
                                                    path->segments[i].count) };
        eg_emit_put(e, EG_BLOCK_SEGMENTS, &s);
    }
    if (why.n == 0)
        why = eg_model_printf(e->m,
                              deny ? "the deny rule %.*s names it; deny beats allow"
                                   : "no rule allows it; the closest is %.*s",
                              (int)path->text.n, path->text.p);
    b.detail = eg_emit_text(e, why);
    eg_emit_put(e, EG_BLOCK_PATHS, &b);
}

struct eg_block_paths eg_emit_paths(struct eg_emit *e, const struct eg_model_paths *paths,
                                    bool deny, struct eg_slice why)
{
    struct eg_block_paths range = { eg_emit_count(e, EG_BLOCK_PATHS), paths->count, 0 };
    for (unsigned i = 0; i < paths->count; i++)
        put_path(e, &paths->list[i], deny, why);
    range.root = eg_emit_steps(e, paths, range.first, deny);
    return range;
}

static struct eg_block_range put_slots(struct eg_emit *e, const struct eg_slot *slots,
                                       unsigned count)
{
    struct eg_block_range range = { eg_emit_count(e, EG_BLOCK_SLOTS), count };
    for (unsigned i = 0; i < count; i++) {
        struct eg_block_slot slot = { .kind = slots[i].kind,
                                      .segment = slots[i].segment,
                                      .name = eg_emit_text(e, slots[i].name) };
        eg_emit_put(e, EG_BLOCK_SLOTS, &slot);
    }
    return range;
}

void eg_emit_service(struct eg_emit *e, const struct eg_model_service *service)
{
    const struct eg_service *s = &service->s;
    struct eg_block_service b = { .name = eg_emit_text(e, s->name),
                                  .route = eg_emit_text(e, s->route),
                                  .base_path = eg_emit_text(e, s->base_path),
                                  .credential = eg_emit_text(e, s->credential),
                                  .upstream = eg_emit_authority(e, &s->upstream, s->tls),
                                  .write = { eg_emit_count(e, EG_BLOCK_WRITES), s->write_count },
                                  .env_base_url = eg_emit_text(e, s->env_base_url),
                                  .env_base_path = eg_emit_text(e, s->env_base_path),
                                  .env_git = eg_emit_text(e, s->env_git),
                                  .shape_prefix = eg_emit_text(e, s->shape_prefix),
                                  .shape_length = s->shape_length,
                                  .requests_per_minute = s->limits.requests_per_minute,
                                  .concurrent = s->limits.concurrent,
                                  .request_bytes = s->limits.request_bytes,
                                  .response_bytes = s->limits.response_bytes,
                                  .redact = s->redact,
                                  .websocket = s->websocket,
                                  .internal = s->internal,
                                  .ca_pem = eg_emit_text(e, s->ca_pem),
                                  .client_cert_pem = eg_emit_text(e, s->client_cert_pem),
                                  .client_key_pem = eg_emit_text(e, s->client_key_pem),
                                  .server_name = eg_emit_text(e, s->server_name),
                                  .rule = eg_emit_text(e, s->rule) };
    for (unsigned i = 0; i < s->write_count; i++) {
        const struct eg_write *w = &s->write[i];
        struct eg_block_write out = { .kind = w->kind,
                                      .credential = w->credential,
                                      .name = eg_emit_text(e, w->name),
                                      .text = eg_emit_text(e, w->text) };
        eg_emit_put(e, EG_BLOCK_WRITES, &out);
    }
    b.accept = put_slots(e, s->accept, s->accept_count);
    b.strip = put_slots(e, s->strip_slots, s->strip_slot_count);
    b.keys = eg_emit_names(e, s->env_keys, s->env_key_count);
    b.trailers = eg_emit_names(e, s->trailers, s->trailer_count);
    b.pins = eg_emit_names(e, s->pins, s->pin_count);
    b.rules = eg_emit_paths(e, &service->rules, false, EG_SLICE_NONE);
    b.denies = eg_emit_paths(e, &service->denies, true, EG_SLICE_NONE);
    eg_emit_put(e, EG_BLOCK_SERVICES, &b);
}

void eg_emit_credential(struct eg_emit *e, const struct eg_model_credential *c)
{
    const struct eg_oauth2 *o = &c->oauth2;
    struct eg_block_credential b = { .kind = c->c.kind,
                                     .json = c->c.json,
                                     .lazy = c->c.lazy,
                                     .kept = c->c.kept,
                                     .ttl_ms = c->c.ttl_ms,
                                     .timeout_ms = c->c.timeout_ms,
                                     .name = eg_emit_text(e, c->c.name),
                                     .place = eg_emit_text(e, c->c.place),
                                     .account = eg_emit_text(e, c->c.account),
                                     .rule = eg_emit_text(e, c->c.rule),
                                     .hosts = { eg_emit_count(e, EG_BLOCK_HOSTS), c->host_count },
                                     .args = eg_emit_names(e, c->args, c->c.arg_count),
                                     .grant = (uint8_t)o->grant,
                                     .basic = o->basic,
                                     .route = eg_emit_text(e, o->route),
                                     .path = eg_emit_text(e, o->path),
                                     .client_id = eg_emit_text(e, o->client_id),
                                     .scope = eg_emit_text(e, o->scope),
                                     .audience = eg_emit_text(e, o->audience),
                                     .issuer = eg_emit_text(e, o->issuer),
                                     .subject = eg_emit_text(e, o->subject),
                                     .region = eg_emit_text(e, c->sigv4.region),
                                     .service = eg_emit_text(e, c->sigv4.service) };
    for (unsigned i = 0; i < c->host_count; i++) {
        const struct eg_pattern *p = &c->hosts[i];
        struct eg_block_host host = { .kind = (uint8_t)p->kind,
                                      .family = p->addr.family,
                                      .bits = p->bits };
        memcpy(host.b, p->addr.b, sizeof host.b);
        host.host = eg_emit_text(e, p->host);
        eg_emit_put(e, EG_BLOCK_HOSTS, &host);
    }
    eg_emit_put(e, EG_BLOCK_CREDENTIALS, &b);
}
