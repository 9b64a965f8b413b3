/* open.c - the one check of a block, so that questions need none.
 *
 * After eg_policy_open every index, offset, count and enumeration of the block is inside of its bounds and every text ends in a NUL. It does
 * not check that the policy makes sense: whoever could write the block could write that too. */
#include "policy/block.h"

#include <stdlib.h>

bool eg_block_is_range(struct eg_block_range r, uint32_t count)
{
    return r.first <= count && r.count <= count - r.first;
}

bool eg_block_is_text(const struct eg_policy *p, struct eg_block_text t)
{
    uint32_t n = p->count[EG_BLOCK_POOL];
    return t.offset < n && t.length < n - t.offset && p->pool[t.offset + t.length] == '\0';
}

static bool are_texts(const struct eg_policy *p, const struct eg_block_text *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!eg_block_is_text(p, t[i]))
            return false;
    return true;
}
#define TEXTS(...)                                                                                 \
    are_texts(p, (const struct eg_block_text[]){ __VA_ARGS__ },                                    \
              sizeof((const struct eg_block_text[]){ __VA_ARGS__ }) /                              \
                  sizeof(struct eg_block_text))

static bool is_family(uint8_t family, bool none)
{
    return family == 4 || family == 6 || (none && family == 0);
}

bool eg_block_is_addr(const struct eg_policy *p, const struct eg_block_addr *a, bool none)
{
    return is_family(a->family, none) && (a->literal == (a->family != 0)) && eg_block_is_text(p, a->host) &&
           a->host.length <= EG_HOST_MAX;
}

static bool check_hash(const struct eg_policy *p)
{
    uint32_t n = p->count[EG_BLOCK_SLOTS_HASH];
    bool hole = false;
    if (n == 0 || (n & (n - 1)))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (p->hash[i] > p->count[EG_BLOCK_TARGETS])
            return false;
        hole |= p->hash[i] == 0;
    }
    return hole; /* else a search would not end */
}

static bool check_targets(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_TARGETS]; i++) {
        const struct eg_block_target *t = &p->targets[i];
        bool prefix = t->kind == EG_PATTERN_PREFIX;
        if (t->kind >= EG_PATTERN_KINDS || !TEXTS(t->key, t->allowed) ||
            !eg_block_is_range(t->rules, p->count[EG_BLOCK_RULES]) ||
            (prefix ? t->key.length != EG_BLOCK_PREFIX_KEY : t->key.length > EG_HOST_MAX))
            return false;
    }
    return true;
}

static bool check_rules(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_RULES]; i++) {
        const struct eg_block_rule *r = &p->rules[i];
        if (r->action >= EG_ACTION_COUNT || r->scheme > EG_SCHEME_TCP || !TEXTS(r->rule, r->why) ||
            !eg_block_is_range(r->ports, p->count[EG_BLOCK_PORTS]))
            return false;
    }
    return true;
}

static bool check_services(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SERVICES]; i++) {
        const struct eg_block_service *s = &p->services[i];
        if (!TEXTS(s->name, s->route, s->base_path, s->credential, s->env_base_url,
                   s->env_base_path, s->shape_prefix, s->ca_pem, s->client_cert_pem,
                   s->client_key_pem, s->server_name, s->rule) ||
            !eg_block_is_addr(p, &s->upstream, true))
            return false;
        if (!eg_block_is_range(s->accept, p->count[EG_BLOCK_SLOTS]) || s->accept.count > EG_SERVICE_SLOTS ||
            !eg_block_is_range(s->write, p->count[EG_BLOCK_WRITES]) || s->write.count > EG_SERVICE_WRITES ||
            !eg_block_is_range(s->strip, p->count[EG_BLOCK_SLOTS]) || s->strip.count > EG_SERVICE_SLOTS ||
            !eg_block_is_range(s->keys, p->count[EG_BLOCK_NAMES]) || s->keys.count > 4)
            return false;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SLOTS]; i++)
        if (p->slots[i].kind > EG_SLOT_SIGV4 || !eg_block_is_text(p, p->slots[i].name) ||
            (p->slots[i].kind == EG_SLOT_PATH) != (p->slots[i].segment >= 2))
            return false;
    for (uint32_t i = 0; i < p->count[EG_BLOCK_WRITES]; i++)
        if (p->writes[i].kind > EG_WRITE_SIGV4 ||
            !TEXTS(p->writes[i].name, p->writes[i].text, p->writes[i].before, p->writes[i].after))
            return false;
    return are_texts(p, p->names, p->count[EG_BLOCK_NAMES]);
}

