/* diff_gather.c - which rules would decide.c ask about requests to this destination? Of both policies; what they match is diff_requests.c's. */
#include "policy/diff_gather.h"

#include <sodium.h>

#include "policy/ranges.h"

static void hash_text(crypto_generichash_state *h, struct eg_slice text)
{
    uint32_t n = (uint32_t)text.n;
    crypto_generichash_update(h, (const unsigned char *)&n, sizeof n);
    if (n)
        crypto_generichash_update(h, (const unsigned char *)text.p, n);
}

static void hash_path(crypto_generichash_state *h, const struct eg_policy *p,
                      const struct eg_block_path *path)
{
    for (uint32_t i = 0; i < path->segments.count; i++) {
        struct eg_block_range globs = p->segments[path->segments.first + i].globs;
        crypto_generichash_update(h, (const unsigned char *)&globs.count, sizeof globs.count);
        for (uint32_t k = 0; k < globs.count; k++)
            hash_text(h, eg_block_slice(p, p->names[globs.first + k]));
    }
}

/* role: what a match of it does: a deny rule refuses, an allow rule lets a body of that size through. */
static void add_entry(struct eg_requests *r, unsigned side, const struct eg_block_path *path,
                      struct eg_slice base, bool deny, uint64_t body)
{
    const struct eg_policy *p = r->d->p[side];
    crypto_generichash_state h;
    if (r->count++ >= r->room) /* counted first, then taken */
        return;
    struct eg_request_entry *e = &r->entries[r->count - 1];
    unsigned char head = deny;
    e->side = side;
    e->l = (struct eg_language){ .p = p, .path = path, .base = base, .deny = deny, .body = body };
    crypto_generichash_init(&h, NULL, 0, EG_REQUEST_KEY);
    crypto_generichash_update(&h, &head, 1);
    hash_text(&h, base);
    hash_path(&h, p, path);
    crypto_generichash_final(&h, e->language, EG_REQUEST_KEY);
    crypto_generichash_init(&h, NULL, 0, EG_REQUEST_KEY);
    crypto_generichash_update(&h, e->language, EG_REQUEST_KEY);
    crypto_generichash_update(&h, (const unsigned char *)&body, sizeof body);
    crypto_generichash_final(&h, e->role, EG_REQUEST_KEY);
}

static void add_paths(struct eg_requests *r, unsigned side, uint32_t first, uint32_t count,
                      struct eg_slice base, bool deny, uint64_t body)
{
    for (uint32_t i = 0; i < count; i++)
        add_entry(r, side, &r->d->p[side]->paths[first + i], base, deny, body);
}

static void find_hits(const struct eg_policy *p, const struct eg_authority *to,
                      struct eg_decide_hits *h)
{
    if (to->literal)
        eg_decide_find_addr(p, &to->addr, eg_decide_full_length(&to->addr), h);
    else
        eg_decide_find_name(p, eg_authority_host(to), h);
}

static void gather_denies(struct eg_requests *r, unsigned side, const struct eg_question *q,
                          const struct eg_decide_hits *h, struct eg_slice base)
{
    for (unsigned i = 0; i < h->count; i++)
        for (uint32_t k = 0; k < h->list[i]->rules.count; k++) {
            const struct eg_block_rule *rule = &q->p->rules[h->list[i]->rules.first + k];
            if (rule->action == EG_ACTION_DENY && eg_decide_has_port(q->p, rule, q->port))
                add_paths(r, side, rule->paths.first, rule->paths.count, base, true, 0);
        }
}

