/* reading.c - paths as they are and as origins might read them: units, segments, and what globs match of one. Nothing is allocated.
 *
 * Bytes of a segment are matched by going back to the last * alone: the time is bounded by the product of the lengths. */
#include "policy/reading.h"

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The octet that two digits are, or -1. */
static int digits_at(const struct eg_view *v, size_t i, size_t end)
{
    if (i + 2 > end)
        return -1;
    int high = hex_value(eg_view_octet(v, i)), low = hex_value(eg_view_octet(v, i + 1));
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int eg_view_escape(const struct eg_view *v, size_t i, size_t end, size_t *width)
{
    int value = '%', next;
    *width = 1;
    while (value == '%' && (next = digits_at(v, i + *width, end)) >= 0) {
        value = next;
        *width += 2;
    }
    return value == '/' && v->how == EG_READ_DECODED ? EG_READ_SLASH : value;
}

/* ---- one segment ---- */

/* The segment that begins at i; parameters are told from it in the readings of an origin alone. */
static struct eg_view_segment segment_at(const struct eg_view *v, size_t i)
{
    struct eg_view_segment s = { i, SIZE_MAX, v->n, v->n + 1 };
    size_t width;
    for (size_t at = i; at < v->n; at += width) {
        int c = eg_view_unit(v, at, v->n, &width);
        if (c == ';' && v->how != EG_READ_AS_IT_IS && s.name == SIZE_MAX)
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

/* A segment of the base ends where the path begins. */
static bool plain_at(const struct eg_view *v, size_t i, struct eg_view_segment *ret)
{
    if (i > v->n || (i == v->n && v->how != EG_READ_AS_IT_IS))
        return false;
    size_t limit = i < v->base.n ? v->base.n : v->n;
    const char *from = eg_view_bytes(v, i);
    const char *slash = i < limit ? memchr(from, '/', limit - i) : NULL;
    size_t end = slash ? i + (size_t)(slash - from) : limit;
    *ret = (struct eg_view_segment){ i, end, end, end + 1 };
    return true;
}

/* The first segment from i on that counts: in the readings of an origin an empty one does not, nor one that parameters are all of (unless
 * whole). False: there is none. */
bool eg_view_segment_at(const struct eg_view *v, size_t i, struct eg_view_segment *ret)
{
    if (v->plain)
        return plain_at(v, i, ret);
    while (i <= v->n) {
        *ret = segment_at(v, i);
        if (v->how == EG_READ_AS_IT_IS || (v->whole ? ret->end : ret->name) > ret->start)
            return true;
        i = ret->next;
    }
    return false;
}

/* Bytes from start to end of v. */
static bool match_bytes(const struct eg_view *v, size_t start, size_t end, struct eg_slice glob)
{
    const struct eg_view g = { .path = glob, .n = glob.n, .how = v->how };
    size_t i = start, at = 0, star = SIZE_MAX, from = 0, wide, deep;
    while (i < end) {
        bool wild = at < g.n && glob.p[at] == '*';
        int here = eg_view_unit(v, i, end, &wide);
        if (wild) {
            star = ++at;
            from = i;
        } else if (at < g.n && eg_view_unit(&g, at, g.n, &deep) == here) {
            at += deep;
            i += wide;
        } else if (star != SIZE_MAX) {
            (void)eg_view_unit(v, from, end, &wide);
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

/* The same of bytes that are what they are, in both. */
static bool match_plain(struct eg_slice text, struct eg_slice glob)
{
    size_t i = 0, at = 0, star = SIZE_MAX, from = 0;
    while (i < text.n) {
        if (at < glob.n && glob.p[at] == '*') {
            star = ++at;
            from = i;
        } else if (at < glob.n && glob.p[at] == text.p[i]) {
            at++;
            i++;
        } else if (star != SIZE_MAX) {
            i = ++from;
            at = star;
        } else {
            return false;
        }
        if (at == glob.n && star == at) /* whatever is left */
            return true;
    }
    while (at < glob.n && glob.p[at] == '*')
        at++;
    return at == glob.n;
}

bool eg_view_match_glob(const struct eg_view *v, const struct eg_view_segment *s,
                        struct eg_slice glob)
{
    if (v->plain && (v->how == EG_READ_AS_IT_IS || eg_slice_index(glob, '%') < 0))
        return match_plain(eg_slice(eg_view_bytes(v, s->start), s->end - s->start), glob);
    return match_bytes(v, s->start, s->end, glob) ||
           (s->name < s->end && match_bytes(v, s->start, s->name, glob));
}

bool eg_view_match_segment(const struct eg_policy *p, const struct eg_view *v,
                           const struct eg_view_segment *s, const struct eg_block_segment *pattern)
{
    for (uint32_t i = 0; i < pattern->globs.count; i++)
        if (eg_view_match_glob(v, s, eg_block_slice(p, p->names[pattern->globs.first + i])))
            return true;
    return false;
}

/* ---- the request ---- */

struct eg_view eg_view_of(const struct eg_block_request *r, enum eg_reading how, bool whole)
{
    bool joined = r->base.n == 0 || (r->path.n > 0 && r->path.p[0] == '/');
    return (struct eg_view){ r->base, r->path, r->base.n + r->path.n,
                             how,     whole,   how == EG_READ_AS_IT_IS && joined };
}

static bool is_plain(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '%' || text.p[i] == ';' ||
            (text.p[i] == '/' && i + 1 < text.n && text.p[i + 1] == '/'))
            return false;
    return true;
}

/* Without escapes, parameters and empty segments the origins' readings differ in nothing, and what the path matches as it is, it matches in them too: a slash
 * at its end is all that they leave out, and the part of a pattern that wants it may then be missing. */
bool eg_view_is_plain(const struct eg_block_request *r)
{
    bool joined =
        r->base.n == 0 || (r->base.p[r->base.n - 1] != '/' && r->path.n > 0 && r->path.p[0] == '/');
    return joined && is_plain(r->base) && is_plain(r->path);
}

struct eg_view eg_view_plain(const struct eg_block_request *r)
{
    struct eg_view v = eg_view_of(r, EG_READ_DECODED, false);
    v.plain = true;
    return v;
}