static bool check_credentials(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_CREDENTIALS]; i++) {
        const struct eg_block_credential *c = &p->credentials[i];
        if (c->kind > EG_SOURCE_KEYRING || !TEXTS(c->name, c->place, c->account, c->rule) ||
            !eg_block_is_range(c->hosts, p->count[EG_BLOCK_HOSTS]))
            return false;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_HOSTS]; i++) {
        const struct eg_block_host *h = &p->hosts[i];
        if (h->kind >= EG_PATTERN_KINDS || !eg_block_is_text(p, h->host) || !is_family(h->family, true) ||
            h->bits > (h->family == 6 ? 128 : 32))
            return false;
    }
    return true;
}

static bool check_head(const struct eg_policy *p)
{
    const struct eg_block_settings *s = &p->head->settings;
    const struct eg_limits *l = &p->head->limits;
    const uint64_t limits[] = { l->connections,     l->headers,       l->head_bytes,
                                l->target_bytes,    l->head_timeout,  l->body_timeout,
                                l->idle_timeout,    l->total_timeout, l->dns_timeout,
                                l->connect_timeout, l->tls_timeout,   l->response_timeout,
                                l->drain_timeout };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i] == 0)
            return false;
    if (s->dns_count > 4 || s->audit_destinations > 2 || s->audit_capacity == 0)
        return false;
    for (uint32_t i = 0; i < s->dns_count; i++)
        if (!eg_block_is_addr(p, &s->dns[i], false))
            return false;
    return TEXTS(s->name, s->file, s->ca_pem, s->audit_file);
}

/* Bounds and alignment of every section; sets the view's pointers. */
static bool find_sections(struct eg_policy *p, const char *base, size_t n)
{
    const void *at[EG_BLOCK_SECTIONS];
    for (int s = 0; s < EG_BLOCK_SECTIONS; s++) {
        size_t offset = p->head->sections[s].offset;
        size_t count = p->head->sections[s].count;
        if (offset < sizeof *p->head || offset > n || offset % EG_BLOCK_ALIGN ||
            count > (n - offset) / eg_block_record[s])
            return false;
        p->count[s] = (uint32_t)count;
        at[s] = base + offset;
    }
    p->hash = at[EG_BLOCK_SLOTS_HASH];
    p->targets = at[EG_BLOCK_TARGETS];
    p->rules = at[EG_BLOCK_RULES];
    p->ports = at[EG_BLOCK_PORTS];
    p->services = at[EG_BLOCK_SERVICES];
    p->slots = at[EG_BLOCK_SLOTS];
    p->writes = at[EG_BLOCK_WRITES];
    p->names = at[EG_BLOCK_NAMES];
    p->credentials = at[EG_BLOCK_CREDENTIALS];
    p->hosts = at[EG_BLOCK_HOSTS];
    p->listen = at[EG_BLOCK_LISTEN];
    p->pairs = at[EG_BLOCK_PAIRS];
    p->hops = at[EG_BLOCK_HOPS];
    p->bypass = at[EG_BLOCK_BYPASS];
    p->pool = at[EG_BLOCK_POOL];
    return true;
}

void eg_block_authority(const struct eg_policy *p, const struct eg_block_addr *from,
                        struct eg_authority *ret)
{
    struct eg_slice host = eg_block_slice(p, from->host);
    memset(ret, 0, sizeof *ret);
    if (host.n)
        memcpy(ret->host, host.p, host.n);
    ret->host_len = (uint8_t)host.n;
    ret->port = from->port;
    ret->port_given = true;
    ret->literal = from->literal != 0;
    ret->addr.family = from->family;
    memcpy(ret->addr.b, from->b, sizeof ret->addr.b);
}

