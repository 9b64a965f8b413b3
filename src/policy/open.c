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

bool eg_block_are_texts(const struct eg_policy *p, const struct eg_block_text *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!eg_block_is_text(p, t[i]))
            return false;
    return true;
}
#define TEXTS(...) EG_BLOCK_TEXTS(p, __VA_ARGS__)

bool eg_block_is_family(uint8_t family, bool none)
{
    return family == 4 || family == 6 || (none && family == 0);
}

bool eg_block_is_addr(const struct eg_policy *p, const struct eg_block_addr *a, bool none)
{
    return eg_block_is_family(a->family, none) && (a->literal == (a->family != 0)) &&
           eg_block_is_text(p, a->host) && a->host.length <= EG_HOST_MAX;
}

bool eg_block_are_paths(const struct eg_policy *p, struct eg_block_paths list)
{
    return list.first <= p->count[EG_BLOCK_PATHS] &&
           list.count <= p->count[EG_BLOCK_PATHS] - list.first &&
           (list.root == 0 || (list.count > 0 && list.root < p->count[EG_BLOCK_NODES]));
}

/* A power of two of indexes into a table of that many, and a hole: else a search would not end. */
static bool check_hash(const struct eg_policy *p, const struct eg_block_entry *slots, uint32_t n,
                       uint32_t records)
{
    bool hole = false;
    if (n == 0 || (n & (n - 1)))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (slots[i].record > records || slots[i].key >= p->count[EG_BLOCK_POOL] ||
            slots[i].rule > p->count[EG_BLOCK_RULES])
            return false;
        hole |= slots[i].record == 0;
    }
    return hole;
}

static bool check_steps(const struct eg_policy *p)
{
    uint32_t nodes = p->count[EG_BLOCK_NODES], paths = p->count[EG_BLOCK_PATHS];
    for (uint32_t i = 0; i < nodes; i++) {
        const struct eg_block_node *n = &p->nodes[i];
        /* below leads on: a node is never below itself */
        if (n->below >= nodes || (n->below && n->below <= i) || (i > 0 && n->least >= paths) ||
            !eg_block_is_range(n->ends, p->count[EG_BLOCK_ENDS]) ||
            !eg_block_is_range(n->wild, p->count[EG_BLOCK_EDGES]))
            return false;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_ENDS]; i++)
        if (p->ends[i] >= paths)
            return false;
    for (uint32_t i = 0; i < p->count[EG_BLOCK_EDGES]; i++) {
        const struct eg_block_edge *e = &p->edges[i];
        if (e->from >= nodes || e->to >= nodes || e->kind >= EG_STEPS || !TEXTS(e->glob) ||
            e->bytes > e->glob.length)
            return false;
    }
    return true;
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
            !eg_block_is_range(r->ports, p->count[EG_BLOCK_PORTS]) ||
            !eg_block_are_paths(p, r->paths))
            return false;
    }
    return true;
}

static bool check_paths(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_PATHS]; i++) {
        const struct eg_block_path *path = &p->paths[i];
        if (!TEXTS(path->method, path->rule, path->detail) || path->segments.count == 0 ||
            !eg_block_is_range(path->segments, p->count[EG_BLOCK_SEGMENTS]))
            return false;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SEGMENTS]; i++)
        if (!eg_block_is_range(p->segments[i].globs, p->count[EG_BLOCK_NAMES]))
            return false;
    return true;
}

static bool check_origins(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_ORIGINS]; i++)
        if (!TEXTS(p->origins[i].key, p->origins[i].rule))
            return false;
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
    p->paths = at[EG_BLOCK_PATHS];
    p->segments = at[EG_BLOCK_SEGMENTS];
    p->steps = at[EG_BLOCK_STEPS_HASH];
    p->nodes = at[EG_BLOCK_NODES];
    p->edges = at[EG_BLOCK_EDGES];
    p->ends = at[EG_BLOCK_ENDS];
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
    p->origins = at[EG_BLOCK_ORIGINS];
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
    s->observe = b->observe != 0;
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
    if (!find_sections(p, block, n) || !check_head(p) ||
        !check_hash(p, p->hash, p->count[EG_BLOCK_SLOTS_HASH], p->count[EG_BLOCK_TARGETS]) ||
        !check_hash(p, p->steps, p->count[EG_BLOCK_STEPS_HASH], p->count[EG_BLOCK_EDGES]) ||
        !check_targets(p) || !check_rules(p) || !check_paths(p) || !check_steps(p) ||
        !check_origins(p) || !eg_block_check_services(p) || !eg_block_check_credentials(p) ||
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