/* The allow rules of the pattern that decides. */
static void gather_allows(struct eg_requests *r, unsigned side, const struct eg_question *q,
                          const struct eg_decide_hits *h)
{
    struct eg_request_frame *f = &r->frame[side];
    for (unsigned i = 0; i < h->count && !f->named; i++)
        for (uint32_t k = 0; k < h->list[i]->rules.count; k++) {
            const struct eg_block_rule *rule = &q->p->rules[h->list[i]->rules.first + k];
            if (rule->action != EG_ACTION_ALLOW || !eg_decide_has_port(q->p, rule, q->port) ||
                !eg_decide_carries(q, rule))
                continue;
            f->named = true;
            if (rule->paths.count == 0 && !f->plain) {
                f->plain = true;
                f->plain_body = rule->max_request_body;
            }
            add_paths(r, side, rule->paths.first, rule->paths.count, EG_SLICE_NONE, false,
                      rule->max_request_body);
        }
}

/* What decides of the destination alone. */
static void frame_of(struct eg_requests *r, unsigned side, const struct eg_question *q,
                     const struct eg_decide_hits *h)
{
    const struct eg_authority *to = &r->ask[side].to;
    struct eg_request_frame *f = &r->frame[side];
    const struct eg_policy *p = q->p;
    for (uint32_t i = 0; q->http && r->d->observe && i < p->count[EG_BLOCK_SERVICES]; i++) {
        struct eg_authority upstream;
        eg_block_authority(p, &p->services[i].upstream, &upstream);
        f->round = f->round || (p->services[i].denies.count > 0 && eg_authority_eq(&upstream, to));
    }
    for (unsigned opened = 0; opened < 2 && to->literal; opened++) {
        struct eg_verdict v = { .status = EG_OK, .opened = opened }, ret;
        eg_policy_judge_address(p, &v, &to->addr, to->port, &ret);
        f->closed[opened] = ret.status != EG_OK;
    }
    bool metadata =
        to->literal ? eg_metadata_addr(&to->addr) : eg_metadata_name(eg_authority_host(to));
    f->refused = (metadata && !p->head->settings.allow_metadata) ||
                 (f->closed[0] && f->closed[1]) ||
                 eg_decide_rule_of(q, h, EG_ACTION_DENY, false) != NULL ||
                 (to->literal && eg_decide_denied_addr(q, &to->addr, h) != NULL);
}

static void gather_http(struct eg_requests *r, unsigned side)
{
    const struct eg_block_request none = { EG_SLICE("GET"), EG_SLICE_NONE, EG_SLICE("/") };
    const struct eg_authority *to = &r->ask[side].to;
    struct eg_decide_hits h;
    struct eg_question q = { .p = r->d->p[side], .port = to->port, .http = true, .request = &none };
    find_hits(q.p, to, &h);
    frame_of(r, side, &q, &h);
    q.parsed = eg_decide_each_ruled(&q, &h, EG_ACTION_ALLOW, eg_decide_take_any, NULL);
    gather_allows(r, side, &q, &h);
    gather_denies(r, side, &q, &h, EG_SLICE_NONE);
}

static void gather_route(struct eg_requests *r, unsigned side)
{
    struct eg_service s;
    struct eg_decide_hits h;
    const struct eg_policy *p = r->d->p[side];
    if (r->service[side] < 0) {
        r->frame[side].refused = true;
        return;
    }
    const struct eg_block_service *b = &p->services[r->service[side]];
    eg_policy_service(p, (unsigned)r->service[side], &s);
    const struct eg_question q = { .p = p, .port = s.upstream.port };
    find_hits(p, &s.upstream, &h);
    frame_of(r, side, &q, &h);
    r->frame[side].plain = b->rules.count == 0;
    r->frame[side].named = true;
    add_paths(r, side, b->rules.first, b->rules.count, s.base_path, false, 0);
    add_paths(r, side, b->denies.first, b->denies.count, s.base_path, true, 0);
    gather_denies(r, side, &q, &h, s.base_path);
}

void eg_requests_gather(struct eg_requests *r)
{
    r->count = 0;
    for (unsigned side = 0; side < 2; side++) {
        r->frame[side] = (struct eg_request_frame){ .plain_body = 0 };
        if (r->kind == EG_CHANGE_ROUTE)
            gather_route(r, side);
        else
            gather_http(r, side);
    }
}