struct eg_sockaddr eg_block_sockaddr(const struct eg_block_addr *from)
{
    struct eg_sockaddr to = { { from->family, { 0 } }, from->port };
    memcpy(to.addr.b, from->b, sizeof to.addr.b);
    return to;
}

static void fill_settings(struct eg_policy *p)
{
    const struct eg_block_settings *b = &p->head->settings;
    struct eg_settings *s = &p->settings;
    for (uint32_t i = 0; i < b->dns_count; i++)
        s->dns_servers[i] = eg_block_sockaddr(&b->dns[i]);
    s->dns_count = b->dns_count;
    s->ca_pem = eg_block_slice(p, b->ca_pem);
    s->ca_system = b->ca_system != 0;
    s->via = b->via != 0;
    s->audit_capacity = b->audit_capacity;
    s->audit_file = eg_block_slice(p, b->audit_file);
    s->audit_strict = b->audit_strict != 0;
    s->audit_destinations = b->audit_destinations;
    s->upstream_from = (enum eg_upstream_from)b->upstream_from;
    s->proxy_resolve_local = b->proxy_resolve_local != 0;
}

static enum eg_status invalid(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_INVALID, "policy", 0, "%s", why);
}

enum eg_status eg_policy_open(const void *block, size_t n, struct eg_policy **ret,
                              struct eg_err *err)
{
    const struct eg_block_head *head = block;
    if (!block || (uintptr_t)block % EG_BLOCK_ALIGN)
        return invalid(err, "the policy block is not aligned");
    if (n < sizeof *head || memcmp(head->magic, EG_BLOCK_MAGIC, sizeof head->magic) != 0)
        return invalid(err, "this is not a policy block");
    if (head->version != EG_BLOCK_VERSION || head->size != n)
        return invalid(err, "the policy block is of another version or size");
    struct eg_policy *p = calloc(1, sizeof *p);
    if (!p)
        return eg_err_set(err, EG_NOMEM, "policy", 0, "no memory to open the policy");
    p->head = head;
    if (!find_sections(p, block, n) || !check_head(p) || !check_hash(p) || !check_targets(p) ||
        !check_rules(p) || !check_services(p) || !check_credentials(p) ||
        !eg_block_check_ways(p)) {
        free(p);
        return invalid(err, "the policy block is damaged");
    }
    fill_settings(p);
    *ret = p;
    return EG_OK;
}

void eg_policy_close(struct eg_policy *p)
{
    free(p);
}

/* ---- what the policy configures ---- */

const unsigned char *eg_policy_id(const struct eg_policy *p)
{
    return p->head->id;
}

struct eg_slice eg_policy_name(const struct eg_policy *p)
{
    return eg_block_slice(p, p->head->settings.name);
}

const struct eg_limits *eg_policy_limits(const struct eg_policy *p)
{
    return &p->head->limits;
}

const struct eg_settings *eg_policy_settings(const struct eg_policy *p)
{
    return &p->settings;
}

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
                                         .before = eg_block_slice(p, w->before),
                                         .after = eg_block_slice(p, w->after),
                                         .credential = w->credential != 0 };
    }
    for (uint32_t i = 0; i < s->strip_slot_count; i++)
        if (s->strip_slots[i].kind == EG_SLOT_HEADER)
            s->strip[s->strip_count++] = s->strip_slots[i].name;
    s->env_key_count = b->keys.count;
    for (uint32_t i = 0; i < b->keys.count; i++)
        s->env_keys[i] = eg_block_slice(p, p->names[b->keys.first + i]);
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
    ret->shape_prefix = eg_block_slice(p, b->shape_prefix);
    ret->shape_length = b->shape_length;
    ret->ca_pem = eg_block_slice(p, b->ca_pem);
    ret->client_cert_pem = eg_block_slice(p, b->client_cert_pem);
    ret->client_key_pem = eg_block_slice(p, b->client_key_pem);
    ret->server_name = eg_block_slice(p, b->server_name);
    ret->rule = eg_block_slice(p, b->rule);
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
    ret->name = eg_block_slice(p, b->name);
    ret->kind = (enum eg_source_kind)b->kind;
    ret->place = eg_block_slice(p, b->place);
    ret->account = eg_block_slice(p, b->account);
    ret->rule = eg_block_slice(p, b->rule);
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
