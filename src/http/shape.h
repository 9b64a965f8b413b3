/* shape.h - a refusal's text and body. Private to this room. */
#ifndef EG_HTTP_SHAPE_H
#define EG_HTTP_SHAPE_H

#include "http/refusal.h"

/* Longest subject, rule and detail that are written into a body; what is longer ends in "...". */
enum { EG_SUBJECT_MAX = 200, EG_RULE_MAX = 200, EG_DETAIL_MAX = 512, EG_BODY_MAX = 28672 };

/* The status whose name and sentence a peer may see: faults of ours are all internal_error. */
enum eg_status eg_refusal_public(enum eg_status status);
/* s cut to max bytes: the first max - 3 and no dots; *cut tells whether dots belong after it. */
struct eg_slice eg_refusal_cut(struct eg_slice s, size_t max, bool *cut);
/* Appends the body in r's shape. */
enum eg_status eg_shape_body(struct eg_buf *out, const struct eg_refusal *r) EG_MUST_USE;
/* The body's Content-Type. Static storage. */
struct eg_slice eg_shape_type(enum eg_refusal_shape shape);

#endif
