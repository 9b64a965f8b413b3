/* reading.h - how a path can be read: as it is, which is what is sent, or as an origin might. Internal to the room; paths.c says what for. */
#ifndef EG_POLICY_READING_H
#define EG_POLICY_READING_H

#include "policy/block.h"

enum { EG_READ_SLASH = 0x100 | '/' }; /* beside octets: an encoded slash that is data */

enum eg_reading {
    EG_READ_AS_IT_IS,
    EG_READ_RAW,           /* the same bytes, but with an origin's segments */
    EG_READ_DECODED,       /* an encoded slash is data */
    EG_READ_SLASHES_AS_IF, /* an encoded slash ends a segment */
    EG_READINGS
};

struct eg_view { /* base and path of a request, read as one text */
    struct eg_slice base, path;
    size_t n;
    enum eg_reading how;
    bool whole; /* a segment of parameters alone counts, as it does for origins that know none */
    bool
        plain; /* its bytes are what they are: read as it is, or there is nothing in it to be read otherwise */
};

struct eg_view_segment {
    size_t start, name, end,
        next; /* name: where parameters begin; next: of the one behind, v->n + 1 where there is none */
};

struct eg_view eg_view_of(const struct eg_block_request *r, enum eg_reading how, bool whole);
/* Does every reading of an origin find the same segments and bytes in it as the decoded one? Then that one, plain, stands for all. */
bool eg_view_is_plain(const struct eg_block_request *r);
struct eg_view eg_view_plain(const struct eg_block_request *r);
/* The bytes of a segment of a plain view. */
static inline const char *eg_view_bytes(const struct eg_view *v, size_t i)
{
    return i < v->base.n ? v->base.p + i : v->path.p + (i - v->base.n);
}
static inline unsigned char eg_view_octet(const struct eg_view *v, size_t i)
{
    return (unsigned char)(i < v->base.n ? v->base.p[i] : v->path.p[i - v->base.n]);
}
/* What stands at i < end, and how many bytes of the text it takes. */
int eg_view_escape(const struct eg_view *v, size_t i, size_t end, size_t *width);
static inline int eg_view_unit(const struct eg_view *v, size_t i, size_t end, size_t *width)
{
    int value = eg_view_octet(v, i);
    *width = 1;
    return v->how <= EG_READ_RAW || value != '%' ? value : eg_view_escape(v, i, end, width);
}
/* The first segment from i on that counts: in the readings of an origin an empty one does not, nor one that parameters are all of (unless
 * whole). False: there is none. */
bool eg_view_segment_at(const struct eg_view *v, size_t i, struct eg_view_segment *ret);
bool eg_view_match_glob(const struct eg_view *v, const struct eg_view_segment *s,
                        struct eg_slice glob);
bool eg_view_match_segment(const struct eg_policy *p, const struct eg_view *v,
                           const struct eg_view_segment *s, const struct eg_block_segment *pattern);

/* The least path of an indexed list (root is not 0) that matches in this reading, NULL: none, in *ret. False: the index can't tell. */
bool eg_block_steps_find(const struct eg_policy *p, struct eg_block_paths list,
                         const struct eg_view *v, struct eg_slice method, bool deny,
                         const struct eg_block_path **ret);
/* Paths of an indexed list that are near to a request; how many. For messages. */
enum { EG_NEAR_MAX = 16 };
unsigned eg_block_steps_near(const struct eg_policy *p, struct eg_block_paths list,
                             const struct eg_view *v, uint32_t out[EG_NEAR_MAX]);
/* Does the method of the request fall under the path's? */
bool eg_block_path_method(const struct eg_policy *p, const struct eg_block_path *rule,
                          struct eg_slice method, bool deny);

#endif
