/* paths.c - does a request match "METHOD /pattern"? Asked of the block; nothing is allocated.
 *
 * An allow rule matches the canonical path as it is, which is what is sent. A deny rule also matches what an origin might make of that path: escapes
 * decoded (however often repeated), encoded slashes as slashes or as data, parameters behind ';' and empty segments left out, and a method in
 * other capitals. So its answers err towards a refusal.
 *
 * Both levels, segments in a path and bytes in a segment, are matched by going back to the last ** or * alone: the time is bounded by the product of
 * the lengths. */
#include "policy/reading.h"

enum { NEAR = 64 }; /* bytes of a segment that are compared for a message */
/* ---- the whole path ---- */

/* May nothing stand for this part of the pattern? In the readings of an origin, neither does the empty segment behind a slash at the end. */
static bool is_optional(const struct eg_policy *p, const struct eg_view *v,
                        const struct eg_block_segment *pattern)
{
    const struct eg_view_segment nothing = { 0, 0, 0, 0 };
    return pattern->globs.count == 0 ||
           (v->how != EG_READ_AS_IT_IS && eg_view_match_segment(p, v, &nothing, pattern));
}

static bool match_path(const struct eg_policy *p, const struct eg_view *v,
                       const struct eg_block_path *rule)
{
    const struct eg_block_segment *list = &p->segments[rule->segments.first];
    uint32_t count = rule->segments.count, i = 0, star = UINT32_MAX;
    struct eg_view_segment s, from = { 0, 0, 0, 0 };
    bool more = eg_view_segment_at(v, 1, &s);
    while (more) {
        if (i < count && list[i].globs.count == 0) {
            star = ++i;
            from = s;
        } else if (i < count && eg_view_match_segment(p, v, &s, &list[i])) {
            i++;
            more = eg_view_segment_at(v, s.next, &s);
        } else if (star != UINT32_MAX) {
            more = eg_view_segment_at(v, from.next, &s);
            from = s;
            i = star;
        } else {
            return false;
        }
    }
    while (i < count && is_optional(p, v, &list[i]))
        i++;
    return i == count;
}

bool eg_block_path_method(const struct eg_policy *p, const struct eg_block_path *rule,
                          struct eg_slice method, bool deny)
{
    struct eg_slice own = eg_block_slice(p, rule->method);
    return own.n == 0 || (deny ? eg_slice_caseeq(own, method) : eg_slice_eq(own, method));
}

/* The first of the list in this reading, one after the other. */
static const struct eg_block_path *scan(const struct eg_policy *p, struct eg_block_paths list,
                                        const struct eg_view *v, struct eg_slice method, bool deny)
{
    for (uint32_t i = 0; i < list.count; i++) {
        const struct eg_block_path *rule = &p->paths[list.first + i];
        if (eg_block_path_method(p, rule, method, deny) && match_path(p, v, rule))
            return rule;
    }
    return NULL;
}

static const struct eg_block_path *find(const struct eg_policy *p, struct eg_block_paths list,
                                        const struct eg_view *v, struct eg_slice method, bool deny)
{
    const struct eg_block_path *rule;
    if (list.root && eg_block_steps_find(p, list, v, method, deny, &rule))
        return rule;
    return scan(p, list, v, method, deny);
}

/* What an origin might read in it, in every way that one might. */
static const struct eg_block_path *
find_in_all(const struct eg_policy *p, struct eg_block_paths list, const struct eg_block_request *r)
{
    const struct eg_block_path *first = NULL;
    for (enum eg_reading how = EG_READ_AS_IT_IS; how < EG_READINGS; how++)
        for (unsigned whole = 0; whole < (how == EG_READ_AS_IT_IS ? 1u : 2u); whole++) {
            const struct eg_view v = eg_view_of(r, how, whole);
            const struct eg_block_path *rule = find(p, list, &v, r->method, true);
            if (rule && (!first || rule < first))
                first = rule;
        }
    return first;
}

const struct eg_block_path *eg_block_path_find(const struct eg_policy *p,
                                               struct eg_block_paths list,
                                               const struct eg_block_request *r, bool deny)
{
    if (list.count == 0)
        return NULL;
    if (deny && !eg_view_is_plain(r))
        return find_in_all(p, list, r);
    const struct eg_view v = deny ? eg_view_plain(r) : eg_view_of(r, EG_READ_AS_IT_IS, false);
    return find(p, list, &v, r->method, deny);
}

/* How many bytes of the segment the nearest alternative begins with. */
static unsigned begins(const struct eg_policy *p, const struct eg_view *v,
                       const struct eg_view_segment *s, const struct eg_block_segment *pattern)
{
    unsigned most = 0;
    for (uint32_t i = 0; i < pattern->globs.count; i++) {
        struct eg_slice glob = eg_block_slice(p, p->names[pattern->globs.first + i]);
        unsigned n = 0;
        while (n < glob.n && n < s->end - s->start && n + 1 < NEAR &&
               eg_view_octet(v, s->start + n) == (unsigned char)glob.p[n])
            n++;
        most = n > most ? n : most;
    }
    return most;
}

/* How much fits from the start: segments, then bytes of them. ** is no sign of nearness. */
static unsigned common(const struct eg_policy *p, const struct eg_view *v,
                       const struct eg_block_path *rule)
{
    struct eg_view_segment s;
    unsigned score = 0;
    size_t at = 1;
    for (uint32_t i = 0; i < rule->segments.count && eg_view_segment_at(v, at, &s); i++) {
        const struct eg_block_segment *part = &p->segments[rule->segments.first + i];
        score += begins(p, v, &s, part);
        if (!eg_view_match_segment(p, v, &s, part))
            break;
        score += NEAR;
        at = s.next;
    }
    return score;
}

static unsigned score(const struct eg_policy *p, const struct eg_view *v,
                      const struct eg_block_path *rule, struct eg_slice method)
{
    return 1 + 2 * common(p, v, rule) + eg_block_path_method(p, rule, method, false);
}

/* Of a long list only what its index finds near is compared. */
const struct eg_block_path *eg_block_path_closest(const struct eg_policy *p,
                                                  struct eg_block_paths list,
                                                  const struct eg_block_request *r)
{
    uint32_t near[EG_NEAR_MAX];
    const struct eg_block_path *best = NULL;
    unsigned most = 0;
    const struct eg_view v = eg_view_of(r, EG_READ_AS_IT_IS, false);
    uint32_t count = list.root ? eg_block_steps_near(p, list, &v, near) : list.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct eg_block_path *rule = &p->paths[list.root ? near[i] : list.first + i];
        unsigned points = score(p, &v, rule, r->method);
        if (points > most || (points == most && rule < best)) {
            most = points;
            best = rule;
        }
    }
    return best;
}
