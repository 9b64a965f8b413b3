/* diff_covers.c - does one path pattern match all that another one matches? It looks at the texts of the patterns alone and errs towards no. */
#include "policy/diff_machine.h"

/* Is every text of glob b one of glob a? Errs towards no: what is an escape to one reading is three octets to another. */
static bool covers_glob(struct eg_slice a, struct eg_slice b)
{
    size_t i = 0, k = 0, star = SIZE_MAX, from = 0;
    if (eg_slice_index(a, '%') >= 0 || eg_slice_index(b, '%') >= 0)
        return eg_slice_eq(a, b) || eg_slice_eq(a, EG_SLICE("*"));
    while (k < b.n) {
        if (i < a.n && a.p[i] == '*') {
            star = ++i;
            from = k;
        } else if (i < a.n && a.p[i] == b.p[k]) {
            i++;
            k++;
        } else if (star != SIZE_MAX) {
            k = ++from;
            i = star;
        } else {
            return false;
        }
    }
    while (i < a.n && a.p[i] == '*')
        i++;
    return i == a.n;
}

static bool covers_segment(const struct eg_policy *p, const struct eg_block_segment *a,
                           const struct eg_policy *q, const struct eg_block_segment *b)
{
    for (uint32_t k = 0; k < b->globs.count; k++) {
        bool covered = false;
        for (uint32_t i = 0; i < a->globs.count && !covered; i++)
            covered = covers_glob(eg_block_slice(p, p->names[a->globs.first + i]),
                                  eg_block_slice(q, q->names[b->globs.first + k]));
        if (!covered)
            return false;
    }
    return b->globs.count > 0;
}

/* Segment by segment, so that it holds in every reading of a path. */
bool eg_diff_covers(const struct eg_language *a, const struct eg_language *b)
{
    const struct eg_block_segment *x = &a->p->segments[a->path->segments.first];
    const struct eg_block_segment *y = &b->p->segments[b->path->segments.first];
    uint32_t n = a->path->segments.count, m = b->path->segments.count, i = 0, k = 0;
    uint32_t star = UINT32_MAX, from = 0;
    while (k < m) {
        if (i < n && x[i].globs.count == 0) {
            star = ++i;
            from = k;
        } else if (i < n && covers_segment(a->p, &x[i], b->p, &y[k])) {
            i++;
            k++;
        } else if (star != UINT32_MAX) {
            k = ++from;
            i = star;
        } else {
            return false;
        }
    }
    while (i < n && x[i].globs.count == 0)
        i++;
    return i == n && eg_slice_eq(a->base, b->base);
}
