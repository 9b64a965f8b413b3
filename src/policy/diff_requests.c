/* diff_requests.c - requests: for every method that a rule names, and one that none does, the paths on which the two policies part.
 *
 * Only the rules that decide.c would ask take part. Where the two differ in nothing but their path rules, a difference can only be on a path that a
 * rule matches which not both have: the search keeps to those. */
#include "policy/diff_gather.h"

#include <sodium.h>
#include <stdlib.h>

enum { SEARCH_BUDGET = 1500000, FOUND_BUDGET = 20000 };

/* ---- methods ---- */

static void add_method(struct eg_requests *r, struct eg_slice method)
{
    for (unsigned i = 0; i < r->method_count; i++)
        if (eg_slice_eq(r->methods[i], method))
            return;
    if (r->method_count == EG_REQUEST_METHODS)
        r->d->may = true;
    else
        r->methods[r->method_count++] = method;
}

static bool is_named(const struct eg_requests *r, struct eg_slice method)
{
    for (unsigned i = 0; i < r->method_count; i++)
        if (eg_slice_caseeq(r->methods[i], method))
            return true;
    return false;
}

/* Every one that a rule names, in small letters too where a deny rule does, and one that no rule names. */
static void list_methods(struct eg_requests *r)
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

static void try_path(struct eg_requests *r, struct eg_slice path, struct eg_path_flags flags)
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
    struct eg_requests *r = ctx;
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

static void try_again(struct eg_requests *r)
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
    const struct eg_request_entry *a = *(const struct eg_request_entry *const *)x,
                                  *b = *(const struct eg_request_entry *const *)y;
    int c = memcmp(a->language, b->language, EG_REQUEST_KEY);
    if (c == 0)
        c = memcmp(a->role, b->role, EG_REQUEST_KEY);
    return c ? c : (int)a->side - (int)b->side;
}

/* One language for all entries of the same; wanted where the roles of one side are not those of the other. *widens is set where such a role, a deny rule
 * that is gone or an allow rule that is new, could let more through. Returns how many. */
static uint32_t merge(struct eg_request_entry **list, uint32_t count, struct eg_language *out,
                      bool *widens)
{
    uint32_t n = 0;
    for (uint32_t from = 0, to; from < count; from = to) {
        bool wanted = false;
        for (to = from;
             to < count && memcmp(list[from]->language, list[to]->language, EG_REQUEST_KEY) == 0;) {
            uint32_t role = to;
            unsigned sides = 0;
            for (; to < count && memcmp(list[role]->role, list[to]->role, EG_REQUEST_KEY) == 0;
                 to++)
                sides |= 1u << list[to]->side;
            wanted = wanted || sides != 3;
            *widens = *widens || sides == (list[role]->l.deny ? 1 : 2);
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
static bool same_frame(const struct eg_requests *r)
{
    const struct eg_request_frame *f = &r->frame[0], *g = &r->frame[1];
    return f->refused == g->refused && f->named == g->named && f->plain == g->plain &&
           f->plain_body == g->plain_body && f->round == g->round && f->closed[0] == g->closed[0] &&
           f->closed[1] == g->closed[1];
}

/* First the paths that people write; where these show a difference, the others are looked at no longer than that takes. What is refused now tells
 * nothing of what is let through: where that could be more, it is looked for all the same. */
static void run(struct eg_requests *r, struct eg_search *s, bool widens)
{
    bool cut = false;
    r->told = r->d->widened = false;
    for (int plain = 1; plain >= 0 && r->d->status == EG_OK; plain--) {
        bool told = widens ? r->d->widened : r->told;
        uint64_t most = told ? FOUND_BUDGET : SEARCH_BUDGET;
        uint64_t budget = r->d->budget < most ? r->d->budget : most, left = budget;
        s->plain = plain;
        s->budget = &left;
        r->d->status = eg_search_run(s);
        r->d->budget -= budget - left;
        cut = s->cut && !(widens ? r->d->widened : r->told);
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

static bool is_hopeless(const struct eg_requests *r, unsigned side,
                        struct eg_request_entry *const *list, uint32_t count)
{
    const struct eg_request_frame *f = &r->frame[side];
    bool open = f->plain;
    for (uint32_t i = 0; i < count && !open; i++)
        open = list[i]->side == side && !list[i]->l.deny;
    return f->refused || (!open && !r->d->observe);
}

/* The same rules, in the same places, were looked at for another method or port: what was found then is asked again. */
static bool was_searched(struct eg_requests *r, struct eg_request_entry *const *list,
                         uint32_t count)
{
    struct eg_diff *d = r->d;
    crypto_generichash_state h;
    unsigned char id[EG_REQUEST_KEY];
    crypto_generichash_init(&h, NULL, 0, EG_REQUEST_KEY);
    for (unsigned side = 0; side < 2; side++) {
        const struct eg_request_frame *f = &r->frame[side];
        const uint64_t facts[] = { f->refused, f->named,     f->plain,     f->plain_body,
                                   f->round,   f->closed[0], f->closed[1], r->kind };
        crypto_generichash_update(&h, (const unsigned char *)facts, sizeof facts);
    }
    for (uint32_t i = 0; i < count; i++) {
        unsigned char side = (unsigned char)list[i]->side;
        crypto_generichash_update(&h, list[i]->role, EG_REQUEST_KEY);
        crypto_generichash_update(&h, &side, 1);
    }
    crypto_generichash_final(&h, id, EG_REQUEST_KEY);
    for (unsigned i = 0; i < d->searched_count; i++)
        if (memcmp(d->searched[i], id, EG_REQUEST_KEY) == 0) {
            try_again(r);
            return true;
        }
    if (d->searched_count < EG_DIFF_SEARCHED)
        memcpy(d->searched[d->searched_count++], id, EG_REQUEST_KEY);
    return false;
}

static void search(struct eg_requests *r)
{
    struct eg_request_entry **list = eg_diff_alloc(r->d, &r->d->scratch, r->count * sizeof *list);
    struct eg_language *languages =
        eg_diff_alloc(r->d, &r->d->scratch, r->count * sizeof *languages);
    uint32_t count = 0;
    bool wanted = false, narrow = same_frame(r), widens = !narrow;
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
    count = merge(list, count, languages, &widens);
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
    run(r, &s, widens);
}

void eg_diff_requests(struct eg_diff *d, enum eg_change_kind kind, const struct eg_ask ask[2],
                      const int service[2], int port)
{
    static const struct eg_path_flags unsafe = { true, "the path has a dot segment" };
    struct eg_requests r = { .d = d,
                             .kind = kind,
                             .ask = { ask[0], ask[1] },
                             .service = { service[0], service[1] },
                             .port = port,
                             .method = EG_SLICE("GET") };
    eg_requests_gather(&r);
    r.room = r.count;
    r.entries = eg_diff_alloc(d, &d->scratch, r.room * sizeof *r.entries);
    if (!r.entries)
        return;
    eg_requests_gather(&r);
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
