/* diff_requests.c - requests: for every method that a rule names, and one that none does, the paths on which the two policies part.
 *
 * Only the rules that decide.c would ask take part. Where the two differ in nothing but their path rules, a difference can only be on a path that a
 * rule matches which not both have: the search keeps to those. */
#include "policy/diff_machine.h"
#include "policy/diff_state.h"
#include "policy/ranges.h"

#include <sodium.h>
#include <stdlib.h>

enum { KEY = 16, METHODS_MAX = 600, SEARCH_BUDGET = 1500000, FOUND_BUDGET = 20000 };

struct entry {                              /* a path rule in its place */
    unsigned char language[KEY], role[KEY]; /* what it matches; and what that means */
    struct eg_language l;
    unsigned side;
};

struct
    frame { /* what decides beside path rules; no padding that counts: compared member by member */
    bool refused, named, plain;
    bool round;     /* a service's deny rules keep observing from opening it */
    bool closed[2]; /* an address: not to be connected by a rule on it; not by observing */
    uint64_t plain_body;
};

struct requests {
    struct eg_diff *d;
    enum eg_change_kind kind;
    struct eg_ask ask[2];
    int service[2], port;
    struct entry *entries;
    uint32_t count, room;
    struct frame frame[2];
    struct eg_slice methods[METHODS_MAX];
    unsigned method_count;
    struct eg_slice method; /* at hand */
    bool told;              /* a path tells the two apart */
};

/* ---- gathering ---- */

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
static void add_entry(struct requests *r, unsigned side, const struct eg_block_path *path,
                      struct eg_slice base, bool deny, uint64_t body)
{
    const struct eg_policy *p = r->d->p[side];
    crypto_generichash_state h;
    if (r->count++ >= r->room) /* counted first, then taken */
        return;
    struct entry *e = &r->entries[r->count - 1];
    unsigned char head = deny;
    e->side = side;
    e->l = (struct eg_language){ .p = p, .path = path, .base = base, .deny = deny, .body = body };
    crypto_generichash_init(&h, NULL, 0, KEY);
    crypto_generichash_update(&h, &head, 1);
    hash_text(&h, base);
    hash_path(&h, p, path);
    crypto_generichash_final(&h, e->language, KEY);
    crypto_generichash_init(&h, NULL, 0, KEY);
    crypto_generichash_update(&h, e->language, KEY);
    crypto_generichash_update(&h, (const unsigned char *)&body, sizeof body);
    crypto_generichash_final(&h, e->role, KEY);
}

