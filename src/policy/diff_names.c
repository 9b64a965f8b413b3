/* diff_names.c - host names: every name that a rule has, a new name below every wildcard, the names of metadata services, and a name that nothing knows.
 *
 * Which rules speak of a name is settled by the name itself and by the longest wildcard above it. So these stand for all names, whatever the two
 * policies say. */
#include "policy/diff_state.h"
#include "policy/ranges.h"

#include <stdio.h>
#include <stdlib.h>

struct atom {
    enum eg_pattern_kind kind;
    struct eg_slice host;
};

static int compare(const void *x, const void *y)
{
    const struct atom *a = x, *b = y;
    size_t n = a->host.n < b->host.n ? a->host.n : b->host.n;
    int c = n ? memcmp(a->host.p, b->host.p, n) : 0;
    if (c == 0)
        c = a->host.n < b->host.n ? -1 : a->host.n > b->host.n;
    return c ? c : (int)a->kind - (int)b->kind;
}

/* Room for the names of metadata services, twice, is in the 64. */
static struct atom *list_atoms(struct eg_diff *d, size_t *count)
{
    size_t max = 64, n = 0, kept = 0;
    const struct eg_slice *metadata;
    for (unsigned side = 0; side < 2; side++)
        max += d->p[side]->count[EG_BLOCK_TARGETS];
    struct atom *list = eg_diff_alloc(d, &d->lists, max * sizeof *list);
    if (!list)
        return NULL;
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = 0; i < d->p[side]->count[EG_BLOCK_TARGETS]; i++) {
            const struct eg_block_target *t = &d->p[side]->targets[i];
            if (t->kind != EG_PATTERN_PREFIX)
                list[n++] = (struct atom){ (enum eg_pattern_kind)t->kind,
                                           eg_block_slice(d->p[side], t->key) };
        }
    if (d->p[0]->head->settings.allow_metadata != d->p[1]->head->settings.allow_metadata)
        for (unsigned i = 0; (metadata = eg_metadata_each_name(i)) != NULL && n + 2 <= max; i++) {
            list[n++] = (struct atom){ EG_PATTERN_EXACT, *metadata };
            if (eg_slice_index(*metadata, '.') >= 0)
                list[n++] = (struct atom){ EG_PATTERN_BELOW, *metadata };
        }
    qsort(list, n, sizeof *list, compare);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || compare(&list[i], &list[kept - 1]) != 0)
            list[kept++] = list[i];
    *count = kept;
    return list;
}

/* ---- a name that stands for others ---- */

static bool is_exact(const struct eg_decide_hits *h)
{
    return h->count > 0 && h->list[0]->kind == EG_PATTERN_EXACT;
}

