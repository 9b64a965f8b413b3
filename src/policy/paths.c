/* paths.c - does a request match "METHOD /pattern"? Asked of the block; nothing is allocated.
 *
 * An allow rule matches the canonical path as it is, which is what is sent. A deny rule also matches what an origin might make of that path: escapes
 * decoded (however often repeated), encoded slashes as slashes or as data, parameters behind ';' and empty segments left out, and a method in
 * other capitals. So its answers err towards a refusal.
 *
 * Both levels, segments in a path and bytes in a segment, are matched by going back to the last ** or * alone: the time is bounded by the product of
 * the lengths. */
#include "policy/block.h"

enum { SLASH = 0x100 | '/' }; /* beside octets: an encoded slash that is data */
enum { NEAR = 64 };           /* bytes of a segment that are compared for a message */

enum reading {
    AS_IT_IS,
    RAW,           /* the same bytes, but with an origin's segments */
    DECODED,       /* an encoded slash is data */
    SLASHES_AS_IF, /* an encoded slash ends a segment */
    READINGS
};

struct view { /* base and path of a request, read as one text */
    struct eg_slice base, path;
    size_t n;
    enum reading how;
    bool whole; /* a segment of parameters alone counts, as it does for origins that know none */
};

static unsigned char octet(const struct view *v, size_t i)
{
    return (unsigned char)(i < v->base.n ? v->base.p[i] : v->path.p[i - v->base.n]);
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The octet that two digits are, or -1. */
static int digits_at(const struct view *v, size_t i, size_t end)
{
    if (i + 2 > end)
        return -1;
    int high = hex_value(octet(v, i)), low = hex_value(octet(v, i + 1));
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* What stands at i, and how many bytes of the text it takes. */
static int unit(const struct view *v, size_t i, size_t end, size_t *width)
{
    int value = octet(v, i), next;
    *width = 1;
    if (v->how <= RAW || value != '%')
        return value;
    while (value == '%' && (next = digits_at(v, i + *width, end)) >= 0) {
        value = next;
        *width += 2;
    }
    return value == '/' && v->how == DECODED ? SLASH : value;
}

/* ---- one segment ---- */

struct segment {
    size_t start, name, end,
        next; /* name: where parameters begin; next: of the one behind, v->n + 1 where there is none */
};

/* The segment that begins at i; parameters are told from it in the readings of an origin alone. */
static struct segment segment_at(const struct view *v, size_t i)
{
    struct segment s = { i, SIZE_MAX, v->n, v->n + 1 };
    size_t width;
    for (size_t at = i; at < v->n; at += width) {
        int c = unit(v, at, v->n, &width);
        if (c == ';' && v->how != AS_IT_IS && s.name == SIZE_MAX)
            s.name = at;
        if (c == '/') {
            s.end = at;
            s.next = at + width;
            break;
        }
    }
    s.name = s.name == SIZE_MAX ? s.end : s.name;
    return s;
}

/* The first segment from i on that counts: in the readings of an origin an empty one does not, nor one that parameters are all of (unless
 * whole). False: there is none. */
static bool take_segment(const struct view *v, size_t i, struct segment *ret)
{
    while (i <= v->n) {
        *ret = segment_at(v, i);
        if (v->how == AS_IT_IS || (v->whole ? ret->end : ret->name) > ret->start)
            return true;
        i = ret->next;
    }
    return false;
}

/* Bytes from start to end of v. */
static bool match_glob(const struct view *v, size_t start, size_t end, struct eg_slice glob)
{
    const struct view g = { .path = glob, .n = glob.n, .how = v->how };
    size_t i = start, at = 0, star = SIZE_MAX, from = 0, wide, deep;
    while (i < end) {
        bool wild = at < g.n && glob.p[at] == '*';
        int here = unit(v, i, end, &wide);
        if (wild) {
            star = ++at;
            from = i;
        } else if (at < g.n && unit(&g, at, g.n, &deep) == here) {
            at += deep;
            i += wide;
        } else if (star != SIZE_MAX) {
            (void)unit(v, from, end, &wide);
            from += wide;
            i = from;
            at = star;
        } else {
            return false;
        }
    }
    while (at < g.n && glob.p[at] == '*')
        at++;
    return at == g.n;
}

static bool match_segment(const struct eg_policy *p, const struct view *v, const struct segment *s,
                          const struct eg_block_segment *pattern)
{
    for (uint32_t i = 0; i < pattern->globs.count; i++) {
        struct eg_slice glob = eg_block_slice(p, p->names[pattern->globs.first + i]);
        if (match_glob(v, s->start, s->end, glob) ||
            (s->name < s->end && match_glob(v, s->start, s->name, glob)))
            return true;
    }
    return false;
}

/* ---- the whole path ---- */

/* May nothing stand for this part of the pattern? In the readings of an origin, neither does the empty segment behind a slash at the end. */
static bool is_optional(const struct eg_policy *p, const struct view *v,
                        const struct eg_block_segment *pattern)
{
    const struct segment nothing = { 0, 0, 0, 0 };
    return pattern->globs.count == 0 ||
           (v->how != AS_IT_IS && match_segment(p, v, &nothing, pattern));
}

static bool match_path(const struct eg_policy *p, const struct view *v,
                       const struct eg_block_path *rule)
{
    const struct eg_block_segment *list = &p->segments[rule->segments.first];
    uint32_t count = rule->segments.count, i = 0, star = UINT32_MAX;
    struct segment s, from = { 0, 0, 0, 0 };
    bool more = take_segment(v, 1, &s);
    while (more) {
        if (i < count && list[i].globs.count == 0) {
            star = ++i;
            from = s;
        } else if (i < count && match_segment(p, v, &s, &list[i])) {
            i++;
            more = take_segment(v, s.next, &s);
        } else if (star != UINT32_MAX) {
            more = take_segment(v, from.next, &s);
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

static bool match_method(const struct eg_policy *p, const struct eg_block_path *rule,
                         struct eg_slice method, bool deny)
{
    struct eg_slice own = eg_block_slice(p, rule->method);
    return own.n == 0 || (deny ? eg_slice_caseeq(own, method) : eg_slice_eq(own, method));
}

static struct view view_of(const struct eg_block_request *r, enum reading how, bool whole)
{
    return (struct view){ r->base, r->path, r->base.n + r->path.n, how, whole };
}

static bool match_request(const struct eg_policy *p, const struct eg_block_request *r,
                          const struct eg_block_path *rule, bool deny)
{
    for (enum reading how = AS_IT_IS; how < (deny ? READINGS : RAW); how++)
        for (unsigned whole = 0; whole < (how == AS_IT_IS ? 1u : 2u); whole++) {
            struct view v = view_of(r, how, whole);
            if (match_path(p, &v, rule))
                return true;
        }
    return false;
}

const struct eg_block_path *eg_block_path_find(const struct eg_policy *p,
                                               struct eg_block_range list,
                                               const struct eg_block_request *r, bool deny)
{
    for (uint32_t i = 0; i < list.count; i++) {
        const struct eg_block_path *rule = &p->paths[list.first + i];
        if (match_method(p, rule, r->method, deny) && match_request(p, r, rule, deny))
            return rule;
    }
    return NULL;
}

/* How many bytes of the segment the nearest alternative begins with. */
static unsigned begins(const struct eg_policy *p, const struct view *v, const struct segment *s,
                       const struct eg_block_segment *pattern)
{
    unsigned most = 0;
    for (uint32_t i = 0; i < pattern->globs.count; i++) {
        struct eg_slice glob = eg_block_slice(p, p->names[pattern->globs.first + i]);
        unsigned n = 0;
        while (n < glob.n && n < s->end - s->start && n + 1 < NEAR &&
               octet(v, s->start + n) == (unsigned char)glob.p[n])
            n++;
        most = n > most ? n : most;
    }
    return most;
}

/* How much fits from the start: segments, then bytes of them. ** is no sign of nearness. */
static unsigned common(const struct eg_policy *p, const struct view *v,
                       const struct eg_block_path *rule)
{
    struct segment s;
    unsigned score = 0;
    size_t at = 1;
    for (uint32_t i = 0; i < rule->segments.count && take_segment(v, at, &s); i++) {
        const struct eg_block_segment *part = &p->segments[rule->segments.first + i];
        score += begins(p, v, &s, part);
        if (!match_segment(p, v, &s, part))
            break;
        score += NEAR;
        at = s.next;
    }
    return score;
}

const struct eg_block_path *eg_block_path_closest(const struct eg_policy *p,
                                                  struct eg_block_range list,
                                                  const struct eg_block_request *r)
{
    const struct eg_block_path *best = NULL;
    unsigned most = 0;
    const struct view v = view_of(r, AS_IT_IS, false);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct eg_block_path *rule = &p->paths[list.first + i];
        unsigned score = 1 + 2 * common(p, &v, rule) + match_method(p, rule, r->method, false);
        if (score > most) {
            most = score;
            best = rule;
        }
    }
    return best;
}