static void add_paths(struct requests *r, unsigned side, uint32_t first, uint32_t count,
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

static void gather_denies(struct requests *r, unsigned side, const struct eg_question *q,
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
static void gather_allows(struct requests *r, unsigned side, const struct eg_question *q,
                          const struct eg_decide_hits *h)
{
    struct frame *f = &r->frame[side];
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
static void frame_of(struct requests *r, unsigned side, const struct eg_question *q,
                     const struct eg_decide_hits *h)
{
    const struct eg_authority *to = &r->ask[side].to;
    struct frame *f = &r->frame[side];
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

static void gather_http(struct requests *r, unsigned side)
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

static void gather_route(struct requests *r, unsigned side)
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

/* ---- methods ---- */

static void add_method(struct requests *r, struct eg_slice method)
{
    for (unsigned i = 0; i < r->method_count; i++)
        if (eg_slice_eq(r->methods[i], method))
            return;
    if (r->method_count == METHODS_MAX)
        r->d->may = true;
    else
        r->methods[r->method_count++] = method;
}

static bool is_named(const struct requests *r, struct eg_slice method)
{
    for (unsigned i = 0; i < r->method_count; i++)
        if (eg_slice_caseeq(r->methods[i], method))
            return true;
    return false;
}

/* Every one that a rule names, in small letters too where a deny rule does, and one that no rule names. */
static void list_methods(struct requests *r)
{
    static const char *const others[] = { "GET",   "POST", "PUT",     "DELETE",
                                          "PATCH", "HEAD", "OPTIONS", "PROPFIND" };
    for (uint32_t i = 0; i < r->count; i++) {
        const struct eg_language *l = &r->entries[i].l;
        struct eg_slice method = eg_block_slice(l->p, l->path->method);
        if (method.n == 0)
            continue;
        add_method(r, method);
        if (!l->deny)
            continue;
        struct eg_slice small = eg_diff_copy(r->d, method);
        for (size_t k = 0; k < small.n; k++)
            ((char *)(uintptr_t)small.p)[k] = eg_lower(small.p[k]);
        if (small.n > 0)
            add_method(r, small);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!is_named(r, eg_slice_str(others[i]))) {
            add_method(r, eg_slice_str(others[i]));
            return;
        }
    static const char letters[] = "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX";
    for (size_t n = 1; n < sizeof letters; n++)
        if (!is_named(r, eg_slice(letters, n))) {
            add_method(r, eg_slice(letters, n));
            return;
        }
}

static bool matches_method(const struct eg_language *l, struct eg_slice method)
{
    struct eg_slice own = eg_block_slice(l->p, l->path->method);
    return own.n == 0 || (l->deny ? eg_slice_caseeq(own, method) : eg_slice_eq(own, method));
}

/* ---- asking ---- */

static void try_path(struct requests *r, struct eg_slice path, struct eg_path_flags flags)
{
    struct eg_ask ask[2] = { r->ask[0], r->ask[1] };
    for (unsigned i = 0; i < 2; i++) {
        ask[i].method = r->method;
        ask[i].path = path;
        ask[i].flags = flags;
    }
    r->told = eg_diff_try(r->d, r->kind, ask, r->service, r->port) || r->told;
}

static bool take_path(void *ctx, struct eg_slice path)
{
    struct requests *r = ctx;
    struct eg_path_flags flags = { 0 };
    struct eg_buf canon;
    eg_buf_init(&canon, 1 << 14);
    bool fine = eg_path_canon(path, &canon, &flags, NULL) == EG_OK && !flags.unsafe &&
                eg_slice_eq(eg_buf_slice(&canon), path);
    eg_buf_done(&canon);
    if (fine)
        try_path(r, path, flags);
    return fine;
}

static void try_again(struct requests *r)
{
    struct eg_slice method = r->method;
    unsigned count = r->d->finding_count;
    for (unsigned i = 0; i < count; i++) {
        const struct eg_ask *ask = &r->d->findings[i].ask[0];
        if (r->d->findings[i].kind != r->kind)
            continue;
        r->method = ask->method;
        try_path(r, ask->path, ask->flags);
    }
    r->method = method;
}

static int compare(const void *x, const void *y)
{
    const struct entry *a = *(const struct entry *const *)x, *b = *(const struct entry *const *)y;
    int c = memcmp(a->language, b->language, KEY);
    if (c == 0)
        c = memcmp(a->role, b->role, KEY);
    return c ? c : (int)a->side - (int)b->side;
}

/* One language for all entries of the same; wanted where the roles of one side are not those of the other. Returns how many. */
static uint32_t merge(struct entry **list, uint32_t count, struct eg_language *out)
{
    uint32_t n = 0;
    for (uint32_t from = 0, to; from < count; from = to) {
        bool wanted = false;
        for (to = from; to < count && memcmp(list[from]->language, list[to]->language, KEY) == 0;) {
            uint32_t role = to;
            unsigned sides = 0;
            for (; to < count && memcmp(list[role]->role, list[to]->role, KEY) == 0; to++)
                sides |= 1u << list[to]->side;
            wanted = wanted || sides != 3;
        }
        out[n] =
            list[from]
                ->l; /* the largest body of what is wanted: as little as possible is covered by others */
        for (uint32_t i = from; i < to && wanted; i++)
            if (list[i]->l.body - 1 > out[n].body - 1)
                out[n].body = list[i]->l.body;
        out[n++].wanted = wanted;
    }
    return n;
}

/* Is all the same but path rules? */
static bool same_frame(const struct requests *r)
{
    const struct frame *f = &r->frame[0], *g = &r->frame[1];
    return f->refused == g->refused && f->named == g->named && f->plain == g->plain &&
           f->plain_body == g->plain_body && f->round == g->round && f->closed[0] == g->closed[0] &&
           f->closed[1] == g->closed[1];
}

/* First the paths that people write; where these show a difference, the others are looked at no longer than that takes. */
static void run(struct requests *r, struct eg_search *s)
{
    bool cut = false;
    r->told = false;
    for (int plain = 1; plain >= 0 && r->d->status == EG_OK; plain--) {
        uint64_t most = r->told ? FOUND_BUDGET : SEARCH_BUDGET;
        uint64_t budget = r->d->budget < most ? r->d->budget : most, left = budget;
        s->plain = plain;
        s->budget = &left;
        r->d->status = eg_search_run(s);
        r->d->budget -= budget - left;
        cut = s->cut && !r->told;
    }
    r->d->may = r->d->may || cut;
}

/* Nothing at all is allowed by this side, whatever its deny rules say. */
/* A rule that only one side has makes no difference where one of both sides says all that it says. */
static bool is_covered(const struct eg_language *list, uint32_t count, const struct eg_language *l)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct eg_language *by = &list[i];
        bool stronger = by->deny || (!l->deny && by->body - 1 >= l->body - 1); /* 0 is no limit */
        if (!by->wanted && stronger && (by->deny == l->deny || by->deny) && eg_diff_covers(by, l))
            return true;
    }
    return false;
}

static bool is_hopeless(const struct requests *r, unsigned side, struct entry *const *list,
                        uint32_t count)
{
    const struct frame *f = &r->frame[side];
    bool open = f->plain;
    for (uint32_t i = 0; i < count && !open; i++)
        open = list[i]->side == side && !list[i]->l.deny;
    return f->refused || (!open && !r->d->observe);
}

/* The same rules, in the same places, were looked at for another method or port: what was found then is asked again. */
static bool was_searched(struct requests *r, struct entry *const *list, uint32_t count)
{
    struct eg_diff *d = r->d;
    crypto_generichash_state h;
    unsigned char id[KEY];
    crypto_generichash_init(&h, NULL, 0, KEY);
    for (unsigned side = 0; side < 2; side++) {
        const struct frame *f = &r->frame[side];
        const uint64_t facts[] = { f->refused, f->named,     f->plain,     f->plain_body,
                                   f->round,   f->closed[0], f->closed[1], r->kind };
        crypto_generichash_update(&h, (const unsigned char *)facts, sizeof facts);
    }
    for (uint32_t i = 0; i < count; i++) {
        unsigned char side = (unsigned char)list[i]->side;
        crypto_generichash_update(&h, list[i]->role, KEY);
        crypto_generichash_update(&h, &side, 1);
    }
    crypto_generichash_final(&h, id, KEY);
    for (unsigned i = 0; i < d->searched_count; i++)
        if (memcmp(d->searched[i], id, KEY) == 0) {
            try_again(r);
            return true;
        }
    if (d->searched_count < EG_DIFF_SEARCHED)
        memcpy(d->searched[d->searched_count++], id, KEY);
    return false;
}

static void search(struct requests *r)
{
    struct entry **list = eg_diff_alloc(r->d, &r->d->scratch, r->count * sizeof *list);
    struct eg_language *languages =
        eg_diff_alloc(r->d, &r->d->scratch, r->count * sizeof *languages);
    uint32_t count = 0;
    bool wanted = false, narrow = same_frame(r);
    if (!list || !languages)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        if (matches_method(&r->entries[i].l, r->method))
            list[count++] = &r->entries[i];
    if (is_hopeless(r, 0, list, count) && is_hopeless(r, 1, list, count))
        return;
    qsort(list, count, sizeof *list, compare);
    if (was_searched(r, list, count))
        return;
    count = merge(list, count, languages);
    for (uint32_t i = 0; i < count; i++) {
        languages[i].wanted =
            languages[i].wanted && !(narrow && is_covered(languages, count, &languages[i]));
        wanted = wanted || languages[i].wanted;
    }
    if (narrow && !wanted)
        return; /* the same rules in the same places */
    struct eg_search s = {
        .list = languages, .count = count, .wanted = narrow, .take = take_path, .ctx = r
    };
    run(r, &s);
}

static void gather(struct requests *r)
{
    r->count = 0;
    for (unsigned side = 0; side < 2; side++) {
        r->frame[side] = (struct frame){ .plain_body = 0 };
        if (r->kind == EG_CHANGE_ROUTE)
            gather_route(r, side);
        else
            gather_http(r, side);
    }
}

void eg_diff_requests(struct eg_diff *d, enum eg_change_kind kind, const struct eg_ask ask[2],
                      const int service[2], int port)
{
    static const struct eg_path_flags unsafe = { true, "the path has a dot segment" };
    struct requests r = { .d = d,
                          .kind = kind,
                          .ask = { ask[0], ask[1] },
                          .service = { service[0], service[1] },
                          .port = port,
                          .method = EG_SLICE("GET") };
    gather(&r);
    r.room = r.count;
    r.entries = eg_diff_alloc(d, &d->scratch, r.room * sizeof *r.entries);
    if (!r.entries)
        return;
    gather(&r);
    try_path(&r, EG_SLICE("/a/../b"), unsafe);
    if (r.count == 0) {
        try_path(&r, EG_SLICE("/"), (struct eg_path_flags){ 0 });
        return;
    }
    list_methods(&r);
    for (unsigned i = 0; i < r.method_count && d->status == EG_OK; i++) {
        r.method = r.methods[i];
        search(&r);
    }
}