/* The first label to be tried as `number`: readable ones, then any. */
static void label_of(unsigned number, size_t room, char out[24])
{
    static const char *const likely[] = { "sub", "any", "new", "other", "some" };
    static const char single[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    if (number < 5)
        snprintf(out, 24, "%s", likely[number]);
    else if (room < 8 && number < 5 + 36)
        snprintf(out, 24, "%c", single[number - 5]);
    else if (room < 8)
        snprintf(out, 24, "%c%c", single[(number - 41) / 36 % 36], single[(number - 41) % 36]);
    else
        snprintf(out, 24, "x%u", number);
}

/* A name right below the domain that neither policy names by itself. parent empty: one that nothing names. False: there is none. */
static bool fresh(const struct eg_diff *d, struct eg_slice parent, struct eg_authority *to)
{
    struct eg_decide_hits h, k;
    unsigned tries = d->p[0]->count[EG_BLOCK_TARGETS] + d->p[1]->count[EG_BLOCK_TARGETS] + 50;
    struct eg_slice domain = parent.n ? parent : EG_SLICE("nothing-names-this.example");
    bool all_metadata = parent.n && eg_metadata_name(parent) && eg_slice_index(parent, '.') >= 0;
    size_t room = domain.n + 2 > EG_HOST_MAX ? 0 : EG_HOST_MAX - 1 - domain.n;
    for (unsigned i = 0; i < tries; i++) {
        char label[24], name[EG_HOST_MAX + 32];
        label_of(i, room, label);
        if (strlen(label) > room)
            continue;
        int n = snprintf(name, sizeof name, "%s.%.*s", label, (int)domain.n, domain.p);
        if (eg_host_parse(eg_slice(name, (size_t)n), to, NULL) != EG_OK || to->literal)
            continue;
        eg_decide_find_name(d->p[0], eg_authority_host(to), &h);
        eg_decide_find_name(d->p[1], eg_authority_host(to), &k);
        bool known = parent.n ? is_exact(&h) || is_exact(&k) : h.count > 0 || k.count > 0;
        if (!known && (all_metadata || !eg_metadata_name(eg_authority_host(to))))
            return true;
    }
    return false;
}

/* ---- do both say the same? ---- */

static bool same_path(const struct eg_policy *a, const struct eg_block_path *x,
                      const struct eg_policy *b, const struct eg_block_path *y)
{
    if (x->segments.count != y->segments.count ||
        !eg_slice_eq(eg_block_slice(a, x->method), eg_block_slice(b, y->method)))
        return false;
    for (uint32_t i = 0; i < x->segments.count; i++) {
        struct eg_block_range f = a->segments[x->segments.first + i].globs;
        struct eg_block_range g = b->segments[y->segments.first + i].globs;
        if (f.count != g.count)
            return false;
        for (uint32_t k = 0; k < f.count; k++)
            if (!eg_slice_eq(eg_block_slice(a, a->names[f.first + k]),
                             eg_block_slice(b, b->names[g.first + k])))
                return false;
    }
    return true;
}

static bool same_rule(const struct eg_policy *a, const struct eg_block_rule *x,
                      const struct eg_policy *b, const struct eg_block_rule *y)
{
    if (x->action != y->action || x->scheme != y->scheme || x->sni_optional != y->sni_optional ||
        x->max_request_body != y->max_request_body || x->ports.count != y->ports.count ||
        x->paths.count != y->paths.count)
        return false;
    if (x->ports.count > 0 && memcmp(&a->ports[x->ports.first], &b->ports[y->ports.first],
                                     x->ports.count * sizeof *a->ports) != 0)
        return false;
    for (uint32_t i = 0; i < x->paths.count; i++)
        if (!same_path(a, &a->paths[x->paths.first + i], b, &b->paths[y->paths.first + i]))
            return false;
    return true;
}

bool eg_diff_same_hits(const struct eg_policy *a, const struct eg_decide_hits *h,
                       const struct eg_policy *b, const struct eg_decide_hits *k)
{
    if (h->count != k->count)
        return false;
    for (unsigned i = 0; i < h->count; i++) {
        const struct eg_block_target *x = h->list[i], *y = k->list[i];
        if (x->kind != y->kind || x->rules.count != y->rules.count ||
            !eg_slice_eq(eg_block_slice(a, x->key), eg_block_slice(b, y->key)))
            return false;
        for (uint32_t n = 0; n < x->rules.count; n++)
            if (!same_rule(a, &a->rules[x->rules.first + n], b, &b->rules[y->rules.first + n]))
                return false;
    }
    return true;
}

/* ---- one name ---- */

void eg_diff_flows(struct eg_diff *d, const struct eg_authority *to)
{
    static const int none[2] = { -1, -1 };
    struct eg_ask ask[2] = { { .kind = EG_ASK_TUNNEL, .to = *to },
                             { .kind = EG_ASK_TUNNEL, .to = *to } };
    for (uint32_t i = 0; i < d->ports.count && d->status == EG_OK; i++) {
        for (unsigned side = 0; side < 2; side++) {
            ask[side].kind = EG_ASK_TUNNEL;
            ask[side].to.port = d->ports.list[i];
        }
        eg_diff_try(d, EG_CHANGE_TUNNEL, ask, none, (int)i);
        ask[0].kind = ask[1].kind = EG_ASK_HTTP;
        eg_diff_requests(d, EG_CHANGE_REQUEST, ask, none, (int)i);
    }
}

static void one_name(struct eg_diff *d, const struct eg_authority *to, const char *subject,
                     bool surely)
{
    struct eg_decide_hits h, k;
    eg_decide_find_name(d->p[0], eg_authority_host(to), &h);
    eg_decide_find_name(d->p[1], eg_authority_host(to), &k);
    if (!surely && !d->observe && eg_diff_same_hits(d->p[0], &h, d->p[1], &k))
        return;
    eg_diff_ports_reset(d);
    eg_diff_ports_of(d, d->p[0], &h);
    eg_diff_ports_of(d, d->p[1], &k);
    eg_diff_ports_finish(d);
    eg_diff_flows(d, to);
    eg_diff_report(d, subject, EG_CHANGE_TUNNEL);
}

void eg_diff_unnamed(struct eg_diff *d)
{
    struct eg_authority to;
    if (fresh(d, EG_SLICE_NONE, &to))
        one_name(d, &to, "every other host", false);
}

void eg_diff_names(struct eg_diff *d)
{
    size_t count = 0;
    struct eg_authority to;
    struct atom *list = list_atoms(d, &count);
    bool metadata =
        d->p[0]->head->settings.allow_metadata != d->p[1]->head->settings.allow_metadata;
    for (size_t i = 0; list && i < count && d->status == EG_OK; i++) {
        char subject[EG_HOST_MAX + 4];
        const struct atom *a = &list[i];
        bool below = a->kind == EG_PATTERN_BELOW;
        snprintf(subject, sizeof subject, "%s%.*s", below ? "*." : "", (int)a->host.n, a->host.p);
        if (below ? fresh(d, a->host, &to) : eg_host_parse(a->host, &to, NULL) == EG_OK)
            one_name(d, &to, subject, metadata && eg_metadata_name(eg_authority_host(&to)));
    }
    if (d->status == EG_OK)
        eg_diff_unnamed(d);
}
